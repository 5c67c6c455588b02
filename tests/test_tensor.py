"""Tensors: what becomes one, what it remembers, and the gradients that come back through it."""

import array
import copy
import gc
import pickle
import subprocess
import sys
import textwrap
import tracemalloc
import warnings
import weakref
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import tinygrad_edu as tg
from tests import BINARY
from tinygrad_edu import Tensor, layers, losses, optimizers


def leaf(data, dtype="float64", name=None):
    """A tensor that wants a gradient."""
    return Tensor(np.array(data, dtype), requires_grad=True, name=name)


def same(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


# ---------------------------------------------------------------- what becomes a Tensor


@pytest.fixture
def restored_dtype():
    yield
    tg.set_default_dtype("float32")


@pytest.mark.parametrize(
    "data",
    [
        3, -2.5, [1, 2], [[1.0, 2.0]], (1, 2.5), range(3), [], [[], []], [True, 2],
        [np.float64(1), 2], [np.arange(3), np.arange(3)], array.array("d", [1.0, 2.0]),
    ],
    ids=str,
)  # fmt: skip
def test_numbers_and_lists_become_float32(data):
    t = Tensor(data)
    assert t.dtype == np.float32
    np.testing.assert_array_equal(t.data, np.array(data, np.float32))
    assert Tensor(data, requires_grad=True).requires_grad


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "?"])
def test_arrays_keep_their_dtype(dtype):
    given = np.array([[0, 1], [1, 0]], dtype)
    t = Tensor(given)
    assert t.dtype == given.dtype and t.shape == (2, 2)
    np.testing.assert_array_equal(t.data, given)


def test_bools_stay_bools():
    assert Tensor(True).dtype == Tensor([True, False]).dtype == bool


def test_the_dtype_argument_decides_for_lists_and_arrays():
    assert Tensor([1, 2], dtype="float64").dtype == np.float64
    assert Tensor(np.ones(2), dtype=np.float16).dtype == np.float16
    assert Tensor([1.0, 2.0], dtype=int).dtype.kind == "i"


@pytest.mark.usefixtures("restored_dtype")
def test_the_default_dtype_can_be_set_and_arrays_do_not_care():
    tg.set_default_dtype(np.float64)
    assert Tensor([1, 2]).dtype == Tensor(1.0).dtype == tg.ones(2).dtype == np.float64
    assert Tensor(np.ones(2, np.float32)).dtype == np.float32
    with pytest.raises(TypeError, match="int64 is not floating"):
        tg.set_default_dtype("int64")
    assert Tensor(1.0).dtype == np.float64
    tg.set_default_dtype("float32")
    assert Tensor(1.0).dtype == np.float32


GRID = np.arange(1.0, 7.0).reshape(2, 3)


def read_only():
    x = GRID.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "Fortran order": np.asfortranarray(GRID),
    "negative strides": GRID[::-1, ::-1],
    "every other entry": np.arange(24.0).reshape(4, 6)[::2, ::3],
    "transposed": GRID.T,
    "read-only": read_only(),
    "broadcast": np.broadcast_to(np.arange(3.0), (2, 3)),
    "big-endian": GRID.astype(">f8"),
    "big-endian float32": GRID.astype(">f4"),
    "a record's field": np.array([(1.0, 2), (3.0, 4)], [("a", "f4"), ("b", "i8")])["a"],
    "no axes": np.array(2.5),
    "no entries": np.empty((0, 3)),
    "a subclass": GRID.view(type("Sub", (np.ndarray,), {})),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("share", [False, True])
def test_every_memory_layout_works(layout, share):
    given = LAYOUTS[layout]
    before = given.copy()
    t = Tensor(given, requires_grad=True, copy=not share)
    assert type(t.data) is np.ndarray and t.dtype.isnative and t.dtype.itemsize == given.itemsize
    (t * t).sum().backward()
    assert t.grad.shape == given.shape and t.grad.dtype == t.dtype
    np.testing.assert_array_equal(t.grad, 2 * given)
    np.testing.assert_array_equal(given, before)
    if not share:
        assert t.data.flags.writeable and not np.shares_memory(t.data, given)


