"""A graph in words: what each op did, in its own letters and in the names of the tensors at hand.

The mathematics is that of the op's docstring, where each line of a formula reads `z = ...` or
`dx = ...`: here `x` becomes the name of what was passed as x, and a setting in backticks what it
was set to. Nothing is written a second time.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.graph.trace import Edge, Graph, Node, Step
from tinygrad_edu.rules import Op

__all__ = [
    "backward_rule", "backward_shapes", "broadcasts", "called", "forward_rule", "gradient_name",
    "norm", "number", "pieces", "sentence", "shape", "shapes_told", "size",
]  # fmt: skip

MANY = 12  # names in a row
NOT_GIVEN = {"weights": "1/n", "low": "-inf", "high": "inf"}  # what stands for these if left out


# ---------------------------------------------------------------- rules


def pieces(op: Op) -> dict[str, str]:
    """The formula taken apart: what stands right of `z =`, `dx =` (or `dx_i =`), and so on.

    >>> from tinygrad_edu.ops import matmul
    >>> pieces(matmul.op)
    {'z': 'x @ w', 'dx': 'g @ w.T', 'dw': 'x.T @ g'}
    """
    parts = [part.partition(" = ") for part in re.split(r" {4,}|\n", op.formula)]
    return {name.strip().removesuffix("_i"): text.strip() for name, mark, text in parts if mark}


def forward_rule(graph: Graph, node: Node) -> str:
    """What was computed, with the real names: "h @ fc2.weight + fc2.bias"."""
    used = _listed(dict.fromkeys(called(_carried(graph, edge)) for edge in graph.into(node.key)))
    if node.op is None:
        return f"{_layer(node)}({used})" if node.kind == "layer" else ""
    formula = pieces(node.op).get("z", "")
    text = _named(formula, graph, node) if formula else f"{node.op.name}({used})"
    return f"{text} ({', '.join(more)})" if (more := list(_unsaid(node, formula))) else text


def backward_rule(graph: Graph, edge: Edge, names: bool = True) -> str:
    """What this use adds to its input's gradient: "g @ fc2.weight.T", or with letters only.

    g is the gradient of what the op made; where a tensor is called g, it is written out.
    """
    node = graph.nodes[edge.target]
    if node.op is None:
        return ""
    text = pieces(node.op).get(f"d{_letter(edge)}", "")
    return _named(text, graph, node) if names else text


def backward_shapes(graph: Graph, edge: Edge) -> str:
    """The same with shapes for the names: "(5, 6) @ (3, 6).T"."""
    node = graph.nodes[edge.target]
    return _named(backward_rule(graph, edge, names=False), graph, node, _shape)


def shapes_told(graph: Graph, edge: Edge, given: tuple[int, ...]) -> str:
    """ "in shapes: (5, 6) @ (3, 6).T -> (5, 3)", where that is true; `given` is what came out.

    A rule with @ is written for matrices. For vectors and batches, of which it is not true letter
    by letter, it is said how it is meant.
    """
    text = backward_shapes(graph, edge)
    shape = _carried(graph, edge).shape
    pure = re.fullmatch(r"[\d\s(),@*T.]+", text)
    made = _evaluated(text) if pure else None
    if made is not None and made in (given, shape):
        return f"in shapes: {text} -> {made}"
    if "@" in text:
        vectors = any(len(_carried(graph, e).shape) == 1 for e in graph.into(edge.target))
        vectors = vectors and not {"weight"} & {e.slot for e in graph.into(edge.target)}
        return (
            "as for matrices: a vector is one row on the left of @, one column on its right"
            if vectors
            else "as for matrices: this for each matrix of the batch, and what is shared is summed"
        )
    return "" if pure or not text or ".T" in text else f"in shapes: {text} -> {shape}"


def _evaluated(text: str) -> tuple[int, ...] | None:
    """The shape that a product of shapes makes, such as (5, 6) @ (3, 6).T; None if it makes none.

    >>> _evaluated("(5, 6) @ (3, 6).T"), _evaluated("(5,) @ (3,).T")
    ((5, 3), None)
    """
    factors = re.split(r" ([@*]) ", text)
    made: tuple[int, ...] | None = None
    try:
        for i in range(0, len(factors), 2):
            turned = factors[i].endswith(".T")
            lengths = ast.literal_eval(factors[i].removesuffix(".T"))
            if type(lengths) is not tuple:
                lengths = ()  # a number
            lengths = lengths[::-1] if turned else lengths
            if made is None:
                made = lengths
            elif factors[i - 1] == "*":
                made = np.broadcast_shapes(made, lengths)
            else:
                made = _multiplied(made, lengths)
    except (ValueError, SyntaxError):
        return None
    return made


def _multiplied(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a product of arrays by `@`, as NumPy has it."""
    if not left or not right or left[-1] != right[-2:][0]:
        raise ValueError(f"{left} @ {right} is no product")
    batch = np.broadcast_shapes(left[:-2], right[:-2])
    return (*batch, *left[:-1][-1:], *right[-1:][: len(right) - 1])


