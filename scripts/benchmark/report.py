"""Tables, ratios and a plot of what was measured.

Ratios are taken within each round, where everyone met the same machine, and then the
median of the rounds.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

OURS = "minidistil"
ENGINE, PIPELINE = f"{OURS} engine", f"{OURS} pipeline"
PEERS = ("transformers model", "transformers compiled", "ONNX Runtime", "OpenVINO")
THEIR_PIPELINE = "transformers pipeline"
COMMAND = "python with transformers' pipeline"

MEGABYTE = 1e6

Measured = dict[str, list[float]]


def table(results: dict[str, Any]) -> str:
    """Write what was measured as Markdown."""
    makers = {
        "corpora": [_corpora, _ceilings, _ratios_of_corpora],
        "latency": [_latency, _ratios_of_latency],
        "host": [_host],
        "memory": [_memory],
        "cold-start": [_commands],
    }
    parts = [_heading(results)]
    for part, makes in makers.items():
        parts += [make(results) for make in makes if part in results]
    return "\n\n".join(filter(None, parts)) + "\n"


def write(folder: Path, results: dict[str, Any]) -> None:
    """Write the table, the numbers behind it, and the plot if matplotlib is there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.md").write_text(table(results), encoding="utf-8")
    numbers = json.dumps(results, indent=1, ensure_ascii=False)
    (folder / "benchmark.json").write_text(numbers + "\n", encoding="utf-8")
    if "corpora" not in results:
        return
    if find_spec("matplotlib") is None:
        click.echo("No plot: pip install matplotlib", err=True)
        return
    _plot(results).savefig(folder / "benchmark.svg", metadata={"Date": None})


def _heading(results: dict[str, Any]) -> str:
    machine, versions = results["machine"], results["versions"]
    lines = [
        ", ".join(filter(None, machine.values())),
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"`{results['command']}`",
        f"Medians of {results['rounds']} rounds; in brackets the smallest and largest.",
    ]
    lines += [f"Skipped: {name}: {why}" for name, why in results["skipped"].items()]
    lines += [
        f"Failed: {name}: {why}" for name, why in results.get("failed", {}).items()
    ]
    return "\n\n".join(lines)


def _corpora(results: dict[str, Any]) -> str:
    corpora = results["corpora"]
    columns = [each["contestants"] for each in corpora.values()]
    header = [
        "tokens per second",
        *(
            f"{name}: {each['texts']:,} texts of {each['tokens'] / each['texts']:.0f} "
            f"tokens on average"
            for name, each in corpora.items()
        ),
        "best batches",
        "a score differs from the model's by at most",
        "minor page faults a token",
    ]
    rows = []
    for name in columns[0]:
        entries = [each[name] for each in columns]
        speeds = [
            _spread(entry["speeds"])
            + (f" on {entry['texts']:,} texts" if entry["texts"] < every else "")
            for entry, every in zip(
                entries, (each["texts"] for each in corpora.values()), strict=True
            )
        ]
        sizes = " / ".join(f"{entry['size']:,}" for entry in entries if entry["size"])
        faults = " / ".join(
            f"{statistics.median(entry['faults']):.1f}" for entry in entries
        )
        change = max(entry["change"] for entry in entries)
        batches = f"{sizes} {entries[0]['unit']}" if sizes else "its own"
        rows.append([name, *speeds, batches, f"{change:.1e}", faults])
    return _markdown(header, rows)


def _ceilings(results: dict[str, Any]) -> str:
    """How near the engine comes to what its products alone would cost."""
    corpora = results["corpora"]
    header = ["ceiling of the matrix products", "GFLOP/s"]
    header += [
        f"{name}: {what}" for name in corpora for what in ("tokens/s", "reached")
    ]
    rows = []
    for precision in _precisions(corpora):
        speeds = [
            speed for each in corpora.values() for speed in _flops(each, precision)
        ]
        row = [precision, _spread(speed / 1e9 for speed in speeds)]
        for corpus in corpora.values():
            ceilings = [
                speed * corpus["tokens"] / corpus["flops"]
                for speed in _flops(corpus, precision)
            ]
            row.append(_spread(ceilings))
            row.append(_reached(corpus, f"{ENGINE}, {precision}", ceilings))
        rows.append(row)
    return _markdown(header, rows)


