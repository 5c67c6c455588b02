"""The watch: pitfalls are said, their healthy neighbours are not, and nobody notices it."""

from __future__ import annotations

import contextlib
import copy
import gc
import linecache
import pickle
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.layers import (
    GELU,
    LSTM,
    MLP,
    RNN,
    BatchNorm,
    Conv2d,
    Dropout,
    Embedding,
    Flatten,
    Lambda,
    Layer,
    LayerNorm,
    Linear,
    MaxPool2d,
    MultiHeadAttention,
    ReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
)
from tinygrad_edu.losses import cross_entropy, mean_squared_error
from tinygrad_edu.optimizers import LBFGS, SGD, Adam, Optimizer
from tinygrad_edu.watching import PitfallWarning, listening, watcher

(X, Y), _ = tg.data.digits()
TEXT = np.frombuffer(b"the cat sat on the mat, and the dog sat on the log. " * 40, np.uint8) % 64
METHODS = [
    (Layer, "__call__"),
    (Tensor := tg.Tensor, "backward"),
    (Optimizer, "step"),
    (LBFGS, "step"),
]
HEARD = [vars(owner)[name] for owner, name in METHODS]

Loss = Callable[[Any, Any], Any]


def batches(steps: int, size: int = 32) -> Iterator[tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    for _ in range(steps):
        rows = rng.integers(0, len(X), size)
        yield X[rows], Y[rows]


def train(model: Layer, optimizer: Any, steps: int = 25, scale: float = 1.0) -> None:
    for x, y in batches(steps):
        optimizer.zero_grad()
        loss = cross_entropy(model(x * np.float32(scale)), y)
        loss.backward()
        optimizer.step()


def found(run: Callable[[], None], model: Layer, optimizer: Any = None) -> list[Any]:
    """What is found while it runs; as many warnings, with the same text, are given."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with tg.watch(model, optimizer) as w:
            run()
    said = [one for one in said if one.category is PitfallWarning]
    assert [str(one.message) for one in said] == [str(finding) for finding in w.findings]
    for one, finding in zip(said, w.findings, strict=True):
        assert (one.filename, one.lineno) == finding.line[:2]
        assert one.filename == __file__
    assert len({(f.name, f.part) for f in w.findings}) == len(w.findings)
    return w.findings


def names(run: Callable[[], None], model: Layer, optimizer: Any = None) -> list[str]:
    return [finding.name for finding in found(run, model, optimizer)]


@pytest.fixture(autouse=True)
def everything_is_put_back() -> Iterator[None]:
    yield
    assert [vars(owner)[name] for owner, name in METHODS] == HEARD


# ---------------------------------------------------------------- no gradient


class Branches(Layer):
    """Two ways side by side, one of which may be lost."""

    def __init__(self, second: Callable[[Any, Any], Any]) -> None:
        rng = np.random.default_rng(0)
        self.one, self.two = Linear(64, 10, rng=rng), Linear(64, 10, rng=rng)
        self.second = second

    def forward(self, x: Any) -> Any:
        return self.one(x) + self.second(self.two, x)


def quietly(layer: Any, x: Any) -> Any:
    with tg.no_grad():
        return layer(x)


@pytest.mark.filterwarnings("ignore:SGD.step. no gradient:UserWarning")
@pytest.mark.parametrize("steps", [1, 3, 30])
@pytest.mark.parametrize(
    ("second", "why"),
    [
        (lambda layer, x: layer(x).detach(), "detach()"),
        (lambda layer, x: layer(x).numpy(), "detach()"),
        (lambda layer, x: 0, "never called"),
        (quietly, "only called under no_grad()"),
    ],
)
def test_parameters_without_a_gradient(second: Any, why: str, steps: int) -> None:
    model = Branches(second)
    optimizer = SGD(model, lr=0.1)
    (finding,) = found(lambda: train(model, optimizer, steps), model)
    assert finding.name == "no gradient"
    assert finding.part == "2 parameters (two.weight, two.bias)"
    assert why in finding.reason + finding.remedy
    assert f"in {min(steps, 10)} backward" in finding.reason
    assert finding.line.function == "train"


def test_a_model_that_is_cut_off_altogether() -> None:
    body, head = Linear(64, 16, rng=0), Linear(16, 10, rng=0)

    def run() -> None:
        optimizer = SGD(head)
        for x, y in batches(12):
            features = body(x).detach()
            optimizer.minimize(lambda z=features, y=y: cross_entropy(head(z), y))

    (finding,) = found(run, body)
    assert (finding.name, finding.part) == ("no gradient", "2 parameters (weight, bias)")


def test_parameters_that_get_a_gradient_now_and_then() -> None:
    """A branch taken by every other batch is no mistake, nor is one that is frozen."""
    turns = iter(range(1000))
    model = Branches(lambda layer, x: layer(x) if next(turns) % 2 else 0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="SGD.step: no gradient")
        assert not names(lambda: train(model, SGD(model, lr=0.1)), model)
    frozen = Branches(lambda layer, x: 0)
    frozen.two.freeze()
    assert not names(lambda: train(frozen, SGD(frozen, lr=0.1)), frozen)


# ---------------------------------------------------------------- no optimizer


@pytest.mark.parametrize("steps", [1, 30])
def test_parameters_in_no_optimizer(steps: int) -> None:
    model = MLP(64, 32, 10, rng=0)
    optimizer = Adam(model[2])
    (finding,) = found(lambda: train(model, optimizer, steps), model)
    assert finding.name == "no optimizer"
    assert finding.part == "2 parameters (layers.0.weight, layers.0.bias)"
    assert "Adam(model)" in finding.remedy


def test_two_optimizers_that_share_a_model() -> None:
    model = MLP(64, 32, 10, rng=0)
    one, two = Adam(model[0]), SGD(model[2], lr=0.1)

    def both() -> None:
        for x, y in batches(25):
            model.zero_grad()
            cross_entropy(model(x), y).backward()
            one.step()
            two.step()

    assert not names(both, model)
    assert names(both, model, one) == []  # what the other one moves does move
    (finding,) = found(lambda: train(model, two, 3), model, one)
    assert "the Adam took no step after 3 backwards" in finding.reason
    two = None  # it lets go of its parameters
    gc.collect()
    (finding,) = found(lambda: train(model, one), model)
    assert finding.part == "2 parameters (layers.2.weight, layers.2.bias)"


def test_an_optimizer_with_a_step_of_its_own_is_heard() -> None:
    model = MLP(64, 32, 10, rng=0)
    optimizer = LBFGS(model[2], max_iter=3)

    def run() -> None:
        optimizer.minimize(lambda: cross_entropy(model(X[:50]), Y[:50]))

    (finding,) = found(run, model)
    assert finding.part == "2 parameters (layers.0.weight, layers.0.bias)"


def test_parameters_whose_steps_were_all_skipped_have_an_optimizer() -> None:
    model = MLP(64, 10, rng=0)
    optimizer = SGD(model, nonfinite="skip")
    assert not names(lambda: train(model, optimizer, 3, scale=float("nan")), model)
    assert optimizer.skipped == 3


def test_parameters_moved_by_hand_are_in_no_optimizer_and_need_none() -> None:
    model = MLP(64, 32, 10, rng=0)

    def by_hand() -> None:
        for x, y in batches(25):
            model.zero_grad()
            cross_entropy(model(x), y).backward()
            with tg.no_grad():
                for p in model.parameters():
                    p -= 0.1 * p.grad

    assert not names(by_hand, model)


def test_an_optimizer_that_takes_no_step() -> None:
    model = MLP(64, 32, 10, rng=0)
    optimizer = SGD(model)

    def look() -> None:
        for x, y in batches(2):
            cross_entropy(model(x), y).backward()

    assert not names(look, model)  # gradients may be all that is wanted
    (finding,) = found(look, model, optimizer)
    assert finding.name == "no optimizer" and "took no step after 2 backwards." in finding.reason


# ---------------------------------------------------------------- dead ReLUs


class Functional(Layer):
    """`tg.relu` inside a forward: no layer of its own."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.hidden, self.out = Linear(64, 40, rng=rng), Linear(40, 10, rng=rng)

    def forward(self, x: Any) -> Any:
        return self.out(tg.relu(self.hidden(x)))


def kill(bias: Any, units: int) -> None:
    bias.data[:units] = -100


@pytest.mark.parametrize(
    ("make", "bias", "title"),
    [
        (
            lambda: MLP(64, 40, 10, rng=0),
            "layers.0.bias",
            "layers.1 (ReLU), fed by layers.0.weight",
        ),
        (Functional, "hidden.bias", "the model (Functional), fed by hidden.weight"),
        (
            lambda: Sequential(Linear(64, 40, rng=0), tg.relu, Linear(40, 10, rng=0)),
            "layers.0.bias",
            "the model (Sequential), fed by layers.0.weight",
        ),
        (
            lambda: Sequential(
                *(Reshape(1, 8, 8), Conv2d(1, 40, 3, rng=0), ReLU(), MaxPool2d(2), Flatten()),
                Linear(360, 10, rng=0),
            ),
            "layers.1.bias",
            "layers.2 (ReLU), fed by layers.1.weight",
        ),
        (
            lambda: Sequential(
                *(Reshape(1, 8, 8), Conv2d(1, 40, 3, rng=0), BatchNorm(40), ReLU()),
                *(MaxPool2d(2), Flatten(), Linear(360, 10, rng=0)),
            ),
            "layers.2.shift",
            "layers.3 (ReLU), fed by layers.1.weight",
        ),
        (
            lambda: Sequential(
                *(Reshape(8, 8), RNN(8, 40, "last", activation="relu", rng=0)),
                Linear(40, 10, rng=0),
            ),
            "layers.1.bias",
            "layers.1 (RNN), fed by ",
        ),
    ],
)
def test_dead_units(make: Callable[[], Layer], bias: str, title: str) -> None:
    for units in (0, 20, 26, 40):
        model = make()
        kill(dict(model.named_parameters())[bias], units)
        said = [f for f in found(lambda m=model: train(m, SGD(m)), model) if f.name == "dead ReLUs"]
        assert len(said) == (units >= 26), units
        for finding in said:
            assert finding.part.startswith(title)
            assert f"{units} of 40 units were 0 for every one of 320 examples" in finding.reason


def test_units_that_die_later_are_seen() -> None:
    model = MLP(64, 40, 10, rng=0)

    def run() -> None:
        train(model, optimizer, 15)
        kill(model[0].bias, 40)
        train(model, optimizer, 15)

    optimizer = SGD(model)
    assert "dead ReLUs" in names(run, model)


def test_one_relu_object_in_two_places_is_two() -> None:
    relu = ReLU()
    rng = np.random.default_rng(0)
    first, second = Linear(64, 40, rng=rng), Linear(40, 40, rng=rng)
    model = Sequential(first, relu, second, relu, Linear(40, 10, rng=rng))
    kill(second.bias, 40)
    dead = [f for f in found(lambda: train(model, SGD(model)), model) if f.name == "dead ReLUs"]
    assert [f.part for f in dead] == ["layers.1 (ReLU), fed by layers.2.weight"]


class Cell(Layer):
    """A recurrent cell: its units rest in the last steps of time and are not dead."""

    def __init__(self) -> None:
        self.inner, self.out = Linear(8, 12, rng=0), Linear(12, 10, rng=0)

    def forward(self, x: Any) -> Any:
        rows = x.reshape(-1, 8, 8)
        h = sum(tg.relu(self.inner(rows[:, t] - (5.0 if t > 4 else 0.0))) for t in range(8))
        return self.out(h)


def test_a_cell_used_at_several_times_is_one() -> None:
    model = Cell()
    model.inner.weight.data = np.abs(model.inner.weight.data)
    assert "dead ReLUs" not in names(lambda: train(model, SGD(model)), model)


def test_units_for_rare_things_are_not_dead() -> None:
    """Each unit waits for one of 64 words, and two come at a time."""
    model = Sequential(Linear(64, 64, weight_init="identity", rng=0), ReLU(), Linear(64, 10, rng=0))
    words = np.random.default_rng(0).integers(0, 64, (400, 2))

    def run() -> None:
        optimizer = SGD(model)
        for two in words:
            x = np.eye(64, dtype="f4")[two]
            optimizer.minimize(lambda x=x, two=two: cross_entropy(model(x), two % 10))

    assert not names(run, model)


def test_a_few_batches_are_no_evidence() -> None:
    model = MLP(64, 40, 10, rng=0)
    kill(model[0].bias, 40)
    assert "dead ReLUs" not in names(lambda: train(model, SGD(model), steps=9), model)


# ---------------------------------------------------------------- gradients


def deep(activation: Any, init: Any, layers: int) -> Sequential:
    rng = np.random.default_rng(0)
    stack = [
        one
        for _ in range(layers)
        for one in (Linear(64, 64, weight_init=init, rng=rng), activation())
    ]
    return Sequential(*stack, Linear(64, 10, rng=rng))


def wide(sd: float) -> Callable[..., Any]:
    rng = np.random.default_rng(0)
    return lambda shape, **_: rng.normal(0, sd, shape)


def test_vanishing_gradients() -> None:
    model = deep(Sigmoid, "glorot_uniform", 8)
    (finding,) = found(lambda: train(model, Adam(model)), model)
    assert (finding.name, finding.part) == ("gradient sizes", "layers.0.weight, vanishing")
    assert "times that of layers.16.weight" in finding.reason
    share = float(finding.reason.split(" times")[0].split()[-1])
    fresh = deep(Sigmoid, "glorot_uniform", 8)
    optimizer, lengths = Adam(fresh), []
    for x, y in batches(10):
        optimizer.minimize(lambda x=x, y=y: cross_entropy(fresh(x), y))
        lengths.append([np.linalg.norm(fresh[i].weight.grad) for i in (0, 16)])
    first, last = np.median(lengths, axis=0)
    assert share == pytest.approx(first / last, rel=0.05)
    assert "layers.0.weight" in finding.reason and "..." in finding.reason
    assert "ReLU" in finding.remedy and finding.line.function == "train"


@pytest.mark.parametrize(
    ("activation", "sd", "lr"), [(ReLU, 1.0, 1e-30), (Tanh, 2.0, 1e-30)], ids=["relu", "tanh"]
)
def test_exploding_gradients(activation: Any, sd: float, lr: float) -> None:
    """With ReLUs all layers' explode alike; with others the first layers' most."""
    model = deep(activation, wide(sd), 10)
    (finding,) = [
        f
        for f in found(lambda: train(model, SGD(model, lr=lr)), model)
        if f.name == "gradient sizes"
    ]
    assert finding.part.endswith("exploding") and "clipnorm" in finding.remedy


@pytest.mark.parametrize("optimizer", [Adam, SGD])
@pytest.mark.parametrize(
    ("activation", "init"), [(Tanh, "glorot_uniform"), (ReLU, "he_normal"), (GELU, "he_normal")]
)
def test_deep_networks_that_are_well(activation: Any, init: str, optimizer: Any) -> None:
    model = deep(activation, init, 12)
    assert not names(lambda: train(model, optimizer(model), 40), model)


# ---------------------------------------------------------------- steps


@pytest.mark.parametrize(
    ("optimizer", "lr", "what"),
    [(Adam, 0.3, "large"), (SGD, 10.0, "large"), (Adam, 1e-7, "small"), (SGD, 1e-6, "small")],
)
def test_rates_that_are_far_off(optimizer: Any, lr: float, what: str) -> None:
    model = MLP(64, 32, 10, activation="tanh", rng=0)
    said = found(lambda: train(model, optimizer(model, lr=lr)), model)
    (finding,) = (f for f in said if f.name == "update sizes")
    assert f"lr is too {what}" in finding.reason and f"With lr={lr:g}, about lr=" in finding.remedy
    advised = float(finding.remedy.split("about lr=")[1].split()[0])
    ratio = float(finding.reason.split(" of the weights")[0].split()[-1])
    assert advised == pytest.approx(lr * 1e-3 / ratio, rel=0.15)
    fresh = MLP(64, 32, 10, activation="tanh", rng=0)
    assert not names(lambda: train(fresh, optimizer(fresh, lr=advised)), fresh)


def test_ratio_is_that_of_the_step() -> None:
    """SGD on a loss of gradient 2: each step moves the weights by 2 lr, and they were 1."""
    model = Linear(4, 4, weight_init=lambda shape, **_: np.where(np.eye(4) > 0, 2.0, 1.0), rng=0)
    optimizer = SGD(model, lr=0.5)

    def run() -> None:
        for _ in range(10):
            optimizer.minimize(lambda: 2 * (model(np.eye(4, dtype="f4")) * WEIGH).sum())

    WEIGH = np.where(np.eye(4) > 0, 2.0, 1.0).astype("f4")
    (finding,) = (f for f in found(run, model) if f.name == "update sizes")
    assert "updates are 1 of the weights" in finding.reason
    assert finding.remedy == "With lr=0.5, about lr=0.0005 would make 0.001."


def test_without_an_optimizer_the_factor_is_said() -> None:
    model = MLP(64, 32, 10, activation="tanh", rng=0)

    def by_hand() -> None:
        for x, y in batches(12):
            model.zero_grad()
            cross_entropy(model(x), y).backward()
            with tg.no_grad():
                for p in model.parameters():
                    p -= 30.0 * p.grad

    (finding,) = (f for f in found(by_hand, model) if f.name == "update sizes")
    assert finding.remedy.startswith("Divide lr by about ")


def test_a_schedule_is_asked_no_more_often_than_without() -> None:
    asked: list[int] = []

    def schedule(t: int) -> float:
        asked.append(t)
        return 3.0

    model = MLP(64, 32, 10, activation="tanh", rng=0)
    assert "update sizes" in names(lambda: train(model, SGD(model, lr=schedule), 12), model)
    assert asked == list(range(12))


def test_a_warm_up_a_rest_and_biases_from_zero_are_well() -> None:
    warm = tg.schedules.LinearWarmup(20_000, 0.1)
    model = MLP(64, 32, 10, activation="tanh", rng=0)
    assert not names(lambda: train(model, SGD(model, lr=warm), 120), model)

    fresh = MLP(64, 32, 10, activation="tanh", rng=0)
    optimizer = SGD(fresh, lr=0.1)

    def arrive() -> None:
        train(fresh, optimizer, 20)
        optimizer.lr = 1e-9
        train(fresh, optimizer, 100)

    assert not names(arrive, fresh)
    one = Linear(64, 10, weight_init="zeros", rng=0)  # its first step is infinitely large
    assert not names(lambda: train(one, SGD(one, lr=0.1)), one)


def test_steps_whose_length_is_searched_are_not_judged() -> None:
    x, y = X[:200], Y[:200]
    for optimizer, lr in ((LBFGS, 1.0), (tg.optimizers.Rprop, 1.0)):
        model = MLP(64, 16, 10, activation="tanh", rng=0)
        one = optimizer(model, lr=lr)

        def run(model: Any = model, one: Any = one) -> None:
            for _ in range(12):
                one.minimize(
                    lambda: cross_entropy(model(x), y) + 1e-3 * (model[0].weight ** 2).sum()
                )

        assert "update sizes" not in names(run, model)


# ---------------------------------------------------------------- symmetry


def test_equal_weights() -> None:
    for value in (0.0, 0.5):
        model = Sequential(
            Linear(64, 32, weight_init=lambda shape, v=value, **_: np.full(shape, v), rng=0),
            *(Tanh(), Linear(32, 10, weight_init="zeros", rng=0)),
        )
        (finding,) = (
            f for f in found(lambda m=model: train(m, SGD(m)), model) if f.name == "equal weights"
        )
        assert "layers.0.weight" in finding.part
        assert f"begin as {value:g}" in finding.reason or "begin as 0, 0.5" in finding.reason


def test_equal_kernels() -> None:
    model = Sequential(
        *(Reshape(1, 8, 8), Conv2d(1, 8, 3, weight_init="ones", rng=0), ReLU(), Flatten()),
        Linear(288, 10, rng=0),
    )
    assert "equal weights" in names(lambda: train(model, SGD(model, lr=1e-3)), model)


def test_kernels_of_zeros_that_stay_equal() -> None:
    """What follows weighs all channels alike, so their gradients are equal, though not 0."""
    model = Sequential(
        *(Reshape(1, 8, 8), Conv2d(1, 8, 3, weight_init="zeros", rng=0), Tanh(), Flatten()),
        Linear(288, 1, weight_init="ones", rng=0),
        Linear(1, 10, rng=0),
    )
    said = found(lambda: train(model, SGD(model, lr=1e-3)), model)
    (finding,) = (f for f in said if f.name == "equal weights")
    assert finding.part == "layers.1.weight"


def test_equal_weights_that_are_meant() -> None:
    """Normalisation, one unit alone, and a last layer of zeros, whose gradients differ."""
    rng = np.random.default_rng(0)
    model = Sequential(
        *(Reshape(8, 8), LayerNorm((8, 8)), Flatten(), Linear(64, 32, rng=rng), BatchNorm(32)),
        *(Tanh(), Linear(32, 10, weight_init="zeros", rng=rng)),
    )
    assert not names(lambda: train(model, SGD(model)), model)
    unit = Linear(64, 1, weight_init="ones", rng=0)

    def fit() -> None:
        optimizer = SGD(unit, lr=0.01)
        for x, y in batches(12):
            target = y[:, None] / np.float32(10)
            optimizer.minimize(lambda x=x, target=target: mean_squared_error(unit(x), target))

    assert not names(fit, unit)


# ---------------------------------------------------------------- modes


def with_dropout() -> Sequential:
    return MLP(64, 32, 10, dropout=0.2, rng=0)


class Own(Layer):
    """A layer of somebody's own that looks at its mode."""

    def __init__(self) -> None:
        self.linear = Linear(64, 10, rng=0)

    def forward(self, x: Any) -> Any:
        z = self.linear(x)
        return z * 2 if self.training else z


class Attentive(Layer):
    def __init__(self) -> None:
        self.attention = MultiHeadAttention(8, 2, dropout=0.1, rng=0)
        self.out = Linear(64, 10, rng=0)

    def forward(self, x: Any) -> Any:
        return self.out(tg.reshape(self.attention(x.reshape(-1, 8, 8)), (-1, 64)))


MODEL_PARTS: list[tuple[Callable[[], Layer], str]] = [
    (with_dropout, "layers.2 (Dropout)"),
    (lambda: Sequential(Linear(64, 10, rng=0), BatchNorm(10)), "layers.1 (BatchNorm)"),
    (Own, "the model (Own)"),
    (Attentive, "attention (MultiHeadAttention)"),
]


@pytest.mark.parametrize(("make", "part"), MODEL_PARTS)
def test_eval_forgotten(make: Callable[[], Layer], part: str) -> None:
    model = make()

    def run() -> None:
        train(model, SGD(model), 3)
        for _ in range(3):
            with tg.no_grad():
                model(X[:8])  # here

    (finding,) = found(run, model)
    assert (finding.name, finding.part) == ("eval() forgotten", part)
    with open(__file__, encoding="utf-8") as source:
        assert source.readlines()[finding.line.line - 1].endswith("# here\n")


@pytest.mark.parametrize(("make", "part"), MODEL_PARTS)
def test_train_forgotten(make: Callable[[], Layer], part: str) -> None:
    model = make().eval()
    (finding,) = found(lambda: train(model, SGD(model), 3), model)
    assert (finding.name, finding.part) == ("train() forgotten", part)
    assert finding.line.function == "train"


def test_modes_as_they_should_be() -> None:
    model = with_dropout()

    def run() -> None:
        optimizer = SGD(model)
        for _ in range(3):
            train(model.train(), optimizer, 3)
            with tg.no_grad():
                model.eval()(X[:8])
            loss = cross_entropy(model(X[:8]), Y[:8])  # a gradient in eval mode, and no step
            loss.backward()
            optimizer.zero_grad()

    assert not names(run, model)
    plain = MLP(64, 32, 10, rng=0).eval()  # nothing in it differs

    def either_way() -> None:
        train(plain, SGD(plain), 3)
        with tg.no_grad():
            plain.train()(X[:8])

    assert not names(either_way, plain)


def test_a_head_trained_on_features_of_a_body_in_use() -> None:
    model = Sequential(Linear(64, 16, rng=0), Dropout(0.2, rng=0), Linear(16, 10, rng=0)).eval()
    model[0].freeze()

    def run() -> None:
        optimizer = SGD(model[2])
        with tg.no_grad():
            features = model[:2](X[:32]).data
        for _ in range(12):
            optimizer.minimize(lambda: cross_entropy(model[2](features), Y[:32]))

    assert not names(run, model)


def test_a_frozen_teacher_in_use_while_a_student_learns() -> None:
    teacher, student = with_dropout().eval().freeze(), MLP(64, 10, rng=0)

    def run() -> None:
        optimizer = SGD(student)
        for x, _ in batches(12):
            target = tg.softmax(teacher(x)).data
            optimizer.minimize(lambda x=x, z=target: mean_squared_error(student(x), z))

    assert not names(run, teacher)


def test_parts_alone_in_another_mode_are_meant() -> None:
    """BatchNorm kept still in fine-tuning, and dropout kept at work in use (Monte Carlo)."""
    model = Sequential(
        Linear(64, 16, rng=0), BatchNorm(16), Dropout(0.2, rng=0), Linear(16, 10, rng=0)
    )

    def run() -> None:
        model[1].eval()
        train(model, SGD(model), 3)
        model.eval()[2].train()
        with tg.no_grad():
            model(X[:8])

    assert not names(run, model)


# ---------------------------------------------------------------- data


@pytest.mark.parametrize("scale", [255.0, 1e-4])
@pytest.mark.parametrize("steps", [1, 12])
def test_unscaled_data(scale: float, steps: int) -> None:
    model = MLP(64, 32, 10, rng=0)
    said = found(lambda: train(model, SGD(model, lr=1e-6), steps, scale), model)
    (finding,) = (f for f in said if f.name == "unscaled data")
    assert finding.part == "the data that meets layers.0.weight"
    seen = np.concatenate([x for x, _ in batches(min(steps, 10))]) * scale
    assert f"mean {seen.mean():.2g}, std {seen.std():.2g}:" in finding.reason


def columns(scales: list[float]) -> list[Any]:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(200, 3)) * scales).astype("f4")
    model = Linear(3, 2, rng=0)

    def run() -> None:
        optimizer = SGD(model, lr=1e-4)
        for _ in range(3):
            optimizer.minimize(lambda: mean_squared_error(model(x), x[:, :2] / np.float32(10)))

    return found(run, model)


