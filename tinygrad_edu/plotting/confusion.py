"""Which class is taken for which, as a table in colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from tinygrad_edu import metrics
from tinygrad_edu.arrays import Array
from tinygrad_edu.plotting.figures import ALARM, AS_IT_IS, GREY, class_names, finished, new_axes
from tinygrad_edu.tensor import plain

__all__ = ["confusion_matrix"]

BRIGHTNESS = (0.2126, 0.7152, 0.0722)  # of red, green and blue light, for the eye
RIGHT, WRONG = "#0b559f", "#b34700"  # blue and orange: apart for every kind of colour vision


def confusion_matrix(
    prediction: Any,
    target: Any,
    names: Sequence[str] | None = None,
    normalize: bool = False,
    ax: Any = None,
    threshold: float | None = None,
) -> Any:
    """Draw how often which class was taken for which: a row for a class, a column for a guess.

    The numbers are those of `metrics.confusion_matrix`, with `normalize` their share of the row in
    percent; a dot is 0. The colour is the root of that share, so that rare mistakes are seen: blue
    for right, orange for wrong.

    `prediction` is scores (n, classes), logits or probabilities alike, or class numbers; `target`
    is labels (n,) or their onehot. For one score per example say the threshold above which the
    guess is 1: 0.5 for probabilities, 0.0 for logits. Rows with a nan guess nothing; they count as
    wrong, and are counted under the table. `names` are those of the classes.

    Raises what `metrics.confusion_matrix` raises.

    >>> figure = confusion_matrix([[2.0, 1.0], [0.0, 3.0], [4.0, 0.0]], [0, 1, 1])
    >>> figure.axes[0].get_title()
    'accuracy 66.7% (2 of 3)'
    """
    scores = _in_columns(prediction, threshold)
    counts = metrics.confusion_matrix(scores, target, None if names is None else len(names))
    names = class_names("confusion_matrix", names, len(counts))
    lost = int(np.isnan(scores).any(axis=-1).sum()) if scores.ndim > 1 else 0
    side = float(np.clip(0.46 * len(counts), 3, 14))
    cell = side / len(counts)
    made, ax = new_axes(ax, side + 1.2, side + 1.2)
    _draw(ax, counts, normalize, size=float(np.clip(26 * cell, 3, 12)))
    _label(ax, names, upright=max(map(len, names)) * 0.09 > cell)
    total, right = counts.sum() + lost, np.trace(counts)
    ax.set_title(f"accuracy {right / total:.1%} ({right} of {total})")
    if lost:
        rows = "row" if lost == 1 else "rows"
        ax.set_xlabel(f"guess (and {lost} {rows} of nan, no guess)", color=ALARM)
    return finished(made)


def _in_columns(prediction: Any, threshold: float | None) -> Array:
    """The prediction; with a threshold, scores of class 1 as scores of both classes."""
    prediction = np.asarray(plain(prediction))
    if threshold is None:
        if prediction.dtype.kind == "f" and (prediction.ndim == 1 or prediction.shape[-1] == 1):
            raise ValueError(
                f"confusion_matrix: prediction of shape {prediction.shape} has one score per "
                "example; say threshold=0.5 for probabilities, threshold=0.0 for logits."
            )
        return prediction
    if prediction.ndim == 2 and prediction.shape[1] == 1:
        prediction = prediction[:, 0]
    if prediction.ndim != 1:
        raise ValueError(
            f"confusion_matrix: threshold={threshold} is for one score per example, but prediction "
            f"has shape {prediction.shape}; leave it out."
        )
    above = prediction - threshold
    return np.stack([-above, above], axis=1)


def _draw(ax: Any, counts: Array, normalize: bool, size: float) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    strength = np.sqrt(shares)[..., None]
    right = np.eye(len(counts), dtype=bool)[..., None]
    colours = 1 - strength * (1 - np.where(right, to_rgb(RIGHT), to_rgb(WRONG)))
    dark = colours**2.2 @ BRIGHTNESS < 0.18  # there white letters have more contrast than black
    ax.imshow(colours)
    for (i, j), share in np.ndenumerate(shares):
        text = f"{100 * share:.0f}%" if normalize else str(counts[i, j])
        ax.text(
            j, i, text if counts[i, j] else "·", ha="center", va="center", fontsize=size,
            color="white" if dark[i, j] else "black" if share else GREY,
        )  # fmt: skip


def _label(ax: Any, names: list[str], upright: bool) -> None:
    places = range(len(names))
    ax.set_xticks(places, names, **AS_IT_IS)
    ax.set_yticks(places, names, **AS_IT_IS)
    ax.tick_params(axis="x", rotation=90 if upright else 0)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set(xlabel="guess", ylabel="class")
