"""Layer: parameters in order, what one does to all of them, and its repr."""

import copy

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import bits, drawn, names
from tinygrad_edu import layers
from tinygrad_edu.layers import (
    MLP,
    BatchNorm,
    Dropout,
    Flatten,
    Identity,
    Lambda,
    Layer,
    Linear,
    Sequential,
)


def parameter(*shape):
    return tg.Tensor(np.zeros(shape), requires_grad=True)


# ---------------------------------------------------------------- which parameters there are


class Scattered(Layer):
    """Parameters in every place that is looked into."""

    def __init__(self):
        self.zeta = parameter(1)
        self.alpha = Linear(2, 3, rng=0)
        self.many = [parameter(2), {"deep": (parameter(3), Linear(1, 1, bias=False, rng=0))}]
        self.beta = parameter(4)

    def forward(self, x):
        return self.alpha(x)


def test_parameters_come_in_the_order_of_assignment_with_outer_before_inner():
    assert names(Scattered()) == [
        "zeta", "many.0", "many.1.deep.0", "beta",
        "alpha.weight", "alpha.bias", "many.1.deep.1.weight",
    ]  # fmt: skip


def test_parameters_and_their_names_go_together():
    model = Scattered()
    pairs = zip(model.named_parameters(), model.parameters(), strict=True)
    assert all(a is b for (_, a), b in pairs)
    assert [p.shape for p in model.parameters()] == [
        (1,), (2,), (3,), (4,), (2, 3), (3,), (1, 1)
    ]  # fmt: skip


def test_a_parameter_of_a_list_is_named_by_layer_index_and_attribute():
    assert names(MLP(2, 3, 1)) == [
        "layers.0.weight", "layers.0.bias", "layers.2.weight", "layers.2.bias"
    ]  # fmt: skip


def test_a_parameter_without_a_name_takes_that_of_its_place_and_one_with_a_name_keeps_it():
    layer = Linear(1, 1)
    layer.bias.name = "offset"
    assert names(layer) == ["weight", "bias"]
    assert [p.name for p in layer.parameters()] == ["weight", "offset"]


def test_a_parameter_replaced_later_keeps_its_place():
    layer = Linear(1, 2)
    layer.weight = parameter(5, 2)
    assert names(layer) == ["weight", "bias"]
    assert layer.parameters()[0].shape == (5, 2)


def test_tied_parameters_count_once_under_their_first_name():
    first, second = Linear(2, 2), Linear(2, 2)
    second.weight = first.weight
    model = Sequential(first, second)
    assert names(model) == ["layers.0.weight", "layers.0.bias", "layers.1.bias"]


def test_a_layer_used_twice_counts_once():
    shared = Linear(2, 2)
    model = Sequential(shared, layers.ReLU(), shared)
    assert names(model) == ["layers.0.weight", "layers.0.bias"]
    assert len(model.layers()) == 3


def test_layers_that_hold_each_other_are_walked_once():
    one, other = Identity(), Identity()
    one.friend, other.friend = other, one
    assert one.layers() == [one, other]


def test_named_layers_start_with_the_layer_itself():
    model = Sequential(Linear(1, 1), Sequential(layers.Tanh()))
    assert [name for name, _ in model.named_layers()] == [
        "", "layers.0", "layers.1", "layers.1.layers.0"
    ]  # fmt: skip


def test_numbers_texts_and_functions_are_no_parameters():
    layer = Identity()
    layer.rate, layer.title, layer.none, layer.f = 0.5, "title", None, np.tanh
    assert layer.parameters() == [] and list(layer.named_buffers()) == []


def test_arrays_are_buffers_saved_but_not_trained():
    layer = Linear(1, 1)
    layer.mean, layer.pair = np.zeros(3), [np.ones(2), np.ones(1)]
    assert [name for name, _ in layer.named_buffers()] == ["mean", "pair.0", "pair.1"]
    assert names(layer) == ["weight", "bias"]
    assert list(layer.state_dict()) == ["weight", "bias", "mean", "pair.0", "pair.1"]


def test_generators_are_found_once_with_their_names():
    shared = np.random.default_rng(0)
    model = Sequential(Dropout(0.5, rng=shared), Dropout(0.5), Dropout(0.5, rng=shared))
    model.noise = {"own": np.random.default_rng(1)}
    found = dict(model.named_generators())
    assert list(found) == ["noise.own", "layers.0.rng"] and found["layers.0.rng"] is shared
    assert model.parameters() == [] and list(model.named_buffers()) == []


