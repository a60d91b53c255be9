"""Read the tensors of a checkpoint.

What the safetensors library lets through (see `minidistil.checkpoint.stored`), and a
model cannot use, is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

from minidistil.checkpoint.stored import (
    CheckpointError as CheckpointError,
    Entry,
    StoredFile,
    parse_json,
)
from minidistil.files import read_bytes, reading_from
from minidistil.hub import CheckpointFiles, CheckpointNotFoundError
from minidistil.messages import quote

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
# One file, or an index and the files that it lists, as they are usually named.
SHARD_FILES = "model{suffix}.safetensors"  # the suffix is -00001-of-00002, …
WEIGHT_FILES = re.compile(
    r"model\.safetensors(\.index\.json)?|model-\d{5}-of-\d{5}\.safetensors"
)
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# What weights may be stored as: the header's name and torch's.
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


class Contents:
    """What the headers of a checkpoint list: tensors, by plain names (`plain_name`)."""

    def __init__(self, source: str, entries: Iterable[Entry]) -> None:
        self.source = source
        self.entries: dict[str, Entry] = {}
        for entry in entries:
            name = plain_name(entry.name)
            if name is None:
                continue
            other = self.entries.setdefault(name, entry)
            if other is not entry:
                raise CheckpointError(
                    f"{entry.file}: {quote(entry.name)} and {quote(other.name)} (in "
                    f"{other.file.name}) are the same tensor, {quote(name)}; a "
                    "checkpoint has each tensor once"
                )


class Weights(Contents):
    """The tensors of a checkpoint, by their plain names.

    Opening one reads the headers alone. The numbers stay in the mapped files until a
    tensor is asked for.
    """

    def __init__(self, files: CheckpointFiles) -> None:
        found = files.first(SINGLE_FILE, INDEX_FILE)
        if found is None:
            raise no_safetensors(files)
        self._opened: dict[Path, StoredFile] = {}
        if found.name == SINGLE_FILE:
            entries = self._open(found)
        else:
            shard_of = read_index(found)
            names = sorted(set(shard_of.values()))
            shards = [find_shard(found, name, files) for name in names]
            entries = [entry for shard in shards for entry in self._open(shard)]
            check_index(found, shard_of, {(each.name, each.file) for each in entries})
        super().__init__(str(files), entries)
        if not self.entries:
            raise CheckpointError(
                f"{found} holds no weights; save or fetch the checkpoint again"
            )

    def _open(self, file: Path) -> list[Entry]:
        opened = self._opened[file] = StoredFile(file)
        return opened.header().tensors

    def stored(self, name: str) -> Tensor:
        """The tensor as it lies in the mapped file: not aligned, and read-only.

        Raises:
            CheckpointError: if it is stored in a type that no weight has (integers,
                8-bit floats).
        """
        entry = self.entries[name]
        if entry.dtype not in DTYPES:
            raise CheckpointError(
                f"{entry.file}: {quote(entry.name)} is stored as {entry.dtype}, "
                f"expected one of {', '.join(DTYPES)}; a quantised checkpoint cannot "
                "be loaded, use the one it was made from"
            )
        return self.raw(name)

    def raw(self, name: str) -> Tensor:
        """As `stored`, of whatever type: a layer may count in integers."""
        entry = self.entries[name]
        # Mapped anew each time: the pages of earlier tensors do not stay in memory.
        with reading_from(entry.file):
            tensor: Tensor = self._opened[entry.file].map().get_tensor(entry.name)
        return tensor

    def tensor(self, name: str, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A copy of one tensor in memory of its own.

        The last bit of a matrix product depends on alignment. torch's allocator aligns
        the copy to 64 bytes; in the file a tensor may start anywhere.

        Raises:
            CheckpointError: if it is stored in a type that no weight has (integers,
                8-bit floats), is not finite, or is too large for ``dtype``.
        """
        stored, entry = self.stored(name), self.entries[name]
        with reading_from(entry.file):  # which may need more memory than there is
            copy = torch.empty(stored.shape, dtype=dtype, device=device).copy_(stored)
        if all_finite(copy):
            return copy
        if all_finite(stored):
            raise CheckpointError(
                f"{entry.file}: {entry.name!r} holds numbers too large for {dtype}; "
                f"load it in its own type, with dtype={DTYPES[entry.dtype]}"
            )
        raise CheckpointError(
            f"{entry.file}: {entry.name!r} holds NaN or infinite numbers; its training "
            "diverged or the file is damaged, use another checkpoint"
        )

    def common_dtype(self) -> torch.dtype:
        """The type that all tensors are stored in; `CheckpointError` if they differ."""
        stored = sorted({entry.dtype for entry in self.entries.values()})
        usable = [DTYPES[name] for name in stored if name in DTYPES]
        if len(usable) != 1:
            raise CheckpointError(
                f"{self.source} stores its weights as {', '.join(stored)}, so "
                'dtype="auto" cannot tell which to use; name one, such as '
                "dtype=torch.float32"
            )
        return usable[0]


