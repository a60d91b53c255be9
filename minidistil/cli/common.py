"""What the subcommands share: the options that name a model, and how errors end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unicodedata import category

import click

from minidistil.hub import CheckpointNotFoundError

# The library's errors explain themselves: bad input, a missing or damaged checkpoint.
EXPECTED = (ValueError, TypeError, OSError)

Command = TypeVar("Command", bound=Callable[..., Any])


def model_options(command: Command) -> Command:
    """Add --model and --revision."""
    model = click.option(
        "-m",
        "--model",
        help="'tiny' (in the package, no network), a folder, or a hub repository.  "
        "[default: the Hugging Face course's SST-2 checkpoint, 268 MB]",
    )
    revision = click.option(
        "--revision", help="Branch, tag or commit of the hub repository."
    )
    return model(revision(command))


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


def printable(text: str) -> str:
    """The text without codes that would steer the terminal."""
    return "".join(char for char in text if category(char) != "Cc")
