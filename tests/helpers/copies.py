"""Run a changed copy of the model's source, beside the real one."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import minidistil

PACKAGE = Path(minidistil.__file__).parent
# What a forward pass goes through, in the order of its imports.
ROOMS = ("inputs", "losses", "model", "heads")


def source(room: str) -> str:
    """Return the text of a module of the package; of a folder's as "folder.module"."""
    path = PACKAGE / f"{room.replace('.', '/')}.py"
    return path.read_text(encoding="utf-8")


@contextmanager
def copied_package(
    change: Callable[[str, str], str | ast.Module], rooms: Sequence[str] = ROOMS
) -> Iterator[dict[str, ModuleType]]:
    """Import copies of modules that import each other, and the rest of the package.

    ``change`` gets the name of each room and its text, and returns what to run.
    ``rooms`` are in the order of their imports.
    """
    names = {room: f"copied_{room.replace('.', '_')}" for room in rooms}
    copies: dict[str, ModuleType] = {}
    try:
        for room, name in names.items():
            text = source(room)
            for other in rooms:
                text = text.replace(
                    f"from minidistil.{other} ", f"from {names[other]} "
                )
            # An operator of the same name would take the place of the real one, whose
            # handle then leads to nothing.
            text = text.replace('"minidistil::', f'"{name}::')
            module = sys.modules[name] = ModuleType(name)
            exec(compile(change(room, text), f"{name}.py", "exec"), vars(module))
            copies[room] = module
        yield copies
    finally:
        for name in names.values():
            sys.modules.pop(name, None)
