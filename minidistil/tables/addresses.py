"""Which files an address stands for: one, a folder's, or all that a pattern matches."""

from __future__ import annotations

import errno
import glob
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from minidistil.files import mode_of, reading_from, refusal
from minidistil.messages import first_line
from minidistil.tables.formats import format_of, known_endings
from minidistil.tables.rows import TableError
from minidistil.tables.stored import File, fetching

Address = str | os.PathLike[str]
Found = tuple[str, str]  # the name of a file's format, and the compression

# Other tables, which lines of text would be a wrong answer for.
_OTHERS = {
    ".json": "write a JSON object in each line, and call it .jsonl",
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as CSV"),
    **dict.fromkeys((".feather", ".arrow", ".orc", ".avro"), "write it as Parquet"),
}
_SHOWN = 5  # names in a message


def is_pattern(address: str) -> bool:
    """Whether it has a character that stands for others: ``*``, ``?``, ``[``."""
    return glob.has_magic(address)


def is_remote(address: Address) -> bool:
    """Whether it is an address such as ``s3://bucket/folder``, which fsspec reads."""
    return isinstance(address, str) and "://" in address


def is_stream(address: Address) -> bool:
    """Whether it can be read once only: a pipe, a socket, a terminal."""
    mode = 0 if is_remote(address) else mode_of(Path(address))
    return bool(mode) and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def find(addresses: Iterable[Address]) -> tuple[str, list[File]]:
    """Find the files that some addresses stand for.

    Returns:
        Their one format, and the files: in the order of the addresses, those of a
        folder or a pattern sorted by path.

    Raises:
        OSError: if there is no such file, or the system does not let it be seen.
        TableError: if there are none, or of several formats.
        ImportError: if fsspec needs a package for an address; it names it.
    """
    files: list[File] = []
    formats: dict[str, str] = {}  # and the name of the first file of each
    for address in addresses:
        for file, format_ in _files(address):
            files.append(file)
            formats.setdefault(format_, file.name)
    if len(formats) > 1:
        some = " and ".join(f"{name} is {each}" for each, name in formats.items())
        raise TableError(f"{some}; expected files of one format: name them by a glob")
    if not files:
        raise TableError("no files were given")
    return next(iter(formats)), files


def _files(address: Address) -> Iterator[tuple[File, str]]:
    place = _place(address)
    kind = place.kind()
    if is_stream(address):
        raise TableError(f"{place.name} is a pipe; expected files, or one pipe alone")
    if kind == "file":
        format_, compression = format_of(place.ending) or _lines(place.name)
        yield place.file(place.path, compression), format_
    elif kind == "folder":
        yield from _tables_of(place, place.walk(place.path), "is a folder without")
    elif is_pattern(place.path):
        yield from _tables_of(place, place.matches(), "matches no files that are")
    else:
        raise refusal(errno.ENOENT, place.name)


def _lines(name: str) -> Found:
    """A file of any other ending holds lines of text, as a command reads them."""
    for ending, advice in _OTHERS.items():
        if name.lower().endswith(ending):
            raise TableError(
                f"{name} is no table that can be read ({known_endings()}); {advice}"
            )
    return "txt", ""


def _tables_of(
    place: _Place, paths: Iterable[str], none: str
) -> Iterator[tuple[File, str]]:
    others = []
    found = False
    for path in sorted({*paths}):
        known = format_of(path) if place.is_file(path) else None
        if known is None:
            others.append(place.named(path))
        else:
            found = True
            yield place.file(path, known[1]), known[0]
    more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
    named = ", ".join(others[:_SHOWN]) + more
    if not found:
        beside = f"; there are {named}" if others else ""
        raise TableError(f"{place.name} {none} tables ({known_endings()}){beside}")
    if others:
        warnings.warn(
            f"{place.name}: {named} left out, which have another ending than tables",
            stacklevel=2,
        )


def _is_left_out(name: str) -> bool:
    """Names that begin so are not for readers: of the system, of a run's success."""
    return name.startswith((".", "_"))


def _place(address: Address) -> _Place:
    if not is_remote(address):
        return _Local(os.fspath(address))
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    name = str(address)
    try:
        system, path = url_to_fs(name)
    except ImportError as error:
        raise ImportError(f"{name} needs a package: {error}") from error
    except ValueError as error:
        raise TableError(
            f"{name} is no address that fsspec reads ({first_line(error)})"
        ) from None
    # file://… is a file of this machine, like one without an address.
    return (
        _Local(path) if type(system) is LocalFileSystem else _Remote(name, system, path)
    )


class _Local:
    """An address on this machine."""

    def __init__(self, path: str) -> None:
        self.name = self.path = self.ending = path

    def kind(self) -> str | None:
        mode = mode_of(Path(self.path))
        if stat.S_ISDIR(mode):
            return "folder"
        return "file" if mode else None

    def is_file(self, path: str) -> bool:
        return not is_stream(path)

    def named(self, path: str) -> str:
        return path

    def file(self, path: str, compression: str) -> File:
        return File.at(path, path, compression)

    def walk(self, path: str, above: tuple[str, ...] = ()) -> Iterator[str]:
        real = os.path.realpath(path)
        if real in above:
            return  # a link to a folder that it is in
        with reading_from(Path(path)):
            entries = [*os.scandir(path)]
        for entry in entries:
            if _is_left_out(entry.name):
                continue
            if stat.S_ISDIR(mode_of(Path(entry.path))):
                yield from self.walk(entry.path, (*above, real))
            else:
                yield entry.path

    def matches(self) -> Iterator[str]:
        for path in glob.iglob(self.path, recursive=True):  # noqa: PTH207  also "/a/*"
            if stat.S_ISDIR(mode_of(Path(path))):
                yield from self.walk(path.rstrip(os.sep))
            else:
                yield path


class _Remote:
    """An address that fsspec reads."""

    def __init__(self, name: str, system: Any, path: str) -> None:
        self.name, self.path = name, path
        http = name.startswith(("http://", "https://"))
        self.ending = name.partition("?")[0] if http else name
        self._system = system

    def kind(self) -> str | None:
        with fetching(self.name):
            try:
                kind = self._system.info(self.path)["type"]
            except FileNotFoundError:
                return None
        return "folder" if kind == "directory" else "file"

    def is_file(self, path: str) -> bool:
        return True

    def named(self, path: str) -> str:
        return str(self._system.unstrip_protocol(path))

    def file(self, path: str, compression: str) -> File:
        name = self.name if path == self.path else self.named(path)
        return File.at(name, path, compression, self._system)

    def walk(self, path: str) -> Iterator[str]:
        with fetching(self.name):
            found = self._system.find(path)
        for each in found:
            inside = each.removeprefix(path).strip("/").split("/")
            if not any(map(_is_left_out, inside)):
                yield each

    def matches(self) -> Iterator[str]:
        with fetching(self.name):
            found: dict[str, Any] = self._system.glob(self.path, detail=True)
        said = {*self.path.split("/")}
        for path, info in found.items():
            # As on this machine: no * stands for a name that begins with a dot.
            if any(each.startswith(".") for each in {*path.split("/")} - said):
                continue
            if info["type"] == "directory":
                yield from self.walk(path)
            else:
                yield path


_Place = _Local | _Remote
