"""Files that are damaged, made up, or of another kind: refused, and nothing has changed.

The checksum finds damage. Whoever makes a file on purpose can work out its checksum, too: the files
of the second half have right ones, and are refused for what they say.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import safetensors.numpy

import tinygrad_edu as tg
from tinygrad_edu.checkpoints import CheckpointError, files, load, save
from tinygrad_edu.layers import Dropout, Linear, Sequential

SMALL = 1_000_000  # bytes: for the header as objects, and the error with what it passed through


def new_run(seed=0):
    model = Sequential(Linear(3, 4, rng=seed), Dropout(0.5, rng=seed), Linear(4, 2, rng=seed))
    optimizer = tg.optimizers.Adam(model)
    optimizer.minimize(lambda: (model(np.ones((2, 3), "float32")) ** 2).mean())
    generators = [np.random.Generator(kind(seed)) for kind in (np.random.MT19937, np.random.Philox)]
    return {"model": model, "optimizer": optimizer, "rngs": generators, "epochs": seed}


def bits(run):
    """Everything there is to a run; two are the same run if these are the same bytes."""
    return [bytes(piece) for piece in files._sealed(*files._packed(run))]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints") / "run"
    tg.save(path, new_run(seed=1))
    return path.read_bytes()


@pytest.fixture
def refused(tmp_path):
    """Is this file refused by `load`, without a trace, and without much memory?"""
    run, path = new_run(), tmp_path / "bad"
    before = bits(run)

    def check(content, words=None):
        path.write_bytes(content)
        for into in (run, None):
            tracemalloc.start()
            try:
                with pytest.raises(CheckpointError, match=words) as caught:
                    load(path, into)
                assert str(path) in str(caught.value) and len(str(caught.value)) < 3000
                assert tracemalloc.get_traced_memory()[1] < 2 * len(content) + SMALL
            finally:
                tracemalloc.stop()

    yield check
    assert bits(run) == before


# ---------------------------------------------------------------- damage


def cut(content, rng):
    return content[: rng.integers(len(content))]


def flipped(content, rng):
    changed = bytearray(content)
    changed[rng.integers(len(content))] ^= 1 << rng.integers(8)
    return bytes(changed)


def swapped(content, rng):
    """Two blocks in each other's place, as a confused disk might have it."""
    size = int(rng.integers(1, 200))
    a, b = sorted(rng.choice(len(content) // size, 2, replace=False) * size)
    first, second = content[a : a + size], content[b : b + size]
    return content[:a] + second + content[a + size : b] + first + content[b + size :]


def overwritten(content, rng):
    start, size = rng.integers(len(content)), rng.integers(1, 100)
    noise = rng.bytes(size) if rng.random() < 0.5 else bytes(size)
    return (content[:start] + noise + content[start + size :])[: len(content)]


def longer(content, rng):
    return content + rng.bytes(rng.integers(1, 100))


@pytest.mark.parametrize("damage", [cut, flipped, swapped, overwritten, longer])
def test_damage_is_refused_400_times_each(saved, refused, damage):
    rng, tried = np.random.default_rng(5), 0
    while tried < 400:
        content = damage(saved, rng)
        if content != saved:
            refused(content)
            tried += 1


def test_every_bit_of_the_checksum_itself_counts(saved, refused):
    start = saved.index(b'"sha256":"') + 10
    for i in range(64):
        for bit in range(8):
            changed = bytearray(saved)
            changed[start + i] ^= 1 << bit
            refused(bytes(changed))


# ---------------------------------------------------------------- files of other kinds


def test_other_kinds_of_files_are_named(refused, tmp_path):
    np.save(tmp_path / "a.npy", np.ones(3))
    np.savez(tmp_path / "a.npz", a=np.ones(3))
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    for content, words in {
        b"": "an empty file",
        b"\x07": "no checkpoint",
        b"x" * 5000: "no checkpoint",
        bytes(5000): "no checkpoint",
        pickle.dumps({"a": 1}): "a pickle; to open one may run any program",
        (tmp_path / "a.npy").read_bytes(): "a .npy file",
        (tmp_path / "a.npz").read_bytes(): "a zip file: np.load opens an .npz",
        (tmp_path / "a.pt").read_bytes(): "PyTorch",
        b"\x89HDF\r\n\x1a\n" + bytes(100): "an HDF5 file",
        b"\x1f\x8b" + bytes(100): "a gzip file",
    }.items():
        refused(content, words)


def test_a_safetensors_file_of_another_program_is_told_apart_from_damage(refused):
    refused(raw({"w": entry([1], 0, 4)}, bytes(4)), "without our checksum.*format='torch'")


# ---------------------------------------------------------------- made up, with a right checksum


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def raw(header, body=b""):
    if not isinstance(header, bytes):
        header = json.dumps(header, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header + body


def seal(content):
    """Put the right checksum into a file that has 64 zeros for it."""
    digest = hashlib.sha256(content).hexdigest().encode()
    return content.replace(b'"sha256":"' + b"0" * 64, b'"sha256":"' + digest)


def metadata(values, **changes):
    return {
        "format": files.FORMAT,
        "version": files.VERSION,
        "sha256": "0" * 64,
        "values": values if isinstance(values, str) else json.dumps(values),
        "random": json.dumps(DEFAULT),
    } | changes


DEFAULT = {"default": {"$generator": {"bit_generator": "PCG64", "state": {"state": 1, "inc": 1}}}}
DEFAULT["default"]["$generator"] |= {"has_uint32": 0, "uinteger": 0}
WEIGHT = {"model": {"$layer": ["weight", "bias"]}}
ARRAYS = {"model.weight": entry([2, 1], 0, 8), "model.bias": entry([1], 8, 12)}


def sealed(values=WEIGHT, arrays=ARRAYS, body=bytes(12), **changes):
    return seal(raw({"__metadata__": metadata(values, **changes)} | arrays, body))


def test_made_up_files_are_made_well(tmp_path):
    """Otherwise the tests below would test nothing."""
    (tmp_path / "good").write_bytes(sealed())
    layer = Linear(2, 1)
    load(tmp_path / "good", {"model": layer})
    assert not layer.weight.data.any()


def header_text(*pieces):
    """A header with things that json.dumps does not write."""
    first = json.dumps(metadata(WEIGHT), separators=(",", ":"))
    return seal(
        raw(("{" + ",".join((f'"__metadata__":{first}', *pieces)) + "}").encode(), bytes(12))
    )


GOOD = json.dumps(ARRAYS)[1:-1]
BIG = 2**64
HEADERS = {
    "declared 2**64": sealed(arrays={**ARRAYS, "model.bias": entry([BIG], 8, 12)}),
    "2**63 times 0": sealed(arrays=ARRAYS | {"model.bias": entry([0, 2**63], 8, 8)}, body=bytes(8)),
    "product wraps to 0": sealed(arrays={**ARRAYS, "model.bias": entry([2**32, 2**32], 8, 8)}),
    "offsets of 2**64": sealed(arrays={**ARRAYS, "model.bias": entry([1], 8, BIG)}),
    "shape of -1": sealed(arrays={**ARRAYS, "model.bias": entry([-1], 8, 12)}),
    "shape of 1.0": sealed(arrays={**ARRAYS, "model.bias": entry([1.0], 8, 12)}),
    "shape of True": sealed(arrays={**ARRAYS, "model.bias": entry([True], 8, 12)}),
    "shape of text": sealed(arrays={**ARRAYS, "model.bias": entry("1", 8, 12)}),
    "100 axes": sealed(arrays={**ARRAYS, "model.bias": entry([1] * 100, 8, 12)}),
    "overlapping": sealed(arrays={**ARRAYS, "model.bias": entry([1], 4, 8)}, body=bytes(8)),
    "with a hole": sealed(arrays={**ARRAYS, "model.bias": entry([1], 12, 16)}, body=bytes(16)),
    "backwards": sealed(arrays={**ARRAYS, "model.bias": entry([1], 12, 8)}),
    "behind the end": sealed(body=bytes(8)),
    "more behind the end": sealed(body=bytes(20)),
    "size and shape differ": sealed(arrays={**ARRAYS, "model.bias": entry([2], 8, 12)}),
    "unknown dtype": sealed(arrays={**ARRAYS, "model.bias": entry([1], 8, 12, "F31")}),
    "bfloat16": sealed(arrays={**ARRAYS, "model.bias": entry([2], 8, 12, "BF16")}),
    "dtype is a list": sealed(arrays={**ARRAYS, "model.bias": entry([1], 8, 12, ["F32"])}),
    "an entry of nothing": sealed(arrays={**ARRAYS, "model.bias": {}}),
    "an entry of text": sealed(arrays={**ARRAYS, "model.bias": "F32"}),
    "an array twice": header_text(GOOD, '"model.bias":' + json.dumps(ARRAYS["model.bias"])),
    "metadata twice": header_text(GOOD, '"__metadata__":{}'),
    "nan": header_text(GOOD, '"x":NaN'),
    "1e999": header_text(GOOD, '"x":1e999'),
    "too many digits": header_text(GOOD, '"x":' + "9" * 5000),
    "a half surrogate": header_text(GOOD, '"\\ud800":' + json.dumps(entry([0], 12, 12))),
    "deep": header_text(GOOD, '"x":' + "[" * 100_000 + "]" * 100_000),
    "metadata of lists": sealed(sha256="0" * 64, other=["a"]),
    "metadata of numbers": sealed(version=1),
    "another version": sealed(version="2"),
    "another format": sealed(format="safetensors"),
    "the checksum twice": seal(
        raw({"__metadata__": metadata(WEIGHT, other="")} | ARRAYS, bytes(12)).replace(
            b'"other":""', b'"sha256":"' + b"1" * 64 + b'"'
        )
    ),
    "a second checksum": sealed(
        arrays={**ARRAYS, "model.bias": {**entry([1], 8, 12), "sha256": "1" * 64}}
    ),
    "no utf-8": seal(
        raw(json.dumps({"__metadata__": metadata(WEIGHT)}).encode().replace(b"values", b"\xff"))
    ),
    "no JSON": seal(raw(b'{"sha256":"' + b"0" * 64 + b'"')),
    "a list": seal(raw(b'{"sha256":"' + b"0" * 64 + b'"}')),
    "nothing at all": seal(raw(b'{"__metadata__":{"sha256":"' + b"0" * 64 + b'"}}')),
    "header length 2**64 - 1": b"\xff" * 8 + sealed()[8:],
    "header length 2**63": (2**63).to_bytes(8, "little") + sealed()[8:],
    "header length of a byte too many": (len(sealed()) - 7).to_bytes(8, "little") + sealed()[8:],
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_make_no_sense_are_refused(refused, name):
    refused(HEADERS[name])


MT = {"bit_generator": "MT19937", "state": {"key": {"$array": None}, "pos": 624}}
KEY = {"rng.state.key": entry([624], 0, 2496, "U32")}


def generator(values, arrays=(), body=b"", **changes):
    return sealed({"rng": {"$generator": values}}, dict(arrays), body, **changes)


def alone(values, **changes):
    return sealed(values, {}, b"", **changes)


VALUES = {
    "unknown mark": alone({"x": {"$pickle": "cos\nsystem"}}),
    "mark and more": alone({"x": {"$int": "0x1", "y": 1}}),
    "an int of nothing": alone({"x": {"$int": None}}),
    "an int of words": alone({"x": {"$int": "print()"}}),
    "a float of words": alone({"x": {"$float": "1e5"}}),
    "a float of a list": alone({"x": {"$float": []}}),
    "a tuple of a dict": alone({"x": {"$tuple": {}}}),
    "pairs of three": alone({"x": {"$dict": [[1, 2, 3]]}}),
    "a key of a list": alone({"x": {"$dict": [[[], 2]]}}),
    "a state of a list": alone({"x": {"$state": []}}),
    "a state in a state": alone({"x": {"$state": {"$state": {}}}}),
    "an array that is not there": sealed({**WEIGHT, "x": {"$array": None}}),
    "a layer without one": sealed({"model": {"$layer": ["weight", "bias", "more"]}}),
    "a layer with one twice": sealed({"model": {"$layer": ["weight", "bias", "bias"]}}),
    "a layer of no names": sealed({"model": {"$layer": {"weight": 1}}}),
    "an array of nobody": sealed({"model": {"$layer": ["weight"]}}),
    "two things at one place": sealed({"a": {"model.weight": {"$array": None}}, **WEIGHT}),
    "deep": alone("[" * 5000 + "]" * 5000),
    "very deep": alone("[" * 100_000 + "]" * 100_000),
    "deep enough for JSON": alone('{"a":' * 900 + "1" + "}" * 900),
    "nan": alone('{"a":NaN}'),
    "infinity": alone('{"a":-Infinity}'),
    "1e999": alone('{"a":1e999}'),
    "a name twice": alone('{"a":1,"a":2}'),
    "more digits than we write": alone('{"a":' + "9" * 25 + "}"),
    "too many digits": alone('{"a":' + "9" * 5000 + "}"),
    "no JSON": alone("{'a': 1}"),
    "no text": alone(values=""),
    "random: none": sealed(random="null"),
    "random: a number": sealed(random='{"default":1}'),
    "random: a list": sealed(random="[]"),
    "random: no JSON": sealed(random="{"),
    "random: of nobody": sealed(random=json.dumps({**DEFAULT, "x": {"$array": None}})),
    "generator: a place behind the end": generator(
        {**MT, "state": {"key": {"$array": None}, "pos": 10**9}}, KEY, bytes(2496)
    ),
    "generator: a place before the beginning": generator(
        {**MT, "state": {"key": {"$array": None}, "pos": -1}}, KEY, bytes(2496)
    ),
    "generator: a short key": generator(MT, {"rng.state.key": entry([5], 0, 20, "U32")}, bytes(20)),
    "generator: a key of floats": generator(
        MT, {"rng.state.key": entry([624], 0, 2496)}, bytes(2496)
    ),
    "generator: a key of numbers": generator({**MT, "state": {"key": [0] * 624, "pos": 1}}),
    "generator: too large": generator(
        {**DEFAULT["default"]["$generator"], "state": {"state": {"$int": hex(2**200)}, "inc": 1}}
    ),
    "generator: an overflow": generator({**DEFAULT["default"]["$generator"], "uinteger": 2**40}),
    "generator: a truth for a number": generator(
        {**DEFAULT["default"]["$generator"], "uinteger": True}
    ),
    "generator: half of a state": generator({"bit_generator": "PCG64", "state": {"state": 1}}),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_make_no_sense_are_refused(refused, name):
    refused(VALUES[name])


def test_values_that_make_sense_are_not(tmp_path):
    (tmp_path / "good").write_bytes(alone({"x": {"$tuple": [{"$int": "0x1"}]}}))
    assert load(tmp_path / "good") == {"x": (1,)}


def test_a_header_of_more_than_4_mb_is_refused_before_it_is_parsed(refused):
    refused(alone({"x": "x" * 5_000_000}), "longer than 4,194,304 bytes")


def test_both_readings_of_the_header_must_agree(refused, monkeypatch):
    """Ours, which refuses names that stand twice, and that of the library."""
    for arrays in ({"w": np.ones(2)}, {"w": np.ones(1), "b": np.ones(1)}, {}):
        monkeypatch.setattr(safetensors.numpy, "load", lambda content, arrays=arrays: arrays)
        refused(
            sealed({"w": {"$array": None}}, {"w": entry([1], 0, 4)}, bytes(4)), "something else"
        )


def test_arrays_of_bools_hold_bools_only(refused):
    content = sealed({"a": {"$array": None}}, {"a": entry([2], 0, 2, "BOOL")}, b"\x01\x02")
    refused(content, "bools")


def test_keys_that_could_all_have_one_hash_are_refused(tmp_path):
    """Python keeps k (2^61 - 1) in one place for every k: 50,000 of them took 26 seconds."""
    path = tmp_path / "run"
    with pytest.raises(TypeError, match="a key beyond 64 bits"):
        save(path, {"values": {2**64: 1}})
    pairs = [[{"$int": hex(k * (2**61 - 1))}, 0] for k in range(5, 10)]
    path.write_bytes(alone({"values": {"$dict": pairs}}))
    with pytest.raises(CheckpointError, match="its metadata"):
        load(path)


def test_what_is_nothing_of_ours_is_not_read_to_its_end(tmp_path):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(200 * 2**30)  # a hole of 200 GB
    with pytest.raises(CheckpointError, match="this is"):
        load(tmp_path / "large")
