"""Rectangles: what a layout is asked for, and what it answers.

A layout gets boxes of a known size, some of them in frames, and links between them; it says where
they go. All measures are in pixels; y points down.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Box", "Layout", "Link", "Placed", "Point"]

Point = tuple[float, float]


class Box(NamedTuple):
    """A rectangle to be placed.

    `frames`   the keys of the frames it is in, outermost first.
    `beside`   the key of its only consumer, next to which it stands: a parameter, a constant.
    """

    key: str
    width: float
    height: float
    frames: tuple[str, ...] = ()
    beside: str | None = None


class Link(NamedTuple):
    """A line to be drawn, in the direction of the forward computation.

    `width`, `height`   room for a label; 0 for none.
    """

    source: str
    target: str
    width: float = 0
    height: float = 0


class Placed(NamedTuple):
    """A rectangle with its place: the centre, and the size."""

    x: float
    y: float
    width: float
    height: float


class Layout(NamedTuple):
    """Where everything goes, within (0, 0) and (width, height).

    `boxes`    the place of every box.
    `frames`   the place of every frame, an outer one before the inner ones; each has room for a
               line of 18 px at its top.
    `routes`   for every link, in the order of links, a polyline of two or more points, from the
               border of its source to the border of its target.
    `labels`   for every link the centre of its label, or None.
    `engine`   "dot" or "builtin".
    """

    width: float
    height: float
    boxes: dict[str, Placed]
    frames: dict[str, Placed]
    routes: list[list[Point]]
    labels: list[Point | None]
    engine: str