def plain_name(name: str) -> str | None:
    """The one name of a tensor, whatever the file calls it; None if it is no weight.

    The encoder goes without the prefix that task checkpoints give it. Files converted
    from TensorFlow say ``gamma`` and ``beta``. ``position_ids`` (0, 1, 2, …) was once
    saved along with the weights.
    """
    for part in ("embeddings.", "transformer."):
        if name.startswith("distilbert." + part):
            name = name.removeprefix("distilbert.")
    if name == "embeddings.position_ids":
        return None
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return name


def all_finite(tensor: Tensor) -> bool:
    """Whether no number is NaN or infinite; needs next to no memory."""
    if tensor.numel() == 0:
        return True
    # If any number is NaN, so are the least and the greatest.
    low, high = tensor.aminmax()
    return bool(low.isfinite() and high.isfinite())


def no_safetensors(files: CheckpointFiles) -> Exception:
    """The error for a checkpoint without safetensors, and what to do about it."""
    if not any(files.has(name) for name in PICKLES):
        return CheckpointNotFoundError(f"{files} has no {SINGLE_FILE}. {files.hint}")
    return CheckpointError(
        f"{files} has its weights as pytorch_model.bin only, not as {SINGLE_FILE}. "
        "That is a pickle, which can hold any program, so it is not loaded. Convert it "
        "once, which reads tensors and runs nothing: minidistil weights convert "
        f"{files.name} FOLDER; then load the folder"
    )


def read_index(index: Path) -> dict[str, str]:
    """The file that each tensor is in, as an index says."""
    shard_of = parse_json(index, read_bytes(index)).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise CheckpointError(
            f'{index}: expected {{"weight_map": {{tensor name: file name, …}}}}'
        )
    for shard in shard_of.values():
        # The name must not lead out of the checkpoint, on any system; and no system
        # takes a longer one.
        if not isinstance(shard, str) or not re.fullmatch(
            r"\w[\w.-]{,254}", shard, re.ASCII
        ):
            raise CheckpointError(
                f"{index}: {quote(shard)} is not the plain name of a file beside it"
            )
    return shard_of


def find_shard(index: Path, name: str, files: CheckpointFiles) -> Path:
    """The path of a file that an index lists."""
    shard = files.find(name)
    if shard is None:
        raise CheckpointError(
            f"{index} lists {name!r}, which {files} does not have; fetch or save the "
            "checkpoint again"
        )
    return shard


def check_index(
    index: Path, shard_of: dict[str, str], found: Iterable[tuple[str, Path]]
) -> None:
    """Check that the tensors are where the index says, and that it lists them all."""
    listed = set(shard_of.items())
    actual = {(name, file.name) for name, file in found}
    missing, more = sorted(listed - actual), sorted(actual - listed)
    wrong = [f"{quote(name)} is not in {shard}" for name, shard in missing]
    wrong += [f"{quote(name)} in {shard} is not listed" for name, shard in more]
    if wrong:
        raise CheckpointError(
            f"{index} and its files disagree: {'; '.join(wrong)}. Fetch or save the "
            "checkpoint again"
        )
