"""The layers of every network: weighted sums, and what comes between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.initializers import Initializer
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.layers.settings import new_parameter, share, whole
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor

__all__ = ["Dropout", "Embedding", "Flatten", "Identity", "Lambda", "Linear", "Reshape"]


class Linear(Layer):
    """y = x @ weight + bias: every output is a weighted sum of all inputs.

    x is (..., inputs), y (..., outputs), weight (inputs, outputs), bias (outputs,).
    The initial weights are Glorot's and the biases 0, as in Keras. Keras calls it Dense.

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
        inputs, outputs = whole("Linear: inputs", inputs), whole("Linear: outputs", outputs)
        rng = as_generator(rng)  # one for both: a seed given twice would draw the same twice
        self.weight = new_parameter("Linear: weight", (inputs, outputs), weight_init, rng)
        self.bias = new_parameter("Linear: bias", (outputs,), bias_init, rng) if bias else None

    def forward(self, x: Any) -> Tensor:
        if self.bias is None:
            return ops.linear(x, self.weight)
        return ops.linear(x, self.weight, self.bias)

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        return math.prod(x_shape) * self.weight.shape[1]

    def describe(self) -> str:
        inputs, outputs = self.weight.shape
        return f"{inputs}, {outputs}" + ("" if self.bias is not None else ", bias=False")


class Embedding(Layer):
    """z = weight[x]: a table of rows, one for every word, letter or other thing that is counted.

    x are whole numbers from 0 to rows - 1, in any shape (...); z is (..., size), weight (rows,
    size). A row that is looked up several times gets the sum of its gradients. The initial rows are
    even over [-0.05, 0.05), as in Keras; `weight_init="normal"` and the like change that.

    Raises ValueError that names the number and its position if there is no such row, TypeError for
    numbers that are not whole.

    >>> words = Embedding(rows=1000, size=8, rng=0)
    >>> words([[5, 2, 7], [1, 5, 0]]).shape
    (2, 3, 8)
    >>> words([[5, 1000]])
    Traceback (most recent call last):
    ValueError: embedding: index 1000 at position (0, 1) is not in 0..999.
    """

    def __init__(
        self, rows: int, size: int, weight_init: str | Initializer = "uniform", rng: Rng = None
    ) -> None:
        shape = (whole("Embedding: rows", rows), whole("Embedding: size", size))
        self.weight = new_parameter("Embedding: weight", shape, weight_init, rng)

    def forward(self, x: Any) -> Tensor:
        return ops.embedding(x, self.weight)

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        return 0  # looking up multiplies nothing

    def describe(self) -> str:
        rows, size = self.weight.shape
        return f"{rows}, {size}"


class Dropout(Layer):
    """In training, sets a share `rate` of the entries to 0 and scales the others by 1 / (1 - rate).

    Source: Srivastava et al. 2014. In `eval()` it does nothing.

    >>> Dropout(0.5).eval()(Tensor([1.0, 2.0]))
    Tensor([1., 2.])
    """

    def __init__(self, rate: float = 0.5, rng: Rng = None) -> None:
        self.rate = share("Dropout: rate", rate, one=False)
        self.rng = rng if rng is None else as_generator(rng)

    def forward(self, x: Any) -> Tensor:
        return ops.dropout(x, self.rate, training=self.training, rng=self.rng)

    def describe(self) -> str:
        return f"{self.rate}"


class Reshape(Layer):
    """Every example in another shape: (batch, ...) becomes (batch, *shape).

    One length may be -1: it follows from the others. Without any, every example is a number.

    >>> Reshape(1, 28, 28)(np.ones((5, 784))).shape, Reshape(4, -1)(np.ones((5, 12))).shape
    ((5, 1, 28, 28), (5, 4, 3))
    """

    def __init__(self, *shape: int) -> None:
        self.shape = tuple(whole("Reshape: a length", n, -1) for n in shape)
        if self.shape.count(-1) > 1:
            raise ValueError(f"Reshape: {self.shape}: at most one length can be -1.")

    def forward(self, x: Any) -> Tensor:
        batch, *example = _shape("Reshape", x)
        known, size = math.prod(n for n in self.shape if n != -1), math.prod(example)
        rest = size // known if known else 0
        shape = tuple(rest if n == -1 else n for n in self.shape)
        if math.prod(shape) != size:
            raise ValueError(
                f"Reshape: x {(batch, *example)}: the {size} numbers of an example do not fit into "
                f"{self.shape}."
            )
        return ops.reshape(x, (batch, *shape))

    def describe(self) -> str:
        return ", ".join(map(str, self.shape))


class Flatten(Layer):
    """Every example as one row: (batch, ...) becomes (batch, everything else).

    >>> Flatten()(np.ones((5, 3, 2, 2))).shape
    (5, 12)
    """

    def forward(self, x: Any) -> Tensor:
        batch, *example = _shape("Flatten", x)
        return ops.reshape(x, (batch, math.prod(example)))


def _shape(what: str, x: Any) -> tuple[int, ...]:
    """The shape of a batch, of tensors, arrays or lists."""
    shape = x.shape if isinstance(x, Tensor) else np.shape(x)
    if not shape:
        raise ValueError(f"{what}: x is a single number, not a batch; give it a first axis.")
    return shape


class Identity(Layer):
    """Gives back what it gets: for a place where a layer is wanted and nothing is to be done.

    >>> Identity()(7)
    7
    """

    def forward(self, x: Any) -> Any:
        return x


class Lambda(Layer):
    """Any function as a layer, with a name for summaries and pictures.

    Its parameters, if it has some, are not found: write a Layer of your own for that.

    >>> Lambda(lambda x: x * 2)(Tensor(3.0))
    Tensor(6.)
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise TypeError(f"Lambda: {function!r} is no function.")
        self.function = function

    def forward(self, *args: Any, **options: Any) -> Any:
        return self.function(*args, **options)

    def describe(self) -> str:
        return getattr(self.function, "__name__", repr(self.function))
