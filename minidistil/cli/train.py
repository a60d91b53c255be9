"""``minidistil train``: fine-tune a model for a task."""

from __future__ import annotations

from typing import Any

import click

from minidistil.cli.options import TINY, command, option
from minidistil.cli.training_options import TRAINING, followed
from minidistil.training.recipe import TASKS


@command(
    "Fine-tune a model for a task.",
    click.argument("task", type=click.Choice(TASKS), metavar="TASK"),
    option("-m --model", f"What it starts from: {TINY}.", required=True),
    *TRAINING,
)
def train(**options: Any) -> None:
    """Fine-tune a model.

    TASK is text-classification, token-classification, question-answering,
    multiple-choice or fill-mask.

    What was stopped goes on with the same command. Several processes, such as one for
    each GPU, are started by torchrun:

    torchrun --nproc-per-node 4 -m minidistil train ...
    """
    from minidistil.training import training

    followed(training.train, "training", options)