REFUSED = {
    "text": ("abc", TypeError, "dtype <U3"),
    "bytes": (b"abc", TypeError, "dtype .S3"),
    "a list of text": (["a", "b"], TypeError, "dtype <U1"),
    "nothing": (None, TypeError, "dtype object"),
    "a list with nothing": ([1.0, None], TypeError, "dtype object"),
    "an object array": (np.array([1, "a"], object), TypeError, "dtype object"),
    "a set": ({1, 2}, TypeError, "dtype object"),
    "a generator": ((i for i in range(3)), TypeError, "dtype object"),
    "a function": (np.exp, TypeError, "dtype object"),
    "a complex number": (1j, TypeError, "dtype complex128"),
    "a complex array": (np.ones(2, np.complex64), TypeError, "dtype complex64"),
    "records": (np.zeros(2, [("a", "f4"), ("b", "i4")]), TypeError, "'a', '<f4'"),
    "dates": (np.array(["2020-01-01"], "M8[D]"), TypeError, "dtype datetime64"),
    "a masked array": (np.ma.masked_array([1.0, 2.0], [0, 1]), TypeError, "mask.*filled"),
    "rows of two lengths": ([[1, 2], [3]], ValueError, "one length"),
    "arrays of two lengths": ([np.ones(2), np.ones(3)], ValueError, "one length"),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("share", [False, True])
def test_what_holds_no_numbers_is_refused_by_name(what, share):
    data, error, reason = REFUSED[what]
    with pytest.raises(error, match=f"^Tensor: .*{reason}"):
        Tensor(data, copy=not share)


def test_a_dtype_without_real_numbers_is_refused():
    for dtype in ("complex64", object, "U5", "M8[D]"):
        with pytest.raises((TypeError, ValueError), match=r"^Tensor: "):
            Tensor([1.0, 2.0], dtype=dtype)


def test_tensors_that_want_gradients_are_joined_by_stack_and_not_by_a_list():
    x, y = leaf(1.0), leaf(2.0)
    with pytest.raises(TypeError, match=r"stack or concatenate"):
        Tensor([x, y])
    assert Tensor([x.detach(), y.detach()]).tolist() == [1.0, 2.0]


def test_the_array_is_copied_unless_told_otherwise():
    given = np.ones(3)
    copied, shared = Tensor(given), Tensor(given, copy=False)
    given[0] = 7.0
    assert copied.tolist() == [1.0, 1.0, 1.0]
    assert shared.tolist() == [7.0, 1.0, 1.0] and shared.data is given


def test_a_tensor_of_a_tensor_is_a_constant_copy():
    x = leaf([1.0, 2.0])
    y = Tensor(x * 3)
    assert y.is_leaf and not y.requires_grad and y.tolist() == [3.0, 6.0]
    z = Tensor(x)
    x.data[0] = 9.0
    assert z.tolist() == [1.0, 2.0]


def test_tensor_in_lower_case_is_the_same():
    assert tg.tensor([1.0], requires_grad=True, name="x").name == "x"


# ---------------------------------------------------------------- attributes and values


def test_a_leaf_knows_itself():
    x = Tensor([[1.0, 2.0, 3.0]], requires_grad=True, name="x")
    assert (x.shape, x.ndim, x.size, x.dtype, x.name) == ((1, 3), 2, 3, np.float32, "x")
    assert x.requires_grad and x.is_leaf and x.grad is None
    assert x.op is None and x.inputs == () and x.where is None and x.path == ()
    assert x.T.shape == x.mT.shape == (3, 1)


def test_a_result_knows_how_it_was_made():
    x, c = leaf(2.0), Tensor(3.0)
    z = x * c
    assert not z.is_leaf and z.requires_grad and z.name is None
    assert z.op is tg.multiply.op and z.op.name == "multiply"
    assert [t is s for t, s in zip(z.inputs, (x, c), strict=True)] == [True, True]


def test_a_result_of_constants_is_a_leaf():
    z = Tensor(2.0) * Tensor(3.0)
    assert z.is_leaf and not z.requires_grad and z.op is None and z.inputs == ()


def test_attributes_that_follow_from_others_cannot_be_set():
    x = leaf([1.0])
    for name in ("shape", "dtype", "ndim", "size", "op", "is_leaf", "inputs", "T"):
        with pytest.raises(AttributeError):
            setattr(x, name, None)
    with pytest.raises(AttributeError):
        x.gard = 1.0  # a typing error is no new attribute


def test_transposes_carry_gradients():
    x = leaf(GRID)
    (x.T @ np.ones(2)).sum().backward()
    same(x.grad, np.ones((2, 3)))
    stack = leaf(np.arange(24.0).reshape(2, 3, 4))
    assert stack.T.shape == (4, 3, 2) and stack.mT.shape == (2, 4, 3)
    assert tg.gradcheck(lambda x: x.mT * np.arange(3.0), stack, order=2)


def test_values_come_out_as_copies_and_python_numbers():
    x = leaf(GRID)
    values = x.numpy()
    values[0, 0] = 99.0
    assert x.tolist() == GRID.tolist() and type(x.tolist()[0][0]) is float
    assert type(leaf([[5.0]]).item()) is float and leaf([[5.0]]).item() == 5.0
    with pytest.raises(ValueError, match="size 1"):
        x.item()


def test_detach_is_a_copy_without_history():
    x = leaf([1.0, 2.0])
    y = x * 3
    d = y.detach()
    same(d.data, y.data)
    assert not np.shares_memory(d.data, y.data) and d.is_leaf and not d.requires_grad
    (y * d).sum().backward()
    same(x.grad, 3 * 3 * np.array([1.0, 2.0]))  # d counts as a constant


def test_what_was_detached_stays_what_it_was_when_the_original_is_changed():
    v, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = (v * w.detach()).sum()
    with tg.no_grad():
        w *= 100
    z.backward()
    same(v.grad, [3.0, 4.0])


def test_clone_has_memory_of_its_own_and_passes_the_gradient():
    x = leaf([1.0, 2.0])
    y = x.clone()
    assert not np.shares_memory(x.data, y.data)
    (y * y).sum().backward()
    same(x.grad, [2.0, 4.0])


def test_astype_passes_the_gradient_in_the_first_dtype():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x.astype("float64")
    assert y.dtype == np.float64
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32
    same(x.grad, [2.0, 4.0])
    assert x.detach().astype(int).dtype.kind == "i"
    with pytest.raises(TypeError, match="detach"):
        x.astype(int)


def test_zero_grad_forgets_the_gradient():
    x = leaf(2.0)
    (x * x).backward()
    x.zero_grad()
    assert x.grad is None


# ---------------------------------------------------------------- operators

SQUARE = np.array([[1.6, 2.7], [0.45, 3.3]])  # nowhere a whole multiple: `//` has steps there
OTHERS = {
    "an array": np.array([[0.75, 2.25], [1.5, 1.25]]),
    "a row": np.array([0.75, 2.25]),
    "a float": 1.75,
    "a whole number": 2,
    "a NumPy number": np.float64(1.75),
    "a list": [[0.75, 2.25], [1.5, 1.25]],
    "a tuple": (0.75, 2.25),
}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize(
    ("symbol", "other"),
    [(s, o) for s in BINARY for o in OTHERS if s != "@" or np.ndim(OTHERS[o])],
)
def test_operators_take_arrays_and_numbers_on_either_side(symbol, other, side):
    operate, b = BINARY[symbol], OTHERS[other]

    def f(x, b):
        return operate(b, x) if side == "left" else operate(x, b)

    x = leaf(SQUARE)
    z = f(x, b)
    assert isinstance(z, Tensor) and z.requires_grad
    same(z.data, f(SQUARE, np.asarray(b)))
    assert tg.gradcheck(lambda x: f(x, b), SQUARE, order=2)


@pytest.mark.parametrize("symbol", BINARY)
def test_operators_take_two_tensors(symbol):
    operate, b = BINARY[symbol], OTHERS["an array"]
    same(operate(Tensor(SQUARE), Tensor(b)).data, operate(SQUARE, b))
    assert tg.gradcheck(operate, (SQUARE, b), order=2)


@pytest.mark.parametrize(
    ("operate", "values", "slopes"),
    [
        (lambda x: -x, [2.0, -3.0], [-1.0, -1.0]),
        (lambda x: +x, [-2.0, 3.0], [1.0, 1.0]),
        (lambda x: abs(x), [2.0, 3.0], [-1.0, 1.0]),
    ],
    ids=["-x", "+x", "abs(x)"],
)
def test_operators_take_one_tensor(operate, values, slopes):
    x = leaf([-2.0, 3.0])
    z = operate(x)
    assert isinstance(z, Tensor) and z.tolist() == values
    assert tg.grad(z.sum(), x).tolist() == slopes


COMPARISONS = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@pytest.mark.parametrize("symbol", COMPARISONS)
@pytest.mark.parametrize("kind", [float, list, np.array, Tensor])
def test_comparisons_give_plain_arrays_of_bools(symbol, kind):
    compare, a = COMPARISONS[symbol], np.array([1.0, 2.0, 3.0])
    b = np.array(2.0) if kind is float else np.array([2.0, 2.0, 1.0])
    other = kind(b)
    for found, expected in (
        (compare(leaf(a), other), compare(a, b)),
        (compare(other, leaf(a)), compare(b, a)),
    ):
        assert type(found) is np.ndarray and found.dtype == bool
        np.testing.assert_array_equal(found, expected)


def test_len_iteration_and_membership_are_those_of_arrays():
    x = leaf(GRID)
    rows = list(x)
    assert len(x) == len(rows) == 2 and all(row.op.name == "getitem" for row in rows)
    (rows[0] * rows[1]).sum().backward()
    same(x.grad, GRID[::-1])
    a, b, c = leaf([1.0, 2.0, 3.0])
    assert (a + b * c).item() == 7.0
    assert 6.0 in x and 7.0 not in x
    for f in (len, list):
        with pytest.raises(TypeError):
            f(leaf(1.0))


def test_conversions_to_python_take_one_number():
    assert float(Tensor(2.5)) == 2.5 and type(float(Tensor(2.5))) is float
    assert int(Tensor(2.7)) == 2 and bool(Tensor(1.0)) and not Tensor(0.0)
    assert [10, 20, 30][Tensor(np.array(1))] == 20
    assert Tensor([[4.0]]).item() == 4.0
    with pytest.raises(TypeError):
        [10, 20, 30][Tensor(1.0)]
    for convert in (float, int):
        with pytest.raises(TypeError):
            convert(Tensor([1.0, 2.0]))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1.0, 2.0]))


