"""From names to objects: the model, or an engine of it, and its tokenizer."""

from __future__ import annotations

import os
from typing import Any

import torch

from minidistil.checkpoint.pretrained import PreTrainedModel, usable_device
from minidistil.engine import Engine, check_precision
from minidistil.tokenizer import DistilBertTokenizer

Path = str | os.PathLike[str]


def check_request(
    model: Path | PreTrainedModel | Engine | None,
    precision: str | None,
    dtype: torch.dtype | str | None,
    attn_implementation: str | None,
) -> None:
    """Raise ValueError for what excludes each other, before anything is loaded."""
    itself = dtype is not None or attn_implementation is not None
    if precision is not None:
        check_precision(precision)
        if itself:
            raise ValueError(
                "dtype and attn_implementation are for the model itself, precision is "
                "for the engine: give the one or the other"
            )
    if itself and not isinstance(model, str | os.PathLike | None):
        raise ValueError(
            "dtype and attn_implementation are for a model that is still to be loaded: "
            "give them to from_pretrained"
        )


def load_tokenizer(
    tokenizer: Path | DistilBertTokenizer | None,
    model: Path | PreTrainedModel | Engine,
    where: dict[str, Any],
) -> DistilBertTokenizer:
    """Return the tokenizer that was named or given, or else the model's.

    Raises:
        ValueError: for a loaded model without a tokenizer.
    """
    if tokenizer is None:
        if not isinstance(model, str | os.PathLike):
            raise ValueError(
                "a loaded model does not know its tokenizer: give tokenizer= too"
            )
        tokenizer = model
    if not isinstance(tokenizer, str | os.PathLike):
        return tokenizer
    # The model's revision says nothing about another repository.
    where = where if tokenizer == model else where | {"revision": None}
    return DistilBertTokenizer.from_pretrained(tokenizer, **where)


def load_model(
    model: Path | PreTrainedModel | Engine,
    kind: type[PreTrainedModel],
    *,
    precision: str | None,
    dtype: torch.dtype | str | None,
    device: torch.device | str | int | None,
    attn_implementation: str | None,
    where: dict[str, Any],
) -> PreTrainedModel | Engine:
    """Return what computes: by default an engine of what is named, or what is given.

    Args:
        model: A folder, a name, a model or an engine.
        kind: The class of the model.
        precision: See `minidistil.pipeline`, and so are the next three.
        dtype: See there.
        device: See there.
        attn_implementation: See there.
        where: Where on the hub: see `PreTrainedModel.from_pretrained`.

    Raises:
        ValueError: for a device that this machine does not have, or another precision
            or device than an engine's own.
    """
    place = None if device is None else _real(usable_device(device))
    if isinstance(model, Engine):
        _check_engine(model, precision, place)
        return model
    if not isinstance(model, str | os.PathLike):
        model = model if place is None else model.to(place)
        return model if precision is None else Engine(model, precision)
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


def _check_engine(
    engine: Engine, precision: str | None, place: torch.device | None
) -> None:
    other = precision not in (None, engine.precision)
    if other or (place is not None and not _is_at(engine.device, place)):
        raise ValueError(
            f"the engine computes in {engine.precision} on {engine.device}: make "
            f"another one for another precision or device"
        )


def _is_at(device: torch.device, place: torch.device) -> bool:
    """Whether it is the device that was asked for; without a number any of its type."""
    return device.type == place.type and place.index in (None, device.index or 0)


def _real(device: torch.device) -> torch.device:
    if device.type == "meta":
        raise ValueError("device 'meta' cannot be used: it has shapes, no numbers")
    return device
