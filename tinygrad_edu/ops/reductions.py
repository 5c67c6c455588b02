"""Reductions: many numbers become fewer, along one axis, several, or all.

What was summed over gets the same gradient everywhere: `_spread` puts the axes that vanished back
and repeats g along them.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.ops.elementwise import abs as absolute
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor, plain

Axis = int | tuple[int, ...] | None

__all__ = [
    "sum", "mean", "var", "std", "norm", "euclidean_norm", "prod", "cumsum", "cumprod",
    "max", "min", "median", "sort", "logsumexp", "softmax", "log_softmax",
    "argmax", "argmin", "argsort", "all", "any",
]  # fmt: skip


def _axes(x, axis):
    """The axes meant by `axis`, as a tuple of numbers from 0."""
    if axis is None:
        return tuple(range(np.ndim(x)))
    return np.lib.array_utils.normalize_axis_tuple(axis, np.ndim(x))


def _count(x, axis):
    """How many numbers become one."""
    return math.prod(np.shape(x)[i] for i in _axes(x, axis))


def _back(g, x, axis, keepdims):
    """g with the axes that vanished, at length 1."""
    return g if keepdims else np.expand_dims(g, _axes(x, axis))


def _spread(g, x, axis, keepdims):
    """g with the axes that vanished, repeated along them to the shape of x."""
    return np.broadcast_to(_back(g, x, axis, keepdims), np.shape(x))


def total(x, axes):
    """The sum along these axes, numbers from 0, which stay with length 1.

    np.sum is slow along short rows and down long columns: there einsum takes a quarter of the time.
    It sums the last axes and the first ones, np.sum what lies between.
    """
    if axes == (x.ndim - 1,):
        return np.einsum("...i->...", x)[..., None]
    kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
    last, first = x.ndim, 0
    while last and last - 1 in axes:
        last -= 1
    if last < x.ndim:
        x = np.einsum("...i->...", np.reshape(x, (*x.shape[:last], math.prod(x.shape[last:]))))
    while first < last and first in axes:
        first += 1
    if first:
        x = np.einsum("i...->...", np.reshape(x, (math.prod(x.shape[:first]), *x.shape[first:])))
    between = tuple(i - first for i in range(first, last) if i in axes)
    if between:
        x = np.sum(x, axis=between)
    return np.reshape(x, kept)


# ---------------------------------------------------------------- sums and means


@differentiable
def sum(x, axis=None, keepdims=False):
    """z = sum of x_i        dx_i = g"""
    if axis is not None and np.ndim(x) == 0:  # NumPy lets it pass
        raise ValueError(f"sum: axis={axis}: a single number has no axes; leave it out.")
    return np.sum(x, axis=axis, keepdims=keepdims), lambda g: _spread(g, x, axis, keepdims)


@differentiable
def mean(x, axis=None, keepdims=False):
    """z = (sum of x_i) / n        dx_i = g / n"""
    n = _count(x, axis)
    return np.mean(x, axis=axis, keepdims=keepdims), lambda g: _spread(g / n, x, axis, keepdims)


@differentiable
def var(x, axis=None, ddof=0, keepdims=False):
    """z = sum of (x_i - m)^2 / (n - ddof), m the mean        dx_i = g * 2 * (x_i - m) / (n - ddof)

    ddof=0 is NumPy's choice, ddof=1 the unbiased one (PyTorch's default).
    """
    n = _count(x, axis) - ddof
    from_mean = x - np.mean(x, axis=axis, keepdims=True)
    z = np.sum(from_mean * from_mean, axis=axis, keepdims=keepdims) / n
    return z, lambda g: _back(g, x, axis, keepdims) * 2 * from_mean / n


@differentiable
def std(x, axis=None, ddof=0, keepdims=False):
    """z = sqrt of the variance of x        dx_i = g * (x_i - m) / ((n - ddof) * z), m the mean

    Where all x_i are equal the gradient is 0.
    """
    n = _count(x, axis) - ddof
    from_mean = x - np.mean(x, axis=axis, keepdims=True)
    z = np.sqrt(np.sum(from_mean * from_mean, axis=axis, keepdims=keepdims) / n)

    def dx(g):
        return _back(g / np.where(z == 0, 1, z), x, axis, keepdims) * from_mean / n

    return z, dx


# ---------------------------------------------------------------- lengths


def norm(
    x: Tensor | Array, ord: float | str | None = None, axis: Axis = None, keepdims: bool = False
) -> Tensor:
    """Length of the entries along `axis`, taken as one vector: (sum of |x_i|^ord)^(1/ord).

    `ord` is 2 when left out; 1 is the sum of sizes, inf the largest, -inf the smallest. At a vector
    of zeros the gradient of the Euclidean length is 0. Norms of matrices as operators (spectral,
    nuclear) are not offered: see `numpy.linalg.norm` on `.numpy()`.

    >>> norm(Tensor([3.0, 4.0]))
    Tensor(5.)
    """
    if ord in (None, 2, "fro"):
        return euclidean_norm(x, axis, keepdims)
    if isinstance(ord, str) or ord == 0:
        raise ValueError(f"norm: ord={ord!r} has no gradient rule; give a number, inf or nothing.")
    size = absolute(x)
    if math.isinf(ord):
        return (max if ord > 0 else min)(size, axis, keepdims)
    return sum(size**ord, axis, keepdims) ** (1 / ord)


@differentiable
def euclidean_norm(x, axis=None, keepdims=False):
    """z = sqrt(sum of x_i^2)        dx_i = g * x_i / z

    Where all x_i are 0 the gradient is 0.
    """
    z = np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))
    return z, lambda g: _back(g / np.where(z == 0, 1, z), x, axis, keepdims) * x


# ---------------------------------------------------------------- products


@differentiable
def prod(x, axis=None, keepdims=False):
    """z = product of x_i        dx_i = g * (product of all others)

    The others are multiplied out, not divided out of z: right also where x has zeros.
    """
    axes = _axes(x, axis)

    def dx(g):
        kept = tuple(i for i in range(np.ndim(x)) if i not in axes)
        order = kept + axes
        rows = np.reshape(np.transpose(x, order), (*(np.shape(x)[i] for i in kept), -1))
        ones = np.ones_like(plain(rows)[..., :1])
        before = np.cumprod(np.concatenate([ones, rows[..., :-1]], axis=-1), axis=-1)
        after = np.cumprod(np.concatenate([ones, rows[..., :0:-1]], axis=-1), axis=-1)[..., ::-1]
        others = np.reshape(before * after, tuple(np.shape(x)[i] for i in order))
        return _back(g, x, axis, keepdims) * np.transpose(others, tuple(np.argsort(order)))

    return np.prod(x, axis=axis, keepdims=keepdims), dx


@differentiable
def cumsum(x, axis=None):
    """z_i = sum of x_j for j <= i        dx_i = sum of g_j for j >= i

    With axis=None, x is flattened first.
    """

    def dx(g):
        along = -1 if axis is None else axis
        total = np.flip(np.cumsum(np.flip(g, axis=along), axis=along), axis=along)
        return np.reshape(total, np.shape(x))

    return np.cumsum(x, axis=axis), dx


@differentiable
def cumprod(x, axis=None):
    """z_i = product of x_j, j <= i        dx_i = sum of g_j * (x_0 ... x_j without x_i) for j >= i

    Right also where x has zeros, at the price of n^2 numbers along the axis. With axis=None, x is
    flattened first.
    """

    def dx(g):
        along = -1 if axis is None else axis
        rows = np.moveaxis(np.reshape(x, -1) if axis is None else x, along, -1)
        n = np.shape(rows)[-1]
        # others[..., i, j] = product of x_k over k <= j without k = i
        without = np.where(np.eye(n, dtype=bool), 1, np.expand_dims(rows, -2))
        others = np.cumprod(without, axis=-1) * np.triu(np.ones((n, n), dtype=rows.dtype))
        each = np.sum(np.expand_dims(np.moveaxis(g, along, -1), -2) * others, axis=-1)
        return np.reshape(np.moveaxis(each, -1, along), np.shape(x))

    return np.cumprod(x, axis=axis), dx


# ---------------------------------------------------------------- the largest, the middle


@differentiable
def max(x, axis=None, keepdims=False):
    """z = the largest x_i        dx_i = g / ties where x_i = z, else 0

    Equal largest entries share the gradient equally. With a nan, z is nan.
    """
    return _picked(x, np.max(plain(x), axis=axis, keepdims=True), axis, keepdims)


@differentiable
def min(x, axis=None, keepdims=False):
    """z = the smallest x_i        dx_i = g / ties where x_i = z, else 0

    Equal smallest entries share the gradient equally. With a nan, z is nan.
    """
    return _picked(x, np.min(plain(x), axis=axis, keepdims=True), axis, keepdims)


@differentiable
def median(x, axis=None, keepdims=False):
    """z = (a + b) / 2, the middle two x_i
    dx_i = g/2 / ties where x_i = a, and the same for b

    With an odd number of entries a and b are the same one. With a nan, z is nan.
    """
    last = np.moveaxis(plain(x), _axes(x, axis), range(-len(_axes(x, axis)), 0))
    rows = np.sort(np.reshape(last, (*last.shape[: last.ndim - len(_axes(x, axis))], -1)), axis=-1)
    n = rows.shape[-1]
    if n == 0:
        raise ValueError("median: of no numbers; give at least one.")
    broken = np.isnan(rows[..., -1])  # sort puts a nan last
    a, b = (np.where(broken, np.nan, rows[..., i]) for i in ((n - 1) // 2, n // 2))
    a, b = (np.expand_dims(middle, _axes(x, axis)) for middle in (a, b))
    z_a, dx_a = _picked(x, a, axis, keepdims)
    z_b, dx_b = _picked(x, b, axis, keepdims)
    return (z_a + z_b) / 2, lambda g: dx_a(g / 2) + dx_b(g / 2)


def _picked(x, z, axis, keepdims):
    """z (with its axes kept) as the value, and the pullback that shares g among the x_i = z."""

    def dx(g):
        ties = (plain(x) == z).astype(x.dtype)
        share = ties / np.sum(ties, axis=_axes(x, axis), keepdims=True)
        return _back(g, x, axis, keepdims) * share

    return z if keepdims else np.squeeze(z, axis=_axes(x, axis)), dx


@differentiable
def sort(x, axis=-1):
    """z = x in rising order        dx = g put back in the order of x

    Equal entries keep their order, so each has its own gradient. With axis=None, x is flattened.
    """
    flat = np.reshape(x, -1) if axis is None else x
    along = -1 if axis is None else axis
    order = np.argsort(plain(flat), axis=along, kind="stable")
    back = np.argsort(order, axis=along)

    def dx(g):
        return np.reshape(np.take_along_axis(g, back, axis=along), np.shape(x))

    return np.take_along_axis(flat, order, axis=along), dx


# ---------------------------------------------------------------- soft versions of the maximum


@differentiable
def logsumexp(x, axis=None, keepdims=False):
    """z = log(sum of e^x_i)        dx_i = g * e^(x_i - z)"""
    shift = _largest(x, axis)
    with np.errstate(divide="ignore"):  # log 0 = -inf is right for a row of -inf
        z = shift + np.log(np.sum(np.exp(x - shift), axis=axis, keepdims=True))

    def dx(g):
        # a row of -inf has z = -inf, and none of its entries a share
        return _back(g, x, axis, keepdims) * np.exp(x - np.where(np.isneginf(z), 0, z))

    return z if keepdims else np.squeeze(z, axis=_axes(x, axis)), dx


@differentiable
def softmax(x, axis=-1):
    """z_i = e^x_i / (sum of e^x_j)        dx_i = z_i * (g_i - sum of g_j * z_j)"""
    axes = _axes(x, axis)
    with np.errstate(invalid="ignore", over="ignore"):  # of nothing but -inf, or of a +inf, nan
        e = safe_exp(x, axes)
        z = e / total(e, axes)
    return z, lambda g: z * (g - total(g * z, axes))


@differentiable
def log_softmax(x, axis=-1):
    """z_i = x_i - log(sum of e^x_j)        dx_i = g_i - e^z_i * (sum of g_j)"""
    with np.errstate(invalid="ignore", divide="ignore"):  # as softmax
        shifted = x - _largest(x, axis)
        z = shifted - np.log(np.sum(np.exp(shifted), axis=axis, keepdims=True))
    return z, lambda g: g - np.exp(z) * np.sum(g, axis=axis, keepdims=True)


def _largest(x, axis):
    """The largest x, a constant: shifted by it, exp never overflows, and the shift cancels."""
    if np.size(x) == 0:
        return 0
    largest = np.max(plain(x), axis=axis, keepdims=True)
    return np.where(np.isfinite(largest), largest, 0)


def safe_exp(x, axis, mask=None):
    """e^(x - a) where mask, else 0, with one constant a in each row: in quotients it cancels.

    a is the largest x of the row, so that nothing overflows; but 0 where no x at all is far out,
    since looking for the largest takes longer than exp.
    """
    far, seen = _FAR.get(x.dtype.char, 0), plain(x)
    if seen.size and -far <= seen.min() and seen.max() <= far:
        e = np.exp(x)
        if mask is not None:
            e *= mask.astype(x.dtype)  # e is ours: nobody else has seen it
        return e
    if mask is not None:
        x = np.where(mask, x, -math.inf)
    return np.exp(x - _largest(x, axis))


_FAR = {"f": 20, "d": 200}  # e^20 is far from the largest float32, e^200 from the largest float64


# ---------------------------------------------------------------- without a gradient: plain arrays


def argmax(x: Tensor | Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the largest entry along `axis` is (the first of several), as whole numbers."""
    return np.argmax(plain(x), axis=axis, keepdims=keepdims)


def argmin(x: Tensor | Array, axis: int | None = None, keepdims: bool = False) -> Array:
    """Where the smallest entry along `axis` is (the first of several), as whole numbers."""
    return np.argmin(plain(x), axis=axis, keepdims=keepdims)


def argsort(x: Tensor | Array, axis: int | None = -1) -> Array:
    """The order that sorts the entries along `axis`; equal entries keep theirs."""
    return np.argsort(plain(x), axis=axis, kind="stable")


def all(x: Tensor | Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every entry along `axis` differs from 0, as bools."""
    return np.all(plain(x), axis=axis, keepdims=keepdims)


def any(x: Tensor | Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether some entry along `axis` differs from 0, as bools."""
    return np.any(plain(x), axis=axis, keepdims=keepdims)
