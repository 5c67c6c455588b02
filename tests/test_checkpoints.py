"""Checkpoints: everything comes back to the bit, or nothing has changed.

Damaged and made-up files are in test_hostile_checkpoints.py, killed processes in test_atomic.py.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygrad_edu as tg
from tests import resuming
from tinygrad_edu.checkpoints import CheckpointError, export_npz, files, load, save
from tinygrad_edu.layers import MLP, BatchNorm, Dropout, Layer, Linear, Sequential
from tinygrad_edu.optimizers import KNOWN, SGD, Adam
from tinygrad_edu.schedules import CosineDecay, ReduceOnPlateau

ROOT = Path(__file__).parents[1]
GENERATORS = ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"]


def file_of(what):
    """The file that `what` makes: two things that differ in a single bit have different ones."""
    return b"".join(map(bytes, files._sealed(*files._packed(what))))


def header_of(path):
    content = path.read_bytes()
    return json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


@pytest.fixture
def there_and_back(path):
    def go(what, into=None):
        save(path, what)
        return load(path, into)

    return go


def trained(seed=0, sizes=(3, 4, 2), **options):
    model = MLP(*sizes, rng=seed, **options)
    optimizer = Adam(model)
    x = np.ones((2, sizes[0]), "float32")
    optimizer.minimize(lambda: (model(x) ** 2).mean())
    return {"model": model, "optimizer": optimizer}


# ---------------------------------------------------------------- resuming


def test_a_resumed_run_of_every_optimizer_ends_as_the_uninterrupted_one(tmp_path):
    """In a new process, with objects made anew, another seed and another default generator.

    The checkpoints at the end are the same files, byte for byte: weights, buffers, states, losses,
    schedules and random generators.
    """
    for name in KNOWN:
        run = resuming.go_on(resuming.new_run(name))
        save(tmp_path / f"half-{name}", run)
        save(tmp_path / f"whole-{name}", resuming.go_on(run))
    command = [sys.executable, "-m", "tests.resuming", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=120)
    for name in KNOWN:
        half, whole, resumed = (
            (tmp_path / f"{which}-{name}").read_bytes() for which in ("half", "whole", "resumed")
        )
        assert resumed == whole != half, name


def test_the_runs_that_are_resumed_depend_on_all_that_is_saved(path):
    """Otherwise the test above would not notice if something was forgotten."""
    run = resuming.new_run("adam")
    saved = [run["model"][3].rng, run["shuffling"], tg.random.as_generator(None)]
    save(path, run)
    before = [g.random() for g in saved]
    resuming.go_on(run)
    load(path, run)
    assert [g.random() for g in saved] == before


def test_the_same_run_makes_the_same_bytes_in_every_process(path):
    script = (
        "import sys, tinygrad_edu as tg; tg.manual_seed(3); model = tg.layers.MLP(2, 3, 1)\n"
        "optimizer = tg.optimizers.Adam(model)\n"
        "tg.save(sys.argv[1], {'model': model, 'optimizer': optimizer, 'b': 1, 'a': 2})"
    )
    found = set()
    for seed in "12":
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", script, path]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=60)
        found.add(path.read_bytes())
    assert len(found) == 1


# ---------------------------------------------------------------- layers


def test_a_layer(there_and_back):
    layer, other = Linear(3, 2, rng=0), Linear(3, 2, rng=1)
    weight, data = other.weight, other.weight.data
    assert there_and_back(layer, other) is other
    assert file_of(other) == file_of(layer)
    assert other.weight is weight and other.weight.data is data  # in place


def test_graphs_of_before_a_load_are_known_to_be_stale(there_and_back):
    layer = Linear(3, 2, rng=0)
    loss = (layer(np.ones((2, 3), "float32")) ** 2).sum()
    there_and_back(Linear(3, 2, rng=1), layer)
    with pytest.raises(RuntimeError, match="changed"):
        loss.backward()


def test_buffers_and_frozen_parameters_are_saved_and_tied_ones_once(path):
    model = resuming.new_run("sgd")["model"]
    model[1].running_mean[...] = 5
    model[2].calls[...] = 7
    save(path, model)
    with safetensors.safe_open(path, framework="numpy") as file:
        names = set(file.keys())
    assert {"layers.1.running_var", "layers.2.calls", "layers.2.frozen.weight"} <= names
    assert "layers.0.weight" in names and "layers.2.tied" not in names
    other = load(path, resuming.new_run("sgd")["model"])
    assert file_of(other) == file_of(model)
    assert other[2].calls == 7 and other[2].tied is other[0].weight


def test_an_optimizer_goes_on_with_a_model_loaded_with_it(there_and_back):
    run, other = trained(0), trained(1)
    there_and_back(run, other)
    for each in (run, other):
        model = each["model"]
        each["optimizer"].minimize(lambda m=model: (m(np.ones((2, 3), "float32")) ** 2).mean())
    assert file_of(other) == file_of(run)


def test_arrays_of_every_dtype_order_and_shape(there_and_back):
    numbers = np.arange(24).reshape(2, 3, 4)
    arrays = [numbers.astype(dtype) for dtype in (*files.DTYPES.values(), ">f4", ">i8")]
    arrays += [numbers.T.astype("f4"), numbers[:, ::-1, 1::2], np.broadcast_to(np.pi, (2, 3))]
    arrays += [
        np.zeros((0, 3)),
        np.zeros((2, 0), "?"),
        np.array(1.5, "f4"),
        np.asfortranarray(numbers),
    ]
    arrays += [np.array([np.nan, -np.nan, np.inf, -0.0, 5e-324])]
    back = there_and_back({"arrays": arrays})["arrays"]
    for x, y in zip(arrays, back, strict=True):
        assert x.shape == y.shape and x.dtype.newbyteorder("=") == y.dtype and y.flags.writeable
        assert x.astype(y.dtype).tobytes() == y.tobytes()
    filled = [np.ones(x.shape, x.dtype) for x in arrays]
    there_and_back({"arrays": arrays}, {"arrays": filled})
    assert [x.tobytes() for x in filled] == [x.tobytes() for x in arrays]


class Named(Layer):
    """A layer with one array, of any name."""

    def __init__(self, name):
        vars(self)[name] = tg.Tensor([1.0], requires_grad=True)


@pytest.mark.parametrize("name", ['a"b\n', "a.b", "größe", "sha256", "😀", "$layer", " ", "file"])
def test_any_name(path, name):
    layer = Named(name)
    save(path, {"model": layer, name + "!": {name: 1}})
    vars(layer)[name].data *= 0
    run = load(path, {"model": layer})
    assert vars(layer)[name].item() == 1 and run[name + "!"] == {name: 1}


# ---------------------------------------------------------------- runs and plain values

keys = st.text(max_size=5) | st.integers(-(2**63), 2**63 - 1) | st.sampled_from(["$int", "$"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner)
    ),
    max_leaves=10,
)  # fmt: skip


@given(plain)
@settings(max_examples=60, deadline=None)
def test_plain_values_come_back_as_they_were(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "plain"
    save(path, {"value": value})
    back = load(path)["value"]
    assert back == value and repr(back) == repr(value)  # the repr tells 1 from 1.0 and True


def test_numbers_that_json_has_not(there_and_back):
    values = [math.inf, -math.inf, 10**5000, -(2**64), 2**63, -(2**63), 1e308, 5e-324, 0.1 + 0.2]
    values += [-0.0, "\ud800", "\0", '"sha256":"' + "0" * 64 + '"']
    back = there_and_back({"values": values, "nan": math.nan})
    assert back["values"] == values and str(back["values"][-4]) == "-0.0"
    assert math.isnan(back["nan"])


def test_numpy_numbers_become_those_of_python_and_dicts_become_dicts(there_and_back):
    values = [np.float32(0.1), np.int8(3), np.bool_(True), np.str_("a"), OrderedDict(a=1)]
    back = there_and_back({"values": values})["values"]
    assert back == [float(np.float32(0.1)), 3, True, "a", {"a": 1}]
    assert [type(x) for x in back] == [float, int, bool, str, dict]


def test_a_run_takes_up_the_plain_values_of_the_file_also_those_it_did_not_know(there_and_back):
    run = trained() | {"epochs": 3, "history": {"loss": [0.5]}, "best": np.array([1.0])}
    into = trained(1) | {"epochs": 0, "history": {}}
    found = there_and_back(run, into)
    assert found is into and found["model"] is not run["model"]
    assert found["epochs"] == 3 and found["history"] == {"loss": [0.5]} and found["best"] == [1.0]


def test_arrays_tensors_and_live_things_in_lists_and_dicts_are_filled_in_place(there_and_back):
    def new(seed):
        rng = np.random.default_rng(seed)
        return {
            "models": [Linear(2, 2, rng=rng), {"inner": Linear(2, 2, rng=rng), "note": seed}],
            "pair": (rng.standard_normal(3), tg.Tensor(rng.standard_normal(2)), seed),
            "many": [Linear(1, 1, rng=rng), seed],
        }

    run, into = new(0), new(1)
    before = [*into["pair"][:2], into["models"][0], into["models"][1]["inner"], into["many"][0]]
    there_and_back(run, into)
    assert file_of(into) == file_of(run)
    after = [*into["pair"][:2], into["models"][0], into["models"][1]["inner"], into["many"][0]]
    assert all(x is y for x, y in zip(before, after, strict=True))


def test_nothing_to_fill_gives_arrays_and_values_by_name(there_and_back):
    run = trained() | {"schedule": ReduceOnPlateau(0.5), "epochs": 3, "w": tg.Tensor([1.0, 2.0])}
    found = there_and_back(run)
    assert list(found) == ["model", "optimizer", "schedule", "epochs", "w"]
    assert list(found["model"]) == [name for name, _ in run["model"].named_parameters()]
    assert found["optimizer"]["iterations"] == 1 and found["optimizer"]["0.m"].shape == (3, 4)
    assert found["schedule"]["lr"] == 0.5 and found["w"].tolist() == [1.0, 2.0]
    assert type(found["model"]) is type(found["optimizer"]) is dict
    MLP(3, 4, 2).load_state_dict(found["model"])


def test_an_optimizer_or_a_schedule_alone(there_and_back):
    run = trained()
    other = trained(1)["optimizer"]
    assert there_and_back(run["optimizer"], other) is other
    assert file_of(other) == file_of(run["optimizer"])
    schedule, fresh = ReduceOnPlateau(0.5, patience=0), ReduceOnPlateau(0.5, patience=0)
    for loss in (1.0, 2.0, 3.0):
        schedule.observe(loss)
    assert there_and_back(schedule, fresh) == schedule != ReduceOnPlateau(0.5, patience=0)


def test_a_layer_takes_the_model_of_a_run_and_leaves_chance_alone(path):
    save(path, trained(dropout=0.5) | {"epochs": 1})
    other = trained(1, dropout=0.5)["model"]
    tg.manual_seed(8)
    before = file_of({"rng": other[2].rng})
    load(path, other)
    assert file_of({"rng": other[2].rng}) == before
    assert file_of(other) == file_of(trained(dropout=0.5)["model"])


class Counter:
    """Something of a user's own, that can give and take a state."""

    def __init__(self):
        self.seen = {}

    def state_dict(self):
        return dict(self.seen)

    def load_state_dict(self, state):
        if "bad" in state:
            raise ValueError("bad is not welcome")
        self.seen = state


