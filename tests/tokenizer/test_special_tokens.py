"""Special and added tokens: whichever file names them, and after saving again."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, DistilBertTokenizer as Reference

from minidistil.tokenizer import DistilBertTokenizer

TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused1]", "a", "b", "##b", "x",
    "[", "]", "un", "##used", "##1", "<", "e", ">", "1", "unused",
]  # fmt: skip
NEXT = len(TOKENS)
TEXT = "a [unused1] b <e1> [MASK]x"
GENERIC = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    **{f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls")},
    "mask_token": "[MASK]",
}


def flagged(token: str, **flags: bool) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"content": token, "special": True, **plain, **flags}


MASK = {"__type": "AddedToken", **flagged("[MASK]", lstrip=True)}
OLD_MASK = {name: value for name, value in MASK.items() if name[0] in "clrns"}
OLD_MASK.pop("special")
LISTED = {str(NEXT): flagged("<e1>")}
# Each is what tokenizer_config.json, special_tokens_map.json, added_tokens.json hold.
PLACES: dict[str, tuple[Any, Any, Any]] = {
    "old list": ({}, {"additional_special_tokens": ["[unused1]"]}, {}),
    "old list, new token": ({}, {"additional_special_tokens": ["<e1>"]}, {}),
    "list": ({}, {"extra_special_tokens": ["<e1>", "[unused1]"]}, {}),
    "old list in config": (
        {"additional_special_tokens": ["[unused1]", "<e1>"]}, {}, {},
    ),
    "list in config": ({"extra_special_tokens": ["<e1>", "[unused1]"]}, {}, {}),
    "names in config": ({"extra_special_tokens": {"image_token": "<e1>"}}, {}, {}),
    "a name in config": ({"image_token": "<e1>"}, {}, {}),
    "names of the model": (
        {"model_specific_special_tokens": {"image_token": "<e1>"}}, {}, {},
    ),
    "two lists in config": (
        {"extra_special_tokens": ["<e1>"], "additional_special_tokens": ["[unused1]"]},
        {},
        {},
    ),
    "flags in config": ({"mask_token": MASK}, {}, {}),
    "flags": ({}, {"mask_token": OLD_MASK}, {}),
    "another mask": ({}, {"mask_token": "[unused1]"}, {}),
    "a new mask": ({}, {"mask_token": "<e1>"}, {}),
    "a new mask in config": ({"mask_token": "<e1>"}, {}, {}),
    "map before config": ({"mask_token": "[unused1]"}, {"mask_token": "[MASK]"}, {}),
    "new ones in another order": (
        {"mask_token": "<m>", "pad_token": "<p>", "eos_token": "<e>"}, {}, {},
    ),
    "new ones in another order in the map": (
        {}, {"mask_token": "<m>", "pad_token": "<p>", "bos_token": "<b>"}, {},
    ),
    "bos": ({"bos_token": "<e1>"}, {}, {}),
    "added": ({}, {}, {"<e1>": NEXT}),
    "added, list": ({}, {"extra_special_tokens": ["<e1>"]}, {"<e1>": NEXT}),
    "added, list in config": (
        {"additional_special_tokens": ["<e1>"]}, {}, {"<e1>": NEXT},
    ),
    "decoder": ({"added_tokens_decoder": LISTED}, {}, {}),
    "decoder before map": (
        {"added_tokens_decoder": LISTED},
        {"additional_special_tokens": ["[unused1]"]},
        {"x": NEXT + 7},
    ),
    "decoder and list": (
        {
            "added_tokens_decoder": LISTED,
            "additional_special_tokens": ["[unused1]", "<e1>"],
        },
        {},
        {},
    ),
    "decoder, plain word": (
        {
            "added_tokens_decoder": {
                str(NEXT): flagged("<e1>", special=False, normalized=True)
            }
        },
        {},
        {},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def fast_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A `tokenizer.json` without added tokens, and one with."""
    files = {}
    for name, more in {"plain": [], "with a word": ["<e1>"]}.items():
        folder = tmp_path_factory.mktemp("fast")
        reference = Reference({token: id for id, token in enumerate(TOKENS)})
        reference.add_tokens(more)
        reference.save_pretrained(folder)
        files[name] = (folder / "tokenizer.json").read_text()
    return files


def write(folder: Path, config: Any, old_map: Any, added: Any, **texts: Any) -> Path:
    folder.mkdir(exist_ok=True)
    contents = {
        "tokenizer_config.json": config,
        "special_tokens_map.json": old_map,
        "added_tokens.json": added,
        "config.json": {"model_type": "distilbert"},
    }
    for name, content in contents.items():
        if content:
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
    if "vocab" in texts:
        (folder / "vocab.txt").write_text("".join(f"{one}\n" for one in texts["vocab"]))
    if "fast" in texts:
        (folder / "tokenizer.json").write_text(texts["fast"])
    return folder


