"""Losses of numbers: how far a prediction is from what it should be."""

from __future__ import annotations

import numpy as np

from tinygrad_edu.losses.shared import Target, paired, reduced
from tinygrad_edu.tensor import Tensor, plain

__all__ = ["mean_squared_error"]


def mean_squared_error(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of (prediction - target)^2; both of one shape.

    >>> mean_squared_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(2.)
    """
    target = paired("mean_squared_error", prediction, target)
    difference = prediction - target
    loss = reduced("mean_squared_error", difference * difference, reduction)
    if np.isnan(loss.data).any() and np.isnan(plain(target)).any():  # looked for only then
        where = np.argwhere(np.isnan(plain(target)))[0].tolist()
        raise ValueError(f"mean_squared_error: target is nan at {where}; clean the data first.")
    return loss