def test_features_on_different_scales() -> None:
    (finding,) = columns([1.0, 0.001, 3.0])
    assert "feature 2 is 2.9e+03 times as large as feature 1" in finding.reason
    assert not columns([1.0, 0.1, 3.0])


def test_channels_on_different_scales() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(20, 2, 8, 8)) * [[[1.0]], [[0.001]]]).astype("f4")
    model = Sequential(Conv2d(2, 4, 3, rng=0), Flatten(), Linear(144, 10, rng=0))

    def run() -> None:
        SGD(model).minimize(lambda: cross_entropy(model(x), np.arange(20) % 10))

    (finding,) = found(run, model)
    assert finding.name == "unscaled data" and "feature 0 is 9.9e+02 times" in finding.reason


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_pixels_into_a_convolution(kind: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, 3, 8, 8)).astype(kind)
    for scaled in (False, True):
        first = [Lambda(lambda x: tg.tensor(x, dtype="f4") / 255)] if scaled else []
        model = Sequential(*first, Conv2d(3, 4, 3, rng=0), Flatten(), Linear(144, 10, rng=0))

        def run(model: Any = model) -> None:
            optimizer = SGD(model, lr=1e-6)
            for _ in range(3):
                optimizer.minimize(lambda: cross_entropy(model(x), np.arange(20) % 10))

        said = [f for f in found(run, model) if f.name == "unscaled data"]
        assert [f.part for f in said] == ["the data that meets layers.0.weight"] * (not scaled)


