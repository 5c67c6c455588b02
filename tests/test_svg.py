"""The SVG: what scripts and style sheets rely on, what one sees, and names that are only names."""

import base64
import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.test_thumbnails import read
from tinygrad_edu.drawing.style import COLOURS, KINDS, sheet
from tinygrad_edu.drawing.svg import picture
from tinygrad_edu.drawing.texts import one_line, width
from tinygrad_edu.graph.simplify import alias_leaves, collapse
from tinygrad_edu.graph.trace import trace
from tinygrad_edu.layers import MLP, Layer, Linear, Sequential

SVG = "{http://www.w3.org/2000/svg}"


def leaf(*numbers, name=None):
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, "float32")
    return tg.Tensor(data, requires_grad=True, name=name)


def graph_of(root, depth=None):
    return collapse(alias_leaves(trace(root)), depth)


def usual(seed=0):
    """A loss with a penalty: every kind of box but a collapsed layer."""
    model = MLP(2, 6, 3, rng=seed)
    x = tg.Tensor(np.random.default_rng(seed).standard_normal((5, 2)), dtype="float32")
    w = model.parameters()[0]
    return tg.losses.cross_entropy(model(x), np.array([0, 1, 2, 1, 0])) + 0.05 * (w * w).sum()


def drawn(graph, engine="builtin", **options):
    return ElementTree.fromstring(picture(graph, engine=engine, **options).svg)


def of_class(root, *names):
    return [e for e in root.iter() if set(names) <= set(e.get("class", "").split())]


def texts(element):
    return [text.text for text in element.iter(f"{SVG}text")]


def box(root, key):
    return next(e for e in of_class(root, "box") if e.get("data-node") == key)


# ---------------------------------------------------------------- what others rely on


@pytest.mark.parametrize("direction", ["TB", "LR"])
@pytest.mark.parametrize("depth", [None, 1, 2])
def test_every_part_says_what_it_shows(direction, depth):
    graph = graph_of(usual(), depth)
    root = drawn(graph, direction=direction, prefix="v1-")
    boxes = of_class(root, "box")
    assert [e.get("data-node") for e in boxes] == list(graph.nodes), "in reading order"
    assert [e.get("id") for e in boxes] == [f"v1-{key}" for key in graph.nodes]
    assert [e.get("class").split()[1] for e in boxes] == [n.kind for n in graph.nodes.values()]
    links = of_class(root, "link")
    assert [e.get("data-edge") for e in links] == [str(i) for i in range(len(graph.edges))]
    ends = [(e.get("data-source"), e.get("data-target")) for e in links]
    assert ends == [(edge.source, edge.target) for edge in graph.edges]
    around = dict.fromkeys(key for node in graph.nodes.values() for key in node.calls)
    assert {e.get("data-call") for e in of_class(root, "frame")} == set(around)


def test_a_card_has_its_name_title_shape_value_and_gradient():
    graph = graph_of(usual())
    root = drawn(graph)
    card = box(root, "n7")
    header = [e.text for e in card if e.get("class") in ("name", "title", "shape")]
    assert header == ["linear", "5×3"]
    assert len(of_class(card, "card")) == len(of_class(card, "stripe")) == 1
    (value,), (gradient,) = of_class(card, "value"), of_class(card, "gradient")
    assert texts(value)[0].startswith("mean ") and texts(gradient)[0].startswith("‖∇‖ ")
    assert len(list(value.iter(f"{SVG}image"))) == len(list(gradient.iter(f"{SVG}image"))) == 1
    named = leaf(2.0, name="a")
    six = named * 3
    six.name = "six"
    first, second = of_class(drawn(graph_of(six)), "box")
    assert texts(first) == ["a", "scalar", "2", "value", "3", "gradient"]
    assert texts(second) == ["six", "=", "multiply 3", "scalar", "6", "value", "1", "gradient"]


