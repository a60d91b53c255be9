"""Texts or pairs of texts, and what they are: a label, several, or a number."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig, default_labels
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.features import from_buffer, making
from minidistil.training.labels import (
    ONE,
    REGRESSION,
    SEVERAL,
    LabelColumn,
    Labels,
    SeveralLabels,
)
from minidistil.training.loop import Inputs
from minidistil.training.masking import IGNORED
from minidistil.training.measures import Measure
from minidistil.training.recipe import Recipe
from minidistil.training.rows import (
    Column,
    Data,
    Table,
    is_empty,
    list_of,
    text_of,
    wrong,
)
from minidistil.training.tasks.base import (
    EMPTY,
    Counts,
    Framing,
    Source,
    Task,
    Teacher,
)
from minidistil.training.text_measures import (
    LabelMeasure,
    RegressionMeasure,
    SeveralLabelsMeasure,
)

# The columns of pairs in data sets that people know: GLUE, SNLI and their like.
PAIRS = {
    "sentence1": "sentence2",
    "premise": "hypothesis",
    "question1": "question2",
    "question": "sentence",
    "text": "text_pair",
}


class TextClassification(Task):
    """A text or a pair for each row; targets ``labels``: (S,), or (S, C) of floats."""

    name = "text-classification"
    kind = DistilBertForSequenceClassification
    columns = (
        Column("text", (*PAIRS, "sentence")),
        Column("second", needed=False, partner="text", beside=PAIRS),
        Column("label", ("label", "labels")),
    )

    @classmethod
    def read(
        cls,
        data: Data,
        *,
        tokenizer: DistilBertTokenizer,
        recipe: Recipe,
        config: DistilBertConfig,
        columns: Mapping[str, str] | None = None,
        labels: Labels | None = None,
        guided: bool = False,
    ) -> TextClassification:
        """Tokenize rows.

        Args:
            data: The rows.
            tokenizer: The model's.
            recipe: How long a text may be.
            config: The model's: its labels, and how much it can read. That the labels
                are numbers to be predicted, or that a text may have several, its
                ``problem_type`` says, or the data does.
            columns: By role ("text", "second", "label"), the name of the column; of
                labels with a column each, all of them with commas between.
            labels: Those of the training data, for data to measure with.
            guided: Whether a teacher answers for rows whose label is empty, or without
                a column of labels; only where each has one label.

        Raises:
            TrainingDataError: if a row is wrong; it names the file and the row.
        """
        source = Source(tokenizer, recipe, config, labels)
        guided = guided and _problem_of(labels or source.own) in (None, ONE)
        *texts, label = cls.columns
        label = replace(label, needed=not guided)
        table = Table(data, [*texts, label], columns or {})
        if "label" not in table.used and recipe.hard:
            warnings.warn(
                f"{table.name} has no column {' or '.join(label.names)}: all of it is "
                f"learnt from the teacher alone. Name the column of the label if there "
                f"is one, or set hard to 0",
                stacklevel=2,
            )
        framing, counts = Framing(tokenizer, source.limit()), Counts()
        reading = _Reading(source, table, guided)
        with making() as made:
            for piece in table.pieces():
                firsts, seconds = (
                    tokenizer.ids_of_texts(
                        [text_of(where, role, row[role]) for where, row in piece]
                    )
                    if role in table.used
                    else [None] * len(piece)
                    for role in ("text", "second")
                )
                for (where, row), first, second in zip(
                    piece, firsts, seconds, strict=True
                ):
                    if not first or (second is not None and not second):
                        counts.skipped[EMPTY] += 1
                        continue
                    reading.add(where, row.get("label"))
                    ids, is_whole = framing(first, second)
                    made.add([ids])
                    counts.places.add(where)
                    if not is_whole:
                        long = f"longer than {framing.limit} tokens"
                        counts.shortened[long] += 1
            if not made.lengths:
                raise table.all_left_out(counts.skipped)
            found, made.targets["labels"] = reading.targets()
        return cls(source, made.features(), found, table.used, counts)

    def measure(self) -> Measure:
        """See `Task`."""
        names, labels = self.labels.names, self.features.targets["labels"]
        if self.labels.problem_type == REGRESSION:
            return RegressionMeasure(labels)
        if self.labels.problem_type == SEVERAL:
            return SeveralLabelsMeasure(names, labels)
        return LabelMeasure(names, labels.long())

    def counts(self, rows: Tensor) -> dict[str, int]:
        """The rows that have a label; of numbers and of several labels each counts."""
        labels = self.features.targets["labels"][rows]
        if labels.is_floating_point():
            return {"hard": labels.numel(), "soft": len(rows)}
        return {"hard": int((labels != IGNORED).sum()), "soft": len(rows)}

    def _lesson_of(self, rows: Tensor, teacher: Teacher | None) -> Inputs:
        labels = self.features.targets["labels"][rows]
        found = self.inputs(rows)
        found["labels"] = labels if labels.is_floating_point() else labels.long()
        if teacher is not None:
            found["teacher"] = teacher(rows)
        return found


class _Reading:
    """The labels of texts, of whatever kind they turn out to be."""

    def __init__(self, source: Source, table: Table, guided: bool) -> None:
        own, fixed = source.own, source.fixed
        columns = table.used.get("label", ())
        self._is_fixed = fixed is not None
        self._problem = _problem_of(fixed or own)
        self._column = LabelColumn("label", own, fixed, table.declared("label"))
        if len(columns) > 1:
            self._column = LabelColumn("label", own, fixed, columns)
        self._several = SeveralLabels(columns, self._column)
        self._codes = array("i")
        self._are_several: bool | None = True if len(columns) > 1 else None
        if fixed is not None and fixed.problem_type is not None:
            self._are_several = fixed.problem_type == SEVERAL
        self._may_lack = guided

    def add(self, where: str, value: Any) -> None:
        if self._may_lack and not self._are_several and is_empty(value):
            self._are_several = False
            self._codes.append(-1)
            return
        listed = list_of(where, "label", value)
        if self._are_several is None:
            self._are_several = listed is not None
        if self._are_several and listed is None:
            raise wrong(where, f"the label {value!r:.60}", "a list of labels")
        if listed is None:
            self._codes.append(self._column.code(where, value))
        elif not self._are_several:
            raise wrong(where, f"the label {value!r:.60}", "one label, and no list")
        else:
            self._several.add(where, listed)

    def targets(self) -> tuple[Labels, Tensor]:
        if self._are_several:
            return self._several.targets()
        codes = from_buffer(self._codes, torch.int32).long()
        if self._problem == REGRESSION or (
            not self._is_fixed and self._column.have_fractions
        ):
            names = tuple(default_labels(1).values())
            return Labels(names, REGRESSION), self._column.targets()[codes][:, None]
        labels, numbers = self._column.numbers(ONE)
        # The place -1 is the last one.
        return labels, torch.cat([numbers, torch.tensor([IGNORED]).int()])[codes]


def _problem_of(labels: Labels) -> str | None:
    """What labels are, as a configuration says it; a single one is a number."""
    if labels.problem_type is None and len(labels.names) == 1:
        return REGRESSION
    return labels.problem_type
