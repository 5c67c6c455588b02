"""The layered layout (Sugiyama, Tagawa and Toda 1981), in pure Python.

ranks.py     how far down each box stands
orders.py    who stands left of whom
columns.py   how far to the right everything stands
here         how high the rows are, and where the lines run

A line runs straight down within a row, where it has a place of its own, and aslant only between two
rows, where nothing stands: so no line runs through a box that it does not belong to.
"""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_edu.layout.columns import columns
from tinygrad_edu.layout.orders import APART, Item, Rows, in_rows, sort_rows
from tinygrad_edu.layout.plan import MARGIN, PAD, TITLE, Plan
from tinygrad_edu.layout.ranks import ranks
from tinygrad_edu.layout.rectangles import Box, Layout, Link, Placed, Point

__all__ = ["layered"]

EDGE = MARGIN - APART  # items bring what is free around them
BETWEEN = 34  # from row to row
AROUND_LABELS = 12
STEEP = 0.06  # the further a line goes to the side between two rows, the more room there is for it
STEEPEST = 90
STRAIGHT = 0.5  # nobody sees less
PORT = 12  # between two lines at the border of a box
LANE = 6  # between two lines outside
ASIDE = 6  # how far below its row such a line turns


def layered(boxes: Sequence[Box], links: Sequence[Link], direction: str = "TB") -> Layout:
    """Place boxes in rows, every link leading to a later row; the same input, the same layout.

    A satellite stands beside its consumer, frames stand around their boxes and nothing else, and a
    chain is a straight line. `direction` is "TB" (top to bottom) or "LR" (left to right).

    Raises ValueError if the links go in a circle, or if boxes, frames and links do not fit
    together.

    Source: Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
    structures", 1981.

    >>> boxes = [Box("x", 60, 30), Box("y", 60, 30)]
    >>> layout = layered(boxes, [Link("x", "y")])
    >>> layout.boxes["y"]
    Placed(x=46.0, y=95.0, width=60, height=30)
    >>> layout.routes
    [[(46.0, 46.0), (46.0, 80.0)]]
    """
    plan = Plan.of(boxes, links, direction)
    rows = in_rows(plan, ranks(plan))
    sort_rows(rows)
    return _Drawing(plan, rows).layout()


