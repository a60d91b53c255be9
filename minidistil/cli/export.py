"""``minidistil weights export``: a checkpoint as a program that others run."""

from __future__ import annotations

from pathlib import Path

import click

from minidistil.cli.options import JSON, SOURCE, command
from minidistil.cli.output import print_json, print_line


@command(
    "Write a checkpoint as ONNX or as torch's .pt2.",
    *SOURCE,
    click.argument("file", type=click.Path(dir_okay=False, path_type=Path)),
    JSON,
)
def export(source: str, file: Path, revision: str | None, as_json: bool) -> None:
    """Write SOURCE ('tiny', a folder or a hub repository) to FILE, .onnx or .pt2.

    The program takes batches of any size, and is run beside the model, on short texts
    and on the longest, before FILE gets its name.
    """
    try:
        from minidistil.weights.exporting import export as write

        checked = write(source, file, revision=revision)
    except ImportError as error:  # it says what to install
        raise click.ClickException(str(error)) from error
    size = file.stat().st_size
    if as_json:
        of_file = {"file": str(file), "model": checked.kind, "bytes": size}
        print_json({**of_file, **vars(checked)})
        return
    print_line(
        f"{file}: {checked.kind}, {size:,} bytes; in {checked.batches} batches of up "
        f"to {checked.tokens} tokens the largest difference from the model is "
        f"{checked.difference:.1e}"
    )