def test_rare_columns_and_indices_are_scaled_data() -> None:
    """In a onehot of 1000 columns the mean is tiny, and a column may be 0 throughout."""
    rows = np.random.default_rng(0).integers(0, 1000, 64)
    onehot = np.eye(1000, dtype="f4")[rows]
    for model, x in (
        (Linear(1000, 10, rng=0), onehot),
        (Sequential(Embedding(1000, 8, rng=0), Linear(8, 10, rng=0)), rows),
    ):

        def run(model: Any = model, x: Any = x) -> None:
            optimizer = SGD(model, lr=0.1)
            for _ in range(12):
                optimizer.minimize(lambda: cross_entropy(model(x), rows % 10))

        assert not names(run, model)


# ---------------------------------------------------------------- healthy trainings


class Letters(Layer):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.table = Embedding(64, 16, rng=rng)
        self.lstm = LSTM(16, 32, "sequence", rng=rng)
        self.scores = Linear(32, 64, rng=rng)

    def forward(self, x: Any) -> Any:
        return self.scores(self.lstm(self.table(x)))


class Block(Layer):
    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.letters, self.places = Embedding(64, 16, rng=rng), Embedding(20, 16, rng=rng)
        self.norms = [LayerNorm(16), LayerNorm(16)]
        self.attention = MultiHeadAttention(16, 2, causal=True, rng=rng)
        self.mlp = MLP(16, 32, 16, activation="gelu", rng=rng)
        self.scores = Linear(16, 64, rng=rng)

    def forward(self, x: Any) -> Any:
        z = self.letters(x) + self.places(np.arange(x.shape[1]))
        z = z + self.attention(self.norms[0](z))
        return self.scores(z + self.mlp(self.norms[1](z)))


