"""Pictures of training: what is drawn is what is there, and nothing is disturbed by drawing it."""

from __future__ import annotations

import importlib
import io
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.layers import MLP, BatchNorm, Dropout, Layer, Linear, Sequential, Sigmoid
from tinygrad_edu.models import History

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
from matplotlib import pyplot  # noqa: E402
from matplotlib.colors import to_rgb  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from tinygrad_edu import plotting  # noqa: E402
from tinygrad_edu.plotting.figures import ALARM, COLOURS  # noqa: E402

X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
Y = np.array([0, 1, 0, 1])  # the class is the first column


def png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def legend_of(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def image_of(figure):
    return figure.axes[0].images[0].get_array()


def first_column(p):
    return p[:, :1] - 0.5


def with_gradients(*sizes, **options):
    model = MLP(*sizes, rng=0, **options)
    x = np.random.default_rng(0).standard_normal((16, sizes[0]))
    (model(x) ** 2).sum().backward()
    return model


def all_pictures():
    model = with_gradients(3, 4, 2)
    history = History()
    history.record(0, {"loss": 1.0, "val_loss": 2.0})
    return {
        "boundary": plotting.decision_boundary(MLP(2, 4, 2, rng=0), X, Y),
        "confusion": plotting.confusion_matrix([0, 1, 1], [0, 1, 0]),
        "weights": plotting.weight_histograms(model),
        "gradients": plotting.gradient_histograms(model),
        "history": history.plot(),
    }


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("name", list(all_pictures()))
def test_same_input_same_bytes(name):
    first, second = all_pictures()[name], all_pictures()[name]
    assert png(first) == png(second)
    with matplotlib.rc_context({"svg.hashsalt": "salt"}):
        texts = []
        for figure in (first, second):
            file = io.StringIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
            texts.append(file.getvalue())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("name", list(all_pictures()))
def test_all_that_is_written_is_inside_of_the_picture(name):
    figure = all_pictures()[name]
    inches = figure.get_tightbbox().extents
    width, height = figure.get_size_inches()
    assert (inches[:2] >= -0.01).all() and (inches[2:] <= (width + 0.01, height + 0.01)).all()


def test_notebooks_show_them_and_pyplot_keeps_none_open():
    before = pyplot.get_fignums()
    for figure in all_pictures().values():
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert figure._repr_png_() == png(figure)  # shown before it is saved, or not
    assert pyplot.get_fignums() == before


def test_drawing_chooses_no_backend():
    """Neither pyplot nor a backend is loaded, so the user's choice is still open."""
    script = """
import sys, io
import tinygrad_edu as tg
figure = tg.plotting.confusion_matrix([0, 1], [0, 1])
figure.savefig(io.BytesIO(), format="png")
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_one_error_says_what_to_install(monkeypatch):
    for name in ("tinygrad_edu.plotting", "matplotlib"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tinygrad_edu\[plot\]"'):
        importlib.import_module("tinygrad_edu.plotting")
    history = History()
    history.record(0, {"loss": 1.0})
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tinygrad_edu\[plot\]"'):
        history.plot()


def test_given_axes_are_drawn_into_and_returned():
    first, second = Figure(figsize=(8, 4)).subplots(1, 2)
    assert plotting.decision_boundary(first_column, X, Y, ax=first) is first
    assert plotting.confusion_matrix([0, 1], [1, 1], ax=second) is second
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["0", "1"]
    assert second.get_title() == "accuracy 50.0% (1 of 2)"
    assert len(png(first.figure)) > 5000


# ---------------------------------------------------------------- names

NAMES = {  # as they are given, and as they are written
    "$x^{$": "$x^{$",
    "$a$": "$a$",
    "cost in $": "cost in $",
    r"\$5 or $\frac$": r"\$5 or $\frac$",
    "_hidden": "_hidden",
    "<b> & {0} %s": "<b> & {0} %s",
    "two\nlines\t\r\n": "two↵lines ↵",
    "bell\a\0\ud800\u202e": "bell����",
    "\N{HEBREW LETTER ALEF}1": "\N{HEBREW LETTER ALEF}1",
    "ab" * 5000: "ab" * 7 + "a…" + "ab" * 7,
}
SVG = "{http://www.w3.org/2000/svg}"


def named_classes(name):
    """The plane and the table: a name for a class."""
    yield plotting.decision_boundary(first_column, X, Y, names=[name, "b"])
    yield plotting.confusion_matrix([0, 1, 1], [0, 1, 0], names=["b", name])


def named_parameters(name):
    model = Layer()
    setattr(model, name, tg.Tensor(np.ones((2, 3)), requires_grad=True))
    getattr(model, name).sum().backward()
    yield plotting.weight_histograms(model)
    yield plotting.gradient_histograms(model)


def named_metrics(name):
    history = History()
    history.record(0, {"loss": 1.0, name: 2.0})
    yield history.plot()
    yield history.plot(ax=Figure().subplots()).figure


def written(figure):
    """All that is written in the picture, in letters; of a formula the letters it comes to."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    return ["".join(text.itertext()) for text in ET.fromstring(file.getvalue()).iter(f"{SVG}text")]


@pytest.mark.parametrize("drawn", [named_classes, named_parameters, named_metrics])
@pytest.mark.parametrize(("name", "shown"), NAMES.items(), ids=lambda name: ascii(name)[:12])
def test_names_are_written_as_they_are(drawn, name, shown):
    for figure in drawn(name):
        assert len(png(figure)) > 3000
        texts = [text.strip("\N{ZERO WIDTH SPACE}") for text in written(figure)]
        assert shown in texts or f"{shown} (2, 3)" in texts


def test_names_of_what_is_left_out_are_written_as_they_are():
    model = Layer()
    for i in range(26):
        setattr(model, f"$x^{{{i}$" + "w" * 1000 * (i == 13), tg.Tensor([1.0], requires_grad=True))
    line = "left out: $x^{12$ to $x^{13$wwwwwwww…wwwwwwwwwwwwww (names"
    assert any(line in text for text in written(plotting.weight_histograms(model)))


def test_names_in_given_axes_stay_as_they_are_when_the_legend_is_made_anew():
    ax = Figure().subplots()
    plotting.decision_boundary(first_column, X, Y, ax=ax, names=["$x^{$", "_b"])
    ax.plot([0, 1], [0, 1], label="$\\alpha$")  # a formula, of the user's own
    ax.legend()
    texts = [text.strip("\N{ZERO WIDTH SPACE}") for text in written(ax.figure)]
    assert {"$x^{$", "_b"} <= set(texts) and "α" in "".join(texts)
    with matplotlib.rc_context({"text.parse_math": False}):
        assert "$x^{$" in written(next(named_classes("$x^{$")))


# ---------------------------------------------------------------- the plane


def test_regions_have_the_colours_of_the_classes_and_wrong_points_a_ring():
    figure = plotting.decision_boundary(first_column, X, [0, 1, 0, 0], resolution=50)
    picture = image_of(figure)
    for column, k in ((0, 0), (-1, 1)):
        from_white = 1 - picture[:, column].data
        own = 1 - np.array(to_rgb(COLOURS[k]))
        strength = from_white.sum(axis=1, keepdims=True) / own.sum()
        np.testing.assert_allclose(from_white, strength * own, atol=1e-12)
        assert (strength > 0.1).all()
    rings = figure.axes[0].collections[-1]
    assert rings.get_offsets().tolist() == [[1.0, 1.0]]
    assert len(rings.get_facecolor()) == 0  # hollow
    assert legend_of(figure) == ["0", "1", "wrong: 1"]
    assert figure.axes[0].get_title() == "3 of 4 right (75.0%)"


def line_of(figure):
    """The points of the line between two classes."""
    lines = [c for c in figure.axes[0].collections if hasattr(c, "levels")]
    return np.concatenate([path.vertices for c in lines for path in c.get_paths()])


@pytest.mark.parametrize(
    ("model", "threshold", "where"),
    [
        (lambda p: p[:, :1] - 0.25, None, 0.25),  # logits: above 0
        (lambda p: p[:, 0] - 0.25, None, 0.25),
        (lambda p: p[:, :1] - 0.25, 0.5, 0.75),
        (lambda p: 1 / (1 + np.exp(-4 * (p[:, :1] - 0.3))), None, 0.3),  # probabilities: above 0.5
        (lambda p: np.stack([-p[:, 0], p[:, 0] - 1.2], axis=1), None, 0.6),
        (lambda p: tg.tanh(tg.Tensor(p[:, 0] - 0.4)), None, 0.4),
    ],
)
def test_the_line_is_where_the_guess_changes(model, threshold, where):
    figure = plotting.decision_boundary(model, X, Y, resolution=80, threshold=threshold)
    np.testing.assert_allclose(line_of(figure)[:, 0], where, atol=2e-3)


def test_sigmoid_at_the_end_draws_the_same_picture_as_logits():
    linear = Linear(2, 1, rng=0)
    by_logits = plotting.decision_boundary(linear, X, Y)
    by_probabilities = plotting.decision_boundary(Sequential(linear, Sigmoid()), X, Y)
    np.testing.assert_allclose(image_of(by_logits), image_of(by_probabilities), atol=1e-5)


def test_softmax_at_the_end_draws_the_same_picture_as_logits():
    linear = Linear(2, 3, rng=0)
    by_logits = plotting.decision_boundary(linear, X, Y)
    by_p = plotting.decision_boundary(lambda p: tg.softmax(linear(p.astype("f4"))), X, Y)
    np.testing.assert_allclose(image_of(by_logits), image_of(by_p), atol=1e-5)


def test_pale_where_it_is_unsure():
    figure = plotting.decision_boundary(lambda p: 8 * (p[:, :1] - 0.5), X, Y, resolution=101)
    strength = (1 - image_of(figure))[50] @ [1, 1, 1]
    assert strength[50] < 0.3 * min(strength[0], strength[-1])


def test_class_numbers_are_guesses_and_ten_classes_have_ten_looks():
    x = np.random.default_rng(0).uniform(0, 10, (200, 2))
    y = x[:, 0].astype(int)
    figure = plotting.decision_boundary(lambda p: np.clip(p[:, 0], 0, 9).astype(int), x, y)
    assert figure.axes[0].get_title() == "200 of 200 right (100.0%)"
    assert legend_of(figure) == [str(k) for k in range(10)]
    points = [
        c for c in figure.axes[0].collections if len(c.get_offsets()) and not hasattr(c, "levels")
    ]
    assert len({c.get_facecolor().tobytes() for c in points}) == 10
    assert len({c.get_paths()[0].vertices.tobytes() for c in points}) == 10


def test_nan_is_shown_as_such():
    def broken(p):
        return np.where(p[:, :1] > 0.7, np.nan, p[:, :1] - 0.5)

    figure = plotting.decision_boundary(broken, X, Y)
    right = 1 - 0.8 * (1 - np.array(to_rgb(ALARM)))
    np.testing.assert_allclose(image_of(figure)[:, -1], np.tile(right, (200, 1)), atol=1e-6)
    assert legend_of(figure) == ["0", "1", "wrong: 2", "nan"]
    assert len(png(plotting.decision_boundary(lambda p: p * np.nan, X, Y))) > 5000


def test_infinite_scores_are_no_nan():
    figure = plotting.decision_boundary(
        lambda p: np.where(p > 0.5, np.inf, -np.inf), X, [0, 0, 1, 0]
    )
    picture = image_of(figure)
    assert "nan" not in legend_of(figure)
    assert (1 - picture[-1, 0]).sum() > 0.3  # sure of it, above on the left
    figure.savefig(io.BytesIO())
    figure = plotting.decision_boundary(lambda p: np.where(p > 0.5, np.inf, -np.inf)[:, :1], X, Y)
    assert "nan" not in legend_of(figure)
    assert figure.axes[0].get_title() == "4 of 4 right (100.0%)"


def test_labels_in_a_row_a_column_or_onehot_are_the_same():
    model = Linear(2, 2, rng=0)
    row = png(plotting.decision_boundary(model, X, Y))
    for y in (Y[:, None], tg.data.one_hot(Y), tg.Tensor(Y), Y.tolist(), Y.astype(bool)):
        assert png(plotting.decision_boundary(model, tg.Tensor(X), y)) == row


def test_points_that_are_all_the_same_have_a_picture():
    assert len(png(plotting.decision_boundary(first_column, [[1, 2]], [1]))) > 5000


class Restless(Layer):
    """A layer that draws random numbers, writes attributes and buffers, whatever the mode."""

    def __init__(self):
        self.inner = Sequential(
            Linear(2, 4, rng=0), BatchNorm(4), Dropout(0.5, rng=3), Linear(4, 2)
        )
        self.seen = np.zeros(1)
        self.rng = np.random.default_rng(5)

    def forward(self, x):
        assert not tg.is_grad_enabled()
        assert not any(layer.training for layer in self.layers())
        self.calls = len(x)
        self.seen += 1
        self.rng.random()
        tg.random.as_generator().random()
        return self.inner(x)


def test_a_layer_is_left_exactly_as_it_was():
    model = Restless()
    model.inner[1].eval()
    tg.manual_seed(0)

    def everything():
        states = [rng.bit_generator.state for _, rng in model.named_generators()]
        attributes = [sorted(vars(one)) for one in model.layers()]
        flags = [one.training for one in model.layers()]
        numbers = {name: a.tobytes() for name, a in vars(model)["inner"].state_dict().items()}
        default = tg.random.as_generator().bit_generator.state
        return states, attributes, flags, numbers, default, model.seen.tolist()

    before = everything()
    plotting.decision_boundary(model, X, Y)
    assert everything() == before
    assert before[2].count(False) == 1


def test_an_error_of_the_model_leaves_it_as_it_was():
    model = Sequential(Linear(3, 2))
    with pytest.raises(ValueError, match="matmul|linear|Linear"):
        plotting.decision_boundary(model, X, Y)
    assert [layer.training for layer in model.layers()] == [True, True]
    assert tg.is_grad_enabled()


def test_parameters_keep_having_no_name():
    model = Linear(2, 2)
    plotting.decision_boundary(model, X, Y)
    plotting.weight_histograms(model)
    assert model.weight.name is None


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"x": np.ones((4, 3))}, ValueError, r"\(4, 3\), but a picture has two axes. Choose two"),
        ({"x": np.ones(4)}, ValueError, r"x has shape \(4,\); give points"),
        ({"x": np.ones((0, 2)), "y": []}, ValueError, r"x has shape \(0, 2\)"),
        ({"x": [[0, 1], [2, np.nan]], "y": [0, 1]}, ValueError, r"\[2.0, nan\] in row 1"),
        ({"x": [["a", "b"]], "y": [0]}, TypeError, "dtype <U1"),
        ({"y": [0, 1]}, ValueError, r"y has shape \(2,\); give a label for each of the 4"),
        ({"y": [0, 1, 2, 1]}, ValueError, "y is 2 in row 2, but the model .* 0 to 1"),
        ({"y": [0, 1, -1, 1]}, ValueError, "whole numbers from 0"),
        ({"y": [0, 1, 0.5, 1]}, ValueError, "whole numbers from 0"),
        ({"y": np.ones((4, 2))}, ValueError, "each row must be one 1"),
        ({"resolution": 1}, ValueError, "resolution=1 is too small"),
        ({"names": ["a"]}, ValueError, "names=1 names; give a list, one for each of 2 classes"),
        ({"names": "ab"}, ValueError, "names='ab'"),
        ({"model": lambda p: p, "threshold": 0.5}, ValueError, "gives a score for each class"),
        ({"model": lambda p: (p, p)}, TypeError, "returns a tuple"),
        ({"model": lambda p: p.sum()}, ValueError, r"float64 of shape \(\)"),
        ({"model": lambda p: p[:3]}, ValueError, r"of 4[0-9]* points the model makes"),
        ({"model": lambda p: -(p[:, 0] < 9).astype(int)}, ValueError, "guesses -1"),
        ({"model": 3}, TypeError, "int is no layer and no function"),
    ],
)  # fmt: skip
def test_boundary_refuses(change, error, words):
    given = {"model": first_column, "x": X, "y": Y, "resolution": 20} | change
    with pytest.raises(error, match=f"^decision_boundary: .*{words}"):
        plotting.decision_boundary(**given)


