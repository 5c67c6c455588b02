"""micrograd's demo: two moons, a loss put together by hand, and no optimizer."""

import random

import numpy as np

from tinygrad_edu.data import moons
from tinygrad_edu.layers import MLP

np.random.seed(1337)
random.seed(1337)

X, y = moons(n=100, noise=0.1, rng=1337)
y = y * 2 - 1  # make y be -1 or 1

model = MLP(2, [16, 16, 1], rng=1337)  # 2-layer neural network
print(model)
print("number of parameters", sum(p.size for p in model.parameters()))


def loss(batch_size=None):
    if batch_size is None:
        Xb, yb = X, y
    else:
        ri = np.random.permutation(X.shape[0])[:batch_size]
        Xb, yb = X[ri], y[ri]

    scores = model(Xb)[:, 0]

    # svm "max-margin" loss
    losses = [(1 + -yi * scorei).relu() for yi, scorei in zip(yb, scores, strict=True)]
    data_loss = sum(losses) * (1.0 / len(losses))
    # L2 regularization
    alpha = 1e-4
    reg_loss = alpha * sum((p * p).sum() for p in model.parameters())
    total_loss = data_loss + reg_loss

    accuracy = [(yi > 0) == (scorei.data > 0) for yi, scorei in zip(yb, scores, strict=True)]
    return total_loss, sum(accuracy) / len(accuracy)


for k in range(100):
    total_loss, acc = loss()

    model.zero_grad()
    total_loss.backward()

    learning_rate = 1.0 - 0.9 * k / 100
    for p in model.parameters():
        p.data -= learning_rate * p.grad

    if k % 10 == 0:
        print(f"step {k} loss {total_loss.data}, accuracy {acc * 100}%")
