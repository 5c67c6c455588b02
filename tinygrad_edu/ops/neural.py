"""What networks are made of: affine maps, losses of scores, tables, dropout, attention.

Most could be put together from the ops before. Each is one op here where that is faster, safer from
overflow or clearer to look at; its docstring says what it equals, and a test holds it to that.
Normalising, convolutions and recurrent networks have rooms of their own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.ops.arithmetic import multiply
from tinygrad_edu.ops.linalg import rows_of
from tinygrad_edu.ops.reductions import safe_exp, total
from tinygrad_edu.ops.shaping import scatter
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "linear", "softmax_cross_entropy", "embedding", "dropout", "scaled_dot_product_attention",
    "mixture", "masked_softmax",
]  # fmt: skip


# ---------------------------------------------------------------- an affine map


@differentiable
def linear(x, weight, bias=None):
    """z = x @ weight + bias
    dx = g @ weight.T        dweight = x.T @ g        dbias = sum of g over the rows

    Equals `x @ weight + bias`, in one step: x (..., inputs), weight (inputs, outputs), bias
    (outputs,). The leading axes of x together are the rows.
    """
    if x.ndim != 2 or weight.ndim != 2:
        return _linear_of_stacks(x, weight, bias)
    if bias is not None and bias.shape != weight.shape[1:]:
        raise _unfit_bias(weight, bias)
    try:
        z = np.dot(x, weight)  # the same product as @, a little quicker to call
    except ValueError:
        raise _unequal(x, weight) from None
    if bias is not None:
        z = z + bias

    def dbias(g):
        return np.dot(np.ones(len(g), g.dtype), g)  # the sum over rows, the quick way

    return z, lambda g: np.dot(g, weight.T), lambda g: np.dot(x.T, g), dbias


def _linear_of_stacks(x, weight, bias):
    """linear for an x of any axes: of its rows, and then back in shape."""
    if weight.ndim != 2 or x.shape[-1:] != weight.shape[:1]:
        raise _unequal(x, weight)
    z, dx, dweight, dbias = linear.op.rule(rows_of(x), weight, bias)
    return (
        z.reshape((*x.shape[:-1], weight.shape[1])),
        lambda g: dx(rows_of(g)).reshape(x.shape),
        lambda g: dweight(rows_of(g)),
        lambda g: dbias(rows_of(g)),
    )


def _unequal(x, weight):
    """The error where x does not fit the weight."""
    shapes = f"linear: x {x.shape}, weight {weight.shape}: "
    if weight.ndim != 2 or x.ndim == 0:
        return ValueError(f"{shapes}make x (..., inputs) and weight (inputs, outputs).")
    remedy = f"Make the weight ({x.shape[-1]}, {weight.shape[1]}), or change the size of x."
    if x.ndim == 1 and weight.shape[0] == 1:
        remedy = "One number is one example: x.reshape(-1, 1) puts each into a row."
    if x.shape[-1] == weight.shape[1]:
        remedy = "The weight is (inputs, outputs): did you mean weight.T?"
    return ValueError(f"{shapes}{x.shape[-1]} != {weight.shape[0]}. {remedy}")


def _unfit_bias(weight, bias):
    return ValueError(
        f"linear: weight {weight.shape}, bias {bias.shape}: make the bias {weight.shape[1:]}, one "
        "number per output."
    )


# ---------------------------------------------------------------- the loss of scores


@differentiable
def softmax_cross_entropy(logits, labels, weights=None):
    """z = sum of weights_i * (log(sum of e^logits_i) - logits_i[labels_i])
    dlogits_i = g * weights_i * (softmax(logits_i) - onehot(labels_i))

    Equals `-(weights * log_softmax(logits)[range(n), labels]).sum()`, in one step. `weights` has
    one number per example; left out, each is 1/n, so z is the mean. An example of weight 0 is left
    out, even where its loss is inf.

    `labels` are whole numbers from 0, in the shape of logits without its last axis; or
    probabilities in the shape of logits, which take the place of the onehot: then the loss of an
    example is -sum of p_k log_softmax(logits)_k. Labels and weights have no gradient.
    """
    target, sums = wished(np.asarray(labels), logits)
    with np.errstate(invalid="ignore", over="ignore"):  # of nothing but -inf, or of +inf, it is nan
        shifted = logits - plain(logits).max(axis=-1, keepdims=True)  # so exp never overflows
        e = np.exp(shifted)
        total = e.sum(axis=-1, keepdims=True)
        if sums is None:
            losses = np.log(total).reshape(-1) - shifted[target]
        else:
            log_p = shifted - np.log(total)
            losses = np.where(target == 0, 0, -target * log_p).sum(axis=-1)  # 0 log 0 is 0
        if weights is None:
            scale = 1 / losses.size
            z = losses.sum() * scale
        else:
            weights = _one_each(weights, logits)
            scale = weights[..., None]
            z = np.where(weights == 0, 0, weights * losses.reshape(weights.shape)).sum()

    def dlogits(g):
        p = e / total if sums is None else e / total * sums
        return g * scale * (p - target)

    return z, dlogits


def wished(labels: Array, logits: Any) -> tuple[Array, Any]:
    """The probabilities that labels wish for, and their sums: bools and None for certainties."""
    if labels.shape == logits.shape[:-1] and labels.dtype.kind in "iu" and labels.size:
        onehot = labels[..., None] == np.arange(logits.shape[-1])
        if np.count_nonzero(onehot) == labels.size:  # less if a label is none of the classes
            return onehot, None
    elif (
        labels.shape == logits.shape and labels.size and ((labels >= 0) & (labels <= 1)).all()
    ):  # no nan
        target = labels.astype(logits.dtype)
        return target, target.sum(axis=-1, keepdims=True)
    raise _refused(labels, logits.shape)


def _one_each(weights, logits):
    """The weights as an array, one per example."""
    weights = np.asarray(weights, dtype=logits.dtype)
    if weights.shape != logits.shape[:-1]:
        raise ValueError(
            f"softmax_cross_entropy: logits {logits.shape}, weights {weights.shape}: give one "
            f"weight per example, {logits.shape[:-1]}."
        )
    return weights


def _refused(labels, shape):
    """What is wrong with the labels of logits of that shape."""
    op, classes = "softmax_cross_entropy", shape[-1]
    if labels.shape not in (shape[:-1], shape):
        return ValueError(
            f"{op}: logits {shape}, labels {labels.shape}: give labels {shape[:-1]}, one per "
            f"example, or probabilities {shape}."
        )
    if labels.size == 0:
        return ValueError(f"{op}: logits {shape}: the mean loss of no examples; give at least one.")
    if labels.shape == shape:
        return ValueError(
            f"{op}: probability {_first(labels, ~((labels >= 0) & (labels <= 1)))}; give numbers "
            "from 0 to 1."
        )
    if labels.dtype.kind in "iu":
        wrong = _first(labels, (labels < 0) | (labels >= classes))
        return ValueError(f"{op}: label {wrong} is not in 0..{classes - 1}.")
    odd = labels != np.floor(labels) if labels.dtype.kind == "f" else np.zeros(labels.shape, bool)
    return TypeError(
        f"{op}: label {_first(labels, odd)} is of dtype {labels.dtype}; give whole numbers "
        f"(labels.astype(int)), or probabilities {shape}."
    )


def _first(x, wrong):
    """The first entry that is wrong, and where, for a message."""
    where = np.unravel_index(np.argmax(wrong), x.shape)
    position = ", ".join(map(str, where))
    return f"{x[where]} at position {position if len(where) < 2 else f'({position})'}"


# ---------------------------------------------------------------- rows of a table


@differentiable
def embedding(indices, weight):
    """z = weight[indices]        dweight = zeros, with g added at the rows [indices]

    indices are whole numbers from 0, in any shape; weight is (rows, ...), one row for each index.
    A row that is used several times gets the sum of its gradients.
    """
    indices = np.asarray(indices)
    if indices.size == 0:
        indices = indices.astype(int)
    if indices.dtype.kind not in "iu":
        raise TypeError(
            f"embedding: indices of dtype {indices.dtype}; give whole numbers, indices.astype(int)."
        )
    rows = len(weight)
    if indices.size and not (indices.min() >= 0 and indices.max() < rows):
        wrong = _first(indices, (indices < 0) | (indices >= rows))
        raise ValueError(f"embedding: index {wrong} is not in 0..{rows - 1}.")
    return weight[indices], None, lambda g: scatter.value(g, (indices,), weight.shape)


# ---------------------------------------------------------------- chance


def dropout(x: Tensor | Array, rate: float = 0.5, training: bool = True, rng: Rng = None) -> Tensor:
    """x with each entry set to 0 with probability `rate`, the others times 1 / (1 - rate).

    So the expected value stays x, and nothing is left to do when not `training`: then x comes back.
    The mask is drawn from `rng` here, and multiplied: to the chain rule it is a constant.
    Srivastava et al. 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    >>> dropout(Tensor([1.0, 2.0, 3.0, 4.0]), rate=0.5, rng=0)
    Tensor([2., 4., 6., 0.])
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate={rate}; give a share from 0 up to, not including, 1.")
    x = x if isinstance(x, Tensor) else Tensor(x)
    if not training or rate == 0:
        return x
    kept = as_generator(rng).random(x.shape, dtype=np.float32) >= rate
    return multiply(x, Tensor(np.multiply(kept, 1 / (1 - rate), dtype=x.dtype), copy=False))