def test_identity_decides_the_hash():
    x, y = leaf([1.0]), leaf([1.0])
    assert len({x, y, x}) == 2 and {x: "x", y: "y"}[x] == "x"


def test_indexing_reads_every_way_and_writing_by_index_is_refused():
    x = leaf(np.arange(24.0).reshape(2, 3, 4))
    indices = [
        0, (1, 2), slice(None, None, -2), (..., 1), (None, 1), [0, 0, 1], np.array([1, 0, 1]),
        (slice(None), [2, 0], slice(1, 3)), x.data > 5, ([0, 0], [1, 1]), Tensor(np.array([1, 1])),
        np.int64(1), [], (1, slice(0, 0)),
    ]  # fmt: skip
    for index in indices:
        z, at = x[index], index.data if isinstance(index, Tensor) else index
        if isinstance(index, list) and not index:
            at = np.array([], int)
        np.testing.assert_array_equal(z.data, x.data[at])
        expected = np.zeros_like(x.data)
        np.add.at(expected, at, 1.0)
        same(tg.grad(z.sum(), x).data, expected)
    with pytest.raises(TypeError, match="assignment"):
        x[0] = 1.0
    with pytest.raises(IndexError, match="getitem"):
        x[5]


@pytest.mark.parametrize(
    "other", [1j, np.complex64(1j), np.array([1j]), np.array([None]), "a", None, {}, object()]
)
def test_operands_that_are_no_real_numbers_are_refused(other):
    """Also where NumPy would make complex numbers or objects of them."""
    x = leaf([1.0, 2.0])
    for operate in (lambda: x * other, lambda: other * x, lambda: tg.maximum(x, other)):
        with pytest.raises(TypeError):
            operate()


@pytest.mark.parametrize("half", [Fraction(1, 2), Decimal("0.5")])
def test_fractions_and_decimals_count_as_the_numbers_they_are(half):
    x = Tensor([1.0, 2.0], requires_grad=True)
    for z in (x * half, half * x):
        assert z.dtype == np.float32 and z.tolist() == [0.5, 1.0]
        assert tg.grad(z.sum(), x).tolist() == [0.5, 0.5]


# ---------------------------------------------------------------- its text, and its copies


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Tensor(2.0), "Tensor(2.)"),
        (lambda: Tensor([1.0, 2.5]), "Tensor([1. , 2.5])"),
        (lambda: Tensor([[1.0], [2.0]]), "Tensor([[1.],\n        [2.]])"),
        (lambda: Tensor(np.array([1, 2])), "Tensor([1, 2], dtype=int64)"),
        (lambda: Tensor(1.0, name="rate"), "Tensor(1., name='rate')"),
        (lambda: Tensor(1.0, requires_grad=True), "Tensor(1., requires_grad=True)"),
        (lambda: Tensor(1.0, requires_grad=True) * 2, "Tensor(2., op=multiply)"),
        (
            lambda: leaf([1.0], name="w"),
            "Tensor([1.], dtype=float64, name='w', requires_grad=True)",
        ),
    ],
)
def test_the_repr_says_what_matters(make, text):
    assert repr(make()) == str(make()) == text


def test_the_repr_of_a_large_tensor_is_short():
    assert len(repr(tg.zeros(1000, 1000))) < 500


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{f"pickle {k}": lambda x, k=k: pickle.loads(pickle.dumps(x, k)) for k in range(6)},
}


@pytest.mark.parametrize("how", COPIES)
def test_copies_keep_values_and_wishes_but_no_graph(how):
    x = leaf([1.0, 2.0], name="x")
    (x * x).sum().backward()
    twin = COPIES[how](x)
    assert (twin.name, twin.requires_grad, twin.dtype) == ("x", True, np.float64)
    assert twin.tolist() == [1.0, 2.0] and not np.shares_memory(twin.data, x.data)

    y = COPIES[how](x * 3)
    assert y.is_leaf and y.requires_grad and y.inputs == ()
    (y * y).sum().backward()
    same(y.grad, [6.0, 12.0])
    same(x.grad, [2.0, 4.0])  # nothing arrived there
    assert COPIES[how](Tensor(np.array([1, 2]))).dtype == np.int64


def test_a_pickle_of_a_deep_result_holds_one_array():
    x = leaf(np.ones(10))
    y = x
    for _ in range(5000):
        y = y + x
    assert len(pickle.dumps(y)) < 1000
    assert copy.deepcopy(y).tolist() == y.tolist()


def test_a_deep_copy_of_a_list_keeps_what_was_one_as_one():
    x = leaf(1.0)
    a, b = copy.deepcopy([x, x])
    assert a is b and a is not x


# ---------------------------------------------------------------- asking for gradients


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
def test_gradients_of_whole_numbers_are_refused_with_the_fix(dtype):
    data = np.array([1, 0], dtype)
    with pytest.raises(TypeError, match=rf"{dtype}.*dtype=float"):
        Tensor(data, requires_grad=True)
    t = Tensor(data)
    for ask in (t.requires_grad_, lambda: setattr(t, "requires_grad", True)):
        with pytest.raises(TypeError, match=rf"{dtype}.*dtype=float"):
            ask()
    assert not t.requires_grad
    assert Tensor(data, dtype=float, requires_grad=True).dtype == np.float64  # the fix works
    assert (t + t).tolist() == (data + data).tolist()  # and without gradients all is well


