"""CSV and TSV, read by pyarrow: every cell as the string that stands there.

pyarrow does not say that a quote is never closed: all that follows is then one cell.
`_Closing` follows the quotes and ends the stream where that is seen.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minidistil.messages import quote
from minidistil.tables.arrow import arrow
from minidistil.tables.formats import DELIMITERS
from minidistil.tables.line_files import MOST_ROWS, too_long
from minidistil.tables.rows import TableError, TableRows
from minidistil.tables.stored import (
    BLOCK,
    LONGEST_ROW,
    File,
    check_text,
    damage,
    not_utf8,
)

if TYPE_CHECKING:
    import pyarrow as pa

_HEADER = 2**16  # bytes that are read for the names of the columns


class CsvReader:
    """Reads files of cells between delimiters.

    Args:
        format: "csv" or "tsv".
    """

    def __init__(self, format: str) -> None:
        self._delimiter = DELIMITERS[format]

    def schema(self, file: File) -> pa.Schema:
        """The columns that the header names, all of them strings.

        Raises:
            TableError: if there is no header, or it names a column twice.
        """
        names = self._header(file)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise TableError(
                f"{file.name} has two columns {quote(twice[0])}; rename one of them"
            )
        return arrow().schema([(name, arrow().string()) for name in names])

    def count(self, file: File) -> int | None:
        """How many rows a file has: that is known when all of it is parsed."""
        return None

    def rows(
        self, file: File, skip: int, schema: pa.Schema
    ) -> Generator[TableRows, None, int]:
        """Read a file's rows, after the first ``skip`` of them, in the schema's order.

        Returns:
            How many of those that were to be skipped this file does not have.
        """
        block, done = BLOCK, skip
        while True:
            row = 0  # how many are before a batch
            try:
                with self._parsed(file, block, schema.names) as batches:
                    for batch in batches:
                        table = batch.slice(
                            min(max(done - row, 0), batch.num_rows)
                        ).select(schema.names)
                        first = row + batch.num_rows - table.num_rows + 1
                        table = _as_strings(file.name, first, table, schema)
                        for start in range(0, table.num_rows, MOST_ROWS):
                            piece = table.slice(start, MOST_ROWS)
                            yield TableRows(file.name, first + start, piece)
                        row += batch.num_rows
                        done = max(done, row)
                return max(skip - row, 0)
            except _StraddlingError:
                # The rows that were given already are gone through once more.
                block = _grown(file.name, block, row + 1)

    def _header(self, file: File) -> list[str]:
        block = _HEADER
        while True:
            try:
                with self._parsed(file, block, None) as batches:
                    if batches.is_open:
                        list(batches)  # it says in which row
                    return batches.names
            except _StraddlingError:
                block = _grown(file.name, block, 0)

    @contextmanager
    def _parsed(
        self, file: File, block: int, names: list[str] | None
    ) -> Iterator[_Batches]:
        """Give a file's batches; the cells are bytes if the columns are named."""
        csv, arrow_ = arrow("csv"), arrow()
        wrong: list[Any] = []

        def keep(row: Any) -> str:
            wrong.append(row)
            return "error"

        with file.unpacked() as stream:
            closing = _Closing(stream, file.name, self._delimiter.encode())
            try:
                with csv.open_csv(
                    closing,
                    read_options=csv.ReadOptions(use_threads=False, block_size=block),
                    parse_options=csv.ParseOptions(
                        delimiter=self._delimiter,
                        newlines_in_values=True,
                        invalid_row_handler=keep,
                    ),
                    convert_options=csv.ConvertOptions(
                        column_types=dict.fromkeys(names or (), arrow_.binary()),
                        null_values=[""],
                        strings_can_be_null=True,
                        quoted_strings_can_be_null=False,
                        check_utf8=False,
                    ),
                ) as reader:
                    yield _Batches(file.name, reader, closing)
            except arrow_.ArrowInvalid as error:
                if "straddling" in str(error):
                    raise _StraddlingError from error
                if wrong and closing.is_open:
                    raise _never_closed(file.name, wrong[0].number - 1) from None
                if wrong:
                    row, cells = wrong[0].number - 1, wrong[0].actual_columns
                    what = f"{cells} cells, expected {wrong[0].expected_columns}"
                    raise damage(file.name, row, what) from None
                if "Empty CSV" in str(error):
                    what = "empty; expected a header with the names of columns"
                    raise damage(file.name, None, what) from None
                raise


class _StraddlingError(Exception):
    """A row does not fit in a block."""


