"""Progress: lines in a file, a bar in a terminal; and Ctrl-C, at any moment."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from tinygrad_edu.callbacks import Callback
from tinygrad_edu.layers import Linear
from tinygrad_edu.models import MLP, Sequential
from tinygrad_edu.models.interrupts import Interrupts
from tinygrad_edu.models.progress import Bar, Lines, Progress, progress
from tinygrad_edu.printed import shown

X = np.random.default_rng(0).standard_normal((20, 2)).astype("float32")
Y = (X[:, 0] > 0).astype(int)


def trained(capsys, **options):
    """What is printed by a training; and its History."""
    model = MLP(2, 4, 2, rng=0)
    model.compile("cross_entropy", "adam", ["accuracy"], rng=0)
    history = model.fit(X, Y, epochs=10, validation_split=0.2, **options)
    return capsys.readouterr(), history


# ---------------------------------------------------------------- lines


@pytest.mark.parametrize("verbose", [1, 2, True, "auto"])
def test_a_line_for_each_epoch_where_nothing_can_move(capsys, verbose):
    printed, history = trained(capsys, verbose=verbose)
    lines = printed.out.splitlines()
    assert printed.err == ""
    assert len(lines) == 10
    assert re.fullmatch(r"[ -~\n]*", printed.out)  # no control characters
    for i, line in enumerate(lines):
        numbers = (f"{name}: {values[i]:.4f}" for name, values in history.history.items())
        assert line == f"Epoch {i + 1:2d}/10 - " + " - ".join(numbers)


@pytest.mark.parametrize("verbose", [0, False])
def test_silence(capsys, verbose):
    printed, _ = trained(capsys, verbose=verbose)
    assert printed == ("", "")


def test_which_progress_is_meant(monkeypatch):
    kinds = {v: type(progress(v, 3)) for v in (0, 1, 2)}
    assert kinds == {0: Progress, 1: Lines, 2: Lines}
    monkeypatch.setattr(sys, "stdout", type("Notebook", (), {"__module__": "ipykernel.iostream"})())
    assert type(progress(1, 3)) is Bar
    monkeypatch.setattr(sys, "stdout", None)  # a program without a console
    assert type(progress(1, 3)) is Lines
    with pytest.raises(ValueError, match="verbose='loud'"):
        progress("loud", 3)


@pytest.mark.parametrize(
    ("x", "text"),
    [(0.0, "0.0000"), (0.00123, "0.0012"), (0.000999, "9.9900e-04"), (-2.0, "-2.0000"),
     (123456.0, "123456.0000"), (1e6, "1.0000e+06"), (np.nan, "nan"), (-np.inf, "-inf")],
)  # fmt: skip
def test_numbers_have_four_places(x, text):
    assert shown(x) == text


# ---------------------------------------------------------------- a bar


TRAINING = """
    import warnings
    warnings.simplefilter("error")
    import threading, time
    import numpy as np
    from tinygrad_edu.callbacks import LambdaCallback
    from tinygrad_edu.models import MLP

    model = MLP(2, 4, 2, rng=0)
    model.compile("cross_entropy", "adam", ["accuracy"], rng=0)
    x, y = np.ones((40, 2), "float32"), np.zeros(40, int)
    pause = LambdaCallback(on_batch_end=lambda batch, logs: time.sleep(0.03))
    model.fit(x, y, batch_size=2, epochs=2, callbacks=[pause], verbose=1)
    model.fit(iter([(x, y)]), verbose=1)  # nobody knows how many batches
    assert threading.active_count() == 1
    print("done")
