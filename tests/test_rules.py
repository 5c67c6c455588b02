"""Rules: ops of one's own, NumPy's functions on Tensors, dtypes that stay, and clear errors."""

import enum
import math
import re
from functools import partial

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import BINARY
from tinygrad_edu import Tensor, differentiable, layers


def leaf(data, dtype="float64"):
    return Tensor(np.array(data, dtype), requires_grad=True)


@differentiable
def cube(x):
    """z = x^3        dx = g 3 x^2

    Not part of the formula.
    """
    return x**3, lambda g: g * 3 * x**2


@differentiable
def scaled(x, factor, offset=0.0):
    """z = x factor + offset        dx = g factor        dfactor = g x"""
    return x * factor + offset, lambda g: g * factor, lambda g: g * x


# ---------------------------------------------------------------- an op of one's own


def test_five_lines_make_an_op_of_any_order():
    x = leaf([1.0, 2.0])
    z = cube(x)
    assert z.tolist() == [1.0, 8.0] and z.op is cube.op
    z.sum().backward()
    assert x.grad.tolist() == [3.0, 12.0]
    assert tg.gradcheck(cube, np.array([1.0, 2.0, -0.5]), order=3)


def test_an_op_keeps_the_name_and_the_documentation_of_its_rule():
    assert cube.__name__ == "cube" and cube.__doc__.startswith("z = x^3")


def test_an_op_knows_its_name_its_formula_and_its_place():
    op = cube.op
    assert isinstance(op, tg.Op) and op.name == "cube"
    assert op.formula == "z = x^3        dx = g 3 x^2"
    assert op.where.file == __file__ and op.where.function == "cube"
    with open(__file__) as file:
        around = file.read().split("\n")[op.where.line - 1 : op.where.line + 1]
    assert "def cube(x):" in around[0] + around[1]  # the decorator, or the line below
    assert repr(op) == f"cube: {op.formula}  ({__file__}:{op.where.line})"


def test_an_op_without_a_docstring_says_so():
    @differentiable
    def _plus_one(x):
        return x + 1, lambda g: g

    assert _plus_one.op.name == "plus_one" and _plus_one.op.formula == ""
    assert repr(_plus_one.op).startswith("plus_one: no formula  (")


def test_an_op_takes_arrays_and_numbers_and_gives_a_tensor():
    for x in (2.0, np.array(2.0), np.array([1.0, 2.0]), Tensor(2.0)):
        z = cube(x)
        assert isinstance(z, Tensor) and z.is_leaf and not z.requires_grad
        np.testing.assert_array_equal(z.data, np.asarray(getattr(x, "data", x)) ** 3)


def test_a_rule_runs_once_forward_and_sees_plain_arrays():
    seen = []

    @differentiable
    def watched(x):
        seen.append(type(x))
        return x * 2, lambda g: g * 2

    x = leaf([1.0])
    watched(x).backward()
    assert seen == [np.ndarray]
    tg.grad(watched(x), x, create_graph=True)
    assert seen == [np.ndarray, np.ndarray, Tensor]


def test_value_in_a_rule_is_an_array_of_arrays_and_a_tensor_of_tensors():
    assert type(cube.value(np.array([1.0, 2.0]))) is np.ndarray
    assert isinstance(cube.value(leaf([1.0, 2.0])), Tensor)


def test_the_engine_sums_over_broadcast_axes_so_rules_need_not():
    a, b = np.arange(1.0, 7.0).reshape(2, 3), np.array([[0.5], [2.0]])
    assert tg.gradcheck(scaled, (a, b), order=2)
    assert tg.gradcheck(scaled, (b, a), order=2)
    assert tg.gradcheck(scaled, (np.array(2.0), a), order=2)
    x = leaf(np.ones((1, 3, 1)))
    (x + np.zeros((5, 2, 3, 4))).sum().backward()
    assert x.grad.shape == (1, 3, 1) and x.grad.ravel().tolist() == [40.0] * 3


# ---------------------------------------------------------------- Tensors by name


