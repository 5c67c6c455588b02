"""What an optimizer says about itself is what it does: `formula` and `explain_step`, read back.

The printed rules are evaluated here by a small reader of formulas, and compared with real steps.
"""

import copy
import math
import pickle
import re

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.optimizers import (
    LAMB,
    SGD,
    AdaBelief,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    Yogi,
)
from tinygrad_edu.schedules import CosineDecay, ReduceOnPlateau, StepDecay


def leaf(data, dtype="float64", name=None):
    return tg.Tensor(np.array(data, dtype), requires_grad=True, name=name)


def drawn(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


# ---------------------------------------------------------------- reading a formula


class Unknown(Exception):
    """A name, or a function of whole parameters, that has no meaning here."""


FUNCTIONS = {
    "sqrt": np.sqrt,
    "abs": np.abs,
    "sign": np.sign,
    "max": np.maximum,
    "min": np.minimum,
    "clip": np.clip,
    "where": np.where,
}
OF_WHOLE_PARAMETERS = {
    "norm": lambda x: np.sqrt((x * x).sum()),
    "rms": lambda x: np.sqrt((x * x).mean()),
    "mean": lambda x: x.mean(-2, keepdims=True),
    "mean_of_rows": lambda x: x.mean(-1, keepdims=True),
    "mean_of_columns": lambda x: x.mean(-2, keepdims=True),
}
TOKEN = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?|[A-Za-z]\w*\(|[A-Za-z]\w*|\S")
ASSIGNED = {
    "=": lambda old, new: new,
    "+=": lambda old, new: old + new,
    "-=": lambda old, new: old - new,
    "*=": lambda old, new: old * new,
}


class Reader:
    """Evaluates `0.1 m / (sqrt(v) + 1e-07)`: what stands side by side is multiplied."""

    def __init__(self, text, names, functions):
        self.tokens = [*TOKEN.findall(text), ""]
        self.names, self.functions = names, functions

    def take(self):
        return self.tokens.pop(0)

    def whole(self):
        value = self.comparison()
        assert self.tokens == [""], f"left over: {self.tokens}"
        return value

    def comparison(self):
        value = self.sum()
        if self.tokens[0] in ("<", ">"):
            return value < self.sum() if self.take() == "<" else value > self.sum()
        return value

    def sum(self):
        value = self.product()
        while self.tokens[0] in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        return value

    def product(self):
        value = self.power()
        while self.tokens[0] in ("*", "/") or re.match(r"[\w(]", self.tokens[0]):
            if self.tokens[0] == "/":
                self.take()
                value = value / self.power()
            else:
                if self.tokens[0] == "*":
                    self.take()
                value = value * self.power()
        return value

    def power(self):
        value = self.atom()
        if self.tokens[0] == "^":
            self.take()
            value = value ** self.atom()
        return value

    def atom(self):
        token = self.take()
        if token == "-":
            return -self.power()
        if token == "(":
            value = self.comparison()
            assert self.take() == ")"
            return value
        if token.endswith("("):
            return self.call(token[:-1])
        if token[0].isdigit():
            return float(token) if re.search(r"[.e]", token) else int(token)
        if token not in self.names:
            raise Unknown(token)
        return self.names[token]

    def call(self, name):
        values, end = [], ","
        while end == ",":
            values.append(self.comparison())
            end = self.take()
        assert end == ")"
        if name not in self.functions:
            raise Unknown(name)
        return self.functions[name](*values)


def split(line):
    return re.fullmatch(r"(\w+) ([-+*]?=) (.*)", line.replace("norm of all g", "norm_g")).groups()


def follow(line, names, functions):
    """Carry out one line of a formula; returns the name that it gave a value to."""
    target, sign, text = split(line)
    value = Reader(text, names, functions).whole()
    names[target] = ASSIGNED[sign](names.get(target), value)
    return target


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("z = 2 x / 4 y", 2 * 3 / 4 * 5),
        ("z = x - 2 y^2 / (1 - 0.5^t)", 3 - 2 * 25 / (1 - 0.25)),
        ("z = 1 - 0.1 * 0.01", 0.999),
        ("z = t^-0.5 x", 2**-0.5 * 3),
        ("z = 0.9 (1 - 0.5) y + -4 x", 0.45 * 5 - 12),
        ("z = x where(x > 0, 2, where(x < 0, 3, 1)) + max(x, y) min(1, 0.5)", 6 + 2.5),
        ("z = clip(y, -1.5e+00, 1.5) - 1e-07", 1.5 - 1e-7),
        ("z = sqrt(x - -1) / 2 / 4", 0.25),
        ("x -= y t", 3 - 10),
        ("x *= 1 - 0.5 * 0.5", 2.25),
    ],
)
def test_formulas_are_read_as_they_are_written(line, value):
    names = {"x": 3.0, "y": 5.0, "t": 2}
    target = follow(line, names, FUNCTIONS)
    assert names[target] == pytest.approx(value, rel=1e-15)
    with pytest.raises(Unknown):
        follow("z = x y strange", names, FUNCTIONS)


