"""Say what is wrong with the arguments of a forward pass, before anything is computed.

Without these checks a wrong argument ends in an IndexError from deep inside torch,
or in an answer that is silently wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from minidistil.config import ConfigError, DistilBertConfig
from minidistil.messages import unknown_keyword

_ENCODER_ARGUMENTS = (
    "input_ids",
    "attention_mask",
    "inputs_embeds",
    "position_ids",
    "token_type_ids",
    "output_hidden_states",
    "output_attentions",
    "return_dict",
)
_HEAD_ARGUMENTS = ("labels", "start_positions", "end_positions", "num_items_in_batch")


_checked = ContextVar("checked", default=False)


@contextmanager
def checked_before() -> Iterator[None]:
    """Do not look at numbers within the block: who calls has done so, on the host.

    Each look at a tensor of a GPU waits until all that was started before is computed.
    """
    outside = _checked.set(True)
    try:
        yield
    finally:
        _checked.reset(outside)


def is_true(flag: Tensor) -> bool:
    """Whether a flag (), a tensor, is true; False where it must not be looked at.

    A value that is looked at becomes a constant of a program that is being recorded:
    by torch.compile, torch.export, torch.jit.trace or in a CUDA graph. Under vmap, on
    the meta device and of a fake tensor there is no value, which is a RuntimeError.
    """
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return False
    if _checked.get():
        return False
    if flag.is_cuda and torch.cuda.is_current_stream_capturing():
        return False
    try:
        return bool(flag)
    except RuntimeError:
        return False


def unknown_argument(unknown: Iterable[str]) -> TypeError:
    """Return the error for an argument that reached the encoder and is not its own."""
    name = next(iter(unknown))
    if name in _HEAD_ARGUMENTS:
        return TypeError(
            f"{name} was given to a model that does not take it: question answering "
            f"takes start_positions and end_positions, the other heads labels, the "
            f"bare encoder neither"
        )
    known = _ENCODER_ARGUMENTS + _HEAD_ARGUMENTS
    return unknown_keyword([name], known, "the model")


def check_inputs(
    config: DistilBertConfig,
    input_ids: Tensor | None,
    attention_mask: Tensor | None,
    inputs_embeds: Tensor | None,
    position_ids: Tensor | None,
) -> None:
    """Check what the encoder was given.

    Raises:
        TypeError: for something that is not a tensor, or ids that are not integers.
        ValueError: for a wrong shape, more tokens than positions, or if not exactly
            one of ids and embeddings is given.
        IndexError: for an id outside the vocabulary or a position outside the table.
    """
    batch, tokens = check_tokens(config, input_ids, inputs_embeds)
    check_positions(config, position_ids, batch, tokens)
    if attention_mask is None:
        _warn_of_pads(config.pad_token_id, input_ids)
        return
    check_tensor("attention_mask", attention_mask)
    if tuple(attention_mask.shape) != (batch, tokens):
        cure = "one value for each token, non-zero to attend to it"
        expected = f"{(batch, tokens)}: {cure}"
        raise _wrong_shape("attention_mask", attention_mask, expected)


def check_tokens(
    config: DistilBertConfig, input_ids: Tensor | None, inputs_embeds: Tensor | None
) -> tuple[int, int]:
    """Check ids (B, T) or embeddings (B, T, D), one of the two, and return (B, T)."""
    if (input_ids is None) == (inputs_embeds is None):
        got = "neither" if input_ids is None else "both"
        raise ValueError(f"give input_ids or inputs_embeds, one of the two; got {got}")
    if input_ids is None:
        assert inputs_embeds is not None
        check_tensor("inputs_embeds", inputs_embeds)
        if not inputs_embeds.is_floating_point():
            raise TypeError(
                f"inputs_embeds is {inputs_embeds.dtype}, expected floating point; "
                f"token ids are given as input_ids"
            )
        if inputs_embeds.ndim != 3 or inputs_embeds.shape[2] != config.dim:
            raise _wrong_shape(
                "inputs_embeds", inputs_embeds, f"(batch, tokens, {config.dim})"
            )
        batch, tokens, _ = inputs_embeds.shape
    else:
        _check_integers("input_ids", input_ids)
        if input_ids.ndim != 2:
            cure = (
                "; for one sentence use input_ids[None]" if input_ids.ndim == 1 else ""
            )
            raise _wrong_shape("input_ids", input_ids, f"(batch, tokens){cure}")
        cure = (
            "is the tokenizer this checkpoint's own? To add tokens, call "
            "resize_token_embeddings"
        )
        _check_range("input_ids", input_ids, config.vocab_size, cure)
        batch, tokens = input_ids.shape
    if tokens == 0:
        raise ValueError(
            "got sequences of 0 tokens, expected at least 1 (the tokenizer's "
            "[CLS] and [SEP] are there even for an empty text)"
        )
    return batch, tokens


def check_positions(
    config: DistilBertConfig, position_ids: Tensor | None, batch: int, tokens: int
) -> None:
    """Check that each token has a position: 0 … max_position_embeddings - 1."""
    limit = config.max_position_embeddings
    if position_ids is None:
        if tokens > limit:
            raise ValueError(
                f"got {tokens} tokens, expected at most {limit} "
                f"(max_position_embeddings): truncate the text (the tokenizer's "
                f"truncation=True) or split it"
            )
        return
    _check_integers("position_ids", position_ids)
    if tuple(position_ids.shape) not in {(batch, tokens), (1, tokens)}:
        raise _wrong_shape("position_ids", position_ids, f"{(batch, tokens)}")
    _check_range("position_ids", position_ids, limit, "positions count from 0")


def check_labels(
    name: str,
    labels: Tensor,
    shape: tuple[int, ...],
    classes: int,
    ignored: int,
    num_items_in_batch: Tensor | None,
    training: bool,
) -> Tensor:
    """Check class labels, and return them as int64.

    Args:
        name: What errors call them.
        labels: Integers of ``shape``, each a class or ``ignored``.
        shape: The shape they must have.
        classes: How many classes there are.
        ignored: What stands for "no label here".
        num_items_in_batch: How many labels count, if these are a part of a batch.
        training: Whether a batch without a label is a warning, not an error.

    Raises:
        TypeError: if they are not a tensor of integers.
        ValueError: if the shape is wrong, a class does not exist, or there is no label
            at all (the mean loss over nothing would be nan).
    """
    _check_integers(name, labels)
    if tuple(labels.shape) != shape:
        raise _wrong_shape(name, labels, f"{tuple(shape)}")
    options = (name, classes, ignored, num_items_in_batch, training)
    # A compiled program cannot look at numbers, but it can call an operator that does.
    # (What is exported is to run where this library is not.)
    if torch.compiler.is_compiling() and not _is_exporting():
        checked: Tensor = _checked_labels(labels.long(), *options)
        return checked
    _check_classes(labels, *options)
    return labels.long()


def _check_classes(
    labels: Tensor,
    name: str,
    classes: int,
    ignored: int,
    num_items_in_batch: Tensor | None,
    training: bool,
) -> None:
    counts = labels != ignored
    wrong = counts & ((labels < 0) | (labels >= classes))
    if is_true(wrong.any()):
        raise ValueError(
            f"{name} holds {int(labels[wrong][0])}, expected 0 to {classes - 1}, or "
            f"{ignored} to ignore a place"
        )
    items = counts if num_items_in_batch is None else num_items_in_batch
    if is_true(~items.any()):
        why = f"every value is {ignored} (ignored)"
        if bool(counts.any()):
            why = "num_items_in_batch is 0"
        nothing = f"{name} has nothing to take a loss of: {why}"
        if not training:
            raise ValueError(f"{nothing}; give at least one class")
        warnings.warn(f"{nothing}; the loss of this batch is 0", stacklevel=1)


@torch.library.custom_op(
    "minidistil::checked_labels",
    mutates_args=(),
    schema="(Tensor labels, str name, int classes, int ignored, "
    "Tensor? num_items_in_batch, bool training) -> Tensor",
)
def _checked_labels(labels: Tensor, *options: Any) -> Tensor:
    _check_classes(labels, *options)
    return labels.clone()  # an operator must not return what it was given


@_checked_labels.register_fake
def _(labels: Tensor, *_: object) -> Tensor:
    return torch.empty_like(labels)


def _is_exporting() -> bool:
    # torch 2.4 does not say.
    return bool(getattr(torch.compiler, "is_exporting", bool)())


def check_targets(
    name: str,
    targets: Tensor,
    shape: tuple[int, ...],
    lowest: float = -sys.float_info.max,
    highest: float = sys.float_info.max,
) -> None:
    """Check targets of a regression, or 0 / 1 for each of several labels.

    Raises:
        TypeError: if they are not a tensor of floating point numbers.
        ValueError: if the shape is wrong (it would be broadcast to a wrong loss), if
            there are none, or one is nan or out of range.
    """
    check_tensor(name, targets)
    if not targets.is_floating_point():
        raise TypeError(
            f"{name} is {targets.dtype}, expected floating point: {name}.float()"
        )
    if tuple(targets.shape) != shape:
        raise _wrong_shape(name, targets, f"{tuple(shape)}")
    if targets.numel() == 0:
        raise ValueError(f"{name} has nothing to take a loss of: it is empty")
    # Not (targets < lowest) | …, which is false for nan.
    if is_true(~((targets >= lowest) & (targets <= highest)).all()):
        if targets.isnan().any():
            raise ValueError(f"{name} holds nan, expected numbers alone")
        low, high = (float(end) for end in targets.aminmax())
        raise ValueError(
            f"{name} holds numbers from {low} to {high}, expected {lowest} to {highest}"
        )


def check_spans(
    start: Tensor | None, end: Tensor | None, batch: int, tokens: int
) -> tuple[Tensor, Tensor] | None:
    """Check where answers start and end, (B,) or (B, 1); None without either.

    A position past the last token belongs to an answer that was truncated: it comes
    back as ``tokens``, to be ignored.

    Raises:
        TypeError: if they are not tensors of integers.
        ValueError: if only one is given, or the shape is wrong.
    """
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise ValueError("give start_positions and end_positions, or neither; got one")
    spans = []
    for name, positions in {"start_positions": start, "end_positions": end}.items():
        _check_integers(name, positions)
        if tuple(positions.shape) not in {(batch,), (batch, 1)}:
            raise _wrong_shape(name, positions, f"{(batch,)}")
        spans.append(positions.reshape(batch).clamp(max=tokens))
    return spans[0], spans[1]


def check_two_labels(config: DistilBertConfig) -> None:
    """Raise a ConfigError unless there are two labels, as question answering needs."""
    if config.num_labels != 2:
        raise ConfigError(
            f"num_labels is {config.num_labels}, expected 2 for question answering, a "
            f"start and an end: pass num_labels=2"
        )


def check_choices(
    input_ids: Tensor | None, inputs_embeds: Tensor | None
) -> tuple[int, int]:
    """Check ids (B, C, T) or embeddings (B, C, T, D) and return (B, C).

    Raises:
        TypeError: if it is not a tensor.
        ValueError: if the shape is wrong, or there is no choice.
    """
    name, value, shape = "input_ids", input_ids, "(batch, choices, tokens)"
    if inputs_embeds is not None and input_ids is None:
        name, value = "inputs_embeds", inputs_embeds
        shape = "(batch, choices, tokens, dim)"
    check_tensor(name, value)
    assert value is not None
    if value.ndim != shape.count(",") + 1 or value.shape[1] == 0:
        raise _wrong_shape(name, value, f"{shape} with at least one choice")
    return value.shape[0], value.shape[1]


def check_tensor(name: str, value: object) -> None:
    """Raise a TypeError, which says how to make a tensor, unless it is one."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"{name} is a {type(value).__name__}, expected a torch.Tensor: pad the "
            f"sequences to one length and use torch.tensor(…), or ask the tokenizer "
            f"for padding=True, return_tensors='pt'"
        )


def _check_integers(name: str, value: Tensor) -> None:
    check_tensor(name, value)
    if value.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"{name} is {value.dtype}, expected integers: {name}.long()")


def _check_range(name: str, ids: Tensor, limit: int, cure: str) -> None:
    wrong = (ids < 0) | (ids >= limit)
    if is_true(wrong.any()):
        raise IndexError(
            f"{name} holds {int(ids[wrong][0])}, expected 0 to {limit - 1}; {cure}"
        )


def _wrong_shape(name: str, value: Tensor, expected: str) -> ValueError:
    return ValueError(f"{name} has shape {tuple(value.shape)}, expected {expected}")


def _warn_of_pads(pad_token_id: int | None, input_ids: Tensor | None) -> None:
    if input_ids is None or pad_token_id is None:
        return
    if is_true((input_ids == pad_token_id).any()):
        # Always from this line: Python's default filter then shows it once.
        warnings.warn(
            f"input_ids holds the padding id {pad_token_id}, but there is no "
            f"attention_mask: the padding is attended to and changes the answer; "
            f"pass the tokenizer's attention_mask",
            stacklevel=1,
        )