def test_tensors_given_by_name_get_their_own_gradients():
    x, f = leaf(2.0), leaf(5.0)
    calls = (
        lambda: scaled(x, f), lambda: scaled(x=x, factor=f), lambda: scaled(factor=f, x=x),
        lambda: scaled(x, factor=f, offset=0.0), lambda: scaled(offset=0.0, factor=f, x=x),
    )  # fmt: skip
    for call in calls:
        assert [g.item() for g in tg.grad(call(), [x, f])] == [5.0, 2.0]


def test_a_tensor_given_by_name_only_is_a_clear_error_where_it_wants_a_gradient():
    """Pullbacks are found by position: such a tensor would get none, without a word."""

    @differentiable
    def named(x, *, factor):
        return x * factor, lambda g: g * factor

    assert named(leaf(2.0), factor=Tensor(5.0)).item() == 10.0
    with pytest.raises(TypeError, match=r"named: .*factor"):
        named(leaf(2.0), factor=leaf(5.0))


def test_unknown_names_are_refused_with_the_name_of_the_op():
    for call in (
        lambda: scaled(leaf(1.0), leaf(1.0), colour=3),
        lambda: scaled(leaf(1.0), factor=leaf(1.0), colour=3),
        lambda: scaled(leaf(1.0), factor=leaf(1.0), x=leaf(1.0)),
        lambda: scaled(x=leaf(1.0)),
    ):
        with pytest.raises(TypeError, match=r"^scaled: .*(colour|x|factor)"):
            call()


# ---------------------------------------------------------------- arguments that are no tensors


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda x, pair: x.reshape(pair(3, 4)), (3, 4)),
        (lambda x, pair: x.transpose(pair(1, 0)), (6, 2)),
        (lambda x, pair: tg.expand_dims(x, pair(0, 1)), (1, 1, 2, 6)),
        (lambda x, pair: tg.tile(x, pair(1, 2)), (2, 12)),
        (lambda x, pair: tg.moveaxis(x, pair(0, 1), pair(1, 0)), (6, 2)),
        (lambda x, pair: tg.roll(x, pair(1, 2), pair(0, 1)), (2, 6)),
        (lambda x, pair: tg.flip(x, pair(0, 1)), (2, 6)),
        (lambda x, pair: tg.pad(x, pair(1, 2)), (5, 9)),
        (lambda x, pair: tg.pad(x, pair(pair(1, 0), pair(0, 1))), (3, 7)),
        (lambda x, pair: tg.broadcast_to(x, pair(2, 6)), (2, 6)),
        (lambda x, pair: tg.tensordot(x, np.ones((6, 2)), pair(pair(0, 1), pair(1, 0))), ()),
        (lambda x, pair: tg.ops.max_pool2d(x.reshape(1, 1, 2, 6), pair(2, 3)), (1, 1, 1, 2)),
        (lambda x, pair: tg.ops.max_pool2d(x.reshape(1, 1, 2, 6), size=pair(2, 3)), (1, 1, 1, 2)),
    ],
)
@pytest.mark.parametrize("kind", [list, tuple])
def test_whole_numbers_in_a_list_name_axes_and_lengths_as_in_a_tuple(call, shape, kind):
    x = leaf(np.arange(12.0).reshape(2, 6))
    z = call(x, lambda *numbers: kind(numbers))
    assert z.shape == shape
    assert tg.grad(z.sum(), x).shape == tg.grad(z.sum(), x, create_graph=True).shape == (2, 6)


def test_members_of_an_int_enum_are_whole_numbers():
    class Axis(enum.IntEnum):
        ROWS = 0
        COLUMNS = 1

    x = leaf(np.ones((2, 3)))
    assert x.sum(Axis.COLUMNS).tolist() == x.sum(axis=Axis.COLUMNS).tolist() == [3.0, 3.0]
    assert x[Axis.ROWS].shape == (3,) and (x + Axis.COLUMNS).data.max() == 2.0


# ---------------------------------------------------------------- what a rule may return


