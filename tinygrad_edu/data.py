"""Data: small sets to learn on, and the few steps that prepare them for training.

Real handwritten digits come with the library (`digits`), and the original MNIST files are read
from disk (`load_mnist`). The toy sets are points in the plane with a shape one can see, drawn
afresh from a seed: `blobs`, `moons`, `circles`, `xor`, `spirals`, roughly from easy to hard.
A book comes with the library as well (`text`); how to turn it into numbers is in text.py.

Everywhere `x` holds one example a row, and `y` its label or value. Points are float32, labels
int64. `rng` is a seed, a `numpy.random.Generator`, or None for the library's default generator.
"""

from __future__ import annotations

from io import BytesIO
from os import PathLike
from pathlib import Path
from pkgutil import get_data
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from tinygrad_edu.arrays import Array
from tinygrad_edu.idx import read_idx
from tinygrad_edu.random import Rng, as_generator
from tinygrad_edu.text import Characters, text, windows

__all__ = [
    "Characters", "blobs", "circles", "digits", "load_mnist", "moons", "one_hot", "read_idx",
    "regression", "spirals", "standardize", "text", "train_test_split", "windows", "xor",
]  # fmt: skip

Examples = tuple[Array, Array]  # x, y


# ---------------------------------------------------------------- preparing


def train_test_split(
    *arrays: ArrayLike,
    test_size: float = 0.2,
    rng: Rng = None,
    stratify: ArrayLike | None = None,
) -> list[Array]:
    """Shuffle the rows of all arrays alike and set some aside: a_train, a_test, b_train, b_test...

    `test_size` is a fraction of the rows, or a number of them. With `stratify=labels` every class
    has its share in the test part, to within one example. Raises ValueError for lengths that
    differ, or a test size that leaves one part empty.

    >>> x, y = moons(100, rng=0)
    >>> x_train, x_test, y_train, y_test = train_test_split(x, y, rng=0, stratify=y)
    >>> x_train.shape, np.bincount(y_test).tolist()
    ((80, 2), [10, 10])
    """
    columns = [np.asarray(a) for a in arrays]
    lengths = {a.shape[:1] for a in columns}  # () is a bare number's
    if len(lengths) != 1 or () in lengths:
        shapes = ", ".join(str(a.shape) for a in columns) or "none at all"
        raise ValueError(
            f"train_test_split: got arrays of shapes {shapes}; give one or more, all with the "
            "same number of rows (a row is an example)."
        )
    ((n,),) = lengths
    labels = np.zeros(n) if stratify is None else np.asarray(stratify)
    if labels.shape != (n,):
        raise ValueError(
            f"train_test_split: stratify has shape {labels.shape}; give one label for each of the "
            f"{n} rows."
        )
    count = _test_count("train_test_split", n, test_size)
    train, test = _spread(as_generator(rng).permutation(n), labels, count)
    return [a[rows] for a in columns for rows in (train, test)]


def _spread(order: Array, labels: Array, count: int) -> tuple[Array, Array]:
    """The rows of `order` in two parts: train, and `count` test rows from all classes alike.

    Line the rows up class by class, then take `count` of them at even distances: any stretch of m
    among n rows, a class for instance, gives m count / n test rows, to within one.
    """
    n = len(order)
    by_class = order[np.argsort(labels[order], kind="stable")]
    taken = np.arange(n + 1) * count // n  # how many test rows lie before each place
    test = np.zeros(n, dtype=bool)
    test[by_class[np.diff(taken) == 1]] = True
    return order[~test[order]], order[test[order]]


def _test_count(function: str, n: int, test_size: float) -> int:
    whole = isinstance(test_size, (int, np.integer))
    count = int(test_size) if whole else round(n * test_size) if 0 < test_size < 1 else 0
    if not 0 < count < n:
        raise ValueError(
            f"{function}: test_size={test_size!r} of {n} examples leaves one part empty; "
            f"give a fraction between 0 and 1, or a number of examples from 1 to {n - 1}."
        )
    return count


