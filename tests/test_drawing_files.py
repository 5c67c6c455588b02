"""Drawings as files and in notebooks, with and without Graphviz; names are only names in them."""

import os
import re
import shutil
import stat
import sys
from xml.etree import ElementTree

import graphviz
import numpy as np
import pytest

import tinygrad_edu as tg
from tests.dot_text import boxes, edges, frames, leaf, model_loss
from tinygrad_edu import drawing
from tinygrad_edu.drawing import draw, to_dot, to_svg
from tinygrad_edu.drawing.texts import one_line
from tinygrad_edu.layers import Layer, Linear

needs_dot = pytest.mark.skipif(
    shutil.which("dot") is None, reason="the Graphviz program `dot` is not installed"
)


# ---------------------------------------------------------------- names are only names

AWKWARD = [
    '"quoted"', "back\\slash", "ends in \\", "\\n", "\\N", "\\L", "\\G", "<b>bold</b>", "<>", "<",
    "a -> b; c", "label=x] }", "&amp;", "&#10;", "损失", "'", "{x|y}", "#", "//", "%", "]]>",
    "<script>alert(1)</script>", "</TABLE>>", "<!--", "שלום",
]  # fmt: skip
REPLACED = {
    "two\nlines": "two↵lines", "bell\a": "bell�", "\x00": "�", "\ud800": "�", "\ufffe": "�",
    "tab\tbed": "tab bed", "\u202eevil": "�evil", "x" * 10_000: "x" * 14 + "…" + "x" * 13,
}  # fmt: skip
INVISIBLE = "\N{ZERO WIDTH SPACE}\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"


def svg_texts(picture):
    """All text of the rendered picture; XML that is not well-formed raises here."""
    root = ElementTree.fromstring(picture.pipe(format="svg", encoding="utf-8"))
    texts = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    return [text.translate(dict.fromkeys(map(ord, INVISIBLE))).strip() for text in texts]


def named(name):
    """A graph in which everything is called so."""

    class Parts(Layer):
        def __init__(self):
            self.of = {name: Linear(1, 1, rng=0)}

        def forward(self, x):
            return self.of[name](x)

    y = Parts()(tg.Tensor(np.ones((1, 1), "float32"), name=name)) * leaf(2, name=name)
    y.name = name
    return y


@needs_dot
@pytest.mark.parametrize("name", [*AWKWARD, *REPLACED], ids=lambda name: repr(name)[:30])
def test_a_name_is_shown_as_it_is(name):
    shown = REPLACED.get(name, name)
    texts = svg_texts(draw(named(name)))
    assert shown in texts
    assert "…" in shown or {f"{shown}_2", f"{shown}_3"} < set(texts), "names are made unique"
    in_layer = one_line(f"of.{name}", 28).strip(INVISIBLE)
    assert in_layer in texts and (in_layer == f"of.{shown}" or "…" in shown)


@pytest.mark.parametrize("name", [*AWKWARD, *REPLACED], ids=lambda name: repr(name)[:30])
def test_a_name_cannot_add_boxes_arrows_or_frames(name):
    text, plain = to_dot(named(name)), to_dot(named("plain"))
    assert list(boxes(text)) == list(boxes(plain))
    assert [edge[:2] for edge in edges(text)] == [edge[:2] for edge in edges(plain)]
    assert len(frames(text)) == len(frames(plain))
    assert text.count("\n") == plain.count("\n")
    assert outside_of_names(text) == outside_of_names(plain)


def outside_of_names(text):
    """The text without quoted strings, and without what stands in labels."""
    text = re.sub(r'"[^"]*"', '""', re.sub(r"<<TABLE.*?</TABLE>>", "<>", text))
    return re.sub(r"label=<.*?>(?= [a-z]+=)", "label=<>", text).replace("tooltip=of", 'tooltip=""')


# ---------------------------------------------------------------- as files, and in a notebook


@pytest.fixture
def without_dot(monkeypatch, tmp_path):
    folder = tmp_path / "no programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))


def stand_in(tmp_path, monkeypatch, script):
    """A program `dot` that does something else."""
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent))


def is_ours(svg):
    return 'data-node="n0"' in svg


