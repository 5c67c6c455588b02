"""Looking through small windows: a convolutional network reads digits better than a plain one.

    python examples/07_convolution.py

A plain network (MLP) takes the 64 pixels as 64 numbers; that two of them are neighbours it has to
find out. A convolutional one (CNN) looks for the same small patterns everywhere, and is told by
that what a picture is. Both learn from digits that are pushed around by a pixel, and at the end
both look at every digit nine times, once for each push.
"""

from time import perf_counter

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import MLP, Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.optimizers import Adam
from tinygrad_edu.schedules import CosineDecay
from tinygrad_edu.training import get_batches

(x_train, y_train), (x_test, y_test) = tg.data.digits()
x_train, x_test = (x.reshape(-1, 1, 8, 8) for x in (x_train, x_test))  # one channel: grey


# ---------------------------------------------------------------- the networks


def plain(rng):
    return Sequential(Flatten(), MLP(64, 128, 64, 10, rng=rng))


def convolutional(rng):
    """Windows of 3 by 3 pixels, three times; between them only the strongest of every 2 by 2."""
    return Sequential(
        Conv2d(1, 16, 3, padding=1, rng=rng), ReLU(),
        Conv2d(16, 32, 3, padding=1, rng=rng), ReLU(), MaxPool2d(2),
        Conv2d(32, 32, 3, padding=1, rng=rng), ReLU(), Flatten(),
        Linear(32 * 4 * 4, 64, rng=rng), ReLU(), Linear(64, 10, rng=rng),
    )  # fmt: skip


# ---------------------------------------------------------------- training

# How many epochs, what rate, how wide: all of that was chosen by digits set aside from the training
# part. The test part was looked at once, at the end; else it would be part of the training.

SEEDS, EPOCHS, BATCH, RATE = (0, 1), 20, 64, 0.005
PUSHES = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def pushed(x, pushes):
    """Every picture pushed down and right by its own number of pixels; what leaves it is lost."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    down, right = 1 - np.asarray(pushes).T[..., None]
    rows, columns = down + np.arange(8), right + np.arange(8)
    return padded[np.arange(len(x))[:, None, None], 0, rows[:, :, None], columns[:, None]][:, None]


def trained(make, seed):
    rng = np.random.default_rng(seed)
    model = make(rng)
    batches = -(-len(x_train) // BATCH)
    optimizer = Adam(model, lr=CosineDecay(RATE, EPOCHS * batches))
    for _ in range(EPOCHS):
        for x, y in get_batches((x_train, y_train), BATCH, shuffle=True, rng=rng):
            loss = cross_entropy(model(pushed(x, rng.choice(PUSHES, len(x)))), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def probabilities(model, x):
    with tg.no_grad():
        return tg.softmax(model(x)).data


def looked_nine_times(model, x):
    """The mean of nine answers."""
    return np.mean([probabilities(model, pushed(x, [push] * len(x))) for push in PUSHES], axis=0)


# ---------------------------------------------------------------- compared


def share(answers):
    return (answers.argmax(axis=1) == y_test).mean()


print(f"{len(x_train)} digits to learn from; read rightly of the {len(x_test)} held out:\n")
print("         seed   numbers   at one look   at nine   seconds")
right, models = {}, {}
for name, make in (("MLP", plain), ("CNN", convolutional)):
    right[name] = []
    for seed in SEEDS:
        start = perf_counter()
        model = models[name] = trained(make, seed)
        once = share(probabilities(model, x_test))
        right[name].append(share(looked_nine_times(model, x_test)))
        print(
            f"    {name}{seed:6}{sum(p.size for p in model.parameters()):10}{once:14.1%}"
            f"{right[name][-1]:10.1%}{perf_counter() - start:10.1f}"
        )
assert min(right["CNN"]) >= 0.985
assert np.mean(right["CNN"]) > np.mean(right["MLP"])


# ---------------------------------------------------------------- what it looks for, what it misses

SHADES = np.array(list(".-+#"))


def side_by_side(pictures):
    """Small pictures in letters, one beside the other; each from its lowest to its highest."""
    low = pictures.min(axis=(1, 2), keepdims=True)
    span = np.ptp(pictures, axis=(1, 2), keepdims=True)
    shades = SHADES[np.minimum(4 * (pictures - low) / np.maximum(span, 1e-9), 3).astype(int)]
    return ["   ".join("".join(row) for row in rows) for rows in shades.transpose(1, 0, 2)]


cnn = models["CNN"]
print("\nA digit, and what five patterns of the first layer find in it:\n")
with tg.no_grad():
    found = cnn[1](cnn[0](x_test[:1])).data[0]
lively = found.std(axis=(1, 2)).argsort()[::-1][:5]
print("\n".join("    " + line for line in side_by_side(np.concatenate([x_test[0], found[lively]]))))

answers = looked_nine_times(cnn, x_test)
wrong = np.flatnonzero(answers.argmax(axis=1) != y_test)
print(f"\nIt misreads {len(wrong)} of {len(y_test)} digits" + (":\n" if len(wrong) else "."))
if len(wrong):
    print("\n".join("    " + line for line in side_by_side(x_test[wrong, 0])))
    print("    " + "   ".join(f"{y_test[i]} as {answers[i].argmax()}  " for i in wrong).rstrip())
