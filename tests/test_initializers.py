"""Initializers: the law of each scheme, its fans, and the same seed giving the same bits."""

import math

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import initializers
from tinygrad_edu.initializers import fans

# The variance that each scheme promises for weights of (inputs, outputs) = (300, 200).
VARIANCES = {
    "glorot_uniform": 2 / 500,
    "glorot_normal": 2 / 500,
    "he_uniform": 2 / 300,
    "he_normal": 2 / 300,
    "lecun_uniform": 1 / 300,
    "lecun_normal": 1 / 300,
    "normal": 0.05**2,
    "uniform": 0.1**2 / 12,
}
EVEN = [name for name in VARIANCES if name.endswith("uniform")]
RANDOM = [*VARIANCES, "truncated_normal", "orthogonal"]
FIXED = ["zeros", "ones", "constant", "identity"]


def made(name, shape, rng=None, **options):
    return getattr(initializers, name)(shape, rng=rng, **options)


# ---------------------------------------------------------------- the laws


@pytest.mark.parametrize("name", VARIANCES)
def test_mean_and_variance_are_those_promised(name):
    w = made(name, (300, 200), rng=0).astype(float)
    assert w.var() == pytest.approx(VARIANCES[name], rel=0.02)
    assert abs(w.mean()) < 4 * math.sqrt(VARIANCES[name] / w.size)


@pytest.mark.parametrize("name", EVEN)
def test_an_even_law_fills_its_bounds_evenly(name):
    w = made(name, (300, 200), rng=0).astype(float)
    bound = math.sqrt(3 * VARIANCES[name])
    assert np.abs(w).max() <= bound * (1 + 1e-6)
    assert np.abs(w).max() > bound * 0.999
    counts, _ = np.histogram(w, bins=10, range=(-bound, bound))
    assert np.abs(counts / w.size - 0.1).max() < 0.006


@pytest.mark.parametrize("name", [name for name in VARIANCES if name.endswith("normal")])
def test_a_normal_law_has_its_shares_within_one_two_and_three_deviations(name):
    z = np.abs(made(name, (300, 200), rng=0)) / math.sqrt(VARIANCES[name])
    for k, share in ((1, 0.6827), (2, 0.9545), (3, 0.9973)):
        assert (z < k).mean() == pytest.approx(share, abs=0.006)


def test_mean_and_spread_can_be_chosen():
    w = made("normal", (500, 400), rng=0, mean=3.0, std=0.5)
    assert w.mean() == pytest.approx(3, abs=0.01) and w.std() == pytest.approx(0.5, rel=0.01)
    w = made("truncated_normal", (500, 400), rng=0, mean=3.0, std=0.5)
    assert w.mean() == pytest.approx(3, abs=0.01) and w.min() >= 2 and w.max() <= 4
    w = made("uniform", (500, 400), rng=0, low=1.0, high=5.0)
    assert w.mean() == pytest.approx(3, abs=0.02) and w.min() >= 1 and w.max() <= 5


def test_truncated_normal_has_no_tails_and_the_variance_of_what_is_left():
    w = made("truncated_normal", (300, 200), rng=0).astype(float)
    assert np.abs(w).max() <= 0.1 and np.abs(w).max() > 0.0999
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    left = 1 - 2 * 2 * density / math.erf(2 / math.sqrt(2))  # the variance of what lies within 2
    assert w.var() == pytest.approx(0.05**2 * left, rel=0.02)


