"""What is usually done against nan and inf, by the op that made them.

Each entry says what is out of the reach of these ops, and how to keep clear of it. On the way back
some have a trouble of their own: sqrt 0 is 0, but its slope there is inf.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = ["ON_PURPOSE", "cure_for"]


def _by_name(table: dict[str, str]) -> dict[str, str]:
    return {name: text for names, text in table.items() for name in names.split()}


FORWARD = _by_name({
    "log log2 log10":
        "The log of 0 is -inf, that of a negative number nan. A loss that takes logits, such as "
        "tg.losses.cross_entropy, never takes the log of 0, nor does tg.log_softmax. Elsewhere "
        "keep x away from 0: tg.log(tg.clip(x, 1e-7)).",
    "log1p":
        "log1p of -1 is -inf, and of less nan. Keep x above -1: tg.log1p(tg.clip(x, -1 + 1e-6)).",
    "divide floor_divide remainder":
        "A division by 0 is inf, and 0/0 nan. Add an epsilon below, x / (y + 1e-8), or choose "
        "before dividing: x / tg.where(y == 0, 1, y). Of a softmax by hand, e^x divided by its "
        "sum, tg.softmax is the safe form.",
    "reciprocal":
        "1/0 is inf. Add an epsilon, 1 / (x + 1e-8), or choose before dividing: "
        "1 / tg.where(x == 0, 1, x).",
    "exp expm1 sinh cosh":
        "e^x overflows above 11 in float16, 88 in float32, 709 in float64. Shift by the largest x "
        "first, which cancels in quotients: tg.softmax, tg.log_softmax and tg.logsumexp do that; "
        "tg.sigmoid and tg.softplus need no shift.",
    "sqrt":
        "The root of a negative number is nan. Cut off what is below 0: tg.sqrt(tg.clip(x, 1e-7)).",
    "power":
        "A negative base to a power that is not whole is nan, 0 to a negative power inf: keep the "
        "base above 0, tg.clip(x, 1e-7) ** p. Large numbers overflow: scale them to about 1, "
        "lower lr, or clip (clipnorm=1).",
    "arcsin arccos":
        "Only numbers from -1 to 1 have an angle, and what should be 1 may be a little more. Use "
        "tg.clip(x, -1 + 1e-6, 1 - 1e-6).",
    "arctanh":
        "At -1 and 1 it is infinite, outside nan. Use tg.clip(x, -1 + 1e-6, 1 - 1e-6).",
    "arccosh":
        "Below 1 it is nan. Use tg.clip(x, 1 + 1e-6).",
    "mean":
        "The mean of no numbers is 0/0: leave empty batches out. The sum of large ones overflows: "
        "scale them to about 1.",
    "var std":
        "With ddof=1 the spread of one number is 0/0, and squares of large numbers overflow. Give "
        "it more than one number, or use ddof=0.",
    "euclidean_norm square":
        "The square of a large number overflows. Scale the numbers to about 1, lower lr, clip "
        "(clipnorm=1), or compute in float64.",
    "softmax log_softmax masked_softmax mixture":
        "A row of nothing but -inf has no softmax, nor has one with +inf. Leave at least one entry "
        "of each row unmasked, or use tg.masked_softmax(x, mask), which gives 0 there. The log of "
        "a masked entry is -inf: replace it by tg.where before anything is multiplied by it.",
    "softmax_cross_entropy":
        "Logits with +inf, a row of nothing but -inf, or -inf at the label have no finite loss. Do "
        "not mask the label's own class; if the logits grew that far, lower lr or clip "
        "(clipnorm=1).",
    "normalize rms_norm":
        "With epsilon=0 a row of equal numbers is divided by 0, and squares of large numbers "
        "overflow. Leave epsilon at 1e-5, and scale the numbers to about 1.",
    "logabsdet inv solve cholesky cofactor":
        "The matrix is singular, or nearly. Add a little to its diagonal: x + 1e-6 * tg.eye(n).",
})  # fmt: skip

BACKWARD = FORWARD | _by_name({
    "sqrt":
        "The slope of sqrt at 0 is inf. Add an epsilon, tg.sqrt(x + 1e-8); for the length of a "
        "vector use tg.norm, whose gradient at 0 is 0.",
    "power":
        "Of a power below 1 the slope at 0 is inf, and an exponent that wants a gradient needs a "
        "base above 0. Add an epsilon, (x + 1e-8) ** p.",
    "arcsin arccos arctanh":
        "At -1 and 1 the slope is inf. Stay inside: tg.clip(x, -1 + 1e-6, 1 - 1e-6).",
    "arccosh":
        "At 1 the slope is inf. Stay above: tg.clip(x, 1 + 1e-6).",
    "arctan2":
        "At (0, 0) there is no angle, and its slope is 0/0. Add an epsilon to one of the two.",
})  # fmt: skip

ON_PURPOSE = (
    "A constant put this inf there, as a mask does, and it reaches the loss. What is hidden must "
    "not count: replace it by tg.where before the loss, or mask by a large number such as -1e9."
)


def cure_for(name: str, phase: str, value: float, dtype: np.dtype[Any]) -> str:
    """What to do where the op of that name made that value, in numbers of that dtype.

    >>> cure_for("sqrt", "backward", math.inf, np.dtype("float32")).split(".")[0]
    'The slope of sqrt at 0 is inf'
    """
    text = (BACKWARD if phase == "backward" else FORWARD).get(name)
    if text is None and math.isinf(value):
        text = (
            f"The numbers grew beyond {np.finfo(dtype).max:.3g}, where {dtype} ends. Scale the "
            "data to about 1, lower lr, clip (clipnorm=1), or compute in float64."
        )
    elif text is None:
        text = (
            "inf - inf, 0 * inf and 0/0 are nan. Look at the ranges above: if they are large, "
            "scale the data to about 1, lower lr, or clip (clipnorm=1)."
        )
    if dtype == np.float16:
        text += " float16 ends at 65504, and is 0 below 3e-8: compute in float32."
    return text
