"""Ranks: how far down each box stands.

A link leads from a rank to a later one. Boxes stand as late as they can, each just above its first
consumer; then those that have as many inputs as consumers, or more, move up to their inputs. So
links are short: the input of a step of an RNN stands beside that step, and so does its loss.

A frame should also hold together: what follows it starts below it, so frames of a chain stand in
one column. That is one more condition in the same sum: a frame gets a top and a bottom, as if they
were boxes. A frame that is left and entered again, A -> x -> A, cannot have it and is drawn around
its boxes wherever they stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from tinygrad_edu.layout.arcs import Arc, common, in_order, neighbours
from tinygrad_edu.layout.plan import Plan

__all__ = ["ranks"]


def ranks(plan: Plan) -> list[int]:
    """The rank of every unit, from 0; none is empty."""
    n = len(plan.units)
    arcs = [(a, b) for a, b in plan.arcs if a != b]
    whole = _whole_frames(plan, arcs)
    conditions = [_apart(plan, arc, whole) for arc in arcs]
    conditions += _held_together(plan, whole)
    tall = dict.fromkeys(conditions[: len(arcs)], 1)
    size = n + 2 * len(plan.frames)
    order = in_order(size, conditions)
    before, after = neighbours(size, conditions)

    rank = [0] * size
    for a in reversed(order):
        rank[a] = min((rank[b] - tall.get((a, b), 0) for b in after[a]), default=0)
    inputs, consumers = neighbours(n, arcs)
    for b in order:
        if before[b] and (b >= n or len(inputs[b]) >= len(consumers[b])):
            rank[b] = max(rank[a] + tall.get((a, b), 0) for a in before[b])
    used = {r: i for i, r in enumerate(sorted(set(rank[:n])))}
    return [used[r] for r in rank[:n]]


def _whole_frames(plan: Plan, arcs: Sequence[Arc]) -> list[bool]:
    """Which frames can be had in one piece: nothing leaves them and comes back.

    Seen from the frame around it, a frame is one point. The points that are on circles, or between
    two circles, are what remains after all others have been put into an order from both ends.
    """
    n = len(plan.units)
    levels: dict[int, list[Arc]] = {}
    for a, b in arcs:
        around, a, b = _seen_from_common_frame(plan, a, b)
        if a != b:
            levels.setdefault(around, []).append((a, b))
    whole = [True] * len(plan.frames)
    for around in (-1, *range(len(plan.frames))):
        if around >= 0 and plan.parents[around] >= 0:
            whole[around] &= whole[plan.parents[around]]
        level = levels.get(around, [])
        points = {a: i for i, a in enumerate(dict.fromkeys(chain.from_iterable(level)))}
        inner = [(points[a], points[b]) for a, b in level]
        first = in_order(len(points), inner)
        last = in_order(len(points), [(b, a) for a, b in inner])
        ordered = {*first, *last}
        for a, i in points.items():
            if a >= n and i not in ordered:
                whole[a - n] = False
    return whole


def _apart(plan: Plan, arc: Arc, whole: Sequence[bool]) -> Arc:
    """The condition that a link sets: from the bottom of a frame in one piece, or from a box."""
    n = len(plan.units)
    _, a, b = _seen_from_common_frame(plan, *arc)
    start = bottom(n, a - n) if a >= n and whole[a - n] else arc[0]
    end = top(n, b - n) if b >= n and whole[b - n] else arc[1]
    return start, end


def _held_together(plan: Plan, whole: Sequence[bool]) -> list[Arc]:
    """Everything is between the top and the bottom of its frame."""
    n = len(plan.units)
    held = []
    for frame, around in enumerate(plan.parents):
        if whole[frame] and around >= 0:
            held += [(top(n, around), top(n, frame)), (bottom(n, frame), bottom(n, around))]
    for a, path in enumerate(plan.paths):
        around = next((frame for frame in reversed(path) if whole[frame]), -1)
        if around >= 0:
            held += [(top(n, around), a), (a, bottom(n, around))]
    return held


def top(n: int, frame: int) -> int:
    """The number of the top of a frame, where units have the numbers up to n."""
    return n + 2 * frame


def bottom(n: int, frame: int) -> int:
    """The number of its bottom."""
    return n + 2 * frame + 1


def _seen_from_common_frame(plan: Plan, a: int, b: int) -> tuple[int, int, int]:
    """The innermost frame around both ends, and both ends as seen from there: n + i is frame i."""
    n, paths = len(plan.units), plan.paths
    depth = common(paths[a], paths[b])
    around = paths[a][depth - 1] if depth else -1
    ends = [n + paths[c][depth] if len(paths[c]) > depth else c for c in (a, b)]
    return around, ends[0], ends[1]
