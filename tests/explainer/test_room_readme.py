"""The explainer's README names every file of the room."""

from __future__ import annotations

import re
from pathlib import Path

import minidistil.explainer

ROOM = Path(minidistil.explainer.__file__).parent
README = (ROOM / "README.md").read_text(encoding="utf-8")


def test_the_table_has_every_file():
    table = README[README.index("## The files") :]
    files = {path.name for path in ROOM.glob("*.py")} - {"__init__.py"}
    assert {*re.findall(r"`(\w+\.py)`", table)} - {"wordpiece.py"} == files
