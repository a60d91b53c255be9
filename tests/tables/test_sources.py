"""Which files an address stands for, and what is known of them before rows are read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tables import rows_of, write

from minidistil.tables.formats import format_of
from minidistil.tables.rows import TableError
from minidistil.tables.sources import is_table, lines_of, open_source, texts_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(source) -> list[str]:
    return [file.name for file in open_source(source).files]


@pytest.fixture
def memory():
    """A file system that is not this machine's, empty."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    return system


# Formats


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", ("txt", "")),
        ("a.csv", ("csv", "")),
        ("a.tsv.gz", ("tsv", "gz")),
        ("a.jsonl.zst", ("jsonl", "zst")),
        ("a.ndjson", ("jsonl", "")),
        ("A.CSV.GZ", ("csv", "gz")),
        ("s3://b/a.parquet", ("parquet", "")),
        *((name, None) for name in ("a", "a.gz", "csv", "a.csv.bz2", "a.json", "")),
    ],
)
def test_the_ending_says_the_format(name, expected):
    assert format_of(name) == expected


def test_parquet_in_a_compressed_file_is_refused_with_the_reason():
    with pytest.raises(TableError, match=r"a\.parquet\.gz .*compressed inside"):
        format_of("a.parquet.gz")


# Addresses


def test_a_folder_is_its_files_sorted_by_path_without_hidden_ones(folder):
    for name in ("b.txt", "a/z.txt", "a/y/x.txt", "_SUCCESS", ".a.txt", "_t/a.txt"):
        path = folder / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    found = ["data/a/y/x.txt", "data/a/z.txt", "data/b.txt"]
    assert names("data") == found
    assert names(Path("data/")) == found
    assert [row["text"] for row in rows_of("data")] == [name[5:] for name in found]


def test_a_folder_may_be_a_link_and_hold_links_but_no_circle(folder):
    (folder / "data/inner").mkdir(parents=True)
    (folder / "data/a.txt").touch()
    (folder / "more").mkdir()
    (folder / "more/b.txt").touch()
    (folder / "data/inner/more").symlink_to(folder / "more")
    (folder / "data/inner/up").symlink_to(folder / "data")
    (folder / "link").symlink_to("data")
    assert names("link") == ["link/a.txt", "link/inner/more/b.txt"]


def test_files_of_other_kinds_in_a_folder_are_left_out_with_a_warning(folder):
    for name in ("a.csv", "README.md", "c.log"):
        (folder / name).write_text("a\n1\n")
    os.mkfifo(folder / "pipe.csv")  # nobody would ever write to it
    with pytest.warns(
        UserWarning, match=r"\./README\.md, \./c\.log, \./pipe\.csv left"
    ):
        assert names(".") == ["./a.csv"]


def test_a_folder_without_tables_is_an_error_that_lists_what_there_is(folder):
    (folder / "README.md").touch()
    with pytest.raises(TableError, match=r"(?s)without tables.*\.csv.*README\.md"):
        open_source(".")


