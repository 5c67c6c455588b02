"""A graph as SVG, written by ourselves: positions come from a layout, everything else from here.

Every part has a class that a style sheet can colour, and says what it shows: `data-node`,
`data-edge`, `data-call`. Standing alone the picture brings its own style sheet, light and dark, and
tooltips; in a page both are the page's.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

from tinygrad_edu.drawing.cards import Card, Flow, cards, flows, frame_title
from tinygrad_edu.drawing.faces import Face, face, px, written
from tinygrad_edu.drawing.style import HEADER, LABELLED, LETTER, LINE, RICH, SMALL, sheet
from tinygrad_edu.drawing.texts import width, xml
from tinygrad_edu.graph.trace import Graph, Node
from tinygrad_edu.layout import Box, Layout, Link, Placed, arrange
from tinygrad_edu.layout.rectangles import Point

__all__ = ["Picture", "picture"]


class Picture(NamedTuple):
    """An SVG, its size in pixels, and who placed the boxes."""

    svg: str
    width: float
    height: float
    engine: str


def picture(
    graph: Graph,
    direction: str = "TB",
    values: bool = True,
    gradients: bool = True,
    engine: str = "auto",
    prefix: str = "",
    standalone: bool = True,
) -> Picture:
    """Draw a graph; `prefix` is put before every id, for several pictures in one page.

    >>> from tinygrad_edu.graph.trace import trace
    >>> from tinygrad_edu.tensor import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> picture(trace(x * x), engine="builtin").svg[:4]
    '<svg'
    """
    said = cards(graph, values, gradients)
    rich = len(graph.nodes) <= RICH
    faces = {key: face(node.kind, said[key], rich) for key, node in graph.nodes.items()}
    flow = flows(graph, gradients)
    layout = arrange(_boxes(graph, faces), _links(graph, flow, standalone), direction, engine)
    parts = [_frame(key, place) for key, place in layout.frames.items()]
    parts += [_link(graph, i, one, layout, standalone) for i, one in enumerate(flow)]
    parts += [_heading(graph, key, place) for key, place in layout.frames.items()]
    parts += [
        _box(node, said[key], faces[key], layout.boxes[key], prefix, standalone)
        for key, node in graph.nodes.items()
    ]
    svg = _whole(parts, layout, standalone)
    return Picture(svg, layout.width, layout.height, layout.engine)


def _boxes(graph: Graph, faces: dict[str, Face]) -> list[Box]:
    return [
        Box(key, faces[key].width, faces[key].height, node.calls, node.beside)
        for key, node in graph.nodes.items()
    ]


def _links(graph: Graph, flow: list[Flow], standalone: bool) -> list[Link]:
    """With room for labels, where there are not too many, and not beside an op."""
    links = []
    for edge, one in zip(graph.edges, flow, strict=True):
        wide, high = 0.0, 0.0
        if len(flow) <= LABELLED and graph.nodes[edge.source].beside is None:
            wide, high = _label_size(one, standalone)
        links.append(Link(edge.source, edge.target, wide, high))
    return links


def _whole(parts: list[str], layout: Layout, standalone: bool) -> str:
    wide, high = px(layout.width), px(layout.height)
    size = f'viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
    if standalone:
        paper = f'<rect class="paper" width="{wide}" height="{high}"/>'
        parts = [f"<style>{sheet()}</style>", paper, *parts]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', *parts, "</svg>\n"])


def _tip(text: str, standalone: bool) -> tuple[str, str]:
    """A tooltip as an attribute, or as an element."""
    if standalone:
        return "", f"<title>{xml(text)}</title>"
    return f' data-tip="{xml(text)}"'.replace("\n", "&#10;"), ""


# ---------------------------------------------------------------- frames and boxes


def _frame(key: str, at: Placed) -> str:
    x, y = at.x - at.width / 2, at.y - at.height / 2
    rect = (
        f'<rect x="{px(x)}" y="{px(y)}" width="{px(at.width)}" height="{px(at.height)}" rx="10"/>'
    )
    return f'<g class="frame" data-call="{key}">{rect}</g>'


def _heading(graph: Graph, key: str, at: Placed) -> str:
    """What stands in a frame, over the lines that pass."""
    name, title = frame_title(graph.calls[key])
    x, y = at.x - at.width / 2, at.y - at.height / 2
    beside = x + 10 + (width(name) + 1) * LETTER * HEADER
    texts = written(name, x + 10, y + 15, "name") + written(title, beside, y + 15, "title")
    return f'<g class="heading" data-call="{key}">{texts}</g>'


def _box(node: Node, card: Card, face: Face, at: Placed, prefix: str, standalone: bool) -> str:
    alarm = any(said is not None and said.alarm for said in (card.value, card.gradient))
    classes = f"box {node.kind}" + " needs" * node.needs_gradient + " alarm" * alarm
    attribute, element = _tip(card.tip, standalone)
    corner = f"translate({px(at.x - face.width / 2)} {px(at.y - face.height / 2)})"
    return (
        f'<g class="{classes}" id="{prefix}{node.key}" data-node="{node.key}"{attribute} '
        f'transform="{corner}">{element}{face.svg}</g>'
    )


# ---------------------------------------------------------------- lines

APART = 2.0  # of each lane from the middle
SPIKE = 2.5  # so many times as far at most, where a line runs along the border of its box
HEAD = 7.0  # the length of an arrow's head
THIN, THICK = 0.8, 3.4  # the lane of the smallest and of the largest gradient


def _link(graph: Graph, i: int, flow: Flow, layout: Layout, standalone: bool) -> str:
    """The lane forward, and beside it the lane back, if a gradient came along."""
    edge = graph.edges[i]
    classes = "link needs" if flow.wanted else "link no-gradient"
    classes += " alarm" * flow.alarm + " vanished" * (flow.strength == 0)
    attribute, element = _tip(flow.tip, standalone)
    route = layout.routes[i]
    ends = (layout.boxes[edge.source], layout.boxes[edge.target])
    drawn = _lane("forward", _aside(route, -APART, ends) if flow.wanted else route, None)
    if flow.wanted:
        thick = THIN + (THICK - THIN) * (flow.strength or 0)
        drawn += _lane("backward", _aside(route, APART, ends)[::-1], thick)
    drawn += _label(flow, layout.labels[i], standalone)
    return (
        f'<g class="{classes}" data-edge="{i}" data-source="{edge.source}" '
        f'data-target="{edge.target}"{attribute}>{element}{drawn}</g>'
    )


def _lane(way: str, route: list[Point], thick: float | None) -> str:
    """A line with an arrow's head at its end."""
    (x0, y0), (x1, y1) = route[-2:]
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    ux, uy = (x1 - x0) / length, (y1 - y0) / length
    half = HEAD / 2.4 + (thick or 1) / 4
    bx, by = x1 - ux * HEAD, y1 - uy * HEAD
    points = [(x1, y1), (bx - uy * half, by + ux * half), (bx + uy * half, by - ux * half)]
    head = "L".join(f"{px(x)} {px(y)}" for x, y in points)
    line = _rounded([*route[:-1], (x1 - ux * HEAD * 0.8, y1 - uy * HEAD * 0.8)])
    style = f' stroke-width="{thick:.2f}"' if thick is not None else ""
    return f'<path class="lane {way}" d="{line}"{style}/><path class="head {way}" d="M{head}Z"/>'


