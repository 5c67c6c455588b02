"""Rules: one function holds an op's value and its derivatives.

    @differentiable
    def tanh(x):
        '''z = tanh x                    dx = g (1 - z^2)'''
        z = np.tanh(x)
        return z, lambda g: g * (1 - z * z)

The docstring is the maths and the code repeats it in the same letters: `g` is dL/dz, `dx` is dL/dx.
The rule sees plain arrays and is plain NumPy. `differentiable` adds what all ops share: taking
arrays out of Tensors, putting the result into one, and keeping the history.
"""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from itertools import pairwise
from numbers import Number
from typing import Any

import numpy as np

from tinygrad_edu.arrays import as_array, default_dtype
from tinygrad_edu.modes import Line, here, users_line
from tinygrad_edu.tensor import Tensor, fill, plain

__all__ = ["Op", "differentiable"]


class Op:
    """What an op's rule says about itself: its name, its maths, its source."""

    __slots__ = ("__weakref__", "name", "rule")

    def __init__(self, rule: Callable[..., Any]) -> None:
        if not inspect.isfunction(rule):  # its argument names and its place are asked for, too
            raise TypeError(f"differentiable: {rule!r} is no function; write one with def.")
        self.rule = rule
        self.name = rule.__name__.lstrip("_")

    @property
    def formula(self) -> str:
        """The maths: the first paragraph of the rule's docstring."""
        lines = (self.rule.__doc__ or "").split("\n\n")[0].split("\n")
        return "\n".join(line.strip() for line in lines).strip()

    @property
    def family(self) -> str:
        """The file that the rule is in, such as "arithmetic"."""
        return (self.rule.__module__ or "").rpartition(".")[2]

    def named(self, args: Any, options: Any) -> Iterator[tuple[str, Any]]:
        """What the rule calls its arguments: (name, argument), `arrays[0]` for one of `*arrays`."""
        code = self.rule.__code__
        names = code.co_varnames[: code.co_argcount]
        rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount :]
        for i, x in enumerate(args):
            yield (names[i] if i < len(names) else f"{rest[0]}[{i - len(names)}]"), x
        yield from options.items()

    @property
    def where(self) -> Line:
        """The file and line of the rule."""
        code = self.rule.__code__
        return Line(code.co_filename, code.co_firstlineno, self.name)

    def __repr__(self) -> str:
        formula = self.formula.replace("\n", "        ") or "no formula"
        return f"{self.name}: {formula}  ({self.where.file}:{self.where.line})"

    def __str__(self) -> str:
        """As `print` shows it: a line for each part of the formula, and where the rule stands."""
        parts = re.split(r" {4,}|\n", self.formula or "no formula")
        where = f'File "{self.where.file}", line {self.where.line}'
        return "\n    ".join([f"{self.name}:", *parts, where])


