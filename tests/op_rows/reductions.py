"""Rows of reductions: every one along no axis, one, several, with the axes kept and dropped."""

from __future__ import annotations

import numpy as np

from tests.op_rows import Row

ZEROS = (
    np.array([2.0, 0.0, 3.0]),
    np.array([[0.0, 2.0, 0.0], [1.5, -1.0, 0.5], [0.0, 0.0, 0.0]]),
)
SEQUENCE = np.array([[3.0, -1.0, 2.0, 0.5], [0.1, 4.0, -2.0, 1.0]])
AXES = (
    ((), None), ((4,), None), ((4,), 0), ((2, 3), None), ((2, 3), 0), ((2, 3), -1), ((1, 3), 0),
    ((2, 3, 2), (0, 2)), ((2, 3, 2), (-1, 1)), ((2, 1, 3), (0, 1, 2)),
)  # fmt: skip


def _along(op, twin, torch=None, shapes=AXES, **options):
    """Rows of an op along each of the axes, kept and dropped."""

    def row(shape, axis, keepdims):
        kw = {"axis": axis, "keepdims": keepdims, **options}
        call = torch and (
            lambda t, x: torch(t, x, axis if axis is not None else tuple(range(x.ndim)), keepdims)
        )
        if torch and shape == ():
            call = None
        return Row(op, (shape,), lambda f, x: f(x, **kw), lambda x: twin(x, **kw), call)

    return [row(shape, axis, k) for shape, axis in shapes for k in (False, True)]


def _one_axis(op, twin, torch, axes=(((4,), 0), ((2, 3), 0), ((2, 3), -1), ((2, 1, 3), 1))):
    return [
        Row(op, (shape,), lambda f, x, a=a: f(x, axis=a), lambda x, a=a: twin(x, axis=a),
            lambda t, x, a=a: torch(t, x, a))
        for shape, a in axes
    ]  # fmt: skip


def _softmax(x, axis):
    e = np.exp(x)
    return e / e.sum(axis=axis, keepdims=True)


ROWS = [
    *_along("sum", np.sum, lambda t, x, a, k: t.sum(x, a, k)),
    *_along("mean", np.mean, lambda t, x, a, k: t.mean(x, a, k)),
    *_along("var", np.var, lambda t, x, a, k: t.var(x, a, correction=0, keepdim=k)),
    *_along("var", np.var, lambda t, x, a, k: t.var(x, a, correction=1, keepdim=k), AXES[3:], ddof=1)[:6],
    *_along("std", np.std, lambda t, x, a, k: t.std(x, a, correction=0, keepdim=k), AXES[3:6]),
    *_along("std", np.std, lambda t, x, a, k: t.std(x, a, correction=0, keepdim=k), AXES[7:]),
    *_along("std", np.std, lambda t, x, a, k: t.std(x, a, correction=1, keepdim=k), AXES[3:], ddof=1)[:6],
    *_along("euclidean_norm", lambda x, axis, keepdims: np.sqrt((x * x).sum(axis=axis, keepdims=keepdims)),
            lambda t, x, a, k: t.linalg.vector_norm(x, 2, a, k)),
    *_along("norm", lambda x, axis, keepdims, ord: np.abs(x).sum(axis=axis, keepdims=keepdims),
            lambda t, x, a, k: t.linalg.vector_norm(x, 1, a, k), ord=1),
    *_along("norm", lambda x, axis, keepdims, ord: np.abs(x).max(axis=axis, keepdims=keepdims),
            lambda t, x, a, k: t.linalg.vector_norm(x, float("inf"), a, k), ord=np.inf),
    *_along("norm", lambda x, axis, keepdims, ord: (np.abs(x) ** 3).sum(axis=axis, keepdims=keepdims) ** (1 / 3),
            lambda t, x, a, k: t.linalg.vector_norm(x, 3, a, k), ord=3),
    Row("norm", ((2, 3),), numpy=np.linalg.norm, torch=lambda t, x: t.linalg.norm(x)),
    *_along("prod", np.prod),
    *[Row("prod", (x,), torch=lambda t, x: t.prod(x)) for x in ZEROS],
    *[Row("prod", (ZEROS[1],), lambda f, x, a=a: f(x, axis=a), lambda x, a=a: np.prod(x, axis=a),
          lambda t, x, a=a: t.prod(x, a)) for a in (0, 1)],
    *_along("max", np.max, lambda t, x, a, k: t.amax(x, a, k)),
    *_along("min", np.min, lambda t, x, a, k: t.amin(x, a, k)),
    *_along("median", np.median),
    *_one_axis("sort", np.sort, lambda t, x, a: t.sort(x, a).values),
    Row("sort", (SEQUENCE,), lambda f, x: f(x, axis=None), lambda x: np.sort(x, axis=None)),
    *_one_axis("cumsum", np.cumsum, lambda t, x, a: t.cumsum(x, a)),
    Row("cumsum", ((2, 3),), torch=lambda t, x: t.cumsum(x.reshape(-1), 0)),
    *_one_axis("cumprod", np.cumprod, lambda t, x, a: t.cumprod(x, a)),
    *[Row("cumprod", (x,), torch=lambda t, x: t.cumprod(x.reshape(-1), 0)) for x in ZEROS],
    *[Row("cumprod", (ZEROS[1],), lambda f, x, a=a: f(x, axis=a), lambda x, a=a: np.cumprod(x, axis=a),
          lambda t, x, a=a: t.cumprod(x, a)) for a in (0, 1)],
    *_along("logsumexp", lambda x, axis, keepdims: np.log(np.exp(x).sum(axis=axis, keepdims=keepdims)),
            lambda t, x, a, k: t.logsumexp(x, a, k)),
    Row("logsumexp", (np.array([1e4, 9999.0, -1e4]),), numpy=lambda x: np.float64(1e4 + np.log1p(np.exp(-1))),
        torch=lambda t, x: t.logsumexp(x, 0)),
    *_one_axis("softmax", _softmax, lambda t, x, a: t.softmax(x, a)),
    Row("softmax", (np.array([1e4, 9999.0, -1e4]),), numpy=lambda x: _softmax(np.array([0.0, -1.0, -2e4]), 0),
        torch=lambda t, x: t.softmax(x, 0)),
    Row("softmax", ((2, 3, 2),), lambda f, x: f(x, (0, 2)), lambda x: np.exp(x) / np.exp(x).sum((0, 2), keepdims=True)),
    *_one_axis("log_softmax", lambda x, axis: np.log(_softmax(x, axis)), lambda t, x, a: t.log_softmax(x, a)),
    Row("log_softmax", (np.array([1e4, 9999.0, -1e4]),),
        numpy=lambda x: np.array([0.0, -1.0, -2e4]) - np.log1p(np.exp(-1)),
        torch=lambda t, x: t.log_softmax(x, 0)),
]  # fmt: skip