def test_a_tensor_that_never_wanted_a_gradient_is_a_constant():
    layer = Linear(1, 1)
    layer.constant, layer.pair = tg.Tensor([1.0]), [tg.Tensor([2.0]), parameter(1)]
    assert names(layer) == ["weight", "bias", "pair.1"]
    assert list(layer.state_dict()) == names(layer)


def test_attributes_of_a_sequential_keep_their_names():
    model = Sequential(Linear(1, 1))
    model.my_sequence = np.zeros(2)
    assert [name for name, _ in model.named_buffers()] == ["my_sequence"]


class Curious(Layer):
    """Leaves behind what it computed, also where gradients do not go."""

    def __init__(self):
        self.linear = Linear(2, 2, rng=0)

    def forward(self, x):
        self.hidden = self.linear(x)
        self.constant = self.hidden.detach()
        self.pieces = [self.hidden * 2]
        return self.hidden


@pytest.mark.parametrize("recording", [True, False], ids=["recording", "no_grad"])
def test_what_a_forward_leaves_behind_is_no_parameter(recording):
    model = Curious()
    with tg.enable_grad() if recording else tg.no_grad():
        model(drawn(3, 2))
    assert names(model) == ["linear.weight", "linear.bias"]
    assert list(model.state_dict()) == ["linear.weight", "linear.bias"]


def test_an_input_that_a_forward_keeps_is_no_parameter():
    class Keeps(Layer):
        def __init__(self):
            self.linear = Linear(2, 2, rng=0)

        def forward(self, x):
            self.seen = x
            return self.linear(x)

    model = Keeps()
    model(tg.Tensor(drawn(3, 2)))
    assert names(model) == ["linear.weight", "linear.bias"]


def test_what_a_forward_left_behind_is_no_parameter_of_a_copy_either():
    model = Curious()
    model(drawn(3, 2))
    assert names(copy.deepcopy(model)) == ["linear.weight", "linear.bias"]


def test_a_parameter_that_the_first_forward_makes_is_one_also_when_frozen():
    class Lazy(Layer):
        def forward(self, x):
            if not hasattr(self, "scale"):
                self.scale = tg.Tensor(np.ones(x.shape[-1]), requires_grad=True)
            return x * self.scale

    layer = Lazy()
    layer(drawn(2, 3))
    assert names(layer) == ["scale"]
    assert names(layer.freeze()) == ["scale"]
    assert layer.unfreeze().scale.requires_grad


def test_a_layer_may_call_its_list_of_layers_layers():
    class Stack(Layer):
        def __init__(self):
            self.layers = [Linear(2, 3, rng=0), Dropout(0.5)]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x

    stack = Stack()
    assert names(stack) == ["layers.0.weight", "layers.0.bias"]
    assert not stack.eval().layers[1].training
    assert stack(drawn(1, 2)).shape == (1, 3)


# ---------------------------------------------------------------- what one does to all of them


def test_freeze_and_unfreeze_change_what_wants_a_gradient_and_nothing_else():
    model = Sequential(Linear(2, 3, rng=0), Linear(3, 1, rng=1))
    before = bits(model)
    assert model[0].freeze() is model[0]
    assert [p.requires_grad for p in model.parameters()] == [False, False, True, True]
    model(drawn(4, 2)).sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    assert model.unfreeze() is model
    assert all(p.requires_grad for p in model.parameters())
    assert bits(model) == before


def test_a_frozen_parameter_is_still_found_and_saved():
    model = Linear(2, 3).freeze()
    assert names(model) == ["weight", "bias"] and list(model.state_dict()) == ["weight", "bias"]


def test_train_and_eval_reach_every_layer_and_return_the_model():
    model = Sequential(Linear(1, 1), Sequential(Dropout(), Lambda(lambda x: x)))
    assert all(layer.training for layer in model.layers())
    assert model.eval() is model
    assert not any(layer.training for layer in model.layers())
    assert model.train() is model
    assert all(layer.training for layer in model.layers())


