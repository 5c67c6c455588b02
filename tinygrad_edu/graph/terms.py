"""One number of a contribution, written out as the sum that it is.

Whatever an op is, its pullback is linear in g: each entry of g counts, times a local slope. Where
the rule is a product of two matrices the slopes are entries of the other matrix, and have names.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.graph.trace import Edge, Graph
from tinygrad_edu.graph.wording import backward_rule, called, gradient_name, number
from tinygrad_edu.tensor import Tensor

__all__ = ["written_out"]

SHOWN = 4  # terms of a sum; of more, these and the last
FEW = 256  # entries of g, each of which is asked for its slope
ONE_BY_ONE = ("arithmetic", "elementwise", "activations")  # families of ops

Index = tuple[int, ...]


class Term(NamedTuple):
    """Two factors: what they are called, and their numbers."""

    names: tuple[str, str]
    numbers: tuple[float, float]


def written_out(
    graph: Graph, edge: Edge, t: Tensor, g: Array, pullback: Any, at: Index
) -> list[str]:
    """ "x[0, 0] * g[0, 3] + ...", "= 0.5 * 0.1 + ... = 0.05": the number at that index.

    Of a use of a tensor by the op that made t, whose gradient is g. The number alone where too many
    entries of g count, one by one.
    """
    g_name = gradient_name(graph, graph.nodes[edge.target])
    terms = _of_matrices(graph, edge, g, at) or _of_slopes(edge, t, g, g_name, pullback, at)
    total = number(edge.contribution[at])  # type: ignore[index]
    if not terms:
        return [f"= {total}"]
    names = _sum([" * ".join(term.names) for term in terms])
    numbers = _sum([f"{number(a)} * {_signed(b)}" for a, b in (term.numbers for term in terms)])
    many = f" ({len(terms)} terms)" if len(terms) > SHOWN + 1 else ""
    return [f"{names}{many}", f"= {numbers} = {total}"]


def _of_matrices(graph: Graph, edge: Edge, g: Array, at: Index) -> list[Term]:
    """The terms of a rule such as "x.T @ g", a row times a column."""
    rule = re.fullmatch(r"(\w+)(\.T)? @ (\w+)(\.T)?", backward_rule(graph, edge, names=False))
    if rule is None or len(at) != 2:
        return []
    left, left_turned, right, right_turned = rule.groups()
    used = {e.slot: graph.nodes[e.carries] for e in graph.into(edge.target)}
    names = {slot: called(node) for slot, node in used.items()} | {
        "g": gradient_name(graph, graph.nodes[edge.target])
    }
    values: dict[str, Any] = {slot: node.value for slot, node in used.items()} | {"g": g}
    if not {left, right} <= values.keys() or {np.ndim(values[left]), np.ndim(values[right])} != {2}:
        return []  # a number of Python's, or rows that are no matrix
    x, y = values[left], values[right]
    terms = []
    for k in range(x.shape[0 if left_turned else 1]):
        a = (k, at[0]) if left_turned else (at[0], k)
        b = (at[1], k) if right_turned else (k, at[1])
        factors = entry(names[left], a), entry(names[right], b)
        terms.append(Term(factors, (float(x[a]), float(y[b]))))
    return terms


def _of_slopes(
    edge: Edge, t: Tensor, g: Array, g_name: str, pullback: Any, at: Index
) -> list[Term]:
    """The terms of any rule: each entry of g, times what it alone would hand on."""
    shape = edge.contribution.shape  # type: ignore[union-attr]  # there is one
    one_by_one = t.op.family in ONE_BY_ONE and shape == t.shape
    if not one_by_one and t.size > FEW:
        return []
    terms = []
    for place in [at] if one_by_one else np.ndindex(t.shape):
        one = np.zeros_like(g)
        one[place] = 1
        slope = _share(np.asarray(pullback(one)), shape, at)
        if slope or one_by_one:
            terms.append(Term((entry(g_name, place), _signed(slope)), (float(g[place]), slope)))
    return terms


def _share(raw: Array, shape: tuple[int, ...], at: Index) -> float:
    """What one entry of an input of that shape gets, all copies of it if it was broadcast."""
    raw = np.broadcast_to(raw, np.broadcast_shapes(raw.shape, shape))
    copies = tuple(slice(None) if n == 1 else i for n, i in zip(shape, at, strict=True))
    where: Any = (Ellipsis, *copies)
    return float(np.sum(raw[where]))


def _sum(terms: list[str]) -> str:
    if len(terms) > SHOWN + 1:
        terms = [*terms[:SHOWN], "...", terms[-1]]
    return " + ".join(terms)


def _signed(x: float) -> str:
    return f"({number(x)})" if x < 0 else number(x)


def entry(name: str, index: Index) -> str:
    """ "x[0, 3]", and for a single number "x"."""
    return f"{name}[{', '.join(map(str, index))}]" if index else name
