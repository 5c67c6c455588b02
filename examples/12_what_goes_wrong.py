"""What goes wrong: nine trainings that fail without an error, and what the watch says of each.

    python examples/12_what_goes_wrong.py

A program with a mistake in its mathematics runs as well as one without. The loss goes down a little
or not at all, and nobody says why. Here is a digit reader with one mistake at a time, each beside
the same reader without it, both trained inside `with tg.watch(model):`.
"""

import textwrap
import warnings

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import MLP, Layer, Linear, ReLU, Sequential, Sigmoid
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.optimizers import SGD, Adam
from tinygrad_edu.training import get_batches

(x_train, y_train), (x_test, y_test) = tg.data.digits()


# ---------------------------------------------------------------- one training, watched


def trained(model, optimizer, scale=1.0, in_eval=False, epochs=5):
    """The share of held-out digits read correctly in the end, and what was found on the way."""
    scale = np.float32(scale)
    model.train(not in_eval)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in a program of your own: read them. Here: the findings
        with tg.watch(model) as w:
            for _ in range(epochs):
                for x, y in get_batches((x_train, y_train), 32, shuffle=True, rng=0):
                    optimizer.minimize(lambda x=x, y=y: cross_entropy(model(x * scale), y))
    with tg.no_grad():
        guesses = model.eval()(x_test * scale).data.argmax(axis=1)
    return (guesses == y_test).mean(), w.findings


def compare(title, sick, well, expected):
    """Train both, and print what is said of the one; of the other nothing is to be said."""
    (wrong, findings), (right, none) = trained(*sick[:2], **sick[2]), trained(*well[:2], **well[2])
    print(f"\n{title}\n{wrong:.0%} read with the mistake, {right:.0%} without.")
    for finding in findings:
        text = f"{finding.name}: {finding.part}: {finding.reason} {finding.remedy}"
        print(textwrap.fill(text, 96, initial_indent="  - ", subsequent_indent="    "))
    assert expected in {finding.name for finding in findings}, findings
    assert not none, none
    return wrong, right


def reader(**settings):
    return MLP(64, 64, 32, 10, rng=np.random.default_rng(0), **settings)


def pair(make, optimizer, **settings):
    """A model, its optimizer, and how it is to be trained."""
    model = make()
    return model, optimizer(model), settings


good = pair(reader, Adam)
print("A reader of digits with one mistake at a time, and what the watch says of it.")


# ---------------------------------------------------------------- what does not learn at all


class Cut(Layer):
    """Two layers, with something between them."""

    def __init__(self, between):
        rng = np.random.default_rng(0)
        self.hidden, self.scores = Linear(64, 32, rng=rng), Linear(32, 10, rng=rng)
        self.between = between

    def forward(self, x):
        return self.scores(tg.relu(self.between(self.hidden(x))))


# .numpy() gives the same numbers, so the loss is the same. But the way back ends there.
compare(
    "1. z = hidden(x).numpy(), to look at it, and then on with that z",
    pair(lambda: Cut(lambda z: z.numpy()), Adam),
    pair(lambda: Cut(lambda z: z), Adam),
    "no gradient",
)

# The gradient is there and nobody uses it: the optimizer was made for the last layer alone.
compare(
    "2. Adam(model[-1]) in the place of Adam(model)",
    pair(reader, lambda model: Adam(model[-1])),
    pair(reader, Adam),
    "no optimizer",
)

# All units of a layer begin equal, get equal gradients, and stay equal: 64 times the same one.
wrong, right = compare(
    "3. weights that begin as 0",
    pair(
        lambda: Sequential(
            *(Linear(64, 64, weight_init="zeros"), ReLU(), Linear(64, 10, weight_init="zeros")),
        ),
        Adam,
    ),
    pair(lambda: MLP(64, 64, 10, rng=0), Adam),
    "equal weights",
)
assert wrong < 0.2 and right > 0.9


# ---------------------------------------------------------------- steps of the wrong size

# A large step makes large negative sums, relu makes 0 of them, and 0 has no gradient: for ever.
wrong, right = compare(
    "4. SGD(model, lr=3), ten times too fast",
    pair(reader, lambda model: SGD(model, lr=3.0)),
    pair(reader, lambda model: SGD(model, lr=0.3)),
    "dead ReLUs",
)
assert wrong < 0.2 and right > 0.9

# Far too slow is wrong, too, and easier to repair: the watch knows the rate and the ratio.
wrong, right = compare(
    "5. Adam(model, lr=1e-6), a thousand times too slow",
    pair(reader, lambda model: Adam(model, lr=1e-6)),
    pair(reader, lambda model: Adam(model, lr=1e-3)),
    "update sizes",
)
assert wrong < 0.3 and right > 0.9


# ---------------------------------------------------------------- gradients of the wrong size


def deep(activation):
    """Eight layers, one after the other."""
    rng = np.random.default_rng(0)
    hidden = [one for _ in range(8) for one in (Linear(64, 64, rng=rng), activation())]
    return Sequential(*hidden, Linear(64, 10, rng=rng))


# sigmoid'(x) is 1/4 at most: after eight layers, hardly anything is left for the first.
wrong, right = compare(
    "6. eight layers of sigmoids",
    pair(lambda: deep(Sigmoid), Adam),
    pair(lambda: deep(ReLU), Adam),
    "gradient sizes",
)
assert wrong < 0.3 and right > 0.9

# Data 255 times as large makes sums and gradients 255 times as large, and all rates too large.
compare(
    "7. pixels from 0 to 255 instead of from 0 to 1",
    pair(reader, lambda model: SGD(model, lr=0.1), scale=255.0),
    pair(reader, lambda model: SGD(model, lr=0.1), scale=1.0),
    "unscaled data",
)


# ---------------------------------------------------------------- the wrong mode


def dropping():
    return reader(dropout=0.3)


compare(
    "8. trained after model.eval(): the dropout drops nothing",
    pair(dropping, Adam, in_eval=True),
    pair(dropping, Adam, in_eval=False),
    "train() forgotten",
)

# The other way round, use in training mode: the same digits, read twice, read differently.
model = dropping()
trained(model, Adam(model))
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    with tg.watch(model) as w, tg.no_grad():
        first, second = (model.train()(x_test).data.argmax(axis=1) for _ in range(2))
(finding,) = w.findings
assert finding.name == "eval() forgotten"
print("\n9. used without model.eval()")
print(f"{(first != second).sum()} of {len(x_test)} digits were read differently the second time.")
text = f"{finding.name}: {finding.part}: {finding.reason} {finding.remedy}"
print(textwrap.fill(text, 96, initial_indent="  - ", subsequent_indent="    "))
assert (first != second).any()


# ---------------------------------------------------------------- and without a mistake

print("\nAnd the same reader without a mistake:\n")
model = reader()
optimizer = Adam(model)
with tg.watch(model) as w:
    for x, y in get_batches((x_train, y_train), 32, shuffle=True, rng=0):
        optimizer.minimize(lambda x=x, y=y: cross_entropy(model(x), y))
w.report()
assert not w.findings
