"""Which device a name means."""

from __future__ import annotations

import pytest
import torch

from minidistil.checkpoint import devices
from minidistil.checkpoint.devices import best_device, computing_device, usable_device

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", [None, -1, "-1", "cpu", CPU])
def test_the_cpu_has_several_names(name):
    assert usable_device(name) == CPU


def test_auto_is_the_best_device_there_is():
    found = usable_device("auto")
    assert found.type == best_device()
    assert (found.type != "cpu") == torch.accelerator.is_available()


@pytest.mark.parametrize("number", [1, "1"])
@pytest.mark.parametrize(
    ("best", "meant"), [("cuda", "cuda:1"), ("mps", "mps:1"), ("cpu", "cuda:1")]
)
def test_a_number_counts_the_gpus_of_this_machine(monkeypatch, number, best, meant):
    asked = []
    monkeypatch.setattr(devices, "best_device", lambda: best)
    monkeypatch.setattr(torch, "zeros", lambda size, device: asked.append(device))
    assert usable_device(number) == torch.device(meant)
    assert asked == [torch.device(meant)]


@pytest.mark.parametrize("name", ["foo", "cuda:99", 99, "99", ""])
def test_what_is_not_there_is_refused_by_the_name_it_was_given(name):
    with pytest.raises(ValueError, match=f"device {name!r} cannot be used"):
        usable_device(name)


@pytest.mark.parametrize("odd", [3.5, [], True])
def test_what_is_no_device_is_said_to_be_none(odd):
    with pytest.raises(TypeError, match=rf"device is .*{type(odd).__name__}, expected"):
        usable_device(odd)


def test_what_has_shapes_alone_does_not_compute():
    assert usable_device("meta") == torch.device("meta")
    with pytest.raises(ValueError, match="'meta' cannot be used"):
        computing_device("meta")
    assert computing_device(None) == torch.device("cpu")
