"""Losses of numbers and of margins: by hand, at corners and extremes, and what is refused."""

import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.losses import (
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    squared_hinge,
)


def value_and_slope(loss, x, y, dtype="float64", **options):
    """Each loss, and its slope along the prediction."""
    x = tg.Tensor(np.array(x, dtype), requires_grad=True)
    each = loss(x, y, "none", **options)
    each.sum().backward()
    return each.tolist(), x.grad.tolist()


def refusal(loss, *args, error=ValueError, **options):
    with pytest.raises(error) as caught:
        loss(*args, **options)
    assert str(caught.value).startswith(f"{loss.__name__}:")
    return str(caught.value)


# ---------------------------------------------------------------- distances


def test_the_slope_of_the_absolute_error_is_a_sign_and_0_at_the_corner():
    found = value_and_slope(mean_absolute_error, [3.0, -1.0, 2.0], [1.0, 1.0, 2.0])
    assert found == ([2, 2, 0], [1, -1, 0])


def test_huber_is_square_inside_delta_and_straight_outside():
    x = [0.5, -2.0, 2.0, -5.0]
    assert value_and_slope(huber, x, [0.0] * 4, delta=2.0) == ([0.125, 2, 2, 8], [0.5, -2, 2, -2])
    assert value_and_slope(huber, x, [0.0] * 4)[1] == [0.5, -1, 1, -1]


def test_huber_of_a_large_delta_is_half_the_squared_error():
    x, y = np.random.default_rng(0).standard_normal((2, 5))
    for delta in (1e6, math.inf):
        assert huber(x, y, delta=delta).item() == pytest.approx(mean_squared_error(x, y).item() / 2)


@pytest.mark.parametrize("far", [1e30, math.inf])
def test_huber_far_away_has_the_slope_delta(far):
    values, slopes = value_and_slope(huber, [far, -far], [0.0, 0.0], "float32", delta=0.5)
    assert values == pytest.approx([far / 2, far / 2]) and slopes == [0.5, -0.5]


def test_huber_has_a_curvature_of_1_at_the_target():
    x = tg.Tensor([0.0, 3.0], requires_grad=True)
    (slope,) = tg.grad(huber(x, [0.0, 0.0], "sum"), [x], create_graph=True)
    assert tg.grad(slope.sum(), x).tolist() == [1, 0]


@pytest.mark.parametrize("delta", [0, -1.0, math.nan], ids=str)
def test_a_delta_that_is_not_above_0_is_refused(delta):
    assert f"delta={delta}" in refusal(huber, [1.0], [0.0], delta=delta)


def test_log_cosh_is_exact_near_0_and_does_not_overflow_far_away():
    tiny = 1e-20
    assert value_and_slope(log_cosh, [tiny], [0.0]) == ([tiny**2 / 2], [tiny])
    for x in (0.5, 0.999999, 1.0, 1.000001, 5.0):
        found = log_cosh(np.array([x, -x]), np.zeros(2), "none").data
        np.testing.assert_allclose(found, math.log(math.cosh(x)), rtol=1e-15)
    values, slopes = value_and_slope(log_cosh, [1e4, -1e30, math.inf], [0.0] * 3, "float32")
    np.testing.assert_allclose(values, np.array([1e4 - math.log(2), 1e30, math.inf]), rtol=1e-7)
    assert slopes == [1, -1, 1]


def test_log_cosh_is_never_negative_in_single_precision():
    x = np.linspace(-0.01, 0.01, 1001, dtype="float32")
    assert (log_cosh(x, np.zeros_like(x), "none").data >= 0).all()


# ---------------------------------------------------------------- relative, counts


def test_a_percentage_of_nearly_nothing_is_one_of_1e_7():
    assert mean_absolute_percentage_error([0.5], [0.0]).item() == pytest.approx(0.5e9)
    assert mean_absolute_percentage_error([-2.0], [-4.0]).item() == 50


def test_below_0_the_logarithmic_error_is_that_of_0_and_has_no_slope():
    values, slopes = value_and_slope(mean_squared_logarithmic_error, [-5.0, -0.5], [1.0, 1.0])
    assert values == pytest.approx([math.log(2) ** 2] * 2, rel=1e-6) and slopes == [0, 0]


@pytest.mark.parametrize("loss", [mean_squared_logarithmic_error, poisson])
def test_a_negative_target_is_refused(loss):
    assert "target -2.0 at [1, 0] is below 0" in refusal(loss, [[1.0], [1.0]], [[1.0], [-2.0]])


def test_poisson_is_the_improbability_of_the_count():
    for rate, count in ((2.0, 0), (2.0, 3), (0.5, 1)):
        probability = math.exp(-rate) * rate**count / math.factorial(count)
        found = poisson(np.array([rate]), [count]).item() + math.lgamma(count + 1)
        assert found == pytest.approx(-math.log(probability), rel=1e-7)
        of_log = poisson(np.array([math.log(rate)]), [count], log_input=True).item()
        assert of_log + math.lgamma(count + 1) == pytest.approx(-math.log(probability), rel=1e-14)


def test_a_rate_of_0_is_finite():
    values, slopes = value_and_slope(poisson, [0.0, 0.0], [0.0, 1.0])
    assert values == pytest.approx([0, -math.log(1e-8)]) and slopes == pytest.approx([1, -1e8])


def test_a_negative_rate_is_refused_and_the_way_out_is_named():
    text = refusal(poisson, [1.0, -0.5], [1.0, 1.0])
    assert "prediction -0.5 at [1]" in text and "log_input=True" in text
    assert math.isfinite(poisson([1.0, -0.5], [1.0, 1.0], log_input=True).item())


