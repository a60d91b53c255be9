"""What a forward pass returns: results by attribute, by key and by index.

``out.logits``, ``out["logits"]`` and ``out[0]`` are the same tensor. A field that was
not asked for is None as an attribute, and is left out everywhere else: without a
loss, ``out[0]`` is the first result and ``tuple(out.values())`` has no gap.

A result is a dict, so that other libraries can take it apart and build it again: from
a mapping, from pairs of names and values, or as a pytree of torch.

Shapes use the letters of `minidistil.model`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from torch import Tensor
from torch.utils import _pytree as pytree

from minidistil.messages import unknown_keyword

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_):
        """Do nothing: type checkers alone read it (typing has it from Python 3.11)."""
        return lambda kind: kind


Forward = TypeVar("Forward", bound=Callable[..., Any])


@dataclass_transform(eq_default=False)
class ModelOutput(dict[str, Any]):
    """The access shared by all results; the annotations of a subclass are its fields.

    Two results are equal only if they are one: "equal" tensors are not one answer.
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.fields = tuple(cls.__annotations__)
        for name in cls.fields:
            if hasattr(cls, name):  # a default, which would hide what the dict holds
                delattr(cls, name)
        _register(cls)

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take the fields, in order or by name; or all in a mapping, or as pairs.

        Raises:
            TypeError: for a name that is no field, or too many values.
        """
        super().__init__()
        match values:
            case [Iterable() as pairs] if not named and not isinstance(pairs, Tensor):
                values, named = (), dict(pairs)
        if unknown := named.keys() - self.fields:
            raise unknown_keyword(unknown, self.fields, type(self).__name__)
        first = self.fields[: len(values)]
        if len(first) < len(values) or named.keys() & set(first):
            raise TypeError(
                f"{type(self).__name__} got {len(values)} values and "
                f"{', '.join(named) or 'no names'}, expected each of "
                f"{', '.join(self.fields)} at most once"
            )
        named |= zip(self.fields, values, strict=False)
        for name in self.fields:
            self[name] = named.get(name)

    def __getattr__(self, name: str) -> Any:
        if name not in self and name not in self.fields:
            raise AttributeError(
                f"{type(self).__name__} has no {name!r}; it has {', '.join(self)}"
            )
        return self.get(name)

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if value is None:
            self.pop(name, None)
            return
        super().__setitem__(name, value)
        if name in self.fields:  # those behind it go behind it
            for other in self.fields[self.fields.index(name) + 1 :]:
                if other in self:
                    super().__setitem__(other, self.pop(other))

    def __delattr__(self, name: str) -> None:
        self[name] = None

    def copy(self) -> Any:
        """Return another result of the same fields."""
        return type(self)(**self)

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __getitem__(self, key: str | int | slice) -> Any:
        return (
            super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]
        )

    def __missing__(self, key: str) -> Any:
        raise KeyError(f"{key!r} is not among the results {list(self)}")

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the results that are there, in order."""
        return tuple(self.values())


def _register(kind: type[ModelOutput]) -> None:
    """Register a result as a pytree, which torch.export, vmap and the like need."""

    def flatten(result: ModelOutput) -> tuple[list[Any], list[str]]:
        return list(result.values()), list(result)

    def flatten_with_keys(result: ModelOutput) -> tuple[list[Any], list[str]]:
        return [(pytree.MappingKey(name), result[name]) for name in result], [*result]

    def unflatten(values: Iterable[Any], names: list[str]) -> ModelOutput:
        return kind(**dict(zip(names, values, strict=True)))

    pytree.register_pytree_node(
        kind,
        flatten,
        unflatten,
        serialized_type_name=f"{kind.__module__}.{kind.__name__}",
        flatten_with_keys_fn=flatten_with_keys,
    )


def as_asked(forward: Forward) -> Forward:
    """Decorate a forward pass: where a call does not say what it returns, config does.

    The keyword ``return_dict`` is added: False asks for a plain tuple of the results.
    """

    def answer(
        self: Any, *inputs: Any, return_dict: bool | None = None, **named: Any
    ) -> Any:
        for name in ("output_hidden_states", "output_attentions"):
            if named.get(name) is None:
                named[name] = getattr(self.config, name)
        if return_dict is None:
            return_dict = self.config.return_dict
        result: ModelOutput = forward(self, *inputs, **named)
        return result if return_dict else result.to_tuple()

    # Of its own, as torch.compile counts by the code how often it has compiled it.
    answer.__code__ = answer.__code__.replace(co_name=forward.__name__)
    added = inspect.signature(answer).parameters["return_dict"]
    signature = inspect.signature(forward)
    *parameters, unknown = signature.parameters.values()
    shown: Any = functools.wraps(forward)(answer)
    shown.__signature__ = signature.replace(parameters=[*parameters, added, unknown])
    return cast(Forward, shown)


class BaseModelOutput(ModelOutput):
    """Of the bare encoder: `DistilBertModel`."""

    last_hidden_state: Tensor  # (B, T, D)
    hidden_states: tuple[Tensor, ...] | None = None  # L + 1 of (B, T, D)
    attentions: tuple[Tensor, ...] | None = None  # L of (B, H, T, T)


class MaskedLMOutput(ModelOutput):
    """Of `DistilBertForMaskedLM`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, T, V)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class SequenceClassifierOutput(ModelOutput):
    """Of `DistilBertForSequenceClassification`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, C)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class QuestionAnsweringOutput(ModelOutput):
    """Of `DistilBertForQuestionAnswering`."""

    loss: Tensor | None  # ()
    start_logits: Tensor  # (B, T)
    end_logits: Tensor  # (B, T)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class TokenClassifierOutput(ModelOutput):
    """Of `DistilBertForTokenClassification`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, T, C)
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class MultipleChoiceOutput(ModelOutput):
    """Of `DistilBertForMultipleChoice`."""

    loss: Tensor | None  # ()
    logits: Tensor  # (B, C)
    hidden_states: tuple[Tensor, ...] | None = None  # L + 1 of (B * C, T, D)
    attentions: tuple[Tensor, ...] | None = None  # L of (B * C, H, T, T)