def convolutional() -> Sequential:
    rng = np.random.default_rng(0)
    return Sequential(
        *(Reshape(1, 8, 8), Conv2d(1, 8, 3, rng=rng), BatchNorm(8), ReLU(), MaxPool2d(2)),
        *(Flatten(), Dropout(0.2, rng=rng), Linear(72, 10, rng=rng)),
    )


class Shared(Layer):
    """One layer used twice, and its weights a third time."""

    def __init__(self) -> None:
        self.once, self.out = Linear(64, 64, rng=0), Linear(64, 10, rng=1)

    def forward(self, x: Any) -> Any:
        z = tg.tanh(self.once(tg.tanh(self.once(x))))
        return self.out(z @ self.once.weight.T)


def texts(steps: int) -> Iterator[tuple[Any, Any]]:
    rng = np.random.default_rng(0)
    for _ in range(steps):
        starts = rng.integers(0, len(TEXT) - 21, 16)
        rows = np.array([TEXT[i : i + 21] for i in starts]).astype(int)
        yield rows[:, :-1], rows[:, 1:]


MODELS: dict[str, tuple[Callable[[], Layer], Callable[[int], Iterator[tuple[Any, Any]]]]] = {
    "digits": (lambda: MLP(64, 64, 32, 10, rng=0), batches),
    "dropout": (lambda: MLP(64, 64, 10, dropout=0.3, rng=0), batches),
    "convolution": (convolutional, batches),
    "lstm": (Letters, texts),
    "transformer": (Block, texts),
    "shared": (Shared, batches),
}
OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "Adam": Adam,
    "SGD": SGD,
    "momentum": lambda model: SGD(model, lr=0.05, momentum=0.9, clipnorm=1),
    "AdamW": lambda model: tg.optimizers.AdamW(model, lr=tg.schedules.CosineDecay(0.003, 40)),
}


