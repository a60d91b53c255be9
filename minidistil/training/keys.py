"""Randomness as a function: what is drawn depends on the seed and the place, alone.

No generator's state is carried from step to step, so that none has to be saved, and a
run that goes on, or goes on with another number of processes, draws the same numbers.
"""

from __future__ import annotations

from hashlib import blake2b

import torch


def key(seed: int, purpose: str, *place: int) -> int:
    """A number of 63 bits for one purpose at one place, such as a step and a pass.

    Two purposes never share one: dropout must not be decided by the numbers that have
    chosen the masks.
    """
    text = "/".join([str(seed), purpose, *map(str, place)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *place: int) -> torch.Generator:
    """A generator of the CPU's that starts from `key`."""
    return torch.Generator().manual_seed(key(seed, purpose, *place))
