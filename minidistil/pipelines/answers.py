"""What the pipelines answer with, for type checkers: at run time these are dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

# What a pipeline gives for one text, where its options decide that: Any, unless
# `pipeline` knows them.
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    Answer = TypeVarWithDefault("Answer", default=Any)
else:
    Answer = TypeVar("Answer")


class ClassificationAnswer(TypedDict):
    """A label of a text, and its score."""

    label: str
    score: float


class ChoiceAnswer(TypedDict):
    """A choice, its place among the choices, and its score."""

    choice: str
    index: int
    score: float


class MaskAnswer(TypedDict):
    """A word for a mask: its score, its id, the word, and the text with it."""

    score: float
    token: int
    token_str: str
    sequence: str


class QuestionAnswer(TypedDict):
    """An answer, which is the characters ``context[start:end]``, and its score."""

    score: float
    start: int
    end: int
    answer: str


class _Entity(TypedDict):
    score: float
    word: str
    start: int
    end: int


class EntityAnswer(_Entity, total=False):
    """A labelled part of a text: the characters ``text[start:end]``.

    A token has ``entity`` and ``index``; with an aggregation strategy, an entity has
    ``entity_group`` in place of both.
    """

    entity: str
    index: int
    entity_group: str


class ZeroShotAnswer(TypedDict):
    """A text, the labels, the best first, and their scores in the same order."""

    sequence: str
    labels: list[str]
    scores: list[float]
