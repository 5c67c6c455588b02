"""Recurrent layers: PyTorch's numbers, whatever the lengths; and nothing is left behind."""

import copy
import gc
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import drawn
from tinygrad_edu.layers import GRU, LSTM, RNN, Linear, Sequential
from tinygrad_edu.ops import recurrent

RECORDED = np.load(Path(__file__).parent / "data" / "torch_recurrent.npz")
KINDS = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
CASES = ["rnn_tanh", "rnn_relu", "lstm", "gru"]
each_kind = pytest.mark.parametrize("kind", [RNN, LSTM, GRU])


@pytest.fixture
def doubles():
    tg.set_default_dtype("float64")
    yield
    tg.set_default_dtype("float32")


def leaf(array):
    return tg.Tensor(array, requires_grad=True)


def states_of(result):
    """The last states in a list, as the layer gave them back."""
    last = result[1]
    return list(last) if isinstance(last, tuple) else [last]


def ops_call(layer, x, mask=None):
    """The op under the layer, on its weights, from a state of zeros."""
    weights = layer.parameters()
    zeros = [np.zeros((len(x), len(layer.recurrent_weight)), x.dtype)] * layer.states
    op = getattr(tg, type(layer).__name__.lower())
    return op(x, *weights, *zeros, mask=mask)


# ---------------------------------------------------------------- PyTorch's numbers


def recorded(case):
    return {
        name.removeprefix(f"{case}/"): RECORDED[name]
        for name in RECORDED.files
        if name.startswith(f"{case}/")
    }


def as_torchs(case):
    """The layer with the recorded weights."""
    theirs, kind = recorded(case), case.split("_")[0]
    inputs, hidden = theirs["x"].shape[2], theirs["h0"].shape[1]
    options = {"activation": "relu" if "relu" in case else "tanh"} if kind == "rnn" else {}
    layer = KINDS[kind](inputs, hidden, **options)
    layer.load_state_dict(ours(kind, theirs, ""))
    return layer


def ours(kind, theirs, prefix):
    """PyTorch's weights, or their gradients with the prefix d_, by our names and in our layout."""
    found = {
        "weight": theirs[f"{prefix}weight_ih_l0"].T,
        "recurrent_weight": theirs[f"{prefix}weight_hh_l0"].T,
        "bias": theirs[f"{prefix}bias_ih_l0"],
    }
    if kind == "gru":
        return found | {"recurrent_bias": theirs[f"{prefix}bias_hh_l0"]}
    if not prefix:  # the gradient of the sum is that of either
        found["bias"] = found["bias"] + theirs["bias_hh_l0"]
    return found


def assert_equal(mine, theirs):
    assert mine.shape == theirs.shape
    assert np.abs(mine - theirs).max() <= 1e-10 * np.abs(theirs).max()


@pytest.mark.parametrize("case", CASES + [f"{case}_packed" for case in CASES])
def test_values_and_all_gradients_are_torchs(case, doubles):
    theirs, layer = recorded(case), as_torchs(case)
    x = leaf(theirs["x"])
    first = [leaf(theirs[name]) for name in ("h0", "c0") if name in theirs]
    steps, mask = theirs["x"].shape[1], None
    if "packed" in case:
        mask = np.arange(steps) < RECORDED["lengths"][:, None]
    result = layer(x, tuple(first) if len(first) == 2 else first[0], mask)
    found = dict(zip(("sequence", "h", "c"), (result[0], *states_of(result)), strict=False))
    for name, z in found.items():
        assert_equal(z.data, theirs[name])
    sum((z * theirs[f"share_of_{name}"]).sum() for name, z in found.items()).backward()

    assert_equal(x.grad, theirs["d_x"])
    for state, name in zip(first, ("h0", "c0"), strict=False):
        assert_equal(state.grad, theirs[f"d_{name}"])
    gradients = ours(case.split("_")[0], theirs, "d_")
    assert gradients.keys() == layer.state_dict().keys()
    for name, parameter in layer.named_parameters():
        assert_equal(parameter.grad, gradients[name])


# ---------------------------------------------------------------- masks


