"""A line search: how far to go in a direction that leads downhill.

From x along d, `strong_wolfe` tries points x + t d until one of them meets Wolfe's two conditions,

    L(t) <= L(0) + C_1 t slope(0)        the slope has kept a little of its promise: not too far
    |slope(t)| <= C_2 |slope(0)|         and is flatter now: not too near

where L(t) is the loss at x + t d and slope(t) its derivative, g d. Source: Nocedal & Wright 2006,
algorithms 3.5 and 3.6; the tries are those of PyTorch's LBFGS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array

__all__ = ["Look", "Point", "strong_wolfe"]

C_1, C_2 = 1e-4, 0.9
CLOSE = 1e-9  # where no number of x differs by more, two points are one


class Point(NamedTuple):
    """A place on the line x + t d: the loss there, its gradient, and the slope along d."""

    t: float
    f: float
    g: Array
    slope: float


Look = Callable[[float], Point]


def strong_wolfe(look: Look, start: Point, t: float, left: int, reach: float) -> Point:
    """A point that meets Wolfe's conditions; else the lower end of where one must lie.

    `look(t)` gives the point at t. After the first, `left` more looks are allowed. `reach` is the
    largest number of d: if t changes by dt, no number of x changes by more than reach dt.
    """
    ends, left = bracket(look, start, t, left)
    return zoom(look, start, ends, left, reach)


def bracket(look: Look, start: Point, t: float, left: int) -> tuple[list[Point], int]:
    """Further and further, until a good point is found, or must lie behind.

    Gives it, or two points that it must lie between; and how many looks are left to find it.
    """
    before, here = start, look(t)
    for n in range(left):
        if too_high(here, start) or (n > 1 and here.f >= before.f):
            return [before, here], left - n
        if flat(here, start):
            return [here], 0
        if here.slope >= 0:
            return [before, here], left - n
        t = cubic(before, here, here.t + 0.01 * (here.t - before.t), 10 * here.t)
        before, here = here, look(t)
    return [start, here], 0


def zoom(look: Look, start: Point, ends: list[Point], left: int, reach: float) -> Point:
    """Nearer and nearer, until a good point is found between the ends, or no look is left."""
    low, slow = lower(ends), False
    for _ in range(left):
        first, last = sorted(end.t for end in ends)
        if (last - first) * reach < CLOSE:
            break
        t, slow = off_the_ends(cubic(ends[0], ends[1], first, last), first, last, slow)
        here = look(t)
        if too_high(here, start) or here.f >= ends[low].f:
            ends[1 - low] = here
            low = lower(ends)
        elif flat(here, start):
            return here
        else:
            if here.slope * (ends[1 - low].t - ends[low].t) >= 0:  # up towards the other end
                ends[1 - low] = ends[low]
            ends[low] = here
    return ends[low]


def too_high(here: Point, start: Point) -> bool:
    """Does it miss Wolfe's first condition?"""
    return here.f > start.f + C_1 * here.t * start.slope


def flat(here: Point, start: Point) -> bool:
    """Does it meet Wolfe's second condition?"""
    return abs(here.slope) <= -C_2 * start.slope


def lower(ends: list[Point]) -> int:
    """Which end is the lower one: the first, if both are."""
    return 0 if ends[0].f <= ends[-1].f else 1


def off_the_ends(t: float, first: float, last: float, slow: bool) -> tuple[float, bool]:
    """t, but not twice in a row near an end, which would be slow. And: is it near one now?"""
    margin = 0.1 * (last - first)
    if min(last - t, t - first) >= margin:
        return t, False
    if first < t < last and not slow:
        return t, True
    return last - margin if last - t < t - first else first + margin, False


def cubic(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points with their slopes is lowest, kept in [low, high].

        c = slope_a + slope_b - 3 (f_b - f_a) / (b - a)
        r = sqrt(c^2 - slope_a slope_b)
        t = b - (b - a) (slope_b + r - c) / (slope_b - slope_a + 2 r)

    The middle, if there is no such place. Source: Nocedal & Wright 2006, (3.59).
    """
    if a.t > b.t:
        a, b = b, a
    with np.errstate(all="ignore"):  # a straight line is lowest at inf
        c = a.slope + b.slope - np.float64(3 * (b.f - a.f)) / (b.t - a.t)
        r = np.sqrt(c * c - a.slope * b.slope)
        t = b.t - (b.t - a.t) * ((b.slope + r - c) / (b.slope - a.slope + 2 * r))
    return (low + high) / 2 if np.isnan(t) else float(min(max(t, low), high))
