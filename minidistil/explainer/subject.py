"""What is explained: a model, its tokenizer, and how much of it there is to show."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from minidistil.auto import KINDS, kind_of
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import Weights
from minidistil.config import DistilBertConfig
from minidistil.engine import Engine
from minidistil.explainer.recorder import twin
from minidistil.heads import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForTokenClassification,
)
from minidistil.hub import HubCheckpointFiles, open_checkpoint
from minidistil.model import DistilBertModel
from minidistil.pipelines import DEFAULT_MODEL, DEFAULT_REVISION, Pipeline
from minidistil.tokenizer import DistilBertTokenizer

# Why an explanation of these ends with the encoder.
NOT_SHOWN: dict[type[PreTrainedModel], str] = {
    DistilBertForQuestionAnswering: "qa_outputs, which scores each token as the start "
    "and as the end of the answer, is not explained",
    DistilBertForTokenClassification: "the classifier, which labels each token, is not "
    "explained",
    DistilBertForMultipleChoice: "the classifier, which scores each choice, is not "
    "explained",
    DistilBertModel: "there is no head",
}


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that can be watched, with its tokenizer.

    Attributes:
        model: A `twin` of the model: modules of our own, the model's parameters.
        tokenizer: Its tokenizer.
        name: What to call it: the name of the checkpoint, of its folder, or of the
            class of a loaded model.
    """

    model: PreTrainedModel
    tokenizer: DistilBertTokenizer
    name: str

    def name_of(self, target: int) -> str:
        """The name of a label, or of a word where words are guessed."""
        if isinstance(self.model, DistilBertForMaskedLM):
            try:
                return str(self.tokenizer.convert_ids_to_tokens(target))
            except ValueError:  # a model may have more rows than there are words
                return f"[id {target}]"
        return str(self.model.config.id2label[target])

    @property
    def watched(self) -> PreTrainedModel:
        """What is run: without a head that is not shown, as not each takes one text."""
        whole = type(self.model) not in NOT_SHOWN
        return self.model if whole else self.model.encoder

    @property
    def limit(self) -> int:
        """The tokens that the model can read at once, [CLS] and [SEP] included."""
        positions = self.model.config.max_position_embeddings
        return int(min(self.tokenizer.model_max_length, positions))


def load(source: str | os.PathLike[str] | None, **where: Any) -> Subject:
    """Load the model that a checkpoint holds, whichever head it has.

    Args:
        source: ``"tiny"``, a folder, or a hub repository; None for the course's model.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`.
    """
    if source is None:
        source = DEFAULT_MODEL
        where["revision"] = where.get("revision") or DEFAULT_REVISION
    files = open_checkpoint(source, **where)
    config = DistilBertConfig.from_json_file(files.require("config.json"))
    if isinstance(files, HubCheckpointFiles):
        # The commit of that file: a branch could move on before the next is fetched.
        where["revision"] = files.address["revision"]
    kind = kind_of(config, Weights(files))
    model = kind.from_pretrained(source, attn_implementation="eager", **where)
    tokenizer = DistilBertTokenizer.from_pretrained(source, **where)
    _check_vocabulary(tokenizer, config)
    # A page that is passed on need not tell where the folder was.
    folder = Path(source).expanduser()
    name = folder.resolve().name if folder.is_dir() else str(source)
    return Subject(model, tokenizer, name)


def loaded(
    model: PreTrainedModel | Pipeline[Any], tokenizer: DistilBertTokenizer | None
) -> Subject:
    """Take a model that is loaded already, or the one in a pipeline.

    Raises:
        TypeError: for an engine, or a model or tokenizer of another kind.
        ValueError: for a model without its tokenizer, or in training mode.
    """
    if isinstance(model, Pipeline):
        return _watchable(model.model, tokenizer or model.tokenizer)
    return _watchable(model, tokenizer)


def _watchable(
    model: PreTrainedModel | Engine, tokenizer: DistilBertTokenizer | None
) -> Subject:
    if isinstance(model, Engine):
        raise TypeError(
            "an Engine has no steps to watch: explain the model it was made from, or "
            "give the checkpoint's name"
        )
    if type(model) not in KINDS.values():
        raise TypeError(
            f"the model is a {type(model).__name__}, expected a checkpoint's name, a "
            f"DistilBertModel, or one with a head"
        )
    if tokenizer is None:
        raise ValueError(
            "a loaded model does not know its tokenizer: give tokenizer= too"
        )
    if not isinstance(tokenizer, DistilBertTokenizer):
        raise TypeError(
            f"the tokenizer is a {type(tokenizer).__name__}, expected a "
            f"DistilBertTokenizer"
        )
    if model.training:
        raise ValueError(
            "the model is in training mode, where dropout makes numbers random: call "
            "model.eval() first"
        )
    _check_vocabulary(tokenizer, model.config)
    _check_layers(model)
    try:
        own = twin(model)
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"the model cannot be copied to be watched: {error}; make what was done to "
            f"its weights permanent, as by torch.nn.utils.prune.remove"
        ) from error
    return Subject(own, tokenizer, type(model).__name__)


def _check_layers(model: PreTrainedModel) -> None:
    """Refuse what would make the steps that are shown untrue, or fail on the way."""
    for name, module in model.named_modules():
        kind, called = type(module), name or "the model"
        ours = kind.__module__.startswith("minidistil.")
        if not ours and not kind.__module__.startswith("torch.nn.modules."):
            raise TypeError(
                f"{called} is a {kind.__name__}, expected a layer of torch.nn: merge "
                f"adapters and parametrizations into the weights, and explain the "
                f"model before it is quantised"
            )
        hooked = module._forward_hooks or module._forward_pre_hooks
        if hooked and (ours or isinstance(module, nn.Dropout)):
            raise TypeError(
                f"{called} ({kind.__name__}) has a hook, and what that changes no step "
                f"would show: remove it, or put it on a Linear, LayerNorm or Embedding"
            )


def _check_vocabulary(tokenizer: DistilBertTokenizer, config: DistilBertConfig) -> None:
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"the tokenizer knows {len(tokenizer)} tokens and the model "
            f"{config.vocab_size}: they are of two different checkpoints"
        )
