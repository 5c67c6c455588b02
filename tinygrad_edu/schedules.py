"""Schedules: how the learning rate changes.

A schedule is a function of the number of steps taken: t -> rate. Any callable will do; here are the
usual ones. An optimizer asks before each step, with t = 0, 1, 2... Each class states its settings
and its maths, `rate`; what they share is in `Schedule`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar, SupportsFloat

import numpy as np

__all__ = [
    "StepDecay", "PiecewiseConstant", "ExponentialDecay", "InverseTimeDecay", "PolynomialDecay",
    "CosineDecay", "CosineRestarts", "OneCycle", "LinearWarmup", "ReduceOnPlateau", "Schedule",
]  # fmt: skip


class Schedule:
    """What all schedules share: everything but the formula.

    Most have no state: they cannot change, `observe` does nothing, `state_dict` is empty.
    """

    _state: ClassVar[tuple[str, ...]] = ()  # the attributes that change

    def __post_init__(self) -> None:
        self._take(vars(self))

    def __call__(self, t: int | np.integer[Any]) -> float:
        """The rate after t steps; TypeError if t is no whole number, ValueError if negative."""
        whole = _checked(type(self).__name__, "t", t)
        return float(self.rate(whole))  # a NumPy float64 would turn float32 gradients into float64

    def rate(self, t: int) -> float:
        """The formula: what a subclass states."""
        raise NotImplementedError(f"{type(self).__name__}: write rate(self, t).")

    def observe(self, value: SupportsFloat) -> None:
        """Take note of the loss or score of an epoch."""

    def state_dict(self) -> dict[str, float]:
        """All that a resumed run needs, as plain numbers."""
        return {name: getattr(self, name) for name in self._state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; ValueError, and nothing changed, if it does not fit."""
        try:
            if odd := sorted(map(str, state.keys() ^ set(self._state))):
                raise ValueError(f"{type(self).__name__}: {', '.join(odd)} missing or unknown.")
            self._take(state)
        except (TypeError, ValueError) as error:
            raise ValueError(f"Nothing was loaded. {error}") from None

    def _take(self, values: Mapping[str, Any]) -> None:
        """Keep the values as plain numbers, if all are sensible."""
        owner = type(self).__name__
        vars(self).update({name: _checked(owner, name, value) for name, value in values.items()})


