"""Losses of probabilities: by hand, where they are 0 and 1, straight from logits, and refused."""

import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import ops
from tinygrad_edu.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    binary_crossentropy,
    categorical_crossentropy,
    cross_entropy,
    kl_divergence,
    nll,
    sparse_categorical_crossentropy,
)

LEAST = 1e-7
ONEHOT, LABELS = np.eye(3)[[2, 0]], np.array([2, 0])
ROWS = {  # loss: targets for two rows of three
    categorical_crossentropy: ONEHOT,
    sparse_categorical_crossentropy: LABELS,
    kl_divergence: ONEHOT,
}
BINARY = [binary_cross_entropy, binary_crossentropy]
each_row_loss = pytest.mark.parametrize("loss", ROWS, ids=lambda loss: loss.__name__)
each_binary = pytest.mark.parametrize("loss", BINARY, ids=lambda loss: loss.__name__)


def value_and_slope(loss, x, y, dtype="float64", before=lambda x: x):
    """Each loss, and its slope along x, where `before` makes the prediction of x."""
    x = tg.Tensor(np.array(x, dtype), requires_grad=True)
    each = loss(before(x), y, "none")
    each.sum().backward()
    return each.data, x.grad


def refusal(loss, *args, error=ValueError):
    with pytest.raises(error) as caught:
        loss(*args)
    assert str(caught.value).startswith(f"{loss.__name__}:")
    return str(caught.value)


# ---------------------------------------------------------------- by hand


