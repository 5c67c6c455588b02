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

__all__ = ["Line", "enable_grad", "here", "is_grad_enabled", "no_grad", "trace_lines"]

Function = TypeVar("Function", bound=Callable[..., Any])


class Mode:
    """What one thread is doing."""

    __slots__ = ("lines", "path", "recording")

    def __init__(self) -> None:
        self.recording = True  # is how a Tensor was made remembered?
        self.lines = False  # is the user's line remembered, too?
        self.path: tuple[Any, Any] | None = None  # (path outside, innermost layer): a linked list


class _Here(threading.local):
    def __init__(self) -> None:  # called once in each thread
        self.mode = Mode()


here = _Here()


@contextmanager
def _set(name: str, value: Any) -> Iterator[None]:
    """Set one mode for a while. A generator: even an interrupt on the way in runs its `finally`."""
    mode = here.mode
    before = getattr(mode, name)
    try:
        setattr(mode, name, value)
        yield
    finally:
        setattr(mode, name, before)


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
    return _set("recording", False) if function is None else _set("recording", False)(function)


@overload
def enable_grad(function: None = None) -> AbstractContextManager[None]: ...
@overload
def enable_grad(function: Function) -> Function: ...
def enable_grad(function: Any = None) -> Any:
    """Inside, ops are recorded again, also within `no_grad()`; used in the same three ways."""
    return _set("recording", True) if function is None else _set("recording", True)(function)


def is_grad_enabled() -> bool:
    """Whether ops of this thread are being recorded now."""
    return here.mode.recording


def trace_lines() -> AbstractContextManager[None]:
    """Inside, every Tensor remembers the file and line that made it, in `tensor.where`.

    >>> import tinygrad_edu as tg
    >>> with tg.trace_lines():
    ...     y = tg.exp(tg.Tensor(0.0))
    >>> y.where.line
    2
    """
    return _set("lines", True)


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
