"""Losses: each the number, and the gradient, that PyTorch or Keras has for it; to order 2."""

import json
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import losses

RECORDED = json.loads(
    (Path(__file__).parent / "data" / "torch_losses.json").read_text(encoding="utf-8")
)
INPUTS = {name: np.array(values) for name, values in RECORDED["inputs"].items()}
CASES = [
    pytest.param(case, id=f"{library}-{case['loss']}-{i}")
    for library in ("pytorch", "keras")
    for i, case in enumerate(RECORDED[library]["cases"])
]
REDUCTIONS = ("mean", "sum", "none")


def weights(shape):
    return 1 + np.sin(1 + np.arange(np.prod(shape, dtype=int))).reshape(shape) / 2


def given(options):
    return {k: INPUTS[v] if isinstance(v, str) else v for k, v in options.items()}


@pytest.mark.parametrize("case", CASES)
def test_value_and_gradient_are_those_recorded(case):
    x = tg.Tensor(INPUTS[case["prediction"]], requires_grad=True)
    loss, target = losses.get(case["loss"]), INPUTS[case["target"]]
    z = loss(x, target, case["reduction"], **given(case["options"]))
    assert z.dtype == np.float64 and z.shape == np.shape(case["value"])
    (z * weights(z.shape)).sum().backward()
    np.testing.assert_allclose(z.data, case["value"], rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(x.grad, case["gradient"], rtol=1e-12, atol=1e-15)


def test_every_loss_has_been_recorded_in_every_reduction():
    found = {}
    for library in ("pytorch", "keras"):
        for case in RECORDED[library]["cases"]:
            found.setdefault(case["loss"], set()).add(case["reduction"])
    assert set(found) == set(losses.__all__) - {"get"}
    assert all({"mean", "none"} <= reductions for reductions in found.values())


# ---------------------------------------------------------------- in any shape, to any order

P, Q = INPUTS["p"], INPUTS["q"]
X, Y, W = INPUTS["x"], INPUTS["near"], INPUTS["weight"]
SMOOTH = [  # loss, prediction, target, options, does the target have a gradient
    ("mean_squared_error", X, Y, {}, True),
    ("mean_absolute_error", X, Y, {}, True),
    ("huber", X, Y, {}, True),
    ("huber", X, Y, {"delta": 2.5}, True),
    ("huber", X, X, {}, True),  # at d = 0
    ("log_cosh", X, Y, {}, True),
    ("log_cosh", X, X, {}, True),
    ("mean_absolute_percentage_error", X, Y, {}, True),
    ("mean_squared_logarithmic_error", INPUTS["rates"], Y, {}, True),
    ("poisson", INPUTS["rates"], Y, {}, True),
    ("poisson", INPUTS["rates"], Y, {"epsilon": 0.5}, True),
    ("poisson", X, Y, {"log_input": True}, True),
    ("cosine_similarity", X, Y, {}, True),
    ("cross_entropy", X, INPUTS["labels"], {}, False),
    ("cross_entropy", X, Q, {"label_smoothing": 0.1}, False),
    ("cross_entropy", X, INPUTS["skipping"], {"weight": W, "ignore_index": -100}, False),
    ("nll", INPUTS["log_p"], INPUTS["labels"], {}, False),
    ("nll", INPUTS["log_p"], INPUTS["labels"], {"weight": W, "ignore_index": 0}, False),
    ("binary_cross_entropy_with_logits", X, INPUTS["unit"], {}, True),
    ("binary_cross_entropy_with_logits", X, INPUTS["unit"], {"pos_weight": 3.0}, True),
    ("binary_cross_entropy", INPUTS["unit"], INPUTS["shares"], {}, True),
    ("binary_crossentropy", INPUTS["unit"], INPUTS["shares"], {}, True),
    ("categorical_crossentropy", P, Q, {}, True),
    ("sparse_categorical_crossentropy", P, INPUTS["labels"], {}, False),
    ("kl_divergence", P, Q, {}, True),
    ("hinge", X, INPUTS["sides"], {}, False),
    ("squared_hinge", X, INPUTS["bits"], {}, False),
    ("categorical_hinge", X, INPUTS["labels"], {}, False),
    ("categorical_hinge", X, INPUTS["onehot"], {}, False),
]  # fmt: skip
each_smooth = pytest.mark.parametrize(
    ("name", "x", "y", "options", "both"),
    [pytest.param(*row, id=f"{row[0]}-{i}") for i, row in enumerate(SMOOTH)],
)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


@each_smooth
@each_reduction
def test_gradients_are_those_of_differences_to_order_2(name, x, y, options, both, reduction):
    loss = losses.get(name)
    if both:
        tg.gradcheck(lambda x, y: loss(x, y, reduction, **options), (x, y), order=2)
    else:
        tg.gradcheck(lambda x: loss(x, y, reduction, **options), x, order=2)


@each_smooth
def test_mean_and_sum_are_those_of_none(name, x, y, options, both):
    loss = losses.get(name)
    each = loss(tg.Tensor(x), y, "none", **options).data
    weighted = "weight" in options or "ignore_index" in options
    assert each.shape in (x.shape, x.shape[:-1])
    np.testing.assert_allclose(loss(tg.Tensor(x), y, "sum", **options).item(), each.sum())
    if not weighted:
        np.testing.assert_allclose(loss(tg.Tensor(x), y, **options).item(), each.mean())


@each_smooth
def test_an_example_has_the_loss_that_it_has_alone(name, x, y, options, both):
    loss = losses.get(name)
    each = loss(tg.Tensor(x), y, "none", **options).data
    for i in range(len(x)):
        alone = loss(tg.Tensor(x[i : i + 1]), y[i : i + 1], "none", **options)
        np.testing.assert_allclose(alone.data[0], each[i], rtol=1e-13)


@each_smooth
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_loss_has_the_dtype_of_the_prediction(name, x, y, options, both, dtype):
    small = tg.Tensor(x.astype(dtype), requires_grad=True)
    for target in (y, tg.Tensor(y)):
        z = losses.get(name)(small, target, **options)
        assert z.dtype == dtype
        exact = losses.get(name)(tg.Tensor(x), y, **options).item()
        tolerance = {"float16": 0.02, "float32": 1e-5}[dtype]
        assert z.item() == pytest.approx(exact, rel=tolerance, abs=tolerance / 10)


@each_smooth
def test_predictions_may_be_arrays_and_lists(name, x, y, options, both):
    loss = losses.get(name)
    expected = loss(tg.Tensor(x), y, **options).item()
    assert loss(x, y, **options).item() == expected
    assert loss(x.tolist(), y.tolist(), **options).item() == pytest.approx(expected, rel=1e-5)


@each_smooth
def test_sample_weights_are_a_product_with_what_none_gives(name, x, y, options, both):
    """An example of weight 2 counts as two, one of weight 0 not at all."""
    loss = losses.get(name)
    leaf, twice = tg.Tensor(x, requires_grad=True), tg.Tensor(x, requires_grad=True)
    each = loss(leaf, y, "none", **options)
    factors = np.array([2.0, 0.0, 1.0, 1.0]).reshape(-1, *[1] * (each.ndim - 1))
    (each * factors).sum().backward()
    rows = [0, 0, 2, 3]
    loss(twice[rows], y[rows], "sum", **options).backward()
    np.testing.assert_allclose(leaf.grad, twice.grad, rtol=1e-12, atol=1e-15)
