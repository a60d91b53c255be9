"""``minidistil fill-mask``: words for the masks of each text."""

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


@click.command(short_help="Guess the words behind [MASK].")
@text_arguments
@model_options(None, sources=FETCHED)
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(min=1),
    metavar="N",
    default=5,
    show_default=True,
    help="How many words for each mask, the best first.",
)
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    help="Score this word alone; may be given several times.",
)
@length_options()
@engine_options
@json_option
def fill_mask(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str,
    revision: str | None,
    top_k: int,
    targets: tuple[str, ...],
    truncation: str | None,
    max_length: int | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Guess the words behind each [MASK] of a TEXT, or of each line of a file.

    A line is printed for each guess: its score, the word, and the text with it.
    """
    given = texts_or_lines(texts, source)
    with told(model):
        from minidistil.pipelines import pipeline

        fill = pipeline(
            "fill-mask",
            model,
            revision=revision,
            device=device,
            top_k=top_k,
            targets=targets or None,
            truncation=truncation,
            max_length=max_length,
            precision=precision,
        )
        with counting_sequences("filling"):
            for text, answer in given.answered(fill):
                # Of one mask there is its list alone.
                masks = answer if isinstance(answer[0], list) else [answer]
                if as_json:
                    say(json.dumps({"text": text, "masks": masks}))
                else:
                    for guess in (guess for mask in masks for guess in mask):
                        say(_as_line(guess))


def _as_line(guess: dict[str, Any]) -> str:
    words = f"{guess['token_str']}  {' '.join(guess['sequence'].split())}"
    return printable(f"{guess['score']:.4f}  {words}")
