"""Damaged files, by the thousand: a clear error, or what the files really say.

A case either is refused with one error of the library's own that names the file, or
loads, and then is exactly what another reader (the safetensors or the tokenizers
library, transformers) finds in the same files. Never another error, a crash, a hang,
memory without bound, or a file that is not in the checkpoint. See `fuzzing`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

FUZZING = Path(__file__).parents[1] / "helpers" / "fuzzing.py"
# How many of each group are tried, and how many of those must load: damage that is
# always refused would say nothing about what is let through.
CASES = {
    "header": (3000, 300),
    "contents": (3000, 400),
    "bytes": (3500, 200),
    "config": (3500, 600),
    "vocab": (3000, 1500),
    "tokenizer": (3500, 900),
    "index": (2000, 250),
    "settings": (2000, 200),
}
SAMPLE = 20  # the default suite tries a twentieth


def test_there_are_twenty_thousand_cases():
    assert sum(cases for cases, _ in CASES.values()) >= 20_000


@pytest.fixture(scope="module")
def program():
    with subprocess.Popen(
        [sys.executable, str(FUZZING)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    ) as program:
        yield program
        program.stdin.close()


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("group", CASES)
def test_damaged_files_are_refused_or_are_what_they_say(group, program, full_run):
    cases, least = (n if full_run else n // SAMPLE for n in CASES[group])
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
    assert counts["loaded"] >= least
    assert counts["loaded"] + counts["refused"] == cases
