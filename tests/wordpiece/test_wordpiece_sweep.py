"""`wordpiece.py` against Rust on every Unicode code point.

The vocabulary holds every character, alone and as a continuation, so that a wrong
character, a wrong place or a wrong cut shows and cannot hide in an [UNK]. What the
two disagree on is known to the last code point: their Unicode tables are of different
ages.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator, Sequence

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece as RustWordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

from minidistil.wordpiece import WordPiece

SURROGATES = range(0xD800, 0xE000)
TOGETHER = 512  # code points compared at a time


class Sweep:
    """Both tokenizers, over a vocabulary of all that some characters become."""

    def __init__(
        self, vocabulary: dict[str, int], rust: Tokenizer, lower: bool
    ) -> None:
        self.python = WordPiece(vocabulary, lower_case=lower)
        self.rust = rust
        self.rust.normalizer = BertNormalizer(lowercase=lower)
        self.rust.pre_tokenizer = BertPreTokenizer()

    def differing(self, chars: Sequence[str]) -> Iterator[str]:
        """The characters that the two see differently, alone or between letters."""
        if self.agree(chars):
            return
        if len(chars) == 1:
            yield chars[0]
            return
        middle = len(chars) // 2
        found = [*self.differing(chars[:middle]), *self.differing(chars[middle:])]
        assert found, f"only together: {chars!r}"
        yield from found

    def agree(self, chars: Sequence[str]) -> bool:
        text = self.text_of(chars)
        pieces = self.python(text).pieces
        assert all(piece.text != "[UNK]" for piece in pieces)
        rust = self.rust.encode(text, add_special_tokens=False)
        return [tuple(piece) for piece in pieces] == [
            (token, *span, word)
            for token, span, word in zip(
                rust.tokens, rust.offsets, rust.word_ids, strict=True
            )
        ]

    @staticmethod
    def text_of(chars: Sequence[str]) -> str:
        """Each character alone, and between letters.

        Only to save time, characters that mean nothing yet or privately (nine in ten)
        stand between each other instead, unless there is just one.
        """
        empty: list[str] = []
        between = []
        for char in chars:
            if unicodedata.category(char) in ("Cn", "Co") and len(chars) > 1:
                empty.append(char)
            else:
                between.append(f"a{char}b")
        fours = ["".join(empty[i : i + 4]) for i in range(0, len(empty), 4)]
        return " ".join([*chars, *fours, *between])


def vocabulary_of(chars: Sequence[str]) -> dict[str, int]:
    letters = {"a", "b", *chars}
    letters.update(*(unicodedata.normalize("NFD", char) for char in chars))
    letters.update(*(letter.lower() for letter in list(letters)))
    vocabulary = {"[UNK]": 0}
    for letter in letters:
        vocabulary[letter] = len(vocabulary)
        vocabulary["##" + letter] = len(vocabulary)
    return vocabulary


def sweep(points: Sequence[int]) -> dict[bool, set[int]]:
    """The code points that differ, when lower-casing (True) and when not (False)."""
    differing: dict[bool, set[int]] = {True: set(), False: set()}
    for start in range(0, len(points), 0x4000):
        block = [chr(i) for i in points[start : start + 0x4000] if i not in SURROGATES]
        vocabulary = vocabulary_of(block)
        rust = Tokenizer(RustWordPiece(vocabulary, unk_token="[UNK]"))
        for lower, found in differing.items():
            both = Sweep(vocabulary, rust, lower)
            for i in range(0, len(block), TOGETHER):
                found.update(map(ord, both.differing(block[i : i + TOGETHER])))
    return differing


# What the tables of Python and Rust disagree on, in hexadecimal. The key is the version
# of Unicode from which on Python has it: 13.0 is Python 3.10, 14.0 is 3.11, 15.0 is
# 3.12 and 15.1 is 3.13, where nothing changed for us.
#
# Punctuation and invisible characters that Unicode added after Rust's table was made
# (and 166d, which is no punctuation any more).
NEW_SIGNS = {
    "13.0.0": """
        8e2 9fd a76 c77 c84 166d 2e43-2e4f 2e52 10ead 10f55-10f59 110cd 111c9
        1144b-1144f 1145a-1145b 1145d 11660-1166c 1183b 11944-11946 119e2 11a3f-11a46
        11a9a-11a9c 11a9e-11aa2 11c41-11c45 11c70-11c71 11ef7-11ef8 11fff 13430-13438
        16e97-16e9a 16fe2 1e95e-1e95f""",
    "14.0.0": "61d 890-891 1b7d-1b7e 2e53-2e5d 10f86-10f89 116b9 12ff1-12ff2",
    "15.0.0": "11b00-11b09 11f43-11f4f 13439-1343f",
}
# Accents that were added since (and 1734, which is none any more, and 11938, which has
# parts since): only an uncased tokenizer looks for them.
NEW_ACCENTS = {
    "13.0.0": """
        7fd 8d3-8e1 9fe afa-aff b55 c04 d00 d3b-d3c d81 eba 1885-1886 1abf-1ac0
        1df6-1df9 1dfb a82c a8c5 a8ff a9bd 10d24-10d27 10eab-10eac 10f46-10f50 111c9
        111cf 1123e 1133b 11438-1143f 11442-11444 11446 1145e 1182f-11837 11839-1183a
        11938 1193b-1193c 1193e 11943 119d4-119d7 119da-119db 119e0 11a01-11a0a
        11a33-11a38 11a3b-11a3e 11a47 11a51-11a56 11a59-11a5b 11a8a-11a96 11a98-11a99
        11c30-11c36 11c38-11c3d 11c3f 11c92-11ca7 11caa-11cb0 11cb2-11cb3 11cb5-11cb6
        11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d90-11d91 11d95 11d97
        11ef3-11ef4 16f4f 16fe4 1e000-1e006 1e008-1e018 1e01b-1e021 1e023-1e024
        1e026-1e02a 1e130-1e136 1e2ec-1e2ef 1e944-1e94a""",
    "14.0.0": """
        898-89f 8ca-8d2 c3c 1734 180f 1ac1-1ace 1dfa 10f82-10f85 11070 11073-11074
        110c2 1cf00-1cf2d 1cf30-1cf46 1e2ae""",
    "15.0.0": """
        ece 10efd-10eff 11241 11f00-11f01 11f36-11f3a 11f40 11f42 13440 13447-13455
        1e08f 1e4ec-1e4ef""",
}
# Capitals that Rust, whose table of these is the newer one, knows and Python does not.
CAPITALS_UNKNOWN_TO_PYTHON = {
    "13.0.0": """
        2c2f a7c0 a7d0 a7d6 a7d8 10570-1057a 1057c-1058a 1058c-10592 10594-10595
        1c89 a7cb-a7cc a7ce a7d2 a7d4 a7da a7dc 10d50-10d65 16ea0-16eb8""",
    "14.0.0": "1c89 a7cb-a7cc a7ce a7d2 a7d4 a7da a7dc 10d50-10d65 16ea0-16eb8",
}
RECORDED = ("13.0.0", "14.0.0", "15.0.0", "15.1.0")


def code_points(ranges: str) -> set[int]:
    points: set[int] = set()
    for item in ranges.split():
        first, _, last = item.partition("-")
        points |= set(range(int(first, 16), int(last or first, 16) + 1))
    return points


def known_differences(version: str, lower_case: bool) -> set[int]:
    """Additions up to `version`, and the capitals of the last entry up to it."""
    signs = [NEW_SIGNS[key] for key in NEW_SIGNS if key <= version]
    if not lower_case:
        return code_points(" ".join(signs))
    accents = [NEW_ACCENTS[key] for key in NEW_ACCENTS if key <= version]
    capitals = max(key for key in CAPITALS_UNKNOWN_TO_PYTHON if key <= version)
    return code_points(
        " ".join([*signs, *accents, CAPITALS_UNKNOWN_TO_PYTHON[capitals]])
    )


def test_the_known_differences_are_counted() -> None:
    assert len(known_differences("14.0.0", lower_case=True)) == 559
    assert len(known_differences("14.0.0", lower_case=False)) == 119


def test_the_marks_that_only_rust_puts_in_order_are_few() -> None:
    """The one rule of Unicode's NFD left out, as it takes neighbours to apply it.

    Marks that stand one upon the other get a fixed order. Only marks that are not
    dropped could show it: tone marks, musical stems and viramas, where two of
    different kinds follow each other, which no language writes.
    """
    marks = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if unicodedata.combining(char) and unicodedata.category(char) != "Mn"
    ]
    assert len(marks) < 40
    wordpiece = WordPiece({"a", "##\u1baa", "##\u302e"})
    assert wordpiece("a\u302e\u1baa").pieces[1].text == "##\u302e"


@pytest.mark.parametrize(
    "step",
    [pytest.param(1, id="all", marks=pytest.mark.full), pytest.param(17, id="sample")],
)
def test_every_code_point_is_cut_as_rust_cuts_it(step: int) -> None:
    version = unicodedata.unidata_version
    points = range(0, sys.maxunicode + 1, step)
    for lower_case, differing in sweep(points).items():
        known = known_differences(version, lower_case).intersection(points)
        if version in RECORDED:
            assert differing == known
        else:  # a newer Python: its new characters are not listed here, but are few
            assert len(differing ^ known) < 300
