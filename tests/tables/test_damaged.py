"""What cannot be read is one error that names the file and the row.

What the system refuses is told apart from what is wrong with a file's contents.
"""

from __future__ import annotations

import errno
import io
import json
import re
import tracemalloc
from typing import ClassVar

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tables import packed, rows_of, write

from minidistil.files import refusal
from minidistil.tables.rows import TableError
from minidistil.tables.sources import open_source

SOUND = {
    "txt": b"a\nb\n",
    "jsonl": b'{"a":1}\n{"a":2}\n',
    "csv": b'a,b\n1,"2"\n3,4\n',
    "tsv": b'a\tb\n1\t"2"\n3\t4\n',
}


def parquet(count: int = 5000, **options) -> bytes:
    written = io.BytesIO()
    texts = [f"text {i} {i * i}" for i in range(count)]
    pq.write_table(pa.table({"text": texts, "n": range(count)}), written, **options)
    return written.getvalue()


def said_of(path) -> str:
    """The one error that reading a file ends in, without the folder's name."""
    with pytest.raises(TableError) as caught:
        rows_of(path)
    said = str(caught.value)
    assert said.startswith(str(path))
    return said.removeprefix(str(path))


# Rows

WRONG_JSON = {
    "cut": b'{"a":',
    "two": b'{"a":1} {"a":2}',
    "a list": b'[{"a":1}]',
    "a string": b'"a"',
    "a number": b"1",
    "null": b"null",
    "NUL": b'{"a":"\0"}',
    "bytes": b'{"a":"\xff"}',
    "half a pair": b'{"a":"\xed\xa0\x80"}',
    "deep lists": b'{"a":%b}' % (b"[" * 10_000 + b"]" * 10_000),
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a long integer": b'{"a":%b}' % (b"9" * 1_000_000),
    "single quotes": b"{'a':1}",
    "a mark": b'\xef\xbb\xbf{"a":1}',
    "text": b"hello",
}


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
@pytest.mark.parametrize("line", WRONG_JSON.values(), ids=WRONG_JSON)
def test_a_line_that_is_no_json_object_is_told_with_its_number(tmp_path, line, ending):
    path = write(tmp_path / f"a.jsonl{ending}", b'{"a":1}\n\n%b\n{"a":2}\n' % line)
    said = said_of(path)
    assert said.startswith((", row 3: no JSON object (", ", row 3: not UTF-8"))
    assert len(said) < 300


@pytest.mark.parametrize(
    "bad", [b"\xff", b"\xed\xa0\x80", b"\xc3", "é".encode("latin-1")]
)
def test_bytes_that_are_no_utf8_are_told_with_row_and_place(tmp_path, bad):
    text = write(tmp_path / "a.txt", b"one\ntwo %b\nthree" % bad)
    assert re.match(r", row 2: not UTF-8 text \(byte 5: .*convert", said_of(text))
    line = write(tmp_path / "a.jsonl", b'\n{"a":"%b"}' % bad)
    assert re.match(r", row 2: not UTF-8 text \(byte 7: .*convert", said_of(line))
    cells = write(tmp_path / "a.csv", b'a,"b\n"\n1,2\n"\n\n",x%b\n' % bad)
    assert re.match(
        r", row 2: not UTF-8 text \(column 'b\\n', byte 2: .*convert", said_of(cells)
    )
    header = write(tmp_path / "b.csv", b"a,b%b\n1,2\n" % bad)
    assert re.match(r": not UTF-8 text \(the header, .*convert", said_of(header))


@pytest.mark.parametrize("before", [0, 1, 3000, 300_000])
@pytest.mark.parametrize(
    ("row", "cells"), [("3", 1), ("\udcff", 1), ('3,"4\n",5', 3), (",,,", 4)]
)
def test_a_row_of_more_or_fewer_cells_is_told_with_its_number(
    tmp_path, before, row, cells
):
    text = "a,b\n\n" + '"1\n1",2\n\n' * before + f"{row}\n5,6\n"
    said = said_of(write(tmp_path / "a.csv", text.encode(errors="surrogateescape")))
    plural = "s" * (cells != 1)
    assert said == f", row {before + 1}: {cells} cell{plural}, expected 2"


