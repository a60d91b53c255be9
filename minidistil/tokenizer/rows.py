"""Rows: tokens truncated, with special tokens put around them, and padding."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from minidistil.tokenizer.backends import TextTokens


class Frame(NamedTuple):
    """What one column of a row holds where there is no token of a text."""

    cls: Any  # before the first text
    sep: Any  # after the first text
    last: Any  # after the second text
    pad: Any


NOTHING = Frame(None, None, None, None)
OFFSETS = Frame((0, 0), (0, 0), (0, 0), (0, 0))
# Columns with one value for all tokens of the first text, one for those of the second,
# and a frame.
CONSTANT: dict[str, tuple[Any, Any, Frame]] = {
    "sequence_ids": (0, 1, NOTHING),
    "token_type_ids": (0, 1, Frame(0, 0, 1, 0)),
    "attention_mask": (1, 1, Frame(1, 1, 1, 0)),
    "special_tokens_mask": (0, 0, Frame(1, 1, 1, 1)),
}


@dataclass(frozen=True)
class Span:
    """The tokens `start:end` of one text."""

    tokens: TextTokens
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def of(self, name: str) -> Sequence[Any]:
        """One column of the tokens, such as their `ids`."""
        return self.tokens[name][self.start : self.end]


@dataclass(frozen=True)
class Row:
    """[CLS] first [SEP] or [CLS] first [SEP] second [SEP], and its padding."""

    first: Span
    second: Span | None
    with_specials: bool
    padding: int = 0
    pad_left: bool = False
    width: int = 0  # the length that rows of the batch are padded to, if they are
    truncation: Truncation | None = None  # which made it; of a first row alone

    @property
    def size(self) -> int:
        """The number of tokens before padding."""
        specials = count_specials(self.second is not None) if self.with_specials else 0
        return len(self.first) + len(self.second or ()) + specials

    @property
    def overflow(self) -> list[Row]:
        """The rows of what truncation removed."""
        if self.truncation is None:
            return []
        second = None if self.second is None else self.second.tokens
        every = replace(self.truncation, overflow=True)
        rows = every.rows(self.first.tokens, second, self.with_specials)[1:]
        return [row.padded(self.width, self.pad_left) for row in rows]

    def padded(self, width: int, left: bool) -> Row:
        """The row with padding, unless it is longer than ``width`` already."""
        missing = max(0, width - self.size)
        return replace(self, padding=missing, pad_left=left, width=width)

    def places(self, sequence: int) -> range:
        """The places of a text's tokens; where there is no such text, all of them."""
        start = self.padding if self.pad_left else 0
        around = int(self.with_specials)
        if sequence == 0:
            return range(start + around, start + around + len(self.first))
        if sequence == 1 and self.second is not None:
            end = start + self.size - around
            return range(end - len(self.second), end)
        return range(self.size + self.padding)

    def column(self, name: str, frame: Frame) -> list[Any]:
        """One list of the tokens, such as their `ids`, framed and padded."""
        second = [] if self.second is None else self.second.of(name)
        return self._lay_out(self.first.of(name), second, frame)

    def constant(self, name: str) -> list[Any]:
        """A column that depends on the lengths alone: one of `CONSTANT`."""
        first, second, frame = CONSTANT[name]
        second_size = len(self.second or ())
        return self._lay_out([first] * len(self.first), [second] * second_size, frame)

    def _lay_out(
        self, first: Sequence[Any], second: Sequence[Any], frame: Frame
    ) -> list[Any]:
        padding = [frame.pad] * self.padding
        if not self.with_specials:
            row = [*first, *second]
        elif self.second is None:
            row = [frame.cls, *first, frame.sep]
        else:
            row = [frame.cls, *first, frame.sep, *second, frame.last]
        return padding + row if self.pad_left else row + padding


def count_specials(pair: bool) -> int:
    """How many special tokens stand around one text, or around a pair of texts."""
    return 3 if pair else 2


