"""How fast are the layers? Forward and backward of each, against PyTorch where it is installed.

    python tests/benchmarks/layers.py [--rounds 31] [--threads 2] [name ...]

Every case is float32, from the same numbers on both sides; value and gradients must agree before
anything is timed. The two are run in turns, and the ratio is that of the medians. PyTorch gets as
many threads as `--threads` says, and OMP_NUM_THREADS or the like gives NumPy's BLAS the same.
PyTorch's threads wait for each other: on a machine that does other work they are many times slower,
so repeat. Without PyTorch (`pip install .[bench]`) only our own times are shown.

An optimizer is made before, as in every training: from then on the C library keeps the memory of
freed arrays, on both sides.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import layers
from tinygrad_edu.optimizers import SGD

try:
    import torch
except ImportError:
    torch = None

Pass = Callable[[], list[Any]]  # forward and backward once; gives the value, then the gradients
F = torch.nn.functional if torch else None


class Case(NamedTuple):
    """One computation, twice.

    `inputs` are shapes, of which normal numbers are drawn; behind them come the parameters of
    `ours`, if it is a layer.
    """

    name: str
    bar: float | None  # ours / PyTorch's; None where the figure is only shown
    inputs: tuple[tuple[int, ...], ...]
    ours: Callable[..., Any]
    theirs: Callable[..., Any]


# ---------------------------------------------------------------- whole layers


class Block(layers.Layer):
    """A transformer block that normalises first (Xiong et al. 2020)."""

    def __init__(self, size: int, heads: int) -> None:
        self.norm = layers.LayerNorm(size)
        self.attention = layers.MultiHeadAttention(size, heads, causal=True, rng=0)
        self.norm_2 = layers.LayerNorm(size)
        self.wide = layers.Linear(size, 4 * size, rng=1)
        self.narrow = layers.Linear(4 * size, size, rng=2)

    def forward(self, x: Any) -> Any:
        x = x + self.attention(self.norm(x))
        return x + self.narrow(tg.gelu(self.wide(self.norm_2(x))))


def their_block(x: Any, *parameters: Any) -> Any:
    """The same of PyTorch's functions; the parameters in the order of Block.parameters()."""
    norm, query, key, value, output, norm_2, wide, narrow = (
        parameters[i : i + 2] for i in range(0, 16, 2)
    )

    def linear(x: Any, pair: Any) -> Any:
        return F.linear(x, pair[0].T, pair[1])

    n = F.layer_norm(x, (64,), *norm)
    heads = (linear(n, pair).unflatten(-1, (4, 16)).transpose(1, 2) for pair in (query, key, value))
    mixed = F.scaled_dot_product_attention(*heads, is_causal=True)
    x = x + linear(mixed.transpose(1, 2).flatten(2), output)
    return x + linear(F.gelu(linear(F.layer_norm(x, (64,), *norm_2), wide)), narrow)


def their_lstm(x: Any, weight: Any, recurrent_weight: Any, bias: Any) -> Any:
    state = [torch.zeros(1, len(x), len(recurrent_weight))] * 2
    weights = [weight.T, recurrent_weight.T, bias, torch.zeros_like(bias)]
    return torch.lstm(x, state, weights, True, 1, 0.0, True, False, True)[0]


# ---------------------------------------------------------------- the table

RNG = np.random.default_rng(1)
WORDS = RNG.integers(0, 5_000, (32, 64))
LABELS = RNG.integers(0, 1_000, 512)
QKV_16, QKV_32 = ((32, 4, 64, 16),) * 3, ((32, 4, 64, 32),) * 3
NORM_64, NORM_128 = ((32, 64, 64), (64,), (64,)), ((32, 64, 128), (128,), (128,))
CONV = ((64, 16, 28, 28), (32, 16, 3, 3), (32,))


def our_norm(x: Any, scale: Any, shift: Any) -> Any:
    return tg.layer_norm(x, scale, shift)


def their_norm(x: Any, scale: Any, shift: Any) -> Any:
    return F.layer_norm(x, scale.shape, scale, shift)


def our_attention(q: Any, k: Any, v: Any) -> Any:
    return tg.scaled_dot_product_attention(q, k, v, causal=True)


def their_attention(q: Any, k: Any, v: Any) -> Any:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


