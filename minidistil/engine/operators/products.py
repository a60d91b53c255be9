"""Matrix products, as fast as this processor has them.

A layer of the engine is one of the classes below. Its weights are packed once: put into
the order that a product reads them in. There are three ways to call it, because what
follows a product can be done while its result is still in the cache:

    linear(x)                x Wᵀ + b
    linear.activated(x)      f(x Wᵀ + b)         f: the model's activation
    linear.added(x, y)       x Wᵀ + b + y

What is packed is of this machine and of this process. A layer that is copied or pickled
goes as plain tensors, and is packed again where it arrives, by what is there.

The operators are torch's own, but private: `torch.compile` emits them for the CPU, and
no release promises that they stay. No other room names them. Each is tried before it
is used (`has_onednn`, `has_int8`); where it is missing, or wrong, plain torch does its
work.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.model import ACTIVATION

# The rows that packing prepares for. Packed for many, a product of a few rows is as
# fast as packed for a few; the other way round it is not.
ROWS = 1024

# GELU is never below its value at -0.7518; ReLU never below 0.
LEAST = {"gelu": -0.17, "relu": 0.0}
IN_PLACE: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": torch.ops.aten.gelu_,
    "relu": torch.relu_,
}

# Whatever the caller has made torch's default.
FLOAT32: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}

# In place of a scale of 0, which cannot be divided by.
TINY = 1e-30


class Linear(Protocol):
    """A matrix product with a bias, ready to be called; x is (rows, in)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""

    def activated(self, x: Tensor) -> Tensor:
        """Return f(x Wᵀ + b)."""

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x Wᵀ + b + y."""


class Pack(Protocol):
    """Makes a `Linear` of a weight and a bias."""

    def __call__(
        self, weight: Tensor, bias: Tensor, least: float | None = None
    ) -> Linear:
        """Pack W (out, in) and b (out,), both float32.

        ``least`` is the least number that x can hold; None if that is as far below 0
        as the greatest is above.
        """


class PlainLinear:
    """`F.linear`: MKL for float32 where torch is built with it, and any device."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str) -> None:
        self.weight, self.bias = weight, bias
        self.name, self.activation = activation, ACTIVATION[activation]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.weight, self.bias, self.name)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""
        return F.linear(x, self.weight, self.bias)

    def activated(self, x: Tensor) -> Tensor:
        """Return f(x Wᵀ + b)."""
        return self.activation(self(x))

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x Wᵀ + b + y."""
        return self(x).add_(y)


class PlainInt8Linear(PlainLinear):
    """Weights of 8 bits where their product is missing: smaller, but not faster."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str) -> None:
        self.take(*quantize_weight(weight, 127), bias, activation)

    def take(
        self, integers: Tensor, scales: Tensor, bias: Tensor, activation: str
    ) -> None:
        """Take a weight that is quantized already."""
        super().__init__(integers, bias, activation)
        self.scales = scales

    def __reduce__(self) -> tuple[Any, ...]:
        return plain_int8, (self.weight, self.scales, self.bias, self.name)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""
        return F.linear(x, self.weight * self.scales[:, None], self.bias)


class OneDnnLinear:
    """oneDNN's product of packed weights, float32 or bfloat16.

    The activation and the sum are computed on each block of the result in the cache.
    """

    def __init__(self, weight: Tensor, bias: Tensor, activation: str) -> None:
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        self.bias, self.activation = bias, activation
        # Looked up once: to find the overload takes time in each call.
        product = torch.ops.mkldnn._linear_pointwise
        self.product: Callable[..., Tensor] = product.default
        self.product_and_sum: Callable[..., Tensor] = product.binary

    def __reduce__(self) -> tuple[Any, ...]:
        return pack_floats, (_unpacked(self.weight), self.bias, self.activation)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""
        return self.product(x, self.weight, self.bias, "none", [], "")

    def activated(self, x: Tensor) -> Tensor:
        """Return f(x Wᵀ + b); "none" is GELU's exact form, not the one by tanh."""
        return self.product(x, self.weight, self.bias, self.activation, [], "none")

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x Wᵀ + b + y."""
        return self.product_and_sum(x, y, self.weight, self.bias, "add")


class HalfLinear:
    """`OneDnnLinear` in bfloat16, between layers that take and return float32."""

    def __init__(self, weight: Tensor, bias: Tensor, activation: str) -> None:
        self.linear = OneDnnLinear(weight.bfloat16(), bias.bfloat16(), activation)

    def __reduce__(self) -> tuple[Any, ...]:
        _, arguments = self.linear.__reduce__()
        return pack_half, arguments

    def __call__(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""
        return self.linear(x.bfloat16()).float()

    def activated(self, x: Tensor) -> Tensor:
        """Return f(x Wᵀ + b)."""
        return self.linear.activated(x.bfloat16()).float()

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x Wᵀ + b + y."""
        return self.linear(x.bfloat16()) + y


