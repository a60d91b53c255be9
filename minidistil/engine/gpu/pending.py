"""Results that a device still works on."""

from __future__ import annotations

from collections import deque

from torch import Tensor

from minidistil.engine.gpu.packing import MOST_RESULTS, Batch
from minidistil.engine.gpu.transfers import Fetch
from minidistil.engine.heads import require_finite
from minidistil.progress import sequences_read


class Pending:
    """The results of a call, batch by batch."""

    def __init__(self, results: Tensor, owner: object) -> None:
        """Take where results go, (R, width), and what must stay until all are there."""
        self._results, self._owner = results, owner
        self._batches: deque[tuple[Batch, Fetch]] = deque()
        self._bytes, self._finite = 0, True

    def add(self, batch: Batch, fetch: Fetch) -> None:
        """Add a batch; take the results of the first ones, if many wait."""
        self._batches.append((batch, fetch))
        self._bytes += self._size(batch)
        while self._bytes > 2 * MOST_RESULTS and len(self._batches) > 2:
            self._take()

    def _size(self, batch: Batch) -> int:
        return 4 * len(batch.places) * self._results.shape[1]

    def _take(self) -> None:
        batch, fetch = self._batches.popleft()
        self._bytes -= self._size(batch)
        found, finite = fetch()
        self._finite = self._finite and bool(finite.all())
        self._results.index_copy_(0, batch.places, found)
        sequences_read(batch.shape.sequences)

    def finish(self) -> Tensor:
        """Wait for all results, and return them in the order of `Wanted`.

        Raises:
            ValueError: if one is not finite.
        """
        while self._batches:
            self._take()
        self._owner = None
        require_finite(self._finite)
        return self._results
