"""Rows for `ops/shaping.py`: each op on the shapes, axes and indices that it takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.op_rows import Row

MASK = np.array([[1, 0, 1, 0], [0, 0, 1, 1], [1, 1, 0, 0]], dtype=bool)
PICKS = np.array([[1, 1], [0, 3], [2, 2]])


def same(
    op: str, shape: Any, /, *args: Any, torch: Any = None, note: str = "", **options: Any
) -> Row:
    """The op and NumPy's function of that name, with the same arguments."""
    return Row(
        op,
        (shape,),
        lambda f, x: f(x, *args, **options),
        lambda x: getattr(np, op)(x, *args, **options),
        torch,
        note=note,
    )


def joined(op: str, *shapes: Any, torch: Any = None, note: str = "", **options: Any) -> Row:
    """The same for functions of a list of arrays."""
    return Row(
        op,
        shapes,
        lambda f, *xs: f(xs, **options),
        lambda *xs: getattr(np, op)(xs, **options),
        torch,
        note=note,
    )


def at(shape: Any, index: Any, torch: bool = True, note: str = "") -> Row:
    """x[index], here, in NumPy and in torch (which knows no negative steps and no np.ix_)."""
    return Row(
        "getitem",
        (shape,),
        lambda f, x: x[index],
        lambda x: x[index],
        (lambda t, x: x[index]) if torch else None,
        note=note,
    )


def placed(x: Any) -> Any:
    """x in the places of MASK."""
    z = np.zeros(MASK.shape)
    z[MASK] = x
    return z


SHAPES = [
    same("reshape", (2, 6), (3, 4), torch=lambda t, x: x.reshape(3, 4)),
    same("reshape", (2, 6), [4, 3]),
    same("reshape", (2, 6), np.array([3, 4])),
    same("reshape", (2, 6), -1, torch=lambda t, x: x.reshape(-1)),
    same("reshape", (2, 6), (2, -1, 3), torch=lambda t, x: x.reshape(2, -1, 3)),
    Row("reshape", ((2, 6),), lambda f, x: f(x, shape=(12,)), lambda x: x.reshape(12)),
    same("reshape", (1, 1), ()),
    same("reshape", (), (1, 1)),
    same("reshape", (0, 3), (3, 0), note="empty"),
    Row("reshape", ((2, 6),), lambda f, x: f(x, 3, 4), lambda x: x.reshape(3, 4)),
    Row("reshape", ((2, 3),), lambda f, x: f(x.T, 6), lambda x: x.T.reshape(6), note="a copy"),
    Row("flatten", ((2, 3, 4),), None, np.ravel, lambda t, x: x.flatten()),
    Row("flatten", ((2, 3, 4),), lambda f, x: f(x, 1), lambda x: x.reshape(2, 12)),
    Row("flatten", ((2, 3, 4),), lambda f, x: f(x, start_axis=-1), lambda x: x),
    Row("flatten", ((),), None, np.ravel),
    Row("flatten", ((0, 3),), lambda f, x: f(x, 1), lambda x: x.reshape(0, 3), note="empty"),
    Row("flatten", ((0, 3),), None, np.ravel, note="empty"),
    same("squeeze", (1, 3, 1), torch=lambda t, x: x.squeeze()),
    same("squeeze", (1, 3, 1), -1, torch=lambda t, x: x.squeeze(-1)),
    same("squeeze", (1, 3, 1), axis=(0, 2)),
    same("squeeze", (1, 1)),
    same("squeeze", ()),
    same("squeeze", (2, 3), note="nothing to squeeze"),
    same("expand_dims", (2, 3), 1, torch=lambda t, x: x.unsqueeze(1)),
    same("expand_dims", (2, 3), axis=-1, torch=lambda t, x: x.unsqueeze(-1)),
    same("expand_dims", (2, 3), (0, -1)),
    same("expand_dims", (), 0),
    Row(
        "unsqueeze",
        ((2, 3),),
        lambda f, x: f(x, 0),
        lambda x: x[None],
        lambda t, x: x.unsqueeze(0),
    ),
    same("transpose", (2, 3), torch=lambda t, x: x.T),
    same("transpose", (2, 3, 4), torch=lambda t, x: x.permute(2, 1, 0)),
    same("transpose", (2, 3, 4), (2, 0, 1), torch=lambda t, x: x.permute(2, 0, 1)),
    same("transpose", (2, 3, 4), axes=[1, 2, 0], torch=lambda t, x: x.permute(1, 2, 0)),
    same("transpose", (2, 3, 4), (-1, 0, -2)),
    same("transpose", (2, 3, 4), None),
    same("transpose", (3,)),
    same("transpose", (3,), (0,)),
    same("transpose", ()),
    same("transpose", (), ()),
    same("transpose", (2, 0), note="empty"),
    Row("transpose", ((2, 3, 4),), lambda f, x: f(x, 1, 2, 0), lambda x: x.transpose(1, 2, 0)),
    Row(
        "permute",
        ((2, 3, 4, 2),),
        lambda f, x: f(x, 3, 1, 0, 2),
        lambda x: x.transpose(3, 1, 0, 2),
        lambda t, x: x.permute(3, 1, 0, 2),
    ),
    Row("permute", ((2, 3, 4),), lambda f, x: f(x, (1, 2, 0)), lambda x: x.transpose(1, 2, 0)),
    same("swapaxes", (2, 3, 4), 0, 2, torch=lambda t, x: x.swapaxes(0, 2)),
    same("swapaxes", (2, 3, 4), -1, -2, torch=lambda t, x: x.mT),
    same("swapaxes", (2, 3), axis1=1, axis2=1),
    same("moveaxis", (2, 3, 4), 0, -1, torch=lambda t, x: x.moveaxis(0, -1)),
    same("moveaxis", (2, 3, 4, 2), (0, 2), (-1, 0), torch=lambda t, x: x.moveaxis((0, 2), (-1, 0))),
    same("moveaxis", (2, 3, 4), source=[2], destination=[0]),
]

