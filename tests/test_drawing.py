"""Drawing: what is in the picture, and nothing else changes."""

import re

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.dot_text import boxes, edges, frames, leaf, looks, model_loss
from tinygrad_edu.drawing import draw, to_dot, to_svg
from tinygrad_edu.drawing.style import LIGHT
from tinygrad_edu.layers import MLP, Linear, Sequential

# ---------------------------------------------------------------- what is drawn


def test_a_box_for_every_tensor_and_an_arrow_for_every_use():
    x = leaf(3)
    text = to_dot(x * x + x)
    assert boxes(text) == {
        "n0": ["x | scalar", "3 | ∇ 7"],
        "n0_n2": ["x ↗ | scalar"],
        "n1": ["multiply | scalar", "9 | ∇ 1"],
        "n2": ["add | scalar", "12 | ∇ 1"],
    }
    assert [edge[:2] for edge in edges(text)] == [
        ("n0", "n1"), ("n0", "n1"), ("n1", "n2"), ("n0_n2", "n2")
    ]  # fmt: skip


def test_a_tensor_with_a_name_shows_it_before_its_op():
    a = leaf(2)
    six = a * 3
    text = boxes(to_dot(six * 1.5))
    assert [text[key][0] for key in text] == [
        "a | scalar", "six = multiply 3 | scalar", "multiply = multiply 1.5 | scalar"
    ]  # fmt: skip


def test_ops_of_one_kind_without_names_are_told_apart():
    titles = [rows[0] for rows in boxes(to_dot(((leaf(2) ** 2) ** 2) ** 3)).values()]
    assert titles[1:] == [
        "power = power 2 | scalar",
        "power_2 = power 2 | scalar",
        "power_3 = power 3 | scalar",
    ]


def test_arrays_show_their_shape_their_mean_and_how_large_the_gradient_is():
    w = leaf([3, 0], [0, 4])
    text = boxes(to_dot((w * w).sum()))
    assert text["n0"] == ["w | 2×2", "mean 1.75 | ‖∇‖ 10"]
    assert text["n1"] == ["multiply | 2×2", "mean 6.25 | ‖∇‖ 2"]


def test_zero_is_not_the_same_as_not_computed():
    w = leaf(3, 4)
    assert boxes(to_dot((w * 0).sum()))["n0"][1] == "mean 3.5 | ‖∇‖ 0"
    text = boxes(to_dot(w * 2))
    assert text == {
        "n0": ["w | 2", "mean 3.5"],
        "n1": ["multiply = multiply 2 | 2", "mean 7 | ∇ not computed"],
    }, "the result is not a single number"


def test_values_and_gradients_can_be_left_out():
    x = leaf(3)
    y = x * x
    assert boxes(to_dot(y, values=False))["n0"] == ["x | scalar", "∇ 6"]
    bare = to_dot(y, gradients=False)
    assert boxes(bare)["n0"] == ["x | scalar", "3"]
    assert "∇" not in bare and "grad" not in bare and LIGHT["backward"] + '"]' not in bare
    assert boxes(to_dot(y, values=False, gradients=False))["n0"] == ["x | scalar"]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([np.nan, 1, np.nan], "2 nan"),
        ([-np.inf, 1], "1 infinite"),
        ([np.nan, np.inf], "1 nan, 1 infinite"),
    ],
    ids=str,
)
def test_what_is_not_finite_is_counted_and_in_the_colour_of_alarm(numbers, words):
    w = leaf(*numbers)
    text = to_dot((w * 1).sum())
    assert boxes(text)["n0"][1].startswith(f"{words} | ‖∇‖")
    assert looks(text)["n0"]["color"] == LIGHT["alarm"]
    assert f'<FONT COLOR="{LIGHT["alarm"]}" POINT-SIZE="10">{words}</FONT>' in text


def test_a_gradient_that_is_not_finite_alarms_its_box_and_its_line():
    w = leaf(0.0, 1.0)
    with np.errstate(all="ignore"):
        text = to_dot(tg.log(w).sum())
    assert boxes(text)["n0"][1] == "mean 0.5 | 1 infinite"
    (line,) = [rest for a, _, rest in edges(text) if a == "n0"]
    assert f":{LIGHT['alarm']}" in line