def differentiable(rule: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a rule into an op on Tensors.

    A rule is plain NumPy. It returns its value, then one pullback for each of its first arguments:
    a function from g = dL/d(value) to dL/d(argument), or None where there is no gradient. It must
    not write into its arguments. Broadcasting needs no word in a rule: the engine sums over what
    was broadcast. For second derivatives the same rule runs on Tensors, so it should use NumPy
    functions and other ops.

    >>> @differentiable
    ... def cube(x):
    ...     '''z = x^3        dx = g 3 x^2'''
    ...     return x**3, lambda g: g * 3 * x**2
    >>> x = Tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> float(x.grad)
    12.0
    """
    op = Op(rule)

    @wraps(rule)
    def apply(*args: Any, **options: Any) -> Tensor:
        # Take the arrays out of the Tensors, and note which Tensors want a gradient.
        if options:
            args, options = _positional(op, args, options)
        arrays: list[Any] = []
        wanting: list[tuple[Tensor, int]] = []
        for place, x in enumerate(args, start=1):
            if isinstance(x, Tensor):
                arrays.append(x._data)
                if x._requires_grad:
                    wanting.append((x, place))  # the place of its pullback in what is made
            elif type(x) in _USUAL:
                arrays.append(x)
            else:
                arrays.append(_settled(x, args, place == 1))
                args = (*args[: place - 1], arrays[-1], *args[place:])

        # Run the rule.
        try:
            made = rule(*arrays, **options)
        except (ValueError, IndexError, TypeError, AttributeError) as error:
            raise _explained(op, arrays, error) from (None if _own(op, error) else error)
        if type(made) is not tuple:
            raise _no_tuple(op, made)
        data = made[0]
        if type(data) is not np.ndarray:
            data = np.asarray(data)  # NumPy makes a scalar of what has no axes
        if data.dtype is _FLOAT64 and (weak := _weakened(args, arrays)):
            return apply(*weak, **options)

        # Put the value into a Tensor, and keep how it was made.
        mode = here.mode
        z: Tensor = fill(Tensor.__new__(Tensor), data, mode.path)
        if wanting and (not mode.recording or mode.recording[-1].on):
            z._edges = edges = []
            for x, place in wanting:
                if place >= len(made) or made[place] is None:
                    raise _without_pullback(op, place)
                edges.append((x, made[place]))
            z._requires_grad = True
            z._op, z._args, z._options = op, args, options
        if mode.lines:
            z._where = users_line()
        return z

    def value(*args: Any, **options: Any) -> Any:
        """For use in rules: arrays in, array out; Tensors in, Tensor out, like a NumPy function."""
        if any(isinstance(x, Tensor) for x in args):
            return apply(*args, **options)
        return rule(*args, **options)[0]

    apply.op = op  # type: ignore[attr-defined]
    apply.value = value  # type: ignore[attr-defined]
    return apply


_FLOAT64 = np.dtype(np.float64)
_USUAL = frozenset({float, int, bool, str, slice, type(None)})  # nothing to settle


def _positional(op: Op, args: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Arguments given by name, in their position: pullbacks are found by position."""
    options = dict(options)
    code = op.rule.__code__
    if not code.co_flags & inspect.CO_VARARGS:
        for name in code.co_varnames[len(args) : code.co_argcount]:
            if name not in options:
                break
            args = (*args, options.pop(name))
    if any(isinstance(x, Tensor) for x in options.values()):  # one with a default was left out
        try:
            bound = inspect.signature(op.rule).bind(*args, **options)
        except TypeError as error:
            raise TypeError(f"{op.name}: {error}") from None
        bound.apply_defaults()
        args, options = bound.args, bound.kwargs
    for name, x in options.items():
        if isinstance(x, Tensor) and x._requires_grad:
            raise TypeError(
                f"{op.name}: {name} requires grad, but its rule takes it by name only, where no "
                "pullback can be; pass it with .detach()."
            )
    return args, {name: _settled(plain(x), args) for name, x in options.items()}


def _settled(x: Any, args: tuple[Any, ...], first: bool = False) -> Any:
    """What nobody can change behind the graph's back, and no other number than a real one.

    Arrays, what can become one, and lists are copied; numbers of NumPy become Python's, which leave
    float32 alone; lists and tuples of floats become arrays in the dtype of the floats beside them.
    """
    if isinstance(x, np.ndarray):
        return as_array(x)
    if isinstance(x, (list, tuple)):
        kind = _kind_of_numbers(x)
        if kind == "f":
            return np.asarray(x, _dtype_of_floats(map(plain, args)) or default_dtype())
        if kind == "i" and isinstance(x, list):
            if first or isinstance(x[0], (list, tuple)):
                return np.asarray(x)
            return tuple(x)  # in a row they may be a shape, or name axes
        return copy.deepcopy(x)
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, Number) and type(x) not in _USUAL:
        if isinstance(x, int):
            return int(x)  # a member of an enum, say
        return float(x)  # type: ignore[arg-type]  # a fraction, say; refuses a complex number
    if hasattr(x, "__array__"):  # a column of a table, say
        return as_array(np.asarray(x))
    return x


def _kind_of_numbers(x: Any) -> str | None:
    """ "f" or "i" if these are nothing but real or whole numbers, in lists in lists."""
    kinds = {
        _kind_of_numbers(v) if isinstance(v, (list, tuple))
        else "f" if isinstance(v, (float, np.floating))
        else "i" if isinstance(v, (int, np.integer)) and not isinstance(v, bool)
        else None
        for v in x
    }  # fmt: skip
    return None if None in kinds or not kinds else "f" if "f" in kinds else "i"


