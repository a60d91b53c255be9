"""A run goes on where one with the same settings stopped, and harms nothing else."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from threading import Thread

import filelock
import pytest

from minidistil.tables import locking
from minidistil.tables.rows import TableError
from minidistil.tables.settings import differences
from minidistil.tables.unfinished import unfinished

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of this")
FILE = {"name": "reviews.csv", "size": 10, "digest": "abc"}
SETTINGS = {
    "task": "text-classification",
    "options": {"top_k": 3, "batch_size": 8},
    "model": {"answers": [0.1, -4.0], "labels": ["a", "b"]},
    "input": [FILE],
    "strict": True,
    "on_error": "stop",
}
KILLED = ZeroDivisionError  # for these tests; `test_killed` is about real ones


def whole(path: Path, parts) -> None:
    path.write_bytes(b"header\n" + b"".join(part.read_bytes() for part in parts))


def run(target, *, settings=SETTINGS, stop=None, restart=False, whole=whole, rows=6):
    """Write rows, two in a part; ``stop`` after so many. Gives what was computed."""
    computed = []
    with unfinished(Path(target), settings, restart=restart) as state:
        if state.finished:
            return computed
        for first in range(state.done, rows, 2):
            if first == stop:
                raise KILLED
            computed.append(first)
            content = f"{first}\n{first + 1}\n".encode()
            state.keep(first + 2, ".parquet", lambda p, c=content: p.write_bytes(c))
        state.finish(whole)
    return computed


def stopped(target, **options):
    with pytest.raises(KILLED):
        run(target, **options)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


WHOLE = b"header\n0\n1\n2\n3\n4\n5\n"
PARTS = [f"rows-{row:012d}-{row + 1:012d}.parquet" for row in (0, 2, 4)]


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


# Other settings


def changed(**changes):
    return {**SETTINGS, **changes}


MODEL = SETTINGS["model"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (changed(), []),
        (
            changed(task="fill-mask"),
            ["task was 'text-classification', and is 'fill-mask' now"],
        ),
        (
            changed(options={"top_k": 5, "threshold": 0.5}),
            [
                "options.top_k was 3, and is 5 now",
                "options.batch_size was 8, and is not given now",
                "options.threshold was not given, and is 0.5 now",
            ],
        ),
        (
            changed(options={}),
            [
                "options.top_k was 3, and is not given now",
                "options.batch_size was 8, and is not given now",
                "options was not given, and is {} now",
            ],
        ),
        (
            changed(input=[FILE | {"size": 11, "digest": "d"}]),
            ["the input reviews.csv was another: 10 bytes then, 11 now"],
        ),
        (
            changed(input=[FILE | {"digest": "d"}]),
            ["the input reviews.csv was another: as large, with other contents"],
        ),
        (
            changed(input=[{**FILE, "name": "other.csv"}]),
            ["the input other.csv was not there", "the input reviews.csv is missing"],
        ),
        (
            changed(input=[FILE, FILE]),
            ["the files of the input are in another order, or some came twice"],
        ),
        (changed(model={**MODEL, "answers": [0.105, -4.03]}), []),
        (
            changed(model={**MODEL, "answers": [0.12, -4.0]}),
            ["the model answers a sentence with other numbers"],
        ),
        (
            changed(model={**MODEL, "answers": [0.1]}),
            ["the model answers a sentence with other numbers"],
        ),
        (
            changed(model={"labels": ["a", "b"]}),
            ["the model answers a sentence with other numbers"],
        ),
        (changed(strict=False, on_error="null"), []),
    ],
)
def test_each_difference_is_told_in_a_line(now, expected):
    assert differences(SETTINGS, now) == expected


def test_the_files_of_the_input_have_an_order():
    other = {**FILE, "name": "other.csv"}
    then, now = changed(input=[FILE, other]), changed(input=[other, FILE])
    assert differences(then, now) == [
        "the files of the input are in another order, or some came twice"
    ]


def test_other_settings_are_one_error_that_lists_them_all(tmp_path):
    target = tmp_path / "out.csv"
    stopped(target, stop=4)
    before = names(tmp_path)
    now = changed(task="fill-mask", input=[])
    with pytest.raises(TableError, match=r"4 rows .*--restart\)") as error:
        run(target, settings=now)
    assert str(error.value).splitlines()[1:] == [
        "- the input reviews.csv is missing",
        "- task was 'text-classification', and is 'fill-mask' now",
    ]
    assert names(tmp_path) == before
    assert run(target) == [4]


def test_with_more_patience_a_run_goes_on_and_not_with_less(tmp_path):
    target = tmp_path / "out.csv"
    stopped(target, stop=2)
    stopped(target, stop=4, settings=changed(on_error="null", strict=False))
    with pytest.raises(TableError, match="on_error was 'null', and is 'stop' now"):
        run(target)


def test_a_new_beginning_is_one_with_all_parts(tmp_path):
    target = tmp_path / "out.csv"
    stopped(target, stop=4)
    assert run(target, settings=changed(task="other"), restart=True) == [0, 2, 4]
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"input": 3}', b'{"input": [{}]}', b"\xff"]
)
def test_settings_that_cannot_be_read_are_an_error_and_parts_stay(tmp_path, content):
    target, beside = tmp_path / "out.csv", tmp_path / "out.csv.unfinished"
    stopped(target, stop=4)
    (beside / "run.json").write_bytes(content)
    with pytest.raises(TableError, match="--restart"):
        run(target)
    assert names(beside / "parts") == PARTS[:2]
    assert run(target, restart=True) == [0, 2, 4]


def test_parts_of_an_unknown_run_are_an_error_and_stay(tmp_path):
    target, beside = tmp_path / "out.csv", tmp_path / "out.csv.unfinished"
    stopped(target, stop=4)
    (beside / "run.json").unlink()
    with pytest.raises(TableError, match=r"does not say.*--restart"):
        run(target)
    assert names(beside / "parts") == PARTS[:2]


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


# Folders


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


# Two at once


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
