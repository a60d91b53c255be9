"""Wrong arguments of a forward pass are told, and the edges have defined answers."""

from __future__ import annotations

import re
import warnings

import pytest
import torch
from reference import (
    ATTENTIONS,
    CHOICE,
    ENCODER,
    HEADS,
    LABELS,
    MASKED_LM,
    NAMES,
    OURS,
    QUESTION,
    SEQUENCE,
    SMALL,
    TOKEN,
    assert_same,
    ids_for,
    right_padded,
    twins,
)

from minidistil.config import DistilBertConfig

IDS = torch.tensor([[2, 3, 4], [5, 6, 7]])


@pytest.fixture(scope="module")
def models():
    return {name: twins(OURS, name, **SMALL)[0] for name in NAMES}


@pytest.fixture(scope="module")
def encoder(models):
    return models[ENCODER]


def told(error, *parts):
    """Expect an error whose message has all the parts, in order."""
    return pytest.raises(error, match="(?s)" + ".*".join(map(re.escape, parts)))


# Ids


@pytest.mark.parametrize("name", [ENCODER, MASKED_LM, SEQUENCE, TOKEN, QUESTION])
def test_one_sentence_without_a_batch_is_told_the_cure(models, name):
    shape = "input_ids has shape (3,), expected (batch, tokens)"
    with told(ValueError, shape, "for one sentence use input_ids[None]"):
        models[name](IDS[0])


def test_three_dimensions_of_ids_are_too_many(encoder):
    with told(ValueError, "input_ids has shape (1, 2, 3), expected (batch, tokens)"):
        encoder(IDS[None])


@pytest.mark.parametrize("ids", [[[2, 3, 4], [5, 6]], (2, 3)])
def test_a_list_is_no_tensor(encoder, ids):
    with told(TypeError, f"input_ids is a {type(ids).__name__}", "padding=True"):
        encoder(ids)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int16])
def test_ids_must_be_integers(encoder, dtype):
    with told(TypeError, f"input_ids is {dtype}, expected integers: input_ids.long()"):
        encoder(IDS.to(dtype))


@torch.no_grad()
def test_ids_may_be_of_32_bits(encoder):
    assert_same(encoder(IDS.int()), encoder(IDS))


@pytest.mark.parametrize("wrong", [53, 30000, -1])
@pytest.mark.parametrize("name", NAMES)
def test_an_id_outside_the_vocabulary_is_named(models, name, wrong):
    ids = ids_for(name, 2, 3, 53)
    ids.view(-1)[1] = wrong
    with told(IndexError, f"input_ids holds {wrong}, expected 0 to 52", "tokenizer"):
        models[name](ids)


@pytest.mark.parametrize("name", NAMES)
def test_too_many_tokens_are_told_and_how_to_cut_them(models, name):
    with told(ValueError, "got 41 tokens, expected at most 40", "truncation=True"):
        models[name](ids_for(name, 2, 41, 53))


def test_more_than_512_tokens_are_too_many_for_the_base_model():
    config = DistilBertConfig(**SMALL | {"max_position_embeddings": 512})
    with told(ValueError, "got 513 tokens, expected at most 512"):
        OURS.DistilBertModel(config)(torch.ones(1, 513, dtype=torch.long))


@pytest.mark.parametrize("name", NAMES)
def test_sequences_of_no_tokens_are_told(models, name):
    with told(ValueError, "sequences of 0 tokens, expected at least 1"):
        models[name](ids_for(name, 2, 0, 53))


def test_ids_or_word_vectors_must_be_given(encoder):
    with told(ValueError, "give input_ids or inputs_embeds", "got neither"):
        encoder()


def test_ids_and_word_vectors_cannot_both_be_given(encoder):
    with told(ValueError, "give input_ids or inputs_embeds", "got both"):
        encoder(IDS, inputs_embeds=torch.zeros(2, 3, 20))


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 21), (1, 2, 3, 20)])
def test_word_vectors_of_another_shape_are_told(encoder, shape):
    with told(ValueError, f"inputs_embeds has shape {shape}", "(batch, tokens, 20)"):
        encoder(inputs_embeds=torch.zeros(shape))


