"""The tokenizer's files: what it reads, what it writes, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer, DistilBertTokenizer as Reference

from minidistil.tokenizer import DistilBertTokenizer
from minidistil.tokenizer.vocabulary import AddedToken

TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "A", "a", "b", "##b", "é", "e", "!",
    "cd", "中",
]  # fmt: skip
TEXT = "A a ab [MASK]b é xyz <new> 中a cd!"
both = pytest.mark.parametrize("backend", ["rust", "python"])


def write(folder: Path, vocab: str | bytes | None = None, **files: Any) -> Path:
    """Write a checkpoint's tokenizer files; `config` and `fast` are JSON objects."""
    if vocab is not None:
        content = vocab if isinstance(vocab, bytes) else vocab.encode()
        (folder / "vocab.txt").write_bytes(content)
    for name, file in (("config", "tokenizer_config.json"), ("fast", "tokenizer.json")):
        if name in files:
            (folder / file).write_text(json.dumps(files[name]), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "distilbert"}')
    return folder


def lines(tokens: Iterable[str]) -> str:
    return "".join(f"{token}\n" for token in tokens)


def fast(**changes: Any) -> dict[str, Any]:
    """A `tokenizer.json`; "model__type" and the like change what is inside."""
    content: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(token, TOKENS.index(token)) for token in TOKENS[:5]],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {token: id for id, token in enumerate(TOKENS)},
        },
    }
    for path, value in changes.items():
        *outer, last = path.split("__")
        inside = content
        for name in outer:
            inside = inside[name]
        inside[last] = value
    return content


def flagged(token: str, **flags: bool) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"content": token, "special": True, **plain, **flags}


def added(token: str, id: int, **flags: bool) -> dict[str, Any]:
    return {"id": id, **flagged(token, **flags)}


def assert_same(folder: Path, backend: str) -> None:
    ours = DistilBertTokenizer.from_pretrained(folder, backend=backend)
    theirs = Reference.from_pretrained(folder)
    assert ours(TEXT, return_offsets_mapping=True) == dict(
        theirs(TEXT, return_offsets_mapping=True)
    )
    assert ours.get_vocab() == theirs.get_vocab()
    assert (ours.vocab_size, len(ours)) == (theirs.vocab_size, len(theirs))


# What it reads


