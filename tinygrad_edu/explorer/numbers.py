"""Arrays on a page: each once however often it is shown, and never more than can be looked at.

Of every array there is a picture of at most 24 x 24 pixels, one byte for each, the same as on the
boxes; and in words, how large it is. One that makes a small table keeps its numbers, to the bit.
"""

from __future__ import annotations

import base64
import hashlib
import math
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.drawing.thumbnails import mean, not_finite, pixels
from tinygrad_edu.graph.wording import number, size

__all__ = ["Arrays", "unpacked"]

ENTRIES, ROWS, COLUMNS = 240, 24, 24  # of the largest table


class Arrays:
    """The arrays of a page, each under a number."""

    def __init__(self) -> None:
        self.packed: list[dict[str, Any]] = []
        self.places: dict[tuple[Any, ...], int] = {}

    def place(self, x: Array | None) -> int | None:
        """The number of x, which is taken in unless an equal array is there."""
        if x is None:
            return None
        same = (x.shape, x.dtype.str, hashlib.sha256(x.tobytes()).digest())
        if same not in self.places:
            self.places[same] = len(self.packed)
            self.packed.append(_packed(x))
        return self.places[same]


def _packed(x: Array) -> dict[str, Any]:
    """What the page keeps of an array: its shape, what is said of it, its picture, its numbers."""
    packed: dict[str, Any] = {"shape": x.shape}
    if x.size == 1:
        packed["norm"] = number(x)
        if alarm := not_finite(x):
            packed["alarm"] = alarm
    elif x.size:
        grid = pixels(x)
        packed |= _words(x)
        packed |= {"rows": len(grid), "pixels": _text(grid)}
    if _makes_a_table(x):
        kind = "f4" if x.dtype == np.float32 else "f8"  # whole numbers fit, too
        packed |= {"kind": kind, "numbers": _text(x.astype(f"<{kind}"))}
    return packed


def _words(x: Array) -> dict[str, str]:
    finite = x[np.isfinite(x)]
    words = {"norm": f"‖{number(size(x))}‖"}
    if finite.size:
        low, middle, high = float(finite.min()), mean(x), float(finite.max())
        if x.dtype.kind == "f" and abs(middle) < np.finfo(x.dtype).eps * max(high, -low):
            middle = 0.0  # nothing but rounding
        words |= {"min": number(low), "mean": number(middle), "max": number(high)}
    if alarm := not_finite(x):
        words["alarm"] = alarm
    return words


def _makes_a_table(x: Array) -> bool:
    columns = x.shape[-1] if x.ndim else 1
    return 0 < x.size <= ENTRIES and columns <= COLUMNS and math.prod(x.shape[:-1]) <= ROWS


def _text(x: Array) -> str:
    return base64.b64encode(x.tobytes()).decode("ascii")


def unpacked(packed: dict[str, Any]) -> Array | None:
    """The numbers of an array as the page shows them; None where there is only a picture."""
    if "numbers" not in packed:
        return None
    raw = base64.b64decode(packed["numbers"])
    return np.frombuffer(raw, f"<{packed['kind']}").reshape(packed["shape"])
