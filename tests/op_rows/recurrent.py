"""Rows for `ops/recurrent.py`, and their slow, obvious twins."""

from __future__ import annotations

import math

import numpy as np

from tests.op_rows import Row

ENDS = np.array([[True, True, True], [True, False, False]])  # the second is one step long
HOLES = np.array([[False, True, False], [False, False, False]])  # the second is nothing at all
FAR = np.array([[[1e4, -1e4], [1.0, -1.0]]])


# ---------------------------------------------------------------- twins: one number at a time


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def weighed(row, matrix, column):
    return sum(float(row[k]) * float(matrix[k, column]) for k in range(len(row)))


def carried(step, x, mask, *states):
    """Example by example and step by step; then the last states."""
    outputs = []
    for example in range(len(x)):
        state, seen = [first[example] for first in states], []
        for t in range(x.shape[1]):
            if mask is None or mask[example, t]:
                state = step(x[example, t], *state)
                seen.append(state[0])
            else:
                seen.append(np.zeros_like(state[0]))
        outputs.append([*seen, *state])
    return np.reshape(outputs, (len(x), x.shape[1] + len(states), states[0].shape[1]))


def rnn(x, weight, recurrent, bias, h0, mask=None, bend=math.tanh):
    def step(x, h):
        columns = range(len(h))
        sums = [weighed(x, weight, k) + weighed(h, recurrent, k) + bias[k] for k in columns]
        return [np.array([bend(a) for a in sums])]

    return carried(step, x, mask, h0)


def lstm(x, weight, recurrent, bias, h0, c0, mask=None):
    def step(x, h, c):
        new_h, new_c = np.empty_like(h), np.empty_like(c)
        for k in range(len(h)):
            i, f, n, o = (
                weighed(x, weight, column) + weighed(h, recurrent, column) + bias[column]
                for column in (k, k + len(h), k + 2 * len(h), k + 3 * len(h))
            )
            new_c[k] = sigmoid(f) * c[k] + sigmoid(i) * math.tanh(n)
            new_h[k] = sigmoid(o) * math.tanh(new_c[k])
        return [new_h, new_c]

    return carried(step, x, mask, h0, c0)


def gru(x, weight, recurrent, bias, recurrent_bias, h0, mask=None):
    def step(x, h):
        new = np.empty_like(h)
        for k in range(len(h)):
            columns = (k, k + len(h), k + 2 * len(h))
            a_r, a_u, a_n = (weighed(x, weight, column) + bias[column] for column in columns)
            b_r, b_u, b_n = (
                weighed(h, recurrent, column) + recurrent_bias[column] for column in columns
            )
            r, u = sigmoid(a_r + b_r), sigmoid(a_u + b_u)
            new[k] = (1 - u) * math.tanh(a_n + r * b_n) + u * h[k]
        return [new]

    return carried(step, x, mask, h0)


def relu(x):
    return max(x, 0.0)


# ---------------------------------------------------------------- what torch calls them


def torch_outputs(torch, kind, x, weights, states, **options):
    """torch's outputs and last states, in one array as ours; its weights are (outputs, inputs)."""
    first = tuple(state[None] for state in states)
    first = first if kind == "lstm" else first[0]
    cell = getattr(torch.nn, kind.upper())(x.shape[2], states[0].shape[1], **options)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    weights = [weights[0].T, weights[1].T, *weights[2:]]
    if len(weights) == 3:
        weights.append(torch.zeros_like(weights[2]))
    outputs, last = torch.func.functional_call(
        cell, dict(zip(names, weights, strict=True)), (x.transpose(0, 1), first)
    )
    last = last if kind == "lstm" else (last,)
    return torch.cat([outputs, *last]).transpose(0, 1)


def torch_rnn(torch, x, w, r, b, h, **options):
    return torch_outputs(torch, "rnn", x, (w, r, b), (h,), **options)


def torch_lstm(torch, x, w, r, b, h, c):
    return torch_outputs(torch, "lstm", x, (w, r, b), (h, c))


def torch_gru(torch, x, w, r, b, recurrent_b, h):
    return torch_outputs(torch, "gru", x, (w, r, b, recurrent_b), (h,))


def shapes(gates, batch, steps, inputs, hidden, biases=1, states=1):
    wide = gates * hidden
    return (
        (batch, steps, inputs), (inputs, wide), (hidden, wide),
        *((wide,),) * biases, *((batch, hidden),) * states,
    )  # fmt: skip


def row(op, size, twin, torch=None, mask=None, note=""):
    """A row of that (batch, steps, inputs, hidden)."""
    gates, biases, states = {"rnn": (1, 1, 1), "lstm": (4, 1, 2), "gru": (3, 2, 1)}[op]
    return Row(
        op, shapes(gates, *size, biases, states),
        lambda f, *xs: f(*xs, mask=mask) if mask is not None else f(*xs),
        lambda *xs: twin(*xs, mask=mask),
        torch,
        note=note,
    )  # fmt: skip


def far(op, gates, biases, states, twin):
    """Sums of +-20,000: every gate is wide open or shut."""
    small = [np.full(shape, 0.5) for shape in shapes(gates, 1, 2, 2, 1, biases, states)[1:]]
    small[0] = small[0] * np.linspace(-2, 2, small[0].size).reshape(small[0].shape)
    return Row(op, (FAR, *small), numpy=twin, note="saturated")


ROWS: list[Row] = [
    row("rnn", (2, 3, 2, 3), rnn, torch_rnn),
    row("rnn", (1, 1, 1, 1), rnn, torch_rnn, note="one number, one step"),
    row("rnn", (2, 3, 1, 2), rnn, mask=ENDS),
    row("rnn", (2, 3, 1, 2), rnn, mask=HOLES),
    row("rnn", (0, 2, 1, 2), rnn, note="no example"),
    Row(
        "rnn", shapes(1, 2, 3, 2, 2),
        lambda f, *xs: f(*xs, activation="relu"),
        lambda *xs: rnn(*xs, bend=relu),
        lambda t, *xs: torch_rnn(t, *xs, nonlinearity="relu"),
    ),
    Row(
        "rnn", shapes(1, 2, 3, 1, 2),
        lambda f, *xs: f(*xs, ENDS, "relu"),
        lambda *xs: rnn(*xs, ENDS, relu),
    ),
    far("rnn", 1, 1, 1, rnn),
    row("lstm", (2, 2, 2, 2), lstm, torch_lstm),
    row("lstm", (1, 3, 1, 1), lstm, torch_lstm, note="a batch of one"),
    row("lstm", (2, 1, 1, 2), lstm, torch_lstm, note="one step"),
    row("lstm", (2, 3, 1, 1), lstm, mask=ENDS),
    row("lstm", (2, 3, 1, 1), lstm, mask=HOLES),
    row("lstm", (0, 2, 1, 1), lstm, note="no example"),
    far("lstm", 4, 1, 2, lstm),
    row("gru", (2, 2, 2, 2), gru, torch_gru),
    row("gru", (1, 3, 1, 1), gru, torch_gru, note="a batch of one"),
    row("gru", (2, 1, 1, 2), gru, torch_gru, note="one step"),
    row("gru", (2, 3, 1, 1), gru, mask=ENDS),
    row("gru", (2, 3, 1, 1), gru, mask=HOLES),
    row("gru", (0, 2, 1, 1), gru, note="no example"),
    far("gru", 3, 2, 1, gru),
]  # fmt: skip
