"""The curve: well-formed SVG whatever the values, and the line where the values are."""

import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest

from tinygrad_edu.curve import curve_svg

SVG = "{http://www.w3.org/2000/svg}"


def drawn(values, x_label="epoch", y_label="loss"):
    """The parsed picture: XML that is not well-formed raises here."""
    root = ElementTree.fromstring(curve_svg(values, x_label, y_label))
    assert root.tag == f"{SVG}svg"
    return root


def line_of(root):
    """The points of the curve, one list for each unbroken stretch."""
    (path,) = (p.get("d") for p in root.iter(f"{SVG}path") if p.get("stroke-width"))
    points = re.findall(r"([ML])(-?[\d.]+) (-?[\d.]+)", path)
    assert "".join(f"{pen}{x} {y}" for pen, x, y in points) == path
    stretches = []
    for pen, x, y in points:
        if pen == "M":
            stretches.append([])
        stretches[-1].append((float(x), float(y)))
    return stretches


def labels(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def y_ticks(root):
    ticks = [t for t in root.iter(f"{SVG}text") if t.get("text-anchor") == "end"]
    return [(float(t.text), float(t.get("y"))) for t in ticks]


def x_ticks(root):
    return [t for t in root.iter(f"{SVG}text") if t.get("y") == "330"]


AWKWARD = {
    "falling": [3.0, 2.0, 1.5, 1.25],
    "rising": [1, 2, 3],
    "constant": [2.5] * 4,
    "constant zero": [0.0] * 3,
    "constant negative": [-3.0, -3.0],
    "negative": [-1.0, -5.0, -2.0],
    "both signs": [-1.0, 0.0, 2.0],
    "up to zero": [-1.0, 0.0],
    "one value": [0.7],
    "one zero": [0.0],
    "one negative value": [-0.7],
    "huge": [1e300, 1e299, 3e300],
    "small": [1e-14, 3e-14, 2e-14],
    "the smallest": [5e-324, 1e-323],
    "denormal": [1e-310, 3e-310],
    "small and negative": [-1e-15, -3e-15],
    "close together": [-1.0, -1.0 - 2e-16],
    "close together and large": [-1e9 - 1e-6, -1e9],
    "many": [1 / k for k in range(1, 5001)],
}
awkward = pytest.mark.parametrize("values", AWKWARD.values(), ids=AWKWARD)


@awkward
def test_any_numbers_make_a_picture_with_the_line_inside_its_frame(values):
    root = drawn(values)
    ((first, *_),) = stretches = line_of(root)
    points = stretches[0]
    assert len(points) == len(values) and first[0] == 64
    assert all(64 <= x <= 624 and 16 <= y <= 312 for x, y in points)
    assert all(a[0] <= b[0] for a, b in pairwise(points))


@awkward
def test_larger_values_are_drawn_higher_and_equal_ones_level(values):
    (points,) = line_of(drawn(values))
    for (a, (_, high)), (b, (_, low)) in pairwise(zip(values, points, strict=True)):
        assert (a > b) <= (high <= low) and (a < b) <= (high >= low)
        assert a != b or high == low


@awkward
def test_the_values_lie_between_the_lowest_and_the_highest_tick(values):
    ticks = y_ticks(drawn(values))
    assert len(ticks) >= 2
    assert len({y for _, y in ticks}) == len(ticks), "every tick has a height of its own"
    slack = 1e-5 * max(abs(v) for v in values)  # labels have six digits
    assert ticks[0][0] <= min(values) + slack and ticks[-1][0] >= max(values) - slack


def test_points_stand_where_the_ticks_say():
    root = drawn([3.0, 2.0, 1.0, 0.0])
    heights = dict(y_ticks(root))
    (points,) = line_of(root)
    for value, (_, y) in zip([3, 2, 1, 0], points, strict=True):
        assert y == heights[value]
    assert [(t.text, float(t.get("x"))) for t in x_ticks(root)] == [
        (str(k), x) for k, (x, _) in enumerate(points, start=1)
    ]


def test_a_loss_above_zero_is_drawn_from_zero():
    assert y_ticks(drawn([100.0, 101.0]))[0][0] == 0


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.0, 1.0], [0, 0.2, 0.4, 0.6, 0.8, 1]),
        ([0.3, 2.31], [0, 0.5, 1, 1.5, 2, 2.5]),
        ([-7, 12], [-10, -5, 0, 5, 10, 15]),
        ([3e-7, 9e-7], [0, 2e-7, 4e-7, 6e-7, 8e-7, 1e-6]),
    ],
    ids=str,
)
def test_ticks_are_round_numbers(values, ticks):
    assert [value for value, _ in y_ticks(drawn(values))] == pytest.approx(ticks)


def test_epochs_are_counted_in_whole_numbers():
    assert [t.text for t in x_ticks(drawn([3.0, 2.0, 1.0]))] == ["1", "2", "3"]
    assert [t.text for t in x_ticks(drawn([1.0]))] == ["1"]
    ticks = [int(t.text) for t in x_ticks(drawn(np.linspace(1, 0, 40)))]
    assert ticks == [10, 20, 30, 40]


@pytest.mark.parametrize("gap", [math.nan, math.inf, -math.inf], ids=str)
def test_a_gap_stands_for_what_is_not_finite(gap):
    whole = line_of(drawn([4.0, 3.0, 2.0, 1.0, 0.5]))[0]
    broken = line_of(drawn([4.0, 3.0, gap, 1.0, 0.5]))
    assert broken == [whole[:2], whole[3:]]
    assert line_of(drawn([gap, 3.0, gap, gap, 4.0])) == [[whole[1]], [(624.0, whole[0][1])]]


@pytest.mark.parametrize("values", [[], [math.nan], [math.inf, math.nan]], ids=str)
def test_nothing_finite_is_refused(values):
    with pytest.raises(ValueError, match="no finite number to draw"):
        curve_svg(values, "epoch", "loss")


def test_values_may_be_an_array_or_whole_numbers():
    assert curve_svg(np.array([3, 2], "float32"), "x", "y") == curve_svg([3, 2], "x", "y")


@pytest.mark.parametrize(
    "label", ["a < b & c > d", "\"quoted\" and 'single'", "</svg><script>", "&amp;", "损失 é"]
)
def test_labels_are_text_whatever_is_in_them(label):
    root = drawn([1.0, 2.0], x_label=label, y_label=label + "!")
    assert labels(root)[-2:] == [label, label + "!"]
    assert not list(root.iter(f"{SVG}script"))


def test_the_same_values_give_the_same_text():
    values = np.random.default_rng(0).random(50)
    assert curve_svg(values, "epoch", "loss") == curve_svg(values.copy(), "epoch", "loss")
    assert curve_svg([1.0, 2.0], "x", "y").endswith("</svg>")


def test_a_single_value_can_be_seen():
    (path,) = (p.get("d") for p in drawn([0.7]).iter(f"{SVG}path") if p.get("stroke-width"))
    dots = list(drawn([0.7]).iter(f"{SVG}circle"))
    assert dots or re.search(r"[LHhlvz]", path), "a path that only moves draws nothing"
