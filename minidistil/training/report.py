"""The report of a training: one HTML file, rewritten while the training runs.

Of a long log the page has no more lines than a screen can show; those with the highest
and the lowest values are among them, and `metrics.jsonl` has all. Long texts are cut
too, and the page says so: it stays below one megabyte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, pairwise
from math import isfinite, isnan
from pathlib import Path
from typing import Any

from minidistil.files import write_file
from minidistil.pages import offline_page
from minidistil.training.run import Confusion, Rows

PARTS = 150  # of the log: of each, the extremes are kept
RISING = ("step", "epoch", "tokens")  # what has no other extremes than its ends
MISTAKES = 50
FILES = 20
MATRIX = 25  # labels up to which every count is shown
CONFUSIONS = 30  # of more labels, the most frequent ones
TEXT, COMMAND, NAME, ANSWER = 500, 4_000, 200, 100  # characters


def write_report(path: Path, run: Mapping[str, Any]) -> None:
    """Write the page of a run, whole or not at all.

    Args:
        path: Where to.
        run: See `run.Run`; what is not there is not shown.

    Raises:
        OSError: if the system refuses; an older page is then still there.
    """
    page = offline_page("minidistil.training", "report", _packed(run))
    write_file(path, page.encode())


def _packed(run: Mapping[str, Any]) -> dict[str, Any]:
    """The data of the page, in the layout that ``assets/report.js`` reads."""
    log = [x for x in run.get("log") or () if "evaluation" not in x and "step" in x]
    best = run.get("best")
    evaluations = [
        {"step": each["step"], **each["results"]}
        for each in run.get("evaluations") or ()
    ]
    best_step = best and best["step"]
    chosen = [i for i, x in enumerate(evaluations) if x["step"] == best_step]
    details = run.get("details") or {}
    return {
        "title": _text(run["title"], NAME),
        "state": _text(run["state"], NAME),
        "note": _text(run.get("note") or "", TEXT),
        "step": run.get("step"),
        "steps": run.get("steps"),
        "seconds": _number(run.get("seconds")),
        "best": best
        and {
            "step": best["step"],
            "metric": _text(best["metric"], NAME),
            "value": _number(best["value"]),
        },
        "log": _series(log),
        "evaluations": _series(evaluations, chosen[-1:]),
        **_confusion(details.get("confusion")),
        "per_label": [
            {_text(name, NAME): _figure(value) for name, value in each.items()}
            for each in details.get("per_label") or ()
        ],
        "groups": [
            {"label": _text(group, NAME)}
            | {_text(name, NAME): _figure(value) for name, value in figures.items()}
            for group, figures in details.items()
            if isinstance(figures, Mapping) and group != "confusion"
        ],
        "mistakes": [
            {name: _figure(each[name], ANSWER) for name in each if name != "text"}
            | {"text": _text(each.get("text", ""), TEXT)}
            for each in (run.get("mistakes") or ())[:MISTAKES]
        ],
        "sides": _sides(run, evaluations[chosen[-1]] if chosen else {}),
        "data": {
            _text(name, NAME): _rows(rows)
            for name, rows in (run.get("data") or {}).items()
        },
        "recipe": settings(run.get("recipe") or {}, run.get("defaults") or {}),
        "command": _text(run.get("command") or "", COMMAND),
        "environment": settings(run.get("environment") or {}, {}),
    }


# A log on a screen


def _series(
    lines: Sequence[Mapping[str, Any]], always: Sequence[int] = ()
) -> dict[str, Any]:
    """Columns of numbers, of as many lines as a screen can show."""
    names = dict.fromkeys(chain.from_iterable(lines))
    columns = {name: _column([line.get(name) for line in lines]) for name in names}
    columns = {name: column for name, column in columns.items() if column}
    kept = _kept(len(lines), columns, always)
    return {
        "count": len(lines),
        "columns": {
            _text(name, NAME): _numbers([column[i] for i in kept])
            for name, column in columns.items()
        },
    }


def _column(values: list[Any]) -> list[float | None]:
    """The numbers of a column, None where there is none; empty if there is none at all.

    Types are asked first of all values together: a column of 10,000 lines then takes a
    tenth of the time.
    """
    if {*map(type, values)} <= {int, float}:
        return values
    numbers = [x if type(x) in (int, float) else None for x in values]
    return numbers if any(x is not None for x in numbers) else []


def _kept(
    count: int, columns: Mapping[str, Sequence[float | None]], always: Sequence[int]
) -> list[int]:
    """The lines that are shown: of each part, where a column is highest or lowest.

    And some of those, and the first, where it is no finite number.
    """
    if count <= 2 * PARTS:
        return [*range(count)]
    kept = {0, count - 1, *always}
    for name, column in columns.items():
        lines: Sequence[int] = range(count)
        numbers: Sequence[Any] = column
        if not _is_finite(column):
            found = [(i, x) for i, x in enumerate(column) if x is not None]
            lines = [i for i, x in found if isfinite(x)]
            numbers = [column[i] for i in lines]
            odd = [i for i, x in found if not isfinite(x)]
            kept.update(odd[start] for start, end in _parts(odd) if start < end)
        for start, end in _parts(numbers) if name not in RISING else ():
            if part := numbers[start:end]:
                kept.add(lines[start + part.index(min(part))])
                kept.add(lines[start + part.index(max(part))])
    return sorted(kept)


def _parts(lines: Sequence[Any]) -> list[tuple[int, int]]:
    """Where each part of a column starts and ends."""
    ends = [number * len(lines) // PARTS for number in range(PARTS + 1)]
    return [*pairwise(ends)]


def _is_finite(column: Sequence[float | None]) -> bool:
    # The first of the two takes no time, and lets the second be asked.
    return None not in column and all(map(isfinite, column))  # type: ignore[arg-type]


# Numbers and texts


def _number(value: Any) -> float | int | str | None:
    """A number as JSON has it, and its name where JSON has none."""
    if isinstance(value, float) and not isfinite(value):
        return "NaN" if isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if isinstance(value, (int, float)) else None


def _numbers(column: list[float | None]) -> list[Any]:
    return column if _is_finite(column) else [*map(_number, column)]


def _figure(value: Any, length: int = NAME) -> dict[str, Any] | str | None:
    """A number, which the page rounds, apart from a text, which may look like one."""
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"number": _number(value)}
    return _text(value, length)


def _text(value: Any, length: int) -> str:
    text = str(value)
    if len(text) <= length:
        return text
    return f"{text[:length]} … ({len(text):,} characters in all)"


def _setting(value: Any) -> str | None:
    """A value of a recipe as its user would write it; None is for one that is not set.

    A text, since a script would round a long integer, such as a seed.
    """
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-")
    if isinstance(value, (list, tuple)):
        return _text(", ".join(str(_setting(each)) for each in value), NAME)
    return _text(value, NAME)


def settings(found: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[Any]:
    """Names, values, and the default where it is another one."""
    lines = []
    for name, value in found.items():
        said, default = _setting(value), _setting(defaults.get(name))
        other = name in defaults and said != default
        lines.append([_text(name, NAME), said, other, default if other else None])
    return lines


# The parts


def _rows(rows: Rows) -> dict[str, Any]:
    files = [*rows.get("files", ())]
    return {
        "files": [_text(name, NAME) for name in files[:FILES]],
        "more_files": len(files[FILES:]),
        "rows": rows.get("rows"),
        "labels": [[_text(x, NAME), n] for x, n in rows.get("labels", {}).items()],
        "skipped": [[_text(x, NAME), n] for x, n in rows.get("skipped", {}).items()],
        "truncated": rows.get("truncated"),
    }


def _confusion(found: Confusion | None) -> dict[str, Any]:
    """All counts, or of many labels those that are confused most."""
    if not found:
        return {}
    counts = found["counts"]
    names = [_text(name, NAME) for name in found["labels"]]
    if len(names) <= MATRIX:
        return {"confusion": {"labels": names, "counts": [[*row] for row in counts]}}
    wrong = [
        (count, row, column)
        for row, each in enumerate(counts)
        for column, count in enumerate(each)
        if count and row != column
    ]
    wrong.sort(key=lambda pair: (-pair[0], pair[1:]))
    return {
        "confused": {
            "pairs": [
                [names[row], names[column], count]
                for count, row, column in wrong[:CONFUSIONS]
            ],
            "count": len(wrong),
        }
    }


def _sides(run: Mapping[str, Any], best: Mapping[str, float]) -> list[dict[str, Any]]:
    """The teacher and the student, or nobody."""
    if not run.get("teacher"):
        return []
    figures = {name: value for name, value in best.items() if name != "step"}
    student = {"results": figures, **(run.get("student") or {})}
    return [
        {
            "role": role,
            "name": _text(side.get("name") or "", NAME),
            "results": {_text(x, NAME): _number(y) for x, y in side["results"].items()},
            "parameters": side.get("parameters"),
        }
        for role, side in (
            ("teacher", {"results": {}, **run["teacher"]}),
            ("student", student),
        )
    ]
