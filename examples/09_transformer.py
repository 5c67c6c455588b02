"""Attention: a small transformer learns to write like "Alice in Wonderland".

    python examples/09_transformer.py

A recurrent network (the lesson before) keeps what it knows of a text in one state. A transformer
keeps all characters, and at each place looks back at those that matter: every place asks a question
(query), every place before it has a heading (key) and something to say (value). What is told is
added to what the place knows already, and a little network thinks about it. That is a block, and
there are two.
"""

from textwrap import fill

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu.layers import GELU, MLP, Embedding, Layer, LayerNorm, Linear, MultiHeadAttention
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.optimizers import AdamW
from tinygrad_edu.schedules import CosineDecay
from tinygrad_edu.training import clip_grad_norm, get_batches

rng = np.random.default_rng(0)


# ---------------------------------------------------------------- the book, and what counts tell

LENGTH = 32  # as far as it can see

book = tg.data.text()
characters = tg.data.Characters(book)
codes = characters.encode(book)
cut = len(codes) * 9 // 10
train, test = codes[:cut], codes[cut:]
print(f"{len(train)} characters of {len(characters)} kinds to learn from, {len(test)} held out.")

size = len(characters)
alone = np.bincount(train, minlength=size) + 1
pairs = np.bincount(train[:-1] * size + train[1:], minlength=size * size).reshape(size, size)
pairs = pairs + alone / alone.sum()  # what was never seen is as likely as it is common
unigram = -np.log2(alone / alone.sum())[test].mean()
bigram = -np.log2(pairs / pairs.sum(axis=1, keepdims=True))[test[:-1], test[1:]].mean()


# ---------------------------------------------------------------- the network


class Block(Layer):
    """Look back, then think; each is added to what was known."""

    def __init__(self, width, heads, rng):
        self.norm_1 = LayerNorm(width)
        self.look_back = MultiHeadAttention(width, heads, causal=True, rng=rng)
        self.norm_2 = LayerNorm(width)
        self.think = MLP(width, 4 * width, width, activation=GELU, rng=rng)

    def forward(self, x):
        x = x + self.look_back(self.norm_1(x))
        return x + self.think(self.norm_2(x))


class Transformer(Layer):
    """Scores of the next character at every place: x (n, time) gives (n, time, alphabet)."""

    def __init__(self, alphabet, length, width, heads, blocks, rng):
        self.characters = Embedding(alphabet, width, rng=rng)
        self.places = Embedding(length, width, rng=rng)  # attention knows no order: tell it
        self.blocks = [Block(width, heads, rng) for _ in range(blocks)]
        self.norm = LayerNorm(width)
        self.scores = Linear(width, alphabet, rng=rng)

    def forward(self, x):
        z = self.characters(x) + self.places(np.arange(x.shape[1]))
        for block in self.blocks:
            z = block(z)
        return self.scores(self.norm(z))


def bits(model, codes):
    """Bits per character, and the same for each place of a window."""
    x, y = tg.data.windows(codes, LENGTH)
    with tg.no_grad():
        of_each = cross_entropy(model(x), y, reduction="none").data / np.log(2)
    return of_each.mean(), of_each.mean(axis=0)


# ---------------------------------------------------------------- training

EPOCHS, BATCH = 8, 16
model = Transformer(size, LENGTH, width=64, heads=4, blocks=2, rng=rng)
optimizer = AdamW(model, lr=CosineDecay(0.003, EPOCHS * (len(train) // LENGTH // BATCH + 1)))
print(f"{sum(p.size for p in model.parameters())} parameters. Bits per held-out character:\n")
print(f"    counting each           {unigram:.2f}")
print(f"    counting what follows   {bigram:.2f}")
for epoch in range(1, EPOCHS + 1):
    start = rng.integers(LENGTH)  # cut the windows differently each time
    for x, y in get_batches(tg.data.windows(train[start:], LENGTH), BATCH, shuffle=True, rng=rng):
        loss = cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm(model, 1.0)
        optimizer.step()
    if epoch in (1, 2, 4, 6, 8):
        print(f"    epoch {epoch}                 {bits(model, test)[0]:.2f}")

all_places, by_place = bits(model, test)
print("\nThe more it can look back at, the better it knows, up to some ten characters:\n")
for first, last in ((0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, 31)):
    seen = f"{first + 1} to {last + 1}" if first < last else f"{first + 1}"
    print(f"    after {seen:<9} {by_place[first : last + 1].mean():.2f}")
assert all_places < bigram - 0.7
assert by_place[16:].mean() < by_place[1] - 0.5


# ---------------------------------------------------------------- where it looks


def attention(block, x):
    """How much each place looks at each place before: (heads, time, time)."""
    layer = block.look_back
    q, k = (part(x).data.reshape(len(x[0]), layer.heads, -1) for part in (layer.query, layer.key))
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(q.shape[-1])
    seen = np.tril(np.ones(scores.shape[-2:], dtype=bool))
    return tg.softmax(np.where(seen, scores, -np.inf)).data


phrase = "`Off with her head!' said the Qu"
x = characters.encode(phrase)[None]
with tg.no_grad():
    z = model.characters(x) + model.places(np.arange(LENGTH))
    looks = []
    for block in model.blocks:
        looks.append(attention(block, block.norm_1(z)))
        z = block(z)
print("\nWhat comes next here, and where do the heads of both blocks look to find out?")
print("(. a fiftieth of it goes there, - a tenth, # a third):\n")
print(f"    {phrase}")
for number, heads in enumerate(looks, start=1):
    for head in heads[:, -1]:
        shades = np.array(list(" .-#"))[np.digitize(head, [0.02, 0.1, 1 / 3])]
        print(f"    {''.join(shades)}   block {number}")


# ---------------------------------------------------------------- writing


def write(start, length, temperature):
    """Draw the next character by its probability, read it, and so on."""
    text = start
    for _ in range(length):
        with tg.no_grad():
            scores = model(characters.encode(text[-LENGTH:])[None])
        chances = tg.softmax(scores[0, -1] / temperature).data.astype(float)
        text += characters.decode(rng.choice(size, p=chances / chances.sum()))
    return text


for temperature in (0.3, 0.7, 1.0):
    print(f"\nIt writes, temperature {temperature}:\n")
    for line in write("Alice ", 300, temperature).split("\n"):
        print(fill(line, 90, initial_indent="    ", subsequent_indent="    "))
