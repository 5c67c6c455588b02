"""What a layer is given: sizes that are checked, and the parameters it starts with."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu import initializers
from tinygrad_edu.initializers import Initializer
from tinygrad_edu.random import Rng
from tinygrad_edu.tensor import Tensor

__all__ = ["new_parameter", "share", "whole", "whole_each"]


def whole(what: str, value: Any, least: int = 1) -> int:
    """`value` as a whole number of at least `least`; `what` names layer and argument.

    >>> whole("Linear: inputs", 3)
    3
    >>> whole("Linear: inputs", 3.0)
    Traceback (most recent call last):
    TypeError: Linear: inputs=3.0 is no whole number; give one of at least 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what}={value!r} is no whole number; give one of at least {least}.")
    if value < least:
        raise ValueError(f"{what}={value!r} is too small; give a whole number of at least {least}.")
    return int(value)


def whole_each(what: str, value: Any, n: int, least: int = 1) -> tuple[int, ...]:
    """A whole number for each of n axes, from one number or n of them.

    >>> whole_each("Conv2d: size", 3, 2), whole_each("Conv2d: size", (5, 3), 2)
    ((3, 3), (5, 3))
    """
    each = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(each) != n:
        raise ValueError(f"{what}={value!r} has {len(each)} numbers; give one, or {n} of them.")
    return tuple(whole(what, k, least) for k in each)


def share(what: str, value: Any, one: bool = True) -> float:
    """`value` as a number from 0 to 1; 1 itself only with `one`."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what}={value!r} is no number.")
    if not 0 <= value <= 1 or (value == 1 and not one):
        raise ValueError(f"{what}={value!r} is not in [0, 1{']' if one else ')'}.")
    return float(value) if isinstance(value, np.generic) else value


def new_parameter(
    what: str, shape: tuple[int, ...], init: str | Initializer, rng: Rng = None
) -> Tensor:
    """A parameter of that shape, as its initializer (a name or a function) makes it."""
    numbers = initializers.get(init)(shape, rng=rng)
    if np.shape(numbers) != shape:
        raise ValueError(f"{what}: its initializer made {np.shape(numbers)}, not {shape}.")
    return Tensor(numbers, requires_grad=True)
