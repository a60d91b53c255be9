"""Tokens that are added, and other tokens that stand for something: as transformers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, DistilBertTokenizer as Reference

import minidistil
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.tokenizer.vocabulary import AddedToken as Placed

TOKENS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "x", "<", "n", ">",
    "[unused1]",
]  # fmt: skip
VOCAB = {token: id for id, token in enumerate(TOKENS)}
TEXT = "a <n> B<N> x [unused1] yy[MASK] <m>"


def both() -> tuple[DistilBertTokenizer, Reference]:
    return DistilBertTokenizer(VOCAB), Reference(VOCAB)


def seen(tokenizer: Any) -> dict[str, Any]:
    ids = tokenizer(TEXT)["input_ids"]
    return {
        "ids": ids,
        "text": tokenizer.decode(ids, skip_special_tokens=True),
        "special": tokenizer.all_special_tokens,
        "extra": tokenizer.extra_special_tokens,
        "named": tokenizer.special_tokens_map,
        "flags": {id: repr(t) for id, t in tokenizer.added_tokens_decoder.items()},
        "size": (len(tokenizer), tokenizer.vocab_size),
        "vocabulary": tokenizer.get_vocab(),
    }


FLAGS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(["lstrip", "rstrip", "single_word", "special"], st.booleans()),
        # One that is special and matched in lower-cased text is never left out there.
        "normalized": st.just(False),
    },
)
WORDS = st.sampled_from(["<n>", "<m>", "x", "yy", "[unused1]", "[MASK]", "É"])
NEW = st.one_of(WORDS, st.builds(lambda word, flags: (word, flags), WORDS, FLAGS))
STEPS = st.one_of(
    st.tuples(st.just("add"), st.lists(NEW, max_size=3), st.booleans()),
    st.tuples(
        st.just("special"),
        st.fixed_dictionaries(
            {},
            optional={
                "additional_special_tokens": st.lists(NEW, max_size=2),
                "bos_token": NEW,
                "pad_token": NEW,
            },
        ),
        st.booleans(),
    ),
)


def made(token: Any) -> Any:
    """The library's own token, of its content and flags; a string is one already."""
    if isinstance(token, tuple):
        return AddedToken(token[0], **token[1])
    return [*map(made, token)] if isinstance(token, list) else token


@given(st.lists(STEPS, min_size=1, max_size=4))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_tokens_are_added_as_transformers_adds_them(steps: list[Any]) -> None:
    ours, theirs = both()
    for kind, what, flag in steps:
        # Each gets tokens of its own: transformers marks them as special in place.
        for tokenizer, counts in ((ours, mine := []), (theirs, other := [])):
            if kind == "add":
                counts.append(tokenizer.add_tokens(made(what), special_tokens=flag))
            else:
                tokens = {name: made(value) for name, value in what.items()}
                counts.append(tokenizer.add_special_tokens(tokens, flag))
        assert mine == other
        if theirs.extra_special_tokens != ours.extra_special_tokens:
            # It can list a token twice.
            unique = dict.fromkeys(theirs.extra_special_tokens)
            theirs.extra_special_tokens = [*unique]
        expected = seen(theirs)
        # One that is no longer special is left out there until it is saved and loaded.
        saved = Tokenizer.from_str(theirs.backend_tokenizer.to_str())
        expected["text"] = saved.decode(expected["ids"], skip_special_tokens=True)
        assert seen(ours) == expected


@pytest.mark.parametrize("backend", ["rust", "python"])
def test_a_token_is_added_behind_those_that_were_added(backend: Any) -> None:
    ours, theirs = DistilBertTokenizer(VOCAB, backend=backend), Reference(VOCAB)
    for token in ("<n>", "<m>"):
        assert ours.add_tokens(token, special_tokens=True) == 1
        theirs.add_tokens(token, special_tokens=True)
    assert ours.get_added_vocab() == theirs.get_added_vocab()
    assert ours(TEXT).input_ids == theirs(TEXT)["input_ids"]


def test_tokens_given_when_loading_come_behind_those_of_the_files(
    tmp_path: Path,
) -> None:
    first = DistilBertTokenizer(VOCAB, added_tokens=["<n>"])
    first.save_pretrained(tmp_path)
    expected = {"<n>": len(VOCAB), "<m>": len(VOCAB) + 1}
    for token in ("<m>", AddedToken("<m>"), Placed("<m>", len(VOCAB) + 1)):
        ours = DistilBertTokenizer.from_pretrained(tmp_path, added_tokens=[token])
        assert ours.get_added_vocab().items() >= expected.items()


def test_an_id_that_is_taken_is_refused(tmp_path: Path) -> None:
    DistilBertTokenizer(VOCAB, added_tokens=["<n>"]).save_pretrained(tmp_path)
    for id, said in ((len(VOCAB), "'<n>' and to '<m>'"), (90, "expected 14")):
        with pytest.raises(ValueError, match=said):
            DistilBertTokenizer.from_pretrained(
                tmp_path, added_tokens=[Placed("<m>", id)]
            )


