"""Schedules: the numbers of PyTorch and Keras, the slow formula, what is refused, and the state."""

import copy
import dataclasses
import inspect
import itertools
import json
import math
import pickle
import random
import re
from pathlib import Path

import numpy as np
import pytest

from tinygrad_edu import schedules
from tinygrad_edu.optimizers import SGD
from tinygrad_edu.schedules import (
    CosineDecay,
    CosineRestarts,
    ExponentialDecay,
    InverseTimeDecay,
    LinearWarmup,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)
from tinygrad_edu.tensor import Tensor

RECORDED = json.loads((Path(__file__).parent / "data/torch_schedules.json").read_text("utf-8"))

# One of each, with settings that are not the defaults where that can be.
EXAMPLES = {
    "StepDecay": StepDecay(0.1, 30, 0.5),
    "PiecewiseConstant": PiecewiseConstant((10, 20, 50), (0.1, 0.05, 0.01, 0.0)),
    "ExponentialDecay": ExponentialDecay(0.1, 30, 0.5, staircase=True),
    "InverseTimeDecay": InverseTimeDecay(0.1, 30, 0.5),
    "PolynomialDecay": PolynomialDecay(0.1, 30, 0.001, 2.0),
    "CosineDecay": CosineDecay(0.1, 30, 0.1),
    "CosineRestarts": CosineRestarts(0.1, 30, 1.5, 0.9, 0.1),
    "OneCycle": OneCycle(0.1, 30, 0.4, 10.0, 100.0),
    "LinearWarmup": LinearWarmup(10, CosineDecay(0.1, 30), 0.01),
    "ReduceOnPlateau": ReduceOnPlateau(0.1, 0.5, 2, 0.01, 1, 0.001, "max"),
}
each = pytest.mark.parametrize("schedule", EXAMPLES.values(), ids=EXAMPLES.keys())


def test_every_schedule_has_an_example_here():
    assert {*schedules.__all__} == {*EXAMPLES, "Schedule"}
    assert all(type(example).__name__ == name for name, example in EXAMPLES.items())


# ---------------------------------------------------------------- PyTorch's numbers

SAME_IN_PYTORCH = {
    "StepLR": StepDecay,
    "ExponentialLR": lambda lr, gamma: ExponentialDecay(lr, 1, gamma),
    "PolynomialLR": lambda lr, total_iters, power: PolynomialDecay(lr, total_iters, 0, power),
    "CosineAnnealingLR": lambda lr, T_max, eta_min=0.0: CosineDecay(lr, T_max, eta_min / lr),
    "CosineAnnealingWarmRestarts": lambda lr, T_0, T_mult=1, eta_min=0.0: CosineRestarts(
        lr, T_0, T_mult, alpha=eta_min / lr
    ),
    "LinearLR": lambda lr, start_factor, total_iters, end_factor=1.0: LinearWarmup(
        total_iters, lr * end_factor, start=lr * start_factor
    ),
    "OneCycleLR": lambda lr, **settings: OneCycle(**settings),
}
PYTORCHS = [case for case in RECORDED["pytorch"]["cases"] if "rates" in case]
PLATEAUS = [case for case in RECORDED["pytorch"]["cases"] if "values" in case]


def called(case):
    return f"{case['class']}({', '.join(f'{k}={v}' for k, v in case['settings'].items())})"


def same_in_pytorch(case):
    if case["class"] != "SequentialLR":
        return SAME_IN_PYTORCH[case["class"]](case["lr"], **case["settings"])
    after = SAME_IN_PYTORCH[case["then"]](case["lr"], **case["then_settings"])
    settings = case["settings"]
    return LinearWarmup(settings["total_iters"], after, settings["start_factor"] * case["lr"])


@pytest.mark.parametrize("case", PYTORCHS, ids=called)
def test_rates_are_those_of_pytorch(case):
    schedule = same_in_pytorch(case)
    ours = [schedule(t) for t in range(len(case["rates"]))]
    assert ours == pytest.approx(case["rates"], rel=1e-12, abs=1e-16)


@pytest.mark.parametrize(
    "case", [case for case in PYTORCHS if case["class"] == "OneCycleLR"], ids=called
)
def test_one_cycle_has_pytorchs_numbers_to_the_last_bit(case):
    schedule = same_in_pytorch(case)
    assert [schedule(t) for t in range(len(case["rates"]))] == case["rates"]


@pytest.mark.parametrize("case", PLATEAUS, ids=called)
def test_plateaus_are_those_of_pytorch_to_the_last_bit(case):
    schedule = ReduceOnPlateau(case["lr"], **case["settings"])
    for epoch, (value, after) in enumerate(zip(case["values"], case["after"], strict=True)):
        schedule.observe(value)
        assert [*schedule.state_dict().values()] == after, f"epoch {epoch}"
        assert schedule(epoch) == after[0]