def _precisions(corpora: dict[str, Any]) -> list[str]:
    first = next(iter(corpora.values()))
    return list(first["flops_per_second"][0])


def _flops(corpus: dict[str, Any], precision: str) -> list[float]:
    return [each[precision] for each in corpus["flops_per_second"]]


def _reached(corpus: dict[str, Any], name: str, ceilings: list[float]) -> str:
    if name not in corpus["contestants"]:
        return ""
    speeds = corpus["contestants"][name]["speeds"]
    return f"{_ratio(speeds, ceilings):.0%}"


def _latency(results: dict[str, Any]) -> str:
    lengths = results["latency"]["seconds"]
    memory = results["latency"].get("bytes", {})
    header = ["one text, ms: warm / after 0.1 s of rest", *lengths]
    rows = []
    for name in next(iter(lengths.values())):
        times = (each[name] for each in lengths.values())
        row = [name, *(" / ".join(map(_milliseconds, t.values())) for t in times)]
        rows.append(row + ([_megabytes([memory[name]])] if memory else []))
    return _markdown(header + (["peak memory, MB"] if memory else []), rows)


def _milliseconds(seconds: list[float]) -> str:
    middle = statistics.median(seconds) * 1e3
    return f"{middle:.1f}" if middle >= 2 else f"{middle:.2f}"


def _megabytes(sizes: list[int]) -> str:
    return _spread(size / MEGABYTE for size in sizes)


def _host(results: dict[str, Any]) -> str:
    corpora = results["host"]
    header = ["the host alone, strings to ids or answers"]
    for name in corpora:
        header += [
            f"{name}: tokens/s",
            "ns a token",
            "times tokenizers",
            "one text, µs",
        ]
    rows = []
    for name in next(iter(corpora.values()))["seconds"]:
        row = [name]
        for corpus in corpora.values():
            seconds, tokens = corpus["seconds"][name], corpus["tokens"]
            row.append(_spread(tokens / each for each in seconds))
            row.append(f"{statistics.median(seconds) / tokens * 1e9:,.0f}")
            row.append(f"{_ratio(corpus['seconds']['tokenizers'], seconds):.2f}")
            single = corpus["one text"].get(name)
            row.append(f"{statistics.median(single) * 1e6:.1f}" if single else "")
        rows.append(row)
    return _markdown(header, rows)


def _memory(results: dict[str, Any]) -> str:
    ladder = results["memory"]
    first = next(iter(ladder.values()))["bytes"]
    rows = [
        [
            f"{int(count):,} lines",
            f"{each['seconds']:.1f}",
            _megabytes([each["bytes"]]),
            f"{each['bytes'] / first - 1:+.0%}",
        ]
        for count, each in ladder.items()
    ]
    header = ["minidistil classify --model tiny", "seconds", "peak memory, MB"]
    return _markdown([*header, "more than at first"], rows)


def _commands(results: dict[str, Any]) -> str:
    """Whole commands, and how they compare with the last, the peer's."""
    commands = results["cold-start"]
    rows = [
        [
            name,
            _spread(each["seconds"], 2),
            _spread(size / MEGABYTE for size in each["bytes"]),
        ]
        for name, each in commands.items()
    ]
    header = ["a command from start to end", "seconds", "peak memory, MB"]
    if COMMAND in commands:
        header += ["of the peer's time", "of its memory"]
        theirs = commands[COMMAND]
        for row, ours in zip(rows, commands.values(), strict=True):
            for key in ("seconds", "bytes"):
                row.append(f"{_ratio(ours[key], theirs[key]):.2f}")
    return _markdown(header, rows)