@pytest.mark.parametrize("made", [np.ones(2), [np.ones(2), None], None, 1.0])
def test_a_rule_that_returns_no_tuple_is_told_what_to_return(made):
    @differentiable
    def lonely(x):
        return made

    with pytest.raises(TypeError, match=rf"lonely: .*{type(made).__name__}.*return z, lambda g"):
        lonely(leaf([1.0, 2.0]))


def test_a_rule_may_return_python_numbers_and_numpy_scalars():
    @differentiable
    def total(x):
        return float(np.sum(x)), lambda g: np.broadcast_to(g, x.shape)

    x = leaf([1.0, 2.0])
    z = total(x)
    assert z.shape == () and isinstance(z.data, np.ndarray)
    z.backward()
    assert x.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("given", ["too few", "None"])
def test_an_argument_without_a_pullback_is_an_error_and_never_a_silent_zero(given):
    @differentiable
    def half_done(x, weight):
        if given == "None":
            return x * weight, lambda g: g * weight, None
        return x * weight, lambda g: g * weight

    x, w = leaf(2.0), leaf(3.0)
    with pytest.raises(TypeError, match=r"half_done: .*weight.*detach"):
        half_done(x, w)
    z = half_done(x, w.detach())  # the remedy
    z.backward()
    assert x.grad == 3.0 and w.grad is None
    with tg.no_grad():
        assert half_done(x, w).item() == 6.0
    with pytest.raises(TypeError, match="condition"):
        tg.where(leaf([1.0, 0.0]), 1.0, 2.0)


def test_the_message_names_the_missing_argument_of_many():
    @differentiable
    def joined(first, *others):
        return np.concatenate([first, *others]), lambda g: g[:1]

    with pytest.raises(TypeError, match="others"):
        joined(leaf([1.0]), leaf([2.0]), leaf([3.0]))


@pytest.mark.parametrize("shape", [(3,), (), (2, 2), (3, 2), (1, 6), (4, 3, 2), (2, 3, 1)])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_of_the_wrong_shape_is_refused_with_both_shapes(shape, create_graph):
    """Also where as many numbers, or the transpose, come back: never just reshaped."""

    @differentiable
    def crooked(x):
        return np.sum(x), lambda g: np.ones(shape) * g

    x = leaf(np.ones((2, 3)))
    with pytest.raises(ValueError, match=rf"crooked: .*{re.escape(str(shape))}.*\(2, 3\)"):
        crooked(x).backward(create_graph=create_graph)
    assert x.grad is None


def test_a_second_derivative_that_a_rule_cannot_give_is_an_error():
    """math.tanh turns a Tensor into a number: what the pullback does with it goes unrecorded."""

    @differentiable
    def by_math(x):
        z = math.tanh(x)
        return np.asarray(z), lambda g: g * (1 - z * z)

    x = leaf(0.5)
    assert tg.grad(by_math(x), x).item() == pytest.approx(1 - math.tanh(0.5) ** 2)
    with pytest.raises((TypeError, RuntimeError)):
        g = tg.grad(by_math(x) * x, x, create_graph=True)
        tg.grad(g, x)
    with pytest.raises((TypeError, RuntimeError)):
        tg.derivatives.grad(tg.derivatives.grad(by_math))(0.5)


@pytest.mark.parametrize(
    "blind",
    [
        lambda x: np.asarray(x),
        lambda x: np.array(x),
        lambda x: np.frompyfunc(math.tanh, 1, 1)(x),
        lambda x: np.interp(x, [0.0, 1.0], [0.0, 1.0]),
        lambda x: np.exp(x, out=np.empty(2)),
    ],
    ids=["asarray", "array", "frompyfunc", "interp", "out"],
)
def test_a_rule_that_leaves_the_tensors_is_an_error_at_second_order(blind):
    @differentiable
    def shortcut(x):
        value = np.array(blind(x), float)
        return value * x, lambda g: g * (value + x)

    x = leaf([0.25, 0.5])
    shortcut(x).sum().backward()
    with pytest.raises(TypeError):
        tg.grad(shortcut(x).sum(), x, create_graph=True)


