"""A file of a table: opened, unpacked, and known again.

What the system or a service refuses is an `OSError`; what is wrong with the contents is
a `TableError`. They are told apart by where they come from: whatever goes wrong while
bytes are fetched is a refusal, and whatever is made of the bytes is damage.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from minidistil.files import errno_of, refusal
from minidistil.messages import MinidistilError, first_line
from minidistil.tables.arrow import arrow
from minidistil.tables.rows import TableError

BLOCK = 2**20  # bytes that are read at once
BLANKS = b" \t\r\n"  # what JSON takes for nothing
MARK = b"\xef\xbb\xbf"  # UTF-8's, at the beginning of a file
LONGEST_ROW = 2**28  # bytes of text: more in one row is damage, such as an open quote

# Their numbers, where a file system that is not the system's own gives none.
_NUMBERS: tuple[tuple[type[OSError], int], ...] = (
    (FileNotFoundError, errno.ENOENT),
    (PermissionError, errno.EACCES),
    (IsADirectoryError, errno.EISDIR),
    (NotADirectoryError, errno.ENOTDIR),
    (TimeoutError, errno.ETIMEDOUT),
)
# How files begin that are no text: what they are, and what to do.
_BEGINNINGS = {
    rb"\xff\xfe\0\0|\0\0\xfe\xff": (
        "UTF-32 text",
        "convert it: iconv -f UTF-32 -t UTF-8",
    ),
    rb"\xff\xfe|\xfe\xff": ("UTF-16 text", "convert it: iconv -f UTF-16 -t UTF-8"),
    rb"(?:[^\0]\0){8}": ("UTF-16 text", "convert it: iconv -f UTF-16LE -t UTF-8"),
    rb"(?:\0[^\0]){8}": ("UTF-16 text", "convert it: iconv -f UTF-16BE -t UTF-8"),
    rb"\x1f\x8b": ("compressed with gzip", "its name should end in .gz"),
    rb"\x28\xb5\x2f\xfd": ("compressed with zstd", "its name should end in .zst"),
    rb"BZh[1-9]1AY&SY": ("compressed with bzip2", "unpack it"),
    rb"\xfd7zXZ\0": ("compressed with xz", "unpack it"),
    rb"PK\x03\x04": ("a zip archive, or a spreadsheet", "unpack it, or save it as CSV"),
    rb"\xd0\xcf\x11\xe0": ("a spreadsheet", "save it as CSV"),
    rb"PAR1[\x15\x19\x1c]": ("a Parquet file", "its name should end in .parquet"),
    rb"ARROW1\0\0": ("an Arrow file", "write it as Parquet"),
    rb"SQLite format 3\0": ("a data base", "write its table as CSV"),
}


def damage(name: str, row: int | str | None, what: str) -> TableError:
    """The error for what cannot be read: the file, the row if one is known, and why."""
    return TableError(f"{name}{'' if row is None else f', row {row}'}: {what}")


class Measured(NamedTuple):
    """What is known of a file when all of it has been read.

    Attributes:
        digest: BLAKE2b of its bytes, 32 bytes in hexadecimal.
        lines: How many lines it has, the last of which may have no end.
        blank: How many of them are blank: nothing but spaces and tabs.
    """

    digest: str
    lines: int
    blank: int


@dataclass(frozen=True)
class File:
    """One file of a source.

    Attributes:
        name: What a user calls it, such as the path that was given.
        path: Where it is, in its file system.
        compression: "", "gz" or "zst".
        system: The file system, of fsspec; None for files of this machine.
        stamp: What changes when the file does.
    """

    name: str
    path: str
    compression: str = ""
    system: Any = None
    stamp: tuple[Any, ...] = field(default=(), compare=False)

    @classmethod
    def at(cls, name: str, path: str, compression: str, system: Any = None) -> File:
        """A file that is there, as it is now."""
        file = cls(name, path, compression, system)
        return cls(name, path, compression, system, file._stamp_now())

    @property
    def size(self) -> int | None:
        """Bytes, as they are stored; None where a service does not say."""
        return cast("int | None", self.stamp[0])

    @cached_property
    def measured(self) -> Measured:
        """All of a file of this machine, read once.

        Raises:
            OSError: if the system refuses.
            TableError: if it is no longer what it was.
        """
        digest, counting = blake2b(digest_size=32), _Counting()
        with self.reading(), self.opened() as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
                counting.add(block)
        counting.end()
        return Measured(digest.hexdigest(), counting.lines, counting.blank)

    def identity(self) -> dict[str, Any]:
        """What the file is, as JSON: two files with the same are taken for the same."""
        if self.system is None:
            digest = self.measured.digest
        else:
            with fetching(self.name):
                digest = str(self.system.checksum(self.path))
        return {"name": self.name, "size": self.size, "digest": digest}

    def opened(self) -> _Fetched:
        """Open the file as it is stored."""
        with fetching(self.name):
            if self.system is None:
                stream: Any = Path(self.path).open("rb", buffering=0)  # noqa: SIM115
            else:
                stream = self.system.open(self.path, "rb")
        return _Fetched(self.name, stream)

    @contextmanager
    def unpacked(self) -> Iterator[io.BufferedReader]:
        """Open what is in the file, which may be compressed."""
        with self.reading(), self.opened() as fetched:
            if self.size == 0 and self.compression:
                raise damage(self.name, None, f"empty, no .{self.compression} file")
            stream: Any = fetched
            if self.compression == "gz":
                stream = gzip.GzipFile(fileobj=io.BufferedReader(fetched, BLOCK))
            elif self.compression == "zst":
                stream = arrow().CompressedInputStream(fetched, "zstd")
            with io.BufferedReader(stream, BLOCK) as buffered:
                yield buffered

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Make what goes wrong while the file is read the one error for it.

        Raises:
            OSError: what is refused.
            TableError: what is damaged, or changes while it is read.
        """
        with self.telling_damage():
            yield
            self._check_unchanged()

    def telling_damage(self, row: str | None = None) -> AbstractContextManager[None]:
        """Do so for a part of the file, of which the row is known."""
        return telling_damage(self.name, row, self._check_unchanged)

    def _check_unchanged(self) -> None:
        if self._stamp_now() != self.stamp:
            raise TableError(
                f"{self.name} was changed while it was read; run it again when the "
                f"file is complete, or on a copy"
            )

    def _stamp_now(self) -> tuple[Any, ...]:
        with fetching(self.name):
            if self.system is None:
                status = os.stat(self.path)  # noqa: PTH116  one that is no Path
                return status.st_size, status.st_mtime_ns, status.st_ino
            size = self.system.info(self.path).get("size")
            return size, str(self.system.checksum(self.path))


