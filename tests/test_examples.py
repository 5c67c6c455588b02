"""Every example runs: from any folder, without a warning, and without leaving anything behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))
LONG = ("07", "08", "09", "11")  # they train for more than a few seconds


def run(example: Path, folder: Path, *arguments: str) -> str:
    """What the example prints, run in a process of its own, in `folder`."""
    package = str(Path(tg.__file__).parents[1])  # that process imports what this one imported
    done = subprocess.run(
        [sys.executable, "-W", "error", str(example), *arguments],
        cwd=folder,
        # Threads do not make products of small matrices faster, and on a busy machine far slower.
        env={**os.environ, "PYTHONPATH": package, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def named(start: str) -> Path:
    (example,) = (path for path in EXAMPLES if path.name.startswith(start))
    return example


def test_examples_are_numbered_in_order() -> None:
    numbers = [int(path.name[:2]) for path in EXAMPLES]
    assert numbers == list(range(1, len(EXAMPLES) + 1))


def marked(example: Path) -> Any:
    marks = [pytest.mark.slow] if example.name.startswith(LONG) else []
    return pytest.param(example, id=example.stem, marks=marks)


@pytest.mark.parametrize("example", [marked(example) for example in EXAMPLES])
def test_example_runs_and_leaves_nothing(example: Path, tmp_path: Path) -> None:
    printed = run(example, tmp_path)
    assert len(printed.splitlines()) > 5
    assert all(len(line) <= 100 for line in printed.splitlines())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_docstring_says_how_to_run_it(example: Path) -> None:
    assert f"python examples/{example.name}" in example.read_text(encoding="utf-8")


def test_neuron_writes_its_picture_where_told(tmp_path: Path) -> None:
    run(named("02"), tmp_path, "neuron.dot")
    text = (tmp_path / "neuron.dot").read_text(encoding="utf-8")
    assert text.startswith("digraph")
    assert all(name in text for name in ("w1", "x2", "sigmoid"))


def test_digits_writes_weights_that_load(tmp_path: Path) -> None:
    run(named("04"), tmp_path, "weights.safetensors")
    model = tg.load(tmp_path / "weights.safetensors", tg.layers.MLP(64, 128, 64, 10))
    _, (x, y) = tg.data.digits()
    with tg.no_grad():
        assert (model(x).data.argmax(axis=1) == y).mean() >= 0.97


@pytest.mark.parametrize(
    ("start", "picture", "shape"),
    [("06", "moons.png", (456, 1560)), ("10", "autoencoder.png", (902, 1100))],
)
def test_picture_is_drawn_where_told(
    tmp_path: Path, start: str, picture: str, shape: tuple[int, int]
) -> None:
    """A whole picture with light and dark in every quarter, and nothing beside it."""
    image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")
    assert f"{picture} is in new" in run(named(start), tmp_path, "--out", "new")
    (drawn,) = (tmp_path / "new").iterdir()
    assert drawn.name == picture
    pixels = image.imread(drawn)
    np.testing.assert_allclose(pixels.shape[:2], shape, atol=2)  # a pixel more or less, by version
    for half in np.array_split(pixels[..., :3], 2):
        for quarter in np.array_split(half, 2, axis=1):
            assert quarter.min() < 0.1 and quarter.max() == 1 and quarter.std() > 0.05


@pytest.mark.slow
def test_race_draws_its_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    run(named("05"), tmp_path, "--out", "race")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "race").iterdir()}
    assert set(sizes) == {"race.png", "race.gif", "race.html", "digits.png"}
    assert all(10_000 < size < 3_000_000 for size in sizes.values())
    assert "http" not in (tmp_path / "race" / "race.html").read_text(encoding="utf-8")
