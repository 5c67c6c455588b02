"""idx: the file format of MNIST, read with distrust.

A file from elsewhere may be cut short, be something else under that name, or claim to be enormous.
What its header says is compared with what is really there, before any memory is taken for it.
"""

from __future__ import annotations

import gzip
import math
import zlib
from io import BufferedReader
from os import PathLike
from pathlib import Path

import numpy as np

from tinygrad_edu.arrays import Array

__all__ = ["read_idx"]

_LARGEST = 2**30  # bytes; MNIST's largest file has 47 million


def read_idx(path: str | PathLike[str]) -> Array:
    """The array in one idx file of unsigned bytes, the format of MNIST, plain or gzip-compressed.

    The file: two zero bytes, the type (8, unsigned bytes), the number of dimensions (1 to 3 here),
    each dimension as four bytes, highest first, then the data. It is taken only if the data is as
    long as the header says, to the byte; memory never grows past what the file really holds, nor
    past what its header says. Raises ValueError naming the file, what was expected and found.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     size = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 5, 0, 4]))
    ...     read_idx(path)
    array([5, 0, 4], dtype=uint8)
    """
    path = Path(path)
    with path.open("rb") as file:
        compressed = file.peek(2)[:2] == b"\x1f\x8b"
        try:
            return _idx_array(path, gzip.GzipFile(fileobj=file) if compressed else file)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise _refusal(path, "a whole gzip file", str(error)) from error


def _idx_array(path: Path, file: BufferedReader | gzip.GzipFile) -> Array:
    head = _read(file, 4)
    if len(head) < 4 or head[:2] != b"\0\0":
        raise _refusal(path, "an idx file, starting with two zero bytes", f"{bytes(head)!r}")
    if head[2] != 8 or not 1 <= head[3] <= 3:
        found = f"type {head[2]} in {head[3]} dimensions"
        raise _refusal(path, "unsigned bytes (type 8) in 1 to 3 dimensions", found)
    dimensions = _read(file, 4 * head[3])
    if len(dimensions) < 4 * head[3]:
        raise _refusal(path, f"{head[3]} dimensions of 4 bytes", f"{len(dimensions)} bytes")
    shape = tuple(np.frombuffer(dimensions, ">u4").tolist())
    size = math.prod(shape)  # Python's integers, which never overflow
    if not 0 < size <= _LARGEST:
        raise _refusal(path, f"1 to {_LARGEST} bytes of data", f"a header that says {shape}")
    data = _read(file, size + 1)  # one more, to see that the file ends where it should
    if len(data) != size:
        found = "more" if len(data) > size else f"{len(data)} bytes"
        raise _refusal(path, f"{size} bytes of data, as its header {shape} says", found)
    return np.frombuffer(data, np.uint8).reshape(shape)


def _read(file: BufferedReader | gzip.GzipFile, most: int) -> bytearray:
    """At most so many bytes, piece by piece: a header that lies makes us allocate nothing."""
    data = bytearray()
    while len(data) < most and (piece := file.read(min(most - len(data), 2**20))):
        data += piece
    return data


def _refusal(path: Path, expected: str, found: str) -> ValueError:
    return ValueError(f"read_idx: {path}: expected {expected}; found {found}. Get the file again.")
