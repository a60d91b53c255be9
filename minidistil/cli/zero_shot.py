"""``minidistil zero-shot``: scores of any labels for each text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minidistil.cli.options import flag, option, pipeline_command
from minidistil.cli.output import one_line
from minidistil.cli.tables import print_answers


@pipeline_command(
    "Label texts with labels of your own.",
    option(
        "-l --labels",
        "The labels, with commas between them; or one, given several times, and then a"
        " comma is part of it.",
        multiple=True,
        required=True,
    ),
    option(
        "--template hypothesis_template",
        "The sentence made of a label, which {} stands for.",
        default="This example is {}.",
    ),
    flag("--multi-label", "Score each label by itself, yes or no."),
)
def zero_shot(labels: tuple[str, ...], **options: Any) -> None:
    """Score labels of your own for each TEXT, or each line or row of a file.

    The model has to be one of natural language inference (MNLI).
    """
    print_answers(
        "zero-shot-classification",
        "classifying",
        record=_record,
        lines=_lines,
        candidate_labels=labels[0] if len(labels) == 1 else labels,
        **options,
    )


def _record(text: str, answer: dict[str, Any]) -> dict[str, Any]:
    answer = answer or {"labels": None, "scores": None}
    return {"text": text, "labels": answer["labels"], "scores": answer["scores"]}


def _lines(text: str, answer: dict[str, Any]) -> Iterator[str]:
    pairs = zip(answer["labels"], answer["scores"], strict=True)
    scores = "  ".join(f"{label}  {score:.4f}" for label, score in pairs)
    yield f"{scores}  {one_line(text)}"
