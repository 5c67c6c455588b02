"""Listening: three moments of a training are heard while somebody watches.

    Layer.__call__     a layer was called
    Tensor.backward    gradients arrived
    Optimizer.step     an optimizer moved its parameters

Every training comes through these, be it a loop by hand, `minimize` or `fit`. While there is a
watch, the three methods are replaced by some that do the same and then tell; with the last watch
the methods themselves are back. So nothing is asked when nobody watches. Methods of the classes are
replaced, not of the objects: what is copied, printed or saved meanwhile has nothing of it.

A watch hears its own thread only. Those of others do, at each moment, one look at an empty list.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol

from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.optimizers import Optimizer
from tinygrad_edu.tensor import Tensor

__all__ = ["Listener", "heard", "listeners"]


class Listener(Protocol):
    """Whoever wants to be told of the three moments, right after each."""

    def called(self, layer: Layer) -> None: ...
    def walked(self, root: Tensor) -> None: ...
    def stepped(self, optimizer: Optimizer) -> None: ...


class _Mine(threading.local):
    def __init__(self) -> None:  # called once in each thread
        self.listeners: list[Listener] = []


_mine = _Mine()
_everybody: list[Listener] = []  # of all threads: with the last one the methods are put back
_replaced: list[tuple[type, str, Any]] = []
_lock = threading.RLock()  # one thread may come twice: an interrupt may leave while it enters


def listeners() -> list[Listener]:
    """Who listens to this thread, the outermost first."""
    return _mine.listeners


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Inside, the listener is told of what this thread does."""
    mine = _mine.listeners
    try:
        mine.append(listener)
        _open(listener)
        yield
    finally:
        if listener in mine:
            mine.remove(listener)
        _close(listener)


def _open(listener: Listener) -> None:
    with _lock:
        _everybody.append(listener)
        if not _replaced:
            _replace(Layer, "__call__", "called")
            _replace(Tensor, "backward", "walked")
            for cls in _with_a_step_of_their_own(Optimizer):
                _replace(cls, "step", "stepped")


def _close(listener: Listener) -> None:
    with _lock:
        if listener in _everybody:
            _everybody.remove(listener)
        while _replaced and not _everybody:
            owner, name, method = _replaced[-1]
            setattr(owner, name, method)
            _replaced.pop()


def _replace(owner: type, name: str, moment: str) -> None:
    method = vars(owner)[name]
    _replaced.append((owner, name, method))
    setattr(owner, name, _telling(method, moment))


def _telling(method: Callable[..., Any], moment: str) -> Callable[..., Any]:
    """The same method; when it has returned, the listeners are told."""

    @wraps(method)
    def telling(self: Any, *args: Any, **options: Any) -> Any:
        result = method(self, *args, **options)
        for listener in tuple(_mine.listeners):
            getattr(listener, moment)(self)
        return result

    return telling


def _with_a_step_of_their_own(cls: type[Optimizer]) -> Iterator[type]:
    """The class, and those derived from it that take a step in another way, such as LBFGS."""
    if "step" in vars(cls):
        yield cls
    for derived in cls.__subclasses__():
        yield from _with_a_step_of_their_own(derived)
