"""What an optimizer refuses, says, saves and frees. Nothing is ever half done."""

import copy
import gc
import inspect
import io
import math
import pickle
import re
import subprocess
import sys
import warnings
import weakref
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import optimizers
from tinygrad_edu.optimizers import (
    LAMB,
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
)
from tinygrad_edu.schedules import CosineDecay, LinearWarmup, ReduceOnPlateau
from tinygrad_edu.training import clip_grad_norm

CLASSES = (
    *(SGD, Adagrad, Adadelta, RMSprop, Adam, Adamax, Nadam, AdamW, RAdam, AdaBelief, Yogi, Lion),
    *(Rprop, LAMB, Adafactor, Muon),
)
EVERY = {cls.__name__.lower(): (cls, {}) for cls in CLASSES} | {
    "nesterov": (SGD, {"momentum": 0.9, "nesterov": True, "decay": 0.1}),
    "amsgrad": (Adam, {"amsgrad": True, "decay": 0.1, "beta_2": 0.5}),
    "adamw amsgrad": (AdamW, {"amsgrad": True, "beta_2": 0.5}),
}
each_class = pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
every = pytest.mark.parametrize("kind", EVERY)


def made(kind, params, **more):
    cls, settings = EVERY[kind]
    return cls(params, **{"lr": 0.1, **settings, **more})


def leaf(data, dtype="float32", name=None):
    return tg.Tensor(np.array(data, dtype), requires_grad=True, name=name)


