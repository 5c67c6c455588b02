"""Ops of networks: each fused op against the composition it equals, corners, and what is refused.

The table in tests/op_rows/neural.py has values against loops, and gradients against differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import ops

FUSED: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "linear": (ops.linear, lambda x, w, b: x @ w + b, ((5, 3), (3, 2), (2,))),
    "linear of a stack": (ops.linear, lambda x, w, b: x @ w + b, ((2, 4, 3), (3, 2), (2,))),
    "linear without bias": (ops.linear, lambda x, w: x @ w, ((5, 3), (3, 2))),
    "softmax_cross_entropy": (
        lambda x: ops.softmax_cross_entropy(x, [2, 0, 1]),
        lambda x: -ops.log_softmax(x)[range(3), [2, 0, 1]].mean(),
        ((3, 4),),
    ),
    "softmax_cross_entropy with weights": (
        lambda x: ops.softmax_cross_entropy(x, [2, 0, 1], np.array([1.0, 0.0, 3.0])),
        lambda x: -(ops.log_softmax(x)[range(3), [2, 0, 1]] * np.array([1.0, 0.0, 3.0])).sum(),
        ((3, 4),),
    ),
    "softmax_cross_entropy of probabilities": (
        lambda x: ops.softmax_cross_entropy(x, np.eye(3) * 0.6 + 0.1),
        lambda x: -(ops.log_softmax(x) * (np.eye(3) * 0.6 + 0.1)).sum() / 3,
        ((3, 3),),
    ),
    "embedding": (
        lambda w: ops.embedding([[1, 1], [0, 3]], w),
        lambda w: w[np.array([[1, 1], [0, 3]])],
        ((4, 3),),
    ),
    "normalize": (
        lambda x: ops.normalize(x, axis=1, epsilon=0.1),
        lambda x: (x - x.mean(1, keepdims=True)) / ops.sqrt(x.var(1, keepdims=True) + 0.1),
        ((4, 3),),
    ),
    "normalize, scaled and shifted": (
        lambda x, a, b: ops.normalize(x, a, b, 0, 0.1),
        lambda x, a, b: a * ops.normalize(x, axis=0, epsilon=0.1) + b,
        ((4, 3), (3,), (4, 1)),
    ),
    "layer_norm": (
        lambda x, a, b: ops.layer_norm(x, a, b, epsilon=0.1),
        lambda x, a, b: a * ops.normalize(x, epsilon=0.1) + b,
        ((2, 4, 3), (3,), (3,)),
    ),
    "batch_norm": (
        lambda x, a, b: ops.batch_norm(x, a, b, epsilon=0.1),
        lambda x, a, b: a[:, None] * ops.normalize(x, axis=(0, 2), epsilon=0.1) + b[:, None],
        ((4, 2, 3), (2,), (2,)),
    ),
    "rms_norm": (
        lambda x, a: ops.rms_norm(x, a, epsilon=0.1),
        lambda x, a: a * x / ops.sqrt((x * x).mean(-1, keepdims=True) + 0.1),
        ((2, 4, 3), (3,)),
    ),
    "masked_softmax": (
        lambda x: ops.masked_softmax(x, np.tri(3, dtype=bool)),
        lambda x: ops.softmax(ops.where(np.tri(3, dtype=bool), x, -math.inf)),
        ((3, 3),),
    ),
    "scaled_dot_product_attention": (
        ops.scaled_dot_product_attention,
        lambda q, k, v: ops.softmax(q @ k.swapaxes(-1, -2) / math.sqrt(3)) @ v,
        ((2, 4, 3), (2, 5, 3), (2, 5, 2)),
    ),
    "scaled_dot_product_attention with a mask": (
        lambda q, k, v: ops.scaled_dot_product_attention(q, k, v, causal=True),
        lambda q, k, v: (
            ops.masked_softmax(q @ k.swapaxes(-1, -2) / math.sqrt(3), np.tri(4, dtype=bool)) @ v
        ),
        ((4, 3), (2, 1, 4, 3), (3, 4, 2)),
    ),
    "conv1d": (
        lambda x, w, b: ops.conv1d(x, w, b, stride=2),
        lambda x, w, b: ops.einsum("ock,nckp->nop", w, ops.windows(x, 3, 2)) + b.reshape(-1, 1),
        ((2, 3, 7), (4, 3, 3), (4,)),
    ),
    "conv2d": (
        lambda x, w: ops.conv2d(x, w, padding="same"),
        lambda x, w: ops.tensordot(
            w, ops.windows(x, (3, 3), padding=1), ((1, 2, 3), (1, 2, 3))
        ).swapaxes(0, 1),
        ((2, 3, 4, 5), (4, 3, 3, 3)),
    ),
    "max_pool2d": (
        lambda x: ops.max_pool2d(x, 2, 1),
        lambda x: ops.windows(x, 2, 1).max(axis=(2, 3)),
        ((2, 2, 4, 4),),
    ),
    "avg_pool2d": (
        lambda x: ops.avg_pool2d(x, 2),
        lambda x: ops.windows(x, 2, 2).mean(axis=(2, 3)),
        ((2, 2, 4, 4),),
    ),
}


def drawn(*shape: int, dtype: str = "float64") -> tg.Tensor:
    numbers = np.random.default_rng(math.prod(shape)).standard_normal(shape)
    return tg.Tensor(numbers.astype(dtype), requires_grad=True)


def gradients(f: Callable[..., Any], xs: list[tg.Tensor], create_graph: bool = False) -> Any:
    z = f(*xs)
    weights = np.cos(np.arange(z.size)).reshape(z.shape)
    return tg.grad((z * z * weights).sum(), xs, create_graph=create_graph)


@pytest.mark.parametrize("name", FUSED)
def test_fused_is_its_composition(name: str) -> None:
    fused, composition, shapes = FUSED[name]
    xs = [drawn(*shape) for shape in shapes]
    np.testing.assert_allclose(fused(*xs).data, composition(*xs).data, rtol=1e-12, atol=1e-14)
    pairs = zip(gradients(fused, xs), gradients(composition, xs), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", FUSED)
def test_fused_is_its_composition_in_second_order(name: str) -> None:
    fused, composition, shapes = FUSED[name]
    xs = [drawn(*shape) for shape in shapes]

    def curvature(f: Callable[..., Any]) -> Any:
        first = gradients(f, xs, create_graph=True)
        total = first[0].sum()
        for dx in first[1:]:
            total = total + (dx * dx).sum()
        return tg.grad(total, xs)

    for ours, theirs in zip(curvature(fused), curvature(composition), strict=True):
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", FUSED)
def test_float32_stays_float32(name: str) -> None:
    fused, _, shapes = FUSED[name]
    z = fused(*(drawn(*shape, dtype="float32") for shape in shapes))
    assert z.dtype == np.float32
    waiting = [z]
    while waiting:
        z = waiting.pop()
        for x, pullback in z._edges:
            assert pullback(np.ones(z.shape, np.float32)).dtype == np.float32, z.op
            waiting.append(x)


# ---------------------------------------------------------------- linear


def test_linear_with_one_argument_that_learns() -> None:
    x, w, b = drawn(4, 3), drawn(3, 2), drawn(2)
    full = tg.grad((ops.linear(x, w, b) ** 2).sum(), [x, w, b])
    for k in range(3):
        args = [t if i == k else t.detach() for i, t in enumerate((x, w, b))]
        alone = tg.grad((ops.linear(*args) ** 2).sum(), args[k], create_graph=True)
        np.testing.assert_array_equal(alone.data, full[k].data)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((32, 10), (64, 5)), "x (32, 10), weight (64, 5): 10 != 64. Make the weight (10, 5)"),
        (((32, 10), (5, 10)), "did you mean weight.T?"),
        (((2, 3, 10), (5, 10)), "x (2, 3, 10), weight (5, 10): 10 != 5"),
        (((4, 10), (10,)), "make x (..., inputs) and weight (inputs, outputs)"),
        (((), (10, 5)), "make x (..., inputs)"),
        (((4, 3), (3, 2), (3,)), "make the bias (2,)"),
        (((4, 3), (3, 2), (4, 2)), "make the bias (2,)"),
        (((2, 4, 3), (3, 2), (1,)), "make the bias (2,)"),
    ],
)
def test_linear_refuses(shapes: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        ops.linear(*(tg.ones(shape) for shape in shapes))
    assert str(caught.value).startswith("linear: ")
    assert message in str(caught.value)


# ---------------------------------------------------------------- softmax_cross_entropy


def loss_and_gradient(logits: Any, labels: Any, *weights: Any) -> tuple[float, np.ndarray]:
    x = tg.Tensor(np.array(logits, dtype=float), requires_grad=True)
    loss = ops.softmax_cross_entropy(x, labels, *weights)
    loss.backward()
    return loss.item(), x.grad


def test_cross_entropy_far_out() -> None:
    loss, dx = loss_and_gradient([[1e4, -1e4], [-1e4, 1e4]], [0, 0])
    assert loss == 1e4
    np.testing.assert_array_equal(dx, [[0, 0], [-0.5, 0.5]])


def test_cross_entropy_in_float32_at_its_largest() -> None:
    big = np.finfo(np.float32).max
    x = tg.Tensor(np.array([[big, -big]], np.float32), requires_grad=True)
    loss = ops.softmax_cross_entropy(x, [0])
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(x.grad, [[0, 0]])


def test_cross_entropy_with_impossible_classes() -> None:
    loss, dx = loss_and_gradient([[-math.inf, 0.0, 0.0]], [1])
    assert loss == pytest.approx(math.log(2))
    np.testing.assert_allclose(dx, [[0, -0.5, 0.5]])
    loss, dx = loss_and_gradient([[-math.inf, 0.0, 0.0]], [0])
    assert loss == math.inf
    np.testing.assert_allclose(dx, [[-1, 0.5, 0.5]])
    loss, dx = loss_and_gradient([[-math.inf, 0.0, 0.0]], [[0.0, 0.5, 0.5]])
    assert loss == pytest.approx(math.log(2))
    np.testing.assert_allclose(dx, [[0, 0, 0]])


@pytest.mark.parametrize("row", [[-math.inf, -math.inf], [math.inf, 0.0], [math.nan, 0.0]])
def test_cross_entropy_of_nothing_to_compare_is_nan_without_a_warning(row: list[float]) -> None:
    assert math.isnan(loss_and_gradient([row], [0])[0])


def test_cross_entropy_leaves_out_examples_of_weight_0() -> None:
    loss, dx = loss_and_gradient([[-math.inf, 0.0], [1.0, 2.0]], [0, 1], np.array([0.0, 1.0]))
    alone, dx_alone = loss_and_gradient([[1.0, 2.0]], [1])
    assert loss == pytest.approx(alone)
    np.testing.assert_allclose(dx, [[0, 0], dx_alone[0]])


def test_cross_entropy_takes_every_kind_of_whole_numbers() -> None:
    x = drawn(3, 4)
    expected = ops.softmax_cross_entropy(x, [0, 3, 1]).item()
    for dtype in ("int8", "uint8", "int32", "uint64", ">i4"):
        assert ops.softmax_cross_entropy(x, np.array([0, 3, 1], dtype)).item() == expected
    assert ops.softmax_cross_entropy(x, tg.Tensor(np.array([0, 3, 1]))).item() == expected
    assert ops.softmax_cross_entropy(x, np.eye(4, dtype=int)[[0, 3, 1]]).item() == expected


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 1, 9, 12], ValueError, "label 12 at position 3 is not in 0..9"),
        ([0, -1, 9, 12], ValueError, "label -1 at position 1 is not in 0..9"),
        (np.array([0, 1, 255, 2], "uint8"), ValueError, "label 255 at position 2"),
        ([0.0, 1.0, 2.0, 3.0], TypeError, "label 0.0 at position 0 is of dtype float64"),
        ([0.0, 1.0, 2.5, 3.0], TypeError, "label 2.5 at position 2"),
        ([0.0, 1.0, 2.0, math.nan], TypeError, "label nan at position 3"),
        ([True, False, True, True], TypeError, "label True at position 0 is of dtype bool"),
        ([0, 1, 2], ValueError, "labels (3,): give labels (4,)"),
        (3, ValueError, "labels (): give labels (4,)"),
        ([[0], [1], [2], [3]], ValueError, "labels (4, 1): give labels (4,)"),
        (np.full((4, 10), -0.1), ValueError, "probability -0.1 at position (0, 0)"),
        (np.full((4, 10), math.nan), ValueError, "probability nan at position (0, 0)"),
    ],
)
def test_cross_entropy_refuses_labels(labels: Any, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        ops.softmax_cross_entropy(drawn(4, 10), labels)
    assert str(caught.value).startswith("softmax_cross_entropy: ")
    assert message in str(caught.value)


def test_cross_entropy_refuses_no_examples_and_unfit_weights() -> None:
    for labels in (np.zeros(0, int), np.zeros((0, 3))):
        with pytest.raises(ValueError, match="the mean loss of no examples"):
            ops.softmax_cross_entropy(tg.ones(0, 3), labels)
    with pytest.raises(ValueError, match=r"weights \(3,\): give one weight per example, \(4,\)"):
        ops.softmax_cross_entropy(drawn(4, 10), [0, 1, 2, 3], np.ones(3))
    with pytest.raises(TypeError, match="no gradient with respect to weights"):
        ops.softmax_cross_entropy(drawn(4, 10), [0, 1, 2, 3], drawn(4))


# ---------------------------------------------------------------- embedding


def test_embedding_adds_over_many_repeated_indices() -> None:
    rng = np.random.default_rng(0)
    indices, weight = rng.integers(0, 7, 5000), drawn(9, 4)
    g = rng.standard_normal((5000, 4))
    ops.embedding(indices, weight).backward(g)
    expected = np.zeros((9, 4))
    for i, row in zip(indices, g, strict=True):
        expected[i] += row
    np.testing.assert_allclose(weight.grad, expected, atol=1e-10)


@pytest.mark.parametrize(
    ("indices", "error", "message"),
    [
        ([0, 5], ValueError, "index 5 at position 1 is not in 0..4"),
        ([[0, 1], [-1, 2]], ValueError, "index -1 at position (1, 0)"),
        ([0.0, 1.0], TypeError, "dtype float64"),
        ([True, False], TypeError, "dtype bool"),
    ],
)
def test_embedding_refuses(indices: Any, error: type, message: str) -> None:
    with pytest.raises(error) as caught:
        ops.embedding(indices, drawn(5, 3))
    assert message in str(caught.value)


# ---------------------------------------------------------------- normalising


def test_normalize_of_equal_numbers_is_0_with_a_finite_gradient() -> None:
    x = tg.Tensor(np.full((2, 3), 7.0), requires_grad=True)
    z = ops.normalize(x)
    z.backward(np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 0.0]]))
    np.testing.assert_array_equal(z.data, np.zeros((2, 3)))
    np.testing.assert_allclose(x.grad[0], (np.array([1.0, 2.0, 6.0]) - 3) / math.sqrt(1e-5))


def test_normalize_keeps_digits_far_from_0() -> None:
    x = np.array([1e8, 1e8 + 1, 1e8 + 2])
    np.testing.assert_allclose(ops.normalize(x, epsilon=0.0).data, np.array([-1, 0, 1]) * 1.5**0.5)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("norm", [ops.layer_norm, ops.rms_norm])
def test_norms_in_every_precision(norm: Callable[..., Any], dtype: str) -> None:
    x, a = drawn(5, 70, dtype=dtype), drawn(70, dtype=dtype)
    z = norm(x, a)
    (z * z).sum().backward()
    fine, fine_a = (tg.Tensor(t.data.astype(float), requires_grad=True) for t in (x, a))
    exact = norm(fine, fine_a)
    (exact * exact).sum().backward()
    assert z.dtype == x.grad.dtype == a.grad.dtype == dtype
    few = 40 * float(np.finfo(dtype).eps)
    for found, true in ((z.data, exact.data), (x.grad, fine.grad), (a.grad, fine_a.grad)):
        np.testing.assert_allclose(found, true, rtol=0, atol=few * np.abs(true).max())


def test_normalize_of_many_numbers_far_from_0() -> None:
    noise = np.random.default_rng(0).standard_normal((3, 1000))
    shifted = ops.normalize((noise + 1000).astype(np.float32)).data
    np.testing.assert_allclose(shifted, ops.normalize(noise).data, atol=5e-4)


def test_norms_refuse() -> None:
    x = drawn(4, 3)
    with pytest.raises(ValueError, match=r"layer_norm: x \(4, 3\), scale \(4,\): make the scale"):
        ops.layer_norm(x, tg.ones(4))
    with pytest.raises(ValueError, match=r"batch_norm: x \(4, 3\), shift \(1,\): make the shift"):
        ops.batch_norm(x, shift=tg.ones(1))
    with pytest.raises(ValueError, match=r"rms_norm: x \(4, 3\), scale \(2,\): make the scale"):
        ops.rms_norm(x, tg.ones(2))
    with pytest.raises(ValueError, match="layer_norm: axis"):
        ops.layer_norm(x, axis=2)
    with pytest.raises(ValueError, match="an empty batch has no mean"):
        ops.batch_norm(tg.ones(0, 3))


def test_norms_with_nothing_left_over() -> None:
    for norm in (ops.layer_norm, ops.rms_norm):
        assert norm(tg.ones(0, 3)).shape == (0, 3)
        assert norm(tg.ones(3, 0)).shape == (3, 0)
    assert ops.batch_norm(tg.Tensor([1.0, 2.0])).shape == (2,)
    assert ops.batch_norm(drawn(1, 3), shift=tg.ones(3)).data.tolist() == [[1.0, 1.0, 1.0]]


# ---------------------------------------------------------------- dropout


def test_dropout_keeps_the_mean_and_drops_the_share() -> None:
    x = tg.ones(200, 500, requires_grad=True)
    z = ops.dropout(x, 0.3, rng=1)
    assert set(np.unique(z.data)) == {np.float32(0), np.float32(1 / 0.7)}
    assert np.mean(z.data == 0) == pytest.approx(0.3, abs=0.01)
    z.backward(np.ones(z.shape, np.float32))
    np.testing.assert_array_equal(x.grad, z.data)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_dropout_keeps_the_dtype(dtype: str) -> None:
    assert ops.dropout(np.ones(4, dtype), 0.5, rng=0).dtype == dtype


def test_dropout_draws_what_the_seed_says() -> None:
    x = tg.ones(50)
    np.testing.assert_array_equal(ops.dropout(x, rng=3).data, ops.dropout(x, rng=3).data)
    tg.manual_seed(5)
    first = ops.dropout(x).data
    assert not np.array_equal(first, ops.dropout(x).data)
    tg.manual_seed(5)
    np.testing.assert_array_equal(first, ops.dropout(x).data)


def test_dropout_does_nothing_when_there_is_nothing_to_do() -> None:
    x = drawn(3)
    assert ops.dropout(x, training=False) is x
    assert ops.dropout(x, 0) is x
    assert isinstance(ops.dropout(np.ones(3), training=False), tg.Tensor)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1, 2.0, math.nan])
def test_dropout_refuses_a_rate(rate: float) -> None:
    with pytest.raises(ValueError, match="dropout: rate="):
        ops.dropout(tg.ones(3), rate, training=False)


# ---------------------------------------------------------------- attention


def test_attention_to_nothing_is_0_with_gradient_0() -> None:
    q, k, v = drawn(2, 3), drawn(4, 3), drawn(4, 2)
    mask = np.array([[False] * 4, [True] * 4])
    z = ops.scaled_dot_product_attention(q, k, v, mask)
    np.testing.assert_array_equal(z.data[0], [0, 0])
    (z * z).sum().backward()
    np.testing.assert_array_equal(q.grad[0], [0, 0, 0])
    dq = tg.grad((z * z).sum(), q, create_graph=True)
    assert np.isfinite(tg.grad((dq * dq).sum(), q).data).all()
    assert ops.scaled_dot_product_attention(q, k[:0], v[:0], mask[:, :0]).data.sum() == 0


@pytest.mark.parametrize("garbage", [math.nan, math.inf, -math.inf, 1e30])
def test_attention_does_not_look_where_it_must_not(garbage: float) -> None:
    q, k, v = drawn(2, 3), drawn(4, 3), drawn(4, 2)
    expected = ops.scaled_dot_product_attention(q, k[:3], v[:3]).data
    k = tg.Tensor(np.where(np.arange(4)[:, None] < 3, k.data, garbage))
    seen = np.array([True, True, True, False])
    with np.errstate(invalid="ignore"):  # q k^T adds inf and -inf
        z = ops.scaled_dot_product_attention(q, k, v, seen)
        scores = ops.masked_softmax(q @ k.mT, seen)
    np.testing.assert_allclose(z.data, expected, rtol=1e-12)
    assert (scores.data[:, 3] == 0).all()
    assert np.isfinite(scores.data).all()


def test_causal_attention_does_not_see_the_future() -> None:
    x = drawn(5, 3)
    z = ops.scaled_dot_product_attention(x, x, x, causal=True)
    dx = tg.grad(z[1].sum(), x).data
    np.testing.assert_array_equal(dx[2:], np.zeros((3, 3)))
    assert (dx[:2] != 0).all()


def test_attention_far_out() -> None:
    q, k = tg.Tensor([[1e4, 0.0]]), tg.Tensor([[1e4, 0.0], [-1e4, 0.0]])
    v = tg.Tensor([[1.0], [2.0]])
    for mask in (None, np.array([True, True])):
        assert ops.scaled_dot_product_attention(q, k, v, mask).data.tolist() == [[1.0]]


def test_attention_refuses() -> None:
    attend = ops.scaled_dot_product_attention
    with pytest.raises(ValueError, match="query and key need one size"):
        attend(drawn(2, 3), drawn(4, 5), drawn(4, 2))
    with pytest.raises(ValueError, match="key and value one length"):
        attend(drawn(2, 3), drawn(4, 3), drawn(5, 2))
    with pytest.raises(ValueError, match=r"give each \(..., length, size\)"):
        attend(drawn(3), drawn(4, 3), drawn(4, 2))
    with pytest.raises(TypeError, match="a mask of dtype float64; give bools"):
        attend(drawn(2, 3), drawn(4, 3), drawn(4, 2), np.ones((2, 4)))


# ---------------------------------------------------------------- windows, convolution, pooling


def test_windows_and_fold_are_adjoint() -> None:
    """<windows x, y> = <x, fold y>, which is what makes each the pullback of the other."""
    rng = np.random.default_rng(0)
    for how in [(1, 1, 0), (2, 1, 1), (1, 2, "same"), ((2, 1), (1, 2), ((0, 1), (2, 0)))]:
        x = rng.standard_normal((2, 3, 7, 6))
        seen = ops.windows(x, (3, 2), *how).data
        y = rng.standard_normal(seen.shape)
        assert (seen * y).sum() == pytest.approx((x * ops.fold(y, (7, 6), *how).data).sum())


def test_windows_is_a_view() -> None:
    x = tg.ones(1, 1, 8, 8)
    assert np.shares_memory(ops.windows(x, 3).data, x.data)


def test_same_keeps_the_size() -> None:
    x = drawn(1, 2, 5, 6)
    for size in [(1, 1), (2, 3), (4, 5)]:
        for dilation in (1, 2):
            weight = drawn(3, 2, *size)
            z = ops.conv2d(x, weight, padding="same", dilation=dilation)
            assert z.shape == (1, 3, 5, 6)


@pytest.mark.parametrize(
    ("x", "weight", "options", "message"),
    [
        ((1, 3, 8, 8), (4, 2, 3, 3), {}, "x has 3 channels, the weight is for 2"),
        ((1, 3, 8), (4, 3, 3, 3), {}, "make x (batch, channels, height, width)"),
        ((1, 3, 8, 8), (4, 3, 9, 3), {}, "windows that reach over (9, 3) places do not fit"),
        ((1, 3, 8, 8), (4, 3, 5, 3), {"dilation": 2}, "do not fit into (8, 8)"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": 0}, "stride=0; give a whole number, at least 1"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": 1.5}, "stride=1.5; give"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"stride": (1, 1, 1)}, "or 2 of them"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": -1}, "padding=-1; give"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": "all"}, "give 'same', 'valid' or numbers"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": (1, 1, 1)}, "give one for each of 2 axes"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"padding": "same", "stride": 2}, "is for stride=1"),
        ((1, 3, 8, 8), (4, 1, 3, 3), {"groups": 3}, "the 4 outputs do not split into 3 groups"),
        ((1, 3, 8, 8), (4, 3, 3, 3), {"bias": tg.ones(3)}, "make the bias (4,)"),
    ],
)
def test_conv2d_refuses(x: Any, weight: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        ops.conv2d(tg.ones(x), tg.ones(weight), **options)
    assert str(caught.value).startswith("conv2d: ")
    assert message in str(caught.value)


def test_windows_and_pools_refuse() -> None:
    with pytest.raises(ValueError, match=r"windows: x \(2, 3\): make it \(batch, channels"):
        ops.windows(tg.ones(2, 3), 2)
    with pytest.raises(ValueError, match=r"fold: x .* is not what windows of"):
        ops.fold(tg.ones(1, 1, 2, 2, 2, 2), (4, 4))
    with pytest.raises(ValueError, match=r"max_pool2d: x .* make it"):
        ops.max_pool2d(tg.ones(2, 4, 4), 2)
    with pytest.raises(ValueError, match=r"avg_pool2d: .* do not fit"):
        ops.avg_pool2d(tg.ones(1, 1, 4, 4), 5)
    with pytest.raises(ValueError, match="at most half the size"):
        ops.max_pool2d(tg.ones(1, 1, 4, 4), 2, padding=2)


def test_tied_maxima_share() -> None:
    x = tg.Tensor([[[[1.0, 1.0, 0.0, 2.0], [1.0, 0.0, 2.0, 2.0]]]], requires_grad=True)
    z = ops.max_pool2d(x, 2)
    z.backward(np.array([[[[3.0, 6.0]]]], np.float32))
    np.testing.assert_array_equal(x.grad, [[[[1, 1, 0, 2], [1, 0, 2, 2]]]])


def test_max_pool_of_nan_is_nan() -> None:
    x = tg.Tensor(np.array([[[[math.nan, 1.0], [2.0, 3.0]]]]), requires_grad=True)
    z = ops.max_pool2d(x, 2)
    assert math.isnan(z.item())
    z.backward(np.ones((1, 1, 1, 1)))  # and no warning


def test_max_pool_of_negative_numbers_ignores_padding() -> None:
    z = ops.max_pool2d(-tg.ones(1, 1, 4, 4), 3, 1, 1)
    np.testing.assert_array_equal(z.data, -np.ones((1, 1, 4, 4)))


def test_convolution_of_images_that_are_not_contiguous() -> None:
    x, weight = drawn(2, 5, 6, 3), drawn(4, 3, 3, 3)
    channels_last = x.transpose(0, 3, 1, 2)
    expected = ops.conv2d(np.ascontiguousarray(channels_last.data), weight)
    np.testing.assert_allclose(ops.conv2d(channels_last, weight).data, expected.data, rtol=1e-12)
