"""Where a gradient comes from, in words and numbers.

A tensor's gradient is a sum: one contribution from every use of the tensor. `explain(w, of=loss)`
writes the sum down, with the rule of each use, its shapes, its numbers, and where its g came from.
`explain(loss)` tells the whole computation, forward and back, a sentence for every step. The rules
are those of the ops' docstrings, the slopes to compare with those of `graph/replay.py`.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.chain import walk
from tinygrad_edu.graph.naming import variables
from tinygrad_edu.graph.replay import (
    TOO_LARGE,
    UNSETTLED,
    Replay,
    compare,
    judged,
    largest_finite,
    rounded,
)
from tinygrad_edu.graph.simplify import collapse, levels
from tinygrad_edu.graph.terms import entry, written_out
from tinygrad_edu.graph.trace import Edge, Graph, Node, trace
from tinygrad_edu.graph.wording import (
    backward_rule,
    called,
    forward_rule,
    gradient_name,
    norm,
    number,
    sentence,
    shapes_told,
    size,
)
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.printed import Printed
from tinygrad_edu.tensor import Tensor

__all__ = ["explain"]

MOST = 60  # steps that are told one by one; of more, layers are told as one
USES = 12  # of a tensor that are written out; of more, these many are chosen
ENTRIES = 16  # numbers of a tensor that are compared with slopes
WITHIN = re.compile(r" (?=\+=|[*/@=(])|(?<=\+=) |(?<=[*/@=]) |(?<=\d,) (?=\d)")  # no break here


def explain(w: Any, of: Tensor | None = None, index: Any = None) -> Printed:
    """Print, and return, where the gradient of `w` comes from; for a loss alone, all its steps.

    `w` is a tensor, leaf or not, or its name, such as "layers.0.weight", or a layer: then each of
    its parameters gets a line. `of` is the loss, one number. With `index`, such as (0, 3), that
    one number of the gradient is written out. Nothing is changed: no `.grad`, no values.

    Raises TypeError and ValueError where there is nothing to explain, and says why; IndexError for
    an index outside of `w`; RuntimeError for a graph that an optimizer's step let go of.

    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> text = explain(x, of=x * x + x)
    x, one number: its gradient is the sum of 3 contributions
    1. through multiply = x * x
           g * x = 3
           g = multiply.grad = 1, came back through add
    2. through multiply = x * x
           g * x = 3
           g = multiply.grad = 1, came back through add
    3. through add = multiply + x
           g = 1
           g = add.grad = 1, where the walk begins
    together: x.grad = 3 + 3 + 1 = 7
    the number compared: the gradient agrees with the slopes of the loss to 9 digits
    (computed inside `with tg.trace_lines():`, it would name your lines, too)
    """
    known = variables()
    root = _root(w, of)
    graph = trace(root, known, who="explain")
    if of is None:
        return _printed(_all_steps(graph))
    if not graph.has_gradients:
        raise ValueError(
            f"explain: of is of shape {root.shape}, not one number; use .sum() or .mean()."
        )
    work = _Explaining(root, graph, known.tensors)
    if isinstance(w, Layer):
        if index is not None:
            raise ValueError("explain: index is for one tensor; a layer has several.")
        return _printed(work.of_layer(w))
    x = work.named(w) if isinstance(w, str) else w
    place = None if index is None else _index(index, x.shape)
    return _printed(work.of_tensor(x, place))


def _printed(lines: Iterable[str]) -> Printed:
    """The lines, broken where they are long, though not within a product or an index."""
    broken = []
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        bound = WITHIN.sub("\N{NO-BREAK SPACE}", line)
        broken += textwrap.wrap(
            bound, 100, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    return Printed("\n".join(broken).replace("\N{NO-BREAK SPACE}", " "))


def _root(w: Any, of: Any) -> Tensor:
    """What was computed in the end: `of`, or w itself where nothing else was given."""
    if of is None and isinstance(w, Tensor) and w.op is not None:
        return w
    if not isinstance(w, (Tensor, Layer, str)):
        raise TypeError(
            f"explain: {w!r:.60} is a {type(w).__name__}; give a Tensor, its name, or a layer."
        )
    if of is None and isinstance(w, Tensor) and not w.requires_grad:
        return w  # a loss without a graph, most likely: `trace` says what is missing
    if of is None:
        raise ValueError("explain: a gradient of what? Say of=loss, the number it belongs to.")
    if not isinstance(of, Tensor):
        raise TypeError(f"explain: of={of!r:.60} is a {type(of).__name__}; give a Tensor: a loss.")
    return of


def _index(index: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index as a tuple of numbers from 0 on."""
    given = index if isinstance(index, tuple) else (index,)
    whole = all(isinstance(i, (int, np.integer)) for i in given)
    if not whole or len(given) != len(shape):
        raise IndexError(
            f"explain: index={index!r} is no single number of shape {shape}; give "
            f"{len(shape)} whole numbers."
        )
    for i, n in zip(given, shape, strict=True):
        if not -n <= i < n:
            raise IndexError(f"explain: index={index!r} is outside of shape {shape}.")
    return tuple(int(i) % n for i, n in zip(given, shape, strict=True))


