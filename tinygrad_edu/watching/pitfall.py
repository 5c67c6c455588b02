"""What all pitfalls share: the moments at which they look, and how they say what they found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.modes import Line
from tinygrad_edu.optimizers import Optimizer
from tinygrad_edu.watching.findings import Finding
from tinygrad_edu.watching.seen import Seen, Walk

__all__ = ["BATCHES", "Pitfall", "counted", "short"]

# What one batch shows may be chance. So many in a row are looked at before a verdict: few enough to
# be done within the first epoch, enough for a median.
BATCHES = 10

Findings = Iterable[Finding]


class Pitfall:
    """One thing that goes wrong. Each moment gives the findings that have become certain there."""

    name: ClassVar[str]

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.begin()

    def begin(self) -> None:
        """Set up what is to be remembered."""

    def called(self, layer: Layer, recording: bool, line: Line | None) -> Findings:
        """A layer of the model has been called."""
        return ()

    def walked(self, walk: Walk) -> Findings:
        """A backward has reached parameters of the model."""
        return ()

    def stepped(self, optimizer: Optimizer, line: Line | None) -> Findings:
        """An optimizer has taken a step."""
        return ()

    def ended(self) -> Findings:
        """The block is over, and nothing has failed in it."""
        return ()

    def found(self, part: str, line: Line | None, reason: str, remedy: str) -> Finding:
        return Finding(self.name, part, line, reason, remedy)


def counted(n: int, what: str) -> str:
    """
    >>> counted(1, "step"), counted(10, "step")
    ('1 step', '10 steps')
    """
    return f"{n} {what}{'' if n == 1 else 's'}"


def short(x: Any) -> str:
    """A number with two digits.

    >>> short(0.00012345), short(30.7)
    ('0.00012', '31')
    """
    return f"{x:.2g}"
