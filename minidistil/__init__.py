"""DistilBERT to read, to trust and to use.

>>> from minidistil import pipeline
>>> classify = pipeline("sentiment-analysis", model="tiny")
>>> classify("I hate this so much!")[0]["label"]
'NEGATIVE'

Every name below is imported when it is first used: ``import minidistil`` is quick, and
configurations and tokenizers work without loading torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidistil.checkpoint.tensors import CheckpointError as CheckpointError
    from minidistil.config import (
        ConfigError as ConfigError,
        DistilBertConfig as DistilBertConfig,
    )
    from minidistil.engine import Engine as Engine
    from minidistil.explainer import compare as compare, explain as explain
    from minidistil.heads import (
        DistilBertForMaskedLM as DistilBertForMaskedLM,
        DistilBertForMultipleChoice as DistilBertForMultipleChoice,
        DistilBertForQuestionAnswering as DistilBertForQuestionAnswering,
        DistilBertForSequenceClassification as DistilBertForSequenceClassification,
        DistilBertForTokenClassification as DistilBertForTokenClassification,
    )
    from minidistil.hub import CheckpointNotFoundError as CheckpointNotFoundError
    from minidistil.model import DistilBertModel as DistilBertModel
    from minidistil.pipelines import (
        FeatureExtractionPipeline as FeatureExtractionPipeline,
        FillMaskPipeline as FillMaskPipeline,
        MultipleChoicePipeline as MultipleChoicePipeline,
        QuestionAnsweringPipeline as QuestionAnsweringPipeline,
        SentenceEmbeddingsPipeline as SentenceEmbeddingsPipeline,
        TextClassificationPipeline as TextClassificationPipeline,
        TokenClassificationPipeline as TokenClassificationPipeline,
        ZeroShotClassificationPipeline as ZeroShotClassificationPipeline,
        pipeline as pipeline,
    )
    from minidistil.tokenizer import (
        BatchEncoding as BatchEncoding,
        DistilBertTokenizer as DistilBertTokenizer,
    )
    from minidistil.wordpiece import WordPiece as WordPiece

    AutoConfig = DistilBertConfig
    AutoModel = DistilBertModel
    AutoModelForMaskedLM = DistilBertForMaskedLM
    AutoModelForMultipleChoice = DistilBertForMultipleChoice
    AutoModelForQuestionAnswering = DistilBertForQuestionAnswering
    AutoModelForSequenceClassification = DistilBertForSequenceClassification
    AutoModelForTokenClassification = DistilBertForTokenClassification
    AutoTokenizer = DistilBertTokenizer

__version__ = "0.1.0"

_HEADS = (
    "MaskedLM",
    "MultipleChoice",
    "QuestionAnswering",
    "SequenceClassification",
    "TokenClassification",
)
# The room that each name lives in.
_ROOMS = {
    "BatchEncoding": "tokenizer",
    "CheckpointError": "checkpoint",
    "CheckpointNotFoundError": "hub",
    "ConfigError": "config",
    "DistilBertConfig": "config",
    "DistilBertModel": "model",
    "DistilBertTokenizer": "tokenizer",
    "Engine": "engine",
    "FeatureExtractionPipeline": "pipelines",
    "FillMaskPipeline": "pipelines",
    "MultipleChoicePipeline": "pipelines",
    "QuestionAnsweringPipeline": "pipelines",
    "SentenceEmbeddingsPipeline": "pipelines",
    "TextClassificationPipeline": "pipelines",
    "TokenClassificationPipeline": "pipelines",
    "WordPiece": "wordpiece",
    "ZeroShotClassificationPipeline": "pipelines",
    "compare": "explainer",
    "explain": "explainer",
    "pipeline": "pipelines",
} | {f"DistilBertFor{head}": "heads" for head in _HEADS}
# The names that the Hugging Face course uses: only its import line has to change.
_ALIASES = {
    "AutoConfig": "DistilBertConfig",
    "AutoModel": "DistilBertModel",
    "AutoTokenizer": "DistilBertTokenizer",
} | {f"AutoModelFor{head}": f"DistilBertFor{head}" for head in _HEADS}

__all__ = sorted([*_ROOMS, *_ALIASES])


def __getattr__(name: str) -> Any:
    real_name = _ALIASES.get(name, name)
    if real_name not in _ROOMS:
        raise AttributeError(f"module 'minidistil' has no attribute {name!r}")
    room = import_module(f"minidistil.{_ROOMS[real_name]}")
    globals()[name] = getattr(room, real_name)  # found at once from now on
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