@both
@pytest.mark.parametrize(
    "config",
    [
        None,
        {"model_max_length": 512, "do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"tokenize_chinese_chars": False},
        {"mask_token": {"__type": "AddedToken", **flagged("[MASK]")}},
    ],
)
def test_the_vocabulary_and_its_config_read_as_in_transformers(
    tmp_path: Path, backend: str, config: dict[str, Any] | None
) -> None:
    files = {} if config is None else {"config": config}
    assert_same(write(tmp_path, lines(TOKENS), **files), backend)


@both
@pytest.mark.parametrize(
    "vocab",
    [
        lines(TOKENS).removesuffix("\n"),
        lines(TOKENS).replace("\n", "\r\n"),
        lines([*TOKENS, ""]),
        lines([*TOKENS[:6], "", *TOKENS[6:]]),
        lines([*TOKENS[:6], "a", *TOKENS[6:]]),
        lines([f"{token}  " for token in TOKENS]),
        lines([*TOKENS, "\u2028x", "\x85y", "q\x0cr"]),
    ],
    ids=["no-end", "crlf", "blank-end", "blank", "twice", "trailing", "separators"],
)
def test_an_odd_vocabulary_reads_as_in_transformers(
    tmp_path: Path, backend: str, vocab: str
) -> None:
    assert_same(write(tmp_path, vocab), backend)


def test_a_byte_order_mark_does_not_hide_the_first_token(tmp_path: Path) -> None:
    folder = write(tmp_path, b"\xef\xbb\xbf" + lines(TOKENS).encode())
    assert DistilBertTokenizer.from_pretrained(folder).pad_token_id == 0


@both
def test_tokenizer_json_reads_as_in_transformers(tmp_path: Path, backend: str) -> None:
    assert_same(write(tmp_path, fast=fast()), backend)


def test_tokenizer_json_goes_before_the_vocabulary(tmp_path: Path) -> None:
    assert_same(write(tmp_path, lines(TOKENS[:-1]), fast=fast()), "rust")


@pytest.mark.parametrize("in_fast", [True, False])
@pytest.mark.parametrize("in_config", [True, False])
def test_the_config_goes_before_tokenizer_json(
    tmp_path: Path, in_fast: bool, in_config: bool
) -> None:
    folder = write(
        tmp_path,
        fast=fast(normalizer__lowercase=in_fast),
        config={"do_lower_case": in_config},
    )
    assert_same(folder, "rust")
    assert DistilBertTokenizer.from_pretrained(folder).do_lower_case is in_config


def test_tokenizer_json_decides_what_the_config_does_not(tmp_path: Path) -> None:
    """Unlike transformers, which lower-cases a cased tokenizer without a config."""
    content = fast(normalizer__lowercase=False)
    folder = write(tmp_path, fast=content)
    ours = DistilBertTokenizer.from_pretrained(folder)
    assert ours(TEXT, add_special_tokens=False).input_ids == (
        Tokenizer.from_str(json.dumps(content)).encode(TEXT).ids
    )


def test_arguments_go_before_the_files(tmp_path: Path) -> None:
    folder = write(tmp_path, lines(TOKENS), config={"do_lower_case": True})
    ours = DistilBertTokenizer.from_pretrained(
        folder, do_lower_case=False, model_max_length=9
    )
    assert ours.tokenize("A") == ["A"]
    assert ours.model_max_length == 9


def test_truncation_and_padding_in_tokenizer_json_do_not_leak(tmp_path: Path) -> None:
    content = fast(
        truncation={
            "max_length": 3,
            "strategy": "LongestFirst",
            "stride": 0,
            "direction": "Right",
        },
        padding={
            "strategy": {"Fixed": 12},
            "direction": "Left",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "[PAD]",
        },
    )
    tokenizer = DistilBertTokenizer.from_pretrained(write(tmp_path, fast=content))
    assert tokenizer.tokenize("a b a b") == ["a", "b", "a", "b"]
    assert tokenizer(["a b", "a"], padding=True, truncation=True).input_ids == [
        [2, 6, 7, 3],
        [2, 6, 3, 0],
    ]


@both
def test_added_special_tokens_read_as_in_transformers(
    tmp_path: Path, backend: str
) -> None:
    content = fast()
    content["added_tokens"].append(added("<new>", len(TOKENS)))
    content["added_tokens"].append(added("a [", len(TOKENS) + 1, special=False))
    assert_same(write(tmp_path, fast=content), backend)


def test_added_words_read_as_in_transformers(tmp_path: Path) -> None:
    content = fast()
    flags = {"special": False, "normalized": True}
    content["added_tokens"].append(added("<NEW>", len(TOKENS), **flags))
    content["added_tokens"].append(added("xy", len(TOKENS) + 1, single_word=True))
    content["added_tokens"].append(added("é", 9, lstrip=True, rstrip=True))
    assert_same(write(tmp_path, fast=content), "rust")


@both
@pytest.mark.parametrize(
    "config",
    [
        {"added_tokens_decoder": {str(len(TOKENS)): flagged("<new>")}},
        {"extra_special_tokens": ["<new>"]},
        {"additional_special_tokens": ["<new>", "cd"]},
        {"additional_special_tokens": None},
    ],
)
def test_tokens_added_in_the_config_read_as_in_transformers(
    tmp_path: Path, backend: str, config: dict[str, Any]
) -> None:
    assert_same(write(tmp_path, lines(TOKENS), config=config), backend)


def test_no_limit_in_the_config_means_what_the_model_has(tmp_path: Path) -> None:
    folder = write(tmp_path, lines(TOKENS), config={"model_max_length": int(1e30)})
    assert DistilBertTokenizer.from_pretrained(folder).model_max_length == 512


def test_the_bundled_tokenizer_reads_by_name() -> None:
    tokenizer = DistilBertTokenizer.from_pretrained("tiny")
    assert tokenizer.encode("hello world") == [101, 7592, 2088, 102]


# What it writes


@both
@pytest.mark.parametrize("lower_case", [True, False])
def test_what_is_saved_reads_the_same_everywhere(
    tmp_path: Path, backend: Any, lower_case: bool
) -> None:
    tokenizer = DistilBertTokenizer(
        {token: id for id, token in enumerate(TOKENS)},
        do_lower_case=lower_case,
        strip_accents=False,
        model_max_length=20,
        padding_side="left",
        added_tokens=[AddedToken("<new>", len(TOKENS))],
        backend=backend,
    )
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    saved = tokenizer.save_pretrained(tmp_path)
    assert [Path(path).name for path in saved] == [
        "vocab.txt",
        "tokenizer_config.json",
        "tokenizer.json",
    ]
    expected = tokenizer(TEXT, "a b", padding="max_length")
    for other in (
        Reference.from_pretrained(tmp_path),
        AutoTokenizer.from_pretrained(tmp_path),
        DistilBertTokenizer.from_pretrained(tmp_path),
    ):
        assert dict(other(TEXT, "a b", padding="max_length")) == expected
        assert other.model_max_length == 20
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert library.encode(TEXT, "a b").ids == tokenizer(TEXT, "a b").input_ids
    assert library.decode([6, 8, 11]) == tokenizer.decode([6, 8, 11]) == "ab!"
    again = DistilBertTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.padding_side == "left"


def test_what_transformers_saves_reads_the_same(tmp_path: Path) -> None:
    theirs = Reference({token: id for id, token in enumerate(TOKENS)})
    theirs.add_tokens(["<new>"], special_tokens=True)
    theirs.save_pretrained(tmp_path)
    ours = DistilBertTokenizer.from_pretrained(tmp_path)
    assert ours(TEXT) == dict(theirs(TEXT))
    assert ours.get_vocab() == theirs.get_vocab()


def test_unused_ids_stay_unused_when_saved(tmp_path: Path) -> None:
    vocab = {token: id for id, token in enumerate(TOKENS)} | {"z": 20}
    DistilBertTokenizer(vocab).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    again = DistilBertTokenizer.from_pretrained(tmp_path)
    assert again.convert_tokens_to_ids(["a", "z"]) == [6, 20]


# What it refuses


def test_a_checkpoint_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"vocab\.txt"):
        DistilBertTokenizer.from_pretrained(write(tmp_path))


