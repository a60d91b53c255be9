"""Our model beside transformers' own, layer by layer: OK, DIFF or SHAPE.

    python scripts/compare_with_transformers.py tiny
    python scripts/compare_with_transformers.py tiny --attention eager --json

Both load the checkpoint and read the same texts. Every layer's output is compared, to
the last bit unless --tolerance allows more; the first that differs is named, and then
the exit status is 1.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click
import transformers
from torch import Tensor, nn
from transformers.utils import logging

from minidistil import AutoTokenizer, DistilBertForMultipleChoice
from minidistil.auto import KINDS, identify
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.hub import open_checkpoint
from minidistil.pipelines.base import max_tokens
from minidistil.progress import counting_seconds
from minidistil.weights.layerwise import (
    ComparedLayer,
    compare_layers,
    first_difference,
    record_layers,
)

TEXTS = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
]


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("source")
@click.option("--revision", help="Branch, tag or commit of a hub repository.")
@click.option(
    "--kind",
    type=click.Choice([*KINDS]),
    metavar="CLASS",
    help="The class to load it as, such as DistilBertModel.  [default: the "
    "checkpoint's own]",
)
@click.option(
    "--attention",
    type=click.Choice(["sdpa", "eager"]),
    default="sdpa",
    show_default=True,
    help="How both attend.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="What both compute in.",
)
@click.option("--device", default="cpu", show_default=True, help="Such as cuda or mps.")
@click.option("--tolerance", type=float, default=0.0, help="No difference up to this.")
@click.option("--text", "texts", multiple=True, help="What to read, in place of ours.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    source: str,
    revision: str | None,
    kind: str | None,
    attention: str,
    dtype: str,
    device: str,
    tolerance: float,
    texts: tuple[str, ...],
    as_json: bool,
) -> None:
    """Load a checkpoint twice and compare."""
    if device.startswith("meta"):
        raise click.BadParameter("'meta' has shapes, no numbers", param_hint="--device")
    where = {} if revision is None else {"revision": revision}
    computing = {"dtype": dtype, "attn_implementation": attention}
    with library_errors_as_click():
        cls = KINDS[kind] if kind else identify(source, **where).kind
        with counting_seconds("loading ours"):
            ours = cls.from_pretrained(source, device=device, **where, **computing)
        with counting_seconds("loading theirs"):
            theirs = transformers_model(source, cls.__name__, where, computing)
            theirs = theirs.to(device)
        inputs = encode(source, where, ours, texts or TEXTS)
    with counting_seconds("running"):
        rows = compare_layers(outputs(ours, inputs), outputs(theirs, inputs), tolerance)
    if as_json:
        asked = {"source": source, "model": cls.__name__, "dtype": dtype}
        asked |= {"attention": attention, "device": device, "tolerance": tolerance}
        click.echo(json.dumps(asked | as_record(rows)))
    else:
        click.echo(f"{cls.__name__} in {dtype}, {attention} attention, {source}")
        show(rows)
    sys.exit(0 if first_difference(rows) is None else 1)


@contextmanager
def library_errors_as_click() -> Iterator[None]:
    """Turn the library's errors into click's, which print the message alone."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error


def show(rows: list[ComparedLayer]) -> None:
    """Print a line for each layer, and which is the first that differs."""
    for row in rows:
        shapes = row.shapes[0] if row.status != "SHAPE" else row.shapes
        click.echo(
            f"{row.status:5} {row.name or '(all)':50} {row.difference:.1e} {shapes}"
        )
    found = first_difference(rows)
    if found is None:
        click.echo(f"no difference in {len(rows)} layers")
    else:
        click.echo(f"the first difference is in {found.name or 'the result'}")


def as_record(rows: list[ComparedLayer]) -> dict[str, Any]:
    """The same for JSON. It has no infinity: that is null."""
    found = first_difference(rows)
    layers = [
        vars(row)
        | {"difference": row.difference if math.isfinite(row.difference) else None}
        for row in rows
    ]
    return {"first_difference": None if found is None else found.name, "layers": layers}


def outputs(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Run a model; the output of every layer, where every type can be compared."""
    found = record_layers(model, lambda model: model(**inputs))
    return {name: output.cpu() for name, output in found.items()}


def transformers_model(
    source: str, name: str, where: dict[str, str], computing: dict[str, str]
) -> nn.Module:
    """Their model of a name, from the same files."""
    logging.disable_progress_bar()  # it is shown where there is no terminal too
    cls = getattr(transformers, name)
    files = open_checkpoint(source, **where).name
    return in_memory(cls.from_pretrained(files, **where, **computing)).eval()


def encode(
    source: str, where: dict[str, str], model: PreTrainedModel, texts: Sequence[str]
) -> dict[str, Tensor]:
    """The texts as the arguments of a model; as the choices of one that chooses."""
    tokenizer = AutoTokenizer.from_pretrained(source, **where)
    longest = max_tokens(model.config, tokenizer)
    encoded = tokenizer(
        [*texts], padding=True, truncation=True, max_length=longest, return_tensors="pt"
    )
    inputs = {name: tensor.to(model.device) for name, tensor in encoded.items()}
    if isinstance(model, DistilBertForMultipleChoice):
        return {name: tensor[None] for name, tensor in inputs.items()}
    return inputs


def in_memory(model: nn.Module) -> nn.Module:
    """Copy the weights out of the mapped file: alignment changes the last bit."""
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


if __name__ == "__main__":
    main()
