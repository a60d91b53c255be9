"""How fast, and how small: minidistil beside what else runs a DistilBERT.

Everyone gets the same base-sized classifier with random weights and the same texts, and
is checked to answer as the model does before it is timed. They take turns, so that a
busy moment of the machine falls on all alike; read the ratios, on a quiet machine.

    python scripts/benchmark --output results
    python scripts/benchmark --device cuda --output results
    python scripts/benchmark --device cuda --quick --output results
    python scripts/benchmark --part corpora --only engine --only OpenVINO

Parts: "corpora" are sentences and reviews made by a seeded generator (or the lines of a
file); "latency" is one text of 8 to 512 tokens; "host" is what is left when the model
costs nothing; "memory" is the peak of a command that reads ever more lines;
"cold-start" is a whole command in a fresh process.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import host
import latency
import report
import throughput
import torch
import whole_commands
from contestant import (
    SEED,
    Contestant,
    Failures,
    Place,
    Run,
    cores,
    surviving,
    write_checkpoint,
)
from contestants import contestants
from machine import check_device, machine, versions
from workloads import KINDS, Workload, Writer

PARTS = ["corpora", "latency", "host", "memory", "cold-start"]
LENGTHS = [8, 16, 32, 128, 512]


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        counts: The texts of each corpus.
        sample: One of so many is in the sample that sizes of batches are tried on.
        patience: Who needs more seconds for a corpus reads only the sample.
        rounds: How often everyone runs.
        rests: How often a single text is timed after a rest, in each round.
        lines: The files whose reading must not need more memory the longer they are.
    """

    counts: dict[str, int]
    sample: int
    patience: float
    rounds: int = 5
    rests: int = 15
    lines: tuple[int, ...] = (2_000, 20_000, 200_000)


CPU = Scale({"sentences": 512, "reviews": 64}, sample=4, patience=60)
# In a GPU, few texts are no work at all.
GPU = Scale({"sentences": 20_000, "reviews": 4_000}, sample=32, patience=3, rests=5)


def scale(place: Place, quick: bool) -> Scale:
    """Choose how much is measured."""
    if place.is_gpu:
        return replace(GPU, sample=64, rounds=2, rests=1) if quick else GPU
    if not quick:
        return CPU
    eighth = {kind: count // 8 for kind, count in CPU.counts.items()}
    return replace(CPU, counts=eighth, rounds=2, rests=5, lines=(500, 2_000, 8_000))


def parts_of(place: Place, quick: bool) -> list[str]:
    """Choose what is measured if nothing is asked for.

    Commands run on the CPU, and peers in them take long to start.
    """
    if place.is_gpu:
        return PARTS[:3]
    return PARTS[:4] if quick else PARTS


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--quick",
    is_flag=True,
    help="Less of everything and nothing compiled, to try it out: three minutes on a "
    "GPU.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), help="[default: 5; with --quick 2]"
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(PARTS),
    help="[default: all; with --quick all but cold-start; on a GPU the first three]",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Contestants whose name has this in it; several are possible.",
)
@click.option(
    "--skip",
    multiple=True,
    metavar="NAME",
    help="Leave out contestants whose name has this in it; several are possible.",
)
@click.option(
    "--texts",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the lines of this file for the corpora.",
)
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take this checkpoint, whose labels are NEGATIVE and POSITIVE.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write benchmark.md, benchmark.json and benchmark.svg to this folder.",
)
def main(
    device: str,
    quick: bool,
    rounds: int | None,
    parts: tuple[str, ...],
    only: tuple[str, ...],
    skip: tuple[str, ...],
    file: Path | None,
    model: Path | None,
    output: Path | None,
) -> None:
    """Run the benchmark."""
    # Before transformers is imported, which reads it then.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    place = Place(check_device(device), cores())
    torch.set_num_threads(place.threads)
    much = scale(place, quick)
    much = replace(much, rounds=rounds or much.rounds)
    parts = parts or tuple(parts_of(place, quick))
    present, skipped = choose(only, skip, place, quick)
    results: dict[str, Any] = {
        "machine": machine(place),
        "versions": versions(place),
        "command": "python " + " ".join(map(shlex.quote, sys.argv)),
        "rounds": much.rounds,
        "skipped": skipped,
        "failed": {},
    }
    failed: Failures = results["failed"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, model, present, failed)
        corpora = write_corpora(file, much.counts)
        run = measure(parts, folder, corpora, present, place, much, failed)
        for part, measured in run:
            with surviving(f"part {part}", failed):
                results[part] = measured()
            if output is not None:  # now: what comes next may be stopped
                report.write(output, results)
    click.echo(report.table(results))
    if failed:
        sys.exit(1)