# ---------------------------------------------------------------- the formula is true

# Every line of every docstring is printed by one of them, and every number in it counts.
RULES = {
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.75}),
    "nesterov": (SGD, {"momentum": 0.75, "nesterov": True}),
    "adagrad": (Adagrad, {"epsilon": 0.03}),
    "adadelta": (Adadelta, {"rho": 0.7, "epsilon": 0.02}),
    "rmsprop": (RMSprop, {"rho": 0.7, "epsilon": 0.03}),
    "adam": (Adam, {"epsilon": 0.03}),
    "amsgrad": (Adam, {"beta_1": 0.8, "beta_2": 0.6, "epsilon": 0.03, "amsgrad": True}),
    "adamax": (Adamax, {"beta_2": 0.7, "epsilon": 0.03}),
    "nadam": (Nadam, {"epsilon": 0.03, "schedule_decay": 0.6}),
    "adamw": (AdamW, {"epsilon": 0.03, "weight_decay": 0.2}),
    "adamw amsgrad": (AdamW, {"beta_2": 0.6, "weight_decay": 0.0, "amsgrad": True}),
    "radam": (RAdam, {"epsilon": 0.03}),
    "radam decayed": (RAdam, {"beta_2": 0.9, "epsilon": 0.03, "weight_decay": 0.2}),
    "adabelief": (AdaBelief, {"epsilon": 0.03, "epsilon_root": 0.02}),
    "yogi": (Yogi, {"beta_2": 0.8, "epsilon": 0.03}),
    "lion": (Lion, {"beta_2": 0.6, "weight_decay": 0.2}),
    "lion plain": (Lion, {"weight_decay": 0.0}),
    "rprop": (Rprop, {"eta_minus": 0.4, "eta_plus": 1.7, "size_min": 0.02, "size_max": 0.2}),
    "lamb": (LAMB, {"epsilon": 0.03}),
    "lamb decayed": (LAMB, {"epsilon": 0.03, "weight_decay": 0.2}),
    "adafactor": (Adafactor, {"beta2_decay": -0.6}),
    "adafactor decayed": (Adafactor, {"lr": 0.6, "d": 1.2, "weight_decay": 0.2}),
    "adafactor epsilons": (Adafactor, {"epsilon_1": 0.4, "epsilon_2": 5.0}),
    "muon": (Muon, {}),
    "muon plain": (Muon, {"nesterov": False, "weight_decay": 0.0}),
    "muon scaled": (Muon, {"momentum": 0.6, "adjust_lr_fn": "match_rms_adamw"}),
}
SHAPES = [(3, 4), (5, 2)]


def made(rule, params, **more):
    cls, settings = RULES[rule]
    return cls(params, **{"lr": 0.1, **settings, **more})


def rate_of(iterations):
    return 0.1 / (1 + iterations) ** 0.5


OPTIONS = {
    "plain": {},
    "clipnorm": {"clipnorm": 2.5},
    "clipvalue": {"clipvalue": 0.6},
    "both clips": {"clipnorm": 3.0, "clipvalue": 0.6},
    "a function": {"lr": rate_of},
    "a schedule": {"lr": StepDecay(0.1, step_size=2, gamma=0.5)},
}
each_rule = pytest.mark.parametrize("rule", RULES)
STEPS = 8


def gradient(shape, seed, k):
    """Large and small ones take turns, so that the largest so far is not that of now."""
    return drawn(shape, 1000 * k + seed) * (2.0, 0.3, 1.0)[k % 3]


