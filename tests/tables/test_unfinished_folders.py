"""A folder of parts is there whole or not at all, and replaces no other files."""

from __future__ import annotations

import errno
import stat
import sys
from pathlib import Path

import pytest
from unfinished_runs import (
    PARTS,
    SETTINGS,
    names,
    run,
    stopped,
    whole,
)

from minidistil.tables.rows import TableError
from minidistil.tables.unfinished import unfinished

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of this")


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "out"
    stopped(target, stop=4, whole=None)
    assert names(tmp_path)[0] == "out.unfinished"
    assert run(target, whole=None) == [4]
    assert names(tmp_path) == ["out", *(f"out/{part}" for part in PARTS)]


@posix
def test_an_empty_folder_is_replaced_and_keeps_its_mode(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    target.chmod(0o750)
    assert run(target, whole=None) == [0, 2, 4]
    assert names(tmp_path) == ["out", *(f"out/{part}" for part in PARTS)]
    assert stat.S_IMODE(target.stat().st_mode) == 0o750


def test_a_folder_of_parts_is_replaced_only_when_that_is_asked_for(tmp_path):
    target = tmp_path / "out"
    run(target, whole=None, rows=8)
    with pytest.raises(TableError, match=r"folder of 4 parts already.*--restart"):
        run(target, whole=None)
    assert len(names(target)) == 4
    stopped(target, whole=None, restart=True, stop=2)
    assert len(names(target)) == 4
    assert run(target, whole=None) == [2, 4]  # it was asked for when the run began
    assert names(tmp_path) == ["out", *(f"out/{part}" for part in PARTS)]


@pytest.mark.parametrize("restart", [True, False])
@pytest.mark.parametrize("name", ["thesis.txt", "rows.parquet", "folder/x", ".hidden"])
def test_a_folder_with_other_files_is_an_error_and_stays(tmp_path, restart, name):
    target = tmp_path / "out"
    (target / name).parent.mkdir(parents=True)
    (target / name).write_text("mine")
    with pytest.raises(TableError, match=f"such as {name.partition('/')[0]}"):
        run(target, whole=None, restart=restart, stop=0)
    assert (target / name).read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_parts_are_not_thrown_away_for_a_folder_that_cannot_be_replaced(tmp_path):
    target = tmp_path / "out"
    stopped(target, whole=None, stop=4)
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(TableError, match=r"such as thesis\.txt"):
        run(target, whole=None, restart=True)
    assert names(tmp_path / "out.unfinished" / "parts") == PARTS[:2]


def test_a_file_that_came_into_the_folder_meanwhile_is_not_lost(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    stopped(target, whole=None, stop=4)
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(TableError, match=r"such as thesis\.txt"):
        run(target, whole=None)
    assert names(target) == ["thesis.txt"]
    (target / "thesis.txt").unlink()
    assert run(target, whole=None) == [4]


def test_a_file_that_came_at_the_last_moment_is_not_lost(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    with unfinished(target, SETTINGS, restart=False) as state:
        state.keep(2, ".parquet", lambda path: path.write_bytes(b""))
        (target / "thesis.txt").write_text("mine")
        with pytest.raises(TableError, match=r"such as thesis\.txt"):
            state.finish(None)
    assert names(target) == ["thesis.txt"]
    assert names(tmp_path / "out.unfinished" / "parts") == PARTS[:1]


def test_if_the_new_folder_cannot_take_the_place_the_old_one_stays(
    tmp_path, monkeypatch
):
    target = tmp_path / "out"
    run(target, whole=None, rows=2)
    stopped(target, whole=None, restart=True, stop=4)
    real = Path.rename

    def rename(self, to):
        if self.name == "parts":
            raise PermissionError(
                errno.EACCES, "another program has it open", str(self)
            )
        return real(self, to)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(PermissionError) as error:
        run(target, whole=None)
    assert error.value.filename == str(target)
    assert names(target) == PARTS[:1]
    monkeypatch.undo()
    assert run(target, whole=None) == []
    assert names(tmp_path) == ["out", *(f"out/{part}" for part in PARTS)]


def test_a_run_that_was_killed_while_it_made_room_goes_on(tmp_path):
    target, beside = tmp_path / "out", tmp_path / "out.unfinished"
    run(target, whole=None, rows=2)
    stopped(target, whole=None, restart=True, stop=4)
    target.rename(beside / "old")
    run(target.with_name("copy"), whole=None, rows=2)
    target.with_name("copy").rename(target)  # somebody has put one there meanwhile
    assert run(target, whole=None) == [4]
    assert names(tmp_path) == ["out", *(f"out/{part}" for part in PARTS)]


@pytest.mark.parametrize("whole", [whole, None], ids=["file", "folder"])
def test_of_no_rows_there_is_a_result_too(tmp_path, whole):
    assert run(tmp_path / "out", whole=whole, rows=0) == []
    assert names(tmp_path) == ["out"]
