"""Optimizers: what surrounds a formula. The formulas themselves are held to recorded walks in
test_trajectories.py."""

import copy
import gc
import inspect
import math
import pickle
import warnings

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import optimizers
from tinygrad_edu.optimizers import (
    LAMB,
    LBFGS,
    SGD,
    AdaBelief,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    Yogi,
    parts,
)

# An optimizer of every formula, for parameters of any shape.
KINDS = {
    "sgd": lambda params=None, **more: SGD(params, **{"lr": 0.1, **more}),
    "momentum": lambda params=None, **more: SGD(params, **{"lr": 0.1, "momentum": 0.9, **more}),
    "nesterov": lambda params=None, **more: SGD(
        params, **{"lr": 0.1, "momentum": 0.9, "nesterov": True, "decay": 0.01, **more}
    ),
    "adam": lambda params=None, **more: Adam(params, **{"lr": 0.1, **more}),
    "amsgrad": lambda params=None, **more: Adam(
        params, **{"lr": 0.1, "amsgrad": True, "decay": 0.01, **more}
    ),
    "adamw": lambda params=None, **more: AdamW(params, **{"lr": 0.1, "amsgrad": True, **more}),
    "adadelta": lambda params=None, **more: Adadelta(params, **{"epsilon": 0.1, **more}),
    "radam": lambda params=None, **more: RAdam(
        params, **{"lr": 0.1, "beta_2": 0.9, "weight_decay": 0.01, **more}
    ),
} | {
    cls.__name__.lower(): lambda params=None, cls=cls, **more: cls(params, **{"lr": 0.1, **more})
    for cls in (Adagrad, RMSprop, Adamax, Nadam, AdaBelief, Yogi, Lion, Rprop, LAMB, Adafactor)
}
BY_VECTORS = {name: make for name, make in KINDS.items() if name not in ("lamb", "adafactor")}
each_kind = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
each_kind_by_vectors = pytest.mark.parametrize("make", BY_VECTORS.values(), ids=BY_VECTORS)
SEVEN = (SGD, Adagrad, Adadelta, RMSprop, Adam, Adamax, Nadam)
BEYOND = (AdamW, RAdam, AdaBelief, Yogi, Lion, Rprop, LAMB, Adafactor, Muon)
each_class = pytest.mark.parametrize("cls", SEVEN + BEYOND)


def leaf(*numbers, dtype="float32", name=None):
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, dtype)
    return tg.Tensor(data, requires_grad=True, name=name)


def give(parameter, *numbers):
    """Assign a gradient."""
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, parameter.dtype)
    parameter.grad = data.reshape(parameter.shape)


