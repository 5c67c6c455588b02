"""A layer: parameters, and what is done with them.

A layer is any object with tensors for attributes and a `forward` that uses them. `Layer` finds the
parameters by looking at the attributes, in the order they were assigned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.modes import here
from tinygrad_edu.tensor import Tensor, mark_written, plain

__all__ = ["Layer"]


class Layer:
    """Base class of layers: state parameters as attributes, and the computation in `forward`.

    A Tensor attribute is a parameter, an array attribute a buffer (saved, not trained), a Layer
    attribute a part; lists, tuples and dicts of these are looked into.

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
                    yield from value._walk(_joined(prefix, name), seen)

    def layers(self) -> list[Layer]:
        """This layer and all layers inside, each once, outer before inner."""
        return [layer for _, layer in self.named_layers()]

    def _named(self, wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
        seen = set()
        for prefix, layer in self.named_layers():
            for name, value in layer._members():
                if wanted(value) and id(value) not in seen:
                    seen.add(id(value))  # tied parameters count once, under their first name
                    yield _joined(prefix, name), value

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Parameters and their names, such as `layers.0.weight`; one without a name takes it."""
        for name, p in self._named(_is_parameter):
            if p.name is None:
                p.name = name
            yield name, p

    def parameters(self) -> list[Tensor]:
        """All parameters, in order of assignment, tied ones once."""
        return [p for _, p in self.named_parameters()]

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """Arrays that are saved with the parameters but not trained."""
        return self._named(lambda value: isinstance(value, np.ndarray))

    # What one does to all of it.

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    def train(self, training: bool = True) -> Layer:
        """Behave as in training (dropout drops), and return the layer."""
        for _, layer in self.named_layers():
            layer.training = training
        return self

    def eval(self) -> Layer:
        """Behave as in use, not training, and return the layer."""
        return self.train(False)

    def freeze(self) -> Layer:
        """Let no parameter want a gradient, so that none is trained; return the layer."""
        for p in self.parameters():
            p.requires_grad_(False)
        return self

    def unfreeze(self) -> Layer:
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
        own: dict[str, Any] = {**dict(self.named_parameters()), **dict(self.named_buffers())}
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


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _is_parameter(value: Any) -> bool:
    """A leaf that was made to want gradients, frozen or not; not what a forward left behind."""
    return isinstance(value, Tensor) and value.is_leaf and value._trainable
