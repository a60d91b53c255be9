"""What one text was at every step of the model: tensors, named as in `model.py`.

Shapes use the letters of `minidistil.model`, without the axis of the batch.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from minidistil.explainer.reading import Reading, Token

if TYPE_CHECKING:
    from minidistil.explainer.ablation import Ablation, Ablations
    from minidistil.explainer.attribution import Attribution
    from minidistil.explainer.lens import Lens
    from minidistil.explainer.subject import Subject


class Brief:
    """What is shown on one line: of a tensor its shape."""

    def __repr__(self) -> str:
        fields = (f"{name}={_brief(value)}" for name, value in vars(self).items())
        return f"{type(self).__name__}({', '.join(fields)})"


def _brief(value: object) -> str:
    return str([*value.shape]) if isinstance(value, Tensor) else repr(value)


@dataclass(frozen=True, eq=False, repr=False)
class EmbeddingsTrace(Brief):
    """What `Embeddings` computed.

    Attributes:
        word_embeddings: The vector of each token, (T, D).
        position_embeddings: The vector of each place, (T, D).
        summed: The two added, (T, D).
        LayerNorm: The sum, normalised: what the first block reads, (T, D).
    """

    word_embeddings: Tensor
    position_embeddings: Tensor
    summed: Tensor
    LayerNorm: Tensor


@dataclass(frozen=True, eq=False, repr=False)
class BlockTrace(Brief):
    """What one `TransformerBlock` computed.

    Attributes:
        x: What it read, (T, D).
        q: What each token looks for, (H, T, K).
        k: What each token offers to be found by, (H, T, K).
        v: What each token hands on, (H, T, K).
        products: q kᵀ, (H, T, T): a row for each token that looks, a column for each
            that is looked at.
        scores: The products / √K; -inf where the mask hides a token, (H, T, T).
        weights: Softmax of each row of scores, (H, T, T).
        mixed: The values, mixed by the weights, (H, T, K).
        out_lin: The heads' mixed values, merged and projected, (T, D).
        attended_plus_x: ``out_lin``, which the block calls attended, + ``x``, (T, D).
        sa_layer_norm: That, normalised, (T, D).
        lin1: The FFN's wider layer, (T, F).
        activation: GELU (or ReLU) of it, (T, F).
        lin2: Back to the narrow one, (T, D).
        fed_forward: ``lin2`` + ``sa_layer_norm``, (T, D).
        output_layer_norm: That, normalised: what the block returns, (T, D).
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
        cls: The first token's vector, (D,).
        pre_classifier: A layer on it, (D,).
        relu: What of that is above 0, (D,).
        logits: A score for each label, (C,).
        function: What makes probabilities of logits: "softmax", "sigmoid" or "none".
        probabilities: That function of the logits, (C,).
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
        masks: Where they stand among the tokens.
        vocab_transform: A layer on each mask's vector, (M, D).
        activation: GELU (or ReLU) of it, (M, D).
        vocab_layer_norm: That, normalised, (M, D).
        logits: A score for each word, (M, V).
        probabilities: Softmax of each row of logits, (M, V).
    """

    masks: tuple[int, ...]
    vocab_transform: Tensor
    activation: Tensor
    vocab_layer_norm: Tensor
    logits: Tensor
    probabilities: Tensor


class Shown:
    """What can be seen as a page."""

    @abstractmethod
    def shown(self) -> tuple[Trace, ...]:
        """The traces that the page is of."""

    def to_html(self, *, patient: bool = False, progress: bool = False) -> str:
        """The page: one HTML document that needs no network.

        Args:
            patient: Compute why also where that takes long: for long or many texts.
            progress: Show on the terminal how far that is.
        """
        from minidistil.explainer.page import html

        return html(self.shown(), patient=patient, progress=progress)

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        patient: bool = False,
        progress: bool = False,
    ) -> Path:
        """Write the page to a file, and return its path; see `to_html`."""
        from minidistil.explainer.page import save

        return save(self.shown(), path, patient=patient, progress=progress)

    def _repr_html_(self) -> str:
        """The page in a frame, where its styles and its keys do not meet a notebook's.

        A notebook calls this.
        """
        page = escape(self.to_html(), quote=True)
        return (
            f'<iframe sandbox="allow-scripts" srcdoc="{page}" title="minidistil" '
            f'style="width: 100%; height: 50rem; border: 0"></iframe>'
        )


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Shown):
    """Everything that one text was on its way through the model.

    In a notebook it shows itself as the page that `save` writes.

    Attributes:
        readings: How the text became tokens; two readings for a pair of texts.
        tokens: What the model read, padding included: T of them.
        embeddings: What the embeddings computed.
        layer: What each block computed: L of them.
        head: What the head computed, if the explanation goes that far.
        not_shown: Why it goes no further; empty if it does.
        subject: The model and its tokenizer, for further runs.
    """

    readings: tuple[Reading, ...]
    tokens: tuple[Token, ...]
    embeddings: EmbeddingsTrace
    layer: tuple[BlockTrace, ...]
    head: ClassifierTrace | MaskedLMTrace | None
    not_shown: str
    subject: Subject

    def __repr__(self) -> str:
        return (
            f"Trace({self.text[:60]!r}, tokens={len(self.tokens)}, "
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
        """What enters the first block and leaves each: L + 1 of (T, D)."""
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
        """The probabilities (N,) of the N labels, or of the words for the first mask.

        None where no answer is explained.
        """
        if isinstance(self.head, MaskedLMTrace):
            return self.head.probabilities[0]
        return None if self.head is None else self.head.probabilities

    @property
    def target(self) -> int | None:
        """The number of the most probable label or word."""
        return None if self.answer is None else int(self.answer.argmax())

    @property
    def label(self) -> str | None:
        """The most probable label, or word for the first mask."""
        return None if self.target is None else self.subject.name_of(self.target)

    def shown(self) -> tuple[Trace, ...]:
        """Itself alone."""
        return (self,)

    def attribute(self, target: int | str | None = None, **options: Any) -> Attribution:
        """How much each token and word adds to a logit, by integrated gradients.

        ``target`` is a label or a word, or its number: by default the most probable.
        The options are those of `minidistil.explainer.attribution.attribute`.
        """
        from minidistil.explainer.attribution import attribute

        return attribute(self, target, **options)

    def lens(self, **options: Any) -> Lens:
        """What the head would say of the vectors of every layer."""
        from minidistil.explainer.lens import lens

        return lens(self, **options)

    def ablate(self, **options: Any) -> Ablation:
        """What the answer is without some ``heads``, ``layers`` or ``tokens``."""
        from minidistil.explainer.ablation import ablate

        return ablate(self, **options)

    def ablations(self, target: int | str | None = None, **options: Any) -> Ablations:
        """How a logit changes without each single head, layer and token."""
        from minidistil.explainer.ablation import ablations

        return ablations(self, target, **options)


class Traces(tuple[Trace, ...], Shown):
    """Several traces, to be compared side by side; shown as one page."""

    def __repr__(self) -> str:
        return f"Traces({len(self)} texts, {[trace.label for trace in self[:10]]})"

    def shown(self) -> tuple[Trace, ...]:
        """All of them."""
        return self
