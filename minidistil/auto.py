"""Which of the six classes a checkpoint is meant for."""

from __future__ import annotations

from minidistil.checkpoint.fitting import heads_of
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import Contents
from minidistil.config import DistilBertConfig
from minidistil.heads import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
)
from minidistil.model import DistilBertModel

KINDS: dict[str, type[PreTrainedModel]] = {
    kind.__name__: kind
    for kind in (
        DistilBertModel,
        DistilBertForMaskedLM,
        DistilBertForSequenceClassification,
        DistilBertForTokenClassification,
        DistilBertForQuestionAnswering,
        DistilBertForMultipleChoice,
    )
}
# The class of each of fitting's heads; multiple choice has the same tensors as its
# neighbour, so that only the config.json tells them apart.
_OF_HEAD: dict[str, type[PreTrainedModel]] = {
    "masked language modelling": DistilBertForMaskedLM,
    "sequence classification or multiple choice": DistilBertForSequenceClassification,
    "token classification": DistilBertForTokenClassification,
    "question answering": DistilBertForQuestionAnswering,
}


def kind_of(config: DistilBertConfig, contents: Contents) -> type[PreTrainedModel]:
    """The class that the configuration names, or else the one of the head there is."""
    for name in config.architectures or ():
        if name in KINDS:
            return KINDS[name]
    for task in heads_of(contents):
        return _OF_HEAD[task]
    return DistilBertModel