def seen(tokenizer: Any) -> dict[str, Any]:
    """All that special tokens decide."""
    ids = tokenizer(TEXT)["input_ids"]
    return {
        "ids": ids,
        "skipped": tokenizer.decode(ids, skip_special_tokens=True),
        "left": tokenizer.convert_ids_to_tokens(ids, skip_special_tokens=True),
        "special": (tokenizer.all_special_tokens, tokenizer.all_special_ids),
        "named": tokenizer.special_tokens_map,
        "extra": (tokenizer.extra_special_tokens, tokenizer.extra_special_tokens_ids),
        "added": tokenizer.get_added_vocab(),
        "flags": {id: repr(t) for id, t in tokenizer.added_tokens_decoder.items()},
        "size": (len(tokenizer), tokenizer.vocab_size),
    }


FORMATS = ("vocab.txt", "tokenizer.json", "with a word", "both", "generic")


@pytest.mark.sample(45)
@pytest.mark.parametrize(("place", "form"), [*product(PLACES, FORMATS)])
def test_special_tokens_are_those_of_transformers_wherever_they_are_named(
    tmp_path: Path, fast_files: dict[str, str], place: str, form: str
) -> None:
    config, old_map, added = PLACES[place]
    texts: dict[str, Any] = {}
    if form in ("vocab.txt", "both"):
        texts["vocab"] = TOKENS
    if form != "vocab.txt":
        word = form in ("with a word", "generic")
        texts["fast"] = fast_files["with a word" if word else "plain"]
    if form == "generic":
        config = GENERIC | config
    folder = write(tmp_path / "there", config, old_map, added, **texts)
    expected = seen(AutoTokenizer.from_pretrained(folder))
    ours = DistilBertTokenizer.from_pretrained(folder)
    assert seen(ours) == expected
    # Saved over what was there, they stay special, whoever reads them.
    ours.save_pretrained(folder)
    assert seen(DistilBertTokenizer.from_pretrained(folder)) == expected
    assert seen(AutoTokenizer.from_pretrained(folder)) == expected


@pytest.mark.parametrize(
    "old_map",
    [
        {"additional_special_tokens": [flagged("<e1>"), "[unused1]"]},
        {"extra_special_tokens": [flagged("[unused1]"), flagged("<e1>")]},
    ],
)
def test_a_list_of_objects_is_read_as_a_list_of_strings(
    tmp_path: Path, old_map: dict[str, list[Any]]
) -> None:
    """Version 4 of transformers wrote such lists; version 5 raises TypeError."""
    ((name, tokens),) = old_map.items()
    plain = [one if isinstance(one, str) else one["content"] for one in tokens]
    one = write(tmp_path / "objects", {}, old_map, {}, vocab=TOKENS)
    other = write(tmp_path / "strings", {}, {name: plain}, {}, vocab=TOKENS)
    ours = DistilBertTokenizer.from_pretrained(one)
    assert seen(ours) == seen(AutoTokenizer.from_pretrained(other))


def test_an_added_token_that_an_old_list_names_is_special(tmp_path: Path) -> None:
    """Version 4 of transformers wrote the word here, that it is special there."""
    old_map = {"additional_special_tokens": ["<e1>"]}
    folder = write(tmp_path / "old", {}, old_map, {"<e1>": NEXT}, vocab=TOKENS)
    ours = DistilBertTokenizer.from_pretrained(folder)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert ours(TEXT).input_ids == theirs(TEXT)["input_ids"]
    assert ours.all_special_tokens == theirs.all_special_tokens
    assert "<e1>" not in ours.decode(ours(TEXT).input_ids, skip_special_tokens=True)


@pytest.mark.parametrize("backend", ["rust", "python"])
def test_both_backends_find_tokens_that_only_a_list_names(
    tmp_path: Path, backend: str
) -> None:
    old_map = {"additional_special_tokens": ["[unused1]", "<e1>"]}
    folder = write(tmp_path / "old", {}, old_map, {}, vocab=TOKENS)
    ours = DistilBertTokenizer.from_pretrained(folder, backend=backend)
    theirs = AutoTokenizer.from_pretrained(folder)
    assert ours(TEXT).input_ids == theirs(TEXT)["input_ids"]


@pytest.mark.parametrize(
    ("place", "content"),
    [
        (0, {"additional_special_tokens": "<e1>"}),
        (0, {"extra_special_tokens": 3}),
        (1, {"additional_special_tokens": [3]}),
        (1, {"pad_token": ["[PAD]"]}),
        (2, {"<e1>": "20"}),
        (2, {"<e1>": 3}),
    ],
)
def test_what_is_no_list_of_tokens_is_refused(
    tmp_path: Path, place: int, content: dict[str, Any]
) -> None:
    files: list[Any] = [{}, {}, {}]
    files[place] = content
    folder = write(tmp_path / "broken", *files, vocab=TOKENS)
    with pytest.raises(ValueError, match=r"expected|belongs|has ids"):
        DistilBertTokenizer.from_pretrained(folder)
