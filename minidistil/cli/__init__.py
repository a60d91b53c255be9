"""The ``minidistil`` command: it parses, calls the library and prints.

One file a subcommand. Nothing heavy is imported before a command runs, so that
``--help`` is quick.
"""

from __future__ import annotations

import io
import sys
import warnings

import click

from minidistil import __version__
from minidistil.cli.classify import classify
from minidistil.cli.explain import explain


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minidistil")
def main() -> None:
    """DistilBERT to read, to trust and to use."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where a character cannot be printed, its code is; that is no error.
        sys.stdout.reconfigure(errors="backslashreplace")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    click.echo(f"Warning: {message}", err=True)


main.add_command(classify)
main.add_command(explain)
