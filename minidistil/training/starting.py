"""The model that a training begins with: a checkpoint, or some layers of a teacher."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from tempfile import TemporaryDirectory
from typing import Any

import torch

from minidistil.auto import identify
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensor_file import bytes_of
from minidistil.config import DistilBertConfig
from minidistil.files import read_json
from minidistil.hub import open_checkpoint
from minidistil.messages import MinidistilError
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.keys import key
from minidistil.training.labels import Labels
from minidistil.training.tasks import TASKS
from minidistil.training.tasks.masked_lm import MaskedLM
from minidistil.weights.bert import keep_layers
from minidistil.weights.conversion import convert

Name = str | os.PathLike[str]
# The BERTs whose head for hidden words is folded with the rest.
FOLDED = ("BertForMaskedLM", "BertForPreTraining")


class StartError(MinidistilError, ValueError):
    """A model that cannot be trained as it was asked for."""


def start(
    source: Name, kind: type[PreTrainedModel], labels: Labels, seed: int
) -> PreTrainedModel:
    """Load a model to be trained, with a head for the labels.

    The checkpoint's own head is kept if it is of this kind, and for as many labels, but
    not for the same ones in another order; otherwise a new one is drawn, from the seed.

    Raises:
        CheckpointError: if the checkpoint does not fit.
    """
    found = identify(source)
    config = found.config.replace(**labels.changes())
    before = Labels.of(found.config).names
    # A head for the same labels in another order would begin with all of them wrong.
    swapped = before != labels.names and sorted(before) == sorted(labels.names)
    own = found.kind is kind and len(before) == config.num_labels and not swapped
    torch.manual_seed(key(seed, "new head"))
    return kind.from_pretrained(source, config=config, new_head=not own)


def teacher_of(source: Name, kind: type[PreTrainedModel]) -> PreTrainedModel:
    """Load a teacher: a DistilBERT with a head of this kind, or a BERT that is folded.

    A BERT that was fine-tuned on pairs of texts has learnt to tell them apart by their
    token types, which DistilBERT has not: fold it before it is fine-tuned.

    Raises:
        CheckpointError: if it has no such head.
    """
    if not _is_bert(source):
        return kind.from_pretrained(source)
    with TemporaryDirectory() as folder:
        convert(source, folder)
        return kind.from_pretrained(folder)


def tokenizer_of(source: Name) -> DistilBertTokenizer:
    """A checkpoint's tokenizer."""
    return DistilBertTokenizer.from_pretrained(source)


def task_of(source: Name) -> str:
    """The task of a checkpoint's head; a BERT's is to guess hidden words.

    Raises:
        StartError: if it has no head, or is a BERT with another.
    """
    if _is_bert(source):
        heads = _configuration(source).get("architectures") or FOLDED[:1]
        if not {*FOLDED}.intersection(heads):
            raise StartError(
                f"{source} is a {heads[0]}, and of a BERT's heads only that for hidden "
                f"words can be folded. Fold it without its head (minidistil weights "
                f"convert --drop-heads {source} FOLDED), fine-tune that (minidistil "
                f"train), and give the result as the teacher"
            )
        return MaskedLM.name
    kind = identify(source).kind
    names = [name for name, task in TASKS.items() if task.kind is kind]
    if not names:
        known = ", ".join(task.kind.__name__ for task in TASKS.values())
        raise StartError(
            f"{source} is a {kind.__name__}, which has no head, so that it answers "
            f"nothing: expected one of {known}"
        )
    return names[0]


def student_of(teacher: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """A student that begins with some of its teacher's layers, and all else of it.

    Raises:
        ValueError: for layers that the teacher does not have.
    """
    config, tensors = keep_layers(
        teacher.config.to_dict(), teacher.state_dict(), [*layers]
    )
    student = type(teacher)(DistilBertConfig.from_dict(config))
    student.load_state_dict(tensors)
    return student


def check_vocabularies(
    teacher: DistilBertTokenizer, student: DistilBertTokenizer
) -> None:
    """Raise StartError unless both number the same words in the same way."""
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    if ours != theirs:
        others = {*ours.items()} ^ {*theirs.items()}
        raise StartError(
            f"the teacher has another vocabulary than the student ({len(theirs)} and "
            f"{len(ours)} words, {len(others)} entries of either differ): its answers "
            f"would be about other words. Begin with layers of the teacher, or take a "
            f"student of the same vocabulary"
        )


def check_widths(teacher: DistilBertConfig, student: DistilBertConfig) -> None:
    """Raise StartError unless the vectors of both can be compared."""
    if teacher.dim != student.dim:
        raise StartError(
            f"the student's vectors have {student.dim} numbers and the teacher's "
            f"{teacher.dim}, so that they point nowhere in common: set cosine to 0, or "
            f"take a student of the same width"
        )


def digest(model: PreTrainedModel) -> str:
    """BLAKE2b of all weights: whether they are those that a training began with."""
    found = blake2b(digest_size=16)
    for name, weight in sorted(model.state_dict().items()):
        found.update(name.encode())
        found.update(bytes_of(weight))
    return found.hexdigest()


def _is_bert(source: Name) -> bool:
    return _configuration(source).get("model_type") == "bert"


def _configuration(source: Name) -> Mapping[str, Any]:
    path = open_checkpoint(source).require("config.json")
    found: Mapping[str, Any] = read_json(path, dict, StartError)
    return found