def drawn(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def state_of(optimizer):
    """A copy of all that a step may change."""
    numbers = [p.numpy().tobytes() for p in optimizer.parameters()]
    return numbers, {key: np.array(v).tobytes() for key, v in optimizer.state_dict().items()}


# ---------------------------------------------------------------- the formulas, by hand


def test_gradient_descent_subtracts_the_rate_times_the_slope():
    w = leaf(1, 2)
    give(w, 10, -20)
    SGD(w, lr=0.1).step()
    np.testing.assert_allclose(w.data, [0, 4], atol=1e-6)


def test_decay_divides_the_rate_by_the_steps_taken_before():
    w = leaf(0, dtype="float64")
    optimizer, steps = SGD(w, lr=1, decay=0.5), []
    for _ in range(4):
        before = w.item()
        give(w, 1)
        optimizer.step()
        steps.append(before - w.item())
    np.testing.assert_allclose(steps, [1, 1 / 1.5, 1 / 2, 1 / 2.5], rtol=1e-14)


def test_the_first_step_of_adam_is_the_rate_whatever_the_size_of_the_slope():
    for size in (1e-3, 1, 1e6):
        w = leaf(0, 0, dtype="float64")
        give(w, size, -size)
        Adam(w, lr=0.25, epsilon=1e-30).step()
        np.testing.assert_allclose(w.data, [-0.25, 0.25], rtol=1e-12)


def test_tied_parameters_move_once_by_the_sum_of_their_slopes():
    first, second = tg.layers.Linear(2, 2, bias=False, rng=0), tg.layers.Linear(2, 2, bias=False)
    second.weight = first.weight
    model, x = tg.Sequential(first, second), drawn(3, 2)
    before = first.weight.numpy()
    optimizer = SGD(model, lr=0.5)
    assert len(optimizer.parameters()) == 1
    model(x).sum().backward()
    slope = first.weight.grad.copy()
    optimizer.step()
    np.testing.assert_allclose(first.weight.data, before - 0.5 * slope, rtol=1e-6)
    assert second.weight is first.weight


@pytest.mark.parametrize(
    "cls", set(SEVEN + BEYOND) - {LAMB, Adafactor, Muon}, ids=lambda c: c.__name__
)
def test_a_zero_dimensional_parameter_walks_like_one_of_a_vector(cls):
    alone, inside = leaf(1.5), leaf(1.5, -3)
    one, other = cls(alone, lr=0.1), cls(inside, lr=0.1)
    for _ in range(5):
        one.minimize(lambda: alone * alone)
        other.minimize(lambda: (inside * inside).sum())
    assert alone.shape == () and alone.item() == inside.data[0]


# ---------------------------------------------------------------- clipping


def test_clipnorm_is_one_norm_over_all_gradients_of_all_groups_and_dtypes():
    a, b, c = leaf(0, 0), leaf(0, dtype="float64"), leaf(0)
    optimizer = SGD([{"params": [a, b]}, {"params": c, "lr": 2}], lr=1, clipnorm=1)
    give(a, 2, 4), give(b, 4), give(c, 8)
    optimizer.step()
    np.testing.assert_allclose([*a.data, b.data, c.data], [-0.2, -0.4, -0.4, -1.6], rtol=1e-6)


def test_a_short_gradient_is_not_clipped():
    w = leaf(0, 0)
    give(w, 3, 4)
    SGD(w, lr=1, clipnorm=5.0001).step()
    assert w.tolist() == [-3, -4]


def test_clipvalue_comes_after_clipnorm():
    w = leaf(0, 0, dtype="float64")
    give(w, 30, 40)
    SGD(w, lr=1, clipnorm=10, clipvalue=7).step()
    np.testing.assert_allclose(w.data, [-6, -7], rtol=1e-14)


@pytest.mark.parametrize("setting", ["clipnorm", "clipvalue"])
def test_a_clip_of_0_clips_nothing_as_in_keras(setting):
    w = leaf(0, 0)
    give(w, 3, -4)
    SGD(w, lr=1, **{setting: 0}).step()
    assert w.tolist() == [-3, 4]


def test_clipping_leaves_the_gradients_themselves_alone():
    w = leaf(0, 0)
    give(w, 3, -4)
    SGD(w, lr=1, clipnorm=0.1, clipvalue=0.05).step()
    assert w.grad.tolist() == [3, -4]


# ---------------------------------------------------------------- in blocks, and with gaps


def steps_of(make, shapes, count, without=()):
    """The bits after some steps on drawn gradients; the parameters in `without` get none."""
    parameters = [leaf(drawn(*shape, seed=i)) for i, shape in enumerate(shapes)]
    optimizer = make(parameters, clipnorm=3)
    for k in range(count):
        for i, p in enumerate(parameters):
            give(p, drawn(*p.shape, seed=100 * k + i))
            p.grad = None if i in without else p.grad
        optimizer.step()
    return state_of(optimizer)


@each_kind
@pytest.mark.filterwarnings("ignore:.*step. no gradient")
@pytest.mark.parametrize("without", [(), (1,)], ids=["all", "a gap"])
def test_an_update_in_blocks_is_the_update_of_the_whole_to_the_bit(make, without, monkeypatch):
    shapes = [(37, 3), (), (5,), (0, 2), (64,), (101,)]
    whole = steps_of(make, shapes, 5, without)
    for block in (1, 7, 64, 10_000):
        monkeypatch.setattr(parts, "BLOCK", block)
        assert steps_of(make, shapes, 5, without) == whole


@each_kind_by_vectors
def test_a_vector_of_several_blocks_is_updated_to_its_end(make):
    w = leaf(np.ones(2 * parts.BLOCK + 3))
    optimizer = make(w)
    for _ in range(2):
        give(w, np.ones(w.shape))
        optimizer.step()
    assert len(set(w.data.tolist())) == 1 and w.data[0] < 1


# ---------------------------------------------------------------- the learning rate


@pytest.mark.parametrize("make", [KINDS[k] for k in KINDS if k != "rprop"])  # lr: the first size
def test_a_rate_of_0_is_allowed_and_changes_nothing(make):
    w = leaf(1, 2)
    optimizer = make(w, lr=0)
    for _ in range(3):
        optimizer.minimize(lambda: (w * w).sum())
    assert w.tolist() == [1, 2] and optimizer.iterations == 3


def test_a_rate_may_be_a_function_of_the_steps_taken():
    asked = []

    def rate(iterations):
        asked.append(iterations)
        return 10.0**-iterations

    w = leaf(0, dtype="float64")
    optimizer = SGD(w, lr=rate)
    for _ in range(3):
        give(w, 1)
        optimizer.step()
    assert asked == [0, 1, 2]
    assert w.item() == pytest.approx(-1.11, rel=1e-14)


def test_decay_applies_to_a_function_too():
    w = leaf(0, dtype="float64")
    optimizer = SGD(w, lr=lambda k: 2.0, decay=1)
    for _ in range(2):
        give(w, 1)
        optimizer.step()
    assert w.item() == pytest.approx(-3, rel=1e-14)


def test_a_rate_can_be_changed_between_steps():
    w = leaf(0)
    optimizer = SGD(w, lr=1)
    for lr in (1, 0.5, 0.25):
        optimizer.lr = lr
        give(w, 1)
        optimizer.step()
    assert w.item() == -1.75


# ---------------------------------------------------------------- groups


def test_groups_have_settings_of_their_own_and_share_the_others():
    a, b, c = leaf(0, dtype="float64"), leaf(0, dtype="float64"), leaf(0, dtype="float64")
    optimizer = SGD(
        [{"params": a, "lr": 1}, {"params": [b], "momentum": 0.5}, {"params": c}], lr=0.1, decay=1
    )
    for _ in range(2):
        give(a, 1), give(b, 1), give(c, 1)
        optimizer.step()
    assert a.item() == pytest.approx(-1.5)  # 1 + 1/2
    assert b.item() == pytest.approx(-0.1 - (0.5 * 0.1 + 0.05))
    assert c.item() == pytest.approx(-0.15)
    assert optimizer.parameters() == [a, b, c]
    assert (optimizer.lr, optimizer.momentum) == (0.1, 0.0)


@each_kind
def test_a_group_walks_as_an_optimizer_with_its_settings_would(make):
    start = drawn(6)
    alone, first, second = leaf(start), leaf(start), leaf(start)
    one = make(alone, lr=0.03)
    two = make([{"params": first, "lr": 0.03}, {"params": second}])
    for k in range(5):
        for p in (alone, first, second):
            give(p, drawn(6, seed=k))
        one.step(), two.step()
    np.testing.assert_array_equal(alone.data, first.data)
    assert (second.data != first.data).all()


def test_a_group_may_have_a_layer_a_generator_or_a_dict_of_parameters():
    model, w, b, c = tg.layers.Linear(2, 2), leaf(1), leaf(2), leaf(3)
    optimizer = SGD([{"params": model}, {"params": (p for p in [w, b])}, {"params": {"c": c}}])
    assert optimizer.parameters() == [*model.parameters(), w, b, c]


def test_a_single_group_needs_no_list():
    w = leaf(1)
    assert SGD({"params": w, "lr": 7}).parameters() == [w]


def test_a_group_of_epsilon_none_means_the_usual_one():
    w, alone = leaf(1, 2), leaf(1, 2)
    optimizer, other = Adam([{"params": w, "epsilon": None}]), Adam(alone)
    for p in (w, alone):
        give(p, 1, 1e-7)
    optimizer.step(), other.step()
    np.testing.assert_array_equal(w.data, alone.data)


def test_a_clipnorm_of_one_group_is_refused_since_the_norm_is_that_of_all():
    with pytest.raises((TypeError, ValueError), match="clipnorm"):
        SGD([{"params": leaf(1), "clipnorm": 1.0}, {"params": leaf(2)}])


# ---------------------------------------------------------------- binding


def test_parameters_may_be_a_tensor_a_layer_a_list_a_dict_or_a_generator():
    model, w = tg.layers.MLP(2, 3, 1), leaf(1)
    assert SGD(w).parameters() == [w]
    assert SGD({"w": leaf(1), "b": leaf(2)}).parameters()[1].item() == 2
    optimizer = SGD(model)
    assert optimizer.parameters() == model.parameters()
    del optimizer
    optimizer = SGD(p for p in model.parameters())
    assert optimizer.parameters() == model.parameters()


@each_kind
def test_parameters_can_be_bound_later(make):
    early, late = leaf(1, 2), leaf(1, 2)
    one, other = make(early), make()
    assert other.parameters() == []
    assert other.bind(late) is other
    for _ in range(3):
        one.minimize(lambda: (early * early).sum())
        other.minimize(lambda: (late * late).sum())
    np.testing.assert_array_equal(early.data, late.data)


@each_class
def test_an_unbound_optimizer_says_so_when_it_is_to_step(cls):
    with pytest.raises(RuntimeError, match=rf"{cls.__name__}: no parameters yet; .*bind"):
        cls().step()


def test_an_optimizer_is_bound_once():
    optimizer = SGD(leaf(1))
    with pytest.raises(ValueError, match="make a new optimizer"):
        optimizer.bind(leaf(2))


def test_a_refused_bind_leaves_the_optimizer_unbound_and_the_parameters_free():
    taken, free = leaf(1), leaf(2)
    owner, optimizer = SGD(taken), SGD(lr=1)
    with pytest.raises(ValueError, match="already belongs"):
        optimizer.bind([{"params": free}, {"params": taken}])
    assert optimizer.parameters() == [] and owner.parameters() == [taken]
    optimizer.bind(free)
    give(free, 1)
    optimizer.step()
    assert free.item() == 1


def test_minimize_takes_one_whole_step_and_returns_the_loss():
    w = leaf(3)
    optimizer = SGD(w, lr=0.5)
    w.grad = np.array(1000, "float32")  # of something else: it must not count
    loss = optimizer.minimize(lambda: w * w)
    assert (loss.item(), w.item(), optimizer.iterations) == (9, 0, 1)


def test_zero_grad_forgets_the_gradients_of_all_groups():
    a, b = leaf(1), leaf(2)
    optimizer = SGD([{"params": a}, {"params": b}])
    give(a, 1), give(b, 1)
    optimizer.zero_grad()
    assert a.grad is None and b.grad is None


def test_an_optimizer_of_ones_own_states_its_update_and_nothing_else():
    class Sign(Optimizer):
        def __init__(self, params=None, lr=0.5, share=0.5):
            super().__init__(params, lr, share=share)

        def state(self, theta):
            return {"mean": np.full_like(theta, 2.0)}

        def update(self, theta, g, mean):
            mean *= self.share
            mean += g / self.t
            theta -= self.rate * np.sign(mean)

    w = leaf(1, -1)
    optimizer = Sign(w)
    for _ in range(2):
        give(w, -2, 0)
        optimizer.step()
    assert w.tolist() == [2, -2]
    assert optimizer.state_dict()["0.mean"].tolist() == [-1.5, 0.5]
    assert repr(Sign()) == "Sign(lr=0.5, share=0.5)"
    with pytest.raises(NotImplementedError, match=r"Bare: write update\(self, theta, g\)"):
        type("Bare", (Optimizer,), {})([w := leaf(1)], lr=1).minimize(lambda: w * w)


# ---------------------------------------------------------------- signatures

BETAS = [("beta_1", 0.9), ("beta_2", 0.999)]
COMMON = [("clipnorm", None), ("clipvalue", None), ("options", inspect.Parameter.empty)]
SIGNATURES = {
    SGD: [("lr", 0.01), ("momentum", 0.0), ("decay", 0.0), ("nesterov", False)],
    Adagrad: [("lr", 0.01), ("epsilon", None), ("decay", 0.0)],
    Adadelta: [("lr", 1.0), ("rho", 0.95), ("epsilon", None), ("decay", 0.0)],
    RMSprop: [("lr", 0.001), ("rho", 0.9), ("epsilon", None), ("decay", 0.0)],
    Adam: [("lr", 0.001), *BETAS, ("epsilon", None), ("decay", 0.0), ("amsgrad", False)],
    Adamax: [("lr", 0.002), *BETAS, ("epsilon", None), ("decay", 0.0)],
    Nadam: [("lr", 0.002), *BETAS, ("epsilon", None), ("schedule_decay", 0.004)],
    AdamW: [
        ("lr", 0.001), *BETAS, ("epsilon", 1e-8), ("weight_decay", 0.01), ("amsgrad", False),
    ],
    RAdam: [("lr", 0.001), *BETAS, ("epsilon", 1e-8), ("weight_decay", 0.0)],
    AdaBelief: [("lr", 0.001), *BETAS, ("epsilon", 1e-16), ("epsilon_root", 1e-16)],
    Yogi: [("lr", 0.01), *BETAS, ("epsilon", 1e-3)],
    Lion: [("lr", 0.0001), ("beta_1", 0.9), ("beta_2", 0.99), ("weight_decay", 0.001)],
    Rprop: [
        ("lr", 0.01), ("eta_minus", 0.5), ("eta_plus", 1.2), ("size_min", 1e-6),
        ("size_max", 50.0),
    ],
    LAMB: [("lr", 0.001), *BETAS, ("epsilon", 1e-6), ("weight_decay", 0.0)],
    Adafactor: [
        ("lr", 0.01), ("beta2_decay", -0.8), ("epsilon_1", None), ("epsilon_2", 1e-3), ("d", 1.0),
        ("weight_decay", 0.0),
    ],
    Muon: [
        ("lr", 0.001), ("weight_decay", 0.1), ("momentum", 0.95), ("nesterov", True),
        ("ns_coefficients", (3.4445, -4.775, 2.0315)), ("epsilon", 1e-7), ("ns_steps", 5),
        ("adjust_lr_fn", None),
    ],
}  # fmt: skip


@each_class
def test_names_order_and_defaults_of_the_arguments_are_those_of_keras(cls):
    arguments = inspect.signature(cls).parameters.values()
    found = [(a.name, a.default) for a in arguments]
    assert found == [("params", None), *SIGNATURES[cls], *COMMON]
    assert {a.kind for a in list(arguments)[:-1]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


def test_the_calls_of_the_article_work_as_written():
    SGD(lr=0.01, momentum=0.0, decay=0.0, nesterov=False)
    Adagrad(lr=0.01, epsilon=None, decay=0.0)
    Adadelta(lr=1.0, rho=0.95, epsilon=None, decay=0.0)
    RMSprop(lr=0.001, rho=0.9, epsilon=None, decay=0.0)
    Adam(lr=0.001, beta_1=0.9, beta_2=0.999, epsilon=None, decay=0.0, amsgrad=False)
    Adamax(lr=0.002, beta_1=0.9, beta_2=0.999, epsilon=None, decay=0.0)
    Nadam(lr=0.002, beta_1=0.9, beta_2=0.999, epsilon=None, schedule_decay=0.004)


@pytest.mark.parametrize("name", ["step", "zero_grad", "minimize", "bind", "state_dict"])
def test_an_optimizer_has_the_methods_it_promises(name):
    assert callable(getattr(Adam(), name))
    assert Adam().iterations == 0 and Adam().lr == 0.001 and Adam().epsilon == 1e-7


# ---------------------------------------------------------------- what is refused


@each_class
@pytest.mark.parametrize(
    "number", [0.1, 1, 0, np.float64(0.1), np.float32(0.1), np.int64(1)], ids=repr
)
def test_a_number_first_says_to_write_lr(cls, number):
    with pytest.raises(TypeError, match=r"the first argument is the parameters; write lr="):
        cls(number)


@pytest.mark.parametrize(
    ("cls", "setting"),
    [
        (cls, name)
        for cls in SEVEN + BEYOND
        for name in inspect.signature(cls).parameters
        if name
        not in (
            *("params", "nesterov", "amsgrad", "options"),
            *("ns_coefficients", "adjust_lr_fn", "beta2_decay"),
        )
    ],
)
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf, "0.1", [0.1]], ids=repr)
def test_a_setting_that_makes_no_sense_is_refused_by_name(cls, setting, value):
    with pytest.raises((ValueError, TypeError), match=rf"{cls.__name__}: {setting}="):
        cls(**{setting: value})
    with pytest.raises((ValueError, TypeError), match=rf"{cls.__name__}: {setting}="):
        cls([{"params": leaf(1), setting: value}])


