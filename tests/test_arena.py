"""The arena: parameters as one vector, whatever happens to them, and nothing kept alive."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.arena import Arena
from tinygrad_edu.optimizers import SGD, Adam


def leaf(*numbers, dtype="float32", name=None):
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, dtype)
    return tg.Tensor(data, requires_grad=True, name=name)


def arenas(optimizer):
    return [part.arena for group in optimizer.groups for part in group.parts]


def arena_of(optimizer):
    (arena,) = arenas(optimizer)
    return arena


def backward(*parameters):
    """A gradient of 1 everywhere."""
    total = sum((p.sum() for p in parameters), start=tg.Tensor(0.0))
    total.backward()
    return total


def train(model, optimizer, steps):
    x, y = np.ones((2, 3), "float32"), [0, 1]
    for _ in range(steps):
        optimizer.minimize(lambda: tg.losses.cross_entropy(model(x), y))


# ---------------------------------------------------------------- side by side


def test_parameters_become_views_of_one_vector_in_their_order():
    w, b = leaf([1, 2], [3, 4]), leaf(5)
    arena = Arena([w, b])
    assert arena.data.tolist() == [1, 2, 3, 4, 5]
    assert (w.shape, b.shape) == ((2, 2), ())
    arena.data *= 10
    assert w.tolist() == [[10, 20], [30, 40]] and b.item() == 50
    w.data[0, 0] = 7
    assert arena.data[0] == 7


def test_the_numbers_shapes_and_dtypes_survive_packing():
    rng = np.random.default_rng(0)
    originals = [
        rng.standard_normal((4, 3)),
        np.asfortranarray(rng.standard_normal((3, 5))),
        rng.standard_normal((6, 4))[::2, ::-1],
        np.broadcast_to(rng.standard_normal(3), (2, 3)),
        np.array(2.5),
        np.zeros((0, 3)),
    ]
    tensors = [tg.Tensor(x, requires_grad=True, copy=False) for x in originals]
    kept = [x.copy() for x in originals]
    arena = Arena(tensors)
    for t, before, original in zip(tensors, kept, originals, strict=True):
        np.testing.assert_array_equal(t.data, before)
        assert t.data.dtype == np.float64 and t.data.flags.writeable
        assert not np.shares_memory(t.data, original)
    assert arena.data.size == sum(x.size for x in originals)


def test_gradients_land_in_the_arena():
    w, b = leaf(1, 2), leaf(3)
    arena = arena_of(SGD([w, b]))
    (2 * w).sum().backward()
    (5 * b).backward()
    assert arena.grad.tolist() == [2, 2, 5]
    assert np.shares_memory(w.grad, arena.grad) and np.shares_memory(b.grad, arena.grad)
    assert (w.grad.shape, b.grad.shape) == ((2,), ())
    (3 * w).sum().backward()
    assert arena.grad.tolist() == [5, 5, 5]


def test_gradients_from_before_packing_come_along():
    w = leaf(1, 2)
    (4 * w).sum().backward()
    arena = arena_of(SGD(w))
    assert arena.grad.tolist() == [4, 4] and w.grad.tolist() == [4, 4]
    w.sum().backward()
    assert arena.grad.tolist() == [5, 5]


def test_a_gradient_is_none_until_backward_and_after_zero_grad():
    w = leaf(1, 2)
    optimizer = SGD(w)
    assert w.grad is None
    backward(w)
    optimizer.zero_grad()
    assert w.grad is None
    backward(w)
    assert w.grad.tolist() == [1, 1], "nothing of the forgotten gradient is left"


def test_tied_parameters_are_packed_once():
    w, b = leaf(1, 2), leaf(3)
    optimizer = SGD([w, b, w], lr=1)
    assert arena_of(optimizer).data.tolist() == [1, 2, 3]
    assert optimizer.parameters() == [w, b]
    ((w * w).sum() + w.sum() + b).backward()
    optimizer.step()
    assert w.tolist() == [-2, -3] and b.item() == 2


def test_zero_dimensional_and_empty_parameters_are_updated_like_others():
    a, b, c = leaf(3), leaf(np.zeros((0, 2))), leaf(4, 5)
    optimizer = SGD([a, b, c], lr=1)
    backward(a, b, c)
    optimizer.step()
    assert (a.item(), b.shape, c.tolist()) == (2, (0, 2), [3, 4])
    assert a.shape == () and isinstance(a.data, np.ndarray)


def test_every_dtype_has_an_arena_of_its_own():
    small, large, more = leaf(1, 2), leaf(3, dtype="float64"), leaf(4)
    optimizer = SGD([small, large, more], lr=1)
    assert [(a.data.dtype.name, a.data.tolist()) for a in arenas(optimizer)] == [
        ("float32", [1, 2, 4]),
        ("float64", [3]),
    ]
    backward(small, large, more)
    optimizer.step()
    assert (small.tolist(), large.item(), more.item()) == ([0, 1], 2, 3)
    assert large.dtype == np.float64 and small.dtype == np.float32


def test_a_float16_parameter_is_updated_in_float16():
    half = leaf(1, 2, dtype="float16")
    optimizer = SGD(half, lr=0.5)
    (half * 3).sum().backward()
    optimizer.step()
    assert half.tolist() == [-0.5, 0.5] and half.dtype == np.float16


# ---------------------------------------------------------------- assigned from outside


def test_assigned_data_is_adopted_at_the_next_step():
    w = leaf(1, 2)
    optimizer = SGD(w, lr=1)
    w.data = np.array([10.0, 20.0])
    backward(w)
    optimizer.step()
    assert w.tolist() == [9, 19] and arena_of(optimizer).data.tolist() == [9, 19]
    assert w.dtype == np.float32
    backward(w)
    assert np.shares_memory(w.data, arena_of(optimizer).data)


def test_the_assigned_array_itself_is_left_alone():
    w, new, slope = leaf(1, 2), np.array([10, 20], "float32"), np.array([1, 1], "float32")
    optimizer = SGD(w, lr=1)
    w.data, w.grad = new, slope
    optimizer.step()
    assert w.tolist() == [9, 19]
    assert new.tolist() == [10, 20] and slope.tolist() == [1, 1]


def test_an_assigned_gradient_is_used_and_adopted():
    w = leaf(1, 2)
    optimizer = SGD(w, lr=1)
    for assigned in (np.array([1, 1], "float32"), np.ones(2), tg.Tensor([1.0, 1.0]), [1, 1]):
        w.grad = assigned
        optimizer.step()
    assert w.tolist() == [-3, -2]
    assert np.shares_memory(w.grad, arena_of(optimizer).grad)


def test_a_gradient_with_a_history_is_used_for_the_step():
    w = leaf(1, 2)
    optimizer = SGD(w, lr=1)
    (w * w).sum().backward(create_graph=True)
    optimizer.step()
    assert w.tolist() == [-1, -2]


def test_a_learners_own_loop_and_an_optimizer_take_turns():
    w = leaf(4)
    optimizer = SGD(w, lr=0.25)
    for _ in range(2):
        optimizer.minimize(lambda: w * w)  # halves it
        w.grad = None
        (w * w).backward()
        w.data = w.data - 0.25 * w.grad
    assert w.item() == 0.25


def test_two_parameters_may_exchange_their_data():
    a, b = leaf(1, 1), leaf(2, 2)
    optimizer = SGD([a, b], lr=0)
    a.data, b.data = b.data, a.data
    backward(a, b)
    optimizer.step()
    assert (a.tolist(), b.tolist()) == ([2, 2], [1, 1])


def test_two_parameters_may_exchange_their_gradients():
    a, b = leaf(0, 0), leaf(0, 0)
    optimizer = SGD([a, b], lr=1)
    ((a * 3).sum() + (b * 5).sum()).backward()
    a.grad, b.grad = b.grad, a.grad
    optimizer.step()
    assert (a.tolist(), b.tolist()) == ([-5, -5], [-3, -3])


def test_a_parameter_may_be_given_a_view_of_itself():
    w = leaf(1, 2, 3)
    optimizer = SGD(w, lr=0)
    w.data = w.data[::-1]
    backward(w)
    optimizer.step()
    assert w.tolist() == [3, 2, 1] and arena_of(optimizer).data.tolist() == [3, 2, 1]


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 1), ()], ids=str)
@pytest.mark.parametrize("what", ["data", "grad"])
def test_another_shape_is_refused_before_anything_is_written(what, shape):
    first, w = leaf(1, 1), leaf(1, 2, name="w")
    optimizer = SGD([first, w], lr=1)
    backward(first, w)
    first.data = np.array([5, 6], "float32")
    setattr(w, what, np.zeros(shape, "float32"))
    before = arena_of(optimizer).data.copy(), arena_of(optimizer).grad.copy()
    with pytest.raises(ValueError, match=f"{what} of parameter 'w' now has shape") as caught:
        optimizer.step()
    assert f"{shape}, it was (2,)" in str(caught.value)
    assert "make a new optimizer" in str(caught.value)
    np.testing.assert_array_equal(arena_of(optimizer).data, before[0])
    np.testing.assert_array_equal(arena_of(optimizer).grad, before[1])
    assert first.tolist() == [5, 6] and optimizer.iterations == 0


def test_a_parameter_without_a_name_is_named_by_its_number():
    a, b = leaf(1), leaf(2, 3)
    optimizer = SGD([a, b])
    b.grad = np.zeros(5)
    with pytest.raises(ValueError, match=r"grad of parameter number 1 \(shape \(2,\)\)"):
        optimizer.step()


# ---------------------------------------------------------------- one optimizer each


def test_a_parameter_in_two_optimizers_is_refused_by_name():
    w, b = leaf(1, name="w"), leaf(2)
    first = SGD([w, b])
    with pytest.raises(ValueError, match="parameter 'w' already belongs to an optimizer"):
        SGD(w)
    with pytest.raises(ValueError, match=r"parameter number 0 \(shape \(\)\) already belongs"):
        Adam(b)
    with pytest.raises(ValueError, match="parameter 'w' already belongs"):
        Arena([w])
    assert first.parameters() == [w, b]


def test_a_refused_optimizer_takes_no_parameter_with_it():
    taken, free = leaf(1), leaf(2)
    owner = SGD(taken, lr=1)
    for params in ([free, taken], [{"params": free}, {"params": taken}]):
        with pytest.raises(ValueError, match="already belongs to an optimizer"):
            SGD(params)
    other = SGD(free, lr=1)
    backward(taken, free)
    owner.step()
    backward(free)
    other.step()
    assert taken.item() == 0 and free.item() == 0


def test_parameters_are_free_again_when_their_optimizer_is_gone():
    w = leaf(1, 2)
    optimizer = SGD(w, lr=1)
    backward(w)
    optimizer.step()
    del optimizer
    other = SGD(w, lr=1)
    other.zero_grad()
    backward(w)
    other.step()
    assert w.tolist() == [-1, 0] and arena_of(other).data.tolist() == [-1, 0]


def test_a_parameter_outlives_its_optimizer():
    w = leaf(1, 2)
    optimizer = SGD(w)
    backward(w)
    del optimizer
    assert w.tolist() == [1, 2] and w.grad.tolist() == [1, 1]
    w.grad = None
    loss = backward(w)
    loss.backward()
    assert w.grad.tolist() == [2, 2]


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_model_and_optimizer_are_freed_without_the_cyclic_collector(kind):
    model = tg.layers.MLP(3, 4, 2, rng=0)
    optimizer = kind(model)
    train(model, optimizer, steps=3)
    watched = [*model.parameters(), arena_of(optimizer), model, optimizer]
    watched = [weakref.ref(thing) for thing in watched]
    gc.collect()
    gc.disable()
    try:
        del optimizer
        assert [ref() is None for ref in watched[-3:]] == [True, False, True]
        del model
        assert all(ref() is None for ref in watched)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_training_steps_leave_nothing_to_the_cyclic_collector():
    model = tg.layers.MLP(3, 4, 2, dropout=0.2, rng=0)
    optimizer = Adam(model)
    gc.collect()
    gc.disable()
    try:
        train(model, optimizer, steps=20)
        assert gc.collect() == 0
    finally:
        gc.enable()


# ---------------------------------------------------------------- which stretches are updated


@pytest.mark.parametrize(
    ("without", "runs"),
    [
        ([], [(0, 8)]),
        ([0], [(2, 8)]),
        ([1], [(0, 2), (5, 8)]),
        ([3], [(0, 6)]),
        ([1, 2], [(0, 2), (6, 8)]),
        ([0, 2], [(2, 5), (6, 8)]),
        ([0, 1, 2, 3], []),
    ],
    ids=str,
)
def test_runs_are_what_lies_between_tensors_without_gradient(without, runs):
    tensors = [leaf(np.zeros(2)), leaf(np.zeros(3)), leaf(0), leaf(np.zeros(2))]
    arena = Arena(tensors)
    for i, t in enumerate(tensors):
        t.grad = None if i in without else np.zeros(t.shape, "float32")
    missing = arena.gather()
    assert missing == without
    assert [(run.start, run.stop) for run in arena.runs(missing)] == runs


@pytest.mark.filterwarnings("ignore:SGD.step. no gradient")
def test_what_has_no_gradient_is_left_as_it_is_with_its_velocity():
    a, b, c = leaf(1), leaf(1, 1), leaf(1)
    optimizer = SGD([a, b, c], lr=1, momentum=0.5)
    backward(a, b, c)
    optimizer.step()
    optimizer.zero_grad()
    backward(a, c)
    optimizer.step()
    assert (a.item(), b.tolist(), c.item()) == (-1.5, [0, 0], -1.5)
    assert optimizer.groups[0].parts[0].arena.memory[2].tolist() == [-1.5, -1, -1, -1.5]


def test_a_frozen_parameter_is_left_as_it_is_without_a_word():
    model = tg.Sequential(tg.layers.Linear(2, 2, rng=0), tg.layers.Linear(2, 1, rng=1))
    optimizer = Adam(model)
    model[0].freeze()
    before = model[0].weight.numpy()
    optimizer.minimize(lambda: model(np.ones((1, 2), "float32")).sum())
    np.testing.assert_array_equal(model[0].weight.data, before)
    model.unfreeze()
    optimizer.minimize(lambda: model(np.ones((1, 2), "float32")).sum())
    assert (model[0].weight.data != before).all()


# ---------------------------------------------------------------- stale graphs


def test_a_step_lets_go_of_the_graphs_it_made_stale():
    w = leaf(1, 2)
    optimizer = SGD(w)
    hidden = w * 3
    inner = weakref.ref(hidden)
    loss = hidden.sum()
    del hidden
    loss.backward()
    assert inner() is not None
    optimizer.step()
    assert inner() is None and loss.item() == 9
    with pytest.raises(RuntimeError, match="let go by an optimizer step"):
        loss.backward()


def test_kept_losses_keep_numbers_not_graphs():
    model = tg.layers.MLP(3, 4, 1, rng=0)
    optimizer = SGD(model)
    inner, kept = [], []
    for _ in range(5):
        optimizer.zero_grad()
        hidden = model(np.ones((2, 3), "float32"))
        inner.append(weakref.ref(hidden))
        kept.append(hidden.sum())
        del hidden
        kept[-1].backward()
        optimizer.step()
    assert all(ref() is None for ref in inner)
    assert len({loss.item() for loss in kept}) == 5


def test_a_graph_that_was_not_walked_is_refused_because_its_parameters_changed():
    w = leaf(1, 2, name="w")
    optimizer = SGD(w)
    other = (w * w).sum()
    backward(w)
    optimizer.step()
    with pytest.raises(RuntimeError, match=r"w of shape \(2,\) was changed"):
        other.backward()


def test_several_losses_before_one_step_are_all_let_go_of():
    w, large = leaf(1, 2), leaf(3, dtype="float64")
    optimizer = SGD([w, large])
    losses = [backward(w), backward(w, large), backward(large)]
    assert len(arenas(optimizer)[0].walked) == len(arenas(optimizer)[1].walked) == 2
    optimizer.step()
    assert [arena.walked for arena in arenas(optimizer)] == [[], []]
    for loss in losses:
        with pytest.raises(RuntimeError, match="let go by an optimizer step"):
            loss.backward()


def test_a_loss_can_be_walked_twice_before_the_step():
    w = leaf(1, 2)
    optimizer = SGD(w, lr=1)
    loss = backward(w)
    loss.backward()
    optimizer.step()
    assert w.tolist() == [-1, 0]


def test_backward_without_steps_remembers_no_more_than_what_is_alive():
    w = leaf(1)
    optimizer = SGD(w)
    for _ in range(2500):
        (w * 2).backward()
    assert len(arena_of(optimizer).walked) <= 1000


# ---------------------------------------------------------------- copies


def test_a_copy_of_an_arena_packs_copies():
    w = leaf(1, 2)
    arena = Arena([w])
    for twin in (copy.deepcopy(arena), pickle.loads(pickle.dumps(arena))):
        assert twin.data.tolist() == [1, 2]
        twin.data[:] = 9
        assert w.tolist() == [1, 2] and twin.tensors[0].tolist() == [9, 9]
