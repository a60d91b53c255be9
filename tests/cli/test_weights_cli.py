"""``minidistil weights``: what it prints, and how it ends."""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from checkpoints import write_checkpoint
from commands import assert_refused, records, run as run_command
from layouts import SMALL, SST_2, config_of, random_tensors

import minidistil
from minidistil import progress
from minidistil.weights import verification
from minidistil.weights.catalogue import AS_OF, OFFICIAL
from minidistil.weights.conversion import convert
from minidistil.weights.inspection import inspect
from minidistil.weights.stepwise import load_step_by_step
from minidistil.weights.verification import verify

SCRIPTS = Path(__file__).parents[2] / "scripts"
HEAD = "DistilBertForSequenceClassification"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"))


def run(*arguments):
    return run_command("weights", *arguments)


# list


def test_the_list_has_a_line_for_each_checkpoint():
    result = run("list", "--offline")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [each.repo for each in OFFICIAL]
    assert lines[-1].split()[1:5] == ["fill-mask", "multilingual", "542", "MB"]
    assert AS_OF in result.stderr


def test_the_list_as_json_is_an_object_a_line():
    found = records(run("list", "--offline", "--json"))
    assert [each["bytes"] for each in found] == [each.bytes for each in OFFICIAL]
    assert [each["bytes_of"] for each in found] == [each.bytes_of for each in OFFICIAL]
    assert {each["as_of"] for each in found} == {AS_OF}


# inspect


def test_inspecting_shows_tensors_parameters_head_and_classes(folder):
    result = run("inspect", folder)
    assert result.exit_code == 0
    shown = [line.split() for line in result.stdout.splitlines()]
    place = ["classifier.weight", "F32", "(2,", "20)", "160", "bytes"]
    assert place in shown
    model = minidistil.AutoModelForSequenceClassification.from_pretrained(folder)
    assert ["in", "all", f"{model.num_parameters():,}"] in shown
    assert "head: sequence classification or multiple choice" in result.stdout
    assert [HEAD, "as", "it", "is"] in shown


def test_inspecting_as_json_is_one_object(folder):
    result = run("inspect", folder, "--json")
    assert json.loads(result.stdout) == inspect(folder).to_dict()
    assert len(result.stdout.splitlines()) == 1


def test_inspecting_shows_what_does_not_fit(tmp_path):
    config = config_of(SST_2, **SMALL)
    tensors = random_tensors(config) | {"pooler.weight": torch.ones(1)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    shown = run("inspect", tmp_path).stdout
    assert "'pooler.weight' (1,) is only in the file" in shown
    (line,) = (line for line in shown.splitlines() if line.startswith("  pooler.w"))
    assert line.endswith("4 bytes  -> nothing")


def test_nothing_in_a_file_steers_the_terminal(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {"\x1b[2Jname": torch.ones(1)}
    safetensors.torch.save_file(tensors, path, {"a": "\x1b[2J"})
    result = run("inspect", path)
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("command", ["inspect", "load"])
def test_what_is_not_there_is_refused(command, tmp_path):
    assert_refused(run(command, tmp_path / "nowhere"), "no folder")


def test_a_damaged_file_is_refused(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"x" * 100)
    assert_refused(run("inspect", tmp_path), "is not a sound safetensors file")


def test_a_revision_of_a_folder_is_refused(folder):
    assert_refused(run("inspect", folder, "--revision", "v1"), "'v1'")


# load


def test_loading_is_told_in_numbered_steps(folder):
    result = run("load", folder, "Not bad")
    assert result.exit_code == 0
    titles = [line for line in result.stdout.splitlines() if line.startswith("Step ")]
    assert [title.split(":")[0] for title in titles] == [
        f"Step {i}" for i in range(1, 8)
    ]
    assert "Not bad" in result.stdout


# verify


def test_what_is_right_ends_with_0(folder):
    result = run("verify", folder, "--precision", "int8", "--attention", "eager")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "right"
    assert "model in float32 (eager), engine in int8" in result.stdout


def test_what_is_wrong_ends_with_1(folder, monkeypatch):
    real = verification.Engine.__call__

    def broken(self, *arguments):
        return [answer + 1 for answer in real(self, *arguments)]

    monkeypatch.setattr(verification.Engine, "__call__", broken)
    result = run("verify", folder)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "WRONG"


def test_a_damaged_checkpoint_is_wrong_and_all_is_told(tmp_path):
    folder = write_checkpoint(tmp_path)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["more"] = tensors["less"] = tensors.pop("classifier.bias").clone()
    tensors["less"] = tensors["less"].clone()
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    result = run("verify", folder)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["SKIPPED", "model.safetensors"]
    assert lines[3].split() == ["WRONG", "loading"]
    # One of several lines, each of which is a line here.
    assert "           'more' (2,) is only in the file" in lines
    assert lines[-1] == "WRONG"
    as_json = run("verify", folder, "--json")
    assert as_json.exit_code == 1
    told = json.loads(as_json.stdout)
    assert told["right"] is False
    assert [check["name"] for check in told["checks"]][-1] == "loading"


def test_a_pickle_cannot_be_verified(tmp_path):
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert_refused(run("verify", folder), "weights convert", code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["./nowhere"],
        ["tiny", "--known-as", "a/b"],
        ["tiny", "--dtype=x"],
        ["tiny", "--device=meta"],
    ],
)
def test_what_cannot_be_verified_ends_with_2(arguments):
    assert_refused(run("verify", *arguments), code=2)


def test_a_verification_as_json_is_one_object(folder):
    result = run("verify", folder, "--json")
    told = json.loads(result.stdout)
    assert told["right"] is True
    assert told["kind"] == HEAD
    assert [check["status"] for check in told["checks"]] == ["SKIPPED", "OK", "OK"]


# convert


def test_converting_writes_and_says_what(folder, tmp_path):
    result = run("convert", folder, tmp_path, "--dtype", "bfloat16", "--drop-heads")
    assert result.exit_code == 0
    assert f"{tmp_path}: DistilBertModel, 36 tensors, " in result.stdout
    assert result.stdout.splitlines()[0].endswith("parameters in bfloat16")
    assert "left out: classifier.bias" in result.stdout
    model = minidistil.AutoModel.from_pretrained(tmp_path, dtype="auto")
    assert model.dtype == torch.bfloat16


def test_a_layer_that_is_left_out_is_one_line(folder, tmp_path):
    result = run("convert", folder, tmp_path, "--layers", "1")
    assert result.stdout.splitlines()[1:] == [
        "left out: transformer.layer.0, 16 tensors"
    ]
    told = json.loads(
        run("convert", folder, tmp_path, "--layers", "1", "--json").stdout
    )
    assert len(told["left_out"]) == 16


def test_converting_as_json_is_one_object(folder, tmp_path):
    told = json.loads(run("convert", folder, tmp_path, "--json").stdout)
    assert told["folder"] == str(tmp_path)
    assert told["kind"] == HEAD
    assert told["dtype"] == "float32"


def test_every_option_of_converting_reaches_the_library(folder, tmp_path):
    first = run(
        "convert", folder, tmp_path / "a",
        "--rename", "classifier=score", "--rename", "score=classifier",
        "--drop", "pre_classifier", "--no-prefix", "--layers", "1",
    )  # fmt: skip
    assert first.exit_code == 0, first.output
    found = safetensors.torch.load_file(tmp_path / "a" / "model.safetensors")
    before = safetensors.torch.load_file(folder / "model.safetensors")
    name = "transformer.layer.{}.ffn.lin1.bias"
    assert torch.equal(found[name.format(0)], before["distilbert." + name.format(1)])
    assert "pre_classifier.bias" not in found
    second = run("convert", folder, tmp_path / "b", "--layers", "every-second")
    assert second.exit_code == 0
    assert minidistil.AutoConfig.from_pretrained(tmp_path / "b").n_layers == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rename", "classifier"], "--rename takes OLD=NEW"),
        (["--rename", "=a"], "--rename takes OLD=NEW"),
        (["--layers", "some"], "--layers takes numbers such as 0,2,4"),
        (["--dtype", "int8"], "--dtype"),
    ],
)
def test_a_wrong_option_is_refused(folder, tmp_path, arguments, words):
    assert_refused(run("convert", folder, tmp_path, *arguments), words, code=2)


