"""The layers one by one: what they compute, what they refuse, and that it can be differentiated."""

import re
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import drawn, names
from tinygrad_edu import arrays, initializers, layers, ops
from tinygrad_edu.layers import MLP, Dropout, Embedding, Flatten, Identity, Lambda, Linear, Reshape

ACTIVATIONS = {
    layers.ReLU: ops.relu,
    layers.LeakyReLU: lambda x: ops.leaky_relu(x, 0.01),
    layers.ELU: lambda x: ops.elu(x, 1.0),
    layers.SELU: ops.selu,
    layers.GELU: ops.gelu,
    layers.SiLU: ops.silu,
    layers.Sigmoid: ops.sigmoid,
    layers.Tanh: ops.tanh,
    layers.Softplus: ops.softplus,
    layers.Softmax: lambda x: ops.softmax(x, -1),
    layers.LogSoftmax: lambda x: ops.log_softmax(x, -1),
}


@pytest.fixture
def doubles():
    tg.set_default_dtype("float64")
    yield
    tg.set_default_dtype("float32")


# ---------------------------------------------------------------- Linear


def test_linear_is_x_weight_plus_bias():
    layer, x = Linear(3, 2, rng=0), drawn(5, 3)
    layer.bias.data = np.array([1, -2], "float32")
    np.testing.assert_allclose(
        layer(x).data, x @ layer.weight.data + layer.bias.data, rtol=1e-6, atol=1e-7
    )
    assert layer(drawn(4, 5, 3)).shape == (4, 5, 2)


def test_linear_without_bias_has_one_parameter():
    layer, x = Linear(3, 2, bias=False, rng=0), drawn(5, 3)
    assert layer.bias is None and names(layer) == ["weight"]
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data, rtol=1e-6, atol=1e-7)


def test_linear_begins_with_glorots_weights_and_no_bias():
    layer = Linear(30, 20, rng=3)
    np.testing.assert_array_equal(layer.weight.data, initializers.glorot_uniform((30, 20), rng=3))
    assert layer.bias.tolist() == [0] * 20


def test_linear_takes_other_beginnings_by_name_or_function():
    layer = Linear(4, 4, weight_init="identity", bias_init=lambda shape, rng: np.full(shape, 7.0))
    assert layer.weight.tolist() == np.eye(4).tolist() and layer.bias.tolist() == [7] * 4
    with pytest.raises(ValueError, match="there is no 'glorot'"):
        Linear(2, 2, weight_init="glorot")


def test_a_seed_draws_weights_and_biases_from_one_sequence():
    layer = Linear(3, 3, weight_init="normal", bias_init="normal", rng=0)
    assert not np.isin(layer.bias.data, layer.weight.data).any()


def test_an_initializer_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"Linear: bias: its initializer made \(2,\), not \(3,\)"):
        Linear(2, 3, bias_init=lambda shape, rng: np.zeros(2))


def test_linear_of_the_wrong_width_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(5, 4\).*\(3, 2\)"):
        Linear(3, 2)(np.ones((5, 4), "float32"))


# ---------------------------------------------------------------- Dropout


