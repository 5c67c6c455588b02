"""Layers made of layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from tinygrad_edu.layers.activations import ReLU
from tinygrad_edu.layers.basic import Dropout, Linear
from tinygrad_edu.layers.layer import Layer, opened
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor

__all__ = ["MLP", "Sequential"]


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
            yield from opened("layers" if name == "_sequence" else name, value)

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
