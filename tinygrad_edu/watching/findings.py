"""Findings: what a watch says, as a warning and as a row of its report."""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from tinygrad_edu.modes import Line

__all__ = ["Finding", "PitfallWarning", "listed", "place", "table", "warn"]

SHOWN = 4  # of a list of names, so many are written out
WIDTH = 72  # of the text in a report


class PitfallWarning(UserWarning):
    """Nothing failed, but this training is not what it is meant to be."""


class Finding(NamedTuple):
    """One thing that goes wrong: which pitfall, in what part of the model, at which line."""

    name: str
    part: str
    line: Line | None
    reason: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.part} ({place(self.line)}): {self.reason} {self.remedy}"


def place(line: Line | None) -> str:
    """
    >>> place(Line("/home/ada/train.py", 12, "main"))
    'train.py, line 12'
    """
    return f"{os.path.basename(line.file)}, line {line.line}" if line else "no line"


def listed(names: Sequence[str], what: str = "parameter") -> str:
    """Names in a sentence; of many, the first and the number.

    >>> listed(["a"]), listed(["a", "b"]), listed(list("abcdef"))
    ('a', '2 parameters (a, b)', '6 parameters (a, b, c, d and 2 more)')
    """
    if len(names) == 1:
        return names[0]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {what}s ({', '.join(names[:SHOWN])}{more})"


def warn(finding: Finding) -> None:
    """A PitfallWarning at the line of the finding."""
    file, line = finding.line[:2] if finding.line else ("unknown", 1)
    # Without a registry nothing is held back: who finds has made sure that it is said once.
    warnings.warn_explicit(str(finding), PitfallWarning, file, line)


def table(title: str, findings: Sequence[Finding]) -> str:
    """The findings as text, one paragraph for each."""
    if not findings:
        return f"{title}: nothing found."
    lines = [f"{title}: {len(findings)} finding{'s' if len(findings) > 1 else ''}"]
    for finding in findings:
        lines += ["", f"{finding.name}: {finding.part}"]
        cells = ("where", place(finding.line)), ("reason", finding.reason), ("do", finding.remedy)
        for head, text in cells:
            wrapped = textwrap.wrap(text, WIDTH)
            lines += [f"    {head:8}{wrapped[0]}", *(" " * 12 + more for more in wrapped[1:])]
    return "\n".join(lines)