def check_text(name: str, beginning: bytes) -> None:
    """Raise if a file begins as no text in UTF-8 does.

    Args:
        name: The file.
        beginning: Its first bytes, 16 of them if there are as many.

    Raises:
        TableError: it says what the file is, and what to do.
    """
    for pattern, (what, advice) in _BEGINNINGS.items():
        if re.match(pattern, beginning, re.DOTALL):
            raise damage(name, None, f"{what}, expected text in UTF-8; {advice}")


def not_utf8(error: UnicodeDecodeError, where: str | None = None) -> str:
    """What is said of bytes that are no UTF-8."""
    place = "" if where is None else f"{where}, "
    return (
        f"not UTF-8 text ({place}byte {error.start + 1}: {error.reason}); convert the "
        f"file to UTF-8"
    )


@contextmanager
def telling_damage(
    name: str, row: str | None = None, check: Callable[[], None] | None = None
) -> Iterator[None]:
    """Make errors of those who unpack and parse ours; the one place for all of them.

    Args:
        name: The file.
        row: The number of the row, as far as it is known.
        check: Called before damage is reported: it may know a better reason.
    """
    try:
        yield
    except (MinidistilError, UnreachableError):
        raise
    except _kinds() as error:
        number = errno_of(error)
        if number is not None:
            raise refusal(number, name) from error
        if check is not None:
            check()
        raise damage(name, row, f"damaged ({first_line(error)})") from error


def _kinds() -> tuple[type[Exception], ...]:
    """What is raised for damaged files, by Python's own modules and by pyarrow.

    Most of pyarrow's errors are a ValueError, an OSError without a number, a
    MemoryError, or a NotImplementedError; all others are an ArrowException.
    """
    import sys

    own = (OSError, EOFError, MemoryError, ValueError, RuntimeError, OverflowError)
    others = (zlib.error, *own)
    pyarrow = sys.modules.get("pyarrow")  # nothing of it is raised by who is not there
    return others if pyarrow is None else (*others, pyarrow.ArrowException)


class UnreachableError(OSError):
    """A service does not give a file, for a reason of its own, such as a login."""


@contextmanager
def fetching(name: str) -> Iterator[None]:
    """Make any error of a block that fetches bytes one that names the file."""
    try:
        yield
    except Exception as error:
        raise _refused(error, name) from error


def _refused(error: Exception, name: str) -> OSError:
    number = errno_of(error)
    for kind, usual in _NUMBERS:
        if number is None and isinstance(error, kind):
            number = usual
    if number is not None:
        return refusal(number, name)
    return UnreachableError(f"{name} cannot be read: {first_line(error)}")


class _Fetched(io.RawIOBase):
    """The bytes of a file; what its file system raises names the file."""

    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = name
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with fetching(self.name):
            data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with fetching(self.name):
            return self._stream.seek(offset, whence)

    def tell(self) -> int:
        with fetching(self.name):
            return self._stream.tell()

    def close(self) -> None:
        if not self.closed:
            super().close()
            with fetching(self.name):
                self._stream.close()


class _Counting:
    """Counts lines, and blank ones, of bytes that come in blocks."""

    def __init__(self) -> None:
        self.lines = self.blank = 0
        self._rest = b""  # of a line whose end is still to come: as much as matters

    def add(self, block: bytes) -> None:
        """Count the lines that end in a block."""
        whole, end, rest = (self._rest + block).rpartition(b"\n")
        if end:
            self.lines += whole.count(b"\n") + 1
            # The ends of lines are found as fast as memory is read, blanks are few.
            self.blank += len(re.findall(rb"\n[ \t\r]*(?=\n)", b"\n%b\n" % whole))
        self._rest = rest.strip(BLANKS)[:1] or rest[:1]

    def end(self) -> None:
        """Count the last line, if it has no end."""
        self.lines += bool(self._rest)
        self.blank += bool(self._rest) and not self._rest.strip(BLANKS)
