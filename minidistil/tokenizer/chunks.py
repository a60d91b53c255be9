r"""From texts to ids by a table: what stands between white space is tokenized once.

Every step of BERT's tokenizer stops at white space, so the ids of a text are those of
its chunks, one after the other, and most chunks of a text have been met before: they
are looked up, several times faster than they are tokenized. Two things could make
that wrong, and are left out:

- At seven characters `str.split` splits, where BERT's tokenizer drops them and joins
  what stands around them. A text with one of those is split at plain spaces alone.
- A literal that was added to the vocabulary may reach over white space. Then each
  text is one chunk.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from minidistil.tokenizer.vocabulary import AddedToken
from minidistil.wordpiece import whole_characters

Split: TypeAlias = Callable[[str], list[str]]
Encode: TypeAlias = Callable[[list[str]], Iterable[Sequence[int]]]

# At most so many chunks are kept, each at most so long in characters and in ids: some
# 25 MB of usual text, and 65 MB at the very worst.
MOST_CHUNKS = 131_072
LONGEST_CHUNK = 32
JOINED = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"  # white space for Python, dropped by BERT
TOGETHER = 256  # texts that are searched for those at once


class ChunkTable:
    """The ids of chunks, as the bytes of 32-bit numbers.

    Threads share it without a lock: what is looked up in only grows, and what is
    written twice is written alike. When it is full it goes on with an empty one, and
    takes over from the full one what is met again.
    """

    def __init__(self, added: Iterable[AddedToken]) -> None:
        """Make an empty one; ``added`` are the literals beside the vocabulary."""
        self._split: Split = str.split if all(map(_is_local, added)) else _whole
        self._newer: dict[str, bytes] = {}
        self._older: dict[str, bytes] = {}

    def ids_of(self, texts: Sequence[str], encode: Encode) -> list[array[int]]:
        """The ids of each text.

        Args:
            texts: The texts.
            encode: Gives the ids of each chunk that is not in the table.

        Raises:
            TypeError: One is no text, or holds half of a surrogate pair.
        """
        known = self._newer
        new: _New | None = None
        found: list[array[int]] = []
        for start, block, split in self._blocks(texts):
            try:
                found += _look_up(block, split, known.__getitem__)
            except KeyError:
                if new is None:
                    new = self._meet(texts[start:], known, encode)
                found += _look_up(block, split, new.__getitem__)
        return found

    def _blocks(
        self, texts: Sequence[str]
    ) -> Iterator[tuple[int, Sequence[str], Split]]:
        """Some texts at a time: where they start, and what splits them into chunks."""
        for start in range(0, len(texts), TOGETHER):
            block = texts[start : start + TOGETHER]
            split = self._split
            if split is str.split and _has_joined("".join(block)):
                split = _split_carefully
            yield start, block, split

    def _meet(
        self, texts: Sequence[str], known: dict[str, bytes], encode: Encode
    ) -> _New:
        """The ids of all chunks that are not known; from now on they are."""
        met: set[str] = set()
        for _, block, split in self._blocks(texts):
            met.update(*map(split, block))
        older = self._older
        new = _New(known)
        unmet = []
        for chunk in met:
            if chunk in known:
                continue
            if chunk in older:
                new[chunk] = older[chunk]
            else:
                unmet.append(chunk)
        # No such half is ever in the table, so only here can one turn up.
        whole_characters("".join(unmet))
        for chunk, ids in zip(unmet, encode(unmet), strict=True):
            new[chunk] = array("i", ids).tobytes()
        self._keep(new, known)
        return new

    def _keep(self, new: dict[str, bytes], known: dict[str, bytes]) -> None:
        for chunk, ids in new.items():
            if len(chunk) > LONGEST_CHUNK or len(ids) > LONGEST_CHUNK * 4:
                continue
            while len(known) >= MOST_CHUNKS // 2:
                if known is self._newer:
                    self._older, self._newer = known, {}
                known = self._newer
            known[chunk] = ids


class _New(dict[str, bytes]):
    """The chunks that one call has met for the first time; for others, the known."""

    def __init__(self, known: dict[str, bytes]) -> None:
        super().__init__()
        self._known = known

    def __missing__(self, chunk: str) -> bytes:
        return self._known[chunk]


def _look_up(
    texts: Iterable[str], split: Split, ids: Callable[[str], bytes]
) -> list[array[int]]:
    join = b"".join
    return [array("i", join(map(ids, chunks))) for chunks in map(split, texts)]


def _is_local(token: AddedToken) -> bool:
    """Whether the literal is found in a chunk just where it is found in the text.

    That it takes the white space around it (``lstrip``, ``rstrip``) or must be a word
    (``single_word``) makes no difference: a chunk ends where a word does. One that is
    normalized may become nothing, and is then found everywhere.
    """
    if any(char.isspace() for char in token.content):
        return False
    return not token.normalized or any(map(str.isalnum, token.content))


def _has_joined(text: str) -> bool:
    return any(char in text for char in JOINED)


def _split_carefully(text: str) -> list[str]:
    return re.split("[ \t\n\r]+", text) if _has_joined(text) else str.split(text)


def _whole(text: str) -> list[str]:
    return [text]
