"""Plans: what is to be laid out, checked, and in numbers instead of keys.

Inside, everything is thought of from top to bottom. A layout from left to right is the same thing
with x and y exchanged, before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tinygrad_edu.layout.arcs import Arc, circle
from tinygrad_edu.layout.checks import checked, parents_of
from tinygrad_edu.layout.rectangles import Box, Layout, Link, Placed, Point
from tinygrad_edu.layout.satellites import BETWEEN_LABELS, Unit, unit

__all__ = ["MARGIN", "PAD", "TITLE", "Plan"]

MARGIN = 16  # around the whole picture
PAD = 12  # between a frame and what is in it
TITLE = 18  # for a line at the top of a frame
TWINS = 6  # between two links of the same two boxes
MOST_ASIDE = 12  # between the outermost of many


class Twin(NamedTuple):
    """A link among those that join the same two boxes: of how many, and its number from 0."""

    of: int
    number: int

    @property
    def from_middle(self) -> float:
        return self.number - (self.of - 1) / 2


@dataclass
class Plan:
    """What is to be laid out, from top to bottom.

    `keys`      of the boxes, as they came.
    `units`     boxes and their satellites, in the order of the boxes.
    `frames`    the keys of the frames; the number of a frame is its place here.
    `parents`   for every frame, the number of the frame around it; -1 for none.
    `paths`     for every unit, the numbers of the frames it is in, outermost first.
    `arcs`      for every link, the numbers of its units; the same twice for one of a satellite.
    `links`     the links as they came, their labels turned if need be.
    `twins`     for every link, how many join the same two boxes, and which of them it is.
    `turned`    is the picture from left to right?
    """

    keys: list[str]
    units: list[Unit]
    frames: list[str]
    parents: list[int]
    paths: list[tuple[int, ...]]
    arcs: list[Arc]
    links: list[Link]
    twins: list[Twin]
    turned: bool

    @staticmethod
    def of(boxes: Sequence[Box], links: Sequence[Link], direction: str) -> Plan:
        """Check what was asked for; ValueError for whatever cannot be laid out."""
        known = checked(boxes, links, direction)
        if direction == "LR":
            known = {k: b._replace(width=b.height, height=b.width) for k, b in known.items()}
            links = [k._replace(width=k.height, height=k.width) for k in links]
        units, number = _units(known, links)
        arcs = [(number[link.source], number[link.target]) for link in links]
        _check_no_circle(units, [arc for arc, k in zip(arcs, links, strict=True)
                                 if k.source == k.target or arc[0] != arc[1]])  # fmt: skip
        around = parents_of(boxes)
        frames = {key: i for i, key in enumerate(around)}
        parents = [frames[key] if key is not None else -1 for key in around.values()]
        paths = [tuple(frames[key] for key in unit.box.frames) for unit in units]
        return Plan(list(known), units, list(frames), parents, paths, arcs, list(links),
                    _twins(links), direction == "LR")  # fmt: skip

    def beside(self, i: int, boxes: dict[str, Placed]) -> tuple[list[Point], Point]:
        """The route of link `i`, of a satellite, and the place of its label."""
        link = self.links[i]
        route = self.units[self.arcs[i][0]].line(boxes, link.source, self.aside(i))
        down = self.twins[i].from_middle * (link.height + BETWEEN_LABELS)
        return route, ((route[0][0] + route[1][0]) / 2, boxes[link.source].y + down)

    def aside(self, i: int) -> float:
        """How far link `i` runs from the middle, because others join the same two boxes."""
        twin = self.twins[i]
        return twin.from_middle * min(TWINS, MOST_ASIDE / max(twin.of - 1, 1))

    def joined(self, i: int, points: list[Point], boxes: dict[str, Placed]) -> list[Point]:
        """The route of link `i`, its ends brought to the borders of its boxes; no idle points."""
        source, target = (boxes[key] for key in self.links[i][:2])
        start, end = (_within(p[0], b) for p, b in ((points[0], source), (points[-1], target)))
        points = [(start, source.y + source.height / 2), (start, points[0][1]), *points[1:-1],
                  (end, points[-1][1]), (end, target.y - target.height / 2)]  # fmt: skip
        kept = [points[0]]
        for p, following in zip(points[1:], [*points[2:], None], strict=True):
            idle = following and kept[-1][0] == p[0] == following[0]
            if not idle and p != kept[-1]:
                kept.append(p)
        return kept

    def finished(
        self,
        size: Point,
        boxes: dict[str, Placed],
        frames: dict[str, Placed],
        routes: list[list[Point]],
        labels: list[Point | None],
        engine: str,
    ) -> Layout:
        """The Layout, in the order in which it was asked for, and turned if need be."""
        boxes = {key: boxes[key] for key in self.keys}
        if self.turned:
            size = (size[1], size[0])
            boxes = {key: Placed(p.y, p.x, p.height, p.width) for key, p in boxes.items()}
            frames = {key: Placed(p.y, p.x, p.height, p.width) for key, p in frames.items()}
            routes = [[(y, x) for x, y in route] for route in routes]
            labels = [at and (at[1], at[0]) for at in labels]
        return Layout(*size, boxes, frames, routes, labels, engine)


def _units(known: dict[str, Box], links: Sequence[Link]) -> tuple[list[Unit], dict[str, int]]:
    """The units, and for every box the number of its unit."""
    stacks: dict[str, list[Box]] = {}
    of_stack: dict[str, list[Link]] = {}
    for box in known.values():
        stacks.setdefault(_stands_at(box, known), []).append(box)
    for link in links:
        of_stack.setdefault(_stands_at(known[link.source], known), []).append(link)
    units: list[Unit] = []
    number: dict[str, int] = {}
    for key, box in known.items():
        if _stands_at(box, known) == key:
            number.update((one.key, len(units)) for one in stacks[key])
            satellites = [one for one in stacks[key] if one is not box]
            inner = [link for link in of_stack.get(key, []) if link.source != key]
            units.append(unit(box, satellites, inner))
    return units, number


def _stands_at(box: Box, known: dict[str, Box]) -> str:
    """The key of the box that a satellite stands beside; of any other box its own.

    In another frame than its consumer a satellite cannot stand beside it, and is a box as any.
    """
    together = box.beside is not None and known[box.beside].frames == box.frames
    return box.beside if box.beside is not None and together else box.key


def _check_no_circle(units: Sequence[Unit], arcs: Sequence[Arc]) -> None:
    found = circle(len(units), arcs)
    if found:
        keys = " -> ".join(repr(units[a].box.key) for a in found)
        raise ValueError(f"layout: the links go in a circle: {keys}; a computation cannot.")


def _twins(links: Sequence[Link]) -> list[Twin]:
    pairs = [link[:2] for link in links]
    count = Counter(pairs)
    seen: Counter[tuple[str, str]] = Counter()
    twins = []
    for pair in pairs:
        twins.append(Twin(count[pair], seen[pair]))
        seen[pair] += 1
    return twins


def _within(x: float, box: Placed) -> float:
    return min(max(x, box.x - box.width / 2), box.x + box.width / 2)