def test_requires_grad_can_be_turned_on_and_off_on_leaves_only():
    x = Tensor(2.0)
    assert x.requires_grad_() is x and x.requires_grad
    x.requires_grad = False
    assert not (x * x).requires_grad
    z = leaf(2.0) * 3
    with pytest.raises(ValueError, match=r"multiply.*detach"):
        z.requires_grad_(False)


def test_backward_of_several_numbers_is_refused_with_the_remedies():
    x = leaf([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"\(2,\).*sum\(\).*mean\(\).*gradient="):
        (x * x).backward()
    (x * x).backward(gradient=[1.0, 10.0])
    same(x.grad, [2.0, 40.0])


def test_backward_of_one_number_in_any_shape_works():
    for shape in ((), (1,), (1, 1, 1)):
        x = leaf(np.full(shape, 3.0))
        (x * x).backward()
        assert x.grad.shape == shape and x.grad.item() == 6.0


def test_backward_from_nothing_that_wants_gradients_is_refused():
    x = leaf(1.0)
    with tg.no_grad():
        unrecorded = x * x
    for constant in (Tensor(1.0), Tensor(1.0) * 2, x.detach() * 2, unrecorded):
        with pytest.raises(RuntimeError, match=r"nothing to differentiate.*requires_grad=True"):
            constant.backward()
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        tg.grad(unrecorded, x)


def test_backward_under_no_grad_is_refused():
    x = leaf(1.0)
    z = x * x
    with tg.no_grad(), pytest.raises(RuntimeError, match="no_grad"):
        z.backward()
    assert x.grad is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_given_gradient_must_have_the_shape_of_the_tensor(create_graph):
    x = leaf([1.0, 2.0])
    for wrong in (1.0, [1.0], [[1.0, 2.0]], np.ones(3), Tensor(1.0)):
        with pytest.raises(ValueError, match=r"gradient has shape .* the tensor \(2,\)"):
            (x * 2).backward(wrong, create_graph)
    assert x.grad is None


@pytest.mark.parametrize(
    "given", [[1, 2], np.array([1, 2]), Tensor([1.0, 2.0]), np.array([1.0, 2])]
)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_given_gradient_may_be_of_any_kind(given, create_graph):
    x = Tensor([1.0, 1.0], requires_grad=True)
    (x * 3).backward(given, create_graph)
    g = x.grad.data if create_graph else x.grad
    assert g.dtype == np.float32 and g.tolist() == [3.0, 6.0]


def test_a_leaf_is_its_own_gradient_root():
    x = leaf(5.0)
    x.backward()
    assert x.grad == 1.0


# ---------------------------------------------------------------- whose memory a gradient is


SHARING = {
    "a sum": lambda x, y: (x + y).sum(),
    "a sum that is the root": lambda x, y: x + y,
    "weighed": lambda x, y: ((x + y) * 3.0).sum(),
    "reshaped": lambda x, y: (x.reshape(1, 2) + y.T).reshape(2).sum(),
    "broadcast": lambda x, y: x.sum() + y.sum(),
    "joined": lambda x, y: tg.concatenate([x, y]).sum(),
    "cloned": lambda x, y: x.clone() + y.clone(),
}


def values(t):
    return t.data if isinstance(t, Tensor) else t


@pytest.mark.parametrize("how", SHARING)
@pytest.mark.parametrize("create_graph", [False, True])
def test_two_leaves_never_share_one_gradient_array(how, create_graph):
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = SHARING[how](x, y)
    seed = np.ones(z.shape)
    z.retain_grad()
    z.backward(seed, create_graph)
    held = {"x": values(x.grad), "y": values(y.grad), "z": values(z.grad), "seed": seed,
            "x.data": x.data, "y.data": y.data}  # fmt: skip
    for a in held:
        for b in held:
            assert a == b or not np.shares_memory(held[a], held[b]), f"{a} and {b}"
    assert values(x.grad).flags.writeable


def test_writing_into_one_gradient_leaves_all_else_alone():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = (x + y) * 3.0
    seed = np.array([1.0, 2.0])
    z.backward(seed)
    x.grad *= 100
    same(y.grad, [3.0, 6.0])
    same(seed, [1.0, 2.0])
    z.backward(seed)
    same(y.grad, [6.0, 12.0])


def test_a_gradient_kept_from_before_is_not_written_into():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    kept = x.grad
    (x * x).sum().backward()
    same(kept, [2.0, 4.0])
    same(x.grad, [4.0, 8.0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_gradients_have_the_shape_and_dtype_of_their_tensor(dtype):
    x, wide = leaf(np.ones((3, 1)), dtype), leaf(np.ones((2, 3, 4)))
    for _ in range(2):
        (x * wide).sum().backward()
        assert x.grad.dtype == dtype and x.grad.shape == (3, 1)
        assert wide.grad.dtype == np.float64
    assert x.grad.tolist() == [[16.0]] * 3


@pytest.mark.parametrize("wrong", [np.zeros((3, 1)), np.zeros(2), np.zeros((2, 3))])
@pytest.mark.parametrize("first", [False, True])
def test_a_gradient_assigned_in_a_wrong_shape_is_refused(wrong, first):
    """Adding to it would broadcast, or fail when other leaves already have theirs."""
    odd, other = (leaf(np.ones(3)), leaf(np.ones(3)))
    odd.grad = wrong
    with pytest.raises(ValueError):
        (odd * other if first else other * odd).sum().backward()
    assert other.grad is None and odd.grad is wrong


# ---------------------------------------------------------------- adding up


def test_a_tensor_used_twice_gets_both_gradients():
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad == 7.0


def test_gradients_of_several_losses_add_up():
    x = leaf([1.0, 2.0])
    (x * x).sum().backward()
    (x * 10).sum().backward()
    same(x.grad, [12.0, 14.0])


def test_a_second_backward_adds_exactly_the_same_again():
    rng = np.random.default_rng(0)
    x, w = leaf(rng.standard_normal((5, 4))), leaf(rng.standard_normal((4, 4)))
    h = tg.tanh(x @ w)
    h.retain_grad()
    loss = ((h @ w + h) ** 2).mean()
    loss.backward()
    once = [t.grad for t in (x, w, h)]
    for times in (2, 3, 4):
        loss.backward()
        for t, g in zip((x, w, h), once, strict=True):
            np.testing.assert_allclose(t.grad, times * g, rtol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs_agree_with_torch(seed):
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install .[bench]")
    rng = np.random.default_rng(seed)
    starts = [rng.uniform(-1, 1, shape) for shape in ((), (3,), (2, 3), (2, 1), (2, 3))]
    ours = [leaf(a) for a in starts]
    theirs = [torch.tensor(a, requires_grad=True) for a in starts]
    mine, other = list(ours), list(theirs)
    for _ in range(40):
        i, j, kind = rng.integers(len(mine)), rng.integers(len(mine)), rng.integers(5)
        for nodes, lib in ((mine, tg), (other, torch)):
            a, b = nodes[i], nodes[j]
            made = (
                lambda a, b, lib: a + b,
                lambda a, b, lib: a * b,
                lambda a, b, lib: a - 2 * b,
                lambda a, b, lib: lib.tanh(a),
                lambda a, b, lib: lib.sin(a) * lib.exp(-b * b),
            )[kind](a, b, lib)
            nodes.append(made)
    sum((t.sum() for t in mine), start=Tensor(0.0)).backward()
    sum(t.sum() for t in other).backward()
    for x, y in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(x.grad, y.grad.numpy(), rtol=1e-9, atol=1e-9)


def test_inner_tensors_keep_a_gradient_only_when_asked():
    x = leaf(2.0)
    h, k = x * 3, x * 5
    assert h.retain_grad() is h
    (h * k).backward()
    assert h.grad == 10.0 and k.grad is None
    (h * k).backward()
    assert h.grad == 20.0
    with pytest.raises(ValueError, match=r"requires? grad"):
        Tensor(1.0).retain_grad()


def test_a_leaf_that_no_longer_wants_a_gradient_gets_none():
    x, y = leaf(2.0), leaf(3.0)
    z = x * y
    x.requires_grad_(False)
    z.backward()
    assert x.grad is None and y.grad == 2.0


# ---------------------------------------------------------------- tg.grad: gradients beside .grad


def test_grad_leaves_every_grad_alone():
    x, y = leaf(2.0), leaf(3.0)
    h = (x * y).retain_grad()
    dx, dh, dy = tg.grad(h * h, [x, h, y])
    assert (dx.item(), dh.item(), dy.item()) == (36.0, 12.0, 24.0)
    assert x.grad is y.grad is h.grad is None
    assert isinstance(dx, Tensor) and not dx.requires_grad
    assert tg.grad(h * h, x).item() == 36.0


def test_grad_weighs_the_entries_with_the_given_gradient():
    x = leaf([1.0, 2.0])
    same(tg.grad(x * x, x, gradient=[1.0, 10.0]).data, [2.0, 40.0])
    with pytest.raises(RuntimeError, match="not one number"):
        tg.grad(x * x, x)


def test_grad_of_an_input_that_was_not_used_is_an_error_or_none():
    x, y, z = leaf(2.0), leaf(3.0), Tensor(4.0)
    for unused in (y, z):
        with pytest.raises(ValueError, match=r"input 1 \(shape \(\)\).*allow_unused"):
            tg.grad(x * x, [x, unused])
        assert tg.grad(x * x, [x, unused], allow_unused=True)[1] is None


def test_grad_with_a_graph_can_be_differentiated_again_and_again():
    x = leaf(2.0)
    g, expected = x**5, [80.0, 160.0, 240.0, 240.0, 120.0]
    for value in expected:
        g = tg.grad(g, x, create_graph=True)
        assert g.item() == pytest.approx(value)
    assert x.grad is None


def test_grad_takes_the_same_input_twice():
    x = leaf(2.0)
    assert [g.item() for g in tg.grad(x * x, [x, x])] == [4.0, 4.0]


@pytest.mark.parametrize("wrong", [3.0, np.ones(2), [1.0], None])
def test_grad_of_what_is_no_tensor_is_a_type_error(wrong):
    x = leaf(2.0)
    with pytest.raises(TypeError, match="grad"):
        tg.grad(x * x, wrong)
    with pytest.raises(TypeError, match="grad"):
        tg.grad(wrong, x)


def test_grad_of_a_function_says_where_the_functional_one_is():
    with pytest.raises(TypeError, match="derivatives"):
        tg.grad(tg.tanh, leaf(1.0))


def test_backward_with_a_graph_leaves_gradients_that_can_be_differentiated():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    g = x.grad
    assert isinstance(g, Tensor) and g.item() == 12.0
    x.grad = None  # x holds its gradient, whose graph holds x: broken by hand
    g.backward()
    assert x.grad == 12.0


# ---------------------------------------------------------------- hooks


def test_a_hook_sees_the_complete_gradient_once():
    x = leaf(3.0)
    h = x * 2
    seen = []
    h.register_hook(lambda g: seen.append(float(g)))
    (h * h + h).backward()
    assert seen == [13.0] and x.grad == 26.0


def test_what_a_hook_returns_takes_the_gradients_place():
    x, y = leaf([1.0, 2.0]), leaf([1.0, 1.0])
    h = x * y
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: g + 1)  # after the first
    x.register_hook(lambda g: -g)  # of a leaf, too
    h.sum().backward()
    same(x.grad, [-11.0, -11.0])
    same(y.grad, [11.0, 22.0])


def test_hooks_also_work_in_grad():
    x = leaf(3.0)
    h = x * 2
    h.register_hook(lambda g: g * 10)
    assert tg.grad(h * h, x).item() == 240.0
    g = tg.grad(h * h, x, create_graph=True)
    assert g.item() == 240.0 and tg.grad(g, x).item() == 10 * 10 * 8.0


def test_a_removed_hook_is_called_no_more():
    x = leaf(3.0)
    seen = []
    first = x.register_hook(lambda g: seen.append("first"))
    x.register_hook(lambda g: seen.append("second"))
    first.remove()
    first.remove()  # twice is once
    (x * x).backward()
    assert seen == ["second"]


@pytest.mark.parametrize("wrong", [1.0, np.ones(3), np.ones((1, 2)), Tensor(1.0)])
def test_a_hook_must_return_the_shape_it_got(wrong):
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: wrong)
    with pytest.raises(ValueError, match=r"hook: .*\(2,\)"):
        (x * x).sum().backward()
    assert x.grad is None


@pytest.mark.parametrize(
    "given", [np.array([1, 2]), np.array([1.0, 2.0]), [1.0, 2.0], Tensor(np.array([1.0, 2.0]))]
)
def test_what_a_hook_returns_becomes_an_array_of_the_right_dtype(given):
    x = Tensor([1.0, 2.0], requires_grad=True)
    x.register_hook(lambda g: given)
    (x * x).sum().backward()
    assert type(x.grad) is np.ndarray and x.grad.dtype == np.float32
    assert x.grad.tolist() == [1.0, 2.0]


def test_a_hook_that_writes_into_its_gradient_disturbs_no_other_tensor():
    """x and y get the same numbers; whether the hook's write counts for x or is refused is open."""
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])

    def double(g):
        g *= 2

    x.register_hook(double)
    try:
        ((x + y) * 3.0).sum().backward()
    except ValueError:  # read-only
        return
    same(y.grad, [3.0, 3.0])