def test_a_pattern_is_its_matches_sorted(folder):
    for name in ("b1.csv", "a1.csv", "a2.csv", "c/a3.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("a\n1\n")
    assert names("a*.csv") == ["a1.csv", "a2.csv"]
    assert names("[ab]?.csv") == ["a1.csv", "a2.csv", "b1.csv"]
    assert names("**/a*.csv") == ["a1.csv", "a2.csv", "c/a3.csv"]
    assert names("**") == ["a1.csv", "a2.csv", "b1.csv", "c/a3.csv"]
    with pytest.raises(TableError, match=r"x\*\.csv matches no files"):
        open_source("x*.csv")


def test_a_file_whose_name_is_a_pattern_is_that_file(folder):
    for name in ("a[1].csv", "a1.csv"):
        (folder / name).write_text("a\n1\n")
    assert names("a[1].csv") == ["a[1].csv"]


def test_a_list_keeps_its_order(folder):
    for name in ("a.csv", "b.csv"):
        (folder / name).write_text("a\n1\n")
    assert names(["b.csv", Path("a.csv")]) == ["b.csv", "a.csv"]
    with pytest.raises(TableError, match="no files"):
        open_source([])


def test_files_of_two_formats_are_an_error_that_names_both(folder):
    (folder / "a.csv").write_text("a\n")
    (folder / "b.tsv").write_text("a\n")
    with pytest.raises(TableError, match=r"a\.csv is csv and b\.tsv is tsv"):
        open_source(["a.csv", "b.tsv"])


@pytest.mark.parametrize("name", ["none.csv", "none", "none/", "none/a.parquet"])
def test_a_file_that_is_not_there_is_no_damage(folder, name):
    with pytest.raises(FileNotFoundError, match=name):
        open_source(name)


def test_a_file_of_another_ending_is_lines_of_text(folder):
    (folder / "notes.log").write_text("a\nb\n")
    assert rows_of("notes.log") == [{"text": "a"}, {"text": "b"}]


@pytest.mark.parametrize(
    ("name", "advice"), [("a.json", "jsonl"), ("a.xlsx", "CSV"), ("a.orc", "Parquet")]
)
def test_other_tables_are_not_taken_for_lines_of_text(folder, name, advice):
    (folder / name).write_text("[]")
    with pytest.raises(TableError, match=f"{name}.*{advice}"):
        open_source(name)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("a.txt", False),
        ("a.log", False),
        ("none", False),
        ("none.csv", True),
        ("a.txt.gz", True),
        ("*.txt", True),
        ("a[1].log", False),
        (".", True),
        ("s3://bucket/x", True),
        ("pipe", False),
    ],
)
def test_what_a_command_reads_as_a_table(folder, address, expected):
    for name in ("a.txt", "a.log", "a.txt.gz", "a[1].log"):
        (folder / name).touch()
    os.mkfifo("pipe")
    assert is_table(address) is expected


# Other file systems


def test_addresses_of_fsspec_are_files_folders_and_patterns(memory):
    memory.pipe("/d/b.csv", b"text,n\nx,1\n")
    memory.pipe("/d/c/a.csv", b"n,text\n2,y\n")
    memory.pipe("/d/_SUCCESS", b"")
    memory.pipe("/d/.c/a.csv", b"no")
    both = [{"text": "x", "n": "1"}, {"text": "y", "n": "2"}]
    assert rows_of("memory://d") == both
    assert rows_of("memory://d/**/*.csv") == both
    assert rows_of("memory://d/b.csv") == both[:1]
    assert rows_of(["memory://d/c/a.csv", "memory://d/b.csv"]) == both[::-1]
    with pytest.raises(FileNotFoundError, match=r"memory://d/none\.csv"):
        open_source("memory://d/none.csv")


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "csv.zst", "parquet"])
def test_all_that_is_read_here_is_read_through_fsspec(memory, folder, ending):
    table = pa.table({"text": [f"text {i}" for i in range(3000)]})
    path = folder / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(table, path, row_group_size=500)
    else:
        write(path, "text\n" + "".join(f"text {i}\n" for i in range(3000)))
    memory.pipe(f"/a.{ending}", path.read_bytes())
    assert rows_of(f"memory://a.{ending}") == table.to_pylist()
    assert rows_of(f"file://{path}", 2999) == [{"text": "text 2999"}]


def test_an_address_that_nobody_reads_says_what_is_missing(folder):
    with pytest.raises(ImportError, match=r"gs://b/a\.csv needs a package.*gcsfs"):
        open_source("gs://b/a.csv")
    with pytest.raises(TableError, match=r"none://a\.csv is no address"):
        open_source("none://a.csv")


# What is known before rows are read


@pytest.mark.parametrize(
    ("content", "lines", "records"),
    [
        (b"", 0, 0),
        (b"{}", 1, 1),
        (b"{}\n", 1, 1),
        (b"{}\n{}", 2, 2),
        (b"\n\n{}\r\n \t\r\n\r\n{}\n\n", 7, 2),
        (b"{}\n   ", 2, 1),
        (b'{"a":"%b"}\n\n{}' % (b"x" * 3_000_000), 3, 2),
        (b"{}\n\n" * 700_000, 1_400_000, 700_000),
    ],
    ids=range(8),
)
def test_lines_are_counted_before_they_are_read(folder, content, lines, records):
    for name, expected in (("a.txt", lines), ("a.jsonl", records)):
        (folder / name).write_bytes(content)
        source = open_source(name)
        assert source.total == expected
        if len(content) < 100:
            assert sum(map(len, source.rows())) == expected


