"""What an optimizer accepts: numbers that make sense, parameters that can be changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_edu.tensor import Tensor

Rate = float | Callable[[int], float]

LARGEST = float(np.finfo(float).max)
EPSILON = 1e-7  # what epsilon=None means, as in Keras
NUMBERS = (
    *("lr", "decay", "clipnorm", "clipvalue", "momentum", "rho", "beta_1", "beta_2", "epsilon"),
    *("epsilon_1", "epsilon_2", "epsilon_root", "weight_decay", "schedule_decay", "beta2_decay"),
    *("d", "eta_minus", "eta_plus", "size_min", "size_max", "ns_steps", "ns_coefficients"),
    *("tolerance_grad", "tolerance_change"),
)
BELOW_ONE = ("beta_1", "beta_2", "rho")  # of a running mean: at 1 it would never learn anything
ABOVE_ZERO = ("epsilon",)  # it keeps 0 / 0 out where a slope has always been 0
NONE_OR_NUMBER = ("clipnorm", "clipvalue", "epsilon_1")
SIGNED = ("beta2_decay",)
FLAGS = ("nesterov", "amsgrad", "accumulate")
COUNTS = ("ns_steps",)
TUPLES = ("ns_coefficients",)
CHOICES = {
    "nonfinite": ("raise", "skip", "ignore"),
    "adjust_lr_fn": (None, "original", "match_rms_adamw"),
    "line_search_fn": (None, "strong_wolfe"),
}
OPTIONS = ("clipnorm", "clipvalue", "nonfinite", "accumulate")  # of every optimizer
ELSEWHERE = {  # what is called otherwise here
    "learning_rate": "lr",
    "betas": "beta_1 and beta_2",
    "b1": "beta_1",
    "b2": "beta_2",
    "eps": "epsilon",
    "alpha": "rho",
    "lr_decay": "decay",
    "momentum_decay": "schedule_decay",
    "weight_decay": "AdamW's, among others",
    "initial_accumulator_value": "0; docs/optimizers_elsewhere.md has a class with others",
    "dampening": "0; docs/optimizers_elsewhere.md has a class with others",
    "centered": "False; docs/optimizers_elsewhere.md has a class with True",
}


def known(name: str, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options, if they are some that every optimizer has."""
    for key in options:
        if key not in OPTIONS:
            hint = f" Here it is {ELSEWHERE[key]}." if key in ELSEWHERE else ""
            raise TypeError(f"{name}: there is no argument {key!r}.{hint}")
    return options


def checked(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings as Python numbers; what makes no sense is refused by name."""
    return {key: _checked(name, key, value) for key, value in settings.items()}


def _checked(name: str, key: str, value: Any) -> Any:
    what = f"{name}: {key}"
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise ValueError(f"{what}={value!r} is none of {CHOICES[key]}.")
        return value
    if key in FLAGS:
        if not isinstance(value, (bool, np.bool_)):
            raise TypeError(f"{what}={value!r} is neither True nor False.")
        return bool(value)
    if value is None and key == "epsilon":
        return EPSILON
    if (value is None and key in NONE_OR_NUMBER) or (key == "lr" and callable(value)):
        return value
    if key not in NUMBERS and isinstance(value, (bool, str, tuple)):
        return value  # a setting of somebody's own
    if key in TUPLES and isinstance(value, (tuple, list)):
        return tuple(number(what, x, signed=True) for x in value)
    value = number(what, value, signed=key in SIGNED)
    if key in BELOW_ONE and value >= 1:
        raise ValueError(f"{what}={value!r} is not in [0, 1).")
    if key in ABOVE_ZERO and value == 0:
        raise ValueError(f"{what}={value!r} must be above 0, or 0 / 0 may come up.")
    if key in COUNTS and (value != int(value) or value < 1):
        raise ValueError(f"{what}={value!r} must be a whole number of at least 1.")
    return int(value) if key in COUNTS else value


def check_epsilon(rule: Any, dtype: Any) -> None:
    """Refuse an epsilon that is 0 in the dtype of the parameters."""
    epsilon = getattr(rule, "epsilon", 1.0)
    if dtype.type(epsilon) == 0:
        raise ValueError(
            f"{type(rule).__name__}: epsilon={epsilon!r} is 0 in {dtype}; give a larger one."
        )


def number(what: str, value: Any, signed: bool = False) -> float:
    """A finite number, as Python has it: one of NumPy's would turn float32 into float64."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{what}={value!r} is no number.")
    if not abs(value) <= LARGEST or (value < 0 and not signed):
        raise ValueError(f"{what}={value!r} must be finite and not negative.")
    return value


def groups_of(params: Any) -> list[dict[str, Any]]:
    """Groups as they were given; parameters without a group are one."""
    if isinstance(params, dict) and "params" in params:
        return [params]
    if isinstance(params, (list, tuple)) and params and all(isinstance(p, dict) for p in params):
        for i, group in enumerate(params):
            if "params" not in group:
                raise ValueError(f"optimizer: group {i} ({group}) has no 'params'.")
        return list(params)
    return [{"params": params}]


def tensors_of(params: Any) -> list[Tensor]:
    """The parameters meant, each once, in order."""
    if hasattr(params, "parameters"):
        params = params.parameters()
    if isinstance(params, Tensor):
        params = [params]
    if isinstance(params, dict):
        params = params.values()
    if isinstance(params, (set, frozenset)):
        raise TypeError("optimizer: a set of parameters has no order; give them in a list.")
    if not isinstance(params, Iterable):
        raise TypeError(
            f"optimizer: {params!r} is neither a Tensor, nor a layer, nor a list of them."
        )
    tensors = list({id(t): t for t in params}.values())
    if not tensors:
        raise ValueError("optimizer: there are no parameters; does the layer have any?")
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"optimizer: {t!r} is a {type(t).__name__}, not a Tensor.")
        if not t.is_leaf or t.dtype.kind != "f":
            raise TypeError(
                f"optimizer: {t.name or 'a tensor'} of shape {t.shape} is no parameter: it "
                + (f"was made by {t.op.name}" if not t.is_leaf else f"has dtype {t.dtype}")
                + "; give leaf tensors made with requires_grad=True."
            )
    if not any(t.requires_grad for t in tensors):
        raise ValueError(
            "optimizer: no parameter requires grad; make them with requires_grad=True."
        )
    return tensors
