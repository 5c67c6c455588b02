"""The chain rule: every step of the walk, in order, and what adds up to what."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor
from tinygrad_edu.chain import walk, youngest_first


def leaf(data):
    return Tensor(np.array(data, float), requires_grad=True)


def network():
    """A loss with diamonds, a tensor used twice by one op, broadcasting and a constant."""
    rng = np.random.default_rng(0)
    x, w, b = leaf(rng.standard_normal((4, 3))), leaf(rng.standard_normal((3, 3))), leaf([0.1] * 3)
    h = tg.tanh(x @ w + b)
    y = (h * h) @ (w * w) + h + np.ones(3)
    return (y * y).mean(), [x, w, b]


def test_the_diamond_of_all_diamonds():
    """d(x x + x)/dx at 3 is 7: a gradient that arrives twice is added, not overwritten."""
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad == 7.0


def test_a_product_with_itself_counts_twice():
    w = leaf([[1.0, 2.0], [3.0, 4.0]])
    (_, _, contributions), (last, g, _) = walk(w * w, np.ones((2, 2)))
    assert [x is w for x, _ in contributions] == [True, True] and last is w
    np.testing.assert_array_equal(g, 2 * w.data)
    assert tg.gradcheck(lambda w: w @ w, w, order=2)


def test_steps_come_youngest_first_and_leaves_last():
    loss, leaves = network()
    tensors = [t for t, _, _ in walk(loss, np.ones(()))]
    inner, last = tensors[: -len(leaves)], tensors[-len(leaves) :]
    assert inner[0] is loss
    assert all(not t.is_leaf for t in inner) and set(last) == set(leaves)
    place = {t: i for i, t in enumerate(tensors)}
    assert len(place) == len(tensors), "each tensor once"
    for t in inner:
        assert all(place[x] > place[t] for x in t.inputs if x.requires_grad)


def test_youngest_first_has_everything_an_op_made_once_before_its_inputs():
    loss, _ = network()
    assert youngest_first(loss) == [t for t, _, _ in walk(loss, np.ones(())) if not t.is_leaf]
    x = leaf(1.0)
    assert youngest_first(x) == [x]


@pytest.mark.parametrize("create_graph", [False, True])
def test_what_each_tensor_gets_from_its_uses_adds_up_to_its_gradient(create_graph):
    loss, leaves = network()
    seed = Tensor(np.ones(())) if create_graph else np.ones(())
    total, found = {}, {}
    for t, g, contributions in walk(loss, seed, create_graph):
        found[t] = g
        for x, dx in contributions:
            assert np.shape(dx) == x.shape
            total[x] = total.get(x, 0) + (dx.data if create_graph else dx)
    for t in {*total, *leaves}:
        g = found[t].data if create_graph else found[t]
        np.testing.assert_allclose(g, total[t], rtol=1e-14, atol=1e-16)
        np.testing.assert_allclose(g, tg.grad(loss, t).data, rtol=1e-12, atol=1e-15)


def test_contributions_belong_to_the_inputs_of_their_step():
    loss, _ = network()
    for t, _, contributions in walk(loss, np.ones(())):
        wanting = [x for x in t.inputs if x.requires_grad]
        assert [x for x, _ in contributions] == wanting


def test_a_walk_leaves_every_grad_alone_even_retained_ones():
    x = leaf(2.0)
    h = (x * 3).retain_grad()
    assert [float(g) for _, g, _ in walk(h * h, np.ones(()))] == [1.0, 12.0, 36.0]
    assert x.grad is None and h.grad is None


def test_two_walks_give_the_same_and_one_may_stop_half_way():
    loss, _ = network()
    next(walk(loss, np.ones(())))
    first, second = (list(walk(loss, np.ones(()))) for _ in range(2))
    assert [t for t, _, _ in first] == [t for t, _, _ in second]
    for (_, a, _), (_, b, _) in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_walk_to_what_is_wanted_goes_nowhere_else():
    x, y = leaf(2.0), leaf(3.0)
    a, b = x * 5, y * 7
    c = a * b
    steps = list(walk(c, np.ones(()), wanted=[x]))
    assert [t for t, _, _ in steps] == [c, a, x]
    assert all(t in (a, x) for _, _, contributions in steps for t, _ in contributions)
    assert [t for t, _, _ in walk(c, np.ones(()), wanted=[a])] == [c, a]
    assert [t for t, _, _ in walk(c, np.ones(()), wanted=[leaf(1.0)])] in ([], [c])


def test_what_is_not_wanted_is_not_computed():
    calls = []

    @tg.differentiable
    def product(x, y):
        return x * y, lambda g: calls.append("x") or g * y, lambda g: calls.append("y") or g * x

    x, y = leaf(2.0), leaf(3.0)
    assert tg.grad(product(x, y), x).item() == 3.0
    assert calls == ["x"]


def test_a_constant_gets_no_step():
    x, c = leaf(2.0), Tensor(3.0)
    assert [t is c for t, _, _ in walk(x * c, np.ones(()))] == [False, False]


def test_a_hook_acts_where_its_tensor_has_its_turn():
    x = leaf(2.0)
    h = x * 3
    h.register_hook(lambda g: g * 10)
    steps = {t: g for t, g, _ in walk(h * h, np.ones(()))}
    assert steps[h] == 120.0 and steps[x] == 360.0


def test_gradients_of_a_walk_have_the_dtype_of_their_tensors():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = (x * np.array([1.0, 2.0])).sum()  # float64 from here on
    assert [g.dtype for _, g, _ in walk(y, np.ones(()))] == [np.float64, np.float64, np.float32]
