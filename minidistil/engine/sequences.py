"""Sequences of any lengths as two flat tensors, and the order they are computed in.

Everything about many sequences is work on whole arrays here: no list is made of each.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

Ids: TypeAlias = "array[int]"  # of the type code "i"


def as_ids(numbers: Iterable[int]) -> Ids:
    """An array of ids, or of positions."""
    return array("i", numbers)


class Sequences(NamedTuple):
    """Sequences end to end, on the CPU.

    Attributes:
        ids: The ids of their tokens, (N,), int32.
        lengths: How many each sequence has, (S,), int64; they add up to N.
    """

    ids: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, rows: Sequence[Ids]) -> Sequences:
        """Join arrays of ids."""
        return cls(joined(rows), lengths_of(rows))


class Wanted(NamedTuple):
    """The tokens that the last block and the head are computed for.

    Attributes:
        positions: Where each stands in its sequence, (R,), int64: first those of the
            first sequence, then those of the next.
        counts: How many each sequence has, (S,), int64; they add up to R.
    """

    positions: Tensor
    counts: Tensor

    @classmethod
    def of(cls, rows: Sequence[Ids]) -> Wanted:
        """Join arrays of positions."""
        return cls(joined(rows).long(), lengths_of(rows))

    @classmethod
    def first(cls, sequences: Sequences) -> Wanted:
        """The first token of each sequence."""
        lengths = sequences.lengths
        return cls(torch.zeros_like(lengths), torch.ones_like(lengths))


def joined(rows: Sequence[Ids]) -> Tensor:
    """The numbers of some arrays, one after the other: (N,), int32."""
    buffer = bytearray().join(rows)
    if not buffer:
        return torch.empty(0, dtype=torch.int32, device="cpu")
    return torch.frombuffer(buffer, dtype=torch.int32)


def lengths_of(rows: Sequence[Ids]) -> Tensor:
    """How many numbers each array has: (S,), int64."""
    return torch.tensor([*map(len, rows)], dtype=torch.int64, device="cpu")


class Arranged(NamedTuple):
    """Sequences in the order of their lengths, the shortest first.

    Attributes:
        ids: The ids of their tokens, (N,), int32.
        positions: Where each stands in its sequence, (N,), int64.
        lengths: How many each sequence has, (S,), in this order.
        ends: The row behind the last of each sequence, (S,).
        rows: The rows that are wanted, in this order, (R,); None for all.
        counts: How many of them each sequence has, (S,).
        origins: The place of each wanted row among those that were asked for, (R,).
    """

    ids: Tensor
    positions: Tensor
    lengths: Tensor
    ends: Tensor
    rows: Tensor | None
    counts: Tensor
    origins: Tensor


def arranged(sequences: Sequences, wanted: Wanted | None) -> Arranged:
    """Put sequences in the order of their lengths; those of one length keep theirs."""
    ids, lengths = sequences
    order = lengths.argsort(stable=True)
    sources, positions = moved(lengths, order)
    in_order = lengths[order]
    ends = in_order.cumsum(0)
    if wanted is None:
        rows, counts, origins = None, in_order, sources
    else:
        origins, _ = moved(wanted.counts, order)
        counts = wanted.counts[order]
        starts = (ends - in_order).repeat_interleave(counts)
        rows = starts + wanted.positions[origins]
    return Arranged(ids[sources], positions, in_order, ends, rows, counts, origins)


def starts_of(lengths: Tensor) -> Tensor:
    """Where each group begins, of groups with so many items: (S,)."""
    return lengths.cumsum(0) - lengths


def moved(
    lengths: Tensor, order: Tensor, starts: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Where the items of groups come from if the groups are put in another order.

    Args:
        lengths: How many items each group has, (S,).
        order: The groups in their new order, or some of them.
        starts: `starts_of` the lengths, if it is known already.

    Returns:
        For each item in the new order its old place, and its place in its group: (N,).
    """
    new = lengths[order]
    places = torch.arange(int(new.sum()), device="cpu")
    places -= starts_of(new).repeat_interleave(new)
    old = (starts_of(lengths) if starts is None else starts)[order]
    return old.repeat_interleave(new) + places, places
