"""The table of a model: its figures, counted by hand, and that looking changes nothing."""

import re
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import layers
from tinygrad_edu.layers import (
    MLP,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    Lambda,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)


def rows(layer, *args, **options):
    """What stands in the table: layer -> (type, output, parameters, bytes, multiply-adds)."""
    header, *lines = layer.summary(*args, **options).split("\n")
    middle = [header.index(title) for title in ("type", "output")]
    found = {}
    for line in lines:
        name, kind, rest = (line[i:j].strip() for i, j in pairwise([0, *middle, None]))
        cells = re.split(" {2,}", rest)
        found[name] = (kind, *cells) if len(cells) == 4 else (kind, "", *cells)
        if name == "total":
            return found


def numbers(layer, *args, **options):
    """(parameters, bytes, multiply-adds) of the whole."""
    text = layer.summary(*args, **options)
    (total,) = (line for line in text.split("\n") if line.startswith("total"))
    return tuple(int(n.replace(",", "")) for n in total.split()[1:])


@pytest.fixture(autouse=True)
def _quiet(capsys):
    yield
    capsys.readouterr()


# ---------------------------------------------------------------- the figures, by hand


def test_a_table_of_an_mlp_is_printed_and_returned(capsys):
    text = MLP(784, 128, 10).summary(784)
    assert text == capsys.readouterr().out[:-1] and repr(text) == ""
    assert text.split("\n") == [
        "layer     type    output    parameters    bytes  multiply-adds",
        "          MLP     (n, 10)            0        0              0",
        "layers.0  Linear  (n, 128)     100,480  401,920        100,352",
        "layers.1  ReLU    (n, 128)           0        0              0",
        "layers.2  Linear  (n, 10)        1,290    5,160          1,280",
        "total                          101,770  407,080        101,632",
        "trainable parameters: 101,770, frozen: 0",
    ]


def test_a_convolutional_network():
    model = Sequential(
        Conv2d(1, 8, 3, padding="same"), BatchNorm(8), ReLU(), MaxPool2d(2),
        Conv2d(8, 16, 5, stride=2, groups=2, bias=False), Flatten(), Linear(16 * 5 * 5, 10),
    )  # fmt: skip
    found = rows(model, (1, 28, 28))
    assert found["layers.0"] == (
        "Conv2d", "(n, 8, 28, 28)", "80", "320", f"{28 * 28 * 8 * 9:,}",
    )  # fmt: skip
    assert found["layers.1"] == ("BatchNorm", "(n, 8, 28, 28)", "16", "64", f"{8 * 28 * 28:,}")
    assert found["layers.3"] == ("MaxPool2d", "(n, 8, 14, 14)", "0", "0", "0")
    assert found["layers.4"] == (
        "Conv2d", "(n, 16, 5, 5)", "1,600", "6,400", f"{5 * 5 * 16 * 4 * 25:,}",
    )  # fmt: skip
    assert found["layers.5"] == ("Flatten", "(n, 400)", "0", "0", "0")
    total = (80 + 16 + 1600 + 4010, 4 * (80 + 16 + 1600 + 4010), 56448 + 6272 + 40000 + 4000)
    assert numbers(model, (1, 28, 28)) == total
    assert "buffers, saved but not trained: 16 numbers, 64 bytes" in model.summary((1, 28, 28))


def test_a_sequence_of_letters():
    model = Sequential(Embedding(20, 4), Lambda(lambda x: x.swapaxes(1, 2)), Conv1d(4, 6, 3),
                       Flatten(), LayerNorm(36), Linear(36, 20))  # fmt: skip
    found = rows(model, 8)
    assert found["layers.0"] == ("Embedding", "(n, 8, 4)", "80", "320", "0")
    assert found["layers.2"] == ("Conv1d", "(n, 6, 6)", "78", "312", f"{6 * 6 * 12}")
    assert found["layers.4"] == ("LayerNorm", "(n, 36)", "72", "288", "36")
    assert found["total"][2:] == ("970", "3,880", "1,188")  # 432 + 36 + 720


