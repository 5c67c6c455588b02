"""Losses of classes: how improbable the truth seemed."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.losses.shared import Target, paired, reduced
from tinygrad_edu.ops.neural import wished
from tinygrad_edu.tensor import Tensor, plain

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy"]

_SOFTMAX = ops.OPS["softmax"].op  # type: ignore[attr-defined]


def cross_entropy(
    prediction: Tensor,
    target: Target,
    reduction: str = "mean",
    weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: int | None = None,
) -> Tensor:
    """The mean of -log p(label), where p = softmax(prediction): logits in, no softmax before.

    `prediction` is (batch, classes). `target` is either the labels, whole numbers (batch,), or
    probabilities (batch, classes).

    `weight`            one factor per class; the mean is then the weighted one, as in PyTorch.
    `label_smoothing`   moves this share of the probability evenly over all classes.
    `ignore_index`      examples with this label do not count.

    Raises ValueError for labels out of range, an empty batch or shapes that do not belong together.
    Source: Bishop, Pattern Recognition and Machine Learning, 4.3.4.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), [1])  # log 2
    Tensor(0.6931472)
    """
    target = np.asarray(plain(target))
    if isinstance(prediction, Tensor) and prediction.op is _SOFTMAX:
        _warn_of_softmax()
    if reduction == "mean" and weight is None and not label_smoothing and ignore_index is None:
        return ops.softmax_cross_entropy(prediction, target)
    labels = target.ndim < np.ndim(prediction)
    share = _shares(prediction, target, labels, label_smoothing, ignore_index)
    if weight is not None:
        factors = np.asarray(plain(weight), dtype=share.dtype)
        if factors.shape != share.shape[-1:]:
            raise ValueError(
                f"cross_entropy: weight has shape {factors.shape}, but there are "
                f"{share.shape[-1]} classes; give one factor per class."
            )
        share = share * factors
    log_p = ops.where(share == 0, 0, ops.log_softmax(prediction))  # 0 log 0 is 0
    each = -(log_p * share).sum(axis=-1)
    if reduction != "mean":
        return reduced("cross_entropy", each, reduction)
    if not labels:
        return each.mean()
    counted = np.ones_like(target, dtype=bool) if ignore_index is None else target != ignore_index
    count = counted.sum() if weight is None else factors[target[counted]].sum()
    if count == 0:
        raise ValueError(
            "cross_entropy: no example counts: the batch is empty or all of it ignored."
        )
    return each.sum() / float(count)


def _shares(
    prediction: Tensor, target: Array, labels: bool, smoothing: float, ignored: int | None
) -> Array:
    """How much of the probability each class should get: (batch, classes)."""
    classes = np.shape(prediction)[-1]
    if not 0 <= smoothing < 1:
        raise ValueError(f"cross_entropy: label_smoothing={smoothing} is not in [0, 1).")
    if labels:
        skip = np.zeros(target.shape, bool) if ignored is None else target == ignored
        target = np.where(skip, 0, target)
    else:
        skip = np.zeros(target.shape[:-1], bool)
    share, _ = wished(target, plain(prediction))  # says what is wrong with the labels
    share = share.astype(prediction.dtype) * (1 - smoothing) + smoothing / classes
    return np.where(skip[..., None], 0, share)


def binary_cross_entropy_with_logits(
    prediction: Tensor, target: Target, reduction: str = "mean", pos_weight: Any = None
) -> Tensor:
    """The mean of -(y log p + (1 - y) log(1 - p)), where p = sigmoid(prediction), y = target.

    As softplus(-x) for y = 1 and softplus(x) for y = 0: exact for logits of any size. `pos_weight`
    is a factor on the first term.

    >>> binary_cross_entropy_with_logits(Tensor([1000.0]), [1.0]).item()
    0.0
    """
    name = "binary_cross_entropy_with_logits"
    y = paired(name, prediction, target)
    values = plain(y)
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        bad = np.flatnonzero(~((values >= 0) & (values <= 1)))[0]
        where = [int(i) for i in np.unravel_index(bad, values.shape)]
        raise ValueError(f"{name}: target {values.flat[bad]} at {where} is not in [0, 1].")
    factor = np.asarray(1 if pos_weight is None else plain(pos_weight), dtype=prediction.dtype)
    if factor.shape != () and factor.shape != values.shape[values.ndim - factor.ndim :]:
        raise ValueError(
            f"{name}: pos_weight has shape {factor.shape}, the target {values.shape}; give one "
            "number, or one for each entry along the last axes."
        )
    of_ones, of_zeros = ops.softplus(-prediction), ops.softplus(prediction)
    of_ones = ops.where(np.isinf(of_ones.data) & (values == 0), 0, of_ones)  # 0 inf is 0
    of_zeros = ops.where(np.isinf(of_zeros.data) & (values == 1), 0, of_zeros)
    return reduced(name, of_ones * (y * factor) + of_zeros * (1 - y), reduction)


def _warn_of_softmax() -> None:
    warnings.warn(
        "cross_entropy takes logits and applies softmax itself; drop the softmax before it.",
        stacklevel=3,
    )
