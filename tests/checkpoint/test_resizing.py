"""Vocabularies that grow and shrink, and the switches around training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from torch import Tensor

from minidistil import (
    ConfigError,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
)

SHAPE = {
    "vocab_size": 30,
    "dim": 20,
    "n_heads": 2,
    "hidden_dim": 44,
    "n_layers": 2,
    "max_position_embeddings": 16,
}
IDS = torch.tensor([[2, 7, 29, 11], [5, 1, 3, 8]])


def masked_lm(**config: object) -> DistilBertForMaskedLM:
    return DistilBertForMaskedLM(DistilBertConfig(**SHAPE, **config)).eval()


@torch.no_grad()
def logits(model: torch.nn.Module, ids: Tensor = IDS) -> Tensor:
    return model(ids).logits


@pytest.mark.parametrize("tied", [True, False])
def test_the_words_that_stay_are_read_and_scored_as_before(tied: bool) -> None:
    model = masked_lm(tie_word_embeddings=tied)
    before = logits(model)
    model.resize_token_embeddings(41)
    after = logits(model)
    assert after.shape == (2, 4, 41)
    # Other products of a longer matrix may round differently.
    assert torch.allclose(after[..., :30], before, atol=1e-6)
    logits(model, torch.tensor([[40, 30]]))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("size", [41, 12])
def test_transformers_opens_a_resized_model_and_agrees(
    tied: bool, size: int, tmp_path: Path
) -> None:
    model = masked_lm(tie_word_embeddings=tied)
    model.resize_token_embeddings(size)
    model.save_pretrained(tmp_path)
    theirs, report = transformers.DistilBertForMaskedLM.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not any(report.values())
    assert theirs.config.vocab_size == size
    ids = torch.arange(size)[None, :12]
    assert torch.equal(logits(model, ids), logits(theirs.eval(), ids))


@pytest.mark.parametrize("tied", [True, False])
def test_a_tied_model_stays_tied_and_an_untied_one_untied(tied: bool) -> None:
    model = masked_lm(tie_word_embeddings=tied)
    words = model.resize_token_embeddings(41)
    assert words is model.get_input_embeddings()
    assert (model.vocab_projector.weight is words.weight) is tied


def test_new_words_are_drawn_as_before_training() -> None:
    config = DistilBertConfig(**SHAPE | {"dim": 100}, initializer_range=0.5)
    model = DistilBertForMaskedLM(config)
    words = model.resize_token_embeddings(1030).weight[30:]
    assert words.std().item() == pytest.approx(0.5, rel=0.02)
    assert not model.vocab_projector.bias[30:].any()


def test_shrinking_drops_the_last_words_only() -> None:
    model = DistilBertModel(DistilBertConfig(**SHAPE))
    before = model.get_input_embeddings().weight.detach().clone()
    after = model.resize_token_embeddings(12).weight
    assert torch.equal(after, before[:12])
    with pytest.raises(IndexError, match="input_ids holds 12, expected 0 to 11"):
        model(torch.tensor([[12]]))


def test_encoder_and_head_have_one_configuration() -> None:
    model = DistilBertForSequenceClassification(DistilBertConfig(**SHAPE))
    model.resize_token_embeddings(41)
    assert model.config is model.distilbert.config
    assert model.config.vocab_size == 41


def test_type_training_mode_and_freezing_are_kept() -> None:
    model = masked_lm().to(torch.float64).train()
    model.get_input_embeddings().weight.requires_grad_(False)
    words = model.resize_token_embeddings(41)
    assert words.weight.dtype == torch.float64
    assert words.training
    assert model.vocab_projector.training
    assert not words.weight.requires_grad


def test_all_of_a_resized_model_is_trained() -> None:
    model = masked_lm().train()
    model.resize_token_embeddings(41)
    model(torch.tensor([[40, 2]]), labels=torch.tensor([[3, 40]])).loss.backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_a_vocabulary_without_words_is_refused(size: float) -> None:
    model = masked_lm()
    with pytest.raises(ConfigError, match=r"vocab_size is .*, expected an integer"):
        model.resize_token_embeddings(size)
    assert model.config.vocab_size == 30
    assert logits(model).shape == (2, 4, 30)


def test_a_vocabulary_without_the_padding_token_is_refused() -> None:
    model = masked_lm(pad_token_id=7)
    with pytest.raises(ConfigError, match="pad_token_id is 7"):
        model.resize_token_embeddings(7)


def test_gradient_checkpointing_is_switched_on_and_off() -> None:
    for model in (masked_lm(), DistilBertModel(DistilBertConfig(**SHAPE))):
        model.gradient_checkpointing_enable()
        assert model.encoder.transformer.gradient_checkpointing
        model.gradient_checkpointing_disable()
        assert not model.encoder.transformer.gradient_checkpointing


def test_device_and_type_are_those_of_the_parameters() -> None:
    model = masked_lm().to(torch.bfloat16)
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.bfloat16