def broadcasts(graph: Graph, edge: Edge) -> bool:
    """Did an op that works number by number use each number of this input several times?"""
    op = graph.nodes[edge.target].op
    by_number = op is not None and op.family in ("arithmetic", "elementwise")
    return by_number and _carried(graph, edge).shape != graph.nodes[edge.target].shape


def called(node: Node) -> str:
    """A name as it can stand in a formula: in quotation marks if it is not one word."""
    return node.name if re.fullmatch(r"[\w.]+(\[\d+\])?", node.name) else f'"{node.name}"'


def _shape(node: Node) -> str:
    return str(node.shape)


def _named(text: str, graph: Graph, node: Node, told: Callable[[Node], str] = called) -> str:
    """The text with names in the place of letters, all at once: a name may hold other letters."""
    names, settings = _names(graph, node, told), dict(_settings(node))
    numbers = {
        slot: short
        for slot, x in settings.items()
        if (type(x) in (int, float) or slot == "index") and (short := _told(slot, x))
    }
    for slot in (slot for slot, x in settings.items() if x is None and slot not in names):
        if slot in NOT_GIVEN:
            numbers[slot] = NOT_GIVEN[slot]
        else:  # a bias, say
            text = re.sub(rf" (\+|\*|where) {slot}\b|\b{slot} \* ", "", text)

    def put_in(found: re.Match[str]) -> str:
        marked, letter, subscript = found.groups()
        if letter in names:
            return names[letter] + ("" if told is _shape else subscript or "")
        if letter:
            return numbers[letter]  # without a subscript
        return names.get(marked) or _told(marked, settings.get(marked), "axis ") or marked

    letters = "|".join(sorted(map(re.escape, names | numbers), key=len, reverse=True))
    return re.sub(rf"`(\w+)`|(?<!\w)({letters})(?![A-Za-z0-9(])(_[a-z]\b)?", put_in, text)


def _names(graph: Graph, node: Node, told: Callable[[Node], str]) -> dict[str, str]:
    """What stands for the letters of the tensors: their names, or what else is told of them."""
    used: dict[str, list[str]] = {}
    for edge in graph.into(node.key):
        used.setdefault(_letter(edge), []).append(told(_carried(graph, edge)))
    names = {"z": told(node)} | {letter: _listed(words) for letter, words in used.items()}
    if told is _shape:
        names.setdefault("g", told(node))
    elif (g := gradient_name(graph, node)) != "g":
        names.setdefault("g", g)
    return names


def gradient_name(graph: Graph, node: Node) -> str:
    """What the gradient of an op's result is called in its rules: g, unless a tensor is."""
    tensors = (node, *(_carried(graph, edge) for edge in graph.into(node.key)))
    return f"{called(node)}.grad" if any(called(x) == "g" for x in tensors) else "g"


def _listed(names: Iterable[str]) -> str:
    """Names with commas between; of many, the first and how many more."""
    known = list(names)
    if len(known) > MANY:
        known = [*known[: MANY - 2], f"... and {len(known) - MANY + 2:,} more"]
    return ", ".join(known)


def _letter(edge: Edge) -> str:
    return edge.slot.partition("[")[0]  # arrays[1] is one of `arrays`


def _carried(graph: Graph, edge: Edge) -> Node:
    """The tensor that was used; where it is inside of a collapsed layer, that layer."""
    return graph.nodes.get(edge.carries, graph.nodes[edge.source])


# ---------------------------------------------------------------- settings


def _settings(node: Node) -> Iterator[tuple[str, Any]]:
    """What the op was told beside its tensors, and what it takes for granted."""
    given = dict(node.settings)
    parameters = inspect.signature(node.op.rule).parameters if node.op else {}
    for slot, known in parameters.items():
        if slot in given or known.default is not known.empty:
            yield slot, given.get(slot, known.default)


def _unsaid(node: Node, formula: str) -> Iterator[str]:
    """The settings that were changed and that the formula does not speak of: "axis 0"."""
    parameters = inspect.signature(node.op.rule).parameters if node.op else {}
    for slot, x in node.settings:
        usual = slot in parameters and _same(x, parameters[slot].default)
        told = None if usual or x is None else _told(slot, x)
        if told and slot in parameters and not re.search(rf"\b{slot}(_|\b)", formula):
            yield f"{slot} {told}"


