"""Drawing: a computation as a Graphviz picture.

One box per tensor: the op that made it, its name, its shape, how large its values and its gradient
are. Layers are frames around what they made. The gradients come from a walk of their own, so no
`.grad` changes. Only this file imports graphviz.
"""

from __future__ import annotations

from typing import Any

import graphviz
import numpy as np

from tinygrad_edu.chain import walk
from tinygrad_edu.layers import Layer
from tinygrad_edu.tensor import Tensor

__all__ = ["draw", "to_dot"]

LARGEST = 1000  # tensors that one picture may have


def to_dot(x: Tensor, direction: str = "LR") -> str:
    """The picture of how `x` was computed, as DOT text; the same graph gives the same text.

    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(to_dot(x * x).splitlines()[0])
    digraph {
    """
    return draw(x, direction).source


def draw(x: Tensor, direction: str = "LR") -> graphviz.Digraph:
    """The picture of how `x` was computed; `.render("file", format="svg")` writes it.

    For a single number the gradient of every tensor is shown, too. `direction` is "LR" (left to
    right) or "TB" (top to bottom). Writing pictures needs the Graphviz program `dot`; `.source`,
    the DOT text, does not.

    Raises ValueError for a tensor without history and for one of more than 1000 tensors.
    """
    if direction not in ("LR", "TB"):
        raise ValueError(f"draw: direction={direction!r}; it is 'LR' or 'TB'.")
    if not isinstance(x, Tensor):
        raise TypeError(f"draw: {x!r} is a {type(x).__name__}; give a Tensor, for instance a loss.")
    if x.op is None:
        raise ValueError("draw: this tensor was not computed from anything that requires grad.")
    with np.errstate(all="ignore"):  # as backward does
        steps = list(walk(x, np.ones_like(x.data), hooks=False))
    tensors = sorted((t for t, _, _ in steps), key=lambda t: t._birth)
    if len(tensors) > LARGEST:
        raise ValueError(
            f"draw: {len(tensors)} tensors are too many to look at; draw a smaller part."
        )
    gradients = {t: g for t, g, _ in steps} if x.size == 1 else {}

    picture = graphviz.Digraph(
        graph_attr={"rankdir": direction, "fontname": "Helvetica", "newrank": "true"},
        node_attr={"shape": "box", "style": "rounded,filled", "fillcolor": "white",
                   "fontname": "Helvetica", "fontsize": "11"},
        edge_attr={"color": "#8b949e"},
    )  # fmt: skip
    numbers = {t: f"n{i}" for i, t in enumerate(tensors)}
    frames = _Frame("", picture)
    first_user: dict[Tensor, Tensor] = {}
    for t in tensors:
        for source, _ in t._edges:
            first_user.setdefault(source, t)
    for t in tensors:
        inside = t if not t.is_leaf else first_user.get(t, t)  # a parameter stands where it is used
        looks = {"fillcolor": "#dafbe1", "color": "#1a7f37"} if t.is_leaf else {}
        if t is x:
            looks = {"fillcolor": "#ffebe9", "color": "#c2255c"}
        frames.at(_names(inside.path)).node(numbers[t], _label(t, gradients.get(t)), **looks)
    frames.close()
    for t in tensors:
        for i, source in enumerate(t._args or ()):
            if isinstance(source, Tensor) and source in numbers:
                picture.edge(numbers[source], numbers[t])
            elif isinstance(source, (Tensor, np.ndarray)):
                constant = f"{numbers[t]}c{i}"
                looks = {"fillcolor": "#f6f8fa", "color": "#8b949e"}
                frames.outside.node(constant, _constant_label(source), **looks)
                picture.edge(constant, numbers[t], style="dotted")
    return picture


class _Frame:
    """A layer's frame: a subgraph that is put into its parent when all of it is there."""

    def __init__(self, path: str, outside: graphviz.Digraph) -> None:
        self.path = path
        self.outside = outside
        self.inner: dict[str, _Frame] = {}

    def at(self, names: list[str]) -> graphviz.Digraph:
        """The graph to draw in, for a tensor made inside the layers of these names."""
        if not names:
            return self.outside
        if names[0] not in self.inner:
            path = f"{self.path}/{names[0]}"
            frame = graphviz.Digraph(name="cluster" + path.rstrip("\\"))
            frame.attr(label=_escaped(names[0]), style="rounded,filled", color="#d0d7de",
                       fillcolor="#f6f8fa", fontcolor="#57606a")  # fmt: skip
            self.inner[names[0]] = _Frame(path, frame)
        return self.inner[names[0]].at(names[1:])

    def close(self) -> None:
        for frame in self.inner.values():
            frame.close()
            self.outside.subgraph(frame.outside)


def _names(path: tuple[Any, ...]) -> list[str]:
    """The names of layers, outermost first: a layer is called what its outer layer calls it."""
    names: list[str] = []
    for i, layer in enumerate(path):
        known = dict(_own_layers(path[i - 1])) if i else {}
        names.append(next((n for n, own in known.items() if own is layer), type(layer).__name__))
    return names


def _own_layers(layer: Layer) -> list[tuple[str, Layer]]:
    return [(name, inner) for name, inner in layer.named_layers() if inner is not layer]


def _label(t: Tensor, g: Any) -> str:
    title = "parameter"
    if t.op is not None:
        numbers = [f"{x:g}" for x in t._args if type(x) in (int, float)]
        title = " ".join([t.op.name, *numbers])  # power 3
    if t.name is not None:
        title = f"{t.name} = {title}" if t.op is not None else t.name
    lines = [title, f"shape {t.shape}" if t.ndim else "", _size("value", t.data)]
    if g is not None:
        lines.append(_size("gradient", g))
    return _escaped("\n".join(line for line in lines if line))


def _constant_label(x: Any) -> str:
    name = getattr(x, "name", None) or "constant"
    return _escaped(
        f"{name}\nshape {np.shape(x)}" if np.ndim(x) else f"{name}\n{_size('value', x)}"
    )


def _escaped(text: str) -> str:
    return graphviz.escape(text.replace("&", "&amp;"))


def _size(what: str, x: Any) -> str:
    if np.size(x) == 1:
        return f"{what} {float(np.reshape(x, ())):.4g}"
    return f"|{what}| {float(np.linalg.norm(np.asarray(x, dtype=float))):.4g}"
