"""Handwritten digits: train a network, see what it reads rightly, and look at what it does not.

    python examples/04_digits.py
    python examples/04_digits.py weights.safetensors    also saves the weights

1,797 digits of 8 by 8 pixels come with the library. The network sees four fifths of them in
training and is judged by the rest.
"""

import sys

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import MLP
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.optimizers import Adam
from tinygrad_edu.training import get_batches

# ---------------------------------------------------------------- the data


def as_text(pixels):
    """A digit, drawn with letters: from . for white paper to # for ink."""
    return ["".join(".-+#"[int(3 * ink)] for ink in row) for row in pixels.reshape(8, 8)]


(x_train, y_train), (x_test, y_test) = tg.data.digits()
print(f"{len(x_train)} digits to learn from, {len(x_test)} held out. The first, and its label:\n")
print("\n".join("    " + row for row in [*as_text(x_train[0]), "", str(y_train[0])]))


# ---------------------------------------------------------------- the network

# 64 pixels go in, 10 scores come out, one for each digit; the highest score is the answer.
rng = np.random.default_rng(0)  # the same seed, the same network
model = MLP(64, 128, 64, 10, rng=rng)
optimizer = Adam(model)
print(f"\n{model}\n{sum(p.size for p in model.parameters())} parameters\n")


# ---------------------------------------------------------------- training

for epoch in range(1, 41):
    losses = []
    for x, y in get_batches((x_train, y_train), batch_size=32, shuffle=True, rng=rng):
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if epoch in (1, 2, 5, 10, 20, 40):
        print(f"epoch {epoch:2}    loss {np.mean(losses):.4f}")


# ---------------------------------------------------------------- judging

with tg.no_grad():  # nothing to learn here, so nothing to remember
    probabilities = tg.softmax(model(x_test)).data
guesses = probabilities.argmax(axis=1)
accuracy = (guesses == y_test).mean()
print(f"\n{accuracy:.1%} of the held-out digits are read correctly.")
assert accuracy >= 0.97

# A mistake teaches more than a success. Which digits were misread, and how sure was the network?
wrong = np.flatnonzero(guesses != y_test)[:4]
print(f"{(guesses != y_test).sum()} are not; {len(wrong)} of them:\n")
columns = []
for i in wrong:
    verdict = [f"{y_test[i]}, read as {guesses[i]}", f"({probabilities[i].max():.0%} sure)"]
    columns.append(verdict + as_text(x_test[i]))
for row in zip(*columns, strict=True):
    print("    " + "".join(text.ljust(16) for text in row).rstrip())

# Those it was unsure about, it misreads more often: its probabilities mean something.
right, sure = guesses == y_test, probabilities.max(axis=1) > 0.9
print(f"\nWhere it was more than 90 % sure it is right in {right[sure].mean():.1%} of the cases,")
print(f"elsewhere in {right[~sure].mean():.1%}.")
assert right[sure].mean() > right[~sure].mean()

if sys.argv[1:]:
    tg.save(sys.argv[1], model)
    print(f"\nThe weights are saved; tg.load({sys.argv[1]!r}, model) takes them up again.")
