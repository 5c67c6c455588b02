"""Filling: what was saved goes back into live objects, all of it or nothing.

First everything is compared, and noted if it does not fit; then, if all does, it is written. Names,
shapes and dtypes are those of the live objects: a file cannot change them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.checkpoints.packing import (
    CheckpointError,
    GeneratorState,
    LayerState,
    PartState,
    has_state,
    state_problem,
)
from tinygrad_edu.layers import Layer
from tinygrad_edu.layers.layer import arrays_of, joined
from tinygrad_edu.optimizers import Optimizer
from tinygrad_edu.tensor import Tensor, mark_written, plain

__all__ = ["Filling", "kind_of"]

SHOWN = 20  # problems in one message

LAYER, ARRAY, GENERATOR, PART = "a layer", "an array", "a random generator", "a state"
DICT, LIST, TUPLE, VALUE = "a dict", "a list", "a tuple", "a plain value"


def kind_of(x: Any) -> str:
    """What sort of thing this is, be it live or what a file says of one."""
    for kind, types in (
        (LAYER, (Layer, LayerState)),
        (ARRAY, (Tensor, np.ndarray)),
        (GENERATOR, (np.random.Generator, GeneratorState)),
    ):
        if isinstance(x, types):
            return kind
    if has_state(x) or isinstance(x, PartState):
        return PART
    for kind, container in ((DICT, dict), (LIST, list), (TUPLE, tuple)):
        if isinstance(x, container):
            return kind
    return VALUE


def holds(x: Any, *kinds: str) -> bool:
    """Is it of one of these kinds, or is one somewhere in it?"""
    kind = kind_of(x)
    inside = x.values() if kind == DICT else x if kind in (LIST, TUPLE) else ()
    return kind in kinds or any(holds(entry, *kinds) for entry in inside)


class Filling:
    """What does not fit, and what is to be done if everything fits.

    With `cast`, floating numbers may have another precision than here.
    """

    def __init__(self, cast: bool = False) -> None:
        self.cast = cast
        self.problems: list[str] = []
        self.layers: list[tuple[str, Layer]] = []  # met on the way
        self._states: list[tuple[str, Any, dict[str, Any]]] = []
        self._tensors: list[Tensor] = []
        self._writes: list[Callable[[], Any]] = []

    # Comparing: what is noted here is done later.

    def match(self, saved: Any, live: Any, name: str = "") -> Any:
        """Compare; returns what is to stand there then: the live object, or the saved value."""
        kind = kind_of(live)
        if name and not holds(live, LAYER, ARRAY, GENERATOR, PART):
            kind = VALUE  # also a dict or a list of plain values
        if kind == VALUE and not holds(saved, LAYER, GENERATOR, PART):
            return saved
        if kind == VALUE or kind_of(saved) != kind:
            where = name or f"what was saved ({_shown(saved)})"
            self.problems.append(f"{where} is {kind_of(saved)}, and what is given {kind}")
            return live
        compare: dict[str, Callable[[Any, Any, str], Any]] = {
            LAYER: self._layer, ARRAY: self.array, GENERATOR: self.generator, PART: self._part,
            DICT: self._dict, LIST: self._list, TUPLE: self._entries,
        }  # fmt: skip
        return compare[kind](saved, live, name)

    def names(self, saved: Mapping[str, Any], own: Mapping[str, Any], name: str = "") -> list[str]:
        """The names that both have; the others are problems."""
        self.problems += [f"missing {joined(name, key)}" for key in own if key not in saved]
        self.problems += [f"unexpected {joined(name, key)}" for key in saved if key not in own]
        return [key for key in own if key in saved]

    def _layer(self, saved: LayerState, layer: Layer, name: str) -> Layer:
        self.layers.append((name, layer))
        own = arrays_of(layer)
        for key in self.names(saved, own, name):
            self.array(saved[key], own[key], joined(name, key))
        return layer

    def array(self, saved: Array, live: Any, name: str) -> Any:
        """A Tensor's or an array's new numbers."""
        mine = plain(live)
        if saved.shape != mine.shape:
            self.problems.append(f"{name} has shape {saved.shape}, not {mine.shape}")
        elif not mine.flags.writeable:
            self.problems.append(f"{name} is an array that cannot be written into")
        elif self._has_dtype(saved, mine, name):
            self._writes.append(partial(mine.__setitem__, ..., saved))
            self._tensors += [live] if isinstance(live, Tensor) else []
        return live

    def _has_dtype(self, saved: Array, mine: Array, name: str) -> bool:
        if saved.dtype == mine.dtype.newbyteorder("="):
            return True
        floating = saved.dtype.kind == mine.dtype.kind == "f"
        if floating and self.cast and _fits(saved, mine.dtype):
            return True
        hint = ", and numbers too large for it" if self.cast else " (cast=True converts it)"
        self.problems.append(
            f"{name} has dtype {saved.dtype}, not {mine.dtype}" + (hint if floating else "")
        )
        return False

    def generator(self, saved: GeneratorState, live: np.random.Generator, name: str) -> Any:
        """A random generator's new state."""
        if problem := state_problem(live, saved):
            self.problems.append(f"{name or 'all of it'} {problem}")
        else:
            bits = live.bit_generator
            self._writes.append(lambda: setattr(bits, "state", dict(saved)))
        return live

    def _part(self, saved: PartState, live: Any, name: str) -> Any:
        if isinstance(live, Optimizer):  # which would make do with other dtypes
            own = live.state_dict()
            for key in self.names(saved, own, name):
                if isinstance(own[key], np.ndarray) and isinstance(saved[key], np.ndarray):
                    self._has_dtype(saved[key], own[key], joined(name, key))
        self._states.append((name, live, dict(saved)))
        return live

    def _dict(self, saved: dict[Any, Any], live: dict[Any, Any], name: str) -> Any:
        """Plain values that are only in the file are welcome: nobody needs to state them before."""
        new = {k: x for k, x in saved.items() if not holds(x, LAYER, GENERATOR, PART)}
        known = {k: x for k, x in saved.items() if k in live or k not in new}
        for key in self.names(known, live, name):
            new[key] = self.match(saved[key], live[key], joined(name, key))
        self._writes.append(lambda: live.update(new))
        return live

    def _list(self, saved: list[Any], live: list[Any], name: str) -> Any:
        new = list(self._entries(saved, live, name))
        self._writes.append(lambda: live.__setitem__(slice(None), new))
        return live

    def _entries(self, saved: Any, live: Any, name: str) -> Any:
        if len(saved) != len(live):
            self.problems.append(f"{name} has {len(saved)} entries in the file, not {len(live)}")
        entries = enumerate(zip(saved, live, strict=False))
        return tuple(self.match(*both, joined(name, i)) for i, both in entries)

    # Writing.

    def finish(self, source: str) -> None:
        """Write everything; CheckpointError, and nothing changed, if something does not fit."""
        if self.problems:
            more = len(self.problems) - SHOWN
            shown = self.problems[:SHOWN] + ([f"and {more} more"] if more > 0 else [])
            listed = "; ".join(f"{problem:.300}" for problem in shown)
            raise CheckpointError(f"{source}: nothing was loaded: {listed}")
        with _ctrl_c_waits():
            self._write(source)

    def _write(self, source: str) -> None:
        """First those that may refuse: the last one changes nothing then, the others go back."""
        before: list[tuple[Any, dict[str, Any]]] = []
        for i, (name, part, state) in enumerate(self._states, 1):
            own = part.state_dict() if i < len(self._states) else {}
            try:
                part.load_state_dict(state)
            except Exception as error:
                for changed, old in reversed(before):
                    changed.load_state_dict(old)
                where = f"{source}, {name}" if name else source
                raise CheckpointError(f"{where}: nothing was loaded: {error}") from error
            before.append((part, own))
        for write in self._writes:
            write()
        mark_written(self._tensors)


def _shown(saved: Any) -> str:
    return ", ".join(map(str, saved)) if isinstance(saved, dict) else "..."


def _fits(x: Array, dtype: Any) -> bool:
    with np.errstate(over="ignore"):
        return not (np.isinf(x.astype(dtype)) & np.isfinite(x)).any()


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Inside, Ctrl-C is put off until the end. (Only the main thread ever hears of it.)"""
    before = signal.getsignal(signal.SIGINT)
    if before is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[Any] = []
    signal.signal(signal.SIGINT, lambda *_: pressed.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)
