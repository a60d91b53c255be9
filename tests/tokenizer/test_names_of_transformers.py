"""Names, keywords and kinds of texts and numbers that people bring from elsewhere."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings, strategies as st
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    DistilBertTokenizer as Reference,
)

from minidistil.tokenizer import DistilBertTokenizer
from minidistil.tokenizer.words import ABSENT

TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "##a", "'", "s",
    ".", "don", "t",
]  # fmt: skip
VOCAB = {token: id for id, token in enumerate(TOKENS)}
THEIRS = Reference(VOCAB, model_max_length=512)
KINDS: tuple[Any, ...] = ("rust", "python")
OURS = [DistilBertTokenizer(VOCAB, backend=kind) for kind in KINDS]
each = pytest.mark.parametrize("ours", OURS, ids=KINDS)
ROWS = ["a b c d a b", "d [MASK] don't.", ""]


# Columns of texts


COLUMNS = {
    "series": pd.Series(ROWS, index=[7, 3, 5]),
    "string series": pd.Series(ROWS, dtype="string"),
    "category": pd.Series(ROWS, dtype="category"),
    "array": np.array(ROWS),
    "object array": np.array(ROWS, dtype=object),
    "arrow array": pa.array(ROWS),
    "arrow chunks": pa.chunked_array([ROWS[:1], ROWS[1:]]),
    "column": datasets.Dataset.from_dict({"text": ROWS})["text"],
    "tuple": tuple(ROWS),
}


@each
@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_of_texts_is_a_batch(ours: DistilBertTokenizer, column: Any) -> None:
    expected = dict(THEIRS(ROWS, ROWS[::-1]))
    assert ours(column) == ours(text=column) == dict(THEIRS(ROWS))
    assert ours(column, ROWS[::-1]) == expected
    assert ours(ROWS[::-1], column) == dict(THEIRS(ROWS[::-1], ROWS))


@each
def test_columns_of_words_are_batches_of_words(ours: DistilBertTokenizer) -> None:
    rows = [["a", "ba"], ["c"]]
    expected = dict(THEIRS(rows, is_split_into_words=True))
    table = datasets.Dataset.from_dict({"words": rows})
    for column in (
        table["words"],
        pd.Series(rows),
        [np.array(row) for row in rows],
        pa.array(rows),
    ):
        assert ours(column, is_split_into_words=True) == expected
    assert ours(np.array(rows[0]), is_split_into_words=True) == dict(
        THEIRS(rows[0], is_split_into_words=True)
    )


@each
def test_one_string_of_numpy_is_one_text(ours: DistilBertTokenizer) -> None:
    assert ours(np.str_("a b")) == ours(np.array("a b")) == dict(THEIRS("a b"))


@each
def test_what_is_no_text_in_a_column_is_named(ours: DistilBertTokenizer) -> None:
    for column in (pd.Series(["a", None]), np.array(["a", 3.5], dtype=object)):
        with pytest.raises(TypeError, match=r"text\[1\] is "):
            ours(column)
    with pytest.raises(TypeError, match=r"text\[0\] is 1 \(int\)"):
        ours(torch.tensor([1, 2]))
    for texts in ((text for text in ROWS), iter(ROWS), map(str, ROWS)):
        with pytest.raises(TypeError, match=r"as in list\(texts\)"):
            ours(texts)


# Numbers of numpy


@each
@pytest.mark.parametrize("number", [np.int64, np.int32, np.uint8, np.array])
def test_numbers_of_numpy_are_numbers(ours: DistilBertTokenizer, number: Any) -> None:
    options = {"max_length": 5, "stride": 1, "truncation": True}
    options |= {"return_overflowing_tokens": True, "padding": "max_length"}
    theirs = {name: number(v) if type(v) is int else v for name, v in options.items()}
    assert ours(ROWS, **theirs) == dict(THEIRS(ROWS, **options))
    padded = ours(ROWS, padding=True, pad_to_multiple_of=number(8))
    assert padded == dict(THEIRS(ROWS, padding=True, pad_to_multiple_of=8))
    made = DistilBertTokenizer(VOCAB, model_max_length=number(5))
    assert type(made.model_max_length) is int
    for wrong in (np.float64(5), np.bool_(True), True, 5.0):
        with pytest.raises(TypeError, match="max_length is"):
            ours("a", max_length=wrong, truncation=True)


@each
def test_ids_of_numpy_and_torch_are_ids(ours: DistilBertTokenizer) -> None:
    ids = THEIRS(ROWS, padding=True)["input_ids"]
    for batch in (
        ids,
        np.array(ids),
        torch.tensor(ids),
        [np.array(row) for row in ids],
    ):
        assert ours.decode(batch) == ours.batch_decode(batch) == THEIRS.decode(ids)
        first = THEIRS.convert_ids_to_tokens(ids[0])
        assert ours.convert_ids_to_tokens(batch[0]) == first
    assert ours.decode(np.int64(5)) == ours.decode(torch.tensor(5)) == THEIRS.decode(5)
    assert ours.convert_ids_to_tokens(np.int64(5)) == "a"
    assert ours.decode(ours(ROWS[0])) == THEIRS.decode(THEIRS(ROWS[0]))
    assert ours.get_special_tokens_mask(
        np.array(ids[1]), already_has_special_tokens=True
    ) == THEIRS.get_special_tokens_mask(ids[1], already_has_special_tokens=True)


# Names


@each
def test_every_public_name_of_transformers_is_there_or_says_what_to_use(
    ours: DistilBertTokenizer,
) -> None:
    """But for what is of generation, other backends or the library's own making."""
    elsewhere = {
        # of texts for chat, and of other kinds of tokenizers
        *("encode_message_with_chat_template", "get_chat_template", "parse_response"),
        *("save_chat_templates", "get_response_parser", "response_template"),
        *(
            "add_bos_token",
            "add_eos_token",
            "add_prefix_space",
            "can_save_slow_tokenizer",
        ),
        "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
        # of the library's workings
        *(
            "SPECIAL_TOKENS_ATTRIBUTES",
            "convert_added_tokens",
            "convert_to_native_format",
        ),
        *("decoder", "files_loaded", "init_inputs", "model", "verbose"),
        *("pretrained_vocab_files_map", "register_for_auto_class"),
        *(
            "set_truncation_and_padding",
            "slow_tokenizer_class",
            "update_post_processor",
        ),
        "push_to_hub",  # tested with the hub
    }
    names = {name for name in dir(THEIRS) if name[0] != "_"} - elsewhere
    assert {name for name in names if not hasattr(ours, name)} <= ABSENT.keys()