def blocks_of(text):
    """The lines of each group under its title."""
    titles = re.findall(r"^\S.*:$", text, re.MULTILINE)
    bodies = re.split(r"^\S.*:\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(titles, ([x.strip() for x in b.splitlines()] for b in bodies), strict=True))


def lines_for(lines, state):
    """The lines that apply to a parameter with that state: some say "(with rows)" after them."""
    chosen = []
    for line in lines:
        text, word, name = re.fullmatch(r"(.*?)(?: {4}\((with|without) (\w+)\))?", line).groups()
        if word is None or (name in state) == (word == "with"):
            chosen.append(text)
    return chosen


def state_of(optimizer, number):
    """The state of one parameter by name, as `state_dict` has it."""
    state = optimizer.state_dict()
    own = {name: v for name, v in state.items() if name.startswith(f"{number}.")}
    return {name.partition(".")[2]: v for name, v in own.items()}


def numbers_of(optimizer, group):
    """What a formula carries on from step to step beside the state, as `state_dict` has it."""
    start = f"parts.{group}."
    state = optimizer.state_dict()
    return {name.removeprefix(start): v for name, v in state.items() if name.startswith(start)}


def check_the_next_step(optimizer, gradients, group_of=None):
    """The formula printed before a step makes of theta and the state what the step makes of them.

    `group_of` says for each parameter in which group it is.
    """
    parameters = optimizer.parameters()
    group_of = group_of or [0] * len(parameters)
    text = optimizer.formula()
    blocks = list(blocks_of(text).values())
    assert len(blocks) == len(set(group_of))
    expected = []
    for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        rows, columns = p.shape if p.ndim == 2 else (1, 1)
        names = numbers_of(optimizer, group_of[i]) | state_of(optimizer, i)
        names |= {"theta": p.numpy(), "g": g, "t": optimizer.iterations + 1}
        names["norm_g"] = math.sqrt(sum((g * g).sum() for g in gradients))
        names["scale"] = math.sqrt(max(1, rows / columns))
        if getattr(optimizer, "adjust_lr_fn", None) == "match_rms_adamw":
            names["scale"] = 0.2 * math.sqrt(max(rows, columns))
        if getattr(optimizer, "epsilon_1", 0) is None:
            names["epsilon_1"] = np.finfo(p.dtype).eps
        functions = FUNCTIONS | OF_WHOLE_PARAMETERS | {"rate_of": rate_of}
        functions["schedule"] = optimizer.schedule
        functions["orthogonal"] = getattr(optimizer, "orthogonal", None)
        for line in lines_for(blocks[group_of[i]], state_of(optimizer, i)):
            follow(re.sub(r"\w+\(\w+=.*?\)(?=\(t - 1\))", "schedule", line), names, functions)
        expected.append(names)
        p.grad = g.copy()
    optimizer.step()
    for i, (p, names) in enumerate(zip(parameters, expected, strict=True)):
        found = {"theta": p.numpy(), **state_of(optimizer, i), **numbers_of(optimizer, group_of[i])}
        for name, value in found.items():
            near = 1e-12 * np.abs(names[name]).max(initial=1e-300)
            np.testing.assert_allclose(
                value, names[name], rtol=1e-12, atol=near, err_msg=f"{name} by\n{text}"
            )


def check(optimizer, steps=STEPS, group_of=None):
    for k in range(steps):
        gradients = [gradient(p.shape, i, k) for i, p in enumerate(optimizer.parameters())]
        check_the_next_step(optimizer, gradients, group_of)


@each_rule
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_printed_formula_is_what_a_step_does(rule, options):
    parameters = [leaf(drawn(shape, i)) for i, shape in enumerate(SHAPES)]
    check(made(rule, parameters, **options))


@pytest.mark.parametrize(
    "rule",
    [name for name, (cls, _) in RULES.items() if "decay" in cls.__init__.__annotations__],
)
@pytest.mark.parametrize("lr", [0.1, rate_of], ids=["number", "function"])
def test_a_decayed_rate_is_a_line_of_the_formula(rule, lr, capsys):
    optimizer = made(rule, [leaf(drawn((3, 4), 0))], lr=lr, decay=0.3)
    check(optimizer)
    start = "0.1" if lr == 0.1 else "rate_of(t - 1)"
    assert f"    rate = {start} / (1 + 0.3 (t - 1))\n" in capsys.readouterr().out


@pytest.mark.parametrize("rule", [r for r, (cls, _) in RULES.items() if cls is not Muon])
def test_the_formula_of_each_group_is_true_for_its_parameters(rule):
    shapes = [(3, 4), (5, 2), (2, 2), (4, 3)]
    a, b, c, d = (leaf(drawn(shape, i)) for i, shape in enumerate(shapes))
    cls = RULES[rule][0]
    settings = [
        {"params": [a, b], "lr": 0.03},
        {"params": c, "lr": rate_of, "clipvalue": 0.5},
        {"params": d},
    ]
    if "beta_2" in cls.__init__.__annotations__:
        settings[1]["beta_2"] = 0.75
    optimizer = made(rule, settings, clipnorm=4.0)
    check(optimizer, group_of=[0, 0, 1, 2])
    titles = [f"{cls.__name__}, group {i}:" for i in range(3)]
    assert list(blocks_of(optimizer.formula())) == titles


@each_rule
def test_the_formula_follows_a_rate_that_is_changed(rule):
    optimizer = made(rule, [leaf(drawn((3, 4), 0))])
    for lr in (0.1, 0.025, rate_of, 0.3):
        optimizer.lr = lr
        check(optimizer, steps=2)


@pytest.mark.parametrize("rule", [r for r, (cls, _) in RULES.items() if cls is not Muon])
@pytest.mark.parametrize("shape", [(), (4,), (2, 3, 4), (1,), (1, 3), (3, 1)], ids=str)
def test_the_formula_is_true_for_any_shape(rule, shape):
    check(made(rule, leaf(drawn(shape, 0))))


def test_adafactor_prints_both_formulas_where_it_has_vectors_and_matrices():
    check(made("adafactor decayed", [leaf(drawn((5,), 0)), leaf(drawn((5, 2), 1))]))


def test_radam_prints_r_from_the_step_on_that_uses_it():
    optimizer = made("radam", leaf(drawn((3, 4), 0)))
    has_r = []
    for k in range(8):
        has_r.append("r = sqrt(" in optimizer.formula())
        for p in optimizer.parameters():
            p.grad = gradient(p.shape, 0, k)
        optimizer.step()
    assert has_r == [False] * 5 + [True] * 3


def test_momentum_that_is_switched_on_too_late_is_refused_rather_than_forgotten():
    w = leaf(drawn((3, 4), 0))
    optimizer = SGD(w, lr=0.1)
    check(optimizer, steps=1)
    optimizer.momentum = 0.5
    before = w.tolist()
    with pytest.raises(RuntimeError, match="momentum was 0 at first"):
        optimizer.step()
    assert w.tolist() == before and optimizer.iterations == 1


def test_the_formula_is_true_after_any_setting_was_changed_between_steps():
    optimizer = made("amsgrad", leaf(drawn((3, 4), 0)))
    check(optimizer, steps=2)
    optimizer.beta_1, optimizer.epsilon, optimizer.clipvalue = 0.5, 0.25, 0.5
    check(optimizer, steps=3)


def test_the_formula_of_a_loaded_state_is_that_of_the_saved_run():
    saved = made("momentum", leaf(drawn((3, 4), 0)), lr=0.7)
    saved.lr = 0.3
    check(saved, steps=2)
    other = made("momentum", leaf(drawn((3, 4), 1)))
    other.load_state_dict(saved.state_dict())
    assert other.formula() == saved.formula()
    check(other, steps=2)


@each_rule
def test_the_formula_needs_no_parameters_and_changes_nothing(rule, capsys):
    cls, settings = RULES[rule]
    text = cls(lr=0.1, **{k: v for k, v in settings.items() if k != "lr"}).formula()
    assert capsys.readouterr().out == text + "\n" and repr(text) == ""
    assert isinstance(text, str) and text.startswith(f"{cls.__name__}:\n    ")
    one, other = (made(rule, leaf(drawn((3, 4), 0))) for _ in range(2))
    for k in range(7):
        for optimizer in (one, other):
            (p,) = optimizer.parameters()
            p.grad = gradient(p.shape, 0, k)
            if optimizer is one:
                assert one.formula() == one.formula()
            optimizer.step()
    (p,), (q,) = one.parameters(), other.parameters()
    np.testing.assert_array_equal(p.data, q.data)


def test_no_name_of_a_setting_is_left_in_a_formula():
    for cls, settings in RULES.values():
        optimizer = cls(**{"lr": 0.25, "epsilon_1": 0.1, **settings} if cls is Adafactor else {})
        words = set(re.findall(r"[A-Za-z]\w*", optimizer.formula()))
        assert words.isdisjoint({*optimizer.get_config(), "rate"} - {"t"})


def test_a_function_without_a_name_and_a_schedule_are_written_as_they_are():
    text = SGD(lr=CosineDecay(0.1, 100)).formula()
    assert text == "SGD:\n    rate = CosineDecay(lr=0.1, decay_steps=100, alpha=0.0)(t - 1)\n" + (
        "    theta -= rate g"
    )
    assert "rate = <lambda>(t - 1)\n" in SGD(lr=lambda t: 0.1).formula()


def test_the_numbers_of_a_formula_have_no_rounding_noise():
    text = Adam(lr=np.float32(0.5), beta_1=0.9, beta_2=0.999, epsilon=1e-8).formula()
    assert text == (
        "Adam:\n    m = 0.9 m + 0.1 g\n    v = 0.999 v + 0.001 g^2\n"
        "    correction = sqrt(1 - 0.999^t) / (1 - 0.9^t)\n"
        "    theta -= 0.5 correction m / (sqrt(v) + 1e-08)"
    )
    text = AdamW(lr=0.25, weight_decay=0.5).formula()
    assert "    theta *= 1 - 0.25 * 0.5\n" in text


def test_an_optimizer_of_ones_own_is_told_by_its_docstring():
    class Slow(Optimizer):
        """Slower and slower.

        theta -= rate share g / t                     with share
        theta -= rate g                               without share

        Some more words.
        """

        __doc__ = __doc__.replace("        theta", "            theta")

        def __init__(self, params=None, lr=0.5, share=0.25):
            super().__init__(params, lr, share=share)

        def update(self, theta, g):
            theta -= self.rate * (self.share or 1) * g / (self.t if self.share else 1)

    assert Slow().formula() == "Slow:\n    theta -= 0.5 * 0.25 g / t"
    assert Slow(share=0).formula() == "Slow:\n    theta -= 0.5 g"
    check(Slow(leaf(drawn(3, 0))), steps=3)
    check(Slow(leaf(drawn(3, 0)), share=0), steps=3)

    class Silent(Slow):
        __doc__ = None

    class Wordy(Slow):
        """Says a lot, but no formula."""

        def update(self, theta, g):
            theta -= g

    assert Silent().formula() == Slow().formula().replace("Slow", "Silent")  # its update, too
    assert Wordy().formula() == "Wordy:\n    (its docstring states no formula)"


# ---------------------------------------------------------------- reading an explanation


class Explained:
    """The rows of an explanation, and the rule under them."""

    def __init__(self, text):
        title, *lines = text.splitlines()
        self.title, step = re.fullmatch(r"(\w+, step (\d+), .*):", title).groups()
        at = lines.index("by the rule")
        self.rows = {line[4:20].strip(): line[20:].split(" -> ") for line in lines[:at]}
        self.rule = [line.strip() for line in lines[at + 1 :]]
        self.t = int(step)

    def before(self, name):
        return float(self.rows[name][0])

    def after(self, name):
        return float(self.rows[name][-1])

    def states(self):
        return [name for name, values in self.rows.items() if len(values) == 2]

    def recomputed(self):
        """All that the rule makes of the printed numbers alone, and nothing else."""
        names = {"t": self.t, "rate": self.before("rate")} | {
            name: self.before(name) for name in self.states()
        }
        clipped = "g clipped" in self.rows
        names["g"] = self.before("g clipped" if clipped else "g")
        if "scale" in self.rows:
            names["scale"] = self.before("scale")
        if "rms(u)" in self.rows:
            names["rms_u"] = self.before("rms(u)")
        for line in self.rule:
            target = split(line)[0]
            if target == "rate" or (clipped and re.match(r"g = (g min|clip)\(", line)):
                continue
            try:
                follow(line.replace("rms(u)", "rms_u"), names, FUNCTIONS)
            except Unknown:  # of the whole parameter, or of a step before
                names[target] = self.after(target)
        return names


def check_explained(text, dtype):
    """The printed change follows from the printed numbers by the printed rule."""
    shown = Explained(text)
    names = shown.recomputed()
    near = {"float32": 4e-6, "float64": 1e-11}[dtype]
    for name, values in shown.rows.items():
        if name in names and name not in ("g", "rate"):
            close = pytest.approx(float(values[-1]), rel=near, abs=near)
            assert names[name] == close, f"{name} in\n{text}"
    change = names["theta"] - shown.before("theta")
    assert change == pytest.approx(shown.after("change"), rel=1e-5, abs=near), text
    exact = np.dtype(dtype).type
    difference = exact(shown.after("theta")) - exact(shown.before("theta"))
    assert difference == exact(shown.after("change")), text
    if shown.before("g"):
        rate = -shown.after("change") / shown.before("g")
        assert shown.after("effective rate") == pytest.approx(rate, rel=1e-5)
    return shown


def check_true(shown, before, after, p, index):
    """The numbers shown are those of the parameter and its state before and after the step."""
    exact = p.dtype.type
    for name, (old, new) in {n: (before[n], after[n]) for n in before}.items():
        old, new = (np.broadcast_to(v, p.shape)[index] for v in (old, new))
        assert (exact(shown.before(name)), exact(shown.after(name))) == (old, new), name
    assert exact(shown.before("g")) == p.grad[index]
    assert set(shown.states()) == set(before)


EXPLAINED = {
    "plain": {},
    "clipnorm": {"clipnorm": 1.5},
    "clipvalue": {"clipvalue": 0.4},
    "both clips": {"clipnorm": 3.0, "clipvalue": 0.4},
    "a function": {"lr": rate_of},
    "a schedule": {"lr": StepDecay(0.1, step_size=2, gamma=0.5)},
}


@each_rule
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("options", EXPLAINED.values(), ids=EXPLAINED)
def test_an_explanation_shows_what_the_step_computed(rule, dtype, options):
    parameters = [leaf(drawn(shape, i), dtype) for i, shape in enumerate(SHAPES)]
    optimizer = made(rule, parameters, **options)
    for k in range(7):
        found = []
        for i, p in enumerate(parameters):
            p.grad = gradient(p.shape, i, k).astype(dtype)
            found.append({"theta": p.numpy(), **state_of(optimizer, i)})
        rate = optimizer.lr
        optimizer.step()
        for i, p in enumerate(parameters):
            index = (k % p.shape[0], k % p.shape[1])
            shown = check_explained(optimizer.explain_step(p, index=index), dtype)
            check_true(shown, found[i], {"theta": p.data, **state_of(optimizer, i)}, p, index)
            assert shown.t == k + 1 and shown.before("rate") == rate


@pytest.mark.parametrize(
    ("rule", "shape", "index"),
    [
        (rule, shape, index)
        for rule, (cls, _) in RULES.items()
        for shape, index in (((), ()), ((4,), 2), ((2, 1, 3), (1, 0, 2)))
        if cls is not Muon
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_explanation_is_true_for_any_shape(rule, dtype, shape, index):
    w = leaf(drawn(shape, 0), dtype)
    optimizer = made(rule, [w, w])
    for k in range(7):
        w.grad = gradient(shape, 0, k).astype(dtype)
        before = {"theta": w.numpy(), **state_of(optimizer, 0)}
        optimizer.step()
        shown = check_explained(optimizer.explain_step(w, index=index), dtype)
        check_true(shown, before, {"theta": w.data, **state_of(optimizer, 0)}, w, index)


@pytest.mark.parametrize("rule", [r for r, (cls, _) in RULES.items() if cls is not Muon])
def test_parameters_of_groups_and_dtypes_are_explained_by_their_own_settings(rule):
    a, b = leaf(drawn((2, 3), 0), "float32"), leaf(drawn((2, 2), 1))
    c, d = leaf(drawn((4, 2), 2)), leaf(drawn((3, 1), 3), "float32")
    optimizer = made(
        rule,
        [{"params": [a, b], "lr": 0.03}, {"params": [c, d], "lr": rate_of, "clipvalue": 0.3}],
        clipnorm=3.0,
    )
    for k in range(7):
        found = []
        for i, p in enumerate(optimizer.parameters()):
            p.grad = gradient(p.shape, i, k).astype(p.dtype)
            found.append({"theta": p.numpy(), **state_of(optimizer, i)})
        optimizer.step()
        for i, p in enumerate(optimizer.parameters()):
            shown = check_explained(optimizer.explain_step(p, index=(1, 0)), p.dtype.name)
            after = {"theta": p.data, **state_of(optimizer, i)}
            check_true(shown, found[i], after, p, (1, 0))
            assert shown.before("rate") == (rate_of(k) if p is c or p is d else 0.03)


NOTED = {
    "sgd": "", "momentum": "velocity", "adagrad": "a", "adadelta": "a d u", "rmsprop": "a",
    "amsgrad": "correction m v v_max", "adamax": "correction m u",
    "nadam": "mu mu_next product m v ahead", "adamw": "correction m v", "radam": "rho r m v",
    "adabelief": "correction m s", "yogi": "correction m v", "lion": "m u",
    "rprop": "previous size", "lamb": "m v u ratio", "muon": "b scale O",
    "adafactor": "w rows columns alpha v u rms(u)",
}  # fmt: skip


@pytest.mark.parametrize("rule", NOTED)
def test_everything_that_a_rule_has_computed_on_the_way_is_shown(rule):
    w = leaf(drawn((2, 2), 0))
    optimizer = made(rule, w)
    w.grad = gradient((2, 2), 0, 0)
    optimizer.step()
    names = ["g", "rate", *NOTED[rule].split(), "theta", "change", "effective rate"]
    rows = Explained(optimizer.explain_step(w)).rows
    assert list(rows) == names


@pytest.mark.parametrize(("shape", "names"), [((4,), ["v"]), ((2, 2), ["rows", "columns"])])
def test_the_rule_shown_by_adafactor_is_that_of_vectors_or_that_of_matrices(shape, names):
    w = leaf(drawn(shape, 0))
    optimizer = made("adafactor decayed", w)
    w.grad = gradient(shape, 0, 0)
    optimizer.step()
    shown = Explained(optimizer.explain_step(w))
    assert [name for name in shown.states() if name != "theta"] == names
    assert not any("with" in line for line in shown.rule)
    assert any("rows" in line for line in shown.rule) == (len(shape) == 2)


def test_a_decayed_rate_is_shown_as_it_was():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, lr=0.5, decay=0.25)
    for rate in (0.5, 0.4, 0.5 / 1.5):
        w.grad = np.ones(2)
        optimizer.step()
        shown = check_explained(optimizer.explain_step(w, index=0), "float64")
        assert shown.before("rate") == rate and shown.rule[0] == "rate = 0.5 / (1 + 0.25 (t - 1))"


def test_what_clipping_made_of_the_slope_is_shown_only_if_it_made_a_difference():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, lr=0.5, clipnorm=1.0)
    for g, clipped in (([0.3, 0.4], None), ([3.0, 4.0], 0.6)):
        w.grad = np.array(g)
        optimizer.step()
        shown = Explained(optimizer.explain_step(w, index=0))
        assert shown.before("g") == g[0]
        assert ("g clipped" in shown.rows) == (clipped is not None)
        if clipped:
            assert shown.before("g clipped") == pytest.approx(clipped, rel=1e-15)
            assert shown.after("effective rate") == pytest.approx(0.1)


def test_without_a_slope_there_is_no_effective_rate():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, lr=0.5, momentum=0.5)
    for g in (1.0, 0.0):
        w.grad = np.array([g, 1.0])
        optimizer.step()
    assert "effective rate" not in Explained(optimizer.explain_step(w, index=0)).rows
    assert "effective rate" in Explained(optimizer.explain_step(w, index=1)).rows


