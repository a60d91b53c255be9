"""Which classes are BERT's WordPiece, and what a tokenizer.json may ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers
from tokenizers import Tokenizer
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    DistilBertTokenizer as Reference,
    PreTrainedTokenizerFast,
)

from minidistil.tokenizer import DistilBertTokenizer
from minidistil.tokenizer.checkpoint_files import SAME

TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "don", "'", "t", ".",
]  # fmt: skip
TEXTS = ("ab don't .", "b [MASK]")
IDS = [5, 7, 8, 9, 10, 11]
BERT_TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ],
    "pair": [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 1}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 1}},
    ],
    "special_tokens": {
        name: {"id": name, "ids": [id], "tokens": [name]}
        for name, id in (("[CLS]", 2), ("[SEP]", 3))
    },
}
NAMES = {
    f"{name}_token": f"[{name.upper()}]"
    for name in ("unk", "sep", "pad", "cls", "mask")
}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    """The template with something else in one place; None removes it."""
    template = json.loads(json.dumps(BERT_TEMPLATE))
    *outer, last = path
    inside = template
    for name in outer:
        inside = inside[name]
    if to is None:
        del inside[last]
    else:
        inside[last] = to
    return template


def write(folder: Path, config: Any = None, model: Any = None, **changes: Any) -> Path:
    """A checkpoint with a vocab.txt, or with a tokenizer.json that has the changes."""
    folder.mkdir(exist_ok=True)
    model = {"model_type": "distilbert"} | (model or {})
    (folder / "config.json").write_text(json.dumps(model))
    if config is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    if not changes:
        (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in TOKENS))
        return folder
    reference = Reference({token: id for id, token in enumerate(TOKENS)})
    content = json.loads(reference.backend_tokenizer.to_str()) | changes
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", sorted(SAME))
@pytest.mark.parametrize("file", ["config", "model"])
def test_a_class_that_is_bert_by_another_name_is_read(
    tmp_path: Path, name: str, file: str
) -> None:
    content = {file: {"tokenizer_class": name}}
    ours = DistilBertTokenizer.from_pretrained(write(tmp_path / "one", **content))
    content = {file: {"tokenizer_class": f"{name}Fast"}}
    fast = DistilBertTokenizer.from_pretrained(write(tmp_path / "fast", **content))
    theirs = Reference({token: id for id, token in enumerate(TOKENS)})
    for text in TEXTS:
        assert ours(text).input_ids == fast(text).input_ids == theirs(text)["input_ids"]


def test_the_classes_that_are_bert_are_those_of_transformers() -> None:
    """Those that version 5 still has are its BertTokenizer, or derived from it."""
    there = {name: getattr(transformers, name, None) for name in SAME}
    derived = {name for name, kind in there.items() if kind is not None}
    assert {"BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"} <= derived
    for name in derived:
        assert issubclass(there[name], BertTokenizer), name


@pytest.mark.parametrize(
    "name",
    [
        "BertJapaneseTokenizer",
        "XLMRobertaTokenizer",
        "XLMRobertaTokenizerFast",
        "BertweetTokenizer",
        "MPNetTokenizer",
        "FunnelTokenizer",
        "PreTrainedTokenizer",
        "MyOwnTokenizer",
        7,
    ],
)
@pytest.mark.parametrize("file", ["config", "model"])
def test_a_class_that_splits_in_another_way_is_refused_by_name(
    tmp_path: Path, name: Any, file: str
) -> None:
    content = {file: {"tokenizer_class": name}}
    where = {"config": "tokenizer_config.json", "model": r"config\.json"}[file]
    for changes in ({}, {"truncation": None}):
        folder = write(tmp_path / f"as{len(changes)}", **content, **changes)
        with pytest.raises(ValueError, match=rf"{where}: tokenizer_class is {name!r}"):
            DistilBertTokenizer.from_pretrained(folder)


def test_the_tokenizers_own_file_decides_on_its_class(tmp_path: Path) -> None:
    config = {"tokenizer_class": "BertTokenizer"}
    model = {"tokenizer_class": "XLMRobertaTokenizer"}
    folder = write(tmp_path / "two", config, model)
    assert DistilBertTokenizer.from_pretrained(folder)("ab").input_ids == [2, 5, 7, 3]


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("config", {"AutoTokenizer": ["mine.MyTokenizer", None]}),
        ("config", ["mine.MyTokenizer", None]),
        ("model", {"AutoTokenizer": ["mine.MyTokenizer", None]}),
    ],
)
def test_a_tokenizer_that_is_code_is_refused_by_name(
    tmp_path: Path, file: str, code: Any
) -> None:
    content = {file: {"auto_map": code, "tokenizer_class": "BertTokenizer"}}
    folder = write(tmp_path / "code", **content)
    for options in ({}, {"trust_remote_code": False}):
        with pytest.raises(ValueError, match=r"auto_map names .*mine\.MyTokenizer"):
            DistilBertTokenizer.from_pretrained(folder, **options)


def test_code_of_the_model_is_no_matter_of_the_tokenizer(tmp_path: Path) -> None:
    model = {"auto_map": {"AutoModel": "mine.MyModel"}}
    folder = write(tmp_path / "model", model=model)
    assert DistilBertTokenizer.from_pretrained(folder)("ab").input_ids == [2, 5, 7, 3]


def test_a_generic_class_without_its_file_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "words", {"tokenizer_class": "PreTrainedTokenizerFast"})
    with pytest.raises(ValueError, match=r"PreTrainedTokenizerFast, .*tokenizer\.json"):
        DistilBertTokenizer.from_pretrained(folder)


# What a tokenizer.json asks for, where a generic class leaves all to it


@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
@pytest.mark.parametrize(
    "processor",
    [
        BERT_TEMPLATE,
        {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    ],
)
def test_a_generic_class_with_what_bert_puts_around_texts_is_read(
    tmp_path: Path, name: str, processor: Any
) -> None:
    config = {"tokenizer_class": name, **NAMES}
    folder = write(tmp_path / "bert", config, post_processor=processor)
    ours = DistilBertTokenizer.from_pretrained(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    for texts in ((TEXTS[0],), TEXTS):
        mine = ours(*texts, return_token_type_ids=True)
        assert mine == dict(theirs(*texts, return_token_type_ids=True))


@pytest.mark.parametrize(
    "processor",
    [
        None,
        {
            "type": "RobertaProcessing",
            "sep": ["[SEP]", 3],
            "cls": ["[CLS]", 2],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
        changed("single", 2, to=None),
        changed("pair", 3, "Sequence", "type_id", to=0),
        changed("pair", 4, to=None),
        changed("pair", 2, "SpecialToken", "id", to="[CLS]"),
        {"type": "ByteLevel", "trim_offsets": True},
    ],
)
def test_a_generic_class_that_puts_something_else_around_texts_is_refused(
    tmp_path: Path, processor: Any
) -> None:
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **NAMES}
    folder = write(tmp_path / "other", config, post_processor=processor)
    with pytest.raises(ValueError, match=r"post_processor is .*expected the template"):
        DistilBertTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", [None, "BertTokenizer", "DistilBertTokenizerFast"])
@pytest.mark.parametrize("processor", [None, changed("single", 2, to=None)])
def test_the_classes_of_bert_put_the_same_around_texts_whatever_the_file_says(
    tmp_path: Path, name: str | None, processor: Any
) -> None:
    config = None if name is None else {"tokenizer_class": name}
    folder = write(tmp_path / "rule", config, post_processor=processor)
    ours = DistilBertTokenizer.from_pretrained(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    for texts in ((TEXTS[0],), TEXTS):
        assert ours(*texts).input_ids == theirs(*texts)["input_ids"]


@pytest.mark.parametrize(
    "decoder",
    [
        {"type": "WordPiece", "prefix": "##", "cleanup": False},
        {"type": "WordPiece", "prefix": "##", "cleanup": True},
        None,
    ],
)
@pytest.mark.parametrize("name", ["PreTrainedTokenizerFast", "BertTokenizer", None])
def test_tokens_are_put_together_as_transformers_does(
    tmp_path: Path, name: str | None, decoder: Any
) -> None:
    config = NAMES if name is None else {"tokenizer_class": name, **NAMES}
    folder = write(tmp_path / "decoder", config, decoder=decoder)
    theirs = AutoTokenizer.from_pretrained(folder)
    ours = DistilBertTokenizer.from_pretrained(folder)
    expected = theirs.decode(IDS)
    assert ours.decode(IDS) == expected
    words = [TOKENS[id] for id in IDS]
    assert ours.convert_tokens_to_string(words) == theirs.convert_tokens_to_string(
        words
    )
    ours.save_pretrained(folder)
    assert DistilBertTokenizer.from_pretrained(folder).decode(IDS) == expected
    assert AutoTokenizer.from_pretrained(folder).decode(IDS) == expected
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert library.decode(IDS) == expected


def test_another_way_to_put_tokens_together_is_refused(tmp_path: Path) -> None:
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **NAMES}
    for decoder in ({"type": "ByteLevel"}, {"type": "WordPiece", "prefix": "@@"}):
        folder = write(tmp_path / "decoder", config, decoder=decoder)
        with pytest.raises(ValueError, match="decoder is "):
            DistilBertTokenizer.from_pretrained(folder)


def test_a_generic_class_splits_as_its_file_says_and_not_its_config(
    tmp_path: Path,
) -> None:
    normalizer = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": False,
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": True}
    folder = write(tmp_path / "cased", config | NAMES, normalizer=normalizer)
    theirs = PreTrainedTokenizerFast.from_pretrained(folder)
    ours = DistilBertTokenizer.from_pretrained(folder)
    assert ours("A ab").input_ids == theirs("A ab")["input_ids"]


def test_two_names_for_what_stands_around_texts_are_refused(tmp_path: Path) -> None:
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **NAMES, "sep_token": "."}
    folder = write(tmp_path / "two", config, post_processor=BERT_TEMPLATE)
    with pytest.raises(ValueError, match=r"sep_token is '\.', expected '\[SEP\]'"):
        DistilBertTokenizer.from_pretrained(folder)
