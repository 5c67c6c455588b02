"""Training: the three loops as the article writes them, whatever form the parameters have."""

import inspect
import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.training import (
    clip_grad_norm,
    clip_grad_value,
    evaluate_gradient,
    get_batches,
    parameters_to_vector,
    vector_to_parameters,
)

SLOPES, OFFSET = np.array([2.0, -3.0]), 0.5


def leaf(*numbers, dtype="float32"):
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, dtype)
    return tg.Tensor(data, requires_grad=True)


# ---------------------------------------------------------------- the three loops
#
# The problem: rows (x1, x2, y) with y = 2 x1 - 3 x2 + 0.5, to be found by least squares.


def rows(n=200):
    x = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    return np.column_stack([x, x @ SLOPES + OFFSET])


def split(data):
    """The examples of a batch, or the one of a single row."""
    data = np.atleast_2d(data)
    return data[:, :2], data[:, 2]


def of_vector(data, params):
    x, y = split(data)
    return ((x @ params[:2] + params[2] - y) ** 2).mean() / 2


def of_pair(data, params):
    x, y = split(data)
    slopes, offset = params
    return ((x @ slopes + offset - y) ** 2).mean() / 2


def of_dict(data, params):
    x, y = split(data)
    return ((x @ params["slopes"] + params["offset"] - y) ** 2).mean() / 2


def of_nest(data, params):
    x, y = split(data)
    (first, second), rest = params["layer"]["slopes"], params["rest"]
    return ((x[:, 0] * first + x[:, 1] * second + rest[0] - y) ** 2).mean() / 2


FORMS = {
    "vector": (of_vector, lambda: np.zeros(3)),
    "tensor": (of_vector, lambda: tg.Tensor(np.zeros(3))),
    "list": (of_pair, lambda: [np.zeros(2), np.zeros(())]),
    "tuple": (of_pair, lambda: (np.zeros(2), 0.0)),
    "list of tensors": (of_pair, lambda: [tg.Tensor(np.zeros(2)), tg.Tensor(np.zeros(()))]),
    "dict": (of_dict, lambda: {"slopes": np.zeros(2), "offset": 0.0}),
    "nest": (of_nest, lambda: {"layer": {"slopes": (0.0, np.zeros(()))}, "rest": [0]}),
}
each_form = pytest.mark.parametrize("form", FORMS)
each_rate = pytest.mark.parametrize("learning_rate", [0.5, 1, np.float64(0.5), np.float32(0.5)])


def flat(params):
    """All numbers of a structure in one list."""
    if isinstance(params, dict):
        return [x for entry in params.values() for x in flat(entry)]
    if isinstance(params, (list, tuple)):
        return [x for entry in params for x in flat(entry)]
    return np.ravel(params.data if isinstance(params, tg.Tensor) else params).tolist()


def assert_solved(params, like):
    assert type(params) is type(like)
    np.testing.assert_allclose(flat(params), [*SLOPES, OFFSET], atol=1e-2)


@each_form
@each_rate
def test_batch_descent_runs_as_written(form, learning_rate):
    loss_function, start = FORMS[form]
    nb_epochs, data, params = 60, rows(), start()

    for i in range(nb_epochs):  # noqa: B007
        params_grad = evaluate_gradient(loss_function, data, params)
        params = params - learning_rate * params_grad

    assert_solved(params, start())


@each_form
def test_stochastic_descent_runs_as_written(form):
    loss_function, start = FORMS[form]
    nb_epochs, data, params, learning_rate = 10, rows(), start(), 0.2
    np.random.seed(0)

    for i in range(nb_epochs):  # noqa: B007
        np.random.shuffle(data)
        for example in data:
            params_grad = evaluate_gradient(loss_function, example, params)
            params = params - learning_rate * params_grad

    assert_solved(params, start())


