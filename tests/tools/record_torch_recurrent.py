"""Make tests/data/torch_recurrent.npz again: PyTorch's recurrent layers and attention, in numbers.

    pip install torch==2.13.0
    python tests/tools/record_torch_recurrent.py

Each case is a layer with random weights on random inputs. The loss is the sum of all that it gives
back, each entry times a random number, which is stored, too. Everything is float64.
"""

from pathlib import Path

import numpy as np
import torch

TARGET = Path(__file__).parents[1] / "data" / "torch_recurrent.npz"
BATCH, TIME, INPUTS, HIDDEN = 4, 5, 3, 4
SIZE, HEADS, KEYS = 8, 2, 6
LENGTHS = [3, 5, 1, 4]

Arrays = dict[str, np.ndarray]


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, requires_grad=True)


def recorded(case: str, layer: torch.nn.Module, inputs: dict, outputs: dict) -> Arrays:
    """Inputs, weights and outputs; for each output its share of the loss; all gradients."""
    leaves = inputs | dict(layer.named_parameters())
    shares = {name: torch.randn(z.shape) for name, z in outputs.items()}
    sum((z * shares[name]).sum() for name, z in outputs.items()).backward()
    found = {name: x.detach() for name, x in (leaves | outputs).items()}
    found |= {f"share_of_{name}": share for name, share in shares.items()}
    found |= {f"d_{name}": x.grad for name, x in leaves.items()}
    return {f"{case}/{name}": x.numpy() for name, x in found.items()}


def recurrent(case: str, layer: torch.nn.RNNBase, packed: bool = False) -> Arrays:
    states = ("h", "c") if isinstance(layer, torch.nn.LSTM) else ("h",)
    x, first = drawn(BATCH, TIME, INPUTS), {f"{s}0": drawn(BATCH, HIDDEN) for s in states}
    given = tuple(state[None] for state in first.values())
    given = given if len(given) == 2 else given[0]
    if packed:
        rows = torch.nn.utils.rnn.pack_padded_sequence(x, LENGTHS, True, enforce_sorted=False)
        rows, last = layer(rows, given)
        sequence, _ = torch.nn.utils.rnn.pad_packed_sequence(rows, True, total_length=TIME)
    else:
        sequence, last = layer(x, given)
    last = last if isinstance(last, tuple) else (last,)
    outputs = {"sequence": sequence} | dict(zip(states, (s[0] for s in last), strict=True))
    return recorded(case, layer, {"x": x} | first, outputs)


def attention(case: str, cross: bool = False, **options: torch.Tensor) -> Arrays:
    layer = torch.nn.MultiheadAttention(SIZE, HEADS, batch_first=True)
    for bias in (layer.in_proj_bias, layer.out_proj.bias):
        torch.nn.init.normal_(bias)  # they begin at 0
    query = drawn(BATCH, TIME, SIZE)
    key, value = (drawn(BATCH, KEYS, SIZE), drawn(BATCH, KEYS, SIZE)) if cross else (query, query)
    z, weights = layer(query, key, value, average_attn_weights=False, **options)
    inputs = {"query": query} | ({"key": key, "value": value} if cross else {})
    return recorded(case, layer, inputs, {"z": z, "weights": weights})


def main() -> None:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(4)
    sizes, arrays = {"input_size": INPUTS, "hidden_size": HIDDEN, "batch_first": True}, {}
    for case, kind, options in (
        ("rnn_tanh", torch.nn.RNN, {}),
        ("rnn_relu", torch.nn.RNN, {"nonlinearity": "relu"}),
        ("lstm", torch.nn.LSTM, {}),
        ("gru", torch.nn.GRU, {}),
    ):
        arrays |= recurrent(case, kind(**sizes, **options))
        arrays |= recurrent(f"{case}_packed", kind(**sizes, **options), packed=True)
    arrays["lengths"] = np.array(LENGTHS)

    future = torch.triu(torch.ones(TIME, TIME, dtype=torch.bool), 1)  # here True is forbidden
    padding = torch.zeros(BATCH, TIME, dtype=torch.bool)
    for example, length in enumerate(LENGTHS):
        padding[example, length:] = True
    arrays |= attention("attention")
    arrays |= attention("attention_causal", attn_mask=future)
    arrays |= attention("attention_padded", key_padding_mask=padding)
    arrays |= attention("attention_both", attn_mask=future, key_padding_mask=padding)
    arrays |= attention("attention_cross", cross=True)
    np.savez_compressed(TARGET, **arrays)


if __name__ == "__main__":
    main()
