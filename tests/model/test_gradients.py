"""Gradients: those of transformers, with and without checkpointing."""

from __future__ import annotations

import pytest
import torch
from reference import (
    ATTENTIONS,
    HEADS,
    LABELS,
    MASKED_LM,
    NAMES,
    OURS,
    SEQUENCE,
    SMALL,
    check_gradients,
    ids_for,
    right_padded,
    twins,
)

HEAD_SIZE_64 = {"dim": 128, "n_heads": 2, "hidden_dim": 200, "n_layers": 2}


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_is_that_of_transformers(name, attention):
    check_gradients(OURS, name, attention)


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_every_gradient_is_equal_at_another_size(name, attention):
    check_gradients(OURS, name, attention, **HEAD_SIZE_64)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_an_untied_output_matrix_has_its_own_gradient(attention):
    check_gradients(OURS, MASKED_LM, attention, tie_word_embeddings=False)


def gradients(model, name, *, checkpointing):
    ids = ids_for(name, 2, 3, SMALL["vocab_size"])
    model.train().zero_grad(set_to_none=True)
    model.distilbert.transformer.gradient_checkpointing = checkpointing
    torch.manual_seed(7)
    out = model(ids, right_padded(ids), **LABELS[name])
    out.loss.backward()
    return {key: value.grad.clone() for key, value in model.named_parameters()}


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", HEADS)
def test_checkpointing_changes_no_gradient_dropout_included(name, attention):
    model, _ = twins(OURS, name, attention=attention, **SMALL)
    without = gradients(model, name, checkpointing=False)
    with_it = gradients(model, name, checkpointing=True)
    assert all(torch.equal(without[key], with_it[key]) for key in without)


def test_checkpointing_computes_every_block_again():
    model, _ = twins(OURS, MASKED_LM, **SMALL)
    runs = []
    for block in model.distilbert.transformer.layer:
        block.register_forward_pre_hook(lambda *_: runs.append(1))
    gradients(model, MASKED_LM, checkpointing=False)
    assert len(runs) == SMALL["n_layers"]
    gradients(model, MASKED_LM, checkpointing=True)
    assert len(runs) == 3 * SMALL["n_layers"]


def test_the_padding_row_of_the_words_is_not_trained():
    # transformers' embedding has the same padding_idx; a tied output would train it.
    model, _ = twins(OURS, SEQUENCE, **SMALL)
    ids = torch.tensor([[3, 0, 0]])
    model(ids, torch.ones_like(ids), labels=torch.tensor([1])).loss.backward()
    assert not model.distilbert.embeddings.word_embeddings.weight.grad[0].any()