def trained(model: Layer, optimizer: Any, data: Any, steps: int) -> list[bytes]:
    """Train; every number of every step: loss, gradients, parameters, births, buffers, state."""
    numbers = []
    for x, y in data(steps):
        loss = optimizer.minimize(lambda x=x, y=y: cross_entropy(model(x), y))
        numbers.append(loss.data.tobytes())
        numbers += [p.grad.tobytes() for p in model.parameters()]
    arrays = model.state_dict() | optimizer.state_dict()
    return numbers + [np.asarray(a).tobytes() for a in arrays.values()]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_healthy_trainings_give_no_warning_and_the_same_bits(model: str, optimizer: str) -> None:
    make, data = MODELS[model]
    results, states = [], []
    for watched in (False, True):
        tg.manual_seed(0)
        one = make()
        stepping = OPTIMIZERS[optimizer](one)
        if watched:
            with tg.watch(one) as w:
                results.append(trained(one, stepping, data, 60))
            assert w.findings == []
        else:
            results.append(trained(one, stepping, data, 60))
        states.append(tg.random.as_generator().bit_generator.state)
    assert results[0] == results[1]
    assert states[0] == states[1]


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "rmsprop"])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_healthy_fit(activation: str, optimizer: str) -> None:
    x, y = tg.data.moons(400, noise=0.15, rng=0)
    results = []
    for watched in (False, True):
        tg.manual_seed(0)
        model = tg.models.MLP(2, 16, 16, 1, activation=activation, dropout=0.1)
        model.compile("binary_cross_entropy_with_logits", optimizer, metrics=["accuracy"])

        def fit(model: Any = model) -> Any:
            return model.fit(x, y[:, None], epochs=12, validation_split=0.2, verbose=0)

        if watched:
            with tg.watch(model) as w:
                history = fit()
                model.evaluate(x, y[:, None])
                model.predict(x)
            assert not w.findings
        else:
            history = fit()
            model.evaluate(x, y[:, None])
            model.predict(x)
        results.append((history.history, [p.data.tobytes() for p in model.parameters()]))
    assert results[0] == results[1]


