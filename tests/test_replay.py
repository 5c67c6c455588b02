"""Recorded ops run again: the value comes out again, and the slopes are the gradient's."""

import re

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.test_ops import ROWS, called, inputs_of, label, outputs, weights
from tinygrad_edu.graph.replay import Replay, check, replayed, spread
from tinygrad_edu.rules import differentiable


def leaf(data, dtype="float64", name=None):
    return tg.Tensor(np.array(data, dtype), requires_grad=True, name=name)


def loss_of(row, dtype):
    """One number from what a row computes, and the leaves."""
    leaves = [leaf(x, dtype) for x in inputs_of(row)]
    total = tg.Tensor(np.zeros((), dtype))
    for z in outputs(called(row, *leaves)):
        total = total + (z * weights(z).astype(dtype)).sum()
    return total, leaves


# ---------------------------------------------------------------- every op


@pytest.mark.parametrize("row", ROWS, ids=label)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_op_is_checked_by_differences(row, dtype):
    loss, leaves = loss_of(row, dtype)
    found = check(loss)
    assert set(found) == {x for x in leaves if tg.grad(loss, x, allow_unused=True) is not None}
    for x, result in found.items():
        assert result.of == x.size and result.right, result.text
        if result.largest > 1e-12:  # else there is nothing but rounding to compare
            assert result.entries == x.size and result.agrees, result.text
        assert result.relative <= 1e-6 or result.difference < 1e-9


def test_ops_in_half_precision_are_checked_in_double():
    x = leaf([[0.5, -1.5], [2.0, 0.25]], "float16")
    found = check((tg.tanh(x) @ x).sum())[x]
    assert found.agrees and found.smooth and found.difference < 1e-9
    assert 0 < found.rounding < 0.01


def test_numbers_made_float32_on_the_way_are_not_rounded_in_the_check():
    x = leaf([0.1, 0.7])
    found = check((x.astype("float32") ** 3).astype("float64").sum())[x]
    assert found.agrees and found.difference < 1e-9


# ---------------------------------------------------------------- what it finds


def test_a_wrong_rule_is_found():
    @differentiable
    def cube(x):
        """z = x^3        dx = g 3 x^2, but it forgets the 3"""
        return x**3, lambda g: g * x**2

    x = leaf([1.0, 2.0])
    found = check(cube(x).sum())[x]
    assert not found.agrees and found.smooth
    assert found.difference == pytest.approx(8) and found.relative == pytest.approx(2)
    assert found.text == "2 of 2 compared: the gradient DIFFERS from the slopes, by 8.0e+00"


@pytest.mark.parametrize("f", [tg.relu, tg.abs, lambda x: tg.maximum(x, 0.0)])
def test_a_kink_is_no_alarm(f):
    x = leaf([0.0, 1.5])
    found = check(f(x).sum())[x]
    assert found.agrees and not found.smooth and found.kinks == 1 and found.entries == 1
    assert found.text.endswith("at 1 of them the loss has a kink, so there is no one slope")


@pytest.mark.parametrize("f", [tg.floor, tg.sqrt])
def test_a_jump_or_an_edge_is_no_kink_and_no_alarm(f):
    x = leaf([0.0, 1.5])
    found = check(f(x).sum())[x]
    assert found.agrees and found.kinks == 0 and found.unsettled == 1
    assert "at 1 of them slopes do not settle" in found.text


def test_a_kink_near_by_is_stepped_around():
    x = leaf([1e-6, -1e-5, 3e-4])
    found = check(tg.relu(x).sum())[x]
    assert found.smooth and found.agrees and found.entries == 3


def test_tied_maxima_and_nothing_but_kinks():
    x = leaf([2.0, 2.0])
    found = check(tg.max(x))[x]
    assert found.kinks == 2 and found.entries == 0 and not found.agrees
    assert found.text == "not compared: the loss has a kink, so there is no one slope"


@pytest.mark.parametrize("steep", [1.0, 30.0, 1000.0])
def test_steep_functions_are_followed(steep):
    x = leaf([0.3, 0.7])
    found = check(tg.sin(x * steep).sum())[x]
    assert found.smooth and found.agrees and found.relative < 1e-6


