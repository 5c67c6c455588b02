"""Gradient descent: one rate for all parameters, with or without momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.optimizers.optimizer import Optimizer
from tinygrad_edu.optimizers.settings import Rate

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

        theta -= rate g                                   without momentum
        velocity = momentum velocity - rate g             with momentum
        theta += velocity                                 with momentum, without nesterov
        theta += momentum velocity - rate g               with momentum, nesterov

    The rate stands inside the velocity, as in Keras; PyTorch has it outside. Source: Polyak 1964;
    Sutskever et al. 2013.

    >>> from tinygrad_edu import Tensor
    >>> x = Tensor(1.0, requires_grad=True)
    >>> optimizer = SGD(x, lr=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     loss = optimizer.minimize(lambda: x * x)
    >>> round(x.item(), 6)
    0.54
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.01,
        momentum: float = 0.0,
        decay: float = 0.0,
        nesterov: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            params, lr, options, momentum=momentum, decay=decay, nesterov=nesterov,
            clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    momentum: float
    nesterov: bool

    def state(self, theta: Array) -> dict[str, Array]:
        return {"velocity": np.zeros_like(theta)} if self.momentum else {}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        if not self.momentum:
            theta -= self.rate * g
            return
        if not state:
            raise RuntimeError(
                "SGD: momentum was 0 at first, so there is no velocity to go on with."
            )
        (velocity,) = state
        velocity *= self.momentum
        velocity -= self.rate * g
        theta += self.momentum * velocity - self.rate * g if self.nesterov else velocity