# ---------------------------------------------------------------- attention


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, mask: Any = None, causal: bool = False
) -> Tensor:
    """Mixtures of values: softmax(query key^T / sqrt(d)) value.

    Each query asks every key how well they fit, and gets the values in that proportion. query is
    (..., n, d), key (..., m, d), value (..., m, e), the result (..., n, e); leading axes broadcast.

    `mask`, of bools, broadcasts to (..., n, m): True where a query may look. With `causal=True`
    query i looks at keys 0..i only. A query with nothing to look at gives 0, and has gradient 0.
    Vaswani et al. 2017, "Attention is all you need".

    >>> x = Tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> scaled_dot_product_attention(x, x, x, causal=True).round(4)
    Tensor([[1.    , 0.    ],
            [0.3302, 0.6698]])
    """
    n, m = _lengths(query, key, value)
    scores = (query / math.sqrt(query.shape[-1])) @ key.mT
    if mask is not None:
        mask = _bools(mask)
    if causal:
        past = np.tri(n, m, dtype=bool)
        mask = past if mask is None else mask & past
    return mixture(scores, value, mask)


@differentiable
def mixture(scores, value, mask=None):
    """z = softmax(scores where mask) @ value
    dscores = p * (g @ value.T - sum of g * z), p = softmax(scores where mask)
    dvalue = softmax(scores where mask).T @ g

    p = softmax(scores) where mask, else 0. Equals `masked_softmax(scores, mask) @ value`, in fewer
    passes over the scores: not e is divided by its sums but what is made of it, which is shorter.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # with a +inf, it is nan
        e = safe_exp(scores, -1, mask)
        r = 1 / _or_1(total(e, (e.ndim - 1,)))
        z = (e @ value) * r

    def dscores(g):
        gr = g * r
        d = gr @ value.mT
        d -= total(gr * z, (z.ndim - 1,))  # d is ours: nobody else has seen it
        d *= e
        return d

    return z, dscores, lambda g: e.mT @ (g * r)


@differentiable
def masked_softmax(x, mask):
    """z_i = e^x_i / (sum of e^x_j where mask_j) where mask_i, else 0
    dx_i = z_i * (g_i - sum of g_j * z_j)

    Along the last axis. Where nothing is allowed all z are 0, and so is the gradient.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # with a +inf, it is nan
        e = safe_exp(x, -1, np.asarray(mask))
        last = (e.ndim - 1,)
        z = e / _or_1(total(e, last))
    return z, lambda g: z * (g - total(g * z, last))


def _or_1(x):
    """x, with 1 for 0: where nothing is allowed the sum is 0, and so is what it divides."""
    return np.where(x == 0, 1, x)


def _lengths(query, key, value):
    """How many queries and how many keys there are."""
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ValueError(f"scaled_dot_product_attention: {shapes}: give each (..., length, size).")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ValueError(
            f"scaled_dot_product_attention: {shapes}: query and key need one size (last axis), "
            "key and value one length (the axis before)."
        )
    return query.shape[-2], key.shape[-2]


def _bools(mask):
    mask = np.asarray(plain(mask))
    if mask.dtype != bool:
        raise TypeError(
            f"scaled_dot_product_attention: a mask of dtype {mask.dtype}; give bools, True where a "
            "query may look: mask.astype(bool) or mask > 0."
        )
    return mask