@each_kind
def test_where_the_mask_is_false_nothing_happens(kind):
    """A step without input is as if it were not there; what stands in x there says nothing."""
    layer, x = kind(3, 4, rng=0), drawn(1, 5, 3)
    mask = np.array([[True, False, True, True, False]])
    x[0, [1, 4]] = np.nan
    given, seen = leaf(x), leaf(x[:, mask[0]])
    sequence, *_ = result = layer(given, mask=mask)
    short = layer(seen)
    np.testing.assert_array_equal(sequence.data[:, mask[0]], short[0].data)
    assert not sequence.data[:, ~mask[0]].any()
    for mine, theirs in zip(states_of(result), states_of(short), strict=True):
        np.testing.assert_array_equal(mine.data, theirs.data)
    (sequence**2).sum().backward()
    found = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    (short[0] ** 2).sum().backward()
    np.testing.assert_allclose(given.grad[:, mask[0]], seen.grad, rtol=1e-5)
    assert not given.grad[:, ~mask[0]].any()
    for p, g in zip(layer.parameters(), found, strict=True):
        np.testing.assert_allclose(g, p.grad, rtol=1e-5, atol=1e-6)


@each_kind
def test_an_example_without_any_input_keeps_its_first_state(kind):
    layer = kind(3, 4, rng=0)
    first = [leaf(drawn(2, 4, seed=i)) for i in range(layer.states)]
    mask = [[False] * 5, [True] * 5]
    result = layer(drawn(2, 5, 3), tuple(first) if len(first) == 2 else first[0], mask)
    for before, after in zip(first, states_of(result), strict=True):
        np.testing.assert_array_equal(after.data[0], before.data[0])
        assert (after.data[1] != before.data[1]).all()
    assert not result[0].data[0].any()
    sum(after.sum() for after in states_of(result)).backward()
    for before in first:
        np.testing.assert_array_equal(before.grad[0], np.ones(4))


@each_kind
def test_a_mask_of_nothing_but_true_changes_nothing(kind):
    layer, x = kind(3, 4, rng=0), leaf(drawn(2, 5, 3))
    grads = []
    for mask in (None, np.ones((2, 5), bool)):
        x.grad = None
        layer(x, mask=mask)[0].sum().backward()
        grads.append(x.grad)
    np.testing.assert_array_equal(*grads)


@each_kind
def test_masks_that_fit_nothing_are_refused(kind):
    layer, x = kind(3, 4, rng=0), drawn(2, 5, 3)
    name = kind.__name__.lower()
    with pytest.raises(ValueError, match=rf"{name}: x .*mask \(2, 4\): make the mask \(2, 5\)"):
        layer(x, mask=np.ones((2, 4), bool))
    with pytest.raises(ValueError, match=r"mask \(5,\)"):
        layer(x, mask=np.ones(5, bool))
    with pytest.raises(TypeError, match=f"{name}: a mask of dtype int"):
        layer(x, mask=np.ones((2, 5), int))


# ---------------------------------------------------------------- what is given back


@each_kind
def test_sequence_and_last_are_parts_of_both(kind):
    x, mask = drawn(3, 5, 2), np.arange(5) < np.array([[2], [5], [3]])
    sequence, last = (kind(2, 4, returns=r, rng=0)(x, mask=mask) for r in ("sequence", "last"))
    both = kind(2, 4, rng=0)(x, mask=mask)
    np.testing.assert_array_equal(sequence.data, both[0].data)
    np.testing.assert_array_equal(last.data, states_of(both)[0].data)
    at_end = both[0].data[range(3), [1, 4, 2]]
    np.testing.assert_array_equal(last.data, at_end)


@each_kind
def test_a_sequence_in_two_pieces_is_the_sequence(kind):
    layer, x = kind(3, 4, rng=0), drawn(2, 7, 3)
    whole = layer(x)
    first, state = layer(x[:, :4])
    second = layer(x[:, 4:], state)
    joined = np.concatenate([first.data, second[0].data], axis=1)
    np.testing.assert_allclose(joined, whole[0].data, rtol=1e-6, atol=1e-6)
    for mine, theirs in zip(states_of(second), states_of(whole), strict=True):
        np.testing.assert_allclose(mine.data, theirs.data, rtol=1e-6, atol=1e-6)


@each_kind
def test_layers_on_top_of_each_other_learn_in_a_sequential(kind):
    """Which of two marks came first? Only the state can tell."""
    rng = np.random.default_rng(0)
    x = np.zeros((64, 6, 2), "float32")
    at = np.sort(rng.permuted(np.tile(np.arange(6), (64, 1)), axis=1)[:, :2], axis=1)
    y = rng.integers(0, 2, 64)
    x[np.arange(64), at[:, 0], y] = x[np.arange(64), at[:, 1], 1 - y] = 1
    model = Sequential(
        kind(2, 8, returns="sequence", rng=1),
        kind(8, 8, returns="last", rng=2),
        Linear(8, 2, rng=3),
    )
    optimizer = tg.optimizers.Adam(model, lr=0.03)
    for _ in range(60):
        loss = optimizer.minimize(lambda: tg.losses.cross_entropy(model(x), y))
    assert loss.item() < 0.05


