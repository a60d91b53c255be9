"""``minidistil weights export``: a checkpoint as a program that others run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from minidistil.cli.common import json_option, printable, told


@contextmanager
def _told_what_to_install() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise click.ClickException(str(error)) from error


@click.command(short_help="Write a checkpoint as ONNX or as torch's .pt2.")
@click.argument("source")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--revision", help="Branch, tag or commit of the hub repository.")
@json_option
def export(source: str, file: Path, revision: str | None, as_json: bool) -> None:
    """Write SOURCE ('tiny', a folder or a hub repository) to FILE, .onnx or .pt2.

    The program takes batches of any size, and is run beside the model, on short texts
    and on the longest, before FILE gets its name.
    """
    with told(source), _told_what_to_install():
        from minidistil.auto import kind_of
        from minidistil.checkpoint.tensors import Weights
        from minidistil.config import DistilBertConfig
        from minidistil.hub import open_checkpoint
        from minidistil.weights.exporting import check_request, export as write

        check_request(file)
        files = open_checkpoint(source, revision=revision)
        config = DistilBertConfig.from_json_file(files.require("config.json"))
        kind = kind_of(config, Weights(files))
        checked = write(kind.from_pretrained(source, revision=revision), file)
    if as_json:
        record = {
            "file": str(file),
            "model": kind.__name__,
            "bytes": file.stat().st_size,
            "batches": checked.batches,
            "tokens": checked.tokens,
            "difference": checked.difference,
        }
        click.echo(json.dumps(record))
        return
    click.echo(
        printable(
            f"{file}: {kind.__name__}, {file.stat().st_size:,} bytes; in "
            f"{checked.batches} batches of up to {checked.tokens} tokens the largest "
            f"difference from the model is {checked.difference:.1e}"
        )
    )
