"""What docs/optimizers_elsewhere.md says is true: its recipes give the numbers of PyTorch and of
Keras 3, and its figures are what the recordings give.

A recipe is what stands in the last column of its table. It is run as it stands, with the classes of
the page's own code, and with the arguments of a recorded case where their names are.
"""

import ast
import functools
import inspect
import json
import re

import numpy as np
import pytest

from tests.test_docs import ROOT, blocks, run_program
from tests.trajectories import DATA, leaf, loss_of
from tinygrad_edu import optimizers
from tinygrad_edu.optimizers import beyond, second_order, whole_arrays
from tinygrad_edu.optimizers.settings import ELSEWHERE
from tinygrad_edu.schedules import InverseTimeDecay

PAGE = ROOT / "docs/optimizers_elsewhere.md"
SEVEN = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "Adamax", "Nadam")


@functools.cache
def page():
    """What the code of the page defines."""
    namespace = {"__name__": "__document__"}
    for block in blocks(PAGE):
        if block.language == "python":
            run_program(block, namespace, PAGE)
    return namespace


def table(heading):
    """The cells of the table under a heading, row by row."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert set(lines[1]) <= set("|-")
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def ticked(text):
    """What stands in backticks."""
    return re.findall(r"`([^`]*)`", text)


def arguments(text):
    """The arguments in a cell such as `lr=0.01, betas=(0.9, 0.999)`."""
    (call,) = ticked(text)
    keywords = ast.parse(f"_({call})", mode="eval").body.keywords
    return {keyword.arg: ast.literal_eval(keyword.value) for keyword in keywords}


# ---------------------------------------------------------------- the recorded walks

ARRAYS = {
    library: dict(np.load(DATA / f"{library}.npz")) for library in ("torch", "keras", "keras3")
}
NAMES = {"PyTorch": "torch", "Keras 3": "keras3"}
DEFAULTS = {
    (library, ticked(row[0])[0].lower()): arguments(row[column])
    for row in table("Default values")
    for library, column in (("keras3", 2), ("torch", 3))
}


def cases_of(library):
    cases = json.loads((DATA / f"{library}.json").read_text(encoding="utf-8"))
    return [{"library": library, **case} for case in cases]


CASES = [
    case
    for case in [*cases_of("torch"), *cases_of("keras3")]
    if (case["library"], case["optimizer"].lower()) in DEFAULTS
]
EACH_BY_ITSELF = [c for c in cases_of("keras") if c.get("clipnorm_scope") == "per-array"]


def arguments_of(case):
    """All arguments that the other library's optimizer had, by their names there."""
    given = dict(case["config"])
    falling = given.get("learning_rate")
    if isinstance(falling, dict):  # Keras 3's first argument is called otherwise than ours
        given["learning_rate"] = InverseTimeDecay(*falling.values())
    return DEFAULTS.get((case["library"], case["optimizer"].lower()), {}) | given


def recorded(case):
    """For each parameter, an array with a row for the start and every step."""
    shapes = case["param_shapes"]
    return [ARRAYS[case["library"]][f"{case['id']}/p{i}"] for i in range(len(shapes))]


def losses(case, parameters):
    """For each step, a function of the loss; or, of a loss whose slopes are the recorded ones."""
    if case["kind"] != "fixed-gradients":
        return [lambda: loss_of(case, parameters)] * case["steps"]
    arrays = ARRAYS["keras" if case["library"] == "keras3" else case["library"]]
    slopes = [arrays[f"grads/{case['stream']}/p{i}"] for i in range(len(parameters))]
    return [
        lambda k=k: sum((p * g[k]).sum() for p, g in zip(parameters, slopes, strict=True))
        for k in range(case["steps"])
    ]


