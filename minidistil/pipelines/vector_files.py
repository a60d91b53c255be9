"""Vectors in a file: numpy's ``.npy``, or ``.safetensors``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from minidistil.checkpoint.tensor_file import write_tensors
from minidistil.files import replacing

VECTOR_FILES = (".npy", ".safetensors")


def check_vector_file(path: Path) -> None:
    """Raise ValueError unless the name ends in one of `VECTOR_FILES`."""
    if path.suffix not in VECTOR_FILES:
        raise ValueError(f"'{path}' ends in neither of {', '.join(VECTOR_FILES)}")


def save_vectors(vectors: Tensor, path: Path) -> None:
    """Write vectors (N, D); a reader finds the old file or the new one, whole.

    In a ``.safetensors`` file they are the tensor ``embeddings``.

    Raises:
        ValueError: for a name that ends otherwise.
    """
    check_vector_file(path)
    with replacing(path) as temporary:
        if path.suffix == ".safetensors":
            write_tensors(temporary, {"embeddings": vectors}, {})
            return
        import numpy as np

        with temporary.open("wb") as file:  # to a path, numpy would add its own ending
            np.save(file, vectors.contiguous().numpy())


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
    named = {str(place): each for place, each in enumerate(features)}
    with replacing(path) as temporary:
        write_tensors(temporary, named, {})