# ---------------------------------------------------------------- confusion


def cells(ax):
    k = len(ax.get_xticks())
    return np.array([text.get_text() for text in ax.texts]).reshape(k, k).tolist()


def test_confusion_has_numbers_shares_and_accuracy():
    guesses, labels = [0, 0, 1, 1, 1, 2], [0, 0, 0, 1, 1, 2]
    ax = plotting.confusion_matrix(guesses, labels, names=["a", "b", "c"]).axes[0]
    assert cells(ax) == [["2", "1", "·"], ["·", "2", "·"], ["·", "·", "1"]]
    assert ax.get_title() == "accuracy 83.3% (5 of 6)"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("guess", "class")
    ax = plotting.confusion_matrix(guesses, labels, normalize=True).axes[0]
    assert cells(ax)[0] == ["67%", "33%", "·"]


def test_colour_is_the_root_of_the_share_of_the_row():
    ax = plotting.confusion_matrix([0, 0, 0, 1], [0, 0, 0, 0]).axes[0]
    (right, wrong), (empty, _) = 1 - ax.images[0].get_array()
    np.testing.assert_allclose(right, np.sqrt(0.75) * (1 - np.array(to_rgb("#0b559f"))))
    np.testing.assert_allclose(wrong, np.sqrt(0.25) * (1 - np.array(to_rgb("#b34700"))))
    assert (empty == 0).all()


