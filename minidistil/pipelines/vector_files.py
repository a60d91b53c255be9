"""Vectors in a file: numpy's ``.npy``, or ``.safetensors``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from minidistil.files import replacing


def _write_npy(vectors: Tensor, path: Path) -> None:
    import numpy as np

    with path.open("wb") as file:  # to a path, numpy would add its own ending
        np.save(file, vectors.numpy())


def _write_safetensors(vectors: Tensor, path: Path) -> None:
    save_file({"embeddings": vectors}, path)


WRITERS: dict[str, Callable[[Tensor, Path], None]] = {
    ".npy": _write_npy,
    ".safetensors": _write_safetensors,
}


def check_vector_file(path: Path) -> None:
    """Raise ValueError unless the name ends in one of `WRITERS`."""
    if path.suffix not in WRITERS:
        raise ValueError(f"'{path}' ends in neither of {', '.join(WRITERS)}")


def save_vectors(vectors: Tensor, path: Path) -> None:
    """Write vectors (N, D); a reader finds the old file or the new one, whole.

    In a ``.safetensors`` file they are the tensor ``embeddings``.

    Raises:
        ValueError: for a name that ends otherwise.
    """
    check_vector_file(path)
    with replacing(path) as temporary:
        WRITERS[path.suffix](vectors.contiguous(), temporary)


def check_features_file(path: Path) -> None:
    """Raise ValueError unless the name ends in ``.safetensors``."""
    if path.suffix != ".safetensors":
        raise ValueError(
            f"'{path}' does not end in .safetensors, which can hold a tensor for each "
            f"text"
        )


def save_features(features: Sequence[Tensor], path: Path) -> None:
    """Write a tensor (T, D) for each text, named 0, 1, …, as `save_vectors` does.

    Raises:
        ValueError: for a name that does not end in ``.safetensors``.
    """
    check_features_file(path)
    named = {str(place): each.contiguous() for place, each in enumerate(features)}
    with replacing(path) as temporary:
        save_file(named, temporary)
