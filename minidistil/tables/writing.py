"""Write rows and their answers: in parts, and the whole that is put together of them.

A part is in the format of the whole, without a header. What one part holds, to the
byte, depends on its rows alone.
"""

from __future__ import annotations

import gzip
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from minidistil.files import is_file, is_folder
from minidistil.messages import quote
from minidistil.tables.arrow import arrow
from minidistil.tables.columns import Column, New, arrow_array, arrow_type
from minidistil.tables.formats import DELIMITERS, format_of
from minidistil.tables.rendering import as_cell, delimited, json_lines
from minidistil.tables.rows import LineRows, Rows, TableError

if TYPE_CHECKING:
    import pyarrow as pa

    from minidistil.tables.sources import Source

GROUP_ROWS = 16_384  # of a row group of Parquet, at most
GROUP_BYTES = 16 << 20  # of its values in memory; of a single row they may be more


class Writer(ABC):
    """Writes parts, and the whole.

    Attributes:
        suffix: What the names of parts end in, such as ``.jsonl.gz``.
        is_folder: Whether the target is a folder of the parts as they are, and there
            is nothing to put together.
    """

    suffix: str
    is_folder = False

    @abstractmethod
    def part(self, path: Path, pieces: Sequence[Rows], new: New) -> None:
        """Write some rows, one after another, and the new columns of all of them."""

    @abstractmethod
    def whole(self, path: Path, parts: Sequence[Path]) -> None:
        """Put parts together, in order; of none, a table without rows."""


def writer_for(
    target: str | os.PathLike[str], source: Source, columns: Sequence[Column]
) -> Writer:
    """What writes to a target, whose name says the format.

    Args:
        target: A file whose name ends in .jsonl, .csv, .tsv (also .gz, .zst) or
            .parquet; or a folder, which is there or whose name ends in ``/``: it gets
            Parquet.
        source: What is read. Lines of JSON are read through once, for the columns that
            there are, unless lines of JSON are written.
        columns: The new columns; none has the name of one of the source's.

    Raises:
        ValueError: for another name.
        TableError: if rows of the source have no common columns.
        ImportError: without pyarrow, where it is needed.
    """
    name = os.fspath(target)
    kind, compression = _format(name)
    suffix = f".{kind}{compression and f'.{compression}'}"
    if kind == "jsonl":
        return _JsonLines(suffix, compression)
    table = _Table(source, columns, as_cells=kind != "parquet")
    if kind == "parquet":
        return _Parquet(suffix, table, is_folder=_names_folder(name))
    return _Delimited(suffix, compression, table, DELIMITERS[kind])


def write_lines(stream: BinaryIO, pieces: Sequence[Rows], new: New) -> None:
    """Write rows and their new columns to a stream, as lines of JSON, at once.

    Raises:
        TypeError: for a stream of text.
    """
    if hasattr(stream, "encoding"):
        raise TypeError(
            f"{quote(stream)} is a stream of text, expected one of bytes, such as "
            "sys.stdout.buffer"
        )
    for line in json_lines(pieces, new):
        rest = memoryview(line)
        while rest:  # a stream without a buffer may take less
            rest = rest[stream.write(rest) :]
    stream.flush()


def _names_folder(name: str) -> bool:
    separators = tuple(filter(None, (os.sep, os.altsep)))
    return name.endswith(separators) or is_folder(Path(name))


def _format(name: str) -> tuple[str, str]:
    """The format and the compression of a target."""
    if "://" in name:
        raise ValueError(
            f"{quote(name)} is not a file of this computer; write to one, and copy it "
            "to where it is to be"
        )
    if _names_folder(name):
        if is_file(Path(name)):
            raise ValueError(
                f"{quote(name)} is a file; name a folder, or leave out the /"
            )
        return "parquet", ""
    found = format_of(name)
    if found is None:
        raise ValueError(
            f"{quote(name)} has no ending that says how to write it; there are .jsonl, "
            ".csv, .tsv, each also with .gz or .zst behind it, .parquet, and a folder "
            "of Parquet files, as name/"
        )
    if found[0] == "txt":
        raise ValueError(
            f"{quote(name)} would be lines of text, which have no room for answers; "
            "write .jsonl or .csv"
        )
    return found


class _Lines(Writer):
    """Writes text; compressed files are put together as they are."""

    def __init__(self, suffix: str, compression: str) -> None:
        self.suffix = suffix
        self._compression = compression
        if compression == "zst":
            arrow()  # an error before any work, if it is missing

    @abstractmethod
    def _rows(self, pieces: Sequence[Rows], new: New) -> Iterable[bytes]:
        """The rows as text."""

    def _header(self) -> bytes:
        """What stands before the rows."""
        return b""

    def part(self, path: Path, pieces: Sequence[Rows], new: New) -> None:
        with path.open("wb") as file:
            file.writelines(self._compressed(self._rows(pieces, new)))

    def whole(self, path: Path, parts: Sequence[Path]) -> None:
        header = self._header()
        with path.open("wb") as file:
            if header or not parts:  # even of nothing, .gz is not an empty file
                file.writelines(self._compressed([header]))
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file)

    def _compressed(self, texts: Iterable[bytes]) -> Iterable[bytes]:
        # In one: the result must not depend on the pieces, which another run may cut
        # at other rows.
        if self._compression == "gz":
            return [gzip.compress(b"".join(texts), compresslevel=6, mtime=0)]
        if self._compression == "zst":
            return [arrow().compress(b"".join(texts), codec="zstd", asbytes=True)]
        return texts