def test_the_recordings_hold_what_they_should():
    assert {case["class"] for case in PYTORCHS} == {*SAME_IN_PYTORCH, "SequentialLR"}
    assert len(PLATEAUS) == 20
    values = [value for case in PLATEAUS for value in case["values"]]
    assert any(map(math.isnan, values)) and math.inf in values and -math.inf in values
    assert RECORDED["pytorch"]["version"].startswith("2.13")


# ---------------------------------------------------------------- Keras's numbers

SAME_IN_KERAS = {
    "PiecewiseConstantDecay": PiecewiseConstant,
    "CosineDecayRestarts": CosineRestarts,
    "ExponentialDecay": ExponentialDecay,
    "InverseTimeDecay": InverseTimeDecay,
    "PolynomialDecay": PolynomialDecay,
    "CosineDecay": CosineDecay,
}
RENAMED = {"initial_learning_rate": "lr", "end_learning_rate": "end_lr"}


@pytest.mark.parametrize("case", RECORDED["keras"]["cases"], ids=called)
def test_rates_are_those_of_keras(case):
    settings = {RENAMED.get(name, name): value for name, value in case["settings"].items()}
    schedule = SAME_IN_KERAS[case["class"]](**settings)
    ours = [schedule(t) for t in case["steps"]]
    assert ours == pytest.approx(case["rates"], rel=1e-12, abs=1e-16)


def test_every_schedule_of_keras_was_recorded():
    assert {case["class"] for case in RECORDED["keras"]["cases"]} == {*SAME_IN_KERAS}


# ---------------------------------------------------------------- the slow, obvious formula


def agree(schedule, slow, steps=range(130)):
    assert [schedule(t) for t in steps] == pytest.approx([slow(t) for t in steps], rel=1e-12)


@pytest.mark.parametrize(("size", "gamma"), [(1, 0.9), (7, 0.1), (30, 1.0), (200, 0.5)])
def test_step_decay_multiplies_once_every_so_many_steps(size, gamma):
    def slow(t):
        rate = 0.3
        for step in range(1, t + 1):
            if step % size == 0:
                rate *= gamma
        return rate

    agree(StepDecay(0.3, size, gamma), slow)


def test_the_default_of_step_decay_is_a_tenth():
    assert StepDecay(1.0, 5)(5) == 0.1


@pytest.mark.parametrize("boundaries", [[10, 20, 50], [0, 1, 129], [30, 31, 32]], ids=str)
def test_a_boundary_itself_still_has_the_value_before_it(boundaries):
    values = [0.4, 0.3, 0.2, 0.1]

    def slow(t):
        for boundary, value in zip(boundaries, values, strict=False):
            if t <= boundary:
                return value
        return values[-1]

    agree(PiecewiseConstant(boundaries, values), slow)


def test_without_boundaries_one_value_stays():
    assert PiecewiseConstant([], [0.1])(1000) == 0.1


@pytest.mark.parametrize(("steps", "factor"), [(1, 0.9), (10, 0.5), (33, 0.96), (20, 1.2)])
def test_exponential_decay_is_a_straight_line_of_logarithms(steps, factor):
    slow = lambda t: math.exp(math.log(0.3) + math.log(factor) / steps * t)
    agree(ExponentialDecay(0.3, steps, factor), slow)
    stairs = lambda t: slow(t - t % steps)
    agree(ExponentialDecay(0.3, steps, factor, staircase=True), stairs)


@pytest.mark.parametrize(("steps", "factor"), [(1, 0.01), (10, 0.5), (33, 2.0)])
def test_inverse_time_decay_makes_the_inverse_of_the_rate_grow_evenly(steps, factor):
    slow = lambda t: 1 / (1 / 0.3 + factor / 0.3 / steps * t)
    agree(InverseTimeDecay(0.3, steps, factor), slow)
    stairs = lambda t: slow(t - t % steps)
    agree(InverseTimeDecay(0.3, steps, factor, staircase=True), stairs)


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("end", [0.0, 0.01, 0.5])
def test_polynomial_decay_follows_its_power_and_then_rests(end, power):
    def slow(t):
        return end + (0.3 - end) * ((40 - t) / 40) ** power if t < 40 else end

    agree(PolynomialDecay(0.3, 40, end, power), slow)


@pytest.mark.parametrize("power", [1.0, 2.0, 0.5])
def test_polynomial_decay_with_cycle_takes_the_next_multiple(power):
    def slow(t):
        time = 40
        while time < t:
            time += 40
        return 0.01 + 0.29 * ((time - t) / time) ** power

    agree(PolynomialDecay(0.3, 40, 0.01, power, cycle=True), slow)


def test_the_default_end_of_polynomial_decay_is_keras_s():
    assert PolynomialDecay(0.1, 10)(10) == 0.0001


