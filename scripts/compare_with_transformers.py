"""Our model beside transformers' own, layer by layer: OK, DIFF or SHAPE.

    python scripts/compare_with_transformers.py tiny
    python scripts/compare_with_transformers.py some/folder --attention eager

Both load the checkpoint and read the same texts. Every layer's output is compared, to
the last bit unless --tolerance allows more; the first that differs is named, and then
the exit status is 1.
"""

from __future__ import annotations

import sys
from typing import Any

import click
import torch
import transformers
from torch import nn

from minidistil import AutoTokenizer
from minidistil.checkpoint import Contents
from minidistil.config import DistilBertConfig
from minidistil.hub import open_checkpoint
from minidistil.kinds import KINDS, kind_of
from minidistil.weights.headers import read_headers
from minidistil.weights.trace import compare, first_difference, record

TEXTS = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
]


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("source")
@click.option("--revision", help="Branch, tag or commit of a hub repository.")
@click.option("--kind", type=click.Choice([*KINDS]), help="The class to load it as.")
@click.option(
    "--attention",
    type=click.Choice(["sdpa", "eager"]),
    default="sdpa",
    show_default=True,
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
)
@click.option("--tolerance", type=float, default=0.0, help="No difference up to this.")
@click.option("--text", "texts", multiple=True, help="What to read, in place of ours.")
def main(
    source: str,
    revision: str | None,
    kind: str | None,
    attention: str,
    dtype: str,
    tolerance: float,
    texts: tuple[str, ...],
) -> None:
    """Load a checkpoint twice and compare."""
    where = {} if revision is None else {"revision": revision}
    try:
        cls = KINDS[kind] if kind else kind_of_source(source, where)
        options: dict[str, Any] = {
            "dtype": getattr(torch, dtype),
            "attn_implementation": attention,
        }
        ours = cls.from_pretrained(source, **where, **options)
        tokenizer = AutoTokenizer.from_pretrained(source, **where)
        name = open_checkpoint(source, **where).name
        theirs = getattr(transformers, cls.__name__).from_pretrained(
            name, **where, **options
        )
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    inputs = dict(
        tokenizer(
            list(texts or TEXTS), padding=True, truncation=True, return_tensors="pt"
        )
    )
    if cls.__name__ == "DistilBertForMultipleChoice":
        inputs = {name: tensor[None] for name, tensor in inputs.items()}
    rows = compare(
        record(ours, lambda model: model(**inputs)),
        record(in_memory(theirs).eval(), lambda model: model(**inputs)),
        tolerance,
    )
    click.echo(f"{cls.__name__} in {dtype}, {attention} attention, {source}")
    for row in rows:
        shapes = row.shapes[0] if row.status != "SHAPE" else row.shapes
        click.echo(
            f"{row.status:5} {row.name or '(all)':50} {row.difference:.1e} {shapes}"
        )
    found = first_difference(rows)
    if found is None:
        click.echo(f"no difference in {len(rows)} layers")
        return
    click.echo(f"the first difference is in {found.name or 'the result'}")
    sys.exit(1)


def kind_of_source(source: str, where: dict[str, str]) -> type:
    """The class that a checkpoint is meant for."""
    files = open_checkpoint(source, **where)
    config = DistilBertConfig.from_json_file(files.require("config.json"))
    entries = [entry for header in read_headers(files) for entry in header.tensors]
    return kind_of(config, Contents(str(files), entries))


def in_memory(model: nn.Module) -> nn.Module:
    """Copy the weights out of the mapped file: alignment changes the last bit."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


if __name__ == "__main__":
    main()
