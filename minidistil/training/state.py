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
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from minidistil.files import reading_from, replacing
from minidistil.messages import MinidistilError, shorten
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
    log_bytes: int,
) -> None:
    """Write the state.

    Args:
        path: Where to.
        training: What has been learnt.
        best: What evaluations have found.
        settings: What the run that goes on must share with this one; JSON.
        log_bytes: The length of the log: what is written behind it belongs to steps
            that will be done again.

    Raises:
        StateError: if a step has diverged; the state before it is kept.
        OSError: if the system refuses; the same.
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
        "log_bytes": log_bytes,
        "settings": settings,
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={HEADER: json.dumps(header)})


def read_header(path: Path) -> dict[str, Any]:
    """What a state says of itself.

    Raises:
        StateError: if the file is none.
        OSError: if the system refuses to read it.
    """
    try:
        with reading_from(path), safe_open(path, framework="pt") as file:
            found: dict[str, Any] = json.loads((file.metadata() or {})[HEADER])
    except (SafetensorError, KeyError, ValueError) as error:
        raise StateError(
            f"{path} is no state of a training ({shorten(error)}): remove it to begin "
            f"anew"
        ) from error
    return found


def load(path: Path, training: Training) -> Best:
    """Take over a state; the training goes on where it was written."""
    header = read_header(path)
    optimizer = training.optimizer
    with reading_from(path), safe_open(path, framework="pt") as file, torch.no_grad():
        kept = {*file.keys()}  # it is no mapping
        for name, weight in named(training.student).items():
            weight.copy_(file.get_tensor(f"weight/{name}"))
            if f"{MEANS[0]}/{name}" not in kept:
                continue
            optimizer.state[weight] = {
                "step": torch.tensor(header["updates"]),
                **{
                    mean: file.get_tensor(f"{mean}/{name}").to(weight.device)
                    for mean in MEANS
                },
            }
    training.scaler.load_state_dict(header["scaler"])
    training.progress = Progress(
        step=header["step"],
        tokens=header["tokens"],
        since=header["since"],
        sums={
            name: torch.tensor(value, device=training.device)
            for name, value in header["sums"].items()
        },
    )
    return Best(**header["best"])


def named(student: nn.Module) -> dict[str, Tensor]:
    """The weights by name; of two names for one, as of tied embeddings, the first."""
    return dict(student.named_parameters())
