"""Whole arrays: optimizers that look at the length, the rows or the directions of a parameter.

So their update is not cut into blocks: it sees one parameter at a time, in its own shape.

Each is exact to the implementation that its docstring names: PyTorch's (torch.optim, 2.13) or
optax's (0.2.8), whose defaults it has, under the names of this library.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.optimizers.optimizer import Optimizer
from tinygrad_edu.optimizers.settings import Rate, checked

__all__ = ["LAMB", "Adafactor", "Muon"]


class LAMB(Optimizer):
    """AdamW whose steps are as long as the parameter is large: for very large batches.

        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        u = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)
        u = u + weight_decay theta                                         with weight_decay
        ratio = norm(theta) / norm(u)
        theta -= rate ratio u

    The norms are those of one parameter array; the ratio is 1 where one of them is 0. Source: You
    et al. 2020; exact to optax.lamb.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor([3.0, 4.0], requires_grad=True)
    >>> loss = LAMB(x, lr=0.1).minimize(lambda: (x * x).sum())
    >>> x.numpy().round(4)
    array([2.6464, 3.6464], dtype=float32)
    """

    per_parameter = True

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        weight_decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    weight_decay: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"m": np.zeros_like(theta), "v": np.zeros_like(theta)}

    def update(self, theta: Array, g: Array, *state: Array) -> dict[str, Any]:
        m, v = state
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        v *= self.beta_2
        v += (1 - self.beta_2) * np.square(g)
        spread = np.sqrt(v / (1 - self.beta_2**self.t)) + self.epsilon
        u = m / (1 - self.beta_1**self.t) / spread + self.weight_decay * theta
        long, wide = _norm(theta), _norm(u)
        ratio = long / wide if long and wide else 1.0
        theta -= self.rate * ratio * u
        return {"u": u, "ratio": ratio}


class Adafactor(Optimizer):
    """Adam without m, and with v as the product of a column and a row: little memory.

        w = t^beta2_decay
        alpha = max(epsilon_2, rms(theta)) min(rate, 1 / sqrt(t))
        theta *= 1 - rate weight_decay                                     with weight_decay
        v = (1 - w) v + w g^2                                              without rows
        rows = (1 - w) rows + w mean_of_rows(g^2)                          with rows
        columns = (1 - w) columns + w mean_of_columns(g^2)                 with rows
        v = rows columns / max(mean(rows), epsilon_1)                      with rows
        u = g / sqrt(max(v, epsilon_1^2))
        theta -= alpha u / max(1, rms(u) / d)

    rms is the root mean square. A matrix keeps the means of its rows and columns, a vector its v.
    With `epsilon_1=None` that is the smallest step from 1 in the parameter's dtype. Source: Shazeer
    & Stern 2018; exact to torch.optim.Adafactor.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor([[3.0, 4.0]], requires_grad=True)
    >>> loss = Adafactor(x, lr=0.1).minimize(lambda: (x * x).sum())
    >>> x.numpy().round(4)
    array([[2.6464, 3.6464]], dtype=float32)
    """

    per_parameter = True

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.01,
        beta2_decay: float = -0.8,
        epsilon_1: float | None = None,
        epsilon_2: float = 1e-3,
        d: float = 1.0,
        weight_decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta2_decay=beta2_decay, epsilon_1=epsilon_1, epsilon_2=epsilon_2,
            d=d, weight_decay=weight_decay, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta2_decay: float
    epsilon_1: float | None
    epsilon_2: float
    d: float
    weight_decay: float
    w: float

    @classmethod
    def checked(cls, settings: dict[str, Any]) -> dict[str, Any]:
        settings = checked(cls.__name__, settings)
        if settings.get("beta2_decay", -1) > 0:
            raise ValueError(
                f"Adafactor: beta2_decay={settings['beta2_decay']} must not be above 0."
            )
        if settings.get("d", 1) < 1:
            raise ValueError(f"Adafactor: d={settings['d']} must be at least 1.")
        return settings

    def state(self, theta: Array) -> dict[str, Array]:
        if theta.ndim < 2:
            return {"v": np.zeros_like(theta)}
        return {
            "rows": np.zeros_like(theta[..., :, :1]),
            "columns": np.zeros_like(theta[..., :1, :]),
        }

    def corrections(self) -> dict[str, float]:
        return {"w": self.t**self.beta2_decay}

    def update(self, theta: Array, g: Array, *state: Array) -> dict[str, Any]:
        tiny = self.epsilon_1 if self.epsilon_1 is not None else float(np.finfo(g.dtype).eps)
        alpha = max(self.epsilon_2, _rms(theta)) * min(self.rate, 1 / math.sqrt(self.t))
        theta *= 1 - self.rate * self.weight_decay
        if len(state) == 1:
            (v,) = state
            self._average(v, np.square(g))
        else:
            rows, columns = state
            self._average(rows, _mean(np.square(g), -1))
            self._average(columns, _mean(np.square(g), -2))
            v = rows / np.maximum(_mean(rows, -2), tiny) * columns  # rows columns may be too large
        u = g / np.sqrt(np.maximum(v, tiny * tiny))
        theta -= alpha / max(1.0, _rms(u) / self.d) * u
        return {"alpha": alpha, "v": v, "u": u, "rms(u)": _rms(u)}

    def _average(self, mean: Array, new: Array) -> None:
        mean *= 1 - self.w
        mean += self.w * new


class Muon(Optimizer):
    """Momentum whose matrix is made orthogonal: a step of the same length in every direction.

        b = momentum b + (1 - momentum) g
        u = momentum b + (1 - momentum) g                                  with nesterov
        u = b                                                              without nesterov
        O = orthogonal(u)
        theta *= 1 - rate weight_decay                                     with weight_decay
        theta -= rate scale O

    `orthogonal` takes every singular value of u to about 1, by `ns_steps` of Newton and Schulz. The
    scale is sqrt(max(1, rows / columns)), or, with adjust_lr_fn="match_rms_adamw", 0.2
    sqrt(max(rows, columns)). For matrices only: give biases and embeddings to AdamW. Source: Jordan
    et al. 2024; exact to torch.optim.Muon, which computes `orthogonal` in bfloat16; here it is done
    in the parameter's own dtype.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor([[3.0, 0.0], [0.0, 0.3]], requires_grad=True)
    >>> loss = Muon(x, lr=0.1, weight_decay=0.0).minimize(lambda: (x * x).sum())
    >>> x.numpy().round(1)
    array([[2.9, 0. ],
           [0. , 0.2]], dtype=float32)
    """

    per_parameter = True

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315),
        epsilon: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov,
            ns_coefficients=ns_coefficients, epsilon=epsilon, ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    weight_decay: float
    momentum: float
    nesterov: bool
    ns_coefficients: tuple[float, float, float]
    epsilon: float
    ns_steps: int
    adjust_lr_fn: str | None

    @classmethod
    def checked(cls, settings: dict[str, Any]) -> dict[str, Any]:
        settings = checked(cls.__name__, settings)
        if np.shape(settings.get("ns_coefficients", (0, 0, 0))) != (3,):
            raise ValueError(
                f"Muon: ns_coefficients={settings['ns_coefficients']} must be three numbers."
            )
        return settings

    def state(self, theta: Array) -> dict[str, Array]:
        if theta.ndim != 2:
            raise ValueError(
                f"Muon: a parameter has shape {theta.shape}, and Muon is for matrices only; give "
                "the others to a second optimizer, such as AdamW."
            )
        return {"b": np.zeros_like(theta)}

    def update(self, theta: Array, g: Array, *state: Array) -> dict[str, Any]:
        (b,) = state
        b *= self.momentum
        b += (1 - self.momentum) * g
        u = self.momentum * b + (1 - self.momentum) * g if self.nesterov else b
        rows, columns = theta.shape
        scale = math.sqrt(max(1, rows / columns))
        if self.adjust_lr_fn == "match_rms_adamw":
            scale = 0.2 * math.sqrt(max(rows, columns))
        orthogonal = self.orthogonal(u)
        theta *= 1 - self.rate * self.weight_decay
        theta -= self.rate * scale * orthogonal
        return {"scale": scale, "O": orthogonal}

    def orthogonal(self, u: Array) -> Array:
        """u with its singular values near 1: x = a x + (b y + c y^2) x for y = x x^T, repeated."""
        a, b, c = self.ns_coefficients
        x = u.T if len(u) > len(u.T) else u  # the smaller x x^T of the two
        x = x / max(_norm(x), self.epsilon)
        for _ in range(self.ns_steps):
            y = x @ x.T
            x = a * x + (b * y + c * y @ y) @ x
        return x.T if len(u) > len(u.T) else x


def _norm(x: Array) -> float:
    """sqrt(sum x^2), by way of numbers up to 1, whose squares are never too large."""
    x = x.astype(np.float64)
    largest = float(np.abs(x).max(initial=0))
    x /= largest or 1.0
    return largest * math.sqrt(np.vdot(x, x))


def _mean(x: Array, axis: int) -> Array:
    """The mean along an axis, which stays; 0 for nothing."""
    return x.sum(axis=axis, keepdims=True) / max(x.shape[axis], 1)


def _rms(x: Array) -> float:
    """sqrt(mean x^2), 0 for nothing."""
    return _norm(x) / math.sqrt(max(x.size, 1))
