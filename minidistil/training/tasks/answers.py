"""The right answers of a question: where each begins in the context, and its words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

from minidistil.messages import as_integer, quote
from minidistil.pipelines.reading import as_list
from minidistil.training.rows import TrainingDataError, is_empty, text_of, wrong

KEYS = {"text", "answer_start"}


class Answer(NamedTuple):
    """An answer: the characters ``context[start : start + len(text)]``."""

    start: int
    text: str


def answers_of(where: str, row: Mapping[str, Any], context: str) -> list[Answer]:
    """Read the answers of a row, by role.

    Args:
        where: Where the row stands.
        row: ``answers`` as SQuAD has them, ``{"text": […], "answer_start": […]}``, a
            list of answers with one text and one start each, or either as JSON; or
            ``answer`` and ``answer_start``.
        context: What they are parts of.

    Returns:
        All of them; none where the question has no answer.

    Raises:
        TrainingDataError: if one is not where it should be.
    """
    if "answers" in row:
        texts, starts = _texts_and_starts(where, row["answers"])
    else:
        texts, starts = (
            [] if is_empty(row[name]) else as_list(row[name])
            for name in ("answer", "answer_start")
        )
    texts = [text_of(where, "answer", text) for text in texts]
    if not any(texts):
        return []
    if len(starts) != len(texts):
        raise wrong(
            where, f"{len(texts)} answers and {len(starts)} starts", "a start for each"
        )
    found = zip(starts, texts, strict=True)
    return [_checked(where, context, start, text) for start, text in found]


def _texts_and_starts(where: str, given: Any) -> tuple[list[Any], list[Any]]:
    value = given
    if isinstance(given, str) and given.strip():
        try:
            value = json.loads(given)
        except ValueError:
            raise _no_answers(where, given) from None
    if is_empty(value):
        return [], []
    each = as_list(value)  # a mapping is one thing
    if not all(isinstance(one, Mapping) and one.keys() >= KEYS for one in each):
        raise _no_answers(where, given)
    texts, starts = (
        [*chain(*(as_list(one[name]) for one in each))]
        for name in ("text", "answer_start")
    )
    return texts, starts


def _no_answers(where: str, value: Any) -> TrainingDataError:
    return wrong(
        where,
        f"the answers {quote(value)}",
        '{"text": […], "answer_start": […]}, with empty lists if there is no answer',
    )


def _checked(where: str, context: str, start: Any, text: str) -> Answer:
    place = as_integer(start)
    if isinstance(start, str) and start.strip().isdecimal():
        place = int(start)
    if place is None and isinstance(start, float) and start.is_integer():
        place = int(start)
    if not text.strip():
        raise wrong(where, f"the answer {quote(text)}", "a text")
    if place is None or place < 0:
        raise wrong(
            where,
            f"the answer_start {quote(start)}",
            "the number of the answer's first character, from 0",
        )
    there = context[place : place + len(text)]
    if there != text:
        other = context.find(text)
        hint = f"; it stands at {other}" if other >= 0 else ""
        raise wrong(
            where,
            f"{quote(there)} at character {place} of the context",
            f"the answer {quote(text)}{hint}",
        )
    return Answer(place, text)
