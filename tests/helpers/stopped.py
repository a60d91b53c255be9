"""A program for `test_killed`: it makes tables in six parts, and comes to grief.

    python stopped.py FOLDER REPORT EVERY [CASE ...]

Each run is a child process of its own; at one of its operations on files it is killed,
or has an error (see `faults`). Then another child does the same without a fault. Of
all faults there are, each ``EVERY``-th is tried. What was found is reported as JSON.
The children are forked: to import torch anew for each would take minutes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import torch
from faults import ERRORS, KILLS, Faults

from minidistil.tables.columns import Column, Vector
from minidistil.tables.rows import LineRows, TableRows
from minidistil.tables.unfinished import unfinished
from minidistil.tables.writing import writer_for

torch.set_num_threads(1)  # a forked child has none of its parent's threads

PARTS, EACH = 6, 5  # parts, and rows of each
SETTINGS = {"input": [{"name": "reviews", "size": 3}], "options": {"top_k": None}}
COLUMNS = [
    Column("label", "string", lambda answer: answer),
    Column("vector", Vector(2), lambda answer: answer),
]
ANEW = ("parts", "half")
# What is written, and what is there before: nothing, a file, an empty folder, a folder
# of parts, or a file and what a run had done that was to make another. For the last
# two, the first call is one that begins anew.
CASES = [
    ("out.jsonl", "none"),
    ("out.jsonl.gz", "file"),
    ("out.csv", "file"),
    ("out.csv", "half"),
    ("out.csv.gz", "none"),
    ("out.parquet", "none"),
    ("out.parquet", "file"),
    ("out/", "none"),
    ("out/", "empty"),
    ("out/", "parts"),
]


def rows(part: int) -> LineRows | TableRows:
    """Text beside a column whose dictionary is another in each part."""
    numbers = range(part * EACH, part * EACH + EACH)
    words = [f"word {number}" for number in numbers]
    table = pa.table({"text": words, "kind": pa.array(words).dictionary_encode()})
    return TableRows("reviews", numbers[0] + 1, table)


def run(target: str, *, restart: bool) -> None:
    """Make a table as a pipeline would; the log says what is computed."""
    source: Any = SimpleNamespace(scanned=lambda: rows(0).table.schema)
    writer = writer_for(target, source, COLUMNS)
    with unfinished(Path(target), SETTINGS, restart=restart) as state:
        if state.finished:
            return
        for part in range(state.done // EACH, PARTS):
            log("computed", part)
            labels = [f"of part {part}"] * (EACH - 1) + [None]
            vectors = [torch.full((2,), float(part))] * (EACH - 1) + [None]
            new = {"label": ("string", labels), "vector": (Vector(2), vectors)}

            def write(path: Path, part: int = part, new: Any = new) -> None:
                writer.part(path, [rows(part)], new)

            state.keep(part * EACH + EACH, writer.suffix, write)
        state.finish(None if writer.is_folder else writer.whole)


def log(*what: object) -> None:
    os.write(LOG, f"{json.dumps(what)}\n".encode())


def attempt(target: str, faults: Faults, *, restart: bool) -> dict[str, Any]:
    """Make it in a child; say how that ended, and what was computed."""
    os.ftruncate(LOG, 0)
    child = os.fork()
    if child == 0:
        try:
            faults.install()
            with warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                run(target, restart=restart)
            log("warned", [str(each.message) for each in warned])
            log("operations", faults.operations)
        except OSError as error:
            log("refused", [error.filename, str(error)])
            os._exit(1)
        except BaseException:
            log("failed", traceback.format_exc())
            os._exit(2)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found: dict[str, Any] = {"status": status, "computed": []}
    for line in LOG_FILE.read_text().splitlines():
        name, value = json.loads(line)
        if name == "computed":
            found["computed"].append(value)
        else:
            found[name] = value
    return found


def prepare(name: str, start: str) -> str:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    path = FOLDER / name
    target = str(path) + "/" * name.endswith("/")
    if start in ("file", "half"):
        path.write_bytes(b"old")
    elif start in ("empty", "parts"):
        path.mkdir()
    if start == "parts":
        (path / "rows-000000000000-000000000000.parquet").write_bytes(b"old")
    elif start == "half":
        attempt(target, Faults(FOLDER, "before", 40), restart=False)
        assert (FOLDER / f"{name}.unfinished" / "parts").exists()
    return target


def contents() -> dict[str, str]:
    """What is in the folder: the digest of each file; folders end in ``/``."""
    return {
        str(path.relative_to(FOLDER)): "a folder"
        if path.is_dir()
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(FOLDER.rglob("*"))
    }


def comes_to_grief(name: str, start: str, faults: Faults) -> dict[str, Any]:
    """A run with a fault, and then one that goes on."""
    anew = start in ANEW
    target = prepare(name, start)
    first = attempt(target, faults, restart=anew)
    between = contents()
    beside = f"{name.rstrip('/')}.unfinished"
    # Without its settings, or a part, nothing is left of a run: the next is another.
    some = any("/parts/rows-" in path for path in between)
    over = f"{beside}/parts" not in between
    begun = f"{beside}/run.json" in between and (some or over)
    second = attempt(target, Faults(FOLDER), restart=anew and not begun)
    return {
        "first": first,
        "between": between,
        "begun": begun,
        "second": second,
        "after": contents(),
    }


def main() -> None:
    report: dict[str, Any] = {}
    number = 0
    cases = [case for case in CASES if not ONLY or ", ".join(case) in ONLY]
    for name, start in cases:  # once here: each child would import all anew
        run(prepare(name, start), restart=start in ANEW)
    for name, start in cases:
        target = prepare(name, start)
        old = contents()
        undisturbed = attempt(target, Faults(FOLDER), restart=start in ANEW)
        tried = {}
        new = contents()
        for place, operation in enumerate(undisturbed["operations"]):
            moments = [*KILLS, *ERRORS]
            if operation != "write":
                moments.remove("half")
            for moment in moments:
                number += 1
                if number % EVERY == 0:
                    faults = Faults(FOLDER, moment, place)
                    found = comes_to_grief(name, start, faults)
                    tried[f"{moment} {operation} {place}"] = found
        report[f"{name}, {start}"] = {
            "old": old,
            "new": new,
            "undisturbed": undisturbed,
            "tried": tried,
        }
    REPORT.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    FOLDER, REPORT, EVERY = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    ONLY = sys.argv[4:]
    LOG_FILE = REPORT.with_suffix(".log")
    LOG = os.open(LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    main()
