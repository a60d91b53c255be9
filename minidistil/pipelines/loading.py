"""From names to objects: the model, or an engine of it, and its tokenizer."""

from __future__ import annotations

import os
from typing import Any

import torch

from minidistil.checkpoint.devices import computing_device
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.engine import Engine, check_precision
from minidistil.engine.engine import check_device
from minidistil.pipelines.computing import Computing
from minidistil.tokenizer import DistilBertTokenizer

Path = str | os.PathLike[str]
Model = Path | Computing


def check_request(
    model: Model | None,
    precision: str | None,
    dtype: torch.dtype | str | None,
    attn_implementation: str | None,
) -> None:
    """Raise ValueError for what excludes each other, before anything is loaded."""
    if precision is not None:
        check_precision(precision)
    if dtype is None and attn_implementation is None:
        return
    if precision is not None:
        raise ValueError(
            "dtype and attn_implementation are for the model itself, precision is "
            "for the engine: give the one or the other"
        )
    if not isinstance(model, str | os.PathLike | None):
        raise ValueError(
            "dtype and attn_implementation are for a model that is still to be loaded: "
            "give them to from_pretrained"
        )


def load_tokenizer(
    tokenizer: Path | DistilBertTokenizer | None, model: Model, where: dict[str, Any]
) -> DistilBertTokenizer:
    """Return the tokenizer that was named or given, or else the model's.

    Raises:
        ValueError: for a loaded model without a tokenizer.
    """
    if tokenizer is None and isinstance(model, str | os.PathLike):
        tokenizer = model
    if tokenizer is None:
        raise ValueError(
            "a loaded model does not know its tokenizer: give tokenizer= too"
        )
    if not isinstance(tokenizer, str | os.PathLike):
        return tokenizer  # of any class: the pipeline checks it
    # The model's revision says nothing about another repository.
    where = where if tokenizer == model else where | {"revision": None}
    return DistilBertTokenizer.from_pretrained(tokenizer, **where)


def load_model(
    model: Model,
    kind: type[PreTrainedModel],
    where: dict[str, Any],
    *,
    precision: str | None,
    dtype: torch.dtype | str | None,
    device: torch.device | str | int | None,
    attn_implementation: str | None,
) -> Computing:
    """Return the model, or an engine of it; `pipeline` says what of the two, and when.

    Raises:
        ValueError: for a device that this machine does not have, or another precision
            or device than an engine's own.
    """
    place = None if device is None else computing_device(device)
    if isinstance(model, Engine):
        check_device(place, precision, model)
        return model
    if not isinstance(model, str | os.PathLike):
        model = model if place is None else model.to(place)
        if precision is None:
            return model
        # Of a model inside of a wrapper, the engine says what to do.
        given: Any = model
        return Engine(given, precision)
    if dtype is None and attn_implementation is None:
        precision = precision or "float32"
        return Engine.from_pretrained(model, kind, precision, device=place, **where)
    return kind.from_pretrained(
        model,
        dtype=torch.float32 if dtype is None else dtype,
        device=place,
        attn_implementation=attn_implementation or "sdpa",
        **where,
    )