def drawn(shape, seed, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def give(parameters, k=0):
    for i, p in enumerate(parameters):
        p.grad = drawn(p.shape, 100 * k + i, p.dtype)


def everything(optimizer):
    """All bytes that a step may change, and the gradients it may not."""
    parameters = optimizer.parameters()
    state = {name: np.array(v).tobytes() for name, v in optimizer.state_dict().items()}
    slopes = [None if p.grad is None else np.array(p.grad).tobytes() for p in parameters]
    counts = optimizer.iterations, optimizer.skipped, optimizer.lr
    return [p.numpy().tobytes() for p in parameters], state, slopes, counts


def numbers_of(optimizer):
    """What makes two runs the same."""
    return everything(optimizer)[:2]


# ---------------------------------------------------------------- saved and resumed


class Plateau:
    """A rate of somebody's own that remembers something."""

    def __init__(self):
        self.rate, self.heard = 0.1, 0

    def __call__(self, iterations):
        return self.rate / (1 + 0.1 * iterations)

    def observe(self, loss):
        self.heard += 1
        self.rate = self.rate * 0.75 + 0.01 * float(loss)

    def state_dict(self):
        return {"rate": self.rate, "heard": self.heard}

    def load_state_dict(self, state):
        if state.keys() != {"rate", "heard"} or not 0 <= state["rate"] < math.inf:
            raise ValueError("Plateau: what is that?")
        self.rate, self.heard = state["rate"], state["heard"]


def rate_of(iterations):
    return 0.2 / (1 + iterations)


class Run:
    """Parameters of two dtypes in three groups: a rate that learns, a number, a function."""

    def __init__(self, kind, seed=0):
        shapes = [(2, 3), (3, 2), (4, 4), (2, 2), (1, 3)]
        if kind != "muon":
            shapes += [(5,), (), (0, 2), (2, 2, 2)]
        types = ["float32", "float64"] * 5
        drawings = zip(shapes, types, strict=False)
        tensors = [leaf(drawn(s, seed + i, t), t) for i, (s, t) in enumerate(drawings)]
        self.plateau, self.own = ReduceOnPlateau(0.1, factor=0.5, patience=0), Plateau()
        groups = [
            {"params": tensors[0::3], "lr": self.plateau},
            {"params": tensors[1::3], "lr": self.own, "clipvalue": 0.75},
            {"params": tensors[2::3]},
        ]
        self.optimizer = made(kind, groups, clipnorm=2.0)
        self.parameters = self.optimizer.parameters()

    def steps(self, first, last):
        for k in range(first, last):
            give(self.parameters, k)
            self.optimizer.step()
            self.plateau.observe(2.0 if k % 2 else 1.0)
            self.own.observe(k)
            if k == 1:
                self.optimizer.lr = 0.025
                self.optimizer.clipvalue = 0.5
        return self

    def load(self, weights, state):
        for p, w in zip(self.parameters, weights, strict=True):
            p.data = w
        self.optimizer.load_state_dict(state)


@every
@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_run_that_was_saved_and_resumed_is_the_whole_one_to_the_bit(kind, stop):
    run = Run(kind).steps(0, stop)
    weights, state = [p.numpy() for p in run.parameters], run.optimizer.state_dict()
    run.steps(stop, 7)
    as_from_a_file = {name: np.asarray(v) for name, v in state.items()}
    as_floats = {
        name: v if np.ndim(v) or "schedule" in name else float(v) for name, v in state.items()
    }
    for saved in (state, as_from_a_file, as_floats):
        resumed = Run(kind, seed=50)
        resumed.load(weights, saved)
        assert resumed.optimizer.iterations == stop
        resumed.steps(stop, 7)
        assert numbers_of(resumed.optimizer) == numbers_of(run.optimizer)
        assert resumed.optimizer.get_config().keys() == run.optimizer.get_config().keys()
        assert repr(resumed.plateau) == repr(run.plateau)
        assert vars(resumed.own) == vars(run.own)
        types = [type(v) for v in resumed.optimizer.get_config().values()]
        assert types == [type(v) for v in run.optimizer.get_config().values()]


@every
def test_each_entry_of_a_state_is_needed(kind):
    """What is left at its first value makes another run, or says so."""
    run = Run(kind).steps(0, 3)
    weights, state = [p.numpy() for p in run.parameters], run.optimizer.state_dict()
    fresh = Run(kind).optimizer.state_dict()
    run.steps(3, 7)
    learned = [name for name in state if repr(state[name]) != repr(fresh[name])]
    assert "iterations" in learned and "lr" in learned and "clipvalue" in learned
    assert "groups.0.schedule.lr" in learned and "groups.1.schedule.rate" in learned
    assert ("parts.0.product" in learned) == (kind == "nadam")
    for name in learned:
        if name.endswith(("best", "heard")) or (name == "iterations" and kind in ("sgd", "lion")):
            continue  # these two count only through the function, which has learned its own
        forgetful = Run(kind, seed=50)
        forgetful.load(weights, state | {name: fresh[name]})
        forgetful.steps(3, 7)
        assert numbers_of(forgetful.optimizer) != numbers_of(run.optimizer), name


def test_what_is_in_a_state():
    a, b, c = leaf([1.0, 2.0]), leaf(3.0, "float64"), leaf([[4.0]])
    groups = [{"params": [a, b], "lr": 0.5}, {"params": c, "beta_1": 0.5}]
    optimizer = Nadam(groups, clipnorm=1.0, accumulate=True)
    state = optimizer.state_dict()
    assert list(state) == [
        *("iterations", "lr", "beta_1", "beta_2", "epsilon", "schedule_decay"),
        *("clipnorm", "clipvalue", "accumulate"),
        *("groups.0.lr", "groups.1.beta_1"),
        *(f"parts.{i}.product" for i in range(3)),
        *(f"{i}.{name}" for i in range(3) for name in "mv"),
    ]
    assert state["iterations"] == 0 and state["parts.2.product"] == 1
    assert (state["lr"], state["groups.0.lr"], state["groups.1.beta_1"]) == (0.002, 0.5, 0.5)
    assert state["clipnorm"] == 1 and math.isnan(state["clipvalue"])
    assert [state[f"{i}.m"].shape for i in range(3)] == [(2,), (), (1, 1)]
    assert [state[f"{i}.v"].dtype.name for i in range(3)] == ["float32", "float64", "float32"]


def test_a_state_survives_a_file_of_arrays():
    run = Run("amsgrad").steps(0, 2)
    file = io.BytesIO()
    np.savez(file, **run.optimizer.state_dict())
    file.seek(0)
    other = Run("amsgrad", seed=50)
    other.load([p.numpy() for p in run.parameters], dict(np.load(file)))
    assert numbers_of(run.steps(2, 4).optimizer) == numbers_of(other.steps(2, 4).optimizer)


def test_settings_of_a_state_win_over_those_of_the_new_optimizer():
    saved = SGD(leaf([1.0]), lr=0.5, momentum=0.75, nesterov=True, clipnorm=2.0, decay=0.1)
    other = SGD(leaf([1.0]), lr=np.int64(1), momentum=0.5, clipvalue=3.0)
    other.load_state_dict(saved.state_dict())
    assert other.get_config() == saved.get_config()
    assert other.nesterov is True and other.clipvalue is None


def test_a_schedule_that_remembers_a_list_is_saved_and_resumed():
    class Remembering(Plateau):
        def __init__(self):
            self.values = np.zeros(3)

        def __call__(self, iterations):
            return float(self.values.sum())

        def state_dict(self):
            return {"values": self.values.copy()}

        def load_state_dict(self, state):
            self.values = np.array(state["values"])

    one, other = Remembering(), Remembering()
    saved, optimizer = SGD(leaf([1.0]), lr=one), SGD(leaf([1.0]), lr=other)
    one.values += [1, 2, 3]
    optimizer.load_state_dict(saved.state_dict())
    assert optimizer.lr == 6 and other.values.tolist() == [1, 2, 3]


def test_the_state_of_what_a_warmup_leads_to_is_part_of_the_run():
    plateau, fresh = ReduceOnPlateau(0.5, patience=0), ReduceOnPlateau(0.5, patience=0)
    saved = SGD(leaf([1.0]), lr=LinearWarmup(3, plateau))
    other = SGD(leaf([1.0]), lr=LinearWarmup(3, fresh))
    plateau.observe(1), plateau.observe(2)
    other.load_state_dict(saved.state_dict())
    assert fresh.lr == plateau.lr < 0.5


# ---------------------------------------------------------------- states that are refused


def spoiled(**entries):
    return lambda state: state | {name.replace("__", "."): x for name, x in entries.items()}


def array(name, change):
    def spoil(state):
        v = state[name].copy()
        return state | {name: change(v)}

    return spoil


def with_entry(entry):
    def change(v):
        v.reshape(-1)[0] = entry
        return v

    return change


NONSENSE = (-1.0, math.nan, math.inf, -math.inf, "x", None, 1j, [0.1, 0.2], [], True)
REFUSED = {
    f"{name}={x!r}": spoiled(**{name: x})
    for name in (
        *("lr", "decay", "beta_1", "beta_2", "epsilon", "groups__0__lr", "groups__2__beta_1"),
        *("groups__1__schedule__lr", "groups__3__schedule__rate", "parts__0__product"),
    )
    for x in NONSENSE
    if x is not True or not name.endswith(("product", "rate"))
} | {
    "a beta of 1": spoiled(beta_2=1.0),
    "a beta of 1 in a group": spoiled(groups__2__beta_1=1.0),
    "an epsilon of 0": spoiled(epsilon=0.0),
    "a clipnorm of -1": spoiled(clipnorm=-1.0),
    "a clipnorm of inf": spoiled(clipnorm=math.inf),
    "a clipnorm of True": spoiled(clipnorm=True),
    "half a flag": spoiled(amsgrad=0.5),
    "a flag of 7": spoiled(amsgrad=7),
    "a flag of nan": spoiled(amsgrad=math.nan),
    "-1 steps": spoiled(iterations=-1),
    "half a step": spoiled(iterations=2.5),
    "nan steps": spoiled(iterations=math.nan),
    "inf steps": spoiled(iterations=math.inf),
    "steps in words": spoiled(iterations="two"),
    "a list of steps": spoiled(iterations=[1]),
    "half an epoch": spoiled(groups__1__schedule__bad_epochs=2.5),
    "-1 epochs": spoiled(groups__1__schedule__cooldown_left=-1),
    "nan as the best loss": spoiled(groups__1__schedule__best=math.nan),
    "an unknown name": spoiled(extra=1.0),
    "an unknown array": spoiled(**{"0.w": np.zeros(2)}),
    "a parameter too many": spoiled(**{"9.m": np.zeros(2)}),
    "a name that is no text": lambda state: state | {3: 1.0},
    "nothing": lambda state: {},
    "nan in an array": array("1.m", with_entry(math.nan)),
    "inf in an array": array("0.v", with_entry(-math.inf)),
    "text in an array": array("0.m", lambda v: v.astype(str)),
    "complex numbers in an array": array("0.m", lambda v: v + 1j),
    "objects in an array": array("0.m", lambda v: v.astype(object)),
    "another shape": array("0.m", lambda v: v[:1]),
    "an axis more": array("0.m", lambda v: v[None]),
    "a shape turned around": array("0.m", lambda v: v.T),
    "numbers too large for the dtype": array("0.m", lambda v: v.astype("float64") + 1e300),
}


def several():
    """An Adam of several groups, with settings and schedules of their own, and a copy of all."""
    plateau, own = ReduceOnPlateau(0.1, patience=0), Plateau()
    tensors = [leaf(drawn((2, 3), i)) for i in range(4)]
    groups = [
        {"params": tensors[0], "lr": 0.5},
        {"params": tensors[1], "lr": plateau},
        {"params": tensors[2], "beta_1": 0.5},
        {"params": tensors[3], "lr": own},
    ]
    return plateau, own, groups


ABSENT = {Nadam: ("decay", "flag"), Adam: ("product",)}


@pytest.mark.parametrize(
    ("cls", "spoiling"),
    [
        (cls, name)
        for cls, absent in ABSENT.items()
        for name in REFUSED
        if not any(word in name for word in absent)
    ],
)
def test_a_state_that_makes_no_sense_is_refused_and_changes_nothing(cls, spoiling):
    plateau, own, groups = several()
    optimizer = cls(groups)
    give(optimizer.parameters())
    optimizer.step()
    _, _, others = several()
    others[1]["lr"].observe(1.0), others[1]["lr"].observe(2.0)
    others[3]["lr"].observe(5.0)
    other = cls(others)
    give(other.parameters(), 1)
    other.step(), other.step()
    state = other.state_dict()
    foreign = REFUSED[spoiling](state)
    before = everything(optimizer), repr(plateau), vars(own).copy(), repr(optimizer.groups)
    with pytest.raises(ValueError, match=f"{cls.__name__}: nothing was loaded"):
        optimizer.load_state_dict(foreign)
    after = everything(optimizer), repr(plateau), vars(own), repr(optimizer.groups)
    assert after == before
    optimizer.load_state_dict(state)
    assert (plateau.lr, own.heard, optimizer.iterations) == (others[1]["lr"].lr, 1, 2)


@every
def test_no_entry_of_a_state_may_be_missing(kind):
    optimizer, state = Run(kind).steps(0, 1).optimizer, Run(kind).steps(0, 2).optimizer.state_dict()
    before = everything(optimizer)
    for name in state:
        with pytest.raises(ValueError, match=rf"nothing was loaded: .*{re.escape(name)}"):
            optimizer.load_state_dict({key: v for key, v in state.items() if key != name})
    assert everything(optimizer) == before


def test_a_state_with_nan_is_resumed_where_gradients_of_nan_are_ignored():
    w, other = leaf([1.0, 2.0]), leaf([1.0, 2.0])
    saved = Adam(w, nonfinite="ignore")
    w.grad = np.array([np.nan, 1.0], "float32")
    saved.step()
    fresh = Adam(other, nonfinite="ignore")
    fresh.load_state_dict(saved.state_dict())
    assert numbers_of(fresh)[1] == numbers_of(saved)[1]


@pytest.mark.parametrize("state", [None, 3, [1], "abc"], ids=repr)
def test_what_is_no_state_at_all_is_refused(state):
    optimizer = Adam(leaf([1.0]))
    before = everything(optimizer)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        optimizer.load_state_dict(state)
    assert everything(optimizer) == before


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (lambda w: Adam(w), lambda w: Adam(w, amsgrad=True)),
        (lambda w: SGD(w), lambda w: SGD(w, momentum=0.5)),
        (lambda w: SGD(w, momentum=0.5), lambda w: SGD(w)),
        (lambda w: Adam(w), lambda w: Adamax(w)),
        (lambda w: SGD(w), lambda w: SGD(w, lr=rate_of)),
        (lambda w: SGD(w, lr=rate_of), lambda w: SGD(w)),
        (lambda w: SGD(w), lambda w: SGD([{"params": w, "lr": 1.0}])),
        (lambda w: SGD(w, lr=ReduceOnPlateau(0.1)), lambda w: SGD(w, lr=CosineDecay(0.1, 5))),
    ],
)
def test_a_state_of_another_kind_of_run_is_refused(mine, theirs):
    optimizer, state = mine(leaf([1.0])), theirs(leaf([1.0])).state_dict()
    before = everything(optimizer)
    with pytest.raises(ValueError, match="nothing was loaded"):
        optimizer.load_state_dict(state)
    assert everything(optimizer) == before


# ---------------------------------------------------------------- the learning rate


@pytest.mark.parametrize("listed", [False, True])
def test_a_single_group_has_its_own_settings(listed):
    w = leaf([1.0, 2.0])
    group = {"params": w, "lr": 0.5, "momentum": 0.5}
    optimizer = SGD([group] if listed else group, lr=0.125)
    for _ in range(2):
        w.grad = np.ones(2)
        optimizer.step()
    assert w.tolist() == [1 - 0.5 - 0.75, 2 - 0.5 - 0.75] and optimizer.lr == 0.125


