"""Packing: whatever is saved as named arrays and a tree of JSON values, and back again.

The arrays keep the names that their layers and optimizers give them, after the name of the part:
"model.layers.0.weight", "optimizer.0.m". All else is JSON; what JSON does not have is an object of
one entry whose name begins with a $:

    {"$layer": ["weight", "bias"]}        a layer: the names of its arrays
    {"$state": {...}}                     the `state_dict` of an optimizer, a schedule, ...
    {"$generator": {...}}                 the state of a numpy.random.Generator
    {"$array": null}                      an array; its name is the way to this place
    {"$int": "-0x1f"} {"$float": "nan"}   numbers that JSON has not, or not exactly
    {"$tuple": [...]} {"$dict": [...]}    a tuple; a dict with other keys than words, as pairs
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.layers import Layer
from tinygrad_edu.layers.layer import joined
from tinygrad_edu.random import as_generator
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "CheckpointError", "GeneratorState", "LayerState", "Packing", "PartState", "generators",
    "Unpacking", "has_state", "state_problem",
]  # fmt: skip

DTYPES = {  # what safetensors calls them
    "F64": "float64", "F32": "float32", "F16": "float16", "BOOL": "bool",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8",
}  # fmt: skip
DEEPEST = 100  # lists in lists
SHORT = 2**63  # whole numbers below this are written as such: every reader of JSON knows them


class CheckpointError(ValueError):
    """A checkpoint that cannot be written, or read, or does not fit what it is loaded into."""


class LayerState(dict[str, Array]):
    """What a file says of a layer: its arrays by name."""


class PartState(dict[str, Any]):
    """What a file says of something with a `state_dict`."""


class GeneratorState(dict[str, Any]):
    """What a file says of a random generator."""


def has_state(x: Any) -> bool:
    """Is it an optimizer, a schedule, or whatever else can give and take a `state_dict`?"""
    return not isinstance(x, type) and hasattr(x, "state_dict") and hasattr(x, "load_state_dict")


# ---------------------------------------------------------------- there


class Packing:
    """What is being saved: `arrays` by name, and the `layers` met on the way."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self.layers: list[tuple[str, Layer]] = []
        self._depth = 0

    def pack(self, x: Any, name: str = "") -> Any:
        """x as JSON values, its arrays put aside; TypeError for what cannot be saved."""
        self._depth += 1
        if self._depth > DEEPEST:
            raise CheckpointError(f"save: {name:.60}... is nested more than {DEEPEST} deep")
        packed = self._packed(x, name)
        self._depth -= 1
        return packed

    def _packed(self, x: Any, name: str) -> Any:
        if isinstance(x, Layer):
            self.layers.append((name, x))
            state = x.state_dict()
            for key, array in state.items():
                self._put(joined(name, key), array)
            return {"$layer": list(state)}
        if isinstance(x, (np.ndarray, Tensor)):
            self._put(name, plain(x))
            return {"$array": None}
        if isinstance(x, np.random.Generator):
            return {"$generator": self.pack(x.bit_generator.state, name)}
        if has_state(x):
            return {"$state": self.pack(dict(x.state_dict()), name)}
        if isinstance(x, (list, tuple)):
            entries = [self.pack(entry, joined(name, i)) for i, entry in enumerate(x)]
            return entries if isinstance(x, list) else {"$tuple": entries}
        if isinstance(x, dict):
            return self._packed_dict(x, name)
        return _packed_value(x, name)

    def _packed_dict(self, x: Mapping[Any, Any], name: str) -> Any:
        if all(isinstance(key, str) and not key.startswith("$") for key in x):
            return {key: self.pack(value, joined(name, key)) for key, value in x.items()}
        if any(isinstance(key, int) and not -SHORT <= key < SHORT for key in x):
            raise TypeError(f"save: {name or 'a dict'} has a key beyond 64 bits; make it a text.")
        pairs = [[self.pack(key, name), self.pack(x[key], joined(name, key))] for key in x]
        return {"$dict": pairs}

    def _put(self, name: str, array: Array) -> None:
        if array.dtype.name not in DTYPES.values():
            raise TypeError(
                f"save: {name or 'the array'} has dtype {array.dtype}, which a checkpoint cannot "
                f"hold; convert it to one of {', '.join(DTYPES.values())}."
            )
        if name in self.arrays or name == "__metadata__" or not _is_utf8(name):
            raise CheckpointError(f"save: {name!r} cannot be the name of an array, or is one twice")
        # safetensors takes the numbers as they lie in memory: row by row, in this machine's order
        self.arrays[name] = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)


