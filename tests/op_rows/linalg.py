"""Rows for `ops/linalg.py`: products in every combination of axes, and matrices of every rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_rows import Row

REGULAR = np.array([[2.0, -1.0, 0.5], [0.3, 1.5, -0.7], [-0.4, 0.6, 1.2]])
REGULARS = np.stack([REGULAR, REGULAR[::-1], 2 * REGULAR.T - np.eye(3)])
RANK_2 = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
RANK_1 = np.outer([1.0, -2.0, 0.5], [3.0, 1.0, 2.0])


def matmul(*shapes: Any, note: str = "") -> Row:
    return Row("matmul", shapes, torch=lambda t, x, w: x @ w, note=note)


def inner(*shapes: Any) -> Row:
    return Row("inner", shapes, torch=lambda t, x, y: t.inner(x, y))


def tensordot(*shapes: Any, axes: Any, torch_axes: Any = None, note: str = "") -> Row:
    return Row(
        "tensordot",
        shapes,
        lambda f, x, y: f(x, y, axes),
        lambda x, y: np.tensordot(x, y, axes),
        lambda t, x, y: t.tensordot(x, y, axes if torch_axes is None else torch_axes),
        note=note,
    )


def einsum(
    letters: str, *shapes: Any, torch: bool = True, note: str = "", optimize: Any = None
) -> Row:
    return Row(
        "einsum",
        shapes,
        lambda f, *xs: f(letters, *xs, optimize=optimize),
        lambda *xs: np.einsum(letters, *xs),
        (lambda t, *xs: t.einsum(letters, *xs)) if torch else None,
        note=note or letters,
    )


def of_matrix(op: str, *inputs: Any, torch: Any = None, order: int = 2, note: str = "") -> Row:
    """A function of np.linalg; torch has it by the same name, unless it differs."""
    by_name = lambda t, *xs: getattr(t.linalg, op)(*xs)
    return Row(op, inputs, None, getattr(np.linalg, op), torch or by_name, order, note)


def singular(x: Any, note: str = "") -> Row:
    """det where torch's backward gives 0 at rank n - 1, which is wrong."""
    note += "a second derivative at a singular matrix is refused"
    return Row("det", (x,), None, np.linalg.det, order=1, note=note)


def positive(x: Any) -> Any:
    """A symmetric positive definite matrix that depends on all of x."""
    return x @ x.mT + 2 * np.eye(x.shape[-1], dtype=x.dtype)


def cholesky(shape: Any) -> Row:
    return Row(
        "cholesky",
        (shape,),
        lambda f, x: f(positive(x)),
        lambda x: np.linalg.cholesky(positive(x)),
        lambda t, x: t.linalg.cholesky(x @ x.mT + 2 * t.eye(shape[-1])),
    )