def test_a_dtype_is_shown_where_it_is_not_the_usual_one():
    labels = np.array([0, 1])
    text = boxes(to_dot(tg.losses.cross_entropy(leaf([1, 2], [3, 4]), labels)))
    assert text["n1"] == ["labels | 2 int64", "0 to 1"]
    double = tg.Tensor(2.0, requires_grad=True, dtype="float64")
    assert boxes(to_dot(double * 2))["n0"][0] == "double | scalar float64"
    assert boxes(to_dot(leaf(1) * np.array([True, False])))["n1"][1] == "1 of 2 true"


def test_an_empty_array_is_said_to_be_empty():
    w = tg.Tensor(np.zeros((0, 3)), requires_grad=True)
    assert boxes(to_dot((w * 2).sum()))["n0"][1] == "empty | empty"


def test_every_kind_of_box_has_looks_of_its_own():
    model, loss = model_loss()
    w = model.parameters()[0]
    text = to_dot(loss + (w * w).sum() * np.float32(2))
    colours = {key: (look["color"], look["style"]) for key, look in looks(text).items()}
    assert colours["n0"] == (LIGHT["input"], "rounded,filled")
    assert colours["n1"] == (LIGHT["parameter"], "filled")
    assert colours["n3"] == (LIGHT["op"], "rounded,filled")
    assert colours[next(key for key in colours if "_" in key)][1] == "rounded,filled,dashed"
    assert [key for key in colours if colours[key][0] == LIGHT["result"]] == ["n15"]
    assert looks(to_dot(loss, depth=1))["c0"]["color"] == LIGHT["layer"]


def test_lines_have_two_lanes_where_a_gradient_came_along():
    x, w = tg.Tensor([1.0, 2.0], name="x"), leaf(3, 4)
    found = {edge[:2]: edge[2] for edge in edges(to_dot((x * w).sum()))}
    assert f'color="{LIGHT["forward"]}:{LIGHT["backward"]}" dir=both' in found["n1", "n2"]
    assert f'color="{LIGHT["forward"]}" dir=forward' in found["n0", "n2"]
    assert "penwidth" in found["n1", "n2"] and "penwidth" not in found["n0", "n2"]


def test_the_larger_the_gradient_the_wider_its_lane_and_none_is_nothing():
    w = leaf(1.0)
    small, zero = (w * 1e-3) * 1, (w * 0) * 1
    text = to_dot(w * 1 * 1 + small + zero * np.float32(0))
    widths = {
        float(re.search(r"∇ ([\d.e-]+)<", rest)[1]): float(re.search(r"penwidth=([\d.]+)", rest)[1])
        for _, _, rest in edges(text)
        if "∇" in rest.split("edgetooltip")[0]
    }
    assert widths[1] > widths[0]
    assert sorted(widths, key=widths.get) == sorted(widths)


@pytest.mark.parametrize("scale", [1e-45, 0.0, 1e38, np.nan, np.inf])
def test_no_size_of_a_gradient_is_too_strange_for_a_line(scale):
    w = leaf(1.0, 2.0)
    with np.errstate(all="ignore"):
        text = to_dot((w * tg.Tensor(np.float32(scale))).sum() * 1)
    assert len(edges(text)) == 4


def test_a_tooltip_has_the_formula_and_all_local_derivatives():
    _, loss = model_loss()
    tips = re.findall(r' tooltip="([^"]*)"', to_dot(loss))
    linear = next(tip for tip in tips if tip.startswith("layers.0.linear = "))
    lines = linear.split("&#10;")
    assert lines[0] == "layers.0.linear = x @ layers.0.weight + layers.0.bias"
    assert lines[1].startswith("value: 4×3 float32, mean ")
    assert lines[2].startswith("gradient: 4×3 float32, mean ")
    assert lines[3].startswith("layers.0.weight.grad += x.T @ g  (‖")
    assert lines[4].startswith("layers.0.bias.grad += ")
    with tg.trace_lines():
        y = leaf(2) * 3
    assert "test_drawing.py" in to_dot(y)


