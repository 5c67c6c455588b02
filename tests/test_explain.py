"""`explain`: what it says of a gradient is true, complete, and in the names of who asks."""

import re

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.test_ops import ROWS, called, inputs_of, label, outputs, weights


def leaf(data, name=None, dtype="float64"):
    return tg.Tensor(np.array(data, dtype), requires_grad=True, name=name)


@pytest.fixture
def small():
    """A model, its loss with a penalty on the first weight, and the tensors between."""
    model = tg.layers.MLP(2, 6, 3, rng=0)
    x = np.random.default_rng(0).standard_normal((5, 2)).astype("float32")
    logits = model(x)
    w = model.parameters()[0]
    penalty = 0.05 * (w * w).sum()
    penalty.name = "penalty"
    loss = tg.losses.cross_entropy(logits, np.array([0, 1, 2, 1, 0])) + penalty
    return model, logits, loss


# ---------------------------------------------------------------- one gradient


def test_every_contribution_has_its_rule_shapes_and_origin(small, capsys):
    model, _, loss = small
    text = tg.explain("layers.0.weight", of=loss)
    assert capsys.readouterr().out == text + "\n"
    w = model.parameters()[0]
    lines = text.splitlines()
    assert lines[0] == "layers.0.weight, shape (2, 6): its gradient is the sum of 3 contributions"
    assert lines[1] == "1. through layers.0.linear = x @ layers.0.weight + layers.0.bias"
    assert re.fullmatch(r" +x\.T @ g = ‖[\d.]+‖", lines[2])
    assert lines[3].strip() == "in shapes: (5, 2).T @ (5, 6) -> (2, 6)"
    way = "came back through relu <- linear <- softmax_cross_entropy <- add"
    assert way in " ".join(text.split())
    assert max(map(len, lines)) <= 100
    assert sum("g * layers.0.weight = " in line for line in lines) == 2
    whole = np.linalg.norm(tg.grad(loss, w).data)
    assert f"together: layers.0.weight.grad = ‖{whole:.4g}‖, the sum of ‖" in text
    assert "12 of 12 compared: the gradient agrees with the slopes of the loss" in text


def test_one_number_is_written_out_as_a_sum_of_products(small):
    model, _, loss = small
    w = model.parameters()[0]
    text = tg.explain(w, of=loss, index=(0, 3))
    assert "x[0, 0] * g[0, 3] + x[1, 0] * g[1, 3] + x[2, 0] * g[2, 3]" in text
    together = re.search(r"grad\[0, 3\] = (\S+) \+ (\S+) \+ (\S+) = (\S+)", text)
    *parts, whole = map(float, together.groups())
    assert sum(parts) == pytest.approx(whole, rel=2e-3)
    assert whole == pytest.approx(tg.grad(loss, w).data[0, 3], rel=1e-3)
    assert "as the rules say" in text
    assert tg.explain(w, of=loss, index=(-2, -3)) == text


def numbers_written_out(text):
    """The left and the right side of every `= a * b + ... = c`."""
    for line in re.findall(r"^ += (.*\*.*) = (\S+)$", text, re.M):
        if "..." not in line[0]:
            yield eval(line[0]), float(line[1])


SMALL = [row for row in ROWS if row.op not in ("rnn", "lstm", "gru")]


@pytest.mark.parametrize("row", SMALL[::4], ids=label)
def test_what_is_written_out_adds_up_for_any_op(row):
    leaves = [leaf(x, f"x{i}") for i, x in enumerate(inputs_of(row))]
    total = tg.Tensor(np.zeros(()))
    for z in outputs(called(row, *leaves)):
        total = total + (z * weights(z)).sum()
    for x in leaves:
        if not x.size or tg.grad(total, x, allow_unused=True) is None:
            continue
        index = tuple(n - 1 for n in x.shape)
        text = tg.explain(x, of=total, index=index)
        g = tg.grad(total, x).data[index]
        whole = float(re.search(r"together: .* = (\S+)$", text, re.M)[1])
        assert whole == pytest.approx(g, rel=1e-3, abs=1e-12)
        for left, right in numbers_written_out(text):
            assert left == pytest.approx(right, rel=1e-2, abs=1e-2 * max(1, abs(right)))


def test_what_was_broadcast_is_said():
    a, b = leaf(np.ones((2, 3)), "a"), leaf([[1.0], [2.0]], "b")
    text = tg.explain(b, of=(a * b).sum(), index=(1, 0))
    assert "summed over axis 1: (2, 1) was used as (2, 3)" in text
    assert "g[1, 0] * 1 + g[1, 1] * 1 + g[1, 2] * 1" in text
    assert "b.grad[1, 0] = 3" in text
    c = leaf(2.0, "c")
    assert "summed over axes 0, 1: () was used as (2, 3)" in tg.explain(c, of=(a * c).sum())


