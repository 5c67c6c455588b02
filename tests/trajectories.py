"""The recorded walks of other libraries' optimizers, and how to follow one with ours.

tests/data/README.md says how they were recorded.
"""

import json
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import ops

DATA = Path(__file__).parent / "data"
LIBRARIES = ("keras", "torch", "optax")
ARRAYS = {library: dict(np.load(DATA / f"{library}.npz")) for library in LIBRARIES}
CASES = [
    {"library": library, **case}
    for library in LIBRARIES
    for case in json.loads((DATA / f"{library}.json").read_text(encoding="utf-8"))
]


def leaf(data, dtype="float64"):
    return tg.Tensor(np.array(data, dtype), requires_grad=True)


def recorded(case):
    """The parameters of a case: for each, an array with a row for the start and every step."""
    arrays = ARRAYS[case["library"]]
    return [arrays[f"{case['id']}/p{i}"] for i in range(len(case["param_shapes"]))]


def loss_of(case, parameters):
    """The loss of a closed-loop case."""
    if case["kind"] == "rosenbrock":
        (p,) = parameters
        x, y = p[0], p[1]
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2
    w_1, b_1, w_2, b_2 = parameters
    x, y = (ARRAYS[case["library"]][f"mlp/0/{name}"].astype(w_1.dtype) for name in "XY")
    return ((ops.tanh(x @ w_1 + b_1) @ w_2 + b_2 - y) ** 2).mean()


def steps_of(case, make, dtype="float64", weight_decay=0.0):
    """Follow a case; after each step, the parameters as they are.

    `make(parameters)` gives the optimizer. `weight_decay` is what PyTorch means by it: the slope of
    weight_decay / 2 times the sum of theta^2 is added to every gradient.
    """
    parameters = [leaf(p[0], dtype) for p in recorded(case)]
    optimizer = make(parameters)
    for k in range(case["steps"]):
        optimizer.zero_grad()
        if case["kind"] == "fixed-gradients":
            for i, p in enumerate(parameters):
                g = ARRAYS[case["library"]][f"grads/{case['stream']}/p{i}"][k]
                p.grad = (g + weight_decay * p.data).astype(dtype)
        else:
            loss = loss_of(case, parameters)
            for p in parameters if weight_decay else []:
                loss = loss + weight_decay / 2 * (p * p).sum()
            loss.backward()
        if case.get("clipnorm_scope") == "per-array":  # as tf_keras does: each by its own norm
            for p in parameters:
                norm, limit = np.linalg.norm(p.grad), case["config"]["clipnorm"]
                p.grad = p.grad * np.asarray(limit / norm, dtype) if norm >= limit else p.grad
        optimizer.step()
        yield parameters
