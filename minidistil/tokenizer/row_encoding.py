"""One row of a batch, and where each of its tokens came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minidistil.tokenizer.rows import NOTHING, OFFSETS, Frame, Row


class CharSpan(NamedTuple):
    """The characters `start:end` of a text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """The tokens `start:end` of a row."""

    start: int
    end: int


class Encoding:
    """The tokens of one row, padding included.

    The names are those of `tokenizers.Encoding`. A place, a word or a character that
    is not there gives None.
    """

    def __init__(self, row: Row, tokens: Frame, ids: Frame) -> None:
        """Look at a row; ``tokens`` and ``ids`` are of what stands around its texts."""
        self._row = row
        self._tokens = tokens
        self._ids = ids

    def __len__(self) -> int:
        return self._row.size + self._row.padding

    def __repr__(self) -> str:
        return f"Encoding({' '.join(self.tokens)})"

    @property
    def ids(self) -> list[int]:
        """The id of each token."""
        return self._row.column("ids", self._ids)

    @property
    def tokens(self) -> list[str]:
        """The tokens as they are written in the vocabulary."""
        return self._row.column("tokens", self._tokens)

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters of the text (or the word) that each token stands for."""
        return self._row.column("offsets", OFFSETS)

    @property
    def word_ids(self) -> list[int | None]:
        """The number of each token's word in its text; None for special tokens."""
        return self._row.column("word_ids", NOTHING)

    @property
    def sequence_ids(self) -> list[int | None]:
        """0 for tokens of the first text, 1 of the second, None for special tokens."""
        return self._row.constant("sequence_ids")

    @property
    def type_ids(self) -> list[int]:
        """0 for the first text, 1 for the second and what follows it."""
        return self._row.constant("token_type_ids")

    @property
    def attention_mask(self) -> list[int]:
        """1 for tokens, 0 for padding."""
        return self._row.constant("attention_mask")

    @property
    def special_tokens_mask(self) -> list[int]:
        """1 for the tokens that were put there, 0 for those of a text."""
        return self._row.constant("special_tokens_mask")

    @property
    def n_sequences(self) -> int:
        """1 for a text, 2 for a pair."""
        return 1 if self._row.second is None else 2

    @property
    def overflowing(self) -> list[Encoding]:
        """The rows of what truncation removed from this one."""
        return [Encoding(row, self._tokens, self._ids) for row in self._row.overflow]

    def token_to_sequence(self, token_index: int) -> int | None:
        """0 for a token of the first text, 1 of the second."""
        return _at(self.sequence_ids, token_index)

    def token_to_word(self, token_index: int) -> int | None:
        """The number of a token's word in its text."""
        return _at(self.word_ids, token_index)

    def token_to_chars(self, token_index: int) -> tuple[int, int] | None:
        """The characters that a token of a text stands for."""
        if self.token_to_sequence(token_index) is None:
            return None
        return self.offsets[token_index]

    def word_to_tokens(
        self, word_index: int, sequence_index: int = 0
    ) -> tuple[int, int] | None:
        """The tokens of a word of a text."""
        words = self.word_ids
        found = self._find(lambda place: words[place] == word_index, sequence_index)
        return (found[0], found[-1] + 1) if found else None

    def word_to_chars(
        self, word_index: int, sequence_index: int = 0
    ) -> tuple[int, int] | None:
        """The characters of a word in its text."""
        span = self.word_to_tokens(word_index, sequence_index)
        if span is None:
            return None
        offsets = self.offsets
        return offsets[span[0]][0], offsets[span[1] - 1][1]

    def char_to_token(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The place of the token that a character is in."""
        offsets = self.offsets
        found = self._find(
            lambda place: offsets[place][0] <= char_pos < offsets[place][1],
            sequence_index,
        )
        return found[0] if found else None

    def char_to_word(self, char_pos: int, sequence_index: int = 0) -> int | None:
        """The number of the word that a character is in."""
        token = self.char_to_token(char_pos, sequence_index)
        return None if token is None else self.word_ids[token]

    def _find(self, wanted: Callable[[int], bool], sequence: int) -> list[int]:
        return [place for place in self._row.places(sequence) if wanted(place)]


def _at(values: list[int | None], place: int) -> int | None:
    return values[place] if 0 <= place < len(values) else None
