"""What the subcommands share: options, the texts they read, and how errors end."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import tee
from typing import Any, BinaryIO, TypeVar, cast
from unicodedata import category

import click

from minidistil.hub import CheckpointNotFoundError
from minidistil.progress import make_room

# The library's errors explain themselves: bad input, a missing or damaged checkpoint.
EXPECTED = (ValueError, TypeError, OSError)

WITH_TINY = "'tiny' (a classifier in the package), a folder, or a hub repository"
FETCHED = "A folder, or a hub repository"

BYTES = 2**20  # of a file, that are read at once

WAYS = ("head", "head+tail", "window", "error")

Command = TypeVar("Command", bound=Callable[..., Any])


def model_options(
    default: str | None, *, sources: str = WITH_TINY
) -> Callable[[Command], Command]:
    """Add --model and --revision.

    Args:
        default: In words, what --model is where it is not given; None if it must be.
        sources: What --model can be: `FETCHED` where the package has no such model.
    """
    told = "" if default is None else f"  [default: {default}]"
    model = click.option(
        "-m", "--model", required=default is None, help=f"{sources}.{told}"
    )
    revision = click.option(
        "--revision", help="Branch, tag or commit of the hub repository."
    )
    return lambda command: model(revision(command))


def engine_options(command: Command) -> Command:
    """Add --precision and --device."""
    precision = click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16", "int8"]),
        default="float32",
        show_default=True,
        help="What to compute in; the others are nearly as exact, and faster where the "
        "processor has them.",
    )
    device = click.option(
        "--device", default="cpu", show_default=True, help="Such as cuda or mps."
    )
    return precision(device(command))


def length_options(ways: tuple[str, ...] = WAYS) -> Callable[[Command], Command]:
    """Add --truncation, one of some ways, and --max-length."""
    truncation = click.option(
        "--truncation",
        type=click.Choice(ways),
        help="How to read a text that is too long.  [default: head, with a warning]",
    )
    max_length = click.option(
        "--max-length",
        type=click.IntRange(min=3),
        metavar="N",
        help="How many tokens to read at once, all of them counted, [CLS] and [SEP] "
        "too.  [default: what the checkpoint allows]",
    )
    return lambda command: truncation(max_length(command))


def text_arguments(command: Command) -> Command:
    """Add TEXTS and --file, for `texts_or_lines`."""
    texts = click.argument("texts", nargs=-1)
    source = click.option(
        "-f",
        "--file",
        "source",
        type=click.File("rb"),
        help="Read texts from a file, one a line; - is standard input, the default.",
    )
    return texts(source(command))


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object a line."
    )(command)


@dataclass(frozen=True)
class Texts:
    """What a command is given to read.

    Attributes:
        word: What a user calls one of them, before its number: "TEXT" or "line".
        blocks: They, as many at a time as there are when they are asked for: lines that
            are still being written are answered as they come.
    """

    word: str
    blocks: Iterator[list[str]]

    def __iter__(self) -> Iterator[str]:
        """Go through all of them."""
        return (text for block in self.blocks for text in block)

    def answered(
        self,
        answer: Callable[[Iterator[Any]], Iterator[Any]],
        read: Callable[[str], Any] = str,
        noun: str = "text",
    ) -> Iterator[tuple[Any, Any]]:
        """Return each of them, and its answer.

        Args:
            answer: A pipeline.
            read: Makes of a text what the pipeline reads; may raise a ValueError that
                says what the text is, in words that go behind its number.
            noun: What the pipeline calls one of them in its errors.
        """
        before = 0
        for block in self.blocks:
            to_show, to_answer = tee(self._read(block, read, before))
            with counted_from_one(self.word, noun, before):
                yield from zip(to_show, answer(to_answer), strict=True)
            before += len(block)

    def _read(
        self, block: list[str], read: Callable[[str], Any], before: int
    ) -> Iterator[Any]:
        for number, text in enumerate(block, before + 1):
            try:
                yield read(text)
            except ValueError as error:
                raise ValueError(f"{self.word} {number} {error}") from error


def texts_or_lines(
    texts: tuple[str, ...], source: BinaryIO | None, one: str = "a TEXT"
) -> Texts:
    """Return the texts that were given, or the lines of a file or of standard input.

    Args:
        texts: TEXTS.
        source: --file.
        one: What a user should give, in the words of the command.

    Raises:
        click.UsageError: at once, for both or for none of them.
    """
    if texts and source:
        raise click.UsageError("give texts or --file, not both")
    if texts:
        return Texts("TEXT", iter([[*texts]]))
    if source is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError(f"give {one}, --file, or lines on standard input")
        source = sys.stdin.buffer
    return Texts("line", _blocks(cast(BufferedIOBase, source)))


@contextmanager
def counted_from_one(word: str, noun: str = "text", before: int = 0) -> Iterator[None]:
    """Call inputs in errors what users do, such as line 1; the library says text 0.

    Args:
        word: The users' word.
        noun: The library's.
        before: How many inputs there were before those that the library was given.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        named = re.match(rf"{noun} (\d+)", str(error))
        if named is None:
            raise
        rest = str(error)[named.end() :]
        raise ValueError(f"{word} {before + int(named[1]) + 1}{rest}") from error


def _blocks(source: BufferedIOBase) -> Iterator[list[str]]:
    """Read one text a line; an empty line is an empty text, so that lines keep step."""
    before = 0
    for lines in _lines(source):
        block = []
        for number, line in enumerate(lines, before + 1):
            try:
                encoding = "utf-8-sig" if number == 1 else "utf-8"
                block.append(line.rstrip(b"\r").decode(encoding))
            except UnicodeDecodeError as error:
                yield block
                raise ValueError(
                    f"line {number} is not UTF-8 text ({error.reason}, byte "
                    f"{error.start + 1}); convert the file to UTF-8"
                ) from None
        yield block
        before += len(block)


def _lines(source: BufferedIOBase) -> Iterator[list[bytes]]:
    """Read lines, as many at a time as there are; only for the first one waits."""
    parts: list[bytes] = []  # of a line whose end is still to come
    while read := source.read1(BYTES):
        first, *lines = read.split(b"\n")
        parts.append(first)
        if lines:
            *whole, rest = b"".join(parts), *lines
            yield whole
            parts = [rest]
    if rest := b"".join(parts):
        yield [rest]


@contextmanager
def told(model: str | None) -> Iterator[None]:
    """End with the library's own words where it refuses; ``model`` is --model."""
    try:
        yield
    except BrokenPipeError:
        raise  # click ends quietly when nobody reads on
    except CheckpointNotFoundError as error:
        hint = "" if model else "\nOr use --model tiny, which needs no network."
        raise click.ClickException(f"{error}{hint}") from error
    except EXPECTED as error:
        raise click.ClickException(str(error)) from error


def say(line: str) -> None:
    """Print a line of the answer, where a bar may stand."""
    make_room()
    click.echo(line)


def printable(text: str) -> str:
    """The text without codes that would steer the terminal."""
    return "".join(char for char in text if category(char) != "Cc")