# ---------------------------------------------------------------- down the stairs


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Every `step_size` steps, the rate is multiplied by gamma. PyTorch calls it StepLR.

        rate = lr * gamma^floor(t / step_size)

    >>> [round(StepDecay(0.1, step_size=30)(t), 6) for t in (0, 29, 30, 60)]
    [0.1, 0.1, 0.01, 0.001]
    """

    lr: float
    step_size: int
    gamma: float = 0.1

    def rate(self, t: int) -> float:
        return self.lr * self.gamma ** (t // self.step_size)


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """A rate for every stretch: values[0] up to and with t = boundaries[0], and so on.

        rate = values[i],   i = the number of boundaries below t

    >>> schedule = PiecewiseConstant(boundaries=[100, 200], values=[0.1, 0.05, 0.01])
    >>> [schedule(t) for t in (0, 100, 101, 200, 201)]
    [0.1, 0.1, 0.05, 0.05, 0.01]
    """

    boundaries: Sequence[int]
    values: Sequence[float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(a >= b for a, b in pairwise(self.boundaries)):
            raise ValueError(f"PiecewiseConstant: boundaries={self.boundaries} must increase.")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"PiecewiseConstant: values={self.values} for boundaries={self.boundaries}: there "
                "must be one value more than boundaries."
            )

    def rate(self, t: int) -> float:
        return self.values[bisect_left(self.boundaries, t)]


# ---------------------------------------------------------------- down a slope


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """Every `decay_steps` steps make a factor of `decay_rate`, and each step its share of it.

        rate = lr * decay_rate^p,   p = t / decay_steps; with `staircase`, rounded down

    >>> round(ExponentialDecay(0.1, decay_steps=100, decay_rate=0.25)(50), 6)
    0.05
    """

    lr: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def rate(self, t: int) -> float:
        p = t // self.decay_steps if self.staircase else t / self.decay_steps
        return self.lr * self.decay_rate**p


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """The rate falls as one over the time: soon at first, then ever slower (Robbins & Monro 1951).

        rate = lr / (1 + decay_rate * p),   p = t / decay_steps; with `staircase`, rounded down

    >>> round(InverseTimeDecay(0.1, decay_steps=100, decay_rate=1.0)(300), 6)
    0.025
    """

    lr: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def rate(self, t: int) -> float:
        p = t // self.decay_steps if self.staircase else t / self.decay_steps
        return self.lr / (1 + self.decay_rate * p)


@dataclass(frozen=True)
class PolynomialDecay(Schedule):
    """From `lr` to `end_lr` along a power of the time left; with power 1, a straight line.

        rate = end_lr + (lr - end_lr) * (1 - p)^power,   p = t / decay_steps, at most 1

    With `cycle`, there is always time left: past `decay_steps`, its next multiple stands in for it.
    So the rate jumps up at every multiple, each time less high.

    >>> round(PolynomialDecay(0.1, decay_steps=100, end_lr=0.0)(75), 6)
    0.025
    """

    lr: float
    decay_steps: int
    end_lr: float = 0.0001
    power: float = 1.0
    cycle: bool = False

    def rate(self, t: int) -> float:
        rounds = max(1, math.ceil(t / self.decay_steps)) if self.cycle else 1
        p = min(1.0, t / (rounds * self.decay_steps))
        return self.end_lr + (self.lr - self.end_lr) * (1 - p) ** self.power


# ---------------------------------------------------------------- along a cosine


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """From `lr` to alpha * lr along half a cosine wave (Loshchilov & Hutter 2017).

        rate = low + (lr - low) * (1 + cos(pi p)) / 2,   p = t / decay_steps, at most 1
        low = alpha * lr

    >>> [round(CosineDecay(0.1, decay_steps=100)(t), 6) for t in (0, 50, 100, 1000)]
    [0.1, 0.05, 0.0, 0.0]
    """

    lr: float
    decay_steps: int
    alpha: float = 0.0

    def rate(self, t: int) -> float:
        return _half_wave(self.lr, self.alpha * self.lr, min(1.0, t / self.decay_steps))


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """A cosine decay that starts again each time it is down (Loshchilov & Hutter 2017).

        rate = low + (lr - low) * m_mul^i * (1 + cos(pi p)) / 2,   low = alpha * lr

    i is the number of restarts, p the part of this run that is over. The first run takes
    `first_decay_steps`, every other t_mul times as many as the one before, and t_mul is at least 1.

    >>> [round(CosineRestarts(0.1, first_decay_steps=10)(t), 6) for t in (0, 5, 10, 20, 30)]
    [0.1, 0.05, 0.1, 0.05, 0.1]
    """

    lr: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def rate(self, t: int) -> float:
        i, over, length = 0, float(t), float(self.first_decay_steps)
        if self.t_mul == 1:  # there may be very many runs: count them at once
            i, over = t // self.first_decay_steps, t % self.first_decay_steps
        while over >= length:
            i, over, length = i + 1, over - length, length * self.t_mul
        low = self.alpha * self.lr
        return _half_wave(low + (self.lr - low) * self.m_mul**i, low, over / length)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up to `max_lr`, then down to next to nothing, each along half a cosine wave.

        t = 0                             rate = first = max_lr / div_factor
        t = pct_start * total_steps - 1   rate = max_lr
        t = total_steps - 1               rate = first / final_div_factor, the lowest

    Later, it stays at the lowest. These are the numbers of PyTorch's OneCycleLR with two phases.
    Source: Smith & Topin 2018.

    >>> [round(OneCycle(0.1, total_steps=10)(t), 6) for t in (0, 1, 2, 9, 1000)]
    [0.004, 0.052, 0.1, 0.0, 0.0]
    """

    max_lr: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4

    def rate(self, t: int) -> float:
        first = self.max_lr / self.div_factor
        top, end = self.pct_start * self.total_steps - 1, self.total_steps - 1
        t = min(t, end)
        if t <= top:
            return _half_wave(first, self.max_lr, t / top if top else 1.0)
        return _half_wave(self.max_lr, first / self.final_div_factor, (t - top) / (end - top))


