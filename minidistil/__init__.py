"""DistilBERT to read, to trust and to use.

>>> from minidistil import pipeline
>>> classify = pipeline("sentiment-analysis", model="tiny")
>>> classify("I hate this so much!")[0]["label"]
'NEGATIVE'

Every name below is imported when it is first used: ``import minidistil`` is quick, and
configurations and tokenizers work without loading torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import AddedToken as AddedToken

    from minidistil import weights as weights
    from minidistil.auto import load as load
    from minidistil.checkpoint import CheckpointError as CheckpointError
    from minidistil.config import (
        ConfigError as ConfigError,
        DistilBertConfig as DistilBertConfig,
    )
    from minidistil.engine import Engine as Engine
    from minidistil.explainer import (
        Trace as Trace,
        compare as compare,
        explain as explain,
    )
    from minidistil.heads import (
        DistilBertForMaskedLM as DistilBertForMaskedLM,
        DistilBertForMultipleChoice as DistilBertForMultipleChoice,
        DistilBertForQuestionAnswering as DistilBertForQuestionAnswering,
        DistilBertForSequenceClassification as DistilBertForSequenceClassification,
        DistilBertForTokenClassification as DistilBertForTokenClassification,
    )
    from minidistil.hub import CheckpointNotFoundError as CheckpointNotFoundError
    from minidistil.messages import MinidistilError as MinidistilError
    from minidistil.model import (
        DistilBertModel as DistilBertModel,
        DistilBertPreTrainedModel as DistilBertPreTrainedModel,
    )
    from minidistil.outputs import (
        BaseModelOutput as BaseModelOutput,
        MaskedLMOutput as MaskedLMOutput,
        MultipleChoiceOutput as MultipleChoiceOutput,
        QuestionAnsweringOutput as QuestionAnsweringOutput,
        SequenceClassifierOutput as SequenceClassifierOutput,
        TokenClassifierOutput as TokenClassifierOutput,
    )
    from minidistil.pipelines import (
        FeatureExtractionPipeline as FeatureExtractionPipeline,
        FillMaskPipeline as FillMaskPipeline,
        MultipleChoicePipeline as MultipleChoicePipeline,
        Pipeline as Pipeline,
        QuestionAnsweringPipeline as QuestionAnsweringPipeline,
        SentenceEmbeddingsPipeline as SentenceEmbeddingsPipeline,
        TextClassificationPipeline as TextClassificationPipeline,
        TokenClassificationPipeline as TokenClassificationPipeline,
        ZeroShotClassificationPipeline as ZeroShotClassificationPipeline,
        pipeline as pipeline,
    )
    from minidistil.tables import Annotator as Annotator, annotate as annotate
    from minidistil.tokenizer import (
        BatchEncoding as BatchEncoding,
        DistilBertTokenizer as DistilBertTokenizer,
    )
    from minidistil.training.recipe import Recipe as Recipe
    from minidistil.training.training import (
        distil as distil,
        evaluate as evaluate,
        train as train,
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
    DistilBertTokenizerFast = DistilBertTokenizer

__version__ = "0.1.0"  # the only place; pyproject.toml reads it

_HEADS = (
    "MaskedLM",
    "MultipleChoice",
    "QuestionAnswering",
    "SequenceClassification",
    "TokenClassification",
)
# The module that each name comes from.
_MODULES = {
    "AddedToken": "tokenizers",
    "Annotator": "minidistil.tables",
    "BatchEncoding": "minidistil.tokenizer",
    "CheckpointError": "minidistil.checkpoint",
    "CheckpointNotFoundError": "minidistil.hub",
    "ConfigError": "minidistil.config",
    "DistilBertConfig": "minidistil.config",
    "DistilBertModel": "minidistil.model",
    "DistilBertPreTrainedModel": "minidistil.model",
    "DistilBertTokenizer": "minidistil.tokenizer",
    "Engine": "minidistil.engine",
    "MinidistilError": "minidistil.messages",
    "Pipeline": "minidistil.pipelines",
    "Recipe": "minidistil.training.recipe",
    "Trace": "minidistil.explainer",
    "WordPiece": "minidistil.wordpiece",
    "annotate": "minidistil.tables",
    "compare": "minidistil.explainer",
    "distil": "minidistil.training.training",
    "evaluate": "minidistil.training.training",
    "explain": "minidistil.explainer",
    "load": "minidistil.auto",
    "pipeline": "minidistil.pipelines",
    "train": "minidistil.training.training",
}
_MODULES |= {f"DistilBertFor{head}": "minidistil.heads" for head in _HEADS}
_MODULES |= {
    f"{result}Output": "minidistil.outputs"
    for result in (
        "BaseModel",
        "MaskedLM",
        "MultipleChoice",
        "QuestionAnswering",
        "SequenceClassifier",
        "TokenClassifier",
    )
}
_MODULES |= {
    f"{task}Pipeline": "minidistil.pipelines"
    for task in (
        "FeatureExtraction",
        "FillMask",
        "MultipleChoice",
        "QuestionAnswering",
        "SentenceEmbeddings",
        "TextClassification",
        "TokenClassification",
        "ZeroShotClassification",
    )
}
# The names that the Hugging Face course uses: only its import line has to change.
_ALIASES = {
    "AutoConfig": "DistilBertConfig",
    "AutoModel": "DistilBertModel",
    "AutoTokenizer": "DistilBertTokenizer",
    "DistilBertTokenizerFast": "DistilBertTokenizer",
} | {f"AutoModelFor{head}": f"DistilBertFor{head}" for head in _HEADS}

__all__ = sorted([*_MODULES, *_ALIASES, "weights"])


def __getattr__(name: str) -> Any:
    if name == "weights":
        return import_module("minidistil.weights")
    real_name = _ALIASES.get(name, name)
    if real_name not in _MODULES:
        raise _no_such_name(name)
    module = import_module(_MODULES[real_name])
    globals()[name] = getattr(module, real_name)  # found at once from now on
    return globals()[name]


def _no_such_name(name: str) -> Exception:
    """The error for a name that is not here; it says where the name is, if known.

    ``from minidistil import …`` would drop the text of an AttributeError, and
    ``hasattr`` lets no ImportError through: each gets its own. The name of a submodule
    must stay an AttributeError, for Python to go on and import it.
    """
    text = f"module 'minidistil' has no attribute {name!r}"
    if name.startswith("__"):
        return AttributeError(text)
    from minidistil.elsewhere import where_it_is

    hint = where_it_is(name, __all__)
    # Above this function and the module's __getattr__ stands who asks.
    imported = sys._getframe(2).f_code.co_name == "_handle_fromlist"
    if imported and find_spec(f"minidistil.{name}") is None:
        return ImportError(f"cannot import {name!r} from minidistil: {hint}")
    return AttributeError(f"{text}: {hint}", name=name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
