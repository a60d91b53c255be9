"""The encoder again, for speed: what `minidistil.model` computes, in other steps.

It differs in three things, none of which changes the numbers beyond rounding:

- q, k and v are one product, and what follows a product is fused with it;
- sequences lie end to end, (N, D), without padding (`minidistil.engine.batches`);
- the last block computes only what is read. A classifier reads the first token: all
  tokens are keys and values, but only that one is a query, and goes through the rest.

Shapes use the letters of `minidistil.model`, and N for the tokens of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.checkpoint.tensors import all_finite
from minidistil.engine.attention import Group, attend
from minidistil.engine.batches import ALL_ROWS, Batch, WantedRows, padding_few
from minidistil.engine.operators import FLOAT32, LEAST, Pack
from minidistil.engine.precision import Plan
from minidistil.model import (
    ACTIVATION,
    FFN,
    DistilBertModel,
    Embeddings,
    SelfAttention,
    Transformer,
    TransformerBlock,
)

Module = TypeVar("Module", bound=nn.Module)
Block = TypeVar("Block", bound="FastBlock")
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
    """LayerNorm; sums are of float32, whatever the type of x."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        require_plain_layer(norm, nn.LayerNorm)
        self.weight, self.bias = float32(norm.weight), float32(norm.bias)
        self.eps = norm.eps

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise each row of x (N, D)."""
        # Only on the CPU may x and the weights be of two types.
        wide = x if x.device.type == "cpu" else x.float()
        normal = F.layer_norm(wide, self.weight.shape, self.weight, self.bias, self.eps)
        return normal.to(x.dtype)


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

    def __call__(self, batch: Batch) -> Tensor:
        """Look up a batch's tokens: (N, D)."""
        x = F.embedding(batch.ids, self.words).float()
        return self.norm(x + F.embedding(batch.positions, self.positions)).to(
            self.dtype
        )


def _scale(attention: SelfAttention) -> float:
    """What queries are multiplied by, 1 / √K: in the weights, not in each text."""
    size = require_plain_layer(attention.q_lin, nn.Linear).out_features
    return 1 / math.sqrt(size / attention.n_heads)


class FastBlock:
    """A `TransformerBlock`, for all tokens."""

    def __init__(self, block: TransformerBlock, plan: Plan, lin2: Pack) -> None:
        attention = require_plain_layer(block.attention, SelfAttention)
        ffn = require_plain_layer(block.ffn, FFN)
        require_activation(ffn.activation, plan.activation)
        self.heads = attention.n_heads
        q = weight_and_bias(attention.q_lin, factor=_scale(attention))
        k, v = weight_and_bias(attention.k_lin), weight_and_bias(attention.v_lin)
        self.pack_inputs(plan.encoder, q, k, v)
        self.out_lin = plan.encoder(*weight_and_bias(attention.out_lin))
        self.sa_layer_norm = FastNorm(block.sa_layer_norm)
        self.lin1 = plan.encoder(*weight_and_bias(ffn.lin1))
        self.lin2 = lin2(*weight_and_bias(ffn.lin2), least=LEAST[plan.activation])
        self.output_layer_norm = FastNorm(block.output_layer_norm)

    def pack_inputs(self, pack: Pack, q: Layer, k: Layer, v: Layer) -> None:
        """Pack what makes queries, keys and values."""
        self.qkv = pack(*side_by_side([q, k, v]))

    def __call__(self, x: Tensor, groups: Sequence[Group]) -> Tensor:
        """Take x (N, D) one block further."""
        q, k, v = self.qkv(x).chunk(3, dim=1)
        return self.rest(attend(q, k, v, groups, self.heads), x)

    def rest(self, mixed: Tensor, x: Tensor) -> Tensor:
        """Add, normalise, feed forward, add, normalise: (R, D), twice, to (R, D)."""
        x = self.sa_layer_norm(self.out_lin.added(mixed, x))
        return self.output_layer_norm(self.lin2.added(self.lin1.activated(x), x))


class FastLastBlock(FastBlock):
    """The last `TransformerBlock`, for the tokens that are wanted."""

    def pack_inputs(self, pack: Pack, q: Layer, k: Layer, v: Layer) -> None:
        """Pack what makes keys and values of all rows, and queries of some."""
        self.q, self.kv = pack(*q), pack(*side_by_side([k, v]))

    def __call__(
        self, x: Tensor, groups: Sequence[Group], wanted: WantedRows = ALL_ROWS
    ) -> Tensor:
        """Take the rows of x (N, D) that are wanted one block further.

        Behind those (R, D) are rows that nobody reads: what comes next is multiplied
        as well, and for as few numbers of rows.
        """
        k, v = self.kv(x).chunk(2, dim=1)
        if wanted.rows is None:
            return self.rest(attend(self.q(x), k, v, groups, self.heads), x)
        count = len(wanted.rows)
        more = padding_few(count)
        asking = x[F.pad(wanted.rows, (0, more))]
        if wanted.each is None:
            # The sequences want different numbers of rows: all rows are queries, and
            # most of the result is not used.
            mixed = attend(self.q(x), k, v, groups, self.heads)[wanted.rows]
        else:
            read = [group for group in groups if not group.fills]
            q = self.q(asking)[:count]
            mixed = attend(q, k, v, read, self.heads, wanted.each)
        return self.rest(F.pad(mixed, (0, 0, 0, more)), asking)


class FastEncoder:
    """A `DistilBertModel`, whose blocks are empty afterwards."""

    def __init__(self, model: DistilBertModel, plan: Plan) -> None:
        require_plain_layer(model, DistilBertModel)
        *blocks, last = require_plain_layer(model.transformer, Transformer).layer
        if len({*map(id, blocks), id(last)}) <= len(blocks):
            raise TypeError(
                "the model has one block in two places, which the engine does not "
                "know; use the model itself"
            )
        self.embeddings = FastEmbeddings(model.embeddings, plan.stream)
        packs = [plan.first_lin2, *[plan.encoder] * len(blocks)]
        self.blocks = [
            _packed(FastBlock, block, plan, lin2)
            for block, lin2 in zip(blocks, packs, strict=False)
        ]
        self.last = _packed(FastLastBlock, last, plan, packs[len(blocks)])

    def __call__(self, batch: Batch) -> Tensor:
        """The hidden states (R, D) of the rows that are wanted."""
        x = self.embeddings(batch)
        for block in self.blocks:
            x = block(x, batch.groups)
        return self.last(x, batch.groups, batch.wanted)


def _packed(kind: type[Block], block: nn.Module, plan: Plan, lin2: Pack) -> Block:
    """Pack a block and free its weights, so that one block at most is there twice."""
    packed = kind(require_plain_layer(block, TransformerBlock), plan, lin2)
    for parameter in block.parameters():
        parameter.data = torch.empty(0, **FLOAT32)
    return packed
