"""Making a graph small enough to look at, without saying anything untrue.

A leaf that several ops use is drawn once and has an alias at every other use: long lines across the
picture are hard to follow, and make `dot` slow. A call of a layer can be collapsed into one box.
Each function takes a graph and gives a new one with the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tinygrad_edu.graph.trace import Edge, Graph, Node

__all__ = ["alias_leaves", "collapse", "fitting", "levels"]

LEAVES = ("parameter", "input", "constant")


def alias_leaves(graph: Graph) -> Graph:
    """The graph with every leaf used in one place only, and aliases of it at its other uses.

    >>> from tinygrad_edu.graph.trace import trace
    >>> from tinygrad_edu.tensor import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> [(node.name, node.kind) for node in alias_leaves(trace(x * x + x)).nodes.values()]
    [('x', 'parameter'), ('multiply', 'op'), ('x', 'alias'), ('add', 'result')]
    """
    homes = {key: node.beside for key, node in graph.nodes.items()}
    aliases: dict[str, dict[str, Node]] = {}  # by the op that they stand beside
    edges = []
    for edge in graph.edges:
        leaf = graph.nodes[edge.source]
        if leaf.kind in LEAVES and (homes[leaf.key] or edge.target) != edge.target:
            alias = _alias(leaf, graph.nodes[edge.target])
            aliases.setdefault(edge.target, {})[alias.key] = alias
            edge = replace(edge, source=alias.key)
        homes[leaf.key] = homes[leaf.key] or edge.target
        edges.append(edge)
    nodes: dict[str, Node] = {}
    for key, node in graph.nodes.items():
        nodes |= aliases.get(key, {})
        nodes[key] = node
    return replace(graph, nodes=nodes, edges=edges, shown_by={key: key for key in nodes})


def _alias(leaf: Node, op: Node) -> Node:
    return replace(
        leaf, key=f"{leaf.key}_{op.key}", kind="alias", of=leaf.key, calls=op.calls, beside=op.key
    )


def levels(graph: Graph) -> int:
    """How deep calls of layers are nested."""
    return max(len(node.calls) for node in graph.nodes.values())


def collapse(graph: Graph, depth: int | None) -> Graph:
    """The graph with layers as boxes: at depth 1 the outermost, at depth 2 those in them, ...

    What several uses within a layer add to the gradient of one tensor is added up. Parameters and
    constants are in the box of the layer that uses them, inputs stand beside it. `None` leaves the
    graph as it is.
    """
    if depth is not None and depth < 1:
        raise ValueError(f"depth={depth}: 1 shows the outermost layers as boxes, None every op.")
    if depth is None or depth > levels(graph):
        return graph
    shown_by = _shown_by(graph, depth)
    members: dict[str, list[Node]] = {}
    for key, node in graph.nodes.items():
        members.setdefault(shown_by[key], []).append(node)
    edges, places = _joined(graph.edges, shown_by)
    leaving: dict[str, set[str]] = {}  # what is used outside of a box
    for edge in edges:
        leaving.setdefault(edge.source, set()).add(edge.carries)
    nodes: dict[str, Node] = {}
    for key, node in graph.nodes.items():
        box = shown_by[key]
        if box in graph.calls:
            if members[box][-1] is node:  # all that is used in there has been met
                nodes[box] = _box(graph, box, members[box], leaving.get(box, set()))
        elif box not in nodes:  # else an alias of an input that stands there already
            beside = shown_by[node.beside] if node.beside else None
            nodes[box] = replace(node, key=box, calls=node.calls[: depth - 1], beside=beside)
    steps = [
        replace(
            step,
            node=shown_by[step.node],
            edges=tuple(dict.fromkeys(i for i in map(places.__getitem__, step.edges) if i >= 0)),
        )
        for step in graph.steps
    ]
    outermost = {before: shown_by[after] for before, after in graph.shown_by.items()}
    result = shown_by[graph.result]
    shown = {key for node in nodes.values() for key in (*node.calls, node.key)}
    calls = {key: call for key, call in graph.calls.items() if key in shown}
    return replace(
        graph, nodes=nodes, edges=edges, calls=calls, steps=steps, result=result, shown_by=outermost
    )


def _shown_by(graph: Graph, depth: int) -> dict[str, str]:
    """Which box shows each node: the call of a layer that it is in, if that is as deep.

    An input has a box of its own, and an alias for every other box that uses it.
    """
    nodes, shown_by = graph.nodes, {}
    of_inputs = {
        key: node.of for key, node in nodes.items() if node.of and _is_input(nodes[node.of])
    }
    for key, node in nodes.items():
        inside = len(node.calls) >= depth and not _is_input(node)
        shown_by[key] = node.calls[depth - 1] if inside else key
    for key, leaf in of_inputs.items():
        beside, home = (graph.out_of(one)[0].target for one in (key, leaf))
        if shown_by[beside] == shown_by[home]:
            shown_by[key] = leaf
        elif shown_by[beside] != beside:
            shown_by[key] = f"{leaf}_{shown_by[beside]}"
    return shown_by


def _is_input(node: Node) -> bool:
    return node.kind == "input"


def _joined(edges: Sequence[Edge], shown_by: dict[str, str]) -> tuple[list[Edge], list[int]]:
    """The edges between boxes, those of the same tensor as one; and where each edge went."""
    joined: dict[tuple[str, ...], int] = {}
    new: list[Edge] = []
    places: list[int] = []
    for edge in edges:
        source, target = shown_by[edge.source], shown_by[edge.target]
        if source == target:
            places.append(-1)  # within a box
            continue
        same = (source, target, edge.carries, "" if target != edge.target else edge.slot)
        if same in joined:
            before = new[joined[same]]
            total = _sum(before.contribution, edge.contribution)
            new[joined[same]] = replace(before, contribution=total)
        else:
            joined[same] = len(new)
            new.append(replace(edge, source=source, target=target))
        places.append(joined[same])
    return new, places


def _sum(x: Any, y: Any) -> Any:
    return y if x is None else x if y is None else x + y


def _box(graph: Graph, key: str, members: Sequence[Node], leaving: set[str]) -> Node:
    """The box of a layer's call: it shows what comes out of it, if that is one tensor."""
    call = graph.calls[key]
    out = [node for node in members if node.key in leaving or node.key == graph.result]
    first = out[0] if out else members[-1]
    alone = len(out) == 1
    depth = members[-1].calls.index(key)
    return Node(
        key=key,
        kind="layer",
        name=call.name,
        title=call.title,
        shape=first.shape,
        dtype=first.dtype,
        calls=members[-1].calls[:depth],
        value=first.value if alone else None,
        gradient=first.gradient if alone else None,
        needs_gradient=any(node.needs_gradient for node in members),
        where=first.where,
        inside=tuple(node.key for node in members),
    )


def fitting(graph: Graph, most: int, who: str = "draw") -> Graph:
    """The graph itself if it has at most so many boxes, else with as few layers collapsed as do.

    Raises ValueError, with advice, where even the outermost layers as boxes are too many.
    """
    for depth in (None, *range(levels(graph), 0, -1)):
        smaller = collapse(graph, depth)
        if len(smaller.nodes) <= most:
            return smaller
    collapsed = ", even with every layer as one box" if levels(graph) else ""
    raise ValueError(
        f"{who}: {len(smaller.nodes)} boxes are more than can be looked at (max_nodes={most})"
        f"{collapsed}. Draw a part, such as one layer's output; unroll fewer steps; do more of the "
        "work inside layers, which can be collapsed; or allow more by max_nodes=."
    )
