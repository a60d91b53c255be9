"""What one text was at every step of the model: tensors, named as in `model.py`.

Shapes use the letters of `minidistil.model`, without the axis of the batch. The page's
glossary is made of these docstrings, by `minidistil.explainer.glossary`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from minidistil.explainer.loaded_model import LoadedModel
from minidistil.explainer.reading import Reading, Token


class Brief:
    """Its repr fits on one line: of a tensor it has the shape."""

    def __repr__(self) -> str:
        fields = (f"{name}={_brief(value)}" for name, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(fields)})"


def _brief(value: object) -> str:
    return str([*value.shape]) if isinstance(value, Tensor) else repr(value)


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingsTrace(Brief):
    """What `Embeddings` computed.

    Attributes:
        word_embeddings: The vector that the vocabulary's table holds for the token's
            id, (T, D). From `model.Embeddings.word_embeddings`.
        position_embeddings: The vector of the token's position: 0 is the first, 1 the
            second, (T, D). From `model.Embeddings.position_embeddings`.
        summed: Word and position, added, (T, D). From `model.Embeddings.forward`.
        LayerNorm: The sum shifted to mean 0 and scaled to variance 1, then scaled and
            shifted by learned numbers: what the first layer reads, (T, D). From
            `model.Embeddings.LayerNorm`.
    """

    word_embeddings: Tensor
    position_embeddings: Tensor
    summed: Tensor
    LayerNorm: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class BlockTrace(Brief):
    """What one `TransformerBlock` computed.

    Attributes:
        x: What the layer reads: a vector for each token, (T, D). From
            `model.TransformerBlock.forward`.
        q: The query: what each token looks for, in each head, (H, T, K). From
            `model.SelfAttention.q_lin`.
        k: The key: what each token offers to be found by, (H, T, K). From
            `model.SelfAttention.k_lin`.
        v: The value: what each token hands on when it is looked at, (H, T, K). From
            `model.SelfAttention.v_lin`.
        products: q · k for each pair of tokens, a row for each query, a column for
            each key: how well the two fit, (H, T, T). From `model.eager_attention`.
        scores: The products divided by √K, and −∞ where the mask hides a token,
            (H, T, T). From `model.eager_attention`.
        weights: The softmax of each row of scores: shares that add up to 1. This is
            what is called attention, (H, T, T). From `model.eager_attention`.
        mixed: The mean of all tokens' values, weighted by those shares, (H, T, K).
            From `model.eager_attention`.
        out_lin: The mixed values of all heads, side by side again, through a linear
            layer, (T, D). From `model.SelfAttention.out_lin`.
        attended_plus_x: The residual connection: out_lin, which the layer calls
            attended, plus x, (T, D). From `model.TransformerBlock.forward`.
        sa_layer_norm: attended_plus_x, normalised, (T, D). From
            `model.TransformerBlock.sa_layer_norm`.
        lin1: The feed-forward network's first layer, which is wider, (T, F). From
            `model.FFN.lin1`.
        activation: GELU (or ReLU) of lin1: negative numbers become small, or 0, (T, F).
            From `model.FFN.activation`.
        lin2: Back to the width of the model, (T, D). From `model.FFN.lin2`.
        fed_forward: The second residual connection: lin2 plus sa_layer_norm, (T, D).
            From `model.TransformerBlock.forward`.
        output_layer_norm: fed_forward, normalised: what the layer returns and the next
            one reads, (T, D). From `model.TransformerBlock.output_layer_norm`.
    """

    x: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    products: Tensor
    scores: Tensor
    weights: Tensor
    mixed: Tensor
    out_lin: Tensor
    attended_plus_x: Tensor
    sa_layer_norm: Tensor
    lin1: Tensor
    activation: Tensor
    lin2: Tensor
    fed_forward: Tensor
    output_layer_norm: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class ClassifierTrace(Brief):
    """What the head of `DistilBertForSequenceClassification` computed.

    Attributes:
        cls: The last layer's vector of the first token, [CLS]: all that the head reads,
            (D,). From `heads.DistilBertForSequenceClassification.forward`.
        pre_classifier: A linear layer on it, (D,). From
            `heads.DistilBertForSequenceClassification.pre_classifier`.
        relu: The same with its negative numbers set to 0, (D,). From
            `heads.DistilBertForSequenceClassification.forward`.
        logits: A score for each label, any number from −∞ to ∞, (C,). From
            `heads.DistilBertForSequenceClassification.classifier`.
        function: What makes probabilities of the logits: softmax where one label is
            right, sigmoid where several may be, none for a regression. From
            `pipelines.function_for`.
        probabilities: That function of the logits, (C,). From `pipelines.FUNCTIONS`.
    """

    cls: Tensor
    pre_classifier: Tensor
    relu: Tensor
    logits: Tensor
    function: str
    probabilities: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class MaskedLMTrace(Brief):
    """What the head of `DistilBertForMaskedLM` computed at each ``[MASK]``, M of them.

    Attributes:
        masks: The positions of [MASK] among the tokens. From `explainer.explain`.
        vocab_transform: A linear layer on the last layer's vector of each [MASK],
            (M, D). From `heads.DistilBertForMaskedLM.vocab_transform`.
        activation: GELU (or ReLU) of it, (M, D). From
            `heads.DistilBertForMaskedLM.activation`.
        vocab_layer_norm: That, normalised, (M, D). From
            `heads.DistilBertForMaskedLM.vocab_layer_norm`.
        logits: A score for each word of the vocabulary, (M, V). From
            `heads.DistilBertForMaskedLM.vocab_projector`.
        probabilities: The softmax of the logits: shares that add up to 1, (M, V). From
            `heads.DistilBertForMaskedLM.forward`.
    """

    masks: tuple[int, ...]
    vocab_transform: Tensor
    activation: Tensor
    vocab_layer_norm: Tensor
    logits: Tensor
    probabilities: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """Everything that one text was on its way through the model.

    Attributes:
        readings: How the text became tokens; two readings for a pair of texts. From
            `explainer.reading.read`.
        tokens: What the model read, padding included: T of them. From
            `explainer.reading.tokens_in`.
        embeddings: What the embeddings computed. From `model.Embeddings`.
        layer: What each layer computed: L of them. From `model.TransformerBlock`.
        head: What the head computed, if the explanation goes that far. From `heads`.
        not_shown: Why the explanation goes no further; empty if it does. From
            `explainer.explain`.
        subject: The model and its tokenizer, for the further runs of the reasons. From
            `explainer.explain`.
    """

    readings: tuple[Reading, ...]
    tokens: tuple[Token, ...]
    embeddings: EmbeddingsTrace
    layer: tuple[BlockTrace, ...]
    head: ClassifierTrace | MaskedLMTrace | None
    not_shown: str
    subject: LoadedModel

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.text[:60]!r}, tokens={len(self.tokens)}, "
            f"layers={len(self.layer)}, label={self.label!r})"
        )

    @property
    def text(self) -> str:
        """The text as it was given; of a pair the first."""
        return self.readings[0].raw

    @property
    def attention(self) -> tuple[Tensor, ...]:
        """The weights of each layer: L of (H, T, T)."""
        return tuple(block.weights for block in self.layer)

    @property
    def hidden_states(self) -> tuple[Tensor, ...]:
        """What enters the first layer and leaves each: L + 1 of (T, D)."""
        return (
            self.embeddings.LayerNorm,
            *(block.output_layer_norm for block in self.layer),
        )

    @property
    def norms(self) -> Tensor:
        """The length of each token's vector in each of `hidden_states`, (L + 1, T)."""
        lengths: Tensor = torch.linalg.vector_norm(
            torch.stack(self.hidden_states), dim=-1
        )
        return lengths

    @property
    def answer(self) -> Tensor | None:
        """The probabilities (C,) of the labels, or (V,) of words for the first mask.

        None where the head is not shown.
        """
        if isinstance(self.head, MaskedLMTrace):
            return self.head.probabilities[0]
        return None if self.head is None else self.head.probabilities

    @property
    def target(self) -> int | None:
        """The index of the most probable label or word."""
        return None if self.answer is None else int(self.answer.argmax())

    @property
    def label(self) -> str | None:
        """The most probable label, or word for the first mask."""
        return None if self.target is None else self.subject.name_of(self.target)
