"""What lines of source call the tensors that they make: `h = tg.tanh(x @ w)` makes one called h.

Inside `trace_lines()` a tensor knows the line that made it. So names are known also of variables in
functions that have returned, and in layers. A line makes several tensors; the one with which it
does not go on is the value of the whole expression.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterable, Iterator
from typing import Any

from tinygrad_edu import creation
from tinygrad_edu.tensor import Tensor

__all__ = ["assigned"]

CREATORS = {"Tensor", "tensor", *creation.__all__}
OPERATORS = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
    ast.MatMult: "matmul", ast.Pow: "power",
}  # fmt: skip


def assigned(made: Iterable[Tensor]) -> Iterator[tuple[Tensor, str]]:
    """The tensors among these, and their inputs, to which a line `name = ...` gives a name.

    A leaf has one if the line makes it and nothing else; parameters of `model = MLP(...)` do not.
    """
    users: dict[Tensor, list[Tensor]] = {}
    for z in made:
        users.setdefault(z, [])
        for x in z.inputs:
            users.setdefault(x, []).append(z)
    traced = [t for t in users if t.where is not None]
    files = {t.where.file: _assignments(t.where.file) for t in traced}
    made_by = {t: files[t.where.file].get(t.where.line) for t in traced}
    for t, line in made_by.items():
        inner = (made_by.get(z) is line and _same_call(t, z) for z in users[t])
        if line is not None and _is_value(t, line.value, on_the_way=any(inner)):
            yield t, line.targets[-1].id  # type: ignore[attr-defined]  # a Name


def _same_call(t: Tensor, z: Tensor) -> bool:
    """Were both made in the same call of a layer, or both in none?"""
    return _outermost_call(t) is _outermost_call(z)


def _outermost_call(t: Tensor) -> Any:
    path = t._path
    while path is not None and path[0] is not None:
        path = path[0]
    return path


def _is_value(t: Tensor, value: ast.expr, on_the_way: bool) -> bool:
    """Is t what this expression is worth? Not if the same line has gone on with it."""
    outermost = _operation(value)
    if t.op is None:
        return outermost in CREATORS and isinstance(value, ast.Call) and not on_the_way
    times = [_operation(part) for part in ast.walk(value)].count(t.op.name)
    if t.op.name == outermost and times == 1 and t._path is None:
        return True  # in a loop the same line goes on with it in the next round
    return not on_the_way and (t.op.name == outermost or not times)


def _operation(part: ast.AST) -> str | None:
    """The name of the function, method or operator whose value this is."""
    if isinstance(part, ast.Call):
        return ast.unparse(part.func).rpartition(".")[2]
    return OPERATORS.get(type(part.op)) if isinstance(part, ast.BinOp) else None


def _assignments(file: str) -> dict[int, ast.Assign | None]:
    """For each line of a file the one assignment `name = ...` that it belongs to."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):  # no file of Python
        return {}
    found: dict[int, ast.Assign | None] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.stmt) or hasattr(node, "body"):
            continue
        named = node if isinstance(node, ast.Assign) and _gives_a_name(node) else None
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            found[line] = None if line in found else named  # of two statements neither
    return found


def _gives_a_name(node: ast.Assign) -> bool:
    target = node.targets[-1]
    named = isinstance(target, ast.Name) and target.id != "_"
    return named and not isinstance(node.value, ast.Tuple)