class Int8Linear:
    """oneDNN's product of 8-bit integers, with sums of 32 bits.

    Each output channel of the weights has a scale of its own, and so has each row of
    the input. One scale for all rows would be less work; but a few tokens, such as
    [SEP], hold numbers far larger than all others. With their scale, the others would
    be rounded so coarsely that labels change. Besides, in this way no row depends on
    its neighbours.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        activation: str,
        dtype: torch.dtype,
        least: float | None,
    ) -> None:
        """Quantize and pack; calls return ``dtype``, sums and activations float32."""
        quantized = quantize_weight(weight, largest_integer())
        self.take(*quantized, bias, activation, dtype, least)

    def take(
        self,
        integers: Tensor,
        scales: Tensor,
        bias: Tensor,
        activation: str,
        dtype: torch.dtype,
        least: float | None,
    ) -> None:
        """Pack a weight that is quantized already."""
        self.scales = scales
        self.weight = torch.ops.onednn.qlinear_prepack(
            integers, [ROWS, integers.shape[1]]
        )
        self.zeros = torch.zeros(len(bias), dtype=torch.int32, device=bias.device)
        self.least, self.bias, self.dtype = least, bias, dtype
        self.arguments = bias, activation, dtype, least
        if least is not None:
            # x W = (x - least) W + least * (the sum of each channel of W)
            self.bias = bias + least * self.scales * integers.sum(dim=1)
        self.short_bias = self.bias.to(dtype)
        self.activation = IN_PLACE[activation]
        self.product = torch.ops.onednn.qlinear_pointwise.default

    def __reduce__(self) -> tuple[Any, ...]:
        # It is packed for products from the other side.
        integers = _unpacked(self.weight).t().contiguous()
        return pack_int8, (integers, self.scales, *self.arguments)

    def _multiply(self, x: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """A product, and the factor that is still missing in each of its rows."""
        if self.least is None:
            largest = x.abs().amax(dim=1, keepdim=True).clamp_(min=TINY)
            if dtype == torch.bfloat16:
                # The next larger one of that type, so that nothing is rounded later.
                largest = largest.mul_(1 + 2**-7).to(dtype)
            integers = x * (127 / largest.float())
            zero, step = 128, 1 / 127
        else:
            largest = x.amax(dim=1, keepdim=True).sub_(self.least).clamp_(min=TINY)
            steps = 255 / largest
            integers = torch.addcmul(steps * -self.least - 128, x, steps)
            zero, step = 0, 1 / 255
        # Only rounding to signed integers is fast; 128 more makes them unsigned.
        signed = integers.round_().to(torch.int8)
        product = self.product(
            *(signed.view(torch.uint8).bitwise_xor_(128), step, zero),
            *(self.weight, self.scales, self.zeros, None),
            *(1.0, 0, dtype, "none", [], ""),
        )
        return product, largest

    def __call__(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""
        product, scale = self._multiply(x, self.dtype)
        return torch.addcmul(self.short_bias, product, scale)

    def activated(self, x: Tensor) -> Tensor:
        """Return f(x Wᵀ + b), float32."""
        product, scale = self._multiply(x, torch.float32)
        return self.activation(torch.addcmul(self.bias, product, scale))

    def added(self, x: Tensor, y: Tensor) -> Tensor:
        """Return x Wᵀ + b + y, float32."""
        product, scale = self._multiply(x, torch.float32)
        return torch.addcmul(y, product, scale).add_(self.bias)


def quantize_weight(weight: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """Make 8-bit integers of W (out, in), and the scale (out,) of each row.

    A row's largest number becomes ``largest``, or minus it.
    """
    scales = weight.abs().amax(dim=1).clamp_(min=TINY) / largest
    return (weight / scales[:, None]).round_().to(torch.int8), scales


# Layers that arrive from elsewhere, packed by what is there ───────────────────────────


def pack_floats(weight: Tensor, bias: Tensor, activation: str) -> Linear:
    """Pack W (out, in) and b (out,), both float32 or bfloat16, if that can be done."""
    kind = OneDnnLinear if has_onednn(weight.dtype) else PlainLinear
    with without_autocast():
        return kind(weight, bias, activation)


def pack_half(weight: Tensor, bias: Tensor, activation: str) -> Linear:
    """A `HalfLinear`; its numbers in float32 where there is no product in bfloat16."""
    if not has_onednn(torch.bfloat16):
        return pack_floats(weight.float(), bias.float(), activation)
    with without_autocast():
        return HalfLinear(weight, bias, activation)


def pack_int8(
    integers: Tensor,
    scales: Tensor,
    bias: Tensor,
    activation: str,
    dtype: torch.dtype,
    least: float | None,
) -> Linear:
    """An `Int8Linear`, or what comes nearest to it."""
    if not has_int8():
        return plain_int8(integers, scales, bias, activation)
    with without_autocast():
        if integers.abs().max() > largest_integer():
            whole = integers * scales[:, None]
            integers, scales = quantize_weight(whole, largest_integer())
        if not has_onednn(dtype):
            dtype = torch.float32
        layer = Int8Linear.__new__(Int8Linear)
        layer.take(integers, scales, bias, activation, dtype, least)
        return layer


def plain_int8(
    integers: Tensor, scales: Tensor, bias: Tensor, activation: str
) -> PlainInt8Linear:
    """A `PlainInt8Linear` of a weight that is quantized already."""
    layer = PlainInt8Linear.__new__(PlainInt8Linear)
    layer.take(integers, scales, bias, activation)
    return layer


def _unpacked(weight: Tensor) -> Tensor:
    """A packed weight as a plain tensor: the same numbers."""
    with without_autocast():
        return weight.to_dense()


# Which operators this machine has ─────────────────────────────────────────────────────


@contextmanager
def without_autocast() -> Iterator[None]:
    """Inference, in the types that are written here: no autocast of the caller's."""
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        yield


