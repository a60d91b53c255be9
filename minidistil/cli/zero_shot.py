"""``minidistil zero-shot``: scores of any labels for each text."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import click

from minidistil.cli.common import (
    FETCHED,
    engine_options,
    json_option,
    length_options,
    model_options,
    printable,
    say,
    text_arguments,
    texts_or_lines,
    told,
)
from minidistil.progress import counting_sequences


@click.command(short_help="Label texts with labels of your own.")
@text_arguments
@model_options(None, sources=FETCHED)
@click.option(
    "-l",
    "--labels",
    multiple=True,
    required=True,
    help="The labels, with commas between them; or one, given several times, and then "
    "a comma is part of it.",
)
@click.option(
    "--template",
    default="This example is {}.",
    show_default=True,
    help="The sentence that a label makes.",
)
@click.option(
    "--multi-label", is_flag=True, help="Score each label by itself, yes or no."
)
@length_options()
@engine_options
@json_option
def zero_shot(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str,
    revision: str | None,
    labels: tuple[str, ...],
    template: str,
    multi_label: bool,
    truncation: str | None,
    max_length: int | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Score labels of your own for each TEXT, or each line of a file.

    The model has to be one of natural language inference (MNLI).
    """
    given = texts_or_lines(texts, source)
    with told(model):
        from minidistil.pipelines import pipeline

        classifier = pipeline(
            "zero-shot-classification",
            model,
            revision=revision,
            device=device,
            candidate_labels=labels[0] if len(labels) == 1 else labels,
            hypothesis_template=template,
            multi_label=multi_label,
            truncation=truncation,
            max_length=max_length,
            precision=precision,
        )
        with counting_sequences("classifying"):
            for text, answer in given.answered(classifier):
                del answer["sequence"]
                say(
                    json.dumps({"text": text} | answer)
                    if as_json
                    else _as_line(text, answer)
                )


def _as_line(text: str, answer: dict[str, Any]) -> str:
    pairs = zip(answer["labels"], answer["scores"], strict=True)
    scores = "  ".join(f"{label}  {score:.4f}" for label, score in pairs)
    return printable(f"{scores}  {' '.join(text.split())}")
