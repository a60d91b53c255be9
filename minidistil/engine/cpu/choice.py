"""What this processor runs faster, measured once in a process, in milliseconds.

A table of processor names would be wrong for the next one. The work that is timed has
the shapes of a base-sized model.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from minidistil.engine.operators.products import (
    FLOAT32,
    OneDnnLinear,
    has_onednn,
    without_autocast,
)


def _seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """The least time of some rounds: what disturbs a round only makes it longer."""
    work()
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


@functools.cache
def float32_kernels() -> str:
    """Whether packed oneDNN or `F.linear` (MKL) multiplies faster: "onednn" or "torch".

    On some processors the two are nearly alike, on others far apart.
    """
    if not has_onednn(torch.float32):
        return "torch"
    x, weight, bias = (torch.ones(n, 768, **FLOAT32) for n in (128, 768, 1))
    packed = OneDnnLinear(weight, bias[0], "gelu")
    with without_autocast():
        plain = _seconds(lambda: F.linear(x, weight, bias[0]))
        return "onednn" if _seconds(lambda: packed(x)) < plain else "torch"


@functools.cache
def bfloat16_is_fast() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32."""
    if not has_onednn(torch.bfloat16):
        return False
    q = torch.ones(96, 32, 64, **FLOAT32)
    half = q.bfloat16()
    with without_autocast():
        return _seconds(lambda: half @ half.mT) < _seconds(lambda: q @ q.mT)
