"""Rules in words: every op reads well, with names in the place of letters, and nothing lost."""

import inspect
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests.test_ops import ROWS, WITH_RULE, called, differentiable_arguments, inputs_of, outputs
from tinygrad_edu.graph.simplify import collapse
from tinygrad_edu.graph.trace import trace
from tinygrad_edu.graph.wording import (
    backward_rule,
    backward_shapes,
    broadcasts,
    forward_rule,
    norm,
    number,
    pieces,
    sentence,
    shape,
    size,
)

NAMES = ["Anna", "Berta", "Cleo", "Dora", "Emil", "Fritz", "Gustav"]


def leaf(data, name):
    return tg.Tensor(np.array(data, float), requires_grad=True, name=name)


def uses(wanted):
    """(graph, node, edges) of every use of that op in its rows, its inputs with names."""
    for row in ROWS:
        leaves = [leaf(x, name) for x, name in zip(inputs_of(row), NAMES, strict=False)]
        z = outputs(called(row, *leaves))[0]
        if z.op is WITH_RULE[wanted]:
            graph = trace(z.sum())
            node = graph.nodes[graph.keys[z]]
            yield graph, node, list(graph.into(node.key))


# ---------------------------------------------------------------- all ops


@pytest.mark.parametrize("name", WITH_RULE)
def test_every_argument_with_a_gradient_has_its_piece(name):
    found = pieces(WITH_RULE[name])
    assert set(found) == {"z", *(f"d{argument}" for argument in differentiable_arguments(name))}
    assert all(found.values())


@pytest.mark.parametrize("name", WITH_RULE)
def test_every_op_reads_well(name):
    """All tensors are named, no letter of the rule and no quotation mark of a setting is left."""
    for graph, node, edges in uses(name):
        text = forward_rule(graph, node)
        assert "`" not in text and "None" not in re.sub(r"\[.*?\]", "", text)  # x[:, None] is right
        for edge in edges:
            told = graph.nodes[edge.carries]
            if told.needs_gradient:
                assert re.search(rf"\b{told.name}(_[a-z])?\b", text), f"{name}: {text}"
            if edge.contribution is not None:
                rule = backward_rule(graph, edge)
                assert rule and "`" not in rule, f"{name}: {rule}"
                assert "`" not in backward_shapes(graph, edge)
        for step in graph.steps:
            assert "\n" not in sentence(graph, step)


@pytest.mark.parametrize("name", WITH_RULE)
def test_no_letter_is_left_where_a_name_should_be(name):
    parameters = inspect.signature(WITH_RULE[name].rule).parameters
    for graph, node, edges in uses(name):
        slots = {edge.slot.partition("[")[0] for edge in edges} & set(parameters)
        named = {graph.nodes[edge.carries].name for edge in edges}
        rules = [forward_rule(graph, node)]
        rules += [backward_rule(graph, edge) for edge in edges if edge.contribution is not None]
        for text in rules:
            for slot in sorted(slots - named):
                assert not re.search(rf"(?<!\w){slot}(_i)?(?![A-Za-z0-9(_[])", text), text


# ---------------------------------------------------------------- names


def linear_graph(x, weight, bias):
    z = tg.ops.linear(
        leaf(np.ones((5, 2)), x), leaf(np.ones((2, 3)), weight), leaf(np.ones(3), bias)
    )
    z.name = "out"
    graph = trace(z.sum())
    node = graph.nodes[graph.keys[z]]
    return graph, node, list(graph.into(node.key))


def test_a_rule_with_names():
    graph, node, (x, weight, bias) = linear_graph("h", "fc.weight", "fc.bias")
    assert forward_rule(graph, node) == "h @ fc.weight + fc.bias"
    assert backward_rule(graph, x) == "g @ fc.weight.T"
    assert backward_rule(graph, weight) == "h.T @ g"
    assert backward_rule(graph, bias) == "sum of g over the rows"
    assert backward_rule(graph, weight, names=False) == "x.T @ g"
    assert backward_shapes(graph, weight) == "(5, 2).T @ (5, 3)"


HOSTILE = st.sampled_from(["x", "weight", "bias", "z", "g", "T", "a", "weight.T", "layers.0.x"])


@given(HOSTILE, HOSTILE, HOSTILE)
def test_names_that_are_letters_of_the_rule(a, b, c):
    names = [a, b if b != a else b + "2", "last_" + c]
    graph, node, edges = linear_graph(*names)
    assert forward_rule(graph, node) == f"{names[0]} @ {names[1]} + {names[2]}"
    g = "out.grad" if "g" in names else "g"
    assert backward_rule(graph, edges[0]) == f"{g} @ {names[1]}.T"
    assert backward_rule(graph, edges[1]) == f"{names[0]}.T @ {g}"


def test_letters_within_words_stay():
    z = tg.diag(leaf([1.0, 2.0], "x y"))
    graph = trace(z.sum())
    assert forward_rule(graph, graph.nodes["n1"]) == 'the matrix with diagonal "x y"'
    z = tg.diagonal(leaf(np.eye(2), "zero"))
    graph = trace(z.sum())
    (edge,) = graph.into("n1")
    assert backward_rule(graph, edge) == "zeros with g on that diagonal"