# ---------------------------------------------------------------- layers


def test_a_layer_is_a_frame_around_what_it_made_and_the_parameters_it_used():
    model, loss = model_loss()
    text = to_dot(loss)
    named = {
        frame: sorted(boxes(text)[box][0].split(" | ")[0] for box in inside)
        for frame, inside in frames(text).items()
    }
    assert named["layers.0 Linear"] == ["bias", "linear", "weight"]
    assert named["layers.1 ReLU"] == ["relu"]
    assert named["layers.2 Linear"] == ["bias", "linear", "weight"]
    assert len(named["model MLP"]) == 7
    del model
    assert len(frames(to_dot(loss))["MLP"]) == 7, "it is nobody's variable"


def test_a_second_call_of_a_layer_is_a_second_frame_and_its_parameters_are_aliases():
    shared = Linear(2, 2, rng=0)
    net = Sequential(shared, shared)
    text = to_dot(net(np.ones((1, 2), "float32")).sum())
    found = frames(text)
    assert {"layers.0 Linear", "layers.0, call 2 Linear"} < set(found)
    second = [boxes(text)[key][0] for key in found["layers.0, call 2 Linear"]]
    assert second == ["weight ↗ | 2×2", "bias ↗ | 2", "linear_2 | 1×2"]


def test_parameters_stand_beside_their_op():
    _, loss = model_loss()
    text = to_dot(loss)
    assert re.search(r"\{\s+graph \[rank=same\]\s+n1\s+n2\s+n3\s+\}", text)
    assert "newrank=true" in text
    flat = {edge[:2] for edge in edges(text) if "minlen=0" in edge[2]}
    assert {("n1", "n3"), ("n2", "n3")} <= flat and ("n3", "n4") not in flat
    labelled = {edge[:2] for edge in edges(text) if "label=<" in edge[2]}
    assert not labelled & flat and ("n3", "n4") in labelled


def test_one_of_two_parameters_stands_on_the_other_side_and_its_arrow_is_right():
    _, loss = model_loss()
    (line,) = re.findall(r"^\t*n3 -> n2 \[(.*)\]", to_dot(loss), re.M)
    assert f'color="{LIGHT["backward"]}:{LIGHT["forward"]}" dir=both' in line
    (line,) = re.findall(r"^\t*n3 -> n2 \[(.*)\]", to_dot(loss, gradients=False), re.M)
    assert f'color="{LIGHT["forward"]}" dir=back' in line


def test_layers_can_be_drawn_as_boxes():
    model, loss = model_loss()
    outer, inner = boxes(to_dot(loss, depth=1)), boxes(to_dot(loss, depth=2))
    assert [key for key in outer if key[0] == "c"] == ["c0"]
    size = sum(p.size for p in model.parameters())
    assert outer["c0"][:2] == ["model MLP | 4×1", f"3 ops, {size} parameters"]
    whole = boxes(to_dot(loss))
    assert outer["c0"][2] == whole["n7"][1], "the value and the gradient of what comes out of it"
    assert {key: rows[:2] for key, rows in inner.items() if key[0] == "c"} == {
        "c1": ["layers.0 Linear | 4×3", "1 op, 9 parameters"],
        "c2": ["layers.1 ReLU | 4×3", "1 op"],
        "c3": ["layers.2 Linear | 4×1", "1 op, 4 parameters"],
    }
    assert frames(to_dot(loss, depth=2)) == {"model MLP": ["c1", "c2", "c3"]}
    assert frames(to_dot(loss, depth=1)) == {}
    assert boxes(to_dot(loss, depth=3)) == whole


def test_a_graph_that_is_too_large_is_drawn_with_its_layers_as_boxes():
    model = MLP(2, *[2] * 9, 1, rng=0)
    loss = model(np.ones((1, 2), "f4")).sum()
    whole = len(boxes(to_dot(loss)))
    assert whole == 41
    assert len(boxes(to_dot(loss, max_nodes=whole))) == whole
    assert len(boxes(to_dot(loss, max_nodes=whole - 1))) == 21, "layers in the model"
    assert len(boxes(to_dot(loss, max_nodes=20))) == 3, "the model"
    with pytest.raises(ValueError, match=r"draw: 3 boxes are more .*\(max_nodes=2\), even with"):
        to_dot(loss, max_nodes=2)