def test_a_thumbnail_shows_the_array_itself():
    w = leaf([1, -1, 0], [0.5, 0, np.nan])
    root = drawn(graph_of((w * 1).sum()))
    (image,) = of_class(box(root, "n0"), "value")[0].iter(f"{SVG}image")
    start = "data:image/png;base64,"
    assert image.get("href").startswith(start)
    pixels = read(base64.b64decode(image.get("href")[len(start) :]))
    assert pixels.shape == (2, 3, 4)
    assert pixels[:, :, 3].tolist() == [[255, 255, 0], [127, 0, 255]]
    assert float(image.get("width")) / float(image.get("height")) == pytest.approx(1.5)
    (outline,) = of_class(box(root, "n0"), "value")[0].iter(f"{SVG}rect")
    for side in ("x", "y", "width", "height"):
        assert outline.get(side) == image.get(side), "an array of zeros can be seen, too"


def test_lines_have_lanes_and_say_shape_and_norm():
    graph = graph_of(usual())
    root = drawn(graph)
    for link, edge in zip(of_class(root, "link"), graph.edges, strict=True):
        wanted = edge.contribution is not None
        assert ("needs" in link.get("class")) == wanted
        assert ("no-gradient" in link.get("class")) == (not wanted)
        assert len(of_class(link, "lane", "forward")) == 1
        assert len(of_class(link, "lane", "backward")) == wanted
        beside = graph.nodes[edge.source].beside is not None
        many = bool(graph.nodes[edge.source].shape)
        assert len(of_class(link, "flow", "shape")) == (many and not beside)
        assert len(of_class(link, "flow", "norm")) == (wanted and not beside)
    first = of_class(root, "link")[3]
    norm = f"∇ {np.linalg.norm(graph.edges[3].contribution):.4g}"
    assert texts(first) == ["5×6 ·", norm]
    page = of_class(drawn(graph, standalone=False), "link")[3]
    assert texts(page) == ["5×6", norm], "one after the other, in the same place"
    assert len({text.get("x") for text in of_class(page, "flow")}) == 1


def test_what_stands_at_a_line_is_in_one_line_and_fills_its_patch():
    for standalone in (True, False):
        root = drawn(graph_of(usual()), standalone=standalone)
        pills = 0
        for link in of_class(root, "link"):
            flow = of_class(link, "flow")
            assert "scalar" not in texts(link)
            assert len(of_class(link, "pill")) == bool(flow)
            if not flow:
                continue
            (pill,) = of_class(link, "pill")
            assert len({text.get("y") for text in flow}) == 1
            longs = [width(text.text) * 9 * 0.6 for text in flow]
            long = sum(longs) + 9 * 0.6 * (len(flow) - 1) if standalone else max(longs)
            assert float(pill.get("width")) == pytest.approx(long + 10, abs=0.2)
            pills += 1
        assert pills > 5


def points(path):
    numbers = [float(x) for x in re.findall(r"-?[\d.]+", path.get("d"))]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_forward_ends_at_the_op_and_backward_at_its_input(direction):
    graph = graph_of(usual())
    root = drawn(graph, direction=direction)

    def distance(key, point):
        """From the border of a box, or 0 within it."""
        card = box(root, key)
        left, top = map(float, re.findall(r"[-\d.]+", card.get("transform")))
        (rect,) = of_class(card, "card")
        right, low = left + float(rect.get("width")), top + float(rect.get("height"))
        x, y = point
        return math.hypot(max(left - x, 0, x - right), max(top - y, 0, y - low))

    for link in of_class(root, "link"):
        source, target = link.get("data-source"), link.get("data-target")
        for way, start, end in (("forward", source, target), ("backward", target, source)):
            for lane in of_class(link, "lane", way):
                assert distance(start, points(lane)[0]) < 3
            for head in of_class(link, "head", way):
                assert distance(end, points(head)[0]) < 3, (source, target, way)


def test_the_larger_the_gradient_the_wider_the_lane():
    w = leaf(1.0, 2.0)
    graph = graph_of((w * 1 + (w * 1) * 1e-4 + (w * 1) * 0).sum())
    links = of_class(drawn(graph), "link")
    norms = [np.linalg.norm(e.contribution) for e in graph.edges]
    lanes = [float(of_class(link, "lane", "backward")[0].get("stroke-width")) for link in links]
    assert len(set(lanes)) >= 3
    for a, x in zip(norms, lanes, strict=True):
        assert all(x < y for b, y in zip(norms, lanes, strict=True) if a < b * 0.9)
    vanished = ["vanished" in link.get("class") for link in links]
    assert vanished == [norm == 0 for norm in norms] and any(vanished)


# ---------------------------------------------------------------- alone, and in a page