def test_inner_tensors_and_the_loss_itself(small):
    _, logits, loss = small
    text = tg.explain(logits, of=loss, index=(0, 1))
    assert text.startswith("logits, shape (5, 3): its gradient is what its one use hands back")
    assert tg.explain(loss, of=loss) == "loss, one number: the result itself, so its gradient is 1"


def test_a_layer_has_a_line_for_each_parameter(small):
    model, logits, loss = small  # the name of the variable is the tensor's: of the last linear
    assert logits.name is None
    model.unused = leaf([1.0])
    parameters = dict(model.named_parameters())
    parameters["layers.0.bias"].requires_grad = False  # later, so its gradient is there
    lines = tg.explain(model, of=loss).splitlines()
    assert [line.split(",")[0] for line in lines] == list(parameters)
    assert "unused, shape (1,): no gradient, it was not used" in lines
    assert any(line.startswith("layers.0.bias, shape (6,): ‖") for line in lines)
    size = np.linalg.norm(tg.grad(loss, parameters["layers.2.bias"]).data)
    assert f"layers.2.bias, shape (3,): ‖{size:.4g}‖, through logits" in lines


def test_a_kink_is_named():
    x = leaf([0.0, 1.0], "x")
    text = tg.explain(x, of=tg.relu(x).sum(), index=0)
    assert "a kink lies at x[0]: the loss has slope 0 below and 1 above" in text


def test_lines_are_shown_where_they_were_noted():
    with tg.trace_lines():
        x = leaf(2.0, "x")
        loss = x * x
    text = tg.explain(x, of=loss)
    assert "test_explain.py" in text and ": loss = x * x" in text
    assert "trace_lines" not in text


def test_a_layer_that_was_frozen_then_or_is_now():
    layer = tg.layers.Linear(2, 1, rng=0)
    layer.weight.requires_grad = False
    loss = layer(np.ones((3, 2))).sum()
    assert "weight, shape (2, 1): no gradient, it is frozen" in tg.explain(layer, of=loss)
    layer.weight.requires_grad = True
    text = tg.explain(layer, of=loss)
    assert "no gradient, it was frozen when the loss was computed" in text


def test_frozen_and_thawed_since():
    """The graph decides, not what is wanted now."""
    p, q = tg.Tensor(np.ones(2, "float32"), name="p"), leaf([1.0, 1.0], "q", "float32")
    loss = (p * q).sum()
    p.requires_grad, q.requires_grad = True, False
    with pytest.raises(ValueError, match="p required no grad when the loss was computed"):
        tg.explain(p, of=loss)
    assert "q.grad = ‖1.414‖" in tg.explain(q, of=loss)


# ---------------------------------------------------------------- the gradient that is shown


def test_a_hook_that_changes_the_gradient_is_named():
    h = leaf([1.0, 2.0], "h", "float32")
    k = h * 3
    k.name = "k"
    hook = k.register_hook(lambda g: g * 100)
    loss = (k * k).sum()
    text = tg.explain(h, of=loss, index=0)
    assert "together: h.grad[0] = 1800" in text
    assert "a hook on k changed it, so it is not the slope; without hooks:" in text
    assert "moved a little, h[0] changes the loss by 18 times that: as the rules say" in text
    whole = tg.explain(h, of=loss)
    assert "a hook on k changed it" in whole and "2 of 2 compared: the gradient agrees" in whole
    hook.remove()
    k.register_hook(lambda g: None)
    assert "hook" not in tg.explain(h, of=loss)
    assert "a hook of yours then had a look at it, and did not change it" in tg.explain(k, of=loss)


def test_a_gradient_that_overflows_or_is_rounded_to_nothing():
    x = leaf([100.0, 99.0], "x", "float32")
    with np.errstate(all="ignore"):
        e = tg.exp(x)
        loss = -(e / e.sum())[0]
    text = " ".join(tg.explain(x, of=loss).split())
    assert "nan in float32; in float64 2 of 2 compared: the gradient agrees" in text
    text = " ".join(tg.explain(x, of=loss, index=0).split())
    assert "nan in float32; in float64 it is -0.196611933, and agrees: moved a little" in text
    x = leaf([100.0, 1.0], "x", "float32")
    with np.errstate(all="ignore"):
        e = tg.exp(x)
        loss = -(e / e.sum())[0]  # its derivative is beyond all digits of a loss of -1
    text = " ".join(tg.explain(x, of=loss, index=0).split())
    assert re.search(r"nan in float32; in float64 it is \S+; slopes: the loss is too large", text)
    x = leaf([1.0, 2.0], "x", "float16")
    text = tg.explain(x, of=((x * 1e-4) * 1e-4).sum(), index=0)
    assert "rounded to 0 in float16; in float64 it is 1e-08, and agrees: moved a" in text


