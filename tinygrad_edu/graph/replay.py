"""A recorded computation, run again on other numbers: is its gradient the slope of the loss?

A graph holds everything that its ops were called with. So the same rules can be run again in double
precision, with one number moved a little: how much the loss moves is the derivative, whatever the
rules say about it. Nothing that was there is changed: no `.grad`, no value; hooks are not called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu.arrays import Array
from tinygrad_edu.chain import walk, youngest_first
from tinygrad_edu.graph.slopes import EPSILON, TOLERANCE, Slope, slope
from tinygrad_edu.modes import enable_grad
from tinygrad_edu.rules import Op, differentiable
from tinygrad_edu.tensor import Tensor

__all__ = [
    "TOO_LARGE", "UNSETTLED", "Check", "Replay", "check", "compare", "judged", "largest_finite",
    "replayed", "rounded",
]  # fmt: skip

BUDGET = 60_000  # evaluations of ops in one check: about a second
TOUCHED = 2_000  # going through so many numbers takes as long as calling an op
UNSETTLED = "slopes do not settle, so nothing can be compared"
TOO_LARGE = "the loss is too large beside what this changes, so slopes cannot tell"
HIDDEN = 1e-3  # a slope that rounding blurs by a larger part of it tells nothing


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
        return again.run(again.after(now) or [], now)


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
        floats = {t.dtype for t in self.twins if t.dtype.kind == "f"}
        self.coarsest = max(floats, key=lambda kind: np.finfo(kind).eps)  # that of the original
        self.hooked = {twin for t, twin in self.twins.items() if t._hooks}

    def _again(self, x: Any) -> Any:
        """The twin of a tensor; of an array of floats, the same in this precision."""
        if isinstance(x, np.ndarray):
            return x.astype(self.dtype) if x.dtype.kind == "f" else x
        if not isinstance(x, Tensor):
            return x
        if x not in self.twins:
            self.twins[x] = Tensor(self._again(x.data), requires_grad=x in self.wanting)
        return self.twins[x]

    @cached_property
    def _walked(self) -> dict[Tensor, Array]:
        """dL/dx for every twin."""
        with np.errstate(all="ignore"):
            return {t: g for t, g, _ in walk(self.root, np.ones_like(self.root.data))}

    def gradients(self) -> dict[Tensor, Array]:
        """dL/dx for every tensor x of the original graph, by the same rules in this precision."""
        return {t: self._walked[twin] for t, twin in self.twins.items() if twin in self._walked}

    def gradient(self, x: Tensor) -> Array:
        """dL/dx for that tensor."""
        return self._walked[self.twins[x]]

    def least(self, x: Tensor) -> float:
        """A derivative below this may be only the rounding of what it was computed from."""
        users = [self._walked.get(t) for t in self._users.get(self.twins[x], [])]
        return 1e-13 * max((largest_finite(g) for g in users if g is not None), default=0.0)

    @cached_property
    def _places(self) -> dict[Tensor, int]:
        """The place of each twin in the order."""
        return {t: place for place, t in enumerate(self.order)}

    @cached_property
    def _users(self) -> dict[Tensor, list[Tensor]]:
        """The twins that are computed directly from each."""
        users: dict[Tensor, list[Tensor]] = {}
        for t in self.order:
            for x in dict.fromkeys(t.inputs):
                users.setdefault(x, []).append(t)
        return users

    def after(self, xs: Iterable[Tensor], most: float = np.inf) -> list[Tensor] | None:
        """The twins that are computed from these, oldest first, without themselves.

        None where to run them takes more than `most` evaluations of small ops.
        """
        given = list(xs)
        reached = set(given)
        waiting, work = list(given), 0.0
        for x in waiting:  # grows while it is gone through
            for t in self._users.get(x, []):
                if t not in reached:
                    reached.add(t)
                    waiting.append(t)
                    work += _work(t)
            if work > most:
                return None
        return sorted(waiting[len(given) :], key=self._places.__getitem__)

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
        order = self.after([twin]) or []
        with np.errstate(all="ignore"):
            rounding = self._rounding([twin, *order])
            return [self._slope(twin, order, place, rounding, scale) for place in places]

    def _rounding(self, way: Sequence[Tensor]) -> float:
        """How far rounding on this way may move the root.

        Each number on it, and each that joins it, is off by a part of itself, and moves the root
        by its derivative times that.
        """
        used = dict.fromkeys(x for t in way for x in (t, *t.inputs))
        return 2 * EPSILON * sum(_moved(t.data, self._walked[t]) for t in used if t in self._walked)

    def _slope(
        self, x: Tensor, order: Sequence[Tensor], place: int, rounding: float, scale: float
    ) -> Slope:
        """One derivative: with steps of many sizes."""

        def at(step: float) -> float:
            moved = x.data.copy()
            moved.reshape(-1)[place] += step
            return float(self.run(order, {x: moved}).item())

        return slope(at, self.root.item(), float(x.data.reshape(-1)[place]), rounding, scale)


def _work(t: Tensor) -> float:
    """How many evaluations of small ops it takes to run this one."""
    return 1 + (t.size + sum(x.size for x in t.inputs)) / TOUCHED


def _moved(x: Array, g: Array) -> float:
    """The sum of |x g|, without what is not finite."""
    products = np.abs(x * g)
    return float(products[np.isfinite(products)].sum())


def largest_finite(x: Array) -> float:
    """The largest finite number of an array, without its sign."""
    return float(np.abs(x[np.isfinite(x)]).max(initial=0))


def _recast(op: Op, args: Sequence[Any], dtype: np.dtype[Any]) -> list[Any]:
    """The arguments, with `dtype` where the op was told to make floats of another kind."""
    return [
        dtype if name == "dtype" and np.dtype(x).kind == "f" else x
        for name, x in op.named(args, {})
    ]


# ---------------------------------------------------------------- the check of all leaves


class Check(NamedTuple):
    """How the gradient of one leaf compares with the slopes of the loss.

    The gradient is the one that the rules give without hooks. Each number looked at was compared,
    or lies at a kink, or has no slope that could be seen.
    """

    entries: int  # so many numbers were compared, ...
    of: int  # ... of so many that the leaf has
    largest: float  # the largest derivative, by the rules in double precision
    difference: float  # the largest difference between these and slopes
    right: bool  # do they agree at all numbers compared?
    kinks: int  # so many have a kink: two slopes, and the rules choose
    unsettled: int  # at so many no slope is to be seen
    hidden: int  # at so many it is lost in rounding
    rounding: float  # how far the gradient is from that in double precision, as a part of it
    off: str  # the same in words, such as "nan in float32"; nothing where it is near enough
    hooked: bool  # do hooks lie on the way, which may change the gradient?

    @property
    def relative(self) -> float:
        """The largest difference, as a part of the largest derivative."""
        return self.difference / self.largest if self.largest else self.difference

    @property
    def smooth(self) -> bool:
        """Does the loss have one slope wherever it was looked at?"""
        return not self.kinks and not self.unsettled

    @property
    def agrees(self) -> bool:
        """Was something compared, and is the gradient, as it is, the slope there?"""
        return self.entries > 0 and self.right and not self.off

    @property
    def text(self) -> str:
        """The result as a sentence."""
        hooks = "without the hooks on its way, " if self.hooked else ""
        off = f"{self.off}; in float64 " if self.off else ""
        return f"{hooks}{off}{self._compared}"

    @property
    def _compared(self) -> str:
        if not self.of:
            return "there is nothing to compare: it is empty"
        rest = "; ".join(self._not_compared())
        if not self.entries:
            return f"not compared: {rest or f'{self.of} numbers, and too many ops to run again'}"
        some = f"{self.entries} of {self.of}" if self.of > 1 else "the number"
        digits = min(9, int(-np.log10(max(self.relative, 1e-9)))) if self.right else 0
        exact = f" to {digits} digits" if self.largest else ""
        text = (
            f"the gradient agrees with the slopes of the loss{exact}"
            if self.right
            else f"the gradient DIFFERS from the slopes, by {self.difference:.1e}"
        )
        return f"{some} compared: {text}" + (f"; {rest}" if rest else "")

    def _not_compared(self) -> Iterator[str]:
        """Why some were left out, and how many unless it is all."""
        looked_at = self.entries + self.kinks + self.unsettled + self.hidden
        for count, why in (
            (self.kinks, "the loss has a kink, so there is no one slope"),
            (self.unsettled, UNSETTLED),
            (self.hidden, TOO_LARGE),
        ):
            if count:
                yield why if count == looked_at else f"at {count} of them {why}"


def check(root: Tensor, limit: int = 64, budget: float = BUDGET) -> dict[Tensor, Check]:
    """Every leaf's gradient beside the slopes of the loss, found by moving its numbers.

    Both are computed in double precision, so that rounding blurs neither; where the gradient as it
    is differs from that, this is said. Of each leaf up to `limit` numbers are looked at, evenly
    spread and the one with the largest derivative among them; fewer where running the ops again
    would take more than `budget` evaluations altogether.

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
    found: dict[Tensor, Check] = {}
    for leaf, g in shown.items():
        share = budget / (len(shown) - len(found))
        found[leaf], spent = compare(replay, leaf, g, limit, share)
        budget -= spent
    return found


