"""Pictures of training, drawn by matplotlib. Only this package imports it.

Read it in this order:

figures.py      what the pictures share: figures nobody has to close, colours, the names of classes
history.py      the loss and the metrics over the epochs
boundary.py     what a model makes of the plane
confusion.py    which class is taken for which
histograms.py   all weights, all gradients

Each function returns a matplotlib Figure, which a notebook shows by itself; `.savefig("it.png")`
writes it. Given axes, `ax=`, it draws into those and returns them.
"""

try:
    import matplotlib  # noqa: F401  asked for here, so that one place says what is missing
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "matplotlib":
        raise
    raise ModuleNotFoundError(
        'pictures of training need matplotlib: pip install "tinygrad_edu[plot]"', name="matplotlib"
    ) from None

from tinygrad_edu.plotting.boundary import decision_boundary
from tinygrad_edu.plotting.confusion import confusion_matrix
from tinygrad_edu.plotting.histograms import gradient_histograms, weight_histograms
from tinygrad_edu.plotting.history import plot_history

__all__ = [
    "confusion_matrix", "decision_boundary", "gradient_histograms", "plot_history",
    "weight_histograms",
]  # fmt: skip
