"""Columns: how far to the right everything stands.

In each row a column (see straight.py) keeps its distance from its left neighbour; that is all it
has to do, and it can be done because no two columns cross. Where it wants to be is the mean of what
it is linked to. Columns that want to go left do so, from the left-most on, each as far as its
neighbours allow; then those that want to go right; and so on until all are content (this is
Gauss-Seidel). Walls give way to what is inside, and are pulled tight at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from tinygrad_edu.layout.arcs import in_order
from tinygrad_edu.layout.orders import Item, Rows
from tinygrad_edu.layout.straight import tied

__all__ = ["columns"]

ROUNDS = 40
CONTENT = 0.25  # a move that nobody sees


def columns(rows: Rows) -> dict[Item, float]:
    """The x of every item; none reaches below 0.

    The x of a unit is that of its box, and the x of a knot or a wall is that of its line.
    """
    column = tied(rows)
    x = _Columns(rows.rows, column).settled()
    leftmost = min((x[column[row[0]]] - row[0].left for row in rows.rows), default=0)
    return {item: x[number] - leftmost for item, number in column.items()}


class _Columns:
    """Columns on their way to where they want to be.

    `before`, `after`   for every column its neighbours to the left, or right, and how far from them
                        it has to be.
    `linked`            the columns that it is linked to, once for every link.
    `order`             from left to right.
    """

    def __init__(self, rows: Sequence[Sequence[Item]], column: dict[Item, int]) -> None:
        n = max(column.values(), default=-1) + 1
        gaps: dict[tuple[int, int], float] = {}
        self.wall = [0] * n
        self.linked: list[list[int]] = [[] for _ in range(n)]
        for row in rows:
            for one, other in pairwise(row):
                pair = (column[one], column[other])
                gaps[pair] = max(gaps.get(pair, 0.0), one.right + other.left)
            for item in row:
                self.wall[column[item]] = item.wall
                for other in item.below:
                    self._link(column[item], column[other])
        self.before: list[list[tuple[int, float]]] = [[] for _ in range(n)]
        self.after: list[list[tuple[int, float]]] = [[] for _ in range(n)]
        for (a, b), gap in gaps.items():
            self.before[b].append((a, gap))
            self.after[a].append((b, gap))
        self.order = in_order(n, gaps)

    def _link(self, a: int, b: int) -> None:
        if a != b:
            self.linked[a].append(b)
            self.linked[b].append(a)

    def settled(self) -> list[float]:
        """The x of every column."""
        x = self._centred()
        for _ in range(ROUNDS):
            start = list(x)
            self._go_left(x)
            self._go_right(x)
            moves = (abs(b - a) for a, b, wall in zip(start, x, self.wall, strict=True)
                     if not wall)  # fmt: skip
            if max(moves, default=0) < CONTENT:
                break
        self._pull_tight(x)
        return x

    def _centred(self) -> list[float]:
        """Midway between as far left and as far right as can be."""
        left = [0.0] * len(self.order)
        for c in self.order:
            left[c] = max((left[a] + gap for a, gap in self.before[c]), default=0.0)
        right = [max(left, default=0.0)] * len(self.order)
        for c in reversed(self.order):
            right[c] = min((right[b] - gap for b, gap in self.after[c]), default=right[c])
        return [(a + b) / 2 for a, b in zip(left, right, strict=True)]

    def _go_left(self, x: list[float]) -> None:
        for c in self.order:
            bound = max((x[a] + gap for a, gap in self.before[c]), default=-math.inf)
            x[c] = bound if self.wall[c] else max(bound, min(x[c], self._wish(x, c)))

    def _go_right(self, x: list[float]) -> None:
        for c in reversed(self.order):
            bound = min((x[b] - gap for b, gap in self.after[c]), default=math.inf)
            x[c] = bound if self.wall[c] else min(bound, max(x[c], self._wish(x, c)))

    def _wish(self, x: list[float], c: int) -> float:
        others = self.linked[c]
        return sum(x[other] for other in others) / len(others) if others else x[c]

    def _pull_tight(self, x: list[float]) -> None:
        """Walls have been moved to the right: now the right ones move up to what they enclose."""
        for c in self.order:
            if self.wall[c] == 1:
                x[c] = max((x[a] + gap for a, gap in self.before[c]), default=x[c])
