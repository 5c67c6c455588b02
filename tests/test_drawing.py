"""Drawing: the same graph gives the same text, names are only names, and nothing else changes."""

import re
import shutil
from xml.etree import ElementTree

import graphviz
import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.drawing import draw, to_dot
from tinygrad_edu.layers import MLP, Layer, Linear, Sequential

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="the Graphviz program `dot` is not installed"
)


def leaf(*numbers, name=None):
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, "float32")
    return tg.Tensor(data, requires_grad=True, name=name)


def boxes(text):
    """The lines of each box, by the name of the box."""
    quoted = re.findall(r'^\t*(n\d+(?:c\d+)?) \[label="((?:[^"\\]|\\.)*)"', text, re.M)
    return {name: label.split("\n") for name, label in quoted}


def arrows(text):
    return re.findall(r"^\t*(\w+) -> (\w+)", text, re.M)


def frames(text):
    """The boxes inside each frame, with those of frames inside."""
    open_frames, found = [], {}
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("subgraph"):
            open_frames.append(line.split('"')[1].removeprefix("cluster/"))
        elif line == "}" and open_frames:
            open_frames.pop()
        elif match := re.match(r"(n\d+) \[", line):
            for frame in open_frames:
                found.setdefault(frame, []).append(match.group(1))
    return found


def model_loss(seed=0):
    model = MLP(2, 3, 1, rng=seed)
    x = tg.Tensor(np.ones((4, 2), "float32"), name="x")
    return model, tg.losses.mean_squared_error(model(x), np.zeros((4, 1)))


# ---------------------------------------------------------------- what is drawn


def test_a_box_for_every_tensor_and_an_arrow_for_every_use():
    x = leaf(3, name="x")
    y = x * x + x
    text = to_dot(y)
    assert boxes(text) == {
        "n0": ["x", "value 3", "gradient 7"],
        "n1": ["multiply", "value 9", "gradient 1"],
        "n2": ["add", "value 12", "gradient 1"],
    }
    assert sorted(arrows(text)) == [("n0", "n1"), ("n0", "n1"), ("n0", "n2"), ("n1", "n2")]


def test_a_tensor_with_a_name_shows_it_beside_its_op():
    x = leaf(2)
    y = x * 3
    y.name = "six"
    assert boxes(to_dot(y))["n1"][0] == "six = multiply 3"
    assert boxes(to_dot(y))["n0"][0] == "parameter"


def test_arrays_show_their_shape_and_how_large_value_and_gradient_are():
    w = leaf([3, 0], [0, 4], name="w")
    text = boxes(to_dot((w * w).sum()))
    assert text["n0"] == ["w", "shape (2, 2)", "|value| 5", "|gradient| 10"]
    assert text["n1"] == ["multiply", "shape (2, 2)", "|value| 18.36", "|gradient| 2"]


def test_without_one_number_at_the_end_there_are_no_gradients():
    w = leaf(3, 4)
    assert boxes(to_dot(w * 2)) == {
        "n0": ["parameter", "shape (2,)", "|value| 5"],
        "n1": ["multiply 2", "shape (2,)", "|value| 10"],
    }


def test_constants_are_drawn_and_numbers_stand_in_the_title():
    w, rows = leaf(3, 4), tg.Tensor([[1.0, 2.0]], name="rows")
    text = to_dot((rows * w + np.float32(1) + np.array([5.0, 6.0]) + tg.Tensor(7.0)).sum() * 2)
    constants = {name: label for name, label in boxes(text).items() if "c" in name}
    assert sorted(constants.values()) == [
        ["constant", "shape (2,)"], ["constant", "value 7"], ["rows", "shape (1, 2)"]
    ]  # fmt: skip
    dotted = re.findall(r"(\w+) -> \w+ \[style=dotted\]", text)
    assert sorted(dotted) == sorted(constants)


def test_parameters_constants_and_the_result_look_different():
    text = to_dot((leaf(3, 4) * np.array([1.0, 2.0])).sum())
    colours = {
        name: re.findall(r'fillcolor="(#\w+)"', rest)
        for name, rest in re.findall(r"^\t*(n\w+) \[([^\]]*)\]", text, re.M)
    }
    assert [colours[name] for name in ("n0", "n1", "n1c1", "n2")] == [
        ["#dafbe1"], [], ["#f6f8fa"], ["#ffebe9"]
    ]  # fmt: skip


def test_a_layer_is_a_frame_around_what_it_made_and_the_parameters_it_used():
    model, loss = model_loss()
    text = to_dot(loss)
    named = {
        frame: sorted(boxes(text)[box][0] for box in inside)
        for frame, inside in frames(text).items()
    }
    assert named["MLP/layers.0"] == ["linear", "parameter", "parameter"]
    assert named["MLP/layers.1"] == ["relu"]
    assert named["MLP/layers.2"] == ["linear", "parameter", "parameter"]
    assert len(named["MLP"]) == 7
    names = [name for name, _ in model.named_parameters()]
    assert all(f'"{name}\n' in to_dot(loss) for name in names), "named by now, and drawn so"


def test_a_layer_used_twice_is_one_frame():
    shared = Linear(2, 2, rng=0)
    loss = Sequential(shared, shared)(np.ones((1, 2), "float32")).sum()
    assert [name for name in frames(to_dot(loss)) if name.endswith("layers.0")] == [
        "Sequential/layers.0"
    ]


