"""Derivatives of functions: against closed forms, against each other, nested, and refused."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor, ops
from tinygrad_edu.derivatives import (
    elementwise_grad,
    grad,
    hessian,
    hvp,
    jacobian,
    jvp,
    value_and_grad,
    vjp,
)

X = np.array([0.5, -1.25, 2.0])
V = np.array([1.0, 0.25, -2.0])


def f(x):
    """From three numbers to one."""
    return (x**3 * tg.sin(x)).sum() + x[0] * x[1]


def df(x):
    first = 3 * x**2 * np.sin(x) + x**3 * np.cos(x)
    return first + np.array([x[1], x[0], 0.0])


def rows(x):
    """From three numbers to a (2, 2)."""
    return tg.stack([tg.stack([x[0] * x[1], x[2] ** 2]), tg.stack([tg.exp(x[0]), x.sum()])])


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def rosenbrock_hessian(x):
    n = len(x)
    h = np.zeros((n, n))
    for i in range(n - 1):
        h[i, i] += 1200 * x[i] ** 2 - 400 * x[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
    return h


def close(found, expected):
    np.testing.assert_allclose(np.asarray(tg.tensor(found).data), expected, rtol=1e-11, atol=1e-12)


# ---------------------------------------------------------------- what goes in comes out


def test_numbers_in_numbers_out_arrays_in_arrays_out_tensors_in_tensors_out():
    square = lambda x: (x * x).sum()
    g = grad(square)
    assert g(3.0) == 6.0 and type(g(3.0)) is float
    assert g(3) == 6.0 and type(g(3)) is float
    assert type(g(np.float64(3.0))) is float
    assert type(g(X)) is np.ndarray and g(X).tolist() == (2 * X).tolist()
    assert g([1.0, 2.0]).tolist() == [2.0, 4.0]
    assert isinstance(g(Tensor(X)), Tensor) and g(Tensor(X)).tolist() == (2 * X).tolist()
    assert g(np.array(3.0)) == 6.0


def test_precision_is_that_of_the_argument_and_whole_numbers_become_double():
    square = lambda x: (x * x).sum()
    assert grad(square)(X.astype(np.float32)).dtype == np.float32
    assert grad(square)(np.array([1, 2])).dtype == np.float64
    assert grad(square)(Tensor([1.0, 2.0])).dtype == np.float32
    assert grad(grad(tg.tanh))(0.5) == pytest.approx(-2 * np.tanh(0.5) / np.cosh(0.5) ** 2, 1e-14)
    assert hessian(square)(X.astype(np.float32)).dtype == np.float32


def test_arguments_are_left_as_they_were():
    x, t = X.copy(), Tensor(X, requires_grad=True)
    grad(f)(x)
    grad(f)(t)
    np.testing.assert_array_equal(x, X)
    assert t.grad is None and t.is_leaf


# ---------------------------------------------------------------- grad and value_and_grad


def test_grad_of_a_function_of_an_array():
    close(grad(f)(X), df(X))
    value, g = value_and_grad(f)(X)
    assert value == f(Tensor(X)).item() and type(value) is float
    close(g, df(X))


def test_argnums_choose_one_argument_or_several():
    def product(x, y, z):
        return (x * y**2 * z**3).sum()

    args = (2.0, 3.0, 5.0)
    assert grad(product)(*args) == 9 * 125.0
    assert grad(product, argnums=1)(*args) == 2 * 2 * 3 * 125.0
    assert grad(product, argnums=(2, 0))(*args) == (2 * 9 * 3 * 25.0, 9 * 125.0)
    assert grad(product, argnums=-1)(*args) == 2 * 9 * 3 * 25.0
    value, both = value_and_grad(product, argnums=(0, 1))(*args)
    assert value == 2250.0 and both == (1125.0, 1500.0)


def test_argnums_out_of_range_are_refused():
    for argnums in (3, (0, 5), -4):
        with pytest.raises((IndexError, ValueError, TypeError), match="arg"):
            grad(lambda x, y: x * y, argnums)(1.0, 2.0)


def test_options_reach_the_function():
    def scaled(x, *, factor=1.0):
        return (x * factor).sum()

    assert grad(scaled)(2.0, factor=7.0) == 7.0
    close(jacobian(lambda x, k: x * k)(X, 3.0), 3 * np.eye(3))


def test_elementwise_grad_is_entry_by_entry():
    close(elementwise_grad(tg.tanh)(X), 1 - np.tanh(X) ** 2)
    close(elementwise_grad(elementwise_grad(lambda x: x**4))(X), 12 * X**2)
    assert elementwise_grad(tg.exp)(0.0) == 1.0


def test_a_function_of_a_function_can_be_nested_to_any_order():
    t = np.tanh(0.7)
    s = 1 - t**2
    third = grad(grad(grad(tg.tanh)))(0.7)
    fourth = grad(grad(grad(grad(tg.tanh))))(0.7)
    assert third == pytest.approx(-2 * s * (1 - 3 * t**2), rel=1e-13)
    assert fourth == pytest.approx(8 * t * s * (2 - 3 * t**2), rel=1e-13)
    g = tg.exp
    for _ in range(6):
        g = grad(g)
    assert g(1.0) == pytest.approx(np.e, rel=1e-14)


INNER = {  # of x, each with an inner derivative in y; and its slope at 2
    "x + y": (lambda x: x * grad(lambda y: x + y)(1.0), 1.0),
    "x y at y = x": (lambda x: x * grad(lambda y: x * y)(x), 4.0),
    "x y": (lambda x: x * grad(lambda y: x * y)(1.0), 4.0),
    "x y in arrays": (lambda x: (grad(lambda y: (x * y).sum())(np.ones(3)) * x).sum(), 12.0),
    "the value": (lambda x: value_and_grad(lambda y: x * y)(3.0)[0], 3.0),
    "three deep": (lambda x: grad(lambda y: grad(lambda z: x * y * z)(1.0) * y)(1.0), 2.0),
    "hvp": (lambda x: hvp(lambda y: x * y * y, 1.0, 1.0), 2.0),
    "hvp along x": (lambda x: hvp(lambda y: y**3, 1.0, x), 6.0),
    "jvp": (lambda x: jvp(lambda y: x * y, 1.0, 1.0)[1], 1.0),
    "jvp along x": (lambda x: jvp(lambda y: 3 * y, 1.0, x)[1], 3.0),
    "vjp": (lambda x: vjp(lambda y: x * y, 1.0)[1](1.0), 1.0),
    "vjp of x": (lambda x: vjp(lambda y: 3 * y, 1.0)[1](x), 3.0),
    "jacobian": (lambda x: jacobian(lambda y: x * y)(np.ones(2)).sum(), 2.0),
    "hessian": (lambda x: hessian(lambda y: x * y * y)(1.0) * 1.0, 2.0),
}


@pytest.mark.parametrize("inner", INNER)
def test_an_inner_derivative_sees_the_variable_of_the_outer_one(inner):
    """d/dx (x d/dy (x y)) = d/dx x^2 = 2x: the inner slope is x itself, not the number x is."""
    f, slope = INNER[inner]
    assert grad(f)(2.0) == pytest.approx(slope, rel=1e-14)
    with tg.no_grad():
        assert grad(f)(2.0) == pytest.approx(slope, rel=1e-14)


def test_closed_over_tensors_of_the_outside_stay_what_they_are():
    w = Tensor(3.0, requires_grad=True)
    assert grad(lambda x: w * x * x)(2.0) == 12.0
    assert w.grad is None
    g = grad(lambda x: w * x * x)(Tensor(2.0))  # a Tensor in: the result knows w
    g.backward()
    assert w.grad == 4.0


# ---------------------------------------------------------------- matrices of derivatives


def test_the_jacobian_has_the_shape_of_y_and_then_of_x():
    j = jacobian(rows)(X)
    expected = np.zeros((2, 2, 3))
    expected[0, 0] = [X[1], X[0], 0]
    expected[0, 1] = [0, 0, 2 * X[2]]
    expected[1, 0] = [np.exp(X[0]), 0, 0]
    expected[1, 1] = 1
    close(j, expected)
    assert jacobian(lambda x: x[:0])(X).shape == (0, 3)
    assert jacobian(f)(X).shape == (3,) and jacobian(lambda x: x * X)(2.0).shape == (3,)
    matrix = np.arange(6.0).reshape(2, 3)
    close(jacobian(lambda x: x @ matrix)(np.ones((4, 2)))[1, 2, 1], matrix[:, 2])


def test_the_hessian_of_rosenbrocks_valley():
    x = np.array([-1.2, 1.0, 0.5, 2.0])
    close(hessian(rosenbrock)(x), rosenbrock_hessian(x))
    close(grad(rosenbrock)(np.ones(4)), np.zeros(4))
    close(jacobian(grad(rosenbrock))(x), rosenbrock_hessian(x))


def test_the_hessian_of_a_function_of_a_matrix_has_twice_its_axes():
    x = np.arange(4.0).reshape(2, 2) + 1
    h = hessian(lambda x: tg.det(x) ** 2)(x)
    assert h.shape == (2, 2, 2, 2)
    c = np.array([[4.0, -3.0], [-2.0, 1.0]])  # the cofactors; det x = -2
    det = np.multiply.outer(c, c) * 2
    det[0, 0, 1, 1] += -4
    det[1, 1, 0, 0] += -4
    det[0, 1, 1, 0] -= -4
    det[1, 0, 0, 1] -= -4
    close(h, det)


# ---------------------------------------------------------------- products with them


def test_jvp_and_vjp_are_products_with_the_jacobian():
    j = jacobian(rows)(X)
    y, pushed = jvp(rows, X, V)
    close(y, rows(Tensor(X)).data)
    close(pushed, j @ V)
    u = np.array([[1.0, -2.0], [0.5, 3.0]])
    y, pull = vjp(rows, X)
    close(y, rows(Tensor(X)).data)
    close(pull(u), np.tensordot(u, j, 2))
    close(pull(2 * u), 2 * np.tensordot(u, j, 2))  # once more, another direction


def test_jvp_and_vjp_take_several_arguments():
    a, b = np.arange(6.0).reshape(2, 3), X
    da, db = np.ones((2, 3)), V
    y, pushed = jvp(lambda a, b: a @ b, (a, b), (da, db))
    close(y, a @ b)
    close(pushed, da @ b + a @ db)
    _, pull = vjp(lambda a, b: a @ b, a, b)
    u = np.array([1.0, 10.0])
    for found, expected in zip(pull(u), (np.outer(u, b), u @ a), strict=True):
        close(found, expected)


def test_the_hessian_times_a_vector_needs_no_hessian():
    x, v = np.array([-1.2, 1.0, 0.5, 2.0]), np.array([1.0, -1.0, 2.0, 0.5])
    close(hvp(rosenbrock, x, v), rosenbrock_hessian(x) @ v)
    close(hvp(f, X, V), hessian(f)(X) @ V)
    matrix = np.arange(6.0).reshape(2, 3) + 1
    close(hvp(lambda x: (x**3).sum(), matrix, np.ones((2, 3))), 6 * matrix)


def counted():
    """An op, and a list that grows by one whenever its gradient is asked for."""
    calls = []

    @tg.differentiable
    def watched(x):
        return x * x, lambda g: calls.append(1) or g * 2 * x

    return watched, calls


def asked(run, n):
    watched, calls = counted()
    run(watched, n)
    return len(calls)


@pytest.mark.parametrize(
    "run",
    [
        lambda op, n: hvp(lambda x: (op(x) ** 2).sum(), np.ones(n), np.ones(n)),
        lambda op, n: jvp(op, np.ones(n), np.ones(n)),
        lambda op, n: vjp(op, np.ones(n))[1](np.ones(n)),
        lambda op, n: grad(lambda x: op(x).sum())(np.ones(n)),
    ],
    ids=["hvp", "jvp", "vjp", "grad"],
)
def test_products_cost_the_same_number_of_walks_at_any_size(run):
    assert asked(run, 3) == asked(run, 300) <= 4


def test_a_jacobian_costs_one_walk_for_each_result():
    assert asked(lambda op, n: jacobian(op)(np.ones(n)), 20) == 20


# ---------------------------------------------------------------- what does not depend on x


@pytest.mark.parametrize("constant", [3.0, Tensor(3.0), np.array(3.0), 3], ids=repr)
def test_what_does_not_depend_on_x_has_zero_derivatives(constant):
    def nothing(x):
        return constant

    assert grad(nothing)(2.0) == 0.0 and type(grad(nothing)(2.0)) is float
    assert grad(nothing)(X).tolist() == [0.0] * 3
    assert value_and_grad(nothing)(X)[0] == 3.0
    assert grad(grad(nothing))(2.0) == 0.0
    assert hessian(nothing)(X).tolist() == np.zeros((3, 3)).tolist()
    assert jacobian(nothing)(X).tolist() == [0.0] * 3
    assert hvp(nothing, X, V).tolist() == [0.0] * 3
    value, pull = vjp(nothing, X)
    assert value == 3.0 and pull(1.0).tolist() == [0.0] * 3
    value, pushed = jvp(nothing, X, V)
    assert value == 3.0 and pushed == 0.0
    assert elementwise_grad(nothing)(2.0) == 0.0


def test_what_depends_on_one_argument_only_has_zeros_for_the_other():
    assert grad(lambda x, y: x * x, argnums=(0, 1))(2.0, 5.0) == (4.0, 0.0)
    close(jacobian(lambda x: tg.stack([x[0], Tensor(1.0)]))(X), [[1, 0, 0], [0, 0, 0]])
    close(hessian(lambda x: (x * V).sum())(X), np.zeros((3, 3)))
    close(hvp(lambda x: (x * V).sum(), X, V), np.zeros(3))


def test_the_function_that_gives_back_its_argument():
    assert grad(lambda x: x)(2.0) == 1.0
    close(jacobian(lambda x: x)(X), np.eye(3))
    close(jvp(lambda x: x, X, V)[1], V)
    close(vjp(lambda x: x, X)[1](V), V)


# ---------------------------------------------------------------- modes


def test_derivatives_are_right_under_no_grad_and_leave_no_history():
    with tg.no_grad():
        close(grad(f)(X), df(X))
        assert grad(grad(grad(tg.tanh)))(0.7) == pytest.approx(
            -2 * (1 - np.tanh(0.7) ** 2) * (1 - 3 * np.tanh(0.7) ** 2)
        )
        close(hessian(rosenbrock)(np.ones(3)), rosenbrock_hessian(np.ones(3)))
        close(jvp(rows, X, V)[1], jacobian(rows)(X) @ V)
        x = Tensor(X, requires_grad=True)
        found = [
            grad(f)(x), *value_and_grad(f)(x), jacobian(rows)(x), hessian(f)(x), hvp(f, x, V),
            *jvp(rows, x, V), vjp(rows, x)[0], vjp(rows, x)[1](np.ones((2, 2))),
        ]  # fmt: skip
        assert not tg.is_grad_enabled()
        assert [t.requires_grad for t in found] == [False] * len(found)


def test_tensors_that_come_back_know_where_they_came_from():
    x = Tensor(X, requires_grad=True)
    close(tg.grad(grad(f)(x).sum(), x), hessian(f)(X).sum(axis=0))
    close(tg.grad(hvp(f, x, V).sum(), x), jacobian(lambda x: hvp(f, x, V))(X).sum(axis=0))
    close(tg.grad(value_and_grad(f)(x)[0], x), df(X))
    y = x * 2  # from an inner tensor, too
    close(tg.grad(grad(f)(y).sum(), x), 2 * hessian(f)(2 * X).sum(axis=0))


# ---------------------------------------------------------------- through networks


def penalty(w1, w2, x):
    """How far the slope of a small network, by its input, is from length 1 (Gulrajani 2017)."""
    x = Tensor(x, requires_grad=True) if not isinstance(x, Tensor) else x
    y = ops.linear(tg.tanh(ops.linear(x, w1)), w2)
    slope = tg.grad(y.sum(), x, create_graph=True)
    return ((tg.norm(slope, axis=1) - 1) ** 2).mean()


def test_a_gradient_penalty_trains_the_weights():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 3))
    w1, w2 = rng.standard_normal((3, 4)), rng.standard_normal((4, 1))
    assert tg.gradcheck(lambda w1, w2: penalty(w1, w2, x), (w1, w2), order=2)

    model = tg.layers.MLP(3, 8, 1, activation=tg.layers.Tanh, rng=0)
    optimizer = tg.optimizers.Adam(model, lr=0.02)
    losses = []
    for _ in range(60):
        batch = Tensor(x, dtype="float32", requires_grad=True)
        slope = tg.grad(model(batch).sum(), batch, create_graph=True)
        loss = ((tg.norm(slope, axis=1) - 1) ** 2).mean() + (model(batch).mean() - 1) ** 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 20


def test_a_step_of_descent_can_be_differentiated_in_its_rate():
    """A gradient of a gradient step: d/drate of f(x - rate f'(x)) is -f'(x - ...) . f'(x)."""

    def after(rate):
        x = Tensor(X)
        return f(x - rate * grad(f)(x))

    expected = -df(X - 0.1 * df(X)) @ df(X)
    assert grad(after)(0.1) == pytest.approx(expected, rel=1e-12)


def test_derivatives_agree_with_torch():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install .[bench]")
    functional = torch.autograd.functional

    def g(lib, x):
        return (lib.tanh(x) * x[0] + lib.exp(-x * x)).sum()

    x = torch.tensor(X)
    close(hessian(lambda x: g(tg, x))(X), functional.hessian(lambda x: g(torch, x), x).numpy())
    hv = functional.hvp(lambda x: g(torch, x), x, torch.tensor(V))[1].numpy()
    close(hvp(lambda x: g(tg, x), X, V), hv)


# ---------------------------------------------------------------- errors


def test_a_function_of_several_numbers_has_no_gradient_but_a_jacobian():
    for call in (grad(tg.tanh), value_and_grad(tg.tanh), hessian(tg.tanh)):
        with pytest.raises(ValueError, match=r"\(3,\).*jacobian.*elementwise_grad"):
            call(X)


def test_directions_must_have_the_shape_of_their_point():
    with pytest.raises(ValueError, match=r"hvp: .*\(3,\).*\(2,\)"):
        hvp(f, X, np.ones(2))
    with pytest.raises(ValueError, match=r"jvp: .*\(3,\).*\(2,\)"):
        jvp(rows, X, np.ones(2))
    with pytest.raises(ValueError, match="jvp"):
        jvp(rows, (X,), (V, V))
    _, pull = vjp(rows, X)
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 2\)"):
        pull(np.ones(3))


def test_the_errors_of_the_function_itself_come_through():
    def broken(x):
        raise ZeroDivisionError("mine")

    for call in (grad(broken), jacobian(broken), hessian(broken)):
        with pytest.raises(ZeroDivisionError, match="mine"):
            call(X)
    assert tg.is_grad_enabled()


def test_text_and_complex_numbers_are_refused():
    for wrong in ("a", 1j, None, np.array([1j]), np.array([None])):
        for derivative in (grad, jacobian):
            with pytest.raises((TypeError, ValueError)):
                derivative(lambda x: (x * x).sum())(wrong)
