"""How fast this machine multiplies matrices, and so how fast an encoder could be.

The four products of a layer, with as many rows as a batch has tokens, go through every
operator of torch that computes them; the fastest counts. The operators of oneDNN are
private to torch: where one is missing, or refuses, the others are taken.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from workloads import BATCH_TOKENS, Workload

DIM, HIDDEN, LAYERS, LABELS = 768, 3072, 6, 2

# (columns read, columns made): q-k-v in one, the attention's output, the FFN's two.
PRODUCTS = [(DIM, 3 * DIM), (DIM, DIM), (DIM, HIDDEN), (HIDDEN, DIM)]

REPEATS = 15

Product = Callable[[], Tensor]


def flops(work: Workload) -> int:
    """Count the operations of the products that a classifier cannot do without.

    All layers but the last read and write every token. Of the last only [CLS] is read
    by the head, so that it needs every token's key and value, and one query, output and
    FFN for each text. Attention itself is not counted: a ceiling that is
    too high makes no library look better than it is.
    """
    layer = sum(read * made for read, made in PRODUCTS)
    keys_and_values = DIM * 2 * DIM
    head = DIM * DIM + DIM * LABELS
    every_token = (LAYERS - 1) * layer + keys_and_values
    every_text = layer - keys_and_values + head
    return 2 * (work.tokens * every_token + len(work.texts) * every_text)


def measure() -> dict[str, float]:
    """Measure the operations per second of a layer's products in each precision."""
    operations = 2 * BATCH_TOKENS * sum(read * made for read, made in PRODUCTS)
    makers = {"float32": _floating, "bfloat16": _floating, "int8": _integer}
    speeds = {}
    with torch.inference_mode():
        for precision, make in makers.items():
            seconds = [
                min(map(_median_time, make(precision, read, made)), default=0.0)
                for read, made in PRODUCTS
            ]
            if all(seconds):
                speeds[precision] = operations / sum(seconds)
    return speeds


def _floating(precision: str, read: int, made: int) -> list[Product]:
    dtype = getattr(torch, precision)
    rows = torch.randn(BATCH_TOKENS, read).to(dtype)
    weight, bias = torch.randn(made, read).to(dtype), torch.randn(made).to(dtype)

    def plain() -> Tensor:
        return F.linear(rows, weight, bias)

    def onednn() -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")

    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, BATCH_TOKENS)
    except (AttributeError, RuntimeError):
        return _usable(plain)
    return _usable(plain, onednn)


def _integer(_: str, read: int, made: int) -> list[Product]:
    # With int8 rows the operator falls to a reference kernel that takes minutes.
    rows = torch.randint(0, 256, (BATCH_TOKENS, read), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (made, read), dtype=torch.int8)
    scales, zeros = torch.full((made,), 0.01), torch.zeros(made, dtype=torch.int32)
    bias = torch.randn(made)
    try:
        packed = torch.ops.onednn.qlinear_prepack(weight, [BATCH_TOKENS, read])
    except (AttributeError, RuntimeError):
        return []

    def onednn(scale: float, zero: int, dtype: torch.dtype) -> Tensor:
        return torch.ops.onednn.qlinear_pointwise(
            *(rows, 0.02, 128, packed, scales, zeros, bias),
            *(scale, zero, dtype, "none", [], ""),
        )

    return _usable(
        lambda: onednn(1.0, 0, torch.float32),
        lambda: onednn(1.0, 0, torch.bfloat16),
        lambda: onednn(0.05, 128, torch.uint8),
    )


def _usable(*products: Product) -> list[Product]:
    usable = []
    for product in products:
        try:
            product()
        except (AttributeError, RuntimeError):
            continue
        usable.append(product)
    return usable


def _median_time(product: Product) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        product()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
