"""Arrays: what may become a Tensor's data, and with which dtype.

Arrays keep their dtype. Python numbers and lists become the default dtype, float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

__all__ = ["Array", "as_array", "default_dtype", "set_default_dtype"]

Array = np.ndarray[Any, np.dtype[Any]]

_default: np.dtype[Any] = np.dtype(np.float32)
_READY = frozenset(map(np.dtype, ("f4", "f8", "i8", "?")))  # nothing to look into: the usual case


def set_default_dtype(dtype: DTypeLike) -> None:
    """Make Python numbers and lists become `dtype`, float32 or another floating dtype.

    >>> import tinygrad_edu as tg
    >>> tg.set_default_dtype("float64")
    >>> tg.Tensor([1, 2]).dtype
    dtype('float64')
    >>> tg.set_default_dtype("float32")
    """
    global _default
    wanted = np.dtype(dtype)
    if wanted.kind != "f":
        raise TypeError(f"set_default_dtype: {wanted} is not floating; use float32 or float64.")
    _default = wanted


def default_dtype() -> np.dtype[Any]:
    """The dtype that Python numbers and lists become."""
    return _default


def as_array(data: Any, dtype: DTypeLike | None = None, copy: bool = True) -> Array:
    """An array of real numbers (or bools), in this machine's byte order.

    Raises TypeError for what holds no real numbers (text, objects, complex numbers, records) or
    would lose a mask, ValueError for rows of different lengths.
    """
    if type(data) is np.ndarray and dtype is None and data.dtype in _READY:
        return data.copy() if copy else data
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError("Tensor: a masked array would lose its mask; use data.filled(value).")
    try:
        array: Array = np.array(data, dtype=dtype, copy=True if copy else None)
    except (ValueError, TypeError) as error:
        raise type(error)(
            f"Tensor: {_shortened(data)} is no array of numbers: {error} "
            "(rows must have one length; Tensors are joined by stack or concatenate)"
        ) from error
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"Tensor: {_shortened(data)} has dtype {array.dtype}; give real numbers, "
            "for instance np.asarray(data, dtype=float)."
        )
    keeps_dtype = dtype is not None or hasattr(data, "dtype") or array.dtype.kind == "b"
    wanted = array.dtype.newbyteorder("=") if keeps_dtype else _default
    return array.astype(wanted, copy=False)


def _shortened(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else text[:57] + "..."