def test_the_configuration_has_the_function_of_the_rate_and_not_the_rate():
    plateau = ReduceOnPlateau(0.5)
    for lr in (rate_of, plateau):
        config = SGD(lr=lr).get_config()
        assert config["lr"] is lr and SGD.from_config(config).schedule is lr
    assert "lr=ReduceOnPlateau(lr=0.5, " in repr(SGD(lr=plateau))


def test_the_rate_can_be_read_at_any_time():
    w = leaf([1.0])
    for lr, rates in ((0.5, [0.5] * 3), (rate_of, [0.2, 0.1, 0.2 / 3])):
        optimizer = SGD(lr=lr)
        assert optimizer.lr == rates[0]
        optimizer.bind(w)
        for rate in rates:
            assert optimizer.lr == rate and type(optimizer.lr) is float
            give([w])
            optimizer.step()
        assert optimizer.schedule is (lr if callable(lr) else None)
        del optimizer


def test_a_rate_that_learns_is_read_as_it_is_now():
    plateau = ReduceOnPlateau(0.5, factor=0.5, patience=0)
    optimizer = SGD(leaf([1.0]), lr=plateau)
    plateau.observe(1), plateau.observe(2)
    assert optimizer.lr == 0.25 and optimizer.schedule is plateau


def test_a_rate_can_be_set_to_a_number_or_a_function():
    w = leaf([0.0], "float64")
    optimizer = SGD(w, lr=1)
    for lr, rate in ((2, 2), (lambda k: 3.0, 3), (np.float32(0.5), 0.5), (0, 0)):
        optimizer.lr = lr
        before = w.item()
        w.grad = np.ones(1)
        optimizer.step()
        assert before - w.item() == rate and optimizer.lr == rate
        assert type(optimizer.lr) in (int, float)


BAD_RATES = [-0.1, math.nan, math.inf, -math.inf, "0.1", None, True, [0.1], (0.1,), 1j]
BAD_RATES += [np.array([0.1, 0.2]), 10**400, np.float64("nan")]


@pytest.mark.parametrize("rate", BAD_RATES, ids=repr)
def test_a_rate_that_makes_no_sense_is_refused_when_it_is_set(rate):
    optimizer = SGD(leaf([1.0]), lr=0.5)
    with pytest.raises((TypeError, ValueError), match="SGD: lr="):
        optimizer.lr = rate
    assert optimizer.lr == 0.5
    with pytest.raises((TypeError, ValueError), match="SGD: lr="):
        SGD(lr=rate)
    with pytest.raises((TypeError, ValueError), match="SGD: lr="):
        SGD([{"params": leaf([1.0]), "lr": rate}])


@every
@pytest.mark.parametrize("rate", BAD_RATES, ids=repr)
def test_a_rate_that_makes_no_sense_is_refused_at_the_step_by_its_number(kind, rate):
    good, bad = (leaf(drawn((2, 2), i)) for i in range(2))
    groups = [
        {"params": good},
        {"params": bad, "lr": lambda k: 0.1 if k < 2 else rate},
    ]
    optimizer = made(kind, groups)
    give([good, bad])
    optimizer.step(), optimizer.step()
    before = everything(optimizer)
    with pytest.raises((TypeError, ValueError), match=r"lr of step 3"):
        optimizer.step()
    assert everything(optimizer) == before


def test_an_error_in_a_function_of_the_rate_stops_the_step_before_anything_is_written():
    good, bad = leaf([1.0]), leaf([2.0])

    def rate(iterations):
        raise KeyError("no more rates")

    optimizer = SGD([{"params": good}, {"params": bad, "lr": rate}], lr=1.0)
    give([good, bad])
    before = [p.tobytes() for p in (good.numpy(), bad.numpy())], optimizer.state_dict()
    with pytest.raises(KeyError, match="no more rates"):
        optimizer.step()
    after = [p.tobytes() for p in (good.numpy(), bad.numpy())], optimizer.state_dict()
    assert repr(after) == repr(before)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("kind", EVERY)
def test_settings_of_numpy_never_lift_what_is_smaller(kind, dtype):
    cls, own = EVERY[kind]
    if dtype == "float16" and "epsilon" in inspect.signature(cls).parameters:
        own = own | {"epsilon": 1e-3}
    given = {
        name: p.default
        for name, p in inspect.signature(cls).parameters.items()
        if isinstance(p.default, float)
    } | own
    given |= {"lr": 0.1, "clipnorm": 1.0, "clipvalue": 0.5}
    results = []
    for kindly in (float, np.float64):
        settings = {k: kindly(v) if type(v) is float else v for k, v in given.items()}
        w = leaf(drawn((2, 3), 0), dtype)
        optimizer = cls(w, **settings)
        optimizer.lr = kindly(0.25)
        for k in range(7):
            give([w], k)
            optimizer.step()
        arrays = [v for v in optimizer.state_dict().values() if isinstance(v, np.ndarray)]
        assert {v.dtype.name for v in [w.data, w.grad, *arrays]} == {dtype}
        assert all(type(v) is not np.float64 for v in optimizer.get_config().values())
        text = optimizer.explain_step(w, (0, 0))
        results.append((numbers_of(optimizer), text, optimizer.formula()))
        shown = re.search(r"theta +(\S+) -> (\S+)", text).groups()
        assert str(w.data[0, 0]) == shown[1], "as many digits as the dtype has"
    assert results[0] == results[1]


def test_a_rate_of_numpy_from_a_function_lifts_nothing():
    found = []
    for kind in (float, np.float64, np.float32, int, np.int64):
        w = leaf(drawn((2, 3), 0))
        optimizer = Adam(w, lr=lambda k: kind(1))  # noqa: B023
        give([w])
        optimizer.step()
        assert type(optimizer.lr) in (int, float)
        found.append((w.dtype, w.numpy().tobytes()))
    assert len(set(found)) == 1


# ---------------------------------------------------------------- settings that are refused

NUMBERS = [
    (cls, name)
    for cls in CLASSES
    for name, p in inspect.signature(cls).parameters.items()
    if name in ("epsilon", "clipnorm", "clipvalue", "epsilon_1")
    or (isinstance(p.default, (int, float)) and not isinstance(p.default, bool))
]
FLAGS = [
    (cls, name)
    for cls in CLASSES
    for name, p in inspect.signature(cls).parameters.items()
    if isinstance(p.default, bool)
] + [(SGD, "accumulate"), (Adam, "accumulate")]


@pytest.mark.parametrize(("cls", "name"), NUMBERS)
@pytest.mark.parametrize(
    "value",
    [True, False, np.True_, "0.5", b"1", (0.5,), (0.5, 0.5), [0.5], {}, 1j, math.nan, math.inf,
     np.array(0.5), 10**400, object],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
def test_what_is_no_number_is_refused_where_one_belongs(cls, name, value):
    if name == "lr" and value is object:
        return  # a class can be called
    with pytest.raises((TypeError, ValueError), match=f"{cls.__name__}: {name}="):
        cls(**{name: value})
    if name != "clipnorm":
        w = leaf([[1.0]])
        with pytest.raises((TypeError, ValueError), match=f"{cls.__name__}: {name}="):
            cls([{"params": w, name: value}])
        SGD(w)  # still free


@pytest.mark.parametrize(("cls", "name"), NUMBERS)
def test_negative_settings_are_refused(cls, name):
    if name == "beta2_decay":
        with pytest.raises(ValueError, match="Adafactor: beta2_decay="):
            cls(**{name: 0.1})
        return
    for value in (-1, -0.5, np.float32(-1), -1e-300):
        with pytest.raises(ValueError, match=f"{cls.__name__}: {name}="):
            cls(**{name: value})


@pytest.mark.parametrize(
    ("cls", "name"), [pair for pair in NUMBERS if pair[1] in ("beta_1", "beta_2", "rho", "epsilon")]
)
def test_a_mean_that_never_learns_and_a_division_by_nothing_are_refused(cls, name):
    values = (0, 0.0) if name == "epsilon" else (1, 1.0, 1.5, np.float32(1))
    for value in values:
        with pytest.raises(ValueError, match=f"{cls.__name__}: {name}="):
            cls(**{name: value})
    assert getattr(cls(**{name: 0.5}), name) == 0.5
    if name != "epsilon":
        assert getattr(cls(**{name: 0}), name) == 0


@pytest.mark.parametrize(("cls", "name"), FLAGS)
@pytest.mark.parametrize("value", [0.5, 2, -1, "yes", None, [True], math.nan], ids=repr)
def test_what_is_neither_true_nor_false_is_refused_where_that_is_asked(cls, name, value):
    with pytest.raises((TypeError, ValueError), match=f"{cls.__name__}: {name}="):
        cls(**{name: value})
    assert getattr(cls(**{name: True}), name) is True


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (SGD, {"nonfinite": "stop"}),
        (SGD, {"nonfinite": None}),
        (SGD, {"nonfinite": True}),
        (SGD, {"nonfinite": []}),
        (Rprop, {"eta_minus": 1.0}),
        (Rprop, {"eta_plus": 1.0}),
        (Rprop, {"eta_plus": 0.5}),
        (Rprop, {"size_min": 5.0, "size_max": 1.0}),
        (Adafactor, {"d": 0.5}),
        (Adafactor, {"beta2_decay": 0.5}),
        (Muon, {"ns_coefficients": 3.0}),
        (Muon, {"ns_coefficients": (1.0, 2.0)}),
        (Muon, {"ns_coefficients": (1.0, 2.0, 3.0, 4.0)}),
        (Muon, {"ns_coefficients": (1.0, 2.0, math.nan)}),
        (Muon, {"ns_coefficients": (1.0, 2.0, "3")}),
        (Muon, {"ns_coefficients": (1.0, 2.0, True)}),
        (Muon, {"ns_coefficients": "abc"}),
        (Muon, {"ns_coefficients": None}),
        (Muon, {"ns_steps": 2.5}),
        (Muon, {"ns_steps": True}),
        (Muon, {"adjust_lr_fn": "match"}),
        (Muon, {"adjust_lr_fn": 3}),
    ],
    ids=str,
)
def test_settings_that_do_not_go_together_or_do_not_exist_are_refused(cls, settings):
    with pytest.raises((TypeError, ValueError), match=f"{cls.__name__}: "):
        cls(**settings)


