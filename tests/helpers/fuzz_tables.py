"""Damaged tables, how they are read, and who else is asked what the files say.

A table that is read must be what another reader makes of the same bytes; and what
another, strict reader finds nothing wrong with must be read.
"""

from __future__ import annotations

import csv
import io
import json
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from fuzzing import (
    KINDS,
    STRANGE,
    Group,
    WrongError,
    damage_bytes,
    damage_text,
    damage_value,
    pairs,
    written,
)
from tables import dicts, packed

from minidistil.tables.rows import TableError
from minidistil.tables.sources import open_source

Table = list[dict[str, Any]]

CELLS = (
    *("", "a", "b c", "007", "1.5", "é", "中", "\U0001f600", "e\u0301", "NULL", "nan"),
    *('"', '""', 'say "hi"', ",", "a,b", "\t", "\n", "a\r\nb", "\r", "\0", "\ufeff"),
    *("'", "\\", '\\"', " ", "\u2028", "x" * 300, "a\n\nb", '"\n"', ',"', '",'),
)
PARTS = (
    b'"',
    b'""',
    b",",
    b"\t",
    b"\n",
    b"\r\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
)
COMPRESSIONS = ("", "", ".gz", ".zst")


def damage(rng: random.Random, content: bytes) -> bytes:
    """Change a file in some way, or not at all."""
    how = rng.randrange(10)
    if how < 2:
        return content
    if how < 5:  # something that means something, in some place
        at = rng.randrange(len(content) + 1)
        return content[:at] + rng.choice(PARTS) + content[at + rng.randrange(2) :]
    if how < 8:
        return damage_bytes(rng, content)
    try:
        return damage_text(rng, content.decode())
    except UnicodeDecodeError:
        return damage_bytes(rng, content)


def keep(rng: random.Random, folder: Path, ending: str, content: bytes) -> None:
    """Write a table, damaged before it is compressed, or after, or not."""
    compression = rng.choice(COMPRESSIONS)
    name = f"table.{ending}{compression}"
    content = packed(damage(rng, content), name)
    if compression and rng.random() < 0.3:
        content = damage_bytes(rng, content)
    (folder / name).write_bytes(content)


def unpacked(path: Path) -> bytes:
    """What is in a file; raises whatever is raised for what is none."""
    content = path.read_bytes()
    if path.suffix in (".zst", ".gz") and not content:
        raise EOFError("empty")
    if path.suffix == ".zst":
        with pa.CompressedInputStream(io.BytesIO(content), "zstd") as stream:
            return stream.read()
    if path.suffix != ".gz":
        return content
    parts = []
    while content:  # one stream behind another; zeros at the end are filling
        one = zlib.decompressobj(wbits=31)
        parts.append(one.decompress(content))
        if not one.eof:
            raise EOFError("cut")
        content = one.unused_data.lstrip(b"\0")
    return b"".join(parts)


# Cells


def damage_cells(rng: random.Random, folder: Path) -> None:
    """Some rows of hostile cells."""
    ending = rng.choice(("csv", "tsv"))
    width = rng.randrange(1, 4)
    text = io.StringIO()
    writer = csv.writer(
        text,
        delimiter="," if ending == "csv" else "\t",
        quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)),
        lineterminator=rng.choice(("\n", "\r\n")),
    )
    writer.writerow(f"column {i}" for i in range(width))
    # Now and then more than is read at once.
    cells = CELLS if rng.random() < 0.95 else (*CELLS, "y" * 400_000)
    for _ in range(rng.randrange(8)):
        writer.writerow(rng.choices(cells, k=width))
    keep(rng, folder, ending, text.getvalue().encode())


def cells_of(path: Path, strict: bool) -> list[list[str]]:
    """The header and the rows, by Python's own reader."""
    csv.field_size_limit(2**30)
    text = unpacked(path).decode().removeprefix("\ufeff")
    delimiter = "," if ".csv" in path.name else "\t"
    lines = io.StringIO(text, newline="")
    return [row for row in csv.reader(lines, delimiter=delimiter, strict=strict) if row]


def judge_cells(path: Path, read: Table) -> None:
    """The same cells; one that is empty may be null."""
    header, *rows = cells_of(path, strict=False)
    ours = [[cell or "" for cell in row.values()] for row in read]
    if ours != rows:
        raise WrongError(f"read {ours!a:.300}, Python's csv has {rows!a:.300}")
    names = open_source(path).names
    if names != header:
        raise WrongError(f"the columns are {names!a:.300}, not {header!a:.300}")


def sound_cells(path: Path) -> None:
    """Raise if a strict reader finds something wrong."""
    header, *rows = cells_of(path, strict=True)
    if len({*header}) < len(header) or any(len(row) != len(header) for row in rows):
        raise ValueError("columns")


# Lines of text


def damage_lines(rng: random.Random, folder: Path) -> None:
    """Some lines of hostile texts."""
    lines = [cell.replace("\n", " ") for cell in rng.choices(CELLS, k=rng.randrange(9))]
    end = rng.choice(("\n", "\r\n"))
    text = end.join(lines) + end * rng.randrange(2)
    keep(rng, folder, "txt", text.encode())


