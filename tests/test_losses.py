"""Losses: each against its formula in NumPy and against torch, at the extremes, and refused."""

import itertools
import linecache
import math
import re
import warnings

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import losses, ops
from tinygrad_edu.losses import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    mean_squared_error,
)

REDUCTIONS = ["mean", "sum", "none"]
REDUCED = {"mean": np.mean, "sum": np.sum, "none": np.asarray}
LABELS = np.array([2, 0, 3, 3, 1, 0])
FACTORS = np.array([1.0, 0.25, 3.0, 0.5])

each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def probabilities(*shape, seed=1):
    p = np.random.default_rng(seed).random(shape)
    return p / p.sum(axis=-1, keepdims=True)


def leaf(data, dtype="float64"):
    return tg.Tensor(np.array(data, dtype), requires_grad=True)


def with_torch(mine, theirs, prediction):
    """Value and gradient of both; `theirs` gets (torch, its functional module, a leaf)."""
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install .[bench]")
    x, y = leaf(prediction), torch.tensor(prediction, requires_grad=True)
    found, expected = mine(x), theirs(torch, torch.nn.functional, y)
    np.testing.assert_allclose(found.data, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    weights = 1 + np.sin(1 + np.arange(found.size)).reshape(found.shape) / 2
    (found * weights).sum().backward()
    (expected * torch.tensor(weights)).sum().backward()
    np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=1e-11, atol=1e-14)


# ---------------------------------------------------------------- mean_squared_error


@each_reduction
@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 3, 4)], ids=str)
def test_mean_squared_error_is_the_mean_of_squares(shape, reduction):
    x, y = drawn(*shape), drawn(*shape, seed=1)
    found = mean_squared_error(leaf(x), y, reduction=reduction)
    np.testing.assert_allclose(found.data, REDUCED[reduction]((x - y) ** 2), rtol=1e-14)


@each_reduction
def test_mean_squared_error_is_torchs(reduction):
    y = drawn(4, 3, seed=1)
    with_torch(
        lambda x: mean_squared_error(x, y, reduction),
        lambda torch, f, x: f.mse_loss(x, torch.tensor(y), reduction=reduction),
        drawn(4, 3),
    )


@each_reduction
def test_gradient_of_mean_squared_error_is_that_of_differences(reduction):
    tg.gradcheck(
        lambda x, y: mean_squared_error(x, y, reduction),
        (drawn(4, 3), drawn(4, 3, seed=1)),
        order=2,
    )


def test_a_target_may_be_a_list_an_array_or_a_tensor():
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for target in ([1, 4], (1.0, 4.0), np.array([1, 4]), tg.Tensor([1.0, 4.0])):
        loss = mean_squared_error(x, target)
        assert loss.item() == 2 and loss.dtype == np.float32
    assert mean_squared_error(tg.Tensor(3.0), 1).item() == 4


# ---------------------------------------------------------------- cross_entropy


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def by_hand(x, target, reduction, weight=None, smoothing=0.0, ignored=None):
    """Cross-entropy example by example, straight from its definition."""
    classes, target = x.shape[-1], np.asarray(target)
    weight = np.ones(classes) if weight is None else weight
    each, total = [], 0.0
    for logits, wanted in zip(x, target, strict=True):
        if target.ndim == 1 and wanted == ignored:
            each.append(0.0)
            continue
        share = np.eye(classes)[wanted] if target.ndim == 1 else wanted
        share = (1 - smoothing) * share + smoothing / classes
        each.append(-(weight * share * log_softmax(logits)).sum())
        total += weight[wanted] if target.ndim == 1 else 1.0
    if reduction == "none":
        return np.array(each)
    return np.sum(each) / (total if reduction == "mean" else 1)


OPTIONS = list(
    itertools.product(["labels", "probabilities"], [None, FACTORS], [0.0, 0.1], [None, 3, -100])
)


def described(option):
    return str(option).replace("\n", "") if not isinstance(option, np.ndarray) else "weight"


def options_of(target, weight, smoothing, ignored):
    """(target, keyword arguments); only labels can be ignored."""
    if target == "probabilities":
        return probabilities(6, 4), {"weight": weight, "label_smoothing": smoothing}
    labels = LABELS.copy()
    if ignored == -100:
        labels[[1, 4]] = -100
    return labels, {"weight": weight, "label_smoothing": smoothing, "ignore_index": ignored}


