"""A command takes as much memory for many lines as for few."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path

import pytest

VOCABULARY = Path(__file__).parents[2] / "minidistil/bundled/tiny-sst2/vocab.txt"
TOGETHER = 1_024  # lines that are read at once


def write_lines(file: Path, count: int) -> None:
    """Write lines of 1 to 60 words, no two alike.

    Each `TOGETHER` have the lengths of those before them: of more lines of any lengths
    some would be the longest together, and take the most memory.
    """
    draw = random.Random(0)
    lengths = [min(60, 1 + int(draw.gammavariate(2, 8))) for _ in range(TOGETHER)]
    words = [each for each in VOCABULARY.read_text("utf-8").split() if each.isalpha()]
    with file.open("w", encoding="utf-8") as lines:
        for length in islice(cycle(lengths), count):
            lines.write(" ".join(draw.choices(words, k=length)) + "\n")


def memory(file: Path, *options: str) -> list[tuple[int, int]]:
    """Classify the lines of a file; each 10 ms, how many are answered, and the memory.

    In kilobytes, without what is mapped from files: pages of libraries that nobody
    reads for a while may be taken away, sooner or later.
    """
    command = [sys.executable, "-m", "minidistil", "classify", "--model", "tiny"]
    command += ["--file", str(file), *options]
    seen: list[tuple[int, int]] = []
    answered = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None

        def watch() -> None:
            status = Path(f"/proc/{process.pid}/status")
            while process.poll() is None:
                with suppress(OSError):  # it has just ended
                    said = re.search(r"^RssAnon:\s*(\d+) kB", status.read_text(), re.M)
                    if said:
                        seen.append((answered, int(said[1])))
                time.sleep(0.01)

        watching = threading.Thread(target=watch)
        watching.start()
        for _ in process.stdout:
            answered += 1
        process.wait()
        watching.join()
    assert process.returncode == 0
    return seen


@pytest.mark.full
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_many_lines_take_no_more_memory_than_few(tmp_path, precision):
    lines = tmp_path / "lines.txt"
    write_lines(lines, 20 * TOGETHER)
    seen = memory(lines, "--precision", precision)
    first = [size for answered, size in seen if answered < 2 * TOGETHER]
    rest = [size for answered, size in seen if answered >= 2 * TOGETHER]

    assert max(rest) < 1.03 * max(first)