def test_fixed_beginnings_are_what_their_names_say():
    assert made("zeros", (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]
    assert made("ones", (3,)).tolist() == [1, 1, 1]
    assert made("constant", (2,)).tolist() == [0, 0]
    assert made("constant", (2,), value=0.5).tolist() == [0.5, 0.5]
    assert made("identity", (2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


# ---------------------------------------------------------------- fans


@pytest.mark.parametrize(
    ("shape", "inputs_and_outputs"),
    [
        ((), (1, 1)),
        ((7,), (7, 7)),
        ((30, 20), (30, 20)),
        ((8, 3, 5), (3 * 5, 8 * 5)),
        ((8, 3, 5, 4), (3 * 5 * 4, 8 * 5 * 4)),
    ],
    ids=str,
)
def test_fans_count_inputs_and_outputs(shape, inputs_and_outputs):
    assert fans(shape) == inputs_and_outputs


def test_weights_of_a_convolution_count_their_kernel():
    w = made("he_normal", (200, 30, 5, 5), rng=0)
    assert w.var() == pytest.approx(2 / (30 * 25), rel=0.02)
    w = made("glorot_uniform", (200, 30, 5, 5), rng=0)
    assert w.var() == pytest.approx(2 / (30 * 25 + 200 * 25), rel=0.02)


def test_glorot_is_as_bold_forward_as_backward_and_he_looks_at_inputs_alone():
    narrow, wide = (made("he_normal", shape, rng=0).std() for shape in ((50, 800), (800, 50)))
    assert narrow / wide == pytest.approx(4, rel=0.05)
    narrow, wide = (made("glorot_normal", shape, rng=0).std() for shape in ((50, 800), (800, 50)))
    assert narrow == pytest.approx(wide, rel=0.05)


def test_he_keeps_the_size_of_signals_through_fifty_layers_of_relu():
    x = np.random.default_rng(0).standard_normal((64, 256)).astype("float32")
    size = (x**2).mean()
    for layer in range(50):
        x = np.maximum(x @ made("he_normal", (256, 256), rng=layer), 0)
    assert 0.2 < (x**2).mean() / size < 5


# ---------------------------------------------------------------- orthogonal


@pytest.mark.parametrize(
    "shape", [(5, 5), (7, 3), (3, 7), (1, 4), (4, 3, 2, 2), (20, 3, 2)], ids=str
)
def test_orthogonal_rows_or_columns_have_length_1_and_right_angles(shape):
    w = made("orthogonal", shape, rng=0)
    assert w.shape == shape
    matrix = w.reshape(shape[0], -1).astype(float)
    fewer = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(fewer, np.eye(len(fewer)), atol=1e-6)


def test_all_orthogonal_matrices_are_equally_likely():
    first = np.array([made("orthogonal", (2, 2), rng=seed)[0] for seed in range(2000)])
    quarters = np.histogram(np.arctan2(*first.T), bins=4, range=(-np.pi, np.pi))[0]
    assert quarters.min() > 420
    signs = [np.linalg.det(made("orthogonal", (2, 2), rng=seed)) > 0 for seed in range(500)]
    assert 200 < np.sum(signs) < 300


@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_orthogonal_needs_two_axes(shape):
    with pytest.raises(ValueError, match=r"orthogonal: shape .* needs two axes"):
        made("orthogonal", shape)


@pytest.mark.parametrize("shape", [(), (3,), (2, 2, 2)], ids=str)
def test_identity_is_a_matrix(shape):
    with pytest.raises(ValueError, match=r"identity: shape .* two axes"):
        made("identity", shape)


# ---------------------------------------------------------------- chance and dtype


@pytest.mark.parametrize("name", RANDOM)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(name):
    shape = (12, 9)
    np.testing.assert_array_equal(made(name, shape, rng=5), made(name, shape, rng=5))
    assert (made(name, shape, rng=5) != made(name, shape, rng=6)).any()


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_goes_on_and_the_default_one_follows_manual_seed(name):
    generator = np.random.default_rng(5)
    first, second = made(name, (12, 9), rng=generator), made(name, (12, 9), rng=generator)
    np.testing.assert_array_equal(first, made(name, (12, 9), rng=5))
    assert (first != second).any()
    tg.manual_seed(5)
    np.testing.assert_array_equal(first, made(name, (12, 9)))


@pytest.mark.parametrize("name", RANDOM)
def test_numpys_global_generator_is_never_touched(name):
    before = np.random.get_state()[1].copy()
    made(name, (12, 9), rng=0), made(name, (12, 9))
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("name", RANDOM + FIXED)
def test_the_dtype_is_the_default_one(name):
    assert made(name, (4, 4)).dtype == np.float32
    tg.set_default_dtype("float64")
    try:
        assert made(name, (4, 4)).dtype == np.float64
    finally:
        tg.set_default_dtype("float32")


@pytest.mark.parametrize("name", [n for n in RANDOM + FIXED if n not in ("orthogonal", "identity")])
def test_any_shape_will_do(name):
    for shape in ((), (3,), (0, 3) if not name.startswith(("he", "lecun")) else (3, 0), (2, 3, 4)):
        assert made(name, shape, rng=0).shape == shape


# ---------------------------------------------------------------- by name


@pytest.mark.parametrize("name", [*RANDOM, *FIXED])
def test_get_finds_an_initializer_by_name(name):
    assert initializers.get(name) is getattr(initializers, name)


def test_every_initializer_is_tested_here():
    assert {*initializers.__all__} == {*RANDOM, *FIXED, "get"}


def test_get_passes_a_function_on():
    mine = lambda shape, rng=None: np.zeros(shape)
    assert initializers.get(mine) is mine


@pytest.mark.parametrize("name", ["xavier", "get", "fans", "np", "", "__all__"])
def test_get_of_an_unknown_name_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=f"initializers: there is no '{name}'") as caught:
        initializers.get(name)
    assert "glorot_uniform, " in str(caught.value) and ", get," not in str(caught.value)