def measure(
    parts: tuple[str, ...],
    folder: Path,
    corpora: list[Workload],
    present: list[Contestant],
    place: Place,
    much: Scale,
    failed: Failures,
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Go from part to part; yields its name and what measures it."""
    # What starts processes comes first, while this one is small.
    if "cold-start" in parts:
        yield "cold-start", partial(whole_commands.time_commands, folder, much.rounds)
    if "memory" in parts:
        yield "memory", partial(whole_commands.measure_memory, folder, much.lines)
    singles = [Writer(SEED).single(length) for length in LENGTHS]
    often = {"rounds": much.rounds, "rests": much.rests}
    here = "latency" in parts and place.is_gpu
    if "latency" in parts and not here:
        ready = [each for each in present if each.name not in failed]
        yield (
            "latency",
            partial(latency.in_processes, folder, ready, singles, place, **often),
        )
    if "corpora" in parts or here:
        runs = load(folder, present, place, failed)
        if "corpora" in parts:
            yield (
                "corpora",
                partial(
                    throughput.measure,
                    *(folder, corpora, runs, place),
                    failed=failed,
                    rounds=much.rounds,
                    sample=much.sample,
                    patience=much.patience,
                ),
            )
        if here:
            # To compile it for one text too would take another minute.
            quick = {
                each: run
                for each, run in runs.items()
                if not each.compiles and each.name not in failed
            }
            yield (
                "latency",
                partial(
                    latency.in_this_process,
                    folder,
                    quick,
                    singles,
                    place,
                    failed=failed,
                    **often,
                ),
            )
    if "host" in parts:
        yield "host", partial(host.measure, folder, corpora, much.rounds)


def choose(
    only: tuple[str, ...], skip: tuple[str, ...], place: Place, quick: bool
) -> tuple[list[Contestant], dict[str, str]]:
    """Return the contestants that are asked for, and why some of them are left out.

    Raises:
        click.UsageError: for a name that nobody has.
    """
    everyone = contestants(place)
    for part in only + skip:
        if not any(part in each.name for each in everyone):
            known = "\n  ".join(each.name for each in everyone)
            raise click.UsageError(f"{part!r} is no part of any of\n  {known}")
    present, skipped = [], {}
    for each in everyone:
        if only and not any(part in each.name for part in only):
            continue
        if any(part in each.name for part in skip):
            skipped[each.name] = "by --skip"
        elif each.missing:
            skipped[each.name] = f"pip install {' '.join(each.missing)}"
        elif each.compiles and quick:
            skipped[each.name] = "to compile takes minutes, and this was --quick"
        else:
            present.append(each)
    return present, skipped


def prepare(
    folder: Path,
    model: Path | None,
    contestants: list[Contestant],
    failed: Failures,
) -> None:
    """Write the checkpoint, and what the contestants want instead of it."""
    if model is None:
        say("writing a checkpoint with random weights")
        write_checkpoint(folder)
    else:
        shutil.copytree(model, folder, dirs_exist_ok=True)
    for each in contestants:
        if each.prepare is not None:
            say(f"preparing {each.name}")
            with surviving(each.name, failed):
                each.prepare(folder)


def write_corpora(file: Path | None, counts: dict[str, int]) -> list[Workload]:
    """Make the corpora, or read one from a file."""
    say("writing texts")
    writer = Writer(SEED)
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [writer.read(file.name, filter(None, lines))]
    return [
        writer.read(kind, write(writer, counts[kind])) for kind, write in KINDS.items()
    ]


def load(
    folder: Path, contestants: list[Contestant], place: Place, failed: Failures
) -> dict[Contestant, Run]:
    """Load everyone who can be prepared and loaded."""
    runs = {}
    for each in contestants:
        if each.name in failed:
            continue
        say(f"loading {each.name}")
        with surviving(each.name, failed):
            runs[each] = each.load(folder, place)
    return runs


def say(what: str) -> None:
    """Say on standard error what happens next."""
    click.echo(what, err=True)


if __name__ == "__main__":
    main()
