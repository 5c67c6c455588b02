"""The arena: many parameters as one vector.

A network's parameters are many arrays, most of them small, and NumPy's price per call is the same
for 10 numbers as for 1000. So an optimizer moves its parameters into one long vector, and their
gradients into another; each tensor keeps a view of its stretch and notices nothing. The formula of
an optimizer then runs once, on vectors.
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.tensor import Tensor, mark_written, plain

__all__ = ["Arena"]


class Home(NamedTuple):
    """A tensor's place in an arena. Holds no strong reference to the arena, so no cycle."""

    arena: weakref.ref[Arena]
    data: Array  # views of the arena's vectors, in the tensor's shape
    grad: Array
    piled: Array  # grad once more: stands for a gradient that was added to one a step had used
    filled: list[int]  # the number in it: at which step this gradient was begun,
    steps: list[int]  # and how many there have been: a gradient from before has been used
    walked: list[weakref.ref[Tensor]]

    def is_left_over(self, before: Any) -> bool:
        """Has a step used this gradient already? Then to add to it is most likely a mistake."""
        if before is not self.grad:  # one that was assigned is nobody's leftover
            return before is self.piled
        return self.filled != self.steps and bool(before.any())  # zeros have been cleared


class Arena:
    """Tensors of one dtype, side by side.

    `data` and `grad` are the vectors: the first rows of `memory`, which has as many `more` rows as
    an optimizer wants beside them. `walked` are the roots of graphs that `backward` has gone
    through since the last step: they are stale as soon as the numbers change.

    >>> w, b = Tensor([[1.0, 2.0]], requires_grad=True), Tensor(3.0, requires_grad=True)
    >>> arena = Arena([w, b])
    >>> arena.data
    array([1., 2., 3.], dtype=float32)
    >>> arena.data *= 10
    >>> b
    Tensor(30., requires_grad=True)
    """

    def __init__(self, tensors: list[Tensor], more: int = 0) -> None:
        check_free(tensors)
        self.tensors = tensors
        size = sum(t.size for t in tensors)
        dtype = tensors[0].dtype
        self.memory = np.zeros((2 + more, size), dtype)
        self.data, self.grad = self.memory[:2]
        self.walked: list[weakref.ref[Tensor]] = []
        self.steps = [0]  # how many have used the gradients
        self.piled_up = False  # were gradients added to some that the step before had used?
        self.stretches: list[slice] = []
        me, start = weakref.ref(self), 0
        for t in tensors:
            stretch = slice(start, start + t.size)
            data, grad = (v[stretch].reshape(t.shape) for v in (self.data, self.grad))
            data[...] = t.data
            t._data = data
            if isinstance(t.grad, np.ndarray):
                grad[...] = t.grad
                t.grad = grad
            t._home = Home(me, data, grad, grad.view(), [0], self.steps, self.walked)
            self.stretches.append(stretch)
            start = stretch.stop

    def __reduce__(self) -> tuple[type[Arena], tuple[list[Tensor], int]]:
        return Arena, (self.tensors, len(self.memory) - 2)  # a copy packs the copied tensors

    def gather(self) -> list[int]:
        """Bring home what was assigned from outside; returns which tensors are not to be updated.

        Those have no gradient, or want none any more.

        Raises ValueError before anything is changed if a shape is not the one that was packed.
        """
        odd = [
            (i, t, t._home)
            for i, t in enumerate(self.tensors)
            if t.grad is not t._home.grad or t._data is not t._home.data or not t._requires_grad
        ]
        self.piled_up = False
        if not odd:
            return []
        for i, t, home in odd:
            for what, now in (("data", t._data), ("grad", t.grad)):
                if now is not None and np.shape(now) != home.data.shape:
                    raise ValueError(
                        f"optimizer: {what} of parameter {_named(t, i)} now has shape "
                        f"{np.shape(now)}, it was {home.data.shape}; make a new optimizer for it."
                    )
        self.piled_up = any(t.grad is home.piled for _, t, home in odd)
        given = [(home, np.array(t._data), np.array(plain(t.grad))) for _, t, home in odd]
        for (i, t, _), (_, _, grad) in zip(odd, given, strict=True):
            if t.grad is not None and grad.dtype.kind not in "fiub":
                raise TypeError(
                    f"optimizer: the gradient of parameter {_named(t, i)} has dtype {grad.dtype}."
                )
        for (_, t, _), (home, data, grad) in zip(odd, given, strict=True):
            if t._data is not home.data:
                home.data[...] = data
                t._data = home.data
            if t.grad is not None and t.grad is not home.grad:
                home.grad[...] = grad
                t.grad = home.grad
        return [i for i, t, _ in odd if t.grad is None or not t._requires_grad]

    def runs(self, missing: list[int]) -> list[slice]:
        """What to update: all of the vector, or the stretches of tensors with a gradient."""
        if not missing:
            return [slice(0, len(self.data))]
        runs: list[slice] = []
        for i, stretch in enumerate(self.stretches):
            if i in missing:
                continue
            if runs and runs[-1].stop == stretch.start:
                runs[-1] = slice(runs[-1].start, stretch.stop)
            else:
                runs.append(stretch)
        return runs

    def written(self) -> None:
        """The numbers changed: mark the tensors, let go of the graphs that used the old ones."""
        self.steps[0] += 1
        mark_written(self.tensors)
        for root in self.walked:
            if (t := root()) is not None:
                t._let_go()
        self.walked.clear()


def is_taken(t: Tensor) -> bool:
    """Is it in the arena of an optimizer already?"""
    return t._home is not None and t._home.arena() is not None


def check_free(tensors: list[Tensor]) -> None:
    """Refuse tensors that are in the arena of an optimizer already."""
    for i, t in enumerate(tensors):
        if is_taken(t):
            raise ValueError(
                f"optimizer: parameter {_named(t, i)} already belongs to an optimizer; two would "
                "disturb each other. Give it to one, or delete the old optimizer before the new "
                "one is made (del optimizer)."
            )


def _named(t: Tensor, i: int) -> str:
    return repr(t.name) if t.name is not None else f"number {i} (shape {t.shape})"
