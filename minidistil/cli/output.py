"""How a command prints: lines, warnings, and errors."""

from __future__ import annotations

import codecs
import json
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from threading import Lock
from typing import Any
from unicodedata import category

import click

from minidistil.cli.failures import as_one_line
from minidistil.hub import CheckpointNotFoundError
from minidistil.progress import clear_bar


class _FailedError(click.ClickException):
    """An error that a command ends with, and its exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.exit_code = status  # type: ignore[misc]  # click sets it for a class


_TYPED = f"{__name__}.typed"


class LibraryCommand(click.Command):
    """A command that shows the library's errors as click's, without a traceback.

    Attributes:
        offers_tiny: Whether to say, where the default model cannot be fetched, that
            the one in the package will do.
        failed: The exit status if it could not do its work.
    """

    offers_tiny = False
    failed = 1

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; `as_typed` has them as they were given."""
        ctx.meta[_TYPED] = [*args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(self.failed) from None  # nobody reads on
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            text = as_one_line(error)
            if text is None and self.failed == 1:
                raise  # Python shows where, and ends with 1
            if text is None:
                print_warning(traceback.format_exc())
                raise click.exceptions.Exit(self.failed) from error
            missing = isinstance(error, CheckpointNotFoundError)
            if missing and self.offers_tiny and ctx.params["model"] is None:
                text += "\nOr use --model tiny, which needs no network."
            raise _FailedError(text, self.failed) from error


def as_typed() -> str:
    """The command that runs, as it can be typed again."""
    context = click.get_current_context()
    names = context.command_path.split()[1:]
    return shlex.join(["minidistil", *names, *context.meta[_TYPED]])


def print_line(line: str = "") -> None:
    """Print a line, without codes that would steer the terminal."""
    print_text("".join(char for char in line if category(char) != "Cc"))


def print_json(record: dict[str, Any]) -> None:
    """Print a JSON object on one line."""
    # ASCII: one line for every reader, and no codes that would steer the terminal.
    print_text(json.dumps(record))


def print_text(text: str) -> None:
    """Print a text; of a character that standard output does not have, its code."""
    clear_bar()
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    if codecs.lookup(encoding).name == "ascii":
        encoding = "utf-8"  # click writes it where ASCII is all that is promised
    with _naming_standard_output():
        click.echo(text.encode(encoding, "backslashreplace").decode(encoding))


class StandardOutput:
    """Standard output, for bytes; they stand where the bar stood."""

    def __init__(self) -> None:
        """Raise click.UsageError if there is none, as under pythonw."""
        if not hasattr(sys.stdout, "buffer"):
            raise click.UsageError("there is no standard output: name a file")
        self._file = sys.stdout.buffer
        self._cleared = False

    def write(self, content: Any) -> int:
        """Write some bytes; how many of them were taken."""
        if not self._cleared:
            clear_bar()
            self._cleared = True
        with _naming_standard_output():
            return self._file.write(content)

    def flush(self) -> None:
        """Let a reader have what was written; the bar may come back."""
        with _naming_standard_output():
            self._file.flush()
        self._cleared = False


@contextmanager
def _naming_standard_output() -> Iterator[None]:
    """Let an error of the system name standard output; a reader may have gone."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from error


def print_warning(text: str) -> None:
    """Print a line to standard error, if there is one that can be written."""
    clear_bar()
    with suppress(OSError):
        click.echo(text, err=True)


def is_standard_output(path: Path) -> bool:
    """Whether a file is standard output itself, such as /dev/stdout."""
    try:
        return os.path.samestat(path.stat(), os.fstat(1))
    except OSError:
        return False


def one_line(text: str) -> str:
    """The text with one blank for each run of white space."""
    return " ".join(text.split())


_lock = Lock()
_commands = 0  # that run now, in any thread
_in_command: ContextVar[bool] = ContextVar("in_command", default=False)
_show_warning = warnings.showwarning  # what the first of them found


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Show the warnings of a command as lines, while it runs.

    The function that shows warnings is the whole process's: the first of several
    commands that run at once, in threads, replaces it, the last one puts it back.
    """
    global _commands, _show_warning
    with _lock:
        _commands += 1
        if warnings.showwarning is not _warn:
            _show_warning, warnings.showwarning = warnings.showwarning, _warn
    outside = _in_command.set(True)
    try:
        yield
    finally:
        _in_command.reset(outside)
        with _lock:
            _commands -= 1
            if not _commands:
                warnings.showwarning = _show_warning


def _warn(message: Warning | str, *place: Any, **more: Any) -> None:
    if _in_command.get():
        print_warning(f"Warning: {message}")
    else:  # of a thread that runs no command
        _show_warning(message, *place, **more)
