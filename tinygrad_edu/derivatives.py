"""Derivatives: functions of functions.

`grad(f)` is the function x -> f'(x), and being a function it can be given to `grad` again. Numbers
in, numbers out; arrays in, arrays out; Tensors in, Tensors out, with their history. One inside the
other, they give Tensors to each other, so they can be nested and mixed with layers as you like.
Numbers, and arrays of whole numbers, are taken in double precision. Of an array comes an array,
without history: to train through a derivative, give it a Tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.arrays import as_array
from tinygrad_edu.modes import enable_grad, here, is_grad_enabled, nested
from tinygrad_edu.ops import clone, reshape, stack
from tinygrad_edu.tensor import Tensor
from tinygrad_edu.tensor import grad as gradient_of

__all__ = [
    "elementwise_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "value_and_grad", "vjp",
]  # fmt: skip

Function = Callable[..., Any]


# ---------------------------------------------------------------- the gradient


def grad(f: Function, argnums: int | tuple[int, ...] = 0) -> Function:
    """The gradient of a function that returns one number, in its argument number `argnums`.

    >>> from tinygrad_edu import tanh
    >>> round(grad(tanh)(1.0), 12)
    0.419974341614
    >>> round(grad(grad(grad(tanh)))(1.0), 12)
    0.621626680771
    """
    with_value = value_and_grad(f, argnums)
    return lambda *args, **options: with_value(*args, **options)[1]


def value_and_grad(f: Function, argnums: int | tuple[int, ...] = 0) -> Function:
    """The function's value and its gradient, from one evaluation.

    >>> value_and_grad(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    (5.0, array([2., 4.]))
    """

    def both(*args: Any, **options: Any) -> tuple[Any, Any]:
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        if any(not -len(args) <= i < len(args) for i in chosen):
            raise IndexError(f"grad: argnums={argnums!r}, but the call has {len(args)} arguments.")
        given = [args[i] for i in chosen]
        with enable_grad():
            leaves = [_leaf(x) for x in given]
            filled = list(args)
            for i, leaf in zip(chosen, leaves, strict=True):
                filled[i] = leaf
            with nested():
                y = f(*filled, **options)
            if np.size(y) != 1:
                raise ValueError(
                    f"grad: the function returned shape {np.shape(y)}, not one number; use "
                    "jacobian(f), or elementwise_grad(f) for an elementwise function."
                )
            gradients = _pulled(y, leaves, None, _records(*args))
        gradients = [_like(g, x) for g, x in zip(gradients, given, strict=True)]
        return _value_like(y, given), gradients[0] if isinstance(argnums, int) else tuple(gradients)

    return both


def elementwise_grad(f: Function) -> Function:
    """f'(x) entry by entry, for a function that works entry by entry.

    >>> elementwise_grad(lambda x: x**3)(np.array([1.0, 2.0]))
    array([ 3., 12.])
    """
    return grad(lambda *args, **options: np.sum(f(*args, **options)))


# ---------------------------------------------------------------- matrices of derivatives


def jacobian(f: Function) -> Function:
    """All dy_i/dx_j of y = f(x): an array of shape `y.shape + x.shape`, one backward walk per y_i.

    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """

    def matrix(x: Any, *args: Any, **options: Any) -> Any:
        with enable_grad():
            leaf = _leaf(x)
            with nested():
                y = f(leaf, *args, **options)
            if not isinstance(y, Tensor):
                y = Tensor(np.asarray(y))
            seeds = np.eye(y.size, dtype=y.dtype).reshape(y.size, *y.shape)
            rows = [_pulled(y, [leaf], seed, _records(x, *args))[0] for seed in seeds]
            shape = y.shape + leaf.shape
            whole = reshape(stack(rows), shape) if rows else Tensor(np.zeros(shape))
        return _like(whole, x)

    return matrix


def hessian(f: Function) -> Function:
    """All second derivatives of a function that returns one number: shape `x.shape + x.shape`.

    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return jacobian(grad(f))


# ---------------------------------------------------------------- products with those matrices


def vjp(f: Function, *primals: Any) -> tuple[Any, Function]:
    """y = f(*primals), and the function u -> u^T J (a tuple if there are several primals).

    >>> y, pull = vjp(lambda x: x * x, np.array([1.0, 2.0]))
    >>> pull(np.array([1.0, 10.0]))
    array([ 2., 40.])
    """
    with enable_grad():
        leaves = [_leaf(x) for x in primals]
        with nested():
            y = f(*leaves)

    def pull(u: Any) -> Any:
        with enable_grad():
            pulled = _pulled(y, leaves, u, _records(u, *primals))
        results = tuple(_like(g, x) for g, x in zip(pulled, primals, strict=True))
        return results[0] if len(results) == 1 else results

    return _value_like(y, primals), pull


def jvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """y = f(*primals), and J v for the tangents v: how y changes when x moves along v.

    u^T J is linear in u, so its derivative in u, weighed with v, is J v: two backward walks.

    >>> jvp(lambda x: x * x, np.array([1.0, 2.0]), np.array([1.0, 1.0]))
    (array([1., 4.]), array([2., 4.]))
    """
    xs = tuple(primals) if isinstance(primals, (tuple, list)) else (primals,)
    vs = tuple(tangents) if isinstance(tangents, (tuple, list)) else (tangents,)
    if [np.shape(x) for x in xs] != [np.shape(v) for v in vs]:
        raise ValueError(
            f"jvp: primals of shapes {[np.shape(x) for x in xs]} and tangents of shapes "
            f"{[np.shape(v) for v in vs]}; each tangent has the shape of its primal."
        )
    with enable_grad():
        leaves = [_leaf(x) for x in xs]
        with nested():
            y = f(*leaves)
        u = Tensor(np.ones(np.shape(y), getattr(y, "dtype", float)), requires_grad=True)
        along: Any = 0.0
        for g, v in zip(_pulled(y, leaves, u, True), vs, strict=True):
            along = along + (g * v).sum()
        (pushed,) = _pulled(along, [u], None, _records(*xs, *vs))
    return _value_like(y, xs), _value_like(pushed, xs)


def hvp(f: Function, x: Any, v: Any) -> Any:
    """The Hessian of f at x times v, without forming the Hessian: the gradient of v . f'(x).

    >>> hvp(lambda x: (x**3).sum(), np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    if np.shape(x) != np.shape(v):
        raise ValueError(f"hvp: x has shape {np.shape(x)}, v {np.shape(v)}; they must be equal.")
    return grad(lambda leaf: (grad(f)(leaf) * v).sum())(x)


# ---------------------------------------------------------------- what they share


def _leaf(x: Any) -> Tensor:
    """A tensor to differentiate in. One that already has a history passes derivatives on to it."""
    if isinstance(x, Tensor):
        return clone(x) if x.requires_grad else Tensor(x.data, requires_grad=True)
    array = as_array(x, copy=False)
    if not isinstance(x, np.ndarray) and array.dtype != np.float64:
        array = np.asarray(x, dtype=float)
    return Tensor(array if array.dtype.kind == "f" else array.astype(float), requires_grad=True)


def _records(*args: Any) -> bool:
    """Is the result to have a history? Where Tensors came in, or inside another derivative."""
    return bool(here.mode.nesting) or any(isinstance(x, Tensor) for x in args)


def _pulled(y: Any, leaves: Sequence[Tensor], u: Any, create_graph: bool) -> list[Any]:
    """u^T J for each leaf, zeros where y does not depend on it."""
    if isinstance(y, Tensor) and y.requires_grad:
        found = gradient_of(y, list(leaves), u, create_graph, allow_unused=True)
    else:
        found = [None] * len(leaves)
    return [
        Tensor(np.zeros_like(x.data)) if g is None else g
        for g, x in zip(found, leaves, strict=True)
    ]


def _like(g: Tensor, x: Any) -> Any:
    """g as what x is: a Tensor, an array, or a number."""
    if _records(x):
        return g if is_grad_enabled() else g.detach()
    if isinstance(x, (int, float)) and g.ndim == 0:
        return g.item()
    return g.data


def _value_like(y: Any, given: Sequence[Any]) -> Any:
    """The function's value as what its arguments were."""
    if not isinstance(y, Tensor):
        return y
    if _records(*given):
        return y if is_grad_enabled() else y.detach()
    return y.item() if y.ndim == 0 else y.data
