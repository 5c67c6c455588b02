"""The page that replays backward, as a file: what is in it, and that nothing else can be."""

import base64
import hashlib
import html
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import drawn, pages
from tinygrad_edu import Tensor, explore
from tinygrad_edu.chain import walk
from tinygrad_edu.drawing.thumbnails import pixels
from tinygrad_edu.explorer.numbers import Arrays, unpacked
from tinygrad_edu.explorer.source import coloured, rule
from tinygrad_edu.graph.replay import check
from tinygrad_edu.graph.trace import trace
from tinygrad_edu.graph.wording import sentence

ROOT = Path(__file__).parents[1]


@pytest.fixture
def page(tmp_path):
    """What is written, as text, and the data in it."""

    def written(loss, **options):
        path = explore(loss, tmp_path / "graph.html", engine="builtin", **options)
        return path.read_text(encoding="utf-8")

    return written


def data_of(text):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    return json.loads(found[1])


def scripts_of(text):
    return re.findall(r"<script>(.*?)</script>", text, re.S)


def named(data, name):
    return next(node for node in data["nodes"].values() if node["name"] == name)


def numbers(data, place):
    return unpacked(data["arrays"][place])


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


# ---------------------------------------------------------------- one file that runs nothing else


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(page):
    text = page(pages.small())
    policy = html.unescape(re.search(r'Content-Security-Policy" content="(.*?)"', text)[1])
    (script,) = scripts_of(text)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.S)

    def hashed(content):
        return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{hashed(style)}'; "
        f"script-src 'sha256-{hashed(script)}'; base-uri 'none'; form-action 'none'"
    )
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_the_page_needs_nothing_from_elsewhere(page):
    text = page(pages.small())
    for _, attributes in Elements(text).found:
        for name in ("src", "href", "action"):
            assert attributes.get(name, "data:").startswith("data:")
        assert not any(name.startswith("on") or name == "style" for name in attributes)
    assert set(re.findall(r"\w+://[^\s\"']+", text)) == {"http://www.w3.org/2000/svg"}


@pytest.mark.parametrize("title", [None, pages.HOSTILE[1], '"><b onload=x>{{script}}'])
def test_no_name_becomes_anything_but_text(page, title):
    honest, text = page(pages.small()), page(pages.hostile(), title=title)
    known = {tag for tag, _ in Elements(honest).found}
    assert {tag for tag, _ in Elements(text).found} <= known
    assert scripts_of(text) == scripts_of(honest)
    assert text.count("<script") == honest.count("<script") == 2
    names = [node["name"] for node in data_of(text)["nodes"].values()]
    assert pages.HOSTILE[0] in names and pages.HOSTILE[2] in names and pages.HOSTILE[8] in names
    assert max(map(len, names)) <= 200
    assert not re.search("[\u202a-\u202e]", text)


def test_a_title_is_shown_and_else_the_result(page):
    assert "<title>one &lt; two</title>" in page(pages.small(), title="one < two")
    loss = pages.small()
    loss.name = "loss"
    assert f"<title>loss = {loss.item():.4g}</title>" in page(loss)


def test_without_its_script_the_page_is_the_picture_with_the_most_detail(page):
    text = page(pages.small())
    views = re.findall(r'<div class="view" data-view="(\d)"( hidden)?>(.*?)</svg>', text, re.S)
    assert [(view, bool(hidden)) for view, hidden, _ in views] == [
        ("1", True), ("2", True), ("3", False),
    ]  # fmt: skip
    images = [svg.count('href="data:image/png') for _, _, svg in views]
    assert images[:2] == [0, 0] and images[2] > 10
    assert "<noscript>" in text and '<footer class="live" hidden>' in text


# ---------------------------------------------------------------- the numbers


def test_every_gradient_is_that_of_backward(page):
    net = pages.Net(2, 6, 3)
    loss = pages.small(net)
    data = data_of(page(loss))
    assert all(p.grad is None for p in net.parameters())  # looking changes nothing
    loss.backward()
    for name, p in net.named_parameters():
        np.testing.assert_array_equal(numbers(data, named(data, name)["gradient"]), p.grad)
        np.testing.assert_array_equal(numbers(data, named(data, name)["value"]), p.data)
    keys = trace(loss).keys
    for t, g, _ in walk(loss, np.ones_like(loss.data)):
        np.testing.assert_array_equal(numbers(data, data["nodes"][keys[t]]["gradient"]), g)


