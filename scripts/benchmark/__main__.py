"""How fast, and how small: minidistil beside what else runs a DistilBERT on a CPU.

Everyone gets the same base-sized classifier with random weights, the same texts and,
who takes batches, the same batches. They take turns in one process, so that a busy
moment of the machine falls on all alike; read the ratios, on a quiet machine.

    python scripts/benchmark --output results
    python scripts/benchmark --quick --part corpora --only engine --only OpenVINO

Parts: "latency" is one text of 8 to 512 tokens; "corpora" are sentences and reviews
made by a seeded generator (or the lines of a file); "memory" is the peak of each
contestant in a process of its own; "cold-start" is a whole command in a fresh process;
"scaling" is our pipeline on 100 to 100,000 texts, and takes many minutes.
"""

from __future__ import annotations

import os
import platform
import shlex
import sys
import tempfile
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ceiling
import click
import numpy as np
import report
import torch
from peers import CONTESTANTS, Contestant, Run, write_checkpoint
from timing import launch, take_turns, time_often, time_once
from workloads import KINDS, Workload, Writer

PARTS = ["latency", "corpora", "memory", "cold-start", "scaling"]
LENGTHS = [8, 16, 32, 128, 512]
COUNTS = {"sentences": 512, "reviews": 64}
SCALES = [100, 1_000, 10_000, 100_000]
SEED = 20191002

TEXT = "A command starts, reads its model, answers once and ends."
CHILDREN = Path(__file__).with_name("children.py")

# In float32 everybody must give the same scores: who does not has not done the work.
TOLERANCE = 1e-4


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(PARTS),
    default=PARTS[:-1],
    show_default=True,
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Contestants whose name has this in it; several are possible.",
)
@click.option(
    "--texts",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the lines of this file for the corpora.",
)
@click.option("--quick", is_flag=True, help="An eighth of all texts, to try it out.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write benchmark.md, benchmark.json and benchmark.svg to this folder.",
)
def main(
    rounds: int,
    parts: tuple[str, ...],
    only: tuple[str, ...],
    file: Path | None,
    quick: bool,
    output: Path | None,
) -> None:
    """Run the benchmark."""
    # Before transformers is imported, which reads it then.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    torch.set_num_threads(cores())
    chosen = choose(only)
    present = [each for each in chosen if not each.missing]
    results: dict[str, Any] = {
        "machine": machine(),
        "versions": versions(),
        "command": "python " + " ".join(map(shlex.quote, sys.argv)),
        "rounds": rounds,
        "skipped": {each.name: each.missing for each in chosen if each.missing},
    }
    share = 8 if quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, present)
        corpora = write_corpora(file, share)
        # What starts processes comes first, while this one is small.
        if "cold-start" in parts:
            results["cold-start"] = time_commands(folder, only, rounds)
        if "memory" in parts:
            results["memory"] = measure_memory(folder, corpora[0], present)
        if "scaling" in parts:
            results["scaling"] = measure_scaling(folder, share)
        if {"latency", "corpora"} & {*parts}:
            runs = load(folder, present)
            if "latency" in parts:
                results["latency"] = time_lengths(runs, rounds)
            if "corpora" in parts:
                results["corpora"] = time_corpora(corpora, present, runs, rounds)
    table = report.table(results)
    click.echo(table)
    if output is not None:
        report.write(output, results, table)


def choose(only: tuple[str, ...]) -> list[Contestant]:
    """Return the contestants of those names, all if there are none."""
    names = [*(each.name for each in CONTESTANTS), *commands(Path())]
    for part in only:
        if not any(part in name for name in names):
            known = "\n  ".join(names)
            raise click.UsageError(f"--only {part!r} is no part of any of\n  {known}")
    return [
        each
        for each in CONTESTANTS
        if not only or any(part in each.name for part in only)
    ]


def prepare(folder: Path, contestants: list[Contestant]) -> None:
    """Write the checkpoint, and what the contestants want instead of it."""
    say("writing a checkpoint with random weights")
    write_checkpoint(folder)
    for each in contestants:
        if each.prepare is not None:
            say(f"preparing {each.name}")
            each.prepare(folder)


