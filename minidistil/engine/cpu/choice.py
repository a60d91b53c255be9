"""What this processor runs faster, measured once in a process, in milliseconds.

A table of processor names would be wrong for the next one. The work that is timed has
the shapes of a base-sized model. What is chosen decides the last bits of a result, so
that two processes have to choose alike, on a busy machine too: a run that was stopped
goes on to the same file. Rounds are therefore timed in turns, in one thread, which
waits for no other, and what is nearly alike is not left to chance.
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

ROUNDS = 8  # of each
CLEARLY = 0.9  # of the other's time


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _is_clearly_faster(work: Callable[[], object], other: Callable[[], object]) -> bool:
    """Whether some work takes less time than other work, by a tenth at least.

    The least time counts: what disturbs a round only makes it longer.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        work()
        other()
        turns = [(_seconds(work), _seconds(other)) for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    least, of_other = (min(turn[place] for turn in turns) for place in (0, 1))
    return least < CLEARLY * of_other


@functools.cache
def float32_kernels() -> str:
    """Whether packed oneDNN or `F.linear` (MKL) is to multiply: "onednn" or "torch".

    On some processors the two are nearly alike, on others far apart.
    """
    if not has_onednn(torch.float32):
        return "torch"
    x, weight, bias = (torch.ones(n, 768, **FLOAT32) for n in (128, 768, 1))
    packed = OneDnnLinear(weight, bias[0], "gelu")

    def plain() -> object:
        return F.linear(x, weight, bias[0])

    with without_autocast():
        return "torch" if _is_clearly_faster(plain, lambda: packed(x)) else "onednn"


@functools.cache
def bfloat16_is_fast() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32."""
    if not has_onednn(torch.bfloat16):
        return False
    q = torch.ones(96, 32, 64, **FLOAT32)
    half = q.bfloat16()
    with without_autocast():
        return _is_clearly_faster(lambda: half @ half.mT, lambda: q @ q.mT)
