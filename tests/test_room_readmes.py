"""The READMEs of the rooms: their blocks are run, and their links lead somewhere."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import minidistil

PACKAGE = Path(minidistil.__file__).parent
RESULTS = PACKAGE.parent / "scripts" / "benchmark" / "results" / "benchmark.md"
READMES = sorted(PACKAGE.glob("*/README.md"))
NAMES = [path.parent.name for path in READMES]


def test_the_engine_has_one():
    assert "engine" in NAMES


@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_the_blocks_print_what_the_page_says(path):
    printed: list[str] = []
    text = path.read_text(encoding="utf-8")
    examples = doctest.DocTestParser().get_doctest(text, {}, str(path), str(path), 0)
    doctest.DocTestRunner().run(examples, out=printed.append)
    assert not printed, "".join(printed)


@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_the_links_lead_somewhere(path):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", path.read_text("utf-8")):
        assert (path.parent / target).exists(), target


def test_the_speeds_of_the_engine_are_those_that_were_measured():
    text = (PACKAGE / "engine" / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \|", text, re.M)
    measured = {
        name.replace(" autocast to", ""): speeds
        for name, *speeds in re.findall(
            r"^\| (.+?) \| ([\d,]+) \(.*?\) \| ([\d,]+) \(", RESULTS.read_text(), re.M
        )
    }
    assert len(rows) == 13
    for name, *speeds in rows:
        plain = name.replace("*", "").replace(" autocast to", "")
        assert measured[plain] == speeds, plain
