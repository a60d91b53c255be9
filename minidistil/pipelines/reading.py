"""One input or many: lists are answered with lists, iterators with iterators."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeGuard, TypeVar

# Inputs are tokenized and sorted this many at a time, so that memory does not grow
# with their number.
CHUNK = 1024

Input = TypeVar("Input")
Made = TypeVar("Made")


class RefusedError(ValueError):
    """What is wrong with one of several inputs.

    Attributes:
        place: Its place among those that are answered together.
    """

    def __init__(self, place: int, error: ValueError) -> None:
        """Take the place, and the error without it."""
        super().__init__(str(error))
        self.place = place

    def named(self, noun: str, before: int) -> ValueError:
        """The error with the input's number, after ``before`` others."""
        return ValueError(f"{noun} {before + self.place}: {self}")


def made_of_each(make: Callable[..., Made], *inputs: Iterable[Any]) -> list[Made]:
    """Return ``make`` of each input, or of what several lists have of each.

    Raises:
        RefusedError: in place of a ValueError.
    """
    made = []
    for place, one in enumerate(zip(*inputs, strict=True)):
        try:
            made.append(make(*one))
        except ValueError as error:
            raise RefusedError(place, error) from error
    return made


def is_many(value: object) -> TypeGuard[Iterable[Any]]:
    """Whether it can be a list of inputs, or an iterator of them."""
    single = isinstance(value, str | bytes | bytearray | Mapping)
    return isinstance(value, Iterable) and not single


def as_text(name: str, value: object) -> str:
    """Return what is a string.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, str):
        refuse_half_characters(name, value)
        return value
    raise TypeError(
        f"{name} is {value!r:.60} ({type(value).__name__}), expected a string, or a "
        f"list of them"
    )


def refuse_half_characters(name: str, text: str) -> None:
    """Raise TypeError at half of a surrogate pair, which stands for no character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise TypeError(
            f"{name} has half of a surrogate pair, {half!r} (character {error.start}), "
            f"expected whole characters; decode it as UTF-8"
        ) from None


def answer_many(
    inputs: Iterable[object],
    read: Callable[[str, object], Input],
    answer: Callable[[list[Input]], list[Any]],
    noun: str = "text",
) -> list[Any] | Iterator[Any]:
    """Answer a list with a list; an iterator is read as its answers are taken.

    Args:
        inputs: What the caller gave.
        read: Checks one of them; it is given the name that an error calls it by.
        answer: Answers up to `CHUNK` of them; may raise `RefusedError` for one.
        noun: What one of them is called in an error, before its number.
    """
    each = (read(f"{noun} {i}", one) for i, one in enumerate(inputs))
    if isinstance(inputs, Iterator):
        return _answer_each(each, answer, noun)
    given = [*each]  # all are looked at first: a mistake at the end costs no minutes
    answers = []
    for start in range(0, len(given), CHUNK):
        try:
            answers += answer(given[start : start + CHUNK])
        except RefusedError as refused:
            raise refused.named(noun, start) from refused
    return answers


def _answer_each(
    inputs: Iterator[Input], answer: Callable[[list[Input]], list[Any]], noun: str
) -> Iterator[Any]:
    mistake: TypeError | ValueError | None = None
    answered = 0
    while mistake is None:
        chunk: list[Input] = []
        try:
            chunk.extend(islice(inputs, CHUNK))
        except (TypeError, ValueError) as error:
            mistake = error  # raised when what came before it is answered
        if not chunk:
            break
        try:
            answers = answer(chunk)
        except RefusedError as refused:
            mistake = refused.named(noun, answered)
            before = chunk[: refused.place]
            answers = answer(before) if before else []
        answered += len(chunk)
        yield from answers
    if mistake is not None:
        raise mistake
