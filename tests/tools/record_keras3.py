"""Make tests/data/keras3.npz and .json again: what the optimizers of Keras 3 do, step by step.

    pip install keras==3.15.1 jax==0.10.2
    python tests/tools/record_keras3.py

Where a case starts and the gradients it gets are those of the recorded trajectories of Keras 2.2,
tests/data/keras.npz. The hyperparameters are the defaults of Keras 2.2 too, so that only the
arithmetic differs.
"""

import json
import os
from pathlib import Path

os.environ |= {"KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}

import jax
import keras
import numpy as np

DATA = Path(__file__).parents[1] / "data"
SOURCE, TARGET = DATA / "keras.npz", DATA / "keras3"
STREAMS = ("mixed-std-101", "sparse-std-102")
ENGINE = f"keras {keras.__version__} on jax {jax.__version__}"

FALLING = {"decay_steps": 1, "decay_rate": 0.01}
ADAM = {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}
ADAGRAD = {"learning_rate": 0.01, "epsilon": 1e-7}

# label, class, arguments
OPTIMIZERS = [
    ("default", "SGD", {"learning_rate": 0.01}),
    ("momentum0.9", "SGD", {"learning_rate": 0.01, "momentum": 0.9}),
    ("momentum0.9_nesterov", "SGD", {"learning_rate": 0.01, "momentum": 0.9, "nesterov": True}),
    ("falling", "SGD", {"learning_rate": {"initial_learning_rate": 0.01, **FALLING}}),
    ("default", "Adagrad", {**ADAGRAD, "initial_accumulator_value": 0.1}),
    ("accumulator0", "Adagrad", {**ADAGRAD, "initial_accumulator_value": 0.0}),
    ("default", "Adadelta", {"learning_rate": 1.0, "rho": 0.95, "epsilon": 1e-7}),
    ("default", "RMSprop", {"learning_rate": 0.001, "rho": 0.9, "epsilon": 1e-7}),
    ("default", "Adam", ADAM),
    ("amsgrad", "Adam", {**ADAM, "amsgrad": True}),
    ("falling", "Adam", {**ADAM, "learning_rate": {"initial_learning_rate": 0.001, **FALLING}}),
    ("default", "Adamax", {**ADAM, "learning_rate": 0.002}),
    ("default", "Nadam", {**ADAM, "learning_rate": 0.002}),
]


def make(name: str, config: dict) -> keras.optimizers.Optimizer:
    """The optimizer; a rate that is a dict describes an InverseTimeDecay."""
    rate = config["learning_rate"]
    if isinstance(rate, dict):
        rate = keras.optimizers.schedules.InverseTimeDecay(**rate)
    return getattr(keras.optimizers, name)(**{**config, "learning_rate": rate})


def trajectory(
    optimizer: keras.optimizers.Optimizer, starts: list[np.ndarray], grads: list[np.ndarray]
) -> list[np.ndarray]:
    """Of each parameter: its start, then its value after each update."""
    variables = [keras.Variable(start) for start in starts]
    rows = [[start] for start in starts]
    for gs in zip(*grads, strict=True):
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gs], variables)
        for row, variable in zip(rows, variables, strict=True):
            row.append(variable.numpy())
    if {x.dtype for row in rows for x in row} != {np.dtype(np.float64)}:
        raise TypeError("a parameter left float64")
    return [np.array(row) for row in rows]


def main() -> None:
    keras.config.set_floatx("float64")
    cases, arrays = [], {}
    with np.load(SOURCE) as file:
        for stream in STREAMS:
            grads = [file[f"grads/{stream}/p{i}"] for i in range(3)]
            starts = [file[f"SGD.default.{stream}/p{i}"][0] for i in range(3)]
            for label, name, config in OPTIMIZERS:
                case = f"{name}.{label}.{stream}"
                rows = trajectory(make(name, config), starts, grads)
                arrays |= {f"{case}/p{i}": row for i, row in enumerate(rows)}
                cases.append(
                    {
                        "id": case,
                        "optimizer": name,
                        "config": config,
                        "kind": "fixed-gradients",
                        "stream": stream,
                        "steps": len(grads[0]),
                        "param_shapes": [list(start.shape) for start in starts],
                        "engine": ENGINE,
                    }
                )
    lines = ",\n".join(json.dumps(case) for case in cases)
    TARGET.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    np.savez_compressed(TARGET.with_suffix(".npz"), **arrays)
    print(f"{TARGET}: {len(cases)} cases, {TARGET.with_suffix('.npz').stat().st_size} bytes")


if __name__ == "__main__":
    main()