def luminance(colour):
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4) @ (
        0.2126, 0.7152, 0.0722,
    )  # fmt: skip


@pytest.mark.parametrize("wrong", range(0, 101, 5))
def test_numbers_can_be_read_in_every_colour(wrong):
    """A contrast of 4.5 : 1, what WCAG asks for."""
    ax = plotting.confusion_matrix([1] * wrong + [0] * (100 - wrong), [0] * 100,
                                   names=["a", "b"]).axes[0]  # fmt: skip
    for text, colour in zip(ax.texts[:2], ax.images[0].get_array()[0], strict=True):
        if text.get_text() != "·":
            dark, light = sorted([luminance(np.array(to_rgb(text.get_color()))), luminance(colour)])
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_logits_probabilities_labels_and_thresholds_agree():
    logits = np.array([-2.0, 1.0, 3.0, -0.5])
    p = 1 / (1 + np.exp(-logits))
    wanted = png(plotting.confusion_matrix((logits > 0).astype(int), [0, 1, 0, 1]))
    for prediction, options in (
        (logits, {"threshold": 0.0}),
        (p[:, None], {"threshold": 0.5}),
        (np.stack([-logits, logits], axis=1), {}),
        (tg.Tensor(np.stack([1 - p, p], axis=1)), {}),
    ):
        assert png(plotting.confusion_matrix(prediction, [0, 1, 0, 1], **options)) == wanted
    with pytest.raises(ValueError, match="one score per example; say threshold=0.5"):
        plotting.confusion_matrix(logits, [0, 1, 0, 1])
    with pytest.raises(ValueError, match="threshold=0.5 is for one score per example"):
        plotting.confusion_matrix(np.ones((4, 2)), [0, 1, 0, 1], threshold=0.5)


