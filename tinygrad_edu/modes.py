"""Modes: what this thread does while its ops run.

Is a graph being recorded? Which layers are we inside of? Is the user's line to be noted? The
answers belong to a thread, so models in two threads never disturb each other.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar, overload

__all__ = ["Line", "enable_grad", "here", "is_grad_enabled", "nested", "no_grad", "trace_lines"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Switch:
    """Something turned on or off for a while. Only who turned it takes it away again."""

    __slots__ = ("on",)

    def __init__(self, on: bool) -> None:
        self.on = on


class Mode:
    """What one thread is doing. Of several switches, the last one counts."""

    __slots__ = ("lines", "nesting", "path", "recording", "replaying")

    def __init__(self) -> None:
        self.recording: list[Switch] = []  # is how a Tensor was made remembered? Yes if empty
        self.lines: list[Switch] = []  # is the user's line remembered, too? Not if empty
        self.nesting: list[Switch] = []  # are we in a function whose derivative is being taken?
        self.replaying = False  # is a rule being run on Tensors, for higher derivatives?
        self.path: tuple[Any, Any] | None = None  # (path outside, innermost layer): a linked list


class _Here(threading.local):
    def __init__(self) -> None:  # called once in each thread
        self.mode = Mode()


here = _Here()


@contextmanager
def _turned(switches: str, on: bool) -> Iterator[None]:
    """Turn a mode on or off for a while.

    An interrupt may come at any moment, also on the way in or out. Then this generator is closed
    and its `finally` runs, if late, and after that of the `with` around it. So it never restores
    what was before: it takes its own switch away, and what is left counts.
    """
    mine, all_switches = Switch(on), getattr(here.mode, switches)
    try:
        all_switches.append(mine)
        yield
    finally:
        if mine in all_switches:
            all_switches.remove(mine)


@overload
def no_grad(function: None = None) -> AbstractContextManager[None]: ...
@overload
def no_grad(function: Function) -> Function: ...
def no_grad(function: Any = None) -> Any:
    """Inside, ops remember nothing: `with no_grad():`, `@no_grad()` or `@no_grad`.

    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> with tg.no_grad():
    ...     y = x * x
    >>> y.requires_grad
    False
    """
    turned = _turned("recording", False)
    return turned if function is None else turned(function)


@overload
def enable_grad(function: None = None) -> AbstractContextManager[None]: ...
@overload
def enable_grad(function: Function) -> Function: ...
def enable_grad(function: Any = None) -> Any:
    """Inside, ops are recorded again, also within `no_grad()`; used in the same three ways."""
    turned = _turned("recording", True)
    return turned if function is None else turned(function)


def is_grad_enabled() -> bool:
    """Whether ops of this thread are being recorded now."""
    switches = here.mode.recording
    return not switches or switches[-1].on


def nested() -> AbstractContextManager[None]:
    """Inside, a function is evaluated whose derivative is being taken."""
    return _turned("nesting", True)


def trace_lines() -> AbstractContextManager[None]:
    """Inside, every Tensor remembers the file and line that made it, in `tensor.where`.

    >>> import tinygrad_edu as tg
    >>> with tg.trace_lines():
    ...     y = tg.exp(tg.Tensor(0.0))
    >>> y.where.line
    2
    """
    return _turned("lines", True)


class Line(NamedTuple):
    """A place in somebody's source."""

    file: str
    line: int
    function: str


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def users_line() -> Line | None:
    """The innermost line that is not this library's own."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return None
    return Line(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)


def users_level() -> int:
    """The stacklevel of a warning at that line, seen from the function that calls this one."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    return level
