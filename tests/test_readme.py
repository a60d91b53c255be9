"""The blocks of every README are run, and what they print is what the page says."""

import doctest
import gzip
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from minidistil.cli import main
from minidistil.hub import BUNDLED

ROOT = Path(__file__).parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for pattern in ("README.md", "minidistil/*/README.md", "scripts/README.md")
    for path in sorted(ROOT.glob(pattern))
}
README = PAGES["README.md"]
ROOMS = ("engine", "explainer", "pipelines", "tables", "training", "weights")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.S)


def test_the_first_page_is_short() -> None:
    assert len(README.splitlines()) < 220


def test_there_is_a_page_in_each_room_that_needs_one() -> None:
    assert {f"minidistil/{room}/README.md" for room in ROOMS} <= PAGES.keys()


@pytest.mark.parametrize("name", PAGES)
def test_the_python_blocks_print_what_the_page_says(name: str, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    examples = doctest.DocTestParser().get_doctest(
        "\n".join(blocks(PAGES[name], "python")), {}, name, name, 0
    )
    in_a_room = name.startswith("minidistil/")
    assert len(examples.examples) >= (2 if in_a_room else 0)
    runner = doctest.DocTestRunner()
    printed: list[str] = []
    runner.run(examples, out=printed.append)
    assert not printed, "".join(printed)


def test_the_blocks_can_fail() -> None:
    examples = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "", "", 0)
    assert doctest.DocTestRunner().run(examples, out=lambda text: None).failed


def test_the_first_command_prints_what_the_page_says() -> None:
    command, shown = blocks(README, "bash")[0], blocks(README, "console")[0]
    arguments = shlex.split(command.split("&&")[1])
    assert arguments[0] == "minidistil"
    result = CliRunner().invoke(main, arguments[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout == shown


COMMANDS = sorted(
    {
        line.removeprefix("$ ")
        for page in PAGES.values()
        for block in blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_other_commands_run(command: str, tmp_path: Path, monkeypatch) -> None:
    reviews = "A fine film.\nDull, and far too long.\n"
    monkeypatch.chdir(tmp_path)
    Path("reviews.txt").write_text(reviews, encoding="utf-8")
    Path("reviews.csv").write_text('text\nA fine film.\n"Dull, and far too long."\n')
    for name in ("train.tsv", "dev.tsv"):
        Path(name).write_text("text\tlabel\nFine.\tPOSITIVE\nDull.\tNEGATIVE\n")
    Path("crawl").mkdir()
    with gzip.open("crawl/1.jsonl.gz", "wt") as file:
        file.write('{"url": "a.org", "body": "A fine film."}\n')
    for name in ("mine", "small"):  # what other commands of the page have made
        if not command.endswith(f"-o {name}"):
            Path(name).symlink_to(BUNDLED["tiny"])
    words = shlex.split(command)
    piped = reviews if "|" in words else None
    words = words[words.index("|") + 1 :] if piped else words
    if words[:2] == ["python", "-m"]:
        path = ROOT / Path(*words[2].split("."))
        assert path.with_suffix(".py").is_file()
        return
    if words[0] == "python":
        assert (ROOT / words[1]).exists()
        return
    assert words[0] == "minidistil"
    result = CliRunner().invoke(main, words[1:], input=piped)
    assert result.exit_code == 0, result.output
    if "reviews.txt" in command:
        assert len(result.stdout.splitlines()) == 2
    else:
        assert result.output


def test_the_tree_names_every_room() -> None:
    tree = blocks(README, "text")[0]
    named = set(re.findall(r"── ([\w-]+(?:\.py|/))", tree))
    rooms = {
        path.name if path.is_file() else f"{path.name}/"
        for path in (ROOT / "minidistil").iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    }
    assert named == rooms


def test_every_script_is_listed() -> None:
    listed = set(re.findall(r"\| `(scripts/\w+(?:\.py)?)`", PAGES["scripts/README.md"]))
    assert listed == {
        f"scripts/{path.name}"
        for path in ROOT.glob("scripts/*")
        if path.suffix == ".py" or (path / "__main__.py").is_file()
    }


@pytest.mark.parametrize("name", PAGES)
def test_the_links_lead_somewhere(name: str) -> None:
    page, folder = PAGES[name], (ROOT / name).parent
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", page)
    targets += re.findall(r'<img src="([^"]+)"', page)
    for target in targets:
        assert (folder / target).exists(), target


def measured() -> dict[str, tuple[str, str]]:
    """Tokens per second of each library, of sentences and of reviews."""
    results = ROOT / "scripts" / "benchmark" / "results" / "benchmark.md"
    row = r"^\| (.+?) \| ([\d,]+) \([^|]*\| ([\d,]+) \("
    found = re.findall(row, results.read_text("utf-8"), re.M)
    return {name: tuple(speeds) for name, *speeds in found}


def test_the_speeds_of_the_engine_are_those_that_were_measured() -> None:
    page = PAGES["minidistil/engine/README.md"]
    rows = re.findall(r"^\| (.+?) \| ([\d,]+) \| ([\d,]+) \|", page, re.M)
    assert len(rows) == 12
    for name, *speeds in rows:
        plain = name.replace("*", "")
        assert measured()[plain] == tuple(speeds), plain


def test_the_speeds_on_the_first_page_are_those_that_were_measured() -> None:
    head, _, *rows = re.findall(r"^\|.*\|$", README.split("## Run it fast")[1], re.M)
    precisions = [cell.strip() for cell in head.split("|")[2:-1]]
    assert precisions == ["float32", "bfloat16", "int8"]
    checked = 0
    for row in rows:
        name, *speeds = (cell.strip().replace("*", "") for cell in row.split("|")[1:-1])
        for precision, speed in zip(precisions, speeds, strict=True):
            if speed:
                full = f"{name}, {precision}"
                assert measured()[full][0] == speed, full
                checked += 1
    assert checked == 12
