"""Loading, one step at a time: what `from_pretrained` does, described as it is done.

Each step calls the function that loading calls, and adds only words.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minidistil.auto import KINDS, identify
from minidistil.checkpoint.fitting import check_fit, fill, skeleton_like
from minidistil.checkpoint.matching import fit, is_tied, parameters
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.stored import read_header
from minidistil.hub import HubCheckpointFiles
from minidistil.pipelines import FUNCTIONS, function_for
from minidistil.pipelines.base import max_tokens
from minidistil.progress import counting_seconds
from minidistil.tokenizer import DistilBertTokenizer

SENTENCE = "I've been waiting for a HuggingFace course my whole life."
_SHOWN = 5  # tensors: enough to see the pattern
_BEST = 5  # words that a masked language model names


@dataclass(frozen=True)
class Step:
    """One step: what it is called, and what there is to say when it is done."""

    title: str
    lines: list[str]


def load_step_by_step(
    source: str | os.PathLike[str], text: str = SENTENCE, **where: Any
) -> Iterator[Step]:
    """Load a checkpoint and ask it about a text, with a `Step` for each stage.

    Args:
        source: ``"tiny"``, a folder, or a hub repository.
        text: What to ask it about; a long text is truncated.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`
            does, from the step that finds out.
    """
    files, config, weights, kind = identify(source, **where)
    paths = sorted({entry.file for entry in weights.entries.values()})
    here = [(files.require("config.json"), "the model's sizes")]
    here += [(path, "its numbers") for path in paths]
    on_the_hub = isinstance(files, HubCheckpointFiles)
    fetched = ", fetched once and then kept in the cache," if on_the_hub else ""
    yield Step(
        "Find the files",
        [
            f"{files}{fetched} is",
            *(f"  {path} ({path.stat().st_size:,} bytes): {it}" for path, it in here),
        ],
    )

    yield Step("Read the header of the weights", _headers(paths))

    model = skeleton_like(weights, kind, config, "sdpa")
    count = model.num_parameters()
    yield Step(
        "Build an empty model",
        [
            f"The config.json asks for a {kind.__name__}: {config.n_layers} layers, "
            f"{config.n_heads} heads, dimension {config.dim}, {config.vocab_size:,} "
            "words.",
            f"It will hold {count:,} numbers, {4 * count:,} bytes as float32; so far "
            "it has only shapes.",
        ],
    )

    found = fit(model, weights, set())
    yield Step("Match the names", _matched(found.placed, model))

    check_fit(model, weights, set(), config.num_labels)
    yield Step(
        "Check that they fit",
        [
            "The file has every tensor that the model needs, and no other, each in the "
            "model's shape. At one difference loading would have stopped here and "
            "listed it.",
            *(f"ignored, of another head: {name}" for name in found.ignored),
        ],
    )

    cpu = torch.device("cpu")
    with counting_seconds("copying"):
        fill(model, weights, set(), torch.float32, cpu, model.init_weights)
    model.eval()
    least = min(float(each.detach().min()) for each in model.parameters())
    largest = max(float(each.detach().max()) for each in model.parameters())
    yield Step(
        "Copy the numbers, and check them",
        [
            "Each tensor now has memory of its own, as float32, and is finite: from "
            f"{least:.3f} to {largest:.3f}.",
            "eval() turns dropout off: the model is ready for inference.",
        ],
    )

    where["revision"] = files.revision  # of the files that were just read
    tokenizer = DistilBertTokenizer.from_pretrained(source, **where)
    yield Step("Ask it something", _asked(model, tokenizer, text))


def _headers(paths: list[Path]) -> list[str]:
    lines = []
    for path in paths:
        header = read_header(path)
        largest = max(header.tensors, key=lambda entry: entry.size)
        lines += [
            f"{path.name}: the first 8 bytes say that {header.data_start - 8:,} bytes "
            f"of JSON follow, so the numbers start at byte {header.data_start:,}.",
            f"The JSON names {len(header.tensors)} tensors, among them",
            *(
                f"  {each.name}: {each.dtype}, {each.shape}"
                for each in header.tensors[:_SHOWN]
            ),
            f"and the largest, {largest.name}: {largest.shape}, {largest.size:,} "
            "bytes.",
        ]
    return lines


def _matched(placed: dict[str, str], model: PreTrainedModel) -> list[str]:
    lines = [
        f"{len(placed)} tensors have a place among the model's "
        f"{len(parameters(model))} parameters, such as",
        *(f"  {theirs} -> {ours}" for theirs, ours in list(placed.items())[:_SHOWN]),
    ]
    if other := [pair for pair in placed.items() if pair[0] != pair[1]]:
        theirs, ours = other[0]
        lines.append(f"{len(other)} have another name here: {theirs} is our {ours}.")
    if is_tied(model):
        lines.append(
            "vocab_projector.weight needs none: it is the word embeddings, read twice."
        )
    return lines


@torch.inference_mode()
def _asked(
    model: PreTrainedModel, tokenizer: DistilBertTokenizer, text: str
) -> list[str]:
    kind = type(model)
    most = max_tokens(model.config, tokenizer)
    inputs = dict(
        tokenizer([text], truncation=True, max_length=most, return_tensors="pt")
    )
    ids = inputs["input_ids"][0].tolist()
    lines = [text]
    there = (
        len(tokenizer.ids_of_texts([text])[0]) + tokenizer.num_special_tokens_to_add()
    )
    if there > len(ids):
        lines.append(
            f"  too long: {len(ids)} of its {there} tokens are read, [CLS] and [SEP] "
            "among them"
        )
    lines += [f"  -> {tokenizer.convert_ids_to_tokens(ids)}", f"  -> {ids}"]
    if kind is KINDS["DistilBertForMultipleChoice"]:
        inputs = {name: tensor[None] for name, tensor in inputs.items()}
    out = model(**inputs, return_dict=True)
    result = out[0]
    lines.append(f"  -> {next(iter(out))} of shape {tuple(result.shape)}")
    if kind is KINDS["DistilBertForSequenceClassification"]:
        scores = FUNCTIONS[function_for(model.config)](result[0])
        lines += [
            f"  -> {model.config.id2label[i]}  {float(scores[i]):.4f}"
            for i in scores.argsort(descending=True).tolist()
        ]
    elif kind is KINDS["DistilBertForTokenClassification"]:
        labels = [model.config.id2label[i] for i in result[0].argmax(-1).tolist()]
        lines.append(f"  -> {labels}")
    elif kind is KINDS["DistilBertForMaskedLM"]:
        places = [i for i, each in enumerate(ids) if each == tokenizer.mask_token_id]
        for place in places:
            best = result[0, place].topk(_BEST).indices.tolist()
            words = tokenizer.convert_ids_to_tokens(best)
            lines.append(f"  -> for token {place} it would guess {words}")
        if not places:
            lines.append(f"  -> no {tokenizer.mask_token} in it, so nothing to guess")
    else:
        lines.append(f"  -> the first numbers are {result.flatten()[:_SHOWN].tolist()}")
    return lines
