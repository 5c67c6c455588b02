"""Modes: what is recorded where, per thread, and right again after every exception."""

import subprocess
import sys
import threading

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu import Tensor, layers, losses, optimizers


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