@pytest.mark.parametrize("value", [1, 1.0, 1.5, -0.1, math.nan], ids=str)
@pytest.mark.parametrize("beta", ["beta_1", "beta_2"])
def test_a_beta_outside_0_to_1_is_refused(beta, value):
    with pytest.raises(ValueError, match=f"Adam: {beta}="):
        Adam(**{beta: value})
    assert getattr(Adam(**{beta: 0}), beta) == 0


@pytest.mark.parametrize("setting", ["lr", "momentum", "decay"])
def test_a_setting_of_none_is_refused_where_none_means_nothing(setting):
    with pytest.raises((ValueError, TypeError), match=f"SGD: {setting}=None"):
        SGD(**{setting: None})


@each_class
def test_an_unknown_argument_is_refused(cls):
    with pytest.raises(TypeError, match="learning_rate"):
        cls(leaf(1), learning_rate=0.1)
    with pytest.raises(TypeError, match=r"a group sets \['learning_rate'\]"):
        cls([{"params": leaf(1), "learning_rate": 0.1}])


def test_groups_without_parameters_are_refused():
    with pytest.raises((TypeError, ValueError), match="params"):
        SGD([{"lr": 0.1}])


@pytest.mark.parametrize("nothing", [[], (), {}, iter([]), tg.layers.ReLU()], ids=repr)
def test_no_parameters_at_all_are_refused(nothing):
    with pytest.raises(ValueError, match="optimizer: there are no parameters"):
        SGD(nothing)