def one_hot(labels: ArrayLike, classes: int | None = None, dtype: DTypeLike = np.float32) -> Array:
    """Each label k as a row of zeros with a single 1, at place k.

    Whole numbers of any shape give shape (*labels.shape, classes). `classes` is one more than the
    largest label unless told. Raises TypeError for labels that are not whole numbers, ValueError
    for one outside 0 .. classes - 1, naming it and its position.

    >>> one_hot([2, 0, 1])
    array([[0., 0., 1.],
           [1., 0., 0.],
           [0., 1., 0.]], dtype=float32)
    """
    y = np.asarray(labels)
    if y.size == 0 and classes is None:
        raise ValueError("one_hot: no labels to count the classes by; give classes=.")
    if y.size and y.dtype.kind not in "iub":
        raise TypeError(
            f"one_hot: labels are {y.dtype} ({y.flat[0]} at position 0); give whole numbers, "
            "for instance labels.astype(int)."
        )
    most = max(int(y.max()), 0) + 1 if classes is None else classes
    classes = _whole("one_hot", "classes", most)
    _check_labels("one_hot", y, classes)
    z = np.zeros((*y.shape, classes), dtype)
    np.put_along_axis(z, y[..., np.newaxis].astype(np.int64), 1, axis=-1)
    return z


def _check_labels(function: str, labels: Array, classes: int) -> None:
    wrong = np.argwhere((labels < 0) | (labels >= classes))
    if len(wrong):
        at = tuple(wrong[0].tolist())
        raise ValueError(
            f"{function}: label {labels[at]} at position {at[0] if len(at) == 1 else at} is "
            f"outside 0 .. {classes - 1}, the labels of {classes} classes "
            f"({len(wrong)} of {labels.size} labels are)."
        )


def standardize(x: ArrayLike, *others: ArrayLike) -> Any:
    """z = (x - mean) / std, column by column; the others by the mean and std of the *first*.

    So a test set is treated as the training set was, and nothing of it leaks into training:
    `x_train, x_test = standardize(x_train, x_test)`. One array gives one array, several a tuple,
    each of its own shape. Floating dtypes are kept, whole numbers become float32. A column that is
    constant in the first array says nothing about an example: it becomes 0 in all of them.
    Raises ValueError for no rows, nan or inf, and for columns that do not match.

    >>> standardize([[1.0, 5.0], [3.0, 5.0]], [[5.0, 6.0]])
    (array([[-1.,  0.],
           [ 1.,  0.]]), array([[3., 0.]]))
    """
    arrays = [np.asarray(a) for a in (x, *others)]
    first = arrays[0]
    for a in arrays:
        if a.ndim == 0 or a.shape[1:] != first.shape[1:] or len(first) == 0:
            raise ValueError(
                f"standardize: shape {a.shape} after {first.shape}; give arrays of one or more "
                "rows that have the same columns."
            )
        if not np.isfinite(a).all():
            at = tuple(np.argwhere(~np.isfinite(a))[0].tolist())
            raise ValueError(f"standardize: {a[at]} at position {at}; remove or replace it first.")
    mean, std = first.mean(axis=0, dtype=np.float64), first.std(axis=0, dtype=np.float64)
    varies = (first.max(axis=0) != first.min(axis=0)) & (std > 0)  # a constant's std may be 1e-9
    scaled = []
    for a in arrays:
        z = np.divide(a - mean, std, out=np.zeros(a.shape), where=varies)
        scaled.append(z.astype(a.dtype if a.dtype.kind == "f" else np.float32, copy=False))
    return tuple(scaled) if others else scaled[0]


# ---------------------------------------------------------------- real digits

# The rows where a form begins, each filled in by one hand (see datasets/README.md).
_FORM_STARTS = (0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667)


