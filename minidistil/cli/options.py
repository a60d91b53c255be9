"""How commands are made, and the options that several have.

The parameter of an option is called what the library calls it, so that a command
passes on what it was given without naming it again: ``pipeline(task, **options)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from minidistil.cli.output import LibraryCommand

Part: TypeAlias = Callable[..., Any]  # adds an argument or an option to a function

TINY = "'tiny' (a classifier in the package), a folder, or a hub repository"
FETCHED = "A folder, or a hub repository"
TRUNCATIONS = ("head", "head+tail", "window", "error")
PRECISIONS = ("float32", "bfloat16", "float16", "int8")


OUTPUT = click.Path(path_type=Path, dir_okay=False, readable=False)


def option(names: str, help: str, **settings: Any) -> Part:
    """An option that shows its default; its names have blanks between them."""
    shown = settings.get("default") is not None
    return click.option(*names.split(), help=help, show_default=shown, **settings)


def flag(names: str, help: str) -> Part:
    """An option that is given or not."""
    return option(names, help, is_flag=True)


def number(names: str, help: str, *, minimum: int, default: int | None = None) -> Part:
    """An option for an integer."""
    integer = click.IntRange(min=minimum)
    return option(names, help, type=integer, metavar="N", default=default)


def choice(
    names: str, choices: Sequence[str], help: str, *, default: str | None = None
) -> Part:
    """An option for one of some words."""
    return option(names, help, type=click.Choice(choices), default=default)


def layer_numbers(given: str, also: str = "") -> list[int]:
    """Read the layers of --layers.

    Raises:
        click.UsageError: for anything but integers; ``also`` is what else there can be.
    """
    try:
        return [int(number) for number in given.split(",")]
    except ValueError:
        raise click.UsageError(
            f"--layers takes numbers such as 0,2,4{also}, not {given!r}"
        ) from None


def file_option(help: str) -> Part:
    """--file, a name or several: what each of them is, `cli.texts` finds out."""
    return option("-f --file source", help, multiple=True, metavar="FILE")


NO_QUOTES = flag(
    "--no-quotes", "Of CSV and TSV: a quote is a character, as in some of GLUE's files."
)


def table_options(
    *columns: Part,
    column: str = "text",
    file: str = "texts, one a line, or a table",
    output: str = "",
) -> tuple[Part, ...]:
    """The options of a command that reads texts, or tables, and may write a table.

    What is not given is None, or False: the library has the defaults.

    Args:
        columns: The options that say what other columns are.
        column: The column that is read where none is named.
        file: What a file holds.
        output: What an output may be too.
    """
    return (
        file_option(
            f"Read {file}: a file, a folder, a pattern such as '*.csv.gz', or an "
            f"address; may be given several times. - is standard input, the default."
        ),
        option("--column", f"The column that is read.  [default: {column}]"),
        *columns,
        option(
            "-o --output target",
            f"Write the table, with answers: .csv, .tsv, .jsonl or .parquet, or a "
            f"folder{output}; - prints JSON lines. What was stopped goes on.",
            metavar="FILE",
        ),
        option("--prefix", "What the names of the new columns begin with."),
        flag("--strict", "Let a row without a text be an error, not a null."),
        choice(
            "--on-error",
            ("stop", "null"),
            "What to do about a row that cannot be answered.  [default: stop]",
        ),
        flag("--restart", "Begin anew where the output was half done."),
        NO_QUOTES,
    )


REVISION = option("--revision", "Branch, tag or commit of the hub repository.")
SOURCE = (click.argument("source"), REVISION)
TEXTS = click.argument("texts", nargs=-1)
DEVICE = option(
    "--device",
    "Such as cuda, cuda:1 or mps; auto is the fastest that there is.",
    default="cpu",
)
JSON = flag("--json as_json", "Print one JSON object a line.")


def command(
    short_help: str,
    *parts: Part,
    name: str | None = None,
    offers_tiny: bool = False,
    failed: int = 1,
) -> Callable[[Part], LibraryCommand]:
    """Make a command of a function, with some arguments and options.

    Its name is the function's by default; ``short_help`` is for the list of commands.
    ``offers_tiny`` and ``failed``: see `LibraryCommand`.
    """

    def decorate(function: Part) -> LibraryCommand:
        for part in reversed(parts):
            function = part(function)
        made = click.command(name, cls=LibraryCommand, short_help=short_help)(function)
        made.offers_tiny, made.failed = offers_tiny, failed
        return made

    return decorate


def model_options(default: str | None, tiny: bool) -> tuple[Part, Part]:
    """--model and --revision.

    Args:
        default: The model where none is named, in words; None if one must be.
        tiny: Whether the model in the package can do what the command does.
    """
    shown = "" if default is None else f"  [default: {default}]"
    sources = TINY if tiny else FETCHED
    required = default is None
    return option("-m --model", f"{sources}.{shown}", required=required), REVISION


def pipeline_command(
    short_help: str,
    *own: Part,
    inputs: Sequence[Part] = (TEXTS, *table_options()),
    default: str | None = None,
    tiny: bool = False,
    truncations: Sequence[str] = TRUNCATIONS,
) -> Callable[[Part], LibraryCommand]:
    """Make a command that runs a pipeline.

    Args:
        short_help: See `command`.
        own: The options that other pipelines do not have.
        inputs: The arguments and options that say what it reads.
        default: See `model_options`.
        tiny: See there.
        truncations: The ways to read a text that is too long; none if the pipeline has
            no such option.
    """
    how = "How to read a text that is too long.  [default: head, with a warning]"
    length = (
        "How many tokens to read at once, all of them counted, [CLS] and [SEP] too.  "
        "[default: what the checkpoint allows]"
    )
    precision = (
        "What to compute in; the others are nearly as exact, and faster where the "
        "processor has them. float16 is for GPUs."
    )
    lengths = (
        choice("--truncation", truncations, how),
        number("--max-length", length, minimum=3),
    )
    return command(
        short_help,
        *inputs,
        *model_options(default, tiny),
        *own,
        *(lengths if truncations else ()),
        choice("--precision", PRECISIONS, precision, default="float32"),
        DEVICE,
        JSON,
        offers_tiny=tiny,
    )
