"""Make a checkpoint that can be loaded out of the ones that people have.

Read (safetensors or a pickle, in one file or in shards), rename, drop, check, write.
What is written fits one of the six classes exactly, or nothing is written.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidistil.auto import KINDS, kind_of
from minidistil.checkpoint.companions import COMPANIONS, companions
from minidistil.checkpoint.fitting import check_fit, skeleton
from minidistil.checkpoint.matching import OUTPUT_EMBEDDINGS, WORD_EMBEDDINGS, fit
from minidistil.checkpoint.memory import TensorsInMemory
from minidistil.checkpoint.pretrained import PreTrainedModel, with_dtype
from minidistil.checkpoint.saving import save
from minidistil.checkpoint.stored import CheckpointError, parse_json
from minidistil.checkpoint.tensors import (
    DTYPES,
    INDEX_FILE,
    SINGLE_FILE,
    Weights,
    all_finite,
    plain_name,
)
from minidistil.config import ALIASES, DistilBertConfig
from minidistil.files import mode_of, read_bytes
from minidistil.hub import CheckpointFiles, open_checkpoint
from minidistil.messages import quote
from minidistil.progress import counting_seconds, steps
from minidistil.weights.bert import fold_bert, keep_layers
from minidistil.weights.pickles import read_pickles

_ENCODER = ("embeddings.", "transformer.")
# 0, 1, 2, … and 0, 0, 0, …, once saved along with the weights.
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")
# BERT's, of which the sum is kept.
_ADDED = ("position_embeddings.weight", "token_type_embeddings.weight")
_SUM = "embeddings.position_embeddings.weight"
# BERT's head for masked words is DistilBERT's, under other names.
_BERT_WORDS = {
    "cls.predictions.transform.dense.weight": "vocab_transform.weight",
    "cls.predictions.transform.dense.bias": "vocab_transform.bias",
    "cls.predictions.transform.LayerNorm.weight": "vocab_layer_norm.weight",
    "cls.predictions.transform.LayerNorm.bias": "vocab_layer_norm.bias",
    "cls.predictions.decoder.weight": OUTPUT_EMBEDDINGS,
    "cls.predictions.bias": "vocab_projector.bias",
}
# A second name of the bias, and the guess whether two sentences follow one another.
_BERT_LEFT_OUT = (
    "cls.predictions.decoder.bias",
    "cls.seq_relationship.weight",
    "cls.seq_relationship.bias",
)

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Conversion:
    """What was made.

    Attributes:
        folder: Where it lies.
        kind: The class that loads it.
        tensors: How many there are.
        parameters: How many numbers they hold.
        dtype: What they are stored as, such as "float32"; several are joined by "+".
        left_out: The tensors of the source that are not in it.
    """

    folder: Path
    kind: str
    tensors: int
    parameters: int
    dtype: str
    left_out: list[str]


def convert(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    prefix: bool | None = None,
    drop_heads: bool = False,
    drop: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
    layers: Sequence[int] | str | None = None,
    **where: Any,
) -> Conversion:
    """Write a checkpoint anew, as safetensors in the hub's layout.

    Old names (``gamma``, ``beta``) become today's, buffers are left out, a BERT is
    folded, a ``vocab_projector.weight`` that is the word embeddings is left out. The
    tokenizer's files come along, and what says how sentences become vectors.

    Args:
        source: ``"tiny"``, a folder, or a hub repository: DistilBERT's or BERT's, as
            safetensors or as ``pytorch_model.bin``.
        folder: Made if need be; it may be the source. All files are complete before
            one takes the place of an older one, the weights last but one.
        dtype: What the weights become; as they are by default.
        prefix: Whether the encoder's tensors are called ``distilbert.…``; by default
            they are if there is a head, as transformers has it.
        drop_heads: Leave only the encoder.
        drop: Tensors, or modules, to leave out, such as ``"pooler"``.
        rename: New names for tensors or modules, such as ``{"score": "classifier"}``.
            A prefix that becomes ``""`` is removed: ``{"module": ""}``.
        layers: The layers to keep, counted from 0, or "every-second": the start of a
            smaller model that is then to be distilled.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``.

    Raises:
        CheckpointNotFoundError: if there is no such checkpoint.
        CheckpointError: if it is not sound, cannot be read without running code, does
            not fit any class, or has numbers that are too large for ``dtype``.
        ValueError: for a ``dtype`` that does not load, a BERT or a configuration that
            DistilBERT cannot express, names that the source does not have, or a folder
            with files (such as a tokenizer's) that the source does not have.
        OSError: if the folder cannot be written; older files are left as they were.
    """
    if dtype not in (None, *DTYPES.values()):
        raise ValueError(
            f"dtype is {dtype!r}, expected None or one of "
            f"{', '.join(map(str, DTYPES.values()))}: others are not loaded"
        )
    files = open_checkpoint(source, **where)
    found = files.require("config.json")
    folder = Path(folder)
    beside = {name: read_bytes(files.require(name)) for name in companions(files)}
    present = [name for name in COMPANIONS if mode_of(folder / name)]
    if stale := [name for name in present if name not in beside]:
        raise ValueError(
            f"'{folder}' holds {', '.join(stale)}, which the source does not have, and "
            "which would be read with the new weights; remove it, or convert into "
            "another folder. Nothing was written"
        )
    values = parse_json(found, read_bytes(found))
    given = tensors = _read_tensors(files)
    for name in drop:
        gone = _find(name, tensors)
        tensors = {each: tensors[each] for each in tensors if each not in gone}
    for old, new in (rename or {}).items():
        tensors = _renamed(tensors, old, new)
    is_bert = values.get("model_type") == "bert"
    if is_bert:
        values, tensors = _from_bert(values, tensors, drop_heads)
        if dtype is None:
            tensors[_SUM] = _cast(_SUM, tensors[_SUM], tensors[WORD_EMBEDDINGS].dtype)
    if drop_heads:
        tensors = {n: tensors[n] for n in tensors if n.startswith(_ENCODER)}
        values["architectures"] = ["DistilBertModel"]
    values = {ALIASES.get(name, name): value for name, value in values.items()}
    if layers is not None:
        values, tensors = keep_layers(values, tensors, layers)
    config, tensors = _untie(DistilBertConfig.from_dict(values), tensors)
    kind = _kind(config, tensors, str(files))
    kept = {id(tensor) for tensor in tensors.values()}
    left_out = [
        name
        for name, tensor in given.items()
        if id(tensor) not in kept and not (is_bert and name.endswith(_ADDED))
    ]
    if dtype is not None:
        tensors = {
            name: _cast(name, tensor, dtype)
            for name, tensor in steps(list(tensors.items()), "converting")
        }
    dtypes = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values()})
    config = config.replace(architectures=[kind.__name__])
    if len(dtypes) == 1:
        config = with_dtype(config, next(iter(tensors.values())).dtype)
    if prefix is None:
        prefix = kind is not KINDS["DistilBertModel"]
    parameters = sum(tensor.numel() for tensor in tensors.values())
    named = {
        f"distilbert.{name}" if prefix and name.startswith(_ENCODER) else name: tensor
        for name, tensor in tensors.items()
    }
    with counting_seconds("writing"):
        save(folder, named, config.to_json_string(), beside)
    return Conversion(
        folder, kind.__name__, len(tensors), parameters, "+".join(dtypes), left_out
    )


def _read_tensors(files: CheckpointFiles) -> Tensors:
    """All weights of a checkpoint by plain name, whatever kind of file they are in."""
    if files.first(SINGLE_FILE, INDEX_FILE) is not None:
        weights = Weights(files)
    else:
        weights = TensorsInMemory(str(files), read_pickles(files))
    return {
        name: weights.stored(name)
        for name in weights.entries
        if not name.endswith(_BUFFERS)
    }


def _find(name: str, tensors: Iterable[str]) -> set[str]:
    """The tensors that a name stands for: itself, or all of a module."""
    found = {each for each in tensors if each == name or each.startswith(f"{name}.")}
    if not found:
        modules = sorted({each.rpartition(".")[0] for each in tensors})
        others = [each for each in modules if not each.startswith(_ENCODER)]
        raise ValueError(
            f"there is no tensor and no module {name!r}; beside the encoder there are: "
            f"{', '.join(others) or 'none'}"
        )
    return found


def _renamed(tensors: Tensors, old: str, new: str) -> Tensors:
    # A wrapper's prefix may be given with its dot, and goes with it.
    old, new = old.removesuffix("."), new.removesuffix(".")
    found = _find(old, tensors)
    if not new and old in found:
        raise ValueError(f"{old!r} is a tensor and needs a name; drop= leaves it out")
    names = {each: f"{new}{each.removeprefix(old)}".lstrip(".") for each in found}
    if taken := sorted(set(names.values()) & (set(tensors) - set(names))):
        raise ValueError(
            f"{old!r} cannot become {new!r}: there is a {taken[0]!r} already"
        )
    renamed: Tensors = {}
    for each, tensor in tensors.items():
        # The new name may be an old or a long one of a tensor, as in a file.
        name = plain_name(names.get(each, each)) or names.get(each, each)
        if name in renamed:
            raise ValueError(
                f"{old!r} cannot become {new!r}: two tensors would be {name!r}"
            )
        renamed[name] = tensor
    return renamed


def _from_bert(
    values: Mapping[str, Any], tensors: Tensors, drop_heads: bool
) -> tuple[dict[str, Any], Tensors]:
    """Fold BERT's encoder, and carry its head for masked words over."""
    rest = {
        name: tensor
        for name, tensor in tensors.items()
        if name.removeprefix("bert.").startswith(("embeddings.", "encoder.", "pooler."))
    }
    head = {name: tensors[name] for name in tensors if name not in rest}
    if drop_heads:
        head = {}
    if foreign := sorted(set(head) - set(_BERT_WORDS) - set(_BERT_LEFT_OUT)):
        raise ValueError(
            f"{', '.join(foreign)}: this head of BERT's stands on its pooler or its "
            "token types, which DistilBERT does not have; drop_heads (--drop-heads) "
            "leaves it out"
        )
    folded, encoder = fold_bert(values, rest)
    words = {_BERT_WORDS[name]: head[name] for name in head if name in _BERT_WORDS}
    if words:
        folded["architectures"] = ["DistilBertForMaskedLM"]
    return folded, {**encoder, **words}


def _untie(
    config: DistilBertConfig, tensors: Tensors
) -> tuple[DistilBertConfig, Tensors]:
    """Leave out an output matrix that is the word embeddings, or say it is not."""
    output, words = tensors.get(OUTPUT_EMBEDDINGS), tensors.get(WORD_EMBEDDINGS)
    if output is None or words is None:
        return config, tensors
    tied = output.dtype == words.dtype and torch.equal(output, words)
    if tied:
        tensors = {n: tensors[n] for n in tensors if n != OUTPUT_EMBEDDINGS}
    return config.replace(tie_word_embeddings=tied), tensors


def _kind(
    config: DistilBertConfig, tensors: Tensors, source: str
) -> type[PreTrainedModel]:
    """The class that these tensors are of; they fit it exactly, or it is an error."""
    contents = TensorsInMemory(source, tensors)
    kind = kind_of(config, contents)
    model = skeleton(kind, config, "sdpa")
    if fit(model, contents, set()).problems:
        # After a head was renamed, the configuration speaks of another.
        kind = kind_of(config.replace(architectures=None), contents)
        model = skeleton(kind, config, "sdpa")
    try:
        check_fit(model, contents, set(), config.num_labels)
    except CheckpointError as error:
        raise CheckpointError(
            f"{error} To leave tensors out, or to name them otherwise: drop= and "
            "rename= (--drop NAME, --rename OLD=NEW)."
        ) from None
    return kind


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    cast = tensor.to(dtype)
    if not all_finite(cast) and all_finite(tensor):
        raise CheckpointError(
            f"{quote(name)} holds numbers beyond {torch.finfo(dtype).max:g}, the "
            f"largest of {dtype}, so they would become infinite; bfloat16 and float32 "
            "hold them"
        )
    return cast
