"""``minidistil embed``: a vector for each text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minidistil.cli.options import (
    TEXTS,
    choice,
    option,
    pipeline_command,
    table_options,
)
from minidistil.cli.vectors import give_vectors


@pipeline_command(
    "Turn texts into vectors.",
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
    inputs=(TEXTS, *table_options(output=", or vectors alone: .npy, .safetensors")),
    tiny=True,
)
def embed(**options: Any) -> None:
    """Turn each TEXT, or each line or row of a file, into a vector.

    The vectors go to a file (-o), alone or behind the columns of a table, or to
    standard output (--json).
    """
    # What is not given, the checkpoint decides.
    given = {name: value for name, value in options.items() if value is not None}
    give_vectors(
        "sentence-embeddings",
        "embedding",
        endings=(".npy", ".safetensors"),
        save=_save,
        name="vector",
        vectors_of=lambda answer: answer,
        **given,
    )


def _save(encode: Any, rows: list[Any], path: Path) -> str:
    import torch

    from minidistil.pipelines import save_vectors

    vectors = torch.stack(rows) if rows else encode([])
    save_vectors(vectors, path)
    count, width = vectors.shape
    return f"{count} vectors of {width} numbers"
