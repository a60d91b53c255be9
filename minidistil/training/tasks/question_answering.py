"""Questions, and where in a context the answer stands, as SQuAD has them.

A long context is read in windows that overlap, each with the question before it. In a
window without the answer, and where there is none at all, [CLS] is the right place.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.heads import DistilBertForQuestionAnswering
from minidistil.pipelines.long_texts import TextTokens, tokens_of, windows
from minidistil.pipelines.question_answering import WINDOW
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.answers import QuestionMeasure, Questions
from minidistil.training.features import Features, making
from minidistil.training.labels import Labels
from minidistil.training.loop import Inputs, Step
from minidistil.training.measures import Measure
from minidistil.training.recipe import Recipe
from minidistil.training.rows import (
    Column,
    Data,
    Table,
    TrainingDataError,
    is_named,
    name_of,
    text_of,
    wrong,
)
from minidistil.training.tasks.answers import Answer, answers_of
from minidistil.training.tasks.base import (
    EMPTY,
    Counts,
    Framing,
    Source,
    Task,
    Teacher,
)

NESTED = (
    "SQuAD's own file is no table of rows: it nests questions in paragraphs. Write a "
    'row for each question, {"question", "context", "answers"}, as a line of '
    'JSON to a .jsonl file, or give datasets.load_dataset("squad")["train"]'
)


class Question(NamedTuple):
    """A question with all its right answers.

    Attributes:
        context: The text that it is asked of.
        answers: None of them where it has no answer.
        spans: The characters of each token of the context, (tokens, 2), int32.
    """

    context: str
    answers: list[Answer]
    spans: Tensor


class QuestionAnswering(Task):
    """A window of a context for each row.

    The targets, each (S,): ``starts`` and ``ends``, the places of the answer's first
    and last token; ``questions``, the number of the question; ``before``, the place of
    the context's first token; ``first``, the number of that token in the context.

    Attributes:
        questions: In the order of the data; rows that were skipped are none.
    """

    name = "question-answering"
    kind = DistilBertForQuestionAnswering
    columns = (
        Column("question", ("question",)),
        Column("context", ("context",)),
        Column("answers", ("answers",), needed=False),
        Column("answer", ("answer",), needed=False),
        Column("answer_start", ("answer_start",), needed=False),
    )

    def __init__(
        self,
        source: Source,
        features: Features,
        used: Mapping[str, Sequence[str]],
        counts: Counts,
        questions: list[Question],
    ) -> None:
        """Take what `read` has found."""
        super().__init__(source, features, Labels(), used, counts)
        self.questions = questions

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
    ) -> QuestionAnswering:
        """Tokenize rows.

        Args:
            data: The rows.
            tokenizer: The model's.
            recipe: How long a window is, and how many tokens two of them share.
            config: The model's.
            columns: By role ("question", "context", and "answers", or "answer" and
                "answer_start"), the name of the column.
            labels: There are none.

        Raises:
            TrainingDataError: if a row is wrong; it names the file and the row.
        """
        source = Source(tokenizer, recipe, config, labels)
        if _is_nested(data):
            raise TrainingDataError(NESTED)
        table = Table(data, cls.columns, columns or {})
        if "answers" not in table.used and not {"answer", "answer_start"} <= {
            *table.used
        }:
            raise table.missing("answers", ["answers", "answer and answer_start"])
        reading = _Reading(source)
        with making() as made:
            for piece in table.pieces():
                made.add(reading.windows(piece))
            if not made.lengths:
                raise table.all_left_out(reading.counts.skipped)
            made.targets |= reading.targets()
        found = made.features()
        return cls(source, found, table.used, reading.counts, reading.questions)

    def measure(self) -> Measure:
        """See `Task`."""
        targets, questions = self.features.targets, self.questions
        return QuestionMeasure(
            Questions(
                contexts=[each.context for each in questions],
                golds=[[text for _, text in each.answers] for each in questions],
                characters=[each.spans for each in questions],
                owners=targets["questions"].long(),
                lengths=self.lengths,
                before=targets["before"].long(),
                firsts=targets["first"].long(),
                spans=torch.stack([targets["starts"], targets["ends"]], dim=1).long(),
            )
        )

    def counts(self, rows: Tensor) -> dict[str, int]:
        """The windows."""
        return {"hard": len(rows), "soft": len(rows)}

    def lesson(
        self,
        rows: Tensor,
        passes: Sequence[Tensor],
        draw: torch.Generator,
        teacher: Teacher | None = None,
    ) -> Step:
        """See `Task`. All passes are as long as the longest window of the step.

        The model's loss takes padding for places where an answer could be, as
        transformers' does: with less padding it would be another one.
        """
        width = int(self.lengths[rows].max())
        parts = [partial(self._lesson_of, part, teacher, width) for part in passes]
        return Step(parts, self.counts(rows))

    def _lesson_of(
        self, rows: Tensor, teacher: Teacher | None, width: int = 0
    ) -> Inputs:
        found = self._inputs(rows, width)
        for name in ("starts", "ends"):
            found[name] = self.features.targets[name][rows].long()
        if teacher is not None:
            answers = teacher(rows)  # (B, T, 2)
            missing = found["input_ids"].shape[1] - answers.shape[1]
            found["teacher"] = F.pad(answers, (0, 0, 0, missing), value=-math.inf)
        return found


TARGETS = ("starts", "ends", "questions", "before", "first")


class _Reading:
    """Makes windows of questions with contexts."""

    def __init__(self, source: Source) -> None:
        self.questions: list[Question] = []
        self.counts = Counts()
        self._tokenizer = source.tokenizer
        self._limit, self._stride = source.limit(WINDOW), source.recipe.stride
        self._special = Framing(source.tokenizer, self._limit).special
        self._targets: list[tuple[int, ...]] = []
        self._known: dict[str, tuple[TextTokens, Tensor]] = {}

    def windows(self, piece: list[tuple[str, dict[str, Any]]]) -> list[Any]:
        """The ids of all windows of some rows."""
        questions, contexts = (
            [text_of(where, role, row[role]) for where, row in piece]
            for role in ("question", "context")
        )
        self._tokenize(contexts)
        found = []
        ids = self._tokenizer.ids_of_texts(questions)
        for (where, row), context, question in zip(piece, contexts, ids, strict=True):
            answers = answers_of(where, row, context)
            tokens, spans = self._known[context]
            if not question or not tokens.ids:
                self.counts.skipped[EMPTY] += 1
                continue
            found += self._windows_of(where, question, tokens, answers)
            self.questions.append(Question(context, answers, spans))
        return found

    def targets(self) -> dict[str, Tensor]:
        """What the windows have to be learnt for."""
        columns = torch.tensor(self._targets, dtype=torch.int32).unbind(1)
        return dict(zip(TARGETS, map(torch.Tensor.contiguous, columns), strict=True))

    def _tokenize(self, contexts: list[str]) -> None:
        """The tokens of contexts; those of the last rows are known."""
        wanted = dict.fromkeys(contexts)
        kept = {text: self._known[text] for text in wanted if text in self._known}
        new = [text for text in wanted if text not in kept]
        for text, tokens in zip(new, tokens_of(self._tokenizer, new), strict=True):
            spans = torch.tensor(tokens.spans, dtype=torch.int32).reshape(-1, 2)
            kept[text] = tokens, spans
        self._known = kept

    def _windows_of(
        self, where: str, question: Any, tokens: TextTokens, answers: list[Answer]
    ) -> list[Any]:
        before = self._special.around(question)
        room, count = self._limit - len(before) - 1, len(tokens.ids)
        if room < 1:
            raise wrong(
                where,
                f"a question of {len(question)} tokens",
                f"fewer, so that a part of the context fits into {self._limit} tokens",
            )
        shared = 0 if count <= room else self._stride
        if shared >= room:
            shared = room // 2
            self.counts.shortened[
                f"windows that share less than {self._stride} tokens, because the "
                f"question is long"
            ] += 1
        found = []
        for start, end in windows(count, room, shared):
            place = _places(tokens.spans, answers[:1], start, end)
            first = last = 0  # [CLS]
            if place is not None:
                first, last = (each - start + len(before) for each in place)
            self._targets.append((first, last, len(self.questions), len(before), start))
            self.counts.places.add(where)
            found.append(before + tokens.ids[start:end] + self._special.sep)
        return found


def _places(
    spans: list[tuple[int, int]], answers: list[Answer], start: int, end: int
) -> tuple[int, int] | None:
    """The first and the last token of an answer, if a window has all of it."""
    for begin, text in answers:
        close = begin + len(text)
        if spans[start][0] <= begin and close <= spans[end - 1][1]:
            first = bisect_right(spans, begin, start, end, key=lambda span: span[0])
            last = bisect_left(spans, close, start, end, key=lambda span: span[1])
            return first - 1, last
    return None


def _is_nested(data: Any) -> bool:
    """Whether it is SQuAD's own JSON, or the file that holds it."""
    if is_named(data):
        return name_of(data).lower().endswith(".json")
    return isinstance(data, Mapping) and "data" in data
