"""Normalising: numbers of about the same size, whatever the layers before make of them.

BatchNorm looks at one feature in all examples, LayerNorm at all features of one example; RMSNorm
does what LayerNorm does with less.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.initializers import ones, zeros
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.layers.settings import share, whole
from tinygrad_edu.tensor import Tensor

__all__ = ["BatchNorm", "LayerNorm", "RMSNorm"]


class BatchNorm(Layer):
    """z = scale (x - mean) / sqrt(variance + epsilon) + shift, for each feature by itself.

    x is (n, features), (n, features, length) or (n, features, height, width); scale and shift are
    (features,). In training, mean and variance are those of the batch, over all axes but the
    second, and the running ones, two buffers, follow them:

        running_mean = (1 - momentum) running_mean + momentum mean
        running_var  = (1 - momentum) running_var  + momentum variance n / (n - 1)

    n is how many numbers a feature has in the batch. In `eval()` the running ones are used, so that
    an example no longer depends on those beside it. `momentum` is the share of the new batch, as in
    PyTorch; Keras names the other share, its momentum=0.99 is 0.01 here.

    Raises ValueError for another number of features, and in training for a single number per
    feature, which has no variance.
    Source: Ioffe & Szegedy 2015.

    >>> layer = BatchNorm(2)
    >>> layer(Tensor([[1.0, 10.0], [3.0, 10.0]])).data.round(4)
    array([[-1.,  0.],
           [ 1.,  0.]], dtype=float32)
    >>> layer.running_mean
    array([0.2, 1. ], dtype=float32)
    """

    def __init__(self, features: int, momentum: float = 0.1, epsilon: float = 1e-5) -> None:
        shape = (whole("BatchNorm: features", features),)
        self.scale = Tensor(ones(shape), requires_grad=True)
        self.shift = Tensor(zeros(shape), requires_grad=True)
        self.running_mean, self.running_var = zeros(shape), ones(shape)
        self.momentum = share("BatchNorm: momentum", momentum)
        self.epsilon = _epsilon("BatchNorm", epsilon)

    def forward(self, x: Any) -> Tensor:
        x = _floating(x, self.scale)
        self._check(x.shape)
        if not self.training:
            return self._by_running(x)
        z = ops.batch_norm(x, self.scale, self.shift, epsilon=self.epsilon)
        self._follow(x.data)
        return z

    def _by_running(self, x: Tensor) -> Tensor:
        along = (-1, *(1 for _ in x.shape[2:]))  # lines up with the second axis of x
        factor = self.scale / np.sqrt(self.running_var + self.epsilon)
        from_mean = x - self.running_mean.reshape(along)
        return from_mean * factor.reshape(along) + self.shift.reshape(along)

    def _follow(self, x: Array) -> None:
        """Move the running mean and variance towards those of the batch."""
        axes = (0, *range(2, x.ndim))
        mean = x.mean(axis=axes, keepdims=True)
        variance = np.var(x, axis=axes, mean=mean, ddof=1)
        self.running_mean += self.momentum * (mean.reshape(-1) - self.running_mean)
        self.running_var += self.momentum * (variance - self.running_var)

    def _check(self, shape: tuple[int, ...]) -> None:
        (features,) = self.scale.shape
        if len(shape) < 2 or shape[1] != features:
            raise ValueError(
                f"BatchNorm: x {shape}: the layer is for {features} features; make x (batch, "
                f"{features}) or (batch, {features}, ...), the features in the second axis."
            )
        if self.training and shape[0] * math.prod(shape[2:]) < 2:
            raise ValueError(
                f"BatchNorm: x {shape}: in training each feature needs two numbers or more, one "
                "alone has no variance; give a larger batch (in fit, a batch_size that leaves no "
                "single row at the end), or call eval() to use the running mean and variance."
            )

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        return math.prod(x_shape)

    def describe(self) -> str:
        shown = "" if self.momentum == 0.1 else f", momentum={self.momentum}"
        return f"{self.scale.size}{shown}{_shown_epsilon(self.epsilon, 1e-5)}"


class LayerNorm(Layer):
    """z = scale (x - mean) / sqrt(variance + epsilon) + shift, for each example by itself.

    Mean and variance are those of the last axes of x, which have the lengths of `shape`, a number
    or several; scale and shift have that shape. Training and use do not differ.
    Source: Ba, Kiros & Hinton 2016.

    >>> LayerNorm(2)(Tensor([[1.0, 3.0], [0.0, 100.0]])).data.round(4)
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(self, shape: int | tuple[int, ...], epsilon: float = 1e-5) -> None:
        shape = _lengths("LayerNorm", shape)
        self.scale = Tensor(ones(shape), requires_grad=True)
        self.shift = Tensor(zeros(shape), requires_grad=True)
        self.epsilon = _epsilon("LayerNorm", epsilon)

    def forward(self, x: Any) -> Tensor:
        x = _floating(x, self.scale)
        axes = _last_axes("LayerNorm", x, self.scale.shape)
        return ops.layer_norm(x, self.scale, self.shift, axes, self.epsilon)

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        return math.prod(x_shape)

    def describe(self) -> str:
        return _shown_shape(self.scale.shape) + _shown_epsilon(self.epsilon, 1e-5)