@each
@pytest.mark.parametrize(
    "name",
    [
        "is_fast",
        "model_input_names",
        "vocab",
        "vocab_files_names",
        "max_len_single_sentence",
        "max_len_sentences_pair",
        "pad_token_type_id",
        "added_tokens_encoder",
        "special_tokens_map",
        "all_special_tokens",
        "all_special_ids",
        "extra_special_tokens",
        "truncation_side",
        "padding_side",
        "split_special_tokens",
        "bos_token",
        "eos_token_id",
        "name_or_path",
    ],
)
def test_a_property_is_that_of_transformers(
    ours: DistilBertTokenizer, name: str
) -> None:
    there = getattr(THEIRS, name)
    if name == "vocab_files_names":  # theirs names a file of another kind as well
        there = {key: there[key] for key in ("tokenizer_file",)} | {
            "vocab_file": "vocab.txt"
        }
    assert getattr(ours, name) == there


@each
def test_the_old_names_of_the_call_give_the_same(ours: DistilBertTokenizer) -> None:
    assert ours.encode_plus("a b", "c", max_length=5, truncation=True) == dict(
        THEIRS("a b", "c", max_length=5, truncation=True)
    )
    assert ours.batch_encode_plus(ROWS, padding=True) == dict(
        THEIRS(ROWS, padding=True)
    )
    pairs = [("a", "b"), ("c", "d a")]
    assert ours.batch_encode_plus(batch_text_or_text_pairs=pairs) == dict(THEIRS(pairs))


@each
def test_special_tokens_are_put_around_ids(ours: DistilBertTokenizer) -> None:
    first, second = [5, 6], [7]
    for pair in (None, second):
        text, other = "a b", None if pair is None else "c"
        whole = THEIRS(
            text, other, return_token_type_ids=True, return_special_tokens_mask=True
        )
        assert ours.build_inputs_with_special_tokens(first, pair) == whole["input_ids"]
        types = ours.create_token_type_ids_from_sequences(first, pair)
        assert types == whole["token_type_ids"]
        mask = ours.get_special_tokens_mask(first, pair)
        assert mask == whole["special_tokens_mask"]
        added = ours.num_special_tokens_to_add(pair is not None)
        assert added == THEIRS.num_special_tokens_to_add(pair is not None)
    with pytest.raises(ValueError, match="token_ids_1"):
        ours.get_special_tokens_mask(first, second, already_has_special_tokens=True)


@each
def test_text_is_cleaned_up_as_in_transformers(ours: DistilBertTokenizer) -> None:
    text = "don ' t do n't , it 's . "
    assert ours.clean_up_tokenization(text) == THEIRS.clean_up_tokenization(text)
    ids = [13, 10, 14, 12]
    for clean in (True, False, None):
        options = {"clean_up_tokenization_spaces": clean}
        assert ours.decode(ids, **options) == THEIRS.decode(ids, **options)


