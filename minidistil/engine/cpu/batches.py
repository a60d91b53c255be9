"""Sequences of any lengths, divided into batches of about as many tokens.

A batch is its sequences laid end to end, the shortest first: (N,) ids without padding.
Products, norms and the feed-forward network do not know where a sequence ends; only
attention does, by the batch's groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.engine.cpu.attention import Group
from minidistil.engine.sequences import Arranged, Sequences, Wanted

# Rows that nobody chose are filled up to a multiple of this.
REST = 256


def padding_rows(rows: int) -> int:
    """How many rows to add to a batch's before they are multiplied.

    For every number of rows that it meets, oneDNN keeps a product's description in
    memory, about half a megabyte for each layer: there must not be too many. What is
    added takes time, so where there are few rows, as for a single text, it is little.
    """
    step = 4 if rows <= 16 else 8 if rows <= 128 else 16 if rows <= 512 else 32
    return -rows % step


def padding_rest(rows: int) -> int:
    """The same for what is left of many sequences, which may be any number of rows."""
    return -rows % REST


def padding_few(rows: int) -> int:
    """The same for the rows that the last block is computed for, if not for all.

    They are few beside those of the batch: the next power of 2, up to `REST`.
    """
    return min(1 << (rows - 1).bit_length(), rows + -rows % REST) - rows


@dataclass(frozen=True)
class WantedRows:
    """The rows of a batch that the last block and the head are computed for.

    Attributes:
        rows: Their numbers, (R,); None for all.
        each: How many each sequence has, if all have as many.
    """

    rows: Tensor | None
    each: int | None = None


ALL_ROWS = WantedRows(None)


@dataclass(frozen=True)
class Batch:
    """Some sequences, end to end.

    Attributes:
        count: How many there are.
        ids: The ids of their tokens, (N,).
        positions: Where each token stands in its sequence, (N,).
        groups: Neighbours of one length.
        wanted: The rows that are wanted.
        origins: The place of each among all rows that were asked for, (R,).
    """

    count: int
    ids: Tensor
    positions: Tensor
    groups: list[Group]
    wanted: WantedRows
    origins: Tensor


def portions(arranged: Arranged, budget: int) -> Iterator[tuple[int, int]]:
    """Divide sequences: from which to which are at most ``budget`` tokens, or one."""
    start, before = 0, 0
    while start < len(arranged.ends):
        limit = torch.tensor(before + budget, device="cpu")
        end = int(torch.searchsorted(arranged.ends, limit, right=True))
        end = max(end, start + 1)
        yield start, end
        start, before = end, int(arranged.ends[end - 1])


def single(sequences: Sequences, wanted: Wanted | None, pad: int = 0) -> Batch:
    """The batch of one sequence: nothing to sort and to divide, which takes time."""
    tokens = len(sequences.ids)
    rows = None if wanted is None else wanted.positions
    count, room = tokens if rows is None else len(rows), padding_rows(tokens)
    return Batch(
        count=1,
        ids=F.pad(sequences.ids, (0, room), value=pad) if room else sequences.ids,
        # Those of what fills it up may be any that there are.
        positions=torch.arange(tokens + room, device="cpu").clamp_(max=tokens - 1),
        groups=[Group(1, tokens), *([Group(room, 1, fills=True)] if room else [])],
        wanted=ALL_ROWS if rows is None else WantedRows(rows, count),
        origins=torch.arange(count, device="cpu"),
    )


def batches(arranged: Arranged, budget: int, pad: int = 0) -> Iterator[Batch]:
    """Divide sequences into batches of at most ``budget`` tokens, or one sequence."""
    first = wanted_first = 0  # the rows, and the wanted rows, that are done
    for start, end in portions(arranged, budget):
        counts = arranged.counts[start:end]
        last = int(arranged.ends[end - 1])
        wanted_last = wanted_first + int(counts.sum())
        # Filled up with sequences of one token, which nobody reads.
        is_rest = start > 0 and end == len(arranged.ends)
        room = (padding_rest if is_rest else padding_rows)(last - first)
        wanted = ALL_ROWS
        if arranged.rows is not None:
            least, most = counts.aminmax()
            each = int(least) if least == most else None
            wanted = WantedRows(arranged.rows[wanted_first:wanted_last] - first, each)
        yield Batch(
            count=end - start,
            ids=F.pad(arranged.ids[first:last], (0, room), value=pad),
            positions=F.pad(arranged.positions[first:last], (0, room)),
            groups=_groups(arranged.lengths[start:end], room),
            wanted=wanted,
            origins=arranged.origins[wanted_first:wanted_last],
        )
        first, wanted_first = last, wanted_last


def _groups(lengths: Tensor, room: int) -> list[Group]:
    """Neighbours of one length, and the rows that fill a batch up."""
    each, counts = torch.unique_consecutive(lengths, return_counts=True)
    groups = [
        Group(count, length)
        for length, count in zip(each.tolist(), counts.tolist(), strict=True)
    ]
    return [*groups, Group(room, 1, fills=True)] if room else groups