COPIES = [
    Row("clone", ((2, 3),), None, np.copy, lambda t, x: x.clone()),
    Row("clone", ((),), None, np.copy),
    Row("astype", ((2, 3),), lambda f, x: f(x, x.dtype), lambda x: x),
    Row("astype", ((2,),), lambda f, x: f(f(x, "longdouble"), x.dtype), lambda x: x, note="twice"),
    same("broadcast_to", (3,), (2, 3), torch=lambda t, x: x.expand(2, 3)),
    same("broadcast_to", (2, 1), (4, 2, 3), torch=lambda t, x: x.expand(4, 2, 3)),
    same("broadcast_to", (), (2, 2)),
    same("broadcast_to", (), 3),
    same("broadcast_to", (1, 3), (1, 3)),
    same("broadcast_to", (1, 3), (0, 3), note="empty"),
    same("tile", (3,), 2, torch=lambda t, x: x.tile(2)),
    same("tile", (2, 3), (2, 3), torch=lambda t, x: x.tile(2, 3)),
    same("tile", (2, 3), 2, torch=lambda t, x: x.tile(2)),
    same("tile", (3,), (2, 2), torch=lambda t, x: x.tile(2, 2)),
    same("tile", (2, 1, 3), (3, 1), torch=lambda t, x: x.tile(3, 1)),
    same("tile", (2, 3), reps=[1, 2]),
    same("tile", (), 3),
    same("tile", (2, 3), (1, 0), note="empty"),
]

