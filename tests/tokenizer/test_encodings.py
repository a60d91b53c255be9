"""Where tokens came from: every answer of an encoding is that of transformers."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from tokenizers import Tokenizer
from transformers import (
    BatchEncoding as ReferenceEncoding,
    DistilBertTokenizer as Reference,
)

from minidistil.tokenizer import BatchEncoding, DistilBertTokenizer

TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##a", "##b", "e", "中",
    "!", "'",
]  # fmt: skip
VOCAB = {token: id for id, token in enumerate(TOKENS)}
THEIRS = Reference(VOCAB, model_max_length=512)
OURS = [DistilBertTokenizer(VOCAB, backend=kind) for kind in ("rust", "python")]
WORDS = st.sampled_from(
    ["a", "ab", "bab!", "É", "中a", "[MASK]", "q", "a'b", "", " ", "\u200b", "x" * 101]
)
TEXTS = st.lists(WORDS, max_size=8).map(" ".join)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "add_special_tokens": st.booleans(),
        "padding": st.sampled_from([True, "max_length"]),
        "truncation": st.sampled_from([True, "only_first", "only_second"]),
        "max_length": st.integers(8, 14),
        "padding_side": st.sampled_from(["left", "right"]),
        "return_overflowing_tokens": st.just(True),
    },
)
PARTS = (
    "ids", "tokens", "offsets", "word_ids", "sequence_ids", "type_ids",
    "attention_mask", "special_tokens_mask", "n_sequences",
)  # fmt: skip


def parts(encoding: Any) -> dict[str, Any]:
    """All that one row says of itself, and of what was truncated."""
    found = {name: getattr(encoding, name) for name in PARTS}
    found["length"] = len(encoding)
    found["rest"] = [
        {name: getattr(more, name) for name in PARTS} for more in encoding.overflowing
    ]
    return found


def answers(encoding: Any) -> list[Any]:
    """What each method answers, also for places, words and characters not there."""
    found: list[Any] = []
    for row in range(len(encoding.encodings)):
        size = len(encoding.encodings[row])
        for name in ("token_to_sequence", "token_to_word", "token_to_chars"):
            found += [getattr(encoding, name)(row, at) for at in range(size + 2)]
        for name in ("word_to_tokens", "char_to_token", "char_to_word"):
            ask = getattr(encoding, name)
            found += [ask(row, at, text) for at in range(25) for text in (0, 1)]
        for at in range(12):
            for text in (0, 1):
                # There it raises TypeError where there is no such word.
                there = encoding.word_to_tokens(row, at, text) is not None
                found.append(there and encoding.word_to_chars(row, at, text))
    return found


@given(st.lists(TEXTS, min_size=1, max_size=3), st.booleans(), OPTIONS)
@settings(deadline=None, derandomize=True, max_examples=150)
def test_an_encoding_answers_as_that_of_transformers(
    texts: list[str], pairs: bool, options: dict[str, Any]
) -> None:
    batch = (texts, texts[::-1]) if pairs else (texts,)
    if not pairs and options.get("truncation") == "only_second":
        options = {**options, "truncation": True}
    try:
        theirs = THEIRS(*batch, **options)
    except BaseException as error:  # Rust's panics are no Exceptions
        if isinstance(error, KeyboardInterrupt):
            raise
        theirs = None
    for tokenizer in OURS:
        if theirs is None:
            with pytest.raises(ValueError, match="max_length"):
                _ = [row.overflowing for row in tokenizer(*batch, **options)[:]]
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = tokenizer(*batch, **options)
        assert [*map(parts, ours.encodings)] == [*map(parts, theirs.encodings)]
        assert answers(ours) == answers(theirs)
        assert ours.n_sequences == theirs.n_sequences
        assert ours.is_fast is theirs.is_fast is True


@given(st.lists(st.lists(WORDS, max_size=4), min_size=1, max_size=3))
@settings(deadline=None, derandomize=True, max_examples=50)
def test_words_are_found_as_in_transformers(rows: list[list[str]]) -> None:
    theirs = THEIRS(rows, is_split_into_words=True)
    for tokenizer in OURS:
        ours = tokenizer(rows, is_split_into_words=True)
        assert [*map(parts, ours.encodings)] == [*map(parts, theirs.encodings)]
        assert answers(ours) == answers(theirs)


@pytest.mark.parametrize("ours", OURS, ids=["rust", "python"])
def test_one_number_is_of_the_first_row(ours: DistilBertTokenizer) -> None:
    mine, other = ours("ab 中a b"), THEIRS("ab 中a b")
    for name in (
        "token_to_sequence", "token_to_word", "token_to_chars", "word_to_tokens",
        "word_to_chars", "char_to_token", "char_to_word",
    ):  # fmt: skip
        for number in (1, np.int64(2)):
            expected = getattr(other, name)(int(number))
            assert getattr(mine, name)(number) == expected, name
            assert type(getattr(mine, name)(number)).__name__ == type(expected).__name__
    assert mine.word_to_tokens(0).start == 1
    assert mine.word_to_chars(1).end == 4


@pytest.mark.parametrize("ours", OURS, ids=["rust", "python"])
def test_negative_numbers_count_rows_and_tokens_from_the_end(
    ours: DistilBertTokenizer,
) -> None:
    encoding = ours(["ab", "b 中 e"])
    assert encoding.token_to_chars(-1, -2) == encoding.token_to_chars(1, 3) == (4, 5)
    assert encoding.token_to_word(-1, -2) == 2
    assert encoding.token_to_sequence(1, -1) is None
    assert encoding.tokens(-1) == encoding.tokens(1)
    assert encoding[-1].ids == encoding.input_ids[1]
    assert encoding.token_to_chars(0, 99) is encoding.token_to_word(0, -99) is None
    assert encoding.word_to_chars(0, 99) is None
    with pytest.raises(IndexError):
        encoding.token_to_chars(2, 0)


@pytest.mark.parametrize("ours", OURS, ids=["rust", "python"])
def test_rows_and_values_are_got_as_in_transformers(ours: DistilBertTokenizer) -> None:
    texts = ["ab", "b 中", "e"]
    mine, other = ours(texts), THEIRS(texts)
    assert parts(mine[1]) == parts(other[1])
    assert [*map(parts, mine[1:])] == [*map(parts, other[1:])]
    assert mine.data == other.data
    assert mine[["input_ids"][0]] == mine.data["input_ids"] == mine["input_ids"]
    without, there = ours.pad(mine), THEIRS.pad(other)
    assert without.encodings is without.n_sequences is None
    assert not without.is_fast
    assert without[:2] == there[:2]
    with pytest.raises(KeyError, match="no row 0"):
        without[0]
    assert isinstance(mine, Mapping)
    assert {**mine} == dict(mine.items()) == dict(other)
    assert json.loads(json.dumps(mine)) == dict(other)


@pytest.mark.parametrize("kind", ["pt", "np"])
@pytest.mark.parametrize("ours", OURS, ids=["rust", "python"])
def test_values_become_tensors_as_in_transformers(
    ours: DistilBertTokenizer, kind: str
) -> None:
    for text, axis in (("ab b", True), ("ab b", False), (["ab", "bb"], False)):
        mine = ours(text).convert_to_tensors(kind, prepend_batch_axis=axis)
        other = THEIRS(text).convert_to_tensors(kind, prepend_batch_axis=axis)
        made = BatchEncoding(ours(text), tensor_type=kind, prepend_batch_axis=axis)
        for name, value in other.items():
            for tensor in (mine[name], made[name]):
                assert type(tensor) is type(value)
                assert tensor.dtype == value.dtype
                assert tensor.tolist() == value.tolist()
    encoding = ours("ab")
    assert encoding.convert_to_tensors() is encoding
    assert encoding.input_ids == THEIRS("ab")["input_ids"]
    with pytest.raises(ValueError, match="tensor_type is 'tf'"):
        encoding.convert_to_tensors("tf")


def test_an_encoding_is_made_as_that_of_transformers() -> None:
    rows = Tokenizer.from_str(THEIRS.backend_tokenizer.to_str()).encode("ab b")
    data = {"input_ids": rows.ids}
    mine, other = BatchEncoding(data, rows), ReferenceEncoding(data, rows)
    assert mine.tokens() == other.tokens()
    assert mine.word_to_tokens(1) == other.word_to_tokens(1)
    assert mine.n_sequences == other.n_sequences == 1
    assert BatchEncoding().data == ReferenceEncoding().data == {}
    assert BatchEncoding(data, n_sequences=2).n_sequences == 2


@pytest.mark.parametrize("ours", OURS, ids=["rust", "python"])
def test_a_copy_knows_its_tokens_too(ours: DistilBertTokenizer) -> None:
    encoding = ours(["ab b", "e"], padding=True, return_tensors="pt")
    for other in (
        encoding.copy(),
        copy.copy(encoding),
        copy.deepcopy(encoding),
        pickle.loads(pickle.dumps(encoding)),
    ):
        assert type(other) is BatchEncoding
        assert torch.equal(other.input_ids, encoding.input_ids)
        assert [*map(parts, other.encodings)] == [*map(parts, encoding.encodings)]
        assert other.n_sequences == 1
        other["more"] = 1
    assert "more" not in encoding
