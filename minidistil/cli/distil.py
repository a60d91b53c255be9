"""``minidistil distil``: train a student to answer as its teacher does."""

from __future__ import annotations

from typing import Any

import click

from minidistil.cli.options import FETCHED, command, layer_numbers, option
from minidistil.cli.training_options import TRAINING, followed


@command(
    "Train a smaller model to answer as a larger one does.",
    option(
        "-t --teacher",
        f"Who is to be learnt from: {FETCHED[0].lower()}{FETCHED[1:]}, DistilBERT or "
        f"BERT, with the head of the task.",
        required=True,
    ),
    option("--layers", "The student begins with these of its teacher, such as 0,2,4."),
    option("--student", "Or it begins with a checkpoint of the same vocabulary."),
    *TRAINING,
    *(
        option(f"--{name}", f"{help}  [default: the recipe's]", type=float)
        for name, help in (
            ("soft", "The weight of the teacher's answers in the loss."),
            ("hard", "The weight of the labels; of fill-mask, of the hidden words."),
            ("cosine", "The weight of the direction of the last vectors (fill-mask)."),
            ("temperature", "What logits are divided by before they are compared."),
        )
    ),
)
def distil(layers: str | None, **options: Any) -> None:
    """Train a student to answer as its teacher does, in the teacher's task.

    By default the teacher's answers and the labels weigh half each, as DistilBERT was
    distilled on SQuAD; --recipe distilbert is how it came to be itself. What was
    stopped goes on with the same command.
    """
    if layers is not None and options["student"] is not None:
        raise click.UsageError("give --layers or --student, not both")
    chosen = None if layers is None else layer_numbers(layers)

    from minidistil.training import training

    followed(training.distil, "distilling", {**options, "layers": chosen})
