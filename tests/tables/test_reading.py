"""Rows come out as they stand in the file, beside what pandas and pyarrow read."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, strategies as st
from tables import TEXT_FORMATS, dicts, places_of, rows_of, write

from minidistil.tables.csv_files import _whole_rows
from minidistil.tables.rows import TableError
from minidistil.tables.sources import open_source

TEXT = st.text(st.sampled_from('",\t\n\r\0 a7é中\U0001f600\u2028'), max_size=6)
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.tuples(*[TEXT] * width), max_size=6)
)
TABLES = st.tuples(ROWS, st.sampled_from([",", "\t"]))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder for files that are written once for each example."""
    return tmp_path_factory.mktemp("tables")


# CSV and TSV


def with_pandas(rows, delimiter, quoting, end) -> str:
    columns = range(len(rows[0]) if rows else 1)
    return pd.DataFrame(rows, columns=columns, dtype=object).to_csv(
        index=False, sep=delimiter, quoting=quoting, lineterminator=end
    )


def with_pyarrow(rows, delimiter) -> str:
    width = len(rows[0]) if rows else 1
    table = pa.table({str(i): [row[i] for row in rows] for i in range(width)})
    written = io.BytesIO()
    options = pa.csv.WriteOptions(delimiter=delimiter)
    pa.csv.write_csv(
        table.cast(pa.schema([(n, "string") for n in table.column_names])),
        written,
        options,
    )
    return written.getvalue().decode()


def with_python(rows, delimiter, quoting, end) -> str:
    written = io.StringIO()
    writer = csv.writer(
        written, delimiter=delimiter, quoting=quoting, lineterminator=end
    )
    writer.writerow(range(len(rows[0]) if rows else 1))
    writer.writerows(rows)
    return written.getvalue()


WRITERS = {
    "pyarrow": with_pyarrow,
    **{
        f"{program.__name__}, {quoting}, {end!r}": partial(
            program, quoting=quoting, end=end
        )
        for program in (with_pandas, with_python)
        for quoting, end in (
            (csv.QUOTE_MINIMAL, "\r\n"),  # with "\n" Python does not quote "\r"
            (csv.QUOTE_ALL, "\n"),
        )
    },
}


def path_for(folder: Path, delimiter: str, ending: str = "") -> Path:
    return folder / f"a.{'csv' if delimiter == ',' else 'tsv'}{ending}"


@pytest.mark.parametrize("writer", WRITERS)
@given(table=TABLES, ending=st.sampled_from(["", ".gz", ".zst"]))
def test_hostile_cells_come_back_as_they_were_written(scratch, writer, table, ending):
    rows, delimiter = table
    # A row that is nothing but an empty cell is a blank line, which is no row.
    rows = [row for row in rows if row != ("",)]
    text = WRITERS[writer](rows, delimiter)
    path = write(path_for(scratch, delimiter, ending), text)
    read = [tuple(cell or "" for cell in row.values()) for row in rows_of(path)]
    assert read == rows