@pytest.mark.parametrize("before", [0, 1, 300_000])
@pytest.mark.parametrize(
    "rest",
    [
        '"3,4\n5,6\n',
        '3,"4\n5,6\n',
        '3,"4',
        '3,"',
        '"3\n\n',
        '3,"4\n"5",6\n',
        '"3\n5,"6"\n',
    ],
)
def test_a_quote_that_is_never_closed_is_told_with_its_row(tmp_path, before, rest):
    text = "a,b\n" + '"1\n1",2\n\n' * before + rest
    said = said_of(write(tmp_path / "a.csv", text))
    assert said.startswith(f", row {before + 1}: a quote is never closed")


@pytest.mark.parametrize("text", ['"a,b\n1,2\n', 'a,"b\n1,2\n3,"4"\n'])
def test_a_quote_in_the_header_is_told_as_such(tmp_path, text):
    said = said_of(write(tmp_path / "a.csv", text))
    assert said.startswith(": a quote in the header is never closed")


@pytest.mark.parametrize("ending", ["txt", "jsonl", "csv"])
@pytest.mark.parametrize("filler", [b"x", b'"', b"\0"])
def test_a_row_without_end_does_not_take_all_memory(
    tmp_path, monkeypatch, ending, filler
):
    for module in ("line_files", "csv_files"):
        monkeypatch.setattr(f"minidistil.tables.{module}.LONGEST_ROW", 2**21)
    start = {"csv": b"a,b\n1,2\n", "jsonl": b'{"a":1}\n', "txt": b"a\n"}[ending]
    path = write(tmp_path / f"a.{ending}.gz", start + b'"' + filler * 2**26)
    tracemalloc.start()
    try:
        said = said_of(path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert re.match(r", row [12]: (longer than|a quote is never closed)", said)
    assert most < 2**25


# Files


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("name", SOUND)
def test_text_in_utf16_says_so_and_how_to_convert_it(tmp_path, name, ending, encoding):
    content = (SOUND[name].decode() * 5).encode(encoding)
    said = said_of(write(tmp_path / f"a.{name}{ending}", content))
    assert re.match(rf": {encoding[:6].upper()} text, expected.*iconv -f", said)


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (packed(b"a" * 100, ".gz"), "gzip.*[.]gz"),
        (packed(b"a" * 100, ".zst"), "zstd.*[.]zst"),
        (parquet(3), "Parquet.*[.]parquet"),
        (b"PK\x03\x04" + bytes(30), "zip.*unpack"),
        (b"BZh91AY&SY" + bytes(30), "bzip2"),
        (b"\xfd7zXZ\0" + bytes(30), "xz"),
    ],
    ids=["gzip", "zstd", "parquet", "zip", "bzip2", "xz"],
)
def test_a_file_that_is_no_text_says_what_it_is(tmp_path, name, content, what):
    assert re.match(f": .*{what}", said_of(write(tmp_path / f"a.{name}", content)))


@pytest.mark.parametrize("name", ["txt", "jsonl"])
def test_lines_that_end_with_cr_alone_are_not_one_row(tmp_path, name):
    content = SOUND[name].replace(b"\n", b"\r")
    assert "CR alone" in said_of(write(tmp_path / f"a.{name}", content))


@pytest.mark.parametrize("name", [f"a.{e}{c}" for e in SOUND for c in (".gz", ".zst")])
@pytest.mark.parametrize("part", [0, 1, 10, 0.5, -1, -5])
def test_a_compressed_file_that_is_cut_is_damaged(tmp_path, name, part):
    content = SOUND[name.split(".")[1]]
    if "csv" in name or "tsv" in name or "txt" in name:
        content += b"".join(content.splitlines(keepends=True)[-1:]) * 1000
    whole = packed(content, name)
    end = int(len(whole) * part) if isinstance(part, float) else part
    (tmp_path / name).write_bytes(whole[:end])
    assert re.match(": (damaged|empty)", said_of(tmp_path / name))