def test_whatever_has_a_state_dict_can_be_saved(there_and_back):
    counter, other = Counter(), Counter()
    counter.seen = {"words": ["a", 2], "sums": np.ones(2)}
    there_and_back({"counter": counter}, {"counter": other})
    assert other.seen["words"] == ["a", 2] and other.seen["sums"].tolist() == [1, 1]


# ---------------------------------------------------------------- random generators


@pytest.mark.parametrize("kind", GENERATORS)
def test_random_generators_go_on_where_they_were(there_and_back, kind):
    rng = np.random.Generator(getattr(np.random, kind)(3))
    rng.standard_normal(7), rng.integers(10, size=3, dtype="int32")  # a half-used number is kept
    into = {"rng": np.random.Generator(getattr(np.random, kind)())}
    same = into["rng"]
    found = there_and_back({"rng": rng}, into)
    alone = there_and_back({"rng": rng})["rng"]
    expected = rng.integers(10, size=1001, dtype="int32").tolist()
    assert found["rng"] is same
    assert same.integers(10, size=1001, dtype="int32").tolist() == expected
    assert alone.integers(10, size=1001, dtype="int32").tolist() == expected


def test_a_run_keeps_the_default_generator_and_those_inside_of_layers(path):
    tg.manual_seed(5)
    run = {"models": [MLP(2, 2, 2, dropout=0.5, rng=3), Dropout(0.5), Dropout(0.5, rng=4)]}
    save(path, run)
    random = json.loads(header_of(path)["__metadata__"]["random"])
    assert list(random) == ["default", "models.0.layers.2.rng", "models.2.rng"]
    found = [tg.random.as_generator(None), run["models"][0][2].rng, run["models"][2].rng]
    expected = [g.random() for g in found]
    tg.manual_seed(6)
    load(path, run)
    found = [tg.random.as_generator(None), run["models"][0][2].rng, run["models"][2].rng]
    assert [g.random() for g in found] == expected


