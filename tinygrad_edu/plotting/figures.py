"""What the pictures share: figures that nobody has to close, colours, and names as they are."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tinygrad_edu.drawing.texts import one_line

__all__ = [
    "ALARM", "AS_IT_IS", "COLOURS", "GREY", "Picture", "class_names", "finished", "new_axes",
    "shown", "shown_in_legend",
]  # fmt: skip

# Ten colours that people with any kind of colour vision tell apart: Petroff 2021, "Accessible color
# sequences for data visualization".
COLOURS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
ALARM = "#d6007f"  # nan, inf: what should not be there
GREY = "#767676"  # can be read on white and on black

LONGEST = 30  # letters of a name
AS_IT_IS = {"parse_math": False, "usetex": False}  # for texts with names: two $ are no formula
ISOLATES = "\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"  # fonts here have none


class Picture(Figure):
    """A figure that a notebook shows by itself, in any backend or none.

    pyplot does not know it, so none stays open, and `plt.show()` opens no window of it: for a
    window, or a place among other panels, give the axes, `ax=`.
    """

    def _repr_png_(self) -> bytes:
        file = BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def new_axes(ax: Any, width: float, height: float) -> tuple[Any, Any]:
    """(what to return, where to draw): the given axes twice, or a new figure and its axes."""
    if ax is not None:
        return ax, ax
    figure = Picture(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def finished(made: Any) -> Any:
    """A figure of ours laid out once and for all; given axes as they are.

    matplotlib would lay it out whenever it is drawn, starting from what came of the last time, so
    that a figure shown and then saved would be other bytes than one only saved.
    """
    engine = made.get_layout_engine() if isinstance(made, Picture) else None
    if engine is not None:
        engine.execute(made)
        engine.execute(made)  # now that the size of the axes, and so their ticks, are known
        made.set_layout_engine("none")
    return made


def class_names(function: str, names: Sequence[str] | None, classes: int) -> list[str]:
    """A name for each class, as it is shown: those given, or their numbers."""
    if names is None:
        return [str(k) for k in range(classes)]
    if isinstance(names, str) or len(names) != classes:
        given = repr(names) if isinstance(names, str) else f"{len(names)} names"
        raise ValueError(
            f"{function}: names={given}; give a list, one for each of {classes} classes."
        )
    return [shown(name) for name in names]


def shown(name: object) -> str:
    """A name in one line; of a long one both ends, which say more than the middle.

    >>> shown("two\\nlines"), shown("layers." * 10)
    ('two↵lines', 'layers.layers.l…layers.layers.')
    """
    return one_line(str(name), LONGEST).strip(ISOLATES)


def shown_in_legend(name: object) -> str:
    r"""The same as a label. Any `ax.legend()` makes texts of labels, so these must be harmless.

    matplotlib reads $...$ as a formula and `\$` as a dollar, and leaves out what begins with _.

    >>> print(shown_in_legend("$x^{$"))
    \$x^{\$
    """
    label = shown(name)
    if mpl.rcParams["text.parse_math"]:
        label = label.replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{label}" if label.startswith("_") else label
