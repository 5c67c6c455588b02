"""Beyond: what came after Adam, number by number, and one that came long before.

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

__all__ = ["AdaBelief", "AdamW", "Lion", "RAdam", "Rprop", "Yogi"]


class AdamW(Optimizer):
    """Adam, with a pull towards 0 that the adaptive rate leaves alone.

        theta *= 1 - rate weight_decay                                     with weight_decay
        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        v_max = max(v_max, v)                                              with amsgrad
        correction = 1 / (1 - beta_1^t)
        spread = sqrt(v / (1 - beta_2^t))                                  without amsgrad
        spread = sqrt(v_max / (1 - beta_2^t))                              with amsgrad
        theta -= rate correction m / (spread + epsilon)

    With `weight_decay=0` these are the numbers of PyTorch's Adam. Source: Loshchilov & Hutter 2019;
    exact to torch.optim.AdamW.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = AdamW(x, lr=0.1, weight_decay=0.5).minimize(lambda: x * x)
    >>> round(x.item(), 5)
    0.85
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            weight_decay=weight_decay, amsgrad=amsgrad, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    weight_decay: float
    amsgrad: bool
    correction: float

    def state(self, theta: Array) -> dict[str, Array]:
        names = ("m", "v", "v_max") if self.amsgrad else ("m", "v")
        return {name: np.zeros_like(theta) for name in names}

    def corrections(self) -> dict[str, float]:
        return {"correction": 1 / (1 - self.beta_1**self.t)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        m, v = state[:2]
        theta *= 1 - self.rate * self.weight_decay
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        v *= self.beta_2
        v += (1 - self.beta_2) * np.square(g)
        if self.amsgrad:
            v = np.maximum(state[2], v, out=state[2])
        spread = np.sqrt(v / (1 - self.beta_2**self.t))
        theta -= self.rate * self.correction * m / (spread + self.epsilon)


class RAdam(Optimizer):
    """Adam that waits: it divides by sqrt(v) only when v has seen enough to be trusted.

        g = g + weight_decay theta                                         with weight_decay
        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        rho_inf = 2 / (1 - beta_2) - 1
        rho = rho_inf - 2 t beta_2^t / (1 - beta_2^t)
        r = sqrt((rho - 4) (rho - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho))    with r
        theta -= rate / (1 - beta_1^t) m                                   without r
        theta -= rate / (1 - beta_1^t) r m sqrt(1 - beta_2^t) / (sqrt(v) + epsilon)    with r

    r is used from rho > 5 on, in the sixth step with the default beta_2. Source: Liu et al. 2020;
    exact to torch.optim.RAdam.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = RAdam(x, lr=0.1).minimize(lambda: x * x)
    >>> round(x.item(), 5)
    0.8
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
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
    r: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"m": np.zeros_like(theta), "v": np.zeros_like(theta)}

    def corrections(self) -> dict[str, float]:
        t, shrunk = self.t, self.beta_2**self.t
        rho_inf = 2 / (1 - self.beta_2) - 1
        rho = rho_inf - 2 * t * shrunk / (1 - shrunk)
        if rho <= 5:
            return {"rho": rho, "r": 0.0}
        above = (rho - 4) * (rho - 2) * rho_inf
        below = (rho_inf - 4) * (rho_inf - 2) * rho
        return {"rho": rho, "r": math.sqrt(above / below)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        m, v = state
        if self.weight_decay:
            g = g + self.weight_decay * theta
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        v *= self.beta_2
        v += (1 - self.beta_2) * np.square(g)
        rate = self.rate / (1 - self.beta_1**self.t)
        if not self.r:
            theta -= rate * m
            return
        rate *= self.r * math.sqrt(1 - self.beta_2**self.t)
        theta -= rate * m / (np.sqrt(v) + self.epsilon)


class AdaBelief(Optimizer):
    """Adam that divides by how far slopes are from their mean: it trusts those it has foretold.

        m = beta_1 m + (1 - beta_1) g
        s = beta_2 s + (1 - beta_2) (g - m)^2 + epsilon_root
        correction = 1 / (1 - beta_1^t)
        theta -= rate correction m / (sqrt(s / (1 - beta_2^t)) + epsilon)

    Source: Zhuang et al. 2020; exact to optax.adabelief.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = AdaBelief(x, lr=0.09).minimize(lambda: x * x)
    >>> round(x.item(), 5)
    0.9
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-16,
        epsilon_root: float = 1e-16,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            epsilon_root=epsilon_root, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    epsilon_root: float
    correction: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"m": np.zeros_like(theta), "s": np.zeros_like(theta)}

    def corrections(self) -> dict[str, float]:
        return {"correction": 1 / (1 - self.beta_1**self.t)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        m, s = state
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        s *= self.beta_2
        s += (1 - self.beta_2) * np.square(g - m) + self.epsilon_root
        spread = np.sqrt(s / (1 - self.beta_2**self.t))
        theta -= self.rate * self.correction * m / (spread + self.epsilon)


class Yogi(Optimizer):
    """Adam whose v goes up and down in steps of g^2, so that it forgets no faster than it learns.

        m = beta_1 m + (1 - beta_1) g
        v = v - (1 - beta_2) sign(v - g^2) g^2
        correction = 1 / (1 - beta_1^t)
        theta -= rate correction m / (sqrt(v / (1 - beta_2^t)) + epsilon)

    m and v start at 1e-6. Source: Zaheer et al. 2018; exact to optax.yogi.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Yogi(x, lr=0.1).minimize(lambda: x * x)
    >>> round(x.item(), 4)
    0.9001
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-3,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    correction: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"m": np.full_like(theta, 1e-6), "v": np.full_like(theta, 1e-6)}

    def corrections(self) -> dict[str, float]:
        return {"correction": 1 / (1 - self.beta_1**self.t)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        m, v = state
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        squared = np.square(g)
        v -= (1 - self.beta_2) * np.sign(v - squared) * squared
        spread = np.sqrt(v / (1 - self.beta_2**self.t))
        theta -= self.rate * self.correction * m / (spread + self.epsilon)


class Lion(Optimizer):
    """Only the sign counts: every parameter moves by the rate, up or down.

        u = sign(beta_1 m + (1 - beta_1) g)
        u = u + weight_decay theta                                         with weight_decay
        theta -= rate u
        m = beta_2 m + (1 - beta_2) g

    Found by a search through programs. Source: Chen et al. 2023; exact to optax.lion.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Lion(x, lr=0.25, weight_decay=0.0).minimize(lambda: x * x)
    >>> x.item()
    0.75
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.0001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float = 0.001,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, weight_decay=weight_decay,
            clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    weight_decay: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"m": np.zeros_like(theta)}

    def update(self, theta: Array, g: Array, *state: Array) -> dict[str, Array]:
        (m,) = state
        u = np.sign(self.beta_1 * m + (1 - self.beta_1) * g) + self.weight_decay * theta
        theta -= self.rate * u
        m *= self.beta_2
        m += (1 - self.beta_2) * g
        return {"u": u}