def test_the_edge_of_where_a_function_is():
    x = leaf([1e-5, 2.0])
    found = check(tg.log(x).sum())[x]
    assert found.smooth and found.relative < 1e-6


def test_numbers_without_a_gradient_are_left_out():
    x, frozen = leaf([1.0, 2.0]), tg.Tensor([3.0, 4.0])
    labels = tg.Tensor(np.array([0, 1]))
    assert set(check((x * frozen)[labels.data].sum())) == {x}


# ---------------------------------------------------------------- where slopes can be trusted


@differentiable
def bad(x):
    """z = 2 * x        dx = 7 * g"""
    return 2 * x, lambda g: 7 * g


@pytest.mark.parametrize("large", [1e12, 1e14])
def test_where_rounding_hides_everything_nothing_is_said_to_agree(large):
    x = leaf([1.0, 2.0])
    found = check(bad(x).sum() + large)[x]
    assert not found.agrees and found.entries == 0 and found.hidden == 2
    assert "the loss is too large beside what this changes" in found.text


def test_large_numbers_on_the_way_are_no_mistake_of_the_rules():
    x = leaf([1.0, 2.0])
    found = check((((x**2).sum() + 1e10) - 1e10) * 1 * 1)[x]
    assert found.right and "DIFFERS" not in found.text


@pytest.mark.parametrize(
    ("f", "at"),
    [
        (lambda x: x**2, [1e-20, 2e-20]),
        (lambda x: x**3, [0.0, 0.0]),
        (lambda x: x**5, [0.0, 1.0]),
        (lambda x: -tg.log(x), [1.0, 1e-6]),
        (lambda x: -tg.log(x), [1.0, 1e-12]),
        (lambda x: tg.sin(x * 1e6), [0.3, 0.7]),
        (lambda x: x * 1e-20, [1.0, 2.0]),
        (lambda x: x * 1e20, [1.0, 2.0]),
    ],
)
def test_smooth_functions_are_compared_whatever_their_scale(f, at):
    x = leaf(at)
    found = check(f(x).sum())[x]
    assert found.agrees and found.smooth and found.entries == 2, found.text


def test_a_wrong_rule_is_found_at_any_scale():
    for f in (lambda x: bad(x) * 1e-20, lambda x: bad(x * 1e20), lambda x: bad(x) + 1e4):
        x = leaf([1.0, 2.0])
        found = check(f(x).sum())[x]
        assert not found.right and not found.agrees and found.entries == 2


def test_a_loss_that_is_not_finite_has_no_slope_and_no_kink():
    with np.errstate(all="ignore"):
        x = leaf([-1.0, 2.0])
        found = check(tg.log(x).sum())[x]
    assert found.unsettled == 2 and found.kinks == 0 and not found.agrees
    assert found.text == "not compared: slopes do not settle, so nothing can be compared"


def test_the_gradient_that_is_shown_is_compared():
    """Right rules may give a wrong number, where the precision does not suffice."""
    x = leaf([100.0, 99.0], "float32")
    with np.errstate(all="ignore"):
        e = tg.exp(x)
        found = check(-(e / e.sum())[0])[x]
    assert found.right and found.entries == 2 and not found.agrees
    assert found.text.startswith("nan in float32; in float64 2 of 2 compared")
    x = leaf([1.0, 2.0], "float16")
    found = check(((x * 1e-4) * 1e-4).sum())[x]
    assert found.right and not found.agrees
    assert found.text.startswith("rounded to 0 in float16; in float64 2 of 2 compared")


def test_hooks_on_the_way_are_said_to_be_left_out():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    k = x * 3
    k.register_hook(lambda g: g * 100)
    found = check((k * y).sum())
    assert found[x].text.startswith("without the hooks on its way, 2 of 2 compared")
    assert found[y].text.startswith("2 of 2 compared")


def test_an_empty_leaf():
    x = leaf(np.zeros((0, 3)))
    found = check(x.sum() + leaf(1.0))[x]
    assert found.text == "there is nothing to compare: it is empty" and not found.agrees


# ---------------------------------------------------------------- how much is compared