def test_contributions_stand_in_the_order_in_which_they_arrive_with_the_sum_after_each(page):
    data = data_of(page(pages.small()))
    weight = named(data, "fc1.weight")
    assert len(weight["terms"]) == 3
    steps = [step for _, step, _ in weight["terms"]]
    assert steps == sorted(steps)
    total = 0
    for edge, step, place in weight["terms"]:
        assert data["steps"][step - 1][:2] == ["backward", data["edges"][edge]["target"]]
        total = total + numbers(data, data["edges"][edge]["gave"])
        np.testing.assert_array_equal(numbers(data, place), total)
    assert weight["terms"][-1][2] == weight["gradient"]


def test_what_is_the_same_is_kept_once(page):
    data = data_of(page(pages.small()))
    for node in data["nodes"].values():
        if len(node["terms"]) == 1:
            ((edge, _, place),) = node["terms"]
            assert data["edges"][edge]["gave"] == place == node["gradient"]
    packed = [json.dumps(array) for array in data["arrays"]]
    assert len(set(packed)) == len(packed)
    ops = [op["name"] for op in data["ops"]]
    assert sorted(ops) == ["add", "linear", "multiply", "softmax_cross_entropy", "sum", "tanh"]


def test_all_gradients_are_checked_by_differences(page):
    loss = pages.small()
    data = data_of(page(loss))
    checked = [node for node in data["nodes"].values() if "check" in node]
    assert len(checked) == 4 and all(node["kind"] == "parameter" for node in checked)
    assert all(node["check"]["agrees"] and node["check"]["entries"] for node in checked)
    assert all(one.relative <= 1e-6 for one in check(loss).values())


def test_steps_are_those_of_the_graph_in_its_words(page):
    loss = pages.small()
    loss.name = "loss"
    data, graph = data_of(page(loss)), trace(loss)
    assert [step[0] for step in data["steps"]] == ["forward"] * 8 + ["seed"] + ["backward"] * 8
    assert [step[2] for step in data["steps"]] == [sentence(graph, step) for step in graph.steps]
    assert [step[1] for step in data["steps"]] == [step.node for step in graph.steps]


def test_a_hook_that_changes_a_gradient_is_mentioned(page):
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    y, z = x * 2.0, x * 3.0
    y.register_hook(lambda g: g * 10)
    z.register_hook(lambda g: None)
    y.name, z.name = "y", "z"
    data = data_of(page((y * z).sum()))
    assert named(data, "y")["hook"] == "changed" and named(data, "z")["hook"] == "kept"
    assert "hook" not in named(data, "x")
    (_, _, total), gradient = named(data, "y")["terms"][0], named(data, "y")["gradient"]
    np.testing.assert_array_equal(numbers(data, total) * 10, numbers(data, gradient))


def test_no_gradient_is_not_zero(page):
    x = Tensor([1.0, -2.0], requires_grad=True, name="x")
    zeros = data_of(page((x * 0.0).sum()))
    assert numbers(zeros, named(zeros, "x")["gradient"]).tolist() == [0, 0]
    fixed = Tensor([1.0, 1.0], name="fixed")
    assert named(data_of(page((x * fixed).sum())), "fixed")["gradient"] is None


# ---------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    "x",
    [
        drawn(10, 24),
        drawn(2, 3, 4),
        drawn(5, dtype="float64") * 1e300,
        np.array([np.nan, -np.inf, 1.0], "f4"),
        np.arange(6).reshape(2, 3),
        np.array([True, False]),
        np.array(3.5),
    ],
    ids=lambda x: f"{x.shape} {x.dtype}",
)
def test_small_arrays_are_kept_to_the_bit(x):
    arrays = Arrays()
    np.testing.assert_array_equal(unpacked(arrays.packed[arrays.place(x)]), x)


