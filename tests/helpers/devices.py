"""The engine's code for GPUs on a CPU, with a stand-in for what only GPUs have."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from engines import answers, check, model_of, sequences_of
from torch import Tensor

from minidistil.engine import precision
from minidistil.engine.gpu import DeviceCore
from minidistil.engine.gpu.graphs import Graphs
from minidistil.engine.operators.attention import padded
from minidistil.engine.sequences import Sequences, Wanted

needs_cuda = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="there is no CUDA device here"
)
# How far results may be off, in proportion to the largest.
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 4e-3}
# Rows of 256 numbers, so that what half types round averages out as in real models.
WIDE = {
    "dim": 256,
    "n_heads": 4,
    "hidden_dim": 512,
    "vocab_size": 211,
    "max_position_embeddings": 512,
}
SMALL = {"max_position_embeddings": 512}
# Of most lengths that matter: 1, equal ones, around a block of 16, and the longest.
LENGTHS = [7, 70, 2, 2, 40, 1, 40, 7, 15, 16, 17, *[12] * 20, 3, 128, 70, 512, 1]


class AgainRecorder:
    """In place of a graph, the work is done again: on the tensors that it began with.

    Like a graph it writes into the results of the first time.
    """

    def __init__(self) -> None:
        self.recorded = self.replayed = 0
        self.lock = threading.Lock()

    def can_record(self) -> bool:
        return True

    def record(
        self, work: Callable[[], tuple[Tensor, ...]]
    ) -> tuple[Callable[[], Any], Any]:
        results = work()
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            for old, new in zip(results, work(), strict=True):
                old.copy_(new)

        return replay, results

    def begin(self) -> None:
        pass

    def end(self) -> None:
        pass


def plain_plan(dtype: torch.dtype, activation: str = "gelu") -> precision.Plan:
    """How a GPU computes in a type; on a CPU, an engine has no float16."""

    pack = precision._pack_floats(False, dtype, activation)
    head = precision._pack_floats(False, torch.float32, activation)
    return precision.Plan("torch", dtype, pack, pack, head, activation)


def core_of(
    model: Any,
    dtype: torch.dtype = torch.float32,
    *,
    recorder: Any = None,
    budget: int | None = None,
    attention: Any = padded,
) -> DeviceCore:
    """What computes on a GPU, on the CPU, from a copy of a model."""
    return DeviceCore(
        copy.deepcopy(model),
        plain_plan(dtype, model.config.activation),
        token_budget=budget,
        attention=attention,
        make_graphs=lambda transfers, width: (
            None if recorder is None else Graphs(transfers, recorder, width)
        ),
    )


def flat(sequences: Sequence[Sequence[int]]) -> Sequences:
    """Lists as an engine takes them."""
    ids = [each for sequence in sequences for each in sequence]
    return Sequences(
        torch.tensor(ids, dtype=torch.int32),
        torch.tensor([*map(len, sequences)], dtype=torch.int64),
    )


def chosen(positions: Sequence[Sequence[int]]) -> Wanted:
    """The positions that are wanted of each sequence."""
    places = [each for some in positions for each in some]
    return Wanted(
        torch.tensor(places, dtype=torch.int64),
        torch.tensor([*map(len, positions)], dtype=torch.int64),
    )


def results_of(
    core: DeviceCore,
    sequences: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]] | None = None,
) -> list[Tensor]:
    """The result for each sequence, as `Engine` divides them."""
    rows = flat(sequences)
    if not core.reads_all:
        return [*core.start(rows, Wanted.first(rows))().unbind()]
    if positions is None:
        return [*core.start(rows, None)().split(rows.lengths.tolist())]
    wanted = chosen(positions)
    return [*core.start(rows, wanted)().split(wanted.counts.tolist())]


def check_core(name: str, dtype: torch.dtype = torch.float32, **how: Any) -> None:
    """Compare with the model: many sequences at once, and a few by the short way.

    Differences are in proportion to the largest result of all.
    """
    model = model_of(name, **(SMALL if dtype == torch.float32 else WIDE))
    sequences = sequences_of(LENGTHS, model.config.vocab_size)
    core = core_of(model, dtype, **how)
    expected = answers(model, sequences)
    found = results_of(core, sequences)
    few = slice(4, 9)
    for some in (few, slice(3, 8)):  # of one bucket
        found += results_of(core, sequences[some])
        expected += expected[some]
    if core.reads_all:
        positions = [[0, 1], [], [3, 3, 0], [6], [14]]
        found += results_of(core, sequences[few], positions)
        expected += [
            each[places] for each, places in zip(expected[few], positions, strict=True)
        ]
    check(found, expected, TOLERANCES[dtype])
