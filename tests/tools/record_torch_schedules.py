"""Make tests/data/torch_schedules.json again: the rates that PyTorch and Keras give.

    pip install torch==2.13.0                                 (and keras==3.15.1, if Keras's too)
    python tests/tools/record_torch_schedules.py

The file maps "pytorch" and "keras" to a version and cases. A case has a class of that library, its
settings, and the `rates` at t = 0, 1, 2..., or else at the `steps` that it lists. A case of
ReduceLROnPlateau has the `values` it was shown instead, and how it stood `after` each: the rate,
the best value, the bad epochs, and what is left of the cooldown. Floats are written in full; nan
and inf are NaN and Infinity, as Python's json has them. Without Keras, its cases stay as they are.
"""

import json
import math
import os
import warnings
from pathlib import Path

import torch
from torch.optim import lr_scheduler as pytorch

TARGET = Path(__file__).parents[1] / "data" / "torch_schedules.json"

PYTORCH = [  # class, lr of the optimizer, settings, number of rates
    ("StepLR", 0.1, {"step_size": 30}, 100),
    ("StepLR", 0.05, {"step_size": 7, "gamma": 0.5}, 60),
    ("StepLR", 1.0, {"step_size": 1, "gamma": 0.97}, 30),
    ("ExponentialLR", 0.1, {"gamma": 0.9}, 60),
    ("ExponentialLR", 0.001, {"gamma": 1.1}, 30),
    ("PolynomialLR", 0.1, {"total_iters": 20, "power": 1.0}, 30),
    ("PolynomialLR", 0.1, {"total_iters": 25, "power": 2.5}, 30),
    ("CosineAnnealingLR", 0.1, {"T_max": 50}, 51),
    ("CosineAnnealingLR", 0.3, {"T_max": 17, "eta_min": 0.03}, 18),
    ("CosineAnnealingWarmRestarts", 0.1, {"T_0": 10}, 45),
    ("CosineAnnealingWarmRestarts", 0.1, {"T_0": 5, "T_mult": 2, "eta_min": 0.01}, 80),
    ("CosineAnnealingWarmRestarts", 0.2, {"T_0": 3, "T_mult": 3}, 125),
    ("LinearLR", 0.1, {"start_factor": 0.25, "end_factor": 1.0, "total_iters": 10}, 20),
    ("OneCycleLR", 0.1, {"max_lr": 0.1, "total_steps": 100}, 100),
    ("OneCycleLR", 0.1, {"max_lr": 0.01, "total_steps": 37, "pct_start": 0.45}, 37),
    ("OneCycleLR", 0.1, {"max_lr": 1.0, "total_steps": 20, "pct_start": 0.0}, 20),
    ("OneCycleLR", 0.1, {"max_lr": 1.0, "total_steps": 20, "pct_start": 1.0}, 20),
    ("OneCycleLR", 0.1, {"max_lr": 0.5, "total_steps": 1}, 1),
    (
        "OneCycleLR",
        0.1,
        {"max_lr": 0.3, "total_steps": 50, "div_factor": 10.0, "final_div_factor": 100.0},
        50,
    ),
]

WARMUPS = [  # a LinearLR, then another one, in a SequentialLR
    (0.1, {"start_factor": 0.1, "total_iters": 10}, "CosineAnnealingLR", {"T_max": 40}, 51),
    (0.4, {"start_factor": 0.5, "total_iters": 5}, "StepLR", {"step_size": 10}, 40),
    (0.2, {"start_factor": 0.01, "total_iters": 8}, "ExponentialLR", {"gamma": 0.95}, 40),
]

FALLING = [1 / (1 + epoch) for epoch in range(10)]
BUMPY = [math.cos(epoch) + 2 - epoch / 20 for epoch in range(40)]
PLATEAUS = [  # lr, settings, values
    (0.1, {}, FALLING + [0.1] * 30),
    (0.1, {"factor": 0.5, "patience": 2}, FALLING + [0.1] * 12),
    (0.1, {"factor": 0.5, "patience": 0}, [1.0, 1.0, 0.5, 0.5, 0.5, 0.4]),
    (0.1, {"factor": 0.5, "patience": 1, "cooldown": 3}, [1.0] * 20 + FALLING + [0.5] * 10),
    (0.1, {"factor": 0.3, "patience": 2, "cooldown": 2, "min_lr": 0.004}, BUMPY),
    (0.1, {"factor": 0.1, "patience": 0, "min_lr": 0.01}, [1.0] * 5),
    (1e-7, {"factor": 0.5, "patience": 0}, [1.0] * 10),
    (1e-8, {"factor": 0.1, "patience": 0}, [1.0] * 4),
    (0.1, {"mode": "max", "factor": 0.5, "patience": 1}, [-1.0, 0.0, 0.5, *[0.7] * 6, 0.8, 0.1]),
    (0.1, {"mode": "max", "factor": 0.5, "patience": 2, "cooldown": 1}, BUMPY),
    (0.1, {"patience": 1}, [1.0, math.nan, 0.9, math.nan, math.nan, math.nan, 0.8]),
    (0.1, {"patience": 1}, [math.nan, math.nan, math.nan, 1.0]),
    (0.1, {"patience": 1}, [math.inf, math.inf, 5.0, math.inf, 4.0, -math.inf, -math.inf, -1.0]),
    (0.1, {"mode": "max", "patience": 0}, [-math.inf, 1.0, math.inf, math.inf, 2.0]),
    (0.1, {"factor": 0.5, "patience": 0, "threshold": 0.1}, [1.0, 0.95, 0.9, 0.89, 0.8, 0.7]),
    (0.1, {"factor": 0.5, "patience": 0, "threshold": 0.0}, [1.0, 1.0, 0.999999, 0.999999]),
    (
        0.1,
        {"mode": "max", "factor": 0.5, "patience": 0, "threshold": 0.1},
        [1.0, 1.05, 1.1, 1.11, 1.3, -5.0, 1.0],
    ),
    (0.1, {"factor": 0.5, "patience": 0}, [-1.0, -1.00001, -1.01, -1.0, -2.0]),
    (0.1, {"mode": "max", "patience": 0, "threshold": 0.1}, [10.0, 10.5, 11.5, 11.6, 20.0]),
    (0.1, {"mode": "max", "patience": 0, "threshold": 0.1}, [-10.0, -10.5, -12.0, -9.0]),
]

