"""The tokenizer's call, on both backends, against transformers and `tokenizers`."""

from __future__ import annotations

import doctest
import importlib.resources
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from tokenizers import BertWordPieceTokenizer
from transformers import DistilBertTokenizer as Reference

import minidistil.tokenizer.decoding
import minidistil.tokenizer.tokenizer
from minidistil.tokenizer import BatchEncoding, DistilBertTokenizer

BUNDLED = Path(
    str(importlib.resources.files("minidistil") / "bundled" / "tiny-sst2" / "vocab.txt")
)
CASED = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "a", "b", "##a", "##b", "é",
    "e", "Σ", "σ", "ς", "##Σ", "##σ", "中", "国", "!", ",", "'", "[", "]", "mask", "1",
]  # fmt: skip
UNCASED_REFERENCE = Reference(str(BUNDLED), model_max_length=512)
CASED_VOCAB = {token: id for id, token in enumerate(CASED)}
CASED_REFERENCE = Reference(CASED_VOCAB, do_lower_case=False, model_max_length=512)
BACKENDS = ("rust", "python")
UNCASED = {b: DistilBertTokenizer(BUNDLED, backend=b) for b in BACKENDS}
CASED_ONES = {
    b: DistilBertTokenizer(CASED_VOCAB, do_lower_case=False, backend=b)
    for b in BACKENDS
}
PAIRS = [
    *((ours, UNCASED_REFERENCE) for ours in UNCASED.values()),
    *((ours, CASED_REFERENCE) for ours in CASED_ONES.values()),
]
EVERYTHING = {
    "return_token_type_ids": True,
    "return_special_tokens_mask": True,
    "return_offsets_mapping": True,
    "return_length": True,
}

both = pytest.mark.parametrize("backend", BACKENDS)


def outcome(tokenizer: Any, *texts: Any, **options: Any) -> Any:
    """All that an encoding tells, as plain lists; or that the call was refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            encoding = tokenizer(*texts, **options)
        # Rust's panics are no Exceptions.
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, AssertionError)):
                raise
            return "refused"
    values = {name: as_lists(value) for name, value in encoding.items()}
    ids = values["input_ids"]
    rows = range(len(ids) if ids and isinstance(ids[0], list) else 1)
    about = [
        (encoding.tokens(i), encoding.word_ids(i), encoding.sequence_ids(i))
        for i in rows
    ]
    return values, about


def as_lists(value: Any) -> Any:
    """Spans come as tuples and tensors as tensors; to compare, all become lists."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return list(map(as_lists, value)) if isinstance(value, (list, tuple)) else value


# Words that meet every branch: accents, capitals, CJK, marks, specials, the unknown.
LATIN = (
    "a b ab Ab É é e\u0301 it's don't untrustworthy İstanbul ﬁ ½ 1.5 ! ... ##a $5 a-b_c"
)
SPECIALS = "[MASK] [mask] [SEP]x x[CLS] [PAD]"
OTHERS = (
    "ΟΔΟΣ 中国 x中y 각 😀 👩\u200d🚀 нет مرحبا नमस्ते ไทย a\u200bb \ufffd \ue000 \x00"
)
BLANKS = ["\u200b", "\u00a0", "\u3000", "\n", " ", ""]
WORDS = st.sampled_from(
    [*f"{LATIN} {SPECIALS} {OTHERS}".split(" "), *BLANKS, "x" * 101, "é" * 100]
)
TEXTS = st.lists(WORDS, max_size=12).map(" ".join) | st.text(max_size=20)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "add_special_tokens": st.booleans(),
        "padding": st.sampled_from([False, True, "longest", "max_length"]),
        "truncation": st.sampled_from(
            [None, False, True, "longest_first", "only_first", "only_second"]
        ),
        "max_length": st.integers(4, 20),
        "stride": st.integers(0, 3),
        "padding_side": st.sampled_from(["left", "right"]),
        "return_overflowing_tokens": st.booleans(),
    },
).filter(
    lambda options: "return_overflowing_tokens" in options or not options.get("stride")
)
some = settings(deadline=None, derandomize=True, max_examples=100)


