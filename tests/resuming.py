"""A training run of every kind of chance, and a program that goes on with saved ones.

`python -m tests.resuming FOLDER` loads FOLDER/half-NAME into a new run for every optimizer, goes on
with it, and saves it as FOLDER/resumed-NAME. The tests compare that with an uninterrupted run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import BatchNorm, Dropout, Layer, Linear, ReLU, Sequential
from tinygrad_edu.optimizers import KNOWN
from tinygrad_edu.schedules import LinearWarmup, ReduceOnPlateau

X = np.random.default_rng(0).standard_normal((12, 3)).astype("float32")
Y = np.random.default_rng(1).standard_normal((12, 2)).astype("float32")
HALF = 3  # epochs


class Counting(Layer):
    """A buffer that changes, a parameter that is frozen, and one that is in two places."""

    def __init__(self, tied):
        self.calls = np.zeros((), "int64")
        self.frozen = Linear(3, 3, rng=7).freeze()
        self.tied = tied

    def forward(self, x):
        self.calls += self.training
        return self.frozen(x) @ self.tied


def new_run(name):
    """All of it made anew, with other weights and other random numbers than the time before."""
    entropy = np.random.default_rng()
    first = Linear(3, 3, rng=entropy)
    model = Sequential(
        first,
        BatchNorm(3),
        Counting(first.weight),
        Dropout(0.2, rng=entropy),
        ReLU(),
        Linear(3, 8, rng=entropy),
        Dropout(0.2),  # by the default generator
        Linear(8, 2, rng=entropy),
    )
    plateau = ReduceOnPlateau(0.01, factor=0.5, patience=0)
    return {
        "model": model,
        "optimizers": optimizers(name, model, LinearWarmup(4, plateau, start=0.001)),
        "plateau": plateau,
        "shuffling": np.random.Generator(np.random.MT19937()),
        "average": [p.numpy() for p in model.parameters()],
        "epochs": 0,
        "losses": [],
    }


def optimizers(name, model, lr):
    if name != "muon":
        return [KNOWN[name](model, lr=lr)]
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    return [KNOWN[name](matrices, lr=lr), KNOWN["adamw"](others, lr=lr)]


def step(run, x, y):
    def loss_function():
        return tg.losses.mean_squared_error(run["model"](x), y)

    first, *more = run["optimizers"]
    loss = first.minimize(loss_function)
    for optimizer in more:
        optimizer.step()
        optimizer.zero_grad()
    run["losses"].append(loss.item())


def go_on(run, epochs=HALF):
    for _ in range(epochs):
        for x, y in tg.training.get_batches((X, Y), 5, shuffle=True, rng=run["shuffling"]):
            step(run, x, y)
        run["plateau"].observe(run["losses"][-1])
        for average, p in zip(run["average"], run["model"].parameters(), strict=True):
            average += (p.data - average) / 4
        run["epochs"] += 1
    return run


def main(folder):
    for name in KNOWN:
        run = tg.load(folder / f"half-{name}", new_run(name))
        tg.save(folder / f"resumed-{name}", go_on(run))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