@pytest.mark.parametrize("count", [3, 3.0, np.int64(3), np.float32(3)], ids=repr)
def test_a_count_may_be_any_whole_number(count):
    w, other = (leaf(drawn((2, 3), 0)) for _ in range(2))
    optimizer, plain = Muon(w, ns_steps=count), Muon(other, ns_steps=3)
    assert optimizer.get_config() == plain.get_config() and type(optimizer.ns_steps) is int
    give([w]), give([other])
    optimizer.step(), plain.step()
    assert numbers_of(optimizer) == numbers_of(plain)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("given", [{}, {"epsilon": 1e-320}], ids=["default", "tiny"])
def test_a_slope_of_0_never_makes_nan_whatever_the_dtype(kind, dtype, given):
    """Either epsilon is refused, or it keeps 0 / 0 out."""
    if given and "epsilon" not in inspect.signature(EVERY[kind][0]).parameters:
        return
    w = leaf([[1.0, 2.0]], dtype)
    try:
        optimizer = made(kind, w, **given)
    except ValueError as error:
        assert "epsilon" in str(error) and (given or dtype == "float16")
        SGD(w)  # still free
        return
    for _ in range(7):
        w.grad = np.zeros((1, 2), dtype)
        optimizer.step()
    assert np.isfinite(w.data).all() and w.dtype == dtype


HINTS = {
    "learning_rate": "lr", "betas": "beta_1 and beta_2", "b1": "beta_1", "b2": "beta_2",
    "eps": "epsilon", "alpha": "rho", "lr_decay": "decay", "momentum_decay": "schedule_decay",
}  # fmt: skip


@each_class
@pytest.mark.parametrize("name", HINTS)
def test_names_of_other_libraries_are_refused_with_the_name_here(cls, name):
    with pytest.raises(TypeError) as caught:
        cls(leaf([[1.0]]), **{name: 0.5})
    text = str(caught.value)
    assert text.startswith(f"{cls.__name__}: there is no argument {name!r}. ")
    assert text.endswith(f" Here it is {HINTS[name]}.")


def test_unknown_arguments_are_refused_by_name_and_weight_decay_sent_to_those_that_have_it():
    with pytest.raises(TypeError, match="SGD: there is no argument 'weight_decay'.*AdamW"):
        SGD(weight_decay=0.1)
    with pytest.raises(TypeError, match="Adam: there is no argument 'speed'.$"):
        Adam(speed=0.1)
    with pytest.raises(TypeError, match=r"a group sets \['eps'\], which it does not have"):
        Adam([{"params": leaf([1.0]), "eps": 1e-8}])
    for options in ({"name": "x"}, {"maximize": True}, {"foreach": None}, {"global_clipnorm": 1}):
        with pytest.raises(TypeError, match=f"there is no argument '{next(iter(options))}'"):
            SGD(**options)


@pytest.mark.parametrize("key", ["clipnorm", "nonfinite", "accumulate"])
def test_what_concerns_the_whole_step_is_no_setting_of_a_group(key):
    value = {"clipnorm": 1.0, "nonfinite": "skip", "accumulate": True}[key]
    for more in ({}, {"nonfinite": "raise", "accumulate": False}):
        with pytest.raises((TypeError, ValueError), match=rf"SGD: .*\b{key}\b"):
            SGD([{"params": leaf([1.0]), key: value}], **more)


# ---------------------------------------------------------------- parameters that are refused


@each_class
@pytest.mark.parametrize(
    "number",
    [0.1, 1, 0, True, np.float64(0.1), np.float32(0.1), np.int64(1), np.array(0.1)],
    ids=repr,
)
def test_a_number_where_parameters_belong_says_to_write_lr(cls, number):
    with pytest.raises(TypeError, match=rf"{cls.__name__}\(.*first argument.* write lr="):
        cls(number)


@pytest.mark.parametrize(
    "params",
    [rate_of, np.ones(2), 1j, "w", b"w", object(), [1.0], [[leaf([1.0])]],
     {"params": 3}, [{"params": None}], [{"params": "w"}], [None]],
    ids=lambda x: repr(x)[:25],
)  # fmt: skip
def test_what_is_no_parameter_is_refused_in_words(params):
    with pytest.raises((TypeError, ValueError), match="optimizer: "):
        SGD(params)


@pytest.mark.parametrize("nothing", [[], (), {}, iter([]), [{"params": []}]], ids=repr)
def test_no_parameters_are_refused(nothing):
    with pytest.raises(ValueError, match="there are no parameters"):
        SGD(nothing)


def test_a_set_of_parameters_has_no_order_and_is_refused():
    with pytest.raises(TypeError, match="set"):
        SGD({leaf([1.0]), leaf([2.0])})
    with pytest.raises(TypeError, match="set"):
        SGD([{"params": {leaf([1.0]), leaf([2.0])}}])


@every
def test_a_parameter_of_another_optimizer_or_group_is_refused_and_nothing_is_taken(kind):
    taken, free = leaf([[1.0]]), leaf([[2.0]])
    owner = made(kind, taken)
    give([taken])
    owner.step()
    before = everything(owner)
    for params in (taken, [free, taken], [{"params": free}, {"params": taken}]):
        with pytest.raises(ValueError, match="already belongs to an optimizer"):
            made(kind, params)
    with pytest.raises(ValueError, match="a parameter is in two groups"):
        made(kind, [{"params": free}, {"params": [free]}])
    assert everything(owner) == before
    SGD(free)


@pytest.mark.parametrize(
    "refused",
    [
        lambda w, b: Muon([{"params": w}, {"params": b}]),
        lambda w, b: Muon([w, b]),
        lambda w, b: Muon([w, tg.Tensor(b.numpy().astype("f8"), requires_grad=True)]),
        lambda w, b: Rprop([w, b], lr=lambda k: -1),
        lambda w, b: Rprop([{"params": w}, {"params": b, "lr": lambda k: "x"}]),
        lambda w, b: Stubborn([{"params": w}, {"params": b}]),
    ],
    ids=["groups", "shapes", "dtypes", "rates", "a group's rate", "of ones own"],
)
def test_a_refused_optimizer_leaves_its_parameters_free_while_the_error_is_looked_at(refused):
    w, b = leaf(np.eye(2)), leaf([1.0, 2.0])
    with pytest.raises((TypeError, ValueError)) as caught:
        refused(w, b)
    other = SGD([w, b], lr=1.0)  # although a notebook keeps the error, and all that it has seen
    assert caught.value is not None
    w.grad, b.grad = np.eye(2), np.ones(2)
    other.step()
    assert w.tolist() == [[0, 0], [0, 0]] and b.tolist() == [0, 1]


class Stubborn(Optimizer):
    """Wants no vectors of two."""

    def __init__(self, params):
        super().__init__(params, 0.1)

    def state(self, theta):
        if theta.size == 2:
            raise ValueError("Stubborn: not two")
        return {}


@every
@pytest.mark.parametrize("what", ["data", "grad"])
def test_a_changed_shape_is_refused_and_nothing_is_written(kind, what):
    first, w = leaf(drawn((2, 2), 0)), leaf(drawn((2, 3), 1), name="w")
    double = leaf(drawn((3, 2), 1), "float64")
    optimizer = made(kind, [{"params": [double, first]}, {"params": w}])
    give([first, w, double])
    optimizer.step()
    give([first, w, double], 1)
    before = numbers_of(optimizer)
    old = getattr(w, what)
    setattr(w, what, np.zeros((3, 2), "float32"))
    with pytest.raises(ValueError, match=rf"{what} of parameter 'w' now has shape \(3, 2\)"):
        optimizer.step()
    setattr(w, what, old)
    assert numbers_of(optimizer) == before and optimizer.iterations == 1
    optimizer.step()
    assert optimizer.iterations == 2