def test_rows_of_nan_are_counted_and_wrong():
    ax = plotting.confusion_matrix([[np.nan, 1.0], [0.0, 1.0], [2.0, 0.0]], [1, 1, 0]).axes[0]
    assert ax.get_title() == "accuracy 66.7% (2 of 3)"
    assert ax.get_xlabel() == "guess (and 1 row of nan, no guess)"
    assert ax.xaxis.label.get_color() == ALARM
    ax = plotting.confusion_matrix([np.nan, np.nan], [1, 0], threshold=0.0).axes[0]
    assert ax.get_title() == "accuracy 0.0% (0 of 2)"


def test_names_settle_the_number_of_classes():
    ax = plotting.confusion_matrix([0, 1], [0, 1], names=["a", "b", "never"]).axes[0]
    assert len(cells(ax)) == 3
    with pytest.raises(ValueError, match="classes=1, but 2"):
        plotting.confusion_matrix([0, 1], [0, 1], names=["a"])


# ---------------------------------------------------------------- histograms


def heights(ax):
    return ax.patches[0].get_data().values


def test_weights_have_a_panel_each_with_all_their_numbers():
    model = MLP(3, 4, 2, rng=0)
    figure = plotting.weight_histograms(model, bins=7)
    assert len(figure.axes) == 4
    for ax, (name, p) in zip(figure.axes, model.named_parameters(), strict=True):
        title = ax.get_title(loc="left")
        assert title.startswith(f"{name} {p.shape}\nmean ")
        assert heights(ax).sum() == p.size
        assert f"mean {p.data.mean(dtype=float):.2g}, std {p.data.std(dtype=float):.2g}" in title
    edges = figure.axes[0].patches[0].get_data().edges
    counts, _ = np.histogram(model.layers()[1].weight.data.astype(float), bins=edges)
    assert heights(figure.axes[0]).tolist() == counts.tolist()
    assert len(counts) == 7