def test_hooks_need_a_tensor_that_wants_gradients():
    with pytest.raises(ValueError, match=r"requires? grad"):
        Tensor(1.0).register_hook(print)


# ---------------------------------------------------------------- all or nothing


class Boom(Exception):
    """What goes wrong half-way."""


def failing(error, result=None):
    """An op that cannot be walked back through."""

    def pullback(g):
        if error is not None:
            raise error
        return result

    @tg.differentiable
    def broken(x):
        """z = x"""
        return x * 1.0, pullback

    return broken


def boom(g):
    raise Boom


@pytest.mark.parametrize("with_optimizer", [False, True])
@pytest.mark.parametrize("where", ["pullback", "interrupt", "shape", "hook", "hook of a leaf"])
def test_an_error_half_way_through_backward_changes_no_leaf(where, with_optimizer):
    a, b, c, d = (leaf(np.full(3, v)) for v in (1.0, 2.0, 3.0, 4.0))
    if with_optimizer:
        optimizer = optimizers.SGD([a, b, c, d])
    (a + 2 * b + 3 * c).sum().backward()
    before = [None if t.grad is None else t.grad.copy() for t in (a, b, c, d)]

    broken = {
        "pullback": failing(Boom()),
        "interrupt": failing(KeyboardInterrupt()),
        "shape": failing(None, np.ones(7)),
    }.get(where, lambda x: x * 1.0)
    h = broken(b)
    if where == "hook":
        h.register_hook(boom)
    if where == "hook of a leaf":
        b.register_hook(boom)
    loss = (a * d + h * c + d * d).sum()
    for run in (loss.backward, lambda: loss.backward(create_graph=True)):
        with pytest.raises((Boom, KeyboardInterrupt, ValueError)):
            run()
        for t, g in zip((a, b, c, d), before, strict=True):
            if g is None:
                assert t.grad is None
            else:
                np.testing.assert_array_equal(t.grad, g)
    if with_optimizer:
        optimizer.zero_grad()


