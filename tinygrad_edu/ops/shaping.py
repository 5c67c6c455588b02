"""Shaping: the same numbers elsewhere.

Nothing is computed here: entries move, are copied, or are left out. So every gradient is the same
move backwards: what moved moves back, what was copied is added up, what was left out gets 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike

from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "reshape", "flatten", "squeeze", "expand_dims", "unsqueeze",
    "transpose", "permute", "swapaxes", "moveaxis",
    "clone", "astype", "broadcast_to", "tile",
    "getitem", "scatter", "take", "take_along_axis", "repeat",
    "concatenate", "stack", "vstack", "hstack", "split", "array_split",
    "flip", "roll", "pad", "masked_fill", "tril", "triu",
    "diagonal", "diag", "trace",
]  # fmt: skip


# ---------------------------------------------------------------- the same entries, other axes


@differentiable
def reshape(x, *lengths, shape=None):
    """z = x in another shape        dx = g in the shape of x

    `reshape(x, 2, 3)` or `reshape(x, (2, 3))`; one length may be -1, which is worked out.
    """
    shape = _as_tuple(lengths) if shape is None else shape
    try:
        z = np.reshape(x, shape)
    except ValueError:
        raise ValueError(
            f"reshape: the {np.size(x)} entries of shape {np.shape(x)} do not fill shape {shape}."
        ) from None
    return z, lambda g: np.reshape(g, x.shape)


@differentiable
def flatten(x, start_axis=0):
    """z = x with its axes from `start_axis` on made one        dx = g in the shape of x"""
    kept = np.shape(x)[: normalize_axis_index(start_axis, max(np.ndim(x), 1))]
    z = np.reshape(x, (*kept, math.prod(np.shape(x)[len(kept) :])))
    return z, lambda g: np.reshape(g, x.shape)


@differentiable
def squeeze(x, axis=None):
    """z = x without its axes of length 1        dx = g in the shape of x

    `axis`, a number or a tuple, says which of them; None means all.
    """
    return np.squeeze(x, axis), lambda g: np.reshape(g, x.shape)


@differentiable
def expand_dims(x, axis):
    """z = x with new axes of length 1        dx = g in the shape of x

    `axis`, a number or a tuple, says where they stand in z.
    """
    return np.expand_dims(x, axis), lambda g: np.reshape(g, x.shape)


unsqueeze = expand_dims


@differentiable
def transpose(x, *order, axes=None):
    """z = x with its axes in another order        dx = g with them put back

    `transpose(x, 0, 2, 1)` or `transpose(x, (0, 2, 1))`; without an order, reversed.
    """
    axes = _as_tuple(order) or None if axes is None else axes
    if axes is None:
        return np.transpose(x), lambda g: np.transpose(g)
    z = np.transpose(x, axes)
    back = np.argsort(np.arange(z.ndim)[list(axes)]).tolist()  # arange turns -1 into the last
    return z, lambda g: np.transpose(g, back)


def permute(x: ArrayLike | Tensor, *axes: Any) -> Tensor:
    """x with its axes in the order `axes`: `transpose` where the order must be said."""
    if not axes:
        raise TypeError("permute: say the order of the axes; transpose(x) reverses them.")
    return transpose(x, *axes)


@differentiable
def swapaxes(x, axis1, axis2):
    """z = x with two axes exchanged        dx = g with them exchanged back"""
    return np.swapaxes(x, axis1, axis2), lambda g: np.swapaxes(g, axis1, axis2)


@differentiable
def moveaxis(x, source, destination):
    """z = x with axes moved from `source` to `destination`        dx = g with them moved back"""
    return np.moveaxis(x, source, destination), lambda g: np.moveaxis(g, destination, source)


def _as_tuple(numbers):
    """f(x, 2, 3) and f(x, (2, 3)) mean the same, f(x, None) the same as f(x)."""
    if len(numbers) != 1 or isinstance(numbers[0], int):
        return numbers
    return () if numbers[0] is None else tuple(numbers[0])


# ---------------------------------------------------------------- copies


@differentiable
def clone(x):
    """z = x, in memory of its own        dx = g"""
    return np.copy(x), lambda g: g


@differentiable
def astype(x, dtype):
    """z = x as numbers of another type        dx = g

    Whole numbers and bools have no gradient: where x requires one, detach it before.
    """
    z = x.astype(dtype)
    return z, (lambda g: g) if z.dtype.kind == "f" else None


@differentiable
def broadcast_to(x, shape):
    """z = x repeated to fill `shape`        dx = g, summed over the copies

    The engine sums, as it does for every broadcast.
    """
    return np.broadcast_to(x, shape), lambda g: g


@differentiable
def tile(x, reps):
    """z = x laid side by side, `reps` times along each axis        dx = g summed over the tiles"""

    def dx(g):
        times = (reps,) if np.ndim(reps) == 0 else tuple(reps)
        times = (1,) * (x.ndim - len(times)) + times
        lengths = (1,) * (len(times) - x.ndim) + x.shape
        tiles = [n for pair in zip(times, lengths, strict=True) for n in pair]
        over_tiles = tuple(range(0, len(tiles), 2))
        return np.reshape(np.sum(np.reshape(g, tiles), axis=over_tiles), x.shape)

    return np.tile(x, reps), dx


# ---------------------------------------------------------------- picking entries by position


def getitem(x: Any, index: Any) -> Tensor:
    """x[index], for every index that NumPy knows: numbers, slices, None, dots, arrays, masks.

    An entry that was picked twice gets both gradients.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> getitem(x, [0, 0, 2]).sum().backward()
    >>> x.grad
    array([2., 0., 1.], dtype=float32)
    """
    return _getitem(x, _settled(index))


@differentiable
def _getitem(x, index):
    """z = x[index]        dx = zeros in the shape of x, with g added at [index]"""
    return x[index], lambda g: scatter.value(g, index, x.shape)


@differentiable
def scatter(x, index, shape):
    """z = zeros in `shape`, with x added at [index]        dx = g[index]

    The way back of indexing. `index` is a tuple.
    """
    z = np.zeros(shape, x.dtype)
    if not any(isinstance(part, np.ndarray) and part.dtype != bool for part in index):
        z[index] = plain(x)
    elif len(index) == 1 and z.ndim > 1 and z.size > 1000:
        _add_rows(z, index, plain(x))
    else:
        np.add.at(z, index, plain(x))  # numbers in an array may name an entry twice
    return z, lambda g: g[index]


def _add_rows(z, index, x):
    """np.add.at(z, index, x) for an index of whole rows: number by number it is faster."""
    rows, size = np.arange(len(z))[index], math.prod(z.shape[1:])
    entries = np.add.outer(rows * size, np.arange(size))
    x = np.broadcast_to(x, (*rows.shape, *z.shape[1:]))
    np.add.at(z.reshape(-1), entries.reshape(-1), x.reshape(-1))


def _settled(index):
    """The index as a tuple that nobody else can change, Tensors, lists and arrays as new arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(part if type(part) in _BASIC else _positions(part) for part in parts)


