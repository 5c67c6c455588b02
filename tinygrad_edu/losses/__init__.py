"""Losses: how wrong, as one number.

Every loss is a function `(prediction, target, reduction="mean")`; "sum" and "none" are the other
reductions. Two shapes that would broadcast against each other are refused: (8,) against (8, 1)
would quietly compare all with all.

    numbers.py          how far a prediction is from what it should be
    classes.py          how improbable the truth seemed, to scores of any size
    probabilities.py    the same, to probabilities
    margins.py          being right is not enough, by at least 1 it should be
    shared.py           what all share: a look at shapes and values, the reduction to one number
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tinygrad_edu.losses.classes import binary_cross_entropy_with_logits, cross_entropy, nll
from tinygrad_edu.losses.margins import categorical_hinge, hinge, squared_hinge
from tinygrad_edu.losses.numbers import (
    cosine_similarity,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
)
from tinygrad_edu.losses.probabilities import (
    binary_cross_entropy,
    binary_crossentropy,
    categorical_crossentropy,
    kl_divergence,
    sparse_categorical_crossentropy,
)
from tinygrad_edu.tensor import Tensor

__all__ = [
    "mean_squared_error", "mean_absolute_error", "huber", "log_cosh",
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson",
    "cosine_similarity", "cross_entropy", "nll", "binary_cross_entropy_with_logits",
    "binary_cross_entropy", "binary_crossentropy", "categorical_crossentropy",
    "sparse_categorical_crossentropy", "kl_divergence", "hinge", "squared_hinge",
    "categorical_hinge", "get",
]  # fmt: skip

_BY_NAME: dict[str, Callable[..., Tensor]] = {
    **{name: globals()[name] for name in __all__ if name != "get"},
    "mse": mean_squared_error,
    "mae": mean_absolute_error,
    "mape": mean_absolute_percentage_error,
    "msle": mean_squared_logarithmic_error,
    "huber_loss": huber,
    "logcosh": log_cosh,
    "cosine_proximity": cosine_similarity,
    "cosine": cosine_similarity,
    "bce": binary_crossentropy,
    "kullback_leibler_divergence": kl_divergence,
    "kld": kl_divergence,
}


def get(name: str | Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The loss of that name, Keras's names included; a function is passed on.

    "categorical_crossentropy", "sparse_categorical_crossentropy" and "binary_crossentropy" take
    probabilities, as in Keras; "cross_entropy" and "binary_cross_entropy_with_logits" take logits.

    >>> get("mse") is mean_squared_error
    True
    """
    if callable(name):
        return name
    known = _BY_NAME.get(name.lower()) if isinstance(name, str) else None
    if known is None:
        raise ValueError(f"losses: there is no {name!r}; there are {', '.join(_BY_NAME)}.")
    return known


def __getattr__(name: str) -> Any:
    hint = import_module("tinygrad_edu.elsewhere").hint(name)
    raise AttributeError(f"module 'tinygrad_edu.losses' has no attribute {name!r}{hint}")
