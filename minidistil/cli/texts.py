"""The texts that a command reads, and what a pipeline answers to each."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain, tee
from typing import Any, BinaryIO, cast

import click

from minidistil.messages import which_input


@dataclass(frozen=True)
class Texts:
    """What a command is given to read.

    Attributes:
        word: What a user calls one of them, before its number: "TEXT" or "line".
        blocks: The texts, as many at a time as there are when they are asked for: lines
            that are still being written are answered as they come. A file on a disk,
            which nobody waits for, is one block, read line by line.
    """

    word: str
    blocks: Iterable[Iterable[str | bytes]]

    def answered(
        self,
        ask: Callable[[Iterator[Any]], Iterator[Any]],
        read: Callable[[str], Any] = str,
    ) -> Iterator[tuple[Any, Any]]:
        """Return each text, as it was read, and its answer, as soon as it is there.

        Args:
            ask: A pipeline.
            read: Makes of a text what the pipeline reads; may raise a ValueError that
                says what the text is, in words that go behind its number.
        """
        before = answered = 0
        for block in self.blocks:
            to_show, to_answer = tee(self._read(block, before, read))
            with numbered_from_one(self.word, before):
                for both in zip(to_show, ask(to_answer), strict=True):
                    yield both
                    answered += 1
            before = answered

    def answers(self, ask: Callable[[Iterator[str]], Iterable[Any]]) -> list[Any]:
        """Return a pipeline's answers to all texts."""
        with numbered_from_one(self.word):
            return [*ask(self._read(chain.from_iterable(self.blocks), 0, str))]

    def _read(
        self, block: Iterable[str | bytes], before: int, read: Callable[[str], Any]
    ) -> Iterator[Any]:
        for number, text in enumerate(block, before + 1):
            try:
                yield read(text if isinstance(text, str) else _decode(text, number))
            except ValueError as error:
                raise ValueError(f"{self.word} {number} {error}") from error


def texts_or_lines(
    texts: Sequence[str], source: Sequence[str], wanted: str = "a TEXT"
) -> Texts:
    """Return TEXTS, or the lines of --file or of standard input.

    Raises:
        click.UsageError: at once, if there is neither; it asks for what is wanted.
    """
    if texts:
        return Texts("TEXT", iter([[*texts]]))
    file = stream(source, f"{wanted}, --file, or lines on standard input")
    if _is_on_disk(file):
        return Texts("line", [_without_ends(file)])
    from minidistil.tables.line_files import blocks

    return Texts("line", blocks(cast(BufferedReader, file), "standard input"))


def stream(source: Sequence[str], wanted: str) -> BinaryIO:
    """Open --file, until the command has ended; without it, standard input.

    Raises:
        click.UsageError: if it cannot be opened, or there is nothing to read.
    """
    if not source:
        return standard_input(wanted)
    context = click.get_current_context()
    given = next(each for each in context.command.params if each.name == "source")
    if len(source) > 1:
        raise click.BadParameter("give one file", context, given)
    if source[0] == "-" and sys.stdin is None:
        raise click.BadParameter("there is no standard input", context, given)
    return cast(BinaryIO, click.File("rb").convert(source[0], given, context))


def standard_input(wanted: str) -> BinaryIO:
    """Return standard input; a terminal is not waited for.

    Raises:
        click.UsageError: if there is nothing to read; it asks for what is wanted.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError(f"give {wanted}")
    return sys.stdin.buffer


@contextmanager
def numbered_from_one(word: str, before: int = 0) -> Iterator[None]:
    """In an error, call an input what a user does, such as line 1, not text 0.

    Before those that the library was given there were ``before`` others.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        named = which_input(error)
        if named is None:
            raise
        place, rest = named
        raise ValueError(f"{word} {before + place + 1}{rest}") from error


def _is_on_disk(file: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # no file of the system's
        return False


def _without_ends(lines: Iterable[bytes]) -> Iterator[bytes]:
    return (line.removesuffix(b"\n") for line in lines)


def _decode(line: bytes, number: int) -> str:
    try:
        # The first may begin with a mark of the encoding.
        return line.rstrip(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"is not UTF-8 text ({error.reason}, byte {error.start + 1}); convert the "
            f"file to UTF-8"
        ) from None
