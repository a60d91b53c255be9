"""CSV and TSV: split into whole rows here, and parsed by pyarrow, every cell a string.

The quotes are followed here for two reasons. pyarrow's own stream of a file fetches up
to 32 blocks ahead, and a row has to fit in a block. And it does not say that a quote is
never closed: all that follows is then one cell.
"""

from __future__ import annotations

import io
import re
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from minidistil.messages import quote
from minidistil.tables.arrow import arrow
from minidistil.tables.formats import DELIMITERS
from minidistil.tables.line_files import MOST_ROWS, too_long
from minidistil.tables.rows import TableError, TableRows
from minidistil.tables.stored import (
    BLOCK,
    LONGEST_ROW,
    MARK,
    File,
    check_text,
    damage,
    not_utf8,
)

if TYPE_CHECKING:
    import pyarrow as pa

_WRONG_ROW = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
_HEADER = 2**16  # bytes that are read for the names of the columns
_QUOTES = re.compile(rb'"*')
_ODD = re.compile(rb'(?<!")"(?:"")*(?!")')  # an odd number of them, one after another


class CsvReader:
    """Reads files of cells between delimiters.

    Args:
        format: "csv" or "tsv".
        quotes: Whether cells may stand in quotes; if not, a quote is a character.
    """

    def __init__(self, format: str, quotes: bool = True) -> None:
        self._delimiter, self._quotes = DELIMITERS[format], quotes

    def schema(self, file: File) -> pa.Schema:
        """The columns that the header names, all of them strings.

        Raises:
            TableError: if there is no header, or it names a column twice.
        """
        names = next(self._tables(file, None, _HEADER)).column_names
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
        row = 0  # how many are before a table
        for table in self._tables(file, schema, BLOCK):
            left_out = min(skip, table.num_rows)
            first, skip = row + left_out + 1, skip - left_out
            row += table.num_rows
            strings = _as_strings(file.name, first, table.slice(left_out), schema)
            for start in range(0, strings.num_rows, MOST_ROWS):
                piece = strings.slice(start, MOST_ROWS)
                yield TableRows(file.name, first + start, piece)
        return skip

    def _tables(
        self, file: File, schema: pa.Schema | None, size: int
    ) -> Iterator[pa.Table]:
        """Parse a file; the cells are bytes if their columns are known."""
        names: list[str] | None = None  # in the file's order
        row = 0
        with file.unpacked() as stream:
            check_text(file.name, stream.peek(16)[:16])
            if stream.peek(3).startswith(MARK):
                stream.read(len(MARK))
            delimiter = self._delimiter.encode()
            for data, is_open in _whole_rows(stream, delimiter, size, self._quotes):
                if data is None:
                    raise (_never_closed if is_open else too_long)(file.name, row + 1)
                if not data.strip(b"\r\n"):
                    continue
                table = self._parsed(file.name, data, is_open, names, schema, row)
                row += table.num_rows
                if is_open:
                    raise _never_closed(file.name, row)
                names = table.column_names
                yield table
        if names is None:
            raise _without_header(file.name)

    def _parsed(
        self,
        name: str,
        data: bytes,
        is_open: bool,
        names: list[str] | None,
        schema: pa.Schema | None,
        row: int,
    ) -> pa.Table:
        csv, arrow_ = arrow("csv"), arrow()
        if names is None and not is_open:
            data += b"\n"  # without an end, pyarrow takes no line for a header
        if data.startswith(MARK):
            data = MARK + data  # it is a character, but pyarrow leaves one out
        types = {} if schema is None else dict.fromkeys(schema.names, arrow_.binary())
        try:
            table = csv.read_csv(
                io.BytesIO(data),
                csv.ReadOptions(
                    use_threads=False, block_size=len(data) + 1, column_names=names
                ),
                csv.ParseOptions(
                    delimiter=self._delimiter,
                    quote_char='"' if self._quotes else False,
                    newlines_in_values=self._quotes,
                ),
                csv.ConvertOptions(
                    column_types=types,
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                    check_utf8=False,
                ),
            )
            table.column_names  # noqa: B018  it decodes them
        except UnicodeDecodeError as error:
            raise damage(name, None, not_utf8(error, "the header")) from None
        except arrow_.ArrowInvalid as error:
            # Its handler of wrong rows does not take those that are not UTF-8 either.
            wrong = _WRONG_ROW.search(str(error))
            # The header is the first row that it counts, where there is one.
            row += int(wrong[1]) - (names is None) if wrong else 0
            if is_open:
                raise _never_closed(name, row) from None
            if wrong:
                cells = f"{wrong[3]} cell{'s' * (wrong[3] != '1')}"
                raise damage(name, row, f"{cells}, expected {wrong[2]}") from None
            if "Empty CSV" in str(error):
                raise _without_header(name) from None
            raise
        return table


