"""Checkpoints: what was learned, on disk, and back again to the bit.

    tg.save("run.safetensors", {"model": model, "optimizer": optimizer, "epochs": 3})
    run = tg.load("run.safetensors", {"model": model, "optimizer": optimizer})

A checkpoint is one file in the format of safetensors: the length of a header, the header in JSON,
the numbers. The library of that name lays out the arrays, and every program that uses it can read
them. Into the header's `__metadata__`, where the format has room for words, we write all that is no
array (see packing.py) and the SHA-256 of the whole file, so that no damage goes unnoticed. Nothing
in a file is ever executed.

atomic.py writes files whole or not at all; filling.py compares and fills; torch_weights.py knows
how PyTorch calls things.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO, TypeVar, overload

import numpy as np
import safetensors.numpy

from tinygrad_edu.arrays import Array
from tinygrad_edu.checkpoints.atomic import Path, destination, write_whole
from tinygrad_edu.checkpoints.filling import Filling
from tinygrad_edu.checkpoints.packing import (
    DTYPES,
    CheckpointError,
    GeneratorState,
    LayerState,
    Packing,
    Unpacking,
    generators,
    has_state,
    state_problem,
)
from tinygrad_edu.checkpoints.torch_weights import from_torch, match_torch
from tinygrad_edu.layers import Layer

__all__ = ["CheckpointError", "export_npz", "from_torch", "load", "save"]

Live = TypeVar("Live")

FORMAT, VERSION = "tinygrad_edu checkpoint", "1"
LONGEST = 4 * 2**20  # bytes of a header; as Python objects they may become 20 times as many
UNKNOWN = b"0" * 64  # stands for the digest while it is computed
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')


def save(path: Path, what: Any) -> None:
    """Save a layer, an optimizer, a schedule, or a run: a dict of these, and of plain values.

    Plain are numbers, texts, None, arrays, Tensors, `numpy.random.Generator`s, and lists, tuples
    and dicts of these. With a run, the default generator and those inside of its layers are saved,
    too. The file is replaced as a whole, or stays as it was.

    Raises TypeError for what cannot be saved, OSError if the file cannot be written,
    CheckpointError for plain values of more than 4 MB, nested too deeply, or with impossible names.

    >>> import tempfile, tinygrad_edu as tg
    >>> model = tg.layers.Linear(2, 1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(folder + "/run.safetensors", {"model": model, "epochs": 3})
    ...     load(folder + "/run.safetensors", {"model": model})["epochs"]
    3
    """
    _check_path(path, "save(path, what)")
    _check_kind(what, "save")
    destination(path)  # is there a folder? Better to know before the work is done
    before, after = _sealed(*_packed(what))
    write_whole(path, lambda file: (file.write(before), file.write(after)))


@overload
def load(path: Path, into: None = None, *, format: str = ..., cast: bool = ...) -> Any: ...
@overload
def load(path: Path, into: Live, *, format: str = ..., cast: bool = ...) -> Live: ...
def load(path: Path, into: Any = None, *, format: str = "tinygrad_edu", cast: bool = False) -> Any:
    """Fill `into` with what was saved, all of it or nothing, and return it.

    `into` is what `save` was given, made anew: a layer, an optimizer, a schedule, or a dict of live
    things under the same names. A dict takes up the plain values of the file; a layer, given a
    run, takes its part "model". With nothing to fill, the arrays and values are returned by name.

    `format="torch"` loads a `state_dict` that PyTorch's users have saved by
    `safetensors.torch.save_file`, `format="safetensors"` arrays of any program that have our names;
    both into a layer. With `cast=True`, floating numbers may have another precision than here.

    Raises CheckpointError, and then nothing has changed, for a damaged file, for another kind of
    file, and for names, shapes and dtypes that are not those of `into`.
    """
    _check_path(path, "load(path, into)")
    if format not in ("tinygrad_edu", "safetensors", "torch"):
        raise ValueError(f"load: format={format!r}; give 'tinygrad_edu', 'safetensors' or 'torch'.")
    if into is not None:
        _check_kind(into, f"load, into: with format={format!r}", format != "tinygrad_edu")
    source = os.fspath(path)
    try:
        saved, random = _saved(source, ours=format == "tinygrad_edu")
        if into is None:
            return _revived(saved)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}.") from error
    if isinstance(into, Layer) and type(saved) is dict and "model" in saved:
        saved, random = saved["model"], {}
    filling = Filling(cast)
    if format == "torch":
        match_torch(saved, into, filling)
    else:
        filling.match(saved, into)
    if random and not filling.problems:
        _match_generators(random, filling)
    filling.finish(source)
    return into


def export_npz(path: Path, layer: Layer) -> None:
    """Write the arrays of a layer as an .npz file, for `numpy.load`; whole, or not at all."""
    _check_path(path, "export_npz(path, layer)")
    _check_kind(layer, "export_npz", only_layers=True)
    destination(path)
    arrays = layer.state_dict()

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:  # np.savez has no room for the name "file"
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy")  # without the time: same arrays, same bytes
                with archive.open(member, "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)

    write_whole(path, write)


def _check_path(path: Any, usage: str) -> None:
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"{usage}: the path comes first; a {type(path).__name__} is none.")


def _check_kind(x: Any, who: str, only_layers: bool = False) -> None:
    if not isinstance(x, Layer) and (only_layers or not (isinstance(x, dict) or has_state(x))):
        wanted = (
            "a layer" if only_layers else "a layer, an optimizer, a schedule, or a dict of these"
        )
        raise TypeError(f"{who}: {x!r:.60} is a {type(x).__name__}; give {wanted}.")


# ---------------------------------------------------------------- writing


def _packed(what: Any) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays by name, and all else as texts."""
    packing = Packing()
    texts = {"values": _json(packing.pack(what))}
    if isinstance(what, dict):
        random = packing.pack(generators(packing.layers), "random")
        texts["random"] = _json(random)
    return packing.arrays, texts


def _sealed(arrays: dict[str, Array], texts: dict[str, str]) -> tuple[bytes, memoryview]:
    """The file, in two pieces: up to the numbers, and the numbers."""
    file = memoryview(safetensors.numpy.save(arrays))
    end = 8 + int.from_bytes(file[:8], "little")
    names = bytes(file[8:end]).strip()
    metadata = {"format": FORMAT, "version": VERSION, "sha256": UNKNOWN.decode(), **texts}
    comma = b"," if arrays else b""
    header = b'{"__metadata__":' + _json(metadata).encode() + comma + names[1:]
    header += b" " * (-len(header) % 8)
    if len(header) > LONGEST:
        raise CheckpointError(
            f"save: names and plain values take {len(header):,} bytes, more than {LONGEST:,}; let "
            "long lists be NumPy arrays."
        )
    start = len(header).to_bytes(8, "little") + header
    digest = hashlib.sha256(start)
    digest.update(file[end:])
    known = b'"sha256":"' + digest.hexdigest().encode()
    return start.replace(b'"sha256":"' + UNKNOWN, known, 1), file[end:]


def _json(x: Any) -> str:
    return json.dumps(x, separators=(",", ":"), allow_nan=False)


# ---------------------------------------------------------------- reading


def _saved(source: str, ours: bool) -> tuple[Any, dict[str, GeneratorState]]:
    """What was saved, with a state for all that was alive; and the states of random generators."""
    arrays, metadata = _read(source, ours)
    return _contents(arrays, metadata) if ours else (LayerState(arrays), {})


def _read(source: str, ours: bool) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of a file, or a CheckpointError. The digest is looked at before all else.

    The file is read once. What is parsed afterwards is at most LONGEST bytes of JSON.
    """
    if os.path.exists(source) and not os.path.isfile(source):
        raise CheckpointError("this is no file")
    with open(source, "rb") as stream:
        file = stream.read(16)  # enough to know it by
        end, size = 8 + int.from_bytes(file[:8], "little"), os.fstat(stream.fileno()).st_size
        if len(file) < 8 or end > size or file[8:9] != b"{":
            raise CheckpointError(f"this is {_what_it_is(file)}")
        stream.seek(0)
        file = stream.read()
    if end > 8 + LONGEST:
        raise CheckpointError(f"its header is longer than {LONGEST:,} bytes")
    if ours:
        _check_digest(file, end)
    try:
        described = _parsed(file[8:end].decode())
        metadata = described.pop("__metadata__", {})
        _check_dtypes(described)
        arrays = safetensors.numpy.load(file)
        shapes = {name: entry["shape"] for name, entry in described.items()}
        if shapes != {name: [*x.shape] for name, x in arrays.items()}:
            raise ValueError("the safetensors library reads something else in it")
    except MemoryError:
        raise
    except Exception as error:  # whatever Python or the library say to a file that was made up
        raise CheckpointError(f"its header is not as it should be: {error!s:.300}") from error
    if any(x.dtype == bool and x.view(np.uint8).max(initial=0) > 1 for x in arrays.values()):
        raise CheckpointError("one of its arrays of bools holds something else")
    return arrays, metadata


def _check_digest(file: bytes, end: int) -> None:
    places = list(DIGEST.finditer(file, 8, end))
    if len(places) != 1:
        raise CheckpointError(
            "this is a safetensors file without our checksum. If another program wrote it, say "
            "format='torch' for a state_dict of PyTorch, format='safetensors' for arrays under our "
            "names; otherwise it is damaged"
        )
    start, stop = places[0].span(1)
    view = memoryview(file)
    digest = hashlib.sha256(view[:start])
    digest.update(UNKNOWN)
    digest.update(view[stop:])
    if digest.hexdigest().encode() != places[0][1]:
        raise CheckpointError("the file is damaged: its checksum is not the one that was written")


def _check_dtypes(described: Any) -> None:
    for name, entry in described.items():
        if entry["dtype"] not in DTYPES:
            raise CheckpointError(f"{name} has dtype {entry['dtype']}, which NumPy does not have")


FOREIGN = [  # how files begin, and what they are
    (b"PK\x03\x04", "a zip file: np.load opens an .npz; one of PyTorch holds a pickle"),
    (b"\x80", "a pickle; to open one may run any program, so nothing here does"),
    (b"\x93NUMPY", "a .npy file, for np.load"),
    (b"\x89HDF", "an HDF5 file, perhaps of Keras"),
    (b"\x1f\x8b", "a gzip file"),
]


def _what_it_is(file: bytes) -> str:
    if not file:
        return "an empty file"
    known = [what for beginning, what in FOREIGN if file.startswith(beginning)]
    return known[0] if known else "no checkpoint, or only a part of one"


def _contents(
    arrays: dict[str, Array], metadata: Mapping[str, Any]
) -> tuple[Any, dict[str, GeneratorState]]:
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise CheckpointError(
            f"this is version {metadata.get('version')!r:.40} of {metadata.get('format')!r:.40}; "
            f"what can be read is version {VERSION!r} of {FORMAT!r}"
        )
    try:
        unpacking = Unpacking(arrays)
        saved = unpacking.unpack(_parsed(metadata["values"]))
        random = {}
        if type(saved) is dict:
            random = unpacking.unpack(_parsed(metadata["random"]), "random")
    except (CheckpointError, KeyError) as error:
        raise CheckpointError(f"its metadata is not as it should be: {error!s:.300}") from error
    if arrays:
        raise CheckpointError(f"it has arrays that belong to nothing: {', '.join(arrays)[:300]}")
    if type(random) is not dict or any(not isinstance(x, GeneratorState) for x in random.values()):
        raise CheckpointError("its random generators are something else")
    return saved, random


def _parsed(text: str) -> Any:
    """JSON as `_json` writes it: no name twice, no nan, no number that Python would round."""
    try:
        return json.loads(
            text, object_pairs_hook=_object, parse_constant=_number, parse_float=_number,
            parse_int=_whole_number,
        )  # fmt: skip
    except RecursionError:
        raise CheckpointError("it is nested too deeply") from None
    except ValueError as error:
        raise CheckpointError(f"{error}"[:300]) from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found


def _number(text: str) -> float:
    if len(text) > 30 or not math.isfinite(float(text)):
        raise ValueError(f"{text[:30]} is no number of ours")
    return float(text)


def _whole_number(text: str) -> int:
    if len(text) > 20:
        raise ValueError(f"{text[:20]}... has too many digits")
    return int(text)


# ---------------------------------------------------------------- to the user


def _match_generators(random: dict[str, GeneratorState], filling: Filling) -> None:
    own = generators(filling.layers)
    for name in filling.names(random, own, "random"):
        filling.generator(random[name], own[name], f"random.{name}")


def _revived(saved: Any) -> Any:
    """Dicts for states, and new generators: what is given to those who have nothing to fill."""
    if isinstance(saved, GeneratorState):
        return _new_generator(saved)
    if isinstance(saved, dict):
        return {key: _revived(x) for key, x in saved.items()}
    if isinstance(saved, (list, tuple)):
        return type(saved)(_revived(x) for x in saved)
    return saved


def _new_generator(state: GeneratorState) -> Any:
    kinds = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
    name = state.get("bit_generator")
    if name not in kinds:
        return dict(state)  # of somebody's own kind
    generator = np.random.Generator(getattr(np.random, name)(0))
    if problem := state_problem(generator, state):
        raise CheckpointError(f"one of its random generators {problem}")
    generator.bit_generator.state = dict(state)
    return generator