@pytest.mark.parametrize(
    "odd",
    ["x", 1j, None, object(), np.array("2"), np.array(None)],
    ids=lambda x: repr(x)[:12],
)
def test_a_gradient_that_is_no_number_is_refused_or_missing_and_nothing_is_written(odd):
    first, w = leaf([1.0, 2.0]), leaf(3.0)
    optimizer = SGD([first, w], lr=1.0, momentum=0.5)
    first.grad, w.grad = np.ones(2), odd
    before = numbers_of(optimizer)
    if odd is None:
        with pytest.warns(UserWarning, match="no gradient"):
            optimizer.step()
        assert first.tolist() == [0, 1] and w.item() == 3
        return
    with pytest.raises((TypeError, ValueError)):
        optimizer.step()
    assert numbers_of(optimizer) == before and optimizer.iterations == 0


# ---------------------------------------------------------------- gradients that are not finite

ODD = [math.nan, math.inf, -math.inf]


@every
@pytest.mark.parametrize("bad", ODD, ids=str)
@pytest.mark.parametrize("place", [0, 1, 2], ids=["first", "second dtype", "second group"])
def test_a_gradient_that_is_not_finite_changes_not_one_byte(kind, bad, place):
    shapes, types = [(2, 3), (3, 2), (2, 2)], ["float32", "float64", "float32"]
    parameters = [
        leaf(drawn(shape, i), dtype, name=f"w{i}")
        for i, (shape, dtype) in enumerate(zip(shapes, types, strict=True))
    ]
    groups = [{"params": parameters[:2], "lr": Plateau()}, {"params": parameters[2:]}]
    for nonfinite in ("raise", "skip"):
        optimizer = made(kind, groups, nonfinite=nonfinite, clipnorm=1.0)
        give(parameters)
        optimizer.step()
        give(parameters, 1)
        parameters[place].grad[1, 0] = bad
        before = everything(optimizer)
        text = optimizer.explain_step(parameters[0])
        if nonfinite == "raise":
            with pytest.raises(FloatingPointError, match=rf"step: the gradient of w{place} "):
                optimizer.step()
            assert everything(optimizer) == before
        else:
            optimizer.step(), optimizer.step()
            numbers, state, slopes, counts = everything(optimizer)
            assert (numbers, state, slopes) == before[:3] and counts[:2] == (1, 2)
        assert optimizer.explain_step(parameters[0]) == text
        give(parameters, 1)
        optimizer.step()
        assert optimizer.iterations == 2
        del optimizer


def test_a_skipped_step_says_nothing_and_is_counted():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, lr=1.0, nonfinite="skip")
    for k, g in enumerate((1.0, math.nan, 1.0, math.inf, 1.0)):
        w.grad = np.array([g, 1.0], "float32")
        optimizer.step()
        assert optimizer.skipped == (k + 1) // 2
    assert w.tolist() == [-2, -1] and optimizer.iterations == 3


def test_a_skipped_step_leaves_graphs_from_before_it_as_good_as_they_were():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, nonfinite="skip")
    before = (w * w).sum()
    (w * math.nan).sum().backward()
    optimizer.step()
    assert optimizer.skipped == 1
    optimizer.zero_grad()
    before.backward()
    assert w.grad.tolist() == [2, 4]


def test_an_ignored_nan_goes_into_its_own_number_only():
    w, b = leaf([1.0, 2.0]), leaf([3.0])
    optimizer = SGD([w, b], lr=1.0, nonfinite="ignore", clipnorm=10.0)
    w.grad, b.grad = np.array([math.nan, 1.0]), np.ones(1)
    optimizer.step()
    np.testing.assert_array_equal(w.data, [math.nan, 1])
    assert b.item() == 2 and optimizer.iterations == 1


def test_the_error_names_the_parameter_the_place_and_what_to_do():
    w, b = leaf(np.ones((2, 3))), leaf([1.0, 2.0], name="bias")
    optimizer = Adam([w, b])
    give([w, b])
    w.grad[1, 2] = math.nan
    with pytest.raises(FloatingPointError) as caught:
        optimizer.step()
    for part in ("Adam.step", "a parameter (shape (2, 3))", "nan at [1, 2]", "nothing was updated"):
        assert part in str(caught.value)
    w.grad[1, 2], b.grad[1] = 0, -math.inf
    with pytest.raises(FloatingPointError, match=r"bias \(shape \(2,\)\) has -inf at \[1\]"):
        optimizer.step()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_of_several_gradients_too_large_the_largest_is_blamed(place):
    parameters = [leaf([1.0], name=f"w{i}") for i in range(3)]
    for i, p in enumerate(parameters):
        p.grad = np.array([1e30 if i == place else 10.0**i * 1e25])
    with pytest.raises(FloatingPointError, match=rf"the gradient of w{place} .* reaches 1e\+30"):
        Adam(parameters).step()


@pytest.mark.filterwarnings("ignore:.*no gradient")
def test_what_a_missing_gradient_has_left_behind_is_not_blamed():
    p, q = leaf([1.0], name="p"), leaf([1.0], name="q")
    optimizer = Adam([p, q])
    p.grad, q.grad = np.array([math.nan]), np.ones(1)
    with pytest.raises(FloatingPointError, match="gradient of p"):
        optimizer.step()
    optimizer.zero_grad()
    q.grad = np.array([1e25], "float32")
    with pytest.raises(FloatingPointError, match=r"gradient of q .* reaches 1e\+25"):
        optimizer.step()
    q.grad = np.ones(1)
    optimizer.step()
    assert p.item() == 1 and q.item() < 1


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@every
@pytest.mark.parametrize("clip", [{}, {"clipnorm": 1.0}, {"clipvalue": 1.0}], ids=str)
def test_a_gradient_too_large_to_square_is_refused_or_used_but_never_lost(kind, dtype, clip):
    cls, _ = EVERY[kind]
    if dtype == "float16" and "epsilon" in inspect.signature(cls).parameters:
        clip = clip | {"epsilon": 1e-3}
    largest = float(np.finfo(dtype).max) ** 0.75
    w = leaf([[1.0, 2.0], [3.0, 4.0]], dtype, name="w")
    optimizer = made(kind, w, **clip, **({"weight_decay": 0.0} if cls is Muon else {}))
    w.grad = np.array([[1, -1], [-1, -1]], dtype) * np.asarray(largest, dtype)
    before = w.numpy(), numbers_of(optimizer)
    try:
        optimizer.step()
    except FloatingPointError as error:
        assert f"the gradient of w (shape (2, 2)) reaches {float(w.grad[0, 0]):g}" in str(error)
        assert f"too large for this formula in {dtype}" in str(error) and not clip.get("clipnorm")
        assert numbers_of(optimizer) == before[1]
        return
    assert np.isfinite(w.data).all() and (w.data != before[0]).all()
    for name, v in optimizer.state_dict().items():
        assert not isinstance(v, np.ndarray) or np.isfinite(v).all(), name
    w.data = before[0]
    give([w])
    optimizer.step()
    assert (w.data != before[0]).any() and np.isfinite(w.data).all()


@pytest.mark.parametrize("kind", [k for k, (cls, _) in EVERY.items() if cls is not SGD])
def test_skipping_skips_a_gradient_too_large_to_square_where_it_would_be_refused(kind):
    found = []
    for nonfinite in ("raise", "skip"):
        w = leaf([[1.0, 2.0]], name="w")
        optimizer = made(kind, w, nonfinite=nonfinite)
        w.grad = np.full((1, 2), 1e25, "float32")
        try:
            optimizer.step()
            found.append(optimizer.skipped)
        except FloatingPointError:
            found.append(1)
    assert found[0] == found[1]


@pytest.mark.parametrize(("dtype", "size"), [("float16", 100.0), ("float32", 1e19)])
@every
def test_a_slope_whose_squares_fit_but_not_their_sum_or_product_never_freezes(kind, dtype, size):
    cls, _ = EVERY[kind]
    has_epsilon = "epsilon" in inspect.signature(cls).parameters
    w = leaf([[1.0, 2.0]], dtype)
    optimizer = made(kind, w, **({"epsilon": 1e-3} if has_epsilon else {}))
    w.grad = np.full((1, 2), size, dtype)
    for _ in range(12):
        w.data = before = np.array([[1.0, 2.0]], dtype)
        try:
            optimizer.step()
        except FloatingPointError:
            return
        except RuntimeWarning:  # Adagrad's sum: NumPy says that it became too large
            assert kind == "adagrad"
            return
        assert (w.data != before).all() and np.isfinite(w.data).all()


