"""Losses of probabilities: those of `classes.py` for a model that ends in softmax or sigmoid.

Where a probability is 0 the logarithm is -inf, so each of these must cut something off, and where
it does the gradient is lost. Logits have no such place: prefer `cross_entropy` and
`binary_cross_entropy_with_logits`.

Keras's four (all but `binary_cross_entropy`) do what Keras 2 did: if the prediction comes straight
from `softmax` or `sigmoid`, and gradients are being recorded, they take the logits that went in
there, and nothing is cut off. In between, where nothing is cut off, both ways agree.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.losses.classes import SIGMOID, SOFTMAX, surprise_of_logits
from tinygrad_edu.losses.shared import (
    Target,
    constant,
    counted,
    floating,
    onehot,
    paired,
    reduced,
    refuse_where,
    source,
)
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "binary_cross_entropy", "binary_crossentropy", "categorical_crossentropy",
    "sparse_categorical_crossentropy", "kl_divergence",
]  # fmt: skip

LEAST = 1e-7  # the smallest probability, and 1 - LEAST the largest, as in Keras


# ---------------------------------------------------------------- yes or no


def binary_cross_entropy(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of -(y log p + (1 - y) log(1 - p)), where p is the prediction, a probability.

    PyTorch's numbers: a logarithm counts as at least -100, so p may be 0 or 1.
    Raises ValueError for a prediction or target outside [0, 1].

    >>> binary_cross_entropy(Tensor([0.5, 0.0]), [1.0, 1.0], reduction="none")
    Tensor([  0.6931472, 100.       ])
    """
    p, y = _binary("binary_cross_entropy", prediction, target)
    return reduced("binary_cross_entropy", _surprise(p, y), reduction)


