"""A layer: parameters, and what is done with them.

A layer is any object with tensors for attributes and a `forward` that uses them. `Layer` finds the
parameters by looking at the attributes, in the order they were assigned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.modes import here
from tinygrad_edu.printed import Printed
from tinygrad_edu.tensor import Tensor, mark_written, plain

__all__ = ["Layer"]

Some = TypeVar("Some", bound="Layer")  # `train` and the like return the layer, of its own class


class Layer:
    """Base class of layers: state parameters as attributes, and the computation in `forward`.

    An attribute that is a Tensor made with `requires_grad=True` is a parameter, an array a buffer
    (saved, not trained), a Layer a part; lists, tuples and dicts of these are looked into. A Tensor
    that never wanted a gradient is a constant: neither trained nor saved.

    >>> class Line(Layer):
    ...     def __init__(self):
    ...         self.slope = Tensor(2.0, requires_grad=True)
    ...         self.offset = Tensor(1.0, requires_grad=True)
    ...     def forward(self, x):
    ...         return self.slope * x + self.offset
    >>> line = Line()
    >>> line(3.0).item(), [name for name, p in line.named_parameters()]
    (7.0, ['slope', 'offset'])
    """

    training = True

    def forward(self, *args: Any, **options: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}: write forward(self, x).")

    def __call__(self, *args: Any, **options: Any) -> Any:
        mode = here.mode
        outside = mode.path
        try:
            mode.path = (outside, self)  # what is made in here remembers in which layer
            return self.forward(*args, **options)
        finally:
            mode.path = outside

    # What it consists of.

    def _members(self) -> Iterator[tuple[str, Any]]:
        """Attributes in order of assignment, with the entries of lists and dicts by themselves."""
        for name, value in vars(self).items():
            yield from opened(name, value)

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """This layer (named "") and all layers inside, each once, outer before inner."""
        yield from self._walk(prefix, set())

    def _walk(self, prefix: str, seen: set[int]) -> Iterator[tuple[str, Layer]]:
        if id(self) not in seen:
            seen.add(id(self))
            yield prefix, self
            for name, value in self._members():
                if isinstance(value, Layer):
                    yield from value._walk(joined(prefix, name), seen)

    def layers(self) -> list[Layer]:
        """This layer and all layers inside, each once, outer before inner."""
        return [layer for _, layer in self.named_layers()]

    def _named(self, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
        seen = set()
        for prefix, layer in self.named_layers():
            for name, value in layer._members():
                if wanted(value) and id(value) not in seen:
                    seen.add(id(value))  # tied parameters count once, under their first name
                    yield joined(prefix, name), value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and their names, such as `layers.0.weight`; one without a name takes it."""
        for name, p in self._named(is_parameter):
            if p.name is None:
                p.name = name
            yield name, p

    def parameters(self) -> list[Tensor]:
        """All parameters, in order of assignment, tied ones once."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Arrays that are saved with the parameters but not trained."""
        return self._named(lambda value: isinstance(value, np.ndarray))

    def named_generators(self) -> Iterator[tuple[str, np.random.Generator]]:
        """Generators that layers draw from, such as `layers.2.rng`, shared ones once."""
        return self._named(lambda value: isinstance(value, np.random.Generator))

    # What one does to all of it.

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    def train(self: Some, training: bool = True) -> Some:
        """Behave as in training (dropout drops), and return the layer.

        A layer inside with a `train` of its own, which may keep some part from training, is asked.
        """
        inside = [layer for _, layer in self.named_layers()]
        for layer in reversed(inside):  # the inner ones first: an outer one has the last word
            if layer is self or type(layer).train is Layer.train:
                layer.training = bool(training)
            else:
                layer.train(training)
        return self

    def eval(self: Some) -> Some:
        """Behave as in use, not training, and return the layer."""
        return self.train(False)

    def freeze(self: Some) -> Some:
        """Let no parameter want a gradient, so that none is trained; return the layer.

        Buffers are no parameters: the running statistics of a BatchNorm stand still in `eval()`.
        """
        for p in self.parameters():
            p.requires_grad_(False)
        return self

    def unfreeze(self: Some) -> Some:
        """Let all parameters want gradients again; return the layer."""
        for p in self.parameters():
            p.requires_grad_(True)
        return self

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers, by name."""
        state = {name: p.numpy() for name, p in self.named_parameters()}
        return state | {name: b.copy() for name, b in self.named_buffers()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the numbers of a `state_dict`.

        Raises ValueError, before anything is changed, listing all names that are missing,
        unexpected, or of another shape.
        """
        own = arrays_of(self)
        state = {name: np.asarray(plain(value)) for name, value in state.items()}
        problems = [f"missing {name}" for name in own if name not in state]
        problems += [f"unexpected {name}" for name in state if name not in own]
        problems += [
            f"{name} has shape {state[name].shape}, not {own[name].shape}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ]
        problems += [
            f"{name} has dtype {value.dtype}, not numbers"
            for name, value in state.items()
            if value.dtype.kind not in "fiub"
        ]
        if problems:
            raise ValueError("load_state_dict: nothing was loaded: " + "; ".join(problems))
        for name, mine in own.items():
            plain(mine)[...] = state[name]
        mark_written([mine for mine in own.values() if isinstance(mine, Tensor)])

    # What one is told about it.

    def summary(self, input_shape: Any, dtype: Any = None) -> Printed:
        """Print, and return, a table of the layers: output shapes, parameters, multiply-adds.

        `input_shape` is that of one example, without the batch axis; a list of such tuples is for a
        `forward` of several inputs. The layer is run once, on zeros, and left exactly as it was.
        `dtype` is that of the zeros, or a list, one for each input: if left out the parameters', or
        whole numbers where an Embedding is first.
        In the table n stands for the number of examples; the multiply-adds are those of one.

        >>> from tinygrad_edu.layers import MLP
        >>> text = MLP(2, 16, 1).summary(2)
        layer     type    output   parameters  bytes  multiply-adds
                  MLP     (n, 1)            0      0              0
        layers.0  Linear  (n, 16)          48    192             32
        layers.1  ReLU    (n, 16)           0      0              0
        layers.2  Linear  (n, 1)           17     68             16
        total                              65    260             48
        trainable parameters: 65, frozen: 0
        """
        # Few programs ask for a table, so its room is entered only then.
        return Printed(import_module("tinygrad_edu.layers.summary").table(self, input_shape, dtype))

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        """How many products, each added to others, one `forward` computes; for `summary`.

        `x_shape` is the shape of the first input, with a batch axis of 1, and `z_shape` that of the
        output, a tuple of shapes where it returns several. What the layers inside multiply is
        theirs to say. Write it in a layer that multiplies by weights of its own.
        """
        return 0

    def __repr__(self) -> str:
        inner = [(name, value) for name, value in self._members() if self._shows(value)]
        if not inner:
            return f"{type(self).__name__}({self.describe()})"
        lines = [f"  ({name}): " + _line(value).replace("\n", "\n  ") for name, value in inner]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])

    def describe(self) -> str:
        """What stands between the brackets of its repr."""
        return ""

    def _shows(self, value: Any) -> bool:
        """Does this member have a line in the repr?"""
        return isinstance(value, Layer)