class RMSNorm(Layer):
    """z = scale x / sqrt(mean of x^2 + epsilon), for each example by itself.

    The mean is that of the last axes of x, which have the lengths of `shape`, a number or several;
    scale has that shape. (PyTorch's epsilon is smaller where none is given: 1.2e-7 in float32.)
    Source: Zhang & Sennrich 2019.

    >>> RMSNorm(2)(Tensor([[3.0, 3.0], [1.0, 7.0]])).data.round(4)
    array([[1. , 1. ],
           [0.2, 1.4]], dtype=float32)
    """

    def __init__(self, shape: int | tuple[int, ...], epsilon: float = 1e-6) -> None:
        self.scale = Tensor(ones(_lengths("RMSNorm", shape)), requires_grad=True)
        self.epsilon = _epsilon("RMSNorm", epsilon)

    def forward(self, x: Any) -> Tensor:
        x = _floating(x, self.scale)
        axes = _last_axes("RMSNorm", x, self.scale.shape)
        return ops.rms_norm(x, self.scale, axes, self.epsilon)

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        return math.prod(x_shape)

    def describe(self) -> str:
        return _shown_shape(self.scale.shape) + _shown_epsilon(self.epsilon, 1e-6)


# ---------------------------------------------------------------- what they share


def _floating(x: Any, scale: Tensor) -> Tensor:
    """x as a Tensor; whole numbers in the dtype of the scale."""
    if not isinstance(x, Tensor):
        x = Tensor(x)
    return x if x.dtype.kind == "f" else Tensor(x.data, dtype=scale.dtype)


def _lengths(what: str, shape: Any) -> tuple[int, ...]:
    lengths = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    if not lengths:
        raise ValueError(f"{what}: shape=() leaves nothing to take the mean of.")
    return tuple(whole(f"{what}: shape", n) for n in lengths)


def _last_axes(what: str, x: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The axes of x that have these lengths."""
    if x.shape[-len(shape) :] != shape:
        raise ValueError(
            f"{what}: x {x.shape}: the layer is for last axes of {shape}; make it "
            f"{what}({_shown_shape(x.shape[-len(shape) :])}), or change the shape of x."
        )
    return tuple(range(-len(shape), 0))


def _epsilon(what: str, epsilon: Any) -> float:
    if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float, np.floating)):
        raise TypeError(f"{what}: epsilon={epsilon!r} is no number.")
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"{what}: epsilon={epsilon!r} must be finite and not negative.")
    return float(epsilon)


def _shown_shape(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)


def _shown_epsilon(epsilon: float, usual: float) -> str:
    return "" if epsilon == usual else f", epsilon={epsilon}"