def walk(case, recipe, **changed):
    """Follow a case with the optimizer of the recipe; the same arrays as `recorded`."""
    theirs = {**arguments_of(case), **changed}
    parameters = [leaf(p[0]) for p in recorded(case)]
    optimizer = eval(recipe, {**page(), **theirs, "params": parameters})
    weight_decay, decoupled = (
        theirs.get(key, 0) for key in ("weight_decay", "decoupled_weight_decay")
    )
    rows = [[p.numpy().copy() for p in parameters]]
    for loss_function in losses(case, parameters):
        loss = loss_function()
        if weight_decay and not decoupled:
            loss = loss + page()["penalty"](parameters, weight_decay)
        optimizer.zero_grad()
        loss.backward()
        if case.get("clipnorm_scope") == "per-array":
            page()["clip_each"](parameters, theirs["clipnorm"])
        if weight_decay and decoupled:
            page()["shrink"](parameters, 1 - optimizer.lr * weight_decay)
        optimizer.step()
        rows.append([p.numpy().copy() for p in parameters])
    return [np.array(walked) for walked in zip(*rows, strict=True)]


def apart(theirs, ours):
    """The page's figure: max |theirs - ours| / max |theirs - start|, after the last step."""
    pairs = list(zip(theirs, ours, strict=True))
    return max(abs(a[-1] - b[-1]).max() for a, b in pairs) / max(
        abs(a[-1] - a[0]).max() for a in theirs
    )


def agrees(figure, shown):
    """Whether a number is what the page shows, to the two digits that it shows."""
    if shown == "0":
        return figure < 1e-12
    return float(f"{figure:.1e}") == float(shown)


# ---------------------------------------------------------------- the table of the seven

ROWS = table("The seven, one by one")
FALLING = next(row for row in ROWS if "falling" in row[0])  # nothing recorded: done by the class
STREAMS = ("mixed", "sparse", "tiny")
SAME_NAME = {  # what one writes who does not know of any difference
    "SGD": "SGD(params, lr, momentum, nesterov=nesterov)",
    "Adagrad": "Adagrad(params, lr, epsilon=epsilon, decay=lr_decay)",
    "Adadelta": "Adadelta(params, lr, rho, epsilon)",
    "RMSprop": "RMSprop(params, lr, rho, epsilon)",
    "Adam": "Adam(params, lr, beta_1, beta_2, epsilon, amsgrad=amsgrad)",
    "Adamax": "Adamax(params, lr, beta_1, beta_2, epsilon)",
    "NAdam": "Nadam(params, lr, beta_1, beta_2, epsilon, schedule_decay=momentum_decay)",
    "Nadam": "Nadam(params, lr, beta_1, beta_2, epsilon)",
}


def row_of(case):
    """The row of a case: the last one whose optimizer it is and whose `with` it meets."""
    found = None
    given = arguments_of(case)
    for row in ROWS:
        library, rest = re.fullmatch(r"(PyTorch|Keras 3) (.*)", row[0]).groups()
        name, *wanted = ticked(rest)
        if (NAMES[library], name) != (case["library"], case["optimizer"]) or row is FALLING:
            continue
        meets = [
            given.get(key) == float(value) if value else bool(given.get(key))
            for key, _, value in (word.partition("=") for word in wanted)
        ]
        if all(meets):
            found = row
    return found


def by_the_same_name(case, **changed):
    """The walk of the optimizer of that name, with the arguments that it knows of."""
    given = {"lr_decay": 0, **arguments_of(case), **changed}
    for theirs, ours in (("learning_rate", "lr"), ("eps", "epsilon"), ("alpha", "rho")):
        if theirs in given:
            given[ours] = given[theirs]
    if "betas" in given:
        given["beta_1"], given["beta_2"] = given["betas"]
    return walk(case, SAME_NAME[case["optimizer"]], **given)


def check_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=0)


def recipe_of(row):
    (recipe,) = ticked(row[-1])
    return recipe


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['library']} {case['id']}")
def test_the_recipe_gives_the_recorded_numbers(case):
    check_same(walk(case, recipe_of(row_of(case))), recorded(case))


def test_every_row_has_a_recorded_case_and_every_case_a_row():
    assert len(CASES) == 54 + 26
    met = [row for row in ROWS if any(row_of(case) is row for case in CASES)]
    assert [row[0] for row in ROWS if row not in met] == [FALLING[0]]
    assert {ticked(row[0])[0].lower() for row in ROWS} == {name.lower() for name in SEVEN}


