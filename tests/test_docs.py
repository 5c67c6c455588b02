"""What the documents say is true: code runs, output is real, links lead somewhere.

In README.md and docs/*.md, the ```python blocks of a file are one program, in order. A block of
`>>>` lines is a doctest; any other is executed, and a ```text block right after it holds what it
prints. A block after `<!-- from FILE -->` is a quotation: its lines stand in FILE, `...` for those
left out.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import tinygrad_edu as tg
from tinygrad_edu import __main__ as main_job

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
WITH_CODE = [README, *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [*WITH_CODE, ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"]

BLOCK = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)

each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


class Block(NamedTuple):
    """A fenced block: what it is, its text, and the number of lines before its text."""

    comment: str
    language: str
    text: str
    line: int
    printed: str | None  # the ```text block right after it


def blocks(path: Path) -> Iterator[Block]:
    whole = path.read_text(encoding="utf-8")
    found = list(BLOCK.finditer(whole))
    for here, after in zip_longest(found, found[1:]):
        follows = after is not None and not whole[here.end() : after.start()].strip()
        printed = after["text"] if follows and after["language"] == "text" else None
        line = whole.count("\n", 0, here.start("text"))
        yield Block(here["comment"] or "", here["language"], here["text"], line, printed)


def quoted_from(block: Block) -> str | None:
    return block.comment.removeprefix("from ") if block.comment.startswith("from ") else None


# ---------------------------------------------------------------- code


def run_doctest(block: Block, namespace: dict[str, Any], path: Path) -> None:
    test = doctest.DocTestParser().get_doctest(
        block.text, namespace, path.name, str(path), block.line
    )
    report = io.StringIO()
    doctest.DocTestRunner(verbose=False).run(test, out=report.write, clear_globs=False)
    namespace.update(test.globs)
    assert not report.getvalue(), report.getvalue()


def run_program(block: Block, namespace: dict[str, Any], path: Path) -> None:
    padded = "\n" * block.line + block.text  # so that errors name the line of the document
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(padded, str(path), "exec", dont_inherit=True), namespace)
    assert printed.getvalue() == (block.printed or ""), f"{path.name}, line {block.line + 1}"


@pytest.mark.parametrize("path", WITH_CODE, ids=lambda path: path.name)
def test_code_runs_and_prints_what_is_shown(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__document__"}
    for block in blocks(path):
        if block.language == "python" and quoted_from(block) is None:
            run = run_doctest if ">>>" in block.text else run_program
            run(block, namespace, path)
    left = {file.name for file in tmp_path.iterdir()} - {"graph.html"}  # which is there to be seen
    assert not left, "a document's code leaves files behind"


@each_document
def test_every_fence_is_closed_and_says_its_language(path: Path) -> None:
    found = list(blocks(path))
    assert path.read_text(encoding="utf-8").count("```") == 2 * len(found)
    assert {block.language for block in found} <= {"python", "text", "sh"}


# ---------------------------------------------------------------- quotations


def meat(text: str) -> list[str]:
    """The lines without their indentation, and without empty ones."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def stands_in(wanted: list[str], source: list[str], start: int) -> int | None:
    """Where in the source these lines stand, one after another; None if nowhere."""
    for i in range(start, len(source) - len(wanted) + 1):
        if source[i : i + len(wanted)] == wanted:
            return i + len(wanted)
    return None


@each_document
def test_quotations_stand_in_the_source(path: Path) -> None:
    for block in blocks(path):
        file = quoted_from(block)
        if file is None:
            continue
        source, position = meat((ROOT / file).read_text(encoding="utf-8")), 0
        for part in re.split(r"^\s*\.\.\.$", block.text, flags=re.M):
            after = stands_in(meat(part), source, position)
            assert after is not None, f"{path.name}: not in {file}, in this order:\n{part}"
            position = after


def test_the_tour_quotes() -> None:
    files = [quoted_from(block) for block in blocks(ROOT / "docs/tour.md")]
    assert {"tinygrad_edu/rules.py", "tinygrad_edu/chain.py", "tinygrad_edu/tensor.py"} <= {*files}


# ---------------------------------------------------------------- links and names


def prose(path: Path) -> str:
    return BLOCK.sub("", path.read_text(encoding="utf-8"))


def anchors(path: Path) -> set[str]:
    """The names that headings can be linked by, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@each_document
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), f"{path.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{path.name}: {link}"


@each_document
def test_files_that_are_named_exist(path: Path) -> None:
    places = (ROOT, ROOT / "tinygrad_edu", ROOT / "tinygrad_edu/ops", path.parent)
    for name in re.findall(r"`([\w./-]+(?:\.(?:py|md|npz|cfg|toml)|/))`", prose(path)):
        if not name.startswith("out/"):  # what the main job leaves behind
            assert any((place / name).exists() for place in places), f"{path.name}: {name}"


@pytest.mark.parametrize("path", WITH_CODE[1:], ids=lambda path: path.name)
def test_every_page_is_in_the_index(path: Path) -> None:
    if path.name != "index.md":
        assert f"]({path.name})" in (ROOT / "docs/index.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------- the README's own promises


@pytest.mark.parametrize(
    ("comment", "end"),
    [("main job", "python -m tinygrad_edu"), ("tests", '".[test]" && .venv/bin/python -m pytest')],
)
def test_readme_has_each_command_on_one_line(comment: str, end: str) -> None:
    (block,) = (block for block in blocks(README) if block.comment == comment)
    assert block.language == "sh"
    (line,) = block.text.splitlines()
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert line.endswith(end)


def test_readme_names_every_option_of_the_main_job(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main_job.main(["--help"])
    options = set(re.findall(r"--[a-z-]+", capsys.readouterr().out)) - {"--help"}
    assert options
    listed = set(re.findall(r"^\| `(--[a-z-]+)", README.read_text(encoding="utf-8"), re.M))
    assert options == listed


def test_readme_lists_the_source_in_the_order_of_the_package() -> None:
    order = re.findall(r"^    (\w+(?:\.py|/))  ", tg.__doc__ or "", re.M)
    listed = re.findall(r"^\| `(\w+(?:\.py|/))` \|", README.read_text(encoding="utf-8"), re.M)
    assert order
    assert listed[: len(order)] == order