def _works(trial: Callable[[], bool]) -> bool:
    """Whether a trial passes; an operator that is missing is an AttributeError."""
    try:
        with without_autocast():
            return bool(torch._C._has_mkldnn) and trial()
    except (AttributeError, RuntimeError, TypeError):
        return False


def _ramp(start: float, end: float, *shape: int) -> Tensor:
    return torch.linspace(start, end, math.prod(shape), **FLOAT32).view(shape)


def _small_layer() -> tuple[Tensor, Tensor, Tensor]:
    """An input (3, 32), a weight (16, 32) and a bias (16,), none of them random."""
    return _ramp(-1, 1, 3, 32), _ramp(1, -0.5, 16, 32).cos(), _ramp(0, 1, 16)


def _agree(linear: Linear, x: Tensor, plain: PlainLinear, tolerance: float) -> bool:
    """Whether the three ways to call a layer give what plain torch gives."""
    y = _ramp(2, 3, 3, 16)
    pairs = [
        (linear(x), plain(x.float())),
        (linear.activated(x), plain.activated(x.float())),
        (linear.added(x, y.to(x.dtype)), plain.added(x.float(), y)),
    ]
    return all(
        torch.allclose(found.float(), expected, atol=tolerance, rtol=0)
        for found, expected in pairs
    )


@functools.cache
def has_onednn(dtype: torch.dtype) -> bool:
    """Whether `OneDnnLinear` works on this machine, in float32 or bfloat16."""

    def trial() -> bool:
        x, weight, bias = _small_layer()
        linear = OneDnnLinear(weight.to(dtype), bias.to(dtype), "gelu")
        tolerance = 1e-4 if dtype == torch.float32 else 0.2
        return _agree(linear, x.to(dtype), PlainLinear(weight, bias, "gelu"), tolerance)

    return _works(trial)


@functools.cache
def has_int8() -> bool:
    """Whether `Int8Linear` works on this machine, in all forms that are used."""
    dtypes = [torch.float32]
    if has_onednn(torch.bfloat16):
        dtypes.append(torch.bfloat16)

    def trial() -> bool:
        x, weight, bias = _small_layer()
        plain = PlainLinear(weight, bias, "gelu")
        return all(
            _agree(Int8Linear(weight, bias, "gelu", dtype, least), inputs, plain, 0.2)
            for dtype in dtypes
            for least, inputs in ((None, x), (LEAST["gelu"], x.abs()))
        )

    return _works(trial)


@functools.cache
def sums_are_exact() -> bool:
    """Whether products of large 8-bit integers are added without overflow.

    Older processors (AVX2 and AVX-512 without VNNI) add two of them in 16 bits.
    """

    def trial() -> bool:
        x = torch.full((1, 64), 255, dtype=torch.uint8, device="cpu")
        weight = torch.full((16, 64), 127, dtype=torch.int8, device="cpu")
        packed = torch.ops.onednn.qlinear_prepack(weight, [1, 64])
        ones = torch.ones(16, **FLOAT32)
        zeros = torch.zeros(16, dtype=torch.int32, device="cpu")
        result = torch.ops.onednn.qlinear_pointwise(
            *(x, 1.0, 0, packed, ones, zeros, None),
            *(1.0, 0, torch.float32, "none", [], ""),
        )
        return bool((result == 64 * 255 * 127).all())

    return _works(trial)


def largest_integer() -> int:
    """How large weights may be as integers, where sums of larger ones overflow."""
    return 127 if sums_are_exact() else 63
