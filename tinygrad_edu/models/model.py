"""A model: a layer that can be trained by one call, in the habits of Keras.

    model = Sequential(Linear(2, 8), Tanh(), Linear(8, 1), Sigmoid())
    model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(x, y, epochs=10)

The loop that `fit` runs is in fitting.py, what it is fed with in feeding.py, how it is judged in
scoring.py. Nothing is hidden in here: `docs/models.md` writes the same loop by hand, and gets the
same numbers to the last bit.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from operator import is_not
from typing import Any

import numpy as np

from tinygrad_edu import checkpoints, layers, optimizers
from tinygrad_edu.arrays import Array, default_dtype
from tinygrad_edu.callbacks import Callback
from tinygrad_edu.layers import Layer
from tinygrad_edu.layers.settings import whole
from tinygrad_edu.models import fitting
from tinygrad_edu.models.feeding import Feed, Rows, Stream, inputs_of
from tinygrad_edu.models.history import History
from tinygrad_edu.models.interrupts import Interrupts
from tinygrad_edu.models.progress import line, progress
from tinygrad_edu.models.scoring import Scoring, one_tensor
from tinygrad_edu.modes import no_grad
from tinygrad_edu.optimizers import Optimizer
from tinygrad_edu.printed import Printed
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.training import get_batches

__all__ = ["MLP", "History", "Model", "Sequential"]


class Run:
    """What `compile` settles, and what comes of it: all that is no layer."""

    def __init__(
        self, scoring: Scoring, optimizer: Optimizer, rng: Any, parameters: list[Tensor]
    ) -> None:
        self.scoring = scoring
        self.optimizer = optimizer
        self.rng = rng  # draws the order of the examples; None: the default generator
        self.parameters = parameters
        self.history = History()
        self.remembered = fitting.Remembered()  # by the callbacks


class Model(Layer):
    """A layer that can be trained: `compile` it, then `fit`, `evaluate`, `predict`.

    Use `Sequential` or `MLP`, or write a class of your own with a `forward`.

    `epochs`          the number of the next epoch: where a training that is resumed begins
    `history`         the History of the last training
    `stop_training`   True ends the training after this batch; callbacks set it

    >>> class Line(Model):
    ...     def __init__(self):
    ...         self.slope = Tensor(0.0, requires_grad=True)
    ...     def forward(self, x):
    ...         return self.slope * x
    >>> line = Line()
    >>> line.compile("mse", optimizers.SGD(lr=0.1))
    >>> history = line.fit([1.0, 2.0], [3.0, 6.0], epochs=30, verbose=0)
    >>> round(line.slope.item(), 3), line.predict([10.0]).round(2)
    (3.0, array([30.], dtype=float32))
    """

    stop_training = False
    _run: Run | None = None
    _seen: Any = None  # shapes and dtypes of the inputs, without the batch axis

    # What it is to learn, and how.

    def compile(self, loss: Any, optimizer: Any, metrics: Any = (), rng: Rng = None) -> None:
        """Settle the loss, the optimizer and the metrics, by name or as objects.

        The optimizer takes charge of all parameters, unless it has been given some of them before;
        the one of an earlier `compile` lets go of them. `rng` draws the order of the examples.

        "accuracy" is the share of right answers, whatever fits: for one output column, or a loss of
        two classes, an answer is 1 above 0.5, or above 0 if the loss takes logits; otherwise it is
        the class of the largest score, and the target is labels or their onehot.

        Raises ValueError, and nothing is changed, for an unknown name, or for an optimizer of other
        parameters.
        """
        if isinstance(loss, Optimizer) or (isinstance(loss, str) and loss in optimizers.KNOWN):
            raise ValueError(f"compile: {loss!r} is an optimizer; it comes second, after the loss.")
        scoring = Scoring(loss, metrics or ())
        generator = rng if rng is None else as_generator(rng)
        chosen = optimizers.get(optimizer)
        parameters = self.parameters()
        if chosen.groups:
            own = {id(p) for p in parameters}
            if strange := [p for p in chosen.parameters() if id(p) not in own]:
                raise ValueError(
                    f"compile: the {type(chosen).__name__} has {len(strange)} parameters that are "
                    "not of this model; make a new optimizer."
                )
        else:
            self._hand_over(chosen)
        self._run = Run(scoring, chosen, generator, parameters)

    def _hand_over(self, optimizer: Optimizer) -> None:
        """Give all parameters to this optimizer; the one before it lets go, if that works out."""
        old = self._run.optimizer if self._run is not None else None
        groups = old.groups if old is not None else []
        homes = [(p, p._home) for group in groups for part in group.parts
                 for p in part.arena.tensors]  # fmt: skip
        for p, _ in homes:
            p._home = None
        try:
            optimizer.bind(self)
        except BaseException:
            for p, home in homes:
                p._home = home
            raise
        if old is not None:
            old.groups = []

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer that `compile` was given."""
        return self._compiled("optimizer").optimizer

    @property
    def history(self) -> History:
        """What was noted of the last training."""
        return self._compiled("history").history

    @property
    def epochs(self) -> int:
        """The number of the next epoch, after those of the History."""
        epochs = [] if self._run is None else self._run.history.epoch
        return epochs[-1] + 1 if epochs else 0

    def _compiled(self, caller: str) -> Run:
        if self._run is None:
            raise RuntimeError(
                f"{type(self).__name__}.{caller}: compile it first: "
                'model.compile(loss="mse", optimizer="adam"), for instance.'
            )
        return self._run

    def _ready(self, caller: str) -> Run:
        run = self._compiled(caller)
        now = self.parameters()
        if len(now) != len(run.parameters) or any(map(is_not, now, run.parameters)):
            raise RuntimeError(
                f"{type(self).__name__}.{caller}: the parameters are not those it was compiled "
                "with (was a layer added or replaced?); compile it again."
            )
        return run

    def _dtype(self) -> Any:
        return next((p.dtype for p in self.parameters()), default_dtype())

    # Training.

    def fit(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        epochs: int = 1,
        validation_data: Any = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Callback | Iterable[Callback] = (),
        verbose: Any = 1,
        class_weight: Mapping[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
    ) -> History:
        """Train, and return what was noted of it.

        `x`, `y`             arrays, lists or Tensors, a row for each example; a tuple of arrays for
                             several inputs. Or, without `y`, batches: anything that can be
                             iterated over, of (x, y) or (x, y, weight)
        `batch_size`         examples in a step; the last batch of an epoch may be smaller
        `epochs`             the number at which to stop; counted from `initial_epoch`
        `validation_data`    (x, y), (x, y, weight) or batches, looked at after every epoch;
        `validation_split`   or this share of the rows, the last ones, before any shuffling
        `shuffle`            a new order of the rows for every epoch
        `callbacks`          what is to be done beside it, see `tinygrad_edu.callbacks`
        `sample_weight`      a factor for the loss of each example
        `class_weight`       {label: factor}, the same for all examples of a class
        `steps_per_epoch`    batches in an epoch, where they have no end, or should have another;
                             `validation_steps` likewise
        `verbose`            0 silent, 1 a bar (where one can be seen; else 2), 2 a line each epoch

        The loss of an epoch is the mean over its examples, the metrics are those of all predictions
        made while training. Floating numbers are brought to the model's dtype, once; whole numbers
        stay as they are. Ctrl-C ends the training after the step; a second one, at once.

        Raises FloatingPointError, naming epoch and batch, when a loss or a gradient is not finite.
        """
        run, span = self._ready("fit"), _span(initial_epoch, epochs)
        bar = progress(verbose, span.stop)
        feed = self._feed(
            x, y, sample_weight, batch_size, steps_per_epoch, "x", span, shuffle, class_weight
        )
        validation = None
        if validation_data is not None:
            given, steps = _triple(validation_data), validation_steps
            validation = self._feed(*given, batch_size, steps, "validation_data", span)
        elif validation_split:
            feed, validation = feed.split(validation_split, validation_steps)
        params = {"epochs": span.stop, "steps": len(feed) or None, "verbose": verbose}
        called = fitting.Callbacks(callbacks, self, params, validation is not None)
        run.history = run.history.before(span.start, params)
        together = fitting.Training(self, feed, validation, called, bar, Interrupts())
        fitting.trained(together, span)
        return run.history

    def _feed(
        self, x: Any, y: Any, weight: Any, batch_size: int, steps: int | None, what: str = "x",
        epochs: range = range(1), shuffle: bool = False, class_weight: Any = None,
    ) -> Feed:  # fmt: skip
        """The batches that are meant, of arrays or of whatever gives batches."""
        options = {"dtype": self._dtype(), "class_weight": class_weight}
        if y is not None:
            rng = self._compiled("fit").rng
            return Rows(x, y, weight, **options).prepared(batch_size, shuffle, rng, steps)
        rows = isinstance(x, (list, tuple)) and len(x) > 0 and not isinstance(x[0], tuple)
        if rows or x is None or isinstance(x, Tensor) or hasattr(x, "__array__"):
            raise ValueError(f"{what}: there is no y for it; give both, or batches of (x, y).")
        if weight is not None:
            raise ValueError("sample_weight is for arrays; give batches of (x, y, weight).")
        return Stream(x, steps, what=what, epochs=len(epochs), **options)

    # Use.

    def evaluate(
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        verbose: int = 0,
        sample_weight: Any = None,
        steps: int | None = None,
        return_dict: bool = False,
    ) -> Any:
        """The loss; with metrics, a list of the loss and each metric; or a dict of them by name.

        Takes what `fit` takes. The layers are as in use (`eval()`), and afterwards as they were.
        """
        run = self._ready("evaluate")
        feed = self._feed(x, y, sample_weight, batch_size, steps)
        with Interrupts() as interrupts:  # Ctrl-C waits until the modes are what they were
            logs = fitting.evaluated(self, feed, interrupts)
        interrupts.check()
        if verbose:
            print(line(logs))
        if return_dict:
            return logs
        return list(logs.values()) if run.scoring.metrics else logs["loss"]

    def predict(self, x: Any, batch_size: int = 32, verbose: int = 0) -> Array:
        """The predictions for all rows of x, as an array; the layers are as in use (`eval()`)."""
        inputs = inputs_of("x", x, self._dtype())
        self._note(inputs)
        found = []
        with Interrupts() as interrupts, fitting.in_mode(self, False), no_grad():
            for batch in get_batches(inputs, batch_size):
                found.append(one_tensor(self(*batch)).data)
                interrupts.check()
        interrupts.check()
        return np.concatenate(found)

    def summary(self, input_shape: Any = None, dtype: Any = None) -> Printed:
        """Print the table of `Layer.summary`; after `fit` or `predict` the shape is known."""
        if input_shape is None:
            if self._seen is None:
                raise ValueError(
                    f"{type(self).__name__}.summary: the shape of an example is not known yet; "
                    "give it, model.summary(input_shape=(2,)) for instance, or fit first."
                )
            input_shape, seen_dtype = self._seen
            dtype = seen_dtype if dtype is None else dtype
        return super().summary(input_shape, dtype)

    def _note(self, inputs: tuple[Array, ...]) -> None:
        """Remember what an example looks like."""
        shapes, dtypes = [x.shape[1:] for x in inputs], [x.dtype for x in inputs]
        self._seen = (shapes, dtypes) if len(inputs) > 1 else (shapes[0], dtypes[0])

    # Saving.

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the model, and if it was compiled the whole run, so that it can be resumed.

        That is: parameters and buffers, the optimizer, the generator of the order and those inside
        of the layers, the History, the number of epochs, and what callbacks remember.
        """
        checkpoints.save(path, self._parts())

    def load(self, path: str | os.PathLike[str]) -> Model:
        """Take over what `save` wrote, all or nothing, into a model made and compiled likewise.

        A model that is not compiled takes only the parameters and buffers. Returns the model.
        """
        checkpoints.load(path, self if self._run is None else self._parts())
        return self

    def _parts(self) -> dict[str, Any]:
        run = self._run
        if run is None:
            return {"model": self}
        return {
            "model": self,
            "optimizer": run.optimizer,
            "shuffling": run.rng,
            "epochs": self.epochs,  # for readers; the History has it, too
            "history": run.history,
            "callbacks": run.remembered,
        }


def _span(initial_epoch: Any, epochs: Any) -> range:
    """The epochs to be trained."""
    first = whole("fit: initial_epoch", initial_epoch, 0)
    last = whole("fit: epochs", epochs, 0)
    if first > last:
        raise ValueError(
            f"fit: initial_epoch={first} is beyond epochs={last}: epochs is where the training "
            "ends, counted from the beginning."
        )
    return range(first, last)


def _triple(data: Any) -> tuple[Any, Any, Any]:
    """x, y and weight of validation data, in a tuple or a list; batches are all of x."""
    if isinstance(data, list) and len(data) in (2, 3):
        data = data if any(isinstance(batch, tuple) for batch in data) else tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) not in (2, 3):
        raise ValueError(
            f"validation_data: a tuple of {len(data)}; give (x, y), (x, y, weight) or batches."
        )
    x, y, weight = (*data, None)[:3]
    return x, y, weight


class Sequential(Model, layers.Sequential):
    """Layers one after the other, as a model.

    >>> model = Sequential()
    >>> model.add(layers.Linear(2, 1, rng=0))
    >>> model.compile(loss="mse", optimizer="sgd")
    >>> model.evaluate([[0.0, 0.0]], [[2.0]])
    4.0
    """


class MLP(Sequential, layers.MLP):
    """A multi-layer perceptron, see `layers.MLP`, as a model.

    >>> model = MLP(2, 16, 1, rng=0)
    >>> model.predict([[0.0, 0.0]])
    array([[0.]], dtype=float32)
    """
