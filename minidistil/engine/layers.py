"""A model's layers as the engine takes them: checked, their numbers in float32.

The engine computes what DistilBERT's own layers do. What a model has in place of one,
such as an adapter, hooks or another activation, is refused and not passed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.checkpoint.tensors import all_finite
from minidistil.model import ACTIVATION, Embeddings, SelfAttention

Module = TypeVar("Module", bound=nn.Module)
Layer: TypeAlias = tuple[Tensor, Tensor]  # a weight and a bias


def require_plain_layer(module: nn.Module, kind: type[Module]) -> Module:
    """Return a module; raise TypeError for an adapter, hooks or another forward."""
    hooks = module._forward_hooks or module._forward_pre_hooks
    if type(module) is not kind or hooks or "forward" in vars(module):
        raise TypeError(
            f"the model has a {type(module).__name__} (or hooks) in place of a plain "
            f"{kind.__name__}, which the engine does not know; merge adapters into the "
            f"weights and remove hooks, or use the model itself"
        )
    return module


def require_activation(found: object, expected: str) -> None:
    """Raise TypeError if a layer's activation is not the configuration's."""
    if found is not ACTIVATION[expected]:
        raise TypeError(
            f"a layer has another activation than the configuration's {expected!r}, "
            f"which is all the engine knows; use the model itself"
        )


def float32(parameter: Tensor | None) -> Tensor:
    """A parameter's numbers in float32, all finite: itself, if that is what it is."""
    if parameter is None:
        raise ValueError(
            "the model has a layer without a bias, which no DistilBERT has; give it "
            "one of zeros, or use the model itself"
        )
    # A tensor that is no parameter may be another's too: it stays the same object.
    is_parameter = isinstance(parameter, nn.Parameter)
    converted = (parameter.detach() if is_parameter else parameter).float()
    if not all_finite(converted):
        raise ValueError(
            f"a weight of the model, {tuple(parameter.shape)}, holds NaN, infinite "
            f"numbers or numbers too large for float32; its training diverged or the "
            f"file is damaged, use another checkpoint"
        )
    return converted


def weight_and_bias(linear: nn.Module, factor: float = 1.0) -> Layer:
    """A linear layer's weight and bias, times a factor that its result would get."""
    layer = require_plain_layer(linear, nn.Linear)
    weight, bias = float32(layer.weight), float32(layer.bias)
    return (weight, bias) if factor == 1 else (weight * factor, bias * factor)


def side_by_side(layers: Sequence[Layer]) -> Layer:
    """The weights and biases of layers with one input, as those of one layer."""
    weights, biases = zip(*layers, strict=True)
    return torch.cat(weights), torch.cat(biases)


class FastNorm:
    """LayerNorm; sums are of float32, whatever the type of x.

    Other devices than CPUs take x in float32 alone.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        require_plain_layer(norm, nn.LayerNorm)
        self.weight, self.bias = float32(norm.weight), float32(norm.bias)
        self.eps = norm.eps

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise each row of x (N, D)."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class FastEmbeddings:
    """Word and position embeddings; of the words, only those in use are read."""

    def __init__(self, embeddings: Embeddings, dtype: torch.dtype) -> None:
        require_plain_layer(embeddings, Embeddings)
        words = require_plain_layer(embeddings.word_embeddings, nn.Embedding)
        if words.max_norm is not None:
            raise TypeError(
                "the word embeddings have a max_norm, which changes them as they are "
                "read, and the engine does not; use the model itself"
            )
        self.words = words.weight.detach()
        self.positions = float32(
            require_plain_layer(embeddings.position_embeddings, nn.Embedding).weight
        )
        self.norm = FastNorm(embeddings.LayerNorm)
        self.dtype = dtype

    def __call__(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Look up tokens (N,) and where each stands in its sequence: (N, D)."""
        x = F.embedding(ids, self.words).float()
        return self.norm(x + F.embedding(positions, self.positions)).to(self.dtype)


def scale_of(attention: SelfAttention) -> float:
    """What queries are multiplied by, 1 / √K: in the weights, not in each text."""
    size = require_plain_layer(attention.q_lin, nn.Linear).out_features
    return 1 / math.sqrt(size / attention.n_heads)