def compare(
    replay: Replay, x: Tensor, shown: Array, limit: int, budget: float = BUDGET
) -> tuple[Check, float]:
    """The check of one tensor, whose gradient without hooks is `shown`; and the work it took."""
    g, twin = replay.gradient(x), replay.twins[x]
    order = replay.after([twin], most=budget / 4)
    cost = 4 * sum(map(_work, order)) if order else budget
    entries = min(limit, x.size, int(budget / cost)) if order else 0
    largest = largest_finite(g)
    flat = g.reshape(-1)
    places = spread(flat, entries)
    slopes = replay.slopes(x, places, largest) if places else []
    least = replay.least(x)
    kinds = [judged(s, float(flat[i]), largest, least) for i, s in zip(places, slopes, strict=True)]
    apart = [
        abs(s.value - float(flat[i]))
        for i, s, kind in zip(places, slopes, kinds, strict=True)
        if kind in ("agrees", "differs")
    ]
    rounding, off = rounded(shown, g, largest, replay.coarsest)
    result = Check(
        entries=len(apart),
        of=x.size,
        largest=largest,
        difference=max(apart, default=0.0),
        right="differs" not in kinds,
        kinks=kinds.count("kink"),
        unsettled=kinds.count("unsettled"),
        hidden=kinds.count("hidden"),
        rounding=rounding,
        off=off,
        hooked=any(t in replay.hooked for t in (twin, *(order or []))),
    )
    return result, entries * cost