# ---------------------------------------------------------------- changes in place are refused


def by_assignment(t):
    t.data = t.data * 2


def by_adding(t):
    t.data += 1.0


def by_a_step(t):
    t.grad = np.ones_like(t.data)
    optimizers.SGD([t], lr=0.5).step()


def by_a_vector(t):
    tg.training.vector_to_parameters(np.full(t.size, 5.0), [t])


def by_loading(t):
    layer = layers.Layer()
    layer.weight = t
    layer.load_state_dict({"weight": np.full(t.shape, 5.0)})


CHANGES = [by_assignment, by_adding, by_a_step, by_a_vector, by_loading]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_leaf_changed_between_forward_and_backward_is_refused(change, create_graph):
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0], name="w")
    loss = (x * w).sum()
    change(w)
    w.grad = None
    with pytest.raises(RuntimeError, match=r"w of shape \(2,\) was changed .* multiply"):
        loss.backward(create_graph=create_graph)
    assert x.grad is None and w.grad is None
    (x * w).sum().backward()  # computed again, all is well
    same(x.grad, w.data)


@pytest.mark.parametrize("change", [by_assignment, by_adding])
def test_a_change_is_refused_wherever_the_tensor_stood(change):
    x = leaf([1.0, 2.0])
    h = x * 3
    z = tg.exp(h)
    change(h)
    with pytest.raises(RuntimeError, match="changed"):
        z.sum().backward()


def test_a_change_of_the_other_factor_is_refused_where_only_one_gradient_is_asked_for():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    z = (x * w).sum()
    w.data += 1.0  # dz/dx is w, as it was
    with pytest.raises(RuntimeError, match="changed"):
        tg.grad(z, x)


def test_a_change_of_a_factor_without_gradient_is_refused():
    x, c = leaf([1.0, 2.0]), Tensor(np.array([3.0, 4.0]))
    z = (x * c).sum()
    c.data += 1.0
    with pytest.raises(RuntimeError, match="changed"):
        z.backward()


def test_a_change_of_a_result_that_its_own_gradient_needs_is_refused():
    x = leaf([1.0, 2.0])
    z = tg.exp(x)  # dx = g z
    z.data += 1.0
    with pytest.raises(RuntimeError, match="changed"):
        z.backward([1.0, 1.0])


def test_a_change_before_the_forward_pass_or_after_backward_is_fine():
    x = leaf([1.0, 2.0])
    for _ in range(3):
        x.grad = None
        x.data += 1.0
        (x * x).sum().backward()
        same(x.grad, 2 * x.data)


def test_a_changed_leaf_can_be_a_root_itself():
    x = leaf(5.0)
    x.data += 1.0
    x.backward()
    assert x.grad == 1.0 and tg.grad(x, x).item() == 1.0


def test_assigning_data_keeps_a_leaf_able_to_have_gradients():
    x = leaf([1.0, 2.0])
    x.data = np.array([3, 4])
    assert x.dtype == np.float64
    (x * x).sum().backward()
    same(x.grad, [6.0, 8.0])


# ---------------------------------------------------------------- inputs that change afterwards

