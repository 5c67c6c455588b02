"""Names for everything in a graph: a reader must be able to tell any two tensors apart.

A tensor is called, in this order, what its `name` says, what the user's variable is called, what
its layer calls it (`layers.0.weight`), what the line that made it calls it (`h = ...`, if lines
were traced), or after the op that made it and the layer that it was made in (`layers.0.linear`). A
name that is taken gets a number.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinygrad_edu.graph.assigned import assigned
from tinygrad_edu.layers.layer import Layer, is_parameter
from tinygrad_edu.modes import users_level
from tinygrad_edu.tensor import Tensor

__all__ = ["Call", "Calls", "Names", "Variables", "label", "variables"]


def label(t: Tensor) -> str:
    """The op that made t, in arithmetic with its number: "power 2" is x**2, "2 power" is 2**x."""
    if t.op.family != "arithmetic":
        return str(t.op.name)  # there numbers are settings
    words = [f"{x:.15g}" if type(x) in (int, float) else "" for x in t._args]
    words.insert(0 if t.op.name in ("add", "multiply") else 1, t.op.name)
    return " ".join(filter(None, words))


class Variables(NamedTuple):
    """What the user's variables call tensors, and layers (by their identity)."""

    tensors: dict[Tensor, str]
    layers: dict[int, str]


def variables() -> Variables:
    """The user's variables where the library was called from.

    Those of the function come before those of its module, names before `_names`; `_` is none.
    """
    frame = sys._getframe(users_level() - 1)
    found = Variables({}, {})
    several: list[tuple[Any, str]] = []  # ws[0], ws[1]: for those that have no name of their own
    for space in (frame.f_locals, frame.f_globals):
        for name, x in sorted(space.items(), key=lambda item: item[0].startswith("_")):
            if name == "_":
                continue
            kind = type(x)  # isinstance would ask a dead weak proxy for its class
            if issubclass(kind, Tensor):
                found.tensors.setdefault(x, name)
            elif issubclass(kind, Layer):
                found.layers.setdefault(id(x), name)
            elif kind in (list, tuple):
                several += [(entry, f"{name}[{i}]") for i, entry in enumerate(x)]
    for entry, name in several:
        if issubclass(type(entry), Tensor):
            found.tensors.setdefault(entry, name)
    return found


class Taken:
    """Names given so far; one that is asked for again gets a number."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def unique(self, wanted: str) -> str:
        name, count = wanted, self.counts.get(wanted, 1)
        while name in self.counts:
            count += 1
            name = f"{wanted}_{count}"
        self.counts[name] = 1
        self.counts[wanted] = count  # the next one need not count up from the start
        return name


@dataclass(frozen=True)
class Call:
    """A call of a layer: a frame around what was made in it."""

    key: str
    name: str  # what the layer around, or the user's variable, calls it
    title: str  # its class
    outside: str | None  # the call that it happened in
    time: int  # the first, the second... call of this layer in there


class Calls:
    """The calls of layers that tensors were made in.

    Each `Layer.__call__` makes one path, `(path outside, layer)`, which all that is made in it
    remembers: so two calls of one layer are two paths. They are told apart by identity.
    """

    def __init__(self, tensors: Iterable[Tensor], known: Variables) -> None:
        self.known = known
        self.by_key: dict[str, Call] = {}
        self.by_path: dict[int, Call] = {}
        self.times: dict[tuple[int, int], int] = {}
        self.inner_names: dict[int, dict[int, str]] = {}
        self.roots: dict[int, Layer] = {}
        for t in tensors:
            self._note(t._path)

    def _note(self, path: Any) -> None:
        """Note a path, after those outside of it."""
        new = []
        while path is not None and id(path) not in self.by_path:
            new.append(path)
            path = path[0]
        for path in reversed(new):
            outside, layer = path
            around = None if outside is None else self.by_path[id(outside)].key
            which = (id(outside), id(layer))
            time = self.times[which] = self.times.get(which, 0) + 1
            name = self._name(outside, layer)
            call = Call(f"c{len(self.by_key)}", name, type(layer).__name__, around, time)
            self.by_key[call.key] = self.by_path[id(path)] = call

    def _name(self, outside: Any, layer: Layer) -> str:
        """What the layer around this one calls it; one that no layer knows is a root."""
        known = {} if outside is None else self._inside(outside[1])
        if id(layer) in known:
            return known[id(layer)]
        self.roots[id(layer)] = layer
        return self.known.layers.get(id(layer), type(layer).__name__)

    def _inside(self, layer: Layer) -> dict[int, str]:
        if id(layer) not in self.inner_names:
            inner = {id(own): name for name, own in layer.named_layers() if own is not layer}
            self.inner_names[id(layer)] = inner
        return self.inner_names[id(layer)]

    def around(self, path: Any) -> tuple[Call, ...]:
        """The calls of a path, outermost first."""
        found = []
        while path is not None:
            found.append(self.by_path[id(path)])
            path = path[0]
        return tuple(reversed(found))

    def parameter_names(self) -> Iterator[tuple[Tensor, str]]:
        """What the roots call their parameters."""
        for layer in self.roots.values():
            yield from ((p, name) for name, p in layer._named(is_parameter))


class Names:
    """Gives each tensor of a graph a name of its own; those that have one come first."""

    def __init__(self, made: Sequence[Tensor], calls: Calls, known: Variables) -> None:
        self.calls = calls
        self.taken = Taken()
        tensors = dict.fromkeys(x for z in made for x in (*z.inputs, z))
        from_code: dict[Tensor, str] = {}
        for t, name in (*calls.parameter_names(), *assigned(made)):
            from_code.setdefault(t, name)
        self.given: dict[Tensor, str] = {}
        for t in tensors:
            own = t.name or known.tensors.get(t) or from_code.get(t)
            if own:
                self.given[t] = self.taken.unique(str(own))

    def of(self, t: Tensor | None, kind: str, slot: str = "") -> str:
        """The name of a tensor, or of an array, that an op was given as its `slot`.

        For a constant, a slot such as "labels" says something; y could be taken for the user's.
        """
        if t in self.given:
            return self.given[t]
        if kind == "constant" and not (len(slot) > 1 and slot.isidentifier()):
            return self.taken.unique(kind)
        if t is None or t.op is None:
            return self.taken.unique(slot)
        inner = [call.name for call in self.calls.around(t._path)[1:]]
        return self.taken.unique(".".join([*inner, t.op.name]))
