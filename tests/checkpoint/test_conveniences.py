"""What training programs ask of any model: the answers are those of transformers."""

from __future__ import annotations

import gc
import pickle
import warnings
from typing import Any

import pytest
import torch
import transformers
from checkpoints import SHAPE
from reference import HEADS, NAMES
from torch import nn
from transformers import conversion_mapping

import minidistil
from minidistil import (
    AutoModelForMaskedLM,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
)

IDS = torch.tensor([[5, 9, 3, 7]])


def both(name: str, **config: Any) -> tuple[Any, Any]:
    """Our model and transformers', with the same weights."""
    theirs = getattr(transformers, name)(
        transformers.DistilBertConfig(**SHAPE | config)
    )
    ours = getattr(minidistil, name)(DistilBertConfig(**SHAPE | config))
    ours.load_state_dict(theirs.state_dict())
    return ours.eval(), theirs.eval()


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_of_a_model_are_those_of_transformers(name):
    ours, theirs = both(name)
    for model in (ours, theirs):
        model.base_model.requires_grad_(False)
        model.base_model.embeddings.LayerNorm.requires_grad_(True)
    for trainable in (False, True):
        for without in (False, True):
            asked = {"only_trainable": trainable, "exclude_embeddings": without}
            assert ours.num_parameters(**asked) == theirs.num_parameters(**asked), asked
    for _ in range(2):
        expected = theirs.get_memory_footprint(return_buffers=False)
        assert ours.get_memory_footprint(return_buffers=False) == expected
        assert ours.get_memory_footprint() == expected, "we have no buffers"
        ours.half(), theirs.half()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "attribute",
    [
        "base_model_prefix",
        "main_input_name",
        "supports_gradient_checkpointing",
        "is_gradient_checkpointing",
        "device",
        "dtype",
        "name_or_path",
    ],
)
def test_what_a_model_says_of_itself_is_what_transformers_says(name, attribute):
    ours, theirs = both(name)
    assert getattr(ours, attribute) == getattr(theirs, attribute)


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_a_model_have_the_names_of_transformers(name):
    ours, theirs = both(name)
    assert ours.config_class.__name__ == theirs.config_class.__name__
    assert type(ours.base_model).__name__ == type(theirs.base_model).__name__
    assert ours.can_generate() is theirs.can_generate() is False
    for getter in (
        "get_input_embeddings",
        "get_output_embeddings",
        "get_position_embeddings",
    ):
        mine, yours = (getattr(model, getter)() for model in (ours, theirs))
        assert (mine is None) == (yours is None), getter
        assert mine is None or torch.equal(mine.weight, yours.weight), getter


@pytest.mark.parametrize("name", NAMES)
def test_the_code_of_a_model_is_not_of_transformers(name):
    """peft asks, to rename what transformers renames in models of its own."""
    ours, theirs = both(name)
    assert ours.is_custom_code()
    assert not ours.is_remote_code()
    renamed = map(conversion_mapping.get_model_conversion_mapping, (ours, theirs))
    assert len({str(each) for each in renamed}) == 1


def test_a_model_counts_its_labels():
    ours, theirs = both("DistilBertForSequenceClassification", num_labels=3)
    assert ours.num_labels == theirs.num_labels == 3


def test_a_model_remembers_where_it_came_from(tmp_path):
    ours, theirs = both("DistilBertModel")
    ours.save_pretrained(tmp_path)
    for kind in (type(ours), type(theirs)):
        assert kind.from_pretrained(str(tmp_path)).name_or_path == str(tmp_path)
    # peft reads it from there.
    assert "name_or_path" in vars(ours)


# Words


def test_the_layer_that_scores_words_can_be_replaced():
    ours, theirs = both("DistilBertForMaskedLM")
    for model in (ours, theirs):
        torch.manual_seed(0)
        model.set_input_embeddings(nn.Embedding(31, 12))
        model.set_output_embeddings(nn.Linear(12, 31))
    assert torch.equal(ours(IDS).logits, theirs(IDS).logits)
    assert not ours.is_tied
    for model in (ours, theirs):
        model.tie_weights()
    assert ours.is_tied
    assert torch.equal(ours(IDS).logits, theirs(IDS).logits)


def test_words_are_tied_only_if_the_config_says_so():
    model = DistilBertForMaskedLM(DistilBertConfig(**SHAPE, tie_word_embeddings=False))
    model.tie_weights()
    assert not model.is_tied
    DistilBertModel(DistilBertConfig(**SHAPE)).tie_weights()  # has nothing to tie