@pytest.mark.parametrize("value", [0.0, 1.0, -3e30, 1e-40, 5e300])
def test_constant_arrays_have_one_bar_in_the_middle(value):
    model = Linear(2, 3, bias=False)
    model.weight.data = np.full((2, 3), value)
    ax = plotting.weight_histograms(model, bins=50).axes[0]
    bars = heights(ax)
    edges = ax.patches[0].get_data().edges
    (i,) = np.flatnonzero(bars)
    assert bars[i] == 6
    assert (edges[i] + edges[i + 1]) / 2 == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert f"{'100' if value == 0 else '0'}% zeros" in ax.get_title(loc="left")


def test_numbers_that_nearly_agree_have_a_histogram():
    model = Linear(1, 2, bias=False)
    model.weight.data = np.array([[1.0, np.nextafter(1.0, 2.0)]])
    assert heights(plotting.weight_histograms(model).axes[0]).sum() == 2


def test_what_is_not_finite_is_counted_in_an_alarming_colour():
    model = Linear(4, 4, rng=0)
    model.weight.data[0, :3] = np.nan
    model.weight.data[1, 0] = -np.inf
    model.bias.data[...] = np.nan
    some, all_of_them = plotting.weight_histograms(model).axes
    assert (some.texts[0].get_text(), some.texts[0].get_color()) == ("3 nan, 1 inf of 16", ALARM)
    assert heights(some).sum() == 12
    assert all_of_them.texts[0].get_text() == "4 nan of 4"
    assert heights(all_of_them).sum() == 0
    assert "mean" in some.get_title(loc="left") and "mean" not in all_of_them.get_title(loc="left")