def test_what_is_behind_a_compressed_file_is_no_part_of_it(tmp_path):
    for ending in (".gz", ".zst"):
        path = tmp_path / f"a.txt{ending}"
        whole = packed(b"a\n", path.name)
        path.write_bytes(whole + packed(b"b\n", path.name))  # two are one
        assert rows_of(path) == [{"text": "a"}, {"text": "b"}]
        path.write_bytes(whole + b"rest")
        assert said_of(path).startswith(": damaged")


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.parquet", "a.txt.gz", "a.csv.zst"]
)
def test_an_empty_file_that_should_not_be_is_told(tmp_path, name):
    (tmp_path / name).touch()
    assert said_of(tmp_path / name).startswith(": empty")
    if name.startswith(("a.csv.", "a.csv")):
        assert said_of(write(tmp_path / name, "\n\n")).startswith(": empty")


# Parquet


@pytest.mark.parametrize("part", [4, 11, 0.1, 0.9, -1, -8])
def test_a_parquet_file_that_is_cut_is_damaged(tmp_path, part):
    whole = parquet()
    end = int(len(whole) * part) if isinstance(part, float) else part
    (tmp_path / "a.parquet").write_bytes(whole[:end])
    assert said_of(tmp_path / "a.parquet").startswith(": damaged (")


@pytest.mark.parametrize("checksum", [True, False])
def test_a_page_that_is_damaged_is_told_with_its_rows(tmp_path, checksum):
    whole = bytearray(
        parquet(
            row_group_size=1000,
            use_dictionary=False,
            compression="none" if checksum else "gzip",
            write_page_checksum=checksum,
        )
    )
    path = write(tmp_path / "a.parquet", bytes(whole))
    group = pq.ParquetFile(path).metadata.row_group(2).column(0)
    middle = group.data_page_offset + group.total_compressed_size // 2
    whole[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(whole)
    pieces = open_source(path).rows()
    assert sum(len(next(pieces)) for _ in range(2)) == 2000
    with pytest.raises(TableError, match=r"row 2001 or one behind it: damaged \("):
        next(pieces)
    assert [*open_source(path).rows(4000)]


def test_strings_of_parquet_that_are_no_utf8_are_told_before_they_are_used(tmp_path):
    good = pa.array(["a", "b", "c"])
    bad = pa.StringArray.from_buffers(3, good.buffers()[1], pa.py_buffer(b"a\xffc"))
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": bad}), path)
    assert re.match(", row 1 or one behind it: damaged .*UTF", said_of(path))


# The columns of JSON lines

NOT_ONE_TYPE = {
    "a string and an integer": ('{"a":"x"}', '{"a":1}', "column 'a' holds an integer"),
    "true and an integer": ('{"a":true}', '{"a":1}', "column 'a' holds an integer"),
    "a list and a string": ('{"a":[]}', '{"a":"x"}', "column 'a' holds a string"),
    "an object and a list": ('{"a":{}}', '{"a":[]}', "column 'a' holds a list"),
    "in a list": ('{"a":[1]}', '{"a":["x"]}', r"column 'a\[\]' holds a string"),
    "in an object": ('{"a":{"b":1}}', '{"a":{"b":"x"}}', "column 'a.b' holds a string"),
    "no exact number": ('{"a":0.5}', f'{{"a":{2**53 + 1}}}', "more than 53 bits"),
    "65 bits": ('{"a":1}', f'{{"a":{2**63}}}', "more than 64 bits"),
    "half a pair": ('{"a":"x"}', r'{"a":"\ud800"}', "half of a surrogate pair"),
    "half a pair in a name": ("{}", r'{"\udc00":1}', "half of a surrogate pair"),
}


@pytest.mark.parametrize(
    ("first", "second", "what"), NOT_ONE_TYPE.values(), ids=NOT_ONE_TYPE
)
def test_a_column_of_two_types_is_told_with_the_row(tmp_path, first, second, what):
    path = write(tmp_path / "a.jsonl", f"{first}\n\n{second}\n{first}\n")
    assert len(rows_of(path)) == 3
    with pytest.raises(TableError, match=rf"a\.jsonl, row 3: .*{what}.*\.jsonl"):
        open_source(path).scanned()


def test_a_large_integer_before_a_fraction_is_told_too(tmp_path):
    path = write(tmp_path / "a.jsonl", f'{{"a":{2**53 + 1}}}\n{{"a":0.5}}\n')
    with pytest.raises(TableError, match=r"row 1: .*53 bits.*row 2 a fraction"):
        open_source(path).scanned()


# What is refused


class Failing(MemoryFileSystem):
    """A service whose files break off."""

    protocol = "failing"
    store: ClassVar[dict] = {}
    pseudo_dirs: ClassVar[list] = [""]
    error: Exception = OSError()
    after = 0  # bytes that are given first

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.removeprefix("failing://"))

    def open(self, path, mode="rb", **options):
        file = super().open(path, mode, **options)
        read = file.read

        def breaking(size=-1):
            if file.tell() >= self.after:
                raise self.error
            return read(size)

        file.read = breaking
        return file


