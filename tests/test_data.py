"""The data sets: the digits as published, nothing shared across a split, files taken or refused."""

import gzip
import hashlib
import struct
import subprocess
import sys
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from tinygrad_edu import data
from tinygrad_edu.random import manual_seed

TOYS = [data.blobs, data.moons, data.circles, data.xor, data.spirals]
FORMS = [0, 130, 256, 386, 516, 646, 776, 906, 1029, 1157, 1287, 1415, 1545, 1667, 1797]


def sha(*arrays):
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def as_bytes(x, y):
    return np.round(16 * x).astype(np.uint8), y.astype(np.uint8)


# ---------------------------------------------------------------- digits


def stored():
    """The images and labels as they were published, in their order, from the file itself."""
    with np.load(f"{data.__file__[: -len('data.py')]}datasets/digits.npz") as file:
        return file["images"], file["labels"]


def test_the_numbers_are_those_of_the_published_set():
    images, labels = stored()
    assert sha(images, labels) == "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"
    assert images.shape == (1797, 8, 8) and (images.min(), images.max()) == (0, 16)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


@pytest.mark.parametrize("by_writer", [False, True])
@pytest.mark.parametrize("test_size", [0.2, 0.5, 100])
def test_a_split_has_every_image_once_and_none_on_both_sides(by_writer, test_size):
    parts = data.digits(flat=False, test_size=test_size, by_writer=by_writer)
    pairs = [list(zip(*map(list, as_bytes(*part)), strict=True)) for part in parts]
    train, test = ([(image.tobytes(), label) for image, label in part] for part in pairs)
    published = [(image.tobytes(), label) for image, label in zip(*stored(), strict=True)]
    assert sorted(train + test) == sorted(published)
    assert {image for image, _ in train}.isdisjoint(image for image, _ in test)
    assert len({image for image, _ in published}) == 1797


def test_the_split_never_changes():
    parts = data.digits()
    digest = sha(*(array for part in parts for array in as_bytes(*part)))
    assert digest == "f3d3b5186598fc41bd20a34e27580ffffa5aca64dd11477d6dc8eff8f7d08829"


def test_every_digit_has_its_share_in_the_test_part():
    (_, y_train), (_, y_test) = data.digits()
    assert (len(y_train), len(y_test)) == (1438, 359)
    total = np.bincount(np.concatenate([y_train, y_test]))
    assert np.all(np.abs(np.bincount(y_test) - total * 359 / 1797) < 1)


def test_by_writer_keeps_every_form_on_one_side():
    images, _ = stored()
    place = {image.tobytes(): row for row, image in enumerate(images)}
    for test_size, forms in [(0.2, 3), (1, 1), (0.5, 7), (1796, 13)]:
        for (x, y), sides in zip(
            data.digits(flat=False, test_size=test_size, by_writer=True),
            (FORMS[: 15 - forms], FORMS[14 - forms :]),
            strict=True,
        ):
            rows = sorted(place[image.tobytes()] for image in as_bytes(x, y)[0])
            assert rows == list(range(sides[0], sides[-1]))


def test_every_form_begins_with_the_digits_in_order():
    text = "".join(map(str, stored()[1]))
    for start, end in pairwise(FORMS):
        assert text[start : start + 11].lstrip("0").startswith("123456789")
        assert 122 <= end - start <= 130


def test_digits_shapes_dtypes_and_scale():
    (x, y), (x_test, _) = data.digits()
    assert x.shape == (1438, 64) and x.dtype == np.float32 and y.dtype == np.int64
    assert (x.min(), x.max(), x_test.max()) == (0, 1, 1)
    (square, _), _ = data.digits(flat=False, dtype="float64")
    assert square.shape == (1438, 8, 8) and square.dtype == np.float64
    np.testing.assert_array_equal(square.reshape(-1, 64), x)  # sixteenths are exact in both
    x[:] = 7  # the caller's own copy
    assert data.digits()[0][0].max() == 1


@pytest.mark.parametrize("test_size", [0, 0.0, 1.0, 1797, -1, -0.2, 1e-9, float("nan")])
def test_digits_refuses_an_empty_part(test_size):
    with pytest.raises(ValueError, match="digits: test_size=.* of 1797 examples"):
        data.digits(test_size=test_size)


def test_digits_refuses_a_dtype_without_fractions():
    with pytest.raises(ValueError, match="digits: dtype=uint8.*float32"):
        data.digits(dtype=np.uint8)


