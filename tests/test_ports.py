"""Well-known tutorial programs run here with only their imports, and the documented names, changed.

The programs are in tests/ports/. Those of PyTorch's "learning with examples" are turned back into
PyTorch by the table below, if PyTorch is installed, and must end with the same numbers. The names
are those of docs/porting.md.
"""

from __future__ import annotations

import re
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import elsewhere

PORTS = Path(__file__).parent / "ports"

TO_PYTORCH = [
    (r"import tinygrad_edu as tg", "import torch"),
    (r"self\.(\w) = (tg\.full\(\(\), [-.\d]+)(, requires_grad=True)\)",
     r"self.\1 = torch.nn.Parameter(\2))"),
    (r"tg\.layers\.Layer", "torch.nn.Module"),
    (r"tg\.layers\.Reshape\(\)", "torch.nn.Flatten(0, 1)"),
    (r"tg\.layers\.", "torch.nn."),
    (r"tg\.losses\.mean_squared_error", "torch.nn.functional.mse_loss"),
    (r"tg\.optimizers\.", "torch.optim."),
    (r"rho=0\.99, epsilon=1e-8", "alpha=0.99, eps=1e-8"),
    (r"weight\[:, 0\]", "weight[0]"),  # Linear's weight is (inputs, outputs)
    (r"tg\.", "torch."),
]  # fmt: skip


def run(name: str) -> dict[str, Any]:
    return runpy.run_path(str(PORTS / f"{name}.py"))


# ---------------------------------------------------------------- PyTorch: learning with examples