REFUSED = [
    (
        PermissionError("no"),
        PermissionError,
        "failing://a.* rights|rights.*failing://a",
    ),
    (FileNotFoundError("no"), FileNotFoundError, "failing://a"),
    (OSError(errno.EIO, "no"), OSError, "disk.*failing://a"),
    (MemoryError(), OSError, "free some.*failing://a"),
    (KeyError("no login"), OSError, "failing://a.* cannot be read: .*no login"),
    (OSError("no login"), OSError, "failing://a.* cannot be read: no login"),
    (ValueError("no login"), OSError, "failing://a.* cannot be read: no login"),
]


@pytest.fixture
def failing():
    fsspec.register_implementation("failing", Failing, clobber=True)
    Failing.store.clear()
    yield Failing
    Failing.after = 0


@pytest.mark.parametrize("after", [0, 5000])
@pytest.mark.parametrize(("error", "kind", "what"), REFUSED)
@pytest.mark.parametrize(
    "ending", ["txt", "jsonl", "csv", "csv.gz", "csv.zst", "parquet"]
)
def test_what_a_service_refuses_is_no_damage(failing, ending, error, kind, what, after):
    noise = "".join(f"{i * i * 7919 % 10**9:x}," for i in range(100_000))
    content = {
        "txt": f"{noise}\n",
        "jsonl": json.dumps({"a": noise}),
        "csv": noise.replace(",", "\n"),
    }.get(ending.partition(".")[0], "")
    whole = parquet(50_000) if ending == "parquet" else content.encode()
    fsspec.filesystem("failing").pipe(f"/a.{ending}", packed(whole, f"a.{ending}"))
    failing.error, failing.after = error, after
    with pytest.raises(kind, match=what) as caught:
        rows_of(f"failing://a.{ending}")
    assert not isinstance(caught.value, TableError)


def test_a_folder_that_may_not_be_seen_is_no_empty_one(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(errno.EACCES, "no", path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(PermissionError, match="check its rights"):
        open_source(tmp_path)


def test_pyarrow_that_has_no_memory_is_no_damage(tmp_path, monkeypatch):
    path = write(tmp_path / "a.parquet", parquet(10))

    def refuse(*_, **__):
        raise pa.ArrowMemoryError("malloc of size 64 failed")

    monkeypatch.setattr("pyarrow.parquet.ParquetFile.iter_batches", refuse)
    with pytest.raises(OSError, match=re.escape(str(refusal(errno.ENOMEM, path)))):
        rows_of(path)
