"""PyTorch's weights in our layers: the same numbers come out, where torch is installed."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_edu as tg
from tinygrad_edu import checkpoints, layers
from tinygrad_edu.checkpoints import CheckpointError, from_torch, load, torch_weights
from tinygrad_edu.layers import Layer, Linear, ReLU, Sequential


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="compares with PyTorch itself")


@pytest.fixture
def doubles():
    tg.set_default_dtype("float64")
    yield
    tg.set_default_dtype("float32")


def shuffled(torch, net):
    """The same net with other numbers everywhere: biases and norms do not begin with 0 and 1."""
    torch.manual_seed(0)
    with torch.no_grad():
        for x in net.state_dict().values():
            if x.is_floating_point():
                x.copy_(torch.rand_like(x) + 0.1)
    return net.eval()


def floats(*shape):
    return np.random.default_rng(1).standard_normal(shape)


def nothing(x):
    return x


CASES = {  # name: our layer, PyTorch's, the input, what is compared of PyTorch's output
    "Linear": (lambda: Linear(3, 2), lambda nn: nn.Linear(3, 2), floats(4, 3), nothing),
    "Linear without bias": (
        lambda: Linear(3, 2, bias=False),
        lambda nn: nn.Linear(3, 2, bias=False),
        floats(4, 3),
        nothing,
    ),
    "Embedding": (
        lambda: layers.Embedding(5, 3),
        lambda nn: nn.Embedding(5, 3),
        np.array([[0, 4], [2, 2]]),
        nothing,
    ),
    "Conv1d": (
        lambda: layers.Conv1d(4, 6, 3, padding=1, groups=2),
        lambda nn: nn.Conv1d(4, 6, 3, padding=1, groups=2),
        floats(2, 4, 7),
        nothing,
    ),
    "Conv2d": (
        lambda: layers.Conv2d(3, 2, (2, 3), stride=2),
        lambda nn: nn.Conv2d(3, 2, (2, 3), stride=2),
        floats(2, 3, 6, 7),
        nothing,
    ),
    "BatchNorm": (
        lambda: layers.BatchNorm(3),
        lambda nn: nn.BatchNorm1d(3),
        floats(4, 3),
        nothing,
    ),
    "BatchNorm of images": (
        lambda: layers.BatchNorm(3),
        lambda nn: nn.BatchNorm2d(3),
        floats(4, 3, 2, 2),
        nothing,
    ),
    "LayerNorm": (
        lambda: layers.LayerNorm((2, 3)),
        lambda nn: nn.LayerNorm((2, 3)),
        floats(4, 2, 3),
        nothing,
    ),
    "RMSNorm": (
        lambda: layers.RMSNorm(3),
        lambda nn: nn.RMSNorm(3, eps=1e-6),
        floats(4, 3),
        nothing,
    ),
    "RNN": (
        lambda: layers.RNN(3, 4, returns="sequence"),
        lambda nn: nn.RNN(3, 4, batch_first=True),
        floats(2, 5, 3),
        lambda z: z[0],
    ),
    "LSTM": (
        lambda: layers.LSTM(3, 4, returns="sequence"),
        lambda nn: nn.LSTM(3, 4, batch_first=True),
        floats(2, 5, 3),
        lambda z: z[0],
    ),
    "GRU": (
        lambda: layers.GRU(3, 4, returns="sequence"),
        lambda nn: nn.GRU(3, 4, batch_first=True),
        floats(2, 5, 3),
        lambda z: z[0],
    ),
    "Sequential": (
        lambda: Sequential(Linear(3, 4), ReLU(), Sequential(layers.BatchNorm(4), Linear(4, 2))),
        lambda nn: nn.Sequential(
            nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2))
        ),
        floats(4, 3),
        nothing,
    ),
    "MLP": (
        lambda: layers.MLP(3, 4, 2),
        lambda nn: nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        floats(4, 3),
        nothing,
    ),
}


def compare(torch, tmp_path, ours, theirs, inputs, part=nothing, dtype="float64"):
    """Save PyTorch's net as its users do, load it, and compare what comes out."""
    torch_save = pytest.importorskip("safetensors.torch")
    theirs = shuffled(torch, theirs.to(getattr(torch, dtype)))
    torch_save.save_file(theirs.state_dict(), tmp_path / "net")
    assert load(tmp_path / "net", ours, format="torch") is ours
    ours.eval()
    inputs = [x if x.dtype.kind == "i" else x.astype(dtype) for x in inputs]
    z = ours(*inputs)
    with torch.no_grad():
        expected = part(theirs(*map(torch.from_numpy, inputs))).numpy()
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    assert z.dtype == expected.dtype == dtype
    np.testing.assert_allclose(z.data, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers_come_out(torch, doubles, tmp_path, name):
    ours, theirs, x, part = CASES[name]
    compare(torch, tmp_path, ours(), theirs(torch.nn), [x], part)


@pytest.mark.parametrize("name", CASES)
def test_the_same_numbers_come_out_in_single_precision(torch, tmp_path, name):
    ours, theirs, x, part = CASES[name]
    compare(torch, tmp_path, ours(), theirs(torch.nn), [x], part, dtype="float32")


@pytest.mark.parametrize("bias", [True, False])
def test_attention(torch, doubles, tmp_path, bias):
    ours = layers.MultiHeadAttention(6, 2, bias=bias)
    theirs = torch.nn.MultiheadAttention(6, 2, bias=bias, batch_first=True)
    inputs = [floats(2, 3, 6), floats(2, 4, 6), floats(2, 4, 6)]
    compare(torch, tmp_path, ours, theirs, inputs, lambda z: z[0])


def test_a_model_of_ones_own_with_the_same_attributes(torch, doubles, tmp_path):
    """Nested, with parameters and buffers of its own, a list of layers, and a layer used twice."""

    class Ours(Layer):
        def __init__(self):
            self.factor = tg.Tensor(np.zeros(3), requires_grad=True)
            self.offset = np.zeros(3)
            self.blocks = [Sequential(Linear(3, 3), ReLU()), Linear(3, 3)]
            self.again = self.blocks[1]

        def forward(self, x):
            return self.again(self.blocks[1](self.blocks[0](x * self.factor + self.offset)))

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            nn = torch.nn
            self.factor = nn.Parameter(torch.zeros(3))
            self.register_buffer("offset", torch.zeros(3))
            self.blocks = nn.ModuleList(
                [nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Linear(3, 3)]
            )
            self.again = self.blocks[1]

        def forward(self, x):
            return self.again(self.blocks[1](self.blocks[0](x * self.factor + self.offset)))

    theirs = shuffled(torch, Theirs().double())
    ours = from_torch(Ours(), theirs.state_dict())
    x = floats(2, 3)
    expected = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours(x).data, expected, rtol=1e-12)


