"""What tables cost: the time and the memory around a pipeline, and what more cores win.

    python scripts/benchmark/table_runs.py
    python scripts/benchmark/table_runs.py --part memory --rows 1000000

Parts: "overhead" is the time of `annotate`, from file to file, beside that of the
pipeline on the list of the same texts; "memory" is the peak of a command that reads few
rows and many; "processes" are the rows a second of one process with all cores, of two
with half of the rows and of the cores each, and of scripts/classify_on_ray.py with as
many actors. Who is compared takes turns; a ratio is the median of those of the rounds.
All with the model in the package.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from contestant import SEED, cores
from timing import Turn, launch, take_turns, time_once
from workloads import Writer

from minidistil import pipeline
from minidistil.tables.annotating import annotate

PARTS = ("overhead", "memory", "processes")
FEW = 10_000  # rows, whose memory that of many is compared with
ENDINGS = (".parquet", ".csv", ".jsonl")
CLASSIFY = ["-m", "minidistil", "classify", "--model", "tiny"]
ON_RAY = Path(__file__).parents[1] / "classify_on_ray.py"


@click.command(help=__doc__.replace("\n\n", "\n\n\b\n"))
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), default=PARTS)
@click.option(
    "--rows",
    type=click.IntRange(min=2),
    help="How many.  [default: 8,192; of memory, 100,000; of processes, 16,384]",
)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
def main(parts: tuple[str, ...], rows: int | None, rounds: int) -> None:
    """Measure, and print tables in Markdown."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "memory" in parts:  # first: what is started finds the machine quiet
            click.echo(memory(folder, rows or 100_000))
        if "processes" in parts:
            click.echo(processes(folder, rows or 16_384, rounds))
        if "overhead" in parts:
            click.echo(overhead(folder, rows or 8_192, rounds))


# -- Time -----------------------------------------------------------------------------


def overhead(folder: Path, rows: int, rounds: int) -> str:
    """Time the way from file to file beside the pipeline on a list."""
    pipe = pipeline("text-classification", "tiny")
    texts = sentences(rows)
    first = write_table(folder / "overhead.parquet", texts)
    turns: dict[str, Turn] = {"the pipeline on a list": partial(pipe, texts)}
    for ending in ENDINGS:
        source, target = folder / f"in{ending}", folder / f"out{ending}"
        converted(first, source)
        turns[f"{ending} to {ending}"] = partial(anew, pipe, source, target)
    timed = take_turns(
        {name: partial(time_once, turns[name]) for name in turns}, rounds
    )
    alone = timed["the pipeline on a list"]
    return table(
        f"{rows:,} sentences, {rounds} rounds, {torch.get_num_threads()} threads",
        ("", "seconds", "beside the list"),
        (
            (name, f"{statistics.median(times):.2f}", f"{ratio(times, alone) - 1:+.1%}")
            for name, times in timed.items()
        ),
    )


def anew(pipe: object, source: Path, target: Path) -> None:
    """Annotate a table whose target is not there yet."""
    target.unlink(missing_ok=True)
    annotate(pipe, source, target)  # type: ignore[arg-type]