# ---------------------------------------------------------------- NumPy's functions on Tensors


def test_numpy_functions_reach_our_ops():
    x, mask = leaf([[1.0, 2.0], [3.0, 4.0]]), np.array([True, False])
    a = x.data
    found = {
        "exp": (np.exp(x), np.exp(a)),
        "add": (np.add(a, x), a + a),
        "matmul": (np.matmul(a, x), a @ a),
        "where": (np.where(mask, x, 0), np.where(mask, a, 0)),
        "sum": (np.sum(x, axis=0), np.sum(a, axis=0)),
        "mean": (np.mean(x, 1, keepdims=True), np.mean(a, 1, keepdims=True)),
        "add.reduce": (np.add.reduce(x), np.add.reduce(a)),
        "multiply.reduce": (np.multiply.reduce(x, axis=1), np.multiply.reduce(a, axis=1)),
        "maximum.reduce": (np.maximum.reduce(x, 1), np.maximum.reduce(a, 1)),
        "concatenate": (np.concatenate([x, a], axis=1), np.concatenate([a, a], axis=1)),
        "stack": (np.stack([a, x]), np.stack([a, a])),
        "reshape": (np.reshape(x, -1), np.reshape(a, -1)),
        "transpose": (np.transpose(x), a.T),
        "clip": (np.clip(x, 1.5, 3.5), np.clip(a, 1.5, 3.5)),
        "clip by a_min": (np.clip(x, a_min=1.5, a_max=None), np.clip(a, 1.5, None)),
        "clip by min": (np.clip(x, min=1.5), np.clip(a, 1.5, None)),
        "einsum": (np.einsum("ij,kj->ik", x, a), a @ a.T),
        "linalg.inv": (np.linalg.inv(x), np.linalg.inv(a)),
        "linalg.norm": (np.linalg.norm(x, axis=0), np.linalg.norm(a, axis=0)),
        "copy": (np.copy(x), a),
        "ravel": (np.ravel(x), a.ravel()),
        "cumsum": (np.cumsum(x, 1), np.cumsum(a, 1)),
    }
    for name, (ours, theirs) in found.items():
        assert isinstance(ours, Tensor) and ours.requires_grad, name
        np.testing.assert_allclose(ours.data, theirs, rtol=1e-13, err_msg=name)
    g = tg.grad(np.where(mask, np.exp(x), 0).sum(), x)
    np.testing.assert_allclose(g.data, np.where(mask, np.exp(a), 0))


def test_numpy_functions_without_a_gradient_give_plain_arrays():
    x, a = leaf([1.0, np.nan]), np.array([1.0, np.nan])
    for f in (np.isnan, np.isfinite, np.shape, np.ndim, np.size, np.argmax, np.count_nonzero):
        found = f(x)
        assert not isinstance(found, Tensor)
        np.testing.assert_array_equal(found, f(a))
    np.testing.assert_array_equal(np.less(a, x), [False, False])
    assert not np.allclose(x, 1.0) and np.array_equal(leaf([1.0]), [1.0])
    assert np.zeros_like(x).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda t: np.fft.fft(t), "np.fft.fft"),
        (lambda t: np.interp(t, [0, 1], [0, 1]), "np.interp"),
        (lambda t: np.linalg.eigh(t), "np.linalg.eigh"),
        (lambda t: np.gradient(t), "np.gradient"),
        (lambda t: np.gcd(t, t), "np.gcd"),
        (lambda t: np.add.accumulate(t), "np.add.accumulate"),
        (lambda t: np.add.outer(t, t), "np.add.outer"),
        (lambda t: np.subtract.reduce(t), "np.subtract.reduce"),
        (lambda t: np.add.at(np.zeros(2), [0], t), "np.add.at"),
    ],
)
def test_a_numpy_function_without_a_rule_is_refused_by_name_with_the_way_to_add_one(call, name):
    for t in (leaf([1.0, 2.0]), Tensor([1.0, 2.0])):
        with pytest.raises(TypeError, match=rf"^{re.escape(name)} .*differentiable") as refused:
            call(t)
        assert "t.numpy()" in str(refused.value)


