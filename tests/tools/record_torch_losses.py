"""Make tests/data/torch_losses.json again: losses and their gradients, by PyTorch and by Keras.

    pip install torch==2.13.0                                 (for PyTorch's cases)
    pip install keras==3.15.1 jax==0.10.2                     (for Keras's cases)
    python tests/tools/record_torch_losses.py

The two may be in different environments: cases of a library that is not there stay as they are. The
file maps "inputs" to arrays, as lists, and "pytorch" and "keras" to a version and cases; what is in
a case is said in tests/data/README.md. Everything is float64, and floats are written in full.
"""

import json
import os
from itertools import product
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[1] / "data" / "torch_losses.json"
REDUCTIONS = ("mean", "sum", "none")


# ---------------------------------------------------------------- what the losses are shown


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(20)
    x, y = rng.standard_normal((2, 4, 3)) * 2
    y[0] = x[0] - [0.5, 0.0, 2.0]  # differences of exactly 0, and of some delta
    p, q = rng.dirichlet(np.ones(3), (2, 4))
    sides = rng.choice([-1.0, 1.0], (4, 3))
    return {
        "x": x,
        "y": y,
        "far": np.array([[40.0, -40.0, 700.0], [-700.0, 1e4, -1e4], [0.0, 1e-9, -1e-9]]),
        "zero": np.zeros((3, 3)),
        "nothing": np.zeros((4, 3)),
        "certain": np.array([[1.0, 0.0, 1.0], [0.0, 0.5, 0.25], [1.0, 0.0, 0.5]]),
        "p": p,
        "q": q,
        "some": np.array([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.5, 0.25, 0.25], [0.0, 0.0, 1.0]]),
        "log_p": np.log(p),
        "unit": rng.random((4, 3)),
        "shares": rng.random((4, 3)),
        "ends": np.array([[0.0, 1.0, 0.0], [1.0, 1e-30, 1e-9], [0.5, 1 - 1e-9, 1e-6]]),
        "sides": sides,
        "bits": (sides + 1) / 2,
        "labels": np.array([2, 0, 1, 2]),
        "skipping": np.array([2, -100, 1, -100]),
        "onehot": np.eye(3)[[2, 0, 1, 2]],
        "counts": rng.poisson(2.0, (4, 3)).astype(float),
        "rates": rng.gamma(2.0, 1.0, (4, 3)),
        "near": 1 + np.arange(12.0).reshape(4, 3) / 4,
        "weight": np.array([0.5, 2.0, 1.25]),
    }


CLASSES = [  # prediction, target, options of cross_entropy
    *(("x", target, {}) for target in ("labels", "q")),
    *(("x", target, {"label_smoothing": 0.1}) for target in ("labels", "q")),
    *(("x", target, {"weight": "weight"}) for target in ("labels", "q")),
    *(("x", target, {"weight": "weight", "label_smoothing": 0.3}) for target in ("labels", "q")),
    ("x", "skipping", {"ignore_index": -100}),
    ("x", "labels", {"ignore_index": 2}),
    ("x", "skipping", {"ignore_index": -100, "weight": "weight", "label_smoothing": 0.2}),
]

