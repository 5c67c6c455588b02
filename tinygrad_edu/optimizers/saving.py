"""All that a resumed run needs, by name: what an optimizer saves, and how it takes it over again.

"0.m"          the m of the first parameter, in its shape
"lr"           a setting; None stands as nan
"groups.1.lr"  a setting that the second group has of its own
"parts.0.product", "schedule.best", ...   what is remembered from step to step
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arrays import Array
from tinygrad_edu.optimizers.settings import CHOICES, NONE_OR_NUMBER


class Entry(NamedTuple):
    """A plain number that is saved: its name, where it is kept under which key, and a check."""

    name: str
    holder: dict[str, Any]
    key: str
    checked: Callable[[Any], Any]


def numbers(optimizer: Any) -> Iterator[Entry]:
    """The count of steps, the settings that are numbers, and what is remembered of a step."""

    def setting(name: str, holder: dict[str, Any], key: str, prefix: str = "") -> Iterator[Entry]:
        def check(x: Any) -> Any:
            return optimizer.checked({name: x})[name]

        if name in CHOICES:
            return  # words
        if holder[key] is None or isinstance(holder[key], (bool, int, float)):
            yield Entry(prefix + name, holder, key, check)

    yield Entry("iterations", vars(optimizer), "iterations", _count)
    for name in optimizer._settings:
        yield from setting(name, vars(optimizer), "_lr" if name == "lr" else name)
    for i, group in enumerate(optimizer.groups):
        for name in group.settings:
            yield from setting(name, group.settings, name, f"groups.{i}.")
    for i, part in enumerate(optimizer._parts()):
        for name in part.numbers:
            yield Entry(f"parts.{i}.{name}", part.numbers, name, _finite)


def schedules(optimizer: Any) -> Iterator[tuple[str, Any]]:
    """The schedules that remember something."""
    rates = [("schedule", optimizer._lr)]
    for i, group in enumerate(optimizer.groups):
        rates.append((f"groups.{i}.schedule", group.settings.get("lr")))
    return ((name, rate) for name, rate in rates if hasattr(rate, "state_dict"))


def arrays(optimizer: Any) -> Iterator[tuple[str, Array]]:
    """The state of each parameter in its shape, named by the parameter's number."""
    number = 0
    for part in optimizer._parts():
        for i in range(len(part.arena.tensors)):
            for name, v in part.state_of(i).items():
                yield f"{number}.{name}", v
            number += 1


def saved(optimizer: Any) -> dict[str, Any]:
    """Everything by name: plain numbers, and copies of the arrays."""
    values = {entry.name: entry.holder[entry.key] for entry in numbers(optimizer)}
    state = {name: math.nan if x is None else x for name, x in values.items()}
    for name, schedule in schedules(optimizer):
        state.update({f"{name}.{key}": x for key, x in schedule.state_dict().items()})
    return state | {name: v.copy() for name, v in arrays(optimizer)}


def load(optimizer: Any, state: Mapping[str, Any]) -> None:
    """Take everything over; ValueError if something does not fit, and then nothing is changed."""
    given = {name: np.asarray(v) for name, v in state.items()}
    _check_names(given, {name: np.asarray(v) for name, v in saved(optimizer).items()})
    entries = [(entry, _restored(entry, given[entry.name].item())) for entry in numbers(optimizer)]
    vectors = [
        (v, _cast(name, given[name], v.dtype, optimizer.nonfinite == "ignore"))
        for name, v in arrays(optimizer)
    ]
    before = [(schedule, schedule.state_dict()) for _, schedule in schedules(optimizer)]
    try:
        for name, schedule in schedules(optimizer):
            own = {key: given[f"{name}.{key}"] for key in schedule.state_dict()}
            schedule.load_state_dict({k: v if v.ndim else v.item() for k, v in own.items()})
    except Exception:
        for schedule, old in before:
            schedule.load_state_dict(old)
        raise
    for entry, x in entries:
        entry.holder[entry.key] = x
    for v, new in vectors:
        v[...] = new


def _check_names(given: Mapping[str, Array], own: Mapping[str, Array]) -> None:
    odd = [name for name in own if name not in given or given[name].shape != own[name].shape]
    odd += [name for name in given if name not in own or given[name].dtype.kind not in "bfiu"]
    if odd:
        raise ValueError(
            f"{', '.join(map(str, odd))} missing, unknown, of another shape, or no numbers."
        )


def _restored(entry: Entry, x: Any) -> Any:
    """The number as the optimizer has it; a file may have made a float of a bool or an int."""
    kind = type(entry.holder[entry.key])
    if isinstance(x, float) and math.isnan(x) and entry.key in NONE_OR_NUMBER:
        x = None
    elif (kind is bool and x in (0, 1)) or (kind is int and float(x).is_integer()):
        x = kind(x)
    return entry.checked(x)


def _count(x: Any) -> int:
    if type(x) is not int or x < 0:
        raise ValueError(f"iterations={x} is no count of steps.")
    return x


def _finite(x: Any) -> float:
    if not isinstance(x, float) or not 0 <= x < math.inf:
        raise ValueError(f"{x} is no number to go on with.")
    return x


def _cast(name: str, v: Array, dtype: Any, any_number: bool) -> Array:
    with np.errstate(all="ignore"):
        cast = v.astype(dtype)
    if not any_number and not np.isfinite(cast).all():
        raise ValueError(f"{name} has nan or inf, or numbers too large for {dtype}.")
    return cast
