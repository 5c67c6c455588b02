"""Callbacks: what is done beside the training, at the ends of its epochs and batches.

    model.fit(x, y, callbacks=[EarlyStopping(patience=5), CSVLogger("log.csv")])

A callback is an object with methods that `fit` calls at certain moments. `self.model` is the model
that is being trained, and `self.model.stop_training = True` ends the training after this batch or
epoch. Callbacks are called in the order they are given in, a `ModelCheckpoint` after all others, so
that it saves what they remember, too.
"""

from __future__ import annotations

import csv
import inspect
import math
import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from tinygrad_edu.layers.settings import whole
from tinygrad_edu.printed import shown

__all__ = [
    "Callback", "EarlyStopping", "ModelCheckpoint", "LearningRateScheduler", "CSVLogger",
    "TerminateOnNaN", "LambdaCallback",
]  # fmt: skip

Logs = dict[str, float]


class Callback:
    """What all callbacks share: nothing is done at any moment. Write the methods you want.

    `self.params` is what `fit` was asked for: "epochs", "steps" and "verbose". `logs` at the end of
    an epoch has the numbers of the History, "loss" and so on; at the end of a batch it has the loss
    of that batch. Epochs and batches count from 0.

    What a callback remembers, and a resumed training should know, it states in `state_dict`.
    """

    model: Any = None
    params: Mapping[str, Any] = MappingProxyType({})
    validated = False  # is there validation data, or somebody else who may give such numbers?

    def on_train_begin(self, logs: Logs) -> None:
        """The training begins; forget the one before."""

    def on_train_end(self, logs: Logs) -> None:
        """It is over, also after Ctrl-C, not after an error; `logs` are those of the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        """An epoch begins; `logs` is empty."""

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """It is over, validation included."""

    def after_epoch(self, epoch: int, logs: Logs) -> None:
        """All callbacks have seen its end: the moment to save what they remember, too."""

    def on_batch_begin(self, batch: int, logs: Logs) -> None:
        """A batch is about to be used; `logs` is empty."""

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        """The step is taken."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs: numbers, arrays, and lists and dicts of them."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; called after `on_train_begin`."""

    def __init_subclass__(cls) -> None:
        for name in vars(cls):
            if name.startswith("on_") and not hasattr(Callback, name):
                moments = ", ".join(m for m in vars(Callback) if m.startswith("on_"))
                raise TypeError(f"{cls.__name__}.{name} is never called; there are {moments}.")


# ---------------------------------------------------------------- those that watch a number


class Monitor(Callback):
    """A callback that watches one of the numbers of an epoch, and knows the best so far.

    `mode` says what is better, "min" or "max"; "auto" is "max" for accuracies and other scores, by
    their names.
    """

    watching = True  # False: it looks at no number after all
    SCORES = ("acc", "precision", "recall", "f1", "r2", "auc", "score", "fbeta", "f_score")

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"{self._name}: mode={mode!r}; it is 'auto', 'min' or 'max'.")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"{self._name}: min_delta={min_delta} must be finite, at least 0.")
        self.monitor = monitor
        self.mode = mode
        if mode == "auto":
            self.mode = "max" if any(score in monitor for score in self.SCORES) else "min"
        self.min_delta = min_delta
        self.best = self._worst

    @property
    def _name(self) -> str:
        return type(self).__name__

    @property
    def _worst(self) -> float:
        return math.inf if self.mode == "min" else -math.inf

    def on_train_begin(self, logs: Logs) -> None:
        if self.watching and self.monitor.startswith("val_") and not self.validated:
            raise ValueError(
                f"{self._name}: {self.monitor!r} is of validation data; give fit some "
                "(validation_data or validation_split), or monitor another number, such as 'loss'."
            )
        self.best = self._worst

    def watched(self, logs: Logs) -> float:
        """The number; ValueError with the names there are, if it is not among them."""
        if self.monitor not in logs:
            raise ValueError(
                f"{self._name}: there is no {self.monitor!r} to monitor; there are "
                f"{', '.join(logs)}."
            )
        return logs[self.monitor]

    def improves(self, value: float, best: float) -> bool:
        """Is it better, by more than min_delta? nan never is."""
        if self.mode == "min":
            return value < best - self.min_delta
        return value > best + self.min_delta


class EarlyStopping(Monitor):
    """Ends the training when a number has not improved for `patience` epochs.

    At the end the model gets its weights of the best epoch back, also if all epochs were trained or
    Ctrl-C came first; with `restore_best_weights=False`, the default in Keras, it keeps the last.
    An improvement is one by more than `min_delta`. With `baseline`, patience begins anew only with
    an improvement that is better than this number, too. `best`, `best_epoch` and `stopped_epoch`
    tell what happened.

    Source: Prechelt 1998, Early Stopping - but when?
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = True,
    ) -> None:
        super().__init__(monitor, mode, abs(min_delta))
        self.patience = whole("EarlyStopping: patience", patience, 0)
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.verbose = verbose
        self._forget()

    def _forget(self) -> None:
        self.wait = 0
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._weights: dict[str, Any] = {}

    def on_train_begin(self, logs: Logs) -> None:
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = self.watched(logs)
        self.wait += 1
        if self.improves(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self._weights = self.model.state_dict()
            if self.baseline is None or self.improves(value, self.baseline):
                self.wait = 0
        if self._is_over():
            self._stop(epoch)

    def _is_over(self) -> bool:
        return self.wait > 0 and self.wait >= self.patience

    def _stop(self, epoch: int) -> None:
        self.stopped_epoch = epoch
        self.model.stop_training = True

    def on_train_end(self, logs: Logs) -> None:
        if self._weights:
            self.model.load_state_dict(self._weights)
        if self.verbose and self.stopped_epoch is not None:
            print(f"EarlyStopping: {self.monitor} has not improved since {self._since()}.")

    def _since(self) -> str:
        if self.best_epoch is None:
            return "the beginning"
        return f"epoch {self.best_epoch + 1}, when it was {shown(self.best)}"

    def state_dict(self) -> dict[str, Any]:
        epoch = -1 if self.best_epoch is None else self.best_epoch
        weights = {name: array.copy() for name, array in self._weights.items()}
        return {"best": self.best, "best_epoch": epoch, "wait": self.wait, "weights": weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        weights = {name: np.array(v) for name, v in state["weights"].items()}
        self._weights = weights if self.restore_best_weights else {}
        self.best, self.wait = float(state["best"]), int(state["wait"])
        self.best_epoch = None if state["best_epoch"] < 0 else int(state["best_epoch"])
        if self._is_over():  # it ended the training that is resumed
            self._stop(self.model.epochs - 1)


class ModelCheckpoint(Monitor):
    """Saves the whole run at the ends of epochs, so that it can be resumed from there.

    `path` may have fields in braces: the epoch, from 1, and the numbers of the epoch, such as
    "run-{epoch:03d}-{val_loss:.3f}.safetensors". One without fields is written over, but never
    half: there is the old file or the new. With `save_best_only`, it is saved only if the number
    `monitor` has improved; `every` is the number of epochs from one look to the next.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: str = "auto",
        every: int = 1,
    ) -> None:
        super().__init__(monitor, mode)
        self.path = os.fspath(path)
        self.save_best_only = self.watching = save_best_only
        self.every = whole("ModelCheckpoint: every", every, 1)
        self.verbose = verbose

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self._due = (epoch + 1) % self.every == 0
        if self._due and self.save_best_only:
            value = self.watched(logs)
            self._due = self.improves(value, self.best)
            self.best = value if self._due else self.best

    def after_epoch(self, epoch: int, logs: Logs) -> None:
        if self._due:  # saved when all others have made up their minds, which is saved with it
            path = self._path(epoch, logs)
            self.model.save(path)
            if self.verbose:
                print(f"ModelCheckpoint: saved {path}")

    def _path(self, epoch: int, logs: Logs) -> str:
        try:
            return self.path.format(**{**logs, "epoch": epoch + 1})
        except (KeyError, ValueError, IndexError) as error:
            raise ValueError(
                f"ModelCheckpoint: path {self.path!r}: {error} cannot be filled in; there are "
                f"epoch, {', '.join(logs)}."
            ) from None

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best = float(state["best"])


# ---------------------------------------------------------------- the learning rate


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch: to `schedule(epoch)`.

    A function of two arguments gets the rate so far as well: `schedule(epoch, lr)`. Those of
    `tinygrad_edu.schedules` count epochs here; given to the optimizer as `lr`, they count steps.
    """

    def __init__(self, schedule: Callable[..., float]) -> None:
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler: {schedule!r} is no function of the epoch.")
        self.schedule = schedule
        self._with_rate = _wants_rate(schedule)

    def on_train_begin(self, logs: Logs) -> None:
        if self.model.optimizer.schedule is not None:
            raise ValueError(
                "LearningRateScheduler: the optimizer has a schedule of its own as lr; give it a "
                "number, or leave this callback out."
            )

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        more = (optimizer.lr,) if self._with_rate else ()
        optimizer.lr = self.schedule(epoch, *more)


def _wants_rate(schedule: Callable[..., float]) -> bool:
    """Does it need a second argument, or call one lr?"""
    try:
        parameters = list(inspect.signature(schedule).parameters.values())
    except (TypeError, ValueError):  # of some functions nobody knows
        return False
    second = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)][1:2]
    return any(p.default is p.empty or p.name in ("lr", "learning_rate") for p in second)


