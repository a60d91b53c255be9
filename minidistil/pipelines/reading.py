"""One input or many: lists are answered with lists, iterators with iterators."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from time import monotonic
from typing import Any, Protocol, TypeGuard, TypeVar, runtime_checkable

from minidistil.messages import check_characters

# Inputs are tokenized and sorted this many at a time, so that memory does not grow
# with their number.
CHUNK = 1024
# Seconds that an iterator may take to give a chunk, before what there is is answered.
PATIENCE = 0.1

Input = TypeVar("Input")
Made = TypeVar("Made")


class RefusedError(ValueError):
    """One of several inputs cannot be answered.

    Attributes:
        place: Its place among those that are answered together.
    """

    def __init__(self, place: int, error: ValueError) -> None:
        """Take the place, and the error that does not name it."""
        super().__init__(str(error))
        self.place = place

    def named(self, noun: str, before: int) -> ValueError:
        """The error with the input's number, after ``before`` others."""
        return ValueError(f"{noun} {before + self.place}: {self}")


@contextmanager
def counted_from(before: int) -> Iterator[None]:
    """Where one input is refused, add how many were before those of the block."""
    try:
        yield
    except RefusedError as refused:
        raise RefusedError(before + refused.place, refused) from refused


def map_inputs(make: Callable[..., Made], *inputs: Iterable[Any]) -> list[Made]:
    """Return ``make(input)`` of each, or ``make(*inputs)`` over several lists.

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


@runtime_checkable
class Dataset(Protocol):
    """What torch calls a map-style data set: its items have numbers, from 0."""

    def __len__(self) -> int:
        """How many items there are."""

    def __getitem__(self, number: int, /) -> Any:
        """One of them."""


Many = Iterable[Input] | Dataset


def is_many(value: object) -> TypeGuard[Many[Any]]:
    """Whether it can be a list of inputs, an iterator of them, or a data set.

    An array without an axis is one thing.
    """
    single = isinstance(value, str | bytes | bytearray | Mapping)
    single = single or getattr(value, "ndim", 1) == 0
    return isinstance(value, Iterable | Dataset) and not single


def items_of(many: Many[Any]) -> Iterable[Any]:
    """Return what can be gone through.

    Raises:
        TypeError: for a table, whose items would be the names of its columns.
    """
    if hasattr(many, "columns") and len(getattr(many, "shape", ())) == 2:
        columns = [*getattr(many, "column_names", many.columns)]
        raise TypeError(
            f"got a {type(many).__name__} with the columns {columns!r:.60}, expected "
            f"one column of it, such as table[{columns[0] if columns else 'text'!r}]"
        )
    if hasattr(many, "to_pylist"):  # pyarrow's arrays hold objects of its own
        items: Iterable[Any] = many.to_pylist()
        return items
    if isinstance(many, Iterable):
        return many
    return (many[number] for number in range(len(many)))


def as_list(value: Any) -> list[Any]:
    """A list, column or other collection as a list; anything else as one of itself."""
    if is_many(value) and not is_read_once(items := items_of(value)):
        return [*items]
    return [value]


def is_read_once(many: Iterable[Any]) -> bool:
    """Whether it is read as answers are taken: nobody knows how much is still to come.

    So are iterators, and what can only be gone through, such as a data set or a loader
    of torch. (That it has a length says little: a loader has one, which may fail.)
    """
    return isinstance(many, Iterator) or not isinstance(many, Collection)


def as_text(name: str, value: object) -> str:
    """Return what is a string.

    Raises:
        TypeError: for anything else.
    """
    if not isinstance(value, str):
        rows = "; of rows, give one column" if isinstance(value, Mapping) else ""
        raise wrong_type(name, value, f"a string, or a list of them{rows}")
    check_characters(name, value)
    return str(value)  # numpy has strings of its own


def wrong_type(name: str, value: object, expected: str) -> TypeError:
    """The error for an input of another type."""
    return TypeError(
        f"{name} is {value!r:.60} ({type(value).__name__}), expected {expected}"
    )


def answer_many(
    inputs: Many[Any],
    read: Callable[[str, object], Input],
    answer: Callable[[list[Input]], Iterable[Any]],
    noun: str = "text",
    chunk: int = CHUNK,
) -> list[Any] | Iterator[Any]:
    """Answer a list with a list; an iterator is read as its answers are taken.

    Args:
        inputs: What the caller gave.
        read: Checks one of them; it is given the name that an error calls it by.
        answer: Answers up to ``chunk`` of them; may raise `RefusedError` for one.
        noun: What one of them is called in an error, before its number.
        chunk: How many are answered together.
    """
    inputs = items_of(inputs)
    each = (read(f"{noun} {i}", one) for i, one in enumerate(inputs))
    if is_read_once(inputs):
        return _answer_each(each, answer, noun, chunk)
    given = [*each]  # all are looked at first: a mistake at the end costs no minutes
    answers: list[Any] = []
    for start in range(0, len(given), chunk):
        try:
            answers += answer(given[start : start + chunk])
        except RefusedError as refused:
            raise refused.named(noun, start) from refused
    return answers


def _answer_each(
    inputs: Iterator[Input],
    answer: Callable[[list[Input]], Iterable[Any]],
    noun: str,
    most: int,
) -> Iterator[Any]:
    mistake: Exception | None = None
    answered, size = 0, 1
    while mistake is None:
        chunk, mistake, waited = _chunk(inputs, size)
        if not chunk:
            break
        # The first answers come at once, and those of a slow source, such as a file
        # that is still written, when its lines come; else ever more go together.
        size = 1 if waited else min(2 * size, most)
        given = 0
        try:
            for one in answer(chunk):
                yield one
                given += 1
        except RefusedError as refused:
            mistake = refused.named(noun, answered)
            if before := chunk[: refused.place]:
                yield from islice(answer(before), given, None)
        answered += len(chunk)
    if mistake is not None:
        raise mistake


def _chunk(
    inputs: Iterator[Input], size: int
) -> tuple[list[Input], Exception | None, bool]:
    """Read some inputs.

    Returns:
        At most ``size`` of them, the mistake that ended the reading, if one did, and
        whether they were long in coming.
    """
    chunk: list[Input] = []
    began = monotonic()
    try:
        for one in islice(inputs, size):
            chunk.append(one)
            if monotonic() - began > PATIENCE:
                return chunk, None, True
    except Exception as error:
        # Whatever it is, it is raised when what came before it is answered.
        return chunk, error, False
    return chunk, None, False
