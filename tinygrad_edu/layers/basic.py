"""The layers of every network: weighted sums, and what comes between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu import initializers, ops
from tinygrad_edu.initializers import Initializer
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor

__all__ = ["Dropout", "Flatten", "Identity", "Lambda", "Linear"]


class Linear(Layer):
    """y = x @ weight + bias: every output is a weighted sum of all inputs.

    x is (..., inputs), y (..., outputs), weight (inputs, outputs), bias (outputs,).
    The initial weights are Glorot's and the biases 0, as in Keras.

    >>> Linear(3, 2, rng=0)(np.ones((5, 3), dtype="float32")).shape
    (5, 2)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        weight_init: str | Initializer = "glorot_uniform",
        bias_init: str | Initializer = "zeros",
        rng: Rng = None,
    ) -> None:
        weight = initializers.get(weight_init)((inputs, outputs), rng=rng)
        self.weight = Tensor(weight, requires_grad=True)
        self.bias = None
        if bias:
            self.bias = Tensor(initializers.get(bias_init)((outputs,), rng=rng), requires_grad=True)

    def forward(self, x: Any) -> Tensor:
        if self.bias is None:
            return ops.linear(x, self.weight)
        return ops.linear(x, self.weight, self.bias)

    def describe(self) -> str:
        inputs, outputs = self.weight.shape
        return f"{inputs}, {outputs}" + ("" if self.bias is not None else ", bias=False")


class Dropout(Layer):
    """In training, sets a share `rate` of the entries to 0 and scales the others by 1 / (1 - rate).

    Source: Srivastava et al. 2014. In `eval()` it does nothing.

    >>> Dropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def __init__(self, rate: float = 0.5, rng: Rng = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate={rate} is not in [0, 1).")
        self.rate = rate
        self.rng = rng if rng is None else as_generator(rng)

    def forward(self, x: Any) -> Tensor:
        return ops.dropout(x, self.rate, training=self.training, rng=self.rng)

    def describe(self) -> str:
        return f"{self.rate}"


class Flatten(Layer):
    """Every example as one row: (batch, ...) becomes (batch, everything else)."""

    def forward(self, x: Any) -> Tensor:
        return ops.reshape(x, (np.shape(x)[0], int(np.prod(np.shape(x)[1:]))))


class Identity(Layer):
    """Gives back what it gets."""

    def forward(self, x: Any) -> Any:
        return x


class Lambda(Layer):
    """Any function as a layer.

    >>> Lambda(lambda x: x * 2)(Tensor(3.0))
    Tensor(6.)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.function(*args, **options)

    def describe(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))
