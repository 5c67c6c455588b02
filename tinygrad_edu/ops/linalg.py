"""Linear algebra: products of matrices, and what can be asked of one matrix.

All of it works on stacks of matrices as well: the matrix is in the last two axes. `x.mT` is x with
those two exchanged, the transpose of every matrix in the stack.
"""

from __future__ import annotations

import math
from functools import partial
from string import ascii_letters
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.ops.arithmetic import multiply
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import Tensor, plain

__all__ = [
    "matmul", "dot", "inner", "outer", "tensordot", "einsum",
    "inv", "solve", "det", "cofactor", "logabsdet", "slogdet", "cholesky",
]  # fmt: skip


# ---------------------------------------------------------------- the product of matrices


@differentiable
def matmul(x, w):
    """z = x @ w        dx = g @ w.T        dw = x.T @ g

    A vector on the left is a row, on the right a column. Axes before the last two are a batch.
    """
    if type(x) in _BARE or type(w) in _BARE:
        x, w = _array(x), _array(w)
    try:
        z = x @ w if x.ndim < 3 or w.ndim != 2 else _by_rows(x, w)
    except ValueError:
        raise ValueError(f"matmul: {x.shape} @ {w.shape}: {_why_not(x, w)}") from None
    if x.ndim == 2 == w.ndim:
        return z, lambda g: g @ w.T, lambda g: x.T @ g
    if w.ndim == 2 < x.ndim:
        return z, lambda g: _by_rows(g, w.T), lambda g: rows_of(x).T @ rows_of(g)

    X = np.expand_dims(x, 0) if x.ndim == 1 else x
    W = np.expand_dims(w, 1) if w.ndim == 1 else w

    def G(g):
        g = np.expand_dims(g, -1) if w.ndim == 1 else g
        return np.expand_dims(g, -2) if x.ndim == 1 else g

    def dx(g):
        dX = G(g) @ W.mT
        return dX[..., 0, :] if x.ndim == 1 else dX

    def dw(g):
        dW = X.mT @ G(g)
        return dW[..., 0] if w.ndim == 1 else dW

    return z, dx, dw