def processes(folder: Path, rows: int, rounds: int) -> str:
    """Time one process, several, and Ray: whole commands, with many rows and one."""
    count = cores()
    texts = sentences(rows)
    timed: dict[str, list[float]] = {}
    sizes = {"many": texts, "one each": texts[:count]}
    turns: dict[str, Turn] = {}
    for size, some in sizes.items():
        place = folder / size
        place.mkdir()
        whole = write_table(place / "whole.parquet", some)
        share = -(-len(some) // count)
        shares = [
            write_table(place / f"{start}.parquet", some[start : start + share])
            for start in range(0, len(some), share)
        ]
        out = place / "out"
        ray = [str(ON_RAY), str(whole), str(out), "--batch-size", "1024"]
        ways: dict[str, list[list[str]]] = {
            f"one process, {count} threads": [command(whole, out)],
            "one process, 1 thread": [command(whole, out)],
            f"{count} processes, 1 thread each": [
                command(each, out / each.name) for each in shares
            ],
            f"Ray, {count} actors": [[*ray, "--actors", str(count)]],
        }
        for name, commands in ways.items():
            threads = count if f"{count} threads" in name else 1
            turns[f"{name}|{size}"] = partial(run_all, commands, threads, out)
    timed = take_turns(
        {name: partial(time_once, turn) for name, turn in turns.items()}, rounds
    )
    names = [name.removesuffix("|many") for name in turns if name.endswith("|many")]
    found = []
    for name in names:
        starts, times = timed[f"{name}|one each"], timed[f"{name}|many"]
        speeds = [
            (rows - count) / (time - start)
            for start, time in zip(starts, times, strict=True)
        ]
        found.append((name, starts, times, speeds))
    first = found[0][3]
    return table(
        f"{rows:,} sentences, {rounds} rounds, {count} cores; whole commands",
        ("", "start, s", "all, s", "rows a second once started", "beside the first"),
        (
            (
                name,
                f"{statistics.median(starts):.1f}",
                f"{statistics.median(times):.1f}",
                f"{statistics.median(speeds):,.0f}",
                f"× {ratio(speeds, first):.2f}",
            )
            for name, starts, times, speeds in found
        ),
    )


def command(source: Path, target: Path) -> list[str]:
    """The arguments that classify a table."""
    if not target.suffix:
        target = target / "whole.parquet"
    return [*CLASSIFY, "--file", str(source), "--column", "text", "-o", str(target)]


def run_all(commands: list[list[str]], threads: int, out: Path) -> None:
    """Run commands at the same time, with so many threads each.

    Raises:
        RuntimeError: if one fails, with what it said.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "HF_HUB_OFFLINE": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    running = [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        for arguments in commands
    ]
    for each in running:
        said, _ = each.communicate()
        if each.returncode:
            raise RuntimeError(f"{each.args} failed:\n{said}")


# -- Memory ---------------------------------------------------------------------------


def memory(folder: Path, rows: int) -> str:
    """Take the peak of classifying few rows, and of many."""
    found = []
    for count in (FEW, rows):
        source = write_table(folder / f"{count}.parquet", short_texts(count))
        done = launch(command(source, folder / f"{count}-out.parquet"))
        found.append((count, done["bytes"], done["seconds"]))
    least = found[0][1]
    return table(
        "Short rows of Parquet, a command",
        ("rows", "peak, MB", "beside the first", "seconds"),
        (
            (
                f"{count:,}",
                f"{size / 1e6:.0f}",
                f"{size / least - 1:+.1%}",
                f"{time:.0f}",
            )
            for count, size, time in found
        ),
    )


# -- Both -----------------------------------------------------------------------------


def sentences(count: int) -> list[str]:
    """Write texts as long as the sentences of film critics."""
    return [*Writer(SEED).sentences(count)]


def short_texts(count: int) -> Iterator[str]:
    """Write texts of a few words; of new words, the tokenizer would keep ever more."""
    writer = Writer(SEED)
    choose = writer.random.choices
    for _ in range(count):
        yield " ".join(choose(writer.words, cum_weights=writer.weights, k=4))


def write_table(path: Path, texts: Iterable[str]) -> Path:
    """Write texts as a table, with a number for each, some at a time."""
    schema = pa.schema({"id": pa.int64(), "text": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        some: list[str] = []
        before = 0
        for text in texts:
            some.append(text)
            if len(some) == 16_384:
                before = write_rows(writer, before, some)
        write_rows(writer, before, some)
    return path


def write_rows(writer: pq.ParquetWriter, before: int, some: list[str]) -> int:
    """Write rows, and empty the list; how many rows there are then."""
    ids = range(before, before + len(some))
    writer.write_table(pa.table({"id": ids, "text": some}, schema=writer.schema))
    some.clear()
    return ids.stop


def converted(first: Path, path: Path) -> None:
    """Write a Parquet table in another format."""
    rows = pq.read_table(first)
    if path.suffix == ".parquet":
        pq.write_table(rows, path)
    elif path.suffix == ".csv":
        import pyarrow.csv

        pyarrow.csv.write_csv(rows, path)
    else:
        import json

        lines = (json.dumps(row) + "\n" for row in rows.to_pylist())
        path.write_text("".join(lines), encoding="utf-8")


def ratio(times: list[float], others: list[float]) -> float:
    """The median of the ratios within the rounds."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def table(title: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a table in Markdown."""
    head = [*head]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join([f"\n{title}\n", *(f"| {' | '.join(line)} |" for line in lines)])


if __name__ == "__main__":
    main()
