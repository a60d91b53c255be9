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
PEERS = ("transformers model", "ONNX Runtime", "OpenVINO")
THEIR_PIPELINE = "transformers pipeline"
COMMAND = "python with transformers' pipeline"

MEGABYTE = 1e6

Seconds = dict[str, list[float]]


def table(results: dict[str, Any]) -> str:
    """Write everything as Markdown."""
    makers = {
        "corpora": [_corpora, _ceilings],
        "latency": [_latency],
        "cold-start": [_commands],
        "scaling": [_scaling],
    }
    parts = [_heading(results)]
    for part, makes in makers.items():
        parts += [make(results) for make in makes if part in results]
    if "memory" in results and "corpora" not in results:
        parts.append(_memory(results))
    if "corpora" in results or "latency" in results:
        parts.append(_ratios(results))
    return "\n\n".join(filter(None, parts)) + "\n"


def write(folder: Path, results: dict[str, Any], markdown: str) -> None:
    """Write the table, the numbers behind it, and the plot if matplotlib is there."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "benchmark.md").write_text(markdown, encoding="utf-8")
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
        f"{machine['processor']}, {machine['cores']} cores, {machine['instructions']}, "
        f"{machine['system']}",
        ", ".join(f"{name} {version}" for name, version in versions.items()),
        f"`{results['command']}`",
        f"Medians of {results['rounds']} rounds; in brackets the smallest and largest.",
    ]
    lines += [
        f"Skipped: {name} (pip install {' '.join(modules)})"
        for name, modules in results["skipped"].items()
    ]
    return "\n\n".join(lines)


def _corpora(results: dict[str, Any]) -> str:
    corpora, memory = results["corpora"], results.get("memory", {})
    header = [
        "tokens per second",
        *(
            f"{name}: {each['texts']} texts of {each['tokens'] / each['texts']:.0f} "
            f"tokens on average"
            for name, each in corpora.items()
        ),
        "a score differs from the first's by at most",
        *(["peak memory, MB"] if memory else []),
    ]
    rows = []
    for name in _names(corpora):
        speeds = [
            _spread(corpus["tokens"] / each for each in corpus["seconds"][name])
            for corpus in corpora.values()
        ]
        change = max(corpus["changes"][name] for corpus in corpora.values())
        row = [name, *speeds, f"{change:.1e}" if change else "0"]
        rows.append(row + ([f"{memory[name] / MEGABYTE:,.0f}"] if memory else []))
    return _markdown(header, rows)


def _memory(results: dict[str, Any]) -> str:
    rows = [
        [name, f"{size / MEGABYTE:,.0f}"] for name, size in results["memory"].items()
    ]
    return _markdown(["", "peak memory, MB"], rows)


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
    if name not in corpus["seconds"]:
        return ""
    pairs = zip(corpus["seconds"][name], ceilings, strict=True)
    return f"{statistics.median(corpus['tokens'] / s / top for s, top in pairs):.0%}"


def _latency(results: dict[str, Any]) -> str:
    lengths = results["latency"]
    rows = [
        [
            name,
            *(_spread((s * 1e3 for s in each[name]), 1) for each in lengths.values()),
        ]
        for name in next(iter(lengths.values()))
    ]
    return _markdown(["one text, ms", *lengths], rows)


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


def _scaling(results: dict[str, Any]) -> str:
    scaling = results["scaling"]
    header = [f"{PIPELINE}"]
    for precision in scaling:
        header += [f"{precision}: tokens/s", "peak memory, MB"]
    rows = []
    for count in next(iter(scaling.values())):
        row = [f"{int(count):,} texts"]
        for by_count in scaling.values():
            row.append(f"{by_count[count]['tokens_per_second']:,.0f}")
            row.append(f"{by_count[count]['bytes'] / MEGABYTE:,.0f}")
        rows.append(row)
    return _markdown(header, rows)


def _ratios(results: dict[str, Any]) -> str:
    """How many times as fast as a peer we are: its time over ours."""
    workloads: dict[str, Seconds] = {
        name: corpus["seconds"] for name, corpus in results.get("corpora", {}).items()
    }
    workloads |= results.get("latency", {})
    rows = []
    for ours, theirs, name in _pairs(next(iter(workloads.values()))):
        cells = [
            f"{_ratio(_best(seconds, theirs), seconds[ours]):.2f}"
            for seconds in workloads.values()
        ]
        rows.append([f"{ours} / {name}", *cells])
    return _markdown(["times as fast", *workloads], rows)


def _pairs(seconds: Seconds) -> list[tuple[str, list[str], str]]:
    """Return who is compared with whom: our name, the peers' and what to call them."""
    pairs = []
    for ours in seconds:
        family, variant = ours.split(", ")
        if family == ENGINE:
            peers = [f"{peer}, {variant}" for peer in PEERS]
        elif family == PIPELINE:
            peers = [name for name in seconds if name.startswith(THEIR_PIPELINE)]
        else:
            continue
        peers = [peer for peer in peers if peer in seconds]
        pairs += [(ours, [peer], peer) for peer in peers]
        if len(peers) > 1 and family == ENGINE:
            pairs.append((ours, peers, "the best of these"))
    return pairs


def _best(seconds: Seconds, names: list[str]) -> list[float]:
    return min((seconds[name] for name in names), key=statistics.median)


def _ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def _names(corpora: dict[str, Any]) -> list[str]:
    first = next(iter(corpora.values()))
    return list(first["seconds"])


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

    corpora = results["corpora"]
    names = _names(corpora)[::-1]  # a bar chart grows upwards
    figure = Figure(figsize=(10, 1.2 + 0.3 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(corpora), sharey=True, squeeze=False)[0]
    for panel, (title, corpus) in zip(panels, corpora.items(), strict=True):
        speeds = [[corpus["tokens"] / s for s in corpus["seconds"][n]] for n in names]
        middles = [statistics.median(each) for each in speeds]
        below = [m - min(each) for m, each in zip(middles, speeds, strict=True)]
        above = [max(each) - m for m, each in zip(middles, speeds, strict=True)]
        colors = ["tab:blue" if n.startswith(OURS) else "tab:gray" for n in names]
        panel.barh(names, middles, xerr=[below, above], color=colors, ecolor="black")
        for precision in _precisions(corpora):
            speed = statistics.median(_flops(corpus, precision))
            ceiling = speed * corpus["tokens"] / corpus["flops"]
            panel.axvline(ceiling, color="tab:red", linestyle=":")
            panel.text(
                *(ceiling, 1.01, precision),
                transform=panel.get_xaxis_transform(),
                ha="center",
                fontsize=7,
            )
        panel.set_title(title, pad=16)
        panel.set_xlabel("tokens per second; dotted: ceiling of the products")
    return figure
