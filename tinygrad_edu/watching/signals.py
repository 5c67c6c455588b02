"""Pitfalls of what flows forward: dead units, the wrong mode, data that was never scaled."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.layers import BatchNorm, Dropout, MultiHeadAttention
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.modes import Line
from tinygrad_edu.optimizers import Optimizer
from tinygrad_edu.tensor import Tensor, plain
from tinygrad_edu.watching.findings import Finding
from tinygrad_edu.watching.pitfall import BATCHES, Pitfall, short
from tinygrad_edu.watching.seen import Walk

__all__ = ["DeadUnits", "ForgottenEval", "ForgottenTrain", "UnscaledData"]

# The share of a layer's ReLUs that are 0 for all that was seen. Some always are (Lu et al. 2019,
# "Dying ReLU and Initialization"). With "40% of your network" dead "the learning rate is set too
# high" (Karpathy, CS231n: Neural Networks Part 1); but the convolutional lesson reads 98 of 100
# digits with 31 of 64 dead.
DEAD = 0.6
EXAMPLES = 256  # at least so many, in at least BATCHES batches: a unit for rare things is not dead

# The typical size (root of the mean square) of the numbers that are not 0. Weights begin at a size
# that keeps numbers around 1 around 1 (LeCun et al. 1998, "Efficient BackProp", 4.3). Pixels from 0
# to 16 still learn with the usual rates, those from 0 to 255 (size about 150) hardly.
BIG, SMALL = 20.0, 0.01
UNLIKE = 100.0  # of two features, how many times larger one may be


# ---------------------------------------------------------------- dead units


class Alive(NamedTuple):
    """Of the units of one ReLU: which have been above 0, in how many batches and examples."""

    layer: Layer
    units: Array
    batches: int
    examples: int

    def plus(self, more: Alive) -> Alive:
        batches, examples = self.batches + more.batches, self.examples + more.examples
        return Alive(self.layer, self.units | more.units, batches, examples)


class DeadUnits(Pitfall):
    """ReLUs that are 0 whatever comes: no gradient gets through, so they stay so.

    A ReLU is known by the layer it is in and the parameter that feeds it, so that one object in
    several places is several, and one cell in several steps of time is one.
    """

    name = "dead ReLUs"

    def begin(self) -> None:
        self.alive: dict[Any, Alive] = {}
        self.said: set[Any] = set()

    def walked(self, walk: Walk) -> Iterator[Finding]:
        now: dict[Any, Alive] = {}
        for t in walk.order:
            layer = self.seen.innermost(t) if is_relu(t) else None
            if layer is not None:
                fed, channels = walk.weights_before(t)
                units = above_zero(t.data, channels)
                key = self.title(layer, fed), units.size
                if key in now:  # another step of time
                    now[key] = now[key]._replace(units=now[key].units | units)
                else:
                    now[key] = Alive(layer, units, 1, len(t.data) if t.ndim > 1 else 1)
        for key, one in now.items():
            yield from self.added(key, one)

    def title(self, layer: Layer, fed: Tensor | None) -> str:
        by = "" if fed is None else f", fed by {self.seen.parameters[fed].name}"
        return self.seen.title(layer) + by

    def added(self, key: Any, one: Alive) -> Iterator[Finding]:
        if key in self.alive:
            one = one.plus(self.alive[key])
        self.alive[key] = one
        if one.batches >= BATCHES and one.examples >= EXAMPLES:
            del self.alive[key]  # what dies later is seen in the batches to come
            dead = int((~one.units).sum())
            if dead >= DEAD * one.units.size and key not in self.said:
                self.said.add(key)
                yield self.dead(key[0], dead, one)

    def dead(self, title: str, dead: int, one: Alive) -> Finding:
        return self.found(
            title,
            self.seen.lines.get(id(one.layer)),
            f"{dead} of {one.units.size} units were 0 for every one of {one.examples} examples "
            f"({one.batches} batches): they get no gradient, so they stay dead.",
            "Lower lr, begin with biases of 0 and weights by he_normal, scale the data; or take "
            "LeakyReLU or GELU, which never close altogether.",
        )


def is_relu(t: Tensor) -> bool:
    """Also that of a recurrent layer with activation="relu"."""
    if t.op.name == "rnn":
        settings = (*t._args, *t._options.values())
        return any(isinstance(x, str) and x == "relu" for x in settings)
    return bool(t.op.name in ("relu", "relu6"))


def above_zero(z: Array, channels: bool) -> Array:
    """For each unit, was it above 0 anywhere? Units are the channels of a convolution's output, in
    axis 1, else the numbers in the last axis.
    """
    z = np.atleast_1d(z)
    unit = 1 if channels else z.ndim - 1
    return np.any(z > 0, axis=tuple(axis for axis in range(z.ndim) if axis != unit))


# ---------------------------------------------------------------- the wrong mode


def differs(layer: Layer) -> bool:
    """Does it behave in another way in training than in use?

    Of a layer of one's own, its source tells: does its `forward` look at `self.training`?
    """
    if isinstance(layer, Dropout):
        return layer.rate > 0
    if isinstance(layer, MultiHeadAttention):
        return layer.dropout > 0
    if isinstance(layer, BatchNorm):
        return True
    code = getattr(type(layer).forward, "__code__", None)
    return code is not None and "training" in code.co_names


class ForgottenEval(Pitfall):
    """The model is used, under no_grad(), and still behaves as in training."""

    name = "eval() forgotten"

    def begin(self) -> None:
        self.said = False
        self.busy: Layer | None = None  # a layer that was called for use, and trained

    def called(self, layer: Layer, recording: bool, line: Line | None) -> Iterator[Finding]:
        if self.said or recording or not self.seen.model.training:
            return  # a part alone left in training, as for Monte Carlo dropout, is meant
        if self.busy is None and layer.training and differs(layer):
            self.busy = layer
        if self.busy is not None and not self.seen.is_inside():  # the line that uses the model
            self.said = True
            yield self.found(
                self.seen.title(self.busy),
                line,
                "called under no_grad() while in training mode: what comes out depends on chance, "
                "or on the other examples of the batch.",
                "Call model.eval() before it is used, and model.train() before training goes on.",
            )


class ForgottenTrain(Pitfall):
    """Steps are taken while the model behaves as in use."""

    name = "train() forgotten"

    def begin(self) -> None:
        self.said = False
        self.idle: Layer | None = None  # a layer that was called for a graph and did not train

    def called(self, layer: Layer, recording: bool, line: Line | None) -> tuple[()]:
        if recording and self.idle is None and not layer.training and differs(layer):
            self.idle = layer
        return ()

    def stepped(self, optimizer: Optimizer, line: Line | None) -> Iterator[Finding]:
        if self.idle is None or self.said or self.seen.model.training:
            return  # a part alone kept from training, as a BatchNorm in fine-tuning, is meant
        if any(p in self.seen.parameters for p in optimizer.parameters()):
            self.said = True
            yield self.found(
                self.seen.title(self.idle),
                line,
                "a step was taken in eval() mode: Dropout drops nothing, BatchNorm does not follow "
                "the data.",
                "Call model.train() before the training goes on.",
            )


# ---------------------------------------------------------------- data


class Sizes(NamedTuple):
    """Of data, for each feature: how many numbers are not 0, and their sums."""

    filled: Array
    total: Array
    squares: Array
    numbers: int  # with those that are 0

    def plus(self, more: Sizes) -> Sizes:
        filled, total, squares = (a + b for a, b in zip(self[:3], more[:3], strict=True))
        return Sizes(filled, total, squares, self.numbers + more.numbers)


class UnscaledData(Pitfall):
    """Data as it came: pixels up to 255, years, a feature in metres beside one in micrometres.

    Data is what is multiplied with a parameter and does not itself depend on one. What is looked up
    in an Embedding is an index.
    """

    name = "unscaled data"

    def begin(self) -> None:
        self.sizes: dict[Tensor, Sizes] = {}
        self.walks = 0

    def walked(self, walk: Walk) -> Iterator[Finding]:
        if self.walks >= BATCHES:
            return
        self.walks += 1
        met: set[Tensor] = set()
        for p, t in walk.used.items():
            if p in self.seen.weights and t not in met and t.op.name != "embedding":
                met.add(t)  # an op of several weights, such as lstm, counts for its first
                others = [plain(x) for x in t._args[:2] if x is not p and not wants(x)]
                if others and np.ndim(others[0]) > 1:
                    self.add(p, others[0], t.op.name.startswith("conv"))
        if self.walks == BATCHES:
            yield from self.verdict()

    def ended(self) -> Iterator[Finding]:
        if self.walks < BATCHES:
            yield from self.verdict()

    def add(self, p: Tensor, x: Any, channels: bool) -> None:
        x = np.asarray(x, dtype=np.float64)
        axes = tuple(axis for axis in range(x.ndim) if axis != (1 if channels else x.ndim - 1))
        new = Sizes((x != 0).sum(axes), x.sum(axes), np.square(x).sum(axes), x.size)
        old = self.sizes.get(p)
        if old is None:
            self.sizes[p] = new
        elif old.filled.shape == new.filled.shape:
            self.sizes[p] = old.plus(new)

    def verdict(self) -> Iterator[Finding]:
        for p, sizes in self.sizes.items():
            if (reason := self.reason(sizes)) is not None:
                owned = self.seen.parameters[p]
                yield self.found(
                    f"the data that meets {owned.name}",
                    self.seen.lines.get(id(owned.layer)),
                    reason,
                    "Scale it once, before training: x = (x - mean) / std, feature by feature, "
                    "with the mean and std of the training data; pixels x / 255.",
                )

    def reason(self, sizes: Sizes) -> str | None:
        """What is odd about it, if something is."""
        some = sizes.filled > 0
        if not some.any():
            return None
        features = np.sqrt(sizes.squares[some] / sizes.filled[some])
        size = math.sqrt(sizes.squares.sum() / sizes.filled.sum())
        mean = sizes.total.sum() / sizes.numbers
        spread = math.sqrt(max(sizes.squares.sum() / sizes.numbers - mean**2, 0.0))
        numbers = f"mean {short(mean)}, std {short(spread)}"
        if not SMALL <= size <= BIG and math.isfinite(size):
            return f"{numbers}: far from 1, for which weights and lr are made."
        small, large = int(np.argmin(features)), int(np.argmax(features))
        if features[large] > UNLIKE * features[small]:
            at = np.flatnonzero(some)
            return (
                f"feature {at[large]} is {short(features[large] / features[small])} times as large "
                f"as feature {at[small]} ({short(features[large])} and {short(features[small])}, "
                "root mean square): one lr is too large for the one or too small for the other."
            )
        return None


def wants(x: Any) -> bool:
    """Is it a Tensor that wants a gradient, so no data?"""
    return isinstance(x, Tensor) and x.requires_grad
