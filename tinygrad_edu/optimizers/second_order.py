"""Second order: from how the slope changes, how the ground is bent.

Gradient descent knows the slope g, but not how soon it will end, so its rate is a guess. Newton
also asks how the ground is bent. Near x the loss is about

    L(x + d) = L(x) + g d + d B d / 2            B: the curvature, a matrix

and lowest where the slope of that, g + B d, is 0: at d = -(1/B) g. No rate is left to guess, but B
has n^2 numbers for n parameters. L-BFGS never writes it down. Its iterations moved x by some s and
saw g change by some y. On bent ground y = B s, so each pair (s, y) tells what 1/B makes of one
direction: y becomes s. From the last few pairs `direction` makes d out of g, in two loops.

The parabola is a guess, too, so d is trusted as a direction only. How far to go is found by
looking, in line_search.py. That is why a step wants a function that computes the loss: it calls it
several times.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arena import Arena
from tinygrad_edu.arrays import Array
from tinygrad_edu.optimizers import finite
from tinygrad_edu.optimizers.explaining import _index, _place, _title, lines_of
from tinygrad_edu.optimizers.line_search import Look, Point, strong_wolfe
from tinygrad_edu.optimizers.optimizer import Optimizer
from tinygrad_edu.optimizers.parts import BLOCK
from tinygrad_edu.optimizers.settings import Rate, checked, groups_of, number, tensors_of
from tinygrad_edu.printed import Printed
from tinygrad_edu.tensor import Tensor, plain

__all__ = ["LBFGS"]

COUNTS = ("max_iter", "max_eval", "history_size")


class LBFGS(Optimizer):
    """Newton's step, with the curvature guessed from the last moves, and as long as a search says.

        s, y = the last move, and how g changed; if s y > 1e-10, one of history_size pairs
        q = -g; for each pair, from the newest on: a = s q / s y, q -= a y
        d = q s y / y y; for each pair, from the oldest on: d += (a - y d / s y) s
        t = rate; in the very first iteration rate min(1, 1 / sum|g|)
        t = searched for from there on, until low and flat enough          with line_search_fn
        theta += t d; and again, until max|g| <= tolerance_grad, at most max_iter times

    A step is up to `max_iter` such iterations, and begins none after `max_eval` calls of the
    closure (None: 5/4 of max_iter). It also ends when no number moves by more than
    `tolerance_change`, or the loss changes by less. A point with nan or inf counts as infinitely
    high: it comes back from there. For whole batches: the noise of small ones looks like curvature.
    All parameters are one vector of one dtype, without groups.

    Source: Liu & Nocedal 1989; Nocedal & Wright 2006, algorithms 7.4, 3.5 and 3.6; exact to
    torch.optim.LBFGS, where `line_search_fn` is None by default: no search, t is the rate.

    >>> x = Tensor(np.array([-1.2, 1.0]), requires_grad=True)
    >>> optimizer = LBFGS(x, max_iter=100)
    >>> loss = optimizer.minimize(lambda: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2)
    >>> x.numpy().round(4).tolist(), optimizer.evaluations
    ([1.0, 1.0], 43)
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = "strong_wolfe",
        **options: Any,
    ) -> None:
        if odd := {"clipnorm", "clipvalue"}.intersection(options):
            raise TypeError(f"LBFGS: no {min(odd)}: it needs the gradients as they are.")
        if max_eval is None:
            max_eval = _whole("LBFGS: max_iter", max_iter) * 5 // 4
        self._memory = Memory(np.zeros(0), np.zeros(0))
        self._last: Last | None = None
        super().__init__(
            params, lr, options, max_iter=max_iter, max_eval=max_eval,
            tolerance_grad=tolerance_grad, tolerance_change=tolerance_change,
            history_size=history_size, line_search_fn=line_search_fn,
        )  # fmt: skip

    max_iter: int
    max_eval: int
    tolerance_grad: float
    tolerance_change: float
    history_size: int
    line_search_fn: str | None

    @classmethod
    def checked(cls, settings: dict[str, Any]) -> dict[str, Any]:
        name = cls.__name__
        counts = {key: _whole(f"{name}: {key}", settings[key]) for key in COUNTS if key in settings}
        ready = checked(name, {key: x for key, x in settings.items() if key not in counts})
        if ready.get("lr") == 0:
            raise ValueError(f"{name}: lr={ready['lr']!r} must be above 0, or nothing ever moves.")
        return ready | counts

    def bind(self, params: Any) -> Optimizer:
        name, groups = type(self).__name__, groups_of(params)
        if len(groups) > 1 or len(groups[0]) > 1:
            raise ValueError(
                f"{name}: one vector, one line search: there are no groups with settings of their "
                "own. Give all parameters in one list."
            )
        tensors = tensors_of(groups[0]["params"])
        if len(dtypes := dict.fromkeys(str(t.dtype) for t in tensors)) > 1:
            raise ValueError(
                f"{name}: the parameters are to be one vector, but have dtypes "
                f"{', '.join(dtypes)}; convert them to one."
            )
        super().bind(tensors)
        nothing = np.zeros_like(self.groups[0].parts[0].arena.data)
        self._memory = Memory(nothing, nothing)
        return self

    @property
    def evaluations(self) -> int:
        """How often closures were called, in all steps together."""
        return self._memory.evaluations

    # One step.

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Go downhill; `closure()` is called wherever the loss and its gradients are wanted.

        It clears the gradients, computes the loss, calls its backward() and returns it. (`minimize`
        makes a closure of a function that only computes the loss.) Returns the first loss.

        Raises FloatingPointError for nan or inf in the first loss or gradients, before anything is
        written. If the closure raises, the parameters go back to where the iteration began.
        """
        name = type(self).__name__
        if closure is None:
            raise TypeError(
                f"{name}.step: it looks at the loss several times, so it wants a function: "
                "optimizer.step(closure), where closure() calls optimizer.zero_grad(), computes "
                "the loss, calls loss.backward() and returns the loss. Or, shorter, "
                "optimizer.minimize(loss_function), with a function that only computes it."
            )
        if not self.groups:
            raise RuntimeError(f"{name}: no parameters yet; give them, or use bind().")
        self.rate = self.checked({"lr": self.lr})["lr"]
        part = self.groups[0].parts[0]
        ground = Ground(closure, part.arena, lambda: self._gathered(part))
        start = ground.look()
        if problem := self._problem(start, [(self, part, ground.still)]):
            if self.nonfinite == "raise":
                raise FloatingPointError(f"{name}.step: {problem}")
            self.skipped += 1
            return ground.loss
        x = ground.x.copy()
        end, moves = self._descend(ground, start)
        self.iterations += 1
        self._memory = self._memory._replace(evaluations=self.evaluations + ground.looks)
        self._last = Last(self.iterations, x, ground.x.copy(), start, end.f, ground.looks, moves)
        return ground.loss

    def minimize(self, loss_function: Callable[[], Tensor]) -> Any:
        """One whole step on the loss that `loss_function()` computes; returns the first loss."""

        def closure() -> Tensor:
            self.zero_grad()
            loss = loss_function()
            loss.backward()
            return loss

        return self.step(closure)

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        raise NotImplementedError("LBFGS: one gradient is not enough; use step(closure).")

    def _problem(self, start: Point, plan: list[Any]) -> str | None:
        """What forbids to begin a step here."""
        steep = dot(start.g, start.g)  # finite only if all of g is
        if self.nonfinite == "ignore" or (math.isfinite(start.f) and math.isfinite(steep)):
            return None
        if math.isfinite(steep):
            return f"the loss is {start.f}; nothing was updated. Look for log(0) or 0/0 in it."
        return finite.nonfinite(plan) or (
            f"the gradient reaches {largest(start.g):g}, too large to be squared in "
            f"{start.g.dtype}; nothing was updated. Scale the loss, or compute in float64."
        )

    def _descend(self, ground: Ground, here: Point) -> tuple[Point, list[Move]]:
        """Iterate until it is flat or goes down no more; gives the end, and the moves."""
        moves: list[Move] = []
        while self.tolerance_grad < largest(here.g) < math.inf and math.isfinite(here.f):
            before, last = here, len(moves) == self.max_iter - 1
            here, d = self._iterate(ground, here, self.max_eval - ground.looks, last)
            moves.append((here.t, d if (len(moves) + 1) * d.size <= BLOCK else None))
            if (
                last
                or ground.looks >= self.max_eval
                or largest(self._memory.s) <= self.tolerance_change
                or abs(here.f - before.f) < self.tolerance_change
            ):
                break
        return here, moves

    def _iterate(self, ground: Ground, here: Point, left: int, last: bool) -> tuple[Point, Array]:
        """Learn, turn, and go; an iteration that is interrupted has never begun."""
        x, memory = ground.x.copy(), self._memory
        try:
            with np.errstate(all="ignore"):  # it may look where that is too far
                learned = memory.with_pair(here.g, self.history_size)
                d = ground.held(direction(here.g, learned.history))
                if not math.isfinite(dot(here.g, d)):  # too large for the dtype: begin anew
                    learned, d = learned._replace(history=()), -here.g
                start = Point(0.0, here.f, here.g, dot(here.g, d))
                end = self._goal(partial(ground.at, x, d), start, largest(d), left, last)
                reached = x + end.t * d
                if not (np.isfinite(reached) | (d == 0)).all():
                    end, reached = start, x
                ground.put(reached)
                self._memory = learned._replace(k=memory.k + 1, s=end.t * d, g=here.g)
        except BaseException:
            self._memory = memory
            ground.put(x)
            raise
        return end, d

    def _goal(self, look: Look, start: Point, reach: float, left: int, last: bool) -> Point:
        """The point to go to; the start, if the line leads nowhere."""
        if start.slope > -self.tolerance_change:
            return start
        t = self.rate
        if self._memory.k == 0:  # nothing is known of the ground yet
            t *= min(1.0, 1 / float(np.abs(start.g).sum(dtype=np.float64)))
        if self.line_search_fn:
            return strong_wolfe(look, start, t, left, reach)
        if last:  # how it is there, the next step will ask
            return Point(t, math.nan, start.g, math.nan)
        end = look(t)
        return end if end.f < math.inf else start

    # Saving, and what it did.

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, by name; "history.s" has a row for every pair."""
        return super().state_dict() | self._memory.saved()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; ValueError, and nothing changed, if it does not fit."""
        try:
            memory = self._memory.loaded(state)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: nothing was loaded: {error}") from None
        own = self._memory.saved()
        super().load_state_dict({name: x for name, x in state.items() if name not in own})
        self._memory = memory

    def explain_step(self, parameter: Tensor, index: Any = None) -> Printed:
        """Print what the last step did to one number of a parameter; returns the text.

        Each of its iterations moved it by t d. `index` says which number: by default the one that
        changed the most. Of all the d together, 65,536 numbers are kept.

        >>> w = Tensor(np.array([1.0, 3.0]), requires_grad=True, name="w")
        >>> optimizer = LBFGS(w)
        >>> loss = optimizer.minimize(lambda: (w * w).sum())
        >>> text = optimizer.explain_step(w, index=1)
        LBFGS, step 1, w[1]:
            g               6.0
            loss            10.0 -> 0.0
            evaluations     3
            iteration 1     t = 0.125, d = -6.0
            iteration 2     t = 1.0, d = -2.25
            theta           3.0 -> 0.0
            change          -3.0
        by the rule
            s, y = the last move, and how g changed; if s y > 1e-10, one of 100 pairs
            q = -g; for each pair, from the newest on: a = s q / s y, q -= a y
            d = q s y / y y; for each pair, from the oldest on: d += (a - y d / s y) s
            t = 1; in the very first iteration 1 min(1, 1 / sum|g|)
            t = searched for from there on, until low and flat enough
            theta += t d; and again, until max|g| <= 1e-07, at most 20 times
        """
        part, i = _place(self, parameter)
        name, last = type(self).__name__, self._last
        if last is None:
            raise RuntimeError(f"{name}.explain_step: no step to explain yet; take one.")

        def cut(v: Array) -> Array:
            return v[part.arena.stretches[i]].reshape(parameter.shape)

        change = cut(last.after) - cut(last.before)
        index = _index(index, change)
        rows = {
            "g": cut(last.start.g)[index],
            "loss": f"{last.start.f} -> {'not computed' if math.isnan(last.f) else last.f}",
            "evaluations": last.looks,
        }
        for k, (t, d) in enumerate(last.moves, 1):
            rows[f"iteration {k}"] = f"t = {t}, d = {'not kept' if d is None else cut(d)[index]}"
        rows["theta"] = f"{cut(last.before)[index]} -> {cut(last.after)[index]}"
        rows["change"] = change[index]
        lines = [f"{name}, step {last.number}, {_title(parameter, index)}:"]
        lines += [f"    {key:<16}{value}" for key, value in rows.items()]
        return Printed(
            "\n".join([*lines, "by the rule", *("    " + x for x in lines_of(self, ()))])
        )


Move = tuple[float, "Array | None"]  # t and d of an iteration, d only where it is little


class Last(NamedTuple):
    """The last step, for `explain_step`."""

    number: int
    before: Array  # x
    after: Array
    start: Point
    f: float  # the loss at the end; nan if nobody looked
    looks: int
    moves: list[Move]


# ---------------------------------------------------------------- which way


class Pair(NamedTuple):
    """A move s, how it changed the gradient, y, and their products."""

    s: Array
    y: Array
    sy: float
    yy: float

    @classmethod
    def of(cls, s: Array, y: Array) -> Pair:
        return cls(s, y, dot(s, y), dot(y, y))

    @property
    def bent_upwards(self) -> bool:
        """Did it get steeper on the way? Only such ground has a lowest place to tell of."""
        return 1e-10 < self.sy < math.inf and 0 < self.yy < math.inf


def direction(g: Array, history: tuple[Pair, ...]) -> Array:
    """-(1/B) g, as far as the pairs of the history, the oldest first, know B: the two loops.

    The first takes out of q what the pairs know, the newest first; the second puts in what that is
    worth in moves, the oldest first. For what no pair knows, 1/B is a number, that of the newest.

    >>> s, y = np.array([1.0, 1.0]), np.array([2.0, 4.0])
    >>> direction(y, (Pair.of(s, y),))
    array([-1., -1.])
    """
    q, shares = -g, []
    for s, y, sy, _ in reversed(history):
        shares.append(dot(s, q) / sy)
        q -= shares[-1] * y
    d = q * (history[-1].sy / history[-1].yy) if history else q
    for (s, y, sy, _), share in zip(history, reversed(shares), strict=True):
        d += (share - dot(y, d) / sy) * s
    return d


class Memory(NamedTuple):
    """What iterations leave to those after them, also to those of the next step."""

    s: Array  # the last move ...
    g: Array  # ... and the gradient before it
    history: tuple[Pair, ...] = ()  # the oldest first
    k: int = 0  # how many iterations there were
    evaluations: int = 0

    def with_pair(self, g: Array, most: int) -> Memory:
        """The last move and what it did to g are a pair, if the ground bends upwards there."""
        pair = Pair.of(self.s, g - self.g)
        return self._replace(history=(*self.history, pair)[-most:]) if pair.bent_upwards else self

    def saved(self) -> dict[str, Any]:
        """All of it by name, as copies."""
        shape = (len(self.history), self.s.size)
        return {
            "k": self.k,
            "evaluations": self.evaluations,
            "s": self.s.copy(),
            "g": self.g.copy(),
            "history.s": np.array([pair.s for pair in self.history], self.s.dtype).reshape(shape),
            "history.y": np.array([pair.y for pair in self.history], self.s.dtype).reshape(shape),
        }

    def loaded(self, state: Mapping[str, Any]) -> Memory:
        """What was saved of such a memory; ValueError for anything else."""
        given = {name: np.asarray(state.get(name)) for name in self.saved()}
        n, pairs = self.s.shape, given["history.s"].shape[:1]
        shapes = {"s": n, "g": n, "history.s": pairs + n, "history.y": pairs + n}

        def fits(name: str, v: Array) -> bool:
            if v.shape != shapes.get(name, ()) or v.dtype.kind not in "fiu":
                return False
            return bool(np.isfinite(v).all() and (name in shapes or (v >= 0 and v % 1 == 0)))

        if odd := [name for name, v in given.items() if not fits(name, v)]:
            raise ValueError(f"{', '.join(odd)} missing, of another shape, or not possible.")
        s, g, moves, turns = (given[name].astype(self.s.dtype) for name in shapes)
        history = tuple(Pair.of(*pair) for pair in zip(moves, turns, strict=True))
        if not all(pair.bent_upwards for pair in history):
            raise ValueError("history.s and history.y are no pairs.")
        return Memory(s, g, history, int(given["k"]), int(given["evaluations"]))


# ---------------------------------------------------------------- the ground


class Ground:
    """What is walked on: the loss, as a function of all parameters as one vector x."""

    def __init__(
        self, closure: Callable[[], Any], arena: Arena, gather: Callable[[], list[int]]
    ) -> None:
        self.closure, self.arena, self.gather = closure, arena, gather
        self.x = arena.data
        self.looks = 0
        self.loss: Any = None  # what the closure returned first
        self.still: list[int] = []  # the tensors that stay as they are: frozen, or not in the loss

    def look(self) -> Point:
        """The loss and its gradient here, where t is 0; what slope that is, no d has said."""
        loss = self.closure()
        f = np.asarray(plain(loss))
        if f.size != 1 or f.dtype.kind not in "fiu":
            raise TypeError(f"LBFGS.step: the closure returned {loss!r}; let it return the loss.")
        if self.looks == 0:
            self.loss = loss
        self.looks += 1
        self.still = self.gather()
        return Point(0.0, float(f.item()), self.held(self.arena.grad.copy()), math.nan)

    def at(self, x: Array, d: Array, t: float) -> Point:
        """Go to x + t d, and look. Where something is not finite, it is infinitely high."""
        self.put(x + t * d)
        _, f, g, _ = self.look()
        slope = dot(g, d)  # finite only if all of g is
        return Point(t, f if math.isfinite(f) and math.isfinite(slope) else math.inf, g, slope)

    def held(self, v: Array) -> Array:
        """v, with zeros for what stays as it is."""
        for i in self.still:
            v[self.arena.stretches[i]] = 0
        return v

    def put(self, x: Array) -> None:
        """Make x the parameters."""
        self.x[...] = x
        self.arena.written()


def dot(a: Array, b: Array) -> float:
    return float(np.vdot(a, b))


def largest(v: Array) -> float:
    return float(np.abs(v).max(initial=0))


def _whole(what: str, x: Any) -> int:
    """A whole number from 1 on."""
    x = number(what, x)
    if x < 1 or x % 1:
        raise ValueError(f"{what}={x!r} must be a whole number of at least 1.")
    return int(x)
