"""Tensors in memory, such as a ``state_dict()``, read as a checkpoint's are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from minidistil.checkpoint.stored import Entry
from minidistil.checkpoint.tensors import DTYPES, Contents, Weights
from minidistil.messages import quote

_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class TensorsInMemory(Weights):
    """Tensors by name, checked and matched like those of a file."""

    def __init__(self, source: str, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            if not isinstance(name, str) or not isinstance(tensor, Tensor):
                raise TypeError(
                    f"{source} holds {quote(name)}: {type(tensor).__name__}, expected "
                    "tensors by their names, such as model.state_dict()"
                )
        entries = [
            Entry(
                Path(source),
                name,
                _NAMES.get(each.dtype, str(each.dtype).removeprefix("torch.")),
                tuple(each.shape),
                each.nbytes,
            )
            for name, each in tensors.items()
        ]
        Contents.__init__(self, source, entries)
        self._tensors = tensors

    def raw(self, name: str) -> Tensor:
        """The tensor itself, of whatever type."""
        return self._tensors[self.entries[name].name].detach()