# ---------------------------------------------------------------- nobody notices


def graph_of(loss: Any) -> list[Any]:
    """Everything in a graph that has no address in it."""
    order = tg.chain.youngest_first(loss)
    place = {t: i for i, t in enumerate(order)}
    return [
        (t.op.name, t.shape, t.where, t.name, len(t._hooks), t._retains, t._birth - loss._birth,
         [type(layer).__name__ for layer in t.path],
         [(place.get(x, "leaf"), x.data.tobytes()) for x, _ in t._edges])
        for t in order
    ]  # fmt: skip


def test_the_graph_is_the_same() -> None:
    graphs, copies = [], []
    for watched in (False, True):
        model = with_dropout()
        if watched:
            with tg.watch(model) as w:
                loss = cross_entropy(model(X[:8]), Y[:8])
                loss.backward(create_graph=True)
                graphs.append(graph_of(loss))
                copies.append(
                    (repr(model), sorted(vars(model[0])), [p.name for p in model[0].parameters()])
                )
            assert not w.findings
        else:
            loss = cross_entropy(model(X[:8]), Y[:8])
            loss.backward(create_graph=True)
            graphs.append(graph_of(loss))
            copies.append(
                (repr(model), sorted(vars(model[0])), [p.name for p in model[0].parameters()])
            )
    assert graphs[0] == graphs[1]
    assert copies[0] == copies[1]


