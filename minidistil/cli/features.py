"""``minidistil features``: the vectors of all tokens of each text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

import click

from minidistil.cli.common import (
    counted_from_one,
    engine_options,
    json_option,
    length_options,
    model_options,
    say,
    text_arguments,
    texts_or_lines,
    told,
)
from minidistil.progress import counting_sequences


@click.command(short_help="Turn every token of texts into a vector.")
@text_arguments
@model_options("DistilBERT, cased, as it was pretrained, 263 MB")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .safetensors file for all texts: tensors 0, 1, … of (tokens, numbers).",
)
# In windows, a token would have several vectors.
@length_options(("head", "head+tail", "error"))
@engine_options
@json_option
def features(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str | None,
    revision: str | None,
    output: Path | None,
    truncation: str | None,
    max_length: int | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Turn every token of each TEXT, or of each line of a file, into a vector.

    [CLS] and [SEP] have theirs too, first and last. The vectors go to a file (-o) or to
    standard output (--json).
    """
    if as_json == (output is not None):
        raise click.UsageError("give --output or --json, one of them")
    given = texts_or_lines(texts, source)
    with told(model):
        from minidistil.pipelines import check_features_file, pipeline, save_features

        if output is not None:
            check_features_file(output)  # before minutes of work
        extract = pipeline(
            "feature-extraction",
            model,
            revision=revision,
            device=device,
            truncation=truncation,
            max_length=max_length,
            precision=precision,
            return_tensors=True,
        )
        with counting_sequences("reading"):
            if output is None:
                for text, (vectors,) in given.answered(extract):
                    say(json.dumps({"text": text, "vectors": vectors.tolist()}))
                return
            with counted_from_one(given.word):
                found = [vectors for (vectors,) in extract(iter(given))]
        save_features(found, output)
        click.echo(f"{output}: the vectors of {sum(map(len, found))} tokens")
