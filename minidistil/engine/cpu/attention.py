"""Self-attention over sequences that lie end to end, without a mask.

Sequences of one length, side by side, are a tensor of their own (`Group`). No token is
there to fill a row, so none has to be hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Group:
    """Neighbours of one length: ``count`` sequences of ``tokens`` tokens each."""

    count: int
    tokens: int
    fills: bool = False  # padding at the end of the batch, which nobody reads

    @property
    def rows(self) -> int:
        """The tokens of all of them."""
        return self.count * self.tokens


# (queries (B, H, Q, K), keys and values (B, H, T, K)) -> mixed values (B, H, Q, K).
# The queries are divided by √K already (`minidistil.engine.cpu.encoder`).
Mix = Callable[[Tensor, Tensor, Tensor], Tensor]


# The tokens that batched products in bfloat16 take at once.
PIECE = 256
# The lengths for which they were no faster than the fused operator.
ALIKE = range(33, 129)


def mix_fused(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """One operator, which never holds all the weights at once."""
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


def mix_in_batches(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Batched products: few calls, each with much work; for short sequences."""
    batch, heads, queries, size = q.shape
    q, k, v = (x.reshape(batch * heads, -1, size) for x in (q, k, v))
    weights = torch.bmm(q, k.mT).softmax(dim=-1)
    return torch.bmm(weights, v).view(batch, heads, queries, size)


def pieces(group: Group, q: Tensor) -> Iterator[tuple[Group, Mix]]:
    """Divide a group, and choose the faster way for each piece.

    For few tokens, time goes by the number of calls. For many, the fused operator
    multiplies in small parts, which costs it more in bfloat16 than in float32. But for
    every shape of a product in bfloat16, oneDNN keeps a program in memory: so there is
    one shape for each length, and sequences that do not fill it are fused. Other
    devices than CPUs have better fused operators.
    """
    count = 0
    divided = q.dtype == torch.bfloat16 and group.tokens not in ALIKE
    if divided and not group.fills:
        full = max(1, PIECE // group.tokens)
        count = group.count // full
        for _ in range(count):
            yield Group(full, group.tokens), mix_in_batches
        count *= full
    if rest := group.count - count:
        few = group.rows <= 64 and group.tokens <= 32
        short = q.dtype == torch.float32 and group.tokens < 48 and not few
        mix = mix_in_batches if short else mix_fused
        yield Group(rest, group.tokens), mix


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    groups: Sequence[Group],
    heads: int,
    queries: int | None = None,
) -> Tensor:
    """Mix values within each sequence.

    Args:
        q: The queries, (rows, D), divided by √K.
        k: The keys of all tokens, (N, D).
        v: Their values, (N, D).
        groups: How the N rows of k and v are divided.
        heads: H.
        queries: How many of the rows of q each sequence has: as many as tokens if None.

    Returns:
        The mixed values of each query, (rows, D).
    """
    mixed = []
    first = start = 0
    for group, mix in (piece for each in groups for piece in pieces(each, q)):
        asking = group.tokens if queries is None else queries
        end, last = start + group.rows, first + group.count * asking
        q_part, k_part, v_part = (
            # (B, H, Q or T, K), without a copy
            x.view(group.count, -1, heads, x.shape[1] // heads).transpose(1, 2)
            for x in (q[first:last], k[start:end], v[start:end])
        )
        if asking < group.tokens:
            mix = mix_fused  # of a few queries, there is little to compute
        mixed.append(
            mix(q_part, k_part, v_part).transpose(1, 2).flatten(0, 1).flatten(1)
        )
        first, start = last, end
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed)
