"""A command takes as much memory for many lines as for few."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path

import pytest

LAUNCH = Path(__file__).parents[2] / "scripts" / "benchmark" / "launch.py"
VOCABULARY = Path(__file__).parents[2] / "minidistil/bundled/tiny-sst2/vocab.txt"


def write_lines(file: Path, count: int) -> None:
    """Write lines of 1 to 60 words, no two alike.

    Each 2,048 have the lengths of the 2,048 before them: texts are read 1,024 at a
    time, and of more lines of any lengths some 1,024 would be the longest.
    """
    draw = random.Random(0)
    lengths = [min(60, 1 + int(draw.gammavariate(2, 8))) for _ in range(2_048)]
    words = [each for each in VOCABULARY.read_text("utf-8").split() if each.isalpha()]
    with file.open("w", encoding="utf-8") as lines:
        for length in islice(cycle(lengths), count):
            lines.write(" ".join(draw.choices(words, k=length)) + "\n")


def peak(file: Path, *options: str) -> int:
    """The most memory that classifying the lines of a file takes, in bytes."""
    command = [sys.executable, "-m", "minidistil", "classify", "--model", "tiny"]
    done = subprocess.run(
        [sys.executable, str(LAUNCH), *command, "--file", str(file), *options],
        check=True,
        capture_output=True,
        encoding="utf-8",
    )
    report = json.loads(done.stdout)
    assert report["status"] == 0, report["errors"]
    return int(report["bytes"])


@pytest.mark.full
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_ten_times_as_many_lines_take_no_more_memory(tmp_path, precision):
    peaks = []
    for count in (2_048, 20_480):
        write_lines(tmp_path / f"{count}.txt", count)
        peaks.append(peak(tmp_path / f"{count}.txt", "--precision", precision))
    assert peaks[1] < 1.05 * peaks[0]
