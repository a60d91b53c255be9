"""Texts of any length: all their tokens, and what is read where they are too many.

A model reads a limited number of tokens at once. What a text may have of them, without
[CLS] and [SEP], is called its ``room`` here. A longer text is truncated, or split into
windows; the ids of what is left are a ``part`` of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from minidistil.engine.sequences import Ids, as_ids
from minidistil.tokenizer import DistilBertTokenizer

Pair = tuple[Ids, Ids]


# All the tokens of a text


@dataclass(frozen=True)
class TextTokens:
    """The tokens of a text, without [CLS] and [SEP]: three columns of one length.

    Attributes:
        ids: Their ids in the vocabulary.
        spans: The characters of the text that each stands for, from and to; of its
            word, where the text was given as words.
        words: For each token, the number of its word in the text.
    """

    ids: Ids = field(default_factory=lambda: as_ids([]))
    spans: list[tuple[int, int]] = field(default_factory=list)
    words: list[int] = field(default_factory=list)


def tokens_of(
    tokenizer: DistilBertTokenizer,
    texts: Sequence[str | Sequence[str]],
    *,
    is_split_into_words: bool = False,
) -> list[TextTokens]:
    """Return all the tokens of each text, and where they are in it."""
    # In rows of the model's length, which are put together again: the tokenizer warns
    # of longer ones.
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        truncation=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        is_split_into_words=is_split_into_words,
    )
    found = [TextTokens() for _ in texts]
    for row, origin in enumerate(encoded["overflow_to_sample_mapping"]):
        found[origin].ids.extend(encoded["input_ids"][row])
        found[origin].spans.extend(encoded["offset_mapping"][row])
        words = encoded.word_ids(row)
        found[origin].words.extend(word for word in words if word is not None)
    return found


class SpecialTokens(NamedTuple):
    """What stands around texts: arrays of one id each."""

    cls: Ids
    sep: Ids

    @classmethod
    def of(cls, tokenizer: DistilBertTokenizer) -> SpecialTokens:
        """Those of a tokenizer."""
        return cls(as_ids([tokenizer.cls_token_id]), as_ids([tokenizer.sep_token_id]))

    def around(self, first: Ids, second: Ids | None = None) -> Ids:
        """Put [CLS] before the first text, and [SEP] after each."""
        row = self.cls + first + self.sep
        return row if second is None else row + second + self.sep


# Truncation


def keep_head(ids: Ids, room: int) -> list[Ids]:
    """Keep the beginning."""
    return [ids[:room]]


def keep_head_and_tail(ids: Ids, room: int) -> list[Ids]:
    """Keep a quarter from the beginning, the rest from the end.

    128 and 382 of 510 tokens did best on long film reviews in Sun et al. 2019, "How to
    Fine-Tune BERT for Text Classification" (arXiv:1905.05583, table 2).
    """
    first = -(-room // 4)
    return [ids[:first] + ids[len(ids) - (room - first) :]]


def keep_all(ids: Ids, room: int) -> list[Ids]:
    """Keep all, in windows of equal length that overlap by a quarter or more."""
    step = max(1, room - room // 4)
    starts = [*range(0, len(ids) - room, step), len(ids) - room]
    return [ids[start : start + room] for start in starts]


def refuse(ids: Ids, room: int) -> list[Ids]:
    """Keep nothing: the text is too long."""
    raise ValueError(
        f"a text has {len(ids)} tokens (and [CLS] and [SEP]), expected at most {room}: "
        f"shorten it, or choose truncation='head', 'head+tail' or 'window'"
    )


# Each takes the ids of a text, and a room that they exceed.
TRUNCATIONS: dict[str, Callable[[Ids, int], list[Ids]]] = {
    "head": keep_head,
    "head+tail": keep_head_and_tail,
    "window": keep_all,
    "error": refuse,
}


@dataclass
class Truncated:
    """What a call has truncated without being asked to.

    Attributes:
        read: The texts that were read.
        count: Those of them that were too long.
    """

    read: int = 0
    count: int = 0


# The key of `TRUNCATIONS` to use; asked for each text that is too long.
Choose = Callable[[], str]


def truncate(ids: Ids, room: int, choose: Choose) -> list[Ids]:
    """Return the parts of a text that are read: one, or several windows."""
    if len(ids) <= room:
        return [ids]
    return TRUNCATIONS[choose()](ids, room)


def fit_pairs(
    first: Ids,
    seconds: list[Ids],
    limit: int,
    choose: Choose,
) -> list[list[Pair]]:
    """Return what is read as [CLS] first [SEP] second [SEP], for each second text.

    Where that is too long, the first text is truncated; the second ones are read
    whole. If it is split into windows, all second texts get the same windows, so that
    their scores can be compared window by window.

    Args:
        first: The ids of the long text.
        seconds: The ids of the short ones.
        limit: The tokens that a sequence may have.
        choose: What to do about a text that is too long.

    Returns:
        For each second text equally many pairs: a part of the first text, and it. They
        share their lists, so that many pairs take no more memory.

    Raises:
        ValueError: if a second text leaves no room for the first.
    """
    rooms = [limit - len(ids) - 3 for ids in seconds]  # [CLS], and [SEP] twice
    least = min(rooms)
    if len(first) <= least:
        return [[(first, second)] for second in seconds]
    if least < 1:
        longest = max(map(len, seconds))
        raise ValueError(
            f"a choice, hypothesis or second text has {longest} tokens, which of the "
            f"{limit} that may be read leaves no room for the text beside it: shorten "
            f"it"
        )
    strategy = choose()
    if strategy == "window":
        rooms = [least] * len(seconds)
    parts = {room: truncate(first, room, lambda: strategy) for room in {*rooms}}
    return [
        [(part, second) for part in parts[room]]
        for second, room in zip(seconds, rooms, strict=True)
    ]


# Windows


def windows(count: int, room: int, shared: int) -> list[tuple[int, int]]:
    """Return windows of ``room`` over ``count`` tokens, from and to, the last shorter.

    Each begins ``shared`` tokens before the end of the one before it. Without tokens
    there is one window, an empty one.
    """
    step = room - shared
    last = max(0, count - room)
    starts = [*range(0, last, step), -(-last // step) * step]
    return [(start, min(start + room, count)) for start in starts]


def windows_around(
    places: list[int], count: int, room: int
) -> Iterator[tuple[int, list[int]]]:
    """Yield windows with each of the places in the middle, as far as the ends allow.

    Each window is given as its start, and the places that share it. There are more than
    ``room`` tokens: ``count``.
    """

    def start(place: int) -> int:
        return max(0, min(place - room // 2, count - room))

    for first, together in groupby(places, start):
        yield first, [*together]
