"""Activations: the bends that make a network more than one matrix.

All are elementwise, and all are stable: no input overflows or warns, however large.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.ops.elementwise import erf
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor

__all__ = [
    "sigmoid", "softplus", "softsign", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish",
    "hard_sigmoid", "hard_tanh", "relu6",
]  # fmt: skip

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # mean 0, variance 1 stay so


# ---------------------------------------------------------------- smooth


@differentiable
def sigmoid(x):
    """z = 1 / (1 + e^-x)        dx = g * z * (1 - z)"""
    # On Tensors (for higher derivatives) it is this op again: _logistic has pieces, z has none.
    z = sigmoid(x) if isinstance(x, Tensor) else _logistic(x)
    return z, lambda g: g * z * (1 - z)


def _logistic(x):
    e = np.exp(-np.abs(x))  # at most 1: never overflows, and tiny values keep their digits
    return np.where(x >= 0, 1, e) / (1 + e)


@differentiable
def softplus(x):
    """z = log(1 + e^x)        dx = g * sigmoid(x)"""
    return np.logaddexp(x, 0), lambda g: g * sigmoid.value(x)


@differentiable
def softsign(x):
    """z = x / (1 + |x|)        dx = g / (1 + |x|)^2"""
    size = 1 + np.abs(x)
    return x / size, lambda g: g / (size * size)


@differentiable
def silu(x):
    """z = x * sigmoid(x)        dx = g * (s + z * (1 - s)), s = sigmoid(x)"""
    s = sigmoid.value(x)
    z = x * s
    return z, lambda g: g * (s + z * (1 - s))


@differentiable
def gelu(x):
    """z = x * P(x)        dx = g * (P(x) + x * p(x)), P and p the normal law and its density"""
    law = 0.5 * (1 + erf.value(x * math.sqrt(0.5)))
    return x * law, lambda g: g * (law + x * np.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi)))


@differentiable
def mish(x):
    """z = x * t, t = tanh(log(1 + e^x))        dx = g * (t + x * (1 - t^2) * sigmoid(x))"""
    t = np.tanh(np.logaddexp(x, 0))
    return x * t, lambda g: g * (t + x * (1 - t * t) * sigmoid.value(x))


# ---------------------------------------------------------------- with a corner


@differentiable
def relu(x):
    """z = x where x > 0, else 0        dx = g where x > 0, else 0

    At the corner, 0, the gradient is 0. A nan stays a nan.
    """
    return np.maximum(x, 0), lambda g: g * (x > 0)


@differentiable
def leaky_relu(x, slope=0.01):
    """z = x where x > 0, else slope * x        dx = g where x > 0, else slope * g"""
    return np.where(x > 0, x, slope * x), lambda g: np.where(x > 0, g, slope * g)


@differentiable
def elu(x, alpha=1.0):
    """z = x where x > 0, else alpha * (e^x - 1)        dx = g where x > 0, else g * alpha * e^x"""
    below = np.minimum(x, 0)  # so that a large x never reaches exp
    z = np.where(x > 0, x, alpha * np.expm1(below))
    return z, lambda g: np.where(x > 0, g, g * alpha * np.exp(below))


@differentiable
def selu(x):
    """z = s * x where x > 0, else s * a * (e^x - 1)
    dx = g * s where x > 0, else g * s * a * e^x

    s = 1.0507 and a = 1.6733: layers keep mean 0 and variance 1 (Klambauer et al. 2017).
    """
    below = np.minimum(x, 0)
    z = SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(below))
    return z, lambda g: SELU_SCALE * np.where(x > 0, g, g * SELU_ALPHA * np.exp(below))


@differentiable
def relu6(x):
    """z = x between 0 and 6, else the nearer        dx = g where 0 < x <= 6, else 0"""
    return np.clip(x, 0, 6), lambda g: np.where((x > 0) & (x <= 6), g, 0)


@differentiable
def hard_tanh(x):
    """z = x between -1 and 1, else the nearer        dx = g where -1 <= x <= 1, else 0"""
    return np.clip(x, -1, 1), lambda g: np.where((x >= -1) & (x <= 1), g, 0)


@differentiable
def hard_sigmoid(x):
    """z = x/6 + 1/2 between 0 and 1, else the nearer        dx = g / 6 where -3 <= x <= 3, else 0

    The form of PyTorch and Keras 3; Keras 2 had x/5 + 1/2.
    """
    return np.clip(x / 6 + 0.5, 0, 1), lambda g: np.where((x >= -3) & (x <= 3), g / 6, 0)