def test_ufuncs_of_other_libraries_are_refused_by_name():
    def gamma(x):
        return math.gamma(x)

    ufunc = np.frompyfunc(gamma, 1, 1)  # as SciPy's special functions
    with pytest.raises(TypeError, match=r"gamma.* no rule"):
        ufunc(leaf([1.0, 2.0]))


@pytest.mark.parametrize(
    "call",
    [
        lambda t, out: np.exp(t, out=out),
        lambda t, out: np.exp(np.ones(2), out=t),
        lambda t, out: np.add(t, 1.0, out),
        lambda t, out: np.sum(t, axis=0, out=out),
        lambda t, out: np.add.reduce(t, out=out),
        lambda t, out: np.concatenate([t], out=out),
        lambda t, out: out.__iadd__(t),
        lambda t, out: np.exp(t, where=np.array([True, False])),
        lambda t, out: np.sum(t, where=np.array([True, False])),
        lambda t, out: np.sum(t, dtype=np.float16),
        lambda t, out: np.add(t, t, dtype=np.float16),
    ],
)
def test_writing_into_arrays_and_partial_results_are_refused(call):
    out = np.zeros(2)
    with pytest.raises(TypeError, match=r"out=|where=|dtype=|out'"):
        call(leaf([1.0, 2.0]), out)
    assert out.tolist() == [0.0, 0.0]


def test_a_bare_array_of_a_tensor_that_wants_a_gradient_is_refused():
    x = leaf([1.0, 2.0])
    for convert in (np.asarray, np.array, np.ascontiguousarray, lambda t: np.array([t, t])):
        with pytest.raises(TypeError, match=r"gradient.*numpy\(\)"):
            convert(x)
    constant = x.detach()
    assert np.asarray(constant).tolist() == [1.0, 2.0]
    assert np.asarray(constant, dtype=np.float32).dtype == np.float32
    copied = np.array(constant)
    copied[0] = 9.0
    assert x.tolist() == [1.0, 2.0]


# ---------------------------------------------------------------- never a silent float64

TAKES_TWO = {
    **BINARY,
    **{
        name: getattr(tg, name)
        for name in (
            "add", "subtract", "multiply", "divide", "power", "floor_divide", "remainder",
            "maximum", "minimum", "arctan2", "hypot", "logaddexp", "dot", "inner", "outer",
        )
    },
    "where": lambda a, b: tg.where(np.array([True, False]), a, b),
    "np.add": np.add,
    "np.where": lambda a, b: np.where(np.array([True, False]), a, b),
    "concatenate": lambda a, b: tg.concatenate([a, b]),
    "tensordot": lambda a, b: tg.tensordot(a, b, 1),
    "einsum": lambda a, b: tg.einsum("i,i->i", a, b),
}  # fmt: skip
BESIDE = {
    "a Python float": 2.0,
    "a Python whole number": 2,
    "a Python bool": True,
    "a NumPy float64": np.float64(2.0),
    "a NumPy int64": np.int64(2),
    "a NumPy bool": np.True_,
    "a list of floats": [2.0, 3.0],
    "a list of whole numbers": [2, 3],
    "a tuple": (2.0, 3.0),
    "an array of int64": np.array([2, 3]),
    "an array of int32": np.array([2, 3], np.int32),
    "an array of uint64": np.array([2, 3], np.uint64),
    "an array of bools": np.array([True, True]),
    "a Tensor of int64": Tensor(np.array([2, 3])),
}
NEED_AXES = {"@", "dot", "inner", "concatenate", "tensordot", "einsum"}


def pairs():
    for op in TAKES_TWO:
        for other, b in BESIDE.items():
            if np.ndim(b) or op not in NEED_AXES:
                yield op, other