@each_reduction
@pytest.mark.parametrize(("target", "weight", "smoothing", "ignored"), OPTIONS, ids=described)
def test_cross_entropy_is_its_definition(target, weight, smoothing, ignored, reduction):
    target, options = options_of(target, weight, smoothing, ignored)
    x = drawn(6, 4)
    expected = by_hand(x, target, reduction, weight, smoothing, options.get("ignore_index"))
    found = cross_entropy(leaf(x), target, reduction, **options)
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found.data, expected, rtol=1e-13, atol=1e-15)


@each_reduction
@pytest.mark.parametrize(("target", "weight", "smoothing", "ignored"), OPTIONS, ids=described)
def test_cross_entropy_is_torchs(target, weight, smoothing, ignored, reduction):
    target, options = options_of(target, weight, smoothing, ignored)

    def theirs(torch, f, x):
        given = {key: value for key, value in options.items() if value is not None}
        if weight is not None:
            given["weight"] = torch.tensor(weight)
        return f.cross_entropy(x, torch.tensor(target), reduction=reduction, **given)

    with_torch(lambda x: cross_entropy(x, target, reduction, **options), theirs, drawn(6, 4))


@each_reduction
@pytest.mark.parametrize(("target", "weight", "smoothing", "ignored"), OPTIONS, ids=described)
def test_gradient_of_cross_entropy_is_that_of_differences(
    target, weight, smoothing, ignored, reduction
):
    target, options = options_of(target, weight, smoothing, ignored)
    tg.gradcheck(lambda x: cross_entropy(x, target, reduction, **options), drawn(6, 4), order=2)


def test_certain_probabilities_are_as_good_as_labels():
    x = leaf(drawn(6, 4))
    onehot = np.eye(4)[LABELS]
    for target in (onehot, onehot.astype(int), onehot.tolist(), tg.Tensor(onehot)):
        loss = cross_entropy(x, target)
        np.testing.assert_allclose(loss.data, cross_entropy(x, LABELS).data, rtol=1e-14)


def test_labels_may_be_a_list_a_tensor_or_of_any_whole_dtype():
    x = leaf(drawn(6, 4))
    expected = cross_entropy(x, LABELS).item()
    for target in (LABELS.tolist(), tg.Tensor(LABELS), LABELS.astype("uint8"), LABELS.astype("i2")):
        assert cross_entropy(x, target).item() == expected


@each_reduction
@pytest.mark.parametrize("options", [{}, {"weight": FACTORS}, {"ignore_index": 2}], ids=list)
def test_logits_may_have_any_leading_axes(options, reduction):
    x = leaf(drawn(2, 3, 4))
    found = cross_entropy(x, LABELS.reshape(2, 3), reduction, **options)
    expected = cross_entropy(x.reshape(6, 4), LABELS, reduction, **options)
    np.testing.assert_allclose(found.data.ravel(), expected.data.ravel(), rtol=1e-14)


def test_options_that_ask_for_nothing_change_nothing():
    x = drawn(6, 4)
    plain = cross_entropy(leaf(x), LABELS).item()
    for options in ({"weight": np.ones(4)}, {"ignore_index": 9}, {"label_smoothing": 0}):
        assert cross_entropy(leaf(x), LABELS, **options).item() == pytest.approx(plain, rel=1e-14)


def test_an_ignored_example_gets_no_gradient():
    x = leaf(drawn(3, 4))
    cross_entropy(x, [1, -1, 2], ignore_index=-1).backward()
    assert x.grad[1].tolist() == [0, 0, 0, 0] and x.grad[0].all() and x.grad[2].all()


def test_uniform_logits_cost_the_logarithm_of_the_number_of_classes():
    assert cross_entropy(leaf(np.zeros((5, 8))), [0, 1, 2, 3, 7]).item() == pytest.approx(
        math.log(8)
    )


def test_softmax_before_cross_entropy_is_warned_about_at_the_callers_line():
    p = ops.softmax(leaf(drawn(6, 4)))
    with pytest.warns(UserWarning, match="drop the softmax before it") as caught:
        cross_entropy(p, LABELS)
    assert [w.filename for w in caught] == [__file__]
    assert linecache.getline(__file__, caught[0].lineno).strip() == "cross_entropy(p, LABELS)"


def test_sigmoid_before_the_loss_of_logits_is_warned_about_at_the_callers_line():
    p = ops.sigmoid(leaf(drawn(6)))
    with pytest.warns(UserWarning, match="drop the sigmoid before it") as caught:
        binary_cross_entropy_with_logits(p, np.ones(6))
    assert [w.filename for w in caught] == [__file__]
    assert "drop the sigmoid" in str(caught[0].message)
    assert "with_logits(p, np.ones(6))" in linecache.getline(__file__, caught[0].lineno)


