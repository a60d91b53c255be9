"""What the five heads do with the hidden states, and which of them they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from minidistil.engine.encoder import FastNorm, require_activation, weight_and_bias
from minidistil.engine.operators import Pack
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


def _classifier(
    model: DistilBertForSequenceClassification | DistilBertForMultipleChoice,
    pack: Pack,
) -> FastHead:
    hidden = pack(*weight_and_bias(model.pre_classifier))
    last, width = _last_layer(model.classifier)
    return FastHead(False, width, lambda cls: last(F.relu(hidden(cls))))


def _token_reader(layer: nn.Linear) -> FastHead:
    last, width = _last_layer(layer)
    return FastHead(True, width, last)


def _word_scorer(model: DistilBertForMaskedLM, pack: Pack) -> FastHead:
    require_activation(model.activation, model.config.activation)
    transform = pack(*weight_and_bias(model.vocab_transform))
    norm = FastNorm(model.vocab_layer_norm)
    # Not packed: it may be the word embeddings, the largest matrix of all.
    last, width = _last_layer(model.vocab_projector)
    return FastHead(True, width, lambda x: last(norm(transform.activated(x))))


def _encoder(model: DistilBertModel, pack: Pack) -> FastHead:
    return FastHead(True, model.config.dim, Tensor.float)


def _last_layer(module: nn.Linear) -> tuple[Callable[[Tensor], Tensor], int]:
    """The layer that makes logits, in float32 whatever comes before it."""
    weight, bias = weight_and_bias(module)
    return lambda x: F.linear(x.float(), weight, bias), len(weight)


HEADS: dict[type[nn.Module], Callable[..., FastHead]] = {
    DistilBertModel: _encoder,
    DistilBertForSequenceClassification: _classifier,
    DistilBertForMultipleChoice: _classifier,
    DistilBertForTokenClassification: lambda model, _: _token_reader(model.classifier),
    DistilBertForQuestionAnswering: lambda model, _: _token_reader(model.qa_outputs),
    DistilBertForMaskedLM: _word_scorer,
}
