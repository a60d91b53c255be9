"""``minidistil embed``: a vector for each text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import click

from minidistil.cli.options import choice, option, output_option, pipeline_command
from minidistil.cli.output import is_standard_output, print_json, print_line
from minidistil.cli.texts import texts_or_lines
from minidistil.progress import counting_sequences


@pipeline_command(
    "Turn texts into vectors.",
    output_option("A file for all vectors, .npy or .safetensors."),
    choice(
        "--pooling",
        ("mean", "cls"),
        "How a text's vector is made of its tokens'.  [default: what the checkpoint "
        "says, or else mean]",
    ),
    option(
        "--normalize/--no-normalize",
        "Whether to scale vectors to length 1.  [default: what the checkpoint says]",
        default=None,
    ),
    tiny=True,
)
def embed(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    output: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn each TEXT, or each line of a file, into a vector.

    The vectors go to a file (-o), a row for each text, or to standard output (--json).
    """
    if as_json == (output is not None):
        raise click.UsageError("give --output or --json, one of them")
    given = texts_or_lines(texts, source)
    from minidistil.pipelines import check_vector_file, pipeline, save_vectors

    if output is not None:
        check_vector_file(output)  # before minutes of work
    # What is not given, the checkpoint decides.
    options = {name: value for name, value in options.items() if value is not None}
    encode = pipeline("sentence-embeddings", **options)
    with counting_sequences("embedding"):
        if output is None:
            for text, vector in given.answered(encode):
                print_json({"text": text, "vector": vector.tolist()})
            return
        rows = given.answers(encode)
    import torch

    vectors = torch.stack(rows) if rows else encode([])
    save_vectors(vectors, output)
    count, width = vectors.shape
    if not is_standard_output(output):
        print_line(f"{output}: {count} vectors of {width} numbers")