def _aside(route: list[Point], distance: float, ends: tuple[Placed, Placed]) -> list[Point]:
    """The line beside a line: every corner moves along the middle of the two normals there.

    Where it begins and ends it moves along the border of the box.
    """
    normals = []
    for (x0, y0), (x1, y1) in pairwise(route):
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        normals.append(((y0 - y1) / length, (x1 - x0) / length))
    moved = []
    for (x, y), before, after in zip(
        route, [normals[0], *normals], [*normals, normals[-1]], strict=True
    ):
        nx, ny = before[0] + after[0], before[1] + after[1]
        scale = 2 * distance / max(nx * nx + ny * ny, 1.0)  # longer at a corner, but no spike
        moved.append((x + nx * scale, y + ny * scale))
    moved[0] = _along(route[0], normals[0], distance, ends[0])
    moved[-1] = _along(route[-1], normals[-1], distance, ends[1])
    return moved


def _along(at: Point, normal: Point, distance: float, box: Placed) -> Point:
    """A point at the border of a box, moved along it so far that a line is at this distance."""
    (x, y), (nx, ny) = at, normal
    to_side = abs(abs(x - box.x) - box.width / 2)
    to_end = abs(abs(y - box.y) - box.height / 2)
    if to_side < to_end:  # it is at the left or at the right
        return x, y + distance * math.copysign(min(1 / max(abs(ny), 1e-9), SPIKE), ny)
    return x + distance * math.copysign(min(1 / max(abs(nx), 1e-9), SPIKE), nx), y