@given(table=TABLES, mark=st.booleans())
def test_cells_are_what_pandas_and_pyarrow_read(scratch, table, mark):
    rows, delimiter = table
    rows = [
        row for row in rows if "".join(row).strip()
    ]  # blank lines are none to pandas
    text = with_python(rows, delimiter, csv.QUOTE_MINIMAL, "\r\n")
    path = write(path_for(scratch, delimiter), mark * b"\xef\xbb\xbf" + text.encode())
    ours = rows_of(path)
    theirs = pa.csv.read_csv(
        path,
        parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=dict.fromkeys(open_source(path).names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    assert ours == theirs.to_pylist()
    if "\0" not in text:  # which ends a cell for pandas
        frame = pd.read_csv(path, sep=delimiter, dtype=str, keep_default_na=False)
        assert [{n: cell or "" for n, cell in row.items()} for row in ours] == (
            frame.to_dict("records")
        )


def test_an_empty_cell_is_null_and_a_quoted_one_is_not(tmp_path):
    path = write(tmp_path / "a.csv", 'a,b\n,""\n"",\n007,NULL\n')
    assert rows_of(path) == [
        {"a": None, "b": ""},
        {"a": "", "b": None},
        {"a": "007", "b": "NULL"},
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_ends_of_lines_may_be_any_and_the_last_may_be_missing(
    tmp_path, end, last, ending
):
    text = end.join(["a,b", "1,2", "", '"x\r\ny",4']) + end * last
    assert rows_of(write(tmp_path / f"a.csv{ending}", text)) == [
        {"a": "1", "b": "2"},
        {"a": "x\r\ny", "b": "4"},
    ]


@pytest.mark.parametrize("text", ["a,b", "a,b\n", "\ufeffa,b\r\n", "\n\na,b\n\n\n"])
def test_a_header_alone_is_a_table_without_rows(tmp_path, text):
    path = write(tmp_path / "a.csv", text)
    assert open_source(path).names == ["a", "b"]
    assert rows_of(path) == []


@pytest.mark.parametrize("size", [2**16, 2**20])
@pytest.mark.parametrize("extra", range(-3, 4))
def test_a_block_may_end_at_any_byte(tmp_path, size, extra):
    header, row = 'a,"b ""b"""\n', '"{}","c""d"\n"",\n'
    text = header + row.format("x" * (size + extra - len(header) - 10)) * 2
    assert (
        rows_of(write(tmp_path / "a.csv", text))
        == [
            {"a": "x" * (size + extra - len(header) - 10), 'b "b"': 'c"d'},
            {"a": "", 'b "b"': None},
        ]
        * 2
    )


QUOTED = st.lists(
    st.sampled_from(['"', '""', "a", ",", "\n", "\r", '"a\n"', "\ufeff"]), max_size=14
)


@given(QUOTED, st.integers(1, 6))
def test_quotes_are_followed_alike_whatever_blocks_they_come_in(parts, size):
    content = "".join(parts).encode()

    def cut(size):
        stream = io.BufferedReader(io.BytesIO(content))
        found = [*_whole_rows(stream, b",", size)]
        assert not any(is_open for _, is_open in found[:-1])
        return b"".join(data for data, _ in found), found[-1][1]

    assert cut(size) == cut(100)


@given(QUOTED, st.integers(1, 6))
def test_a_file_is_cut_only_where_rows_end(parts, size):
    """Python's own reader makes of all parts together what it makes of the whole."""

    def parsed(data):
        cells = []
        # One column: whatever stands behind a delimiter is part of the cell.
        for line in csv.reader(
            io.StringIO(data.decode(), newline=""), delimiter="\x01"
        ):
            cells += line
        return cells

    content = "".join(parts).replace(",", "").encode()
    found = [*_whole_rows(io.BufferedReader(io.BytesIO(content)), b"\x01", size)]
    if not found[-1][1]:
        assert [cell for data, _ in found for cell in parsed(data)] == parsed(content)


@given(table=TABLES)
def test_no_table_that_is_well_written_has_an_open_quote(table):
    rows, delimiter = table
    content = with_python(rows, delimiter, csv.QUOTE_MINIMAL, "\r\n").encode()
    stream = io.BufferedReader(io.BytesIO(content))
    assert not any(open_ for _, open_ in _whole_rows(stream, delimiter.encode(), 9))


def test_a_quote_inside_an_unquoted_cell_is_a_character(tmp_path):
    path = write(tmp_path / "a.csv", 'a,b\n5" disk,x\n"y"z,3"\n"6""",7\n')
    cells = [[*row.values()] for row in rows_of(path)]
    assert cells == [['5" disk', "x"], ["yz", '3"'], ['6"', "7"]]


PLAIN = st.text(st.sampled_from('"" ,a7é中\U0001f600\u2028'), min_size=1, max_size=9)


@given(st.lists(st.tuples(PLAIN, PLAIN), max_size=9), st.booleans(), st.integers(1, 30))
def test_quotes_may_be_characters_like_others(scratch, rows, closed, size):
    lines = ['a "\tb', *map("\t".join, rows)]
    text = "\n".join(lines) + "\n" * closed
    path = write(scratch / "a.tsv", text)
    theirs = [*csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
    ours = rows_of(open_source(path, quotes=False))
    assert [[*row.values()] for row in ours] == theirs[1:]
    assert open_source(path, quotes=False).names == theirs[0]

    stream = io.BufferedReader(io.BytesIO(text.encode()))
    parts = [data for data, _ in _whole_rows(stream, b"\t", size, quotes=False)]
    assert b"".join(parts) == text.encode()
    assert all(part.endswith(b"\n") for part in parts[:-1])


def test_without_quotes_a_file_is_another_input(tmp_path):
    path = write(tmp_path / "a.tsv", 'a\tb\n"x"\ty\n')
    plain = open_source(path, quotes=False)
    assert open_source(plain) is plain
    assert plain.identity() != open_source(path).identity()
    write(path, 'a\tb\n"x\ty\n')
    with pytest.raises(TableError, match=r"row 1: .* --no-quotes .* quotes=False"):
        rows_of(path)


# Lines


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_lines_of_text_are_texts(tmp_path, ending):
    content = b"\xef\xbb\xbfone\r\n\n two \x00\xc2\x85\x0b \nno end"
    path = write(tmp_path / f"a.txt{ending}", content)
    texts = ["one", "", " two \0\x85\x0b ", "no end"]
    assert rows_of(path) == [{"text": text} for text in texts]
    assert [number for _, number in places_of(path)] == [1, 2, 3, 4]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_lines_of_json_are_kept_to_the_byte(tmp_path, ending):
    lines = [b' {"a": 1.0e2,"b":"\\u00e9"} ', '{"é":[null, {}]}'.encode(), b"{}"]
    content = b"\xef\xbb\xbf%b\r\n\n \t\r\n%b\n%b" % (*lines,)
    path = write(tmp_path / f"a.jsonl{ending}", content)
    (piece,) = open_source(path).rows()
    assert [*piece.lines] == lines
    assert [*piece.numbers] == [1, 4, 5]
    assert dicts(piece) == [{"a": 100.0, "b": "é"}, {"é": [None, {}]}, {}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=5,
)


@given(
    rows=st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=4),
    ascii=st.booleans(),
)
def test_json_comes_back_as_it_was_written(scratch, rows, ascii):
    lines = [json.dumps(row, ensure_ascii=ascii) for row in rows]
    path = write(scratch / "a.jsonl", "\n".join(lines))
    assert [json.dumps(row) for row in rows_of(path)] == [*map(json.dumps, rows)]


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_an_empty_file_has_no_rows(tmp_path, name):
    content = "text" if name == "a.csv" else ""
    assert rows_of(write(tmp_path / name, content)) == []
    if name != "a.csv":
        assert rows_of(write(tmp_path / name, "\ufeff")) == []


# Parquet

NESTED = pa.struct([("x", pa.list_(pa.int8())), ("y", pa.map_("string", "double"))])
COLUMNS = {
    "dictionary": pa.array(["a", "b", None, "a"]).dictionary_encode(),
    "ordered": pa.DictionaryArray.from_arrays(
        pa.array([1, 0, None, 1], pa.int8()), ["low", "high"], ordered=True
    ),
    "large": pa.array(["é", "", None, "\0\U0001f600"], pa.large_string()),
    "bytes": pa.array([b"\xff", b"", None, b"a"], pa.binary()),
    "fixed": pa.array([b"ab", b"cd", None, b"ef"], pa.binary(2)),
    "decimal": pa.array(
        [Decimal("1.10"), Decimal("-9.99"), None, Decimal(0)], pa.decimal128(5, 2)
    ),
    "wide": pa.array([Decimal(10**50), None, None, Decimal(-1)], pa.decimal256(60)),
    "date": pa.array([date(1, 1, 1), date(9999, 12, 31), None, date(1970, 1, 1)]),
    "time": pa.array([time(23, 59, 59, 1), None, None, time()], pa.time64("us")),
    "zone": pa.array(
        [datetime(2020, 1, 1), None, None, None], pa.timestamp("ns", "Europe/Berlin")
    ),
    "duration": pa.array([timedelta(1), None, None, None], pa.duration("ms")),
    "unsigned": pa.array([2**64 - 1, 0, None, 1], pa.uint64()),
    "half": pa.array([1.5, float("nan"), None, float("inf")], pa.float32()),
    "flag": pa.array([True, False, None, True]),
    "null": pa.nulls(4),
    "nested": pa.array(
        [{"x": [1, None], "y": [("k", 1.0)]}, None, {"x": None}, {}], NESTED
    ),
    "lists": pa.array(
        [[[1], []], [], None, [None]], pa.large_list(pa.list_(pa.int64()))
    ),
    "vector": pa.array(
        [[1.0, 2.0], [3.0, 4.0], None, [5, 6]], pa.list_(pa.float32(), 2)
    ),
}


@pytest.mark.parametrize("rows_in_a_group", [1, 3, 100])
@pytest.mark.parametrize("compression", ["none", "zstd", "gzip"])
def test_columns_of_every_type_come_out_of_parquet_as_they_are(
    tmp_path, rows_in_a_group, compression
):
    columns = {name: pa.chunked_array([column] * 3) for name, column in COLUMNS.items()}
    schema = pa.schema(
        [
            pa.field(name, column.type, metadata={"unit": name})
            for name, column in COLUMNS.items()
        ],
        metadata={"made by": "a test"},
    )
    path = tmp_path / "a.parquet"
    table = pa.table(columns, schema=schema)
    pq.write_table(table, path, row_group_size=rows_in_a_group, compression=compression)
    source, theirs = open_source(path), pq.read_table(path)
    ours = pa.concat_tables([piece.table for piece in source.rows()])
    assert ours.schema.equals(theirs.schema, check_metadata=True)
    assert source.schema.equals(theirs.schema, check_metadata=True)
    assert ours.schema.field("nested").type == NESTED
    # As text, where a number that is none is equal to another one.
    assert repr(ours.to_pylist()) == repr(theirs.to_pylist())


def test_a_pandas_frame_comes_out_as_pandas_reads_it(tmp_path):
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(["a", "b", "a"], ["b", "a"], ordered=True),
            "when": pd.to_datetime(["2020-01-01", None, "2021-02-03"], utc=True),
            "count": pd.array([1, None, 3], "Int16"),
            "text": ["x", None, "z"],
        },
        index=pd.Index([3, 1, 2], name="key"),
    )
    frame.to_parquet(path)
    ours = pa.concat_tables([piece.table for piece in open_source(path).rows()])
    pd.testing.assert_frame_equal(ours.to_pandas(), pd.read_parquet(path))


# All formats


def table_of(count: int, name: str, folder: Path) -> Path:
    """A table of so many rows, the column `text` of which has their numbers."""
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(
            pa.table({"text": [*map(str, range(count))]}), path, row_group_size=1500
        )
        return path
    numbers = [*map(str, range(count))]
    if ".jsonl" in name:
        numbers = [f'{{"text":"{number}"}}\n' * 1 + "\n" for number in numbers]
    elif ".txt" not in name:
        numbers.insert(0, "text")
    return write(path, "\n".join(numbers))


ALL = [f"{name}{end}" for name in TEXT_FORMATS for end in ("", ".gz", ".zst")]
ALL = [*ALL, "parquet"]


@pytest.mark.parametrize("ending", ALL)
def test_a_piece_is_of_one_file_and_not_of_many_rows(tmp_path, ending):
    for name, count in (("a", 3000), ("b", 10), ("c", 1024)):
        table_of(count, f"{name}.{ending}", tmp_path)
    pieces = [*open_source(tmp_path).rows()]
    assert max(map(len, pieces)) <= 1024
    assert min(map(len, pieces)) > 0
    texts = [text for piece in pieces for text in piece.values("text")]
    assert texts == [str(i) for count in (3000, 10, 1024) for i in range(count)]


@pytest.mark.parametrize("ending", ALL)
@pytest.mark.sample(30)
@pytest.mark.parametrize("skip", [1, 1023, 1024, 1500, 2999, 3000, 3005, 3010, 4033])
def test_rows_that_are_skipped_are_those_before(tmp_path, ending, skip):
    for name, count in (("a", 3000), ("b", 10), ("c", 1024)):
        table_of(count, f"{name}.{ending}", tmp_path)
    assert rows_of(tmp_path, skip) == rows_of(tmp_path)[skip:]
    assert places_of(tmp_path, skip) == places_of(tmp_path)[skip:]


def test_more_rows_than_there_are_may_be_skipped(tmp_path):
    assert rows_of(table_of(3, "a.csv", tmp_path), 4) == []


@pytest.mark.parametrize("ending", ALL)
def test_a_field_may_have_ten_million_characters(tmp_path, ending):
    text = "é" + '"x, y\t' * 1_700_000 + "中"
    if ending == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"text": [text, "b"]}), path)
    else:
        quoted = text.replace('"', '""')
        content = {
            "csv": f'text\n"{quoted}"\nb\n',
            "tsv": f'text\n"{quoted}"\nb\n',
            "txt": f"{text}\nb\n",
            "jsonl": f'{json.dumps({"text": text})}\n{{"text":"b"}}\n',
        }[ending.partition(".")[0]]
        path = write(tmp_path / f"a.{ending}", content)
    assert rows_of(path) == [{"text": text}, {"text": "b"}]
    assert rows_of(path, 1) == [{"text": "b"}]


