"""The precision that the engine computes in, and the operators that do it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minidistil.engine.choice import bfloat16_is_fast, float32_kernels
from minidistil.engine.operators import (
    HalfLinear,
    Int8Linear,
    Linear,
    OneDnnLinear,
    Pack,
    PlainInt8Linear,
    PlainLinear,
    has_int8,
    has_onednn,
)

PRECISIONS = ("float32", "bfloat16", "int8")
KERNELS = ("onednn", "torch")

# The tokens of a batch: enough rows for a product to run at full speed, few enough to
# stay in the cache. Between its products int8 has wide float32 numbers: of 1,024 tokens
# they are so large that the allocator gives their pages back and fetches them again at
# every batch, which cost a fifth of the speed.
TOKENS = 1024
INT8_TOKENS = 512


@dataclass(frozen=True)
class Plan:
    """How to compute.

    Attributes:
        kernels: "onednn" for packed weights and fused operators, or "torch".
        stream: The type of the hidden states between blocks.
        encoder: Packs the layers of the encoder, but for one:
        first_lin2: Packs the first block's `lin2`. Of all layers, rounding harms it
            most, and all later blocks build on its errors.
        head: Packs the layers of the head, where a small error is a large one.
        activation: The name of the activation.
        tokens: The tokens of a batch, unless the caller says how many.
    """

    kernels: str
    stream: torch.dtype
    encoder: Pack
    first_lin2: Pack
    head: Pack
    activation: str
    tokens: int = TOKENS


def check_precision(precision: object) -> None:
    """Raise a ValueError for a precision that does not exist."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}"
        )


def plan(
    precision: str, kernels: str | None, device: torch.device, activation: str
) -> Plan:
    """Choose how to compute in a precision on a device."""
    check_precision(precision)
    if kernels not in (None, *KERNELS):
        raise ValueError(
            f"kernels is {kernels!r}, expected None, {' or '.join(map(repr, KERNELS))}"
        )
    available = has_packed_form(precision, device)
    if kernels == "onednn" and not available:
        raise ValueError(
            f"kernels is 'onednn', which this torch or this processor does not have "
            f"for {precision} on {device}; leave kernels out, or use 'torch'"
        )
    if kernels is None and precision == "float32" and available:
        kernels = float32_kernels()
    elif kernels is None:
        # For the other two, plain torch has no packed form at all.
        kernels = "onednn" if available else "torch"
    if precision == "int8":
        return _int8_plan(kernels, activation)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    pack = _pack_floats(kernels == "onednn", dtype, activation)
    return Plan(kernels, dtype, pack, pack, pack, activation)


def has_packed_form(precision: str, device: torch.device) -> bool:
    """Whether "onednn" is there for a precision on a device."""
    if device.type != "cpu":
        return False
    if precision == "int8":
        return has_int8()
    return has_onednn(torch.bfloat16 if precision == "bfloat16" else torch.float32)


def _pack_floats(packed: bool, dtype: torch.dtype, activation: str) -> Pack:
    kind = OneDnnLinear if packed else PlainLinear

    def pack(weight: Tensor, bias: Tensor, least: float | None = None) -> Linear:
        return kind(weight.to(dtype), bias.to(dtype), activation)

    return pack


def _int8_plan(kernels: str, activation: str) -> Plan:
    """8-bit products; between them float32, and in attention the faster float."""
    packed = kernels == "onednn"
    half = packed and bfloat16_is_fast()
    dtype = torch.bfloat16 if half else torch.float32

    def pack(weight: Tensor, bias: Tensor, least: float | None = None) -> Linear:
        if packed:
            return Int8Linear(weight, bias, activation, dtype, least)
        return PlainInt8Linear(weight, bias, activation)

    def pack_half(weight: Tensor, bias: Tensor, least: float | None = None) -> Linear:
        return HalfLinear(weight, bias, activation)

    exact = _pack_floats(
        packed and has_onednn(torch.float32), torch.float32, activation
    )
    first_lin2 = pack_half if half else exact
    # Plain torch multiplies out the weights at every batch: better few batches.
    tokens = INT8_TOKENS if packed else TOKENS
    return Plan(kernels, torch.float32, pack, first_lin2, exact, activation, tokens)
