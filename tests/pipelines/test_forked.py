"""A process that is forked when answers have been given gives the same answers."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# What OpenMP has for the thread that forks stays behind: who waits for it, waits for
# ever, and is ended by the alarm.
PROGRAM = """
import os, signal, sys
import torch
from minidistil import Engine, pipeline

def texts():
    return [f"a good film with a rather long text, number {i}" for i in range(200)]

def answers(**how):
    return pipeline("text-classification", "tiny", **how)(texts())

made = pipeline("text-classification", "tiny")
itself = pipeline("text-classification", "tiny", dtype=torch.float32)
engine = Engine.from_pretrained("tiny")
WAYS = {
    "a list": lambda: made(texts()),
    "one text": lambda: made(texts()[0]),
    "an iterator": lambda: [*made(iter(texts()))],
    "the model itself": lambda: itself(texts()),
    "an engine": lambda: [
        each.tolist() for each in engine(made.tokenizer(texts())["input_ids"])
    ],
    "another pipeline": lambda: answers(precision="int8"),
}
assert torch.get_num_threads() == 2
for name, way in WAYS.items():
    before = way()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if way() == before else 3)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(name, status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_answers_alike():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ways = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    assert len(ways) == 6
    assert {name for name, status in ways if status != "0"} == set()
