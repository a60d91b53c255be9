"""Lines that are still being written, as in ``tail -f``, are answered as they come."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

import pytest

SECONDS = 120  # after which what was not answered never will be


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command on `tiny`; it is killed if it waits for ever, and must end well."""
    with subprocess.Popen(
        [sys.executable, "-m", "minidistil", *arguments, "--model", "tiny"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        watch = Timer(SECONDS, program.kill)
        watch.start()
        try:
            yield program
        finally:
            watch.cancel()
            program.stdin.close()
    assert program.returncode == 0


@pytest.mark.sample(1)
@pytest.mark.parametrize("lines", [1, 5, 300])
def test_all_lines_that_have_come_are_answered(lines):
    texts = [f"Not bad {i}" for i in range(lines)]
    half = "and half a li"  # that waits for its end
    with running("classify") as program:
        program.stdin.write("\n".join([*texts, half]))
        program.stdin.flush()
        found = [program.stdout.readline() for _ in texts]
        assert [line.split("  ")[-1].strip() for line in found] == texts
        program.stdin.close()
        assert program.stdout.read().strip().endswith(f"  {half}")


@pytest.mark.sample(1)
@pytest.mark.parametrize("command", ["classify", "embed", "features"])
def test_a_line_is_answered_before_the_next_is_written(command):
    with running(command, "--json") as program:
        for text in ("Not bad", "I hate this so much!", "What a day"):
            program.stdin.write(f"{text}\n")
            program.stdin.flush()
            assert json.loads(program.stdout.readline())["text"] == text
        program.stdin.close()
        assert program.stdout.read() == ""