@pytest.mark.parametrize(
    ("odd", "why"),
    [
        (lambda: leaf(1, 2, name="y") * 2, "is no parameter: it was made by multiply"),
        (lambda: tg.Tensor(np.array([1, 2])), "it has dtype int64"),
        (lambda: tg.Tensor(np.array([True])), "it has dtype bool"),
        (lambda: np.ones(2), "is a ndarray, not a Tensor"),
        (lambda: "w", "is a str, not a Tensor"),
        (lambda: None, "is a NoneType, not a Tensor"),
        (lambda: ("weight", leaf(1)), "is a tuple, not a Tensor"),
    ],
    ids=["inner", "int", "bool", "array", "text", "none", "named"],
)
def test_what_is_no_parameter_is_refused(odd, why):
    with pytest.raises(TypeError, match="optimizer: ") as caught:
        SGD([leaf(1), odd()])
    assert why in str(caught.value)


def test_parameters_of_which_none_wants_a_gradient_are_refused():
    with pytest.raises(ValueError, match="no parameter requires grad"):
        SGD([tg.Tensor([1.0]), tg.Tensor([2.0])])
    with pytest.raises(ValueError, match="no parameter requires grad"):
        SGD(tg.layers.Linear(2, 2).freeze())


def test_a_parameter_in_two_groups_is_refused_and_stays_free():
    w = leaf(1)
    with pytest.raises(ValueError, match="a parameter is in two groups"):
        SGD([{"params": w}, {"params": [w], "lr": 1}])
    SGD(w)


