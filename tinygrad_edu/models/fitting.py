"""The loop of `fit`, in the open.

Every epoch goes through the batches, takes a step for each, looks at the validation data, and notes
what came of it. The four lines that all of it is about are in `one_step`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from tinygrad_edu.arrays import Array
from tinygrad_edu.callbacks import Callback, LambdaCallback
from tinygrad_edu.detective import find_nonfinite
from tinygrad_edu.layers import Layer
from tinygrad_edu.models.feeding import Batch, Feed
from tinygrad_edu.models.interrupts import Interrupts
from tinygrad_edu.models.progress import Progress
from tinygrad_edu.models.scoring import Tally, with_prefix
from tinygrad_edu.modes import no_grad
from tinygrad_edu.optimizers import saving
from tinygrad_edu.tensor import Tensor

__all__ = ["Callbacks", "Training", "evaluated", "in_mode", "trained"]


@contextmanager
def in_mode(layer: Layer, training: bool) -> Iterator[None]:
    """For a while all layers are in training, or in use; then each is as it was before."""
    before = [(one, one.training) for _, one in layer.named_layers()]
    try:
        layer.train(training)
        yield
    finally:
        for one, was in before:
            one.training = was


# ---------------------------------------------------------------- the training


class Training(NamedTuple):
    """All that takes part in a training."""

    model: Any
    feed: Feed
    validation: Feed | None
    callbacks: Callbacks
    progress: Progress
    interrupts: Interrupts


def trained(training: Training, epochs: range) -> None:
    """Train for these epochs, or until somebody stops it: a callback, Ctrl-C or an error."""
    model, _, _, callbacks, progress, interrupts = training
    with interrupts, in_mode(model, True):
        try:
            model.stop_training = False
            callbacks.at("on_train_begin", {})
            model._run.remembered.begin(callbacks, resumed=epochs.start > 0)
            for epoch in epochs:
                if model.stop_training:  # perhaps before the first: it was at its end
                    break
                one_epoch(training, epoch)
            interrupts.check()
        except KeyboardInterrupt:
            interrupts.asked = True  # from now on, another one goes through
            n = len(model.history.epoch)
            progress.say(f"Interrupted: {n} epoch{'' if n == 1 else 's'} finished.")
        finally:
            progress.close()
        history = model.history.history
        callbacks.at("on_train_end", {name: values[-1] for name, values in history.items()})
        model._run.remembered.end()
    model.history.interrupted = interrupts.asked


def one_epoch(training: Training, epoch: int) -> None:
    """Once through the batches, and a look at the validation data."""
    model, feed, validation, callbacks, progress, interrupts = training
    callbacks.at("on_epoch_begin", epoch, {})
    progress.begin(epoch, len(feed) or None)
    logs = all_steps(training, epoch).logs()
    if validation is not None:
        logs |= with_prefix("val_", evaluated(model, validation, interrupts))
    observe(model.optimizer, logs, list(model._run.scoring.metrics))
    model.history.record(epoch, logs)
    progress.end(epoch, logs)
    callbacks.at("on_epoch_end", epoch, logs)
    callbacks.at("after_epoch", epoch, logs)
    interrupts.check()


def all_steps(training: Training, epoch: int) -> Tally:
    """A step for each batch; what was counted up on the way."""
    model, feed, _, callbacks, progress, interrupts = training
    tally = Tally(model._run.scoring)
    for number, batch in enumerate(feed.batches()):
        for begins in callbacks.batch_begin:
            begins(number, {})
        loss, prediction, failure = one_step(model, batch)
        for ends in callbacks.batch_end:
            ends(number, {"loss": loss})
        if failure is not None:
            where = f"epoch {epoch + 1}, batch {number + 1}"
            if not model.stop_training:
                raise FloatingPointError(f"fit: {where}: {failure}") from failure.error
            progress.say(f"{where}: {failure.origin}")
        tally.add(loss, prediction, batch[1])
        progress.step(number + 1, loss)
        interrupts.check()
        if model.stop_training:
            break
    model._note(batch[0])
    return tally


class Failure(NamedTuple):
    """Why a step was not taken, and where the nan or inf came from."""

    error: FloatingPointError
    origin: str

    def __str__(self) -> str:
        return f"{self.error}\n{self.origin}"


def one_step(model: Any, batch: Batch) -> tuple[float, Array | None, Failure | None]:
    """The loss and the predictions of a batch, and a step; or the failure in its place.

    As in every training: forget the old gradients, compute the loss, go back through it, move.
    """
    x, y, weight = batch
    scoring, optimizer = model._run.scoring, model._run.optimizer
    seen: list[Tensor] = []

    def look() -> Tensor:
        prediction = model(*x)
        loss = scoring.loss_of(prediction, y, weight)
        if not seen:  # LBFGS looks several times in a step; the first look is before it
            seen[:] = prediction, loss
            if not math.isfinite(loss.data) and optimizer.nonfinite == "raise":
                raise FloatingPointError(
                    f"the loss is {loss.data}; nothing was updated. Lower lr, clip (clipnorm=1), "
                    "look for nan in the data, or give fit the callback TerminateOnNaN()."
                )
        return loss

    try:
        optimizer.minimize(look)
    except FloatingPointError as error:
        return math.nan, None, Failure(error, origin(seen))
    prediction, loss = seen
    return loss.item(), prediction.data, None


def origin(seen: list[Tensor]) -> str:
    """Where the nan or inf of a failed step came from: the graph is still there to be looked at."""
    try:
        return str(find_nonfinite(seen[1]))
    except (IndexError, RuntimeError):  # no loss came to be, or LBFGS has moved on since
        return "The graph of this loss is gone, so it is not known where it began."


def observe(optimizer: Any, logs: dict[str, float], metrics: list[str]) -> None:
    """Tell the schedules that listen, such as ReduceOnPlateau, how the epoch went.

    They hear the validation loss, or the loss where there is none; those with mode="max" the first
    metric.
    """
    schedules = {id(schedule): schedule for _, schedule in saving.schedules(optimizer)}
    for schedule in schedules.values():
        name = "loss"
        if _mode(schedule) == "max":
            if not metrics:
                raise ValueError(
                    f"fit: {schedule!r} wants a score, but there is none; compile with metrics, "
                    "for instance ['accuracy'], or let it watch the loss with mode='min'."
                )
            name = metrics[0]
        if hasattr(schedule, "observe"):
            schedule.observe(logs.get(f"val_{name}", logs[name]))


def _mode(schedule: Any) -> str:
    """What is better for it: of a warm-up, for what comes then."""
    then = getattr(schedule, "then", None)
    return getattr(schedule, "mode", "min") if then is None else _mode(then)


# ---------------------------------------------------------------- who is called


class Callbacks:
    """The callbacks of a training, each called at its moments."""

    def __init__(
        self, callbacks: Any, model: Any, params: Mapping[str, Any], validated: bool = False
    ) -> None:
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for callback in given:
            if not isinstance(callback, Callback):
                what = f"{callback.__name__} is a class" if isinstance(callback, type) else callback
                raise TypeError(f"fit: callbacks: {what}; give objects made of Callback classes.")
        self.all: list[Callback] = given
        for callback in self.all:
            callback.model = model
            callback.params = dict(params)
            callback.validated = validated or any(map(_is_a_users, given))
        self.batch_begin = self._calls("on_batch_begin")
        self.batch_end = self._calls("on_batch_end")

    def _calls(self, moment: str) -> list[Callable[..., None]]:
        """The methods that do something: a step has no time for those that do not."""
        empty = getattr(Callback, moment)
        calls = [getattr(callback, moment) for callback in self.all]
        return [call for call in calls if getattr(call, "__func__", None) is not empty]

    def at(self, moment: str, *arguments: Any) -> None:
        """Call all of them."""
        for call in self._calls(moment):
            call(*arguments)

    def state(self) -> dict[str, Any]:
        """What they remember, by their names."""
        return {name: s for name, callback in self._named() if (s := callback.state_dict())}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up what callbacks of the same names remembered."""
        for name, callback in self._named():
            if name not in state:
                continue
            try:
                callback.load_state_dict(state[name])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"fit: {name} cannot go on from {state[name]!r:.60}") from error

    def _named(self) -> Iterable[tuple[str, Callback]]:
        """By their class, and a number if there are several: "EarlyStopping.0"."""
        counts: dict[str, int] = {}
        for callback in self.all:
            kind = type(callback).__name__
            counts[kind] = counts.get(kind, -1) + 1
            yield f"{kind}.{counts[kind]}", callback


