"""The layout by Graphviz: the program `dot` says where everything goes; we draw.

`dot` gets DOT text with nothing in it but sizes, and answers with positions (-Tjson0). A box and
its satellites are one node, a table with an empty cell for the satellites and one for the box, to
which links lead: so satellites stand the same way in both engines, and there is less to place.
It is a program of its own, so it may be missing, fail, or take too long; it is always given a time.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

from tinygrad_edu.layout.plan import MARGIN, PAD, TITLE, Plan
from tinygrad_edu.layout.rectangles import Box, Layout, Link, Placed, Point
from tinygrad_edu.layout.satellites import Unit

__all__ = ["DotFailed", "DotTooSlow", "NoDot", "by_dot", "dot_text"]

PIECES = 6  # straight ones for a curve
HOW_TO_INSTALL = """\
  Debian/Ubuntu  sudo apt install graphviz      Fedora  sudo dnf install graphviz
  macOS          brew install graphviz          conda   conda install -c conda-forge graphviz
  Windows        winget install graphviz
No install is needed with engine="builtin"."""


class DotFailed(RuntimeError):
    """The program `dot` gave no layout."""


class DotTooSlow(DotFailed):
    """It did not answer in time, and was stopped."""


class NoDot(DotFailed):
    """It is not on this machine."""


def by_dot(
    boxes: Sequence[Box], links: Sequence[Link], direction: str = "TB", seconds: float = 20.0
) -> Layout:
    """Place boxes with the Graphviz program `dot`, which may take so many seconds.

    Raises NoDot if it is not installed, DotTooSlow if it takes longer, DotFailed if it fails, and
    ValueError for what `layered` refuses.
    """
    plan = Plan.of(boxes, links, direction)
    answer = _run(dot_text(plan), seconds) if boxes else {"bb": "0,0,0,0"}
    try:
        return _read(plan, answer)
    except (KeyError, ValueError, IndexError) as error:
        raise DotFailed(f"layout: dot's answer lacks a position ({error!r}).") from error


def dot_text(plan: Plan) -> str:
    """What `dot` is asked: nodes u0, u1, ... in frames cluster0, ..., and links 0, 1, ..."""
    inner: dict[int, list[int]] = {}
    for frame, around in enumerate(plan.parents):
        inner.setdefault(around, []).append(frame)
    inside: dict[int, list[int]] = {}
    for i in range(len(plan.units)):
        inside.setdefault(plan.paths[i][-1] if plan.paths[i] else -1, []).append(i)
    title = _table([[_cell(1, TITLE)]])
    lines = [
        "digraph {",
        f"graph [rankdir={'LR' if plan.turned else 'TB'} newrank=true nodesep=0.34 ranksep=0.48]",
        "node [shape=plain] edge [dir=none]",
    ]
    todo: list[Any] = [-1]
    while todo:  # a frame's number, or a line to be written after its inner frames
        frame = todo.pop()
        if isinstance(frame, str):
            lines.append(frame)
            continue
        if frame >= 0:
            lines.append(f"subgraph cluster{frame} {{ graph [margin={PAD} label=<{title}>]")
            todo.append("}")
        lines += [f"u{i} [label=<{_node(plan, plan.units[i])}>]" for i in inside.get(frame, [])]
        todo += reversed(inner.get(frame, []))
    lines += _edges(plan)
    return "\n".join([*lines, "}"])


def _edges(plan: Plan) -> Iterator[str]:
    """One line for every link that is not a satellite's."""
    start, end = ("e", "w") if plan.turned else ("s", "n")
    for i, ((a, b), link) in enumerate(zip(plan.arcs, plan.links, strict=True)):
        size = (link.height, link.width) if plan.turned else (link.width, link.height)
        label = f" label=<{_table([[_cell(*size)]])}>" if link.height > 0 else ""
        if a != b:
            yield f'u{a}:box:{start} -> u{b}:box:{end} [id="{i}"{label}]'


def _node(plan: Plan, unit: Unit) -> str:
    """The table of a unit: the room of its satellites, then that of its box."""
    before, box = _room(unit)
    if plan.turned:
        rows = [[_cell(unit.height, before)], [_cell(unit.height, box, "box")]]
    else:
        rows = [[_cell(before, unit.height), _cell(box, unit.height, "box")]]
    cells = [[cell for cell in row if cell] for row in rows]
    return _table([row for row in cells if row])


