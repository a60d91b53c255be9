"""Write tensors into a file of the safetensors format.

safetensors' own `save_file` first writes to a name of its own beside the file, which
nobody removes when the process is killed: here files are whole or not there by another
way (`minidistil.files.replacing`).
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

# The names of the format, in the order in which such tensors stand in a file: the
# largest numbers first, so that each begins at a multiple of its size.
NAMES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_LARGEST_FIRST = [*NAMES]


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Write a file, byte for byte as safetensors writes it.

    Args:
        path: Where to; what is there is written over.
        tensors: By name. Those that share memory are each written in full.
        metadata: What the header says beside.

    Raises:
        TypeError: for a type of numbers that the format does not have.
        ValueError: for a tensor without numbers, as on the device "meta".
        OSError: if the system refuses.
    """
    for name, tensor in tensors.items():
        if tensor.dtype not in NAMES:
            raise TypeError(
                f"{name!r} is {tensor.dtype}, expected one of "
                f"{', '.join(map(str, NAMES))}"
            )
    order = sorted(
        tensors, key=lambda name: (_LARGEST_FIRST.index(tensors[name].dtype), name)
    )
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        start, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": NAMES[tensors[name].dtype],
            "shape": [*tensors[name].shape],
            "data_offsets": [start, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for name in order:
            file.write(bytes_of(tensors[name]))


def bytes_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in the order of its numbers, without a copy if it can be.

    Raises:
        ValueError: for a tensor without numbers, as on the device "meta".
    """
    if tensor.is_meta:
        raise ValueError(f"got a tensor on {tensor.device}, which has no numbers")
    whole = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    if not whole.nbytes:
        return memoryview(b"")
    array = (ctypes.c_char * whole.nbytes).from_address(whole.data_ptr())
    array.tensor = whole  # type: ignore[attr-defined]  # keeps the memory
    return memoryview(array)
