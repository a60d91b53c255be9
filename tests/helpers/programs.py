"""Run a program of `scripts/` in this process: to import torch anew takes seconds."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from click.testing import CliRunner, Result

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run_script(name: str, *arguments: object) -> Result:
    """Do what `python scripts/NAME ARGUMENTS` does."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        main = runpy.run_path(str(SCRIPTS / name))["main"]
    finally:
        sys.path.remove(str(SCRIPTS))
    return CliRunner().invoke(main, [*map(str, arguments)])
