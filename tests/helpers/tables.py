"""Tables written for tests, and what is read of them as plain Python."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa

from minidistil.tables.rows import LineRows, Rows
from minidistil.tables.sources import open_source

TEXT_FORMATS = ("txt", "csv", "tsv", "jsonl")


def packed(content: bytes, name: str) -> bytes:
    """The content, compressed as the name says."""
    if name.endswith(".gz"):
        return gzip.compress(content, mtime=0)
    if name.endswith(".zst"):
        return pa.compress(content, codec="zstd", asbytes=True)
    return content


def write(path: Path, content: bytes | str) -> Path:
    """Write a file, compressed as its name says."""
    whole = content.encode() if isinstance(content, str) else content
    path.write_bytes(packed(whole, path.name))
    return path


def dicts(piece: Rows) -> list[dict[str, Any]]:
    """The rows of a piece."""
    if isinstance(piece, LineRows):
        return [*piece.objects]
    return piece.table.to_pylist()


def rows_of(source: Any, skip: int = 0) -> list[dict[str, Any]]:
    """All rows of a source."""
    return [row for piece in open_source(source).rows(skip) for row in dicts(piece)]


def places_of(source: Any, skip: int = 0) -> list[tuple[str, int]]:
    """Where each row stands: the name of the file, and the number in it."""
    return [
        (Path(piece.file).name, piece.number(place))
        for piece in open_source(source).rows(skip)
        for place in range(len(piece))
    ]
