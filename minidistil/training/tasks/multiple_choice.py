"""Prompts with choices, one of which is right."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.heads import DistilBertForMultipleChoice
from minidistil.messages import as_integer, quote
from minidistil.pipelines.long_texts import SpecialTokens, fit_pairs
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.features import from_buffer, making, padded
from minidistil.training.labels import Labels
from minidistil.training.loop import Inputs, Step
from minidistil.training.measures import Measure
from minidistil.training.recipe import Recipe
from minidistil.training.rows import (
    Column,
    Data,
    Table,
    TrainingDataError,
    list_of,
    text_of,
    wrong,
)
from minidistil.training.tasks.base import (
    EMPTY,
    Counts,
    Source,
    Task,
    Teacher,
    with_mask,
)
from minidistil.training.text_measures import ChoiceMeasure


class MultipleChoice(Task):
    """A group of sequences for each row, [CLS] prompt [SEP] choice [SEP] each.

    The targets, each (rows,): ``labels``, the number of the right choice; ``choices``,
    how many there are; ``firsts``, the number of the first one's sequence.
    """

    name = "multiple-choice"
    kind = DistilBertForMultipleChoice
    columns = (
        Column("prompt", ("prompt", "context", "sent1")),
        Column("question", ("question",), needed=False),
        Column("choices", ("choices", "endings", "options")),
        Column("label", ("label", "answer")),
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
    ) -> MultipleChoice:
        """Tokenize rows.

        Args:
            data: The rows.
            tokenizer: The model's.
            recipe: How long prompt and choice may be together; a prompt is truncated.
            config: The model's.
            columns: By role ("prompt", "question", "choices", "label"), the name of
                the column; of choices with a column each, all of them with commas
                between.
            labels: There are none.

        Raises:
            TrainingDataError: if a row is wrong; it names the file and the row.
        """
        source = Source(tokenizer, recipe, config, labels)
        table = Table(data, cls.columns, columns or {})
        limit, special, counts = source.limit(), SpecialTokens.of(tokenizer), Counts()
        right, sizes = array("i"), array("i")
        with making() as made:
            for piece in table.pieces():
                prompts = [
                    text_of(where, "prompt", row["prompt"]) for where, row in piece
                ]
                choices = [_choices(where, row["choices"]) for where, row in piece]
                seconds = [
                    _after_question(where, row.get("question"), texts)
                    for (where, row), texts in zip(piece, choices, strict=True)
                ]
                firsts = tokenizer.ids_of_texts(prompts)
                ids = iter(tokenizer.ids_of_texts([*chain(*seconds)]))
                for (where, row), first, texts in zip(
                    piece, firsts, choices, strict=True
                ):
                    label = _label(where, row["label"], texts)
                    endings = [next(ids) for _ in texts]
                    if not first or not all(endings):
                        counts.skipped[EMPTY] += 1
                        continue
                    try:
                        pairs = fit_pairs(first, endings, limit, lambda: "head")
                    except ValueError as error:
                        raise TrainingDataError(f"{where}: {error}") from None
                    made.add(special.around(*pair) for (pair,) in pairs)
                    if any(len(kept) < len(first) for ((kept, _),) in pairs):
                        counts.shortened[f"longer than {limit} tokens"] += 1
                    counts.places.add(where)
                    right.append(label)
                    sizes.append(len(texts))
            if not made.lengths:
                raise table.all_left_out(counts.skipped)
            many = from_buffer(sizes, torch.int32)
            made.targets |= {
                "labels": from_buffer(right, torch.int32),
                "choices": many,
                "firsts": (many.cumsum(0) - many).int(),
            }
        return cls(source, made.features(), Labels(), table.used, counts)

    @property
    def lengths(self) -> Tensor:
        """How many tokens all choices of a row have together, (rows,)."""
        starts, targets = self.features.starts, self.features.targets
        firsts = targets["firsts"].long()
        return starts[firsts + targets["choices"]] - starts[firsts]

    def lesson(
        self,
        rows: Tensor,
        passes: Sequence[Tensor],
        draw: torch.Generator,
        teacher: Teacher | None = None,
    ) -> Step:
        """See `Task`. Rows with other numbers of choices are computed in other passes.

        A choice that is not there would have a score, too, and be chosen.
        """
        many = self.features.targets["choices"]
        parts = [
            partial(self._lesson_of, part[many[part] == count], teacher)
            for part in passes
            for count in sorted({*many[part].tolist()})
        ]
        return Step(parts, self.counts(rows))

    def inputs(self, rows: Tensor) -> Inputs:
        """What a model reads, (B, C, T), without labels; padded on the right.

        In place of choices that a row has less than others stands an empty text.
        """
        targets = self.features.targets
        many = targets["choices"][rows].long()
        place = torch.arange(int(many.max()))
        there = place < many[:, None]  # (B, C)
        sequences = (targets["firsts"][rows].long()[:, None] + place)[there]
        places, lengths = self.features.places(sequences)
        pad, is_there = self.tokenizer.pad_token_id, there.flatten()
        every = torch.full(is_there.shape, 2)
        every[is_there] = lengths
        ids = torch.full((len(every), int(lengths.max())), pad)
        ids[:, 0], ids[:, 1] = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        ids[is_there] = padded(self.features.ids[places], lengths, pad)
        found = with_mask(ids, every)
        return {name: value.view(*there.shape, -1) for name, value in found.items()}

    def text(self, row: int) -> str:
        """What the model reads of a row, for a person: a line for each choice."""
        targets = self.features.targets
        first, many = int(targets["firsts"][row]), int(targets["choices"][row])
        return "\n".join(Task.text(self, first + place) for place in range(many))

    def measure(self) -> Measure:
        """See `Task`."""
        targets = self.features.targets
        return ChoiceMeasure(targets["labels"].long(), targets["choices"])

    def counts(self, rows: Tensor) -> dict[str, int]:
        """The rows."""
        return {"hard": len(rows), "soft": len(rows)}

    def _lesson_of(self, rows: Tensor, teacher: Teacher | None) -> Inputs:
        found = self.inputs(rows)
        found["labels"] = self.features.targets["labels"][rows].long()
        if teacher is not None:
            found["teacher"] = teacher(rows)[:, : found["input_ids"].shape[1]]
        return found


def _choices(where: str, value: Any) -> list[str]:
    found = list_of(where, "choices", value)
    if found is None or len(found) < 2:
        raise wrong(where, f"the choices {quote(value)}", "a list of two texts or more")
    return [
        text_of(where, f"choice {number}", text) for number, text in enumerate(found)
    ]


def _after_question(where: str, question: Any, choices: list[str]) -> list[str]:
    """What is read after the prompt, as the pipeline reads it."""
    asked = text_of(where, "question", question)
    return [f"{asked} {choice}" if asked else choice for choice in choices]


def _label(where: str, value: Any, choices: list[str]) -> int:
    """The number of the right choice, which may be given by its text."""
    numbers = set()
    number = as_integer(value)
    if isinstance(value, str):
        numbers = {place for place, text in enumerate(choices) if text == value}
        number = int(value) if value.isdecimal() else None
    if number is not None and 0 <= number < len(choices):
        numbers.add(number)
    if len(numbers) == 1:
        return numbers.pop()
    also = "" if not numbers else " (it is several of them)"
    raise wrong(
        where,
        f"the label {quote(value)}{also}",
        f"the number of the right choice, 0 to {len(choices) - 1}, or its text",
    )
