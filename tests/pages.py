"""Programs to look at, for the tests of the page that replays backward."""

import numpy as np

import tinygrad_edu as tg
from tests import drawn
from tinygrad_edu import Tensor, layers, losses

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"'><img src=x onerror=alert(3)>",
    "]]><!-- {{data}} -->",
    "\u202egnp.exe\u200f",
    "x" * 10_000,
    "\ud800half\x00\x07",
    "שלום",
    "<!--<script>",
]


class Net(layers.Layer):
    """Two layers and a tanh."""

    def __init__(self, *widths):
        self.fc1 = layers.Linear(*widths[:2], rng=0)
        self.fc2 = layers.Linear(*widths[1:], rng=1)

    def forward(self, x):
        return self.fc2(tg.tanh(self.fc1(x)))


class Residual(layers.Layer):
    """Many small blocks, each added to what went into it."""

    def __init__(self, blocks, width=8):
        self.blocks = [Net(width, width, width) for _ in range(blocks)]

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x


def small(net=None):
    """A loss of 16 tensors, in which one weight is used three times."""
    net = net or Net(2, 6, 3)
    logits = net(Tensor(drawn(5, 2), name="x"))
    weight = net.fc1.weight
    penalty = 0.05 * (weight * weight).sum()
    return losses.cross_entropy(logits, np.array([0, 1, 2, 1, 0])) + penalty


def deep(blocks=24):
    """A loss of about 200 tensors."""
    net = Residual(blocks)
    return losses.mean_squared_error(net(Tensor(drawn(5, 8), name="x")), np.zeros((5, 8), "f4"))


def hostile():
    """A loss in which every name is a trap."""
    tensors = [
        Tensor(drawn(3, 3, seed=i), requires_grad=True, name=name) for i, name in enumerate(HOSTILE)
    ]
    total = tensors[0]
    for t in tensors[1:]:
        total = total @ t
        total.name = t.name + "*"
    loss = total.sum()
    loss.name = HOSTILE[1]
    return loss
