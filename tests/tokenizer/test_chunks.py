"""The table of chunks gives the ids that `tokenizers` gives, met before or not.

The vocabulary holds every character that the texts are made of, alone and as a
continuation, so that a wrong cut cannot hide in an [UNK].
"""

from __future__ import annotations

import copy
import os
import pickle
import random
import signal
import sys
import unicodedata
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

import minidistil.tokenizer.chunks as chunks
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.tokenizer.chunks import ChunkTable

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WHITE_SPACE = [chr(i) for i in range(sys.maxunicode + 1) if chr(i).isspace()]
# What vanishes or looks like white space, and is none; halves of literals; what is
# split from its neighbours, loses an accent or becomes several characters; long words.
ODDITIES = [
    *["\0", "\x07", "\x7f", "\u180e", "\u200b", "\u2060", "\ufeff", "\ufffd", "\xad"],
    *["[", "]", "[MA", "SK]", "[SEP", "<", ">", "##", "!", "'", "$", "。", "«"],
    *["é", "e\u0301", "\u0301", "\u0323\u0301", "İ", "ΟΔΟΣ", "ß", "각", "का", "½"],
    *["中", "国", "\U0002b820", "x" * 31, "x" * 32, "x" * 33, "x" * 100, "x" * 101],
]
LITERALS = ["[SEP]", "[MASK]", "[CLS]", "[PAD]", "[UNK]", "[mask]"]
PARTS = [*"aAbB1", "ab", "ba", *ODDITIES, *LITERALS, *WHITE_SPACE, *[" "] * 20]


def vocabulary_of(parts: Iterable[str]) -> dict[str, int]:
    """Every character that the parts hold or become, and two words."""
    letters = {*"".join(parts)}
    letters |= {*unicodedata.normalize("NFD", "".join(letters))}
    letters |= {char for letter in letters for char in letter.lower()}
    words = sorted({*letters, "ab", "aba"} - {*WHITE_SPACE})
    vocab = [*SPECIALS, *(f"{mark}{word}" for word in words for mark in ("", "##"))]
    return {word: id for id, word in enumerate(vocab)}


VOCAB = vocabulary_of(PARTS)
ADDED = {
    "plain": AddedToken("ab<x>", normalized=False),
    "with a space": AddedToken("a b", normalized=False),
    "with what Python calls space": AddedToken("a\x85b", normalized=False),
    "lstrip": AddedToken("<l>", lstrip=True, normalized=False),
    "rstrip": AddedToken("<r>", rstrip=True, normalized=False),
    "single word": AddedToken("b1", single_word=True, normalized=False),
    "normalized": AddedToken("é中", normalized=True),
    "special": AddedToken("<s>", special=True),
    "mask": AddedToken("[MASK]", special=True, lstrip=True),
}
KINDS: dict[str, dict[str, Any]] = {
    "uncased": {},
    "cased": {"do_lower_case": False},
    "accents kept": {"strip_accents": False},
    "cased without accents": {"do_lower_case": False, "strip_accents": True},
    "ideographs together": {"tokenize_chinese_chars": False},
    "specials split": {"split_special_tokens": True},
    **{name: {"added_tokens": [token]} for name, token in ADDED.items()},
    "all literals": {"added_tokens": [*ADDED.values()]},
}
TEXTS = [*PARTS, *(token.content for token in ADDED.values())]
every_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def reference(
    vocab: dict[str, int],
    *,
    do_lower_case: bool = True,
    strip_accents: bool | None = None,
    tokenize_chinese_chars: bool = True,
    split_special_tokens: bool = False,
    added_tokens: Sequence[AddedToken] = (),
) -> Tokenizer:
    """BERT's tokenizer made of the library's parts, without a line of ours."""
    rust = Tokenizer(WordPiece(vocab, unk_token="[UNK]"))
    rust.normalizer = BertNormalizer(
        True, tokenize_chinese_chars, strip_accents, do_lower_case
    )
    rust.pre_tokenizer = BertPreTokenizer()
    rust.add_special_tokens(SPECIALS)
    rust.add_tokens([*added_tokens])
    rust.encode_special_tokens = split_special_tokens
    return rust


