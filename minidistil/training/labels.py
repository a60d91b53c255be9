"""Labels: from what stands in a column to the numbers of a model.

The order decides which number a label gets. It is the model's own where the labels are
its own, else the order that a data set declares, else that of the alphabet; never that
of appearance, which another order of the rows would change.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig, default_labels
from minidistil.messages import (
    as_integer,
    check_characters,
    is_boolean,
    is_number,
    quote,
    with_library,
)
from minidistil.training.features import from_buffer
from minidistil.training.rows import TrainingDataError, wrong

REGRESSION = "regression"
ONE = "single_label_classification"
SEVERAL = "multi_label_classification"
SHOWN = 12  # labels in a message


@dataclass(frozen=True)
class Labels:
    """What the numbers that a model gives stand for.

    Attributes:
        names: The labels, in the order of their numbers; none where a task has none.
        problem_type: As in a configuration: what the labels of whole texts are.
    """

    names: tuple[str, ...] = ()
    problem_type: str | None = None

    @classmethod
    def of(cls, config: DistilBertConfig) -> Labels:
        """Those of a model."""
        names = (config.id2label[number] for number in range(config.num_labels))
        return cls(tuple(names), config.problem_type)

    @property
    def are_named(self) -> bool:
        """Whether somebody has named them: LABEL_0 is what nobody has named."""
        return self.names != tuple(default_labels(len(self.names)).values())

    def changes(self) -> dict[str, Any]:
        """What a model's configuration has to have, for `DistilBertConfig.replace`."""
        if not self.names:
            return {}
        return {
            "id2label": dict(enumerate(self.names)),
            "problem_type": self.problem_type,
        }

    def listed(self) -> str:
        """The names, for a message."""
        return _listed(self.names)


class LabelColumn:
    """Labels as rows bring them, numbered when all are known.

    Until then each has a code, by appearance.

    Attributes:
        places: Each label that was met, as text, and the row where it was met first.
    """

    def __init__(
        self, column: str, own: Labels, fixed: Labels | None, declared: list[str] | None
    ) -> None:
        """Begin without a label.

        Args:
            column: What errors call one of them: "label", "tag".
            own: Those of the model that is to learn.
            fixed: Those that there are, of data that a trained model is measured with.
            declared: The names of the numbers in the column, if it comes with some.
        """
        self.places: dict[str, str] = {}
        self._column, self._own, self._fixed = column, own, fixed
        self._declared = declared
        self._codes: dict[str, int] = {}
        self._first: tuple[type, str] | None = None

    def code(self, where: str, value: Any) -> int:
        """The code of a label, of the row that stands there.

        Raises:
            TrainingDataError: if it is none, or of another type than those before it.
        """
        text = self._as_text(where, value)
        code = self._codes.get(text)
        if code is None:
            code = self._codes[text] = len(self._codes)
            self.places[text] = where
        return code

    def names_of(self, count: int) -> Sequence[str]:
        """What so many labels are called where the rows do not name them."""
        for names in (self._fixed or self._own).names, self._declared or ():
            if len(names) == count:
                return names
        return [*default_labels(count).values()]

    @property
    def have_fractions(self) -> bool:
        """Whether all are numbers, and some no whole ones: a regression."""
        numbers = [_number(text) for text in self.places]
        return None not in numbers and any(
            number is not None and not _is_whole(number) for number in numbers
        )

    def numbers(self, problem_type: str | None) -> tuple[Labels, Tensor]:
        """The labels in their order, and the number of each code, (codes,), int32.

        Raises:
            TrainingDataError: if there is one that a trained model does not have, or
                only one at all.
        """
        if self._fixed is not None:
            names = self._fixed.names
        elif not self.places:
            raise TrainingDataError(
                f"got no {self._column} in any row, expected at least two different "
                f"ones, to tell apart"
            )
        else:
            if len(self.places) == 1:
                ((text, where),) = self.places.items()
                raise wrong(
                    where,
                    f"the {self._column} {quote(text)}, as in all other rows",
                    "at least two different ones, to tell apart",
                )
            names = self._chosen()
        found = _numbers_of([*self.places], names)
        unknown = [text for text in self.places if text not in found]
        if unknown:
            raise self._unknown(unknown[0], names)
        numbers = torch.tensor([found[text] for text in self.places], dtype=torch.int32)
        return Labels(names, problem_type), numbers

    def targets(self) -> Tensor:
        """The number that each code is, of a regression: (codes,), float32.

        Raises:
            TrainingDataError: if one is no number, nan or infinite.
        """
        numbers = map(_number, self.places)
        found = [math.nan if number is None else number for number in numbers]
        targets = torch.tensor(found, dtype=torch.float32)
        # Not before: 1e39 is a finite number, but none of 32 bits.
        for place in (~targets.isfinite()).nonzero().flatten().tolist():
            text, where = [*self.places.items()][place]
            raise wrong(where, f"the {self._column} {quote(text)}", "a finite number")
        return targets

    def _chosen(self) -> tuple[str, ...]:
        """The names of labels to learn: the model's own, or those that were met."""
        own = self._own.names
        if len(_numbers_of([*self.places], own)) == len(self.places):
            return own
        # Only a name says that the model's own are meant: 1 to 5 may be stars, although
        # 1 is a number of a model with two labels.
        unknown = [text for text in self.places if text not in own]
        if self._own.are_named and len(unknown) < len(self.places):
            raise self._unknown(unknown[0], own)
        if self._declared is not None:
            return tuple(self._declared)
        return tuple(sorted(self.places, key=_alphabetical))

    def _unknown(self, text: str, names: Sequence[str]) -> TrainingDataError:
        known = f"one of the labels {_listed(names)}"
        if self._fixed is None:
            known += (
                " of the model, some of which the data has; for others start from a "
                "model without labels of its own"
            )
        return wrong(self.places[text], f"the {self._column} {quote(text)}", known)

    def _as_text(self, where: str, value: Any) -> str:
        """A label as text: 1, True and "1" of a table are not told apart by type."""
        if isinstance(value, str):
            kind: type = str
        elif is_boolean(value):
            kind, value = bool, bool(value)
        else:
            kind = float
        if kind is float and (value is None or not is_number(value)):
            raise wrong(where, f"the {self._column} {quote(value)}", "a label")
        if value == "":
            raise wrong(where, f"an empty {self._column}", "a label")
        if self._first is None:
            self._first = kind, where
        elif self._first[0] is not kind:
            first, place = self._first
            names = {str: "text", bool: "true or false", float: "a number"}
            raise wrong(
                where,
                f"the {self._column} {quote(value)}, which is {with_library(value)}",
                f"{names[first]}, as in {place}",
            )
        if kind is str:
            try:
                check_characters(f"the {self._column}", value)
            except TypeError as error:
                raise TrainingDataError(f"{where}: {error}") from None
            return str(value)
        if kind is bool:
            return "true" if value else "false"
        if _is_whole(float(value)):
            whole = as_integer(value)
            whole = int(float(value)) if whole is None else whole
            declared = self._declared
            if declared is not None and 0 <= whole < len(declared):
                return declared[whole]
            return str(whole)
        return repr(float(value))