def assert_same(ours: Any, reference: Any, *texts: Any, **options: Any) -> None:
    mine = outcome(ours, *texts, **options, **EVERYTHING)
    stride, limit = options.get("stride", 0), options.get("max_length", 512)
    if mine == "refused" and stride:
        # Rust panics where it is asked for windows that do not move on.
        assert stride >= limit - 3 or not windows_move_on(ours, texts, options)
        return
    theirs = outcome(reference, *texts, **options, **EVERYTHING)
    if mine == "refused" and theirs != "refused":
        # It returns rows longer than asked for, where there is no room for windows.
        assert any(len(row) > limit for row in theirs[0]["input_ids"])
    elif theirs == "refused" and mine != "refused":
        # It takes two places off for special tokens, also where there are none.
        assert not options["add_special_tokens"]
        assert stride >= limit - 2
    else:
        assert mine == theirs, (texts, options)


def windows_move_on(ours: Any, texts: Any, options: dict[str, Any]) -> bool:
    """Whether what is kept of each text that is cut is more than the stride."""
    plain = {**options, "stride": 0, "return_overflowing_tokens": False}
    full = outcome(ours, *texts, **{**plain, "truncation": False, "padding": False})
    cut = outcome(ours, *texts, **{**plain, "padding": False})
    if cut == "refused":
        return False
    return all(
        kept[2].count(text) > options["stride"]
        for whole, kept in zip(full[1], cut[1], strict=True)
        for text in (0, 1)
        if kept[2].count(text) < whole[2].count(text)
    )


@given(TEXTS, st.none() | TEXTS, OPTIONS)
@some
def test_one_text_or_pair_is_encoded_as_by_transformers(
    text: str, pair: str | None, options: dict[str, Any]
) -> None:
    for ours, reference in PAIRS:
        assert_same(ours, reference, text, pair, **options)


@given(
    st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), st.booleans(), OPTIONS
)
@some
def test_a_batch_is_encoded_as_by_transformers(
    rows: list[tuple[str, str]], pairs: bool, options: dict[str, Any]
) -> None:
    first, second = map(list, zip(*rows, strict=True))
    for ours, reference in PAIRS:
        if pairs:
            assert_same(ours, reference, first, second, **options)
            assert_same(ours, reference, rows, **options)
        else:
            assert_same(ours, reference, first, **options)


@given(st.lists(st.lists(WORDS, max_size=6), min_size=1, max_size=3), OPTIONS)
@some
def test_words_are_encoded_as_by_transformers(
    rows: list[list[str]], options: dict[str, Any]
) -> None:
    options = {**options, "is_split_into_words": True}
    for ours, reference in PAIRS:
        assert_same(ours, reference, rows, **options)
        assert_same(ours, reference, rows, rows[::-1], **options)
        assert_same(ours, reference, rows[0], rows[-1], **options)


@given(TEXTS)
@some
def test_the_rust_backend_is_the_pipeline_of_the_tokenizers_library(text: str) -> None:
    encoding = UNCASED["rust"](text, return_offsets_mapping=True)
    library = LIBRARY.encode(text)
    assert encoding.input_ids == library.ids
    assert encoding.tokens() == library.tokens
    assert encoding.offset_mapping == library.offsets


LIBRARY = BertWordPieceTokenizer(str(BUNDLED))


@pytest.mark.parametrize(
    ("lower_case", "strip_accents", "chinese"),
    list(product([True, False], [None, True, False], [True, False])),
)
@both
def test_every_normalization_is_that_of_the_library(
    backend: Any, lower_case: bool, strip_accents: bool | None, chinese: bool
) -> None:
    ours = DistilBertTokenizer(
        BUNDLED, lower_case, strip_accents, chinese, backend=backend
    )
    library = BertWordPieceTokenizer(
        str(BUNDLED),
        lowercase=lower_case,
        strip_accents=strip_accents,
        handle_chinese_chars=chinese,
    )
    for text in ("É e\u0301 İ ΟΔΟΣ ß", "Hello 中国x中 World", "Ab\u200bc\td\u00a0e"):
        encoding = ours(text, return_offsets_mapping=True)
        assert encoding.input_ids == library.encode(text).ids
        assert encoding.offset_mapping == library.encode(text).offsets


