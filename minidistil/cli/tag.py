"""``minidistil tag``: names, places or other entities in each text."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import click

from minidistil.cli.common import (
    FETCHED,
    engine_options,
    json_option,
    model_options,
    printable,
    say,
    text_arguments,
    texts_or_lines,
    told,
)
from minidistil.progress import counting_sequences


@click.command(short_help="Find names, or other entities, in texts.")
@text_arguments
@model_options(None, sources=FETCHED)
@click.option(
    "--aggregation",
    type=click.Choice(["none", "simple", "first", "average", "max"]),
    default="simple",
    show_default=True,
    help="What becomes of tokens: 'none' shows each, 'simple' makes entities of them, "
    "the others of whole words.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    default=["O"],
    show_default=True,
    help="Leave this label out; may be given several times.",
)
@click.option(
    "--stride",
    type=click.IntRange(min=0),
    metavar="N",
    help="Read long texts whole, in windows that share so many tokens.  "
    "[default: only the beginning, with a warning]",
)
@click.option(
    "--words",
    is_flag=True,
    help="Each TEXT, or line, is words, split already, with the delimiter between "
    "them.",
)
@click.option(
    "--delimiter",
    metavar="TEXT",
    help="What stands between --words.  [default: a blank]",
)
@engine_options
@json_option
def tag(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str,
    revision: str | None,
    aggregation: str,
    ignored: tuple[str, ...],
    stride: int | None,
    words: bool,
    delimiter: str | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Find the entities in each TEXT, or in each line of a file.

    A line is printed for each: its label, its score, its characters, and itself. With
    --json a line is printed for each text.
    """
    if delimiter is not None and not (words and delimiter):
        raise click.UsageError("--delimiter goes with --words, and is not empty")
    between = delimiter or " "
    given = texts_or_lines(texts, source)
    with told(model):
        from minidistil.pipelines import pipeline

        tagger = pipeline(
            "token-classification",
            model,
            revision=revision,
            device=device,
            aggregation_strategy=aggregation,
            ignore_labels=ignored,
            stride=stride,
            is_split_into_words=words,
            delimiter=between,
            precision=precision,
        )

        def read(text: str) -> str | list[str]:
            return text.split(between) if words else text

        with counting_sequences("tagging"):
            for one, found in given.answered(tagger, read):
                text = between.join(one) if words else one
                if as_json:
                    say(json.dumps({"text": text, "entities": found}))
                else:
                    for one in found:
                        say(_as_line(text, one))


def _as_line(text: str, found: dict[str, Any]) -> str:
    label = found.get("entity_group") or found["entity"]
    start, end = found["start"], found["end"]
    words = " ".join(text[start:end].split())
    return printable(f"{label}  {found['score']:.4f}  {start}-{end}  {words}")
