"""Every op against plain NumPy, against differences to order 2, and against torch: one table.

The rows stand in tests/op_rows, a file per family of ops.
"""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.op_rows import Row, elementwise, linalg, neural, reductions, shaping
from tinygrad_edu import ops

ROWS: list[Row] = [
    *elementwise.ROWS, *reductions.ROWS, *shaping.ROWS, *linalg.ROWS, *neural.ROWS
]  # fmt: skip
WITH_RULE = {
    op.op.name: op.op
    for family in ops.FAMILIES
    for op in vars(family).values()
    if isinstance(getattr(op, "op", None), tg.Op) and op.op.rule.__module__ == family.__name__
}
# These give plain arrays or pairs, or draw at random; test_ops_special.py has them.
WITHOUT_ROWS = {"argmax", "argmin", "argsort", "all", "any", "dropout"}


def inputs_of(row: Row) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [
        rng.standard_normal(x) if isinstance(x, tuple) else np.array(x, dtype=float)
        for x in row.inputs
    ]


def called(row: Row, *xs: Any) -> Any:
    op = getattr(ops, row.op)
    return row.call(op, *xs) if row.call else op(*xs)


def outputs(result: Any) -> list[tg.Tensor]:
    return list(result) if isinstance(result, (tuple, list)) else [result]


def label(row: Row) -> str:
    shapes = "-".join("x".join(map(str, np.shape(x) or "1")) for x in inputs_of(row))
    return f"{row.op}-{shapes}"


each_row = pytest.mark.parametrize("row", ROWS, ids=label)


@each_row
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_value_is_numpys(row: Row, dtype: str) -> None:
    arrays = [x.astype(dtype) for x in inputs_of(row)]
    twin = row.numpy or getattr(np, row.op)
    with np.errstate(all="ignore"):  # a naive twin may overflow where the op must not
        expected = [np.asarray(y) for y in outputs(twin(*[x.astype("float64") for x in arrays]))]
    found = outputs(called(row, *[tg.Tensor(x) for x in arrays]))
    tolerance = 1e-12 if dtype == "float64" else 2e-5
    assert len(found) == len(expected)
    for z, y in zip(found, expected, strict=True):
        assert z.shape == y.shape
        assert z.dtype == dtype
        np.testing.assert_allclose(z.data, y, rtol=tolerance, atol=tolerance)


@each_row
def test_gradient_is_that_of_differences(row: Row) -> None:
    assert row.order >= 2 or row.note, "a row checked to order 1 only says why"
    tg.gradcheck(lambda *xs: called(row, *xs), inputs_of(row), order=row.order)


def gradients(row: Row, arrays: list[np.ndarray]) -> list[np.ndarray]:
    leaves = [tg.Tensor(x, requires_grad=True) for x in arrays]
    total: Any = 0.0
    for z in outputs(called(row, *leaves)):
        total = total + (z * weights(z)).sum()
    if total.requires_grad:
        total.backward()
    return [
        np.zeros_like(x) if t.grad is None else t.grad for t, x in zip(leaves, arrays, strict=True)
    ]


def weights(z: Any) -> np.ndarray:
    shape = tuple(z.shape)
    return (1 + np.sin(1 + np.arange(math.prod(shape))) / 2).reshape(shape)


@each_row
def test_gradient_in_float32_is_that_in_float64(row: Row) -> None:
    arrays = [x.astype("float32") for x in inputs_of(row)]
    coarse = gradients(row, arrays)
    fine = gradients(row, [x.astype("float64") for x in arrays])
    for x, a, b in zip(arrays, coarse, fine, strict=True):
        assert a.dtype == np.float32
        assert a.shape == x.shape
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("row", [row for row in ROWS if row.torch], ids=label)
def test_value_and_gradient_are_torchs(row: Row) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install .[bench]")
    torch.set_default_dtype(torch.float64)
    arrays = inputs_of(row)
    theirs = [torch.tensor(x, requires_grad=True) for x in arrays]
    expected = outputs(row.torch(torch, *theirs))
    found = outputs(called(row, *[tg.Tensor(x) for x in arrays]))
    for z, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(z.data, y.detach().numpy(), rtol=1e-10, atol=1e-12)
    total = sum((y * torch.tensor(weights(y))).sum() for y in expected)
    if total.requires_grad:
        total.backward()
    for mine, x in zip(gradients(row, arrays), theirs, strict=True):
        yours = np.zeros(x.shape) if x.grad is None else x.grad.numpy()
        np.testing.assert_allclose(mine, yours, rtol=1e-9, atol=1e-11)


# ---------------------------------------------------------------- the table is complete


def test_every_op_has_a_row() -> None:
    missing = ops.OPS.keys() - {row.op for row in ROWS} - WITHOUT_ROWS
    assert not missing


def test_every_row_has_an_op() -> None:
    assert {row.op for row in ROWS} <= ops.OPS.keys()


# ---------------------------------------------------------------- docstrings are the maths


@pytest.mark.parametrize("name", WITH_RULE)
def test_docstring_is_the_maths(name: str) -> None:
    """`z = ...`, then `d<argument> = ...` for each differentiable one, two spaces apart."""
    op = WITH_RULE[name]
    value, *clauses = re.split(r"\s{2,}|\n", op.formula)
    assert re.match(r"z(_\w+)? = \S", value)
    named = [match for clause in clauses if (match := re.match(r"d([A-Za-z]+)(_i)? = \S", clause))]
    assert len(named) == len(clauses), f"{name}: {clauses}"
    arguments = list(inspect.signature(op.rule).parameters)
    for match in named:
        assert match.group(1) in arguments, f"{name}: {match.group(0)}"
    assert [match.group(1) for match in named] == differentiable_arguments(name)


def differentiable_arguments(name: str) -> list[str]:
    """The arguments that the rule really has a pullback for, over all its rows."""
    rows = [row for row in ROWS if row.op == name]
    names = list(inspect.signature(WITH_RULE[name].rule).parameters)
    found: set[str] = set()
    for row in rows:
        z = called(row, *[tg.Tensor(x, requires_grad=True) for x in inputs_of(row)])
        for output in outputs(z):
            if output.op is not WITH_RULE[name]:
                continue
            edges = [x for x, _ in output._edges]
            for i, x in enumerate(output._args):
                if any(x is e for e in edges):
                    found.add("arrays" if "arrays" in names else names[i])
    return [n for n in names if n in found]
