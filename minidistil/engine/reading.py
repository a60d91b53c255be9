"""What an engine is given: lists of ids as flat tensors, checked."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Collection, Iterable, Mapping

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.engine.sequences import Ids, Sequences, Wanted, as_ids
from minidistil.messages import as_integer

# What fits into an `Ids`.
INTEGERS = range(-(2**31), 2**31)


def check_sequences(sequences: object, config: DistilBertConfig) -> Sequences:
    """The ids of each sequence as one flat tensor, if all of them are integers."""
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
    rows = []
    for place, ids in enumerate(given):
        try:
            rows.append(to_integers("sequence", place, ids))
        except OverflowError:
            large = next(int(id) for id in ids if int(id) not in INTEGERS)
            raise no_such_id(place, large, config) from None
    pad = config.pad_token_id
    if pad is not None and any(ids and ids[-1] == pad for ids in rows):
        warnings.warn(
            "a sequence ends with padding, which is read as text here; give each "
            "sequence as long as it is, without padding=True",
            stacklevel=3,
        )
    return Sequences.of(rows)


def check_flat(sequences: Sequences, config: DistilBertConfig) -> None:
    """Raise an error for sequences that are not flat, or that the model cannot read."""
    ids, lengths = sequences
    _check_tensor("ids", ids, torch.int32)
    _check_tensor("lengths", lengths, torch.int64)
    limit, words = config.max_position_embeddings, config.vocab_size
    shortest, longest = map(int, lengths.aminmax()) if len(lengths) else (1, 1)
    if not 0 < shortest <= longest <= limit:
        wrong = _first((lengths < 1) | (lengths > limit))
        raise ValueError(
            f"sequence {wrong} has {int(lengths[wrong])} tokens, expected 1 to "
            f"{limit}; truncation=True makes the tokenizer shorten longer texts"
        )
    _check_sum("lengths", lengths, "ids", ids)
    if not len(ids):
        return
    least, most = map(int, ids.aminmax())
    if not 0 <= least <= most < words:
        wrong = _first((ids < 0) | (ids >= words))
        place = _first(lengths.cumsum(0) > wrong)
        raise no_such_id(place, int(ids[wrong]), config)


def _check_tensor(name: str, tensor: object, dtype: torch.dtype) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} is a {type(tensor).__name__}, expected a tensor")
    if tensor.dtype != dtype or tensor.ndim != 1 or tensor.device.type != "cpu":
        raise TypeError(
            f"{name} is {tensor.dtype} of shape {tuple(tensor.shape)} on "
            f"{tensor.device}, expected {dtype} of one axis on the CPU"
        )


def _check_sum(name: str, counts: Tensor, of: str, items: Tensor) -> None:
    if (total := int(counts.sum())) != len(items):
        raise ValueError(
            f"{name} add up to {total}, expected the number of {of}, {len(items)}"
        )


def no_such_id(place: int, id: int, config: DistilBertConfig) -> IndexError:
    """The error for an id that the model has no row for."""
    return IndexError(
        f"sequence {place} has the id {id}, expected 0 to {config.vocab_size - 1}: the "
        f"tokenizer and the model are of different checkpoints"
    )


def no_such_position(place: int, positions: object, length: int) -> IndexError:
    """The error for positions that are not in their sequence."""
    return IndexError(
        f"the positions of sequence {place} are {positions!r:.60}, expected 0 to "
        f"{length - 1}"
    )


def _first(mask: Tensor) -> int:
    return int(mask.int().argmax())


def check_wanted(positions: object, sequences: Sequences) -> Wanted:
    """The positions of each sequence as one flat tensor."""
    listed = isinstance(positions, Iterable) and not isinstance(
        positions, str | Mapping
    )
    if isinstance(positions, Tensor) or not listed:
        raise TypeError(
            f"positions is {positions!r:.60}, expected a list for each sequence; "
            f"a mask goes with input_ids=, as attention_mask="
        )
    assert isinstance(positions, Iterable)
    given, lengths = [*positions], sequences.lengths
    if len(given) != len(lengths):
        raise ValueError(
            f"got positions for {len(given)} sequences, expected {len(lengths)}"
        )
    rows = []
    for place, some in enumerate(given):
        try:
            rows.append(to_integers("the positions of sequence", place, some))
        except OverflowError:
            raise no_such_position(place, some, int(lengths[place])) from None
    return Wanted.of(rows)


def check_positions(wanted: Wanted | None, sequences: Sequences) -> None:
    """Raise an error for positions that are not flat, or not in their sequences."""
    if wanted is None:
        return
    places, counts = wanted
    _check_tensor("positions", places, torch.int64)
    _check_tensor("counts", counts, torch.int64)
    if len(counts) != len(sequences.lengths) or bool((counts < 0).any()):
        raise ValueError(
            f"counts are {counts.tolist()!r:.60}, expected one of 0 or more for each "
            f"of the {len(sequences.lengths)} sequences"
        )
    _check_sum("counts", counts, "positions", places)
    wrong = (places < 0) | (places >= sequences.lengths.repeat_interleave(counts))
    if wrong.any():
        place = _first(counts.cumsum(0) > _first(wrong))
        given = torch.split(places, counts.tolist())[place].tolist()
        raise no_such_position(place, given, int(sequences.lengths[place]))


def to_integers(name: str, place: int, numbers: object) -> Ids:
    """An array of integers, from a list, a tuple, a tensor or an array.

    Raises:
        TypeError: for what holds anything else.
        OverflowError: for an integer beyond 32 bits.
    """
    if isinstance(numbers, array) and numbers.typecode == "i":
        return numbers
    found = numbers.tolist() if hasattr(numbers, "tolist") else numbers
    if isinstance(found, list | tuple):
        if set(map(type, found)) <= {int}:
            return as_ids(found)
        # numpy's, perhaps
        integers = [each for one in found if (each := as_integer(one)) is not None]
        if len(integers) == len(found):
            return as_ids(integers)
    raise TypeError(f"{name} {place} is {numbers!r:.60}, expected a list of integers")
