"""One safetensors file: opened, checked, and mapped or read.

The format: eight bytes that say how long the header is, the header (JSON: each tensor's
type, shape and byte range), then the numbers. The safetensors library maps the file and
checks that the header is sound.
"""

from __future__ import annotations

import errno
import json
import os
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize, safe_open
from safetensors.torch import load
from torch import Tensor

from minidistil.files import errno_of, read_json, reading_from
from minidistil.messages import MinidistilError, quote, shorten

# What a file that is read, and not mapped, would lack as well.
EXHAUSTED = (errno.ENOMEM, errno.EMFILE, errno.ENFILE)


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


def read_header(path: Path, name: Path | None = None) -> Header:
    """Read the header of one safetensors file.

    Args:
        path: Where it lies.
        name: What it is called in errors, if not by its path.

    Raises:
        CheckpointError: if it is not sound.
    """
    return StoredFile(path, name).header()


class StoredFile:
    """A file that stays the same while it is read, even if its name is replaced.

    It is mapped again for each tensor. By its name, that could be another file than
    for the tensor before; so it is held open. (What a program that writes into the
    same file does to a mapped tensor, nothing here can prevent.)

    Raises:
        OSError: from here and from all methods, if the system does not let it be read;
            that says nothing of what is in the file.
    """

    def __init__(self, file: Path, name: Path | None = None) -> None:
        self._file = name or file  # as it is called in errors
        with reading_from(self._file):
            number = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, number)
        # A path to the open file; where there is none (Windows), it cannot be replaced.
        paths = (Path(f"{folder}/{number}") for folder in ("/proc/self/fd", "/dev/fd"))
        self._path = next((path for path in paths if path.exists()), file)

    def map(self) -> Any:
        """Map it; the library refuses a file whose header and size do not fit.

        Some file systems cannot map files. Then each tensor is read when it is asked
        for, after the same check.
        """
        with reading_from(self._file):
            try:
                return safe_open(self._path, framework="pt")
            except SafetensorError as error:
                raise self._unsound(error) from None
            except (OSError, MemoryError, RuntimeError) as error:
                self._start(1)  # the library calls all that it cannot open missing
                if errno_of(error) in EXHAUSTED:
                    raise
        return self._unmapped()

    def _unmapped(self) -> _Unmapped:
        with reading_from(self._file):
            start = 8 + int.from_bytes(self._start(8), "little")
            size = self._path.stat().st_size
            head = self._start(min(start, size))
            try:
                # The numbers are not looked at: zeros will do.
                deserialize(  # type: ignore[no-untyped-call,unused-ignore]
                    head + bytes(size - len(head))
                )
            except SafetensorError as error:
                raise self._unsound(error) from None
        return _Unmapped(
            json.loads(head[8:]), lambda a, b: self._start(b - a, start + a)
        )

    def _unsound(self, error: SafetensorError) -> CheckpointError:
        if self._start(40).startswith(b"version https://git-lfs"):
            cure = "it only stands for the real file: run `git lfs pull`"
        else:
            cure = "it may be incomplete or damaged: delete it and fetch it again"
        return CheckpointError(
            f"{self._file} ({self._path.stat().st_size:,} bytes) is not a sound "
            f"safetensors file ({shorten(error)}); {cure}"
        )

    def header(self) -> Header:
        """Read the header; see `read_header`."""
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

    def _start(self, count: int, begin: int = 0) -> bytes:
        with reading_from(self._file), self._path.open("rb") as stream:
            stream.seek(begin)  # on some systems it goes on where it was read before
            return stream.read(count)


class _Unmapped:
    """Tensors that are read, where a file cannot be mapped."""

    def __init__(
        self, header: dict[str, Any], read: Callable[[int, int], bytes]
    ) -> None:
        self._header = header
        self._read = read  # some of the numbers' bytes

    def get_tensor(self, name: str) -> Tensor:
        """Read one tensor: as a file that has no other."""
        info = self._header[name]
        numbers = self._read(*info["data_offsets"])
        alone = json.dumps({name: info | {"data_offsets": [0, len(numbers)]}}).encode()
        return load(len(alone).to_bytes(8, "little") + alone + numbers)[name]


def parse_json(file: Path, text: bytes) -> dict[str, Any]:
    """A JSON object that names nothing twice (readers would differ on which counts)."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for key, count in Counter(key for key, _ in pairs).items():
            if count > 1:
                raise CheckpointError(f"{file} names {quote(key)} twice")
        return dict(pairs)

    return read_json(file, dict, CheckpointError, text, object_pairs_hook=unique)
