"""The ``minidistil`` command: it parses, calls the library and prints.

One file a subcommand; what they share is in `options`, `given`, `texts`, `tables`,
`vectors` and `output`. Nothing heavy is imported before a command runs, so that
``--help`` is quick.
"""

from __future__ import annotations

import click

from minidistil import __version__
from minidistil.cli.answer import answer
from minidistil.cli.choose import choose
from minidistil.cli.classify import classify
from minidistil.cli.distil import distil
from minidistil.cli.embed import embed
from minidistil.cli.evaluate import evaluate
from minidistil.cli.explain import explain
from minidistil.cli.export import export
from minidistil.cli.failures import Program
from minidistil.cli.features import features
from minidistil.cli.fill_mask import fill_mask
from minidistil.cli.output import warnings_as_lines
from minidistil.cli.publish import publish
from minidistil.cli.tag import tag
from minidistil.cli.train import train
from minidistil.cli.weights import weights
from minidistil.cli.zero_shot import zero_shot


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="minidistil")
@click.pass_context
def main(context: click.Context) -> None:
    """DistilBERT to read, to trust and to use."""
    context.with_resource(warnings_as_lines())  # until the subcommand has ended


weights.add_command(export)
weights.add_command(publish)
for command in (
    *(answer, choose, classify, distil, embed, evaluate, explain, features),
    *(fill_mask, tag, train, weights, zero_shot),
):
    main.add_command(command)