def _same(x: Any, y: Any) -> bool:
    return type(x) is type(y) and not isinstance(x, np.ndarray) and bool(x == y)


def _told(slot: str, x: Any, axis: str = "") -> str | None:
    """A setting as text, if it is short: "tanh", "1:4", "(2, 3)"; an axis after the word for it."""
    if x is None:
        return "all axes" if slot == "axis" else None
    if slot == "index":
        text = ", ".join(map(_indexed, x if isinstance(x, tuple) else (x,)))
    else:
        text = f"{x:.15g}" if type(x) is float else str(x)
    if isinstance(x, np.ndarray) or len(text) > 24 or "array" in text:
        return None
    return f"{axis}{text}" if slot == "axis" else text


def _indexed(x: Any) -> str:
    """An index as it is written between brackets."""
    if isinstance(x, slice):
        ends = ["" if end is None else str(end) for end in (x.start, x.stop, x.step)]
        return ":".join(ends).removesuffix(":") if x.step is None else ":".join(ends)
    return "..." if x is Ellipsis else "array" if isinstance(x, np.ndarray) else str(x)


# ---------------------------------------------------------------- steps


def sentence(graph: Graph, step: Step) -> str:
    """One step of the replay, as a sentence of one line."""
    node = graph.nodes[step.node]
    if step.phase == "seed":
        return f"{node.name} changes as much as {node.name}: {node.name}.grad = 1"
    if step.phase == "forward":
        alone = node.shape == () and node.value is not None
        what = number(node.value) if alone else f"shape {shape(node.shape)}"
        made = f"{node.name} = " if node.op else ""
        return f"{made}{forward_rule(graph, node)} → {what}"
    if node.op is None:
        return _back_through_layer(graph, node)
    edges = [graph.edges[i] for i in step.edges]
    given = [edge for edge in edges if edge.contribution is not None]
    told = [_handed_on(graph, edge) for edge in given[:MANY]]
    if given[MANY:]:
        told.append(f"... and {len(given) - MANY:,} more")
    rest = [_carried(graph, edge).name for edge in edges if edge.contribution is None]
    none = f" ({_all_of(rest)} {'need' if rest[1:] else 'needs'} no gradient)" if rest else ""
    return f"back through {node.title}, g = {called(node)}.grad: {', '.join(told)}{none}"


def _all_of(names: list[str]) -> str:
    return _listed(names) if len(names) > MANY else " and ".join(names)


def _back_through_layer(graph: Graph, node: Node) -> str:
    """All that a collapsed layer hands on, whichever of its ops it is the turn of."""
    edges = [edge for edge in graph.into(node.key) if edge.contribution is not None]
    told = [f"{_carried(graph, edge).name}.grad += {norm(edge.contribution)}" for edge in edges]
    return f"back through {_layer(node)}: {_listed(told) or 'to its parameters'}"


def _layer(node: Node) -> str:
    """ "Linear layers.0", or its class alone where nobody gave it a name."""
    return node.name if node.name == node.title else f"{node.title} {node.name}"


def _handed_on(graph: Graph, edge: Edge) -> str:
    name = called(_carried(graph, edge))
    rule = backward_rule(graph, edge) or "its share of g"
    summed = ", summed over the copies" if broadcasts(graph, edge) else ""
    return f"{name}.grad += {rule}{summed} ({norm(edge.contribution)})"


# ---------------------------------------------------------------- numbers and shapes


def shape(lengths: tuple[int, ...]) -> str:
    """(5, 6) as "5×6", and a single number as "scalar"."""
    return "×".join(map(str, lengths)) or "scalar"


def number(x: Any) -> str:
    """Four digits of a number, whatever its size."""
    x = x.item() if isinstance(x, (np.ndarray, np.generic)) else x
    return f"{x + 0.0:.4g}" if isinstance(x, float) else str(x)  # -0.0 + 0.0 is 0.0


def size(x: Array) -> float:
    """The Euclidean length of all numbers as one vector; nan or inf if one of them is."""
    numbers = np.asarray(x, np.float64).reshape(-1)
    largest = np.abs(numbers).max(initial=0)
    if largest == 0 or not math.isfinite(largest):
        return float(largest)
    scaled = numbers / largest  # so squares never overflow
    return float(largest) * math.sqrt(np.dot(scaled, scaled))


def norm(x: Any) -> str:
    """How large an array is: ‖0.268‖, or for one number that number."""
    return number(x) if x.size == 1 else f"‖{number(size(x))}‖"
