"""Ctrl-C, heard at the end of a step.

By default Ctrl-C raises KeyboardInterrupt between any two instructions, also half-way through a
step or while a file is being written. Here the first one is only noted, and whoever holds the
`Interrupts` looks when it suits them. A second one means it: it is raised at once.
"""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Inside `with Interrupts() as interrupts:`, Ctrl-C sets `interrupts.asked`.

    Where somebody else takes care of Ctrl-C already, and outside of the main thread, where Python
    does not let it arrive, nothing is changed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._installed = False
        self._leaving = False

    def __enter__(self) -> Interrupts:
        if (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        ):
            self._installed = True  # first: should it come in between, __exit__ does no harm
            signal.signal(signal.SIGINT, self._heard)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leaving = True  # from here on nothing is raised: the handler must be put back
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _heard(self, number: int, frame: Any) -> None:
        if self.asked and not self._leaving:
            raise KeyboardInterrupt
        self.asked = True

    def check(self) -> None:
        """Raise the KeyboardInterrupt that was held back, if there was one."""
        if self.asked:
            raise KeyboardInterrupt
