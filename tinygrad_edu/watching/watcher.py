"""The watch: hears a training, asks every pitfall, and says once what was found."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.modes import is_grad_enabled, users_line
from tinygrad_edu.optimizers import Optimizer
from tinygrad_edu.printed import Printed
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.watching.findings import Finding, table, warn
from tinygrad_edu.watching.gradients import (
    GradientSizes,
    NoGradient,
    NoOptimizer,
    Symmetry,
    UpdateSizes,
)
from tinygrad_edu.watching.listening import heard, listeners
from tinygrad_edu.watching.pitfall import Pitfall
from tinygrad_edu.watching.seen import Seen, Walk
from tinygrad_edu.watching.signals import DeadUnits, ForgottenEval, ForgottenTrain, UnscaledData

__all__ = ["Watch", "watch"]

PITFALLS: tuple[type[Pitfall], ...] = (
    *(NoGradient, NoOptimizer, Symmetry, UnscaledData, DeadUnits),
    *(GradientSizes, UpdateSizes, ForgottenEval, ForgottenTrain),
)


class Watch:
    """What `watch` gives: `findings`, a list, and `report()`, the same as text."""

    def __init__(self, model: Layer, optimizer: Optimizer | None = None) -> None:
        self.findings: list[Finding] = []
        self._title = f"watch of {type(model).__name__}"
        self._seen: Seen | None = Seen(model, optimizer)
        self._optimizer = None if optimizer is None else weakref.ref(optimizer)
        self._pitfalls = [pitfall(self._seen) for pitfall in PITFALLS]

    def report(self) -> Printed:
        """Print what was found, one paragraph for each finding; returns the text."""
        return Printed(str(self))

    def __str__(self) -> str:
        return table(self._title, self.findings)

    def __repr__(self) -> str:
        return f"<{self._title}: {len(self.findings)} found>"

    # What it hears.

    def called(self, layer: Layer) -> None:
        seen = self._seen
        if seen is None or id(layer) not in seen.layers:
            return
        recording, first = is_grad_enabled(), id(layer) not in seen.lines
        line = users_line() if first or not recording else None  # to look costs time
        if first:
            seen.lines[id(layer)] = line
        if recording:
            seen.recorded.add(id(layer))
        self._say(f for p in self._pitfalls for f in p.called(layer, recording, line))

    def walked(self, root: Tensor) -> None:
        seen = self._seen
        if seen is None:
            return
        walk = Walk(seen, root, users_line())
        if walk.used or seen.recorded:  # of another model otherwise
            self._say(f for p in self._pitfalls for f in p.walked(walk))

    def stepped(self, optimizer: Optimizer) -> None:
        if self._optimizer is None or self._optimizer() is optimizer:
            line = users_line()
            self._say(f for p in self._pitfalls for f in p.stepped(optimizer, line))

    def ended(self) -> None:
        self._say(f for p in self._pitfalls for f in p.ended())

    def forget(self) -> None:
        """Let go of the model; the findings stay."""
        self._pitfalls, self._seen, self._optimizer = [], None, None

    def _say(self, findings: Iterable[Finding]) -> None:
        """Note all, then warn of each; a watch around this one may have said it already."""
        with np.errstate(all="ignore"):  # what overflows has been warned of where it was computed
            new = list(findings)
        self.findings += new
        others = [w for w in listeners() if isinstance(w, Watch) and w is not self]
        for finding in new:
            if not any(finding in other.findings for other in others):
                warn(finding)


@contextmanager
def watch(model: Layer, optimizer: Optimizer | None = None) -> Iterator[Watch]:
    """Inside, what goes wrong in the training of `model` is said: a `PitfallWarning`, once each.

    It hears `backward()`, `step()` and the calls of layers, in a loop by hand, in `minimize` and in
    `fit`, and changes nothing: not one bit of a parameter, a gradient or a random number. Gradients
    by `tg.grad` are not heard. With `optimizer`, only its steps count, and to take none is a
    finding. What one batch shows may be chance, so most verdicts come after 10.

    Raises TypeError if the model is no layer, or the optimizer none.

    >>> import numpy as np, warnings
    >>> from tinygrad_edu import layers, losses, optimizers
    >>> model, x = layers.MLP(2, 4, 1, rng=0), np.eye(2, dtype="float32")
    >>> sgd = optimizers.SGD(model[0], lr=0.1)  # model[2] is forgotten
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # what would be said is shown below
    ...     with watch(model) as w:
    ...         loss = sgd.minimize(lambda: losses.mean_squared_error(model(x), x[:, :1]))
    >>> w.findings[0].name, w.findings[0].part
    ('no optimizer', '2 parameters (layers.2.weight, layers.2.bias)')
    """
    if not isinstance(model, Layer):
        raise TypeError(f"watch: {model!r:.60} is a {type(model).__name__}; give a layer or model.")
    if optimizer is not None and not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"watch: optimizer: {optimizer!r:.60} is a {type(optimizer).__name__}; give an object "
            "made of an Optimizer class, or leave it out."
        )
    one = Watch(model, optimizer)
    del optimizer  # one that its owner lets go of lets go of its parameters, here as elsewhere
    try:
        with heard(one):
            yield one
        one.ended()  # not after an error: what is missing then may have been on its way
    finally:
        one.forget()