def test_the_line_of_the_warning_is_the_users_also_where_the_library_calls_the_loss():
    model = tg.layers.Sequential(tg.layers.Linear(4, 3, rng=0), tg.layers.Softmax())
    optimizer = tg.optimizers.SGD(model, lr=0.1)

    def loss(prediction, target):
        return cross_entropy(prediction, target)

    with pytest.warns(UserWarning, match="softmax") as caught:
        optimizer.minimize(lambda: loss(model(drawn(2, 4).astype("f4")), [0, 1]))
    assert [w.filename for w in caught] == [__file__]
    line = linecache.getline(__file__, caught[0].lineno)
    assert line.strip() == "return cross_entropy(prediction, target)"


def test_softmax_before_cross_entropy_is_warned_about_once():
    p = ops.softmax(leaf(drawn(6, 4)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            cross_entropy(p, LABELS)
    assert len(caught) == 1


def test_logits_and_log_probabilities_raise_no_warning():
    x = leaf(drawn(6, 4))
    assert cross_entropy(ops.log_softmax(x), LABELS).item() == pytest.approx(
        cross_entropy(x, LABELS).item()
    )


# ---------------------------------------------------------------- binary_cross_entropy_with_logits


def binary_by_hand(x, y, reduction, factor=1.0):
    p = 1 / (1 + np.exp(-x))
    return REDUCED[reduction](-(factor * y * np.log(p) + (1 - y) * np.log(1 - p)))


@each_reduction
@pytest.mark.parametrize("factor", [None, 3.0, [0.5, 1.0, 4.0]], ids=str)
def test_binary_cross_entropy_is_its_definition_and_torchs(factor, reduction):
    x, y = drawn(5, 3), np.random.default_rng(1).random((5, 3))
    y[0], y[1] = 0, 1
    found = binary_cross_entropy_with_logits(leaf(x), y, reduction, pos_weight=factor)
    expected = binary_by_hand(x, y, reduction, 1.0 if factor is None else np.array(factor))
    np.testing.assert_allclose(found.data, expected, rtol=1e-13)
    with_torch(
        lambda x: binary_cross_entropy_with_logits(x, y, reduction, factor),
        lambda torch, f, x: f.binary_cross_entropy_with_logits(
            x,
            torch.tensor(y),
            reduction=reduction,
            pos_weight=None if factor is None else torch.tensor(factor, dtype=torch.float64),
        ),
        x,
    )


@each_reduction
@pytest.mark.parametrize("factor", [None, 3.0, [0.5, 1.0, 4.0]], ids=str)
def test_gradient_of_binary_cross_entropy_is_that_of_differences(factor, reduction):
    y = np.random.default_rng(1).random((5, 3))
    tg.gradcheck(
        lambda x, y: binary_cross_entropy_with_logits(x, y, reduction, factor),
        (drawn(5, 3), y),
        order=2,
    )


def test_the_slope_along_a_binary_target_is_minus_the_logit_also_where_it_is_certain():
    x, y = drawn(5), leaf([0, 1, 0.5, 0, 1])
    binary_cross_entropy_with_logits(tg.Tensor(x), y, "sum").backward()
    np.testing.assert_allclose(y.grad, -x, rtol=1e-12)


def test_targets_of_binary_cross_entropy_may_be_bools_or_whole_numbers():
    x = tg.Tensor([1.0, -2.0])
    expected = binary_cross_entropy_with_logits(x, [1.0, 0.0]).item()
    for target in ([True, False], np.array([1, 0]), np.array([True, False])):
        loss = binary_cross_entropy_with_logits(x, target)
        assert loss.item() == expected and loss.dtype == np.float32


# ---------------------------------------------------------------- at the extremes


@pytest.mark.parametrize("size", [1e4, 3e38], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_of_large_logits_is_exact(dtype, size):
    x = leaf([[size, 0, -size], [size, 0, -size]], dtype) * 0.5
    for reduction, expected in (("none", [0, size / 2]), ("sum", size / 2), ("mean", size / 4)):
        loss = cross_entropy(x, [0, 1], reduction)
        np.testing.assert_allclose(loss.data, expected, rtol=1e-6)


@each_reduction
@pytest.mark.parametrize(
    "options",
    [{}, {"weight": [1.0, 2.0, 3.0]}, {"ignore_index": 2}, {"label_smoothing": 0.1}],
    ids=str,
)
def test_gradient_of_cross_entropy_of_large_logits_is_finite(options, reduction):
    x = leaf([[1e4, 0, -1e4], [-1e4, 1e4, 0]], "float32")
    loss = cross_entropy(x, [2, 1], reduction, **options)
    loss.sum().backward()
    assert np.isfinite(loss.data).all() and np.isfinite(x.grad).all()


@each_reduction
@pytest.mark.parametrize(
    "options",
    [{}, {"weight": [1.0, 2.0, 3.0]}, {"ignore_index": 9}],
    ids=["plain", "weight", "ignore"],
)
def test_a_logit_of_minus_infinity_rules_a_class_out(options, reduction):
    x = leaf([[0, -np.inf, 0], [1, 1, -np.inf]], "float32")
    finite = leaf([[0, -1e30, 0], [1, 1, -1e30]], "float32")
    for logits in (x, finite):
        cross_entropy(logits, [0, 1], reduction, **options).sum().backward()
    found, expected = (cross_entropy(z, [0, 1], reduction, **options) for z in (x, finite))
    np.testing.assert_allclose(found.data, expected.data, rtol=1e-6)
    np.testing.assert_allclose(x.grad, finite.grad, rtol=1e-6)


@each_reduction
def test_a_label_that_was_ruled_out_costs_infinity(reduction):
    loss = cross_entropy(leaf([[0, -np.inf]], "float32"), [1], reduction)
    assert np.isposinf(loss.data).all()


@each_reduction
@pytest.mark.parametrize("size", [1000, 1e4, 1e38], ids=str)
def test_binary_cross_entropy_of_large_logits_is_exact(size, reduction):
    x = leaf([size, -size, size, -size], "float32")
    loss = binary_cross_entropy_with_logits(x, [1, 0, 0, 1], reduction)
    expected = REDUCED[reduction](np.array([0, 0, size, size]))
    np.testing.assert_allclose(loss.data, expected, rtol=1e-6)
    loss.sum().backward()
    expected = np.array([0, 0, 1, -1]) / (4 if reduction == "mean" else 1)
    np.testing.assert_allclose(x.grad, expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize(
    ("logit", "target", "loss", "slope"),
    [(-np.inf, 0, 0, 0), (np.inf, 1, 0, 0), (-np.inf, 1, np.inf, -1), (np.inf, 0, np.inf, 1)],
    ids=str,
)
def test_binary_cross_entropy_of_infinite_logits_is_the_limit(logit, target, loss, slope):
    x = leaf([logit], "float32")
    found = binary_cross_entropy_with_logits(x, [target])
    found.backward()
    assert found.item() == loss and x.grad.tolist() == [slope]


def test_mean_squared_error_of_large_numbers_is_exact():
    x = leaf([1e4, -1e4], "float32")
    loss = mean_squared_error(x, [-1e4, 1e4])
    loss.backward()
    assert loss.item() == 4e8 and x.grad.tolist() == [2e4, -2e4]


@np.errstate(invalid="ignore")
def test_a_nan_prediction_is_not_blamed_on_the_target():
    for loss in (mean_squared_error, binary_cross_entropy_with_logits):
        assert math.isnan(loss(tg.Tensor([0.5, math.nan]), [0.5, 1.0]).item())
    assert math.isnan(cross_entropy(tg.Tensor([[0.5, math.nan]]), [0]).item())


# ---------------------------------------------------------------- what is refused

PAIRED = [  # of one shape, and for which zeros are predictions
    mean_squared_error, losses.mean_absolute_error, losses.huber, losses.log_cosh,
    losses.mean_absolute_percentage_error, losses.mean_squared_logarithmic_error, losses.poisson,
    losses.cosine_similarity, losses.hinge, losses.squared_hinge, losses.binary_cross_entropy,
    losses.binary_crossentropy, binary_cross_entropy_with_logits,
]  # fmt: skip
EVERY = [*PAIRED, cross_entropy]
each_paired = pytest.mark.parametrize("loss", PAIRED, ids=lambda loss: loss.__name__)
each_loss = pytest.mark.parametrize("loss", EVERY, ids=lambda loss: loss.__name__)


def refusal(loss, *args, error=ValueError, **options):
    """What the loss says; it must begin with the loss's own name."""
    with pytest.raises(error) as caught:
        loss(*args, **options)
    text = str(caught.value)
    assert loss.__name__ in text.split(":")[0]
    return text


@each_paired
@pytest.mark.parametrize(
    ("prediction", "target"),
    [((8,), (8, 1)), ((8, 1), (8,)), ((2,), (2, 2)), ((3, 2), (1, 2)), ((3,), ()), ((), (1,))],
    ids=str,
)
def test_shapes_that_would_broadcast_are_refused(loss, prediction, target):
    for wrapped in (np.zeros(target), tg.Tensor(np.zeros(target))):
        text = refusal(loss, tg.Tensor(np.zeros(prediction)), wrapped)
        assert f"prediction has shape {prediction}, target {target}" in text


@pytest.mark.parametrize(
    ("prediction", "target"),
    [((8, 3), (8, 1)), ((8, 3), (7,)), ((8, 3), (3,)), ((8, 3), ())],
    ids=str,
)
@each_reduction
def test_labels_of_another_shape_are_refused(prediction, target, reduction):
    text = refusal(cross_entropy, tg.Tensor(np.zeros(prediction)), np.zeros(target, int), reduction)
    assert str(prediction) in text and str(target) in text


def test_a_column_of_labels_for_one_column_of_logits_is_not_taken_for_probabilities():
    text = refusal(cross_entropy, tg.Tensor([[0.5], [0.1]]), [[0], [3]])
    assert "3" in text and "(1, 0)" in text


@each_paired
def test_the_mean_over_an_empty_batch_is_refused(loss):
    text = refusal(loss, tg.Tensor(np.zeros((0, 2))), np.zeros((0, 2)))
    assert "(0," in text and "empty" in text


@each_reduction
def test_the_cross_entropy_of_an_empty_batch_is_refused(reduction):
    for target in (np.zeros(0, int), np.zeros((0, 3))):
        assert "(0, 3)" in refusal(cross_entropy, tg.Tensor(np.zeros((0, 3))), target, reduction)


def test_a_batch_of_which_nothing_counts_is_refused():
    x = tg.Tensor(drawn(2, 3))
    text = refusal(cross_entropy, x, [-1, -1], ignore_index=-1)
    assert "no example counts" in text
    refusal(cross_entropy, x, [1, 1], weight=[1.0, 0.0, 1.0])


@each_reduction
@each_paired
def test_a_target_of_nan_is_refused_with_its_position(loss, reduction):
    x = tg.Tensor(np.zeros((2, 3)))
    target = [[0, 1, 0], [1, math.nan, 1]]
    for wrapped in (target, np.array(target), tg.Tensor(target)):
        text = refusal(loss, x, wrapped, reduction)
        assert "nan" in text and "[1, 1]" in text


@each_reduction
@pytest.mark.parametrize(
    "options", [{}, {"weight": np.ones(3)}, {"label_smoothing": 0.1}], ids=list
)
@pytest.mark.parametrize("label", [3, -1, 100])
def test_a_label_out_of_range_is_refused_with_its_position(label, options, reduction):
    x = tg.Tensor(np.zeros((4, 3)))
    text = refusal(cross_entropy, x, [0, 1, label, 2], reduction, **options)
    assert re.search(rf"label {label} at (position 2|\[2\]) is not in 0\.\.2", text)


def test_a_label_that_is_not_the_ignored_one_is_still_refused():
    x = tg.Tensor(np.zeros((3, 3)))
    text = refusal(cross_entropy, x, [-100, 1, -1], ignore_index=-100)
    assert "label -1 at [2]" in text


@each_reduction
@pytest.mark.parametrize("options", [{}, {"ignore_index": -1}], ids=["plain", "ignore"])
def test_labels_that_are_no_whole_numbers_are_refused(options, reduction):
    x = tg.Tensor(np.zeros((3, 3)))
    text = refusal(cross_entropy, x, [0, 1.5, 2], reduction, error=TypeError, **options)
    assert "label" in text and "float64" in text
    text = refusal(cross_entropy, x, [0.0, 1.0, 2.0], reduction, error=TypeError, **options)
    assert "astype(int)" in text


@each_reduction
@pytest.mark.parametrize(
    "options", [{}, {"weight": np.ones(3)}, {"label_smoothing": 0.1}], ids=list
)
@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan], ids=str)
def test_a_probability_outside_0_to_1_is_refused_with_its_position(p, options, reduction):
    target = np.array([[0.5, 0.5, 0], [0, 1, 0], [0, p, 0.5]])
    text = refusal(cross_entropy, tg.Tensor(np.zeros((3, 3))), target, reduction, **options)
    assert f"{p} at position (2, 1)" in text


@each_reduction
@pytest.mark.parametrize("p", [-0.25, 1.5, math.nan, math.inf], ids=str)
def test_a_binary_target_outside_0_to_1_is_refused_with_its_position(p, reduction):
    loss = binary_cross_entropy_with_logits
    text = refusal(loss, tg.Tensor(np.zeros((2, 2))), [[0, 1], [0.5, p]], reduction)
    assert f"{p} at [1, 1]" in text and "[0, 1]" in text


@pytest.mark.parametrize("smoothing", [-0.1, 1, 2, math.nan], ids=str)
def test_label_smoothing_outside_0_to_1_is_refused(smoothing):
    x = tg.Tensor(np.zeros((2, 3)))
    text = refusal(cross_entropy, x, [0, 1], label_smoothing=smoothing)
    assert f"label_smoothing={smoothing}" in text


@pytest.mark.parametrize("shape", [(2,), (4,), (3, 1), ()], ids=str)
def test_class_weights_of_another_number_are_refused(shape):
    text = refusal(cross_entropy, tg.Tensor(np.zeros((2, 3))), [0, 1], weight=np.ones(shape))
    assert str(shape) in text and "3 classes" in text


@pytest.mark.parametrize("shape", [(3, 1), (2,), (2, 3)], ids=str)
def test_a_pos_weight_that_would_broadcast_the_loss_is_refused(shape):
    loss = binary_cross_entropy_with_logits
    refusal(loss, tg.Tensor(np.zeros(3)), np.ones(3), pos_weight=np.ones(shape))


@each_loss
@pytest.mark.parametrize("reduction", ["average", None, 0], ids=repr)
def test_an_unknown_reduction_is_refused(loss, reduction):
    x = tg.Tensor(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="reduction") as caught:
        loss(x, [0, 1] if loss is cross_entropy else np.zeros((2, 3)), reduction)
    text = str(caught.value)
    assert repr(reduction) in text and all(repr(known) in text for known in REDUCTIONS)


# ---------------------------------------------------------------- by name

ALIASES = [  # as Keras spells them
    ("mae", losses.mean_absolute_error),
    ("mape", losses.mean_absolute_percentage_error),
    ("msle", losses.mean_squared_logarithmic_error),
    ("MSE", mean_squared_error),
    ("huber_loss", losses.huber),
    ("logcosh", losses.log_cosh),
    ("cosine_proximity", losses.cosine_similarity),
    ("cosine", losses.cosine_similarity),
    ("bce", losses.binary_crossentropy),
    ("kullback_leibler_divergence", losses.kl_divergence),
    ("kld", losses.kl_divergence),
    ("KLD", losses.kl_divergence),
    ("categorical_crossentropy", losses.categorical_crossentropy),
    ("sparse_categorical_crossentropy", losses.sparse_categorical_crossentropy),
]


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("mse", mean_squared_error),
        ("mean_squared_error", mean_squared_error),
        ("cross_entropy", cross_entropy),
        ("binary_cross_entropy_with_logits", binary_cross_entropy_with_logits),
        *ALIASES,
    ],
)
def test_get_finds_a_loss_by_its_names(name, loss):
    assert losses.get(name) is loss


@pytest.mark.parametrize("name", [name for name in losses.__all__ if name != "get"])
def test_get_finds_every_loss_by_its_own_name(name):
    assert losses.get(name) is getattr(losses, name) is getattr(tg.losses, name)
    assert losses.get(name).__name__ == name


def test_get_passes_a_function_on():
    mine = lambda prediction, target: prediction
    assert losses.get(mine) is mine


@pytest.mark.parametrize("name", ["mean", "", None, 3], ids=repr)
def test_get_of_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="losses: there is no") as caught:
        losses.get(name)
    assert repr(name) in str(caught.value) and "mse" in str(caught.value)


def test_losses_work_in_a_models_training():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3)).astype("float32")
    for loss, target in (
        (mean_squared_error, rng.standard_normal((8, 2))),
        (cross_entropy, rng.integers(0, 2, 8)),
        (binary_cross_entropy_with_logits, rng.integers(0, 2, (8, 2))),
    ):
        model = tg.layers.MLP(3, 4, 2, rng=0)
        optimizer = tg.optimizers.SGD(model, lr=0.1)
        values = [optimizer.minimize(lambda: loss(model(x), target)).item() for _ in range(20)]  # noqa: B023
        assert values[-1] < values[0]
