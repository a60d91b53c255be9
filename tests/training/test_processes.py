"""Several processes learn what one would have learnt; see `training_in_two`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import training_in_two
from lessons import HEADS
from training_in_two import KINDS, TEXTS
from trainings import log_of, other_weights, saved

from minidistil.training.processes import Processes

SAME = [kind for kind in KINDS if kind != "many passes"]


@pytest.fixture(scope="module")
def folder(made_once):
    def make(folder):
        program = Path(training_in_two.__file__)
        subprocess.run(
            [sys.executable, program, folder, folder / "report.json"], check=True
        )

    return made_once("training_in_two", make)


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "report.json").read_text())


def agree(found):
    """What all processes say, which is the same."""
    assert [each["status"] for each in found] == [0] * len(found)
    first, *others = [each["result"] for each in found]
    assert all(each == first for each in others)
    return first


@pytest.mark.parametrize("kind", SAME)
def test_two_processes_learn_the_same_as_one_to_the_last_bit(report, folder, kind):
    assert other_weights(folder / f"{kind} in 2", folder / f"{kind} in 1") == []
    assert agree(report[kind]["both"]) == report[kind]["alone"]


@pytest.mark.parametrize("kind", SAME)
def test_two_processes_write_the_same_log_as_one(report, folder, kind):
    assert log_of(folder / f"{kind} in 2") == log_of(folder / f"{kind} in 1")


@pytest.mark.parametrize("name", ["many passes in 2", "three"])
def test_more_passes_are_the_same_up_to_rounding(report, folder, name):
    found, wanted = saved(folder / name), saved(folder / "many passes in 1")
    start = saved(folder / f"start {TEXTS}")
    assert max((wanted[x] - start[x]).abs().max() for x in wanted) > 1e-3
    for each, right in wanted.items():
        torch.testing.assert_close(found[each], right, rtol=1e-6, atol=1e-6)
    agree(report["three"])


def test_patience_ends_all_of_them(report):
    found = agree(report["patience"]["both"])
    assert found["state"] == "stopped by patience"
    assert found["steps"] == [15, 18]


@pytest.mark.parametrize("kind", [TEXTS, "distilled"])
def test_a_training_goes_from_one_to_two_and_back(report, folder, kind):
    one, two, last = report[f"{kind} in turn"]
    assert (one["state"], one["steps"]) == ("interrupted", [2, 6])
    assert (agree(two)["state"], agree(two)["steps"]) == ("interrupted", [4, 6])
    assert last == report[kind]["alone"]
    assert other_weights(folder / f"{kind} in turn", folder / f"{kind} in 1") == []
    assert log_of(folder / f"{kind} in turn") == log_of(folder / f"{kind} in 1")


@pytest.mark.parametrize("task", HEADS)
def test_however_many_measure_each_row_is_counted_once(report, task):
    # Sums of fractions are exact: a row too much or too few is another mean.
    assert agree(report[task]["both"])["results"] == report[task]["alone"]["results"]


def test_one_of_them_writes(report):
    first, second = (each["result"] for each in report["writes"])
    assert len(first) > 50
    assert second == []


def test_an_error_of_one_ends_all(report):
    first, second = report["full"]
    assert first["error"][0] == "OSError"
    assert "No space left on device" in first["error"][1]
    assert second["status"] != 0


def test_after_an_error_one_goes_on_as_if_there_had_been_none(report, folder):
    assert other_weights(folder / "full", folder / f"{TEXTS} in 1") == []
    assert log_of(folder / "full") == log_of(folder / f"{TEXTS} in 1")


def test_nobody_waits_in_vain_for_a_first_that_is_late(report, folder):
    assert agree(report["late"]) == report[TEXTS]["alone"]
    assert other_weights(folder / "late", folder / f"{TEXTS} in 1") == []


def test_a_step_that_diverges_in_one_is_an_error_of_all(report):
    errors = [each["error"] for each in report["diverged"]]
    assert errors[0] == errors[1]
    assert errors[0][0] == "DivergedError"
    assert "step 5" in errors[0][1]


def test_when_one_is_asked_to_stop_all_do(report):
    found = agree(report["asked"])
    assert (found["state"], found["steps"]) == ("interrupted", [1, 6])


def test_what_the_first_finds_in_a_folder_is_an_error_of_all(report, folder):
    errors = [each["error"] for each in report["letter"]]
    assert errors[0] == errors[1]
    assert errors[0][0] == "RunError"
    assert "letter.txt" in errors[0][1]
    assert [path.name for path in (folder / "letter").iterdir()] == ["letter.txt"]


def test_a_group_of_the_callers_is_used_and_kept(report):
    found = [each["result"] for each in report["own group"]]
    assert found == [[0, 2, True], [1, 2, True]]


def test_one_process_needs_no_group():
    alone = Processes()
    assert alone.is_first
    assert alone.gathered("a") == ["a"]
    assert alone.by_first(lambda: "b") == "b"
    assert alone.sum(torch.ones(2)).tolist() == [1, 1]


@pytest.mark.full
def test_torchrun_starts_them(folder, report, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, pathlib, training_in_two as two\n"
        "two.FOLDER = pathlib.Path(sys.argv[1])\n"
        "two.run('text-classification', 'torchrun')\n"
    )
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    helpers = str(Path(training_in_two.__file__).parent)
    subprocess.run(
        [*torchrun, "--nproc-per-node=2", program, folder],
        check=True,
        env={**os.environ, "PYTHONPATH": ":".join([helpers, *sys.path])},
    )
    assert other_weights(folder / "torchrun", folder / f"{TEXTS} in 1") == []
