"""Rare words: which chapter of a book is a passage from? And who learns from what is rare?

    python examples/11_rare_words.py

A passage becomes a bag of words: their order is forgotten. A linear model has one weight for every
word and chapter. But a passage has only some 30 of the 2,614 words, so nearly all gradients are 0
nearly always. It is for such sparse data that rates of one's own for every weight were invented.
"""

import re
from collections import Counter

import numpy as np

import tinygrad_edu as tg
from tinygrad_edu import optimizers
from tinygrad_edu.layers import Embedding, Layer
from tinygrad_edu.losses import cross_entropy
from tinygrad_edu.training import get_batches

# ---------------------------------------------------------------- passages, and their chapters

LENGTH = 40  # words in a passage

chapters = re.split(r"CHAPTER [IVX]+\n\n", tg.data.text())[1:]
titles = [chapter.split("\n")[0] for chapter in chapters]
passages, labels = [], []
for number, chapter in enumerate(chapters):
    words = re.findall(r"[a-z]+(?:'[a-z]+)*", chapter.lower())
    for start in range(0, len(words) - LENGTH + 1, LENGTH):
        passages.append(words[start : start + LENGTH])
        labels.append(number)
vocabulary, x = np.unique(passages, return_inverse=True)  # a word is its place in the vocabulary
x, y = x.reshape(-1, LENGTH), np.array(labels)

times = np.bincount(x.ravel())
print(f"{len(x)} passages of {LENGTH} words. Of the {len(vocabulary)} different words")
for most, often in ((1, "once"), (2, "at most twice"), (10, "at most ten times")):
    print(f"    {(times <= most).mean():.0%} occur {often},")
common = ", ".join(f"{word} {n}" for word, n in Counter(np.ravel(passages)).most_common(4))
print(f"and a few all the time: {common}.\n")


def deal(seed):
    """All passages in three parts: to learn from, to choose a rate by, to be judged by."""
    order = np.random.default_rng(seed).permutation(len(x))
    return [(x[rows], y[rows]) for rows in np.split(order, [400, 530])]


# ---------------------------------------------------------------- by counting

# What one can do without training (naive Bayes): how often was each word seen in each chapter?
# A passage belongs where its words are most likely, if all were seen once more than they were.


def share_by_counting(learn, judge):
    seen = np.ones((len(vocabulary), len(chapters)))
    for words, chapter in zip(*learn, strict=True):
        np.add.at(seen, (words, chapter), 1)
    scores = np.log(seen / seen.sum(axis=0))[judge[0]].sum(axis=1)
    return (scores.argmax(axis=1) == judge[1]).mean()


# ---------------------------------------------------------------- by training


class BagOfWords(Layer):
    """The scores of the chapters: the sum of the weights of all words, and a bias."""

    def __init__(self):
        self.words = Embedding(len(vocabulary), len(chapters), weight_init="zeros")
        self.bias = tg.zeros(len(chapters), requires_grad=True)

    def forward(self, x):
        return self.words(x).sum(axis=1) + self.bias


def judged(model, part):
    """The loss of the model on a part, and the share that it gets right."""
    x, y = part
    with tg.no_grad():
        scores = model(x)
        return cross_entropy(scores, y).item(), (scores.data.argmax(axis=1) == y).mean()


def epochs(model, optimizer, learn, seed, number=15):
    """Train, and hand over after every epoch."""
    rng = np.random.default_rng(seed)
    for epoch in range(1, number + 1):
        for words, chapter in get_batches(learn, batch_size=16, shuffle=True, rng=rng):
            loss = cross_entropy(model(words), chapter)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield epoch


RATES = {
    "SGD": (0.1, 0.3, 1.0, 3.0),
    "Adagrad": (0.01, 0.03, 0.1, 0.3),
    "Adadelta": (1.0, 3.0, 10.0, 30.0),
    "RMSprop": (0.001, 0.003, 0.01, 0.03),
    "Adam": (0.003, 0.01, 0.03, 0.1),
    "Adamax": (0.01, 0.03, 0.1, 0.3),
    "Nadam": (0.003, 0.01, 0.03, 0.1),
}


def race(name, seed):
    """Loss, share and rate, for the rate and the epoch that the second part speaks for."""
    learn, choose, judge = deal(seed)
    tries = []
    for rate in RATES[name]:
        model = BagOfWords()
        for _ in epochs(model, getattr(optimizers, name)(model, lr=rate), learn, seed):
            tries.append((judged(model, choose)[0], *judged(model, judge), rate))
    return min(tries)[1:]  # the third part has no say in it


