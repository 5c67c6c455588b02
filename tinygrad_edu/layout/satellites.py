"""Satellites: small boxes that stand beside the one box that needs them.

A box and its satellites are one *unit* for the layout: they share a rank and move together. The
satellites are stacked to the left of the box, each in a slot of its own, and their lines run from
left to right. (Turned, for a layout from left to right, they stand above it in a row.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tinygrad_edu.layout.rectangles import Box, Link, Placed, Point

__all__ = ["Unit", "unit"]

BESIDE = 18  # between a satellite and its consumer, and for a label on top of that
STACKED = 8  # between two satellites of one consumer
BETWEEN_LABELS = 4


class Unit(NamedTuple):
    """A box together with its satellites.

    `slots`    how high the slot of each satellite is.
    `stack`    how wide all of them are.
    `room`     how far they stand from the box.
    `height`   that of the box or of the stack, whichever is larger.
    """

    box: Box
    satellites: tuple[Box, ...]
    slots: tuple[float, ...]
    stack: float
    room: float
    height: float

    @property
    def left(self) -> float:
        """How far it reaches to the left of the centre of the box."""
        return self.box.width / 2 + self.room + self.stack

    @property
    def right(self) -> float:
        """How far to the right."""
        return self.box.width / 2

    def places(self, x: float, y: float) -> dict[str, Placed]:
        """Where the box and the satellites stand, if the centre of the box is at (x, y)."""
        places = {self.box.key: Placed(x, y, self.box.width, self.box.height)}
        edge = x - self.box.width / 2 - self.room
        for one, middle in zip(self.satellites, self._middles(), strict=True):
            places[one.key] = Placed(edge - one.width / 2, y + middle, one.width, one.height)
        return places

    def line(self, places: dict[str, Placed], key: str, aside: float) -> list[Point]:
        """The route from a satellite to the box: lines of several meet it at equal distances."""
        source, target = places[key], places[self.box.key]
        number = [one.key for one in self.satellites].index(key)
        share = (number + 0.5) / len(self.satellites) - 0.5
        start = (source.x + source.width / 2, _within(source, source.y + aside))
        end = (
            target.x - target.width / 2,
            _within(target, target.y + share * target.height + aside),
        )
        return [start, end]

    def _middles(self) -> list[float]:
        """How far below the centre of the box that of each satellite is."""
        tops = [sum(self.slots[:i]) + STACKED * i for i in range(len(self.slots))]
        middle = (sum(self.slots) + STACKED * (len(self.slots) - 1)) / 2
        return [top + slot / 2 - middle for top, slot in zip(tops, self.slots, strict=True)]


def unit(box: Box, satellites: Sequence[Box], links: Sequence[Link]) -> Unit:
    """Put a box and its satellites together; `links` are those between them."""
    slots = []
    for one in satellites:
        labels = [k.height + BETWEEN_LABELS for k in links if k.source == one.key and k.height > 0]
        slots.append(max(one.height, sum(labels)))
    widest = max((k.width for k in links if k.height > 0), default=0)
    room = widest + BESIDE if satellites else 0
    height = max(box.height, sum(slots) + STACKED * (len(slots) - 1))
    stack = max((one.width for one in satellites), default=0)
    return Unit(box, tuple(satellites), tuple(slots), stack, room, height)


def _within(box: Placed, y: float) -> float:
    return min(max(y, box.y - box.height / 2), box.y + box.height / 2)