class KeepsOneAsleep(Layer):
    """A part that stays out of training, whatever is said to the whole."""

    def __init__(self):
        self.asleep, self.awake = Sequential(BatchNorm(2)), Dropout()

    def train(self, training=True):
        super().train(training)
        self.asleep.eval()
        return self


def test_a_layer_inside_may_have_a_train_of_its_own():
    model = Sequential(KeepsOneAsleep(), Dropout())
    for _ in range(2):
        model.train()
        assert model.training and model[0].training and model[0].awake.training
        assert not model[0].asleep.training and not model[0].asleep[0].training
    model.eval()
    assert not any(layer.training for layer in model.layers())


def test_layers_that_hold_each_other_can_be_put_into_eval():
    one, other = Identity(), Identity()
    one.friend, other.friend = other, one
    one.eval()
    assert not one.training and not other.training
    assert other.train() is other and one.training


def test_eval_of_one_model_leaves_others_in_training():
    one, other = Dropout(), Dropout()
    one.eval()
    assert other.training and Layer.training


def test_zero_grad_forgets_all_gradients():
    model = MLP(2, 3, 1)
    model(drawn(4, 2)).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", ["compile", "fit", "evaluate", "predict", "save", "load"])
def test_what_only_models_have_is_missing_with_a_hint(name):
    layer = Linear(1, 1)
    assert not hasattr(layer, name) and not hasattr(Linear, name)
    text = rf"Linear has no {name}: .* are methods of models.*tg\.Sequential.*tg\.models\.Model"
    with pytest.raises(AttributeError, match=text):
        getattr(layer, name)


def test_a_layer_may_have_methods_and_attributes_of_these_names():
    class Saves(Layer):
        def save(self):
            return "saved"

    layer = Saves()
    layer.fit = "fits"
    assert layer.save() == "saved" and layer.fit == "fits" and "fit" not in vars(Saves)


def test_what_is_missing_elsewhere_is_pythons_own_error():
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'wieght'"):
        _ = Linear(1, 1).wieght
    with pytest.raises(AttributeError, match="has no attribute 'cuda'"):
        Linear(1, 1).cuda()


def test_a_layer_without_forward_says_what_to_write():
    class Empty(Layer):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty: write forward\(self, x\)"):
        Empty()(1.0)


def test_a_forward_takes_options():
    class Scaled(Layer):
        def forward(self, x, *, factor):
            return x * factor

    assert Scaled()(tg.Tensor(2.0), factor=3).item() == 6


def test_an_error_in_forward_leaves_the_layers_path():
    class Broken(Layer):
        def forward(self, x):
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        Sequential(Broken())(1.0)
    assert tg.Tensor(1.0).path == ()


def test_a_tensor_knows_the_layers_it_was_made_in():
    inner = layers.Tanh()
    model = Sequential(inner)
    assert model(tg.Tensor(1.0)).path == (model, inner)


# ---------------------------------------------------------------- reprs


def test_repr_shows_what_a_model_consists_of():
    inner = Sequential(Dropout(0.25))
    model = Sequential(Linear(2, 8), layers.LeakyReLU(0.2), inner, Linear(8, 1, bias=False))
    assert repr(model) == (
        "Sequential(\n"
        "  (layers.0): Linear(2, 8)\n"
        "  (layers.1): LeakyReLU(0.2)\n"
        "  (layers.2): Sequential(\n"
        "    (layers.0): Dropout(0.25)\n"
        "  )\n"
        "  (layers.3): Linear(8, 1, bias=False)\n"
        ")"
    )


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (Flatten(), "Flatten()"),
        (layers.Reshape(2, -1), "Reshape(2, -1)"),
        (layers.Reshape(), "Reshape()"),
        (layers.Embedding(10, 4), "Embedding(10, 4)"),
        (Identity(), "Identity()"),
        (layers.ELU(0.5), "ELU(0.5)"),
        (layers.Softmax(0), "Softmax(axis=0)"),
        (layers.LogSoftmax(), "LogSoftmax(axis=-1)"),
        (Lambda(np.tanh), "Lambda(tanh)"),
        (Sequential(), "Sequential()"),
    ],
    ids=str,
)
def test_repr_of_a_layer_names_its_settings(layer, text):
    assert repr(layer) == text


def test_repr_of_a_sequential_shows_plain_functions_too():
    assert "tanh" in repr(Sequential(Linear(1, 1), np.tanh))
