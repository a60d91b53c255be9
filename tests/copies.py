"""Run a changed copy of the model's source, beside the real one."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import minidistil

PACKAGE = Path(minidistil.__file__).parent
# What a forward pass goes through, in the order of its imports.
ROOMS = ("inputs", "losses", "model", "heads")


def source(room: str) -> str:
    """Return the text of a module of the package."""
    return (PACKAGE / f"{room}.py").read_text(encoding="utf-8")


@contextmanager
def copied_package(
    change: Callable[[str, str], str | ast.Module],
) -> Iterator[dict[str, ModuleType]]:
    """Import copies of `ROOMS` that import each other, and the rest of the package.

    ``change`` gets the name of each room and its text, and returns what to run.
    """
    rooms: dict[str, ModuleType] = {}
    try:
        for room in ROOMS:
            text = source(room)
            for other in ROOMS:
                text = text.replace(
                    f"from minidistil.{other} ", f"from copied_{other} "
                )
            module = sys.modules[f"copied_{room}"] = ModuleType(f"copied_{room}")
            exec(compile(change(room, text), f"copied_{room}.py", "exec"), vars(module))
            rooms[room] = module
        yield rooms
    finally:
        for room in ROOMS:
            sys.modules.pop(f"copied_{room}", None)
