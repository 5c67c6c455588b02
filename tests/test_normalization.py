"""Normalising layers: the batch or what was seen before it, and what is refused."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.layers import BatchNorm, LayerNorm, RMSNorm, Sequential

NORMS = {"BatchNorm": BatchNorm, "LayerNorm": LayerNorm, "RMSNorm": RMSNorm}
each_norm = pytest.mark.parametrize("kind", NORMS.values(), ids=NORMS)


def drawn(*shape, dtype="float32", seed=0):
    return (3 + 2 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


def running(layer):
    return layer.running_mean.copy(), layer.running_var.copy()


def assert_still(layer, before):
    for now, then in zip(running(layer), before, strict=True):
        np.testing.assert_array_equal(now, then)


# ---------------------------------------------------------------- BatchNorm


@pytest.mark.parametrize("shape", [(50, 3), (9, 3, 7), (4, 3, 5, 6)], ids=str)
def test_in_training_every_feature_of_the_batch_has_mean_0_and_variance_1(shape):
    z = BatchNorm(3)(drawn(*shape)).data
    axes = (0, *range(2, len(shape)))
    np.testing.assert_allclose(z.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(z.var(axis=axes), 1, rtol=1e-4)


def test_scale_and_shift_belong_to_a_feature():
    layer, x = BatchNorm(2), drawn(4, 2, 3)
    plain = layer(x).data
    layer.scale.data, layer.shift.data = np.float32([2, 3]), np.float32([-1, 5])
    expected = plain * np.float32([2, 3])[:, None] + np.float32([-1, 5])[:, None]
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-5, atol=1e-5)


def test_what_is_running_follows_the_batches_and_holds_no_graph():
    layer, x = BatchNorm(3, momentum=0.25), drawn(6, 3, dtype="float64")
    z = layer(tg.Tensor(x, requires_grad=True))
    assert z.requires_grad and type(layer.running_mean) is type(layer.running_var) is np.ndarray
    np.testing.assert_allclose(layer.running_mean, 0.25 * x.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var, 0.75 + 0.25 * x.var(axis=0, ddof=1), rtol=1e-6)


def test_momentum_is_the_share_of_the_new_batch():
    x = drawn(6, 3)
    still, forgetful = BatchNorm(3, momentum=0), BatchNorm(3, momentum=1)
    before = running(still)
    for layer in (still, forgetful):
        layer(drawn(6, 3, seed=1)), layer(x)
    assert_still(still, before)
    np.testing.assert_allclose(forgetful.running_mean, x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(forgetful.running_var, x.var(axis=0, ddof=1), rtol=1e-5)


def test_in_use_an_example_does_not_depend_on_those_beside_it():
    layer, x = BatchNorm(3), drawn(8, 3)
    layer(drawn(8, 3, seed=1))
    layer.eval()
    before = running(layer)
    together = layer(x).data
    for i in range(8):
        np.testing.assert_array_equal(layer(x[i : i + 1]).data, together[i : i + 1])
    expected = (x - layer.running_mean) / np.sqrt(layer.running_var + 1e-5)
    np.testing.assert_allclose(together, expected, rtol=1e-5, atol=1e-6)
    assert_still(layer, before)


def test_without_gradients_training_still_follows_the_batches():
    layer = BatchNorm(3)
    with tg.no_grad():
        layer(drawn(5, 3))
    assert (layer.running_mean != 0).all()


def test_the_running_arrays_stay_the_same_arrays():
    layer = BatchNorm(3)
    mean, variance = layer.running_mean, layer.running_var
    layer(drawn(5, 3))
    assert layer.running_mean is mean and layer.running_var is variance


def test_a_graph_of_the_running_numbers_survives_a_training_step():
    layer, x = BatchNorm(3).eval(), tg.Tensor(drawn(5, 3), requires_grad=True)
    (layer(x) * x.data).sum().backward()
    expected, x.grad = x.grad, None
    loss = (layer(x) * x.data).sum()
    layer.train()(drawn(5, 3, seed=1))
    loss.backward()
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1), (0, 3), (4, 3, 0)], ids=str)
def test_a_feature_of_one_number_is_refused_in_training_only(shape):
    layer, x = BatchNorm(3), np.ones(shape, "float32")
    before = running(layer)
    with pytest.raises(ValueError, match=r"BatchNorm: x .* two numbers or more.*call eval\(\)"):
        layer(x)
    assert_still(layer, before)
    assert layer.eval()(x).shape == shape


def test_one_image_is_batch_enough():
    assert BatchNorm(3)(drawn(1, 3, 2, 1)).shape == (1, 3, 2, 1)


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (3,), (), (5, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_another_number_of_features_is_refused_and_changes_nothing(shape, training):
    layer = BatchNorm(3).train(training)
    before = running(layer)
    with pytest.raises(ValueError, match=r"BatchNorm: x \(.*the layer is for 3 features"):
        layer(np.ones(shape, "float32"))
    assert_still(layer, before)


def test_a_forward_that_fails_changes_nothing():
    layer = BatchNorm(3)
    before = running(layer)
    layer.shift.data = np.zeros(4, "float32")
    with pytest.raises(ValueError, match="shift"):
        layer(drawn(5, 3))
    assert_still(layer, before)


def test_frozen_and_in_eval_nothing_of_it_moves():
    layer = BatchNorm(3).freeze().eval()
    state = layer.state_dict()
    z = layer(tg.Tensor(drawn(5, 3), requires_grad=True))
    z.sum().backward()
    assert layer.scale.grad is None
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_a_model_in_a_longer_chain_follows_the_batches_too():
    model = Sequential(Sequential(BatchNorm(3)))
    model(drawn(5, 3))
    names = [name for name, _ in model.named_buffers()]
    assert names == ["layers.0.layers.0.running_mean", "layers.0.layers.0.running_var"]
    assert all((b != 0).all() for _, b in model.named_buffers())


# ---------------------------------------------------------------- LayerNorm, RMSNorm


@pytest.mark.parametrize(("shape", "axes"), [(6, -1), ((4, 6), (-2, -1))], ids=str)
def test_layer_norm_gives_every_example_mean_0_and_variance_1(shape, axes):
    z = LayerNorm(shape)(drawn(5, 4, 6)).data
    np.testing.assert_allclose(z.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(z.var(axis=axes), 1, rtol=1e-4)


@pytest.mark.parametrize(("shape", "axes"), [(6, -1), ((4, 6), (-2, -1))], ids=str)
def test_rms_norm_gives_every_example_a_mean_square_of_1(shape, axes):
    z = RMSNorm(shape)(drawn(5, 4, 6)).data
    np.testing.assert_allclose((z * z).mean(axis=axes), 1, rtol=1e-4)


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
def test_a_norm_of_examples_is_the_same_in_training_and_use(kind):
    layer, x = kind(6), drawn(5, 6)
    np.testing.assert_array_equal(layer(x).data, layer.eval()(x).data)
    np.testing.assert_array_equal(layer(x[:1]).data, layer(x).data[:1])


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
@pytest.mark.parametrize(
    ("shape", "x", "remedy"),
    [(4, (5, 3), "(3)"), ((3, 4), (2, 4, 3), "((4, 3))"), ((3, 4), (4,), "(4)")],
    ids=str,
)
def test_other_last_axes_are_refused(kind, shape, x, remedy):
    with pytest.raises(ValueError) as caught:
        kind(shape)(np.ones(x, "float32"))
    name = kind.__name__
    assert str(caught.value).startswith(f"{name}: x {x}: the layer is for last axes of ")
    assert f"make it {name}{remedy}, or" in str(caught.value)


# ---------------------------------------------------------------- all of them


@each_norm
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_the_gradient_of_a_norm_is_that_of_differences_to_order_2(kind, training):
    layer = kind(3).train(training)
    if kind is BatchNorm:
        layer.running_mean[:], layer.running_var[:] = [1, 2, 3], [0.5, 2, 3]

    def f(x, *parameters):
        layer.scale, *rest = parameters
        if rest:
            (layer.shift,) = rest
        return layer(x)

    shapes = [p.shape for p in layer.parameters()]
    x = drawn(4, 3, dtype="float64")
    assert tg.gradcheck(f, (x, *(drawn(*s, seed=i + 1) for i, s in enumerate(shapes))), order=2)


@each_norm
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("x", [drawn(4, 3), np.arange(12).reshape(4, 3), [[1, 2, 4], [3, 5, 9]]])
def test_a_norm_stays_in_float32(kind, training, x):
    layer = kind(3).train(training)
    z = layer(x)
    z.sum().backward()
    assert z.dtype == layer.scale.grad.dtype == np.float32
    assert {b.dtype.name for _, b in layer.named_buffers()} <= {"float32"}
    np.testing.assert_allclose(z.data, layer(np.float64(x)).data, rtol=1e-5, atol=1e-5)


@each_norm
def test_constants_are_no_division_by_zero(kind):
    x = tg.Tensor(np.full((4, 3), 7.0, "float32"), requires_grad=True)
    z = kind(3)(x)
    z.sum().backward()
    assert np.isfinite(z.data).all() and np.isfinite(x.grad).all()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: BatchNorm(3.0), TypeError, "BatchNorm: features=3.0 is no whole number"),
        (lambda: BatchNorm(0), ValueError, "BatchNorm: features=0 is too small"),
        (lambda: BatchNorm(3, momentum=1.5), ValueError, r"BatchNorm: momentum=1.5 .* \[0, 1\]"),
        (lambda: BatchNorm(3, momentum=-0.1), ValueError, r"BatchNorm: momentum=-0.1 "),
        (lambda: BatchNorm(3, momentum=None), TypeError, "BatchNorm: momentum=None is no number"),
        (lambda: BatchNorm(3, epsilon=-1.0), ValueError, "BatchNorm: epsilon=-1.0 must be"),
        (lambda: BatchNorm(3, epsilon="x"), TypeError, "BatchNorm: epsilon='x' is no number"),
        (lambda: LayerNorm(()), ValueError, r"LayerNorm: shape=\(\) leaves nothing"),
        (lambda: LayerNorm((3, 0)), ValueError, "LayerNorm: shape=0 is too small"),
        (lambda: LayerNorm("3"), TypeError, "LayerNorm: shape='3' is no whole number"),
        (lambda: LayerNorm(3, epsilon=float("nan")), ValueError, "LayerNorm: epsilon=nan must be"),
        (lambda: RMSNorm(None), TypeError, "RMSNorm: shape=None is no whole number"),
        (lambda: RMSNorm(3, epsilon=True), TypeError, "RMSNorm: epsilon=True is no number"),
    ],
)
def test_a_wrong_argument_is_refused_at_once(make, error, text):
    with pytest.raises(error, match=text):
        make()


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (BatchNorm(3), "BatchNorm(3)"),
        (BatchNorm(3, 0.01, 1e-3), "BatchNorm(3, momentum=0.01, epsilon=0.001)"),
        (LayerNorm(3), "LayerNorm(3)"),
        (LayerNorm([3, 4], epsilon=0.1), "LayerNorm((3, 4), epsilon=0.1)"),
        (RMSNorm((3,)), "RMSNorm(3)"),
        (RMSNorm(3, 1e-5), "RMSNorm(3, epsilon=1e-05)"),
    ],
    ids=str,
)
def test_repr_names_the_settings(layer, text):
    assert repr(layer) == text
