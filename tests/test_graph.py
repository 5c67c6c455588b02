"""The model of a computation: all that was computed is there, in order, and nobody is disturbed."""

import gc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests import drawn
from tinygrad_edu.graph.naming import variables
from tinygrad_edu.graph.simplify import alias_leaves, collapse, fitting, levels
from tinygrad_edu.graph.trace import trace
from tinygrad_edu.layers import MLP, Layer, Linear, Sequential


def leaf(*numbers, name=None):
    data = np.array(numbers[0] if len(numbers) == 1 else numbers, "float32")
    return tg.Tensor(data, requires_grad=True, name=name)


def mlp_with_penalty():
    model = MLP(2, 6, 3, rng=0)
    x = tg.Tensor(drawn(5, 2), name="x")
    first = model.parameters()[0]
    loss = tg.losses.cross_entropy(model(x), [0, 1, 2, 1, 0]) + 0.05 * (first * first).sum()
    return model, loss


def by_name(graph):
    return {node.name: node for node in graph.nodes.values()}


class Cell(Layer):
    """One step of a recurrent network, as students write it."""

    def __init__(self, size):
        self.inner = Linear(size, size, rng=0)

    def forward(self, h):
        return tg.tanh(self.inner(h))


def unrolled(steps, size=2):
    cell, h = Cell(size), tg.Tensor(drawn(1, size), name="h0")
    for _ in range(steps):
        h = cell(h)
    return cell, h.sum()


# ---------------------------------------------------------------- what is there


def test_a_node_for_every_tensor_and_an_edge_for_every_use():
    x = leaf(3, name="x")
    graph = trace(x * x + x)
    assert [(n.key, n.kind, n.name, n.title) for n in graph.nodes.values()] == [
        ("n0", "parameter", "x", ""),
        ("n1", "op", "multiply", "multiply"),
        ("n2", "result", "add", "add"),
    ]
    edges = [(e.source, e.target, e.slot, float(e.contribution)) for e in graph.edges]
    assert edges == [
        ("n0", "n1", "x", 3), ("n0", "n1", "y", 3), ("n1", "n2", "x", 1), ("n0", "n2", "y", 1)
    ]  # fmt: skip
    assert graph.result == "n2" and graph.has_gradients and graph.keys[x] == "n0"
    assert [e.slot for e in graph.into("n2")] == ["x", "y"]
    assert [e.target for e in graph.out_of("n0")] == ["n1", "n1", "n2"]
    assert graph.into("n0") == [] == graph.out_of("n2")


def test_the_steps_are_those_of_forward_and_of_backward():
    x = leaf(3, name="x")
    graph = trace(tg.exp(x * x) + x)
    assert [(s.phase, graph.nodes[s.node].name, s.edges) for s in graph.steps] == [
        ("forward", "multiply", (0, 1)),
        ("forward", "exp", (2,)),
        ("forward", "add", (3, 4)),
        ("seed", "add", ()),
        ("backward", "add", (3, 4)),
        ("backward", "exp", (2,)),
        ("backward", "multiply", (0, 1)),
    ]


def test_what_stands_in_a_node():
    model, loss = mlp_with_penalty()
    nodes = by_name(trace(loss))
    weight = model.parameters()[0]
    node = nodes["layers.0.weight"]
    assert (node.kind, node.shape, node.dtype, node.title) == ("parameter", (2, 6), "float32", "")
    np.testing.assert_array_equal(node.value, weight.data)
    assert nodes["multiply_2"].settings == (("x", 0.05),)
    assert nodes["multiply_2"].title == "multiply 0.05"
    assert nodes["x"].kind == "input" and not nodes["x"].needs_gradient
    assert nodes["x"].gradient is None and nodes["x"].beside is None
    labels = nodes["labels"]
    assert labels.kind == "constant" and labels.beside == nodes["softmax_cross_entropy"].key
    assert nodes["layers.0.bias"].beside == nodes["layers.0.linear"].key
    assert nodes["layers.0.linear"].op is tg.linear.op


