"""Files are written whole or not at all: what was there stays until the new one is complete.

The new file grows beside the old one, under another name, is brought to the disk, and then takes
the old one's name, which a file system does in one move. Whoever opens the name meets the old file
or the new one, also after a power cut, `kill -9`, Ctrl-C or a full disk.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TypeAlias

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

__all__ = ["Path", "destination", "write_whole"]

Path: TypeAlias = "str | os.PathLike[str]"


def destination(path: Path) -> str:
    """The file that is meant by `path`, links followed; OSError if it could not be written."""
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder; make it first", folder)
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file in it", target)
    if os.path.exists(target):
        if not os.path.isfile(target):
            raise OSError(errno.EINVAL, "this is no file but a device", target)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "this file is protected against writing", target)
    return target


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Let `write(file)` write a new file, and give it the name `path` when all of it is there.

    Behind a link, it is the file at the other end that is renewed; its permissions are kept. Raises
    OSError, naming the path, if that fails: then, and if `write` fails or is interrupted, what was
    there is as it was, and nothing is left over.
    """
    target = destination(path)
    folder, name = os.path.split(target)
    _sweep(folder, name)
    temporary = os.path.join(folder, f"{_beginning(name)}{secrets.token_hex(8)}.tmp")
    try:
        with _new_locked(temporary) as file:
            if os.path.exists(target):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            write(file)
            file.flush()
            os.fsync(file.fileno())  # the content first, then the name
            if fcntl:
                os.replace(temporary, target)  # while the lock is held, see `_sweep`
        if not fcntl:
            os.replace(temporary, target)  # Windows renames only what is closed
    except OSError as error:
        problem = f"{error.strerror or error}; nothing was written, what was there is as it was"
        raise OSError(error.errno, problem, target) from error
    finally:
        with suppress(OSError):  # usually there is none any more
            os.unlink(temporary)
    _sync_folder(folder)


# ---------------------------------------------------------------- what killed processes leave
#
# The temporary file of a killed process is removed at the next save to the same path, that of a
# living one must not be. Process numbers would not tell: another machine or container may write to
# the same folder. A lock does: it is held as long as the file is open, and no longer.


def _beginning(name: str) -> str:
    return f".{name[:50]}."  # hidden, and short enough for every file system


@contextmanager
def _new_locked(path: str) -> Iterator[BinaryIO]:
    while True:
        with open(path, "xb") as file:
            if fcntl:
                with suppress(OSError):  # a file system without locks; there, nothing is swept
                    fcntl.flock(file, fcntl.LOCK_EX)
            if os.fstat(file.fileno()).st_nlink:  # else swept before it was locked: once more
                yield file
                return


def _sweep(folder: str, name: str) -> None:
    """Remove what killed processes left; without locks (on Windows), it is left."""
    left = re.compile(re.escape(_beginning(name)) + r"[0-9a-f]{16}\.tmp")
    for other in os.listdir(folder) if fcntl else ():
        if left.fullmatch(other):
            path = os.path.join(folder, other)
            with suppress(OSError), open(path, "rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while it is being written
                if os.fstat(file.fileno()).st_nlink:  # else it is gone, and a new one has its name
                    os.unlink(path)


def _sync_folder(folder: str) -> None:
    """Bring the new name to the disk, where folders can be opened."""
    with suppress(OSError):  # the file is there by now: no reason to call that a failure
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
