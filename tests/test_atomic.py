"""Files are written whole or not at all: errors, Ctrl-C, kill -9, full disks, links, locks."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tinygrad_edu.checkpoints import atomic
from tinygrad_edu.checkpoints.atomic import write_whole

ROOT = Path(__file__).parents[1]
OLD, NEW = b"what was there", b"what comes" * 1000

posix = pytest.mark.skipif(os.name != "posix", reason="locks, links and signals of POSIX")


@pytest.fixture
def path(tmp_path):
    """A file with something in it, alone in its folder."""
    path = tmp_path / "file.safetensors"
    path.write_bytes(OLD)
    return path


def write(file):
    file.write(NEW)


def content_of(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# ---------------------------------------------------------------- what is written


def test_a_new_file(tmp_path):
    write_whole(tmp_path / "file", write)
    assert content_of(tmp_path) == {"file": NEW}


def test_a_file_takes_the_place_of_another(path):
    write_whole(str(path), write)
    assert content_of(path.parent) == {path.name: NEW}


def test_a_name_without_a_folder_is_in_this_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_whole("file", write)
    assert content_of(tmp_path) == {"file": NEW}


@pytest.mark.parametrize("name", ["a" * 255, "ü" * 127, "*[a]?\\n", " "])
def test_any_name_a_file_system_takes(tmp_path, name):
    write_whole(tmp_path / name, write)
    assert content_of(tmp_path) == {name: NEW}


def test_nobody_sees_half_of_it(path):
    def look_and_write(file):
        file.write(NEW[:5000])
        file.flush()
        assert path.read_bytes() == OLD
        file.write(NEW[5000:])

    write_whole(path, look_and_write)
    assert path.read_bytes() == NEW


@posix
def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *args, name=name, real=real: (done.append(name), real(*args))
        )
    write_whole(path, write)
    assert done == ["fsync", "replace", "fsync"]


# ---------------------------------------------------------------- permissions, links, devices


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_permissions_stay_also_while_it_is_written(path, mode):
    path.chmod(mode)
    modes = []

    def look(file):
        modes.append(os.fstat(file.fileno()).st_mode & 0o777)
        write(file)

    write_whole(path, look)
    assert modes == [mode] and path.stat().st_mode & 0o777 == mode


@posix
def test_a_new_file_has_the_usual_permissions(tmp_path):
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", write)
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@posix
def test_behind_a_link_the_file_at_its_end_is_renewed(path, tmp_path):
    (tmp_path / "links").mkdir()
    link = tmp_path / "links/latest"
    link.symlink_to(path)
    write_whole(link, write)
    assert link.is_symlink() and path.read_bytes() == NEW
    assert os.listdir(tmp_path / "links") == ["latest"]


@posix
def test_a_link_to_nothing_gets_its_file(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_whole(tmp_path / "link", write)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_bytes() == NEW


def never(file):
    raise AssertionError("nothing was to be written")


@posix
def test_devices_folders_and_missing_folders_are_refused_before_anything_is_done(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind, words in (
        (tmp_path, IsADirectoryError, "this is a folder"),
        (tmp_path / "none/file", FileNotFoundError, "no such folder; make it first.*none'"),
        (tmp_path / "pipe", OSError, "no file but a device"),
        ("/dev/null", OSError, "no file but a device"),
    ):
        with pytest.raises(kind, match=words):
            write_whole(path, never)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_protected_file_is_not_replaced(path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everything
    with pytest.raises(PermissionError, match="protected"):
        write_whole(path, never)


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, MemoryError])
def test_whatever_stops_it_the_old_file_stays_and_nothing_is_left_over(path, error):
    def stop(file):
        file.write(NEW[:5000])
        raise error

    with pytest.raises(error):
        write_whole(path, stop)
    assert content_of(path.parent) == {path.name: OLD}


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_full_disk_is_told_with_the_path(path, monkeypatch, name):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, name, full)
    with pytest.raises(OSError, match=r"No space left.*as it was.*file\.safetensors") as caught:
        write_whole(path, write)
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
    assert content_of(path.parent) == {path.name: OLD}


@posix
def test_a_real_limit_on_the_size_of_files(path):
    """Like a full disk, without one: the system stops the writing half-way."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OSError, match="as it was"):
            write_whole(path, write)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert content_of(path.parent) == {path.name: OLD}