BITS = np.array([[True, False, True], [False, True, True]])
INPUTS = {
    "array * x": (GRID.copy(), lambda x, c: c * x * x),
    "x / array": (GRID.copy(), lambda x, c: x * x / c),
    "array @ x": (GRID.T.copy(), lambda x, c: c @ (x * x)),
    "x * list": ([1.0, 2.0, 3.0], lambda x, c: x * x * c),
    "x ** list": ([1.0, 2.0, 3.0], lambda x, c: x**c),
    "where(mask)": (BITS.copy(), lambda x, c: tg.where(c, x * x, 3 * x)),
    "where by name": (BITS.copy(), lambda x, c: tg.where(condition=c, x=x * x, y=3 * x)),
    "masked_fill": (BITS.copy(), lambda x, c: tg.masked_fill(x * x, c, 0.0)),
    "x[mask]": (BITS.copy(), lambda x, c: (x * x)[c] * 2),
    "x[array]": (np.array([0, 0, 1]), lambda x, c: (x * x)[c] * 2),
    "x[list]": ([0, 0, 1], lambda x, c: (x * x)[c] * 2),
    "x[(list, list)]": ([0, 0, 1], lambda x, c: (x * x)[c, [0, 1, 2]] * 2),
    "take": (np.array([0, 5, 5]), lambda x, c: tg.take(x * x, c)),
    "take by name": (np.array([0, 5, 5]), lambda x, c: tg.take(x * x, indices=c)),
    "take_along_axis": (np.array([[0, 0, 1], [1, 0, 1]]), lambda x, c: tg.take_along_axis(
        x * x, c, 0)),
    "clip by name": (np.array([1.0, 2.5, 9.0]), lambda x, c: tg.clip(x * x, low=c)),
    "embedding": (np.array([0, 0, 1]), lambda x, c: tg.embedding(c, x * x)),
    "labels": (np.array([0, 2]), lambda x, c: tg.softmax_cross_entropy(x * x, c)),
    "labels of a loss": (np.array([0, 2]), lambda x, c: losses.cross_entropy(x * x, c)),
    "target of a loss": (GRID.copy(), lambda x, c: losses.mean_squared_error(x * x, c)),
    "repeat": ([1, 2], lambda x, c: tg.repeat(x * x, c, axis=0) * np.arange(9.0).reshape(3, 3)),
    "transpose": ([1, 0], lambda x, c: tg.transpose(x * x, c) * GRID.T),
    "einsum": (GRID.copy(), lambda x, c: tg.einsum("ij,kj->ik", x * x, c)),
    "tensordot over lists in a tuple": ([0], lambda x, c: tg.tensordot(
        x * x, GRID[:, :2].copy(), (c, [0]))),
    "pad widths": ([2, 1], lambda x, c: tg.pad(x * x, ((0, 0), c)) * np.arange(12.0).reshape(2, 6)),
    "concatenate": (GRID.copy(), lambda x, c: tg.concatenate([x, c]) ** 2),
    "a list of tensors": ([], lambda x, c: (c.extend([x, x * x]), tg.stack(c) ** 2)[1]),
}  # fmt: skip


def spoil(c):
    """Write something else into an array or a list."""
    if isinstance(c, list):
        c[:] = [1 - v if v in (0, 1) else 0 for v in c if not isinstance(v, Tensor)]
    elif c.dtype == bool:
        np.logical_not(c, out=c)
    else:
        c[...] = np.where(c == c.flat[0], c.flat[-1], c.flat[0])


@pytest.mark.parametrize("what", INPUTS)
def test_changing_an_input_afterwards_does_not_change_gradients(what):
    given, f = INPUTS[what]
    x = leaf(GRID)
    expected = tg.grad(f(x, copy.deepcopy(given)).sum(), x, create_graph=True)
    expected_second = tg.grad((expected * GRID).sum(), x)

    c = copy.deepcopy(given)
    loss = f(x, c).sum()
    spoil(c)
    loss.backward()
    same(x.grad, expected.data)
    found = tg.grad(loss, x, create_graph=True)
    same(found.data, expected.data)
    same(tg.grad((found * GRID).sum(), x).data, expected_second.data)


# ---------------------------------------------------------------- size and depth