def test_importing_reads_no_data():
    code = (
        "import sys; sys.addaudithook(lambda event, args: event == 'open' and "
        "'digits.npz' in str(args[0]) and sys.exit('read at import'))\n"
        "import tinygrad_edu.data\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- toy sets


@pytest.mark.parametrize("toy", TOYS)
def test_toys_are_balanced_shuffled_float32_points(toy):
    x, y = toy(n=101, rng=0)
    assert x.shape == (101, 2) and x.dtype == np.float32 and y.dtype == np.int64
    counts = np.bincount(y)
    assert counts.max() - counts.min() <= 1 and counts.min() >= 33
    assert 20 < np.sum(y[1:] != y[:-1]) < 90  # neither sorted nor alternating
    assert np.isfinite(x).all() and 0.5 < np.abs(x).max() < 3


@pytest.mark.parametrize("toy", [*TOYS, data.regression])
def test_toys_depend_on_the_seed_alone(toy):
    first, again, other = toy(rng=3), toy(rng=np.random.default_rng(3)), toy(rng=4)
    assert sha(*first) == sha(*again) != sha(*other)
    manual_seed(3)
    assert sha(*toy()) == sha(*first) != sha(*toy())  # the default generator moves on


@pytest.mark.parametrize("make", [*TOYS, data.regression, data.digits])
def test_numpys_global_generator_is_neither_read_nor_moved(make):
    digests = []
    for seed in (0, 1):
        np.random.seed(seed)
        expected = np.random.random()
        np.random.seed(seed)
        manual_seed(3)
        first, second = make()
        digests.append(sha(*first, *second))
        assert np.random.random() == expected
    assert digests[0] == digests[1]


def test_moons_lie_on_two_half_circles():
    x, y = data.moons(noise=0, rng=0)
    upper, lower = x[y == 0], x[y == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1, atol=1e-6)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1, atol=1e-6)
    assert upper[:, 1].min() >= -1e-6 and lower[:, 1].max() <= 0.5 + 1e-6
    assert np.ptp(upper[:, 0]) > 1.9 and np.ptp(lower[:, 0]) > 1.9


def test_circles_have_radius_1_and_factor():
    x, y = data.circles(noise=0, factor=0.3, rng=0)
    np.testing.assert_allclose(np.hypot(*x.T), np.where(y == 0, 1, 0.3), atol=1e-6)
    assert (np.abs(x[y == 0].mean(axis=0)) < 0.25).all()  # all around


def test_xor_is_1_where_the_signs_differ():
    x, y = data.xor(n=1000, noise=0.2, rng=0)
    np.testing.assert_array_equal((x[:, 0] > 0) ^ (x[:, 1] > 0), y)
    corners, counts = np.unique(np.sign(x), axis=0, return_counts=True)
    assert corners.tolist() == [[-1, -1], [-1, 1], [1, -1], [1, 1]] and set(counts) == {250}
    x, y = data.xor(n=4, noise=0, rng=0)
    assert sorted(zip(x.tolist(), y, strict=True)) == [
        ([-1, -1], 0), ([-1, 1], 1), ([1, -1], 1), ([1, 1], 0)]  # fmt: skip


@pytest.mark.parametrize("classes, turns", [(2, 3.0), (3, 1.0), (5, 0.5)])
def test_the_class_can_be_read_off_a_spirals_radius_and_angle(classes, turns):
    x, y = data.spirals(500, noise=0, classes=classes, turns=turns, rng=0)
    radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0]) / (2 * np.pi)
    t = (radius - 0.1) / 0.9
    arm = (angle - turns * t) * classes
    np.testing.assert_allclose(arm, np.round(arm), atol=1e-4)
    np.testing.assert_array_equal(np.round(arm) % classes, y)
    assert t.min() >= -1e-6 and t.max() <= 1 + 1e-6 and np.ptp(t) > 0.95


def test_spirals_are_separable_as_drawn_by_default():
    x, y = data.spirals(600, rng=0)
    distance = np.linalg.norm(x[:, None] - x[None], axis=2) + 9 * np.eye(600)
    assert np.mean(y[distance.argmin(axis=1)] == y) > 0.98  # the nearest neighbour is of the arm