def chain(n):
    """A graph of n tensors."""
    x = leaf(1)
    for _ in range(n - 1):
        x = x + 1
    return x


def test_600_boxes_are_drawn_and_more_are_refused_with_advice():
    assert len(boxes(to_dot(chain(600)))) == 600
    for n in (601, 10_000):
        with pytest.raises(ValueError, match=rf"draw: {n} boxes .*max_nodes=600.* unroll fewer"):
            draw(chain(n))
    assert len(boxes(to_dot(chain(700), max_nodes=700))) == 700


def test_a_depth_that_gives_too_many_boxes_is_refused_with_advice():
    _, loss = model_loss()
    words = (
        r"draw: at depth=2 there are 8 boxes.*\(max_nodes=5\). Leave depth out for one that fits"
    )
    with pytest.raises(ValueError, match=words):
        draw(loss, depth=2, max_nodes=5)
    assert draw(loss, depth=1, max_nodes=6)


def test_lines_have_labels_as_long_as_they_are_few():
    assert "label=<&#160;" in to_dot(chain(251))
    assert "label=<&#160;" not in to_dot(chain(252))


# ---------------------------------------------------------------- what stays the same


def test_the_same_graph_gives_the_same_text():
    texts = []
    for _ in range(3):
        _, loss = model_loss()
        texts += [to_dot(loss), to_dot(loss)]
    assert len(set(texts)) == 1
    svgs = {to_svg(model_loss()[1], engine="builtin") for _ in range(3)}
    assert len(svgs) == 1


def test_drawing_leaves_all_gradients_alone():
    model, loss = model_loss()
    draw(loss), to_svg(loss, engine="builtin")
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    before = [p.grad.copy() for p in model.parameters()]
    draw(loss), to_svg(loss, engine="builtin")
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


# ---------------------------------------------------------------- what is refused


def test_what_was_not_computed_is_refused():
    for x in (leaf(1), tg.Tensor(1.0), tg.Tensor(1.0) * 2, (leaf(1) * 2).detach()):
        with pytest.raises(ValueError, match="draw: this tensor was not computed from anything"):
            draw(x)
    with pytest.raises(ValueError, match="to_svg: this tensor was not computed from anything"):
        to_svg(leaf(1))


@pytest.mark.parametrize("x", [3.0, "loss", None, np.ones(3), [leaf(1)]], ids=repr)
def test_what_is_no_tensor_and_no_layer_is_refused(x):
    with pytest.raises(TypeError, match="draw: .*; give a Tensor, such as a loss, or a layer"):
        draw(x)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *(({"direction": d}, f"direction={d!r}; it is 'LR' or 'TB'") for d in ("RL", "lr", None)),
        *(({"depth": d}, f"depth={d!r}; it is None, or 1") for d in (0, -1, 1.5, "LR")),
        *(({"engine": e}, f"engine={e!r}; it is 'auto'") for e in ("neato", None)),
        *(({"max_nodes": n}, f"max_nodes={n!r}; it is a number of boxes") for n in (0, None, 2.5)),
    ],
    ids=str,
)
def test_an_unknown_option_is_refused(options, words):
    for who, function in (("draw", draw), ("to_svg", to_svg)):
        with pytest.raises(ValueError, match=re.escape(f"{who}: {words}")):
            function(leaf(1) * 2, **options)


def test_a_graph_that_a_step_made_stale_says_so():
    w = leaf(1)
    optimizer = tg.optimizers.SGD(w)
    loss = optimizer.minimize(lambda: w * w)
    with pytest.raises(RuntimeError, match="let go by an optimizer step"):
        draw(loss)


def test_a_line_without_words_has_no_label():
    """An empty label, `<>`, is no HTML, and not every `dot` takes it."""
    text = to_dot((leaf(3) * 2 + 1) * 2, gradients=False)
    assert "->" in text and "label=<>" not in text
