"""The page put together: one file that asks nothing of any network, and runs no script but its own.

A policy in the head names the page's style and script by their hashes. So nothing else can run,
whatever a name or a line of source holds; and names are put into the page as text only.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from tinygrad_edu.drawing.style import DARK, KINDS, LIGHT, SHEET, variables
from tinygrad_edu.drawing.svg import picture
from tinygrad_edu.drawing.texts import one_line
from tinygrad_edu.explorer.data import View

__all__ = ["whole_page"]

SCRIPTS = ("numbers.js", "pictures.js", "panel.js", "page.js", "hands.js")
STYLES = ("page.css", "pictures.css", "panel.css", "elsewhere.css")
POLICY = (
    "default-src 'none'; img-src data:; style-src '{style}'; script-src '{script}'; "
    "base-uri 'none'; form-action 'none'"
)
IMAGE = re.compile(r'(<image\b[^>]*?) href="data:[^"]*"')
TIP = re.compile(r' data-tip="[^"]*"')  # the panel says it all


def whole_page(
    data: Mapping[str, Any], shown: list[View], opening: int, engine: str, title: str | None = None
) -> bytes:
    """The page as the bytes of a file; `opening` is the place of the view that is seen first."""
    style = "\n".join([_colours(), SHEET, *map(_ours, STYLES)])
    script = "\n".join(map(_ours, SCRIPTS))
    pictures, engines = _pictures(shown, engine)
    heading = one_line(title or f"{data['nodes'][data['result']]['name']} = {data['loss']}")
    about = {**data, "opening": opening, "engine": engines[-1]}
    known = json.dumps(about, ensure_ascii=False, separators=(",", ":"))
    parts = {
        "policy": POLICY.format(style=_hash(style), script=_hash(script)),
        "title": html.escape(heading),
        "style": style,
        "script": script,
        "pictures": pictures,
        "data": known.replace("<", "\\u003c"),  # so no </script> in a name ends it
    }
    page = re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], _ours("page.html"))
    return page.encode("utf-8", "backslashreplace")  # half a letter is written as JSON has it


def _pictures(shown: list[View], engine: str) -> tuple[str, list[str]]:
    """The SVG of every view, and which engine laid each out.

    The last one, with the most detail, is what is seen without the script, and has its images; in
    the others they would be the same again, so the script draws them.
    """
    texts, engines = [], []
    for place, view in enumerate(shown):
        made = picture(view.graph, engine=engine, prefix=f"v{view.depth}-", standalone=False)
        last = place == len(shown) - 1
        svg = TIP.sub("", made.svg if last else IMAGE.sub(r"\1", made.svg))
        hidden = "" if last else " hidden"
        texts.append(f'<div class="view" data-view="{view.depth}"{hidden}>{svg}</div>')
        engines.append(made.engine)
    return "\n".join(texts), engines


def _colours() -> str:
    """The colours of pictures, as the reader's screen is, or as the page's button says."""
    kinds = "".join(
        f".{kind} {{ --line: var(--{kind}); --paint: var(--{kind}-card); }}\n" for kind in KINDS
    )
    return (
        f":root {{ {variables(LIGHT)} }}\n"
        "@media screen and (prefers-color-scheme: dark) "
        f"{{ :root:not([data-theme='light']) {{ {variables(DARK)} }} }}\n"
        f"@media screen {{ :root[data-theme='dark'] {{ {variables(DARK)} }} }}\n{kinds}"
    )


def _ours(name: str) -> str:
    """One of the files beside this one."""
    return files("tinygrad_edu.explorer").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")
