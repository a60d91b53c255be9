"""How a pipeline runs its model: ids in, rows of numbers out.

A GPU computes while the host reads the next texts: work is started, and its results are
waited for later. What computes on the host has them as soon as it was started.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from functools import partial
from itertools import chain, islice
from typing import Any, TypeVar

import torch
from torch import Tensor

from minidistil.checkpoint.tensors import all_finite
from minidistil.engine import Engine
from minidistil.engine.sequences import Ids, Sequences, Wanted
from minidistil.heads import (
    DistilBertForMultipleChoice,
    DistilBertForSequenceClassification,
)
from minidistil.outputs import BaseModelOutput, QuestionAnsweringOutput
from minidistil.pipelines.computing import Computing, described, kind_of
from minidistil.pipelines.reading import CHUNK, counted_from
from minidistil.tokenizer import DistilBertTokenizer

# The tokens that are read at once, at least: 50 MB of distilbert-base's vectors.
TOKENS = 16384
# On a GPU: the texts that are answered together, those of them that are started at
# once, and how many such slices are computed while the host reads the next.
TOGETHER, SLICE, AHEAD = 16384, 2048, 2

T = TypeVar("T")
# A row for each sequence, not for each token.
OF_WHOLE_TEXTS = (DistilBertForSequenceClassification, DistilBertForMultipleChoice)


class Running:
    """What runs the model of a pipeline.

    Attributes:
        model: What computes: a model, also inside of wrappers, or an engine.
        tokenizer: Its tokenizer.
    """

    model: Computing
    tokenizer: DistilBertTokenizer

    @property
    def _ahead(self) -> int:
        """How much is started before results are waited for."""
        on_gpu = isinstance(self.model, Engine) and self.model.device.type != "cpu"
        return AHEAD if on_gpu else 0

    @property
    def texts_together(self) -> int:
        """How many texts of a long list are answered together."""
        return TOGETHER if self._ahead else CHUNK

    def slices(self, items: list[T]) -> Iterator[tuple[int, list[T]]]:
        """Split a list into what is started at once, each with where it begins.

        On the host that is all of it: of more texts, more are of one length.
        """
        size = SLICE if self._ahead else max(1, len(items))
        for start in range(0, len(items), size):
            yield start, items[start : start + size]

    def waited_for(self, started: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Give results in order, some time after they were started."""
        waiting: deque[Callable[[], T]] = deque()
        for wait in started:
            waiting.append(wait)
            if len(waiting) > self._ahead:
                yield waiting.popleft()()
        for wait in waiting:
            yield wait()

    def answered(
        self, start: Callable[[list[T]], Callable[[], Iterable[Any]]], inputs: list[T]
    ) -> Iterator[Any]:
        """Start inputs, as many as is best at once, and give their answers."""

        def started() -> Iterator[Callable[[], Iterable[Any]]]:
            for before, some in self.slices(inputs):
                with counted_from(before):
                    wait = start(some)
                yield wait

        return chain.from_iterable(self.waited_for(started()))

    def start(
        self,
        sequences: Sequence[Ids],
        batch_size: int,
        positions: Sequence[Ids] | None = None,
    ) -> Callable[[], Tensor]:
        """Start to run the model on sequences of any lengths.

        Args:
            sequences: The ids of each, [CLS] and [SEP] included, unpadded.
            batch_size: How many go through a model together.
            positions: For models that read every token: the tokens that are wanted.

        Returns:
            What waits for the results: (R, width), float32, on the CPU, a row for each
            token of each sequence, for each of the positions, or of models that read
            whole texts for each sequence. It raises a ValueError if one is not finite.
        """
        if isinstance(self.model, Engine):
            wanted = None if positions is None else Wanted.of(positions)
            return self.model.start(Sequences.of(sequences), wanted)
        results = self._run_model(sequences, batch_size, positions)
        return lambda: results

    def run_in_portions(
        self,
        sequences: Iterable[Ids],
        batch_size: int,
        positions: Iterable[Ids] | None = None,
    ) -> Iterator[tuple[Tensor, list[int]]]:
        """Run the model where not all sequences and results can be in memory at once.

        Yields:
            The results of some sequences, as `start` describes them, and how many rows
            are of each.
        """
        wanted = None if positions is None else iter(positions)
        whole = issubclass(kind_of(self.model), OF_WHOLE_TEXTS)

        def started() -> Iterator[Callable[[], tuple[Tensor, list[int]]]]:
            enough = TOKENS * (2 if self._ahead else 1)
            for portion in portions(sequences, len, enough):
                some = None if wanted is None else [*islice(wanted, len(portion))]
                counts = [1] * len(portion) if whole else [*map(len, some or portion)]
                yield partial(_with, counts, self.start(portion, batch_size, some))

        return self.waited_for(started())

    def run_each(
        self,
        sequences: Iterable[Ids],
        batch_size: int,
        positions: Iterable[Ids] | None = None,
    ) -> Iterator[Tensor]:
        """The same as `run_in_portions`; yields the rows of each sequence."""
        for rows, counts in self.run_in_portions(sequences, batch_size, positions):
            yield from torch.split(rows, counts)

    def _run_model(
        self,
        sequences: Sequence[Ids],
        batch_size: int,
        positions: Sequence[Ids] | None,
    ) -> Tensor:
        """Run the model itself; see `start`."""
        # Sequences of like length share a batch: little of it is padding.
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        results = [torch.empty(0, dtype=torch.float32)] * len(sequences)
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            rows = self._run_batch([sequences[i] for i in places])
            for place, row in zip(places, rows, strict=True):
                if row.ndim == 1:
                    row = row[None]
                elif positions is None:
                    row = row[: len(sequences[place])]  # without padding
                else:
                    row = row[positions[place].tolist()]
                results[place] = row
        return torch.cat(results)

    def _run_batch(self, sequences: list[Ids]) -> Tensor:
        """Run the model on a batch; (B, T, …) or, of a whole text, (B, C)."""
        # To the right: the rows of the tokens then come first, and so do positions.
        batch = self.tokenizer.pad({"input_ids": sequences}, padding_side="right")
        found = described(self.model)
        ids = torch.tensor(batch["input_ids"], device=found.device)  # (B, T)
        mask = torch.tensor(batch["attention_mask"], device=found.device)
        if isinstance(found, DistilBertForMultipleChoice):
            ids, mask = ids[:, None], mask[:, None]  # one choice each: (B, 1, T)
        model: Any = self.model
        with torch.inference_mode():
            rows = as_one_tensor(model(ids, mask, return_dict=True)).float().cpu()
        if not all_finite(rows):
            raise ValueError(
                "the model's results are NaN or infinite: its weights are damaged, or "
                "too large for their type"
            )
        return rows


