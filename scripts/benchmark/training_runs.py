"""What training costs: its speed and memory beside transformers' Trainer, and distil's.

    python scripts/benchmark/training_runs.py --part speed
    python scripts/benchmark/training_runs.py --part speed --train train.tsv
    python scripts/benchmark/training_runs.py --device cuda --rounds 2 --output results
    python scripts/benchmark/training_runs.py --quick

Parts: "speed" fine-tunes a classifier of texts with `train`, with Trainer as it is by
default, and with Trainer when it puts rows of like length together: on the same rows,
with the same numbers, each an epoch. "distil" is the published distillation of twelve
layers to six, and the time that the whole of it would take. Tokens are real ones,
padding is not counted; only the steps after the warm-up are timed. Everyone trains in a
process of its own, in turns; a ratio is the median of those of the rounds.

By default rows are drawn, as long as those of SST-2 in "speed", and models too: on a
CPU of six layers of dim 384, on a GPU of the base size. --quick takes tiny ones, to try
it out.
"""

from __future__ import annotations

import json
import shlex
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any

import click
from contestant import SEED, Place, cores, write_checkpoint
from machine import check_device, machine, versions
from timing import launch, take_turns
from training_child import Job
from training_tables import OURS, written
from workloads import Writer

PARTS = ("speed", "distil")
CHILD = Path(__file__).with_name("training_child.py")
CONTESTANTS = (OURS, "Trainer", "Trainer, by length")

# How many of SST-2's training rows have 3, 4, … 66 tokens of the bundled vocabulary.
SHORTEST, LONGEST = 3, 66
COUNTS = (
    "1978 5322 6065 5345 4749 4155 3713 3267 2947 2650 2413 2138 1950 1777 1661 1515 "
    "1373 1285 1132 1106 1046 909 820 806 733 692 628 538 491 442 448 400 337 304 286 "
    "242 195 203 192 155 148 130 89 82 85 73 55 42 50 40 36 19 21 22 15 8 6 3 2 5 5 1 "
    "2 2"
)

# Steps of the warm-up, and those that are timed. Trainer sorts 50 batches together, the
# longest rows first, if there are 200 or more: to begin within them would leave out the
# longest rows, and with fewer it would sort less.
LASTING = (50, 150)

