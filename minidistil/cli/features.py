"""``minidistil features``: the vectors of all tokens of each text."""

from __future__ import annotations

import json
from itertools import tee
from pathlib import Path
from typing import BinaryIO

import click

from minidistil.cli.common import (
    each_text,
    engine_options,
    json_option,
    model_options,
    say,
    text_arguments,
    told,
)
from minidistil.progress import counting_sequences


@click.command(short_help="Turn every token of texts into a vector.")
@text_arguments
@model_options(None)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A .safetensors file for all texts: tensors 0, 1, … of (tokens, numbers).",
)
@click.option(
    "--truncation",
    # In windows, a token would have several vectors.
    type=click.Choice(["head", "head+tail", "error"]),
    help="How to read a text that is too long.  [default: head, with a warning]",
)
@engine_options
@json_option
def features(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str,
    revision: str | None,
    output: Path | None,
    truncation: str | None,
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
    given = each_text(texts, source)
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
            precision=precision,
            return_tensors=True,
        )
        with counting_sequences("reading"):
            if output is None:
                to_show, to_read = tee(given)
                for text, (vectors,) in zip(to_show, extract(to_read), strict=True):
                    say(json.dumps({"text": text, "vectors": vectors.tolist()}))
                return
            found = [vectors for (vectors,) in extract(given)]
        save_features(found, output)
        click.echo(f"{output}: the vectors of {sum(map(len, found))} tokens")