# An empty batch

EMPTY = {
    ENCODER: {"last_hidden_state": (0, 7, 20)},
    MASKED_LM: {"logits": (0, 7, 53)},
    SEQUENCE: {"logits": (0, 2)},
    TOKEN: {"logits": (0, 7, 2)},
    QUESTION: {"start_logits": (0, 7), "end_logits": (0, 7)},
    CHOICE: {"logits": (0, 3)},
}


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_an_empty_batch_has_an_empty_result(name, attention):
    model, _ = twins(OURS, name, attention=attention, **SMALL)
    ids = ids_for(name, 0, 7, 53)
    for mask in (None, torch.ones_like(ids)):
        out = model(ids, mask, output_hidden_states=True, output_attentions=True)
        assert {key: tuple(out[key].shape) for key in EMPTY[name]} == EMPTY[name]
        assert [tuple(state.shape) for state in out.hidden_states] == [(0, 7, 20)] * 4
        assert [tuple(each.shape) for each in out.attentions] == [(0, 2, 7, 7)] * 3


# Masks


@pytest.mark.parametrize("shape", [(2, 2), (2, 4), (1, 3), (3,), (3, 2), (2, 3, 1)])
@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_another_shape_is_told(encoder, shape, value):
    # transformers takes a mask of ones that is too short to mean "all".
    with told(ValueError, f"attention_mask has shape {shape}, expected (2, 3)"):
        encoder(IDS, torch.full(shape, value))


@pytest.mark.parametrize("dtype", [torch.bool, torch.long, torch.float32])
def test_a_mask_of_four_dimensions_is_told(encoder, dtype):
    mask = torch.ones(2, 1, 3, 3, dtype=dtype)
    with told(ValueError, "attention_mask has shape (2, 1, 3, 3), expected (2, 3)"):
        encoder(IDS, mask)


def test_a_mask_that_is_a_list_is_told(encoder):
    with told(TypeError, "attention_mask is a list, expected a torch.Tensor"):
        encoder(IDS, [[1, 1, 1], [1, 1, 0]])


@pytest.mark.parametrize("name", [ENCODER, SEQUENCE, TOKEN, QUESTION, MASKED_LM])
@torch.no_grad()
def test_a_row_that_hides_all_its_tokens_hides_none(name):
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    shown = torch.tensor([[1, 1, 0], [1, 1, 1]])
    for attention in ATTENTIONS:
        model, _ = twins(OURS, name, attention=attention, **SMALL)
        assert_same(model(IDS, mask), model(IDS, shown))


@torch.no_grad()
def test_a_hidden_row_is_the_same_on_both_paths():
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    sdpa, eager = (
        twins(OURS, ENCODER, attention=attention, **SMALL)[0](IDS, mask)
        for attention in ATTENTIONS
    )
    assert sdpa.last_hidden_state.isfinite().all()
    assert_same(sdpa, eager, tolerance=1e-5)


@torch.no_grad()
def test_a_hidden_row_does_not_change_the_others(encoder):
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    together = encoder(IDS, mask).last_hidden_state[:1]
    alone = encoder(IDS[:1], mask[:1]).last_hidden_state
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


# Padding without a mask


@pytest.fixture
def padded():
    return torch.tensor([[2, 3, 4], [5, 6, 0]])


@pytest.mark.parametrize("name", NAMES)
def test_padding_without_a_mask_is_told(models, name, padded):
    ids = padded[:, None].expand(2, 3, 3) if name == CHOICE else padded
    with pytest.warns(UserWarning, match=r"padding id 0, but .* no attention_mask"):
        models[name](ids)


def test_padding_without_a_mask_is_told_once(encoder, padded):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        encoder(padded)
        encoder(padded.flip(0))
    assert len(caught) == 1


@pytest.mark.filterwarnings("error")
def test_padding_with_a_mask_is_not_told(encoder, padded):
    encoder(padded, (padded != 0).long())


@pytest.mark.filterwarnings("error")
def test_no_padding_is_not_told(encoder):
    encoder(IDS)