def test_a_leaf_is_copied_so_a_step_does_not_change_what_was_seen():
    model, loss = mlp_with_penalty()
    optimizer = tg.optimizers.SGD(model, lr=1)
    graph = trace(loss)
    before = {key: node.value.copy() for key, node in graph.nodes.items()}
    loss.backward()
    optimizer.step()
    for key, node in graph.nodes.items():
        np.testing.assert_array_equal(node.value, before[key])


def test_the_gradients_are_those_of_backward_and_sums_of_what_arrived():
    model, loss = mlp_with_penalty()
    graph = trace(loss)
    loss.backward()
    for p in model.parameters():
        np.testing.assert_array_equal(graph.nodes[graph.keys[p]].gradient, p.grad)
    for key, node in graph.nodes.items():
        arrived = [e.contribution for e in graph.out_of(key) if e.contribution is not None]
        if arrived:
            np.testing.assert_allclose(sum(arrived), node.gradient, rtol=1e-6)
    assert len(graph.out_of(graph.keys[model.parameters()[0]])) == 3


def test_nobodys_gradient_changes_and_nothing_is_kept():
    model, loss = mlp_with_penalty()
    trace(loss)
    assert all(p.grad is None for p in model.parameters())
    loss.backward()
    before = [p.grad.copy() for p in model.parameters()]
    graph = trace(loss)
    for p, g in zip(model.parameters(), before, strict=True):
        np.testing.assert_array_equal(p.grad, g)
    gone = weakref.ref(loss)
    del loss, graph
    gc.collect()
    assert gone() is None


def test_hooks_are_part_of_the_gradient_and_are_told_of():
    w = leaf(1, 2, name="w")
    w.register_hook(lambda g: g * 10)
    node = by_name(trace((w * 3).sum()))["w"]
    assert node.hooked and node.gradient.tolist() == [30, 30]
    (w * 3).sum().backward()
    assert w.grad.tolist() == [30, 30]


def test_without_one_number_at_the_end_no_gradient_is_computed():
    graph = trace(leaf(1, 2) * 2)
    assert not graph.has_gradients
    assert all(node.gradient is None for node in graph.nodes.values())
    assert [step.phase for step in graph.steps] == ["forward"]


def test_arguments_have_the_names_of_the_rule():
    a, b = leaf(1, 2, name="a"), leaf(3, name="b")
    joined = trace(tg.concatenate([a, a * 2, np.array([5.0])]))
    assert [e.slot for e in joined.edges] == ["x", "arrays[0]", "arrays[1]", "arrays[2]"]
    chosen = trace(tg.where(np.array([True, False]), a, b))
    assert [(e.slot, chosen.nodes[e.source].name) for e in chosen.edges] == [
        ("condition", "condition"), ("x", "a"), ("y", "b")
    ]  # fmt: skip
    summed = by_name(trace(tg.sum(leaf([1, 2], [3, 4]), axis=1)))["sum"]
    assert ("axis", 1) in summed.settings
    assert by_name(joined)["concatenate"].settings == (("axis", 0),)


def test_an_input_frozen_after_use_and_one_never_trained():
    model, loss = mlp_with_penalty()
    model.freeze()
    nodes = by_name(trace(loss))
    assert nodes["layers.0.weight"].kind == "parameter"
    assert nodes["layers.0.weight"].gradient is not None  # it was asked for when it was used


def test_where_the_user_wrote_it_is_known_inside_trace_lines():
    with tg.trace_lines():
        y = leaf(1) * 2
    node = by_name(trace(y))["y"]
    assert node.where.file == __file__ and by_name(trace(leaf(1) * 2))["multiply"].where is None


def test_what_has_no_graph_is_refused():
    for x in (leaf(1), tg.Tensor(1.0) * 2, (leaf(1) * 2).detach()):
        with pytest.raises(ValueError, match="seer: this tensor was not computed from anything"):
            trace(x, who="seer")
    with pytest.raises(TypeError, match=r"seer: 3 is a int; give a Tensor"):
        trace(3, who="seer")


