"""``minidistil classify``: a label and a score for each text."""

from __future__ import annotations

import json
from itertools import tee
from typing import Any, BinaryIO

import click

from minidistil.cli.common import (
    each_text,
    engine_options,
    json_option,
    model_options,
    printable,
    say,
    text_arguments,
    told,
    truncation_option,
)
from minidistil.progress import counting_sequences


@click.command(short_help="Label texts, with scores.")
@text_arguments
@model_options("the Hugging Face course's SST-2 checkpoint, 268 MB")
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many labels, the best first.",
)
@truncation_option
@engine_options
@json_option
def classify(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str | None,
    revision: str | None,
    top_k: int,
    truncation: str | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Label each TEXT, or each line of a file or of standard input, with a score.

    Put -- before texts that begin with a dash.
    """
    given = each_text(texts, source)
    with told(model):
        from minidistil.pipelines import pipeline

        classifier = pipeline(
            "text-classification",
            model,
            revision=revision,
            device=device,
            top_k=top_k,
            truncation=truncation,
            precision=precision,
        )
        with counting_sequences("classifying"):
            to_show, to_classify = tee(given)
            for text, answers in zip(to_show, classifier(to_classify), strict=True):
                say(_as_json(text, answers) if as_json else _as_line(text, answers))


def _as_json(text: str, answers: list[dict[str, Any]]) -> str:
    best = answers[0]
    record = {"text": text, "label": best["label"], "score": best["score"]}
    if len(answers) > 1:
        record["labels"] = answers
    # ASCII: one line for every reader, and no codes that would steer the terminal.
    return json.dumps(record)


def _as_line(text: str, answers: list[dict[str, Any]]) -> str:
    scores = "  ".join(f"{each['label']}  {each['score']:.4f}" for each in answers)
    # A line for each text.
    return printable(f"{scores}  {' '.join(text.split())}")