PYTORCH = [  # loss, its function there, prediction, target, options here
    ("mean_squared_error", "mse_loss", "x", "y", {}),
    ("mean_absolute_error", "l1_loss", "x", "y", {}),
    ("huber", "huber_loss", "x", "y", {}),
    ("huber", "huber_loss", "x", "y", {"delta": 0.5}),
    ("huber", "huber_loss", "x", "y", {"delta": 2.0}),
    ("huber", "huber_loss", "far", "zero", {}),
    *(("cross_entropy", "cross_entropy", *case) for case in CLASSES),
    ("nll", "nll_loss", "log_p", "labels", {}),
    ("nll", "nll_loss", "log_p", "labels", {"weight": "weight"}),
    ("nll", "nll_loss", "log_p", "skipping", {"ignore_index": -100}),
    ("nll", "nll_loss", "log_p", "skipping", {"ignore_index": -100, "weight": "weight"}),
    ("binary_cross_entropy", "binary_cross_entropy", "unit", "bits", {}),
    ("binary_cross_entropy", "binary_cross_entropy", "unit", "shares", {}),
    ("binary_cross_entropy", "binary_cross_entropy", "ends", "certain", {}),
    *(
        (*2 * ("binary_cross_entropy_with_logits",), prediction, target, options)
        for prediction, target in (("x", "bits"), ("x", "shares"), ("far", "certain"))
        for options in ({}, {"pos_weight": 3.0}, {"pos_weight": "weight"})
    ),
    ("kl_divergence", "kl_div", "p", "q", {}),
    ("kl_divergence", "kl_div", "p", "some", {}),
    ("poisson", "poisson_nll_loss", "rates", "counts", {}),
    ("poisson", "poisson_nll_loss", "rates", "counts", {"epsilon": 0.125}),
    ("poisson", "poisson_nll_loss", "x", "counts", {"log_input": True}),
    ("cosine_similarity", "cosine_similarity", "x", "y", {}),
    ("cosine_similarity", "cosine_similarity", "zero", "far", {}),
]

KERAS = [  # loss, its function there, prediction, target, options here
    ("mean_squared_error", "mean_squared_error", "x", "y", {}),
    ("mean_absolute_error", "mean_absolute_error", "x", "near", {}),
    ("huber", "huber", "x", "y", {"delta": 0.7}),
    ("log_cosh", "log_cosh", "x", "near", {}),
    ("log_cosh", "log_cosh", "far", "zero", {}),
    *(
        (*2 * ("mean_absolute_percentage_error",), prediction, target, {})
        for prediction, target in (("x", "near"), ("unit", "x"), ("unit", "nothing"))
    ),
    *(
        (*2 * ("mean_squared_logarithmic_error",), prediction, target, {})
        for prediction, target in (("rates", "counts"), ("x", "near"))
    ),
    ("poisson", "poisson", "rates", "counts", {"epsilon": 1e-7}),
    ("cosine_similarity", "cosine_similarity", "x", "y", {}),
    *(
        (name, name, "x", target, {})
        for name in ("hinge", "squared_hinge")
        for target in ("sides", "bits")
    ),
    ("categorical_hinge", "categorical_hinge", "x", "onehot", {}),
    ("kl_divergence", "kl_divergence", "p", "q", {}),
    ("categorical_crossentropy", "categorical_crossentropy", "p", "q", {}),
    ("categorical_crossentropy", "categorical_crossentropy", "p", "onehot", {}),
    ("categorical_crossentropy", "categorical_crossentropy", "some", "q", {}),
    (*2 * ("sparse_categorical_crossentropy",), "p", "labels", {}),
    (*2 * ("sparse_categorical_crossentropy",), "some", "labels", {}),
    ("binary_crossentropy", "binary_crossentropy", "unit", "bits", {}),
    ("binary_crossentropy", "binary_crossentropy", "unit", "shares", {}),
    ("binary_crossentropy", "binary_crossentropy", "ends", "certain", {}),
]
BY_ROW = ("cosine", "categorical", "sparse", "kl")  # in Keras: the others give the mean of a row


def main() -> None:
    known = json.loads(TARGET.read_text(encoding="utf-8")) if TARGET.exists() else {}
    recorded = {"inputs": {name: array.tolist() for name, array in inputs().items()}}
    for library, run in (("pytorch", of_pytorch), ("keras", of_keras)):
        try:
            recorded[library] = run()
        except ImportError:
            recorded[library] = known.get(library, {"version": None, "cases": []})
        print(f"{library}: {len(recorded[library]['cases'])} cases")
    TARGET.write_text(as_lines(recorded), encoding="utf-8")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def case(name: str, prediction: str, target: str, options: dict, reduction: str, z, dx) -> dict:
    return {
        "loss": name,
        "prediction": prediction,
        "target": target,
        "options": options,
        "reduction": reduction,
        "value": np.asarray(z).tolist(),
        "gradient": np.asarray(dx).tolist(),
    }


