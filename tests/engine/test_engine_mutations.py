"""The engine tests can fail: each broken engine gives another answer than the model."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from engines import FLOAT32, answers, check, kernels_here, model_of, sequences_of
from reference import ENCODER, MASKED_LM, SEQUENCE, DifferenceError

from minidistil.engine import Engine
from minidistil.engine.cpu import attention, core as host, encoder
from minidistil.engine.cpu.attention import Group
from minidistil.engine.cpu.batches import WantedRows
from minidistil.engine.cpu.encoder import FastBlock
from minidistil.engine.layers import FastEmbeddings, FastNorm
from minidistil.engine.operators import products as operators
from minidistil.engine.operators.products import PlainLinear

# Long enough for every way to compute attention, and not in order.
SEQUENCES = sequences_of([7, 70, 2, 2, 40, 7, 40, 7] + [12] * 20 + [3, 70], 53)
INT8 = 0.4


def check_all(precision: str = "float32", kernels: str = "torch") -> None:
    """Put the models that differ in what they read through the engine tests' check."""
    for name in (ENCODER, SEQUENCE, MASKED_LM):
        model = model_of(name, max_position_embeddings=80)
        engine = Engine(model, precision, kernels=kernels, token_budget=400)
        tolerance = FLOAT32 if precision == "float32" else INT8
        check(engine(SEQUENCES), answers(model, SEQUENCES), tolerance)


def changed_batches(**changes):
    """Cut batches as ever, then change some of what they hold."""
    real = host.batches

    def batches(*arguments):
        for batch in real(*arguments):
            new = {name: change(batch) for name, change in changes.items()}
            yield dataclasses.replace(batch, **new)

    return batches


def one_row_later(wanted: WantedRows) -> WantedRows:
    if wanted.rows is None:
        return wanted
    return dataclasses.replace(wanted, rows=wanted.rows + 1)


def one_of_all(groups: list[Group]) -> list[Group]:
    return [Group(1, group.rows) for group in groups]


def before(real, change):
    """Call what was there with other arguments."""
    return lambda *arguments: real(*change(*arguments))


def after(real, change):
    """Call what was there, then change the result."""
    return lambda *arguments: change(real(*arguments))


def swapped_norms(real):
    def init(self, *arguments):
        real(self, *arguments)
        norms = self.sa_layer_norm, self.output_layer_norm
        self.output_layer_norm, self.sa_layer_norm = norms

    return init


def exchanged(real, order):
    """Three layers of one input, in another order."""
    return lambda layers: real([layers[i] for i in order if i < len(layers)])


def no_residual(real, square):
    """Drop what is added, in layers that are square (attention's) or are not."""

    def added(self, x, y):
        out = len(self.weight)
        return self(x) if (x.shape[1] == out) == square else real(self, x, y)

    return added


MIX = "mix_in_batches", "mix_fused"
MUTATIONS = {
    **{
        f"the scale is wrong in {mix}": (
            attention,
            mix,
            lambda real: lambda q, k, v: real(q * 1.1, k, v),
        )
        for mix in MIX
    },
    **{
        f"keys and values are swapped in {mix}": (
            attention,
            mix,
            lambda real: lambda q, k, v: real(q, v, k),
        )
        for mix in MIX
    },
    "the scale is forgotten": (encoder, "scale_of", lambda real: lambda _: 1.0),
    "row 1 is read in place of [CLS]": (
        host,
        "batches",
        lambda real: changed_batches(wanted=lambda batch: one_row_later(batch.wanted)),
    ),
    "results stay in the order of the batches": (
        host,
        "batches",
        lambda real: changed_batches(origins=lambda batch: batch.origins.sort().values),
    ),
    "positions begin at one": (
        host,
        "batches",
        lambda real: changed_batches(positions=lambda batch: batch.positions + 1),
    ),
    "positions count through the batch": (
        host,
        "batches",
        lambda real: changed_batches(
            positions=lambda batch: torch.arange(len(batch.ids)) % 80
        ),
    ),
    "neighbours see each other": (
        host,
        "batches",
        lambda real: changed_batches(groups=lambda batch: one_of_all(batch.groups)),
    ),
    "q, k and v are in another order": (
        encoder,
        "side_by_side",
        lambda real: exchanged(real, (1, 0, 2)),
    ),
    "the norms are swapped": (FastBlock, "__init__", swapped_norms),
    "embeddings are not normalised": (
        FastEmbeddings,
        "__call__",
        lambda real: lambda self, ids, _: F.embedding(ids, self.words),
    ),
    "a norm has no bias": (
        FastNorm,
        "__call__",
        lambda real: lambda self, x: real(self, x) - self.bias,
    ),
    "attention's residual is dropped": (
        PlainLinear,
        "added",
        lambda real: no_residual(real, square=True),
    ),
    "the feed-forward network's residual is dropped": (
        PlainLinear,
        "added",
        lambda real: no_residual(real, square=False),
    ),
    "GELU is that by tanh": (
        PlainLinear,
        "activated",
        lambda real: lambda self, x: F.gelu(self(x), approximate="tanh"),
    ),
    "a layer has no bias": (
        PlainLinear,
        "__call__",
        lambda real: lambda self, x: F.linear(x, self.weight),
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_engine_is_caught(name, monkeypatch):
    place, attribute, change = MUTATIONS[name]
    monkeypatch.setattr(place, attribute, change(getattr(place, attribute)))
    # Only an answer that differs counts: an engine that crashes would prove nothing.
    with pytest.raises(DifferenceError):
        check_all()


@pytest.mark.parametrize("kernels", kernels_here())
def test_an_unbroken_engine_passes_by_the_same_route(kernels):
    check_all(kernels=kernels)


def rounded_twice(real):
    """Weights of five bits."""

    def quantize_weight(weight, largest):
        integers, scales = real(weight, largest)
        return integers.div(8, rounding_mode="floor"), scales * 8

    return quantize_weight


def one_scale(real):
    """One scale for all channels."""

    def quantize_weight(weight, largest):
        integers, scales = real(weight, largest)
        return integers, scales.mean().expand_as(scales).contiguous()

    return quantize_weight


def without_sum(real):
    """What a layer adds to is forgotten."""
    return lambda self, x, y: self(x).float()


INT8_MUTATIONS = {
    "a residual is dropped": (operators.Int8Linear, "added", without_sum),
    "weights have five bits": (operators, "quantize_weight", rounded_twice),
    "channels share a scale": (operators, "quantize_weight", one_scale),
}


@pytest.mark.skipif("onednn" not in kernels_here("int8"), reason="no int8 product here")
@pytest.mark.parametrize("name", INT8_MUTATIONS)
def test_a_broken_int8_engine_is_caught(name, monkeypatch):
    place, attribute, change = INT8_MUTATIONS[name]
    operators.has_int8()  # with what is not broken yet
    monkeypatch.setattr(place, attribute, change(getattr(place, attribute)))
    with pytest.raises(DifferenceError):
        check_all("int8", "onednn")


@pytest.mark.parametrize("kernels", kernels_here("int8"))
def test_an_unbroken_int8_engine_passes_by_the_same_route(kernels):
    check_all("int8", kernels)
