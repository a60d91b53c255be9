"""How a text became tokens: every step of WordPiece, beside what the tokenizer gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from minidistil.tokenizer import BatchEncoding, DistilBertTokenizer
from minidistil.wordpiece import LONGEST_WORD, Attempt, Piece, WordPiece, attempts


@dataclass(frozen=True)
class Token:
    """One token that the model reads.

    Attributes:
        text: As the vocabulary writes it.
        id: Its number there.
        start: Its first character in the raw text; None for [CLS], [SEP], [PAD].
        end: The character behind its last one, likewise.
        word: The number of its word, likewise.
        reading: Which text it is of, 0, or 1 for the second of a pair; likewise.
        attend: Whether the mask lets the model read it; False for padding.
    """

    text: str
    id: int
    start: int | None
    end: int | None
    word: int | None
    reading: int | None
    attend: bool


@dataclass(frozen=True)
class Word:
    """A word of the clean text.

    Attributes:
        text: The word, cleaned.
        start: Its first character in the raw text.
        end: The character behind its last one.
        attempts: What was looked up in the vocabulary, in order; none for a literal
            such as [MASK], or for a word of over `LONGEST_WORD` characters.
    """

    text: str
    start: int
    end: int
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Reading:
    """One text on its way to tokens.

    Attributes:
        raw: The text as it was given.
        cleaned: What `minidistil.wordpiece.clean` made of it, if the steps are here.
        words: The words that the model reads, or reads the beginning of.
        left_out: How many tokens there was no room for.
        note: Why the steps are missing; empty if they are here.
    """

    raw: str
    cleaned: str
    words: tuple[Word, ...]
    left_out: int
    note: str


Span = tuple[int, int]


def tokens_of(encoded: BatchEncoding, row: int) -> tuple[Token, ...]:
    """The tokens of one row of a batch, padding included."""
    columns = zip(
        encoded.tokens(row),
        encoded["input_ids"][row].tolist(),
        encoded.word_ids(row),
        encoded.sequence_ids(row),
        encoded["attention_mask"][row].tolist(),
        strict=True,
    )
    tokens = []
    for place, (text, id, word, reading, attend) in enumerate(columns):
        start, end = encoded.token_to_chars(row, place) or (None, None)
        tokens.append(Token(text, id, start, end, word, reading, bool(attend)))
    return tuple(tokens)


def read(tokenizer: DistilBertTokenizer, text: str, kept: int) -> Reading:
    """Go through the steps for one text, of which ``kept`` tokens are read."""
    pieces = list(_pieces(tokenizer, text))
    left_out = len(pieces) - kept
    last = max((piece.word for piece in pieces[:kept]), default=-1)
    spans = _spans(piece for piece in pieces if piece.word <= last)
    try:
        wordpiece = tokenizer.wordpiece()
    except ValueError as error:
        return _without_steps(text, spans, left_out, str(error))
    trace = wordpiece(text)
    if pieces != trace.pieces:
        # Its tables are of another Unicode version than Python's.
        why = "the tokenizer cuts this text in another way than wordpiece.py does"
        return _without_steps(text, spans, left_out, why)
    words = (
        Word(word, *span, _attempts(word, text[slice(*span)], wordpiece))
        for word, span in zip(trace.words, spans, strict=False)
    )
    return Reading(text, trace.cleaned, tuple(words), left_out, "")


def _pieces(tokenizer: DistilBertTokenizer, text: str) -> Iterator[Piece]:
    """All pieces of a text of any length."""
    encoded = tokenizer(
        text,
        add_special_tokens=False,
        truncation=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    for row, spans in enumerate(encoded["offset_mapping"]):
        columns = zip(encoded.tokens(row), spans, encoded.word_ids(row), strict=True)
        for token, (start, end), word in columns:
            if word is not None:  # no special token was put there
                yield Piece(token, start, end, word)


def _attempts(word: str, raw: str, wordpiece: WordPiece) -> tuple[Attempt, ...]:
    if raw in wordpiece.specials or len(word) > LONGEST_WORD:
        return ()
    return tuple(attempts(word, wordpiece.vocabulary))


def _without_steps(text: str, spans: list[Span], left_out: int, why: str) -> Reading:
    """Words as the tokenizer found them, for want of the steps."""
    words = tuple(Word(text[start:end], start, end, ()) for start, end in spans)
    return Reading(text, text, words, left_out, why)


def _spans(pieces: Iterable[Piece]) -> list[Span]:
    """The characters of each word, given its pieces."""
    spans: dict[int, Span] = {}
    for piece in pieces:
        start, end = spans.get(piece.word, (piece.start, piece.end))
        spans[piece.word] = min(start, piece.start), max(end, piece.end)
    return list(spans.values())
