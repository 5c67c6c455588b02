"""Recurrent layers: a state that is carried along a sequence, step by step.

The equations are those of the ops of the same names, in `ops/recurrent.py`. Each layer holds the
weights, and gives the state to start with: zeros, unless another is given.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array
from tinygrad_edu.initializers import Initializer
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.layers.settings import new_parameter, whole
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor

__all__ = ["GRU", "LSTM", "RNN"]

RETURNS = ("both", "sequence", "last")


class _Recurrent(Layer):
    """What the three share: weights for all gates side by side, and what is given back."""

    gates = 1  # how many columns of the weights belong to one number of the state
    states = 1  # how many arrays the state consists of

    def __init__(
        self,
        inputs: int,
        hidden: int,
        returns: str = "both",
        weight_init: str | Initializer = "glorot_uniform",
        recurrent_init: str | Initializer = "orthogonal",
        bias_init: str | Initializer = "zeros",
        rng: Rng = None,
    ) -> None:
        kind = type(self).__name__
        if returns not in RETURNS:
            raise ValueError(f"{kind}: returns={returns!r}; there are {', '.join(RETURNS)}.")
        inputs, hidden = whole(f"{kind}: inputs", inputs), whole(f"{kind}: hidden", hidden)
        wide, rng = self.gates * hidden, as_generator(rng)
        self.weight = new_parameter(f"{kind}: weight", (inputs, wide), weight_init, rng)
        self.recurrent_weight = new_parameter(
            f"{kind}: recurrent_weight", (hidden, wide), recurrent_init, rng
        )
        self.bias = new_parameter(f"{kind}: bias", (wide,), bias_init, rng)
        self.returns = returns

    def _zeros(self, x: Any) -> Array:
        """The state of an example before it has seen anything."""
        return np.zeros((*np.shape(x)[:1], len(self.recurrent_weight)), self.weight.dtype)

    def _returned(self, z: Tensor) -> Any:
        """What the op made, cut into what was asked for: outputs first, then the last state."""
        if self.returns == "last":
            return z[:, -self.states]
        sequence = z[:, : -self.states]
        if self.returns == "sequence":
            return sequence
        return sequence, z[:, -1] if self.states == 1 else (z[:, -2], z[:, -1])

    def multiply_adds(self, x_shape: Any, z_shape: Any) -> int:
        return math.prod(x_shape[:-1]) * (self.weight.size + self.recurrent_weight.size)

    def describe(self) -> str:
        inputs, hidden = len(self.weight), len(self.recurrent_weight)
        return f"{inputs}, {hidden}" + (f", {self.returns!r}" if self.returns != "both" else "")


class RNN(_Recurrent):
    """The simplest recurrent layer: h = tanh(x weight + h recurrent_weight + bias) at every step.

    x is (batch, time, inputs). With `returns="both"` forward gives `(sequence, state)`: all h,
    (batch, time, hidden), and the last one, (batch, hidden), to go on from; with "sequence" or
    "last" only one of them, as a Sequential needs it. `state`, (batch, hidden), is the h before the
    first step: zeros if left out. With activation="relu", relu takes the place of tanh.

    `mask`, bools (batch, time), is for sequences of different lengths: where it is False there is
    no input, the state is carried on, and the sequence holds 0. So the last state is that at the
    true end, as with PyTorch's packed sequences.

    weight is (inputs, hidden), recurrent_weight (hidden, hidden), bias (hidden,): PyTorch's two
    biases added up. They begin as in Keras: Glorot's, orthogonal, 0.
    Elman 1990, "Finding structure in time".

    >>> sequence, h = RNN(3, 8, rng=0)(np.ones((5, 7, 3), dtype="float32"))
    >>> sequence.shape, h.shape, bool((sequence[:, -1].data == h.data).all())
    ((5, 7, 8), (5, 8), True)
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        returns: str = "both",
        activation: str = "tanh",
        weight_init: str | Initializer = "glorot_uniform",
        recurrent_init: str | Initializer = "orthogonal",
        bias_init: str | Initializer = "zeros",
        rng: Rng = None,
    ) -> None:
        if activation not in ("tanh", "relu"):
            raise ValueError(f"RNN: activation={activation!r}; there are tanh, relu.")
        super().__init__(inputs, hidden, returns, weight_init, recurrent_init, bias_init, rng)
        self.activation = activation

    def forward(self, x: Any, state: Any = None, mask: Any = None) -> Any:
        h0 = self._zeros(x) if state is None else state
        z = ops.rnn(x, self.weight, self.recurrent_weight, self.bias, h0, mask, self.activation)
        return self._returned(z)

    def describe(self) -> str:
        shown = super().describe()
        return shown if self.activation == "tanh" else f"{shown}, activation={self.activation!r}"