@pytest.mark.parametrize("alpha", [0.0, 0.1, 1.0])
def test_cosine_decay_is_half_a_wave_about_its_middle(alpha):
    def slow(t):
        low, high = 0.3 * alpha, 0.3
        height = np.cos(np.linspace(0, np.pi, 41))[min(t, 40)]
        return (high + low) / 2 + (high - low) / 2 * height

    steps = range(130)
    ours = [CosineDecay(0.3, 40, alpha)(t) for t in steps]
    assert ours == pytest.approx([slow(t) for t in steps], rel=1e-12, abs=1e-16)


@pytest.mark.parametrize(
    ("first", "t_mul", "m_mul", "alpha"),
    [(10, 1, 1, 0), (10, 1, 0.5, 0.1), (5, 2, 1, 0), (3, 1.5, 0.8, 0.2), (1, 3, 1.1, 0)],
)
def test_restarts_are_cosine_decays_one_after_another(first, t_mul, m_mul, alpha):
    def slow(t):
        runs = itertools.count()
        ends = itertools.accumulate(first * t_mul**run for run in itertools.count())
        run, end = next((run, end) for run, end in zip(runs, ends, strict=False) if t < end)
        length = first * t_mul**run
        wave = 0.5 * (1 + math.cos(math.pi * (t - (end - length)) / length))
        return 0.3 * ((1 - alpha) * m_mul**run * wave + alpha)

    agree(CosineRestarts(0.3, first, t_mul, m_mul, alpha), slow)


@pytest.mark.parametrize("t_mul", [1, 2, 3, 5, 10])
def test_no_restart_comes_late(t_mul):  # a logarithm rounds down to one run less: log(243) / log(3)
    schedule, start = CosineRestarts(0.1, 7, t_mul), 0
    for run in range(9):
        assert schedule(start) == 0.1
        assert start == 0 or schedule(start - 1) < 0.1
        start += 7 * t_mul**run


def test_one_cycle_rises_from_its_first_rate_to_the_peak_and_falls_to_the_lowest():
    schedule = OneCycle(0.1, 101, pct_start=40 / 101, div_factor=20, final_div_factor=50)
    assert schedule(0) == pytest.approx(0.1 / 20, rel=1e-12)
    assert schedule(39) == 0.1
    assert schedule(100) == 0.1 / 20 / 50
    assert schedule(39 // 2) < (0.1 + 0.1 / 20) / 2 < schedule(39 // 2 + 1)


def test_one_cycle_stays_at_the_lowest():
    schedule = OneCycle(0.1, 20)
    assert schedule(19) == schedule(20) == schedule(10**9) == 0.1 / 25 / 1e4


@pytest.mark.parametrize(("total", "pct_start"), [(10, 0.1), (1, 1.0)])
def test_one_cycle_begins_at_the_peak_if_the_rise_takes_one_step(total, pct_start):
    schedule = OneCycle(0.1, total, pct_start)  # PyTorch divides by 0 here
    assert schedule(0) == 0.1 and (total == 1 or schedule(1) < 0.1)


# ---------------------------------------------------------------- warm-up


def test_warm_up_rises_evenly_and_hands_over():
    after = CosineDecay(0.1, 30)
    schedule = LinearWarmup(8, after)
    assert [schedule(t) for t in range(9)] == pytest.approx(np.linspace(0, 0.1, 9), rel=1e-12)
    assert [schedule(t) for t in range(8, 60)] == [after(t) for t in range(52)]


def test_warm_up_may_start_anywhere_and_end_in_a_plain_rate():
    schedule = LinearWarmup(4, 0.5, start=0.1)
    assert [schedule(t) for t in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])


def test_the_end_of_a_warm_up_is_exact_and_may_lie_below_its_start():
    assert 0.351 + (0.1 - 0.351) != 0.1
    assert LinearWarmup(4, 0.1, start=0.351)(4) == 0.1


def test_warm_up_takes_any_function():
    asked = []
    schedule = LinearWarmup(2, lambda t: asked.append(t) or np.float64(0.1) / (1 + t))
    assert [schedule(t) for t in range(5)] == [0.0, 0.05, 0.1, 0.05, 0.1 / 3]
    assert asked == [0, 0, 0, 1, 2]
    assert all(type(schedule(t)) is float for t in range(5))


def test_warm_up_may_be_warmed_up():
    schedule = LinearWarmup(2, LinearWarmup(4, StepDecay(0.4, 2), start=0.2), start=0.1)
    rates = [0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.4, 0.04, 0.04, 0.004]
    assert [schedule(t) for t in range(11)] == pytest.approx(rates)


def test_warm_up_of_one_step_only_starts_low():
    assert [LinearWarmup(1, 0.1)(t) for t in range(3)] == [0.0, 0.1, 0.1]


