"""How fast this machine multiplies matrices, and so how fast an encoder could be.

The four products of a layer, with as many rows as a batch has tokens, go through every
operator of torch that computes them; the fastest counts. The operators of oneDNN are
private to torch: where one is missing, or refuses, the others are taken. On a GPU it is
torch's own product, which is a library's of the card's maker.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from contestant import Place
from timing import time_once
from torch import Tensor
from workloads import Workload

if TYPE_CHECKING:
    from minidistil import DistilBertConfig

REPEATS = 15

# Enough rows for a product to run at full speed.
ROWS_ON_CPU, ROWS_ON_GPU = 1024, 65_536

Product = Callable[[], Tensor]


def products(config: DistilBertConfig) -> list[tuple[int, int]]:
    """Return the columns read and made by a layer's products.

    They are q-k-v in one, the attention's output, and the FFN's two.
    """
    dim, hidden = config.dim, config.hidden_dim
    return [(dim, 3 * dim), (dim, dim), (dim, hidden), (hidden, dim)]


def flops(config: DistilBertConfig, work: Workload) -> int:
    """Count the operations of the products that a classifier cannot do without.

    All layers but the last read and write every token. Of the last only [CLS] is read
    by the head, so that it needs every token's key and value, and one query, output and
    FFN for each text. Attention itself is not counted: a ceiling that is
    too high makes no library look better than it is.
    """
    layer = sum(read * made for read, made in products(config))
    keys_and_values = config.dim * 2 * config.dim
    head = config.dim * config.dim + config.dim * config.num_labels
    every_token = (config.n_layers - 1) * layer + keys_and_values
    every_text = layer - keys_and_values + head
    return 2 * (work.tokens * every_token + len(work.texts) * every_text)


def measure(config: DistilBertConfig, place: Place) -> dict[str, float]:
    """Measure the operations per second of a layer's products in each precision."""
    shapes = products(config)
    rows = ROWS_ON_GPU if place.is_gpu else ROWS_ON_CPU
    operations = 2 * rows * sum(read * made for read, made in shapes)
    makers: dict[str, Callable[..., list[Product]]]
    if place.is_gpu:
        make = partial(_on_gpu, place.device)
        makers = dict.fromkeys(("float32", "bfloat16", "float16"), make)
    else:
        makers = {"float32": _floating, "bfloat16": _floating, "int8": _integer}
    speeds = {}
    with torch.inference_mode():
        for precision, make in makers.items():
            seconds = [
                min(
                    (
                        _median_time(each, place)
                        for each in make(precision, rows, *shape)
                    ),
                    default=0.0,
                )
                for shape in shapes
            ]
            if all(seconds):
                speeds[precision] = operations / sum(seconds)
    return speeds


def _on_gpu(
    device: str, precision: str, count: int, read: int, made: int
) -> list[Product]:
    kind = {"device": device, "dtype": getattr(torch, precision)}
    rows = torch.randn(count, read, **kind)
    weight, bias = torch.randn(made, read, **kind), torch.randn(made, **kind)
    return _usable(lambda: F.linear(rows, weight, bias))


def _floating(precision: str, count: int, read: int, made: int) -> list[Product]:
    dtype = getattr(torch, precision)
    rows = torch.randn(count, read).to(dtype)
    weight, bias = torch.randn(made, read).to(dtype), torch.randn(made).to(dtype)

    def plain() -> Tensor:
        return F.linear(rows, weight, bias)

    def onednn() -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")

    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, count)
    except (AttributeError, RuntimeError):
        return _usable(plain)
    return _usable(plain, onednn)


def _integer(_: str, count: int, read: int, made: int) -> list[Product]:
    # With int8 rows the operator falls to a reference kernel that takes minutes.
    rows = torch.randint(0, 256, (count, read), dtype=torch.uint8)
    weight = torch.randint(-127, 128, (made, read), dtype=torch.int8)
    scales, zeros = torch.full((made,), 0.01), torch.zeros(made, dtype=torch.int32)
    bias = torch.randn(made)
    try:
        packed = torch.ops.onednn.qlinear_prepack(weight, [count, read])
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


def _median_time(product: Product, place: Place) -> float:
    return statistics.median(time_once(product, place.wait) for _ in range(REPEATS))
