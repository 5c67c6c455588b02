"""Pitfalls of learning: no gradient, no optimizer, sizes of gradients and steps, symmetry."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import median
from typing import Any, ClassVar

import numpy as np

from tinygrad_edu.arena import is_taken
from tinygrad_edu.arrays import Array
from tinygrad_edu.layers import Conv1d, Conv2d, Embedding
from tinygrad_edu.layers.layer import Layer
from tinygrad_edu.modes import Line
from tinygrad_edu.optimizers import LBFGS, Optimizer, Rprop
from tinygrad_edu.tensor import Tensor, plain
from tinygrad_edu.watching.findings import Finding, listed
from tinygrad_edu.watching.pitfall import BATCHES, Pitfall, counted, short
from tinygrad_edu.watching.seen import Walk, length

__all__ = ["GradientSizes", "NoGradient", "NoOptimizer", "Symmetry", "UpdateSizes"]

# The gradient of a layer's weights, in lengths of that of the last layer's. Glorot & Bengio 2010
# (figure 7) saw 1/10 over five layers slow learning down. Trainings that went well were seen here
# with 1/140 (an LSTM's table of letters) to 21 (two moons), six layers of sigmoids, which learn
# nothing, with 1/5000. Beyond 1,000 no rate is right for both ends.
VANISHING, EXPLODING = 1e-3, 1e3

# The same in lengths of the layer's own weights: with ReLUs, what grows on the way forward and what
# grows on the way back make all layers' gradients explode alike. 1 is much, 1e-2 usual.
OVERWHELMING = 1e4

# The change of a layer's weights in a step, in lengths of the weights as they were ten steps ago.
# "Somewhere around 1e-3" (Karpathy, CS231n: Neural Networks Part 3). Adam begins with about
# lr / (size of a weight): 0.05 is common, an LSTM has learnt with 0.19, and what began above 0.3
# has not. Too small is said only where no layer has ever moved by more: a training that has
# arrived moves little, too.
IDEAL, TOO_LARGE, TOO_SMALL = 1e-3, 0.25, 1e-5
SHOWN = 6  # of the lengths on the way
PATIENCE = 100  # steps before "too small": a warm-up begins with next to nothing


class NoGradient(Pitfall):
    """A parameter that no backward has reached, though it wants a gradient."""

    name = "no gradient"

    def begin(self) -> None:
        self.reached: set[Tensor] = set()
        self.walks = 0
        self.line: Line | None = None

    def walked(self, walk: Walk) -> Iterator[Finding]:
        self.reached |= walk.used.keys()
        self.walks += 1
        self.line = walk.line
        if self.walks == BATCHES:
            yield from self.verdict()

    def ended(self) -> Iterator[Finding]:
        if 0 < self.walks < BATCHES:
            yield from self.verdict()

    def verdict(self) -> Iterator[Finding]:
        """One finding for each reason."""
        reasons: dict[tuple[str, str], list[Tensor]] = {}
        for p, owned in self.seen.parameters.items():
            if p.requires_grad and p not in self.reached:
                reasons.setdefault(self.why(owned.layer), []).append(p)
        for (reason, remedy), parameters in reasons.items():
            part = listed(self.seen.names(parameters))
            text = f"got no gradient in {counted(self.walks, 'backward')}: {reason}"
            yield self.found(part, self.line, text, remedy)

    def why(self, layer: Layer) -> tuple[str, str]:
        """The reason, and what to do, by what is known of its layer."""
        if id(layer) not in self.seen.lines:
            return "its layer was never called.", "Use it in forward, or leave it out."
        if id(layer) not in self.seen.recorded:
            return (
                "its layer was only called under no_grad(), where no graph is kept.",
                "Call it outside of no_grad(); freeze() what is not to learn.",
            )
        return (
            "its layer was called, but the loss does not follow from it in the graph.",
            "Look for .detach(), .data, .numpy() or no_grad() on the way from there to the loss; "
            "freeze() what is not to learn.",
        )


class NoOptimizer(Pitfall):
    """A parameter that stands still because no optimizer has it."""

    name = "no optimizer"

    def begin(self) -> None:
        self.moved: set[Tensor] = set()
        self.steps = 0
        self.line: Line | None = None
        self.kind = self.seen.expected
        self.walks = 0
        self.written = {p: p._written for p in self.seen.parameters}

    def walked(self, walk: Walk) -> tuple[()]:
        self.walks += bool(walk.used)
        self.line = walk.line
        return ()

    def stepped(self, optimizer: Optimizer, line: Line | None) -> Iterator[Finding]:
        self.moved.update(p for p in optimizer.parameters() if p in self.seen.parameters)
        if not self.walks:  # the step of another model
            return
        self.steps += 1
        self.line, self.kind = line, type(optimizer).__name__
        if self.steps == BATCHES:
            yield from self.verdict()

    def ended(self) -> Iterator[Finding]:
        if 0 < self.steps < BATCHES:
            yield from self.verdict()
        if self.walks and not self.steps and self.seen.expected:
            yield self.found(
                "all parameters",
                self.line,
                f"the {self.kind} took no step after {counted(self.walks, 'backward')}.",
                "Call optimizer.step() after loss.backward().",
            )

    def verdict(self) -> Iterator[Finding]:
        still = [
            p
            for p in self.seen.parameters
            if p.requires_grad and p not in self.moved and p._written == self.written[p]
        ]
        if still:
            yield self.found(
                listed(self.seen.names(still)),
                self.line,
                f"in no optimizer that stepped (heard: {counted(self.steps, 'step')}), so nothing "
                f"moves {'it' if len(still) == 1 else 'them'}.",
                f"Give the optimizer the whole model, {self.kind}(model), or call step() of the "
                "one that has the rest; freeze() what is not to learn.",
            )


class GradientSizes(Pitfall):
    """Gradients that vanish, or explode, on their way back through the layers."""

    name = "gradient sizes"

    def begin(self) -> None:
        self.lengths: dict[Tensor, list[float]] = {}
        self.walks = 0
        self.said: set[str] = set()

    def walked(self, walk: Walk) -> Iterator[Finding]:
        for p in walk.used:
            if p.ndim > 1 and self.seen.parameters[p].weighs and p.grad is not None:
                self.lengths.setdefault(p, []).append(length(p.grad))
        self.walks += 1
        if self.walks % BATCHES == 0:
            yield from self.verdict(walk)
            self.lengths = {}

    def verdict(self, walk: Walk) -> Iterator[Finding]:
        """Compare the typical length of each with that of the layer used last."""
        typical = {p: median(all_of_p) for p, all_of_p in self.lengths.items()}
        way = [p for p in walk.used if p in typical]
        if not way:
            return
        last, end = self.seen.parameters[way[-1]].name, typical[way[-1]]
        beside_last = {p: typical[p] / end for p in way if 0 < end < math.inf}
        beside_own = {p: typical[p] / (length(p) or math.inf) for p in way}
        for kind, extreme, ratios, limit, what in (
            ("vanishing", min, beside_last, VANISHING, f"that of {last}"),
            ("exploding", max, beside_last, EXPLODING, f"that of {last}"),
            ("exploding", max, beside_own, OVERWHELMING, "the weights themselves"),
        ):
            p = beyond(limit, extreme, ratios)
            if p is not None and kind not in self.said:
                self.said.add(kind)
                yield self.finding(kind, p, f"{short(ratios[p])} times {what}", typical)

    def finding(self, kind: str, p: Tensor, share: str, typical: dict[Tensor, float]) -> Finding:
        owned = self.seen.parameters[p]
        numbers = [f"{self.seen.parameters[q].name} {short(n)}" for q, n in typical.items()]
        if len(numbers) > SHOWN:
            numbers = [*numbers[: SHOWN // 2], "...", *numbers[-SHOWN // 2 :]]
        reason = (
            f"its gradient is {share}, in the median of {BATCHES} batches. Lengths from the first "
            f"layer to the last: {', '.join(numbers)}."
        )
        line = self.seen.lines.get(id(owned.layer))
        return self.found(f"{owned.name}, {kind}", line, reason, self.remedies[kind])

    remedies: ClassVar[dict[str, str]] = {
        "vanishing": "Let more through: ReLU or GELU instead of Sigmoid, weights by he_normal or "
        "glorot_uniform, normalisation between the layers, or paths around them, x + f(x).",
        "exploding": "Begin with smaller weights (he_normal, glorot_uniform), scale data and "
        "targets, put normalisation between the layers, or clip: clipnorm=1 in the optimizer.",
    }


def beyond(limit: float, extreme: Any, ratios: dict[Tensor, float]) -> Tensor | None:
    """The parameter of the least (or largest) ratio, if that is below (or above) the limit."""
    if not ratios:
        return None
    p: Tensor = extreme(ratios, key=ratios.__getitem__)
    return p if (ratios[p] < limit if extreme is min else ratios[p] > limit) else None


class UpdateSizes(Pitfall):
    """Steps that replace the weights, or that hardly touch them.

    Measured at each step of an optimizer; what is moved by hand, from one backward to the next.
    """

    name = "update sizes"

    def begin(self) -> None:
        # A table of rows begins close to 0, and so it should: its first steps are large.
        self.before: dict[Tensor, Array] = {
            p: p._data.copy()
            for p in self.seen.weights
            if not isinstance(self.seen.parameters[p].layer, Embedding)
        }
        self.ratios: dict[Tensor, list[float]] = {}  # of the steps since the last verdict,
        self.sizes: dict[Tensor, float] = {}  # and how long the weights were then
        self.steps: dict[Tensor, int] = {}
        self.rates: dict[Tensor, float | None] = {}
        self.largest = 0.0  # of all medians so far
        self.line: Line | None = None
        self.said: set[Tensor] = set()

    def stepped(self, optimizer: Optimizer, line: Line | None) -> Iterator[Finding]:
        mine = [p for p in optimizer.parameters() if p in self.before]
        if isinstance(optimizer, (LBFGS, Rprop)):  # they find the lengths of their steps
            for p in mine:
                del self.before[p]
            return
        self.line = line
        self.rates.update(dict.fromkeys(mine, rate_of(optimizer)))
        yield from self.measured(mine)

    def walked(self, walk: Walk) -> Iterator[Finding]:
        yield from self.moved_by_hand(walk.line)

    def ended(self) -> Iterator[Finding]:
        yield from self.moved_by_hand(self.line)
        if BATCHES <= max(self.steps.values(), default=0) < PATIENCE:
            yield from self.too_small()

    def moved_by_hand(self, line: Line | None) -> Iterator[Finding]:
        self.line = self.line or line
        yield from self.measured([p for p in self.before if not is_taken(p)])

    def measured(self, parameters: list[Tensor]) -> Iterator[Finding]:
        """How far they have gone since the last look."""
        moved = False
        for p in parameters:
            before, now = self.before[p], p._data
            if before.shape != now.shape:
                self.before[p] = now.copy()
            elif change := length(now - before):
                moved = True
                if p not in self.ratios:
                    self.sizes[p] = length(before) or math.inf  # of 0, any step is a large part
                self.ratios.setdefault(p, []).append(change / self.sizes[p])
                self.steps[p] = self.steps.get(p, 0) + 1
                before[...] = now
        if moved:
            yield from self.verdict()

    def verdict(self) -> Iterator[Finding]:
        ready = {p: median(r) for p, r in self.ratios.items() if len(r) == BATCHES}
        self.largest = max([self.largest, *ready.values()])
        for p in ready:
            del self.ratios[p]
        large = {p: r for p, r in ready.items() if r > TOO_LARGE and p not in self.said}
        if large:
            self.said |= large.keys()
            worst = max(large, key=large.__getitem__)
            yield self.advice(listed(self.seen.names(large)), worst, large[worst], "large")
        if ready and max(self.steps.values()) == PATIENCE:
            yield from self.too_small()

    def too_small(self) -> Iterator[Finding]:
        if 0 < self.largest < TOO_SMALL:
            yield self.advice("all weights", next(iter(self.steps)), self.largest, "small")

    def advice(self, part: str, p: Tensor, ratio: float, what: str) -> Finding:
        rate, name = self.rates.get(p), self.seen.parameters[p].name
        of = f" (of {name})" if what == "large" and part != name else ""
        reason = (
            f"updates are {short(ratio)} of the weights{of}, in the median of {BATCHES} steps; "
            f"about {IDEAL:g} is usual: lr is too {what}."
        )
        if rate:
            advised = short(rate * IDEAL / ratio)
            remedy = f"With lr={rate:g}, about lr={advised} would make {IDEAL:g}."
        else:
            way, factor = (
                ("Divide", ratio / IDEAL) if what == "large" else ("Multiply", IDEAL / ratio)
            )
            remedy = f"{way} lr by about {short(factor)} to make it {IDEAL:g}."
        return self.found(part, self.line, reason, remedy)


def rate_of(optimizer: Optimizer) -> float | None:
    """The rate of the step just taken, if it was one for all.

    A schedule is not asked again: a function may count how often it is called.
    """
    rate: Any = vars(optimizer).get("rate")
    if rate is None and not callable(optimizer._lr) and len(optimizer.groups) == 1:
        rate = optimizer._lr
    return rate


class Symmetry(Pitfall):
    """Units that begin equal, and so get equal gradients and stay equal."""

    name = "equal weights"

    def begin(self) -> None:
        self.equal = [p for p in self.seen.weights if is_matrix(p) and np.ptp(p._data) == 0]

    def walked(self, walk: Walk) -> Iterator[Finding]:
        """Zeros are fine where the gradients differ: in a last layer, or a table of rows."""
        used = [p for p in self.equal if p in walk.used]
        self.equal = [p for p in self.equal if p not in walk.used]
        alike = [p for p in used if p._data.any() or self.stays_equal(p)]
        if alike:
            values = sorted({float(p._data.flat[0]) for p in alike})
            yield self.found(
                listed(self.seen.names(alike)),
                self.seen.lines.get(id(self.seen.parameters[alike[0]].layer)),
                f"all entries begin as {', '.join(f'{value:g}' for value in values)}, so all "
                "units compute the same, get the same gradient, and stay the same: one unit, many "
                "times.",
                "Begin with random weights: weight_init='glorot_uniform' or 'he_normal'.",
            )

    def stays_equal(self, p: Tensor) -> bool:
        """Does its gradient make no difference between units either?"""
        g = plain(p.grad)
        units = 0 if isinstance(self.seen.parameters[p].layer, (Conv1d, Conv2d)) else -1
        return bool(np.all(g == np.take(g, [0], axis=units)))


def is_matrix(p: Tensor) -> bool:
    """Has it several units of several inputs?"""
    return sum(n > 1 for n in p.shape) > 1
