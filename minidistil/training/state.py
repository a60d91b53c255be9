"""The state of a training in one file, from which it goes on bit for bit.

    tensors    every weight, and AdamW's two means of each
    header     the step, what was best so far, sums of the report that is being made

The file is safetensors: no pickle, nothing that is run when it is read. It takes the
place of the one before when it is whole and on the disk, in one rename: whenever the
process is killed, there is a state, the old one or the new one.
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from minidistil.checkpoint.tensor_file import write_tensors
from minidistil.files import reading_from, replacing
from minidistil.messages import MinidistilError, shorten
from minidistil.tables.settings import differences
from minidistil.training.loop import Progress, Training

HEADER = "state"  # the entry of the file's metadata
MEANS = ("exp_avg", "exp_avg_sq")  # what AdamW keeps of the gradients of each weight


class StateError(MinidistilError, ValueError):
    """A state that a training cannot go on from."""


@dataclass
class Best:
    """What evaluations have found.

    Attributes:
        value: Of the metric that decides, the best so far; None before the first.
        step: When that was.
        waited: The evaluations since without gain.
        stopped: Whether patience has ended the training.
        results: All figures of the best evaluation, by name.
        details: What the report shows of it beside them; JSON.
    """

    value: float | None = None
    step: int = 0
    waited: int = 0
    stopped: bool = False
    results: dict[str, float] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def save(
    path: Path,
    training: Training,
    best: Best,
    settings: Mapping[str, Any],
    log: Sequence[Mapping[str, Any]],
) -> None:
    """Write the state.

    Args:
        path: Where to.
        training: What has been learnt.
        best: What evaluations have found.
        settings: What the run that goes on must share with this one; JSON.
        log: Its lines. In its file there may be more, of steps that will be taken
            again.

    Raises:
        OSError: if the system refuses; the state before it is kept.
    """
    progress, tensors = training.progress, {}
    updates = 0.0
    for name, weight in named(training.student).items():
        tensors[f"weight/{name}"] = weight.detach()
        for mean in MEANS if weight in training.optimizer.state else ():
            tensors[f"{mean}/{name}"] = training.optimizer.state[weight][mean]
            updates = float(training.optimizer.state[weight]["step"])
    header = {
        "step": progress.step,
        "tokens": progress.tokens,
        "since": progress.since,
        "sums": {name: float(value) for name, value in progress.sums.items()},
        "updates": updates,
        "scaler": training.scaler.state_dict(),
        "best": dataclasses.asdict(best),
        "log": log,
        "settings": settings,
        "machine": machine(training),
    }
    with replacing(path) as temporary:
        write_tensors(temporary, tensors, {HEADER: json.dumps(header)})


def load(
    path: Path, training: Training, settings: Mapping[str, Any]
) -> tuple[Best, list[dict[str, Any]]]:
    """Take over a state; the training goes on where it was written.

    Where the last bits of a result may be others than without a pause, as with another
    number of threads, there is a warning.

    Returns:
        What evaluations had found, and the lines of the log.

    Raises:
        StateError: if the file is no state, is damaged, or one of other ``settings``;
            it lists the differences.
        OSError: if the system refuses to read it.
    """
    try:
        with reading_from(path), safe_open(path, framework="pt") as file:
            header: dict[str, Any] = json.loads((file.metadata() or {})[HEADER])
            if others := differences(header["settings"], settings):
                lines = "".join(f"\n- {each}" for each in others)
                raise StateError(f"{path} is the state of another training:{lines}")
            # All is read before anything is changed.
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        best, progress = Best(**header["best"]), _progress(header, training.device)
        optimizer = _optimizer_state(tensors, training, header["updates"])
        weights = {
            name: _fitting(tensors, f"weight/{name}", weight)
            for name, weight in named(training.student).items()
        }
        training.scaler.load_state_dict(header["scaler"])
        log = [*header["log"]]
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, StateError):
            raise
        raise StateError(
            f"{path} is no state of a training, or is damaged ({shorten(error)}): "
            f"remove it to begin anew"
        ) from error
    with torch.no_grad():
        for name, weight in named(training.student).items():
            weight.copy_(weights[name])
    training.optimizer.state.update(optimizer)
    training.progress = progress
    if training.processes.is_first:
        _warn_of_another_machine(header.get("machine", {}), machine(training))
    return best, log


def machine(training: Training) -> dict[str, Any]:
    """What the last bits of a result depend on, beside its recipe."""
    device = training.device
    is_cuda = device.type == "cuda"
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if is_cuda else device.type,
        "processor": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "processes": training.processes.count,
    }


def _warn_of_another_machine(then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    if others := differences(then, now):
        warnings.warn(
            f"the training goes on, but to the last bit it will not be what it would "
            f"have been: {'; '.join(others)}",
            stacklevel=2,
        )


def _progress(header: Mapping[str, Any], device: torch.device) -> Progress:
    sums = {
        name: torch.tensor(value, device=device)
        for name, value in header["sums"].items()
    }
    return Progress(header["step"], header["tokens"], sums, header["since"])


def _optimizer_state(
    tensors: Mapping[str, Tensor], training: Training, updates: float
) -> dict[Tensor, dict[str, Tensor]]:
    """What AdamW has kept of each weight, where it has kept it."""
    is_fused = training.optimizer.defaults.get("fused")
    return {
        weight: {
            # A fused step counts on the device.
            "step": torch.tensor(updates, device=weight.device if is_fused else "cpu"),
            **{
                mean: _fitting(tensors, f"{mean}/{name}", weight).to(weight.device)
                for mean in MEANS
            },
        }
        for name, weight in named(training.student).items()
        if updates and weight.requires_grad
    }


def _fitting(tensors: Mapping[str, Tensor], name: str, weight: Tensor) -> Tensor:
    found = tensors[name]
    if found.shape != weight.shape or found.dtype != weight.dtype:
        raise ValueError(
            f"{name} is {found.dtype} of {[*found.shape]}, expected {weight.dtype} of "
            f"{[*weight.shape]}"
        )
    return found


def named(student: nn.Module) -> dict[str, Tensor]:
    """The weights by name; of two names for one, as of tied embeddings, the first."""
    return dict(student.named_parameters())
