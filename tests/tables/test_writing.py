"""Rows and answers are written so that others read what was there."""

from __future__ import annotations

import base64
import csv
import datetime
import decimal
import gzip
import io
import json
import math
import os
import re
import sys
from collections.abc import Iterable
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, strategies as st

from minidistil.tables.columns import Column, Vector
from minidistil.tables.rows import LineRows, Rows, TableError, TableRows
from minidistil.tables.sources import open_source, texts_of
from minidistil.tables.writing import GROUP_ROWS, write_lines, writer_for

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


def lines_with(new, *lines: bytes) -> bytes:
    rows = LineRows(
        "reviews.jsonl", range(1, 1 + len(lines)), [*map(json.loads, lines)], lines
    )
    stream = io.BytesIO()
    write_lines(stream, [rows], new)
    return stream.getvalue()


# Lines of JSON


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"a": 1}', b'{"a": 1, "label": "POSITIVE"}'),
        (b'{"a":1 , "b" : {} }', b'{"a":1 , "b" : {}, "label": "POSITIVE"}'),
        (
            b' {"a": "\\u00e9 \xc3\xa9"}\t',
            b' {"a": "\\u00e9 \xc3\xa9", "label": "POSITIVE"}',
        ),
        (b"{}", b'{"label": "POSITIVE"}'),
        (b"{ }", b'{"label": "POSITIVE"}'),
        (b'{"a": 1.50e3, "a": 2}', b'{"a": 1.50e3, "a": 2, "label": "POSITIVE"}'),
        (b'{"{": "}"}', b'{"{": "}", "label": "POSITIVE"}'),
    ],
)
def test_a_line_of_json_is_kept_to_the_byte(line, expected):
    assert lines_with(labels(1), line) == expected + b"\n"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.text().filter(lambda key: key != "label"), VALUES), st.booleans()
)
def test_any_json_object_gets_the_new_keys_and_keeps_its_own(row, ascii_only):
    line = json.dumps(row, ensure_ascii=ascii_only).encode("utf-8", "backslashreplace")
    found = lines_with(labels(1), line)
    assert found.startswith(line[:-1])
    assert [*json.loads(found).items()] == [*row.items(), ("label", "POSITIVE")]


def test_a_row_that_has_the_name_of_an_answer_is_an_error_that_names_it():
    with pytest.raises(TableError, match=r"reviews.jsonl, row 2,.*'label'.*prefix"):
        lines_with(labels(2), b'{"a": 1}', b'{"label": 1}')


def test_lines_of_text_become_json():
    stream = io.BytesIO()
    (rows,) = texts_of(["One é\t\x00", 'Two "2"']).rows()
    write_lines(stream, [rows], labels(2))
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"text": "One é\t\x00", "label": "POSITIVE"},
        {"text": 'Two "2"', "label": "POSITIVE"},
    ]
    assert "é".encode() in stream.getvalue()


def test_half_of_a_surrogate_pair_stays_an_escape():
    found = lines_with({"a": ("string", ["\udc80"])}, rb'{"b": "\ud800"}')
    assert found == b'{"b": "\\ud800", "a": "\\udc80"}\n'


def test_what_json_has_no_word_for_is_null():
    vector = torch.tensor([0.5, math.inf])
    new = {"score": ("double", [math.nan]), "vector": (Vector(2), [vector])}
    found = json.loads(lines_with(new, b"{}"), parse_constant=pytest.fail)
    assert found == {"score": None, "vector": [0.5, None]}


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


@pytest.mark.parametrize("start", [0, 1])
def test_every_type_of_a_table_becomes_json(tmp_path, start):
    # A slice, as pieces of a file are: its arrays begin somewhere in a buffer.
    rows = TableRows("reviews", 1, TABLE.slice(start))
    path = written(tmp_path / "out.jsonl", None, [rows], labels(3 - start))
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for name, (_, values) in TYPED.items():
        assert [row[name] for row in found] == values[start:], name
    assert [*found[0]] == [*TYPED, "label"]


# CSV and TSV


def cells_of(text: str, delimiter: str) -> list[list[str]]:
    """The cells as they are written, with their quotes."""
    cell = rf'(?:"(?:[^"]|"")*"|[^"\r\n{delimiter}]*)'
    line = re.compile(rf"({cell}(?:{delimiter}{cell})*)\n")
    assert "".join(found[0] for found in line.finditer(text)) == text
    return [
        re.findall(rf"(?:^|(?<={delimiter}))({cell})(?={delimiter}|$)", found[1])
        for found in line.finditer(text)
    ]


