"""Operations: every op, and the one table of how ops are spelled.

Each op stands in the file of its family, its value and its pullbacks together. Here they are
gathered and get their spellings: `x + y`, `x.sum()` and `np.exp(x)` are entries of one table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_edu import creation
from tinygrad_edu.ops import (
    activations,
    arithmetic,
    convolution,
    elementwise,
    linalg,
    neural,
    normalizing,
    recurrent,
    reductions,
    shaping,
)
from tinygrad_edu.ops.activations import *  # noqa: F403
from tinygrad_edu.ops.arithmetic import *  # noqa: F403
from tinygrad_edu.ops.convolution import *  # noqa: F403
from tinygrad_edu.ops.elementwise import *  # noqa: F403
from tinygrad_edu.ops.linalg import *  # noqa: F403
from tinygrad_edu.ops.neural import *  # noqa: F403
from tinygrad_edu.ops.normalizing import *  # noqa: F403
from tinygrad_edu.ops.recurrent import *  # noqa: F403
from tinygrad_edu.ops.reductions import *  # noqa: F403
from tinygrad_edu.ops.shaping import *  # noqa: F403
from tinygrad_edu.tensor import NUMPY_SPELLING, Tensor, plain

FAMILIES = (
    arithmetic, elementwise, activations, reductions, shaping, linalg, neural, normalizing,
    convolution, recurrent,
)  # fmt: skip
OPS: dict[str, Callable[..., Any]] = {
    name: getattr(family, name) for family in FAMILIES for name in family.__all__
}
__all__ = [*OPS]


# ---------------------------------------------------------------- operators: x + y

OPERATORS = {
    "__add__": "add", "__sub__": "subtract", "__mul__": "multiply", "__truediv__": "divide",
    "__floordiv__": "floor_divide", "__mod__": "remainder", "__pow__": "power",
    "__matmul__": "matmul", "__neg__": "negative", "__abs__": "abs", "__getitem__": "getitem",
}  # fmt: skip


def _reflected(op: Callable[..., Any]) -> Callable[..., Any]:
    """The op for `2 - x`, where Python asks x."""
    return lambda x, y: op(y, x)


def _itself(x: Tensor) -> Tensor:
    return x


for symbol, name in OPERATORS.items():
    setattr(Tensor, symbol, OPS[name])
for symbol in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
    setattr(Tensor, f"__r{symbol}__", _reflected(OPS[OPERATORS[f"__{symbol}__"]]))
Tensor.__pos__ = _itself


# ---------------------------------------------------------------- methods: x.sum()

METHODS = """
    exp log log1p expm1 sqrt square reciprocal abs sign sin cos tan sinh cosh tanh erf
    floor ceil round clip maximum minimum
    sigmoid relu softplus silu gelu elu
    add subtract multiply divide negative power matmul dot inner outer
    sum mean var std norm prod max min median sort cumsum cumprod
    logsumexp softmax log_softmax argmax argmin argsort all any
    reshape flatten transpose swapaxes moveaxis permute squeeze expand_dims unsqueeze broadcast_to
    repeat tile flip roll pad triu tril diag diagonal trace
    take take_along_axis masked_fill split
    inv det slogdet solve cholesky astype clone
""".split()  # noqa: SIM905  (a list of names, one per family and line)

for name in METHODS:
    setattr(Tensor, name, OPS[name])
Tensor.ravel = OPS["flatten"]
Tensor.pow, Tensor.mm = OPS["power"], OPS["matmul"]  # PyTorch's names


def _matrices_transposed(x: Any) -> Any:
    return OPS["swapaxes"](x, -1, -2)


for name, op, doc in (
    ("T", OPS["transpose"], "The axes in reverse order."),
    ("mT", _matrices_transposed, "The last two axes exchanged."),
):
    setattr(Tensor, name, property(op, doc=doc))


# ---------------------------------------------------------------- NumPy's functions: np.exp(x)


def _clip(x: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:
    """np.clip has two names for each bound."""
    low, high = (a_min if min is None else min), (a_max if max is None else max)
    return OPS["clip"](x, low, high)


def _linalg_norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """np.linalg.norm takes matrices as operators; norm takes their entries as one vector."""
    matrix = np.ndim(x) == 2 if axis is None else np.size(axis) == 2
    if ord not in (None, "fro") and (matrix or np.ndim(x) > 2):
        raise TypeError(
            f"np.linalg.norm: ord={ord!r} of a matrix has no rule for Tensors; "
            "tg.norm(x, ord) is that norm of its entries."
        )
    return OPS["norm"](x, ord, axis, keepdims)


def _reducing(name: str) -> Callable[..., Any]:
    """A ufunc's reduce goes along the first axis where none is named."""
    return lambda x, axis=0, keepdims=False: OPS[name](x, axis=axis, keepdims=keepdims)


def _plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    """A NumPy function that has no gradient: on the arrays, and an array comes out."""
    return lambda *args, **options: function(*map(plain, args), **options)


for name, op in OPS.items():
    if callable(getattr(np, name, None)):
        NUMPY_SPELLING[getattr(np, name)] = op
for name in ("inv", "det", "slogdet", "solve", "cholesky"):
    NUMPY_SPELLING[getattr(np.linalg, name)] = OPS[name]
NUMPY_SPELLING |= {
    np.clip: _clip,
    np.linalg.norm: _linalg_norm,
    np.float_power: OPS["power"],
    np.fabs: OPS["abs"],
    np.positive: _itself,
    np.copy: OPS["clone"],
    np.ravel: OPS["flatten"],
    np.matrix_transpose: _matrices_transposed,
    np.linalg.matrix_transpose: _matrices_transposed,
    np.linalg.matmul: OPS["matmul"],
    np.linalg.tensordot: OPS["tensordot"],
    np.linalg.outer: OPS["outer"],
    np.add.reduce: _reducing("sum"),
    np.multiply.reduce: _reducing("prod"),
    np.maximum.reduce: _reducing("max"),
    np.minimum.reduce: _reducing("min"),
    np.zeros_like: creation.zeros_like,
    np.ones_like: creation.ones_like,
}
for function in (
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.logical_and, np.logical_or, np.logical_xor, np.logical_not,
    np.isnan, np.isinf, np.isfinite, np.isneginf, np.isposinf, np.signbit,
    np.isclose, np.allclose, np.array_equal, np.count_nonzero, np.nonzero, np.searchsorted,
    np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj,
    np.may_share_memory, np.shares_memory,
):  # fmt: skip
    NUMPY_SPELLING[function] = _plainly(function)
