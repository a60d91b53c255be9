"""Which device a name means, and whether it is there."""

from __future__ import annotations

import torch

from minidistil.messages import as_integer, with_library


def usable_device(device: torch.device | str | int | None) -> torch.device:
    """The device of that name.

    A number counts GPUs, and -1 or None is the CPU; "auto" is the best that there is.

    Raises:
        ValueError: if this machine, or this build of torch, has no such device.
        TypeError: if it is no name of a device.
    """
    number = as_integer(device)
    if isinstance(device, str) and device.removeprefix("-").isdecimal():
        number = int(device)  # as a command line gives it
    name = "cpu" if device is None else device
    if number is not None and number < 0:
        name = "cpu"
    elif number is not None:
        best = best_device()
        name = f"{'cuda' if best == 'cpu' else best}:{number}"
    elif device == "auto":
        name = best_device()
    try:
        found = torch.device(name)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError, ImportError) as error:
        raise ValueError(f"device {device!r} cannot be used: {error}") from error
    except TypeError as error:
        raise TypeError(
            f"device is {with_library(device)}, expected a name such as 'cpu' or "
            f"'cuda:0', a torch.device, or the number of a GPU"
        ) from error
    return found


def computing_device(device: torch.device | str | int | None) -> torch.device:
    """The same, for numbers: "meta" has only shapes.

    Raises:
        ValueError: also if it is "meta".
        TypeError: as there.
    """
    found = usable_device(device)
    if found.type == "meta":
        raise ValueError("device 'meta' cannot be used: it has shapes, no numbers")
    return found


def best_device() -> str:
    """The kind of device that is fastest here: CUDA is also what ROCm is called."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.xpu.is_available():
        return "xpu"
    return "mps" if torch.backends.mps.is_available() else "cpu"