# ---------------------------------------------------------------- which number


def after_a_step(data=((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)), cls=SGD, name="w", **settings):
    w = leaf(data, name=name)
    optimizer = cls(w, **{"lr": 0.5, **settings})
    w.grad = w.numpy() ** 2
    optimizer.step()
    return w, optimizer


def test_without_an_index_the_number_that_changed_the_most_is_explained():
    w, optimizer = after_a_step([[1.0, -6.0], [2.0, 5.0]])
    assert optimizer.explain_step(w) == optimizer.explain_step(w, index=(0, 1))
    assert Explained(optimizer.explain_step(w)).title == "SGD, step 1, w[0, 1]"


@pytest.mark.parametrize(
    ("index", "title", "theta"),
    [
        ((1, 2), "w[1, 2]", 6.0),
        ((-1, -3), "w[-1, -3]", 4.0),
        ((np.int64(1), np.int32(-1)), "w[1, -1]", 6.0),
    ],
    ids=str,
)
def test_an_index_counts_from_either_end(index, title, theta):
    w, optimizer = after_a_step()
    shown = Explained(optimizer.explain_step(w, index=index))
    assert shown.title == f"SGD, step 1, {title}" and shown.before("theta") == theta


def test_a_whole_number_will_do_for_a_vector_and_nothing_for_a_number():
    w, optimizer = after_a_step([1.0, 2.0])
    assert Explained(optimizer.explain_step(w, 1)).before("theta") == 2
    assert optimizer.explain_step(w, -1) == optimizer.explain_step(w, (-1,))
    b, optimizer = after_a_step(3.0, name=None)
    for index in (None, ()):
        shown = Explained(optimizer.explain_step(b, index))
        assert shown.title == "SGD, step 1, a parameter of shape ()" and shown.before("g") == 9


