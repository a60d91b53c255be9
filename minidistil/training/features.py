"""Features: the tokens of all rows, end to end, and what is to be learnt of them.

    ids      5 7 8 2 | 5 9 2 | 5 4 4 4 2 …      what a model reads, [CLS] and [SEP] too
    starts   0         4       7         …

A corpus may be larger than memory: it is then written to a file while it is tokenized,
and the file is mapped, so that only what a step reads of it is in memory.
"""

from __future__ import annotations

import io
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from minidistil.checkpoint.tensor_file import bytes_of
from minidistil.files import reading_from, replacing
from minidistil.messages import MinidistilError, shorten

# The header of a file is written last, in a place that is kept for it: how many tokens
# there are is known only then.
HEADER = 4096  # bytes
# All of four bytes, so that each tensor of a file begins where its numbers can.
DTYPES = {torch.int32: "I32", torch.float32: "F32"}


class FeaturesError(MinidistilError, ValueError):
    """A file that holds no features."""


class Features:
    """The tokens of S sequences, end to end, and their targets.

    Attributes:
        ids: All tokens, (N,), int32.
        starts: Where each sequence begins, and where the last one ends, (S + 1,).
        targets: What a task has to know of them, int32 or float32.
        about: What the file says of how they were made; JSON, no part of the digest.
    """

    def __init__(
        self,
        ids: Tensor,
        lengths: Tensor,
        targets: Mapping[str, Tensor],
        digest: str | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Take the ids, (N,), how many each sequence has, (S,), and the targets."""
        self.ids = ids
        self.starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        self.targets = dict(targets)
        self.about = dict(about or {})
        self._digest = digest

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Tensor:
        """How many tokens each sequence has, (S,), int64."""
        return self.starts.diff()

    def digest(self) -> str:
        """BLAKE2b of all of it, 128 hexadecimal digits: what a training began with."""
        if self._digest is None:
            hash = blake2b(bytes_of(self.ids))
            self._digest = _finished(hash, self._others())
        return self._digest

    def places(self, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Where the tokens of some sequences are.

        Args:
            sequences: Which ones, (B,).

        Returns:
            The places of all their tokens in ``ids``, (n,), and the lengths, (B,).
        """
        starts = self.starts[sequences]
        lengths = self.starts[sequences + 1] - starts
        before = lengths.cumsum(0) - lengths
        shifts = (starts - before).repeat_interleave(lengths)
        return shifts + torch.arange(len(shifts)), lengths

    def save(self, path: Path) -> None:
        """Write a file of the safetensors format, whole or not at all.

        Raises:
            OSError: if the system refuses.
        """
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(bytes(HEADER))
            file.write(bytes_of(self.ids))
            _complete(file, len(self.ids), self._others(), self.digest(), self.about)

    @classmethod
    def load(cls, path: Path) -> Features:
        """Map a file: what is read of it is in memory, and no more.

        Raises:
            FeaturesError: if it holds no features.
            OSError: if the system refuses to read it.
        """
        try:
            with reading_from(path), safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                digest = (file.metadata() or {})["digest"]
                about = json.loads((file.metadata() or {})["about"])
                ids, lengths = tensors.pop("ids"), tensors.pop("lengths")
        except (SafetensorError, KeyError) as error:
            raise FeaturesError(
                f"{path} holds no features of rows ({shorten(error)}): remove it to "
                f"have them made anew"
            ) from error
        return cls(ids, lengths, tensors, digest, about)

    def _others(self) -> dict[str, Tensor]:
        return {"lengths": self.lengths.int(), **self.targets}


class Making:
    """Features that are being made; see `making`.

    Attributes:
        lengths: How many tokens each sequence has.
        targets: What is to be learnt of them, to be filled in.
        about: See `Features`, to be filled in.
    """

    def __init__(self, path: Path | None, stream: BinaryIO) -> None:
        """Take what the ids are written to."""
        self.lengths = array("i")
        self.targets: dict[str, Tensor] = {}
        self.about: dict[str, Any] = {}
        self._path, self._stream = path, stream
        self._hash = blake2b()

    def add(self, sequences: Iterable[array[int]]) -> None:
        """Put some sequences behind those that are there: arrays of 32-bit ids."""
        sequences = [*sequences]
        self.lengths.extend(map(len, sequences))
        data = b"".join(sequences)
        self._hash.update(data)
        self._stream.write(data)

    def features(self) -> Features:
        """The features, when all is there."""
        if self._path is not None:
            return Features.load(self._path)
        assert isinstance(self._stream, io.BytesIO)
        ids = from_buffer(self._stream.getbuffer(), torch.int32)
        lengths = from_buffer(self.lengths, torch.int32)
        return Features(ids, lengths, self.targets, about=self.about)

    def complete(self) -> None:
        """Write what follows the ids in a file."""
        others = {"lengths": from_buffer(self.lengths, torch.int32), **self.targets}
        digest = _finished(self._hash, others)
        _complete(self._stream, sum(self.lengths), others, digest, self.about)


@contextmanager
def making(path: Path | None = None) -> Iterator[Making]:
    """Make features: `Making.add` in the block, `Making.features` after it.

    Args:
        path: The file to write them to, whole or not at all; None keeps them in memory.
    """
    if path is None:
        yield Making(None, io.BytesIO())
        return
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(bytes(HEADER))
        made = Making(path, file)
        yield made
        made.complete()


def padded(values: Tensor, lengths: Tensor, filler: int, width: int = 0) -> Tensor:
    """Put rows that stand end to end, (n,), below each other: (B, T), filled up.

    T is the longest length, or ``width``.
    """
    mask = is_token(lengths, width)
    found = torch.full(mask.shape, filler, dtype=torch.int64)
    found[mask] = values.long()
    return found


def is_token(lengths: Tensor, width: int = 0) -> Tensor:
    """Of rows of such lengths, (B,), filled up: which are tokens, (B, T) booleans."""
    return torch.arange(width or int(lengths.max())) < lengths[:, None]


def from_buffer(buffer: Any, dtype: torch.dtype) -> Tensor:
    """The numbers of an array, or of bytes, without a copy."""
    if not len(buffer):
        return torch.empty(0, dtype=dtype)
    return torch.frombuffer(buffer, dtype=dtype)


def _finished(hash: Any, others: Mapping[str, Tensor]) -> str:
    whole = hash.copy()
    for name in sorted(others):
        tensor = others[name]
        whole.update(f"{name} {DTYPES[tensor.dtype]} {[*tensor.shape]}".encode())
        whole.update(bytes_of(tensor))
    digest: str = whole.hexdigest()
    return digest


def _complete(
    file: BinaryIO, count: int, others: Mapping[str, Tensor], digest: str, about: Any
) -> None:
    """Write what follows the ids, and the header before them."""
    place = 4 * count
    entries: dict[str, Any] = {
        "__metadata__": {"digest": digest, "about": json.dumps(about)},
        "ids": {"dtype": "I32", "shape": [count], "data_offsets": [0, place]},
    }
    for name, tensor in others.items():
        end = place + 4 * tensor.numel()
        entries[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": [*tensor.shape],
            "data_offsets": [place, end],
        }
        file.write(bytes_of(tensor))
        place = end
    header = json.dumps(entries).encode()
    assert len(header) <= HEADER - 8
    file.seek(0)
    file.write((HEADER - 8).to_bytes(8, "little"))
    file.write(header.ljust(HEADER - 8))
