"""The detective: the first op that made a nan or an inf, wherever it is hidden."""

import gc
import re
import time
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import Tensor, cures, layers, optimizers
from tinygrad_edu.layers import MLP, Linear
from tinygrad_edu.models import Sequential

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")


def leaf(data, dtype="float32", **options):
    return Tensor(np.array(data, dtype), requires_grad=True, **options)


# ---------------------------------------------------------------- which op, where, what to do

UNDER = np.array([[0.0, 0.0, 5.0], [-np.inf, -np.inf, -np.inf]], "float32")
inf, nan = float("inf"), float("nan")

# the loss is the sum of f(x); then what made the first nan or inf of it, where, which, and the cure
ON_THE_WAY = {
    "log of 0": (tg.log, [1, 0, 2], "log", (1,), -inf, "cross_entropy"),
    "log of less": (tg.log, [[1, 2], [3, -1]], "log", (1, 1), nan, r"tg.clip\(x, 1e-7\)"),
    "log1p": (tg.log1p, [0, -1], "log1p", (1,), -inf, "above -1"),
    "divide": (lambda x: 1 / (x - 2), [1, 2], "divide", (1,), inf, "epsilon"),
    "0/0": (lambda x: x / x, [1, 2, 0], "divide", (2,), nan, "tg.where"),
    "reciprocal": (tg.reciprocal, [0, 1], "reciprocal", (0,), inf, "epsilon"),
    "exp": (tg.exp, [1, 89], "exp", (1,), inf, "88 in float32"),
    "sigmoid by hand": (lambda x: 1 / (1 + tg.exp(-x)), [1, -89], "exp", (1,), inf, "sigmoid"),
    "softmax by hand": (
        lambda x: tg.exp(x) / tg.exp(x).sum(), [-200, -300], "divide", (0,), nan, "tg.softmax"),
    "cosh": (tg.cosh, [0, 100], "cosh", (1,), inf, "overflow"),
    "sqrt": (tg.sqrt, [4, -4], "sqrt", (1,), nan, "negative"),
    "a root": (lambda x: x**0.5, [4, -4], "power", (1,), nan, "base above 0"),
    "0 to a negative power": (lambda x: x**-1.5, [4, 0], "power", (1,), inf, "base above 0"),
    "arcsin": (tg.arcsin, [0, 1.5], "arcsin", (1,), nan, "from -1 to 1"),
    "arctanh": (tg.arctanh, [0, 1], "arctanh", (1,), inf, "1 - 1e-6"),
    "arccosh": (tg.arccosh, [2, 0.5], "arccosh", (1,), nan, "Below 1"),
    "spread of one": (lambda x: tg.std(x, ddof=1), [3], "std", (), nan, "ddof=0"),
    "multiply": (lambda x: x * x * x, [1, 1e20], "multiply", (1,), inf, r"beyond 3.4e\+38"),
    "square": (tg.square, [1, 1e20], "square", (1,), inf, "overflow"),
    "norm": (tg.norm, [1e20, 1e20], "euclidean_norm", (), inf, "float64"),
    "matmul": (lambda x: x @ x, [[1e20, 0], [0, 0]], "matmul", (0, 0), inf, "lower lr"),
    "inf - inf": (lambda x: x * inf - x * inf, [2], "subtract", (0,), nan, "inf - inf"),
    "normalize": (
        lambda x: tg.layer_norm(x, epsilon=0.0), [[1, 1]], "normalize", (0, 0), nan, "epsilon"),
    "all masked": (lambda x: tg.softmax(x + UNDER), [[0] * 3] * 2, "softmax", (1, 0), nan,
                   "masked_softmax"),
    "singular": (lambda x: tg.logabsdet(x), [[1, 1], [1, 1]], "logabsdet", (), -inf, "singular"),
    "a mask": (lambda x: tg.where([True, False], x, -inf), [1, 2], "where", (1,), -inf, "constant"),
}  # fmt: skip

