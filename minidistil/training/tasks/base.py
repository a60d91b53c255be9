"""A task: rows of a table as tokens, and what a step is to learn from some of them."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.heads import Head
from minidistil.pipelines.long_texts import SpecialTokens
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.tokenizer.backends import TextTokens
from minidistil.tokenizer.rows import Truncation
from minidistil.training.features import Features, is_token, padded
from minidistil.training.labels import Labels
from minidistil.training.loop import Inputs, Step
from minidistil.training.measures import Measure
from minidistil.training.recipe import Recipe
from minidistil.training.rows import Column, Places, TrainingDataError

Ids: TypeAlias = "array[int]"  # of 32 bits
# The teacher's logits of some rows, on the CPU: of texts and choices (B, C), of tokens
# (B, T, C), of windows (B, T, 2).
Teacher = Callable[[Tensor], Tensor]

EMPTY = "empty text"


@dataclass(frozen=True)
class Source:
    """What rows are read with.

    Attributes:
        tokenizer: Splits their texts.
        recipe: Says how long they may be.
        config: The model that is to learn: its labels, and how much it can read.
        fixed: The labels that there are, of data that a trained model is measured
            with; None where they are to be found in the data.
    """

    tokenizer: DistilBertTokenizer
    recipe: Recipe
    config: DistilBertConfig
    fixed: Labels | None = None

    def __post_init__(self) -> None:
        highest = max(self.tokenizer.get_vocab().values())
        if highest >= self.config.vocab_size:
            raise TrainingDataError(
                f"the tokenizer has ids up to {highest}, expected less than the "
                f"{self.config.vocab_size} of the model; take the model's own"
            )

    @property
    def own(self) -> Labels:
        """The labels of the model."""
        return Labels.of(self.config)

    def limit(self, usual: int | None = None) -> int:
        """The tokens that a sequence may have, [CLS] and [SEP] included."""
        most = min(self.tokenizer.model_max_length, self.config.max_position_embeddings)
        if (self.recipe.max_length or 0) > most:
            warnings.warn(
                f"max_length is {self.recipe.max_length:,}, but the model reads at "
                f"most {most:,} tokens: {most:,} it is",
                stacklevel=2,
            )
        return min(self.recipe.max_length or usual or most, most)


@dataclass
class Counts:
    """What became of the rows that were read: to be shown.

    Attributes:
        skipped: How many were left out, by the reason.
        shortened: How many were truncated, and the like.
        places: Where the rows of the task stand in the data; of a corpus nobody asks.
    """

    skipped: Counter[str] = field(default_factory=Counter)
    shortened: Counter[str] = field(default_factory=Counter)
    places: Places = field(default_factory=Places)


class Framing:
    """Puts [CLS] and [SEP] around texts, and truncates those that are too long.

    As the tokenizer's own call does it with ``truncation=True``.
    """

    def __init__(self, tokenizer: DistilBertTokenizer, limit: int) -> None:
        """Take the tokens that a sequence may have."""
        self.limit = limit
        self.special = SpecialTokens.of(tokenizer)
        self._truncation = Truncation(
            "longest_first", limit, 0, overflow=False, side=tokenizer.truncation_side
        )

    def __call__(self, first: Ids, second: Ids | None = None) -> tuple[Ids, bool]:
        """Give what the model reads of a text or a pair, and whether it is all."""
        row = self.special.around(first, second)
        if len(row) <= self.limit:
            return row, True
        head, tail = self.kept(first, second)
        rest = None if second is None else second[tail]
        return self.special.around(first[head], rest), False

    def kept(self, first: Ids, second: Ids | None = None) -> tuple[slice, slice]:
        """Which tokens of the one and of the other are read."""
        tokens: TextTokens | None = None if second is None else {"ids": second}
        (row,) = self._truncation.rows({"ids": first}, tokens, True)
        tail = row.first if row.second is None else row.second
        return slice(row.first.start, row.first.end), slice(tail.start, tail.end)


class Task(ABC):
    """Rows that a head learns from, or is measured with.

    A row here is what a plan puts in order: a text, a window of a context, a group of
    choices, a line of a corpus.

    Attributes:
        name: The pipeline's task.
        kind: The class of the model.
        columns: What it reads of a table.
        labels: The names of the labels, in the order of their numbers.
        features: The tokens, and what is to be learnt of them.
        used: For each role the names of the columns that were read.
        skipped: How many rows were left out, by the reason.
        shortened: How many were not read as a whole, by what they are.
    """

    name: ClassVar[str]
    kind: ClassVar[type[Head]]
    columns: ClassVar[tuple[Column, ...]]

    def __init__(
        self,
        source: Source,
        features: Features,
        labels: Labels,
        used: Mapping[str, Sequence[str]],
        counts: Counts,
    ) -> None:
        """Take what `read` has found."""
        self.tokenizer, self.recipe = source.tokenizer, source.recipe
        self.features, self.labels = features, labels
        self.used = {role: [*names] for role, names in used.items()}
        # Of what was counted, what there is (unary plus leaves out zeros).
        self.skipped, self.shortened = dict(+counts.skipped), dict(+counts.shortened)
        self._places = counts.places

    @property
    def lengths(self) -> Tensor:
        """How many tokens each row has, (rows,)."""
        return self.features.lengths

    def lesson(
        self,
        rows: Tensor,
        passes: Sequence[Tensor],
        draw: torch.Generator,
        teacher: Teacher | None = None,
    ) -> Step:
        """What a step learns from.

        Args:
            rows: All rows of the step.
            passes: The same in parts, in this order, each of which is computed at once.
            draw: Where random numbers come from.
            teacher: What a teacher has answered, if there is one whose answers are
                kept.
        """
        parts = [partial(self._lesson_of, part, teacher) for part in passes]
        return Step(parts, self.counts(rows))

    def inputs(self, rows: Tensor) -> Inputs:
        """What a model reads, (B, T), without labels; padded on the right.

        There is no attention_mask where there is no padding.
        """
        return self._inputs(rows)

    def text(self, row: int) -> str:
        """What the model reads of a row, for a person to read."""
        places, _ = self.features.places(torch.tensor([row]))
        return self._written(self.features.ids[places])

    def where(self, row: int) -> str:
        """Where a row stands in the data: "train.tsv, row 3"."""
        if not len(self._places):
            return f"row {row + 1} of those that are learnt from"
        return self._places[row]

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it is measured by; the first says which weights are best."""
        return self.measure().metrics

    @abstractmethod
    def measure(self) -> Measure:
        """What an evaluation of these rows adds up; nothing so far."""

    @abstractmethod
    def counts(self, rows: Tensor) -> dict[str, int]:
        """What each term of the loss is summed over, in some rows."""

    @abstractmethod
    def _lesson_of(self, rows: Tensor, teacher: Teacher | None) -> Inputs:
        """What a learner reads of some rows: see `learners`."""

    def _inputs(self, rows: Tensor, width: int = 0) -> Inputs:
        """The same; T is ``width`` if it is given."""
        places, lengths = self.features.places(rows)
        return self._padded(self.features.ids[places], lengths, width)

    def _padded(self, ids: Tensor, lengths: Tensor, width: int = 0) -> Inputs:
        """Rows that stand end to end, (n,), as a model reads them."""
        pad = self.tokenizer.pad_token_id
        return with_mask(padded(ids, lengths, pad, width), lengths)

    def _written(self, ids: Tensor) -> str:
        """Tokens as text, the texts of a pair one after the other."""
        sep = self.tokenizer.sep_token_id
        texts: list[list[int]] = [[]]
        for id in ids.tolist():
            if id == sep:
                texts.append([])
            else:
                texts[-1].append(id)
        decode: Any = self.tokenizer.decode
        return " | ".join(
            decode(each, skip_special_tokens=True) for each in texts if each
        )


def with_mask(input_ids: Tensor, lengths: Tensor) -> Inputs:
    """Padded rows, (B, T), with an attention_mask where there is padding."""
    mask = is_token(lengths, input_ids.shape[-1])
    if mask.all():
        return {"input_ids": input_ids}
    return {"input_ids": input_ids, "attention_mask": mask.long()}
