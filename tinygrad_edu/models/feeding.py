"""What `fit`, `evaluate` and `predict` are given, as batches.

A batch is (inputs, target, weight): a tuple of arrays, an array, and an array or None. They come
from whole arrays (`Rows`), or from somebody's batches (`Stream`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.layers.settings import whole
from tinygrad_edu.random import Rng
from tinygrad_edu.tensor import plain
from tinygrad_edu.training import get_batches

__all__ = ["Batch", "Feed", "Rows", "Stream", "inputs_of"]

Batch: TypeAlias = "tuple[tuple[Array, ...], Array, Array | None]"


def as_rows(what: str, value: Any, dtype: Any) -> Array:
    """An array with a row for each example; floating numbers in `dtype`, whole numbers as given.

    Raises TypeError for what holds no numbers, ValueError for rows of several lengths.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{what}: a masked array would lose its mask; use {what}.filled(value).")
    try:
        array = np.asarray(plain(value))
    except ValueError as error:
        raise ValueError(f"{what}: rows of one length are needed: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"{what}: a {type(value).__name__} of dtype {array.dtype} where an array of numbers "
            f"should be; np.asarray({what}, dtype=float) makes one of what looks like numbers."
        )
    if array.ndim == 0:
        raise ValueError(f"{what}: one number, {array}, where an array of examples should be.")
    if array.dtype.kind != "f":
        return array
    with np.errstate(over="ignore"):  # then it is inf, and so is the loss, which says more
        return array.astype(dtype, copy=False)


def inputs_of(what: str, x: Any, dtype: Any) -> tuple[Array, ...]:
    """The arrays that go into the model together; several come in a tuple."""
    several = x if isinstance(x, tuple) else (x,)
    if not several:
        raise ValueError(f"{what}: an empty tuple; give an array, or a tuple of arrays.")
    names = [what] if len(several) == 1 else [f"{what}[{i}]" for i in range(len(several))]
    return tuple(as_rows(name, one, dtype) for name, one in zip(names, several, strict=True))


# ---------------------------------------------------------------- weights


def weights_of(what: str, weight: Any, dtype: Any) -> Array:
    """One factor for each example."""
    array = as_rows(what, weight, dtype).astype(dtype, copy=False)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"{what} has shape {array.shape}; give one number for each example.")
    if not (np.isfinite(array) & (array >= 0)).all():
        at = int(np.flatnonzero(~(np.isfinite(array) & (array >= 0)))[0])
        raise ValueError(f"{what}: {array[at]} at {at}; weights are finite and at least 0.")
    return array


def weights_of_classes(y: Array, class_weight: Mapping[int, float], dtype: Any) -> Array:
    """The factor of each example's class; `y` holds labels, or their onehot."""
    if not isinstance(class_weight, Mapping):
        raise TypeError(f"class_weight={class_weight!r}; give a dict {{label: weight}}.")
    onehot = y.ndim == 2 and y.shape[1] > 1
    labels = y.argmax(axis=1) if onehot else y.reshape(-1) if y.size == len(y) else None
    if labels is None:
        raise ValueError(f"class_weight: y has shape {y.shape}; it is for one label an example.")
    known, places = np.unique(labels, return_inverse=True)
    if missing := [label for label in known.tolist() if label not in class_weight]:
        raise ValueError(f"class_weight: no weight for the labels {missing}; give one for each.")
    factors = [class_weight[label] for label in known.tolist()]
    return weights_of("class_weight", factors, dtype)[places.reshape(-1)]


# ---------------------------------------------------------------- batches


