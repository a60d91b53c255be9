"""A model as a program that others run: it gives the model's numbers, at any size."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import onnxruntime
import pytest
import torch
from checkpoints import write_checkpoint
from click.testing import CliRunner
from reference import (
    ATTENTIONS,
    CHOICE,
    ENCODER,
    MASKED_LM,
    NAMES,
    OURS,
    QUESTION,
    SEQUENCE,
    SMALL,
    ids_for,
    right_padded,
    twins,
    with_holes,
)
from torch import nn
from torch.utils import _pytree as pytree

from minidistil import CheckpointNotFoundError, outputs, progress
from minidistil.auto import load
from minidistil.cli import main
from minidistil.weights import exporting
from minidistil.weights.exporting import ExportError, export

LONG = SMALL | {"max_position_embeddings": 512}


def model_of(name: str, **options: object) -> nn.Module:
    return twins(OURS, name, **(LONG | options))[0]


def run_onnx(session: onnxruntime.InferenceSession, ids, mask) -> list[torch.Tensor]:
    given = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    return [torch.from_numpy(each) for each in session.run(None, given)]


def sizes_of(name: str) -> dict[int, torch.export.Dim]:
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=40)
    if name == CHOICE:
        return {0: batch, 1: torch.export.Dim("choices"), 2: tokens}
    return {0: batch, 1: tokens}


# torch.export takes the models as they are


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("name", "attention"),
    [*((name, "sdpa") for name in NAMES), (ENCODER, "eager")],
)
@torch.no_grad()
def test_an_exported_model_gives_the_same_answer_at_any_size(name, attention):
    model = twins(OURS, name, attention=attention, **SMALL)[0]
    ids, sizes = ids_for(name, 3, 7, 53), sizes_of(name)
    program = torch.export.export(
        model, (ids, right_padded(ids)), dynamic_shapes=(sizes, sizes)
    )
    ids = ids_for(name, 2, 11, 53)
    ours, theirs = (run(ids, right_padded(ids)) for run in (model, program.module()))
    assert type(theirs) is type(ours)
    assert list(theirs) == list(ours)
    for key in ours:
        torch.testing.assert_close(theirs[key], ours[key], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_exported_model_survives_being_saved():
    model = twins(OURS, SEQUENCE, **SMALL)[0]
    ids = ids_for(SEQUENCE, 3, 7, 53)
    file = io.BytesIO()
    torch.export.save(torch.export.export(model, (ids, right_padded(ids))), file)
    file.seek(0)
    again = torch.export.load(file).module()(ids, right_padded(ids))
    assert type(again) is outputs.SequenceClassifierOutput
    torch.testing.assert_close(again.logits, model(ids, right_padded(ids)).logits)


@pytest.mark.parametrize("kind", outputs.ModelOutput.__subclasses__())
def test_a_result_is_put_together_as_it_was(kind):
    fields = kind.fields
    result = kind(**dict.fromkeys(fields) | {fields[1]: torch.ones(2)})
    doubled = pytree.tree_map(lambda tensor: tensor * 2, result)
    assert type(doubled) is kind
    assert list(doubled) == [fields[1]]
    assert doubled[0].tolist() == [2, 2]


# ONNX


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", NAMES)
def test_every_model_becomes_onnx_and_agrees(name, tmp_path):
    checked = export(model_of(name), tmp_path / "model.onnx")
    assert checked.tokens == 512
    assert checked.difference <= 1e-5


@pytest.mark.full
@torch.no_grad()
def test_onnx_takes_every_length_from_1_to_512(tmp_path):
    model = model_of(MASKED_LM)
    export(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for tokens in range(1, 513):
        ids = ids_for(MASKED_LM, tokens % 3 + 1, tokens, 53)
        mask = (right_padded, with_holes)[tokens % 2](ids)
        ours = model(ids, mask).logits
        (theirs,) = run_onnx(session, ids, mask)
        assert (ours - theirs).abs().max() <= 1e-5 * max(1, ours.abs().max())


def test_onnx_names_its_inputs_results_and_axes(tmp_path):
    export(model_of(QUESTION), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    inputs = {each.name: each.shape for each in session.get_inputs()}
    axes = ["batch", "tokens"]
    assert inputs == {"input_ids": axes, "attention_mask": axes}
    results = {each.name: each.shape for each in session.get_outputs()}
    assert results == {"start_logits": axes, "end_logits": axes}


@torch.no_grad()
def test_a_row_that_hides_everything_is_read_in_onnx_too(tmp_path):
    model = model_of(SEQUENCE)
    export(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    ids = ids_for(SEQUENCE, 2, 5, 53)
    mask = torch.tensor([[0] * 5, [1] * 5])
    (theirs,) = run_onnx(session, ids, mask)
    torch.testing.assert_close(theirs, model(ids, mask).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_both_attentions_become_onnx(attention, tmp_path):
    model = model_of(ENCODER, attention=attention)
    assert export(model, tmp_path / "model.onnx").difference <= 1e-5


# .pt2


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", [SEQUENCE, CHOICE])
def test_a_torch_program_agrees(name, tmp_path):
    checked = export(model_of(name), tmp_path / "model.pt2")
    assert checked.difference <= 1e-5


@pytest.mark.full
def test_a_torch_program_runs_without_this_library(tmp_path):
    export(model_of(SEQUENCE), tmp_path / "model.pt2")
    program = f"""