# ---------------------------------------------------------------- what killed processes leave


@posix
def test_what_a_killed_process_left_is_removed_at_the_next_save(path):
    script = (
        "import os, signal, sys; from tinygrad_edu.checkpoints.atomic import write_whole\n"
        "write_whole(sys.argv[1], lambda f: os.kill(os.getpid(), signal.SIGKILL))"
    )
    done = subprocess.run([sys.executable, "-c", script, path], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(path.parent)) == 2 and path.read_bytes() == OLD
    write_whole(path.with_name("other"), write)  # another path: not its business
    assert len(os.listdir(path.parent)) == 3
    write_whole(path, write)
    assert content_of(path.parent) == {path.name: NEW, "other": NEW}


@posix
def test_what_is_being_written_is_not_removed(path):
    """Somebody else, here another thread, saves to the same path in the middle of it."""
    threads = []

    def write_slowly(file):
        file.write(NEW[:5000])
        threads.append(threading.Thread(target=write_whole, args=(path, write)))
        threads[0].start()
        threads[0].join()
        assert path.read_bytes() == NEW
        assert len(os.listdir(path.parent)) == 2
        file.write(b"later")

    write_whole(path, write_slowly)
    assert content_of(path.parent) == {path.name: NEW[:5000] + b"later"}


@posix
def test_many_threads_may_save_to_one_path(path):
    contents, errors = [bytes([i]) * 20_000 for i in range(8)], []

    def save(content):
        try:
            for _ in range(25):
                write_whole(path, lambda file: file.write(content))
                assert path.read_bytes() in contents
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and os.listdir(path.parent) == [path.name]


@posix
def test_swept_before_it_was_locked_it_is_made_once_more(path, monkeypatch):
    real, swept = atomic.fcntl.flock, []

    def flock(file, how):
        if not swept:
            swept.append(file.name)
            os.unlink(file.name)
        real(file, how)

    monkeypatch.setattr(atomic.fcntl, "flock", flock)
    write_whole(path, write)
    assert swept and content_of(path.parent) == {path.name: NEW}


@posix
def test_a_new_file_under_the_name_of_a_swept_one_stays(path, monkeypatch):
    """Somebody swept it, and its writer began once more, just before we had the lock."""
    left = path.with_name(".file.safetensors.0123456789abcdef.tmp")
    left.write_bytes(b"left")
    real = atomic.fcntl.flock

    def flock(file, how):
        if how & atomic.fcntl.LOCK_NB:
            left.unlink()
            left.write_bytes(b"somebody's new one")
        real(file, how)

    monkeypatch.setattr(atomic.fcntl, "flock", flock)
    write_whole(path, write)
    assert content_of(path.parent) == {path.name: NEW, left.name: b"somebody's new one"}


def test_files_of_others_with_similar_names_stay(path):
    others = [".file.safetensors.notes.tmp", "file.safetensors.tmp", ".file.safetensors.tmp"]
    others += [".file.safetensors.0123456789abcdeF.tmp", ".file.safetensors.0123456789abcdef.tmp2"]
    for name in others:
        path.with_name(name).write_bytes(b"mine")
    write_whole(path, write)
    assert sorted(os.listdir(path.parent)) == sorted([path.name, *others])


def test_it_works_without_locks(path, monkeypatch):
    monkeypatch.setattr(atomic, "fcntl", None)  # as on Windows
    write_whole(path, write)
    assert content_of(path.parent) == {path.name: NEW}


@posix
@pytest.mark.slow
def test_killed_200_times_the_file_is_the_last_or_the_one_before(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.killed", str(tmp_path / "run"), "200"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    begun, before = map(int, done.stdout.split())
    assert begun + before == 200 and before > 20  # killed in the middle of it often enough
    assert len(os.listdir(tmp_path)) <= 2
