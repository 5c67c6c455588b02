"""Text: a book to learn from, its characters as whole numbers, and windows onto it.

What a network is asked about a text is which character comes next. So every character becomes a
number, the number a row of an `Embedding`, and an example is a stretch of the text, `x`, with the
same stretch one character later, `y`:

    x    A l i c e _ w a
    y    l i c e _ w a s
"""

from __future__ import annotations

import gzip
from pkgutil import get_data
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_edu.arrays import Array

__all__ = ["Characters", "text", "windows"]


def text() -> str:
    """The whole of "Alice's Adventures in Wonderland": 143,090 characters of 69 kinds.

    Lines are those of a printed page, below 80 characters; an empty line ends a paragraph. What
    somebody says stands between ` and '.

    Source: L. Carroll, "Alice's Adventures in Wonderland", 1865 (in the public domain), from the
    Canterbury corpus; see datasets/README.md.

    >>> book = text()
    >>> print(book[82:208])
    Alice was beginning to get very tired of sitting by her sister
    on the bank, and of having nothing to do: once or twice she had
    """
    return gzip.decompress(get_data("tinygrad_edu", "datasets/alice.txt.gz") or b"").decode("ascii")


class Characters:
    """The alphabet of a text: every character has its number, in the order of Unicode.

    `alphabet` is the string of them, `len` their number. A saved alphabet gives the same numbers
    again: `Characters(alphabet)`.

    >>> characters = Characters("wonderland")
    >>> characters.alphabet, len(characters)
    ('adelnorw', 8)
    >>> characters.encode("redraw")
    array([6, 2, 1, 6, 0, 7])
    >>> characters.decode([1, 0, 7, 4])
    'dawn'
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str) or not text:
            raise ValueError(f"Characters: got {text!r}; give a text of one character or more.")
        self.alphabet = "".join(sorted(set(text)))
        self._points = _code_points(self.alphabet)

    def encode(self, text: str) -> Array:
        """The number of every character, int64 of shape (len(text),).

        Raises ValueError for a character that is not in the alphabet, naming its position.
        """
        points = _code_points(text)
        codes = np.searchsorted(self._points, points)  # the alphabet is sorted
        found = self._points[np.minimum(codes, len(self) - 1)] == points
        if not found.all():
            at = int(found.argmin())
            raise ValueError(
                f"Characters.encode: {text[at]!r} at position {at} is not in the alphabet "
                f"{self.alphabet!r}; make it from a text that has it."
            )
        return codes.astype(np.int64)

    def decode(self, codes: ArrayLike) -> str:
        """The text that has these numbers; `codes` is a sequence of them, or a single one.

        Raises TypeError for codes that are not whole numbers, ValueError for one outside
        0 .. len - 1, naming its position, or for more than one row of them.
        """
        numbers = np.asarray(codes)
        if numbers.ndim > 1:
            raise ValueError(
                f"Characters.decode: codes of shape {numbers.shape}; decode one row at a time."
            )
        numbers = numbers.reshape(-1)
        if numbers.size and numbers.dtype.kind not in "iu":
            raise TypeError(f"Characters.decode: codes are {numbers.dtype}; give whole numbers.")
        wrong = np.flatnonzero((numbers < 0) | (numbers >= len(self)))
        if wrong.size:
            raise ValueError(
                f"Characters.decode: {numbers[wrong[0]]} at position {wrong[0]} is outside "
                f"0 .. {len(self) - 1}, the numbers of the alphabet {self.alphabet!r}."
            )
        return "".join(self.alphabet[code] for code in numbers.tolist())

    def __len__(self) -> int:
        return len(self.alphabet)

    def __repr__(self) -> str:
        return f"Characters({self.alphabet!r})"


def _code_points(text: str) -> Array:
    """The number that Unicode has for every character."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def windows(codes: ArrayLike, length: int, stride: int | None = None) -> tuple[Array, Array]:
    """Stretches of a sequence, and what follows each of their places: `x`, `y`, both (n, length).

    y[i, t] is what comes after x[i, t]. A window begins every `stride` places; at the default,
    `length`, they lie end to end and everything is predicted once. What remains at the end is left
    out. `codes` is a sequence of anything, in an array (time, ...). Raises ValueError for a length
    or stride below 1, or a sequence too short for one window.

    >>> x, y = windows(np.arange(8), length=3)
    >>> x
    array([[0, 1, 2],
           [3, 4, 5]])
    >>> y
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    sequence = np.asarray(codes)
    length = _whole("length", length)
    stride = length if stride is None else _whole("stride", stride)
    if sequence.ndim == 0 or len(sequence) <= length:
        raise ValueError(
            f"windows: codes of shape {sequence.shape} are too short for a window of {length} and "
            f"what follows it; give {length + 1} or more."
        )
    starts = np.arange(0, len(sequence) - length, stride)
    places = starts[:, np.newaxis] + np.arange(length)
    return sequence[places], sequence[places + 1]


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"windows: {name}={value!r}; give a whole number, 1 or more.")
    return int(value)