_BASIC = frozenset({int, slice, type(None), type(Ellipsis)})


def _positions(part):
    array = np.array(plain(part))
    return array.astype(int) if isinstance(part, list) and not array.size else array  # []


@differentiable
def take(x, indices, axis=None):
    """z = x at `indices` along `axis`        dx = zeros in the shape of x, with g added there

    From x made flat if `axis` is None.
    """
    shape, line = _line(x, axis)
    index = _along(len(shape), line, np.array(indices, int))
    return np.take(x, indices, axis), _putting_back(index, shape, x)


@differentiable
def take_along_axis(x, indices, axis=-1):
    """z = every row of x at its own `indices`        dx = zeros, with g added there

    A row runs along `axis`; None takes x made flat for one. Made for what argsort returns.
    """
    indices = np.array(indices)
    shape, line = _line(x, axis)
    index = list(np.ogrid[tuple(map(slice, shape))])  # each entry from its own place,
    index[line] = indices  # except along the line
    return np.take_along_axis(x, indices, axis), _putting_back(tuple(index), shape, x)


@differentiable
def repeat(x, repeats, axis=None):
    """z = each entry of x `repeats` times        dx = g summed over the copies of each entry

    Along `axis`, or of x made flat if that is None. `repeats` is one number, or one per entry.
    """
    shape, line = _line(x, axis)
    index = _along(len(shape), line, np.repeat(np.arange(shape[line]), repeats))
    return np.repeat(x, repeats, axis), _putting_back(index, shape, x)


