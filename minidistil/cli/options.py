"""How commands are made, and the options that several have.

The parameter of an option is called what the library calls it, so that a command
passes on what it was given without naming it again: ``pipeline(task, **options)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import click

from minidistil.cli.output import OFFLINE_HINT, LibraryCommand

Part: TypeAlias = Callable[..., Any]  # adds an argument or an option to a function

TINY = "'tiny' (a classifier in the package), a folder, or a hub repository"
FETCHED = "A folder, or a hub repository"
TRUNCATIONS = ("head", "head+tail", "window", "error")
PRECISIONS = ("float32", "bfloat16", "int8")


def option(
    names: str,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: int | None = None,
    **settings: Any,
) -> Part:
    """An option, which shows its default.

    Args:
        names: As click takes them, with a blank between them.
        help: What it is for.
        choices: The words that it may be, or
        minimum: the smallest number that it may be.
        settings: What click.option takes beside these.
    """
    if choices is not None:
        settings["type"] = click.Choice(choices)
    if minimum is not None:
        settings |= {"type": click.IntRange(min=minimum), "metavar": "N"}
    shown = settings.get("default") is not None
    return click.option(*names.split(), help=help, show_default=shown, **settings)


def command(
    short_help: str, *parts: Part, name: str | None = None
) -> Callable[[Part], click.Command]:
    """Make a command of a function.

    Args:
        short_help: What the list of commands says of it.
        parts: Its arguments and options.
        name: What it is called; by default as the function.
    """

    def decorate(function: Part) -> click.Command:
        for part in reversed(parts):
            function = part(function)
        made = click.command(name, cls=LibraryCommand, short_help=short_help)
        return made(function)

    return decorate


def file_option(help: str) -> Part:
    """--file, which is standard input if it is -."""
    return option("-f --file source", help, type=click.File("rb"))


def output_option(help: str) -> Part:
    """--output, a file."""
    file = click.Path(path_type=Path, dir_okay=False)
    return option("-o --output", help, type=file)


REVISION = option("--revision", "Branch, tag or commit of the hub repository.")
SOURCE = (click.argument("source"), REVISION)
TEXTS = (
    click.argument("texts", nargs=-1),
    file_option(
        "Read texts from a file, one a line; - is standard input, the default."
    ),
)
DEVICE = option("--device", "Such as cuda or mps.", default="cpu")
JSON = option("--json as_json", "Print one JSON object a line.", is_flag=True)


def model_options(
    default: str | None = None, *, tiny: bool = False
) -> tuple[Part, ...]:
    """--model and --revision.

    Args:
        default: The model where none is named, in words; None if one must be.
        tiny: Whether the model in the package can do what the command does.
    """
    sources = TINY if tiny else FETCHED
    model = option(
        "-m --model",
        f"{sources}." if default is None else f"{sources}.  [default: {default}]",
        required=default is None,
        callback=_offer_tiny if tiny else None,
    )
    return model, REVISION


def _offer_tiny(context: click.Context, _: click.Parameter, model: Any) -> Any:
    """Where no model is named, keep a hint for when the default cannot be fetched."""
    if model is None:
        context.meta[OFFLINE_HINT] = "\nOr use --model tiny, which needs no network."
    return model


def pipeline_command(
    short_help: str,
    *own: Part,
    inputs: Sequence[Part] = TEXTS,
    default: str | None = None,
    tiny: bool = False,
    truncations: Sequence[str] = TRUNCATIONS,
) -> Callable[[Part], click.Command]:
    """Make a command that runs a pipeline.

    Args:
        short_help: See `command`.
        own: The options that other pipelines do not have.
        inputs: What it reads.
        default: See `model_options`.
        tiny: See there.
        truncations: The ways to read a text that is too long; none if the pipeline has
            no such option.
    """
    lengths = (
        option(
            "--truncation",
            "How to read a text that is too long.  [default: head, with a warning]",
            choices=truncations,
        ),
        option(
            "--max-length",
            "How many tokens to read at once, all of them counted, [CLS] and [SEP] "
            "too.  [default: what the checkpoint allows]",
            minimum=3,
        ),
    )
    precision = option(
        "--precision",
        "What to compute in; the others are nearly as exact, and faster where the "
        "processor has them.",
        choices=PRECISIONS,
        default="float32",
    )
    models = model_options(default, tiny=tiny)
    engine = (*(lengths if truncations else ()), precision, DEVICE, JSON)
    return command(short_help, *inputs, *models, *own, *engine)
