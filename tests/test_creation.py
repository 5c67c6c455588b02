"""Creation: shapes in both spellings, dtypes, and what is refused."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor

WITH_SHAPE = {
    "zeros": (tg.zeros, np.zeros),
    "ones": (tg.ones, np.ones),
    "rand": (lambda *s, **o: tg.rand(*s, rng=3, **o), lambda s: np.random.default_rng(3).random(s)),
    "randn": (
        lambda *s, **o: tg.randn(*s, rng=3, **o),
        lambda s: np.random.default_rng(3).standard_normal(s),
    ),
}


@pytest.mark.parametrize("name", WITH_SHAPE)
def test_a_shape_is_a_tuple_or_its_lengths(name):
    make, numpys = WITH_SHAPE[name]
    expected = numpys((2, 3)).astype(np.float32)
    for t in (make((2, 3)), make([2, 3]), make(2, 3), make(np.int64(2), 3)):
        assert isinstance(t, Tensor) and t.dtype == np.float32 and not t.requires_grad
        np.testing.assert_array_equal(t.data, expected)
    assert make().shape == make(()).shape == ()
    assert make(4).shape == (4,) and make(0, 3).shape == (0, 3)


@pytest.mark.parametrize("name", WITH_SHAPE)
def test_dtype_and_gradients_are_options(name):
    make, numpys = WITH_SHAPE[name]
    t = make(2, 3, dtype="float64", requires_grad=True)
    assert t.dtype == np.float64 and t.requires_grad and t.is_leaf
    np.testing.assert_array_equal(t.data, numpys((2, 3)))


@pytest.mark.parametrize("name", WITH_SHAPE)
def test_shapes_that_are_none_are_refused(name):
    make = WITH_SHAPE[name][0]
    for wrong in ((2.0,), ("a",), ((2, None),), (2, (3,))):
        with pytest.raises(TypeError, match=rf"{name}: shape .* whole numbers"):
            make(*wrong)
    with pytest.raises(ValueError, match=rf"{name}: shape .* negative"):
        make(2, -1)


def test_full_eye_and_linspace():
    assert tg.full((2, 2), 7).tolist() == [[7.0, 7.0], [7.0, 7.0]]
    assert tg.full(2, Tensor(1.5)).tolist() == [1.5, 1.5]
    assert tg.eye(2, 3).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    np.testing.assert_array_equal(tg.linspace(0, 1, 5).data, np.linspace(0, 1, 5, dtype="f4"))
    for t in (tg.full((2,), 7), tg.eye(2), tg.linspace(0, 1, 3)):
        assert t.dtype == np.float32
    for t in (tg.full(2, 7, dtype=int), tg.eye(2, dtype=int)):
        assert t.dtype.kind == "i"
    assert tg.linspace(0, 1, requires_grad=True).shape == (50,)


def test_arange_of_whole_numbers_gives_whole_numbers_unless_a_gradient_is_wanted():
    assert tg.arange(3).tolist() == [0, 1, 2] and tg.arange(3).dtype == np.int64
    assert tg.arange(1, 3).tolist() == [1, 2] and tg.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert tg.arange(0.0, 1.0, 0.5).dtype == np.float32
    assert tg.arange(3, dtype="float64").dtype == np.float64
    x = tg.arange(3, requires_grad=True)
    assert x.dtype == np.float32 and x.requires_grad
    assert Tensor([1.0, 2.0, 3.0])[tg.arange(2)].tolist() == [1.0, 2.0]


def test_likeness_takes_shape_and_dtype_of_tensors_and_arrays():
    for x in (Tensor(np.ones((2, 3))), np.ones((2, 3)), Tensor([1.0, 2.0]), np.array([1, 2])):
        for make, value in ((tg.zeros_like, 0), (tg.ones_like, 1)):
            t = make(x)
            assert t.shape == x.shape and t.dtype == x.dtype and (t.data == value).all()
            assert make(x, dtype="float64", requires_grad=True).requires_grad
    x = Tensor([1.0], requires_grad=True)
    assert not tg.zeros_like(x).requires_grad


def test_gradients_of_whole_numbers_are_refused_here_too():
    with pytest.raises(TypeError, match="dtype=float"):
        tg.zeros(2, dtype=int, requires_grad=True)


def test_each_call_gives_new_memory():
    a, b = tg.zeros(3), tg.zeros(3)
    a.data += 1
    assert b.tolist() == [0.0] * 3
    assert tg.ones(3).data.flags.writeable and tg.eye(2).data.flags.writeable


def test_random_whole_numbers_stay_in_their_range():
    t = tg.randint(3, 6, (1000,), rng=0)
    assert t.dtype == np.int64 and set(t.tolist()) == {3, 4, 5}
    assert set(tg.randint(2, shape=(100,), rng=0).tolist()) == {0, 1}
    assert tg.randint(5, rng=0).shape == () and tg.randint(0, 5, 4).shape == (4,)
    with pytest.raises(TypeError, match=r"randint\(low, high, shape\)"):
        tg.randint(0, 5, "3")


class AlmostOne(np.random.Generator):
    """Draws the largest number below 1, always."""

    def random(self, size=None, dtype=np.float64, out=None):
        kind = np.dtype(dtype).type
        return np.full(size, np.nextafter(kind(1), kind(0)), dtype)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rand_is_below_one_in_every_dtype(dtype):
    """Rounding the largest float64 below 1 to float32 gives 1, about once in 30 million draws."""
    t = tg.rand(3, rng=AlmostOne(np.random.PCG64(0)), dtype=dtype)
    assert t.dtype == dtype and (t.data < 1).all()


def test_rand_and_randn_have_the_right_moments():
    u, n = tg.rand(20_000, rng=0).data, tg.randn(20_000, rng=0).data
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01 and abs(u.var() - 1 / 12) < 0.005
    assert abs(n.mean()) < 0.02 and abs(n.std() - 1) < 0.02
