"""What can be done about a text that is too long for the model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

from minidistil.messages import check_integer
from minidistil.pipelines.base import Ids, TaskOptions
from minidistil.tokenizer import DistilBertTokenizer


def take_head(ids: Ids, room: int) -> list[Ids]:
    """Keep the beginning."""
    return [ids[:room]]


def take_head_and_tail(ids: Ids, room: int) -> list[Ids]:
    """Keep a quarter from the beginning, the rest from the end.

    128 and 382 of 510 tokens did best on long film reviews in Sun et al. 2019, "How to
    Fine-Tune BERT for Text Classification" (arXiv:1905.05583, table 2).
    """
    first = -(-room // 4)
    return [ids[:first] + ids[len(ids) - (room - first) :]]


def take_windows(ids: Ids, room: int) -> list[Ids]:
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


CUTS: dict[str, Callable[[Ids, int], list[Ids]]] = {
    "head": take_head,
    "head+tail": take_head_and_tail,
    "window": take_windows,
    "error": refuse,
}


@dataclass(frozen=True)
class CutOptions(TaskOptions):
    """What a call may say of texts that are too long.

    Attributes:
        truncation: What to do about a text that is too long. "head" reads its
            beginning, "head+tail" its beginning and end, "window" all of it in
            overlapping windows whose scores are averaged; "error" refuses. The default
            is "head" with a warning. True is "head", False is "error".
        max_length: The tokens a text may have, with [CLS] and [SEP]; by default, and
            at most, as many as the model has positions.
        batch_size: See `TaskOptions`.
    """

    truncation: str | bool | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length is not None:
            # Room for one token between [CLS] and [SEP].
            check_integer("max_length", self.max_length, minimum=3)
        # 0 and 1 are equal to False and True, and neither.
        known = self.truncation is None or isinstance(self.truncation, bool)
        if not known and self.truncation not in CUTS:
            raise ValueError(
                f"truncation is {self.truncation!r}, expected one of {', '.join(CUTS)}"
            )

    def limit(self, most: int) -> int:
        """The tokens that a sequence may have, where the model reads ``most``."""
        return min(most, self.max_length or most)


def how_to_cut(truncation: str | bool | None) -> str:
    """Return the key of `CUTS`; a warning if the caller did not choose."""
    if truncation is None:
        # Always from this line and in these words: Python then shows it once.
        warnings.warn(
            "a text is longer than the model can read, and only its beginning is read; "
            "truncation='head' says that this is meant, 'head+tail' and 'window' read "
            "more of it, 'error' refuses it",
            stacklevel=1,
        )
    if isinstance(truncation, str):
        return truncation
    return "error" if truncation is False else "head"


def cut(ids: Ids, room: int, truncation: str | bool | None) -> list[Ids]:
    """Return the parts of a text that are read: one, or several windows."""
    return [ids] if len(ids) <= room else CUTS[how_to_cut(truncation)](ids, room)


def framed(tokenizer: DistilBertTokenizer, *texts: Ids) -> Ids:
    """Put [CLS] before the first text, and [SEP] behind each."""
    sep = tokenizer.sep_token_id
    return [tokenizer.cls_token_id, *(id for ids in texts for id in (*ids, sep))]