# ---------------------------------------------------------------- how they begin


def test_parameters_have_the_names_and_shapes_of_the_contract():
    shapes = {
        kind: {name: p.shape for name, p in kind(3, 5).named_parameters()}
        for kind in (RNN, LSTM, GRU)
    }
    assert shapes[RNN] == {"weight": (3, 5), "recurrent_weight": (5, 5), "bias": (5,)}
    assert shapes[LSTM] == {"weight": (3, 20), "recurrent_weight": (5, 20), "bias": (20,)}
    assert shapes[GRU] == {
        "weight": (3, 15), "recurrent_weight": (5, 15), "bias": (15,), "recurrent_bias": (15,)
    }  # fmt: skip


@each_kind
def test_weights_begin_as_keras_has_them(kind):
    layer = kind(3, 5, rng=0)
    r = layer.recurrent_weight.data
    np.testing.assert_allclose(r @ r.T, np.eye(5), atol=1e-6)
    assert np.abs(layer.weight.data).max() <= np.sqrt(6 / (3 + layer.weight.shape[1]))
    assert layer.weight.data.std() > 0.1
    assert layer.bias.data[:5].tolist() == [0] * 5


def test_the_forget_gate_of_an_lstm_begins_open():
    bias = LSTM(3, 2).bias.data
    assert bias.tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert not LSTM(3, 2, forget_bias=0.0).bias.data.any()
    assert LSTM(3, 2, bias_init="ones", forget_bias=0.5).bias.data.tolist() == [
        1, 1, 1.5, 1.5, 1, 1, 1, 1
    ]  # fmt: skip


@each_kind
def test_a_seed_draws_different_numbers_for_each_weight_and_the_same_each_time(kind):
    draw = {"weight_init": "normal", "recurrent_init": "normal", "bias_init": "normal"}
    first, again = (kind(4, 4, **draw, rng=7).state_dict() for _ in range(2))
    assert len({array.flat[0] for array in first.values()}) == len(first)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])


@each_kind
def test_repr_shows_what_was_chosen(kind):
    name = kind.__name__
    assert repr(kind(28, 128)) == f"{name}(28, 128)"
    assert repr(kind(28, 128, returns="last")) == f"{name}(28, 128, 'last')"
    assert repr(RNN(2, 3, activation="relu")) == "RNN(2, 3, activation='relu')"


@each_kind
def test_copies_pickles_and_states_give_the_same_numbers(kind):
    layer, x = kind(3, 4, returns="last", rng=0), drawn(2, 5, 3)
    expected = layer(x).data
    other = kind(3, 4, returns="last", rng=1)
    other.load_state_dict(layer.state_dict())
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), other):
        np.testing.assert_array_equal(copied(x).data, expected)
    assert not np.shares_memory(copy.deepcopy(layer).weight.data, layer.weight.data)


def test_multiply_adds_by_hand():
    """7 steps; each number of each gate is a sum over 3 inputs and 5 numbers of the state."""
    for kind, gates in ((RNN, 1), (LSTM, 4), (GRU, 3)):
        assert kind(3, 5).multiply_adds((1, 7, 3), (1, 7, 5)) == 7 * gates * 5 * (3 + 5)
    assert f"{7 * 4 * 5 * (3 + 5):,}" in LSTM(3, 5, "sequence").summary((7, 3))


# ---------------------------------------------------------------- numbers at the edge


@each_kind
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_saturated_gates_warn_of_nothing_and_keep_the_dtype(kind, dtype):
    layer, x = kind(2, 3, rng=0), leaf(np.array([[[1e4, -1e4], [-1e4, 1e4]]], dtype))
    for p in layer.parameters():
        p.data = p.data.astype(dtype)
    with np.errstate(all="raise", under="ignore"):
        result = layer(x)
    result[0].sum().backward()
    for array in (result[0].data, x.grad, *(p.grad for p in layer.parameters())):
        assert array.dtype == dtype
        assert np.isfinite(array).all()


@each_kind
def test_float16_is_float64_coarsely(kind):
    fine, coarse = kind(3, 4, rng=0), kind(3, 4, rng=0)
    for p in coarse.parameters():
        p.data = p.data.astype("float16")
    x = drawn(2, 5, 3)
    mine = coarse(x.astype("float16"))[0]
    np.testing.assert_allclose(mine.data, fine(x)[0].data, atol=5e-3)