@pytest.mark.filterwarnings("error")
def test_without_a_padding_id_nothing_is_padding(padded):
    config = DistilBertConfig(**SMALL | {"pad_token_id": None})
    OURS.DistilBertModel(config)(padded)


# Positions


@pytest.mark.parametrize("shape", [(3,), (2, 4), (3, 3), (2, 1)])
def test_positions_of_another_shape_are_told(encoder, shape):
    with told(ValueError, f"position_ids has shape {shape}, expected (2, 3)"):
        encoder(IDS, position_ids=torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("wrong", [-1, 40])
def test_a_position_outside_the_table_is_named(encoder, wrong):
    positions = torch.tensor([[0, 1, wrong]])
    with told(IndexError, f"position_ids holds {wrong}, expected 0 to 39"):
        encoder(IDS, position_ids=positions)


def test_positions_must_be_integers(encoder):
    with told(TypeError, "position_ids is torch.float32, expected integers"):
        encoder(IDS, position_ids=torch.zeros(2, 3))


@torch.no_grad()
def test_left_padding_does_not_shift_the_positions(encoder):
    # As in transformers: the answer is another one, unless positions are given.
    right = encoder(IDS[:1]).last_hidden_state
    ids, mask = torch.tensor([[0, 2, 3, 4]]), torch.tensor([[0, 1, 1, 1]])
    left = encoder(ids, mask).last_hidden_state[:, 1:]
    assert (left - right).abs().max() > 0.01
    positions = torch.tensor([[0, 0, 1, 2]])
    given = encoder(ids, mask, position_ids=positions).last_hidden_state[:, 1:]
    torch.testing.assert_close(given, right, rtol=0, atol=1e-5)


# Keywords


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("attentionmask", "attention_mask"),
        ("position_id", "position_ids"),
        ("output_attention", "output_attentions"),
    ],
)
def test_an_unknown_keyword_gets_the_nearest_name(models, name, wrong, right):
    with told(TypeError, f"no argument {wrong!r}; did you mean {right!r}?"):
        models[name](ids_for(name, 2, 3, 53), **{wrong: None})


def test_a_keyword_like_no_other_gets_all_the_names(encoder):
    with told(TypeError, "no argument 'zzz'", "attention_mask", "input_ids"):
        encoder(IDS, zzz=1)


@pytest.mark.parametrize("keyword", ["labels", "start_positions", "end_positions"])
def test_the_bare_encoder_has_no_loss(encoder, keyword):
    with told(TypeError, f"{keyword} was given", "bare encoder neither"):
        encoder(IDS, **{keyword: IDS})


def test_question_answering_has_no_labels(models):
    with told(TypeError, "labels was given", "start_positions and end_positions"):
        models[QUESTION](IDS, labels=IDS)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_token_types_are_accepted_and_ignored(models, name):
    ids = ids_for(name, 2, 3, 53)
    mask = right_padded(ids)
    types = torch.ones_like(ids)
    assert_same(models[name](ids, mask, token_type_ids=types), models[name](ids, mask))


def test_an_unknown_attention_is_told():
    config = DistilBertConfig(**SMALL)
    for name in NAMES:
        with told(ValueError, "attn_implementation is 'flash', expected", "'sdpa'"):
            getattr(OURS, name)(config, attn_implementation="flash")


def test_an_unknown_option_of_a_head_is_told():
    with pytest.raises(TypeError, match="attention_implementation"):
        OURS.DistilBertForMaskedLM(
            DistilBertConfig(**SMALL), attention_implementation="eager"
        )


# Multiple choice


@torch.no_grad()
def test_choices_need_not_be_contiguous(models):
    ids = ids_for(CHOICE, 2, 5, 53)
    scattered = ids.transpose(0, 1).contiguous().transpose(0, 1)
    assert not scattered.is_contiguous()
    assert_same(models[CHOICE](scattered), models[CHOICE](ids))


@pytest.mark.parametrize("shape", [(2, 3), (2, 0, 3), (1, 2, 3, 4)])
def test_choices_of_another_shape_are_told(models, shape):
    expected = "expected (batch, choices, tokens) with at least one choice"
    with told(ValueError, f"input_ids has shape {shape}", expected):
        models[CHOICE](torch.ones(shape, dtype=torch.long))