def test_a_generator_of_another_kind_is_refused(path):
    save(path, {"rng": np.random.Generator(np.random.MT19937(1))})
    rng = np.random.default_rng(1)
    with pytest.raises(CheckpointError, match="rng is of 'MT19937', not of a PCG64"):
        load(path, {"rng": rng})
    assert rng.random() == np.random.default_rng(1).random()


def test_a_generator_must_be_given_back(path):
    """Without it, the run would go on by chance, and nobody would notice."""
    save(path, trained() | {"rng": np.random.default_rng(1)})
    with pytest.raises(CheckpointError, match="unexpected rng"):
        load(path, trained())


# ---------------------------------------------------------------- what does not fit


def refused(path, into, words, **options):
    before = file_of(into)
    with pytest.raises(CheckpointError, match=words) as caught:
        load(path, into, **options)
    assert file_of(into) == before
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_all_names_that_do_not_fit_are_told_in_the_order_of_the_live_objects(path):
    save(path, {"model": MLP(3, 4, 4, 2, rng=0), "optimizer": SGD(lr=0.5)})
    into = {"model": Sequential(Linear(3, 5), Linear(5, 4), Linear(4, 2)), "optimizer": Adam()}
    words = refused(path, into, "nothing was loaded").split(": ", 2)[2]
    assert words.split("; ") == [
        "missing model.layers.1.weight",
        "missing model.layers.1.bias",
        "unexpected model.layers.4.weight",
        "unexpected model.layers.4.bias",
        "model.layers.0.weight has shape (3, 4), not (3, 5)",
        "model.layers.0.bias has shape (4,), not (5,)",
        "model.layers.2.weight has shape (4, 4), not (4, 2)",
        "model.layers.2.bias has shape (4,), not (2,)",
        *(f"missing optimizer.{name}" for name in ("beta_1", "beta_2", "epsilon", "amsgrad")),
        *(f"unexpected optimizer.{name}" for name in ("momentum", "nesterov")),
    ]


