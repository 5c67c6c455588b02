"""A book, letter by letter: recurrent networks learn to write like "Alice in Wonderland".

    python examples/08_characters.py

The network reads one character after the other and says, before each, how likely it finds every
character of the alphabet. What it knows of the text so far it has to keep in its state. How good it
is is counted in bits per character: on average, how many yes-or-no questions the next character
still leaves open. With the whole alphabet equally likely it would be log2(69) = 6.1.
"""

from collections import Counter
from textwrap import fill

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import LSTM, RNN, Embedding, Layer, Linear
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.optimizers import Adam
from tinygrad_edu.schedules import CosineDecay
from tinygrad_edu.training import clip_grad_norm

SEED = 0


# ---------------------------------------------------------------- the book

book = tg.data.text()
characters = tg.data.Characters(book)
codes = characters.encode(book)  # every character is a whole number now
cut = len(codes) * 9 // 10
train, test = codes[:cut], codes[cut:]
print(f"{len(train)} characters of {len(characters)} kinds to learn from, {len(test)} held out.\n")


# ---------------------------------------------------------------- by counting

# How often did each character follow the few before it? All strings of up to 6 characters:
text, held_out = book[:cut], book[cut:]
counts = Counter(text[i : i + n] for n in range(1, 7) for i in range(len(text) - n + 1))
times, kinds = Counter(), Counter()  # what stood before the last: how often, and before how many?
for string, count in counts.items():
    times[string[:-1]] += count
    kinds[string[:-1]] += 1


def likely(character, before):
    """How likely is it there? Mixed with what shorter strings say, the rarer the more (Witten and
    Bell 1991)."""
    shorter = likely(character, before[1:]) if before else 1 / len(characters)
    if times[before] == 0:
        return shorter
    mixed = counts[before + character] + kinds[before] * shorter
    return mixed / (times[before] + kinds[before])


def bits_by_counting(n):
    """Bits per held-out character, by what followed the last n."""
    places = range(n, len(held_out))
    return np.mean([-np.log2(likely(held_out[i], held_out[i - n : i])) for i in places])


print("Bits per held-out character, by counting what follows\n")
counted = [bits_by_counting(n) for n in range(6)]
print(f"    nothing, only how common each is {counted[0]:5.2f}")
for n in range(1, 6):
    print(f"    the last {n:<24}{counted[n]:5.2f}")


# ---------------------------------------------------------------- the network


class Writer(Layer):
    """Scores of the next character at every place, and the state that the reading ended in."""

    def __init__(self, recurrent, rng):
        self.embedding = Embedding(len(characters), 32, rng=rng)
        self.recurrent = recurrent
        self.scores = Linear(recurrent.recurrent_weight.shape[0], len(characters), rng=rng)

    def forward(self, x, state=None):
        sequence, state = self.recurrent(self.embedding(x), state)
        return self.scores(sequence), state


def streams(codes, number):
    """The text in so many pieces, each a row, to be read side by side."""
    return codes[: len(codes) // number * number].reshape(number, -1)


def let_go(state):
    """The numbers of a state without their history: gradients do not go farther back."""
    return tuple(map(let_go, state)) if isinstance(state, tuple) else state.detach()


def bits(model, codes):
    """Bits per character."""
    rows = streams(codes, 8)
    with tg.no_grad():
        scores, _ = model(rows[:, :-1])
        return cross_entropy(scores, rows[:, 1:]).item() / np.log(2)


LENGTH, EPOCHS, STREAMS = 50, 6, 16


def trained(model, rate):
    """Read the text again and again; after 50 characters see what was wrong, and learn from it."""
    rows = streams(train, STREAMS)
    starts = range(0, rows.shape[1] - LENGTH, LENGTH)
    optimizer = Adam(model, lr=CosineDecay(rate, EPOCHS * len(starts)))
    for epoch in range(1, EPOCHS + 1):
        state = None
        for start in starts:
            x, y = (rows[:, start + i : start + i + LENGTH] for i in (0, 1))
            scores, state = model(x, state)
            state = let_go(state)  # the reading goes on, the gradients end here
            loss = cross_entropy(scores, y)
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm(model, 1.0)  # now and then one is huge
            optimizer.step()
        if epoch in (1, 2, 4, 6):
            print(f"    epoch {epoch}    {bits(model, test):5.2f}")
    return model


# Of about the same size, each at the rate that did best on a part of the training text set aside.
models, after = {}, {}
for name, layer, hidden, rate in (("RNN", RNN, 256, 0.005), ("LSTM", LSTM, 128, 0.02)):
    rng = np.random.default_rng(SEED)
    model = models[name] = Writer(layer(32, hidden, rng=rng), rng)
    size = sum(p.size for p in model.parameters())
    print(f"\nBits by an {name} with a state of {hidden} numbers, {size} parameters:\n")
    after[name] = bits(trained(model, rate), test)

strings = sum(len(string) <= 5 for string in counts)
print(f"""
An LSTM has gates: it chooses what to keep in its state and what to forget. With half as large a
state it beats the RNN, and it has caught up with the best table of counts, which knows {strings}
strings by heart.""")
assert after["LSTM"] < after["RNN"] - 0.1
assert after["RNN"] < counted[1] - 0.7
assert after["LSTM"] < min(counted) + 0.1


# ---------------------------------------------------------------- writing

# To write, draw the next character by its probability, and read it as if it had been there. The
# temperature divides the scores: a low one takes what is most likely, a high one is adventurous.


def write(model, start, length, temperature, rng):
    codes, state = characters.encode(start), None
    text = start
    for _ in range(length):
        with tg.no_grad():
            scores, state = model(codes[None], state)
        chances = tg.softmax(scores[0, -1] / temperature).data.astype(float)
        codes = rng.choice(len(chances), size=1, p=chances / chances.sum())
        text += characters.decode(codes)
    return text


rng = np.random.default_rng(SEED)
for temperature in (0.3, 0.7, 1.0):
    print(f"\nThe LSTM writes, temperature {temperature}:\n")
    for line in write(models["LSTM"], "Alice ", 300, temperature, rng).split("\n"):
        print(fill(line, 90, initial_indent="    ", subsequent_indent="    "))