@pytest.mark.parametrize(("op", "other"), list(pairs()))
def test_float32_stays_float32_beside(op, other):
    f, b = TAKES_TWO[op], BESIDE[other]
    x = Tensor([1.5, 2.5], requires_grad=True)
    plain_lists = isinstance(b, (list, tuple)) and op.startswith("np.")
    for call in (lambda: f(x, b), lambda: f(b, x)):
        if plain_lists:
            continue  # NumPy makes an array of float64 of a list before we are asked
        z = call()
        assert isinstance(z, Tensor) and z.dtype == np.float32 and z.requires_grad
        g = tg.grad(z.sum(), x)
        assert g.dtype == np.float32
        again = tg.grad(z.sum(), x, create_graph=True)
        assert again.dtype == np.float32


@pytest.mark.parametrize("other", ["int8", "int16", "int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_whole_numbers_of_any_width_leave_the_floats_beside_them_alone(dtype, other):
    x, b = Tensor(np.ones(2, dtype)), np.ones(2, other)
    # of float16 and int16 NumPy makes float32: float16 is as coarse or as fine as NumPy has it
    expected = "float32" if (dtype, other) == ("float16", "int16") else dtype
    for z in (x * b, b * x, x + b, x / b, tg.maximum(x, b)):
        assert z.dtype == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.clip(x, low=[0.0, 1.0]),
        lambda x: tg.clip(x, low=np.array([0, 1])),
        lambda x: tg.clip(x, low=np.float64(0.0)),
        lambda x: tg.add(x, y=[1.0, 2.0]),
        lambda x: tg.add(x, y=np.array([1, 2])),
        lambda x: tg.add(x=x, y=[1.0, 2.0]),
        lambda x: tg.where(np.array([True, False]), x, y=[1.0, 2.0]),
        lambda x: tg.linear(x, np.ones((2, 2), np.float32), bias=np.array([1, 2])),
    ],
)
def test_float32_stays_float32_where_the_other_is_given_by_name(call):
    x = Tensor([0.5, 2.5], requires_grad=True)
    assert call(x).dtype == np.float32


def test_arrays_of_float64_do_make_float64_for_they_were_asked_for():
    x = Tensor([1.0, 2.0], requires_grad=True)
    z = x * np.array([1.0, 2.0])
    assert z.dtype == np.float64
    z.sum().backward()
    assert x.grad.dtype == np.float32


def test_reductions_and_functions_keep_the_dtype():
    for dtype in ("float16", "float32", "float64"):
        x = leaf([[1.0, 2.0], [3.0, 4.0]], dtype)
        for f in (
            tg.sum, tg.mean, tg.var, tg.std, tg.norm, tg.prod, tg.max, tg.median, tg.logsumexp,
            tg.exp, tg.sqrt, tg.sigmoid, tg.gelu, tg.erf, tg.softmax, tg.cumsum, tg.sort,
        ):  # fmt: skip
            z = f(x)
            assert z.dtype == dtype, f.__name__
            assert tg.grad(z.sum(), x).dtype == dtype, f.__name__


# ---------------------------------------------------------------- errors


def ones(*shape):
    return leaf(np.ones(shape))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ones(2, 3) + ones(2, 4), r"^add: \(2, 3\) and \(2, 4\): axis -1 has 3 and 4"),
        (lambda: np.ones((4, 3)) * ones(2, 3), r"^multiply: \(4, 3\) and \(2, 3\): axis -2"),
        (lambda: ones(3, 1) - ones(5), None),
        (lambda: ones(32, 10) @ ones(64, 5), r"^matmul: \(32, 10\) @ \(64, 5\): 10 != 64"),
        (lambda: ones(32, 10) @ ones(5, 10), r"10 != 5\. Did you mean x @ w\.T"),
        (lambda: ones(2, 3).reshape(4), r"^reshape: .*6 entries.*\(2, 3\).*\(4,\)"),
        (lambda: tg.concatenate([ones(2, 3), ones(3, 2)]), r"^concatenate: \(2, 3\) and \(3, 2\)"),
        (lambda: ones(2, 3).sum(axis=2), r"^sum: \(2, 3\): axis 2 is out of bounds"),
        (lambda: tg.inv(ones(2, 3)), r"^inv: \(2, 3\): .*square"),
        (lambda: tg.where([True] * 3, ones(2), 0.0), r"^where: \(3,\) and \(2,\): axis -1"),
    ],
)
def test_an_error_names_the_op_and_the_shapes(call, message):
    if message is None:  # these do broadcast
        assert call().shape == (3, 5)
        return
    with pytest.raises(ValueError, match=message):
        call()


