"""The layout: where boxes, frames and lines go.

It knows nothing of tensors: it gets rectangles. There are two engines. `layered` is ours, is always
there, and is quick for any size; `by_dot` asks the Graphviz program `dot`, which may be missing or
slow, and whose lines are curves.

rectangles.py   what is asked, and what is answered
checks.py       what cannot be laid out
satellites.py   a box and what stands beside it
plan.py         all of it in numbers, from top to bottom
arcs.py         pairs of numbers, and in which order they go
ranks.py        layered: how far down each box stands
orders.py       layered: who stands left of whom
straight.py     layered: what shall stand in one column
columns.py      layered: how far to the right everything stands
layered.py      layered: all of it, in pixels
dot_layout.py   the same by dot
"""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_edu.layout.dot_layout import DotFailed, DotTooSlow, NoDot, by_dot
from tinygrad_edu.layout.layered import layered
from tinygrad_edu.layout.plan import Plan
from tinygrad_edu.layout.ranks import ranks
from tinygrad_edu.layout.rectangles import Box, Layout, Link, Placed, Point

__all__ = [
    "Box",
    "Link",
    "Placed",
    "Layout",
    "Point",
    "arrange",
    "layered",
    "by_dot",
    "DotFailed",
    "DotTooSlow",
    "NoDot",
]

BOXES_FOR_DOT = 1500
LABELS_FOR_DOT = 250  # each costs dot a row: 2,000 boxes take seven times as long
PASSED_FOR_DOT = 2000  # ranks that links pass through: dot is slow with long links, whatever else


def arrange(
    boxes: Sequence[Box],
    links: Sequence[Link],
    direction: str = "TB",
    engine: str = "auto",
    seconds: float = 20.0,
) -> Layout:
    """Place boxes, from top to bottom ("TB") or from left to right ("LR").

    `engine`    "builtin"; "dot", which is an error if dot gives no layout in so many `seconds`; or
                "auto": dot if it is there, has little to do and answers in time, else builtin.

    Raises ValueError if the links go in a circle, or if boxes, frames and links do not fit
    together; DotFailed with engine="dot".

    >>> boxes = [Box("x", 60, 30), Box("W", 60, 30, beside="y"), Box("y", 60, 30)]
    >>> links = [Link("x", "y"), Link("W", "y")]
    >>> layout = arrange(boxes, links, engine="builtin")
    >>> layout.boxes["W"].y == layout.boxes["y"].y
    True
    """
    if engine not in ("auto", "dot", "builtin"):
        raise ValueError(f"layout: engine={engine!r}; it is 'auto', 'dot' or 'builtin'.")
    if engine == "builtin" or (engine == "auto" and _is_much_for_dot(boxes, links)):
        return layered(boxes, links, direction)
    try:
        return by_dot(boxes, links, direction, seconds)
    except DotFailed:
        if engine == "dot":
            raise
        return layered(boxes, links, direction)


def _is_much_for_dot(boxes: Sequence[Box], links: Sequence[Link]) -> bool:
    """Would dot take seconds? A chain of 150 boxes with 75 nested skips keeps it busy for 20."""
    labels = sum(link.height > 0 for link in links)
    if len(boxes) > BOXES_FOR_DOT or labels > LABELS_FOR_DOT:
        return True
    plan = Plan.of(boxes, links, "TB")
    rank = ranks(plan)
    return sum(max(rank[b] - rank[a] - 1, 0) for a, b in plan.arcs) > PASSED_FOR_DOT
