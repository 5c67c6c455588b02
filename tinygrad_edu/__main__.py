"""All of it at work: train a network to read handwritten digits.

    python -m tinygrad_edu --epochs 40 --hidden 128 64

Shows its progress, tells how many of the held-out digits it reads, and leaves in the folder of
`--out`: the weights, the curve of the loss, and a picture of the computation graph.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tinygrad_edu import optimizers
from tinygrad_edu.arrays import Array
from tinygrad_edu.checkpoints import save
from tinygrad_edu.curve import curve_svg
from tinygrad_edu.data import digits
from tinygrad_edu.drawing import draw
from tinygrad_edu.layers import MLP
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.modes import no_grad
from tinygrad_edu.training import get_batches


def main(arguments: Sequence[str] | None = None) -> float:
    """Train as the command line says; returns the share of held-out digits read correctly."""
    options = _options(arguments)
    (x_train, y_train), (x_test, y_test) = digits()
    rng = np.random.default_rng(options.seed)
    model = MLP(64, *options.hidden, 10, rng=rng)
    optimizer = optimizers.get(options.optimizer)
    if options.lr is not None:
        optimizer.lr = options.lr
    optimizer.bind(model)
    print(f"{len(x_train)} digits to learn from, {len(x_test)} held out; {optimizer}")

    start, losses = time.perf_counter(), []
    progress = tqdm(range(options.epochs), unit="epoch")
    for _ in progress:
        total, right = 0.0, 0
        for x, y in get_batches((x_train, y_train), options.batch_size, shuffle=True, rng=rng):
            logits = model(x)
            loss = cross_entropy(logits, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            right += int((logits.data.argmax(axis=1) == y).sum())
        losses.append(total / len(y_train))
        shown = {"loss": f"{losses[-1]:.4f}", "accuracy": f"{right / len(y_train):.1%}"}
        progress.set_postfix(shown, refresh=False)  # redrawn ten times a second at the most
    seconds = time.perf_counter() - start

    with no_grad():
        guesses = model.eval()(x_test).data.argmax(axis=1)
    accuracy = float((guesses == y_test).mean())
    print(f"\ntest accuracy {accuracy:.1%} after {seconds:.1f} s\n")
    print(_confusion(y_test, guesses))
    _leave(options.out, model, losses, x_train[:8], y_train[:8])
    return accuracy


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "tinygrad-edu", description="Train an MLP on handwritten digits."
    )
    add = parser.add_argument
    add("--epochs", type=_positive, default=40, help="times through all digits (default 40)")
    add("--hidden", type=_positive, nargs="*", default=[128, 64], help="sizes of hidden layers")
    add("--optimizer", default="adam", help="its name, such as sgd, rmsprop or adam (default adam)")
    add("--lr", type=float, help="learning rate (default: the optimizer's own)")
    add("--batch-size", type=_positive, default=32, help="digits in a step (default 32)")
    add(
        "--seed",
        type=_not_negative,
        default=0,
        help="the same seed gives the same network (default 0)",
    )
    add("--out", type=Path, default=Path("out"), help="folder for the results (default out)")
    options = parser.parse_args(arguments)
    try:
        if options.lr is not None and not 0 <= options.lr < float("inf"):
            raise ValueError(f"--lr {options.lr} must be finite and not negative.")
        chosen = optimizers.get(options.optimizer).bind(MLP(2, 2))  # may want matrices only
        if isinstance(chosen, optimizers.LBFGS):
            raise ValueError("lbfgs asks for the loss of all digits several times in a step.")
        options.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        parser.error(f"--out: {error}" if isinstance(error, OSError) else str(error))
    return options


def _positive(text: str) -> int:
    return _whole(text, 1)


def _not_negative(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is no whole number") from None
    if number < least:
        raise argparse.ArgumentTypeError(f"{text} must be at least {least}")
    return number


def _confusion(truth: Array, guesses: Array) -> str:
    """A table: a row for each digit, a column for each guess."""
    table = np.zeros((10, 10), int)
    np.add.at(table, (truth, guesses), 1)
    rows = ["digit  read as" + "".join(f"{k:5d}" for k in range(10))]
    for k, row in enumerate(table):
        rows.append(f"{k:5d}         " + "".join(f"{n:5d}" if n else "    ." for n in row))
    return "\n".join(rows)


def _leave(out: Path, model: MLP, losses: list[float], x: Array, y: Array) -> None:
    """Write the weights, the loss curve and the picture, and say where they are."""
    save(out / "weights.safetensors", model)
    svg = curve_svg(losses, "epoch", "training loss")
    (out / "loss.svg").write_text(svg, encoding="utf-8")
    picture = draw(cross_entropy(model.train()(x), y))
    svg = picture.pipe(format="svg", encoding="utf-8")
    (out / "graph.svg").write_text(svg, encoding="utf-8")
    print(
        f"\nweights {out / 'weights.safetensors'}, loss curve {out / 'loss.svg'}, "
        f"graph {out / 'graph.svg'}"
    )


def console() -> None:
    """The command `tinygrad-edu`."""
    try:
        main()
    except FloatingPointError as error:  # the training diverged: the message says what to do
        raise SystemExit(f"tinygrad-edu: {error}") from None


if __name__ == "__main__":
    console()
