"""How many tokens go through a device together."""

from __future__ import annotations

import torch

# Enough work for a large GPU; more tokens would take more memory, and no less time.
TOKENS = 65_536
# Where attention keeps its weights in memory.
TOKENS_FILLED_UP = 8_192
LEAST = 1_024
# The part of the memory that is free which the largest batch may take.
SHARE = 0.25


def suitable_budget(
    device: torch.device, bytes_of_a_token: int, filled_up: bool
) -> int:
    """The tokens that suit a device, whose memory they must fit in."""
    if filled_up:
        return TOKENS_FILLED_UP
    if device.type != "cuda":
        return TOKENS
    free, _ = torch.cuda.mem_get_info(device)
    # What torch holds, and lends again.
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return max(LEAST, min(TOKENS, int(SHARE * free) // bytes_of_a_token))
