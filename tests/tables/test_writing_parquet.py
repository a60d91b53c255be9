"""Parquet is written so that others read what was there."""

from __future__ import annotations

import io
import json

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from written import TABLE, labels, source_of, written

from minidistil.tables.columns import Vector
from minidistil.tables.rows import LineRows, TableError, TableRows
from minidistil.tables.sources import open_source
from minidistil.tables.writing import GROUP_ROWS


def test_every_type_is_in_parquet_what_it_was(tmp_path):
    stream = io.BytesIO()
    pq.write_table(TABLE, stream)
    table = pq.read_table(stream)  # what a file holds of these types
    pieces = [TableRows("x", place + 1, table.slice(place, 1)) for place in range(3)]
    new = {
        "label": ("string", ["a", None, "b"]),
        "v": (Vector(2), [torch.ones(2), None, torch.zeros(2)]),
    }
    path = written(tmp_path / "out.parquet", source_of(table), pieces, new)
    found = pq.read_table(path)
    kept = found.select(table.column_names)
    assert kept.schema == table.schema
    assert repr(kept.to_pylist()) == repr(table.to_pylist())  # NaN is not equal to NaN
    assert found.schema.field("label").type == pa.string()
    assert found.schema.field("v").type == pa.list_(pa.float32(), 2)
    assert found["v"].to_pylist() == [[1.0, 1.0], None, [0.0, 0.0]]


def test_pandas_finds_its_index_and_its_types_again(tmp_path):
    frame = pd.DataFrame(
        {
            "text": ["a", "b", "c"],
            "kind": pd.Categorical(["x", "y", "x"], ["y", "x", "z"]),
            "moment": pd.to_datetime(["2030-01-31", None, "2031-01-01"], utc=True),
            "number": pd.array([1, None, 3], dtype="Int64"),
        },
        index=pd.Index([10, 20, 30], name="id"),
    )
    frame.to_parquet(tmp_path / "in.parquet")
    source = open_source(tmp_path / "in.parquet")
    path = written(tmp_path / "out.parquet", source, source.rows(), labels(3))
    expected = frame.assign(label=["POSITIVE"] * 3)
    pd.testing.assert_frame_equal(
        pd.read_parquet(path), expected, check_like=True, check_dtype=False
    )
    pd.testing.assert_frame_equal(pd.read_parquet(path)[[*frame]], frame)


def test_metadata_and_rules_of_the_input_are_kept(tmp_path):
    field = pa.field("text", pa.string(), nullable=False, metadata={"why": "because"})
    schema = pa.schema([field], metadata={"made by": "hand"})
    table = pa.table({"text": ["a", "b"]}, schema)
    path = written(
        tmp_path / "out.parquet",
        source_of(table),
        [TableRows("x", 1, table)],
        labels(2),
    )
    found = pq.read_schema(path)
    assert found.metadata[b"made by"] == b"hand"
    assert found.field("text").metadata[b"why"] == b"because"
    assert not found.field("text").nullable


def test_dictionaries_may_differ_from_part_to_part(tmp_path):
    chunks = [
        pa.array(values).dictionary_encode()
        for values in (["a", "b"], ["b", "c", None])
    ]
    tables = [
        pa.table({"kind": chunk, "in": pa.array([{"k": 1}] * len(chunk))})
        for chunk in chunks
    ]
    pieces = [TableRows("x", 1, tables[0]), TableRows("x", 3, tables[1])]
    path = written(
        tmp_path / "out.parquet", source_of(tables[0]), pieces, labels(5), cut=1
    )
    found = pq.read_table(path)["kind"]
    assert found.type == chunks[0].type
    assert found.to_pylist() == ["a", "b", "b", "c", None]


def test_row_groups_are_neither_small_nor_large(tmp_path):
    count = GROUP_ROWS + GROUP_ROWS // 2
    table = pa.table({"text": ["x"] * count})
    pieces = [
        TableRows("x", start + 1, table.slice(start, 1024))
        for start in range(0, count, 1024)
    ]
    path = written(
        tmp_path / "out.parquet", source_of(table), pieces, labels(count), cut=16
    )
    sizes = [
        pq.read_metadata(path).row_group(i).num_rows
        for i in range(pq.read_metadata(path).num_row_groups)
    ]
    assert sum(sizes) == count
    assert len(sizes) == 2
    large = pa.table({"text": ["x" * 2**20] * 40})
    pieces = [
        TableRows("x", start + 1, large.slice(start, 4)) for start in range(0, 40, 4)
    ]
    path = written(tmp_path / "large.parquet", source_of(large), pieces, labels(40))
    groups = [
        pq.read_metadata(path).row_group(i).num_rows
        for i in range(pq.read_metadata(path).num_row_groups)
    ]
    assert max(groups) <= 16
    assert min(groups[:-1]) >= 8


def test_lines_of_json_become_columns_with_types(tmp_path):
    (tmp_path / "in.jsonl").write_text(
        '{"a": 1, "b": {"c": [1.5]}}\n{"a": null, "d": "x"}\n'
    )
    source = open_source(tmp_path / "in.jsonl")
    path = written(tmp_path / "out.parquet", source, source.rows(), labels(2))
    assert pq.read_table(path).to_pylist() == [
        {"a": 1, "b": {"c": [1.5]}, "d": None, "label": "POSITIVE"},
        {"a": None, "b": None, "d": "x", "label": "POSITIVE"},
    ]


@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
def test_what_a_column_cannot_hold_is_an_error_with_its_row(tmp_path, name):
    lines = ['{"text": "a"}', r'{"text": "\ud800"}']
    rows = LineRows(
        "in.jsonl", [4, 7], [*map(json.loads, lines)], [line.encode() for line in lines]
    )
    table = pa.table({"text": ["a"]})
    with pytest.raises(TableError, match=r"in\.jsonl, row 7: 'text'.*jsonl"):
        written(tmp_path / name, source_of(table), [rows], labels(2))
