"""A command that writes a table is stopped: what is said, and how it goes on."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import assert_refused, run

from minidistil import progress
from minidistil.cli import main
from minidistil.tables import annotating, writing

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and a shell")
ROWS = 32  # of a part, in place of thousands

# The command as a program, whose parts are small.
PROGRAM = f"""
import sys
from minidistil.cli import main
from minidistil.tables import annotating
annotating.ROWS = {ROWS}
main(["classify", "--model", "tiny", *sys.argv[1:]])
"""


def write_rows(path, count):
    """Texts, no two alike, as CSV, JSON lines or Parquet."""
    texts = [f"A film number {place}, good or bad" for place in range(count)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"id": range(count), "text": texts}), path)
    elif path.suffix == ".jsonl":
        rows = [{"id": place, "text": text} for place, text in enumerate(texts)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [f'{place},"{text}"\n' for place, text in enumerate(texts)]
        path.write_text("".join(["id,text\n", *lines]))
    return path


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(annotating, "ROWS", ROWS)


def classify(source, target, *more):
    return run("classify", "-m", "tiny", "-f", source, "-o", target, *more)


def start(*arguments, **options):
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for_parts(program, target, count):
    """Wait until a program has done so many parts, of those it has to do."""
    parts = Path(f"{target}.unfinished/parts")
    until = time.monotonic() + 120
    while not parts.is_dir() or len([*parts.glob("rows-*")]) < count:
        assert program.poll() is None, program.communicate()
        assert time.monotonic() < until
        time.sleep(0.005)


def stop(source, target, sign):
    """Start a run, and stop it when some parts are done: its status and its errors."""
    with start("-f", source, "-o", target) as program:
        wait_for_parts(program, target, 3)
        program.send_signal(sign)
        printed, errors = program.communicate(timeout=120)
    assert printed == ""
    assert not target.exists()
    return program.returncode, errors


@posix
@pytest.mark.sample(1)
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_run_that_was_killed_goes_on_to_the_same_file(tmp_path, small_parts, form):
    source = write_rows(tmp_path / f"in.{form}", 1_000)
    whole, target = tmp_path / f"whole.{form}", tmp_path / f"out.{form}"
    status, errors = stop(source, target, signal.SIGKILL)
    assert (status, errors) == (-signal.SIGKILL, "")
    result = classify(source, target)
    assert result.exit_code == 0, result.output
    said = result.stdout.removeprefix(f"{target}: 1000 rows, ")
    done = int(said.removesuffix(" done before\n"))
    assert 3 * ROWS <= done < 1_000
    assert classify(source, whole).stdout == f"{whole}: 1000 rows\n"
    if form == "parquet":
        assert pq.read_table(target).equals(pq.read_table(whole))
    else:
        assert target.read_bytes() == whole.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {
        *(source.name, whole.name, target.name)
    }


@posix
def test_an_interrupt_says_what_is_done_and_ends_as_ever(tmp_path, small_parts):
    source, target = write_rows(tmp_path / "in.csv", 1_000), tmp_path / "out.csv"
    status, errors = stop(source, target, signal.SIGINT)
    assert status == 1
    first, *_, last = errors.strip().splitlines()
    assert last == "Aborted!"
    done = int(first.split(" ", 1)[0])
    assert first == (
        f"{done} rows are done, in {target}.unfinished; the same command goes on"
    )
    assert done % ROWS == 0
    # It may come when a part is written already, and not yet reported.
    assert classify(source, target).stdout in [
        f"{target}: 1000 rows, {before} done before\n" for before in (done, done + ROWS)
    ]


def test_an_error_says_what_is_done_and_what_goes_on(tmp_path, small_parts):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": f"good {place}"} for place in range(120)]
    rows[80]["text"] = 7
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = classify(source, target)
    assert_refused(result, f"{source}, row 81", "is 7")
    said = f"64 rows are done, in {target}.unfinished; the same command goes on"
    assert said in result.stderr.splitlines()
    assert said in classify(source, target).stderr.splitlines()  # it stops there again


def test_a_full_disk_says_what_is_done(tmp_path, small_parts, monkeypatch):
    source, target = write_rows(tmp_path / "in.csv", 160), tmp_path / "out.csv"
    write, parts = writing._Delimited.part, []

    def part(*arguments, **rows):
        parts.append(rows)
        if len(parts) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*arguments, **rows)

    with monkeypatch.context() as full:
        full.setattr(writing._Delimited, "part", part)
        result = classify(source, target)
    assert_refused(result, "No space left on device", "96 rows are done")
    assert classify(source, target).stdout == f"{target}: 160 rows, 96 done before\n"


def test_where_nothing_is_done_nothing_is_said_of_it(tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": 7}\n')
    result = classify(source, target)
    assert_refused(result, "row 1")
    assert "are done" not in result.stderr


def half_done(tmp_path):
    """A run that was stopped by its third part."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": f"good {place}"} for place in range(120)]
    good = "".join(json.dumps(row) + "\n" for row in rows)
    rows[80]["text"] = 7
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert classify(source, target).exit_code == 1
    return source, target, good


def test_other_options_on_what_is_half_done_are_an_error(tmp_path, small_parts):
    source, target, _ = half_done(tmp_path)
    result = classify(source, target, "-k", "2")
    assert_refused(result, "top_k", "--restart")
    assert "goes on" not in result.stderr