@pytest.mark.parametrize("row", [row for row in ROWS if row is not FALLING], ids=lambda row: row[0])
def test_the_figures_are_what_the_recordings_give(row):
    for stream, shown in zip(STREAMS, row[2:5], strict=True):
        cases = [c for c in CASES if row_of(c) is row and c.get("stream", "").startswith(stream)]
        assert bool(cases) == bool(shown), f"{stream}: {len(cases)} cases are recorded"
        for case in cases[:1]:  # the defaults, where they are recorded
            figure = apart(recorded(case), by_the_same_name(case))
            assert agrees(figure, shown), f"{stream}: {figure:.1e}"


RATE = InverseTimeDecay(0.05, 1, 0.01)


def test_the_figures_of_a_falling_rate():
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert "momentum 0.9, and 0.05 / (1 + 0.01 t) as the rate" in text
    for stream, shown in zip(STREAMS, FALLING[2:5], strict=True):
        case = next(c for c in CASES if c["id"].startswith(f"SGD.lr0.01.{stream}"))
        theirs = walk(case, recipe_of(FALLING), lr=RATE, momentum=0.9)
        figure = apart(theirs, by_the_same_name(case, lr=RATE, momentum=0.9))
        assert agrees(figure, shown), f"{stream}: {figure:.1e}"


# ---------------------------------------------------------------- the classes of the page


def own_classes():
    return [x for name, x in page().items() if name.startswith(("PyTorch", "Keras3"))]


def test_they_have_the_defaults_of_those_they_follow():
    for cls in own_classes():
        library, name = re.fullmatch("(PyTorch|Keras3)(.*)", cls.__name__).groups()
        theirs = DEFAULTS[library.lower().removeprefix("py"), name.lower()]
        own = cls().get_config()
        assert own["lr"] == theirs.get("lr", theirs.get("learning_rate"))
        assert own.get("rho") == theirs.get("rho", theirs.get("alpha"))
        assert own.get("epsilon") == theirs.get("epsilon", theirs.get("eps"))
        assert all(own.get(key, value) == value for key, value in theirs.items())


def test_they_are_used_by_the_table_and_state_their_formula(capsys):
    assert {cls.__name__ for cls in own_classes()} == {
        recipe_of(row).partition("(")[0] for row in ROWS if "PyTorch" in row[-1] or "3" in row[-1]
    }
    for cls in own_classes():
        lines = cls(lr=0.25).formula().splitlines()
        assert lines[0] == f"{cls.__name__}:"
        assert lines[-1].startswith("    theta -= 0.25 ")
        assert f"class {cls.__name__}" in PAGE.read_text(encoding="utf-8")
        assert cls.__doc__, "an inherited docstring would state another formula"


OF_A_CLASS = {"SGD": FALLING, "RMSprop": next(row for row in ROWS if "`centered`" in row[0])}


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if c["library"] == "torch" and c["optimizer"] in OF_A_CLASS],
    ids=lambda case: case["id"],
)
def test_the_classes_also_do_what_a_setting_does(case):
    check_same(walk(case, recipe_of(OF_A_CLASS[case["optimizer"]])), recorded(case))


# ---------------------------------------------------------------- clipping, decay, names


@pytest.mark.parametrize("case", EACH_BY_ITSELF, ids=lambda case: case["id"])
def test_clip_each_is_the_clipnorm_of_tf_keras(case):
    settings = {key: value for key, value in case["config"].items() if key != "clipnorm"}
    recipe = f"{case['optimizer']}(params, **settings)"
    check_same(walk(case, recipe, settings=settings), recorded(case))


def test_the_figure_of_the_two_ways_to_clip():
    (shown,) = re.findall(
        r"once each way, ends (\S+) apart on\s+the\s+mixed", PAGE.read_text("utf-8")
    )
    (each,) = [case for case in EACH_BY_ITSELF if case["optimizer"] == "SGD"]
    assert each["config"] == {"momentum": 0.9, "clipnorm": 1.0}
    together = {**each, "id": each["id"].replace("per-array", "global")}
    assert agrees(apart(recorded(each), recorded(together)), shown)