def binary_crossentropy(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """`binary_cross_entropy` as in Keras: p counts as at least 1e-7 and at most 1 - 1e-7.

    The gradient outside is 0; straight from `sigmoid` it is exact, see the top of this file.

    >>> x = Tensor([50.0], requires_grad=True)
    >>> binary_crossentropy(ops.sigmoid(x), [0.0]).backward()
    >>> x.grad
    array([1.], dtype=float32)
    """
    p, y = _binary("binary_crossentropy", prediction, target)
    x = source(p, SIGMOID)
    each = _surprise(ops.clip(p, LEAST, 1 - LEAST), y) if x is None else surprise_of_logits(x, y)
    return reduced("binary_crossentropy", each, reduction)


@differentiable
def _surprise(p: Any, y: Any) -> Any:
    """z = -(y log p + (1 - y) log(1 - p))
    dp = g (p - y) / (p (1 - p))        dy = g (log(1 - p) - log p)

    A logarithm counts as at least -100, the denominator as at least 1e-12.
    """
    least = 9.999999960041972e-13  # PyTorch's 1e-12 is that of float32
    with np.errstate(divide="ignore"):
        log_p, log_q = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return (
        -(y * log_p + (1 - y) * log_q),
        lambda g: g * (p - y) / np.maximum(p * (1 - p), least),
        lambda g: g * (log_q - log_p),
    )


def _binary(name: str, prediction: Tensor, target: Target) -> tuple[Tensor, Any]:
    """Both, after a look at whether they are probabilities."""
    p, y = paired(name, prediction, target)
    values = plain(y)
    refuse_where(~((values >= 0) & (values <= 1)), name, "target", values, "is not in [0, 1].")
    remedy = (
        "is not in [0, 1]; give probabilities, sigmoid(logits). "
        "For logits use binary_cross_entropy_with_logits."
    )
    refuse_where((p.data < 0) | (p.data > 1), name, "prediction", p.data, remedy)
    return p, y


# ---------------------------------------------------------------- one of several


def categorical_crossentropy(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of -sum of y_k log p_k over the classes k: Keras's cross-entropy of probabilities.

    Both are (batch, classes), and each row sums to 1: the target onehot or probabilities. Rows of
    the prediction are divided by their sum, then p counts as at least 1e-7 and at most 1 - 1e-7.
    With reduction="none" there is one loss per example. Straight from `softmax` it is exact, see
    the top of this file. Raises ValueError for what are no probabilities, to within 0.02.

    >>> categorical_crossentropy(Tensor([[0.25, 0.75]]), [[1, 0]])  # log 4
    Tensor(1.3862944)
    """
    name = "categorical_crossentropy"
    if np.ndim(target) < np.ndim(prediction):
        raise ValueError(
            f"{name}: prediction {np.shape(prediction)}, target {np.shape(target)}: give onehot "
            "targets or probabilities; for labels use sparse_categorical_crossentropy."
        )
    p, y = paired(name, prediction, target)
    remedy = "give onehot targets or probabilities; for several yes or no use binary_crossentropy"
    _refuse_no_distribution(name, "target", plain(y), remedy)
    each = -counted(y, _log(name, p, normalized=True)).sum(axis=-1)
    return reduced(name, each, reduction, y)


def sparse_categorical_crossentropy(
    prediction: Tensor, target: Target, reduction: str = "mean"
) -> Tensor:
    """`categorical_crossentropy` for labels: predictions (batch, classes), whole numbers (batch,).

    >>> sparse_categorical_crossentropy(Tensor([[0.25, 0.75]]), [0])
    Tensor(1.3862944)
    """
    name = "sparse_categorical_crossentropy"
    p, labels = floating(prediction), constant(name, target)
    if labels.ndim == p.ndim:
        raise ValueError(
            f"{name}: prediction {p.shape}, target {labels.shape}: give labels {p.shape[:-1]}; "
            "for onehot targets use categorical_crossentropy."
        )
    y = onehot(name, labels, p)
    each = -counted(y, _log(name, p, normalized=True)).sum(axis=-1)
    return reduced(name, each, reduction)


def kl_divergence(prediction: Tensor, target: Target, reduction: str = "mean") -> Tensor:
    """The mean of sum of y_k log(y_k / p_k): how much worse than y it is to expect p.

    Both are probabilities (batch, classes), each row sums to 1. 0 log 0 is 0; p counts as at least
    1e-7, straight from `softmax` it is exact, see the top of this file. With reduction="none" there
    is one loss per example. PyTorch's `kl_div` takes log p, and calls this mean "batchmean".
    Kullback & Leibler 1951, "On information and sufficiency".

    >>> kl_divergence(Tensor([[0.5, 0.5]]), [[1.0, 0.0]])  # log 2
    Tensor(0.6931472)
    """
    name = "kl_divergence"
    p, y = paired(name, prediction, target)
    _refuse_no_distribution(name, "target", plain(y), "give probabilities")
    log_y = ops.log(ops.where(plain(y) == 0, 1, y))
    each = -counted(y, _log(name, p, normalized=False) - log_y).sum(axis=-1)
    return reduced(name, each, reduction, y)


def _log(name: str, p: Tensor, normalized: bool) -> Tensor:
    """log p: of the logits if they are known, else of what the smallest p leaves."""
    logits = source(p, SOFTMAX)
    if logits is not None:
        return ops.log_softmax(logits)
    remedy = "give probabilities, softmax(logits). For logits use cross_entropy"
    _refuse_no_distribution(name, "prediction", p.data, remedy)
    if normalized:
        return ops.log(ops.clip(p / p.sum(axis=-1, keepdims=True), LEAST, 1 - LEAST))
    return ops.log(ops.clip(p, LEAST))


def _refuse_no_distribution(name: str, what: str, values: Array, remedy: str) -> None:
    """ValueError unless each row holds probabilities that sum to 1; a nan is left alone here."""
    if values.ndim == 0:
        raise ValueError(f"{name}: {what} has shape (); give (batch, classes).")
    wrong = (values < 0) | (values > 1)
    refuse_where(wrong, name, what, values, f"is not in [0, 1]; {remedy}.")
    sums = values.sum(axis=-1)
    refuse_where(abs(sums - 1) > 0.02, name, f"the sum of the {what}", sums, f"is not 1; {remedy}.")
