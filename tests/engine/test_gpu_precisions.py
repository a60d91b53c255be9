"""What an engine computes in on a GPU, and what it says about it."""

from __future__ import annotations

import warnings

import pytest
import torch
from engines import model_of
from reference import SEQUENCE

from minidistil import pipeline
from minidistil.engine import Engine, precision as precisions
from minidistil.engine.precision import plan, precision_on

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda:0", "mps"))


def test_float16_is_refused_on_a_cpu_with_what_to_use():
    with pytest.raises(ValueError, match=r"for GPUs.*device='cuda'.*bfloat16"):
        Engine(model_of(SEQUENCE), "float16")
    with pytest.raises(ValueError, match="for GPUs"):
        Engine.from_pretrained("tiny", precision="float16")
    with pytest.raises(ValueError, match="for GPUs"):
        pipeline(model="tiny", precision="float16")


@pytest.mark.parametrize(
    ("device", "capability", "half"),
    [(CUDA, (9, 0), "bfloat16"), (CUDA, (7, 5), "float16"), (MPS, None, "float16")],
)
def test_int8_on_a_gpu_is_a_half_type_and_says_so(
    monkeypatch, device, capability, half
):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda place: capability)
    with pytest.warns(UserWarning, match=f"int8 is for CPUs: .* computes in {half}"):
        assert precision_on(device, "int8") == half


@pytest.mark.parametrize("precision", precisions.PRECISIONS)
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_other_precisions_stay_what_they_are(device, precision):
    if (device, precision) in ((CPU, "float16"), (CUDA, "int8")):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert precision_on(device, precision) == precision


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_on_a_gpu_a_head_is_not_rounded(precision):
    chosen = plan(precision, None, CUDA, "gelu")
    assert chosen.stream == getattr(torch, precision)
    assert chosen.kernels == "torch"
    weight, bias = torch.ones(2, 3), torch.ones(2)
    assert chosen.head(weight, bias).weight.dtype == torch.float32
    assert chosen.encoder(weight, bias).weight.dtype == chosen.stream
