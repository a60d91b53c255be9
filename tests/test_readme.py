"""The README's blocks are run, and what they print is what the page says."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from minidistil.cli import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def test_the_python_blocks_print_what_the_page_says() -> None:
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(blocks("python")), {}, "README.md", "README.md", 0
    )
    assert len(examples.examples) > 10
    runner = doctest.DocTestRunner()
    printed: list[str] = []
    runner.run(examples, out=printed.append)
    assert not printed, "".join(printed)


def test_the_first_command_prints_what_the_page_says() -> None:
    command, shown = blocks("bash")[0], blocks("console")[0]
    arguments = shlex.split(command.split("&&")[1])
    assert arguments[0] == "minidistil"
    result = CliRunner().invoke(main, arguments[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout == shown


COMMANDS = [
    line.removeprefix("$ ")
    for block in blocks("console")
    for line in block.splitlines()
    if line.startswith("$ ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_other_commands_run(command: str, tmp_path: Path, monkeypatch) -> None:
    reviews = "A fine film.\nDull, and far too long.\n"
    monkeypatch.chdir(tmp_path)
    Path("reviews.txt").write_text(reviews, encoding="utf-8")
    words = shlex.split(command)
    piped = reviews if "|" in words else None
    words = words[words.index("|") + 1 :] if piped else words
    if words[0] == "python":
        assert (ROOT / words[1]).is_file()
        return
    assert words[0] == "minidistil"
    result = CliRunner().invoke(main, words[1:], input=piped)
    assert result.exit_code == 0, result.output
    if words[1] == "weights":
        assert result.stdout
    else:
        assert len(result.stdout.splitlines()) == 2


def test_the_tree_names_every_room() -> None:
    tree = blocks("text")[0]
    named = set(re.findall(r"── ([\w-]+(?:\.py|/))", tree))
    rooms = {
        path.name if path.is_file() else f"{path.name}/"
        for path in (ROOT / "minidistil").iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert named == rooms


def test_every_script_is_listed() -> None:
    listed = set(re.findall(r"\| `(scripts/\w+\.py)`", README))
    assert listed == {f"scripts/{path.name}" for path in ROOT.glob("scripts/*.py")}


def test_the_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
