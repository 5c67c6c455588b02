"""Layers: parameters in order, states taken over whole or not at all, copies that stay apart."""

import copy
import pickle

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import arrays, initializers, layers, ops, optimizers
from tinygrad_edu.layers import MLP, Dropout, Flatten, Identity, Lambda, Layer, Linear, Sequential

ACTIVATIONS = {
    layers.ReLU: ops.relu,
    layers.LeakyReLU: lambda x: ops.leaky_relu(x, 0.01),
    layers.ELU: lambda x: ops.elu(x, 1.0),
    layers.SELU: ops.selu,
    layers.GELU: ops.gelu,
    layers.SiLU: ops.silu,
    layers.Sigmoid: ops.sigmoid,
    layers.Tanh: ops.tanh,
    layers.Softplus: ops.softplus,
    layers.Softmax: lambda x: ops.softmax(x, -1),
    layers.LogSoftmax: lambda x: ops.log_softmax(x, -1),
}


@pytest.fixture
def doubles():
    tg.set_default_dtype("float64")
    yield
    tg.set_default_dtype("float32")


def parameter(*shape):
    return tg.Tensor(np.zeros(shape), requires_grad=True)


def names(layer):
    return [name for name, _ in layer.named_parameters()]


def drawn(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def bits(layer):
    return {name: array.tobytes() for name, array in layer.state_dict().items()}


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


# ---------------------------------------------------------------- Linear


def test_linear_is_x_weight_plus_bias():
    layer, x = Linear(3, 2, rng=0), drawn(5, 3)
    layer.bias.data = np.array([1, -2], "float32")
    np.testing.assert_allclose(
        layer(x).data, x @ layer.weight.data + layer.bias.data, rtol=1e-6, atol=1e-7
    )
    assert layer(drawn(4, 5, 3)).shape == (4, 5, 2)


def test_linear_without_bias_has_one_parameter():
    layer, x = Linear(3, 2, bias=False, rng=0), drawn(5, 3)
    assert layer.bias is None and names(layer) == ["weight"]
    np.testing.assert_allclose(layer(x).data, x @ layer.weight.data, rtol=1e-6, atol=1e-7)


def test_linear_begins_with_glorots_weights_and_no_bias():
    layer = Linear(30, 20, rng=3)
    np.testing.assert_array_equal(layer.weight.data, initializers.glorot_uniform((30, 20), rng=3))
    assert layer.bias.tolist() == [0] * 20


def test_linear_takes_other_beginnings_by_name_or_function():
    layer = Linear(4, 4, weight_init="identity", bias_init=lambda shape, rng: np.full(shape, 7.0))
    assert layer.weight.tolist() == np.eye(4).tolist() and layer.bias.tolist() == [7] * 4
    with pytest.raises(ValueError, match="there is no 'glorot'"):
        Linear(2, 2, weight_init="glorot")


def test_linear_of_the_wrong_width_names_both_shapes():
    with pytest.raises(ValueError, match=r"\(5, 4\).*\(3, 2\)"):
        Linear(3, 2)(np.ones((5, 4), "float32"))


def test_gradients_of_a_linear_are_those_of_differences():
    x = drawn(4, 3, dtype="float64")
    layer = Linear(3, 2, rng=0)

    def f(weight, bias):
        layer.weight, layer.bias = weight, bias
        return ops.tanh(layer(x))

    tg.gradcheck(f, (drawn(3, 2), drawn(2)), order=2)


# ---------------------------------------------------------------- Dropout


def test_dropout_keeps_the_mean_and_drops_its_share():
    x = np.ones((400, 400), "float32")
    for rate in (0.1, 0.5, 0.9):
        z = Dropout(rate, rng=0)(x).data
        assert (z == 0).mean() == pytest.approx(rate, abs=0.005)
        assert z.mean() == pytest.approx(1, abs=0.02)
        np.testing.assert_allclose(z[z != 0], 1 / (1 - rate), rtol=1e-6)


def test_dropout_gives_the_gradient_to_what_it_kept():
    x = tg.Tensor(np.ones(1000, "float32"), requires_grad=True)
    z = Dropout(0.3, rng=0)(x)
    z.sum().backward()
    np.testing.assert_array_equal(x.grad, z.data)


def test_dropout_in_eval_or_at_rate_0_gives_back_its_input():
    x = tg.Tensor(drawn(3))
    assert Dropout(0.9).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_of_one_seed_draws_one_sequence_and_a_new_mask_each_time():
    x = np.ones(100, "float32")
    one, other = Dropout(0.5, rng=7), Dropout(0.5, rng=7)
    first, second = one(x).data, one(x).data
    assert (first != second).any()
    np.testing.assert_array_equal(first, other(x).data)
    np.testing.assert_array_equal(second, other(x).data)


def test_dropout_without_a_seed_follows_manual_seed():
    x = np.ones(100, "float32")
    tg.manual_seed(3)
    first = Dropout(0.5)(x).data
    tg.manual_seed(3)
    np.testing.assert_array_equal(first, Dropout(0.5)(x).data)


@pytest.mark.parametrize("rate", [1, 1.5, -0.1, float("nan")])
def test_dropout_refuses_a_rate_outside_0_to_1(rate):
    with pytest.raises(ValueError, match=rf"Dropout: rate={rate}"):
        Dropout(rate)


def test_dropout_refuses_an_rng_that_is_none():
    with pytest.raises(TypeError, match="rng: '0' is a str"):
        Dropout(0.5, rng="0")


# ---------------------------------------------------------------- Flatten, Identity, Lambda


@pytest.mark.parametrize(
    ("shape", "flat"),
    [((2, 3, 4), (2, 12)), ((5,), (5, 1)), ((3, 0, 2), (3, 0)), ((0, 4, 4), (0, 16))],
)
def test_flatten_makes_a_row_of_every_example(shape, flat):
    x = drawn(*shape)
    z = Flatten()(tg.Tensor(x))
    assert z.shape == flat
    np.testing.assert_array_equal(z.data.ravel(), x.ravel())


def test_identity_gives_back_what_it_gets():
    x = object()
    assert Identity()(x) is x


def test_lambda_is_any_function_as_a_layer():
    layer = Lambda(lambda x, y, scale=1: (x + y) * scale)
    assert layer(tg.Tensor(1.0), 2.0, scale=3).item() == 9
    assert layer.parameters() == []


@pytest.mark.parametrize("kind", ACTIVATIONS, ids=lambda kind: kind.__name__)
def test_an_activation_layer_is_its_op(kind):
    x = tg.Tensor(drawn(4, 5), requires_grad=True)
    layer = kind()
    expected = ACTIVATIONS[kind](x)
    found = layer(x)
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.op is expected.op
    assert layer.parameters() == []


def test_every_activation_layer_is_compared_with_its_op():
    others = {Layer, Linear, Dropout, Flatten, Identity, Lambda, Sequential, MLP}
    assert {getattr(layers, name) for name in layers.__all__} == others | ACTIVATIONS.keys()


@pytest.mark.parametrize(
    ("layer", "op"),
    [
        (layers.LeakyReLU(0.3), lambda x: ops.leaky_relu(x, 0.3)),
        (layers.ELU(2.0), lambda x: ops.elu(x, 2.0)),
        (layers.Softmax(axis=0), lambda x: ops.softmax(x, 0)),
        (layers.LogSoftmax(axis=0), lambda x: ops.log_softmax(x, 0)),
    ],
    ids=str,
)
def test_an_activation_layer_passes_its_setting_on(layer, op):
    x = tg.Tensor(drawn(4, 5))
    np.testing.assert_array_equal(layer(x).data, op(x).data)


# ---------------------------------------------------------------- Sequential


def test_sequential_applies_its_layers_one_after_the_other():
    first, second = Linear(2, 3, rng=0), Linear(3, 1, rng=1)
    x = drawn(4, 2)
    expected = second(ops.tanh(first(x)))
    for model in (Sequential(first, np.tanh, second), Sequential([first, ops.tanh, second])):
        np.testing.assert_array_equal(model(x).data, expected.data)
        assert len(model) == 3 and model[0] is first and list(model)[-1] is second


def test_sequential_grows_by_add():
    model = Sequential()
    model.add(Linear(2, 3))
    model.add(layers.ReLU())
    assert len(model) == 2 and names(model) == ["layers.0.weight", "layers.0.bias"]


def test_an_empty_sequential_gives_back_its_input():
    x = tg.Tensor(1.0)
    assert Sequential()(x) is x and Sequential().parameters() == []


@pytest.mark.parametrize("odd", [3, "relu", None, tg.Tensor(1.0)], ids=repr)
def test_sequential_refuses_what_is_neither_layer_nor_function(odd):
    with pytest.raises(TypeError, match=r"Sequential: .* is neither a layer nor a function"):
        Sequential(Linear(1, 1), odd)
    with pytest.raises(TypeError, match="neither a layer nor a function"):
        Sequential().add(odd)


# ---------------------------------------------------------------- MLP


def kinds(model):
    return [repr(layer) for layer in model]


def test_mlp_has_an_activation_between_its_linear_layers():
    wanted = ["Linear(2, 16)", "ReLU()", "Linear(16, 8)", "ReLU()", "Linear(8, 1)"]
    assert kinds(MLP(2, 16, 8, 1)) == wanted
    assert kinds(MLP(2, [16, 8, 1])) == wanted
    assert kinds(MLP([2, 16, 8, 1])) == wanted
    assert kinds(MLP(2, (16, 8), 1)) == wanted


def test_mlp_of_two_sizes_is_one_linear_layer():
    assert kinds(MLP(4, 3)) == ["Linear(4, 3)"]
    assert kinds(MLP(4, 3, dropout=0.5)) == ["Linear(4, 3)"]


@pytest.mark.parametrize("sizes", [(), (3,), ([],), ([3],)], ids=str)
def test_mlp_refuses_fewer_than_two_sizes(sizes):
    with pytest.raises(ValueError, match=r"MLP: sizes .* inputs and outputs"):
        MLP(*sizes)


def test_mlp_takes_dropout_after_each_hidden_activation():
    model = MLP(2, 4, 4, 1, dropout=0.5, activation=layers.Tanh, rng=0)
    assert kinds(model) == [
        "Linear(2, 4)", "Tanh()", "Dropout(0.5)", "Linear(4, 4)", "Tanh()", "Dropout(0.5)",
        "Linear(4, 1)",
    ]  # fmt: skip


def test_mlp_makes_an_activation_of_its_own_for_every_place():
    model = MLP(2, 4, 4, 1, activation=lambda: layers.LeakyReLU(0.3))
    assert model[1] is not model[3] and repr(model[1]) == "LeakyReLU(0.3)"


def test_mlp_of_one_seed_has_one_set_of_weights_and_masks():
    x = drawn(8, 3)
    one, other, third = (MLP(3, 5, 5, 2, dropout=0.5, rng=seed) for seed in (4, 4, 5))
    assert bits(one) == bits(other) != bits(third)
    np.testing.assert_array_equal(one(x).data, other(x).data)


def test_every_layer_of_an_mlp_draws_numbers_of_its_own():
    model = MLP(4, 4, 4, dropout=0.5, rng=0)
    assert (model[0].weight.data != model[3].weight.data).all()
    x = np.ones((4, 4), "float32")
    model = MLP(4, 4, 4, 4, dropout=0.5, rng=0)
    assert (model[2](x).data != model[5](x).data).any()


def test_mlp_never_touches_numpys_global_generator():
    before = np.random.get_state()[1].copy()
    MLP(3, 5, 2, dropout=0.5)(drawn(8, 3))
    np.testing.assert_array_equal(before, np.random.get_state()[1])


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


# ---------------------------------------------------------------- double precision


def test_a_model_made_under_float64_computes_in_it(doubles):
    model, x = MLP(3, 4, 2, dropout=0.5, rng=0), drawn(5, 3, dtype="float64")
    assert {p.dtype.name for p in model.parameters()} == {"float64"}
    z = model(x)
    z.sum().backward()
    assert z.dtype == np.float64
    assert {p.grad.dtype.name for p in model.parameters()} == {"float64"}
    assert arrays.default_dtype() == np.float64


def test_a_model_can_be_turned_to_float64_by_its_data():
    model, x = MLP(3, 4, 2, rng=0), drawn(5, 3, dtype="float64")
    for p in model.parameters():
        p.data = p.data.astype("float64")
    z = model(x)
    z.sum().backward()
    assert z.dtype == np.float64
    assert {p.grad.dtype.name for p in model.parameters()} == {"float64"}


def test_a_float32_model_stays_in_float32():
    model = MLP(3, 4, 2, dropout=0.2, activation=layers.GELU, rng=0)
    z = model(drawn(5, 3)) * 2.0
    z.sum().backward()
    assert z.dtype == np.float32
    assert {p.grad.dtype.name for p in model.parameters()} == {"float32"}
