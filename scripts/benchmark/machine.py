"""The machine and what is installed, for the heading of results."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import click
import torch
from contestant import Place

import minidistil


def check_device(device: str) -> str:
    """Return the name of a device that is here.

    Raises:
        click.UsageError: for another one.
    """
    if device == "cpu":
        return device
    name, _, number = device.partition(":")
    if name != "cuda" or not (number.isdigit() or number == ""):
        raise click.UsageError(f"--device is {device!r}, expected cpu, cuda or cuda:N")
    if int(number or 0) >= torch.cuda.device_count():
        raise click.UsageError(
            f"--device is {device!r}, but this torch sees "
            f"{torch.cuda.device_count()} such devices"
        )
    return device


def machine(place: Place) -> dict[str, str]:
    """Describe the machine."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    except OSError:
        models = []
    found = {
        "processor": models[0] if models else platform.processor(),
        "cores": f"{place.threads} cores",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if place.is_gpu:
        found = {"card": torch.cuda.get_device_name(place.device)} | found
    return found


def versions(place: Place) -> dict[str, str]:
    """Return the versions of everything that matters and is installed."""
    found = {"python": platform.python_version(), "minidistil": minidistil.__version__}
    names = ("torch", "transformers", "tokenizers", "onnxruntime", "openvino")
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    if place.is_gpu:
        found["CUDA"] = str(torch.version.cuda or torch.version.hip)
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            command = [
                "nvidia-smi",
                "--query-gpu=driver_version",
                "--format=csv,noheader",
            ]
            drivers = subprocess.check_output(command, encoding="utf-8")
            found["driver"] = drivers.splitlines()[0]
    return found