def test_an_index_error_stays_an_index_error():
    with pytest.raises(IndexError, match=r"getitem: \(3,\): index 7 is out of bounds"):
        leaf([1.0, 2.0, 3.0])[7]


def test_a_wrong_type_is_a_type_error_with_the_name_of_the_op():
    for call in (
        lambda: leaf([1.0]) + "a",
        lambda: leaf([1.0]) * None,
        lambda: leaf([1.0]) ** {},
        lambda: tg.exp(None),
        lambda: tg.exp("a"),
    ):
        with pytest.raises(TypeError, match=r"^(add|multiply|power|exp): "):
            call()


def test_the_first_error_is_kept_as_the_cause():
    with pytest.raises(ValueError) as refused:
        leaf(np.ones(2)) + np.ones(3)
    assert isinstance(refused.value.__cause__, ValueError)


# ---------------------------------------------------------------- what is no Tensor


class Column:
    """Like a column of a table: it can become an array."""

    def __array__(self, dtype=None, copy=None):
        return np.ones((2, 3), dtype or np.float64)


def test_lists_and_what_can_become_an_array_are_taken():
    layer = layers.Linear(3, 4, rng=0)
    assert layer([1, 2, 3]).shape == (4,)
    assert layer([1, 2, 3]).tolist() == layer([1.0, 2.0, 3.0]).tolist()
    assert layer(Column()).shape == (2, 4)
    assert tg.norm([3, 4]).item() == 5
    assert tg.reshape([1, 2, 3, 4], [2, 2]).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (None, "linear: its first argument is a NoneType, None; give a Tensor or an array"),
        ("a", "linear: its first argument is a str, 'a'"),
        ((tg.ones(2, 3), 1), "is a tuple of 2; give one Tensor. (A recurrent layer"),
    ],
)
def test_what_is_no_array_is_named(x, message):
    with pytest.raises(TypeError) as caught:
        layers.Linear(3, 4, rng=0)(x)
    assert message in str(caught.value)


def test_an_error_that_a_rule_has_put_into_words_is_said_once():
    with pytest.raises(ValueError, match="linear: x") as caught:
        layers.Linear(3, 4, rng=0)(tg.ones(2, 5))
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_a_rule_is_a_function():
    """Its argument names and its place are asked for when it is drawn and explained."""
    for rule in (partial(np.add, 1), np.exp, 3):
        with pytest.raises(
            TypeError, match="differentiable: .* is no function; write one with def"
        ):
            tg.differentiable(rule)


def test_an_op_knows_its_family_and_its_arguments():
    assert tg.multiply.op.family == "arithmetic" and tg.linear.op.family == "neural"
    assert list(tg.linear.op.named((1, 2), {"bias": 3})) == [("x", 1), ("weight", 2), ("bias", 3)]

    @differentiable
    def several(x, *others, axis=0):
        return x, None

    named = list(several.op.named((1, 2, 3), {"axis": 0}))
    assert named == [("x", 1), ("others[0]", 2), ("others[1]", 3), ("axis", 0)]
    made = {"np": np}
    exec("def rule(x):\n    return x * 2, lambda g: g * 2", made)
    del made["__builtins__"]
    assert tg.differentiable(made["rule"]).op.family in ("", "builtins")


def test_the_sum_of_a_number_over_an_axis_is_refused_at_once():
    with pytest.raises(ValueError, match="sum: axis=0: a single number has no axes"):
        tg.Tensor(2.0, requires_grad=True).sum(axis=0)
