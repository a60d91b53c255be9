"""What a call refuses, and what it says about it."""

from __future__ import annotations

import importlib.resources
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from minidistil.tokenizer import DistilBertTokenizer

BUNDLED = Path(
    str(importlib.resources.files("minidistil") / "bundled" / "tiny-sst2" / "vocab.txt")
)
TOKENIZERS = {b: DistilBertTokenizer(BUNDLED, backend=b) for b in ("rust", "python")}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> DistilBertTokenizer:
    return TOKENIZERS[request.param]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "text is None"),
        (3, "text is 3 (int)"),
        (b"bytes", "text is b'bytes'"),
        (["a", None], "text[1] is None"),
        (["a", 1.5], "text[1] is 1.5"),
        ([["a"]], "is_split_into_words=True"),
        ([("a", "b", "c")], "text[0]"),
        ({"a": 1}, "many texts come in a list"),
    ],
)
def test_what_is_no_text_is_named(
    tokenizer: DistilBertTokenizer, text: Any, said: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(said)):
        tokenizer(text)


@pytest.mark.parametrize("text", ["a b", [["a"], "b"], ["a", 3], [["a", None]]])
def test_what_is_no_list_of_words_is_named(
    tokenizer: DistilBertTokenizer, text: Any
) -> None:
    with pytest.raises(TypeError, match=r"text.* is .*, expected"):
        tokenizer(text, is_split_into_words=True)


@pytest.mark.parametrize("pair", [3, ["b"]])
def test_a_second_text_of_another_kind_is_refused(
    tokenizer: DistilBertTokenizer, pair: Any
) -> None:
    with pytest.raises(TypeError, match="text_pair is"):
        tokenizer("a", pair)


def test_second_texts_must_be_as_many_as_first_ones(
    tokenizer: DistilBertTokenizer,
) -> None:
    with pytest.raises(ValueError, match="3 texts and text_pair 2"):
        tokenizer(["a", "b", "c"], ["d", "e"])
    with pytest.raises(TypeError, match="text_pair is 'd'"):
        tokenizer(["a"], "d")


@pytest.mark.parametrize(
    "call",
    [("x\ud83dy",), (["a", "x\ud83dy"],), ("a", "x\ud83dy")],
)
def test_half_a_surrogate_pair_is_refused(
    tokenizer: DistilBertTokenizer, call: Any
) -> None:
    with pytest.raises(TypeError, match=r"character 1 .*\\ud83d"):
        tokenizer(*call)
    with pytest.raises(TypeError, match=r"character 1 .*\\ud83d"):
        tokenizer(["x\ud83dy"], is_split_into_words=True)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("paddin", "padding"),
        ("max_len", "max_length"),
        ("truncate", "truncation"),
        ("return_tensor", "return_tensors"),
        ("split_into_words", "is_split_into_words"),
    ],
)
def test_a_misspelt_argument_is_told_the_right_one(
    tokenizer: DistilBertTokenizer, wrong: str, right: str
) -> None:
    for call in (tokenizer, tokenizer.encode, tokenizer.tokenize):
        with pytest.raises(TypeError, match=f"{wrong!r}; did you mean {right!r}"):
            call("a", **{wrong: True})


def test_an_argument_like_no_other_is_told_all_of_them(
    tokenizer: DistilBertTokenizer,
) -> None:
    with pytest.raises(TypeError, match=r"'qqq'; it takes .*stride, text, text_pair"):
        tokenizer("a", qqq=1)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "longst"},
        {"padding": None},
        {"padding": 1},
        {"truncation": "first"},
        {"truncation": 1},
        {"return_tensors": "tf"},
        {"padding_side": "top"},
    ],
)
def test_a_value_that_is_none_of_the_choices_is_told_them(
    tokenizer: DistilBertTokenizer, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        tokenizer("a", **options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"max_length": -1}, ValueError),
        ({"max_length": 2.5}, TypeError),
        ({"max_length": True}, TypeError),
        ({"stride": -1}, ValueError),
        ({"pad_to_multiple_of": 0, "padding": True}, ValueError),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_name(
    tokenizer: DistilBertTokenizer, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match=next(iter(options))):
        tokenizer("a", truncation=True, **options)


def test_no_room_for_the_special_tokens_is_refused(
    tokenizer: DistilBertTokenizer,
) -> None:
    with pytest.raises(ValueError, match=r"max_length=1 .* 2 special tokens"):
        tokenizer("a", truncation=True, max_length=1)
    with pytest.raises(ValueError, match="3 special tokens"):
        tokenizer("a", "b", truncation=True, max_length=2)
    assert tokenizer("a", truncation=True, max_length=2).tokens() == ["[CLS]", "[SEP]"]


