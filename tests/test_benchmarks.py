"""The benchmarks run, and no ratio has run away. Their own bars are tighter; they print them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parent / "benchmarks"


def ratios(script: str) -> list[tuple[float, float]]:
    """(measured, bar) of every line that a benchmark prints."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / script)], capture_output=True, text=True, check=True
    )
    return [
        (float(measured), float(bar))
        for measured, bar in re.findall(r"([\d.]+) \(bar ([\d.]+)\)", done.stdout)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "lines"),
    [("training_step.py", 2), ("import_time.py", 1), ("optimizer_step.py", 7), ("layout.py", 10)],
)
def test_no_ratio_is_twice_its_bar(script: str, lines: int) -> None:
    measured = ratios(script)
    assert len(measured) == lines
    for ratio, bar in measured:
        assert ratio < 2 * bar  # a busy machine moves ratios of medians, too
