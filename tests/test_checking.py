"""Checking: gradcheck passes what is right, finds what is planted, and says what it may be."""

import re

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import GradientError, Tensor, gradcheck

A = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
S = np.array([[0.5, -1.25], [1.5, 0.75]])
B = np.array([1.0, -2.0, 0.5])


def op(rule):
    return tg.differentiable(rule)


# ---------------------------------------------------------------- what is right passes


@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_gradients_pass_at_every_order(order):
    assert gradcheck(tg.tanh, A, order=order) is True
    assert gradcheck(lambda x, y: x @ y, (A, B), order=order)
    assert gradcheck(lambda x: tg.softmax(x * x), [A], order=order)


def test_inputs_may_be_arrays_tensors_numbers_or_lists_of_these():
    for inputs in (A, Tensor(A), [A], (A,), 2.0, (2.0,), np.array([1, 2]), Tensor([1.0, 2.0])):
        assert gradcheck(lambda x: x**3, inputs)


def test_inputs_are_taken_in_double_precision_and_left_alone():
    x = Tensor([1.0, 2.0], requires_grad=True)
    seen = []
    before = x.tolist()
    gradcheck(lambda x: seen.append(x.dtype) or x * x, x)
    assert set(seen) == {np.dtype(np.float64)}
    assert x.tolist() == before and x.grad is None and x.dtype == np.float32
    gradcheck(lambda x: x * x, A)
    assert A[0, 0] == 0.5


def test_functions_of_several_results_are_checked_as_a_whole():
    assert gradcheck(lambda x: [x * x, x.sum()], A, order=2)
    wrong = op(lambda x: (x * x, lambda g: g * x))
    with pytest.raises(GradientError):
        gradcheck(lambda x: (x.sum(), wrong(x)), A)


def test_what_does_not_depend_on_an_input_passes():
    assert gradcheck(lambda x, y: x * x, (A, B), order=2)
    assert gradcheck(lambda x: Tensor(np.ones(3)), A, order=2)


def test_it_works_under_no_grad():
    with tg.no_grad():
        assert gradcheck(tg.tanh, A, order=2)
        assert not tg.is_grad_enabled()


def test_it_takes_tolerances():
    nearly = op(lambda x: (x * x, lambda g: g * 2.001 * x))
    assert gradcheck(nearly, A, rtol=1e-2)
    assert gradcheck(nearly, A, atol=1e-1)
    with pytest.raises(GradientError):
        gradcheck(nearly, A)


# ---------------------------------------------------------------- planted bugs


def wrong_sign(x):
    return np.cos(x), lambda g: g * np.sin(x)


def wrong_factor(x):
    return x**3, lambda g: g * x**2


def half_too_much(x):
    return x**2, lambda g: g * 3 * x


def transposed(x):
    return x.T * np.array(
        [[1.0, 2.0], [3.0, 4.0]]
    ), lambda g: g * np.array([[1.0, 2.0], [3.0, 4.0]])


def mean_for_a_sum(x):
    return np.sum(x, axis=0), lambda g: np.ones_like(x) * g / 2


def detached(x):
    return x.detach() * 2 + 0 * x


def cut_by_data(x):
    return x * 0 + Tensor(x.data**2)


def one_path_detached(x):
    return x * x.detach()


def one_entry_wrong(x):
    weights = np.ones((2, 3))
    weights[1, 0] = 5.0
    return x**2, lambda g: g * 2 * x * weights


def nan_gradient(x):
    return x * 1.0, lambda g: g * np.nan


FIRST = {
    "wrong sign": (op(wrong_sign), A, "the sign is wrong everywhere"),
    "wrong factor": (op(wrong_factor), A, "3 times too small everywhere"),
    "wrong fraction": (op(half_too_much), A, r"off by the factor 0\.666667 everywhere"),
    "transposed": (op(transposed), S, "transposed"),
    "mean for a sum": (op(mean_for_a_sum), A, "2 times too small.*sum over a broadcast axis"),
    "detached": (detached, A, r"0 everywhere: \.detach\(\)"),
    "cut by .data": (cut_by_data, A, r"0 everywhere: .*\.data"),
    "one path detached": (one_path_detached, A, "2 times too small|factor 2|detach"),
    "one entry": (op(one_entry_wrong), A, None),
    "nan": (op(nan_gradient), A, None),
    "kink": (
        tg.relu,
        np.array([1.0, 0.0]),
        r"a kink: the slope is 0 from below and 1\.\d+ from above",
    ),
    "a jump": (tg.floor, np.array([0.5, 2.0]), "kink|not finite|jump"),
    "not finite beside": (tg.log, np.array([1.0, 1e-9]), "not finite"),
}


