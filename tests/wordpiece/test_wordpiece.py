"""The from-scratch WordPiece, one rule a test, on vocabularies of a few words."""

from __future__ import annotations

import doctest
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordPiece as RustWordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

import minidistil.wordpiece
from minidistil.wordpiece import Attempt, Piece, WordPiece, attempts, clean, split


def cleaned(text: str, **options: bool) -> str:
    return WordPiece(frozenset(), **options).clean_text(text)[0]


def pieces(text: str, vocabulary: str, **options: bool) -> list[str]:
    trace = WordPiece(frozenset(vocabulary.split()), **options)(text)
    return [piece.text for piece in trace.pieces]


def test_the_examples_in_the_file_are_true() -> None:
    assert doctest.testmod(minidistil.wordpiece).failed == 0


# clean


def test_invisible_characters_vanish() -> None:
    assert cleaned("a\x00b\u200bc\u00add\ufeffe\ue000f\ufffdg\x7fh") == "abcdefgh"


def test_every_white_space_becomes_a_space() -> None:
    assert cleaned("a\tb\nc\rd\u00a0e\u2003f\u3000g\u2028h") == "a b c d e f g h"


def test_control_characters_that_python_calls_space_vanish() -> None:
    assert cleaned("a\x0bb\x0cc\x1cd\x1fe\x85f") == "abcdef"


def test_unassigned_characters_stay() -> None:
    assert cleaned("a\u0378b") == "a\u0378b"


def test_accents_go_with_the_capitals() -> None:
    assert cleaned("ÀÉîõÜ e\u0301") == "aeiou e"
    assert cleaned("ÀÉ", lower_case=False) == "ÀÉ"


def test_accents_go_or_stay_when_told() -> None:
    assert cleaned("ÀÉ", strip_accents=False) == "àé"
    assert cleaned("ÀÉ", lower_case=False, strip_accents=True) == "AE"


def test_only_accents_go_not_vowel_signs_that_take_space() -> None:
    assert cleaned("का") == "का"


def test_ligatures_and_fractions_stay() -> None:
    assert cleaned("ﬁ½²") == "ﬁ½²"


def test_characters_are_not_composed() -> None:
    assert cleaned("e\u0301", strip_accents=False) == "e\u0301"


def test_each_character_is_lower_cased_alone() -> None:
    assert cleaned("ΟΔΟΣ") == "οδοσ"
    assert cleaned("İ", strip_accents=False) == "i\u0307"


def test_ideographs_stand_apart() -> None:
    assert cleaned("a中国b") == "a 中  国 b"
    assert cleaned("a中", split_cjk=False) == "a中"


def test_kana_and_hangul_are_no_ideographs() -> None:
    assert cleaned("あア", lower_case=False) == "あア"


@pytest.mark.parametrize(
    ("code_point", "apart"),
    [(0x2B81F, True), (0x2B820, False), (0x2B91F, False), (0x2B920, True)],
)
def test_the_last_range_of_ideographs_begins_where_rust_begins_it(
    code_point: int, apart: bool
) -> None:
    char = chr(code_point)
    assert (clean(char, False, False, True) == f" {char} ") is apart


def test_each_clean_character_knows_its_place() -> None:
    text, places = WordPiece(frozenset()).clean_text("À\u200b각中", 10)
    assert text == "a\u1100\u1161\u11a8 中 "
    assert places == [10, 12, 12, 12, 13, 13, 13]


# split


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  a  b ", ["a", "b"]),
        ("a.b", ["a", ".", "b"]),
        ("...", [".", ".", "."]),
        ("a$b", ["a", "$", "b"]),
        ("a_b-c", ["a", "_", "b", "-", "c"]),
        ("a€b", ["a€b"]),
        ("“x”", ["“", "x", "”"]),
    ],
)
def test_words_end_at_spaces_and_punctuation(text: str, words: list[str]) -> None:
    assert [text[start:end] for start, end in split(text)] == words


# cut


def test_the_longest_piece_wins() -> None:
    assert pieces("sunny", "s sun sunn ##ny ##n ##y") == ["sunn", "##y"]


def test_greed_is_not_undone() -> None:
    assert pieces("sunny", "sun sunn ##ny") == ["[UNK]"]


def test_a_piece_inside_a_word_is_another_than_at_its_beginning() -> None:
    assert pieces("nyny", "ny") == ["[UNK]"]
    assert pieces("nyny", "ny ##ny") == ["ny", "##ny"]


