"""The encoder again, for speed: what `minidistil.model` computes, in other steps.

It differs in three things, none of which changes the numbers beyond rounding:

- q, k and v are one product, and what follows a product is fused with it;
- sequences lie end to end, (N, D), without padding (`minidistil.engine.batches`);
- the last block computes only what is read. A classifier reads the first token: all
  tokens are its keys and values, but only that one asks, and goes through the rest.

Shapes use the letters of `minidistil.model`, and N for the tokens of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.checkpoint import all_finite
from minidistil.engine.attention import Group, attend
from minidistil.engine.batches import Batch
from minidistil.engine.operators import Linear, Pack
from minidistil.engine.precision import Plan
from minidistil.model import (
    LAYER_NORM_EPS,
    DistilBertModel,
    Embeddings,
    TransformerBlock,
)

Module = TypeVar("Module", bound=nn.Module)
Block = TypeVar("Block")


@dataclass(frozen=True)
class Read:
    """Which rows of a batch somebody reads.

    Attributes:
        rows: Their numbers, (R,); None for all.
        each: How many each sequence has, if all have as many.
    """

    rows: Tensor | None = None
    each: int | None = None


def plain(module: nn.Module, kind: type[Module]) -> Module:
    """A module, if it is what the engine can see through.

    Raises:
        TypeError: if it is of another class, such as an adapter around a layer, or if
            hooks would have to run.
        ValueError: if it holds numbers that are not finite.
    """
    if type(module) is not kind or module._forward_hooks or module._forward_pre_hooks:
        raise TypeError(
            f"the model has a {type(module).__name__} (or hooks) in place of a plain "
            f"{kind.__name__}, which the engine does not know; merge adapters into the "
            f"weights and remove hooks, or use the model itself"
        )
    return module


def float32(parameter: Tensor) -> Tensor:
    """A parameter's numbers in float32: itself, if that is what it is.

    Raises:
        ValueError: if they are not finite.
    """
    if not all_finite(parameter):
        raise ValueError(
            "the model's weights hold NaN or infinite numbers; its training diverged "
            "or the file is damaged, use another checkpoint"
        )
    return parameter.detach().float()


def pack(linears: Sequence[nn.Module], how: Pack, least: float | None = None) -> Linear:
    """Pack some linear layers of one input as one, side by side."""
    layers = [plain(layer, nn.Linear) for layer in linears]
    weights = [float32(layer.weight) for layer in layers]
    biases = [float32(layer.bias) for layer in layers]
    if len(layers) == 1:
        return how(weights[0], biases[0], least)
    return how(torch.cat(weights), torch.cat(biases), least)


class FastNorm:
    """LayerNorm; sums are of float32, whatever the type of x."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        plain(norm, nn.LayerNorm)
        self.weight, self.bias = float32(norm.weight), float32(norm.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise each row of x (N, D)."""
        return F.layer_norm(
            x, self.weight.shape, self.weight, self.bias, LAYER_NORM_EPS
        )


class FastEmbeddings:
    """The model's own tables, not copied: only the words in use are read."""

    def __init__(self, embeddings: Embeddings, dtype: torch.dtype) -> None:
        self.words = plain(embeddings.word_embeddings, nn.Embedding).weight.detach()
        self.positions = float32(
            plain(embeddings.position_embeddings, nn.Embedding).weight
        )
        self.norm = FastNorm(embeddings.LayerNorm)
        self.dtype = dtype

    def __call__(self, batch: Batch) -> Tensor:
        """Look up a batch's tokens: (N, D)."""
        x = F.embedding(batch.ids, self.words).float()
        return self.norm(x + F.embedding(batch.positions, self.positions)).to(
            self.dtype
        )


class FastBlock:
    """A `TransformerBlock`, for all tokens."""

    def __init__(self, block: TransformerBlock, plan: Plan) -> None:
        attention, how = block.attention, plan.encoder
        self.heads = attention.n_heads
        self.qkv = pack([attention.q_lin, attention.k_lin, attention.v_lin], how)
        self.rest = FastRest(block, plan)

    def __call__(self, x: Tensor, groups: Sequence[Group]) -> Tensor:
        """Take x (N, D) one block further."""
        q, k, v = self.qkv(x).chunk(3, dim=1)
        return self.rest(attend(q, k, v, groups, self.heads), x)


class FastLastBlock:
    """The last `TransformerBlock`, for the tokens that are read."""

    def __init__(self, block: TransformerBlock, plan: Plan) -> None:
        attention, how = block.attention, plan.encoder
        self.heads = attention.n_heads
        self.q = pack([attention.q_lin], how)
        self.kv = pack([attention.k_lin, attention.v_lin], how)
        self.rest = FastRest(block, plan)

    def __call__(self, x: Tensor, groups: Sequence[Group], read: Read) -> Tensor:
        """Take the rows of x (N, D) that are read one block further: (R, D)."""
        k, v = self.kv(x).chunk(2, dim=1)
        if read.rows is None:
            return self.rest(attend(self.q(x), k, v, groups, self.heads), x)
        asking = x[read.rows]
        if read.each is None:
            # As many here, as many there: all ask, and most of it is thrown away.
            mixed = attend(self.q(x), k, v, groups, self.heads)[read.rows]
        else:
            mixed = attend(self.q(asking), k, v, groups, self.heads, read.each)
        return self.rest(mixed, asking)


class FastRest:
    """What follows attention in a block; each row goes through it by itself."""

    def __init__(self, block: TransformerBlock, plan: Plan) -> None:
        how = plan.encoder
        self.out_lin = pack([block.attention.out_lin], how)
        self.sa_layer_norm = FastNorm(block.sa_layer_norm)
        self.lin1 = pack([block.ffn.lin1], how)
        self.lin2 = pack([block.ffn.lin2], how, plan.least)
        self.rows = plan.rows
        self.output_layer_norm = FastNorm(block.output_layer_norm)

    def __call__(self, mixed: Tensor, x: Tensor) -> Tensor:
        """Add, normalise, feed forward, add, normalise: (R, D), twice, to (R, D)."""
        x = self.sa_layer_norm(self.out_lin.added(mixed, x))
        # In parts, so that what lies between the two stays in the cache.
        parts = [
            self.lin2.added(self.lin1.activated(part), part)
            for part in torch.split(x, self.rows)
        ]
        return self.output_layer_norm(parts[0] if len(parts) == 1 else torch.cat(parts))


class FastEncoder:
    """A `DistilBertModel`.

    Args:
        model: What to pack.
        plan: How.
        release: Let go of each block's weights as soon as they are packed.
    """

    def __init__(self, model: DistilBertModel, plan: Plan, release: bool) -> None:
        self.embeddings = FastEmbeddings(model.embeddings, plan.stream)
        *blocks, last = model.transformer.layer
        self.blocks = [_packed(FastBlock, block, plan, release) for block in blocks]
        self.last = _packed(FastLastBlock, last, plan, release)

    def __call__(self, batch: Batch, read: Read) -> Tensor:
        """The hidden states (R, D) of the rows that are read."""
        x = self.embeddings(batch)
        for block in self.blocks:
            x = block(x, batch.groups)
        return self.last(x, batch.groups, read)


def _packed(
    kind: Callable[[TransformerBlock, Plan], Block],
    block: nn.Module,
    plan: Plan,
    release: bool,
) -> Block:
    packed = kind(plain(block, TransformerBlock), plan)
    if release:
        for parameter in block.parameters():
            parameter.data = torch.empty(0)
    return packed
