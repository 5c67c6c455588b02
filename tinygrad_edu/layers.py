"""Layers: parameters, and what is done with them.

A layer is any object with tensors for attributes and a `forward` that uses them. `Layer` finds the
parameters by looking at the attributes, in the order they were assigned.

    class Line(Layer):
        def __init__(self):
            self.slope = Tensor(1.0, requires_grad=True)
        def forward(self, x):
            return self.slope * x
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from tinygrad_edu import initializers, ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.initializers import Initializer
from tinygrad_edu.modes import here
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor, mark_written, plain

__all__ = [
    "Layer", "Linear", "Dropout", "Flatten", "Identity", "Lambda", "Sequential", "MLP",
    "ReLU", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Sigmoid", "Tanh", "Softplus", "Softmax",
    "LogSoftmax",
]  # fmt: skip


class Layer:
    """Base class of layers: state parameters as attributes, and the computation in `forward`.

    A Tensor attribute is a parameter, an array attribute a buffer (saved, not trained), a Layer
    attribute a part; lists, tuples and dicts of these are looked into.

    >>> layer = Linear(2, 3)
    >>> [name for name, p in layer.named_parameters()]
    ['weight', 'bias']
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
            yield from _opened(name, value)

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


def _opened(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _opened(f"{name}.{key}", entry)
    else:
        yield name, value


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _is_parameter(value: Any) -> bool:
    """A leaf that was made to want gradients, frozen or not; not what a forward left behind."""
    return isinstance(value, Tensor) and value.is_leaf and value._trainable


# ---------------------------------------------------------------- layers


class Linear(Layer):
    """y = x @ weight + bias: every output is a weighted sum of all inputs.

    x is (..., inputs), y (..., outputs), weight (inputs, outputs), bias (outputs,).
    The initial weights are Glorot's and the biases 0, as in Keras.

    >>> Linear(3, 2, rng=0)(np.ones((5, 3), dtype="float32")).shape
    (5, 2)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        weight_init: str | Initializer = "glorot_uniform",
        bias_init: str | Initializer = "zeros",
        rng: Rng = None,
    ) -> None:
        weight = initializers.get(weight_init)((inputs, outputs), rng=rng)
        self.weight = Tensor(weight, requires_grad=True)
        self.bias = None
        if bias:
            self.bias = Tensor(initializers.get(bias_init)((outputs,), rng=rng), requires_grad=True)

    def forward(self, x: Any) -> Tensor:
        if self.bias is None:
            return ops.linear(x, self.weight)
        return ops.linear(x, self.weight, self.bias)

    def describe(self) -> str:
        inputs, outputs = self.weight.shape
        return f"{inputs}, {outputs}" + ("" if self.bias is not None else ", bias=False")


class Dropout(Layer):
    """In training, sets a share `rate` of the entries to 0 and scales the others by 1 / (1 - rate).

    Source: Srivastava et al. 2014. In `eval()` it does nothing.

    >>> Dropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def __init__(self, rate: float = 0.5, rng: Rng = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate={rate} is not in [0, 1).")
        self.rate = rate
        self.rng = rng if rng is None else as_generator(rng)

    def forward(self, x: Any) -> Tensor:
        return ops.dropout(x, self.rate, training=self.training, rng=self.rng)

    def describe(self) -> str:
        return f"{self.rate}"


class Flatten(Layer):
    """Every example as one row: (batch, ...) becomes (batch, everything else)."""

    def forward(self, x: Any) -> Tensor:
        return ops.reshape(x, (np.shape(x)[0], int(np.prod(np.shape(x)[1:]))))


class Identity(Layer):
    """Gives back what it gets."""

    def forward(self, x: Any) -> Any:
        return x


class Lambda(Layer):
    """Any function as a layer.

    >>> Lambda(lambda x: x * 2)(Tensor(3.0))
    Tensor(6.)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.function(*args, **options)

    def describe(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))


class Sequential(Layer):
    """Layers (or plain functions) one after the other.

    >>> model = Sequential(Linear(2, 8), ReLU(), Linear(8, 1))
    >>> [name for name, p in model.named_parameters()]
    ['layers.0.weight', 'layers.0.bias', 'layers.2.weight', 'layers.2.bias']
    """

    def __init__(self, *layers: Callable[..., Any] | list[Callable[..., Any]]) -> None:
        self._sequence: list[Callable[..., Any]] = []
        for layer in layers[0] if len(layers) == 1 and isinstance(layers[0], list) else layers:
            self.add(layer)  # type: ignore[arg-type]

    def add(self, layer: Callable[..., Any]) -> None:
        """Put one more layer at the end."""
        if not callable(layer):
            raise TypeError(f"Sequential: {layer!r} is neither a layer nor a function.")
        self._sequence.append(layer)

    def forward(self, x: Any) -> Any:
        for layer in self._sequence:
            x = layer(x)
        return x

    def _members(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            yield from _opened("layers" if name == "_sequence" else name, value)

    def _shows(self, value: Any) -> bool:
        return callable(value) and not isinstance(value, Tensor)

    def __len__(self) -> int:
        return len(self._sequence)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self._sequence)

    def __getitem__(self, index: int) -> Callable[..., Any]:
        return self._sequence[index]


class MLP(Sequential):
    """A multi-layer perceptron: linear layers with an activation after each but the last.

    `MLP(2, 16, 16, 1)` has 2 inputs, two hidden layers of 16 and 1 output; a list of sizes, as in
    `MLP(2, [16, 16, 1])`, says the same.

    >>> MLP(2, 16, 1)
    MLP(
      (layers.0): Linear(2, 16)
      (layers.1): ReLU()
      (layers.2): Linear(16, 1)
    )
    """

    def __init__(
        self,
        *sizes: int | list[int] | tuple[int, ...],
        activation: Callable[[], Layer] | None = None,
        dropout: float = 0.0,
        rng: Rng = None,
    ) -> None:
        flat = [n for size in sizes for n in (size if isinstance(size, (list, tuple)) else [size])]
        if len(flat) < 2:
            raise ValueError(f"MLP: sizes {flat}; give at least the numbers of inputs and outputs.")
        generator = as_generator(rng)
        layers: list[Layer] = []
        for inputs, outputs in pairwise(flat):
            layers += [Linear(inputs, outputs, rng=generator), (activation or ReLU)()]
            layers += [Dropout(dropout, rng=generator)] if dropout else []
        super().__init__(*layers[: -2 if dropout else -1])


# ---------------------------------------------------------------- activations as layers


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: Any) -> Tensor:
        return ops.relu(x)


class LeakyReLU(Layer):
    """x where x > 0, else slope x."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Tensor:
        return ops.leaky_relu(x, self.slope)

    def describe(self) -> str:
        return f"{self.slope}"


class ELU(Layer):
    """x where x > 0, else alpha (e^x - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Tensor:
        return ops.elu(x, self.alpha)

    def describe(self) -> str:
        return f"{self.alpha}"


class SELU(Layer):
    """The self-normalising ELU (Klambauer et al. 2017)."""

    def forward(self, x: Any) -> Tensor:
        return ops.selu(x)


class GELU(Layer):
    """x times the normal law's probability of less than x (Hendrycks & Gimpel 2016)."""

    def forward(self, x: Any) -> Tensor:
        return ops.gelu(x)


class SiLU(Layer):
    """x sigmoid(x), also called swish (Ramachandran et al. 2017)."""

    def forward(self, x: Any) -> Tensor:
        return ops.silu(x)


class Sigmoid(Layer):
    """1 / (1 + e^-x)."""

    def forward(self, x: Any) -> Tensor:
        return ops.sigmoid(x)


class Tanh(Layer):
    """The hyperbolic tangent."""

    def forward(self, x: Any) -> Tensor:
        return ops.tanh(x)


class Softplus(Layer):
    """log(1 + e^x)."""

    def forward(self, x: Any) -> Tensor:
        return ops.softplus(x)


class Softmax(Layer):
    """Numbers to probabilities along an axis. Not before `cross_entropy`, which takes logits."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Any) -> Tensor:
        return ops.softmax(x, self.axis)

    def describe(self) -> str:
        return f"axis={self.axis}"


class LogSoftmax(Softmax):
    """The logarithm of softmax, stably."""

    def forward(self, x: Any) -> Tensor:
        return ops.log_softmax(x, self.axis)
