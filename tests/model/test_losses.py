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
    check_parts,
    ids_for,
    twins,
)

from minidistil.config import ConfigError, DistilBertConfig
from minidistil.losses import classification_loss, label_loss, span_loss

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
        (CLASSES, {"num_labels": 1}),
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
    loss = label_loss(logits, torch.tensor([[1, -100, -100]]))
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


# A batch in parts, as in gradient accumulation


@pytest.mark.parametrize("name", HEADS)
def test_the_parts_of_a_batch_add_up_to_the_whole_of_transformers(name):
    check_parts(OURS, name)


@pytest.mark.parametrize(
    ("labels", "config"),
    [
        (torch.tensor([0.5, 1, 2, 3]), {"num_labels": 1}),
        (MANY.repeat(2, 1), {"num_labels": 3, "problem_type": "regression"}),
        (BITS.repeat(2, 1), {"num_labels": 3}),
    ],
    ids=["one number", "numbers", "several labels"],
)
def test_parts_add_up_for_every_kind_of_problem(labels, config):
    check_parts(OURS, SEQUENCE, {"labels": labels.double()}, **config)


@pytest.mark.parametrize("count", [4, torch.tensor(4), torch.tensor([[4]])])
@torch.no_grad()
def test_the_number_of_labels_comes_in_any_form(count):
    # nn.DataParallel gives each device a tensor of shape (1, 1).
    ours, _ = twins(OURS, SEQUENCE, **SMALL)
    ids, labels = ids_for(SEQUENCE, 4, 3, 53), torch.tensor([1, 0, 1, 1])
    part = ours(ids, labels=labels, num_items_in_batch=count).loss
    assert part.shape == ()
    torch.testing.assert_close(part, ours(ids, labels=labels).loss)


# Batches without a label


NOTHING = {
    MASKED_LM: {"labels": torch.full((2, 3), -100)},
    SEQUENCE: {"labels": torch.full((2,), -100)},
    TOKEN: {"labels": torch.full((2, 3), -100)},
    # Both answers end beyond the three tokens.
    QUESTION: dict.fromkeys(("start_positions", "end_positions"), torch.tensor([7, 8])),
    CHOICE: {"labels": torch.full((2,), -100)},
}
NOTHING_AT_ALL = "has nothing to take a loss of"


def as_it_is(model):
    return model


def compiled(model):
    torch.compiler.reset()  # it compiles each class a few times only
    return torch.compile(model, backend="aot_eager", fullgraph=True)


@pytest.mark.sample(6)
@pytest.mark.parametrize("run", [as_it_is, compiled])
@pytest.mark.parametrize("count", [None, 0], ids=["alone", "of a batch"])
@pytest.mark.parametrize("name", HEADS)
def test_in_training_the_loss_of_no_label_is_0_with_a_warning(name, count, run):
    ours, _ = twins(OURS, name, **SMALL)
    ids = ids_for(name, 2, 3, 53)
    with pytest.warns(
        UserWarning, match=f"{NOTHING_AT_ALL}.*the loss of this batch is 0"
    ):
        out = run(ours.train())(ids, **NOTHING[name], num_items_in_batch=count)
    assert out.loss == 0
    out.loss.backward()
    gradients = [parameter.grad for parameter in ours.parameters()]
    assert all(grad is None or not grad.any() for grad in gradients)
    assert any(grad is not None for grad in gradients)


@pytest.mark.sample(6)
@pytest.mark.parametrize("run", [as_it_is, compiled])
@pytest.mark.parametrize("count", [None, 0], ids=["alone", "of a batch"])
@pytest.mark.parametrize("name", HEADS)
@torch.no_grad()
def test_in_evaluation_the_loss_of_no_label_is_an_error(name, count, run):
    ours, _ = twins(OURS, name, **SMALL)
    with pytest.raises(ValueError, match=NOTHING_AT_ALL):
        run(ours)(ids_for(name, 2, 3, 53), **NOTHING[name], num_items_in_batch=count)


@pytest.mark.parametrize("name", HEADS)
def test_a_part_without_a_label_is_no_cause_for_a_warning(name, recwarn):
    ours, _ = twins(OURS, name, **SMALL)
    out = ours(ids_for(name, 2, 3, 53), **NOTHING[name], num_items_in_batch=5)
    assert out.loss == 0
    assert not [each for each in recwarn if NOTHING_AT_ALL in str(each.message)]


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", HEADS)
def test_a_compiled_model_has_the_loss_and_gradients_of_transformers(name):
    ours, theirs = twins(OURS, name, **SMALL)
    ids = ids_for(name, 2, 3, 53)
    found, expected = compiled(ours)(ids, **LABELS[name]), theirs(ids, **LABELS[name])
    torch.testing.assert_close(found.loss, expected.loss)
    for out in (found, expected):
        out.loss.backward()
    reference = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, reference[key].grad, rtol=1e-4, atol=1e-4
        )


def test_a_compiled_model_refuses_a_class_that_does_not_exist():
    ours, _ = twins(OURS, SEQUENCE, **SMALL)
    with pytest.raises(ValueError, match="labels holds 5, expected 0 to 1"):
        compiled(ours)(ids_for(SEQUENCE, 2, 3, 53), labels=torch.tensor([5, 0]))


@torch.no_grad()
def test_integers_are_targets_of_several_labels_too():
    # transformers fails on them.
    config = {"num_labels": 3, "problem_type": "multi_label_classification"}
    ours, theirs = twins(OURS, SEQUENCE, **config, **SMALL)
    ids = ids_for(SEQUENCE, 2, 3, 53)
    assert_same(ours(ids, labels=BITS.long()), theirs(ids, labels=BITS))


@torch.no_grad()
def test_a_count_of_0_is_not_blamed_on_the_labels():
    ours, _ = twins(OURS, SEQUENCE, **SMALL)
    with pytest.raises(ValueError, match="num_items_in_batch is 0"):
        ours(
            ids_for(SEQUENCE, 2, 3, 53),
            labels=torch.tensor([1, 0]),
            num_items_in_batch=0,
        )