def test_a_clipped_slope_is_exact_where_the_factor_is_too_small_for_the_dtype():
    size = 10_000
    w = leaf(np.zeros(size), "float16")
    optimizer = SGD(w, lr=1.0, clipnorm=1.0)
    w.grad = np.full(size, 60_000, "float16")
    optimizer.step()
    np.testing.assert_allclose(w.data, -0.01, rtol=2e-3)
    b = leaf(np.zeros(4))
    optimizer = SGD(b, lr=1.0, clipnorm=1e-8)
    b.grad = np.full(4, 1e38, "float32")
    optimizer.step()
    np.testing.assert_allclose(b.data, -5e-9, rtol=1e-6)


@pytest.mark.parametrize("kind", ["lamb", "adafactor", "muon"])
def test_float16_parameters_of_ordinary_size_are_not_too_long(kind):
    w = leaf(np.full((30, 30), 10.0), "float16")
    optimizer = made(kind, w, lr=0.01, **({} if kind == "adafactor" else {"epsilon": 1e-3}))
    w.grad = drawn((30, 30), 0, "float16")
    optimizer.step()
    assert np.isfinite(w.data).all() and (w.data != 10).mean() > 0.9


@pytest.mark.filterwarnings("ignore:.*no gradient")
def test_parameters_without_numbers_do_not_disturb_the_search_for_the_largest():
    a, e, b, w = leaf([1.0]), leaf(np.zeros((0, 2))), leaf([1.0]), leaf([1.0])
    double = leaf(np.zeros((0, 3)), "float64")
    optimizer = SGD([a, e, b, w, double], lr=1e-30, clipnorm=1e31)
    e.grad, double.grad, w.grad = np.zeros((0, 2)), np.zeros((0, 3)), np.array([2e30])
    optimizer.step()
    assert w.item() == pytest.approx(-1) and optimizer.iterations == 1


# ---------------------------------------------------------------- steps that fail half-way


class Failing(Nadam):
    """Fails in the middle of its n-th update, as a formula of one's own may, or Ctrl-C."""

    left = math.inf
    error: type[BaseException] = ZeroDivisionError

    def update(self, theta, g, *state):
        noted = super().update(theta, g, *state)
        type(self).left -= 1
        if type(self).left == 0:
            raise type(self).error
        return noted


class FailingByParameters(Failing):
    per_parameter = True


@pytest.mark.parametrize("cls", [Failing, FailingByParameters])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_formula_that_fails_leaves_everything_as_it_was(cls, error, at, monkeypatch):
    a, b, c = leaf(drawn((2, 3), 0)), leaf(drawn((3,), 1), "float64"), leaf(drawn((), 2))
    twins = copy.deepcopy((a, b, c))
    optimizer = cls([{"params": [a, b]}, {"params": c, "lr": 0.5}], lr=0.1)
    other = cls([{"params": twins[:2]}, {"params": twins[2], "lr": 0.5}], lr=0.1)
    for k in range(3):
        give(optimizer.parameters(), k), give(other.parameters(), k)
        if k == 1:
            before, text = everything(optimizer), optimizer.explain_step(b)
            monkeypatch.setattr(cls, "left", at, raising=False)
            monkeypatch.setattr(cls, "error", error)
            with pytest.raises(error):
                optimizer.step()
            monkeypatch.setattr(cls, "left", math.inf)
            assert everything(optimizer) == before
            assert optimizer.explain_step(b) == text, "of the last step that was taken"
        optimizer.step(), other.step()
    assert numbers_of(optimizer) == numbers_of(other)


@pytest.mark.parametrize("kind", ["sgd", "adamw", "lamb", "muon"])
def test_an_overflow_that_is_an_error_leaves_everything_as_it_was(kind):
    w, b = leaf(drawn((2, 2), 0)), leaf(np.full((2, 2), 3e38))
    optimizer = made(kind, [{"params": w}, {"params": b, "lr": 1e38}])
    give([w])
    b.grad = np.full((2, 2), -1, "float32")
    before = everything(optimizer)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        optimizer.step()
    assert everything(optimizer) == before


# ---------------------------------------------------------------- gradients that are missing


def lines_of(caught, text):
    return [(w.filename, w.lineno) for w in caught if text in str(w.message)]


def here():
    return __file__, inspect.currentframe().f_back.f_lineno


@pytest.mark.filterwarnings("ignore:.*no gradient")
@pytest.mark.parametrize("size", [100.0, 1e30], ids=str)
def test_what_a_missing_gradient_has_left_behind_does_not_count_for_the_norm(size):
    a, b, c = leaf([0.0, 0.0]), leaf([0.0]), leaf([0.0], "float64")
    optimizer = SGD([a, b, c], lr=0.0, clipnorm=1.0)
    a.grad, b.grad, c.grad = np.ones(2), np.full(1, size), np.full(1, size)
    optimizer.step()
    optimizer.zero_grad()
    optimizer.lr = 1.0
    a.grad = np.array([3.0, 4.0]) * size
    optimizer.step()
    np.testing.assert_allclose(a.data, [-0.6, -0.8], rtol=1e-6)
    assert b.item() == c.item() == 0


@every
def test_a_missing_gradient_is_said_once_at_the_callers_line_and_all_its_bytes_are_kept(kind):
    a, b = leaf(drawn((2, 2), 0), name="a"), leaf(drawn((3, 2), 1), name="b")
    optimizer = made(kind, [a, b])
    give([a, b])
    optimizer.step()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for k in range(3):
            give([a], k)
            b.grad = None
            before = b.numpy(), {k: v for k, v in optimizer.state_dict().items() if k[0] == "1"}
            optimizer.step(); line = here()  # fmt: skip  # noqa: E702
            after = b.numpy(), {k: v for k, v in optimizer.state_dict().items() if k[0] == "1"}
            assert repr(after) == repr(before)
    assert lines_of(caught, "step: no gradient for b: left as it is") == [line]
    assert len(caught) == 1


def test_minimize_says_a_missing_gradient_at_the_callers_line():
    a, b = leaf([1.0]), leaf([2.0])
    optimizer = SGD([a, b])
    with pytest.warns(UserWarning, match="no gradient") as caught:
        optimizer.minimize(lambda: (a * a).sum()); line = here()  # fmt: skip  # noqa: E702
    assert lines_of(caught, "no gradient") == [line]


def test_a_file_beside_the_library_whose_name_starts_like_it_is_the_caller():
    file = f"{Path(tg.__file__).parent}_demo.py"
    a, b = leaf([1.0]), leaf([2.0])
    optimizer = SGD([a, b])
    give([a])
    with pytest.warns(UserWarning, match="no gradient") as caught:
        exec(compile("\noptimizer.step()", file, "exec"), {"optimizer": optimizer})
    assert lines_of(caught, "no gradient") == [(file, 2)]


def test_a_warning_that_is_an_error_stops_the_step_before_anything_is_written():
    a, b, c = leaf([1.0]), leaf([2.0], "float64"), leaf([3.0])
    optimizer = SGD([{"params": [a, b]}, {"params": c}], lr=1.0, momentum=0.5)
    give([a, b])
    before = everything(optimizer)
    with pytest.raises(UserWarning, match="no gradient"):
        optimizer.step()
    assert everything(optimizer) == before


def test_no_gradient_anywhere_takes_a_step_that_moves_nothing():
    w = leaf([1.0])
    optimizer = Adam(w)
    with pytest.warns(UserWarning, match="no gradient"):
        optimizer.step()
    assert w.item() == 1


# ---------------------------------------------------------------- gradients that pile up

FORGOTTEN = "the gradients of the step before were still there"


def loss_of(*parameters):
    return sum(((p * p).sum() for p in parameters), start=tg.Tensor(0.0))


def stepped(*parameters, cls=SGD, **settings):
    """An optimizer after a whole first step; the gradients are still there."""
    optimizer = cls(list(parameters), lr=0.01, **settings)
    loss_of(*parameters).backward()
    optimizer.step()
    return optimizer