class Rows:
    """Whole arrays, of as many rows each; batches are cut out of them."""

    steps: int | None = None  # batches in an epoch; None for all there are

    def __init__(self, x: Any, y: Any, weight: Any = None, *, dtype: Any, class_weight: Any = None):
        self.inputs = inputs_of("x", x, dtype)
        self.y = as_rows("y", y, dtype)
        self.weight = None if weight is None else weights_of("sample_weight", weight, dtype)
        self._check_lengths()
        if class_weight is not None:
            factors = weights_of_classes(self.y, class_weight, dtype)
            self.weight = factors if self.weight is None else self.weight * factors

    def _arrays(self) -> tuple[Array, ...]:
        return (*self.inputs, self.y, *(() if self.weight is None else (self.weight,)))

    def _check_lengths(self) -> None:
        lengths = [len(array) for array in self._arrays()]
        if len(set(lengths)) > 1:
            names = ["x"] * len(self.inputs) + ["y", "sample_weight"]
            told = ", ".join(f"{name} {n}" for name, n in zip(names, lengths, strict=False))
            raise ValueError(f"the numbers of rows differ: {told}; give a y for each row of x.")
        if lengths[0] == 0:
            raise ValueError("there is no data: x and y have no rows.")

    def prepared(self, batch_size: int, shuffle: bool, rng: Rng, steps: int | None = None) -> Rows:
        """How batches are to be made of it."""
        self.batch_size = whole("batch_size", batch_size, 1)
        self.shuffle, self.rng = shuffle, rng
        self.steps = None if steps is None else whole("steps", steps, 1)
        return self

    def split(self, share: float, steps: int | None = None) -> tuple[Rows, Rows]:
        """The first rows, and the last: this share of them, not shuffled, in so many steps."""
        n = len(self.y)
        first = math.floor(n * (1 - share)) if 0 < share < 1 else 0
        if first in (0, n):
            raise ValueError(
                f"validation_split={share}: of {n} rows none would be left to train on, or none "
                "to validate with; give a share above 0 and below 1."
            )
        last = self._cut(slice(first, None)).prepared(self.batch_size, False, None, steps)
        return self._cut(slice(None, first)), last

    def _cut(self, rows: slice) -> Rows:
        part = copy.copy(self)
        part.inputs = tuple(x[rows] for x in self.inputs)
        part.y = self.y[rows]
        part.weight = None if self.weight is None else self.weight[rows]
        return part

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return self.steps or math.ceil(len(self.y) / self.batch_size)

    def batches(self) -> Iterator[Batch]:
        """The batches of an epoch; with more steps than batches, it begins again."""
        return islice(self._endless(), self.steps) if self.steps else self._once()

    def _endless(self) -> Iterator[Batch]:
        while True:
            yield from self._once()

    def _once(self) -> Iterator[Batch]:
        k = len(self.inputs)
        weighted = self.weight is not None
        for batch in get_batches(self._arrays(), self.batch_size, self.shuffle, self.rng):
            yield batch[:k], batch[k], batch[k + 1] if weighted else None


class Stream:
    """Batches that somebody else makes: (x, y) or (x, y, weight), from whatever can be iterated.

    With `steps`, an epoch takes so many of them, and the next goes on from there; what has an end
    begins again. Without, an epoch is once through all of them.
    """

    def __init__(
        self, source: Any, steps: int | None, *, dtype: Any, what: str, epochs: int = 1,
        class_weight: Any = None,
    ) -> None:  # fmt: skip
        self.source, self.dtype, self.what, self.class_weight = source, dtype, what, class_weight
        self.steps = None if steps is None else whole("steps", steps, 1)
        self._running: Iterator[Any] = iter(())
        if not hasattr(source, "__iter__") and not hasattr(source, "__getitem__"):
            raise TypeError(f"{what}: a {type(source).__name__} has no batches to iterate over.")
        if hasattr(source, "__next__") and steps is None and epochs > 1:
            raise ValueError(
                f"{what}: a {type(source).__name__} can be gone through only once, but there are "
                f"{epochs} epochs. Say how many batches an epoch takes (steps_per_epoch, for "
                "validation data validation_steps), or give what can be iterated over again, such "
                "as a list of batches."
            )

    def split(self, share: float, steps: int | None = None) -> tuple[Rows, Rows]:
        raise ValueError("validation_split is for arrays; give validation_data.")

    def __len__(self) -> int:
        """The number of batches in an epoch, or 0 if nobody knows."""
        return self.steps or (len(self.source) if hasattr(self.source, "__len__") else 0)

    def _once(self) -> Iterator[Any]:
        """Through all of them; by number what has only a length, such as Keras's Sequence."""
        if hasattr(self.source, "__iter__") or not hasattr(self.source, "__len__"):
            return iter(self.source)
        return (self.source[i] for i in range(len(self.source)))

    def batches(self) -> Iterator[Batch]:
        """The batches of an epoch."""
        source = self._next_ones(self.steps) if self.steps else self._once()
        empty = True
        for item in source:
            empty = False
            yield self._batch(item)
        if empty:
            raise ValueError(f"{self.what}: there is no batch in it.")

    def _next_ones(self, steps: int) -> Iterator[Any]:
        for done in range(steps):
            item = next(self._running, self)
            if item is self:  # it has ended, or was never begun
                self._running = self._once()
                item = next(self._running, self)
            if item is self:
                raise ValueError(
                    f"{self.what}: it ended after {done} of the {steps} batches of an epoch; make "
                    "more of them, or the epochs fewer or shorter."
                )
            yield item

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, (tuple, list)) or len(item) not in (2, 3):
            raise TypeError(
                f"{self.what}: a batch is (x, y) or (x, y, weight), not a "
                f"{type(item).__name__}" + (f" of {len(item)}" if hasattr(item, "__len__") else "")
                + ". Did you mean arrays? Then give both, x and y."
            )  # fmt: skip
        rows = Rows(*item, dtype=self.dtype, class_weight=self.class_weight)
        return rows.inputs, rows.y, rows.weight


Feed: TypeAlias = "Rows | Stream"