def test_blobs_lie_around_their_centers():
    x, y = data.blobs(4000, noise=0.1, centers=4, rng=0)
    means = np.array([x[y == k].mean(axis=0) for k in range(4)])
    np.testing.assert_allclose(means, [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=0.02)
    assert abs(np.std(x - means[y]) - 0.1) < 0.005
    x, y = data.blobs(6, noise=0, centers=[[1, 2, 3], [4, 5, 6]], rng=0)
    np.testing.assert_array_equal(x, np.array([[1, 2, 3], [4, 5, 6]])[y])


def test_regression_is_a_line_with_known_weights():
    x, y, w = data.regression(5000, features=3, noise=0.5, rng=0, coef=True)
    assert (x.shape, y.shape, w.shape) == ((5000, 3), (5000, 1), (3, 1))
    assert {a.dtype for a in (x, y, w)} == {np.dtype(np.float32)}
    assert abs(np.std(y - x @ w) - 0.5) < 0.02
    assert abs(np.mean(y - x @ w)) < 0.03  # no intercept
    np.testing.assert_allclose(np.linalg.lstsq(x, y, rcond=None)[0], w, atol=0.03)
    assert len(data.regression(rng=0)) == 2


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: data.moons(n=0), r"moons: n=0; give a whole number, 2 or more"),
        (lambda: data.moons(n=10.0), r"moons: n=10\.0"),
        (lambda: data.moons(noise=-1), r"moons: noise=-1; give a standard deviation"),
        (lambda: data.circles(noise=float("nan")), r"circles: noise=nan"),
        (lambda: data.circles(factor=1), r"circles: factor=1; give a radius between 0 and 1"),
        (lambda: data.circles(noise=np.inf), r"circles: noise=inf"),
        (lambda: data.xor(n=3), r"xor: n=3; give a whole number, 4 or more"),
        (lambda: data.spirals(classes=0), r"spirals: classes=0; .* 1 or more"),
        (lambda: data.spirals(n=2, classes=3), r"spirals: n=2; .* 3 or more"),
        (lambda: data.spirals(turns=np.inf), r"spirals: turns=inf"),
        (lambda: data.blobs(centers=0), r"blobs: centers=0"),
        (lambda: data.blobs(centers=[1.0, 2.0]), r"blobs: centers=\[1.0, 2.0\]; .*\(classes, d\)"),
        (lambda: data.blobs(centers=[[1.0, np.nan]]), r"blobs: centers=.*finite"),
        (lambda: data.regression(features=0), r"regression: features=0"),
        (lambda: data.regression(n=0), r"regression: n=0"),
    ],
)
def test_toys_refuse_what_makes_no_set(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_toys_refuse_a_strange_rng():
    with pytest.raises(TypeError, match="rng"):
        data.moons(rng="seed")


# ---------------------------------------------------------------- preparing


def test_train_test_split_keeps_rows_together_and_loses_none():
    a, b = np.arange(50), np.arange(100).reshape(50, 2)
    a_train, a_test, b_train, b_test = data.train_test_split(a, b, test_size=0.3, rng=0)
    assert (len(a_train), len(a_test)) == (35, 15)
    assert sorted([*a_train, *a_test]) == list(range(50))
    np.testing.assert_array_equal(b_train[:, 0], 2 * a_train)
    np.testing.assert_array_equal(b_test[:, 0], 2 * a_test)
    assert a_train.tolist() != sorted(a_train) and a_test.tolist() != sorted(a_test)


def test_train_test_split_depends_on_the_seed_alone():
    split = [data.train_test_split(np.arange(50), rng=seed)[1].tolist() for seed in (0, 0, 1)]
    assert split[0] == split[1] != split[2]
    assert len(data.train_test_split(list(range(50)), test_size=7)[1]) == 7


def test_without_stratify_every_row_is_as_likely_and_so_is_every_pair():
    rng = np.random.default_rng(0)
    counts = np.zeros((6, 6))
    for _ in range(3000):
        test = data.train_test_split(np.arange(6), test_size=2, rng=rng)[1]
        counts[np.ix_(test, test)] += 1
    np.testing.assert_allclose(np.diag(counts), 1000, atol=110)
    np.testing.assert_allclose(counts[~np.eye(6, dtype=bool)], 200, atol=60)


@pytest.mark.parametrize("labels", [[0] * 90 + [1] * 10, list("aab") * 30, [0, 1, 2, 3, 3]])
@pytest.mark.parametrize("test_size", [0.1, 0.2, 0.5, 1])
def test_stratify_gives_every_class_its_share(labels, test_size):
    if round(len(labels) * test_size) == 0:
        test_size = 1
    y_train, y_test = data.train_test_split(labels, test_size=test_size, rng=0, stratify=labels)
    for value in set(labels):
        share = labels.count(value) * len(y_test) / len(labels)
        assert abs(y_test.tolist().count(value) - share) < 1
    assert sorted([*y_train, *y_test]) == sorted(labels)


@pytest.mark.parametrize(
    "arrays, options, message",
    [
        ((), {}, "none at all"),
        ((np.ones((4, 2)), np.ones(3)), {}, r"shapes \(4, 2\), \(3,\); .* same number of rows"),
        ((3.0,), {}, r"shapes \(\)"),
        ((np.ones(4),), {"stratify": [0, 1]}, r"stratify has shape \(2,\).* 4 rows"),
        ((np.ones(4),), {"stratify": np.eye(4)}, r"stratify has shape \(4, 4\)"),
        ((np.ones(4),), {"test_size": 4}, "test_size=4 of 4 examples leaves one part empty"),
        ((np.ones(4),), {"test_size": 1.5}, "test_size=1.5 of 4"),
        ((np.ones(1),), {}, "test_size=0.2 of 1"),
    ],
)
def test_train_test_split_refuses(arrays, options, message):
    with pytest.raises(ValueError, match=f"train_test_split: .*{message}"):
        data.train_test_split(*arrays, **options)


def test_one_hot():
    z = data.one_hot(np.array([[2, 0], [1, 1]], dtype=np.uint8))
    assert z.shape == (2, 2, 3) and z.dtype == np.float32
    np.testing.assert_array_equal(z, np.eye(3)[[[2, 0], [1, 1]]])
    assert data.one_hot([0], classes=4, dtype="float64").tolist() == [[1, 0, 0, 0]]
    assert data.one_hot(1).tolist() == [0, 1] and data.one_hot([True]).tolist() == [[0, 1]]
    assert data.one_hot(np.array([255], np.uint8)).shape == (1, 256)  # 255 + 1 is no uint8
    assert data.one_hot([], classes=3).shape == (0, 3)


@pytest.mark.parametrize(
    "labels, classes, error, message",
    [
        ([0, 1, -1], None, ValueError, r"label -1 at position 2 is outside 0 \.\. 1"),
        ([-2], None, ValueError, r"label -2 at position 0"),
        ([[0, 3], [4, 1]], 3, ValueError, r"label 3 at position \(0, 1\).*0 \.\. 2.*2 of 4"),
        ([0, 1.5], None, TypeError, r"float64 \(0\.0 at position 0\).*astype\(int\)"),
        (["a"], None, TypeError, r"labels are <U1 \(a at position 0\)"),
        ([], None, ValueError, r"give classes="),
        ([0], 0, ValueError, r"classes=0; give a whole number"),
    ],
)
def test_one_hot_refuses(labels, classes, error, message):
    with pytest.raises(error, match=f"one_hot: .*{message}"):
        data.one_hot(labels, classes)


def test_standardize_uses_the_first_arrays_statistics():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((300, 4)) * [1, 10, 1e-3, 1e4] + [0, 5, 1, -1e5]).astype(np.float32)
    train, test = data.standardize(x[:200], x[200:])
    assert train.dtype == test.dtype == np.float32
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-5)
    wide = x.astype(np.float64)
    expected = (wide[200:] - wide[:200].mean(axis=0)) / wide[:200].std(axis=0)
    np.testing.assert_allclose(test, expected, atol=1e-5)


