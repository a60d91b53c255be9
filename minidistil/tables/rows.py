"""Some rows of one file, as they were read, and where each of them stood.

Rows of JSON keep their lines as they are: what stands beside the text comes out to the
byte. All other tables have columns of one type each, and are Arrow tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from minidistil.messages import MinidistilError

if TYPE_CHECKING:
    import pyarrow as pa


class TableError(MinidistilError, ValueError):
    """A table cannot be read, or not be written; the file and the row are named."""


@dataclass(frozen=True)
class LineRows:
    """Rows that were lines: JSON objects, or plain text.

    Attributes:
        file: The file's name, as a user knows it.
        numbers: The number of each row's line, from 1; blank lines of JSON are no rows.
        objects: What each row holds.
        lines: The JSON of each, as it was read, without the end of the line; None where
            the lines were plain text.
    """

    file: str
    numbers: Sequence[int]
    objects: Sequence[dict[str, Any]]
    lines: Sequence[bytes] | None = None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.objects)

    def number(self, place: int) -> int:
        """The number in its file, from 1, of the row at a place, from 0."""
        return self.numbers[place]

    def where(self, place: int) -> str:
        """What an error calls the row at a place, from 0."""
        return f"{self.file}, row {self.number(place)}"

    def slice(self, start: int, end: int) -> LineRows:
        """Some of the rows, from one place to another."""
        lines = None if self.lines is None else self.lines[start:end]
        objects = self.objects[start:end]
        return LineRows(self.file, self.numbers[start:end], objects, lines)

    def names(self) -> list[str]:
        """The columns, in the order in which they first appear."""
        return [*dict.fromkeys(name for each in self.objects for name in each)]

    def values(self, name: str) -> list[Any]:
        """A column; None where a row does not have it."""
        return [each.get(name) for each in self.objects]


@dataclass(frozen=True)
class TableRows:
    """Rows of a table whose columns have types.

    Attributes:
        file: The file's name, as a user knows it.
        first: The number of the first row in its file, from 1; a header is no row.
        table: The rows.
    """

    file: str
    first: int
    table: pa.Table

    def __len__(self) -> int:
        """How many rows there are."""
        return int(self.table.num_rows)

    def number(self, place: int) -> int:
        """The number in its file, from 1, of the row at a place, from 0."""
        return self.first + place

    def where(self, place: int) -> str:
        """What an error calls the row at a place, from 0."""
        return f"{self.file}, row {self.number(place)}"

    def slice(self, start: int, end: int) -> TableRows:
        """Some of the rows, from one place to another."""
        some = self.table.slice(start, end - start)
        return TableRows(self.file, self.first + start, some)

    def names(self) -> list[str]:
        """The columns, in order."""
        return [*self.table.column_names]

    def values(self, name: str) -> list[Any]:
        """A column as Python's own objects; None where it is null."""
        values: list[Any] = self.table.column(name).to_pylist()
        return values


Rows = LineRows | TableRows
