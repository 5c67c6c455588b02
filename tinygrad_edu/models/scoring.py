"""How well a model does: its loss and its metrics, over a batch and over an epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygrad_edu import losses, metrics
from tinygrad_edu.arrays import Array
from tinygrad_edu.tensor import Tensor

__all__ = ["Scoring", "Tally"]

THRESHOLDS: dict[Any, float] = {  # losses of two classes: from where on it is the second one
    losses.binary_cross_entropy: 0.5,
    losses.binary_crossentropy: 0.5,
    losses.binary_cross_entropy_with_logits: 0.0,
    losses.hinge: 0.0,
    losses.squared_hinge: 0.0,
}
PER_ROW = (  # losses of rows: of (n,) they would make one example
    losses.cross_entropy, losses.nll, losses.categorical_crossentropy, losses.kl_divergence,
    losses.sparse_categorical_crossentropy, losses.categorical_hinge, losses.cosine_similarity,
)  # fmt: skip
THRESHOLDED = (metrics.binary_accuracy, metrics.precision, metrics.recall, metrics.f1)


class Scoring:
    """The loss and the metrics of a compiled model.

    A metric is a name, or a function of all predictions and all targets. "accuracy" (or "acc") is
    the one that fits the loss and the shapes, see `accuracy`.
    """

    def __init__(self, loss: Any, metrics: Any = ()) -> None:
        self.loss = losses.get(loss)
        if isinstance(metrics, str) or callable(metrics):
            metrics = [metrics]
        self.metrics: dict[str, Callable[[Array, Array], float]] = {}
        for metric in metrics:
            name = metric if isinstance(metric, str) else _name(metric)
            if name in self.metrics or name == "loss":
                raise ValueError(f"compile: two numbers named {name!r}; each needs its own name.")
            self.metrics[name] = self._metric(metric)

    def _metric(self, metric: Any) -> Callable[[Array, Array], float]:
        if metric in ("accuracy", "acc"):
            return self.accuracy
        found = metrics.get(metric)
        if isinstance(metric, str) and found in THRESHOLDED:
            return partial(found, threshold=THRESHOLDS.get(self._plain_loss, 0.5))
        return found

    @property
    def _plain_loss(self) -> Any:
        return getattr(self.loss, "func", self.loss)  # of a functools.partial

    # Of a batch.

    def loss_of(self, prediction: Any, target: Array, weight: Array | None) -> Tensor:
        """The loss of a batch; with weights, sum(weight loss) / n, as in Keras."""
        target = fitted(target, one_tensor(prediction))
        if prediction.ndim < 2 and self._plain_loss in PER_ROW:
            raise ValueError(
                f"the model predicts {prediction.shape}, but {_name(self.loss)} wants a row for "
                "each example, (n, classes)."
            )
        try:
            if weight is None:
                return _one_number(self.loss(prediction, target), self.loss)
            each = self.loss(prediction, target, reduction="none")
        except ValueError as error:
            if {prediction.shape, target.shape} == {(len(target),), (len(target), 1)}:
                raise ValueError(_column(prediction, target, error)) from None
            raise
        except TypeError as error:
            if "reduction" not in str(error):
                raise
            raise TypeError(
                f"{_name(self.loss)}: with weights it is asked for the loss of each example, "
                "reduction='none'; give it that argument."
            ) from None
        if each.ndim > 1:  # one number for each example
            each = each.mean(axis=tuple(range(1, each.ndim)))
        return (each * weight).mean()

    # Of an epoch.

    def accuracy(self, prediction: Array, target: Array) -> float:
        """The share of right answers; what an answer is, loss and shapes say.

        Labels (n,) for scores (n, classes): the class of the largest score. One column, or a loss
        of two classes: the second class above 0.5; above 0 if the loss takes scores of any size, or
        there are targets of -1. Else the largest of the target's row, too.
        """
        loss = self._plain_loss
        if target.ndim < prediction.ndim and prediction.shape[-1] > 1:
            return metrics.accuracy(prediction, target)
        if loss in THRESHOLDS or prediction.ndim == 1 or prediction.shape[-1] == 1:
            threshold = 0.0 if (target == -1).any() else THRESHOLDS.get(loss, 0.5)
            ones = np.where(target == -1, 0, target)
            return metrics.binary_accuracy(prediction, ones, threshold=threshold)
        return metrics.accuracy(prediction, target.argmax(axis=-1))


def one_tensor(prediction: Any) -> Tensor:
    """The prediction, if it is one Tensor."""
    if isinstance(prediction, Tensor):
        return prediction
    raise TypeError(
        f"the model returns a {type(prediction).__name__}; fit wants one Tensor. Let forward "
        "return only that (a recurrent layer does with returns='last')."
    )


def fitted(target: Array, prediction: Any) -> Array:
    """The target in the shape that is meant, as Keras has it.

    A row of targets (n,) becomes a column where predictions are one, (n, 1); labels in a column
    become a row where there are scores for several classes.
    """
    if target.ndim == 1 and prediction.shape == (len(target), 1):
        return target[:, None]
    column = target.ndim == prediction.ndim > 1 and target.shape[-1] == 1 != prediction.shape[-1]
    return target[..., 0] if column and target.dtype.kind in "iu" else target


def _one_number(loss: Any, function: Any) -> Tensor:
    if isinstance(loss, Tensor) and loss.ndim == 0:
        return loss
    kind = f"of shape {loss.shape}" if isinstance(loss, Tensor) else f"a {type(loss).__name__}"
    raise TypeError(f"{_name(function)}: the loss is {kind}; return one number, a Tensor.")


def _column(prediction: Tensor, target: Array, error: Exception) -> str:
    fix = "y.reshape(-1, 1)" if target.ndim == 1 else "y.reshape(-1)"
    return (
        f"the model predicts {prediction.shape}, but y is {target.shape}: give {fix} to fit and "
        f"evaluate. ({error})"
    )


def _name(function: Any) -> str:
    named = getattr(function, "func", function)  # of a functools.partial
    return getattr(named, "__name__", type(named).__name__)


class Tally:
    """What is counted up over an epoch: the loss, and what the metrics will want to see."""

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self._loss = 0.0
        self._n = 0
        self._predictions: list[Array] = []
        self._targets: list[Array] = []

    def add(self, loss: float, prediction: Array | None, target: Array) -> None:
        """A batch; its loss counts as often as it has examples."""
        n = len(target)
        self._loss += loss * n
        self._n += n
        if prediction is not None and self.scoring.metrics:
            self._predictions.append(prediction)
            self._targets.append(fitted(target, prediction))

    def logs(self) -> dict[str, float]:
        """The mean loss, and the metrics of all predictions together."""
        logs = {"loss": self._loss / self._n if self._n else math.nan}
        if not self.scoring.metrics:
            return logs
        if not self._predictions:
            return logs | dict.fromkeys(self.scoring.metrics, math.nan)
        prediction, target = joined(self._predictions), joined(self._targets)
        return logs | {
            name: float(metric(prediction, target)) for name, metric in self.scoring.metrics.items()
        }


def joined(batches: list[Array]) -> Array:
    """Batches one below the other; ValueError if their rows differ in shape."""
    if len({batch.shape[1:] for batch in batches}) > 1:
        shapes = dict.fromkeys(str(batch.shape[1:]) for batch in batches)
        raise ValueError(
            f"the predictions of an epoch are put together, but the batches have rows of shapes "
            f"{', '.join(shapes)}; pad them to one, or leave the metrics out."
        )
    return np.concatenate(batches)


def with_prefix(prefix: str, logs: Mapping[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in logs.items()}
