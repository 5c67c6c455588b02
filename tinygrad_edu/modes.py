"""Modes: what this thread does while its ops run.

Is a graph being recorded? Which layers are we inside of? Is the user's line to be noted? The
answers belong to a thread, so models in two threads never disturb each other.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar, overload

import numpy as np

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


@contextmanager
def trace_lines() -> Iterator[None]:
    """Inside, every Tensor remembers the line that made it, and every error names your line.

    The line of a Tensor is `tensor.where`; an error on the way back names it, too. To an error that
    comes out of this library is added where you called it. An error of your own stays as it is, and
    so does one whose message is not all text: a KeyError is its key, an OSError has a number.

    >>> import tinygrad_edu as tg
    >>> with tg.trace_lines():
    ...     y = tg.exp(tg.Tensor(0.0))
    >>> y.where.line
    2
    """
    with _turned("lines", True):
        try:
            yield
        except Exception as error:
            line = _line_of(error)
            if line is not None:
                add_to(error, line.text)
            raise


class Line(NamedTuple):
    """A place in somebody's source."""

    file: str
    line: int
    function: str

    @property
    def text(self) -> str:
        """The place as Python spells it, and what stands there, if that can still be read."""
        source = linecache.getline(self.file, self.line).strip()
        place = f'File "{self.file}", line {self.line}, in {self.function}'
        return f"{place}: {source}" if source else place


def add_to(error: Exception, text: str) -> None:
    """Put one more line into the message of an error, unless it says that already.

    An error without a message gets it for one; one that is made of something else is left alone.
    """
    message = error.args[0] if error.args else ""
    if isinstance(message, str) and not isinstance(error, KeyError) and text not in message:
        error.args = (f"{message}\n    {text}" if message else text, *error.args[1:])


_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_NUMPY = os.path.dirname(np.__file__) + os.sep
_PYTHON = os.path.dirname(os.__file__) + os.sep


def _is_pythons(file: str) -> bool:
    """Is it a file of NumPy or of Python itself, which may stand between the user's and ours?"""
    installed = f"-packages{os.sep}" in file  # below Python's own folder, but somebody else's
    if file.startswith(_PYTHON) and not installed:
        return True
    return file.startswith((_NUMPY, "<frozen")) or file.endswith(".pyx")  # np.random is in Cython


def users_line() -> Line | None:
    """The innermost line that is somebody else's."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_HERE) and not _is_pythons(file):
            return Line(file, frame.f_lineno, frame.f_code.co_name)
        frame = frame.f_back
    return None


def _line_of(error: BaseException) -> Line | None:
    """The user's line that led into this library; None if the error was not raised in here."""
    line, inside, step = None, False, error.__traceback__
    while step is not None:  # from the outermost frame to the one that raised it
        code = step.tb_frame.f_code
        if code.co_filename.startswith(_HERE):
            inside = True
        elif not _is_pythons(code.co_filename):
            line, inside = Line(code.co_filename, step.tb_lineno, code.co_name), False
        step = step.tb_next
    return line if inside else None


def users_level() -> int:
    """The stacklevel of a warning at that line, seen from the function that calls this one."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    return level