def _is_a_users(callback: Callback) -> bool:
    """One that may give an epoch numbers of its own."""
    ours = type(callback).__module__ == Callback.__module__
    return not ours or isinstance(callback, LambdaCallback)


class Remembered:
    """What callbacks remember from one training to its resumption; saved with the run."""

    def __init__(self) -> None:
        self._callbacks: Callbacks | None = None  # of the training that is going on
        self._states: dict[str, Any] = {}  # of the one before

    def begin(self, callbacks: Callbacks, resumed: bool) -> None:
        """A training begins; one that is resumed goes on from what was remembered."""
        if resumed:
            callbacks.load(self.state_dict())
        self._callbacks = callbacks

    def end(self) -> None:
        """It is over."""
        self._states, self._callbacks = self.state_dict(), None

    def state_dict(self) -> dict[str, Any]:
        """What they remember, by the names of the callbacks."""
        return self._states if self._callbacks is None else self._callbacks.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; ValueError, and nothing changed, if it is none."""
        if not all(isinstance(own, dict) for own in state.values()):
            raise ValueError("callbacks: each remembers a dict.")
        self._states, self._callbacks = dict(state), None


# ---------------------------------------------------------------- without training


def evaluated(model: Any, feed: Feed, interrupts: Interrupts) -> dict[str, float]:
    """The loss and the metrics of all batches, the model as it is in use."""
    tally = Tally(model._run.scoring)
    with in_mode(model, False), no_grad():
        for x, y, weight in feed.batches():
            prediction = model(*x)
            loss = model._run.scoring.loss_of(prediction, y, weight)
            tally.add(loss.item(), prediction.data, y)
            interrupts.check()
    return tally.logs()
