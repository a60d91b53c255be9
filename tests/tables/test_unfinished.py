"""A run goes on where one with the same settings stopped, and harms nothing else."""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
from pathlib import Path

import pytest
from unfinished_runs import (
    KILLED,
    PARTS,
    SETTINGS,
    WHOLE,
    changed,
    names,
    run,
    stopped,
)

from minidistil.tables.rows import TableError
from minidistil.tables.unfinished import unfinished

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of this")


# Going on


def test_a_run_that_stopped_goes_on_and_leaves_the_target_alone(tmp_path):
    target = tmp_path / "out.csv"
    stopped(target, stop=4)
    assert names(tmp_path) == [
        "out.csv.unfinished",
        "out.csv.unfinished/lock",
        "out.csv.unfinished/parts",
        *(f"out.csv.unfinished/parts/{part}" for part in PARTS[:2]),
        "out.csv.unfinished/run.json",
    ]
    assert run(target) == [4]
    assert names(tmp_path) == ["out.csv"]
    assert target.read_bytes() == WHOLE


def test_a_run_that_fails_before_its_first_part_leaves_nothing(tmp_path):
    stopped(tmp_path / "out.csv", stop=0)
    assert names(tmp_path) == []


def test_where_nothing_is_done_other_settings_are_no_error(tmp_path):
    target, beside = tmp_path / "out.csv", tmp_path / "out.csv.unfinished"
    (beside / "parts").mkdir(parents=True)
    (beside / "run.json").write_text('{"task": "another"}')
    assert run(target) == [0, 2, 4]
    assert names(tmp_path) == ["out.csv"]


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    target, beside = tmp_path / "out.csv", tmp_path / "out.csv.unfinished"
    stopped(target, stop=2)
    for path in (beside, beside / "parts"):
        (path / f".something.{'0' * 16}").write_bytes(b"half")
    stopped(target, stop=4)
    assert [name for name in names(beside) if "something" in name] == []


@posix
def test_what_a_link_leads_to_is_written_with_its_mode(tmp_path):
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "out.csv"
    target.write_bytes(b"old")
    target.chmod(0o640)
    (tmp_path / "link").symlink_to("folder/out.csv")
    stopped(tmp_path / "link", stop=2)
    assert (tmp_path / "folder" / "out.csv.unfinished").is_dir()
    assert target.read_bytes() == b"old"
    assert run(target) == [2, 4]  # the same file by another name
    assert target.read_bytes() == WHOLE
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert (tmp_path / "link").is_symlink()


@posix
def test_links_in_a_circle_are_an_error_before_any_work(tmp_path):
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        run(tmp_path / "a", stop=0)


@posix
def test_nobody_else_looks_into_what_is_unfinished(tmp_path):
    stopped(tmp_path / "out.csv", stop=2)
    assert stat.S_IMODE((tmp_path / "out.csv.unfinished").stat().st_mode) == 0o700


# Parts that are missing, or more


@pytest.mark.parametrize("place", [0, 1])
def test_a_part_that_is_missing_is_an_error_and_no_other_is_lost(tmp_path, place):
    target, parts = tmp_path / "out.csv", tmp_path / "out.csv.unfinished" / "parts"
    with pytest.raises(KILLED):
        run(target, stop=6, rows=8)
    content = (parts / PARTS[place]).read_bytes()
    (parts / PARTS[place]).unlink()
    with pytest.raises(TableError, match=f"begins with row {2 * place} is missing"):
        run(target)
    assert len(names(parts)) == 2
    (parts / PARTS[place]).write_bytes(content)
    assert run(target) == []
    assert target.read_bytes() == WHOLE


def test_a_part_that_is_there_twice_is_an_error(tmp_path):
    target, parts = tmp_path / "out.csv", tmp_path / "out.csv.unfinished" / "parts"
    stopped(target, stop=4)
    (parts / "rows-000000000000-000000000000.parquet").write_bytes(b"")
    with pytest.raises(TableError, match="is missing before rows-"):
        run(target)


def test_a_file_of_another_is_left_alone(tmp_path):
    target, beside = tmp_path / "out.csv", tmp_path / "out.csv.unfinished"
    stopped(target, stop=4)
    (beside / "parts" / "notes.txt").write_text("mine")
    (beside / "more.txt").write_text("mine")
    with pytest.warns(UserWarning, match=r"notes\.txt"):
        assert run(target) == [4]
    assert target.read_bytes() == WHOLE
    left = [path for path in beside.rglob("*") if path.is_file()]
    assert sorted(path.name for path in left) == ["lock", "more.txt", "notes.txt"]
    with pytest.warns(UserWarning, match=r"notes\.txt") as warned:
        assert run(target) == [0, 2, 4]
    assert not [each for each in warned if "complete" in str(each.message)]
    assert not (beside / "run.json").exists()


# What a run that was over has left


def finished_leftover(target: Path) -> Path:
    """As if a run had been killed when the target was there."""
    run(target)
    beside = target.with_name(f"{target.name}.unfinished")
    (beside / "used-1234").mkdir(parents=True)
    (beside / "used-1234" / PARTS[0]).write_bytes(b"0\n1\n")
    (beside / "run.json").write_text(json.dumps(SETTINGS))
    return beside


def test_what_was_finished_is_cleaned_up_and_not_computed_again(tmp_path):
    target = tmp_path / "out.csv"
    finished_leftover(target)
    assert run(target) == []
    assert names(tmp_path) == ["out.csv"]
    assert target.read_bytes() == WHOLE


@pytest.mark.parametrize("why", ["other settings", "restart", "target gone"])
def test_after_a_run_that_was_finished_another_begins(tmp_path, why):
    target = tmp_path / "out.csv"
    finished_leftover(target)
    if why == "target gone":
        target.unlink()
    settings = changed(task="other") if why == "other settings" else SETTINGS
    assert run(target, settings=settings, restart=why == "restart") == [0, 2, 4]
    assert names(tmp_path) == ["out.csv"]


# What the system refuses


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_target(
    tmp_path, monkeypatch
):
    def refuse(self, *_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only") as error:
        run(tmp_path / "out.csv", stop=0)
    assert error.value.filename == str(tmp_path / "out.csv")


def test_a_file_in_the_place_of_the_folder_is_an_error_and_stays(tmp_path):
    (tmp_path / "out.csv.unfinished").write_text("mine")
    with pytest.raises(OSError, match=r"out\.csv"):
        run(tmp_path / "out.csv", stop=0)
    assert (tmp_path / "out.csv.unfinished").read_text() == "mine"


@pytest.mark.parametrize("where", ["in a part", "between parts"])
def test_an_error_of_the_input_is_not_laid_on_the_target(tmp_path, where):
    def read(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO), "reviews.csv")

    def run():
        with unfinished(tmp_path / "out.csv", SETTINGS, restart=False) as state:
            if where == "in a part":
                state.keep(2, ".csv", read)
            read()

    with pytest.raises(OSError, match=r"reviews\.csv"):
        run()
