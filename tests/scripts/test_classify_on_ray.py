"""The script for Ray: alone, and on a real, local Ray whose processes are killed.

The real one is a program of its own: it needs sockets, which tests do not have.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from programs import SCRIPTS, run_script

from minidistil import pipeline

ray_data = pytest.importorskip("ray.data")

SCRIPT = "classify_on_ray.py"
# Pipelines sort this many texts at a time: with pieces of as many rows, the batches of
# the model are those of one process, and so is every bit of the scores.
SIZE = 1024
WORDS = ["a", "fine", "film", "dull", "and", "far", "too", "long", "I", "enjoyed", "it"]
PATIENCE = 60  # seconds


def make_table(count: int) -> pa.Table:
    """Rows with a text that is their own, and columns that are not read."""
    some = random.Random(0)
    texts = [" ".join(some.choices(WORDS, k=some.randint(1, 6))) for _ in range(count)]
    kinds = pa.array([some.choice("xyz") for _ in texts]).dictionary_encode()
    return pa.table({"id": range(count), "text": texts, "kind": kinds})


def answered(table: pa.Table) -> pa.Table:
    """What one process makes of a table, with the pipeline on a list."""
    answers = pipeline("text-classification", "tiny")(table["text"].to_pylist())
    for name in ("label", "score"):
        table = table.append_column(name, pa.array([each[name] for each in answers]))
    return table


def write_files(folder: Path, table: pa.Table, *sizes: int, group: int = 700) -> Path:
    """Write a table as files with so many rows, and one with the rest."""
    folder.mkdir()
    ends = [*itertools.accumulate(sizes), len(table)]
    for start, end in itertools.pairwise([0, *ends]):
        pq.write_table(table[start:end], folder / f"{start:06}.parquet", group)
    return folder


def parts(target: Path) -> dict[str, tuple[int, int]]:
    """The parts of a target: which file each is, and when it was written."""
    found = sorted(target.glob("rows-*.parquet"))
    return {each.name: (each.stat().st_ino, each.stat().st_mtime_ns) for each in found}


# Alone


class InThisProcess:
    """What the script takes of Ray Data, without Ray; ``most`` pieces are computed."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most

    def from_items(self, items: list[Any], **_: Any) -> InThisProcess:
        self.items = items[: self.most]
        return self

    def map(self, kind: Any, *, fn_constructor_args: Any, **_: Any) -> InThisProcess:
        self.actor = kind(*fn_constructor_args)
        return self

    def iter_rows(self) -> Iterator[Any]:
        yield from map(self.actor, self.items)
        if self.most is not None:
            raise KeyboardInterrupt


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(*arguments: object, most: int | None = None) -> Any:
        stand_in = InThisProcess(most)
        monkeypatch.setattr(ray_data, "from_items", stand_in.from_items)
        return run_script(SCRIPT, "--batch-size", 100, *arguments)

    return run


@pytest.fixture
def half_done(run: Callable[..., Any], tmp_path: Path) -> tuple[Path, Path]:
    """A table of 300 rows, and a target that has the first 100 of them."""
    source = write_files(tmp_path / "source", make_table(300))
    target = tmp_path / "target"
    run(source, target, most=1)
    assert [*parts(target)] == ["rows-000000000000.parquet"]
    return source, target


def test_the_script_is_short() -> None:
    assert len((SCRIPTS / SCRIPT).read_text("utf-8").splitlines()) < 100


def test_the_rows_come_out_as_they_were_and_in_order(run, tmp_path: Path) -> None:
    table = make_table(1150)
    source = write_files(tmp_path / "source", table, 30, 0, 333, 500, group=70)
    assert run(source, tmp_path / "target").exit_code == 0
    assert len(parts(tmp_path / "target")) == 12
    found = pq.read_table(tmp_path / "target")
    assert found.select(table.column_names).cast(table.schema).equals(table)
    assert found["label"] == answered(table)["label"]


def test_a_text_that_is_empty_or_null_is_answered_with_null(run, tmp_path) -> None:
    table = pa.table({"text": ["Dull.", "", None, " ", "A fine film."]})
    source = write_files(tmp_path / "source", table)
    result = run(source, tmp_path / "target")
    assert "3 were empty" in result.output
    found = pq.read_table(tmp_path / "target")
    assert found["label"].to_pylist() == ["NEGATIVE", None, None, None, "POSITIVE"]


def test_what_is_done_is_not_done_again(run, half_done) -> None:
    source, target = half_done
    before = parts(target)
    result = run(source, target)
    assert "300 rows, 3 files, 2 missing" in result.output
    assert len(parts(target)) == 3
    assert before.items() <= parts(target).items()
    assert pq.read_table(target)["id"].to_pylist() == [*range(300)]


def test_a_part_that_lost_its_bytes_is_done_again(run, half_done) -> None:
    source, target = half_done
    (target / "rows-000000000000.parquet").write_bytes(b"")  # a power cut can do this
    assert "3 missing" in run(source, target).output
    assert pq.read_table(target)["id"].to_pylist() == [*range(300)]


