"""The program that damages files by the thousand, as tests run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

import pytest

FUZZING = Path(__file__).with_name("fuzzing.py")
SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    # Others set a gigabyte of addresses aside, which a limit of memory counts.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}


@contextmanager
def fuzzing_program() -> Iterator[Callable[[str, int], dict[str, int]]]:
    """Start it; give a function that runs so many cases of a group, and counts them.

    A case that goes wrong, a crash and a hang fail the test.
    """
    with subprocess.Popen(
        [sys.executable, str(FUZZING)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | SETTINGS,
    ) as program:

        def run(group: str, cases: int) -> dict[str, int]:
            late = Timer(600, program.kill)
            late.start()
            program.stdin.write(f"{group} 0 {cases}\n")
            program.stdin.flush()
            line = program.stdout.readline()
            late.cancel()
            assert line, "the program ended or took too long"
            status, printed, errors = json.loads(line)
            if status:
                pytest.fail(f"{printed}\nended at case {errors.rpartition(chr(13))[2]}")
            counts = json.loads(printed.splitlines()[-1])
            assert counts["loaded"] + counts["refused"] == cases
            return counts

        yield run
        program.stdin.close()
