"""Every layer computes what PyTorch's does: values, all gradients, running statistics.

The numbers are in tests/data/torch_layers.npz, see the README there.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import layers

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "torch_layers.json").read_text(encoding="utf-8"))
TOLERANCE = 1e-10  # of the largest number of an array

# Layers made of others, without numbers of their own, of chance, or recorded elsewhere.
NOT_HERE = {
    "Layer", "Sequential", "MLP", "Identity", "Lambda", "Dropout",
    "RNN", "LSTM", "GRU", "MultiHeadAttention",
}  # fmt: skip


@pytest.fixture(scope="module")
def recorded():
    with np.load(DATA / "torch_layers.npz") as file:
        return dict(file)


def assert_close(found, wanted, what):
    assert found.dtype == np.float64 and found.shape == wanted.shape, what
    error = np.abs(found - wanted).max()
    assert error <= TOLERANCE * np.abs(wanted).max(), f"{what}: {error}"


def made(case, recorded):
    """The layer, in float64, with the recorded parameters."""
    tg.set_default_dtype("float64")
    try:
        layer = getattr(layers, case["layer"])(*case["arguments"], **case["options"])
    finally:
        tg.set_default_dtype("float32")
    for name, p in layer.named_parameters():
        p.data = recorded[f"{case['id']}/{name}"]
    return layer


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_layer_computes_what_pytorchs_does(case, recorded):
    layer = made(case, recorded)
    for k, mode in enumerate(case["calls"]):
        layer.train(mode == "train").zero_grad()
        at = {
            key.rsplit("/", 1)[1]: array
            for key, array in recorded.items()
            if key.startswith(f"{case['id']}/{k}/")
        }
        x = tg.Tensor(at.pop("x"), requires_grad="dx" in at)
        z = layer(x)
        assert_close(z.data, at.pop("z"), f"value of call {k}")
        z.backward(at.pop("g"))
        found = {f"d{name}": p.grad for name, p in layer.named_parameters()}
        found |= {"dx": x.grad} if "dx" in at else {}
        found |= dict(layer.named_buffers())
        assert found.keys() == at.keys()
        for name, wanted in at.items():
            assert_close(found[name], wanted, f"{name} of call {k}")


def test_every_layer_with_numbers_of_its_own_is_compared():
    assert {case["layer"] for case in CASES} | NOT_HERE >= set(layers.__all__)


def test_the_cases_are_told_apart():
    assert len({case["id"] for case in CASES}) == len(CASES)
