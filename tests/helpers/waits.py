"""Find where a program would wait for a GPU, on a machine that has none."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# What gives a number to Python, or has a shape that depends on the numbers.
WAITING = (
    "_local_scalar_dense",
    "_unique",
    "_unique2",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "nonzero_static",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
)


class WaitError(AssertionError):
    """Something looks at the numbers of a tensor."""


class NoWaits(TorchDispatchMode):
    """Within the block, an operation that a GPU would be waited for is an error."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = func.name().partition("::")[2].partition(".")[0]
        # A mask as an index is turned into places first.
        masks = [
            index
            for each in args
            if name in ("index", "index_put", "index_put_", "_index_put_impl_")
            and isinstance(each, (list, tuple))
            for index in each
            if index is not None and index.dtype in (torch.bool, torch.uint8)
        ]
        if name in WAITING or masks:
            raise WaitError(f"{func.name()} waits for the device")
        return func(*args, **(kwargs or {}))
