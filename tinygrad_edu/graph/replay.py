"""A recorded computation, run again on other numbers: is its gradient the slope of the loss?

A graph holds everything that its ops were called with. So the same rules can be run again in double
precision, with one number moved a little: how much the loss moves is the derivative, whatever the
rules say about it. Nothing that was there is changed: no `.grad`, no value, no random state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu.arrays import Array
from tinygrad_edu.chain import walk, youngest_first
from tinygrad_edu.modes import enable_grad
from tinygrad_edu.rules import Op, differentiable
from tinygrad_edu.tensor import Tensor

__all__ = ["Check", "Replay", "Slope", "check", "compare", "replayed"]

TOLERANCE = 1e-6  # what rules and differences may differ by, relative to the largest derivative
BUDGET = 60_000  # evaluations of ops in one check: about a second
TOUCHED = 2_000  # going through so many numbers takes as long as calling an op
EPSILON = float(np.finfo(np.float64).eps)


def replayed(root: Tensor, changed: Mapping[Tensor, Any], dtype: DTypeLike = np.float64) -> Array:
    """The value of `root`, computed again in `dtype`, with other numbers for some tensors.

    `changed` has arrays for leaves, or for inner tensors, which then are not computed.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> float(replayed(x * x + x, {x: 5.0}))
    30.0
    """
    for t, new in changed.items():
        if np.shape(new) != t.shape:
            raise ValueError(
                f"replayed: a value of shape {np.shape(new)} for a tensor of shape {t.shape}; "
                "they must be equal."
            )
    again = Replay(root, dtype)
    now = {again.twins[t]: np.asarray(new, dtype) for t, new in changed.items() if t in again.twins}
    with np.errstate(all="ignore"):
        return again.run(again.after(now), now)


class Slope(NamedTuple):
    """The derivative in one number, as the differences have it."""

    value: float
    below: float  # the slope on the left, ...
    above: float  # ... and on the right: at a kink they differ
    error: float  # how far the value may be off
    noise: float  # how much of that is rounding

    def smooth(self, scale: float = 0.0) -> bool:
        """Do the slopes on both sides tend to the same, seen beside derivatives of this size?"""
        size = max(abs(self.value), scale)
        return bool(np.isfinite(self.value)) and self.error <= TOLERANCE * size + self.noise


class Replay:
    """The graph under `root` again, in another precision: a twin for every tensor of it."""

    def __init__(self, root: Tensor, dtype: DTypeLike = np.float64) -> None:
        if root.op is None:
            raise ValueError(
                "replay: this tensor was not computed from anything that requires grad, outside "
                "no_grad(), so there is nothing to run again."
            )
        self.dtype = np.dtype(dtype)
        self.twins: dict[Tensor, Tensor] = {}
        made = youngest_first(root)
        self.wanting = {x for t in made for x, _ in t._edges}  # what wanted a gradient then
        with enable_grad(), np.errstate(all="ignore"):
            for t in reversed(made):
                args = [self._again(x) for x in _recast(t.op, t._args, self.dtype)]
                self.twins[t] = differentiable(t.op.rule)(*args, **t._options)
        self.root = self.twins[root]
        self.order = youngest_first(self.root)[::-1]  # oldest first

    def _again(self, x: Any) -> Any:
        """The twin of a tensor; of an array of floats, the same in this precision."""
        if isinstance(x, np.ndarray):
            return x.astype(self.dtype) if x.dtype.kind == "f" else x
        if not isinstance(x, Tensor):
            return x
        if x not in self.twins:
            self.twins[x] = Tensor(self._again(x.data), requires_grad=x in self.wanting)
        return self.twins[x]

    def gradients(self) -> dict[Tensor, Array]:
        """dL/dx for every tensor x of the original graph, by the same rules in this precision."""
        with np.errstate(all="ignore"):
            found = {t: g for t, g, _ in walk(self.root, np.ones_like(self.root.data))}
        return {t: found[twin] for t, twin in self.twins.items() if twin in found}

    def after(self, xs: Iterable[Tensor]) -> list[Tensor]:
        """The twins that are computed from these, oldest first, without themselves."""
        given = set(xs)
        reached, found = set(given), []
        for t in self.order:
            if t not in given and any(x in reached for x in t.inputs):
                reached.add(t)
                found.append(t)
        return found

    def run(self, order: Sequence[Tensor], now: dict[Tensor, Array]) -> Array:
        """The root's value where tensors are as `now` says: only those in `order` are computed."""
        now = dict(now)
        for t in order:
            args = [now.get(x, x._data) if isinstance(x, Tensor) else x for x in t._args]
            now[t] = np.asarray(t.op.rule(*args, **t._options)[0])
        return now.get(self.root, self.root.data)

    def slopes(self, x: Tensor, places: Iterable[int], scale: float = 0.0) -> list[Slope]:
        """The derivatives in single numbers of a tensor of the original graph, by differences."""
        twin = self.twins[x]
        order = self.after([twin])
        with np.errstate(all="ignore"):
            return [self._slope(twin, order, place, scale) for place in places]

    def _slope(self, x: Tensor, order: Sequence[Tensor], place: int, scale: float) -> Slope:
        """One derivative: with ever smaller steps, until two of them agree."""

        def at(step: float) -> float:
            moved = x.data.copy()
            moved.reshape(-1)[place] += step
            return float(self.run(order, {x: moved}).item())

        h = 1e-3 * max(1.0, abs(float(x.data.reshape(-1)[place])))
        size = max(_largest(t.data) for t in (x, self.root, *self.root.inputs))
        tried = []
        for _ in range(6):
            tried.append(_differences(at, self.root.item(), h, size))
            if tried[-1].error <= TOLERANCE / 10 * max(abs(tried[-1].value), scale):
                return tried[-1]
            h /= 10
        return min(tried, key=lambda slope: slope.error)