def test_parameters_are_not_named_by_the_watch() -> None:
    model = MLP(2, 3, 1, rng=0)
    with tg.watch(model):
        mean_squared_error(model(np.eye(2)), np.ones((2, 1))).backward()
    assert [model[0].weight.name, model[2].bias.name] == [None, None]


def test_copies_made_meanwhile_are_ordinary() -> None:
    model = MLP(64, 8, 10, rng=0)
    with tg.watch(model):
        twin, thawed = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        model[0].weight.data += 1
    for one in (twin, thawed):
        assert vars(one[0]).keys() == vars(model[0]).keys()
        assert not (one(X[:2]).data == model(X[:2]).data).all()


def test_an_error_inside_leaves_nothing_behind() -> None:
    model = Branches(lambda layer, x: 0)
    with pytest.raises(ZeroDivisionError), tg.watch(model) as w:
        cross_entropy(model(X[:8]), Y[:8]).backward()
        raise ZeroDivisionError
    assert [vars(owner)[name] for owner, name in METHODS] == HEARD
    assert w.findings == []  # it broke off: nothing is said of what had yet to come


def test_warnings_as_errors_come_after_the_step() -> None:
    model = MLP(64, 8, 10, rng=0)
    optimizer = Adam(model[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PitfallWarning, match="no optimizer"), tg.watch(model):
            train(model, optimizer, 30)
    assert optimizer.iterations == 10


def test_nested_watches_say_it_once_and_each_knows_it() -> None:
    model = with_dropout().eval()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with tg.watch(model) as outer:
            with tg.watch(model) as inner:
                train(model, SGD(model), 3)
            assert vars(Layer)["__call__"] is not HEARD[0]
    assert outer.findings == inner.findings and len(outer.findings) == len(said) == 1


def test_another_model_in_the_block_is_not_looked_at() -> None:
    model, other = MLP(64, 8, 10, rng=0), with_dropout().eval()
    assert not names(lambda: train(other, SGD(other, lr=100.0)), model)
    assert not names(lambda: None, model)


def test_other_threads_are_not_heard_and_not_disturbed() -> None:
    model = with_dropout().eval()
    results: list[Any] = []

    def work() -> None:
        train(model, SGD(model), 3)
        results.append([p.data.copy() for p in model.parameters()])

    with tg.watch(model) as w:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert w.findings == []
    model = with_dropout().eval()
    work()
    assert all((a == b).all() for a, b in zip(*results, strict=True))


def test_a_watch_in_each_of_two_threads() -> None:
    """Whoever leaves last puts the methods back."""
    entered, leave = threading.Event(), threading.Event()
    heard: list[Any] = []

    def work() -> None:
        model = with_dropout().eval()
        with warnings.catch_warnings(), tg.watch(model) as w:
            entered.set()
            leave.wait(30)
            warnings.simplefilter("ignore")
            train(model, SGD(model), 3)
        heard.extend(w.findings)

    thread = threading.Thread(target=work)
    with tg.watch(MLP(2, 1)):
        thread.start()
        entered.wait(30)
    assert vars(Layer)["__call__"] is not HEARD[0]
    leave.set()
    thread.join()
    assert [f.name for f in heard] == ["train() forgotten"]


def test_nothing_is_kept_alive() -> None:
    model = MLP(64, 8, 10, rng=0)
    optimizer = SGD(model)
    with tg.watch(model, optimizer) as w:
        train(model, optimizer, 2)
        del optimizer
        optimizer = SGD(model)  # which it could not have, were the first one still there
        train(model, optimizer, 2)
    gone = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert gone() is None and w.findings == []


def test_numbers_that_overflow_give_no_warnings_of_their_own() -> None:
    model = Sequential(Linear(2, 2, rng=0), Linear(2, 2, rng=0))
    for p in model.parameters():
        p.data = p.data.astype("f8")
    x = np.array([[1e200, 1.0], [1.0, -1e200]])

    def run() -> None:
        with np.errstate(all="raise"):
            for _ in range(12):
                model.zero_grad()
                model(x).sum().backward()

    assert names(run, model) == ["gradient sizes"]


def test_a_weight_used_transposed_alone() -> None:
    class Transposed(Layer):
        def __init__(self) -> None:
            self.weight = tg.Tensor(np.eye(10, 64, dtype="f4") * 0.1, requires_grad=True)

        def forward(self, x: Any) -> Any:
            return x @ self.weight.T

    model = Transposed()
    assert not names(lambda: train(model, SGD(model, lr=0.01)), model)


# ---------------------------------------------------------------- interrupts

WATCHED_FILES = (listening.__file__, watcher.__file__, contextlib.__file__)


def interrupted(run: Callable[[], Any], at: int) -> tuple[str, int] | None:
    """Run it up to that line, counted from 1, of those it comes to in these files; at which?"""
    place, count = None, 0

    def enter(frame: Any, event: str, _: Any) -> Any:
        opened: set[int] = set()

        def look(frame: Any, event: str, _: Any) -> Any:
            nonlocal place, count
            here = frame.f_code.co_filename, frame.f_lineno
            # Between the end of a `with` and the release of its lock Python lets no interrupt in.
            leaves_lock = here[1] in opened and linecache.getline(*here).strip() == "with _lock:"
            opened.add(here[1])
            count += event == "line" and not leaves_lock
            if count == at and place is None:
                place = here
                raise KeyboardInterrupt
            return look

        return look if frame.f_code.co_filename in WATCHED_FILES else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        run()
    except KeyboardInterrupt:
        pass
    finally:
        sys.settrace(before)
    return place


def a_watch() -> None:
    with tg.watch(MLP(2, 1, rng=0)):
        pass


def a_watch_and_a_call() -> None:
    model = MLP(2, 1, rng=0)
    with tg.watch(model):
        model(np.eye(2))


def a_repair() -> None:
    """What an interrupt left behind, and the call that finds it."""
    listening._open(listening._Ear(watcher.Watch(MLP(2, 1, rng=0))))
    MLP(2, 1, rng=0)(np.eye(2))


def the_next_call() -> None:
    Linear(2, 1, rng=0)(np.eye(2))
    assert [vars(owner)[name] for owner, name in METHODS] == HEARD


def the_next_watch() -> None:
    model = with_dropout().eval()
    optimizer = SGD(model[-1])
    assert names(lambda: train(model, optimizer, 1), model) == ["train() forgotten", "no optimizer"]
    assert [vars(owner)[name] for owner, name in METHODS] == HEARD


def in_another_thread(run: Callable[[], None]) -> None:
    done: list[bool] = []
    thread = threading.Thread(target=lambda: done.append(run() is None), daemon=True)
    thread.start()
    thread.join(30)
    assert done, "an error, or it waits for ever"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("run", [a_watch, a_watch_and_a_call, a_repair])
@pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "in another thread"])
@pytest.mark.parametrize("then", [the_next_call, the_next_watch])
def test_an_interrupt_at_any_line_makes_no_watch_deaf_and_leaves_nothing_for_long(
    run: Any, elsewhere: bool, then: Any
) -> None:
    places = []
    while (place := interrupted(run, len(places) + 1)) is not None:
        places.append(place)
        in_another_thread(then) if elsewhere else then()
    functions = [listening._open, *[listening._close] * (run is not a_repair), listening._put_back]
    for code in (function.__code__ for function in functions):
        lines = {line for _, _, line in code.co_lines() if line} - {code.co_firstlineno}
        assert {(code.co_filename, line) for line in lines} <= set(places)


