"""The house keeps its plan: sizes, who may import whom, and what may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

import minidistil

PACKAGE = Path(minidistil.__file__).parent
ROOT = PACKAGE.parent

# Which rooms each room may import: always rooms further up this table.
ALLOWED: dict[str, set[str]] = {
    "messages": set(),
    "files": {"messages"},
    "progress": set(),
    "pages": set(),
    "hub": {"files", "messages", "progress"},
    "outputs": {"messages"},
    "wordpiece": set(),
    "elsewhere": set(),
    "config": {"files", "hub", "messages"},
    "tokenizer": {"wordpiece", "files", "hub", "messages"},
    "inputs": {"config", "messages"},
    "losses": {"config", "inputs"},
    "checkpoint": {"config", "files", "hub", "messages"},
    "model": {"checkpoint", "config", "inputs", "outputs"},
    "heads": {"config", "inputs", "losses", "model", "outputs"},
    "auto": {"checkpoint", "config", "heads", "hub", "model"},
    "engine": {
        "auto",
        "checkpoint",
        "config",
        "heads",
        "inputs",
        "messages",
        "model",
        "outputs",
        "progress",
    },
    "pipelines": {
        "auto",
        "checkpoint",
        "config",
        "engine",
        "files",
        "heads",
        "hub",
        "messages",
        "model",
        "outputs",
        "tokenizer",
    },
    "tables": {"engine", "files", "messages", "pipelines", "progress"},
    "explainer": {
        "auto",
        "checkpoint",
        "config",
        "engine",
        "files",
        "heads",
        "hub",
        "messages",
        "model",
        "outputs",
        "pages",
        "pipelines",
        "tokenizer",
        "wordpiece",
    },
    "weights": {
        "auto",
        "checkpoint",
        "config",
        "engine",
        "files",
        "heads",
        "hub",
        "messages",
        "model",
        "outputs",
        "pipelines",
        "progress",
        "tokenizer",
    },
    "training": {
        "auto",
        "checkpoint",
        "config",
        "files",
        "heads",
        "hub",
        "inputs",
        "messages",
        "outputs",
        "pages",
        "pipelines",
        "progress",
        "tables",
        "tokenizer",
        "weights",
    },
    "cli": {
        "explainer",
        "files",
        "hub",
        "messages",
        "pipelines",
        "progress",
        "tables",
        "training",
        "weights",
    },
    "__main__": {"cli"},
}
READ_ON_PAPER = ("model.py", "heads.py", "wordpiece.py")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, wherever in the file it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            found.add(node.module or "")
    return found


SOURCES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [path for path in SOURCES if path != PACKAGE / "__init__.py"]


def named(paths):
    return {"argvalues": paths, "ids": [str(path.relative_to(ROOT)) for path in paths]}


@pytest.mark.parametrize("path", **named(ROOMS))
def test_a_room_imports_only_what_stands_above_it(path):
    room = room_of(path)
    names = [name.split(".") for name in imports(path)]
    # `minidistil` alone is no room: the command asks it for the version.
    inside = {name[1] for name in names if name[0] == "minidistil" and len(name) > 1}
    assert inside - {room} <= ALLOWED[room]


def test_the_plan_has_no_way_down():
    order = list(ALLOWED)
    for i, room in enumerate(order):
        assert ALLOWED[room] <= set(order[:i])


def test_every_room_is_in_the_plan():
    assert {room_of(path) for path in ROOMS} <= ALLOWED.keys()


def module_of(path: Path) -> str:
    """The dotted name by which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_files(tree: ast.AST, modules: Collection[str]) -> set[str]:
    """The modules among ``modules`` that a file imports, lazily or for types too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # Each name may be a file of the folder, or something that a file defines.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else node.module for name in names}
    return found & set(modules)


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [*graph[start]]
        while waiting:
            module = waiting.pop()
            if module not in seen:
                seen.add(module)
                waiting += graph[module]
        return seen

    reach = {module: reached(module) for module in graph}
    groups = {
        tuple(sorted(other for other in reach[module] if module in reach[other]))
        for module in graph
        if module in reach[module]
    }
    return sorted([*group] for group in groups)


def test_no_file_imports_in_a_circle():
    """Neither inside a function nor for types alone.

    `minidistil/__init__.py` is left out: it offers the names of every room, lazily, and
    the command asks it for the version.
    """
    trees = {
        module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in ROOMS
    }
    graph = {module: imported_files(trees[module], trees) for module in trees}
    assert circles(graph) == []


def test_a_circle_of_files_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"e"}}
    assert circles(graph) == [["b", "c"], ["e"]]
    lazy = (
        "def f():\n    from room import b\n    from room.b import x\n    import room.c"
    )
    modules = {"room", "room.b", "room.c"}
    assert imported_files(ast.parse(lazy), modules) == {"room.b", "room.c"}
    assert imported_files(ast.parse("from room import x"), modules) == {"room"}


@pytest.mark.parametrize("path", **named(SOURCES))
def test_the_package_never_imports_transformers(path):
    roots = {name.split(".")[0] for name in imports(path)}
    assert "transformers" not in roots


def test_the_hall_has_these_files():
    """What stands at the top of the package; all else is in a room of its own."""
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        *("__init__.py", "__main__.py"),
        *("wordpiece.py", "model.py", "heads.py"),
        *("config.py", "outputs.py", "inputs.py", "losses.py"),
        "auto.py",
        *("progress.py", "messages.py", "elsewhere.py"),
    }


def test_the_top_of_the_project_holds_nothing_more():
    tracked = subprocess.run(
        ["git", "-C", ROOT, "ls-files"], capture_output=True, text=True
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    names = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    assert {name for name in names if not name.startswith(".")} == {
        *("LICENSE", "README.md", "pyproject.toml"),
        *("minidistil", "scripts", "tests"),
    }


def test_three_files_can_be_read_on_paper():
    lines = [len((PACKAGE / name).read_text().splitlines()) for name in READ_ON_PAPER]
    assert sum(lines) < 800


def test_wordpiece_needs_nothing_but_python():
    needed = {name.split(".")[0] for name in imports(PACKAGE / "wordpiece.py")}
    assert needed <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", ["model.py", "heads.py", "outputs.py", "losses.py"])
def test_every_letter_of_a_shape_is_in_the_legend(name):
    legend = ast.get_docstring(ast.parse((PACKAGE / "model.py").read_text())) or ""
    # A run of single letters between brackets: (B, T, D), (B,), (B * C, T, D).
    shapes = re.findall(r"\((?:[A-Z\d]\b[, *]*)+\)", (PACKAGE / name).read_text())
    letters = set(re.findall("[A-Z]", " ".join(shapes)))
    assert {"B", "T"} <= letters
    assert all(re.search(rf"(^|  ){letter}  \w", legend) for letter in letters)