# ---------------------------------------------------------------- directions


def test_cosine_similarity_is_minus_the_cosine_of_the_angle():
    angles = np.array([0, 30, 90, 150, 180]) * math.pi / 180
    p = 3 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    each = cosine_similarity(p, np.array([[7.0, 0.0]] * 5), "none")
    np.testing.assert_allclose(each.data, -np.cos(angles), atol=1e-15)


def test_a_vector_of_zeros_has_no_direction():
    values, slopes = value_and_slope(cosine_similarity, [[0.0, 0.0], [1.0, 0.0]], np.eye(2) * 0)
    assert values == [0, 0] and slopes == [[0, 0], [0, 0]]


def test_the_direction_of_a_number_is_refused():
    assert "direction" in refusal(cosine_similarity, 1.0, 1.0)


# ---------------------------------------------------------------- margins


@pytest.mark.parametrize("targets", [[-1, 1, 1, -1], [0, 1, 1, 0], [False, True, True, False]])
def test_hinge_wants_a_margin_of_1(targets):
    x = [-3.0, 0.25, -1.0, 0.5]
    assert value_and_slope(hinge, x, targets) == ([0, 0.75, 2, 1.5], [0, -1, -1, 1])
    assert value_and_slope(squared_hinge, x, targets) == ([0, 0.5625, 4, 2.25], [0, -1.5, -4, 3])


def test_exactly_at_the_margin_nothing_is_asked_for():
    assert value_and_slope(hinge, [1.0, -1.0], [1, -1]) == ([0, 0], [0, 0])
    assert value_and_slope(categorical_hinge, [[2.0, 1.0]], [0]) == ([0], [[0, 0]])


def test_targets_of_zeros_alone_are_those_of_the_other_side():
    assert hinge([1.0, 1.0], [0, 0]).item() == hinge([1.0, 1.0], [-1, -1]).item() == 2


@pytest.mark.parametrize("loss", [hinge, squared_hinge])
def test_targets_that_are_no_sides_are_refused(loss):
    assert "target 2.0 at [1]" in refusal(loss, [1.0, 1.0], [1, 2])
    assert "target 0.5 at [0]" in refusal(loss, [1.0, 1.0], [0.5, 1])
    text = refusal(loss, [1.0, 1.0, 1.0], [1, -1, 0])
    assert "target 0.0 at [2]" in text and "-1" in text
    target = tg.Tensor([1.0], requires_grad=True)
    assert "target.detach()" in refusal(loss, [1.0], target)


def test_categorical_hinge_compares_the_true_class_with_the_best_of_the_others():
    x = [[3.0, 1.0, 0.0], [1.0, 1.5, 0.5], [-1.0, -2.0, -0.5]]
    expected = [0, 1.5, 2], [[0, 0, 0], [-1, 1, 0], [-1, 0, 0]]
    assert value_and_slope(categorical_hinge, x, [0, 0, 0]) == expected
    assert value_and_slope(categorical_hinge, x, np.eye(3)[[0, 0, 0]]) == expected


def test_what_is_no_onehot_is_refused_by_categorical_hinge():
    x = np.zeros((2, 3))
    assert "0.5 at [1, 0]" in refusal(categorical_hinge, x, [[1, 0, 0], [0.5, 0.5, 0]])
    assert "ones 2.0 at [1]" in refusal(categorical_hinge, x, [[1, 0, 0], [1, 1, 0]])
    assert "ones 0.0 at [0]" in refusal(categorical_hinge, x, [[0, 0, 0], [1, 0, 0]])
    assert "label 3 at [1]" in refusal(categorical_hinge, x, [0, 3])
    assert "float64" in refusal(categorical_hinge, x, [0.0, 1.0], error=TypeError)
    refusal(categorical_hinge, x, [[0], [1]])


# ---------------------------------------------------------------- what comes in


def test_whole_predictions_are_taken_as_floats_and_targets_keep_their_fractions():
    assert mean_squared_error(tg.Tensor(np.array([1, 2])), [1.5, 2.0]).item() == 0.125
    assert mean_squared_error(np.array([1, 2]), np.array([1.5, 2.0])).dtype == np.float32


def test_a_target_of_more_precision_does_not_change_that_of_the_loss():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for target in (np.array([1.0, 4.0]), tg.Tensor(np.array([1.0, 4.0]))):
        assert mean_squared_error(x, target).dtype == np.float32


def test_a_list_of_targets_is_as_precise_as_the_prediction():
    assert mean_absolute_error(np.array([0.1]), [0.1]).item() == 0


def test_gradients_flow_into_a_target_of_another_dtype():
    y = tg.Tensor(np.array([1.0, 4.0]), requires_grad=True)
    mean_squared_error(tg.Tensor([1.0, 2.0]), y, "sum").backward()
    assert y.grad.tolist() == [0, 4] and y.grad.dtype == np.float64


def test_masked_targets_are_refused():
    masked = np.ma.masked_array([1.0, 2.0], [False, True])
    with pytest.raises(TypeError, match="mask"):
        mean_squared_error([1.0, 2.0], masked)
    with pytest.raises(TypeError, match="mask"):
        tg.losses.cross_entropy([[1.0, 2.0]], np.ma.masked_array([1], [False]))


def test_a_target_that_wants_a_gradient_it_cannot_get_is_refused():
    target = tg.Tensor([[0.5, 0.5]], requires_grad=True)
    with pytest.raises(ValueError, match=r"cross_entropy: .*target\.detach\(\)"):
        tg.losses.cross_entropy([[1.0, 2.0]], target)
