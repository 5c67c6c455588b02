"""The detective: where did the nan come from?

A nan is seen at the end, as a loss, but made somewhere on the way; and whatever touches it becomes
nan, too. So `find_nonfinite` goes back from the loss through all that is not finite, to the oldest
op that made nan or inf of finite numbers. If the loss is finite, it goes on through the gradients.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.chain import check_unchanged, clock, walk, youngest_first
from tinygrad_edu.cures import ON_PURPOSE, cure_for
from tinygrad_edu.layers.layer import Layer, is_parameter
from tinygrad_edu.modes import Line
from tinygrad_edu.rules import Op
from tinygrad_edu.tensor import Tensor

__all__ = ["Finding", "find_nonfinite"]


@dataclass(frozen=True, repr=False, eq=False)
class Finding:
    """What was found; printed it is a text, and in an `if` it is False if all was finite.

    `phase`    "data" (it was there before the first op), "forward", "backward", or "" for nothing.
    `tensor`   what the op made; the leaf; or, of a plain array, the first that was made of it.
    `op`       the op that made the nan or inf (on the way back, its pullback); None for data.
    `index`    where the first one is: in the tensor, the array, or the gradient on the way back.
    `value`    nan, inf or -inf.
    `layer`    the layer that it happened in, such as "MLP / layers.0".
    `where`    the user's line, if it was computed inside `trace_lines()`.
    `cure`     what is usually done about it.
    """

    text: str
    phase: str = ""
    tensor: Tensor | None = None
    op: Op | None = None
    index: tuple[int, ...] | None = None
    value: float | None = None
    layer: str = ""
    where: Line | None = None
    cure: str = ""

    def __bool__(self) -> bool:
        return bool(self.phase)

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def find_nonfinite(loss: Tensor) -> Finding:
    """The first op that made nan or inf, on the way to the loss or else on the way back.

    A loss of several numbers counts as their sum. No `.grad` is touched and no hook is called. An
    inf that a constant put there, as a mask does, counts only if nothing else explains it, and an
    inf that left neither the loss nor a gradient infinite does not count.

    Raises RuntimeError, as `backward` does, for a graph whose parameters have changed since.

    >>> from tinygrad_edu.ops import sqrt
    >>> x = Tensor([4.0, 0.0], requires_grad=True)
    >>> found = find_nonfinite(sqrt(x).sum())
    >>> found.phase, found.op.name, found.index, found.value
    ('backward', 'sqrt', (1,), inf)
    """
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"find_nonfinite: {loss!r:.60} is a {type(loss).__name__}; give the loss as a Tensor, "
            "not loss.item()."
        )
    order = youngest_first(loss)
    for t in order:
        if clock.last_write > t._birth:
            check_unchanged(t)
    if not _finite(loss):
        return _forward(_source([loss]))
    return _backward(loss) or _nothing(loss, order)


def _nothing(loss: Tensor, order: list[Tensor]) -> Finding:
    if not loss.requires_grad:
        return Finding("The loss is finite. It was computed from nothing that requires grad.")
    inside = sum(not _finite(t) for t in order)
    harmless = f"; inf or nan inside {inside} of them went no further" if inside else ""
    return Finding(f"The loss and all gradients are finite (tensors: {len(order)}{harmless}).")


def _finite(x: Any) -> bool:
    return bool(np.isfinite(_numbers(x)).all())


def _numbers(x: Any) -> Array:
    return x._data if isinstance(x, Tensor) else np.asarray(x)


# ---------------------------------------------------------------- on the way to the loss


class Source(NamedTuple):
    """Where it begins: in t, or in the constant that its op was given as `slot`."""

    t: Tensor
    slot: str | None = None
    x: Any = None
    mask: bool = False


def _source(starts: list[Tensor]) -> Source:
    """The oldest of what is not finite under these, of which at least one is not."""
    on_purpose: dict[Tensor, Source] = {}  # an inf, put there by a constant
    for t in _tainted(starts):
        taints = [(slot, x) for slot, x in _given(t) if not _finite(x)]
        for slot, x in taints:
            if not (_is_meant(t, x) or (isinstance(x, Tensor) and x in on_purpose)):
                return Source(t, slot, x)
        if not taints or np.isnan(t._data).any():
            return Source(t)
        on_purpose[t] = Source(t, mask=True)
    return next(iter(on_purpose.values()))


def _tainted(starts: list[Tensor]) -> list[Tensor]:
    """All that is not finite and leads to them through what is not finite, oldest first."""
    seen = {t for t in starts if not _finite(t)}
    waiting = list(seen)
    while waiting:
        for x in waiting.pop().inputs:
            if x._op is not None and x not in seen and not _finite(x):
                seen.add(x)
                waiting.append(x)
    return sorted(seen, key=lambda t: t._birth)


def _is_meant(t: Tensor, x: Any) -> bool:
    """Is x an inf that was written down, such as the -inf of a mask?"""
    if isinstance(x, float):
        return bool(np.isinf(x))
    constant = not isinstance(x, Tensor) or not (x.requires_grad or x._trainable)
    return constant and t._op.name in _MASKING and not np.isnan(_numbers(x)).any()


_MASKING = frozenset({"add", "where", "masked_fill", "maximum", "minimum"})


def _given(t: Tensor) -> Iterator[tuple[str, Any]]:
    """The numbers that the op of t was called with, by the names that its rule has for them."""
    if t._op is None:
        return
    for name, x in t._op.named(t._args, t._options):
        if isinstance(x, (Tensor, np.ndarray, int, float)) and not isinstance(x, bool):
            yield name, x


def _forward(source: Source, note: str = "") -> Finding:
    t = source.t
    if source.slot is not None or t._op is None:
        return _data(source, note)
    first = _first(t._data)
    if source.mask:
        cure, title = ON_PURPOSE, f"{t._op.name} let in {first.value}, put there by a constant"
    else:
        cure = cure_for(t._op.name, "forward", first.value, t.dtype)
        which = "finite" if all(_finite(x) for _, x in _given(t)) else "infinite"
        title = f"{t._op.name} made {first.value} from {which} numbers"
    by_entry = t._op.family in _BY_ENTRY
    rows = [*_inputs(t), ("z", _range(t)), *(_entry(t, first.place) if by_entry else [])]
    return _finding("forward", f"{title}: {first.words}", t, first, rows, cure, note)


_BY_ENTRY = ("elementwise", "arithmetic", "activations")


# ---------------------------------------------------------------- before the first op


def _data(source: Source, note: str) -> Finding:
    """It was there from the start: in a parameter, or in the data."""
    t, leaf = source.t, source.x if source.slot is not None else source.t
    first = _first(_numbers(leaf))
    name = _name(leaf, t._path) or source.slot
    if isinstance(leaf, Tensor) and is_parameter(leaf):
        what = f"the parameter {name}" if name else "a parameter"
        cure = _OF_A_STEP if leaf._written else _FROM_THE_START
    else:
        what = f"the constant {name}" if name else "a constant"
        cure = f"Look at the data{f', row {first.place[0]}' if first.place else ''}: {_OF_DATA}"
    rows = [("numbers", _range(leaf))]
    if source.slot is not None:
        rows.append(("used by", f"{t._op.name}, as its {source.slot}"))
    title = f"{what} held {first.value} before any op: {first.words}"
    leaf = leaf if isinstance(leaf, Tensor) else t
    return _finding("data", title, t, first, rows, cure, note, leaf)


_OF_A_STEP = (
    "It was changed after it was made: the last step of the optimizer, or an assignment, did this. "
    "Lower lr, or clip (clipnorm=1)."
)
_FROM_THE_START = "It was so from the start: look at its first values, or at what was loaded."
_OF_DATA = (
    "fill in or leave out what is missing. (How it was made is recorded only of what requires "
    "grad; if you computed it, look there.)"
)


# ---------------------------------------------------------------- on the way back


def _backward(loss: Tensor) -> Finding | None:
    """The first gradient that is not finite, and what made it."""
    if not loss.requires_grad:
        return None
    with np.errstate(all="ignore"):  # as backward does
        for t, g, contributions in walk(loss, np.ones_like(loss._data), hooks=False):
            if not _finite(g):
                return _sum(t, g)
            for k, (_, dx) in enumerate(contributions):
                if not _finite(dx):
                    return _pullback(t, g, k, dx)
    return None


def _sum(t: Tensor, g: Array) -> Finding:
    """All that the uses of t gave it was finite, but the sum is not."""
    first = _first(g)
    name = _name(t, t._path) or (f"what {t._op.name} made" if t._op else "a leaf")
    title = f"the gradient of {name} adds up to {first.value} on the way back: {first.words}"
    cure = cure_for("", "backward", first.value, t.dtype)
    return _finding("backward", title, t, first, [("z", _range(t))], cure)


def _pullback(t: Tensor, g: Array, k: int, dx: Array) -> Finding:
    """The pullback of t to its k-th edge made dx of a finite g."""
    slot = _slot(t, k)
    tainted = [x for x in (t, *t.inputs) if x._op is not None and not _finite(x)]
    source = _source(tainted) if tainted else None
    if source is not None and not source.mask:  # an inf that vanished on the way to the loss
        return _forward(source, _VANISHED.format(op=t._op.name, slot=slot))
    first = _first(dx)
    title = f"{t._op.name} made {first.value} on the way back: d{slot} has {first.words}"
    rows = [("g", _range(g)), *_inputs(t), ("z", _range(t))]
    if dx.shape == t.shape:
        rows += _entry(t, first.place)
    cure = cure_for(t._op.name, "backward", first.value, dx.dtype)
    return _finding("backward", title, t, first, rows, cure)


_VANISHED = (
    "The loss is finite, but on the way back {op} makes a d{slot} that is not, since 0 * inf is "
    "nan. Replace what is not wanted before the op, tg.log(tg.where(x > 0, x, 1)), not after it."
)


def _slot(t: Tensor, k: int) -> str:
    """What the rule calls the input at the end of the k-th edge."""
    edges = {x for x, _ in t._edges}
    slots = [name for name, x in _given(t) if isinstance(x, Tensor) and x in edges]
    return slots[k]


# ---------------------------------------------------------------- in words


class First(NamedTuple):
    """The first entry that is not finite, and how many there are, in words."""

    place: tuple[int, ...]
    value: float
    words: str


def _first(x: Array) -> First:
    index = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
    of = f" of {x.size} entries, the first at {list(index)}" if x.ndim else ", a single number"
    return First(index, float(x[index]), _kinds(x) + of)


def _finding(
    phase: str,
    title: str,
    t: Tensor,
    first: First,
    rows: list[tuple[str, str]],
    cure: str,
    note: str = "",
    leaf: Tensor | None = None,
) -> Finding:
    """The finding, with its text: a title, and a row for each thing that is known."""
    layer, of = _layer(t), t if leaf is None else leaf
    op = None if phase == "data" else t._op
    where = of._where or t._where
    text = _table([
        ("maths", op.formula if op is not None else ""),
        *rows,
        ("note", textwrap.fill(note, 84)),
        ("layer", layer),
        ("line", where.text if where else "not noted; compute the loss inside tg.trace_lines()"),
        ("cure", textwrap.fill(cure, 84)),
    ])  # fmt: skip
    return Finding(f"{title}\n{text}", phase, of, op, first.place, first.value, layer, where, cure)


def _table(rows: list[tuple[str, str]]) -> str:
    """Names and texts in two columns; what has no text has no row."""
    rows = [row for row in rows if row[1]]
    width = max(len(name) for name, _ in rows) + 2
    lines = [f"{name:<{width}}" + text.replace("\n", "\n" + " " * width) for name, text in rows]
    return textwrap.indent("\n".join(lines), "    ")


def _kinds(x: Array) -> str:
    counts = {
        "nan": np.count_nonzero(np.isnan(x)),
        "inf": np.count_nonzero(x == np.inf),
        "-inf": np.count_nonzero(x == -np.inf),
    }
    return ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)


def _inputs(t: Tensor) -> list[tuple[str, str]]:
    rows = []
    for slot, x in _given(t):
        name = _name(x, t._path)
        made = f", made by {x._op.name}" if isinstance(x, Tensor) and x._op else ""
        rows.append((slot, (f"{name}: " if name else "") + _range(x) + made))
    return rows


def _range(x: Any) -> str:
    """The shape and the range of an array, and how much of it is 0 or not finite."""
    if isinstance(x, (int, float)):
        return str(x)
    x = _numbers(x)
    finite = x[np.isfinite(x)]
    text = f"{x.shape} {x.dtype}"
    if finite.size:
        low, high = finite.min(), finite.max()
        text += f", {_digits(low)}" + (f" .. {_digits(high)}" if high != low else "")
    zeros = finite.size - np.count_nonzero(finite)
    counts = [f"{zeros} zeros" if zeros > 1 else f"{zeros} zero"] if zeros and x.size > 1 else []
    counts += [_kinds(x)] if finite.size < x.size else []
    return ", ".join([text, *counts])


def _digits(x: Any) -> str:
    return f"{x:.4g}" if isinstance(x, np.floating) else str(x)


def _entry(t: Tensor, index: tuple[int, ...]) -> list[tuple[str, str]]:
    """What the inputs are at one entry, for an op that works entry by entry."""
    given = [(slot, _numbers(x)) for slot, x in _given(t)]
    if not index or any(np.broadcast_shapes(x.shape, t.shape) != t.shape for _, x in given):
        return []
    values = [f"{slot} = {_digits(np.broadcast_to(x, t.shape)[index])}" for slot, x in given]
    return [("there", ", ".join(values))]


def _name(x: Any, path: Any) -> str:
    """The name of a tensor: its own, or what the outermost layer calls this parameter."""
    if not isinstance(x, Tensor):
        return ""
    if x.name or path is None:
        return str(x.name or "")
    while path[0] is not None:
        path = path[0]
    return next((name for name, p in path[1]._named(is_parameter) if p is x), "")


def _layer(t: Tensor) -> str:
    """The layers that t was made in, each as the one around it calls it: "MLP / layers.0"."""
    layers: tuple[Layer, ...] = t.path
    names = [type(layer).__name__ for layer in layers[:1]]
    for around, layer in pairwise(layers):
        inner = {id(one): name for name, one in around.named_layers()}
        names.append(inner.get(id(layer), type(layer).__name__))
    return " / ".join(names)
