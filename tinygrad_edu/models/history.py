"""What was noted of a training, epoch by epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from tinygrad_edu.printed import shown

__all__ = ["History"]


class History:
    """The numbers of every epoch, as `fit` returns them.

    `history`       a list for each name: "loss", the metrics, and the same of the validation data,
                    such as "val_loss"; nan where an epoch has no such number.
    `epoch`         which epochs these were, from 0.
    `params`        what `fit` was asked for.
    `interrupted`   did Ctrl-C end the training?

    >>> history = History()
    >>> history.record(0, {"loss": 0.7, "val_loss": 0.8})
    >>> history.record(1, {"loss": 0.5, "val_loss": 0.6})
    >>> history.history["val_loss"]
    [0.8, 0.6]
    >>> history
    History of 2 epochs: loss 0.7000 -> 0.5000, val_loss 0.8000 -> 0.6000
    """

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.params = dict(params or {})
        self.interrupted = False

    def record(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Note one more epoch."""
        for name in [name for name in logs if name not in self.history]:
            self.history[name] = [math.nan] * len(self.epoch)
        self.epoch.append(epoch)
        for name, values in self.history.items():
            values.append(float(logs.get(name, math.nan)))

    def before(self, epoch: int, params: Mapping[str, Any] | None = None) -> History:
        """A History of the epochs before this one, to go on from."""
        earlier = History(params)
        for i, known in enumerate(self.epoch):
            if known < epoch:
                earlier.record(known, {name: values[i] for name, values in self.history.items()})
        return earlier

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss and the metrics over the epochs, those of the validation data dashed.

        Each has a panel of its own in a new figure, which is returned; or, given the axes `ax` of
        matplotlib, all are drawn into that, and it is returned.
        """
        # Few programs ask for a picture, and matplotlib may be missing, so it is loaded only then.
        plotting = import_module("tinygrad_edu.plotting")
        return plotting.plot_history(self, ax)

    def state_dict(self) -> dict[str, Any]:
        """All of it that is numbers, as arrays, to be saved."""
        numbers = {name: np.array(values, float) for name, values in self.history.items()}
        return {"epoch": np.array(self.epoch, int), "history": numbers}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; ValueError, and nothing changed, if it does not fit."""
        epochs: Any = state.get("epoch")
        history: Any = state.get("history")
        if not isinstance(history, dict) or len(state) != 2:
            raise ValueError("History: nothing was loaded: give its epochs and its numbers.")
        for name, values in {"epoch": epochs, **history}.items():
            kind = "i" if name == "epoch" and values is epochs else "f"
            if not isinstance(values, np.ndarray) or values.dtype.kind != kind:
                raise ValueError(f"History: nothing was loaded: {name} is no array of numbers.")
            if values.shape != (len(epochs),):
                raise ValueError(f"History: nothing was loaded: {name} has other epochs.")
        self.epoch = epochs.tolist()
        self.history = {name: values.tolist() for name, values in history.items()}

    def __repr__(self) -> str:
        n = len(self.epoch)
        title = f"History of {n} epoch{'' if n == 1 else 's'}"
        changes = [
            f"{name} " + " -> ".join(shown(x) for x in ([v[0], v[-1]] if n > 1 else v))
            for name, v in self.history.items()
        ]
        return title + (": " if changes else "") + ", ".join(changes)