def _room(unit: Unit) -> Point:
    """How wide the room of the satellites is, and that of the box, as `dot` counts: in whole px."""
    return math.ceil(unit.stack + unit.room), math.ceil(unit.box.width)


def _cell(width: float, height: float, port: str = "") -> str:
    width, height = math.ceil(width), math.ceil(height)
    name = f' PORT="{port}"' if port else ""
    return f'<TD{name} FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="{height}"></TD>' * (
        width > 0 < height
    )


def _table(rows: list[list[str]]) -> str:
    body = "".join(f"<TR>{''.join(row)}</TR>" for row in rows)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{body}</TABLE>'


def _run(text: str, seconds: float) -> dict[str, Any]:
    """The answer of `dot`; it is stopped, and waited for, if it takes longer."""
    try:
        done = subprocess.run(
            ["dot", "-Tjson0"],
            input=text.encode(),
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError:
        raise NoDot(
            "layout: engine='dot' needs the Graphviz program dot, which is not on this machine "
            f"(pip's graphviz does not contain it).\n{HOW_TO_INSTALL}"
        ) from None
    except subprocess.TimeoutExpired:
        raise DotTooSlow(
            f"layout: dot did not finish in {seconds:g} s and was stopped; draw a smaller part, or "
            "use engine='builtin'."
        ) from None
    except OSError as error:
        raise DotFailed(f"layout: dot could not be started: {error}.") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        answer = None
    if done.returncode or not isinstance(answer, dict):
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DotFailed(f"layout: dot gave no layout: {said[0] if said else done.returncode}.")
    return answer


def _read(plan: Plan, answer: dict[str, Any]) -> Layout:
    """Take the positions over. `dot` counts y upwards, from the lower left corner."""
    *_, width, height = _numbers(answer["bb"])
    objects = {one["name"]: one for one in answer.get("objects", [])}
    lines = {int(one["id"]): one for one in answer.get("edges", [])}

    def point(x: float, y: float) -> Point:
        """Inside, where everything goes from top to bottom."""
        x, y = x + MARGIN, height - y + MARGIN
        return (y, x) if plan.turned else (x, y)

    boxes: dict[str, Placed] = {}
    for i, unit in enumerate(plan.units):
        x, y = point(*_numbers(objects[f"u{i}"]["pos"]))
        before, _ = _room(unit)
        boxes.update(unit.places(x + before / 2, y))
    frames = {}
    for i, key in enumerate(plan.frames):
        x0, y0, x1, y1 = _numbers(objects[f"cluster{i}"]["bb"])
        (x0, y0), (x1, y1) = point(x0, y0), point(x1, y1)
        frames[key] = Placed((x0 + x1) / 2, (y0 + y1) / 2, abs(x1 - x0), abs(y1 - y0))
    routes: list[list[Point]] = []
    labels: list[Point | None] = []
    for i, link in enumerate(plan.links):
        if plan.arcs[i][0] == plan.arcs[i][1]:
            route, label = plan.beside(i, boxes)
        else:
            route = plan.joined(i, [point(*p) for p in _curve(lines[i]["pos"])], boxes)
            label = point(*_numbers(lines[i]["lp"])) if link.height > 0 else route[0]
        routes.append(route)
        labels.append(label if link.height > 0 else None)
    size = point(width + MARGIN, -MARGIN)
    return plan.finished(size, boxes, frames, routes, labels, "dot")


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]


def _curve(text: str) -> list[Point]:
    """Points along Bezier curves: a start and then, for each curve, two handles and an end."""
    given = [(x, y) for x, y in (_numbers(pair) for pair in text.split())]
    points = [given[0]]
    for i in range(0, len(given) - 3, 3):
        p = given[i : i + 4]
        for k in range(1, PIECES + 1):
            t = k / PIECES
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            x, y = (sum(w * one[j] for w, one in zip(weights, p, strict=True)) for j in (0, 1))
            points.append((x, y))
    return points