@each_form
@each_rate
def test_mini_batch_descent_runs_as_written(form, learning_rate):
    loss_function, start = FORMS[form]
    nb_epochs, data, params = 20, rows(), start()
    np.random.seed(0)

    for i in range(nb_epochs):  # noqa: B007
        np.random.shuffle(data)
        for batch in get_batches(data, batch_size=50):
            params_grad = evaluate_gradient(loss_function, batch, params)
            params = params - learning_rate * params_grad

    assert_solved(params, start())


def test_one_step_by_hand():
    params_grad = evaluate_gradient(lambda data, p: (data * p**2).sum(), 3.0, np.array([1.0, 2.0]))
    assert params_grad.tolist() == [6, 12]
    assert (np.array([1.0, 2.0]) - 0.1 * params_grad).tolist() == pytest.approx([0.4, 0.8])


# ---------------------------------------------------------------- evaluate_gradient


def squares(data, params):
    total = 0.0
    for p in params.values() if isinstance(params, dict) else params:
        total = total + (p * p).sum() * data
    return total


def test_the_gradient_has_the_structure_shapes_and_dtypes_of_the_parameters():
    params = [np.ones((2, 3), "float32"), np.ones(4), np.ones((), "float16"), 1.0, 2, np.float64(3)]
    gradient = evaluate_gradient(squares, 1.0, params)
    assert isinstance(gradient, list) and len(gradient) == 6
    assert [np.shape(g) for g in gradient] == [(2, 3), (4,), (), (), (), ()]
    assert [getattr(g, "dtype", type(g)) for g in gradient] == [
        np.float32, np.float64, np.float16, float, float, float
    ]  # fmt: skip
    assert flat(gradient) == [2] * 11 + [2, 4, 6]


@each_form
def test_the_parameters_themselves_are_left_alone(form):
    loss_function, start = FORMS[form]
    params, data = start(), rows(5)
    before, rows_before = flat(params), data.copy()
    gradient = evaluate_gradient(loss_function, data, params)
    assert flat(params) == before and any(flat(gradient))
    np.testing.assert_array_equal(data, rows_before)


def test_tensors_that_require_grad_keep_their_own_gradient():
    w = leaf(1, 2)
    assert evaluate_gradient(squares, 1.0, [w])[0].tolist() == [2, 4]
    assert w.grad is None and w.is_leaf


def test_whole_numbers_are_differentiated_as_floats():
    gradient = evaluate_gradient(squares, 1.0, {"w": np.array([1, 2]), "b": 3})
    assert gradient["w"].dtype == np.float64 and gradient["w"].tolist() == [2, 4]
    assert gradient["b"] == 6 and isinstance(gradient["b"], float)


def test_parameters_that_the_loss_does_not_use_get_zeros():
    params = {"used": np.ones(2), "unused": np.ones((2, 3), "float32"), "number": 5.0}
    gradient = evaluate_gradient(lambda data, p: p["used"].sum(), None, params)
    assert gradient["used"].tolist() == [1, 1]
    assert gradient["unused"].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert gradient["unused"].dtype == np.float32 and gradient["number"] == 0.0
    gradient = evaluate_gradient(lambda data, p: tg.Tensor(1.0), None, [np.ones(2), 3.0])
    assert flat(gradient) == [0, 0, 0]


def test_a_gradient_can_be_scaled_from_either_side_negated_and_subtracted():
    for params in ([np.ones(2), 1.0], {"w": np.ones(2), "b": 1.0}):
        gradient = evaluate_gradient(squares, 1.0, params)
        for scaled in (gradient * 3, 3 * gradient, gradient * 3.0, np.float64(3) * gradient):
            assert flat(scaled) == [6, 6, 6]
            assert flat(params - scaled) == [-5, -5, -5]
        assert flat(params + -gradient) == [-1, -1, -1]
        assert flat(params - 0.5 * (2 * gradient)) == [-1, -1, -1]
        assert type(params - gradient) is type(params)


