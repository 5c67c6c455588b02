"""Recurrent networks: a state that is carried along a sequence, step by step.

Each op is a whole layer over the whole sequence. What the inputs say is one matrix product for all
steps; only what the state says waits for the step before. Backward is one sweep from the last step
to the first, which finds the slopes of the sums `a` of all steps; and the weights' gradients are
again one product each.

Along the way an example is a column and not a row, (hidden, batch): then a gate is a block of whole
rows, which lie together, and the products with `recurrent_weight` are a third faster.
"""

from __future__ import annotations

import weakref
from collections import deque

import numpy as np

from tinygrad_edu.ops.activations import relu
from tinygrad_edu.rules import differentiable
from tinygrad_edu.tensor import plain

__all__ = ["rnn", "lstm", "gru"]


# ---------------------------------------------------------------- the three


@differentiable
def rnn(x, weight, recurrent_weight, bias, h0, mask=None, activation="tanh"):
    """z = all h = `activation`(x_t @ weight + h @ recurrent_weight + bias), the last twice, from h0
    dx = da @ weight.T, da = g through `activation`
    dweight = x.T @ da, da = g through `activation`
    drecurrent_weight = h_before.T @ da, da = g through `activation`
    dbias = sum of da, da = g through `activation`
    dh0 = what is left of dh before the first step

    From h = h0 on, at every step h = tanh(a), where a = x @ weight + h @ recurrent_weight + bias;
    with activation="relu" h = relu(a). Products and sums go over all steps and examples.

    x is (batch, time, inputs), weight (inputs, hidden), recurrent_weight (hidden, hidden), bias
    (hidden,), h0 (batch, hidden), and z (batch, time + 1, hidden): the outputs, then the last
    state. Where `mask` (batch, time), of bools, is False, there is no input: the state is carried
    on, and the output is 0.
    Elman 1990, "Finding structure in time".
    """
    if activation not in ("tanh", "relu"):
        raise ValueError(f'rnn: activation={activation!r}; there are "tanh" and "relu".')
    mask = _checked("rnn", 1, x, weight, recurrent_weight, mask, bias=bias, h0=h0)
    rows = _rows(x, mask)
    from_x = _by_step(rows @ weight + bias, x)
    h = h0.T
    states, outputs = [h], []
    for t in range(x.shape[1]):
        a = from_x[t].T + recurrent_weight.T @ h
        h = _chosen(mask, t, np.tanh(a) if activation == "tanh" else relu.value(a), h)
        states.append(h)
        outputs.append(_chosen(mask, t, h, 0))

    def sweep(g):
        g = _columns(g)
        dh, slopes = g[-1], []
        for t in reversed(range(x.shape[1])):
            h = states[t + 1]
            dh_t = _chosen(mask, t, dh + g[t], 0)
            da = dh_t * (1 - h * h if activation == "tanh" else h > 0)
            dh = _chosen(mask, t, recurrent_weight @ da, dh)
            slopes.append(da)
        return _joined(reversed(slopes)), dh.T

    swept = _once(sweep)
    return (
        _examples([*outputs, h]),
        lambda g: _examples_of_rows(swept(g)[0] @ weight.T, x),
        lambda g: rows.T @ swept(g)[0],
        lambda g: _joined(states[:-1]).T @ swept(g)[0],
        lambda g: _total(swept(g)[0]),
        lambda g: swept(g)[1],
    )


