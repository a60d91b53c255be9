"""``minidistil evaluate``: how good a model is on rows with labels."""

from __future__ import annotations

from typing import Any

import click

from minidistil.cli.figures import json_of, lines_of
from minidistil.cli.options import DEVICE, JSON, NO_QUOTES, command, number
from minidistil.cli.output import print_json, print_line
from minidistil.cli.training_options import COLUMNS, given_tables
from minidistil.progress import counting_sequences


@command(
    "Measure a model on rows with labels.",
    click.argument("model"),
    click.argument("rows"),
    *COLUMNS,
    NO_QUOTES,
    number(
        "--max-length",
        "The tokens of a row that are read.  [default: as it was trained with]",
        minimum=4,
    ),
    DEVICE,
    JSON,
)
def evaluate(as_json: bool, **options: Any) -> None:
    """Measure MODEL, a folder or a hub repository, on the table ROWS.

    The task is that of its head.
    """
    from minidistil.training.evaluating import evaluate as measure

    given = given_tables(options)
    if given["max_length"] is None:
        del given["max_length"]
    with counting_sequences("evaluating"):
        found = measure(**given)
    if as_json:
        print_json(json_of(found.results(), found.details()))
        return
    for line in lines_of(found.results(), found.details()):
        print_line(line)
