"""States of layers are taken over whole or not at all, and copies stay apart."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import bits, drawn, names
from tinygrad_edu import optimizers
from tinygrad_edu.layers import (
    MLP,
    BatchNorm,
    Dropout,
    Linear,
    Sequential,
)

# ---------------------------------------------------------------- states


def test_a_state_is_a_copy():
    layer = Linear(2, 2, rng=0)
    layer.mean = np.zeros(2)
    before = bits(layer)
    for array in layer.state_dict().values():
        array += 1
    assert bits(layer) == before


def test_a_state_carries_all_numbers_into_another_model():
    source, target = MLP(3, 4, 2, rng=0), MLP(3, 4, 2, rng=1)
    source.buffer, target.buffer = np.arange(3), np.zeros(3, int)
    assert bits(source) != bits(target)
    assert target.load_state_dict(source.state_dict()) is None
    assert bits(source) == bits(target)
    x = drawn(5, 3)
    np.testing.assert_array_equal(source(x).data, target(x).data)
    source.parameters()[0].data += 1
    assert bits(source) != bits(target)


def test_a_state_may_hold_tensors_and_lists():
    layer = Linear(1, 2, rng=0)
    weight = tg.Tensor([[3.0, 4.0]], requires_grad=True)
    layer.load_state_dict({"weight": weight, "bias": [5, 6]})
    assert layer.weight.tolist() == [[3, 4]] and layer.bias.tolist() == [5, 6]


def test_loading_keeps_dtypes_wishes_and_arrays():
    layer = Linear(1, 2, rng=0)
    layer.bias.requires_grad = False
    held = layer.weight.data
    layer.load_state_dict({"weight": np.ones((1, 2)), "bias": np.ones(2)})
    assert layer.weight.data is held and held.dtype == np.float32 and held.tolist() == [[1, 1]]
    assert layer.weight.requires_grad and not layer.bias.requires_grad


def test_a_state_that_does_not_fit_lists_all_problems_and_changes_nothing():
    model = Sequential(Linear(2, 3, rng=0), Linear(3, 1, rng=1))
    before = bits(model)
    state = {
        "layers.0.weight": np.ones((3, 2)),
        "layers.0.bias": np.ones(3),
        "layers.1.weight": np.ones(3),
        "layers.7.weight": np.ones(1),
    }
    with pytest.raises(ValueError, match="nothing was loaded") as caught:
        model.load_state_dict(state)
    text = str(caught.value)
    assert "missing layers.1.bias" in text and "unexpected layers.7.weight" in text
    assert "layers.0.weight has shape (3, 2), not (2, 3)" in text
    assert "layers.1.weight has shape (3,), not (3, 1)" in text
    assert bits(model) == before


def test_a_shape_that_would_broadcast_is_refused():
    layer = Linear(2, 3, rng=0)
    state = layer.state_dict() | {"bias": np.ones(1)}
    with pytest.raises(ValueError, match=r"bias has shape \(1,\), not \(3,\)"):
        layer.load_state_dict(state)


@pytest.mark.parametrize(
    "bad", [["x", "y"], [None, 1.0], [1j, 2j]], ids=["text", "None", "complex"]
)
def test_a_state_that_holds_no_numbers_changes_nothing(bad):
    layer = Linear(3, 2, rng=0)
    before = bits(layer)
    with pytest.raises((ValueError, TypeError), match="bias"):
        layer.load_state_dict({"weight": np.ones((3, 2)), "bias": np.array(bad)})
    assert bits(layer) == before


def test_loading_into_an_arena_keeps_its_views():
    model = Linear(2, 1, rng=0)
    optimizer = optimizers.SGD(model, lr=0.5)
    model.load_state_dict({"weight": [[1], [2]], "bias": [3]})
    (part,) = optimizer.groups[0].parts
    assert part.arena.data.tolist() == [1, 2, 3]
    assert np.shares_memory(model.weight.data, part.arena.data)
    model(np.ones((1, 2), "float32")).sum().backward()
    optimizer.step()
    assert model.weight.tolist() == [[0.5], [1.5]] and model.bias.tolist() == [2.5]


def test_a_graph_from_before_loading_is_refused():
    model = Linear(2, 1, rng=0)
    x = tg.Tensor(drawn(3, 2), requires_grad=True)
    loss = model(x).sum()
    model.load_state_dict(model.state_dict())
    with pytest.raises(RuntimeError, match=r"weight of shape \(2, 1\) was changed"):
        loss.backward()
    assert x.grad is None and model.weight.grad is None


def test_buffers_are_part_of_a_state():
    source, target = BatchNorm(3), BatchNorm(3)
    source(drawn(5, 3))
    assert list(source.state_dict()) == ["scale", "shift", "running_mean", "running_var"]
    held = target.running_mean
    target.load_state_dict(source.state_dict())
    assert target.running_mean is held and bits(target) == bits(source)
    source(drawn(5, 3))
    assert bits(target) != bits(source)
    with pytest.raises(ValueError, match="missing running_var"):
        target.load_state_dict({"scale": [1] * 3, "shift": [0] * 3, "running_mean": [0] * 3})


# ---------------------------------------------------------------- copies


def copies(model):
    return [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]


def test_a_copy_computes_the_same_and_shares_nothing():
    model, x = MLP(3, 5, 2, rng=0), drawn(4, 3)
    for twin in copies(model):
        np.testing.assert_array_equal(twin(x).data, model(x).data)
        assert names(twin) == names(model) and all(p.requires_grad for p in twin.parameters())
        for p, q in zip(model.parameters(), twin.parameters(), strict=True):
            assert not np.shares_memory(p.data, q.data)
        before = bits(model)
        twin(x).sum().backward()
        optimizers.SGD(twin, lr=0.1).step()
        assert bits(model) == before and all(p.grad is None for p in model.parameters())


def test_a_copy_keeps_ties_frozen_parameters_and_eval():
    model = Sequential(Linear(2, 2, rng=0), Linear(2, 2, rng=1)).eval()
    model[1].weight = model[0].weight
    model[1].freeze()
    for twin in copies(model):
        assert twin[1].weight is twin[0].weight
        assert not twin[0].weight.requires_grad and twin[0].bias.requires_grad
        assert not twin[0].training and names(twin) == names(model)


def test_a_copy_of_a_trained_model_leaves_its_optimizer_behind():
    model = Linear(2, 1, rng=0)
    optimizer = optimizers.SGD(model, lr=0.1)
    model(drawn(3, 2)).sum().backward()
    for twin in copies(model):
        before = bits(twin)
        optimizers.SGD(twin)  # free to be given to another
        optimizer.step()
        assert bits(twin) == before
        optimizer.zero_grad()
        model(drawn(3, 2)).sum().backward()


def test_a_copy_of_dropout_goes_on_where_the_original_stands():
    layer, x = Dropout(0.5, rng=0), np.ones(50, "float32")
    layer(x)
    twins = copies(layer)
    expected = layer(x).data
    for twin in twins:
        np.testing.assert_array_equal(twin(x).data, expected)


def test_a_copy_has_buffers_of_its_own_and_drags_no_graph_along():
    model = Sequential(BatchNorm(3), Linear(3, 2, rng=0))
    model.left_behind = model(tg.Tensor(drawn(4, 3), requires_grad=True))
    for twin in copies(model):
        assert bits(twin) == bits(model) and twin.left_behind.is_leaf
        before = bits(model)
        twin(drawn(4, 3))
        assert bits(model) == before != bits(twin)


def test_a_copy_keeps_what_two_layers_share():
    one, other = BatchNorm(2), BatchNorm(2)
    other.running_mean = one.running_mean
    generator = np.random.default_rng(0)
    model = Sequential(one, other, Dropout(rng=generator), Dropout(rng=generator))
    for twin in copies(model):
        assert twin[0].running_mean is twin[1].running_mean
        assert twin[2].rng is twin[3].rng is not generator
        assert list(dict(twin.named_buffers())) == list(dict(model.named_buffers()))
