"""Runs that write a few rows and stop, for `test_unfinished`."""

from __future__ import annotations

from pathlib import Path

import pytest

from minidistil.tables.unfinished import unfinished

FILE = {"name": "reviews.csv", "size": 10, "digest": "abc"}
SETTINGS = {
    "task": "text-classification",
    "options": {"top_k": 3, "batch_size": 8},
    "model": {"answers": [0.1, -4.0], "labels": ["a", "b"]},
    "input": [FILE],
    "strict": True,
    "on_error": "stop",
}
KILLED = ZeroDivisionError  # for these tests; `test_killed` is about real ones


def whole(path: Path, parts) -> None:
    path.write_bytes(b"header\n" + b"".join(part.read_bytes() for part in parts))


def run(target, *, settings=SETTINGS, stop=None, restart=False, whole=whole, rows=6):
    """Write rows, two in a part; ``stop`` after so many. Gives what was computed."""
    computed = []
    with unfinished(Path(target), settings, restart=restart) as state:
        if state.finished:
            return computed
        for first in range(state.done, rows, 2):
            if first == stop:
                raise KILLED
            computed.append(first)
            content = f"{first}\n{first + 1}\n".encode()
            state.keep(first + 2, ".parquet", lambda p, c=content: p.write_bytes(c))
        state.finish(whole)
    return computed


def stopped(target, **options):
    with pytest.raises(KILLED):
        run(target, **options)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


WHOLE = b"header\n0\n1\n2\n3\n4\n5\n"
PARTS = [f"rows-{row:012d}-{row + 1:012d}.parquet" for row in (0, 2, 4)]


def changed(**changes):
    return {**SETTINGS, **changes}
