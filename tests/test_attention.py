"""Multi-head attention: PyTorch's numbers, a loop over heads and queries, masks, dropout."""

import copy
import gc
import math
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import drawn
from tinygrad_edu.layers import Embedding, LayerNorm, Linear, MultiHeadAttention, Sequential

RECORDED = np.load(Path(__file__).parent / "data" / "torch_recurrent.npz")
PARTS = ("query", "key", "value", "output")


@pytest.fixture
def doubles():
    tg.set_default_dtype("float64")
    yield
    tg.set_default_dtype("float32")


def leaf(array):
    return tg.Tensor(array, requires_grad=True)


def by_hand(layer, query, key, value, may_look=None):
    """One example, one head, one query at a time."""
    affine = {name: getattr(layer, name) for name in PARTS}

    def through(name, x):
        return x @ affine[name].weight.data + affine[name].bias.data

    d = layer.size // layer.heads
    z = np.zeros((*query.shape[:2], layer.size))
    shares = np.zeros((len(query), layer.heads, query.shape[1], key.shape[1]))
    for example, head in np.ndindex(len(query), layer.heads):
        own = slice(head * d, head * d + d)
        q = through("query", query[example])[:, own]
        k = through("key", key[example])[:, own]
        v = through("value", value[example])[:, own]
        for i in range(len(q)):
            seen = [j for j in range(len(k)) if may_look is None or may_look[example, i, j]]
            e = {j: math.exp(q[i] @ k[j] / math.sqrt(d)) for j in seen}
            for j in seen:
                shares[example, head, i, j] = e[j] / sum(e.values())
                z[example, i, own] += shares[example, head, i, j] * v[j]
    return through("output", z), shares


# ---------------------------------------------------------------- what it computes


@pytest.mark.parametrize("return_weights", [False, True])
def test_it_is_a_loop_over_heads_and_queries(return_weights, doubles):
    layer = MultiHeadAttention(6, 3, rng=0)
    for name in PARTS:
        getattr(layer, name).bias.data = drawn(6, dtype="float64", seed=5)
    query, key = drawn(2, 3, 6, dtype="float64"), drawn(2, 4, 6, dtype="float64", seed=1)
    value = drawn(2, 4, 6, dtype="float64", seed=2)
    mask = drawn(2, 3, 4, seed=3) > 0
    mask[1, 2] = False  # nothing to look at
    expected, shares = by_hand(layer, query, key, value, mask)
    z = layer(query, key, value, mask, return_weights)
    if return_weights:
        z, weights = z
        np.testing.assert_allclose(weights.data, shares, atol=1e-14)
    np.testing.assert_allclose(z.data, expected, atol=1e-13)
    np.testing.assert_allclose(z.data[1, 2], layer.output.bias.data, atol=1e-14)


def test_what_is_left_out_is_the_one_before():
    layer, x, y = MultiHeadAttention(6, 3, rng=0), drawn(2, 3, 6), drawn(2, 4, 6, seed=1)
    np.testing.assert_array_equal(layer(x).data, layer(x, x, x).data)
    np.testing.assert_array_equal(layer(x, y).data, layer(x, y, y).data)
    assert (layer(x, y).data != layer(x).data).all()


def test_the_weights_change_nothing_in_the_result_and_have_gradients():
    layer, x = MultiHeadAttention(6, 3, causal=True, rng=0), leaf(drawn(2, 4, 6))
    mask = np.array([[True] * 4, [True, False, True, True]])
    z, weights = layer(x, mask=mask, return_weights=True)
    np.testing.assert_allclose(z.data, layer(x, mask=mask).data, atol=1e-6)
    assert weights.shape == (2, 3, 4, 4)
    np.testing.assert_allclose(weights.data.sum(axis=-1), 1, rtol=1e-6)
    (weights[0, 0, 3, 1] - weights[0, 0, 3, 2]).backward()
    assert x.grad[0].any()
    assert not x.grad[1].any()


# ---------------------------------------------------------------- PyTorch's numbers


def recorded(case):
    return {
        name.removeprefix(f"{case}/"): RECORDED[name]
        for name in RECORDED.files
        if name.startswith(f"{case}/")
    }