CORNER = 9.0
GENTLE = 0.25  # the tangent of the turn


def _rounded(route: list[Point]) -> str:
    """A path along these points, with round corners."""
    path = f"M{px(route[0][0])} {px(route[0][1])}"
    for before, at, after in zip(route, route[1:], route[2:], strict=False):
        if _is_gentle(before, at, after):  # a curve of `dot` is many of these
            path += f"L{px(at[0])} {px(at[1])}"
            continue
        (ax, ay), (bx, by) = _towards(at, before), _towards(at, after)
        path += f"L{px(ax)} {px(ay)}Q{px(at[0])} {px(at[1])} {px(bx)} {px(by)}"
    return path + f"L{px(route[-1][0])} {px(route[-1][1])}"


def _is_gentle(before: Point, at: Point, after: Point) -> bool:
    """Is this corner too flat to be seen as one?"""
    ax, ay, bx, by = at[0] - before[0], at[1] - before[1], after[0] - at[0], after[1] - at[1]
    return abs(ax * by - ay * bx) <= GENTLE * (ax * bx + ay * by)


def _towards(a: Point, b: Point) -> Point:
    """The point at a corner's distance from a on the way to b, or half way."""
    share = min(0.5, CORNER / (math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0))
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


# ---------------------------------------------------------------- what stands at a line


def _label_size(flow: Flow, standalone: bool) -> tuple[float, float]:
    """Alone, shape and norm side by side; in a page one after the other has the same place."""
    columns = [width(text) for text in (flow.shape, flow.norm) if text]
    if not columns:
        return 0.0, 0.0
    long = sum(columns) + len(BETWEEN) * (len(columns) - 1) if standalone else max(columns)
    return long * LETTER * SMALL + 10, LINE + 2.0


BETWEEN = " · "


def _label(flow: Flow, at: Point | None, standalone: bool) -> str:
    """Shape and norm, on a patch of paper in the middle of the line."""
    wide, high = _label_size(flow, standalone)
    if at is None or not wide:
        return ""
    x, y = at
    patch = (
        f'<rect class="pill" x="{px(x - wide / 2)}" y="{px(y - high / 2)}" width="{px(wide)}" '
        f'height="{px(high)}" rx="6"/>'
    )
    y += SMALL / 2 - 1
    if not standalone or not (flow.shape and flow.norm):
        shape = written(flow.shape, x, y, "flow shape", "middle")
        return patch + shape + written(flow.norm, x, y, "flow norm", "middle")
    left, right = x - wide / 2 + 5, x + wide / 2 - 5
    shape = written(flow.shape + BETWEEN.rstrip(), left, y, "flow shape")
    return patch + shape + written(flow.norm, right, y, "flow norm", "end")
