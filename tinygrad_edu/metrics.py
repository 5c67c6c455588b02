"""Metrics: how good, as one number for people. No gradients here.

Every metric is a function `(prediction, target) -> float` of arrays, lists or Tensors, over all
examples at once: the precision of a whole is not the mean of the precisions of its batches.

What a model gives becomes guesses in the way that its shape says:

    scores (..., classes)       the class of the largest score; a row with a nan guesses nothing
    whole numbers or bools      they are the guesses

and `binary_accuracy`, `precision`, `recall` and `f1` also take one score per example: the guess is
1 where it is above `threshold`, 0.5 for probabilities; for logits say threshold=0.0.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_edu import losses
from tinygrad_edu.arrays import Array
from tinygrad_edu.tensor import plain

__all__ = [
    "accuracy", "binary_accuracy", "top_k_accuracy", "r2_score", "mean_absolute_error",
    "mean_squared_error", "precision", "recall", "f1", "confusion_matrix", "get",
]  # fmt: skip

Data = Any  # a Tensor, an array or a list
NOTHING = -1  # the guess of a row with a nan


# ---------------------------------------------------------------- the share of right guesses


def accuracy(prediction: Data, target: Data) -> float:
    """The share of examples whose guess is the label.

    `prediction` is scores (..., classes), or labels; `target` is labels, or their onehot. Of equal
    largest scores the first class is the guess, as `argmax` has it.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], [1, 0, 0])
    0.6666666666666666
    """
    guesses, labels, _ = _guesses("accuracy", prediction, target)
    return float(np.mean(guesses == labels))


def binary_accuracy(prediction: Data, target: Data, threshold: float = 0.5) -> float:
    """The share of entries with (prediction > threshold) = target, each of them a 0 or a 1.

    Both have one shape, any. For logits say threshold=0.0.

    >>> binary_accuracy([0.9, 0.4, 0.6], [1, 0, 0])
    0.6666666666666666
    """
    name = "binary_accuracy"
    scores, target = _of_one_shape(name, prediction, target)
    _refuse(name, (target != 0) & (target != 1), "target", target, "is neither 0 nor 1.")
    right = (scores > threshold) == (target == 1)
    return float(np.mean(right & ~np.isnan(scores)))


def top_k_accuracy(prediction: Data, target: Data, k: int = 5) -> float:
    """The share of examples whose label is among the k classes with the largest scores.

    A tie counts against it: right is a label to which fewer than k other classes have a score as
    large or larger. So scores that are all equal are never right by luck of order.

    >>> top_k_accuracy([[0.5, 0.3, 0.2], [0.4, 0.3, 0.3]], [1, 2], k=2)
    0.5
    """
    name = "top_k_accuracy"
    scores = _array(name, "prediction", prediction)
    if scores.ndim < 2:
        raise ValueError(f"{name}: prediction has shape {scores.shape}; give (batch, classes).")
    if not 1 <= k <= scores.shape[-1]:
        raise ValueError(f"{name}: k={k}, of {scores.shape[-1]} classes; give 1 to that many.")
    _, labels, _ = _guesses(name, scores, target)
    own = np.take_along_axis(scores, labels[..., None], axis=-1)
    others = np.count_nonzero(~(scores < own), axis=-1) - 1  # a nan counts as larger
    return float(np.mean((others < k) & ~np.isnan(own[..., 0])))


# ---------------------------------------------------------------- distances


def mean_absolute_error(prediction: Data, target: Data) -> float:
    """The mean of |prediction - target|, in double precision.

    >>> mean_absolute_error([1.0, 2.0], [1.0, 4.0])
    1.0
    """
    p, y = _of_one_shape("mean_absolute_error", prediction, target)
    return float(np.mean(np.abs(p - y)))


def mean_squared_error(prediction: Data, target: Data) -> float:
    """The mean of (prediction - target)^2, in double precision.

    >>> mean_squared_error([1.0, 2.0], [1.0, 4.0])
    2.0
    """
    p, y = _of_one_shape("mean_squared_error", prediction, target)
    return float(np.mean((p - y) ** 2))


def r2_score(prediction: Data, target: Data) -> float:
    """1 - (sum of (y - p)^2) / (sum of (y - mean of y)^2): the share of the variance explained.

    1 is perfect, 0 no better than always saying the mean, below 0 worse. Of several outputs
    (examples, outputs) it is the mean over the outputs. Where y is constant nothing is to be
    explained: then it is 1 if p = y throughout, else 0.

    >>> r2_score([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    0.5
    """
    p, y = _of_one_shape("r2_score", prediction, target)
    if len(np.atleast_1d(y)) < 2:
        raise ValueError("r2_score: one example has no variance; give two or more.")
    left = ((y - p) ** 2).sum(axis=0)
    total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    varies = y.max(axis=0) > y.min(axis=0)
    share = np.where(varies, left / np.where(varies, total, 1), left != 0)
    return float(np.mean(1 - share))


# ---------------------------------------------------------------- one class against the others


def precision(
    prediction: Data, target: Data, average: str | None = "binary", threshold: float = 0.5
) -> Any:
    """Of the examples guessed to be of a class, the share that is: hits / guessed.

    `average`   "binary": that of class 1, of the two classes 0 and 1
                "macro": the mean over the classes that occur, in target or guesses
                "weighted": their mean, weighted by how often each occurs in the target
                "micro": hits and guesses of all classes together
                None: an array with an entry for each class
    0/0, where a class was never guessed, is 0.0; so in `recall` and `f1`.

    >>> precision([1, 1, 0, 1], [1, 0, 0, 1])
    0.6666666666666666
    """
    counts = _counts("precision", prediction, target, average, threshold)
    return _averaged("precision", counts, average, lambda hits, guessed, true: (hits, guessed))


def recall(
    prediction: Data, target: Data, average: str | None = "binary", threshold: float = 0.5
) -> Any:
    """Of the examples that are of a class, the share guessed to be: hits / true.

    `average` as in `precision`.

    >>> recall([1, 1, 0, 0], [1, 0, 0, 1])
    0.5
    """
    counts = _counts("recall", prediction, target, average, threshold)
    return _averaged("recall", counts, average, lambda hits, guessed, true: (hits, true))


def f1(
    prediction: Data, target: Data, average: str | None = "binary", threshold: float = 0.5
) -> Any:
    """2 hits / (guessed + true): the harmonic mean of precision and recall.

    `average` as in `precision`; of the f1 of each class.

    >>> f1([1, 1, 0, 1], [1, 0, 0, 1])
    0.8
    """
    counts = _counts("f1", prediction, target, average, threshold)
    return _averaged("f1", counts, average, lambda hits, guessed, true: (2 * hits, guessed + true))


def confusion_matrix(prediction: Data, target: Data, classes: int | None = None) -> Array:
    """How often what was taken for what: entry [i, j] counts the examples of class i guessed as j.

    `classes` is their number; left out, it is that of the scores, or what the labels need. A row of
    scores with a nan is guessed as nothing, so it is in no column.

    >>> confusion_matrix([0, 1, 1, 1], [0, 0, 1, 1])
    array([[1, 1],
           [0, 2]])
    """
    guesses, labels, found = _guesses("confusion_matrix", prediction, target)
    size = found if classes is None else classes
    if size < found:
        raise ValueError(f"confusion_matrix: classes={classes}, but {found} of them occur.")
    kept = guesses != NOTHING
    cells = labels[kept] * size + guesses[kept]
    return np.bincount(cells, minlength=size * size).reshape(size, size)


Counts = tuple[Array, Array, Array]  # of each class: hits, times guessed, times true


def _counts(
    name: str, prediction: Data, target: Data, average: str | None, threshold: float
) -> Counts:
    guesses, labels, classes = _guesses(name, prediction, target, threshold)
    if average == "binary":
        if classes > 2:
            raise ValueError(
                f"{name}: average='binary' is of two classes, but there are {classes}; "
                "choose 'macro', 'micro', 'weighted' or None."
            )
        classes = 2
    groups = labels[guesses == labels], guesses[guesses != NOTHING], labels
    hits, guessed, true = (np.bincount(group.ravel(), minlength=classes) for group in groups)
    return hits, guessed, true


def _averaged(
    name: str,
    counts: Counts,
    average: str | None,
    fraction: Callable[[Any, Any, Any], tuple[Any, Any]],
) -> Any:
    """The fraction of each class, or their average."""
    hits, guessed, true = counts
    if average == "micro":
        return float(_ratio(*fraction(hits.sum(), guessed.sum(), true.sum())))
    each = _ratio(*fraction(*counts))
    if average is None:
        return each
    if average == "binary":
        return float(each[1])
    if average == "macro":
        return float(np.mean(each[(guessed > 0) | (true > 0)]))
    if average == "weighted":
        return float(np.sum(each * true) / np.sum(true))
    raise ValueError(
        f"{name}: average={average!r}; it is 'binary', 'macro', 'micro', 'weighted' or None."
    )


def _ratio(of: Any, by: Any) -> Any:
    """of / by, where 0/0 is 0."""
    return of / np.where(by == 0, 1, by)


# ---------------------------------------------------------------- what comes in


def _array(name: str, what: str, data: Data) -> Array:
    data = plain(data)
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked {what} would lose its mask; use {what}.filled(value).")
    array = np.asarray(data)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: {what} has dtype {array.dtype}; give numbers.")
    if array.size == 0:
        raise ValueError(f"{name}: {what} has shape {array.shape}: there is nothing to measure.")
    return array


def _refuse(name: str, wrong: Array, what: str, values: Array, text: str) -> None:
    """ValueError with the first of the values that are wrong, and its position."""
    if wrong.any():
        where = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"{name}: {what} {values[tuple(where)]} at {where} {text}")


def _of_one_shape(name: str, prediction: Data, target: Data) -> tuple[Array, Array]:
    """Both in double precision, after a look at their shapes."""
    p = _array(name, "prediction", prediction).astype(float)
    y = _array(name, "target", target).astype(float)
    if p.shape != y.shape:
        raise ValueError(
            f"{name}: prediction has shape {p.shape}, target {y.shape}; they must be equal. "
            "Reshape one, for instance prediction.squeeze(-1) or target[:, None]."
        )
    _refuse(name, np.isnan(y), "target", y, "is no number; clean the data first.")
    return p, y


def _guesses(
    name: str, prediction: Data, target: Data, threshold: float | None = None
) -> tuple[Array, Array, int]:
    """The guesses, the labels, and the number of classes."""
    p, y = _array(name, "prediction", prediction), _array(name, "target", target)
    if p.ndim and p.shape[-1] == 1 and p.shape[:-1] == y.shape:
        p = p[..., 0]  # one score per example
    several = p.dtype.kind == "f" and p.ndim > 1 and p.shape[-1] > 1
    of_classes = several or (p.ndim > 0 and p.shape[:-1] == y.shape)
    onehot = p.shape if of_classes else (*p.shape, *y.shape[-1:])
    if y.ndim and y.shape == onehot and y.shape[-1] > 1:
        y = _labels_of_onehot(name, y)
    if y.shape != (p.shape[:-1] if of_classes else p.shape):
        raise ValueError(
            f"{name}: prediction has shape {p.shape}, target {np.shape(plain(target))}; give "
            "scores (batch, classes) or labels (batch,), and as target labels or their onehot."
        )
    labels = _whole(name, "target", y)
    if of_classes:
        guesses, classes = _guesses_of_scores(name, p, labels), p.shape[-1]
    else:
        guesses = _guesses_of_one_each(name, p, threshold)
        classes = int(max(guesses.max(), labels.max())) + 1
    return guesses, labels, classes


def _guesses_of_scores(name: str, scores: Array, labels: Array) -> Array:
    classes = scores.shape[-1]
    _refuse(name, labels >= classes, "label", labels, f"is not in 0..{classes - 1}.")
    return np.where(np.isnan(scores).any(axis=-1), NOTHING, scores.argmax(axis=-1))


def _guesses_of_one_each(name: str, p: Array, threshold: float | None) -> Array:
    if p.dtype.kind != "f":
        return _whole(name, "prediction", p)
    if threshold is None:
        raise ValueError(
            f"{name}: prediction of shape {p.shape} has one score per example; use binary_accuracy "
            "(threshold=0.5 for probabilities, 0.0 for logits), or give whole numbers as labels."
        )
    return np.where(np.isnan(p), NOTHING, p > threshold)


def _whole(name: str, what: str, values: Array) -> Array:
    """Labels as whole numbers; floats are taken where they are whole."""
    wrong = ~((values >= 0) & (values == np.floor(values)))
    _refuse(name, wrong, what, values, "is no label; labels are whole numbers from 0.")
    return values.astype(int)


def _labels_of_onehot(name: str, y: Array) -> Array:
    _refuse(name, (y != 0) & (y != 1), "target", y, "is neither 0 nor 1, in what should be onehot.")
    ones = np.count_nonzero(y, axis=-1)
    _refuse(name, ones != 1, "the number of ones", ones, "is not 1, in what should be onehot.")
    return y.argmax(axis=-1)


# ---------------------------------------------------------------- by name

Metric = Callable[..., Any]

_BY_NAME: dict[str, Metric] = {
    **{name: globals()[name] for name in __all__ if name not in ("confusion_matrix", "get")},
    "acc": accuracy,
    "categorical_accuracy": accuracy,
    "sparse_categorical_accuracy": accuracy,
    "top_k_categorical_accuracy": top_k_accuracy,
    "sparse_top_k_categorical_accuracy": top_k_accuracy,
    "f1_score": f1,
    "r2": r2_score,
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
}


def get(name: str | Metric) -> Metric:
    """The metric of that name, Keras's names included; a function is passed on.

    The name of a loss gives its mean as a metric.

    >>> get("acc") is accuracy
    True
    >>> get("mape")([90.0], [100.0])
    10.0
    """
    if callable(name):
        return name
    known = _BY_NAME.get(name.lower()) if isinstance(name, str) else None
    if known is not None:
        return known
    try:
        return _as_metric(losses.get(name))
    except ValueError:
        raise ValueError(
            f"metrics: there is no {name!r}; there are {', '.join(_BY_NAME)}, "
            "and the names of losses."
        ) from None


def _as_metric(loss: Callable[..., Any]) -> Metric:
    @wraps(loss)
    def metric(prediction: Data, target: Data, **options: Any) -> float:
        return float(loss(prediction, target, **options))

    return metric
