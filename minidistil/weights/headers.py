"""The header of a safetensors file: all but the numbers, read from the first bytes.

Of a file on the hub nothing more than that is fetched. What the safetensors library
checks when it maps a file is therefore checked here, from the header and the file's
size alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from minidistil.checkpoint.tensors import (
    INDEX_FILE,
    SINGLE_FILE,
    CheckpointError,
    Entry,
    check_index,
    find_shard,
    no_safetensors,
    parse_json,
    read_index,
)
from minidistil.hub import CheckpointFiles, HubCheckpointFiles
from minidistil.messages import quote

# Bytes; the safetensors library's own limit.
LONGEST = 100_000_000
_DIMENSIONS = 64  # torch's own limit; a product of thousands would take for ever
# What is asked of the hub at first. DistilBERT's headers have 13 kB.
_FIRST = 2**16
_SECONDS = 10  # that the hub may keep silent

# How many bits a number has.
BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E5M2", "F8_E4M3", "F8_E8M0"), 8),
    **dict.fromkeys(("F8_E5M2FNUZ", "F8_E4M3FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

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


def size_of(entry: Entry) -> int:
    """How many bytes a tensor's numbers take."""
    return math.prod(entry.shape) * BITS[entry.dtype] // 8


def header_of(path: Path) -> Header:
    """Read the header of one safetensors file.

    Raises:
        CheckpointError: if it is not sound.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = _length(path, start, size)
        return parse_header(path, start + stream.read(length), size)


def read_headers(files: CheckpointFiles) -> list[Header]:
    """Read the headers of a checkpoint's files; there are several if it is in shards.

    Of files that are not here, only the first bytes are fetched.

    Raises:
        CheckpointNotFoundError: if there are no such files, or the hub refuses.
        CheckpointError: if one is not sound, or an index and its files disagree.
    """
    single = _header(files, SINGLE_FILE)
    if single is not None:
        return [single]
    index = files.find(INDEX_FILE)
    if index is None:
        raise no_safetensors(files)
    shard_of = read_index(index)
    headers = []
    for name in sorted(set(shard_of.values())):
        header = _header(files, name)
        # Not there: `find_shard` says so, in the words that loading has for it.
        headers.append(header or header_of(find_shard(index, name, files)))
    entries = [entry for header in headers for entry in header.tensors]
    check_index(index, shard_of, {(entry.name, entry.file) for entry in entries})
    return headers


def _header(files: CheckpointFiles, name: str) -> Header | None:
    path = files.at_hand(name)
    if path is not None:
        return header_of(path)
    if isinstance(files, HubCheckpointFiles) and files.offline is None:
        return _fetch_header(files, name)
    return None


def parse_header(file: Path, start: bytes, size: int) -> Header:
    """Check a header, given with the eight bytes before it, and take it apart.

    Raises:
        CheckpointError: if it is no header, or not that of a file of this size.
    """
    length = _length(file, start, size)
    if len(start) < 8 + length:
        raise _unsound(file, f"its header of {length:,} bytes is cut short")
    content = parse_json(file, start[8 : 8 + length])
    metadata = content.pop("__metadata__", None)
    metadata = {} if metadata is None else metadata
    if not isinstance(metadata, dict) or not all(
        isinstance(value, str) for value in metadata.values()
    ):
        raise _unsound(file, "its metadata are not texts by name")
    entries, places = [], []
    for name, info in content.items():
        entry, place = _entry(file, name, info)
        entries.append(entry)
        places.append((*place, name))
    _check_places(file, places, size - 8 - length)
    return Header(file, size, 8 + length, metadata, entries)


def _length(file: Path, start: bytes, size: int) -> int:
    length = int.from_bytes(start[:8], "little")
    if len(start) < 8:
        raise _unsound(file, f"it has {size} bytes")
    if start.startswith(b"version "):
        raise CheckpointError(
            f"{file} only stands for the real file: run `git lfs pull`"
        )
    if length > min(size - 8, LONGEST):
        raise _unsound(
            file, f"its header would have {length:,} bytes, the file has {size:,}"
        )
    return length


def _entry(file: Path, name: str, info: Any) -> tuple[Entry, tuple[int, int]]:
    """A tensor, and where its numbers begin and end."""
    if not isinstance(info, dict):
        raise _unsound(file, f"{quote(name)} is not described by an object")
    dtype, shape, place = (info.get(k) for k in ("dtype", "shape", "data_offsets"))
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _unsound(file, f"the type of {quote(name)} is {dtype!r:.80}")
    if not _whole(shape) or len(shape) > _DIMENSIONS:
        raise _unsound(file, f"the shape of {quote(name)} is {shape!r:.80}")
    if not _whole(place) or len(place) != 2:
        raise _unsound(file, f"the place of {quote(name)} is {place!r:.80}")
    bits = math.prod(shape) * BITS[dtype]
    if bits % 8 or place[1] - place[0] != bits // 8:
        raise _unsound(
            file, f"{quote(name)} is {dtype} {tuple(shape)!s:.80}, in the bytes {place}"
        )
    return Entry(file, name, dtype, tuple(shape)), (place[0], place[1])


def _whole(numbers: object) -> TypeGuard[list[int]]:
    """Whether these are integers that a file of any size can hold."""
    return isinstance(numbers, list) and all(
        type(number) is int and 0 <= number < 2**63 for number in numbers
    )


def _check_places(file: Path, places: list[tuple[int, int, str]], size: int) -> None:
    """Check that the tensors fill the file, without a gap and without overlap."""
    end = 0
    for first, last, name in sorted(places):
        if first != end:
            raise _unsound(
                file, f"{quote(name)} starts at byte {first}, expected {end}"
            )
        end = last
    if end != size:
        raise _unsound(
            file, f"its tensors take {end:,} bytes, and {size:,} follow the header"
        )


def _unsound(file: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{file} is not a sound safetensors file ({reason}); it may be cut short or "
        "damaged: fetch or save it again"
    )


def _fetch_header(files: HubCheckpointFiles, name: str) -> Header | None:
    """The header of a file on the hub, or None if the repository has no such file."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        start, size = _fetch(files, name, _FIRST)
        length = _length(Path(name), start, size)
        if len(start) < 8 + length:
            start, size = _fetch(files, name, 8 + length)
    except EntryNotFoundError:
        return None
    except CheckpointError:
        raise
    except Exception as error:
        # The HTTP library's own errors too, and which library that is has changed.
        raise files.refused(name, error) from error
    return parse_header(Path(name), start, size)


def _fetch(files: HubCheckpointFiles, name: str, count: int) -> tuple[bytes, int]:
    """The first bytes of a file on the hub, and the size of the whole file."""
    import huggingface_hub
    from huggingface_hub.utils import (  # type: ignore[attr-defined,unused-ignore]
        build_hf_headers,
        get_session,
        hf_raise_for_status,
    )

    address = files.address
    headers = build_hf_headers(token=address.pop("token"))
    # Compressed on the way, the bytes could not be counted.
    headers |= {"Range": f"bytes=0-{count - 1}", "Accept-Encoding": "identity"}
    url = huggingface_hub.hf_hub_url(filename=name, **address)
    with get_session().stream(
        "GET", url, headers=headers, timeout=_SECONDS
    ) as response:
        if response.status_code >= 400:
            response.read()  # which explains the refusal
        hf_raise_for_status(response)
        start = b""
        for part in response.iter_bytes(_FIRST):
            start += part
            if len(start) >= count:
                break  # a server that sends the whole file, unasked, is not heard out
        if response.status_code == 206:
            size = int(response.headers["Content-Range"].rpartition("/")[2])
        else:
            size = int(response.headers["Content-Length"])
    return start[:count], size
