"""L-BFGS: PyTorch's walks followed number by number, the line search alone, and what goes wrong.

tests/data/README.md says how the walks were recorded.
"""

import copy
import gc
import inspect
import json
import math
import pickle
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import ops
from tinygrad_edu.optimizers import SGD, second_order
from tinygrad_edu.optimizers.line_search import Point, off_the_ends, strong_wolfe
from tinygrad_edu.optimizers.second_order import LBFGS, Pair, direction

DATA = Path(__file__).parent / "data"
CASES = json.loads((DATA / "torch_lbfgs.json").read_text(encoding="utf-8"))
with np.load(DATA / "torch_lbfgs.npz") as file:
    ARRAYS = dict(file)


def leaf(data, dtype="float64", name=None):
    return tg.Tensor(np.array(data, dtype), requires_grad=True, name=name)


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def valley(dtype="float64", **settings):
    """Rosenbrock's valley, where it usually begins: x, an optimizer, and the loss."""
    x = leaf([-1.2, 1.0], dtype, name="x")
    return x, LBFGS(x, **{"max_eval": 1000, **settings}), lambda: rosenbrock(x)


def state_of(optimizer):
    """A copy of all that a step may change."""
    numbers = [p.numpy().tobytes() for p in optimizer.parameters()]
    return numbers, {key: np.array(v).tobytes() for key, v in optimizer.state_dict().items()}


# ---------------------------------------------------------------- the walks of PyTorch


def loss_of(case, parameters):
    x, dtype = parameters[0], parameters[0].dtype
    array = {name: v.astype(dtype) for name, v in ARRAYS.items() if not name.startswith("LBFGS")}
    if case["problem"].startswith("rosenbrock"):
        return rosenbrock(x)
    if case["problem"] == "quadratic":
        return 0.5 * (array["quadratic/scale"] * x * x).sum() - (array["quadratic/b"] * x).sum()
    if case["problem"] == "well":
        return 0.01 * (x * x).sum() - ops.exp(-0.5 * ((x - array["well/centre"]) ** 2).sum())
    if case["problem"] == "kinks":
        return (array["kinks/slopes"] * ops.abs(x)).sum() + 0.5 * (x * x).sum()
    w_1, b_1, w_2, b_2 = parameters
    hidden = ops.tanh(array["mlp/0/X"] @ w_1 + b_1)
    return ((hidden @ w_2 + b_2 - array["mlp/0/Y"]) ** 2).mean()


def walk_along(case, dtype="float64"):
    """Take the steps of a case; after each: its number, the parameters, the loss, the looks."""
    parameters = [leaf(p[0], dtype) for p in recorded(case)]
    optimizer = LBFGS(parameters, **case["config"])
    for k in range(case["steps"]):
        before = optimizer.evaluations
        loss = optimizer.minimize(lambda: loss_of(case, parameters))
        yield k, parameters, loss.item(), optimizer.evaluations - before


