"""What the five heads do with the hidden states, and which of them they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.engine.layers import (
    FastEmbeddings,
    FastNorm,
    float32,
    require_activation,
    require_plain_layer,
    weight_and_bias,
)
from minidistil.engine.operators.products import Linear, Pack
from minidistil.heads import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
)
from minidistil.model import DistilBertModel


@dataclass(frozen=True)
class FastHead:
    """The layers on top of the encoder.

    Attributes:
        reads_all: Whether it reads every token, or the first one of each sequence.
        width: The numbers that come out of a row: C, V, or D.
        logits: (R, D) -> (R, width), float32.
    """

    reads_all: bool
    width: int
    logits: Callable[[Tensor], Tensor]


def require_finite(finite: bool) -> None:
    """Raise ValueError if not all results are finite."""
    if not finite:
        raise ValueError(
            "the engine's results are NaN or infinite: the model's weights are "
            "damaged, or too large for its precision; look at what the model itself "
            "returns"
        )


class LastLayer:
    """The layer that makes logits, in float32 whatever comes before it."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        # The last bit of a product depends on where the weight begins, which may be
        # anywhere in a mapped file; a copy in another process has it aligned.
        aligned = weight.data_ptr() % 64 == 0
        self.weight, self.bias = weight if aligned else weight.clone(), bias

    def __call__(self, x: Tensor) -> Tensor:
        """(R, D) -> (R, width)."""
        return F.linear(x.float(), self.weight, self.bias)


class ClassifierLayers:
    """The two layers that read the first token of a sequence."""

    def __init__(self, hidden: Linear, last: LastLayer) -> None:
        self.hidden, self.last = hidden, last

    def __call__(self, cls: Tensor) -> Tensor:
        """(R, D) -> (R, C)."""
        return self.last(F.relu(self.hidden(cls)))


class WordLayers:
    """The layers that score every word of the vocabulary."""

    def __init__(self, transform: Linear, norm: FastNorm, last: LastLayer) -> None:
        self.transform, self.norm, self.last = transform, norm, last

    def __call__(self, x: Tensor) -> Tensor:
        """(R, D) -> (R, V)."""
        return self.last(self.norm(self.transform.activated(x)))


def _classifier(
    model: DistilBertForSequenceClassification | DistilBertForMultipleChoice,
    pack: Pack,
    embeddings: FastEmbeddings,
) -> FastHead:
    hidden = pack(*weight_and_bias(model.pre_classifier))
    last = LastLayer(*weight_and_bias(model.classifier))
    return FastHead(False, len(last.weight), ClassifierLayers(hidden, last))


def _token_reader(layer: nn.Linear) -> FastHead:
    last = LastLayer(*weight_and_bias(layer))
    return FastHead(True, len(last.weight), last)


def _word_scorer(
    model: DistilBertForMaskedLM, pack: Pack, embeddings: FastEmbeddings
) -> FastHead:
    require_activation(model.activation, model.config.activation)
    transform = pack(*weight_and_bias(model.vocab_transform))
    norm = FastNorm(model.vocab_layer_norm)
    projector = require_plain_layer(model.vocab_projector, nn.Linear)
    tied = projector.weight is model.get_input_embeddings().weight
    # Not packed: it may be the word embeddings, the largest matrix of all.
    words = embeddings.words if tied else projector.weight
    last = LastLayer(float32(words), float32(projector.bias))
    if tied and words.dtype == torch.float32:
        embeddings.words = last.weight  # the very tensor: a copy has it once too
    return FastHead(True, len(last.weight), WordLayers(transform, norm, last))


def _encoder(
    model: DistilBertModel, pack: Pack, embeddings: FastEmbeddings
) -> FastHead:
    return FastHead(True, model.config.dim, Tensor.float)


# Each takes a model, what packs its layers, and the engine's embeddings.
HEADS: dict[type[nn.Module], Callable[..., FastHead]] = {
    DistilBertModel: _encoder,
    DistilBertForSequenceClassification: _classifier,
    DistilBertForMultipleChoice: _classifier,
    DistilBertForTokenClassification: lambda model, *_: _token_reader(model.classifier),
    DistilBertForQuestionAnswering: lambda model, *_: _token_reader(model.qa_outputs),
    DistilBertForMaskedLM: _word_scorer,
}
