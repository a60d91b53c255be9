"""A call takes ids from the table of chunks, and the rest from the text when asked."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from typing import Any

import pytest
from texts import odd_text
from transformers import DistilBertTokenizer as Reference

from minidistil.tokenizer import BatchEncoding, DistilBertTokenizer
from minidistil.tokenizer.backends import Backend

OURS = DistilBertTokenizer.from_pretrained("tiny")
REFERENCE = Reference(OURS.get_vocab(), model_max_length=512)
TEXTS = [odd_text(seed, 1 + seed % 20) for seed in range(60)]
CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded": {"padding": True, "padding_side": "left"},
    "cut": {"truncation": True, "max_length": 7},
    "windows": {
        "truncation": True,
        "max_length": 9,
        "stride": 1,
        "return_overflowing_tokens": True,
    },
    "alone": {"add_special_tokens": False, "return_special_tokens_mask": True},
    "split": {"split_special_tokens": True, "return_length": True},
}
every_call = pytest.mark.parametrize("options", CALLS.values(), ids=CALLS)


def columns(encoding: Any) -> list[Any]:
    """All that is known of each row, whoever made it."""
    return [
        (
            row.ids,
            row.tokens,
            row.offsets,
            row.word_ids,
            row.sequence_ids,
            row.attention_mask,
            row.special_tokens_mask,
        )
        for row in encoding.encodings
    ]


def theirs(
    *texts: list[str], split_special_tokens: bool = False, **options: Any
) -> Any:
    # Their call ignores the argument: it has to be set.
    REFERENCE.split_special_tokens = split_special_tokens
    REFERENCE.backend_tokenizer.encode_special_tokens = split_special_tokens
    return REFERENCE(*texts, **options)


@every_call
@pytest.mark.parametrize("pair", [False, True], ids=["texts", "pairs"])
def test_a_row_knows_all_that_transformers_knows(
    options: dict[str, Any], pair: bool
) -> None:
    texts = [TEXTS, TEXTS[::-1]] if pair else [TEXTS]
    ours, reference = OURS(*texts, **options), theirs(*texts, **options)
    assert {**ours} == {name: reference[name] for name in ours}
    assert columns(ours) == columns(reference)


@every_call
def test_a_row_is_the_same_where_all_is_asked_for_at_once(
    options: dict[str, Any],
) -> None:
    later = OURS(TEXTS, **options)
    at_once = OURS(TEXTS, return_offsets_mapping=True, **options)
    assert columns(later) == columns(at_once)
    assert {**at_once} == {
        **later,
        "offset_mapping": [row.offsets for row in later.encodings or ()],
    }


@pytest.fixture
def whole_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that are tokenized as a whole, from now on."""
    found: list[str] = []
    for kind in Backend.__subclasses__():
        encode = kind.encode

        def noted(self: Any, texts: Any, split: bool, encode: Any = encode) -> Any:
            found.extend(texts)
            return encode(self, texts, split)

        monkeypatch.setattr(kind, "encode", noted)
    return found


@pytest.mark.parametrize("backend", ["rust", "python"])
def test_a_text_is_tokenized_as_a_whole_only_if_more_than_ids_is_asked_for(
    whole_texts: list[str], backend: Any
) -> None:
    ours = DistilBertTokenizer(OURS.get_vocab(), backend=backend)
    encoding = ours(
        ["a film", "an end"],
        padding="max_length",
        truncation=True,
        max_length=6,
        return_tensors="pt",
        return_token_type_ids=True,
        return_special_tokens_mask=True,
        return_length=True,
    )
    assert whole_texts == []
    for _ in range(2):
        assert encoding.tokens(1)[1:3] == ["an", "end"]
        assert encoding[1].offsets[1:3] == [(0, 2), (3, 6)]
    assert whole_texts == ["an end"]
    ours(["a film"], return_offsets_mapping=True)
    assert whole_texts == ["an end", "a film"]


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda encoding: pickle.loads(pickle.dumps(encoding))],
    ids=["deepcopy", "pickle"],
)
def test_a_copy_of_an_encoding_knows_what_was_not_looked_at(copied: Any) -> None:
    encoding = OURS(["a film", "an end"], truncation=True, max_length=3)
    other = copied(encoding)
    assert isinstance(other, BatchEncoding)
    assert columns(other) == columns(encoding)
    assert columns_of_overflow(other) == columns_of_overflow(encoding) != [[], []]


def columns_of_overflow(encoding: BatchEncoding) -> list[list[list[str]]]:
    return [
        [row.tokens for row in each.overflowing] for each in encoding.encodings or ()
    ]


def test_the_pickle_of_an_encoding_holds_no_tokenizer() -> None:
    assert len(pickle.dumps(OURS(["a film"]))) < 5000


def test_an_encoding_tells_of_the_words_that_it_was_made_with() -> None:
    ours = DistilBertTokenizer(OURS.get_vocab())
    encoding = ours("a film<x>")
    ours.add_tokens("<x>", special_tokens=True)
    assert encoding.tokens() == ["[CLS]", "a", "film", "<", "x", ">", "[SEP]"]
    assert ours("a film<x>").tokens() == ["[CLS]", "a", "film", "<x>", "[SEP]"]


def test_an_encoding_does_not_keep_the_table_of_its_tokenizer():
    tokenizer = DistilBertTokenizer.from_pretrained("tiny")
    encoding = tokenizer("a good film")
    table = weakref.ref(tokenizer._state.backend._table)
    del tokenizer
    gc.collect()
    assert table() is None
    assert encoding.tokens() == ["[CLS]", "a", "good", "film", "[SEP]"]
