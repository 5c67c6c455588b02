"""Drawing: a computation as a picture.

A box for every tensor: the op that made it, its name, its shape, its value and its gradient. Layers
are frames around what they made. `draw` gives a `graphviz.Digraph`, `to_dot` its text, and `to_svg`
an SVG with the numbers themselves as small pictures, for which no program is needed. Only this file
imports graphviz.

structure.py    what a layer would compute, without any numbers
texts.py        names and numbers, made harmless
thumbnails.py   an array as a small picture
cards.py        the words on boxes and lines
style.py        colours and sizes
dot.py          all of it as DOT
faces.py        the card of one tensor as SVG
svg.py          all of it as SVG
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import graphviz

from tinygrad_edu.drawing import dot
from tinygrad_edu.drawing.structure import structure
from tinygrad_edu.drawing.svg import picture
from tinygrad_edu.graph.naming import variables
from tinygrad_edu.graph.simplify import alias_leaves, collapse, fitting
from tinygrad_edu.graph.trace import Graph, trace
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.tensor import Tensor

__all__ = ["Drawing", "draw", "to_dot", "to_svg"]

PATIENCE = 20  # seconds that the program `dot` has for an SVG, before we write our own


def draw(
    x: Tensor | Layer,
    depth: int | None = None,
    direction: str = "LR",
    values: bool = True,
    gradients: bool = True,
    max_nodes: int = 600,
    engine: str = "auto",
    input_shape: Any = None,
) -> Drawing:
    """The picture of how `x` was computed; `.render("file", format="svg")` writes it.

    `x`            a tensor; if it is a single number, such as a loss, the gradient of every tensor
                   is shown, too. Or a layer, which is run once on zeros and left exactly as it was:
                   then the picture has kinds and shapes, and no numbers.
    `depth`        layers as boxes: 1 for the outermost, 2 for those in them, and so on. None: as
                   much as fits into `max_nodes` boxes.
    `direction`    "LR", left to right, or "TB", top to bottom.
    `values`, `gradients`   shall they be shown?
    `engine`       who places the boxes of an SVG: "dot", the program of Graphviz; "builtin", this
                   library; or "auto", the first if it is installed and takes no longer than 20
                   seconds, else the second. `.source`, the DOT text, needs neither.
    `input_shape`  what a layer takes, without the batch axis, where its first layer does not say.

    No `.grad` changes. Raises ValueError for a tensor without history, and for more boxes than
    `max_nodes`, with advice.

    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> picture = draw(x * x + x)
    >>> picture.source.splitlines()[0]
    'digraph {'
    """
    seen = _Seen(x, depth, direction, values, gradients, max_nodes, engine, input_shape, "draw")
    drawing = Drawing(**dot.ATTRIBUTES)
    drawing.attr(rankdir=direction)
    dot.write(drawing, seen.graph, seen.values, seen.gradients)
    drawing.seen = seen
    return drawing


def to_dot(x: Tensor | Layer, depth: int | None = None, direction: str = "LR", **more: Any) -> str:
    """The picture as DOT text, with the arguments of `draw`; the same graph gives the same text.

    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(to_dot(x * x).splitlines()[0])
    digraph {
    """
    return draw(x, depth, direction, **more).source


def to_svg(
    x: Tensor | Layer,
    depth: int | None = None,
    direction: str = "LR",
    values: bool = True,
    gradients: bool = True,
    max_nodes: int = 600,
    engine: str = "builtin",
    input_shape: Any = None,
) -> str:
    """The picture as the text of an SVG file, with every array as a thumbnail; see `draw`.

    It is light or dark as the reader's screen is, and tells more of what one points at. Unless
    `engine` says otherwise, it is the same on every machine.

    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> to_svg(x * x + x).startswith("<svg")
    True
    """
    return _Seen(
        x, depth, direction, values, gradients, max_nodes, engine, input_shape, "to_svg"
    ).svg()


class _Seen:
    """What is to be drawn, checked and simplified, and how."""

    def __init__(
        self,
        x: Any,
        depth: Any,
        direction: str,
        values: bool,
        gradients: bool,
        max_nodes: Any,
        engine: str,
        input_shape: Any,
        who: str,
    ) -> None:
        _check(depth, direction, max_nodes, engine, who)
        if not isinstance(x, (Tensor, Layer)):
            raise TypeError(
                f"{who}: {x!r:.60} is a {type(x).__name__}; give a Tensor, such as a loss, or a "
                "layer."
            )
        if input_shape is not None and isinstance(x, Tensor):
            raise ValueError(f"{who}: input_shape= is for layers; a tensor has its inputs already.")
        numbers = isinstance(x, Tensor)
        if isinstance(x, Tensor):
            graph = trace(x, variables(), who)
        else:
            graph = structure(x, input_shape, variables(), who)
        self.graph = _simplified(alias_leaves(graph), depth, max_nodes, who)
        self.direction, self.engine = direction, engine
        self.values, self.gradients = values and numbers, gradients and numbers

    def svg(self, engine: str | None = None) -> str:
        engine = self.engine if engine is None else engine
        return picture(self.graph, self.direction, self.values, self.gradients, engine).svg


def _check(depth: Any, direction: str, max_nodes: Any, engine: str, who: str) -> None:
    if direction not in ("LR", "TB"):
        raise ValueError(f"{who}: direction={direction!r}; it is 'LR' or 'TB'.")
    if engine not in ("auto", "dot", "builtin"):
        raise ValueError(f"{who}: engine={engine!r}; it is 'auto', 'dot' or 'builtin'.")
    if depth is not None and (not isinstance(depth, int) or depth < 1):
        raise ValueError(f"{who}: depth={depth!r}; it is None, or 1 for the outermost layers as "
                         "boxes, 2 for those in them...")  # fmt: skip
    if not isinstance(max_nodes, int) or max_nodes < 1:
        raise ValueError(f"{who}: max_nodes={max_nodes!r}; it is a number of boxes.")


def _simplified(graph: Graph, depth: int | None, most: int, who: str) -> Graph:
    if depth is None:
        return fitting(graph, most, who)
    smaller = collapse(graph, depth)
    if len(smaller.nodes) > most:
        raise ValueError(
            f"{who}: at depth={depth} there are {len(smaller.nodes)} boxes, more than can be "
            f"looked at (max_nodes={most}). Leave depth out for one that fits; draw a part, such "
            "as one layer's output; or allow more by max_nodes=."
        )
    return smaller


class Drawing(graphviz.Digraph):
    """A `graphviz.Digraph` whose SVG never fails: without the program `dot` we write our own."""

    seen: _Seen | None = None  # a copy by graphviz has none

    def pipe(self, format: Any = None, *args: Any, encoding: Any = None, **options: Any) -> Any:
        """The picture as bytes, or as text in an `encoding`: see `graphviz.Digraph.pipe`.

        Raises RuntimeError where the program `dot` is needed, and is not there.
        """
        kind = format or self.format
        if kind == "svg" and self.seen is not None and not args and not options:
            text = self._svg(self.seen)
            return text if encoding else text.encode()
        with _explained(kind):
            return super().pipe(format, *args, encoding=encoding, **options)

    def render(
        self,
        filename: Any = None,
        directory: Any = None,
        view: bool = False,
        cleanup: bool = False,
        format: Any = None,
        *,
        outfile: Any = None,
        **options: Any,
    ) -> str:
        """Write the picture, and return where: see `graphviz.Digraph.render`.

        Raises RuntimeError where the program `dot` is needed, and is not there.
        """
        kind = format or (Path(outfile).suffix[1:].lower() if outfile else self.format)
        if kind != "svg" or self.seen is None or options:
            with _explained(kind):
                return super().render(
                    filename, directory=directory, view=view, cleanup=cleanup, format=format,
                    outfile=outfile, **options,
                )  # fmt: skip
        if outfile and directory is None:
            outfile = Path(self.directory, outfile)
        text = self._svg(self.seen)
        if outfile and filename is None:
            filename = Path(outfile).with_suffix(".gv")
        source = self.save(filename, directory=directory)
        written = os.fspath(outfile or f"{source}.svg")
        Path(written).write_text(text, encoding="utf-8")
        if cleanup:
            os.remove(source)
        if view:
            graphviz.view(written)
        return written

    def _svg(self, seen: _Seen) -> str:
        """What the program `dot` makes of the text; if that takes too long, our own picture."""
        if seen.engine == "builtin":
            return seen.svg()
        try:
            done = subprocess.run(
                [self.engine, "-Tsvg"], input=self.source.encode(), capture_output=True,
                timeout=PATIENCE, check=True,
            )  # fmt: skip
            return done.stdout.decode()
        except (OSError, subprocess.SubprocessError) as error:
            missing = isinstance(error, OSError)
            if seen.engine == "auto":
                return seen.svg("auto" if missing else "builtin")
            with _explained("svg"):
                if missing:
                    raise graphviz.ExecutableNotFound([self.engine]) from error
                raise

    def _repr_svg_(self) -> str:
        return str(self.pipe(format="svg", encoding="utf-8"))


@contextmanager
def _explained(kind: str) -> Iterator[None]:
    try:
        yield
    except graphviz.ExecutableNotFound as error:
        raise RuntimeError(
            f'{kind} needs the Graphviz program `dot`, which pip\'s "graphviz" does not contain.\n'
            "  Debian, Ubuntu  sudo apt install graphviz\n"
            "  Fedora          sudo dnf install graphviz\n"
            "  macOS           brew install graphviz\n"
            "  Windows         winget install graphviz\n"
            "  conda           conda install -c conda-forge graphviz\n"
            'No install is needed for SVG: tg.draw(x).render(format="svg"), which every browser '
            'shows; nor for tg.explore(x, "graph.html"), nor for the text, tg.draw(x).source.'
        ) from error