def test_a_stale_graph_says_so():
    w = leaf(1)
    loss = tg.optimizers.SGD(w).minimize(lambda: w * w)
    with pytest.raises(RuntimeError, match="let go by an optimizer step"):
        trace(loss)


# ---------------------------------------------------------------- names


def test_names_come_from_the_user_the_variable_the_layer_and_the_op_in_this_order():
    model, x = MLP(2, 3, 1, rng=0), tg.Tensor(drawn(4, 2))
    hidden = tg.tanh(model(x))
    hidden.name = "h"
    _private = loss = (hidden * hidden).sum()
    names = [node.name for node in trace(loss, variables()).nodes.values()]
    assert names == [
        "x", "layers.0.weight", "layers.0.bias", "layers.0.linear", "layers.1.relu",
        "layers.2.weight", "layers.2.bias", "layers.2.linear", "h", "multiply", "loss",
    ]  # fmt: skip
    assert model.parameters()[0].name == "layers.0.weight"
    assert _private is loss


def test_a_variable_goes_before_the_layers_name():
    layer = Linear(2, 1, rng=0)
    w = layer.weight
    names = {node.name for node in trace(layer(drawn(1, 2)).sum(), variables()).nodes.values()}
    assert {"w", "bias"} <= names and w.name is None


def a_loss_of_two_lines(w):
    hidden = tg.tanh(w * 2)
    return (hidden * hidden).sum()


def test_inside_trace_lines_a_tensor_is_called_what_its_line_calls_it():
    w = leaf(1, 2)
    with tg.trace_lines():
        for _ in range(2):
            result = a_loss_of_two_lines(w)
        loss = result + a_loss_of_two_lines(w)
    names = [node.name for node in trace(loss).nodes.values()]
    assert names == [
        "x", "multiply", "hidden", "multiply_2", "sum",
        "multiply_3", "hidden_2", "multiply_4", "sum_2", "loss",
    ]  # fmt: skip
    assert [node.name for node in trace(a_loss_of_two_lines(w)).nodes.values()][2] == "tanh"


def test_the_line_says_nothing_of_what_was_made_on_the_way():
    _name = "if x = y:"
    with tg.trace_lines():
        y = leaf(1) * 2 + 1
        tg.exp(y); z = y * 3  # fmt: skip  # noqa: E702
    assert [node.name for node in trace(z).nodes.values()] == ["x", "multiply", "y", "multiply_2"]


def test_leaves_are_called_what_their_line_calls_them_too():
    def loss():
        w = tg.Tensor([1.0, 2.0], requires_grad=True)
        b = tg.zeros(2, requires_grad=True); c = 3.0  # fmt: skip  # noqa: E702
        model = Linear(2, 2, rng=0)
        both = tg.Tensor([c], requires_grad=True) * model.weight
        return (w * both + b).sum()

    with tg.trace_lines():
        graph = trace(loss())
    assert [node.name for node in graph.nodes.values()] == [
        "x", "y", "both", "w", "multiply", "y_2", "add", "sum"
    ]  # fmt: skip


class Weighing(Layer):
    def __init__(self):
        first = tg.Tensor([1.0, 2.0], requires_grad=True)
        self.weight = first

    def forward(self, x):
        return self.weight * x


def test_a_layers_name_for_its_parameter_goes_before_that_of_the_line():
    with tg.trace_lines():
        z = Weighing()(leaf(3, 4))
        _ = z * 2
    names = [node.name for node in trace(_).nodes.values()]
    assert names == ["weight", "y", "multiply", "multiply_2"]


