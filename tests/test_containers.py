"""Layers made of layers: Sequential and MLP."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import bits, drawn, names
from tinygrad_edu import layers, ops
from tinygrad_edu.layers import MLP, Dropout, Lambda, Linear, Sequential


def kinds(model):
    return [repr(layer) for layer in model]


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


def test_sequential_says_that_a_class_is_no_layer_yet():
    with pytest.raises(TypeError, match=r"Sequential: ReLU is a class; make one: ReLU\(\)"):
        Sequential(Linear(1, 1), layers.ReLU)


def test_a_slice_is_a_sequential_of_the_same_layers():
    model = Sequential(Linear(2, 3, rng=0), np.tanh, Linear(3, 1, rng=1))
    body = model[:-1]
    assert type(body) is Sequential and len(body) == 2 and body[0] is model[0]
    x = drawn(4, 2)
    np.testing.assert_array_equal(model[-1](body(x)).data, model(x).data)
    assert kinds(model[::2]) == ["Linear(2, 3)", "Linear(3, 1)"]
    assert type(MLP(2, 3, 1)[:2]) is Sequential
    body.add(Linear(3, 5))
    assert len(model) == 3


def test_layers_can_be_replaced_put_in_between_and_taken_out():
    model = MLP(2, 3, 1, rng=0)
    model[-1] = head = Linear(3, 7)
    assert model(drawn(4, 2)).shape == (4, 7) and names(model)[-1] == "layers.2.bias"
    model.insert(2, Dropout(0.5))
    assert kinds(model) == ["Linear(2, 3)", "ReLU()", "Dropout(0.5)", "Linear(3, 7)"]
    assert model.pop() is head and repr(model.pop(1)) == "ReLU()"
    assert kinds(model) == ["Linear(2, 3)", "Dropout(0.5)"]
    with pytest.raises(TypeError, match="neither a layer nor a function"):
        model[0] = 3
    with pytest.raises(TypeError, match="neither a layer nor a function"):
        model.insert(0, "relu")
    with pytest.raises(IndexError):
        model[2]


# ---------------------------------------------------------------- where an error comes from


def fails(error):
    def failing(x):
        raise error

    return failing


def test_an_error_names_the_layer_it_comes_from():
    model = Sequential(Linear(2, 3, rng=0), np.tanh, Linear(5, 1, rng=1))
    text = r"^layers\.2 \(Linear\(5, 1\)\): linear: x \(4, 3\), weight \(5, 1\): 3 != 5"
    with pytest.raises(ValueError, match=text):
        model(drawn(4, 2))


def test_an_error_in_a_sequential_inside_names_both():
    model = Sequential(Sequential(np.tanh, Linear(3, 1, rng=0)))
    with pytest.raises(
        ValueError, match=r"^layers\.0 \(Sequential\): layers\.1 \(Linear\(3, 1\)\): "
    ):
        model(drawn(4, 2))


def test_an_error_of_a_function_names_it():
    with pytest.raises(IndexError, match=r"^layers\.0 \(failing\): gone$"):
        Sequential(fails(IndexError("gone")))(1.0)
    with pytest.raises(TypeError, match=r"^layers\.0 \(Lambda\(failing\)\): gone$"):
        Sequential(Lambda(fails(TypeError("gone"))))(1.0)


@pytest.mark.parametrize(
    "error", [KeyError("name"), RuntimeError("odd"), ValueError(), ValueError("two", 2)], ids=repr
)
def test_an_error_of_another_kind_is_left_as_it_is(error):
    before = error.args
    with pytest.raises(type(error)) as caught:
        Sequential(fails(error))(1.0)
    assert caught.value is error and error.args == before


# ---------------------------------------------------------------- MLP


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


@pytest.mark.parametrize("activation", ["tanh", "Tanh", layers.Tanh, layers.Tanh()], ids=repr)
def test_mlp_takes_its_activation_by_name_too(activation):
    assert kinds(MLP(2, 3, 1, activation=activation)) == ["Linear(2, 3)", "Tanh()", "Linear(3, 1)"]


def test_mlp_refuses_what_makes_no_layer():
    with pytest.raises(ValueError, match="activation: there is no 'rellu'; there are elu, "):
        MLP(2, 3, 1, activation="rellu")
    with pytest.raises(TypeError, match="neither a layer nor a function"):
        MLP(2, 3, 1, activation=lambda: None)
    with pytest.raises(ValueError, match="Linear: outputs=0 is too small"):
        MLP(2, 0, 1)


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


def test_dropout_of_an_mlp_without_a_seed_follows_manual_seed():
    model, x = MLP(3, 50, 2, dropout=0.5), np.ones((1, 3), "float32")
    tg.manual_seed(3)
    first = model(x).data
    tg.manual_seed(3)
    np.testing.assert_array_equal(model(x).data, first)
    assert (model(x).data != first).any() and list(model.named_generators()) == []
