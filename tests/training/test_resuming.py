"""A training that was stopped, however, ends as if it had not been."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import stopped_training
import torch
from checkpoints import draw_lively
from safetensors import safe_open
from safetensors.torch import save_file
from trainings import RECIPE, checkpoint, log_of, rows_of, saved

from minidistil.training import running
from minidistil.training.loop import Training
from minidistil.training.running import LOG, STATE, RunError
from minidistil.training.state import StateError
from minidistil.training.training import train

TASK = "text-classification"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("start"), TASK, draw=draw_lively)


def run(start, folder, task=TASK, rows=None, dev=None, **options):
    rows, dev = rows or rows_of(task), dev or rows_of(task, 7)
    return train(start, rows, dev, folder, **{**RECIPE, "task": task, **options})


def stop_after(steps):
    """Something to ask whether to stop: no, so many times, and then yes."""
    answers = iter([False] * (steps - 1) + [True] * 1000)
    return lambda: next(answers)


def same(found, wanted):
    mine, right = saved(found), saved(wanted)
    assert mine.keys() == right.keys()
    assert [name for name in right if not mine[name].equal(right[name])] == []
    assert log_of(found) == log_of(wanted)


# Killed


@pytest.fixture(scope="module")
def grief(start, tmp_path_factory, full_run):
    """What has become of a training that comes to grief again and again."""
    folder = tmp_path_factory.mktemp("grief")
    every = "5" if full_run else "200"
    program = Path(stopped_training.__file__)
    report = folder / "report.json"
    subprocess.run(
        [sys.executable, program, start, folder / "result", report, every],
        check=True,
    )
    return json.loads(report.read_text())


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
    run(start, tmp_path / "whole", task)
    states = []
    for _ in range(10):
        result = run(start, tmp_path / "parts", task, stop=stop_after(2))
        states.append((result.state, result.steps[0]))
        if result.state == "finished":
            break
    assert states == [("interrupted", 2), ("interrupted", 4), ("finished", 6)]
    same(tmp_path / "parts", tmp_path / "whole")


def test_a_training_with_one_step_an_epoch_can_be_stopped(start, tmp_path):
    result = run(start, tmp_path / "a", batch_size=20, stop=stop_after(1))
    assert (result.state, result.steps) == ("interrupted", (1, 2))


def test_whoever_asks_to_stop_at_the_last_step_gets_what_is_finished(start, tmp_path):
    result = run(start, tmp_path / "a", stop=stop_after(6))
    assert (result.state, result.steps) == ("finished", (6, 6))


def test_an_error_in_a_step_loses_no_more_than_is_not_saved(
    start, tmp_path, monkeypatch
):
    run(start, tmp_path / "whole")
    with monkeypatch.context() as patch:
        real = Training._take

        def take(training, number):
            if number == 4:
                raise KeyboardInterrupt
            real(training, number)

        patch.setattr(Training, "_take", take)
        with pytest.raises(KeyboardInterrupt):
            run(start, tmp_path / "parts")
    taken = []
    real = Training._take
    monkeypatch.setattr(
        Training, "_take", lambda t, number: (taken.append(number), real(t, number))
    )
    run(start, tmp_path / "parts")
    assert taken == [3, 4, 5]  # an epoch has three, after which the state was saved
    same(tmp_path / "parts", tmp_path / "whole")


def test_the_log_has_every_step_once_and_in_order(start, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 0.0)
    for stop in (1, 1, 2, 9):
        run(start, tmp_path / "a", stop=stop_after(stop))
    steps = [line["step"] for line in log_of(tmp_path / "a") if "loss" in line]
    assert steps == [1, 2, 3, 4, 5, 6]
    measured = [x["step"] for x in log_of(tmp_path / "a") if "evaluation" in x]
    assert measured == [3, 6]


def test_lines_of_several_steps_are_the_same_in_two_runs(start, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "LINES", 2)
    run(start, tmp_path / "whole")
    assert [x["step"] for x in log_of(tmp_path / "whole") if "loss" in x] == [3, 6]
    run(start, tmp_path / "parts", stop=stop_after(2))
    run(start, tmp_path / "parts", stop=stop_after(2))
    run(start, tmp_path / "parts")
    same(tmp_path / "parts", tmp_path / "whole")


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
    run(start, tmp_path / "a")
    assert written == ([1, 2, 3, 4, 5, 6] if seconds == 0 else [3, 6])


def test_the_weights_in_the_folder_are_those_of_the_best_evaluation(start, tmp_path):
    options = {**stopped_training.OPTIONS, "patience": None}
    rows = {"rows": rows_of(TASK, 14), "dev": rows_of(TASK, 9)}
    run(start, tmp_path / "all", **rows, **options)
    log = [x for x in log_of(tmp_path / "all") if "evaluation" in x]
    best = min(log, key=lambda line: line["evaluation"]["loss"])
    assert best["step"] < 18  # not the last ones
    # The same steps, but no more of them; without dev rows, the last are kept.
    run(start, tmp_path / "some", **rows, **options, stop=stop_after(best["step"]))
    with safe_open(tmp_path / "some" / STATE, "pt") as file:
        for name, weight in saved(tmp_path / "all").items():
            assert file.get_tensor(f"weight/model.{name}").equal(weight)


def test_patience_is_not_given_anew_to_who_goes_on(start, tmp_path):
    rows = {"rows": rows_of(TASK, 14), "dev": rows_of(TASK, 9)}
    states = []
    for _ in range(15):
        result = run(
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
    run(start, tmp_path / "whole")
    run(start, tmp_path / "a", stop=stop_after(1))
    (tmp_path / "a" / STATE).unlink()
    run(start, tmp_path / "a")
    same(tmp_path / "a", tmp_path / "whole")


def test_when_all_is_done_nothing_is_done_again(start, tmp_path, monkeypatch):
    first = run(start, tmp_path / "a")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    monkeypatch.setattr(Training, "_take", None)
    second = run(start, tmp_path / "a")
    assert (second.state, second.steps) == (first.state, first.steps)
    assert second.results == first.results
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").iterdir()}
    assert after == before
    assert not (tmp_path / "a" / STATE).exists()


def test_no_state_is_left_and_nothing_unfinished(start, tmp_path):
    run(start, tmp_path / "a")
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert STATE not in names
    assert not any(name.startswith(".") for name in names)


# What a run cannot go on from


@pytest.fixture
def begun(start, tmp_path):
    """A training of which four steps are done."""
    run(start, tmp_path / "a", stop=stop_after(4))
    return tmp_path / "a"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"learning_rate": 0.5, "epochs": 4},
            ["learning_rate was 0.003, and is 0.5", "epochs was 2, and is 4"],
        ),
        ({"rows": rows_of(TASK, 15)}, ["training rows was"]),
        ({"dev": rows_of(TASK, 15)}, ["dev rows was"]),
    ],
)
def test_another_training_is_one_error_that_lists_the_differences(
    start, begun, change, said
):
    before = (begun / STATE).read_bytes()
    with pytest.raises(RunError) as raised:
        run(start, begun, **change)
    for each in said:
        assert each in str(raised.value)
    assert (begun / STATE).read_bytes() == before


def test_a_state_of_another_training_is_one_error(start, begun, tmp_path):
    run(start, tmp_path / "b", learning_rate=0.5, stop=stop_after(2))
    shutil.copy(tmp_path / "b" / STATE, begun / STATE)
    with pytest.raises(StateError, match=r"another training:\n- recipe.learning_rate"):
        run(start, begun)


def damage(path, how):
    content = path.read_bytes()
    with safe_open(path, "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    name = next(name for name in tensors if name.startswith("exp_avg_sq/"))
    if how == "is empty":
        path.write_bytes(b"")
    elif how == "is half of it":
        path.write_bytes(content[: len(content) // 2])
    elif how == "is another file":
        path.write_bytes(b"model" * 1000)
    elif how == "has no header":
        save_file(tensors, path)
    elif how == "lacks an entry":
        found = json.loads(header["state"])
        del found["best"]
        save_file(tensors, path, {"state": json.dumps(found)})
    elif how == "lacks a tensor":
        del tensors[name]
        save_file(tensors, path, header)
    elif how == "has a tensor of another shape":
        tensors[name] = torch.zeros(7, 3)
        save_file(tensors, path, header)
    return name


@pytest.mark.parametrize(
    "how",
    [
        "is empty",
        "is half of it",
        "is another file",
        "has no header",
        "lacks an entry",
        "lacks a tensor",
        "has a tensor of another shape",
    ],
)
def test_a_damaged_state_is_one_error_that_names_it(start, begun, how):
    name = damage(begun / STATE, how)
    with pytest.raises(StateError, match=r"remove it to begin anew") as raised:
        run(start, begun)
    assert str(begun / STATE) in str(raised.value)
    if "tensor" in how:
        assert name in str(raised.value)


@pytest.mark.parametrize("content", [None, b"", b'{"step": 1'])
def test_a_log_that_was_changed_is_written_anew(start, begun, tmp_path, content):
    run(start, tmp_path / "whole")
    if content is None:
        (begun / LOG).unlink()
    else:
        (begun / LOG).write_bytes(content)
    run(start, begun)
    same(begun, tmp_path / "whole")


def test_what_was_logged_after_the_state_is_not_kept(start, begun, tmp_path):
    run(start, tmp_path / "whole")
    with (begun / LOG).open("ab") as file:
        file.write(b'{"step": 5, "loss": 3.0}\n{"ste')
    run(start, begun)
    same(begun, tmp_path / "whole")


def test_another_machine_is_a_warning(start, begun, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.4.0")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    with pytest.warns(UserWarning, match="to the last bit") as warned:
        run(start, begun)
    messages = [str(each.message) for each in warned]
    (message,) = [each for each in messages if "last bit" in each]
    assert "torch was" in message
    assert "threads was" in message
    assert "64 now" in message
    assert "device" not in message


def test_on_the_same_machine_there_is_no_warning(start, begun, recwarn):
    run(start, begun)
    assert not [each for each in recwarn if "last bit" in str(each.message)]


# What diverges


def test_a_step_that_diverges_ends_the_training(start, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 0.0)
    poison(monkeypatch, at=4)
    with pytest.raises(running.DivergedError) as raised:
        run(start, tmp_path / "a")
    rows = poisoned_rows(start)
    assert f"step 5, of the rows {rows}" in str(raised.value)
    assert str(tmp_path / "a" / STATE) in str(raised.value)
    assert "diverged" in (tmp_path / "a" / "report.html").read_text()


def test_whoever_goes_on_after_a_step_that_diverged_has_sound_weights(
    start, tmp_path, monkeypatch
):
    run(start, tmp_path / "whole")
    monkeypatch.setattr(running, "SECONDS", 0.0)
    monkeypatch.setattr(running, "LINES", 1)  # it is noticed late
    with monkeypatch.context() as patch:
        poison(patch, at=4)
        with pytest.raises(running.DivergedError, match="step 5"):
            run(start, tmp_path / "a")
    monkeypatch.undo()
    with safe_open(tmp_path / "a" / STATE, "pt") as file:
        found = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert all(tensor.isfinite().all() for tensor in found)
    run(start, tmp_path / "a")
    assert saved_equal(tmp_path / "a", tmp_path / "whole")


def test_without_a_state_the_error_speaks_of_none(start, tmp_path, monkeypatch):
    poison(monkeypatch, at=0)
    with pytest.raises(running.DivergedError) as raised:
        run(start, tmp_path / "a")
    assert STATE not in str(raised.value)


def poison(patch, at):
    """Let the loss of a step be no number, as too high a learning rate does."""
    real = Training._take

    def take(training, number):
        if number == at:
            with torch.no_grad():
                next(training.student.parameters()).fill_(float("nan"))
        real(training, number)

    patch.setattr(Training, "_take", take)


def poisoned_rows(start):
    from trainings import training_of

    rows = training_of(start, TASK).lessons.plan.batch(4).tolist()
    return ", ".join(str(row + 1) for row in rows)


def saved_equal(one, other):
    mine, right = saved(one), saved(other)
    return all(mine[name].equal(right[name]) for name in right)


def test_figures_that_are_no_numbers_are_null_in_the_log(start, tmp_path, monkeypatch):
    from minidistil.training.text_measures import LabelMeasure

    results = LabelMeasure.results
    monkeypatch.setattr(
        LabelMeasure,
        "results",
        lambda self: {**results(self), "accuracy": float("nan")},
    )
    run(start, tmp_path / "a", metric="accuracy")
    lines = (tmp_path / "a" / LOG).read_text().splitlines()

    def refuse(name):
        raise AssertionError(name)

    found = [json.loads(line, parse_constant=refuse) for line in lines]
    values = [x["evaluation"]["accuracy"] for x in found if "evaluation" in x]
    assert values == [None, None]
    assert (tmp_path / "a" / "model.safetensors").exists()