def test_restart_begins_anew(tmp_path, small_parts):
    source, target, good = half_done(tmp_path)
    source.write_text(good)
    assert_refused(classify(source, target), "--restart")  # another input
    result = classify(source, target, "--restart")
    assert result.stdout == f"{target}: 120 rows\n"


def test_of_two_runs_on_one_target_the_second_is_told(tmp_path):
    source, target = write_rows(tmp_path / "in.csv", 1_000), tmp_path / "out.csv"
    with start("-f", source, "-o", target) as program:
        wait_for_parts(program, target, 1)
        result = classify(source, target)
        program.kill()
    assert_refused(result, str(target))
    assert "goes on" not in result.stderr


# Pipes, threads


@posix
@pytest.mark.sample(1)
@pytest.mark.parametrize("more", [["-o", "-"], ["--json"]], ids=" ".join)
def test_nobody_need_read_json_lines_to_the_end(tmp_path, more):
    source = write_rows(tmp_path / "in.csv", 1_000)
    line = '{ "$@"; echo "status $?" >&2; } | head -1'
    script = ["sh", "-c", line, "sh", sys.executable, "-c", PROGRAM]
    given = [*script, "-f", str(source), *more]
    done = subprocess.run(given, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout)["text"] == "A film number 0, good or bad"
    assert done.stderr == "status 1\n"


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no full device")
def test_json_lines_on_a_full_disk_are_one_error(tmp_path):
    source = write_rows(tmp_path / "in.csv", 40)
    with (
        Path("/dev/full").open("wb") as full,
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "-f", str(source), "-o", "-"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        ) as program,
    ):
        _, errors = program.communicate(timeout=120)
    assert program.returncode == 1
    (line,) = errors.splitlines()
    assert "No space left on device" in line
    assert "standard output" in line


def test_without_standard_output_json_lines_are_an_error(tmp_path, monkeypatch, capsys):
    source = write_rows(tmp_path / "in.csv", 4)
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(SystemExit) as end:
        main(["classify", "-m", "tiny", "-f", str(source), "-o", "-"])
    assert end.value.code == 2
    assert "no standard output" in capsys.readouterr().err


def test_commands_in_threads_write_their_tables(tmp_path, small_parts):
    source = write_rows(tmp_path / "in.csv", 60)
    targets = [tmp_path / f"{place}.csv" for place in range(4)]

    def work(target):
        given = ["classify", "-m", "tiny", "-f", str(source), "-o", str(target)]
        main.main(given, standalone_mode=False)

    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(work, targets)] == [None] * 4
    contents = {target.read_bytes() for target in targets}
    assert len(contents) == 1
    assert len(contents.pop().splitlines()) == 61


# The bar


@pytest.fixture
def terminal(monkeypatch):
    """All streams are a terminal, and what takes a moment has a bar."""
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda self: True, raising=False
    )


@pytest.mark.parametrize("name", ["in.parquet", "in.csv"])
def test_a_bar_counts_rows(tmp_path, small_parts, terminal, name):
    source, target = write_rows(tmp_path / name, 40), tmp_path / "out.csv"
    result = classify(source, target)
    assert result.exit_code == 0, result.output
    total = "/40 " if name == "in.parquet" else " rows"  # of CSV nobody knows it
    assert f"0{total}" in result.stderr
    assert "sequences" not in result.stderr
    assert result.stderr.endswith("\r")  # nothing of it is left on the screen
    assert result.stdout == f"{target}: 40 rows\n"


def test_a_bar_begins_with_the_rows_that_are_done(tmp_path, small_parts, terminal):
    source, target, _ = half_done(tmp_path)
    result = classify(source, target)
    assert "64/120 " in result.stderr


def test_answers_stand_where_the_bar_of_rows_stood(tmp_path, small_parts, terminal):
    source = write_rows(tmp_path / "in.parquet", 40)
    for more in ([], ["--json"], ["-o", "-"]):
        given = ["classify", "-m", "tiny", "-f", source, *more]
        with pytest.MonkeyPatch.context() as elsewhere:
            elsewhere.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: 0)
            expected = run(*given).stdout
        result = run(*given)
        assert "/40 " in result.stderr
        lines = [each.rsplit("\r", 1)[-1] for each in result.output.split("\n")]
        assert "\n".join(lines) == expected


def test_no_bar_of_rows_is_shown_where_nobody_looks(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    source = write_rows(tmp_path / "in.csv", 4)
    assert classify(source, tmp_path / "out.csv").stderr == ""


def test_within_a_bar_of_rows_nobody_counts_sequences(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with (
        progress.counting_sequences("reading"),
        progress.counting_rows("rows", 10, 4) as count,
    ):
        time.sleep(0.2)  # a bar is not drawn anew for every step
        progress.sequences_read(777)
        count(3)
    shown = capsys.readouterr().err
    assert "7/10 " in shown
    assert "777" not in shown
    with progress.counting_sequences("reading"):
        with progress.counting_rows("rows", None):
            pass
        time.sleep(0.2)
        progress.sequences_read(5)
    assert "reading: 5 sequences" in capsys.readouterr().err