# ---------------------------------------------------------------- one gradient


class _Explaining:
    """The work of one `explain(w, of=loss)`."""

    def __init__(self, root: Tensor, graph: Graph, known: Mapping[Tensor, str]) -> None:
        self.root, self.graph, self.known = root, graph, known
        self.tensors = {key: t for t, key in graph.keys.items()}
        self.replay = Replay(root)

    # Finding what is meant.

    def named(self, name: str) -> Tensor:
        """The tensor of that name in the graph."""
        by_name = {self.graph.nodes[key].name: t for t, key in self.graph.keys.items()}
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else f" There is {_few(by_name)}."
            raise ValueError(
                f"explain: no tensor called {name!r} is in the graph of the loss.{hint}"
            )
        return by_name[name]

    def node_of(self, x: Tensor) -> Node:
        """Its node; or an error that says why it has no gradient."""
        node = self.graph.nodes.get(self.graph.keys.get(x, ""))
        if node is not None and node.gradient is not None:
            return node
        if node is not None and x.requires_grad:
            raise ValueError(
                f"explain: {self.described(x)} required no grad when the loss was computed, "
                "or what used it hands none back, so no gradient was computed for it. It requires "
                "grad now: compute the loss again."
            )
        if not x.requires_grad:
            raise ValueError(
                f"explain: {self.described(x)} does not require grad, so no gradient was computed "
                "for it. Make it with requires_grad=True, and compute the loss again."
            )
        raise ValueError(
            f"explain: nothing of the loss was computed from {self.described(x)}, so its "
            f"gradient is not 0, there is none. {self._cut_off(x)}"
        )

    def described(self, x: Tensor) -> str:
        return x.name or self.known.get(x) or f"this tensor of shape {x.shape}"

    def _cut_off(self, x: Tensor) -> str:
        """Why x may be missing: a copy of its numbers without history is there, say."""
        for node in self.graph.nodes.values():
            same = node.shape == x.shape and not node.needs_gradient and node.value is not None
            if same and x.size > 1 and np.array_equal(node.value, x.data):  # type: ignore[arg-type]
                return (
                    f"Its numbers are there, as {node.name}, without history: .detach(), .data, "
                    ".numpy() or no_grad() has cut them off."
                )
        return (
            "Was the loss computed by another tensor or layer, before this one was made, or from a "
            "copy: .detach(), .data, no_grad()?"
        )

    # Telling it.

    def of_layer(self, layer: Layer) -> Iterator[str]:
        """A line for every parameter."""
        for name, p in layer.named_parameters():
            node = self.graph.nodes.get(self.graph.keys.get(p, ""))
            if node is None or node.gradient is None:
                why = "is frozen" if not p.requires_grad else "was not used"
                if node is not None and p.requires_grad:
                    why = "was frozen when the loss was computed"
                yield f"{name}, {_shape(p.shape)}: no gradient, it {why}"
                continue
            through = _few(self.graph.nodes[e.target].name for e in self.graph.out_of(node.key))
            yield f"{name}, {_shape(p.shape)}: {norm(node.gradient)}, through {through}"

    def of_tensor(self, x: Tensor, at: tuple[int, ...] | None) -> Iterator[str]:
        """The sum, its terms, where they are from, and the check."""
        node = self.node_of(x)
        uses = self.graph.out_of(node.key)
        if x is self.root:
            yield f"{node.name}, {_shape(node.shape)}: the result itself, so its gradient is 1"
            return
        sum_of = (
            f"the sum of {len(uses)} contributions" if uses[1:] else "what its one use hands back"
        )
        yield f"{node.name}, {_shape(node.shape)}: its gradient is {sum_of}"
        told = _chosen(uses)
        for i in told:
            yield from self._use(f"{i + 1}. " if uses[1:] else "", uses[i], at)
        if len(told) < len(uses):
            rest: Any = sum(e.contribution for i, e in enumerate(uses) if i not in told)
            yield f"and {len(uses) - len(told)} more, which together are {norm(rest)}"
        yield self._together(node, uses, at)
        if x.size == 0:
            yield "there is nothing to compare: it is empty"
        else:
            yield from self._check(x, node, at)
        if not any(other.where for other in self.graph.nodes.values()):
            yield "(computed inside `with tg.trace_lines():`, it would name your lines, too)"

    def _use(self, count: str, edge: Edge, at: tuple[int, ...] | None) -> Iterator[str]:
        """A contribution: its op, its rule in names, shapes and numbers, and its g."""
        target = self.graph.nodes[edge.target]
        t = self.tensors[edge.target]
        yield f"{count}through {target.name} = {forward_rule(self.graph, target)}"
        indent = "       "
        if target.where is not None:
            yield f"{indent}at {target.where.text}"
        dx: Any = edge.contribution
        g: Any = target.gradient
        rule = backward_rule(self.graph, edge) or "its share of g"
        yield f"{indent}{rule} = {norm(dx)}"
        pullback = self._pullback(edge, t)
        with np.errstate(all="ignore"):
            given = np.shape(pullback(g))
            written = [] if at is None else written_out(self.graph, edge, t, g, pullback, at)
        shapes = shapes_told(self.graph, edge, given) if dx.ndim or g.ndim else ""
        yield from (f"{indent}{line}" for line in [shapes] if line)
        yield from (f"{indent}{line}" for line in _summed(dx.shape, given))
        if at is not None:
            yield f"{indent}{entry('at ', at)}:" if at else f"{indent}that is:"
            yield from (f"{indent}    {line}" for line in written)
        whole = f"{called(target)}.grad"
        known = "g = " if gradient_name(self.graph, target) == "g" else ""
        yield f"{indent}{known}{whole} = {norm(g)}, {self._origin(target)}"

    def _pullback(self, edge: Edge, t: Tensor) -> Any:
        """What the op of t hands on to this use of an input."""
        wanting = [e for e in self.graph.into(edge.target) if e.contribution is not None]
        place = next(i for i, e in enumerate(wanting) if e is edge)
        return t._edges[place][1]

    def _origin(self, node: Node) -> str:
        """Where a gradient came from: the ops on the shortest way from the loss."""
        if node.key == self.graph.result:
            return "where the walk begins"
        several = " (the shortest of several ways)" if len(self.graph.out_of(node.key)) > 1 else ""
        return f"came back through {' <- '.join(_shortened(self._way(node.key)))}{several}"

    def _way(self, key: str) -> list[str]:
        """The names of what was made from a tensor, step by step, up to the result."""
        way = []
        while key != self.graph.result:
            key = self.towards[key]
            way.append(self.graph.nodes[key].title)
        return way

    @cached_property
    def towards(self) -> dict[str, str]:
        """The next tensor on the shortest way from each to the result."""
        found: dict[str, str] = {}
        waiting = [self.graph.result]
        for here in waiting:  # grows while it is gone through: the nearest first
            for edge in self.graph.into(here):
                if edge.source not in found:
                    found[edge.source] = here
                    waiting.append(edge.source)
        return found

    def _together(self, node: Node, uses: list[Edge], at: tuple[int, ...] | None) -> str:
        """The equation of the sum: all contributions, and what they make."""
        parts = [_part(x, at) for x in [e.contribution for e in uses[:9]]]
        if len(uses) > 8:
            last = [_part(e.contribution, at) for e in uses[-3:]]
            parts = [*parts[:4], "...", *last]
        whole = _part(node.gradient, at)
        name = entry(f"{called(node)}.grad", at or ())
        if len(uses) == 1:
            return f"together: {name} = {whole}"
        if at is not None or node.shape == ():
            return f"together: {name} = {' + '.join(parts)} = {whole}"
        return f"together: {name} = {whole}, the sum of {', '.join(parts)}, number by number"

    def _check(self, x: Tensor, node: Node, at: tuple[int, ...] | None) -> Iterator[str]:
        """How the gradient compares with slopes, of some numbers or of one."""
        plain = self._without_hooks(x, node)
        hooked = not np.array_equal(plain, node.gradient, equal_nan=True)  # type: ignore[arg-type]
        if hooked:
            yield f"{self._hooks(node)} changed it, so it is not the slope; without hooks:"
        elif node.hooked:
            yield "a hook of yours then had a look at it, and did not change it"
        if at is None:
            found = compare(self.replay, x, plain, ENTRIES)[0]
            yield found._replace(hooked=False).text
        else:
            yield self._of_one(x, plain, entry(called(node), at), at)

    def _without_hooks(self, x: Tensor, node: Node) -> Array:
        """The gradient that the rules alone give."""
        if not any(other.hooked for other in self.graph.nodes.values()):
            return node.gradient  # type: ignore[return-value]
        with np.errstate(all="ignore"):
            steps = walk(self.root, np.ones_like(self.root.data), hooks=False)
            return next(g for t, g, _ in steps if t is x)

    def _hooks(self, node: Node) -> str:
        """Whose hooks lie on the way back to a tensor."""
        above = {node.key: node}
        waiting = [node.key]
        for here in waiting:
            for edge in self.graph.out_of(here):
                if edge.target not in above:
                    above[edge.target] = self.graph.nodes[edge.target]
                    waiting.append(edge.target)
        names = [other.name for other in above.values() if other.hooked]
        return f"a hook on {_few(names)}" if len(names) == 1 else f"hooks on {_few(names)}"

    def _of_one(self, x: Tensor, plain: Array, name: str, at: tuple[int, ...]) -> str:
        """How one number of the gradient compares with the slope."""
        whole = self.replay.gradient(x)
        g, largest = float(whole[at]), largest_finite(whole)
        place = int(np.ravel_multi_index(at, x.shape)) if at else 0
        (slope,) = self.replay.slopes(x, [place], largest)
        found = judged(slope, g, largest, self.replay.least(x))
        _, off = rounded(plain[at], g, largest, self.replay.coarsest)
        first = f"{off}; in float64 it is {g:.9g}" if off else ""
        if found == "kink":
            told = (
                f"slopes: a kink lies at {name}: the loss has slope {slope.below:.6g} below and "
                f"{slope.above:.6g} above"
            )
        elif found in ("unsettled", "hidden"):
            told = f"slopes: {UNSETTLED if found == 'unsettled' else TOO_LARGE}"
        else:
            told = f"moved a little, {name} changes the loss by {slope.value:.9g} times that"
        if found == "differs":
            return f"{told}: but the rules say {g:.9g}"
        if found == "agrees":
            return f"{first}, and agrees: {told}" if off else f"{told}: as the rules say"
        return f"{first}; {told}" if off else told