def test_a_part_is_there_whole_or_not_at_all(run, half_done, monkeypatch) -> None:
    import fsspec.implementations.local

    def half(self: Any, path: str, content: bytes) -> None:
        Path(path).write_bytes(content[: len(content) // 2])
        raise OSError(28, "No space left on device", path)

    source, target = half_done
    with monkeypatch.context() as patch:
        local = fsspec.implementations.local.LocalFileSystem
        patch.setattr(local, "pipe_file", half)
        assert run(source, target).exit_code == 1
    assert len(parts(target)) == 1
    assert run(source, target).exit_code == 0
    assert pq.read_table(target)["id"].to_pylist() == [*range(300)]


def test_the_end_is_marked(run, half_done) -> None:
    source, target = half_done
    assert not (target / "_SUCCESS").exists()
    run(source, target)
    assert (target / "_SUCCESS").exists()


@pytest.mark.parametrize(
    ("option", "value", "shown"),
    [
        ("--model", "elsewhere", "model was 'tiny', and is 'elsewhere' now"),
        ("--precision", "bfloat16", "precision was 'float32', and is 'bfloat16' now"),
        ("--column", "kind", "column was 'text', and is 'kind' now"),
        ("--batch-size", "99", "rows was 100, and is 99 now"),
    ],
)
def test_to_go_on_with_other_options_is_refused(
    run, half_done, option: str, value: str, shown: str
) -> None:
    before = parts(half_done[1])
    result = run(*half_done, option, value)
    assert result.exit_code == 1
    assert shown in result.stderr
    assert "--restart" in result.stderr
    assert parts(half_done[1]) == before


def test_to_go_on_with_other_input_is_refused(run, half_done) -> None:
    source, target = half_done
    pq.write_table(make_table(299), source / "000000.parquet")
    result = run(source, target)
    assert result.exit_code == 1
    assert "000000.parquet was another" in result.stderr


def test_restart_begins_anew(run, half_done) -> None:
    result = run(*half_done, "--restart", "--column", "kind")
    assert "3 files, 3 missing" in result.output
    assert result.exit_code == 0


@pytest.mark.parametrize("option", [[], ["--restart"]])
def test_a_folder_of_other_files_is_left_alone(run, tmp_path: Path, option) -> None:
    source = write_files(tmp_path / "source", make_table(100))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    result = run(source, tmp_path / "mine", *option)
    assert result.exit_code == 1
    assert "name a new folder" in result.stderr
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_a_column_that_is_not_there_is_told_before_anything_begins(run, tmp_path):
    source = write_files(tmp_path / "source", make_table(100))
    result = run(source, tmp_path / "target", "--column", "review")
    assert result.exit_code == 1
    assert "'id', 'text', 'kind'" in result.stderr
    assert not (tmp_path / "target").exists()


def test_a_table_in_another_format_is_refused(run, tmp_path):
    (tmp_path / "reviews.csv").write_text("text\nDull.\n")
    result = run(tmp_path / "reviews.csv", tmp_path / "target")
    assert result.exit_code == 1
    assert "is csv, expected Parquet" in result.stderr
    assert not (tmp_path / "target").exists()


# On Ray


class Driver:
    """The script as a program, with a Ray of its own on this machine."""

    def __init__(self, folder: Path, source: Path, target: Path) -> None:
        own = {
            "HOME": str(folder),
            "RAY_TMPDIR": str(folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }
        others = {key: each for key, each in os.environ.items() if "RAY" not in key}
        command = [sys.executable, str(SCRIPTS / SCRIPT), str(source), str(target)]
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = psutil.Popen(
                [*command, "--batch-size", str(SIZE), "--actors", "2"],
                env=others | own,
                stdout=log,
                stderr=log,
            )

    def family(self) -> list[psutil.Process]:
        """All processes that Ray has started."""
        return list(self.process.children(recursive=True))

    def actors(self) -> set[psutil.Process]:
        """The processes that compute."""
        found = set()
        for each in self.family():
            with suppress(psutil.Error, IndexError):  # those that have just ended
                if "MapWorker" in each.cmdline()[0]:
                    found.add(each)
        return found

    def wait_for(self, what: Callable[[], Any]) -> None:
        end = time.monotonic() + PATIENCE
        while not what():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.05)

    def end(self) -> None:
        """Kill the driver; Ray then ends the actors, and leaves some of its own."""
        if not self.process.is_running():
            return
        family, actors = self.family(), self.actors()
        self.process.kill()
        self.process.wait()
        psutil.wait_procs(actors, timeout=PATIENCE)
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    # Not in tmp_path: the names of sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    started: list[Driver] = []

    def start(source: Path, target: Path) -> Driver:
        started.append(Driver(folder, source, target))
        return started[-1]

    yield start
    for each in started:
        each.end()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.full
def test_an_actor_that_is_killed_changes_no_answer(start, tmp_path: Path) -> None:
    table = make_table(8 * SIZE + 100)
    source = write_files(tmp_path / "source", table, 3 * SIZE)
    target = tmp_path / "target"
    driver = start(source, target)
    driver.wait_for(lambda: parts(target))
    before = driver.actors()
    assert len(before) == 2
    next(iter(before)).send_signal(signal.SIGKILL)
    assert len(parts(target)) < 7  # in mid-run
    driver.wait_for(lambda: driver.actors() - before)
    assert driver.process.wait(PATIENCE) == 0, driver.log.read_text()
    assert pq.read_table(target).equals(answered(table))


@pytest.mark.full
def test_when_the_driver_is_killed_the_same_command_goes_on(start, tmp_path) -> None:
    table = make_table(6 * SIZE)
    source = write_files(tmp_path / "source", table)
    target = tmp_path / "target"
    driver = start(source, target)
    driver.wait_for(lambda: len(parts(target)) >= 2)
    driver.end()
    done = parts(target)
    assert len(done) < 6
    driver = start(source, target)
    assert driver.process.wait(PATIENCE) == 0, driver.log.read_text()
    assert f"{6 - len(done)} missing" in driver.log.read_text()
    assert done.items() <= parts(target).items()
    assert pq.read_table(target).equals(answered(table))
