"""Adaptive rates: every parameter has a rate of its own, by the slopes it has seen.

Adagrad divides by all slopes so far, Adadelta and RMSprop by those of late. Adam adds momentum to
that, Adamax takes the largest slope instead of the mean, Nadam looks a step ahead.

Here g^2, sqrt and the division are meant entry by entry. `epsilon=None` means 1e-7.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.optimizers.optimizer import Optimizer
from tinygrad_edu.optimizers.settings import Rate

__all__ = ["Adadelta", "Adagrad", "Adam", "Adamax", "Nadam", "RMSprop"]


class Adagrad(Optimizer):
    """The more a parameter was moved, the smaller its steps; for data with rare features.

        a = a + g^2
        theta -= rate g / (sqrt(a) + epsilon)

    Since a only grows, the steps only shrink. Source: Duchi, Hazan & Singer 2011.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Adagrad(x, lr=0.5).minimize(lambda: x * x)
    >>> round(x.item(), 6)
    0.5
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.01,
        epsilon: float | None = None,
        decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, epsilon=epsilon, decay=decay, clipnorm=clipnorm,
            clipvalue=clipvalue,
        )  # fmt: skip

    epsilon: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"a": np.zeros_like(theta)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        (a,) = state
        a += np.square(g)
        theta -= self.rate * g / (np.sqrt(a) + self.epsilon)


class Adadelta(Optimizer):
    """Steps as long as those of late, so that no rate has to be chosen.

        a = rho a + (1 - rho) g^2
        u = g sqrt(d + epsilon) / sqrt(a + epsilon)
        theta -= rate u
        d = rho d + (1 - rho) u^2

    a is the mean squared slope of late, d the mean squared step: u has the unit of theta. Source:
    Zeiler 2012.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Adadelta(x, epsilon=0.01).minimize(lambda: x * x)
    >>> round(x.item(), 4)
    0.5636
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 1.0,
        rho: float = 0.95,
        epsilon: float | None = None,
        decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, rho=rho, epsilon=epsilon, decay=decay, clipnorm=clipnorm,
            clipvalue=clipvalue,
        )  # fmt: skip

    rho: float
    epsilon: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"a": np.zeros_like(theta), "d": np.zeros_like(theta)}

    def update(self, theta: Array, g: Array, *state: Array) -> dict[str, Array]:
        a, d = state
        a *= self.rho
        a += (1 - self.rho) * np.square(g)
        u = g * np.sqrt(d + self.epsilon) / np.sqrt(a + self.epsilon)
        theta -= self.rate * u
        d *= self.rho
        d += (1 - self.rho) * np.square(u)
        return {"u": u}


class RMSprop(Optimizer):
    """Steps of about one length: the slope, over its root mean square of late.

        a = rho a + (1 - rho) g^2
        theta -= rate g / (sqrt(a) + epsilon)

    Source: Hinton, Neural Networks for Machine Learning, lecture 6, 2012.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = RMSprop(x, lr=0.1, rho=0.75).minimize(lambda: x * x)
    >>> round(x.item(), 6)
    0.8
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        rho: float = 0.9,
        epsilon: float | None = None,
        decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, rho=rho, epsilon=epsilon, decay=decay, clipnorm=clipnorm,
            clipvalue=clipvalue,
        )  # fmt: skip

    rho: float
    epsilon: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"a": np.zeros_like(theta)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        (a,) = state
        a *= self.rho
        a += (1 - self.rho) * np.square(g)
        theta -= self.rate * g / (np.sqrt(a) + self.epsilon)


