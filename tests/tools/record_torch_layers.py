"""Make tests/data/torch_layers.npz and .json again: what PyTorch's layers make of some numbers.

    pip install torch==2.13.0
    python tests/tools/record_torch_layers.py

Every layer gets the same parameters here and there, and is called a few times, in training or in
use. Kept are its values, the gradients of sum(g z) in its input and in all parameters, and the
buffers after each call.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

TARGET = Path(__file__).parents[1] / "data" / "torch_layers"
T, E = "train", "eval"


class Case(NamedTuple):
    """A layer as it is made here and there, the shape of its input, and how it is called."""

    layer: str
    arguments: list[Any]
    options: dict[str, Any]
    torch: Callable[[], nn.Module]
    shape: tuple[int, ...]
    calls: tuple[str, ...] = (T,)
    rows: int | None = None  # the input holds whole numbers below this


CASES = [
    Case("Linear", [4, 3], {}, lambda: nn.Linear(4, 3), (5, 4)),
    Case("Linear", [4, 3], {"bias": False}, lambda: nn.Linear(4, 3, bias=False), (5, 4)),
    Case("Linear", [4, 3], {}, lambda: nn.Linear(4, 3), (2, 5, 4)),
    Case("Embedding", [5, 3], {}, lambda: nn.Embedding(5, 3), (7,), rows=5),
    Case("Embedding", [5, 3], {}, lambda: nn.Embedding(5, 3), (3, 4), rows=5),
    # normalization
    Case("BatchNorm", [3], {}, lambda: nn.BatchNorm1d(3), (6, 3), (T, T, T, E)),
    Case("BatchNorm", [3], {}, lambda: nn.BatchNorm1d(3), (2, 3), (T, E)),
    Case("BatchNorm", [3], {}, lambda: nn.BatchNorm1d(3), (4, 3, 5), (T, T, E)),
    Case("BatchNorm", [3], {}, lambda: nn.BatchNorm1d(3), (1, 3, 4), (T, E)),
    Case("BatchNorm", [3], {}, lambda: nn.BatchNorm2d(3), (2, 3, 4, 3), (E, T, T, E)),
    Case("BatchNorm", [2], {"momentum": 0.01, "epsilon": 1e-3},
         lambda: nn.BatchNorm1d(2, momentum=0.01, eps=1e-3), (5, 2), (T, T, E)),
    Case("BatchNorm", [2], {"momentum": 1.0},
         lambda: nn.BatchNorm1d(2, momentum=1.0), (5, 2), (T, T, E)),
    Case("BatchNorm", [2], {"momentum": 0.0},
         lambda: nn.BatchNorm1d(2, momentum=0.0), (5, 2), (T, E)),
    Case("LayerNorm", [4], {}, lambda: nn.LayerNorm(4), (5, 4)),
    Case("LayerNorm", [4], {"epsilon": 0.1}, lambda: nn.LayerNorm(4, eps=0.1), (2, 3, 4)),
    Case("LayerNorm", [[3, 4]], {}, lambda: nn.LayerNorm((3, 4)), (2, 3, 4)),
    Case("LayerNorm", [[2, 3, 4]], {}, lambda: nn.LayerNorm((2, 3, 4)), (3, 2, 3, 4)),
    Case("RMSNorm", [4], {}, lambda: nn.RMSNorm(4, eps=1e-6), (5, 4)),
    Case("RMSNorm", [[3, 4]], {"epsilon": 0.1}, lambda: nn.RMSNorm((3, 4), eps=0.1), (2, 3, 4)),
    # convolution
    Case("Conv1d", [2, 3, 3], {}, lambda: nn.Conv1d(2, 3, 3), (2, 2, 7)),
    Case("Conv1d", [4, 6, 3], {"stride": 2, "padding": 2, "dilation": 2, "groups": 2},
         lambda: nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), (2, 4, 8)),
    Case("Conv1d", [2, 3, 4], {"padding": "same", "bias": False},
         lambda: nn.Conv1d(2, 3, 4, padding="same", bias=False), (2, 2, 6)),
    Case("Conv1d", [2, 3, 3], {"padding": [[2, 0]]},
         lambda: nn.Sequential(nn.ZeroPad1d((2, 0)), nn.Conv1d(2, 3, 3)), (2, 2, 6)),
    Case("Conv2d", [2, 3, 3], {}, lambda: nn.Conv2d(2, 3, 3), (2, 2, 6, 5)),
    Case("Conv2d", [2, 3, 1], {}, lambda: nn.Conv2d(2, 3, 1), (2, 2, 4, 3)),
    Case("Conv2d", [2, 3, [3, 2]], {"stride": [2, 1], "padding": [1, 0]},
         lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 2, 6, 5)),
    Case("Conv2d", [2, 3, [4, 3]], {"padding": "same", "dilation": [1, 2]},
         lambda: nn.Conv2d(2, 3, (4, 3), padding="same", dilation=(1, 2)), (2, 2, 5, 6)),
    Case("Conv2d", [2, 3, 2], {"padding": "valid", "stride": 3, "bias": False},
         lambda: nn.Conv2d(2, 3, 2, padding="valid", stride=3, bias=False), (2, 2, 7, 6)),
    Case("Conv2d", [4, 4, 3], {"groups": 4, "padding": 1},
         lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1), (1, 4, 5, 4)),
    Case("Conv2d", [2, 3, 2], {"padding": [[0, 1], [2, 0]]},
         lambda: nn.Sequential(nn.ZeroPad2d((2, 0, 0, 1)), nn.Conv2d(2, 3, 2)), (2, 2, 4, 3)),
    Case("MaxPool2d", [2], {}, lambda: nn.MaxPool2d(2), (2, 2, 5, 6)),
    Case("MaxPool2d", [[3, 2]], {"stride": [2, 1], "padding": 1},
         lambda: nn.MaxPool2d((3, 2), stride=(2, 1), padding=1), (2, 2, 5, 6)),
    Case("AvgPool2d", [2], {}, lambda: nn.AvgPool2d(2), (2, 2, 5, 6)),
    Case("AvgPool2d", [3], {"stride": 1, "padding": 1},
         lambda: nn.AvgPool2d(3, stride=1, padding=1), (2, 2, 4, 5)),
    # activations and shapes
    Case("ReLU", [], {}, nn.ReLU, (4, 5)),
    Case("LeakyReLU", [0.2], {}, lambda: nn.LeakyReLU(0.2), (4, 5)),
    Case("ELU", [0.7], {}, lambda: nn.ELU(0.7), (4, 5)),
    Case("SELU", [], {}, nn.SELU, (4, 5)),
    Case("GELU", [], {}, nn.GELU, (4, 5)),
    Case("SiLU", [], {}, nn.SiLU, (4, 5)),
    Case("Sigmoid", [], {}, nn.Sigmoid, (4, 5)),
    Case("Tanh", [], {}, nn.Tanh, (4, 5)),
    Case("Softplus", [], {}, nn.Softplus, (4, 5)),
    Case("Softmax", [], {}, lambda: nn.Softmax(dim=-1), (4, 5)),
    Case("Softmax", [1], {}, lambda: nn.Softmax(dim=1), (2, 3, 4)),
    Case("LogSoftmax", [], {}, lambda: nn.LogSoftmax(dim=-1), (4, 5)),
    Case("Flatten", [], {}, nn.Flatten, (2, 3, 4)),
    Case("Reshape", [4, -1], {}, lambda: nn.Unflatten(1, (4, -1)), (2, 12)),
]  # fmt: skip

NORMS = {"BatchNorm", "LayerNorm", "RMSNorm"}


def our_name(layer: str, name: str) -> str:
    """What PyTorch's parameter or buffer is called here."""
    name = name.removeprefix("1.")  # of a convolution after padding
    return {"weight": "scale", "bias": "shift"}.get(name, name) if layer in NORMS else name


