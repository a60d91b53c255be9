"""DistilBERT: a tensor of token ids in, a vector for every token out.

    ids ─ embeddings ─ block ─ block ─ … ─ block ─ hidden states      (6 blocks)
    block: x ─ self-attention ─ add & normalise ─ FFN ─ add & normalise

It is BERT (Devlin et al. 2018, arXiv:1810.04805) with half the layers, without token
types or a pooler (Sanh et al. 2019, arXiv:1910.01108). Each attribute bears the name
its tensors have in the hub's files: `state_dict()` is the file's table of contents.

    B  batch                D  model dimension, `dim`           768
    T  tokens               H  attention heads, `n_heads`        12
    L  layers, `n_layers`   K  dimension of a head, D / H        64
    V  vocabulary           F  inner dimension, `hidden_dim`   3072
    C  classes, or choices
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.config import DistilBertConfig
from minidistil.inputs import check_inputs, is_true, unknown_argument
from minidistil.outputs import BaseModelOutput, as_asked

# BERT's value; DistilBERT's config.json does not hold it. It only guards against 0 / 0.
LAYER_NORM_EPS = 1e-12

ACTIVATION: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}

# (queries, keys, values, attend, dropout) -> mixed values, and the weights if known
Attention = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], tuple[Tensor, ...]]


class Embeddings(nn.Module):
    """What a token is plus where it stands."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(
            config.vocab_size, config.dim, padding_idx=config.pad_token_id
        )
        self.position_embeddings = nn.Embedding(
            config.max_position_embeddings, config.dim
        )
        self.LayerNorm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        input_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        position_ids: Tensor | None,
    ) -> Tensor:
        """Turn ids (B, T), or ready word vectors (B, T, D), into vectors (B, T, D)."""
        if inputs_embeds is None:
            inputs_embeds = self.word_embeddings(input_ids)  # (B, T, D)
        if position_ids is None:
            tokens, device = inputs_embeds.shape[1], inputs_embeds.device
            position_ids = torch.arange(tokens, device=device)[None]  # (1, T)
        x = inputs_embeds + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(x))


def tokens_to_attend(attention_mask: Tensor | None) -> Tensor | None:
    """Make booleans (B, 1, 1, T) of a mask (B, T): any number but 0 means "attend".

    A row that hides all of its tokens hides none: a mean over no token would be 0 / 0.
    None comes back when nothing is hidden.
    """
    if attention_mask is None:
        return None
    attend = attention_mask != 0
    attend = attend | ~attend.any(dim=1, keepdim=True)
    # The fused operator rounds differently with a mask.
    return None if is_true(attend.all()) else attend[:, None, None, :]  # (B, 1, 1, T)


def eager_attention(
    q: Tensor, k: Tensor, v: Tensor, attend: Tensor | None, dropout: float
) -> tuple[Tensor, ...]:
    """Softmax(q kᵀ / √K) v, step by step (Vaswani et al. 2017, arXiv:1706.03762, 3.2).

    Args:
        q: What each token looks for, (B, H, T, K).
        k: What each token offers to be found by, (B, H, T, K).
        v: What each token hands on, (B, H, T, K).
        attend: False hides a token from every token, (B, 1, 1, T); None hides none.
        dropout: The share of weights set to zero; 0 when not training.

    Returns:
        The mixed values (B, H, T, K) and the weights of the mix (B, H, T, T).
    """
    # Not (q / √K) kᵀ: it rounds to other bits unless √K is a power of two.
    scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5  # (B, H, T, T)
    if attend is not None:
        scores = scores.masked_fill(~attend, -math.inf)
    weights = F.dropout(F.softmax(scores, dim=-1), dropout)
    return weights @ v, weights


def sdpa_attention(
    q: Tensor, k: Tensor, v: Tensor, attend: Tensor | None, dropout: float
) -> tuple[Tensor, ...]:
    """The same formula in one fused operator, which does not return its weights."""
    scale = q.shape[-1] ** -0.5
    mixed = F.scaled_dot_product_attention(q, k, v, attend, dropout, scale=scale)
    return (mixed,)


ATTENTION: dict[str, Attention] = {"eager": eager_attention, "sdpa": sdpa_attention}


