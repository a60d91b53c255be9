"""Lines that are still being written, as in ``tail -f``, are answered as they come."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from minidistil.pipelines.reading import PATIENCE


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
            time.sleep(2 * PATIENCE)
        program.stdin.close()
        assert program.stdout.read() == ""
    assert program.returncode == 0