class Bilinear(Layer):
    """x W y, with a product of its own beside a layer inside."""

    def __init__(self):
        self.weight = tg.Tensor(np.ones((3, 4), "float32"), requires_grad=True)
        self.inner = Linear(4, 4)
        self.unused = Linear(2, 2)

    def forward(self, x, y=None):
        z = self.inner(self.inner(x @ self.weight))
        return z if y is None else (z * y, {"no": "tensor"}, z.sum())

    def multiply_adds(self, x_shape, z_shape):
        return int(np.prod(x_shape)) * 4


def test_a_layer_with_a_product_of_its_own_and_one_used_twice():
    found = rows(Bilinear(), 3)
    assert found[""] == ("Bilinear", "(n, 4)", "12", "48", "12")
    assert found["inner"] == ("Linear", "(n, 4)", "20", "80", "32")
    assert found["unused"] == ("Linear", "not called", "6", "24", "0")
    assert found["total"][2:] == ("38", "152", "44")
    assert rows(Sequential(Bilinear()), (5, 3))["layers.0"][-1] == "60"


def test_several_inputs_and_outputs():
    assert rows(Bilinear(), [(3,), (4,)])[""][1] == "((n, 4), -, ())"


def test_a_product_that_nobody_counts_is_no_zero():
    class Silent(Bilinear):
        multiply_adds = Layer.multiply_adds

    found = rows(Silent(), 3)
    assert found[""][-1] == "?" and found["total"][-1] == "32 + ?"
    assert (
        Silent().summary(3).endswith("\n?: write multiply_adds(self, x_shape, z_shape) in Silent")
    )


def test_every_layer_here_with_parameters_says_what_it_multiplies():
    for name in layers.__all__:
        kind = getattr(layers, name)
        source = getattr(kind, "forward", None)
        if source is not None and any(
            word in source.__code__.co_names for word in ("weight", "scale")
        ):
            assert kind.multiply_adds is not Layer.multiply_adds, name


def test_a_layer_called_at_two_sizes_shows_both():
    class Twice(Layer):
        def __init__(self):
            self.linear = Linear(2, 3)

        def forward(self, x):
            return self.linear(x), self.linear(x[:, 0])

    found = rows(Twice(), (5, 2))
    assert found["linear"] == ("Linear", "(n, 5, 3); (n, 3)", "9", "36", str(30 + 6))
    assert found[""][1] == "((n, 5, 3), (n, 3))"


def test_layers_that_are_equal_are_told_apart():
    @dataclass
    class Scale(Layer):
        factor: float

        def forward(self, x):
            return x * self.factor

    found = rows(Sequential(Scale(2.0), Flatten(), Scale(2.0)), (3, 2))
    assert found["layers.0"][1] == "(n, 3, 2)" and found["layers.2"][1] == "(n, 6)"


def test_tied_and_frozen_parameters_are_counted_once():
    model = Sequential(Linear(3, 3), Linear(3, 3), Linear(3, 1).freeze())
    model[1].weight = model[0].weight
    found = rows(model, 3)
    assert [found[f"layers.{i}"][2] for i in range(3)] == ["12", "3", "4"]
    assert model.summary(3).endswith("\ntrainable parameters: 15, frozen: 4")


def test_bytes_are_those_of_the_dtype():
    model = Linear(3, 2)
    for p in model.parameters():
        p.data = p.data.astype("float64")
    assert numbers(model, 3) == (8, 64, 6)


# ---------------------------------------------------------------- what goes in


class Sees(Layer):
    """Notes the dtype that it is called with."""

    def __init__(self, *inner):
        self.inner = list(inner)
        self.seen = {}

    def forward(self, x):
        assert not x.data.any() and not self.training and not tg.is_grad_enabled()
        self.seen["x"] = (x.shape, x.dtype)
        for layer in self.inner:
            x = layer(x)
        return x


@pytest.mark.parametrize(
    ("inner", "options", "dtype"),
    [
        ([], {}, "float32"),
        ([Linear(2, 2)], {}, "float32"),
        ([Embedding(3, 2)], {}, "int64"),
        ([Sequential(Embedding(3, 2)), Linear(2, 2)], {}, "int64"),
        ([Linear(2, 2), Lambda(lambda x: np.zeros(x.shape, int)), Embedding(3, 2)], {}, "float32"),
        ([Lambda(lambda x: x)], {"dtype": bool}, "bool"),
        ([Linear(2, 2)], {"dtype": "float64"}, "float64"),
    ],
    ids=str,
)
def test_the_zeros_are_such_as_the_first_layer_takes(inner, options, dtype):
    layer = Sees(*inner)
    layer.summary((4, 2), **options)
    assert layer.seen["x"] == ((1, 4, 2), np.dtype(dtype))