def test_long_lists_are_shortened(path):
    save(path, MLP(*[2] * 30, rng=0))
    assert "; and 40 more" in refused(path, Linear(2, 2), "nothing was loaded")


@pytest.mark.parametrize(
    ("saved", "into", "words"),
    [
        (Linear(2, 1), {"model": Linear(2, 1)}, r"\(weight, bias\) is a layer.* a dict"),
        ({"net": Linear(2, 1)}, Linear(2, 1), r"\(net\) is a dict, and what is given a layer"),
        ({"a": Linear(2, 1)}, {"b": Linear(2, 1)}, "missing b; unexpected a"),
        ({"a": 1}, {"a": Linear(2, 1)}, "a is a plain value, and what is given a layer"),
        ({"a": Linear(2, 1)}, {"a": 1}, "a is a layer, and what is given a plain value"),
        ({"a": np.ones(2)}, {"a": Linear(2, 1)}, "a is an array, and what is given a layer"),
        ({"a": [Linear(2, 1)]}, {"a": []}, "a is a list, and what is given a plain value"),
        ({"a": [Linear(2, 1), 1]}, {"a": [Linear(2, 1)]}, "a has 2 entries in the file, not 1"),
        ({"a": (Linear(2, 1),)}, {"a": [Linear(2, 1)]}, "a is a tuple, and what is given a list"),
        ({"a": np.ones(2)}, {"a": np.ones(3)}, r"a has shape \(2,\), not \(3,\)"),
        ({"a": np.ones(2)}, {"a": np.ones(2, "i8")}, "a has dtype float64, not int64"),
        (Linear(2, 1), SGD(lr=0.5), "is a layer, and what is given a state"),
        ({"a": 1}, {"a": 1, "b": 2}, "missing b"),
        ({"a": Dropout(0.5)}, {"a": Dropout(0.5, rng=1)}, "missing random.a.rng"),
        ({"a": Dropout(0.5, rng=1)}, {"a": Dropout(0.5)}, "unexpected random.a.rng"),
        (SGD(lr=0.5), ReduceOnPlateau(0.5), "nothing was loaded.*ReduceOnPlateau"),
    ],
)
def test_other_things_than_were_saved_are_refused(path, saved, into, words):
    save(path, saved)
    refused(path, into, words)