INDEXING = [
    at((5,), 2),
    at((5,), -1),
    at((5,), np.int64(3)),
    at((5,), np.s_[1:4]),
    at((5,), np.s_[::-2], torch=False),
    at((5,), np.s_[4:4], note="empty"),
    at((3, 4), 1),
    at((3, 4), np.s_[1, 2]),
    at((3, 4), np.s_[:, 1]),
    at((3, 4), np.s_[1:, ::2]),
    at((3, 4), np.s_[::-1, -3:-1], torch=False),
    at((2, 3, 4), np.s_[..., 0]),
    at((2, 3, 4), np.s_[0, ..., 1:3]),
    at((2, 3), np.s_[:, None]),
    at((2, 3), np.s_[None, 1, ..., None]),
    at((2, 3), None),
    at((2, 3), ...),
    at((2, 3), ()),
    at((), ()),
    at((), np.s_[None, ...]),
    at((5,), [0, 2, 2, -1], note="one entry twice"),
    at((5,), np.array([[1, 1], [0, 4]])),
    at((5,), [], note="an empty list"),
    at((5,), range(1, 3), torch=False),
    at((4, 3), [3, 0, 3]),
    at((4, 3), np.s_[:, [2, 2, 0, 2]]),
    at((4, 3), np.s_[[0, 1, 1], [2, 0, 0]]),
    at((4, 3), np.s_[np.arange(4), [0, 2, 1, 1]], note="one of each row"),
    at((4, 3), np.ix_([0, 3], [1, 1, 2])),
    at((4, 3), np.s_[1, [0, 0, 2]]),
    at((4, 3), np.s_[-1, np.array(2)], note="a 0-d array"),
    at((2, 3, 4), np.s_[[0, 1, 1], :, [3, 0, 0]], note="arrays apart: their axis comes first"),
    at((2, 3, 4), np.s_[:, [0, 2, 2], [3, 0, 0]]),
    at((2, 3, 4), np.s_[0, :, [1, 1]], torch=False),
    at((2, 3, 4), np.s_[..., [1, 1], None]),
    at((2, 3, 4), np.s_[1:, [[0], [2]], ::2]),
    at((0, 3), np.s_[:, [0, 0]], note="empty"),
    at((3, 4), MASK),
    at((3, 4), MASK[:, 0]),
    at((3, 4), np.s_[:, MASK[0]]),
    at((3, 4), np.s_[[True, False, True], 1:]),
    at((3, 4), np.s_[MASK[:, 0], [1, 3]]),
    at((3, 4), np.zeros((3, 4), bool), note="empty"),
    at((3, 4), True),
    at((), np.array(True), torch=False),
    Row("getitem", ((3, 4),), lambda f, x: f(f(x, 1), slice(1, 3)), lambda x: x[1, 1:3]),
    Row("scatter", ((3,),), lambda f, x: f(x, (slice(1, 4),), (5,)), lambda x: np.pad(x, 1)),
    Row(
        "scatter",
        ((3,),),
        lambda f, x: f(x, (np.array([0, 2, 0]),), (4,)),
        lambda x: np.array([x[0] + x[2], 0, x[1], 0]),
        lambda t, x: t.zeros(4).index_add(0, t.tensor([0, 2, 0]), x),
    ),
    Row(
        "scatter",
        ((2, 2, 2),),
        lambda f, x: f(x, (np.array([[2, 0], [-499, 2]]),), (501, 2)),
        lambda x: np.pad(
            np.stack([x[0, 1], 0 * x[0, 1], x[0, 0] + x[1, 0] + x[1, 1]]), ((0, 498), (0, 0))
        ),
        note="whole rows, one of them three times",
    ),
    Row(
        "scatter",
        ((2, 3),),
        lambda f, x: f(x, (slice(None), np.array([1, 1, 0])), (2, 2)),
        lambda x: np.stack([x[:, 2], x[:, 0] + x[:, 1]], axis=1),
    ),
    Row(
        "scatter",
        ((6,),),
        lambda f, x: f(x, (MASK,), (3, 4)),
        placed,
        lambda t, x: t.zeros(3, 4).masked_scatter(t.tensor(MASK), x),
    ),
    same("take", (3, 4), [0, 5, 5, -1], torch=lambda t, x: t.take(x, t.tensor([0, 5, 5, -1]))),
    same("take", (3, 4), [2, 0, 2], axis=0, torch=lambda t, x: x[[2, 0, 2]]),
    same("take", (3, 4), PICKS, axis=-1, torch=lambda t, x: x[:, PICKS]),
    same("take", (3, 4), indices=1, axis=1),
    same("take", (3, 4), np.array([], int), axis=1, note="empty"),
    same("take", (), [0, 0]),
    same("take_along_axis", (3, 4), PICKS, 1, torch=lambda t, x: x.gather(1, t.tensor(PICKS))),
    same("take_along_axis", (3, 4), np.array([[1, 0, 2, 2]]), axis=0),
    same("take_along_axis", (3, 4), np.array([[1, 1, 3]]), -1, note="the same for all rows"),
    same("take_along_axis", (2, 3), np.array([4, 4, 0]), axis=None),
    Row(
        "take_along_axis",
        ((2, 3, 4),),
        lambda f, x: f(x, np.argsort(x.data, axis=1), axis=1),
        lambda x: np.sort(x, axis=1),
        lambda t, x: t.sort(x, 1).values,
    ),
    same("repeat", (2, 3), 2, torch=lambda t, x: x.repeat_interleave(2)),
    same("repeat", (2, 3), 3, axis=0, torch=lambda t, x: x.repeat_interleave(3, 0)),
    same("repeat", (2, 3), [2, 0, 1], axis=-1),
    same("repeat", (2, 3), np.array([1, 2]), 0),
    same("repeat", (2, 3), [2], 1),
    same("repeat", (), 3),
    same("repeat", (2, 3), 0, 1, note="empty"),
]