class SeveralLabels:
    """Any number of labels for each row: a list of them, or a column for each."""

    def __init__(self, columns: Sequence[str], labels: LabelColumn) -> None:
        """Begin without a row.

        Args:
            columns: One, with lists; or one for each label.
            labels: What numbers them.
        """
        self._columns, self._labels = columns, labels
        self._rows = 0
        self._places, self._codes = array("i"), array("i")
        self._width = len(columns) if len(columns) > 1 else 0

    def add(self, where: str, found: list[Any]) -> None:
        """Take the labels of the next row.

        Raises:
            TrainingDataError: for what are no labels.
        """
        if self._width or _are_flags(found):
            codes = self._flagged(where, found)
        else:
            codes = [self._labels.code(where, value) for value in found]
        self._places.extend([self._rows] * len(codes))
        self._codes.extend(codes)
        self._rows += 1

    def targets(self) -> tuple[Labels, Tensor]:
        """The labels in their order, and 0 or 1 for each of each row, (S, C)."""
        labels, numbers = self._labels.numbers(SEVERAL)
        targets = torch.zeros(self._rows, len(labels.names))
        codes = from_buffer(self._codes, torch.int32).long()
        rows = from_buffer(self._places, torch.int32).long()
        targets[rows, numbers.long()[codes]] = 1.0
        return labels, targets

    def _flagged(self, where: str, found: list[Any]) -> list[int]:
        """The codes of the labels that are set in a row with 0 or 1 for each."""
        if not self._rows:
            self._width = len(found)
            names = self._columns
            if len(names) == 1:
                names = self._labels.names_of(len(found))
            for name in names:  # all of them, also those that no row has
                self._labels.code(where, name)
        if len(found) != self._width:
            raise wrong(
                where, f"{len(found)} numbers for labels", f"{self._width} of them"
            )
        return [place for place, value in enumerate(found) if _flag(where, value)]


def _are_flags(found: Sequence[Any]) -> bool:
    """Whether a list holds 0.0 or 1.0 for each label; 0 and 1 would be two labels."""
    return bool(found) and all(isinstance(each, float) for each in found)


def _flag(where: str, value: Any) -> bool:
    known = {"0": False, "1": True, "false": False, "true": True}
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    if is_boolean(value) or (is_number(value) and value in (0, 1)):
        return bool(value)
    raise wrong(where, f"{quote(value)} for a label", "0 or 1, or false or true")


def _numbers_of(texts: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """The number of each text that is a label: by its name, or as a number of it."""
    by_name = {name: number for number, name in enumerate(names)}
    found = {text: by_name[text] for text in texts if text in by_name}
    if found:
        return found
    numbers = {text: _number(text) for text in texts}
    return {
        text: int(number)
        for text, number in numbers.items()
        if number is not None and _is_whole(number) and 0 <= number < len(names)
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_whole(number: float) -> bool:
    return math.isfinite(number) and number.is_integer()


def _alphabetical(text: str) -> tuple[float, str]:
    number = _number(text)
    is_number = number is not None and math.isfinite(number)
    return (number if is_number and number is not None else math.inf, text)


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(str, names[:SHOWN]))
    return shown if len(names) <= SHOWN else f"{shown}, … ({len(names)} in all)"