def test_gradients_of_lists_add_up_and_do_not_grow_longer():
    for params in ([np.ones(2), 1.0], {"w": np.ones(2), "b": 1.0}):
        gradient = evaluate_gradient(squares, 1.0, params)
        assert flat(gradient + gradient) == [4, 4, 4]


def test_parameters_and_gradient_of_other_lengths_are_refused():
    gradient = evaluate_gradient(squares, 1.0, [1.0, 2.0])
    with pytest.raises(ValueError, match="zip"):
        [1.0] - gradient


def test_a_loss_that_is_no_tensor_is_refused_by_type():
    with pytest.raises(TypeError, match="evaluate_gradient: the loss is a float, not a Tensor"):
        evaluate_gradient(lambda data, p: p.sum().item(), None, np.ones(2))


def test_a_loss_of_several_numbers_is_refused():
    with pytest.raises(RuntimeError, match=r"a tensor of shape \(2,\) is not one number"):
        evaluate_gradient(lambda data, p: p * 2, None, np.ones(2))


@pytest.mark.parametrize("odd", [None, "w", True, 1j, np.array(["w"])], ids=repr)
def test_a_parameter_that_is_no_number_is_refused(odd):
    with pytest.raises(TypeError, match=r"evaluate_gradient: a parameter .* is no number"):
        evaluate_gradient(squares, 1.0, [np.ones(2), odd])


def test_models_and_losses_of_the_library_can_be_inside():
    x, y = rows()[:, :2], rows()[:, 2:]
    params = [np.zeros((2, 1)), np.zeros(1)]
    for _ in range(100):
        gradient = evaluate_gradient(
            lambda data, p: tg.losses.mean_squared_error(tg.linear(data[0], *p), data[1]),
            (x, y),
            params,
        )
        params = params - 0.5 * gradient
    np.testing.assert_allclose(flat(params), [*SLOPES, OFFSET], atol=1e-3)


# ---------------------------------------------------------------- get_batches