JOINING = [
    joined("concatenate", (2, 3), (1, 3), torch=lambda t, *xs: t.cat(xs)),
    joined("concatenate", (2, 3), (2, 1), (2, 2), axis=1, torch=lambda t, *xs: t.cat(xs, 1)),
    joined("concatenate", (2, 3, 2), (2, 1, 2), axis=-2, torch=lambda t, *xs: t.cat(xs, -2)),
    joined("concatenate", (2, 3), (4,), (), axis=None),
    joined("concatenate", (3,)),
    joined("concatenate", (0, 3), (2, 3), note="empty"),
    Row(
        "concatenate",
        ((2, 3),),
        lambda f, x: f([x, x, x], 1),
        lambda x: np.concatenate([x, x, x], 1),
        note="one tensor three times",
    ),
    Row(
        "concatenate",
        ((2, 3),),
        lambda f, x: f([np.ones((1, 3), x.dtype), x, [[1.0, 2.0, 3.0]]]),
        lambda x: np.concatenate([np.ones((1, 3)), x, [[1.0, 2.0, 3.0]]]),
        note="beside constants",
    ),
    joined("stack", (2, 3), (2, 3), torch=lambda t, *xs: t.stack(xs)),
    joined("stack", (2, 3), (2, 3), (2, 3), axis=1, torch=lambda t, *xs: t.stack(xs, 1)),
    joined("stack", (2, 3), (2, 3), axis=-1, torch=lambda t, *xs: t.stack(xs, -1)),
    joined("stack", (0, 3), (0, 3), note="empty"),
    Row("stack", ((), ()), lambda f, x, y: f([x, 2.0, y]), lambda x, y: np.stack([x, 2.0, y])),
    Row("stack", ((3,),), lambda f, x: f([x, x]), lambda x: np.stack([x, x]), note="one twice"),
    joined("vstack", (3,), (2, 3), torch=lambda t, *xs: t.vstack(xs)),
    joined("vstack", (), ()),
    joined("vstack", (1, 2, 2), (2, 2, 2)),
    joined("hstack", (3,), (2,), torch=lambda t, *xs: t.hstack(xs)),
    joined("hstack", (2, 3), (2, 1), torch=lambda t, *xs: t.hstack(xs)),
    joined("hstack", (), (2,)),
    same("split", (6,), 3, torch=lambda t, x: t.tensor_split(x, 3)),
    same("split", (4, 6), [1, 4], axis=1, torch=lambda t, x: t.tensor_split(x, (1, 4), 1)),
    same("split", (4, 6), 2, -2),
    same("split", (4,), np.array([2, 2, -1]), note="an empty part"),
    same("array_split", (7, 2), 3, torch=lambda t, x: t.tensor_split(x, 3)),
    same("array_split", (2, 5), (1, 3), axis=1),
    same("array_split", (2,), 3, note="an empty part"),
]