def _line(x, axis):
    """The shape and the axis that are meant: `axis=None` means x made flat."""
    if axis is None:
        return (np.size(x),), 0
    return np.shape(x), normalize_axis_index(axis, np.ndim(x))


def _along(ndim, axis, item):
    """The index that picks `item` along one axis and everything along the others."""
    return (slice(None),) * normalize_axis_index(axis, ndim) + (item,)


def _putting_back(index, shape, x):
    return lambda g: np.reshape(scatter.value(g, index, shape), x.shape)


# ---------------------------------------------------------------- joining and cutting


def concatenate(arrays: Sequence[Any], axis: int | None = 0) -> Tensor:
    """The arrays end to end along an axis that they have; `axis=None` makes them flat before."""
    if axis is None:
        arrays, axis = [flatten(x) for x in arrays], 0
    return _concatenate(*arrays, axis=axis)


@differentiable
def _concatenate(*arrays, axis=0):
    """z = arrays end to end along `axis`        darrays = the stretch of g that it fills"""
    try:
        z = np.concatenate(arrays, axis)
    except ValueError as error:
        raise _cannot_join("concatenate", arrays, axis, error) from None
    ends = accumulate((np.shape(x)[axis] for x in arrays), initial=0)
    return z, *(_picking(z.ndim, axis, slice(*stretch)) for stretch in pairwise(ends))


def stack(arrays: Sequence[Any], axis: int = 0) -> Tensor:
    """Arrays of one shape side by side along a new axis; numbers among them count as such."""
    dtypes = [x.dtype for x in arrays if hasattr(x, "dtype")]

    def as_others(x: Any) -> Any:
        return np.asarray(x, np.result_type(x, *dtypes)) if type(x) in (int, float) else x

    return _stack(*map(as_others, arrays), axis=axis)


@differentiable
def _stack(*arrays, axis=0):
    """z = arrays side by side along a new `axis`        darrays = the layer of g that it is"""
    try:
        z = np.stack(arrays, axis)
    except ValueError as error:
        raise _cannot_join("stack", arrays, axis, error) from None
    return z, *(_picking(z.ndim, axis, k) for k in range(len(arrays)))


def _picking(ndim, axis, item):
    index = _along(ndim, axis, item)
    return lambda g: g[index]


def _cannot_join(name, arrays, axis, error):
    shapes = " and ".join(str(np.shape(x)) for x in arrays) or "nothing"
    return ValueError(f"{name}: {shapes} along axis {axis}: {error}.")


def vstack(arrays: Sequence[Any]) -> Tensor:
    """The arrays on top of each other; one of one axis counts as a row."""
    return concatenate([x if np.ndim(x) > 1 else reshape(x, 1, -1) for x in arrays])


def hstack(arrays: Sequence[Any]) -> Tensor:
    """The arrays beside each other: along their second axis, or their only one."""
    arrays = [x if np.ndim(x) > 0 else reshape(x, 1) for x in arrays]
    return concatenate(arrays, axis=min(np.ndim(arrays[0]), 2) - 1 if arrays else 0)