# ---------------------------------------------------------------- without torch


def state(**changes):
    arrays = {"0.weight": np.ones((4, 3), "f4"), "0.bias": np.ones(4, "f4")}
    arrays |= {"2.weight": np.ones((2, 4), "f4"), "2.bias": np.ones(2, "f4")}
    return arrays | changes


def mlp():
    return layers.MLP(3, 4, 2, rng=0)


def test_arrays_of_any_origin_will_do(tmp_path):
    model = from_torch(mlp(), state())
    assert all((p.data == 1).all() for p in model.parameters())
    safetensors.numpy.save_file(state(), tmp_path / "net")
    assert load(tmp_path / "net", mlp(), format="torch")[0].bias.data.tolist() == [1] * 4


def without(name):
    return {key: x for key, x in state().items() if key != name}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (without("2.bias"), "missing 2.bias$"),
        (state(**{"4.weight": np.ones(1)}), "unexpected 4.weight$"),
        (state(**{"2.bias": np.ones(3, "f4")}), r"layers.2.bias has shape \(3,\), not \(2,\)$"),
        (state(**{"0.weight": np.ones((3, 4), "f4")}), r"has shape \(4, 3\), not \(3, 4\)$"),
        (state(**{"0.weight": np.float32(1)}), r"layers.0.weight has shape \(\), not \(3, 4\)$"),
        (state(**{"0.bias": np.ones(4)}), "dtype float64, not float32 .cast=True converts it.$"),
        (state(**{"0.bias": np.array([None] * 4)}), "dtype object, not float32$"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_has_changed(given, words):
    model = mlp()
    before = {name: x.tobytes() for name, x in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=f"from_torch: nothing was loaded: .*{words}"):
        from_torch(model, given)
    assert {name: x.tobytes() for name, x in model.state_dict().items()} == before


def test_two_biases_of_different_lengths_make_no_sum():
    arrays = {"weight_ih_l0": np.ones((4, 3), "f4"), "weight_hh_l0": np.ones((4, 4), "f4")}
    arrays |= {"bias_ih_l0": np.ones(4, "f4"), "bias_hh_l0": np.ones(1, "f4")}
    with pytest.raises(CheckpointError, match=r"bias_ih_l0, bias_hh_l0: shapes \(4,\) and \(1,\)"):
        from_torch(layers.RNN(3, 4), arrays)


@pytest.mark.parametrize("shape", [(), (10, 3)])
def test_what_has_no_three_parts_is_refused(shape):
    arrays = {"in_proj_weight": np.ones(shape, "f4"), "out_proj.weight": np.ones((3, 3), "f4")}
    with pytest.raises(CheckpointError, match="in_proj_weight: shape .* has no three parts"):
        from_torch(layers.MultiHeadAttention(3, 1, bias=False), arrays)


def test_another_precision_with_cast():
    model = from_torch(mlp(), {name: x.astype("f8") for name, x in state().items()}, cast=True)
    assert model[0].weight.dtype == "float32" and (model[0].weight.data == 1).all()


def test_layers_that_hold_each_other_come_to_an_end():
    one, other = Linear(1, 1), Linear(1, 1)
    one.friend, other.friend = other, one
    with pytest.raises(CheckpointError, match=r"missing friend\.weight"):
        from_torch(one, {"weight": np.ones((1, 1), "f4"), "bias": np.ones(1, "f4")})


def test_every_layer_with_arrays_of_its_own_has_its_row():
    parts = {"Layer", "Sequential", "MLP"}  # only parts
    known = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)}
    assert torch_weights.TABLE.keys() <= known - parts
    for name, (ours, *_) in CASES.items():
        for layer in ours().layers():
            has_arrays = bool(torch_weights.arrays_of(layer)) and not list(layer.layers())[1:]
            assert has_arrays == (type(layer).__name__ in torch_weights.TABLE), name


def test_it_is_what_the_option_of_load_uses():
    assert checkpoints.from_torch is torch_weights.from_torch