ON_THE_WAY_BACK = {
    "sqrt at 0": (tg.sqrt, [4, 0], "sqrt", (1,), inf, r"tg.sqrt\(x \+ 1e-8\)"),
    "power at 0": (lambda x: x**0.5, [4, 0], "power", (1,), inf, r"\(x \+ 1e-8\) \*\* p"),
    "other norms at 0": (lambda x: tg.norm(x, 3), [0, 0], "power", (), inf, "slope at 0 is inf"),
    "exponent": (lambda x: tg.power(-2.0, x), [3, 2], "power", (0,), nan, "base above 0"),
    "arcsin at 1": (tg.arcsin, [0, 1], "arcsin", (1,), inf, "slope is inf"),
    "arccosh at 1": (tg.arccosh, [2, 1], "arccosh", (1,), inf, "Stay above"),
    "arctan2": (lambda x: tg.arctan2(x, x), [1, 0], "arctan2", (1,), nan, r"At \(0, 0\)"),
    "overflow": (lambda x: (x * 1e30) * 1e30, [0, 0], "multiply", (0,), inf, "beyond"),
}

ROWS = [("forward", *row) for row in ON_THE_WAY.values()]
ROWS += [("backward", *row) for row in ON_THE_WAY_BACK.values()]


@pytest.mark.parametrize(
    ("phase", "f", "x", "op", "index", "value", "cure"), ROWS, ids=[*ON_THE_WAY, *ON_THE_WAY_BACK]
)
def test_the_first_op_is_named_with_the_place_and_the_cure(phase, f, x, op, index, value, cure):
    found = tg.find_nonfinite(tg.tanh(f(leaf(x)) * 0.5).sum() + f(leaf(x)).sum())
    assert found and found.phase == phase
    assert (found.op.name, found.index, str(found.value)) == (op, index, str(value))
    assert found.tensor.op is found.op
    assert re.search(cure, found.cure)
    assert found.op.name in str(found).split("\n")[0] and str(value) in str(found).split("\n")[0]
    assert repr(found) == str(found)


def test_every_op_with_a_cure_is_an_op():
    inner = {"rms_norm", "cofactor"}
    for name in cures.BACKWARD:
        assert name in tg.ops.OPS or name in inner, name


def test_every_cure_that_is_code_can_be_run():
    x, y, p, n = Tensor([0.5, -2.0]), Tensor([0.0, 2.0]), 0.5, 2
    assert np.isfinite(tg.log(tg.clip(x, 1e-7)).data).all()
    assert np.isfinite(tg.log1p(tg.clip(x, -1 + 1e-6)).data).all()
    assert np.isfinite((x / tg.where(y == 0, 1, y)).data).all()
    assert np.isfinite((tg.clip(x, 1e-7) ** p).data).all()
    assert np.isfinite(tg.arcsin(tg.clip(x, -1 + 1e-6, 1 - 1e-6)).data).all()
    assert np.isfinite(tg.arccosh(tg.clip(x, 1 + 1e-6)).data).all()
    assert np.isfinite(tg.inv(np.ones((2, 2)) + 1e-6 * tg.eye(n)).data).all()
    assert np.isfinite(tg.masked_softmax(x, np.array([False, False])).data).all()


def test_the_finding_as_a_whole():
    x = leaf([0.5, 0.0, 2.0], name="p")
    with tg.trace_lines():
        y = tg.log(x)
    found = tg.find_nonfinite(-(y.mean()))
    assert (found.tensor, found.where, found.layer) == (y, y.where, "")
    source = "y = tg.log(x)"
    here = f'File "{__file__}", line {y.where.line}, in test_the_finding_as_a_whole: {source}'
    assert (
        str(found)
        == f"""\
log made -inf from finite numbers: 1 -inf of 3 entries, the first at [1]
    maths  {tg.log.op.formula}
    x      p: (3,) float32, 0 .. 2, 1 zero
    z      (3,) float32, -0.6931 .. 0.6931, 1 -inf
    there  x = 0
    line   {here}
    cure   The log of 0 is -inf, that of a negative number nan. A loss that takes logits, such
           as tg.losses.cross_entropy, never takes the log of 0, nor does tg.log_softmax.
           Elsewhere keep x away from 0: tg.log(tg.clip(x, 1e-7))."""
    )


def test_without_lines_it_says_how_to_get_them():
    found = tg.find_nonfinite(tg.log(leaf(0.0)))
    assert found.where is None
    assert "line   not noted; compute the loss inside tg.trace_lines()" in str(found)