def rows_of(x):
    """All rows of a stack of matrices in one matrix."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _by_rows(x, w):
    """x w for a stack of matrices x and one w: one large product is faster than many small."""
    return (rows_of(x) @ w).reshape(*x.shape[:-1], w.shape[1])


def _why_not(x, w):
    if not x.ndim or not w.ndim:
        return "a single number is no matrix. Did you mean x * w?"
    if _fits(x, w):
        return f"the batches {x.shape[:-2]} and {w.shape[:-2]} do not broadcast."
    T = "mT" if max(x.ndim, w.ndim) > 2 else "T"
    others = {f"x @ w.{T}": (x, _mT(w)), f"x.{T} @ w": (_mT(x), w), "w @ x": (w, x)}
    meant = [text for text, (a, b) in others.items() if _fits(a, b)]
    hint = f" Did you mean {meant[0]}?" if meant else ""
    return f"{x.shape[-1]} != {w.shape[-min(w.ndim, 2)]}.{hint}"


def _fits(x, w):
    return x.shape[-1] == w.shape[-min(w.ndim, 2)]


def _mT(x):
    return x.mT if x.ndim > 1 else x


_BARE = frozenset({list, tuple, int, float, bool})  # what may stand beside a Tensor


def _array(x):
    return np.asarray(x) if type(x) in _BARE else x


def _beside(x, y):
    """A bare number as an array in the dtype of what it stands beside."""
    return np.asarray(x, getattr(y, "dtype", None)) if type(x) in _BARE else x


# ---------------------------------------------------------------- other products


@differentiable
def dot(x, y):
    """z = x @ y        dx = g @ y.T        dy = x.T @ g

    Over the last axis of x and the last but one of y. Where y is a vector, over its only axis;
    where either is a number, the plain product.
    """
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return multiply.op.rule(x, y)
    x, y = _array(x), _array(y)
    z = _or_misfit("dot", np.dot, x, y)
    return z, *_contraction_pullbacks(x, y, [-1], [-2 if y.ndim > 1 else -1])


@differentiable
def inner(x, y):
    """z = x @ y.T        dx = g @ y        dy = g.T @ x

    Over the last axis of both. Where either is a number, the plain product.
    """
    if np.ndim(x) == 0 or np.ndim(y) == 0:
        return multiply.op.rule(x, y)
    x, y = _array(x), _array(y)
    return _or_misfit("inner", np.inner, x, y), *_contraction_pullbacks(x, y, [-1], [-1])


@differentiable
def outer(x, y):
    """z = x_i * y_j        dx = g @ y        dy = g.T @ x

    Every entry of x times every entry of y, both made flat.
    """
    x, y = _beside(x, y), _beside(y, x)
    u, v = np.reshape(x, -1), np.reshape(y, -1)
    return (
        np.outer(u, v),
        lambda g: np.reshape(g @ v, x.shape),
        lambda g: np.reshape(u @ g, y.shape),
    )


@differentiable
def tensordot(x, y, axes=2):
    """z = x times y, summed over what they share
    dx = g times y, summed over what y alone has
    dy = g times x, summed over what x alone has

    `axes` is a pair: axes of x (one or several), and the axes of y to line up with them. A number n
    means the last n of x with the first n of y.
    """
    x, y = _array(x), _array(y)
    if np.ndim(axes) == 0:
        over_x, over_y = range(-axes, 0), range(axes)
    else:
        over_x, over_y = (np.atleast_1d(a).tolist() for a in axes)
    z = _or_misfit("tensordot", partial(np.tensordot, axes=(over_x, over_y)), x, y)
    return z, *_contraction_pullbacks(x, y, over_x, over_y)


def _contraction_pullbacks(x, y, over_x, over_y):
    """Of z = the sum over pairs of axes; z has the free axes of x, then the free axes of y."""
    over_x = [axis % x.ndim for axis in over_x]
    over_y = [axis % y.ndim for axis in over_y]
    free_x = [axis for axis in range(x.ndim) if axis not in over_x]
    free_y = [axis for axis in range(y.ndim) if axis not in over_y]

    def dx(g):
        dX = np.tensordot(g, y, (range(len(free_x), g.ndim), free_y))
        pairs = sorted(zip(over_y, over_x, strict=True))  # what y has left is in its own order
        return np.moveaxis(dX, range(x.ndim), [*free_x, *(axis for _, axis in pairs)])

    def dy(g):
        dY = np.tensordot(x, g, (free_x, range(len(free_x))))
        pairs = sorted(zip(over_x, over_y, strict=True))
        return np.moveaxis(dY, range(y.ndim), [*(axis for _, axis in pairs), *free_y])

    return dx, dy


def _or_misfit(name, function, *arrays):
    """function(*arrays), or NumPy's error with the op's name and the shapes that it met."""
    try:
        return function(*arrays)
    except (ValueError, IndexError) as error:
        kind = np.linalg.LinAlgError if isinstance(error, np.linalg.LinAlgError) else ValueError
        shapes = " and ".join(str(np.shape(x)) for x in arrays)
        raise kind(f"{name}: {shapes}: {error}.") from None


@differentiable
def einsum(subscripts, *arrays, optimize=None):
    """z = sums of products of arrays, by `subscripts`        darrays = such sums of g and the rest

    `einsum("ij,jk->ik", x, y)` names every axis; letters that the result lacks are summed over.
    A gradient is an einsum again, of g and the other arrays, with the letters exchanged.
    Without `->`, the result has every letter that occurs once, in alphabetical order.
    `optimize` is NumPy's; None turns it on for long sums.
    """
    if not isinstance(subscripts, str):
        raise TypeError('einsum: the letters come first, as in einsum("ij,jk->ik", x, y).')
    terms, result = _spelled_out(subscripts, arrays)
    lengths = _lengths(terms, arrays)
    if optimize is None:
        optimize = math.prod(lengths.values()) > 2**16  # where BLAS makes up for the planning

    def dx(k):
        def pullback(g):
            others = [(t, y) for i, (t, y) in enumerate(zip(terms, arrays, strict=True)) if i != k]
            target, helpers = _target(terms[k], [(result, g), *others], lengths, g.dtype)
            factors = [(result, g), *others, *helpers]
            letters = ",".join(term for term, _ in factors)
            return np.einsum(f"{letters}->{target}", *(y for _, y in factors), optimize=optimize)

        return pullback

    in_full = f"{','.join(terms)}->{result}"
    value = partial(np.einsum, in_full, optimize=optimize)
    return _or_misfit(f"einsum: {subscripts}", value, *arrays), None, *map(dx, range(len(arrays)))


def _spelled_out(subscripts, arrays):
    """The letters of every array and of the result, with letters for the dots too."""
    inputs, arrow, result = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    spare = "".join(letter for letter in ascii_letters if letter not in subscripts)
    dots = ""
    for k, (term, x) in enumerate(zip(terms, arrays, strict=False)):  # NumPy sees to the number
        if term.count("...") == 1:  # NumPy refuses two
            more = spare[len(spare) + len(term) - 3 - np.ndim(x) :]  # lined up from the right
            dots = max(dots, more, key=len)
            terms[k] = term.replace("...", more)
    if not arrow:
        once = (letter for letter in sorted(set(inputs) - set(".,")) if inputs.count(letter) == 1)
        result = "..." + "".join(once)
    elif dots and "..." not in result:
        raise ValueError(f"einsum: {subscripts!r} has ... on the left; the result needs it, too.")
    return terms, result.replace("...", dots)


def _lengths(terms, arrays):
    """The length of the axes that each letter stands for."""
    lengths = {}
    for term, x in zip(terms, arrays, strict=False):
        for letter, n in zip(term, np.shape(x), strict=False):
            if lengths.setdefault(letter, n) == 1:
                lengths[letter] = n
            elif n not in (1, lengths[letter]):
                shapes = " and ".join(str(np.shape(x)) for x in arrays)
                both = f"{letter} is both {lengths[letter]} and {n}"
                raise ValueError(f"einsum: {','.join(terms)} with {shapes}: {both}.")
    return lengths


def _target(term, factors, lengths, dtype):
    """The letters of a gradient, and the helpers that supply those which no factor has.

    What was summed over gets g everywhere: ones. What was read from a diagonal goes back there: the
    identity matrix.
    """
    full = {
        letter
        for letters, y in factors
        for letter, n in zip(letters, np.shape(y), strict=True)
        if n == lengths[letter]
    }
    spare = (letter for letter in ascii_letters if letter not in lengths)
    target, helpers = "", []
    for letter in term:
        if letter in target:
            twin = next(spare)
            helpers.append((letter + twin, np.eye(lengths[letter], dtype=dtype)))
            target += twin
        else:
            if letter not in full:
                helpers.append((letter, np.ones(lengths[letter], dtype)))
            target += letter
    return target, helpers


# ---------------------------------------------------------------- one matrix


@differentiable
def inv(x):
    """z = x^-1        dx = -z.T @ g @ z.T"""
    z = np.linalg.inv(x)
    return z, lambda g: -z.mT @ g @ z.mT


@differentiable
def solve(a, b):
    """z = a^-1 @ b        da = -(a^-T @ g) @ z.T        db = a^-T @ g

    b is one vector, or a matrix (or a stack of them) whose columns are solved for.
    """
    a, b = _array(a), _array(b)
    z = _or_misfit("solve", np.linalg.solve, a, b)

    def column(v):
        return np.expand_dims(v, -1) if b.ndim == 1 else v

    def da(g):
        return -np.linalg.solve(a.mT, column(g)) @ column(z).mT

    def db(g):
        y = np.linalg.solve(a.mT, column(g))
        return y[..., 0] if b.ndim == 1 else y

    return z, da, db


@differentiable
def det(x):
    """z = det x        dx = g * cof x

    The cofactors are det(x) x^-T, and right for singular matrices too.
    """
    return np.linalg.det(x), lambda g: np.expand_dims(g, (-2, -1)) * cofactor.value(x)


@differentiable
def cofactor(x):
    """z = cof x = det(x) x^-T        dx = (<g, z> * z - z @ g.T @ z) / det x

    Found without dividing, so right for singular matrices; only dx is refused there.
    """

    def dx(g):
        if x.size and np.any(np.linalg.matrix_rank(plain(x)) < x.shape[-1]):
            raise np.linalg.LinAlgError(
                "cofactor: at a singular matrix its derivative, the second of det, is not offered."
            )
        z = cofactor.value(x)
        along = np.sum(g * z, axis=(-2, -1), keepdims=True)
        return (along * z - z @ g.mT @ z) / np.expand_dims(np.linalg.det(x), (-2, -1))

    U, s, V = np.linalg.svd(plain(x))  # x = U s V, so cof x = det(U) U cof(s) V det(V)
    others = np.where(np.eye(s.shape[-1], dtype=bool), 1, np.expand_dims(s, -2))
    signs = np.linalg.det(U) * np.linalg.det(V)
    return np.expand_dims(signs, (-2, -1)) * (U * np.expand_dims(np.prod(others, -1), -2)) @ V, dx


@differentiable
def logabsdet(x):
    """z = log |det x|        dx = g * x^-T"""
    z = np.linalg.slogdet(x)[1]
    return z, lambda g: np.expand_dims(g, (-2, -1)) * np.linalg.inv(x).mT


class Slogdet(NamedTuple):
    """What `slogdet` returns."""

    sign: Tensor
    logabsdet: Tensor


def slogdet(x: Any) -> Slogdet:
    """The sign of det x, a constant, and log |det x|, which stays finite where det x would not."""
    return Slogdet(Tensor(np.linalg.slogdet(plain(x))[0]), logabsdet(x))


@differentiable
def cholesky(x):
    """z = the lower triangle with z @ z.T = x
    dx = (s + s.T) / 2 with s = z^-T @ low(z.T @ g) @ z^-1

    x is taken for symmetric. `low` keeps the lower triangle, and half of the diagonal.
    """
    z = np.linalg.cholesky(x)

    def dx(g):
        low = np.tri(x.shape[-1], dtype=z.dtype) - np.eye(x.shape[-1], dtype=z.dtype) / 2
        inverse = np.linalg.inv(z)
        s = inverse.mT @ (low * (z.mT @ g)) @ inverse
        return (s + s.mT) / 2

    return z, dx
