"""The state of a training: what it fits, what is wrong with it, what it never holds."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from checkpoints import draw_lively
from safetensors import safe_open
from safetensors.torch import save_file
from trainings import (
    RECIPE,
    checkpoint,
    fine_tune,
    log_of,
    other_weights,
    rows_of,
    same,
    stop_after,
    training_of,
)

from minidistil.training import running
from minidistil.training.loop import Training
from minidistil.training.running import LOG, STATE, TOKENS, RunError
from minidistil.training.state import StateError
from minidistil.training.text_measures import LabelMeasure
from minidistil.training.training import train

TASK = "text-classification"


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return checkpoint(tmp_path_factory.mktemp("start"), TASK, draw=draw_lively)


# What a run cannot go on from


@pytest.fixture
def begun(start, tmp_path):
    """A training of which four steps are done."""
    fine_tune(start, tmp_path / "a", stop=stop_after(4))
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
        fine_tune(start, begun, **change)
    for each in said:
        assert each in str(raised.value)
    assert (begun / STATE).read_bytes() == before


def test_a_state_of_another_training_is_one_error(start, begun, tmp_path):
    fine_tune(start, tmp_path / "b", learning_rate=0.5, stop=stop_after(2))
    shutil.copy(tmp_path / "b" / STATE, begun / STATE)
    with pytest.raises(StateError, match=r"another training:\n- recipe.learning_rate"):
        fine_tune(start, begun)


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
        fine_tune(start, begun)
    assert str(begun / STATE) in str(raised.value)
    if "tensor" in how:
        assert name in str(raised.value)


@pytest.mark.parametrize("content", [None, b"", b'{"step": 1'])
def test_a_log_that_was_changed_is_written_anew(start, begun, tmp_path, content):
    fine_tune(start, tmp_path / "whole")
    if content is None:
        (begun / LOG).unlink()
    else:
        (begun / LOG).write_bytes(content)
    fine_tune(start, begun)
    assert same(begun, tmp_path / "whole")


def test_what_was_logged_after_the_state_is_not_kept(start, begun, tmp_path):
    fine_tune(start, tmp_path / "whole")
    with (begun / LOG).open("ab") as file:
        file.write(b'{"step": 5, "loss": 3.0}\n{"ste')
    fine_tune(start, begun)
    assert same(begun, tmp_path / "whole")


def test_another_machine_is_a_warning(start, begun, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.4.0")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    with pytest.warns(UserWarning, match="to the last bit") as warned:
        fine_tune(start, begun)
    messages = [str(each.message) for each in warned]
    (message,) = [each for each in messages if "last bit" in each]
    assert "torch was" in message
    assert "threads was" in message
    assert "64 now" in message
    assert "device" not in message


def test_on_the_same_machine_there_is_no_warning(start, begun, recwarn):
    fine_tune(start, begun)
    assert not [each for each in recwarn if "last bit" in str(each.message)]


# What diverges


def test_a_step_that_diverges_ends_the_training(start, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 0.0)
    poison(monkeypatch, at=4)
    with pytest.raises(running.DivergedError) as raised:
        fine_tune(start, tmp_path / "a")
    rows = poisoned_rows(start)
    assert f"step 5, which learnt from {rows}:" in str(raised.value)
    assert str(tmp_path / "a" / STATE) in str(raised.value)
    assert "diverged" in (tmp_path / "a" / "report.html").read_text()


def test_whoever_goes_on_after_a_step_that_diverged_has_sound_weights(
    start, tmp_path, monkeypatch
):
    fine_tune(start, tmp_path / "whole")
    monkeypatch.setattr(running, "SECONDS", 0.0)
    monkeypatch.setattr(running, "LINES", 1)  # it is noticed late
    with monkeypatch.context() as patch:
        poison(patch, at=4)
        with pytest.raises(running.DivergedError, match="step 5"):
            fine_tune(start, tmp_path / "a")
    monkeypatch.undo()
    with safe_open(tmp_path / "a" / STATE, "pt") as file:
        found = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
    assert all(tensor.isfinite().all() for tensor in found)
    fine_tune(start, tmp_path / "a")
    assert other_weights(tmp_path / "a", tmp_path / "whole") == []


def test_without_a_state_the_error_speaks_of_none(start, tmp_path, monkeypatch):
    poison(monkeypatch, at=0)
    with pytest.raises(running.DivergedError) as raised:
        fine_tune(start, tmp_path / "a")
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
    rows = training_of(start, TASK).lessons.plan.batch(4).tolist()
    return ", ".join(f"row {row + 1}" for row in rows)


def test_figures_that_are_no_numbers_are_null_in_the_log(start, tmp_path, monkeypatch):
    results = LabelMeasure.results
    monkeypatch.setattr(
        LabelMeasure,
        "results",
        lambda self: {**results(self), "accuracy": float("nan")},
    )
    fine_tune(start, tmp_path / "a", metric="accuracy")
    lines = (tmp_path / "a" / LOG).read_text().splitlines()

    def refuse(name):
        raise AssertionError(name)

    found = [json.loads(line, parse_constant=refuse) for line in lines]
    values = [x["evaluation"]["accuracy"] for x in found if "evaluation" in x]
    assert values == [None, None]
    assert (tmp_path / "a" / "model.safetensors").exists()


# What is seen while it runs


def test_a_report_is_there_before_the_first_step_and_grows(
    start, tmp_path, monkeypatch
):
    monkeypatch.setattr(running, "FRESH", 0.0)
    page, seen = tmp_path / "a" / "report.html", []

    def look(line):
        seen.append(page.read_text())

    train(start, rows_of(TASK), None, tmp_path / "a", **RECIPE, report=look)
    # It is called with a line before the page has it.
    lines = [line["step"] for line in log_of(tmp_path / "a")]
    assert len(seen) == len(lines) == 6
    sizes = [len(text) for text in seen]
    assert sizes == sorted({*sizes})


def test_who_is_interrupted_is_said_to_be(start, tmp_path):
    fine_tune(start, tmp_path / "a", stop=stop_after(2))
    about = json.loads((tmp_path / "a" / "training.json").read_text())
    assert (about["state"], about["finished"], about["steps"]) == (
        "interrupted",
        False,
        [2, 6],
    )


def test_a_corpus_is_in_a_file_while_it_is_learnt_from(tmp_path):
    source = checkpoint(tmp_path / "start", "fill-mask")
    corpus, folder = tmp_path / "corpus.txt", tmp_path / "a"
    corpus.write_text("\n".join(row["text"] for row in rows_of("fill-mask")))
    seen = []

    def look(line):
        seen.append({path.name for path in folder.iterdir()} & {*TOKENS.values()})

    options = {**RECIPE, "task": "fill-mask", "report": look}
    train(source, str(corpus), str(corpus), folder, **options)
    assert seen
    assert all(names == {*TOKENS.values()} for names in seen)
    assert {path.name for path in folder.iterdir()}.isdisjoint(TOKENS.values())
