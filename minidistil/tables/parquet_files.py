"""Parquet, read by pyarrow: a piece of a row group at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minidistil.messages import quote
from minidistil.tables.arrow import arrow
from minidistil.tables.line_files import MOST_ROWS
from minidistil.tables.rows import TableError, TableRows
from minidistil.tables.stored import File, damage

if TYPE_CHECKING:
    import pyarrow as pa

# Bytes of a column that are fetched at once, not the whole of it: a row group may be
# as large as the file.
_BUFFER = 2**18
_MOST_BYTES = 2**24  # of a batch, by what its row group says of its rows


class ParquetReader:
    """Reads Parquet files."""

    def __init__(self) -> None:
        self._counts: dict[File, int] = {}

    def schema(self, file: File) -> pa.Schema:
        """The columns and their types.

        Raises:
            TableError: if two columns have one name.
        """
        with self._opened(file) as opened:
            schema = opened.schema_arrow
            names = schema.names
            self._counts[file] = opened.metadata.num_rows
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise TableError(
                f"{file.name} has two columns {quote(twice[0])}; rename one of them"
            )
        return schema

    def count(self, file: File) -> int | None:
        """How many rows a file has."""
        if file not in self._counts:
            self.schema(file)
        return self._counts[file]

    def rows(
        self, file: File, skip: int, schema: pa.Schema
    ) -> Generator[TableRows, None, int]:
        """Read a file's rows, after the first ``skip`` of them, in the schema's order.

        Row groups that are skipped are not read.

        Returns:
            How many of those that were to be skipped this file does not have.
        """
        count = self.count(file) or 0
        if skip >= count:
            return skip - count
        row = skip
        with self._opened(file) as opened:
            before = 0  # the first row of a row group
            for number in range(opened.num_row_groups):
                group = opened.metadata.row_group(number)
                after = before + group.num_rows
                if row < after:
                    size = group.total_byte_size // max(group.num_rows, 1)
                    batches = opened.iter_batches(
                        batch_size=max(1, min(MOST_ROWS, _MOST_BYTES // max(size, 1))),
                        row_groups=[number],
                        use_threads=False,
                    )
                    for table in _checked(file, before, batches):
                        left_out = min(max(row - before, 0), table.num_rows)
                        before += table.num_rows
                        if left_out < table.num_rows:
                            piece = _as(schema, file, row + 1, table.slice(left_out))
                            yield TableRows(file.name, row + 1, piece)
                            row = before
                before = after
        return 0

    @contextmanager
    def _opened(self, file: File) -> Iterator[Any]:
        parquet = arrow("parquet")
        with file.reading(), file.opened() as stream:
            if file.size == 0:
                raise damage(file.name, None, "empty, no Parquet file")
            with parquet.ParquetFile(
                stream,
                buffer_size=_BUFFER,
                pre_buffer=False,
                page_checksum_verification=True,
            ) as opened:
                yield opened


def _checked(file: File, row: int, batches: Iterator[Any]) -> Iterator[pa.Table]:
    """Give batches as tables; an error in one names its first row."""
    while True:
        with file.telling_damage(f"{row + 1} or one behind it"):
            batch = next(batches, None)
            if batch is None:
                return
            table = arrow().Table.from_batches([batch])
            table.validate(full=True)  # of strings that they are UTF-8, for one
        yield table
        row += table.num_rows


def _as(schema: pa.Schema, file: File, row: int, table: pa.Table) -> pa.Table:
    """The same rows with the columns, and their types, that all files share."""
    table = table.select(schema.names)
    if table.schema.equals(schema, check_metadata=True):
        return table
    with file.telling_damage(f"{row} or one behind it"):
        return table.cast(schema)
