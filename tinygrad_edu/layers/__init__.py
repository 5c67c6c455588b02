"""Layers: parameters, and what is done with them.

Read layer.py first, which says what a layer is; then, in any order,

    basic.py          Linear, Embedding, Dropout, and what changes a shape
    activations.py    what bends the straight lines
    containers.py     layers made of layers: Sequential, MLP
"""

from tinygrad_edu.layers.activations import (
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinygrad_edu.layers.basic import Dropout, Flatten, Identity, Lambda, Linear
from tinygrad_edu.layers.containers import MLP, Sequential
from tinygrad_edu.layers.layer import Layer

__all__ = [
    "ELU", "GELU", "MLP", "SELU", "Dropout", "Flatten", "Identity", "Lambda", "Layer", "LeakyReLU",
    "Linear", "LogSoftmax", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip
