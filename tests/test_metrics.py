"""Metrics: by hand and by scikit-learn's definitions, with ties and nans, and what is refused."""

import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import metrics
from tinygrad_edu.metrics import (
    accuracy,
    binary_accuracy,
    confusion_matrix,
    f1,
    mean_absolute_error,
    mean_squared_error,
    precision,
    r2_score,
    recall,
    top_k_accuracy,
)

SCORES = np.array([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
LABELS = np.array([1, 0, 1, 2])  # guessed: 1, 0, 2, 0

# Of three classes, and of a fourth that is guessed but never true:
#           true 0  0  0  0  1  1  1  2  2  2
TARGET = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
GUESS = np.array([0, 0, 0, 1, 1, 1, 2, 2, 0, 3])
# class       0     1     2     3
# hits        3     2     1     0
# guessed     4     3     2     1
# true        4     3     3     0
PRECISION = [3 / 4, 2 / 3, 1 / 2, 0]
RECALL = [3 / 4, 2 / 3, 1 / 3, 0]
F1 = [6 / 8, 4 / 6, 2 / 5, 0]
SUPPORT = np.array([4, 3, 3, 0]) / 10
OF_CLASSES = [(precision, PRECISION), (recall, RECALL), (f1, F1)]
each_of_classes = pytest.mark.parametrize(
    ("metric", "each"), OF_CLASSES, ids=lambda x: getattr(x, "__name__", "")
)


def refusal(metric, *args, error=ValueError, **options):
    with pytest.raises(error) as caught:
        metric(*args, **options)
    assert str(caught.value).startswith(f"{metric.__name__}:")
    return str(caught.value)


# ---------------------------------------------------------------- right guesses


def test_accuracy_of_scores_and_of_labels_against_labels_and_onehot():
    guessed = SCORES.argmax(axis=-1)
    for prediction in (SCORES, SCORES.tolist(), tg.Tensor(SCORES), guessed, guessed.astype("u1")):
        for target in (LABELS, LABELS.tolist(), LABELS.astype(float), np.eye(3)[LABELS]):
            assert accuracy(prediction, target) == 0.5
    assert type(accuracy(SCORES, LABELS)) is float
    wanted = tg.Tensor(SCORES, requires_grad=True)
    assert accuracy(wanted, tg.Tensor(LABELS)) == 0.5


def test_accuracy_over_several_axes():
    scores = np.stack([SCORES, SCORES[::-1]])
    assert accuracy(scores, np.stack([LABELS, LABELS[::-1]])) == 0.5
    assert accuracy(scores, np.eye(3)[np.stack([LABELS, [0, 2, 0, 1]])]) == 0.75
    tokens = np.array([[1, 2], [3, 4]])
    assert accuracy(tokens, [[1, 2], [3, 0]]) == 0.75


def test_accuracy_of_a_single_example():
    assert accuracy(SCORES[0], 1) == accuracy(SCORES[:1], [[0, 1, 0]]) == accuracy(1, 1) == 1
    assert accuracy(2, [0, 1, 0]) == accuracy(1, 0) == 0


def test_a_row_with_a_nan_is_never_right():
    scores = np.array([[math.nan, 0.0], [0.0, math.nan], [math.nan, math.nan], [1.0, 0.0]])
    assert accuracy(scores, [0, 1, 0, 0]) == 0.25
    assert top_k_accuracy(scores, [0, 1, 0, 0], k=2) == 0.25
    assert binary_accuracy([math.nan, math.nan, 0.0], [0, 1, 0]) == pytest.approx(1 / 3)
    assert confusion_matrix(scores, [0, 1, 0, 0]).tolist() == [[1, 0], [0, 0]]
    assert recall([math.nan, 0.9], [1, 1]) == 0.5 and precision([math.nan, 0.9], [1, 1]) == 1


def test_binary_accuracy_of_probabilities_and_of_logits():
    assert binary_accuracy([0.9, 0.4, 0.6, 0.5], [1, 0, 0, 0]) == 0.75  # 0.5 is not above 0.5
    assert binary_accuracy([0.3, -2.0, 0.0, 4.0], [1, 0, 0, 1], threshold=0.0) == 1
    assert binary_accuracy([0.3, -2.0, 0.0, 4.0], [1, 0, 0, 1]) == 0.75
    several = np.array([[0.9, 0.1], [0.2, 0.8]])
    assert binary_accuracy(tg.Tensor(several), [[True, False], [True, True]]) == 0.75


def test_top_k_accuracy_counts_the_k_largest():
    assert top_k_accuracy(SCORES, LABELS, k=1) == accuracy(SCORES, LABELS) == 0.5
    assert top_k_accuracy(SCORES, LABELS, k=2) == 0.75
    assert top_k_accuracy(SCORES, np.eye(3)[LABELS], k=3) == 1
    assert top_k_accuracy(np.eye(8) * 2 + np.arange(8) / 8, np.arange(8)) == 1


def test_a_tie_counts_against_top_k():
    equal = np.zeros((4, 6))
    for k, expected in ((1, 0), (5, 0), (6, 1)):
        assert top_k_accuracy(equal, [0, 1, 2, 5], k=k) == expected
    scores = [[3.0, 2.0, 2.0, 1.0]] * 3  # at k=2 nobody knows which 2.0 is meant
    assert top_k_accuracy(scores, [0, 1, 2], k=2) == pytest.approx(1 / 3)
    assert top_k_accuracy(scores, [0, 1, 2], k=3) == 1


# ---------------------------------------------------------------- distances


def test_distances_are_taken_in_double_precision():
    p, y = np.full(10, 0.1, "f4"), np.full(10, 0.3, "f4")
    expected = abs(float(np.float32(0.1)) - float(np.float32(0.3)))
    assert mean_absolute_error(tg.Tensor(p), y) == pytest.approx(expected, rel=1e-15)
    assert mean_squared_error(p, y) == pytest.approx(expected**2, rel=1e-15)
    assert mean_squared_error(np.array([200], "u1"), np.array([201], "u1")) == 1


def test_r2_is_1_for_the_truth_0_for_the_mean_and_below_for_worse():
    y = np.array([1.0, 2.0, 6.0])
    assert r2_score(y, y) == 1 and r2_score([3.0, 3.0, 3.0], y) == 0
    assert r2_score([1.0, 2.0, 4.0], y) == pytest.approx(1 - 4 / 14)
    assert r2_score(-y, y) < 0


def test_r2_of_several_outputs_is_the_mean_of_theirs():
    y = np.array([[1.0, 0.0], [2.0, 4.0], [6.0, 2.0]])
    p = np.array([[1.0, 2.0], [2.0, 2.0], [4.0, 2.0]])
    assert r2_score(p, y) == pytest.approx((1 - 4 / 14 + 0) / 2)


def test_r2_of_a_constant_is_1_if_met_and_0_if_not():
    for constant in (2.0, 0.1):  # the mean of three 0.1 is not 0.1
        y = np.full(3, constant)
        assert r2_score(y, y) == 1 and r2_score(y + 1e-9, y) == 0


# ---------------------------------------------------------------- classes


@each_of_classes
def test_each_class_by_hand_and_all_averages(metric, each):
    np.testing.assert_allclose(metric(GUESS, TARGET, average=None), each, rtol=1e-15)
    assert metric(GUESS, TARGET, average="macro") == pytest.approx(np.mean(each))
    assert metric(GUESS, TARGET, average="weighted") == pytest.approx(np.sum(each * SUPPORT))
    assert metric(GUESS, TARGET, average="micro") == pytest.approx(0.6)
    for average in ("macro", "micro", "weighted"):
        assert type(metric(GUESS, TARGET, average=average)) is float


@each_of_classes
def test_macro_is_over_the_classes_that_occur(metric, each):
    """As in scikit-learn: class 1 is in neither, and class 3 in one of them."""
    guess, target = np.array([0, 0, 2, 3]), np.array([0, 2, 2, 2])
    found = metric(guess, target, average=None)
    assert len(found) == 4 and found[1] == 0
    assert metric(guess, target, average="macro") == pytest.approx(found[[0, 2, 3]].mean())
    scores = np.eye(6)[guess]
    assert metric(scores, target, average="macro") == metric(guess, target, average="macro")
    assert len(metric(scores, target, average=None)) == 6


def test_the_positive_class_is_1():
    guess, target = [1, 1, 1, 0, 0], [1, 0, 1, 1, 0]
    assert precision(guess, target) == recall(guess, target) == f1(guess, target) == 2 / 3
    guess = [1, 1, 1, 1, 0]
    assert (precision(guess, target), recall(guess, target)) == (3 / 4, 1)
    assert f1(guess, target) == pytest.approx(2 * (3 / 4) * 1 / (3 / 4 + 1))
    assert type(f1(guess, target)) is float


def test_nothing_of_nothing_is_0():
    assert precision([0, 0], [1, 0]) == 0.0 and recall([0, 0], [1, 0]) == 0.0
    assert recall([1, 0], [0, 0]) == 0.0 and precision([1, 0], [0, 0]) == 0.0
    assert f1([0, 0], [0, 0]) == 0.0 and f1([1, 0], [0, 1]) == 0.0


@pytest.mark.parametrize("metric", [precision, recall, f1])
def test_one_score_per_example_is_compared_with_the_threshold(metric):
    target, scores = np.array([1, 0, 1, 1, 0]), np.array([0.9, 0.6, 0.4, 0.5, 0.1])
    expected = metric(scores > 0.5, target)
    column = target[:, None]
    for p, y in ((scores, target), (scores, target.astype(float)), (scores[:, None], column)):
        assert metric(p, y) == expected
    assert metric(scores[:, None], target) == expected  # a column of scores, a row of labels
    assert metric(scores, target, threshold=0.05) == metric(np.ones(5, int), target)
    pair = np.stack([1 - scores, scores], axis=-1)
    assert metric(pair, target) == metric((scores > 0.5).astype(int), target)


def test_confusion_matrix_has_the_truth_in_rows():
    expected = np.array([[3, 1, 0, 0], [0, 2, 1, 0], [1, 0, 1, 1], [0, 0, 0, 0]])
    assert confusion_matrix(GUESS, TARGET).tolist() == expected.tolist()
    assert confusion_matrix(np.eye(4)[GUESS], np.eye(4)[TARGET]).tolist() == expected.tolist()
    assert confusion_matrix([0, 1], [0, 0], classes=3).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0]]
    assert confusion_matrix(np.eye(5)[[1]], [1]).shape == (5, 5)
    assert "classes=2" in refusal(confusion_matrix, [0, 2], [0, 0], classes=2)


def test_precision_of_the_whole_is_not_the_mean_of_its_halves():
    """Why a model calls a metric once, on all that it predicted."""
    guess, target = np.array([1, 0, 1, 1]), np.array([1, 0, 0, 0])
    halves = np.mean([precision(guess[:2], target[:2]), precision(guess[2:], target[2:])])
    assert precision(guess, target) == pytest.approx(1 / 3) and halves == 0.5


# ---------------------------------------------------------------- what is refused

TOP = {top_k_accuracy: {"k": 1}}
PAIRED = [mean_absolute_error, mean_squared_error, r2_score, binary_accuracy]
CLASSES = [accuracy, precision, recall, f1, confusion_matrix]
each_paired = pytest.mark.parametrize("metric", PAIRED, ids=lambda m: m.__name__)
each_class = pytest.mark.parametrize("metric", CLASSES, ids=lambda m: m.__name__)


@each_paired
def test_shapes_that_would_broadcast_are_refused(metric):
    text = refusal(metric, np.zeros((8, 1)), np.zeros(8))
    assert "(8, 1)" in text and "(8,)" in text and "squeeze" in text


@each_class
@pytest.mark.parametrize(
    ("prediction", "target"),
    [((8, 3), (7,)), ((8, 3), (8, 2)), ((8, 3), (3,)), ((8, 3), (8, 1)), ((8, 3), (8, 3, 3))],
)
def test_labels_of_another_shape_are_refused(metric, prediction, target):
    labels = np.zeros(target, int)
    if len(target) > 1:
        labels[..., 0] = 1
    text = refusal(metric, np.zeros(prediction), labels)
    assert str(prediction) in text and str(target) in text


@pytest.mark.parametrize("metric", [*PAIRED, *CLASSES, top_k_accuracy], ids=lambda m: m.__name__)
def test_nothing_to_measure_is_refused(metric):
    assert "nothing to measure" in refusal(metric, np.zeros((0, 3)), np.zeros((0, 3)))
    assert "nothing to measure" in refusal(metric, [], [])


@pytest.mark.parametrize("metric", [*PAIRED, *CLASSES, top_k_accuracy], ids=lambda m: m.__name__)
def test_what_is_no_number_is_refused(metric):
    refusal(metric, np.array(["cat"]), np.array([1]), error=TypeError)
    masked = np.ma.masked_array([0, 1], [False, True])
    assert "mask" in refusal(metric, masked, [0, 1], error=TypeError)
    scores = np.eye(2) if metric is top_k_accuracy else [0, 1]
    assert "target" in refusal(metric, scores, masked, error=TypeError, **TOP.get(metric, {}))


@each_paired
def test_a_nan_in_the_target_is_refused_with_its_position(metric):
    assert "nan at [1, 0]" in refusal(metric, np.zeros((2, 2)), [[0, 1], [math.nan, 1]])


@each_class
def test_labels_that_are_none_are_refused_with_their_position(metric):
    for label in (-1, 1.5, math.nan):
        assert f"target {label} at [1]" in refusal(metric, [0, 1], [0, label])
    assert "prediction -1 at [0]" in refusal(metric, [-1, 1], [0, 1])
    options = {} if metric in (accuracy, confusion_matrix) else {"average": "macro"}
    assert "label 3 at [1] is not in 0..2" in refusal(metric, np.zeros((2, 3)), [0, 3], **options)


@each_class
def test_what_should_be_onehot_and_is_not_is_refused(metric):
    scores = np.zeros((2, 3))
    assert "0.5 at [0, 0]" in refusal(metric, scores, [[0.5, 0.5, 0], [1, 0, 0]])
    assert "ones 2 at [1]" in refusal(metric, scores, [[1, 0, 0], [1, 1, 0]])
    assert "ones 0 at [0]" in refusal(metric, scores, [[0, 0, 0], [1, 0, 0]])


@pytest.mark.parametrize("metric", [accuracy, confusion_matrix])
def test_one_score_per_example_is_no_label(metric):
    for prediction in ([0.2, 0.8], [[0.2], [0.8]]):
        text = refusal(metric, prediction, [0, 1])
        assert "binary_accuracy" in text and "0.0 for logits" in text


def test_targets_of_binary_accuracy_are_0_and_1():
    assert "target 2.0 at [1]" in refusal(binary_accuracy, [0.5, 0.5], [1, 2])
    assert "target 0.5 at [0]" in refusal(binary_accuracy, [0.5, 0.5], [0.5, 1])


@pytest.mark.parametrize("k", [0, -1, 4])
def test_a_k_that_is_no_number_of_classes_is_refused(k):
    assert f"k={k}, of 3 classes" in refusal(top_k_accuracy, SCORES, LABELS, k=k)


def test_top_k_accuracy_needs_scores():
    assert "(batch, classes)" in refusal(top_k_accuracy, [1, 0], [1, 0], k=1)


@each_of_classes
def test_averages_that_do_not_fit_are_refused(metric, each):
    assert "there are 4; choose 'macro'" in refusal(metric, GUESS, TARGET)
    assert "average='mean'" in refusal(metric, GUESS, TARGET, average="mean")


def test_r2_of_one_example_is_refused():
    assert "two or more" in refusal(r2_score, [1.0], [1.0])
    assert "two or more" in refusal(r2_score, 1.0, 1.0)


# ---------------------------------------------------------------- by name


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("acc", accuracy),
        ("ACC", accuracy),
        ("accuracy", accuracy),
        ("categorical_accuracy", accuracy),
        ("sparse_categorical_accuracy", accuracy),
        ("binary_accuracy", binary_accuracy),
        ("top_k_accuracy", top_k_accuracy),
        ("top_k_categorical_accuracy", top_k_accuracy),
        ("sparse_top_k_categorical_accuracy", top_k_accuracy),
        ("mae", mean_absolute_error),
        ("mse", mean_squared_error),
        ("r2", r2_score),
        ("r2_score", r2_score),
        ("precision", precision),
        ("recall", recall),
        ("f1", f1),
        ("f1_score", f1),
    ],
)
def test_get_finds_a_metric_by_its_names(name, metric):
    assert metrics.get(name) is metric


def test_get_passes_a_function_on_and_makes_metrics_of_losses():
    mine = lambda prediction, target: 0.0
    assert metrics.get(mine) is mine
    percentage = metrics.get("mape")
    wanted = tg.Tensor([90.0, 2.0], requires_grad=True)
    assert percentage(wanted, [100.0, 1.0]) == 55.0
    assert type(percentage(wanted, [100.0, 1.0])) is float
    assert percentage.__name__ == "mean_absolute_percentage_error"


@pytest.mark.parametrize("name", ["precise", "", None, 3, "confusion_matrix", "get"], ids=repr)
def test_get_of_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match="metrics: there is no") as caught:
        metrics.get(name)
    assert repr(name) in str(caught.value) and "top_k_accuracy" in str(caught.value)
