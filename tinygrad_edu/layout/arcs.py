"""Arcs: pairs of numbers, the first of which comes before the second.

All of this walks with lists instead of calling itself, so a chain of a million arcs is no problem.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

__all__ = ["Arc", "circle", "common", "in_order", "neighbours"]

Arc = tuple[int, int]


def in_order(n: int, arcs: Iterable[Arc]) -> list[int]:
    """0 to n - 1 so that every arc leads to a later one (Kahn 1962); those on circles are left out.

    >>> in_order(3, [(2, 0), (0, 1)])
    [2, 0, 1]
    >>> in_order(3, [(0, 1), (1, 0)])
    [2]
    """
    before, after = neighbours(n, arcs)
    waiting = [len(sources) for sources in before]
    ready = deque(a for a in range(n) if not waiting[a])
    order = []
    while ready:
        a = ready.popleft()
        order.append(a)
        for b in after[a]:
            waiting[b] -= 1
            if not waiting[b]:
                ready.append(b)
    return order


def neighbours(n: int, arcs: Iterable[Arc]) -> tuple[list[list[int]], list[list[int]]]:
    """For each of 0 to n - 1: where arcs come from, and where they lead."""
    before: list[list[int]] = [[] for _ in range(n)]
    after: list[list[int]] = [[] for _ in range(n)]
    for a, b in arcs:
        before[b].append(a)
        after[a].append(b)
    return before, after


def circle(n: int, arcs: Sequence[Arc]) -> list[int]:
    """The numbers along one circle of arcs, its first again at its end; [] if there is none.

    >>> circle(3, [(0, 1), (1, 2), (2, 1)])
    [1, 2, 1]
    """
    stuck = set(range(n)) - set(in_order(n, arcs))
    before, _ = neighbours(n, arcs)
    seen: dict[int, int] = {}
    a = min(stuck, default=-1)
    while stuck and a not in seen:  # backwards: whoever is stuck waits for somebody who is stuck
        seen[a] = len(seen)
        a = next(b for b in before[a] if b in stuck)
    return [a, *reversed(list(seen)[seen[a] :])] if stuck else []


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many frames two paths share.

    >>> common((1, 2, 3), (1, 2, 4, 5))
    2
    """
    depth = 0
    while depth < min(len(one), len(other)) and one[depth] == other[depth]:
        depth += 1
    return depth