# ---------------------------------------------------------------- gradients that are none


@each_kind
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)
def test_a_gradient_that_is_not_finite_is_refused_before_anything_is_written(make, bad):
    first, w = leaf(1, 1), leaf([1, 2], [3, 4], name="w")
    optimizer = make([first, w], clipnorm=1)
    give(first, 1, 1), give(w, [1, 1], [1, 1])
    optimizer.step()
    before = state_of(optimizer)
    give(first, 1, 1), give(w, [1, 1], [bad, 1])
    with pytest.raises(
        FloatingPointError, match=r"the gradient of w \(shape \(2, 2\)\) has"
    ) as caught:
        optimizer.step()
    assert f"{bad} at [1, 0]; nothing was updated" in str(caught.value)
    assert state_of(optimizer) == before and optimizer.iterations == 1
    give(w, [1, 1], [1, 1])
    optimizer.step()
    assert optimizer.iterations == 2


def test_a_nan_in_one_group_stops_the_others():
    a, b = leaf(1), leaf(2)
    optimizer = SGD([{"params": a}, {"params": b}], lr=1)
    give(a, 1), give(b, math.nan)
    with pytest.raises(FloatingPointError, match=r"a parameter \(shape \(\)\) has nan at \[\]"):
        optimizer.step()
    assert a.item() == 1


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda w: SGD(w, lr=1e-25), [-3, -4]),
        (lambda w: SGD(w, lr=1, clipnorm=1), [-0.6, -0.8]),
        (lambda w: SGD(w, lr=1, clipvalue=1), [-1, -1]),
        (lambda w: Adam(w, lr=1, clipnorm=1, epsilon=1e-30), [-1, -1]),
    ],
    ids=["sgd", "sgd clipnorm", "sgd clipvalue", "adam clipnorm"],
)
def test_a_gradient_that_is_finite_but_too_large_to_square_is_used(make, expected):
    w = leaf(0, 0)
    optimizer = make(w)
    give(w, 3e25, 4e25)
    optimizer.step()
    np.testing.assert_allclose(w.data, expected, rtol=1e-5)