def test_a_parameter_without_numbers_says_so():
    model = Linear(2, 2)
    model.bias = tg.Tensor(np.zeros((0,), "f4"), requires_grad=True)
    assert plotting.weight_histograms(model).axes[1].texts[0].get_text() == "no numbers"


@pytest.mark.parametrize("draw", [plotting.weight_histograms, plotting.gradient_histograms])
def test_many_parameters_leave_out_the_middle_and_say_so(draw):
    model = with_gradients(2, *[3] * 14, 1)
    figure = draw(model)
    assert len(figure.axes) == 24
    assert figure.get_suptitle() == (
        "24 of 30 parameters; left out: layers.12.weight to layers.16.bias (names=[...] chooses)"
    )
    assert len(draw(model, names=["layers.12", "layers.0.bias"]).axes) == 3
    assert len(draw(model, names="layers.14").axes) == 2
    assert draw(model, names="layers.14").get_suptitle() == ""


@pytest.mark.parametrize("draw", [plotting.weight_histograms, plotting.gradient_histograms])
def test_histograms_refuse(draw):
    name, model = draw.__name__, with_gradients(2, 2, 1)
    for change, error, words in (
        ({"model": [1]}, TypeError, "list is no layer"),
        ({"model": Sigmoid()}, ValueError, "Sigmoid has no parameters"),
        ({"names": ["layers.0.wieght"]}, ValueError, "did you mean layers.0.weight"),
        ({"names": ["layers.0.w"]}, ValueError, "no parameter or layer 'layers.0.w'"),
        ({"names": []}, ValueError, "chooses nothing"),
        ({"bins": 0}, ValueError, "bins=0 is too small"),
    ):
        with pytest.raises(error, match=f"^{name}: .*{words}"):
            draw(**({"model": model} | change))


