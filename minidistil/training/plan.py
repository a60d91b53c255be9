"""Which rows a step learns from, in which order, and how many are computed at once.

    epoch ─ all rows, in a new order ─ batches ─ one step each
    batch ─ passes of like length ─ as many rows each as fit into memory

A batch is a decision about learning, a pass one about memory. A step is the same
whatever the passes are, up to rounding, and to which numbers dropout sets to zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from minidistil.training.keys import generator

# Rows of like length come together within so many batches: little of a batch is then
# padding, and yet hardly any two batches of two epochs are the same.
WINDOW = 100


class Plan:
    """The rows of every step, known before the first one.

    Attributes:
        rows: How many rows there are.
        steps: How many steps all epochs have. The last batch of an epoch may be small.
        steps_per_epoch: How many each of them has.
    """

    def __init__(
        self,
        lengths: Tensor,
        *,
        seed: int,
        epochs: int,
        batch_size: int,
        pass_rows: int,
    ) -> None:
        """Take the tokens of each row, (rows,), and the recipe's numbers."""
        self.rows = len(lengths)
        self.steps_per_epoch = math.ceil(self.rows / batch_size)
        self.steps = epochs * self.steps_per_epoch
        self._lengths, self._seed = lengths, seed
        self._batch_size, self._pass_rows = batch_size, pass_rows
        self._batches = lru_cache(maxsize=2)(self._batches_of)

    def batch(self, step: int) -> Tensor:
        """The rows of a step, the longest first: integers, (rows of the batch,)."""
        epoch, place = divmod(step, self.steps_per_epoch)
        return self._batches(epoch)[place]

    def passes(self, step: int) -> tuple[Tensor, ...]:
        """The same in parts, each of which is computed at once."""
        return torch.split(self.batch(step), self._pass_rows)

    def _batches_of(self, epoch: int) -> list[Tensor]:
        draw = generator(self._seed, "order of rows", epoch)
        order = torch.randperm(self.rows, generator=draw)
        windows = torch.split(order, WINDOW * self._batch_size)
        longest_first = [
            window[self._lengths[window].argsort(descending=True, stable=True)]
            for window in windows
        ]
        size = self._batch_size
        batches = [
            batch for window in longest_first for batch in torch.split(window, size)
        ]
        draw = generator(self._seed, "order of batches", epoch)
        return [batches[i] for i in torch.randperm(len(batches), generator=draw)]
