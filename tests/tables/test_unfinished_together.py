"""Of two runs on one target, the second is told."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from threading import Thread

import filelock
import pytest
from unfinished_runs import (
    SETTINGS,
    names,
    run,
    whole,
)

from minidistil.tables import locking
from minidistil.tables.rows import TableError
from minidistil.tables.unfinished import unfinished

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of this")


def test_a_second_run_in_another_thread_is_told_at_once(tmp_path):
    target, found = tmp_path / "out.csv", []

    def second():
        try:
            run(target)
        except TableError as error:
            found.append(str(error))

    with unfinished(target, SETTINGS, restart=False) as state:
        state.keep(2, ".csv", lambda path: path.write_bytes(b"0\n1\n"))
        thread = Thread(target=second)
        thread.start()
        thread.join(30)
        state.finish(whole)
    (message,) = found
    assert "being written by another run" in message
    assert str(target) in message
    assert target.read_bytes() == b"header\n0\n1\n"
    assert names(tmp_path) == ["out.csv"]


PROGRAM = """
import sys
from pathlib import Path
from minidistil.tables.unfinished import unfinished
with unfinished(Path(sys.argv[1]), {}, restart=True):
    print("began", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_in_another_process_is_told_and_a_killed_one_holds_nothing(
    tmp_path,
):
    target = tmp_path / "out.csv"
    first = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, target],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert first.stdout.readline() == b"began\n"
        with pytest.raises(TableError, match="another run"):
            run(target, restart=True)
        first.kill()
        first.wait()
        assert run(target) == [0, 2, 4]
    finally:
        first.kill()
        first.communicate()
    assert names(tmp_path) == ["out.csv"]


@posix
def test_a_lock_that_was_removed_with_its_run_is_not_enough(tmp_path, monkeypatch):
    real, removed = locking._acquire, []

    def acquire(lock, path, target):
        real(lock, path, target)
        if not removed:  # the file that was locked, and another run makes a new one
            removed.append(path.stat().st_ino)
            path.rename(tmp_path / "elsewhere")
            path.touch()

    monkeypatch.setattr(locking, "_acquire", acquire)
    with locking.locked(tmp_path / "folder", tmp_path / "out.csv"):
        assert (tmp_path / "folder" / "lock").stat().st_ino not in removed
        with pytest.raises(filelock.Timeout):  # the one that is there is held
            filelock.FileLock(tmp_path / "folder" / "lock").acquire(timeout=0)
    assert names(tmp_path) == ["elsewhere"]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks_does_not_stop_a_run(tmp_path, monkeypatch, number):
    def refuse(self, *_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match="has no locks"):
        assert run(tmp_path / "out.csv") == [0, 2, 4]
    assert names(tmp_path) == ["out.csv"]
