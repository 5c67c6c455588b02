"""Normalising: what has its mean taken away and is divided by its spread.

`normalize` does it along any axes, scale and shift included; a layer_norm is that along the
features of an example, a batch_norm along all examples of a feature. One op and not four: forward
and backward share the slope scale / s, and a layer_norm of separate ops takes 1.3 times as long.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.ops.reductions import total
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor

__all__ = ["normalize", "layer_norm", "rms_norm", "batch_norm"]


@differentiable
def normalize(x, scale=None, shift=None, axis=-1, epsilon=1e-5):
    """z = scale * (x - mean of x) / s + shift, s = sqrt(variance of x + epsilon)
    dx = e - mean of e - c * (mean of e * c) / s^2, e = g * scale / s, c = x - mean of x
    dscale = g * (x - mean of x) / s        dshift = g

    The means are along `axis` (one or several). Where all x are equal z is shift, and epsilon keeps
    the gradient finite. Scale and shift broadcast to x, and their gradients are summed.
    """
    axes = _axes("normalize", axis, x.ndim)
    c = x - _mean(x, axes)
    r = 1 / np.sqrt(_mean_product(c, c, axes) + epsilon)
    slope = r if scale is None else scale * r
    z = c * slope if shift is None else c * slope + shift

    def dx(g):
        e = g * slope
        mean, lean = _mean(e, axes), _mean_product(e, c, axes) * (r * r)
        e -= c * lean  # e is ours: nobody else has seen it
        e -= mean
        return e

    return z, dx, lambda g: _dscale(g * c, r, scale), lambda g: _summed(g, shift)


def _mean(x, axes):
    return total(x, axes) * _share(x, axes)


def _mean_product(x, y, axes):
    """The mean of x y; along the last axis alone without an array for the products."""
    if axes == (x.ndim - 1,):
        return np.einsum("...i,...i->...", x, y)[..., None] * _share(x, axes)
    return _mean(x * y, axes)


def _share(x, axes):
    """1 / n, n how many numbers become one."""
    return 1 / max(1, math.prod(x.shape[i] for i in axes))


def _dscale(gc, r, scale):
    """The sum of g c r over the axes along which scale was broadcast; r comes last if it can."""
    own = r.shape[r.ndim - scale.ndim :]  # of r, the axes of scale
    if own == scale.shape and r.size == scale.size:  # a batch_norm: an r for each scale
        return _summed(gc, scale) * np.reshape(r, scale.shape)
    if math.prod(own) == 1 and gc.shape[r.ndim - scale.ndim :] == scale.shape:
        rows = np.reshape(gc, (r.size, scale.size))  # a layer_norm: an r for each row
        return np.reshape(np.dot(np.reshape(r, r.size), rows), scale.shape)
    return _summed(gc * r, scale)


def _summed(g, parameter):
    """g summed over the axes along which the parameter was broadcast."""
    new = g.ndim - parameter.ndim
    if 1 not in parameter.shape:  # along the first axes only
        rows = np.reshape(g, (math.prod(g.shape[:new]), *parameter.shape))
        return np.einsum("i...->...", rows)
    once = (i for i, n in enumerate(parameter.shape) if n == 1)
    return np.reshape(total(g, (*range(new), *(new + i for i in once))), parameter.shape)


def layer_norm(
    x: Tensor | Array,
    scale: Tensor | Array | None = None,
    shift: Tensor | Array | None = None,
    axis: int | tuple[int, ...] = -1,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise each example by its own features.

    scale * (x - mean) / sqrt(variance + epsilon) + shift, where mean and variance are taken along
    `axis`; scale and shift have the shape of x along it.
    Ba, Kiros, Hinton 2016, "Layer normalization".

    >>> layer_norm(Tensor([[1.0, 3.0], [0.0, 100.0]]), epsilon=0.0)
    Tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    axes = _axes("layer_norm", axis, x.ndim)
    scale = _lined_up("layer_norm", x, "scale", scale, axes)
    return normalize(x, scale, _lined_up("layer_norm", x, "shift", shift, axes), axes, epsilon)


def rms_norm(
    x: Tensor | Array,
    scale: Tensor | Array | None = None,
    axis: int | tuple[int, ...] = -1,
    epsilon: float = 1e-6,
) -> Tensor:
    """Divide each example by the size of its own features.

    scale * x / sqrt(mean of x^2 + epsilon), the mean along `axis`; scale has the shape of x along
    it. As layer_norm without its means, and cheaper.
    Zhang, Sennrich 2019, "Root mean square layer normalization".

    >>> rms_norm(Tensor([[3.0, 3.0], [1.0, 7.0]]), epsilon=0.0)
    Tensor([[1. , 1. ],
            [0.2, 1.4]])
    """
    axes = _axes("rms_norm", axis, x.ndim)
    return _rms_norm(x, _lined_up("rms_norm", x, "scale", scale, axes), axes, epsilon)


@differentiable
def _rms_norm(x, scale, axes, epsilon):
    """z = scale * x / s, s = sqrt(mean of x^2 + epsilon)
    dx = e - x * (mean of e * x) / s^2, e = g * scale / s        dscale = g * x / s

    The gradient of scale is summed.
    """
    r = 1 / np.sqrt(_mean_product(x, x, axes) + epsilon)
    slope = r if scale is None else scale * r

    def dx(g):
        e = g * slope
        e -= x * (_mean_product(e, x, axes) * (r * r))  # e is ours: nobody else has seen it
        return e

    return x * slope, dx, lambda g: _dscale(g * x, r, scale)


def batch_norm(
    x: Tensor | Array,
    scale: Tensor | Array | None = None,
    shift: Tensor | Array | None = None,
    axis: int | tuple[int, ...] | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise each channel by what the batch holds.

    scale * (x - mean) / sqrt(variance + epsilon) + shift, where mean and variance are taken along
    `axis`; left out, it is all axes but the second, the channels'. Scale and shift have the shape
    of x along the other axes, (channels,). A batch of one is no more than its mean: it gives shift.
    Ioffe, Szegedy 2015, "Batch normalization".

    >>> batch_norm(Tensor([[1.0, 0.0], [3.0, 100.0]]), epsilon=0.0)
    Tensor([[-1., -1.],
            [ 1.,  1.]])
    """
    axes = _axes("batch_norm", (0, *range(2, x.ndim)) if axis is None else axis, x.ndim)
    if math.prod(x.shape[i] for i in axes) == 0:
        raise ValueError(f"batch_norm: x {x.shape}: an empty batch has no mean.")
    channels = tuple(i for i in range(x.ndim) if i not in axes)
    scale = _lined_up("batch_norm", x, "scale", scale, channels)
    return normalize(x, scale, _lined_up("batch_norm", x, "shift", shift, channels), axes, epsilon)


def _axes(op: str, axis: int | tuple[int, ...], ndim: int) -> tuple[int, ...]:
    return tuple(sorted(np.lib.array_utils.normalize_axis_tuple(axis, ndim, f"{op}: axis")))


def _lined_up(op: str, x: Any, name: str, parameter: Any, axes: tuple[int, ...]) -> Any:
    """The parameter in a shape that broadcasts to x, where its axes are these of x."""
    if parameter is None:
        return None
    shape = tuple(x.shape[i] for i in axes)
    if np.shape(parameter) != shape:
        raise ValueError(
            f"{op}: x {x.shape}, {name} {np.shape(parameter)}: make the {name} {shape}."
        )
    first = min(axes, default=x.ndim)
    lined_up = tuple(x.shape[i] if i in axes else 1 for i in range(first, x.ndim))
    return parameter if lined_up == shape else np.reshape(parameter, lined_up)
