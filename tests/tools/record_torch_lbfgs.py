"""Make tests/data/torch_lbfgs.npz and .json again: what PyTorch's L-BFGS does, step by step.

    pip install torch==2.13.0
    python tests/tools/record_torch_lbfgs.py

The small network's data and where it starts come from tests/data/torch.npz, so that L-BFGS can be
compared with the others there.

A line search turns on comparisons, and near a minimum these compare rounding errors. So every case
runs again, several times, with its start and every point it is evaluated at shaken by 1e-15, and
only the steps in which all of these runs agree with the recorded one are kept.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

DATA = Path(__file__).parents[1] / "data"
SOURCE, TARGET = DATA / "torch.npz", DATA / "torch_lbfgs"
SHAKE, RUNS = 1e-15, 30
RTOL, LOSS_ATOL = 1e-10, 1e-15  # the losses of solved problems are rounding errors themselves

Arrays = list[np.ndarray]
Loss = Callable[..., torch.Tensor]


class Problem(NamedTuple):
    loss: Loss
    start: Arrays


class Trajectory(NamedTuple):
    rows: list[Arrays]  # the parameters: at the start, then after each step
    losses: list[float]
    evaluations: list[int]


WOLFE = {"line_search_fn": "strong_wolfe"}
FIXED = {"line_search_fn": None}

# problem, arguments, steps
CASES = [
    ("rosenbrock", WOLFE, 8),
    ("rosenbrock", {**WOLFE, "lr": 0.5}, 8),
    ("rosenbrock", {**WOLFE, "history_size": 3, "max_iter": 4}, 16),
    ("rosenbrock", {**WOLFE, "history_size": 1, "max_iter": 4}, 16),
    ("rosenbrock", {**WOLFE, "max_iter": 1}, 6),  # one evaluation is too few: it stays where it is
    ("rosenbrock", {**WOLFE, "max_iter": 1, "max_eval": 25}, 40),
    ("rosenbrock", {**WOLFE, "max_eval": 4}, 16),
    ("rosenbrock", {**WOLFE, "tolerance_change": 0.1}, 6),
    ("rosenbrock", {**WOLFE, "tolerance_grad": 5.0}, 6),
    ("rosenbrock", {**WOLFE, "lr": 0.07, "max_iter": 1, "max_eval": 25}, 30),
    ("rosenbrock", {**WOLFE, "lr": 30.0, "max_iter": 1, "max_eval": 25}, 30),
    ("rosenbrock", {**WOLFE, "lr": 1000.0, "max_iter": 1, "max_eval": 25}, 30),
    ("rosenbrock", {**FIXED, "lr": 0.5}, 8),
    ("rosenbrock", {**FIXED, "lr": 0.1}, 12),
    ("rosenbrock", {**FIXED, "lr": 0.1, "history_size": 3, "max_iter": 5}, 30),
    ("rosenbrock", {**FIXED, "lr": 0.1, "max_iter": 1}, 60),
    ("rosenbrock10", WOLFE, 8),
    ("rosenbrock10", {**WOLFE, "history_size": 5}, 8),
    ("rosenbrock10", {**WOLFE, "tolerance_change": 0.05}, 6),
    ("rosenbrock10", {**WOLFE, "tolerance_grad": 1.0}, 5),
    ("rosenbrock10", {**WOLFE, "lr": 0.05, "max_iter": 4}, 12),
    ("rosenbrock10", {**WOLFE, "lr": 30.0}, 8),
    ("rosenbrock10", {**FIXED, "lr": 0.1, "max_iter": 5}, 20),
    ("quadratic", {**WOLFE, "max_iter": 5}, 12),
    ("quadratic", {**WOLFE, "history_size": 3, "max_iter": 5}, 12),
    ("quadratic", {**WOLFE, "lr": 0.05, "max_iter": 5}, 12),
    ("quadratic", {**WOLFE, "lr": 3.0, "max_iter": 5}, 12),
    ("quadratic", {**WOLFE, "tolerance_change": 0.1}, 10),
    ("quadratic", {**FIXED, "tolerance_change": 0.1}, 10),
    ("quadratic", {**FIXED, "max_iter": 5}, 12),
    ("quadratic", {**FIXED, "lr": 0.1, "max_iter": 5}, 30),
    ("mlp", {**WOLFE, "max_iter": 5}, 12),
    ("mlp", {**WOLFE, "history_size": 3, "max_iter": 5}, 12),
    ("mlp", {**WOLFE, "lr": 0.3}, 6),
    ("mlp", {**WOLFE, "tolerance_change": 0.01}, 5),
    ("mlp", {**WOLFE, "lr": 10.0, "max_iter": 1, "max_eval": 25}, 30),
    ("mlp", {**WOLFE, "lr": 1000.0, "max_iter": 4}, 8),
    ("mlp", {**FIXED, "max_iter": 5}, 12),
    ("mlp", {**FIXED, "lr": 0.1, "max_iter": 5}, 20),
    ("mlp", {**FIXED, "lr": 0.3, "tolerance_change": 0.01}, 8),
    ("well", WOLFE, 6),
    ("well", {**WOLFE, "lr": 0.5, "history_size": 2, "max_iter": 3}, 8),
    ("well", {**WOLFE, "lr": 0.004, "max_iter": 1, "max_eval": 25}, 12),
    ("well", {**WOLFE, "lr": 1500.0, "max_iter": 1, "max_eval": 25}, 12),
    ("well", {**FIXED, "lr": 0.5}, 8),
    ("kinks", WOLFE, 6),
    ("kinks", {**WOLFE, "lr": 0.05, "max_iter": 4}, 8),
    ("kinks", {**WOLFE, "lr": 10.0, "max_iter": 4}, 8),
    ("kinks", {**WOLFE, "lr": 100.0}, 8),
]


def rosenbrock(x: torch.Tensor) -> torch.Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def problems(recorded: np.lib.npyio.NpzFile) -> tuple[dict[str, Problem], dict[str, np.ndarray]]:
    """The problems, and the arrays that they are made of."""
    data = {
        "mlp/0/X": recorded["mlp/0/X"],
        "mlp/0/Y": recorded["mlp/0/Y"],
        "quadratic/scale": np.array([1.0, 2, 5, 10, 25, 50, 100, 250, 500, 1e3, 3e3, 1e4]),
        "quadratic/b": np.array([3.0, -1, 4, -1, 5, -9, 2, -6, 5, -3, 5, -8]),
        "well/centre": np.array([3.0, -1.0]),
        "kinks/slopes": np.array([1.0, 3.0, 0.5]),
    }
    tensors = (torch.from_numpy(array) for array in data.values())
    features, targets, scale, b, centre, slopes = tensors

    def quadratic(x: torch.Tensor) -> torch.Tensor:
        return 0.5 * (scale * x * x).sum() - (b * x).sum()

    def well(x: torch.Tensor) -> torch.Tensor:
        return 0.01 * (x * x).sum() - torch.exp(-0.5 * ((x - centre) ** 2).sum())

    def kinks(x: torch.Tensor) -> torch.Tensor:
        return (slopes * x.abs()).sum() + 0.5 * (x * x).sum()

    def mlp(*parameters: torch.Tensor) -> torch.Tensor:
        w1, b1, w2, b2 = parameters
        return ((torch.tanh(features @ w1 + b1) @ w2 + b2 - targets) ** 2).mean()

    return {
        "rosenbrock": Problem(rosenbrock, [np.array([-1.2, 1.0])]),
        "rosenbrock10": Problem(rosenbrock, [np.array([-1.2, 1.0] + 8 * [0.5])]),
        "quadratic": Problem(quadratic, [np.linspace(1.0, -1.0, 12)]),
        "well": Problem(well, [np.array([0.5, 0.8])]),
        "kinks": Problem(kinks, [np.array([0.7, -0.9, 1.3])]),
        "mlp": Problem(mlp, [recorded[f"Adam.lr0.01.mlp0/p{i}"][0] for i in range(4)]),
    }, data


def run(problem: Problem, config: dict, steps: int, seed: int | None = None) -> Trajectory:
    """Take `steps` steps; with a seed, shake what rounding errors may shake."""
    rng = np.random.default_rng(seed)

    def shaken(x: torch.Tensor) -> torch.Tensor:
        if seed is None:
            return x
        return x * (1 + SHAKE * torch.from_numpy(np.asarray(rng.uniform(-1, 1, x.shape))))

    parameters = [shaken(torch.tensor(x)).requires_grad_() for x in problem.start]
    optimizer = torch.optim.LBFGS(parameters, **config)
    rows, losses, evaluations = [[p.detach().numpy().copy() for p in parameters]], [], []

    def closure() -> torch.Tensor:
        evaluations[-1] += 1
        optimizer.zero_grad()
        loss = problem.loss(*map(shaken, parameters))
        loss.backward()
        return loss

    for _ in range(steps):
        evaluations.append(0)
        losses.append(float(optimizer.step(closure).detach()))
        rows.append([p.detach().numpy().copy() for p in parameters])
    return Trajectory(rows, losses, evaluations)


def agreeing_steps(a: Trajectory, b: Trajectory) -> int:
    """For how many steps b does what a does."""
    for k, row in enumerate(a.rows[1:]):
        if not (
            a.evaluations[k] == b.evaluations[k]
            and np.allclose(b.losses[k], a.losses[k], rtol=RTOL, atol=LOSS_ATOL)
            and all(
                np.allclose(y, x, rtol=RTOL, atol=0)
                for x, y in zip(row, b.rows[k + 1], strict=True)
            )
        ):
            return k
    return len(a.losses)


def name_of(problem: str, config: dict) -> str:
    rest = [f"{key.replace('_', '')}{value:g}" for key, value in config.items() if key not in FIXED]
    search = "wolfe" if config["line_search_fn"] else "fixed"
    return ".".join(["LBFGS", "_".join([search, *rest]), problem])


def record(all_problems: dict[str, Problem], cases: Sequence) -> tuple[list[dict], dict]:
    records, arrays = [], {}
    for name, config, planned in cases:
        problem = all_problems[name]
        trajectory = run(problem, config, planned)
        steps = min(
            agreeing_steps(trajectory, run(problem, config, planned, seed)) for seed in range(RUNS)
        )
        case = name_of(name, config)
        print(f"{case}: {steps} of {planned} steps, evaluations {trajectory.evaluations[:steps]}")
        if not steps:
            raise ValueError(f"{case}: rounding errors grow within its first step")
        records.append(
            {
                "id": case,
                "optimizer": "LBFGS",
                "config": config,
                "problem": name,
                "steps": steps,
                "param_shapes": [list(x.shape) for x in problem.start],
                "engine": f"torch {torch.__version__}",
            }
        )
        for i in range(len(problem.start)):
            arrays[f"{case}/p{i}"] = np.array([row[i] for row in trajectory.rows[: steps + 1]])
        arrays[f"{case}/loss"] = np.array(trajectory.losses[:steps])
        arrays[f"{case}/evaluations"] = np.array(trajectory.evaluations[:steps])
    return records, arrays


def main() -> None:
    with np.load(SOURCE) as file:
        all_problems, data = problems(file)
    records, arrays = record(all_problems, CASES)
    lines = ",\n".join(json.dumps(case) for case in records)
    TARGET.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    np.savez_compressed(TARGET.with_suffix(".npz"), **data, **arrays)
    print(f"{TARGET}: {len(records)} cases, {TARGET.with_suffix('.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