def test_a_float16_gradient_too_large_to_square_is_used():
    w = leaf(0, 0, dtype="float16")
    optimizer = SGD(w, lr=1, clipnorm=1)
    give(w, 3000, 4000)
    optimizer.step()
    np.testing.assert_allclose(w.data, [-0.6, -0.8], rtol=2e-3)


# ---------------------------------------------------------------- a step that fails


@each_kind
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_formula_that_fails_half_way_leaves_everything_as_it_was(make, error, monkeypatch):
    first, second = leaf(drawn(2, 3)), leaf(drawn(2, 2), dtype="float64")
    optimizer = make([{"params": first}, {"params": second, "lr": 0.2}])

    def train():
        optimizer.minimize(lambda: (first * first).sum() + (second * second).sum())

    train()
    before, formula = state_of(optimizer), type(optimizer).update

    def failing(self, theta, g, *state):
        formula(self, theta, g, *state)
        if theta.dtype == np.float64:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(optimizer), "update", failing)
        with pytest.raises(error):
            train()
    assert state_of(optimizer) == before
    train()
    assert optimizer.iterations == 2


# ---------------------------------------------------------------- gradients that are missing


def test_a_missing_gradient_is_warned_about_once_at_the_callers_line():
    a, b, c = leaf(1, name="a"), leaf(2, name="b"), leaf(3, 3)
    optimizer = SGD([a, b, c], lr=1)
    give(a, 1)
    with pytest.warns(
        UserWarning, match=r"no gradient for b, a parameter of shape \(2,\)"
    ) as caught:
        optimizer.step()
    assert [w.filename for w in caught] == [__file__]
    optimizer.step()  # a second warning would be an error here
    assert (a.item(), b.item(), c.tolist()) == (-1, 2, [3, 3])