class _Batches:
    """What pyarrow makes of a file, checked for a quote that is never closed."""

    def __init__(self, name: str, reader: Any, closing: _Closing) -> None:
        self._name, self._reader, self._closing = name, reader, closing
        try:
            self.names: list[str] = reader.schema.names
        except UnicodeDecodeError as error:
            raise damage(name, None, not_utf8(error, "the header")) from None

    @property
    def is_open(self) -> bool:
        """Whether the file is known to end inside quotes."""
        return self._closing.is_open

    def __iter__(self) -> Iterator[Any]:
        """Give the batches; an error in place of the one with an open quote."""
        rows = 0
        for batch in self._reader:
            rows += batch.num_rows
            if self.is_open:
                # The last row is the one; those between are not worth more memory.
                rows += sum(each.num_rows for each in self._reader)
                raise _never_closed(self._name, rows)
            yield batch
        if self.is_open:
            raise _never_closed(self._name, rows)


def _never_closed(name: str, row: int) -> TableError:
    where = "" if row else " in the header"
    what = f"a quote{where} is never closed; close it, or write it twice within quotes"
    return damage(name, row or None, what)


def _grown(name: str, block: int, row: int) -> int:
    if block >= LONGEST_ROW:
        raise too_long(name, row)
    return 2 * block


def _as_strings(name: str, first: int, batch: Any, schema: pa.Schema) -> pa.Table:
    """Make text of bytes, or say where they are none."""
    arrow_ = arrow()
    table = arrow_.Table.from_batches([batch])
    try:
        return table.cast(schema)
    except arrow_.ArrowInvalid:
        for column in table.column_names:
            for row, cell in enumerate(table.column(column).to_pylist(), first):
                try:
                    (cell or b"").decode()
                except UnicodeDecodeError as error:
                    raise damage(
                        name, row, not_utf8(error, f"column {quote(column)}")
                    ) from None
        raise


class _Closing(io.RawIOBase):
    """A stream of CSV that ends where a quote is seen not to be closed.

    A quote opens a cell at the cell's beginning only; inside, two of them stand for
    one, and a single one ends the cell. If it does not, because something follows it,
    and the cell has gone on over the end of a line, then it is the next cell's opening
    quote, and all between was swallowed.

    Attributes:
        is_open: Whether the stream has ended inside quotes: in the last row.
    """

    def __init__(self, stream: io.BufferedReader, name: str, delimiter: bytes) -> None:
        self.is_open = False
        self._stream = stream
        self._name = name
        self._ends = (delimiter, b"\r", b"\n")  # of a cell
        self._last = b""  # byte that was given
        self._held = b""  # a quote at the end of a block: what follows decides
        self._inside = False
        self._length = 0  # of what is inside, in earlier blocks
        self._crossed = False  # whether that has the end of a line
        self._ended = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Give up to a block; a last line without an end gets one."""
        if self._ended:
            return b""
        data = self._held + self._stream.read(BLOCK if size < 0 else size)
        at_end = not self._stream.peek(1)
        if not self._last:
            check_text(self._name, data[:16])
        upto = self._followed(data, at_end)
        given, self._held = data[:upto], data[upto:]
        if at_end and not self._ended:
            self._ended, self.is_open = True, self._inside
            if not self._inside and (given or self._last)[-1:] not in b"\r\n":
                given += b"\n"
        self._last = given[-1:] or self._last
        return given or self.read(size)

    def _followed(self, data: bytes, at_end: bool) -> int:
        """Follow the quotes; returns up to where the block may be given."""
        begin = 0  # of what is inside, in this block
        held = 0
        for run in re.finditer(rb'"+', data):
            start, end = run.span()
            count = end - start
            if not self._inside:
                before = data[start - 1 : start] or self._last
                if before and before not in self._ends:
                    continue  # a quote like any other character
                self._inside, self._crossed, self._length = True, False, 0
                begin, count = start + 1, count - 1
            if count % 2 == 0:
                continue
            after = data[end : end + 1]
            if not after and not at_end:
                held = 1
                break
            if after and after not in self._ends and self._crosses(data[begin:start]):
                self._ended = self.is_open = True
                return end - 1
            self._inside = False
        if self._inside:
            self._crossed = self._crosses(data[begin:])
            self._length += len(data) - begin
            self._ended = self.is_open = self._length > LONGEST_ROW
        return len(data) - held

    def _crosses(self, inside: bytes) -> bool:
        return self._crossed or b"\n" in inside or b"\r" in inside
