"""What others call it: hints for those who come from PyTorch or Keras, in the error of a name.

Loaded only when a name was not found. docs/porting.md has the whole table, with what differs.
"""

from __future__ import annotations

__all__ = ["hint"]

HERE = {
    "Activation": "tg.layers.ReLU() and the like",
    "AveragePooling2D": "tg.layers.AvgPool2d",
    "BCELoss": "tg.losses.binary_cross_entropy",
    "BCEWithLogitsLoss": "tg.losses.binary_cross_entropy_with_logits",
    "BatchNorm1d": "tg.layers.BatchNorm",
    "BatchNorm2d": "tg.layers.BatchNorm",
    "BatchNormalization": "tg.layers.BatchNorm",
    "Conv1D": "tg.layers.Conv1d",
    "Conv2D": "tg.layers.Conv2d",
    "CrossEntropyLoss": "tg.losses.cross_entropy",
    "DataLoader": "tg.training.get_batches",
    "Dense": "tg.layers.Linear(inputs, outputs)",
    "FloatTensor": "tg.Tensor",
    "HuberLoss": "tg.losses.huber",
    "KLDivLoss": "tg.losses.kl_divergence",
    "L1Loss": "tg.losses.mean_absolute_error",
    "LayerNormalization": "tg.layers.LayerNorm",
    "LongTensor": "tg.tensor(data, dtype=int)",
    "MSELoss": "tg.losses.mean_squared_error",
    "MaxPooling2D": "tg.layers.MaxPool2d",
    "Module": "tg.layers.Layer",
    "ModuleDict": "a plain dict as an attribute of a tg.layers.Layer",
    "ModuleList": "a plain list as an attribute of a tg.layers.Layer",
    "MultiheadAttention": "tg.layers.MultiHeadAttention",
    "NLLLoss": "tg.losses.nll",
    "Parameter": "tg.tensor(data, requires_grad=True)",
    "SimpleRNN": "tg.layers.RNN",
    "bmm": "tg.matmul",
    "cat": "tg.concatenate",
    "clamp": "tg.clip",
    "functional": "tg (ops) and tg.losses",
    "gather": "tg.take_along_axis",
    "l1_loss": "tg.losses.mean_absolute_error",
    "mm": "tg.matmul",
    "mse_loss": "tg.losses.mean_squared_error",
    "nn": "tg.layers and tg.losses",
    "nll_loss": "tg.losses.nll",
    "one_hot": "tg.data.one_hot",
    "optim": "tg.optimizers",
    "pow": "tg.power",
    "to_categorical": "tg.data.one_hot",
    "view": "tg.reshape",
}


def hint(name: str) -> str:
    """What to write here for a name of PyTorch or Keras, as the end of a message; or nothing.

    >>> hint("Dense")
    '; here it is tg.layers.Linear(inputs, outputs)'
    """
    return f"; here it is {HERE[name]}" if name in HERE else ""