def test_names_of_frames_are_over_the_lines():
    root = drawn(graph_of(usual()))
    kinds = [child.get("class", "").split()[0] for child in root if child.tag == f"{SVG}g"]
    assert list(dict.fromkeys(kinds)) == ["frame", "link", "heading", "box"]
    assert kinds.count("frame") == kinds.count("heading") == 4
    halo = "stroke: var(--halo); stroke-width: 4px; paint-order: stroke;"
    assert f".heading text {{ fill: var(--dim); {halo} }}" in sheet()


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_lanes_begin_and_end_at_the_border_of_their_boxes(direction):
    root = drawn(graph_of(usual()), direction=direction)
    slanted = 0
    for link in of_class(root, "link", "needs"):
        source, target = link.get("data-source"), link.get("data-target")
        for way, start, end in (("forward", source, target), ("backward", target, source)):
            (lane,), (head,) = of_class(link, "lane", way), of_class(link, "head", way)
            assert to_border(root, start, points(lane)[0]) < 0.2
            assert to_border(root, end, points(head)[0]) < 0.2
            (x0, y0), (x1, y1) = points(lane)[:2]
            slanted += abs(x1 - x0) > 3 and abs(y1 - y0) > 3
    assert slanted


def to_border(root, key, point):
    """How far a point is from the border of a box, inside or outside."""
    card = box(root, key)
    left, top = map(float, re.findall(r"[-\d.]+", card.get("transform")))
    (rect,) = of_class(card, "card")
    right, low = left + float(rect.get("width")), top + float(rect.get("height"))
    x, y = point
    outside = math.hypot(max(left - x, 0, x - right), max(top - y, 0, y - low))
    return outside or min(x - left, right - x, y - top, low - y)


def test_alone_it_brings_its_style_sheet_and_tooltips():
    graph = graph_of(usual())
    root = drawn(graph)
    (style,) = root.iter(f"{SVG}style")
    assert style.text == sheet() and "prefers-color-scheme: dark" in style.text
    card = box(root, "n3")
    lines = card[0].text.split("\n")
    assert card[0].tag == f"{SVG}title" and "data-tip" not in card.attrib
    assert lines[0] == "layers.0.linear = x @ layers.0.weight + layers.0.bias"
    assert "layers.0.weight.grad += x.T @ g" in card[0].text
    assert all(e[0].tag == f"{SVG}title" for e in of_class(root, "box") + of_class(root, "link"))


def test_in_a_page_style_and_tooltips_are_the_pages():
    graph = graph_of(usual())
    root, alone = drawn(graph, standalone=False), drawn(graph)
    assert not list(root.iter(f"{SVG}style")) and not list(root.iter(f"{SVG}title"))
    assert not of_class(root, "paper")
    for key in graph.nodes:
        assert box(root, key).get("data-tip") == box(alone, key)[0].text
    assert root.get("viewBox") == alone.get("viewBox")


def test_every_class_and_colour_that_is_used_is_defined():
    text = sheet()
    for name in re.findall(r"var\(--([a-z-]+)\)", text):
        assert f"--{name}: " in text, name
    assert set(re.findall(r"--([a-z-]+):", text)) >= set(COLOURS)
    for kind in KINDS:
        assert f".{kind} {{" in text and {kind, f"{kind}-card"} < set(COLOURS)
    assert re.findall("[{}]", text).count("{") == text.count("}")


def test_the_size_is_that_of_the_picture():
    result = picture(graph_of(usual()), engine="builtin")
    root = ElementTree.fromstring(result.svg)
    assert root.get("viewBox").split()[:2] == ["0", "0"]
    assert float(root.get("width")) == pytest.approx(result.width, abs=0.1)
    assert float(root.get("height")) == pytest.approx(result.height, abs=0.1)
    assert result.engine == "builtin"
    for card in of_class(root, "box"):
        x, y = map(float, re.findall(r"[-\d.]+", card.get("transform")))
        (rect,) = of_class(card, "card")
        assert 0 <= x <= result.width - float(rect.get("width"))
        assert 0 <= y <= result.height - float(rect.get("height"))


