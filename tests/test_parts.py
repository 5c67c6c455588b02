"""Blocks and threads: however a vector is cut up, the same bits come out."""

import contextlib
import gc
import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.optimizers import (
    LAMB,
    SGD,
    AdaBelief,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RAdam,
    RMSprop,
    Rprop,
    Yogi,
    parts,
)

EVERY = {
    "sgd": (SGD, {}),
    "momentum": (SGD, {"momentum": 0.9, "nesterov": True, "decay": 0.1}),
    "amsgrad": (Adam, {"amsgrad": True, "decay": 0.1}),
    "radam": (RAdam, {"beta_2": 0.9, "weight_decay": 0.1}),
    "adamw": (AdamW, {"amsgrad": True, "weight_decay": 0.1}),
    "adafactor": (Adafactor, {"weight_decay": 0.1}),
    "lamb": (LAMB, {"weight_decay": 0.1}),
} | {
    cls.__name__.lower(): (cls, {})
    for cls in (Adagrad, Adadelta, RMSprop, Adam, Adamax, Nadam, AdaBelief, Yogi, Lion, Rprop)
}
MATRICES = EVERY | {"muon": (Muon, {})}
every = pytest.mark.parametrize("kind", EVERY)
every_of_matrices = pytest.mark.parametrize("kind", MATRICES)


def made(kind, params, **more):
    cls, settings = MATRICES[kind]
    return cls(params, **{"lr": 0.1, **settings, **more})