def digits(
    flat: bool = True,
    dtype: DTypeLike = np.float32,
    test_size: float = 0.2,
    by_writer: bool = False,
) -> tuple[Examples, Examples]:
    """1,797 real handwritten digits, 8 by 8 pixels: `(x_train, y_train), (x_test, y_test)`.

    `x` has shape (n, 64), or (n, 8, 8) with `flat=False`: ink from 0 (none) to 1 in steps of 1/16.
    `y` is the digit, 0 to 9, about 180 of each. Nothing is random: the split and the order are the
    same in every process and with every version of NumPy.

    The split is shuffled and every digit has its share (to within one) in the test part. All
    images differ, so none of the test part occurs in the training part. But the same people wrote
    both: the score, about 98 % for a small network, is for hands it has seen. The set is 14
    filled-in forms, one after another; `by_writer=True` keeps forms whole and tests on the last
    ones (three, 382 digits, at the default size): about 92 %, an estimate for strangers' hands.

    Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
    Learning Repository, 1998, doi:10.24432/C50P49 (CC BY 4.0); its test part, as scikit-learn has
    it. Raises ValueError for a test size that leaves one part empty, or a dtype that cannot hold
    the fractions.

    >>> (x_train, y_train), (x_test, y_test) = digits()
    >>> x_train.shape, x_test.shape, y_train[:4].tolist()
    ((1438, 64), (359, 64), [8, 2, 6, 6])
    >>> for row in x_train[1].reshape(8, 8):
    ...     print("".join(".-+#"[int(3 * ink)] for ink in row))
    ..+#-...
    .++-#...
    .--.#-..
    ....#-..
    ...-+...
    ...+-...
    ..+#---.
    ..+####.
    """
    stored = get_data("tinygrad_edu", "datasets/digits.npz") or b""
    with np.load(BytesIO(stored), allow_pickle=False) as file:
        x = _scaled("digits", file["images"], 16, flat, dtype)
        y = file["labels"].astype(np.int64)
    count = _test_count("digits", len(y), test_size)
    order = np.random.RandomState(0).permutation(len(y))  # NumPy promises never to change it
    if by_writer:
        cut = min(_FORM_STARTS[1:], key=lambda start: abs(start - (len(y) - count)))
        train, test = order[order < cut], order[order >= cut]
    else:
        train, test = _spread(order, y, count)
    return (x[train], y[train]), (x[test], y[test])


def _scaled(function: str, images: Array, full: int, flat: bool, dtype: DTypeLike) -> Array:
    """Bytes from 0 to `full` as fractions from 0 to 1."""
    if np.dtype(dtype).kind != "f":
        raise ValueError(
            f"{function}: dtype={np.dtype(dtype)} cannot hold fractions from 0 to 1; use float32 "
            f"(the raw numbers, 0 to {full}, are round({full} * x))."
        )
    x: Array = np.divide(images, full, dtype=dtype)
    return x.reshape(len(x), -1) if flat else x


def load_mnist(
    path: str | PathLike[str], flat: bool = True, dtype: DTypeLike = np.float32
) -> tuple[Examples, Examples]:
    """The original MNIST files in the folder `path`: `(x_train, y_train), (x_test, y_test)`.

    `x` has shape (n, 784), or (n, 28, 28) with `flat=False`: ink from 0 to 1; `y` is the digit.
    The four files are train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte
    and t10k-labels-idx1-ubyte, or spelled train-images.idx3-ubyte and so on, plain or .gz. Sets
    in the same files, such as Fashion-MNIST, are read alike. Raises FileNotFoundError for one
    that is missing, ValueError for one that is damaged or is not what its name says.

    Source: Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, "Gradient-based learning applied to
    document recognition", Proceedings of the IEEE 86(11), 1998.

    >>> load_mnist("no such folder")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    FileNotFoundError: load_mnist: no such folder has none of train-images-idx3-ubyte, ...
    """
    (x_train, y_train), (x_test, y_test) = (_mnist_part(Path(path), p) for p in ("train", "t10k"))
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"load_mnist: {path}: training images of {x_train.shape[1:]} pixels, test images of "
            f"{x_test.shape[1:]}; put the four files of one set into the folder."
        )
    x_train, x_test = (_scaled("load_mnist", x, 255, flat, dtype) for x in (x_train, x_test))
    return (x_train, y_train), (x_test, y_test)


