"""The chain rule: how gradients find their way back.

Every tensor has a birth number, and an op's inputs are older than its output. So going through the
tensors from the youngest to the oldest, whatever arrives at a tensor has arrived completely before
its turn comes: all its uses are younger. No recursion, no marking, one pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_edu.modes import add_to, here

if TYPE_CHECKING:  # tensor.py imports this file; only the annotations look back
    from tinygrad_edu.tensor import Tensor

__all__ = ["walk", "youngest_first"]

_birth = attrgetter("_birth")


class Clock:
    """One time line for births of tensors and for writes into them.

    So "was written after it had been used" is a comparison of two numbers, and nothing needs to be
    remembered at each use.
    """

    def __init__(self) -> None:
        self.tick = count(1).__next__
        self.last_write = 0


clock = Clock()

Step = tuple["Tensor", Any, list[tuple["Tensor", Any]]]


def walk(
    root: Tensor,
    gradient: Any,
    create_graph: bool = False,
    wanted: list[Tensor] | None = None,
    hooks: bool = True,
) -> Iterator[Step]:
    """Apply the chain rule one tensor at a time, and show each step to whoever listens.

    A step is `(tensor, g, contributions)`: the tensor's complete gradient, and what each of its
    inputs got from it as `(input, dinput)` pairs. `gradient` is dL/d(root). The leaves, which have
    no inputs, come last. Gradients live here and not on the tensors, so nothing goes stale and a
    second walk starts afresh. With `wanted`, only what leads to these tensors is walked; with
    `hooks=False` nobody's hooks are called.
    """
    order = youngest_first(root)
    leads = None if wanted is None else _leading_to(wanted, order)
    grads = {root: gradient}
    for t in order:
        g = grads.pop(t, None)  # complete: every use of t is younger
        if g is None:
            continue  # it leads to nothing wanted
        if t._hooks and hooks:
            g = _hooked(t, g)
        if clock.last_write > t._birth:
            check_unchanged(t)
        contributions = []
        try:
            for x, pullback in _replayed(t) if create_graph else t._edges:
                if leads is not None and x not in leads:
                    continue
                dx = pullback(g)
                to = x._data
                if type(dx) is not np.ndarray or dx.shape != to.shape or dx.dtype is not to.dtype:
                    dx = _fitted(dx, x, t)
                grads[x] = _added(grads[x], dx) if x in grads else dx
                contributions.append((x, dx))
        except Exception as error:
            add_to(error, f"on the way back through {t._op.name}, shape {t._data.shape}{_at(t)}")
            raise
        yield t, g, contributions
    for leaf, g in grads.items():
        yield leaf, _hooked(leaf, g) if leaf._hooks and hooks else g, []


def youngest_first(root: Tensor) -> list[Tensor]:
    """The root and all under it that an op made, each once, each before its inputs."""
    found, seen, waiting = [], {root}, [root]
    while waiting:
        t = waiting.pop()
        found.append(t)
        if t._args is None:
            raise _stale(t, root)
        for x, _ in t._edges:
            if x._op is not None and x not in seen:
                seen.add(x)
                waiting.append(x)
    found.sort(key=_birth, reverse=True)
    return found


def _leading_to(wanted: list[Tensor], order: list[Tensor]) -> set[Tensor]:
    """Those of `wanted` and `order` that are wanted or were computed from something wanted."""
    leads = set(wanted)
    for t in reversed(order):  # oldest first: the inputs of t have been judged
        if any(x in leads for x, _ in t._edges):
            leads.add(t)
    return leads


def _replayed(t: Tensor) -> list[tuple[Tensor, Any]]:
    """The edges of t again, from its rule run on Tensors: what their pullbacks do is recorded.

    So the rule that gave the value and the first derivative gives the second and all others, too.
    """
    if not t._edges:
        return []
    wanted = {id(x) for x, _ in t._edges}
    args = [x if id(x) in wanted else getattr(x, "_data", x) for x in t._args]
    here.mode.replaying = True  # a rule that makes a number of a Tensor is now an error
    try:
        made = t._op.rule(*args, **t._options)
    finally:
        here.mode.replaying = False
    return [(x, dx) for x, dx in zip(args, made[1:]) if id(x) in wanted]  # noqa: B905


def _added(before: Any, dx: Any) -> Any:
    total = before + dx  # never in place: both may be held by someone else
    return np.asarray(total) if isinstance(total, np.generic) else total


def _fitted(dx: Any, x: Tensor, t: Tensor) -> Any:
    """dx in the shape and dtype of x: summed over the axes along which x was broadcast."""
    given, shape = np.shape(dx), x._data.shape
    extra = len(given) - len(shape)
    if (
        given != shape
        and extra >= 0
        and all(n in (1, m) for n, m in zip(shape, given[extra:], strict=True))
    ):
        repeated = [extra + i for i, n in enumerate(shape) if n == 1 and given[extra + i] != 1]
        dx = np.reshape(np.sum(dx, axis=(*range(extra), *repeated)), shape)
    if np.shape(dx) != shape:
        raise ValueError(
            f"{t._op.name}: its rule gives a gradient of shape {given} for an input of {shape}."
        )
    if type(dx) is not type(x):
        dx = np.asarray(dx)
    return dx if dx.dtype == x._data.dtype else dx.astype(x._data.dtype)


def _hooked(t: Tensor, g: Any) -> Any:
    """The gradient after t's hooks: each may replace it."""
    for hook in t._hooks:
        new = hook.function(_read_only(g))
        if new is None:
            continue
        if np.shape(new) != t._data.shape:
            raise ValueError(
                f"hook: returned shape {np.shape(new)} for a gradient of shape {t._data.shape}; "
                "return the gradient in its own shape, or None to leave it."
            )
        if not (type(new) is type(t) and type(g) is type(t)):
            new = np.asarray(getattr(new, "_data", new), dtype=t._data.dtype)
        g = new
    return g


def _read_only(g: Any) -> Any:
    """A view that refuses to be written into: the array may be another tensor's gradient, too."""
    if isinstance(g, np.ndarray):
        g = g.view()
        g.flags.writeable = False
    return g


def check_unchanged(t: Tensor) -> None:
    """Something was written after t was made: it must be neither t nor anything t was made from."""
    if t._op is None:
        return
    for x in (t, *t._args):
        if getattr(x, "_written", 0) > t._birth:
            raise _changed(t, x)


def _described(x: Tensor) -> str:
    return f"{x.name or 'a tensor'} of shape {x._data.shape}"


def _changed(t: Tensor, x: Tensor) -> RuntimeError:
    if t is x:
        return RuntimeError(
            f"backward: {_described(x)} was changed (by assigning .data) after {t._op.name} had "
            f"made it, so gradients would be wrong. Compute it again.{_at(t)}"
        )
    return RuntimeError(
        f"backward: {_described(x)} was changed (by an optimizer step or by assigning .data) "
        f"after {t._op.name} had used it, so its gradient would be wrong. Compute the loss again "
        f"after changing parameters, or change them after backward.{_at(t)}"
    )


def _stale(t: Tensor, root: Tensor) -> RuntimeError:
    part = "this loss" if t is root else f"{_described(t)} (made by {t._op.name}) under this loss"
    return RuntimeError(
        f"backward: the graph of {part} was let go by an optimizer step, which changed the "
        "parameters it was computed from. Compute the loss again; to keep numbers of earlier "
        f"steps, keep loss.item().{_at(t)}"
    )


def _at(t: Tensor) -> str:
    """Where t was made, if that was noted."""
    return f"\n    {t._op.name} was called at {t._where.text}" if t._where else ""