@each
def test_the_backend_is_the_whole_pipeline_and_a_copy(
    ours: DistilBertTokenizer,
) -> None:
    backend = ours.backend_tokenizer
    for text in (ROWS[0], tuple(ROWS[:2])):
        mine = backend.encode(*([text] if isinstance(text, str) else text))
        there = THEIRS.backend_tokenizer
        other = there.encode(*([text] if isinstance(text, str) else text))
        assert (mine.ids, mine.type_ids) == (other.ids, other.type_ids)
    assert backend.decode([5, 9]) == THEIRS.backend_tokenizer.decode([5, 9])
    backend.add_tokens(["new"])
    backend.enable_truncation(3)
    assert len(ours) == len(VOCAB)
    assert ours(ROWS[0]) == dict(THEIRS(ROWS[0]))


@each
def test_the_vocabulary_alone_can_be_saved(
    ours: DistilBertTokenizer, tmp_path: Path
) -> None:
    (path,) = ours.save_vocabulary(tmp_path)
    assert Path(path) == tmp_path / "vocab.txt"
    assert BertTokenizer(path).get_vocab() == VOCAB
    (path,) = ours.save_vocabulary(str(tmp_path), filename_prefix="x")
    assert Path(path).name == "x-vocab.txt"


def test_a_tokenizer_of_bert_returns_what_its_model_takes(tmp_path: Path) -> None:
    names = ["input_ids", "token_type_ids", "attention_mask"]
    ours = DistilBertTokenizer(VOCAB, model_input_names=names)
    theirs = BertTokenizer(VOCAB)
    assert ours("a", "b") == dict(theirs("a", "b"))
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    ours.save_pretrained(tmp_path)
    for reader in (DistilBertTokenizer, AutoTokenizer):
        assert dict(reader.from_pretrained(tmp_path)("a", "b")) == dict(
            theirs("a", "b")
        )


# Truncation on the left


SIZES = st.lists(st.integers(0, 9), min_size=2, max_size=2)


@given(
    SIZES,
    st.booleans(),
    st.integers(5, 9),
    st.integers(0, 1),
    st.sampled_from([True, "only_first"]),
    st.booleans(),
)
@settings(deadline=None, derandomize=True, max_examples=200)
def test_texts_are_truncated_on_the_left_as_in_transformers(
    sizes: list[int], pair: bool, limit: int, stride: int, kind: Any, every: bool
) -> None:
    texts = [" ".join("abcd"[i % 4] for i in range(size)) for size in sizes]
    texts = texts if pair else texts[:1]
    theirs = Reference(VOCAB, truncation_side="left")
    options = {"max_length": limit, "truncation": kind, "stride": stride}
    options["return_overflowing_tokens"] = every
    try:
        expected = dict(theirs(*texts, **options))
    except BaseException as error:  # Rust's panics are no Exceptions
        if isinstance(error, KeyboardInterrupt):
            raise
        return
    for tokenizer in (
        *(DistilBertTokenizer(VOCAB, backend=k, truncation_side="left") for k in KINDS),
        *OURS,
    ):
        side = (
            {} if tokenizer.truncation_side == "left" else {"truncation_side": "left"}
        )
        try:
            found = tokenizer(*texts, **options, **side)
        except ValueError:
            rows = expected["input_ids"]
            rows = rows if every else [rows]
            assert stride or any(len(row) > limit for row in rows)
            return
        assert found == expected


def test_the_side_of_truncation_is_saved_and_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    DistilBertTokenizer(VOCAB, truncation_side="left").save_pretrained(tmp_path)
    for reader in (DistilBertTokenizer, AutoTokenizer):
        again = reader.from_pretrained(tmp_path)
        assert again.truncation_side == "left"
        cut = again("a b c", truncation=True, max_length=4)
        assert again.convert_ids_to_tokens(cut["input_ids"])[1:3] == ["b", "c"]


# Special tokens that are just text


@each
def test_special_tokens_can_be_split_as_in_transformers(
    ours: DistilBertTokenizer, tmp_path: Path
) -> None:
    text = "a [SEP] b[MASK]"
    theirs = Reference(VOCAB, split_special_tokens=True)
    for _ in range(2):
        assert ours(text, split_special_tokens=True) == dict(theirs(text))
        assert ours(text) == dict(THEIRS(text))
    made = DistilBertTokenizer(VOCAB, backend=ours.backend, split_special_tokens=True)  # type: ignore[arg-type]
    assert made(text) == dict(theirs(text))
    assert made(text, split_special_tokens=False) == dict(THEIRS(text))
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    made.save_pretrained(tmp_path)
    for reader in (DistilBertTokenizer, AutoTokenizer):
        assert dict(reader.from_pretrained(tmp_path)(text)) == dict(theirs(text))


# Keywords