@pytest.mark.parametrize(
    "index",
    [2, 0, (0,), (0, 0, 0), (2, 0), (0, -4), "a", (0, "a"), 0.5, (0, 0.0), (0, slice(0, 1)),
     (0, ...), (None, 0), [0, 0], (0, True), (0, [1])],
    ids=str,
)  # fmt: skip
def test_an_index_that_is_no_number_of_the_parameter_is_refused(index):
    w, optimizer = after_a_step()
    with pytest.raises(IndexError, match=r"explain_step: index .* of shape \(2, 3\)"):
        optimizer.explain_step(w, index)


def test_a_parameter_without_numbers_has_none_to_explain():
    w = leaf(np.zeros((0, 2)))
    optimizer = SGD(w)
    w.grad = np.zeros((0, 2))
    optimizer.step()
    with pytest.raises((IndexError, ValueError), match="explain_step: "):
        optimizer.explain_step(w)


@pytest.mark.parametrize("other", [lambda: leaf([1.0]), lambda: np.ones(3), lambda: None])
def test_what_is_no_parameter_of_the_optimizer_is_refused(other):
    w, optimizer = after_a_step()
    with pytest.raises(ValueError, match=r"SGD.explain_step: .* none of the optimizer's"):
        optimizer.explain_step(other())
    with pytest.raises(ValueError, match="none of the optimizer's"):
        SGD().explain_step(w)


