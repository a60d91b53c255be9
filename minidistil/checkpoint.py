"""Read the tensors of a checkpoint, and write them.

The format is safetensors: eight bytes that say how long the header is, the header
(JSON: each tensor's type, shape and byte range), then the numbers. The safetensors
library maps the file and checks that the header is sound; what it lets through and a
model cannot use is checked here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from minidistil.files import replacing
from minidistil.hub import CheckpointFiles, CheckpointNotFoundError

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# What weights may be stored as: the header's name and torch's.
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


class CheckpointError(ValueError):
    """A checkpoint's tensors cannot be read, are not sound, or do not fit."""


@dataclass(frozen=True)
class Entry:
    """What a file's header says of one tensor."""

    file: Path
    name: str  # as the file has it
    dtype: str  # as the file has it: one of DTYPES, or another that no model takes
    shape: tuple[int, ...]


class Weights:
    """The tensors of a checkpoint, by their plain names.

    Opening one reads the headers alone. The numbers stay in the mapped files until a
    tensor is asked for.
    """

    def __init__(self, files: CheckpointFiles) -> None:
        found = files.first(SINGLE_FILE, INDEX_FILE)
        if found is None:
            raise _no_safetensors(files)
        self.source = str(files)
        self.entries: dict[str, Entry] = {}
        if found.name == SINGLE_FILE:
            entries = self._open(found)
        else:
            shard_of = _read_index(found)
            shards = [
                _find_shard(found, name, files)
                for name in sorted(set(shard_of.values()))
            ]
            entries = [entry for shard in shards for entry in self._open(shard)]
            _check_index(found, shard_of, entries)
        for entry in entries:
            self._add(entry)
        if not self.entries:
            raise CheckpointError(
                f"{found} holds no weights; save or fetch the checkpoint again"
            )

    def _open(self, file: Path) -> list[Entry]:
        _map(file)  # checks that the header and the file's size fit
        return _read_header(file)

    def _add(self, entry: Entry) -> None:
        name = plain_name(entry.name)
        if name is None:
            return
        if name in self.entries:
            other = self.entries[name]
            raise CheckpointError(
                f"{entry.file}: {entry.name!r} and {other.name!r} (in "
                f"{other.file.name}) are the same tensor, {name!r}; a checkpoint has "
                "each tensor once"
            )
        self.entries[name] = entry

    def stored(self, name: str) -> Tensor:
        """The tensor as it lies in the mapped file: not aligned, not to be written.

        Raises:
            CheckpointError: if the numbers are of a kind that is no weight (integers,
                8-bit floats).
        """
        entry = self.entries[name]
        if entry.dtype not in DTYPES:
            raise CheckpointError(
                f"{entry.file}: {entry.name!r} is stored as {entry.dtype}, expected "
                f"one of {', '.join(DTYPES)}; a quantised checkpoint cannot be loaded, "
                "use the one it was made from"
            )
        # Mapped anew each time: the pages of earlier tensors do not stay in memory.
        tensor: Tensor = _map(entry.file).get_tensor(entry.name)
        return tensor

    def tensor(self, name: str, *, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A copy of one tensor in memory of its own.

        torch's allocator aligns it to 64 bytes, which a place in the file never is
        for sure, and the last bit of a matrix product depends on alignment.

        Raises:
            CheckpointError: if the numbers are of a kind that is no weight (integers,
                8-bit floats), are not finite, or are too large for ``dtype``.
        """
        stored, entry = self.stored(name), self.entries[name]
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
        """The type that all floating-point tensors are stored in.

        Raises:
            CheckpointError: if there is none, or more than one.
        """
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
    """Whether no number is NaN or infinite; takes no memory to speak of."""
    if tensor.numel() == 0:
        return True
    # NaN is both the least and the greatest of numbers it is among.
    low, high = tensor.aminmax()
    return bool(low.isfinite() and high.isfinite())


def save(folder: Path, tensors: Mapping[str, Tensor], config: str) -> None:
    """Write ``model.safetensors`` and ``config.json`` into a folder.

    Both are complete on the disk before either takes the place of an older one.

    Args:
        folder: Made if need be.
        tensors: By the names they are to have; two that share memory are written
            in full, each.
        config: The text of ``config.json``.

    Raises:
        CheckpointError: if a tensor holds NaN or infinite numbers (such a file could
            not be loaded again); nothing is written then.
    """
    for name, tensor in tensors.items():
        if not all_finite(tensor):
            raise CheckpointError(
                f"not saved to '{folder}': {name!r} holds NaN or infinite numbers; the "
                "training has diverged, go back to an earlier state"
            )
    with (
        replacing(folder / "config.json") as config_file,
        replacing(folder / SINGLE_FILE) as weights_file,
    ):
        config_file.write_text(config, encoding="utf-8")
        # The metadata is what other readers tell the framework from.
        save_file(_unshared(tensors), weights_file, metadata={"format": "pt"})


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each tensor memory of its own, which the file format needs."""
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        own[name] = tensor.detach().contiguous()
        memory = own[name].untyped_storage().data_ptr()
        if memory in seen:
            own[name] = own[name].clone()
        seen.add(memory)
    return own


def _no_safetensors(files: CheckpointFiles) -> Exception:
    if not any(files.has(name) for name in _PICKLES):
        return CheckpointNotFoundError(f"{files} has no {SINGLE_FILE}. {files.hint}")
    return CheckpointError(
        f"{files} has its weights as pytorch_model.bin only, not as {SINGLE_FILE}. "
        "That is a pickle, which can run any program when it is opened, so it is not "
        "read. If you trust where it comes from, convert it with transformers: "
        "DistilBertFor….from_pretrained(…).save_pretrained(folder), with the class "
        "that its config.json names under architectures; then load the folder"
    )


def _read_index(index: Path) -> dict[str, str]:
    """The file that each tensor is in, by the word of an index."""
    shard_of = _parse_json(index, index.read_bytes()).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise CheckpointError(
            f'{index}: expected {{"weight_map": {{tensor name: file name, …}}}}'
        )
    for shard in shard_of.values():
        # The name must not lead out of the checkpoint, on any system.
        if not isinstance(shard, str) or not re.fullmatch(
            r"\w[\w.-]*", shard, re.ASCII
        ):
            raise CheckpointError(
                f"{index}: {shard!r} is not the plain name of a file beside it"
            )
    return shard_of


def _find_shard(index: Path, name: str, files: CheckpointFiles) -> Path:
    shard = files.find(name)
    if shard is None:
        raise CheckpointError(
            f"{index} lists {name!r}, which {files} does not have; fetch or save the "
            "checkpoint again"
        )
    return shard


def _check_index(index: Path, shard_of: dict[str, str], entries: list[Entry]) -> None:
    """Check that the tensors are where the index says, and that it lists them all."""
    listed = set(shard_of.items())
    actual = {(entry.name, entry.file.name) for entry in entries}
    if listed == actual:
        return
    wrong = [f"{name!r} is not in {shard}" for name, shard in sorted(listed - actual)]
    wrong += [
        f"{name!r} in {shard} is not listed" for name, shard in sorted(actual - listed)
    ]
    raise CheckpointError(
        f"{index} and its files disagree: {'; '.join(wrong)}. Fetch or save the "
        "checkpoint again"
    )


def _map(file: Path) -> Any:
    """Map a file; the library refuses one whose header and size do not fit."""
    with file.open("rb") as stream:
        start = stream.read(40)
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        if start.startswith(b"version https://git-lfs"):
            cure = "it only stands for the real file: run `git lfs pull`"
        else:
            cure = "it may be cut short or damaged: delete it and fetch it again"
        raise CheckpointError(
            f"{file} ({file.stat().st_size:,} bytes) is not a sound safetensors file "
            f"({error}); {cure}"
        ) from None


def _read_header(file: Path) -> list[Entry]:
    """What the header of a file says, which `_map` has found sound."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = _parse_json(file, stream.read(length))
    header.pop("__metadata__", None)
    return [
        Entry(file, name, info["dtype"], tuple(info["shape"]))
        for name, info in header.items()
    ]


def _parse_json(file: Path, text: bytes) -> dict[str, Any]:
    """A JSON object that names nothing twice (readers would differ on which counts)."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [
            key for key, count in Counter(k for k, _ in pairs).items() if count > 1
        ]
        if twice:
            raise CheckpointError(f"{file} names {twice[0]!r} twice")
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{file} holds no JSON object")
    return value
