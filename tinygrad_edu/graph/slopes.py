"""The derivative of a function of one number, by differences, and how far it can be trusted.

Two things blur a difference: the function bends within the step, which smaller steps mend, and its
values are rounded, which smaller steps make worse. So steps of many sizes are tried; the best of
them says what the slope is, and whether there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["EPSILON", "TOLERANCE", "Slope", "slope"]

TOLERANCE = 1e-6  # what rules and slopes may differ by, as a part of the derivative
EPSILON = float(np.finfo(np.float64).eps)


class Slope(NamedTuple):
    """The derivative in one number, as the differences have it.

    `kind` is "smooth", "kink" (two slopes, which stay apart however small the step) or "unsettled"
    (a jump, an edge, an upright tangent, numbers that are not finite: no slope is to be seen).
    """

    value: float
    below: float  # the slope on the left, ...
    above: float  # ... and on the right
    error: float  # how far the value may be off because the function bends, ...
    noise: float  # ... and because its values are rounded
    kind: str = "smooth"


def slope(
    at: Callable[[float], float], here: float, x: float, rounding: float, scale: float = 0.0
) -> Slope:
    """The derivative of a function at x, where it is `here`; `at(h)` is its value at x + h.

    `rounding` is how far a value may be off, `scale` the size of the derivatives that this one is
    to be compared with: what is small beside it need not be known to many digits.

    >>> round(slope(lambda h: (3 + h) ** 2, here=9.0, x=3.0, rounding=1e-15).value, 9)
    6.0
    """
    tried: list[Slope] = []
    for h in _steps(x):
        now = _differences(at, here, h, rounding)
        if not math.isfinite(now.error):
            continue  # the function is not finite that far out
        tried.append(now)
        size = _size(now, tried[0], scale)
        useless = now.noise <= 8 * rounding / h  # to try smaller steps, which rounding blurs more
        if now.error <= TOLERANCE / 10 * size and now.noise <= TOLERANCE * size:
            break
        if now.error <= now.noise and useless:
            break
    return _judged(tried, scale)


def _steps(x: float) -> Iterator[float]:
    """From a thousandth downwards, of 1 or of x if that is larger; then, for a tiny x, of x.

    They are powers of two, so that x + h is exact.
    """
    if not math.isfinite(x):
        return
    near = math.ldexp(0.5, math.frexp(x)[1])  # the power of two below x
    yield from (max(1.0, near) * 2.0**-k for k in range(10, 35, 3))
    yield from (h for k in range(10, 20, 3) if 1e-300 < (h := near * 2.0**-k) < 2.0**-34)


def _size(now: Slope, first: Slope, scale: float) -> float:
    """What an error is to be seen beside; where the slope is 0, the slopes a step away."""
    return max(abs(now.value), abs(first.below), abs(first.above), scale)


def _judged(tried: list[Slope], scale: float) -> Slope:
    """The best of the slopes, and of what kind it is."""
    if not tried:
        return Slope(math.nan, math.nan, math.nan, math.inf, math.inf, "unsettled")
    best = min(tried, key=lambda one: one.error + one.noise)
    if best.error <= 10 * TOLERANCE * _size(best, tried[0], scale) + 2 * best.noise:
        return best
    clear = [one for one in tried if abs(one.above - one.below) > 10 * one.noise]
    if len(clear) > 1:
        wide, narrow = (one.above - one.below for one in clear[-2:])
        if 2 / 3 < narrow / wide < 3 / 2:  # of a smooth function it would be a 64th
            return clear[-1]._replace(kind="kink")
    return best._replace(kind="unsettled")


def _differences(at: Callable[[float], float], here: float, h: float, rounding: float) -> Slope:
    """The slope from steps of h and h / 2 to both sides.

    Central differences are off by a multiple of h^2, so four times that of h / 2 less that of h,
    divided by three, is off by h^4 only. The slopes to both sides differ by a multiple of h; what
    is left of that when h tends to 0 is a kink. Rounding by r blurs the value by at most 3 r / h,
    and the distance between the two sides by 20 r / h.
    """
    values = [at(k) for k in (h, -h, h / 2, -h / 2)]
    sides = [(y - here) / k for y, k in zip(values, (h, -h, h / 2, -h / 2), strict=True)]
    wide, narrow = (sides[0] + sides[1]) / 2, (sides[2] + sides[3]) / 2
    value = (4 * narrow - wide) / 3
    below, above = 2 * sides[3] - sides[1], 2 * sides[2] - sides[0]
    noise = 4 * (rounding + EPSILON * max(map(abs, values))) / h
    error = max(abs(value - narrow), abs(above - below) - 5 * noise)
    finite = all(map(math.isfinite, (value, below, above, noise)))
    return Slope(value, below, above, error if finite else math.inf, noise)
