"""An evaluation against transformers' own figures on the same rows."""

from __future__ import annotations

import math

import pytest
import torch
import transformers
from checkpoints import draw_lively, write_checkpoint
from lessons import read
from trained import row

import minidistil
from minidistil.training.evaluating import measured, of_like_length
from minidistil.training.processes import Processes


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that guesses words."""
    path = tmp_path_factory.mktemp("words")
    return write_checkpoint(path, "DistilBertForMaskedLM", draw=draw_lively)


@pytest.fixture(scope="module")
def task(folder):
    return read(folder, "fill-mask", [row("fill-mask", place) for place in range(40)])


def test_hidden_words_are_measured_as_transformers_measures_them(folder, task):
    ours = minidistil.load(folder)
    found = measured(ours, task, torch.device("cpu")).results()
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    inputs, labels = task.questions(torch.arange(40))
    with torch.inference_mode():
        out = theirs(**inputs, labels=labels.long())
    hidden = labels >= 0
    right = (out.logits.argmax(dim=-1) == labels)[hidden]
    assert found["loss"] == pytest.approx(float(out.loss), rel=1e-6)
    assert found["perplexity"] == pytest.approx(math.exp(out.loss), rel=1e-6)
    assert found["accuracy"] == float(right.double().mean())
    assert 40 <= hidden.sum() < 60, "15% of each row, and at least one word"


def test_the_same_words_are_hidden_for_any_seed_and_any_rows(folder, task):
    rows = [row("fill-mask", place) for place in range(40)]
    other = read(folder, "fill-mask", rows, {"seed": 5})
    some = torch.tensor([7, 3])
    for each in (7, 3):
        read_alone, labels_alone = other.questions(torch.tensor([each]))
        inputs, labels = task.questions(some)
        place, width = some.tolist().index(each), labels_alone.shape[1]
        assert torch.equal(labels[place, :width], labels_alone[0])
        ids = inputs["input_ids"][place, :width]
        assert torch.equal(ids, read_alone["input_ids"][0])


def test_several_processes_measure_what_one_does(folder, task, monkeypatch):
    """Each measures some batches; what both have found is added up."""
    monkeypatch.setattr("minidistil.training.evaluating.TOKENS", 64)
    assert len([*of_like_length(task.lengths)]) > 2
    model, cpu = minidistil.load(folder), torch.device("cpu")
    alone = measured(model, task, cpu).results()
    states = []
    for rank in (0, 1):

        class Two(Processes):
            def gathered(self, value):
                states.append(value)
                return states

        both = measured(model, task, cpu, Two(rank, 2)).results()
    assert both == alone
