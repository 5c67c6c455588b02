"""The recorded walks of Keras, PyTorch and optax, followed number by number.

tests/data/README.md says how they were recorded. Ours are compared with the library that their
docstring names; PyTorch's own forms of the seven by the recipes that docs/optimizers_elsewhere.md
gives for their numbers.
"""

import numpy as np
import pytest

import tinygrad_edu as tg
from tests.trajectories import ARRAYS, CASES, LIBRARIES, leaf, loss_of, recorded, steps_of
from tinygrad_edu import optimizers
from tinygrad_edu.optimizers import LAMB, AdaBelief, Lion, Muon, Yogi

SEVEN = ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "Adamax", "Nadam")
OF_TORCH = ("AdamW", "RAdam", "Rprop", "Adafactor", "Muon")
OF_OPTAX = {"lion": Lion, "lamb": LAMB, "adabelief": AdaBelief, "yogi": Yogi}
NAMES = {  # theirs: ours
    "learning_rate": "lr", "eps": "epsilon", "b1": "beta_1", "b2": "beta_2",
    "eps_root": "epsilon_root", "lr_decay": "decay", "momentum_decay": "schedule_decay",
}  # fmt: skip
PAIRS = {"betas": ("beta_1", "beta_2"), "etas": ("eta_minus", "eta_plus")}


def ours(config):
    """The settings of another library under our names."""
    settings = {}
    for key, value in config.items():
        if key in PAIRS:
            settings.update(zip(PAIRS[key], value, strict=True))
        else:
            settings[NAMES.get(key, key)] = value
    return settings


def of_the_same_name(case):
    """Our optimizer, for a case of the library that it is exact to."""
    config = dict(case["config"])
    if case.get("clipnorm_scope") == "per-array":
        del config["clipnorm"]  # done by hand, see steps_of
    if case["library"] == "keras":
        return lambda params: getattr(optimizers, case["optimizer"])(params, **config)
    cls = OF_OPTAX.get(case["optimizer"]) or getattr(optimizers, case["optimizer"])
    if case.get("ns_dtype") == "bfloat16":
        cls = RoundedMuon
    return lambda params: cls(params, **ours(config))


def rounded(x):
    """To the nearest bfloat16: 8 binary digits, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return bits.astype(np.uint32).view(np.float32)


class RoundedMuon(Muon):
    """Muon as PyTorch ships it: every product of the iteration is rounded to bfloat16."""

    def orthogonal(self, u):
        a, b, c = self.ns_coefficients
        tall = u.shape[0] > u.shape[1]
        x = rounded(u.T if tall else u)
        x = rounded(x / max(rounded(np.linalg.norm(x)), rounded(self.epsilon)))
        for _ in range(self.ns_steps):
            y = rounded(x @ x.T)
            x = rounded(a * x + rounded(b * y + c * (y @ y)) @ x)
        return (x.T if tall else x).astype(u.dtype)


EXACT = [case for case in CASES if case["library"] != "torch" or case["optimizer"] in OF_TORCH]
each = pytest.mark.parametrize("case", EXACT, ids=lambda case: f"{case['library']} {case['id']}")


@each
def test_every_recorded_step_is_reproduced(case):
    wanted = recorded(case)
    for k, parameters in enumerate(steps_of(case, of_the_same_name(case)), 1):
        for p, walk in zip(parameters, wanted, strict=True):
            np.testing.assert_allclose(p.data, walk[k], rtol=1e-9, atol=0, err_msg=f"step {k}")


@pytest.mark.parametrize(
    "case", [case for case in EXACT if case["library"] == "keras"], ids=lambda case: case["id"]
)
def test_float32_comes_as_close_as_float32_can(case):
    wanted = recorded(case)
    for k, parameters in enumerate(steps_of(case, of_the_same_name(case), "float32"), 1):
        for p, walk in zip(parameters, wanted, strict=True):
            assert p.dtype == np.float32
            near = 1e-6 if case["kind"] == "fixed-gradients" else 5e-6  # a loop adds to its errors
            largest = np.abs(walk[: k + 1]).max(initial=1)
            np.testing.assert_allclose(p.data, walk[k], rtol=0, atol=near * largest)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", ["rosenbrock", "mlp"])
def test_the_losses_along_the_way_are_those_recorded(kind, library):
    for case in (c for c in CASES if (c["kind"], c["library"]) == (kind, library)):
        for k in range(0, case["steps"] + 1, 10):
            loss = loss_of(case, [tg.Tensor(p[k]) for p in recorded(case)])
            assert loss.item() == pytest.approx(ARRAYS[library][f"{case['id']}/loss"][k], rel=1e-12)


def test_the_cases_are_of_every_optimizer_and_of_every_kind():
    names = {(case["library"], case["optimizer"]) for case in EXACT}
    assert names == {
        *(("keras", name) for name in SEVEN),
        *(("torch", name) for name in OF_TORCH),
        *(("optax", name) for name in OF_OPTAX),
    }
    assert len(EXACT) == 78 + 33 + 28
    for library, name in names - {("torch", "Muon")}:
        kinds = {c["kind"] for c in EXACT if (c["library"], c["optimizer"]) == (library, name)}
        assert kinds == {"fixed-gradients", "rosenbrock", "mlp"}
    assert any(shape == [] for case in EXACT for shape in case["param_shapes"])


def test_tied_parameters_walk_as_one_of_the_summed_gradient():
    for name in [*SEVEN, *OF_TORCH, "Lion", "LAMB", "AdaBelief", "Yogi"]:
        tied, alone = tg.Tensor([[1.0, -2.0]], requires_grad=True), None
        alone = tg.Tensor([[1.0, -2.0]], requires_grad=True)
        cls = getattr(optimizers, name)
        one, other = cls([tied, tied], lr=0.1), cls(alone, lr=0.1)
        assert one.parameters() == [tied]
        for _ in range(3):
            one.minimize(lambda: (tied * tied).sum() + (tied * 3.0).sum())  # noqa: B023
            other.minimize(lambda: (alone * alone + alone * 3.0).sum())  # noqa: B023
        np.testing.assert_array_equal(tied.data, alone.data, err_msg=name)


@pytest.mark.parametrize("name", ["Adafactor", "AdamW", "RAdam", "Rprop"])
def test_stacks_of_matrices_and_a_large_rate_walk_as_in_pytorch(name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    start, slopes = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((12, 2, 3, 4, 5))
    p, theirs = leaf(start), torch.nn.Parameter(torch.tensor(start))
    one = getattr(optimizers, name)(p, lr=0.7)
    other = getattr(torch.optim, name)([theirs], lr=0.7)
    for slope in slopes:  # Adafactor takes 1 / sqrt(t) for the rate from the third on
        p.grad, theirs.grad = slope, torch.tensor(slope)
        one.step(), other.step()
        np.testing.assert_allclose(p.data, theirs.detach().numpy(), rtol=1e-11, atol=1e-13)
