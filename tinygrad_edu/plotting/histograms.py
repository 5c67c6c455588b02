"""All numbers of a model at a glance: how its weights are spread, and how large its gradients are.

Both have a panel for each parameter. What is not a number is counted in an alarming colour, never
dropped without a word; what was not computed is not zero, and says so.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tinygrad_edu.arrays import Array
from tinygrad_edu.layers.layer import Layer, is_parameter
from tinygrad_edu.layers.settings import whole
from tinygrad_edu.plotting.figures import ALARM, AS_IT_IS, COLOURS, GREY, Picture, finished, shown
from tinygrad_edu.tensor import Tensor, plain

__all__ = ["gradient_histograms", "weight_histograms"]

LARGEST = 24  # panels that one picture may have
ACROSS = 4  # panels side by side


def weight_histograms(model: Layer, bins: int = 50, names: Sequence[str] | None = None) -> Picture:
    """Draw how the numbers of each parameter are spread, a panel for each.

    Above it stand its name, its shape, mean and standard deviation, and the share that is exactly
    0; the thin line is at 0. Numbers that are not finite are counted, and left out of all else.

    `names` chooses: those of parameters or of layers, ["layers.0", "layers.2.bias"]. Of more than
    24 parameters the first and the last 12 are drawn, and a line says so.

    Raises TypeError for what is no layer, ValueError for one without parameters or an unknown name.

    >>> from tinygrad_edu.layers import Linear
    >>> figure = weight_histograms(Linear(2, 3, weight_init="ones"))
    >>> print(figure.axes[0].get_title(loc="left"))
    weight (2, 3)
    mean 1, std 0, 0% zeros
    """
    bins = whole("weight_histograms: bins", bins)
    chosen, note = _chosen("weight_histograms", model, names)
    across = min(ACROSS, len(chosen))
    down = -(-len(chosen) // across)
    figure = Picture(figsize=(max(3.0 * across, 4), 2.0 * down + 0.3), layout="constrained")
    panels = figure.subplots(down, across, squeeze=False).reshape(-1)
    for panel in panels[len(chosen) :]:
        panel.remove()
    for panel, (name, p) in zip(panels, chosen, strict=False):
        _draw_weights(panel, f"{shown(name)} {p.shape}", p.data, bins)
    if note:
        figure.suptitle(note, fontsize=9, color=GREY, **AS_IT_IS)
    return finished(figure)


def gradient_histograms(
    model: Layer, bins: int = 50, names: Sequence[str] | None = None
) -> Picture:
    """Draw how large the numbers in the `.grad` of each parameter are: a row each, log10 |g|.

    One axis is shared by all rows, a step of it is a factor of ten: gradients that vanish on their
    way back to the first layers are a drift to the left from the bottom to the top. On an axis of
    their own, or a linear one, all would look alike. Zeros have no logarithm: the share that is
    exactly 0 is said, as is the median of |g| of the others, where the upright line is.
    A parameter without a gradient says so, and why. Matrices and all larger are blue, biases and
    other vectors orange. `names`, and more than 24 parameters: see `weight_histograms`.

    Raises as `weight_histograms` does, and ValueError if nothing has a gradient.

    >>> from tinygrad_edu.layers import MLP
    >>> model = MLP(2, 8, 1, rng=0)
    >>> model([[1.0, 2.0]]).sum().backward()
    >>> [panel.get_ylabel() for panel in gradient_histograms(model).axes]
    ['layers.0.weight', 'layers.0.bias', 'layers.2.weight', 'layers.2.bias']
    """
    bins = whole("gradient_histograms: bins", bins)
    chosen, note = _chosen("gradient_histograms", model, names)
    if all(p.grad is None for _, p in chosen):
        raise ValueError(
            "gradient_histograms: no parameter has a gradient yet; call loss.backward() first, and "
            "draw before zero_grad()."
        )
    rows = [_split(plain(p.grad)) if p.grad is not None else None for _, p in chosen]
    logs = [_logs(row) for row in rows]
    edges = _decades(np.concatenate(logs), bins)
    figure = Picture(figsize=(8, 0.5 * len(rows) + 0.9), layout="constrained")
    panels = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
    for panel, (name, p), row, log in zip(panels, chosen, rows, logs, strict=True):
        panel.set_ylabel(shown(name), rotation=0, ha="right", va="center", fontsize=9, **AS_IT_IS)
        _draw_gradients(panel, p, row, log, edges)
    _finish_rows(figure, panels, edges, note)
    return finished(figure)


# ---------------------------------------------------------------- which parameters


def _chosen(
    function: str, model: Any, names: Sequence[str] | None
) -> tuple[list[tuple[str, Tensor]], str]:
    """The parameters to draw, and a line about those left out."""
    if not isinstance(model, Layer):
        raise TypeError(f"{function}: {type(model).__name__} is no layer; give a layer or a model.")
    known = list(model._named(is_parameter))
    if not known:
        raise ValueError(f"{function}: {type(model).__name__} has no parameters.")
    if names is not None:
        known = _of_names(function, known, names)
    half = LARGEST // 2
    left_out = known[half:-half] if len(known) > LARGEST else []
    if not left_out:
        return known, ""
    first, last = shown(left_out[0][0]), shown(left_out[-1][0])
    note = (
        f"{LARGEST} of {len(known)} parameters; left out: {first} to {last} (names=[...] chooses)"
    )
    return known[:half] + known[-half:], note


def _of_names(
    function: str, known: list[tuple[str, Tensor]], names: Sequence[str]
) -> list[tuple[str, Tensor]]:
    names = [names] if isinstance(names, str) else list(names)
    for wanted in names:
        if not any(_is_of(name, wanted) for name, _ in known):
            close = difflib.get_close_matches(wanted, [name for name, _ in known], n=3, cutoff=0.3)
            hint = f"; did you mean {' or '.join(close)}?" if close else "."
            raise ValueError(f"{function}: there is no parameter or layer {wanted!r}{hint}")
    found = [(name, p) for name, p in known if any(_is_of(name, wanted) for wanted in names)]
    if not found:
        raise ValueError(f"{function}: names=[] chooses nothing; leave it out for all.")
    return found


def _is_of(name: str, wanted: str) -> bool:
    return name == wanted or name.startswith(f"{wanted}.")


# ---------------------------------------------------------------- their numbers


class Split(NamedTuple):
    """The numbers of an array, and what is none."""

    finite: Array  # (n,), in double precision
    size: int
    words: str  # "3 nan, 1 inf of 64"; empty if all are finite

    @property
    def zeros(self) -> str:
        share = np.count_nonzero(self.finite == 0) / max(self.size, 1)
        return f"{100 * share:.3g}% zeros"


def _split(values: Any) -> Split:
    flat = np.asarray(values, dtype=float).reshape(-1)
    counts = {"nan": np.count_nonzero(np.isnan(flat)), "inf": np.count_nonzero(np.isinf(flat))}
    words = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    words += f" of {flat.size:,}" if words else ""
    return Split(flat[np.isfinite(flat)], flat.size, words)


def _logs(row: Split | None) -> Array:
    """log10 |g| of what is not 0."""
    return np.log10(np.abs(row.finite[row.finite != 0])) if row is not None else np.empty(0)


def _edges(values: Array, bins: int) -> Array:
    """Where the bars of a histogram begin and end, also for numbers that are all the same."""
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)
    middle, width = (low + high) / 2, high - low
    if width <= 1e-9 * abs(middle) or width == 0:
        width, bins = abs(middle) or 1.0, bins | 1  # odd: the one bar stands in the middle
    return np.linspace(middle - width / 2, middle + width / 2, bins + 1)


def _decades(logs: Array, bins: int) -> Array:
    """The same for logarithms, from one whole number to another."""
    low, high = (np.floor(logs.min()), np.ceil(logs.max())) if logs.size else (-1.0, 0.0)
    return np.linspace(low, max(high, low + 1), bins + 1)


# ---------------------------------------------------------------- drawing


def _draw_weights(ax: Any, title: str, data: Array, bins: int) -> None:
    values = _split(data)
    x = values.finite
    edges = _edges(x, bins)
    ax.stairs(np.histogram(x, edges)[0], edges, fill=True, color=COLOURS[0])
    if x.size and edges[0] < 0 < edges[-1]:
        ax.axvline(0, color=GREY, linewidth=0.8)
    with np.errstate(all="ignore"):  # numbers of 1e200 have no variance in float64
        title += f"\nmean {x.mean():.2g}, std {x.std():.2g}, {values.zeros}" if x.size else "\n"
    ax.set_title(title, fontsize=8, loc="left", **AS_IT_IS)
    ax.tick_params(labelsize=7)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    if not x.size:
        ax.set(xticks=[], yticks=[])
    if values.words or not values.size:
        _say(ax, values.words or "no numbers", ALARM)
        ax.spines[:].set_color(ALARM)


def _say(ax: Any, words: str, colour: str) -> None:
    """Words in the middle of the top, before whatever is there."""
    behind = {"facecolor": ax.get_facecolor(), "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    ax.text(
        0.5, 0.96, words, transform=ax.transAxes, ha="center", va="top", fontsize=8, color=colour,
        bbox=behind,
    )  # fmt: skip


def _draw_gradients(ax: Any, p: Tensor, row: Split | None, log: Array, edges: Array) -> None:
    if log.size:
        counts, _ = np.histogram(log, edges)
        ax.stairs(counts, edges, fill=True, color=COLOURS[0 if p.ndim > 1 else 1])
        ax.axvline(np.median(log), color=mpl.rcParams["text.color"], linewidth=1.2)
        about = f"median {10 ** np.median(log):.1e}\n{row.zeros if row else ''}"
        ax.text(
            1.01, 0.5, about, transform=ax.transAxes, va="center", fontsize=8, color=GREY,
            linespacing=1.5,
        )  # fmt: skip
    if row is None:
        why = "backward did not reach it" if p.requires_grad else "it is frozen"
        _say(ax, f"no gradient: {why}", GREY)
    elif row.words or not log.size:
        _say(ax, row.words or f"all {row.size:,} are exactly 0", ALARM)


def _finish_rows(figure: Picture, panels: Array, edges: Array, note: str) -> None:
    for panel in panels:
        panel.set(yticks=[])
        panel.spines[["top", "left", "right"]].set_visible(False)
        panel.spines["bottom"].set_color(GREY)
        panel.tick_params(axis="x", length=0, labelbottom=panel is panels[-1])
    last = panels[-1]
    last.set_xlim(edges[0], edges[-1])
    last.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    last.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"$10^{{{x:.0f}}}$"))
    last.tick_params(axis="x", length=3)
    last.set_xlabel("|g|")
    if note:
        figure.suptitle(note, fontsize=9, color=GREY, **AS_IT_IS)