@both
@pytest.mark.parametrize("strategy", [True, "only_first", "only_second"])
def test_overflowing_windows_are_those_of_transformers(
    backend: str, strategy: Any
) -> None:
    texts = "one two three four five six seven", "1 2 3 4 5 6 7 8 9"
    for max_length, stride in product(range(4, 20), range(3)):
        options = {"max_length": max_length, "stride": stride, "truncation": strategy}
        options["return_overflowing_tokens"] = True
        assert_same(UNCASED[backend], UNCASED_REFERENCE, *texts, **options)
        assert_same(UNCASED[backend], UNCASED_REFERENCE, texts[0], **options)


@both
def test_the_longer_text_is_cut_first_as_in_transformers(backend: str) -> None:
    for first, second, room in product(range(1, 7), range(1, 7), range(13)):
        texts = " ".join("a" * first), " ".join("b" * second)
        options = {"truncation": True, "max_length": room + 3}
        ours = UNCASED[backend](*texts, **options)
        assert ours == dict(UNCASED_REFERENCE(*texts, **options))


@both
def test_an_empty_second_text_counts_in_a_batch_but_not_alone(backend: str) -> None:
    tokenizer = UNCASED[backend]
    assert tokenizer("a", "").tokens() == ["[CLS]", "a", "[SEP]"]
    assert tokenizer(["a"], [""]).tokens() == ["[CLS]", "a", "[SEP]", "[SEP]"]


@both
def test_max_length_alone_truncates(backend: str) -> None:
    assert UNCASED[backend]("a b c d", max_length=4).tokens() == [
        "[CLS]", "a", "b", "[SEP]",
    ]  # fmt: skip


@both
def test_the_default_result_is_ids_and_mask(backend: str) -> None:
    encoding = UNCASED[backend](["hello world", "hi"], padding=True)
    assert isinstance(encoding, dict)
    assert encoding == {
        "input_ids": [[101, 7592, 2088, 102], [101, 7632, 102, 0]],
        "attention_mask": [[1, 1, 1, 1], [1, 1, 1, 0]],
    }


@both
@pytest.mark.parametrize("kind", ["pt", "np"])
def test_tensors_equal_those_of_transformers(backend: str, kind: str) -> None:
    options = {"padding": True, "return_tensors": kind, **EVERYTHING}
    ours = UNCASED[backend](["a b c", "d"], ["e", "f g"], **options)
    theirs = UNCASED_REFERENCE(["a b c", "d"], ["e", "f g"], **options)
    assert list(ours) == list(theirs)
    for name in ours:
        assert type(ours[name]) is type(theirs[name])
        assert ours[name].dtype == theirs[name].dtype
        assert ours[name].shape == theirs[name].shape
        assert (ours[name] == theirs[name]).all()


@both
def test_one_text_becomes_a_tensor_of_one_row(backend: str) -> None:
    encoding = UNCASED[backend]("hello", return_tensors="pt")
    assert torch.equal(encoding.input_ids, torch.tensor([[101, 7592, 102]]))


@both
@pytest.mark.parametrize("kind", ["pt", "np"])
def test_an_empty_batch_gives_an_empty_result(backend: str, kind: str) -> None:
    assert UNCASED[backend]([]) == {"input_ids": [], "attention_mask": []}
    encoding = UNCASED[backend]([], padding=True, return_tensors=kind)
    assert tuple(encoding.input_ids.shape) == (0, 0)
    assert str(encoding.attention_mask.dtype).endswith("int64")


