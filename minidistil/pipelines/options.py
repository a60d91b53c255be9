"""The options that all tasks share, and how they are checked."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from minidistil.messages import (
    check_flag,
    check_integer,
    is_boolean,
    unknown_keyword,
)
from minidistil.pipelines.foreign import translated
from minidistil.pipelines.long_texts import TRUNCATIONS, Truncated

# How transformers' pipelines pass arguments on to the tokenizer; here they are options.
FOR_TOKENIZER = {"tokenizer_kwargs", "tokenize_kwargs"}
LENGTHS = ("truncation", "max_length", "max_seq_len", "doc_stride", "stride")


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """The options of every task.

    They are given to a pipeline, or to a call of it, which then takes precedence.

    Attributes:
        batch_size: The texts that go through a model together. An engine goes by
            tokens, and ignores it.
    """

    batch_size: int = 32

    def __post_init__(self) -> None:
        self._take_integer("batch_size", minimum=1)

    def _take(self, name: str, value: object) -> None:
        """Give an option another form; they are frozen only once they are made."""
        object.__setattr__(self, name, value)

    def _take_integer(self, name: str, *, minimum: int) -> None:
        self._take(name, check_integer(name, getattr(self, name), minimum=minimum))

    def _take_flag(self, name: str) -> None:
        self._take(name, check_flag(name, getattr(self, name)))

    @classmethod
    def names(cls) -> list[str]:
        """The options there are."""
        return [field.name for field in dataclasses.fields(cls)]

    @functools.cached_property
    def truncated(self) -> Truncated:
        """What a call has truncated; each call has options of its own: `changed`."""
        return Truncated()

    @classmethod
    def check_names(cls, given: Iterable[str], *others: str) -> None:
        """Raise TypeError for a name that is neither an option nor in ``others``."""
        known = [*cls.names(), *others]
        unknown = [name for name in given if name not in known]
        lengths = [f"{name}=" for name in LENGTHS if name in known]
        for name in FOR_TOKENIZER.intersection(unknown):
            raise TypeError(
                f"the pipeline has no argument {name!r}; to say what is done about a "
                f"long text, use {' and '.join(lengths)}"
            )
        if unknown:
            raise unknown_keyword(unknown, known, "the pipeline")

    def changed(self: Options, changes: Mapping[str, Any]) -> Options:
        """Return a copy with some options changed; TypeError for one unknown."""
        changes = translated(changes, self.names())
        self.check_names(changes)
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class TruncationOptions(TaskOptions):
    """The options of tasks that read a text in parts if it is too long.

    Attributes:
        truncation: What to do about a text that is too long. "head" reads its
            beginning, "head+tail" its beginning and end, "window" all of it in
            overlapping windows whose scores are averaged; "error" refuses. The default
            is "head" with a warning. True is "head", False is "error".
        max_length: The tokens a text may have, with [CLS] and [SEP]; by default, and
            at most, as many as the model has positions.
        batch_size: See `TaskOptions`.
    """

    truncation: str | bool | None = None
    max_length: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_length is not None:
            # Room for one token between [CLS] and [SEP].
            self._take_integer("max_length", minimum=3)
        # 0 and 1 are equal to False and True, but are not accepted for them.
        if is_boolean(self.truncation):
            self._take("truncation", bool(self.truncation))
        known = self.truncation is None or isinstance(self.truncation, bool)
        if not known and self.truncation not in TRUNCATIONS:
            raise ValueError(
                f"truncation is {self.truncation!r}, expected one of "
                f"{', '.join(TRUNCATIONS)}"
            )

    def limit(self, most: int) -> int:
        """The tokens that a sequence may have, where the model reads ``most``."""
        return min(most, self.max_length or most)

    def strategy(self) -> str:
        """The key of `TRUNCATIONS` for one text that is too long.

        It is counted if the caller did not choose.
        """
        if self.truncation is None:
            self.truncated.count += 1
        if isinstance(self.truncation, str):
            return str(self.truncation)
        return "error" if self.truncation is False else "head"


Options = TypeVar("Options", bound=TaskOptions)
