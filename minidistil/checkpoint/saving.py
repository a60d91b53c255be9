"""Write a checkpoint: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from minidistil.checkpoint.tensors import SINGLE_FILE, CheckpointError, all_finite
from minidistil.files import replacing_all
from minidistil.messages import shorten


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
        tensors: By their names in the file; two that share memory are each written in
            full.
        config: The text of ``config.json``.
        beside: More files, by name. While older ones are replaced by others, there is
            no ``config.json``: if the process is killed then, the folder does not load.

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
        path: content
        for name, content in (beside or {}).items()
        if not (path := folder / name).is_file() or path.read_bytes() != content
    }
    config_path = folder / "config.json"
    with replacing_all(
        *(*changed, folder / SINGLE_FILE, config_path),
        # Old weights with a new vocabulary would load, and give wrong results.
        remove_first=config_path if changed else None,
    ) as written:
        *others, weights_file, config_file = written
        for other, content in zip(others, changed.values(), strict=True):
            other.write_bytes(content)
        config_file.write_text(config, encoding="utf-8")
        try:
            # Other readers tell the framework from the metadata.
            save_file(_unshared(tensors), weights_file, metadata={"format": "pt"})
        except SafetensorError as error:
            raise OSError(
                f"'{folder}' cannot be written, and is as it was: {shorten(error)}"
            ) from None


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give each tensor memory of its own, which the file format needs."""
    unshared: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.detach().contiguous()
        memory = whole.untyped_storage().data_ptr()
        unshared[name] = whole.clone() if memory in seen else whole
        seen.add(memory)
    return unshared
