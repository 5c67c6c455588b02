"""Rows of arithmetic, elementwise functions and activations."""

from __future__ import annotations

import math

import numpy as np

from tests.op_rows import Row

PAIRS = (((), ()), ((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 2)), ((2, 0), (1, 0)))
SHAPES = ((), (4,), (2, 3), (1, 2, 1), (0, 3))
INSIDE = np.array([[-0.9, -0.3, 0.2], [0.05, 0.5, 0.85]])  # of (-1, 1)
ABOVE_1 = np.array([[1.1, 2.0], [3.5, 10.0]])
POSITIVE = np.array([[0.2, 1.0, 3.0], [0.5, 2.5, 10.0]])
NEGATIVE = np.array([-3.0, -1.5, -0.2])
BOTH_ERFS = np.array([-30.0, -6.1, -2.0, -0.85, -0.84, 0.0, 0.84, 0.85, 0.5, 1e-9, 5.9, 1e3])
ANY = np.array([[-3.3, -0.7, 0.4], [1.7, 2.9, 7.1]])
LARGE = np.array([-1e4, -700.0, -50.0, 50.0, 700.0, 1e4])


def _pairs(op, torch=None, **options):
    return [Row(op, pair, torch=torch, **options) for pair in PAIRS]


def _torch_of(name):
    return lambda torch, *xs: getattr(torch, name)(*xs)


def _functional(name):
    return lambda torch, x: getattr(torch.nn.functional, name)(x)