def test_before_any_step_there_is_nothing_to_explain():
    w = leaf([1.0])
    with pytest.raises(RuntimeError, match=r"Adam.explain_step: no step to explain yet; take"):
        Adam(w).explain_step(w)


@pytest.mark.filterwarnings("ignore:.*no gradient")
@pytest.mark.parametrize("cls", [Adam, LAMB])
def test_a_parameter_that_had_no_gradient_has_no_step_to_explain(cls):
    a, b = leaf([1.0, 2.0]), leaf([3.0])
    optimizer = cls([a, b])
    optimizer.minimize(lambda: (a * a).sum() + b.sum())
    optimizer.explain_step(b)
    optimizer.minimize(lambda: (a * a).sum())
    with pytest.raises(RuntimeError, match=r"explain_step: .* it had no gradient"):
        optimizer.explain_step(b)
    check_explained(optimizer.explain_step(a), "float64")


# ---------------------------------------------------------------- whatever happened since


def overwrite(optimizer, w):
    w.data = np.zeros(w.shape)
    w.data[...] = 7


def another_backward(optimizer, w):
    optimizer.zero_grad()
    (w * w * w).sum().backward()


def settings(optimizer, w):
    optimizer.lr = 3.0
    optimizer.beta_1 = optimizer.beta_2 = 0.25
    optimizer.clipvalue = 1e-3


