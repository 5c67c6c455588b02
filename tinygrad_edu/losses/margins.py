"""Losses of margins: being right is not enough, by at least 1 it should be.

Scores go in, any numbers. What is right by more than the margin costs nothing and gets no gradient;
neither does what stands exactly at the margin.
"""

from __future__ import annotations

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.losses.shared import (
    Target,
    constant,
    floating,
    onehot,
    paired,
    reduced,
    refuse_where,
)
from tinygrad_edu.tensor import Tensor

__all__ = ["categorical_hinge", "hinge", "squared_hinge"]


def hinge(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of max(0, 1 - y p), where y is -1 or 1; targets 0 and 1 count as such.

    The loss of support vector machines (Cortes & Vapnik 1995), as in Keras.

    >>> hinge(Tensor([2.0, 0.5, -1.0]), [1, 1, 1], reduction="none")
    Tensor([0. , 0.5, 2. ])
    """
    return reduced("hinge", _missing("hinge", prediction, target), reduction)


def squared_hinge(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of max(0, 1 - y p)^2, where y is -1 or 1; targets 0 and 1 count as such.

    >>> squared_hinge(Tensor([2.0, 0.5, -1.0]), [1, 1, 1], reduction="none")
    Tensor([0.  , 0.25, 4.  ])
    """
    missing = _missing("squared_hinge", prediction, target)
    return reduced("squared_hinge", missing * missing, reduction)


def _missing(name: str, prediction: Tensor, target: Target) -> Tensor:
    """What each score lacks to be right by 1."""
    p, y = paired(name, prediction, constant(name, target))
    return ops.relu(1 - p * _signs(name, y))


def _signs(name: str, y: Array) -> Array:
    """-1 and 1, of these or of 0 and 1."""
    known = (y == -1) | (y == 0) | (y == 1)
    refuse_where(~known, name, "target", y, "is not a side; give -1 and 1, or 0 and 1.")
    if (y == -1).any():
        remedy = "stands beside a -1; give -1 and 1, or 0 and 1."
        refuse_where(y == 0, name, "target", y, remedy)
    return np.where(y == 0, -1, y)


def categorical_hinge(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of max(0, 1 + largest of (1 - y) p - sum of y p), y the onehot of the label.

    The true class should have 1 more than the best of the others. `prediction` is
    (batch, classes), `target` labels (batch,) or onehot (batch, classes). As in Keras, the
    0 that (1 - y) leaves of the true class counts among the others.

    >>> categorical_hinge(Tensor([[3.0, 1.0], [1.0, 1.5]]), [0, 0], reduction="none")
    Tensor([0. , 1.5])
    """
    name = "categorical_hinge"
    p, y = floating(prediction), constant(name, target)
    y = onehot(name, y, p) if y.ndim < p.ndim else paired(name, p, y)[1]
    remedy = "is neither 0 nor 1; give labels, or their onehot."
    refuse_where((y != 0) & (y != 1), name, "target", y, remedy)
    refuse_where(y.sum(axis=-1) != 1, name, "the number of ones", y.sum(axis=-1), "is not 1.")
    right = ops.where(y == 1, p, 0).sum(axis=-1)
    best_wrong = ops.where(y == 1, 0, p).max(axis=-1)
    return reduced(name, ops.relu(best_wrong - right + 1), reduction)
