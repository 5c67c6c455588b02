"""How fast is a step of Adam? Against NumPy by hand, against PyTorch, and in small pieces.

    python tests/benchmarks/optimizer_step.py [--torch]

One step over n parameters in float32. By hand means the same formula in NumPy, block by block,
every result in an array made beforehand; both must end with the same numbers. All are run in turns,
small sizes many steps in a turn; the ratios are those of the medians. Bytes are those that a step
cannot avoid to move: it reads theta, g, m and v, and writes theta, m and v.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.optimizers import Adam

# parameters, rounds, steps in a turn, bar against torch
SIZES = (
    (1_000, 40, 200, 0.3),
    (100_000, 150, 1, 1.0),
    (2_000_000, 31, 1, 1.0),
    (20_000_000, 11, 1, 1.0),
)
BY_HAND, PIECES = 1.15, 1.3  # bars
BLOCK = 65_536
MOVED = 7 * 4  # bytes for each parameter

Step = Callable[[], object]


def ours(theta: np.ndarray, g: np.ndarray) -> tuple[Step, Callable[[], np.ndarray]]:
    p = tg.Tensor(theta, requires_grad=True)
    p.grad = g.copy()
    return Adam(p).step, lambda: p.data


def by_hand(theta: np.ndarray, g: np.ndarray) -> tuple[Step, Callable[[], np.ndarray]]:
    theta, m, v = theta.copy(), np.zeros_like(theta), np.zeros_like(theta)
    spare, spare_2 = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    t = 0

    def step() -> None:
        nonlocal t
        t += 1
        rate = 1e-3 * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for start in range(0, len(theta), BLOCK):
            block = slice(start, start + BLOCK)
            p_, g_, m_, v_ = theta[block], g[block], m[block], v[block]
            a, b = spare[: len(p_)], spare_2[: len(p_)]
            np.multiply(m_, 0.9, out=m_)
            np.multiply(g_, 1 - 0.9, out=a)
            np.add(m_, a, out=m_)
            np.multiply(v_, 0.999, out=v_)
            np.multiply(g_, g_, out=a)
            np.multiply(a, 1 - 0.999, out=a)
            np.add(v_, a, out=v_)
            np.sqrt(v_, out=a)
            np.add(a, 1e-7, out=a)
            np.multiply(m_, rate, out=b)
            np.divide(b, a, out=b)
            np.subtract(p_, b, out=p_)

    return step, lambda: theta


def by_torch(theta: np.ndarray, g: np.ndarray) -> tuple[Step, None]:
    import torch

    p = torch.nn.Parameter(torch.from_numpy(theta.copy()))
    p.grad = torch.from_numpy(g.copy())
    return torch.optim.Adam([p]).step, None


def in_turns(steps: dict[str, Step], rounds: int, times: int) -> dict[str, float]:
    """Median seconds of one step of each; in every round in another order, as who comes after
    PyTorch finds its threads still spinning."""
    measured: dict[str, list[float]] = {name: [] for name in steps}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(list(steps)):
            start = time.perf_counter()
            for _ in range(times):
                steps[name]()
            measured[name].append((time.perf_counter() - start) / times)
    return {name: statistics.median(values) for name, values in measured.items()}


def by_size(with_torch: bool) -> None:
    makers = {"ours": ours, "by hand": by_hand} | ({"torch": by_torch} if with_torch else {})
    rng = np.random.default_rng(0)
    for n, rounds, times, bar in SIZES:
        theta, g = rng.standard_normal((2, n), dtype=np.float32)
        made = {name: make(theta, g) for name, make in makers.items()}
        for step, _ in made.values():
            step()
        np.testing.assert_allclose(made["ours"][1](), made["by hand"][1](), atol=1e-6)
        steps = {name: step for name, (step, _) in made.items()} | {"copy": g.copy}
        medians = in_turns(steps, rounds, times)
        copied = 2 * g.nbytes / medians.pop("copy") / 1e9
        print(f"{n:,} parameters; this machine copies {copied:.1f} GB/s")
        for name, seconds in medians.items():
            speed = MOVED * n / seconds / 1e9
            print(f"    {name:8} {1e6 * seconds:9,.1f} us {1e9 * seconds / n:6.2f} ns/parameter "
                  f"{speed:5.1f} GB/s")  # fmt: skip
        print(f"    ours / by hand {medians['ours'] / medians['by hand']:.2f} (bar {BY_HAND})")
        if with_torch:
            print(f"    ours / torch {medians['ours'] / medians['torch']:.2f} (bar {bar})")


def by_pieces() -> None:
    """Forty small arrays against one array of as many numbers."""
    for size in (25, 100, 1_000):
        rng = np.random.default_rng(0)
        makers = {}
        for name, shapes in (("forty", [size] * 40), ("one", [40 * size])):
            parameters = [tg.Tensor(rng.standard_normal(n), requires_grad=True) for n in shapes]
            for p in parameters:
                p.grad = rng.standard_normal(p.shape)
            makers[name] = Adam(parameters).step
        medians = in_turns(makers, 40, 100)
        print(
            f"forty arrays of {size}: {1e6 * medians['forty']:.1f} us, one array "
            f"{1e6 * medians['one']:.1f} us; forty / one "
            f"{medians['forty'] / medians['one']:.2f} (bar {PIECES})"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--torch", action="store_true", help="race PyTorch as well")
    by_size(parser.parse_args().torch)
    by_pieces()
