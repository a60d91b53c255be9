"""Tables of what `training_runs` has measured."""

from __future__ import annotations

import statistics
from typing import Any

from table_runs import ratio, table

OURS = "minidistil"
MEGABYTE = 1e6
EPOCHS = 3  # of the published distillation

Found = dict[str, list[dict[str, Any]]]  # of everyone, what each round came to


def written(results: dict[str, Any]) -> str:
    """Write what was measured as Markdown."""
    heading = [
        ", ".join(filter(None, results["machine"].values())),
        ", ".join(f"{name} {number}" for name, number in results["versions"].items()),
        f"`{results['command']}`",
    ]
    parts = ["\n\n".join(heading)]
    if "speed" in results:
        parts.append(table_of_speed(results["speed"]))
    if "distil" in results:
        parts.append(table_of_distil(results["distil"], results["corpus_tokens"]))
    return "\n".join(parts)


def title(part: dict[str, Any]) -> str:
    """What has been done."""
    job = part["job"]
    rounds = len(next(iter(part["contestants"].values())))
    return (
        f"{job['steps'] - job['warm_up']} steps of {job['batch_size']} rows after "
        f"{job['warm_up']} of warm-up, {job['precision']}, {job['device']}, "
        f"{job['threads']} threads; medians of {rounds} rounds"
    )


def table_of_speed(part: dict[str, Any]) -> str:
    """Everyone's speed and memory, and how ours compare."""
    found = part["contestants"]
    speeds, peaks = speeds_of(found), column(found, "peak")
    # What the CPU worked depends less on who else was running.
    worked = speeds_of(found, "worked")
    return table(
        f"Fine-tuning: {title(part)}",
        (
            "",
            "tokens a second",
            "ours / its speed",
            "the same for a second of the CPU",
            "peak memory, MB",
            "of that before the first step",
            "ours / its peak",
            "peak of the GPU, MB",
        ),
        (
            (
                name,
                f"{statistics.median(speeds[name]):,.0f}",
                f"{ratio(speeds[OURS], speeds[name]):.2f}",
                f"{ratio(worked[OURS], worked[name]):.2f}",
                megabytes(peaks[name]),
                megabytes(column(found, "before")[name]),
                f"{ratio(peaks[OURS], peaks[name]):.2f}",
                megabytes(column(found, "card")[name]),
            )
            for name in found
        ),
    )


def table_of_distil(part: dict[str, Any], corpus_tokens: float) -> str:
    """The speed of passes of each size, and the time that all would take."""
    found = part["contestants"]
    speeds = {name: statistics.median(each) for name, each in speeds_of(found).items()}
    return table(
        f"Distillation: {title(part)}. The whole is taken to be {EPOCHS} epochs of "
        f"{corpus_tokens:,.0f} tokens each",
        ("", "tokens a second", "hours for the whole", "peak memory, MB", "of the GPU"),
        (
            (
                name,
                f"{speed:,.0f}",
                f"{EPOCHS * corpus_tokens / speed / 3600:,.0f}",
                megabytes(column(found, "peak")[name]),
                megabytes(column(found, "card")[name]),
            )
            for name, speed in speeds.items()
        ),
    )


def speeds_of(found: Found, key: str = "seconds") -> dict[str, list[float]]:
    """Real tokens a second, of everyone in each round; "worked": of the CPU's."""
    return {
        name: [each["tokens"] / each[key] for each in rounds]
        for name, rounds in found.items()
    }


def column(found: Found, key: str) -> dict[str, list[float]]:
    """One figure, of everyone in each round."""
    return {name: [each[key] for each in rounds] for name, rounds in found.items()}


def megabytes(sizes: list[float]) -> str:
    """The median; nothing of what has not been there."""
    middle = statistics.median(sizes)
    return f"{middle / MEGABYTE:,.0f}" if middle else ""