import sys
sys.modules["minidistil"] = None
import torch
ids = torch.ones(2, 9, dtype=torch.long)
program = torch.export.load({str(tmp_path / "model.pt2")!r}).module()
print(tuple(program(ids, ids)[0].shape))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "(2, 2)\n"


# What is refused


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_a_program_that_differs_is_told_and_not_kept(ending, tmp_path, monkeypatch):
    real = exporting._FORMATS[f".{ending}"]

    def write(wrapped, file):
        with torch.no_grad():
            wrapped.model.classifier.bias += 1e-3
            real[0](wrapped, file)
            wrapped.model.classifier.bias -= 1e-3

    monkeypatch.setitem(exporting._FORMATS, f".{ending}", (write, real[1]))
    file = tmp_path / f"model.{ending}"
    file.write_text("old")
    with pytest.raises(ExportError, match=r"logits of the exported program differs"):
        export(model_of(SEQUENCE), file)
    assert [each.name for each in tmp_path.iterdir()] == [file.name]
    assert file.read_text() == "old"


def test_a_size_taken_for_good_is_found(tmp_path, monkeypatch):
    real = exporting._FORMATS[".onnx"]

    def load(file):
        program = real[1](file)
        return lambda ids, mask: program(ids[:, :4], mask[:, :4])

    monkeypatch.setitem(exporting._FORMATS, ".onnx", (real[0], load))
    with pytest.raises(ExportError, match=r"for input_ids of shape \(1, 5\)"):
        export(model_of(SEQUENCE), tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["model", "model.pt", "model.onnx.txt"])
def test_another_ending_is_told(name, tmp_path):
    with pytest.raises(ValueError, match=r"expected \.onnx or \.pt2"):
        export(model_of(SEQUENCE), tmp_path / name)


def test_a_model_in_training_is_told(tmp_path):
    with pytest.raises(ValueError, match="in training; expected float32"):
        export(model_of(SEQUENCE).train(), tmp_path / "model.onnx")


def test_another_type_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"the model is torch\.bfloat16"):
        export(model_of(SEQUENCE).bfloat16(), tmp_path / "model.onnx")