KERAS = [  # class, settings
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "decay_rate": 0.5}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 30, "decay_rate": 0.9, "staircase": True},
    ),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 30, "decay_rate": 0.5}),
    (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 30, "decay_rate": 2.0, "staircase": True},
    ),
    ("PiecewiseConstantDecay", {"boundaries": [30, 60, 61], "values": [1.0, 0.5, 0.25, 0.125]}),
    ("PiecewiseConstantDecay", {"boundaries": [0], "values": [0.3, 0.1]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 30}),
    (
        "PolynomialDecay",
        {
            "initial_learning_rate": 0.1,
            "decay_steps": 30,
            "end_learning_rate": 0.01,
            "power": 0.5,
            "cycle": True,
        },
    ),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 30}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 91, "alpha": 0.2}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 30}),
    (
        "CosineDecayRestarts",
        {
            "initial_learning_rate": 0.1,
            "first_decay_steps": 7,
            "t_mul": 1.5,
            "m_mul": 0.8,
            "alpha": 0.1,
        },
    ),
    (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.1, "first_decay_steps": 10, "t_mul": 1.0, "m_mul": 0.5},
    ),
]
STEPS = [0, 1, 2, 7, 8, 15, 29, 30, 31, 45, 59, 60, 61, 62, 89, 90, 91, 120, 121, 209, 210, 500]


def main() -> None:
    cases = [follow(*case) for case in PYTORCH] + [follow_warmup(*case) for case in WARMUPS]
    cases += [follow_plateau(*case) for case in PLATEAUS]
    recorded = {"pytorch": {"version": torch.__version__, "cases": cases}, "keras": of_keras()}
    TARGET.write_text(as_lines(recorded), encoding="utf-8")
    print(f"{TARGET}: {len(cases)} + {len(recorded['keras']['cases'])} cases")


def optimizer(lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.zeros(1)], lr=lr)


def rates(scheduler, optimizer, count: int) -> list[float]:
    """What the optimizer would use in each of `count` steps."""
    found = []
    for step in range(count):
        if step:
            optimizer.step()
            scheduler.step()
        found.append(float(optimizer.param_groups[0]["lr"]))
    return found


def follow(name: str, lr: float, settings: dict, count: int) -> dict:
    sgd = optimizer(lr)
    momentum = {"cycle_momentum": False} if name == "OneCycleLR" else {}
    found = rates(getattr(pytorch, name)(sgd, **settings, **momentum), sgd, count)
    return {"class": name, "lr": lr, "settings": settings, "rates": found}


def follow_warmup(lr: float, settings: dict, name: str, after: dict, count: int) -> dict:
    sgd = optimizer(lr)
    parts = [pytorch.LinearLR(sgd, **settings), getattr(pytorch, name)(sgd, **after)]
    both = pytorch.SequentialLR(sgd, parts, milestones=[settings["total_iters"]])
    found = rates(both, sgd, count)
    after = {"then": name, "then_settings": after}
    return {"class": "SequentialLR", "lr": lr, "settings": settings, **after, "rates": found}


def follow_plateau(lr: float, settings: dict, values: list[float]) -> dict:
    sgd = optimizer(lr)
    scheduler = pytorch.ReduceLROnPlateau(sgd, **settings)
    after = []
    for value in values:
        scheduler.step(value)
        counts = (scheduler.num_bad_epochs, scheduler.cooldown_counter)
        after.append([float(sgd.param_groups[0]["lr"]), float(scheduler.best), *counts])
    shown = {"values": values, "after": after}
    return {"class": "ReduceLROnPlateau", "lr": lr, "settings": settings, **shown}


def of_keras() -> dict:
    """Keras's rates in float64; those already recorded, if there is no Keras here."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError:
        if not TARGET.exists():
            return {"version": None, "cases": []}
        return json.loads(TARGET.read_text(encoding="utf-8"))["keras"]
    keras.config.set_floatx("float64")
    cases = []
    for name, settings in KERAS:
        schedule = getattr(keras.optimizers.schedules, name)(**settings)
        found = [float(schedule(step)) for step in STEPS]
        cases.append({"class": name, "settings": settings, "steps": STEPS, "rates": found})
    return {"version": keras.__version__, "cases": cases}


def as_lines(recorded: dict) -> str:
    """JSON with a case on each line."""
    parts = []
    for library, found in recorded.items():
        cases = ",\n".join(json.dumps(case) for case in found["cases"])
        head = f'"{library}": {{"version": {json.dumps(found["version"])}, "cases": ['
        parts.append(f"{head}\n{cases}\n]}}")
    return "{" + ",\n".join(parts) + "}\n"


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that PyTorch deprecates
    main()
