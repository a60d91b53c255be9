"""Tables and texts that are read: their columns, and their rows in a stream."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from minidistil.files import mode_of, reading_from
from minidistil.messages import first_line, quote
from minidistil.tables.addresses import (
    Address,
    find,
    is_pattern,
    is_remote,
    is_stream,
)
from minidistil.tables.arrow import arrow
from minidistil.tables.csv_files import CsvReader
from minidistil.tables.formats import format_of
from minidistil.tables.json_types import Place, Seen
from minidistil.tables.line_files import MOST_ROWS, TEXT, LineReader, streamed_rows
from minidistil.tables.parquet_files import ParquetReader
from minidistil.tables.rows import LineRows, Rows, TableError
from minidistil.tables.stored import File

if TYPE_CHECKING:
    import pyarrow as pa


def open_source(
    source: Address | Sequence[Address] | Source, *, quotes: bool = True
) -> Source:
    """Find the files of a table, and what can be known before rows are read.

    Args:
        source: A file, a folder (all files in it), a pattern such as ``"crawl/*.csv"``,
            an address that fsspec reads (``"s3://bucket/folder"``), or a list of them.
            A pipe gives lines of text. What is open already is given back.
        quotes: Of CSV and TSV, whether cells may stand in quotes. False: a quote is a
            character like any other, as in some of GLUE's files.

    Raises:
        OSError: if there is no such file, or it may not be read.
        TableError: if the files have several formats or other columns, or are damaged.
        ImportError: if a package is missing; it says which.
    """
    if isinstance(source, Source):
        return source
    addresses = [source] if isinstance(source, str | os.PathLike) else [*source]
    if len(addresses) == 1 and is_stream(addresses[0]):
        path = Path(addresses[0])
        if format_of(str(path)) not in (None, ("txt", "")):
            raise TableError(f"{path} is a pipe; a table is read from a file")
        return _StreamSource(str(path), lambda: path.open("rb"))
    format_, files = find(addresses)
    if format_ == "txt":
        return _TextFileSource(files)
    if format_ == "jsonl":
        return _JsonSource(files)
    return _ArrowSource(format_, files, quotes)


def lines_of(stream: BinaryIO, name: str) -> Source:
    """The lines of what can be read once, such as standard input, as texts.

    Args:
        stream: What is read; it stays open.
        name: What a user calls it.
    """
    return _StreamSource(name, lambda: nullcontext(stream))


def texts_of(texts: Sequence[str], name: str = "TEXT") -> Source:
    """Some texts, as the column ``text``.

    Args:
        texts: The texts.
        name: What a user calls one of them.
    """
    return _TextSource(texts, name)


def is_table(address: str) -> bool:
    """Whether a command reads an address as a table; if not, it is lines of text."""
    if is_remote(address):
        return True
    mode = mode_of(Path(address))
    if stat.S_ISDIR(mode) or (not mode and is_pattern(address)):
        return True
    if mode and not stat.S_ISREG(mode):
        return False
    return format_of(address) not in (None, ("txt", ""))


class Source:
    """Rows that can be read.

    Attributes:
        format: "txt", "csv", "tsv", "jsonl" or "parquet".
        files: The files, if they are files.
        names: The columns; None where they are known only when all rows were read.
        schema: The columns with their types, of CSV, TSV and Parquet.
        resumable: Whether the same rows can be read again.
    """

    format: str = "txt"
    files: Sequence[File] = ()
    names: list[str] | None = None
    schema: pa.Schema | None = None
    resumable: bool = True

    @property
    def total(self) -> int | None:
        """How many rows there are; None where that is not known before the end."""
        return None

    def identity(self) -> list[dict[str, Any]]:
        """What is read, as JSON: each file's name, size, and a digest of its bytes.

        Raises:
            OSError: if a file may not be read.
            TableError: if a file has been changed since it was found.
        """
        return [file.identity() for file in self.files]

    def rows(self, skip: int = 0) -> Iterator[Rows]:
        """Read the rows, a piece of one file at a time.

        Args:
            skip: How many rows are left out, as cheaply as can be.

        Yields:
            At most 1,024 rows, and about a MiB of them.

        Raises:
            OSError: if a file may not be read.
            TableError: if a file is damaged; it names the file and the row.
        """
        raise NotImplementedError

    def scanned(self) -> pa.Schema:
        """The columns with their types; JSON lines are gone through for them.

        Raises:
            OSError: if a file may not be read.
            TableError: if a row is damaged, or no type holds all values of a column.
        """
        return self.schema or arrow().schema([(TEXT, arrow().string())])


class _FileSource(Source):
    """Files of one format.

    Args:
        format: The format.
        files: The files.
        count: How many rows one has, if that is known before they are read.
        read: Gives the rows of one but for some first ones; returns how many of those
            it does not have.
    """

    def __init__(
        self,
        format: str,
        files: Sequence[File],
        count: Callable[[File], int | None],
        read: Callable[[File, int], Generator[Rows, None, int]],
    ) -> None:
        self.format, self.files = format, files
        self._count, self._read = count, read
        self._total: list[int | None] = []  # when it was asked for

    @property
    def total(self) -> int | None:
        if not self._total:
            counts = [self._count(file) for file in self.files]
            self._total = [None if None in counts else sum(filter(None, counts))]
        return self._total[0]

    def rows(self, skip: int = 0) -> Iterator[Rows]:
        for file in self.files:
            skip = yield from self._read(file, skip)


class _TextFileSource(_FileSource):
    """Files of lines of text."""

    def __init__(self, files: Sequence[File]) -> None:
        reader = LineReader(as_json=False)
        super().__init__("txt", files, reader.count, reader.rows)
        self.names = [TEXT]


class _JsonSource(_FileSource):
    """Files of JSON lines, whose columns are known when all rows were read."""

    def __init__(self, files: Sequence[File]) -> None:
        reader = LineReader(as_json=True)
        super().__init__("jsonl", files, reader.count, reader.rows)

    def scanned(self) -> pa.Schema:
        if self.schema is None:
            seen, total = Seen(""), 0
            for piece in self.rows():
                for place, value in enumerate(cast(LineRows, piece).objects):
                    seen.add(value, Place(piece.file, piece.number(place)))
                total += len(piece)
            self.schema, self._total = seen.schema(), [total]
            self.names = self.schema.names
        return self.schema


class _ArrowSource(_FileSource):
    """Files that pyarrow reads."""

    def __init__(self, format: str, files: Sequence[File], quotes: bool) -> None:
        reader = ParquetReader() if format == "parquet" else CsvReader(format, quotes)
        schema = _united((file.name, reader.schema(file)) for file in files)
        super().__init__(
            format, files, reader.count, partial(reader.rows, schema=schema)
        )
        self.schema, self.names = schema, schema.names
        self._quotes = quotes or format == "parquet"

    def identity(self) -> list[dict[str, Any]]:
        found = super().identity()
        return found if self._quotes else [{**each, "quotes": False} for each in found]


class _StreamSource(Source):
    """Lines of text from what can be read once."""

    resumable = False

    def __init__(
        self, name: str, open_: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> None:
        self.names = [TEXT]
        self._name, self._open = name, open_
        self._is_read = False

    def rows(self, skip: int = 0) -> Iterator[Rows]:
        if self._is_read:
            raise TableError(f"{self._name} can be read once only, and has been")
        self._is_read = True
        with reading_from(Path(self._name)), self._open() as stream:
            yield from streamed_rows(stream, self._name, skip)


class _TextSource(Source):
    """Texts that were given as such."""

    def __init__(self, texts: Sequence[str], name: str) -> None:
        self.names = [TEXT]
        self._texts, self._name = texts, name

    @property
    def total(self) -> int:
        return len(self._texts)

    def identity(self) -> list[dict[str, Any]]:
        digest = blake2b(repr([*self._texts]).encode(), digest_size=32)
        return [{"name": self._name, "size": self.total, "digest": digest.hexdigest()}]

    def rows(self, skip: int = 0) -> Iterator[Rows]:
        for start in range(skip, self.total, MOST_ROWS):
            some = self._texts[start : start + MOST_ROWS]
            objects = [{TEXT: text} for text in some]
            numbers = range(start + 1, start + 1 + len(some))
            yield LineRows(self._name, numbers, objects)


def _united(schemas: Iterable[tuple[str, pa.Schema]]) -> pa.Schema:
    """One schema for all files: the columns of the first, with types that hold all."""
    arrow_ = arrow()
    (first, united), *others = schemas
    for name, schema in others:
        more = [each for each in schema.names if each not in united.names]
        missing = [each for each in united.names if each not in schema.names]
        if more or missing:
            raise TableError(
                f"{name} has not the columns of {first}: "
                f"{quote(missing)} missing, {quote(more)} more; read them one by one"
            )
        in_order = arrow_.schema([schema.field(each) for each in united.names])
        try:
            united = arrow_.unify_schemas(
                [united, in_order], promote_options="permissive"
            )
        except (arrow_.ArrowInvalid, arrow_.ArrowTypeError) as error:
            raise TableError(
                f"{name} has other types than the files before it, such as {first} "
                f"({first_line(error)}); write them with the same types"
            ) from error
    return united
