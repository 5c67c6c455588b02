"""What stands on a box, a frame, a line: the words that all pictures have in common."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tinygrad_edu.arrays import Array, default_dtype
from tinygrad_edu.drawing.style import NAME, TITLE
from tinygrad_edu.drawing.texts import one_line
from tinygrad_edu.drawing.thumbnails import not_finite, summary, words
from tinygrad_edu.graph.trace import Call, Edge, Graph, Node
from tinygrad_edu.graph.wording import backward_rule, forward_rule, norm, number, shape, size
from tinygrad_edu.tensor import Tensor

__all__ = ["Card", "Flow", "Said", "cards", "flows", "frame_title"]


@dataclass(frozen=True)
class Said:
    """What a card says of an array: the array, where there is one to be seen, and words.

    `alarm` is true of what is not finite, `missing` of what was not computed.
    """

    array: Array | None
    words: str
    alarm: bool = False
    missing: bool = False


@dataclass(frozen=True)
class Card:
    """What stands on a box; `title` is empty if the name says as much."""

    name: str
    title: str
    shape: str
    value: Said | None
    gradient: Said | None
    note: str
    tip: str


@dataclass(frozen=True)
class Flow:
    """What stands at a line: its shape, and how much gradient came back along it.

    `strength` is from 0 to 1 by the logarithm of the norm, relative to the largest in the picture;
    None where no gradient came, and where it is not finite.
    """

    shape: str
    norm: str
    strength: float | None
    wanted: bool
    alarm: bool
    tip: str


def cards(graph: Graph, values: bool = True, gradients: bool = True) -> dict[str, Card]:
    """The card of every node."""
    tensors = {key: t for t, key in graph.keys.items()}
    into: dict[str, list[Edge]] = {}
    for edge in graph.edges:
        into.setdefault(edge.target, []).append(edge)
    return {
        key: Card(
            *_header(graph, node),
            _shape(node),
            _value(node) if values else None,
            _gradient(graph, node) if gradients else None,
            _contents([tensors[one] for one in node.inside if one in tensors]),
            "\n".join(_tip(graph, node, into.get(key, []), values, gradients)),
        )
        for key, node in graph.nodes.items()
    }


def _contents(inside: Sequence[Tensor]) -> str:
    """What a collapsed layer consists of: "3 ops, 39 parameters"."""
    ops = sum(t.op is not None for t in inside)
    weights = sum(t.size for t in inside if t.op is None and t._trainable)
    counts = ((ops, "op"), (weights, "parameter"))
    return ", ".join(f"{n:,} {what}{'' if n == 1 else 's'}" for n, what in counts if n)


def _header(graph: Graph, node: Node) -> tuple[str, str]:
    """The name and the op, without what the frames around say already."""
    if node.kind == "layer":
        alone = Call(node.key, node.name, node.title, None, 1)
        return frame_title(graph.calls.get(node.key, alone))
    inner = [graph.calls[key].name for key in node.calls[1:]]
    name = node.name.removeprefix("".join(f"{one}." for one in inner))
    title = one_line(node.title, TITLE)
    return one_line(name, NAME), "" if says(name, title) else title


def says(name: str, title: str) -> bool:
    """Does a name say all that its op would? A number at the end is no matter.

    >>> says("tanh_6", "tanh"), says("add_2", "add 1"), says("h", "tanh")
    (True, False, False)
    """
    return re.sub(r"_\d+$", "", name) == title


def frame_title(call: Call) -> tuple[str, str]:
    """The name of a layer's call, and its class, if that says more."""
    name = one_line(call.name, NAME) + (f", call {call.time}" if call.time > 1 else "")
    return name, "" if call.name == call.title else one_line(call.title, TITLE)


def _shape(node: Node) -> str:
    usual = node.dtype == str(default_dtype()) or node.kind in ("layer", "alias")
    return shape(node.shape) if usual else f"{shape(node.shape)} {node.dtype}"


# ---------------------------------------------------------------- values and gradients


