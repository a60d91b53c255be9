"""Loading told step by step: the library's own steps, in its own order."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
import transformers
from checkpoints import draw_lively, write_checkpoint
from layouts import SMALL, UNCASED, write_layout
from reference import HEADS

import minidistil
from minidistil.checkpoint import fitting
from minidistil.checkpoint.tensors import CheckpointError
from minidistil.hub import CheckpointNotFoundError
from minidistil.weights import stepwise
from minidistil.weights.stepwise import load_step_by_step

TITLES = [
    "Find the files",
    "Read the header of the weights",
    "Build an empty model",
    "Match the names",
    "Check that they fit",
    "Copy the numbers, and check them",
    "Ask it something",
]


@pytest.fixture
def folder(tmp_path):
    return write_checkpoint(tmp_path, id2label={0: "NEGATIVE", 1: "POSITIVE"})


def test_the_steps_come_in_the_order_of_loading(folder):
    assert [step.title for step in load_step_by_step(folder)] == TITLES


@pytest.mark.parametrize("architecture", ["DistilBertModel", *HEADS])
def test_every_kind_of_checkpoint_can_be_loaded_step_by_step(tmp_path, architecture):
    steps = [*load_step_by_step(write_checkpoint(tmp_path, architecture), "Not bad")]
    assert [step.title for step in steps] == TITLES
    assert f"asks for a {architecture}:" in steps[2].lines[0]
    assert all(isinstance(line, str) for step in steps for line in step.lines)


@pytest.mark.parametrize(
    "config",
    [
        {"num_labels": 3},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
        {"num_labels": 2, "problem_type": "regression"},
        {"num_labels": 1},
        {"num_labels": 1, "problem_type": "regression"},
    ],
    ids=["one of three", "any of three", "two numbers", "one label", "a number"],
)
def test_the_answer_is_the_pipelines(tmp_path, config):
    folder = write_checkpoint(tmp_path, draw=draw_lively, **config)
    (*_, last) = load_step_by_step(folder, "Not bad")
    classify = minidistil.pipeline(model=str(folder), dtype=torch.float32, top_k=None)
    (answers,) = classify(["Not bad"])
    shown = [f"  -> {each['label']}  {each['score']:.4f}" for each in answers]
    assert last.lines[-config["num_labels"] :] == shown


@pytest.mark.parametrize(
    ("tokenizers", "models"), [(512, 48), (20, 48), (48, 48), (48, 512)]
)
def test_a_long_text_is_cut_to_what_both_can_read_and_told(
    tmp_path, tokenizers, models
):
    folder = write_checkpoint(tmp_path, max_position_embeddings=models)
    settings = folder / "tokenizer_config.json"
    settings.write_text(json.dumps({"model_max_length": tokenizers}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (*_, last) = load_step_by_step(folder, "not bad " * 100)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    limit = min(tokenizers, models)
    ids = theirs("not bad " * 100, truncation=True, max_length=limit)["input_ids"]
    assert f"  -> {ids}" in last.lines
    assert f"  too long: {limit} of its 202 tokens are read, [CLS] and [SEP]" in (
        "\n".join(last.lines)
    )


def test_a_text_that_is_read_whole_is_not_called_too_long(folder):
    (*_, last) = load_step_by_step(
        folder, "not bad " * 23
    )  # 48 tokens, as many as there is room
    assert not any("too long" in line for line in last.lines)


def test_a_masked_word_is_guessed_where_it_is(tmp_path):
    folder = write_checkpoint(tmp_path, "DistilBertForMaskedLM", draw=draw_lively)
    (*_, last) = load_step_by_step(folder, "Not [MASK] at all")
    fill = minidistil.pipeline("fill-mask", model=str(folder), dtype=torch.float32)
    words = [each["token_str"] for each in fill("Not [MASK] at all", top_k=5)]
    assert last.lines[-1] == f"  -> for token 2 it would guess {words}"


def test_without_a_masked_word_there_is_nothing_to_guess(tmp_path):
    folder = write_checkpoint(tmp_path, "DistilBertForMaskedLM")
    (*_, last) = load_step_by_step(folder, "Not bad")
    assert last.lines[-1] == "  -> no [MASK] in it, so nothing to guess"


def test_the_figures_are_those_of_the_file(folder):
    steps = {step.title: step for step in load_step_by_step(folder)}
    size = (folder / "model.safetensors").stat().st_size
    assert f"({size:,} bytes): its numbers" in steps["Find the files"].lines[-1]
    model = minidistil.AutoModelForSequenceClassification.from_pretrained(folder)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert f"hold {count:,} numbers" in steps["Build an empty model"].lines[1]


def test_names_that_differ_are_pointed_out(tmp_path):
    from minidistil.weights.conversion import convert

    folder = write_checkpoint(tmp_path / "in")
    convert(folder, tmp_path / "out", prefix=False)
    lines = [*load_step_by_step(tmp_path / "out")][3].lines
    assert (
        "have another name here: embeddings.word_embeddings.weight is our" in lines[-1]
    )


def test_a_tied_projector_is_pointed_out(tmp_path):
    folder = write_layout(tmp_path, UNCASED, **SMALL)
    steps = load_step_by_step(folder)
    lines = [next(steps) for _ in range(4)][3].lines
    assert lines[-1].startswith("vocab_projector.weight needs none")


def test_each_step_calls_the_librarys_own_function(folder, monkeypatch):
    called = []
    for name in ("skeleton_like", "fit", "check_fit", "fill"):
        real = getattr(fitting, name)
        assert getattr(stepwise, name) is real

        def noted(*arguments, name=name, real=real):
            called.append(name)
            return real(*arguments)

        monkeypatch.setattr(stepwise, name, noted)
    list(load_step_by_step(folder))
    assert called == ["skeleton_like", "fit", "check_fit", "fill"]


def test_a_checkpoint_that_does_not_fit_stops_at_that_step(folder):
    config = minidistil.AutoConfig.from_pretrained(folder)
    config.replace(num_labels=3).save_pretrained(folder)
    told = []
    with pytest.raises(CheckpointError, match="does not fit"):
        told.extend(step.title for step in load_step_by_step(folder))
    assert told == TITLES[:4]


def test_a_folder_without_a_checkpoint_is_told(tmp_path):
    with pytest.raises(CheckpointNotFoundError):
        next(load_step_by_step(tmp_path))
