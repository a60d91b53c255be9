"""Two models side by side: the output of every layer, and where they first differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ComparedLayer:
    """One layer in both models.

    Attributes:
        name: Of the module.
        status: "OK", "DIFF" or "SHAPE".
        difference: The largest of any number; infinite for numbers that are not
            finite, or for other shapes.
        shapes: Of the two outputs.
    """

    name: str
    status: str
    difference: float
    shapes: tuple[tuple[int, ...], tuple[int, ...]]


@torch.inference_mode()
def record_layers(
    model: nn.Module, run: Callable[[nn.Module], object]
) -> dict[str, Tensor]:
    """Run a model, and keep the output of every module, in order of completion."""
    outputs: dict[str, Tensor] = {}

    def keeper(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            tensor = _first_tensor(output)
            if tensor is not None:
                outputs[name] = tensor.clone()

        return keep

    hooks = [
        module.register_forward_hook(keeper(name))
        for name, module in model.named_modules()
    ]
    try:
        run(model)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _first_tensor(output: Any) -> Tensor | None:
    """A module's result: alone, or the first of several."""
    if isinstance(output, Mapping):
        output = [*output.values()]
    values = output if isinstance(output, tuple | list) else [output]
    return next((value for value in values if isinstance(value, Tensor)), None)


def compare_layers(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float = 0.0
) -> list[ComparedLayer]:
    """Compare the layers that both models have, in the order of the first.

    Args:
        ours: What `record_layers` returned for one model.
        theirs: The same for the other.
        tolerance: The largest difference that is no difference; 0 is to the last bit.

    Raises:
        ValueError: if they have no layer in common, which is no agreement.
    """
    rows = [
        _compare(name, output, theirs[name], tolerance)
        for name, output in ours.items()
        if name in theirs
    ]
    if not rows:
        raise ValueError(
            f"the models have no layer in common: {len(ours)} layers were recorded of "
            f"the one and {len(theirs)} of the other; record the same part of both"
        )
    return rows


def first_difference(rows: list[ComparedLayer]) -> ComparedLayer | None:
    """The first layer that differs, or None."""
    return next((row for row in rows if row.status != "OK"), None)


def _compare(
    name: str, ours: Tensor, theirs: Tensor, tolerance: float
) -> ComparedLayer:
    shapes = tuple(ours.shape), tuple(theirs.shape)
    if ours.shape != theirs.shape:
        return ComparedLayer(name, "SHAPE", inf, shapes)
    if torch.equal(ours, theirs) or ours.numel() == 0:
        return ComparedLayer(name, "OK", 0.0, shapes)
    # NaN, as of two infinite numbers, counts as infinite.
    difference = float(
        (ours.double() - theirs.double()).abs().nan_to_num(inf, inf).max()
    )
    status = "OK" if difference <= tolerance else "DIFF"
    return ComparedLayer(name, status, difference, shapes)
