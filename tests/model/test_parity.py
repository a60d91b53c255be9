"""Bitwise equality with transformers, on weights chosen to show every difference."""

from __future__ import annotations

import pytest
import torch
from reference import (
    ATTENTIONS,
    BASE,
    CHOICE,
    ENCODER,
    MASKED_LM,
    NAMES,
    OURS,
    SEQUENCE,
    SMALL,
    TOKEN,
    assert_same,
    check_forward,
    check_positions,
    check_word_vectors,
    ids_for,
    left_padded,
    right_padded,
    twins,
    with_holes,
)

HEAD_SIZE_64 = {"dim": 128, "n_heads": 2, "hidden_dim": 200, "n_layers": 2}
ONE_HEAD = {"dim": 33, "n_heads": 1, "hidden_dim": 7, "n_layers": 1}
MANY_HEADS = {"dim": 48, "n_heads": 16, "hidden_dim": 64, "n_layers": 4}

pytestmark = pytest.mark.parametrize("attention", ATTENTIONS)


def all_ones(ids):
    return torch.ones_like(ids)


@pytest.mark.parametrize(
    "mask", [right_padded, left_padded, with_holes, all_ones, None]
)
@pytest.mark.parametrize("name", NAMES)
def test_every_bit_is_that_of_transformers(name, attention, mask):
    check_forward(OURS, name, attention, mask=mask)


@pytest.mark.parametrize("config", [HEAD_SIZE_64, ONE_HEAD, MANY_HEADS])
@pytest.mark.parametrize("name", NAMES)
def test_every_bit_is_equal_at_other_sizes(name, attention, config):
    check_forward(OURS, name, attention, batch=4, tokens=37, **config)


@pytest.mark.parametrize(("batch", "tokens"), [(1, 1), (5, 1), (1, 40), (2, 2)])
@pytest.mark.parametrize("name", NAMES)
def test_every_bit_is_equal_for_other_batches(name, attention, batch, tokens):
    check_forward(OURS, name, attention, batch=batch, tokens=tokens)


@pytest.mark.parametrize("labels", [1, 5])
@pytest.mark.parametrize("name", [SEQUENCE, TOKEN])
def test_every_bit_is_equal_for_any_number_of_labels(name, attention, labels):
    check_forward(OURS, name, attention, num_labels=labels)


@pytest.mark.parametrize("name", [ENCODER, MASKED_LM])
def test_relu_is_the_other_activation(name, attention):
    check_forward(OURS, name, attention, activation="relu")


@pytest.mark.parametrize("name", [ENCODER, MASKED_LM])
def test_loaded_positions_win_over_sinusoidal_ones(name, attention):
    check_forward(OURS, name, attention, sinusoidal_pos_embds=True)


def test_the_output_matrix_may_be_untied(attention):
    check_forward(OURS, MASKED_LM, attention, tie_word_embeddings=False)


def test_there_need_be_no_padding_id(attention):
    check_forward(OURS, ENCODER, attention, pad_token_id=None)


@pytest.mark.parametrize("config", [SMALL, HEAD_SIZE_64])
@pytest.mark.parametrize("name", NAMES)
def test_float64_agrees_to_twelve_digits(name, attention, config):
    check_forward(
        OURS,
        name,
        attention,
        tokens=23,
        dtype=torch.float64,
        tolerance=1e-12,
        **config,
    )


@pytest.mark.parametrize(
    "values",
    [
        torch.tensor([True, False]),
        torch.tensor([1, 0], dtype=torch.int32),
        torch.tensor([7, 0]),
        torch.tensor([-1, 0]),
        torch.tensor([1.0, 0.0]),
        torch.tensor([0.25, 0.0]),
        torch.tensor([1.0, 0.0], dtype=torch.float16),
    ],
    ids=str,
)
@torch.no_grad()
def test_any_value_but_zero_means_attend(attention, values):
    ours, theirs = twins(OURS, ENCODER, attention=attention, **SMALL)
    ids = ids_for(ENCODER, 3, 7, 53)
    mask = right_padded(ids)
    given = values[1 - mask]
    assert_same(ours(ids, given), theirs(ids, given))
    assert_same(ours(ids, given), theirs(ids, mask))


def test_word_vectors_may_be_given_in_place_of_ids(attention):
    check_word_vectors(OURS, attention)


@torch.no_grad()
def test_the_choices_may_be_word_vectors(attention):
    ours, theirs = twins(OURS, CHOICE, attention=attention, **SMALL)
    inputs = {"inputs_embeds": torch.randn(2, 3, 7, 20, generator=torch.manual_seed(5))}
    assert_same(ours(**inputs), theirs(**inputs))


@pytest.mark.parametrize("rows", [1, 3])
def test_positions_may_be_given(attention, rows):
    check_positions(OURS, attention, rows=rows)


@torch.no_grad()
def test_the_choices_may_be_given_positions(attention):
    ours, theirs = twins(OURS, CHOICE, attention=attention, **SMALL)
    ids = ids_for(CHOICE, 2, 7, 53)
    positions = ids_for(CHOICE, 2, 7, 40, lowest=0)
    # To transformers, positions are those of the B * C texts.
    reference = theirs(ids, position_ids=positions.flatten(0, 1))
    assert_same(ours(ids, position_ids=positions), reference)


@torch.no_grad()
def test_attentions_are_always_those_of_eager_attention(attention):
    ours, _ = twins(OURS, ENCODER, attention=attention, **SMALL)
    _, eager = twins(OURS, ENCODER, attention="eager", **SMALL)
    ids = ids_for(ENCODER, 3, 7, 53)
    mask = right_padded(ids)
    assert_same(
        ours(ids, mask, output_attentions=True),
        eager(ids, mask, output_attentions=True),
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_every_bit_is_equal_at_the_full_base_size(name, attention):
    check_forward(OURS, name, attention, **BASE)