@pytest.fixture
def in_float64() -> Iterator[Any]:
    """Both libraries in float64, where equal programs end with equal numbers; gives PyTorch."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    tg.set_default_dtype("float64")
    torch.set_default_dtype(torch.float64)
    yield torch
    torch.set_default_dtype(torch.float32)
    tg.set_default_dtype("float32")


@pytest.mark.parametrize("name", ["by_hand", "autograd", "layers", "optimizer", "module", "shared"])
@pytest.mark.filterwarnings("ignore:SGD.step. no gradient for e")  # its loop may leave e out
def test_polynomials_end_where_pytorchs_do(
    name: str, in_float64: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = PORTS / f"polynomial_{name}.py"
    program = original = path.read_text(encoding="utf-8")
    for here, there in TO_PYTORCH:
        original = re.sub(here, there, original)
    assert "tg" not in re.findall(r"\w+", original)
    ends, losses = [], []
    for text in (program, original):
        end: dict[str, Any] = {"__name__": "port"}
        exec(compile(text, str(path), "exec"), end)
        ends.append(end["result"])
        losses.append(
            [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[:3]]
        )
    # RMSprop divides by the size of a slope: where it should be 0, it steps as rounding has it.
    rtol, atol = (1e-6, 1e-3) if name == "optimizer" else (1e-9, 1e-9)
    np.testing.assert_allclose(losses[0], losses[1], rtol=rtol)
    np.testing.assert_allclose(ends[0], ends[1], rtol=rtol, atol=atol)


def best_fit() -> np.ndarray:
    """The coefficients of the polynomial closest to the sine, by linear algebra."""
    x = np.linspace(-np.pi, np.pi, 2000)
    return np.linalg.lstsq(x[:, None] ** np.arange(4), np.sin(x), rcond=None)[0]


def test_by_hand_and_by_backward_are_the_same_to_the_bit() -> None:
    by_hand, by_backward = run("polynomial_by_hand"), run("polynomial_autograd")
    assert by_hand["result"] == by_backward["result"]
    assert distance(by_hand["result"]) < 0.3 * distance([0.5, -0.3, 0.8, 0.1])  # on its way


def test_an_optimizer_gets_there() -> None:
    assert distance(run("polynomial_optimizer")["result"]) < 5e-3


def distance(coefficients: list[float]) -> float:
    return float(np.linalg.norm(coefficients - best_fit()))


def test_a_layer_of_ones_own_is_the_program_without_it() -> None:
    np.testing.assert_allclose(
        run("polynomial_module")["result"], run("polynomial_autograd")["result"], rtol=1e-5
    )


def test_a_parameter_that_a_loop_leaves_out_is_named_once() -> None:
    with pytest.warns(UserWarning, match="no gradient for e: left as it is") as caught:
        run("polynomial_shared")
    assert len(caught) == 1


def test_the_custom_op_prints_what_the_tutorial_prints() -> None:
    """y = -5.42e-09 + -2.208526849746704 * P3(1.33e-09 + 0.2554861009120941 x)"""
    a, b, c, d = run("legendre_custom_op")["result"]
    assert b == pytest.approx(-2.208526849746704, rel=1e-6)
    assert d == pytest.approx(0.2554861009120941, rel=1e-6)
    assert abs(a) < 1e-7 and abs(c) < 1e-7


# ---------------------------------------------------------------- micrograd


def test_micrograds_expression(capsys: pytest.CaptureFixture[str]) -> None:
    run("micrograd_expression")
    assert capsys.readouterr().out.split() == ["24.7041", "138.8338", "645.5773"]


def test_micrograds_moons() -> None:
    end = run("micrograd_moons")
    assert end["acc"] == 1.0
    assert end["total_loss"].item() < 0.02


# ---------------------------------------------------------------- Keras


@pytest.mark.filterwarnings("error")
def test_keras_learns_xor() -> None:
    end = run("keras_xor")
    np.testing.assert_array_equal(end["predictions"].round(), [[0], [1], [1], [0]])
    assert end["predictions"].shape == (4, 1)
    assert end["accuracy"] == 1.0
    assert end["loss"] < 0.05
    losses = end["history"].history["loss"]
    assert len(losses) == 300 and losses[-1] < 0.1 * losses[0]
    assert end["history"].history["accuracy"][-1] == 1.0


# ---------------------------------------------------------------- HIPS autograd, and Rosenbrock


def test_autograds_ladder() -> None:
    """Each slope of tanh is a polynomial in t = tanh x: the next is (1 - t^2) times its slope."""
    end = run("autograd_tanh")
    assert end["grad_tanh"](1.0) == pytest.approx(0.419974341614026, rel=1e-12)
    t, polynomial = np.tanh(end["x"]), np.polynomial.Polynomial([0, 1])
    for k, curve in enumerate(end["curves"]):
        np.testing.assert_allclose(curve, polynomial(t), atol=10.0 ** (k - 13))
        polynomial = polynomial.deriv() * np.polynomial.Polynomial([1, 0, -1])


def test_autograds_logistic_regression() -> None:
    end = run("autograd_logistic")
    weights, x, y = np.zeros(3), end["inputs"], end["targets"]
    for _ in range(100):  # the gradient from the book
        weights -= 0.01 * x.T @ (end["sigmoid"](x @ weights) - y)
    np.testing.assert_allclose(end["weights"], weights, rtol=1e-12)
    assert end["training_loss"](weights) == pytest.approx(1.067270675787016, rel=1e-12)


def test_rosenbrock_by_descent_and_by_newton() -> None:
    end = run("rosenbrock")
    x, y = -1.2, 1.0
    for _ in range(10_000):
        slope = 200 * (y - x * x)
        x, y = x + 1e-3 * (2 * (1 - x) + 2 * x * slope), y - 1e-3 * slope
    np.testing.assert_allclose(end["by_descent"], [x, y], rtol=1e-9)
    assert 1e-3 < abs(x - 1) < 0.1  # still on its way along the valley
    textbook = [  # Dennis & Schnabel 1983 have Newton's path from this start
        (-1.2, 1.0), (-1.1752809, 1.3806742), (0.7631149, -3.1750339), (0.7634297, 0.5828248),
        (0.9999953, 0.9440273), (0.9999957, 0.9999914), (1.0, 1.0),
    ]  # fmt: skip
    np.testing.assert_allclose(end["path"], textbook, atol=1e-6)


def test_programs_change_nothing_for_those_after_them() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = run("micrograd_moons"), run("micrograd_moons")
    assert first["total_loss"].item() == second["total_loss"].item()


# ---------------------------------------------------------------- the table of names


def test_every_name_in_the_table_is_here() -> None:
    page = (Path(__file__).parents[1] / "docs/porting.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    names = {name for row in rows for name in re.findall(r"`tg\.([\w.]+)", row.split("|")[-2])}
    assert len(names) > 60
    for name in sorted(names):
        found: Any = tg
        for part in name.split("."):
            found = getattr(found, part)


def test_a_name_of_others_is_told_in_the_error() -> None:
    for module, name, there in (
        (tg, "cat", "tg.concatenate"),
        (tg.layers, "Dense", r"tg.layers.Linear\(inputs, outputs\)"),
        (tg.losses, "MSELoss", "tg.losses.mean_squared_error"),
    ):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; here it is {there}"):
            getattr(module, name)
        with pytest.raises(AttributeError, match="no attribute 'nonsense'$"):
            module.nonsense  # noqa: B018


def test_the_hints_lead_somewhere() -> None:
    named = {name for text in elsewhere.HERE.values() for name in re.findall(r"tg\.([\w.]+)", text)}
    for name in named:
        found: Any = tg
        for part in name.split("."):
            found = getattr(found, part)
    for name in elsewhere.HERE:
        assert not hasattr(tg, name) and not hasattr(tg.layers, name), name
