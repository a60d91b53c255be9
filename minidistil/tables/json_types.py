"""The columns of JSON lines, and their types, as all rows together have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from minidistil.messages import quote
from minidistil.tables.arrow import arrow
from minidistil.tables.stored import damage

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_EXACT = 2**53  # the integers up to it are all numbers of 64 bits with a fraction
_ADVICE = "make them one type, or write JSON lines (.jsonl), which keep each as it is"


class Place(NamedTuple):
    """Where a row stands: the file's name, and the row's number in it."""

    file: str
    row: int


class Seen:
    """What values of a column, or of a field in it, have been seen.

    Args:
        path: The names on the way to it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._type: type | None = None
        self._first = Place("", 0)  # the row in which that type was seen first
        self._large: Place | None = None  # the row of a large integer
        self._items: Seen | None = None
        self.fields: dict[str, Seen] = {}

    def add(self, value: Any, place: Place) -> None:
        """See one value more.

        Raises:
            TableError: if no type holds it and those before it.
        """
        if value is None:
            return
        kind = type(value)
        if kind is not self._type:
            self._widen(kind, place)
        if kind is str:
            self._check_string(value, place)
        elif kind is int:
            self._check_integer(value, place)
        elif kind is list:
            if self._items is None:
                self._items = Seen(f"{self._path}[]")
            for each in value:
                self._items.add(each, place)
        elif kind is dict:
            for name, each in value.items():
                if name not in self.fields:
                    self._check_string(name, place)
                    inner = f"{self._path}.{name}" if self._path else name
                    self.fields[name] = Seen(inner)
                self.fields[name].add(each, place)
        if self._large and self._type is float:
            raise damage(
                *self._large,
                f"column {quote(self._path)} holds an integer of more than 53 bits, "
                f"and in {self._first.file}, row {self._first.row} a fraction; "
                f"{_ADVICE}",
            )

    def arrow_type(self) -> pa.DataType:
        """The type that holds all values that were seen."""
        arrow_ = arrow()
        if self._type is list:
            return arrow_.list_(
                self._items.arrow_type() if self._items else arrow_.null()
            )
        if self._type is dict:
            return arrow_.struct(self._named_types())
        if self._type is None:
            return arrow_.null()
        simple = {bool: "bool", int: "int64", float: "double", str: "string"}
        return arrow_.type_for_alias(simple[self._type])

    def schema(self) -> pa.Schema:
        """The fields as columns, in the order in which they were first seen."""
        return arrow().schema(self._named_types())

    def _named_types(self) -> list[tuple[str, pa.DataType]]:
        return [(name, seen.arrow_type()) for name, seen in self.fields.items()]

    def _widen(self, kind: type, place: Place) -> None:
        if self._type is None or (self._type, kind) == (int, float):
            self._type, self._first = kind, place
        elif (self._type, kind) != (float, int):
            raise damage(
                *place,
                f"column {quote(self._path)} holds {_KINDS[kind]}, and in "
                f"{self._first.file}, row {self._first.row} {_KINDS[self._type]}; "
                f"{_ADVICE}",
            )

    def _check_integer(self, value: int, place: Place) -> None:
        if not -(2**63) <= value < 2**63:
            raise damage(
                *place,
                f"column {quote(self._path)} holds {quote(value)}, an integer of more "
                f"than 64 bits; {_ADVICE}",
            )
        if abs(value) > _EXACT:
            self._large = self._large or place

    def _check_string(self, value: str, place: Place) -> None:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise damage(
                *place,
                f"{f'column {quote(self._path)}' if self._path else 'a name'} has half "
                f"of a surrogate pair, {value[error.start]!r}, which no other format "
                f"holds; write JSON lines (.jsonl)",
            ) from None