def test_standardize_leaves_constant_columns_at_0():
    x = np.full((1000, 2), 0.1)  # its computed std is not quite 0
    assert x.std(axis=0).min() > 0
    train, test = data.standardize(x, [[0.1, 7.0]])
    assert not train.any() and not test.any()
    np.testing.assert_array_equal(data.standardize([[5e-324], [0.0]]), 0)  # nor is this one's


def test_standardize_shapes_and_dtypes():
    one = data.standardize([1, 2, 3])
    assert isinstance(one, np.ndarray) and one.dtype == np.float32 and abs(one[2] - 1.5**0.5) < 1e-6
    assert data.standardize(np.ones((3, 8, 8), np.float16)).dtype == np.float16
    x = np.array([[0.0], [2.0]])
    data.standardize(x)
    assert x.tolist() == [[0], [2]]  # not written into
    assert data.standardize(x, np.empty((0, 1)))[1].shape == (0, 1)


@pytest.mark.parametrize(
    "arrays, message",
    [
        ((np.ones((3, 2)), np.ones((3, 4))), r"shape \(3, 4\) after \(3, 2\)"),
        ((np.ones((0, 2)),), r"one or more rows"),
        ((3.0,), r"shape \(\)"),
        (([[1.0, np.nan]],), r"nan at position \(0, 1\)"),
        (([[1.0]], [[np.inf]]), r"inf at position \(0, 0\)"),
    ],
)
def test_standardize_refuses(arrays, message):
    with pytest.raises(ValueError, match=f"standardize: .*{message}"):
        data.standardize(*arrays)


