"""One long text beside each of several short ones: a premise, and its hypotheses."""

from __future__ import annotations

from minidistil.pipelines.base import Ids
from minidistil.pipelines.cutting import CUTS, framed, how_to_cut
from minidistil.tokenizer import DistilBertTokenizer

Pair = tuple[Ids, Ids]


def fit_beside(
    tokenizer: DistilBertTokenizer,
    first: Ids,
    seconds: list[Ids],
    limit: int,
    truncation: str | bool | None,
) -> list[list[Pair]]:
    """Return what to frame as [CLS] first [SEP] second [SEP], for each second text.

    Where that is too long it is the first text that is cut; the second ones are read
    whole. In windows, all of them see the same ones, so that their scores can be
    compared window by window.

    Args:
        tokenizer: For its [CLS] and [SEP].
        first: The long text.
        seconds: The short ones.
        limit: The tokens that a sequence may have.
        truncation: See `CutOptions`.

    Returns:
        For each second text, as many pairs as for the others: a part of the first
        text, and it. They share their lists, so that many pairs are no more memory.

    Raises:
        ValueError: if a second text leaves no room for the first.
    """
    rooms = [limit - len(framed(tokenizer, [], second)) for second in seconds]
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
    how = how_to_cut(truncation)
    if how == "window":
        rooms = [least] * len(seconds)
    parts = {room: _parts(first, room, how) for room in {*rooms}}
    return [
        [(part, second) for part in parts[room]]
        for second, room in zip(seconds, rooms, strict=True)
    ]


def _parts(first: Ids, room: int, how: str) -> list[Ids]:
    return [first] if len(first) <= room else CUTS[how](first, room)