def test_the_backward_finding_tells_the_input_and_the_gradient_it_had():
    x, y = leaf([1.0, 0.0, 4.0]), leaf([2.0, 2.0, 2.0])
    found = tg.find_nonfinite((tg.power(x, y * 0.25) * 3).sum())
    assert str(found).startswith("power made inf on the way back: dx has 1 inf of 3 entries, ")
    assert "g      (3,) float32, 3\n" in str(found)
    assert "y      (3,) float32, 0.5, made by multiply\n" in str(found)
    assert "there  x = 0, y = 0.5\n" in str(found)
    found = tg.find_nonfinite(tg.power(leaf([2.0, -1.0]), y[:2]).sum())
    assert str(found).startswith("power made nan on the way back: dy has 1 nan of 2 entries, the ")


def test_settings_that_are_no_numbers_are_left_out():
    text = str(tg.find_nonfinite(tg.norm(leaf([[1e20]]), axis=1, keepdims=True).sum()))
    assert "    axis   1\n" in text and "keepdims" not in text


def test_how_many_of_which_kind():
    found = tg.find_nonfinite(leaf([1.0, 0.0, -1.0, 0.0]).__truediv__(np.zeros(4, "f4")).sum())
    assert "2 nan, 1 inf, 1 -inf of 4 entries, the first at [0]" in str(found)


def test_float16_is_told_its_limits():
    found = tg.find_nonfinite((leaf([300.0], "float16") * 300.0).sum())
    assert found.op.name == "multiply" and "65504" in found.cure and "65504" not in str(
        tg.find_nonfinite((leaf([3e30]) * 3e30).sum()))  # fmt: skip


def test_a_where_after_a_log_hides_the_inf_from_the_loss_but_not_from_the_gradient():
    x = leaf([1.0, 0.0])
    loss = tg.where(x.data > 0, tg.log(x), 0).sum()
    assert np.isfinite(loss.data)
    found = tg.find_nonfinite(loss)
    assert (found.op.name, found.phase, found.index) == ("log", "forward", (1,))
    assert "on the way back log makes a dx that is not" in str(found)
    x.grad = None
    cured = tg.log(tg.where(x.data > 0, x, 1)).sum()
    assert not tg.find_nonfinite(cured)


def test_an_inf_that_vanished_is_the_origin_of_a_nan_made_elsewhere_on_the_way_back():
    x = leaf([1.0, 100.0])
    y = tg.exp(x)
    found = tg.find_nonfinite((1 / (y * y)).sum())
    assert found.tensor is y and "on the way back multiply makes a dx" in str(found)


def test_gradients_whose_sum_overflows():
    x = leaf([0.0, 0.0])
    y = x * 1.0
    found = tg.find_nonfinite((y * 3e38).sum() + (y * 3e38).sum())
    assert (found.phase, found.tensor, found.op) == ("backward", y, y.op)
    assert str(found).startswith("the gradient of what multiply made adds up to inf on the way ")
    found = tg.find_nonfinite((x * 3e38).sum() + (x * 3e38).sum())
    assert (found.tensor, found.op) == (x, None)


# ---------------------------------------------------------------- masks


def test_an_inf_that_was_put_in_on_purpose_and_went_no_further_is_no_finding():
    scores = leaf(np.zeros((2, 3)))
    for mask in (UNDER[:1] * 0 + [[0, 0, -inf]], np.array([[0, 0, -inf]] * 2, "f4")):
        loss = tg.softmax(scores + mask.astype("f4")).sum()
        assert not tg.find_nonfinite(loss)
    found = tg.find_nonfinite(
        tg.softmax(tg.masked_fill(scores, [[False, False, True]], -inf)).sum()
    )
    assert not found and "inf or nan inside 1 of them" in str(found)


def test_what_makes_nan_of_a_mask_is_found_and_not_the_mask():
    scores = leaf(np.zeros((2, 3)))
    masked = tg.masked_fill(scores, np.isinf(UNDER), -inf) / 2.0
    found = tg.find_nonfinite(tg.softmax(masked).sum())
    assert (found.op.name, found.index) == ("softmax", (1, 0))
    assert "from infinite numbers" in str(found) and "3 -inf, made by divide" in str(found)


def test_a_nan_of_another_op_beside_a_mask_is_found():
    scores, p = leaf(np.zeros((1, 3))), leaf([1.0, -1.0])
    loss = tg.log_softmax(scores + np.array([0, -inf, 0], "f4"))[0, 0] + tg.log(p).sum()
    assert tg.find_nonfinite(loss).op.name == "log"


