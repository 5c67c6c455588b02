"""Names of users, made harmless: a name is shown as it is, and never becomes XML, DOT or a layout.

Whatever a picture says goes through `one_line` first, and then through `xml` or `dot`.
"""

from __future__ import annotations

import unicodedata
from html import escape

__all__ = ["dot", "one_line", "width", "xml"]

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
TURNING = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")  # what follows them
FROM_THE_RIGHT = ("R", "AL", "AN")


def one_line(text: str, most: int = 200) -> str:
    """The text in one line of at most so many characters, the middle left out if need be.

    Control characters, and what XML has no place for, become \N{REPLACEMENT CHARACTER}. Letters
    that are read from the right are isolated, so that they turn nothing else.

    >>> one_line("two\\nlines"), one_line("abcdefghij", most=5), one_line("bell\\a")
    ('two↵lines', 'ab…ij', 'bell�')
    """
    if len(text) > most:
        tail = (most - 1) // 2
        text = f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"
    shown = "".join(map(_letter, text.replace("\r\n", "\n")))
    if any(unicodedata.bidirectional(letter) in FROM_THE_RIGHT for letter in shown):
        return f"\N{FIRST STRONG ISOLATE}{shown}\N{POP DIRECTIONAL ISOLATE}"
    return shown


def _letter(letter: str) -> str:
    if letter in LINE_ENDS:
        return "↵"
    if letter == "\t":
        return " "
    turning = unicodedata.bidirectional(letter) in TURNING
    if turning or unicodedata.category(letter) in ("Cc", "Cs") or letter in "\ufffe\uffff":
        return "\N{REPLACEMENT CHARACTER}"
    return letter


def width(text: str) -> int:
    """How many columns a text takes in letters of one width; those of East Asia take two.

    >>> width("loss"), width("损失")
    (4, 4)
    """
    return sum(_columns(letter) for letter in text)


def _columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):  # accents, and what is not seen
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def xml(text: str) -> str:
    """The text as XML.

    >>> xml('<b> & "c"')
    '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return escape(text)


def dot(text: str) -> str:
    r"""The text for an HTML-like label or a tooltip of DOT.

    There `\N` would become the name of the box, and `\n` a new line: unless an invisible space
    stands between the two.

    >>> dot(r"\N <b>") == "\\\N{ZERO WIDTH SPACE}N &lt;b&gt;"
    True
    """
    return xml(text).replace("\\", "\\\N{ZERO WIDTH SPACE}")
