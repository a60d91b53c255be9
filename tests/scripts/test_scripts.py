"""All of `scripts/`, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest
from programs import SCRIPTS

PROGRAMS = sorted(path.name for path in SCRIPTS.iterdir() if path.suffix == ".py")
PROGRAMS += sorted(path.parent.name for path in SCRIPTS.glob("*/__main__.py"))


@pytest.mark.full
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_script_starts_in_any_folder_and_says_what_it_shows(program, tmp_path):
    command = [sys.executable, SCRIPTS / program, "--help"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    assert len(run.stdout.splitlines()) > 3
    assert [*tmp_path.iterdir()] == []
