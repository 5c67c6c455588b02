"""Elementwise functions: one number in, one number out, for every entry.

The derivative of each is school calculus. What takes care is the corners: where two pieces meet,
where a tie must be shared, where a naive formula would overflow. Each is said beside its rule.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor

__all__ = [
    "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "square", "reciprocal",
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "arctan2", "hypot",
    "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "erf",
    "abs", "sign", "floor", "ceil", "round", "clip", "maximum", "minimum", "where", "logaddexp",
]  # fmt: skip

LN2, LN10 = math.log(2), math.log(10)  # Python floats: they leave float32 alone


# ---------------------------------------------------------------- powers and logarithms


@differentiable
def exp(x):
    """z = e^x        dx = g * z"""
    z = np.exp(x)
    return z, lambda g: g * z


@differentiable
def expm1(x):
    """z = e^x - 1        dx = g * (z + 1)

    Exact near 0, where e^x - 1 would lose every digit.
    """
    z = np.expm1(x)
    return z, lambda g: g * (z + 1)


@differentiable
def log(x):
    """z = log x        dx = g / x"""
    return np.log(x), lambda g: g / x


@differentiable
def log1p(x):
    """z = log(1 + x)        dx = g / (1 + x)

    Exact near 0, where 1 + x would round to 1.
    """
    return np.log1p(x), lambda g: g / (1 + x)


@differentiable
def log2(x):
    """z = log_2 x        dx = g / (x * log 2)"""
    return np.log2(x), lambda g: g / (x * LN2)


@differentiable
def log10(x):
    """z = log_10 x        dx = g / (x * log 10)"""
    return np.log10(x), lambda g: g / (x * LN10)


@differentiable
def sqrt(x):
    """z = sqrt x        dx = g / (2 * z)

    At 0 the slope is inf, its limit.
    """
    z = np.sqrt(x)
    return z, lambda g: g / (2 * z)


@differentiable
def square(x):
    """z = x^2        dx = g * 2 * x"""
    return np.square(x), lambda g: g * 2 * x


@differentiable
def reciprocal(x):
    """z = 1 / x        dx = -g * z^2"""
    z = 1 / x
    return z, lambda g: -g * z * z


@differentiable
def logaddexp(x, y):
    """z = log(e^x + e^y)        dx = g * e^(x-z)        dy = g * e^(y-z)

    Never overflows: NumPy factors the larger of the two out.
    """
    z = np.logaddexp(x, y)

    def share(of):
        # where both are -inf, so is z, and neither has a share
        return np.exp(of - np.where(np.isneginf(z), 0, z))

    return z, lambda g: g * share(x), lambda g: g * share(y)


# ---------------------------------------------------------------- angles


@differentiable
def sin(x):
    """z = sin x        dx = g * cos x"""
    return np.sin(x), lambda g: g * np.cos(x)


@differentiable
def cos(x):
    """z = cos x        dx = -g * sin x"""
    return np.cos(x), lambda g: -g * np.sin(x)


@differentiable
def tan(x):
    """z = tan x        dx = g * (1 + z^2)"""
    z = np.tan(x)
    return z, lambda g: g * (1 + z * z)


@differentiable
def arcsin(x):
    """z = arcsin x        dx = g / sqrt(1 - x^2)"""
    return np.arcsin(x), lambda g: g / np.sqrt(1 - x * x)


@differentiable
def arccos(x):
    """z = arccos x        dx = -g / sqrt(1 - x^2)"""
    return np.arccos(x), lambda g: -g / np.sqrt(1 - x * x)


@differentiable
def arctan(x):
    """z = arctan x        dx = g / (1 + x^2)"""
    return np.arctan(x), lambda g: g / (1 + x * x)


@differentiable
def arctan2(y, x):
    """z = angle of (x, y)        dy = g * x / (x^2 + y^2)        dx = -g * y / (x^2 + y^2)"""
    return np.arctan2(y, x), lambda g: g * x / (x * x + y * y), lambda g: -g * y / (x * x + y * y)


@differentiable
def hypot(x, y):
    """z = sqrt(x^2 + y^2)        dx = g * x / z        dy = g * y / z

    At (0, 0), the tip of a cone, the gradient is 0.
    """
    z = np.hypot(x, y)
    length = np.where(z == 0, 1, z)
    return z, lambda g: g * x / length, lambda g: g * y / length


# ---------------------------------------------------------------- hyperbolic


@differentiable
def sinh(x):
    """z = sinh x        dx = g * cosh x"""
    return np.sinh(x), lambda g: g * np.cosh(x)


@differentiable
def cosh(x):
    """z = cosh x        dx = g * sinh x"""
    return np.cosh(x), lambda g: g * np.sinh(x)


@differentiable
def tanh(x):
    """z = tanh x        dx = g * (1 - z^2)"""
    z = np.tanh(x)
    return z, lambda g: g * (1 - z * z)


@differentiable
def arcsinh(x):
    """z = arcsinh x        dx = g / sqrt(x^2 + 1)"""
    return np.arcsinh(x), lambda g: g / np.sqrt(x * x + 1)


@differentiable
def arccosh(x):
    """z = arccosh x        dx = g / sqrt(x^2 - 1)"""
    return np.arccosh(x), lambda g: g / np.sqrt(x * x - 1)


@differentiable
def arctanh(x):
    """z = arctanh x        dx = g / (1 - x^2)"""
    return np.arctanh(x), lambda g: g / (1 - x * x)


# ---------------------------------------------------------------- pieces, corners and ties


@differentiable
def abs(x):
    """z = |x|        dx = g * sign x

    At the corner, 0, the gradient is 0.
    """
    return np.abs(x), lambda g: g * np.sign(x)


@differentiable
def sign(x):
    """z = -1, 0 or 1 as x is below, at or above 0        dx = 0"""
    return np.sign(x), np.zeros_like


@differentiable
def floor(x):
    """z = the largest whole number <= x        dx = 0"""
    return np.floor(x), np.zeros_like


@differentiable
def ceil(x):
    """z = the smallest whole number >= x        dx = 0"""
    return np.ceil(x), np.zeros_like


@differentiable
def round(x, decimals=0):
    """z = x rounded to `decimals` places, halves to even        dx = 0"""
    return np.round(x, decimals), np.zeros_like


@differentiable
def clip(x, low=None, high=None):
    """z = x between low and high, else the nearer        dx = g where low <= x <= high, else 0

    A bound of None bounds nothing. At a bound the gradient passes.
    """
    z = np.clip(x, low, high)
    return z, lambda g: np.where(z == x, g, 0)


@differentiable
def maximum(x, y):
    """z = the larger of x and y        dx = g where x is larger        dy = g where y is larger

    A tie is shared: half of g for each. With a nan, z is nan.
    """
    return np.maximum(x, y), lambda g: _where_larger(x, y, g), lambda g: _where_larger(y, x, g)


@differentiable
def minimum(x, y):
    """z = the smaller of x and y        dx = g where x is smaller        dy = g where y is smaller

    A tie is shared: half of g for each. With a nan, z is nan.
    """
    return np.minimum(x, y), lambda g: _where_larger(y, x, g), lambda g: _where_larger(x, y, g)


def _where_larger(x, y, g):
    return np.where(x > y, g, np.where(x == y, g / 2, 0))


@differentiable
def where(condition, x, y):
    """z = x where condition, else y        dx = g where condition        dy = g elsewhere

    The entry not chosen gets a gradient of 0, which an infinite slope further down makes nan: for
    `where(x > 0, log(x), 0)` write `where(x > 0, log(where(x > 0, x, 1)), 0)`.
    """
    return (
        np.where(condition, x, y),
        None,
        lambda g: np.where(condition, g, 0),
        lambda g: np.where(condition, 0, g),
    )


# ---------------------------------------------------------------- the error function


@differentiable
def erf(x):
    """z = 2/sqrt(pi) * integral of e^(-t^2) from 0 to x        dx = g * 2/sqrt(pi) * e^(-x^2)"""
    # NumPy has no erf. On Tensors (for higher derivatives) it is this op again.
    z = erf(x) if isinstance(x, Tensor) else _erf(x)
    return z, lambda g: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x)


# Quotients of polynomials, the highest power first: (above, below).
# Near 0, erf x = x + x NEAR(x^2): coefficients of Sun's fdlibm (s_erf.c, 1993).
NEAR = (
    (
        -2.37630166566501626084e-05, -5.77027029648944159157e-03, -2.84817495755985104766e-02,
        -3.25042107247001499370e-01, 1.28379167095512558561e-01,
    ),
    (
        -3.96022827877536812320e-06, 1.32494738004321644526e-04, 5.08130628187576562776e-03,
        6.50222499887672944485e-02, 3.97917223959155352819e-01, 1.0,
    ),
)  # fmt: skip
# Further out, erf x = 1 - e^(-x^2) FAR(x): W. J. Cody 1969, "Rational Chebyshev approximations for
# the error function".
FAR = (
    (
        2.15311535474403846e-08, 5.64188496988670089e-01, 8.88314979438837594e00,
        6.61191906371416295e01, 2.98635138197400131e02, 8.81952221241769090e02,
        1.71204761263407058e03, 2.05107837782607147e03, 1.23033935479799725e03,
    ),
    (
        1.0, 1.57449261107098347e01, 1.17693950891312499e02,
        5.37181101862009858e02, 1.62138957456669019e03, 3.29079923573345963e03,
        4.36261909014324716e03, 3.43936767414372164e03, 1.23033935480374942e03,
    ),
)  # fmt: skip
BORDER, ALL_BUT_1 = 27 / 32, 6.0  # from 6 on, erf rounds to 1
BLOCK = 32_768  # numbers whose intermediate results stay in the cache: three times as fast


def _erf(x):
    """To within 2 units in the last place, in the dtype of x (in float32 for float16)."""
    x = np.asarray(x)
    dtype = np.result_type(x, np.float16)  # whole numbers become floats
    flat = x.reshape(-1).astype(np.result_type(dtype, np.float32), copy=False)
    z = np.empty_like(flat)
    with np.errstate(over="ignore", invalid="ignore"):  # far out, where z is replaced
        for start in range(0, flat.size, BLOCK):
            block = slice(start, start + BLOCK)
            z[block] = _erf_of_block(flat[block])
    return z.reshape(x.shape).astype(dtype, copy=False)


def _erf_of_block(x):
    z = x + x * _quotient(NEAR, x * x)
    (far,) = np.nonzero(np.abs(x) > BORDER)
    size = np.minimum(np.abs(x[far]), ALL_BUT_1)
    z[far] = np.copysign(1 - np.exp(-size * size) * _quotient(FAR, size), x[far])
    return z


def _quotient(polynomials, x):
    above, below = (_polynomial(coefficients, x) for coefficients in polynomials)
    return np.divide(above, below, out=above)


def _polynomial(coefficients, x):
    """By Horner: ((c_0 x + c_1) x + c_2) x + ..."""
    z = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        z *= x
        z += c
    return z