@pytest.mark.parametrize("after", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_warm_up_fits_every_schedule(after):
    schedule = LinearWarmup(7, after)
    assert schedule(0) == 0 and 0 < schedule(1) < schedule(6) < after(0)
    assert [schedule(t + 7) for t in range(40)] == [after(t) for t in range(40)]


def test_warm_up_aims_at_the_rate_that_a_plateau_has_left():
    schedule = LinearWarmup(10, ReduceOnPlateau(0.2, factor=0.5, patience=0))
    assert schedule(5) == pytest.approx(0.1)
    schedule.observe(1.0), schedule.observe(1.0)
    assert schedule(5) == pytest.approx(0.05) and schedule(10) == schedule(99) == 0.1


# ---------------------------------------------------------------- how they run

RISING = ("CosineRestarts", "OneCycle", "LinearWarmup")
FALLING = {
    **{name: example for name, example in EXAMPLES.items() if name not in RISING},
    "ExponentialDecay, smooth": ExponentialDecay(0.1, 30, 0.5),
    "InverseTimeDecay, staircase": InverseTimeDecay(0.1, 30, 0.5, staircase=True),
    "PolynomialDecay, root": PolynomialDecay(0.1, 30, 0.0, 0.5),
    "CosineDecay, flat": CosineDecay(0.1, 30, 1.0),
    "OneCycle, down only": OneCycle(0.1, 30, 0.0),
}


@pytest.mark.parametrize("schedule", FALLING.values(), ids=FALLING.keys())
def test_a_decay_never_rises(schedule):
    rates = [schedule(t) for t in range(200)]
    assert all(a >= b for a, b in itertools.pairwise(rates))
    assert rates[0] == pytest.approx(0.1, rel=0.02) and rates[-1] >= 0


def test_one_cycle_rises_until_its_peak_and_falls_until_its_end():
    rates = [OneCycle(0.1, 100)(t) for t in range(100)]
    assert rates.index(max(rates)) == 29
    assert all(a < b for a, b in itertools.pairwise(rates[:30]))
    assert all(a > b for a, b in itertools.pairwise(rates[29:]))


def test_restarts_fall_but_for_their_restarts_and_these_come_ever_later():
    rates = [CosineRestarts(0.1, 5)(t) for t in range(150)]
    assert [t for t in range(1, 150) if rates[t] > rates[t - 1]] == [5, 15, 35, 75]


@each
def test_a_rate_may_be_asked_for_at_any_time_in_any_order(schedule):
    steps = [*range(100)] * 2
    before, state = [schedule(t) for t in steps[:100]], schedule.state_dict()
    random.Random(0).shuffle(steps)
    assert all(schedule(t) == before[t] for t in steps)
    assert schedule.state_dict() == state


@each
def test_far_away_is_as_good_as_near(schedule):
    assert 0 <= schedule(10**12) <= 0.1


def test_a_million_million_restarts_take_no_time():
    assert CosineRestarts(0.1, 10, t_mul=1.0)(10**13 + 5) == pytest.approx(0.05)


# ---------------------------------------------------------------- plain numbers


@each
def test_rates_are_plain_floats(schedule):
    for t in (0, 5, 29, 30, 31, 10**6):
        assert type(schedule(t)) is float


@each
@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint8, np.array])
def test_numpy_s_whole_numbers_count_steps_as_well(schedule, kind):
    assert schedule(kind(17)) == schedule(17)
    assert type(schedule(kind(17))) is float


def test_settings_become_plain_numbers():
    schedule = LinearWarmup(
        np.int64(3),
        PiecewiseConstant(np.array([1, 2]), np.array([0.5, 0.25, 0.125], np.float32)),
        np.float64(0.0),
    )
    assert repr(schedule) == (
        "LinearWarmup(steps=3, then=PiecewiseConstant(boundaries=(1, 2), "
        "values=(0.5, 0.25, 0.125)), start=0.0)"
    )
    schedule = OneCycle(np.float32(0.5), np.int32(10), np.float64(0.5), 10, np.int64(100))
    kinds = [type(value) for value in vars(schedule).values()]
    assert kinds == [float, int, float, float, float]
    assert all(type(schedule(t)) is float for t in range(12))


def test_a_rate_may_be_0_and_stays_0():
    for schedule in (StepDecay(0, 3), CosineDecay(0.0, 10), OneCycle(0, 10), LinearWarmup(5, 0)):
        assert [schedule(t) for t in range(20)] == [0.0] * 20
    schedule = ReduceOnPlateau(0, patience=0)
    schedule.observe(1.0), schedule.observe(1.0)
    assert schedule(0) == 0.0 and type(schedule(0)) is float


# ---------------------------------------------------------------- refusals


@each
def test_a_negative_count_of_steps_is_refused(schedule):
    with pytest.raises(ValueError, match=f"{type(schedule).__name__}: t=-1 must be at least 0"):
        schedule(-1)
    with pytest.raises(ValueError, match="t=-3 must be at least 0"):
        schedule(np.int64(-3))


@pytest.mark.parametrize("t", [1.0, 0.5, math.nan, True, "1", None, np.float64(2), [1]], ids=repr)
@each
def test_what_counts_no_steps_is_refused(schedule, t):
    with pytest.raises(TypeError, match=rf"{type(schedule).__name__}: t=.* is no whole number"):
        schedule(t)


