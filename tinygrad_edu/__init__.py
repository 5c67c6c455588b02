"""tinygrad_edu: reverse-mode automatic differentiation, small enough to read in an evening.

Read the source in this order:

    tensor.py        what a Tensor remembers
    chain.py         how the chain rule walks it
    rules.py         how one function holds an op's value and its derivatives
    ops/             every operation
    derivatives.py   functions of functions: grad, jacobian, hessian
    checking.py      is a gradient right? ask the definition
    initializers.py  how weights begin
    layers/          parameters, and what is done with them
    losses/          how wrong, as one number
    arena.py         many parameters as one vector
    optimizers/      how to walk downhill
    schedules.py     how the learning rate changes
    data.py          data sets
    training.py      the loop in the open
    metrics.py       how right, as one number
    callbacks.py     what is done beside a training
    models/          training by one call
    checkpoints/     what was learned, on disk, and back again
    graph/           a computation written down: boxes, lines, steps, and what to call them
    explaining.py    where a gradient comes from, in words
    detective.py     where a nan comes from
    watching/        what goes wrong without an error
    layout/          where boxes and lines go
    drawing/         a computation as a picture
    explorer/        a computation as a page that replays backward
    plotting/        pictures of training

(Beside them: arrays.py, modes.py, random.py, creation.py, printed.py, cures.py and text.py, a page
each; __main__.py, all of it at work on handwritten digits.)

    >>> import tinygrad_edu as tg
    >>> x = tg.Tensor(3.0, requires_grad=True)
    >>> y = x * x + x
    >>> y.backward()
    >>> float(x.grad)
    7.0
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinygrad_edu import (
    checking,
    derivatives,
    initializers,
    layers,
    losses,
    ops,
    optimizers,
    training,
)
from tinygrad_edu.arrays import set_default_dtype
from tinygrad_edu.checking import GradientError, gradcheck
from tinygrad_edu.creation import *
from tinygrad_edu.modes import enable_grad, is_grad_enabled, no_grad, trace_lines
from tinygrad_edu.ops import *
from tinygrad_edu.random import manual_seed
from tinygrad_edu.rules import Op, differentiable
from tinygrad_edu.tensor import Tensor, grad, tensor

if TYPE_CHECKING:
    from tinygrad_edu import (
        callbacks,
        checkpoints,
        data,
        drawing,
        explorer,
        metrics,
        models,
        schedules,
        watching,
    )
    from tinygrad_edu.checkpoints import load, save
    from tinygrad_edu.detective import find_nonfinite
    from tinygrad_edu.drawing import draw
    from tinygrad_edu.explaining import explain
    from tinygrad_edu.explorer import explore
    from tinygrad_edu.models import Sequential
    from tinygrad_edu.watching import watch

__version__ = "0.1.0"

_WHEN_ASKED = {
    "data": ("data", ""),
    "drawing": ("drawing", ""),
    "draw": ("drawing", "draw"),
    "explain": ("explaining", "explain"),
    "explorer": ("explorer", ""),
    "explore": ("explorer", "explore"),
    "plotting": ("plotting", ""),
    "detective": ("detective", ""),
    "find_nonfinite": ("detective", "find_nonfinite"),
    "schedules": ("schedules", ""),
    "metrics": ("metrics", ""),
    "checkpoints": ("checkpoints", ""),
    "models": ("models", ""),
    "callbacks": ("callbacks", ""),
    "watching": ("watching", ""),
    "watch": ("watching", "watch"),
    "Sequential": ("models", "Sequential"),
    "save": ("checkpoints", "save"),
    "load": ("checkpoints", "load"),
}


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHEN_ASKED} - {"Any", "TYPE_CHECKING", "import_module"})


def __getattr__(name: str) -> Any:
    """Modules that need more than NumPy, or time to load, are loaded when first asked for."""
    if name not in _WHEN_ASKED:
        hint = import_module("tinygrad_edu.elsewhere").hint(name)
        raise AttributeError(f"module 'tinygrad_edu' has no attribute {name!r}{hint}")
    module, attribute = _WHEN_ASKED[name]
    loaded = import_module(f"tinygrad_edu.{module}")
    return getattr(loaded, attribute) if attribute else loaded