def _with(counts: list[int], wait: Callable[[], Tensor]) -> tuple[Tensor, list[int]]:
    return wait(), counts


def portions(
    items: Iterable[T], size: Callable[[T], int], enough: int
) -> Iterator[list[T]]:
    """Split items into lists, each ended by the item that makes its size ``enough``."""
    portion: list[T] = []
    total = 0
    for item in items:
        portion.append(item)
        total += size(item)
        if total >= enough:
            yield portion
            portion, total = [], 0
    if portion:
        yield portion


def regroup(results: Iterable[T], groups: Iterable[Sized]) -> Iterator[list[T]]:
    """Yield for each group as many of the results as it has members."""
    rest = iter(results)
    for group in groups:
        yield [*islice(rest, len(group))]


def means_of_groups(rows: Tensor, counts: Sequence[int]) -> Tensor:
    """The mean of each group of neighbouring rows: (R, D) to (groups, D)."""
    if max(counts, default=1) == 1:
        return rows
    lengths = torch.tensor(counts, device="cpu")
    return torch.segment_reduce(rows, "mean", lengths=lengths, axis=0)


def as_one_tensor(output: Any) -> Tensor:
    """The result of a forward pass as one tensor, as an engine gives it."""
    if isinstance(output, QuestionAnsweringOutput):
        return torch.stack((output.start_logits, output.end_logits), dim=-1)
    if isinstance(output, BaseModelOutput):
        return output.last_hidden_state
    logits: Tensor = output.logits
    return logits
