"""The precision that the engine computes in, and the operators that do it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from minidistil.engine.cpu.choice import bfloat16_is_fast, float32_kernels
from minidistil.engine.operators.products import (
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

PRECISIONS = ("float32", "bfloat16", "float16", "int8")
# Those that CPUs have; other devices have no fast product of 8-bit integers.
CPU_PRECISIONS = ("float32", "bfloat16", "int8")
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


def check_precision(precision: object, device: torch.device | None = None) -> None:
    """Raise a ValueError for a precision that does not exist, or not on a device."""
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision is {precision!r}, expected one of {', '.join(PRECISIONS)}"
        )
    on_cpu = device is not None and device.type == "cpu"
    if on_cpu and precision not in CPU_PRECISIONS:
        raise ValueError(
            f"precision is {precision!r}, which is for GPUs: give device='cuda', or on "
            f"a CPU use one of {', '.join(CPU_PRECISIONS)}"
        )


def precision_on(device: torch.device, precision: str) -> str:
    """What is computed in if a precision is asked for: a half type for int8 on GPUs.

    Raises:
        ValueError: for a precision that does not exist there.
    """
    check_precision(precision, device)
    if precision != "int8" or device.type == "cpu":
        return precision
    half = "bfloat16" if _has_bfloat16(device) else "float16"
    warnings.warn(
        f"int8 is for CPUs: on {device} the engine computes in {half}, which is faster "
        f"there (give precision={half!r} to say so yourself)",
        stacklevel=3,
    )
    return half


def _has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 as fast as float16, as far as is known."""
    if device.type != "cuda" or torch.version.hip:
        return device.type in ("cuda", "xpu")
    return torch.cuda.get_device_capability(device) >= (8, 0)


def plan(
    precision: str, kernels: str | None, device: torch.device, activation: str
) -> Plan:
    """Choose how to compute in a precision on a device."""
    check_precision(precision, device)
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
    dtype: torch.dtype = getattr(torch, precision)
    pack = _pack_floats(kernels == "onednn", dtype, activation)
    if device.type == "cpu":
        return Plan(kernels, dtype, pack, pack, pack, activation)
    # On GPUs the head is too little work to be rounded.
    head = _pack_floats(False, torch.float32, activation)
    return Plan(kernels, dtype, pack, pack, head, activation)


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