def test_batches_of_an_array_are_its_rows_in_order_and_the_last_may_be_short():
    data = np.arange(14).reshape(7, 2)
    batches = list(get_batches(data, batch_size=3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(batches), data)


@pytest.mark.parametrize("size", [1, 7, 8, 1000, np.int64(3)])
def test_any_batch_size_gives_every_row_once(size):
    assert [x for batch in get_batches(np.arange(7), size) for x in batch] == list(range(7))


def test_a_batch_has_50_rows_unless_told():
    assert [len(batch) for batch in get_batches(np.zeros(120))] == [50, 50, 20]
    assert inspect.signature(get_batches).parameters["batch_size"].default == 50


@pytest.mark.parametrize("shuffle", [False, True])
def test_arrays_of_a_tuple_keep_their_rows_together(shuffle):
    x, y = np.arange(10).reshape(5, 2), [0, 1, 2, 3, 4]
    batches = list(get_batches((x, y, tg.Tensor(x)), 2, shuffle=shuffle, rng=0))
    assert all(type(batch) is tuple and len(batch) == 3 for batch in batches)
    for a, b, c in batches:
        np.testing.assert_array_equal(a[:, 0], 2 * b)
        np.testing.assert_array_equal(a, c.data)
    assert sorted(i for _, b, _ in batches for i in b.tolist()) == [0, 1, 2, 3, 4]


def test_a_tuple_of_one_array_gives_tuples_and_a_list_gives_arrays():
    assert [type(batch) for batch in get_batches((np.arange(3),), 2)] == [tuple, tuple]
    (batch,) = get_batches([[1, 2], [3, 4]])
    assert isinstance(batch, np.ndarray) and batch.tolist() == [[1, 2], [3, 4]]


def test_batches_of_a_tensor_are_tensors():
    first, last = get_batches(tg.Tensor([[1.0], [2.0], [3.0]]), 2)
    assert isinstance(first, tg.Tensor) and last.tolist() == [[3]]
    (batch,) = get_batches(tg.Tensor([1.0, 2.0, 3.0]), shuffle=True, rng=0)
    assert isinstance(batch, tg.Tensor) and sorted(batch.tolist()) == [1, 2, 3]


def test_gradients_flow_through_a_batch_to_the_tensor_it_is_of():
    w = leaf(1, 2, 3)
    _, last = get_batches(w, 2)
    (last * 5).sum().backward()
    assert w.grad.tolist() == [0, 0, 5]


def test_shuffling_leaves_the_data_where_it_is_and_follows_its_seed():
    data = np.arange(100)

    def order(rng):
        return np.concatenate(list(get_batches(data, 7, shuffle=True, rng=rng))).tolist()

    assert order(1) == order(1) != order(2)
    assert sorted(order(1)) == data.tolist() != order(1)
    assert data.tolist() == list(range(100))


def test_a_generator_shuffles_every_epoch_anew_and_the_default_one_follows_manual_seed():
    data, rng = np.arange(50), np.random.default_rng(3)
    batches = get_batches(data, 50, shuffle=True, rng=rng)
    first, second = (next(iter(batches)).tolist() for _ in "ab")
    assert first != second
    tg.manual_seed(3)
    assert next(iter(get_batches(data, 50, shuffle=True))).tolist() == first


def test_shuffling_never_touches_numpys_global_generator():
    before = np.random.get_state()[1].copy()
    list(get_batches(np.arange(9), 2, shuffle=True))
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (np.zeros((0, 3)), {}, ValueError, "there are no rows"),
        (np.zeros(()), {}, ValueError, "there are no rows"),
        ([], {}, ValueError, "there are no rows"),
        ((), {}, ValueError, "equal lengths|no rows"),
        ((np.zeros(3), np.zeros(4)), {}, ValueError, r"arrays of lengths \[3, 4\]"),
        (np.zeros(3), {"batch_size": 0}, ValueError, "batch_size=0"),
        (np.zeros(3), {"batch_size": -5}, ValueError, "batch_size=-5"),
        (np.zeros(3), {"batch_size": 2.5}, (TypeError, ValueError), "batch_size=2.5"),
        (np.zeros(3), {"batch_size": math.nan}, (TypeError, ValueError), "batch_size=nan"),
        (np.zeros(3), {"shuffle": True, "rng": "0"}, TypeError, "rng: '0' is a str"),
    ],
    ids=str,
)
def test_what_makes_no_batches_is_refused_at_once(data, options, error, message):
    with pytest.raises(error, match=message):
        get_batches(data, **options)  # before anybody asks for the first batch


# ---------------------------------------------------------------- clipping gradients


def with_gradients(*gradients, dtype="float32"):
    parameters = [leaf(np.zeros(np.shape(g)), dtype=dtype) for g in gradients]
    for p, g in zip(parameters, gradients, strict=True):
        p.grad = np.array(g, dtype)
    return parameters


def test_clip_grad_norm_scales_all_gradients_together_and_returns_their_length():
    parameters = with_gradients([[2, 4]], 4, [8])
    assert clip_grad_norm(parameters, 5.0) == pytest.approx(10)
    np.testing.assert_allclose([*parameters[0].grad[0], parameters[1].grad], [1, 2, 2], rtol=1e-6)
    assert parameters[2].grad.tolist() == [4] and parameters[0].grad.dtype == np.float32
    assert clip_grad_norm(parameters, 5.0) == pytest.approx(5)


def test_clip_grad_norm_leaves_short_gradients_alone():
    (p,) = with_gradients([3, 4])
    assert clip_grad_norm([p], 5.5) == 5 and p.grad.tolist() == [3, 4]
    assert clip_grad_norm(p, math.inf) == 5 and p.grad.tolist() == [3, 4]


