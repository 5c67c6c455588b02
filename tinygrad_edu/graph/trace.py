"""One model of a computation, which all pictures and explanations read.

`trace(loss)` goes through the graph under a tensor and writes down what there is to see: a node for
every tensor, an edge for every use of one, the calls of layers that they were made in, and the
steps of forward and backward in their true order. The gradients come from a walk of their own, so
nobody's `.grad` changes. What is drawn of it, and how, is said in the rooms after this one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.chain import walk, youngest_first
from tinygrad_edu.graph.naming import Call, Calls, Names, Variables, label
from tinygrad_edu.modes import Line
from tinygrad_edu.rules import Op
from tinygrad_edu.tensor import Tensor

__all__ = ["Call", "Edge", "Graph", "Node", "Step", "trace"]


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Node:
    """A box: a tensor, or what stands for several.

    `kind` is "parameter" (a leaf that wants a gradient, or was frozen), "input" (data from which
    an op computes something by itself), "constant" (data that joins what was computed), "op",
    "result", "layer" (a collapsed call of a layer) or "alias" (another place where a leaf is used).
    `gradient` is None where none was computed, which is not the same as zeros.
    """

    key: str
    kind: str
    name: str
    title: str  # what made it: "linear", "power 2"; the class of a layer; nothing for a leaf
    shape: tuple[int, ...]
    dtype: str
    calls: tuple[str, ...]  # the calls of layers it was made in, outermost first
    value: Array | None
    gradient: Array | None = None
    needs_gradient: bool = False
    op: Op | None = None
    settings: tuple[tuple[str, Any], ...] = ()  # what else the op was told: axis, a number
    where: Line | None = None
    hooked: bool = False  # a hook of the user may have changed its gradient
    beside: str | None = None  # a leaf stands beside this op, the one that it belongs to
    of: str | None = None  # an alias: of this leaf
    inside: tuple[str, ...] = ()  # a layer: the nodes that it stands for


@dataclass(frozen=True, eq=False)
class Edge:
    """A use of `source` by the op that made `target`.

    `slot` is what the op's rule calls it, such as "weight". `contribution` is what this use added
    to the source's gradient, or None where none was wanted or computed. `carries` is the tensor
    itself: the source, unless that is an alias or a collapsed layer.
    """

    source: str
    target: str
    slot: str
    carries: str
    contribution: Array | None = None


@dataclass(frozen=True)
class Step:
    """A moment of the computation.

    `phase` is "forward" (the op computes the value of `node`), "seed" (the gradient of the result
    with respect to itself) or "backward" (the op of `node` hands its gradient on). `edges` are the
    places in `Graph.edges` of what the op was made from.
    """

    phase: str
    node: str
    edges: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """What was computed, as `trace` found it."""

    nodes: dict[str, Node]  # oldest first: whatever is used stands before what it is used for
    edges: list[Edge]
    calls: dict[str, Call]  # those around nodes, and those that are collapsed into one
    steps: list[Step]
    result: str
    has_gradients: bool
    keys: dict[Tensor, str] = field(repr=False)  # the key of each tensor's node
    shown_by: dict[str, str]  # which box shows a node: itself, until layers are collapsed

    def into(self, key: str) -> list[Edge]:
        """The edges to this node: what it was made from."""
        return self._by_end["target"].get(key, [])

    def out_of(self, key: str) -> list[Edge]:
        """The edges from this node: where it is used."""
        return self._by_end["source"].get(key, [])

    @cached_property
    def _by_end(self) -> dict[str, dict[str, list[Edge]]]:
        found: dict[str, dict[str, list[Edge]]] = {"source": {}, "target": {}}
        for edge in self.edges:
            found["source"].setdefault(edge.source, []).append(edge)
            found["target"].setdefault(edge.target, []).append(edge)
        return found


def trace(root: Tensor, known: Variables | None = None, who: str = "trace") -> Graph:
    """The graph under `root`, with gradients if it is a single number.

    `known` are the user's variables, whose names are used for tensors that have none. Hooks are
    called, as in `backward`: what they do to a gradient is part of it.

    Raises ValueError where nothing was recorded, RuntimeError for a graph that a step made stale.

    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> graph = trace(x * x + x)
    >>> [(node.name, float(node.gradient)) for node in graph.nodes.values()]
    [('x', 7.0), ('multiply', 1.0), ('add', 1.0)]
    >>> [float(edge.contribution) for edge in graph.out_of("n0")]
    [3.0, 3.0, 1.0]
    """
    if not isinstance(root, Tensor):
        raise TypeError(f"{who}: {root!r:.60} is a {type(root).__name__}; give a Tensor: a loss.")
    if root.op is None:
        raise ValueError(
            f"{who}: this tensor was not computed from anything that requires grad, outside "
            "no_grad(), so there is no graph to look at."
        )
    try:
        return _Tracing(root, known or Variables({}, {})).graph()
    except RuntimeError as error:  # stale: say who was asked, not "backward"
        if not str(error).startswith("backward:"):
            raise
        raise RuntimeError(str(error).replace("backward", who, 1)) from None


class _Tracing:
    """The work of one `trace`."""

    def __init__(self, root: Tensor, known: Variables) -> None:
        self.root = root
        self.made = youngest_first(root)[::-1]  # oldest first
        self.walked = _walked(root) if root.size == 1 else {}
        self.gradients = {t: g for t, (g, _) in self.walked.items()}
        self.uses = [(t, list(_uses(t))) for t in self.made]
        self.homes = _homes(self.uses)
        self.calls = Calls(self.made, known)
        self.names = Names(self.made, self.calls, known)
        self.keys: dict[Tensor, str] = {}
        self.nodes: dict[str, Node] = {}
        self.edges: list[Edge] = []
        self.arrivals: dict[Tensor, tuple[int, ...]] = {}  # the edges into each tensor
        self.begun = False  # has an input been met?
        self.stands: list[tuple[str, Tensor]] = []  # each leaf, and the op that it stands beside

    def graph(self) -> Graph:
        for t, uses in self.uses:
            self._op(t, uses)
        for leaf, op in self.stands:
            self.nodes[leaf] = replace(self.nodes[leaf], beside=self.keys[op])
        forward = [Step("forward", self.keys[t], self.arrivals[t]) for t in self.made]
        backward = [
            Step("backward", self.keys[t], self.arrivals[t])
            for t in self.walked
            if t.op is not None
        ]
        seed = [Step("seed", self.keys[self.root])] if backward else []
        return Graph(
            self.nodes, self.edges, self.calls.by_key, forward + seed + backward,
            self.keys[self.root], bool(self.walked), self.keys, {key: key for key in self.nodes},
        )  # fmt: skip

    def _op(self, t: Tensor, uses: list[tuple[str, Any, int | None]]) -> None:
        """The node of t, after those of the leaves it is the first to use."""
        sources = [self._source(t, slot, x) for slot, x, _ in uses]
        key = self._add(
            t,
            kind="result" if t is self.root else "op",
            title=label(t),
            calls=self._around(t),
            settings=tuple(_settings(t)),
        )
        contributions = self.walked.get(t, (None, []))[1]
        first = len(self.edges)
        for source, (slot, _, place) in zip(sources, uses, strict=True):
            dx = contributions[place][1] if contributions and place is not None else None
            self.edges.append(Edge(source, key, slot, source, dx))
        self.arrivals[t] = tuple(range(first, len(self.edges)))

    def _source(self, t: Tensor, slot: str, x: Any) -> str:
        """The key of what t uses; a leaf gets its node when it is first met."""
        if isinstance(x, Tensor) and x in self.keys:
            return self.keys[x]
        home, starts = self.homes.get(x, (t, True)) if isinstance(x, Tensor) else (t, _starts(t))
        if isinstance(x, Tensor) and (x.requires_grad or x._trainable):
            kind, calls = "parameter", self._around(home)
        else:
            kind, calls = "input" if starts else "constant", self._around(home)
        free = kind == "input" and not (self.begun and calls)
        self.begun = self.begun or free  # the first is where it all begins, outside of all layers
        key = self._add(x, kind=kind, title="", calls=() if free else calls, slot=slot)
        if not free:
            self.stands.append((key, home))
        return key

    def _around(self, t: Tensor) -> tuple[str, ...]:
        return tuple(call.key for call in self.calls.around(t._path))

    def _add(self, x: Any, slot: str = "", **more: Any) -> str:
        key = f"n{len(self.nodes)}"
        known = x if isinstance(x, Tensor) else None
        value = x._data if known is not None else x
        if known is not None:
            self.keys[known] = key
        if more["title"] == "":
            value = value.copy()  # leaves may be written into while someone looks at the graph
        self.nodes[key] = Node(
            key=key,
            name=self.names.of(known, more["kind"], slot),
            shape=value.shape,
            dtype=str(value.dtype),
            value=value,
            gradient=None if known is None else self.gradients.get(known),
            needs_gradient=known is not None and known.requires_grad,
            op=None if known is None else known.op,
            where=None if known is None else known.where,
            hooked=known is not None and bool(known._hooks),
            **more,
        )
        return key


def _walked(root: Tensor) -> dict[Tensor, tuple[Array, list[tuple[Tensor, Array]]]]:
    """Each tensor's gradient and what it handed on, youngest first, leaves last."""
    with np.errstate(all="ignore"):  # as backward does
        return {t: (g, given) for t, g, given in walk(root, np.ones_like(root.data))}