def test_another_precision_is_refused_unless_cast_says_so(path):
    single, double = Linear(2, 2, rng=0), Linear(2, 2, rng=1)
    double.weight.data = double.weight.data.astype("f8")
    double.bias.data = double.bias.data.astype("f8")
    save(path, {"model": single, "optimizer": Adam(single)})
    into = {"model": double, "optimizer": Adam(double)}
    words = refused(path, into, r"model.weight has dtype float32, not float64 \(cast=True conv")
    assert "optimizer.0.m has dtype float32, not float64" in words
    load(path, into, cast=True)
    assert double.weight.dtype == "float64" and (double.weight.data == single.weight.data).all()
    double.weight.data += 1e300
    save(path, double)
    refused(
        path,
        single,
        "weight has dtype float64, not float32, and numbers too large for it",
        cast=True,
    )


def test_casting_is_between_floating_numbers_only(path):
    save(path, {"a": np.ones(2, "i4")})
    refused(path, {"a": np.ones(2, "i8")}, "a has dtype int32, not int64", cast=True)
    refused(path, {"a": np.ones(2)}, "a has dtype int32, not float64", cast=True)


def test_an_array_that_cannot_be_written_into_is_told_beforehand(path):
    layer = Linear(2, 1)
    layer.mask = np.broadcast_to(1.0, (3,))
    save(path, layer)
    refused(path, layer, "mask is an array that cannot be written into")


# ---------------------------------------------------------------- all or nothing


def test_if_the_optimizer_refuses_the_model_has_not_changed(path):
    run = trained()
    save(path, run)
    good = load(path)
    for name, odd in {
        "iterations": -1, "lr": -0.5, "beta_1": 7.0, "0.m": np.full((3, 4), np.nan, "f4"),
        "1.v": np.ones(5, "f4"),
    }.items():  # fmt: skip
        state = Counter()
        state.seen = {**good["optimizer"], name: odd}
        save(path, {"model": MLP(3, 4, 2, rng=9), "optimizer": state})
        with pytest.raises(CheckpointError, match="optimizer: nothing was loaded") as caught:
            before = file_of(run)
            load(path, run)
        assert isinstance(caught.value.__cause__, ValueError)
        assert file_of(run) == before


def test_if_the_last_part_refuses_those_before_go_back(path):
    def new(seed, last):
        counter = Counter()
        counter.seen = last
        return {
            **trained(seed),
            "plateau": ReduceOnPlateau(0.5 + seed),
            "rng": np.random.default_rng(seed),
            "epochs": seed,
            "counter": counter,
        }

    save(path, new(1, {"bad": 1}))
    refused(path, new(0, {}), "counter: nothing was loaded: bad is not welcome")


class Interrupting(Counter):
    """Somebody presses Ctrl-C just when this takes over its state."""

    def load_state_dict(self, state):
        super().load_state_dict(state)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)


def test_ctrl_c_while_things_are_filled_finds_them_filled(path):
    run, other = ({"first": Interrupting(), **trained(seed)} for seed in (0, 1))
    run["first"].seen = {"a": 1}
    save(path, run)
    with pytest.raises(KeyboardInterrupt):
        load(path, other)
    assert file_of(other) == file_of(run)


def test_what_a_load_needs_is_twice_the_file_at_most(path):
    run, other = trained(0, (500, 1000)), trained(1, (500, 1000))
    save(path, run)
    size = path.stat().st_size
    for into in (other, None):
        tracemalloc.start()
        load(path, into)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * size + 100_000


# ---------------------------------------------------------------- the file


def test_every_reader_of_safetensors_can_open_it(path):
    run = trained() | {"epochs": 3, "words": "größe"}
    save(path, run)
    arrays = safetensors.numpy.load_file(path)
    assert arrays["model.layers.0.weight"].tobytes() == run["model"][0].weight.data.tobytes()
    assert {"optimizer.0.m", "optimizer.3.v"} <= set(arrays)
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert list(header_of(path)["__metadata__"]) == [
        "format",
        "version",
        "sha256",
        "values",
        "random",
    ]
    assert metadata["format"] == "tinygrad_edu checkpoint" and metadata["version"] == "1"
    assert json.loads(metadata["values"])["epochs"] == 3


