"""An autoencoder: a digit of 64 pixels through an eye of a needle of 8 numbers, and back.

    python examples/10_autoencoder.py
    python examples/10_autoencoder.py --out eye     also draws it, into that folder (matplotlib)

The network is asked for nothing but what it was given. In between is a layer of 8 numbers, the
code, so it has to find out what digits have in common. The best that straight lines can do with 8
numbers is known, principal components (PCA): that is what the network has to beat.
"""

import argparse
from pathlib import Path

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import GELU, Linear, Sequential, Sigmoid
from tinygrad_edu.losses import mean_squared_error
from tinygrad_edu.optimizers import Adam
from tinygrad_edu.schedules import CosineDecay
from tinygrad_edu.training import get_batches

parser = argparse.ArgumentParser(description="Digits through an eye of a needle of 8 numbers.")
parser.add_argument("--out", type=Path, metavar="FOLDER", help="where to draw the picture")
out = parser.parse_args().out

CODE, HIDDEN, EPOCHS, NOISE = 8, 128, 100, 0.2
rng = np.random.default_rng(0)
(x_train, _), (x_test, y_test) = tg.data.digits()


def noisy(x):
    return x + NOISE * rng.standard_normal(x.shape, dtype="float32")


# ---------------------------------------------------------------- the network

encoder = Sequential(Linear(64, HIDDEN, rng=rng), GELU(), Linear(HIDDEN, CODE, rng=rng))
decoder = Sequential(Linear(CODE, HIDDEN, rng=rng), GELU(), Linear(HIDDEN, 64, rng=rng), Sigmoid())
model = Sequential(encoder, decoder)

# It sees every digit through noise that is different each time, and is asked for it without. So it
# cannot learn pixels by heart.
batches = -(-len(x_train) // 32)
optimizer = Adam(model, lr=CosineDecay(0.003, EPOCHS * batches))
print(f"A code of {CODE} numbers; the mean squared error of a pixel:\n")
for epoch in range(1, EPOCHS + 1):
    losses = []
    for x in get_batches(x_train, batch_size=32, shuffle=True, rng=rng):
        loss = mean_squared_error(model(noisy(x)), x)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if epoch in (1, 2, 5, 20, 50, 100):
        print(f"    epoch {epoch:3}    {np.mean(losses):.4f}")


def by_network(x):
    with tg.no_grad():
        return model(x).data


# ---------------------------------------------------------------- against the best straight lines

# The principal components are the directions in which the digits differ most. What is left of a
# digit in the first 8 of them is the best that any linear encoder and decoder can give back.
mean = x_train.mean(axis=0)
_, _, directions = np.linalg.svd(x_train - mean, full_matrices=False)


def by_pca(x, components=CODE):
    kept = directions[:components]
    return mean + (x - mean) @ kept.T @ kept


def error(x, wish):
    return float(np.square(x - wish).mean())


through_noise = noisy(x_test)
print("\nThe same of held-out digits:            clean     through noise\n")
rows = {"network": by_network, "PCA": by_pca}
errors = {}
for name, through in rows.items():
    errors[name] = [error(through(x), x_test) for x in (x_test, through_noise)]
    print(f"    {name + f', {CODE} numbers':<28}{errors[name][0]:14.4f}{errors[name][1]:14.4f}")
print(f"    {'as it came':<28}{0:14.4f}{error(through_noise, x_test):14.4f}")
print(f"    {'always the mean digit':<28}{error(mean, x_test):14.4f}")
equal = next(n for n in range(1, 65) if error(by_pca(x_test, n), x_test) < errors["network"][0])
print(f"\nPCA needs {equal} numbers to give back as much as the network does with {CODE}.")
assert errors["network"][0] < 0.6 * errors["PCA"][0]
assert errors["network"][1] < 0.7 * errors["PCA"][1]
assert equal >= 14


def as_text(digits):
    """Digits side by side, drawn with letters: from . for white paper to # for ink."""
    shades = np.array(list(".-+#"))[np.clip(4 * digits, 0, 3).astype(int)]
    return "\n".join(
        "    " + "   ".join("".join(line) for line in row)
        for row in shades.reshape(-1, 8, 8).transpose(1, 0, 2)
    )


chosen = [int(np.flatnonzero(y_test == digit)[0]) for digit in (2, 3, 5, 6, 8, 9)]
some = x_test[chosen]
print(f"\nHeld-out digits:\n\n{as_text(some)}\n\nThe same from {CODE} numbers, by the network:\n")
print(f"{as_text(by_network(some))}\n\nand by PCA:\n\n{as_text(by_pca(some))}")


# ---------------------------------------------------------------- a walk from one digit to another

# Between the codes of two digits lie other codes. Does the decoder make digits of them? Mixing the
# pixels instead gives two digits on top of each other. As a measure: how far is the middle of the
# walk from the closest real digit (the root of the mean squared difference)?


def walk(start, end, steps):
    with tg.no_grad():
        a, b = encoder(np.stack([start, end])).data
        shares = np.linspace(0, 1, steps, dtype="float32")[:, None]
        return decoder((1 - shares) * a + shares * b).data


def from_closest(x):
    return np.sqrt(np.square(x_train - x).mean(axis=1).min())


start, end = (x_test[np.flatnonzero(y_test == digit)[1]] for digit in (3, 6))
print(f"\nA walk from a 3 to a 6, in the code:\n\n{as_text(walk(start, end, 6))}")
print("\nand in the pixels:\n")
mix = np.linspace(0, 1, 6)[:, None]
print(as_text((1 - mix) * start + mix * end))

pairs = rng.choice(len(x_test), (200, 2))
strange = {
    "of the code": [from_closest(walk(x_test[a], x_test[b], 3)[1]) for a, b in pairs],
    "of the pixels": [from_closest((x_test[a] + x_test[b]) / 2) for a, b in pairs],
}
print(f"\nFrom the closest real digit, for {len(pairs)} pairs: the middle")
for name, distances in strange.items():
    print(f"    {name:<16}{np.mean(distances):.3f}")
ends = np.mean([from_closest(x) for x in by_network(x_test)])
print(f"    {'(of the ends':<16}{ends:.3f})")
assert np.mean(strange["of the code"]) < np.mean(strange["of the pixels"])


# ---------------------------------------------------------------- the picture


def draw(file):
    from matplotlib.figure import Figure

    ten = [int(np.flatnonzero(y_test == digit)[0]) for digit in range(10)]
    clean, disturbed = x_test[ten], through_noise[ten]
    lines = {
        "held out": clean,
        f"network, {CODE} numbers": by_network(clean),
        f"PCA, {CODE} numbers": by_pca(clean),
        "with noise": disturbed,
        "network": by_network(disturbed),
        "PCA": by_pca(disturbed),
        "a walk in the code": walk(start, end, 10),
        "and in the pixels": np.linspace(start, end, 10),
    }
    figure = Figure(figsize=(10, 8.2), layout="constrained")
    for axes, (name, digits) in zip(figure.subplots(8, 10), lines.items(), strict=True):
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, digit in zip(axes, digits, strict=True):
            ax.imshow(digit.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
    figure.savefig(file, dpi=110)


if out:
    out.mkdir(parents=True, exist_ok=True)
    draw(out / "autoencoder.png")
    print(f"\nautoencoder.png is in {out}.")
