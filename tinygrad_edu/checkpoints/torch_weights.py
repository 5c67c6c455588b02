"""PyTorch's weights in our layers: what is called how there, and what is turned.

    tg.load("net.safetensors", model, format="torch")    as safetensors.torch.save_file wrote it
    tg.checkpoints.from_torch(model, net.state_dict())   straight from a torch.nn.Module

The models must have the same parts under the same names, or in the same order in a Sequential.
PyTorch itself is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu import layers
from tinygrad_edu.arrays import Array
from tinygrad_edu.checkpoints.filling import Filling
from tinygrad_edu.layers import Layer
from tinygrad_edu.layers.layer import arrays_of, joined

__all__ = ["from_torch", "match_torch"]


class Made(NamedTuple):
    """One of our arrays: made by a function from PyTorch's arrays of these names."""

    by: Callable[..., Array]
    of: tuple[str, ...]


def same(name: str) -> Made:
    """As it is there."""
    return Made(lambda x: x, (name,))


def turned(name: str) -> Made:
    """Weights are (outputs, inputs) there, (inputs, outputs) here."""
    return Made(np.transpose, (name,))


def total(name: str, other: str) -> Made:
    """Of two biases that are only ever added up, we keep the sum."""

    def by(x: Array, y: Array) -> Array:
        if x.shape != y.shape:
            raise ValueError(f"shapes {x.shape} and {y.shape} differ")
        return x + y

    return Made(by, (name, other))


def third(i: int, name: str) -> Made:
    """Those of query, key and value lie in one array there, one below the other."""

    def by(x: Array) -> Array:
        if x.ndim == 0 or len(x) % 3:
            raise ValueError(f"shape {x.shape} has no three parts")
        return np.split(x, 3)[i].T

    return Made(by, (name,))


_RECURRENT = {
    "weight": turned("weight_ih_l0"),
    "recurrent_weight": turned("weight_hh_l0"),
    "bias": total("bias_ih_l0", "bias_hh_l0"),
}
TABLE: dict[str, dict[str, Made]] = {  # by the names of the classes: most load when first used
    "Linear": {"weight": turned("weight"), "bias": same("bias")},
    "Embedding": {"weight": same("weight")},
    "Conv1d": {"weight": same("weight"), "bias": same("bias")},
    "Conv2d": {"weight": same("weight"), "bias": same("bias")},
    "BatchNorm": {
        "scale": same("weight"),
        "shift": same("bias"),
        "running_mean": same("running_mean"),
        "running_var": same("running_var"),
    },
    "LayerNorm": {"scale": same("weight"), "shift": same("bias")},
    "RMSNorm": {"scale": same("weight")},
    "RNN": _RECURRENT,
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT | {"bias": same("bias_ih_l0"), "recurrent_bias": same("bias_hh_l0")},
    "MultiHeadAttention": {
        "query.weight": third(0, "in_proj_weight"),
        "key.weight": third(1, "in_proj_weight"),
        "value.weight": third(2, "in_proj_weight"),
        "query.bias": third(0, "in_proj_bias"),
        "key.bias": third(1, "in_proj_bias"),
        "value.bias": third(2, "in_proj_bias"),
        "output.weight": turned("out_proj.weight"),
        "output.bias": same("out_proj.bias"),
    },
}
IGNORED = "num_batches_tracked"  # BatchNorm's, for a momentum of None, which we have not


def from_torch(model: Layer, state: Mapping[str, Any], *, cast: bool = False) -> Layer:
    """Fill our model with the `state_dict()` of a torch.nn.Module, all of it or nothing; return it.

    The values may be arrays or PyTorch's tensors. With `cast=True`, floating numbers may have
    another precision than here. Raises CheckpointError, listing all that does not fit.
    """
    filling = Filling(cast)
    match_torch({name: np.asarray(x) for name, x in state.items()}, model, filling)
    filling.finish("from_torch")
    return model


def match_torch(state: Mapping[str, Array], model: Layer, filling: Filling) -> None:
    """Compare our model with PyTorch's arrays, and note what is to be written."""
    own = {id(x): name for name, x in arrays_of(model).items()}
    missing: dict[int, list[str]] = {}
    known: set[str] = set()
    for x, made, prefix in _places(model, "", ()):
        parts = [joined(prefix, name) for name in made.of]
        known.update(parts)
        if id(x) not in own or missing.get(id(x)) == []:
            continue  # no parameter; or a tied one at another of its places
        missing[id(x)] = [part for part in parts if part not in state]
        if not missing[id(x)]:
            try:
                filling.array(made.by(*(state[part] for part in parts)), x, own[id(x)])
            except ValueError as error:
                filling.problems.append(f"{', '.join(parts)}: {error}")
    filling.problems += [f"missing {part}" for parts in missing.values() for part in parts]
    odd = [name for name in state if name not in known and not name.endswith(IGNORED)]
    filling.problems += [f"unexpected {name}" for name in odd]


def _places(
    layer: Layer, prefix: str, outside: tuple[Layer, ...]
) -> Iterator[tuple[Any, Made, str]]:
    """Every array of a layer: how it is made, and what precedes the names it is made of.

    Tied ones come once for each of their places, as PyTorch counts them.
    """
    rules = _rules(layer)
    members = arrays_of(layer).items() if rules else layer._members()
    for name, x in members:
        if not isinstance(x, Layer):
            yield x, rules.get(name, same(name)), prefix
        elif x is not layer and x not in outside:  # layers may hold each other
            theirs = name.removeprefix("layers.") if isinstance(layer, layers.Sequential) else name
            yield from _places(x, joined(prefix, theirs), (*outside, layer))


def _rules(layer: Layer) -> dict[str, Made]:
    """Those of its class, or of the one it is derived from; none for a layer of somebody's own."""
    for cls in type(layer).__mro__:
        if cls.__module__.startswith(layers.__name__) and cls.__name__ in TABLE:
            return TABLE[cls.__name__]
    return {}
