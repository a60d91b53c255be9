"""A training that was stopped, however, ends as if it had not been."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import stopped_training
from checkpoints import draw_lively
from safetensors import safe_open
from trainings import checkpoint, fine_tune, log_of, rows_of, same, saved, stop_after

from minidistil.training import running
from minidistil.training.loop import Training
from minidistil.training.running import STATE, RunError

TASK = "text-classification"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("start"), TASK, draw=draw_lively)


# Killed


@pytest.fixture(scope="module")
def grief(start, made_once, full_run):
    """What has become of a training that comes to grief again and again."""

    def make(folder):
        program = Path(stopped_training.__file__)
        every = "7" if full_run else "200"
        command = [program, start, folder / "result", folder / "report.json", every]
        subprocess.run([sys.executable, *command], check=True)

    folder = made_once("stopped_training", make)
    return json.loads((folder / "report.json").read_text())


@pytest.fixture
def tried(grief):
    assert len(grief["tried"]) > 25
    return grief["tried"]


def test_what_is_interrupted_is_a_training_that_patience_ends(grief):
    """Or the tests below would be about less."""
    values = [
        line["evaluation"]["loss"]
        for line in grief["whole"]["log"]
        if "evaluation" in line
    ]
    assert min(values) == values[2]
    assert len(values) == 5
    assert grief["undisturbed"]["result"]["state"] == "stopped by patience"
    assert grief["undisturbed"]["operations"].count("replace") > 30


def test_whoever_killed_it_all_files_are_as_if_nothing_had_happened(grief, tried):
    failed = {name for name, each in tried.items() if each["second"]["status"]}
    assert failed == set()
    others = {name for name, each in tried.items() if each["after"] != grief["whole"]}
    assert others == set()


def test_whoever_killed_it_the_result_is_the_same(grief, tried):
    wanted = grief["undisturbed"]["result"]
    others = {name for name, x in tried.items() if x["second"]["result"] != wanted}
    assert others == set()


def test_at_most_the_step_whose_state_was_not_saved_is_taken_again(grief, tried):
    for name, each in tried.items():
        first, second = each["first"]["computed"], each["second"]["computed"]
        taken = [*first, *second]
        assert sorted({*taken}) == grief["undisturbed"]["computed"], name
        assert len(taken) <= len({*taken}) + 1, name


def test_what_the_system_refuses_is_one_error_that_names_a_file(tried):
    refused = {
        name: each["first"]["refused"]
        for name, each in tried.items()
        if "refused" in each["first"]
    }
    assert refused
    for name, (path, message) in refused.items():
        assert path is not None, name
        assert Path(path).name[0] != ".", name
        assert path in message, name


# Stopped


@pytest.mark.parametrize("task", ["text-classification", "fill-mask"])
def test_a_training_that_is_stopped_after_any_steps_ends_the_same(
    start, tmp_path, task
):
    if task != TASK:
        start = checkpoint(tmp_path / "start", task, draw=draw_lively)
    fine_tune(start, tmp_path / "whole", task)
    states = []
    for _ in range(10):
        result = fine_tune(start, tmp_path / "parts", task, stop=stop_after(2))
        states.append((result.state, result.steps[0]))
        if result.state == "finished":
            break
    assert states == [("interrupted", 2), ("interrupted", 4), ("finished", 6)]
    assert same(tmp_path / "parts", tmp_path / "whole")


def test_a_training_with_one_step_an_epoch_can_be_stopped(start, tmp_path):
    result = fine_tune(start, tmp_path / "a", batch_size=20, stop=stop_after(1))
    assert (result.state, result.steps) == ("interrupted", (1, 2))


def test_whoever_asks_to_stop_at_the_last_step_gets_what_is_finished(start, tmp_path):
    result = fine_tune(start, tmp_path / "a", stop=stop_after(6))
    assert (result.state, result.steps) == ("finished", (6, 6))


def test_an_error_in_a_step_loses_no_more_than_is_not_saved(
    start, tmp_path, monkeypatch
):
    fine_tune(start, tmp_path / "whole")
    with monkeypatch.context() as patch:
        real = Training._take

        def take(training, number):
            if number == 4:
                raise KeyboardInterrupt
            real(training, number)

        patch.setattr(Training, "_take", take)
        with pytest.raises(KeyboardInterrupt):
            fine_tune(start, tmp_path / "parts")
    taken = []
    real = Training._take
    monkeypatch.setattr(
        Training, "_take", lambda t, number: (taken.append(number), real(t, number))
    )
    fine_tune(start, tmp_path / "parts")
    assert taken == [3, 4, 5]  # an epoch has three, after which the state was saved
    assert same(tmp_path / "parts", tmp_path / "whole")


def test_the_log_has_every_step_once_and_in_order(start, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 0.0)
    for stop in (1, 1, 2, 9):
        fine_tune(start, tmp_path / "a", stop=stop_after(stop))
    steps = [line["step"] for line in log_of(tmp_path / "a") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]
    measured = [x["step"] for x in log_of(tmp_path / "a") if "evaluation" in x]
    assert measured == [3, 6]


def test_lines_of_several_steps_are_the_same_in_two_runs(start, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LINES", 2)
    fine_tune(start, tmp_path / "whole")
    assert [x["step"] for x in log_of(tmp_path / "whole") if "loss" in x] == [3, 6]
    fine_tune(start, tmp_path / "parts", stop=stop_after(2))
    fine_tune(start, tmp_path / "parts", stop=stop_after(2))
    fine_tune(start, tmp_path / "parts")
    assert same(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_between_epochs_a_state_is_saved_by_the_clock(
    start, tmp_path, monkeypatch, seconds
):
    monkeypatch.setattr(running, "SECONDS", seconds)
    written = []
    real = running.save
    monkeypatch.setattr(
        running, "save", lambda *x: (written.append(x[1].progress.step), real(*x))
    )
    fine_tune(start, tmp_path / "a")
    assert written == ([1, 2, 3, 4, 5, 6] if seconds == 0 else [3, 6])


def test_the_weights_in_the_folder_are_those_of_the_best_evaluation(start, tmp_path):
    options = {**stopped_training.OPTIONS, "patience": None}
    rows = {"rows": rows_of(TASK, 14), "dev": rows_of(TASK, 9)}
    fine_tune(start, tmp_path / "all", **rows, **options)
    log = [x for x in log_of(tmp_path / "all") if "evaluation" in x]
    best = min(log, key=lambda line: line["evaluation"]["loss"])
    assert best["step"] < 18  # not the last ones
    # The same steps, but no more of them.
    stop = stop_after(best["step"])
    fine_tune(start, tmp_path / "some", **rows, **options, stop=stop)
    with safe_open(tmp_path / "some" / STATE, "pt") as file:
        for name, weight in saved(tmp_path / "all").items():
            assert file.get_tensor(f"weight/model.{name}").equal(weight)


def test_patience_is_not_given_anew_to_who_goes_on(start, tmp_path):
    rows = {"rows": rows_of(TASK, 14), "dev": rows_of(TASK, 9)}
    states = []
    for _ in range(15):
        result = fine_tune(
            start,
            tmp_path / "a",
            **rows,
            **stopped_training.OPTIONS,
            stop=stop_after(1),
        )
        states.append(result.state)
        if result.state != "interrupted":
            break
    assert states == ["interrupted"] * 14 + ["stopped by patience"]
    assert result.steps == (15, 18)


def test_a_folder_in_which_nothing_was_learnt_begins_anew(start, tmp_path):
    fine_tune(start, tmp_path / "whole")
    fine_tune(start, tmp_path / "a", stop=stop_after(1))
    (tmp_path / "a" / STATE).unlink()
    fine_tune(start, tmp_path / "a")
    assert same(tmp_path / "a", tmp_path / "whole")


def test_when_all_is_done_nothing_is_done_again(start, tmp_path, monkeypatch):
    first = fine_tune(start, tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    monkeypatch.setattr(Training, "_take", None)
    second = fine_tune(start, tmp_path / "a")
    assert (second.state, second.steps) == (first.state, first.steps)
    assert second.results == first.results
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert after == before
    assert not (tmp_path / "a" / STATE).exists()


def test_two_runs_do_not_train_in_one_folder_at_once(start, tmp_path):
    def begin_another():
        with pytest.raises(RunError, match=r"another run is training in .*a: wait"):
            fine_tune(start, tmp_path / "a")
        return False

    fine_tune(start, tmp_path / "whole")
    fine_tune(start, tmp_path / "a", stop=begin_another)
    assert same(tmp_path / "a", tmp_path / "whole")
    assert log_of(tmp_path / "a") == log_of(tmp_path / "whole")


def test_what_is_finished_has_its_weights(start, tmp_path):
    fine_tune(start, tmp_path / "a")
    (tmp_path / "a" / "model.safetensors").unlink()
    with pytest.raises(running.RunError, match=r"model\.safetensors is not there"):
        fine_tune(start, tmp_path / "a")


def test_no_state_is_left_and_nothing_unfinished(start, tmp_path):
    fine_tune(start, tmp_path / "a")
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert STATE not in names
    assert not any(name.startswith(".") for name in names)