def ours(theirs, prefix=""):
    """PyTorch's weights, or with d_ their gradients, by our names: there three are in one."""
    found = {}
    weights = np.split(theirs[f"{prefix}in_proj_weight"], 3)
    biases = np.split(theirs[f"{prefix}in_proj_bias"], 3)
    weights.append(theirs[f"{prefix}out_proj.weight"])
    biases.append(theirs[f"{prefix}out_proj.bias"])
    for name, weight, bias in zip(PARTS, weights, biases, strict=True):
        found |= {f"{name}.weight": weight.T, f"{name}.bias": bias}
    return found


def assert_equal(mine, theirs, largest):
    assert mine.shape == theirs.shape
    assert np.abs(mine - theirs).max() <= 1e-10 * largest


def padding(steps):
    return np.arange(steps) < RECORDED["lengths"][:, None]


@pytest.mark.parametrize(
    "case",
    ["attention", "attention_causal", "attention_padded", "attention_both", "attention_cross"],
)
def test_values_and_all_gradients_are_torchs(case, doubles):
    theirs = recorded(case)
    causal = case in ("attention_causal", "attention_both")
    layer = MultiHeadAttention(8, 2, causal=causal)
    layer.load_state_dict(ours(theirs))
    inputs = {n: leaf(theirs[n]) for n in ("query", "key", "value") if n in theirs}
    mask = padding(5) if case in ("attention_padded", "attention_both") else None
    z, weights = layer(*inputs.values(), mask=mask, return_weights=True)
    assert_equal(z.data, theirs["z"], np.abs(theirs["z"]).max())
    assert_equal(weights.data, theirs["weights"], 1)
    np.testing.assert_allclose(layer(*inputs.values(), mask=mask).data, z.data, atol=1e-13)
    loss = (z * theirs["share_of_z"]).sum() + (weights * theirs["share_of_weights"]).sum()
    loss.backward()

    gradients = ours(theirs, "d_")
    largest = max(np.abs(g).max() for g in gradients.values())
    for name, x in inputs.items():
        assert_equal(x.grad, theirs[f"d_{name}"], np.abs(theirs[f"d_{name}"]).max())
    assert gradients.keys() == layer.state_dict().keys()
    for name, parameter in layer.named_parameters():
        assert_equal(parameter.grad, gradients[name], largest)  # that of key.bias is 0 but rounding