class Rprop(Optimizer):
    """Resilient propagation: every parameter has a step size, which grows until its slope turns.

        s = sign(g) sign(previous)
        size = clip(size where(s > 0, eta_plus, where(s < 0, eta_minus, 1)), size_min, size_max)
        g = where(s < 0, 0, g)
        theta -= sign(g) size
        previous = g

    `lr` is the first step size, and means nothing later. For whole batches: the noise of small ones
    turns signs. Source: Riedmiller & Braun 1993; exact to torch.optim.Rprop.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> optimizer = Rprop(x, lr=0.25)
    >>> for _ in range(2):
    ...     loss = optimizer.minimize(lambda: x * x)
    >>> round(x.item(), 5)
    0.45
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.01,
        eta_minus: float = 0.5,
        eta_plus: float = 1.2,
        size_min: float = 1e-6,
        size_max: float = 50.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, eta_minus=eta_minus, eta_plus=eta_plus, size_min=size_min,
            size_max=size_max, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    eta_minus: float
    eta_plus: float
    size_min: float
    size_max: float

    @classmethod
    def checked(cls, settings: dict[str, Any]) -> dict[str, Any]:
        settings = checked(cls.__name__, settings)
        if not settings.get("eta_minus", 0) < 1 < settings.get("eta_plus", 2):
            raise ValueError("Rprop: eta_minus must be below 1 and eta_plus above.")
        if settings.get("size_min", 0) > settings.get("size_max", math.inf):
            raise ValueError("Rprop: size_min must not be above size_max.")
        return settings

    def state(self, theta: Array) -> dict[str, Array]:
        return {"previous": np.zeros_like(theta), "size": np.full_like(theta, self.lr)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        previous, size = state
        s = np.sign(g) * np.sign(previous)
        size[s > 0] *= self.eta_plus
        size[s < 0] *= self.eta_minus
        np.clip(size, self.size_min, self.size_max, out=size)
        previous[...] = np.where(s < 0, 0, g)
        theta -= np.sign(previous) * size
