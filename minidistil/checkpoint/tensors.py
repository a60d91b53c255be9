"""Read the tensors of a checkpoint, and write them.

The format is safetensors: eight bytes that say how long the header is, the header
(JSON: each tensor's type, shape and byte range), then the numbers. The safetensors
library maps the file and checks that the header is sound; what it lets through and a
model cannot use is checked here.
"""

from __future__ import annotations

import json
import os
import re
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from minidistil.config import ConfigError
from minidistil.files import read_json_object, replacing_all
from minidistil.hub import CheckpointFiles, CheckpointNotFoundError
from minidistil.messages import MinidistilError, cut, quote

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
# What a tokenizer may be made of.
TOKENIZER_FILES = (
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# How sentence-transformers makes vectors: the modules that a text goes through, ...
MODULES_FILE = "modules.json"
# ... the longest text (the name was once another for each model), and prompts.
LENGTH_FILES = ("sentence_bert_config.json", "sentence_distilbert_config.json")
PROMPTS_FILE = "config_sentence_transformers.json"
# Loading reads these too, of the checkpoints that have them.
COMPANIONS = (*TOKENIZER_FILES, MODULES_FILE, *LENGTH_FILES, PROMPTS_FILE)
_FOLDER = re.compile(r"(\w[\w.-]*)?", re.ASCII)

# What weights may be stored as: the header's name and torch's.
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}


class CheckpointError(MinidistilError, ValueError):
    """A checkpoint's tensors cannot be read, are not sound, or do not fit."""


