"""Texts for people: printed at once, and handed back for those who want to keep them."""

from __future__ import annotations

import math

__all__ = ["Printed", "shown"]


class Printed(str):
    """A text that has been printed; at the prompt it shows nothing more.

    >>> text = Printed("two words")
    two words
    >>> text.split()
    ['two', 'words']
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Printed:
        print(text)
        return super().__new__(cls, text)

    def __repr__(self) -> str:
        return ""


def shown(x: float) -> str:
    """A number with four places, whatever its size.

    >>> shown(0.5), shown(12.0), shown(0.0000123), shown(1.5e9)
    ('0.5000', '12.0000', '1.2300e-05', '1.5000e+09')
    """
    plain = x == 0 or 1e-3 <= abs(x) < 1e6 or not math.isfinite(x)
    return f"{x:.4f}" if plain else f"{x:.4e}"