def test_choices_as_word_vectors_of_another_shape_are_told(models):
    with told(ValueError, "inputs_embeds has shape (2, 3, 20)", "choices, tokens, dim"):
        models[CHOICE](inputs_embeds=torch.zeros(2, 3, 20))


def test_no_choices_at_all_are_told(models):
    with pytest.raises((TypeError, ValueError), match="input_ids"):
        models[CHOICE]()


def test_a_mask_for_texts_in_place_of_choices_is_told(models):
    with told(ValueError, "attention_mask has shape (2, 5)"):
        models[CHOICE](ids_for(CHOICE, 2, 5, 53), torch.ones(2, 5))


# Labels


@pytest.mark.parametrize("name", [MASKED_LM, TOKEN, SEQUENCE, CHOICE])
def test_labels_that_are_all_ignored_are_told(models, name):
    labels = torch.full_like(LABELS[name]["labels"], -100)
    with told(ValueError, "labels has nothing to take a loss of", "-100"):
        models[name](ids_for(name, 2, 3, 53), labels=labels)


@pytest.mark.parametrize(
    ("name", "classes"), [(MASKED_LM, 53), (TOKEN, 2), (SEQUENCE, 2), (CHOICE, 3)]
)
def test_a_label_of_no_class_is_named(models, name, classes):
    for wrong in (classes, -1):
        labels = LABELS[name]["labels"].clone()
        labels.view(-1)[0] = wrong
        expected = f"labels holds {wrong}, expected 0 to {classes - 1}, or -100"
        with told(ValueError, expected):
            models[name](ids_for(name, 2, 3, 53), labels=labels)


@pytest.mark.parametrize("name", [MASKED_LM, TOKEN, SEQUENCE, CHOICE])
def test_labels_of_another_shape_are_told(models, name):
    shape = tuple(LABELS[name]["labels"].shape)
    labels = torch.zeros(3, *shape[1:], dtype=torch.long)
    with told(ValueError, "labels has shape", f"expected {shape}"):
        models[name](ids_for(name, 2, 3, 53), labels=labels)


@pytest.mark.parametrize("name", [MASKED_LM, TOKEN, CHOICE])
def test_labels_must_be_integers(models, name):
    labels = LABELS[name]["labels"].float()
    with told(TypeError, "labels is torch.float32, expected integers"):
        models[name](ids_for(name, 2, 3, 53), labels=labels)


@pytest.mark.parametrize("name", [MASKED_LM, TOKEN, SEQUENCE, CHOICE])
def test_labels_that_are_a_list_are_told(models, name):
    with told(TypeError, "labels is a list, expected a torch.Tensor"):
        models[name](ids_for(name, 2, 3, 53), labels=[1, 0])


def test_one_end_of_an_answer_is_told(models):
    with told(ValueError, "start_positions and end_positions, or neither"):
        models[QUESTION](IDS, start_positions=torch.tensor([0, 1]))


@pytest.mark.parametrize("place", ["start_positions", "end_positions"])
@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        (torch.tensor([0, -1]), ValueError, "{} holds -1, expected 0 to 2"),
        (torch.tensor([3, 99]), ValueError, "{} has nothing to take a loss of"),
        (torch.tensor([0, 1, 2]), ValueError, "{} has shape (3,), expected (2,)"),
        (torch.tensor([0.0, 1.0]), TypeError, "{} is torch.float32"),
        ([0, 1], TypeError, "{} is a list"),
    ],
)
def test_wrong_ends_of_an_answer_are_told(models, place, positions, error, message):
    answers = dict.fromkeys(["start_positions", "end_positions"], torch.tensor([0, 1]))
    with told(error, message.format(place)):
        models[QUESTION](IDS, **answers | {place: positions})


@pytest.mark.parametrize("name", HEADS)
def test_without_labels_there_is_no_loss(models, name):
    out = models[name](ids_for(name, 2, 3, 53))
    assert out.loss is None
    assert "loss" not in out