KINDS = {  # what a setting is, and what it may not be
    "rate": ([-0.1, -1, math.nan, math.inf, -math.inf], [True, "0.1", None, [0.1], 1j]),
    "positive": ([0, 0.0, -0.5, math.nan, math.inf], [True, False, "2", None]),
    "at least 1": ([0.99, 0, -1, math.nan, math.inf], [True, "2", None]),
    "share": ([-0.1, 1.1, math.nan, math.inf], [True, False, "0.5", None]),
    "decay": ([0, -0.1, 1.1, math.nan, math.inf], [True, "0.5", None]),
    "cut": ([0, -0.1, 1, 1.0, 1.5, math.nan, math.inf], [True, "0.5", None]),
    "steps": ([0, -1], [1.0, 2.5, math.nan, math.inf, True, "3", None]),
    "count": ([-1], [1.0, 2.5, math.nan, math.inf, True, "3", None]),
    "bool": ([], [0, 1, 1.0, "yes", None]),
    "word": (["mean", "MIN", ""], [True, 1, None]),
}
SETTINGS = {
    "StepDecay": {"lr": "rate", "step_size": "steps", "gamma": "decay"},
    "ExponentialDecay": {
        "lr": "rate", "decay_steps": "steps", "decay_rate": "positive", "staircase": "bool",
    },
    "InverseTimeDecay": {
        "lr": "rate", "decay_steps": "steps", "decay_rate": "positive", "staircase": "bool",
    },
    "PolynomialDecay": {
        "lr": "rate", "decay_steps": "steps", "end_lr": "rate", "power": "positive",
        "cycle": "bool",
    },
    "CosineDecay": {"lr": "rate", "decay_steps": "steps", "alpha": "share"},
    "CosineRestarts": {
        "lr": "rate", "first_decay_steps": "steps", "t_mul": "at least 1", "m_mul": "positive",
        "alpha": "share",
    },
    "OneCycle": {
        "max_lr": "rate", "total_steps": "steps", "pct_start": "share",
        "div_factor": "at least 1", "final_div_factor": "at least 1",
    },
    "LinearWarmup": {"steps": "steps", "then": "rate", "start": "rate"},
    "ReduceOnPlateau": {
        "lr": "rate", "factor": "cut", "patience": "count", "threshold": "rate",
        "cooldown": "count", "min_lr": "rate", "mode": "word",
    },
}  # fmt: skip
REFUSED = [
    (name, setting, value, error)
    for name, kinds in SETTINGS.items()
    for setting, kind in kinds.items()
    for error, values in zip((ValueError, TypeError), KINDS[kind], strict=True)
    for value in values
]


@pytest.mark.parametrize(("name", "setting", "value", "error"), REFUSED, ids=str)
def test_settings_that_make_no_sense_are_refused_by_name(name, setting, value, error):
    kind = type(EXAMPLES[name])
    settings = {key: getattr(EXAMPLES[name], key) for key in inspect.signature(kind).parameters}
    with pytest.raises(error) as caught:
        kind(**{**settings, setting: value})
    said = str(caught.value)
    if error is TypeError:
        assert said.startswith(f"{name}: {setting}={value!r} is no ")
    else:  # -1 may be shown as -1.0
        assert re.match(rf"{name}: {setting}={re.escape(repr(value))}(\.0)? must be ", said)


def test_every_setting_is_refused_something():
    settings = {name: {*inspect.signature(type(e)).parameters} for name, e in EXAMPLES.items()}
    assert settings.pop("PiecewiseConstant") == {"boundaries", "values"}  # refused below
    assert settings == {name: {*kinds} for name, kinds in SETTINGS.items()}


@pytest.mark.parametrize(
    ("boundaries", "values", "error", "said"),
    [
        ([10, 10], [1, 2, 3], ValueError, r"boundaries=\(10, 10\) must increase"),
        ([20, 10], [1, 2, 3], ValueError, r"boundaries=\(20, 10\) must increase"),
        ([1, 5, 3], [1, 2, 3, 4], ValueError, r"boundaries=\(1, 5, 3\) must increase"),
        ([10], [1], ValueError, r"values=\(1.0,\) for boundaries=\(10,\): .* one value more"),
        ([10], [1, 2, 3], ValueError, r"values=\(1.0, 2.0, 3.0\) for boundaries=\(10,\)"),
        ([], [], ValueError, r"values=\(\) for boundaries=\(\): .* one value more"),
        ([-1], [1, 2], ValueError, r"boundaries\[\]=-1 must be at least 0"),
        ([1.0], [1, 2], TypeError, r"boundaries\[\]=1.0 is no whole number"),
        ([True], [1, 2], TypeError, r"boundaries\[\]=True is no whole number"),
        (10, [1, 2], TypeError, r"boundaries=10 is no list of numbers"),
        ("10", [1, 2, 3], TypeError, r"boundaries='10' is no list of numbers"),
        ([10], 1, TypeError, r"values=1 is no list of numbers"),
        ([10], [1, -2], ValueError, r"values\[\]=-2.0 must be finite and at least 0"),
        ([10], [1, math.nan], ValueError, r"values\[\]=nan must be finite"),
        ([10], [1, "2"], TypeError, r"values\[\]='2' is no number"),
        ([10], [1, True], TypeError, r"values\[\]=True is no number"),
    ],
    ids=str,
)
def test_stretches_that_do_not_fit_are_refused(boundaries, values, error, said):
    with pytest.raises(error, match=f"PiecewiseConstant: {said}"):
        PiecewiseConstant(boundaries, values)


