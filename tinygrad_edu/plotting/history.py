"""The loss and the metrics over the epochs: what `History.plot` draws."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import MaxNLocator

from tinygrad_edu.plotting.figures import AS_IT_IS, Picture, finished, shown, shown_in_legend

__all__ = ["plot_history"]


def plot_history(history: Any, ax: Any = None) -> Any:
    """What `History.plot` does: a figure with a panel for each number, or all of them in `ax`.

    Raises ValueError for a History of no epoch.

    >>> from tinygrad_edu.models import History
    >>> history = History()
    >>> history.record(0, {"loss": 0.7, "accuracy": 0.5})
    >>> [panel.get_title() for panel in plot_history(history).axes]
    ['loss', 'accuracy']
    """
    if not history.epoch:
        raise ValueError("History.plot: there is no epoch to draw yet; call fit first.")
    names = list(dict.fromkeys(name.removeprefix("val_") for name in history.history))
    if ax is not None:
        for i, name in enumerate(names):
            _curves(ax, history, name, f"C{i}", several=len(names) > 1)
        return ax
    figure = Picture(figsize=(4.5 * len(names), 3.2), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)
    for panel, name in zip(panels[0], names, strict=True):
        _curves(panel, history, name, "C0", several=False)
        panel.set_title(shown(name), **AS_IT_IS)
    return finished(figure)


def _curves(ax: Any, history: Any, name: str, color: str, several: bool) -> None:
    """The curve of the training data, and that of the validation data, which is dashed."""
    epochs = [epoch + 1 for epoch in history.epoch]
    marker = "o" if len(epochs) < 3 else None  # one point makes no line
    for key, style, words in ((name, "-", "training"), (f"val_{name}", "--", "validation")):
        if key in history.history:
            label = shown_in_legend(key) if several else words
            values = history.history[key]
            ax.plot(epochs, values, style, color=color, marker=marker, label=label)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.3)
    ax.legend()
