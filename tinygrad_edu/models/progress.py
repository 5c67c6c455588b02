"""How a training shows that it goes on: silently, in lines, or as a bar.

Into a file or a pipe goes one line an epoch, of plain letters. A bar is drawn where somebody sees
it move, in a terminal or a notebook, and ten times a second at the most.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

from tqdm import tqdm

from tinygrad_edu.printed import shown

__all__ = ["Progress", "progress"]


def progress(verbose: Any, epochs: int) -> Progress:
    """What shows the progress of `epochs` epochs: 0 nothing, 1 a bar if it can move, 2 lines.

    "auto", as in Keras, is 1. Raises ValueError for anything else.
    """
    if verbose not in (0, 1, 2, "auto"):
        raise ValueError(f"fit: verbose={verbose!r}; it is 0 (silent), 1 (a bar) or 2 (lines).")
    if verbose == 0:
        return Progress(epochs)
    return Bar(epochs) if verbose != 2 and _moves(sys.stdout) else Lines(epochs)


def _moves(stream: Any) -> bool:
    """Can what was written be written over? In a terminal, and in a notebook."""
    return getattr(stream, "isatty", bool)() or type(stream).__module__.startswith("ipykernel")


def line(logs: Mapping[str, float]) -> str:
    """The numbers of an epoch in one line.

    >>> line({"loss": 0.25, "accuracy": 1.0})
    'loss: 0.2500 - accuracy: 1.0000'
    """
    return " - ".join(f"{name}: {shown(value)}" for name, value in logs.items())


class Progress:
    """Shows nothing; and says what there is to be shown."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def begin(self, epoch: int, steps: int | None) -> None:
        """An epoch begins, of so many steps; None if nobody knows."""

    def step(self, done: int, loss: float) -> None:
        """So many steps of it are done; `loss` is that of the last one."""

    def end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """The epoch is over, and these are its numbers."""

    def say(self, text: str) -> None:
        """Something that people should know."""

    def close(self) -> None:
        """The training is over, or broke off."""


def tell(text: str) -> None:
    """Print; a training does not break off because nobody reads on, or for want of a letter."""
    try:
        print(text, flush=True)
    except UnicodeEncodeError:
        print(text.encode("ascii", "backslashreplace").decode(), flush=True)
    except OSError:
        pass  # a pipe that was closed, a disk that is full


class Lines(Progress):
    """A line for each epoch."""

    def end(self, epoch: int, logs: Mapping[str, float]) -> None:
        tell(f"{self._title(epoch)} - {line(logs)}")

    def say(self, text: str) -> None:
        tell(text)

    def _title(self, epoch: int) -> str:
        return f"Epoch {epoch + 1:{len(str(self.epochs))}d}/{self.epochs}"


class _Tqdm(tqdm):
    monitor_interval = 0  # no thread that looks after it: each epoch ends its own bar


class Bar(Lines):
    """A bar that moves while the steps of an epoch are taken; then the line takes its place."""

    often = 0.1  # seconds between two looks of it

    def __init__(self, epochs: int) -> None:
        super().__init__(epochs)
        self._bar: Any = None
        self._next = 0.0

    def begin(self, epoch: int, steps: int | None) -> None:
        columns, rows = shutil.get_terminal_size()  # where tqdm's own look finds nothing, 80 by 24
        self._bar = _Tqdm(
            total=steps, desc=self._title(epoch), file=sys.stdout, mininterval=0, miniters=1,
            ncols=columns, nrows=rows, leave=False,
        )  # fmt: skip
        self._next = time.perf_counter() + self.often

    def step(self, done: int, loss: float) -> None:
        now = time.perf_counter()
        if now >= self._next:
            self._next = now + self.often
            self._bar.set_postfix_str(line({"loss": loss}), refresh=False)
            self._bar.update(done - self._bar.n)

    def end(self, epoch: int, logs: Mapping[str, float]) -> None:
        self.close()
        super().end(epoch, logs)

    def say(self, text: str) -> None:
        self.close()
        super().say(text)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
