"""The vectors that an optimizer works on, and how they are handed to its formula.

Parameters of one dtype lie in an arena as one vector, and every state of the optimizer is a vector
beside it. A long vector is handed over in blocks that fit the processor's cache, a very long one by
several threads: NumPy lets other threads run while it computes.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.arena import Arena
from tinygrad_edu.arrays import Array
from tinygrad_edu.tensor import Tensor

BLOCK = 65_536  # numbers of a vector at a time: the few blocks an update needs stay in the cache
THREADED = 2_000_000  # from this size on, several threads are quicker (see docs/decisions.md)
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
THREADS = min(CPUS, 8)  # more would only wait for memory

Piece = tuple[Array, ...]  # theta, g and the state, as an update takes them
Kept = tuple[dict[str, Any], float, list[int], Any]  # of a step: see `Part.keep`
State = Callable[[Array], dict[str, Array]]


class Part:
    """Parameters of one dtype, and the state beside them.

    `state(theta)` makes the arrays kept beside theta. It is called once for the whole vector, or,
    with `per_parameter`, once for every parameter in its own shape.
    """

    def __init__(
        self,
        tensors: list[Tensor],
        state: State,
        numbers: Mapping[str, float],
        per_parameter: bool,
    ) -> None:
        vectors: dict[str, Array] = {}
        states: list[dict[str, Array]] = []
        if per_parameter:
            states = [state(t.data) for t in tensors]  # may refuse a shape
        else:
            vectors = state(np.concatenate([t.data.reshape(-1) for t in tensors]))
        arena = Arena(tensors, more=len(vectors))
        if arena.data.size > BLOCK:
            _keep_freed_memory()
        for row, vector in zip(arena.memory[2:], vectors.values(), strict=True):
            row[...] = vector
        self._set(arena, dict(numbers), states, tuple(vectors))

    def _set(
        self,
        arena: Arena,
        numbers: dict[str, float],
        states: list[dict[str, Array]],
        names: tuple[str, ...],
    ) -> None:
        self.arena = arena
        self.size = len(arena.data)
        self.numbers = numbers  # remembered from step to step
        self.states = states  # of each parameter, if the optimizer goes by parameters,
        self.names = names  # else the names of the vectors of the state
        self.vectors = tuple(arena.memory)  # theta, g and the state
        self.kept: Kept | None = None
        self.asked: set[int] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        state = self.arena.memory[2:]
        return _copy_of, (self.arena, self.numbers, self.states, self.names), state

    def __setstate__(self, state: Array) -> None:
        self.arena.memory[2:] = state

    def parameter(self, i: int) -> Piece:
        """theta, g and the state of one parameter, in their shapes."""
        home = self.arena.tensors[i]._home
        return (home.data, home.grad, *self.state_of(i).values())

    def state_of(self, i: int) -> dict[str, Array]:
        """The state of one parameter by name: views in their shapes."""
        if self.states:
            return self.states[i]
        return dict(zip(self.names, self._cut(self.arena.memory[2:], i), strict=True))

    def _cut(self, rows: Array, i: int) -> Piece:
        """Of each row the stretch of one parameter, in its shape."""
        stretch, shape = self.arena.stretches[i], self.arena.tensors[i].shape
        return tuple([row[stretch].reshape(shape) for row in rows])

    def pieces(self, missing: list[int]) -> list[Piece]:
        """What to update, piece by piece; parameters that have no gradient are left out."""
        if self.states:
            tensors = range(len(self.arena.tensors))
            return [self.parameter(i) for i in tensors if i not in missing]
        if not missing and self.size <= BLOCK:
            return [self.vectors]
        # threads take turns at Python itself, so with longer blocks they wait less for one another
        size = BLOCK if THREADS == 1 or self.size < THREADED else 2 * BLOCK
        blocks = _blocks(self.arena.runs(missing), size)
        return [tuple([v[block] for v in self.vectors]) for block in blocks]

    # What a step finds is kept, for `explain_step` and for a step that fails: all of it if that is
    # little, otherwise the parameters that were asked for before.

    def keep(self, rule: dict[str, Any], scale: float, missing: list[int]) -> Kept | None:
        """Copy what the step is about to change, and the attributes of the optimizer.

        Returns what was kept of the step before.
        """
        if self.size <= BLOCK and not self.states:
            found: Any = self.arena.memory.copy()
        else:
            which = range(len(self.arena.tensors)) if self.size <= BLOCK else self.asked
            found = {i: _copied(self.parameter(i)) for i in which}
        attributes = rule.copy()
        attributes["groups"] = ()  # else this would hold the optimizer that holds it
        before, self.kept = self.kept, (attributes, scale, missing, found)
        return before

    def found(self, i: int) -> Piece | None:
        """theta, g and the state of one parameter, in their shapes, as the last step found them."""
        found = self.kept[3] if self.kept else {}
        return found.get(i) if isinstance(found, dict) else self._cut(found, i)

    def go_back(self, before: Kept | None) -> None:
        """Undo what a step has written, as far as it was kept: there was no such step."""
        found = self.kept[3] if self.kept else {}
        self.kept = before
        if not isinstance(found, dict):
            self.arena.memory[...] = found
            return
        for i, piece in found.items():
            for v, old in zip(self.parameter(i), piece, strict=True):
                v[...] = old


def _copy_of(*content: Any) -> Part:
    part = Part.__new__(Part)
    part._set(*content)
    return part


def _keep_freed_memory() -> None:
    """Let the C library keep what a block's arrays used for those of the next block.

    glibc gives freed memory back to the system, to fetch it again page by page, until it has seen
    one larger array come and go; 32 MB are the most it learns from. Until then a step of Adam on 20
    million parameters took twice as long (docs/decisions.md).
    """
    np.empty(2**25 - 2**16, np.uint8)


def _copied(piece: Piece) -> Piece:
    return tuple([v.copy() for v in piece])


def _blocks(runs: list[slice], size: int) -> Iterator[slice]:
    for run in runs:
        for start in range(run.start, run.stop, size):
            yield slice(start, min(start + size, run.stop))


def for_each(pieces: list[Piece], update: Callable[[Piece, float], Any], scale: float) -> None:
    """Update all pieces; with several threads, if there is enough to do."""
    if len(pieces) == 1 or THREADS == 1 or sum(p[0].size for p in pieces) < THREADED:
        for piece in pieces:
            update(piece, scale)
        return
    todo = iter(pieces)  # shared: who is free takes the next, so nobody waits for a slow one
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for piece in todo:
                update(piece, scale)
        except BaseException as error:
            errors.append(error)

    helpers = [_Helper(work) for _ in range(THREADS - 1)]
    for helper in helpers:
        try:
            helper.start()
        except BaseException as error:  # Ctrl-C; it may run all the same
            errors.append(error)
    work()
    for helper in helpers:
        helper.wait(errors)
    if errors:
        raise errors.pop()  # not errors[0]: its traceback would hold the list that holds it


class _Helper(threading.Thread):
    """A thread that works in a copy of this one's context, so that np.errstate holds there, too."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__()
        self.work, self.within = work, contextvars.copy_context()
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self.within.run(self.work)
        finally:
            self.done.set()

    def wait(self, errors: list[BaseException]) -> None:
        """Wait until it is done, also if Ctrl-C comes meanwhile: it is writing.

        An event tells, since a thread whose `join` was interrupted seems to have ended (up to
        Python 3.12).
        """
        while self.ident is not None and not self.done.is_set():
            try:
                self.done.wait()
                self.join()
            except BaseException as error:
                errors.append(error)
