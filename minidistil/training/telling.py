"""What there is to say of a run: for its report, which is rewritten, and its card."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from minidistil import __version__
from minidistil.files import write_file
from minidistil.training.card import Origin, model_card
from minidistil.training.labels import ONE
from minidistil.training.recipe import Recipe
from minidistil.training.report import write_report
from minidistil.training.rows import Data, name_of
from minidistil.training.running import Running
from minidistil.training.state import machine
from minidistil.training.tasks.base import Task

REPORT, CARD = "report.html", "README.md"


@dataclasses.dataclass(frozen=True)
class Telling:
    """Writes the report and the card of a run.

    Attributes:
        command: What repeats the run.
        train: The rows that are learnt from, and where they come from.
        dev: Those that are measured on.
        source: What the student begins with; None for layers of the teacher.
        teacher: Of a distillation.
        taught: What the teacher itself comes to on the dev rows.
    """

    command: str
    train: tuple[Data, Task]
    dev: tuple[Data, Task] | None
    source: str | os.PathLike[str] | None
    teacher: str | os.PathLike[str] | None
    taught: Mapping[str, Any] | None

    def write(self, run: Running, state: str) -> None:
        """Write both into the folder of a run."""
        told = self._told(run, state)
        write_report(run.folder / REPORT, told)
        if run.best.step:
            card = model_card(
                told,
                name=run.folder.resolve().name,
                kind=type(run.model).__name__,
                origin=None if self.source is None else Origin.of(self.source),
                teacher=None if self.teacher is None else Origin.of(self.teacher),
            )
            write_file(run.folder / CARD, card.encode())

    def _told(self, run: Running, state: str) -> dict[str, Any]:
        recipe = dataclasses.asdict(run.training.recipe)
        details = dict(run.best.details)
        mistakes = details.pop("worst", [])
        evaluations = [
            {"step": line["step"], "results": line["evaluation"]}
            for line in run.log
            if "evaluation" in line
        ]
        best = run.best
        return {
            "title": f"{run.folder.resolve().name}: {recipe['task']}",
            "state": state,
            "command": self.command,
            "recipe": recipe,
            "defaults": dataclasses.asdict(Recipe()),
            "data": {
                role: _about(*rows)
                for role, rows in (("train", self.train), ("dev", self.dev))
                if rows is not None
            },
            "log": run.log,
            "evaluations": evaluations,
            "best": None
            if best.value is None
            else {"step": best.step, "metric": run.metric, "value": best.value},
            "details": details,
            "mistakes": mistakes,
            "teacher": self.taught,
            "student": None
            if self.taught is None
            else {"name": "student", "parameters": parameters(run.model)},
            "environment": environment(run),
            "step": run.training.progress.step,
            "steps": run.training.lessons.steps,
        }


def environment(run: Running) -> dict[str, Any]:
    """What the last bits of a result depend on, beside its recipe."""
    versions = {"minidistil": __version__, "python": platform.python_version()}
    return versions | machine(run.training)


def parameters(model: torch.nn.Module) -> int:
    """How many numbers a model has learnt."""
    return sum(weight.numel() for weight in model.parameters())


def _about(data: Data, task: Task) -> dict[str, Any]:
    found: dict[str, Any] = {
        "files": [Path(name_of(data)).name],
        "rows": len(task.lengths),
        "skipped": task.skipped,
        "truncated": sum(task.shortened.values()),
    }
    labels = task.features.targets.get("labels")
    one_each = task.labels.names and task.labels.problem_type in (None, ONE)
    if one_each and labels is not None and not labels.is_floating_point():
        real = labels[labels >= 0].long()
        counts = real.bincount(minlength=len(task.labels.names)).tolist()
        found["labels"] = dict(zip(task.labels.names, counts, strict=False))
        if lacking := len(labels) - len(real):
            found["labels"]["(none)"] = lacking
    return found
