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
from tests.op_rows import Row, elementwise, linalg, neural, recurrent, reductions, shaping
from tinygrad_edu import ops
from tinygrad_edu.ops.reductions import total

ROWS: list[Row] = [
    *elementwise.ROWS, *reductions.ROWS, *shaping.ROWS, *linalg.ROWS, *neural.ROWS,
    *recurrent.ROWS,
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
    named = [match for clause in clauses if (match := re.match(r"d(\w+?)(_i)? = \S", clause))]
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


# ---------------------------------------------------------------- the fast way is the slow way


def test_total_is_the_sum_along_any_axes() -> None:
    rng = np.random.default_rng(0)
    for shape in [(2, 3, 4, 5), (2, 0, 4), (1, 3, 1), (7,), ()]:
        x = rng.standard_normal(shape)
        for picked in range(2 ** len(shape)):
            axes = tuple(i for i in range(len(shape)) if picked >> i & 1)
            found = total(x, axes)
            expected = x.sum(axis=axes, keepdims=True)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_softmax_of_near_numbers_is_that_of_far_ones(dtype: str) -> None:
    """Beside a row that is far out, all rows are shifted by their largest number."""
    x = (10 * np.random.default_rng(0).standard_normal((50, 7))).astype(dtype)
    far = np.concatenate([x, np.full((1, 7), 250, dtype)])
    near, shifted = ops.softmax(x).data, ops.softmax(far).data
    few = 50 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(near, shifted[:-1], rtol=few, atol=np.finfo(dtype).tiny)
    np.testing.assert_allclose(shifted[-1], np.full(7, 1 / 7), rtol=few)


@pytest.mark.parametrize(
    ("dtype", "far"), [("float16", 12), ("float32", 100), ("float32", -110), ("float64", 800)]
)
def test_softmax_just_where_exp_leaves_the_numbers(dtype: str, far: float) -> None:
    x = np.array([[far, far - 1]], dtype)
    expected = ops.softmax(x - x[0, 0]).data
    np.testing.assert_array_equal(ops.softmax(x).data, expected)
    np.testing.assert_array_equal(ops.masked_softmax(x, [True, True]).data, expected)
    mixed = ops.mixture(x, np.eye(2, dtype=dtype)).data
    np.testing.assert_allclose(mixed, expected, rtol=4 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("row", [[math.inf, 1e4], [-math.inf, -math.inf], [math.nan, 0.0]])
def test_softmax_of_nothing_to_compare_is_nan_without_a_warning(row: list[float]) -> None:
    assert np.isnan(ops.softmax(np.array([row, [0.0, 1.0]])).data).any(axis=1).tolist() == [1, 0]


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 201), (5, 2, 300), (5, 0)])
@pytest.mark.parametrize("index", [[0, 4, 0, -1, -5], [[1, 1], [2, 1]], 3, []])
def test_scattered_rows_are_those_of_add_at(shape: tuple[int, ...], index: Any) -> None:
    rows = np.array(index, dtype=int)
    x = np.random.default_rng(0).standard_normal((*rows.shape, *shape[1:]), dtype=np.float32)
    expected = np.zeros(shape, np.float32)
    np.add.at(expected, (rows,), x)
    np.testing.assert_array_equal(ops.scatter(x, (rows,), shape).data, expected)  # to the bit
    np.add.at(expected, (rows,), -x)
    np.add.at(expected, (rows,), 1.5)
    one = np.array(1.5, np.float32)  # broadcasts, as in add.at
    np.testing.assert_array_equal(ops.scatter(one, (rows,), shape).data, expected.round(1))


@pytest.mark.parametrize("row", [5, -6])
def test_scattered_rows_that_are_not_there(row: int) -> None:
    with pytest.raises(IndexError, match=f"index {row} is out of bounds"):
        ops.scatter(np.ones((2, 300)), (np.array([0, row]),), (5, 300))


@pytest.mark.parametrize(("dtype", "units"), [("float64", 2), ("float32", 2), ("float16", 1)])
def test_erf_is_that_of_the_standard_library(dtype: str, units: int) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([
        np.linspace(-7, 7, 40_001),  # two blocks
        rng.standard_normal(20_000) * 10.0 ** rng.uniform(-7, 0, 20_000),
        [0.0, 5e-324, 1e-300, 27 / 32, 6.0, 1e300, math.inf, -math.inf],
    ])  # fmt: skip
    with np.errstate(over="ignore", under="ignore"):
        x = x.astype(dtype)
    true = np.array([math.erf(v) for v in x.tolist()])
    found = ops.erf(x).data
    assert found.dtype == dtype
    last_place = np.spacing(np.abs(true).astype(dtype)).astype(float)
    assert (np.abs(found.astype(float) - true) <= units * last_place).all()


def test_erf_of_what_is_not_an_ordinary_number() -> None:
    assert math.isnan(ops.erf(tg.Tensor(math.nan)).item())
    assert math.copysign(1, ops.erf(tg.Tensor(-0.0)).item()) == -1
    assert ops.erf(np.zeros((0, 3))).shape == (0, 3)
    assert ops.erf(np.array([1, 2])).dtype == np.float64
    assert ops.erf(np.float32(0.5)).shape == ()
    apart = np.linspace(-3, 3, 24).reshape(4, 6).T[::2]
    np.testing.assert_array_equal(ops.erf(apart).data, ops.erf(apart.copy()).data)