def test_another_number_that_is_infinite_hides_no_mistake():
    @tg.differentiable
    def bad(x):
        """z = 2 * x        dx = 7 * g"""
        return 2 * x, lambda g: 7 * g

    x = leaf([0.0, 4.0], "x")
    text = tg.explain(x, of=(tg.sqrt(x) + bad(x)).sum(), index=1)
    assert "changes the loss by 2.25 times that: but the rules say 7.25" in text
    x = leaf([1.0, 2.0], "x")
    assert "slopes: the loss is too large" in tg.explain(x, of=bad(x).sum() + 1e12, index=0)


def test_nothing_to_compare():
    x = leaf(np.zeros((0, 3)), "x")
    assert "there is nothing to compare: it is empty" in tg.explain(x, of=x.sum() + leaf(1.0))


# ---------------------------------------------------------------- true shapes, many uses


def test_shapes_are_a_true_equation_or_absent():
    m, v, batch = leaf(np.ones((2, 3)), "m"), leaf(np.ones(3), "v"), leaf(np.ones((4, 2, 3)), "b")
    of_vector = tg.explain(m, of=(m @ v).sum())
    assert "in shapes" not in of_vector
    assert "as for matrices: a vector is one row on the left of @, one column" in of_vector
    assert "as for matrices: a vector" in tg.explain(v, of=v @ v)
    w = leaf(np.ones((3, 5)), "w")
    loss = (batch @ w).sum()
    assert "in shapes: (4, 2, 5) @ (3, 5).T -> (4, 2, 3)" in tg.explain(batch, of=loss)
    assert "in shapes" not in (text := tg.explain(w, of=loss))
    assert "this for each matrix of the batch, and what is shared is summed" in " ".join(
        text.split()
    )


def test_a_rule_without_a_formula_has_no_shapes():
    @tg.differentiable
    def twice(x):
        """Two of them."""
        return 2 * x, lambda g: 2 * g

    x = leaf([1.0, 2.0], "x")
    assert "in shapes" not in tg.explain(x, of=twice(x).sum())


def test_a_tensor_called_g_is_not_the_gradient():
    g, w = leaf(np.full((2, 2), 5.0), "g"), leaf(np.ones((2, 2)), "w")
    z = g @ w
    z.name = "out"
    text = tg.explain(w, of=z.sum(), index=(0, 0))
    assert "g[0, 0] * out.grad[0, 0] + g[1, 0] * out.grad[1, 0]" in text
    assert "       out.grad = ‖2‖, came back through sum" in text
    text = tg.explain(g, of=(g * 2).sum(), index=(0, 0))
    assert "multiply.grad[0, 0] * 2" in text


def test_of_many_uses_the_first_and_the_largest_are_told():
    x = leaf(1.0, "x")
    loss = tg.Tensor(0.0)
    for i in range(300):
        loss = loss + x * (1000.0 if i == 200 else 1.0)
    lines = tg.explain(x, of=loss).splitlines()
    assert len(lines) < 60
    assert any(line.startswith("201. ") for line in lines) and lines[1].startswith("1. ")
    assert "and 288 more, which together are 288" in lines
    assert any(line.startswith("together: x.grad = 1 + 1 + 1 + 1 + ... + ") for line in lines)


def test_of_many_inputs_a_few_are_named():
    xs = [leaf([float(i)], f"x{i}") for i in range(500)]
    text = " ".join(tg.explain(tg.concatenate(xs).sum()).split())
    assert "x8, x9, ... and 490 more end to end" in text
    assert "x11.grad += the stretch of g that it fills (1)" in text and ", ... and 488 more" in text
    assert "x12.grad" not in text


def test_a_hook_that_only_looks_changes_nothing():
    x = leaf(2.0, "x")
    seen = []
    x.register_hook(seen.append)
    text = tg.explain(x, of=x * 3)
    assert "a hook of yours then had a look at it, and did not change it" in text and seen


# ---------------------------------------------------------------- all steps


def test_a_loss_alone_is_told_step_by_step():
    x = leaf(3.0, "x")
    loss = x * x + x
    assert tg.explain(loss).splitlines() == [
        "forward 1 of 2: multiply = x * x → 9",
        "forward 2 of 2: loss = multiply + x → 12",
        "loss changes as much as loss: loss.grad = 1",
        "backward 1 of 2: back through add, g = loss.grad: multiply.grad += g (1), x.grad += g (1)",
        "backward 2 of 2: back through multiply, g = multiply.grad: x.grad += g * x (3), "
        "x.grad += g * x (3)",
    ]


def test_no_way_back_from_several_numbers():
    x = leaf([1.0, 2.0], "x")
    assert tg.explain(x * x).splitlines()[-1].startswith("no way back: this is not one number")