def _dtype_of_floats(arrays: Iterable[Any]) -> np.dtype[Any] | None:
    """The dtype in which the floating arrays meet, if there are any."""
    dtypes = [a.dtype for a in arrays if isinstance(a, np.ndarray) and a.dtype.kind == "f"]
    return np.result_type(*dtypes) if dtypes else None


def _weakened(inputs: tuple[Any, ...], arrays: list[Any]) -> list[Any] | None:
    """The inputs with all whole and Python numbers in the dtype of the floating arrays.

    NumPy makes float64 of float32 beside an array of integers. Here the precision of a Tensor never
    changes without being asked. None where nothing is to be done.
    """
    dtype = _dtype_of_floats(arrays)
    if dtype is None or dtype.itemsize >= _FLOAT64.itemsize:
        return None

    def weak(x: Any) -> bool:
        if isinstance(x, np.ndarray):
            return x.dtype.kind in "iu"
        if isinstance(x, tuple):
            return _kind_of_numbers(x) is not None
        return isinstance(x, float)

    if not any(map(weak, arrays)):
        return None
    return [np.asarray(a, dtype) if weak(a) else x for x, a in zip(inputs, arrays, strict=True)]


def _no_tuple(op: Op, made: Any) -> TypeError:
    return TypeError(
        f"{op.name}: its rule returned a {type(made).__name__}; a rule returns its value and then "
        "a pullback per input: return z, lambda g: ..."
    )


def _without_pullback(op: Op, place: int) -> TypeError:
    names = list(inspect.signature(op.rule).parameters)
    return TypeError(
        f"{op.name}: its rule has no gradient with respect to {names[min(place, len(names)) - 1]}, "
        "which requires grad; pass it with .detach(), or give the rule a pullback for it."
    )


def _explained(op: Op, arrays: list[Any], error: Exception) -> Exception:
    """The error of a rule, with the op's name and the shapes that it met."""
    kind = (
        type(error) if type(error) in (ValueError, IndexError, np.linalg.LinAlgError) else TypeError
    )
    if isinstance(error, np.exceptions.AxisError):
        kind = ValueError
    if _own(op, error):
        return kind(str(error))
    if not isinstance(error, ValueError) and arrays and isinstance(arrays[0], _NO_ARRAYS):
        return TypeError(_no_array(op, arrays[0]))
    shapes = [np.shape(x) for x in arrays if isinstance(x, (np.ndarray, list))]
    reason = _misfit(shapes) if "broadcast" in str(error) else None
    return kind(f"{op.name}: {' and '.join(map(str, shapes))}: {reason or error}")


_NO_ARRAYS = (str, list, tuple, dict, type(None))


def _own(op: Op, error: Exception) -> bool:
    """Is it an error that the rule itself has put into words?"""
    return str(error).startswith(f"{op.name}:")


def _no_array(op: Op, x: Any) -> str:
    """What to say where no array can be made of an op's first argument."""
    text = f"{op.name}: its first argument is a {type(x).__name__}"
    if isinstance(x, tuple) and any(isinstance(entry, Tensor) for entry in x):
        return (
            f"{text} of {len(x)}; give one Tensor. (A recurrent layer returns its outputs and its "
            'state; with returns="last" or returns="sequence" it returns one of them.)'
        )
    return f"{text}, {x!r:.60}; give a Tensor or an array."


def _misfit(shapes: list[tuple[int, ...]]) -> str | None:
    """Which axis keeps two shapes from broadcasting, if one does."""
    for a, b in pairwise(shapes):
        for axis in range(-1, -min(len(a), len(b)) - 1, -1):
            if a[axis] != b[axis] and 1 not in (a[axis], b[axis]):
                return (
                    f"axis {axis} has {a[axis]} and {b[axis]}. Lined up from the right, "
                    "lengths must be equal or 1; reshape or transpose one of them."
                )
    return None
