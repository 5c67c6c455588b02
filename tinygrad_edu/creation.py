"""Creation: tensors of zeros, of ones, of numbers in a row, of random numbers.

Shapes are a tuple or the lengths one by one: `zeros((2, 3))` and `zeros(2, 3)` are the same. The
dtype is the default one (float32) unless given.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_edu.arrays import Array, default_dtype
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "zeros", "ones", "full", "eye", "arange", "linspace", "rand", "randn", "randint",
    "zeros_like", "ones_like",
]  # fmt: skip


def zeros(*shape: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros.

    >>> zeros(2, 3).shape
    (2, 3)
    """
    return _made(np.zeros(_shape("zeros", shape)), dtype, requires_grad)


def ones(*shape: Any, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones.

    >>> ones((2,))
    Tensor([1., 1.])
    """
    return _made(np.ones(_shape("ones", shape)), dtype, requires_grad)


def full(
    shape: int | tuple[int, ...],
    value: float,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with `value` everywhere.

    >>> full((2,), 7)
    Tensor([7., 7.])
    """
    return _made(np.full(_shape("full", (shape,)), plain(value)), dtype, requires_grad)


def eye(
    n: int, columns: int | None = None, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """The identity matrix of n rows (and `columns` columns, if they differ).

    >>> eye(2)
    Tensor([[1., 0.],
            [0., 1.]])
    """
    return _made(np.eye(n, columns), dtype, requires_grad)


def arange(*bounds: float, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """The numbers from start (0) up to, not including, stop, in steps of step (1).

    `arange(stop)`, `arange(start, stop)` or `arange(start, stop, step)`. Whole bounds give whole
    numbers, good for indexing, unless a gradient is wanted.

    >>> arange(3), arange(0.0, 1.0, 0.5)
    (Tensor([0, 1, 2], dtype=int64), Tensor([0. , 0.5]))
    """
    row = np.arange(*bounds)
    if dtype is None and row.dtype.kind in "iu" and not requires_grad:
        dtype = row.dtype
    return _made(row, dtype, requires_grad)


def linspace(
    start: float,
    stop: float,
    n: int = 50,
    dtype: DTypeLike | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """n numbers from start to stop, both included, evenly spaced.

    >>> linspace(0, 1, 3)
    Tensor([0. , 0.5, 1. ])
    """
    return _made(np.linspace(start, stop, n), dtype, requires_grad)


def rand(
    *shape: Any, rng: Rng = None, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Random numbers spread evenly over [0, 1).

    >>> rand(2, 3, rng=0).shape
    (2, 3)
    """
    wanted = np.dtype(default_dtype() if dtype is None else dtype)
    draws = as_generator(rng).random(_shape("rand", shape)).astype(wanted)
    if wanted.kind == "f":
        draws = np.minimum(
            draws, np.nextafter(wanted.type(1), wanted.type(0))
        )  # never rounded to 1
    return _made(draws, wanted, requires_grad)


def randn(
    *shape: Any, rng: Rng = None, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Random numbers of the standard normal law (mean 0, variance 1).

    >>> randn(3, rng=0).shape
    (3,)
    """
    return _made(as_generator(rng).standard_normal(_shape("randn", shape)), dtype, requires_grad)


def randint(
    low: int, high: int | None = None, shape: int | tuple[int, ...] = (), *, rng: Rng = None
) -> Tensor:
    """Random whole numbers from low up to, not including, high; `randint(high)` starts at 0.

    >>> randint(0, 10, (2, 2), rng=0).dtype
    dtype('int64')
    """
    if not isinstance(shape, (int, tuple)):
        raise TypeError(f"randint: shape={shape!r}; write randint(low, high, shape).")
    return Tensor(as_generator(rng).integers(low, high, size=_shape("randint", (shape,))))


def zeros_like(
    x: Tensor | Array, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Zeros in the shape and dtype of x.

    >>> zeros_like(Tensor([1.0, 2.0]))
    Tensor([0., 0.])
    """
    return Tensor(np.zeros_like(plain(x), dtype=dtype), requires_grad)


def ones_like(
    x: Tensor | Array, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """Ones in the shape and dtype of x.

    >>> ones_like(Tensor([1.0, 2.0]))
    Tensor([1., 1.])
    """
    return Tensor(np.ones_like(plain(x), dtype=dtype), requires_grad)


def _shape(who: str, shape: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from both (2, 3) and ((2, 3),)."""
    if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
        shape = tuple(shape[0])
    try:
        lengths = tuple(operator.index(n) for n in shape)
    except TypeError:
        raise TypeError(f"{who}: shape {shape!r} must be whole numbers.") from None
    if any(n < 0 for n in lengths):
        raise ValueError(f"{who}: shape {shape!r} has a negative length.")
    return lengths


def _made(array: Array, dtype: DTypeLike | None, requires_grad: bool) -> Tensor:
    return Tensor(
        array, requires_grad, dtype=default_dtype() if dtype is None else dtype, copy=False
    )
