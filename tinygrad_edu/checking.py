"""Checking: is a gradient right? Ask the definition.

The derivative is what (f(x + h) - f(x - h)) / 2h tends to. `gradcheck` computes that, entry by
entry in double precision, and compares it with what the rules say. At order 2 the function under
test is the gradient itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.modes import enable_grad
from tinygrad_edu.tensor import Tensor, grad, plain

__all__ = ["GradientError", "gradcheck"]


class GradientError(AssertionError):
    """The rules and the differences disagree."""


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    order: int = 1,
    eps: float = 6e-6,
    atol: float = 1e-6,
    rtol: float = 1e-5,
) -> bool:
    """True if the gradient of `f` at `inputs` agrees with central differences, else GradientError.

    `f` takes Tensors and returns one of any shape; `inputs` is an array or Tensor, or a tuple or
    list of them, taken in float64. The entries of f's value are weighed with fixed numbers and
    summed, so one gradient holds them all. `order=2` checks second derivatives as well, by
    differences of the gradient; higher orders likewise.
    An entry fails where |rules - differences| > atol + rtol |differences|.

    >>> import tinygrad_edu as tg
    >>> gradcheck(lambda x, y: x @ y, (np.ones((2, 3)), np.ones(3)), order=2)
    True
    """
    if order < 1:
        raise ValueError(f"gradcheck: order={order!r}; it is 1, 2 or more.")
    several = isinstance(inputs, (tuple, list))
    given = list(inputs) if several else [inputs]
    arrays = [np.array(plain(x), dtype=float) for x in given]
    with enable_grad():
        tested: Callable[..., Tensor] = _weighed(f)
        for level in range(1, order + 1):
            _check_level(tested, arrays, level, eps, atol, rtol)
            tested = _weighed(_gradient_of(tested))
    return True


def _weighed(f: Callable[..., Any]) -> Callable[..., Tensor]:
    """x -> one number: the entries of f(x), each with a weight of its own, summed."""

    def number(*xs: Tensor) -> Tensor:
        ys = f(*xs)
        total: Any = 0.0
        for y in ys if isinstance(ys, (tuple, list)) else [ys]:
            if not isinstance(y, Tensor):
                raise TypeError(
                    f"gradcheck: the function returned a {type(y).__name__}, not a Tensor; "
                    "compute with Tensor ops, without .data, .numpy() or float()."
                )
            weights = 1 + np.sin(np.arange(y.size)).reshape(y.shape) / 2  # 1 for a single number
            total = total + (y * weights).sum()
        return total

    return number


def _gradient_of(number: Callable[..., Tensor]) -> Callable[..., list[Tensor]]:
    """x -> the gradient of a number in all x, with its history."""

    def gradient(*xs: Tensor) -> list[Tensor]:
        y = number(*xs)
        gradients = grad(y, xs, create_graph=True, allow_unused=True) if y.requires_grad else []
        return [g for g in gradients if g is not None] or [Tensor(np.zeros(()))]

    return gradient


def _check_level(
    number: Callable[..., Tensor],
    arrays: list[Array],
    order: int,
    eps: float,
    atol: float,
    rtol: float,
) -> None:
    """Compare the gradient of a number with differences, at every entry of every input."""

    def at(xs: Sequence[Array]) -> float:
        return number(*(Tensor(x, requires_grad=True) for x in xs)).item()

    leaves = [Tensor(x, requires_grad=True) for x in arrays]
    y = number(*leaves)
    if at(arrays) != at(arrays):
        raise GradientError(
            "gradcheck: two calls gave two values; fix the seed inside the function."
        )
    found = grad(y, leaves, allow_unused=True) if y.requires_grad else [None] * len(leaves)
    for position, x in enumerate(arrays):
        by_rules = np.zeros_like(x) if (g := found[position]) is None else g.data
        upward, downward = np.empty_like(x), np.empty_like(x)
        for index in np.ndindex(*x.shape):
            sides = []
            for h in (eps, -eps):
                moved = [a.copy() for a in arrays]
                moved[position][index] += h
                sides.append(at(moved))
            upward[index] = (sides[0] - y.item()) / eps
            downward[index] = (y.item() - sides[1]) / eps
        by_differences = (upward + downward) / 2
        wrong = ~(np.abs(by_rules - by_differences) <= atol + rtol * np.abs(by_differences))
        if wrong.any():
            raise GradientError(
                _report(position, order, by_rules, by_differences, upward, downward, wrong)
            )


# ---------------------------------------------------------------- what to say when they disagree


def _report(
    position: int,
    order: int,
    by_rules: Array,
    by_differences: Array,
    upward: Array,
    downward: Array,
    wrong: Array,
) -> str:
    apart = np.where(wrong, np.nan_to_num(np.abs(by_rules - by_differences), nan=np.inf), -1.0)
    ranked = np.argsort(-apart, axis=None, kind="stable")
    worst = tuple(int(i) for i in np.unravel_index(ranked[0], by_rules.shape))
    lines = [
        f"gradcheck: input {position} of shape {by_rules.shape}, order {order}: {int(wrong.sum())} "
        f"of {wrong.size} entries differ, the worst at {list(worst)}",
        f"  {'entry':<12}{'by the rules':>18}{'by differences':>18}",
    ]
    for flat in ranked[: min(8, int(wrong.sum()))]:
        index = tuple(int(i) for i in np.unravel_index(flat, by_rules.shape))
        lines.append(f"  {list(index)!s:<12}{by_rules[index]:>18.9g}{by_differences[index]:>18.9g}")
    hint = _hint(by_rules, by_differences, upward, downward, worst)
    return "\n".join(lines + ([f"  hint: {hint}"] if hint else []))


def _hint(
    by_rules: Array, by_differences: Array, upward: Array, downward: Array, worst: tuple[int, ...]
) -> str | None:
    """What the pattern of a disagreement points to, if to anything."""

    def same(a: Any, b: Any) -> bool:
        return np.allclose(a, b, rtol=1e-4, atol=1e-6)

    if not np.isfinite(by_differences[worst]):
        return "the function is not finite right beside this point; move the input."
    if not same(upward[worst], downward[worst]):
        return (
            f"a kink: the slope is {downward[worst]:.6g} from below and {upward[worst]:.6g} from "
            "above; move the input away from it."
        )
    if not by_rules.any():
        return "the rules give 0 everywhere: .detach(), .data or no_grad() may have cut the graph."
    if (
        by_rules.ndim == 2
        and by_rules.shape[0] == by_rules.shape[1]
        and same(by_rules.T, by_differences)
    ):
        return "transposed: the rule gives the transpose of the gradient."
    ratio = by_differences[worst] / by_rules[worst] if by_rules[worst] else np.nan
    if by_rules.size and same(by_rules * ratio, by_differences):
        if same(ratio, -1):
            return "the sign is wrong everywhere."
        if ratio > 1 and same(ratio, round(ratio)):
            return (
                f"{round(ratio)} times too small everywhere: a sum over a broadcast axis of length "
                f"{round(ratio)} is missing (or a mean stands where a sum should)."
            )
        return f"off by the factor {ratio:.6g} everywhere."
    return None