@each_kind
def test_whole_numbers_are_taken_as_numbers(kind):
    layer = kind(3, 4, rng=0)
    onehot = np.eye(3, dtype=int)[[[0, 2, 1]]]
    z = layer(onehot)[0]
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z.data, layer(onehot.astype("float32"))[0].data)


# ---------------------------------------------------------------- what does not fit


@each_kind
def test_shapes_that_do_not_fit_are_refused_by_name(kind):
    layer, name = kind(3, 4, rng=0), kind.__name__.lower()
    for x, message in (
        (drawn(5, 3), r"x \(5, 3\): make it \(batch, time, inputs\)"),
        (drawn(2, 5, 2), rf"weight \(3, .*make the weight \(2, {4 * layer.gates}\)"),
        (drawn(2, 0, 3), r"x \(2, 0, 3\): a sequence without steps"),
    ):
        with pytest.raises(ValueError, match=f"{name}: .*{message}"):
            layer(x)


def test_states_that_do_not_fit_are_refused():
    x, h = drawn(2, 5, 3), drawn(2, 4)
    for kind in (RNN, GRU):
        with pytest.raises(ValueError, match=r"h0 \(2, 5\): make the h0 \(2, 4\)"):
            kind(3, 4)(x, drawn(2, 5))
        with pytest.raises(ValueError, match=r"h0 \(1, 4\): make the h0 \(2, 4\)"):
            kind(3, 4)(x, drawn(1, 4))
    with pytest.raises(ValueError, match=r"c0 \(1, 4\): make the c0 \(2, 4\)"):
        LSTM(3, 4)(x, (h, h[:1]))
    with pytest.raises(TypeError, match=r"LSTM: state is a ndarray; give the pair \(h, c\)"):
        LSTM(3, 4)(x, drawn(2, 2, 4))
    with pytest.raises(TypeError, match="LSTM: state is a tuple"):
        LSTM(3, 4)(x, (h,))


@each_kind
def test_settings_that_mean_nothing_are_refused(kind):
    name = kind.__name__
    with pytest.raises(ValueError, match=f"{name}: returns='all'; there are both, sequence, last"):
        kind(3, 4, returns="all")
    with pytest.raises(ValueError, match=f"{name}: hidden=0"):
        kind(3, 0)
    with pytest.raises(ValueError, match=f"{name}: recurrent_weight: its initializer made"):
        kind(3, 4, recurrent_init=lambda shape, rng: np.zeros((2, 2)))
    with pytest.raises(ValueError, match="RNN: activation='sigmoid'; there are tanh, relu"):
        RNN(3, 4, activation="sigmoid")
    with pytest.raises(ValueError, match='rnn: activation=.*there are "tanh" and "relu"'):
        tg.rnn(drawn(2, 5, 3), drawn(3, 4), drawn(4, 4), drawn(4), drawn(2, 4), None, "sigmoid")


# ---------------------------------------------------------------- one sweep, and nothing left over


@pytest.fixture
def sweeps(monkeypatch):
    """How often a sweep back in time was made."""
    made, once = [], recurrent._once

    def counted(sweep):
        return once(lambda g: (made.append(1), sweep(g))[1])

    monkeypatch.setattr(recurrent, "_once", counted)
    return made


@each_kind
def test_one_sweep_serves_all_gradients(kind, sweeps):
    layer = kind(3, 4, rng=0)
    layer(leaf(drawn(2, 5, 3)))[0].sum().backward()
    assert len(sweeps) == 1
    assert all(p.grad is not None for p in layer.parameters())


@each_kind
def test_backward_twice_is_exactly_double(kind):
    layer, x = kind(3, 4, rng=0), leaf(drawn(2, 5, 3))
    loss = (layer(x)[0] ** 2).sum()
    loss.backward()
    leaves = [x, *layer.parameters()]
    once = [p.grad.copy() for p in leaves]
    loss.backward()
    for p, g in zip(leaves, once, strict=True):
        np.testing.assert_array_equal(p.grad, 2 * g)


