"""Lines that are still being written, as in ``tail -f``, are answered as they come."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize("lines", [1, 5, 300])
def test_all_lines_that_have_come_are_answered(lines):
    call = [sys.executable, "-m", "minidistil", "classify", "--model", "tiny"]
    with subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        texts = [f"Not bad {i}" for i in range(lines)]
        half = "and half a li"  # that waits for its end
        program.stdin.write("\n".join([*texts, half]))
        program.stdin.flush()
        found = [program.stdout.readline() for _ in texts]
        assert [line.split("  ")[-1].strip() for line in found] == texts
        program.stdin.close()
        assert program.stdout.read().strip().endswith(f"  {half}")
    assert program.returncode == 0


@pytest.mark.parametrize("command", ["classify", "embed", "features"])
def test_a_line_is_answered_before_the_next_is_written(command):
    call = [sys.executable, "-m", "minidistil", command, "--model", "tiny", "--json"]
    with subprocess.Popen(
        call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        for text in ("Not bad", "I hate this so much!", "What a day"):
            program.stdin.write(f"{text}\n")
            program.stdin.flush()
            # Were it not answered, this would wait for ever.
            assert json.loads(program.stdout.readline())["text"] == text
        program.stdin.close()
        assert program.stdout.read() == ""
    assert program.returncode == 0