class LSTM(_Recurrent):
    """Long short-term memory: a cell c that keeps what its gates let in, until they let it go.

    As `RNN`, but the state is a pair `(h, c)`, each (batch, hidden). At every step, with the gates
    i, f, o = sigmoid(...) and n = tanh(...) of x weight + h recurrent_weight + bias:

        c = f c + i n        h = o tanh(c)

    weight is (inputs, 4 hidden), recurrent_weight (hidden, 4 hidden), bias (4 hidden,), with the
    columns of i, f, n, o in this order (PyTorch's, who calls n g); bias is PyTorch's two added up.

    The biases of f begin at `bias_init` plus `forget_bias`: by default 1, so that a young cell
    keeps rather than forgets (Jozefowicz et al. 2015), as in Keras. PyTorch has no such thing.
    Hochreiter, Schmidhuber 1997, "Long short-term memory"; the gate f is of Gers et al. 2000.

    >>> sequence, (h, c) = LSTM(3, 8, rng=0)(np.ones((5, 7, 3), dtype="float32"))
    >>> sequence.shape, h.shape, c.shape
    ((5, 7, 8), (5, 8), (5, 8))
    >>> LSTM(3, 8, returns="last")
    LSTM(3, 8, 'last')
    """

    gates, states = 4, 2

    def __init__(
        self,
        inputs: int,
        hidden: int,
        returns: str = "both",
        weight_init: str | Initializer = "glorot_uniform",
        recurrent_init: str | Initializer = "orthogonal",
        bias_init: str | Initializer = "zeros",
        forget_bias: float = 1.0,
        rng: Rng = None,
    ) -> None:
        super().__init__(inputs, hidden, returns, weight_init, recurrent_init, bias_init, rng)
        self.bias.data[hidden : 2 * hidden] += forget_bias

    def forward(self, x: Any, state: Any = None, mask: Any = None) -> Any:
        if state is None:
            state = self._zeros(x), self._zeros(x)
        if not isinstance(state, (tuple, list)) or len(state) != 2:
            raise TypeError(
                f"LSTM: state is a {type(state).__name__}; give the pair (h, c), each of shape "
                f"(batch, {len(self.recurrent_weight)})."
            )
        z = ops.lstm(x, self.weight, self.recurrent_weight, self.bias, *state, mask)
        return self._returned(z)


class GRU(_Recurrent):
    """Gated recurrent unit: as an LSTM, with one gate fewer and no cell beside the state.

    As `RNN`; at every step, with the gates r, u = sigmoid(...) of the sums a + b:

        a = x weight + bias        b = h recurrent_weight + recurrent_bias
        n = tanh(a_n + r b_n)      h = (1 - u) n + u h

    weight is (inputs, 3 hidden), recurrent_weight (hidden, 3 hidden), bias and recurrent_bias
    (3 hidden,), with the columns of r, u, n in this order (PyTorch's, who calls u z). In the paper
    r is multiplied with h before the product; here, as in PyTorch, with what comes out of it.
    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".

    >>> GRU(3, 8, returns="last", rng=0)(np.ones((5, 7, 3), dtype="float32")).shape
    (5, 8)
    """

    gates = 3

    def __init__(
        self,
        inputs: int,
        hidden: int,
        returns: str = "both",
        weight_init: str | Initializer = "glorot_uniform",
        recurrent_init: str | Initializer = "orthogonal",
        bias_init: str | Initializer = "zeros",
        rng: Rng = None,
    ) -> None:
        rng = as_generator(rng)
        super().__init__(inputs, hidden, returns, weight_init, recurrent_init, bias_init, rng)
        self.recurrent_bias = new_parameter("GRU: recurrent_bias", self.bias.shape, bias_init, rng)

    def forward(self, x: Any, state: Any = None, mask: Any = None) -> Any:
        h0 = self._zeros(x) if state is None else state
        weights = self.weight, self.recurrent_weight, self.bias, self.recurrent_bias
        return self._returned(ops.gru(x, *weights, h0, mask))