def _half_wave(start: float, end: float, p: float) -> float:
    """From start to end as p goes from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * p)) / 2


# ---------------------------------------------------------------- before another one


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """A straight line from the rate `start` to that of `then`, which goes on (Goyal et al. 2017).

        rate = start + (then(0) - start) * t / steps     while t < steps
               then(t - steps)                           from there on

    `then` is a rate, or any schedule. It hears what is observed, and its state is the only one.

    >>> schedule = LinearWarmup(10, CosineDecay(0.1, 100))
    >>> [round(schedule(t), 6) for t in (0, 5, 10, 60, 110)]
    [0.0, 0.05, 0.1, 0.05, 0.0]
    """

    steps: int
    then: float | Callable[[int], float]
    start: float = 0.0

    def rate(self, t: int) -> float:
        if t < self.steps:
            return self.start + (self._after(0) - self.start) * t / self.steps
        return self._after(t - self.steps)

    def _after(self, t: int) -> float:
        return self.then(t) if callable(self.then) else self.then

    def observe(self, value: SupportsFloat) -> None:
        self._listener().observe(value)

    def state_dict(self) -> dict[str, float]:
        return self._listener().state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._listener().load_state_dict(state)

    def _listener(self) -> Schedule:
        return self.then if isinstance(self.then, Schedule) else Schedule()


# ---------------------------------------------------------------- by what is observed


@dataclass
class ReduceOnPlateau(Schedule):
    """When the loss stops falling, the rate is multiplied by `factor`.

        lr = max(lr * factor, min_lr)   after more than `patience` bad epochs in a row

    Tell it the loss of every epoch: `observe(loss)`. An epoch is bad if its loss is not below
    best * (1 - threshold), so nan is bad. With mode="max" it is a score, and must be above
    best * (1 + threshold). No epoch is bad in the `cooldown` epochs after a cut. `lr` is the rate
    now, whatever t is. The arithmetic is that of PyTorch's ReduceLROnPlateau.

    >>> schedule = ReduceOnPlateau(0.1, factor=0.5, patience=1)
    >>> for loss in (1.0, 0.9, 0.9, 0.9):
    ...     schedule.observe(loss)
    >>> schedule(0), schedule.best
    (0.05, 0.9)
    """

    lr: float
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    min_lr: float = 0.0
    mode: str = "min"

    best: float = field(init=False, repr=False)
    bad_epochs: int = field(default=0, init=False, repr=False)
    cooldown_left: int = field(default=0, init=False, repr=False)
    _state = ("lr", "best", "bad_epochs", "cooldown_left")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_lr > self.lr:
            raise ValueError(f"ReduceOnPlateau: min_lr={self.min_lr} is above lr={self.lr}.")
        self.best = math.inf if self.mode == "min" else -math.inf

    def rate(self, t: int) -> float:
        return self.lr

    def observe(self, value: SupportsFloat) -> None:
        value = float(value)
        if self._is_better(value):
            self.best, self.bad_epochs = value, 0
        else:
            self.bad_epochs += 1
        if self.cooldown_left:
            self.cooldown_left, self.bad_epochs = self.cooldown_left - 1, 0
        if self.bad_epochs > self.patience:
            self.cooldown_left, self.bad_epochs = self.cooldown, 0
            lower = max(self.lr * self.factor, self.min_lr)
            if self.lr - lower > 1e-8:  # as in PyTorch: a smaller cut is none
                self.lr = lower

    def _is_better(self, value: float) -> bool:
        if self.mode == "min":
            return value < self.best * (1 - self.threshold)
        return value > self.best * (1 + self.threshold)


# ---------------------------------------------------------------- which settings make sense

_INF = math.inf
_RULES: list[tuple[str, type, Callable[[Any], bool], str]] = [
    ("lr max_lr end_lr min_lr start then", float, lambda x: 0 <= x < _INF, "finite and at least 0"),
    ("values[] threshold", float, lambda x: 0 <= x < _INF, "finite and at least 0"),
    ("decay_rate power m_mul", float, lambda x: 0 < x < _INF, "finite and above 0"),
    ("t_mul div_factor final_div_factor", float, lambda x: 1 <= x < _INF, "finite and at least 1"),
    ("alpha pct_start", float, lambda x: 0 <= x <= 1, "in [0, 1]"),
    ("gamma", float, lambda x: 0 < x <= 1, "in (0, 1]"),
    ("factor", float, lambda x: 0 < x < 1, "in (0, 1)"),
    ("best", float, lambda x: not math.isnan(x), "a number"),
    ("steps total_steps decay_steps first_decay_steps step_size", int, lambda n: n >= 1, "above 0"),
    ("boundaries[] patience bad_epochs", int, lambda n: n >= 0, "at least 0"),
    ("t cooldown cooldown_left", int, lambda n: n >= 0, "at least 0"),
    ("staircase cycle", bool, lambda x: True, "True or False"),
    ("mode", str, lambda x: x in ("min", "max"), "'min' or 'max'"),
]
_RULE = {name: rule for rule in _RULES for name in rule[0].split()}
_KINDS: dict[type, tuple[Any, str]] = {float: (Real, "number"), int: (Integral, "whole number")}


def _checked(owner: str, name: str, value: Any) -> Any:
    """The setting as a plain Python value, or an error that names it."""
    if f"{name}[]" in _RULE:
        if not isinstance(value, (list, tuple, np.ndarray)):
            raise TypeError(f"{owner}: {name}={value!r} is no list of numbers.")
        return tuple(_checked(owner, f"{name}[]", entry) for entry in value)
    if name not in _RULE or (name == "then" and callable(value)):
        return value
    _, kind, fits, words = _RULE[name]
    if isinstance(value, np.ndarray):
        value = value[()]  # the number, if it has no axes: files give numbers back like that
    known, called = _KINDS.get(kind, (kind, kind.__name__))
    if not isinstance(value, known) or isinstance(value, bool) != (kind is bool):
        raise TypeError(f"{owner}: {name}={value!r} is no {called}.")
    if not fits(value := kind(value)):
        raise ValueError(f"{owner}: {name}={value!r} must be {words}.")
    return value