@pytest.mark.parametrize("ending", ALL)
def test_memory_does_not_grow_with_the_file(tmp_path, ending):
    """Of Python and of pyarrow together; each row is of 1,000 characters."""
    count = 60_000
    path = tmp_path / f"a.{ending}"
    rows = [f"{i:01000}" for i in range(count)]
    if ending == "parquet":  # one row group, which does not get smaller
        pq.write_table(
            pa.table({"text": rows}), path, compression="none", use_dictionary=False
        )
    else:
        json_ = ending.startswith("jsonl")
        lines = [f'{{"text":"{row}"}}' if json_ else row for row in rows]
        write(path, "\n".join(["text"] * (ending[:3] in ("csv", "tsv")) + lines))
    del rows
    source = open_source(path)
    before, most, read = pa.total_allocated_bytes(), 0, 0
    tracemalloc.start()
    try:
        for piece in source.rows():
            read += len(piece)
            most = max(most, pa.total_allocated_bytes() - before)
        python = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read == count
    assert most + python < count * 1000 / 4


# The columns of JSON lines


def scanned(folder, *lines):
    return open_source(write(folder / "a.jsonl", "\n".join(lines))).scanned()


def test_columns_of_json_stand_in_the_order_in_which_they_appear(tmp_path):
    schema = scanned(tmp_path, '{"b":1}', '{"a":"x","b":null}', '{"c":null}')
    assert schema == pa.schema([("b", "int64"), ("a", "string"), ("c", pa.null())])


