"""The model that is explained, and its tokenizer: loaded by name, or given."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from minidistil.auto import KINDS, identify
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.wrappers import expected_model, unwrapped, what_it_is
from minidistil.engine import Engine
from minidistil.explainer.twin import twin
from minidistil.heads import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForTokenClassification,
)
from minidistil.model import DistilBertModel
from minidistil.pipelines import DEFAULT_MODEL, DEFAULT_REVISION, Pipeline
from minidistil.pipelines.base import check_tokenizer
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
class LoadedModel:
    """A model that can be watched, with its tokenizer.

    Attributes:
        model: A `twin` of the model: new modules with the model's parameters.
        tokenizer: Its tokenizer.
        name: The name of the checkpoint, of its folder, or of the class of a model
            that was given.
    """

    model: PreTrainedModel
    tokenizer: DistilBertTokenizer
    name: str

    def name_of(self, target: int) -> str:
        """The name of a label, or of a word where the model predicts words."""
        if isinstance(self.model, DistilBertForMaskedLM):
            try:
                return str(self.tokenizer.convert_ids_to_tokens(target))
            except ValueError:  # a model may have more rows than there are words
                return f"[id {target}]"
        return str(self.model.config.id2label[target])


def load(source: str | os.PathLike[str] | None, **where: Any) -> LoadedModel:
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
    found = identify(source, **where)
    # Model and tokenizer from the same commit: a branch may move on in between.
    where["revision"] = found.files.revision
    model = found.kind.from_pretrained(source, attn_implementation="eager", **where)
    tokenizer = DistilBertTokenizer.from_pretrained(source, **where)
    check_tokenizer(tokenizer, found.config)
    # The page may be passed on: it shows the folder's name, not where the folder is.
    folder = Path(source).expanduser()
    name = folder.resolve().name if folder.is_dir() else str(source)
    return LoadedModel(model, tokenizer, name)


def take(
    model: PreTrainedModel | Pipeline[Any], tokenizer: DistilBertTokenizer | None
) -> LoadedModel:
    """Take a model that is in memory, or the one in a pipeline.

    Raises:
        TypeError: for an engine, or a model or tokenizer of another class, or a model
            with layers or hooks that the steps would not show.
        ValueError: for a model without its tokenizer, or in training mode.
    """
    if isinstance(model, Pipeline):
        tokenizer = tokenizer or model.tokenizer
    found = model.model if isinstance(model, Pipeline) else model
    if isinstance(found, Engine):
        raise TypeError(
            "an Engine has no steps to watch: explain the model it was made from, or "
            "give the checkpoint's name"
        )
    if not isinstance(found, PreTrainedModel) or type(found) not in KINDS.values():
        raise TypeError(f"the model is {what_it_is(found)}, {_expected(found)}")
    if tokenizer is None:
        raise ValueError(
            "a loaded model does not know its tokenizer: give tokenizer= too"
        )
    check_tokenizer(tokenizer, found.config)
    if found.training:
        raise ValueError(
            "the model is in training mode, where dropout makes numbers random: call "
            "model.eval() first"
        )
    _check_layers(found)
    try:
        copied = twin(found)
    except (RuntimeError, TypeError) as error:
        raise TypeError(
            f"the model cannot be copied to be watched: {error}; make what was done to "
            f"its weights permanent, as by torch.nn.utils.prune.remove"
        ) from error
    return LoadedModel(copied, tokenizer, type(found).__name__)


def _expected(model: object) -> str:
    """What can be explained, and what to do about a model that cannot."""
    kinds = "a checkpoint's name, a DistilBertModel, or one with a head"
    inside = unwrapped(model)
    if inside is None:
        return expected_model(kinds)
    if inside is model:
        return f"expected {kinds}: the steps of a subclass are not known"
    return (
        f"expected the {type(inside).__name__} inside: merge an adapter into its "
        f"weights, model.merge_and_unload(), and explain the model that was wrapped"
    )


def _check_layers(model: PreTrainedModel) -> None:
    """Refuse a model whose steps would be shown wrongly, or would fail to run."""
    for name, module in model.named_modules():
        kind, layer = type(module), name or "the model"
        ours = kind.__module__.startswith("minidistil.")
        if not ours and not kind.__module__.startswith("torch.nn.modules."):
            raise TypeError(
                f"{layer} is a {kind.__name__}, expected a layer of torch.nn: merge "
                f"adapters and parametrizations into the weights, and explain the "
                f"model before it is quantised"
            )
        hooked = module._forward_hooks or module._forward_pre_hooks
        if hooked and (ours or isinstance(module, nn.Dropout)):
            raise TypeError(
                f"{layer} ({kind.__name__}) has a hook, and no step would show what it "
                f"changes: remove it, or put it on a Linear, LayerNorm or Embedding"
            )
