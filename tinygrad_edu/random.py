"""Chance: one default generator, and one way to ask for another.

Everything random in the library takes `rng`: nothing (the default generator), a whole number (a
seed), or a `numpy.random.Generator`. The same seed gives the same bits, and NumPy's own global
generator is never touched.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

__all__ = ["Rng", "as_generator", "manual_seed"]

Rng: TypeAlias = "int | np.random.Generator | None"  # text: NumPy loads np.random when first used

_default: list[np.random.Generator] = []


def manual_seed(seed: int) -> None:
    """Start the default generator again from `seed`.

    >>> manual_seed(7); first = as_generator(None).random()
    >>> manual_seed(7); first == as_generator(None).random()
    True
    """
    _default[:] = [np.random.default_rng(seed)]


def as_generator(rng: Rng = None) -> np.random.Generator:
    """The generator that `rng` means: None is the default one, a whole number a fresh one.

    Without `manual_seed` the default generator starts from the operating system's entropy.
    """
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool):
        return np.random.default_rng(int(rng))
    if rng is not None:
        raise TypeError(
            f"rng: {rng!r} is a {type(rng).__name__}; give a seed (a whole number), "
            "a numpy.random.Generator, or nothing."
        )
    if not _default:
        _default.append(np.random.default_rng())
    return _default[0]
