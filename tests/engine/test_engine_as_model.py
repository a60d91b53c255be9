"""An engine in a model's place: called as one, and asked for what a model has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from engines import CLASSES, FLOAT32, READ_ALL, model_of, sequences_of
from reference import CHOICE, ENCODER, QUESTION, SEQUENCE, TOKEN

from minidistil.engine import Engine

LENGTHS = [7, 1, 12, 3]


def batch_of(name):
    """Ids padded at the end, and their mask."""
    rows = sequences_of(LENGTHS, 53)
    ids = torch.zeros(len(rows), max(LENGTHS), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    if name == CHOICE:  # two problems of two choices
        ids, mask = ids.view(2, 2, -1), mask.view(2, 2, -1)
    return {"input_ids": ids, "attention_mask": mask}


@pytest.fixture(params=CLASSES)
def name(request):
    return request.param


def test_a_batch_is_answered_as_by_the_model(name):
    model, batch = model_of(name), batch_of(name)
    with torch.no_grad():
        expected = model(**batch)
    found = Engine(model)(**batch, token_type_ids=torch.zeros(1))
    assert type(found) is type(expected)
    assert [*found] == [*expected]
    for key, tensor in expected.items():
        assert found[key].shape == tensor.shape
        read = batch["attention_mask"].bool() if name in READ_ALL else ...
        assert torch.allclose(found[key][read], tensor[read], atol=FLOAT32, rtol=0)


def test_padding_is_never_an_answer():
    batch = batch_of(QUESTION)
    found = Engine(model_of(QUESTION))(**batch)
    for logits in (found.start_logits, found.end_logits):
        assert (logits.argmax(dim=1) < torch.tensor(LENGTHS)).all()


def test_padding_has_vectors_of_zeros():
    batch = batch_of(ENCODER)
    found = Engine(model_of(ENCODER))(**batch).last_hidden_state
    assert (found[batch["attention_mask"] == 0] == 0).all()


def test_results_can_be_written_into(name):
    for tensor in Engine(model_of(name))(**batch_of(name)).values():
        tensor[:] = -1e4
        assert not tensor.is_inference()


def test_an_empty_batch_has_an_empty_result(name):
    model = model_of(name)
    ids = torch.zeros((0, 2, 3) if name == CHOICE else (0, 3), dtype=torch.long)
    with torch.no_grad():
        expected = model(ids)
    found = Engine(model)(input_ids=ids)
    assert [each.shape for each in found.values()] == [
        each.shape for each in expected.values()
    ]


@pytest.mark.parametrize(
    "mask", [[0, 1, 1], [1, 0, 1], [0, 0, 0]], ids=["left", "inside", "all"]
)
def test_a_mask_that_hides_more_than_the_end_is_refused(mask):
    engine = Engine(model_of(SEQUENCE))
    ids = torch.tensor([[1, 2, 3], [1, 2, 3]])
    with pytest.raises(ValueError, match=r"of row 1.*padding_side='right'"):
        engine(input_ids=ids, attention_mask=torch.tensor([[1, 1, 1], mask]))


def test_what_the_model_refuses_is_refused_in_its_words():
    model = model_of(SEQUENCE)
    for ids in (torch.tensor([1, 2]), torch.tensor([[99]]), [[1, 2]]):
        with pytest.raises((TypeError, ValueError, IndexError)) as theirs:
            model(ids)
        with pytest.raises(theirs.type) as ours:
            Engine(model)(input_ids=ids)
        assert str(ours.value) == str(theirs.value)


@pytest.mark.parametrize(
    "more",
    [
        {"labels": torch.tensor([0])},
        {"output_attentions": True},
        {"inputs_embeds": torch.zeros(1, 2, 48)},
    ],
    ids=str,
)
def test_more_than_logits_is_the_models_own(more):
    engine = Engine(model_of(SEQUENCE))
    with pytest.raises(
        TypeError, match=f"no {next(iter(more))}: load the model itself, D"
    ):
        engine(input_ids=torch.tensor([[1, 2]]), **more)


def test_what_asks_for_nothing_is_accepted():
    engine, ids = Engine(model_of(SEQUENCE)), torch.tensor([[1, 2]])
    found = engine(
        input_ids=ids, labels=None, output_hidden_states=False, return_dict=True
    )
    assert torch.equal(found.logits[0], engine([[1, 2]])[0])


def test_a_misspelt_argument_is_named():
    with pytest.raises(TypeError, match="did you mean 'attention_mask'"):
        Engine(model_of(SEQUENCE))(input_ids=torch.tensor([[1]]), attentionmask=1)


# What is asked of a model ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "asked", ["parameters", "state_dict", "save_pretrained", "train", "cuda", "half"]
)
def test_of_what_it_has_not_it_says_where_it_is(asked):
    engine = Engine(model_of(SEQUENCE))
    assert not hasattr(engine, asked)
    itself = r"DistilBertForSequenceClassification.from_pretrained\(…\)"
    with pytest.raises(
        AttributeError, match=rf"{asked!r}.* the model itself, {itself}"
    ):
        getattr(engine, asked)


def test_what_no_model_has_it_has_not_either():
    with pytest.raises(AttributeError, match=r"^an Engine has no 'nonsense'$"):
        _ = Engine(model_of(SEQUENCE)).nonsense


def test_it_is_where_it_is_and_infers():
    engine = Engine(model_of(SEQUENCE))
    assert engine.eval() is engine
    assert engine.to("cpu") is engine
    assert engine.training is False
    assert engine.dtype == engine([[1]])[0].dtype == torch.float32
    with pytest.raises(ValueError, match=r"computes in float32 on cpu"):
        engine.to("meta")


# The caller's defaults ────────────────────────────────────────────────────────────────


@pytest.fixture
def float64_by_default():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def test_results_are_float32_whatever_torchs_default(float64_by_default):
    model = model_of(TOKEN).float()
    engine = Engine(model)
    found = engine([[1, 2], [3]], positions=[[], [0]])
    found += [engine([[1, 2]])[0], engine(**batch_of(TOKEN)).logits]
    assert {each.dtype for each in found} == {torch.float32}


@pytest.mark.parametrize("budget", [np.int64(7), np.uint8(7), torch.tensor(7)])
def test_numpys_numbers_are_numbers(budget):
    model = model_of(SEQUENCE)
    found = Engine(model, token_budget=budget)(sequences_of(LENGTHS, 53))
    expected = Engine(model, token_budget=7)(sequences_of(LENGTHS, 53))
    assert all(map(torch.equal, found, expected))
