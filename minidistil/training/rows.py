"""Rows to learn from: where each of them stands, and the columns that a task reads.

Rows come from tables (`minidistil.tables`) or from any sequence of mappings. Whatever
is wrong with one is a `TrainingDataError`, which names the file and the row.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, TypeGuard

from minidistil.messages import (
    MinidistilError,
    check_characters,
    is_number,
    quote,
    unknown_keyword,
    with_library,
)
from minidistil.pipelines.reading import as_list, is_many
from minidistil.progress import counting_rows
from minidistil.tables.rows import LineRows
from minidistil.tables.sources import Source, open_source

# A file, a folder or a pattern, as `minidistil.tables` reads them; or the rows.
Named = str | os.PathLike[str] | Source
Data = Named | Iterable[Mapping[str, Any]]
PIECE = 1024  # rows that are tokenized at once


class TrainingDataError(MinidistilError, ValueError):
    """Data that cannot be learnt from; the file and the row are named."""


def wrong(where: str, got: str, expected: str) -> TrainingDataError:
    """The error for a row: where it stands, what it has, what it should have."""
    return TrainingDataError(f"{where}: got {got}, expected {expected}")


def is_named(data: Data) -> TypeGuard[Named]:
    """Whether it is files, and not the rows themselves."""
    return isinstance(data, str | os.PathLike | Source)


def rows_of(data: Data) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give each row with where it stands: "train.tsv, row 3", or "row 3", from 1.

    Raises:
        TrainingDataError: for what is no table and no sequence of mappings.
        TableError: if a file is damaged.
        OSError: if it cannot be read.
    """
    if isinstance(data, str | os.PathLike | Source):
        for piece in open_source(data).rows():
            rows: Iterable[Mapping[str, Any]]
            if isinstance(piece, LineRows):
                rows = piece.objects  # as they are: one may lack what others have
            else:
                rows = piece.table.to_pylist()
            for place, row in enumerate(rows):
                yield f"{piece.file}, row {piece.number(place)}", row
        return
    if isinstance(data, Mapping) or not isinstance(data, Iterable):
        raise wrong(
            "the data",
            with_library(data),
            "a file, a folder, or a list of rows, each a mapping from the names of "
            "columns to values",
        )
    if hasattr(data, "columns") and len(getattr(data, "shape", ())) == 2:
        way = "to_pylist()" if hasattr(data, "to_pylist") else 'to_dict("records")'
        raise wrong("the data", with_library(data), f"a list of rows: call its {way}")
    for number, row in enumerate(data, 1):
        if not isinstance(row, Mapping):
            raise wrong(
                f"row {number}",
                quote(row),
                "a mapping from the names of columns to values",
            )
        yield f"row {number}", row


class Places:
    """Where rows stand, as `rows_of` says it, in some bytes each."""

    def __init__(self) -> None:
        """Begin with no row."""
        self._names: dict[str, int] = {}
        self._name_of, self._numbers = array("i"), array("q")

    def add(self, where: str) -> None:
        """Take the next row: "train.tsv, row 3"."""
        name, _, number = where.rpartition(" ")
        self._name_of.append(self._names.setdefault(name, len(self._names)))
        self._numbers.append(int(number))

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> str:
        return f"{[*self._names][self._name_of[place]]} {self._numbers[place]}"


def name_of(data: Data) -> str:
    """What errors call the data as a whole."""
    if isinstance(data, Source):
        return ", ".join(file.name for file in data.files) or "the data"
    return os.fspath(data) if isinstance(data, str | os.PathLike) else "the data"


def identity_of(data: Data) -> Any:
    """What files hold, as JSON; None for rows, which can be anything."""
    if not is_named(data):
        return None
    return open_source(data).identity()


@dataclass(frozen=True)
class Column:
    """A column that a task reads.

    Attributes:
        role: What the task calls it, and so does who names another one: "text".
        names: The names that it often has; the first that is there is taken.
        needed: Whether there is no task without it.
        partner: Of which other column it is the second one, such as "text".
        beside: By the name of that one, how this one is called. Nobody else's second
            column is read without being asked for.
    """

    role: str
    names: tuple[str, ...] = ()
    needed: bool = True
    partner: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)


