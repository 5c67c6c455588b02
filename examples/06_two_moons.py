"""Two moons: what a straight line cannot part, a network can. And what it looks like inside.

    python examples/06_two_moons.py
    python examples/06_two_moons.py --out moons     also draws it, into that folder (matplotlib)

Points in the plane, of two kinds. The same three calls train a neuron, which can only draw a line,
and a network with two hidden layers: `compile` with a loss and an optimizer, `fit`, `evaluate`.
"""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import Linear, Sigmoid, Tanh
from tinygrad_edu.models import Sequential
from tinygrad_edu.optimizers import Adam

parser = argparse.ArgumentParser(description="A line and a network part two moons.")
parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to draw the picture")
out = parser.parse_args().out


# ---------------------------------------------------------------- the points

rng = np.random.default_rng(0)
x, y = tg.data.moons(600, noise=0.15, rng=rng)
x_train, x_test, y_train, y_test = tg.data.train_test_split(x, y[:, None], stratify=y, rng=rng)
LEFT, RIGHT, BOTTOM, TOP = -1.6, 2.6, -1.1, 1.6


def grid(columns, rows):
    """The middles of the fields of a grid over the plane, from the top down: (rows, columns, 2)."""
    across = np.linspace(LEFT, RIGHT, columns * 2 + 1)[1::2]
    down = np.linspace(TOP, BOTTOM, rows * 2 + 1)[1::2]
    return np.stack(np.meshgrid(across, down), axis=-1)


def as_text(model, columns=66, rows=20):
    """The plane in letters: points are o and x, the shade says how likely the model finds an x."""
    places = grid(columns, rows)
    likely = model.predict(places.reshape(-1, 2)).reshape(rows, columns)
    picture = np.array(list(" .:"))[np.digitize(likely, [0.1, 0.9])]
    for (right, up), kind in zip(x_test, y_test[:, 0], strict=True):
        row = int((TOP - up) / (TOP - BOTTOM) * rows)
        column = int((right - LEFT) / (RIGHT - LEFT) * columns)
        picture[row, column] = "ox"[kind]
    return "\n".join("    " + "".join(line).rstrip() for line in picture)


# ---------------------------------------------------------------- a line, and a network


def trained(*layers):
    """A model of these layers, and its History."""
    model = Sequential(*layers)
    model.compile("binary_crossentropy", Adam(lr=0.01), metrics=["accuracy"], rng=rng)
    test = (x_test, y_test)
    return model, model.fit(x_train, y_train, epochs=60, validation_data=test, verbose=0)


line, line_history = trained(Linear(2, 1, rng=rng), Sigmoid())
hidden = Linear(2, 16, rng=rng), Tanh(), Linear(16, 16, rng=rng), Tanh()
network, history = trained(*hidden, Linear(16, 1, rng=rng), Sigmoid())

print(f"{len(x_train)} points to learn from; o and x are the {len(x_test)} held out. What a neuron")
print("has learnt: where there is an x (colons), an o (nothing), or either (dots).\n")
print(as_text(line))
print("\nOne neuron can only draw a straight line. Two hidden layers of 16 bend it:\n")
print(as_text(network))

print("\n       by the line         by the network      (the held-out points)")
print("epoch   loss     right      loss     right")
for epoch in (1, 2, 5, 10, 20, 40, 60):
    row = f"{epoch:5}"
    for noted in (line_history.history, history.history):
        row += f"{noted['val_loss'][epoch - 1]:7.3f}{noted['val_accuracy'][epoch - 1]:10.1%}   "
    print(row.rstrip())

_, by_line = line.evaluate(x_test, y_test)
_, by_network = network.evaluate(x_test, y_test)
assert 0.8 < by_line < 0.95
assert by_network > 0.96


# ---------------------------------------------------------------- inside

# How does it do that? The first hidden layer draws 16 straight lines, and the second weighs what
# lies on which side of them. Here is what a few neurons of both make of the plane.

places = grid(21, 9).reshape(-1, 2)
with tg.no_grad():
    first = network[1](network[0](places.astype("f4")))
    second = network[3](network[2](first))
print("\nFour neurons of the first hidden layer, and four of the second:\n")
for hidden in (first.data, second.data):
    lively = np.argsort(-hidden.std(axis=0), kind="stable")[:4]
    shades = np.array(list(".-+#"))[np.digitize(hidden[:, lively], [-0.5, 0, 0.5])]
    for row in shades.reshape(9, 21, 4):
        print("    " + "   ".join("".join(cells) for cells in row.T))
    print()


# ---------------------------------------------------------------- the picture


def draw(file):
    """What both make of the plane, and how the network got there."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 3.8), layout="constrained")
    *planes, curve = figure.subplots(1, 3)
    edge = [LEFT, RIGHT, BOTTOM, TOP]
    for ax, model, name, right in (
        (planes[0], line, "a neuron", by_line),
        (planes[1], network, "two hidden layers of 16", by_network),
    ):
        likely = model.predict(grid(210, 135).reshape(-1, 2)).reshape(135, 210)
        ax.imshow(likely, extent=edge, cmap="RdBu", vmin=-0.3, vmax=1.3, aspect="auto")
        ax.contour(likely, [0.5], colors="black", extent=edge, origin="upper")
        for kind, colour, mark in ((0, "#7f1d1d", "o"), (1, "#0b3d6e", "x")):
            ax.scatter(*x_test[y_test[:, 0] == kind].T, s=22, c=colour, marker=mark)
        ax.set(title=f"{name}: {right:.1%} right", xticks=[], yticks=[])
    history.plot(curve)
    figure.savefig(file, dpi=120)


if out:
    out.mkdir(parents=True, exist_ok=True)
    draw(out / "moons.png")
    print(f"moons.png is in {out}.")
