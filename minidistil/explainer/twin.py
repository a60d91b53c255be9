"""Copies of a model that share its parameters: other threads may be using the model."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from minidistil.checkpoint.pretrained import PreTrainedModel


def twin(model: PreTrainedModel) -> PreTrainedModel:
    """The same parameters in new modules, which may be hooked and changed.

    The hooks of the model are the twin's too, since they may change what it computes.
    """
    shared = (*model.parameters(), *model.buffers(), *_hooks_of(model))
    return copy.deepcopy(model, {id(each): each for each in shared})


def frozen_twin(model: PreTrainedModel) -> PreTrainedModel:
    """A copy whose parameters take no gradients; memory is shared where possible.

    A model in 16 bits becomes one in 32: gradients, and the small differences that an
    ablation makes, would be lost in its rounding.
    """
    # Autograd refuses tensors that were made in inference mode.
    with torch.inference_mode(False):
        copied: dict[int, object] = {
            id(parameter): nn.Parameter(_in_32_bits(parameter), requires_grad=False)
            for parameter in model.parameters()
        }
        copied |= {id(hook): hook for hook in _hooks_of(model)}
        return copy.deepcopy(model, copied)


def _hooks_of(model: nn.Module) -> Iterator[object]:
    """What `register_forward_hook` and its relatives have put on any module."""
    for module in model.modules():
        for name, table in vars(module).items():
            if name.endswith("_hooks"):
                yield from table.values()


def _in_32_bits(parameter: Tensor) -> Tensor:
    tensor = parameter.clone() if parameter.is_inference() else parameter
    return tensor.detach().to(torch.promote_types(tensor.dtype, torch.float32))
