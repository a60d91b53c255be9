"""Damaged tables, by the thousand: a clear error, or what the files really say.

A case either is refused with one error that names the file, or is read, and then is
exactly what another reader (Python's csv and json, pyarrow on the whole file) finds in
it. What a strict reader finds nothing wrong with is read. Never another error, a crash,
a hang, or memory without bound. See `fuzz_tables`.
"""

from __future__ import annotations

import sys

import pytest
from fuzz_program import fuzzing_program

# How many of each group are tried, and how many of those must be read: damage that is
# always refused would say nothing about what is let through.
CASES = {
    "cells": (800, 350),
    "lines": (300, 150),
    "json": (500, 100),
    "parquet": (700, 150),
}
SAMPLE = 20  # the default suite tries a twentieth


def test_there_are_two_thousand_cases():
    assert sum(cases for cases, _ in CASES.values()) >= 2_000


@pytest.fixture(scope="module")
def run():
    with fuzzing_program() as run:
        yield run


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("group", CASES)
def test_damaged_tables_are_refused_or_are_what_they_say(group, run, full_run):
    cases, least = (n if full_run else n // SAMPLE for n in CASES[group])
    assert run(group, cases)["loaded"] >= least