def ours(layer: str, array: torch.Tensor) -> np.ndarray:
    """A parameter, or its gradient, in the shape that it has here."""
    numbers = array.detach().numpy().copy()
    return numbers.T if layer == "Linear" and numbers.ndim == 2 else numbers


def scattered(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers from -2 to 2, all different: no two are the largest of a window."""
    size = int(np.prod(shape))
    return (rng.permutation(size) * 4 / size - 2).round(4).reshape(shape)


def record(case: Case, name: str, seed: int) -> dict[str, np.ndarray]:
    """The parameters at the start; of each call what goes in and comes out, and the gradients."""
    rng = np.random.default_rng(seed)
    module, arrays = case.torch().double(), {}
    for key, p in module.named_parameters():
        p.data = torch.from_numpy(scattered(rng, tuple(p.shape)))
        arrays[f"{name}/{our_name(case.layer, key)}"] = ours(case.layer, p)
    for k, mode in enumerate(case.calls):
        module.train(mode == T).zero_grad()
        if case.rows:
            x = torch.from_numpy(rng.integers(0, case.rows, case.shape))
        else:
            x = torch.from_numpy(scattered(rng, case.shape)).requires_grad_()
        z = module(x)
        g = scattered(rng, tuple(z.shape))
        z.backward(torch.from_numpy(g))
        found = {"x": x, "z": z} | ({} if case.rows else {"dx": x.grad})
        for key, tensor in found.items():
            arrays[f"{name}/{k}/{key}"] = tensor.detach().numpy().copy()
        arrays[f"{name}/{k}/g"] = g
        for key, p in module.named_parameters():
            arrays[f"{name}/{k}/d{our_name(case.layer, key)}"] = ours(case.layer, p.grad)
        for key, buffer in module.named_buffers():
            if key != "num_batches_tracked":
                arrays[f"{name}/{k}/{our_name(case.layer, key)}"] = buffer.numpy().copy()
    return arrays


def main() -> None:
    records, arrays = [], {}
    for seed, case in enumerate(CASES):
        name = f"{case.layer}.{sum(c['layer'] == case.layer for c in records)}"
        keys = {"id": name, "layer": case.layer, "arguments": case.arguments}
        records.append({**keys, "options": case.options, "calls": case.calls})
        arrays |= record(case, name, seed)
    lines = ",\n".join(json.dumps(record) for record in records)
    TARGET.with_suffix(".json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    np.savez_compressed(TARGET.with_suffix(".npz"), **arrays)
    size = TARGET.with_suffix(".npz").stat().st_size
    print(f"{TARGET}: {len(records)} cases, {size} bytes, torch {torch.__version__}")


if __name__ == "__main__":
    main()
