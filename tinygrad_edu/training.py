"""Training: the loop in the open.

Four lines, and every framework has them somewhere:

    for batch in get_batches(data, batch_size=50):
        params_grad = evaluate_gradient(loss_function, batch, params)
        params = params - learning_rate * params_grad

`params` may be an array, a list or a dict of arrays; the gradient comes back in the same form and
may be scaled and subtracted as a whole. With layers, `loss.backward()` and an optimizer's `step()`
do the same in place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.tensor import Tensor, grad, mark_written, plain

__all__ = [
    "clip_grad_norm", "clip_grad_value", "evaluate_gradient", "get_batches",
    "parameters_to_vector", "vector_to_parameters",
]  # fmt: skip


# ---------------------------------------------------------------- the gradient of a loss


def evaluate_gradient(loss_function: Callable[[Any, Any], Any], data: Any, params: Any) -> Any:
    """d loss_function(data, params) / d params, in the structure of `params`.

    `params` is an array, a Tensor, a number, or a list, tuple or dict of these (nested, too), and
    reaches the loss in that structure, as Tensors. The result can be multiplied by a number and
    subtracted from `params`, also where `params` is a list or a dict.

    >>> loss = lambda data, w: ((data @ w["slope"] + w["offset"]) ** 2).mean()
    >>> params = {"slope": np.array([1.0, 2.0]), "offset": 1.0}
    >>> params_grad = evaluate_gradient(loss, np.eye(2), params)
    >>> params - 0.5 * params_grad
    {'slope': array([0. , 0.5]), 'offset': -1.5}
    """
    leaves: list[Tensor] = []

    def leaf(x: Any) -> Tensor:
        array = np.asarray(plain(x))
        if array.dtype.kind not in "fiu":
            raise TypeError(f"evaluate_gradient: a parameter {x!r} is no number, array or Tensor.")
        leaves.append(
            Tensor(array if array.dtype.kind == "f" else array.astype(float), requires_grad=True)
        )
        return leaves[-1]

    loss = loss_function(data, _mapped(leaf, params))
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"evaluate_gradient: the loss is a {type(loss).__name__}, not a Tensor; compute it "
            "from the parameters it is given, without .data, .numpy() or float()."
        )
    found = grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * len(leaves)
    gradients = iter(
        np.zeros_like(x.data) if g is None else g.data for g, x in zip(found, leaves, strict=True)
    )
    return _scalable(_mapped(lambda x: _as_given(next(gradients), x), params))


class _Arithmetic:
    """What lets `params - learning_rate * gradient` work on a whole structure."""

    __array_ufunc__ = None  # NumPy's numbers leave the multiplication to __rmul__

    def __mul__(self, factor: Any) -> Any:
        return _scalable(_mapped(lambda g: factor * g, self))

    __rmul__ = __mul__

    def __add__(self, other: Any) -> Any:
        return _scalable(_mapped(lambda g, h: g + h, self, other))

    def __neg__(self) -> Any:
        return -1 * self

    def __rsub__(self, params: Any) -> Any:
        return _mapped(lambda p, g: p - g, params, self)

    def __radd__(self, params: Any) -> Any:
        return _mapped(lambda p, g: p + g, params, self)


class GradientList(_Arithmetic, list):  # type: ignore[type-arg]
    """The gradient of a list of parameters."""


class GradientDict(_Arithmetic, dict):  # type: ignore[type-arg]
    """The gradient of a dict of parameters."""


def _scalable(gradient: Any) -> Any:
    if isinstance(gradient, dict):
        return GradientDict(gradient)
    return GradientList(gradient) if isinstance(gradient, (list, tuple)) else gradient


def _mapped(f: Callable[..., Any], params: Any, *others: Any) -> Any:
    """f of every entry (and of those of `others` at its place), in the same structure."""
    if isinstance(params, dict):
        return {key: _mapped(f, params[key], *(o[key] for o in others)) for key in params}
    if isinstance(params, (list, tuple)):
        entries = [_mapped(f, *entry) for entry in zip(params, *others, strict=True)]
        return tuple(entries) if isinstance(params, tuple) else entries
    return f(params, *others)


def _as_given(g: Array, x: Any) -> Any:
    return g.item() if isinstance(x, (int, float)) else g


# ---------------------------------------------------------------- batches


def get_batches(data: Any, batch_size: int = 50, shuffle: bool = False, rng: Rng = None) -> Batches:
    """The rows of `data` in batches: of an array, or of several arrays in a tuple at the same rows.

    The last batch may be smaller. With `shuffle=True` the rows come in a random order, without
    moving the data itself: another one each time that one goes through them.

    Raises ValueError for no rows, for arrays of different lengths, and for a batch size below 1.

    >>> x, y = np.arange(5), np.arange(5) * 10
    >>> [batch[1].tolist() for batch in get_batches((x, y), batch_size=2)]
    [[0, 10], [20, 30], [40]]
    """
    return Batches(data, batch_size, as_generator(rng) if shuffle else None)


class Batches:
    """What `get_batches` makes: to go through as often as one likes; `len` is how many they are."""

    def __init__(self, data: Any, batch_size: int, generator: np.random.Generator | None) -> None:
        self._several = isinstance(data, tuple)
        self._arrays = [
            x if isinstance(x, (np.ndarray, Tensor)) else np.asarray(x)
            for x in (data if self._several else (data,))
        ]
        lengths = [np.shape(x)[0] if np.ndim(x) else 0 for x in self._arrays]
        if len(set(lengths)) != 1:
            raise ValueError(
                f"get_batches: arrays of lengths {lengths}; they must have equal lengths."
            )
        if lengths[0] == 0:
            raise ValueError("get_batches: there are no rows to make batches of.")
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(
                f"get_batches: batch_size={batch_size} must be at least 1 (a whole number)."
            )
        self._rows, self._size, self._generator = lengths[0], int(batch_size), generator

    def __len__(self) -> int:
        return math.ceil(self._rows / self._size)

    def __iter__(self) -> Iterator[Any]:
        order = None if self._generator is None else self._generator.permutation(self._rows)
        for start in range(0, self._rows, self._size):
            rows: Any = slice(start, start + self._size)
            batch = tuple(x[rows if order is None else order[rows]] for x in self._arrays)
            yield batch if self._several else batch[0]


# ---------------------------------------------------------------- gradients as a whole


def clip_grad_norm(params: Any, max_norm: float) -> float:
    """Scale all gradients so that together they are at most `max_norm` long; returns their length.

    Source: Pascanu et al. 2013.

    >>> w = Tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> round(clip_grad_norm([w], 1.0), 6), w.grad.round(6).tolist()
    (5.0, [0.6000000238418579, 0.800000011920929])
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm={max_norm} must be positive.")
    gradients = _gradients(params)
    norm = math.hypot(*(float(np.linalg.norm(g.astype(float))) for g in gradients))
    if norm > max_norm:
        for g in gradients:
            g *= max_norm / norm
    return norm