MOVING = [
    same("flip", (2, 3), torch=lambda t, x: x.flip(0, 1)),
    same("flip", (2, 3), 0, torch=lambda t, x: x.flip(0)),
    same("flip", (2, 3, 2), axis=(0, -1), torch=lambda t, x: x.flip(0, -1)),
    same("flip", ()),
    same("roll", (5,), 2, torch=lambda t, x: x.roll(2)),
    same("roll", (2, 3), -1, torch=lambda t, x: x.roll(-1)),
    same("roll", (2, 3), 4, axis=1, torch=lambda t, x: x.roll(4, 1)),
    same("roll", (2, 3), (1, -1), axis=(0, 1), torch=lambda t, x: x.roll((1, -1), (0, 1))),
    same("roll", (2, 3), 1, (0, 1)),
    same("roll", (0,), 1, note="empty"),
    same("pad", (3,), 2, torch=lambda t, x: t.nn.functional.pad(x, (2, 2))),
    same("pad", (2, 3), (1, 0)),
    same("pad", (2, 3), pad_width=((1, 1),), mode="constant", constant_values=2.0),
    same("pad", (2, 3), [[1], [2]], "constant"),
    same("pad", (2, 3), 0),
    same("pad", (), 1),
    same("pad", (0, 2), 1, note="empty"),
    Row(
        "pad",
        ((2, 3),),
        lambda f, x: f(x, ((1, 2), (0, 3)), value=0.5),
        lambda x: np.pad(x, ((1, 2), (0, 3)), constant_values=0.5),
        lambda t, x: t.nn.functional.pad(x, (0, 3, 1, 2), value=0.5),
    ),
    Row(
        "masked_fill",
        ((3, 4), ()),
        lambda f, x, value: f(x, MASK, value),
        lambda x, value: np.where(MASK, value, x),
        lambda t, x, value: x.masked_fill(t.tensor(MASK), value),
    ),
    Row(
        "masked_fill",
        ((3, 4),),
        lambda f, x: f(x, mask=MASK[:, :1].tolist(), value=3),
        lambda x: np.where(MASK[:, :1], 3, x),
        lambda t, x: x.masked_fill(t.tensor(MASK[:, :1]), 3),
    ),
    Row(
        "masked_fill",
        ((4,),),
        lambda f, x: f(x, MASK, -2.0),
        lambda x: np.where(MASK, -2.0, x),
        note="the mask is larger",
    ),
    Row("masked_fill", ((),), lambda f, x: f(x, True, 1.0), lambda x: np.array(1.0)),
    same("tril", (3, 4), torch=lambda t, x: x.tril()),
    same("tril", (2, 3, 3), -1, torch=lambda t, x: x.tril(-1)),
    same("tril", (4, 2), k=1, torch=lambda t, x: x.tril(1)),
    same("triu", (3, 4), torch=lambda t, x: x.triu()),
    same("triu", (2, 3, 3), 1, torch=lambda t, x: x.triu(1)),
    same("triu", (4, 2), k=-1, torch=lambda t, x: x.triu(-1)),
    same("triu", (3,), note="a vector counts as every row"),
    same("triu", (0, 3), note="empty"),
]

DIAGONALS = [
    same("diagonal", (3, 3), torch=lambda t, x: x.diagonal()),
    same("diagonal", (3, 4), 1, torch=lambda t, x: x.diagonal(1)),
    same("diagonal", (4, 2), offset=-2, torch=lambda t, x: x.diagonal(-2)),
    same("diagonal", (2, 3, 4), torch=lambda t, x: x.diagonal()),
    same("diagonal", (2, 3, 4), 1, -2, -1, torch=lambda t, x: x.diagonal(1, -2, -1)),
    same("diagonal", (2, 3, 4), -1, axis1=2, axis2=0, torch=lambda t, x: x.diagonal(-1, 2, 0)),
    same("diagonal", (2, 3), 5, note="beyond the corner: empty"),
    same("diag", (3,), torch=lambda t, x: x.diag()),
    same("diag", (3,), 1, torch=lambda t, x: x.diag(1)),
    same("diag", (2,), k=-2, torch=lambda t, x: x.diag(-2)),
    same("diag", (3, 3), torch=lambda t, x: x.diag()),
    same("diag", (3, 4), 2, torch=lambda t, x: x.diag(2)),
    same("diag", (1, 1)),
    same("diag", (0,), note="empty"),
    same("trace", (3, 3), torch=lambda t, x: x.trace()),
    same("trace", (3, 4), offset=1, torch=lambda t, x: x.diagonal(1).sum()),
    same("trace", (4, 2), -2),
    same("trace", (2, 3, 3), axis1=-2, axis2=-1, torch=lambda t, x: x.diagonal(0, -2, -1).sum(-1)),
    same("trace", (2, 3, 4, 2), 1, 3, 1),
    same("trace", (2, 3, 2), note="a stack in the last axis"),
]

ROWS: list[Row] = SHAPES + COPIES + INDEXING + JOINING + MOVING + DIAGONALS
