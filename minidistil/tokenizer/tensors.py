"""Lists of numbers as tensors of torch or arrays of numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

TENSORS = {None: None, "pt": "pt", "np": "np"}


def to_tensors(data: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Every value as a tensor of torch ("pt") or an array of numpy ("np").

    Raises:
        ValueError: The rows of a value are not of one length, or hold no numbers.
        ImportError: numpy was asked for and is not installed.
    """
    convert = _torch_tensor if kind == "pt" else _numpy_array
    tensors = {}
    for name, value in data.items():
        if hasattr(value, "shape"):  # it is one already
            tensors[name] = value
            continue
        lengths = {len(row) for row in value if isinstance(row, Sequence)}
        if len(lengths) > 1:
            raise ValueError(
                f"{name} has rows of {min(lengths)} to {max(lengths)} tokens, expected "
                "one length for a tensor; pass padding=True (and truncation=True to "
                "shorten what is too long)"
            )
        try:
            tensors[name] = convert(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} cannot become a tensor: {error}") from error
    return tensors


def _torch_tensor(value: Any) -> Any:
    import torch

    tensor = torch.tensor(value)
    # Of no numbers, torch knows neither the type nor the second axis.
    return tensor if tensor.numel() else tensor.reshape(len(value), 0).long()


def _numpy_array(value: Any) -> Any:
    try:
        import numpy as np
    except ImportError as error:
        raise ImportError(
            "return_tensors='np' needs numpy, which is not installed: pip install "
            "numpy, or use return_tensors='pt'"
        ) from error
    array = np.array(value)
    return array if array.size else array.reshape(len(value), 0).astype(np.int64)