def _without_header(name: str) -> TableError:
    return damage(name, None, "empty; expected a header with the names of columns")


def _never_closed(name: str, row: int) -> TableError:
    where = "" if row else " in the header"
    what = (
        f"a quote{where} is never closed; close it, or write it twice within quotes; "
        f"where a quote is a character like any other, give --no-quotes (in Python, "
        f"open_source(path, quotes=False))"
    )
    return damage(name, row or None, what)


def _as_strings(name: str, first: int, table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Make text of bytes, or say where they are none."""
    table = table.select(schema.names)
    try:
        return table.cast(schema)
    except arrow().ArrowInvalid:
        for column in table.column_names:
            for row, cell in enumerate(table.column(column).to_pylist(), first):
                try:
                    (cell or b"").decode()
                except UnicodeDecodeError as error:
                    where = f"column {quote(column)}"
                    raise damage(name, row, not_utf8(error, where)) from None
        raise


def _whole_rows(
    stream: io.BufferedReader, delimiter: bytes, size: int, quotes: bool = True
) -> Iterator[tuple[bytes | None, bool]]:
    """Split a file where rows end, about every ``size`` bytes.

    A quote opens a cell at the cell's beginning only; inside, two of them stand for
    one, and a single one ends the cell. If it does not, because something follows it,
    and the cell has gone on over the end of a line, then it is the next cell's opening
    quote, and all between was swallowed.

    Yields:
        Some rows, and whether the last of them has a quote that is never closed: then
        they are the last ones. None for a row that is longer than any should be.
    """
    cell_ends = (delimiter, b"\r", b"\n")
    data = b""
    at = 0  # up to where quotes have been followed
    opened = -1  # the place of the quote that has been opened
    upto = 0  # where the last whole row ends
    at_end = False
    while not at_end:
        # Twice as much each time, so that a long row is not copied for each block.
        more = stream.read(max(size, len(data)))
        data, at_end = data + more, not more
        while at < len(data):
            if opened < 0:
                found = data.find(b'"', at) if quotes else -1
                stop = len(data) if found < 0 else found
                ends = (data.rfind(end, at, stop) for end in (b"\n", b"\r"))
                upto = 1 + max(ends) or upto
                at = stop + (found >= 0)
                if found > 0 and data[found - 1 : found] not in cell_ends:
                    continue  # a quote like any other character
                opened = found
            else:
                closing = _single_quote(data, opened + 1)
                after = data[closing + 1 : closing + 2]
                if closing < 0 or (not after and not at_end):
                    break
                swallowed = after and after not in cell_ends
                if swallowed and re.search(rb"[\r\n]", data[opened:closing]):
                    yield data[:closing], True
                    return
                at, opened = closing + 1, -1
        if at_end:
            yield data, opened >= 0
        elif not upto and len(data) > LONGEST_ROW:
            yield None, opened >= 0
            return
        elif upto:
            yield data[:upto], False
            data, at, opened, upto = data[upto:], at - upto, max(opened - upto, -1), 0


def _single_quote(data: bytes, begin: int) -> int:
    """The place, inside quotes, of one that is not one of two; -1 if there is none."""
    doubled = _QUOTES.match(data, begin)
    if doubled and len(doubled[0]) % 2:
        return doubled.end() - 1
    found = _ODD.search(data, doubled.end() if doubled else begin)
    return found.end() - 1 if found else -1
