"""JSON lines, CSV and TSV are written so that others read what was there."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
import torch
from hypothesis import given, strategies as st
from written import TABLE, TYPED, labels, source_of, written

from minidistil.tables.columns import Vector
from minidistil.tables.rows import LineRows, TableRows
from minidistil.tables.sources import open_source, texts_of
from minidistil.tables.writing import write_lines


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
