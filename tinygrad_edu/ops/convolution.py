"""Convolution and pooling: looking at an image through small windows.

`windows` shows every place of a small window as one more position of an array, without copying a
number; `fold` is its way back. A convolution is then one matrix product, kernels @ windows, and
pooling a maximum or a mean over each window. Images are (batch, channels, height, width), sequences
(batch, channels, length), as in PyTorch.
"""

from __future__ import annotations

import math
from numbers import Integral

import numpy as np

from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import plain

__all__ = ["windows", "fold", "conv1d", "conv2d", "max_pool2d", "avg_pool2d"]


# ---------------------------------------------------------------- windows, and back


@differentiable
def windows(x, size, stride=1, dilation=1, padding=0, fill=0.0):
    """z = what x has in each window of `size`        dx = fold(g)

    z_kp = x at stride p + dilation k - padding

    x is (batch, channels, *space) and z (batch, channels, *size, *positions): in it stands, at k
    and p, what the window at position p sees at its place k. Around x there are `padding` places of
    `fill`: a number, "same" (as many positions as x has places), "valid" (none), or one number or
    (before, after) per axis. Where nothing was padded z is a view of x: it costs nothing.
    """
    if x.ndim < 3:
        raise ValueError(f"windows: x {x.shape}: make it (batch, channels, *space).")
    space, n = x.shape[2:], x.ndim - 2
    size, stride, dilation, padding = _grid("windows", space, size, stride, dilation, padding)
    padded = plain(x)
    if any(map(any, padding)):
        padded = np.pad(padded, ((0, 0), (0, 0), *padding), constant_values=fill)
    reach = _reach(size, dilation)
    seen = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=range(2, 2 + n))
    every = tuple(slice(None, None, step) for step in (1, 1, *stride, *dilation))
    z = np.moveaxis(seen[every], range(-n, 0), range(2, 2 + n))
    return z, lambda g: fold.value(g, space, stride, dilation, padding)


