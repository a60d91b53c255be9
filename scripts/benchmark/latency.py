"""Part "latency": one text, right after another and after a rest.

On a CPU each contestant is in a process of its own, a fresh one in each round, as
threads that wait for work get in each other's way, and as memory is not the same in
every process. On a GPU all are in one process, and take turns.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import agreement
import click
from contestant import Contestant, Failures, Place, Run, surviving
from timing import launch, take_turns, time_often, time_rested
from workloads import Workload

CHILD = Path(__file__).with_name("child.py")

# The first runs find out what is best for a shape, and fill caches.
WARM_UP = 10

Times = dict[str, float]


def in_processes(
    folder: Path,
    contestants: list[Contestant],
    works: list[Workload],
    place: Place,
    *,
    rounds: int,
    rests: int,
) -> dict[str, Any]:
    """Launch everyone in each round, one after the other.

    Returns:
        Of each text and contestant the seconds of each round, "warm" and "rested"; and
        of each contestant the peak memory in bytes.
    """
    file = folder / "singles.json"
    expected = agreement.reference(folder, works)
    texts = [
        {"name": w.name, "texts": w.texts, "sequences": w.sequences} for w in works
    ]
    file.write_text(json.dumps({"works": texts, "expected": expected}), "utf-8")
    options = [str(folder), str(file), "--device", place.device]
    options += ["--threads", str(place.threads), "--rests", str(rests)]
    turns = {
        each.name: partial(launch, [str(CHILD), each.name, *options])
        for each in contestants
    }
    click.echo("timing single texts, everyone in a process of its own", err=True)
    reports = take_turns(turns, rounds)
    times = {
        name: [json.loads(each["output"]) for each in all_]
        for name, all_ in reports.items()
    }
    memory = {name: max(r["bytes"] for r in all_) for name, all_ in reports.items()}
    return {"seconds": by_text(works, times), "bytes": memory}


def in_this_process(
    folder: Path,
    runs: dict[Contestant, Run],
    works: list[Workload],
    place: Place,
    *,
    rounds: int,
    rests: int,
    failed: Failures,
) -> dict[str, Any]:
    """Let those who are loaded take turns; the same without memory.

    Who fails is added to ``failed``, and not timed.
    """
    expected = agreement.reference(folder, works)
    for each, run in runs.items():
        with surviving(each.name, failed):
            check(each, run, works, expected)
    click.echo("timing single texts", err=True)
    if all(each.name in failed for each in runs):
        raise click.ClickException("nobody is left to be timed")
    turns = {
        each.name: partial(measure, each, run, works, place, rests)
        for each, run in runs.items()
        if each.name not in failed
    }
    return {"seconds": by_text(works, take_turns(turns, rounds))}


def check(
    contestant: Contestant,
    run: Run,
    works: list[Workload],
    expected: agreement.Expected,
) -> None:
    """Raise click.ClickException for a wrong answer."""
    size = contestant.sizes[0]
    for work in works:
        scores = contestant.read(work, size, run(work, size))
        agreement.check(contestant, work, scores, expected)


def measure(
    contestant: Contestant, run: Run, works: list[Workload], place: Place, rests: int
) -> dict[str, Times]:
    """Time each text, in seconds, warm and rested."""
    times = {}
    for work in works:
        turn = partial(run, work, contestant.sizes[0])
        for _ in range(WARM_UP):
            turn()
        times[work.name] = {
            "warm": time_often(turn, place.wait),
            "rested": time_rested(turn, place.wait, rests),
        }
    return times


def by_text(
    works: list[Workload], times: dict[str, list[dict[str, Times]]]
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Put the texts outside, and the rounds inside."""
    return {
        work.name: {
            name: {
                state: [each[work.name][state] for each in rounds]
                for state in ("warm", "rested")
            }
            for name, rounds in times.items()
        }
        for work in works
    }