def test_the_total_is_known_where_it_costs_little(folder):
    table = pa.table({"a": range(5)})
    pq.write_table(table, "a.parquet")
    pq.write_table(table, "b.parquet")
    assert open_source("*.parquet").total == 10
    for name in ("a.csv", "a.jsonl.gz"):
        write(folder / name, '{"a":1}\n')
        assert open_source(name).total is None
    assert texts_of(["a", "b"]).total == 2


def test_the_columns_are_known_at_once_but_of_json(folder):
    write(folder / "a.csv.gz", "b,a\n")
    source = open_source("a.csv.gz")
    assert (source.names, source.format) == (["b", "a"], "csv")
    assert source.schema == pa.schema([("b", pa.string()), ("a", pa.string())])
    (folder / "a.txt").touch()
    assert open_source("a.txt").names == ["text"]
    (folder / "a.jsonl").touch()
    assert open_source("a.jsonl").names is None


def test_the_same_bytes_have_the_same_identity_and_others_another(folder, memory):
    (folder / "a.txt").write_bytes(b"abc")
    (identity,) = open_source("a.txt").identity()
    digest = blake2b(b"abc", digest_size=32).hexdigest()
    assert identity == {"name": "a.txt", "size": 3, "digest": digest}
    os.utime("a.txt", (0, 0))
    assert open_source("a.txt").identity() == [identity]
    memory.pipe("/a.txt", b"abc")
    before = open_source("memory://a.txt").identity()
    assert open_source("memory://a.txt").identity() == before
    memory.pipe("/a.txt", b"abd")
    assert open_source("memory://a.txt").identity() != before
    assert texts_of(["a", "b"]).identity() != texts_of(["a\nb"]).identity()


@pytest.mark.parametrize("where", ["before", "between"])
@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl.gz", "a.parquet"])
def test_a_file_that_changes_while_it_is_read_is_told(folder, name, where):
    def fill(count):
        table = pa.table({"a": [f'{{"{i}":1}}' for i in range(count)]})
        if name == "a.parquet":
            pq.write_table(table, name)
        else:
            write(folder / name, "\n".join(['{"a":1}'] * count))

    fill(5000)
    source = open_source(name)
    pieces = source.rows()
    if where == "between":
        next(pieces)
    fill(6000)
    with pytest.raises(TableError, match=f"{name} was changed while it was read"):
        list(pieces)


# What can be read once


def test_a_pipe_is_lines_of_text_that_are_read_once(folder):
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=[b"a\r\nb\n\nc"])
    writer.start()
    source = open_source("pipe")
    assert (source.resumable, source.total, source.names) == (False, None, ["text"])
    pieces = [*source.rows(1)]
    writer.join()
    assert [row for piece in pieces for row in piece.values("text")] == ["b", "", "c"]
    assert pieces[0].number(0) == 2
    with pytest.raises(TableError, match="pipe can be read once only"):
        next(source.rows())


def test_lines_are_given_as_they_come():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream:
        pieces = lines_of(stream, "-").rows()
        os.write(writer, b"a\nb\nc")
        assert next(pieces).values("text") == ["a", "b"]
        os.write(writer, b"d\n")
        assert next(pieces).values("text") == ["cd"]
        os.write(writer, "é".encode()[:1])
        os.close(writer)
        with pytest.raises(TableError, match="-, row 4: not UTF-8"):
            next(pieces)


def test_a_pipe_is_no_table_and_not_one_of_several_files(folder):
    os.mkfifo("pipe.csv")
    (folder / "a.txt").touch()
    with pytest.raises(TableError, match=r"pipe\.csv is a pipe"):
        open_source("pipe.csv")
    with pytest.raises(TableError, match=r"pipe\.csv is a pipe"):
        open_source(["a.txt", "pipe.csv"])