def _value(node: Node) -> Said | None:
    if node.kind == "alias":
        return None
    if node.value is None:
        return Said(None, "several outputs", missing=True)
    return _said(node.value, "" if node.value.size == 1 else words(node.value))


def _gradient(graph: Graph, node: Node) -> Said | None:
    """Nothing is said where none is wanted; what was wanted and not computed is no zero."""
    if node.kind == "alias" or not node.needs_gradient:
        return None
    if node.gradient is not None:
        g = node.gradient
        return _said(g, "∇" if g.size == 1 else f"‖∇‖ {number(size(g))}")
    if graph.has_gradients or node.key == graph.result:
        return Said(None, "∇ not computed", missing=True)
    return None


def _said(x: Array, text: str) -> Said:
    if x.size == 0:
        return Said(None, "empty")
    alarm = not_finite(x)
    if x.size == 1:
        return Said(x, f"{text} {number(x)}".strip(), bool(alarm))
    return Said(x, alarm or text, bool(alarm))


# ---------------------------------------------------------------- lines


def flows(graph: Graph, gradients: bool = True) -> list[Flow]:
    """What stands at every edge."""
    shapes = {key: t.shape for t, key in graph.keys.items()}  # also of what is in a layer
    given = [edge.contribution if gradients else None for edge in graph.edges]
    norms = [None if dx is None else size(dx) for dx in given]
    largest = max((x for x in norms if x is not None and math.isfinite(x)), default=0.0)
    found = []
    for edge, dx, length in zip(graph.edges, given, norms, strict=True):
        source, target = graph.nodes[edge.source], graph.nodes[edge.target]
        lines = [f"{one_line(source.name, 80)} → {one_line(target.name, 80)}"]
        dimensions = shapes.get(edge.carries, source.shape)
        carried = shape(dimensions) if dimensions else ""  # one number is what a line is without
        if dx is None or length is None:
            found.append(Flow(carried, "", None, False, False, lines[0]))
            continue
        lines += _handed_on(graph, edge)
        alarm = not math.isfinite(length)
        told = f"∇ {number(dx if dx.size == 1 else length)}"
        thick = None if alarm else strength(length, largest)
        found.append(Flow(carried, told, thick, True, alarm, "\n".join(lines)))
    return found


DECADES = 6  # a gradient a millionth of the largest is as thin as can be


def strength(length: float, largest: float) -> float:
    """From 0 to 1 by the logarithm; 0 for what has vanished.

    >>> strength(1.0, 1.0), strength(1e-3, 1.0), strength(0.0, 1.0), strength(0.0, 0.0)
    (1.0, 0.5, 0.0, 0.0)
    """
    if length == 0:
        return 0.0
    return max(0.0, 1 + (math.log10(length) - math.log10(largest)) / DECADES)


# ---------------------------------------------------------------- tooltips


def _tip(
    graph: Graph, node: Node, into: list[Edge], values: bool, gradients: bool
) -> Iterator[str]:
    """The formula, the numbers, and all local derivatives."""
    rule = forward_rule(graph, node)
    yield one_line(f"{node.name} = {rule}" if rule else f"{node.name} {node.title}".strip())
    if node.value is None or not values:
        yield f"{shape(node.shape)} {node.dtype}"
    else:
        yield f"value: {summary(node.value)}"
    if gradients and node.gradient is not None:
        yield f"gradient: {summary(node.gradient)}"
    for edge in into if gradients else ():
        yield from _handed_on(graph, edge)
    if node.where is not None:
        yield one_line(node.where.text)


def _handed_on(graph: Graph, edge: Edge) -> Iterator[str]:
    """What a use adds to the gradient of what it uses; nothing for a collapsed layer."""
    rule = backward_rule(graph, edge)
    if rule and edge.contribution is not None:
        name = graph.nodes.get(edge.carries, graph.nodes[edge.source]).name
        yield one_line(f"{name}.grad += {rule}") + f"  ({norm(edge.contribution)})"