@dataclass(frozen=True)
class Entry:
    """What a file's header says of one tensor."""

    file: Path
    name: str  # as the file has it
    dtype: str  # as the file has it: one of DTYPES, or another that no model takes
    shape: tuple[int, ...]
    size: int  # in bytes


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of itself.

    Attributes:
        file: Its path, or its name if it is on the hub.
        size: Of the whole file, in bytes.
        data_start: The byte at which the numbers begin.
        metadata: Free text by names, such as ``{"format": "pt"}``.
        tensors: In the order of the header.
    """

    file: Path
    size: int
    data_start: int
    metadata: dict[str, str]
    tensors: list[Entry]


class Contents:
    """What a checkpoint holds by the word of its headers: tensors, by plain names."""

    def __init__(self, source: str, entries: Iterable[Entry]) -> None:
        self.source = source
        self.entries: dict[str, Entry] = {}
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        name = plain_name(entry.name)
        if name is None:
            return
        if name in self.entries:
            other = self.entries[name]
            raise CheckpointError(
                f"{entry.file}: {quote(entry.name)} and {quote(other.name)} (in "
                f"{other.file.name}) are the same tensor, {quote(name)}; a checkpoint "
                "has each tensor once"
            )
        self.entries[name] = entry


class Weights(Contents):
    """The tensors of a checkpoint, by their plain names.

    Opening one reads the headers alone. The numbers stay in the mapped files until a
    tensor is asked for.
    """

    def __init__(self, files: CheckpointFiles) -> None:
        found = files.first(SINGLE_FILE, INDEX_FILE)
        if found is None:
            raise no_safetensors(files)
        self._opened: dict[Path, _Opened] = {}
        if found.name == SINGLE_FILE:
            entries = self._open(found)
        else:
            shard_of = read_index(found)
            shards = [
                find_shard(found, name, files)
                for name in sorted(set(shard_of.values()))
            ]
            entries = [entry for shard in shards for entry in self._open(shard)]
            check_index(found, shard_of, {(each.name, each.file) for each in entries})
        super().__init__(str(files), entries)
        if not self.entries:
            raise CheckpointError(
                f"{found} holds no weights; save or fetch the checkpoint again"
            )

    def _open(self, file: Path) -> list[Entry]:
        opened = self._opened[file] = _Opened(file)
        return opened.header().tensors

    def stored(self, name: str) -> Tensor:
        """The tensor as it lies in the mapped file: not aligned, not to be written.

        Raises:
            CheckpointError: if the numbers are of a kind that is no weight (integers,
                8-bit floats).
        """
        entry = self.entries[name]
        if entry.dtype not in DTYPES:
            raise CheckpointError(
                f"{entry.file}: {quote(entry.name)} is stored as {entry.dtype}, "
                f"expected one of {', '.join(DTYPES)}; a quantised checkpoint cannot "
                "be loaded, use the one it was made from"
            )
        # Mapped anew each time: the pages of earlier tensors do not stay in memory.
        tensor: Tensor = self._opened[entry.file].map().get_tensor(entry.name)
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


def companions(files: CheckpointFiles) -> list[str]:
    """The names of what loading reads beside the weights and ``config.json``.

    Those of a hub repository are fetched.

    Raises:
        CheckpointNotFoundError: if the hub refuses.
        ConfigError: if ``modules.json`` is not what it should be.
    """
    names = [name for name in COMPANIONS if files.find(name) is not None]
    modules = files.find(MODULES_FILE)
    if modules is not None:
        folders = [folder for _, folder in read_modules(modules) if folder]
        inside = [f"{folder}/config.json" for folder in folders]
        names += [name for name in inside if files.find(name) is not None]
    return names


def read_modules(path: Path) -> list[tuple[str, str]]:
    """The kind of each module that a ``modules.json`` lists, and its folder.

    Raises:
        ConfigError: if it lists anything else.
    """
    try:
        modules = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(modules, list):
        raise ConfigError(f"{path} holds a {type(modules).__name__}, expected a list")
    found = []
    for module in modules:
        # The folder must not lead out of the checkpoint, on any system.
        match module:
            case {"type": str(kind), "path": str(folder)} if _FOLDER.fullmatch(folder):
                found.append((kind.split(".")[-1], folder))
            case _:
                raise ConfigError(
                    f"{path} lists {quote(module)}, expected a type and a path, which "
                    f"is nothing or the name of a folder beside it"
                )
    return found


def save(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: str,
    beside: Mapping[str, bytes] | None = None,
) -> None:
    """Write ``model.safetensors`` and ``config.json`` into a folder.

    All is complete on the disk before any of it takes the place of an older file.

    Args:
        folder: Made if need be.
        tensors: By the names they are to have; two that share memory are written
            in full, each.
        config: The text of ``config.json``.
        beside: More files, by name. While those that stood there are replaced by
            others, there is no ``config.json``: killed then, the folder does not load.

    Raises:
        CheckpointError: if a tensor holds NaN or infinite numbers (such a file could
            not be loaded again); nothing is written then.
        OSError: if the folder cannot be written, as on a full disk; older files are
            left as they were.
    """
    for name, tensor in tensors.items():
        if not all_finite(tensor):
            raise CheckpointError(
                f"not saved to '{folder}': {name!r} holds NaN or infinite numbers; the "
                "training has diverged, go back to an earlier state"
            )
    changed = {
        folder / name: content
        for name, content in (beside or {}).items()
        if not _holds(folder / name, content)
    }
    paths = *changed, folder / SINGLE_FILE, folder / "config.json"
    # Old weights with a new vocabulary would load, and answer nonsense.
    withdrawn = folder / "config.json" if changed else None
    with replacing_all(*paths, withdrawn=withdrawn) as written:
        *others, weights_file, config_file = written
        for other, content in zip(others, changed.values(), strict=True):
            other.write_bytes(content)
        config_file.write_text(config, encoding="utf-8")
        try:
            # The metadata is what other readers tell the framework from.
            save_file(_unshared(tensors), weights_file, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(
                f"'{folder}' cannot be written, and is as it was: {cut(error)}"
            ) from None


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content


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
    """The file that each tensor is in, by the word of an index."""
    shard_of = parse_json(index, index.read_bytes()).get("weight_map")
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
    if listed == actual:
        return
    wrong = [
        f"{quote(name)} is not in {shard}" for name, shard in sorted(listed - actual)
    ]
    wrong += [
        f"{quote(name)} in {shard} is not listed"
        for name, shard in sorted(actual - listed)
    ]
    raise CheckpointError(
        f"{index} and its files disagree: {'; '.join(wrong)}. Fetch or save the "
        "checkpoint again"
    )


def read_header(path: Path, name: Path | None = None) -> Header:
    """Read the header of one safetensors file.

    Args:
        path: Where it lies.
        name: What it is called in errors, if not by its path.

    Raises:
        CheckpointError: if it is not sound.
    """
    return _Opened(path, name).header()


class _Opened:
    """A file as it is now, whatever is renamed into its place while it is read.

    It is mapped again for each tensor, and by its name that could be another file than
    for the tensor before.
    """

    def __init__(self, file: Path, name: Path | None = None) -> None:
        self._file = name or file  # as it is called in errors
        number = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, number)
        # A name for what is open; where there is none (Windows), what is open cannot
        # be replaced.
        names = (Path(f"{folder}/{number}") for folder in ("/proc/self/fd", "/dev/fd"))
        self._path = next((name for name in names if name.exists()), file)

    def map(self) -> Any:
        """Map it; the library refuses a file whose header and size do not fit."""
        try:
            return safe_open(self._path, framework="pt")
        except (SafetensorError, OSError, RuntimeError) as error:
            # torch raises a RuntimeError for a file too large to be mapped.
            if self._start(40).startswith(b"version https://git-lfs"):
                cure = "it only stands for the real file: run `git lfs pull`"
            else:
                cure = "it may be cut short or damaged: delete it and fetch it again"
            raise CheckpointError(
                f"{self._file} ({self._path.stat().st_size:,} bytes) is not a sound "
                f"safetensors file ({cut(error)}); {cure}"
            ) from None

    def header(self) -> Header:
        """Read the header.

        Raises:
            CheckpointError: if it is not sound.
        """
        self.map()  # checks that the header and the file's size fit
        start = 8 + int.from_bytes(self._start(8), "little")
        content = parse_json(self._file, self._start(start)[8:])
        metadata = content.pop("__metadata__", None) or {}
        entries = [self._entry(name, info) for name, info in content.items()]
        size = self._path.stat().st_size
        return Header(self._file, size, start, metadata, entries)

    def _entry(self, name: str, info: Any) -> Entry:
        match info:
            case {
                "dtype": str(dtype),
                "shape": [*shape],
                "data_offsets": [int(begin), int(end)],
            }:
                return Entry(self._file, name, dtype, tuple(shape), end - begin)
        # The library takes the three as a list too, without their names.
        raise CheckpointError(
            f"{self._file}: {quote(name)} is described by {quote(info)}, expected its "
            "dtype, shape and data_offsets by name; save the checkpoint again"
        )

    def _start(self, count: int) -> bytes:
        with self._path.open("rb") as stream:
            stream.seek(0)  # on some systems it goes on where it was read before
            return stream.read(count)


def parse_json(file: Path, text: bytes) -> dict[str, Any]:
    """A JSON object that names nothing twice (readers would differ on which counts).

    Raises:
        CheckpointError: for anything else; it names the file.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        twice = [
            key for key, count in Counter(k for k, _ in pairs).items() if count > 1
        ]
        if twice:
            raise CheckpointError(f"{file} names {quote(twice[0])} twice")
        return dict(pairs)

    return read_json_object(file, CheckpointError, text, object_pairs_hook=unique)
