"""The command: it trains, leaves what it promises, and says what is wrong with its options."""

import os
import stat
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.__main__ import console, main

QUICK = ["--epochs", "2", "--hidden", "32", "--batch-size", "8"]


@pytest.fixture
def run(tmp_path):
    def quickly(*options, out="out"):
        return main([*QUICK, "--out", str(tmp_path / out), *options])

    return quickly


def left(folder):
    return sorted(file.name for file in folder.iterdir())


# ---------------------------------------------------------------- what it leaves


def test_it_returns_the_accuracy_of_the_weights_that_it_leaves(run, tmp_path):
    accuracy = run(out="deep/inside")
    folder = tmp_path / "deep" / "inside"
    assert 0.7 < accuracy <= 1 and isinstance(accuracy, float)
    model = tg.layers.MLP(64, 32, 10)
    tg.load(folder / "weights.safetensors", model)
    _, (x, y) = tg.data.digits()
    assert (model(x).data.argmax(axis=1) == y).mean() == accuracy


def test_it_leaves_weights_curve_and_picture_and_nothing_else(run, tmp_path):
    run()
    files = left(tmp_path / "out")
    assert files == ["graph.svg", "loss.svg", "weights.safetensors"]
    for name in files:
        if name.endswith(".svg"):
            assert ElementTree.parse(tmp_path / "out" / name).getroot().tag.endswith("svg")


def test_it_tells_what_it_did(run, tmp_path, capsys):
    accuracy = run()
    out, err = capsys.readouterr()
    assert "1438 digits to learn from, 359 held out; Adam(" in out
    assert f"test accuracy {accuracy:.1%}" in out and str(tmp_path / "out" / "loss.svg") in out
    table = [line.split() for line in out.splitlines() if line[:5].strip().isdigit()][1:]
    counts = np.array([[int(n) if n != "." else 0 for n in row[1:]] for row in table])
    assert counts.shape == (10, 10) and counts.sum() == 359
    assert np.trace(counts) / 359 == pytest.approx(accuracy)
    assert "2/2" in err, "the progress"


def test_options_reach_the_training(run, tmp_path):
    main(["--epochs", "1", "--hidden", "--batch-size", "500", "--out", str(tmp_path)])
    weights = tg.load(tmp_path / "weights.safetensors")
    assert {name: w.shape for name, w in weights.items()} == {
        "layers.0.weight": (64, 10), "layers.0.bias": (10,)
    }  # fmt: skip
    still = run("--optimizer", "sgd", "--lr", "0")
    assert still < 0.4, "nothing was learnt"
    assert run("--optimizer", "SGD", "--lr", "0.5") > 0.7


def test_the_same_seed_leaves_the_same_bits(run, tmp_path):
    for out, seed in (("one", "3"), ("same", "3"), ("other", "4")):
        run("--seed", seed, out=out)
    for name in ("weights.safetensors", "loss.svg"):
        folders = (tmp_path / out for out in ("one", "same", "other"))
        one, same, other = ((folder / name).read_bytes() for folder in folders)
        assert one == same != other, name


def test_numpys_global_generator_is_never_touched(run):
    before = np.random.get_state()[1].copy()
    run()
    np.testing.assert_array_equal(before, np.random.get_state()[1])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_as_it_comes_it_reads_97_percent_of_the_digits(seed, tmp_path):
    assert main(["--seed", str(seed), "--out", str(tmp_path)]) >= 0.97


# ---------------------------------------------------------------- without Graphviz


def dot_that(folder, script):
    """A program `dot` that does something else."""
    program = folder / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{script}\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(program.parent)


def assert_a_picture_of_ours(folder):
    assert left(folder) == ["graph.svg", "loss.svg", "weights.safetensors"]
    text = (folder / "graph.svg").read_text(encoding="utf-8")
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert "softmax_cross_entropy" in text and 'data-node="n0"' in text


def test_without_dot_the_picture_is_drawn_by_ourselves(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run() > 0.7
    assert_a_picture_of_ours(tmp_path / "out")
    assert str(tmp_path / "out" / "graph.svg") in capsys.readouterr().out


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for dot is a script with a #! line")
def test_a_dot_that_fails_leaves_a_picture_of_ours_too(run, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", dot_that(tmp_path, "import sys; sys.exit('no layout engine')"))
    assert run() > 0.7
    assert_a_picture_of_ours(tmp_path / "out")


# ---------------------------------------------------------------- bad options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "0"], ["--epochs", "0 must be at least 1"]),
        (["--epochs", "-3"], ["--epochs", "-3 must be at least 1"]),
        (["--epochs", "many"], ["--epochs", "many"]),
        (["--hidden", "8", "0"], ["--hidden", "0 must be at least 1"]),
        (["--hidden", "8.5"], ["--hidden", "8.5"]),
        (["--batch-size", "0"], ["--batch-size", "0 must be at least 1"]),
        (["--lr", "-1"], ["--lr", "-1", "not negative"]),
        (["--lr", "nan"], ["--lr", "nan", "finite"]),
        (["--lr", "inf"], ["--lr", "inf", "finite"]),
        (["--lr", "fast"], ["--lr", "fast"]),
        (["--optimizer", "adamant"], ["adamant", "sgd, adagrad"]),
        (["--optimizer", "muon"], ["Muon", "matrices only"]),
        (["--optimizer", "lbfgs"], ["lbfgs", "several times in a step"]),
        (["--seed", "x"], ["--seed", "x"]),
        (["--seed", "-1"], ["--seed", "-1"]),
        (["--momentum", "1"], ["--momentum"]),
    ],
    ids=" ".join,
)
def test_a_bad_option_ends_with_a_clear_message(options, words, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*QUICK, "--out", str(tmp_path / "out"), *options])
    assert caught.value.code == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert all(word in message for word in words), message
    assert "_positive" not in message, "the name of a function is no help"
    assert not (tmp_path / "out").exists(), "nothing was begun"


def test_a_file_in_the_place_of_the_folder_ends_with_a_clear_message(tmp_path, capsys):
    (tmp_path / "out").write_text("precious", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main([*QUICK, "--out", str(tmp_path / "out")])
    assert "--out" in capsys.readouterr().err + str(caught.value.code)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "precious"


def test_help_names_every_option_and_its_default(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for option in ("epochs", "hidden", "optimizer", "lr", "batch-size", "seed", "out"):
        assert f"--{option}" in text
    assert text.count("default") >= 6


# ---------------------------------------------------------------- as a command


def test_it_runs_as_a_module_and_ends_well(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_edu", *QUICK, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout and "weights.safetensors" in left(tmp_path)


@pytest.mark.filterwarnings("ignore")  # on the way to infinity NumPy warns
def test_training_that_diverges_ends_with_advice_and_no_traceback(tmp_path, monkeypatch):
    options = ["--optimizer", "sgd", "--lr", "1e30", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["tinygrad-edu", *QUICK, *options])
    with pytest.raises(SystemExit) as caught:
        console()
    assert "tinygrad-edu: SGD.step: the gradient of" in caught.value.code
    assert "Lower lr" in caught.value.code


def test_the_command_ends_with_success(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tinygrad-edu", *QUICK, "--out", str(tmp_path)])
    assert console() is None
