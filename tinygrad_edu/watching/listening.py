"""Listening: three moments of a training are heard while somebody watches.

    Layer.__call__     a layer was called
    Tensor.backward    gradients arrived
    Optimizer.step     an optimizer moved its parameters

Every training comes through these, be it a loop by hand, `minimize` or `fit`. While there is a
watch, the three methods are replaced by some that do the same and then tell; with the last watch
the methods themselves are back. So nothing is asked when nobody watches. Methods of the classes are
replaced, not of the objects: what is copied, printed or saved meanwhile has nothing of it.

A watch hears its own thread only. Those of others do, at each moment, one look at a short list.

An interrupt, Ctrl-C, may come between any two steps of what follows: also while a watch begins or
ends. So no step relies on another having been done:

    Is a method replaced?    The method itself is asked: what stands in its place knows what it
                             stands for. A watch that begins replaces those that are not yet, each
                             in a single step.
    Is a watch still there?  It hears with an ear that only its block holds; here is a weak
                             reference. Left in whatever way, the block lets go of it.
    Who puts all back?       Whoever comes next: a watch that ends, or a call that finds no ear in
                             any thread. As `Layer.__call__` is replaced first and put back last,
                             the next call of any layer is one that looks.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol

from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.optimizers import Optimizer
from tinygrad_edu.tensor import Tensor

__all__ = ["Listener", "heard", "listeners"]

STANDS_FOR = "_stands_for"  # the attribute in which what replaces a method keeps it


class Listener(Protocol):
    """Whoever wants to be told of the three moments, right after each."""

    def called(self, layer: Layer) -> None: ...
    def walked(self, root: Tensor) -> None: ...
    def stepped(self, optimizer: Optimizer) -> None: ...


class _Ear:
    """What a listener hears a thread with, as long as somebody holds it."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.thread = threading.get_ident()


_ears: list[weakref.ref[_Ear]] = []  # of all threads, the outermost first
_lock = threading.RLock()  # one thread may come twice: an interrupt may leave while it enters


def listeners() -> list[Listener]:
    """Who listens to this thread, the outermost first."""
    here = threading.get_ident()
    return [ear.listener for ear in _open_ears() if ear.thread == here]


def _open_ears() -> list[_Ear]:
    return [ear for ear in (known() for known in tuple(_ears)) if ear is not None]


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Inside, the listener is told of what this thread does."""
    ear = _Ear(listener)
    try:
        _open(ear)
        yield
    finally:
        _close(ear)


def _open(ear: _Ear) -> None:
    with _lock:
        _ears.append(weakref.ref(ear))
        for owner, name, moment in _methods():
            method = vars(owner)[name]
            if not hasattr(method, STANDS_FOR):
                setattr(owner, name, _telling(method, moment))


def _close(ear: _Ear) -> None:
    with _lock:
        _ears[:] = [known for known in tuple(_ears) if known() is not ear]
        _put_back()


def _put_back() -> None:
    """The methods themselves, unless somebody listens."""
    with _lock:
        _ears[:] = [known for known in tuple(_ears) if known() is not None]
        methods = [] if _ears else [*_methods()]
        for owner, name, _ in reversed(methods):
            method = vars(owner)[name]
            if hasattr(method, STANDS_FOR):
                setattr(owner, name, getattr(method, STANDS_FOR))


def _telling(method: Callable[..., Any], moment: str) -> Callable[..., Any]:
    """The same method; when it has returned, the listeners are told."""

    @wraps(method)
    def telling(self: Any, *args: Any, **options: Any) -> Any:
        result = method(self, *args, **options)
        for listener in listeners():
            getattr(listener, moment)(self)
        if not _open_ears():  # an interrupt has left this method behind
            _put_back()
        return result

    setattr(telling, STANDS_FOR, method)
    return telling


def _methods() -> Iterator[tuple[type, str, str]]:
    """The class, the name, and what a listener calls the moment."""
    yield Layer, "__call__", "called"
    yield Tensor, "backward", "walked"
    for cls in _with_a_step_of_their_own(Optimizer):
        yield cls, "step", "stepped"


def _with_a_step_of_their_own(cls: type[Optimizer]) -> Iterator[type]:
    """The class, and those derived from it that take a step in another way, such as LBFGS."""
    if "step" in vars(cls):
        yield cls
    for derived in cls.__subclasses__():
        yield from _with_a_step_of_their_own(derived)
