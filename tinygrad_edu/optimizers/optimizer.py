"""What all optimizers share: everything but the formula.

A step collects the gradients of all parameters, refuses what is not finite, clips, works out the
rate, and hands vectors to the formula. The formulas are in the files beside this one.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinygrad_edu.arena import check_free, is_taken
from tinygrad_edu.arrays import Array
from tinygrad_edu.modes import users_level
from tinygrad_edu.optimizers import finite, saving
from tinygrad_edu.optimizers.explaining import explanation, formula
from tinygrad_edu.optimizers.finite import Work
from tinygrad_edu.optimizers.parts import Part, Piece, for_each
from tinygrad_edu.optimizers.settings import (
    Rate,
    check_epsilon,
    checked,
    groups_of,
    known,
    number,
    tensors_of,
)
from tinygrad_edu.printed import Printed
from tinygrad_edu.tensor import Tensor

__all__ = ["Optimizer"]


class Group(NamedTuple):
    """Parameters that share settings of their own: a part for each dtype."""

    settings: dict[str, Any]
    parts: list[Part]
    alone: bool = False  # the only part of all, without settings: it needs no rule of its own


class Optimizer:
    """What all optimizers share: everything but the formula.

    `params` are Tensors, a layer, or groups `[{"params": ..., "lr": ...}]`, given now or to `bind`.
    `lr` is a number, or a function of the steps taken (see `schedules`). All else that a subclass
    hands on is a setting; these have a meaning here:

        decay         rate = lr / (1 + decay iterations)
        clipnorm      all gradients together, as one vector, are scaled down to this length
        clipvalue     every entry of a gradient is cut off at this size, up and down
        nonfinite     a gradient with nan or inf: "raise" an error, "skip" the step, or "ignore" it
        accumulate    True: gradients pile up from step to step on purpose; no warning about it

    `iterations` counts the steps, `skipped` those that were not taken.
    """

    def __init__(
        self, params: Any, lr: Rate, options: Mapping[str, Any] | None = None, **settings: Any
    ) -> None:
        name = type(self).__name__
        if type(params) is np.ndarray and params.ndim == 0:
            params = params.item()
        if isinstance(params, (int, float, np.number)):
            raise TypeError(
                f"{name}({params}): the first argument is the parameters; write lr={params}."
            )
        settings = {"lr": lr, **settings, **known(name, options or {})}
        self._settings = tuple(settings)
        self._set(self.checked(settings))
        self._warned: set[str] = set()
        self.iterations = 0
        self.skipped = 0
        self.groups: list[Group] = []
        if params is not None:
            self.bind(params)

    # What a subclass states.

    per_parameter = False  # True: update wants whole parameters in their shapes, not vectors
    numbers: ClassVar[Mapping[str, float]] = {}  # what to remember of a step, and its first values

    def state(self, theta: Array) -> dict[str, Array]:
        """The arrays kept beside theta, as they are before the first step."""
        return {}

    def corrections(self) -> dict[str, float]:
        """Numbers of this step, the same for all parameters; `update` finds them as attributes."""
        return {}

    def update(self, theta: Array, g: Array, *state: Array) -> Mapping[str, Any] | None:
        """Change theta and state in place. `self.rate` is the rate now, `self.t` counts from 1.

        May return, by name, what was computed on the way: `explain_step` will show it.
        """
        raise NotImplementedError(f"{type(self).__name__}: write update(self, theta, g).")

    @classmethod
    def checked(cls, settings: dict[str, Any]) -> dict[str, Any]:
        """The settings, ready to use; TypeError or ValueError for what makes no sense."""
        return checked(cls.__name__, settings)

    # What a step reads.

    rate: float  # the learning rate of the step that is being taken
    decay: float = 0.0
    clipnorm: float | None = None
    clipvalue: float | None = None
    nonfinite: str = "raise"
    accumulate: bool = False
    _lr: Rate

    @property
    def lr(self) -> float:
        """The learning rate now: the number that was set, or what the schedule says."""
        if not callable(self._lr):
            return self._lr
        return number(f"{type(self).__name__}: lr of step {self.t}", self._lr(self.iterations))

    @lr.setter
    def lr(self, lr: Rate) -> None:
        self._set(self.checked({"lr": lr}))

    @property
    def learning_rate(self) -> float:
        """Others' name of `lr`."""
        raise AttributeError(f"{type(self).__name__}: the learning rate is `lr` here.")

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        raise AttributeError(
            f"{type(self).__name__}: the learning rate is `lr` here: optimizer.lr = {rate!r}."
        )

    @property
    def schedule(self) -> Callable[[int], float] | None:
        """The function that gives the learning rate, or None where it is a number."""
        return self._lr if callable(self._lr) else None

    @property
    def t(self) -> int:
        """The number of the step that is being taken, from 1."""
        return self.iterations + 1

    # One step.

    def step(self) -> None:
        """Update all parameters that have a gradient, from it.

        Raises FloatingPointError for a gradient with nan or inf, or one whose square is too large
        for the formula, and ValueError for a changed shape, both before anything is written. If the
        formula itself fails, or is interrupted, up to 65,536 parameters go back to where they were.
        Graphs whose gradients were used are let go of.
        """
        if not self.groups:
            raise RuntimeError(
                f"{type(self).__name__}: no parameters yet; give them, or use bind()."
            )
        plan: list[Work] = []
        for group in self.groups:
            for part in group.parts:
                plan.append((self._rule(group, part), part, self._gathered(part)))
        scale = self._scale(plan)
        if scale is None:
            self.skipped += 1
            for _, part, _ in plan:
                part.arena.steps[0] += 1
            return
        before = [part.keep(rule.__dict__, scale, missing) for rule, part, missing in plan]
        try:
            for rule, part, missing in plan:
                pieces = part.pieces(missing)
                if len(pieces) == 1:
                    rule._update(pieces[0], scale)
                else:
                    for_each(pieces, rule._update, scale)
        except BaseException:  # an error in a formula, or Ctrl-C
            for (_, part, _), kept in zip(plan, before, strict=True):
                part.go_back(kept)
            raise
        self.iterations += 1
        for rule, part, _ in plan:
            if self.numbers:
                part.numbers = {name: getattr(rule, name) for name in self.numbers}
            part.arena.written()

    def _rule(self, group: Group | None = None, part: Part | None = None) -> Optimizer:
        """This optimizer with the settings of a group, and the numbers of the step to come."""
        rule = self
        if group is not None and not group.alone:
            rule = copy.copy(self)
            rule._set(group.settings)
        attributes = rule.__dict__
        if self.numbers:
            attributes.update(part.numbers if part is not None else self.numbers)
        rule.rate = rule.lr / (1 + rule.decay * rule.iterations)
        attributes.update(rule.corrections())
        return rule

    def _update(self, piece: Piece, scale: float) -> Mapping[str, Any] | None:
        if scale != 1 or self.clipvalue:
            theta, g, *state = piece
            piece = (theta, self._clipped(g, scale), *state)
        return self.update(*piece)

    def _clipped(self, g: Array, scale: float) -> Array:
        if scale != 1:
            tiny = scale < np.finfo(g.dtype).tiny  # 0 in the dtype of g, but perhaps not times g
            g = (g * np.float64(scale)).astype(g.dtype) if tiny else g * scale
        if self.clipvalue:
            g = np.clip(g, -self.clipvalue, self.clipvalue)
        return g

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    def minimize(self, loss_function: Callable[[], Tensor]) -> Tensor:
        """One whole step on the loss that `loss_function()` returns.

        >>> from tinygrad_edu.optimizers import SGD
        >>> x = Tensor(1.0, requires_grad=True)
        >>> SGD(x, lr=0.25).minimize(lambda: x * x).item(), x.item()
        (1.0, 0.5)
        """
        self.zero_grad()
        loss = loss_function()
        loss.backward()
        self.step()
        return loss

    # Gradients that are not as they should be.

    def _gathered(self, part: Part) -> list[int]:
        """Which tensors of the part have no gradient; odd things are said once."""
        missing = part.arena.gather()
        if not missing and not part.arena.piled_up:  # the usual case
            return missing
        if part.arena.piled_up and not self.accumulate:
            self._warn(
                "the gradients of the step before were still there, and the new ones were added "
                "to them. Call optimizer.zero_grad() before loss.backward(); or, if they are to "
                f"pile up, make it {type(self).__name__}(..., accumulate=True)."
            )
        wanted = [part.arena.tensors[i] for i in missing if part.arena.tensors[i].requires_grad]
        if wanted:
            names = ", ".join(t.name or f"a parameter of shape {t.shape}" for t in wanted)
            self._warn(
                f"no gradient for {names}: left as it is. Did the loss use it, and was backward() "
                "called before step()?"
            )
        return missing

    def _warn(self, text: str) -> None:
        """Say it once, at the line outside of this library that led here."""
        kind = text.split()[0]
        if kind not in self._warned:
            self._warned.add(kind)
            warnings.warn(f"{type(self).__name__}.step: {text}", stacklevel=users_level())

    def _scale(self, plan: list[Work]) -> float | None:
        """What clipnorm multiplies the gradients by; None if the step is to be skipped."""
        norm = math.sqrt(finite.squares(plan))
        odd = not math.isfinite(norm)  # nan or inf, or only too large to be squared
        if odd:
            norm = finite.norm(plan)
        scale = 1.0
        if self.clipnorm and norm >= self.clipnorm:
            scale = self.clipnorm / norm
        if odd and self.nonfinite != "ignore":
            problem = finite.nonfinite(plan) or finite.overflow(plan, scale)
            if problem and self.nonfinite == "raise":
                raise FloatingPointError(f"{type(self).__name__}.step: {problem}")
            if problem:
                return None
        return scale

    # Which parameters.

    def bind(self, params: Any) -> Optimizer:
        """Take charge of these parameters, and return the optimizer.

        A frozen parameter that another optimizer has is left to that one.

        Raises TypeError for what is no parameter, ValueError for none at all, for one that another
        optimizer has, and for one in two groups.
        """
        name = type(self).__name__
        if self.groups:
            raise ValueError(f"{name}: it has its parameters; make a new optimizer.")
        groups = [self._checked_group(given) for given in groups_of(params)]
        tensors = [t for _, members in groups for t in members]
        if len({id(t) for t in tensors}) < len(tensors):
            raise ValueError(f"{name}: a parameter is in two groups.")
        check_free(tensors)
        try:
            made = [self._group(settings, members) for settings, members in groups]
        except Exception:
            for t in tensors:
                t._home = None  # free again
            raise
        alone = sum(len(group.parts) for group in made) == 1 and not made[0].settings
        self.groups = [group._replace(alone=alone) for group in made]
        return self

    def _group(self, settings: dict[str, Any], tensors: list[Tensor]) -> Group:
        rule = copy.copy(self)
        rule._set(settings)
        parts = []
        for dtype in dict.fromkeys(t.dtype for t in tensors):
            check_epsilon(rule, dtype)
            same = [t for t in tensors if t.dtype == dtype]
            parts.append(Part(same, rule.state, self.numbers, self.per_parameter))
        return Group(settings, parts)

    def _checked_group(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[Tensor]]:
        name = type(self).__name__
        settings = {key: value for key, value in given.items() if key != "params"}
        if unknown := [key for key in settings if key not in self._settings]:
            raise TypeError(f"{name}: a group sets {unknown}, which it does not have.")
        settings = self.checked(settings)
        for key in ("clipnorm", "nonfinite", "accumulate"):
            if key in settings:
                raise ValueError(
                    f"{name}: {key} is a matter of the whole step, not of a group; give it to the "
                    "optimizer."
                )
        tensors = tensors_of(given["params"])
        return settings, [t for t in tensors if t.requires_grad or not is_taken(t)]

    def parameters(self) -> list[Tensor]:
        """All parameters, group by group."""
        return [t for part in self._parts() for t in part.arena.tensors]

    def _parts(self) -> list[Part]:
        return [part for group in self.groups for part in group.parts]

    # What it does, in words and numbers.

    def formula(self) -> Printed:
        """Print the update rule with the numbers of this optimizer in it; returns the text.

        >>> from tinygrad_edu.optimizers import SGD
        >>> text = SGD(lr=0.5, momentum=0.9).formula()
        SGD:
            velocity = 0.9 velocity - 0.5 g
            theta += velocity
        """
        return Printed(formula(self))

    def explain_step(self, parameter: Tensor, index: Any = None) -> Printed:
        """Print what the last step did to one number of a parameter; returns the text.

        Shown are the gradient, the state before and after, the numbers of the step and the change,
        as the step computed them. `index` says which number: by default the one that changed the
        most. Of more than 65,536 parameters together, only what was asked for before is kept.

        >>> from tinygrad_edu.optimizers import SGD
        >>> w = Tensor([1.0, 3.0], requires_grad=True, name="w")
        >>> optimizer = SGD(w, lr=0.25)
        >>> loss = optimizer.minimize(lambda: (w * w).sum())
        >>> text = optimizer.explain_step(w, index=1)
        SGD, step 1, w[1]:
            g               6.0
            rate            0.25
            theta           3.0 -> 1.5
            change          -1.5
            effective rate  0.25
        by the rule
            theta -= 0.25 g
        """
        return Printed(explanation(self, parameter, index))

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make such an optimizer again, see `from_config`."""
        return {name: getattr(self, "_lr" if name == "lr" else name) for name in self._settings}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Optimizer:
        """An optimizer with the arguments of a `get_config`, without parameters yet.

        >>> from tinygrad_edu.optimizers import SGD
        >>> SGD.from_config(SGD(momentum=0.9).get_config()).momentum
        0.9
        """
        return cls(**config)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, by name: plain numbers, and copies of the state.

        "0.m" is the m of the first parameter, in its shape; "groups.1.lr" the rate that the second
        group has of its own; what a schedule remembers is there, too. None stands as nan.
        """
        return saving.saved(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; ValueError, and nothing changed, if it does not fit."""
        try:
            saving.load(self, state)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{type(self).__name__}: nothing was loaded: {error}") from None

    def _set(self, settings: Mapping[str, Any]) -> None:
        vars(self).update({"_lr" if name == "lr" else name: x for name, x in settings.items()})

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"
