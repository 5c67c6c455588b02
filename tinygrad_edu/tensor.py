"""A Tensor remembers how it was made, so the chain rule can find its way back through it.

Three ideas, in the order you meet them below:

1. A `Tensor` is an array plus its history: the op that made it, what went in, and for every input
   that wants a gradient a *pullback*: a function from dL/d(output) to dL/d(input).
2. `backward` walks back through the history and adds up what arrives at the leaves. The walk
   itself is the chain rule, in `chain.py`.
3. `grad` does the same for any tensors asked for, and can leave a history of its own behind, to be
   differentiated again. How ops write the history is in `rules.py`.

This file knows no op by name. How ops are spelled (`x + y`, `x.sum()`, `np.exp(x)`) is one table
in `ops/__init__.py`, which fills `Tensor` and `NUMPY_SPELLING` from there.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinygrad_edu.arrays import Array, as_array, default_dtype
from tinygrad_edu.chain import clock, walk
from tinygrad_edu.modes import Line, here, is_grad_enabled, users_line
from tinygrad_edu.spelled import Spelled

__all__ = ["NUMPY_SPELLING", "Hook", "Tensor", "grad", "plain", "tensor"]

NUMPY_SPELLING: dict[Callable[..., Any], Callable[..., Any]] = {}  # np.exp -> exp, ...


class Tensor(Spelled):
    """An array that remembers how it was made.

    `data`            the array; numbers and lists become float32 (`set_default_dtype`), arrays keep
                      their dtype. It is copied unless `copy=False`.
    `requires_grad`   does it want a gradient? What is computed from it then does, too.
    `grad`            dL/d(data) after `L.backward()`, of the same shape and dtype, or None.
    `name`            what drawings and messages call it.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> y = x * x + x
    >>> y.backward()
    >>> float(x.grad)
    7.0
    """

    __slots__ = (
        "_data", "_requires_grad", "grad", "name",
        "_op", "_args", "_options", "_edges",
        "_birth", "_written", "_home", "_hooks", "_retains", "_trainable", "_path", "_where",
        "__weakref__",
    )  # fmt: skip

    _data: Array
    _requires_grad: bool
    grad: Any  # an array; a Tensor after backward(create_graph=True); or None
    name: str | None
    _op: Any  # how it was made: the Op, ...
    _args: Any  # ... what it was called with (None once let go of), ...
    _options: Any
    _edges: Sequence[tuple[Tensor, Callable[[Any], Any]]]  # ... inputs and their pullbacks
    _birth: int  # when it was made
    _written: int  # when the library last changed its numbers
    _home: Any  # its place in an optimizer's arena, see arena.py
    _hooks: tuple[Hook, ...]
    _retains: bool
    _trainable: bool  # was it made to want gradients, then frozen or not?
    _path: Any  # the layers it was made inside of
    _where: Line | None

    def __init__(
        self,
        data: ArrayLike | Tensor,
        requires_grad: bool = False,
        dtype: DTypeLike | None = None,
        name: str | None = None,
        copy: bool = True,
    ) -> None:
        fill(self, as_array(plain(data), dtype, copy), here.mode.path)
        self.name = name
        if here.mode.lines:
            self._where = users_line()
        if requires_grad:
            self.requires_grad_()

    # The array and its description.

    def _set_data(self, data: ArrayLike | Tensor) -> None:
        new = as_array(plain(data), copy=data is not self._data)  # x.data -= y has written in place
        if self._requires_grad and new.dtype.kind != "f":
            new = new.astype(self._data.dtype)
        self._data = new
        mark_written([self])

    data = property(attrgetter("_data"), _set_data, doc="The array. Assigning counts as a change.")

    def _set_requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    requires_grad = property(
        attrgetter("_requires_grad"), _set_requires_grad, doc="Does it want a gradient?"
    )
    shape = property(attrgetter("_data.shape"), doc="The length of each axis.")
    dtype = property(attrgetter("_data.dtype"), doc="The type of its numbers.")
    ndim = property(attrgetter("_data.ndim"), doc="How many axes it has.")
    size = property(attrgetter("_data.size"), doc="How many numbers it holds.")
    op = property(attrgetter("_op"), doc="The Op that made it, or None for a leaf.")
    where = property(attrgetter("_where"), doc="The line that made it, inside `trace_lines()`.")

    @property
    def is_leaf(self) -> bool:
        """True unless an op on tensors that want gradients made it."""
        return self._op is None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The tensors that its op was called with."""
        return tuple(x for x in self._args or () if isinstance(x, Tensor))

    @property
    def path(self) -> tuple[Any, ...]:
        """The layers that it was made inside of, outermost first."""
        layers, path = [], self._path
        while path is not None:
            path, layer = path
            layers.append(layer)
        return tuple(reversed(layers))

    # Its values, outside the graph.

    def numpy(self) -> Array:
        """A copy of the array."""
        return self._data.copy()

    def item(self) -> float:
        """The one number in it, as a Python number."""
        return self._data.item()

    def tolist(self) -> Any:
        """Its numbers in nested Python lists."""
        return self._data.tolist()

    def detach(self) -> Tensor:
        """The same numbers without history: a constant to the chain rule.

        A copy, so that it stays what it is when an optimizer changes the original.
        """
        return fill(Tensor.__new__(Tensor), self._data.copy(), here.mode.path)

    # Asking for gradients.

    def requires_grad_(self, wanted: bool = True) -> Tensor:
        """Want a gradient (or no longer), and return the tensor itself."""
        if wanted and self._data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: data of dtype {self._data.dtype} has no gradient, only floating "
                "numbers have; make it with dtype=float."
            )
        if not wanted and self._op is not None:
            raise ValueError(
                f"requires_grad: this tensor was made by {self._op.name}; "
                "use .detach() for a copy without history."
            )
        self._requires_grad = bool(wanted)
        self._trainable = self._trainable or (self._requires_grad and self._op is None)
        return self

    def retain_grad(self) -> Tensor:
        """Keep the gradient of this inner tensor in `grad`, as leaves do."""
        if not self._requires_grad:
            raise ValueError("retain_grad: this tensor does not require grad, so it will get none.")
        self._retains = True
        return self

    def register_hook(self, function: Callable[[Any], Any]) -> Hook:
        """Call `function(g)` when this tensor's gradient is complete.

        What it returns, unless None, takes the gradient's place. `.remove()` on the result ends it.
        """
        if not self._requires_grad:
            raise ValueError(
                "register_hook: this tensor does not require grad, so it will get none."
            )
        hook = Hook(self, function)
        self._hooks += (hook,)
        return hook

    def zero_grad(self) -> None:
        """Forget the gradient: `grad` is None again."""
        self.grad = None

    def backward(
        self, gradient: ArrayLike | Tensor | None = None, create_graph: bool = False
    ) -> None:
        """Add d(self)/d(leaf) to `grad` of every leaf that wants one.

        For a tensor of several numbers, `gradient` (its shape) says how much each of them counts.
        With `create_graph=True` the gradients are Tensors that can be differentiated again.
        All leaves are written after the whole walk, so an error on the way changes none.

        Raises RuntimeError without anything to differentiate, ValueError for a wrong shape.

        >>> w = Tensor([1.0, 2.0], requires_grad=True)
        >>> (w * w).sum().backward()
        >>> w.grad
        array([2., 4.], dtype=float32)
        """
        seed = _seed(self, gradient, "backward", create_graph)
        with np.errstate(all="ignore"):  # NumPy warned on the way forward; rules add no warnings
            steps = walk(self, seed, create_graph)
            complete = [
                (t, g) for t, g, _ in steps if (t._op is None and t._requires_grad) or t._retains
            ]
            for t, _ in complete:
                if t.grad is not None and np.shape(t.grad) != t._data.shape:
                    raise ValueError(
                        f"backward: .grad of {t.name or 'a tensor'} has shape {np.shape(t.grad)}, "
                        f"its data {t._data.shape}; set it to None or to an array of that shape."
                    )
            for t, g in complete:
                t._add_grad(g)
        walked = None
        for t, _ in complete:
            if t._home is not None and t._home.walked is not walked:
                walked = t._home.walked
                walked.append(weakref.ref(self))  # the optimizer's next step makes it stale
                if len(walked) % 1000 == 0:
                    walked[:] = [root for root in walked if root() is not None]

    def _add_grad(self, g: Any) -> None:
        """The first contribution is copied, into its place in the arena if it has one."""
        home, before = self._home, self.grad
        if home is not None and before is None and type(g) is np.ndarray:  # the usual case
            home.grad[...] = g
            home.filled[0] = home.steps[0]
            self.grad = home.grad
        elif isinstance(g, Tensor) or isinstance(before, Tensor):
            self.grad = g.clone() if before is None else before + g
        elif home is None:
            self.grad = np.array(g) if before is None else np.asarray(before + g)
        else:
            self.grad = home.piled if home.is_left_over(before) else home.grad
            self.grad[...] = g if before is None else before + g
            home.filled[0] = home.steps[0]

    def _let_go(self) -> None:
        """Forget how it was made; what only this tensor kept alive is freed."""
        if self._op is not None:
            self._args = self._options = None
            self._edges = ()

    # Copies keep the values and the wish for a gradient, never the graph.

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._data, self.name, self._requires_grad, self._trainable)

    # Python's own protocols. Arithmetic is in the table of spellings, ops/__init__.py.

    def __repr__(self) -> str:
        text = np.array2string(self._data, separator=", ", prefix="Tensor(", threshold=100)
        if self._data.dtype != default_dtype():
            text += f", dtype={self._data.dtype}"
        if self.name is not None:
            text += f", name={self.name!r}"
        if self._op is not None:
            text += f", op={self._op.name}"
        elif self._requires_grad:
            text += ", requires_grad=True"
        return f"Tensor({text})"

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iter: a tensor of shape () is one number; use .item().")
        return (self[i] for i in range(len(self._data)))

    def __bool__(self) -> bool:
        return bool(self._data)

    def __float__(self) -> float:
        if here.mode.replaying and self._requires_grad:
            raise TypeError(
                "float: a rule made a plain number of a Tensor, so its second derivative would be "
                "lost; use NumPy functions (np.tanh, not math.tanh) in rules."
            )
        return float(self._data)

    def __int__(self) -> int:
        return int(self._data)

    def __format__(self, spec: str) -> str:
        return format(self.item() if spec and self.size == 1 else str(self), spec)

    def __round__(self, digits: int = 0) -> Tensor:
        return self.round(digits)

    # p -= rate * p.grad: a parameter is written into, where that is no part of a graph.

    def __iadd__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._written_in_place(np.add, other)

    def __isub__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._written_in_place(np.subtract, other)

    def __imul__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._written_in_place(np.multiply, other)

    def __itruediv__(self, other: Any) -> Any:  # type: ignore[misc]
        return self._written_in_place(np.divide, other)

    def _written_in_place(self, ufunc: Any, other: Any) -> Any:
        if self._op is not None or not self._requires_grad:
            return NotImplemented  # x += y is then x = x + y
        if is_grad_enabled():
            raise RuntimeError(
                "in place: this tensor wants a gradient of what it is now. Write x = x + y for a "
                "new one, or change it inside no_grad() (or by an optimizer)."
            )
        ufunc(self._data, plain(other), out=self._data)
        mark_written([self])
        return self

    def __index__(self) -> int:
        return self._data.__index__()

    def __contains__(self, value: Any) -> bool:
        return bool((self._data == plain(value)).any())

    # Comparisons have no gradient: they give plain arrays of bools. Identity decides the hash.

    def __eq__(self, other: Any) -> Any:
        return self._data == plain(other)

    def __ne__(self, other: Any) -> Any:
        return self._data != plain(other)

    def __lt__(self, other: Any) -> Any:
        return self._data < plain(other)

    def __le__(self, other: Any) -> Any:
        return self._data <= plain(other)

    def __gt__(self, other: Any) -> Any:
        return self._data > plain(other)

    def __ge__(self, other: Any) -> Any:
        return self._data >= plain(other)

    __hash__ = object.__hash__

    # NumPy's protocols: np.exp(t), np.sum(t, axis=0), array * t all reach our ops.

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if self._requires_grad:
            raise TypeError(
                "np.asarray: a bare array would drop this tensor's gradient without a word; "
                "use t.numpy() for its values, stack or concatenate to join tensors."
            )
        return np.array(self._data, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        if method != "__call__":
            return _numpy(getattr(ufunc, method), f"np.{ufunc.__name__}.{method}", args, options)
        return _numpy(ufunc, f"np.{ufunc.__name__}", args, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        name = f"{function.__module__}.{function.__name__}".replace("numpy", "np", 1)
        return _numpy(function, name, args, options)


tensor = Tensor


def plain(x: Any) -> Any:
    """The array of a Tensor, a constant to the chain rule; anything else as it is."""
    return x._data if isinstance(x, Tensor) else x


def fill(t: Tensor, data: Array, path: Any = None) -> Tensor:
    """A leaf: an array without history, made inside the layers of `path`."""
    t._data = data
    t._requires_grad = t._retains = t._trainable = False
    t.grad = t.name = t._op = t._options = t._home = t._where = None
    t._args = t._edges = t._hooks = ()
    t._birth = clock.tick()
    t._written = 0
    t._path = path
    return t


def mark_written(tensors: Sequence[Tensor]) -> None:
    """Their numbers changed: graphs that used the old ones can no longer be walked."""
    clock.last_write = now = clock.tick()
    for t in tensors:
        t._written = now


def _restored(data: Array, name: str | None, requires_grad: bool, trainable: bool) -> Tensor:
    t = Tensor(data, requires_grad, name=name)
    t._trainable = trainable
    return t


def _numpy(function: Any, name: str, args: Any, options: Any) -> Any:
    """NumPy was called with a Tensor: hand over to our op, or say that there is none."""
    op = NUMPY_SPELLING.get(function)
    if op is None:
        raise TypeError(
            f"{name} has no rule for Tensors. Use t.numpy() if no gradient is needed, or write "
            "the rule: @tg.differentiable on a function that returns its value, then one pullback "
            "per input."
        )
    for key in ("out", "where", "dtype", "casting"):
        if options.pop(key, None) is not None:
            raise TypeError(
                f"{name}: {key}= is not for Tensors, which are never written into; "
                "use tg.where or .astype on the result."
            )
    return op(*args, **options)


class Hook:
    """A function that is called with a tensor's gradient; `remove()` takes it away again."""

    __slots__ = ("_tensor", "function")

    def __init__(self, tensor: Tensor, function: Callable[[Any], Any]) -> None:
        self._tensor = weakref.ref(tensor)  # weak: the tensor holds the hook
        self.function = function

    def remove(self) -> None:
        """Call it no more."""
        tensor = self._tensor()
        if tensor is not None:
            tensor._hooks = tuple(h for h in tensor._hooks if h is not self)


# ---------------------------------------------------------------- gradients beside .grad


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    gradient: ArrayLike | Tensor | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """d(output)/d(input) for one input or a list of them, leaving every `.grad` alone.

    `gradient` weighs the entries of `output` if it holds several. With `create_graph=True` the
    results can be differentiated again. An input that `output` does not depend on is an error, or
    None with `allow_unused=True`. Only what lies between output and inputs is walked.

    >>> x = Tensor(2.0, requires_grad=True)
    >>> dx = grad(x**3, x, create_graph=True)
    >>> dx.item(), grad(dx, x).item()
    (12.0, 12.0)
    """
    wanted: list[Any] = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    for x in [output, *wanted]:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"grad: {x!r} is a {type(x).__name__}, not a Tensor. (The gradient of a "
                "function is tinygrad_edu.derivatives.grad(f).)"
            )
    seed = _seed(output, gradient, "grad", create_graph)
    asked = set(wanted)
    with np.errstate(all="ignore"):
        steps = walk(output, seed, create_graph, wanted)
        known = {t: g for t, g, _ in steps if t in asked}
    found = [known.get(t) for t in wanted]
    for i, g in enumerate(found):
        if g is None and not allow_unused:
            raise ValueError(
                f"grad: input {i} (shape {wanted[i].shape}) is not in the graph of the output; "
                "compute the output from it, or pass allow_unused=True to get None."
            )
        if g is not None and not isinstance(g, Tensor):
            found[i] = Tensor(g)
    return found[0] if isinstance(inputs, Tensor) else found


def _seed(root: Tensor, gradient: Any, who: str, create_graph: bool) -> Any:
    """dL/d(root) to start a walk with: 1 for a number, else what the caller gives."""
    if not root._requires_grad:
        raise RuntimeError(
            f"{who}: nothing to differentiate: this tensor was computed from nothing that requires "
            "grad. Make the inputs with requires_grad=True, outside no_grad(), and not detached."
        )
    if not is_grad_enabled():
        raise RuntimeError(f"{who}: called under no_grad(); call it outside, or in enable_grad().")
    if gradient is None:
        if root._data.size != 1:
            raise RuntimeError(
                f"{who}: a tensor of shape {root._data.shape} is not one number; "
                "use .sum() or .mean(), or pass gradient= of that shape."
            )
        gradient = np.ones(root._data.shape, root._data.dtype)
    elif np.shape(gradient) != root._data.shape:
        raise ValueError(
            f"{who}: gradient has shape {np.shape(gradient)}, the tensor {root._data.shape}; "
            "they must be equal."
        )
    if not create_graph:
        return np.asarray(plain(gradient), dtype=root._data.dtype)
    return gradient if isinstance(gradient, Tensor) else Tensor(gradient, dtype=root._data.dtype)
