"""`scripts/check_gpu.py`: its steps on a CPU, and its verdict."""

from __future__ import annotations

import pytest
import torch
from programs import run_script

from minidistil.engine.gpu import layers


def check_on_cpu():
    return run_script("check_gpu.py", "--device", "cpu", "--size", "small")


def test_what_is_right_passes_in_a_table():
    done = check_on_cpu()
    assert done.exit_code == 0, done.output
    rows = [line for line in done.output.splitlines() if "e-0" in line]
    assert len(rows) == 6
    assert "attention: padded" in done.output
    assert "\nall as it should be" in done.output


def test_what_is_wrong_does_not(monkeypatch):
    monkeypatch.setattr(layers, "scale_of", lambda attention: 1.0)
    done = check_on_cpu()
    assert done.exit_code == 1
    assert "WRONG: 1e-05 is allowed" in done.output


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here")
def test_without_a_gpu_it_says_so():
    done = run_script("check_gpu.py")
    assert done.exit_code == 2
    assert "no GPU here" in done.output