# ---------------------------------------------------------------- and others


class CSVLogger(Callback):
    """Writes a line of numbers for each epoch into a file of comma-separated values.

    Each is on the disk as soon as its epoch is over. With `append=True` the file is gone on with,
    as a resumed training wants it.
    """

    def __init__(
        self, path: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        self.path = os.fspath(path)
        self.separator = separator
        self.append = append
        self._names: list[str] = []

    def on_train_begin(self, logs: Logs) -> None:
        self._names = []
        if not self.append or not os.path.exists(self.path):
            open(self.path, "w", encoding="utf-8").close()  # better to know now if it cannot be
        with open(self.path, newline="", encoding="utf-8") as file:
            self._names = next(csv.reader(file, delimiter=self.separator), [])[1:]

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        rows: list[list[Any]] = []
        if not self._names:
            self._names = list(logs)
            rows.append(["epoch", *self._names])
        if set(self._names) != set(logs):
            raise ValueError(
                f"CSVLogger: {self.path} has columns {', '.join(self._names)}, but this epoch has "
                f"{', '.join(logs)}; write into another file."
            )
        rows.append([epoch, *(logs[name] for name in self._names)])
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=self.separator, lineterminator="\n").writerows(rows)


class TerminateOnNaN(Callback):
    """Ends the training when the loss of a batch is nan or infinite, without an error.

    The step that would have come of it is not taken. `stopped_batch` is which one it was.
    """

    stopped_batch: int | None = None

    def on_train_begin(self, logs: Logs) -> None:
        self.stopped_batch = None

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        if not math.isfinite(logs["loss"]):
            self.stopped_batch = batch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs) -> None:
        if self.stopped_batch is not None and self.params.get("verbose"):
            number = self.stopped_batch + 1
            print(f"TerminateOnNaN: stopped at batch {number}, whose loss is not finite.")


MOMENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class LambdaCallback(Callback):
    """A callback made of functions: `LambdaCallback(on_epoch_end=lambda epoch, logs: print(logs))`.

    They take what the methods of the same names take.
    """

    def __init__(self, **functions: Callable[..., None]) -> None:
        for name, function in functions.items():
            if name not in MOMENTS:
                raise TypeError(f"LambdaCallback: no {name}; there are {', '.join(MOMENTS)}.")
            if not callable(function):
                raise TypeError(f"LambdaCallback: {name}={function!r} is no function.")
            setattr(self, name, function)
