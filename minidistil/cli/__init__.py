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
from minidistil.cli.answer import answer
from minidistil.cli.choose import choose
from minidistil.cli.classify import classify
from minidistil.cli.embed import embed
from minidistil.cli.explain import explain
from minidistil.cli.export import export
from minidistil.cli.features import features
from minidistil.cli.fill_mask import fill_mask
from minidistil.cli.publish import publish
from minidistil.cli.tag import tag
from minidistil.cli.weights import weights
from minidistil.cli.zero_shot import zero_shot
from minidistil.progress import make_room


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minidistil")
def main() -> None:
    """DistilBERT to read, to trust and to use."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where a character cannot be printed, its code is; that is no error.
        sys.stdout.reconfigure(errors="backslashreplace")


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    make_room()
    click.echo(f"Warning: {message}", err=True)


main.add_command(answer)
main.add_command(classify)
main.add_command(choose)
main.add_command(embed)
main.add_command(explain)
main.add_command(features)
main.add_command(fill_mask)
main.add_command(tag)
weights.add_command(export)
weights.add_command(publish)
main.add_command(weights)
main.add_command(zero_shot)
