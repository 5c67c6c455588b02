"""Initializers: how weights begin.

Too small, and signals die on their way through the layers; too large, and they explode. The named
schemes keep the variance of signals (forward) or gradients (backward) about 1. Each is a function
`(shape, rng=None) -> array`; a layer takes the function or its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinygrad_edu.arrays import Array, default_dtype
from tinygrad_edu.random import Rng, as_generator

__all__ = [
    "constant", "get", "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "identity",
    "lecun_normal", "lecun_uniform", "normal", "ones", "orthogonal", "truncated_normal", "uniform",
    "zeros",
]  # fmt: skip

Shape = tuple[int, ...]
Initializer = Callable[..., Array]


def zeros(shape: Shape, rng: Rng = None) -> Array:
    """All 0: right for biases, useless for weights (equal weights stay equal)."""
    return np.zeros(shape, default_dtype())


def ones(shape: Shape, rng: Rng = None) -> Array:
    """All 1: for scales."""
    return np.ones(shape, default_dtype())


def constant(shape: Shape, rng: Rng = None, value: float = 0.0) -> Array:
    """All `value`."""
    return np.full(shape, value, default_dtype())


def identity(shape: Shape, rng: Rng = None) -> Array:
    """1 on the diagonal of a matrix, 0 elsewhere."""
    if len(shape) != 2:
        raise ValueError(f"identity: shape {shape} is no matrix's; it has two axes.")
    return np.eye(*shape, dtype=default_dtype())


def normal(shape: Shape, rng: Rng = None, mean: float = 0.0, std: float = 0.05) -> Array:
    """Random, with the normal law."""
    return (mean + std * as_generator(rng).standard_normal(shape)).astype(default_dtype())


def uniform(shape: Shape, rng: Rng = None, low: float = -0.05, high: float = 0.05) -> Array:
    """Random, spread evenly over [low, high)."""
    return as_generator(rng).uniform(low, high, shape).astype(default_dtype())


def truncated_normal(shape: Shape, rng: Rng = None, mean: float = 0.0, std: float = 0.05) -> Array:
    """Random, with the normal law; what falls beyond two standard deviations is drawn again."""
    generator = as_generator(rng)
    draws = generator.standard_normal(shape)
    while (far := np.abs(draws) > 2).any():
        draws[far] = generator.standard_normal(int(far.sum()))
    return (mean + std * draws).astype(default_dtype())


def glorot_uniform(shape: Shape, rng: Rng = None) -> Array:
    """Even over +-sqrt(6 / (inputs + outputs)), for tanh and linear layers (Glorot & Bengio 2010).

    >>> abs(glorot_uniform((64, 32), rng=0)).max() < 0.25
    np.True_
    """
    fan_in, fan_out = fans(shape)
    return _even(shape, rng, 2 / (fan_in + fan_out))


def glorot_normal(shape: Shape, rng: Rng = None) -> Array:
    """Normal with variance 2 / (inputs + outputs) (Glorot & Bengio 2010)."""
    fan_in, fan_out = fans(shape)
    return normal(shape, rng, std=math.sqrt(2 / (fan_in + fan_out)))


def he_uniform(shape: Shape, rng: Rng = None) -> Array:
    """Even with variance 2 / inputs, for relu, which drops half (He et al. 2015)."""
    return _even(shape, rng, 2 / fans(shape)[0])


def he_normal(shape: Shape, rng: Rng = None) -> Array:
    """Normal with variance 2 / inputs, for relu (He et al. 2015)."""
    return normal(shape, rng, std=math.sqrt(2 / fans(shape)[0]))


def lecun_uniform(shape: Shape, rng: Rng = None) -> Array:
    """Even with variance 1 / inputs (LeCun et al. 1998)."""
    return _even(shape, rng, 1 / fans(shape)[0])


def lecun_normal(shape: Shape, rng: Rng = None) -> Array:
    """Normal with variance 1 / inputs, for selu (LeCun et al. 1998)."""
    return normal(shape, rng, std=math.sqrt(1 / fans(shape)[0]))


def orthogonal(shape: Shape, rng: Rng = None) -> Array:
    """Rows (or columns, the fewer) of length 1 at right angles (Saxe et al. 2014)."""
    if len(shape) < 2:
        raise ValueError(f"orthogonal: shape {shape} has no rows and columns; it needs two axes.")
    rows, columns = shape[0], math.prod(shape[1:])
    draws = as_generator(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draws)
    q = q * np.sign(np.diagonal(r))  # makes all such matrices equally likely
    return (q if rows >= columns else q.T).reshape(shape).astype(default_dtype())


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs an output sees, and how many outputs see an input.

    Weights of linear layers are (inputs, outputs), of convolutions (outputs, inputs, *kernel).
    """
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    if len(shape) == 2:
        return shape[0], shape[1]
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def _even(shape: Shape, rng: Rng, variance: float) -> Array:
    bound = math.sqrt(3 * variance)  # even over +-bound has variance bound^2 / 3
    return uniform(shape, rng, -bound, bound)


def get(name: str | Initializer) -> Initializer:
    """The initializer of that name; a function is passed on.

    >>> get("he_normal") is he_normal
    True
    """
    if callable(name):
        return name
    if name == "get" or name not in __all__:
        known = ", ".join(n for n in __all__ if n != "get")
        raise ValueError(f"initializers: there is no {name!r}; there are {known}.")
    return globals()[name]