class Adam(Optimizer):
    """Adaptive moments: the mean slope m, over the root of the mean squared slope v.

        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        v_max = max(v_max, v)                                              with amsgrad
        correction = sqrt(1 - beta_2^t) / (1 - beta_1^t)
        theta -= rate correction m / (sqrt(v) + epsilon)                   without amsgrad
        theta -= rate correction m / (sqrt(v_max) + epsilon)               with amsgrad

    The correction makes up for m and v starting at 0. Epsilon is outside of it, as in Keras;
    PyTorch has it inside. Source: Kingma & Ba 2015; amsgrad: Reddi, Kale & Kumar 2018.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Adam(x, lr=0.1).minimize(lambda: x * x)
    >>> round(x.item(), 5)
    0.9
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        decay: float = 0.0,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, decay=decay,
            amsgrad=amsgrad, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: bool
    correction: float

    def state(self, theta: Array) -> dict[str, Array]:
        names = ("m", "v", "v_max") if self.amsgrad else ("m", "v")
        return {name: np.zeros_like(theta) for name in names}

    def corrections(self) -> dict[str, float]:
        t = self.t
        return {"correction": math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        m, v = state[:2]
        # The formula, with every result in the one array x, so that a block of each array fits the
        # cache. Written as it stands above, a step on two million parameters takes a sixth longer.
        x = (1 - self.beta_1) * g
        m *= self.beta_1
        m += x
        np.square(g, out=x)
        x *= 1 - self.beta_2
        v *= self.beta_2
        v += x
        if self.amsgrad:
            v = np.maximum(state[2], v, out=state[2])
        np.sqrt(v, out=x)
        x += self.epsilon
        np.divide(m, x, out=x)
        x *= self.rate * self.correction
        theta -= x


class Adamax(Optimizer):
    """Adam with the largest slope u of late in place of the root mean square.

        m = beta_1 m + (1 - beta_1) g
        u = max(beta_2 u, abs(g))
        correction = 1 / (1 - beta_1^t)
        theta -= rate correction m / (u + epsilon)

    Source: Kingma & Ba 2015, section 7.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Adamax(x, lr=0.1).minimize(lambda: x * x)
    >>> round(x.item(), 5)
    0.9
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.002,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        decay: float = 0.0,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, decay=decay,
            clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    correction: float

    def state(self, theta: Array) -> dict[str, Array]:
        return {"m": np.zeros_like(theta), "u": np.zeros_like(theta)}

    def corrections(self) -> dict[str, float]:
        return {"correction": 1 / (1 - self.beta_1**self.t)}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        m, u = state
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        u *= self.beta_2
        np.maximum(u, np.abs(g), out=u)
        theta -= self.rate * self.correction * m / (u + self.epsilon)


class Nadam(Optimizer):
    """Adam with Nesterov's momentum: the mean slope as it will be a step ahead.

        mu = beta_1 (1 - 0.5 * 0.96^(t schedule_decay))
        mu_next = beta_1 (1 - 0.5 * 0.96^((t + 1) schedule_decay))
        product = product mu
        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        ahead = (1 - mu) g / (1 - product) + mu_next m / (1 - product mu_next)
        theta -= rate ahead / (sqrt(v / (1 - beta_2^t)) + epsilon)

    mu, the momentum, warms up from beta_1 / 2 to beta_1; the product of all mu corrects what
    1 - beta_1^t corrects in Adam. Source: Dozat 2016.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Nadam(x, lr=0.1).minimize(lambda: x * x)
    >>> round(x.item(), 4)
    0.8944
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.002,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        schedule_decay: float = 0.004,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon,
            schedule_decay=schedule_decay, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    schedule_decay: float
    mu: float
    mu_next: float
    product: float

    numbers: ClassVar[Mapping[str, float]] = {"product": 1.0}

    def state(self, theta: Array) -> dict[str, Array]:
        return {"m": np.zeros_like(theta), "v": np.zeros_like(theta)}

    def corrections(self) -> dict[str, float]:
        mu, mu_next = (
            self.beta_1 * (1 - 0.5 * 0.96 ** (t * self.schedule_decay))
            for t in (self.t, self.t + 1)
        )
        return {"mu": mu, "mu_next": mu_next, "product": self.product * mu}

    def update(self, theta: Array, g: Array, *state: Array) -> dict[str, Array]:
        m, v = state
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        v *= self.beta_2
        v += (1 - self.beta_2) * np.square(g)
        ahead = (1 - self.mu) / (1 - self.product) * g
        ahead += self.mu_next / (1 - self.product * self.mu_next) * m
        theta -= self.rate * ahead / (np.sqrt(v / (1 - self.beta_2**self.t)) + self.epsilon)
        return {"ahead": ahead}
