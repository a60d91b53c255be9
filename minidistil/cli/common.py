"""What the subcommands share: options, the texts they read, and how errors end."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import tee
from typing import Any, BinaryIO, TypeVar
from unicodedata import category

import click

from minidistil.hub import CheckpointNotFoundError
from minidistil.progress import make_room

# The library's errors explain themselves: bad input, a missing or damaged checkpoint.
EXPECTED = (ValueError, TypeError, OSError)

WITH_TINY = "'tiny' (a classifier in the package), a folder, or a hub repository"
FETCHED = "A folder, or a hub repository"

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
    """Add TEXTS and --file, for `each_text`."""
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


def each_text(texts: tuple[str, ...], source: BinaryIO | None) -> Iterator[str]:
    """Return the texts that were given, or the lines of a file or of standard input.

    Raises:
        click.UsageError: at once, for both or for none of them.
    """
    if texts and source:
        raise click.UsageError("give texts or --file, not both")
    if texts:
        return iter(texts)
    if source is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("give a TEXT, --file, or lines on standard input")
        source = sys.stdin.buffer
    return _lines(source)


def word_for_one(texts: tuple[str, ...]) -> str:
    """Return what a user calls one of `each_text`."""
    return "TEXT" if texts else "line"


@contextmanager
def counted_from_one(word: str, noun: str = "text") -> Iterator[None]:
    """Call inputs in errors what users do, such as line 1; the library says text 0."""
    try:
        yield
    except (TypeError, ValueError) as error:
        named = re.match(rf"{noun} (\d+)", str(error))
        if named is None:
            raise
        rest = str(error)[named.end() :]
        raise ValueError(f"{word} {int(named[1]) + 1}{rest}") from error


def _lines(source: BinaryIO) -> Iterator[str]:
    """Read one text a line; an empty line is an empty text, so that lines keep step."""
    for number, line in enumerate(source, start=1):
        try:
            yield line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"line {number} is not UTF-8 text ({error.reason}, byte "
                f"{error.start + 1}); convert the file to UTF-8"
            ) from None


def with_answers(
    inputs: Iterator[Any], answer: Callable[[Iterator[Any]], Iterator[Any]]
) -> Iterator[tuple[Any, Any]]:
    """Return each input with its answer.

    The answer is asked for first, and reads its input: were the input read here, a
    pipeline could not know that it was long in coming.
    """
    to_show, to_answer = tee(inputs)
    for answered, one in zip(answer(to_answer), to_show, strict=True):
        yield one, answered


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
