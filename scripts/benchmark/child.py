"""Time one contestant on single texts, in a process of its own; JSON on the output.

    python scripts/benchmark/child.py "OpenVINO, float32" FOLDER TEXTS

The folder and the file are those that the benchmark prepares.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import latency
from contestant import Place, cores
from contestants import contestants
from workloads import Workload


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.argument("name")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True)
@click.option("--threads", type=int, default=cores(), show_default="all cores")
@click.option("--rests", type=int, default=15, show_default=True)
def main(
    name: str, folder: Path, file: Path, device: str, threads: int, rests: int
) -> None:
    """Load, check and time."""
    place = Place(device, threads)
    (contestant,) = (each for each in contestants(place) if each.name == name)
    record = json.loads(file.read_text(encoding="utf-8"))
    works = [Workload(**each) for each in record["works"]]
    run = contestant.load(folder, place)
    latency.check(contestant, run, works, record["expected"])
    click.echo(json.dumps(latency.measure(contestant, run, works, place, rests)))


if __name__ == "__main__":
    main()