def test_keywords_that_mean_nothing_here_are_taken(tmp_path: Path) -> None:
    DistilBertTokenizer(VOCAB).save_pretrained(tmp_path)
    for options in (
        {"use_fast": True},
        {"use_fast": False},
        {"trust_remote_code": False},
        {"force_download": False, "proxies": None, "subfolder": ""},
        {"do_lower_case": True, "_from_auto": True, "config": object()},
    ):
        ours = DistilBertTokenizer.from_pretrained(tmp_path, **options)
        assert ours(ROWS) == dict(THEIRS(ROWS))
    named = DistilBertTokenizer.from_pretrained(pretrained_model_name_or_path=tmp_path)
    assert named.name_or_path == str(tmp_path)
    inside = DistilBertTokenizer.from_pretrained(
        tmp_path.parent, subfolder=tmp_path.name
    )
    assert inside(ROWS) == named(ROWS)
    with pytest.warns(UserWarning, match="no code of a checkpoint is ever run"):
        DistilBertTokenizer.from_pretrained(tmp_path, trust_remote_code=True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"force_download": True}, "hf download"),
        ({"proxies": {"https": "x"}}, "HTTPS_PROXY"),
        ({"vocab_file": "vocab.txt"}, "first argument"),
        ({"lowercase": True}, "do_lower_case"),
        ({"do_lowercase": True}, "did you mean 'do_lower_case'"),
    ],
)
def test_a_keyword_that_asks_for_something_else_says_what_to_use(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    DistilBertTokenizer(VOCAB).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match=said):
        DistilBertTokenizer.from_pretrained(tmp_path, **options)
    with pytest.raises(TypeError, match=said):
        DistilBertTokenizer(VOCAB, **options)


@each
def test_a_name_of_other_tokenizers_says_what_to_use(ours: DistilBertTokenizer) -> None:
    with pytest.raises(AttributeError, match="give the texts to the tokenizer itself"):
        ours.prepare_for_model([5])
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ours.nothing
    with pytest.raises(TypeError, match="'text_target'; an encoder has no target"):
        ours(text_target="a")
    with pytest.raises(TypeError, match="text is None"):
        ours()
    with pytest.raises(TypeError, match=r"push_to_hub\(repository\)"):
        ours.save_pretrained("x", push_to_hub=True)
    with pytest.raises(TypeError, match="folder to write to"):
        ours.save_pretrained()


@each
def test_warnings_can_be_turned_off(ours: DistilBertTokenizer) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours("a " * 600, verbose=False)
        ours(ROWS, padding=True, max_length=3, verbose=False)


@each
def test_padding_gives_back_the_kind_of_tensors_it_got(
    ours: DistilBertTokenizer,
) -> None:
    for kind in (torch.tensor, np.array):
        rows = [{"input_ids": kind(row)} for row in ([5, 6], [7])]
        mine, other = ours.pad(rows), THEIRS.pad(rows)
        assert type(mine.input_ids) is type(other["input_ids"])
        assert mine.input_ids.tolist() == other["input_ids"].tolist()


# A vocabulary from other texts


@each
def test_a_tokenizer_is_trained_on_other_texts_as_in_transformers(
    ours: DistilBertTokenizer, tmp_path: Path
) -> None:
    texts = ["Low lower lowest newer newest", "wide wider widest", "new low"] * 5
    options: dict[str, Any] = {"vocab_size": 60, "new_special_tokens": ["<n>"]}
    options["special_tokens_map"] = {"[SEP]": "</s>"}
    batches = [texts[:4], texts[4:]]
    mine = ours.train_new_from_iterator(iter(batches), **options)
    theirs = THEIRS.train_new_from_iterator(iter(batches), **options)
    assert len(mine) == len(theirs)
    assert {*mine.get_vocab()} == {*theirs.get_vocab()}
    specials = theirs.all_special_tokens
    assert mine.all_special_tokens == specials
    assert mine.all_special_ids == theirs.all_special_ids
    text = "Lowest widest <n> zebra"
    assert mine.tokenize(text) == theirs.tokenize(text)
    assert mine.decode(mine(text).input_ids).endswith("</s>")
    assert mine.backend == ours.backend
    mine.save_pretrained(tmp_path)
    assert DistilBertTokenizer.from_pretrained(tmp_path)(text) == mine(text)


# The library that splits text


def test_the_library_below_1_is_asked_for() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    dependencies = project.split("dependencies = [")[1].split("]\n")[0]
    assert '    "tokenizers>=0.22.1,<1",' in dependencies


def test_a_library_without_offsets_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tokenizers

    monkeypatch.delattr(tokenizers, "AddedToken")  # as in the candidates for 1.0
    with pytest.raises(ImportError, match=r"'tokenizers<1', or .*backend='python'"):
        DistilBertTokenizer(VOCAB)
    python = DistilBertTokenizer(VOCAB, backend="python")
    python.add_tokens("<n>", special_tokens=True)
    assert python("a <n>").input_ids == [2, 5, len(VOCAB), 3]