@differentiable
def fold(x, space, stride=1, dilation=1, padding=0):
    """z = x put back into `space`, added up where windows overlap        dx = windows(g)

    z_i = sum of x_kp where stride p + dilation k - padding = i

    The way back of `windows`: x (batch, channels, *size, *positions) becomes (batch, channels,
    *space), where overlapping windows add up.
    """
    n = len(space)
    size, positions = x.shape[2 : 2 + n], x.shape[2 + n :]
    size, stride, dilation, padding = _grid("fold", space, size, stride, dilation, padding)
    around = [before + i + after for i, (before, after) in zip(space, padding, strict=True)]
    free = [i - r for i, r in zip(around, _reach(size, dilation), strict=True)]
    if positions != tuple(i // s + 1 for i, s in zip(free, stride, strict=True)):
        raise ValueError(f"fold: x {x.shape} is not what windows of {size} see of {space}.")
    padded = np.zeros((*x.shape[:2], *around), dtype=x.dtype)
    for k in np.ndindex(*size):
        axes = zip(k, dilation, stride, positions, strict=True)
        places = (slice(d * i, d * i + s * p, s) for i, d, s, p in axes)
        at, place = (..., *places), (slice(None), slice(None), *k)
        padded[at] += plain(x)[place]
    inside = (..., *(slice(b, b + i) for i, (b, _) in zip(space, padding, strict=True)))
    return padded[inside], lambda g: windows.value(g, size, stride, dilation, padding)


def _grid(op, space, size, stride, dilation, padding):
    """size, stride, dilation and padding with one entry per axis of `space`, checked."""
    n = len(space)
    size = _each(op, "size", size, n, 1)
    stride = _each(op, "stride", stride, n, 1)
    dilation = _each(op, "dilation", dilation, n, 1)
    reach = _reach(size, dilation)
    padding = _sides(op, padding, reach, stride)
    for i, (before, after), r in zip(space, padding, reach, strict=True):
        if before + i + after < r:
            raise ValueError(
                f"{op}: windows that reach over {reach} places do not fit into {space} with "
                f"padding {padding}; give a smaller size or dilation, or more padding."
            )
    return size, stride, dilation, padding


def _reach(size, dilation):
    """Over how many places a window reaches, gaps included."""
    return tuple(d * (k - 1) + 1 for k, d in zip(size, dilation, strict=True))


def _sides(op, padding, reach, stride):
    """The padding (before, after) every axis."""
    if padding == "same":
        if any(s != 1 for s in stride):
            raise ValueError(
                f"{op}: padding='same' is for stride=1, not {stride}; give it in numbers."
            )
        return tuple(((r - 1) // 2, r // 2) for r in reach)  # an odd one goes to the end
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(f"{op}: padding={padding!r}; give 'same', 'valid' or numbers.")
    if padding == "valid":
        padding = 0
    if not isinstance(padding, (tuple, list)):
        padding = (padding,) * len(reach)
    if len(padding) != len(reach):
        raise ValueError(f"{op}: padding={padding!r}; give one for each of {len(reach)} axes.")
    return tuple(_each(op, "padding", sides, 2, 0) for sides in padding)


def _each(op, name, value, n, least):
    """A whole number for each of n axes, from one number or n of them."""
    each = tuple(value) if isinstance(value, (tuple, list)) else (value,) * n
    if len(each) != n or not all(isinstance(k, Integral) and k >= least for k in each):
        raise ValueError(
            f"{op}: {name}={value!r}; give a whole number, at least {least}, or {n} of them."
        )
    return each


# ---------------------------------------------------------------- convolution


@differentiable
def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """z = weight @ windows(x) + bias
    dx = fold(weight.T @ g)        dweight = g @ windows(x).T, summed over the batch
    dbias = g, summed over batch and positions

    z_op = sum over c, k of weight_ock x_c(stride p + dilation k - padding) + bias_o: the output o
    at position p. x is (batch, channels, length), weight (outputs, channels / groups, size), bias
    (outputs,). Equals `einsum("ock,nckp->nop", weight, windows(x, size)) + bias[:, None]`, in one
    matrix product. For padding see `windows`. Of several groups, each has its own channels and
    outputs: the first outputs see only the first channels.
    """
    return _convolution("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


@differentiable
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """z = weight @ windows(x) + bias
    dx = fold(weight.T @ g)        dweight = g @ windows(x).T, summed over the batch
    dbias = g, summed over batch and positions

    As `conv1d`, where k and p have a row and a column: x is (batch, channels, height, width),
    weight (outputs, channels / groups, height, width).
    """
    return _convolution("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


def _convolution(op, n, x, weight, bias, stride, padding, dilation, groups):
    """kernels @ columns + bias in every group: a kernel is a row, a window a column."""
    _check(op, n, x, weight, bias, groups)
    size, *how = _grid(op, x.shape[2:], weight.shape[2:], stride, dilation, padding)
    seen = windows.value(x, size, *how)
    positions = seen.shape[2 + n :]
    outputs = weight.shape[0] // groups
    kernel, places = math.prod(weight.shape[1:]), math.prod(positions)

    columns = seen.reshape((len(x), groups, kernel, places))
    kernels = weight.reshape((groups, outputs, kernel))
    if bias is None:
        z = kernels @ columns
    else:
        z = kernels @ columns + bias.reshape((groups, outputs, 1))

    def rows(g):
        return g.reshape((len(x), groups, outputs, places))

    def dx(g):
        seen_back = kernels.mT @ rows(g)
        return fold.value(seen_back.reshape(seen.shape), x.shape[2:], *how)

    def dweight(g):
        each = columns @ rows(g).mT  # with the longer side first BLAS is faster; then turned
        return each.sum(axis=0).mT.reshape(weight.shape)

    def dbias(g):
        return rows(g).sum(axis=(0, 3)).reshape(bias.shape)

    return z.reshape((len(x), groups * outputs, *positions)), dx, dweight, dbias


def _check(op, n, x, weight, bias, groups):
    shapes = f"{op}: x {x.shape}, weight {weight.shape}, groups {groups}: "
    if x.ndim != 2 + n or weight.ndim != 2 + n:
        space = "length" if n == 1 else "height, width"
        raise ValueError(
            f"{shapes}make x (batch, channels, {space}) and weight (outputs, channels, {space})."
        )
    if not isinstance(groups, Integral) or groups < 1 or len(weight) % groups:
        raise ValueError(f"{shapes}the {len(weight)} outputs do not split into {groups} groups.")
    if x.shape[1] != weight.shape[1] * groups:
        raise ValueError(
            f"{shapes}x has {x.shape[1]} channels, the weight is for {weight.shape[1] * groups}."
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"{op}: weight {weight.shape}, bias {bias.shape}: make the bias ({len(weight)},), one "
            "number per output."
        )


# ---------------------------------------------------------------- pooling


@differentiable
def max_pool2d(x, size, stride=None, padding=0):
    """z = the largest x in each window
    dx = fold(g / ties where x is the largest, else 0)

    Equals `windows(x, size, stride).max(axis=(2, 3))`. The stride is the size if left out: then
    windows lie side by side. Equal largest entries share the gradient equally; padding is never
    the largest.
    """
    seen, *how = _pool("max_pool2d", x, size, stride, padding, fill=-math.inf)
    z = np.max(seen, axis=(2, 3), keepdims=True)

    def dx(g):
        ties = (seen == z).astype(seen.dtype)
        count = np.maximum(np.sum(ties, axis=(2, 3), keepdims=True), 1)  # where z is nan: none
        return fold.value(np.expand_dims(g, (2, 3)) * (ties / count), x.shape[2:], *how)

    return np.squeeze(z, (2, 3)), dx


@differentiable
def avg_pool2d(x, size, stride=None, padding=0):
    """z = the mean of x in each window        dx = fold(g / n), n the numbers in a window

    Equals `windows(x, size, stride).mean(axis=(2, 3))`. The stride is the size if left out. Padding
    counts as zeros (PyTorch's default).
    """
    seen, *how = _pool("avg_pool2d", x, size, stride, padding, fill=0.0)
    n = math.prod(seen.shape[2:4])

    def dx(g):
        each = np.broadcast_to(np.expand_dims(g / n, (2, 3)), seen.shape)
        return fold.value(each, x.shape[2:], *how)

    return np.mean(seen, axis=(2, 3)), dx


def _pool(op, x, size, stride, padding, fill):
    """What the windows see, as a plain array; and their stride, dilation and padding."""
    if x.ndim != 4:
        raise ValueError(f"{op}: x {x.shape}: make it (batch, channels, height, width).")
    stride = size if stride is None else stride
    size, *how = _grid(op, x.shape[2:], size, stride, 1, padding)
    if any(2 * max(sides) > k for sides, k in zip(how[-1], size, strict=True)):
        raise ValueError(
            f"{op}: padding={padding!r} with size={size}: some windows would see nothing but "
            "padding; give at most half the size."
        )
    # A copy: NumPy reduces it 20 times faster than the view.
    return np.ascontiguousarray(windows.value(plain(x), size, *how, fill)), *how
