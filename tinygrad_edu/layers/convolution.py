"""Convolution and pooling as layers: looking at a sequence or an image through small windows.

Sequences are (batch, channels, length), images (batch, channels, height, width), as in PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_edu import ops
from tinygrad_edu.initializers import Initializer
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.layers.settings import new_parameter, whole, whole_each
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor

__all__ = ["AvgPool2d", "Conv1d", "Conv2d", "MaxPool2d"]


class _Convolution(Layer):
    """What Conv1d and Conv2d share: all but the number of axes and the op."""

    axes: int
    op: Callable[..., Tensor]

    def __init__(
        self,
        inputs: int,
        outputs: int,
        size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: Any = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        weight_init: str | Initializer = "glorot_uniform",
        bias_init: str | Initializer = "zeros",
        rng: Rng = None,
    ) -> None:
        name, n = type(self).__name__, self.axes
        inputs, outputs = whole(f"{name}: inputs", inputs), whole(f"{name}: outputs", outputs)
        size = whole_each(f"{name}: size", size, n)
        self.stride = whole_each(f"{name}: stride", stride, n)
        self.padding = _padding(name, padding, n, self.stride)
        self.dilation = whole_each(f"{name}: dilation", dilation, n)
        self.groups = whole(f"{name}: groups", groups)
        if inputs % self.groups or outputs % self.groups:
            raise ValueError(
                f"{name}: groups={groups} must divide inputs={inputs} and outputs={outputs}."
            )
        rng = as_generator(rng)  # one for both: a seed given twice would draw the same twice
        shape = (outputs, inputs // groups, *size)
        self.weight = new_parameter(f"{name}: weight", shape, weight_init, rng)
        self.bias = new_parameter(f"{name}: bias", (outputs,), bias_init, rng) if bias else None

    def forward(self, x: Any) -> Tensor:
        how = (self.stride, self.padding, self.dilation, self.groups)
        return type(self).op(x, self.weight, self.bias, *how)

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        return math.prod(z_shape) * math.prod(self.weight.shape[1:])

    def describe(self) -> str:
        outputs, inputs, *size = self.weight.shape
        parts = [f"{inputs * self.groups}, {outputs}, size={_shown(tuple(size))}"]
        parts += _unusual(stride=(self.stride, 1), padding=(self.padding, 0))
        parts += _unusual(dilation=(self.dilation, 1), groups=(self.groups, 1))
        return ", ".join(parts + (["bias=False"] if self.bias is None else []))


class Conv1d(_Convolution):
    """A window of `size` places slides along a sequence; each output is a weighted sum of it.

    z_op = sum over c, k of weight_ock x_c(stride p + dilation k - padding) + bias_o

    x is (batch, inputs, length), z (batch, outputs, positions), weight (outputs, inputs / groups,
    size), bias (outputs,). `padding` is the number of zeros at both ends, a tuple with one pair
    (before, after), "valid" (none) or "same" (as many positions as places, for stride 1). Of
    several groups, each has its own inputs and outputs. The initial weights are Glorot's, the
    biases 0, as in Keras.

    >>> import numpy as np
    >>> Conv1d(3, 8, size=5, padding="same", rng=0)(np.ones((2, 3, 100))).shape
    (2, 8, 100)
    """

    axes, op = 1, ops.conv1d


class Conv2d(_Convolution):
    """A small window slides over an image; each output is a weighted sum of what it shows.

    As Conv1d, with two axes: x is (batch, inputs, height, width), z (batch, outputs, rows,
    columns), weight (outputs, inputs / groups, *size). `size`, `stride`, `padding` and `dilation`
    are a number for both axes, or (vertical, horizontal). `groups=inputs` looks at every channel by
    itself.
    LeCun et al. 1989, "Backpropagation applied to handwritten zip code recognition".

    >>> import numpy as np
    >>> layer = Conv2d(1, 16, size=3, stride=2, padding=1, rng=0)
    >>> layer(np.ones((5, 1, 28, 28))).shape
    (5, 16, 14, 14)
    >>> layer
    Conv2d(1, 16, size=3, stride=2, padding=1)
    """

    axes, op = 2, ops.conv2d


class _Pool2d(Layer):
    """What both ways of pooling share: all but the op."""

    op: Callable[..., Tensor]

    def __init__(
        self,
        size: int | tuple[int, int],
        stride: int | tuple[int, int] | None = None,
        padding: Any = 0,
    ) -> None:
        name = type(self).__name__
        self.size = whole_each(f"{name}: size", size, 2)
        self.stride = self.size if stride is None else whole_each(f"{name}: stride", stride, 2)
        self.padding = _padding(name, padding, 2, self.stride)

    def forward(self, x: Any) -> Tensor:
        return type(self).op(x, self.size, self.stride, self.padding)

    def describe(self) -> str:
        unusual = _unusual(stride=(self.stride, _shown(self.size)), padding=(self.padding, 0))
        return ", ".join([_shown(self.size), *unusual])


class MaxPool2d(_Pool2d):
    """The largest number in every window: an image of fewer, stronger pixels.

    x is (batch, channels, height, width). The stride is the size if left out: the windows lie side
    by side, and what is left over at the end is dropped. Equal largest numbers share the gradient.

    >>> import numpy as np
    >>> MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[5.0, 7.0], [13.0, 15.0]]]]
    """

    op = ops.max_pool2d


class AvgPool2d(_Pool2d):
    """The mean of every window; in all else as MaxPool2d. Padding counts as zeros.

    >>> import numpy as np
    >>> AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4)).tolist()
    [[[[2.5, 4.5], [10.5, 12.5]]]]
    """

    op = ops.avg_pool2d


# ---------------------------------------------------------------- what they are given


def _padding(name: str, padding: Any, n: int, stride: tuple[int, ...]) -> Any:
    """ "same", "valid", or for every axis a number or a pair (before, after)."""
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding={padding!r}; give 'same', 'valid' or numbers.")
        if padding == "same" and any(s != 1 for s in stride):
            raise ValueError(
                f"{name}: padding='same' is for stride=1, not {_shown(stride)}; give it in numbers."
            )
        return padding
    what = f"{name}: padding"
    each = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * n
    if len(each) != n:
        raise ValueError(f"{what}={padding!r}; give a number, or one for each of {n} axes.")
    return tuple(
        whole_each(what, one, 2, 0) if isinstance(one, (tuple, list)) else whole(what, one, 0)
        for one in each
    )


def _shown(value: Any) -> Any:
    """A setting as one would write it: one number where all axes have the same."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple) and len(set(value)) == 1 and not isinstance(value[0], tuple):
        return str(value[0])
    return str(value)


def _unusual(**settings: Any) -> list[str]:
    """name=value for the settings whose value is not the usual one."""
    shown = {name: (_shown(value), str(usual)) for name, (value, usual) in settings.items()}
    return [f"{name}={value}" for name, (value, usual) in shown.items() if value != usual]
