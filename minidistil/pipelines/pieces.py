"""The tokens of a text, however many, and windows over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from minidistil.tokenizer import BatchEncoding, DistilBertTokenizer


@dataclass(frozen=True)
class Pieces:
    """The tokens of a text, without [CLS] and [SEP]: three lists of one length.

    Attributes:
        ids: Their numbers in the vocabulary.
        spans: The characters of the text that each stands for, from and to; of its
            word, where the text came in words.
        words: The number of each token's word in the text.
    """

    ids: list[int] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    words: list[int] = field(default_factory=list)


def ids_of(tokenizer: DistilBertTokenizer, texts: list[str]) -> list[list[int]]:
    """Return all the ids of each text, without [CLS] and [SEP]."""
    encoded = _encode(tokenizer, texts)
    found: list[list[int]] = [[] for _ in texts]
    origins = encoded["overflow_to_sample_mapping"]
    for ids, origin in zip(encoded["input_ids"], origins, strict=True):
        found[origin] += ids
    return found


def pieces_of(
    tokenizer: DistilBertTokenizer,
    texts: Sequence[str | Sequence[str]],
    *,
    is_split_into_words: bool = False,
) -> list[Pieces]:
    """Return all the tokens of each text, and where they are in it."""
    encoded = _encode(
        tokenizer,
        texts,
        return_offsets_mapping=True,
        is_split_into_words=is_split_into_words,
    )
    found = [Pieces() for _ in texts]
    for row, origin in enumerate(encoded["overflow_to_sample_mapping"]):
        found[origin].ids.extend(encoded["input_ids"][row])
        found[origin].spans.extend(encoded["offset_mapping"][row])
        words = encoded.word_ids(row)
        found[origin].words.extend(word for word in words if word is not None)
    return found


def _encode(
    tokenizer: DistilBertTokenizer,
    texts: Sequence[str | Sequence[str]],
    **wanted: Any,
) -> BatchEncoding:
    # In rows of the model's length, which are put together again: a longer row would
    # be warned of.
    return tokenizer(
        texts,
        add_special_tokens=False,
        truncation=True,
        return_overflowing_tokens=True,
        **wanted,
    )


def windows(count: int, room: int, shared: int) -> list[tuple[int, int]]:
    """Return windows of ``room`` over ``count`` tokens, from and to, the last shorter.

    Each begins ``shared`` tokens before the end of the one before it. Without tokens
    there is one window, an empty one.
    """
    step = room - shared
    last = max(0, count - room)
    starts = [*range(0, last, step), -(-last // step) * step]
    return [(start, min(start + room, count)) for start in starts]