def test_a_checkpoint_is_loaded_to_be_exported(tmp_path):
    checked = export(write_checkpoint(tmp_path, QUESTION), tmp_path / "model.pt2")
    assert checked.kind == QUESTION
    program = torch.export.load(tmp_path / "model.pt2").module()
    ids = torch.tensor([[5, 6, 7]])
    model = load(tmp_path)
    ours, theirs = model(ids, torch.ones_like(ids)), program(ids, torch.ones_like(ids))
    torch.testing.assert_close(theirs, ours.to_tuple(), rtol=1e-5, atol=1e-5)


def test_a_checkpoint_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointNotFoundError):
        export(tmp_path / "nowhere", tmp_path / "model.pt2")


def test_the_model_is_left_as_it_was(tmp_path):
    model = model_of(MASKED_LM)
    before = {name: each.clone() for name, each in model.state_dict().items()}
    export(model, tmp_path / "model.onnx")
    assert model.encoder.attn_implementation == "sdpa"
    words = model.get_input_embeddings().weight
    assert model.vocab_projector.weight is words
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_not_installed_is_told(tmp_path, monkeypatch):
    def found(name):
        return None if name == "onnxruntime" else find_spec(name)

    monkeypatch.setattr(exporting, "find_spec", found)
    with pytest.raises(
        ImportError, match=r"needs onnxruntime, not installed here: pip"
    ):
        export(model_of(SEQUENCE), tmp_path / "model.onnx")


@pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX does")
def test_an_export_that_is_killed_leaves_the_old_file(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_text("old")
    program = f"""
import os, signal
from minidistil import DistilBertForSequenceClassification
from minidistil.weights.exporting import export as write
import minidistil.weights.exporting as exporting
exporting.check_program = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write(DistilBertForSequenceClassification.from_pretrained("tiny"), {str(file)!r})
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert run.returncode == -signal.SIGKILL
    assert file.read_text() == "old"


# The command


@pytest.mark.full  # the default suite runs this command of the weights' README
def test_the_command_exports(tmp_path: Path):
    file = tmp_path / "tiny.onnx"
    result = CliRunner().invoke(
        main, ["weights", "export", "tiny", str(file), "--json"]
    )
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    numbers = ("batches", "tokens", "difference")
    assert [*record] == ["file", "model", "bytes", *numbers]
    assert record["model"] == SEQUENCE
    assert record["bytes"] == file.stat().st_size
    assert record["difference"] <= 1e-5


def test_the_command_tells_of_another_ending_before_it_loads(tmp_path: Path):
    arguments = ["weights", "export", str(tmp_path), str(tmp_path / "tiny.txt")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "expected .onnx or .pt2" in result.output


@pytest.mark.parametrize("terminal", [True, False])
def test_each_stage_has_a_bar_on_a_terminal_alone(tmp_path, monkeypatch, terminal):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(
        "click.testing._NamedTextIOWrapper.isatty", lambda _: terminal, raising=False
    )
    # The stages are the same for every model; this one is small.
    folder = write_checkpoint(tmp_path / "model")
    command = ["weights", "export", str(folder), str(tmp_path / "model.onnx")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    for stage in ("writing: 00:00", "reading again: 00:00", "checking:   0%"):
        assert (stage in result.stderr) is terminal


def clocks():
    return [thread for thread in threading.enumerate() if "(tick)" in thread.name]


def test_the_seconds_go_on_while_nothing_is_told(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_DELAY", 0.1)
    monkeypatch.setattr(progress, "_TICK", 0.2)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with progress.counting_seconds("writing"):
        assert capsys.readouterr().err == ""  # what is done by now needs no bar
        time.sleep(0.9)
    shown = capsys.readouterr().err
    assert shown.count("writing: 00:0") > 1
    assert shown.rsplit("\r", 2)[1].strip() == ""  # nothing is left of it
    assert not clocks()


def test_a_mistake_ends_the_seconds_too(monkeypatch, capsys):
    def fail():
        assert len(clocks()) == 1
        raise OSError("the disk is full")

    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with pytest.raises(OSError, match="full"), progress.counting_seconds("writing"):
        fail()
    assert not clocks()
