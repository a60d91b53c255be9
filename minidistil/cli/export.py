"""``minidistil weights export``: a checkpoint as a program that others run."""

from __future__ import annotations

from pathlib import Path

import click

from minidistil.cli.options import JSON, OUTPUT, SOURCE, command
from minidistil.cli.output import is_standard_output, print_json, print_line


@command(
    "Write a checkpoint as ONNX or as torch's .pt2.",
    *SOURCE,
    click.argument("file", type=OUTPUT),
    JSON,
)
def export(source: str, file: Path, revision: str | None, as_json: bool) -> None:
    """Write SOURCE ('tiny', a folder or a hub repository) to FILE, .onnx or .pt2.

    The program takes batches of any size, and is run beside the model, on short texts
    and on the longest, before FILE gets its name.
    """
    from minidistil.weights import export as write

    checked = write(source, file, revision=revision)
    if is_standard_output(file):
        return
    size = file.stat().st_size if file.is_file() else None  # of a pipe, who knows
    if as_json:
        record = {"file": str(file), "model": checked.kind, "bytes": size}
        record |= {"batches": checked.batches, "tokens": checked.tokens}
        print_json({**record, "difference": checked.difference})
        return
    counted = "" if size is None else f", {size:,} bytes"
    print_line(
        f"{file}: {checked.kind}{counted}; in {checked.batches} batches of up "
        f"to {checked.tokens} tokens the largest difference from the model is "
        f"{checked.difference:.1e}"
    )