def test_of_long_computations_layers_are_told_as_one():
    net = tg.layers.MLP(2, *[3] * 40, 1, rng=0)
    lines = tg.explain(net(np.ones((4, 2))).sum()).splitlines()
    assert lines[0].endswith("here those of layers are told as one, at depth 1")
    assert lines[1] == "forward 1 of 2: MLP net(x) → shape 4×1"
    assert len(lines) == 6


def test_of_very_long_computations_the_middle_is_left_out():
    x = leaf(1.0, "x")
    z = x
    for _ in range(200):
        z = z * 1.01
    lines = tg.explain(z).splitlines()
    assert lines.count("... 140 more steps ...") == 2
    assert sum(line.startswith("backward") for line in lines) == 60


# ---------------------------------------------------------------- what cannot be explained


def test_errors_say_why(small):
    _, _, loss = small
    x = leaf([1.0, 2.0], "x")
    with pytest.raises(ValueError, match="a gradient of what\\? Say of=loss"):
        tg.explain(x)
    with pytest.raises(TypeError, match="is a int; give a Tensor, its name, or a layer"):
        tg.explain(3, of=loss)
    with pytest.raises(TypeError, match="of=3 is a int"):
        tg.explain(x, of=3)
    with pytest.raises(ValueError, match=r"of is of shape \(2,\), not one number"):
        tg.explain(x, of=x * x)
    with pytest.raises(ValueError, match="Did you mean layers.0.weight"):
        tg.explain("layer.0.weight", of=loss)
    with pytest.raises(ValueError, match="nothing of the loss was computed from x"):
        tg.explain(x, of=loss)
    with pytest.raises(ValueError, match="does not require grad"):
        tg.explain(tg.Tensor([1.0]), of=loss)
    with pytest.raises(ValueError, match="index is for one tensor"):
        tg.explain(tg.layers.Linear(1, 1), of=loss, index=0)
    with pytest.raises(ValueError, match="not computed from anything"):
        tg.explain(x, of=leaf(1.0))


def test_a_tensor_cut_off_is_recognised():
    x, w = leaf([1.0, 2.0], "x"), leaf([3.0, 4.0], "w")
    with pytest.raises(ValueError, match=r"without history: .detach\(\)"):
        tg.explain(x, of=(x.detach() * w).sum())


@pytest.mark.parametrize("index", [(0,), (2, 0), (0, -7), (0, 1, 2), 0.5, "a", slice(1), (0, None)])
def test_an_index_outside_shows_the_shape(small, index):
    with pytest.raises(IndexError, match=r"shape \(2, 6\)"):
        tg.explain("layers.0.weight", of=small[2], index=index)


def test_a_stale_graph_is_refused(small):
    model, _, loss = small
    loss.backward()
    tg.optimizers.SGD(model, lr=0.1).step()
    with pytest.raises(RuntimeError):
        tg.explain("layers.0.weight", of=loss)


def test_nothing_is_changed(small):
    model, _, loss = small
    loss.backward()
    before = {name: p.grad.tobytes() for name, p in model.named_parameters()}
    tg.explain(model.parameters()[0], of=loss, index=(0, 0))
    tg.explain(loss)
    assert before == {name: p.grad.tobytes() for name, p in model.named_parameters()}


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_in_every_precision(dtype):
    x = leaf([[0.5, 1.0], [2.0, 0.25]], "x", dtype)
    text = tg.explain(x, of=(tg.tanh(x) @ x).sum(), index=(1, 1))
    assert "as the rules say" in text


# ---------------------------------------------------------------- print(t.op)


def test_an_op_prints_its_maths_and_where_it_stands():
    op = (leaf([[1.0]]) @ leaf([[1.0]])).op
    name, *formula, place = str(op).splitlines()
    assert name == "matmul:"
    assert [line.strip() for line in formula] == ["z = x @ w", "dx = g @ w.T", "dw = x.T @ g"]
    assert re.fullmatch(r'    File ".*linalg.py", line \d+', place)
    assert "\n" not in repr(op)


def test_a_loss_without_a_graph_is_told_so():
    with tg.no_grad():
        loss = tg.Tensor(3.0, requires_grad=True) * 2
    for x in (loss, tg.Tensor(1.0)):
        with pytest.raises(ValueError, match="explain: this tensor was not computed from anything"):
            tg.explain(x)


def test_numbers_in_rules_are_not_rounded(capsys):
    v = tg.Tensor(2.0, requires_grad=True)
    assert "v.grad += g * 0.99999" in tg.explain(v * 0.99999)


def test_a_shape_is_not_taken_for_a_number(capsys):
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    assert "x * 2 → shape 2" in tg.explain((x * 2).sum())
