"""An array as a picture of a few pixels, and in a few words.

Hue is sign: orange is positive, blue negative. How solid it is is size, relative to the largest
number in the array; so one picture serves on white and on black. NaN and infinity are magenta.
Pictures are PNG, written here: it takes a page of code and no library.
"""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.drawing.style import NEGATIVE, NOT_FINITE, POSITIVE
from tinygrad_edu.graph.wording import number, shape, size

__all__ = ["Thumbnail", "not_finite", "pixels", "summary", "thumbnail", "words"]

MOST = 24  # pixels along a side; of a larger array each pixel shows the largest of a block
TILES = 12  # matrices of an array with more than two axes
LEVELS = 16  # of strength, for each sign
GAP = 0  # the palette's first colour is nothing at all


class Thumbnail(NamedTuple):
    """A PNG file, and how many pixels it has."""

    png: bytes
    rows: int
    columns: int


def thumbnail(x: Array) -> Thumbnail | None:
    """A small picture of an array; None if it is empty.

    >>> thumbnail(np.eye(3)).png[:4], thumbnail(np.ones(100)).columns
    (b'\\x89PNG', 24)
    """
    if x.size == 0:
        return None
    grid = pixels(x)
    return Thumbnail(_png(grid), *grid.shape)


# ---------------------------------------------------------------- which pixels


def pixels(x: Array) -> Array:
    """Each pixel's place in the palette: 0 nothing, 1 to 16 negative, 17 zero, to 33 positive, 34.

    >>> pixels(np.array([[1.0, -0.5, 0.0, np.nan]])).tolist()
    [[33, 9, 17, 34]]
    """
    tiles = x.reshape(-1, *x.shape[-2:]) if x.ndim > 2 else np.atleast_2d(x)[None]
    tiles = _shrunk(tiles, 0, TILES)
    across = math.ceil(math.sqrt(len(tiles)))
    most = max(2, MOST // across)
    tiles = _shrunk(_shrunk(tiles, 1, most), 2, most).astype(np.float64)
    finite = np.isfinite(tiles)
    largest = np.abs(tiles[finite]).max(initial=0)
    with np.errstate(all="ignore"):
        strength = np.ceil(np.abs(tiles) / (largest or 1) * LEVELS)  # the smallest is not zero
    levels = np.where(finite, np.copysign(strength, tiles), LEVELS + 1)
    return _side_by_side((levels + LEVELS + 1).astype(np.uint8), across)


def _shrunk(x: Array, axis: int, most: int) -> Array:
    """At most so many entries along an axis, each the largest in magnitude of a block; NaN wins."""
    if x.shape[axis] <= most:
        return x
    starts = np.arange(most) * x.shape[axis] // most
    with np.errstate(all="ignore"):
        high = np.maximum.reduceat(x, starts, axis)
        low = np.minimum.reduceat(x, starts, axis)
        if x.dtype.kind != "f":
            high, low = high.astype(np.float64), low.astype(np.float64)
        return np.where(high < -low, low, high)


def _side_by_side(tiles: Array, across: int) -> Array:
    """Matrices in rows of so many, with gaps between."""
    n, rows, columns = tiles.shape
    down = math.ceil(n / across)
    grid = np.full((down * (rows + 1) - 1, across * (columns + 1) - 1), GAP, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // across * (rows + 1), i % across * (columns + 1)
        grid[top : top + rows, left : left + columns] = tile
    return grid


# ---------------------------------------------------------------- the file


def _png(grid: Array) -> bytes:
    """PNG with a palette (ISO/IEC 15948): a header, colours, their solidness, and rows."""
    rows, columns = grid.shape
    colours, solid = _palette()
    lines = b"".join(b"\0" + row.tobytes() for row in grid)  # each row says that it is unfiltered
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", header),
            (b"PLTE", colours),
            (b"tRNS", solid),
            (b"IDAT", zlib.compress(lines, 9)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _palette() -> tuple[bytes, bytes]:
    """The colours of `pixels`, and how solid each is."""
    steps = [255 * k // LEVELS for k in range(LEVELS + 1)]
    colours = [(0, 0, 0), *[NEGATIVE] * LEVELS, *[POSITIVE] * (LEVELS + 1), NOT_FINITE]
    return b"".join(map(bytes, colours)), bytes([0, *steps[:0:-1], *steps, 255])


# ---------------------------------------------------------------- in words


def not_finite(x: Array) -> str:
    """How many numbers are none: "2 nan, 1 infinite", or nothing.

    >>> not_finite(np.array([1.0, np.nan, np.inf])), not_finite(np.zeros(3))
    ('1 nan, 1 infinite', '')
    """
    if x.dtype.kind != "f" or np.isfinite(x).all():
        return ""
    counts = (int(np.isnan(x).sum()), "nan"), (int(np.isinf(x).sum()), "infinite")
    return ", ".join(f"{count} {word}" for count, word in counts if count)


def _finite(x: Array) -> Array:
    return x[np.isfinite(x)] if not_finite(x) else x


def mean(x: Array) -> float:
    """The mean of what is finite, without overflow on the way."""
    finite = _finite(x)
    if finite.size == 0:
        return 0.0
    largest = max(abs(float(finite.min())), abs(float(finite.max())))
    if largest < 1e150:
        return float(finite.mean(dtype=np.float64))
    return float((finite / largest).mean() * largest)


def words(x: Array) -> str:
    """The shortest description of an array of several numbers.

    >>> words(np.array([0.5, 1.0])), words(np.arange(3)), words(np.array([True, False]))
    ('mean 0.75', '0 to 2', '1 of 2 true')
    """
    if x.dtype.kind == "b":
        return f"{int(x.sum())} of {x.size} true"
    return f"mean {number(mean(x))}" if x.dtype.kind == "f" else f"{x.min()} to {x.max()}"


def summary(x: Array) -> str:
    """An array in words.

    >>> summary(np.array([[1.0, -2.0], [0.0, 4.0]]))
    '2×2 float64, mean 0.75, from -2 to 4, ‖4.583‖, 1 of 4 zero'
    """
    kind = f"{shape(x.shape)} {x.dtype}"
    if x.size == 0:
        return f"{kind}, empty"
    if x.size == 1:
        return f"{kind}, {number(x)}"
    alarm = not_finite(x)
    finite = _finite(x)
    parts: list[Any] = [kind, alarm]
    if finite.size:
        parts += [
            f"mean {number(mean(x))}",
            f"from {number(finite.min())} to {number(finite.max())}",
        ]
    if not alarm:
        parts.append(f"‖{number(size(x))}‖")
    zeros = x.size - int(np.count_nonzero(x))
    parts.append(f"{zeros} of {x.size} zero" if zeros else "")
    return ", ".join(part for part in parts if part)
