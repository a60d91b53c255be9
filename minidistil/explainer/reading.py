"""How a text became tokens: each step of WordPiece, checked against the tokenizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from minidistil.pipelines.long_texts import tokens_of
from minidistil.tokenizer import BatchEncoding, DistilBertTokenizer
from minidistil.wordpiece import LONGEST_WORD, Attempt, Piece, WordPiece, attempts


@dataclass(frozen=True)
class Token:
    """One token that the model reads.

    Attributes:
        text: The token as the vocabulary writes it; ## continues a word. From
            `wordpiece.attempts`.
        id: Its row in the vocabulary. From `tokenizer.DistilBertTokenizer`.
        start: Its first character in the raw text; special tokens have none. From
            `wordpiece.WordPiece.clean_text`.
        end: The character behind its last one. From `wordpiece.WordPiece.clean_text`.
        word: The index of its word. From `wordpiece.split`.
        reading: Which of the texts it comes from: 0, or 1 for the second of a pair.
            From `explainer.explain`.
        attend: Whether the mask lets the model read it; padding is hidden. From
            `model.tokens_to_attend`.
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
    """A word of the cleaned text.

    Attributes:
        text: The word, cleaned. From `wordpiece.split`.
        start: Its first character in the raw text. From `wordpiece.split`.
        end: The character behind its last one. From `wordpiece.split`.
        attempts: What was looked up in the vocabulary, the longest piece first; nothing
            for a special token such as [MASK] or a word that is too long. From
            `wordpiece.attempts`.
    """

    text: str
    start: int
    end: int
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Reading:
    """One text on its way to tokens.

    Attributes:
        raw: The text as it was given. From `explainer.explain`.
        cleaned: The text without invisible characters; without accents and in lower
            case too, if the checkpoint asks for it. From `wordpiece.clean`.
        words: What stands between spaces; a punctuation mark is a word of its own. From
            `wordpiece.split`.
        left_out: How many tokens at the end of the text do not fit into the model. From
            `explainer.reading.read`.
        note: Why the steps from text to tokens are missing, if they are. From
            `explainer.reading.read`.
    """

    raw: str
    cleaned: str
    words: tuple[Word, ...]
    left_out: int
    note: str


Span = tuple[int, int]


def tokens_in(encoded: BatchEncoding, row: int) -> tuple[Token, ...]:
    """The tokens of one row of a batch, padding included."""
    columns = zip(
        encoded.tokens(row),
        encoded["input_ids"][row],
        encoded.word_ids(row),
        encoded.sequence_ids(row),
        encoded["attention_mask"][row],
        strict=True,
    )
    tokens = []
    for position, (text, id, word, reading, attend) in enumerate(columns):
        start, end = encoded.token_to_chars(row, position) or (None, None)
        tokens.append(Token(text, id, start, end, word, reading, bool(attend)))
    return tuple(tokens)


def read(tokenizer: DistilBertTokenizer, text: str, kept: int) -> Reading:
    """Go through the steps of one text, of which the model reads ``kept`` tokens."""
    (found,) = tokens_of(tokenizer, [text])
    names = tokenizer.convert_ids_to_tokens(found.ids)
    pieces = [
        Piece(name, *span, word)
        for name, span, word in zip(names, found.spans, found.words, strict=True)
    ]
    left_out = len(pieces) - kept
    last = max((piece.word for piece in pieces[:kept]), default=-1)
    spans = _spans(piece for piece in pieces if piece.word <= last)
    try:
        wordpiece = tokenizer.wordpiece()
    except ValueError as error:
        return _without_steps(text, spans, left_out, str(error))
    steps = wordpiece(text)
    if pieces != steps.pieces:
        # Its tables are of another Unicode version than Python's.
        why = "the tokenizer splits this text in another way than wordpiece.py"
        return _without_steps(text, spans, left_out, why)
    words = (
        Word(word, *span, _attempts(word, text[slice(*span)], wordpiece))
        for word, span in zip(steps.words, spans, strict=False)
    )
    return Reading(text, steps.cleaned, tuple(words), left_out, "")


def _attempts(word: str, raw: str, wordpiece: WordPiece) -> tuple[Attempt, ...]:
    if raw in wordpiece.specials or len(word) > LONGEST_WORD:
        return ()
    return tuple(attempts(word, wordpiece.vocabulary))


def _without_steps(text: str, spans: list[Span], left_out: int, why: str) -> Reading:
    """Take the words as the tokenizer found them."""
    words = tuple(Word(text[start:end], start, end, ()) for start, end in spans)
    return Reading(text, text, words, left_out, why)


def _spans(pieces: Iterable[Piece]) -> list[Span]:
    """The characters of each word, given its pieces."""
    spans: dict[int, Span] = {}
    for piece in pieces:
        start, end = spans.get(piece.word, (piece.start, piece.end))
        spans[piece.word] = min(start, piece.start), max(end, piece.end)
    return list(spans.values())