@dataclass(frozen=True)
class Truncation:
    """How texts are truncated; the names are those of the call's arguments."""

    strategy: str
    max_length: int
    stride: int
    overflow: bool
    side: str = "right"  # which end of a text is removed

    def rows(
        self, first: TextTokens, second: TextTokens | None, with_specials: bool
    ) -> list[Row]:
        """The row of the beginnings; with `overflow`, those of what comes after too.

        The windows of each text overlap by `stride` tokens. Of a pair whose texts are
        both too long, each window of one is put with each window of the other.
        """
        pair = second is not None
        room = self.max_length - (count_specials(pair) if with_specials else 0)
        sizes = len(first["ids"]), 0 if second is None else len(second["ids"])
        if room < 0:
            raise ValueError(
                f"max_length={self.max_length} is less than the "
                f"{count_specials(pair)} special tokens of each row; raise it"
            )
        if self.stride and self.stride >= room:
            raise ValueError(
                f"stride={self.stride} does not fit max_length={self.max_length}: "
                f"{room} places are left beside the special tokens, and windows that "
                "overlap by so much would not move on; expected stride < that"
            )
        keep_first, keep_second = self._shares(*sizes, room, pair)
        firsts = self._windows(first, keep_first)
        seconds = [None] if second is None else self._windows(second, keep_second)
        beginning = Row(firsts[0], seconds[0], with_specials, truncation=self)
        pairs = [
            *((one, other) for one in firsts[1:] for other in seconds),
            *((firsts[0], other) for other in seconds[1:]),
        ]
        return [beginning, *(Row(*pair, with_specials) for pair in pairs)]

    def _shares(
        self, first: int, second: int, room: int, pair: bool
    ) -> tuple[int, int]:
        """How many tokens of each text are kept."""
        if first + second <= room:
            return first, second
        if self.strategy == "longest_first":
            shorter = min(first, second, room // 2)
            longer = room - shorter
            return (shorter, longer) if first <= second else (longer, shorter)
        if self.strategy == "only_second" and not pair:
            raise ValueError(
                "truncation='only_second' with a single text that is too long; "
                "use 'longest_first', or give the second text as text_pair"
            )
        kept = second if self.strategy == "only_first" else first
        if kept >= room:
            raise ValueError(
                f"truncation={self.strategy!r} may not shorten the other text, whose "
                f"{kept} tokens leave no place of the {room} that "
                f"max_length={self.max_length} gives; use 'longest_first' or raise it"
            )
        if self.strategy == "only_first":
            return room - kept, kept
        return kept, room - kept

    def _windows(self, text: TextTokens, size: int) -> list[Span]:
        length = len(text["ids"])
        spans = self._spans(length, size)
        if self.side == "left":  # the same, counted from the end
            spans = [(length - end, length - start) for start, end in spans]
        return [Span(text, start, end) for start, end in spans]

    def _spans(self, length: int, size: int) -> list[tuple[int, int]]:
        if length <= size or not self.overflow:
            return [(0, min(size, length))]
        step = size - self.stride
        if step <= 0:
            raise ValueError(
                f"stride={self.stride} with max_length={self.max_length}: windows of "
                f"{size} tokens that overlap by {self.stride} would not move on; "
                "expected a smaller stride or a larger max_length"
            )
        starts = range(0, length - self.stride, step)
        return [(at, min(at + size, length)) for at in starts]


NO_TRUNCATION = Truncation("longest_first", sys.maxsize, stride=0, overflow=False)


@dataclass(frozen=True)
class Padding:
    """To which length rows are padded; the names are those of the call's arguments."""

    strategy: str | None
    max_length: int
    multiple: int
    side: str

    def width(self, sizes: Sequence[int]) -> int:
        """The length of the padded rows; a row that is longer stays as it is."""
        if self.strategy is None:
            return 0
        longest = max(sizes, default=0)
        width = longest if self.strategy == "longest" else self.max_length
        return -(-width // self.multiple) * self.multiple

    def fill(self, values: Sequence[Any], filler: Any, width: int) -> list[Any]:
        """A list that is `width` long."""
        padding = [filler] * (width - len(values))
        return [*padding, *values] if self.side == "left" else [*values, *padding]

    def rows(self, rows: Sequence[Row]) -> list[Row]:
        """The rows, padded."""
        if self.strategy is None:
            return [*rows]
        width = self.width([row.size for row in rows])
        left = self.side == "left"
        return [row.padded(width, left) for row in rows]

    def check(self, truncation: Truncation) -> None:
        """Raise `ValueError` if rows would be padded beyond their `max_length`."""
        if self.strategy is not None and truncation.max_length % self.multiple:
            raise ValueError(
                f"max_length={truncation.max_length} is not a multiple of "
                f"pad_to_multiple_of={self.multiple}, so truncated rows would be "
                "padded beyond it; make it one"
            )