def test_clip_grad_norm_takes_gradients_too_large_to_square():
    (p,) = with_gradients([3e25, -4e25])
    assert clip_grad_norm([p], 1.0) == pytest.approx(5e25)
    np.testing.assert_allclose(p.grad, [0.6, -0.8], rtol=1e-5)


def test_clip_grad_value_brings_every_entry_into_its_bounds():
    parameters = with_gradients([[-3, 0.5]], 7)
    assert clip_grad_value(parameters, 2) is None
    assert parameters[0].grad.tolist() == [[-2, 0.5]] and parameters[1].grad == 2


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_clipping_takes_a_layer_a_list_or_one_tensor_and_skips_what_has_no_gradient(clip):
    model = tg.layers.Linear(1, 1, rng=0)
    model(np.full((1, 1), 100, "float32")).sum().backward()
    model.bias.grad = None
    clip(model, 2)
    assert model.weight.grad.tolist() == [[2]] and model.bias.grad is None
    (p,) = with_gradients([9])
    clip(p, 3)
    clip([p], 3)
    assert p.grad.tolist() == [3]


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_clipped_gradients_stay_in_the_arena(clip):
    w = leaf(1)
    optimizer = tg.optimizers.SGD(w, lr=1)
    (w * 10).backward()
    clip(w, 0.5)
    optimizer.step()
    assert w.item() == 0.5


@pytest.mark.parametrize("bound", [0, -1, math.nan], ids=str)
@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_a_bound_that_is_not_positive_is_refused(clip, bound):
    (p,) = with_gradients([1])
    with pytest.raises(ValueError, match=rf"{clip.__name__}: max_\w+={bound} must be positive"):
        clip(p, bound)
    assert p.grad.tolist() == [1]


# ---------------------------------------------------------------- parameters as a vector


def test_parameters_go_into_a_vector_and_back():
    model = tg.layers.MLP(3, 4, 2, rng=0)
    vector = parameters_to_vector(model)
    assert vector.shape == (3 * 4 + 4 + 4 * 2 + 2,) and vector.dtype == np.float32
    other = tg.layers.MLP(3, 4, 2, rng=1)
    vector_to_parameters(vector, other)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_the_vector_is_a_copy():
    w = leaf(1, 2)
    vector = parameters_to_vector(w)
    vector += 1
    assert w.tolist() == [1, 2]


def test_the_vector_may_be_a_list_or_a_tensor_and_parameters_stay_where_they_are():
    w, b = leaf([1, 2], [3, 4]), leaf(5)
    optimizer = tg.optimizers.SGD([w, b], lr=1)
    for vector in ([6, 7, 8, 9, 10], tg.Tensor([6.0, 7.0, 8.0, 9.0, 10.0])):
        vector_to_parameters(vector, [w, b])
        assert w.tolist() == [[6, 7], [8, 9]] and b.item() == 10
    (b * 1).backward()
    w.grad = np.zeros((2, 2), "float32")
    optimizer.step()
    assert b.item() == 9 and w.dtype == np.float32


def test_a_graph_from_before_is_refused_after_writing():
    w = leaf(1, 2)
    loss = (w * w).sum()
    vector_to_parameters([3, 4], w)
    with pytest.raises(RuntimeError, match="was changed"):
        loss.backward()


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 2), ()], ids=str)
def test_a_vector_of_another_length_is_refused(shape):
    parameters = [leaf(1, 2), leaf(3, 4)]
    with pytest.raises(ValueError, match=r"vector_to_parameters: .*for 4 numbers") as caught:
        vector_to_parameters(np.zeros(shape), parameters)
    assert str(shape) in str(caught.value)
    assert parameters[0].tolist() == [1, 2]


def test_batches_can_be_gone_through_again_in_another_order():
    batches = get_batches(np.arange(10), 4, shuffle=True, rng=0)
    assert len(batches) == 3
    first, second = (np.concatenate(list(batches)).tolist() for _ in "ab")
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