def test_a_parameter_that_wants_no_gradient_is_not_missed():
    a, b = leaf(1), leaf(2)
    optimizer = SGD([a, b], lr=1)
    b.requires_grad = False
    give(a, 1)
    optimizer.step()
    assert (a.item(), b.item()) == (0, 2)


def test_a_step_before_backward_changes_nothing():
    w = leaf(1)
    optimizer = Adam(w)
    with pytest.warns(UserWarning, match="was backward\\(\\) called before step"):
        optimizer.step()
    assert w.item() == 1


# ---------------------------------------------------------------- saving


def problem(seed=0):
    model = tg.layers.MLP(3, 5, 2, rng=seed)
    model.layers()[1].weight.data = model.layers()[1].weight.data.astype("float64")
    return model


def train(model, optimizer, steps, start=0):
    for k in range(start, start + steps):
        x = drawn(4, 3, seed=k)
        optimizer.minimize(lambda: (model(x) ** 2).mean())  # noqa: B023


@each_kind
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(make):
    model = problem()
    optimizer = make(model)
    train(model, optimizer, 4)
    weights, state = model.state_dict(), optimizer.state_dict()
    train(model, optimizer, 4, start=4)

    resumed = problem(seed=1)
    resumed.load_state_dict(weights)
    other = make(resumed)
    other.load_state_dict(state)
    assert other.iterations == 4
    train(resumed, other, 4, start=4)
    assert state_of(other) == state_of(optimizer)


@each_kind
def test_a_forgotten_state_is_not_the_same_run(make):
    def rate(k):
        return 0.1 / (1 + k)

    model = problem()
    optimizer = make(model, lr=rate)
    train(model, optimizer, 4)
    weights = model.state_dict()
    train(model, optimizer, 4, start=4)
    resumed = problem(seed=1)
    resumed.load_state_dict(weights)
    other = make(resumed, lr=rate)
    train(resumed, other, 4, start=4)
    assert state_of(other) != state_of(optimizer)


def test_a_state_dict_is_a_copy():
    w = leaf(1, 2)
    optimizer = Adam(w)
    optimizer.minimize(lambda: (w * w).sum())
    before, state = state_of(optimizer), optimizer.state_dict()
    assert state["iterations"] == 1
    arrays = [v for v in state.values() if isinstance(v, np.ndarray)]
    assert [v.shape for v in arrays] == [(2,), (2,)]
    for v in arrays:
        v += 1
    assert state_of(optimizer) == before


def spoiled(change):
    """A state of which `change` has replaced the last vector."""

    def spoil(state):
        name = list(state)[-1]
        return state | {name: change(np.array(state[name]))}

    return spoil


def counted(iterations):
    return lambda state: state | {"iterations": iterations}


FOREIGN = {
    "nothing": lambda state: {},
    "a missing vector": lambda state: dict(list(state.items())[:-1]),
    "a missing count": lambda state: {k: v for k, v in state.items() if k != "iterations"},
    "an unknown vector": lambda state: state | {"extra": np.zeros(10)},
    "a longer vector": spoiled(lambda v: np.zeros((*v.shape[:-1], v.shape[-1] + 1))),
    "a vector that would broadcast": spoiled(lambda v: np.zeros(1)),
    "another optimizer": lambda state: SGD(leaf(drawn(2, 3)), momentum=0.5).state_dict(),
    "text": spoiled(lambda v: np.full(v.shape, "x")),
    "objects": spoiled(lambda v: np.full(v.shape, None)),
    "complex numbers": spoiled(lambda v: np.full(v.shape, 1j)),
    "a negative count": counted(-1),
    "half a step": counted(2.5),
    "a count of nan": counted(math.nan),
    "a count in words": counted("two"),
}


@pytest.mark.parametrize("spoil", FOREIGN.values(), ids=FOREIGN)
def test_a_state_of_something_else_is_refused_and_changes_nothing(spoil):
    w, b = leaf(drawn(2, 3)), leaf(drawn(4))
    optimizer = Adam([w, b])
    optimizer.minimize(lambda: (w * w).sum() + (b * b).sum())
    foreign = spoil(Adam([leaf(drawn(2, 3)), leaf(drawn(4))]).state_dict())
    before = state_of(optimizer)
    with pytest.raises(ValueError, match="Adam: .*nothing was loaded"):
        optimizer.load_state_dict(foreign)
    assert state_of(optimizer) == before