class _OfModels:
    """In the place of a method that models have and other layers have not: asking says so."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, kind: type) -> Any:
        raise AttributeError(
            f"{kind.__name__} has no {self.name}: compile, fit, evaluate, predict, save and load "
            "are methods of models. Put the layer into a tg.Sequential, or derive its class from "
            "tg.models.Model (tg.save and tg.load take any layer)."
        )


for name in ("compile", "fit", "evaluate", "predict", "save", "load"):
    setattr(Layer, name, _OfModels(name))


class _Elsewhere:
    """In the place of a switch that Keras has: setting it here would do nothing, silently."""

    def __get__(self, layer: Any, kind: type) -> Any:
        raise AttributeError(f"{kind.__name__}: trainable is said by freeze() and unfreeze() here.")

    def __set__(self, layer: Any, value: Any) -> None:
        self.__get__(layer, type(layer))


Layer.trainable = _Elsewhere()  # type: ignore[attr-defined]


def _line(value: Any) -> str:
    return repr(value) if isinstance(value, Layer) else getattr(value, "__name__", repr(value))


def opened(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from opened(f"{name}.{key}", entry)
    else:
        yield name, value


def joined(prefix: str, name: object) -> str:
    """The name of what is inside: `layers.0` and `weight` make `layers.0.weight`."""
    return f"{prefix}.{name}" if prefix else str(name)


def arrays_of(layer: Layer) -> dict[str, Any]:
    """The parameters and buffers of a layer by name: what its `state_dict` has copies of."""
    return {**dict(layer.named_parameters()), **dict(layer.named_buffers())}


def is_parameter(value: Any) -> bool:
    """A leaf that was made to want gradients, frozen or not; not what a forward left behind."""
    return isinstance(value, Tensor) and value.is_leaf and value._trainable
