"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, overload

from tinygrad_edu.layers import activations
from tinygrad_edu.layers.basic import Dropout, Linear
from tinygrad_edu.layers.layer import Layer, opened
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor

__all__ = ["MLP", "Sequential"]


class Sequential(Layer):
    """Layers (or plain functions) one after the other.

    It can be used as a list: `model[0]`, `model[:-1]` (a Sequential of the same layers), `model[-1]
    = layer`, `add`, `insert`, `pop`. An error names the layer that it comes from.

    >>> model = Sequential(Linear(2, 8), activations.ReLU(), Linear(8, 1))
    >>> [name for name, p in model.named_parameters()]
    ['layers.0.weight', 'layers.0.bias', 'layers.2.weight', 'layers.2.bias']
    >>> Sequential(Linear(2, 8), Linear(2, 1))(Tensor([[1.0, 2.0]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: layers.1 (Linear(2, 1)): linear: x (1, 8), weight (2, 1): 8 != 2. Make the ...
    """

    def __init__(self, *layers: Callable[..., Any] | list[Callable[..., Any]]) -> None:
        self._sequence: list[Callable[..., Any]] = []
        for layer in layers[0] if len(layers) == 1 and isinstance(layers[0], list) else layers:
            self.add(layer)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        for i, layer in enumerate(self._sequence):
            try:
                x = layer(x)
            except (ValueError, TypeError, IndexError) as error:
                _say_where(error, f"layers.{i}", layer)
                raise
        return x

    # Building it up.

    def add(self, layer: Callable[..., Any]) -> None:
        """Put one more layer at the end."""
        self.insert(len(self._sequence), layer)

    def insert(self, index: int, layer: Callable[..., Any]) -> None:
        """Put a layer in front of the one at `index`."""
        self._sequence.insert(index, _callable(layer))

    def pop(self, index: int = -1) -> Callable[..., Any]:
        """Take a layer out, the last one if not told which, and return it."""
        return self._sequence.pop(index)

    # Looking at it.

    def __len__(self) -> int:
        return len(self._sequence)

    def __iter__(self) -> Iterator[Callable[..., Any]]:
        return iter(self._sequence)

    @overload
    def __getitem__(self, index: int) -> Callable[..., Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Callable[..., Any]:
        if isinstance(index, slice):
            return Sequential(self._sequence[index])
        return self._sequence[index]

    def __setitem__(self, index: int, layer: Callable[..., Any]) -> None:
        self._sequence[index] = _callable(layer)

    def _members(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            yield from opened("layers" if name == "_sequence" else name, value)

    def _shows(self, value: Any) -> bool:
        return callable(value) and not isinstance(value, Tensor)


def _callable(layer: Any) -> Any:
    if not callable(layer):
        raise TypeError(f"Sequential: {layer!r} is neither a layer nor a function.")
    if isinstance(layer, type):
        raise TypeError(f"Sequential: {layer.__name__} is a class; make one: {layer.__name__}().")
    return layer


def _say_where(error: Exception, place: str, layer: Any) -> None:
    """Put the name of the layer in front of the message, if the error has just a message."""
    if len(error.args) == 1 and isinstance(error.args[0], str):
        title = repr(layer) if isinstance(layer, Layer) else getattr(layer, "__name__", "function")
        if "\n" in title:  # it consists of others, which say more by themselves
            title = type(layer).__name__
        error.args = (f"{place} ({title}): {error.args[0]}",)


class MLP(Sequential):
    """A multi-layer perceptron: linear layers with an activation after each but the last.

    `MLP(2, 16, 16, 1)` has 2 inputs, two hidden layers of 16 and 1 output; a list of sizes, as in
    `MLP(2, [16, 16, 1])`, says the same. `activation` is a name, such as "tanh", or what makes an
    activation layer, such as its class. With `dropout`, a Dropout of that rate follows each.

    >>> MLP(2, 16, 1, activation="tanh")
    MLP(
      (layers.0): Linear(2, 16)
      (layers.1): Tanh()
      (layers.2): Linear(16, 1)
    )
    """

    def __init__(
        self,
        *sizes: int | list[int] | tuple[int, ...],
        activation: str | Callable[..., Any] = "relu",
        dropout: float = 0.0,
        rng: Rng = None,
    ) -> None:
        flat = [n for size in sizes for n in (size if isinstance(size, (list, tuple)) else [size])]
        if len(flat) < 2:
            raise ValueError(f"MLP: sizes {flat}; give at least the numbers of inputs and outputs.")
        rng = rng if rng is None else as_generator(rng)  # without one, all follow manual_seed
        layers: list[Callable[..., Any]] = []
        for inputs, outputs in pairwise(flat):
            layers += [Linear(inputs, outputs, rng=rng), activations.get(activation)]
            layers += [Dropout(dropout, rng=rng)] if dropout else []
        super().__init__(*layers[: -2 if dropout else -1])