# ---------------------------------------------------------------- idx files


def idx(array, code=8):
    """The bytes of an idx file: the format's description, written out once more."""
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + array.tobytes()


X_TRAIN = np.random.default_rng(0).integers(0, 256, (7, 5, 4), dtype=np.uint8)
X_TEST = np.random.default_rng(1).integers(0, 256, (3, 5, 4), dtype=np.uint8)
Y_TRAIN, Y_TEST = np.array([5, 0, 4, 1, 9, 2, 1], np.uint8), np.array([7, 2, 1], np.uint8)
FILES = {
    "train-images-idx3-ubyte": X_TRAIN,
    "train-labels-idx1-ubyte": Y_TRAIN,
    "t10k-images-idx3-ubyte": X_TEST,
    "t10k-labels-idx1-ubyte": Y_TEST,
}


@pytest.fixture
def mnist(tmp_path):
    for name, array in FILES.items():
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


def respell(folder, dotted, zipped):
    for path in list(folder.iterdir()):
        content = path.read_bytes()
        path.unlink()
        name = path.name.replace("-idx", ".idx") if dotted else path.name
        (folder / (name + ".gz" * zipped)).write_bytes(
            gzip.compress(content) if zipped else content
        )


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("dotted", [False, True])
def test_load_mnist_in_every_spelling(mnist, dotted, zipped):
    respell(mnist, dotted, zipped)
    (x_train, y_train), (x_test, y_test) = data.load_mnist(str(mnist))
    assert x_train.dtype == x_test.dtype == np.float32 and y_train.dtype == y_test.dtype == np.int64
    np.testing.assert_array_equal(x_train, X_TRAIN.reshape(7, 20) / np.float32(255))
    np.testing.assert_array_equal(x_test, X_TEST.reshape(3, 20) / np.float32(255))
    assert y_train.tolist() == Y_TRAIN.tolist() and y_test.tolist() == Y_TEST.tolist()


def test_load_mnist_flat_and_dtype(mnist):
    (x_train, _), (x_test, _) = data.load_mnist(mnist, flat=False, dtype=np.float64)
    assert x_train.shape == (7, 5, 4) and x_test.shape == (3, 5, 4)
    np.testing.assert_array_equal(x_train, X_TRAIN / 255)
    with pytest.raises(ValueError, match="load_mnist: dtype=int64"):
        data.load_mnist(mnist, dtype=int)


@pytest.mark.parametrize("missing", FILES)
def test_load_mnist_names_a_missing_file_in_all_spellings(mnist, missing):
    (mnist / missing).unlink()
    (mnist / missing).mkdir()  # a folder of that name, as some archives unpack, is not the file
    dotted = missing.replace("-idx", ".idx")
    with pytest.raises(FileNotFoundError) as caught:
        data.load_mnist(mnist)
    assert f"{missing}, {missing}.gz, {dotted}, {dotted}.gz" in str(caught.value)
    assert str(mnist) in str(caught.value)


@pytest.mark.parametrize(
    "name, array, message",
    [
        (
            "train-images-idx3-ubyte",
            Y_TRAIN,
            r"expected images in 3 dimensions; found shape \(7,\)",
        ),
        ("train-labels-idx1-ubyte", X_TRAIN, r"expected 7 labels.*found shape \(7, 5, 4\)"),
        ("t10k-labels-idx1-ubyte", Y_TRAIN, r"expected 3 labels.*found shape \(7,\)"),
        ("t10k-labels-idx1-ubyte", Y_TEST + 7, r"label 14 at position 0 is outside 0 \.\. 9"),
        ("t10k-images-idx3-ubyte", X_TEST[:, :4], r"images of \(5, 4\) pixels, .* \(4, 4\)"),
    ],
)
def test_load_mnist_refuses_files_that_do_not_fit_together(mnist, name, array, message):
    (mnist / name).write_bytes(idx(array))
    with pytest.raises(ValueError, match=f"load_mnist: .*{message}") as caught:
        data.load_mnist(mnist)
    assert name in str(caught.value) or "four files" in str(caught.value)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (3, 1, 2)])