def test_a_line_in_a_loop_names_what_each_round_makes():
    w, h = leaf(1, 2), leaf(3, 4, name="h0")
    layer = Linear(2, 2, rng=0)
    with tg.trace_lines():
        for _ in range(3):
            h = tg.tanh(h * w + 1)
        for _ in range(2):
            k = layer(h)
            h = k * w
        z = tg.tanh(
            tg.tanh(h)
        )  # fmt: skip
    titles = {n.name: n.title for n in trace(z).nodes.values() if n.op}
    assert [(name, titles[name]) for name in ("h", "h_2", "h_3", "k", "h_4", "k_2", "h_5")] == [
        ("h", "tanh"), ("h_2", "tanh"), ("h_3", "tanh"), ("k", "linear"), ("h_4", "multiply"),
        ("k_2", "linear"), ("h_5", "multiply"),
    ]  # fmt: skip
    assert [name for name in titles if name.startswith(("z", "tanh"))] == ["tanh", "z"]


def test_arguments_and_tuples_are_no_assignments():
    with tg.trace_lines():
        loss = tg.where(
            np.array([True]),
            x=leaf([1.0]) * 2,
            y=leaf([2.0]) * 3,
        )
        pair = helped(loss * 5), 1
    names = [node.name for node in trace(pair[0]).nodes.values() if node.op]
    assert names == ["multiply", "multiply_2", "loss", "multiply_3", "exp"]


def helped(x):
    return tg.exp(x)


def test_what_is_made_for_a_function_is_not_what_it_returns():
    w = leaf(1)
    with tg.trace_lines():
        loss = helped(w * 2)
        total = loss * 3
    assert [node.name for node in trace(total).nodes.values()] == ["x", "multiply", "exp", "total"]


def test_numbers_stand_where_they_stood():
    x = leaf(2)
    made = [1 - x, x - 1, 10 / x, x / 10, 2**x, x**2, 3 * x, x * 0.99999, 1 + x]
    assert [trace(z).nodes["n1"].title for z in made] == [
        "1 subtract", "subtract 1", "10 divide", "divide 10", "2 power", "power 2", "multiply 3",
        "multiply 0.99999", "add 1",
    ]  # fmt: skip


def test_a_constant_without_a_name_is_no_x_or_y():
    logits = leaf([1, 2], [3, 4]) * np.array([2.0, 3.0])
    graph = trace(tg.losses.cross_entropy(logits, [0, 1]))
    constants = [node.name for node in graph.nodes.values() if node.kind == "constant"]
    assert constants == ["labels"]
    h = leaf(1, 2) * 2
    graph = trace((h * np.array([1.0, 2.0]) + np.array([3.0, 4.0])).sum())
    constants = [node.name for node in graph.nodes.values() if node.kind == "constant"]
    assert constants == ["constant", "constant_2"]


def test_tensors_in_lists_are_called_by_their_place():
    ws, h = [leaf(1), leaf(2), leaf(3)], leaf(4)
    for weight in ws:
        h = h * weight
    names = [node.name for node in trace(h, variables()).nodes.values()]
    assert names == ["x", "ws[0]", "multiply", "ws[1]", "multiply_2", "weight", "h"]


def test_a_stale_graph_is_refused_in_the_name_of_who_was_asked():
    w = leaf(1)
    loss = tg.optimizers.SGD(w).minimize(lambda: w * w)
    with pytest.raises(RuntimeError, match="^seer: the graph of this loss was let go"):
        trace(loss, who="seer")


def test_a_dead_proxy_among_the_variables_does_not_matter():
    class Gone:
        pass

    gone = Gone()
    proxy = weakref.proxy(gone)
    w = leaf(1)
    del gone
    assert list(variables().tensors.values()) == ["w"] and w.size == 1
    assert type(proxy) is weakref.ProxyType


def test_an_underscore_is_no_name():
    _ = leaf(1)
    _w = leaf(2)
    assert list(variables().tensors.values()) == ["_w"]


def test_titles_have_numbers_in_arithmetic_only():
    titles = [n.title for n in trace(tg.softmax(leaf([1, 2]) ** 2 * 0.5, axis=0)).nodes.values()]
    assert titles == ["", "power 2", "multiply 0.5", "softmax"]