CELLS = st.none() | st.text(st.sampled_from("ab\",;\t\n\r é\x00'\\")) | st.text()


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1), st.sampled_from(["csv", "tsv"]))
def test_all_cells_are_read_back_as_they_were(tmp_path_factory, rows, kind):
    table = pa.table(
        {"a,b": [row[0] for row in rows], 'c"\t': [row[1] for row in rows]},
        pa.schema([("a,b", pa.string()), ('c"\t', pa.string())]),
    )
    path = tmp_path_factory.getbasetemp() / f"cells.{kind}"
    written(path, source_of(table), [TableRows("x", 1, table)], labels(len(rows)))
    delimiter = {"csv": ",", "tsv": "\t"}[kind]
    with path.open(encoding="utf-8", newline="") as file:
        found = [*csv.reader(file, delimiter=delimiter, strict=True)]
    assert found[0] == ["a,b", 'c"\t', "label"]
    assert found[1:] == [[a or "", b or "", "POSITIVE"] for a, b in rows]
    again = pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(found[0], pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    assert again.to_pydict() == {
        **table.to_pydict(),
        "label": ["POSITIVE"] * len(rows),
    }


@pytest.mark.parametrize(("kind", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_only_cells_that_need_quotes_have_them(tmp_path, kind, delimiter):
    values = [
        "plain",
        "a b",
        "",
        None,
        "a,b",
        "a\tb",
        'a"b',
        "a\nb",
        "a\rb",
        "'",
        "é;|",
    ]
    table = pa.table({"text": values})
    path = written(
        tmp_path / f"out.{kind}",
        source_of(table),
        [TableRows("x", 1, table)],
        labels(11),
    )
    with path.open(encoding="utf-8", newline="") as file:
        lines = file.read().removeprefix(f"text{delimiter}label\n")
    expected = [
        *("plain", "a b", '""', ""),
        *(('"a,b"', "a\tb") if kind == "csv" else ("a,b", '"a\tb"')),
        *('"a""b"', '"a\nb"', '"a\rb"', "'", "é;|"),
    ]
    assert lines == "".join(f"{cell}{delimiter}POSITIVE\n" for cell in expected)


def test_numbers_are_written_as_pyarrow_writes_them(tmp_path):
    names = ["integer", "float", "flag", "money", "day", "clock", "lasted"]
    table = TABLE.select(names)
    path = written(
        tmp_path / "out.csv", source_of(table), [TableRows("x", 1, table)], {}
    )
    stream = io.BytesIO()
    pa.csv.write_csv(table, stream, pa.csv.WriteOptions(quoting_style="needed"))
    header, rows = stream.getvalue().split(b"\n", 1)
    assert path.read_bytes() == header.replace(b'"', b"") + b"\n" + rows


def test_what_has_no_form_in_csv_is_json_or_base64(tmp_path):
    names = ["list", "struct", "map", "fixed", "bytes", "kind", "here"]
    table = TABLE.select(names)
    vectors = [torch.tensor([0.5, 1.0]), None, torch.zeros(2)]
    path = written(
        tmp_path / "out.csv",
        source_of(table),
        [TableRows("x", 1, table)],
        {"vector": (Vector(2), vectors)},
    )
    found = pd.read_csv(path, dtype=str, keep_default_na=False)
    for name in names[:4]:
        assert [json.loads(cell or "null") for cell in found[name]] == TYPED[name][1]
    assert [base64.b64decode(cell) for cell in found["bytes"]] == [
        b"\xff\x00",
        b"",
        b"",
    ]
    assert found["kind"].tolist() == ["x", "y", "x"]
    assert found["here"][0] == "1970-01-01T05:30:00+05:30"
    assert found["vector"].tolist() == ["[0.5, 1.0]", "", "[0.0, 0.0]"]


def test_values_of_json_become_cells(tmp_path):
    lines = [
        '{"a": "007", "b": ["x", "é"], "c": 1.0}',
        '{"c": 2, "a": null, "d": true}',
        r'{"a": "\n"}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), "utf-8")
    source = open_source(tmp_path / "in.jsonl")
    path = written(tmp_path / "out.csv", source, source.rows(), labels(3))
    with path.open(encoding="utf-8", newline="") as file:
        assert [*csv.reader(file)] == [
            ["a", "b", "c", "d", "label"],
            ["007", '["x", "é"]', "1.0", "", "POSITIVE"],
            ["", "", "2", "true", "POSITIVE"],
            ["\n", "", "", "", "POSITIVE"],
        ]


# Compressed


def opened(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    with pa.input_stream(path) as stream:  # compression by ending
        return stream.read()


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


# Parquet


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
    count = GROUP_ROWS + 20_000
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


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_column_of_the_input_that_has_the_name_of_an_answer_is_an_error(name):
    table = pa.table({"label": ["a"]})
    with pytest.raises(TableError, match=r"the input has a column 'label'.*prefix"):
        writer_for(name, source_of(table), LABELS)


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