def given(options: dict) -> dict:
    """The options, with the arrays that they name."""
    arrays = inputs()
    return {k: arrays[v] if isinstance(v, str) else v for k, v in options.items()}


def weights(shape: tuple[int, ...]) -> np.ndarray:
    """What the entries of a loss are weighed with, so that one gradient holds them all."""
    return 1 + np.sin(1 + np.arange(np.prod(shape, dtype=int))).reshape(shape) / 2


# ---------------------------------------------------------------- PyTorch


def of_pytorch() -> dict:
    import torch

    arrays, cases = inputs(), []
    for (name, theirs, prediction, target, options), reduction in product(PYTORCH, REDUCTIONS):
        x = torch.tensor(arrays[prediction], requires_grad=True)
        y = torch.tensor(arrays[target])
        z = by_pytorch(theirs, x, y, given(options), reduction)
        (z * torch.tensor(weights(tuple(z.shape)))).sum().backward()
        z, dx = z.detach().numpy(), x.grad.numpy()
        cases.append(case(name, prediction, target, options, reduction, z, dx))
    return {"version": torch.__version__, "cases": cases}


def by_pytorch(theirs: str, x, y, options: dict, reduction: str):
    """The loss as PyTorch has it; kl_div and cosine_similarity as their names mean it here."""
    import torch
    from torch.nn import functional

    tensors = {"weight", "pos_weight"} & options.keys()
    options = {**options, **{k: torch.tensor(options[k], dtype=x.dtype) for k in tensors}}
    if theirs == "poisson_nll_loss":
        options = {"log_input": False, **options}
        options["eps"] = options.pop("epsilon", 1e-8)
    if theirs == "kl_div":
        return reduced(functional.kl_div(x.log(), y, reduction="none").sum(-1), reduction)
    if theirs == "cosine_similarity":
        return reduced(-functional.cosine_similarity(x, y, dim=-1), reduction)
    return getattr(functional, theirs)(x, y, reduction=reduction, **options)


def reduced(each, reduction: str):
    return each if reduction == "none" else getattr(each, reduction)()


# ---------------------------------------------------------------- Keras


def of_keras() -> dict:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("JAX_ENABLE_X64", "1")
    import jax
    import keras
    from keras.src import ops

    keras.config.set_floatx("float64")
    ops.mean = jax.numpy.mean  # Keras's own computes in float32 on JAX
    arrays, cases = inputs(), []
    for (name, theirs, prediction, target, options), reduction in product(KERAS, ("mean", "none")):
        x, y = arrays[prediction], arrays[target]

        def loss(x):
            return by_keras(getattr(keras.losses, theirs), x, y, options, reduction)  # noqa: B023

        z = loss(x)
        dx = jax.grad(lambda x: (loss(x) * weights(z.shape)).sum())(x)  # noqa: B023
        cases.append(case(name, prediction, target, options, reduction, z, dx))
    return {"version": keras.__version__, "cases": cases}


def by_keras(theirs, x, y, options: dict, reduction: str):
    """The loss as Keras has it; where it would give the mean of a row, each entry is a row."""
    options = {} if "epsilon" in options else options  # its own is 1e-7
    if theirs.__name__.startswith(BY_ROW):
        each = theirs(y, x, **options)
    else:
        each = theirs(y.reshape(-1, 1), x.reshape(-1, 1), **options).reshape(x.shape)
    return each.mean() if reduction == "mean" else each


def as_lines(recorded: dict) -> str:
    """JSON with an input or a case on each line."""
    arrays = ",\n".join(f'"{name}": {json.dumps(x)}' for name, x in recorded["inputs"].items())
    parts = [f'"inputs": {{\n{arrays}\n}}']
    for library in ("pytorch", "keras"):
        found = recorded[library]
        cases = ",\n".join(json.dumps(case) for case in found["cases"])
        head = f'"{library}": {{"version": {json.dumps(found["version"])}, "cases": ['
        parts.append(f"{head}\n{cases}\n]}}")
    return "{" + ",\n".join(parts) + "}\n"


if __name__ == "__main__":
    main()
