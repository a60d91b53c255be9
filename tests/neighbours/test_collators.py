"""transformers' collators make of our tokenizer the batches they make of theirs."""

from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForPermutationLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorForWholeWordMask,
    DataCollatorWithPadding,
    DefaultDataCollator,
    DistilBertTokenizer as Reference,
)

from minidistil.tokenizer import DistilBertTokenizer

TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##want", "##ed", "runn",
    "##ing", "a", "b", "c", "d", "e",
]  # fmt: skip
VOCAB = {token: id for id, token in enumerate(TOKENS)}
THEIRS = Reference(VOCAB, model_max_length=512)
OURS = [DistilBertTokenizer(VOCAB, backend=kind) for kind in ("rust", "python")]
each = pytest.mark.parametrize("ours", OURS, ids=["rust", "python"])
TEXTS = ["unwanted running a b c d e", "a unwanted", "running [MASK] e"]


def collated(collate: Any, features: list[Any]) -> dict[str, Any]:
    """The batch under one seed of all that is random, and without a warning."""
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batch = collate(features)
    return {name: torch.as_tensor(value).tolist() for name, value in batch.items()}


@each
@pytest.mark.parametrize("tensors", ["pt", "np"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (DataCollatorForLanguageModeling, {"mlm_probability": 0.4}),
        (DataCollatorForLanguageModeling, {"mlm": False}),
        (DataCollatorForLanguageModeling, {"pad_to_multiple_of": 8, "seed": 3}),
        (DataCollatorForLanguageModeling, {"whole_word_mask": True}),
        (DataCollatorForWholeWordMask, {"mlm_probability": 0.4}),
        (DataCollatorForPermutationLanguageModeling, {}),
        (DataCollatorWithPadding, {}),
        (DataCollatorWithPadding, {"padding": "max_length", "max_length": 12}),
    ],
)
def test_masked_and_padded_batches_are_those_of_transformers(
    ours: DistilBertTokenizer, kind: Any, settings: dict[str, Any], tensors: str
) -> None:
    settings = {**settings, "return_tensors": tensors}
    words = "Word" in kind.__name__ or settings.get("whole_word_mask")
    options: dict[str, Any] = {}
    if words:  # theirs are not padded by it
        options = {"return_offsets_mapping": True, "padding": "max_length"}
        options["max_length"] = 14
    batches = []
    for tokenizer in (ours, THEIRS):
        features = [dict(tokenizer(text, **options)) for text in TEXTS]
        if kind is DataCollatorForPermutationLanguageModeling:
            ids = tokenizer("unwanted running b")["input_ids"][:6]
            features = [{"input_ids": ids}] * 2  # of one even length
        batches.append(collated(kind(tokenizer, **settings), features))
    assert batches[0] == batches[1]
    assert "input_ids" in batches[0]


@each
def test_special_tokens_are_never_masked(ours: DistilBertTokenizer) -> None:
    for masks in (True, False):
        collate = DataCollatorForLanguageModeling(ours, mlm_probability=1.0)
        features = [ours(text, return_special_tokens_mask=masks) for text in TEXTS]
        batch = collate(features)
        there = DataCollatorForLanguageModeling(THEIRS, mlm_probability=1.0)
        texts = [THEIRS(text, return_special_tokens_mask=masks) for text in TEXTS]
        assert batch["labels"].tolist() == there(texts)["labels"].tolist()


@each
def test_whole_words_are_masked_in_texts_of_any_length(
    ours: DistilBertTokenizer,
) -> None:
    """Which theirs refuses, whose offsets are not padded."""
    with pytest.warns(UserWarning, match="Random token replacement"):
        collate = DataCollatorForLanguageModeling(
            ours, mlm_probability=0.5, whole_word_mask=True
        )
    torch.manual_seed(0)
    encodings = [ours(text, return_offsets_mapping=True) for text in TEXTS * 20]
    batch = collate([dict(encoding) for encoding in encodings])
    masked = (batch["labels"] != -100).tolist()
    assert any(map(any, masked))
    for encoding, row in zip(encodings, masked, strict=True):
        for word in {*encoding.word_ids()} - {None}:
            start, end = encoding.word_to_tokens(word)
            assert len({*row[start:end]}) == 1


@each
@pytest.mark.parametrize("side", ["right", "left"])
def test_labels_are_padded_as_by_transformers(
    ours: DistilBertTokenizer, side: str
) -> None:
    theirs = Reference(VOCAB, padding_side=side)
    mine = DistilBertTokenizer(VOCAB, backend=ours.backend, padding_side=side)  # type: ignore[arg-type]
    for kind in (DataCollatorForTokenClassification, DataCollatorForSeq2Seq):
        batches = []
        for tokenizer in (mine, theirs):
            features = [dict(tokenizer(text)) for text in TEXTS]
            for feature in features:
                feature["labels"] = [i % 3 for i in range(len(feature["input_ids"]))]
            batches.append(collated(kind(tokenizer), features))
        assert batches[0] == batches[1]


@each
def test_choices_are_padded_as_by_transformers(ours: DistilBertTokenizer) -> None:
    batches = []
    for tokenizer in (ours, THEIRS):
        features = [
            {**tokenizer([text, "a"], ["b", "c d"]), "label": 1} for text in TEXTS
        ]
        batches.append(collated(DataCollatorForMultipleChoice(tokenizer), features))
    assert batches[0] == batches[1]
    assert torch.tensor(batches[0]["input_ids"]).ndim == 3


@each
def test_padded_encodings_become_a_batch(ours: DistilBertTokenizer) -> None:
    batches = []
    for tokenizer in (ours, THEIRS):
        options = {"padding": "max_length", "max_length": 9, "truncation": True}
        features = [{**tokenizer(text, **options), "label": 1} for text in TEXTS]
        batches.append(collated(DefaultDataCollator(), features))
    assert batches[0] == batches[1]