def warned(act):
    """The lines at which a forgotten zero_grad was warned about; nothing else may be said."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    lines = lines_of(caught, FORGOTTEN)
    assert len(lines) == len(caught)
    assert all("Call optimizer.zero_grad() before" in str(w.message) for w in caught)
    return lines


def test_a_forgotten_zero_grad_is_warned_about_once_at_the_line_of_the_step():
    w = leaf([1.0, 2.0])
    optimizer, lines = stepped(w), []

    def act():
        for _ in range(3):
            loss_of(w).backward()
            optimizer.step(); lines.append(here())  # fmt: skip  # noqa: E702

    assert warned(act) == lines[:1]


PARAMETERS = {
    "a vector": lambda: [leaf([1.0, 2.0])],
    "a number": lambda: [leaf(1.0)],
    "a double": lambda: [leaf([1.0], "float64")],
    "a half": lambda: [leaf([1.0], "float16")],
    "a tied one": lambda: [w := leaf([1.0]), w],
    "two dtypes": lambda: [leaf([1.0]), leaf([1.0], "float64")],
}


@pytest.mark.parametrize("make", PARAMETERS.values(), ids=PARAMETERS)
@pytest.mark.parametrize("copied", ["itself", "deepcopy", "pickle"])
@pytest.mark.parametrize("clear", [True, False], ids=["cleared", "forgotten"])
def test_forgotten_gradients_are_noticed_whatever_the_parameter(make, copied, clear):
    parameters = make()
    pair = stepped(*dict.fromkeys(parameters)), parameters
    if copied == "deepcopy":
        pair = copy.deepcopy(pair)
    if copied == "pickle":
        pair = pickle.loads(pickle.dumps(pair))
    optimizer, parameters = pair

    def act():
        for _ in range(2):
            if clear:
                optimizer.zero_grad()
            loss_of(*parameters).backward()
            optimizer.step()

    assert len(warned(act)) == (0 if clear else 1)


@every
def test_forgotten_gradients_are_noticed_by_every_optimizer(kind):
    a, b = leaf(drawn((2, 2), 0)), leaf(drawn((2, 2), 1))
    optimizer = made(kind, [{"params": a}, {"params": b, "lr": 0.2}])

    def act():
        for _ in range(2):
            loss_of(a, b).backward()
            optimizer.step()

    assert len(warned(act)) == 1


@pytest.mark.parametrize("forgotten", [0, 1])
@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "float64")])
def test_it_is_enough_that_some_gradients_were_forgotten(forgotten, dtypes):
    parameters = [leaf([1.0], dtype) for dtype in dtypes]
    optimizer = stepped(*parameters)

    def act():
        parameters[1 - forgotten].zero_grad()
        loss_of(*parameters).backward()
        optimizer.step()

    assert len(warned(act)) == 1


def test_what_was_forgotten_is_noticed_also_if_its_loss_comes_second():
    a, b = leaf([1.0]), leaf([2.0])
    optimizer = stepped(a, b)

    def act():
        a.zero_grad()
        loss_of(a).backward()
        loss_of(b).backward()
        optimizer.step()

    assert len(warned(act)) == 1


def test_a_forgotten_gradient_is_noticed_through_a_clipping_and_a_second_backward():
    w = leaf([1.0, 2.0])
    optimizer = stepped(w)

    def act():
        loss_of(w).backward()
        loss_of(w).backward()
        clip_grad_norm([w], 0.1)
        optimizer.step()

    assert len(warned(act)) == 1


def test_a_first_step_that_was_skipped_does_not_hide_what_was_forgotten():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, lr=0.01, nonfinite="skip")

    def act():
        for factor in (math.nan, 1.0, 1.0):
            (w * w * factor).sum().backward()
            optimizer.step()

    assert len(warned(act)) == 1 and optimizer.skipped == 3


CLEARING = {
    "the optimizer": lambda optimizer, model: optimizer.zero_grad(),
    "the model": lambda optimizer, model: model.zero_grad(),
    "the tensors": lambda optimizer, model: [p.zero_grad() for p in model.parameters()],
    "None": lambda optimizer, model: [setattr(p, "grad", None) for p in model.parameters()],
    "zeros": lambda optimizer, model: [
        setattr(p, "grad", np.zeros_like(p.data)) for p in model.parameters()
    ],
    "zeros in place": lambda optimizer, model: [p.grad.fill(0) for p in model.parameters()],
}


@pytest.mark.parametrize("clear", CLEARING.values(), ids=CLEARING)
@pytest.mark.parametrize("first", [True, False], ids=["before backward", "after the step"])
def test_gradients_may_be_cleared_in_any_way(clear, first):
    model = tg.layers.MLP(2, 3, 1, rng=0)
    optimizer = Adam(model)
    x = drawn((4, 2), 0)

    def act():
        (model(x) ** 2).sum().backward()
        optimizer.step()
        for _ in range(3):
            if first:
                clear(optimizer, model)
            (model(x) ** 2).sum().backward()
            optimizer.step()
            if not first:
                clear(optimizer, model)

    if first:
        assert warned(act) == []
    else:
        assert len(warned(act)) == 1  # the very first was not cleared


def test_several_backward_calls_before_a_step_are_no_mistake():
    w, b = leaf([1.0, 2.0]), leaf(1.0, "float64")
    optimizer = stepped(w, b)

    def act():
        for _ in range(2):
            optimizer.zero_grad()
            for _ in range(1100):
                loss_of(w).backward()
            loss_of(w, b).backward()
            loss = loss_of(b)
            loss.backward(), loss.backward()
            optimizer.step()

    assert warned(act) == []


def halve_in_place(w):
    with tg.no_grad():
        w *= 0.5


CHANGES = {
    "assigned": lambda w: setattr(w, "data", w.numpy() / 2),
    "in place": halve_in_place,
    "in its array": lambda w: np.multiply(w.data, 0.5, out=w.data),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_may_change_between_two_backward_calls_before_a_step(change):
    w = leaf([1.0, 2.0])
    optimizer = stepped(w)

    def act():
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(w).backward()
            change(w)
            loss_of(w).backward()
            optimizer.step()

    assert warned(act) == []


def test_a_gradient_given_by_hand_as_a_tensor_is_no_mistake():
    w = leaf([1.0, 2.0])
    optimizer = stepped(w)

    def act():
        for _ in range(2):
            w.grad = tg.Tensor([1.0, 1.0])
            loss_of(w).backward()
            optimizer.step()

    assert warned(act) == []


def test_gradients_given_by_hand_are_no_mistake():
    w = leaf([1.0, 2.0])
    optimizer = stepped(w)

    def act():
        for k in range(3):
            w.grad = np.array([k, 1.0])
            optimizer.step()
        w.grad = np.array([1.0, 1.0])
        loss_of(w).backward()  # on top of what was given
        optimizer.step()
        w.grad = w.grad * 0.5
        optimizer.step()
        optimizer.step()  # twice the same is somebody's will

    assert warned(act) == []


def test_gradients_from_before_the_optimizer_are_no_mistake():
    w = leaf([1.0, 2.0])
    loss_of(w).backward()
    optimizer = SGD(w, lr=0.1)

    def act():
        loss_of(w).backward()
        optimizer.step()

    assert warned(act) == []
    assert w.tolist() == pytest.approx([0.6, 1.2])


@pytest.mark.parametrize("clear_first", [True, False])
def test_a_gan_may_add_to_gradients_that_are_cleared_before_their_step(clear_first):
    maker, judge = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    makers, judges = SGD(maker, lr=0.01), SGD(judge, lr=0.01)

    def act():
        for _ in range(4):
            judges.zero_grad()
            (judge * judge + judge * maker.detach()).sum().backward()
            judges.step()
            if clear_first:
                makers.zero_grad()
            (maker * judge).sum().backward()  # also into the judge's gradient
            makers.step()
            makers.zero_grad()

    assert warned(act) == []


def test_a_gan_that_forgets_to_clear_is_told():
    maker, judge = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    makers, judges = SGD(maker, lr=0.01), SGD(judge, lr=0.01)

    def act():
        for _ in range(2):
            makers.zero_grad()
            (judge * judge).sum().backward()
            judges.step()
            (maker * judge).sum().backward()
            makers.step()

    assert len(warned(act)) == 1


def test_gradients_that_are_looked_at_between_steps_are_no_mistake():
    w = leaf([1.0, 2.0])
    optimizer = stepped(w)

    def act():
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(w).backward()
            optimizer.step()
            loss_of(w).backward()  # for a picture
            assert np.isfinite(w.grad).all()

    assert warned(act) == []


def test_an_optimizer_that_accumulates_says_nothing_and_adds_up():
    w = leaf([0.0])
    optimizer = SGD(w, lr=1.0, accumulate=True)

    def act():
        for _ in range(3):
            (w * 0 + w).sum().backward()
            optimizer.step()

    assert warned(act) == [] and w.item() == -6


def test_what_piles_up_without_a_word_would_be_the_sum():
    w = leaf([0.0])
    optimizer = SGD(w, lr=1.0)
    with pytest.warns(UserWarning, match=FORGOTTEN):
        for _ in range(2):
            w.sum().backward()
            optimizer.step()
    assert w.item() == -3 and w.grad.tolist() == [2]


def test_a_new_optimizer_does_not_inherit_the_steps_of_the_old():
    w = leaf([1.0])
    optimizer = stepped(w)
    optimizer.zero_grad()
    del optimizer
    loss_of(w).backward()
    other = SGD(w, lr=0.1)

    def act():
        loss_of(w).backward()
        other.step()

    assert warned(act) == []


# ---------------------------------------------------------------- memory


class Collected:
    """Nothing is freed by the cyclic collector; whatever is left for it is an error."""

    def __enter__(self):
        gc.collect()
        gc.disable()

    def __exit__(self, error, *rest):
        left = gc.collect()
        gc.enable()
        assert error or left == 0


@every
def test_a_deleted_optimizer_frees_its_parameters_at_once(kind):
    a, b = leaf(drawn((2, 3), 0)), leaf(drawn((3, 2), 1), "float64")
    with Collected():
        optimizer = made(kind, [{"params": a}, {"params": b, "lr": rate_of}], clipnorm=1.0)
        optimizer.minimize(lambda: loss_of(a) + loss_of(b).sum())
        optimizer.formula(), optimizer.explain_step(a), optimizer.state_dict()
        optimizer.load_state_dict(optimizer.state_dict())
        copy.deepcopy(optimizer)
        watched = weakref.ref(optimizer)
        del optimizer
        assert watched() is None
        other = SGD([a, b])
        del other


def provoke(optimizer, w):
    """Errors and warnings of all kinds."""
    w.grad = np.full(w.shape, np.nan)
    with pytest.raises(FloatingPointError):
        optimizer.step()
    w.grad = np.zeros(w.size + 1)
    with pytest.raises(ValueError, match="now has shape"):
        optimizer.step()
    w.grad = None
    with pytest.warns(UserWarning, match="no gradient"):
        optimizer.step()
    with pytest.raises(ValueError, match="nothing was loaded"):
        optimizer.load_state_dict({})
    with pytest.raises(ValueError, match="already belongs"):
        type(optimizer)(w)
    with pytest.raises(RuntimeError, match="it had no gradient"):
        optimizer.explain_step(w)


def test_errors_and_warnings_keep_nothing_alive():
    w = leaf(drawn((2, 3), 0))
    optimizer = Adam(w)
    optimizer.minimize(lambda: loss_of(w))
    provoke(optimizer, w)
    gc.collect()
    gc.disable()
    try:
        del optimizer
        SGD(w)
    finally:
        gc.enable()


@every
def test_1000_steps_leave_no_garbage(kind):
    w, b = leaf(drawn((2, 2), 0)), leaf(drawn((2, 1), 1), "float64")
    groups = [{"params": w, "lr": 1e-4}, {"params": b, "lr": rate_of}]
    optimizer = made(kind, groups, clipnorm=1.0)
    give([w, b])
    optimizer.step()
    with Collected():
        for _ in range(1000):
            optimizer.step()
        objects = len(gc.get_objects())
        for _ in range(100):
            optimizer.step()
        assert len(gc.get_objects()) <= objects + 5


def train_a_while(model, optimizer):
    x = drawn((4, 3), 0)
    for _ in range(50):
        optimizer.minimize(lambda: (model(x) ** 2).mean())
        optimizer.explain_step(model.parameters()[0])


def test_a_training_leaves_no_garbage_and_frees_model_and_optimizer_at_once():
    with Collected():
        model = tg.layers.MLP(3, 4, 2, rng=0)
        optimizer = Adam(model)
        train_a_while(model, optimizer)
        watched = [weakref.ref(thing) for thing in (model, optimizer, *model.parameters())]
        del model, optimizer
        assert [ref() for ref in watched] == [None] * len(watched)


# ---------------------------------------------------------------- copies


def copies_of(thing):
    return copy.deepcopy(thing), pickle.loads(pickle.dumps(thing))


@every
def test_copies_of_a_model_and_its_optimizer_stay_tied_and_go_their_own_way(kind):
    first, second = (tg.layers.Linear(3, 3, bias=False, rng=k) for k in range(2))
    second.weight.data = second.weight.data.astype("float64")
    model, x = tg.Sequential(first, second), drawn((4, 3), 0)
    groups = [{"params": first, "lr": ReduceOnPlateau(0.2)}, {"params": second}]
    optimizer = made(kind, groups, lr=rate_of, clipnorm=1.0)

    def train(model, optimizer):
        for _ in range(3):
            optimizer.minimize(lambda: (model(x) ** 2).mean())

    train(model, optimizer)
    twins, before = copies_of((model, optimizer)), everything(optimizer)
    for twin, other in twins:
        pairs = zip(twin.parameters(), other.parameters(), model.parameters(), strict=True)
        assert all(mine is its and mine is not old for mine, its, old in pairs)
        assert numbers_of(other) == before[:2]
        train(twin, other)
        other.groups[0].settings["lr"].observe(1.0)
        assert everything(optimizer) == before
    train(model, optimizer)
    for _, other in twins:
        assert numbers_of(other)[0] == numbers_of(optimizer)[0]
        assert numbers_of(other)[1] != numbers_of(optimizer)[1], "its schedule has observed"


@every
def test_a_copy_of_an_unbound_optimizer_can_be_bound(kind):
    for other in copies_of(made(kind, None)):
        w = leaf([[1.0, 2.0]])
        other.bind(w)
        give([w])
        other.step()
        assert other.iterations == 1


def test_a_copy_has_the_counts_and_the_settings_and_no_gradients():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, lr=0.5, nonfinite="skip", momentum=0.5)
    for g in (1.0, math.nan, 1.0):
        w.grad = np.array([g, 1.0])
        optimizer.step()
    for other in copies_of(optimizer):
        assert (other.iterations, other.skipped, repr(other)) == (2, 1, repr(optimizer))
        assert [p.grad for p in other.parameters()] == [None]


def test_the_same_run_gives_the_same_bits_in_every_process():
    program = (
        "import numpy as np, tinygrad_edu as tg; from tinygrad_edu.optimizers import Adam;"
        "m = tg.layers.MLP(3, 4, 2, rng=0); o = Adam(m, clipnorm=0.1);"
        "[o.minimize(lambda: (m(np.ones((2, 3), 'f4')) ** 2).mean()) for _ in range(3)];"
        "print([p.data.tobytes().hex() for p in o.parameters()], list(o.state_dict()))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, check=True, text=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


# ---------------------------------------------------------------- frozen, added, removed


@every
def test_a_frozen_parameter_keeps_its_bytes_also_with_a_gradient_left_over(kind):
    a, b = leaf(drawn((2, 2), 0)), leaf(drawn((2, 2), 1))
    optimizer = made(kind, [a, b])
    loss_of(a, b).backward()
    optimizer.step()
    loss = loss_of(a, b)
    optimizer.zero_grad()
    del loss
    loss_of(a, b).backward()
    b.requires_grad = False
    before = b.numpy(), {k: v for k, v in optimizer.state_dict().items() if k[0] == "1"}
    moved = a.numpy()
    optimizer.step()
    after = b.numpy(), {k: v for k, v in optimizer.state_dict().items() if k[0] == "1"}
    assert repr(after) == repr(before) and (a.data != moved).any()
    b.requires_grad = True
    optimizer.minimize(lambda: loss_of(a, b))
    assert (b.data != before[0]).any()


def test_a_layer_that_is_frozen_before_may_be_part_of_the_model_and_be_thawed():
    model = tg.Sequential(tg.layers.Linear(2, 2, rng=0), tg.layers.Linear(2, 1, rng=1))
    model[0].freeze()
    optimizer = AdamW(model, lr=0.1, weight_decay=0.5)
    assert optimizer.parameters() == model.parameters()
    before = model[0].weight.numpy()
    x = drawn((4, 2), 0)
    for _ in range(3):
        optimizer.minimize(lambda: model(x).sum())
    np.testing.assert_array_equal(model[0].weight.data, before)
    model[0].unfreeze()
    optimizer.minimize(lambda: model(x).sum())
    assert (model[0].weight.data != before).all()


def test_what_is_added_to_a_model_later_belongs_to_nobody_yet():
    model = tg.Sequential(tg.layers.Linear(2, 2, rng=0))
    optimizer = SGD(model, lr=0.1)
    new = tg.layers.Linear(2, 1, rng=1)
    before = new.weight.numpy()
    optimizer.minimize(lambda: new(model(np.ones((1, 2), "float32"))).sum())
    np.testing.assert_array_equal(new.weight.data, before)
    assert len(optimizer.parameters()) == 2
    second = SGD(new, lr=0.1)
    second.step()
    assert (new.weight.data != before).any()


def test_what_is_taken_out_of_a_model_is_missed_once():
    first, second = tg.layers.Linear(2, 1, rng=0), tg.layers.Linear(2, 1, rng=1)
    optimizer = SGD([*first.parameters(), *second.parameters()], lr=0.1)
    x = np.ones((1, 2), "float32")
    optimizer.minimize(lambda: (first(x) + second(x)).sum())
    before = second.weight.numpy()
    with pytest.warns(UserWarning, match="no gradient for ") as caught:
        optimizer.minimize(lambda: first(x).sum())
        optimizer.minimize(lambda: first(x).sum())
    assert len(caught) == 1
    np.testing.assert_array_equal(second.weight.data, before)


@each_class
def test_every_optimizer_is_found_by_its_name(cls):
    found = optimizers.get(cls.__name__.lower())
    assert type(found) is cls and found.get_config() == cls().get_config()