def expected(rust: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [
        encoding.ids for encoding in rust.encode_batch(texts, add_special_tokens=False)
    ]


def found(ours: DistilBertTokenizer, texts: list[str]) -> list[list[int]]:
    return [ids.tolist() for ids in ours.ids_of_texts(texts)]


def hostile(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)
    return [
        "".join(chance.choices(TEXTS, k=chance.randint(0, 12))) for _ in range(count)
    ]


def table_of(ours: DistilBertTokenizer) -> ChunkTable:
    return ours._state.backend._table


def kept(table: ChunkTable) -> dict[str, bytes]:
    return table._older | table._newer


def size(table: ChunkTable) -> int:
    return len(table._older) + len(table._newer)


# The same ids


@every_kind
def test_hostile_texts_have_the_ids_of_the_library(
    kind: dict[str, Any], full_run: bool
) -> None:
    rust = reference(VOCAB, **kind)
    shared = DistilBertTokenizer(VOCAB, **kind)
    for seed in range(40 if full_run else 2):
        texts = hostile(seed, 250)
        ids = expected(rust, texts)
        alone = DistilBertTokenizer(VOCAB, **kind)
        assert found(alone, texts) == ids  # from an empty table
        assert found(alone, texts) == ids
        assert found(shared, texts) == ids  # from one that has met other texts
        assert [found(shared, [text])[0] for text in texts] == ids


@pytest.mark.parametrize("backend", ["rust", "python"])
@pytest.mark.parametrize("split", [False, True], ids=["found", "split"])
@given(texts=st.lists(st.lists(st.sampled_from(TEXTS)).map("".join)))
@settings(deadline=None, derandomize=True, max_examples=200)
def test_both_backends_fill_a_table_that_agrees_with_the_library(
    backend: Any, split: bool, texts: list[str]
) -> None:
    ours = DistilBertTokenizer(VOCAB, backend=backend, split_special_tokens=split)
    ids = expected(reference(VOCAB, split_special_tokens=split), texts)
    assert found(ours, texts) == ids
    assert found(ours, texts) == ids


@pytest.mark.parametrize(
    "step",
    [pytest.param(1, id="all", marks=pytest.mark.full), pytest.param(17, id="sample")],
)
@pytest.mark.parametrize(
    "kind", [{}, {"do_lower_case": False}], ids=["uncased", "cased"]
)
def test_every_code_point_has_the_ids_of_the_library(
    kind: dict[str, Any], step: int
) -> None:
    rare = [*range(0, 0x3100), *range(0xE000, 0xE010), *range(0xF900, 0xFB50)]
    points = sorted({*rare, *range(0, sys.maxunicode + 1, step)})
    chars = [chr(i) for i in points if not 0xD800 <= i < 0xE000]
    for start in range(0, len(chars), 0x4000):
        block = chars[start : start + 0x4000]
        vocab = vocabulary_of([*block, "ab"])
        ours, rust = DistilBertTokenizer(vocab, **kind), reference(vocab, **kind)
        texts = [text for char in block for text in (char, f"a{char}b ab")]
        ids = expected(rust, texts)
        assert found(ours, texts) == ids
        assert found(ours, texts[::-1]) == ids[::-1]


def test_texts_are_cut_into_blocks_that_do_not_show() -> None:
    texts = [" ".join("ab"[: 1 + i % 2] * (i % 5)) for i in range(1000)]
    texts[300] = "a\x85b"
    assert found(DistilBertTokenizer(VOCAB), texts) == expected(reference(VOCAB), texts)


# What it takes and gives


def test_a_text_has_an_array_of_32_bit_numbers() -> None:
    (ids,) = DistilBertTokenizer(VOCAB).ids_of_texts(["ab [SEP]"])
    assert ids == array("i", [VOCAB["ab"], VOCAB["[SEP]"]])
    assert ids.typecode == "i"
    assert ids.itemsize == 4


def test_no_texts_have_no_ids() -> None:
    ours = DistilBertTokenizer(VOCAB)
    assert ours.ids_of_texts([]) == []
    assert found(ours, ["", " ", "\x85", "\0"]) == [[], [], [], []]


def test_a_long_text_is_neither_truncated_nor_warned_of(
    recwarn: pytest.WarningsRecorder,
) -> None:
    ours = DistilBertTokenizer(VOCAB, model_max_length=4)
    assert len(ours.ids_of_texts(["a " * 1000])[0]) == 1000
    assert not recwarn


@pytest.mark.parametrize("kind", [{}, {"added_tokens": [ADDED["lstrip"]]}])
@pytest.mark.parametrize("no_text", [5, None, b"a", ["a"], ("a", "b"), 0.5])
def test_what_is_no_text_is_refused_by_its_place(
    kind: dict[str, Any], no_text: Any
) -> None:
    ours = DistilBertTokenizer(VOCAB, **kind)
    ours.ids_of_texts(["a", "b"])
    for texts in (["a", no_text], ["a", no_text, "\ud800"]):
        with pytest.raises(TypeError, match=r"texts\[1\] is .*, expected a string"):
            ours.ids_of_texts(texts)


@pytest.mark.parametrize("no_list", ["a text", 5, None, {"a": 1}])
def test_what_is_no_list_of_texts_is_refused(no_list: Any) -> None:
    with pytest.raises(TypeError, match=r"texts is .*, expected a list of texts"):
        DistilBertTokenizer(VOCAB).ids_of_texts(no_list)


@pytest.mark.parametrize("backend", ["rust", "python"])
@pytest.mark.parametrize("kind", [{}, {"split_special_tokens": True}])
def test_half_of_a_surrogate_pair_is_refused_by_its_place_in_the_text(
    kind: dict[str, Any], backend: Any
) -> None:
    ours = DistilBertTokenizer(VOCAB, backend=backend, **kind)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"character 6 of the text is '\\udc80'"):
            ours.ids_of_texts(["a b", "a ab \u4e2d\udc80", 5])  # type: ignore[list-item]


