"""What a model makes of the plane: for points of two features one can see it all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_rgb

from tinygrad_edu.arrays import Array, default_dtype
from tinygrad_edu.layers.layer import Layer, is_parameter
from tinygrad_edu.layers.settings import whole
from tinygrad_edu.layers.summary import undisturbed
from tinygrad_edu.modes import no_grad
from tinygrad_edu.plotting.figures import (
    ALARM,
    COLOURS,
    class_names,
    finished,
    new_axes,
    shown_in_legend,
)
from tinygrad_edu.tensor import plain

__all__ = ["decision_boundary"]

MARGIN = 0.08  # of the width of the points, on either side
MARKERS = "osD^vP*X<>h"  # 11 of them and 10 colours: 110 classes look different
ROWS = 10_000  # how many places the model is asked about at once
NOTHING = -1  # the guess where a score is nan


def decision_boundary(
    model: Callable[[Any], Any],
    x: Any,
    y: Any,
    ax: Any = None,
    resolution: int = 200,
    names: Sequence[str] | None = None,
    threshold: float | None = None,
) -> Any:
    """Draw the regions of the classes, the lines between them, and the points; wrong ones ringed.

    `model` is a layer, or any function of an array (n, 2). What it returns says what it is:

        scores (n, classes)       the guess is the class of the largest; p = softmax(scores), or the
                                  scores themselves if all rows are probabilities already
        one score, (n, 1), (n,)   the guess is 1 above `threshold`; p = sigmoid(score - threshold),
                                  or the score itself if it is a probability
        whole numbers (n,)        they are the guesses

    Without `threshold` a single score is a logit, and the threshold 0, unless no score anywhere in
    the picture leaves 0..1: then they are probabilities (logits would make all of it class 1), and
    it is 0.5. The colour of a region fades as (p - 1/classes) / (1 - 1/classes) does, p being that
    of the guess: pale means unsure.

    `x` is (n, 2), `y` the labels (n,) or (n, 1), from 0, or their onehot (n, classes). The model
    is asked at `resolution`^2 places, in eval mode and without gradients; a layer is left exactly
    as it was. Places where it says nan are in a colour of their own.

    Raises ValueError for points that are not in a plane or not finite, and for labels that are no
    classes of the model.

    >>> figure = decision_boundary(lambda x: x[:, 0] - x[:, 1], [[0, 1], [2, 0], [1, 2]], [0, 1, 1])
    >>> figure.axes[0].get_title()
    '2 of 3 right (66.7%)'
    """
    points = _points(x)
    labels = _labels(y, len(points))
    across, up = (np.linspace(*_limits(column), _checked(resolution)) for column in points.T)
    places = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    seen = _read(_asked(model, np.concatenate([places, points])), labels, threshold)
    names = class_names("decision_boundary", names, seen.classes)
    plane, at_points = seen.split(len(places))

    made, ax = new_axes(ax, 6.4, 4.4)
    _draw_regions(ax, across, up, plane)
    _draw_points(ax, points, labels, at_points.guesses != labels, names)
    if (plane.guesses == NOTHING).any():
        ax.scatter([], [], marker="s", s=60, color=ALARM, label="nan")
    right = np.count_nonzero(at_points.guesses == labels)
    ax.set_title(f"{right} of {len(labels)} right ({right / len(labels):.1%})")
    ax.set(xlabel="x[:, 0]", ylabel="x[:, 1]")
    where = {"loc": "upper right"} if made is ax else {"loc": "outside right upper"}
    legend = made.legend(
        **where, title="class", facecolor="white", edgecolor="none", labelcolor="black"
    )
    legend.get_title().set_color("black")  # as the rings, which must be seen in dark styles, too
    return finished(made)


# ---------------------------------------------------------------- what comes in


def _points(x: Any) -> Array:
    x = np.asarray(plain(x))
    if x.ndim != 2 or len(x) == 0 or x.shape[1] < 2:
        raise ValueError(f"decision_boundary: x has shape {x.shape}; give points, (n, 2).")
    if x.shape[1] > 2:
        raise ValueError(
            f"decision_boundary: x has shape {x.shape}, but a picture has two axes. Choose two "
            "columns, x[:, [0, 1]], and as model a function of them that fills in the others: "
            "lambda p: model(np.c_[p, np.tile(x[:, 2:].mean(axis=0), (len(p), 1))])."
        )
    if x.dtype.kind not in "fiub":
        raise TypeError(f"decision_boundary: x has dtype {x.dtype}; give numbers.")
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"decision_boundary: x is {x[row].tolist()} in row {row}; clean it first.")
    return x if x.dtype.kind == "f" else x.astype(default_dtype())


def _labels(y: Any, n: int) -> Array:
    """Whole numbers (n,), also from a column, or from rows of zeros with a single 1."""
    given = y = np.asarray(plain(y))
    if y.ndim == 2 and y.shape[1] > 1 and len(y) == n:
        if not (((y == 0) | (y == 1)).all() and (y.sum(axis=1) == 1).all()):
            raise ValueError(f"decision_boundary: y {y.shape}: each row must be one 1, and zeros.")
        y = y.argmax(axis=1)
    if y.shape == (n, 1):
        y = y[:, 0]
    if y.shape != (n,):
        raise ValueError(
            f"decision_boundary: y has shape {given.shape}; give a label for each of the {n} "
            f"points, ({n},), or their onehot, ({n}, classes)."
        )
    if y.dtype.kind not in "fiub" or not ((y >= 0) & (y == np.floor(y))).all():
        raise ValueError("decision_boundary: y is labels, whole numbers from 0.")
    return y.astype(int)


def _checked(resolution: Any) -> int:
    return whole("decision_boundary: resolution", resolution, least=2)


def _limits(column: Array) -> tuple[float, float]:
    low, high = float(column.min()), float(column.max())
    margin = MARGIN * (high - low) or 1.0  # a single place has no width
    return low - margin, high + margin


# ---------------------------------------------------------------- asking the model


def _asked(model: Any, places: Array) -> Array:
    """What the model says of every place, some rows at a time."""
    if not callable(model):
        raise TypeError(f"decision_boundary: {type(model).__name__} is no layer and no function.")
    if isinstance(model, Layer):
        own = (p.dtype for _, p in model._named(is_parameter))
        places = places.astype(next(own, default_dtype()))
    parts = np.array_split(places, -(-len(places) // ROWS))
    layer = model if isinstance(model, Layer) else Layer()  # an empty one stands for a function
    with undisturbed(layer), no_grad(), np.errstate(all="ignore"):  # nan will be seen
        said = [_one_array(model(part), len(part)) for part in parts]
    return np.concatenate(said)


def _one_array(z: Any, n: int) -> Array:
    if isinstance(z, (tuple, list, dict)) or z is None:
        raise TypeError(f"decision_boundary: the model returns a {type(z).__name__}, not a Tensor.")
    z = np.asarray(plain(z))
    if z.ndim not in (1, 2) or z.size == 0 or len(z) != n or z.dtype.kind not in "fiub":
        raise ValueError(
            f"decision_boundary: of {n} points the model makes {z.dtype} of shape {z.shape}; it "
            "should be scores (n, classes), one score (n, 1), or a class number (n,)."
        )
    return z[:, 0] if z.ndim == 2 and z.shape[1] == 1 else z


# ---------------------------------------------------------------- reading what it says


class Seen(NamedTuple):
    """What the model says of some places."""

    guesses: Array  # (n,) the class, or NOTHING
    sure: Array  # (n,) from 0, any class as likely, to 1
    margins: Array  # (n, classes) score minus the largest of the others: 0 on the line

    @property
    def classes(self) -> int:
        return int(self.margins.shape[1])

    def split(self, n: int) -> tuple[Seen, Seen]:
        """The first n places, and the others."""
        return Seen(*(a[:n] for a in self)), Seen(*(a[n:] for a in self))


def _read(said: Array, labels: Array, threshold: float | None) -> Seen:
    one_score = said.ndim == 1 and said.dtype.kind == "f"
    if threshold is not None and not one_score:
        raise ValueError(
            f"decision_boundary: threshold={threshold} is for a model of one score per point; this "
            f"one gives {'class numbers' if said.ndim == 1 else 'a score for each class'}."
        )
    if one_score:
        scores, p = _of_one_score(said.astype(float), threshold)
    elif said.ndim == 1:
        scores = p = _of_guesses(said.astype(int), labels)
    else:
        scores = np.clip(said.astype(float), -1e300, 1e300)  # inf - inf would be nan
        p = scores if _are_probabilities(scores) else _softmax(scores)
    return _judged(scores, p, labels)


def _judged(scores: Array, p: Array, labels: Array) -> Seen:
    """Guesses, how sure they are, and how far the lines are."""
    n, classes = scores.shape
    if labels.max() >= classes:
        row = int(labels.argmax())
        raise ValueError(
            f"decision_boundary: y is {labels[row]} in row {row}, but the model knows the classes "
            f"0 to {classes - 1}."
        )
    others = np.stack([np.delete(scores, k, axis=1).max(axis=1) for k in range(classes)], axis=1)
    broken = np.isnan(scores).any(axis=1)
    guesses = np.where(broken, NOTHING, scores.argmax(axis=1))
    of_guess = p[np.arange(n), guesses]
    sure = np.clip((of_guess - 1 / classes) / (1 - 1 / classes), 0, 1)
    return Seen(guesses, sure, scores - others)


def _of_one_score(s: Array, threshold: float | None) -> tuple[Array, Array]:
    """The same in two columns, for the classes 0 and 1: scores, and probabilities."""
    within = not ((s < 0) | (s > 1)).any()
    if threshold is None:
        threshold = 0.5 if within else 0.0
    above = np.clip(s - threshold, -1e300, 1e300)
    scores = np.stack([-above, above], axis=1)
    return scores, np.stack([1 - s, s], axis=1) if within and threshold else _softmax(scores / 2)


def _of_guesses(guesses: Array, labels: Array) -> Array:
    """A 1 for the class that is guessed."""
    if guesses.min() < 0:
        raise ValueError(
            f"decision_boundary: the model guesses {guesses.min()}; classes are from 0."
        )
    return np.eye(max(2, int(max(guesses.max(), labels.max())) + 1))[guesses]


def _are_probabilities(scores: Array) -> bool:
    sums = scores.sum(axis=1)
    return bool((scores >= 0).all() and np.allclose(sums, 1, atol=1e-3))


def _softmax(scores: Array) -> Array:
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# ---------------------------------------------------------------- drawing


def _draw_regions(ax: Any, across: Array, up: Array, plane: Seen) -> None:
    shape = len(up), len(across)
    colours = np.array([to_rgb(c) for c in COLOURS])[plane.guesses % len(COLOURS)]
    strength = 0.1 + 0.5 * plane.sure
    broken = plane.guesses == NOTHING
    colours[broken], strength[broken] = to_rgb(ALARM), 0.8
    picture = 1 - strength[:, None] * (1 - colours)  # mixed with white
    dx, dy = (across[1] - across[0]) / 2, (up[1] - up[0]) / 2  # a pixel has its place in its middle
    extent = (across[0] - dx, across[-1] + dx, up[0] - dy, up[-1] + dy)
    ax.imshow(
        picture.reshape(*shape, 3), extent=extent, origin="lower", aspect="auto",
        interpolation="bilinear",
    )  # fmt: skip
    for margin in plane.margins.T.reshape(-1, *shape)[plane.classes == 2 :]:  # two share one line
        margin = np.ma.masked_invalid(margin)
        if margin.min() < 0 < margin.max():
            ax.contour(across, up, margin, [0], colors="black", linewidths=1.2)
    ax.set(xlim=across[[0, -1]], ylim=up[[0, -1]])


def _draw_points(ax: Any, points: Array, labels: Array, wrong: Array, names: list[str]) -> None:
    size = float(np.clip(12_000 / len(points), 8, 30))
    for k in np.unique(labels):
        ax.scatter(
            *points[labels == k].T, s=size, color=COLOURS[k % len(COLOURS)],
            marker=MARKERS[k % len(MARKERS)], edgecolors="black", linewidths=0.5,
            label=shown_in_legend(names[k]),
        )  # fmt: skip
    if wrong.any():
        ax.scatter(
            *points[wrong].T, s=4 * size, facecolors="none", edgecolors="black", linewidths=1.4,
            label=f"wrong: {np.count_nonzero(wrong)}",
        )  # fmt: skip
