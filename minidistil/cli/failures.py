"""How the program ends when something fails: an error, or one of its three streams."""

from __future__ import annotations

import dis
import errno
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from minidistil.files import errno_of
from minidistil.messages import MinidistilError, first_line


def as_one_line(error: Exception) -> str | None:
    """What an error says to who gave the options; None if it is a fault of the program.

    The library's own errors explain themselves, and so do the system's. A wrong
    argument is a plain ValueError, TypeError, …, as everywhere in Python, and so is
    what Python raises at a fault: of them, those are meant that the library raises by
    a ``raise`` of its own.
    """
    if isinstance(error, MinidistilError | OSError):
        return str(error)
    if errno_of(error) == errno.ENOMEM or type(error).__name__ == "OutOfMemoryError":
        return f"there is not enough memory ({first_line(error)})"
    arguments = ValueError, TypeError, IndexError, ImportError
    if isinstance(error, arguments) and _is_raised_on_purpose(error):
        return str(error)
    return None


def _is_raised_on_purpose(error: BaseException) -> bool:
    """Whether a ``raise`` of this library raised it, not Python or another library."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return False
    frame = place.tb_frame
    room = str(frame.f_globals.get("__name__")).partition(".")[0]
    step = dis.opname[frame.f_code.co_code[place.tb_lasti]]
    return room == "minidistil" and step == "RAISE_VARARGS"


class Program(click.Group):
    """The command as a program: it ends well without streams that can be written."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run it; as a program, end the process with the exit status."""
        run: Callable[..., Any] = super().main
        if not options.pop("standalone_mode", True):
            return run(*args, standalone_mode=False, **options)
        _keep_descriptors()
        try:
            status = run(*args, standalone_mode=False, **options)
        except SystemExit as end:  # of a command, or of click
            status = end.code
        except click.ClickException as error:
            _show(error)
            status = error.exit_code
        except click.Abort:
            with suppress(OSError):
                click.echo("Aborted!", err=True)
            status = 1
        except OSError as error:  # --help, where the disk is full
            _show(click.ClickException(str(error)))
            status = 1
        sys.exit(_flushed(status if isinstance(status, int) else 0))


def _keep_descriptors() -> None:
    """Let no file of ours become a closed stream, which C code may write to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # which takes the first that is free


def _show(error: click.ClickException) -> None:
    if sys.stderr is not None:
        with suppress(OSError):
            error.show()


def _flushed(status: int) -> int:
    """The exit status, when all is written; Python would show a traceback later."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            if stream is sys.stdout and not status:
                _show(click.ClickException(f"standard output: {error.strerror}"))
                status = 1
            with suppress(OSError):
                # Python flushes once more at its end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return status