def test_tracing_gives_no_names_to_tensors():
    layer = Linear(2, 1, rng=0)
    nodes = by_name(trace(layer(drawn(1, 2)).sum()))
    assert {"weight", "bias"} <= set(nodes) and layer.weight.name is layer.bias.name is None


def test_no_two_tensors_have_the_same_name():
    w = leaf(1, name="sum_2")
    total = w
    for _ in range(4):
        total = (total * w).sum() + leaf(1, name="sum")
    names = [node.name for node in trace(total).nodes.values()]
    assert len(set(names)) == len(names)
    assert {"sum", "sum_2", "sum_3", "multiply", "multiply_4"} <= set(names)


def test_two_models_of_the_same_class_keep_their_parameters_apart():
    generator, judge = MLP(2, 2, rng=0), MLP(2, 1, rng=1)
    graph = trace(judge(generator(drawn(3, 2))).sum(), variables())
    names = [node.name for node in graph.nodes.values()]
    assert {"layers.0.weight", "layers.0.weight_2"} <= set(names)
    assert [c.name for c in graph.calls.values() if c.outside is None] == ["generator", "judge"]


# ---------------------------------------------------------------- calls of layers


def test_what_a_layer_made_and_the_parameters_it_used_are_inside_its_call():
    _, loss = mlp_with_penalty()
    graph = trace(loss)
    nodes = by_name(graph)
    assert [(c.key, c.name, c.title, c.outside, c.time) for c in graph.calls.values()] == [
        ("c0", "MLP", "MLP", None, 1),
        ("c1", "layers.0", "Linear", "c0", 1),
        ("c2", "layers.1", "ReLU", "c0", 1),
        ("c3", "layers.2", "Linear", "c0", 1),
    ]
    assert nodes["layers.0.weight"].calls == nodes["layers.0.linear"].calls == ("c0", "c1")
    assert nodes["x"].calls == nodes["labels"].calls == nodes["add"].calls == ()


def test_every_call_of_a_layer_is_one_of_its_own():
    shared = Linear(2, 2, rng=0)
    graph = trace(Sequential(shared, shared)(drawn(1, 2)).sum())
    calls = [(c.name, c.time) for c in graph.calls.values()]
    assert calls == [("Sequential", 1), ("layers.0", 1), ("layers.0", 2)]


def test_a_parameter_stands_in_its_own_layer_even_if_used_before_elsewhere():
    model = Linear(2, 1, rng=0)
    size = (model.weight**2).sum()
    nodes = by_name(trace(model(drawn(3, 2)).sum() + size))
    assert nodes["weight"].calls == ("c0",) and nodes["weight"].beside == nodes["linear"].key


class Tied(Layer):
    """Uses what belongs to another layer."""

    def __init__(self):
        self.factor = leaf(2)

    def forward(self, owner, x):
        return (owner.weight * self.factor).sum() + owner(x).sum()


def test_also_if_used_before_within_another_layer():
    model = Linear(2, 1, rng=0)
    graph = trace(Tied()(model, drawn(3, 2)), variables())
    weight, linear = (by_name(graph)[name] for name in ("weight", "model.linear"))
    assert weight.beside == linear.key and weight.calls == linear.calls


# ---------------------------------------------------------------- aliases


def test_a_leaf_used_again_has_an_alias_there():
    _, loss = mlp_with_penalty()
    graph = trace(loss)
    simple = alias_leaves(graph)
    aliases = [node for node in simple.nodes.values() if node.kind == "alias"]
    assert [(a.name, a.of, a.calls) for a in aliases] == [("layers.0.weight", "n1", ())]
    (alias,) = aliases
    assert [e.target for e in simple.out_of(alias.key)] == [alias.beside] * 2
    assert len(simple.out_of("n1")) == 1 and simple.out_of("n1")[0].target == "n3"
    assert [e.carries for e in simple.edges] == [e.source for e in graph.edges]
    order = list(simple.nodes)
    assert order.index(alias.key) == order.index(alias.beside) - 1
    assert simple.steps == graph.steps and len(simple.edges) == len(graph.edges)