@pytest.mark.parametrize("shape", [(241,), (100, 3), (3, 100), (30, 40), (20, 3, 8, 8)])
def test_of_large_arrays_a_picture_is_kept(shape):
    x = drawn(*shape)
    arrays = Arrays()
    packed = arrays.packed[arrays.place(x)]
    assert "numbers" not in packed and unpacked(packed) is None
    grid = np.frombuffer(base64.b64decode(packed["pixels"]), np.uint8)
    np.testing.assert_array_equal(grid.reshape(packed["rows"], -1), pixels(x))
    assert packed["max"] == f"{x.max():.4g}" and packed["min"] == f"{x.min():.4g}"


def test_what_is_said_of_an_array():
    arrays = Arrays()
    arrays.place(np.array([3.0, -4.0, np.nan, np.inf]))
    arrays.place(np.array([0.1, 0.2, -0.3]))  # a mean of nothing but rounding
    arrays.place(np.zeros((0, 3)))
    some, rounded, nothing = arrays.packed
    assert (some["alarm"], some["min"], some["max"]) == ("1 nan, 1 infinite", "-4", "3")
    assert float(rounded["mean"]) == 0
    assert set(nothing) == {"shape"}


def test_equal_numbers_of_other_shapes_or_types_are_other_arrays():
    arrays = Arrays()
    x = np.zeros((2, 3), "f4")
    places = [arrays.place(y) for y in (x, x.T, x.astype("f8"), x.copy(), -x)]
    assert places == [0, 1, 2, 0, 3]  # -0.0 has other bits
    assert arrays.place(None) is None


# ---------------------------------------------------------------- source


def test_a_function_shows_the_line_that_made_each_tensor(page):
    text = page(pages.small)
    where = named(data_of(text), "fc2.linear")["where"]
    assert where["file"] == "pages.py" and where["function"] == "forward"
    assert "".join(t for _, t in where["text"]) == "return self.fc2(tg.tanh(self.fc1(x)))"
    assert ["keyword", "return"] in where["text"]
    assert str(ROOT) not in text


def test_a_tensor_computed_without_lines_has_none(page):
    assert named(data_of(page(pages.small())), "fc2.linear")["where"] is None


@pytest.mark.parametrize(
    "source",
    ["x = f(1,", "if x:", ")", "'open", "def f(x):\n    return 'a' # b\n", "a\x0cb = 'é'\r\n", ""],
)
def test_coloured_source_is_the_source(source):
    assert "".join(text for _, text in coloured(source)) == source
    assert "keyword" in dict(coloured("def f(): pass"))


def test_the_rule_of_an_op_is_its_source(page):
    data = data_of(page(pages.small()))
    (tanh,) = [op for op in data["ops"] if op["name"] == "tanh"]
    source = "".join(text for _, text in tanh["source"])
    assert "def tanh(x):" in source and "1 - z * z" in source
    assert tanh["forward"] == "z = tanh x" and tanh["file"] == "elementwise.py"


def test_a_rule_without_source_has_none():
    space = {"tg": tg}
    exec("@tg.differentiable\ndef twice(x):\n    return x * 2, lambda g: g * 2", space)
    found = rule(space["twice"].op)
    assert found["source"] == [] and found["forward"] == ""


def test_settings_are_the_same_in_every_run(page):
    @tg.differentiable
    def told(x, what):
        return x * 2, lambda g: g * 2

    x = Tensor(drawn(2, 3), requires_grad=True)
    data = data_of(page((told(x, object()) * told(x, np.tanh)).sum(axis=1).sum()))
    settings = [one for node in data["nodes"].values() for one in node.get("settings", ())]
    assert {"axis=1", "what=<object object>", "what=tanh"} <= set(settings)


# ---------------------------------------------------------------- levels of detail


def test_levels_are_named_after_the_layers(tmp_path):
    model = pages.Net(2, 6, 3)
    path = explore(lambda: pages.small(model), tmp_path / "graph.html", engine="builtin")
    data = data_of(path.read_text(encoding="utf-8"))
    assert [view["name"] for view in data["views"]] == ["model", "fc1, fc2", "all operations"]
    assert [view["depth"] for view in data["views"]] == [1, 2, 3]
    assert data["opening"] == 2 and data["levels"] == 3
    assert all(len(view["steps"]) == len(data["steps"]) for view in data["views"])
    assert {step[0] for step in data["views"][0]["steps"]} >= {"c0"}


