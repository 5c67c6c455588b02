"""How long is the gradient, as one vector, and is it finite?

Every step asks, so the usual answer costs one pass over the gradients: their sum of squares is
finite only if they are. Only if it is not do the other questions come up: which one is nan or inf,
or is it merely too large to be squared?
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.optimizers.parts import Part
from tinygrad_edu.tensor import Tensor

# What a step does in one part: by which rule, and which tensors have no gradient.
Work = tuple[Any, Part, list[int]]


def squares(plan: list[Work]) -> float:
    """The sum of all g^2: not finite if some g is not, or is too large."""
    total = 0.0
    for _, part, missing in plan:
        g = part.arena.grad
        for v in [g[run] for run in part.arena.runs(missing)] if missing else (g,):
            total += float(np.vdot(v, v))  # as dot, but an overflow is no warning: it is looked at
    return total


def norm(plan: list[Work]) -> float:
    """sqrt(sum of all g^2) without overflow: nothing larger than 1 is squared."""
    gradients = [
        part.arena.grad[run].astype(np.float64)
        for _, part, missing in plan
        for run in part.arena.runs(missing)
    ]
    largest = max((_largest(g) for g in gradients), default=0.0)
    if not math.isfinite(largest):
        return math.nan
    return largest * math.sqrt(sum(float(np.vdot(g / largest, g / largest)) for g in gradients))


def nonfinite(plan: list[Work]) -> str | None:
    """Which gradient has nan or inf, and where; None if none has."""
    for _, part, missing in plan:
        for i, p in enumerate(part.arena.tensors):
            g = p._home.grad
            if i not in missing and not np.isfinite(g).all():
                where = np.argwhere(~np.isfinite(g))[0].tolist()
                return (
                    f"the gradient of {_named(p)} has {g[tuple(where)]} at {where}; nothing was "
                    "updated. Lower lr, clip (clipnorm=1), or look for log(0), 0/0 or a large exp "
                    "in the loss: tg.find_nonfinite(loss) tells where it began."
                )
    return None


def overflow(plan: list[Work], scale: float) -> str | None:
    """Whose finite gradient would make nan or inf, found by updating copies; None if none."""
    for rule, part, missing in plan:
        with np.errstate(all="ignore"):
            for piece in part.pieces(missing):
                trial = tuple([v.copy() for v in piece])
                rule._update(trial, scale)
                if not all(np.isfinite(v).all() for v in trial):
                    used = [p for i, p in enumerate(part.arena.tensors) if i not in missing]
                    worst = max(used, key=lambda p: _largest(p._home.grad))
                    return (
                        f"the gradient of {_named(worst)} reaches {_largest(worst._home.grad):g}, "
                        f"too large for this formula in {worst.dtype}; nothing was updated. Clip "
                        "it (clipnorm=1), or compute in float64."
                    )
    return None


def _largest(g: Any) -> float:
    return float(np.abs(g).max(initial=0))


def _named(p: Tensor) -> str:
    return f"{p.name or 'a parameter'} (shape {p.shape})"
