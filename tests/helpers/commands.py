"""Run ``minidistil`` in this process or as a program, and look at how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from click.testing import CliRunner, Result

from minidistil.cli import main


def run(*arguments: object, stdin: str | bytes | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [str(each) for each in arguments], input=stdin)


def run_program(*arguments: str, **options: Any) -> subprocess.CompletedProcess[Any]:
    """Run the command as a program of its own."""
    command = [sys.executable, "-m", "minidistil", *arguments]
    return subprocess.run(command, capture_output=True, timeout=120, **options)


def records(result: Result) -> list[Any]:
    """Return what a command printed with --json."""
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def assert_refused(result: Result, *words: str, code: int = 1) -> None:
    """Check that a command ended with an error for people, which has some words."""
    assert isinstance(result.exception, SystemExit), result.output
    assert result.exit_code == code
    for each in words:
        assert each in result.stderr
    assert "Traceback" not in result.stderr
