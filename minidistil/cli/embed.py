"""``minidistil embed``: a vector for each text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

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


@click.command(short_help="Turn texts into vectors.")
@text_arguments
@model_options(None)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file for all vectors, .npy or .safetensors.",
)
@click.option(
    "--pooling",
    type=click.Choice(["mean", "cls"]),
    help="What stands for a text.  [default: what the checkpoint says, or else mean]",
)
@click.option(
    "--normalize/--no-normalize",
    default=None,
    help="Whether to scale vectors to length 1.  [default: what the checkpoint says]",
)
@length_options()
@engine_options
@json_option
def embed(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str,
    revision: str | None,
    output: Path | None,
    pooling: str | None,
    normalize: bool | None,
    truncation: str | None,
    max_length: int | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Turn each TEXT, or each line of a file, into a vector.

    The vectors go to a file (-o), a row for each text, or to standard output (--json).
    """
    if as_json == (output is not None):
        raise click.UsageError("give --output or --json, one of them")
    given = texts_or_lines(texts, source)
    with told(model):
        from minidistil.pipelines import check_vector_file, pipeline, save_vectors

        if output is not None:
            check_vector_file(output)  # before minutes of work
        options: dict[str, Any] = {
            "pooling": pooling,
            "normalize": normalize,
            "max_length": max_length,
        }
        encode = pipeline(
            "sentence-embeddings",
            model,
            revision=revision,
            device=device,
            truncation=truncation,
            precision=precision,
            **{name: value for name, value in options.items() if value is not None},
        )
        with counting_sequences("embedding"):
            if output is None:
                for text, vector in given.answered(encode):
                    say(json.dumps({"text": text, "vector": vector.tolist()}))
                return
            with counted_from_one(given.word):
                rows = [*encode(iter(given))]
        import torch

        vectors = torch.stack(rows) if rows else encode([])
        save_vectors(vectors, output)
        count, width = vectors.shape
        click.echo(f"{output}: {count} vectors of {width} numbers")
