"""What fuzzing has found, one finding a test; `test_fuzz` looks for more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.models import WordPiece

from minidistil import CheckpointError, ConfigError, DistilBertTokenizer
from minidistil.checkpoint.stored import read_header
from minidistil.checkpoint.tensors import Weights
from minidistil.config import DistilBertConfig
from minidistil.hub import open_checkpoint

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "day", "##s"]
LONG = "x" * 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in WORDS))
    return tmp_path


def write_json(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def tokenizer_json() -> dict[str, Any]:
    vocab = {word: number for number, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(["[MASK]"])
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    return content


def refused(folder: Path) -> str:
    """What is said when the tokenizer of a folder is not read; it names the folder."""
    with pytest.raises(ValueError, match=str(folder)) as error:
        DistilBertTokenizer.from_pretrained(folder)
    assert type(error.value) is ValueError
    return str(error.value)


# Weights


def test_a_file_name_longer_than_any_is_told_and_not_asked_for(tmp_path):
    index = {"weight_map": {"a": "x" * 300}}
    write_json(tmp_path, "model.safetensors.index.json", index)
    with pytest.raises(CheckpointError, match="is not the plain name of a file") as got:
        Weights(open_checkpoint(tmp_path))
    assert len(str(got.value)) < 500


def test_an_error_shows_a_part_of_an_endless_name(tmp_path):
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file({LONG: torch.ones(1, dtype=torch.int8)}, file)
    with pytest.raises(CheckpointError, match="is stored as I8") as error:
        Weights(open_checkpoint(tmp_path)).stored(LONG)
    assert len(str(error.value)) < 500


def test_what_the_safetensors_library_quotes_is_cut(tmp_path):
    header = json.dumps({"a": LONG}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="is not a sound safetensors") as error:
        Weights(open_checkpoint(tmp_path))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("metadata", [[], 0, False, ""])
def test_empty_metadata_of_another_kind_is_refused_as_the_library_does(
    tmp_path, metadata
):
    header = json.dumps({"__metadata__": metadata}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(CheckpointError, match="is not a sound safetensors file"):
        read_header(file)


# Configurations


def test_a_number_of_labels_that_no_memory_holds_is_refused():
    with pytest.raises(ConfigError, match="num_labels is 1000000000000, expected at"):
        DistilBertConfig.from_dict({"num_labels": 10**12})


@pytest.mark.parametrize("ids", [["a", "b"], "ab", 7])
def test_label2id_must_be_an_object(ids):
    with pytest.raises(ConfigError, match=r"label2id is .*, expected an object"):
        DistilBertConfig.from_dict({"label2id": ids})


def test_an_error_shows_a_part_of_an_endless_value():
    with pytest.raises(ConfigError) as error:
        DistilBertConfig.from_dict({"activation": LONG})
    assert len(str(error.value)) < 500


def test_labels_that_are_half_characters_can_be_printed():
    labels = {"id2label": {"0": "\ud800"}, "num_labels": 2}
    with pytest.raises(ConfigError, match="id2label names 1 labels") as error:
        DistilBertConfig.from_dict(labels)
    assert str(error.value).encode()


# Tokenizers


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "1" + "0" * 5000, '"\xff"', "\ufeff{}"]
)
def test_a_file_that_python_cannot_parse_is_named(folder, text):
    (folder / "tokenizer_config.json").write_bytes(text.encode("utf-8"))
    assert "tokenizer_config.json" in refused(folder)


@pytest.mark.parametrize("length", ["-Infinity", "NaN", "-1"])
def test_a_length_that_is_none_is_refused(folder, length):
    text = f'{{"model_max_length": {length}}}'
    (folder / "tokenizer_config.json").write_text(text)
    assert "model_max_length is" in refused(folder)


def test_a_length_is_no_truth_value(folder):
    write_json(folder, "tokenizer_config.json", {"model_max_length": True})
    assert "model_max_length is True, expected" in refused(folder)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"added_tokens_decoder": [1]}, "added_tokens_decoder is [1], expected an obj"),
        ({"added_tokens_decoder": {"8": "x"}}, "added token 'x' is not an object"),
        ({"added_tokens_decoder": {"x": {"content": "y"}}}, "has no content or no id"),
        ({"added_tokens_decoder": {"8": {"content": []}}}, "has no content or no id"),
        (
            {"added_tokens_decoder": {"8": {"content": "y", "lstrip": 2}}},
            "lstrip is 2, expected true or false",
        ),
        ({"additional_special_tokens": "x"}, "expected a list"),
        ({"extra_special_tokens": 3}, "expected a list or an object"),
    ],
)
def test_added_tokens_of_another_form_are_refused(folder, settings, said):
    write_json(folder, "tokenizer_config.json", settings)
    assert said in refused(folder)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("model", ["WordPiece"], "model is ['WordPiece'], expected an object"),
        ("normalizer", "BertNormalizer", "normalizer is 'BertNormalizer', expected"),
        ("pre_tokenizer", 1, "pre_tokenizer is 1, expected an object"),
        ("added_tokens", {"a": 1}, "added_tokens is {'a': 1}, expected a list"),
        ("added_tokens", [None], "added token None is not an object"),
    ],
)
def test_a_part_of_a_tokenizer_json_of_another_form_is_refused(
    folder, name, value, said
):
    write_json(folder, "tokenizer.json", tokenizer_json() | {name: value})
    assert said in refused(folder)


def test_a_switch_of_another_kind_is_refused(folder):
    content = tokenizer_json()
    content["normalizer"]["lowercase"] = "yes"
    write_json(folder, "tokenizer.json", content)
    assert "do_lower_case is 'yes', expected bool" in refused(folder)


@pytest.mark.parametrize("number", [10**8, 2**32, 2**64, -1, 1.0, True])
def test_an_id_beyond_any_vocabulary_is_refused(folder, number):
    content = tokenizer_json()
    content["model"]["vocab"]["x"] = number
    write_json(folder, "tokenizer.json", content)
    assert f"token 'x' has id {number}" in refused(folder)


def test_half_a_character_in_the_vocabulary_is_refused(folder):
    content = tokenizer_json()
    content["model"]["vocab"]["\ud800"] = 8
    write_json(folder, "tokenizer.json", content)
    assert r"token '\ud800' holds half of a surrogate pair" in refused(folder)


def test_a_vocabulary_without_special_tokens_names_the_file(folder):
    (folder / "vocab.txt").write_text("good\n")
    assert "the vocabulary of 1 tokens has no unk_token" in refused(folder)


def test_the_end_of_a_line_is_what_rust_takes_for_it(folder):
    spaces = "".join(map(chr, [*range(1, 0x10000)]))
    odd = [f"w{ord(char):x}{char}" for char in spaces if char.isspace()]
    odd = [word for word in odd if "\n" not in word and "\r" not in word]
    (folder / "vocab.txt").write_text("\n".join([*WORDS, *odd]), "utf-8", newline="")
    theirs = WordPiece.read_file(str(folder / "vocab.txt"))
    assert DistilBertTokenizer.from_pretrained(folder).get_vocab() == theirs