def split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along `axis` into so many equal parts, or at the given places.

    >>> [part.tolist() for part in split(Tensor([1.0, 2.0, 3.0, 4.0]), [1, 3])]
    [[1.0], [2.0, 3.0], [4.0]]
    """
    parts, n = indices_or_sections, np.shape(x)[normalize_axis_index(axis, np.ndim(x), "split")]
    if isinstance(parts, (int, np.integer)) and (parts < 1 or n % parts):
        raise ValueError(
            f"split: {n} entries along axis {axis} make no {parts} equal parts; "
            "use array_split, or give the places to cut at."
        )
    return array_split(x, parts, axis)


def array_split(x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """x cut along `axis` as by `split`, where the first parts may be longer by one."""
    axis = normalize_axis_index(axis, np.ndim(x), "array_split")
    parts, n = indices_or_sections, np.shape(x)[axis]
    if not isinstance(parts, (int, np.integer)):
        cuts = [0, *map(int, parts), n]
    elif parts < 1:
        raise ValueError(f"array_split: {parts} parts; give at least one.")
    else:
        cuts = [k * (n // parts) + min(k, n % parts) for k in range(parts + 1)]
    return [getitem(x, _along(np.ndim(x), axis, slice(*ends))) for ends in pairwise(cuts)]


# ---------------------------------------------------------------- moving and masking entries


@differentiable
def flip(x, axis=None):
    """z = x backwards along `axis`        dx = g backwards along it

    `axis` is a number or a tuple; None means every axis.
    """
    return np.flip(x, axis), lambda g: np.flip(g, axis)


@differentiable
def roll(x, shift, axis=None):
    """z = x moved on by `shift`, round the end        dx = g moved back

    Along `axis`, a number or a tuple with a shift for each; None rolls x made flat.
    """
    return np.roll(x, shift, axis), lambda g: np.roll(g, np.negative(shift).tolist(), axis)


@differentiable
def pad(x, pad_width, mode="constant", value=0, constant_values=None):
    """z = x in a border of `value`        dx = g without the border

    `pad_width` is one number, a pair (before, after), or a pair for each axis. NumPy calls the
    value `constant_values`.
    """
    if mode != "constant":
        raise ValueError(
            f"pad: mode {mode!r} is not here, as it is indexing: along an axis of n entries, "
            f"take(x, np.pad(np.arange(n), pad_width, {mode!r}), axis)."
        )
    z = np.pad(x, pad_width, constant_values=value if constant_values is None else constant_values)
    before = np.broadcast_to(pad_width, (np.ndim(x), 2))[:, 0].tolist()
    inside = tuple(slice(b, b + n) for b, n in zip(before, np.shape(x), strict=True))
    return z, lambda g: g[inside]


@differentiable
def masked_fill(x, mask, value):
    """z = value where mask, else x
    dx = 0 where mask, else g        dvalue = g where mask, else 0
    """
    mask = np.array(mask)
    z = np.where(mask, value, x)
    return z, lambda g: np.where(mask, 0, g), None, lambda g: np.where(mask, g, 0)


@differentiable
def tril(x, k=0):
    """z = x with 0 above its diagonal `k`        dx = g with 0 there

    Of the last two axes.
    """
    return np.tril(x, k), lambda g: np.tril(g, k)


@differentiable
def triu(x, k=0):
    """z = x with 0 below its diagonal `k`        dx = g with 0 there

    Of the last two axes.
    """
    return np.triu(x, k), lambda g: np.triu(g, k)


# ---------------------------------------------------------------- diagonals


@differentiable
def diagonal(x, offset=0, axis1=0, axis2=1):
    """z = the diagonal of x        dx = zeros with g on that diagonal

    It becomes the last axis of z. `offset` counts from the main diagonal, upwards.
    """

    def dx(g):
        i = np.arange(g.shape[-1])
        index = (..., i + max(-offset, 0), i + max(offset, 0))
        square = (*g.shape[:-1], x.shape[axis1], x.shape[axis2])
        return np.moveaxis(scatter.value(g, index, square), (-2, -1), (axis1, axis2))

    return np.diagonal(x, offset, axis1, axis2), dx


@differentiable
def diag(x, k=0):
    """z = the matrix with diagonal x        dx = the diagonal of g

    Where x is a matrix, z is its diagonal, and dx the matrix with diagonal g. `k` counts from the
    main diagonal, upwards.
    """
    z = np.diag(x, k)
    if np.ndim(x) == 1:
        return z, lambda g: np.diagonal(g, k)
    return z, diagonal.op.rule(x, k)[1]


@differentiable
def trace(x, offset=0, axis1=0, axis2=1):
    """z = the sum of the diagonal of x        dx = zeros with g all along that diagonal"""

    def dx(g):
        ones = np.eye(x.shape[axis1], x.shape[axis2], offset, dtype=x.dtype)
        return np.moveaxis(np.expand_dims(g, (-2, -1)) * ones, (-2, -1), (axis1, axis2))

    return np.trace(x, offset, axis1, axis2), dx
