"""Rows and answers as text: lines of JSON, and cells of CSV and TSV.

JSON has no dates, decimals, bytes, NaN: they become ISO 8601, strings, base64, null.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any

from minidistil.tables.arrow import arrow
from minidistil.tables.columns import New
from minidistil.tables.rows import LineRows, Rows

if TYPE_CHECKING:
    import pyarrow as pa

# One for all: to make one takes longer than to use it. Tensors are lists of numbers.
_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, default=lambda tensor: tensor.tolist()
).encode


def json_lines(pieces: Sequence[Rows], new: New) -> Iterator[bytes]:
    """Rows and their new columns as lines of JSON, each with its end.

    Rows that were lines of JSON are kept to the byte; the new keys stand behind them.
    No row has a key of such a name already (`Answering.answer`).
    """
    start = 0
    for rows in pieces:
        end = start + len(rows)
        some = {name: values[start:end] for name, (_, values) in new.items()}
        added = _members(some) if some else repeat("", len(rows))
        for line, members in zip(_objects(rows), added, strict=True):
            # All before the brace that ends the object.
            body = line.rstrip()[:-1].rstrip()
            comma = b", " if members and not body.endswith(b"{") else b""
            yield body + comma + _encoded(members) + b"}\n"
        start = end


def delimited(tables: Iterable[pa.Table], delimiter: str) -> Iterator[bytes]:
    """Tables as lines of cells, with quotes only where they are needed.

    A null is an empty cell, and the empty string is a cell with two quotes.
    """
    pc = arrow("compute")
    text = arrow().large_string()
    mark, nothing = arrow().scalar('"', text), arrow().scalar("", text)
    between = arrow().scalar(delimiter, text)

    def cells(array: pa.Array) -> pa.Array:
        special = pc.or_(
            pc.match_substring_regex(array, f'["\r\n{delimiter}]'),
            pc.equal(array, nothing),
        )
        escaped = pc.replace_substring(array, '"', '""')
        quoted = pc.binary_join_element_wise(mark, escaped, mark, nothing)
        return pc.fill_null(pc.if_else(special, quoted, array), nothing)

    for table in tables:
        for batch in table.to_batches():
            columns = [cells(as_text(column)) for column in batch.columns]
            rows = pc.binary_join_element_wise(*columns, between)
            yield "".join(f"{row}\n" for row in rows.to_pylist()).encode()


def as_text(array: pa.Array) -> pa.Array:
    """An array of any type as large strings: what stands in the cells of a CSV file."""
    pa, pc = arrow(), arrow("compute")
    array = _simpler(array)
    kind = array.type
    if pa.types.is_nested(kind):
        texts = [
            None if value is None else as_json(value) for value in as_values(array)
        ]
        return pa.array(texts, pa.large_string())
    if _is_binary(kind):
        return pa.array(as_values(array), pa.large_string())
    texts = pc.cast(array, pa.large_string())
    if pa.types.is_timestamp(kind):  # 2030-01-31 12:30:00+0100
        texts = pc.replace_substring(texts, " ", "T")
        texts = pc.replace_substring_regex(texts, r"([+-]\d\d)(\d\d)$", r"\1:\2")
    return texts


def as_values(array: pa.Array) -> list[Any]:
    """An array of any type as values for `as_json`."""
    types = arrow().types
    array = _simpler(array)
    kind = array.type
    if types.is_struct(kind):
        names = [kind.field(place).name for place in range(kind.num_fields)]
        fields = [as_values(field) for field in array.flatten()]
        rows = zip(*fields, strict=True) if fields else repeat((), len(array))
        return [
            dict(zip(names, row, strict=True)) if is_there else None
            for row, is_there in zip(rows, array.is_valid().to_pylist(), strict=True)
        ]
    if types.is_nested(kind):
        values = iter(as_values(array.flatten()))
        lengths = arrow("compute").list_value_length(array).to_pylist()
        return [None if n is None else [*islice(values, n)] for n in lengths]
    if types.is_temporal(kind) or types.is_decimal(kind):
        array = as_text(array)
    found: list[Any] = array.to_pylist()
    if _is_binary(kind):
        return [None if v is None else base64.b64encode(v).decode() for v in found]
    return found


def as_json(value: Any) -> str:
    """A value on one line of JSON; it may hold tensors. NaN and infinities are null."""
    try:
        return _dumps(value)
    except ValueError:
        return _dumps(_finite(value))


def as_cell(value: Any) -> str | None:
    """A value of JSON as a cell of CSV: a string as it is, all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    return _encoded(as_json(value)).decode()


def _objects(rows: Rows) -> Iterator[bytes]:
    """Each row as a JSON object."""
    if not isinstance(rows, LineRows):
        columns = [
            [value for chunk in column.chunks for value in as_values(chunk)]
            for column in rows.table.columns
        ]
        names = rows.names()
        for row in zip(*columns, strict=True):
            yield _encoded(as_json(dict(zip(names, row, strict=True))))
        return
    if rows.lines is not None:
        yield from rows.lines
    else:
        yield from (_encoded(as_json(each)) for each in rows.objects)


def _members(new: dict[str, list[Any]]) -> Iterator[str]:
    """For each row the new keys and their values, without the braces around them."""
    keys = {name: as_json(name) for name in new}
    columns = [
        [f"{keys[name]}: {as_json(value)}" for value in values]
        for name, values in new.items()
    ]
    return (", ".join(row) for row in zip(*columns, strict=True))


def _encoded(text: str) -> bytes:
    # JSON has an escape for half of a surrogate pair, which UTF-8 has not.
    return text.encode("utf-8", "backslashreplace")


def _simpler(array: pa.Array) -> pa.Array:
    """The array in a type that has the same values and that Arrow can do more with."""
    pa = arrow()
    types, kind = pa.types, array.type
    if isinstance(array, pa.ExtensionArray):
        return _simpler(array.storage)
    if types.is_dictionary(kind):
        return _simpler(array.dictionary_decode())
    if types.is_map(kind):  # its keys need not be strings: pairs
        pair = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return array.cast(pa.list_(pair))
    if types.is_float16(kind):
        return array.cast(pa.float32())
    if types.is_duration(kind):  # how many of its unit, as Arrow writes it too
        return array.cast(pa.int64())
    return array


def _is_binary(kind: pa.DataType) -> bool:
    types = arrow().types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def _finite(value: Any) -> Any:
    """The value with null in place of NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return _finite(value.tolist()) if hasattr(value, "tolist") else value
