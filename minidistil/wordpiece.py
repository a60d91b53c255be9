"""WordPiece from scratch: how a sentence becomes the pieces that DistilBERT reads.

1. `clean` drops invisible characters, strips accents and lower-cases;
2. `split` finds the words of the clean text, between spaces and around punctuation;
3. `attempts` cuts a word into pieces, always taking the longest one that is known.

>>> wordpiece = WordPiece({"the", "bake", "##r", "##y", "'", "s", "cafe"})
>>> trace = wordpiece("The bakery's CAFÉ")
>>> trace.words
['the', 'bakery', "'", 's', 'cafe']
>>> trace.pieces[1]  # raw characters 4 up to, not including, 8; in word 1
Piece(text='bake', start=4, end=8, word=1)

The algorithm is Google's (google-research/bert, `tokenization.py`); where the Rust
library `tokenizers` differs from it, this file does as Rust does.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

LONGEST_WORD = 100  # in characters; a longer word is unknown as a whole

# Chinese and Japanese put no spaces between words: each ideograph is taken as one.
# (Google's code has the last but one range from 2b820; `tokenizers`, which is followed
# here, from 2b920.)
IDEOGRAPH = re.compile(
    "[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002a6df\U0002a700-\U0002b73f"
    "\U0002b740-\U0002b81f\U0002b920-\U0002ceaf\U0002f800-\U0002fa1f]"
)


def clean(char: str, lower_case: bool, strip_accents: bool, split_cjk: bool) -> str:
    r"""What becomes of one character: nothing, a space, one character or several.

    >>> "".join(clean(char, True, True, True) for char in "Crème\tBRÛLÉE\0")
    'creme brulee'
    """
    if is_invisible(char):
        return ""
    if char.isspace():
        return " "
    if split_cjk and IDEOGRAPH.match(char):
        char = f" {char} "
    if strip_accents:
        parts = unicodedata.normalize("NFD", char)  # letters and marks, taken apart
        char = "".join(part for part in parts if unicodedata.category(part) != "Mn")
    # In a text lower() would end "ΟΔΟΣ" in ς; of a single character it makes σ.
    return char.lower() if lower_case else char


def is_invisible(char: str) -> bool:
    """Control, format and private-use characters, and the replacement character."""
    hidden = unicodedata.category(char) in ("Cc", "Cf", "Co") or char == "\ufffd"
    return hidden and char not in "\t\n\r"


def split(text: str) -> Iterator[tuple[int, int]]:
    """The start and end of each word; a punctuation mark is a word of its own.

    >>> ["oh, no!!"[start:end] for start, end in split("oh, no!!")]
    ['oh', ',', 'no', '!', '!']
    """
    start = 0
    for end, char in enumerate(text + " "):
        alone = is_punctuation(char)
        if alone or char == " ":
            if start < end:
                yield start, end
            if alone:
                yield end, end + 1
            start = end + 1


def is_punctuation(char: str) -> bool:
    """Unicode's punctuation, and the ASCII signs that Unicode files elsewhere."""
    return unicodedata.category(char).startswith("P") or char in "$+<=>^`|~"


class Attempt(NamedTuple):
    """One look into the vocabulary: is `word[start:end]`, written `text`, there?"""

    text: str
    start: int
    end: int
    found: bool


def attempts(word: str, vocabulary: Container[str]) -> Iterator[Attempt]:
    """Try the longest piece first, then go on behind it, to the end or a dead end.

    A piece that does not begin the word is written with "##".

    >>> [attempt.text for attempt in attempts("sunny", {"sun", "##ny", "##n"})]
    ['sunny', 'sunn', 'sun', '##ny']
    """
    start, end = 0, len(word)
    while start < end:
        text = ("##" if start else "") + word[start:end]
        found = text in vocabulary
        yield Attempt(text, start, end, found)
        # Where not even one character is found, the end meets the start.
        start, end = (end, len(word)) if found else (start, end - 1)


class Piece(NamedTuple):
    """A piece, the raw characters `start:end` it stands for, the number of its word."""

    text: str
    start: int
    end: int
    word: int


class Trace(NamedTuple):
    """What each step made of a text."""

    cleaned: str
    words: list[str]
    pieces: list[Piece]


@dataclass(frozen=True)
class WordPiece:
    """The three steps over one vocabulary.

    `specials` are found in the raw text first, where they are written exactly so:
    "[MASK]" is one piece, "[mask]" three words. Lower-casing strips accents, unless
    `strip_accents` says otherwise.
    """

    vocabulary: Container[str]
    specials: frozenset[str] = frozenset()
    unknown: str = "[UNK]"
    lower_case: bool = True
    strip_accents: bool | None = None
    split_cjk: bool = True

    def __call__(self, text: str) -> Trace:
        """Run the steps; raises `TypeError` at half of a surrogate pair."""
        cleaned = ""
        words: list[str] = []
        pieces: list[Piece] = []
        longest_first = sorted(self.specials, key=len, reverse=True)
        literals = "|".join(map(re.escape, longest_first)) or "(?!)"  # never matches
        end = 0
        for part in re.split(f"({literals})", whole_characters(text)):
            start, end = end, end + len(part)
            if part in self.specials:
                cleaned += part
                pieces.append(Piece(part, start, end, word=len(words)))
                words.append(part)
                continue
            chars, places = self.clean_text(part, start)
            cleaned += chars
            for first, last in split(chars):
                word = chars[first:last]
                at = places[first:last]
                for hit in self.cut(word):
                    span = at[hit.start], at[hit.end - 1] + 1
                    pieces.append(Piece(hit.text, *span, word=len(words)))
                words.append(word)
        return Trace(cleaned, words, pieces)

    def clean_text(self, text: str, start: int = 0) -> tuple[str, list[int]]:
        """The clean text, and for each character its place in the raw one."""
        accents = self.lower_case if self.strip_accents is None else self.strip_accents
        cleaned = [
            clean(char, self.lower_case, accents, self.split_cjk) for char in text
        ]
        places = [start + i for i, chars in enumerate(cleaned) for _ in chars]
        return "".join(cleaned), places

    def cut(self, word: str) -> list[Attempt]:
        """The attempts that hit, or the unknown piece if they do not make up `word`."""
        if len(word) <= LONGEST_WORD:
            hits = [one for one in attempts(word, self.vocabulary) if one.found]
            if hits and hits[-1].end == len(word):
                return hits
        return [Attempt(self.unknown, 0, len(word), found=False)]


def whole_characters(text: str) -> str:
    """The text as it is; raises `TypeError` at half of a surrogate pair."""
    if half := re.search("[\ud800-\udfff]", text):
        raise TypeError(
            f"character {half.start()} of the text is {half.group()!a}, half of a "
            "surrogate pair, expected whole characters; decode the text as UTF-8"
        )
    return text


if __name__ == "__main__":
    bundled = Path(__file__).parent / "bundled" / "tiny-sst2" / "vocab.txt"
    known = frozenset(bundled.read_text(encoding="utf-8").split("\n"))
    shown = WordPiece(known)(" ".join(sys.argv[1:]) or "HuggingFace tokenizers")
    for step, result in zip(Trace._fields, shown, strict=True):
        print(f"{step}: {result}")