def test_dropout_keeps_the_mean_and_drops_its_share():
    x = np.ones((400, 400), "float32")
    for rate in (0.1, 0.5, 0.9):
        z = Dropout(rate, rng=0)(x).data
        assert (z == 0).mean() == pytest.approx(rate, abs=0.005)
        assert z.mean() == pytest.approx(1, abs=0.02)
        np.testing.assert_allclose(z[z != 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_gives_the_gradient_to_what_it_kept():
    x = tg.Tensor(np.ones(1000, "float32"), requires_grad=True)
    z = Dropout(0.3, rng=0)(x)
    z.sum().backward()
    np.testing.assert_array_equal(x.grad, z.data)


def test_dropout_in_eval_or_at_rate_0_gives_back_its_input():
    x = tg.Tensor(drawn(3))
    assert Dropout(0.9).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_of_one_seed_draws_one_sequence_and_a_new_mask_each_time():
    x = np.ones(100, "float32")
    one, other = Dropout(0.5, rng=7), Dropout(0.5, rng=7)
    first, second = one(x).data, one(x).data
    assert (first != second).any()
    np.testing.assert_array_equal(first, other(x).data)
    np.testing.assert_array_equal(second, other(x).data)


def test_dropout_without_a_seed_follows_manual_seed():
    x = np.ones(100, "float32")
    tg.manual_seed(3)
    first = Dropout(0.5)(x).data
    tg.manual_seed(3)
    np.testing.assert_array_equal(first, Dropout(0.5)(x).data)


@pytest.mark.parametrize("rate", [1, 1.5, -0.1, 50, float("nan")])
def test_dropout_refuses_a_rate_outside_0_to_1(rate):
    with pytest.raises(ValueError, match=rf"Dropout: rate={rate} is not in \[0, 1\)"):
        Dropout(rate)


@pytest.mark.parametrize("rate", ["0.5", None, True, [0.5]], ids=repr)
def test_dropout_refuses_a_rate_that_is_no_number(rate):
    with pytest.raises(TypeError, match=r"Dropout: rate=.* is no number"):
        Dropout(rate)


def test_dropout_refuses_an_rng_that_is_none():
    with pytest.raises(TypeError, match="rng: '0' is a str"):
        Dropout(0.5, rng="0")


# ---------------------------------------------------------------- Embedding


def test_an_embedding_looks_up_rows():
    layer = Embedding(4, 3, rng=0)
    rows = layer.weight.data
    for x in ([2, 0, 2], np.array([[1, 3], [0, 0]]), 1, np.zeros((0,), int), np.uint8([3])):
        np.testing.assert_array_equal(layer(x).data, rows[np.asarray(x)])
    np.testing.assert_array_equal(layer(tg.Tensor(np.array([3, 1]))).data, rows[[3, 1]])


def test_a_row_that_is_looked_up_several_times_gets_the_sum_of_its_gradients():
    layer = Embedding(4, 2, rng=0)
    g = np.array([[1, 10], [2, 20], [4, 40], [8, 80]], "float32")
    layer([1, 3, 1, 1]).backward(g)
    np.testing.assert_array_equal(layer.weight.grad, [[0, 0], [13, 130], [0, 0], [2, 20]])


def test_an_embedding_begins_even_and_small_as_in_keras():
    rows = Embedding(50, 20, rng=3).weight.data
    np.testing.assert_array_equal(rows, initializers.uniform((50, 20), rng=3))
    assert abs(rows).max() <= 0.05 and rows.std() == pytest.approx(0.05 / 3**0.5, rel=0.1)
    assert Embedding(2, 2, weight_init="ones").weight.tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        ([0, 7, 1], ValueError, r"index 7 at position 1 is not in 0\.\.3"),
        ([[0, 1], [-1, 2]], ValueError, r"index -1 at position \(1, 0\) is not in 0\.\.3"),
        ([0.5, 1.0], TypeError, r"dtype float32; give whole numbers, indices.astype\(int\)"),
    ],
    ids=str,
)
def test_an_embedding_names_what_it_has_no_row_for(x, error, text):
    with pytest.raises(error, match="embedding: .*" + text):
        Embedding(4, 3)(x)


# ---------------------------------------------------------------- shapes, Identity, Lambda


@pytest.mark.parametrize(
    ("shape", "flat"),
    [((2, 3, 4), (2, 12)), ((5,), (5, 1)), ((3, 0, 2), (3, 0)), ((0, 4, 4), (0, 16))],
)
def test_flatten_makes_a_row_of_every_example(shape, flat):
    x = drawn(*shape)
    z = Flatten()(tg.Tensor(x))
    assert z.shape == flat
    np.testing.assert_array_equal(z.data.ravel(), x.ravel())


@pytest.mark.parametrize(
    ("shape", "given", "wanted"),
    [
        ((2, 12), (3, 4), (2, 3, 4)),
        ((2, 3, 4), (12,), (2, 12)),
        ((5, 12), (2, -1, 3), (5, 2, 2, 3)),
        ((5, 12), (-1,), (5, 12)),
        ((5, 1), (), (5,)),
        ((5,), (1, 1), (5, 1, 1)),
        ((0, 12), (4, -1), (0, 4, 3)),
        ((2, 0), (0, 7), (2, 0, 7)),
    ],
)
def test_reshape_gives_every_example_a_shape(shape, given, wanted):
    x = drawn(*shape)
    z = Reshape(*given)(tg.Tensor(x, requires_grad=True))
    assert z.shape == wanted
    np.testing.assert_array_equal(z.data.ravel(), x.ravel())


