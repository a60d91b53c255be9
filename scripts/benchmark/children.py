"""Programs that run in a process of their own, so that its memory is theirs alone.

    python scripts/benchmark/children.py classify "OpenVINO, float32" FOLDER WORKLOAD
    python scripts/benchmark/children.py stream "minidistil pipeline, int8" FOLDER TEXTS

The folder and the files are those that the benchmark prepares.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import click
import workloads
from peers import CONTESTANTS

# Few texts are soon done: they are read again until there are this many.
ENOUGH = 2000

FOLDER = click.argument("folder", type=click.Path(path_type=Path))
FILE = click.argument("file", type=click.Path(path_type=Path))
THREADS = click.option("--threads", type=int, required=True)


@click.group(help=__doc__.replace("\n\n", "\n\n\b\n"))
def main() -> None:
    """Choose the program."""


@main.command()
@click.argument("name")
@FOLDER
@FILE
@THREADS
def classify(name: str, folder: Path, file: Path, threads: int) -> None:
    """Load a contestant and let it classify a workload, once."""
    (contestant,) = (each for each in CONTESTANTS if each.name == name)
    contestant.load(folder, threads)(workloads.load(file))


@main.command()
@click.argument("precision")
@FOLDER
@FILE
@THREADS
def stream(precision: str, folder: Path, file: Path, threads: int) -> None:
    """Classify the lines of a file with our pipeline; print the seconds it took."""
    import torch

    from minidistil import pipeline

    torch.set_num_threads(threads)
    classify = pipeline(model=folder, precision=precision, truncation="head")
    classify(["a text to warm up"] * 32)
    seconds, texts = [], 0
    while texts < ENOUGH:
        start = time.perf_counter()
        with file.open(encoding="utf-8") as lines:
            # Read as needed, and no answer kept: what grows is the pipeline's.
            texts += sum(1 for _ in classify(line.rstrip("\n") for line in lines))
        seconds.append(time.perf_counter() - start)
    click.echo(statistics.median(seconds))


if __name__ == "__main__":
    main()
