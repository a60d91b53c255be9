"""What a contestant is: one way to classify texts, and how its results are read."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import numpy as np
from workloads import Workload

SEED = 20191002
LABELS = {0: "NEGATIVE", 1: "POSITIVE"}

# A workload, and a size of batches out of `Contestant.sizes`.
Run = Callable[[Workload, int], Any]
Scores = np.ndarray  # of the second label, one for each text


@dataclass(frozen=True)
class Place:
    """Where contestants run, which each has to itself while it does.

    Attributes:
        device: "cpu", "cuda" or "cuda:1".
        threads: As many as there are cores.
    """

    device: str
    threads: int

    @property
    def is_gpu(self) -> bool:
        """Whether work is only started by a call, and done later."""
        return self.device != "cpu"

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.is_gpu:
            import torch

            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Contestant:
    """One way to classify texts.

    Attributes:
        family: What it is, as in "OpenVINO".
        precision: What it computes in, as in "bfloat16".
        load: Takes the folder and the place; what it returns runs a whole workload, and
            only this is timed.
        read: Makes scores of a workload, the size of its batches and what a run of it
            returned.
        sizes: The sizes of batches that are tried; the best is timed. Without any, it
            makes its batches itself.
        unit: What the sizes count.
        needs: The modules without which it cannot take part.
        prepare: Writes the files that `load` wants into the folder, if any.
        compiles: Whether its first run takes minutes.
    """

    family: str
    precision: str
    load: Callable[[Path, Place], Run]
    read: Callable[[Workload, int, Any], Scores]
    sizes: tuple[int, ...] = (0,)
    unit: str = ""
    needs: tuple[str, ...] = ()
    prepare: Callable[[Path], None] | None = None
    compiles: bool = False

    @property
    def name(self) -> str:
        """Both, as in "OpenVINO, bfloat16"."""
        return f"{self.family}, {self.precision}"

    @property
    def missing(self) -> list[str]:
        """The modules that it needs and that are not installed."""
        return [module for module in self.needs if find_spec(module) is None]


# Why something is missing from the results, by its name.
Failures = dict[str, str]


@contextlib.contextmanager
def surviving(name: str, failed: Failures) -> Iterator[None]:
    """Let an error in the block cost nobody else their results; note and print it."""
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        said = error.format_message() if isinstance(error, click.ClickException) else ""
        failed[name] = " ".join((said or repr(error)).split())[:300]
        click.echo(f"{name} failed, and is left out", err=True)


def cores() -> int:
    """Count the cores that this process may use."""
    with contextlib.suppress(AttributeError):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def write_checkpoint(folder: Path, **settings: Any) -> None:
    """Write a classifier with random weights, as it would lie on the hub.

    Args:
        folder: Where.
        settings: Those of the configuration that are not the base model's.
    """
    import torch

    from minidistil import (
        DistilBertConfig,
        DistilBertForSequenceClassification,
        DistilBertTokenizer,
    )

    torch.manual_seed(SEED)
    config = DistilBertConfig(id2label=LABELS, **settings)
    DistilBertForSequenceClassification(config).save_pretrained(folder)
    DistilBertTokenizer.from_pretrained("tiny").save_pretrained(folder)


# What a run returns ──────────────────────────────────────────────────────────────────


def from_rows(_: Workload, __: int, logits: Any) -> Scores:
    """Read logits, (2,) for each text."""
    first, second = np.stack([np.asarray(row) for row in logits]).T
    scores: Scores = 1 / (1 + np.exp(first - second))
    return scores


def from_batches(work: Workload, size: int, logits: list[Any]) -> Scores:
    """Read logits, (B, 2) for each batch."""
    scores = np.empty(len(work.texts))
    for batch, rows in zip(work.batches(size), logits, strict=True):
        scores[batch.places] = from_rows(work, size, rows)
    return scores


def from_answers(_: Workload, __: int, answers: list[dict[str, Any]]) -> Scores:
    """Read a pipeline's answers, which name the better label."""
    return np.array(
        [
            each["score"] if each["label"] == LABELS[1] else 1 - each["score"]
            for each in answers
        ]
    )
