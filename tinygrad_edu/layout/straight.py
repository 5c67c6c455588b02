"""Straight lines: what shall stand in one column.

The boxes are divided into *main lines*. Every box goes on to the consumer from which the way to the
end is longest, and a box that several want to go on to takes the longest line, or else the deepest;
if two are alike, none, and it will stand in the middle. So the main line of an RNN leads from state
to state, that of a residual net through its blocks, and the sum of many losses is a line beside.

Boxes of a main line are tied together into a column. So are the knots of a long link, and the two
walls of a frame, each for itself. Where two of these would cross, the longer line stays straight.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from tinygrad_edu.layout.arcs import common
from tinygrad_edu.layout.orders import Item, Rows

__all__ = ["tied"]

Pair = tuple[Item, Item]


def tied(rows: Rows) -> dict[Item, int]:
    """The number of the column of every item; columns do not cross."""
    over: dict[Item, Item] = {}  # what stands right above, in the same column
    for walls in rows.walls:
        for wall in walls:
            over.update(zip(wall[1:], wall, strict=False))
    lengths = _lengths(rows)
    for upper, lower in pairwise(rows.rows):
        over.update((b, a) for a, b in _straight(upper, lower, lengths))
    column: dict[Item, int] = {}
    columns = 0
    for row in rows.rows:
        for item in row:
            column[item] = column[over[item]] if item in over else columns
            columns += item not in over
    return column


def _lengths(rows: Rows) -> dict[Pair, int]:
    """For all that wants to be straight, from an item to one in the next row: how long the line is.

    A main line enters or leaves a frame straight only if none in the frame is longer: the input of
    a step of an RNN stands where there is room, and not further right with every step.
    """
    next_of, line_of = _main_lines(rows)
    size: dict[Item, int] = {}
    for item in rows.units:
        size[line_of[item]] = size.get(line_of[item], 0) + 1
    longest = [0] * len(rows.walls)
    for item in rows.units:
        for frame in item.path:
            longest[frame] = max(longest[frame], size[line_of[item]])
    lengths: dict[Pair, int] = {}
    for chain in (chain for chain in rows.chains if chain):
        main = next_of.get(chain[0]) is chain[-1]
        length = size[line_of[chain[0]]] if main else 0
        for a, b in pairwise(chain):
            crossed = {*a.path, *b.path} - {*a.path[: common(a.path, b.path)]}
            entered = all(length >= longest[frame] for frame in crossed)
            if (main and entered) or (a.is_knot and b.is_knot):
                lengths[a, b] = max(lengths.get((a, b), 0), length)
    return lengths


def _main_lines(rows: Rows) -> tuple[dict[Item, Item], dict[Item, Item]]:
    """For every box the next one on its main line, if any, and the first one of the line."""
    inputs: dict[Item, list[Item]] = {item: [] for item in rows.units}
    consumers: dict[Item, list[Item]] = {item: [] for item in rows.units}
    for a, b in dict.fromkeys((chain[0], chain[-1]) for chain in rows.chains if chain):
        inputs[b].append(a)
        consumers[a].append(b)
    downwards = sorted(rows.units, key=lambda item: item.row)
    height: dict[Item, int] = {}  # links on the longest way to the end
    for a in reversed(downwards):
        height[a] = max((height[b] + 1 for b in consumers[a]), default=0)
    next_of: dict[Item, Item] = {}
    line_of: dict[Item, Item] = {}
    length: dict[Item, tuple[int, int]] = {}  # of the line, and of the longest way, up to here
    for b in downwards:
        wanting = [a for a in inputs[b] if _only_best(consumers[a], height) is b]
        before = _only_best(wanting, length)
        deep = 1 + max((length[a][1] for a in inputs[b]), default=0)
        line_of[b], length[b] = b, (1, deep)
        if before:
            next_of[before] = b
            line_of[b], length[b] = line_of[before], (length[before][0] + 1, deep)
    return next_of, line_of


def _only_best(items: Sequence[Item], measure: dict[Item, Any]) -> Item | None:
    """The item with the largest measure; None if there are two."""
    best = max((measure[item] for item in items), default=None)
    found = [item for item in items if measure[item] == best]
    return found[0] if len(found) == 1 else None


def _straight(upper: Sequence[Item], lower: Sequence[Item], lengths: dict[Pair, int]) -> list[Pair]:
    """The pairs of two rows that are tied; no two of them cross, and none crosses a wall."""
    through = _frames(upper) & _frames(lower)
    walls = _walls_left(upper, through), _walls_left(lower, through)
    pairs = [
        (a, b)
        for a in upper
        for b in dict.fromkeys(a.below)
        if (a, b) in lengths and walls[0][a.place] == walls[1][b.place]
    ]
    pairs.sort(key=lambda pair: -lengths[pair])
    tops: list[int] = []
    bottoms: list[int] = []
    kept = []
    for a, b in pairs:
        at = bisect_left(tops, a.place)
        taken = a.place in tops[at : at + 1] or b.place in bottoms[at : at + 1]
        if not taken and bisect_left(bottoms, b.place) == at:  # as many stand left above as below
            tops.insert(at, a.place)
            bottoms.insert(at, b.place)
            kept.append((a, b))
    return kept


def _frames(row: Iterable[Item]) -> set[int]:
    return {item.path[-1] for item in row if item.wall}


def _walls_left(row: Sequence[Item], frames: set[int]) -> list[int]:
    """For every place, how many walls of these frames are left of it."""
    counts = []
    walls = 0
    for item in row:
        counts.append(walls)
        walls += bool(item.wall) and item.path[-1] in frames
    return counts
