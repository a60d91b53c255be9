"""The kind of problem that training used is the one that answers go by, everywhere."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import transformers
from checkpoints import write_checkpoint
from torch import nn

from minidistil import (
    AutoTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    Engine,
    explain,
    pipeline,
)

SEQUENCE = "DistilBertForSequenceClassification"
TEXT = "a good film"
KINDS = {
    "regression": (1, torch.tensor([[2.5], [0.1]])),
    "multi_label_classification": (3, torch.tensor([[1.0, 0, 1], [0, 0, 1]])),
    "single_label_classification": (3, torch.tensor([2, 0])),
}
CASES = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def trained(kind, tmp_path):
    """Ours and theirs, of one checkpoint, after one loss each; and the folder."""
    count, labels = KINDS[kind]
    folder = write_checkpoint(tmp_path / "before", SEQUENCE, num_labels=count)
    both = []
    for library in (DistilBertForSequenceClassification, transformers_class()):
        model = library.from_pretrained(folder).train()
        assert model.config.problem_type is None
        ids = torch.tensor([[1, 2, 3], [3, 2, 1]])
        model(ids, attention_mask=torch.ones_like(ids), labels=labels).loss.backward()
        both.append(model.eval())
    return (*both, folder)


def transformers_class():
    return transformers.AutoModelForSequenceClassification


def their_scores(model, folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pipe = transformers.pipeline(
        "text-classification", model=model, tokenizer=tokenizer, top_k=None
    )
    (answers,) = pipe([TEXT])
    scores = {each["label"]: each["score"] for each in answers}
    return {label: scores[label] for label in model.config.id2label.values()}


def assert_scores(found, expected):
    scores = {each["label"]: each["score"] for each in found}
    assert scores.keys() == expected.keys()
    for label, score in scores.items():
        assert score == pytest.approx(expected[label], abs=1e-5)


WRAPPED = {
    "the model": lambda model: model,
    "an engine": Engine,
    "a copy": copy.deepcopy,
    "an engine of a pickle": lambda model: Engine(pickle.loads(pickle.dumps(model))),
    "a compiled model": lambda model: torch.compile(model, backend="eager"),
    "a wrapped model": nn.DataParallel,
}


@CASES
@pytest.mark.parametrize("wrap", WRAPPED)
def test_a_pipeline_on_a_trained_model_answers_as_transformers(trained, wrap):
    ours, theirs, folder = trained
    tokenizer = AutoTokenizer.from_pretrained(folder)
    pipe = pipeline(
        "text-classification", model=WRAPPED[wrap](ours), tokenizer=tokenizer
    )
    assert_scores(pipe(TEXT, top_k=None), their_scores(theirs, folder))


@CASES
def test_what_was_saved_is_read_by_both_libraries_alike(kind, trained, tmp_path):
    ours, theirs, folder = trained
    after = tmp_path / "after"
    ours.save_pretrained(after)
    AutoTokenizer.from_pretrained(folder).save_pretrained(after)
    expected = their_scores(theirs, folder)
    assert transformers.AutoConfig.from_pretrained(after).problem_type == kind
    reread = transformers_class().from_pretrained(after)
    assert their_scores(reread, folder) == pytest.approx(expected, abs=1e-5)
    found = pipeline("text-classification", model=after)(TEXT, top_k=None)
    assert_scores(found, expected)


@CASES
def test_an_explanation_shows_the_same_scores(trained):
    ours, theirs, folder = trained
    trace = explain(TEXT, ours, tokenizer=AutoTokenizer.from_pretrained(folder))
    expected = their_scores(theirs, folder)
    assert trace.answer.tolist() == pytest.approx([*expected.values()], abs=1e-5)


@CASES
def test_a_loss_changes_nothing_that_another_thread_reads(trained):
    ours, _, _ = trained
    assert ours.config.problem_type is None


@CASES
def test_the_copies_that_train_on_several_devices_remember_it_for_the_model(kind):
    count, labels = KINDS[kind]
    config = DistilBertConfig(dim=12, n_heads=2, n_layers=1, num_labels=count)
    model = DistilBertForSequenceClassification(config)
    copied = model._replicate_for_data_parallel()
    ids = torch.tensor([[1, 2, 3], [3, 2, 1]])
    for name, child in model._modules.items():  # what nn.parallel.replicate does
        copied._modules[name] = child
    copied(ids, attention_mask=torch.ones_like(ids), labels=labels)
    assert model.settled_config.problem_type == kind


@CASES
def test_what_the_configuration_says_comes_first(trained):
    ours, _, _ = trained
    ours.config.problem_type = "regression"
    assert ours.settled_config.problem_type == "regression"


def test_an_engine_keeps_its_labels_when_the_model_is_given_others(tmp_path):
    folder = write_checkpoint(tmp_path, SEQUENCE)
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    engine = Engine(model)
    model.config.id2label[0] = "changed in place"
    model.config.id2label = {0: "new", 1: "names"}
    pipe = pipeline(
        "text-classification",
        model=engine,
        tokenizer=AutoTokenizer.from_pretrained(folder),
    )
    labels = {each["label"] for each in pipe(TEXT, top_k=None)}
    assert labels.isdisjoint({"changed in place", "new", "names"})
