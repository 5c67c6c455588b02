"""What losses share: a look at shapes and values, the reduction to one number, a warning."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from tinygrad_edu import ops
from tinygrad_edu.arrays import Array, as_array, default_dtype
from tinygrad_edu.modes import users_level
from tinygrad_edu.rules import Op
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "Target", "constant", "counted", "floating", "onehot", "paired", "reduced", "refuse_where",
    "source", "warn_if_made_by",
]  # fmt: skip

Target = Any  # a Tensor, an array or a list of numbers


# ---------------------------------------------------------------- what comes in


def floating(prediction: Any) -> Tensor:
    """The prediction as a Tensor of floating numbers."""
    x = prediction if isinstance(prediction, Tensor) else Tensor(prediction)
    return x if x.dtype.kind == "f" else x.astype(default_dtype())


def paired(name: str, prediction: Any, target: Target) -> tuple[Tensor, Any]:
    """Both, in the prediction's dtype, after a look at their shapes.

    The target is an array, or a Tensor if it came as one: gradients flow into it, too.
    """
    x = floating(prediction)
    if isinstance(target, Tensor):
        target = target if target.dtype == x.dtype else target.astype(x.dtype)
    else:
        target = as_array(target, None if hasattr(target, "dtype") else x.dtype, copy=False)
        target = target.astype(x.dtype, copy=False)
    if target.shape != x.shape:
        raise ValueError(
            f"{name}: prediction has shape {x.shape}, target {target.shape}; they "
            "must be equal. Reshape one, for instance prediction.squeeze(-1) or target[:, None]."
        )
    return x, target


def constant(name: str, target: Target) -> Array:
    """The array of a target that has no gradient: labels, or what stands for them."""
    if type(target) is np.ndarray:
        return target
    if isinstance(target, Tensor) and target.requires_grad:
        raise ValueError(f"{name}: the target wants a gradient; pass target.detach().")
    if isinstance(target, np.ma.MaskedArray):
        raise TypeError(f"{name}: a masked target would lose its mask; use target.filled(value).")
    return np.asarray(plain(target))


def onehot(name: str, labels: Array, prediction: Tensor) -> Array:
    """1 for the class of the label, 0 for others: (..., classes), after a look at the labels."""
    shape, classes = prediction.shape, prediction.shape[-1]
    if labels.shape != shape[:-1]:
        raise ValueError(
            f"{name}: prediction {shape}, target {labels.shape}: give labels {shape[:-1]}, one per "
            "example."
        )
    if labels.size == 0:
        raise ValueError(f"{name}: prediction {shape}: the batch is empty.")
    if labels.dtype.kind not in "iu":
        raise TypeError(
            f"{name}: labels of dtype {labels.dtype}; give whole numbers, labels.astype(int)."
        )
    wrong = (labels < 0) | (labels >= classes)
    refuse_where(wrong, name, "label", labels, f"is not in 0..{classes - 1}.")
    return (labels[..., None] == np.arange(classes)).astype(prediction.dtype)


def refuse_where(wrong: Any, name: str, what: str, values: Array, remedy: str) -> None:
    """ValueError with the first of the values that are wrong, and its position."""
    if np.any(wrong):
        where = np.argwhere(wrong)[0].tolist()
        raise ValueError(f"{name}: {what} {values[tuple(where)]} at {where} {remedy}")


# ---------------------------------------------------------------- what goes out


def reduced(name: str, each: Tensor, reduction: str, target: Any = None) -> Tensor:
    """The mean, the sum or all of them; a nan is looked for in the target, if that is given."""
    if reduction == "none":
        loss = each
    elif reduction == "sum":
        loss = each.sum()
    elif reduction != "mean":
        raise ValueError(f"{name}: reduction={reduction!r}; it is 'mean', 'sum' or 'none'.")
    elif each.size == 0:
        raise ValueError(f"{name}: the mean of a loss of shape {each.shape}: the batch is empty.")
    else:
        loss = each.mean()
    if target is not None and np.isnan(loss.data).any():  # looked for only then
        values = plain(target)
        refuse_where(np.isnan(values), name, "target is", values, "; clean the data first.")
    return loss


def counted(share: Any, log_p: Tensor) -> Tensor:
    """share log_p, where 0 times -inf is 0: what cannot happen, and does not, costs nothing."""
    idle = plain(share) == 0
    if isinstance(share, Tensor):  # it may want a gradient, which is log_p
        idle = idle & np.isneginf(log_p.data)
    return ops.where(idle, 0, log_p) * share


# ---------------------------------------------------------------- what was before


def source(prediction: Tensor, op: Op) -> Tensor | None:
    """What `op` made the prediction of, along the last axis; None if that is not known.

    None, too, for a prediction whose own gradient somebody waits for, and for a source that has
    changed since.
    """
    if prediction.op is not op or not prediction.inputs:
        return None
    (x,), axis = prediction.inputs, prediction._args[1:]
    if axis not in ((), (-1,), (x.ndim - 1,)) or x._written > prediction._birth:
        return None
    return None if prediction._retains or prediction._hooks else x


def warn_if_made_by(op: Op, prediction: Any, name: str) -> None:
    """Warn, at the user's own line, of probabilities where logits should be."""
    if not isinstance(prediction, Tensor) or prediction.op is not op:
        return
    warnings.warn(
        f"{name} takes logits and applies {op.name} itself; drop the {op.name} before it.",
        stacklevel=users_level(),
    )