@both
def test_padding_rounds_up_to_a_multiple(backend: str) -> None:
    for padding, max_length in ((True, None), ("max_length", 9)):
        assert_same(
            UNCASED[backend],
            UNCASED_REFERENCE,
            ["a b c", "d"],
            padding=padding,
            max_length=max_length,
            pad_to_multiple_of=8,
        )


@both
def test_padding_to_max_length_takes_the_models_length(backend: str) -> None:
    assert len(UNCASED[backend]("a", padding="max_length").input_ids) == 512


@both
def test_encode_and_tokenize_are_parts_of_the_call(backend: str) -> None:
    ours, theirs = UNCASED[backend], UNCASED_REFERENCE
    text, pair = "Unbelievable tokenization", "yes"
    assert ours.encode(text, pair) == theirs.encode(text, pair)
    assert ours.encode(text, add_special_tokens=False) == theirs.encode(
        text, add_special_tokens=False
    )
    assert ours.tokenize(text) == theirs.tokenize(text)
    assert ours.tokenize(text, pair, add_special_tokens=True) == theirs.tokenize(
        text, pair, add_special_tokens=True
    )
    with pytest.raises(TypeError, match="'max_length'"):
        ours.encode(text, max_lenght=3)


@both
def test_tokens_and_characters_find_each_other_as_in_transformers(backend: str) -> None:
    text, pair = "Un\u200bbelievable, no?", "  So it's  "
    ours, theirs = UNCASED[backend](text, pair), UNCASED_REFERENCE(text, pair)
    for token in range(len(ours.input_ids)):
        assert ours.token_to_chars(token) == theirs.token_to_chars(token)
        assert ours.token_to_chars(0, token) == theirs.token_to_chars(0, token)
    for sequence, raw in enumerate((text, pair)):
        for char in range(len(raw)):
            assert ours.char_to_token(
                char, sequence_index=sequence
            ) == theirs.char_to_token(char, sequence_index=sequence)


@both
@given(st.lists(st.integers(0, 30521), max_size=12), st.booleans(), st.booleans())
@settings(deadline=None, derandomize=True, max_examples=300)
def test_ids_become_text_as_in_transformers(
    backend: str, ids: list[int], skip: bool, close: bool
) -> None:
    options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": close}
    ours = UNCASED[backend]
    assert ours.decode(ids, **options) == UNCASED_REFERENCE.decode(ids, **options)
    assert ours.batch_decode([ids], **options) == [ours.decode(ids, **options)]


@pytest.mark.parametrize(
    "text",
    [
        "i do not , it ' s , we ' ve ! you ' re n ' t i ' m .",
        "a do not n't 'm 's",
        "? a",
    ],
)
def test_contractions_close_up_as_in_transformers(text: str) -> None:
    ours = UNCASED["rust"]
    ids = ours.encode(text)
    for close in (None, False, True):
        assert ours.decode(
            ids, clean_up_tokenization_spaces=close
        ) == UNCASED_REFERENCE.decode(ids, clean_up_tokenization_spaces=close)
    tokens = text.split()
    assert ours.convert_tokens_to_string(
        tokens
    ) == UNCASED_REFERENCE.convert_tokens_to_string(tokens)


def test_ids_may_come_as_an_integer_a_tensor_or_a_batch() -> None:
    tokenizer = UNCASED["rust"]
    assert tokenizer.decode(7592) == "hello"
    assert tokenizer.decode(torch.tensor([7592, 2088])) == "hello world"
    assert tokenizer.decode(np.array([[7592], [2088]])) == ["hello", "world"]
    assert tokenizer.batch_decode(torch.tensor([[7592], [2088]])) == ["hello", "world"]
    assert tokenizer.convert_ids_to_tokens(torch.tensor([7592])) == ["hello"]
    assert tokenizer.convert_ids_to_tokens(7592) == "hello"


