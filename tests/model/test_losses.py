"""The losses of the heads, against transformers' and against hand computation."""

from __future__ import annotations

import math
import re

import pytest
import torch
from reference import (
    CHOICE,
    HEADS,
    LABELS,
    MASKED_LM,
    OURS,
    QUESTION,
    SEQUENCE,
    SMALL,
    TOKEN,
    assert_same,
    check_loss,
    ids_for,
    twins,
)

from minidistil.config import ConfigError, DistilBertConfig
from minidistil.losses import classification_loss, span_loss, token_loss

ONE = torch.tensor([0.5, -2.0])
MANY = torch.tensor([[0.5, -2.0, 1.0], [3.0, 0.25, -1.0]])
BITS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
CLASSES = torch.tensor([2, 0])


@pytest.mark.parametrize("name", HEADS)
def test_the_loss_is_that_of_transformers(name):
    check_loss(OURS, name)


@pytest.mark.parametrize(
    ("labels", "config"),
    [
        (ONE, {"num_labels": 1}),
        (ONE[:, None], {"num_labels": 1}),
        (ONE, {"num_labels": 1, "problem_type": "regression"}),
        (MANY, {"num_labels": 3, "problem_type": "regression"}),
        (CLASSES, {"num_labels": 3}),
        (CLASSES, {"num_labels": 3, "problem_type": "single_label_classification"}),
        (CLASSES[:, None], {"num_labels": 3}),
        (torch.tensor([-100, 0]), {"num_labels": 3}),
        (BITS, {"num_labels": 3}),
        (BITS, {"num_labels": 3, "problem_type": "multi_label_classification"}),
        (
            BITS[:, :1],
            {"num_labels": 1, "problem_type": "multi_label_classification"},
        ),
    ],
)
def test_every_kind_of_problem_has_the_loss_of_transformers(labels, config):
    check_loss(OURS, SEQUENCE, {"labels": labels}, **config)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ([0, 2], [1, 2]),
        ([3, 1], [4, 1]),
        ([0, 900], [2, 901]),
        ([[0], [1]], [[1], [2]]),
    ],
)
def test_answers_beyond_the_end_are_left_out_as_in_transformers(start, end):
    spans = {"start_positions": torch.tensor(start), "end_positions": torch.tensor(end)}
    check_loss(OURS, QUESTION, spans)


@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_labels_may_be_of_32_bits(name):
    ours, _ = twins(OURS, name, **SMALL)
    ids = ids_for(name, 2, 3, 53)
    short = {key: labels.int() for key, labels in LABELS[name].items()}
    assert_same(ours(ids, **short), ours(ids, **LABELS[name]))


@pytest.mark.parametrize(
    ("labels", "count"), [(ONE, 1), (BITS, 3)], ids=["regression", "multi-label"]
)
def test_targets_may_be_of_64_bits(labels, count):
    ours, _ = twins(OURS, SEQUENCE, num_labels=count, **SMALL)
    ids = ids_for(SEQUENCE, 2, 3, 53)
    out = ours(ids, labels=labels.double())
    assert torch.equal(out.loss, ours(ids, labels=labels).loss)
    out.loss.backward()
    assert ours.classifier.weight.grad.any()


@torch.no_grad()
def test_the_kind_of_problem_is_found_anew_for_each_call():
    # transformers keeps the first call's kind in the config: the second would fail.
    ours, _ = twins(OURS, SEQUENCE, num_labels=3, **SMALL)
    ids = ids_for(SEQUENCE, 2, 3, 53)
    ours(ids, labels=CLASSES)
    for labels, kind in ((BITS, "multi"), (CLASSES, "single")):
        config = {"num_labels": 3, "problem_type": f"{kind}_label_classification"}
        _, theirs = twins(OURS, SEQUENCE, **config, **SMALL)
        assert_same(ours(ids, labels=labels), theirs(ids, labels=labels))
    assert ours.config.problem_type is None


def test_a_loss_can_be_computed_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0]])
    labels = torch.tensor([1, 1])
    expected = -(math.log(3 / 4) + math.log(1 / 5)) / 2
    loss = classification_loss(DistilBertConfig(), logits, labels)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_ignored_tokens_do_not_count():
    logits = torch.tensor([[[0.0, math.log(3.0)], [5.0, 0.0], [5.0, 0.0]]])
    loss = token_loss(logits, torch.tensor([[1, -100, -100]]))
    assert loss.item() == pytest.approx(-math.log(3 / 4), abs=1e-6)


def test_the_two_ends_of_an_answer_count_half_each():
    start = torch.tensor([[0.0, math.log(3.0)]])
    end = torch.tensor([[math.log(4.0), 0.0]])
    loss = span_loss(start, end, torch.tensor([1]), torch.tensor([1]))
    expected = -(math.log(3 / 4) + math.log(1 / 5)) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("config", "labels", "error", "message"),
    [
        (
            {"num_labels": 3, "problem_type": "regression"},
            CLASSES,
            TypeError,
            "labels is torch.int64, expected floating point: labels.float()",
        ),
        (
            {"num_labels": 1},
            torch.tensor([1, 0]),
            TypeError,
            "labels is torch.int64, expected floating point: labels.float()",
        ),
        (
            {"num_labels": 3, "problem_type": "regression"},
            ONE[:, None],
            ValueError,
            "labels has shape (2, 1), expected (2, 3)",
        ),
        (
            {"num_labels": 3},
            torch.tensor([1.0, 0.0]),
            ValueError,
            "labels has shape (2,), expected (2, 3)",
        ),
        (
            {"num_labels": 3, "problem_type": "single_label_classification"},
            BITS,
            TypeError,
            "labels is torch.float32, expected integers: labels.long()",
        ),
    ],
)
def test_labels_that_do_not_fit_the_problem_are_told(config, labels, error, message):
    model = OURS.DistilBertForSequenceClassification(DistilBertConfig(**SMALL | config))
    with pytest.raises(error, match=re.escape(message)):
        model(ids_for(SEQUENCE, 2, 3, 53), labels=labels)


def test_question_answering_needs_two_labels():
    with pytest.raises(ConfigError, match="num_labels is 3, expected 2 for question"):
        OURS.DistilBertForQuestionAnswering(DistilBertConfig(**SMALL, num_labels=3))


@pytest.mark.parametrize("name", [MASKED_LM, TOKEN, CHOICE])
def test_the_number_of_labels_has_no_say_in_other_heads(name):
    # As many classes as the head has, whatever the config names.
    check_loss(OURS, name, num_labels=4)
