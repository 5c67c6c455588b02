"""Modes: what is recorded where, per thread, and right again after every exception."""

import re
import subprocess
import sys
import threading
from contextlib import nullcontext

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor, differentiable, layers, losses, optimizers


def fresh_gradient():
    x = Tensor(3.0, requires_grad=True)
    (x * x + x).backward()
    return x.grad


@pytest.fixture(autouse=True)
def the_mode_is_as_before():
    assert tg.is_grad_enabled()
    yield
    assert tg.is_grad_enabled() and fresh_gradient() == 7.0


# ---------------------------------------------------------------- no_grad and enable_grad


def square_in_a_block(x):
    with tg.no_grad():
        return x * x


@tg.no_grad()
def square_called(x):
    """The square."""
    return x * x


@tg.no_grad
def square_bare(x):
    """The square."""
    return x * x


@pytest.mark.parametrize("square", [square_in_a_block, square_called, square_bare])
def test_no_grad_works_as_a_block_and_as_a_decorator_in_two_spellings(square):
    x = Tensor(3.0, requires_grad=True)
    for _ in range(2):  # a decorated function can be called again and again
        y = square(x)
        assert y.item() == 9.0 and not y.requires_grad and y.is_leaf and y.inputs == ()
    assert tg.is_grad_enabled()


def test_decorated_functions_keep_their_name_and_documentation():
    assert square_bare.__name__ == "square_bare" and square_bare.__doc__ == "The square."
    assert square_called.__name__ == "square_called"


def test_leaves_made_under_no_grad_still_want_gradients():
    with tg.no_grad():
        x = Tensor(3.0, requires_grad=True)
    (x * x).backward()
    assert x.grad == 6.0


def test_blocks_nest_and_each_puts_back_what_was():
    seen = []

    def look():
        seen.append(tg.is_grad_enabled())

    with tg.no_grad():
        look()
        with tg.enable_grad():
            look()
            with tg.no_grad():
                look()
            look()
        with tg.no_grad():
            pass
        look()
    look()
    assert seen == [False, True, False, True, False, True]


def test_enable_grad_records_within_no_grad_in_all_spellings():
    x = Tensor(3.0, requires_grad=True)

    @tg.enable_grad()
    def called():
        return x * x

    @tg.enable_grad
    def bare():
        return x * x

    with tg.no_grad():
        assert called().requires_grad and bare().requires_grad
        with tg.enable_grad():
            (x * x).backward()
        assert not (x * x).requires_grad
    assert x.grad == 6.0


def test_recursion_through_a_decorated_function_puts_back_what_was():
    @tg.no_grad
    def down(n):
        return n if n == 0 else down(n - 1)

    assert down(50) == 0


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("mode", [tg.no_grad, tg.enable_grad, tg.trace_lines])
def test_an_exception_inside_puts_back_what_was(error, mode):
    with pytest.raises(error), mode():
        raise error
    assert Tensor(1.0).where is None and (Tensor(1.0) * 2).where is None
    if mode is not tg.trace_lines:
        with pytest.raises(error):
            mode(lambda: (_ for _ in ()).throw(error()))()


