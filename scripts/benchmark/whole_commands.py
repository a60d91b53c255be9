"""Parts "cold-start" and "memory": whole commands, each a fresh process."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
from contestant import SEED
from report import COMMAND
from timing import launch, take_turns
from workloads import Writer

TEXT = "A command starts, reads its model, answers once and ends."


def time_commands(folder: Path, rounds: int) -> dict[str, Any]:
    """Time in turn what users type to classify one text, and take its memory."""
    ours = ["-m", "minidistil", "classify", "--model", str(folder)]
    theirs = (
        "from transformers import pipeline; "
        f"print(pipeline('text-classification', model={str(folder)!r})({TEXT!r}))"
    )
    commands = {
        "minidistil classify": [*ours, TEXT],
        "minidistil classify --precision int8": [*ours, "--precision", "int8", TEXT],
    }
    if find_spec("transformers") is not None:
        commands[COMMAND] = ["-c", theirs]
    turns = {name: partial(launch, command) for name, command in commands.items()}
    click.echo("timing whole commands", err=True)
    take_turns(turns, 1)  # files come into the cache
    reports = take_turns(turns, rounds)
    return {
        name: {key: [each[key] for each in all_] for key in ("seconds", "bytes")}
        for name, all_ in reports.items()
    }


def measure_memory(folder: Path, counts: tuple[int, ...]) -> dict[str, Any]:
    """Let `minidistil classify` read ever more lines: it must not need more memory."""
    results = {}
    for count in counts:
        click.echo(f"memory of classifying {count:,} lines", err=True)
        file = folder / f"{count}.txt"
        with file.open("w", encoding="utf-8") as stream:
            stream.writelines(text + "\n" for text in Writer(SEED).sentences(count))
        command = ["-m", "minidistil", "classify", "--model", "tiny"]
        done = launch([*command, "--file", str(file)])
        results[str(count)] = {key: done[key] for key in ("seconds", "bytes")}
    return results