@pytest.mark.parametrize("depth", [None, 1])
def test_texts_stay_within_their_card(depth):
    labels = np.array([0, 1], "int64")
    long = leaf([1, 2], [3, np.nan], name="a rather long name of a parameter")
    result = tg.losses.cross_entropy(Linear(2, 2, rng=0)(long), labels)
    root = drawn(graph_of(result, depth))
    for card in of_class(root, "box"):
        (rect,) = of_class(card, "card")
        taken = []
        for text in card.iter(f"{SVG}text"):
            kind = text.get("class")
            letter = {"name": 11, "title": 11, "number": 13}.get(kind, 9) * 0.6
            long, x = width(text.text) * letter, float(text.get("x"))
            start = {"end": x - long, "middle": x - long / 2}.get(text.get("text-anchor"), x)
            assert start >= 4 and start + long <= float(rect.get("width")) - 2, text.text
            assert 0 < float(text.get("y")) < float(rect.get("height"))
            taken.append((text.get("y"), start, start + long))
        for (y, _, end), (below, start, _) in pairwise(sorted(taken)):
            assert y != below or end < start, "texts do not overlap"


def test_thumbnails_stay_between_the_header_and_what_is_said_of_them():
    shapes = ((1, 3), (60, 1), (3, 60), (24, 24), (4, 5, 6))
    total = sum((tg.Tensor(np.ones(s, "f4"), requires_grad=True) * 2).sum() for s in shapes)
    root = drawn(graph_of(total))
    images = 0
    for slot in of_class(root, "value") + of_class(root, "gradient"):
        for image in slot.iter(f"{SVG}image"):
            (caption,) = of_class(slot, "norm")
            top, high = float(image.get("y")), float(image.get("height"))
            assert top >= 20 and top + high <= float(caption.get("y")) - 9
            assert float(image.get("width")) >= 5 and high >= 5
            images += 1
    assert images == 4 * len(shapes)


# ---------------------------------------------------------------- what is seen


def test_values_and_gradients_can_be_left_out():
    graph = graph_of(usual())
    root = drawn(graph, values=False)
    assert not of_class(root, "value") and of_class(root, "gradient")
    root = drawn(graph, gradients=False)
    assert of_class(root, "value") and not of_class(root, "gradient")
    assert not of_class(root, "lane", "backward") and not of_class(root, "flow", "norm")
    assert "grad" not in picture(
        graph, engine="builtin", gradients=False, standalone=False
    ).svg.replace("no-gradient", "")


def test_zero_is_not_the_same_as_not_computed():
    w = leaf(1.0, 2.0)
    zero = drawn(graph_of((w * 0).sum()))
    (gradient,) = of_class(box(zero, "n0"), "gradient")
    assert texts(gradient) == ["‖∇‖ 0"] and list(gradient.iter(f"{SVG}image"))
    several = drawn(graph_of(w * 2))
    assert [texts(e) for e in of_class(several, "gradient")] == [["∇ not computed"]]
    assert of_class(box(several, "n1"), "gradient", "missing")
    assert not of_class(zero, "missing")


def test_what_is_not_finite_is_counted_and_alarms():
    w = leaf(0.0, -1.0, 2.0)
    with np.errstate(all="ignore"):
        root = drawn(graph_of(tg.log(w).sum()))
    assert texts(of_class(box(root, "n1"), "value", "alarm")[0]) == ["1 nan, 1 infinite"]
    assert texts(of_class(box(root, "n0"), "gradient", "alarm")[0]) == ["1 infinite"]
    assert texts(of_class(box(root, "n2"), "value", "alarm")[0])[0] == "nan"
    assert all("alarm" in box(root, key).get("class") for key in ("n0", "n1", "n2"))
    assert ["alarm" in e.get("class") for e in of_class(root, "link")] == [True, False]


def test_a_collapsed_layer_says_what_is_in_it():
    root = drawn(graph_of(usual(), depth=1))
    card = box(root, "c0")
    assert texts(card)[:3] == ["MLP", "5×3", "3 ops, 39 parameters"]
    assert "layer" in card.get("class") and of_class(card, "value") and of_class(card, "gradient")


def test_a_second_call_and_aliases_say_so():
    shared = Linear(2, 2, rng=0)
    net = Sequential(shared, shared)
    root = drawn(graph_of(net(np.ones((1, 2), "f4")).sum()))
    assert [texts(e) for e in of_class(root, "heading")] == [
        ["Sequential"], ["layers.0", "Linear"], ["layers.0, call 2", "Linear"]
    ]  # fmt: skip
    assert [texts(e) for e in of_class(root, "alias")] == [["weight ↗", "2×2"], ["bias ↗", "2"]]