TINY = {"n_layers": 2, "dim": 64, "n_heads": 4, "hidden_dim": 128}
SMALL = {"n_layers": 6, "dim": 384, "n_heads": 12, "hidden_dim": 1536}  # as MiniLM


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS)
@click.option(
    "--train",
    "rows",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the first rows of this TSV, which has a label and a sentence or text.",
)
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Fine-tune this checkpoint in the part speed.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), default=cores())
@click.option(
    "--precision",
    type=click.Choice(["bfloat16", "float32"]),
    default="bfloat16",
    show_default=True,
)
@click.option(
    "--steps",
    # Of more steps, the log of `train` leaves some out.
    type=click.IntRange(1, 1500),
    help="Those that are timed.  [default: 150; of distil, 8; quick: 3]",
)
@click.option(
    "--warm-up",
    type=click.IntRange(1, 400),
    help="Those before, which are not.  [default: 50; of distil, 2; quick: 1]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Rows of a step in the part speed.",
)
@click.option(
    "--pass-rows",
    type=click.IntRange(min=1),
    multiple=True,
    help="Rows that distil computes at once.  [default: 8 and 64; quick: 2 and 4]",
)
@click.option(
    "--corpus-tokens",
    type=click.FloatRange(min=1),
    default=10e9,
    show_default=True,
    help="What an epoch of the published distillation is taken to read.",
)
@click.option("--rounds", type=click.IntRange(min=1), help="[default: 5; quick: 1]")
@click.option("--quick", is_flag=True, help="Tiny models and few steps.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write training.md and training.json to this folder.",
)
def main(
    parts: tuple[str, ...],
    rows: Path | None,
    model: Path | None,
    device: str,
    threads: int,
    precision: str,
    steps: int | None,
    warm_up: int | None,
    batch_size: int,
    pass_rows: tuple[int, ...],
    corpus_tokens: float,
    rounds: int | None,
    quick: bool,
    output: Path | None,
) -> None:
    """Measure, and print tables in Markdown."""
    if device not in ("cpu", "cuda"):  # Trainer takes the first GPU
        raise click.UsageError(f"--device is {device!r}, expected cpu or cuda")
    place = Place(check_device(device), threads)
    rounds = rounds or (1 if quick else 5)
    results: dict[str, Any] = {
        "machine": machine(place),
        "versions": versions(place),
        "command": "python " + " ".join(map(shlex.quote, sys.argv)),
        "rounds": rounds,
        "corpus_tokens": corpus_tokens,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = Job(
            *("", "", "", str(folder / "result")),
            steps=0,
            warm_up=0,
            batch_size=batch_size,
            precision=precision,
            device=device,
            threads=threads,
        )
        if "speed" in parts:
            job = lasting(job, warm_up, steps, (1, 3) if quick else LASTING)
            size = TINY if quick else {} if place.is_gpu else SMALL
            results["speed"] = speed(folder, job, rows, model, size, rounds)
        if "distil" in parts:
            pass_rows = pass_rows or ((2, 4) if quick else (8, 64))
            step_rows = 2 * max(pass_rows)  # which passes of these sizes fill
            job = lasting(job, warm_up, steps, (1, 3) if quick else (2, 8))
            job = replace(job, batch_size=step_rows)
            results["distil"] = distil(folder, job, pass_rows, quick, rounds)
    said = written(results)
    click.echo(said)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        (output / "training.md").write_text(said + "\n", encoding="utf-8")
        numbers = json.dumps(results, indent=1, ensure_ascii=False)
        (output / "training.json").write_text(numbers + "\n", encoding="utf-8")


def lasting(
    job: Job, warm_up: int | None, steps: int | None, defaults: tuple[int, int]
) -> Job:
    """The same job with so many steps, where they are given."""
    warm_up = warm_up or defaults[0]
    return replace(job, warm_up=warm_up, steps=warm_up + (steps or defaults[1]))


# -- What is measured -----------------------------------------------------------------


def speed(
    folder: Path,
    job: Job,
    rows: Path | None,
    model: Path | None,
    size: dict[str, int],
    rounds: int,
) -> dict[str, Any]:
    """Fine-tune in turns; the job, and what every contestant came to in each round."""
    chosen = write_rows(folder / "rows.tsv", rows, job.steps * job.batch_size)
    if model is None:
        model = folder / "model"
        write_checkpoint(model, **size)
    job = replace(job, model=str(model), rows=str(chosen))
    jobs = {name: replace(job, who=name) for name in CONTESTANTS}
    found = in_turns(folder, jobs, rounds)
    tokens = {
        name: [each["all_tokens"] for each in found[name]] for name in CONTESTANTS
    }
    if len({count for each in tokens.values() for count in each}) > 1:
        raise click.ClickException(f"not all learnt from the same tokens: {tokens}")
    return {"job": asdict(job), "contestants": found}


def distil(
    folder: Path, job: Job, pass_rows: Iterable[int], quick: bool, rounds: int
) -> dict[str, Any]:
    """Distil with passes of several sizes, in turns; as `speed`."""
    import torch

    from minidistil import DistilBertConfig, DistilBertForMaskedLM, DistilBertTokenizer

    torch.manual_seed(SEED)
    config = DistilBertConfig(**{**(TINY if quick else {}), "n_layers": 12})
    teacher = folder / "teacher"
    DistilBertForMaskedLM(config).save_pretrained(teacher)
    DistilBertTokenizer.from_pretrained("tiny").save_pretrained(teacher)
    writer = Writer(SEED)
    length = 32 if quick else config.max_position_embeddings
    corpus = folder / "corpus.txt"
    with corpus.open("w", encoding="utf-8") as file:
        for _ in range(job.steps * job.batch_size):
            file.write(writer.write(length) + "\n")
    job = replace(job, who="distil", model=str(teacher), rows=str(corpus))
    jobs = {
        f"passes of {count} rows": replace(job, pass_rows=count) for count in pass_rows
    }
    return {"job": asdict(job), "contestants": in_turns(folder, jobs, rounds)}


def in_turns(
    folder: Path, jobs: dict[str, Job], rounds: int
) -> dict[str, list[dict[str, Any]]]:
    """Train in processes, in turns."""
    turns = {name: partial(child, folder, job) for name, job in jobs.items()}
    return take_turns(turns, rounds)


def child(folder: Path, job: Job) -> dict[str, Any]:
    """Train in a process of its own; see `training_child.measure`, and its peak."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        file = Path(name) / "job.json"
        job = replace(job, folder=str(Path(name) / "result"))
        file.write_text(json.dumps(asdict(job)), encoding="utf-8")
        done = launch([str(CHILD), str(file)])
    found: dict[str, Any] = json.loads(done["output"].splitlines()[-1])
    return {**found, "peak": done["bytes"]}


# -- What is learnt from --------------------------------------------------------------


def write_rows(path: Path, source: Path | None, count: int) -> Path:
    """Write a table of so many rows: the first ones of another, or drawn ones.

    Raises:
        click.UsageError: if the other has fewer.
    """
    if source is None:
        writer = Writer(SEED)
        chance = writer.random
        upto = [*accumulate(map(int, COUNTS.split()))]

        def draw() -> float:
            (length,) = chance.choices(range(SHORTEST, LONGEST + 1), cum_weights=upto)
            return length

        lengths = writer.lengths(count, draw, SHORTEST, LONGEST)
        texts = map(writer.write, lengths)
        lines = ["sentence\tlabel\n"]
        lines += [f"{text}\t{chance.randrange(2)}\n" for text in texts]
    else:
        with source.open(encoding="utf-8") as file:
            lines = [*islice(file, 1 + count)]
        if len(lines) <= count:
            raise click.UsageError(
                f"--train has {len(lines) - 1:,} rows, expected {count:,} for all steps"
            )
    path.write_text("".join(lines), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()
