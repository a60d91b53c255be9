"""Whatever happens to a run, at any operation on files, the next one goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "helpers" / "stopped.py"
CASES = [
    "out.jsonl, none",
    "out.jsonl.gz, file",
    "out.csv, file",
    "out.csv, half",
    "out.csv.gz, none",
    "out.parquet, none",
    "out.parquet, file",
    "out/, none",
    "out/, empty",
    "out/, parts",
]
SIGKILL = -9
each_case = pytest.mark.parametrize("case", CASES)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither fork nor SIGKILL"
)


def run(folder, every, *cases):
    """Try the faults, each ``every``-th of them, and write a report."""
    command = [sys.executable, PROGRAM, folder / "tables", folder / "report", every]
    done = subprocess.run(
        [*map(str, command), *cases], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "report").read_text())


@pytest.fixture(scope="module")
def report(made_once):
    """Some of all faults: with 41, a prime, each moment meets each operation."""
    folder = made_once("stopped_annotations", lambda folder: run(folder, 41))
    return json.loads((folder / "report").read_text())


def target(case, contents):
    """What is at the target, or in it; not what is beside it."""
    name = case.partition(",")[0].rstrip("/")
    return {
        path: digest
        for path, digest in contents.items()
        if path == name or path.startswith(f"{name}/")
    }


# What must hold after each fault; each returns the faults after which it does not.


def neither_old_nor_new(case, found):
    wrong = []
    for fault, tried in found["tried"].items():
        there = target(case, tried["between"])
        # A folder cannot take the place of another in one step: it makes room first.
        made_room = "out.unfinished/old" in tried["between"] and there == {}
        old = target(case, found["old"])
        if there not in (old, found["new"]) and not made_room:
            wrong.append(fault)
    return wrong


def another_result(case, found):
    wrong = []
    for fault, tried in found["tried"].items():
        there = target(case, tried["after"])
        if there != found["new"]:
            wrong.append((fault, tried["second"]))
    return wrong


def something_left(case, found):
    return [
        (fault, tried["after"])
        for fault, tried in found["tried"].items()
        if tried["after"] != target(case, tried["after"])
    ]


def computed_twice(case, found):
    wrong = []
    for fault, tried in found["tried"].items():
        first, second = tried["first"]["computed"], tried["second"]["computed"]
        if tried["begun"] and not {*second}.isdisjoint(first[:-1]):
            wrong.append((fault, first, second))
    return wrong


def another_name_in_an_error(case, found):
    name = case.partition(",")[0].rstrip("/")
    refused = {
        fault: tried["first"]["refused"]
        for fault, tried in found["tried"].items()
        if "refused" in tried["first"]
    }
    return [each for each in refused.items() if Path(each[1][0]).name != name]


def another_end(case, found):
    """Of the first run: killed, an OSError, or a result that is there."""
    wrong = []
    for fault, tried in found["tried"].items():
        status = tried["first"]["status"]
        if fault.split()[0] not in ("full", "broken"):
            fits = status == SIGKILL
        else:
            there = target(case, tried["between"]) == found["new"]
            fits = status == (0 if there else 1)
        if not fits:
            wrong.append((fault, tried["first"]))
    return wrong


CHECKS = [
    neither_old_nor_new,
    another_result,
    something_left,
    computed_twice,
    another_name_in_an_error,
    another_end,
]


# The default suite: some of the faults


@each_case
def test_without_a_fault_all_parts_are_computed_and_only_the_target_is_there(
    report, case
):
    found = report[case]
    assert found["undisturbed"]["status"] == 0
    assert found["undisturbed"]["computed"] == [*range(6)]
    assert found["undisturbed"]["warned"] == []
    assert found["new"] == target(case, found["new"])
    assert found["new"] != target(case, found["old"])


@each_case
def test_every_kind_of_operation_is_counted(report, case):
    kinds = {"open", "write", "fsync", "replace", "rename", "unlink", "mkdir", "rmdir"}
    assert kinds <= {*report[case]["undisturbed"]["operations"]}


@each_case
def test_after_a_fault_the_target_is_the_old_one_or_the_new_one(report, case):
    assert neither_old_nor_new(case, report[case]) == []


@each_case
def test_the_same_call_goes_on_to_the_same_result(report, case):
    assert another_result(case, report[case]) == []


@each_case
def test_nothing_is_left_beside_the_target(report, case):
    assert something_left(case, report[case]) == []


@each_case
def test_no_part_is_computed_twice_but_the_one_in_flight(report, case):
    assert computed_twice(case, report[case]) == []


@each_case
def test_an_error_of_the_system_names_the_target(report, case):
    assert another_name_in_an_error(case, report[case]) == []


@each_case
def test_a_run_that_cannot_end_well_is_an_error(report, case):
    assert another_end(case, report[case]) == []


# The full run: all of them


@pytest.mark.full
@each_case
def test_a_fault_at_any_operation_changes_nothing_in_the_end(tmp_path, case):
    (found,) = run(tmp_path, 1, case).values()
    assert len(found["tried"]) > 5 * len(found["undisturbed"]["operations"])
    assert {check.__name__: check(case, found) for check in CHECKS} == {
        check.__name__: [] for check in CHECKS
    }