def test_a_name_of_several_words_stands_in_quotation_marks():
    graph, node, _ = linear_graph("my input", "w", r"\1 b")
    assert forward_rule(graph, node) == '"my input" @ w + "\\1 b"'


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda x: tg.clip(x, 0, None), "x between 0 and inf, else the nearer"),
        (lambda x: tg.leaky_relu(x), "x where x > 0, else 0.01 * x"),
        (lambda x: tg.leaky_relu(x, 0.2), "x where x > 0, else 0.2 * x"),
        (lambda x: tg.sum(x, axis=1), "sum of x_i (axis 1)"),
        (lambda x: tg.softmax(x, axis=0), "e^x_i / (sum of e^x_j) (axis 0)"),
        (lambda x: x[0, 1:], "x[0, 1:]"),
        (lambda x: x[::2], "x[::2]"),
        (lambda x: x[..., 0], "x[..., 0]"),
        (lambda x: tg.flip(x), "x backwards along all axes"),
        (lambda x: tg.flip(x, 1), "x backwards along axis 1"),
        (lambda x: tg.round(x, 2), "x rounded to 2 places, halves to even"),
        (lambda x: x**3, "x^3"),
        (lambda x: tg.concatenate([x, x * 1]), "x, multiply end to end along axis 0"),
        (lambda x: tg.ops.normalize(x), "(x - mean of x) / s, s = sqrt(variance of x + 1e-05)"),
        (lambda x: tg.ops.linear(x, np.ones((2, 1))), "x @ weight"),
    ],
)
def test_what_the_op_was_told_is_said(made, text):
    z = made(leaf(np.ones((3, 2)), "x"))
    graph = trace(z)
    assert forward_rule(graph, graph.nodes[graph.keys[z]]) == text


def test_an_op_of_ones_own_without_a_formula():
    @tg.differentiable
    def twice(x, times=2):
        """Two of them."""
        return x * times, lambda g: g * times

    z = twice(leaf(1.0, "x"), 3)
    graph = trace(z)
    assert sentence(graph, graph.steps[0]) == "twice = twice(x) (times 3) → 3"
    assert sentence(graph, graph.steps[2]) == (
        "back through twice, g = twice.grad: x.grad += its share of g (3)"
    )


# ---------------------------------------------------------------- sentences


def test_sentences_of_a_small_computation():
    x, b = leaf(np.ones((2, 3)), "x"), leaf(np.ones(3), "b")
    loss = ((x + b) * 2.0).sum()
    graph = trace(loss)
    assert [sentence(graph, step) for step in graph.steps] == [
        "add = x + b → shape 2×3",
        "multiply = add * 2 → shape 2×3",
        "sum = sum of multiply_i → 24",
        "sum changes as much as sum: sum.grad = 1",
        "back through sum, g = sum.grad: multiply.grad += g (‖2.449‖)",
        "back through multiply 2, g = multiply.grad: add.grad += g * 2 (‖4.899‖)",
        "back through add, g = add.grad: x.grad += g (‖4.899‖), "
        "b.grad += g, summed over the copies (‖6.928‖)",
    ]
    first = graph.into(graph.steps[0].node)
    assert [broadcasts(graph, edge) for edge in first] == [False, True]


def test_what_needs_no_gradient_comes_last():
    x = leaf(np.ones((2, 3)), "x")
    loss = tg.ops.softmax_cross_entropy(x, np.array([0, 1]), np.array([0.5, 0.5]))
    graph = trace(loss)
    assert sentence(graph, graph.steps[-1]).endswith("(labels and weights need no gradient)")


def test_sentences_of_collapsed_layers():
    model = tg.layers.MLP(2, 4, 1, rng=0)
    x = np.ones((5, 2))
    graph = collapse(trace(model(x).sum()), 1)
    assert sentence(graph, graph.steps[0]) == "MLP(x) → shape 5×1"
    assert sentence(graph, graph.steps[-1]) == "back through MLP: to its parameters"
    inner = collapse(trace(model(x).sum()), 2)
    assert sentence(inner, inner.steps[1]) == "ReLU layers.1(layers.0) → shape 5×4"
    doubled = collapse(trace(model(leaf(x, "x") * 2).sum()), 1)
    assert re.fullmatch(
        r"back through MLP: multiply.grad \+= ‖.*‖", sentence(doubled, doubled.steps[-2])
    )


# ---------------------------------------------------------------- numbers


def test_numbers_shapes_and_norms():
    assert [number(x) for x in (3, 0.123456, np.float32(-0.0), np.array(1e-9), True)] == [
        "3", "0.1235", "0", "1e-09", "True",
    ]  # fmt: skip
    assert [shape(()), shape((5,)), shape((2, 3, 4))] == ["scalar", "5", "2×3×4"]
    assert norm(np.array([3.0, 4.0])) == "‖5‖" and norm(np.array([3.0])) == "3"
    assert size(np.full(4, 1e200)) == 2e200 and size(np.zeros((0,))) == 0
    assert np.isnan(size(np.array([np.nan, 1.0])))