def test_a_program_in_a_pickle_is_refused(tmp_path):
    class Program:
        def __reduce__(self):
            return open, (str(tmp_path / "the program ran"), "w")

    config = config_of(SST_2, **SMALL)
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"a": Program()}, tmp_path / "pytorch_model.bin")
    result = run("convert", tmp_path, tmp_path / "out")
    assert_refused(result, "It may hold a program, so it is not opened")
    assert not (tmp_path / "the program ran").exists()
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused(folder, tmp_path):
    (tmp_path / "file").touch()
    result = run("convert", folder, tmp_path / "file" / "out")
    assert_refused(result, "Not a directory")


# The scripts, which are the commands


@pytest.mark.parametrize(
    ("script", "arguments", "shown"),
    [
        ("load_step_by_step.py", ["tiny"], "Step 7: Ask it something"),
    ],
)
def test_a_script_runs_as_its_docstring_says(
    script, arguments, shown, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    assert end.value.code == 0
    assert shown in capsys.readouterr().out
    first = (SCRIPTS / script).read_text(encoding="utf-8").split('"""')[1]
    assert f"python scripts/{script}" in first


# Progress


class Terminal:
    """Standard error, as a terminal that keeps what it was told."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


@pytest.mark.parametrize(("delay", "seen"), [(0.0, True), (60.0, False)])
def test_a_bar_is_shown_for_what_takes_longer_than_a_moment(monkeypatch, delay, seen):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_DELAY", delay)
    assert [*progress.steps([1, 2, 3], "counting")] == [1, 2, 3]
    assert ("counting" in terminal.text) == seen


def test_bytes_are_counted(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    with progress.counting_bytes(2_000_000, "hashing") as done:
        time.sleep(0.2)  # a bar is not drawn anew for every byte
        done(1_500_000)
    assert "1.50M/2.00M" in terminal.text


@pytest.mark.parametrize(
    ("work", "bars"),
    [
        (
            lambda folder, _: verify(folder),
            ["hashing model", "loading", "float64", "model", "packing", "engine"],
        ),
        (
            lambda folder, out: convert(folder, out, dtype=torch.float16),
            ["converting", "writing"],
        ),
        (lambda folder, _: list(load_step_by_step(folder)), ["copying"]),
    ],
    ids=["verify", "convert", "load"],
)
def test_what_can_take_long_shows_bars(folder, tmp_path, monkeypatch, work, bars):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    monkeypatch.setattr(verification, "_published_hash", lambda *_: "0")
    work(folder, tmp_path)
    for bar in bars:
        assert f"\r{bar}" in terminal.text


def test_no_bar_is_shown_where_nobody_looks(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_DELAY", 0.0)
    assert [*progress.steps([1], "counting")] == [1]
    assert capsys.readouterr().err == ""
