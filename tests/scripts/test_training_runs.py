"""`scripts/benchmark/training_runs.py`, with tiny models and few steps."""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from programs import SCRIPTS

from minidistil import DistilBertTokenizer

FOLDER = SCRIPTS / "benchmark"
ROWS = 4 * 8


@pytest.fixture(scope="module")
def parts():
    """The modules, by what they are."""
    before = {*sys.modules}
    sys.path.insert(0, str(FOLDER))
    try:
        names = {"runs": "training_runs", "child": "training_child"}
        names |= {"tables": "training_tables", "contestant": "contestant"}
        yield SimpleNamespace(
            **{role: importlib.import_module(name) for role, name in names.items()}
        )
    finally:
        sys.path.remove(str(FOLDER))
        for name in {path.stem for path in FOLDER.glob("*.py")} - before:
            sys.modules.pop(name, None)


@pytest.fixture
def job(parts, tmp_path):
    """Four steps of eight rows, the first of which is not timed."""
    parts.contestant.write_checkpoint(tmp_path / "model", **parts.runs.TINY)
    rows = parts.runs.write_rows(tmp_path / "rows.tsv", None, ROWS)
    return parts.child.Job(
        *("minidistil", str(tmp_path / "model"), str(rows), str(tmp_path / "result")),
        steps=4,
        warm_up=1,
        batch_size=8,
        precision="float32",
        device="cpu",
        threads=torch.get_num_threads(),
    )


def lengths(path):
    texts = [line.split("\t")[0] for line in path.read_text("utf-8").splitlines()[1:]]
    tokenizer = DistilBertTokenizer.from_pretrained("tiny")
    return np.array([*map(len, tokenizer(texts)["input_ids"])])


def test_drawn_rows_are_as_long_as_those_of_sst2(parts, tmp_path):
    found = lengths(parts.runs.write_rows(tmp_path / "rows.tsv", None, 2_000))
    # Of its 67,349 training rows, counted with the bundled vocabulary.
    assert found.mean() == pytest.approx(13.32, abs=0.2)
    shares = np.quantile(found, [0.05, 0.25, 0.5, 0.75, 0.9, 0.99])
    assert shares == pytest.approx([4, 6, 10, 18, 27, 44], abs=1)
    again = parts.runs.write_rows(tmp_path / "again.tsv", None, 2_000)
    assert again.read_bytes() == (tmp_path / "rows.tsv").read_bytes()


def test_a_table_gives_its_first_rows_or_says_that_it_has_too_few(parts, tmp_path):
    table = tmp_path / "train.tsv"
    table.write_text("sentence\tlabel\none\t0\ntwo\t1\nthree\t1\n", encoding="utf-8")
    found = parts.runs.write_rows(tmp_path / "rows.tsv", table, 2)
    assert found.read_text("utf-8") == "sentence\tlabel\none\t0\ntwo\t1\n"
    with pytest.raises(click.UsageError, match="has 3 rows, expected 4 for all steps"):
        parts.runs.write_rows(tmp_path / "rows.tsv", table, 4)


def test_the_clock_runs_after_the_warm_up_alone(parts, monkeypatch):
    clock = parts.child.Clock(parts.contestant.Place("cpu", 1), warm_up=2, steps=5)
    for step in range(1, 6):
        monkeypatch.setattr(parts.child.time, "perf_counter", lambda at=step: at)
        clock.done(step)
    monkeypatch.undo()
    assert clock.times == [2, 5]


def test_ours_counts_the_tokens_of_the_timed_steps(parts, job):
    found = parts.child.measure(job)
    assert found["all_tokens"] == lengths(Path(job.rows)).sum()
    assert 0 < found["tokens"] < found["all_tokens"]
    assert found["seconds"] > 0 < found["before"]


@pytest.mark.full
@pytest.mark.parametrize("who", ["Trainer", "Trainer, by length"])
def test_trainer_learns_from_the_same_rows_in_as_many_steps(parts, job, who):
    pytest.importorskip("accelerate")
    found = parts.child.measure(replace(job, who=who))
    assert found["all_tokens"] == lengths(Path(job.rows)).sum()
    assert 0 < found["tokens"] < found["all_tokens"]
    assert found["loss"] == pytest.approx(0.69, abs=0.2)


def figures(tokens, seconds, peak, every=100):
    names = ("seconds", "worked", "tokens", "all_tokens", "before", "card", "peak")
    values = (seconds, seconds, tokens, every, 1e6, 0, peak)
    return dict(zip(names, values, strict=True))


def test_who_learns_from_other_tokens_is_no_comparison(
    parts, job, tmp_path, monkeypatch
):
    found = {name: [figures(90, 1.0, 1e6)] for name in parts.runs.CONTESTANTS}
    monkeypatch.setattr(parts.runs, "in_turns", lambda *_: found)
    call = (tmp_path, job, None, None, parts.runs.TINY, 1)
    assert parts.runs.speed(*call)["contestants"] == found
    found["Trainer"] = [figures(90, 1.0, 1e6, every=101)]
    with pytest.raises(click.ClickException, match="from the same tokens"):
        parts.runs.speed(*call)


def cells(said, name):
    (line,) = [line for line in said.splitlines() if line.startswith(f"| {name} |")]
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_ratios_are_those_within_the_rounds(parts):
    about = {"steps": 4, "warm_up": 1, "batch_size": 8, "precision": "float32"}
    about |= {"device": "cpu", "threads": 1}
    found = {
        # The second round, and only it, met a machine that was half as fast.
        "minidistil": [figures(90, 1, 2e6), figures(90, 2, 2e6), figures(90, 1, 2e6)],
        "Trainer": [figures(90, 3, 4e6), figures(90, 6, 4e6), figures(90, 3, 4e6)],
    }
    said = parts.tables.table_of_speed({"job": about, "contestants": found})
    assert cells(said, "Trainer")[1:6] == ["30", "3.00", "3.00", "4", "1"]
    assert cells(said, "Trainer")[6] == "0.50"
    # 90 tokens a second; three epochs of 108,000 take an hour.
    said = parts.tables.table_of_distil({"job": about, "contestants": found}, 108_000)
    assert cells(said, "minidistil")[1:3] == ["90", "1"]


@pytest.mark.full
def test_a_rehearsal_writes_what_it_measured(parts, tmp_path):
    pytest.importorskip("accelerate")
    arguments = ["--quick", "--threads", "1", "--output", str(tmp_path)]
    result = CliRunner().invoke(parts.runs.main, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (tmp_path / "training.md").read_text("utf-8")
    found = json.loads((tmp_path / "training.json").read_text("utf-8"))
    assert [*found["speed"]["contestants"]] == [*parts.runs.CONTESTANTS]
    assert len(found["distil"]["contestants"]) == 2
    for part in ("speed", "distil"):
        for rounds in found[part]["contestants"].values():
            (each,) = rounds
            assert 0 < each["before"] <= each["peak"]
            assert 0 < each["tokens"] < each["all_tokens"]


def test_a_device_that_is_not_there_is_one_clear_error(parts):
    for device in ("gpu", "cuda:1"):
        result = CliRunner().invoke(parts.runs.main, ["--device", device])
        assert result.exit_code == 2
        assert f"--device is {device!r}" in result.stderr