@pytest.mark.filterwarnings("ignore:.*encountered in log")
@pytest.mark.parametrize("bug", FIRST)
def test_a_planted_bug_is_found_and_named(bug):
    f, x, hint = FIRST[bug]
    with pytest.raises(GradientError) as found:
        gradcheck(f, x)
    message = str(found.value)
    assert "order 1" in message and f"shape {x.shape}" in message
    if hint is None:
        assert "hint" not in message
    else:
        assert re.search(f"hint: .*({hint})", message, re.DOTALL), message


SECOND = {
    "a constant in the slope": lambda x: (
        np.sin(x), lambda g: g * np.cos(x.data if isinstance(x, Tensor) else x)),
    "half of it": lambda x: (x**3, lambda g: g * 3 * x * tg.tensor(x).data),
    "the slope's g forgotten": lambda x: (
        x * 2.0, lambda g: g * 2 if not isinstance(g, Tensor) else g.detach() * 2),
}  # fmt: skip


@pytest.mark.parametrize("bug", SECOND)
def test_a_bug_of_second_order_only_is_found_at_order_2(bug):
    broken = op(SECOND[bug])
    f = lambda x: broken(x) ** 2
    assert gradcheck(f, A)
    with pytest.raises(GradientError, match="order 2"):
        gradcheck(f, A, order=2)


def test_a_gradient_that_is_transposed_is_found_in_any_shape():
    broken = op(lambda x: (x * A, lambda g: (g * A).T))
    with pytest.raises((GradientError, ValueError)):
        gradcheck(broken, A)


# ---------------------------------------------------------------- the message


def test_the_message_shows_both_gradients_and_the_worst_index_first():
    weights = np.ones((2, 3))
    weights[1, 0], weights[0, 2] = 5.0, 1.5
    broken = op(lambda x: (x * 1.0, lambda g: g * weights))
    with pytest.raises(GradientError) as found:
        gradcheck(lambda y, x: broken(x).sum() + 0 * y, (B.sum(), A))
    lines = str(found.value).split("\n")
    assert lines[0] == (
        "gradcheck: input 1 of shape (2, 3), order 1: 2 of 6 entries differ, the worst at [1, 0]"
    )
    assert lines[1].split() == ["entry", "by", "the", "rules", "by", "differences"]
    (*where, rules, differences), second = lines[2].split(), lines[3].split()
    assert where == ["[1,", "0]"] and second[:2] == ["[0,", "2]"]
    assert float(rules) == pytest.approx(5 * float(differences), rel=1e-6)
    assert float(second[2]) == pytest.approx(1.5 * float(second[3]), rel=1e-6)
    assert len(lines) == 4


def test_a_long_list_of_differences_is_cut():
    broken = op(lambda x: (x * 1.0, lambda g: g * 2))
    with pytest.raises(GradientError, match="100 of 100 entries") as found:
        gradcheck(broken, np.arange(100.0))
    assert len(str(found.value).split("\n")) == 2 + 8 + 1


def test_a_gradient_error_is_an_assertion_error():
    assert issubclass(GradientError, AssertionError)


# ---------------------------------------------------------------- what cannot be checked


def test_a_random_function_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(GradientError, match="two calls gave two values; fix the seed"):
        gradcheck(lambda x: x * rng.standard_normal(), A)
    assert gradcheck(lambda x: tg.ops.dropout(x, 0.5, rng=0) ** 2, A)


@pytest.mark.parametrize(
    ("f", "kind"),
    [
        (lambda x: x.data * 2, "ndarray"),
        (lambda x: float(x.sum()), "float"),
        (lambda x: None, "NoneType"),
        (lambda x: [x, x.numpy()], "ndarray"),
    ],
)
def test_a_result_that_is_no_tensor_is_refused(f, kind):
    with pytest.raises(TypeError, match=rf"gradcheck: .*a {kind}, not a Tensor"):
        gradcheck(f, A)


def test_orders_below_1_are_refused():
    with pytest.raises(ValueError, match="order=0"):
        gradcheck(tg.tanh, A, order=0)


def test_the_errors_of_the_function_itself_come_through():
    with pytest.raises(ValueError, match="add"):
        gradcheck(lambda x: x + np.ones(7), A)
