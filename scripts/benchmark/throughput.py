"""Part "corpora": many texts, everyone at the size of batches that suits it best.

Who takes batches gets them ready made, sorted and padded. Our engine sorts and divides
what it is given while its time is taken.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import agreement
import ceiling
import click
from contestant import Contestant, Failures, Place, Run, surviving
from timing import take_turns, time_once
from workloads import Workload

# The CPU's model has to answer these too, and takes a while.
CHECKED = 32


@dataclass(frozen=True, eq=False)
class Entry:
    """How a contestant takes part.

    Attributes:
        contestant: Who.
        run: What is timed.
        size: The size of its batches.
        work: All texts, or fewer if all would take it too long.
    """

    contestant: Contestant
    run: Run
    size: int
    work: Workload

    def answer(self) -> Any:
        """Run it once."""
        return self.run(self.work, self.size)


def measure(
    folder: Path,
    corpora: list[Workload],
    runs: dict[Contestant, Run],
    place: Place,
    *,
    rounds: int,
    sample: int,
    patience: float,
    failed: Failures,
) -> dict[str, Any]:
    """Check everyone, then time everyone on each corpus.

    Who fails, or answers otherwise than the model, is not timed.

    Args:
        folder: The checkpoint.
        corpora: What to read.
        runs: Who reads.
        place: Where.
        rounds: How often.
        sample: One of so many texts is in the sample that sizes are tried on.
        patience: Who would take more seconds for a corpus reads only the sample.
        failed: Takes who is left out, and why.
    """
    from minidistil import DistilBertConfig

    config = DistilBertConfig.from_pretrained(folder)
    samples = [work.part(-(-len(work.texts) // sample)) for work in corpora]
    # Texts out of the samples: they are in all that anyone reads.
    click.echo("checking everyone's answers", err=True)
    expected = agreement.reference(folder, [each.part(CHECKED) for each in samples])
    for each, run in runs.items():
        with surviving(each.name, failed):
            for some in samples:
                for size in each.sizes:
                    scores = each.read(some, size, run(some, size))
                    agreement.check(each, some, scores, expected)
    entered: dict[str, dict[Entry, float]] = {}
    for work, some in zip(corpora, samples, strict=True):
        click.echo(f"trying sizes of batches on {work.name}", err=True)
        entered[work.name] = found = {}
        for each, run in runs.items():
            if each.name in failed:
                continue
            with surviving(each.name, failed):
                entry = enter(each, run, work, some, place, patience)
                # To warm up, and to check what is made of many texts at once.
                scores = each.read(entry.work, entry.size, entry.answer())
                found[entry] = agreement.check(each, entry.work, scores, expected)
    if all(each.name in failed for each in runs):
        raise click.ClickException("nobody is left to be timed")
    results = {}
    for work in corpora:
        # Of all corpora those who can read each of them, for tables without holes.
        changes = {
            entry: change
            for entry, change in entered[work.name].items()
            if entry.contestant.name not in failed
        }
        click.echo(
            f"timing {work.name}: {len(work.texts)} texts, {work.tokens} tokens",
            err=True,
        )
        turns: dict[str, Callable[[], Any]] = {
            each.contestant.name: partial(time_entry, each, place) for each in changes
        }
        turns["ceiling"] = partial(ceiling.measure, config, place)
        measured = take_turns(turns, rounds)
        results[work.name] = {
            "texts": len(work.texts),
            "tokens": work.tokens,
            "flops": ceiling.flops(config, work),
            "flops_per_second": measured.pop("ceiling"),
            "contestants": {
                each.contestant.name: {
                    "size": each.size,
                    "unit": each.contestant.unit,
                    "texts": len(each.work.texts),
                    "change": change,
                    **turned_over(measured[each.contestant.name]),
                }
                for each, change in changes.items()
            },
        }
    return results


def enter(
    contestant: Contestant,
    run: Run,
    work: Workload,
    sample: Workload,
    place: Place,
    patience: float,
) -> Entry:
    """Try the sizes on the sample, which everyone has read before."""
    times = {
        size: time_once(partial(run, sample, size), place.wait)
        for size in contestant.sizes
    }
    size = min(times, key=times.__getitem__)
    is_slow = times[size] / sample.tokens * work.tokens > patience
    return Entry(contestant, run, size, sample if is_slow else work)


def time_entry(entry: Entry, place: Place) -> dict[str, float]:
    """Time a run; tokens per second, and minor page faults for each token.

    A page fault is memory that was handed back to the system, or never had before.
    """
    tokens = entry.work.tokens
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds = time_once(entry.answer, place.wait)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"speeds": tokens / seconds, "faults": faults / tokens}


def turned_over(records: list[dict[str, float]]) -> dict[str, list[float]]:
    """Make a dictionary of lists from a list of dictionaries."""
    return {key: [each[key] for each in records] for key in records[0]}