def test_read_idx_gives_back_what_was_written(tmp_path, pack, shape):
    array = np.arange(6, dtype=np.uint8).reshape(shape)
    (tmp_path / "file").write_bytes(pack(idx(array)))
    read = data.read_idx(tmp_path / "file")
    np.testing.assert_array_equal(read, array, strict=True)
    read += 1  # the caller's own, writable


WHOLE = idx(X_TRAIN)
ZIPPED = gzip.compress(WHOLE, mtime=0)
DAMAGED = {
    "empty": (b"", r"two zero bytes; found b''"),
    "three bytes": (WHOLE[:3], "two zero bytes"),
    "foreign": (b"\x89PNG\r\n\x1a\n" + WHOLE, r"two zero bytes; found b'\\x89PNG'"),
    "float data": (idx(X_TRAIN, code=13), r"type 8.*found type 13 in 3 dimensions"),
    "no dimensions": (struct.pack(">HBB", 0, 8, 0), "found type 8 in 0 dimensions"),
    "255 dimensions": (struct.pack(">HBB255I", 0, 8, 255, *[1] * 255) + b"x", "in 255 dimensions"),
    "cut in the header": (WHOLE[:9], "3 dimensions of 4 bytes; found 5 bytes"),
    "cut in the data": (
        WHOLE[:-1],
        r"140 bytes of data, as its header \(7, 5, 4\) says; found 139",
    ),
    "too long": (WHOLE + b"\0", "140 bytes of data.*found more"),
    "a size of 0": (idx(X_TRAIN[:0]), r"header that says \(0, 5, 4\)"),
    "a size of 2**96": (struct.pack(">HBB3I", 0, 8, 3, *[2**32 - 1] * 3), "a header that says"),
    "a size that wraps to 0": (struct.pack(">HBB3I", 0, 8, 3, *[2**31] * 3), "a header that says"),
    "gz cut": (ZIPPED[:-20], "a whole gzip file"),
    "gz cut in the trailer": (ZIPPED[:-3], "a whole gzip file"),
    "gz with a wrong checksum": (ZIPPED[:-8] + b"oops" + ZIPPED[-4:], "a whole gzip file"),
    "gz with a foreign body": (ZIPPED[:10] + b"\xff" * 99, "a whole gzip file"),
    "gz with junk after it": (ZIPPED + b"junk", "a whole gzip file"),
    "gz too long": (gzip.compress(WHOLE + b"\0"), "found more"),
}


@pytest.mark.parametrize("content, message", DAMAGED.values(), ids=DAMAGED)
def test_read_idx_refuses_damaged_files(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        data.read_idx(path)
    assert str(caught.value).startswith(f"read_idx: {path}: expected ")


def test_any_flipped_byte_of_a_gz_is_refused_or_harmless(tmp_path):
    path = tmp_path / "labels.gz"
    packed, refused = gzip.compress(idx(Y_TRAIN), mtime=0), 0
    for place in range(len(packed)):
        path.write_bytes(packed[:place] + bytes([packed[place] ^ 0x10]) + packed[place + 1 :])
        try:
            assert data.read_idx(path).tolist() == Y_TRAIN.tolist()  # a flag or date of the header
        except ValueError:
            refused += 1
    assert refused > len(packed) - 12


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 1, 2, 2) + bytes(50_000_000)),  # says 4 bytes
        struct.pack(">HBB3I", 0, 8, 3, 1000, 1000, 1000) + b"ten bytes.",  # says a gigabyte
        gzip.compress(struct.pack(">HBB3I", 0, 8, 3, 1000, 1000, 1000) + b"ten bytes."),
    ],
    ids=["gzip bomb", "lying header", "lying header in a gz"],
)
def test_a_lying_file_costs_no_memory(tmp_path, content):
    path = tmp_path / "images"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="read_idx"):
            data.read_idx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000


def test_read_idx_of_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.read_idx(tmp_path / "nothing")
