"""Arithmetic: plus, minus, times, divided by, to the power of.

A rule returns its value and then one pullback per input. Two inputs may have different shapes, as
in NumPy: the engine sums a gradient over the axes along which its input was broadcast, so no rule
here says a word about it.
"""

from __future__ import annotations

import numpy as np

from tinygrad_edu.rules import differentiable

__all__ = [
    "add", "subtract", "multiply", "divide", "negative", "power", "floor_divide", "remainder",
]  # fmt: skip


@differentiable
def add(x, y):
    """z = x + y        dx = g        dy = g"""
    return x + y, lambda g: g, lambda g: g


@differentiable
def subtract(x, y):
    """z = x - y        dx = g        dy = -g"""
    return x - y, lambda g: g, lambda g: -g


@differentiable
def multiply(x, y):
    """z = x * y        dx = g * y        dy = g * x"""
    return x * y, lambda g: g * y, lambda g: g * x


@differentiable
def divide(x, y):
    """z = x / y        dx = g / y        dy = -g * z / y"""
    z = x / y
    return z, lambda g: g / y, lambda g: -g * z / y


@differentiable
def negative(x):
    """z = -x        dx = -g"""
    return -x, lambda g: -g


@differentiable
def power(x, y):
    """z = x^y        dx = g * y * x^(y-1)        dy = g * z * log x

    dx is 0 where y = 0, also at x = 0. dy is 0 where x = 0 and y > 0, and nan where x < 0.
    """
    x, y = (np.asarray(v) if isinstance(v, tuple) else v for v in (x, y))
    z = x**y

    def dx(g):
        if isinstance(y, (int, float)):
            return g * y * x ** (y - 1) if y != 0 else np.zeros_like(g)
        return g * y * x ** np.where((x == 0) & (y == 0), 1, y - 1)

    def dy(g):
        base = np.where(x == 0, 1, np.where(x < 0, np.nan, x))  # log 1 = 0: 0^y stays 0
        return g * z * np.log(base)

    return z, dx, dy


@differentiable
def floor_divide(x, y):
    """z = floor(x / y)        dx = 0        dy = 0"""
    return x // y, np.zeros_like, np.zeros_like


@differentiable
def remainder(x, y):
    """z = x - y * floor(x / y)        dx = g        dy = -g * floor(x / y)

    Has the sign of y, as in Python.
    """
    return np.remainder(x, y), lambda g: g, lambda g: -g * (x // y)
