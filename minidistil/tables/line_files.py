"""Lines of text, and of JSON: read by Python alone."""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Iterator
from typing import Any, BinaryIO, cast

from minidistil.messages import first_line
from minidistil.tables.rows import LineRows, TableError
from minidistil.tables.stored import (
    BLANKS,
    BLOCK,
    LONGEST_ROW,
    MARK,
    File,
    check_text,
    damage,
    not_utf8,
    telling_damage,
)

TEXT = "text"  # the one column of lines of text
MOST_ROWS = 1024  # of a piece
MOST_BYTES = 2**20  # of a piece's lines, if it has more than one


Line = tuple[int, bytes]


class LineReader:
    """Reads files of lines: plain text, or JSON objects.

    Args:
        as_json: Whether each line is a JSON object.
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json

    def rows(self, file: File, skip: int) -> Generator[LineRows, None, int]:
        """Read a file's rows, after the first ``skip`` of them.

        Returns:
            How many of those that were to be skipped this file does not have.
        """
        with file.unpacked() as stream:
            lines = _lines(stream, file.name)
            if self._as_json:
                lines = (line for line in lines if line[1].strip(BLANKS))
            while skip and next(lines, None):
                skip -= 1
            for piece in _pieces(lines):
                yield self._read(file.name, piece)
        return skip

    def count(self, file: File) -> int | None:
        """How many rows a file has, if that is known without parsing it."""
        if file.system is not None or file.compression:
            return None
        _, lines, blank = file.measured
        return lines - blank if self._as_json else lines

    def _read(self, name: str, piece: list[Line]) -> LineRows:
        numbers = [number for number, _ in piece]
        if self._as_json:
            objects = [read_object(name, *line) for line in piece]
            return LineRows(name, numbers, objects, [line for _, line in piece])
        return LineRows(name, numbers, [{TEXT: decoded(name, *one)} for one in piece])


def streamed_rows(stream: BinaryIO, name: str, skip: int) -> Iterator[LineRows]:
    """Read lines of text from what can be read once, as they come.

    A piece has as many as there are when it is asked for; only for the first of them it
    is waited. So lines that are still being written are answered at once.
    """
    number = 0
    with telling_damage(name):
        for block in blocks(cast(io.BufferedReader, stream), name):
            lines = [*enumerate(block, number + 1)][max(skip - number, 0) :]
            number += len(block)
            for piece in _pieces(iter(lines)):
                objects = [{TEXT: decoded(name, *line)} for line in piece]
                yield LineRows(name, [line for line, _ in piece], objects)


def decoded(name: str, number: int, line: bytes) -> str:
    """A line as text."""
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise damage(name, number, not_utf8(error)) from None


def read_object(name: str, number: int, line: bytes) -> dict[str, Any]:
    """The JSON object of a line.

    Raises:
        TableError: if there is none.
    """
    text = decoded(name, number, line)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        what = f"{error.msg}, character {error.pos + 1}"
        raise damage(name, number, _no_object(what)) from None
    except (ValueError, RecursionError) as error:
        # Numbers of a million digits, brackets ten thousand deep.
        raise damage(name, number, _no_object(first_line(error))) from None
    if not isinstance(value, dict):
        raise damage(name, number, _no_object(f"a {type(value).__name__}"))
    return value


def _no_object(what: str) -> str:
    return f"no JSON object ({what}); expected a whole one in each line"


def _lines(stream: io.BufferedReader, name: str) -> Iterator[Line]:
    """Each line, without its end, and its number."""
    check_text(name, stream.peek(16)[:16])
    first = stream.readline(LONGEST_ROW).removeprefix(MARK)
    if b"\r" in first.rstrip(b"\r\n") and not first.endswith(b"\n"):
        raise damage(name, None, "lines that end with CR alone, expected LF or CR LF")
    number, line = 1, first
    while line:
        if len(line) >= LONGEST_ROW:
            raise too_long(name, number)
        yield number, line.removesuffix(b"\n").rstrip(b"\r")
        number, line = number + 1, stream.readline(LONGEST_ROW)


def blocks(stream: io.BufferedReader, name: str) -> Iterator[list[bytes]]:
    """Lines without their ends, as many at a time as there are.

    Only for the first of them it is waited.
    """
    parts: list[bytes] = []  # of a line whose end is still to come
    size = 0
    first = stream.read1(BLOCK)
    check_text(name, first[:16])
    read = first.removeprefix(MARK)
    while read:
        head, *lines = read.split(b"\n")
        parts.append(head)
        size += len(head)
        if lines:
            *whole, rest = b"".join(parts), *lines
            yield [line.rstrip(b"\r") for line in whole]
            parts, size = [rest], len(rest)
        if size > LONGEST_ROW:
            raise TableError(f"{name}: a line is longer than {LONGEST_ROW >> 20} MiB")
        read = stream.read1(BLOCK)
    if rest := b"".join(parts):
        yield [rest.rstrip(b"\r")]


def too_long(name: str, number: int) -> TableError:
    """The error for a row that no memory should hold."""
    return damage(name, number, f"longer than {LONGEST_ROW >> 20} MiB")


def _pieces(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Put lines together: so many, or so many bytes, but never none."""
    piece: list[Line] = []
    size = 0
    for line in lines:
        piece.append(line)
        size += len(line[1])
        if len(piece) == MOST_ROWS or size >= MOST_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