CASES = [
    Case(
        "conv2d_padded", 4, CONV,
        lambda x, w, b: tg.conv2d(x, w, b, padding=1),
        lambda x, w, b: F.conv2d(x, w, b, padding=1),
    ),
    Case("conv2d", 4, CONV, tg.conv2d, lambda x, w, b: F.conv2d(x, w, b)),
    Case("layer_norm_64", 2, NORM_64, our_norm, their_norm),
    Case("layer_norm_128", 2, NORM_128, our_norm, their_norm),
    Case("attention_16", 2, QKV_16, our_attention, their_attention),
    Case("attention_32", 2, QKV_32, our_attention, their_attention),
    Case("lstm", 2, ((32, 64, 128),), layers.LSTM(128, 128, "sequence", rng=0), their_lstm),
    Case("transformer_block", None, ((32, 64, 64),), Block(64, 4), their_block),
    Case(
        "rms_norm", None, NORM_64[:2],
        lambda x, a: tg.rms_norm(x, a), lambda x, a: F.rms_norm(x, (64,), a, 1e-6),
    ),
    Case(
        "batch_norm", None, ((64, 16, 28, 28), (16,), (16,)),
        tg.batch_norm, lambda x, a, b: F.batch_norm(x, None, None, a, b, training=True),
    ),
    Case(
        "embedding", None, ((5_000, 64),),
        lambda w: tg.embedding(WORDS, w), lambda w: F.embedding(torch.from_numpy(WORDS), w),
    ),
    Case(
        "max_pool2d", None, ((64, 16, 28, 28),),
        lambda x: tg.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 2),
    ),
    Case(
        "avg_pool2d", None, ((64, 16, 28, 28),),
        lambda x: tg.avg_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2),
    ),
    Case("gelu", None, ((1_000, 1_000),), tg.gelu, lambda x: F.gelu(x)),
    Case("softmax", None, ((1_000, 1_000),), tg.softmax, lambda x: x.softmax(-1)),
    Case(
        "cross_entropy", None, ((512, 1_000),),
        lambda x: tg.softmax_cross_entropy(x, LABELS),
        lambda x: F.cross_entropy(x, torch.from_numpy(LABELS)),
    ),
]  # fmt: skip


# ---------------------------------------------------------------- the race


def passes(case: Case) -> dict[str, Pass]:
    """Both sides of a case, from the same inputs and the same gradient of the value."""
    rng = np.random.default_rng(0)
    drawn = [rng.standard_normal(shape, dtype=np.float32) for shape in case.inputs]
    inputs = [tg.Tensor(x, requires_grad=True) for x in drawn]
    parameters = case.ours.parameters() if isinstance(case.ours, layers.Layer) else []
    g = np.asarray(rng.standard_normal(case.ours(*inputs).shape), np.float32)
    sides = {"ours": passing(case.ours, inputs, [*inputs, *parameters], g)}
    if torch:
        leaves = [torch.tensor(x.data, requires_grad=True) for x in [*inputs, *parameters]]
        sides["torch"] = passing(case.theirs, leaves, leaves, torch.from_numpy(g))
    return sides


def passing(function: Callable[..., Any], inputs: list[Any], leaves: list[Any], g: Any) -> Pass:
    def once() -> list[Any]:
        for leaf in leaves:
            leaf.grad = None
        z = function(*inputs)
        z.backward(g)
        return [z.detach(), *(leaf.grad for leaf in leaves)]

    return once


def must_agree(sides: dict[str, Pass]) -> None:
    for mine, yours in zip(*(side() for side in sides.values()), strict=True):
        mine, yours = np.asarray(mine), np.asarray(yours)
        size = max(1.0, float(np.abs(yours).max()))
        np.testing.assert_allclose(mine, yours, rtol=1e-3, atol=1e-4 * size)


def in_turns(sides: dict[str, Pass], rounds: int) -> dict[str, float]:
    """Median seconds of each, one after the other in every round."""
    measured: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, once in sides.items():
            once()  # the caches are its own
            start = time.perf_counter()
            once()
            measured[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in measured.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", help="cases; all if left out")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, default=2, help="of PyTorch")
    asked = parser.parse_args()
    if torch:
        torch.set_num_threads(asked.threads)
    SGD(tg.zeros(100_000, requires_grad=True))
    for case in CASES:
        if asked.names and case.name not in asked.names:
            continue
        sides = passes(case)
        if torch:
            must_agree(sides)
        medians = in_turns(sides, asked.rounds)
        each = " ".join(f"{name} {1e3 * value:8.2f} ms" for name, value in medians.items())
        line = f"{case.name:18} {each}"
        if torch:
            line += f"   ratio {medians['ours'] / medians['torch']:.2f}"
            line += f" (bar {case.bar})" if case.bar else ""
        print(line, flush=True)


if __name__ == "__main__":
    main()