def test_many_leaves_take_no_longer_than_few():
    """The way of a leaf is followed only as far as there is time to run it again."""
    xs = [leaf(1.0) for _ in range(3000)]
    z = xs[0] * 1.0
    for x in xs[1:]:
        z = z * x
    visited = []

    class Users(dict):
        def get(self, x, otherwise):
            visited.append(x)
            return super().get(x, otherwise)

    again = Replay(z)
    again.__dict__["_users"] = Users(again._users)
    assert again.after([again.twins[xs[0]]], most=10) is None
    assert len(visited) <= 11
    found = check(z)
    assert len(found) == 3000 and found[xs[1500]].entries == 0 and found[xs[-1]].entries == 1


def test_the_largest_derivative_is_among_the_numbers_compared():
    assert spread(np.array([0.0, 0, 0, 9, 0, 0, 0, 0, 0, 0]), 3) == [0, 3, 9]
    assert spread(np.array([1.0, -5.0, 1.0]), 3) == [0, 1, 2]
    assert spread(np.ones(3), 0) == []
    x = leaf(np.arange(100.0))
    assert check((x * x).sum(), limit=10)[x].entries == 10


def test_the_work_is_bounded():
    x, y = leaf(np.ones(50)), leaf(np.ones(50))
    z = x * y
    for _ in range(20):
        z = z * y
    found = check(z.sum(), budget=500)
    assert [result.entries for result in found.values()] == [2, 3]  # 21 products, 4 times
    assert check(z.sum(), budget=1)[y].text.startswith("not compared: 50 numbers")


# ---------------------------------------------------------------- nothing is disturbed


def test_nothing_changes_and_hooks_are_not_called():
    calls = []
    x = leaf([1.0, 2.0])
    x.grad = np.array([5.0, 5.0])
    x.register_hook(calls.append)
    loss = (x * x).sum()
    before = x.data.copy()
    with tg.no_grad():
        found = check(loss)[x]
    assert found.agrees and not calls
    assert x.grad.tolist() == [5, 5] and x.data.tobytes() == before.tobytes()
    loss.backward()
    assert x.grad.tolist() == [7, 9]


def test_what_was_frozen_or_thawed_since_does_not_matter():
    x, y = leaf([1.0, 2.0]), tg.Tensor(np.array([3.0, 4.0]))
    loss = (x * y).sum()
    x.requires_grad, y.requires_grad = False, True
    found = check(loss)
    assert set(found) == {x} and found[x].agrees


def test_deep_graphs_need_no_recursion():
    x = leaf(0.5)
    z = x
    for _ in range(5000):
        z = z * 1.0001
    assert check(z)[x].agrees


# ---------------------------------------------------------------- replayed


def test_replayed_is_computed_again_with_other_numbers():
    x, w = leaf([1.0, 2.0], "float32"), leaf([3.0, 4.0], "float32")
    h = x * w
    loss = (h + x).sum()
    assert replayed(loss, {}) == 14 and replayed(loss, {}).dtype == np.float64
    assert replayed(loss, {x: [0.0, 1.0]}) == 5
    assert replayed(loss, {h: [10.0, 10.0]}) == 23  # an inner tensor, which is not computed then
    assert replayed(loss, {}, "float32").dtype == np.float32
    assert replayed(loss, {leaf([0.0]): [7.0]}) == 14  # not in the graph


def test_replay_has_the_gradients_of_all_tensors():
    x = leaf([1.0, 2.0], "float32")
    h = x * x
    found = Replay(h.sum()).gradients()
    assert found[x].tolist() == [2, 4] and found[x].dtype == np.float64
    assert found[h].tolist() == [1, 1]


def test_what_cannot_be_replayed_says_why():
    x = leaf([1.0, 2.0])
    with pytest.raises(
        ValueError, match=re.escape("a value of shape (3,) for a tensor of shape (2,)")
    ):
        replayed((x * x).sum(), {x: [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"check: a tensor of shape \(2,\) is not one number"):
        check(x * x)
    with pytest.raises(ValueError, match="nothing to run again"):
        check(leaf(1.0))
    loss = (x * x).sum()
    x.data = [5.0, 6.0]
    with pytest.raises(RuntimeError, match="was changed"):
        check(loss)