def test_above_150_boxes_cards_are_compact():
    def chain(n):
        x = leaf(1.0, 2.0)
        for _ in range(n - 2):
            x = x + 1
        return graph_of(x.sum())

    rich, compact = drawn(chain(150)), drawn(chain(151))
    assert len(list(rich.iter(f"{SVG}image"))) == 298 and not list(compact.iter(f"{SVG}image"))
    assert texts(box(compact, "n1")) == ["add", "=", "add 1", "2", "mean 2.5", "‖∇‖ 1.414"]
    heights = [float(of_class(box(r, "n1"), "card")[0].get("height")) for r in (rich, compact)]
    assert heights[1] < heights[0] / 2


def test_lines_have_labels_as_long_as_they_are_few():
    def chain(n):
        x = leaf(1.0, 2.0)
        for _ in range(n):
            x = x + 1
        return drawn(graph_of(x))

    assert len(of_class(chain(250), "flow", "shape")) == 249, "the first stands beside its op"
    assert not of_class(chain(251), "flow")


@pytest.mark.parametrize(
    "shape", [(), (0,), (3,), (0, 2), (40, 2), (2, 3, 4), (2, 3, 4, 5)], ids=str
)
@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_arrays_of_all_shapes_can_be_drawn(shape, direction):
    w = tg.Tensor(np.ones(shape, "f4"), requires_grad=True)
    root = drawn(graph_of((w * np.ones(shape, "f4")).sum()), direction=direction)
    assert len(of_class(root, "box")) == 4


def test_the_same_graph_gives_the_same_bytes():
    assert len({picture(graph_of(usual()), engine="builtin").svg for _ in range(3)}) == 1


# ---------------------------------------------------------------- names are only names

AWKWARD = {
    name: name
    for name in (
        '"quoted"', "back\\slash", "\\n", "<b>bold</b>", "<script>alert(1)</script>", "]]>", "<!--",
        "&amp;", "&#10;", "'", "损失", "</svg>", "onload=alert(1)", "url(x)", "}", "*/", "{x}",
    )
} | {
    "two\nlines": "two↵lines", "\x00\x1b[31m": "��[31m", "\ud800": "�", "\uffff": "�",
    "\u202eevil\u2066": "�evil�", "a\tb": "a b", "x" * 10_000: "x" * 14 + "…" + "x" * 13,
    "שלום": "\u2068שלום\u2069",
}  # fmt: skip


@pytest.mark.parametrize("standalone", [True, False])
@pytest.mark.parametrize("name", AWKWARD, ids=lambda name: repr(name)[:30])
def test_a_name_is_shown_as_it_is(name, standalone):
    class Parts(Layer):
        def __init__(self):
            self.of = {name: Linear(1, 1, rng=0)}

        def forward(self, x):
            return self.of[name](x)

    def parts(called):
        inner = Parts()
        inner.of = {called: inner.of[name]}
        inner.forward = lambda x: inner.of[called](x)
        y = inner(tg.Tensor(np.ones((1, 1), "f4"), name=called)) * leaf(2, name=called)
        y.name = called
        return drawn(graph_of(y), standalone=standalone)

    root, plain = parts(name), parts("plain")
    shown = AWKWARD[name]
    assert shown in texts(box(root, "n0"))
    assert texts(of_class(root, "heading")[1])[0] == one_line(f"of.{name}", 28)
    tip = box(root, "n0")[0].text if standalone else box(root, "n0").get("data-tip")
    assert tip.split("\n")[0] == one_line(name)
    parents = [[child.tag for child in e] for e in root.iter()]
    assert parents == [[child.tag for child in e] for e in plain.iter()], "it adds no element"
    assert [sorted(e.attrib) for e in root.iter()] == [sorted(e.attrib) for e in plain.iter()]


def test_a_long_name_makes_no_wide_card():
    root = drawn(graph_of(leaf(1, name="w" * 10_000) * leaf(2, name="损" * 10_000)))
    widths = [float(e.get("width")) for e in of_class(root, "card")]
    assert max(widths) < 480
