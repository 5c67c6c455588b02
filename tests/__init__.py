"""The tests, and what several of them use."""

import numpy as np

BINARY = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "@": lambda a, b: a @ b,
}


def drawn(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def names(layer):
    return [name for name, _ in layer.named_parameters()]


def bits(layer):
    return {name: array.tobytes() for name, array in layer.state_dict().items()}
