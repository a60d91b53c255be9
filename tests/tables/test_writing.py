"""What is written, and how, is said by the name; no file depends on the pieces."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from written import LABELS, TABLE, labels, opened, source_of, written

from minidistil.tables.rows import TableRows
from minidistil.tables.sources import texts_of
from minidistil.tables.writing import write_lines, writer_for

# Names


def test_the_ending_says_the_format(tmp_path):
    table = pa.table({"text": ["a"]})
    for name in ("a.JSONL", "a.b.csv.gz", "a.tsv.zst", "a.parquet"):
        writer = writer_for(tmp_path / name, source_of(table), LABELS)
        assert writer.suffix == name[name.index(".") :].lower().removeprefix(".b")
        assert not writer.is_folder


def test_a_folder_gets_parquet(tmp_path):
    (tmp_path / "there.csv").mkdir()
    for name in ("new/", "there.csv"):
        writer = writer_for(os.path.join(tmp_path, name), source_of(TABLE), LABELS)  # noqa: PTH118  # keeps the /
        assert (writer.suffix, writer.is_folder) == (".parquet", True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("labels", r"'labels'.*\.jsonl, \.csv, \.tsv.*\.parquet.*folder"),
        ("labels.xlsx", r"\.jsonl"),
        ("labels.json", r"\.jsonl"),
        ("labels.csv.bz2", r"\.jsonl"),
        ("labels.txt", "no room for answers"),
        ("labels.parquet.gz", "compressed inside"),
        ("s3://bucket/labels.csv", "write to one, and copy"),
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_written_is_an_error_before_rows_are_read(name, message):
    source = SimpleNamespace(scanned=pytest.fail)
    with pytest.raises(ValueError, match=message):
        writer_for(name, source, LABELS)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="is a file"):
        writer_for(f"{tmp_path}/file/", source_of(TABLE), LABELS)


# Streams


def test_a_stream_that_takes_less_at_once_gets_all():
    class Slow(io.RawIOBase):
        content = b""

        def write(self, data):
            self.content += bytes(data[:3])
            return min(len(data), 3)

    stream = Slow()
    (rows,) = texts_of(["One", "Two"]).rows()
    write_lines(stream, [rows], labels(2))
    assert [json.loads(line)["text"] for line in stream.content.splitlines()] == [
        "One",
        "Two",
    ]


def test_a_stream_of_text_is_an_error_that_says_what_to_use():
    with pytest.raises(TypeError, match=r"sys\.stdout\.buffer"):
        write_lines(io.StringIO(), [], {})


# Without pyarrow


def test_lines_of_json_need_no_pyarrow(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    source = texts_of(["One"])
    for name in ("a.jsonl", "a.jsonl.gz"):
        path = written(tmp_path / name, source, source.rows(), labels(1))
        assert b"POSITIVE" in (
            gzip.decompress(path.read_bytes()) if "gz" in name else path.read_bytes()
        )
    for name in ("a.csv", "a.parquet", "a.jsonl.zst"):
        with pytest.raises(ImportError, match=r"minidistil\[tables\]"):
            writer_for(tmp_path / name, source, LABELS)


# Compressed


@pytest.mark.parametrize("ending", ["gz", "zst"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_parts_that_were_compressed_are_one_file(tmp_path, kind, ending):
    table = pa.table({"text": [f"text {number}" for number in range(100)]})
    pieces = [
        TableRows("x", start + 1, table.slice(start, 7)) for start in range(0, 100, 7)
    ]
    plain = written(tmp_path / f"out.{kind}", source_of(table), pieces, labels(100))
    packed = written(
        tmp_path / f"out.{kind}.{ending}", source_of(table), pieces, labels(100)
    )
    assert opened(packed) == plain.read_bytes()


def test_other_readers_read_all_members(tmp_path):
    table = pa.table({"text": [f"text {number}" for number in range(100)]})
    pieces = [
        TableRows("x", start + 1, table.slice(start, 7)) for start in range(0, 100, 7)
    ]
    for ending in ("gz", "zst"):
        path = written(
            tmp_path / f"out.csv.{ending}", source_of(table), pieces, labels(100)
        )
        assert (
            pa.csv.read_csv(path).column("text").to_pylist()
            == table["text"].to_pylist()
        )
    assert len(pd.read_csv(tmp_path / "out.csv.gz")) == 100


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv.gz", "a.tsv.zst", "a.jsonl.gz"])
def test_a_part_is_the_same_however_its_rows_were_read(tmp_path, name):
    table = pa.table({"text": [f"text {number}" for number in range(3000)]})
    writer = writer_for(tmp_path / name, source_of(table), LABELS)
    found = set()
    for size in (3000, 1024, 7):
        pieces = [
            TableRows("x", start + 1, table.slice(start, size))
            for start in range(0, 3000, size)
        ]
        writer.part(tmp_path / "part", pieces, labels(3000))
        found.add((tmp_path / "part").read_bytes())
    assert len(found) == 1


def test_a_gzip_file_has_neither_a_time_nor_a_name(tmp_path):
    path = written(tmp_path / "out.jsonl.gz", None, [], {})
    flags, time = path.read_bytes()[3], path.read_bytes()[4:8]
    assert (flags, time) == (0, bytes(4))


# Of no rows


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv", "a.csv.gz", "a.parquet"]
)
def test_of_no_rows_there_is_a_table_without_rows(tmp_path, name):
    table = pa.table({"text": pa.array([], pa.string())})
    path = written(tmp_path / name, source_of(table), [], {"label": ("string", [])})
    if name == "a.parquet":
        found = pq.read_table(path)
        assert (found.num_rows, found.column_names) == (0, ["text", "label"])
    else:
        content = path.read_bytes() if name.count(".") == 1 else opened(path)
        assert content == (b"text,label\n" if "csv" in name else b"")
