"""Damaged files, by the thousand: a clear error, or what the files really say.

A case either is refused with one error of the library's own that names the file, or
loads, and then is exactly what another reader (the safetensors or the tokenizers
library, transformers) finds in the same files. Never another error, a crash, a hang,
memory without bound, or a file that is not in the checkpoint. See `fuzzing`.
"""

from __future__ import annotations

import sys

import pytest
from fuzz_program import fuzzing_program

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
def run():
    with fuzzing_program() as run:
        yield run


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("group", CASES)
def test_damaged_files_are_refused_or_are_what_they_say(group, run, full_run):
    cases, least = (n if full_run else n // SAMPLE for n in CASES[group])
    assert run(group, cases)["loaded"] >= least