def _mnist_part(folder: Path, part: str) -> Examples:
    images = _find(folder, f"{part}-images", "idx3")
    labels = _find(folder, f"{part}-labels", "idx1")
    x, y = read_idx(images), read_idx(labels)
    if x.ndim != 3:
        raise ValueError(
            f"load_mnist: {images}: expected images in 3 dimensions; found shape {x.shape}. "
            "Is it another file under that name?"
        )
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"load_mnist: {labels}: expected {len(x)} labels, one for each image of {images.name}; "
            f"found shape {y.shape}. Put files of one set into the folder."
        )
    _check_labels(f"load_mnist: {labels}", y, 10)
    return x, y.astype(np.int64)


def _find(folder: Path, stem: str, kind: str) -> Path:
    names = [f"{stem}{mark}{kind}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise FileNotFoundError(
            f"load_mnist: {folder} has none of {', '.join(names)}; "
            "put the four original files there, or give the folder that has them."
        )
    return found[0]


# ---------------------------------------------------------------- toy sets


def blobs(
    n: int = 200, noise: float = 0.2, centers: int | ArrayLike = 3, rng: Rng = None
) -> Examples:
    """Round clouds: x = center[y] + noise, for a linear classifier.

    `centers` is a number of them, evenly around the unit circle, or their positions (classes, d).
    Shapes (n, d) and (n,), with d = 2 on the circle.

    >>> x, y = blobs(6, centers=[[0, 0], [5, 5]], rng=0)
    >>> x.shape, np.bincount(y).tolist()
    ((6, 2), [3, 3])
    """
    if isinstance(centers, (int, np.integer)):
        angle = 2 * np.pi * np.arange(_whole("blobs", "centers", centers)) / centers
        middle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    else:
        middle = np.asarray(centers, dtype=float)
        if middle.ndim != 2 or middle.size == 0 or not np.isfinite(middle).all():
            raise ValueError(
                f"blobs: centers={centers!r}; give how many, or finite positions (classes, d)."
            )
    rng, y = _labels("blobs", n, len(middle), rng)
    return _noisy("blobs", middle[y], noise, rng), y


def moons(n: int = 200, noise: float = 0.1, rng: Rng = None) -> Examples:
    """Two half circles that reach into each other: no straight line parts them.

    Class 0 is (cos t, sin t), class 1 (1 - cos t, 1/2 - sin t), for t from 0 to pi. Shapes (n, 2)
    and (n,).

    >>> x, y = moons(rng=0)
    >>> x.shape, x.dtype, np.bincount(y).tolist()
    ((200, 2), dtype('float32'), [100, 100])
    """
    rng, y = _labels("moons", n, 2, rng)
    t = rng.uniform(0, np.pi, n)
    x = np.where(y == 0, [np.cos(t), np.sin(t)], [1 - np.cos(t), 0.5 - np.sin(t)]).T
    return _noisy("moons", x, noise, rng), y


def circles(n: int = 200, noise: float = 0.05, factor: float = 0.5, rng: Rng = None) -> Examples:
    """A circle of radius `factor` (class 1) inside one of radius 1 (class 0).

    Shapes (n, 2) and (n,).

    >>> x, y = circles(noise=0, rng=0)
    >>> np.unique(np.hypot(x[:, 0], x[:, 1]).round(3)).tolist()
    [0.5, 1.0]
    """
    if not 0 < factor < 1:
        raise ValueError(f"circles: factor={factor!r}; give a radius between 0 and 1.")
    rng, y = _labels("circles", n, 2, rng)
    angle = rng.uniform(0, 2 * np.pi, n)
    x = np.where(y == 0, 1.0, factor) * [np.cos(angle), np.sin(angle)]
    return _noisy("circles", x.T, noise, rng), y


