"""Read ``pytorch_model.bin``, without ever running what is in it.

Such a file is a pickle: a program for a small machine that can call any function. Torch
can read one with a machine that knows how to rebuild tensors and nothing else
(``weights_only``). A file that asks for more than that is refused; there is no second
attempt. Before torch sees a file it must look like one of the two formats that torch
has written, since older versions had a third which that machine did not guard.

Before torch 2.10 a crafted file could corrupt that machine's memory, and perhaps run
code so (CVE-2026-24747). With an older torch no pickle is read.
"""

from __future__ import annotations

import errno
import math
import re
import tarfile
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from minidistil.checkpoint.stored import EXHAUSTED
from minidistil.checkpoint.tensors import (
    PICKLES,
    CheckpointError,
    check_index,
    find_shard,
    no_safetensors,
    read_index,
)
from minidistil.files import errno_of, reading_from
from minidistil.hub import CheckpointFiles
from minidistil.messages import first_line, quote
from minidistil.progress import steps

_SAFE = "2.10"  # the torch from which on a pickle may be read

_ZIP = b"PK\x03\x04"  # torch 1.6 and later
# Before that: the pickle of torch's magic number, then more pickles.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."


def read_pickles(files: CheckpointFiles) -> dict[str, Tensor]:
    """All tensors of a checkpoint's pickles, as they name them.

    Raises:
        CheckpointNotFoundError: if it has none.
        CheckpointError: if a file is no pickle of tensors by name, or an index and its
            files disagree.
    """
    found = files.first(*PICKLES)
    if found is None:
        raise no_safetensors(files)
    if found.name == PICKLES[0]:
        return read_pickle(found)
    shard_of = read_index(found)
    tensors: dict[str, Tensor] = {}
    places: list[tuple[str, Path]] = []
    for shard in steps(sorted(set(shard_of.values())), "reading"):
        path = find_shard(found, shard, files)
        part = read_pickle(path)
        places += [(name, path) for name in part]
        tensors |= part
    check_index(found, shard_of, places)
    return tensors


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, by name; in torch's newer format they are mapped.

    Raises:
        CheckpointError: if it holds, or may hold, anything but tensors by name, or
            this torch cannot be trusted with it.
    """
    if torch.__version__ < _SAFE:
        raise CheckpointError(
            f"{path} is not read: before torch 2.10 a crafted pickle could corrupt "
            f"memory (CVE-2026-24747), and this is torch {torch.__version__}; upgrade "
            "torch, or use safetensors"
        )
    is_zip = _check_format(path)
    try:
        with reading_from(path):
            content = _load(path, mmap=is_zip)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # Whatever goes wrong in a file of unknown origin, the answer is the same. What
        # torch says after its first sentence is how to run the file.
        reason = first_line(error).partition(". ")[0]
        raise CheckpointError(
            f"{path} is not read: torch finds more in it than tensors, or it is "
            f"damaged ({reason}). It may hold a program, so it is not "
            "opened in any other way; ask its author for safetensors"
        ) from None
    return _tensors(path, content)


def _load(path: Path, *, mmap: bool) -> object:
    """What torch finds in a file; where it cannot be mapped, it is read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except MemoryError:
        raise ValueError("it asks for more memory than there is") from None
    except RuntimeError as error:
        asked = re.search(r"you tried to allocate (\d+) bytes", str(error))
        if asked and int(asked[1]) > path.stat().st_size:
            raise ValueError("it asks for more memory than it can fill") from None
        if not mmap or errno_of(error) in (None, *EXHAUSTED):
            raise
    return _load(path, mmap=False)


def _check_format(path: Path) -> bool:
    """Whether the file is the newer of the two formats; another is refused."""
    with reading_from(path):
        with path.open("rb") as stream:
            start = stream.read(len(_LEGACY))
        is_tar = tarfile.is_tarfile(path)
    if start.startswith(_ZIP):
        try:
            with reading_from(path), zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, ValueError, OSError) as error:
            # A place before the beginning of the file is an invalid argument.
            if errno_of(error) not in (None, errno.EINVAL):
                raise
            raise CheckpointError(
                f"{path} is damaged ({error}); fetch it again"
            ) from None
        # torch.save stores; what is compressed could grow to any size.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise CheckpointError(
                f"{path} is compressed, as torch.save never does; it is not read"
            )
        return True
    # A tar can be given the magic number as the name of its first file.
    if start != _LEGACY or is_tar:
        raise CheckpointError(
            f"{path} ({path.stat().st_size:,} bytes) is not a file that torch.save "
            "writes; it may be truncated, or only stand for the real file (then run "
            "`git lfs pull`)"
        )
    return False


def _tensors(path: Path, content: object) -> dict[str, Tensor]:
    """Check that a file holds tensors by name, and that they are as large as it is."""
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, expected tensors by name"
        )
    tensors: dict[str, Tensor] = {}
    total = 0
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{path} holds a {type(tensor).__name__} under {quote(name)}, expected "
                "tensors by name: the model's state_dict() and nothing around it"
            )
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise CheckpointError(
                f"{path}: {quote(name)} is a sparse, quantised or empty tensor, "
                "expected plain numbers"
            )
        total += math.prod(tensor.shape) * tensor.element_size()
        tensors[name] = tensor.detach()
    # A few bytes can be declared to be a matrix of any size (with strides of 0). Twice:
    # tied weights are in the file once.
    if total > 2 * path.stat().st_size:
        raise CheckpointError(
            f"{path} has {path.stat().st_size:,} bytes, and its tensors would take "
            f"{total:,}; it is not read"
        )
    return tensors
