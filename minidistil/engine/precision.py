"""In which numbers the engine computes, and by which operators."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from minidistil.engine.choice import bfloat16_is_fast, float32_kernels
from minidistil.engine.operators import (
    LEAST,
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


@dataclass(frozen=True)
class Plan:
    """How to compute.

    Attributes:
        kernels: "onednn" for packed weights and fused operators, or "torch".
        stream: The type of what goes from block to block.
        encoder: Packs the layers of the encoder.
        narrow: Packs the second layer of a feed-forward network.
        first: Packs that of the first block. Of all layers it bears rounding worst, and
            what it gets wrong, all blocks have to carry.
        head: Packs those of the head, where a small error is a large one.
        activation: The name of the activation.
        least: The least number that it returns.
    """

    kernels: str
    stream: torch.dtype
    encoder: Pack
    narrow: Pack
    first: Pack
    head: Pack
    activation: str
    least: float

    def for_block(self, number: int) -> Plan:
        """The plan for one block, counted from 0."""
        return replace(self, narrow=self.first) if number == 0 else self


def check_precision(precision: object) -> None:
    """Raise a ValueError for a precision that does not exist."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}"
        )


def plan(
    precision: str, kernels: str | None, device: torch.device, activation: str
) -> Plan:
    """Choose how to compute in a precision on a device.

    Raises:
        ValueError: for a precision or kernels that do not exist, or not here.
    """
    check_precision(precision)
    if kernels not in (None, *KERNELS):
        raise ValueError(
            f"kernels is {kernels!r}, expected None, {' or '.join(map(repr, KERNELS))}"
        )
    there = device.type == "cpu" and _has(precision)
    if kernels == "onednn" and not there:
        raise ValueError(
            f"kernels is 'onednn', which this torch or this processor does not have "
            f"for {precision} on {device}; leave kernels out, or use 'torch'"
        )
    if kernels is None:
        kernels = _faster(precision) if there else "torch"
    packed = kernels == "onednn"
    if precision == "int8":
        return _int8_plan(packed, activation)
    dtype = torch.float32 if precision == "float32" else torch.bfloat16
    how = _floats(packed, dtype, activation)
    return Plan(kernels, dtype, how, how, how, how, activation, LEAST[activation])


def _has(precision: str) -> bool:
    if precision == "int8":
        return has_int8()
    return has_onednn(torch.float32 if precision == "float32" else torch.bfloat16)


def _faster(precision: str) -> str:
    # Of the other two, plain torch has no packed form at all.
    return float32_kernels() if precision == "float32" else "onednn"


def _floats(packed: bool, dtype: torch.dtype, activation: str) -> Pack:
    kind = OneDnnLinear if packed else PlainLinear

    def how(weight: Tensor, bias: Tensor, least: float | None = None) -> Linear:
        return kind(weight.to(dtype), bias.to(dtype), activation)

    return how


def _int8_plan(packed: bool, activation: str) -> Plan:
    """8-bit products; between them float32, and in attention the faster float."""
    half = packed and bfloat16_is_fast()
    dtype = torch.bfloat16 if half else torch.float32
    kind = Int8Linear if packed else PlainInt8Linear

    def how(weight: Tensor, bias: Tensor, least: float | None = None) -> Linear:
        return kind(weight, bias, activation, dtype, least)

    def in_half(weight: Tensor, bias: Tensor, least: float | None = None) -> Linear:
        return HalfLinear(weight, bias, activation)

    exact = _floats(packed and has_onednn(torch.float32), torch.float32, activation)
    return Plan(
        kernels="onednn" if packed else "torch",
        stream=torch.float32,
        encoder=how,
        narrow=how,
        first=in_half if half else exact,
        head=exact,
        activation=activation,
        least=LEAST[activation],
    )