@pytest.mark.parametrize("given", [(5, 2), (7,), (5, -1), (0, -1), ()], ids=str)
def test_reshape_refuses_what_an_example_does_not_fit_into(given):
    text = f"Reshape: x (2, 3, 4): the 12 numbers of an example do not fit into {given}."
    with pytest.raises(ValueError, match=re.escape(text)):
        Reshape(*given)(drawn(2, 3, 4))


def test_reshape_refuses_more_than_one_unknown_length():
    with pytest.raises(ValueError, match=r"Reshape: \(-1, 2, -1\): at most one"):
        Reshape(-1, 2, -1)


@pytest.mark.parametrize("layer", [Flatten(), Reshape(1)], ids=str)
def test_a_single_number_is_no_batch(layer):
    with pytest.raises(ValueError, match=rf"{type(layer).__name__}: x is a single number"):
        layer(tg.Tensor(1.0))


def test_identity_gives_back_what_it_gets():
    x = object()
    assert Identity()(x) is x


def test_lambda_is_any_function_as_a_layer():
    layer = Lambda(lambda x, y, scale=1: (x + y) * scale)
    assert layer(tg.Tensor(1.0), 2.0, scale=3).item() == 9
    assert layer.parameters() == []
    with pytest.raises(TypeError, match="Lambda: 3 is no function"):
        Lambda(3)


@pytest.mark.parametrize("kind", ACTIVATIONS, ids=lambda kind: kind.__name__)
def test_an_activation_layer_is_its_op(kind):
    x = tg.Tensor(drawn(4, 5), requires_grad=True)
    layer = kind()
    expected = ACTIVATIONS[kind](x)
    found = layer(x)
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.op is expected.op
    assert layer.parameters() == []


def test_every_activation_layer_is_compared_with_its_op():
    names = set(layers.activations.__all__) - {"get"}
    assert {getattr(layers, name) for name in names} == ACTIVATIONS.keys()


def test_every_activation_has_its_name():
    assert set(layers.activations.NAMES.values()) == ACTIVATIONS.keys()
    for name, kind in layers.activations.NAMES.items():
        assert type(layers.activations.get(name)) is kind
        assert name == "swish" or name.replace("_", "") == kind.__name__.lower()


def test_an_activation_may_also_be_what_makes_one_or_a_layer():
    made = layers.activations.get(lambda: layers.ELU(0.3))
    assert repr(made) == "ELU(0.3)" and layers.activations.get(made) is made


@pytest.mark.parametrize("odd", ["rellu", "", None, 3], ids=repr)
def test_an_unknown_activation_is_refused_with_the_known_ones(odd):
    with pytest.raises(ValueError, match=rf"there is no {odd!r}; there are elu, .*, tanh"):
        layers.activations.get(odd)


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (layers.LeakyReLU(0.3), lambda x: ops.leaky_relu(x, 0.3)),
        (layers.ELU(2.0), lambda x: ops.elu(x, 2.0)),
        (layers.Softmax(axis=0), lambda x: ops.softmax(x, 0)),
        (layers.LogSoftmax(axis=0), lambda x: ops.log_softmax(x, 0)),
    ],
    ids=str,
)
def test_an_activation_layer_passes_its_setting_on(layer, op):
    x = tg.Tensor(drawn(4, 5))
    np.testing.assert_array_equal(layer(x).data, op(x).data)


# ---------------------------------------------------------------- gradients


def gradcheck(layer, x):
    """Check a layer to order 2, over its input and all of its parameters."""
    owners = [
        (inner, name)
        for inner in layer.layers()
        for name, p in vars(inner).items()
        if isinstance(p, tg.Tensor)
    ]

    def f(x, *parameters):
        for (inner, name), p in zip(owners, parameters, strict=True):
            setattr(inner, name, p)
        return ops.tanh(layer(x))

    drawings = (drawn(*getattr(*owner).shape, seed=i + 1) for i, owner in enumerate(owners))
    return tg.gradcheck(f, (x, *drawings), order=2)