def test_tokens_and_ids_are_those_of_transformers() -> None:
    ours, theirs = UNCASED["python"], UNCASED_REFERENCE
    assert ours.get_vocab() == theirs.get_vocab()
    assert (ours.vocab_size, len(ours)) == (theirs.vocab_size, len(theirs))
    assert ours.convert_tokens_to_ids(["hello", "zzzz"]) == [7592, 100]
    assert ours.convert_tokens_to_ids("[MASK]") == 103
    assert ours.convert_ids_to_tokens([101, 7592], skip_special_tokens=True) == [
        "hello"
    ]
    assert ours.special_tokens_map == theirs.special_tokens_map
    assert sorted(ours.all_special_ids) == sorted(theirs.all_special_ids)
    for name in ("unk", "sep", "pad", "cls", "mask"):
        for what in ("token", "token_id"):
            assert getattr(ours, f"{name}_{what}") == getattr(theirs, f"{name}_{what}")
    for pair in (False, True):
        ours_adds = ours.num_special_tokens_to_add(pair)
        assert ours_adds == theirs.num_special_tokens_to_add(pair)


def test_pad_collates_as_in_transformers() -> None:
    ours, theirs = UNCASED["rust"], UNCASED_REFERENCE
    texts = ["one two three", "four", "five six"]
    features = [
        {**dict(ours(t, return_token_type_ids=True)), "label": 1} for t in texts
    ]
    for options in (
        {"return_tensors": "pt"},
        {"padding": "max_length", "max_length": 9, "padding_side": "left"},
        {"pad_to_multiple_of": 8},
        {"padding": False},
    ):
        mine, other = ours.pad(features, **options), theirs.pad(features, **options)
        assert set(mine) == set(other)
        for name in mine:
            assert (
                np.asarray(mine[name], dtype=object).tolist()
                == np.asarray(other[name], dtype=object).tolist()
            )
    assert ours.pad({"input_ids": [1, 2]}, padding="max_length", max_length=3) == {
        "input_ids": [1, 2, 0],
        "attention_mask": [1, 1, 0],
    }
    tensors = {"input_ids": torch.tensor([[1, 2]])}
    assert torch.equal(
        ours.pad(tensors).attention_mask, theirs.pad(dict(tensors)).attention_mask
    )
    assert ours.pad([]) == {"input_ids": [], "attention_mask": []}


def test_an_encoding_moves_its_tensors() -> None:
    encoding = UNCASED["rust"]("a", return_tensors="pt")
    assert encoding.to("meta") is encoding
    assert encoding.input_ids.device.type == "meta"


def test_an_encoding_can_be_unpacked_and_pickled() -> None:
    encoding = UNCASED["rust"](["a b", "c"])
    assert dict(**encoding) == encoding
    again = pickle.loads(pickle.dumps(encoding))
    assert isinstance(again, BatchEncoding)
    assert again == encoding
    assert again.word_ids(1) == encoding.word_ids(1)


@both
def test_a_tokenizer_can_be_pickled(backend: str) -> None:
    again = pickle.loads(pickle.dumps(UNCASED[backend]))
    assert again("Hello [MASK]!") == UNCASED[backend]("Hello [MASK]!")


@both
def test_threads_that_share_a_tokenizer_do_not_disturb_each_other(backend: str) -> None:
    tokenizer = UNCASED[backend]
    text = "one two three four five six seven eight nine ten " * 3
    calls = [
        {
            "truncation": True,
            "max_length": 4 + n % 13,
            "padding": ["max_length", False][n % 2],
            "return_overflowing_tokens": n % 3 == 0,
            "padding_side": ["left", "right"][n % 5 % 2],
        }
        for n in range(800 if backend == "rust" else 160)
    ]
    alone = [tokenizer(text, **call) for call in calls]
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(lambda call: tokenizer(text, **call), calls))
    assert together == alone


def test_the_examples_in_the_files_are_true() -> None:
    for module in (minidistil.tokenizer.tokenizer, minidistil.tokenizer.decoding):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_importing_the_tokenizer_does_not_import_torch() -> None:
    code = (
        "import sys; from minidistil.tokenizer import DistilBertTokenizer as T; "
        "slow = {'torch', 'numpy', 'transformers'}; T.from_pretrained('tiny')('a'); "
        "print(sorted(slow & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
