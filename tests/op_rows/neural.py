"""Rows for `ops/neural.py` and `ops/convolution.py`, and their slow, obvious twins."""

from __future__ import annotations

import math

import numpy as np

from tests.op_rows import Row

LABELS = np.array([1, 0, 2, 2])
WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0])
MIXED = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.1, 0.1, 0.3]])
FAR = np.array([[1e4, -1e4, 0.0], [-1e4, 5.0, 1e4], [3.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
SHUT = np.array([[1.0, -math.inf, 0.5], [0.2, 0.3, -0.4]])
INDICES = np.array([[2, 0, 2], [4, 4, 4]])
LOOK = np.array([[True, False, True], [False, False, False]])  # the second looks at nothing


# ---------------------------------------------------------------- twins: one number at a time


def affine(x, weight, bias=0.0):
    return np.einsum("...i,io->...o", x, weight) + bias


def cross_entropy(logits, labels, weights=None):
    """Example by example: minus the log of the probability of what is right."""
    rows = logits.reshape(-1, logits.shape[-1])
    onehot = np.eye(rows.shape[1])
    right = labels.reshape(rows.shape) if labels.ndim == logits.ndim else onehot[labels.ravel()]
    weights = np.full(len(rows), 1 / len(rows)) if weights is None else weights.ravel()
    total = 0.0
    for row, p, weight in zip(rows, right, weights, strict=True):
        logsumexp = row.max() + math.log(sum(math.exp(x - row.max()) for x in row))
        total += weight * sum(p[k] * (logsumexp - row[k]) for k in range(len(row)) if p[k])
    return np.array(total)


def normalized(x, axis, epsilon=1e-5):
    mean, variance = x.mean(axis=axis, keepdims=True), x.var(axis=axis, keepdims=True)
    return (x - mean) / np.sqrt(variance + epsilon)


def sized(x, axis, epsilon=1e-6):
    return x / np.sqrt((x * x).mean(axis=axis, keepdims=True) + epsilon)


def softmax(x, mask=True):
    e = np.where(mask, np.exp(np.where(mask, x, 0)), 0)
    total = e.sum(axis=-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def attention(query, key, value, mask=True):
    scores = np.einsum("...id,...jd->...ij", query, key) / math.sqrt(query.shape[-1])
    return np.einsum("...ij,...je->...ie", softmax(scores, mask), value)


def padded(x, padding, fill=0.0):
    return np.pad(x, ((0, 0), (0, 0), *padding), constant_values=fill)


def seen(x, size, stride=None, dilation=None, padding=None, fill=0.0):
    """Every window, one number at a time: (batch, channels, *size, *positions)."""
    n = len(size)
    stride, dilation = stride or (1,) * n, dilation or (1,) * n
    x = padded(x, padding or ((0, 0),) * n, fill)
    steps = range(n)
    free = [x.shape[2 + i] - dilation[i] * (size[i] - 1) - 1 for i in steps]
    positions = [free[i] // stride[i] + 1 for i in steps]
    z = np.empty((*x.shape[:2], *size, *positions))
    for at in np.ndindex(z.shape):
        k, p = at[2 : 2 + n], at[2 + n :]
        z[at] = x[(*at[:2], *(stride[i] * p[i] + dilation[i] * k[i] for i in steps))]
    return z


def folded(x, space, size, stride=None, dilation=None, padding=None):
    """The adjoint of `seen`, by asking it where every single number goes."""
    z = np.zeros((*x.shape[:2], *space))
    for i in np.ndindex(z.shape):
        one = np.zeros(z.shape)
        one[i] = 1
        z[i] = (x * seen(one, size, stride, dilation, padding)).sum()
    return z


def convolved(x, weight, bias=None, stride=None, padding=None, dilation=None, groups=1):
    """Every output is the sum of what one window sees, times the kernel."""
    n = weight.ndim - 2
    windows = seen(x, weight.shape[2:], stride, dilation, padding)
    positions = windows.shape[2 + n :]
    z = np.zeros((len(x), len(weight), *positions))
    outputs, channels = len(weight) // groups, weight.shape[1]
    for at in np.ndindex(z.shape):
        example, output, p = at[0], at[1], at[2:]
        first = output // outputs * channels
        window = windows[(example, slice(first, first + channels), *(slice(None),) * n, *p)]
        z[at] = (window * weight[output]).sum() + (0 if bias is None else bias[output])
    return z


def pooled(reduce, x, size, stride=None, padding=None, fill=0.0):
    return reduce(seen(x, size, stride or size, None, padding, fill), axis=(2, 3))


def thinned(x, rate):
    """Dropout with the mask of seed 0."""
    return x * (np.random.default_rng(0).random(x.shape, dtype=np.float32) >= rate) / (1 - rate)


# ---------------------------------------------------------------- what torch calls them


def torch_cross_entropy(torch, logits, labels, weights=None):
    labels = torch.tensor(labels)
    if weights is None:
        return torch.nn.functional.cross_entropy(logits, labels)
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return (losses * torch.tensor(weights)).sum()


def torch_batch_norm(torch, x, scale=None, shift=None):
    return torch.nn.functional.batch_norm(x, None, None, scale, shift, training=True)


def torch_attention(torch, query, key, value, **options):
    return torch.nn.functional.scaled_dot_product_attention(query, key, value, **options)


ROWS: list[Row] = [
    # ------------------------------------------------------------ linear
    Row(
        "linear", ((4, 3), (3, 2), (2,)),
        numpy=affine, torch=lambda t, x, w, b: t.nn.functional.linear(x, w.T, b),
    ),
    Row(
        "linear", ((4, 3), (3, 2)),
        numpy=affine, torch=lambda t, x, w: t.nn.functional.linear(x, w.T),
    ),
    Row(
        "linear", ((2, 2, 3), (3, 2), (2,)),
        numpy=affine, torch=lambda t, x, w, b: t.nn.functional.linear(x, w.T, b),
    ),
    Row("linear", ((2, 2, 3), (3, 2)), numpy=affine),
    Row("linear", ((3,), (3, 2), (2,)), numpy=affine, note="one example"),
    Row("linear", ((0, 3), (3, 2), (2,)), numpy=affine, note="no example"),
    Row("linear", ((1, 1), (1, 1), (1,)), numpy=affine),
    # ------------------------------------------------------------ softmax_cross_entropy
    Row(
        "softmax_cross_entropy", ((4, 3),),
        lambda f, x: f(x, LABELS),
        lambda x: cross_entropy(x, LABELS),
        lambda t, x: torch_cross_entropy(t, x, LABELS),
        order=3,
    ),
    Row(
        "softmax_cross_entropy", ((4, 3),),
        lambda f, x: f(x, LABELS, WEIGHTS),
        lambda x: cross_entropy(x, LABELS, WEIGHTS),
        lambda t, x: torch_cross_entropy(t, x, LABELS, WEIGHTS),
    ),
    Row(
        "softmax_cross_entropy", ((4, 3),),
        lambda f, x: f(x, MIXED),
        lambda x: cross_entropy(x, MIXED),
        lambda t, x: torch_cross_entropy(t, x, MIXED),
        note="probabilities; the last do not sum to 1",
    ),
    Row(
        "softmax_cross_entropy", ((4, 3),),
        lambda f, x: f(x, MIXED, weights=WEIGHTS),
        lambda x: cross_entropy(x, MIXED, WEIGHTS),
        lambda t, x: torch_cross_entropy(t, x, MIXED, WEIGHTS),
    ),
    Row(
        "softmax_cross_entropy", (FAR,),
        lambda f, x: f(x, LABELS),
        lambda x: cross_entropy(x, LABELS),
        lambda t, x: torch_cross_entropy(t, x, LABELS),
        note="saturated: exp would overflow unshifted",
    ),
    Row(
        "softmax_cross_entropy", ((3,),),
        lambda f, x: f(x, 2),
        lambda x: cross_entropy(x, np.array(2)),
        lambda t, x: torch_cross_entropy(t, x, 2),
        note="one example",
    ),
    Row(
        "softmax_cross_entropy", ((2, 2, 3),),
        lambda f, x: f(x, [[0, 1], [2, 2]]),
        lambda x: cross_entropy(x, np.array([[0, 1], [2, 2]])),
        note="more axes",
    ),
    # ------------------------------------------------------------ embedding
    Row(
        "embedding", ((5, 3),),
        lambda f, w: f(INDICES, w),
        lambda w: w[INDICES],
        lambda t, w: t.nn.functional.embedding(t.tensor(INDICES), w),
        note="rows used never, once, twice, three times",
    ),
    Row("embedding", ((5,),), lambda f, w: f(INDICES, w), lambda w: w[INDICES]),
    Row("embedding", ((5, 2, 2),), lambda f, w: f([3, 3], w), lambda w: w[[3, 3]]),
    Row("embedding", ((5, 3),), lambda f, w: f(2, w), lambda w: w[2], note="one index"),
    Row("embedding", ((5, 3),), lambda f, w: f([], w), lambda w: w[:0], note="no index"),
    # ------------------------------------------------------------ normalising
    Row("normalize", ((3, 4),), numpy=lambda x: normalized(x, -1), order=3),
    Row("normalize", ((3, 4),), lambda f, x: f(x, axis=0), lambda x: normalized(x, 0)),
    Row("normalize", ((2, 3, 2),), lambda f, x: f(x, axis=(0, 2)), lambda x: normalized(x, (0, 2))),
    Row("normalize", ((3,),), lambda f, x: f(x, epsilon=1.0), lambda x: normalized(x, -1, 1.0)),
    Row(
        "normalize", ((3, 4), (4,), (4,)),
        lambda f, x, a, b: f(x, a, b),
        lambda x, a, b: a * normalized(x, -1) + b,
    ),
    Row(
        "normalize", ((2, 3, 2), (3, 1), (2, 1, 1)),
        lambda f, x, a, b: f(x, a, b, axis=0),
        lambda x, a, b: a * normalized(x, 0) + b,
        note="scale and shift each along axes of their own",
    ),
    Row(
        "normalize", ((2, 3, 2), (1, 1, 1)),
        lambda f, x, b: f(x, shift=b, axis=1),
        lambda x, b: normalized(x, 1) + b,
        note="an axis in the middle",
    ),
    Row(
        "layer_norm", ((3, 4), (4,), (4,)),
        numpy=lambda x, a, b: a * normalized(x, -1) + b,
        torch=lambda t, x, a, b: t.nn.functional.layer_norm(x, (4,), a, b),
    ),
    Row(
        "layer_norm", ((2, 3, 2), (3, 2), (3, 2)),
        lambda f, x, a, b: f(x, a, b, axis=(1, 2)),
        lambda x, a, b: a * normalized(x, (1, 2)) + b,
        lambda t, x, a, b: t.nn.functional.layer_norm(x, (3, 2), a, b),
    ),
    Row(
        "layer_norm", ((2, 3, 2), (3,)),
        lambda f, x, a: f(x, scale=a, axis=1, epsilon=0.1),
        lambda x, a: a[:, None] * normalized(x, 1, 0.1),
        note="an axis that is not the last",
    ),
    Row("layer_norm", ((3, 4),), numpy=lambda x: normalized(x, -1)),
    Row(
        "rms_norm", ((3, 4), (4,)),
        numpy=lambda x, a: a * sized(x, -1),
        torch=lambda t, x, a: t.nn.functional.rms_norm(x, (4,), a, 1e-6),
    ),
    Row(
        "rms_norm", ((2, 3, 2), (3, 2)),
        lambda f, x, a: f(x, a, axis=(1, 2), epsilon=0.1),
        lambda x, a: a * sized(x, (1, 2), 0.1),
        lambda t, x, a: t.nn.functional.rms_norm(x, (3, 2), a, 0.1),
    ),
    Row(
        "rms_norm", ((2, 3, 2), (3,)),
        lambda f, x, a: f(x, scale=a, axis=1),
        lambda x, a: a[:, None] * sized(x, 1),
        note="an axis that is not the last",
    ),
    Row("rms_norm", ((3, 4),), numpy=lambda x: sized(x, -1), order=3),
    Row(
        "batch_norm", ((4, 3), (3,), (3,)),
        numpy=lambda x, a, b: a * normalized(x, 0) + b,
        torch=torch_batch_norm,
    ),
    Row(
        "batch_norm", ((2, 2, 2, 1), (2,), (2,)),
        numpy=lambda x, a, b: a[:, None, None] * normalized(x, (0, 2, 3)) + b[:, None, None],
        torch=torch_batch_norm,
    ),
    Row(
        "batch_norm", ((2, 3, 2), (2,)),
        lambda f, x, b: f(x, shift=b, axis=(0, 1), epsilon=0.1),
        lambda x, b: normalized(x, (0, 1), 0.1) + b,
        note="channels last",
    ),
    Row("batch_norm", ((4, 3),), numpy=lambda x: normalized(x, 0), torch=torch_batch_norm),
    # ------------------------------------------------------------ dropout
    Row("dropout", ((3, 4),), lambda f, x: f(x, 0.5, rng=0), lambda x: thinned(x, 0.5)),
    Row("dropout", ((3, 4),), lambda f, x: f(x, rate=0.2, rng=0), lambda x: thinned(x, 0.2)),
    Row("dropout", ((3,),), lambda f, x: f(x, training=False), lambda x: x),
    Row("dropout", ((3,),), lambda f, x: f(x, 0.0), lambda x: x),
    # ------------------------------------------------------------ attention
    Row("masked_softmax", ((2, 3),), lambda f, x: f(x, LOOK), lambda x: softmax(x, LOOK)),
    Row(
        "masked_softmax", ((2, 3),),
        lambda f, x: f(x, [True, True, False]),
        lambda x: softmax(x, [True, True, False]),
        order=3,
    ),
    Row(
        "mixture", ((2, 3), (3, 2)),
        lambda f, x, v: f(x, v, LOOK),
        lambda x, v: softmax(x, LOOK) @ v,
    ),
    Row("mixture", ((2, 2, 3), (3, 2)), numpy=lambda x, v: softmax(x) @ v, order=3),
    Row(
        "mixture", (FAR[:3], (3, 1)),
        numpy=lambda x, v: softmax(x - x.max(axis=-1, keepdims=True)) @ v,
        note="saturated: exp would overflow unshifted",
    ),
    Row(
        "scaled_dot_product_attention", ((2, 3), (3, 3), (3, 2)),
        numpy=attention, torch=torch_attention,
    ),
    Row(
        "scaled_dot_product_attention", ((3, 2), (3, 2), (3, 2)),
        lambda f, q, k, v: f(q, k, v, causal=True),
        lambda q, k, v: attention(q, k, v, np.tri(3, dtype=bool)),
        lambda t, q, k, v: torch_attention(t, q, k, v, is_causal=True),
    ),
    Row(
        "scaled_dot_product_attention", ((2, 2), (3, 2), (3, 1)),
        lambda f, q, k, v: f(q, k, v, mask=LOOK),
        lambda q, k, v: attention(q, k, v, LOOK),
        note="the second query has nothing to look at: 0, and gradient 0",
    ),
    Row(
        "scaled_dot_product_attention", ((2, 1, 2, 2), (2, 3, 2), (2, 3, 1)),
        lambda f, q, k, v: f(q, k, v, LOOK, True),
        lambda q, k, v: attention(q, k, v, LOOK & np.tri(2, 3, dtype=bool)),
        note="batches broadcast; mask and causal together",
    ),
    # ------------------------------------------------------------ windows
    Row("windows", ((1, 2, 4),), lambda f, x: f(x, 2), lambda x: seen(x, (2,))),
    Row(
        "windows", ((1, 1, 3, 4),),
        lambda f, x: f(x, 2, 1, 1, 1),
        lambda x: seen(x, (2, 2), padding=((1, 1), (1, 1))),
    ),
    Row(
        "windows", ((2, 1, 6),),
        lambda f, x: f(x, 2, 2, 3, ((0, 2),), -1.0),
        lambda x: seen(x, (2,), (2,), (3,), ((0, 2),), -1.0),
    ),
    Row(
        "fold", ((1, 1, 2, 2, 2, 3),),
        lambda f, x: f(x, (3, 4)),
        lambda x: folded(x, (3, 4), (2, 2)),
    ),
    Row(
        "fold", ((1, 2, 2, 3),),
        lambda f, x: f(x, (6,), 2, 3, ((0, 2),)),
        lambda x: folded(x, (6,), (2,), (2,), (3,), ((0, 2),)),
    ),
    # ------------------------------------------------------------ convolution
    Row(
        "conv1d", ((2, 2, 4), (3, 2, 2), (3,)),
        numpy=convolved, torch=lambda t, x, w, b: t.nn.functional.conv1d(x, w, b),
    ),
    Row(
        "conv1d", ((1, 2, 6), (2, 1, 2)),
        lambda f, x, w: f(x, w, stride=2, padding=1, dilation=2, groups=2),
        lambda x, w: convolved(x, w, None, (2,), ((1, 1),), (2,), 2),
        lambda t, x, w: t.nn.functional.conv1d(x, w, None, 2, 1, 2, 2),
    ),
    Row(
        "conv1d", ((1, 1, 4), (1, 1, 2)),
        lambda f, x, w: f(x, w, padding="same"),
        lambda x, w: convolved(x, w, padding=((0, 1),)),
        lambda t, x, w: t.nn.functional.conv1d(t.nn.functional.pad(x, (0, 1)), w),
        note="an odd place goes to the end",
    ),
    Row(
        "conv2d", ((2, 2, 3, 3), (2, 2, 2, 2), (2,)),
        numpy=convolved, torch=lambda t, x, w, b: t.nn.functional.conv2d(x, w, b),
    ),
    Row(
        "conv2d", ((1, 1, 4, 5), (1, 1, 3, 2)),
        lambda f, x, w: f(x, w, stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        lambda x, w: convolved(x, w, None, (2, 1), ((1, 1), (0, 0)), (1, 2)),
        lambda t, x, w: t.nn.functional.conv2d(x, w, None, (2, 1), (1, 0), (1, 2)),
    ),
    Row(
        "conv2d", ((1, 1, 3, 3), (1, 1, 3, 2)),
        lambda f, x, w: f(x, w, padding="same", dilation=2),
        lambda x, w: convolved(x, w, None, None, ((2, 2), (1, 1)), (2, 2)),
        lambda t, x, w: t.nn.functional.conv2d(x, w, padding="same", dilation=2),
    ),
    Row(
        "conv2d", ((1, 4, 2, 2), (4, 2, 2, 2), (4,)),
        lambda f, x, w, b: f(x, w, b, groups=2, padding="valid"),
        lambda x, w, b: convolved(x, w, b, groups=2),
        lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, groups=2),
    ),
    Row(
        "conv2d", ((1, 1, 4, 4), (1, 1, 2, 2)),
        lambda f, x, w: f(x, w, stride=3),
        lambda x, w: convolved(x, w, stride=(3, 3)),
        lambda t, x, w: t.nn.functional.conv2d(x, w, stride=3),
        note="places that no window sees",
    ),
    Row("conv2d", ((0, 1, 3, 3), (1, 1, 2, 2), (1,)), numpy=convolved, note="no example"),
    Row("conv2d", ((1, 2, 2, 2), (2, 2, 1, 1)), numpy=convolved, note="a matrix per pixel"),
    # ------------------------------------------------------------ pooling
    Row(
        "max_pool2d", ((1, 2, 4, 4),),
        lambda f, x: f(x, 2),
        lambda x: pooled(np.max, x, (2, 2)),
        lambda t, x: t.nn.functional.max_pool2d(x, 2),
    ),
    Row(
        "max_pool2d", ((1, 1, 4, 5),),
        lambda f, x: f(x, (3, 2), stride=(1, 2), padding=1),
        lambda x: pooled(np.max, x, (3, 2), (1, 2), ((1, 1), (1, 1)), -math.inf),
        lambda t, x: t.nn.functional.max_pool2d(x, (3, 2), (1, 2), 1),
        note="windows overlap; padding is never largest",
    ),
    Row(
        "avg_pool2d", ((1, 2, 4, 4),),
        lambda f, x: f(x, 2),
        lambda x: pooled(np.mean, x, (2, 2)),
        lambda t, x: t.nn.functional.avg_pool2d(x, 2),
    ),
    Row(
        "avg_pool2d", ((1, 1, 4, 5),),
        lambda f, x: f(x, (3, 2), stride=(1, 2), padding=1),
        lambda x: pooled(np.mean, x, (3, 2), (1, 2), ((1, 1), (1, 1))),
        lambda t, x: t.nn.functional.avg_pool2d(x, (3, 2), (1, 2), 1),
        note="padding counts as zeros",
    ),
]  # fmt: skip
