"""Self-attention over sequences of different lengths that lie end to end, on devices.

All ways to compute it have one signature, `Attention`. Those of torch that are fast are
private operators (one is public from torch 2.10): each is tried on a small problem
against `padded`, which is plain torch, and used only where it is right. What comes
first is never torch's own choice, `scaled_dot_product_attention`: on newer GPUs that is
cuDNN, which takes 20 to 440 milliseconds for every shape that it has not met.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

HALVES = (torch.float16, torch.bfloat16)
# How far the trial's results may be off. They are means of numbers from -1 to 1.
TOLERANCES = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 2e-2}
# `padded` rounds lengths up to a multiple: some devices compile for every shape.
STEP = 16


class Attention(Protocol):
    """Mixes values within each sequence."""

    def __call__(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        q_ends: Tensor,
        k_ends: Tensor,
        longest_q: int,
        longest_k: int,
    ) -> Tensor:
        """Return the mixed values of each query, (R, H, K).

        Args:
            q: The queries, (R, H, K), divided by √K already.
            k: The keys, (N, H, K).
            v: The values, (N, H, K).
            q_ends: The row after each sequence's last query, (S + 1,) int32, with a 0
                before them. A sequence may have no query.
            k_ends: The same of keys and values.
            longest_q: At least the most queries of a sequence.
            longest_k: At least the most keys of a sequence.
        """


# Plain torch ──────────────────────────────────────────────────────────────────────────


def padded(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_ends: Tensor,
    k_ends: Tensor,
    longest_q: int,
    longest_k: int,
) -> Tensor:
    """Attention with batched products, on any device: each sequence filled up.

    It reads nothing back from the device. It needs memory for sequences times the
    longest of them: `minidistil.engine.gpu.packing` counts such batches by that.
    """
    queries, of_queries, _ = _rows(q_ends, longest_q, len(q))
    keys, _, there = _rows(k_ends, longest_k, len(k))
    weights = _heads_first(q[queries]) @ _heads_first(k[keys]).mT  # (S, H, Q, T)
    weights = weights.masked_fill(~there[:, None, None], -math.inf)
    wide = torch.promote_types(v.dtype, torch.float32)
    weights = weights.softmax(dim=-1, dtype=wide).to(v.dtype)
    mixed = (weights @ _heads_first(v[keys])).transpose(1, 2)  # (S, Q, H, K)
    # What fills up goes to a row of its own, which is cut off.
    result = q.new_empty(len(q) + 1, *q.shape[1:])
    result[of_queries] = mixed
    return result[:-1]


def _rows(ends: Tensor, longest: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
    """The row of each place in each sequence, (S, T): to read, and to write.

    Where a sequence has no such place, something is read, and row ``rows`` is written.
    The last of the three says where there is one.
    """
    places = torch.arange(longest + -longest % STEP, device=ends.device)
    found = ends[:-1, None] + places
    there = found < ends[1:, None]
    return found.clamp(max=rows - 1), found.where(there, rows), there


def _heads_first(x: Tensor) -> Tensor:
    """(S, T, H, K) -> (S, H, T, K)."""
    return x.transpose(1, 2)


# torch's operators for CUDA and ROCm ──────────────────────────────────────────────────


def flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_ends: Tensor,
    k_ends: Tensor,
    longest_q: int,
    longest_k: int,
) -> Tensor:
    """Attention in float16 or bfloat16."""
    operator: Any = torch.ops.aten._flash_attention_forward
    # Without dropout, causal mask and debug mask.
    result: Tensor = operator(
        *(q, k, v, q_ends, k_ends, longest_q, longest_k, 0.0, False, False), scale=1.0
    )[0]
    return result


def public_flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_ends: Tensor,
    k_ends: Tensor,
    longest_q: int,
    longest_k: int,
) -> Tensor:
    """The same by its public name, which costs each call some microseconds more."""
    from torch.nn.attention.varlen import varlen_attn

    function: Any = varlen_attn  # its arguments differ between releases
    result: Tensor = function(q, k, v, q_ends, k_ends, longest_q, longest_k, scale=1.0)
    return result


def efficient(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_ends: Tensor,
    k_ends: Tensor,
    longest_q: int,
    longest_k: int,
) -> Tensor:
    """Attention in float32, and in half types on older GPUs."""
    operator: Any = torch.ops.aten._efficient_attention_forward
    # Without bias; with neither dropout, nor mask, nor what a gradient would need.
    result: Tensor = operator(
        *(q[None], k[None], v[None], None, q_ends, k_ends, longest_q, longest_k),
        *(0.0, 0, False),
        scale=1.0,
    )[0]
    return result[0]


# The choice ───────────────────────────────────────────────────────────────────────────


def candidates(device: torch.device, dtype: torch.dtype) -> list[Attention]:
    """What may be there, the fastest first, and `padded` at the end."""
    if device.type != "cuda":  # which is what ROCm is called, too
        return [padded]
    halves: list[Attention] = [flash, public_flash] if dtype in HALVES else []
    return [*halves, efficient, padded]


@functools.cache
def best_attention(
    device: torch.device, dtype: torch.dtype, heads: int, size: int
) -> Attention:
    """The fastest attention that is right, for H heads of K numbers each."""
    *fast, plain = candidates(device, dtype)
    for attention in fast:
        if _works(lambda: is_right(attention, device, dtype, heads, size)):  # noqa: B023
            return attention
    return plain


def is_right(
    attention: Attention,
    device: torch.device,
    dtype: torch.dtype,
    heads: int,
    size: int,
) -> bool:
    """Whether an attention gives what plain torch gives, in all forms that are used."""
    # Of one token, of several blocks, and at the end none at all.
    lengths = [3, 1, 17, 64, 130, 5, 0, 0]
    some = [1, 0, 2, 1, 9, 20, 0, 0]
    k_ends, q_ends = _ends(lengths, device), _ends(some, device)
    total = 3 * sum(lengths) * heads * size
    wave = torch.arange(total, dtype=torch.float32, device=device).mul_(0.7).sin_()
    # As they are in a block: parts of one product's result.
    wave = wave.view(-1, 3, heads, size)
    wave[:, 0] *= size**-0.5
    q, k, v = wave.to(dtype).unbind(1)
    few = q[: sum(some)].contiguous()
    return all(
        _agree(attention, dtype, *arguments)
        for arguments in (
            (q, k, v, k_ends, k_ends, 130, 130),
            (few, k, v, q_ends, k_ends, 20, 130),
            (few, k, v, q_ends, k_ends, 520, 520),
        )
    )


def _agree(attention: Attention, dtype: torch.dtype, *arguments: Any) -> bool:
    # In float64 on the CPU, so that no setting of the process rounds the reference.
    q, k, v, q_ends, k_ends, *longest = arguments
    q, k, v = (x.cpu().double() for x in (q, k, v))
    expected = padded(q, k, v, q_ends.cpu(), k_ends.cpu(), *longest).float()
    found = attention(*arguments).float().cpu()
    return found.shape == expected.shape and torch.allclose(
        found, expected, atol=TOLERANCES[dtype], rtol=0
    )


def _ends(lengths: list[int], device: torch.device) -> Tensor:
    ends = torch.tensor([0, *lengths], device="cpu").cumsum(0, dtype=torch.int32)
    return ends.to(device)


def _works(trial: Callable[[], bool]) -> bool:
    """Whether a trial passes; what is missing, or refused, is one of these errors."""
    try:
        return trial()
    except (AttributeError, ImportError, RuntimeError, TypeError, ValueError):
        return False
