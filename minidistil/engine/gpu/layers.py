"""The encoder on a device: sequences end to end, (N, D), without padding.

What `minidistil.engine.cpu.encoder` computes on CPUs, in the operators that suit a GPU.
All is in one type. (The kernel of LayerNorm adds in float32 whatever the type.)
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.engine.gpu.packing import Parts, Shape
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
from minidistil.engine.operators.attention import Attention
from minidistil.engine.operators.products import Linear
from minidistil.engine.precision import Plan
from minidistil.model import (
    FFN,
    DistilBertModel,
    SelfAttention,
    Transformer,
    TransformerBlock,
)


class DeviceNorm:
    """LayerNorm in the type of its input."""

    def __init__(self, norm: FastNorm, dtype: torch.dtype) -> None:
        self.weight, self.bias = norm.weight.to(dtype), norm.bias.to(dtype)
        self.exact_bias = norm.bias
        self.eps = norm.eps

    def add(self, more: Tensor) -> None:
        """Let the results be larger by some numbers (D,)."""
        self.exact_bias = self.exact_bias + more
        self.bias = self.exact_bias.to(self.bias.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise each row of x (N, D)."""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


class DeviceEmbeddings:
    """Word and position embeddings."""

    def __init__(
        self, embeddings: FastEmbeddings, norm: DeviceNorm, dtype: torch.dtype
    ) -> None:
        self.words = embeddings.words.to(dtype)
        self.positions = embeddings.positions.to(dtype)
        self.norm = norm

    def __call__(self, batch: Parts) -> Tensor:
        """Look up a batch's tokens: (N, D)."""
        x = F.embedding(batch.ids, self.words)
        return self.norm(x.add_(F.embedding(batch.positions, self.positions)))


class Residual:
    """What a layer adds to its block: y + x Wᵀ + b, in place and rounded once.

    The product can add to y, but to either y or a bias. So b is in y already: the norm
    that y comes from makes it larger by b. The layers that read y as well are given
    biases that take this back. A large b makes y coarser; but then the sum is as large,
    and the norm after it makes what was rounded as small again.
    """

    def __init__(
        self, layer: Layer, before: DeviceNorm, readers: list[Layer], plan: Plan
    ) -> None:
        """Take W and b; change the norm before, and the biases of the ``readers``."""
        weight, bias = layer
        self.weight = weight.to(plan.stream)
        before.add(bias)
        exact = bias.cpu().double()
        for i, (matrix, own) in enumerate(readers):
            less = matrix.cpu().double() @ exact
            readers[i] = matrix, (own.cpu().double() - less).float().to(own.device)

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y + x Wᵀ + b; y is not the same afterwards."""
        return y.addmm_(x, self.weight.t())


class DeviceBlock:
    """A `TransformerBlock`, whose weights are empty afterwards.

    Attributes:
        is_last: Whether only the rows that are wanted are computed: all rows are keys
            and values, and those are queries and go through the rest.
        bytes_of_a_token: What it needs in memory for each, about.
    """

    def __init__(
        self, layer: nn.Module, plan: Plan, before: DeviceNorm, is_last: bool
    ) -> None:
        """Pack a block, whose input comes from the norm ``before``."""
        block = require_plain_layer(layer, TransformerBlock)
        attention = require_plain_layer(block.attention, SelfAttention)
        ffn = require_plain_layer(block.ffn, FFN)
        require_activation(ffn.activation, plan.activation)
        self.heads, self.is_last = attention.n_heads, is_last
        q = weight_and_bias(attention.q_lin, factor=scale_of(attention))
        k, v = weight_and_bias(attention.k_lin), weight_and_bias(attention.v_lin)
        # One product for what reads the same rows.
        together = [[q], [k, v]] if is_last else [[q, k, v]]
        inputs = [side_by_side(each) for each in together]
        self.out_lin = Residual(
            weight_and_bias(attention.out_lin), before, inputs, plan
        )
        self.inputs: list[Linear] = [plan.encoder(*each) for each in inputs]
        self.sa_layer_norm = DeviceNorm(FastNorm(block.sa_layer_norm), plan.stream)
        wide = [weight_and_bias(ffn.lin1)]
        lin2 = weight_and_bias(ffn.lin2)
        self.lin2: Residual | Linear
        if is_last:
            self.lin2 = plan.encoder(*lin2)
        else:
            self.lin2 = Residual(lin2, self.sa_layer_norm, wide, plan)
        self.lin1 = plan.encoder(*wide[0])
        # What the head reads is not rounded to a half type.
        self.output_layer_norm = DeviceNorm(
            FastNorm(block.output_layer_norm), torch.float32 if is_last else plan.stream
        )
        # Eight of D numbers (three of them q, k and v), and GELU's input and output.
        numbers = 8 * len(self.sa_layer_norm.weight) + 2 * len(ffn.lin1.bias)
        self.bytes_of_a_token = numbers * plan.stream.itemsize
        for parameter in block.parameters():
            # So that one block at most is in memory twice.
            parameter.data = parameter.new_empty(0)

    def __call__(
        self, x: Tensor, batch: Parts, shape: Shape, attention: Attention
    ) -> Tensor:
        """Take x (N, D) one block further; the last one, to (R, D) in float32."""
        if self.is_last:
            of_queries, of_rest = self.inputs
            k, v = self._divided(of_rest(x), 2)
            if batch.rows is not None:
                x = x.index_select(0, batch.rows)
            (q,) = self._divided(of_queries(x), 1)
            mixed = attention(
                *(q, k, v, batch.row_ends, batch.ends, shape.most, shape.longest)
            )
        else:
            q, k, v = self._divided(self.inputs[0](x), 3)
            mixed = attention(
                *(q, k, v, batch.ends, batch.ends, shape.longest, shape.longest)
            )
        x = self.sa_layer_norm(self.out_lin(mixed.flatten(1), x))
        wide = self.lin1.activated(x)
        if isinstance(self.lin2, Residual):
            return self.output_layer_norm(self.lin2(wide, x))
        return self.output_layer_norm(self.lin2(wide).float().add_(x))

    def _divided(self, x: Tensor, count: int) -> tuple[Tensor, ...]:
        """Queries, keys or values as attention takes them, (N, H, K), not copied."""
        return x.view(len(x), count, self.heads, -1).unbind(1)


def blocks_of(
    model: DistilBertModel, plan: Plan, norm: DeviceNorm
) -> list[DeviceBlock]:
    """The blocks of an encoder, which are empty afterwards.

    ``norm`` is the embeddings', whose results the first block reads.
    """
    require_plain_layer(model, DistilBertModel)
    layers = [*require_plain_layer(model.transformer, Transformer).layer]
    if len({*map(id, layers)}) < len(layers):
        raise TypeError(
            "the model has one block in two places, which the engine does not "
            "know; use the model itself"
        )
    blocks: list[DeviceBlock] = []
    for layer in layers:
        is_last = len(blocks) == len(layers) - 1
        blocks.append(DeviceBlock(layer, plan, norm, is_last))
        norm = blocks[-1].output_layer_norm
    return blocks
