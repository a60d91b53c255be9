"""Sequences of any lengths, divided into batches of about as many tokens.

A batch is its sequences laid end to end, the shortest first: (N,) ids without padding.
Products, norms and the feed-forward network do not know where a sequence ends; only
attention does, by the batch's groups.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.engine.attention import Group
from minidistil.messages import as_integer


def padding_rows(rows: int) -> int:
    """How many rows to add before rows are multiplied.

    For every number of rows that it meets, oneDNN writes a program and keeps it in
    memory: there must not be too many. Where there are few rows, as for a single
    text, each more costs time, so few are added.
    """
    step = 1 if rows <= 16 else 8 if rows <= 256 else 16
    return -rows % step


@dataclasses.dataclass(frozen=True)
class Batch:
    """Some sequences, end to end.

    Attributes:
        places: The place of each sequence among those given.
        ids: The ids of their tokens, (N,).
        positions: Where each token stands in its sequence, (N,).
        starts: The row that each sequence begins at.
        groups: Neighbours of one length.
    """

    places: list[int]
    ids: Tensor
    positions: Tensor
    starts: list[int]
    groups: list[Group]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        if device.type == "cpu":
            return self
        ids, positions = self.ids.to(device), self.positions.to(device)
        return dataclasses.replace(self, ids=ids, positions=positions)


def check_sequences(sequences: object, config: DistilBertConfig) -> list[list[int]]:
    """The ids as lists, if all of them are ids."""
    if isinstance(sequences, str | bytes | Mapping) or not isinstance(
        sequences, Collection
    ):
        raise TypeError(
            f"got {type(sequences).__name__}, expected a list of sequences, each a "
            f'list of token ids, such as tokenizer(texts)["input_ids"]'
        )
    listed = sequences.tolist() if hasattr(sequences, "tolist") else sequences
    given = [*listed] if isinstance(listed, Collection) else [listed]
    if given and as_integer(given[0]) is not None:
        raise TypeError("got one sequence, expected a list of them: use [ids]")
    lists = [to_integers("sequence", i, ids) for i, ids in enumerate(given)]
    limit, words = config.max_position_embeddings, config.vocab_size
    padded = False
    for i, ids in enumerate(lists):
        if not 0 < len(ids) <= limit:
            raise ValueError(
                f"sequence {i} has {len(ids)} tokens, expected 1 to {limit}; "
                f"truncation=True makes the tokenizer shorten longer texts"
            )
        if min(ids) < 0 or max(ids) >= words:
            wrong = next(each for each in ids if not 0 <= each < words)
            raise IndexError(
                f"sequence {i} has the id {wrong}, expected 0 to {words - 1}: the "
                f"tokenizer and the model are of different checkpoints"
            )
        padded = padded or ids[-1] == config.pad_token_id
    if padded:
        warnings.warn(
            "a sequence ends with padding, which is read as text here; give each "
            "sequence as long as it is, without padding=True",
            stacklevel=3,
        )
    return lists


def to_integers(name: str, place: int, numbers: object) -> list[int]:
    """A list of integers, from a list, a tuple, a tensor or an array."""
    found = numbers.tolist() if hasattr(numbers, "tolist") else numbers
    if isinstance(found, list | tuple):
        if set(map(type, found)) <= {int}:
            return list(found)
        # numpy's, perhaps
        integers = [each for one in found if (each := as_integer(one)) is not None]
        if len(integers) == len(found):
            return integers
    raise TypeError(f"{name} {place} is {numbers!r:.60}, expected a list of integers")


def batches(sequences: list[list[int]], budget: int, pad: int = 0) -> Iterator[Batch]:
    """Divide sequences into batches of at most ``budget`` tokens, or one sequence."""
    order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
    places: list[int] = []
    tokens = 0
    for place in order:
        length = len(sequences[place])
        if places and tokens + length > budget:
            yield _batch(sequences, places, pad)
            places, tokens = [], 0
        places.append(place)
        tokens += length
    if places:
        yield _batch(sequences, places, pad)


def _batch(sequences: list[list[int]], places: list[int], pad: int) -> Batch:
    lengths = [len(sequences[place]) for place in places]
    # Filled up with sequences of one token, which nobody reads.
    room = padding_rows(sum(lengths))
    groups = [
        Group(len([*same]), length) for length, same in itertools.groupby(lengths)
    ]
    if room:
        groups.append(Group(room, 1, fills=True))
    ids = itertools.chain.from_iterable(sequences[place] for place in places)
    positions = [
        torch.arange(group.tokens, device="cpu").repeat(group.count) for group in groups
    ]
    return Batch(
        places=places,
        ids=torch.tensor([*ids, *[pad] * room], device="cpu"),
        positions=torch.cat(positions),
        starts=[0, *itertools.accumulate(lengths[:-1])],
        groups=groups,
    )