ROWS = [
    *_pairs("add", _torch_of("add")),
    *_pairs("subtract", _torch_of("subtract")),
    *_pairs("multiply", _torch_of("multiply")),
    Row("divide", ((2, 3), POSITIVE), torch=_torch_of("divide")),
    Row("divide", ((3,), NEGATIVE), torch=_torch_of("divide")),
    Row("divide", ((), ABOVE_1), torch=_torch_of("divide")),
    Row("divide", ((2, 1, 2), np.array(2.5)), torch=_torch_of("divide")),
    *[Row("negative", (s,), torch=_torch_of("negative")) for s in SHAPES],
    Row("power", (POSITIVE, (3,)), torch=_torch_of("pow")),
    Row("power", (POSITIVE, np.array([0.0, 1.0, 2.0])), torch=_torch_of("pow")),
    Row("power", (np.array(2.0), (2, 2)), torch=_torch_of("pow")),
    *[
        Row("power", (ANY,), lambda f, x, n=n: f(x, n), lambda x, n=n: x**n, lambda torch, x, n=n: x**n)
        for n in (0, 1, 2, 3, -1)
    ],
    Row("power", (POSITIVE,), lambda f, x: f(x, 0.5), np.sqrt, lambda torch, x: x**0.5),
    Row("power", ((2, 2),), lambda f, x: f(2.0, x), lambda x: 2.0**x, lambda torch, x: 2.0**x),
    Row("power", (np.array([0.0, 1.0]),), lambda f, x: f(x, 2), np.square, lambda torch, x: x**2),
    Row("floor_divide", (ANY, POSITIVE)),
    Row("remainder", (ANY, POSITIVE), torch=_torch_of("remainder")),
    Row("remainder", (ANY, np.array([-1.3, -2.1, -0.9])), torch=_torch_of("remainder")),
    *[Row("exp", (s,), torch=_torch_of("exp")) for s in SHAPES],
    *[Row("expm1", (x,), torch=_torch_of("expm1")) for x in (ANY, INSIDE * 1e-3)],
    *[Row("log", (x,), torch=_torch_of("log")) for x in (POSITIVE, ABOVE_1)],
    *[Row("log1p", (x,), torch=_torch_of("log1p")) for x in (POSITIVE, INSIDE, INSIDE * 1e-3)],
    Row("log2", (POSITIVE,), torch=_torch_of("log2")),
    Row("log10", (POSITIVE,), torch=_torch_of("log10")),
    Row("sqrt", (POSITIVE,), torch=_torch_of("sqrt")),
    Row("square", (ANY,), torch=_torch_of("square")),
    Row("reciprocal", (POSITIVE,), torch=_torch_of("reciprocal")),
    Row("reciprocal", (NEGATIVE,), torch=_torch_of("reciprocal")),
    *_pairs("logaddexp", _torch_of("logaddexp")),
    Row("logaddexp", (np.array([1e4, -1e4, 0.0]), np.array([0.0, -1e4, 1e4])),
        torch=_torch_of("logaddexp"), order=1, note="flat to the last digit: no second difference"),
    *[Row(name, (ANY,), torch=_torch_of(name)) for name in ("sin", "cos", "tan", "arctan")],
    *[Row(name, (INSIDE,), torch=_torch_of(name)) for name in ("arcsin", "arccos", "arctanh")],
    *[Row(name, (ANY / 3,), torch=_torch_of(name)) for name in ("sinh", "cosh", "tanh", "arcsinh")],
    Row("arccosh", (ABOVE_1,), torch=_torch_of("arccosh")),
    Row("arctan2", ((2, 3), ANY), torch=_torch_of("arctan2")),
    Row("arctan2", (NEGATIVE, (2, 3)), torch=_torch_of("arctan2")),
    *_pairs("hypot", _torch_of("hypot")),
    Row("erf", (ANY,), numpy=lambda x: np.vectorize(math.erf)(x), torch=_torch_of("erf")),
    Row(
        "erf", (BOTH_ERFS,),
        numpy=lambda x: np.vectorize(math.erf)(x), torch=_torch_of("erf"),
        note="on both sides of where one formula hands over to the other",
    ),
    Row("erf", (INSIDE,), numpy=lambda x: np.vectorize(math.erf)(x), torch=_torch_of("erf")),
    *[
        Row(name, (ANY,), torch=_torch_of(name))
        for name in ("abs", "sign", "floor", "ceil", "round")
    ],
    Row("round", (ANY,), lambda f, x: f(x, 1), lambda x: np.round(x, 1),
        lambda torch, x: torch.round(x, decimals=1)),
    *[
        Row("clip", (ANY,), lambda f, x, b=b: f(x, *b), lambda x, b=b: np.clip(x, *b),
            lambda torch, x, b=b: torch.clip(x, *b))
        for b in ((-1, 2), (None, 1), (0, None))
    ],
    *[
        row
        for name in ("maximum", "minimum")
        for row in (*_pairs(name, _torch_of(name)), Row(name, (ANY, 0.9 * ANY), torch=_torch_of(name)))
    ],
    *[
        Row("where", pair, lambda f, x, y: f(np.array([True, False, True]), x, y),
            lambda x, y: np.where(np.array([True, False, True]), x, y),
            lambda torch, x, y: torch.where(torch.tensor([True, False, True]), x, y))
        for pair in (((3,), (3,)), ((2, 3), ()), ((2, 1), (3,)))
    ],
    # activations
    *[
        Row(name, (x,), numpy=twin, torch=_functional(name))
        for x in (ANY, np.array(0.3))
        for name, twin in {
            "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
            "softplus": lambda x: np.log1p(np.exp(x)),
            "softsign": lambda x: x / (1 + np.abs(x)),
            "silu": lambda x: x / (1 + np.exp(-x)),
            "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
            "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
            "relu": lambda x: np.maximum(x, 0),
            "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
            "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
            "selu": lambda x: 1.0507009873554805
            * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        }.items()
    ],
    Row("leaky_relu", (ANY,), lambda f, x: f(x, 0.2), lambda x: np.where(x > 0, x, 0.2 * x),
        lambda torch, x: torch.nn.functional.leaky_relu(x, 0.2)),
    Row("elu", (ANY,), lambda f, x: f(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x)),
        lambda torch, x: torch.nn.functional.elu(x, 0.7)),
    Row("relu6", (ANY,), numpy=lambda x: np.clip(x, 0, 6), torch=_functional("relu6")),
    Row("hard_tanh", (ANY,), numpy=lambda x: np.clip(x, -1, 1), torch=_functional("hardtanh")),
    Row("hard_sigmoid", (ANY,), numpy=lambda x: np.clip(x / 6 + 0.5, 0, 1),
        torch=lambda torch, x: torch.nn.functional.relu6(x + 3) / 6),
    *[
        Row(name, (LARGE,), numpy=twin, torch=_functional(torch_name or name))
        for name, torch_name, twin in (
            ("sigmoid", None, lambda x: np.array([math.exp(-1e4), math.exp(-700), math.exp(-50), 1, 1, 1])),
            ("softplus", None, lambda x: np.maximum(x, np.exp(np.minimum(x, 0)))),
            ("silu", None, lambda x: x * np.array([0, math.exp(-700), math.exp(-50), 1, 1, 1])),
            ("mish", None, lambda x: x * np.array([0, math.exp(-700), math.exp(-50), 1, 1, 1])),
            ("gelu", None, lambda x: np.maximum(x, 0)),
            ("elu", None, lambda x: np.maximum(x, -1)),
            ("relu", None, lambda x: np.maximum(x, 0)),
        )
    ],
]  # fmt: skip