def test_a_file_without_arrays(there_and_back):
    assert there_and_back({}, {}) == {}
    assert there_and_back(CosineDecay(0.1, 5), CosineDecay(0.1, 5)) == CosineDecay(0.1, 5)


def test_arrays_of_other_programs_are_loaded_only_if_one_says_so(path):
    layer = Linear(2, 1, rng=0)
    safetensors.numpy.save_file(layer.state_dict(), path)
    other = Linear(2, 1, rng=1)
    refused(path, other, "without our checksum.*format='safetensors'")
    assert load(path, other, format="safetensors") is other
    assert file_of(other) == file_of(layer)
    assert sorted(load(path, format="safetensors")) == ["bias", "weight"]
    with pytest.raises(TypeError, match="into: with format='safetensors'.*give a layer"):
        load(path, {"model": other}, format="safetensors")
    with pytest.raises(ValueError, match="format='keras'; give"):
        load(path, other, format="keras")


# ---------------------------------------------------------------- what cannot be saved


@pytest.mark.parametrize(
    "odd",
    [lambda: 1, {1, 2}, b"bytes", 1j, Fraction(1, 2), object(), np.longdouble(1), range(3), MLP],
)
def test_what_cannot_be_saved_is_named(path, odd):
    with pytest.raises(TypeError, match=r"save: a\.0 is a .*A checkpoint holds layers"):
        save(path, {"a": [odd]})
    with pytest.raises(TypeError, match="save: .*give a layer, an optimizer"):
        save(path, odd)
    assert not path.exists()


@pytest.mark.parametrize("dtype", ["O", "U3", "c16", "longdouble", "M8[s]", "f4,i4"])
def test_dtypes_that_cannot_be_saved_are_named(path, dtype):
    with pytest.raises(TypeError, match="save: a has dtype .*convert it to one of float64"):
        save(path, {"a": np.zeros(2, dtype)})


def test_names_that_cannot_be_saved(path):
    for what in (
        {"a.b": np.ones(1), "a": {"b": np.ones(1)}},
        {"\ud800": np.ones(1)},
        {"__metadata__": np.ones(1)},
    ):
        with pytest.raises(CheckpointError, match="cannot be the name of an array"):
            save(path, what)


def test_what_is_inside_itself_or_too_long_is_refused(path):
    endless = {}
    endless["a"] = endless
    with pytest.raises(CheckpointError, match="nested more than 100 deep"):
        save(path, endless)
    with pytest.raises(CheckpointError, match="let long lists be NumPy arrays"):
        save(path, {"a": "x" * 5_000_000})
    assert not path.exists()


def test_the_path_comes_first(path):
    layer = Linear(2, 1)
    for swapped in (save, load, export_npz):
        with pytest.raises(TypeError, match="the path comes first; a Linear is none"):
            swapped(layer, path)
    with pytest.raises(TypeError, match="load, into: .*is a str; give a layer"):
        load(path, "model")


def test_a_missing_folder_is_told_before_the_work_is_done(tmp_path):
    class Never(Layer):
        def state_dict(self):
            raise AssertionError("too late")

    for function in (save, export_npz):
        with pytest.raises(FileNotFoundError, match="there is no such folder"):
            function(tmp_path / "none/file", Never())


def test_a_missing_file_is_a_missing_file(path):
    with pytest.raises(FileNotFoundError, match=r"run\.safetensors"):
        load(path)
    with pytest.raises(CheckpointError, match="this is no file"):
        load(path.parent)


# ---------------------------------------------------------------- for NumPy


def test_an_npz_file_has_the_arrays(tmp_path):
    model = Sequential(Linear(2, 3, rng=0), BatchNorm(3), Named("file"))
    path = tmp_path / "weights.npz"
    export_npz(path, model)
    with np.load(path) as found:
        assert list(found) == list(model.state_dict())
        for name, array in model.state_dict().items():
            assert found[name].dtype == array.dtype and (found[name] == array).all()
    first = path.read_bytes()
    export_npz(path, model)
    assert path.read_bytes() == first
    with pytest.raises(TypeError, match="export_npz: .*give a layer"):
        export_npz(path, SGD(lr=0.5))