def recorded(case):
    return [ARRAYS[f"{case['id']}/p{i}"] for i in range(len(case["param_shapes"]))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_every_recorded_step_is_reproduced_with_as_many_looks_at_the_loss(case):
    for k, parameters, loss, looks in walk_along(case):
        assert looks == ARRAYS[f"{case['id']}/evaluations"][k], f"step {k}"
        assert loss == pytest.approx(ARRAYS[f"{case['id']}/loss"][k], rel=1e-10, abs=1e-15)
        for found, wanted in zip(parameters, recorded(case), strict=True):
            np.testing.assert_allclose(found.data, wanted[k + 1], rtol=1e-10, atol=1e-15)


def test_the_recorded_cases_cover_every_setting_with_and_without_a_search():
    settings = {(case["config"]["line_search_fn"], key) for case in CASES for key in case["config"]}
    both = ("line_search_fn", "lr", "max_iter", "history_size", "tolerance_change")
    assert settings >= {(search, key) for search in (None, "strong_wolfe") for key in both}
    assert settings >= {("strong_wolfe", "max_eval"), ("strong_wolfe", "tolerance_grad")}
    assert len(CASES) == 49


@pytest.mark.parametrize(
    ("case", "steps", "tolerance"),
    [
        ("LBFGS.fixed_lr0.1_maxiter1.rosenbrock", 20, 1e-4),
        ("LBFGS.fixed_lr0.1_maxiter5.quadratic", 10, 1e-3),
        ("LBFGS.wolfe_maxiter5.mlp", 3, 1e-3),
        ("LBFGS.wolfe_historysize3_maxiter4.rosenbrock", 4, 1e-3),
    ],
)
def test_float32_comes_as_close_as_float32_can(case, steps, tolerance):
    case = next(c for c in CASES if c["id"] == case)
    for k, parameters, loss, _ in walk_along(case, "float32"):
        if k == steps:
            break
        assert loss == pytest.approx(ARRAYS[f"{case['id']}/loss"][k], rel=tolerance)
        for found, wanted in zip(parameters, recorded(case), strict=True):
            assert found.dtype == "float32"
            np.testing.assert_allclose(found.data, wanted[k + 1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", range(20))
def test_a_problem_of_ones_own_is_walked_as_pytorch_walks_it(seed):
    torch = pytest.importorskip("torch", reason="compares with PyTorch's own LBFGS")
    rng = np.random.default_rng(seed)
    start, A = rng.normal(size=6), rng.normal(size=(6, 6))
    settings = {"lr": float(rng.choice([0.3, 1.0, 4.0])), "max_iter": int(rng.integers(2, 9))}
    settings["history_size"] = int(rng.integers(1, 6))
    ours, theirs = leaf(start), torch.tensor(start, requires_grad=True)
    matrix = torch.tensor(A)
    one = LBFGS(ours, **settings)
    other = torch.optim.LBFGS([theirs], line_search_fn="strong_wolfe", **settings)

    def loss_function():
        return (ops.tanh(A @ ours) ** 2).sum() + 0.1 * (ours**4).sum()

    def closure():
        other.zero_grad()
        loss = (torch.tanh(matrix @ theirs) ** 2).sum() + 0.1 * (theirs**4).sum()
        loss.backward()
        return loss

    for _ in range(3):
        loss = one.minimize(loss_function)
        assert loss.item() == pytest.approx(other.step(closure).item(), rel=1e-7)
        np.testing.assert_allclose(ours.data, theirs.detach().numpy(), rtol=1e-6, atol=1e-7)
    assert one.evaluations == other.state[theirs]["func_evals"]


# ---------------------------------------------------------------- which way


def test_the_two_loops_are_the_matrix_that_bfgs_writes_down():
    rng = np.random.default_rng(0)
    M = rng.normal(size=(5, 5))
    B = M @ M.T + np.eye(5)
    pairs = tuple(Pair.of(s, B @ s) for s in rng.normal(size=(3, 5)))
    newest = pairs[-1]
    inverse = np.eye(5) * (newest.s @ newest.y) / (newest.y @ newest.y)
    for s, y, *_ in pairs:
        rest = np.eye(5) - np.outer(y, s) / (s @ y)
        inverse = rest.T @ inverse @ rest + np.outer(s, s) / (s @ y)
    g = rng.normal(size=5)
    np.testing.assert_allclose(direction(g, pairs), -inverse @ g, rtol=1e-12)
    np.testing.assert_allclose(direction(newest.y, pairs), -newest.s, rtol=1e-12)


@pytest.mark.parametrize(
    ("s", "y", "kept"),
    [
        (1.0, 1.0, True),
        (1.0, -1.0, False),
        (1.0, 0.0, False),
        (0.0, 1.0, False),
        (1.0, 1.5e-10, True),
        (1.0, 1e-10, False),
        (1e20, 1e-25, False),  # in float32, y y is 0,
        (1e-25, 1e20, False),  # y y is inf,
        (1e38, 1e10, False),  # and s y is inf
    ],
)
def test_a_pair_is_one_where_the_ground_bends_upwards(s, y, kept):
    dtype = "float32" if kept is False and max(s, y) > 1 else "float64"
    pair = Pair.of(np.array([s], dtype), np.array([y], dtype))
    assert pair.bent_upwards is kept


def test_without_a_history_the_way_is_straight_down():
    g = np.array([3.0, -4.0])
    assert direction(g, ()).tolist() == [-3.0, 4.0] and g.tolist() == [3.0, -4.0]


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_a_parabola_in_n_dimensions_takes_about_n_iterations(n):
    rng = np.random.default_rng(n)
    M = rng.normal(size=(n, n))
    B, b = M @ M.T + np.eye(n), rng.normal(size=n)
    x = leaf(np.zeros(n))
    optimizer = LBFGS(x, max_iter=2 * n + 3, tolerance_change=0, tolerance_grad=1e-6)
    optimizer.minimize(lambda: 0.5 * (x * (B @ x)).sum() - (b * x).sum())
    np.testing.assert_allclose(x.data, np.linalg.solve(B, b), rtol=1e-4, atol=1e-5)
    assert n <= optimizer.state_dict()["k"] <= 2 * n + 3


# ---------------------------------------------------------------- how far


def polynomial(*coefficients):
    f = np.polynomial.Polynomial(coefficients)
    return lambda t: (float(f(t)), float(f.deriv()(t)))


def wave(a, w, b, c):
    """a sin(w t) + b t + c t^2, and its slope."""
    return lambda t: (
        a * math.sin(w * t) + b * t + c * t * t,
        a * w * math.cos(w * t) + b + 2 * c * t,
    )


def scripted(heights, slopes):
    """What is found where, whatever t: first one thing, then the next."""
    script = []

    def f(t):
        if t == 0:
            script[:] = zip(heights, slopes, strict=True)
            return 0.0, -1.0
        return script.pop(0)

    return f


def searched(f, t, trials=20, reach=1.0):
    """Search along f, which gives height and slope: the point found, and all t that were tried."""
    tried = []

    def look(t):
        tried.append(t)
        height, slope = f(t)
        return Point(t, height, np.array([slope]), slope)

    height, slope = f(0.0)
    start = Point(0.0, height, np.array([slope]), slope)
    return strong_wolfe(look, start, t, trials, reach), tried


def searched_by_torch(f, t, trials=20):
    torch = pytest.importorskip("torch", reason="compares with PyTorch's own line search")
    from torch.optim.lbfgs import _strong_wolfe

    tried, one = [], torch.ones(1, dtype=torch.float64)

    def look(x, t, d):
        tried.append(float(t))
        height, slope = f(float(t))
        return height, slope * one

    height, slope = f(0.0)
    g = slope * one
    found = _strong_wolfe(look, 0 * one, t, one, height, g, g.dot(one), max_ls=trials)
    return float(found[2]), tried


LINES = {  # f, where the search begins, how many trials, and all t that PyTorch's search tries
    "good at once": (polynomial(0, -1, 0.5), 1.3, 20, [1.3]),
    "good from 0.1 of the way on": (polynomial(0, -1, 0.5), 0.1, 20, [0.1]),
    "not good before": (polynomial(0, -1, 0.5), 0.0999, 20, [0.0999, 0.999]),
    "far too far": (polynomial(0, -1, 0.5), 25.0, 20, [25.0, 1.0]),
    "down for ever": (polynomial(0, -1), 1.0, 4, [1.0, 10.0, 100.0, 1000.0, 10000.0]),
    "just low enough": (scripted([-1e-4], [0.0]), 1.0, 20, [1.0]),
    "just not low enough": (
        scripted([-0.99e-4, -1.0], [0.0, 0.0]), 1.0, 20, [1.0, 0.333399346404],
    ),
    "just flat enough": (scripted([-1.0], [0.9]), 1.0, 20, [1.0]),
    "just not flat enough": (scripted([-1.0, -2.0], [0.91, 0.0]), 1.0, 20, [1.0, 0.867778074087]),
    "lower than an end, and too high": (
        scripted([2.0, -5e-6, -1.0], [2.0, 0.0, 0.0]), 1.0, 20,
        [1.0, 0.0893163974770, 0.0297754661989],
    ),
    "no trials, higher": (polynomial(0, -1, 0.5), 2.5, 0, [2.5]),
    "no trials, lower": (polynomial(0, -1, 0.5), 0.01, 0, [0.01]),
    # By the cubic, the lowest place lies behind, where the search has been: it goes on by 1 %.
    "behind": (polynomial(0, -1, 2.9494, -1.9496), 1.0, 3, [1.0, 1.01, 1.0101, 1.010101]),
    "behind, then good": (wave(-2.3, 8.4, -1.9, 0.3), 3.0, 20, [3.0, 3.03]),
    "ten times as far": (wave(-0.1, 3.1, -1.3, 0.0), 0.1, 20, [0.1, 1.0]),
    "lowest nowhere": (wave(0.8, 0.7, -2.8, 0.2), 0.5, 20, [0.5, 2.7525]),
    "the third is not lower": (
        wave(0.3, 7.6, -3.0, 0.5), 0.5, 20, [0.5, 1.04085467932, 5.72740500966, 3.53911366142],
    ),
    "near the upper end twice": (
        wave(0.3, 6.5, -2.3, 0.6), 1.0, 20, [1.0, 0.930371814079, 0.837334632671],
    ),
    "near the lower end twice": (
        wave(-0.6, 8.5, 4.0, 0.4), 10.0, 20, [10.0, 0.597674384265, 0.0597674384265],
    ),
    "the ends change places": (
        wave(-3.3, 1.8, 2.4, 0.1), 10.0, 20, [10.0, 1.11983641007, 0.637508123471],
    ),
    "too high between": (
        wave(-0.8, 5.7, 1.3, 0.2), 3.0, 20, [3.0, 0.577916677102, 0.183484602592],
    ),
    "not lower between": (
        wave(0.2, 5.4, -1.2, 0.4), 2.0, 20, [2.0, 1.88568140467, 1.97059335745],
    ),
    "a new lower end": (
        wave(-4.0, 5.7, -1.6, 0.1), 3.0, 20, [3.0, 1.06331642949, 1.72960957002],
    ),
}  # fmt: skip
each_line = pytest.mark.parametrize(("f", "t", "trials", "tried"), LINES.values(), ids=LINES)


@each_line
def test_the_search_looks_where_pytorch_looked(f, t, trials, tried):
    point, found = searched(f, t, trials)
    assert found == pytest.approx(tried, rel=1e-9)
    assert point.t == (found[-1] if point.f < 0 else 0)


@each_line
def test_pytorch_looks_there_still(f, t, trials, tried):
    assert searched_by_torch(f, t, trials)[1] == pytest.approx(tried, rel=1e-9)


def test_on_any_wave_the_search_looks_where_pytorch_looks():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        f = wave(*rng.uniform(-4, 4, size=2).tolist(), -20.0, float(rng.uniform(0.05, 1)))
        t, trials = 10 ** float(rng.uniform(-2, 1.5)), int(rng.integers(0, 20))
        point, tried = searched(f, t, trials)
        best, theirs = searched_by_torch(f, t, trials)
        assert tried == pytest.approx(theirs, rel=1e-6) and point.t == pytest.approx(best, rel=1e-6)


def test_whatever_it_finds_the_search_decides_as_pytorch_does():
    rng = np.random.default_rng(0)
    heights = [-3, -2, -1, -1e-3, -1.5e-4, -7e-5, -1e-5, 0, 1]
    slopes = [-2, -1, -0.95, -0.9, -0.5, 0, 0.5, 0.9, 0.95, 2]
    compared = 0
    for _ in range(2000):
        script = rng.choice(heights, 12), rng.choice(slopes, 12)
        t, trials = float(rng.choice([0.1, 1, 3])), int(rng.integers(0, 11))
        best, theirs = searched_by_torch(scripted(*script), t, trials)
        if math.isnan(sum(theirs)):
            continue  # there, the cubic is 0 / 0 in PyTorch, and the middle here
        point, tried = searched(scripted(*script), t, trials)
        assert tried == pytest.approx(theirs, rel=1e-9) and point.t == pytest.approx(best, rel=1e-9)
        compared += 1
    assert compared > 1900


def test_what_is_found_meets_both_of_wolfes_conditions():
    rng = np.random.default_rng(1)
    for _ in range(1000):
        f = wave(*rng.uniform(-4, 4, size=2).tolist(), -20.0, float(rng.uniform(0.05, 1)))
        (height, slope), t = f(0.0), 10 ** float(rng.uniform(-3, 2))
        point, tried = searched(f, t, 100)
        assert point.t == tried[-1] > 0 and (point.f, point.slope) == f(point.t)
        assert point.f <= height + 1e-4 * point.t * slope
        assert abs(point.slope) <= 0.9 * abs(slope)


def test_around_a_kink_the_search_ends_when_no_number_would_move_by_1e_minus_9():
    def kink(t):
        return abs(t - 0.3), -1.0 if t < 0.3 else 1.0

    for reach in (1e-3, 1.0, 100.0):
        point, tried = searched(kink, 1.0, 1000, reach)
        assert len(tried) < 200 and abs(point.t - 0.3) * reach < 1e-9
        closest = sorted(abs(t - 0.3) for t in tried)[-1]
        assert closest > 0


def test_ends_that_are_exactly_1e_minus_9_apart_are_two_points_yet():
    for reach, looks in ((1e-9, 2), (0.99e-9, 1)):
        _, tried = searched(scripted([1.0, -1.0], [1.0, 0.0]), 1.0, reach=reach)
        assert len(tried) == looks


def test_a_tenth_of_the_way_is_far_enough_from_an_end():
    for slow in (False, True):
        assert off_the_ends(0.1, 0.0, 1.0, slow) == (0.1, False)
        assert off_the_ends(0.5, 0.0, 1.0, slow) == (0.5, False)
    for t, moved in ((0.09, 0.1), (0.91, 0.9)):
        assert off_the_ends(t, 0.0, 1.0, False) == (t, True)
        assert off_the_ends(t, 0.0, 1.0, True) == (moved, False)
    for t, moved in ((0.0, 0.1), (1.0, 0.9)):  # where an end is, there has been a look already
        assert off_the_ends(t, 0.0, 1.0, False) == (moved, False)


def test_a_straight_line_is_followed_ten_times_as_far_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        point, tried = searched(polynomial(0, -2), 0.5, 3)
    assert tried == [0.5, 5.0, 50.0, 500.0] and point.t == 500.0


@pytest.mark.parametrize("bad", ["height", "slope"])
def test_a_search_comes_back_from_what_is_infinitely_high(bad):
    def f(t):
        return (t * t / 2 - t, t - 1) if t < 1.25 else (math.inf, math.nan)

    point, tried = searched(f, 40.0)
    assert tried == [40.0, 20.0, 10.0, 5.0, 2.5, 1.25, 0.625] and point.t == 0.625


def test_a_search_that_finds_nothing_finite_ends_where_it_began():
    point, tried = searched(lambda t: (math.inf, math.nan) if t else (0.0, -1.0), 1.0, 5)
    assert point.t == 0 and tried == [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125]


def test_every_move_of_a_whole_walk_meets_wolfes_conditions(monkeypatch):
    moves = []

    def noted(look, start, *rest):
        moves.append((start, strong_wolfe(look, start, *rest)))
        return moves[-1][1]

    monkeypatch.setattr(second_order, "strong_wolfe", noted)
    x, optimizer, loss = valley(max_iter=100, max_eval=1000)
    optimizer.minimize(loss)
    assert len(moves) > 20
    for start, end in moves:
        assert end.f <= start.f + 1e-4 * end.t * start.slope
        assert abs(end.slope) <= 0.9 * abs(start.slope)
    np.testing.assert_allclose(x.data, [1, 1], atol=1e-4)


# ---------------------------------------------------------------- one step


@pytest.mark.parametrize(("slope", "moved"), [(0.25, 0.25), (1.0, 1.0), (4.0, 1.0)])
def test_the_first_move_is_of_size_1_at_most(slope, moved):
    x = leaf([0.0])
    LBFGS(x, max_iter=1, line_search_fn=None).minimize(lambda: (slope * x).sum())
    assert x.item() == -moved


def test_a_closure_and_a_loss_function_are_the_same_step():
    x, optimizer, loss = valley(max_iter=5)
    y, other, same_loss = valley(max_iter=5)
    seen = []

    def closure():
        other.zero_grad()
        seen.append(same_loss())
        seen[-1].backward()
        return seen[-1]

    for _ in range(2):
        first = len(seen)
        assert optimizer.minimize(loss).item() == other.step(closure).item()
        assert seen[first].item() == rosenbrock(leaf([-1.2, 1.0])).item() or first
        assert x.tolist() == y.tolist()
    assert len(seen) == optimizer.evaluations == other.evaluations


def test_what_is_returned_is_the_first_loss_as_the_closure_gave_it():
    _, optimizer, loss = valley()
    returned = []

    def closure():
        optimizer.zero_grad()
        now = loss()
        now.backward()
        returned.append(now)
        return now

    assert optimizer.step(closure) is returned[0] and len(returned) > 2


@pytest.mark.parametrize("number", [float, np.float32, np.float64, np.array, lambda x: leaf([x])])
def test_the_loss_may_be_a_number_of_any_kind(number):
    x, optimizer, loss = valley(max_iter=3)

    def closure():
        optimizer.zero_grad()
        now = loss()
        now.backward()
        return number(now.item())

    assert float(np.array(tg.tensor(optimizer.step(closure)).numpy()).item()) == pytest.approx(24.2)
    assert x.tolist() != [-1.2, 1.0]


def test_gradients_may_be_assigned_by_hand():
    x, optimizer, loss = valley(max_iter=5)
    y, other, _ = valley(max_iter=5)

    def closure():
        z = leaf(y.data)
        now = rosenbrock(z)
        now.backward()
        y.grad = z.grad.copy()
        return now.item()

    for _ in range(3):
        optimizer.minimize(loss), other.step(closure)
        assert x.tolist() == y.tolist()


def test_parameters_set_between_steps_are_where_the_next_begins():
    x, optimizer, loss = valley(max_iter=2, history_size=1)
    optimizer.minimize(loss)
    x.data = [0.5, 0.5]
    assert optimizer.minimize(loss).item() == pytest.approx(6.5)
    assert rosenbrock(x).item() < 6.5


def test_the_settings_end_a_step():
    def walked(**settings):
        x, optimizer, loss = valley(**settings)
        optimizer.minimize(loss)
        return optimizer.state_dict()["k"], optimizer.evaluations, x

    assert walked(max_iter=7, max_eval=1000)[0] == 7
    assert walked(max_iter=1000, max_eval=10)[1] in (10, 11)
    assert walked(max_iter=8, max_eval=None)[1] in (10, 11)  # 5/4 of it
    assert walked(max_iter=1000, tolerance_grad=1e9)[:2] == (0, 1)
    assert walked(max_iter=1000, tolerance_change=1e9)[:2] == (1, 1)
    flat = walked(max_iter=1000, tolerance_grad=0.5, tolerance_change=0)[2]
    flat.grad = None
    rosenbrock(flat).backward()
    assert 1e-5 < np.abs(flat.grad).max() <= 0.5


def moves_of(slope, **settings):
    """The moves along a straight line, where the first is of size 1 at most, and others are not."""
    x = leaf([0.0])
    optimizer = LBFGS(x, line_search_fn=None, max_iter=3, max_eval=9, **settings)
    optimizer.minimize(lambda: (slope * x).sum())
    return x.item(), optimizer.state_dict()["k"]


def test_a_move_of_exactly_the_tolerance_is_the_last_but_such_a_change_of_the_loss_is_not():
    assert moves_of(4.0, tolerance_change=0.5) == (-9.0, 3)
    assert moves_of(4.0, tolerance_change=1.0) == (-1.0, 1)
    assert moves_of(0.25, tolerance_change=0.0625) == (-0.75, 3)  # the loss changes by 1/16
    assert moves_of(0.25, tolerance_change=0.0626) == (0.0, 1)  # the slope along d is -1/16


def test_a_gradient_of_exactly_the_tolerance_is_flat_enough():
    x = leaf([1.0, -0.5])
    optimizer = LBFGS(x, tolerance_grad=2.0)
    optimizer.minimize(lambda: (x * x).sum())
    assert x.tolist() == [1.0, -0.5] and optimizer.state_dict()["k"] == 0


def test_iterations_count_the_steps_and_a_schedule_goes_by_them():
    asked = []

    def rate(t):
        asked.append(t)
        return 0.5**t

    x = leaf([1.0])
    optimizer = LBFGS(x, lr=rate, max_iter=1, line_search_fn=None)
    found = [x.item()]
    for _ in range(3):
        optimizer.minimize(lambda: x.sum())
        found.append(x.item())
    assert found == [1.0, 0.0, -0.5, -0.75]
    assert set(asked) == {0, 1, 2} and optimizer.iterations == 3 and optimizer.rate == 0.25
    x, optimizer, loss = valley(max_iter=3)
    optimizer.minimize(loss), optimizer.minimize(loss)
    assert optimizer.iterations == 2 and optimizer.state_dict()["k"] == 6


def test_the_graphs_of_a_step_are_let_go_of():
    _, optimizer, loss = valley(max_iter=2)
    first = optimizer.minimize(loss)
    with pytest.raises(RuntimeError):
        first.backward()


def test_the_examples_of_other_optimizers_hold_with_float32_and_several_shapes():
    W, b = leaf(np.ones((2, 3)), "float32"), leaf(0.0, "float32")
    empty = leaf(np.zeros((0, 2)), "float32")
    optimizer = LBFGS([W, b, empty])
    optimizer.minimize(lambda: ((W - 3) ** 2).sum() + (b + 1) ** 4 + empty.sum())
    np.testing.assert_allclose(W.data, 3, atol=1e-3)
    np.testing.assert_allclose(b.data, -1, atol=0.1)
    assert W.dtype == b.dtype == "float32" and W.shape == (2, 3) and b.shape == ()


def test_a_solved_problem_stays_solved():
    x = leaf([3.0, -2.0])
    optimizer = LBFGS(x)
    for _ in range(5):
        optimizer.minimize(lambda: (x * x).sum())
        before = x.tolist()
    assert before == x.tolist() and np.abs(x.data).max() < 1e-7


# ---------------------------------------------------------------- who stays where he is


def test_a_frozen_parameter_never_moves_and_the_others_walk_as_if_it_were_constant():
    a, b, c = leaf([-1.2]), leaf([0.3, 7.0]), leaf([1.0])
    x, y = leaf([-1.2]), leaf([1.0])
    b.requires_grad = False
    one, other = LBFGS([a, b, c]), LBFGS([x, y])
    for _ in range(2):
        one.minimize(lambda: (100 * (c - a**2) ** 2 + (1 - a) ** 2).sum() * b[1] / 7)
        other.minimize(lambda: (100 * (y - x**2) ** 2 + (1 - x) ** 2).sum())
    assert b.tolist() == [0.3, 7.0]
    assert a.item() == pytest.approx(x.item()) and c.item() == pytest.approx(y.item())


@pytest.mark.filterwarnings("ignore:LBFGS.step. no gradient")
@pytest.mark.parametrize("how", ["frozen", "not in the loss"])
def test_a_parameter_that_moved_before_stays_when_it_has_no_gradient_any_more(how):
    x, y = leaf([-1.2]), leaf([1.0])
    optimizer = LBFGS([x, y], max_iter=4)
    optimizer.minimize(lambda: (100 * (y - x**2) ** 2 + (1 - x) ** 2).sum())
    y.requires_grad = how != "frozen"
    stale = y.grad
    before, at = x.item(), y.item()
    for _ in range(2):
        optimizer.minimize(lambda: (100 * (at - x**2) ** 2 + (1 - x) ** 2).sum())
    assert y.item() == at and x.item() != before and stale is not None


def test_a_stale_gradient_counts_as_zeros_and_is_left_alone():
    x, y = leaf([3.0]), leaf([5.0])
    optimizer = LBFGS([x, y], max_iter=2)
    optimizer.minimize(lambda: (x * x + y).sum())
    where = y.item()
    with pytest.warns(UserWarning, match=r"no gradient for a parameter of shape \(1,\)"):
        optimizer.minimize(lambda: (x * x).sum())
    assert y.item() == where and y.grad is None
    y.requires_grad = False
    y.grad = np.array([np.nan])

    def closure():
        x.grad = 2 * x.data
        return (x * x).sum()

    optimizer.step(closure)
    assert y.item() == where and np.isnan(y.grad).all()


def test_an_infinite_number_in_a_frozen_parameter_is_no_obstacle():
    x, mask = leaf([3.0, 4.0]), leaf([0.0, -np.inf])
    mask.requires_grad = False
    LBFGS([x, mask]).minimize(lambda: (x * x).sum())
    np.testing.assert_allclose(x.data, 0, atol=1e-6)
    assert mask.tolist() == [0.0, -np.inf]


def test_gradients_that_pile_up_are_warned_about():
    _, optimizer, loss = valley(max_iter=3)

    def closure():
        now = loss()
        now.backward()
        return now

    with pytest.warns(UserWarning, match="the gradients of the step before were still there"):
        optimizer.step(closure)


def test_a_loss_without_backward_is_warned_about():
    x, optimizer, loss = valley()
    with pytest.warns(UserWarning, match="no gradient for x.*was backward"):
        optimizer.step(loss)
    assert x.tolist() == [-1.2, 1.0]


# ---------------------------------------------------------------- nan and inf


BAD_BEGINNINGS = {
    "nan in a gradient": (
        lambda x: (x * np.array([1.0, np.nan])).sum(),
        r"x \(shape \(2,\)\) has nan",
    ),
    "inf in a gradient": (
        lambda x: (x * np.array([1.0, np.inf])).sum(),
        r"x \(shape \(2,\)\) has inf",
    ),
    "a loss of nan": (lambda x: x.sum() + np.nan, "the loss is nan; nothing was updated"),
    "a loss of inf": (lambda x: x.sum() + np.inf, "the loss is inf; nothing was updated"),
    "too large to be squared": (
        lambda x: (1e200 * x).sum(),
        r"reaches 1e\+200, too large .* float64",
    ),
}
each_beginning = pytest.mark.parametrize(
    ("bad", "message"), BAD_BEGINNINGS.values(), ids=BAD_BEGINNINGS
)


@each_beginning
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_bad_beginning_is_refused_before_anything_is_written(bad, message, search):
    x, optimizer, loss = valley(max_iter=3, line_search_fn=search, lr=0.1)
    optimizer.minimize(loss)
    before = state_of(optimizer)
    with pytest.raises(FloatingPointError, match=f"LBFGS.step: .*{message}"):
        optimizer.minimize(lambda: bad(x))
    assert state_of(optimizer) == before and optimizer.iterations == 1 and optimizer.skipped == 0
    optimizer.minimize(loss)
    assert optimizer.iterations == 2


@each_beginning
def test_a_bad_beginning_is_skipped_on_request(bad, message):
    x, optimizer, loss = valley(max_iter=3, nonfinite="skip")
    optimizer.minimize(loss)
    before = state_of(optimizer)
    returned = optimizer.minimize(lambda: bad(x))
    assert state_of(optimizer) == before and optimizer.skipped == 1 and optimizer.iterations == 1
    assert isinstance(returned, tg.Tensor)


@each_beginning
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_bad_beginning_is_ignored_on_request_and_the_next_step_goes_on(bad, message, search):
    x, optimizer, loss = valley(max_iter=3, nonfinite="ignore", line_search_fn=search, lr=0.1)
    optimizer.minimize(loss)
    before = x.tolist()
    memory, too_large = optimizer.state_dict()["s"], "too large" in message
    with np.errstate(all="ignore"):
        optimizer.minimize(lambda: bad(x))
    assert optimizer.iterations == 2 and optimizer.skipped == 0 and np.isfinite(x.data).all()
    assert too_large or (x.tolist() == before and (optimizer.state_dict()["s"] == memory).all())
    assert (optimizer.state_dict()["k"] == 3) is not too_large
    before = x.tolist()
    optimizer.minimize(loss)
    assert np.isfinite(x.data).all() and x.tolist() != before


def test_the_message_names_the_dtype_that_is_too_small():
    x = leaf([1.0, 1.0], "float32")
    with pytest.raises(FloatingPointError, match=r"reaches 3e\+25, too large .* float32"):
        LBFGS(x).minimize(lambda: (x * np.float32(3e25)).sum())


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("lr", [1.0, 100.0])
def test_a_trial_where_there_is_no_loss_is_not_fatal(search, lr):
    x = leaf([0.5, 3.0])
    optimizer = LBFGS(x, lr=lr, line_search_fn=search)
    start = (x - ops.log(x)).sum().item()
    for _ in range(4):
        optimizer.minimize(lambda: (x - ops.log(x)).sum())  # no log below 0
        assert np.isfinite(x.data).all() and (x.data > 0).all()
    assert (x - ops.log(x)).sum().item() <= start
    if search:
        np.testing.assert_allclose(x.data, 1, atol=1e-3)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_where_only_the_gradient_is_not_finite_counts_as_too_far_too(search):
    x = leaf([1.0])
    optimizer = LBFGS(x, lr=4.0, line_search_fn=search, max_iter=6)

    def closure():
        x.grad = 2 * x.data if x.item() > -0.5 else np.array([np.nan])
        return x.item() ** 2

    optimizer.step(closure)
    if search:
        assert abs(x.item()) < 1e-6
    else:
        assert x.item() == 1.0  # one try, to -1, and back


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_surrounded_by_nan_it_stays_where_it_is(search):
    x = leaf([1.0, -2.0])
    optimizer = LBFGS(x, line_search_fn=search)

    def closure():
        here = x.tolist() == [1.0, -2.0]
        x.grad = np.array([1.0, 1.0]) if here else np.array([np.nan, 1.0])
        return 1.0 if here else math.nan

    for steps in range(1, 4):
        optimizer.step(closure)
        assert x.tolist() == [1.0, -2.0] and optimizer.iterations == steps
    assert optimizer.state_dict()["s"].tolist() == [0, 0]


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_a_loss_that_is_finite_at_infinity_does_not_lead_there(search):
    x = leaf([1.0], "float32")
    optimizer = LBFGS(x, lr=3e38, max_iter=1, max_eval=3, line_search_fn=search)
    for _ in range(3):
        optimizer.step(lambda: (setattr(x, "grad", np.array([-2.0], "f")), -math.tanh(x.item()))[1])
        assert np.isfinite(x.data).all()


def test_a_history_too_large_for_the_dtype_is_forgotten():
    x, optimizer, loss = valley("float32", max_iter=3)
    optimizer.minimize(loss)
    state = optimizer.state_dict()
    state["history.s"], state["history.y"] = np.full((1, 2), 1e25), np.full((1, 2), 1e-15)
    state["s"] = np.zeros(2)
    optimizer.load_state_dict(state)
    before = rosenbrock(x).item()
    optimizer.minimize(loss)
    assert rosenbrock(x).item() < before


def test_a_search_warns_of_nothing_that_it_can_deal_with():
    x = leaf([3.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LBFGS(x, lr=1e5).minimize(lambda: ops.exp(x * x).sum() - 8000 * x.sum())
    assert np.isfinite(x.data).all()


# ---------------------------------------------------------------- when the closure raises


class Trouble(Exception):
    pass


@pytest.mark.parametrize("error", [Trouble, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("when", range(6))
def test_an_interrupted_step_goes_back_to_where_the_iteration_began(error, search, when):
    settings = {"line_search_fn": search, "max_iter": 6, "max_eval": 100}
    settings["lr"] = 1.0 if search else 0.01
    _, optimizer, loss = valley(**settings)
    optimizer.minimize(loss)
    begun = [(state_of(optimizer)[0], vars(optimizer)["_memory"])]
    iterate = optimizer._iterate

    def noted(*args, **options):
        result = iterate(*args, **options)
        begun.append((state_of(optimizer)[0], vars(optimizer)["_memory"]))
        return result

    optimizer._iterate = noted
    left = [when]

    def closure():
        if left[0] == 0:
            raise error
        left[0] -= 1
        optimizer.zero_grad()
        now = loss()
        now.backward()
        return now

    with pytest.raises(error):
        optimizer.step(closure)
    numbers, memory = begun[-1]
    assert state_of(optimizer)[0] == numbers and vars(optimizer)["_memory"] is memory
    assert optimizer.iterations == 1
    optimizer.minimize(loss)
    assert optimizer.iterations == 2


class Interrupting:
    """Interrupts what `_iterate` does itself, at the line that is the n-th to be run."""

    def __init__(self, n):
        self.left = n

    def __call__(self, frame, event, argument):
        if frame.f_code is LBFGS._iterate.__code__:
            if event == "line":
                self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                raise KeyboardInterrupt
            return self
        return None


@np.errstate()  # an interruption on the way out of errstate itself leaves it in force
def test_an_iteration_interrupted_at_any_line_is_done_or_has_never_begun():
    _, optimizer, loss = valley(max_iter=1)
    for _ in range(3):
        optimizer.minimize(loss)
    twin = copy.deepcopy(optimizer)
    (y,) = twin.parameters()
    twin.minimize(lambda: rosenbrock(y))
    begun, done = state_of(optimizer), state_of(twin)
    counts = ("iterations", "evaluations")  # of steps that came to their end
    traced, found = sys.gettrace(), []
    for n in range(100):
        one = copy.deepcopy(optimizer)
        (z,) = one.parameters()
        sys.settrace(Interrupting(n))
        try:
            one.minimize(lambda: rosenbrock(z))  # noqa: B023
            break
        except KeyboardInterrupt:
            numbers, state = state_of(one)
        finally:
            sys.settrace(traced)
        wanted = begun if numbers == begun[0] else done
        assert numbers == wanted[0], n
        assert all(state[key] == wanted[1][key] for key in state if key not in counts), n
        found.append(wanted is done)
    assert n > 10 and not found[0] and found[-1] and found == sorted(found)


def test_a_run_that_was_interrupted_goes_on_as_if_nothing_had_been():
    x, optimizer, loss = valley(max_iter=1)
    y, other, same_loss = valley(max_iter=1)
    looks = []

    def troubled():
        looks.append(1)
        if len(looks) % 2 == 0:
            raise Trouble
        return same_loss()

    for k in range(8):
        optimizer.minimize(loss)
        with pytest.raises(Trouble):
            other.minimize(troubled)
        other.minimize(same_loss)
        assert x.tolist() == y.tolist(), k


# ---------------------------------------------------------------- saving


def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit():
    for settings in ({}, {"history_size": 2}, {"line_search_fn": None, "lr": 0.1}):
        x, optimizer, loss = valley(max_iter=3, **settings)
        for _ in range(3):
            optimizer.minimize(loss)
        state, where = optimizer.state_dict(), x.numpy()
        for _ in range(3):
            optimizer.minimize(loss)
        y = leaf(where)
        other = LBFGS(y)
        other.line_search_fn = optimizer.line_search_fn
        other.load_state_dict(state)
        assert (other.iterations, other.evaluations, other.max_iter) == (3, state["evaluations"], 3)
        for _ in range(3):
            other.minimize(lambda: rosenbrock(y))  # noqa: B023
        assert state_of(other) == state_of(optimizer)


def test_what_is_saved_has_plain_names_and_shapes():
    a, b = leaf([[1.0, 2.0]], "float32"), leaf(3.0, "float32")
    optimizer = LBFGS([a, b], max_iter=4)
    before = optimizer.state_dict()
    assert before["history.s"].shape == before["history.y"].shape == (0, 3)
    assert (before["k"], before["evaluations"], before["iterations"]) == (0, 0, 0)
    optimizer.minimize(lambda: (a**4).sum() + b**4 + (a * b).sum())
    state = optimizer.state_dict()
    assert state["history.s"].shape == state["history.y"].shape == (3, 3)
    assert state["s"].shape == state["g"].shape == (3,) and state["s"].dtype == "float32"
    assert state["k"] == 4 and state["max_iter"] == 4 and state["max_eval"] == 5
    assert "line_search_fn" not in state


def test_what_is_saved_is_a_copy_and_so_is_what_is_loaded():
    _, optimizer, loss = valley(max_iter=3)
    optimizer.minimize(loss)
    before = state_of(optimizer)
    for how in ("saved", "loaded"):
        state = optimizer.state_dict()
        if how == "loaded":
            optimizer.load_state_dict(state)
        for v in state.values():
            if isinstance(v, np.ndarray):
                v += 1
        assert state_of(optimizer) == before, how


def test_a_state_of_plain_lists_and_whole_floats_is_as_good():
    _, optimizer, loss = valley(max_iter=3)
    optimizer.minimize(loss)
    state = optimizer.state_dict()
    plain = {key: np.array(v).tolist() for key, v in state.items()} | {"k": 3.0}
    before = state_of(optimizer)
    optimizer.load_state_dict(plain)
    assert state_of(optimizer) == before and type(optimizer.state_dict()["k"]) is int


def changed(**changes):
    return lambda state: (
        state
        | {
            key.replace("_", ".", 1) if "history_" in key and key != "history_size" else key: v
            for key, v in changes.items()
        }
    )


FOREIGN = {
    "nothing": lambda state: {},
    "no count": lambda state: {key: v for key, v in state.items() if key != "k"},
    "no history": lambda state: {key: v for key, v in state.items() if key != "history.s"},
    "no changes": lambda state: {key: v for key, v in state.items() if key != "history.y"},
    "no last move": lambda state: {key: v for key, v in state.items() if key != "s"},
    "no setting": lambda state: {key: v for key, v in state.items() if key != "max_iter"},
    "no steps": lambda state: {key: v for key, v in state.items() if key != "iterations"},
    "something unknown": lambda state: state | {"extra": 1.0},
    "another optimizer": lambda state: SGD(leaf([1.0, 2.0]), momentum=0.5).state_dict(),
    "one parameter more": lambda state: LBFGS(leaf([1.0, 2.0, 3.0])).state_dict(),
    "a gradient that would broadcast": changed(g=np.zeros(1)),
    "a longer move": changed(s=np.zeros(3)),
    "a number for a move": changed(s=0.0),
    "a history of other numbers": changed(history_s=np.zeros((2, 3))),
    "a flat history": changed(history_s=np.ones(4), history_y=np.ones(4)),
    "more moves than changes": changed(history_s=np.ones((3, 2))),
    "no pairs": changed(history_s=np.ones((1, 2)), history_y=-np.ones((1, 2))),
    "no move in a pair": changed(history_s=np.zeros((1, 2)), history_y=np.ones((1, 2))),
    "text": changed(g=np.array(["a", "b"])),
    "objects": changed(s=np.array([None, None])),
    "bools": changed(k=True),
    "complex numbers": changed(g=np.array([1j, 2.0])),
    "nan in a move": changed(s=np.array([0.0, np.nan])),
    "inf in the history": changed(history_y=np.full((2, 2), np.inf)),
    "a negative count": changed(k=-1),
    "half an iteration": changed(k=2.5),
    "a count of nan": changed(k=math.nan),
    "a count of inf": changed(evaluations=math.inf),
    "negative evaluations": changed(evaluations=-1),
    "counts": changed(k=np.array([1, 2])),
    "a negative count of steps": changed(iterations=-1),
    "a setting of 0": changed(max_iter=0),
    "half a pair": changed(history_size=2.5),
    "a rate of 0": changed(lr=0.0),
    "a negative tolerance": changed(tolerance_grad=-1.0),
}


@pytest.mark.parametrize("spoil", FOREIGN.values(), ids=FOREIGN)
def test_a_state_of_something_else_is_refused_and_changes_nothing(spoil):
    _, optimizer, loss = valley(max_iter=3)
    optimizer.minimize(loss)
    foreign = spoil(optimizer.state_dict())
    optimizer.minimize(loss)
    before = state_of(optimizer)
    with pytest.raises(ValueError, match="LBFGS: nothing was loaded: "):
        optimizer.load_state_dict(foreign)
    assert state_of(optimizer) == before


def test_the_refusal_names_what_does_not_fit():
    _, optimizer, _ = valley()
    for spoilt in ({"g": np.zeros(3)}, {"k": -1}):
        (name,) = spoilt
        with pytest.raises(
            ValueError, match=f"nothing was loaded: {name} missing, of another shape"
        ):
            optimizer.load_state_dict(optimizer.state_dict() | spoilt)


def test_a_longer_or_shorter_history_can_be_taken_over():
    _, optimizer, loss = valley(max_iter=9)
    young = optimizer.state_dict()
    optimizer.minimize(loss)
    old = optimizer.state_dict()
    assert len(old["history.s"]) > 3
    for state in (young, old, young):
        optimizer.load_state_dict(state)
        assert len(optimizer.state_dict()["history.s"]) == len(state["history.s"])


def test_get_config_makes_the_same_optimizer_again():
    given = {
        "lr": 0.5, "max_iter": 7, "max_eval": 30, "tolerance_grad": 1e-3, "tolerance_change": 1e-4,
        "history_size": 5, "line_search_fn": None,
    }  # fmt: skip
    optimizer = LBFGS(leaf(1.0), **given)
    assert optimizer.get_config() == given
    again = LBFGS.from_config(json.loads(json.dumps(optimizer.get_config())))
    assert type(again) is LBFGS and again.get_config() == given and again.parameters() == []
    assert (
        repr(again)
        == repr(optimizer)
        == "LBFGS(" + ", ".join(f"{k}={v!r}" for k, v in given.items()) + ")"
    )
    assert LBFGS(max_iter=7).get_config()["max_eval"] == 8


# ---------------------------------------------------------------- copies


def test_a_copy_goes_its_own_way_and_the_same_one():
    x, optimizer, loss = valley(max_iter=3)
    optimizer.minimize(loss)
    before = state_of(optimizer)
    twins = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    for twin in twins:
        (y,) = twin.parameters()
        assert state_of(twin) == before and y is not x
        twin.minimize(lambda: rosenbrock(y))  # noqa: B023
        assert state_of(optimizer) == before != state_of(twin)
    optimizer.minimize(loss)
    assert all(state_of(twin) == state_of(optimizer) for twin in twins)


def test_steps_leave_no_garbage():
    _, optimizer, loss = valley(max_iter=5)
    optimizer.minimize(loss)
    gc.collect()
    gc.disable()
    try:
        optimizer.minimize(loss)
        assert gc.collect() == 0
    finally:
        gc.enable()


# ---------------------------------------------------------------- in words


def test_the_formula_has_the_numbers_in_it(capsys):
    text = LBFGS(lr=0.5, max_iter=7, history_size=9, tolerance_grad=0.25).formula()
    assert capsys.readouterr().out == text + "\n"
    for part in (
        "one of 9 pairs",
        "t = 0.5;",
        "0.5 min(1, 1 / sum|g|)",
        "<= 0.25",
        "at most 7 times",
    ):
        assert part in text
    assert "searched" in text
    assert "searched" not in LBFGS(line_search_fn=None).formula()


def rows_of(text):
    lines = text.splitlines()
    assert "by the rule" in lines
    found = (
        re.fullmatch(r"    (.{15}) (.*)", line) for line in lines[1 : lines.index("by the rule")]
    )
    return {row[1].strip(): row[2] for row in found}


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("index", [None, 0, 1, (1,), -1])
def test_an_explained_step_can_be_computed_again_from_what_is_printed(search, index, capsys):
    x, optimizer, loss = valley(max_iter=4, lr=0.1, line_search_fn=search)
    for step in (1, 2):
        before, evaluations = x.numpy(), optimizer.evaluations
        first = optimizer.minimize(loss).item()
        text = optimizer.explain_step(x, index)
        assert capsys.readouterr().out == text + "\n"
        change = x.data - before
        i = np.argmax(np.abs(change)) if index is None else np.arange(2)[index].item()
        assert text.startswith(f"LBFGS, step {step}, x[{index if index == -1 else i}]:")
        rows = rows_of(text)
        moves = [re.findall(r"[td] = (\S+?)(?:,|$)", rows[f"iteration {k}"]) for k in range(1, 5)]
        assert sum(float(t) * float(d) for t, d in moves) == pytest.approx(change[i], rel=1e-9)
        assert float(rows["change"]) == change[i]
        assert [float(v) for v in rows["theta"].split(" -> ")] == [before[i], x.data[i]]
        z = leaf(before)
        rosenbrock(z).backward()
        assert float(rows["g"]) == z.grad[i]
        started, ended = rows["loss"].split(" -> ")
        assert float(started) == first
        assert float(ended) == rosenbrock(x).item() if search else ended == "not computed"
        assert int(rows["evaluations"]) == optimizer.evaluations - evaluations
        assert "iteration 5" not in rows


def test_what_is_explained_is_the_step_as_it_was():
    x, optimizer, loss = valley(max_iter=2)
    optimizer.minimize(loss)
    text = optimizer.explain_step(x, 0)
    x.data = [5.0, 5.0]
    assert optimizer.explain_step(x, 0) == text


def test_a_step_that_did_nothing_is_explained_as_such():
    x = leaf(0.0, name="x")
    optimizer = LBFGS(x)
    optimizer.minimize(lambda: x * x)
    text = optimizer.explain_step(x)
    assert "LBFGS, step 1, x:" in text and "theta           0.0 -> 0.0" in text
    assert "iteration" not in "".join(rows_of(text))


def test_of_large_parameters_only_so_many_directions_are_kept():
    a, b = leaf(np.linspace(-1, 1, 32_767), name="a"), leaf([2.0])  # 3 times 32,768 is too much
    optimizer = LBFGS([a, b], max_iter=3, max_eval=30, lr=0.1, tolerance_change=0)
    optimizer.minimize(lambda: (a**4).sum() + (b**4).sum())
    rows = rows_of(optimizer.explain_step(b, 0))
    assert "not kept" not in rows["iteration 1"] + rows["iteration 2"]
    assert rows["iteration 3"].endswith("d = not kept")


def test_there_is_nothing_to_explain_before_a_step_or_of_a_strangers_parameter():
    x, optimizer, loss = valley()
    with pytest.raises(RuntimeError, match="LBFGS.explain_step: no step to explain yet; take one"):
        optimizer.explain_step(x)
    optimizer.minimize(loss)
    with pytest.raises(ValueError, match="none of the optimizer's parameters"):
        optimizer.explain_step(leaf(1.0))
    with pytest.raises(IndexError, match="is no number of a parameter of shape"):
        optimizer.explain_step(x, 7)


# ---------------------------------------------------------------- what is refused


def test_names_order_and_defaults_are_pytorchs_but_for_the_search():
    given = [(a.name, a.default) for a in inspect.signature(LBFGS).parameters.values()]
    assert given[:-1] == [
        ("params", None), ("lr", 1.0), ("max_iter", 20), ("max_eval", None),
        ("tolerance_grad", 1e-7), ("tolerance_change", 1e-9), ("history_size", 100),
        ("line_search_fn", "strong_wolfe"),
    ]  # fmt: skip
    assert given[-1][0] == "options"


BAD_SETTINGS = [
    *(("lr", x) for x in (0, 0.0, -1.0, math.nan, math.inf, "1", None)),
    *((key, x) for key in ("max_iter", "history_size") for x in (0, -1, 2.5, math.nan, True, None)),
    *(("max_eval", x) for x in (0, -1, 2.5, math.inf, False, "3")),
    *((key, x) for key in ("tolerance_grad", "tolerance_change") for x in (-1e-9, math.nan, None)),
    *(("line_search_fn", x) for x in ("wolfe", "armijo", True)),
    ("nonfinite", "stop"),
]


@pytest.mark.parametrize(("setting", "value"), BAD_SETTINGS, ids=str)
def test_a_setting_that_makes_no_sense_is_refused_by_name(setting, value):
    with pytest.raises((TypeError, ValueError), match=f"LBFGS: {setting}={re.escape(repr(value))}"):
        LBFGS(**{setting: value})


@pytest.mark.parametrize("key", ["max_iter", "max_eval", "history_size"])
def test_whole_numbers_of_any_kind_are_taken_as_such(key):
    for value in (1, np.int64(3), 3.0):
        found = getattr(LBFGS(**{key: value}), key)
        assert found == value and type(found) is int


def test_tolerances_may_be_0():
    optimizer = LBFGS(tolerance_grad=0, tolerance_change=0)
    assert (optimizer.tolerance_grad, optimizer.tolerance_change) == (0, 0)


@pytest.mark.parametrize("key", ["weight_decay", "momentum", "betas"])
def test_an_unknown_argument_is_refused(key):
    with pytest.raises(TypeError, match=f"LBFGS: there is no argument '{key}'"):
        LBFGS(**{key: 0.5})


@pytest.mark.parametrize("key", ["clipnorm", "clipvalue"])
def test_clipping_is_refused(key):
    with pytest.raises(TypeError, match=f"LBFGS: no {key}: it needs the gradients as they are"):
        LBFGS(**{key: 0.5})


def test_a_rate_that_falls_to_0_is_refused_when_it_does():
    x = leaf([1.0])
    optimizer = LBFGS(x, lr=lambda t: 1.0 - t)
    optimizer.minimize(lambda: (x**4).sum())
    before = state_of(optimizer)
    with pytest.raises(ValueError, match="LBFGS: lr=0.0 must be above 0"):
        optimizer.minimize(lambda: (x**4).sum())
    assert state_of(optimizer) == before


def test_a_rate_of_0_is_refused_later_too():
    optimizer = LBFGS()
    with pytest.raises(ValueError, match="LBFGS: lr=0 must be above 0"):
        optimizer.lr = 0
    optimizer.lr = 0.5
    assert optimizer.lr == 0.5


def test_a_step_without_a_closure_says_what_to_write():
    _, optimizer, _ = valley()
    with pytest.raises(
        TypeError, match=r"LBFGS\.step: .*step\(closure\).*minimize\(loss_function\)"
    ):
        optimizer.step()


@pytest.mark.parametrize("returned", [None, "0.5", [1.0, 2.0], np.ones(3), 1j], ids=repr)
def test_a_closure_that_returns_no_loss_is_told_so(returned):
    _, optimizer, _ = valley()
    before = state_of(optimizer)
    with pytest.raises(
        TypeError, match="LBFGS.step: the closure returned .*let it return the loss"
    ):
        optimizer.step(lambda: returned)
    assert state_of(optimizer) == before


def test_it_has_no_update_that_takes_one_gradient():
    with pytest.raises(NotImplementedError, match=r"LBFGS: one gradient is not enough; use step"):
        LBFGS().update(np.zeros(1), np.ones(1))


def test_an_unbound_optimizer_says_so():
    assert LBFGS().state_dict()["s"].shape == LBFGS().state_dict()["g"].shape == (0,)
    with pytest.raises(RuntimeError, match="LBFGS: no parameters yet; .*bind"):
        LBFGS().step(lambda: 0.0)
    with pytest.raises(RuntimeError, match="LBFGS: no parameters yet"):
        LBFGS().minimize(lambda: leaf(1.0))


def test_parameters_can_be_bound_later():
    _, optimizer, loss = valley(max_iter=5)
    y, later = leaf([-1.2, 1.0]), LBFGS(max_iter=5, max_eval=1000)
    assert later.evaluations == 0 and later.bind(y) is later
    optimizer.minimize(loss), later.minimize(lambda: rosenbrock(y))
    assert state_of(later) == state_of(optimizer)
    with pytest.raises(ValueError, match="make a new optimizer"):
        later.bind(leaf(1.0))
    assert state_of(later) == state_of(optimizer)


GROUPS = {
    "two": lambda a, b: [{"params": a}, {"params": b}],
    "a setting": lambda a, b: {"params": [a, b], "lr": 0.5},
    "a setting in a list": lambda a, b: [{"params": [a, b], "max_iter": 3}],
    "the same setting": lambda a, b: [{"params": [a, b], "lr": 1.0}],
}


@pytest.mark.parametrize("groups", GROUPS.values(), ids=GROUPS)
def test_groups_are_refused_and_the_parameters_stay_free(groups):
    a, b = leaf(1.0), leaf(2.0)
    optimizer = LBFGS()
    with pytest.raises(ValueError, match="LBFGS: one vector, one line search: there are no groups"):
        optimizer.bind(groups(a, b))
    assert optimizer.parameters() == []
    assert SGD([a, b]).parameters() == [a, b]


def test_one_group_without_settings_is_only_a_list():
    a, b = leaf(1.0), leaf(2.0)
    assert LBFGS([{"params": [a, b]}]).parameters() == [a, b]
    model = tg.layers.MLP(2, 3, 1)
    assert LBFGS(model).parameters() == model.parameters()


def test_parameters_of_two_dtypes_are_refused_and_stay_free():
    a, b = leaf(1.0), leaf(2.0, "float32")
    optimizer = LBFGS()
    with pytest.raises(ValueError, match="LBFGS: .*one vector, but have dtypes float64, float32"):
        optimizer.bind([a, b])
    assert optimizer.parameters() == [] and SGD([a, b]).parameters() == [a, b]


def test_a_parameter_that_somebody_else_has_is_refused():
    a, b = leaf(1.0), leaf(2.0)
    owner, optimizer = SGD(a), LBFGS()
    with pytest.raises(ValueError, match="already belongs to an optimizer"):
        optimizer.bind([b, a])
    assert optimizer.parameters() == [] and owner.parameters() == [a]
    assert LBFGS(b).parameters() == [b]


# ---------------------------------------------------------------- as a whole


def test_a_small_network_is_trained_in_a_few_steps():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (40, 2))
    Y = np.sin(X[:, :1]) * X[:, 1:]
    model = tg.layers.MLP(2, 8, 1, rng=0)
    for p in model.parameters():
        p.data = p.data.astype("float64")
    optimizer = LBFGS(model)
    losses = [optimizer.minimize(lambda: ((model(X) - Y) ** 2).mean()).item() for _ in range(15)]
    assert losses[-1] < 0.02 * losses[0]


@pytest.mark.parametrize(("y", "counts"), [(1.01e-10, True), (1e-10, False), (0.99e-10, False)])
def test_a_pair_counts_from_ten_digits_below_one_on(y, counts):
    assert Pair.of(np.array([1.0]), np.array([y])).bent_upwards is counts


def test_all_that_is_saved_is_a_copy():
    w = tg.Tensor(np.array([1.0, -2.0]), requires_grad=True)
    optimizer = LBFGS(w, max_iter=3)
    optimizer.minimize(lambda: (w**4).sum())
    before = {name: np.array(x) for name, x in optimizer.state_dict().items()}
    for x in optimizer.state_dict().values():
        if isinstance(x, np.ndarray):
            x += 1
    for name, x in optimizer.state_dict().items():
        np.testing.assert_array_equal(x, before[name], err_msg=name)