@differentiable
def lstm(x, weight, recurrent_weight, bias, h0, c0, mask=None):
    """z = all h, last h and c, by gates of x_t @ weight + h @ recurrent_weight + bias, from h0, c0
    dx = da @ weight.T, da = g through the gates
    dweight = x.T @ da, da = g through the gates
    drecurrent_weight = h_before.T @ da, da = g through the gates
    dbias = sum of da, da = g through the gates
    dh0 = what is left of dh before the first step
    dc0 = what is left of dc before the first step

    From h = h0 and c = c0 on, at every step

        a_i, a_f, a_n, a_o = x weight + h recurrent_weight + bias
        i, f, o = sigmoid(a_i), sigmoid(a_f), sigmoid(a_o)      what goes in, what stays, what shows
        n = tanh(a_n)                                           what is new
        c = f c + i n
        h = o tanh(c)

    The columns of the weights are those of i, f, n and o, in this order (PyTorch's, who writes g
    for n). x is (batch, time, inputs), weight (inputs, 4 hidden), recurrent_weight (hidden,
    4 hidden), bias (4 hidden,), h0 and c0 (batch, hidden), and z (batch, time + 2, hidden): the
    outputs, then the last state, h and c. `mask` as in `rnn`.
    Hochreiter, Schmidhuber 1997, "Long short-term memory"; the gate f is of Gers et al. 2000.
    """
    mask = _checked("lstm", 4, x, weight, recurrent_weight, mask, bias=bias, h0=h0, c0=c0)
    rows = _rows(x, mask)
    from_x = _by_step(rows @ weight + bias, x)
    h, c, size = h0.T, c0.T, h0.shape[1]
    states, cells, gates, outputs = [h], [c], [], []
    for t in range(x.shape[1]):
        a = from_x[t].T + recurrent_weight.T @ h
        i_f, n = _sigmoid(a[: 2 * size]), np.tanh(a[2 * size : 3 * size])
        i, f, o = i_f[:size], i_f[size:], _sigmoid(a[3 * size :])
        new_c = f * c + i * n
        tanh_c = np.tanh(new_c)
        h, c = _chosen(mask, t, o * tanh_c, h), _chosen(mask, t, new_c, c)
        gates.append((i, f, n, o, tanh_c))
        states.append(h)
        cells.append(c)
        outputs.append(_chosen(mask, t, h, 0))

    def sweep(g):
        g = _columns(g)
        dh, dc, slopes = g[-2], g[-1], []
        for t in reversed(range(x.shape[1])):
            i, f, n, o, tanh_c = gates[t]
            dh_t = _chosen(mask, t, dh + g[t], 0)
            dc_t = _chosen(mask, t, dc, 0) + dh_t * o * (1 - tanh_c * tanh_c)
            da_i = dc_t * n * i * (1 - i)
            da_f = dc_t * cells[t] * f * (1 - f)
            da_n = dc_t * i * (1 - n * n)
            da_o = dh_t * tanh_c * o * (1 - o)
            da = np.concatenate([da_i, da_f, da_n, da_o])
            dh = _chosen(mask, t, recurrent_weight @ da, dh)
            dc = _chosen(mask, t, dc_t * f, dc)
            slopes.append(da)
        return _joined(reversed(slopes)), dh.T, dc.T

    swept = _once(sweep)
    return (
        _examples([*outputs, h, c]),
        lambda g: _examples_of_rows(swept(g)[0] @ weight.T, x),
        lambda g: rows.T @ swept(g)[0],
        lambda g: _joined(states[:-1]).T @ swept(g)[0],
        lambda g: _total(swept(g)[0]),
        lambda g: swept(g)[1],
        lambda g: swept(g)[2],
    )


@differentiable
def gru(x, weight, recurrent_weight, bias, recurrent_bias, h0, mask=None):
    """z = all h, by gates of x_t @ weight + bias and h @ recurrent_weight + recurrent_bias, from h0
    dx = da @ weight.T, da = g through the gates
    dweight = x.T @ da, da = g through the gates
    drecurrent_weight = h_before.T @ db, db = g through the gates
    dbias = sum of da, da = g through the gates
    drecurrent_bias = sum of db, db = g through the gates
    dh0 = what is left of dh before the first step

    From h = h0 on, at every step

        a_r, a_u, a_n = x weight + bias
        b_r, b_u, b_n = h recurrent_weight + recurrent_bias
        r, u = sigmoid(a_r + b_r), sigmoid(a_u + b_u)           how much to look back, and to keep
        n = tanh(a_n + r b_n)                                   what is new
        h = (1 - u) n + u h

    The columns of the weights are those of r, u and n, in this order (PyTorch's, who writes z for
    u). In the paper r is multiplied with h, before the product; here, as in PyTorch, after it.
    x is (batch, time, inputs), weight (inputs, 3 hidden), recurrent_weight (hidden, 3 hidden), both
    biases (3 hidden,), h0 (batch, hidden), and z (batch, time + 1, hidden): the outputs, then the
    last state. `mask` as in `rnn`.
    Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder".
    """
    biases = {"bias": bias, "recurrent_bias": recurrent_bias}
    mask = _checked("gru", 3, x, weight, recurrent_weight, mask, **biases, h0=h0)
    rows = _rows(x, mask)
    from_x = _by_step(rows @ weight + bias, x)
    h, size = h0.T, h0.shape[1]
    bias_column = np.reshape(recurrent_bias, (-1, 1))
    states, gates, outputs = [h], [], []
    for t in range(x.shape[1]):
        a, b = from_x[t].T, recurrent_weight.T @ h + bias_column
        r_u = _sigmoid(a[: 2 * size] + b[: 2 * size])
        r, u, b_n = r_u[:size], r_u[size:], b[2 * size :]
        n = np.tanh(a[2 * size :] + r * b_n)
        h = _chosen(mask, t, n + u * (h - n), h)
        gates.append((r, u, n, b_n))
        states.append(h)
        outputs.append(_chosen(mask, t, h, 0))

    def sweep(g):
        g = _columns(g)
        dh, slopes, recurrent_slopes = g[-1], [], []
        for t in reversed(range(x.shape[1])):
            r, u, n, b_n = gates[t]
            dh_t = _chosen(mask, t, dh + g[t], 0)
            da_n = dh_t * (1 - u) * (1 - n * n)
            da_r = da_n * b_n * r * (1 - r)
            da_u = dh_t * (states[t] - n) * u * (1 - u)
            db = np.concatenate([da_r, da_u, da_n * r])
            dh = _chosen(mask, t, recurrent_weight @ db + dh_t * u, dh)
            slopes.append(np.concatenate([da_r, da_u, da_n]))
            recurrent_slopes.append(db)
        return _joined(reversed(slopes)), _joined(reversed(recurrent_slopes)), dh.T

    swept = _once(sweep)
    return (
        _examples([*outputs, h]),
        lambda g: _examples_of_rows(swept(g)[0] @ weight.T, x),
        lambda g: rows.T @ swept(g)[0],
        lambda g: _joined(states[:-1]).T @ swept(g)[1],
        lambda g: _total(swept(g)[0]),
        lambda g: _total(swept(g)[1]),
        lambda g: swept(g)[2],
    )


