"""A layer as a graph: it is run once on zeros, and left exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from tinygrad_edu.graph.naming import Variables
from tinygrad_edu.graph.trace import Graph, trace
from tinygrad_edu.layers.attention import MultiHeadAttention
from tinygrad_edu.layers.basic import Embedding, Flatten, Lambda, Linear, Reshape
from tinygrad_edu.layers.convolution import AvgPool2d, Conv1d, Conv2d, MaxPool2d
from tinygrad_edu.layers.layer import Layer, is_parameter
from tinygrad_edu.layers.recurrent import GRU, LSTM, RNN
from tinygrad_edu.layers.settings import whole
from tinygrad_edu.layers.summary import input_dtype, undisturbed
from tinygrad_edu.modes import enable_grad
from tinygrad_edu.tensor import Tensor

__all__ = ["structure"]

STEPS = 4  # of a sequence, where a layer takes any number


def structure(layer: Layer, input_shape: Any, known: Variables, who: str = "draw") -> Graph:
    """The graph of what a layer does to one example: its values and gradients mean nothing.

    `input_shape` is the shape of an example without the batch axis, or a list of such tuples for a
    `forward` of several inputs; None if the first layer says enough. Of several outputs the first
    one counts.

    Raises ValueError if the shape cannot be told, or if the layer cannot be run on such zeros.
    """
    shapes = _found(layer, who) if input_shape is None else _given(input_shape, who)
    dtype = input_dtype(layer)
    zeros = [Tensor(np.zeros((1, *shape), dtype)) for shape in shapes]
    for x in zeros:
        x.requires_grad = x.dtype.kind == "f"  # so that layers without parameters are recorded, too
    with undisturbed(layer), _recorded(layer), enable_grad():
        try:
            graph = trace(_first(layer(*zeros), layer, who), known, who)
        except Exception as error:
            if input_shape is not None:
                raise
            raise ValueError(
                f"{who}: {type(layer).__name__} was run on zeros of shape {zeros[0].shape}, as its "
                f"first layer takes them: {error} Give input_shape=, the shape of one example."
            ) from error
    nodes = dict(graph.nodes)
    for key in (graph.keys[x] for x in zeros if x in graph.keys):
        nodes[key] = replace(nodes[key], kind="input", calls=(), beside=None, needs_gradient=False)
    return replace(graph, nodes=nodes, has_gradients=False)


@contextmanager
def _recorded(layer: Layer) -> Iterator[None]:
    """For a while all parameters want gradients, also frozen ones, and no hook is called."""
    parameters = [(p, p._requires_grad, p._hooks) for _, p in layer._named(is_parameter)]
    try:
        for p, _, _ in parameters:
            p._requires_grad, p._hooks = True, ()
        yield
    finally:
        for p, wanted, hooks in parameters:
            p._requires_grad, p._hooks = wanted, hooks


def _first(z: Any, layer: Layer, who: str) -> Tensor:
    while isinstance(z, (tuple, list)) and z:
        z = z[0]
    if isinstance(z, Tensor) and z.op is None:
        raise ValueError(f"{who}: {type(layer).__name__} hands on its input as it is.")
    return z


# ---------------------------------------------------------------- which zeros


def _given(input_shape: Any, who: str) -> list[tuple[int, ...]]:
    several = isinstance(input_shape, list) and any(np.ndim(one) for one in input_shape)
    return [_lengths(shape, who) for shape in (input_shape if several else [input_shape])]


def _lengths(shape: Any, who: str) -> tuple[int, ...]:
    lengths = shape if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(
        whole(f"{who}: input_shape, without the batch axis: one length", n) for n in lengths
    )


def _found(layer: Layer, who: str) -> list[tuple[int, ...]]:
    """The shape that the first layer takes which says so; activations and the like take any."""
    for _, one in layer.named_layers():
        if isinstance(one, Linear):
            return [one.weight.shape[:1]]
        if isinstance(one, Embedding):
            return [(STEPS,)]
        if isinstance(one, (RNN, LSTM, GRU)):
            return [(STEPS, len(one.weight))]
        if isinstance(one, MultiHeadAttention):
            return [(STEPS, one.size)]
        if isinstance(one, (Conv1d, Conv2d, MaxPool2d, AvgPool2d, Flatten, Reshape, Lambda)):
            raise _unknown(layer, f", a {type(one).__name__}", who)
    raise _unknown(layer, "", who)


def _unknown(layer: Layer, first: str, who: str) -> ValueError:
    return ValueError(
        f"{who}: what {type(layer).__name__} takes cannot be told from its first layer{first}; "
        "give input_shape=, the shape of one example, such as input_shape=(1, 28, 28)."
    )