@pytest.mark.parametrize(
    "case", [case for case in CASES if ".falling." in case["id"]], ids=lambda case: case["id"]
)
def test_decay_is_the_inverse_time_decay_of_keras_3(case):
    assert case["config"]["learning_rate"]["decay_steps"] == 1
    rate, _, decay = case["config"]["learning_rate"].values()
    check_same(walk(case, f"{case['optimizer']}(params, {rate}, decay={decay})"), recorded(case))


def test_the_names_here_are_arguments_here():
    known = {
        name for cls in SEVEN for name in inspect.signature(getattr(optimizers, cls)).parameters
    }
    rows = table("Names of arguments")
    for here, _, keras3, torch in rows:
        assert all(name in known or name in page() or name == "-loss" for name in ticked(here))
        for name in ticked(keras3) + ticked(torch):
            if name in ELSEWHERE and name != "weight_decay" and ticked(here):
                assert ELSEWHERE[name].split(" and ") == ticked(here)
    assert {*ELSEWHERE} - {"b1", "b2"} <= {
        name for row in rows for cell in row for name in ticked(cell)
    }


def test_the_defaults_here_are_those_of_the_signatures():
    rows = table("Default values")
    assert [ticked(row[0]) for row in rows] == [[name] for name in SEVEN]
    for (name,), shown in ((ticked(row[0]), arguments(row[1])) for row in rows):
        own = optimizers.get(name).get_config()
        unused = {"decay": 0.0, "clipnorm": None, "clipvalue": None}
        assert {**unused, **shown} == {**unused, **own}


# ---------------------------------------------------------------- PyTorch itself, where it is


def test_the_defaults_of_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install .[bench]")
    of_all = {"params", "weight_decay", "decoupled_weight_decay", "maximize"}
    of_all |= {"foreach", "fused", "capturable", "differentiable"}
    for (library, name), shown in DEFAULTS.items():
        if library == "torch":
            cls = torch.optim.NAdam if name == "nadam" else getattr(torch.optim, name_of(name))
            own = inspect.signature(cls).parameters.values()
            assert shown == {p.name: p.default for p in own if p.name not in of_all}


def name_of(lower):
    return next(name for name in SEVEN if name.lower() == lower)


@pytest.mark.parametrize(
    "settings", [{}, {"dampening": 0.3}, {"nesterov": True}], ids=lambda settings: str(settings)
)
def test_pytorchs_sgd_has_a_falling_rate_outside_of_its_velocity(settings):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install .[bench]")
    case = next(c for c in CASES if c["optimizer"] == "SGD")
    ours = walk(case, recipe_of(FALLING), lr=RATE, momentum=0.9, **settings)
    parameters = [torch.tensor(p[0], requires_grad=True) for p in recorded(case)]
    optimizer = torch.optim.SGD(parameters, lr=1.0, momentum=0.9, **settings)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, RATE)
    for k in range(case["steps"]):
        for i, p in enumerate(parameters):
            p.grad = torch.tensor(ARRAYS["torch"][f"grads/{case['stream']}/p{i}"][k])
        optimizer.step()
        schedule.step()
        for p, walked in zip(parameters, ours, strict=True):
            np.testing.assert_allclose(p.detach().numpy(), walked[k + 1], rtol=1e-9, atol=0)


# ---------------------------------------------------------------- beyond the seven


def test_those_beyond_the_seven_are_exact_to_whom_they_say():
    rows = table("Beyond the seven")
    classes = {
        name: getattr(module, name)
        for module in (beyond, whole_arrays, second_order)
        for name in module.__all__
    }
    assert sorted(name for row in rows for name in ticked(row[0])) == sorted(classes)
    for (name,), (theirs,) in ((ticked(row[0]), ticked(row[1])) for row in rows):
        assert f"exact to {theirs}" in " ".join(inspect.getdoc(classes[name]).split())
