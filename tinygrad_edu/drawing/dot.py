"""A graph as DOT, the language of Graphviz.

Labels are HTML-like: names go through `texts.dot` first, so none becomes a tag or an attribute. A
parameter stands in the rank of its op (`rank=same`, `minlen=0`, for which frames need `newrank`):
so layers follow each other in a straight line.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from tinygrad_edu.drawing.cards import Card, Flow, cards, flows, frame_title
from tinygrad_edu.drawing.style import LABELLED, LIGHT, SANS
from tinygrad_edu.drawing.texts import dot
from tinygrad_edu.graph.trace import Call, Edge, Graph, Node

if TYPE_CHECKING:
    import graphviz

__all__ = ["ATTRIBUTES", "write"]

ATTRIBUTES = {
    "graph_attr": {"fontname": SANS, "fontsize": "11", "newrank": "true", "nodesep": "0.3",
                   "ranksep": "0.45", "bgcolor": LIGHT["paper"], "tooltip": " "},
    "node_attr": {"shape": "box", "fontname": SANS, "fontsize": "11", "fontcolor": LIGHT["ink"],
                  "margin": "0.06,0.03"},
    "edge_attr": {"fontname": SANS, "fontsize": "9", "color": LIGHT["forward"],
                  "arrowsize": "0.6"},
}  # fmt: skip
STYLES = {
    "parameter": {"style": "filled", "penwidth": "2"},
    "result": {"style": "rounded,filled", "penwidth": "2"},
    "alias": {"style": "rounded,filled,dashed", "penwidth": "1.2"},
}
THIN, THICK = 0.7, 1.8  # the lanes of the smallest and of the largest gradient
MARGIN = "&#160;"  # between a line and its label


def write(picture: graphviz.Digraph, graph: Graph, values: bool, gradients: bool) -> None:
    """Write a graph into an empty `Digraph` that has `ATTRIBUTES`."""
    writing = _Writing(graph, values, gradients)
    writing.frame(picture, None)
    labelled = len(graph.edges) <= LABELLED
    for edge, flow in zip(graph.edges, flows(graph, gradients), strict=True):
        beside = graph.nodes[edge.source].beside is not None
        _edge(picture, edge, flow, labelled and not beside, beside, edge.source in writing.turned)


class _Writing:
    """Which boxes are in which call of a layer, and which stand beside which."""

    def __init__(self, graph: Graph, values: bool, gradients: bool) -> None:
        self.said = cards(graph, values, gradients)
        self.inside: dict[str | None, list[Node]] = {}
        self.beside: dict[str, list[str]] = {}
        for node in graph.nodes.values():
            self.inside.setdefault(node.calls[-1] if node.calls else None, []).append(node)
            if node.beside is not None:
                self.beside.setdefault(node.beside, []).append(node.key)
        drawn = {key for node in graph.nodes.values() for key in node.calls}
        self.within: dict[str | None, list[Call]] = {}
        for call in graph.calls.values():
            if call.key in drawn:
                self.within.setdefault(call.outside, []).append(call)
        # Of those beside an op every second one stands on its other side.
        self.turned = {key for keys in self.beside.values() for key in keys[1::2]}

    def frame(self, picture: graphviz.Digraph, around: str | None) -> None:
        """What is in a call of a layer, or outside of all: its boxes, then the calls within."""
        for node in self.inside.get(around, []):
            _box(picture, node, self.said[node.key])
            if node.key in self.beside:
                with picture.subgraph(graph_attr={"rank": "same"}) as rank:
                    for key in (*self.beside[node.key], node.key):
                        rank.node(key)
        for call in self.within.get(around, []):
            name, title = frame_title(call)
            label = _line([_font(name, "dim", bold=True), _font(title, "dim")])
            with picture.subgraph(name=f"cluster_{call.key}") as inner:
                inner.attr(label=label, labeljust="l", style="rounded,filled", tooltip=dot(name),
                           color=LIGHT["hair"], fillcolor=LIGHT["frame"])  # fmt: skip
                self.frame(inner, call.key)


# ---------------------------------------------------------------- boxes


def _box(picture: graphviz.Digraph, node: Node, card: Card) -> None:
    alarm = any(one is not None and one.alarm for one in (card.value, card.gradient))
    looks = {"style": "rounded,filled", "penwidth": "1.2"} | STYLES.get(node.kind, {})
    picture.node(
        node.key,
        _table(node, card),
        color=LIGHT["alarm" if alarm else node.kind],
        fillcolor=LIGHT[f"{node.kind}-card"],
        tooltip=_tooltip(card.tip),
        **looks,
    )


def _table(node: Node, card: Card) -> str:
    """The lines of a box, each with something at the left and something at the right."""
    colour = "ink" if node.kind == "op" else node.kind
    name = f"{card.name} ↗" if node.kind == "alias" else card.name
    joint = "= " if name and card.title and node.kind != "layer" else ""
    title = _font(joint + card.title, "dim" if name else "ink")
    header = " ".join(filter(None, [_font(name, colour, bold=True), title]))
    rows = [(header, _font(card.shape, "dim", 9))]
    if card.note:
        rows.append((_font(card.note, "dim", 9), ""))
    said = []
    for one, usual in ((card.value, "ink"), (card.gradient, "backward")):
        colour = "alarm" if one and one.alarm else "dim" if one and one.missing else usual
        said.append(_font(one.words, colour, 10) if one else "")
    if any(said):
        rows.append((said[0], said[1]))
    cells = "".join(
        f'<TR><TD ALIGN="LEFT">{left or " "}</TD><TD ALIGN="RIGHT">{right or " "}</TD></TR>'
        for left, right in rows
    )
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{cells}</TABLE>>'


def _font(text: str, colour: str, size: int | None = None, bold: bool = False) -> str:
    """A text in a colour; nothing for no text, since an empty element is a syntax error."""
    if not text:
        return ""
    sized = f' POINT-SIZE="{size}"' if size else ""
    shown = f"<B>{dot(text)}</B>" if bold else dot(text)
    return f'<FONT COLOR="{LIGHT[colour]}"{sized}>{shown}</FONT>'


def _line(parts: Iterable[str], between: str = " ", margin: str = "") -> str:
    return f"<{between.join(margin + part for part in parts if part)}>"


def _tooltip(text: str) -> str:
    return dot(text).replace("\n", "&#10;")


# ---------------------------------------------------------------- lines


def _edge(
    picture: graphviz.Digraph, edge: Edge, flow: Flow, labelled: bool, beside: bool, turned: bool
) -> None:
    """Two lanes, grey for the value and crimson for the gradient; or one.

    An edge that is turned is written from the op to what it uses: what is written last stands on
    the other side. The first colour is that of the arrow's head, the last one that of its tail.
    """
    looks = {"edgetooltip": _tooltip(flow.tip)}
    colours = [LIGHT["forward"]]
    if flow.wanted:
        colours.append(LIGHT["alarm" if flow.alarm else "backward"])
        looks["penwidth"] = f"{THIN + (THICK - THIN) * (flow.strength or 0):.2f}"
    if beside:
        looks["minlen"] = "0"
    if labelled and (flow.shape or flow.norm):
        norm = _font(flow.norm, "alarm" if flow.alarm else "backward")
        looks["label"] = _line([_font(flow.shape, "dim"), norm], "<BR/>", MARGIN)
        looks["labeltooltip"] = looks["edgetooltip"]
    ends = [edge.source, edge.target]
    if turned:
        ends, colours = ends[::-1], colours[::-1]
    way = "both" if flow.wanted else "back" if turned else "forward"
    picture.edge(*ends, color=":".join(colours), dir=way, **looks)