def test_a_mask_is_not_blamed_for_a_gradient_that_an_op_spoils():
    x, w = leaf([1.0, 2.0]), leaf(3.0)
    loss = tg.tanh(tg.where([True, False], x, -inf) * w).sum()  # to w goes 0 * -inf
    found = tg.find_nonfinite(loss)
    assert (found.phase, found.op.name) == ("backward", "multiply")
    assert "dy has 1 nan, a single number" in str(found)


def test_a_nan_is_never_meant():
    for f in (lambda x: x * nan, lambda x: x + np.array([0.0, nan], "f4")):
        found = tg.find_nonfinite(f(leaf([1.0, 2.0])).sum())
        assert (found.phase, str(found.value)) == ("data", "nan")
        assert str(found).startswith("the constant y held nan before any op: 1 nan")


def test_a_wanted_inf_in_a_tensor_that_is_trained_is_no_mask():
    w = leaf([0.0, -inf])
    found = tg.find_nonfinite((w + 1.0).sum())
    assert (found.phase, found.tensor) == ("data", w)


# ---------------------------------------------------------------- data


def test_data_that_held_nan_before_is_told_with_its_row():
    x = np.ones((4, 2), "f4")
    x[2, 1] = nan
    found = tg.find_nonfinite(MLP(2, 3, 1, rng=0)(x).sum())
    assert (found.phase, found.op, found.index) == ("data", None, (2, 1))
    assert str(found).startswith("the constant x held nan before any op: 1 nan of 8 entries, the ")
    assert "used by  linear, as its x\n" in str(found)
    assert found.layer == "MLP / layers.0" and "Look at the data, row 2:" in found.cure


def test_a_constant_computed_without_a_graph_is_said_to_be_unrecorded():
    with tg.trace_lines():
        c = tg.log(Tensor([0.0, 1.0], name="c"))
        loss = (leaf([1.0, 2.0]) * c).sum()
    found = tg.find_nonfinite(loss)
    assert (found.phase, found.tensor, found.where) == ("data", c, c.where)
    assert "recorded only of what requires" in found.cure


def test_a_parameter_that_a_step_spoilt():
    model = Sequential(Linear(2, 2, rng=0), Linear(2, 1, rng=0))
    optimizer = optimizers.SGD(model, lr=1e38)
    optimizer.minimize(lambda: model(np.full((1, 2), 100, "f4")).sum())
    found = tg.find_nonfinite(model(np.ones((1, 2), "f4")).sum())
    assert found.phase == "data" and found.tensor is model[0].weight
    assert "the parameter layers.0.weight held " in str(found) and "Lower lr" in found.cure


def test_a_parameter_that_was_spoilt_from_the_start_takes_its_name_from_the_model():
    model = MLP(2, 2, 1, rng=0)
    model[0].weight = leaf([[1.0, nan], [1.0, 1.0]])
    found = tg.find_nonfinite(model(np.ones((1, 2), "f4")).sum())
    assert str(found).startswith("the parameter layers.0.weight held nan before any op: 1 nan of 4")
    assert "from the start" in found.cure and model[0].weight.name is None


def test_the_loss_itself_may_be_a_leaf():
    found = tg.find_nonfinite(Tensor(nan))
    assert (found.phase, found.index) == ("data", ()) and "a constant held nan" in str(found)
    x = leaf(inf)
    assert tg.find_nonfinite(x).tensor is x
    assert not tg.find_nonfinite(leaf(1.0))


def test_the_layers_are_named_from_the_outside_in():
    class Block(layers.Layer):
        def __init__(self):
            self.inner = Sequential(Linear(2, 2, rng=0), layers.Lambda(tg.log))

        def forward(self, x):
            return self.inner(x * 0.0)

    found = tg.find_nonfinite(Block()(np.ones((1, 2), "f4")).sum())
    assert found.op.name == "log" and found.layer == "Block / inner / layers.1"
    loose = layers.Lambda(lambda x: layers.Lambda(tg.log)(x))
    assert tg.find_nonfinite(loose(leaf(0.0))).layer == "Lambda / Lambda"


# ---------------------------------------------------------------- nothing


