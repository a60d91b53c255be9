"""The headers of a checkpoint's files: all that they say, but for the numbers.

Of a file on the hub only its first bytes are fetched.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from minidistil.checkpoint.stored import CheckpointError, Header, read_header
from minidistil.checkpoint.tensors import (
    INDEX_FILE,
    SINGLE_FILE,
    check_index,
    find_shard,
    no_safetensors,
    read_index,
)
from minidistil.hub import CheckpointFiles, HubCheckpointFiles
from minidistil.messages import first_line

_FIRST = 2**16  # bytes that are fetched at first; DistilBERT's headers have 13 kB
_LONGEST = 100_000_000  # bytes; the safetensors library refuses a longer header
_TIMEOUT = 10  # seconds


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
        # If it is missing, `find_shard` raises the error that loading raises.
        headers.append(header or read_header(find_shard(index, name, files)))
    entries = [entry for header in headers for entry in header.tensors]
    check_index(index, shard_of, {(entry.name, entry.file) for entry in entries})
    return headers


def _header(files: CheckpointFiles, name: str) -> Header | None:
    path = files.at_hand(name)
    if path is not None:
        return read_header(path)
    if isinstance(files, HubCheckpointFiles) and files.offline is None:
        return _fetch_header(files, name)
    return None


def _fetch_header(files: HubCheckpointFiles, name: str) -> Header | None:
    """The header of a file on the hub, or None if the repository has no such file."""
    from huggingface_hub.errors import EntryNotFoundError

    try:
        start, size = _fetch(files, name, _FIRST)
        needed = 8 + int.from_bytes(start[:8], "little")
        if len(start) < needed <= min(size, _LONGEST):
            start, size = _fetch(files, name, needed)
    except EntryNotFoundError:
        return None
    except Exception as error:
        # The HTTP library's own errors too, and which library that is has changed.
        raise files.refused(name, error) from error
    # The safetensors library checks files, so it gets one of the full size: the header,
    # and a hole in place of the numbers, which takes no room on the disk.
    with TemporaryDirectory() as folder:
        path = Path(folder) / SINGLE_FILE
        try:
            with path.open("wb") as file:
                file.write(start)
                file.truncate(size)
        except (OSError, OverflowError) as error:
            raise CheckpointError(
                f"{name} of {files} has {size:,} bytes, and a file of that size cannot "
                f"be made here to check its header ({first_line(error)})"
            ) from error
        return read_header(path, Path(name))


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
        "GET", url, headers=headers, timeout=_TIMEOUT
    ) as response:
        if response.status_code >= 400:
            response.read()  # which explains the refusal
        hf_raise_for_status(response)
        start = b""
        for part in response.iter_bytes(_FIRST):
            start += part
            if len(start) >= count:
                break  # a server that ignores the range would send the whole file
        if response.status_code == 206:
            size = int(response.headers["Content-Range"].rpartition("/")[2])
        else:
            size = int(response.headers["Content-Length"])
    return start[:count], size