"""


def in_terminal(program):
    """What a program writes into a terminal."""
    pty = pytest.importorskip("pty", reason="terminals of this kind are a thing of Unix")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while piece := os.read(ours, 1 << 16):
            written += piece
    os.close(ours)
    assert process.wait(60) == 0, written.decode()
    return written.decode()


def test_a_bar_moves_in_a_terminal():
    written = in_terminal(TRAINING)
    assert "Warning" not in written
    assert written.rstrip().endswith("done")
    *epochs, _ = written.replace("\r\n", "\n").split("\n")[:-1]
    assert len(epochs) == 3
    for row, title in zip(epochs, ("Epoch 1/2", "Epoch 2/2", "Epoch 1/1"), strict=True):
        *bars, last = row.split("\r")
        assert re.fullmatch(title + r" - loss: \d\.\d{4} - accuracy: \d\.\d{4}", last)
        assert bars[-1].isspace()  # wiped away: nothing of it stands behind the line
    bars = [bar for bar in epochs[0].split("\r") if "%" in bar]
    assert 3 <= len(bars) <= 12  # in 0.6 seconds: it moves, but not at every one of 20 steps
    assert any(re.search(r"\d+/20 .*loss: \d\.\d{4}", bar) for bar in bars)


def test_a_pipe_gets_lines_of_plain_letters():
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRAINING)], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    assert [line.split(b" - ")[0] for line in done.stdout.splitlines()] == [
        b"Epoch 1/2", b"Epoch 2/2", b"Epoch 1/1", b"done",
    ]  # fmt: skip
    assert re.fullmatch(rb"[ -~\n]*", done.stdout)


# ---------------------------------------------------------------- Ctrl-C


INTERRUPTED = """
    import signal
    import numpy as np
    from tinygrad_edu import layers, models
    from tinygrad_edu.callbacks import Callback

    class Ends(Callback):
        ended = 0
        def on_train_end(self, logs):
            self.ended += 1

    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 2)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    model = models.Sequential(
        layers.Linear(2, 8, rng=0), layers.ReLU(), layers.Dropout(0.5, rng=1),
        layers.Linear(8, 2, rng=2),
    )
    model.compile("cross_entropy", "adam", ["accuracy"], rng=0)
    for i in range(20):
        ends = Ends()
        ends.on_epoch_begin = lambda epoch, logs: epoch == 1 and print("go", flush=True)
        model.train(i % 2 == 0)
        before = model.optimizer.iterations
        history = model.fit(x, y, batch_size=10, epochs=10**9, validation_data=(x, y),
                            callbacks=[ends], verbose=2 if i == 19 else 0)
        n = len(history.epoch)
        steps = model.optimizer.iterations - before
        assert history.interrupted and ends.ended == 1
        assert model.training is (i % 2 == 0)
        assert model.epochs == n and history.epoch == list(range(n))
        assert {len(values) for values in history.history.values()} == {n}
        assert n * 6 <= steps <= n * 6 + 6, (n, steps)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        more = model.fit(x, y, batch_size=10, epochs=2, verbose=0)
        assert not more.interrupted and np.isfinite(more.history["loss"]).all()
    print("all is well", flush=True)
"""


def started(program):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def until(process, line):
    """The lines up to this one."""
    seen = []
    for text in process.stdout:
        seen.append(text.rstrip())
        if seen[-1] == line:
            return seen
    raise AssertionError(f"{line!r} never came: {seen} {process.stderr.read()}")


def test_ctrl_c_at_twenty_moments_ends_the_training_and_no_more():
    with started(INTERRUPTED) as process:
        for i in range(20):
            until(process, "go")
            time.sleep(0.0037 * i)
            process.send_signal(signal.SIGINT)
        lines = until(process, "all is well")
        assert process.wait(60) == 0
        assert process.stderr.read() == ""
    (said,) = [line for line in lines if line.startswith("Interrupted")]
    epochs = [line for line in lines if line.startswith("Epoch")]
    n = len(epochs) + 1  # the first one was before "go"
    assert said == f"Interrupted: {n} epochs finished."
    assert lines[-2:] == [said, "all is well"]


SECOND = """
    import time
    import numpy as np
    from tinygrad_edu.callbacks import Callback
    from tinygrad_edu.models import MLP

    class Slow(Callback):
        def {moment}(self, *arguments):
            print("slow", flush=True)
            time.sleep(60)

    model = MLP(2, 2, rng=0).eval()
    model.compile("mse", "sgd")
    try:
        model.fit(np.ones((4, 2)), np.ones((4, 2)), epochs={epochs}, callbacks=[Slow()], verbose=0)
    except KeyboardInterrupt:
        print("through", model.training, flush=True)
