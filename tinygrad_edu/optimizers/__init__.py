"""Optimizers: how to walk downhill, in order of increasing subtlety.

All of them repeat one line,

    new value = old value - learning rate * slope

and differ in what they make of the slopes they have seen:

    theta -= rate * g                                   plain gradient descent
    theta += velocity                                   with momentum: a ball that rolls
    theta -= rate * m / (sqrt(v) + epsilon)             a rate of its own for every parameter

An optimizer is a class that states its `state` (arrays beside theta) and its `update` of a vector.
Read them in this order:

    gradient_descent.py   SGD: the line above, with momentum if wanted
    adaptive.py           Adagrad, Adadelta, RMSprop, Adam, Adamax, Nadam
    beyond.py             what came after: AdamW, RAdam, AdaBelief, Yogi, Lion; and Rprop
    whole_arrays.py       LAMB, Adafactor, Muon, which look at a parameter as a whole
    second_order.py       LBFGS: from how the slope changes, how the ground is bent
    line_search.py        and how far to go then

What surrounds a formula is written once: optimizer.py (one step), parts.py (vectors, blocks,
threads), settings.py (what is accepted), finite.py (nan, length), saving.py, explaining.py.

Names, defaults and arithmetic of the first seven are those of Keras 2.
"""

from __future__ import annotations

from tinygrad_edu.optimizers.adaptive import Adadelta, Adagrad, Adam, Adamax, Nadam, RMSprop
from tinygrad_edu.optimizers.beyond import AdaBelief, AdamW, Lion, RAdam, Rprop, Yogi
from tinygrad_edu.optimizers.gradient_descent import SGD
from tinygrad_edu.optimizers.optimizer import Optimizer
from tinygrad_edu.optimizers.second_order import LBFGS
from tinygrad_edu.optimizers.whole_arrays import LAMB, Adafactor, Muon

__all__ = [
    "LAMB", "LBFGS", "SGD", "AdaBelief", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW",
    "Adamax", "Lion", "Muon", "Nadam", "Optimizer", "RAdam", "RMSprop", "Rprop", "Yogi", "get",
]  # fmt: skip

KNOWN: dict[str, type[Optimizer]] = {
    cls.__name__.lower(): cls
    for cls in (
        *(SGD, Adagrad, Adadelta, RMSprop, Adam, Adamax, Nadam),
        *(AdamW, RAdam, AdaBelief, Yogi, Lion, Rprop, LAMB, Adafactor, Muon, LBFGS),
    )
}


def get(optimizer: str | type[Optimizer] | Optimizer) -> Optimizer:
    """The optimizer of that name with its default numbers; one already made is passed on.

    >>> get("sgd")
    SGD(lr=0.01, momentum=0.0, decay=0.0, nesterov=False, clipnorm=None, clipvalue=None)
    """
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()  # type: ignore[call-arg]
    if not isinstance(optimizer, str) or optimizer.lower() not in KNOWN:
        raise ValueError(f"optimizers: there is no {optimizer!r}; there are {', '.join(KNOWN)}.")
    return KNOWN[optimizer.lower()]()  # type: ignore[call-arg]