def load(optimizer, w):
    other = type(optimizer)(leaf(drawn((2, 3), 9)), lr=9.0, amsgrad=True)
    other.minimize(lambda: (other.parameters()[0] ** 2).sum())
    optimizer.load_state_dict(other.state_dict())


def skipped(optimizer, w):
    optimizer.nonfinite = "skip"
    w.grad = np.full(w.shape, np.nan)
    optimizer.step()
    assert optimizer.skipped == 1


def refused(optimizer, w):
    w.grad = np.full(w.shape, np.inf)
    with pytest.raises(FloatingPointError):
        optimizer.step()


def asked_for_the_formula(optimizer, w):
    optimizer.formula()
    optimizer.state_dict()
    optimizer.explain_step(w, (0, 0))


SINCE = (overwrite, another_backward, settings, load, skipped, refused, asked_for_the_formula)


@pytest.mark.parametrize("happens", SINCE)
def test_an_explanation_is_of_the_step_whatever_happened_since(happens):
    w, optimizer = after_a_step(cls=Adam, amsgrad=True)
    w.grad = w.numpy()
    optimizer.step()
    before = optimizer.explain_step(w, (1, 1))
    happens(optimizer, w)
    assert optimizer.explain_step(w, (1, 1)) == before


def test_an_explanation_shows_the_schedule_as_it_was():
    schedule = ReduceOnPlateau(0.5, factor=0.5, patience=0)
    w, optimizer = after_a_step(lr=schedule)
    before = optimizer.explain_step(w)
    schedule.observe(1.0), schedule.observe(2.0)
    assert schedule.lr == 0.25
    assert optimizer.explain_step(w) == before