def test_every_leaf_has_one_target_once_aliased():
    _, loss = unrolled(5)
    simple = alias_leaves(trace(loss))
    for key, node in simple.nodes.items():
        if node.kind in ("parameter", "input", "constant", "alias"):
            assert len({edge.target for edge in simple.out_of(key)}) == 1
    assert sum(node.kind == "alias" for node in simple.nodes.values()) == 8


def test_an_input_used_again_has_an_alias_too():
    x = tg.Tensor([1.0, 2.0], name="x")
    graph = alias_leaves(trace((leaf(1, 2) * x).sum() + (leaf(3, 4) * x).sum()))
    assert [(n.kind, n.of) for n in graph.nodes.values() if n.name == "x"] == [
        ("input", None), ("alias", "n1")
    ]  # fmt: skip


# ---------------------------------------------------------------- collapsing


def test_collapsed_to_the_outermost_layers():
    _, loss = mlp_with_penalty()
    graph = collapse(alias_leaves(trace(loss)), 1)
    box = graph.nodes["c0"]
    assert (box.kind, box.name, box.title, box.shape) == ("layer", "MLP", "MLP", (5, 3))
    assert len(box.inside) == 7 and box.calls == () and box.needs_gradient
    assert [node.name for node in graph.nodes.values()] == [
        "x", "MLP", "labels", "softmax_cross_entropy", "layers.0.weight", "multiply", "sum",
        "multiply_2", "add",
    ]  # fmt: skip
    assert list(graph.calls) == ["c0"]  # it tells what the box is
    assert len(graph.into("n10")) == 2, "two uses by one op are two"
    assert graph.steps[0].edges == (0,) and graph.steps[2].edges == ()
    assert [(e.source, e.target) for e in graph.into("c0") + graph.out_of("c0")] == [
        ("n0", "c0"), ("c0", "n9")
    ]  # fmt: skip


def test_a_box_shows_what_comes_out_of_the_layer():
    _, loss = mlp_with_penalty()
    whole = by_name(trace(loss))
    box = collapse(alias_leaves(trace(loss)), 2).nodes["c2"]
    np.testing.assert_array_equal(box.value, whole["layers.1.relu"].value)
    np.testing.assert_array_equal(box.gradient, whole["layers.1.relu"].gradient)


def test_frames_are_left_around_boxes_that_were_collapsed():
    _, loss = mlp_with_penalty()
    graph = collapse(alias_leaves(trace(loss)), 2)
    assert list(graph.calls) == ["c0", "c1", "c2", "c3"]
    assert [n.name for n in graph.nodes.values() if n.calls == ("c0",)] == [
        "layers.0", "layers.1", "layers.2"
    ]  # fmt: skip
    assert levels(trace(loss)) == 2
    simple = alias_leaves(trace(loss))
    assert collapse(simple, 3) is simple and collapse(simple, None) is simple


class Twice(Layer):
    def forward(self, x):
        return (x * 2) + (x * x)


def test_what_several_uses_in_a_layer_add_to_a_gradient_is_added_up():
    w = leaf(1, 2, name="w")
    h = w * 1
    graph = collapse(trace(Twice()(h).sum()), 1)
    (edge,) = graph.into("c0")
    np.testing.assert_array_equal(edge.contribution, [2 + 2, 2 + 4])
    np.testing.assert_array_equal(graph.nodes[edge.source].gradient, edge.contribution)


class Two(Layer):
    def forward(self, x):
        return x * 2, x * 3


def test_two_tensors_between_the_same_boxes_are_two_edges():
    a, b = Two()(leaf(1, 2, name="w") * 1)
    graph = collapse(trace((a * b).sum()), 1)
    assert graph.nodes["c0"].value is None  # there is no one tensor to show
    assert len(graph.out_of("c0")) == 2
    product = Product()(*Two()(leaf(1, 2, name="w") * 1))
    graph = collapse(trace(product), 1)
    assert [(e.source, e.target) for e in graph.into("c1")] == [("c0", "c1"), ("c0", "c1")]
    assert graph.result == "c1" and graph.nodes["c1"].value == product.data
    assert graph.nodes["c1"].gradient == 1


