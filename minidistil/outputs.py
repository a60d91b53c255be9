"""What a forward pass returns: results by attribute, by key and by index.

``out.logits``, ``out["logits"]`` and ``out[0]`` are the same tensor. A field that was
not asked for is None as an attribute, and is left out everywhere else: without a
loss, ``out[0]`` is the first result and ``tuple(out.values())`` has no gap.

Shapes use the letters of `minidistil.model`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    from torch import Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class ModelOutput(Mapping[str, Any]):
    """The access shared by all results.

    Two results are equal only if they are one: "equal" tensors are not one answer.
    """

    def __iter__(self) -> Iterator[str]:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) is not None:
                yield field.name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key not in list(self):
            raise KeyError(f"{key!r} is not among the results {list(self)}")
        return getattr(self, key)

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the results that are there, in order."""
        return tuple(getattr(self, name) for name in self)


@dataclasses.dataclass(frozen=True, eq=False)
class BaseModelOutput(ModelOutput):
    """Of the bare encoder: `DistilBertModel`."""

    last_hidden_state: Tensor  # (B, T, D)
    hidden_states: tuple[Tensor, ...] | None = None  # L + 1 of (B, T, D)
    attentions: tuple[Tensor, ...] | None = None  # L of (B, H, T, T)


@dataclasses.dataclass(frozen=True, eq=False)
class MaskedLMOutput(ModelOutput):
    """Of `DistilBertForMaskedLM`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, T, V)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class SequenceClassifierOutput(ModelOutput):
    """Of `DistilBertForSequenceClassification`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, C)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class QuestionAnsweringOutput(ModelOutput):
    """Of `DistilBertForQuestionAnswering`."""

    loss: Tensor | None  # ()
    start_logits: Tensor  # (B, T)
    end_logits: Tensor  # (B, T)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class TokenClassifierOutput(ModelOutput):
    """Of `DistilBertForTokenClassification`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, T, C)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class MultipleChoiceOutput(ModelOutput):
    """Of `DistilBertForMultipleChoice`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, C)
    hidden_states: tuple[Tensor, ...] | None = None  # L + 1 of (B * C, T, D)
    attentions: tuple[Tensor, ...] | None = None  # L of (B * C, H, T, T)


def _flatten(result: ModelOutput) -> tuple[list[Any], list[str]]:
    return list(result.values()), list(result)


def _flatten_with_keys(result: ModelOutput) -> tuple[list[Any], list[str]]:
    values, names = _flatten(result)
    keys: list[Any] = [pytree.MappingKey(name) for name in names]
    return list(zip(keys, values, strict=True)), names


def _register(kind: type[ModelOutput]) -> None:
    """Register a result as a pytree, which torch.export and the like need."""

    def unflatten(values: Iterable[Any], names: list[str]) -> ModelOutput:
        nothing = {field.name: None for field in dataclasses.fields(kind)}
        return kind(**nothing | dict(zip(names, values, strict=True)))

    pytree.register_pytree_node(
        kind,
        _flatten,
        unflatten,
        serialized_type_name=f"{__name__}.{kind.__name__}",
        flatten_with_keys_fn=_flatten_with_keys,
    )


for _kind in ModelOutput.__subclasses__():
    _register(_kind)