def test_one_unknown_letter_makes_the_word_unknown() -> None:
    trace = WordPiece({"a", "##b"})("abx ab")
    assert trace.pieces == [
        Piece("[UNK]", 0, 3, 0),
        Piece("a", 4, 5, 1),
        Piece("##b", 5, 6, 1),
    ]


def test_a_word_of_a_hundred_characters_is_cut_and_a_longer_one_is_not() -> None:
    assert pieces("a" * 100, "a ##a") == ["a"] + ["##a"] * 99
    assert pieces("a" * 101, "a ##a") == ["[UNK]"]


def test_the_hundred_characters_are_those_of_the_clean_word() -> None:
    assert pieces("á" * 100, "a ##a") == ["a"] + ["##a"] * 99
    assert pieces("a\u0301" * 100, "a ##a") == ["a"] + ["##a"] * 99
    assert pieces("각" * 34, "\u1100 ##\u1100 ##\u1161 ##\u11a8") == ["[UNK]"]


def test_the_attempts_tell_what_was_tried_and_what_hit() -> None:
    assert list(attempts("abc", {"ab", "##c"})) == [
        Attempt("abc", 0, 3, False),
        Attempt("ab", 0, 2, True),
        Attempt("##c", 2, 3, True),
    ]
    assert list(attempts("ax", {"a"}))[-1] == Attempt("##x", 1, 2, False)


# the whole


def test_specials_are_pieces_only_as_they_are_written() -> None:
    wordpiece = WordPiece({"x", "y", "[", "]", "mask"}, specials=frozenset({"[MASK]"}))
    trace = wordpiece("x[MASK]y [mask]")
    assert trace.cleaned == "x[MASK]y [mask]"
    assert trace.words == ["x", "[MASK]", "y", "[", "mask", "]"]
    assert trace.pieces[1] == Piece("[MASK]", 1, 7, 1)
    assert trace.pieces[2] == Piece("y", 7, 8, 2)


def test_of_two_specials_the_longer_one_is_taken() -> None:
    wordpiece = WordPiece(frozenset(), specials=frozenset({"<a>", "<a>+", "+"}))
    assert wordpiece("<a>+<a>").words == ["<a>+", "<a>"]


def test_pieces_stand_where_their_letters_stood() -> None:
    trace = WordPiece({"cafe", "##s", "!"})("\u200b  CA\u200bFE\u0301S !")
    assert trace.pieces == [
        Piece("cafe", 3, 8, 0),
        Piece("##s", 9, 10, 0),
        Piece("!", 11, 12, 1),
    ]


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(TypeError, match=r"character 2 .*\\ud83d"):
        WordPiece(frozenset())("ab\ud83d")


def test_the_file_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "minidistil.wordpiece", "Untrustworthy,", "isn't"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[1] == "words: ['untrustworthy', ',', 'isn', \"'\", 't']"
    assert "Piece(text='##worthy', start=7, end=13, word=0)" in shown


# against Rust, with words of a few letters so that pieces of all kinds come up

LETTERS = "abcéÉ\u0301Σσ中あ각 ß\u200b\t.,'-$€[]ıİ\ue000\U0002b820"
PIECES = """[UNK] [MASK] [ ] mask MASK a b c ab abc ##a ##b ##c ##bc é ##é e ##e É σ ##σ
    Σ 中 あ ß ##ß i ##i . , ' - $"""
IDS = {token: id for id, token in enumerate(PIECES.split())}
MASK = frozenset({"[MASK]"})


@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("lower_case", [True, False])
@pytest.mark.parametrize("split_cjk", [True, False])
@given(st.lists(st.sampled_from([*LETTERS, "[MASK]", "[mask]", "ab", "x" * 100])))
@settings(deadline=None, derandomize=True, max_examples=60)
def test_pieces_and_places_are_those_of_rust(
    split_cjk: bool, lower_case: bool, strip_accents: bool | None, parts: list[str]
) -> None:
    text = "".join(parts)
    rust = Tokenizer(RustWordPiece(IDS, unk_token="[UNK]"))
    rust.normalizer = BertNormalizer(True, split_cjk, strip_accents, lower_case)
    rust.pre_tokenizer = BertPreTokenizer()
    rust.add_tokens([AddedToken("[MASK]", special=True, normalized=False)])
    python = WordPiece(IDS, MASK, "[UNK]", lower_case, strip_accents, split_cjk)
    encoding = rust.encode(text)
    assert [tuple(piece) for piece in python(text).pieces] == [
        (token, *span, word)
        for token, span, word in zip(
            encoding.tokens, encoding.offsets, encoding.word_ids, strict=True
        )
    ]