def clip_grad_value(params: Any, max_value: float) -> None:
    """Bring every entry of all gradients between -max_value and max_value.

    >>> w = Tensor([3.0, -4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_value([w], 3.5)
    >>> w.grad.tolist()
    [3.0, -3.5]
    """
    if not max_value > 0:
        raise ValueError(f"clip_grad_value: max_value={max_value} must be positive.")
    for g in _gradients(params):
        np.clip(g, -max_value, max_value, out=g)


def parameters_to_vector(params: Any) -> Array:
    """All numbers of the parameters in one vector, a copy.

    >>> parameters_to_vector([Tensor([[1.0, 2.0]]), Tensor(3.0)])
    array([1., 2., 3.], dtype=float32)
    """
    return np.concatenate([p.data.ravel() for p in _parameters(params)])


def vector_to_parameters(vector: Any, params: Any) -> None:
    """Write the numbers of a vector into the parameters, in order.

    >>> w = Tensor([0.0, 0.0])
    >>> vector_to_parameters([1, 2], [w]); w
    Tensor([1., 2.])
    """
    tensors, array = _parameters(params), np.asarray(plain(vector))
    size = sum(p.size for p in tensors)
    if array.shape != (size,):
        raise ValueError(
            f"vector_to_parameters: a vector of shape {array.shape} for {size} numbers."
        )
    start = 0
    for p in tensors:
        p.data[...] = array[start : start + p.size].reshape(p.shape)
        start += p.size
    mark_written(tensors)


def _parameters(params: Any) -> list[Tensor]:
    if hasattr(params, "parameters"):
        params = params.parameters()
    return [params] if isinstance(params, Tensor) else list(params)


def _gradients(params: Any) -> list[Array]:
    return [p.grad for p in _parameters(params) if p.grad is not None]
