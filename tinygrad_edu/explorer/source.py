"""Source on a page: the user's own line, and the rule of an op, in colour."""

from __future__ import annotations

import inspect
import io
import keyword
import linecache
import os
import tokenize
from collections.abc import Iterator
from typing import Any

from tinygrad_edu.drawing.texts import one_line
from tinygrad_edu.graph.wording import pieces
from tinygrad_edu.modes import Line
from tinygrad_edu.rules import Op

__all__ = ["coloured", "line", "rule"]

KINDS = {tokenize.STRING: "string", tokenize.COMMENT: "comment", tokenize.NUMBER: "number"}
LONGEST = 2000  # characters of a line of source that are shown


def line(where: Line | None) -> dict[str, Any] | None:
    """A place in the user's source and what stands there; its folder is nobody's business."""
    if where is None:
        return None
    text = one_line(linecache.getline(where.file, where.line).strip(), LONGEST)
    return {
        "file": one_line(os.path.basename(where.file)),
        "line": where.line,
        "function": one_line(where.function),
        "text": coloured(text),
    }


def rule(op: Op) -> dict[str, Any]:
    """An op: its name, its maths, and the source of its rule."""
    try:
        source = inspect.cleandoc("\n" + inspect.getsource(op.rule))
    except (OSError, TypeError):  # typed in at a prompt, say
        source = ""
    return {
        "name": op.name,
        "forward": _forward(op),
        "file": os.path.basename(op.where.file),
        "line": op.where.line,
        "source": coloured(source),
    }


def _forward(op: Op) -> str:
    """What the op computes, in its own letters: the first part of its formula."""
    found = [f"{letter} = {text}" for letter, text in pieces(op).items()]
    return found[0] if found else op.formula


def coloured(source: str) -> list[tuple[str, str]]:
    """Source cut into (kind, text) pieces: keyword, string, comment, number, or "" for the rest.

    >>> coloured("return x  # back")
    [('keyword', 'return'), ('', ' x  '), ('comment', '# back')]
    """
    pieces: list[tuple[str, str]] = []
    for kind, text in _cut(source):
        if pieces and pieces[-1][0] == kind:
            pieces[-1] = (kind, pieces[-1][1] + text)
        elif text:
            pieces.append((kind, text))
    return pieces


def _cut(source: str) -> Iterator[tuple[str, str]]:
    starts = [0]  # the place of each line in the source
    for text in io.StringIO(source):
        starts.append(starts[-1] + len(text))
    done = 0
    for token in _tokens(source):
        kind = "keyword" if keyword.iskeyword(token.string) else KINDS.get(token.type, "")
        if not kind:
            continue
        start = starts[token.start[0] - 1] + token.start[1]
        end = starts[token.end[0] - 1] + token.end[1]
        yield "", source[done:start]
        yield kind, source[start:end]
        done = end
    yield "", source[done:]


def _tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    """The tokens, up to where the source is no Python any more: a line may be half a statement."""
    try:
        yield from tokenize.generate_tokens(io.StringIO(source).readline)
    except (tokenize.TokenError, SyntaxError):
        return