def test_a_lowest_rate_above_the_first_is_refused():
    with pytest.raises(ValueError, match=r"ReduceOnPlateau: min_lr=0\.2 is above lr=0\.1"):
        ReduceOnPlateau(0.1, min_lr=0.2)
    assert ReduceOnPlateau(0.1, min_lr=0.1)(0) == 0.1


# ---------------------------------------------------------------- values among values

SIGNATURES = {
    "StepDecay": "lr, step_size, gamma=0.1",
    "PiecewiseConstant": "boundaries, values",
    "ExponentialDecay": "lr, decay_steps, decay_rate, staircase=False",
    "InverseTimeDecay": "lr, decay_steps, decay_rate, staircase=False",
    "PolynomialDecay": "lr, decay_steps, end_lr=0.0001, power=1.0, cycle=False",
    "CosineDecay": "lr, decay_steps, alpha=0.0",
    "CosineRestarts": "lr, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0",
    "OneCycle": "max_lr, total_steps, pct_start=0.3, div_factor=25.0, final_div_factor=10000.0",
    "LinearWarmup": "steps, then, start=0.0",
    "ReduceOnPlateau": "lr, factor=0.1, patience=10, threshold=0.0001, cooldown=0, min_lr=0.0, "
    "mode='min'",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_settings_have_these_names_this_order_and_these_defaults(name):
    parameters = inspect.signature(getattr(schedules, name)).parameters.values()
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    assert ", ".join(map(str, bare)) == SIGNATURES[name]
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters)


@each
def test_the_repr_makes_the_schedule_again(schedule):
    again = eval(repr(schedule), {name: getattr(schedules, name) for name in EXAMPLES})
    assert again == schedule and type(again) is type(schedule) and repr(again) == repr(schedule)


@each
@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_a_copy_is_equal(schedule, copied):
    again = copied(schedule)
    assert again == schedule and again is not schedule
    assert [again(t) for t in range(50)] == [schedule(t) for t in range(50)]


def test_a_copy_of_a_plateau_goes_its_own_way():
    schedule = ReduceOnPlateau(0.1, patience=0)
    schedule.observe(1.0)
    for copied in (copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))):
        again = copied(LinearWarmup(5, schedule))
        assert again.then == schedule
        again.observe(1.0)
        assert again(5) == pytest.approx(0.01) and schedule(0) == 0.1 and again.then != schedule


OTHER = {  # a setting of the example, changed
    "StepDecay": {"gamma": 0.25},
    "PiecewiseConstant": {"values": (0.1, 0.05, 0.01, 0.001)},
    "ExponentialDecay": {"staircase": False},
    "InverseTimeDecay": {"staircase": True},
    "PolynomialDecay": {"cycle": True},
    "CosineDecay": {"alpha": 0.2},
    "CosineRestarts": {"alpha": 0.2},
    "OneCycle": {"final_div_factor": 200.0},
    "LinearWarmup": {"then": CosineDecay(0.1, 31)},
    "ReduceOnPlateau": {"mode": "min"},
}


@each
def test_equal_settings_make_equal_schedules_and_others_others(schedule):
    kind = type(schedule)
    settings = {name: getattr(schedule, name) for name in inspect.signature(kind).parameters}
    assert kind(**settings) == schedule
    assert kind(**{**settings, **OTHER[kind.__name__]}) != schedule
    assert [example for example in EXAMPLES.values() if example == schedule] == [schedule]
    assert schedule != 0.1


@each
def test_schedules_without_state_cannot_be_changed_and_have_a_hash(schedule):
    if isinstance(schedule, ReduceOnPlateau):
        with pytest.raises(TypeError, match="unhashable"):
            hash(schedule)
        return
    assert len({schedule, copy.deepcopy(schedule)}) == 1
    for name in vars(schedule):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(schedule, name, 1)


def test_lists_tuples_and_arrays_of_boundaries_are_the_same_and_are_copied():
    steps, rates = [10, 20], [0.1, 0.05, 0.01]
    schedule = PiecewiseConstant(steps, rates)
    assert schedule == PiecewiseConstant(tuple(steps), tuple(rates))
    assert schedule == PiecewiseConstant(np.array(steps), np.array(rates))
    steps[0], rates[0] = 0, 9.0
    assert schedule(5) == 0.1 and schedule.boundaries == (10, 20)


