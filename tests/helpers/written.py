"""Tables that are written in parts, for `test_writing`, and one of all types."""

from __future__ import annotations

import datetime
import decimal
import gzip
import math
from collections.abc import Iterable
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.csv

from minidistil.tables.columns import Column
from minidistil.tables.rows import Rows
from minidistil.tables.writing import writer_for

LABELS = [Column("label", "string", lambda answer: answer)]


def source_of(table: pa.Table):
    return SimpleNamespace(scanned=lambda: table.schema)


def labels(count: int):
    return {"label": ("string", ["POSITIVE"] * count)}


def written(path, source, pieces: Iterable[Rows], new, *, cut=2):
    """Write rows in parts, so many pieces in each, and then the whole."""
    columns = [
        Column(name, kind, lambda answer: answer) for name, (kind, _) in new.items()
    ]
    writer = writer_for(path, source, columns)
    pieces, parts, start = [*pieces], [], 0
    for number in range(0, len(pieces), cut):
        some = pieces[number : number + cut]
        end = start + sum(map(len, some))
        parts.append(path.with_name(f"part{number}{writer.suffix}"))
        share = {
            name: (kind, values[start:end]) for name, (kind, values) in new.items()
        }
        writer.part(parts[-1], some, share)
        start = end
    writer.whole(path, parts)
    return path


def opened(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    with pa.input_stream(path) as stream:  # compression by ending
        return stream.read()


TYPED = {
    "text": (pa.array(["é", "", None]), ["é", "", None]),
    "large": (pa.array(["a", None, "b"], pa.large_string()), ["a", None, "b"]),
    "bytes": (pa.array([b"\xff\x00", b"", None]), ["/wA=", "", None]),
    "kind": (pa.array(["x", "y", "x"]).dictionary_encode(), ["x", "y", "x"]),
    "integer": (pa.array([2**63 - 1, -1, None]), [2**63 - 1, -1, None]),
    "float": (pa.array([0.1, math.nan, -math.inf]), [0.1, None, None]),
    "half": (pa.array([0.5, 2, None], pa.float32()).cast(pa.float16()), [0.5, 2, None]),
    "flag": (pa.array([True, False, None]), [True, False, None]),
    "nothing": (pa.nulls(3), [None, None, None]),
    "money": (
        pa.array([decimal.Decimal("1.10"), None, -2], pa.decimal128(9, 2)),
        ["1.10", None, "-2.00"],
    ),
    "day": (
        pa.array([datetime.date(2030, 1, 31), None, datetime.date(1969, 1, 1)]),
        ["2030-01-31", None, "1969-01-01"],
    ),
    "clock": (
        pa.array([datetime.time(1, 2, 3), None, None]),
        ["01:02:03.000000", None, None],
    ),
    "moment": (
        pa.array([1, None, 10**9 + 1], pa.timestamp("ns")),
        ["1970-01-01T00:00:00.000000001", None, "1970-01-01T00:00:01.000000001"],
    ),
    "here": (
        pa.array([0, None, 1], pa.timestamp("s", "Asia/Kolkata")),
        ["1970-01-01T05:30:00+05:30", None, "1970-01-01T05:30:01+05:30"],
    ),
    "there": (
        pa.array([0, None, 1], pa.timestamp("s", "UTC")),
        ["1970-01-01T00:00:00Z", None, "1970-01-01T00:00:01Z"],
    ),
    "lasted": (pa.array([1500, None, 0], pa.duration("ms")), [1500, None, 0]),
    "list": (pa.array([[0.5, math.nan], None, []]), [[0.5, None], None, []]),
    "days": (
        pa.array([[datetime.date(2030, 1, 31), None], None, []]),
        [["2030-01-31", None], None, []],
    ),
    "fixed": (
        pa.array([[1, 2], None, [3, None]], pa.list_(pa.int8(), 2)),
        [[1, 2], None, [3, None]],
    ),
    "struct": (
        pa.array([{"a": b"\xff", "b": {"c": 1}}, None, {"a": None, "b": None}]),
        [{"a": "/w==", "b": {"c": 1}}, None, {"a": None, "b": None}],
    ),
    "map": (
        pa.array([[(1, "a")], None, []], pa.map_(pa.int64(), pa.string())),
        [[{"key": 1, "value": "a"}], None, []],
    ),
}  # fmt: skip
TABLE = pa.table({name: array for name, (array, _) in TYPED.items()})