@pytest.mark.parametrize("shape", [2, (2,), [2], np.int64(2)], ids=repr)
def test_a_shape_of_one_axis_may_be_a_number(shape):
    assert rows(Linear(2, 3), shape)[""][1] == "(n, 3)"


@pytest.mark.parametrize("shape", [None, (None, 2), "2", (2.0,)], ids=repr)
def test_an_input_shape_is_made_of_whole_numbers(shape):
    with pytest.raises(
        TypeError, match="summary: input_shape, without the batch axis: .* no whole"
    ):
        Linear(2, 3).summary(shape)


def test_an_input_that_does_not_fit_says_which_layer():
    with pytest.raises(ValueError, match=r"layers\.0 \(Linear\(2, 3\)\): linear: x \(1, 5\)"):
        MLP(2, 3, 1).summary(5)


# ---------------------------------------------------------------- nothing changes


class Untidy(Layer):
    """Changes all that it can reach."""

    def __init__(self):
        self.norm = BatchNorm(2)
        self.noise = Dropout(0.5, rng=0)
        self.count = np.zeros(2)
        self.linear = Linear(2, 2, rng=0)

    def forward(self, x):
        self.count += 1
        self.calls = getattr(self, "calls", 0) + 1
        self.norm.train()
        self.norm(tg.concatenate([x, x + 1]))
        self.noise.train()
        self.noise(x + tg.randn(2))
        self.left_behind = self.linear(x)
        if self.fails:
            raise RuntimeError("halfway")
        return self.left_behind

    fails = False


@pytest.mark.parametrize("fails", [False, True], ids=["works", "fails"])
def test_looking_leaves_a_model_as_it_was(fails):
    model = Sequential(Untidy(), Dropout(0.5)).train()
    model[0].linear.eval()
    model[0].fails = fails
    model[0].linear.weight.grad = np.ones((2, 2), "float32")
    tg.manual_seed(3)
    modes = [layer.training for layer in model.layers()]
    attributes = [dict(vars(layer)) for layer in model.layers()]
    state = {name: array.tobytes() for name, array in model.state_dict().items()}
    if fails:
        with pytest.raises(RuntimeError, match="halfway"):
            model.summary(2)
    else:
        model.summary(2)
    assert [dict(vars(layer)) for layer in model.layers()] == attributes
    assert [layer.training for layer in model.layers()] == modes
    assert {name: array.tobytes() for name, array in model.state_dict().items()} == state
    assert model[0].linear.weight.grad.tolist() == [[1, 1], [1, 1]]
    assert model[0].linear.bias.grad is None and model[0].linear.weight.name is not None
    x = np.ones(100, "float32")
    np.testing.assert_array_equal(model[0].noise(x).data, Dropout(0.5, rng=0)(x).data)
    drawn = tg.randn(5).data
    tg.manual_seed(3)
    np.testing.assert_array_equal(drawn, tg.randn(5).data)
    assert tg.is_grad_enabled() and tg.Tensor(1.0).path == ()


def test_a_parameter_that_the_first_forward_makes_is_counted_and_taken_back():
    class Lazy(Layer):
        def forward(self, x):
            if not hasattr(self, "scale"):
                self.scale = tg.Tensor(np.ones(x.shape[-1]), requires_grad=True)
            return x * self.scale

    layer = Lazy()
    assert "trainable parameters: 3" in layer.summary(3)
    assert layer.parameters() == []


def test_a_summary_loads_no_more_than_it_needs():
    script = "import sys, tinygrad_edu as tg; tg.layers.MLP(2, 1).summary(2)"
    script += "; print(*[name for name in sys.modules if name.startswith('tinygrad_edu.layers.')])"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True)
    assert "layers.summary" in loaded and "layers.convolution" not in loaded