def run(script):
    """What a fresh Python prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_chain_of_a_million_ops_takes_little_memory_and_no_recursion():
    """At most 1.2 KB for each op, building and walking together."""
    if not sys.platform.startswith("linux"):
        pytest.skip("reads /proc")
    printed = run(
        """
        import resource
        import tinygrad_edu as tg

        def memory():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * resource.getpagesize()

        x = tg.Tensor(1.0, requires_grad=True)
        start, y, n = memory(), x, 1_000_000
        for _ in range(n):
            y = y * 1.0
        y.register_hook(lambda g: print((memory() - start) / n))  # all is there when it starts
        y.backward()
        assert x.grad == 1.0
        print((memory() - start) / n)
        del y
        """
    )
    assert all(300 < float(size) < 1200 for size in printed.split())


def test_memory_grows_in_proportion_to_the_ops_and_all_of_it_comes_back():
    def bytes_per_op(n):
        y = leaf(1.0)
        start = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(n):
            y = y * 1.0
        y.backward()
        del y
        now, peak = tracemalloc.get_traced_memory()
        assert now - start < 0.02 * peak  # Python keeps some small objects to use them again
        return (peak - start) / n

    tracemalloc.start()
    try:
        few, many = bytes_per_op(20_000), bytes_per_op(60_000)
    finally:
        tracemalloc.stop()
    assert many < 1200 and many < 1.1 * few


CHAINS = {
    "numbers": lambda y, x: y * 1.0 + 0.0,
    "tensors": lambda y, x: y + x * 0.0,
    "matrices": lambda y, x: tg.linear(y, np.eye(2), np.zeros(2)).reshape(2, 1).T,
    "indices": lambda y, x: y[:, [1, 0]],
    "joined": lambda y, x: tg.concatenate([y[:, :1], y[:, 1:]], axis=1),
}


@pytest.mark.parametrize("kind", CHAINS)
def test_deep_graphs_are_built_walked_shown_and_freed_without_recursion(kind):
    x = leaf([[1.0, 2.0]])
    y = x
    for _ in range(10_000):
        y = CHAINS[kind](y, x)
    y.sum().backward()
    assert np.isfinite(x.grad).all() and repr(y).startswith("Tensor(")
    del y


def test_deep_second_derivatives_are_built_and_freed_without_recursion():
    x = leaf(0.5)
    y = x
    for _ in range(3000):
        y = y * 1.0
    g = tg.grad(y * y, x, create_graph=True)
    assert tg.grad(g, x).item() == 2.0
    del y, g


def test_sixty_doublings_are_walked_in_sixty_steps():
    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad == 2.0**60
    assert tg.grad(y, x, create_graph=True).item() == 2.0**60


def test_ladders_are_walked_once():
    a, b = leaf(1.0), leaf(1.0)
    x, y = a, b
    for _ in range(80):
        x, y = x + y, x
    x.backward()
    assert a.grad / b.grad == pytest.approx((1 + 5**0.5) / 2)


def test_a_tensor_used_a_hundred_thousand_times_gets_every_gradient():
    x = leaf(2.0)
    total = x * 0
    for _ in range(100_000):
        total = total + x
    total.backward()
    assert x.grad == 100_000.0
    assert tg.grad(tg.stack([x] * 100_000).sum(), x).item() == 100_000.0


def test_an_op_of_many_inputs_is_differentiated_twice_in_linear_time():
    """Counted, not timed: comparing every input with every other one takes millions of calls."""
    xs = [leaf(1.0) for _ in range(2000)]
    y = (tg.stack(xs) ** 2).sum()
    steps = 0

    def count(frame, event, arg):
        nonlocal steps
        steps += 1

    sys.setprofile(count)
    try:
        found = tg.grad(y, xs, create_graph=True)
    finally:
        sys.setprofile(None)
    assert all(g.item() == 2.0 for g in found)
    assert steps < 500 * len(xs)


# ---------------------------------------------------------------- nothing is left behind


class Training:
    """A small network and one step of its training."""

    def __init__(self, optimizer="adam"):
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((16, 4)).astype(np.float32)
        self.y = rng.integers(0, 3, 16)
        self.model = layers.MLP(4, 8, 3, dropout=0.1, rng=0)
        self.optimizer = optimizers.get(optimizer).bind(self.model)

    def step(self):
        self.optimizer.zero_grad()
        loss = losses.cross_entropy(self.model(self.x), self.y)
        loss.backward()
        self.optimizer.step()
        return loss


@pytest.fixture
def no_collector():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def with_hooks():
    x = leaf([1.0, 2.0])
    h = x * x
    h.register_hook(lambda g: g * 2)
    h.sum().backward()


def with_second_derivatives():
    x = leaf([1.0, 2.0])
    g = tg.grad((tg.tanh(x) ** 3).sum(), x, create_graph=True)
    tg.grad((g * g).sum(), x)


def with_derivatives_of_functions():
    def f(x):
        return (x**3 * tg.sin(x)).sum()

    tg.derivatives.hessian(f)(np.ones(3))
    tg.derivatives.hvp(f, np.ones(3), np.ones(3))
    tg.derivatives.jvp(f, np.ones(3), np.ones(3))


def with_modes():
    x = leaf(1.0)
    with tg.trace_lines(), tg.enable_grad():
        (x * x).backward()
    with tg.no_grad():
        x * x


def with_many_ops():
    x = leaf(GRID)
    y = tg.softmax(x @ GRID.T) + tg.prod(x, axis=1) + tg.cumsum(x, 1)[:, :2] + tg.sort(x)[:, 1:]
    y = y * tg.einsum("ij,kj->ik", x, x) + tg.tensordot(x, x, ([1], [1])) + tg.pad(y, 1)[1:3, 1:3]
    tg.norm(tg.stack([y, y]) ** 2.0).backward()


LEFTOVERS = {
    "a step": Training().step,
    "a step with SGD": Training("sgd").step,
    "hooks": with_hooks,
    "second derivatives": with_second_derivatives,
    "derivatives of functions": with_derivatives_of_functions,
    "modes": with_modes,
    "many ops": with_many_ops,
}


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("what", LEFTOVERS)
def test_nothing_is_left_to_the_cyclic_collector(what):
    work = LEFTOVERS[what]
    work()
    gc.collect()
    for _ in range(5):
        work()
    assert gc.collect() == 0


@pytest.mark.usefixtures("no_collector")
def test_memory_is_flat_over_ten_thousand_steps_without_the_collector():
    training = Training()
    for _ in range(200):
        training.step()
    before = sys.getallocatedblocks()
    for _ in range(10_000):
        training.step()
    assert sys.getallocatedblocks() - before < 200


@pytest.mark.usefixtures("no_collector")
def test_kept_losses_of_finished_steps_are_numbers_without_graphs():
    training = Training()
    kept = [training.step() for _ in range(50)]
    made = {t for t in gc.get_objects() if type(t) is Tensor and t.op is not None}
    assert made == set(kept)
    assert all(t.inputs == () and np.isfinite(t.item()) for t in kept)


def test_an_inner_tensor_dies_with_the_step_that_made_its_loss_stale():
    w = leaf([1.0, 2.0])
    optimizer = optimizers.SGD([w], lr=0.1)
    h = w * w
    inner = weakref.ref(h)
    loss = h.sum()
    del h
    loss.backward()
    assert inner() is not None
    optimizer.step()
    assert inner() is None and loss.item() == 5.0


def test_a_stale_loss_says_why_it_cannot_be_walked_and_what_to_do():
    w = leaf([1.0, 2.0])
    optimizer = optimizers.SGD([w], lr=0.1)
    loss = (w * w).sum()
    loss.backward()
    loss.backward()  # until the step it can be walked again
    optimizer.step()
    for walk in (loss.backward, (loss * 2).backward, lambda: tg.grad(loss, w)):
        with pytest.raises(RuntimeError, match=r"let go by an optimizer step.*loss\.item\(\)"):
            walk()
    optimizer.zero_grad()
    (w * w).sum().backward()
    same(w.grad, 2 * w.data)


def test_graphs_without_an_optimizer_live_as_long_as_their_root():
    w = leaf([1.0, 2.0])
    h = w * w
    inner = weakref.ref(h)
    loss = h.sum()
    del h
    loss.backward()
    assert inner() is not None
    del loss
    assert inner() is None


# ---------------------------------------------------------------- warnings

CORNERS = {
    "sqrt at 0": (tg.sqrt, [0.0, 1.0]),
    "log at 0": (tg.log, [0.0, 1.0]),
    "log of a negative": (tg.log, [-1.0, 1.0]),
    "1 / 0": (lambda x: 1 / x, [0.0, 1.0]),
    "0 / 0": (lambda x: x / x, [0.0, 1.0]),
    "0 ** -1": (lambda x: x**-1.0, [0.0, 1.0]),
    "0 ** 0.5": (lambda x: x**0.5, [0.0, 1.0]),
    "x ** x": (lambda x: x**x, [0.0, -0.5]),
    "arcsin at 1": (tg.arcsin, [1.0, 0.5]),
    "arctanh at 1": (tg.arctanh, [1.0, 0.5]),
    "arccosh at 1": (tg.arccosh, [1.0, 2.0]),
    "arctan2 at the origin": (lambda x: tg.arctan2(x, x), [0.0, 1.0]),
    "norm at the origin": (lambda x: tg.norm(x), [0.0, 0.0]),
    "std of constants": (lambda x: tg.std(x), [1.0, 1.0]),
    "exp of 1000": (lambda x: tg.exp(x) * x, [1000.0, 1.0]),
    "a large power": (lambda x: x**200, [1e300, 1.0]),
    "softmax of -inf": (tg.softmax, [-np.inf, -np.inf]),
    "log_softmax of inf": (tg.log_softmax, [np.inf, 1.0]),
    "nan": (lambda x: tg.tanh(x) * x, [np.nan, 1.0]),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_gradient_rules_add_no_warnings_of_their_own(corner):
    f, at = CORNERS[corner]
    x = leaf(at)
    with np.errstate(all="ignore"):
        y = f(x)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        before = np.geterr()
        y.backward(np.ones(y.shape))
        tg.grad(y, x, np.ones(y.shape))
        g = tg.grad(y, x, np.ones(y.shape), create_graph=True)
        if g.requires_grad:
            g.backward(np.ones(2))
        assert np.geterr() == before