PRODUCTS = [
    matmul((2, 3), (3, 4)),
    matmul((3, 3), (3, 3), note="square"),
    matmul((1, 3), (3, 1)),
    matmul((3,), (3,), note="vector, vector"),
    matmul((3,), (3, 4), note="vector, matrix"),
    matmul((2, 3), (3,), note="matrix, vector"),
    matmul((2, 2, 3), (3,), note="batch, vector"),
    matmul((3,), (2, 3, 2), note="vector, batch"),
    matmul((2, 2, 3), (2, 3, 2), note="batch, batch"),
    matmul((2, 3, 3), (2, 3, 3), note="batches of squares"),
    matmul((2, 2, 3), (3, 2), note="batch, matrix"),
    matmul((2, 1, 2, 3), (3, 2), note="two batch axes, matrix"),
    matmul((2, 3), (2, 3, 2), note="matrix, batch"),
    matmul((2, 1, 2, 3), (3, 3, 2), note="batches broadcast"),
    matmul((1, 2, 3), (2, 3, 1), note="a batch of 1 broadcasts"),
    matmul((0, 3), (3, 2), note="empty"),
    matmul((2, 0), (0, 3), note="a sum of nothing"),
    matmul((2, 2, 0), (0, 3), note="a sum of nothing"),
    matmul((0, 2, 3), (3, 2), note="no batch"),
    matmul((0,), (0,), note="a sum of nothing"),
    Row("matmul", ((2, 3),), lambda f, x: f(x, x.T), lambda x: x @ x.T, lambda t, x: x @ x.T),
    Row("matmul", ((3, 3),), lambda f, x: f(x, x), lambda x: x @ x, lambda t, x: x @ x),
    Row("matmul", ((2, 2, 3), (2, 4)), lambda f, x, w: f(x.mT, w), lambda x, w: x.mT @ w),
    Row("matmul", ((2, 3),), lambda f, x: x @ [[1.0], [2], [3]], lambda x: x @ [[1.0], [2], [3]]),
    Row("matmul", ((2,),), lambda f, x: [[1.0, 2]] @ x, lambda x: [[1.0, 2]] @ x, note="a list"),
    Row("dot", ((3,), (3,)), torch=lambda t, x, y: x @ y),
    Row("dot", ((2, 3), (3, 2)), torch=lambda t, x, y: x @ y),
    Row("dot", ((2, 3), (3,)), torch=lambda t, x, y: x @ y),
    Row("dot", ((3,), (3, 2)), torch=lambda t, x, y: x @ y),
    Row("dot", ((2, 2, 3), (3,)), torch=lambda t, x, y: x @ y),
    Row("dot", ((3,), (2, 3, 2)), torch=lambda t, x, y: t.tensordot(x, y, ([-1], [-2]))),
    Row("dot", ((2, 2, 3), (2, 3, 2)), torch=lambda t, x, y: t.tensordot(x, y, ([-1], [-2]))),
    Row("dot", ((), (2, 3)), torch=lambda t, x, y: x * y),
    Row("dot", ((2, 3), ()), torch=lambda t, x, y: x * y),
    Row("dot", ((), ())),
    Row("dot", ((3,),), lambda f, x: f(x, x), lambda x: x @ x, note="one tensor twice"),
    Row("dot", ((3,),), lambda f, x: f(x, 2.0), lambda x: 2 * x),
    Row("dot", ((2,),), lambda f, x: f([1.0, 2.0], x), lambda x: np.dot([1.0, 2.0], x)),
    inner((3,), (3,)),
    inner((2, 3), (4, 3)),
    inner((2, 2, 3), (3,)),
    inner((3,), (2, 2, 3)),
    inner((2, 1, 3), (2, 2, 3)),
    inner((), (3,)),
    Row("outer", ((2,), (3,)), torch=lambda t, x, y: t.outer(x, y)),
    Row("outer", ((2, 2), (3, 1)), torch=lambda t, x, y: t.outer(x.ravel(), y.ravel())),
    Row("outer", ((), (3,))),
    Row("outer", ((3,),), lambda f, x: f(x, x), lambda x: np.outer(x, x)),
    Row("outer", ((3,),), lambda f, x: f(x, [1.0, 2.0]), lambda x: np.outer(x, [1.0, 2.0])),
    tensordot((2, 3, 4), (3, 4, 2), axes=2),
    tensordot((2, 3), (3, 2), axes=1),
    tensordot((2, 3), (2,), axes=0),
    tensordot((2, 3), (2, 3), axes=2),
    tensordot((2, 3), (), axes=0),
    tensordot((2, 3, 4), (4, 5, 2), axes=([0, 2], [2, 0])),
    tensordot((2, 3, 4), (4, 5, 2), axes=((-1, 0), (0, -1))),
    tensordot((2, 3, 4), (5, 3), axes=(1, 1), torch_axes=([1], [1])),
    tensordot((2, 3, 2), (2, 2, 3), axes=([2, 1, 0], [1, 2, 0])),
    tensordot((2, 0), (0, 3), axes=1, note="a sum of nothing"),
]

