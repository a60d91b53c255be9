"""The encoder again, for speed: what `minidistil.model` computes, in other steps.

It differs in three things, none of which changes the numbers beyond rounding:

- q, k and v are one product, and what follows a product is fused with it;
- sequences lie end to end, (N, D), without padding (`minidistil.engine.cpu.batches`);
- the last block computes only what is read. A classifier reads the first token: all
  tokens are keys and values, but only that one is a query, and goes through the rest.

Shapes use the letters of `minidistil.model`, and N for the tokens of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.engine.cpu.attention import Group, attend
from minidistil.engine.cpu.batches import ALL_ROWS, Batch, WantedRows, padding_few
from minidistil.engine.layers import (
    FastEmbeddings,
    FastNorm,
    Layer,
    require_activation,
    require_plain_layer,
    scale_of,
    side_by_side,
    weight_and_bias,
)
from minidistil.engine.operators.products import FLOAT32, LEAST, Pack
from minidistil.engine.precision import Plan
from minidistil.model import (
    FFN,
    DistilBertModel,
    SelfAttention,
    Transformer,
    TransformerBlock,
)

Block = TypeVar("Block", bound="FastBlock")


class FastBlock:
    """A `TransformerBlock`, for all tokens."""

    def __init__(self, block: TransformerBlock, plan: Plan, lin2: Pack) -> None:
        attention = require_plain_layer(block.attention, SelfAttention)
        ffn = require_plain_layer(block.ffn, FFN)
        require_activation(ffn.activation, plan.activation)
        self.heads = attention.n_heads
        q = weight_and_bias(attention.q_lin, factor=scale_of(attention))
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
        x = self.embeddings(batch.ids, batch.positions)
        for block in self.blocks:
            x = block(x, batch.groups)
        return self.last(x, batch.groups, batch.wanted)


def _packed(kind: type[Block], block: nn.Module, plan: Plan, lin2: Pack) -> Block:
    """Pack a block and free its weights, so that one block at most is there twice."""
    packed = kind(require_plain_layer(block, TransformerBlock), plan, lin2)
    for parameter in block.parameters():
        parameter.data = torch.empty(0, **FLOAT32)
    return packed
