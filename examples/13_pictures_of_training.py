"""Pictures of training: a network that does not learn, and where to look for the reason.

    python examples/13_pictures_of_training.py
    python examples/13_pictures_of_training.py --out why     also draws it, with matplotlib

Three arms of a spiral, and two networks of eleven layers that differ in one word: sigmoid or tanh.
One learns, the other does not. The loss only says that. The size of the gradients, layer by layer,
says why. Everything printed here as text is drawn by `tg.plotting` in one call.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import Linear, Sigmoid, Tanh
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.models import Sequential
from tinygrad_edu.optimizers import Adam

parser = argparse.ArgumentParser(description="Why does a deep network of sigmoids not learn?")
parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to draw the pictures")
out = parser.parse_args().out


# ---------------------------------------------------------------- one learns, one does not

DEEP, WIDE, EPOCHS = 10, 32, 60
x, y = tg.data.spirals(800, rng=0)
x_train, x_test, y_train, y_test = tg.data.train_test_split(x, y, stratify=y, rng=0)


def network(activation):
    """Ten hidden layers; the weights are the same for every activation."""
    rng = np.random.default_rng(0)
    sizes = [2] + [WIDE] * DEEP
    hidden = [
        layer
        for inputs, outputs in pairwise(sizes)
        for layer in (Linear(inputs, outputs, rng=rng), activation())
    ]
    return Sequential(*hidden, Linear(WIDE, 3, rng=rng))


def trained(model):
    """The History of its training."""
    model.compile("cross_entropy", Adam(lr=0.003), metrics=["accuracy"], rng=1)
    test = (x_test, y_test)
    return model.fit(x_train, y_train, epochs=EPOCHS, validation_data=test, verbose=0)


models = {"sigmoid": network(Sigmoid), "tanh": network(Tanh)}
before = {name: network(kind) for name, kind in (("sigmoid", Sigmoid), ("tanh", Tanh))}
histories = {name: trained(model) for name, model in models.items()}

print(f"{len(x_train)} points on three arms, {DEEP} hidden layers of {WIDE}, {EPOCHS} epochs.\n")
print("epoch         sigmoid               tanh           (held-out points)")
print("           loss     right      loss     right")
for epoch in (1, 5, 20, 40, 60):
    row = f"{epoch:5}   "
    for history in histories.values():
        noted = history.history
        row += f"{noted['val_loss'][epoch - 1]:7.3f}{noted['val_accuracy'][epoch - 1]:10.1%}   "
    print(row.rstrip())

right = {name: history.history["val_accuracy"][-1] for name, history in histories.items()}
assert right["sigmoid"] < 0.4  # no better than guessing
assert right["tanh"] > 0.9


# ---------------------------------------------------------------- what does it say of the points?

# The table of confusion: a row for each arm, a column for each guess. A network that guesses the
# same for all has found nothing to tell them apart by.

guesses = {name: model.predict(x_test) for name, model in models.items()}
tables = {name: tg.metrics.confusion_matrix(said, y_test) for name, said in guesses.items()}
print("\nEach arm (a row) is taken for (a column):\n")
print("             sigmoid               tanh")
for arm in range(3):
    row = "".join(" ".join(f"{n:5}" for n in table[arm]) + "     " for table in tables.values())
    print(f"    arm {arm}{row.rstrip()}")
assert np.count_nonzero(tables["sigmoid"].sum(axis=0)) == 1  # one guess for everything


# ---------------------------------------------------------------- where is the gradient lost?

# On its way back the gradient passes the activations, one after another, and each multiplies it by
# its slope. That of the sigmoid is 1/4 at the most, that of tanh is 1 where it is steepest. So the
# same network, before its first step, already shows what will become of it.


def sizes(model):
    """The median of |gradient| for the weights of each layer, first to last."""
    model.zero_grad()
    cross_entropy(model(x_train), y_train).backward()
    named = model.named_parameters()
    return [float(np.median(np.abs(p.grad))) for name, p in named if name.endswith("weight")]


medians = {name: sizes(model) for name, model in before.items()}
print("\nThe median size of the gradients, before the first step (o sigmoid, x tanh):\n")
for i, (by_sigmoid, by_tanh) in enumerate(zip(*medians.values(), strict=True), start=1):
    line = [" "] * 54
    for median, mark in ((by_sigmoid, "o"), (by_tanh, "x")):
        line[int(6 * (np.log10(median) + 10))] = mark
    print(f"    layer {i:2}  |{''.join(line)}|")
print(f"{'10^-10':>18}" + "".join(f"{f'10^-{power}':>12}" for power in (8, 6, 4, 2)))

lost = {name: first / last for name, (first, *_, last) in medians.items()}
print(f"\nFrom the last layer to the first {1 / lost['sigmoid']:,.0f} times smaller by sigmoids,")
print(f"{max(lost['tanh'], 1 / lost['tanh']):.1f} times by tanh.")
assert lost["sigmoid"] < 0.25**DEEP  # a factor of 4 in each layer, and a little more
assert 0.1 < lost["tanh"] < 10
assert all(first < last for first, last in pairwise(medians["sigmoid"]))


# ---------------------------------------------------------------- the pictures


def draw(folder):
    """One call for each of the above."""
    for name, model in models.items():
        arms = [f"arm {k}" for k in range(3)]
        pictures = {
            "history": histories[name].plot(),
            "boundary": tg.plotting.decision_boundary(model, x_test, y_test, names=arms),
            "confusion": tg.plotting.confusion_matrix(guesses[name], y_test, names=arms),
            "gradients": tg.plotting.gradient_histograms(before[name]),
            "weights": tg.plotting.weight_histograms(model),
        }
        for what, figure in pictures.items():
            figure.savefig(folder / f"{name}_{what}.png", dpi=110)


if out:
    out.mkdir(parents=True, exist_ok=True)
    draw(out)
    print(f"\nTen pictures are in {out}: sigmoid_gradients.png beside tanh_gradients.png first.")
