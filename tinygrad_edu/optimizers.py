"""Optimizers: how to walk downhill, in order of increasing subtlety.

All of them repeat one line, new value = old value - learning rate * slope, and differ in what they
make of the slopes they have seen:

    theta -= rate * g                                   plain gradient descent
    theta += velocity                                   with momentum: a ball that rolls
    theta -= rate * m / (sqrt(v) + epsilon)             a rate of its own for every parameter

An optimizer is a class that states its `state` (vectors beside theta, with their first value) and
its `update` of a vector. All else happens once, in `Optimizer`: collecting the parameters in one
vector, clipping, the learning rate, cutting long vectors into blocks that fit the cache.

Names, defaults and arithmetic are those of Keras 2.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tinygrad_edu.arena import Arena, check_free
from tinygrad_edu.arrays import Array
from tinygrad_edu.tensor import Tensor

__all__ = ["SGD", "Adam", "Optimizer", "get"]

BLOCK = 65_536  # numbers of a vector at a time: the few blocks an update needs stay in the cache
EPSILON = 1e-7  # what epsilon=None means, as in Keras

Rate = float | Callable[[int], float]


class Optimizer:
    """What all optimizers share: everything but the formula.

    `params` are Tensors, a layer, or groups `[{"params": ..., "lr": ...}]`, given now or to `bind`.
    `iterations` counts the steps taken. `lr` may be a function of that number.
    """

    def __init__(self, params: Any, lr: Rate, **settings: Any) -> None:
        if isinstance(params, (int, float, np.number)):
            raise TypeError(
                f"{type(self).__name__}({params}): the first argument is the parameters; "
                f"write lr={params}."
            )
        settings = _checked(type(self).__name__, {"lr": lr, **settings})
        vars(self).update(settings)
        self._settings = tuple(settings)
        self._warned = False
        self.iterations = 0
        self.groups: list[Group] = []
        if params is not None:
            self.bind(params)

    # What a subclass states.

    def state(self) -> dict[str, float]:
        """The vectors kept beside theta: name and first value."""
        return {}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        """Change theta and state in place. `self.rate` is the rate now, `self.t` counts from 1."""
        raise NotImplementedError(f"{type(self).__name__}: write update(self, theta, g).")

    lr: Any
    rate: float
    clipnorm: float | None = None
    clipvalue: float | None = None
    decay: float = 0.0

    @property
    def t(self) -> int:
        """The number of the step that is being taken, from 1."""
        return self.iterations + 1

    # One step.

    def step(self) -> None:
        """Update all parameters that have a gradient, from it.

        Raises FloatingPointError for a gradient with nan or inf, ValueError for a changed shape,
        both before anything is written. Graphs whose gradients were used are let go of.
        """
        if not self.groups:
            raise RuntimeError(
                f"{type(self).__name__}: no parameters yet; give them, or use bind()."
            )
        plan = []
        for group in self.groups:
            for part in group.parts:
                missing = self._without_gradient(part.arena)
                plan.append((group.settings, part, part.arena.runs(missing)))
        squares = _squares(plan)
        if not math.isfinite(squares):
            self._refuse_nonfinite()
            squares = _squares(plan, np.float64)  # finite, but too large for float32
        scale = 1.0
        if self.clipnorm and squares >= self.clipnorm**2:
            scale = self.clipnorm / math.sqrt(squares)
        for settings, part, runs in plan:
            rule = self._with(settings) if settings else self
            rule._update_part(part, runs, scale)
        self.iterations += 1
        for _, part, _ in plan:
            part.arena.written()

    def _update_part(self, part: Part, runs: list[slice], scale: float) -> None:
        """Clip the gradient and apply the formula, block by block."""
        lr = self.lr(self.iterations) if callable(self.lr) else self.lr
        self.rate = lr / (1 + self.decay * self.iterations)
        vectors = [part.arena.data, part.arena.grad, *part.state.values()]
        for block in _blocks(runs, len(vectors[0])):
            theta, g, *state = vectors if block is None else [v[block] for v in vectors]
            if scale != 1:
                g = g * scale
            if self.clipvalue:
                g = np.clip(g, -self.clipvalue, self.clipvalue)
            self.update(theta, g, *state)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.grad = None

    def minimize(self, loss_function: Callable[[], Tensor]) -> Tensor:
        """One whole step on the loss that `loss_function()` returns.

        >>> x = Tensor(1.0, requires_grad=True)
        >>> SGD(x, lr=0.25).minimize(lambda: x * x).item(), x.item()
        (1.0, 0.5)
        """
        self.zero_grad()
        loss = loss_function()
        loss.backward()
        self.step()
        return loss

    # Which parameters.

    def bind(self, params: Any) -> Optimizer:
        """Take charge of these parameters, and return the optimizer.

        Raises TypeError for what is no parameter, ValueError for none at all, for one that another
        optimizer has, and for one in two groups.
        """
        if self.groups:
            raise ValueError(f"{type(self).__name__}: it has its parameters; make a new optimizer.")
        groups: list[tuple[dict[str, Any], list[Tensor]]] = []
        known: set[int] = set()
        for given in _groups(params):
            settings = {key: value for key, value in given.items() if key != "params"}
            if unknown := [key for key in settings if key not in self._settings]:
                raise TypeError(
                    f"{type(self).__name__}: a group sets {unknown}, which it does not have."
                )
            settings = _checked(type(self).__name__, settings)
            if "clipnorm" in settings:
                raise ValueError(
                    f"{type(self).__name__}: clipnorm is of all gradients together, not of a "
                    "group; give it to the optimizer."
                )
            tensors = _tensors(given["params"])
            if any(id(t) in known for t in tensors):
                raise ValueError(f"{type(self).__name__}: a parameter is in two groups.")
            known.update(id(t) for t in tensors)
            groups.append((settings, tensors))
        check_free([t for _, tensors in groups for t in tensors])
        for settings, tensors in groups:
            start = self._with(settings).state()
            parts = []
            for dtype in dict.fromkeys(t.dtype for t in tensors):
                arena = Arena([t for t in tensors if t.dtype == dtype])
                state = {name: np.full_like(arena.data, value) for name, value in start.items()}
                parts.append(Part(arena, state))
            self.groups.append(Group(settings, parts))
        return self

    def parameters(self) -> list[Tensor]:
        """All parameters, group by group."""
        return [t for group in self.groups for part in group.parts for t in part.arena.tensors]

    # Saving.

    def get_config(self) -> dict[str, Any]:
        """The arguments that make such an optimizer again, see `from_config`."""
        return {name: getattr(self, name) for name in self._settings}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Optimizer:
        """An optimizer with the arguments of a `get_config`, without parameters yet.

        >>> SGD.from_config(SGD(momentum=0.9).get_config()).momentum
        0.9
        """
        return cls(**config)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: the count of steps, and copies of the state vectors."""
        vectors = {name: v.copy() for name, v in self._vectors()}
        return {"iterations": self.iterations, **vectors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a `state_dict`; ValueError, and nothing changed, if it does not fit."""
        own: dict[str, Array] = {"iterations": np.array(self.iterations), **dict(self._vectors())}
        given = {name: np.asarray(v) for name, v in state.items()}
        odd = [name for name in own if name not in given or given[name].shape != own[name].shape]
        odd += [name for name in given if name not in own or given[name].dtype.kind not in "fiu"]
        count = given.get("iterations", np.array(-1))
        if not odd and (count.dtype.kind not in "iu" or count < 0):
            odd = [f"iterations={count}"]
        if odd:
            raise ValueError(
                f"{type(self).__name__}: nothing was loaded: {', '.join(odd)} "
                "missing, unknown, of another shape, or no numbers."
            )
        self.iterations = int(count)
        for name, v in self._vectors():
            v[...] = given[name]

    # How it is done.

    def _vectors(self) -> Iterator[tuple[str, Array]]:
        """The state of each parameter in its shape, named by the parameter's number: "0.m"."""
        parts = [part for group in self.groups for part in group.parts]
        places = [
            (p, t, i)
            for p in parts
            for t, i in zip(p.arena.tensors, p.arena.stretches, strict=True)
        ]
        for number, (part, t, stretch) in enumerate(places):
            for name, vector in part.state.items():
                yield f"{number}.{name}", vector[stretch].reshape(t.shape)

    def _with(self, settings: dict[str, Any]) -> Optimizer:
        """This optimizer with a group's own settings."""
        rule = copy.copy(self)
        vars(rule).update(settings)
        return rule

    def _without_gradient(self, arena: Arena) -> list[int]:
        """Which tensors have no gradient; said once for those that want one."""
        missing = arena.gather()
        if not missing:
            return missing
        without = [arena.tensors[i] for i in missing if arena.tensors[i].requires_grad]
        if without and not self._warned:
            self._warned = True
            names = ", ".join(t.name or f"a parameter of shape {t.shape}" for t in without)
            warnings.warn(
                f"{type(self).__name__}.step: no gradient for {names}: left as it is. Did the loss "
                "use it, and was backward() called before step()?",
                stacklevel=3,
            )
        return missing

    def _refuse_nonfinite(self) -> None:
        for p in self.parameters():
            if p.grad is not None and not np.isfinite(p.grad).all():
                bad = np.argwhere(~np.isfinite(p.grad))[0].tolist()
                raise FloatingPointError(
                    f"{type(self).__name__}.step: the gradient of {p.name or 'a parameter'} (shape "
                    f"{p.shape}) has {p.grad[tuple(bad)]} at {bad}; nothing was updated. Lower lr, "
                    "clip (clipnorm=1), or look for log(0), 0/0 or a large exp in the loss."
                )

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


# ---------------------------------------------------------------- gradient descent


class SGD(Optimizer):
    """Gradient descent, with momentum if wanted.

        v = momentum v - rate g,   theta += v         or, with nesterov,
                                   theta += momentum v - rate g
        rate = lr / (1 + decay * iterations)

    The rate stands inside the velocity (Keras); PyTorch has it outside. Source: Polyak 1964;
    Sutskever et al. 2013.

    >>> x = Tensor(1.0, requires_grad=True)
    >>> opt = SGD(x, lr=0.1, momentum=0.5)
    >>> for _ in range(2):
    ...     loss = opt.minimize(lambda: x * x)
    >>> round(x.item(), 6)
    0.54
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.01,
        momentum: float = 0.0,
        decay: float = 0.0,
        nesterov: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
    ) -> None:
        super().__init__(
            params, lr, momentum=momentum, decay=decay, nesterov=nesterov,
            clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    momentum: float
    nesterov: bool

    def state(self) -> dict[str, float]:
        return {"velocity": 0.0} if self.momentum else {}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        if not state:
            theta -= self.rate * g
            return
        (velocity,) = state
        velocity *= self.momentum
        velocity -= self.rate * g
        theta += self.momentum * velocity - self.rate * g if self.nesterov else velocity


# ---------------------------------------------------------------- a rate for every parameter


class Adam(Optimizer):
    """Adaptive moments: the mean slope m, over the root of the mean squared slope v.

        m = beta_1 m + (1 - beta_1) g
        v = beta_2 v + (1 - beta_2) g^2
        theta -= rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

    The two factors correct that m and v start at 0. With `amsgrad`, the largest v so far stands in
    for v. Epsilon is outside the correction (Keras); PyTorch has it inside. Source: Kingma & Ba
    2015; Reddi et al. 2018.

    >>> x = Tensor(1.0, requires_grad=True)
    >>> loss = Adam(x, lr=0.1).minimize(lambda: x * x)
    >>> round(x.item(), 5)
    0.9
    """

    def __init__(
        self,
        params: Any = None,
        lr: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = None,
        decay: float = 0.0,
        amsgrad: bool = False,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
    ) -> None:
        super().__init__(
            params, lr, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon, decay=decay,
            amsgrad=amsgrad, clipnorm=clipnorm, clipvalue=clipvalue,
        )  # fmt: skip

    beta_1: float
    beta_2: float
    epsilon: float
    amsgrad: bool

    def state(self) -> dict[str, float]:
        return {"m": 0.0, "v": 0.0, "v_max": 0.0} if self.amsgrad else {"m": 0.0, "v": 0.0}

    def update(self, theta: Array, g: Array, *state: Array) -> None:
        m, v = state[:2]
        m *= self.beta_1
        m += (1 - self.beta_1) * g
        v *= self.beta_2
        v += (1 - self.beta_2) * g * g
        if self.amsgrad:
            v = np.maximum(state[2], v, out=state[2])
        rate = self.rate * math.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
        theta -= rate * m / (np.sqrt(v) + self.epsilon)


# ---------------------------------------------------------------- what the base class uses


class Part(NamedTuple):
    """Parameters of one dtype, and the state vectors beside them."""

    arena: Arena
    state: dict[str, Array]


class Group(NamedTuple):
    """Parameters that share settings of their own."""

    settings: dict[str, Any]
    parts: list[Part]


def _squares(plan: list[Any], dtype: Any = None) -> float:
    """The sum of all g^2: not finite if some g is not."""
    total = 0.0
    for _, part, runs in plan:
        for run in runs:
            g = part.arena.grad[run]
            if dtype is not None:
                g = g.astype(dtype)
            total += float(np.vdot(g, g))  # as dot, but an overflow is no warning: it is looked at
    return total


def _blocks(runs: list[slice], n: int) -> Iterator[slice | None]:
    """The runs cut into blocks; None for all of a short vector, which needs no cutting."""
    if n <= BLOCK and runs == [slice(0, n)]:
        yield None
        return
    for run in runs:
        for start in range(run.start, run.stop, BLOCK):
            yield slice(start, min(start + BLOCK, run.stop))


def _checked(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, with what epsilon=None means; numbers that make no sense are refused."""
    settings = dict(settings)
    if settings.get("epsilon", 0) is None:
        settings["epsilon"] = EPSILON
    for key, value in settings.items():
        if value is None and key in ("clipnorm", "clipvalue"):
            continue
        if isinstance(value, bool) or (key == "lr" and callable(value)):
            continue
        if not isinstance(value, (int, float, np.number)):
            raise TypeError(f"{name}: {key}={value!r} is no number.")
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name}: {key}={value!r} must be finite and not negative.")
        if key in ("beta_1", "beta_2", "rho") and value >= 1:
            raise ValueError(f"{name}: {key}={value!r} is not in [0, 1).")
    return settings


