"""A training in its folder: it goes on, measures, keeps what is best, and reports.

FOLDER/
    model.safetensors, config.json, the tokenizer      the best weights so far
    recipe.json  metrics.jsonl  report.html  README.md
    training.json              what was trained, and how good it became
    unfinished.safetensors     while it is trained: the state to go on from
    unfinished.lock/           meanwhile: no other run trains in the folder
    unfinished.train.safetensors, unfinished.dev.safetensors
                               meanwhile, too: the tokens of a corpus, which is mapped
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import SINGLE_FILE
from minidistil.files import (
    is_file,
    is_folder,
    is_temporary,
    read_json,
    reading_from,
    write_file,
)
from minidistil.messages import MinidistilError
from minidistil.tables.locking import locked
from minidistil.tables.rows import TableError
from minidistil.tables.settings import differences
from minidistil.training.evaluating import measured
from minidistil.training.loop import Training
from minidistil.training.metrics import as_json, is_better
from minidistil.training.processes import Processes
from minidistil.training.state import Best, load, save
from minidistil.training.tasks.base import Task

STATE, LOG, ABOUT = "unfinished.safetensors", "metrics.jsonl", "training.json"
TOKENS = {role: f"unfinished.{role}.safetensors" for role in ("train", "dev")}
LOCK = "unfinished.lock"  # a folder
LINES = 1000  # of the log, about, whatever the number of steps
SECONDS = 300.0  # between two saves, at most
FRESH = 60.0  # seconds after which the report is rewritten, when a line is logged


class RunError(MinidistilError, ValueError):
    """A training that cannot go on, or cannot begin in its folder."""


class DivergedError(MinidistilError, ArithmeticError):
    """The loss of a step was NaN or infinite."""


@dataclass
class Running:
    """A training that is under way.

    Attributes:
        folder: Where the result goes.
        training: The student that learns, and how far it is.
        model: The student's model.
        dev: What it is measured on; None: its last weights are the best.
        metric: What says which weights are best.
        settings: What a run must share with the one that it goes on from, as JSON.
        processes: Those that take part.
        write_beside: Writes the report and the card; called with how it stands.
        stop: Whether to end after the present step.
        report: Called with the newest line of the log, and what a person wants beside.
        best: What evaluations have found.
    """

    folder: Path
    training: Training
    model: PreTrainedModel
    dev: Task | None
    metric: str
    settings: Mapping[str, Any]
    processes: Processes
    write_beside: Callable[[Running, str], None]
    stop: Callable[[], bool]
    report: Callable[[Mapping[str, Any]], None]
    best: Best = field(default_factory=Best)
    _log: list[dict[str, Any]] = field(default_factory=list)

    def go(self) -> str:
        """Train until all is done, or something ends it.

        Returns:
            "finished", "stopped by patience" or "interrupted".

        Raises:
            DivergedError: if a step has diverged; the state before it is kept.
        """
        self._take_up()
        self.write_beside(self, "running")
        lessons: Any = self.training.lessons
        every = max(1, lessons.steps // LINES)
        saved = time.monotonic()
        self._clock = (saved, self.training.progress.tokens)
        self._shown = saved
        # Who was killed when all was done, but not all was written, is done at once.
        for done in () if self.best.stopped else self.training.steps():
            is_last = done == lessons.steps
            if done % every == 0 or is_last:
                self._report_step()
                self._refresh()
            is_measured = done % lessons.plan.steps_per_epoch == 0
            if is_measured:
                self._evaluate()
            is_over = is_last or self.best.stopped
            is_stopped = not is_over and self._is_asked_to_stop(done, every)
            if is_measured or is_stopped or self._is_time(saved):
                saved = self._save()
            if is_stopped:
                self._check_finite()
                return "interrupted"
            if is_over:
                break
        is_early = self.training.progress.step < lessons.steps
        return "stopped by patience" if is_early else "finished"

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return self._log

    def _take_up(self) -> None:
        """Go on from the state, if there is one; the log is then what it was."""
        path = self.folder / STATE
        if is_file(path):
            self.best, self._log = load(path, self.training, self.settings)
        if not self.processes.is_first:
            return
        remove(self.folder)
        write_file(self.folder / LOG, b"".join(map(_as_line, self._log)))

    def _report_step(self) -> None:
        """Write a line of the log: means over the steps since the one before."""
        progress = self.training.progress
        self._check_finite()
        sums = {name: float(value) for name, value in progress.sums.items()}
        means = {name: value / progress.since for name, value in sums.items()}
        weights = self.training.lessons.weights
        now, (began, tokens) = time.monotonic(), self._clock
        recipe = self.training.recipe
        lessons: Any = self.training.lessons
        line = self._write(
            {
                "step": progress.step,
                "epoch": progress.step / lessons.plan.steps_per_epoch,
                "tokens": progress.tokens,
                "loss": sum(weights[name] * means[name] for name in weights),
                **means,
                "learning_rate": recipe.rate(progress.step - 1, lessons.steps),
                "tokens_per_second": (progress.tokens - tokens)
                / max(now - began, 1e-9),
            }
        )
        self._report(line)
        self._clock = (now, progress.tokens)
        progress.sums, progress.since = {}, 0

    def _refresh(self) -> None:
        """Rewrite the report now and then, for who follows it."""
        if self.processes.is_first and time.monotonic() - self._shown > FRESH:
            self.write_beside(self, "running")
            self._shown = time.monotonic()

    def _check_finite(self) -> None:
        if (number := self.training.diverged_in()) is None:
            return
        lessons: Any = self.training.lessons
        rows = lessons.plan.batch(number).tolist()
        some = ", ".join(map(lessons.task.where, rows[:8])) + " …" * (len(rows) > 8)
        self.write_beside(self, "diverged")
        path = self.folder / STATE
        kept = f" The state before it is kept in {path}" if is_file(path) else ""
        raise DivergedError(
            f"the loss or its gradient was not finite in step {number + 1}, which "
            f"learnt from {some}: try a lower learning rate, or float32, in another "
            f"folder.{kept}"
        )

    def _evaluate(self) -> None:
        """Measure; keep the weights if they are the best so far."""
        self._check_finite()
        step = self.training.progress.step
        if self.dev is None:
            self.best = Best(None, step)
            self._keep_weights()
            return
        device = self.training.device
        measure = measured(self.model, self.dev, device, self.processes)
        results = measure.results()
        line = self._write({"step": step, "evaluation": results})
        value = results[self.metric]
        # Of figures that are all NaN the first is kept: a folder has weights.
        if not self.best.step or is_better(self.metric, value, self.best.value):
            details = measure.details()
            self.best = Best(value, step, results=results, details=details)
            self._keep_weights()
        else:
            patience = self.training.recipe.patience
            waited = self.best.waited + 1
            stopped = patience is not None and waited >= patience
            self.best = dataclasses.replace(self.best, waited=waited, stopped=stopped)
        self._report(line)
        self.write_beside(self, "running")

    def _keep_weights(self) -> None:
        if self.processes.is_first:
            self.model.save_pretrained(self.folder)

    def _save(self) -> float:
        """Write the state; the one before stays if a step since has diverged."""
        if self.processes.is_first and self.training.diverged_in() is None:
            path, state = self.folder / STATE, (self.best, self.settings, self._log)
            save(path, self.training, *state)
        return time.monotonic()

    def _is_asked_to_stop(self, done: int, every: int) -> bool:
        """Whether to end: all processes do, or none."""
        if self.processes.count == 1:
            return self.stop()
        if done % every:  # they agree where they wait for the device anyway
            return False
        wishes = torch.tensor(float(self.stop()), device=self.training.device)
        return bool(self.processes.sum(wishes))

    def _is_time(self, saved: float) -> bool:
        # Only one process writes; the others need not know when.
        return self.processes.is_first and time.monotonic() - saved > SECONDS

    def _write(self, line: dict[str, Any]) -> dict[str, Any]:
        self._log.append(line)
        if self.processes.is_first:
            path = self.folder / LOG
            with reading_from(path), path.open("ab") as file:
                file.write(_as_line(line))
                file.flush()
                os.fsync(file.fileno())
        return line

    def _report(self, line: Mapping[str, Any]) -> None:
        if self.processes.is_first:
            beside = {"metric": self.metric, "best": self.best.value}
            self.report({**line, "steps": self.training.lessons.steps, **beside})


def _as_line(line: Mapping[str, Any]) -> bytes:
    """A line of the log; JSON has no NaN, which is null there."""
    figures = {name: x for name, x in line.items() if name != "evaluation"}
    found: dict[str, Any] = as_json(figures)
    if "evaluation" in line:
        found["evaluation"] = as_json(line["evaluation"])
    return json.dumps(found).encode() + b"\n"


def remove(folder: Path, names: Iterable[str] = ()) -> None:
    """Remove files of a folder, and what a run left that was killed while it wrote."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    for left in filter(is_temporary, folder.iterdir()):
        left.unlink()


