"""What the page knows: a graph, its steps and its gradients, as plain words and numbers.

The page computes nothing. Whatever it shows at a step was taken from `trace` and `wording` and is
laid down here: for every tensor its value and its gradient, for every gradient the contributions in
the order in which they arrive, and what the sum is after each.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_edu.drawing.style import NEGATIVE, NOT_FINITE, POSITIVE
from tinygrad_edu.drawing.texts import one_line
from tinygrad_edu.drawing.thumbnails import LEVELS
from tinygrad_edu.explorer.numbers import Arrays
from tinygrad_edu.explorer.source import line, rule
from tinygrad_edu.graph.replay import Check
from tinygrad_edu.graph.simplify import alias_leaves, collapse, levels
from tinygrad_edu.graph.trace import Call, Edge, Graph, Node
from tinygrad_edu.graph.wording import backward_rule, forward_rule, number, sentence
from tinygrad_edu.rules import Op
from tinygrad_edu.tensor import Tensor

__all__ = ["View", "page_data", "views"]

COLOURS = {"negative": NEGATIVE, "positive": POSITIVE, "alarm": NOT_FINITE, "levels": LEVELS}
SHORT = 24  # letters of the names of layers that fit on a button
LONG = 1000  # letters of a rule with names, or a sentence, that are shown


# ---------------------------------------------------------------- views


@dataclass(frozen=True)
class View:
    """The graph at one level of detail."""

    depth: int  # layers are boxes from this depth on
    name: str
    about: str
    graph: Graph


def views(graph: Graph, most: int) -> list[View]:
    """The levels of detail that have at most so many boxes, the outermost layers first."""
    whole, deepest = alias_leaves(graph), levels(graph)
    found = []
    for depth in range(1, deepest + 1):
        smaller = collapse(whole, depth)
        boxes = [node for node in smaller.nodes.values() if node.kind == "layer"]
        about = f"layers as boxes, level {depth} of {deepest}"
        found.append(View(depth, _level(boxes), about, smaller))
    found.append(View(deepest + 1, "all operations", "every operation as a box", whole))
    return [view for view in found if len(view.graph.nodes) <= most]


def _level(boxes: list[Node]) -> str:
    """What a level shows: the names of its layers, or how many of each class, or how many."""
    kinds = Counter(node.title for node in boxes)
    names = ", ".join(dict.fromkeys(node.name for node in boxes))
    classes = ", ".join(f"{n} {kind}" for kind, n in kinds.items())
    short = [text for text in (names, classes) if len(text) <= SHORT]
    return short[0] if short else f"{len(boxes)} layers"


# ---------------------------------------------------------------- the data


def page_data(graph: Graph, shown: list[View], checks: Mapping[Tensor, Check]) -> dict[str, Any]:
    """Everything that the script of the page reads, ready to be written as JSON."""
    return _Writing(graph, checks).data(shown)


class _Writing:
    """The work of one `page_data`. Steps are counted from 1; at 0 everything is visible."""

    def __init__(self, graph: Graph, checks: Mapping[Tensor, Check]) -> None:
        self.graph = graph
        self.arrays = Arrays()
        self.ops: dict[Op, int] = {}
        self.born = {
            step.node: i for i, step in enumerate(graph.steps, 1) if step.phase == "forward"
        }
        self.arrivals = _arrivals(graph)
        self.checks = {graph.keys[t]: check for t, check in checks.items()}

    def data(self, shown: list[View]) -> dict[str, Any]:
        nodes = {key: self._node(node) for key, node in self.graph.nodes.items()}
        edges = [self._edge(edge) for edge in self.graph.edges]
        result = self.graph.nodes[self.graph.result]
        assert result.value is not None  # only the box of a layer has none
        return {
            "result": result.key,
            "loss": number(result.value),
            "operations": sum(node.op is not None for node in self.graph.nodes.values()),
            "parameters": _parameters(self.graph.nodes.values()),
            "nodes": nodes,
            "edges": edges,
            "calls": {key: self._call(call) for key, call in self.graph.calls.items()},
            "steps": [
                [step.phase, step.node, one_line(sentence(self.graph, step), LONG)]
                for step in self.graph.steps
            ],
            "views": [self._view(view) for view in shown],
            "levels": levels(self.graph) + 1,
            "ops": [rule(op) for op in self.ops],
            "arrays": self.arrays.packed,
            "colours": COLOURS,
        }

    # A tensor.

    def _node(self, node: Node) -> dict[str, Any]:
        terms = self._terms(node)
        data = {
            "name": one_line(node.name),
            "kind": node.kind,
            "title": one_line(node.title),
            "shape": node.shape,
            "dtype": node.dtype,
            "calls": node.calls,
            "born": self.born.get(node.key, 0),
            "value": self.arrays.place(node.value),
            "gradient": self.arrays.place(node.gradient),
            "terms": terms,
        }
        if node.op is not None:
            data["op"] = self.ops.setdefault(node.op, len(self.ops))
            data["rule"] = one_line(forward_rule(self.graph, node), LONG)
            data["settings"] = [f"{name}={one_line(_setting(x), 60)}" for name, x in node.settings]
            data["where"] = line(node.where)
        if node.hooked and node.gradient is not None:
            data["hook"] = self._hook(node, terms)
        if node.key in self.checks:
            check = self.checks[node.key]
            data["check"] = {"text": check.text, "agrees": check.agrees, "entries": check.entries}
        return data

    def _terms(self, node: Node) -> list[list[int | None]]:
        """[edge, step, the sum with it] of each contribution to a gradient, as they arrive."""
        terms, total = [], None
        for edge, step in self.arrivals.get(node.key, []):
            dx = self.graph.edges[edge].contribution
            with np.errstate(all="ignore"):
                total = dx if total is None else np.asarray(total + dx)  # as backward adds them
            terms.append([edge, step, self.arrays.place(total)])
        return terms

    def _hook(self, node: Node, terms: list[list[int | None]]) -> str:
        """What a hook did to a gradient that was the last of these sums, or at the result 1."""
        ones = self.arrays.place(np.ones(node.shape, node.dtype))
        before = terms[-1][2] if terms else ones
        return "kept" if before == self.arrays.place(node.gradient) else "changed"

    # A use of a tensor.

    def _edge(self, edge: Edge) -> dict[str, Any]:
        return {
            "source": edge.source,
            "target": edge.target,
            "slot": edge.slot,
            "letters": backward_rule(self.graph, edge, names=False),
            "names": one_line(backward_rule(self.graph, edge), LONG),
            "gave": self.arrays.place(edge.contribution),
        }

    # A call of a layer.

    def _call(self, call: Call) -> dict[str, Any]:
        inside = {key: n for key, n in self.graph.nodes.items() if call.key in n.calls}
        into = [e.source for e in self.graph.edges if e.target in inside and e.source not in inside]
        out = [e.source for e in self.graph.edges if e.source in inside and e.target not in inside]
        out = [key for key in out if inside[key].op is not None]  # no weights, used elsewhere too
        if self.graph.result in inside:
            out.append(self.graph.result)
        return {
            "name": one_line(call.name),
            "title": one_line(call.title),
            "outside": call.outside,
            "time": call.time,
            "operations": sum(node.op is not None for node in inside.values()),
            "parameters": _parameters(inside.values()),
            "into": list(dict.fromkeys(into)),
            "out": list(dict.fromkeys(out)),
        }

    # A level of detail.

    def _view(self, view: View) -> dict[str, Any]:
        boxes = view.graph.nodes.values()
        return {
            "depth": view.depth,
            "name": one_line(view.name),
            "about": view.about,
            "steps": [[step.node, step.edges] for step in view.graph.steps],
            "aliases": {node.key: node.of for node in boxes if node.of is not None},
        }


def _arrivals(graph: Graph) -> dict[str, list[tuple[int, int]]]:
    """For each tensor the (edge, step) of every contribution to its gradient, as they arrive."""
    found: dict[str, list[tuple[int, int]]] = {}
    for i, step in enumerate(graph.steps, 1):
        for edge in step.edges if step.phase == "backward" else ():
            if graph.edges[edge].contribution is not None:
                found.setdefault(graph.edges[edge].source, []).append((edge, i))
    return found


def _parameters(nodes: Iterable[Node]) -> int:
    return sum(int(np.prod(node.shape)) for node in nodes if node.kind == "parameter")


def _setting(x: Any) -> str:
    """A setting in words, the same ones in every run: no addresses in memory."""
    text = number(x) if isinstance(x, float) else getattr(x, "__name__", None) or repr(x)
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)