print("The passages are dealt out five times: 400 to learn from, 130 to choose the rate and the")
print("number of epochs by, 131 to be judged by. There:\n")
print("              loss            range   right   rates chosen")
results, mean, rate_of = {}, {}, {}
for name in RATES:
    rows = np.array([race(name, seed) for seed in range(5)])
    results[name], right, rates = rows.T
    mean[name], rate_of[name] = results[name].mean(), rates.min()
    span = f"{results[name].min():.3f} to {results[name].max():.3f}"
    chosen = ", ".join(f"{rate:g}" for rate in np.unique(rates))
    print(f"{name:<12}{mean[name]:6.3f}   {span}   {right.mean():5.1%}   {chosen}")
counting = [share_by_counting(deal(seed)[0], deal(seed)[2]) for seed in range(5)]
guessing = [np.bincount(deal(seed)[2][1]).max() / 131 for seed in range(5)]
print(f"{'counting':<36}{np.mean(counting):5.1%}\n{'the same for all':<36}{np.mean(guessing):5.1%}")

adaptive = np.array([results[name] for name in RATES if name != "SGD"])
worse = (results["SGD"] > adaptive).sum()
print(f"""
SGD, with one rate for all weights, loses {worse} of its {adaptive.size} comparisons with
the others. Adam, Nadam, RMSprop and Adagrad are ahead, their means closer together than two deals
of one of them; then comes Adamax. And Adadelta, known for needing no rate, wants one that is
many times its default of 1.""")
assert worse >= 24
assert max(mean[name] for name in ("Adagrad", "RMSprop", "Adam", "Nadam")) < mean["SGD"] - 0.08
assert max(mean["Adamax"], mean["Adadelta"]) < mean["SGD"] - 0.02
assert rate_of["Adadelta"] > 1


# ---------------------------------------------------------------- why

# How far did the weights of a word get, by how often it was seen?
learn, _, judge = deal(0)
seen = np.bincount(learn[0].ravel(), minlength=len(vocabulary))
groups = {"1 or 2": (1, 2), "3 to 10": (3, 10), "11 to 100": (11, 100), "more": (101, 9999)}
print("\nMean size of the weights, by how often the word was seen in training:\n")
print(f"{'':12}" + "".join(f"{group:>12}" for group in groups))
models, reach = {}, {}
for name, rate in (("SGD", 0.3), ("Adagrad", 0.1)):
    model = models[name] = BagOfWords()
    optimizer = getattr(optimizers, name)(model, lr=rate)
    falling = []
    for _ in epochs(model, optimizer, learn, seed=0):
        if name == "Adagrad":  # a is the sum of all squared slopes; parameter 0 is the bias
            root = np.sqrt(optimizer.state_dict()["1.a"].mean(axis=1))
            falling.append(rate / np.maximum(root, 1e-7))
    size = np.abs(model.words.weight.data).mean(axis=1)
    reach[name] = [size[(seen >= a) & (seen <= b)].mean() for a, b in groups.values()]
    print(f"{name:<12}" + "".join(f"{size:12.3f}" for size in reach[name]))
print("""
SGD moves a word each time it is seen, so "the", which says nothing, goes far, and a word that
gives its chapter away hardly moves. With Adagrad the rare go farther than the most common.""")
assert reach["SGD"][0] < reach["SGD"][3] / 4
assert reach["Adagrad"][0] > reach["Adagrad"][3]

print("\nAdagrad's rate for a word, 0.1 / sqrt(mean sum of the squared slopes so far):\n")
print("epoch        the     alice    turtle   treacle")
shown = np.searchsorted(vocabulary, ["the", "alice", "turtle", "treacle"])
for epoch in (1, 2, 5, 15):
    print(f"{epoch:5}" + "".join(f"{rate:10.2f}" for rate in falling[epoch - 1][shown]))
print("\nIt can only fall, most for what is used most, and hardly any more once the slopes fade.")
assert (np.diff(falling, axis=0) <= 0).all()
assert (np.diff(falling[-1][shown]) > 0).all()


# ---------------------------------------------------------------- what the weights say

print("\nThe words that speak most for each chapter:\n")
weights = models["Adagrad"].words.weight.data
for title, column in zip(titles, weights.T, strict=True):
    best = column.argsort()[::-1][:5]
    print(f"    {title:<34}{', '.join(vocabulary[best])}")