EINSUMS = [
    einsum("ij,jk->ik", (2, 3), (3, 4)),
    einsum("ij,jk", (2, 3), (3, 4)),
    einsum("ba", (2, 3)),
    einsum("i,i", (3,), (3,)),
    einsum("i,j->ij", (2,), (3,)),
    einsum("i,j->ji", (2,), (3,)),
    einsum(" b i , b i -> b ", (2, 3), (2, 3)),
    einsum("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    einsum("bhqd,bhkd->bhqk", (2, 1, 2, 2), (2, 1, 3, 2)),
    einsum("ij,ij,ij->", (2, 3), (2, 3), (2, 3)),
    einsum("ab,bc,cd->ad", (2, 3), (3, 2), (2, 2)),
    einsum("i,ij,j->", (2,), (2, 3), (3,)),
    einsum("ij,ij->ji", (2, 3), (2, 3)),
    einsum("ijk->kij", (2, 3, 4)),
    einsum("ij->i", (2, 3), note="summed over: j is nowhere else"),
    einsum("ij->", (2, 3)),
    einsum("ij,k->i", (2, 3), (4,), note="j and k in one array only"),
    einsum("ij,jk->j", (2, 3), (3, 2)),
    einsum("ii->i", (3, 3), note="a diagonal"),
    einsum("ii->", (3, 3), note="a trace"),
    einsum("ii", (3, 3), note="a trace"),
    einsum("iij->j", (2, 2, 3)),
    einsum("iij->ji", (2, 2, 3)),
    einsum("iii->i", (2, 2, 2), note="a diagonal of three axes"),
    einsum("iijj->ij", (2, 2, 3, 3)),
    einsum("ii,i->", (3, 3), (3,)),
    einsum("ii,ij->j", (2, 2), (2, 3)),
    einsum("ii,ii->i", (2, 2), (2, 2)),
    einsum("...ij,...jk->...ik", (2, 2, 3), (2, 3, 2)),
    einsum("...ij,jk->...ik", (2, 1, 2, 3), (3, 2)),
    einsum("...i,...i", (2, 3), (3,), note="dots that broadcast"),
    einsum("...i,...j->...ij", (2, 1, 2), (3, 2)),
    einsum("i...->...i", (2, 3, 4)),
    einsum("i...,i...->...", (2, 3), (2, 3)),
    einsum("...,...->...", (2, 3), (3,)),
    einsum("...", (2, 3)),
    einsum("...ii->...i", (2, 3, 3)),
    einsum("...->...", ()),
    einsum(",i->i", (), (3,)),
    einsum("->", ()),
    einsum(",", (), ()),
    einsum("ij,ij->ij", (1, 3), (2, 3), torch=False, note="an axis of 1 broadcasts"),
    einsum("ij,ij->", (1, 3), (2, 3), torch=False, note="an axis of 1 broadcasts"),
    einsum("ij,i->j", (2, 3), (1,), torch=False, note="an axis of 1 broadcasts"),
    einsum("ii,i->i", (1, 1), (3,), torch=False, note="a diagonal of 1 broadcasts"),
    einsum("ij,jk->ik", (2, 3), (3, 4), optimize=True),
    einsum("ij,jk,kl->il", (2, 3), (3, 2), (2, 2), optimize="greedy"),
    einsum("ij,jk->ik", (0, 3), (3, 2), note="empty"),
    einsum("ij,jk->ik", (2, 0), (0, 2), note="a sum of nothing"),
    einsum("ij->i", (2, 0), note="a sum of nothing"),
    Row("einsum", ((2, 3),), lambda f, x: f("ij,kj->ik", x, x), lambda x: x @ x.T, note="twice"),
    Row("einsum", ((2,),), lambda f, x: f("ij,j", [[1.0, 2.0]], x), lambda x: [[1.0, 2.0]] @ x),
]

MATRICES = [
    of_matrix("inv", REGULAR),
    of_matrix("inv", REGULARS),
    of_matrix("inv", np.array([[3.0]])),
    of_matrix("inv", (0, 2, 2), note="empty"),
    of_matrix("solve", REGULAR, (3,)),
    of_matrix("solve", REGULAR, (3, 2)),
    of_matrix("solve", REGULAR, (3, 1)),
    of_matrix("solve", REGULARS, (3, 3, 2)),
    of_matrix(
        "solve",
        REGULARS,
        (3,),
        torch=lambda t, a, b: t.linalg.solve(a, b[:, None])[..., 0],
        note="one vector for all",
    ),
    of_matrix(
        "solve",
        REGULARS,
        (3, 3),
        torch=lambda t, a, b: t.linalg.solve(a, b[None]),
        note="one matrix for all",
    ),
    of_matrix("solve", REGULAR, (2, 3, 2), note="one system, a stack of right sides"),
    of_matrix("solve", REGULARS[:, None], (2, 3, 1), note="both broadcast"),
    Row(
        "solve",
        (REGULAR,),
        lambda f, a: f(a, [1.0, 2.0, 3.0]),
        lambda a: np.linalg.solve(a, [1.0, 2.0, 3.0]),
        note="a list",
    ),
    of_matrix("det", REGULAR),
    of_matrix("det", REGULARS),
    of_matrix("det", (2, 2, 2, 2)),
    of_matrix("det", np.array([[-3.0]])),
    singular(RANK_2),
    singular(RANK_1, note="all cofactors are 0; "),
    singular(np.zeros((2, 2)), note="all cofactors are 0; "),
    singular(np.stack([REGULAR, RANK_2]), note="one of two; "),
    Row(
        "cofactor",
        (REGULAR,),
        None,
        lambda x: np.linalg.det(x) * np.linalg.inv(x).T,
        lambda t, x: t.linalg.det(x) * t.linalg.inv(x).T,
    ),
    Row(
        "cofactor",
        (REGULARS,),
        None,
        lambda x: np.linalg.det(x)[:, None, None] * np.linalg.inv(x).mT,
        lambda t, x: t.linalg.det(x)[:, None, None] * t.linalg.inv(x).mT,
    ),
    Row(
        "logabsdet",
        (REGULAR,),
        None,
        lambda x: np.log(np.abs(np.linalg.det(x))),
        lambda t, x: t.linalg.slogdet(x)[1],
    ),
    Row("logabsdet", (REGULARS,), None, lambda x: np.log(np.abs(np.linalg.det(x)))),
    of_matrix("slogdet", REGULARS),
    of_matrix("slogdet", -REGULAR, note="a negative determinant"),
    cholesky((3, 3)),
    cholesky((2, 2, 2)),
    cholesky((1, 1)),
]

ROWS: list[Row] = PRODUCTS + EINSUMS + MATRICES
