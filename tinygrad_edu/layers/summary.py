"""A layer as a table: what comes out of each layer inside, and what that costs.

The layer is run once, on one example of zeros. For that time every layer notes what went into its
`forward` and what came out; afterwards each one is put back to exactly what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array, default_dtype
from tinygrad_edu.layers.basic import Embedding
from tinygrad_edu.layers.layer import Layer, is_parameter
from tinygrad_edu.layers.settings import whole
from tinygrad_edu.modes import no_grad
from tinygrad_edu.random import as_generator
from tinygrad_edu.tensor import Tensor

__all__ = ["input_dtype", "table", "undisturbed"]

HEADER = ("layer", "type", "output", "parameters", "bytes", "multiply-adds")


class Call(NamedTuple):
    """What went into a forward, and what came out."""

    x_shape: Any
    z_shape: Any


Calls = dict[int, list[Call]]  # of every layer, by its id


def table(layer: Layer, input_shape: Any, dtype: Any = None) -> str:
    """The lines of `Layer.summary`."""
    shapes = _shapes(input_shape)
    dtype = input_dtype(layer) if dtype is None else dtype
    dtypes = dtype if isinstance(dtype, list) else [dtype] * len(shapes)
    zeros = [Tensor(np.zeros((1, *s), one)) for s, one in zip(shapes, dtypes, strict=True)]
    with undisturbed(layer), no_grad():
        calls = _noted(layer)
        layer(*zeros)
        return "\n".join(_lines(layer, calls))


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    """The shape of each input; a number is short for a shape of one axis."""
    several = isinstance(input_shape, list) and any(np.ndim(one) for one in input_shape)
    return [_lengths(shape) for shape in (input_shape if several else [input_shape])]


def _lengths(shape: Any) -> tuple[int, ...]:
    what = "summary: input_shape, without the batch axis: one length"
    lengths = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(whole(what, n, least=0) for n in lengths)


def input_dtype(layer: Layer) -> Any:
    """What a layer computes with; whole numbers if it begins with looking up rows."""
    inside = [one for _, one in layer.named_layers()]
    first = next((one for one in inside if len(list(one.named_layers())) == 1), layer)
    if isinstance(first, Embedding):
        return int
    return next((p.dtype for _, p in layer._named(is_parameter)), default_dtype())


# ---------------------------------------------------------------- one run that leaves no trace


@contextmanager
def undisturbed(layer: Layer) -> Iterator[None]:
    """In eval mode; at the end attributes, buffers and generators are as they were."""
    attributes = [(one, dict(vars(one))) for one in layer.layers()]
    buffers = [(b, b.copy()) for _, b in layer.named_buffers()]
    generators = [as_generator(), *(rng for _, rng in layer.named_generators())]
    states = [(rng.bit_generator, rng.bit_generator.state) for rng in generators]
    try:
        layer.eval()
        yield
    finally:
        for one, before in attributes:
            vars(one).clear()
            vars(one).update(before)
        for buffer, numbers in buffers:
            buffer[...] = numbers
        for bits, state in states:
            bits.state = state


def _noted(layer: Layer) -> Calls:
    """The calls of every layer, from now on."""
    calls: Calls = {id(one): [] for one in layer.layers()}
    for one in layer.layers():
        vars(one)["forward"] = _noting(one.forward, calls[id(one)])
    return calls


def _noting(forward: Callable[..., Any], calls: list[Call]) -> Callable[..., Any]:
    def noting(*args: Any, **options: Any) -> Any:
        z = forward(*args, **options)
        calls.append(Call(_shape(args[0]) if args else None, _shape(z)))
        return z

    return noting


def _shape(x: Any) -> Any:
    """The shape of a tensor or an array; of several, a tuple of shapes."""
    if isinstance(x, (tuple, list)):
        return tuple(_shape(one) for one in x)
    return getattr(x, "shape", None)


# ---------------------------------------------------------------- its lines


class Row(NamedTuple):
    """A line of the table. `multiply_adds` is None where nobody says how many there are."""

    layer: str
    type: str
    output: str
    parameters: int
    bytes: int
    multiply_adds: int | None


def _lines(layer: Layer, calls: Calls) -> Iterator[str]:
    seen: set[int] = set()
    rows = [_row(name, one, calls.get(id(one), []), seen) for name, one in layer.named_layers()]
    silent = [row.type for row in rows if row.multiply_adds is None]
    parameters, size = sum(row.parameters for row in rows), sum(row.bytes for row in rows)
    products = sum(row.multiply_adds or 0 for row in rows)
    total = Row("total", "", "", parameters, size, products)
    cells = [list(HEADER), *map(_cells, [*rows, total])]
    cells[-1][-1] += " + ?" if silent else ""
    yield from _lined_up(cells)
    yield from _notes(layer, silent)


def _row(name: str, layer: Layer, calls: list[Call], seen: set[int]) -> Row:
    own = _own_parameters(layer)
    new = [p for p in own if id(p) not in seen]  # tied parameters count once
    seen.update(map(id, own))
    outputs = "; ".join(dict.fromkeys(_shown(call.z_shape) for call in calls)) or "not called"
    products: int | None = sum(layer.multiply_adds(*call) for call in calls)
    if own and type(layer).multiply_adds is Layer.multiply_adds:
        products = None
    size, nbytes = sum(p.size for p in new), sum(p.data.nbytes for p in new)
    return Row(name, type(layer).__name__, outputs, size, nbytes, products)


def _cells(row: Row) -> list[str]:
    numbers = ("?" if n is None else f"{n:,}" for n in row[3:])
    return [row.layer, row.type, row.output, *numbers]


def _own_parameters(layer: Layer) -> list[Tensor]:
    """The parameters of a layer that are not those of layers inside, each once."""
    return list({id(p): p for _, p in layer._members() if is_parameter(p)}.values())


def _notes(layer: Layer, silent: list[str]) -> Iterator[str]:
    """What stands below the table."""
    parameters = [p for _, p in layer._named(is_parameter)]
    trainable = sum(p.size for p in parameters if p.requires_grad)
    frozen = sum(p.size for p in parameters) - trainable
    yield f"trainable parameters: {trainable:,}, frozen: {frozen:,}"
    buffers: list[Array] = [b for _, b in layer.named_buffers()]
    if buffers:
        size, nbytes = sum(b.size for b in buffers), sum(b.nbytes for b in buffers)
        yield f"buffers, saved but not trained: {size:,} numbers, {nbytes:,} bytes"
    if silent:
        names = ", ".join(dict.fromkeys(silent))
        yield f"?: write multiply_adds(self, x_shape, z_shape) in {names}"


def _lined_up(rows: list[list[str]]) -> Iterator[str]:
    """Words to the left of their columns, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        words = [text.ljust(width) for text, width in zip(row[:3], widths[:3], strict=True)]
        numbers = [text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join([*words, *numbers]).rstrip()


def _shown(shape: Any) -> str:
    """A shape whose batch axis is n, however many examples there are."""
    if shape is None:
        return "-"
    if any(one is None or isinstance(one, tuple) for one in shape):
        return f"({', '.join(_shown(one) for one in shape)})"
    return str(("n", *shape[1:]) if shape[:1] == (1,) else shape).replace("'", "")