class Product(Layer):
    def forward(self, x, y):
        return (x * y).sum()


class Branches(Layer):
    def forward(self, w, x, y):
        return (w * x).sum() + (w * y).sum()


def test_a_box_stands_after_all_that_is_used_in_it():
    x, y = (tg.Tensor([1.0, 2.0], name=name) for name in "xy")
    graph = collapse(alias_leaves(trace(Branches()(leaf(1, 2, name="w"), x, y))), 1)
    assert [node.name for node in graph.nodes.values()] == ["x", "y", "Branches"]


def test_a_layer_called_again_is_another_box():
    _, loss = unrolled(3)
    graph = collapse(alias_leaves(trace(loss)), 1)
    boxes = [n for n in graph.nodes.values() if n.kind == "layer"]
    assert len(boxes) == 3 and [len(box.inside) for box in boxes] == [4, 4, 4]
    assert [(e.source, e.target) for e in graph.edges] == [
        ("n0", "c0"), ("c0", "c2"), ("c2", "c4"), ("c4", "n9")
    ]  # fmt: skip


class Reading(Layer):
    """A recurrent step with something to read."""

    def __init__(self):
        self.weight = leaf([1, 2], [3, 4])

    def forward(self, h, x):
        return tg.tanh(h * x + x @ self.weight)


def test_inputs_that_come_later_stand_beside_their_op_and_its_layer():
    cell, h = Reading(), leaf(0, 0, name="h0") * 1
    xs = [tg.Tensor(drawn(1, 2, seed=i), name=f"x{i}") for i in range(3)]
    for x in xs:
        h = cell(h, x)
    whole = trace(h.sum())
    assert [(n.kind, n.calls) for n in whole.nodes.values() if n.name[0] == "x"] == [
        ("input", ()), ("input", ("c1",)), ("input", ("c2",))
    ]  # fmt: skip
    assert by_name(whole)["x0"].beside is None
    assert whole.nodes[by_name(whole)["x1"].beside].op is tg.multiply.op
    graph = collapse(alias_leaves(whole), 1)
    inputs = [(n.name, n.kind, n.calls, n.beside) for n in graph.nodes.values() if n.name[0] == "x"]
    assert inputs == [
        ("x0", "input", (), None), ("x1", "input", (), "c1"), ("x2", "input", (), "c2")
    ]  # fmt: skip
    assert [e.target for e in graph.edges if e.carries == whole.keys[xs[1]]] == ["c1"]


def test_without_layers_around_every_input_stands_where_it_likes():
    w, v = leaf(1, 2, name="w"), leaf(3, 4, name="v")
    x, y = (tg.Tensor([1.0, 2.0], name=name) for name in "xy")
    nodes = by_name(trace((w * x + v * y).sum()))
    assert nodes["x"].kind == nodes["y"].kind == "input"
    assert nodes["x"].beside is None and nodes["y"].beside is None


def test_an_input_used_by_several_layers_is_still_seen_at_each_when_they_are_boxes():
    cell, h, x = Reading(), leaf(0, 0, name="h0") * 1, tg.Tensor(drawn(1, 2), name="x")
    for _ in range(3):
        h = cell(h, x)
    whole = alias_leaves(trace((h + x).sum()))
    graph = collapse(whole, 1)
    found = [(n.kind, n.of, n.beside) for n in graph.nodes.values() if n.name == "x"]
    key = graph.keys[x]
    last = next(n.key for n in graph.nodes.values() if n.title == "add")
    assert found == [
        ("input", None, None), ("alias", key, "c1"), ("alias", key, "c2"), ("alias", key, last)
    ]  # fmt: skip
    for node in graph.nodes.values():
        if node.name == "x":
            assert len(graph.out_of(node.key)) == 1
    assert set(graph.shown_by) == set(whole.nodes)


