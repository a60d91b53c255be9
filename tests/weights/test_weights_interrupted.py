"""A conversion that is killed, runs out of disk, or is not alone, harms nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import write_checkpoint

PROGRAM = Path(__file__).parents[1] / "helpers" / "interrupted.py"
POINTS = (
    "before the weights are written",
    "while the weights are written",
    "after the weights are written",
    "at the first fsync",
    "at the last fsync",
    "before the first rename",
    "between the renames",
    "after the last rename",
)

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has neither fork nor SIGKILL"
)


@pytest.fixture(scope="module")
def report(made_once):
    def make(folder):
        source = write_checkpoint(folder / "source")
        command = [PROGRAM, source, folder / "target", folder / "report"]
        run = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, timeout=300
        )
        assert run.returncode == 0, run.stderr

    folder = made_once("interrupted_conversion", make)
    return json.loads((folder / "report").read_text())


def each_is_old_or_new(found, report):
    return all(digest in (report["old"][n], report["new"][n]) for n, digest in found)


@pytest.mark.parametrize("start", ["old", "none"])
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_conversion_leaves_each_file_old_or_new_or_none(report, point, start):
    status, found, sound = report[f"killed {point}, {start}"]
    assert status == -9
    assert each_is_old_or_new(found.items(), report)
    assert sound
    if start == "old":
        assert found.keys() == report["old"].keys()


@pytest.mark.parametrize("point", POINTS[:6])
def test_before_the_first_rename_the_weights_are_the_old_ones(report, point):
    name = "model.safetensors"
    assert report[f"killed {point}, old"][1] == report["old"]
    assert name not in report[f"killed {point}, none"][1]


def test_between_the_renames_the_weights_are_new_and_the_config_is_old(report):
    found = report["killed between the renames, old"][1]
    assert found["model.safetensors"] == report["new"]["model.safetensors"]
    assert found["config.json"] == report["old"]["config.json"]


def test_after_the_last_rename_all_is_new(report):
    assert report["killed after the last rename, old"][1] == report["new"]


def test_killed_at_any_moment_it_leaves_a_checkpoint_that_loads(report):
    for status, found, sound in report["random"]:
        assert status == -9
        assert each_is_old_or_new(found.items(), report)
        assert sound


@pytest.mark.parametrize("place", ["at once", "in the config", "in the weights"])
def test_a_full_disk_is_an_os_error_and_leaves_the_old_files_alone(report, place):
    status, found, left = report[f"full {place}"]
    assert status == 0  # the program expects an OSError, and ends with 3 without one
    assert found == report["old"]
    assert left == sorted(report["old"])  # and nothing half-written beside them


@pytest.mark.parametrize("number", [1, 2, 3])
def test_killed_it_leaves_no_weights_with_the_vocabulary_of_others(report, number):
    status, found = report[f"other vocabulary, rename {number}"]
    assert status == -9
    assert "config.json" not in found  # so that nothing loads it


def test_a_full_disk_leaves_another_vocabulary_as_it_was(report):
    status, found = report["other vocabulary, full"]
    assert status == 0
    assert found == report["other"]


def test_processes_that_convert_the_same_do_not_harm_each_other(report):
    statuses, found, meanwhile, left = report["together"]
    assert statuses == [0, 0, 0]
    assert found == report["new"]
    assert meanwhile == [True] * 20  # what a reader saw in the meantime
    assert left == sorted(report["new"])