def lines_of(path: Path) -> Table:
    """The lines as texts."""
    text = unpacked(path).decode().removeprefix("\ufeff")
    if text.count("\r") and "\n" not in text and "\r" in text.rstrip("\r"):
        raise ValueError("no line ends")
    lines = text.split("\n")
    return [
        {"text": line.rstrip("\r")} for line in lines[: -1 if not lines[-1] else None]
    ]


def judge_lines(path: Path, read: Table) -> None:
    """The same texts."""
    if read != lines_of(path):
        raise WrongError(f"read {read!a:.300}")


# Lines of JSON


def damage_json(rng: random.Random, folder: Path) -> None:
    """Some objects, of which values have been changed."""
    rows = []
    for number in range(rng.randrange(6)):
        row: Any = {"text": rng.choice(CELLS), "n": number, "more": [{"a": 1.5}, None]}
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            row = damage_value(rng, pairs(row), (*CELLS, *STRANGE[:30]))
        rows.append(written(row) if isinstance(row, list) else json.dumps(row))
    end = rng.choice(("\n", "\n", "\r\n", "\n\n", " \n"))
    text = end.join(rows) + end * rng.randrange(2)
    keep(rng, folder, "jsonl", text.encode(errors="surrogatepass"))


def objects_of(path: Path) -> Table:
    """The objects of all lines that are not blank."""
    lines = unpacked(path).decode().removeprefix("\ufeff").split("\n")
    objects = [json.loads(line) for line in lines if line.strip(" \t\r")]
    if not all(isinstance(each, dict) for each in objects):
        raise ValueError("no objects")
    return objects


def judge_json(path: Path, read: Table) -> None:
    """The same objects; and the types that are found for all columns hold them."""
    if repr(read) != repr(objects_of(path)):
        raise WrongError(f"read {read!a:.300}")
    try:
        schema = open_source(path).scanned()
    except TableError:
        return
    back = pa.array(read, pa.struct(schema)).to_pylist()
    for row, typed in zip(read, back, strict=True):
        for name, value in row.items():
            if isinstance(value, str | int | float) and repr(typed[name]) != repr(
                float(value) if isinstance(typed[name], float) else value
            ):
                raise WrongError(f"{value!a:.100} becomes {typed[name]!a:.100}")


# Parquet


def damage_parquet(rng: random.Random, folder: Path) -> None:
    """Bytes changed in the pages, in their headers, and in what describes them."""
    count = rng.randrange(1, 40)
    texts = [rng.choice((*CELLS, None)) for _ in range(count)]
    table = pa.table(
        {
            "text": texts,
            "kind": pa.array(texts).dictionary_encode(),
            "n": pa.array(range(count), rng.choice((pa.int8(), pa.int64()))),
            "x": [0.5 * i for i in range(count)],
            "nested": [[{"a": i, "b": [str(i)]}] * (i % 3) for i in range(count)],
        }
    ).select(rng.sample(range(5), rng.randrange(1, 6)))
    written_ = io.BytesIO()
    pq.write_table(
        table,
        written_,
        row_group_size=rng.choice((5, 100)),
        compression=rng.choice(("none", "snappy", "zstd", "gzip")),
        use_dictionary=rng.random() < 0.5,
        write_page_checksum=rng.random() < 0.3,
        data_page_version=rng.choice(("1.0", "2.0")),
    )
    content = written_.getvalue()
    for _ in range(rng.choice((0, 1, 1, 2))):
        content = damage_bytes(rng, content)
    (folder / "table.parquet").write_bytes(content)


def parquet_of(path: Path) -> Table:
    """All rows, read by pyarrow from memory at once."""
    table = pq.read_table(
        io.BytesIO(path.read_bytes()),
        use_threads=False,
        page_checksum_verification=True,
    )
    table.validate(full=True)
    if len({*table.column_names}) < table.num_columns:
        raise ValueError("columns")
    return table.to_pylist()


def judge_parquet(path: Path, read: Table) -> None:
    """The same values."""
    if repr(read) != repr(theirs := parquet_of(path)):
        raise WrongError(f"read {read!a:.300}, at once {theirs!a:.300}")


# All


def group(
    damage_: Callable[[random.Random, Path], None],
    judge: Callable[[Path, Table], None],
    sound: Callable[[Path], Any],
) -> Group:
    """A group whose tables are read, whole and in part, and judged on both sides."""

    def load(folder: Path) -> Table:
        path = next(folder.iterdir())
        try:
            source = open_source(path)
            read = [row for piece in source.rows() for row in dicts(piece)]
        except TableError as error:
            try:
                sound(path)
            except Exception:
                raise error from None
            raise WrongError(f"refused what is sound: {error}") from error
        if source.total not in (None, len(read)):
            raise WrongError(
                f"{source.total} rows were promised, there are {len(read)}"
            )
        half = len(read) // 2
        rest = [row for piece in source.rows(half) for row in dicts(piece)]
        if repr(rest) != repr(read[half:]):
            raise WrongError(f"without the first {half} rows there are {rest!a:.300}")
        return read

    def judged(folder: Path, read: Table) -> None:
        judge(next(folder.iterdir()), read)

    # What asks for more memory than there is may be refused by the system.
    return Group(damage_, load, judged, (*KINDS, TableError, OSError))


GROUPS = {
    "cells": group(damage_cells, judge_cells, sound_cells),
    "lines": group(damage_lines, judge_lines, lines_of),
    "json": group(damage_json, judge_json, objects_of),
    "parquet": group(damage_parquet, judge_parquet, parquet_of),
}