def test_a_replay_has_the_same_steps_whatever_is_collapsed():
    _, loss = mlp_with_penalty()
    whole = alias_leaves(trace(loss))
    for depth in (1, 2, 3):
        graph = collapse(whole, depth)
        assert len(graph.steps) == len(whole.steps)
        for step, before in zip(graph.steps, whole.steps, strict=True):
            assert step.phase == before.phase and step.node == graph.shown_by[before.node]
            for i in step.edges:
                assert graph.edges[i].carries in {whole.edges[j].carries for j in before.edges}
        assert set(graph.shown_by) == set(whole.nodes)
        assert set(graph.shown_by.values()) == set(graph.nodes)


@pytest.mark.parametrize("depth", [0, -1])
def test_a_depth_below_one_is_refused(depth):
    with pytest.raises(ValueError, match=f"depth={depth}: 1 shows the outermost layers"):
        collapse(trace(leaf(1) * 2), depth)


# ---------------------------------------------------------------- large graphs


def test_the_deepest_level_that_fits_is_taken():
    _, loss = unrolled(4)
    graph = alias_leaves(trace(loss))
    everything, cells = len(graph.nodes), len(collapse(graph, 1).nodes)
    assert fitting(graph, everything) is graph
    inner = collapse(graph, 2)
    assert list(fitting(graph, everything - 1).nodes) == list(inner.nodes)
    assert list(fitting(graph, cells).nodes) == list(collapse(graph, 1).nodes)
    with pytest.raises(ValueError, match=rf"seer: {cells} boxes are more .*one box. Draw a part"):
        fitting(graph, cells - 1, who="seer")


def test_without_layers_there_is_nothing_to_collapse():
    x = leaf(1)
    for _ in range(10):
        x = x + 1
    with pytest.raises(ValueError, match=r"draw: 11 boxes .*max_nodes=10\). Draw a part"):
        fitting(trace(x), 10)


def test_a_long_chain_is_traced_without_recursion():
    x = leaf(1)
    for _ in range(20_000):
        x = x * 1.0
    assert len(alias_leaves(trace(x)).nodes) == 20_001


# ---------------------------------------------------------------- whatever is computed


@st.composite
def computations(draw):
    """A loss of random ops, some of them inside of layers, on leaves used again and again."""
    leaves = [leaf(1.5, name=f"w{i}") for i in range(draw(st.integers(1, 3)))]
    known = list(leaves)
    twice = Twice()
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["multiply", "tanh", "layer", "constant"]))
        x, y = (known[draw(st.integers(0, len(known) - 1))] for _ in range(2))
        known.append(
            x * y if kind == "multiply"
            else tg.tanh(x) if kind == "tanh"
            else twice(x) if kind == "layer"
            else x + np.float32([1.0])
        )  # fmt: skip
    return sum(known[1:], known[0]).sum()


@settings(deadline=None, max_examples=60)
@given(computations(), st.sampled_from([None, 1]))
def test_every_graph_is_whole(loss, depth):
    graph = collapse(alias_leaves(trace(loss)), depth)
    seen = set()
    for key, node in graph.nodes.items():
        assert all(edge.source in seen for edge in graph.into(key)), "used before it was made"
        assert all(call in graph.calls for call in node.calls)
        assert node.beside is None or node.beside in graph.nodes
        seen.add(key)
    for key, node in graph.nodes.items():
        uses = [e.contribution for e in graph.edges if e.carries == key]
        uses = [u for u in uses if u is not None]
        hidden = depth is not None and node.kind == "parameter"  # some uses are inside of boxes
        if uses and not hidden and node.gradient is not None:
            np.testing.assert_allclose(sum(uses), node.gradient, rtol=1e-5)
    assert list(trace(loss).nodes) == list(trace(loss).nodes)