def _uses(t: Tensor) -> Iterator[tuple[str, Any, int | None]]:
    """(slot, input, its place among those that get a gradient) for each array or Tensor used."""
    wanting = 0
    for slot, x in t.op.named(t._args, t._options or {}):
        if wanting < len(t._edges) and t._edges[wanting][0] is x:
            yield slot, x, wanting
            wanting += 1
        elif isinstance(x, (Tensor, np.ndarray)):
            yield slot, x, None


def _settings(t: Tensor) -> Iterator[tuple[str, Any]]:
    for slot, x in t.op.named(t._args, t._options or {}):
        if not isinstance(x, (Tensor, np.ndarray)):
            yield slot, x


def _homes(uses: list[tuple[Tensor, Any]]) -> dict[Tensor, tuple[Tensor, bool]]:
    """For each leaf, the op that it stands beside, and whether a computation starts from it.

    It is the first op that uses it; for a parameter the first within a call of its own layer.
    """
    homes: dict[Tensor, tuple[Tensor, bool]] = {}
    owned = set()
    for t, used in uses:
        for _, x, _ in used:
            if not isinstance(x, Tensor) or x.op is not None:
                continue
            home, starts = homes.get(x, (t, False))
            if x not in owned and _owns(t, x):
                owned.add(x)
                home = t
            homes[x] = home, starts or _starts(t)
    return homes


def _owns(t: Tensor, x: Tensor) -> bool:
    """Was t made in a call of the layer that x is a parameter of?"""
    if t._path is None:
        return False
    return any(value is x for _, value in t._path[1]._members())


def _starts(t: Tensor) -> bool:
    """Does a computation start at t: is no input of it computed?"""
    return all(x.op is None for x in t.inputs)