def test_a_missing_special_token_is_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path, lines(["[UNK]", *TOKENS[5:]]))
    with pytest.raises(ValueError, match=r"no .*sep_token='\[SEP\]'.*pad_token"):
        DistilBertTokenizer.from_pretrained(folder)


def test_an_empty_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unk_token"):
        DistilBertTokenizer.from_pretrained(write(tmp_path, ""))


def test_a_vocabulary_that_is_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not UTF-8"):
        DistilBertTokenizer.from_pretrained(write(tmp_path, b"\xff\xfe[\x00P\x00"))


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_broken_json_is_refused_by_file_name(tmp_path: Path, content: str) -> None:
    write(tmp_path, lines(TOKENS))
    (tmp_path / "tokenizer_config.json").write_text(content)
    with pytest.raises(ValueError, match=r"tokenizer_config\.json"):
        DistilBertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model__type": "BPE"}, "BPE"),
        ({"model__continuing_subword_prefix": "@@"}, "@@"),
        ({"model__max_input_chars_per_word": 200}, "200"),
        ({"model__vocab": [["a", 0]]}, "vocab"),
        ({"normalizer__type": "NFC"}, "NFC"),
        ({"normalizer": None}, "normalizer"),
        ({"normalizer__clean_text": False}, "clean_text"),
        ({"pre_tokenizer__type": "Whitespace"}, "Whitespace"),
        ({"pre_tokenizer": None}, "pre_tokenizer"),
    ],
)
def test_another_kind_of_tokenizer_is_refused_by_component(
    tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    folder = write(tmp_path, fast=fast(**change))
    with pytest.raises(ValueError, match=named):
        DistilBertTokenizer.from_pretrained(folder)


def test_a_tokenizer_json_without_model_type_is_read(tmp_path: Path) -> None:
    content = fast()
    del content["model"]["type"]
    assert_same(write(tmp_path, fast=content), "rust")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"do_lower_case": "yes"}, "do_lower_case"),
        ({"truncation_side": "top"}, "truncation_side"),
        ({"padding_side": "top"}, "padding_side"),
        ({"model_max_length": "512"}, "model_max_length"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(
    tmp_path: Path, config: dict[str, Any], named: str
) -> None:
    with pytest.raises(ValueError, match=named):
        DistilBertTokenizer.from_pretrained(
            write(tmp_path, lines(TOKENS), config=config)
        )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"z": 5}, "id 5"),
        ({"z": -1}, "-1"),
        ({"z": "7"}, "'7'"),
        ({"y\nz": 20}, "line"),
    ],
)
def test_ids_that_are_not_ids_are_refused(change: dict[str, Any], named: str) -> None:
    vocab = {token: id for id, token in enumerate(TOKENS)}
    with pytest.raises(ValueError, match=named):
        DistilBertTokenizer(vocab | change)


def test_an_added_token_without_an_id_is_refused(tmp_path: Path) -> None:
    content = fast(added_tokens=[flagged("<new>")])
    with pytest.raises(ValueError, match="<new>"):
        DistilBertTokenizer.from_pretrained(write(tmp_path, fast=content))


@pytest.mark.parametrize("id", [len(TOKENS) + 3, 6])
def test_an_added_token_with_an_impossible_id_is_refused(id: int) -> None:
    vocab = {token: id for id, token in enumerate(TOKENS)}
    with pytest.raises(ValueError, match="<new>"):
        DistilBertTokenizer(vocab, added_tokens=[AddedToken("<new>", id)])


def test_the_python_backend_refuses_tokens_that_are_not_literals() -> None:
    vocab = {token: id for id, token in enumerate(TOKENS)}
    token = AddedToken("<new>", len(TOKENS), normalized=True)
    with pytest.raises(ValueError, match="backend='rust'"):
        DistilBertTokenizer(vocab, added_tokens=[token], backend="python")


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(TypeError, match="do_lower_case"):
        DistilBertTokenizer.from_pretrained("tiny", do_lowercase=False)
