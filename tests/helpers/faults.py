"""Every operation on files that a program does, counted; at one of them it ends.

A fault is a moment and an operation: killed "before" or "after" it, or with "half" of
what is written; at a "power" cut, where besides all that was not synced is lost; or an
error of the system in its place.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import pathlib
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

KILLS = ("before", "half", "after", "power")
ERRORS = {"full": errno.ENOSPC, "broken": errno.EIO}
PATHS = ("rename", "replace", "link", "unlink", "mkdir", "rmdir", "truncate", "chmod")
NUMBERS = ("ftruncate", "fsync")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What needs room: once a disk is full, all of these fail.
GROWING = ("open", "write", "mkdir", "link")


@dataclass
class Faults:
    """What happens to files in a folder, in this process alone.

    Attributes:
        folder: The folder; elsewhere all is well.
        moment: One of `KILLS` or `ERRORS`; None counts alone.
        place: The operation at which it happens, from 0.
        operations: The names of those that were begun.
    """

    folder: Path
    moment: str | None = None
    place: int = -1
    operations: list[str] = field(default_factory=list)
    unsynced: set[int] = field(default_factory=set)  # inodes

    def install(self) -> None:
        """Come between this process and the system; there is no way back."""
        self.open = io.open
        # Python 3.10 has taken its own references.
        owners = [os, *filter(None, [getattr(pathlib, "_NormalAccessor", None)])]
        for name in (*PATHS, *NUMBERS):
            function = self.counted(name, getattr(os, name))
            for owner in owners:
                if hasattr(owner, name):
                    setattr(owner, name, staticmethod(function))
        real = os.open

        def os_open(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            if not flags & WRITING:
                return real(path, flags, *rest, **options)
            return self.do("open", path, lambda: real(path, flags, *rest, **options))

        os.open = os_open
        builtins.open = io.open = self.opened  # type: ignore[assignment]
        for owner in owners[1:]:
            owner.open = staticmethod(self.opened)

    def counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def function(path: Any, *rest: Any, **options: Any) -> Any:
            return self.do(name, path, lambda: real(path, *rest, **options))

        if name != "fsync":
            return function

        def fsync(number: int) -> None:
            # It takes milliseconds; `power` cuts off what was not synced.
            self.do(
                name, number, lambda: self.unsynced.discard(os.fstat(number).st_ino)
            )

        return fsync

    def opened(self, path: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if not set(mode) & set("wax+") or not self.concerns(path):
            return self.open(path, mode, *rest, **options)
        kind = mode.translate({ord("b"): None, ord("t"): None})
        raw = self.do("open", path, lambda: Raw(self, path, kind))
        file = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        if "b" in mode:
            return file
        return io.TextIOWrapper(file, **options)  # type: ignore[arg-type]

    def concerns(self, path: Any) -> bool:
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        return Path(os.fsdecode(path)).is_relative_to(self.folder)

    def do(self, name: str, path: Any, work: Callable[[], Any]) -> Any:
        if not self.concerns(path):
            return work()
        here = len(self.operations) == self.place
        self.operations.append(name)
        full = self.moment == "full" and len(self.operations) > self.place >= 0
        if (here and self.moment in ERRORS) or (full and name in GROWING):
            number = ERRORS[self.moment or ""]
            named = () if isinstance(path, int) else (os.fspath(path),)
            raise OSError(number, os.strerror(number), *named)
        if here and self.moment == "before":
            die()
        try:
            return work()
        finally:  # also where the system refused, as it does to make a folder again
            if here and self.moment in KILLS:
                if self.moment == "power":
                    self.cut()
                die()

    def cut(self) -> None:
        for path in self.folder.rglob("*"):
            if path.is_file() and path.stat().st_ino in self.unsynced:
                with self.open(path, "rb+") as file:
                    io.FileIO.truncate(file.raw, path.stat().st_size // 2)


class Raw(io.FileIO):
    """A file whose writes are operations."""

    def __init__(self, faults: Faults, path: Any, mode: str) -> None:
        super().__init__(path, mode)
        self.faults = faults
        if "w" in mode:
            self.changed()

    def changed(self) -> None:
        self.faults.unsynced.add(os.fstat(self.fileno()).st_ino)

    def write(self, data: Any) -> int:
        self.changed()
        faults, view = self.faults, memoryview(data).cast("B")
        if faults.moment == "half" and len(faults.operations) == faults.place:
            view = view[: len(view) // 2]
        write = super().write
        return faults.do("write", self.fileno(), lambda: write(view))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
