"""A program for `test_resuming`: it trains, and comes to grief.

    python stopped_training.py CHECKPOINT FOLDER REPORT EVERY

Each run is a child process of its own; at one of its operations on files it is killed,
or has an error (see `faults`), or it is killed at some moment. Then another child does
the same without a fault. Of all faults there are, each ``EVERY``-th is tried. What was
found is reported as JSON. The children are forked: to import torch anew takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch
from faults import ERRORS, KILLS, Faults
from trainings import RECIPE, log_of, rows_of

from minidistil.training import running
from minidistil.training.loop import Training
from minidistil.training.training import train

torch.set_num_threads(1)  # a forked child has none of its parent's threads

TASK = "text-classification"
# Patience ends it after the fifth epoch, of which the third is the best.
CHANGES = {"epochs": 6, "patience": 2, "metric": "loss", "learning_rate": 0.03}
OPTIONS = {**RECIPE, **CHANGES, "warm_up": 0}
RANDOM_KILLS = 20
# What the clock decides is in these.
OTHERS = ("metrics.jsonl", "report.html", "README.md")


def run() -> dict[str, Any]:
    """Train; a state is saved after each step."""
    running.SECONDS = 0.0
    result = train(CHECKPOINT, rows_of(TASK, 14), rows_of(TASK, 9), FOLDER, **OPTIONS)
    return {"state": result.state, "steps": result.steps, "results": result.results}


def contents() -> dict[str, Any]:
    """The digest of each file, and the lines of the log."""
    found: dict[str, Any] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(FOLDER.iterdir())
    }
    return {
        **{name: x for name, x in found.items() if name not in OTHERS},
        "others": [name for name in OTHERS if name in found],
        "log": log_of(FOLDER),
    }


def attempt(faults: Faults | None, after: float | None = None) -> dict[str, Any]:
    """Train in a child, and perhaps kill it; say how that ended."""
    os.ftruncate(LOG, 0)
    child = os.fork()
    if child == 0:
        try:
            real = Training._take

            def take(training: Training, number: int) -> None:
                log("step", number)
                real(training, number)

            Training._take = take  # type: ignore[method-assign]
            if faults:
                faults.install()
            log("result", run())
            log("operations", faults.operations if faults else [])
        except OSError as error:
            log("refused", [error.filename, str(error)])
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found: dict[str, Any] = {"status": status, "computed": []}
    for line in LOG_FILE.read_text().splitlines():
        name, value = json.loads(line)
        if name == "step":
            found["computed"].append(value)
        else:
            found[name] = value
    return found


def log(*what: object) -> None:
    os.write(LOG, f"{json.dumps(what)}\n".encode())


def fresh() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)


def comes_to_grief(faults: Faults | None, after: float | None = None) -> dict[str, Any]:
    """A run with a fault, and then one that goes on."""
    fresh()
    first = attempt(faults, after)
    second = attempt(None)
    after_all = contents() if second["status"] == 0 else None
    return {"first": first, "second": second, "after": after_all}


def main() -> None:
    fresh()
    run()  # once here: each child would import all anew
    fresh()
    begin = time.monotonic()
    undisturbed = attempt(Faults(FOLDER))
    seconds = time.monotonic() - begin
    report: dict[str, Any] = {"undisturbed": undisturbed, "whole": contents()}
    tried: dict[str, Any] = {}
    number = 0
    for place, operation in enumerate(undisturbed["operations"]):
        moments = [*KILLS, *ERRORS]
        if operation != "write":
            moments.remove("half")
        for moment in moments:
            number += 1
            if number % EVERY == 0:
                faults = Faults(FOLDER, moment, place)
                tried[f"{moment} {operation} {place}"] = comes_to_grief(faults)
    for each in range(RANDOM_KILLS):
        moment = seconds * (each + 0.5) / RANDOM_KILLS
        tried[f"killed after {moment:.2f} s"] = comes_to_grief(None, moment)
    report["tried"] = tried
    REPORT.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    CHECKPOINT, FOLDER, REPORT = map(Path, sys.argv[1:4])
    EVERY = int(sys.argv[4])
    LOG_FILE = REPORT.with_suffix(".log")
    LOG = os.open(LOG_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    main()
