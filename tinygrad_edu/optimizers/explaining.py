"""An optimizer in words and numbers: its formula, and what the last step did to one number.

The formula is the one in the docstring of the optimizer, its lines `name = ...`, with the settings
put in. A line may end in a condition such as "with momentum, without nesterov", after four spaces,
and counts only if it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.optimizers.parts import BLOCK
from tinygrad_edu.tensor import Tensor

# ---------------------------------------------------------------- the formula


def formula(optimizer: Any) -> str:
    """The update rule of each group, in lines."""
    groups, texts = optimizer.groups, []
    rules = [optimizer._rule(group, group.parts[0]) for group in groups] or [optimizer._rule()]
    for i, rule in enumerate(rules):
        title = type(rule).__name__ + (f", group {i}" if len(groups) > 1 else "")
        texts.append("\n".join([f"{title}:", *("    " + line for line in lines_of(rule))]))
    return "\n".join(texts)


def lines_of(rule: Any, state: Iterable[str] | None = None) -> list[str]:
    """The lines of the docstring's formula that apply, with numbers for the names of settings.

    Given the names of the state of one parameter, they are about the last step of that.
    """
    values = {name: getattr(rule, name) for name in rule._settings if name != "lr"}
    lines = []
    if rule.schedule and state is not None:
        values["rate"] = rule.rate  # what the schedule said then
    elif not rule.schedule and not rule.decay:
        values["rate"] = rule.lr
    else:
        text = f"{_called(rule.schedule)}(t - 1)" if rule.schedule else shown(rule.lr)
        text += f" / (1 + {shown(rule.decay)} (t - 1))" if rule.decay else ""
        lines.append(f"rate = {text}")
    if rule.clipnorm:
        lines.append(f"g = g min(1, {shown(rule.clipnorm)} / norm of all g)")
    if rule.clipvalue:
        lines.append(f"g = clip(g, -{shown(rule.clipvalue)}, {shown(rule.clipvalue)})")
    stated = _formula_of(type(rule))
    if not stated:
        return [*lines, "(its docstring states no formula)"]
    for line in stated:
        text, _, condition = line.partition("    ")
        text = _with_numbers(text, values)
        holds = _holds(condition.strip(), rule, state)
        if holds is not False:
            lines.append(text if holds else f"{text}    ({condition.strip()})")
    return lines


def _formula_of(cls: type) -> list[str]:
    """The lines `name = ...` in the docstring of the class that the update is from."""
    owner = next(owner for owner in cls.__mro__ if "update" in vars(owner))
    text = vars(owner).get("__doc__") or ""  # not inherited: the formula would be another's
    return re.findall(r"^ *(\w[\w, ]* [-+*/]?= .+)$", text, re.MULTILINE)


def _holds(condition: str, rule: Any, state: Iterable[str] | None) -> bool | None:
    """Is every setting named after "with" on, and every one after "without" off?

    What is no setting is a state that some parameters have and others do not: None if that is open.
    """
    wanted, answer = True, True
    for word in condition.replace(",", " ").split():
        if word in ("with", "without"):
            wanted = word == "with"
        elif state is None and not hasattr(rule, word):
            return None
        elif bool(getattr(rule, word, word in (state or ()))) is not wanted:
            answer = False
    return answer


def _with_numbers(text: str, values: dict[str, Any]) -> str:
    def number(found: re.Match[str]) -> str:
        value = values.get(found[0], found[0])
        return shown(value) if isinstance(value, (int, float)) else found[0]

    text = re.sub(r"[a-z]\w*", number, text)
    text = re.sub(r"\(1 - ([\d.e-]+)\)", lambda found: shown(1 - float(found[1])), text)
    return re.sub(r"(\d) (?=\d)", r"\1 * ", text)


def _called(schedule: Any) -> str:
    """What a schedule is called: a function by its name, else as it is written."""
    return getattr(schedule, "__name__", None) or repr(schedule)


def shown(x: float) -> str:
    """A number without the rounding noise of its last digit, and 1.0 as 1."""
    return f"{x:.12g}"


# ---------------------------------------------------------------- the last step


def explanation(optimizer: Any, parameter: Tensor, index: Any) -> str:
    """What the last step did to one number of a parameter, in lines.

    The step is taken again, by the same code, on copies of what it found.
    """
    part, i = _place(optimizer, parameter)
    before = _found(optimizer, part, i)
    rule = object.__new__(type(optimizer))
    attributes, scale, *_ = part.kept
    vars(rule).update(attributes)
    after = [v.copy() for v in before]
    flat = tuple([v if part.states else v.reshape(-1) for v in after])  # as the step has it
    with np.errstate(all="ignore"):
        noted = rule._update(flat, scale) or {}
    theta, g = before[:2]
    change = after[0] - theta
    index = _index(index, change)

    def at(v: Any) -> str:
        v = np.reshape(v, theta.shape) if np.size(v) == theta.size else v
        return str(np.broadcast_to(v, theta.shape)[index])

    rows = {"g": at(g)}
    if rule._clipped(g, scale) is not g:
        rows["g clipped"] = at(rule._clipped(g, scale))
    rows["rate"] = str(rule.rate)
    rows |= {name: str(getattr(rule, name)) for name in rule.corrections()}
    for name, old, new in zip(part.state_of(i), before[2:], after[2:], strict=True):
        rows[name] = f"{at(old)} -> {at(new)}"
    rows |= {name: at(v) for name, v in noted.items() if name not in rows}
    rows["theta"] = f"{at(theta)} -> {at(after[0])}"
    rows["change"] = at(change)
    if g[index]:
        rows["effective rate"] = f"{-float(change[index]) / float(g[index]):.6g}"
    return "\n".join(
        [
            f"{type(rule).__name__}, step {rule.t}, {_title(parameter, index)}:",
            *(f"    {name:<16}{text}" for name, text in rows.items()),
            "by the rule",
            *("    " + line for line in lines_of(rule, part.state_of(i))),
        ]
    )


def _title(parameter: Tensor, index: tuple[int, ...]) -> str:
    name = parameter.name or f"a parameter of shape {parameter.shape}"
    return f"{name}[{', '.join(map(str, index))}]" if index else name


def _place(optimizer: Any, parameter: Tensor) -> tuple[Any, int]:
    for part in optimizer._parts():
        for i, t in enumerate(part.arena.tensors):
            if t is parameter:
                return part, i
    raise ValueError(
        f"{type(optimizer).__name__}.explain_step: this is none of the optimizer's parameters."
    )


def _found(optimizer: Any, part: Any, i: int) -> tuple[Array, ...]:
    """What the last step found of a parameter: theta, g and the state."""
    name = f"{type(optimizer).__name__}.explain_step"
    if part.kept is not None and i in part.kept[2]:
        raise RuntimeError(f"{name}: the last step left it as it is: it had no gradient.")
    found = part.found(i)
    if found is None:
        part.asked.add(i)
        if optimizer.iterations and part.size > BLOCK:
            raise RuntimeError(
                f"{name}: of {part.size:,} parameters a step keeps only what was asked for. Now "
                "this one was: take a step, and ask again."
            )
        raise RuntimeError(f"{name}: no step to explain yet; take one.")
    return found


def _index(index: Any, change: Array) -> tuple[int, ...]:
    """The index as a tuple; without one, that of the number that changed the most."""
    if change.size == 0:
        raise IndexError(f"explain_step: a parameter of shape {change.shape} has no numbers.")
    if index is None:
        most = np.unravel_index(np.argmax(np.abs(change)), change.shape)
        return tuple(int(k) for k in most)
    index = index if isinstance(index, tuple) else (index,)
    try:
        if len(index) != change.ndim or np.ndim(change[index]):
            raise IndexError
    except IndexError:
        raise IndexError(
            f"explain_step: index {index} is no number of a parameter of shape {change.shape}."
        ) from None
    return index