def test_where_all_is_finite_it_says_so_and_is_false():
    x = leaf([1.0, 2.0])
    found = tg.find_nonfinite((x * x).sum())
    assert not found and found.phase == "" and found.op is None and found.tensor is None
    assert str(found) == "The loss and all gradients are finite (tensors: 2)."
    assert "nothing that requires grad" in str(tg.find_nonfinite(Tensor(1.0)))
    assert not tg.find_nonfinite(x * x), "a loss of several numbers counts as their sum"


def test_what_is_no_tensor_is_refused():
    with pytest.raises(TypeError, match=r"find_nonfinite: nan is a float; give the loss"):
        tg.find_nonfinite(nan)


def test_gradients_hooks_and_the_graph_are_left_alone():
    x, y = leaf([4.0, 0.0]), leaf([1.0, 2.0])
    inner = (x * y).retain_grad()
    calls = []
    inner.register_hook(calls.append)
    loss = (tg.sqrt(inner) + inner).sum()
    with np.errstate(all="ignore"):
        loss.backward()
    before = [(t.grad, t.grad.tobytes()) for t in (x, y, inner)]
    heard = len(calls)
    for _ in range(2):
        assert tg.find_nonfinite(loss).op.name == "sqrt"
    for t, (grad, data) in zip((x, y, inner), before, strict=True):
        assert t.grad is grad and grad.tobytes() == data
    assert loss.grad is None and len(calls) == heard
    assert not tg.find_nonfinite(inner.sum()) and len(calls) == heard
    loss.backward()
    assert x.grad[0] == 2 * np.frombuffer(before[0][1], "f4")[0]


def test_it_works_where_nothing_is_recorded_and_under_any_errstate():
    loss = tg.sqrt(leaf([0.0])).sum()
    with tg.no_grad(), np.errstate(all="raise"):
        assert tg.find_nonfinite(loss).op.name == "sqrt"


def test_the_same_graph_gives_the_same_text():
    def text():
        x = np.ones((4, 3), "f4") * 1e25
        return str(tg.find_nonfinite((MLP(3, 3, 3, rng=0)(x) ** 2 * 1e30).mean()))

    assert text() == text()


# ---------------------------------------------------------------- large graphs, old graphs


def test_a_long_graph_needs_no_recursion():
    x = first = tg.log(leaf(0.0))
    for _ in range(100_000):
        x = x + 1.0
    begun = time.perf_counter()
    assert tg.find_nonfinite(x).tensor is first
    assert time.perf_counter() - begun < 20


def test_a_wide_graph_of_shared_nodes_is_looked_at_once():
    x = tg.log(leaf(0.0))
    for _ in range(60):
        x = x + x
    assert tg.find_nonfinite(x).op.name == "log"


def test_a_stale_graph_gives_the_engines_own_error():
    w = leaf([1.0, 2.0], name="w")
    optimizer = optimizers.SGD(w, lr=0.1)
    loss = (w * w).sum()
    loss.backward()
    optimizer.step()
    with pytest.raises(RuntimeError, match="let go by an optimizer step"):
        tg.find_nonfinite(loss)
    for spoilt in (1.0, nan):
        loss = (w * w * spoilt).sum()
        w.data = np.ones(2, "f4")
        with pytest.raises(RuntimeError, match=r"w of shape \(2,\) was changed"):
            tg.find_nonfinite(loss)


def test_a_finding_forgotten_lets_the_graph_go():
    x = leaf([0.0])
    y = tg.log(x)
    found, seen = tg.find_nonfinite(y.sum()), weakref.ref(y)
    gc.disable()
    try:
        del y, found
        assert seen() is None
    finally:
        gc.enable()


# ---------------------------------------------------------------- any graph

STEPS = {
    "tanh": tg.tanh,
    "sin": tg.sin,
    "softplus": tg.softplus,
    "halved": lambda x: x * 0.5,
    "flipped": lambda x: tg.flip(x, 0),
    "centred": lambda x: x - x.mean(),
    "sorted": lambda x: tg.sort(x),
}


@st.composite
def programs(draw):
    """Steps on what came before: (op, which two earlier ones), and which step is to be poisoned."""
    n = draw(st.integers(1, 12))
    steps = [
        (draw(st.sampled_from(sorted(STEPS))), draw(st.integers(0, i)), draw(st.integers(0, i)))
        for i in range(n)
    ]
    return steps, draw(st.integers(0, n - 1)), draw(st.integers(0, 4))


