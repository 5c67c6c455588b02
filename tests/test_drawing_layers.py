"""Drawing a layer alone: it is run once, and left exactly as it was."""

import re

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.dot_text import boxes, leaf, looks
from tinygrad_edu.drawing import draw, to_dot, to_svg
from tinygrad_edu.drawing.style import LIGHT
from tinygrad_edu.layers import MLP, Embedding, Layer, Linear, Sequential


class Block(Layer):
    """With attention, as in a transformer."""

    def __init__(self):
        self.norm = tg.layers.LayerNorm(8)
        self.attention = tg.layers.MultiHeadAttention(8, 2, rng=0)

    def forward(self, x):
        return x + self.attention(self.norm(x))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Linear(3, 2, rng=0), "1×3"),
        (MLP(5, 4, 1, rng=0), "1×5"),
        (Sequential(tg.layers.Dropout(0.5), tg.layers.ReLU(), Linear(7, 2, rng=0)), "1×7"),
        (Sequential(Embedding(9, 4, rng=0), Linear(4, 9, rng=0)), "1×4 int64"),
        (tg.layers.RNN(3, 2, rng=0), "1×4×3"),
        (tg.layers.LSTM(3, 2, rng=0), "1×4×3"),
        (tg.layers.GRU(3, 2, returns="last", rng=0), "1×4×3"),
        (Block(), "1×4×8"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_the_structure_of_a_layer_is_drawn_without_numbers(layer, shape):
    text = to_dot(layer)
    kinds = {key: rows[0] for key, rows in boxes(text).items()}
    inputs = [kinds[key] for key, look in looks(text).items() if look["color"] == LIGHT["input"]]
    assert inputs[0].split(" | ")[1] == shape
    assert all(len(rows) == 1 for rows in boxes(text).values()), "no numbers"
    assert f":{LIGHT['backward']}" not in text and "value" not in re.findall("[a-z]+:", text)
    assert any(look["color"] == LIGHT["parameter"] for look in looks(text).values())
    assert sum(p.size for p in layer.parameters()) > 0
    (box,) = [rows for key, rows in boxes(to_dot(layer, depth=1)).items() if key == "c0"]
    assert box[1].endswith(f"{sum(p.size for p in layer.parameters())} parameters")


def test_a_layer_is_left_exactly_as_it_was():
    model = Sequential(
        Linear(3, 4, rng=0),
        tg.layers.BatchNorm(4),
        tg.layers.Dropout(0.5, rng=1),
        Linear(4, 1, rng=0),
    )
    model.layers()[1].freeze()
    called = []
    p = model.layers()[-1].weight
    p.register_hook(called.append)
    before = {name: value.copy() for name, value in model.state_dict().items()}
    wanted = [q.requires_grad for q in model.parameters()]
    hooks = p._hooks
    state = model.layers()[3].rng.bit_generator.state
    tg.manual_seed(5)
    draws = tg.random.as_generator().standard_normal()
    tg.manual_seed(5)
    draw(model), to_svg(model, engine="builtin")
    assert tg.random.as_generator().standard_normal() == draws
    assert model.layers()[3].rng.bit_generator.state == state
    assert [q.requires_grad for q in model.parameters()] == wanted and model.training
    assert all(q.grad is None for q in model.parameters()) and called == [] and p._hooks is hooks
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_a_frozen_layer_and_one_without_parameters_are_drawn_too():
    model = MLP(2, 3, 1, rng=0).freeze()
    assert boxes(to_dot(model)) == boxes(to_dot(MLP(2, 3, 1, rng=0)))
    assert not any(p.requires_grad for p in model.parameters())
    letters = Sequential(Embedding(9, 4, rng=0), Linear(4, 9, rng=0)).freeze()
    assert len(boxes(to_dot(letters))) == 6
    with tg.no_grad():
        text = to_dot(Sequential(tg.layers.Tanh(), tg.layers.ReLU()), input_shape=3)
        assert not tg.is_grad_enabled()
    assert [rows[0] for rows in boxes(text).values()] == ["x | 1×3", "tanh | 1×3", "relu | 1×3"]


def test_an_input_shape_can_be_given_and_must_be_where_nobody_says_it():
    model = Sequential(
        tg.layers.Conv2d(1, 2, 3, rng=0), tg.layers.Flatten(), Linear(2 * 6 * 6, 3, rng=0)
    )
    words = r"draw: what Sequential takes cannot be told .* a Conv2d; give input_shape="
    with pytest.raises(ValueError, match=words):
        draw(model)
    assert boxes(to_dot(model, input_shape=(1, 8, 8)))["n0"] == ["x | 1×1×8×8"]
    with pytest.raises(ValueError, match="linear"):
        draw(model, input_shape=(1, 9, 9))
    with pytest.raises(ValueError, match="draw: what ReLU takes cannot be told"):
        draw(tg.layers.ReLU())
    with pytest.raises(ValueError, match="draw: input_shape, without the batch axis"):
        draw(model, input_shape=(1, -8, 8))
    with pytest.raises(ValueError, match="draw: input_shape= is for layers"):
        draw(leaf(1) * 2, input_shape=3)


def test_a_layer_of_several_inputs_is_given_a_list_of_shapes():
    class Both(Layer):
        def __init__(self):
            self.left, self.right = Linear(2, 3, rng=0), Linear(4, 3, rng=0)

        def forward(self, x, y):
            return self.left(x) * self.right(y)

    text = to_dot(Both(), input_shape=[(2,), (4,)])
    inputs = [k for k, look in looks(text).items() if look["color"] == LIGHT["input"]]
    assert [boxes(text)[key][0].split(" | ")[1] for key in inputs] == ["1×2", "1×4"]
    with pytest.raises(ValueError, match=r"draw: Both was run on zeros of shape \(1, 2\), as its"):
        draw(Both())


def test_a_layer_that_does_nothing_says_so():
    with pytest.raises(ValueError, match="draw: Identity hands on its input as it is"):
        draw(tg.layers.Identity(), input_shape=2)
