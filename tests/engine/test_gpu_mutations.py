"""The tests of the engine for GPUs can fail: each broken one gives another answer."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from devices import AgainRecorder, check_core
from reference import MASKED_LM, SEQUENCE, DifferenceError

from minidistil.engine.gpu import core, graphs, layers, packing
from minidistil.engine.gpu.packing import Batch


def check_all() -> None:
    """With graphs, or what stands for them, and in more than one batch."""
    for name in (SEQUENCE, MASKED_LM):
        check_core(name, recorder=AgainRecorder(), budget=300)


def changed(**changes):
    """Make batches as ever, then change some of their parts."""

    def change(real):
        def made(*arguments):
            batch = real(*arguments)
            parts = batch.parts
            new = {name: each(parts) for name, each in changes.items()}
            read = [*parts._replace(**new)]
            kept = read[:3] if parts.rows is None else read
            numbers = torch.cat([each.to(torch.int32) for each in kept])
            return dataclasses.replace(batch, numbers=numbers)

        return made

    return change


def off_by_one(parts):
    """The longest sequence ends one row early, and the next begins there."""
    ends = parts.ends.clone()
    ends[1:-1][:1] -= 1
    return ends


def counting_on(parts):
    """Positions count through the batch."""
    return torch.arange(len(parts.positions)) % 512


def next_rows(parts):
    """The row after each that is wanted."""
    last = len(parts.ids) - 1
    return None if parts.rows is None else (parts.rows + 1).clamp(max=last)


def shifted_queries(parts):
    """The last block's queries are counted to the sequence before."""
    if parts.rows is None:
        return parts.row_ends
    ends = parts.row_ends.clone()
    ends[1:-1] += 1
    return ends.clamp(max=int(ends[-1]))


def sorted_places(real):
    """Results stay in the order of the batch."""

    def made(*arguments):
        batch = real(*arguments)
        return dataclasses.replace(batch, places=batch.places.sort().values)

    return made


def leaking(real):
    """What fills a batch is more of its last sequence, and not one of its own."""

    def filled(batch, shape):
        made: Batch = real(batch, shape)
        made.parts.ends[batch.shape.sequences :] = shape.tokens
        return made

    return filled


def bias_forgotten(real):
    def init(self, layer, before, readers, plan):
        real(self, layer, before, list(readers), plan)

    return init


MUTATIONS = {
    "a sequence ends one row early": (packing, "_batch", changed(ends=off_by_one)),
    "positions go on": (packing, "_batch", changed(positions=counting_on)),
    "other rows are read": (packing, "_batch", changed(rows=next_rows)),
    "queries are others'": (packing, "_batch", changed(row_ends=shifted_queries)),
    "results are in sorted order": (packing, "_batch", sorted_places),
    "the filler leaks": (graphs, "filled", leaking),
    "the scale is forgotten": (layers, "scale_of", lambda real: lambda _: 1.0),
    "q, k and v change places": (
        layers,
        "side_by_side",
        lambda real: lambda each: real(each[::-1]),
    ),
    "a bias that was moved is not taken back": (
        layers.Residual,
        "__init__",
        bias_forgotten,
    ),
    "a residual is dropped": (
        layers.Residual,
        "__call__",
        lambda real: lambda self, x, y: real(self, x, torch.zeros_like(y)),
    ),
    "the norm before does not get the bias": (
        layers.DeviceNorm,
        "add",
        lambda real: lambda self, more: None,
    ),
    "graphs read what they were recorded with": (
        graphs.Transfers,
        "sent",
        lambda real: lambda self, numbers, to=None: real(self, numbers.clone()),
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_engine_is_caught(name, monkeypatch):
    place, attribute, change = MUTATIONS[name]
    monkeypatch.setattr(place, attribute, change(getattr(place, attribute)))
    # Only an answer that differs counts: an engine that crashes would prove nothing.
    with pytest.raises(DifferenceError):
        check_all()


def test_an_unbroken_engine_passes_by_the_same_route():
    check_all()


def test_the_check_sees_results_that_are_not_finite(monkeypatch):
    """The engine's own check off, a result of NaN is told apart."""
    real = core.DeviceCore.compute

    def compute(self, numbers, shape):
        logits, finite = real(self, numbers, shape)
        return logits * torch.nan, finite

    monkeypatch.setattr(core.DeviceCore, "compute", compute)
    with pytest.raises(DifferenceError, match="not finite"):
        check_all()
