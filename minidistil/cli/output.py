"""How a command prints: lines, warnings, and errors."""

from __future__ import annotations

import io
import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from threading import Lock
from typing import Any
from unicodedata import category

import click

from minidistil.hub import CheckpointNotFoundError
from minidistil.progress import clear_bar

# The library's errors explain themselves: bad input, a missing or damaged checkpoint.
EXPECTED = (ValueError, TypeError, OSError)
# Where a context keeps what to say beside a checkpoint that cannot be found.
OFFLINE_HINT = "minidistil.offline_hint"

_lock = Lock()
_commands = 0  # that run now, in any thread
_restore = ExitStack()  # what the first of them changed
_in_command: ContextVar[bool] = ContextVar("in_command", default=False)


class LibraryCommand(click.Command):
    """A command that ends with the library's own words where the library refuses."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with library_errors_as_click(ctx.meta.get(OFFLINE_HINT, "")):
            return super().invoke(ctx)


@contextmanager
def library_errors_as_click(hint: str = "") -> Iterator[None]:
    """Turn the library's errors into click's, which are shown without a traceback.

    Args:
        hint: What to say beside a checkpoint that cannot be found.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # click ends quietly when nobody reads on
    except CheckpointNotFoundError as error:
        raise click.ClickException(f"{error}{hint}") from error
    except EXPECTED as error:
        raise click.ClickException(str(error)) from error


def print_line(line: str = "") -> None:
    """Print a line, without codes that would steer the terminal."""
    clear_bar()
    click.echo("".join(char for char in line if category(char) != "Cc"))


def print_json(record: dict[str, Any]) -> None:
    """Print a JSON object on one line."""
    clear_bar()
    # ASCII: one line for every reader, and no codes that would steer the terminal.
    click.echo(json.dumps(record))


def one_line(text: str) -> str:
    """The text with one blank for each run of white space."""
    return " ".join(text.split())


@contextmanager
def terminal_output() -> Iterator[None]:
    """Show warnings as lines, and of characters that cannot be printed their codes.

    Both are switches of the whole process: the first of several commands that run at
    the same time, in threads, turns them, and the last one turns them back.
    """
    global _commands
    with _lock:
        if not _commands:
            _show_warnings_as_lines()
            _print_codes_of_unprintable_characters()
        _commands += 1
    outside = _in_command.set(True)
    try:
        yield
    finally:
        _in_command.reset(outside)
        with _lock:
            _commands -= 1
            if not _commands:
                _restore.close()


def _show_warnings_as_lines() -> None:
    before = warnings.showwarning

    def show(message: Warning | str, *place: Any, **more: Any) -> None:
        if not _in_command.get():  # in a thread that runs no command
            before(message, *place, **more)
            return
        clear_bar()
        click.echo(f"Warning: {message}", err=True)

    warnings.showwarning = show
    _restore.callback(setattr, warnings, "showwarning", before)


def _print_codes_of_unprintable_characters() -> None:
    stdout = sys.stdout
    if isinstance(stdout, io.TextIOWrapper):
        # To change it back writes what is left to be written; nobody may be there.
        _restore.enter_context(suppress(OSError, ValueError))
        _restore.callback(stdout.reconfigure, errors=stdout.errors)
        stdout.reconfigure(errors="backslashreplace")