# Kept within bounds


def test_entries_are_bounded_and_the_ids_are_still_right(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 100)
    ours, rust = DistilBertTokenizer(VOCAB), reference(VOCAB)
    for seed in range(20):
        texts = hostile(seed, 60)
        assert found(ours, texts) == expected(rust, texts)
        assert size(table_of(ours)) <= 100
    assert size(table_of(ours)) > 50


@pytest.mark.parametrize("width", [1, 2, 4], ids=["latin", "wide", "astral"])
def test_bytes_are_bounded(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Whatever the texts are; the full table takes as much in proportion."""
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 2000)
    char = {1: "a", 2: "ж", 4: "\U0001f600"}[width]
    ours = DistilBertTokenizer(vocabulary_of(["0123456789", char]))
    drawn = [f"{i:05}" + char * (10 + i % 30) for i in range(5000)]
    ours.ids_of_texts(drawn)
    table = table_of(ours)
    found = kept(table)
    assert 1000 < size(table) <= 2000
    entries = sum(sys.getsizeof(chunk) + sys.getsizeof(found[chunk]) for chunk in found)
    dictionaries = sys.getsizeof(table._older) + sys.getsizeof(table._newer)
    assert (entries + dictionaries) / 2000 * 131_072 < 70e6


def test_long_chunks_are_not_kept() -> None:
    ours = DistilBertTokenizer(VOCAB)
    for text in ("x" * 32, "x" * 33, "각" * 20, "a" * 10_000):
        ours.ids_of_texts([text])
    assert [*kept(table_of(ours))] == ["x" * 32]


def test_what_is_met_again_and_again_is_tokenized_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 100)
    table = ChunkTable([])
    tokenized: list[str] = []

    def encode(met: list[str]) -> list[list[int]]:
        tokenized.extend(met)
        return [[0]] * len(met)

    for i in range(300):
        table.ids_of([f"often {i}"], encode)
    assert tokenized.count("often") == 1
    assert "0" not in kept(table)


def test_a_call_that_meets_more_than_can_be_kept_has_all_its_ids(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 10)
    texts = hostile(0, 1000)
    ours = DistilBertTokenizer(VOCAB)
    assert found(ours, texts) == expected(reference(VOCAB), texts)
    assert 5 <= size(table_of(ours)) <= 10


# Shared and copied


@contextmanager
def often_interrupted() -> Iterator[None]:
    """Threads take turns a thousand times more often than usual."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def status_of_child(work: Callable[[], bool]) -> int:
    """0 if what a forked process does is true; it is ended after ten seconds."""
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(0 if work() else 1)
    return os.waitpid(child, 0)[1]


def test_threads_share_a_table_that_fills_and_empties(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chunks, "MOST_CHUNKS", 60)
    ours, rust = DistilBertTokenizer(VOCAB), reference(VOCAB)
    drawn = [hostile(seed, 100) for seed in range(8)]
    ids = [expected(rust, texts) for texts in drawn]
    together = Barrier(8)

    def work(number: int) -> bool:
        together.wait()
        order = [(number + i) % 8 for i in range(24)]
        return all(found(ours, drawn[i]) == ids[i] for i in order)

    with often_interrupted(), ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    assert size(table_of(ours)) <= 60 + 8  # each may write one before it looks again


def test_tokens_are_added_while_threads_look_up() -> None:
    """A call has the ids of before or of after, for all of its texts."""
    ours = DistilBertTokenizer(VOCAB)
    texts = ["ab<x> a", "b ab<x>1"] * 200
    before = expected(reference(VOCAB), texts)
    after = expected(reference(VOCAB, added_tokens=[ADDED["plain"]]), texts)
    assert before != after
    ready = Barrier(5)

    def work(_: int) -> list[list[list[int]]]:
        found(ours, texts)
        ready.wait()
        return [found(ours, texts) for _ in range(60)]

    with often_interrupted(), ThreadPoolExecutor(4) as pool:
        answers = pool.map(work, range(4))
        ready.wait()
        ours.add_tokens([ADDED["plain"]])
        for results in answers:
            assert all(ids in (before, after) for ids in results)
    assert found(ours, texts) == after


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda ours: pickle.loads(pickle.dumps(ours))]
)
def test_a_copy_starts_empty(copied: Any) -> None:
    ours = DistilBertTokenizer(VOCAB)
    pickled = pickle.dumps(ours)
    ours.ids_of_texts(["ab a"])
    assert pickle.dumps(ours) == pickled
    other = copied(ours)
    assert size(table_of(other)) == 0
    assert found(other, ["ab a"]) == found(ours, ["ab a"])
    assert size(table_of(ours)) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_answers_while_threads_of_its_parent_look_up() -> None:
    ours = DistilBertTokenizer(VOCAB)
    texts = hostile(3, 100)
    ids = expected(reference(VOCAB), texts)
    stop = False

    def agrees() -> bool:
        return found(ours, texts) == ids

    def work(number: int) -> None:
        while not stop:
            ours.ids_of_texts([f"{number}{random.random()}" for _ in range(50)])

    with ThreadPoolExecutor(2) as pool:
        pool.submit(work, 1)
        pool.submit(work, 2)
        try:
            codes = [
                status_of_child(lambda: found(ours, texts) == ids) for _ in "abcde"
            ]
        finally:
            stop = True
    assert codes == [0] * 5
