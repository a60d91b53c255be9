"""What a pipeline answers to rows, and what happens to those it cannot answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from minidistil.messages import which_input
from minidistil.pipelines import Pipeline
from minidistil.pipelines.base import counting_truncated
from minidistil.tables.columns import New, columns_for
from minidistil.tables.inputs import (
    CellError,
    Reading as Reading,
    SomeRows,
    check_columns,
    is_empty,
    maker,
    what_is_wrong,
)
from minidistil.tables.rows import LineRows, TableError

SHOWN = 10  # problems that are kept of those that were answered with null

# What is asked of a task whatever the options are: vectors, and not lists of numbers.
_ALWAYS: dict[str, dict[str, Any]] = {"feature-extraction": {"return_tensors": True}}


@dataclass(frozen=True)
class Answered:
    """What was answered to some rows.

    Attributes:
        answers: For each row the pipeline's answer, or None.
        new: The same as columns.
        empty: The rows without a text.
        failed: The rows that the pipeline refused.
        truncated: The rows of which only the beginning was read, though nobody asked
            for it.
        problems: What was wrong with the first of them: file, row and column.
    """

    answers: list[Any]
    new: New
    empty: int
    failed: int
    truncated: int
    problems: list[str]


class _Input(NamedTuple):
    """A row's input of the pipeline, and where the row is."""

    value: Any
    rows: SomeRows
    place: int  # among those
    number: int  # among all that are answered


class _Wrong(NamedTuple):
    """What stands in the place of an answer."""

    problem: str


class Answering:
    """Answers rows with a pipeline.

    Attributes:
        columns: The columns that answers become.
        needed: The columns that are read.
    """

    def __init__(
        self, pipe: Pipeline[Any], reading: Reading, options: Mapping[str, Any]
    ) -> None:
        """Take a pipeline, and the options of its calls.

        Raises:
            TypeError, ValueError: for an option of the call that the pipeline refuses,
                or an option of the reading that the task does not have.
        """
        self._pipe = pipe
        self._reading = reading
        self._options = {**options, **_ALWAYS.get(pipe.task, {})}
        self._names = reading.columns(pipe.task)
        settings = pipe.settings(self._options)
        self._make = maker(pipe.task, self._names, settings)
        self.columns = columns_for(pipe, self._options, reading.prefix)
        self.needed = [*self._names.values()]

    def check_names(self, names: Sequence[str]) -> None:
        """Check the names of the columns that there are.

        Raises:
            ValueError: if one that is read is not there, or not once; or if one of the
                new columns is.
        """
        check_columns(self._names, names)
        if taken := [one.name for one in self.columns if one.name in names]:
            raise ValueError(_taken(taken))

    def size(self, rows: SomeRows) -> list[int]:
        """The characters of text that are read of each row."""
        columns = [rows.values(name) for name in self.needed]
        return [sum(map(_characters, cells)) for cells in zip(*columns, strict=True)]

    def answer(self, pieces: Sequence[SomeRows]) -> Answered:
        """Answer some rows.

        Raises:
            TableError: at a row that cannot be answered, if that is to be an error; for
                one of JSON that has a column of the name of a new one.
        """
        inputs: list[_Input] = []
        problems: dict[int, str] = {}
        total = empty = 0
        for rows in pieces:
            self._check_keys(rows)
            columns = [rows.values(name) for name in self.needed]
            for place, cells in enumerate(zip(*columns, strict=True)):
                try:
                    value = self._make(cells)
                except CellError as error:
                    problem = self._refused(rows, place, str(error), error)
                    problems[total + place] = problem
                else:
                    if value is None:
                        self._check_strict(rows, place, cells)
                        empty += 1
                    else:
                        inputs.append(_Input(value, rows, place, total + place))
            total += len(rows)
        answers: list[Any] = [None] * total
        # What is answered together: of a list that is longer, some would be answered
        # before another is refused, and then again.
        most = self._pipe.texts_together
        with counting_truncated() as truncated:
            for start in range(0, len(inputs), most):
                some = inputs[start : start + most]
                for one, answer in zip(some, self._each(some), strict=True):
                    if isinstance(answer, _Wrong):
                        problems[one.number] = answer.problem
                    else:
                        answers[one.number] = answer
        new: New = {
            column.name: (
                column.kind,
                [None if each is None else column.take(each) for each in answers],
            )
            for column in self.columns
        }
        first = [problems[number] for number in sorted(problems)[:SHOWN]]
        return Answered(answers, new, empty, len(problems), truncated.count, first)

    def _each(self, inputs: list[_Input]) -> list[Any]:
        """Answer inputs; in the place of an answer may be what is wrong.

        A list of which one is refused is refused before anything is computed: the
        others are tried again in two halves.
        """
        try:
            return self._ask([one.value for one in inputs])
        except (TypeError, ValueError) as error:
            found = which_input(error)
            if found is None:
                raise  # it is about no row
            place, what = found
            one = inputs[place]
            wrong = _Wrong(self._refused(one.rows, one.place, what, error))
        others = inputs[:place] + inputs[place + 1 :]
        middle = len(others) // 2
        halves = [half for half in (others[:middle], others[middle:]) if half]
        answers = [answer for half in halves for answer in self._each(half)]
        return [*answers[:place], wrong, *answers[place:]]

    def _ask(self, inputs: list[Any]) -> list[Any]:
        answers = self._pipe(inputs, **self._options)
        if self._pipe.task == "fill-mask" and len(inputs) == 1:
            return [answers]  # of a list of one text, that is the answer to the text
        return [*answers]

    def _refused(self, rows: SomeRows, place: int, what: str, error: Exception) -> str:
        """What is wrong with a row; an error if that is to stop all."""
        problem = f"{rows.where(place)}{what_is_wrong(self._names, what)}"
        if self._reading.on_error == "stop":
            raise TableError(problem) from error
        return problem

    def _check_strict(self, rows: SomeRows, place: int, cells: Sequence[Any]) -> None:
        if not self._reading.strict:
            return
        # Of words, none may be empty alone.
        found = [
            name
            for name, cell in zip(self.needed, cells, strict=True)
            if is_empty(cell)
        ]
        name = (found or self.needed)[0]
        raise TableError(
            f"{rows.where(place)} (column {name!r}) has no text, and strict was asked "
            f"for; without it the answer to such a row is null"
        )

    def _check_keys(self, rows: SomeRows) -> None:
        """Of rows of JSON, each may have columns that others do not have."""
        if not isinstance(rows, LineRows):
            return
        names = {one.name for one in self.columns}
        for place, row in enumerate(rows.objects):
            if not names.isdisjoint(row):
                taken = [name for name in row if name in names]
                raise TableError(f"{rows.where(place)}: {_taken(taken)}")


def _taken(names: Sequence[str]) -> str:
    several = "columns" if len(names) > 1 else "a column"
    return (
        f"there is {several} {', '.join(map(repr, names))} already, as the answers "
        f"would be called: choose a prefix for the new ones, such as prefix='new_' "
        f"(--prefix new_)"
    )


def _characters(cell: Any) -> int:
    """The characters of a text, or of all texts in a list."""
    if isinstance(cell, str):
        return len(cell)
    return sum(map(_characters, cell)) if isinstance(cell, list | tuple) else 0
