"""Read files; tell what the system refuses from what is wrong with the contents."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from minidistil.messages import MinidistilError, shorten

Kind = TypeVar("Kind", dict[str, Any], list[Any])

_JSON_NAMES = {dict: "a JSON object", list: "a list"}

_ADVICE = {
    "check its rights and those of its folders": "EACCES EPERM",
    "close some, or raise the limit (ulimit -n)": "EMFILE ENFILE",
    "free some, or raise the limit (ulimit -v)": "ENOMEM",
    "make room, or name another folder": "ENOSPC EDQUOT EFBIG",
    "name another folder": "EROFS",
    "check the disk, or the network drive, and try again": (
        "EIO ENODEV ENOTCONN ENXIO ESTALE ETIMEDOUT EHOSTDOWN EHOSTUNREACH"
    ),
}
_NOTHING_THERE = (
    *(errno.ENOENT, errno.ENOTDIR, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.EINVAL),
)
# How other libraries hide the system's number in a text: Rust's, and torch's two.
_HIDDEN = re.compile(
    r"\(os error (\d+)\)$|^unable to [^\n]*\((\d+)\)$|DefaultCPUAllocator.*code (\d+) "
)


def errno_of(error: BaseException) -> int | None:
    """The number of the system's refusal that an error reports; None if it is none.

    It tells what the system refuses (memory, descriptors, rights, a disk that fails)
    from what is wrong with a file's contents. Other libraries hide it in a text.
    """
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    hidden = _HIDDEN.search(str(error))
    return int(next(filter(None, hidden.groups()))) if hidden else None


def refusal(number: int, path: str | os.PathLike[str]) -> OSError:
    """The error for what the system refuses: it names the file and what to do."""
    name = errno.errorcode.get(number)
    advice = [each for each, names in _ADVICE.items() if name in names.split()]
    what = "; ".join([os.strerror(number), *advice])
    return OSError(number, what, os.fspath(path))  # of the subclass for this number


@contextmanager
def reading_from(path: Path) -> Iterator[None]:
    """Make the system's refusals, while a file is read, errors that name the file.

    Raises:
        OSError: in place of them, of the subclass that Python has for each.
    """
    try:
        yield
    except MinidistilError:
        raise
    except (OSError, MemoryError, RuntimeError) as error:
        number = errno_of(error)
        if number is None:
            raise
        raise refusal(number, path) from error


def is_file(path: Path) -> bool:
    """Whether there is a file; an error if the system does not say.

    Raises:
        OSError: `Path.is_file` would say no, and so call a sound file missing.
    """
    return stat.S_ISREG(mode_of(path))


def is_folder(path: Path) -> bool:
    """Whether there is a folder; an `OSError` if the system does not say."""
    return stat.S_ISDIR(mode_of(path))


def mode_of(path: Path) -> int:
    """The kind of file and its rights, as `os.stat` has them; 0 if there is nothing.

    Raises:
        OSError: if the system does not say.
    """
    with reading_from(path):
        try:
            return path.stat().st_mode
        except OSError as error:
            if error.errno not in _NOTHING_THERE:
                raise
        except ValueError:  # a name that no file has
            pass
        return 0


def read_bytes(path: Path) -> bytes:
    """All of a file; an `OSError` names it."""
    with reading_from(path):
        return path.read_bytes()


def read_json(
    path: Path,
    kind: type[Kind],
    error: type[ValueError],
    content: bytes | None = None,
    **options: Any,
) -> Kind:
    """Read a JSON object or a JSON list.

    Args:
        path: The file, named in errors.
        kind: ``dict`` or ``list``.
        error: What is raised for anything else.
        content: The file's bytes, if they have been read already.
        options: For `json.loads`.

    Raises:
        OSError: if the system does not let it be read.
    """
    try:
        text = (read_bytes(path) if content is None else content).decode()
        value = json.loads(text, **options)
    except MinidistilError:
        raise  # of a function among the options
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is not valid JSON: {shorten(problem)}") from None
    if not isinstance(value, kind):
        expected = _JSON_NAMES[kind]
        raise error(f"{path} holds a {type(value).__name__}, expected {expected}")
    return value
