"""Read JSON; write a file so that a reader finds the old or the new one, whole."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from minidistil.messages import MinidistilError, shorten

Kind = TypeVar("Kind", dict[str, Any], list[Any])

_JSON_NAMES = {dict: "a JSON object", list: "a list"}


@contextmanager
def replacing_all(
    *paths: Path, remove_first: Path | Sequence[Path] | None = None
) -> Iterator[tuple[Path, ...]]:
    """Give a path beside each of ``paths`` to write to; on success they are renamed.

    All new files are on the disk (``fsync``) before the first gets its name; names are
    given in order. If the block raises, or the process is killed before that, the old
    files are still at ``paths``.

    Args:
        paths: What is to be written; folders are made if need be.
        remove_first: Removed before the first rename: a file without which nobody
            reads the others, or all of which one must be there for that. If the process
            is killed between two renames, new files are then not read together with old
            ones.
    """
    temporaries = [_beside(path) for path in paths]
    try:
        modes = []
        for temporary in temporaries:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch(exist_ok=False)
            modes.append(temporary.stat().st_mode)
        yield tuple(temporaries)
        for temporary, mode in zip(temporaries, modes, strict=True):
            temporary.chmod(mode)  # safetensors puts a file of its own there, mode 600
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        first = [remove_first] if isinstance(remove_first, Path) else remove_first
        for path in first or ():
            path.unlink(missing_ok=True)
            _fsync_folder(path.parent)
        for temporary, path in zip(temporaries, paths, strict=True):
            temporary.replace(path)
        for folder in {path.parent for path in paths}:
            _fsync_folder(folder)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; on success it is renamed to ``path``."""
    with replacing_all(path) as (temporary,):
        yield temporary


def _fsync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk; Windows cannot and need not."""
    if os.name == "nt":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _beside(path: Path) -> Path:
    # In the same folder: a rename is atomic only within one file system.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def write_file(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path``, making its folder if need be."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


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
    """
    try:
        text = (path.read_bytes() if content is None else content).decode()
        value = json.loads(text, **options)
    except MinidistilError:
        raise  # of a function among the options
    except (ValueError, RecursionError) as problem:
        raise error(f"{path} is not valid JSON: {shorten(problem)}") from None
    if not isinstance(value, kind):
        expected = _JSON_NAMES[kind]
        raise error(f"{path} holds a {type(value).__name__}, expected {expected}")
    return value