def _ratios_of_corpora(results: dict[str, Any]) -> str:
    """How many times as fast as a peer we are: our speed over its."""
    columns = {}
    for name, corpus in results["corpora"].items():
        entries = corpus["contestants"].items()
        columns[name] = [
            {who: [1 / s for s in each["speeds"]] for who, each in entries}
        ]
    return _ratios("times as fast", columns)


def _ratios_of_latency(results: dict[str, Any]) -> str:
    """The same for one text, warm and rested."""
    columns = {}
    for name, times in results["latency"]["seconds"].items():
        states = next(iter(times.values()))
        columns[name] = [
            {who: each[state] for who, each in times.items()} for state in states
        ]
    return _ratios("times as fast on one text: warm / rested", columns)


def _ratios(title: str, columns: dict[str, list[Measured]]) -> str:
    """The time of peers over ours."""
    rows = []
    first = next(iter(columns.values()))[0]
    for ours, theirs, name in _pairs(first):
        cells = [
            " / ".join(f"{_ratio(_best(s, theirs), s[ours]):.2f}" for s in states)
            for states in columns.values()
        ]
        rows.append([f"{ours} / {name}", *cells])
    return _markdown([title, *columns], rows)


def _pairs(seconds: Measured) -> list[tuple[str, list[str], str]]:
    """Return who is compared with whom: our name, the peers' and what to call them."""
    pairs = []
    for ours in seconds:
        family, precision = ours.split(", ")
        if family == ENGINE:
            peers = [f"{peer}, {precision}" for peer in PEERS]
        elif family == PIPELINE:
            peers = [name for name in seconds if name.startswith(THEIR_PIPELINE)]
        else:
            continue
        peers = [peer for peer in peers if peer in seconds]
        pairs += [(ours, [peer], peer) for peer in peers]
        if len(peers) > 1:
            pairs.append((ours, peers, "the best of these"))
    return pairs


def _best(seconds: Measured, names: list[str]) -> list[float]:
    return min((seconds[name] for name in names), key=statistics.median)


def _ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def _spread(values: Iterable[float], digits: int = 0) -> str:
    values = sorted(values)
    middle, *ends = (
        f"{each:,.{digits}f}"
        for each in (statistics.median(values), values[0], values[-1])
    )
    return f"{middle} ({'–'.join(ends)})" if len(values) > 1 else middle


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    """Write a table; nothing if it would be empty."""
    if not rows:
        return ""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plot(results: dict[str, Any]) -> Any:
    """Draw a bar for each contestant, and the ceilings as lines."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    corpora = results["corpora"]
    first = next(iter(corpora.values()))["contestants"]
    names = [*first][::-1]  # a bar chart grows upwards
    figure = Figure(figsize=(10, 1.2 + 0.3 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(corpora), sharey=True, squeeze=False)[0]
    for panel, (title, corpus) in zip(panels, corpora.items(), strict=True):
        speeds = [corpus["contestants"][name]["speeds"] for name in names]
        middles = [statistics.median(each) for each in speeds]
        below = [m - min(each) for m, each in zip(middles, speeds, strict=True)]
        above = [max(each) - m for m, each in zip(middles, speeds, strict=True)]
        colors = ["tab:blue" if n.startswith(OURS) else "tab:gray" for n in names]
        panel.barh(names, middles, xerr=[below, above], color=colors, ecolor="black")
        # One above the other: both half types are equally fast on a GPU.
        for line, precision in enumerate(_precisions(corpora)):
            speed = statistics.median(_flops(corpus, precision))
            ceiling = speed * corpus["tokens"] / corpus["flops"]
            panel.axvline(ceiling, color="tab:red", linestyle=":")
            panel.annotate(
                precision,
                (ceiling, 1),
                xycoords=panel.get_xaxis_transform(),
                xytext=(0, 3 + 8 * line),
                textcoords="offset points",
                ha="center",
                fontsize=7,
            )
        panel.set_title(title, pad=32)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.xaxis.set_major_formatter("{x:,.0f}")
        panel.set_xlabel("tokens per second; dotted: ceiling of the products")
    return figure