# ---------------------------------------------------------------- what is observed


def observed(schedule, values):
    """The rate after each of these values."""
    rates = []
    for value in values:
        schedule.observe(value)
        rates.append(schedule(5))  # a warm-up is over by then
    return rates


def test_the_rate_falls_after_more_bad_epochs_than_patience():
    rates = observed(ReduceOnPlateau(0.8, factor=0.5, patience=2), [1.0] * 7)
    assert rates == [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2]


def test_a_better_epoch_starts_the_count_again():
    rates = observed(ReduceOnPlateau(0.8, factor=0.5, patience=1), [1.0, 1.0, 0.9, 0.9, 0.8, 0.8])
    assert rates == [0.8] * 6


def test_a_score_should_rise():
    values = [1.0, 2.0, 3.0, 4.0]
    assert observed(ReduceOnPlateau(0.8, 0.5, 0), values) == [0.8, 0.4, 0.2, 0.1]
    assert observed(ReduceOnPlateau(0.8, 0.5, 0, mode="max"), values) == [0.8] * 4


def test_too_small_a_gain_is_none():
    values = [1.0, 0.95, 0.85]
    assert observed(ReduceOnPlateau(0.8, 0.5, 0, threshold=0.1), values) == [0.8, 0.4, 0.4]


def test_nothing_happens_while_it_cools_down():
    rates = observed(ReduceOnPlateau(0.8, factor=0.5, patience=0, cooldown=2), [1.0] * 8)
    assert rates == [0.8, 0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]


def test_the_rate_stops_at_the_lowest():
    rates = observed(ReduceOnPlateau(0.8, factor=0.5, patience=0, min_lr=0.3), [1.0] * 5)
    assert rates == [0.8, 0.4, 0.3, 0.3, 0.3]


def test_nan_is_no_gain_and_never_the_best():
    schedule = ReduceOnPlateau(0.8, factor=0.5, patience=0)
    assert observed(schedule, [1.0, math.nan, 0.5]) == [0.8, 0.4, 0.4]
    assert schedule.best == 0.5


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.array, Tensor])
def test_a_value_may_be_anything_that_is_one_number(kind):
    schedule = ReduceOnPlateau(0.8, factor=0.5, patience=0)
    assert observed(schedule, [kind(1.0), kind(0.5), kind(2.0)]) == [0.8, 0.8, 0.4]
    assert schedule.best == 0.5 and type(schedule.best) is float


def test_a_value_that_is_no_number_changes_nothing():
    schedule = ReduceOnPlateau(0.8, factor=0.5, patience=0)
    for value in (None, [1.0, 2.0], np.ones(2)):
        with pytest.raises(TypeError):
            schedule.observe(value)
    assert schedule == ReduceOnPlateau(0.8, factor=0.5, patience=0)


@each
def test_anything_may_be_told_what_is_observed(schedule):
    schedule = copy.deepcopy(schedule)
    before = [schedule(t) for t in range(50)]
    assert schedule.observe(1.0) is None
    assert [schedule(t) for t in range(50)] == before


# ---------------------------------------------------------------- saving

BUMPY = [3.0, 2.5, 2.6, 2.7, 2.4, math.nan, 2.5, 2.5, 2.5, 2.4, 2.39, 2.5, 2.5, 2.5, 1.0, 1.0, 1.0]
STATEFUL = {
    "plain": lambda: ReduceOnPlateau(0.3, factor=0.7, patience=1, cooldown=1),
    "warmed up": lambda: LinearWarmup(3, ReduceOnPlateau(0.3, 0.7, 1, cooldown=1)),
    "twice": lambda: LinearWarmup(3, LinearWarmup(2, ReduceOnPlateau(0.3, 0.7, 1, cooldown=1))),
}
each_stateful = pytest.mark.parametrize("make", STATEFUL.values(), ids=STATEFUL.keys())
ARRAYS = lambda state: {name: np.array(value) for name, value in state.items()}
JSON = lambda state: json.loads(json.dumps(state))


@each_stateful
@pytest.mark.parametrize("carried", [dict, JSON, ARRAYS], ids=["dict", "json", "arrays"])
def test_a_resumed_run_has_the_same_bits_wherever_it_was_interrupted(make, carried):
    whole = observed(make(), BUMPY)
    assert len({*whole}) > 3
    for interrupted in range(len(BUMPY) + 1):
        first, second = make(), make()
        rates = observed(first, BUMPY[:interrupted])
        second.load_state_dict(carried(first.state_dict()))
        assert second == first and second.state_dict() == first.state_dict()
        assert rates + observed(second, BUMPY[interrupted:]) == whole