@each_kind
def test_pullbacks_answer_the_g_they_are_asked_in_any_order(kind):
    z = ops_call(kind(3, 4, rng=0), leaf(drawn(2, 5, 3)))
    gs = [drawn(*z.shape, seed=i) for i in range(3)]
    alone = [[pullback(g.copy()) for _, pullback in z._edges] for g in gs]
    asked = [(e, k) for k in (0, 1, 2, 1, 0) for e in range(len(z._edges))]
    for e, k in [*asked, *sorted(asked), *reversed(asked)]:
        np.testing.assert_array_equal(z._edges[e][1](gs[k]), alone[k][e])


@each_kind
def test_two_tensors_of_equal_numbers_are_two_gs(kind):
    """On Tensors, for second derivatives, an answer remembers the g that it came from."""
    z = ops_call(kind(3, 4, rng=0), leaf(drawn(2, 5, 3)))
    args = [x if isinstance(x, tg.Tensor) else leaf(x) for x in z._args[:-1]]
    dx = z.op.rule(*args)[1]
    first, second = leaf(np.ones(z.shape)), leaf(np.ones(z.shape))
    dx(first)
    dx(second).sum().backward()
    assert first.grad is None
    assert second.grad.any()


@each_kind
def test_a_gradient_written_into_between_two_walks_is_a_new_one(kind):
    """The same array, with other numbers: the sweep that is at hand is not for these."""
    layer, x, g = kind(3, 4, rng=0), leaf(drawn(2, 5, 3)), drawn(2, 5 + kind.states, 4)
    z = ops_call(layer, x)
    z.backward(g)
    first = layer.weight.grad.copy()
    g *= 2
    tg.grad(z, [x], g)
    layer.zero_grad()
    z.backward(g)
    np.testing.assert_array_equal(layer.weight.grad, 2 * first)


@each_kind
def test_the_sweep_is_let_go_of_when_the_walk_goes_on(kind, monkeypatch):
    answers, once = [], recurrent._once

    def watched(sweep):
        def noted(g):
            answer = sweep(g)
            answers.append(weakref.ref(answer[0]))
            return answer

        return once(noted)

    monkeypatch.setattr(recurrent, "_once", watched)
    gc.disable()
    try:
        loss = kind(3, 4, rng=0)(leaf(drawn(2, 5, 3)))[0].sum()
        loss.backward()
        assert [answer() for answer in answers] == [None]
        assert loss.op is not None  # the graph is still there
    finally:
        gc.enable()


@each_kind
@pytest.mark.parametrize("create_graph", [False, True])
def test_reference_counts_alone_free_everything(kind, create_graph):
    layer = kind(3, 4, rng=0)
    gc.collect()
    gc.disable()
    try:
        x = leaf(drawn(2, 5, 3))
        sequence, _ = layer(x, mask=np.ones((2, 5), bool))
        (dx,) = tg.grad((sequence**2).sum(), [x], create_graph=create_graph)
        if create_graph:
            (dx**2).sum().backward()
        gone = [weakref.ref(t) for t in (x, sequence, sequence.inputs[0], dx)]
        layer.zero_grad()
        del x, sequence, dx, _
        assert [t() for t in gone] == [None] * 4
        assert gc.collect() == 0
    finally:
        gc.enable()


@each_kind
def test_gradients_go_through_a_thousand_steps(kind):
    """A twin in float64 with a step of its own for each input: one layer call after the other."""
    layer, x = kind(2, 3, returns="both", rng=0), drawn(1, 1000, 2, dtype="float64")
    for p in layer.parameters():
        p.data = p.data.astype("float64")
    whole = leaf(x)
    layer(whole)[0].sum().backward()
    grads = [p.grad for p in layer.parameters()]
    layer.zero_grad()
    steps, state, total = [leaf(x[:, t : t + 1]) for t in range(1000)], None, 0.0
    for step in steps:
        output, state = layer(step, state)
        total = total + output.sum()
    total.backward()
    np.testing.assert_allclose(
        whole.grad, np.concatenate([s.grad for s in steps], axis=1), atol=1e-10
    )
    for p, g in zip(layer.parameters(), grads, strict=True):
        np.testing.assert_allclose(p.grad, g, rtol=1e-10, atol=1e-10)


@each_kind
def test_second_derivatives_go_through_the_layer_too(kind):
    layer, mask = kind(2, 2, rng=0), np.array([[True, False, True]])
    weights = [p.data for p in layer.parameters()]
    op = getattr(tg, kind.__name__.lower())
    first = [drawn(1, 2, seed=i) for i in range(kind.states)]
    tg.gradcheck(
        lambda x, *rest: op(x, *rest, mask=mask)[:, :-1].sum() ** 2,
        (drawn(1, 3, 2), *weights, *first),
        order=2,
    )