class Table:
    """The columns of some rows that a task reads.

    Attributes:
        name: What errors call the data.
        used: For each role the names of its columns: one, or of labels and choices
            perhaps several.
    """

    def __init__(
        self, data: Data, columns: Sequence[Column], chosen: Mapping[str, str]
    ) -> None:
        """Look at the first row.

        Args:
            data: The rows.
            columns: Those that the task reads.
            chosen: By role, the name of the column to take; several with commas.

        Raises:
            TypeError: for a role that the task does not have.
            TrainingDataError: if there are no rows, or a column is missing.
        """
        roles = [column.role for column in columns]
        if unknown := [role for role in chosen if role not in roles]:
            raise unknown_keyword(unknown, roles, "columns")
        self.name = name_of(data)
        rows = rows_of(data)
        first = next(rows, None)
        if first is None:
            raise TrainingDataError(f"{self.name}: got no rows, expected at least one")
        self._first, self._rows = first, chain([first], rows)
        self._columns = columns
        self._declared = getattr(data, "features", None)
        self.used: dict[str, list[str]] = {}
        for column in columns:
            if found := self._found(column, chosen, *first):
                self.used[column.role] = found

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Give each row, by role: a value, or of several columns a list of them.

        Raises:
            TrainingDataError: if a row does not have a column that is needed.
        """
        needed = {column.role for column in self._columns if column.needed}
        for where, row in self._rows:
            values = {}
            for role, names in self.used.items():
                for name in names:
                    if name not in row and (role in needed or len(names) > 1):
                        raise _missing(where, row, role, [name])
                found = [row.get(name) for name in names]
                values[role] = found if len(names) > 1 else found[0]
            yield where, values

    def pieces(self) -> Iterator[list[tuple[str, dict[str, Any]]]]:
        """The same, `PIECE` of them at a time."""
        rows = iter(self)
        with counting_rows(f"reading {self.name}", None) as read:
            while piece := [*islice(rows, PIECE)]:
                yield piece
                read(len(piece))

    def declared(self, role: str) -> list[str] | None:
        """The names of numbered labels, where a data set of `datasets` has them."""
        names = self.used.get(role, ())
        if self._declared is None or len(names) != 1:
            return None
        feature = self._declared.get(names[0])
        while feature is not None and not hasattr(feature, "names"):
            feature = getattr(feature, "feature", None)  # of a list
        return None if feature is None else [*feature.names]

    def missing(self, role: str, names: Sequence[str]) -> TrainingDataError:
        """The error where none of some columns is there."""
        return _missing(*self._first, role, names)

    def all_left_out(self, skipped: Mapping[str, int]) -> TrainingDataError:
        """The error where no row is left, with the reasons."""
        reasons = ", ".join(f"{why} ({rows})" for why, rows in skipped.items())
        return TrainingDataError(
            f"{self.name}: all rows were left out: {reasons}; expected at least one "
            f"that can be read"
        )

    def _found(
        self,
        column: Column,
        chosen: Mapping[str, str],
        where: str,
        row: Mapping[str, Any],
    ) -> list[str]:
        wanted = chosen.get(column.role)
        if wanted is not None:
            if not isinstance(wanted, str):
                raise TypeError(
                    f"the column of the {column.role} is {quote(wanted)}, expected its "
                    f"name; names of several have commas between"
                )
            names = [wanted] if wanted in row else wanted.split(",")
            if missing := [name for name in names if name not in row]:
                raise _missing(where, row, column.role, missing)
            return names
        if column.partner and column.partner not in chosen:
            names = [column.beside.get(name, "") for name in self.used[column.partner]]
        else:
            names = [*column.names]
        found = [name for name in names if name in row][:1]
        if column.needed and not found:
            raise _missing(where, row, column.role, names)
        return found


def _missing(
    where: str, row: Mapping[str, Any], role: str, names: Sequence[str]
) -> TrainingDataError:
    wanted = " or ".join(map(repr, names))
    return wrong(
        where,
        f"the columns {', '.join(map(repr, row)) or '(none)'}",
        f"{wanted}, or name the column of the {role}",
    )


# What a cell holds


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing: no value, no character, or pandas' nan."""
    nan = is_number(value) and value != value
    return value is None or value == "" or nan


def text_of(where: str, column: str, value: object) -> str:
    """The text of a cell; of an empty one, no characters.

    Raises:
        TrainingDataError: if it holds anything else.
    """
    if is_empty(value):
        return ""
    if not isinstance(value, str):
        raise wrong(where, f"the {column} {quote(value)}", "a text")
    try:
        check_characters(f"the {column}", value)
    except TypeError as error:
        raise TrainingDataError(f"{where}: {error}") from None
    return str(value)


def list_of(where: str, column: str, value: object) -> list[Any] | None:
    """The list of a cell: a list, or one of JSON in a text; None for anything else.

    Raises:
        TrainingDataError: for a text that begins as a list of JSON, and is none.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            found = json.loads(value)
        except ValueError as error:
            raise wrong(
                where, f"the {column} {quote(value)}", f"a list of JSON ({error})"
            ) from None
        return found if isinstance(found, list) else None
    return as_list(value) if is_many(value) else None
