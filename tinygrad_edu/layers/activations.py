"""Activations as layers: what bends the straight lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_edu import ops
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.tensor import Tensor

__all__ = [
    "ELU", "GELU", "LeakyReLU", "LogSoftmax", "ReLU", "SELU", "Sigmoid", "SiLU", "Softmax",
    "Softplus", "Tanh", "get",
]  # fmt: skip


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Layer):
    """x where x > 0, else slope x."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Tensor:
        return ops.leaky_relu(x, self.slope)

    def describe(self) -> str:
        return f"{self.slope}"


class ELU(Layer):
    """x where x > 0, else alpha (e^x - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Tensor:
        return ops.elu(x, self.alpha)

    def describe(self) -> str:
        return f"{self.alpha}"


class SELU(Layer):
    """The self-normalising ELU (Klambauer et al. 2017)."""

    def forward(self, x: Any) -> Tensor:
        return ops.selu(x)


class GELU(Layer):
    """x times the normal law's probability of less than x (Hendrycks & Gimpel 2016)."""

    def forward(self, x: Any) -> Tensor:
        return ops.gelu(x)


class SiLU(Layer):
    """x sigmoid(x), also called swish (Ramachandran et al. 2017)."""

    def forward(self, x: Any) -> Tensor:
        return ops.silu(x)


class Sigmoid(Layer):
    """1 / (1 + e^-x)."""

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(x)


class Tanh(Layer):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(x)


class Softplus(Layer):
    """log(1 + e^x)."""

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(x)


class Softmax(Layer):
    """Numbers to probabilities along an axis. Not before `cross_entropy`, which takes logits."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Tensor:
        return ops.softmax(x, self.axis)

    def describe(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Softmax):
    """The logarithm of softmax, stably."""

    def forward(self, x: Any) -> Tensor:
        return ops.log_softmax(x, self.axis)


# ---------------------------------------------------------------- by name

NAMES = {
    "elu": ELU, "gelu": GELU, "leaky_relu": LeakyReLU, "log_softmax": LogSoftmax, "relu": ReLU,
    "selu": SELU, "sigmoid": Sigmoid, "silu": SiLU, "softmax": Softmax, "softplus": Softplus,
    "swish": SiLU, "tanh": Tanh,
}  # fmt: skip


def get(activation: str | Callable[..., Any]) -> Callable[..., Any]:
    """A new activation layer, from its name or from what makes one; a layer is passed on.

    >>> get("tanh"), get(Tanh), get(lambda: LeakyReLU(0.2))
    (Tanh(), Tanh(), LeakyReLU(0.2))
    """
    if isinstance(activation, Layer):
        return activation
    if callable(activation):
        return activation()
    if not isinstance(activation, str) or activation.lower() not in NAMES:
        raise ValueError(f"activation: there is no {activation!r}; there are {', '.join(NAMES)}.")
    return NAMES[activation.lower()]()