def test_gradients_share_an_axis_of_powers_of_ten():
    model = with_gradients(3, 4, 2)
    figure = plotting.gradient_histograms(model, bins=20)
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    low, high = figure.axes[0].get_xlim()
    assert low == round(low) and high == round(high)
    for ax, (name, p) in zip(figure.axes, model.named_parameters(), strict=True):
        logs = np.log10(np.abs(p.grad[p.grad != 0].astype(float)))
        assert ax.get_ylabel() == name
        assert heights(ax).sum() == len(logs)
        assert ax.lines[0].get_xdata()[0] == np.median(logs)
        zeros = 100 * np.mean(p.grad == 0)
        assert ax.texts[0].get_text() == f"median {10 ** np.median(logs):.1e}\n{zeros:.3g}% zeros"


def test_smaller_gradients_stand_further_left():
    model = with_gradients(2, 2)
    weight, bias = model.parameters()
    weight.grad, bias.grad = np.full((2, 2), 1e-6), np.full(2, 1e-2)
    figure = plotting.gradient_histograms(model)
    first, second = (ax.lines[0].get_xdata()[0] for ax in figure.axes)
    assert (round(first, 6), round(second, 6)) == (-6, -2)
    assert figure.axes[0].get_xlim() == (-6, -2)


def test_not_computed_is_not_zero_and_nan_is_neither():
    model = with_gradients(3, 4, 4, 2)
    parameters = model.parameters()
    parameters[0].grad = None
    parameters[1].grad = None
    parameters[1].requires_grad_(False)
    parameters[2].grad = np.zeros_like(parameters[2].data)
    parameters[3].grad[1] = np.nan
    parameters[4].grad = tg.Tensor(parameters[4].grad)  # as create_graph=True leaves it
    axes = plotting.gradient_histograms(model).axes
    assert axes[0].texts[0].get_text() == "no gradient: backward did not reach it"
    assert axes[1].texts[0].get_text() == "no gradient: it is frozen"
    assert axes[2].texts[0].get_text() == "all 16 are exactly 0"
    assert axes[2].texts[0].get_color() == axes[3].texts[1].get_color() == ALARM
    assert axes[3].texts[1].get_text() == "1 nan of 4"
    assert not axes[0].patches and not axes[2].patches and heights(axes[4]).sum() > 0
    for p in parameters:
        p.grad = None
    with pytest.raises(ValueError, match="no parameter has a gradient yet; call loss.backward"):
        plotting.gradient_histograms(model)


def test_gradients_that_are_all_zero_have_a_picture():
    model = with_gradients(2, 2)
    for p in model.parameters():
        p.grad = np.zeros_like(p.data)
    texts = [ax.texts[0].get_text() for ax in plotting.gradient_histograms(model).axes]
    assert texts == ["all 4 are exactly 0", "all 2 are exactly 0"]
