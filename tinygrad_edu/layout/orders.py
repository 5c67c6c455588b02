"""Orders: who stands left of whom.

Each rank becomes a row of items: units, and in between *knots* of the links that pass through.
So every line of the picture leads from one row to the next, and can be kept free of boxes. Links
of one source share their knots: one line that branches. A label is a knot with a size, in a row of
its own. A frame stands in each of its rows as two *walls*, with what is in it between them.

To have few crossings, each row is sorted by where the neighbours in the row above stand, on average
(the barycenter; Sugiyama, Tagawa and Toda 1981), from the first row to the last; then by the row
below, from the last to the first; and so on while it gets better. Frames are sorted as one thing,
and keep the order they have had in the row before.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from tinygrad_edu.layout.arcs import common
from tinygrad_edu.layout.plan import TITLE, Plan

__all__ = ["Item", "Rows", "in_rows", "sort_rows"]

APART = 12  # half of what is free between two boxes of a row
KNOT = 7  # and for a line
PATIENCE = 4  # sweeps without an improvement
SWEEPS = 24
KNOTS_PER_UNIT = 20  # beyond, and beyond MANY, the longest links run outside
MANY = 20_000


@dataclass(eq=False)
class Item:
    """What stands in a row.

    `row`, `place`    which row, and where in it, from 0.
    `path`            the frames it is in.
    `tie`             who is first when all else is equal.
    `left`, `right`   how far it reaches, with what has to be free around it.
    `wall`            -1 for the left wall of the last frame of `path`, 1 for the right one.
    `is_knot`         is it a place that a line passes through?
    `key`             where it would like to be among the places of the row before.
    `above`, `below`  what it is linked to in the rows before and after, once for every link.
    """

    row: int
    path: tuple[int, ...]
    tie: int
    left: float
    right: float
    wall: int = 0
    is_knot: bool = False
    place: int = 0
    key: float = 0.0
    above: list[Item] = field(default_factory=list, repr=False)
    below: list[Item] = field(default_factory=list, repr=False)


@dataclass
class Rows:
    """A plan, spread over rows.

    `rows`      the items of every row, from left to right.
    `is_rank`   for every row: does it hold units? Otherwise it holds labels.
    `units`     the item of every unit.
    `chains`    for every link its items, from its source to its target; none for a link of a
                satellite; the two ends alone, in rows apart, for a link that runs outside.
    `walls`     the left and the right walls of every frame.
    """

    rows: list[list[Item]]
    is_rank: list[bool]
    units: list[Item]
    chains: list[list[Item]]
    walls: list[tuple[list[Item], list[Item]]]


def in_rows(plan: Plan, ranks: Sequence[int]) -> Rows:
    """Make the items, and connect them."""
    outside = _too_long(plan, ranks)
    inside = [i for i, (a, b) in enumerate(plan.arcs) if a != b and i not in outside]
    has_label = {ranks[plan.arcs[i][1]] for i in inside if plan.links[i].height > 0}
    row_of_rank, is_rank = [], []
    for rank in range(max(ranks, default=-1) + 1):
        is_rank += [False, True] if rank in has_label else [True]
        row_of_rank.append(len(is_rank) - 1)
    units = [
        Item(row_of_rank[rank], path, i, unit.left + APART, unit.right + APART)
        for i, (unit, rank, path) in enumerate(zip(plan.units, ranks, plan.paths, strict=True))
    ]
    rows: list[list[Item]] = [[] for _ in is_rank]
    spans = _spans(plan, units)
    threads = _Threads(rows, spans, len(units))
    chains = []
    for i, (a, b) in enumerate(plan.arcs):
        source, target = units[a], units[b]
        label = plan.links[i].width if plan.links[i].height > 0 else 0
        chains.append([source, target] if i in outside else threads.of(source, target, label))
    for item in units:
        rows[item.row].append(item)
    return Rows(rows, is_rank, units, chains, _walls(plan, spans, rows))


class _Threads:
    """Makes the knots of links, one for all links of a source that pass the same row and frames."""

    def __init__(self, rows: list[list[Item]], spans: list[tuple[int, int]], units: int) -> None:
        self.rows = rows
        self.spans = spans
        self.made = units
        self.knots: dict[tuple[int, int, tuple[int, ...]], Item] = {}

    def of(self, source: Item, target: Item, label: float) -> list[Item]:
        """The items of a link; one with a label has the last of its knots for itself."""
        if source is target:
            return []  # a satellite's
        items = [source]
        for row in range(source.row + 1, target.row):
            own = label > 0 and row == target.row - 1
            path = self._path(source, target, row)
            key = (source.tie, row, path)
            knot = None if own else self.knots.get(key)
            if knot is None:
                room = max(KNOT, label / 2 + KNOT if own else 0)
                knot = Item(row, path, self.made, room, room, is_knot=True)
                self.made += 1
                self.rows[row].append(knot)
                _connect(items[-1], knot)
                if not own:
                    self.knots[key] = knot
            items.append(knot)
        _connect(items[-1], target)
        return [*items, target]

    def _path(self, source: Item, target: Item, row: int) -> tuple[int, ...]:
        """The frames that a link is in: it leaves by the bottom and enters by the top if it can."""
        shared = common(source.path, target.path)
        depth = shared
        while depth < len(source.path) and row <= self.spans[source.path[depth]][1] < target.row:
            depth += 1
        if depth > shared:
            return source.path[:depth]
        while depth < len(target.path) and row >= self.spans[target.path[depth]][0] > source.row:
            depth += 1
        return target.path[:depth]


def _connect(upper: Item, lower: Item) -> None:
    upper.below.append(lower)
    lower.above.append(upper)


def _spans(plan: Plan, units: Sequence[Item]) -> list[tuple[int, int]]:
    """The first and the last row of every frame."""
    rows: list[list[int]] = [[] for _ in plan.frames]
    for item in units:
        for frame in item.path:
            rows[frame].append(item.row)
    return [(min(r), max(r)) for r in rows]


def _too_long(plan: Plan, ranks: Sequence[int]) -> set[int]:
    """The links that would need too many knots; most often none."""
    lengths = [ranks[b] - ranks[a] for a, b in plan.arcs]
    longest = max(lengths, default=0)
    allowed = MANY + KNOTS_PER_UNIT * len(ranks)
    while True:
        knots = [0] * len(ranks)
        for (a, _), length in zip(plan.arcs, lengths, strict=True):
            knots[a] = max(knots[a], length if length <= longest else 0)
        if sum(knots) <= allowed:
            return {i for i, length in enumerate(lengths) if length > longest}
        longest //= 2


def _walls(
    plan: Plan, spans: Sequence[tuple[int, int]], rows: list[list[Item]]
) -> list[tuple[list[Item], list[Item]]]:
    """Give every frame its walls, from its first row to its last."""
    walls: list[tuple[list[Item], list[Item]]] = []
    paths: list[tuple[int, ...]] = []
    for frame, around in enumerate(plan.parents):
        paths.append((*(paths[around] if around >= 0 else ()), frame))
        title = TITLE if plan.turned else 0  # its line is at the top of the turned picture
        span = range(spans[frame][0], spans[frame][1] + 1)
        left = [Item(row, paths[frame], frame, APART, title, wall=-1) for row in span]
        right = [Item(row, paths[frame], frame, 0, APART, wall=1) for row in span]
        for wall in (*left, *right):
            rows[wall.row].append(wall)
        walls.append((left, right))
    return walls


def sort_rows(rows: Rows) -> None:
    """Put the items of every row into an order with few crossings, and tell them their places."""
    ties = _frame_ties(rows)
    for row in rows.rows:
        for item in row:
            item.key = item.tie
        _put_in_order(row, dict(enumerate(ties)), ties)  # the same order of frames in all rows
    best, fewest, tired = _order(rows), _crossings(rows.rows), 0
    for sweep in range(SWEEPS):
        if fewest == 0 or tired == PATIENCE:
            break
        _sweep(rows.rows, downwards=sweep % 2 == 0, ties=ties)
        crossings = _crossings(rows.rows)
        tired += 1
        if crossings < fewest:
            best, fewest, tired = _order(rows), crossings, 0
    for row, items in zip(rows.rows, best, strict=True):
        row[:] = items
        _number(row)


def _order(rows: Rows) -> list[list[Item]]:
    return [list(row) for row in rows.rows]


def _frame_ties(rows: Rows) -> list[int]:
    """For every frame the first of its units."""
    ties: dict[int, int] = {}
    for item in rows.units:
        for frame in item.path:
            ties.setdefault(frame, item.tie)
    return [ties[frame] for frame in range(len(rows.walls))]


def _sweep(rows: list[list[Item]], downwards: bool, ties: Sequence[int]) -> None:
    """Sort one row after the other by its neighbours in the row before."""
    order = rows if downwards else rows[::-1]
    before: list[Item] = []
    for row in order:
        for item in row:
            known = item.above if downwards else item.below
            if known:
                item.key = sum(other.place for other in known) / len(known)
            else:
                item.key = item.place * len(before) / len(row)
        walls: dict[int, float] = {}
        for item in before:
            if item.wall:  # twice for each frame: left and right
                walls[item.path[-1]] = walls.get(item.path[-1], 0.0) + item.place / 2
        _put_in_order(row, walls, ties)
        before = row


def _put_in_order(row: list[Item], known: dict[int, float], ties: Sequence[int]) -> None:
    """Sort a row by its keys; a frame has that of the row before, or the mean of what is in it."""
    inside: dict[int, list[float]] = {}
    for item in row:
        for frame in item.path if not item.wall else ():
            inside.setdefault(frame, []).append(item.key)
    keys = {frame: sum(values) / len(values) for frame, values in inside.items()}
    keys.update(known)

    def nested(item: Item) -> list[tuple[float, int]]:
        around = [(keys.get(frame, ties[frame]), ties[frame]) for frame in item.path]
        return [*around, (item.wall * math.inf if item.wall else item.key, item.tie)]

    row.sort(key=nested)
    _number(row)


def _number(row: list[Item]) -> None:
    for place, item in enumerate(row):
        item.place = place


def _crossings(rows: Sequence[Sequence[Item]]) -> int:
    """How many pairs of lines cross: those that end left of a line that started left of them."""
    total = 0
    for row in rows:
        ended: list[int] = []
        for item in row:
            places = [other.place for other in item.below]
            for place in places:
                total += len(ended) - bisect_right(ended, place)
            for place in places:
                insort(ended, place)
    return total
