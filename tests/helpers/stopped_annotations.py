"""A program for `test_annotating`: it annotates tables, and is killed time and again.

    python stopped_annotations.py FOLDER KILLS REPORT

Each run is a child process, which is killed at a random moment and started again in
the same way until it has ended. What came of it is compared with an undisturbed run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from minidistil import pipeline
from minidistil.tables import annotating
from minidistil.tables.annotating import annotate
from minidistil.tables.answering import Answering

torch.set_num_threads(1)  # a forked child has none of its parent's threads
annotating.ROWS = 32
FOLDER, KILLS, REPORT = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
WORDS = ["a", "the", "film", "was", "is", "not", "good", "bad", "very", "dull", "fun"]
ROWS = 400
TARGETS = ("out.csv", "out.jsonl.gz", "out.parquet", "folder/")


def computed_parts(log: Path) -> int:
    return len(log.read_bytes()) if log.exists() else 0


def unfinished(target: str) -> Path:
    return Path(f"{target.rstrip('/')}.unfinished")


def value(target: Path) -> object:
    """What must be equal: the bytes of text, the rows of Parquet."""
    if target.is_dir():
        return [pq.read_table(file).to_pylist() for file in sorted(target.iterdir())]
    if target.suffix == ".parquet":
        return pq.read_table(target).to_pylist()
    return target.read_bytes()


def main() -> None:
    chance = random.Random(KILLS)
    texts = [
        " ".join(chance.choices(WORDS, k=chance.randint(1, 20))) for _ in range(ROWS)
    ]
    source = FOLDER / "in.parquet"
    pq.write_table(pa.table({"text": texts}), source)
    classify = pipeline("text-classification", model="tiny")
    log = FOLDER / "computed"
    real = Answering.answer

    def answer(self, pieces):  # type: ignore[no-untyped-def]
        with log.open("ab") as file:
            file.write(b"x")
        return real(self, pieces)

    Answering.answer = answer  # type: ignore[method-assign]
    undisturbed, seconds = {}, {}
    for name in TARGETS:
        began = time.monotonic()
        annotate(classify, source, f"{FOLDER}/undisturbed-{name}")
        seconds[name] = time.monotonic() - began
        undisturbed[name] = value(FOLDER / f"undisturbed-{name}")
    parts = computed_parts(log) // len(TARGETS)
    log.unlink()
    report = {"killed": 0, "wrong": [], "left": [], "parts": 0, "computed": 0}
    number = 0
    while report["killed"] < KILLS:
        name = TARGETS[number % len(TARGETS)]
        target = f"{FOLDER}/{number}-{name}"
        number += 1
        report["parts"] += parts
        while True:
            child = os.fork()
            if child == 0:
                annotate(classify, source, target)
                os._exit(0)
            if report["killed"] < KILLS:
                time.sleep(chance.uniform(0, seconds[name]))
                os.kill(child, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            report["killed"] += status == -signal.SIGKILL
            # What is killed when all is done already, has nothing to go on from.
            is_done = Path(target).exists() and not unfinished(target).exists()
            if status == 0 or is_done:
                break
            if status != -signal.SIGKILL:
                report["wrong"].append([target, status])
                break
        if value(Path(target)) != undisturbed[name]:
            report["wrong"].append(target)
    report["computed"] = computed_parts(log)
    report["left"] = [each.name for each in FOLDER.glob("*.unfinished")]
    REPORT.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
