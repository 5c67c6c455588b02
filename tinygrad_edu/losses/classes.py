"""Losses of classes: how improbable the truth seemed. Logits or their logarithms go in.

Logits are scores, any numbers; softmax or sigmoid makes probabilities of them. These losses do that
themselves, because of both together the stable form is known: no logit is too large for it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.losses.shared import (
    Target,
    constant,
    counted,
    floating,
    onehot,
    paired,
    reduced,
    refuse_where,
    warn_if_made_by,
)
from tinygrad_edu.ops.neural import wished
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor, plain

__all__ = ["binary_cross_entropy_with_logits", "cross_entropy", "nll"]

SOFTMAX = ops.OPS["softmax"].op  # type: ignore[attr-defined]
SIGMOID = ops.OPS["sigmoid"].op  # type: ignore[attr-defined]


# ---------------------------------------------------------------- one of several


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
    probabilities (batch, classes). With reduction="none" there is one loss per example.

    `weight`            one factor per class; the mean is then the weighted one, as in PyTorch.
    `label_smoothing`   moves this share of the probability evenly over all classes.
    `ignore_index`      examples with this label do not count.

    Raises ValueError for labels out of range, an empty batch or shapes that do not belong together.
    Source: Bishop, Pattern Recognition and Machine Learning, 4.3.4.

    >>> cross_entropy(Tensor([[0.0, 0.0]]), [1])  # log 2
    Tensor(0.6931472)
    """
    target = constant("cross_entropy", target)
    warn_if_made_by(SOFTMAX, prediction, "cross_entropy")
    if reduction == "mean" and weight is None and not label_smoothing and ignore_index is None:
        return ops.softmax_cross_entropy(prediction, target)
    log_p = ops.log_softmax(floating(prediction))
    return _expected(
        "cross_entropy", log_p, target, reduction, weight, label_smoothing, ignore_index
    )


def nll(
    prediction: Tensor,
    target: Target,
    reduction: str = "mean",
    weight: Any = None,
    ignore_index: int | None = None,
) -> Tensor:
    """The mean of -log p(label), where the prediction is log p: `log_softmax` of logits.

    The negative log-likelihood of the labels; `nll(log_softmax(x), labels)` is
    `cross_entropy(x, labels)`. Shapes and options as there. Logits are refused: each row of
    e^prediction must sum to 1, to within 0.02.

    >>> nll(ops.log_softmax(Tensor([[0.0, 0.0]])), [1])
    Tensor(0.6931472)
    """
    target, log_p = constant("nll", target), floating(prediction)
    if target.ndim == log_p.ndim:
        raise ValueError(
            f"nll: prediction {log_p.shape}, target {target.shape}: give labels "
            f"{log_p.shape[:-1]}; for probabilities use kl_divergence or cross_entropy."
        )
    loss = _expected("nll", log_p, target, reduction, weight, 0.0, ignore_index)
    with np.errstate(over="ignore"):
        sums = np.exp(log_p.data).sum(axis=-1)
    remedy = (
        "is not 1; nll takes log-probabilities, log_softmax(logits). For logits use cross_entropy."
    )
    refuse_where(abs(sums - 1) > 0.02, "nll", "the sum of e^prediction", sums, remedy)
    return loss


def _expected(
    name: str,
    log_p: Tensor,
    target: Array,
    reduction: str,
    weight: Any,
    smoothing: float,
    ignored: int | None,
) -> Tensor:
    """The mean of -sum of weight_k share_k log p_k, over the examples that count."""
    labels = target.ndim < log_p.ndim
    share = _smoothed(name, log_p, target, labels, smoothing, ignored)
    factors = None
    if weight is not None:
        factors = np.asarray(plain(weight), dtype=share.dtype)
        if factors.shape != share.shape[-1:]:
            raise ValueError(
                f"{name}: weight has shape {factors.shape}, but there are "
                f"{share.shape[-1]} classes; give one factor per class."
            )
        share = share * factors
    each = -counted(share, log_p).sum(axis=-1)
    if reduction != "mean" or not labels:
        return reduced(name, each, reduction)
    kept = target if ignored is None else target[target != ignored]
    count = kept.size if factors is None else factors[kept].sum()
    if count == 0:
        raise ValueError(f"{name}: no example counts: the batch is empty or all of it ignored.")
    return each.sum() / float(count)


def _smoothed(
    name: str, log_p: Tensor, target: Array, labels: bool, smoothing: float, ignored: int | None
) -> Array:
    """How much of the probability each class should get: (batch, classes), 0 where ignored."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"{name}: label_smoothing={smoothing} is not in [0, 1).")
    skip = target == ignored if labels and ignored is not None else None
    if skip is not None:
        target = np.where(skip, 0, target)
    share = onehot(name, target, log_p) if labels else wished(target, log_p)[0]
    if smoothing:
        share = share * (1 - smoothing) + smoothing / log_p.shape[-1]
    return share if skip is None else np.where(skip[..., None], 0, share)


# ---------------------------------------------------------------- yes or no


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
    warn_if_made_by(SIGMOID, prediction, name)
    x, y = paired(name, prediction, target)
    values = plain(y)
    refuse_where(~((values >= 0) & (values <= 1)), name, "target", values, "is not in [0, 1].")
    factor = np.asarray(1 if pos_weight is None else plain(pos_weight), dtype=x.dtype)
    if factor.shape != () and factor.shape != values.shape[values.ndim - factor.ndim :]:
        raise ValueError(
            f"{name}: pos_weight has shape {factor.shape}, the target {values.shape}; give one "
            "number, or one for each entry along the last axes."
        )
    return reduced(name, surprise_of_logits(x, y, factor), reduction)


@differentiable
def surprise_of_logits(x: Any, y: Any, factor: Any = 1) -> Any:
    """z = factor y log(1 + e^-x) + (1 - y) log(1 + e^x)
    dx = g ((1 - y) s(x) - factor y s(-x))        dy = g (factor log(1 + e^-x) - log(1 + e^x))

    s = sigmoid. The logarithms are -log p and -log(1 - p), where p = s(x). 0 inf is 0.
    """
    if_one, if_zero = np.logaddexp(-x, 0), np.logaddexp(x, 0)
    with np.errstate(invalid="ignore"):
        z = np.where(y == 0, 0, factor * y * if_one) + np.where(y == 1, 0, (1 - y) * if_zero)
    s = ops.OPS["sigmoid"].value  # type: ignore[attr-defined]
    return (
        z,
        lambda g: g * ((1 - y) * s(x) - factor * y * s(-x)),
        lambda g: g * (factor * if_one - if_zero),
    )