INTERRUPTED = """
import random, signal
import tinygrad_edu as tg

def interrupt(*_):
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
x = tg.Tensor(3.0, requires_grad=True)
layer = tg.layers.MLP(1, 2, 1, rng=0)

@tg.no_grad
def decorated():
    return x * x

def blocks():
    with tg.no_grad():
        with tg.enable_grad():
            with tg.no_grad():
                pass
    with tg.trace_lines():
        pass

def work():
    with tg.no_grad():
        layer(x.reshape(1, 1))

random.seed(0)
for round in range(3000):
    task = (decorated, blocks, work)[round % 3]
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2e-4))
        while True:
            task()
    except KeyboardInterrupt:
        pass
    y = x * x
    y.backward()
    assert tg.is_grad_enabled() and x.grad == 6.0, f"gradients are off after {round} interrupts"
    assert y.where is None and y.path == (), f"a mode stuck after {round} interrupts"
    x.grad = None
print("all", round + 1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs interval timers")
def test_no_mode_ever_sticks_when_it_is_interrupted_at_any_moment():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("all 3000\n", 0), done.stderr


# ---------------------------------------------------------------- threads


def in_threads(functions):
    """Run them at the same time; the first error of any is raised here."""
    errors = []

    def guarded(f):
        try:
            f()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def test_no_grad_in_one_thread_leaves_the_others_alone():
    inside, checked = threading.Event(), threading.Event()

    def without():
        with tg.no_grad(), tg.trace_lines():
            inside.set()
            assert checked.wait(10)
            assert not tg.is_grad_enabled()

    def meanwhile():
        assert inside.wait(10)
        assert tg.is_grad_enabled() and fresh_gradient() == 7.0
        assert (Tensor(1.0) * 2).where is None
        checked.set()

    in_threads([without, meanwhile])


def test_a_new_thread_records_even_if_its_maker_does_not():
    with tg.no_grad():
        in_threads([lambda: None if fresh_gradient() == 7.0 else pytest.fail("not recorded")])


def trained(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((32, 4)).astype("f4"), rng.integers(0, 3, 32)
    model = layers.MLP(4, 8, 3, dropout=0.2, rng=seed)
    optimizer = optimizers.get("adam").bind(model)
    for _ in range(60):
        optimizer.minimize(lambda: losses.cross_entropy(model(x), y))
        with tg.no_grad():
            model(x)
        tg.derivatives.grad(lambda x: tg.tanh(x) ** 2)(0.5)
    return b"".join(p.data.tobytes() for p in model.parameters())


def test_models_trained_in_threads_equal_the_serial_ones_to_the_bit():
    serial = [trained(seed) for seed in range(6)]
    found = [b""] * 6

    def train(seed):
        found[seed] = trained(seed)

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        in_threads([lambda seed=seed: train(seed) for seed in range(6)])
    finally:
        sys.setswitchinterval(switch)
    assert found == serial


# ---------------------------------------------------------------- which line, which layer


def here():
    """The line of the caller."""
    return sys._getframe(1).f_lineno


def test_trace_lines_remembers_the_users_line_and_only_inside():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert (x * x).where is None
    with tg.trace_lines():
        y, line = x * x, here()
        z = tg.concatenate([y, y])
        n = np.exp(z)
        c = Tensor([1.0]) * 2  # also without gradients
        f = np.vectorize(tg.exp, otypes=[object])([1.0])[0]  # a file of NumPy lies between
    assert f.where.line == line + 4
    assert y.where == (__file__, line, sys._getframe().f_code.co_name)
    assert [t.where.line - line for t in (z, n, c)] == [1, 2, 3]
    assert (x * x).where is None


def test_trace_lines_names_the_users_line_and_not_the_layers():
    model = layers.MLP(2, 3, 1, rng=0)
    with tg.trace_lines():
        y, line = model(np.ones((1, 2), "f4")), here()
    assert (y.where.file, y.where.line) == (__file__, line)


def test_tensors_remember_the_layers_they_were_made_in():
    class Doubling(layers.Layer):
        def __init__(self):
            self.inner = layers.Lambda(lambda x: x * 2)

        def forward(self, x):
            return self.inner(x) + 1

    model = Doubling()
    x = Tensor(1.0, requires_grad=True)
    y = model(x)
    assert x.path == () and y.path == (model,)
    assert y.inputs[0].path == (model, model.inner)
    assert (x * 2).path == ()


def test_an_exception_in_a_layer_leaves_no_layer_behind():
    failing = layers.Sequential(layers.Identity(), layers.Lambda(lambda x: x @ np.ones(7)))
    with pytest.raises(ValueError):
        failing(Tensor([1.0]))
    assert Tensor(1.0).path == ()


# ---------------------------------------------------------------- errors name the user's line


@differentiable
def failing(x):
    """z = 2 x, and no way back"""
    return x * 2, lambda g: g + np.ones(7)


@differentiable
def asserting(x):
    def dx(g):
        raise AssertionError

    return x * 2, dx


@differentiable
def crooked(x):
    return x * 2, lambda g: np.ones(7)


def spelled(line, function, source):
    return f'File "{__file__}", line {line}, in {function}: {source}'


def message(f, error=Exception, lines=True):
    """What an error says, and the line after the one that `f` began in."""
    with pytest.raises(error) as caught, tg.trace_lines() if lines else nullcontext():
        f()
    return str(caught.value)


def test_an_error_names_the_users_line_after_what_it_says_anyway():
    def step():
        x = Tensor([1.0, 2.0])
        return x @ np.ones(7)

    plainly = message(step, ValueError, lines=False)
    line = step.__code__.co_firstlineno + 2
    place = spelled(line, "step", "return x @ np.ones(7)")
    assert plainly == "matmul: (2,) @ (7,): 2 != 7."
    assert message(step, ValueError) == f"{plainly}\n    {place}"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: losses.mean_squared_error(Tensor([1.0]), [1.0, 2.0]),
        lambda: optimizers.SGD([]),
        lambda: Tensor("abc"),
        lambda: Tensor([1.0]).backward(),
        lambda: tg.nothing_of_that_name,
        lambda: tg.manual_seed(-1),  # raised in NumPy, within the library
        lambda: np.exp(Tensor([1.0]), where=True),
        lambda: layers.MLP(2, 1, rng=0)(np.ones((1, 3), "f4")),
    ],
)
def test_errors_from_everywhere_in_the_library_name_it(wrong):
    line = wrong.__code__.co_firstlineno
    assert message(wrong).count(f'\n    File "{__file__}", line {line}, in <lambda>: lambda: ') == 1


def test_nested_blocks_and_decorators_name_it_once():
    @tg.trace_lines()
    def step():
        with tg.trace_lines(), tg.trace_lines():
            Tensor([1.0]) @ np.ones(7)

    assert message(step).count("File ") == 1
    assert message(step, lines=False).count("File ") == 1


def test_it_is_the_innermost_line_of_the_user():
    class Odd(layers.Layer):
        def forward(self, x):
            return x @ np.ones(7)

    model = layers.Sequential(layers.Identity(), Odd())
    place = spelled(Odd.forward.__code__.co_firstlineno + 1, "forward", "return x @ np.ones(7)")
    text = message(lambda: model(Tensor(np.ones((1, 2)))))
    assert text.endswith(place) and text.count("File ") == 1


def test_the_type_the_cause_and_the_traceback_stay():
    with pytest.raises(ValueError) as caught, tg.trace_lines():
        tg.sum(Tensor([1.0]), axis=3)
    cause = caught.value.__cause__
    assert type(caught.value) is ValueError and isinstance(cause, np.exceptions.AxisError)
    assert "File" in str(caught.value) and "File" not in str(cause)
    assert [str(entry.path) for entry in caught.traceback][-1].endswith("rules.py")


class Own(Exception):
    pass


@pytest.mark.parametrize(
    "error",
    [Own("mine"), ValueError("mine"), KeyError("mine"), ValueError(), KeyboardInterrupt("mine")],
    ids=repr,
)
def test_errors_of_the_user_stay_as_they_are(error):
    def forward(x):
        x * 2
        raise error

    before = str(error)
    with pytest.raises(type(error)) as caught, tg.trace_lines():
        layers.Lambda(forward)(Tensor(1.0))  # also on the way through the library
    assert caught.value is error and str(error) == before
    with pytest.raises(ValueError) as caught, tg.trace_lines():
        np.stack([np.ones(1), np.ones(2)])  # NumPy's, called by the user
    assert "File" not in str(caught.value)


def test_errors_that_are_not_made_of_text_stay_as_they_are(tmp_path):
    @differentiable
    def keyed(x):
        return x * 2, lambda g: {}["a key"]

    for wrong, error in (
        (lambda: tg.load(tmp_path / "nothing"), FileNotFoundError),
        (lambda: keyed(Tensor(1.0, requires_grad=True)).backward(), KeyError),
    ):
        assert message(wrong, error) == message(wrong, error, lines=False)


# ---------------------------------------------------------------- errors on the way back


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("op", "error", "words"),
    [
        (failing, ValueError, r"\(2,\) (and )?\(7,\)"),
        (asserting, AssertionError, "^on the way back through asserting"),
        (crooked, ValueError, r"crooked: its rule gives a gradient of shape \(7,\)"),
    ],
)
def test_an_error_on_the_way_back_names_the_op_and_the_line_that_called_it(
    op, error, words, create_graph
):
    def made(x):
        return op(x)

    def step():
        made(Tensor([1.0, 2.0], requires_grad=True)).sum().backward(create_graph=create_graph)

    plainly = message(step, error, lines=False)
    assert re.search(words, plainly) and f"on the way back through {op.op.name}, sh" in plainly
    assert plainly.endswith(f"on the way back through {op.op.name}, shape (2,)")
    text = message(step, error)
    place = spelled(made.__code__.co_firstlineno + 1, "made", "return op(x)")
    assert text.startswith(plainly + f"\n    {op.op.name} was called at {place}")
    if op is crooked:  # raised by the library: it names the call of backward, too
        assert text.split("\n")[-1].startswith(f'    File "{__file__}", line ')
        assert text.count(", in step: made(") == 1


def test_a_changed_and_a_stale_graph_name_the_line_that_used_it():
    def changed():
        x = Tensor([1.0, 2.0], requires_grad=True)
        y = x * 2
        x.data = np.ones(2)
        y.sum().backward()

    def changed_itself():
        y = Tensor([1.0, 2.0], requires_grad=True) * 2
        y.data = np.ones(2)
        y.sum().backward()

    def stale():
        x = Tensor([1.0, 2.0], requires_grad=True)
        optimizer = optimizers.SGD(x, lr=0.1)
        y = (x * 2).sum()
        y.backward()
        optimizer.step()
        y.sum().backward()

    for step, line, words in (
        (changed, 2, "multiply had used it"),
        (changed_itself, 1, "had made it"),
        (stale, 3, "let go"),
    ):
        plainly = message(step, RuntimeError, lines=False)
        assert re.search(words, plainly)
        text = message(step, RuntimeError)
        assert "\n" not in plainly and text.startswith(plainly + "\n")
        assert f'called at File "{__file__}", line {step.__code__.co_firstlineno + line}, ' in text
        assert text.endswith(", in " + step.__name__ + ": y.sum().backward()")


def test_a_line_that_calls_the_op_and_backward_is_named_once():
    def step():
        crooked(Tensor([1.0, 2.0], requires_grad=True)).backward([1.0, 1.0])

    assert message(step).count("File ") == 1


def test_an_error_of_a_hook_is_the_users():
    def hook(g):
        raise Own("mine")

    def step():
        x = Tensor(1.0, requires_grad=True)
        x.register_hook(hook)
        (x * 2).backward()

    assert message(step, Own) == "mine"


def test_a_line_in_no_file_is_named_without_its_text():
    namespace = {"tg": tg, "np": np}
    source = "def step():\n    tg.ones(2) @ np.ones(7)"
    exec(compile(source, "<nowhere>", "exec"), namespace)
    assert message(namespace["step"]).endswith('\n    File "<nowhere>", line 2, in step')