def test_an_interrupt_at_any_line_of_an_inner_watch_leaves_the_outer_one_hearing() -> None:
    at = 1
    while True:
        model = with_dropout().eval()
        with warnings.catch_warnings(), tg.watch(model) as outer:
            warnings.simplefilter("ignore")
            place = interrupted(a_watch, at)
            train(model, SGD(model), 1)
        assert [finding.name for finding in outer.findings] == ["train() forgotten"]
        assert [vars(owner)[name] for owner, name in METHODS] == HEARD
        if place is None:
            break
        at += 1
    assert at > 20


# ---------------------------------------------------------------- what is said


def test_report() -> None:
    model = MLP(64, 32, 10, rng=0)
    with tg.watch(model) as w:
        pass
    assert str(w) == "watch of MLP: nothing found."
    with pytest.warns(PitfallWarning), tg.watch(model) as w:
        train(model, Adam(model[2]), 2)
    lines = str(w).splitlines()
    assert lines[0] == "watch of MLP: 1 finding"
    assert lines[2] == "no optimizer: 2 parameters (layers.0.weight, layers.0.bias)"
    assert lines[3].startswith("    where   test_watching.py, line ")
    assert all(len(line) <= 100 for line in lines)
    assert repr(w) == "<watch of MLP: 1 found>"


def test_report_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with tg.watch(MLP(2, 1)) as w:
        pass
    assert w.report() == "watch of MLP: nothing found."
    assert capsys.readouterr().out == "watch of MLP: nothing found.\n"


def test_what_cannot_be_watched() -> None:
    with pytest.raises(TypeError, match="watch: 3 is a int; give a layer"), tg.watch(3):  # type: ignore[arg-type]
        pass
    with pytest.raises(TypeError, match="optimizer: 'adam' is a str"), tg.watch(MLP(2, 1), "adam"):  # type: ignore[arg-type]
        pass