def test_types_of_json_hold_all_rows_of_all_files(tmp_path):
    rows = [
        {"n": 1, "l": [], "o": {"x": None}},
        {"n": 2.5, "l": [1, None], "o": {"y": True, "x": "a"}, "m": [{"k": [[]]}]},
        {"n": None, "l": [2.5], "o": None, "m": [{"j": 2**53}, {"k": [["é"]]}]},
    ]
    for number, row in enumerate(rows):
        write(tmp_path / f"{number}.jsonl", json.dumps(row))
    source = open_source(tmp_path)
    assert source.scanned() == pa.schema(
        {
            "n": pa.float64(),
            "l": pa.list_(pa.float64()),
            "o": pa.struct({"x": pa.string(), "y": pa.bool_()}),
            "m": pa.list_(
                pa.struct({"k": pa.list_(pa.list_(pa.string())), "j": pa.int64()})
            ),
        }
    )
    assert source.total == 3
    assert source.schema == source.scanned()
    assert source.names == ["n", "l", "o", "m"]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON, max_size=3), max_size=4))
def test_a_type_that_is_found_holds_every_value(scratch, rows):
    path = write(scratch / "a.jsonl", "\n".join(map(json.dumps, rows)))
    try:
        schema = open_source(path).scanned()
    except TableError:
        return
    back = pa.array(rows_of(path), pa.struct(schema)).to_pylist()
    assert holds(back, rows)


def holds(back, value) -> bool:
    """Whether a value came back; fields that an object did not have are null."""
    if isinstance(value, dict):
        return all(holds(back[name], each) for name, each in value.items())
    if isinstance(value, list):
        return all(map(holds, back, value)) and len(back) == len(value)
    return back == value or (back != back and value != value)