def _groups(params: Any) -> list[dict[str, Any]]:
    if isinstance(params, dict) and "params" in params:
        return [params]
    if isinstance(params, (list, tuple)) and params and all(isinstance(p, dict) for p in params):
        for i, group in enumerate(params):
            if "params" not in group:
                raise ValueError(f"optimizer: group {i} ({group}) has no 'params'.")
        return list(params)
    return [{"params": params}]


def _tensors(params: Any) -> list[Tensor]:
    """The parameters meant, each once, in order."""
    if hasattr(params, "parameters"):
        params = params.parameters()
    if isinstance(params, Tensor):
        params = [params]
    if isinstance(params, dict):
        params = params.values()
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


def get(optimizer: str | type[Optimizer] | Optimizer) -> Optimizer:
    """The optimizer of that name with its default numbers; one already made is passed on.

    >>> get("sgd")
    SGD(lr=0.01, momentum=0.0, decay=0.0, nesterov=False, clipnorm=None, clipvalue=None)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()  # type: ignore[call-arg]
    known = {cls.__name__.lower(): cls for cls in (SGD, Adam)}
    if not isinstance(optimizer, str) or optimizer.lower() not in known:
        raise ValueError(f"optimizers: there is no {optimizer!r}; there are {', '.join(known)}.")
    return known[optimizer.lower()]()
