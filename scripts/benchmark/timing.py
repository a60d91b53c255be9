"""Turns: everyone runs once, then everyone again, and so on.

A busy moment of the machine falls on all alike, and what is compared is what ran within
the same round.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

# The threads of one contestant wait for work in a loop before they sleep, and would
# slow the next one: OpenMP's for about 10 ms, OpenVINO's for 1; ONNX Runtime's would go
# on for over 40, but see `runtimes.load_onnxruntime`.
PAUSE = 0.05

# A short run is repeated until this much time is over; its median counts.
SECONDS, FEWEST, MOST = 0.25, 3, 50

# So long does a service rest that answers now and then: all threads sleep by then.
REST = 0.1

LAUNCH = Path(__file__).with_name("launch.py")

Turn = Callable[[], Any]


def nothing() -> None:
    """Wait for no device: what is called has computed when it returns."""


def time_once(turn: Turn, wait: Turn = nothing) -> float:
    """Time one run, in seconds.

    Args:
        turn: What runs.
        wait: Waits for the device that it runs on.
    """
    wait()
    start = time.perf_counter()
    turn()
    wait()
    return time.perf_counter() - start


def time_often(turn: Turn, wait: Turn = nothing) -> float:
    """Time a short run several times, one after the other; the median, in seconds."""
    times: list[float] = []
    while len(times) < FEWEST or (sum(times) < SECONDS and len(times) < MOST):
        times.append(time_once(turn, wait))
    return statistics.median(times)


def time_rested(turn: Turn, wait: Turn, count: int) -> float:
    """Time a short run so many times, each after a rest; the median, in seconds."""
    times = []
    for _ in range(count):
        time.sleep(REST)
        times.append(time_once(turn, wait))
    return statistics.median(times)


def take_turns(turns: Mapping[str, Turn], rounds: int) -> dict[str, list[Any]]:
    """Let everyone run in each round; a list of what each turn returned."""
    results: dict[str, list[Any]] = {name: [] for name in turns}
    with click.progressbar(length=rounds * len(turns), file=sys.stderr) as bar:
        for _ in range(rounds):
            for name, turn in turns.items():
                gc.collect()
                time.sleep(PAUSE)
                results[name].append(turn())
                bar.update(1)
    return results


def launch(arguments: list[str]) -> dict[str, Any]:
    """Run Python with arguments in a fresh process; its seconds, bytes and output.

    Raises:
        RuntimeError: if the program fails, with what it said.
    """
    done = subprocess.run(
        [sys.executable, str(LAUNCH), sys.executable, *arguments],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        # All is in a folder, so that no library loses time by asking the hub.
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    report: dict[str, Any] = json.loads(done.stdout)
    if report["status"]:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{report['errors']}")
    return report
