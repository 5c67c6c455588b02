"""Boxes and links to lay out: the shapes that computations have, without computing anything."""

from __future__ import annotations

from tinygrad_edu.layout import Box, Link

WIDE, HIGH = 110, 54
Graph = tuple[list[Box], list[Link]]


def op(key, *frames):
    return Box(key, WIDE, HIGH, frames)


def beside(key, consumer, *frames, chip=False):
    return Box(key, 84 if chip else WIDE, 28 if chip else HIGH, frames, consumer)


def linear(graph, source, frame, *outer):
    """source @ W + b, in a frame of its own; the key of the sum."""
    boxes, links = graph
    frames = (*outer, frame)
    product, total = f"{frame}@", f"{frame}+"
    boxes += [op(product, *frames), beside(f"{frame}.W", product, *frames)]
    boxes += [op(total, *frames), beside(f"{frame}.b", total, *frames)]
    links += [Link(source, product), Link(f"{frame}.W", product)]
    links += [Link(product, total), Link(f"{frame}.b", total)]
    return total


def then(graph, key, *sources, frames=()):
    """One more op of these sources."""
    graph[0].append(op(key, *frames))
    graph[1].extend(Link(source, key) for source in sources)
    return key


def chain(n):
    """One op after the other."""
    return [op(f"n{i}") for i in range(n)], [Link(f"n{i}", f"n{i + 1}") for i in range(n - 1)]


def diamond():
    return [op(k) for k in "xaby"], [Link(*pair) for pair in ("xa", "xb", "ay", "by")]


def fan_in(n):
    """Many boxes, and one that needs them all."""
    return [*(op(f"n{i}") for i in range(n)), op("sum")], [Link(f"n{i}", "sum") for i in range(n)]


def mlp(penalty=True):
    """Two layers in a frame, a loss, and a penalty on a weight."""
    graph = [op("x")], []
    h = then(graph, "tanh", linear(graph, "x", "fc1", "mlp"), frames=("mlp",))
    loss = then(graph, "loss", linear(graph, h, "fc2", "mlp"))
    if penalty:
        graph[0].append(op("square"))
        graph[0].append(beside("fc1.W again", "square", chip=True))
        graph[1].extend([Link("fc1.W again", "square")] * 2)
        total = then(graph, "penalty", then(graph, "sum", "square"))
        graph[0].append(beside("0.05", "penalty", chip=True))
        graph[1].append(Link("0.05", "penalty"))
        then(graph, "total", loss, total)
    return graph


def residual(blocks):
    """Blocks x + fc2(relu(fc1(x))), each in a frame, in the frame of the net; 10 boxes a block."""
    graph = [op("x")], []
    here = "x"
    for i in range(blocks):
        outer = ("net", f"block{i}")
        h = then(graph, f"relu{i}", linear(graph, here, f"{i}fc1", *outer), frames=outer)
        h = linear(graph, h, f"{i}fc2", *outer)
        here = then(graph, f"add{i}", h, here, frames=outer)
    then(graph, "loss", here)
    return graph


def rnn(steps, losses=False):
    """h = tanh(x_t @ U + h @ W + b): each step has chips for the weights that all share."""
    graph = [op("h0")], []
    h, total = "h0", None
    for t in range(steps):
        frames = (f"step{t}",)
        graph[0].append(op(f"x{t}"))
        a = then(graph, f"xU{t}", f"x{t}", frames=frames)
        b = then(graph, f"hW{t}", h, frames=frames)
        c = then(graph, f"add{t}", a, b, frames=frames)
        h = then(graph, f"tanh{t}", c, frames=frames)
        for name, where in (("U", a), ("W", b), ("b", c)):
            graph[0].append(beside(f"{name}{t}", where, *frames, chip=True))
            graph[1].append(Link(f"{name}{t}", where))
        if losses:
            loss = then(graph, f"loss{t}", h)
            total = then(graph, f"total{t}", total, loss) if total else loss
    return graph


def attention():
    """softmax(q k') v, and a residual around it."""
    graph = [op("x")], []
    q, k, v = (linear(graph, "x", name, "attention") for name in "qkv")
    inside = ("attention",)
    scores = then(graph, "scores", q, k, frames=inside)
    mixed = then(graph, "mix", then(graph, "softmax", scores, frames=inside), v, frames=inside)
    then(graph, "add", linear(graph, mixed, "out", "attention"), "x")
    return graph


def scalars(n):
    """Single numbers, as micrograd has them: a product of two, summed up."""
    graph = [], []
    total = None
    for i in range(n // 4):
        graph[0].extend([op(f"w{i}"), op(f"x{i}")])
        product = then(graph, f"p{i}", f"w{i}", f"x{i}")
        total = then(graph, f"s{i}", total, product) if total else product
    return graph


def nested_skips(n):
    """A chain whose first half is linked to its second, as in a U-net."""
    boxes, links = chain(n)
    return boxes, links + [Link(f"n{i}", f"n{n - 1 - i}") for i in range(n // 2 - 1)]


def labelled(graph, width=56, height=16):
    """The same with a label on every link."""
    return graph[0], [link._replace(width=width, height=height) for link in graph[1]]
