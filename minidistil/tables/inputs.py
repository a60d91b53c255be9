"""What a pipeline reads of a row: the cells of some columns, made an input of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from numbers import Real
from typing import Any, Protocol

from minidistil.messages import check_flag, quote, shorten
from minidistil.pipelines.reading import as_list, is_many

# The columns that a task reads beside `column`; those with a default are always read.
_MORE = {
    "text-classification": ("second_column",),
    "question-answering": ("context_column",),
    "multiple-choice": ("choices_column", "question_column"),
}
_DEFAULTS = {"context_column": "context", "choices_column": "choices"}


class SomeRows(Protocol):
    """Rows as they were read, of a file or of a batch: see `minidistil.tables.rows`."""

    def __len__(self) -> int:
        """How many there are."""

    def where(self, place: int) -> str:
        """What an error calls one of them."""

    def values(self, name: str) -> list[Any]:
        """A column."""


@dataclass(frozen=True)
class Reading:
    """Which columns are read, and what is done about rows that have no answer.

    Attributes:
        column: The text; the question of question-answering, the prompt of
            multiple-choice.
        second_column: The second text of each pair, for text-classification.
        context_column: Where the answers are, for question-answering; by default
            "context".
        choices_column: Of multiple-choice, a list in each row, or one as JSON text; by
            default "choices".
        question_column: Of multiple-choice, what is read before each choice; a row may
            have none.
        prefix: What the names of the new columns begin with.
        strict: Whether a row without a text is an error. Otherwise, where one of its
            texts is null, or nothing but white space, its answer is null.
        on_error: What is done about a row that the pipeline refuses, such as one whose
            text is no string: "stop" raises `TableError`, "null" answers it with null.
    """

    column: str = "text"
    second_column: str | None = None
    context_column: str | None = None
    choices_column: str | None = None
    question_column: str | None = None
    prefix: str = ""
    strict: bool = False
    on_error: str = "stop"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            optional = field.default is None
            text = isinstance(value, str) or (value is None and optional)
            if field.name != "strict" and not text:
                expected = "a string or None" if optional else "a string"
                raise TypeError(f"{field.name} is {quote(value)}, expected {expected}")
        if self.on_error not in ("stop", "null"):
            raise ValueError(
                f"on_error is {self.on_error!r}, expected 'stop' or 'null'"
            )
        object.__setattr__(self, "strict", check_flag("strict", self.strict))

    def columns(self, task: str) -> dict[str, str]:
        """The columns that a task reads, each by the option that names it.

        Raises:
            ValueError: for an option that the task does not read.
        """
        own = _MORE.get(task, ())
        found = {"column": self.column}
        for name in (name for names in _MORE.values() for name in names):
            given = getattr(self, name)
            if name in own:
                wanted = given or _DEFAULTS.get(name)
                found |= {name: wanted} if wanted else {}
            elif given is not None:
                (other,) = (task for task, names in _MORE.items() if name in names)
                raise ValueError(
                    f"{name} is {given!r}, and {task} reads no such column: it is for "
                    f"{other}"
                )
        return found


def check_columns(read: Mapping[str, str], names: Sequence[str]) -> None:
    """Check that the columns that are read are there, once each.

    Args:
        read: What `Reading.columns` gives.
        names: The columns that there are.

    Raises:
        ValueError: if one is not; it lists those that there are.
    """
    for option, name in read.items():
        if name in names:
            if [*names].count(name) > 1:
                raise ValueError(f"there are several columns {name!r}: rename them")
            continue
        there = shorten(", ".join(map(repr, names)) or "none", 600)
        near = get_close_matches(name, [str(each) for each in names], n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"there is no column {name!r}{hint} (there are {there}); choose one with "
            f"{option}= (--{option.replace('_', '-')})"
        )


class CellError(ValueError):
    """A cell that no input can be made of; the text goes behind the row's name."""


# Makes an input of the cells of a row; None where one that is needed is empty.
Make = Callable[[Sequence[Any]], Any]


def maker(task: str, columns: dict[str, str], settings: Any) -> Make:
    """What makes an input of a row's cells, which come in the order of ``columns``."""
    if task == "question-answering":
        return _named("question", "context")
    if task == "multiple-choice":
        return _problem
    if task == "token-classification" and settings.is_split_into_words:
        return lambda cells: _words(cells[0], settings.delimiter)
    if "second_column" in columns:
        return _named("text", "text_pair")
    return lambda cells: None if is_empty(cells[0]) else cells[0]


def _named(*names: str) -> Make:
    """A mapping of the cells, all of which are needed."""

    def make(cells: Sequence[Any]) -> Any:
        if any(map(is_empty, cells)):
            return None
        return dict(zip(names, cells, strict=True))

    return make


def _problem(cells: Sequence[Any]) -> Any:
    prompt, choices, *question = cells
    if is_empty(prompt) or is_empty(choices):
        return None
    if isinstance(choices, str):
        choices = list_in(choices)
        if choices is None:
            raise CellError(
                f" has the choices {cells[1]!r:.60}, expected a list of them, or one "
                f'as JSON, such as ["blue.", "green."]'
            )
    problem = {"prompt": prompt, "choices": choices}
    if question and not is_empty(question[0]):
        problem["question"] = question[0]
    return problem


def _words(cell: Any, delimiter: str) -> Any:
    """The words of a cell: a list of them, one as JSON, or a text to be split."""
    if is_empty(cell):
        return None
    words = cell
    if isinstance(cell, str):
        words = list_in(cell)
        if words is None and not delimiter:
            raise CellError(
                f" is {cell!r:.60}, expected a list of words, or one as JSON: there is "
                f"no delimiter to split a text at"
            )
        # All blanks are kept: the places in the answer are those of the text.
        words = cell.split(delimiter) if words is None else words
    listed = as_list(words) if is_many(words) else [words]
    return words if not all(map(is_empty, listed)) else None


def list_in(text: str) -> list[Any] | None:
    """The list that a text is in JSON; None if it is none."""
    if not text.lstrip().startswith("["):
        return None
    try:
        found: list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found


def is_empty(cell: Any) -> bool:
    """Whether a cell is null, also as NaN or pandas' NA, or nothing but white space."""
    if isinstance(cell, str):
        return not cell or cell.isspace()
    # Asked by name: pandas is not imported for this.
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(cell, Real) and bool(cell != cell)


def what_is_wrong(columns: dict[str, str], what: str) -> str:
    """What a pipeline says behind an input's name, with the columns it is about."""
    names = [*columns.values()]
    part = re.match(r"'s (question|context)", what)
    if part is not None:
        names = [names[("question", "context").index(part[1])]]
        what = what[part.end() :]
    several = "s" if len(names) > 1 else ""
    return f" (column{several} {', '.join(map(repr, names))}){what}"