def judged(found: Slope, g: float, largest: float, least: float) -> str:
    """What a slope says of the derivative g: it "agrees", "differs", is a "kink", "unsettled"...

    ... or "hidden": so blurred by rounding that it may be anything. `largest` is the largest
    derivative of the tensor, and what is rounding beside it does not count; a derivative below
    `least` may be nothing but rounding.
    """
    if found.kind != "smooth":
        return found.kind
    size = max(abs(found.value), abs(g)) if np.isfinite(g) else abs(found.value)
    apart = abs(found.value - g)
    near = TOLERANCE * size + 1e-9 * largest + 2 * found.error
    if found.noise > HIDDEN * (max(size, largest) or 1) and apart <= near + 4 * found.noise:
        return "hidden"
    if apart <= near + found.noise:
        return "agrees"
    return "hidden" if size <= least and np.isfinite(g) else "differs"


def rounded(shown: Any, g: Any, largest: float, coarsest: np.dtype[Any]) -> tuple[float, str]:
    """How far a gradient is from that in double precision; in words if it is too far.

    Of the digits of the coarsest dtype on the way, three fifths may be lost.
    """
    shown, g = np.asarray(shown, np.float64), np.asarray(g)
    with np.errstate(invalid="ignore"):  # inf - inf
        same = (shown == g) | (np.isnan(shown) & np.isnan(g))
        apart = np.where(same, 0, np.abs(shown - g))
    part = float(apart.max(initial=0)) / (largest or 1)
    if part <= np.finfo(coarsest).eps ** 0.4:
        return part, ""
    lost = shown[~same & ~np.isfinite(shown)]
    if lost.size:
        return part, f"{lost[0]} in {coarsest}"
    if not shown.any():
        return part, f"rounded to 0 in {coarsest}"
    return part, f"off by {part:.1e} of its size in {coarsest}"


def spread(g: Array, entries: int) -> list[int]:
    """So many places in g, evenly spread; the one nearest to the largest number is moved to it."""
    if not entries:
        return []
    places = np.linspace(0, len(g) - 1, entries).round().astype(int)
    most = int(np.argmax(np.abs(g)))
    places[np.argmin(np.abs(places - most))] = most
    return [int(place) for place in places]
