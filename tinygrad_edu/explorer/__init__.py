"""The page that replays backward: a computation to step through in a browser, in one file.

numbers.py   arrays: small ones to the bit, large ones as pictures
source.py    the user's lines and the rules of ops, in colour
data.py      what the page knows, as plain words and numbers
page.py      the file put together
page.html    what it is made of
page.css     how it looks; pictures.css, the graph; panel.css, the panel; elsewhere.css, on a phone
numbers.js   what it does, in this order: arrays as tables and pictures,
pictures.js  the graph at a step,
panel.js     what is said about a box,
page.js      where in the replay we are, and
hands.js     what keys and the mouse do
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tinygrad_edu.checkpoints.atomic import Path as PathLike
from tinygrad_edu.checkpoints.atomic import write_whole
from tinygrad_edu.explorer.data import View, page_data, views
from tinygrad_edu.explorer.page import whole_page
from tinygrad_edu.graph.naming import variables
from tinygrad_edu.graph.replay import check
from tinygrad_edu.graph.simplify import alias_leaves, fitting
from tinygrad_edu.graph.trace import trace
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.modes import trace_lines
from tinygrad_edu.tensor import Tensor

__all__ = ["explore"]


def explore(
    loss: Tensor | Callable[[], Tensor],
    path: PathLike = "graph.html",
    depth: int | None = None,
    engine: str = "builtin",
    title: str | None = None,
    max_nodes: int = 600,
) -> Path:
    """Write a page that replays how `loss` was computed, and how its gradient finds its way back.

    The page is one file, to be opened by a browser: no network, no other files. It steps through
    forward and backward one op at a time; a click on a box shows its numbers, its rule with the
    real names, and where each part of its gradient comes from. Nobody's `.grad` changes.

    `loss` is a tensor of one number, or a function without arguments that computes it: then it is
    called inside `trace_lines()`, and the page shows the line of yours that made each tensor.
    `depth` opens the page with layers as boxes, 1 for the outermost; every level of detail of at
    most `max_nodes` boxes is in the page. `engine` lays the boxes out: "builtin", which is this
    library, "dot", or "auto", which is `dot` where it is installed and quick. Returns the path.

    Raises TypeError for what is no tensor, ValueError for one of several numbers, for one that was
    computed from nothing that requires grad, and where even the outermost layers are too many
    boxes; RuntimeError for a graph that an optimizer's step made stale. Then no file is written.

    >>> import tempfile
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = explore(x * x + x, f"{folder}/graph.html", engine="builtin")
    ...     path.read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    known = variables()
    loss = _computed(loss)
    graph = trace(loss, known, "explore")
    shown = views(graph, max_nodes)
    if not shown:
        fitting(alias_leaves(graph), max_nodes, "explore")  # refuses, and says why
    data = page_data(graph, shown, check(loss))
    page = whole_page(data, shown, _opening(shown, depth), engine, title)
    write_whole(path, lambda file: file.write(page))
    return Path(path)


def _computed(loss: Any) -> Tensor:
    """The loss itself, a tensor of one number."""
    if isinstance(loss, Layer):
        raise TypeError(
            f"explore: {type(loss).__name__} is a layer; give a loss computed by it. "
            "(tg.draw(model) shows a layer by itself.)"
        )
    if callable(loss):
        with trace_lines():
            loss = loss()
    if not isinstance(loss, Tensor):
        raise TypeError(
            f"explore: {loss!r:.60} is a {type(loss).__name__}; give a loss, a Tensor of one "
            "number, or a function without arguments that returns one."
        )
    if loss.size != 1:
        raise ValueError(
            f"explore: a tensor of shape {loss.shape} is not one number, from which backward "
            "could start; give a loss, or its .sum() or .mean()."
        )
    return loss


def _opening(shown: list[View], depth: int | None) -> int:
    """The place of the view asked for: the one with the most detail, or the next one to `depth`."""
    if depth is None:
        return len(shown) - 1
    if depth < 1:
        raise ValueError(f"explore: depth={depth}; 1 has the outermost layers as boxes.")
    return min(range(len(shown)), key=lambda place: abs(shown[place].depth - depth))
