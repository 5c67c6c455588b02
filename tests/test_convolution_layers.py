"""Convolution and pooling as layers: their ops with the settings given once, checked at once."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import drawn
from tinygrad_edu import initializers, ops
from tinygrad_edu.layers import AvgPool2d, Conv1d, Conv2d, Flatten, Linear, MaxPool2d, Sequential
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.optimizers import Adam

CONVOLUTIONS = [
    (Conv1d, (2, 4, 3), {}, (2, 2, 7), (2, 4, 5)),
    (Conv1d, (2, 4, 4), {"padding": "same"}, (2, 2, 7), (2, 4, 7)),
    (Conv1d, (4, 2, 3), {"stride": 2, "padding": 1, "groups": 2}, (1, 4, 7), (1, 2, 4)),
    (Conv1d, (2, 3, 3), {"padding": ((2, 0),)}, (2, 2, 6), (2, 3, 6)),
    (Conv2d, (1, 3, 3), {"bias": False}, (2, 1, 5, 4), (2, 3, 3, 2)),
    (Conv2d, (2, 3, (1, 2)), {"dilation": (1, 2), "padding": "valid"}, (2, 2, 3, 5), (2, 3, 3, 3)),
    (Conv2d, (2, 2, 2), {"stride": (2, 1), "padding": ((0, 1), 1)}, (1, 2, 3, 4), (1, 2, 2, 5)),
    (Conv2d, (4, 4, 3), {"groups": 4, "padding": "same"}, (1, 4, 3, 3), (1, 4, 3, 3)),
]
each_convolution = pytest.mark.parametrize(
    ("kind", "sizes", "options", "shape", "result"), CONVOLUTIONS, ids=str
)


@each_convolution
def test_a_convolution_is_its_op_with_its_settings(kind, sizes, options, shape, result):
    layer, x = kind(*sizes, rng=0, **options), drawn(*shape)
    op = {Conv1d: ops.conv1d, Conv2d: ops.conv2d}[kind]
    how = {name: value for name, value in options.items() if name != "bias"}
    z = layer(x)
    assert z.shape == result and z.dtype == np.float32 and z.op is op.op
    np.testing.assert_array_equal(z.data, op(x, layer.weight, layer.bias, **how).data)


@each_convolution
def test_its_gradient_is_that_of_differences_to_order_2(kind, sizes, options, shape, result):
    layer = kind(*sizes, rng=0, **options)

    def f(x, weight, bias=None):
        layer.weight, layer.bias = weight, bias
        return layer(x)

    inputs = [drawn(*shape, dtype="float64"), layer.weight.data]
    inputs += [drawn(sizes[1], seed=1)] if layer.bias is not None else []
    assert tg.gradcheck(f, inputs, order=2)


def test_a_convolution_begins_with_glorots_weights_and_no_bias():
    layer = Conv2d(4, 6, 3, groups=2, rng=3)
    wanted = initializers.glorot_uniform((6, 2, 3, 3), rng=3)
    np.testing.assert_array_equal(layer.weight.data, wanted)
    assert layer.bias.tolist() == [0] * 6
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    bare = Conv1d(2, 3, 5, bias=False, weight_init="ones")
    assert bare.bias is None and bare.weight.tolist() == np.ones((3, 2, 5)).tolist()


def test_a_seed_draws_weights_and_biases_from_one_sequence():
    layer = Conv1d(2, 2, 2, weight_init="normal", bias_init="normal", rng=0)
    assert not np.isin(layer.bias.data, layer.weight.data).any()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Conv2d(1.0, 2, 3), TypeError, "Conv2d: inputs=1.0 is no whole number"),
        (lambda: Conv1d(1, 0, 3), ValueError, "Conv1d: outputs=0 is too small"),
        (lambda: Conv2d(1, 2, 0), ValueError, "Conv2d: size=0 is too small"),
        (lambda: Conv2d(1, 2, (3, 3, 3)), ValueError, r"size=\(3, 3, 3\) has 3 numbers; .* 2 of"),
        (lambda: Conv1d(1, 2, (3, 3)), ValueError, r"Conv1d: size=\(3, 3\) has 2 numbers"),
        (lambda: Conv2d(1, 2, 3, stride=0), ValueError, "Conv2d: stride=0 is too small"),
        (lambda: Conv2d(1, 2, 3, stride=1.5), TypeError, "Conv2d: stride=1.5 is no whole"),
        (lambda: Conv2d(1, 2, 3, dilation=0), ValueError, "Conv2d: dilation=0 is too small"),
        (lambda: Conv2d(1, 2, 3, padding=-1), ValueError, "Conv2d: padding=-1 is too small"),
        (
            lambda: Conv2d(1, 2, 3, padding="full"),
            ValueError,
            "Conv2d: padding='full'; give 'same'",
        ),
        (lambda: Conv2d(1, 2, 3, padding=(1, 1, 1)), ValueError, r"padding=\(1, 1, 1\); give a"),
        (lambda: Conv2d(1, 2, 3, 2, "same"), ValueError, "padding='same' is for stride=1, not 2"),
        (lambda: Conv2d(3, 4, 3, groups=2), ValueError, "groups=2 must divide inputs=3 and"),
        (lambda: Conv2d(4, 3, 3, groups=2), ValueError, "groups=2 must divide .* outputs=3"),
        (lambda: Conv2d(4, 4, 3, groups=0), ValueError, "Conv2d: groups=0 is too small"),
        (lambda: Conv2d(1, 2, 3, weight_init="glorot"), ValueError, "there is no 'glorot'"),
        (lambda: MaxPool2d(0), ValueError, "MaxPool2d: size=0 is too small"),
        (lambda: MaxPool2d("2"), TypeError, "MaxPool2d: size='2' is no whole number"),
        (lambda: AvgPool2d(2, stride=-1), ValueError, "AvgPool2d: stride=-1 is too small"),
        (lambda: AvgPool2d(2, padding="same"), ValueError, "AvgPool2d: padding='same' is for"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "text"),
    [
        (Conv2d(3, 2, 3), (1, 1, 5, 5), "x has 1 channels, the weight is for 3"),
        (Conv2d(1, 2, 3), (5, 5), r"make x \(batch, channels, height, width\)"),
        (Conv1d(1, 2, 3), (2, 1, 2), r"do not fit into \(2,\)"),
        (MaxPool2d(2), (5, 5), r"make it \(batch, channels, height, width\)"),
    ],
    ids=str,
)
def test_an_input_that_does_not_fit_is_refused_by_name(layer, shape, text):
    name = {Conv1d: "conv1d", Conv2d: "conv2d", MaxPool2d: "max_pool2d"}[type(layer)]
    with pytest.raises(ValueError, match=f"^{name}: .*{text}"):
        layer(drawn(*shape))


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (MaxPool2d(2), lambda x: ops.max_pool2d(x, 2)),
        (MaxPool2d((2, 3), stride=1, padding=(1, 0)),
         lambda x: ops.max_pool2d(x, (2, 3), 1, (1, 0))),
        (AvgPool2d(2), lambda x: ops.avg_pool2d(x, 2)),
        (AvgPool2d(3, (2, 1), 1), lambda x: ops.avg_pool2d(x, 3, (2, 1), 1)),
        (AvgPool2d(3, 1, "same"), lambda x: ops.avg_pool2d(x, 3, 1, "same")),
    ],
    ids=str,
)  # fmt: skip
def test_pooling_is_its_op_with_its_settings(layer, op):
    x = drawn(2, 2, 6, 5)
    np.testing.assert_array_equal(layer(x).data, op(x).data)
    assert layer.parameters() == []
    assert tg.gradcheck(layer, drawn(1, 1, 4, 4), order=2)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Conv2d(16, 32, size=3, padding="same"), 'Conv2d(16, 32, size=3, padding="same")'),
        (Conv2d(4, 8, (3, 1), 2, (1, 0), 1, 4, bias=False),
         "Conv2d(4, 8, size=(3, 1), stride=2, padding=(1, 0), groups=4, bias=False)"),
        (Conv2d(1, 2, 2, padding=((0, 1), (0, 1)), dilation=2),
         "Conv2d(1, 2, size=2, padding=((0, 1), (0, 1)), dilation=2)"),
        (Conv1d(3, 8, 5), "Conv1d(3, 8, size=5)"),
        (Conv1d(3, 8, 5, padding=0, stride=[2]), "Conv1d(3, 8, size=5, stride=2)"),
        (MaxPool2d(2), "MaxPool2d(2)"),
        (MaxPool2d((2, 3)), "MaxPool2d((2, 3))"),
        (MaxPool2d(3, 2, 1), "MaxPool2d(3, stride=2, padding=1)"),
        (AvgPool2d(2, stride=2), "AvgPool2d(2)"),
    ],
    ids=str,
)  # fmt: skip
def test_repr_names_what_is_unusual_and_can_be_typed_in_again(layer, text):
    assert repr(layer) == text == repr(eval(text))


def test_a_small_network_learns_which_way_stripes_run():
    rng = np.random.default_rng(0)
    upright = rng.integers(0, 2, 32)
    stripes = np.sin(np.arange(8) * np.pi / 2 + rng.uniform(0, 6, (32, 1)))
    images = np.where(upright[:, None, None], stripes[:, None, :], stripes[:, :, None])
    x = images[:, None].astype("float32")
    model = Sequential(
        Conv2d(1, 4, 3, rng=0), ops.relu, MaxPool2d(2), Flatten(), Linear(4 * 3 * 3, 2, rng=1)
    )
    optimizer = Adam(model, lr=0.02)
    for _ in range(40):
        loss = optimizer.minimize(lambda: cross_entropy(model(x), upright))
    assert x.shape == (32, 1, 8, 8) and float(loss) < 0.05