class _Drawing:
    """Rows and columns in pixels: `x` of the items, `tops` and `bottoms` of the rows."""

    def __init__(self, plan: Plan, rows: Rows) -> None:
        self.plan = plan
        self.rows = rows
        self.x = {item: x + EDGE for item, x in columns(rows).items()}
        ends = (self.x[row[-1]] + row[-1].right for row in rows.rows)
        self.width = max(ends, default=EDGE) + EDGE
        self.opening = self._insets(0, PAD if plan.turned else PAD + TITLE)
        self.closing = self._insets(-1, PAD)
        self.tops: list[float] = []
        self.bottoms: list[float] = []
        self.height = self._add_heights()
        self.lanes = self._add_lanes()

    def layout(self) -> Layout:
        boxes = {
            key: placed
            for unit, item in zip(self.plan.units, self.rows.units, strict=True)
            for key, placed in unit.places(self.x[item], self._middle(item.row)).items()
        }
        frames = {key: self._frame(i) for i, key in enumerate(self.plan.frames)}
        routes, labels = self._lines(boxes)
        size = (self.width, self.height)
        return self.plan.finished(size, boxes, frames, routes, labels, "builtin")

    def _insets(self, end: int, room: float) -> list[float]:
        """How far each frame reaches beyond its first row (end 0) or its last one (end -1)."""
        insets = [room] * len(self.plan.frames)
        rows = [left[end].row for left, _ in self.rows.walls]
        for frame in reversed(range(len(insets))):  # inner frames come after the outer ones
            around = self.plan.parents[frame]
            if around >= 0 and rows[around] == rows[frame]:
                insets[around] = max(insets[around], insets[frame] + room)
        return insets

    def _add_heights(self) -> float:
        """Put row below row, with room for frames that begin and end; return how far that goes."""
        before = [0.0] * (len(self.rows.rows) + 1)
        after = [0.0] * (len(self.rows.rows) + 1)
        for frame, (left, _) in enumerate(self.rows.walls):
            first, last = left[0].row, left[-1].row
            before[first] = max(before[first], self.opening[frame])
            after[last] = max(after[last], self.closing[frame])
        heights = self._row_heights()
        y = float(MARGIN)
        for r, height in enumerate(heights):
            self.tops.append(y + before[r])
            self.bottoms.append(self.tops[r] + height)
            y = self.bottoms[r] + after[r] + self._between(r)
        return (y if heights else MARGIN) + MARGIN

    def _row_heights(self) -> list[float]:
        heights = [0.0] * len(self.rows.rows)
        for unit, item in zip(self.plan.units, self.rows.units, strict=True):
            heights[item.row] = max(heights[item.row], unit.height)
        for link, chain in zip(self.plan.links, self.rows.chains, strict=True):
            if len(chain) > 2 and link.height > 0:
                heights[chain[-2].row] = max(heights[chain[-2].row], link.height)
        return heights

    def _between(self, r: int) -> float:
        """What is free below a row: the more, the further lines have to go to the side."""
        if r + 1 == len(self.rows.rows):
            return 0
        row, ranks = self.rows.rows[r], self.rows.is_rank
        far = max((abs(self.x[a] - self.x[b]) for a in row for b in a.below), default=0)
        usual = BETWEEN if ranks[r] and ranks[r + 1] else AROUND_LABELS
        return max(usual, min(STEEP * far, STEEPEST))

    def _add_lanes(self) -> dict[int, float]:
        """The x of the lane of every source that has links outside."""
        rooms: dict[int, float] = {}
        for link, chain in zip(self.plan.links, self.rows.chains, strict=True):
            if _is_outside(chain):
                rooms[chain[0].tie] = max(rooms.get(chain[0].tie, LANE), link.width + LANE)
        lanes = {}
        for source, room in rooms.items():
            lanes[source] = self.width + room / 2
            self.width += room
        return lanes

    def _middle(self, row: int) -> float:
        return (self.tops[row] + self.bottoms[row]) / 2

    def _frame(self, frame: int) -> Placed:
        left, right = self.rows.walls[frame]
        x0, x1 = self.x[left[0]], self.x[right[0]]
        y0 = self.tops[left[0].row] - self.opening[frame]
        y1 = self.bottoms[left[-1].row] + self.closing[frame]
        return Placed((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0)

    def _lines(self, boxes: dict[str, Placed]) -> tuple[list[list[Point]], list[Point | None]]:
        """The routes and the places of the labels."""
        leaving = {item: self._ports(item, item.below) for item in self.rows.units}
        coming = {item: self._ports(item, item.above) for item in self.rows.units}
        routes: list[list[Point]] = []
        labels: list[Point | None] = []
        for i, chain in enumerate(self.rows.chains):
            if not chain:
                route, label = self.plan.beside(i, boxes)
            elif _is_outside(chain):
                route, label = self._outside(i, chain, boxes)
            else:
                start, end = leaving[chain[0]][chain[1]], coming[chain[-1]][chain[-2]]
                route, label = self._through_rows(i, chain, start, end, boxes)
            routes.append(route)
            labels.append(label if self.plan.links[i].height > 0 else None)
        return routes, labels

    def _ports(self, item: Item, others: Sequence[Item]) -> dict[Item, float]:
        """The x at which each line meets a box: its middle, or left and right of that in order."""
        x = self.x[item]
        lines = sorted(dict.fromkeys(others), key=lambda other: self.x[other])
        lefts = [other for other in lines if self.x[other] < x - STRAIGHT]
        rights = [other for other in lines if self.x[other] > x + STRAIGHT]
        if len(lines) == 1:
            return {lines[0]: x}
        half = self.plan.units[item.tie].box.width / 2
        step = min(PORT, half / (max(len(lefts), len(rights), 1) + 1))
        ports = dict.fromkeys(lines, x)
        ports.update((other, x - step * (i + 1)) for i, other in enumerate(reversed(lefts)))
        ports.update((other, x + step * (i + 1)) for i, other in enumerate(rights))
        return ports

    def _through_rows(
        self, i: int, chain: list[Item], start: float, end: float, boxes: dict[str, Placed]
    ) -> tuple[list[Point], Point]:
        """Straight down within rows, aslant between them."""
        aside = self.plan.aside(i)
        xs = [start, *(self.x[item] for item in chain[1:-1]), end]
        points = [
            (x + aside, y)
            for x, item in zip(xs, chain, strict=True)
            for y in (self.tops[item.row], self.bottoms[item.row])
        ]
        label = (xs[-2] + aside, self._middle(chain[-2].row))
        return self.plan.joined(i, points[1:-1], boxes), label

    def _outside(
        self, i: int, chain: list[Item], boxes: dict[str, Placed]
    ) -> tuple[list[Point], Point]:
        """To the right of everything: a lane for every source."""
        source, target = chain
        lane = self.lanes[source.tie]
        starts, ends = self.bottoms[source.row] + ASIDE, self.tops[target.row] - ASIDE
        out, back = (self.x[item] + self.plan.units[item.tie].right / 2 for item in chain)
        points = [(out, self.bottoms[source.row]), (out, starts), (lane, starts), (lane, ends),
                  (back, ends), (back, self.tops[target.row])]  # fmt: skip
        label = (lane, ends - self.plan.links[i].height)
        return self.plan.joined(i, points, boxes), label


def _is_outside(chain: Sequence[Item]) -> bool:
    return len(chain) == 2 and chain[0].row + 1 < chain[1].row
