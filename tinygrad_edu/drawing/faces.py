"""A card as SVG: how large it is, and what is drawn on it, seen from its upper left corner."""

from __future__ import annotations

import math
from base64 import b64encode
from typing import NamedTuple

from tinygrad_edu.drawing.cards import Card, Said
from tinygrad_edu.drawing.style import (
    HEADER,
    LETTER,
    LINE,
    NUMBER,
    NUMBER_HEIGHT,
    PICTURE_HEIGHT,
    PIXEL,
    ROUND,
    SIDE,
    SLOT_WIDTH,
    SMALL,
    STRIPE,
    THINNEST,
    TOP,
)
from tinygrad_edu.drawing.texts import width, xml
from tinygrad_edu.drawing.thumbnails import thumbnail

__all__ = ["Face", "face", "px", "written"]

GAP = 8  # between value and gradient
LEFT = STRIPE + SIDE
BASE = 15  # where the letters of the header stand


class Face(NamedTuple):
    """The size of a card, and the SVG of what is on it."""

    width: float
    height: float
    svg: str


def px(x: float) -> str:
    """A length, to a tenth of a pixel.

    >>> px(3.0), px(2.345)
    ('3', '2.3')
    """
    return f"{x:.1f}".removesuffix(".0")


def written(text: str, x: float, y: float, kind: str, anchor: str = "") -> str:
    """A line of text; nothing where there is nothing to say."""
    if not text:
        return ""
    anchored = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{kind}" x="{px(x)}" y="{px(y)}"{anchored}>{xml(text)}</text>'


def face(kind: str, card: Card, rich: bool) -> Face:
    """The card of a node of this kind; a rich one has thumbnails, a compact one words alone."""
    both = {"value": card.value, "gradient": card.gradient}
    said = {what: one for what, one in both.items() if one is not None}
    rooms = [_room(one, rich) for one in said.values()]
    note = _wide(card.note, SMALL) + LEFT + SIDE
    wide = max(_header_width(kind, card), note, LEFT + sum(rooms) + GAP * (len(rooms) - 1) + SIDE)
    top = TOP + (LINE if card.note else 0)
    slots, bottom = _slots(said, rooms, wide, top, rich)
    high = bottom + (4 if card.note and not said else 0)
    note_line = written(card.note, LEFT, TOP + SMALL - 1, "note")
    return Face(
        wide, high, _frame(kind, wide, high) + _header(kind, card, wide) + note_line + slots
    )


def _slots(
    said: dict[str, Said], rooms: list[float], wide: float, top: float, rich: bool
) -> tuple[str, float]:
    """Value and gradient side by side, what is left of the width shared; and where they end."""
    if not said:
        return "", top
    spare = (wide - LEFT - SIDE - sum(rooms) - GAP * (len(rooms) - 1)) / len(rooms)
    high = NUMBER_HEIGHT if all(map(_is_number, said.values())) else PICTURE_HEIGHT
    x: float = LEFT
    parts = []
    for (what, one), room in zip(said.items(), rooms, strict=True):
        space = room + spare
        inner = _slot(one, what, x, top, space, high) if rich else _words(one, what, x, top, space)
        classes = what + " alarm" * one.alarm + " missing" * one.missing
        parts.append(f'<g class="{classes}">{inner}</g>')
        x += space + GAP
    return "".join(parts), top + (high + LINE + 6 if rich else LINE + 4)


def _wide(text: str, size: float) -> float:
    return width(text) * LETTER * size


# ---------------------------------------------------------------- the card and its header


def _header_texts(kind: str, card: Card) -> list[tuple[str, str]]:
    """(class, text), from left to right."""
    if kind == "alias":
        return [("name", f"{card.name} ↗")]
    joint = "=" if kind != "layer" and card.name and card.title else ""
    texts = [("name", card.name), ("title", joint), ("title", card.title)]
    return [(what, text) for what, text in texts if text]


def _header_width(kind: str, card: Card) -> float:
    text = sum(_wide(text + " ", HEADER) for _, text in _header_texts(kind, card))
    return LEFT + text + SIDE + _wide(card.shape, SMALL) + SIDE


def _header(kind: str, card: Card, wide: float) -> str:
    x: float = LEFT
    parts = []
    for what, text in _header_texts(kind, card):
        parts.append(written(text, x, BASE, what))
        x += _wide(text + " ", HEADER)
    return "".join(parts) + written(card.shape, wide - SIDE, BASE, "shape", "end")


def _frame(kind: str, wide: float, high: float) -> str:
    """The card, and the stripe at its left: what of it is left of x = STRIPE."""
    r = min(ROUND.get(kind, 8), high / 2)
    rect = f'<rect class="card" width="{px(wide)}" height="{px(high)}" rx="{px(r)}"/>'
    if kind == "alias":
        return rect
    x = min(STRIPE, r)
    y = r - math.sqrt(r * r - (r - x) ** 2)
    arc = f"A{px(r)} {px(r)} 0 0 0 "
    stripe = f"M{STRIPE} {px(y)}H{px(x)}{arc}0 {px(r)}V{px(high - r)}{arc}{px(x)} {px(high - y)}"
    return f'{rect}<path class="stripe" d="{stripe}H{STRIPE}Z"/>'


# ---------------------------------------------------------------- value and gradient


def _room(said: Said, rich: bool) -> float:
    """How wide what is said of an array is."""
    if not rich:
        return _wide(said.words, SMALL)
    number = _is_number(said)
    return max(SLOT_WIDTH, _wide(said.words, NUMBER if number else SMALL) + (8 if number else 0))


def _is_number(said: Said) -> bool:
    return said.array is not None and said.array.size == 1


def _words(said: Said, what: str, x: float, y: float, wide: float) -> str:
    """In a compact card: the value at the left, the gradient at the right."""
    if what == "gradient":
        return written(said.words, x + wide, y + SMALL, "norm", "end")
    return written(said.words, x, y + SMALL, "norm")


def _slot(said: Said, what: str, x: float, y: float, wide: float, high: float) -> str:
    """In a rich card: a thumbnail or a number, and a line below it."""
    middle, below = x + wide / 2, y + high + LINE
    outline = _rect("slot", x, y, wide, high, 3)
    if _is_number(said):
        text = said.words.removeprefix("∇ ")
        number = written(text, middle, y + high / 2 + 5, "number", "middle")
        return outline + number + written(what, middle, below, "norm", "middle")
    picture = thumbnail(said.array) if said.array is not None else None
    if picture is None:
        return outline + written(said.words, middle, y + high / 2 + 3, "norm", "middle")
    size = min(PIXEL, (wide - 4) / picture.columns, (high - 4) / picture.rows)
    w, h = max(picture.columns * size, THINNEST), max(picture.rows * size, THINNEST)
    left, top = middle - w / 2, y + (high - h) / 2
    data = b64encode(picture.png).decode()
    image = (
        f'<image x="{px(left)}" y="{px(top)}" width="{px(w)}" height="{px(h)}" '
        f'preserveAspectRatio="none" href="data:image/png;base64,{data}"/>'
    )
    caption = written(said.words, middle, below, "norm", "middle")
    return _rect("slot", left, top, w, h, 0) + image + caption


def _rect(kind: str, x: float, y: float, wide: float, high: float, r: float) -> str:
    at = f'x="{px(x)}" y="{px(y)}" width="{px(wide)}" height="{px(high)}"'
    return f'<rect class="{kind}" {at} rx="{px(r)}"/>'