@needs_dot
def test_a_picture_is_rendered_where_it_should_go(tmp_path):
    _, loss = model_loss()
    picture = draw(loss)
    assert isinstance(picture, graphviz.Digraph) and picture.source == to_dot(loss)
    assert picture.render(outfile=tmp_path / "loss.svg", cleanup=True) == str(tmp_path / "loss.svg")
    assert [file.name for file in tmp_path.iterdir()] == ["loss.svg"]
    text = (tmp_path / "loss.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg") and "Graphviz" in text.title()
    picture.render(tmp_path / "other", format="svg")
    picture.render(tmp_path / "another", format="png", cleanup=True)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["another.png", "loss.svg", "other", "other.svg"]
    assert (tmp_path / "another.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "other").read_text(encoding="utf-8") == picture.source


def test_without_dot_an_svg_is_our_own(tmp_path, without_dot, monkeypatch):
    _, loss = model_loss()
    picture = draw(loss)
    svg = picture.pipe(format="svg", encoding="utf-8")
    assert is_ours(svg) and svg == to_svg(loss) == picture.pipe(format="svg").decode()
    monkeypatch.chdir(tmp_path)
    assert picture.render("loss", format="svg") == "loss.svg"
    assert picture.render(outfile="out.svg", cleanup=True) == "out.svg"
    assert picture.render("it", directory="deep/inside", format="svg", cleanup=True)
    for file in ("loss.svg", "deep/inside/it.svg", "out.svg"):
        assert (tmp_path / file).read_text(encoding="utf-8") == svg
    assert sorted(os.listdir()) == ["deep", "loss", "loss.svg", "no programs", "out.svg"]
    assert os.listdir("deep/inside") == ["it.svg"]


def test_without_dot_a_notebook_shows_our_own(without_dot):
    picture = draw(leaf(2) * 3)
    bundle = picture._repr_mimebundle_()
    assert list(bundle) == ["image/svg+xml"]
    assert is_ours(bundle["image/svg+xml"]) and picture._repr_svg_() == bundle["image/svg+xml"]


@needs_dot
def test_with_dot_a_notebook_shows_what_was_added_to_the_picture():
    picture = draw(leaf(2) * 3)
    picture.node("mine", "a box of my own")
    svg = picture._repr_mimebundle_()["image/svg+xml"]
    assert "a box of my own" in svg and not is_ours(svg)


@pytest.mark.parametrize("format", ["png", "pdf"])
def test_without_dot_other_formats_say_how_to_install_it_and_what_works_without(
    tmp_path, without_dot, format
):
    picture = draw(leaf(2) * 3)
    for render in (
        lambda: picture.render(tmp_path / "x", format=format),
        lambda: picture.render(outfile=tmp_path / f"x.{format}"),
        lambda: picture.pipe(format=format),
    ):
        with pytest.raises(RuntimeError, match=f"^{format} needs the Graphviz program") as caught:
            render()
        assert isinstance(caught.value.__cause__, graphviz.ExecutableNotFound)
        assert not isinstance(caught.value, graphviz.ExecutableNotFound)
        for words in (
            "sudo apt install graphviz",
            "dnf",
            "brew",
            "winget",
            "conda",
            'format="svg"',
        ):
            assert words in str(caught.value)
    with pytest.raises(RuntimeError, match="^pdf needs"):
        picture.render(tmp_path / "y")


def test_dot_alone_can_be_asked_for(without_dot):
    picture = draw(leaf(2) * 3, engine="dot")
    with pytest.raises(RuntimeError, match="^svg needs the Graphviz program"):
        picture.pipe(format="svg")


@needs_dot
def test_the_builtin_engine_can_be_asked_for():
    y = leaf(2) * 3
    assert is_ours(draw(y, engine="builtin").pipe(format="svg", encoding="utf-8"))
    assert draw(y, engine="builtin")._repr_svg_() == to_svg(y, engine="builtin")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for dot is a script with a #! line")
@pytest.mark.parametrize("script", ["import sys; sys.exit(3)", "import time; time.sleep(60)"])
def test_a_dot_that_fails_or_takes_too_long_is_done_without(tmp_path, monkeypatch, script):
    stand_in(tmp_path, monkeypatch, script)
    monkeypatch.setattr(drawing, "PATIENCE", 0.5)
    y = leaf(2) * 3
    assert is_ours(draw(y)._repr_svg_())
    with pytest.raises(drawing.subprocess.SubprocessError):
        draw(y, engine="dot").pipe(format="svg")


@needs_dot
def test_a_copy_by_graphviz_is_a_picture_too():
    picture = draw(leaf(2) * 3)
    assert picture.copy().source == picture.source
    assert picture.copy()._repr_svg_() == picture._repr_svg_()
