"""Dropout and first values, in the places and of the kind that transformers has."""

from __future__ import annotations

import pytest
import torch
import transformers
from reference import (
    ATTENTIONS,
    ENCODER,
    MASKED_LM,
    NAMES,
    OURS,
    SMALL,
    assert_equal,
    check_initialisation,
    check_training_mode,
    ids_for,
)

from minidistil.config import DistilBertConfig

# Four different rates: no dropout can stand in for another.
RATES = {
    "dropout": 0.15,
    "attention_dropout": 0.25,
    "qa_dropout": 0.35,
    "seq_classif_dropout": 0.45,
}


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_drops_what_transformers_drops(name, attention):
    check_training_mode(OURS, name, attention, **RATES)


@pytest.mark.parametrize("name", NAMES)
def test_first_values_are_drawn_as_transformers_draws_them(name):
    check_initialisation(OURS, name)


@pytest.mark.parametrize("name", [ENCODER, MASKED_LM])
def test_sinusoidal_positions_are_those_of_transformers(name):
    check_initialisation(OURS, name, sinusoidal_pos_embds=True)


@pytest.mark.parametrize(("positions", "dim"), [(512, 768), (7, 10), (3, 33)])
def test_sinusoidal_positions_are_equal_to_the_last_bit(positions, dim):
    config = SMALL | {
        "max_position_embeddings": positions,
        "dim": dim,
        "n_heads": 1,
        "sinusoidal_pos_embds": True,
    }
    tables = [
        encoder.embeddings.position_embeddings.weight
        for encoder in (
            OURS.DistilBertModel(DistilBertConfig(**config)),
            transformers.DistilBertModel(transformers.DistilBertConfig(**config)),
        )
    ]
    assert_equal("position_embeddings", *tables)


def test_without_a_padding_id_no_row_is_zero():
    config = DistilBertConfig(**SMALL | {"pad_token_id": None})
    words = OURS.DistilBertModel(config).embeddings.word_embeddings.weight
    assert words.any(dim=1).all()


def test_the_padding_row_is_the_one_the_config_names():
    config = DistilBertConfig(**SMALL | {"pad_token_id": 9})
    words = OURS.DistilBertModel(config).embeddings.word_embeddings.weight
    assert (~words.any(dim=1)).nonzero().flatten().tolist() == [9]


def test_the_output_matrix_is_the_word_embeddings():
    model = OURS.DistilBertForMaskedLM(DistilBertConfig(**SMALL))
    words = model.distilbert.embeddings.word_embeddings.weight
    assert model.vocab_projector.weight is words


def test_an_untied_output_matrix_is_its_own():
    config = DistilBertConfig(**SMALL | {"tie_word_embeddings": False})
    model = OURS.DistilBertForMaskedLM(config)
    words = model.distilbert.embeddings.word_embeddings.weight
    assert not torch.equal(model.vocab_projector.weight, words)


def test_a_seed_fixes_the_first_values():
    def build():
        torch.manual_seed(4)
        return OURS.DistilBertForMaskedLM(DistilBertConfig(**SMALL)).state_dict()

    first, second = build(), build()
    assert all(torch.equal(first[key], second[key]) for key in first)


@torch.no_grad()
def test_eval_mode_drops_nothing():
    config = DistilBertConfig(**SMALL | {"dropout": 1.0, "attention_dropout": 1.0})
    model = OURS.DistilBertModel(config).eval()
    ids = ids_for(ENCODER, 2, 5, 53)
    first, second = (model(ids).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    assert first.abs().max() > 0.1
