"""The one table of ops: what each op is checked on. An op without a row fails the suite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One op on one set of inputs."""

    op: str  # public name under tg.ops
    inputs: tuple[Any, ...]  # shapes (normal numbers are drawn), or ready float64 arrays
    call: Callable[..., Any] | None = None  # how to call the op; default f(*inputs)
    numpy: Callable[..., Any] | None = None  # the plain NumPy twin; default np.<op>
    torch: Callable[..., Any] | None = None  # the twin in torch, as lambda torch, *inputs
    order: int = 2  # checked by differences to this order; 1 only with a reason in `note`
    note: str = ""
