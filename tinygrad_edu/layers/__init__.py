"""Layers: parameters, and what is done with them.

Read layer.py first, which says what a layer is; then, in any order,

    basic.py            Linear, Embedding, Dropout, and what changes a shape
    activations.py      what bends the straight lines
    containers.py       layers made of layers: Sequential, MLP
    normalization.py    numbers of about the same size: BatchNorm, LayerNorm, RMSNorm
    convolution.py      small windows on sequences and images, and pooling
    recurrent.py        a state carried along a sequence: RNN, LSTM, GRU
    attention.py        everything looks at everything: MultiHeadAttention
    summary.py          all of that as a table

(settings.py checks what layers are given. The rooms from normalization.py on are entered when one
of their layers is first asked for.)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from tinygrad_edu.layers.basic import (
    Dropout,
    Embedding,
    Flatten,
    Identity,
    Lambda,
    Linear,
    Reshape,
)
from tinygrad_edu.layers.containers import MLP, Sequential
from tinygrad_edu.layers.layer import Layer

if TYPE_CHECKING:
    from tinygrad_edu.layers.attention import MultiHeadAttention
    from tinygrad_edu.layers.convolution import AvgPool2d, Conv1d, Conv2d, MaxPool2d
    from tinygrad_edu.layers.normalization import BatchNorm, LayerNorm, RMSNorm
    from tinygrad_edu.layers.recurrent import GRU, LSTM, RNN

__all__ = [
    "ELU", "GELU", "GRU", "LSTM", "MLP", "RNN", "SELU", "AvgPool2d", "BatchNorm", "Conv1d",
    "Conv2d", "Dropout", "Embedding", "Flatten", "Identity", "Lambda", "Layer", "LayerNorm",
    "LeakyReLU", "Linear", "LogSoftmax", "MaxPool2d", "MultiHeadAttention", "RMSNorm", "ReLU",
    "Reshape", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
]  # fmt: skip

_WHEN_ASKED = {
    "attention": ("MultiHeadAttention",),
    "convolution": ("AvgPool2d", "Conv1d", "Conv2d", "MaxPool2d"),
    "normalization": ("BatchNorm", "LayerNorm", "RMSNorm"),
    "recurrent": ("GRU", "LSTM", "RNN"),
    "summary": (),
}


def __getattr__(name: str) -> Any:
    """Rooms that small programs never enter are loaded when first asked for."""
    for room, inside in _WHEN_ASKED.items():
        if name == room or name in inside:
            loaded = import_module(f"tinygrad_edu.layers.{room}")
            globals().update({layer: getattr(loaded, layer) for layer in inside})
            return globals()[name]
    hint = import_module("tinygrad_edu.elsewhere").hint(name)
    raise AttributeError(f"module 'tinygrad_edu.layers' has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
