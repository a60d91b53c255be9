"""``minidistil classify``: a label and a score for each text."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import tee
from typing import Any, BinaryIO

import click

from minidistil.cli.common import model_options, printable, told


@click.command(short_help="Label texts, with scores.")
@click.argument("texts", nargs=-1)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File("rb"),
    help="Read texts from a file, one a line; - is standard input.",
)
@model_options
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many labels, the best first.",
)
@click.option(
    "--truncation",
    type=click.Choice(["head", "head+tail", "window", "error"]),
    help="How to read a text that is too long.  [default: head, with a warning]",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "int8"]),
    default="float32",
    show_default=True,
    help="What to compute in; the others are nearly as exact, and faster where the "
    "processor has them.",
)
@click.option("--device", default="cpu", show_default=True, help="Such as cuda or mps.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
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
    if texts and source:
        raise click.UsageError("give texts or --file, not both")
    if not texts and source is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("give a TEXT, --file, or lines on standard input")
        source = sys.stdin.buffer
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
        to_show, to_classify = tee(_lines(source) if source else texts)
        for text, answers in zip(to_show, classifier(to_classify), strict=True):
            click.echo(_as_json(text, answers) if as_json else _as_line(text, answers))


def _lines(source: BinaryIO) -> Iterator[str]:
    """Read one text a line; an empty line is an empty text, so that lines keep step."""
    for number, line in enumerate(source, start=1):
        try:
            yield line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"line {number} is not UTF-8 text ({error.reason}, byte "
                f"{error.start + 1}); convert the file to UTF-8"
            ) from None


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
