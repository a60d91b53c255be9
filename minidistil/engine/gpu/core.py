"""What an engine is on a device other than the CPU."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.engine.gpu.budget import suitable_budget
from minidistil.engine.gpu.graphs import MOST_TOKENS, CudaRecorder, Graphs
from minidistil.engine.gpu.layers import DeviceEmbeddings, DeviceNorm, blocks_of
from minidistil.engine.gpu.packing import (
    MOST_RESULTS,
    Batch,
    Limits,
    Shape,
    batches,
    parts,
)
from minidistil.engine.gpu.pending import Pending
from minidistil.engine.gpu.transfers import Fetch, Transfers, computing_on
from minidistil.engine.heads import HEADS
from minidistil.engine.layers import FastEmbeddings
from minidistil.engine.operators.attention import Attention, best_attention, padded
from minidistil.engine.precision import Plan
from minidistil.engine.sequences import Sequences, Wanted


def graphs_of(transfers: Transfers, width: int) -> Graphs | None:
    """Where the graphs of short calls will be, if the device has such."""
    if transfers.device.type != "cuda":
        return None
    return Graphs(transfers, CudaRecorder(), width)


class DeviceCore:
    """A model's weights on a device, and what computes with them.

    Threads can share it, each on its own stream. It can be pickled: the weights then go
    by way of the host, and to the same device where they arrive, if there is one.

    Attributes:
        device: Where it computes.
        reads_all: Whether it reads every token, or the first one of each sequence.
        width: The numbers of each result.
        budget: The tokens that go through together.
        attention: How it computes attention.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        plan: Plan,
        *,
        token_budget: int | None = None,
        attention: Attention | None = None,
        make_graphs: Callable[[Transfers, int], Graphs | None] = graphs_of,
    ) -> None:
        """Pack a model, which is empty afterwards.

        Args:
            model: The model, on its device.
            plan: How to compute.
            token_budget: The tokens that go through together; by default as many as
                suit the device and its memory.
            attention: By default the fastest that works.
            make_graphs: Makes the graphs of short calls; None if there are none.
        """
        self.device = model.device
        self._given = token_budget, attention, make_graphs
        with computing_on(self.device):
            embeddings = FastEmbeddings(model.encoder.embeddings, plan.stream)
            norm = DeviceNorm(embeddings.norm, plan.stream)
            self._blocks = blocks_of(model.encoder, plan, norm)
            self._head = HEADS[type(model)](model, plan.head, embeddings)
            # After the head, which may share the word embeddings.
            self._embeddings = DeviceEmbeddings(embeddings, norm, plan.stream)
            self._settle()

    def _settle(self) -> None:
        """Find out what can be done on the device."""
        budget, attention, make_graphs = self._given
        words, block = self._embeddings.words, self._blocks[0]
        self.reads_all, self.width = self._head.reads_all, self._head.width
        size = words.shape[1] // block.heads
        self.attention = attention or best_attention(
            self.device, words.dtype, block.heads, size
        )
        filled_up = self.attention is padded
        self.budget = budget or suitable_budget(
            self.device, block.bytes_of_a_token, filled_up
        )
        most_rows = max(1, MOST_RESULTS // (4 * self.width))
        self._limits = Limits(self.budget, most_rows, filled_up)
        self._transfers = Transfers(self.device)
        self._graphs = make_graphs(self._transfers, self.width)
        if self.device.type == "cuda":
            # Other streams than this one may read the weights next.
            torch.cuda.current_stream().synchronize()

    def start(
        self, sequences: Sequences, wanted: Wanted | None
    ) -> Callable[[], Tensor]:
        """Begin to compute; the host can do something else meanwhile.

        Args:
            sequences: What to read.
            wanted: The rows to compute results for; None for all of them.

        Returns:
            What waits for the results and returns them: (R, width) float32 on the CPU,
            in the order of the rows that are wanted. It raises ValueError if a result
            is not finite.
        """
        rows = len(sequences.ids if wanted is None else wanted.positions)
        results = torch.empty(rows, self.width, dtype=torch.float32, device="cpu")
        pending = Pending(results, self)
        if rows:
            short = len(sequences.ids) <= MOST_TOKENS
            with computing_on(self.device):
                for batch in batches(sequences, wanted, self._limits):
                    if len(batch.places):
                        pending.add(batch, self._begin(batch, short))
        return pending.finish

    def _begin(self, batch: Batch, short: bool) -> Fetch:
        """Ask the device for a batch's results, and for whether they are finite."""
        if short and self._graphs is not None:
            fetch = self._graphs.run(batch, self.compute)
            if fetch is not None:
                return fetch
        numbers = self._transfers.sent(batch.numbers)
        return self._transfers.fetched(*self.compute(numbers, batch.shape))

    def compute(self, numbers: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
        """Compute a batch whose numbers are on the device: results, (R, width).

        The second of the two says whether all of a row's numbers are finite, (R,).
        """
        batch = parts(numbers, shape)
        x = self._embeddings(batch)
        for block in self._blocks:
            x = block(x, batch, shape, self.attention)
        logits = self._head.logits(x)
        return logits, logits.isfinite().all(dim=1)

    # Copies ───────────────────────────────────────────────────────────────────────────

    def __getstate__(self) -> dict[str, Any]:
        # Without graphs, locks and operators, which are of this process.
        file = io.BytesIO()
        torch.save((self._embeddings, self._blocks, self._head), file)
        return {"device": self.device, "given": self._given, "layers": file.getvalue()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._given = state["given"]
        self.device = _arrived(state["device"])
        with computing_on(self.device):
            self._embeddings, self._blocks, self._head = torch.load(
                io.BytesIO(state["layers"]),
                map_location=self.device,
                weights_only=False,  # our own classes, inside of a pickle anyway
            )
            self._settle()


def _arrived(device: torch.device) -> torch.device:
    """The device where weights from such a one go: the CPU if there is none."""
    for found in (device, torch.device(device.type, 0), torch.device("cpu")):
        try:
            return torch.zeros(1, device=found).device
        except (RuntimeError, AssertionError, ImportError):
            continue
    raise AssertionError("there is always a CPU")