def write_corpora(file: Path | None, share: int) -> list[Workload]:
    """Make the corpora, or read one from a file."""
    writer = Writer(SEED)
    if file is not None:
        lines = file.read_text(encoding="utf-8").splitlines()
        return [writer.read(file.name, filter(None, lines))]
    return [
        writer.read(kind, write(writer, COUNTS[kind] // share))
        for kind, write in KINDS.items()
    ]


def load(folder: Path, contestants: list[Contestant]) -> dict[str, Run]:
    """Load everyone."""
    runs = {}
    for each in contestants:
        say(f"loading {each.name}")
        runs[each.name] = each.load(folder, cores())
    return runs


def time_corpora(
    corpora: list[Workload],
    contestants: list[Contestant],
    runs: dict[str, Run],
    rounds: int,
) -> dict[str, Any]:
    """Time everyone on each corpus, and the ceiling beside them in each round."""
    results = {}
    for work in corpora:
        say(f"warming up on {work.name}")
        changes = agreement(work, contestants, runs)
        say(f"timing {work.name}: {len(work.texts)} texts, {work.tokens} tokens")
        turns = {
            name: partial(time_once, partial(run, work)) for name, run in runs.items()
        }
        measured = take_turns({**turns, "ceiling": ceiling.measure}, rounds)
        results[work.name] = {
            "texts": len(work.texts),
            "tokens": work.tokens,
            "flops": ceiling.flops(work),
            "flops_per_second": measured.pop("ceiling"),
            "seconds": measured,
            "changes": changes,
        }
    return results


def agreement(
    work: Workload, contestants: list[Contestant], runs: dict[str, Run]
) -> dict[str, float]:
    """Compare everyone's scores with the first's; the largest difference of each."""
    scores = {each.name: each.read(work, runs[each.name](work)) for each in contestants}
    first = scores[contestants[0].name]
    changes = {name: float(np.abs(each - first).max()) for name, each in scores.items()}
    for each in contestants:
        if each.variant == "float32" and not changes[each.name] < TOLERANCE:
            raise click.ClickException(
                f"{each.name} answers otherwise than {contestants[0].name}: a score "
                f"differs by {changes[each.name]:.2g}, expected less than {TOLERANCE}"
            )
    return changes


def time_lengths(runs: dict[str, Run], rounds: int) -> dict[str, Any]:
    """Time everyone on one text of each length."""
    writer = Writer(SEED)
    results = {}
    for work in map(writer.single, LENGTHS):
        say(f"timing one text of {work.name}")
        turns = {
            name: partial(time_often, partial(run, work)) for name, run in runs.items()
        }
        take_turns(turns, 1)  # to warm up
        results[work.name] = take_turns(turns, rounds)
    return results


def measure_memory(
    folder: Path, work: Workload, contestants: list[Contestant]
) -> dict[str, int]:
    """Measure the peak memory of each in a process of its own, in bytes."""
    file = folder / f"{work.name}.json"
    work.save(file)
    results = {}
    for each in contestants:
        say(f"memory of {each.name}")
        program = [str(CHILDREN), "classify", each.name, str(folder), str(file)]
        results[each.name] = launch([*program, "--threads", str(cores())])["bytes"]
    return results


def time_commands(folder: Path, only: tuple[str, ...], rounds: int) -> dict[str, Any]:
    """Time whole commands in turn, from start to end, and take their memory."""
    turns = {
        name: partial(launch, command)
        for name, command in commands(folder).items()
        if not only or any(part in name for part in only)
    }
    say("timing whole commands")
    take_turns(turns, 1)  # files come into the cache
    reports = take_turns(turns, rounds)
    return {
        name: {key: [each[key] for each in all_] for key in ("seconds", "bytes")}
        for name, all_ in reports.items()
    }


def commands(folder: Path) -> dict[str, list[str]]:
    """Return what users type to classify one text, as Python's arguments."""
    ours = ["-m", "minidistil", "classify", "--model", str(folder)]
    theirs = (
        "from transformers import pipeline; "
        f"print(pipeline('text-classification', model={str(folder)!r})({TEXT!r}))"
    )
    found = {
        "minidistil classify": [*ours, TEXT],
        "minidistil classify --precision int8": [*ours, "--precision", "int8", TEXT],
    }
    if find_spec("transformers") is not None:
        found[report.COMMAND] = ["-c", theirs]
    return found


def measure_scaling(folder: Path, share: int) -> dict[str, Any]:
    """Measure speed and memory of our pipeline on ever more sentences."""
    results: dict[str, Any] = {"float32": {}, "int8": {}}
    for count in (scale // share for scale in SCALES):
        writer = Writer(SEED)
        file = folder / f"{count}.txt"
        with file.open("w", encoding="utf-8") as stream:
            stream.writelines(text + "\n" for text in writer.sentences(count))
        with file.open(encoding="utf-8") as stream:
            tokens = writer.read("scaling", map(str.rstrip, stream)).tokens
        for precision, by_count in results.items():
            say(f"scaling: {count} texts, {precision}")
            program = [str(CHILDREN), "stream", precision, str(folder), str(file)]
            child = launch([*program, "--threads", str(cores())])
            by_count[str(count)] = {
                "tokens_per_second": tokens / float(child["output"]),
                "bytes": child["bytes"],
            }
    return results


def say(what: str) -> None:
    """Say on standard error what happens next."""
    click.echo(what, err=True)


def cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Describe the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    except OSError:
        models = []
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": cores(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that matters and is installed."""
    found = {"python": platform.python_version()}
    for name in ("minidistil", "torch", "transformers", "onnxruntime", "openvino"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


if __name__ == "__main__":
    main()