@pytest.mark.parametrize(
    "asked",
    [
        {"new_num_tokens": 40},
        {"new_num_tokens": 33, "pad_to_multiple_of": 8},
        {"pad_to_multiple_of": 16},
        {"new_num_tokens": 20},
        {"new_num_tokens": None},
        {"new_num_tokens": 40, "mean_resizing": True},
        {"new_num_tokens": 40, "mean_resizing": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("tied", [True, False])
def test_a_vocabulary_of_another_size_is_that_of_transformers(asked, tied):
    ours, theirs = both("DistilBertForMaskedLM", tie_word_embeddings=tied)
    results = [model.resize_token_embeddings(**asked) for model in (ours, theirs)]
    assert results[0].weight.shape == results[1].weight.shape
    assert results[0] is ours.get_input_embeddings()
    assert ours.config.vocab_size == theirs.config.vocab_size
    known = min(31, ours.config.vocab_size)
    with torch.no_grad():
        mine, yours = ours(IDS).logits, theirs(IDS).logits
    assert torch.allclose(mine[..., :known], yours[..., :known], atol=1e-6)


@pytest.mark.parametrize("tied", [True, False])
def test_new_words_are_next_to_the_mean_if_that_is_asked_for(tied):
    ours, theirs = both("DistilBertForMaskedLM", tie_word_embeddings=tied)
    old = ours.get_input_embeddings().weight.detach().clone()
    for model in (ours, theirs):
        with torch.no_grad():
            model.vocab_projector.bias.normal_()
        bias = model.vocab_projector.bias.detach().clone()
        model.resize_token_embeddings(600, mean_resizing=True)
        new = model.get_input_embeddings().weight[31:]
        # Of 569 draws with a billionth of the covariance.
        assert torch.allclose(new.mean(0), old.mean(0), atol=1e-5)
        assert torch.allclose(new, old.mean(0).expand_as(new), atol=1e-4)
        assert len({*map(tuple, new.tolist())}) > 500
        biases = model.vocab_projector.bias[31:]
        expected = torch.tensor(0.0) if tied else bias.mean()
        assert torch.allclose(biases, expected.expand(569), atol=1e-3)


# Training


@pytest.mark.parametrize(
    "asked", [{}, None, {"use_reentrant": False}, {"use_reentrant": True}], ids=str
)
def test_gradient_checkpointing_is_switched_on_and_off(asked):
    model = DistilBertForSequenceClassification(DistilBertConfig(**SHAPE)).eval()
    model(IDS).logits.sum().backward()
    expected = [each.grad.clone() for each in model.parameters()]
    model.zero_grad()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=asked)
    assert model.is_gradient_checkpointing
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    model.train()(IDS).logits.sum().backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-6)
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing


def test_what_checkpointing_cannot_do_is_said():
    model = DistilBertModel(DistilBertConfig(**SHAPE))
    with pytest.raises(TypeError, match="'context_fn', expected use_reentrant alone"):
        model.gradient_checkpointing_enable({"context_fn": print})
    assert not model.is_gradient_checkpointing


@pytest.mark.parametrize("name", HEADS)
def test_gradients_can_be_let_through_to_the_words(name):
    ours, theirs = both(name)
    ids = IDS[None] if "Choice" in name else IDS
    for model in (ours, theirs):
        model.requires_grad_(False)
        assert not model(ids)[0].requires_grad
        for _ in range(2):  # a second time changes nothing
            model.enable_input_require_grads()
        assert model(ids)[0].requires_grad
        model.disable_input_require_grads()
    assert not ours(ids)[0].requires_grad
    ours.disable_input_require_grads()


def test_a_checkpoint_of_the_trainer_is_resumed_in_a_tied_model():
    """It loads what a tied model's file has, and asks what may be missing."""
    ours, theirs = both("DistilBertForMaskedLM")
    saved = theirs.state_dict()
    del saved["vocab_projector.weight"]
    found = ours.load_state_dict(saved, strict=False)
    assert found.missing_keys == ours._keys_to_ignore_on_save
    untied = DistilBertForMaskedLM(DistilBertConfig(**SHAPE, tie_word_embeddings=False))
    assert untied._keys_to_ignore_on_save is None


# What is not there


@pytest.mark.parametrize(
    ("attribute", "part"),
    [
        ("generate", "is an encoder"),
        ("prepare_inputs_for_generation", "is an encoder"),
        ("add_adapter", "peft.get_peft_model"),
        ("bert", "model.distilbert"),
    ],
)
def test_what_an_encoder_has_not_is_said(attribute, part):
    model = AutoModelForMaskedLM.from_pretrained("tiny", new_head=True)
    assert not hasattr(model, attribute)
    with pytest.raises(AttributeError, match=f"has no '{attribute}': .*{part}"):
        getattr(model, attribute)
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = model.nonsense


def test_a_model_with_its_conveniences_is_pickled_and_freed():
    ours, _ = both("DistilBertForMaskedLM")
    again = pickle.loads(pickle.dumps(ours))
    assert again.is_tied
    assert torch.equal(again(IDS).logits, ours(IDS).logits)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del again
        gc.collect()