def drawn(shape, seed, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaves(shapes, dtypes=("float32", "float64")):
    return [
        tg.Tensor(drawn(shape, i, dtypes[i % len(dtypes)]), requires_grad=True)
        for i, shape in enumerate(shapes)
    ]


def give(parameters, k, without=()):
    for i, p in enumerate(parameters):
        p.grad = None if i in without else drawn(p.shape, 100 * k + i, p.dtype)


def bits(optimizer):
    numbers = [p.numpy().tobytes() for p in optimizer.parameters()]
    return numbers, {name: np.array(v).tobytes() for name, v in optimizer.state_dict().items()}


def walked(kind, shapes, steps=4, gaps=((),), **settings):
    """The bits after some steps; in step k the parameters in gaps[k] have no gradient."""
    parameters = leaves(shapes)
    optimizer = made(kind, parameters, **settings)
    for k in range(steps):
        give(parameters, k, gaps[k % len(gaps)])
        optimizer.step()
    return bits(optimizer)


def cut(monkeypatch, block=65_536, threaded=1_000_000, threads=1):
    monkeypatch.setattr(parts, "BLOCK", block)
    monkeypatch.setattr(parts, "THREADED", threaded)
    monkeypatch.setattr(parts, "THREADS", threads)


# ---------------------------------------------------------------- the same bits

SHAPES = [(23, 3), (), (5,), (0, 2), (64,), (101,), (7, 7), (2, 3, 4)]
WAYS = [(1, 1, 2), (7, 1, 3), (64, 10, 2), (100, 1, 16), (10_000, 1, 4), (16, 10_000, 4), (3, 1, 1)]
each_way = pytest.mark.parametrize(
    "way", WAYS, ids="block {0[0]}, from {0[1]}, {0[2]} threads".format
)


@every
@each_way
def test_blocks_and_threads_give_the_bits_of_the_whole(kind, way, monkeypatch):
    cut(monkeypatch)
    whole = walked(kind, SHAPES, clipnorm=3.0, clipvalue=0.5)
    cut(monkeypatch, *way)
    assert walked(kind, SHAPES, clipnorm=3.0, clipvalue=0.5) == whole


@every
@each_way
@pytest.mark.filterwarnings("ignore:.*no gradient")
def test_missing_gradients_leave_the_same_gaps_in_blocks_and_threads(kind, way, monkeypatch):
    gaps = ((2,), (), (0, 1, 2, 4, 6), (7,), tuple(range(8)))
    cut(monkeypatch)
    whole = walked(kind, SHAPES, steps=6, gaps=gaps)
    cut(monkeypatch, *way)
    assert walked(kind, SHAPES, steps=6, gaps=gaps) == whole


@pytest.mark.parametrize("way", WAYS[:4], ids=str)
def test_matrices_of_muon_may_be_made_orthogonal_by_several_threads(way, monkeypatch):
    shapes = [(4, 4), (3, 7), (7, 3), (1, 5), (6, 6), (2, 9)]
    cut(monkeypatch)
    whole = walked("muon", shapes)
    cut(monkeypatch, *way)
    assert walked("muon", shapes) == whole


@every
@pytest.mark.filterwarnings("ignore:.*no gradient")
def test_a_gap_is_what_a_smaller_optimizer_would_do(kind):
    """What has no gradient keeps all its bits; the others do not notice that it is there."""
    shapes = [(4,), (3, 2), (5,)]
    parameters, others = leaves(shapes, ["float64"]), leaves(shapes, ["float64"])
    optimizer, smaller = made(kind, parameters), made(kind, [others[0], others[2]])
    for k in range(3):
        give(parameters, k), give(others, k)
        parameters[1].grad = None
        optimizer.step(), smaller.step()
    assert [parameters[i].data.tobytes() for i in (0, 2)] == [
        others[i].data.tobytes() for i in (0, 2)
    ]
    np.testing.assert_array_equal(parameters[1].data, others[1].data)


def test_real_sizes_are_updated_by_threads_to_the_same_bits(monkeypatch):
    monkeypatch.setattr(parts, "THREADS", 4)
    size = parts.THREADED + 12_345
    data, slope = drawn(size, 0), drawn(size, 1)
    found = []
    for threads in (1, 4):
        monkeypatch.setattr(parts, "THREADS", threads)
        w = tg.Tensor(data, requires_grad=True)
        optimizer = Adam(w, lr=0.1, amsgrad=True)
        for _ in range(2):
            w.grad = slope
            optimizer.step()
        found.append(bits(optimizer))
    assert found[0] == found[1]
    assert (w.data != data).all()


# ---------------------------------------------------------------- who does what


class Counting(Optimizer):
    """Counts every number's updates, and remembers sizes and threads."""

    def __init__(self, params=None, lr=1.0):
        self.sizes, self.threads = [], set()
        super().__init__(params, lr)

    def state(self, theta):
        return {"count": np.zeros_like(theta)}

    def update(self, theta, g, count):
        self.sizes.append(theta.size)
        self.threads.add(threading.current_thread())
        count += 1
        theta -= g


def counted(shapes, without=()):
    parameters = leaves(shapes, ["float64"])
    optimizer = Counting(parameters)
    give(parameters, 0, without)
    optimizer.step()
    counts = [v for name, v in optimizer.state_dict().items() if name.endswith(".count")]
    return optimizer, counts


@pytest.mark.parametrize("block", [1, 3, 10, 11, 12, 22, 23, 24, 1000])
@pytest.mark.parametrize("threads", [1, 3])
def test_every_number_is_updated_once_in_blocks_of_the_size_given(block, threads, monkeypatch):
    cut(monkeypatch, block, 1, threads)
    optimizer, counts = counted([(11,), (3, 4), ()])
    size = min(24, block if threads == 1 or block >= 24 else 2 * block)  # longer ones for threads
    assert all((v == 1).all() for v in counts)
    assert sum(optimizer.sizes) == 24 and max(optimizer.sizes) == size
    assert len(optimizer.sizes) == -(-24 // size)


@pytest.mark.filterwarnings("ignore:.*no gradient")
def test_neighbours_are_updated_together_and_gaps_are_left_out(monkeypatch):
    cut(monkeypatch, 10)
    optimizer, counts = counted([(2,), (3,), (4,), (5,), (6,)], without=(2,))
    assert sorted(optimizer.sizes) == [1, 5, 10]
    assert [v.tolist() for v in counts] == [[1] * 2, [1] * 3, [0] * 4, [1] * 5, [1] * 6]


def test_threads_are_started_only_if_there_is_enough_to_do(monkeypatch):
    started = []

    class Helper(parts._Helper):
        def start(self):
            started.append(self)
            super().start()

    monkeypatch.setattr(parts, "_Helper", Helper)
    for threaded, threads, extra in ((20, 3, 2), (21, 3, 0), (20, 1, 0)):
        cut(monkeypatch, 5, threaded, threads)
        started.clear()
        counted([(20,)])
        assert len(started) == extra
        assert not any(thread.is_alive() for thread in started), "none is left behind"
    cut(monkeypatch, 20, 1, 3)
    counted([(20,)])
    assert not started  # one block: nothing to share


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer signals on this system")
def test_an_interrupted_step_waits_for_those_who_still_write(monkeypatch):
    """An interrupted join() seems to be over on Python 3.10 to 3.12, while the thread writes on."""
    cut(monkeypatch, 5, 1, 2)
    main, begun, written, interrupts = threading.current_thread(), threading.Event(), [], []

    def interrupt(*_):
        interrupts.append(True)
        raise KeyboardInterrupt

    def slow(self, theta, g, count):
        if threading.current_thread() is main:
            begun.wait(timeout=60)
            return  # it is soon done with all other pieces, and waits
        if not begun.is_set():
            begun.set()
            time.sleep(0.3)
        written.append(True)

    monkeypatch.setattr(Counting, "update", slow)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            counted([(40,)])
        assert len(interrupts) > 1 and written
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_threads_share_the_work(monkeypatch):
    cut(monkeypatch, 5, 1, 2)
    both = threading.Barrier(2)

    def meet(self, theta, g, count):
        both.wait(timeout=60)
        count += 1

    monkeypatch.setattr(Counting, "update", meet)
    _, counts = counted([(40,)])  # a block waits until there is a second one at the same time
    assert (counts[0] == 1).all()


def test_the_number_of_threads_is_no_larger_than_that_of_processors():
    assert 1 <= parts.THREADS <= min(8, os.cpu_count() or 1)


class Recording(Optimizer):
    """Remembers what it was asked for a state of."""

    def __init__(self, params, lr=0.1, **settings):
        self.asked = []
        super().__init__(params, lr, **settings)

    def state(self, theta):
        self.asked.append((theta.shape, theta.dtype.name))
        return {"first": theta * 2, "second": np.ones_like(theta)}

    def update(self, theta, g, first, second):
        self.asked.append((theta.shape, g.shape, first.shape, second.shape))


class ByParameters(Recording):
    per_parameter = True


def test_a_state_is_asked_for_once_for_each_dtype_or_parameter():
    shapes = [(2, 3), (), (4,)]
    by_vectors = Recording(leaves(shapes))
    assert by_vectors.asked == [((10,), "float32"), ((), "float64")] or by_vectors.asked == [
        ((10,), "float32"),
        ((1,), "float64"),
    ]
    one_by_one = ByParameters(leaves(shapes, ["float64"]))
    assert one_by_one.asked == [((2, 3), "float64"), ((), "float64"), ((4,), "float64")]
    give(one_by_one.parameters(), 0)
    one_by_one.step()
    assert one_by_one.asked[3:] == [(shape,) * 4 for shape in shapes]


@pytest.mark.parametrize("cls", [Recording, ByParameters])
def test_a_state_may_start_from_the_parameters(cls):
    parameters = leaves([(2, 3), (), (4,)])
    state = cls(parameters).state_dict()
    order = [0, 2, 1]  # by dtype
    for number, i in enumerate(order):
        np.testing.assert_array_equal(state[f"{number}.first"], 2 * parameters[i].data)
        assert state[f"{number}.first"].dtype == parameters[i].dtype
        assert state[f"{number}.second"].shape == parameters[i].shape


# ---------------------------------------------------------------- what goes wrong in a thread


class Fragile(Optimizer):
    """Does what a test says where it meets a 7."""

    def __init__(self, params, does):
        self.does = does
        super().__init__(params, 1.0)

    def update(self, theta, g):
        if 7 in g:
            self.does()
        theta -= g


def fragile(does, size=40, at=25):
    w = tg.Tensor(np.zeros(size), requires_grad=True)
    w.grad = np.ones(size)
    w.grad[at] = 7
    return w, Fragile(w, does)


def fail():
    raise ZeroDivisionError("seven")


@pytest.mark.parametrize("at", [0, 25, 39])
def test_what_a_thread_raises_reaches_the_caller(at, monkeypatch):
    cut(monkeypatch, 4, 1, 3)
    _, optimizer = fragile(fail, at=at)
    with pytest.raises(ZeroDivisionError, match="seven"):
        optimizer.step()
    assert optimizer.iterations == 0


def test_a_warning_in_a_thread_is_an_error_where_warnings_are(monkeypatch):
    cut(monkeypatch, 4, 1, 3)
    _, optimizer = fragile(lambda: warnings.warn("seven", UserWarning, stacklevel=1))
    with pytest.raises(UserWarning, match="seven"), warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()


@pytest.mark.parametrize("threads", [1, 3])
def test_numpy_warns_or_raises_in_threads_as_the_caller_has_set_it(threads, monkeypatch):
    cut(monkeypatch, 4, 1, threads)
    _, optimizer = fragile(lambda: np.float32(1e30) * np.float32(1e30))
    with np.errstate(over="ignore"):
        optimizer.step()  # a warning would be an error here
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow"):
        optimizer.step()


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_in_a_thread_keeps_nothing_alive(threads, monkeypatch):
    cut(monkeypatch, 4, 1, threads)
    gc.collect()
    gc.disable()
    try:
        w, optimizer = fragile(fail)
        with contextlib.suppress(ZeroDivisionError):
            optimizer.step()
        del optimizer
        SGD(w)  # refused while another optimizer has it
        assert gc.collect() == 0
    finally:
        gc.enable()


# ---------------------------------------------------------------- forks and threads of others


def ends_well(child, seconds=20):
    """Did the child process end with 0 in time?"""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # of fork beside threads, as BLAS has them
def test_a_forked_process_goes_on_with_threads_of_its_own(monkeypatch):
    cut(monkeypatch, 16, 1, 4)
    parameters = leaves([(40,), (50, 3)])
    optimizer = Adam(parameters)
    give(parameters, 0)
    optimizer.step()
    twin = walked("adam", [(40,), (50, 3)], steps=2, lr=0.001)
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            give(parameters, 1)
            optimizer.step()
            code = 0 if bits(optimizer) == twin else 2
        os._exit(code)
    assert ends_well(child)
    give(parameters, 1)
    optimizer.step()
    assert bits(optimizer) == twin


def train(kind, seed):
    """The bits after a training of its own."""
    model = tg.layers.MLP(3, 6, 2, rng=seed)
    optimizer = made(kind, [p for p in model.parameters() if kind != "muon" or p.ndim == 2])
    x = drawn((4, 3), seed)
    for _ in range(12):
        optimizer.minimize(lambda: (model(x) ** 2).mean())
    return bits(optimizer)


@pytest.mark.parametrize("way", [(65_536, 10**6, 1), (8, 1, 3)], ids=["alone", "with threads"])
def test_optimizers_in_several_threads_at_once_do_what_they_do_one_by_one(way, monkeypatch):
    cut(monkeypatch, *way)
    work = [(kind, seed) for seed, kind in enumerate(MATRICES)]
    serial = [train(*task) for task in work]
    found = [None] * len(work)
    start = threading.Barrier(len(work))

    def run(i):
        start.wait()
        found[i] = train(*work[i])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == serial