def test_a_state_of_other_parameters_of_the_same_total_size_is_refused():
    optimizer = Adam([leaf(drawn(2, 3)), leaf(drawn(4))])
    foreign = Adam([leaf(drawn(5)), leaf(drawn(5))]).state_dict()
    with pytest.raises(ValueError, match="nothing was loaded"):
        optimizer.load_state_dict(foreign)


@each_class
def test_get_config_makes_the_same_optimizer_again(cls):
    given = {"lr": 0.5}
    for name, default in SIGNATURES[cls][1:]:
        given[name] = 0.25 if default is None else default
        given[name] = not default if isinstance(default, bool) else given[name]
    given |= {"adjust_lr_fn": "original"} if cls is Muon else {}
    given |= {"clipnorm": 3.0, "clipvalue": 2.0, "nonfinite": "skip", "accumulate": True}
    optimizer = cls(leaf([1, 2], [3, 4]), **given)
    config = optimizer.get_config()
    assert config == given
    again = cls.from_config(config)
    assert type(again) is cls and again.parameters() == []
    assert again.get_config() == config and repr(again) == repr(optimizer)
    assert cls.from_config(cls().get_config()).get_config() == cls().get_config()


def test_a_repr_shows_the_settings():
    text = repr(SGD(lr=0.25, momentum=0.5))
    assert text.startswith("SGD(") and "lr=0.25" in text and "momentum=0.5" in text


# ---------------------------------------------------------------- by name


def test_get_takes_a_name_a_class_or_an_optimizer():
    names = [(cls.__name__.lower(), cls) for cls in (*SEVEN, *BEYOND, LBFGS)]
    for name, cls in (*names, ("SGD", SGD), ("RMSprop", RMSprop), (SGD, SGD)):
        made = optimizers.get(name)
        assert type(made) is cls and made.get_config() == cls().get_config()
    mine = Adam(lr=1)
    assert optimizers.get(mine) is mine


@pytest.mark.parametrize("name", ["sdg", "", None, 3, "optimizer", tg.Tensor, dict], ids=repr)
def test_get_of_something_else_lists_the_known_names(name):
    with pytest.raises(
        ValueError, match=r"optimizers: there is no .*; there are sgd, adagrad, .*adam"
    ):
        optimizers.get(name)


# ---------------------------------------------------------------- copies


def both(model, optimizer):
    return [
        copy.deepcopy((model, optimizer)),
        pickle.loads(pickle.dumps((model, optimizer))),
        copy.deepcopy((optimizer, model))[::-1],
    ]


@each_kind
def test_a_copy_of_model_and_optimizer_stays_tied_and_goes_its_own_way(make):
    model = problem()
    optimizer = make([{"params": model[0], "lr": 0.2}, {"params": model[2]}])
    train(model, optimizer, 3)
    twins, before = both(model, optimizer), state_of(optimizer)
    for twin, other in twins:
        assert all(a is b for a, b in zip(twin.parameters(), other.parameters(), strict=True))
        assert state_of(other) == before
        train(twin, other, 3, start=3)
        assert state_of(other) != before and state_of(optimizer) == before
    train(model, optimizer, 3, start=3)
    for _, other in twins:
        assert state_of(other) == state_of(optimizer)


def test_a_copy_of_an_optimizer_alone_has_parameters_of_its_own():
    w = leaf(1, 2)
    optimizer = Adam(w)
    optimizer.minimize(lambda: (w * w).sum())
    twin = copy.deepcopy(optimizer)
    (mine,) = twin.parameters()
    before = w.tolist()
    twin.minimize(lambda: (mine * mine).sum())
    assert w.tolist() == before and mine.tolist() != before and twin.iterations == 2


# ---------------------------------------------------------------- as a whole


@each_kind
def test_a_convex_bowl_is_descended(make):
    w = leaf(3, -2)
    optimizer = make(w, lr=lambda k: 0.5 / (1 + 0.02 * k))
    losses = [optimizer.minimize(lambda: (w * w).sum()).item() for _ in range(300)]
    assert losses[-1] < 1e-3 * losses[0]


def test_steps_warn_of_nothing_and_leave_no_garbage():
    model = problem()
    optimizer = Adam(model, amsgrad=True, clipnorm=1, clipvalue=0.5, decay=0.1)
    train(model, optimizer, 2)
    gc.collect()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            train(model, optimizer, 10)
        assert gc.collect() == 0
    finally:
        gc.enable()