def _chosen(uses: list[Edge]) -> list[int]:
    """The places of those that are told: of many, the first few and the largest few."""
    if len(uses) <= USES:
        return list(range(len(uses)))
    by_size = sorted(range(len(uses)), key=lambda i: -size(uses[i].contribution))  # type: ignore[arg-type]
    return sorted({*range(USES // 2), *[i for i in by_size if i >= USES // 2][: USES // 2]})


def _summed(shape: tuple[int, ...], given: tuple[int, ...]) -> Iterator[str]:
    """That an input was broadcast, so what came back for all its copies was summed."""
    if given == shape or len(given) < len(shape):
        return
    extra = len(given) - len(shape)
    axes = [i for i, n in enumerate(given) if i < extra or (shape[i - extra] == 1 and n != 1)]
    word = "axis" if len(axes) == 1 else "axes"
    yield f"summed over {word} {', '.join(map(str, axes))}: {shape} was used as {given}"


def _part(x: Any, at: tuple[int, ...] | None) -> str:
    return norm(x) if at is None else number(x[at])


def _shortened(parts: list[str]) -> list[str]:
    return parts if len(parts) <= 8 else [*parts[:4], "...", *parts[-3:]]


def _shape(lengths: tuple[int, ...]) -> str:
    return f"shape {lengths}" if lengths else "one number"


def _few(names: Iterable[str]) -> str:
    return ", ".join(_shortened(list(names)))


# ---------------------------------------------------------------- all steps


def _all_steps(graph: Graph) -> Iterator[str]:
    """A sentence for every step; of long computations, for every layer."""
    told, depth = _told(graph)
    if depth is not None:
        yield f"{len(graph.steps)} steps; here those of layers are told as one, at depth {depth}"
    for phase in ("forward", "seed", "backward"):
        sentences = told.get(phase, [])
        count = len(sentences)
        for i, text in enumerate(sentences, start=1):
            if count > MOST and MOST // 2 < i <= count - MOST // 2:
                if i == MOST // 2 + 1:
                    yield f"... {count - MOST} more steps ..."
                continue
            yield text if phase == "seed" else f"{phase} {i} of {count}: {text}"
    if not graph.has_gradients:
        yield "no way back: this is not one number; .sum() or .mean() makes one"


def _told(graph: Graph) -> tuple[dict[str, list[str]], int | None]:
    """The sentences by phase, with as few layers collapsed as keep them below MOST."""
    told: dict[str, list[str]] = {}
    for depth in (None, *range(levels(graph), 0, -1)):
        smaller, told, seen = collapse(graph, depth), {}, set()
        for step in smaller.steps:
            if smaller.nodes[step.node].op is None and (step.phase, step.node) in seen:
                continue  # a layer is told once
            seen.add((step.phase, step.node))
            told.setdefault(step.phase, []).append(sentence(smaller, step))
        if max(map(len, told.values())) <= MOST:
            break
    return told, depth