def check_place(folder: Path) -> bool:
    """Whether there is a training in a folder; there may also be nothing.

    Raises:
        RunError: if there is anything else.
    """
    if is_file(folder / ABOUT):
        return True
    if not is_folder(folder) and os.path.lexists(folder):
        raise RunError(f"{folder} is no folder: name another one for the result")
    there = sorted(folder.iterdir()) if is_folder(folder) else []
    own = {*TOKENS.values(), LOCK}
    for path in there:
        if path.name not in own and not is_temporary(path):
            raise RunError(
                f"{folder} is not empty (it holds {path.name}), and no training has "
                f"begun in it: name another folder"
            )
    return False


def hold(folder: Path, held: ExitStack) -> None:
    """Let no other run train in a folder until ``held`` is closed.

    Raises:
        RunError: if another run trains in it now.
        OSError: if the system refuses to write to it.
    """
    try:
        held.enter_context(locked(folder / LOCK, folder))
    except TableError as error:
        raise RunError(
            f"another run is training in {folder}: wait for it, or name another folder"
        ) from error


def check_folder(folder: Path, settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Find out how far the training in a folder is.

    Returns:
        The fields of a `training.Result` but its folder, if the training in it is
        finished; None if it is to begin, or to go on.

    Raises:
        RunError: if the folder holds anything else, or another training (it lists the
            differences), or one that is finished and has lost its weights.
    """
    if not check_place(folder):
        return None
    found = read_json(folder / ABOUT, dict, RunError)
    if changed := differences(found.get("settings", {}), settings):
        lines = "".join(f"\n- {each}" for each in changed)
        raise RunError(
            f"{folder} holds another training. To go on with it, give what it was "
            f"given; to begin anew, name another folder:{lines}"
        )
    if not found.get("finished") or is_file(folder / STATE):
        return None
    if not is_file(folder / SINGLE_FILE):
        raise RunError(
            f"the training in {folder} is finished, but its {SINGLE_FILE} is not "
            f"there: put it back, or name another folder"
        )
    done = {name: found[name] for name in ("state", "steps", "results", "details")}
    return done | {"steps": (*found["steps"],)}
