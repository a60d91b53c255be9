"""Batches for a device: what it reads goes there as one array of integers.

All of it is made on the CPU, and nothing is asked of the device: each size is an
integer that the host knows.

Letters: S sequences with N tokens, R rows that are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.engine.sequences import Sequences, Wanted, moved, starts_of

# The kernels of attention count sequences in 16 bits.
MOST_SEQUENCES = 65_535
# The results of a batch, in bytes: they wait in memory until they are fetched.
MOST_RESULTS = 128 * 2**20


class Limits(NamedTuple):
    """How much may be in a batch; a single sequence always may.

    Attributes:
        tokens: The most tokens.
        rows: The most rows that are wanted.
        filled_up: Whether each sequence counts as many tokens as the longest.
    """

    tokens: int
    rows: int
    filled_up: bool = False


class Shape(NamedTuple):
    """The sizes of a batch: two batches of one shape need the same work of a device.

    Attributes:
        tokens: N.
        sequences: S.
        rows: R; None if all N rows are wanted.
        longest: At least the most tokens of a sequence.
        most: At least the most rows that are wanted of a sequence.
    """

    tokens: int
    sequences: int
    rows: int | None
    longest: int
    most: int


class Parts(NamedTuple):
    """What a device reads of a batch: views of one array.

    Attributes:
        ids: The ids of the tokens, (N,).
        positions: Where each stands in its sequence, (N,).
        ends: The row after each sequence's last one, (S + 1,), with a 0 before them.
        row_ends: The same of the rows that are wanted.
        rows: Those rows, (R,); None for all.
    """

    ids: Tensor
    positions: Tensor
    ends: Tensor
    row_ends: Tensor
    rows: Tensor | None


def parts(numbers: Tensor, shape: Shape) -> Parts:
    """Divide an array, as `Batch` holds it."""
    tokens, ends = shape.tokens, shape.sequences + 1
    if shape.rows is None:
        ids, positions, of_all = torch.split(numbers, [tokens, tokens, ends])
        return Parts(ids, positions, of_all, of_all, None)
    sizes = [tokens, tokens, ends, ends, shape.rows]
    return Parts(*torch.split(numbers, sizes))


@dataclass(frozen=True)
class Batch:
    """Some sequences, end to end, on the CPU.

    Attributes:
        shape: Its sizes.
        numbers: Its `Parts`, one after the other, int32.
        places: The place of each result among all results, (R,) int64; those after
            them are of what fills it, and nobody reads them.
    """

    shape: Shape
    numbers: Tensor
    places: Tensor

    @property
    def parts(self) -> Parts:
        """What it holds."""
        return parts(self.numbers, self.shape)


def batches(
    sequences: Sequences, wanted: Wanted | None, limits: Limits
) -> Iterator[Batch]:
    """Divide sequences into batches, the longest first.

    Sequences of about one length go together: a kernel that has begun with the longest
    has no long one to wait for at its end. Each batch is made when it is asked for, so
    that a device computes the first while the host makes the second.
    """
    if len(sequences.lengths) == 1:
        yield _single(sequences, wanted)
        return
    order = sequences.lengths.argsort(descending=True, stable=True)
    lengths = sequences.lengths[order]
    counts = lengths if wanted is None else wanted.counts[order]
    # Once for all: to go through all sequences for each batch is quadratic.
    starts = starts_of(sequences.lengths)
    starts_of_wanted = None if wanted is None else starts_of(wanted.counts)
    for first, last in _cuts(lengths, counts, limits):
        some = order[first:last]
        yield _batch(sequences, wanted, some, starts, starts_of_wanted)


def _cuts(lengths: Tensor, counts: Tensor, limits: Limits) -> Iterator[tuple[int, int]]:
    """Where each batch begins and ends; the lengths are in falling order."""
    tokens, rows = lengths.cumsum(0), counts.cumsum(0)
    first = tokens_before = rows_before = 0
    while first < len(lengths):
        last = min(
            _fitting(tokens, tokens_before + limits.tokens),
            _fitting(rows, rows_before + limits.rows),
            first + MOST_SEQUENCES,
        )
        if limits.filled_up:
            last = min(last, first + limits.tokens // int(lengths[first]))
        last = max(last, first + 1)
        yield first, last
        first = last
        tokens_before, rows_before = int(tokens[last - 1]), int(rows[last - 1])


def _fitting(sums: Tensor, limit: int) -> int:
    """How many sums are not above a limit."""
    return int(torch.searchsorted(sums, torch.tensor(limit, device="cpu"), right=True))


def _batch(
    sequences: Sequences,
    wanted: Wanted | None,
    order: Tensor,
    starts: Tensor,
    starts_of_wanted: Tensor | None,
) -> Batch:
    """The batch of some sequences, in that order; the starts are those of all."""
    lengths = sequences.lengths[order]
    sources, positions = moved(sequences.lengths, order, starts)
    ends = _ends(lengths)
    read = [sequences.ids[sources], positions, ends]
    tokens, longest = len(sources), int(lengths.max())
    if wanted is None:
        shape = Shape(tokens, len(order), None, longest, longest)
        return Batch(shape, _joined(read), sources)
    counts = wanted.counts[order]
    places, _ = moved(wanted.counts, order, starts_of_wanted)
    firsts = ends[:-1].repeat_interleave(counts, output_size=len(places))
    read += [_ends(counts), wanted.positions[places] + firsts]
    shape = Shape(tokens, len(order), len(places), longest, int(counts.max()))
    return Batch(shape, _joined(read), places)


def _single(sequences: Sequences, wanted: Wanted | None) -> Batch:
    """The batch of one sequence: nothing to sort, which is half of a short call."""
    tokens = len(sequences.ids)
    rows = None if wanted is None else len(wanted.positions)
    places = torch.arange(tokens if rows is None else rows, device="cpu")
    positions = torch.arange(tokens, dtype=torch.int32, device="cpu")
    ends = [0, tokens] if rows is None else [0, tokens, 0, rows]
    read = [
        *(sequences.ids, positions),
        torch.tensor(ends, dtype=torch.int32, device="cpu"),
        *(() if wanted is None else (wanted.positions,)),
    ]
    shape = Shape(tokens, 1, rows, tokens, tokens if rows is None else rows)
    return Batch(shape, _joined(read), places)


def _ends(lengths: Tensor) -> Tensor:
    return F.pad(lengths.cumsum(0), (1, 0))


def _joined(read: list[Tensor]) -> Tensor:
    return torch.cat([each.to(torch.int32) for each in read])


def filled(batch: Batch, shape: Shape) -> Batch:
    """A batch of a larger shape, with more tokens and sequences in it.

    What fills it is a sequence of its own, so that no other one changes: all further
    tokens, and all further rows that are wanted. Then come sequences without tokens.
    """
    own = batch.parts
    more = shape.tokens - batch.shape.tokens
    none = shape.sequences - batch.shape.sequences
    assert more > 0, "what fills a batch is a sequence, which has a token"
    assert none > 0, "what fills a batch is a sequence of its own"
    read = [
        F.pad(own.ids, (0, more)),
        F.pad(own.positions, (0, more)),
        F.pad(own.ends, (0, none), value=shape.tokens),
    ]
    if shape.rows is not None and own.rows is not None:
        further = shape.rows - len(own.rows)
        read += [
            F.pad(own.row_ends, (0, none), value=shape.rows),
            F.pad(own.rows, (0, further), value=batch.shape.tokens),
        ]
    return Batch(shape, torch.cat(read), batch.places)