# ---------------------------------------------------------------- one sweep for all pullbacks


def _once(sweep):
    """`sweep`, with its last answer at hand for as long as its g lives, and is what it was.

    The engine asks the pullback of each input by itself, and one sweep answers them all. The answer
    is as large as what forward keeps, so it goes when g goes: at the walk's next step.
    """
    kept = deque(maxlen=1)
    reachable = weakref.ref(kept)  # for a callback that, held by kept, must not hold kept

    def forget(_):
        if (still := reachable()) is not None:
            still.clear()

    def swept(g):
        for known, numbers, answer in tuple(kept):
            if known() is g and np.array_equal(numbers, plain(g)):  # nobody wrote into it
                return answer
        answer = sweep(g)
        kept.append((weakref.ref(g, forget), plain(g).copy(), answer))
        return answer

    return swept


# ---------------------------------------------------------------- rows and columns


def _rows(x, mask):
    """(batch, time, n) to a row for every step and example, the steps one after the other."""
    if mask is not None:
        x = np.where(mask[:, :, None], x, 0)  # where there is no input, not even a nan matters
    return np.reshape(np.swapaxes(x, 0, 1), (x.shape[0] * x.shape[1], x.shape[2]))


def _by_step(rows, x):
    """The way back of `_rows`, but for the order of the axes: (time, batch, n)."""
    return np.reshape(rows, (x.shape[1], x.shape[0], rows.shape[1]))


def _examples_of_rows(rows, x):
    """The way back of `_rows`."""
    return np.swapaxes(_by_step(rows, x), 0, 1)


def _columns(g):
    """(batch, time, n) to (time, n, batch): at each step, an example is a column."""
    return np.transpose(g, (1, 2, 0))


def _examples(columns):
    """The way back of `_columns`, from the steps in a list."""
    return np.transpose(np.stack(columns), (2, 0, 1))


def _joined(columns):
    """Steps in a list, examples as columns, to a row for every step and example."""
    return np.concatenate([step.T for step in columns])


def _total(rows):
    """The sum of the rows, the quick way."""
    return np.dot(np.ones(len(rows), rows.dtype), rows)


def _chosen(mask, t, x, otherwise):
    """x where the mask is True at step t; without a mask it is True everywhere."""
    return x if mask is None else np.where(mask[:, t], x, otherwise)


def _sigmoid(x):
    """1 / (1 + e^-x) without overflow, from the fastest of NumPy's functions; on Tensors, too."""
    return np.tanh(x * 0.5) * 0.5 + 0.5


# ---------------------------------------------------------------- what does not fit


def _checked(op, gates, x, weight, recurrent_weight, mask, **others):
    """The mask as an array, after a look at all shapes."""
    if x.ndim != 3:
        raise ValueError(f"{op}: x {x.shape}: make it (batch, time, inputs).")
    batch, steps, inputs = x.shape
    if steps == 0:
        raise ValueError(f"{op}: x {x.shape}: a sequence without steps; give at least one.")
    if recurrent_weight.ndim != 2:
        raise ValueError(
            f"{op}: recurrent_weight {recurrent_weight.shape}: make it (hidden, {gates} hidden)."
        )
    hidden = len(recurrent_weight)
    wide = gates * hidden
    shapes = {"bias": (wide,), "recurrent_bias": (wide,), "h0": (batch, hidden)}
    shapes |= {"weight": (inputs, wide), "recurrent_weight": (hidden, wide), "c0": (batch, hidden)}
    given = {"recurrent_weight": recurrent_weight, "weight": weight, **others}
    for name, array in given.items():
        if array.shape != shapes[name]:
            raise ValueError(
                f"{op}: x {x.shape}, hidden {hidden}, {name} {array.shape}: make the {name} "
                f"{shapes[name]}."
            )
    return None if mask is None else _bools(op, x, np.asarray(mask))


def _bools(op, x, mask):
    """The mask, if it is one."""
    if mask.shape != x.shape[:2]:
        raise ValueError(
            f"{op}: x {x.shape}, mask {mask.shape}: make the mask {x.shape[:2]}, one bool for each "
            "step of each example."
        )
    if mask.dtype != bool:
        raise TypeError(
            f"{op}: a mask of dtype {mask.dtype}; give bools, True where there is input: "
            "mask.astype(bool) or mask > 0."
        )
    return mask
