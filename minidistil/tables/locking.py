"""One run at a time: a second one on the same target ends with an error, at once."""

from __future__ import annotations

import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minidistil.tables.rows import TableError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_TRIES = 100  # each fails only if another run ends in that very moment
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def locked(folder: Path, target: Path) -> Iterator[None]:
    """Make a folder, if need be, and hold the lock in it.

    In the end the lock goes, and the folder too if there is nothing else in it.

    Args:
        folder: The folder. Nobody else can look into a new one.
        target: What is written with the help of it: the name in errors.

    Raises:
        TableError: if another run holds the lock, of this process or of another one.
        OSError: if the folder or the lock cannot be made.
    """
    lock = _acquired(folder, target)
    try:
        yield
    finally:
        with suppress(OSError):
            _remove(folder)
        lock.release()
        if sys.platform == "win32":  # which removes no file that is open
            with suppress(OSError):
                _remove(folder)


def _acquired(folder: Path, target: Path) -> BaseFileLock:
    from filelock import FileLock  # not above: `minidistil --help` does without

    path = folder / "lock"
    for _ in range(_TRIES):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            path.touch()
            before = path.stat()
            _acquire(lock, path, target)
            # The run that had it may have removed it before we got it: then a third
            # run can have another file of this name.
            if os.path.samestat(before, path.stat()):
                return lock
        except FileNotFoundError:
            pass
        lock.release()
    raise _held(path, target)


def _acquire(lock: BaseFileLock, path: Path, target: Path) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise _held(path, target) from None
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"the file system of {target} has no locks: another run that writes it at "
            "the same time would not be noticed",
            stacklevel=2,
        )


def _held(path: Path, target: Path) -> TableError:
    return TableError(
        f"{target} is being written by another run; wait for it, or name another file. "
        f"If there is none, remove {path}"
    )


def _remove(folder: Path) -> None:
    path = folder / "lock"
    if [*folder.iterdir()] == [path]:
        path.unlink()
        folder.rmdir()