def test_windows_that_would_not_move_on_are_refused(
    tokenizer: DistilBertTokenizer,
) -> None:
    for options in ({"stride": 3, "max_length": 5}, {"stride": 0, "max_length": 2}):
        with pytest.raises(ValueError, match="stride"):
            tokenizer(
                "a b c d e", truncation=True, return_overflowing_tokens=True, **options
            )


def test_a_text_that_may_not_be_cut_and_does_not_fit_is_refused(
    tokenizer: DistilBertTokenizer,
) -> None:
    with pytest.raises(ValueError, match="only_first"):
        tokenizer("a b", "c d e f", truncation="only_first", max_length=6)
    with pytest.raises(ValueError, match="only_second"):
        tokenizer("a b c d", truncation="only_second", max_length=4)


def test_cutting_and_padding_to_different_lengths_is_refused(
    tokenizer: DistilBertTokenizer,
) -> None:
    with pytest.raises(ValueError, match="pad_to_multiple_of=8"):
        tokenizer(
            "a", truncation=True, padding=True, max_length=10, pad_to_multiple_of=8
        )


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_rows_that_are_no_tensor_are_told_to_be_padded(
    tokenizer: DistilBertTokenizer, kind: str
) -> None:
    with pytest.raises(ValueError, match=r"3 to 5 tokens.*padding=True"):
        tokenizer(["a", "a b c"], return_tensors=kind)


def test_numpy_is_asked_for_by_name_if_it_is_missing(
    tokenizer: DistilBertTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match="pip install numpy"):
        tokenizer("a", return_tensors="np")


def test_a_row_longer_than_the_model_takes_is_told_once(
    tokenizer: DistilBertTokenizer,
) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for words in (600, 700):
            assert len(tokenizer("a " * words).input_ids) == words + 2
    assert len(seen) == 1
    assert "512" in str(seen[0].message)
    assert "truncation=True" in str(seen[0].message)
    assert seen[0].filename == __file__


def test_a_max_length_that_does_nothing_is_told(tokenizer: DistilBertTokenizer) -> None:
    with pytest.warns(UserWarning, match="max_length=3 changes nothing"):
        tokenizer("a b c d", padding=True, max_length=3)


@pytest.mark.parametrize("ids", [30522, [1, -1], [[5], [99999]], ["7"]])
def test_an_id_outside_the_vocabulary_is_refused(
    tokenizer: DistilBertTokenizer, ids: Any
) -> None:
    with pytest.raises(ValueError, match="0 to 30521"):
        tokenizer.decode(ids)


def test_what_decides_how_text_is_split_cannot_be_set(
    tokenizer: DistilBertTokenizer,
) -> None:
    for name in ("do_lower_case", "strip_accents", "backend", "vocab_size", "vocab"):
        with pytest.raises(AttributeError, match=f"from_pretrained\\(…, {name}=…\\)"):
            setattr(tokenizer, name, None)


def test_what_it_returns_is_not_what_it_keeps(tokenizer: DistilBertTokenizer) -> None:
    for mutable in (
        tokenizer.get_vocab(),
        tokenizer.vocab,
        tokenizer.special_tokens_map,
        tokenizer.all_special_tokens,
        tokenizer.get_added_vocab(),
    ):
        mutable.clear()
    assert len(tokenizer) == 30522
    assert len(tokenizer.all_special_ids) == len(tokenizer.get_added_vocab()) == 5


def test_a_backend_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="'rust', 'python'"):
        DistilBertTokenizer(BUNDLED, backend="java")  # type: ignore[arg-type]


def test_a_vocabulary_that_is_no_file_is_told_of_from_pretrained() -> None:
    with pytest.raises(FileNotFoundError, match=r"from_pretrained\('no-such-file'\)"):
        DistilBertTokenizer("no-such-file")


def test_padding_without_ids_is_refused(tokenizer: DistilBertTokenizer) -> None:
    with pytest.raises(ValueError, match="hold label, expected input_ids"):
        tokenizer.pad([{"label": 1}])
    with pytest.raises(ValueError, match="labels has rows of 1 to 2"):
        tokenizer.pad(
            [
                {"input_ids": [1], "labels": [1]},
                {"input_ids": [1, 2], "labels": [1, 2]},
            ],
            return_tensors="pt",
        )
    with pytest.raises(TypeError, match="'padding'"):
        tokenizer.pad([], pading=True)


def test_an_encoding_says_what_it_has(tokenizer: DistilBertTokenizer) -> None:
    encoding = tokenizer("a")
    with pytest.raises(AttributeError, match="input_ids, attention_mask"):
        _ = encoding.token_type_ids
    with pytest.raises(TypeError, match="return_tensors='pt'"):
        encoding.to("cpu")
    with pytest.raises(ValueError, match="not made from text"):
        tokenizer.pad([{"input_ids": [1]}]).tokens()
    with pytest.raises(IndexError):
        encoding.tokens(1)