def test_many_layers_make_a_short_name(page):
    names = [view["name"] for view in data_of(page(pages.deep(4)))["views"]]
    assert names[1] == "4 Net" and names[2] == "fc1, fc2"


@pytest.mark.parametrize(("depth", "opening"), [(None, 2), (1, 0), (2, 1), (3, 2), (99, 2)])
def test_depth_opens_a_level(page, depth, opening):
    assert data_of(page(pages.small(), depth=depth))["opening"] == opening


def test_levels_with_too_many_boxes_are_left_out(page):
    text = page(pages.deep(8), max_nodes=25)
    data = data_of(text)
    assert [view["depth"] for view in data["views"]] == [1, 2] and data["levels"] == 4
    assert data["opening"] == 1 and text.count("<svg xmlns") == 2


def test_a_layer_says_what_is_in_it(page):
    data = data_of(page(pages.small()))
    outer = next(call for call in data["calls"].values() if call["outside"] is None)
    assert (outer["title"], outer["operations"], outer["parameters"]) == ("Net", 3, 39)
    assert [data["nodes"][key]["name"] for key in outer["into"]] == ["x"]
    assert [data["nodes"][key]["name"] for key in outer["out"]] == ["fc2.linear"]


# ---------------------------------------------------------------- the file


def test_the_bars_of_size(tmp_path):
    small = explore(pages.small(), tmp_path / "small.html", engine="builtin")
    assert small.stat().st_size <= 150_000
    deep = explore(pages.deep(25), tmp_path / "deep.html", engine="builtin")
    assert len(data_of(deep.read_text(encoding="utf-8"))["nodes"]) == 205
    assert deep.stat().st_size <= 1_000_000


def test_the_same_program_writes_the_same_bytes(tmp_path):
    script = (
        "import sys\nfrom tests import pages\nfrom tinygrad_edu import explore\n"
        "explore(pages.small, sys.argv[1], engine='builtin')\n"
        "explore(pages.small, sys.argv[2], engine='builtin')"
    )
    files = []
    for seed in ("1", "2"):
        both = [str(tmp_path / f"{seed}{letter}.html") for letter in "ab"]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", script, *both], env=env, cwd=ROOT, check=True)
        files += [Path(name).read_bytes() for name in both]
    assert len(set(files)) == 1


def test_the_path_comes_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert explore(pages.small(), engine="builtin") == Path("graph.html")
    assert Path("graph.html").read_bytes().startswith(b"<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.html"]


def stale():
    x = Tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    loss.backward()
    tg.optimizers.SGD([x], 0.1).step()
    return loss


REFUSED = {
    "several numbers": (lambda: tg.exp(Tensor(drawn(2, 3), requires_grad=True)), ValueError,
                        r"explore: .*\(2, 3\) is not one number.*\.sum\(\)"),
    "a leaf": (lambda: Tensor(1.0, requires_grad=True), ValueError, "explore: .*no graph"),
    "no tensor": (lambda: 3.0, TypeError, "explore: 3.0 is a float"),
    "a function that returns none": (lambda: lambda: None, TypeError, "explore: None"),
    "a stale graph": (stale, RuntimeError, "changed .by an optimizer step"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_replayed_is_refused_and_no_file_written(tmp_path, case):
    make, kind, message = REFUSED[case]
    path = tmp_path / "graph.html"
    with pytest.raises(kind, match=message):
        explore(make(), path)
    assert not list(tmp_path.iterdir())
    path.write_text("before")
    with pytest.raises(kind, match=message):
        explore(make(), path)
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "explore: depth=0"),
        ({"max_nodes": 3}, "explore: .*max_nodes=3"),
        ({"engine": "neato"}, "engine='neato'"),
    ],
)
def test_options_without_sense_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        explore(pages.small(), tmp_path / "graph.html", **options)
    assert not list(tmp_path.iterdir())


def test_a_layer_is_no_function_that_computes_a_loss(tmp_path):
    with pytest.raises(TypeError, match="explore: Linear is a layer; give a loss computed by it"):
        explore(tg.layers.Linear(2, 1, rng=0), tmp_path / "graph.html")
    assert not list(tmp_path.iterdir())
