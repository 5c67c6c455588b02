"""How much does the framework cost? One training step against the same step written by hand.

    python tests/benchmarks/training_step.py [--torch]

An MLP with ReLU, cross-entropy and Adam, float32. The hand-written twin is NumPy with preallocated
buffers: every result goes into an array made beforehand. Both start from the same weights, see the
same batch and are run in turns; the ratio is that of the medians. At the end both must have the
same weights.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from tinygrad_edu.layers import MLP
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.optimizers import Adam

CASES = (
    # sizes, batch, rounds, steps in a round, bar
    ((2, 16, 16, 2), 50, 60, 50, 1.30),
    ((784, 1024, 1024, 10), 512, 25, 1, 1.05),
)


def by_framework(sizes: tuple[int, ...], x: np.ndarray, y: np.ndarray):
    model = MLP(*sizes, rng=0)
    optimizer = Adam(model.parameters(), lr=1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()

    return step, lambda: [p.data for p in model.parameters()]


def by_hand(sizes: tuple[int, ...], x: np.ndarray, y: np.ndarray):
    """Forward, backward and Adam with every buffer made beforehand."""
    batch = len(x)
    theta = [p.numpy() for p in MLP(*sizes, rng=0).parameters()]
    grads = [np.empty_like(p) for p in theta]
    ms, vs = [np.zeros_like(p) for p in theta], [np.zeros_like(p) for p in theta]
    spare, spare_2 = [np.empty_like(p) for p in theta], [np.empty_like(p) for p in theta]
    hidden = [np.empty((batch, n), np.float32) for n in sizes[1:]]
    slopes = [np.empty((batch, n), np.float32) for n in sizes[1:]]
    masks = [np.empty((batch, n), bool) for n in sizes[1:]]
    column, rows = np.empty((batch, 1), np.float32), np.arange(batch)
    t = 0

    def step() -> float:
        nonlocal t
        inputs = x
        for k, z in enumerate(hidden):
            np.matmul(inputs, theta[2 * k], out=z)
            np.add(z, theta[2 * k + 1], out=z)
            if k < len(hidden) - 1:
                np.maximum(z, 0, out=z)
            inputs = z
        logits, g = hidden[-1], slopes[-1]
        np.max(logits, axis=1, keepdims=True, out=column)
        np.subtract(logits, column, out=logits)
        np.exp(logits, out=g)
        np.sum(g, axis=1, keepdims=True, out=column)
        np.divide(g, column, out=g)
        np.log(column, out=column)
        loss = float(np.mean(column[:, 0] - logits[rows, y]))
        g[rows, y] -= 1
        np.multiply(g, 1 / batch, out=g)
        for k in reversed(range(len(hidden))):
            inputs = hidden[k - 1] if k else x
            np.matmul(inputs.T, slopes[k], out=grads[2 * k])
            np.sum(slopes[k], axis=0, out=grads[2 * k + 1])
            if k:
                np.matmul(slopes[k], theta[2 * k].T, out=slopes[k - 1])
                np.greater(inputs, 0, out=masks[k - 1])
                np.multiply(slopes[k - 1], masks[k - 1], out=slopes[k - 1])
        t += 1
        rate = 1e-3 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for p, g, m, v, a, b in zip(theta, grads, ms, vs, spare, spare_2, strict=True):
            np.multiply(m, 0.9, out=m)
            np.multiply(g, 1 - 0.9, out=a)
            np.add(m, a, out=m)
            np.multiply(v, 0.999, out=v)
            np.multiply(g, g, out=a)
            np.multiply(a, 1 - 0.999, out=a)
            np.add(v, a, out=v)
            np.sqrt(v, out=a)
            np.add(a, 1e-7, out=a)
            np.multiply(m, rate, out=b)
            np.divide(b, a, out=b)
            np.subtract(p, b, out=p)
        return loss

    return step, lambda: theta


def by_torch(sizes: tuple[int, ...], x: np.ndarray, y: np.ndarray):
    import torch

    layers: list[torch.nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(tx), ty).backward()
        optimizer.step()

    return step, None


def seconds(step: Callable[[], object], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        step()
    return (time.perf_counter() - start) / times


def race(makers: dict, sizes: tuple[int, ...], batch: int, rounds: int, times: int):
    """Median seconds per step of each, run in turns; the weights of the first two must agree."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, sizes[0])).astype(np.float32)
    y = rng.integers(0, sizes[-1], batch)
    racers = {name: make(sizes, x, y) for name, make in makers.items()}
    for step, _ in racers.values():
        seconds(step, 5)
    ours, theirs = (racers[name][1]() for name in ("framework", "by hand"))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    measured: dict[str, list[float]] = {name: [] for name in racers}
    for _ in range(rounds):
        for name, (step, _) in racers.items():
            measured[name].append(seconds(step, times))
    return {name: statistics.median(values) for name, values in measured.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--torch", action="store_true", help="race PyTorch as well")
    makers = {"framework": by_framework, "by hand": by_hand}
    if parser.parse_args().torch:
        makers["torch"] = by_torch
    for sizes, batch, rounds, times, bar in CASES:
        medians = race(makers, sizes, batch, rounds, times)
        ratio = medians["framework"] / medians["by hand"]
        each = ", ".join(f"{name} {1e6 * value:,.0f} us" for name, value in medians.items())
        title = "-".join(map(str, sizes))
        print(f"{title} batch {batch}: {each}; framework / by hand {ratio:.2f} (bar {bar})")


if __name__ == "__main__":
    main()