class _JsonLines(_Lines):
    def _rows(self, pieces: Sequence[Rows], new: New) -> Iterable[bytes]:
        return json_lines(pieces, new)


class _Delimited(_Lines):
    """Writes cells between commas or tabs."""

    def __init__(
        self, suffix: str, compression: str, table: _Table, delimiter: str
    ) -> None:
        super().__init__(suffix, compression)
        self._table, self._delimiter = table, delimiter

    def _header(self) -> bytes:
        pa = arrow()
        row = [pa.array([name], pa.large_string()) for name in self._table.schema.names]
        names = [*map(str, range(len(row)))]  # of no meaning
        return b"".join(delimited([pa.table(row, names)], self._delimiter))

    def _rows(self, pieces: Sequence[Rows], new: New) -> Iterable[bytes]:
        return delimited(self._table.pieces(pieces, new), self._delimiter)


class _Parquet(Writer):
    def __init__(self, suffix: str, table: _Table, *, is_folder: bool) -> None:
        self.suffix, self.is_folder = suffix, is_folder
        self._table = table
        arrow("parquet")

    def part(self, path: Path, pieces: Sequence[Rows], new: New) -> None:
        self._write(path, self._table.pieces(pieces, new))

    def whole(self, path: Path, parts: Sequence[Path]) -> None:
        self._write(path, _row_groups(parts))

    def _write(self, path: Path, tables: Iterable[pa.Table]) -> None:
        pa, pq = arrow(), arrow("parquet")
        with (
            path.open("wb") as file,
            pq.ParquetWriter(file, self._table.schema) as writer,
        ):
            for group in _grouped(tables):
                writer.write_table(pa.concat_tables(group), row_group_size=GROUP_ROWS)


def _row_groups(parts: Sequence[Path]) -> Iterator[pa.Table]:
    for part in parts:
        with arrow("parquet").ParquetFile(part) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, use_threads=False)


def _grouped(tables: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    """Tables, as many together as make a row group."""
    group: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        full = rows + table.num_rows > GROUP_ROWS or size + table.nbytes > GROUP_BYTES
        if group and full:
            yield group
            group, rows, size = [], 0, 0
        group.append(table)
        rows += table.num_rows
        size += table.nbytes
    if group:
        yield group


class _Table:
    """Rows and answers as tables of one schema.

    Attributes:
        schema: The columns of the source, and behind them the new ones.
    """

    def __init__(
        self, source: Source, columns: Sequence[Column], *, as_cells: bool
    ) -> None:
        pa = arrow()
        self._given = source.scanned()
        self._as_cells = as_cells
        self.schema = self._given
        for column in columns:
            field = pa.field(column.name, arrow_type(column.kind))
            self.schema = self.schema.append(field)

    def pieces(self, pieces: Sequence[Rows], new: New) -> Iterator[pa.Table]:
        """Each piece with its share of the new columns."""
        start = 0
        for rows in pieces:
            end = start + len(rows)
            table = self._of_lines(rows) if isinstance(rows, LineRows) else rows.table
            for name, (kind, values) in new.items():
                array = arrow_array(kind, values[start:end])
                table = table.append_column(name, array)
            yield table
            start = end

    def _of_lines(self, rows: LineRows) -> pa.Table:
        """Rows of JSON, or of text, as a table."""
        pa = arrow()
        arrays = []
        for field in self._given:
            values = rows.values(field.name)
            kind = field.type
            if self._as_cells:
                values, kind = [*map(as_cell, values)], pa.large_string()
            try:
                arrays.append(pa.array(values, kind))
            except (pa.ArrowException, UnicodeError, OverflowError) as error:
                raise self._refused(rows, field.name, values, kind, error) from None
        return pa.table(arrays, self._given.names)

    def _refused(
        self,
        rows: LineRows,
        name: str,
        values: Sequence[Any],
        kind: pa.DataType,
        error: Exception,
    ) -> TableError:
        """The error for a column that has no place in a table: it names the row."""
        pa = arrow()
        for place, value in enumerate(values):
            try:
                pa.array([value], kind)
            except (pa.ArrowException, UnicodeError, OverflowError) as problem:
                return TableError(
                    f"{rows.file}, row {rows.number(place)}: {quote(name)} is "
                    f"{quote(value)}, which a column of type {kind} cannot hold "
                    f"({problem}); write .jsonl"
                )
        return TableError(f"{rows.file}: {quote(name)}: {error}; write .jsonl")