def _work(order: Sequence[Tensor]) -> float:
    """How many evaluations of small ops it takes to run these."""
    return len(order) + sum(t.size + sum(x.size for x in t.inputs) for t in order) / TOUCHED


def _largest(x: Array) -> float:
    """The largest finite number of an array, without its sign."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0))


def _recast(op: Op, args: Sequence[Any], dtype: np.dtype[Any]) -> list[Any]:
    """The arguments, with `dtype` where the op was told to make floats of another kind."""
    names = op.rule.__code__.co_varnames[: op.rule.__code__.co_argcount]
    found = list(args)
    for i, (name, x) in enumerate(zip(names, args)):  # noqa: B905  *arrays have no names
        if name == "dtype" and np.dtype(x).kind == "f":
            found[i] = dtype
    return found


def _differences(at: Callable[[float], float], here: float, h: float, size: float) -> Slope:
    """The slope from steps of h and h / 2 to both sides.

    Central differences are off by a multiple of h^2, so four times that of h / 2 less that of h,
    divided by three, is off by h^4 only. The slopes to both sides differ by a multiple of h; what
    is left of that when h tends to 0 is a kink.
    """
    sides = [(at(k) - here) / k for k in (h, -h, h / 2, -h / 2)]
    wide, narrow = (sides[0] + sides[1]) / 2, (sides[2] + sides[3]) / 2
    value = (4 * narrow - wide) / 3
    kink = 2 * (sides[2] - sides[3]) - (sides[0] - sides[1])
    noise = 32 * EPSILON * size / h
    error = max(abs(value - narrow), abs(kink)) + noise
    below, above = 2 * sides[3] - sides[1], 2 * sides[2] - sides[0]
    if not np.isfinite(error):
        return Slope(np.nan, below, above, np.inf, noise)  # the loss is not finite that far out
    return Slope(value, below, above, error, noise)


# ---------------------------------------------------------------- the check of all leaves


class Check(NamedTuple):
    """How the gradient of one leaf compares with the slopes of the loss."""

    entries: int  # so many numbers were compared, ...
    of: int  # ... of so many that the leaf has
    largest: float  # the largest derivative, by the rules
    difference: float  # the largest difference between rules and slopes
    relative: float  # the same, as a part of `largest`
    agrees: bool  # at all numbers compared where the loss is smooth
    smooth: bool  # is it smooth at all of them?
    kinks: int  # so many have a kink within the step: two slopes, and the rules choose
    rounding: float  # how far the gradient shown is from that in double precision, as a part

    @property
    def text(self) -> str:
        """The result as a sentence."""
        if not self.entries:
            return f"not compared: {self.of} numbers, and too many ops to run again for each"
        some = f"{self.entries} of {self.of}" if self.of > 1 else "the number"
        if self.kinks == self.entries:
            return f"{some} compared: nowhere is the loss smooth, so there is no one slope"
        kinks = f"; at {self.kinks} of them a kink lies within the step" if self.kinks else ""
        if not self.agrees:
            return (
                f"{some} compared: the gradient DIFFERS from the slopes, by {self.difference:.1e}"
            )
        digits = min(9, int(-np.log10(max(self.relative, 1e-9))))
        exact = f" to {digits} digits" if self.largest else ""
        return f"{some} compared: the gradient agrees with the slopes of the loss{exact}{kinks}"


def check(root: Tensor, limit: int = 64, budget: float = BUDGET) -> dict[Tensor, Check]:
    """Every leaf's gradient beside the slopes of the loss, found by moving its numbers.

    Both are computed in double precision, so that rounding blurs neither. Of each leaf up to
    `limit` numbers are compared, evenly spread and the one with the largest derivative among them;
    fewer where running the ops again would take more than `budget` evaluations altogether.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> check((x**3).sum())[x].agrees
    True
    """
    if root.size != 1:
        raise ValueError(
            f"check: a tensor of shape {root.shape} is not one number; use .sum() or .mean()."
        )
    with np.errstate(all="ignore"):
        steps = walk(root, np.ones_like(root.data), hooks=False)
        shown = {t: g for t, g, _ in steps if t.op is None}
    replay = Replay(root)
    gradients = replay.gradients()
    found: dict[Tensor, Check] = {}
    for leaf, g in shown.items():
        share = budget / (len(shown) - len(found))
        found[leaf], spent = compare(replay, leaf, gradients[leaf], g, limit, share)
        budget -= spent
    return found


def compare(
    replay: Replay, leaf: Tensor, g: Array, shown: Array, limit: int, budget: float = BUDGET
) -> tuple[Check, float]:
    """The check of one tensor, whose gradient in double precision is g; and the work it took."""
    cost = 4 * _work(replay.after([replay.twins[leaf]]))
    entries = min(limit, leaf.size, int(budget / cost))
    flat, largest = g.reshape(-1), _largest(g)
    places = spread(flat, entries)
    slopes = replay.slopes(leaf, places, largest)
    apart = [
        (abs(slope.value - flat[place]), slope.noise)
        for place, slope in zip(places, slopes, strict=True)
        if slope.smooth(largest)
    ]
    difference = float(max([d for d, _ in apart], default=0.0))
    with np.errstate(invalid="ignore"):  # inf - inf
        off = np.abs(shown.astype(np.float64) - g).max(initial=0)
    result = Check(
        entries=entries,
        of=leaf.size,
        largest=largest,
        difference=difference,
        relative=difference / largest if largest else difference,
        agrees=all(d <= TOLERANCE * largest + noise for d, noise in apart),
        smooth=len(apart) == entries,
        kinks=entries - len(apart),
        rounding=float(off / largest) if largest else float(off),
    )
    return result, entries * cost


def spread(g: Array, entries: int) -> list[int]:
    """So many places in g, evenly spread; the one nearest to the largest number is moved to it."""
    if not entries:
        return []
    places = np.linspace(0, len(g) - 1, entries).round().astype(int)
    most = int(np.argmax(np.abs(g)))
    places[np.argmin(np.abs(places - most))] = most
    return [int(place) for place in places]