@each_stateful
def test_the_state_is_plain_numbers_with_names_and_no_live_view(make):
    schedule = make()
    state = schedule.state_dict()
    assert state == {"lr": 0.3, "best": math.inf, "bad_epochs": 0, "cooldown_left": 0}
    assert [type(value) for value in state.values()] == [float, float, int, int]
    observed(schedule, BUMPY)
    assert state["best"] == math.inf
    schedule.load_state_dict(ARRAYS(schedule.state_dict()))
    kinds = [type(value) for value in schedule.state_dict().values()]
    assert kinds == [float, float, int, int]


@each
def test_without_state_there_is_nothing_to_save(schedule):
    if isinstance(schedule, ReduceOnPlateau):
        return
    assert schedule.state_dict() == {}
    schedule.load_state_dict({})
    with pytest.raises(ValueError, match=r"Nothing was loaded\. \w+: lr missing or unknown"):
        schedule.load_state_dict({"lr": 0.1})


@pytest.mark.parametrize("after", [0.1, lambda t: 0.1], ids=["rate", "function"])
def test_a_warm_up_of_a_rate_or_a_function_has_no_state_either(after):
    schedule = LinearWarmup(5, after)
    schedule.observe(1.0)
    schedule.load_state_dict(schedule.state_dict())
    assert schedule.state_dict() == {}


GOOD = {"lr": 0.2, "best": 1.5, "bad_epochs": 1, "cooldown_left": 0}


@each_stateful
@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({}, "bad_epochs, best, cooldown_left, lr missing or"),
        ({**GOOD, "momentum": 1.0}, "momentum missing or unknown"),
        ({k: GOOD[k] for k in ("lr", "best", "bad_epochs")}, "cooldown_left missing"),
        ({**GOOD, 3: 1.0}, "3 missing or unknown"),
        ({**GOOD, "lr": "0.2"}, "lr='0.2' is no number"),
        ({**GOOD, "best": None}, "best=None is no number"),
        ({**GOOD, "best": [1.0]}, r"best=\[1.0\] is no number"),
        ({**GOOD, "best": np.ones(1)}, r"best=array\(\[1.\]\) is no number"),
        ({**GOOD, "bad_epochs": True}, "bad_epochs=True is no whole number"),
        ({**GOOD, "bad_epochs": 1.5}, "bad_epochs=1.5 is no whole number"),
        ({**GOOD, "cooldown_left": -1}, "cooldown_left=-1 must be at least 0"),
        ({**GOOD, "lr": -0.2}, "lr=-0.2 must be finite and at least 0"),
        ({**GOOD, "lr": math.inf}, "lr=inf must be finite"),
        ({**GOOD, "best": math.nan}, "best=nan must be a number"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_a_state_that_does_not_fit_is_refused_and_changes_nothing(make, state, said):
    schedule, same = make(), make()
    observed(schedule, BUMPY[:4]), observed(same, BUMPY[:4])
    with pytest.raises(ValueError, match=rf"Nothing was loaded\. ReduceOnPlateau: .*{said}"):
        schedule.load_state_dict(state)
    assert schedule == same and schedule.state_dict() == same.state_dict()


def test_a_state_with_an_infinite_best_is_fine():
    schedule = ReduceOnPlateau(0.1)
    for best in (math.inf, -math.inf):
        schedule.load_state_dict({**GOOD, "best": best})
        assert schedule.best == best


# ---------------------------------------------------------------- one of your own


@dataclasses.dataclass(frozen=True)
class Sawtooth(Schedule):
    lr: float
    teeth: int

    def rate(self, t):
        return np.float64(self.lr) * (1 - t % self.teeth / self.teeth)


def test_a_schedule_of_ones_own_inherits_all_but_the_formula():
    schedule = Sawtooth(0.4, 4)
    assert [schedule(t) for t in range(5)] == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.4])
    assert type(schedule(1)) is float and schedule.state_dict() == {}
    assert LinearWarmup(2, schedule)(3) == schedule(1)
    with pytest.raises(ValueError, match="Sawtooth: lr=-1.0 must be"):
        Sawtooth(-1, 4)
    with pytest.raises(ValueError, match="Sawtooth: t=-1"):
        schedule(-1)


def test_a_schedule_without_a_formula_says_what_to_write():
    class Unfinished(Schedule):
        pass

    with pytest.raises(NotImplementedError, match=r"Unfinished: write rate\(self, t\)"):
        Unfinished()(0)


# ---------------------------------------------------------------- in an optimizer


@each
def test_an_optimizer_asks_with_the_number_of_steps_taken_before(schedule):
    x = Tensor(np.array(0.0), requires_grad=True)
    optimizer = SGD(x, lr=schedule)
    moved = []
    for _ in range(40):
        before = x.item()
        optimizer.minimize(lambda: x * 1.0)
        moved.append(before - x.item())
    assert moved == pytest.approx([schedule(t) for t in range(40)], abs=1e-12)


@each
def test_float32_parameters_stay_float32(schedule):
    x = Tensor(np.ones(3, np.float32), requires_grad=True)
    SGD(x, lr=schedule, momentum=0.9).minimize(lambda: (x * x).sum())
    assert x.dtype == np.float32
