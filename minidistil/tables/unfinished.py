"""What is beside a target while it is written: there a run that was stopped goes on.

    labels.parquet.unfinished/
        lock                                           held by the run that writes
        run.json                                       its settings
        parts/rows-000000000000-000000008191.parquet   …

A run may be killed at any moment; what is there says how far it came:

| `run.json` | `parts`      |                                           |
|------------|--------------|-------------------------------------------|
| no         | no, or empty | nothing is done                           |
| yes        | yes          | the rows in these parts are done          |
| yes        | no           | the target is whole, the rest can go      |

So `parts` comes before `run.json`, is renamed when the target is whole and on the disk,
and what is left of it goes before `run.json`. Only what a run makes is ever removed.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from minidistil.files import (
    is_file,
    is_folder,
    is_temporary,
    mode_of,
    read_json,
    refusal,
    replacing,
    sync_folder,
    write_file,
)
from minidistil.tables.locking import locked
from minidistil.tables.rows import TableError
from minidistil.tables.settings import differences

_PART = re.compile(r"rows-(\d{12,})-(\d{12,})(\.\w+)+")
_ANEW = "begin anew (restart=True, --restart)"


@contextmanager
def unfinished(
    target: Path, settings: Mapping[str, Any], *, restart: bool
) -> Iterator[Unfinished]:
    """Begin to write a target, or go on where a run with the same settings stopped.

    Args:
        target: A file, or a folder that is to hold the parts. What a link leads to is
            written.
        settings: All that the result depends on; a JSON object (see `differences`).
        restart: Whether to remove what an unfinished run has done, and to replace a
            folder of parts.

    Raises:
        TableError: if another run is writing the target, if a run with other settings
            began, or if the target is a folder of other files.
        OSError: if the system refuses; it names the target.
    """
    with ExitStack() as stack:
        state = Unfinished(target)
        with state.naming_target():
            stack.enter_context(locked(state.folder, target))
            state.begin(json.loads(json.dumps(settings)), restart=restart)
        try:
            yield state
        finally:
            if not state.parts:
                with suppress(OSError):
                    state.clean()


class Unfinished:
    """What is done of a target; see `unfinished`.

    Attributes:
        folder: The folder beside the target.
        parts: The parts that are done, in order.
        done: How many rows are done: the first of all, without a gap.
        finished: Whether the target is whole, and nothing is to be computed.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._place = Path(os.path.realpath(target))
        self.folder = self._place.with_name(f"{self._place.name}.unfinished")
        self._run = self.folder / "run.json"
        self._parts = self.folder / "parts"
        self._old = self.folder / "old"  # a folder that made room for the new one
        self.parts: list[Path] = []
        self.done = 0
        self.finished = False

    def begin(self, settings: dict[str, Any], *, restart: bool) -> None:
        """Find out what is done, and set down the settings of this run."""
        if self._place.is_symlink():
            raise refusal(errno.ELOOP, self._target)
        self._put_back()
        if restart:
            self.check_place(replace=True)
            self.clean()
        then = self._settings()
        if then is not None and not is_folder(self._parts):
            there = bool(mode_of(self._place))
            self.finished = there and not self._differences(then, settings)
            self.clean()
            if self.finished:
                return
        self._find_parts()
        if self.parts:
            self._check_settings(then, settings)
        else:
            self.clean()
        if not restart:
            self.check_place(replace=bool(self.parts))
        self._parts.mkdir(exist_ok=True)
        if not self.parts or then != settings:
            write_file(self._run, json.dumps(settings, indent=1).encode())
        sync_folder(self.folder.parent)

    def keep(self, end: int, suffix: str, write: Callable[[Path], None]) -> None:
        """Write a part, whole or not at all: the rows from `done` to ``end - 1``.

        Args:
            end: How many rows are done then.
            suffix: What the part's name ends in.
            write: Writes it to the path that it is given.

        Raises:
            OSError: if the system refuses; it names the target.
        """
        path = self._parts / f"rows-{self.done:012d}-{end - 1:012d}{suffix}"
        with self.naming_target(), replacing(path) as temporary:
            write(temporary)
        self.parts.append(path)
        self.done = end

    def finish(self, whole: Callable[[Path, Sequence[Path]], None] | None) -> None:
        """Give the target its name.

        Args:
            whole: Writes to the path that it is given what the parts are together; None
                if the target is a folder of the parts.

        Raises:
            TableError: if the target is a folder that holds other files meanwhile.
            OSError: if the system refuses; it names the target, and the parts stay.
        """
        with self.naming_target():
            if whole is None:
                self._replace_folder()
            else:
                with replacing(self._place, inside=self.folder) as temporary:
                    whole(temporary, self.parts)
        self.finished = True
        try:
            if whole is not None:
                # Of a name that nothing has: what is no part stays in it.
                self._parts.rename(self.folder / f"used-{secrets.token_hex(4)}")
            self.clean()
        except OSError as error:
            warnings.warn(
                f"{self._target} is complete, but {self.folder} could not be removed: "
                f"{error}",
                stacklevel=2,
            )

    def clean(self) -> None:
        """Remove all that runs make, but the lock."""
        used = [path for path in _contents(self.folder) if path.match("used-*")]
        for folder in (self.folder, *used, self._old, self._parts):
            _remove_files(folder)
        for folder in (*used, self._old):
            _remove_folder(folder)
        self._run.unlink(missing_ok=True)
        _remove_folder(self._parts)
        self.parts, self.done = [], 0

    @contextmanager
    def naming_target(self) -> Iterator[None]:
        """Name the target in what the system refuses, not a file beside it."""
        try:
            yield
        except OSError as error:
            name = error.filename
            ours = name is None or Path(os.fspath(name)).is_relative_to(self.folder)
            if error.errno is None or not (ours or Path(name) == self._place):
                raise
            raise refusal(error.errno, self._target) from error

    def _settings(self) -> dict[str, Any] | None:
        """Those of the run that began; None if none did."""
        if not is_file(self._run):
            return None
        try:
            return read_json(self._run, dict, TableError)
        except TableError as error:
            raise TableError(f"{error}; {_ANEW}") from None

    def _find_parts(self) -> None:
        """Find the parts that are done, and remove what a killed run did not finish."""
        for path in filter(is_temporary, _contents(self.folder)):
            path.unlink()
        foreign = []
        for path in _contents(self._parts):
            rows = _PART.fullmatch(path.name)
            if is_temporary(path):
                path.unlink()
            elif not rows:
                foreign.append(path.name)
            elif int(rows[1]) != self.done:
                raise TableError(
                    f"in {self._parts}, the part that begins with row {self.done} is "
                    f"missing before {path.name}; put it back, or {_ANEW}"
                )
            else:
                self.parts.append(path)
                self.done = int(rows[2]) + 1
        if foreign:
            warnings.warn(
                f"in {self._parts}, {', '.join(foreign)}: no part of a run, left alone",
                stacklevel=2,
            )

    def _differences(self, then: dict[str, Any], now: dict[str, Any]) -> list[str]:
        try:
            return differences(then, now)
        except (AttributeError, KeyError, TypeError):
            raise TableError(f"{self._run} is not of a run; {_ANEW}") from None

    def _check_settings(self, then: dict[str, Any] | None, now: dict[str, Any]) -> None:
        if then is None:
            raise TableError(f"{self.folder} does not say of which run it is; {_ANEW}")
        found = self._differences(then, now)
        if found:
            lines = "".join(f"\n- {each}" for each in found)
            raise TableError(
                f"{self.folder} holds {self.done:,} rows of a run with other settings; "
                f"go on with the same ones, or {_ANEW}:{lines}"
            )

    def check_place(self, *, replace: bool) -> None:
        """Raise TableError for a folder that is not to be replaced."""
        contents = _contents(self._place)
        for path in contents:
            if not _PART.fullmatch(path.name):
                raise TableError(
                    f"{self._target} is a folder that holds other files, such as "
                    f"{path.name}; name another folder"
                )
        if contents and not replace:
            raise TableError(
                f"{self._target} is a folder of {len(contents)} parts already; name "
                f"another folder, or {_ANEW}"
            )

    def _replace_folder(self) -> None:
        self.check_place(replace=True)
        if is_folder(self._place):
            with suppress(OSError):
                self._parts.chmod(stat.S_IMODE(mode_of(self._place)))
            _remove_files(self._old)  # of a run that was killed here
            _remove_folder(self._old)
            self._place.rename(self._old)
        try:
            self._parts.rename(self._place)
        except OSError:
            self._put_back()
            raise
        sync_folder(self._place.parent)

    def _put_back(self) -> None:
        """Give a folder its name again that made room for one that did not come."""
        if is_folder(self._old) and not mode_of(self._place):
            self._old.rename(self._place)


def _contents(folder: Path) -> list[Path]:
    """What is in a folder, in order; nothing if it is none."""
    return sorted(folder.iterdir()) if is_folder(folder) else []


def _remove_files(folder: Path) -> None:
    """Remove those that runs make."""
    for path in reversed(_contents(folder)):  # what is left of parts has no gap
        if _PART.fullmatch(path.name) or is_temporary(path):
            path.unlink()


def _remove_folder(folder: Path) -> None:
    if not is_folder(folder):
        return
    try:
        folder.rmdir()
    except OSError:
        left = _contents(folder)
        if not left:
            raise
        warnings.warn(
            f"{folder} holds what no run made, such as {left[0].name}; it stays there",
            stacklevel=2,
        )
