"""From a name or a folder to the right class: `load`."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from minidistil.checkpoint.keywords import in_subfolder, the_one
from minidistil.checkpoint.matching import heads_of
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import Contents, Weights
from minidistil.config import DistilBertConfig
from minidistil.heads import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
)
from minidistil.hub import CheckpointFiles, open_checkpoint
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


class Checkpoint(NamedTuple):
    """A checkpoint that was opened: what is known of it before its numbers are read."""

    files: CheckpointFiles
    config: DistilBertConfig
    weights: Weights
    kind: type[PreTrainedModel]  # one of KINDS


def identify(source: str | os.PathLike[str], **where: Any) -> Checkpoint:
    """Open a checkpoint and find the class that it is meant for.

    Args:
        source: ``"tiny"``, a folder, or a hub repository.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``: see
            `PreTrainedModel.from_pretrained`.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`
            does, for what the headers of the files say.
    """
    files = open_checkpoint(source, **where)
    config = DistilBertConfig.from_json_file(files.require("config.json"))
    weights = Weights(files)
    return Checkpoint(files, config, weights, kind_of(config, weights))


def load(
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    subfolder: str | None = None,
    **options: Any,
) -> PreTrainedModel:
    """Load the model that a checkpoint holds, whichever head it has.

    Args:
        source: ``"tiny"``, a folder, or a hub repository.
        revision: With the next three, for hub repositories: see
            `PreTrainedModel.from_pretrained`.
        token: The hub token.
        cache_dir: The hub cache.
        local_files_only: Never use the network.
        subfolder: Of a folder: where in it the checkpoint lies.
        options: ``dtype``, ``device``, … of `PreTrainedModel.from_pretrained`.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`.
        TypeError, ValueError: for an option that does not exist or fit.
    """
    source = in_subfolder(source, subfolder)
    where: dict[str, Any] = {
        "token": the_one(
            token=token, use_auth_token=options.pop("use_auth_token", None)
        ),
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
    }
    found = identify(source, revision=revision, **where)
    # The commit that was just read: a branch may move on before the next file is read.
    return found.kind.from_pretrained(
        source, revision=found.files.revision, **where, **options
    )
