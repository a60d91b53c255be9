"""What an engine is on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import all_finite
from minidistil.engine.cpu.batches import Batch, batches, single
from minidistil.engine.cpu.encoder import FastEncoder
from minidistil.engine.forked import computed
from minidistil.engine.heads import HEADS, require_finite
from minidistil.engine.operators.products import FLOAT32, without_autocast
from minidistil.engine.precision import Plan
from minidistil.engine.sequences import Sequences, Wanted, arranged
from minidistil.progress import sequences_read

_NOTHING = nullcontext()


class HostCore:
    """A model's weights, packed for a CPU, and what computes with them.

    Nothing in it changes, so that threads can share it.

    Attributes:
        device: The CPU.
        reads_all: Whether it reads every token, or the first one of each sequence.
        width: The numbers of each result.
        budget: The tokens that go through together.
    """

    device = torch.device("cpu")

    def __init__(
        self, model: PreTrainedModel, plan: Plan, *, token_budget: int | None = None
    ) -> None:
        """Pack a model, which is empty afterwards."""
        self.budget = token_budget or plan.tokens
        self._pad = model.config.pad_token_id or 0
        with without_autocast():
            self._encoder = FastEncoder(model.encoder, plan)
            self._head = HEADS[type(model)](model, plan.head, self._encoder.embeddings)
        self.reads_all, self.width = self._head.reads_all, self._head.width

    def start(
        self, sequences: Sequences, wanted: Wanted | None
    ) -> Callable[[], Tensor]:
        """Compute at once.

        Args:
            sequences: What to read.
            wanted: The rows to compute results for; None for all of them.

        Returns:
            What returns the results: (R, width) float32, in the order of the rows that
            are wanted.

        Raises:
            ValueError: if a result is not finite.
        """
        results = computed(lambda: self._computed(sequences, wanted))
        return lambda: results

    def _computed(self, sequences: Sequences, wanted: Wanted | None) -> Tensor:
        rows = len(sequences.ids if wanted is None else wanted.positions)
        results = torch.empty(rows, self.width, **FLOAT32)
        for batch in self._batches(sequences, wanted):
            if len(batch.origins):
                with torch.inference_mode(), _without_autocast():
                    results[batch.origins] = self._run(batch)
            sequences_read(batch.count)
        return results

    def _batches(self, sequences: Sequences, wanted: Wanted | None) -> Iterable[Batch]:
        if len(sequences.lengths) == 1:
            return [single(sequences, wanted, self._pad)]
        return batches(arranged(sequences, wanted), self.budget, self._pad)

    def _run(self, batch: Batch) -> Tensor:
        """The results (R, width) of a batch."""
        logits = self._head.logits(self._encoder(batch))
        require_finite(all_finite(logits))
        return logits[: len(batch.origins)]


def _without_autocast() -> AbstractContextManager[object]:
    """The engine's precision decides the types, not an autocast around a call."""
    # To make a context of torch's takes time, and most calls need none.
    if torch.is_autocast_enabled("cpu"):
        return torch.autocast("cpu", enabled=False)
    return _NOTHING
