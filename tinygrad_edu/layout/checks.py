"""Checks: what cannot be laid out is said before anything is."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinygrad_edu.layout.rectangles import Box, Link

__all__ = ["checked", "parents_of"]


def checked(boxes: Sequence[Box], links: Sequence[Link], direction: str) -> dict[str, Box]:
    """The boxes by their keys."""
    if direction not in ("TB", "LR"):
        raise ValueError(f"layout: direction={direction!r}; it is 'TB' or 'LR'.")
    known = {box.key: box for box in boxes}
    if len(known) < len(boxes):
        keys = [box.key for box in boxes]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"layout: two boxes have the key {twice!r}; keys are unique.")
    for box in boxes:
        if not (0 < box.width < math.inf and 0 < box.height < math.inf):
            raise ValueError(f"layout: box {box.key!r} has the size {box.width} x {box.height}.")
        if box.beside is not None and box.beside not in known:
            raise ValueError(f"layout: box {box.key!r} is beside {box.beside!r}, which is no box.")
        if box.beside is not None and known[box.beside].beside is not None:
            raise ValueError(
                f"layout: box {box.key!r} is beside {box.beside!r}, which is beside another."
            )
    for link in links:
        for key in (link.source, link.target):
            if key not in known:
                raise ValueError(f"layout: the link {link.source!r} -> {link.target!r}: "
                                 f"{key!r} is no box.")  # fmt: skip
        if not (0 <= link.width < math.inf and 0 <= link.height < math.inf):
            raise ValueError(f"layout: the label of {link.source!r} -> {link.target!r} has the "
                             f"size {link.width} x {link.height}.")  # fmt: skip
        only = known[link.source].beside
        if only not in (None, link.target) or known[link.target].beside is not None:
            raise ValueError(
                f"layout: the link {link.source!r} -> {link.target!r} concerns a box that is "
                "beside another: the only links of that one lead from it to its consumer."
            )
    return known


def parents_of(boxes: Sequence[Box]) -> dict[str, str | None]:
    """The frame around each frame, an outer one before the inner ones."""
    parents: dict[str, str | None] = {}
    for box in boxes:
        if len(set(box.frames)) < len(box.frames):
            raise ValueError(f"layout: box {box.key!r} is in a frame twice: {box.frames}.")
        for outer, frame in zip((None, *box.frames), box.frames, strict=False):
            if parents.setdefault(frame, outer) != outer:
                raise ValueError(
                    f"layout: frame {frame!r} is in {parents[frame]!r} for one box and in "
                    f"{outer!r} for {box.key!r}; give a frame one place."
                )
    return parents
