"""Losses: how wrong, as one number.

Every loss is a function `(prediction, target, reduction="mean")`. Two shapes that would broadcast
against each other are refused: (8,) against (8, 1) would quietly compare all with all.

    numbers.py    how far a prediction is from what it should be
    classes.py    how improbable the truth seemed
    shared.py     what all of them share: a look at the shapes, the reduction to one number
"""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_edu.losses.classes import binary_cross_entropy_with_logits, cross_entropy
from tinygrad_edu.losses.numbers import mean_squared_error
from tinygrad_edu.tensor import Tensor

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy", "get", "mean_squared_error"]

_BY_NAME: dict[str, Callable[..., Tensor]] = {
    "mse": mean_squared_error,
    "mean_squared_error": mean_squared_error,
    "cross_entropy": cross_entropy,
    "categorical_crossentropy": cross_entropy,
    "sparse_categorical_crossentropy": cross_entropy,
    "binary_cross_entropy_with_logits": binary_cross_entropy_with_logits,
}


def get(name: str | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss of that name, Keras's names included; a function is passed on.

    >>> get("mse") is mean_squared_error
    True
    """
    if callable(name):
        return name
    if name not in _BY_NAME:
        raise ValueError(f"losses: there is no {name!r}; there are {', '.join(_BY_NAME)}.")
    return _BY_NAME[name]