"""


@pytest.mark.parametrize(("moment", "epochs"), [("on_train_end", 1), ("on_batch_end", 9)])
def test_a_second_ctrl_c_goes_through(moment, epochs):
    with started(SECOND.format(moment=moment, epochs=epochs)) as process:
        until(process, "slow")
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)  # held back: it is still asleep
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        if moment == "on_batch_end":  # caught as the end of the training
            assert process.wait(30) == 0
        else:
            until(process, "through False")
            assert process.wait(30) == 0


class Strikes(Callback):
    """Presses Ctrl-C once, at a moment."""

    def __init__(self, moment, number=0):
        self.steps, self.left = 0, number
        if moment != "on_batch_end":
            setattr(self, moment, self.strike)
        self.moment = moment

    def on_batch_end(self, batch, logs):
        self.steps += 1
        if self.moment == "on_batch_end":
            self.strike()

    def strike(self, *arguments):
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        self.left -= 1


@pytest.mark.parametrize(
    ("moment", "number", "steps", "finished"),
    [
        ("on_train_begin", 0, 1, 0),
        ("on_epoch_begin", 1, 6, 1),
        ("on_batch_begin", 2, 3, 0),
        ("on_batch_end", 7, 8, 1),
        ("validation", 3, 10, 1),
        ("on_epoch_end", 1, 10, 2),
        ("on_train_end", 0, 20, 4),
    ],
)
def test_ctrl_c_waits_for_the_step_and_not_for_the_epoch(moment, number, steps, finished):
    strikes = Strikes(moment, number)

    class Model(Sequential):
        def forward(self, x):
            if moment == "validation" and not self.training:
                strikes.strike()
            return super().forward(x)

    model = Model(Linear(2, 2, rng=0))
    model.compile("cross_entropy", "sgd")
    options = {"batch_size": 4, "epochs": 4, "validation_data": (X[:8], Y[:8]), "verbose": 0}
    history = model.fit(X, Y, callbacks=[strikes], **options)
    assert history.interrupted
    assert model.optimizer.iterations == strikes.steps == steps
    assert len(history.epoch) == model.epochs == finished


def test_who_takes_care_of_ctrl_c_goes_on_doing_so():
    def mine(number, frame):
        pass

    before = signal.signal(signal.SIGINT, mine)
    try:
        with Interrupts() as interrupts:
            assert signal.getsignal(signal.SIGINT) is mine
        assert signal.getsignal(signal.SIGINT) is mine
        assert not interrupts.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_first_is_noted_and_the_second_raised():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with Interrupts() as interrupts:
        interrupts.check()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.asked
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_output_that_nobody_reads_does_not_end_the_training(monkeypatch, tmp_path):
    class Closed:
        encoding = "utf-8"

        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    Lines(3).say("ended")
    with open(tmp_path / "log", "w", encoding="ascii") as log:
        monkeypatch.setattr(sys, "stdout", log)
        Lines(3).end(0, {"pré": 1.0})
    assert (tmp_path / "log").read_text() == "Epoch 1/3 - pr\\xe9: 1.0000\n"


def test_a_second_ctrl_c_on_the_way_out_leaves_the_handler_as_it_was():
    interrupts = Interrupts()
    with interrupts:
        interrupts.asked = True
        interrupts.__exit__(None, None, None)
        interrupts._heard(signal.SIGINT, None)  # too late to be raised
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