def _packed_value(x: Any, name: str) -> Any:
    if isinstance(x, np.generic) and x.dtype.kind in "biuf":
        x = x.item()
    if x is None or isinstance(x, bool):
        return x
    if isinstance(x, str):
        return str(x)
    if isinstance(x, int):
        return int(x) if -SHORT <= x < SHORT else {"$int": hex(x)}
    if isinstance(x, float):
        return float(x) if math.isfinite(x) else {"$float": str(float(x))}
    raise TypeError(
        f"save: {name or 'this'} is a {type(x).__name__}: {x!r:.60}. A checkpoint holds layers, "
        "optimizers, schedules, Tensors, arrays, numpy.random.Generators, numbers, texts, None, "
        "and lists, tuples and dicts of these."
    )


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def generators(layers: list[tuple[str, Layer]]) -> dict[str, np.random.Generator]:
    """The random generators that a run depends on: the default one, and those inside of layers."""
    found = {"default": as_generator(None)}
    for name, layer in layers:
        found.update({joined(name, key): g for key, g in layer.named_generators()})
    return found


# ---------------------------------------------------------------- and back


class Unpacking:
    """What is being loaded: `arrays` by name, until they are asked for."""

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays
        self._depth = 0

    def unpack(self, node: Any, name: str = "") -> Any:
        """What was packed, with a state for all that was alive.

        Raises CheckpointError for what `pack` does not make.
        """
        self._depth += 1
        if self._depth > DEEPEST:
            raise CheckpointError(f"it is nested more than {DEEPEST} deep")
        try:
            return self._unpacked(node, name)
        except (TypeError, ValueError, LookupError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{name or 'the whole'} is not what it is marked as") from error
        finally:
            self._depth -= 1

    def _unpacked(self, node: Any, name: str) -> Any:
        if isinstance(node, list):
            return [self.unpack(entry, joined(name, i)) for i, entry in enumerate(node)]
        if not isinstance(node, dict):
            return node
        if not any(key.startswith("$") for key in node):
            return {key: self.unpack(value, joined(name, key)) for key, value in node.items()}
        ((mark, content),) = node.items()
        return UNPACK[mark](self, content, name)

    def _taken(self, content: None, name: str) -> Array:
        if name not in self.arrays:
            raise CheckpointError(f"the array {name} is missing")
        return self.arrays.pop(name)

    def _layer(self, names: Any, name: str) -> LayerState:
        return LayerState({key: self._taken(None, joined(name, key)) for key in _list(names)})

    def _state(self, content: Any, name: str) -> PartState:
        return PartState(_dict(self.unpack(content, name)))

    def _generator(self, content: Any, name: str) -> GeneratorState:
        return GeneratorState(_dict(self.unpack(content, name)))

    def _tuple(self, content: Any, name: str) -> tuple[Any, ...]:
        return tuple(self.unpack(_list(content), name))

    def _pairs(self, content: Any, name: str) -> dict[Any, Any]:
        pairs = [(self.unpack(key, name), value) for key, value in _list(content)]
        if any(isinstance(key, int) and not -SHORT <= key < SHORT for key, _ in pairs):
            raise ValueError  # chosen well, any number of them would have the same hash
        return {key: self.unpack(value, joined(name, key)) for key, value in pairs}

    def _int(self, content: Any, name: str) -> int:
        return int(content, 16)

    def _float(self, content: Any, name: str) -> float:
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]


UNPACK: dict[str, Callable[[Unpacking, Any, str], Any]] = {
    "$layer": Unpacking._layer, "$state": Unpacking._state, "$generator": Unpacking._generator,
    "$array": Unpacking._taken, "$tuple": Unpacking._tuple, "$dict": Unpacking._pairs,
    "$int": Unpacking._int, "$float": Unpacking._float,
}  # fmt: skip


def _list(x: Any) -> list[Any]:
    if not isinstance(x, list):
        raise TypeError
    return x


def _dict(x: Any) -> dict[str, Any]:
    if type(x) is not dict:
        raise TypeError
    return x


# ---------------------------------------------------------------- the state of a generator

POSITIONS = {"pos": "key", "buffer_pos": "buffer"}  # a place in the array beside it, or its end


def state_problem(generator: np.random.Generator, state: GeneratorState) -> str:
    """Why this generator cannot take that state; empty if it can.

    NumPy believes what it is given: a place behind the end of an array would be read, and crash.
    """
    own, kind = generator.bit_generator.state, type(generator.bit_generator).__name__
    if state.get("bit_generator") != own.get("bit_generator"):
        given = state.get("bit_generator")
        return f"is of {given[:40]!r}, not of a {kind}" if isinstance(given, str) else "is of none"
    try:
        if _same_form(own, state):
            copy.deepcopy(generator.bit_generator).state = dict(state)
            return ""
    except (TypeError, ValueError, OverflowError, LookupError):
        pass
    return f"is not what a {kind} can be in"


def _same_form(own: Any, given: Any) -> bool:
    if isinstance(own, Mapping):
        if not isinstance(given, dict) or own.keys() != given.keys():
            return False
        places = {key: own[array] for key, array in POSITIONS.items() if key in own}
        return all(_same_form(own[key], given[key]) for key in own) and all(
            0 <= given[key] <= len(array) for key, array in places.items()
        )
    if isinstance(own, np.ndarray):
        same = isinstance(given, np.ndarray) and given.shape == own.shape
        return same and given.dtype == own.dtype
    return type(given) is type(own)
