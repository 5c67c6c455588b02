"""Losses of numbers: how far a prediction is from what it should be.

In all formulas p is the prediction, y the target, d = p - y. With reduction="none" there is one
loss per entry (of `cosine_similarity`, per vector).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.losses.shared import Target, paired, reduced, refuse_where
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "mean_squared_error", "mean_absolute_error", "huber", "log_cosh",
    "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "poisson",
    "cosine_similarity",
]  # fmt: skip

EPSILON = 1e-7  # Keras's smallest denominator


# ---------------------------------------------------------------- distances


def mean_squared_error(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of d^2. Its best constant guess is the mean of the targets.

    >>> mean_squared_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(2.)
    """
    p, y = paired("mean_squared_error", prediction, target)
    d = p - y
    return reduced("mean_squared_error", d * d, reduction, y)


def mean_absolute_error(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of |d|. Its best constant guess is the median: a few wild targets move it little.

    At d = 0 the gradient is 0.

    >>> mean_absolute_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(1.)
    """
    p, y = paired("mean_absolute_error", prediction, target)
    return reduced("mean_absolute_error", abs(p - y), reduction, y)


def huber(
    prediction: Tensor, target: Target, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """The mean of d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2).

    Square near the target, straight far from it: the gradient is d, cut off at -delta and delta.
    Huber 1964, "Robust estimation of a location parameter".

    >>> huber(Tensor([0.5, 3.0]), [0.0, 0.0], reduction="none")
    Tensor([0.125, 2.5  ])
    """
    if not delta > 0:
        raise ValueError(f"huber: delta={delta}; give a number above 0.")
    p, y = paired("huber", prediction, target)
    d = p - y
    c = ops.clip(d, -delta, delta)
    return reduced("huber", c * (d - c / 2), reduction, y)  # both pieces at once


def log_cosh(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of log(cosh d): d^2 / 2 near 0, |d| - log 2 far away, and smooth everywhere.

    As in Keras, but exact near 0, where a sum of logarithms would lose its digits.

    >>> log_cosh(Tensor([0.0, 1000.0]), [0.0, 0.0], reduction="none").round(2)
    Tensor([  0.  , 999.31])
    """
    p, y = paired("log_cosh", prediction, target)
    return reduced("log_cosh", _log_cosh(p - y), reduction, y)


@differentiable
def _log_cosh(d: Any) -> Any:
    """z = log(cosh d)        dd = g tanh d"""
    size = np.abs(d)
    near = np.log1p(2 * np.sinh(np.minimum(size, 1) / 2) ** 2)  # cosh d = 1 + 2 sinh^2(d / 2)
    far = size + np.log1p(np.exp(-2 * size)) - math.log(2)  # never overflows
    return np.where(size < 1, near, far), lambda g: g * np.tanh(d)


# ---------------------------------------------------------------- relative to the target


def mean_absolute_percentage_error(
    prediction: Tensor, target: Target, reduction: str = "mean"
) -> Tensor:
    """The mean of 100 |d| / |y|, where |y| counts as at least 1e-7, as in Keras.

    >>> mean_absolute_percentage_error(Tensor([90.0, 2.0]), [100.0, 1.0])
    Tensor(55.)
    """
    p, y = paired("mean_absolute_percentage_error", prediction, target)
    each = 100 * abs(p - y) / ops.maximum(abs(y), EPSILON)
    return reduced("mean_absolute_percentage_error", each, reduction, y)


def mean_squared_logarithmic_error(
    prediction: Tensor, target: Target, reduction: str = "mean"
) -> Tensor:
    """The mean of (log(1 + p) - log(1 + y))^2: ratios count, not differences.

    For targets from 0 up. p and y count as at least 1e-7, as in Keras: below, the gradient is 0.

    >>> mean_squared_logarithmic_error(Tensor([9.0, 99.0]), [99.0, 999.0], "none").round(2)
    Tensor([5.3, 5.3])
    """
    name = "mean_squared_logarithmic_error"
    p, y = paired(name, prediction, target)
    _refuse_negative(name, y)
    d = ops.log1p(ops.maximum(p, EPSILON)) - ops.log1p(ops.maximum(y, EPSILON))
    return reduced(name, d * d, reduction, y)


# ---------------------------------------------------------------- counts


def poisson(
    prediction: Tensor,
    target: Target,
    reduction: str = "mean",
    log_input: bool = False,
    epsilon: float = 1e-8,
) -> Tensor:
    """The mean of p - y log(p + epsilon): how improbable the count y is where p is expected.

    -log of Poisson's law e^-p p^y / y! without the log(y!) that no prediction changes. With
    `log_input=True` the prediction is log p, any number: e^prediction - y prediction, which needs
    no epsilon. PyTorch's numbers are those of epsilon=1e-8, Keras's of epsilon=1e-7.

    >>> poisson(Tensor([2.0]), [0.0]).item()
    2.0
    """
    p, y = paired("poisson", prediction, target)
    _refuse_negative("poisson", y)
    if log_input:
        return reduced("poisson", ops.exp(p) - y * p, reduction, y)
    remedy = "is below 0, no rate; for logarithms of rates pass log_input=True."
    refuse_where(p.data < 0, "poisson", "prediction", p.data, remedy)
    return reduced("poisson", p - y * ops.log(p + epsilon), reduction, y)


def _refuse_negative(name: str, target: Any) -> None:
    y = plain(target)
    refuse_where(y < 0, name, "target", y, "is below 0; give numbers from 0 up.")


# ---------------------------------------------------------------- directions


def cosine_similarity(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of -cos(angle between p and y): -1 where they point the same way, 1 where opposite.

    Vectors lie along the last axis; -(p . y) / (|p| |y|), where a length counts as at least 1e-8.
    So a vector of zeros has loss 0. The loss of Keras; PyTorch's function of that name is cos.

    >>> cosine_similarity(Tensor([[1.0, 0.0], [1.0, 0.0]]), [[5.0, 0.0], [0.0, 5.0]], "none")
    Tensor([-1., -0.])
    """
    p, y = paired("cosine_similarity", prediction, target)
    if p.ndim == 0:
        raise ValueError("cosine_similarity: a single number has no direction; give vectors.")
    each = -(_direction(p) * _direction(y)).sum(axis=-1)
    return reduced("cosine_similarity", each, reduction, y)


def _direction(x: Any) -> Any:
    return x / ops.maximum(ops.norm(x, axis=-1, keepdims=True), 1e-8)