class SelfAttention(nn.Module):
    """Every token takes a weighted mean of all tokens' values, H times in parallel."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.q_lin = nn.Linear(config.dim, config.dim)
        self.k_lin = nn.Linear(config.dim, config.dim)
        self.v_lin = nn.Linear(config.dim, config.dim)
        self.out_lin = nn.Linear(config.dim, config.dim)
        self.dropout = nn.Dropout(config.attention_dropout)

    def split_heads(self, x: Tensor) -> Tensor:
        """Give each head its own slice of every vector: (B, T, D) -> (B, H, T, K)."""
        batch, tokens, dim = x.shape
        x = x.view(batch, tokens, self.n_heads, dim // self.n_heads)  # (B, T, H, K)
        return x.transpose(1, 2)

    def forward(
        self, x: Tensor, attend: Tensor | None, attention: Attention
    ) -> tuple[Tensor, ...]:
        """Mix x (B, T, D) across its tokens; with the weights, if known."""
        q = self.split_heads(self.q_lin(x))  # (B, H, T, K)
        k = self.split_heads(self.k_lin(x))  # (B, H, T, K)
        v = self.split_heads(self.v_lin(x))  # (B, H, T, K)
        dropout = self.dropout.p if self.training else 0.0
        mixed, *weights = attention(q, k, v, attend, dropout)  # (B, H, T, K)
        merged = mixed.transpose(1, 2).flatten(2)  # (B, T, D)
        return self.out_lin(merged), *weights


class FFN(nn.Module):
    """The feed-forward network: each token by itself, through a wider layer."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.lin1 = nn.Linear(config.dim, config.hidden_dim)
        self.lin2 = nn.Linear(config.hidden_dim, config.dim)
        self.activation = ACTIVATION[config.activation]
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Widen and narrow each vector of x (B, T, D)."""
        x = self.activation(self.lin1(x))  # (B, T, F)
        return self.dropout(self.lin2(x))  # (B, T, D)


class TransformerBlock(nn.Module):
    """Attend, add, normalise, feed forward, add, normalise."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.sa_layer_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)
        self.ffn = FFN(config)
        self.output_layer_norm = nn.LayerNorm(config.dim, eps=LAYER_NORM_EPS)

    def forward(
        self, x: Tensor, attend: Tensor | None, attention: Attention
    ) -> tuple[Tensor, ...]:
        """Take x (B, T, D) one block further; with the weights, if known."""
        attended, *weights = self.attention(x, attend, attention)
        x = self.sa_layer_norm(attended + x)
        x = self.output_layer_norm(self.ffn(x) + x)
        return x, *weights


class Transformer(nn.Module):
    """The blocks, one after the other."""

    def __init__(self, config: DistilBertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(
            TransformerBlock(config) for _ in range(config.n_layers)
        )
        self.gradient_checkpointing = False

    def forward(
        self,
        x: Tensor,
        attend: Tensor | None,
        attention: Attention,
        output_hidden_states: bool,
        output_attentions: bool,
    ) -> BaseModelOutput:
        """Take the embeddings (B, T, D) through all blocks."""
        hidden_states, attentions = [x], []
        for block in self.layer:
            if self.gradient_checkpointing and self.training:
                # Forget what is inside the block; compute it again on the way back.
                x, *weights = checkpoint(
                    block, x, attend, attention, use_reentrant=False
                )
            else:
                x, *weights = block(x, attend, attention)
            if output_hidden_states:
                hidden_states.append(x)
            if output_attentions:
                attentions += weights
        return BaseModelOutput(
            last_hidden_state=x,
            hidden_states=tuple(hidden_states) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )


class DistilBertPreTrainedModel(PreTrainedModel):
    """What the encoder and the heads share: how their weights start."""

    @torch.no_grad()
    def init_weights(self, module: nn.Module) -> None:
        """Draw a module's own weights, as the original does before training.

        For `self.apply`, which comes to a module after the modules inside it.
        """
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.normal_(std=self.config.initializer_range)
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.bias.zero_()
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            module.weight[module.padding_idx].zero_()
        if isinstance(module, Embeddings) and self.config.sinusoidal_pos_embds:
            table = module.position_embeddings.weight
            table.copy_(sinusoidal_embeddings(*table.shape))


class DistilBertModel(DistilBertPreTrainedModel):
    """The bare encoder."""

    def __init__(
        self, config: DistilBertConfig, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__(config)
        if attn_implementation not in ATTENTION:
            raise ValueError(
                f"attn_implementation is {attn_implementation!r}, "
                f"expected {' or '.join(map(repr, ATTENTION))}"
            )
        self.attn_implementation = attn_implementation
        self.embeddings = Embeddings(config)
        self.transformer = Transformer(config)
        self.apply(self.init_weights)

    @as_asked
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **unknown: object,
    ) -> BaseModelOutput:
        """Encode a batch of sequences.

        Args:
            input_ids: Vocabulary ids, (B, T); or give ``inputs_embeds``.
            attention_mask: Non-zero where a token is to be read, 0 at padding, (B, T).
            inputs_embeds: Word vectors in place of the ids, (B, T, D).
            position_ids: Where each token stands, (B, T); 0, 1, 2, … by default, also
                for a sequence that is padded on the left.
            token_type_ids: Accepted and ignored: DistilBERT has no token types.
            output_hidden_states: Return what enters the first and leaves each block.
            output_attentions: Return the attention weights; runs `eager_attention`.
            unknown: Anything else is a mistake, but for ``return_dict`` (`as_asked`).

        Raises:
            TypeError, ValueError, IndexError: for arguments that do not fit; see
                `minidistil.inputs`.
        """
        if unknown:
            raise unknown_argument(unknown)
        check_inputs(
            self.config, input_ids, attention_mask, inputs_embeds, position_ids
        )
        attend = tokens_to_attend(attention_mask)  # (B, 1, 1, T)
        attention = "eager" if output_attentions else self.attn_implementation
        x = self.embeddings(input_ids, inputs_embeds, position_ids)  # (B, T, D)
        return self.transformer(
            x, attend, ATTENTION[attention], output_hidden_states, output_attentions
        )


def sinusoidal_embeddings(positions: int, dim: int) -> Tensor:
    """Sine and cosine, alternating, of position / 10000^(2i / dim) (Vaswani, 3.5)."""
    column = torch.arange(dim, dtype=torch.float64)
    stretch = 10000 ** (2 * (column // 2) / dim)
    angle = torch.arange(positions, dtype=torch.float64)[:, None] / stretch
    return torch.where(column % 2 == 0, angle.sin(), angle.cos())
