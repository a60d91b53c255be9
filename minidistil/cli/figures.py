"""How good a model is: figures and tables for a terminal, or JSON."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_SHOWN = 20  # labels of a table; --json has all
_WIDE = 12  # characters of a label over a column


def json_of(results: Mapping[str, float], details: Mapping[str, Any]) -> dict[str, Any]:
    """Figures by name, and ``details``; what is undefined or infinite is null."""
    figures = {
        name: value if math.isfinite(value) else None for name, value in results.items()
    }
    return {**figures, "details": details}


def lines_of(
    results: Mapping[str, float | None], details: Mapping[str, Any]
) -> Iterator[str]:
    """A line for each figure, then the tables there are."""
    yield from figures(results)
    if rows := details.get("per_label"):
        yield ""
        yield from per_label(rows)
    confusion = details.get("confusion")
    if confusion and len(confusion["labels"]) <= _SHOWN:
        yield ""
        yield from matrix(confusion["labels"], confusion["counts"])
    for name, group in details.items():
        if isinstance(group, Mapping) and name != "confusion":
            yield ""
            yield f"{name}:"
            yield from figures(group)


def figures(results: Mapping[str, Any]) -> Iterator[str]:
    """A line for each figure."""
    width = max(map(len, results), default=0)
    for name, value in results.items():
        yield f"{name:{width}}  {_shown(value)}"


def per_label(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A table: a line for each label."""
    names = [name for name in rows[0] if name != "label"]
    yield from _table(
        ["label", *names],
        [
            [str(each["label"]), *(_shown(each.get(name)) for name in names)]
            for each in rows[:_SHOWN]
        ],
    )
    if len(rows) > _SHOWN:
        yield f"… and {len(rows) - _SHOWN} more labels; --json has all"


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> Iterator[str]:
    """How often each label, a line, was taken for each label, a column."""
    yield from _table(
        ["right \\ found", *(_short(label) for label in labels)],
        [
            [label, *(f"{count:,}" for count in row)]
            for label, row in zip(labels, counts, strict=True)
        ],
    )


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines with columns below each other: the first on the left, numbers right."""
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in (head, *lines):
        cells = [line[0].ljust(widths[0])]
        cells += [
            cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)
        ]
        yield "  ".join(cells)


def _short(label: str) -> str:
    return label if len(label) <= _WIDE else f"{label[: _WIDE - 1]}…"


def _shown(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    return "undefined"