@settings(max_examples=80, deadline=None)
@given(programs(), st.sampled_from(["forward", "backward", None]))
def test_one_poisoned_op_in_any_graph_is_found(program, phase):
    steps, where, index = program
    tensors, poisoned = [leaf(np.linspace(0.1, 0.9, 5))], None
    zero_there = np.arange(5) != index
    for i, (name, a, b) in enumerate(steps):
        tensors.append(STEPS[name](tensors[a] + tensors[b]))
        if i == where and phase:
            squared = tg.where(zero_there, tg.square(tensors[-1]) + 0.5, 0)
            tensors[-1] = poisoned = (tg.reciprocal if phase == "forward" else tg.sqrt)(squared)
    found = tg.find_nonfinite(sum(t.sum() for t in tensors))
    if phase is None:
        assert not found
        return
    assert found.phase == phase and found.tensor is poisoned
    assert found.index == (index,) and (found.value == inf or phase == "backward")


# ---------------------------------------------------------------- in a training


@pytest.mark.parametrize("kind", [optimizers.SGD, optimizers.LBFGS])
def test_fit_says_where_the_nan_of_a_loss_began(kind):
    x = np.ones((4, 1), "f4")
    x[3, 0] = nan
    model = Sequential(Linear(1, 1, rng=0))
    model.compile("mse", kind(lr=0.1), rng=0)
    with pytest.raises(FloatingPointError) as caught:
        model.fit(x, x[:, 0] * 0 == 0, batch_size=2, shuffle=False, verbose=0)
    first, second, *rest = str(caught.value).split("\n")
    assert first.startswith("fit: epoch 1, batch 2: the loss is nan; nothing was updated.")
    assert second.startswith(
        "the constant x held nan before any op: 1 nan of 2 entries, the first "
    )
    assert any("row 1" in line for line in rest)
    assert "held" not in str(caught.value.__cause__), "said once"


@pytest.mark.parametrize("kind", [optimizers.SGD, optimizers.LBFGS])
def test_fit_says_where_the_nan_of_a_gradient_began(kind):
    def steep(prediction, target):
        return tg.sqrt(abs(prediction) * 0).mean()

    model = Sequential(Linear(1, 1, rng=0))
    model.compile(steep, kind(lr=0.1), rng=0)
    with pytest.raises(FloatingPointError) as caught, tg.trace_lines():
        model.fit(np.ones((4, 1)), np.ones((4, 1)), verbose=0)
    assert "\nsqrt made inf on the way back: dx has 4 inf of 4 entries" in str(caught.value)
    assert "in steep: return tg.sqrt(abs(prediction) * 0).mean()" in str(caught.value)


def test_fit_ended_by_a_callback_prints_where_it_began(capsys):
    x = np.full((2, 1), nan, "f4")
    for verbose in (0, 2):
        model = Sequential(Linear(1, 1, rng=0))
        model.compile("mse", "sgd", rng=0)
        stop = tg.callbacks.TerminateOnNaN()
        model.fit(x, np.ones((2, 1)), verbose=verbose, callbacks=stop)
        printed = capsys.readouterr().out
        assert ("epoch 1, batch 1: the constant x held nan before any op: 2 nan" in printed) is (
            verbose == 2
        )


def test_an_error_of_the_model_itself_has_no_graph_to_look_at():
    model = Sequential(layers.Lambda(tg.log), Linear(1, 1, rng=0))
    model.compile("mse", "sgd", rng=0)
    caught = pytest.raises(FloatingPointError, match="divide by zero")
    with caught as caught, np.errstate(all="raise"):
        model.fit(np.zeros((2, 1)), np.ones((2, 1)), verbose=0)
    assert str(caught.value).endswith("so it is not known where it began.")


def test_a_graph_that_lbfgs_has_left_behind_is_not_looked_at():
    looks = []

    def loss(prediction, target):
        looks.append(prediction)
        if len(looks) == 2:
            raise FloatingPointError("of the user")
        return tg.square(prediction - target).mean()

    model = Sequential(Linear(1, 1, rng=0))
    model.compile(loss, optimizers.LBFGS(), rng=0)
    with pytest.raises(FloatingPointError) as caught:
        model.fit(np.ones((2, 1)), np.zeros((2, 1)), verbose=0)
    first, second = str(caught.value).split("\n")
    assert first == "fit: epoch 1, batch 1: of the user"
    assert second == "The graph of this loss is gone, so it is not known where it began."