def test_all_of_them_are_minus_the_logarithm_of_what_the_truth_got():
    p = np.array([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    for loss, target in ROWS.items():
        np.testing.assert_allclose(loss(p, target, "none").data, -np.log([0.5, 0.1]), rtol=1e-15)
    for loss in BINARY:
        found = loss(np.array([0.5, 0.1]), [1, 0], "none").data
        np.testing.assert_allclose(found, -np.log([0.5, 0.9]), rtol=1e-15)


def test_the_divergence_from_itself_is_0_and_from_others_above():
    p, q = np.random.default_rng(0).dirichlet(np.ones(4), (2, 50))
    q[0] = [1, 0, 0, 0]
    assert (kl_divergence(q, q, "none").data == 0).all()
    assert (kl_divergence(p, q, "none").data > 0).all()
    np.testing.assert_allclose(  # of what is certain, it is the cross-entropy
        kl_divergence(p[:1], q[:1]).item(), categorical_crossentropy(p[:1], q[:1]).item()
    )


def test_the_slope_along_a_target_is_minus_the_logarithm_also_where_it_is_0():
    p, y = np.array([[0.2, 0.8], [0.6, 0.4]]), tg.Tensor(np.eye(2), requires_grad=True)
    categorical_crossentropy(p, y, "sum").backward()
    np.testing.assert_allclose(y.grad, -np.log(p), rtol=1e-14)


# ---------------------------------------------------------------- where they are 0 and 1


def test_pytorchs_binary_cross_entropy_counts_a_logarithm_as_at_least_minus_100():
    each, slopes = value_and_slope(binary_cross_entropy, [0.0, 1.0, 1e-30, 1.0], [1, 0, 1, 1])
    np.testing.assert_allclose(each, [100, 100, -math.log(1e-30), 0])
    np.testing.assert_allclose(slopes, [-1e12, 1e12, -1e12, 0], rtol=1e-7)


def test_kerass_binary_crossentropy_counts_a_probability_as_at_least_1e_7():
    each, slopes = value_and_slope(binary_crossentropy, [0.0, 1.0, 1e-30, 1.0], [1, 0, 1, 1])
    worst = -math.log(LEAST)
    np.testing.assert_allclose(each, [worst, worst, worst, LEAST], rtol=1e-7)
    assert slopes.tolist() == [0, 0, 0, 0]


@each_row_loss
def test_a_truth_with_probability_0_costs_a_finite_number(loss):
    p = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    each, slopes = value_and_slope(loss, p, ROWS[loss])
    np.testing.assert_allclose(each, [-math.log(LEAST)] * 2)
    assert np.isfinite(slopes).all()


@each_row_loss
def test_a_certain_truth_costs_nothing(loss):
    each, _ = value_and_slope(loss, ONEHOT, ROWS[loss])
    np.testing.assert_allclose(each, 0, atol=1.1e-7)


@pytest.mark.parametrize("loss", [categorical_crossentropy, sparse_categorical_crossentropy])
def test_rows_are_divided_by_their_sum_as_in_keras(loss):
    p = np.array([[0.2, 0.3, 0.5], [0.1, 0.6, 0.3]])
    found, expected = (loss(x, ROWS[loss], "none").data for x in (p * 1.01, p))
    np.testing.assert_allclose(found, expected, rtol=1e-14)


# ---------------------------------------------------------------- straight from logits


@each_row_loss
def test_straight_from_softmax_and_by_way_of_the_probabilities_agree(loss):
    x = [[0.5, -1.0, 2.0], [3.0, 0.1, -2.0]]
    direct = value_and_slope(loss, x, ROWS[loss], before=ops.softmax)
    around = value_and_slope(loss, x, ROWS[loss], before=lambda x: ops.softmax(x) * 1.0)
    for found, expected in zip(direct, around, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


@each_row_loss
@pytest.mark.parametrize("axis", [(), (-1,), (1,)], ids=str)
@pytest.mark.parametrize("size", [40.0, 1e4])
def test_straight_from_softmax_nothing_saturates(loss, size, axis):
    x = [[size, 0.0, -size], [-size, size, 0.0]]  # the truth is at the bottom of each
    each, slopes = value_and_slope(
        loss, x, ROWS[loss], "float32", before=lambda x: ops.softmax(x, *axis)
    )
    np.testing.assert_allclose(each, [2 * size, 2 * size], rtol=1e-6)
    np.testing.assert_allclose(slopes, [[1, 0, -1], [-1, 1, 0]], atol=1e-6)


def test_straight_from_the_layer_it_learns_from_what_it_was_sure_of():
    model = tg.layers.Sequential(tg.layers.Linear(1, 2, rng=0), tg.layers.Softmax())
    model.parameters()[0].data[...] = [[-60.0, 60.0]]
    optimizer = tg.optimizers.SGD(model, lr=10.0)
    x = np.ones((1, 1), "f4")
    for _ in range(20):
        optimizer.minimize(lambda: categorical_crossentropy(model(x), [[1, 0]]))
    assert model(x).data[0, 0] > 0.99


@pytest.mark.parametrize("size", [40.0, 1e4, math.inf])
def test_straight_from_sigmoid_nothing_saturates(size):
    each, slopes = value_and_slope(
        binary_crossentropy, [size, -size, size], [0, 1, 1], "float32", before=ops.sigmoid
    )
    np.testing.assert_allclose(each, [size, size, 0], rtol=1e-6, atol=1e-15)
    np.testing.assert_allclose(slopes, [1, -1, 0], atol=1e-15)


def test_straight_from_sigmoid_and_by_way_of_the_probabilities_agree():
    x, y = np.linspace(-5, 5, 11), np.linspace(0, 1, 11)
    direct = value_and_slope(binary_crossentropy, x, y, before=ops.sigmoid)
    around = value_and_slope(binary_crossentropy, x, y, before=lambda x: ops.sigmoid(x) * 1.0)
    for found, expected in zip(direct, around, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_softmax_along_another_axis_makes_no_rows_of_probabilities():
    x = tg.Tensor([[0.0, 3.0], [0.0, 1.0]], requires_grad=True)
    for axis in (0, -2):
        assert "sum of the prediction" in refusal(
            categorical_crossentropy, ops.softmax(x, axis=axis), [[1, 0], [0, 1]]
        )


def test_who_waits_for_the_gradient_of_the_probabilities_gets_it():
    x = tg.Tensor([[0.0, 1.0]], requires_grad=True)
    p = ops.softmax(x)
    p.retain_grad()
    categorical_crossentropy(p, [[1, 0]]).backward()
    q = ops.softmax(x)
    seen = []
    q.register_hook(seen.append)
    categorical_crossentropy(q, [[1, 0]]).backward()
    for found in (p.grad, seen[0]):  # -1 / p_0, but for what dividing by the sum takes away
        np.testing.assert_allclose(found, [[1 - 1 / p.data[0, 0], 1]], rtol=1e-5)


def test_probabilities_of_logits_that_changed_since_count_as_they_are():
    x = tg.Tensor([[0.0, 0.0]], requires_grad=True)
    p = ops.softmax(x)
    x.data = np.array([[5.0, 0.0]], "f4")
    assert categorical_crossentropy(p, [[1, 0]]).item() == pytest.approx(math.log(2))


def test_without_gradients_probabilities_count_as_at_least_1e_7():
    x = tg.Tensor([[100.0, 0.0]], requires_grad=True)
    assert categorical_crossentropy(ops.softmax(x), [[0, 1]]).item() == 100
    with tg.no_grad():
        found = categorical_crossentropy(ops.softmax(x), [[0, 1]]).item()
    assert found == pytest.approx(-math.log(LEAST))


def test_second_derivatives_straight_from_logits():
    x = np.random.default_rng(0).standard_normal((2, 3))
    for loss, target in ROWS.items():
        tg.gradcheck(lambda x: loss(ops.softmax(x), target), x, order=2)  # noqa: B023
    y = [[0.5, 1.0, 0.0], [0.0, 0.3, 1.0]]
    tg.gradcheck(lambda x: binary_crossentropy(ops.sigmoid(x), y), x, order=2)


# ---------------------------------------------------------------- nll


def test_nll_of_log_probabilities_is_the_cross_entropy_of_logits():
    x = tg.Tensor(np.random.default_rng(0).standard_normal((4, 3)) * 100)
    labels = [0, 2, 2, 1]
    assert nll(ops.log_softmax(x), labels).item() == cross_entropy(x, labels).item()


def test_nll_refuses_logits_and_names_their_loss():
    text = refusal(nll, np.array([[0.0, 3.0], [1.0, 0.0]]), [0, 1])
    assert "at [0]" in text and "cross_entropy" in text and "log_softmax" in text
    assert "is not 1" in refusal(nll, np.array([[-1.0, -3.0]]), [0])  # nor if all are negative
    assert "cross_entropy" in refusal(nll, np.array([[1e4, 0.0]]), [0])  # without a warning


def test_nll_refuses_probabilities_as_targets_and_bad_labels():
    log_p = np.log(np.full((2, 2), 0.5))
    assert "kl_divergence" in refusal(nll, log_p, [[0, 1], [1, 0]])
    assert "label 2 at [1] is not in 0..1" in refusal(nll, log_p, [0, 2])
    assert "float64" in refusal(nll, log_p, [0.5, 1], error=TypeError)
    assert "prediction (2, 2), target (3,)" in refusal(nll, log_p, [0, 1, 1])


def test_a_class_that_is_ruled_out_costs_infinity_in_nll_only_where_it_is_the_truth():
    log_p = np.array([[0.0, -math.inf], [0.0, -math.inf]])
    assert nll(log_p, [0, 1], "none").tolist() == [0, math.inf]


# ---------------------------------------------------------------- what is refused


@each_row_loss
def test_logits_are_refused_and_their_loss_is_named(loss):
    text = refusal(loss, [[0.5, -1.0, 1.5], [0.0, 0.0, 1.0]], ROWS[loss])
    assert "prediction -1.0 at [0, 1]" in text and "For logits use cross_entropy." in text
    text = refusal(loss, [[0.5, 0.25, 0.25], [0.9, 0.8, 0.1]], ROWS[loss])
    assert "sum of the prediction 1.8" in text and "at [1]" in text and "cross_entropy" in text
    text = refusal(loss, [[0.5, 0.25, 0.125], [0.5, 0.25, 0.25]], ROWS[loss])
    assert "sum of the prediction 0.875" in text and "at [0]" in text


@each_binary
def test_logits_are_refused_and_their_loss_is_named_by_the_binary_ones(loss):
    for wrong in (-0.5, 1.5, math.inf):
        text = refusal(loss, [[0.5, wrong]], [[0, 1]])
        assert f"prediction {wrong} at [0, 1]" in text
        assert "binary_cross_entropy_with_logits" in text
    for wrong in (-1.0, 2.0, math.nan):
        assert f"target {wrong} at [0, 0]" in refusal(loss, [[0.5, 0.5]], [[wrong, 1]])


@pytest.mark.parametrize("loss", [categorical_crossentropy, kl_divergence])
def test_targets_that_are_no_distribution_are_refused(loss):
    p = np.full((2, 3), 1 / 3)
    assert "target 2.0 at [0, 0]" in refusal(loss, p, [[2, 0, 0], [1, 0, 0]])
    text = refusal(loss, p, [[1, 0, 0], [1, 0, 1]])
    assert "sum of the target 2.0 at [1]" in text
    assert "nan at [1, 2]" in refusal(loss, p, [[1, 0, 0], [1, 0, math.nan]])
    assert "binary_crossentropy" in refusal(categorical_crossentropy, p, [[1, 0, 0], [1, 0, 1]])


def test_labels_and_onehot_targets_each_have_their_loss():
    p = np.full((2, 3), 1 / 3)
    assert "use sparse_categorical" in refusal(categorical_crossentropy, p, LABELS)
    text = refusal(sparse_categorical_crossentropy, p, ONEHOT)
    assert "use categorical_crossentropy" in text
    assert "label 3 at [1]" in refusal(sparse_categorical_crossentropy, p, [0, 3])
    refusal(sparse_categorical_crossentropy, p, [0.0, 1.0], error=TypeError)


@each_row_loss
def test_an_empty_batch_is_refused(loss):
    target = np.zeros(0, int) if loss is sparse_categorical_crossentropy else np.zeros((0, 3))
    assert "the batch is empty" in refusal(loss, np.zeros((0, 3)), target)


@pytest.mark.parametrize("loss", [*ROWS, *BINARY], ids=lambda loss: loss.__name__)
def test_a_nan_prediction_gives_nan(loss):
    target = ROWS.get(loss, np.ones((2, 3)))
    assert math.isnan(loss(np.full((2, 3), math.nan), target).item())


def test_no_loss_of_logits_is_needed_for_what_is_probable():
    """The three spellings of one loss agree."""
    x, y = tg.Tensor(np.linspace(-3, 3, 7)), np.linspace(0, 1, 7)
    p = ops.sigmoid(x)
    found = {loss(p, y).item() for loss in BINARY} | {binary_cross_entropy_with_logits(x, y).item()}
    assert max(found) - min(found) < 1e-15