# Several files


def test_columns_in_another_order_are_put_in_the_first_files(folder):
    (folder / "a.csv").write_text("x,y\n1,2\n")
    (folder / "b.csv").write_text("y,x\n3,4\n")
    assert rows_of("*.csv") == [{"x": "1", "y": "2"}, {"x": "4", "y": "3"}]


def test_other_columns_are_an_error_before_any_row_is_read(folder):
    (folder / "a.csv").write_text("x,y\n1,2\n")
    (folder / "b.csv").write_text("x,z,y\n3,4,5\n")
    (folder / "c.csv").write_text("x\n3\n")
    with pytest.raises(TableError, match=r"b\.csv .*a\.csv.*\['z'\] more"):
        open_source(["a.csv", "b.csv"])
    with pytest.raises(TableError, match=r"c\.csv .*a\.csv.*\['y'\] missing"):
        open_source(["a.csv", "c.csv"])


def test_types_of_several_parquet_files_are_united(folder):
    first = pa.table({"a": pa.array([1], pa.int32()), "b": pa.nulls(1)})
    second = pa.table({"b": ["x"], "a": pa.array([2**40], pa.int64())})
    pq.write_table(first.replace_schema_metadata({"k": "v"}), "a.parquet")
    pq.write_table(second, "b.parquet")
    source = open_source("*.parquet")
    assert source.schema == pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert source.schema.metadata == {b"k": b"v"}
    for piece in source.rows():
        assert piece.table.schema.equals(source.schema, check_metadata=True)
    assert rows_of("*.parquet") == [{"a": 1, "b": None}, {"a": 2**40, "b": "x"}]


def test_types_that_nothing_unites_are_an_error_before_any_row_is_read(folder):
    pq.write_table(pa.table({"a": [1]}), "a.parquet")
    pq.write_table(pa.table({"a": ["x"]}), "b.parquet")
    with pytest.raises(TableError, match=r"b\.parquet has other types.*a\.parquet"):
        open_source("*.parquet")


def test_two_columns_of_one_name_are_an_error(folder):
    (folder / "a.tsv").write_text("x\ty\tx\n")
    with pytest.raises(TableError, match=r"a\.tsv has two columns 'x'"):
        open_source("a.tsv")
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"])
    pq.write_table(twice, "a.parquet")
    with pytest.raises(TableError, match=r"a\.parquet has two columns 'x'"):
        open_source("a.parquet")


def test_nothing_is_warned_of_that_is_in_order(folder):
    (folder / "a.csv").write_text("a\n1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rows_of(".") == rows_of("*.csv") == rows_of("a.csv")


# Without pyarrow

WITHOUT = """
import sys
for name in ("pyarrow", "fsspec", "pandas"):
    sys.modules[name] = None
from minidistil.tables.sources import open_source
for path in sys.argv[2:]:
    print([piece.values("text") for piece in open_source(path).rows()])
try:
    open_source(sys.argv[1])
except ImportError as error:
    print(error)
print("torch" in sys.modules)
"""


def test_lines_need_nothing_and_tables_say_what_they_need(folder):
    names = ["a.txt", "a.txt.gz", "a.jsonl", "a.jsonl.gz"]
    for name in names:
        write(folder / name, '{"text": "x"}' if "json" in name else "x")
    write(folder / "a.csv", "text\nx\n")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "a.csv", *names],
        capture_output=True,
        text=True,
        check=True,
    )
    *read, error, torch = done.stdout.splitlines()
    assert read == ["[['x']]"] * 4
    assert 'pip install "minidistil[tables]"' in error
    assert torch == "False"


def test_a_source_may_be_read_by_several_threads_at_once(folder):
    rows = "".join(f'"{i}\n",{i}\n' for i in range(20_000))
    source = open_source(write(folder / "a.csv.zst", f"a,b\n{rows}"))

    def read(_):
        return [row for piece in source.rows() for row in piece.values("a")]

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(read, range(4))
    assert first == [f"{i}\n" for i in range(20_000)]
    assert others == [first] * 3
