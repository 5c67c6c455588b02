"""What all losses share: a look at both shapes, and the reduction to one number."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.tensor import Tensor, plain

Target = Any  # a Tensor, an array or a list of numbers


def paired(name: str, prediction: Tensor, target: Target) -> Any:
    """The target in the prediction's dtype, after a look at both shapes."""
    if not isinstance(target, Tensor):
        target = np.asarray(target, dtype=np.asarray(plain(prediction)).dtype)
    if np.shape(target) != np.shape(prediction):
        raise ValueError(
            f"{name}: prediction has shape {np.shape(prediction)}, target {np.shape(target)}; they "
            "must be equal. Reshape one, for instance prediction.squeeze(-1) or target[:, None]."
        )
    return target


def reduced(name: str, each: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return each
    if reduction == "sum":
        return each.sum()
    if reduction != "mean":
        raise ValueError(f"{name}: reduction={reduction!r}; it is 'mean', 'sum' or 'none'.")
    if each.size == 0:
        raise ValueError(f"{name}: the mean of a loss of shape {each.shape}: the batch is empty.")
    return each.mean()