def xor(n: int = 200, noise: float = 0.2, rng: Rng = None) -> Examples:
    """The four corners (+-1, +-1), class 1 where the signs differ; clouds around them with noise.

    What no single neuron can learn (M. Minsky and S. Papert, "Perceptrons", 1969). Shapes (n, 2)
    and (n,). The truth table itself, in some order, is `xor(4, noise=0)`.

    >>> x, y = xor(4, noise=0, rng=0)
    >>> sorted(zip(x.tolist(), y.tolist()))
    [([-1.0, -1.0], 0), ([-1.0, 1.0], 1), ([1.0, -1.0], 1), ([1.0, 1.0], 0)]
    """
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]])  # around the square: 0, 1, 0, 1
    rng, corner = _labels("xor", n, 4, rng)
    return _noisy("xor", corners[corner], noise, rng), corner % 2


def spirals(
    n: int = 300, noise: float = 0.02, classes: int = 3, turns: float = 1.0, rng: Rng = None
) -> Examples:
    """Spiral arms around each other, one a class: only several layers can follow them.

    For t from 0 to 1 the radius is 0.1 + 0.9 t and the angle 2 pi (turns t + y / classes). Shapes
    (n, 2) and (n,).

    Source: K. Lang and M. Witbrock, "Learning to tell two spirals apart", 1988 (there two classes
    and three turns); the colourful three arms are those of Stanford's course CS231n.

    >>> x, y = spirals(rng=0)
    >>> x.shape, np.bincount(y).tolist()
    ((300, 2), [100, 100, 100])
    """
    if not np.isfinite(turns):
        raise ValueError(f"spirals: turns={turns!r}; give a finite number.")
    rng, y = _labels("spirals", n, _whole("spirals", "classes", classes), rng)
    t = rng.uniform(0, 1, n)
    angle = 2 * np.pi * (turns * t + y / classes)
    x = (0.1 + 0.9 * t) * [np.cos(angle), np.sin(angle)]
    return _noisy("spirals", x.T, noise, rng), y


def regression(
    n: int = 200, features: int = 1, noise: float = 0.1, rng: Rng = None, coef: bool = False
) -> tuple[Array, ...]:
    """A straight line through noise: y = x w + noise, with x and w standard normal.

    Shapes (n, features) and (n, 1), as `Linear(features, 1)` gives it, both float32. With
    `coef=True` also the true w, (features, 1): what a good fit finds again.

    >>> x, y, w = regression(50, features=3, noise=0, rng=0, coef=True)
    >>> x.shape, y.shape, bool(np.allclose(x @ w, y, atol=1e-5))
    ((50, 3), (50, 1), True)
    """
    rng, _ = _labels("regression", n, 1, rng)
    x = rng.standard_normal((n, _whole("regression", "features", features)))
    w = rng.standard_normal((features, 1))
    y = _noisy("regression", x @ w, noise, rng)
    x, w = x.astype(np.float32), w.astype(np.float32)
    return (x, y, w) if coef else (x, y)


def _labels(function: str, n: int, classes: int, rng: Rng) -> tuple[np.random.Generator, Array]:
    """The generator, and n shuffled labels: as many of each class, to within one."""
    _whole(function, "n", n, least=classes)
    rng = as_generator(rng)
    return rng, rng.permutation(np.arange(n, dtype=np.int64) % classes)


def _noisy(function: str, x: Array, noise: float, rng: np.random.Generator) -> Array:
    """x + noise e, with e standard normal, as float32."""
    if not 0 <= noise < np.inf:
        raise ValueError(f"{function}: noise={noise!r}; give a standard deviation, 0 or more.")
    return (x + noise * rng.standard_normal(x.shape)).astype(np.float32)


def _whole(function: str, name: str, value: Any, least: int = 1) -> int:
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{function}: {name}={value!r}; give a whole number, {least} or more.")
    return int(value)