def test_an_explanation_changes_nothing():
    one, other = after_a_step(cls=Nadam), after_a_step(cls=Nadam)
    one[1].explain_step(one[0])
    for w, optimizer in (one, other):
        w.grad = w.numpy()
        optimizer.step()
    np.testing.assert_array_equal(one[0].data, other[0].data)
    assert repr(one[1].state_dict()) == repr(other[1].state_dict())


def test_an_explanation_is_printed_and_returned(capsys):
    w, optimizer = after_a_step()
    text = optimizer.explain_step(w)
    assert capsys.readouterr().out == text + "\n" and repr(text) == ""


def copies_of(w, optimizer):
    return [copy.deepcopy((w, optimizer)), pickle.loads(pickle.dumps((w, optimizer)))]


@pytest.mark.parametrize("rule", ["momentum", "amsgrad", "nadam", "lamb", "adafactor"])
def test_a_copy_explains_its_own_steps_and_the_original_keeps_its_own(rule):
    w = leaf(drawn((2, 3), 0))
    optimizer = made(rule, w)
    w.grad = gradient((2, 3), 0, 0)
    optimizer.step()
    before = optimizer.explain_step(w, (1, 1))
    for twin, other in copies_of(w, optimizer):
        with pytest.raises(RuntimeError, match=r"explain_step: .* take"):
            other.explain_step(twin)
        with pytest.raises(ValueError, match="none of the optimizer's"):
            other.explain_step(w)
        twin.grad = gradient((2, 3), 0, 1)
        other.step()
        assert check_explained(other.explain_step(twin), "float64").t == 2
        assert optimizer.explain_step(w, (1, 1)) == before


def test_what_a_gradient_of_nan_does_is_shown_where_it_is_ignored():
    w = leaf([1.0, 2.0])
    optimizer = SGD(w, lr=0.5, nonfinite="ignore")
    w.grad = np.array([np.nan, 1.0])
    optimizer.step()
    shown = Explained(optimizer.explain_step(w))
    assert shown.title.endswith("[0]") and math.isnan(shown.after("theta"))
    assert Explained(optimizer.explain_step(w, 1)).after("theta") == 1.5


# ---------------------------------------------------------------- more than can be kept


@pytest.mark.parametrize("rule", ["sgd", "amsgrad", "nadam", "lamb", "adafactor", "muon"])
def test_of_many_parameters_only_those_asked_for_are_kept(rule):
    a, b, c = leaf(drawn((260, 260), 0)), leaf(drawn((2, 2), 1)), leaf([[1.0]], "float32")
    optimizer = made(rule, [a, b, c], clipnorm=1.0)

    def step(k):
        for i, p in enumerate((a, b, c)):
            p.grad = gradient(p.shape, i, k).astype(p.dtype)
        optimizer.step()

    with pytest.raises(RuntimeError, match="no step to explain yet"):
        optimizer.explain_step(a)
    step(0)
    check_explained(optimizer.explain_step(a), "float64")  # asked for before the first step
    check_explained(optimizer.explain_step(c), "float32")  # the only one of its dtype
    with pytest.raises(RuntimeError, match=r"of 67,604 parameters .* take a step, and ask again"):
        optimizer.explain_step(b)
    step(1)
    before = {"theta": b.numpy(), **state_of(optimizer, 1)}
    step(2)
    shown = check_explained(optimizer.explain_step(b, (1, 0)), "float64")
    check_true(shown, before, {"theta": b.data, **state_of(optimizer, 1)}, b, (1, 0))
    assert check_explained(optimizer.explain_step(a), "float64").t == 3


def test_the_limit_is_65536_numbers_of_a_dtype():
    for size, kept in ((65_536, True), (65_537, False)):
        w = leaf(np.ones(size), "float32")
        optimizer = SGD(w)
        for _ in range(2):
            w.grad = np.ones(size, "float32")
            optimizer.step()
            if kept:
                assert Explained(optimizer.explain_step(w)).before("g") == 1
            else:
                with pytest.raises(RuntimeError, match=r"65,537 parameters a step keeps only"):
                    optimizer.explain_step(w)
                kept = True
