"""What there is to see: the model as it was when the watch began, and what each backward meets.

Nothing here makes a Tensor, draws a random number, names a parameter or writes anywhere: who is
watched must not notice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.chain import youngest_first
from tinygrad_edu.layers import BatchNorm, LayerNorm, RMSNorm
from tinygrad_edu.layers.layer import Layer, is_parameter, joined
from tinygrad_edu.modes import Line, here
from tinygrad_edu.tensor import Tensor, plain

__all__ = ["Owned", "Seen", "Walk", "length"]

NORMALISING = BatchNorm, LayerNorm, RMSNorm  # scale and shift begin all equal, and are to


class Owned(NamedTuple):
    """A parameter: its name, and the layer that has it."""

    name: str
    layer: Layer

    @property
    def weighs(self) -> bool:
        """Is it multiplied with what comes in? Not a bias, nor the scale of a normalisation."""
        return not isinstance(self.layer, NORMALISING)


class Seen:
    """The layers and parameters of a model, by name, and where its layers were called."""

    def __init__(self, model: Layer, optimizer: Any = None) -> None:
        self.model = model
        self.expected = None if optimizer is None else type(optimizer).__name__  # to take steps
        self.layers: dict[int, tuple[str, Layer]] = {}
        self.parameters: dict[Tensor, Owned] = {}
        self.lines: dict[int, Line | None] = {}  # where each layer was first called,
        self.recorded: set[int] = set()  # and which of them with a graph
        for name, layer in model.named_layers():
            self.layers[id(layer)] = name, layer
            for own, value in layer._members():
                if is_parameter(value) and value not in self.parameters:
                    self.parameters[value] = Owned(joined(name, own), layer)
        # A dict, as a set that keeps the order; tensors in lists are not found but compared.
        weighing = (p for p, o in self.parameters.items() if p.ndim > 1 and o.weighs)
        self.weights: dict[Tensor, None] = dict.fromkeys(weighing)

    def title(self, layer: Layer) -> str:
        """`layers.1 (ReLU)`."""
        name, kind = self.layers[id(layer)][0], type(layer).__name__
        return f"{name} ({kind})" if name else f"the model ({kind})"

    def names(self, parameters: Any) -> list[str]:
        """Their names, in the order of the model."""
        wanted = set(parameters)
        return [owned.name for p, owned in self.parameters.items() if p in wanted]

    def is_inside(self) -> bool:
        """Are we, now, within a call of a layer of the model?"""
        path = here.mode.path
        while path is not None:
            path, layer = path
            if id(layer) in self.layers:
                return True
        return False

    def innermost(self, t: Tensor) -> Layer | None:
        """The layer of the model in which a tensor was made."""
        inside = (layer for layer in reversed(t.path) if id(layer) in self.layers)
        return next(inside, None)


class Walk:
    """What a backward walked through: `order`, the oldest first, and the parameters `used`.

    `used` has for each parameter of the model that got a gradient the first tensor made from it.
    """

    def __init__(self, seen: Seen, root: Tensor, line: Line | None) -> None:
        self.parameters, self.line = seen.parameters, line
        self.order = youngest_first(root)[::-1]
        self.used: dict[Tensor, Tensor] = {}
        for t in self.order:
            for x, _ in t._edges:
                if x in seen.parameters:
                    self.used.setdefault(x, t)

    def fed_by(self, t: Tensor) -> Iterator[Tensor]:
        """The tensors that led to t, each the first input of the one before, youngest first."""
        while t._op is not None and t.inputs:
            t = t.inputs[0]
            yield t

    def weights_before(self, t: Tensor) -> tuple[Tensor | None, bool]:
        """The parameter that made what went into t, and whether that was a convolution."""
        for before in (t, *self.fed_by(t)):  # t itself: a recurrent op has its weights
            for x in before.inputs:
                if x in self.parameters:
                    return x, before.op.name.startswith("conv")
        return None, False


def length(x: Any) -> float:
    """The Euclidean length of an array of any shape, in float64: squares do not overflow."""
    array: Array = plain(x)
    return math.sqrt(float(np.square(array, dtype=np.float64).sum()))