def test_the_librarys_own_token_is_the_one_that_is_exported() -> None:
    assert minidistil.AddedToken is AddedToken
    token = AddedToken("x", lstrip=True)
    assert DistilBertTokenizer(VOCAB).add_tokens(token, special_tokens=True) == 1
    assert not token.special  # it is as it was


def test_what_was_added_is_read_by_transformers(tmp_path: Path) -> None:
    ours, theirs = both()
    (tmp_path / "config.json").write_text('{"model_type": "distilbert"}')
    for tokenizer in (ours, theirs):
        tokenizer.add_tokens([AddedToken("yy", single_word=True), "<n>"])
        tokenizer.add_special_tokens(
            {"additional_special_tokens": ["<m>"], "pad_token": "<p>"}
        )
    ours.save_pretrained(tmp_path)
    for reader in (AutoTokenizer, Reference, DistilBertTokenizer):
        assert seen(reader.from_pretrained(tmp_path)) == seen(theirs)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"pad": "<p>"}, "there is no special token 'pad', expected one of unk_token"),
        ({"additional_special_tokens": "<p>"}, "expected a list of tokens"),
    ],
)
def test_what_is_no_special_token_is_refused_and_nothing_is_added(
    call: dict[str, Any], said: str
) -> None:
    ours = DistilBertTokenizer(VOCAB)
    with pytest.raises(ValueError, match=said):
        ours.add_special_tokens({"bos_token": "<b>"} | call)
    with pytest.raises(TypeError, match="3, expected a string or an AddedToken"):
        ours.add_tokens(["<n>", 3])
    assert len(ours) == len(VOCAB)
    assert ours.bos_token is None


def test_a_token_that_the_python_backend_cannot_match_changes_nothing() -> None:
    ours = DistilBertTokenizer(VOCAB, backend="python")
    with pytest.raises(ValueError, match="backend='rust'"):
        ours.add_tokens("<n>")
    assert len(ours) == len(VOCAB)


def test_threads_see_the_tokens_of_before_or_of_after() -> None:
    ours = DistilBertTokenizer(VOCAB)
    text = "a " + "<n0> " * 20
    before = tuple(ours(text).input_ids)
    found = []
    with ThreadPoolExecutor(8) as pool:
        adding = [pool.submit(ours.add_tokens, [f"<n{i}>"]) for i in range(9)]
        for _ in range(200):
            found.append(pool.submit(ours, text))
        assert sum(future.result() for future in adding) == 9
    after = tuple(ours(text).input_ids)
    assert len(ours) == len(VOCAB) + 9  # none undid another
    assert before != after
    assert {tuple(future.result().input_ids) for future in found} <= {before, after}


# What is set


@pytest.mark.parametrize("name", ["pad_token", "cls_token", "sep_token", "mask_token"])
@pytest.mark.parametrize("value", ["[unused1]", 12])
def test_another_token_of_the_vocabulary_can_stand_for_something(
    tmp_path: Path, name: str, value: Any
) -> None:
    ours, theirs = both()
    set_by = name if isinstance(value, str) else f"{name}_id"
    for tokenizer in (ours, theirs):
        setattr(tokenizer, set_by, value)
    assert getattr(ours, name) == getattr(theirs, name) == "[unused1]"
    assert getattr(ours, f"{name}_id") == getattr(theirs, f"{name}_id") == 12
    assert ours.all_special_ids == theirs.all_special_ids
    # What stands around texts follows; there, it does after saving and loading.
    theirs.save_pretrained(tmp_path)
    theirs = Reference.from_pretrained(tmp_path)
    options = {"padding": "max_length", "max_length": 9}
    assert ours("a b", **options) == dict(theirs("a b", **options))


def test_a_token_that_is_not_there_cannot_stand_for_something() -> None:
    ours = DistilBertTokenizer(VOCAB)
    for name, value in {
        "pad_token": "<p>",
        "mask_token": None,
        "cls_token_id": 99,
    }.items():
        with pytest.raises(
            (ValueError, TypeError), match=r"add_special|expected a str"
        ):
            setattr(ours, name, value)
    assert ours.pad_token == "[PAD]"


def test_settings_that_only_a_call_uses_can_be_set() -> None:
    ours, theirs = both()
    for tokenizer in (ours, theirs):
        tokenizer.model_max_length = 4
        tokenizer.padding_side = "left"
        tokenizer.truncation_side = "left"
    options = {"truncation": True, "padding": "max_length"}
    texts = ["a b x a b", "x"]
    assert ours(texts, **options) == dict(theirs(texts, **options))
    ours.clean_up_tokenization_spaces = True
    for name, value in {
        "padding_side": "top",
        "truncation_side": None,
        "model_max_length": "9",
        "clean_up_tokenization_spaces": "yes",
        "model_input_names": "input_ids",
    }.items():
        with pytest.raises((ValueError, TypeError), match=name):
            setattr(ours, name, value)
    with pytest.raises(AttributeError, match="did you mean 'padding_side'"):
        ours.padding_sid = "left"  # type: ignore[attr-defined]
    ours.note = "one's own"  # type: ignore[attr-defined]