@pytest.mark.parametrize(
    "layer",
    [
        Linear(4, 3, rng=0),
        Linear(4, 3, bias=False, rng=0),
        MLP(4, 3, 2, activation="tanh", rng=0),
        Reshape(2, 2),
        Flatten(),
        Dropout(0.5).eval(),
        *(kind() for kind in ACTIVATIONS),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_gradients_are_those_of_differences_to_order_2(layer):
    assert gradcheck(layer, drawn(3, 4, dtype="float64"))


def test_gradients_of_rows_are_those_of_differences_to_order_2():
    layer = Embedding(4, 2)

    def f(weight):
        layer.weight = weight
        return ops.exp(layer([[1, 3], [1, 1]]))

    assert tg.gradcheck(f, drawn(4, 2), order=2)


# ---------------------------------------------------------------- double precision


def test_a_model_made_under_float64_computes_in_it(doubles):
    model, x = MLP(3, 4, 2, dropout=0.5, rng=0), drawn(5, 3, dtype="float64")
    assert {p.dtype.name for p in model.parameters()} == {"float64"}
    z = model(x)
    z.sum().backward()
    assert z.dtype == np.float64
    assert {p.grad.dtype.name for p in model.parameters()} == {"float64"}
    assert arrays.default_dtype() == np.float64


def test_a_model_can_be_turned_to_float64_by_its_data():
    model, x = MLP(3, 4, 2, rng=0), drawn(5, 3, dtype="float64")
    for p in model.parameters():
        p.data = p.data.astype("float64")
    z = model(x)
    z.sum().backward()
    assert z.dtype == np.float64
    assert {p.grad.dtype.name for p in model.parameters()} == {"float64"}


def test_a_float32_model_stays_in_float32():
    model = MLP(3, 4, 2, dropout=0.2, activation=layers.GELU, rng=0)
    z = model(drawn(5, 3)) * 2.0
    z.sum().backward()
    assert z.dtype == np.float32
    assert {p.grad.dtype.name for p in model.parameters()} == {"float32"}


# ---------------------------------------------------------------- what a layer is made with


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Linear(3.0, 2), TypeError, "Linear: inputs=3.0 is no whole number"),
        (lambda: Linear(2, "3"), TypeError, "Linear: outputs='3' is no whole number"),
        (lambda: Linear(True, 2), TypeError, "Linear: inputs=True is no whole number"),
        (lambda: Linear((2, 3), 2), TypeError, r"Linear: inputs=\(2, 3\) is no whole number"),
        (lambda: Linear(0, 2), ValueError, "Linear: inputs=0 is too small; .* at least 1"),
        (lambda: Linear(2, -1), ValueError, "Linear: outputs=-1 is too small"),
        (lambda: Linear(2, 2, rng="0"), TypeError, "rng: '0' is a str"),
        (lambda: Embedding(2.5, 2), TypeError, "Embedding: rows=2.5 is no whole number"),
        (lambda: Embedding(2, 0), ValueError, "Embedding: size=0 is too small"),
        (lambda: Reshape(2, "x"), TypeError, "Reshape: a length='x' is no whole number"),
        (lambda: Reshape(-2), ValueError, "Reshape: a length=-2 is too small"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_numpys_whole_numbers_are_sizes_too():
    assert Linear(np.int64(3), np.uint8(2)).weight.shape == (3, 2)


@pytest.mark.parametrize("room", ["convolution", "normalization", "summary"])
def test_rare_layers_are_loaded_when_first_asked_for(room):
    script = f"import sys, tinygrad_edu as tg; print('tinygrad_edu.layers.{room}' in sys.modules)"
    script += f"; tg.layers.{room}; from tinygrad_edu.layers import *; Conv2d, BatchNorm"
    script += "; print(dir(tg.layers).count('Conv2d'), hasattr(tg.layers, 'Conv9d'))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "1", "False"]
