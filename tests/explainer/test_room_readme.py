"""The blocks of the explainer's README are run, and its pictures and files exist."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import minidistil.explainer

ROOM = Path(minidistil.explainer.__file__).parent
README = (ROOM / "README.md").read_text(encoding="utf-8")


def test_the_python_blocks_print_what_the_readme_says():
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", README, re.S))
    examples = doctest.DocTestParser().get_doctest(blocks, {}, "README.md", None, 0)
    assert len(examples.examples) > 10
    printed: list[str] = []
    doctest.DocTestRunner().run(examples, out=printed.append)
    assert not printed, "".join(printed)


def test_the_pictures_exist():
    pictures = re.findall(r"!\[.*?\]\((.*?)\)|<img src=\"(.*?)\"", README)
    assert len(pictures) == 2
    for picture in pictures:
        assert (ROOM / "".join(picture)).is_file()


def test_the_table_has_every_file():
    table = README[README.index("## The files") :]
    files = {path.name for path in ROOM.glob("*.py")} - {"__init__.py"}
    assert {*re.findall(r"`(\w+\.py)`", table)} - {"wordpiece.py"} == files