@pytest.mark.parametrize("causal", [False, True])
def test_the_way_without_weights_has_the_same_gradients(causal, doubles):
    layer = MultiHeadAttention(6, 2, causal=causal, rng=0)
    x, mask, found = drawn(4, 5, 6, dtype="float64"), padding(5), []
    for way in (lambda t: layer(t, mask=mask), lambda t: layer(t, None, None, mask, True)[0]):
        t = leaf(x)
        layer.zero_grad()
        (way(t) ** 2).sum().backward()
        found.append([t.grad, *(p.grad for p in layer.parameters())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


# ---------------------------------------------------------------- who may look where


def depends(layer, x, **options):
    """(i, j): does the result at i change with the input at j?"""
    before, found = layer(x, **options).data, []
    for j in range(x.shape[1]):
        other = x.copy()
        other[:, j] += 1
        found.append((layer(other, **options).data != before).any(axis=(0, 2)))
    return np.array(found).T


def test_a_causal_one_sees_nothing_of_what_comes_later():
    layer, x = MultiHeadAttention(6, 2, causal=True, rng=0), drawn(2, 5, 6)
    np.testing.assert_array_equal(depends(layer, x), np.tri(5, dtype=bool))


def test_a_mask_of_three_axes_says_what_each_query_may_look_at():
    layer, x = MultiHeadAttention(6, 2, rng=0), drawn(2, 4, 6)
    mask = np.eye(4, dtype=bool) | np.eye(4, k=2, dtype=bool)
    np.testing.assert_array_equal(depends(layer, x, mask=mask[None]), mask)
    both = np.stack([mask, mask])
    np.testing.assert_array_equal(layer(x, mask=both).data, layer(x, mask=mask[None]).data)


def test_a_mask_of_two_axes_says_which_keys_there_are():
    """Also where batch, n and m are equal, so that other readings would fit."""
    layer, x = MultiHeadAttention(6, 2, rng=0), drawn(3, 3, 6)
    keys = np.array([[True, False, False], [True, True, False], [True, True, True]])
    spelled = np.repeat(keys[:, None], 3, axis=1)
    np.testing.assert_array_equal(layer(x, mask=keys).data, layer(x, mask=spelled).data)
    np.testing.assert_array_equal(layer(x, mask=tg.Tensor(keys)).data, layer(x, mask=keys).data)
    for example, length in enumerate((1, 2, 3)):
        alone = layer(x[example : example + 1], x[example : example + 1, :length])
        np.testing.assert_allclose(layer(x, mask=keys).data[example], alone.data[0], atol=1e-6)


def test_masks_that_could_mean_anything_are_refused():
    layer, x, y = MultiHeadAttention(6, 2, rng=0), drawn(2, 3, 6), drawn(2, 4, 6)
    for shape in ((3, 4), (4,), (2, 3), (2, 4, 3), (3, 3, 4), (2, 1, 3, 4), (2, 2, 3, 4), (1, 4)):
        with pytest.raises(ValueError, match=r"make the mask \(2, 4\), which keys .* \(2, 3, 4\)"):
            layer(x, y, mask=np.ones(shape, bool))
    with pytest.raises(TypeError, match="MultiHeadAttention: a mask of dtype int64"):
        layer(x, y, mask=np.ones((2, 4), np.int64))


# ---------------------------------------------------------------- dropout


def test_dropout_drops_weights_in_training_only_and_from_its_own_generator():
    layer, x = MultiHeadAttention(6, 2, dropout=0.5, rng=0), drawn(2, 5, 6)
    plain = MultiHeadAttention(6, 2, rng=0)
    first, second = layer(x).data, layer(x).data
    assert (first != second).any()
    np.testing.assert_array_equal(layer.eval()(x).data, plain(x).data)
    z, weights = layer(x, return_weights=True)
    np.testing.assert_array_equal(z.data, plain(x, return_weights=True)[0].data)
    np.testing.assert_allclose(weights.data.sum(axis=-1), 1, rtol=1e-6)
    again = MultiHeadAttention(6, 2, dropout=0.5, rng=0)
    np.testing.assert_array_equal(again(x).data, first)
    assert [name for name, _ in layer.named_generators()] == ["rng"]


def test_dropped_weights_are_gone_and_the_others_scaled(doubles):
    """With projections that change nothing, the result is the sum of the kept shares."""
    layer = MultiHeadAttention(4, 1, dropout=0.25, rng=3)
    for name in PARTS:
        getattr(layer, name).weight.data = np.eye(4)
    x = np.eye(4)[None]
    z, weights = layer(x, return_weights=True)
    np.testing.assert_allclose(weights.data.sum(axis=-1), 1)
    ratio = z.data[0] / weights.data[0, 0]
    kept = np.isclose(ratio, 1 / 0.75)
    assert (kept | (ratio == 0)).all()
    assert 0 < kept.sum() < 16


# ---------------------------------------------------------------- as a layer


def test_parts_are_four_linears():
    layer = MultiHeadAttention(6, 2, rng=0)
    assert list(layer.state_dict()) == [
        f"{part}.{name}" for part in PARTS for name in ("weight", "bias")
    ]
    assert all(isinstance(getattr(layer, part), Linear) for part in PARTS)
    assert (layer.query.weight.data != layer.key.weight.data).all()  # one seed, four draws
    assert len(MultiHeadAttention(6, 2, bias=False).parameters()) == 4


def test_repr_shows_what_was_chosen():
    assert repr(MultiHeadAttention(64, 4)) == "MultiHeadAttention(64, 4)"
    layer = MultiHeadAttention(64, 4, bias=False, dropout=0.1, causal=True)
    assert repr(layer) == "MultiHeadAttention(64, 4, bias=False, dropout=0.1, causal=True)"


def test_multiply_adds_by_hand():
    """5 queries and 5 keys of 6 numbers: q k^T, then the mixing of values; and four Linears."""
    layer = MultiHeadAttention(6, 2)
    assert layer.multiply_adds((1, 5, 6), (1, 5, 6)) == 5 * 5 * 6 + 5 * 5 * 6
    total = layer.summary((5, 6)).splitlines()[-2].split()
    assert total[-1] == f"{2 * 5 * 5 * 6 + 4 * 5 * 6 * 6:,}"


def test_copies_pickles_and_states_give_the_same_numbers():
    layer, x = MultiHeadAttention(6, 2, dropout=0.5, rng=0), drawn(2, 5, 6)
    copies = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    expected = layer(x).data
    for copied in copies:
        np.testing.assert_array_equal(copied(x).data, expected)  # the generators are copied, too
    other = MultiHeadAttention(6, 2, rng=1)
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other(x).data, layer.eval()(x).data)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_large_numbers_overflow_nowhere_and_the_dtype_stays(dtype):
    layer = MultiHeadAttention(6, 2, causal=True, rng=0)
    for p in layer.parameters():
        p.data = p.data.astype(dtype)
    x = leaf(drawn(2, 5, 6, dtype=dtype) * (10 if dtype == "float16" else 1e4))
    with np.errstate(all="raise", under="ignore"):
        z = layer(x)
    z.sum().backward()
    assert z.dtype == x.grad.dtype == dtype
    assert np.isfinite(z.data).all()
    assert np.isfinite(x.grad).all()


def test_second_derivatives_go_through_both_ways(doubles):
    layer, mask = MultiHeadAttention(2, 1, rng=0), np.array([[True, True, False]])
    for options in ({}, {"mask": mask}, {"return_weights": True}):
        tg.gradcheck(lambda x, o=options: layer(x, **o), drawn(1, 3, 2), order=2)


def test_reference_counts_alone_free_everything():
    layer = MultiHeadAttention(6, 2, dropout=0.5, causal=True, rng=0)
    gc.collect()
    gc.disable()
    try:
        x = leaf(drawn(2, 5, 6))
        z, weights = layer(x, return_weights=True)
        z.sum().backward()
        gone = [weakref.ref(t) for t in (x, z, weights)]
        layer.zero_grad()
        del x, z, weights
        assert [t() for t in gone] == [None] * 3
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_a_small_transformer_learns_to_repeat_the_token_before():
    class Block(tg.layers.Layer):
        def __init__(self):
            self.token, self.place = Embedding(5, 16, rng=0), Embedding(8, 16, rng=1)
            self.norm, self.attention = LayerNorm(16), MultiHeadAttention(16, 2, causal=True, rng=2)
            self.head = Sequential(LayerNorm(16), Linear(16, 5, rng=3))

        def forward(self, words):
            x = self.token(words) + self.place(np.arange(8))
            return self.head(x + self.attention(self.norm(x)))

    model, words = Block(), np.random.default_rng(0).integers(0, 5, (64, 8))
    optimizer = tg.optimizers.Adam(model, lr=0.01)
    for _ in range(150):
        loss = optimizer.minimize(
            lambda: tg.losses.cross_entropy(model(words)[:, 1:], words[:, :-1])
        )
    assert loss.item() < 0.05


# ---------------------------------------------------------------- what does not fit


def test_settings_and_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="size=10 does not split into heads=4"):
        MultiHeadAttention(10, 4)
    with pytest.raises(ValueError, match="MultiHeadAttention: heads=0"):
        MultiHeadAttention(10, 0)
    with pytest.raises(ValueError, match=r"MultiHeadAttention: dropout=1 is not in \[0, 1\)"):
        MultiHeadAttention(10, 2, dropout=1)
    layer, x = MultiHeadAttention(6, 2, rng=0), drawn(2, 3, 6)
    with pytest.raises(ValueError, match=r"query \(3, 6\): make it \(batch, time, 6\)"):
        layer(x[0])
    with pytest.raises(ValueError, match=r"value \(2, 3, 5\): make it \(batch, time, 6\)"):
        layer(x, x, x[:, :, :5])
    with pytest.raises(ValueError, match=r"key \(1, 3, 6\).*the same batch"):
        layer(x, x[:1])
    with pytest.raises(ValueError, match="key and value the same time"):
        layer(x, x, x[:, :2])