def test_the_direction_can_be_chosen():
    y = leaf(1) * 2
    assert "rankdir=LR" in to_dot(y) and "rankdir=TB" in to_dot(y, direction="TB")
    assert isinstance(draw(y), graphviz.Digraph) and draw(y).source == to_dot(y)


# ---------------------------------------------------------------- what stays the same


def test_the_same_graph_gives_the_same_text():
    texts = []
    for _ in range(3):
        model, loss = model_loss()
        model.parameters()  # gives names
        texts += [to_dot(loss), to_dot(loss)]
    assert len(set(texts)) == 1


def test_drawing_leaves_all_gradients_alone():
    model, loss = model_loss()
    draw(loss)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    before = [p.grad.copy() for p in model.parameters()]
    draw(loss)
    loss.backward()
    for p, g in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad, 2 * g)


def test_a_retained_gradient_and_an_optimizers_are_left_alone():
    w = leaf(1, 2)
    optimizer = tg.optimizers.SGD(w, lr=1)
    hidden = w * 3
    hidden.retain_grad()
    draw(hidden.sum())
    assert hidden.grad is None and w.grad is None
    hidden.sum().backward()
    draw(hidden.sum())
    optimizer.step()
    assert w.tolist() == [-2, -1]


def test_a_graph_can_be_drawn_under_no_grad():
    y = leaf(1) * 2
    with tg.no_grad():
        assert len(boxes(to_dot(y))) == 2


@pytest.mark.parametrize("op", [tg.sqrt, tg.norm, tg.abs], ids=["sqrt", "norm", "abs"])
def test_drawing_a_corner_warns_of_nothing_as_backward_does(op):
    y = op(leaf(0.0))
    y.backward()
    assert len(boxes(to_dot(y))) == 2


# ---------------------------------------------------------------- names are only names

AWKWARD = [
    '"quoted"', "back\\slash", "ends in \\", "\\n", "\\L", "<b>bold</b>", "<>", "a -> b; c",
    "label=x] }", "&amp;", "损失", "'", "{x|y}", "#", "//", "%", "two\nlines",
]  # fmt: skip


def svg_texts(picture):
    """All text of the rendered picture; XML that is not well-formed raises here."""
    root = ElementTree.fromstring(picture.pipe(format="svg", encoding="utf-8"))
    return [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


@needs_dot
@pytest.mark.parametrize("name", AWKWARD, ids=repr)
def test_a_name_is_shown_as_it_is(name):
    w, data = leaf(2, name=name), tg.Tensor([1.0, 2.0], name=name)
    y = w * data
    y.name = name
    texts = svg_texts(draw(y))
    first, *rest = name.split("\n")
    assert texts.count(first) == (2 if not rest else 3)
    assert all(line in texts or f"{line} = multiply" in texts for line in rest)
    assert f"{name.splitlines()[-1]} = multiply" in texts


@needs_dot
@pytest.mark.parametrize("name", AWKWARD[:-1], ids=repr)
def test_the_name_of_a_layer_is_shown_as_it_is(name):
    class Parts(Layer):
        def __init__(self):
            self.of = {name: Linear(1, 1, rng=0)}

        def forward(self, x):
            return self.of[name](x)

    texts = svg_texts(draw(Parts()(np.ones((1, 1), "float32"))))
    assert f"of.{name}" in texts and "Parts" in texts


@pytest.mark.parametrize("name", AWKWARD, ids=repr)
def test_a_name_cannot_add_boxes_or_arrows(name):
    w = leaf(2, name=name)
    text = to_dot(w * 3)
    plain = to_dot(leaf(2, name="plain") * 3)
    assert len(arrows(text)) == 1
    assert text.splitlines()[1:4] == plain.splitlines()[1:4]
    quotes = re.sub(r"\\.", "", text, flags=re.S).count('"')
    assert quotes % 2 == 0


@needs_dot
def test_a_picture_is_rendered_where_it_should_go(tmp_path):
    _, loss = model_loss()
    draw(loss).render(outfile=tmp_path / "loss.svg", cleanup=True)
    assert [file.name for file in tmp_path.iterdir()] == ["loss.svg"]
    ElementTree.parse(tmp_path / "loss.svg")


# ---------------------------------------------------------------- what is refused


def chain(n):
    """A graph of n tensors."""
    x = leaf(1)
    for _ in range(n - 1):
        x = x + 1
    return x


def test_a_graph_of_1000_tensors_is_drawn_a_larger_one_refused():
    assert len(boxes(to_dot(chain(1000)))) == 1000
    with pytest.raises(ValueError, match="draw: 1001 tensors are too many to look at"):
        to_dot(chain(1001))


def test_what_was_not_computed_is_refused():
    for x in (leaf(1), tg.Tensor(1.0), tg.Tensor(1.0) * 2, (leaf(1) * 2).detach()):
        with pytest.raises(ValueError, match="draw: this tensor was not computed from anything"):
            draw(x)


@pytest.mark.parametrize("direction", ["RL", "lr", None, ""], ids=repr)
def test_an_unknown_direction_is_refused(direction):
    with pytest.raises(ValueError, match=f"draw: direction={direction!r}; it is 'LR' or 'TB'"):
        draw(leaf(1) * 2, direction)


def test_a_graph_that_a_step_made_stale_says_so():
    w = leaf(1)
    optimizer = tg.optimizers.SGD(w)
    loss = optimizer.minimize(lambda: w * w)
    with pytest.raises(RuntimeError, match="let go by an optimizer step"):
        draw(loss)
