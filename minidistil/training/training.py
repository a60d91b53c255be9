"""Fine-tune, distil, evaluate: what people call."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from minidistil.checkpoint.devices import computing_device
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.config import DistilBertConfig
from minidistil.files import write_file
from minidistil.training.calls import call
from minidistil.training.choices import (
    begun_from,
    check_terms,
    deciding,
    settings_of,
)
from minidistil.training.evaluating import evaluate as evaluate, measured
from minidistil.training.given_rows import GivenRows
from minidistil.training.labels import Labels
from minidistil.training.learners import LabelLearner, MaskedLearner, SpanLearner
from minidistil.training.lessons import KeptAnswers, TaskLessons
from minidistil.training.loop import Training
from minidistil.training.metrics import as_json
from minidistil.training.processes import Processes, joined, own_device
from minidistil.training.recipe import RECIPE, Recipe, recipe_of
from minidistil.training.rows import Data
from minidistil.training.running import (
    ABOUT,
    STATE,
    TOKENS,
    Running,
    check_folder,
    check_place,
    hold,
    remove,
)
from minidistil.training.starting import (
    Name,
    StartError,
    check_vocabularies,
    check_widths,
    digest,
    start,
    task_of,
    teacher_of,
    tokenizer_of,
)
from minidistil.training.tasks import TASKS
from minidistil.training.tasks.base import Task
from minidistil.training.telling import Telling, parameters


@dataclass(frozen=True)
class Result:
    """What a training has come to.

    Attributes:
        folder: Where the model is.
        state: "finished", "stopped by patience" or "interrupted".
        steps: How many steps were taken, and of how many.
        results: The best evaluation's figures, by name; none without dev rows.
        details: More about it, as JSON: a confusion matrix, a table of labels, …
        was_done: Whether all was done before this call.
    """

    folder: Path
    state: str
    steps: tuple[int, int]
    results: Mapping[str, float]
    details: Mapping[str, Any]
    was_done: bool = False


def never() -> bool:
    """The default of ``stop``."""
    return False


def ignore(line: Mapping[str, Any]) -> None:
    """The default of ``report``."""


def train(
    model: Name,
    rows: Data,
    dev: Data | None,
    folder: Name,
    *,
    task: str | None = None,
    recipe: Recipe | Name | None = None,
    columns: Mapping[str, str] | None = None,
    device: str = "cpu",
    stop: Callable[[], bool] = never,
    report: Callable[[Mapping[str, Any]], None] = ignore,
    command: str | None = None,
    **changes: Any,
) -> Result:
    """Fine-tune a model.

    The same call on the same folder goes on where it was stopped, bit for bit.

    Args:
        model: A checkpoint: a folder, or a hub repository.
        rows: A file, folder or glob of tables, what `minidistil.tables.open_source`
            gives, or a sequence of mappings.
        dev: The same, to measure with after each epoch; None: the last weights are
            kept.
        folder: Where the result goes; empty, or of this very training.
        task: The pipeline's task; by default the recipe's.
        recipe: A `Recipe`, the name of one of `RECIPES`, or a file of JSON.
        columns: By role ("text", "label", …), the name of the column.
        device: Such as "cpu" or "cuda".
        stop: Asked after each step; True ends the training with its state saved.
        report: Called with the newest line of the log: after some steps, where the
            device is waited for anyway, and after each evaluation. Beside what stands
            in the log, it has ``steps``, how many there are in all; and ``metric`` and
            ``best``, what decides and its best value so far, None before there is one.
            Of several processes, the first alone calls it.
        command: What repeats the run, for the report and the card; by default this
            call, written out.
        changes: Numbers of the recipe that are to be others.

    Raises:
        TrainingDataError: if a row is wrong; before the first step.
        RecipeError: for a number out of range, or a recipe of another task.
        RunError: if the folder holds anything else.
        DivergedError: if the loss is not finite.
    """
    given = {"task": task, "recipe": recipe, "columns": columns, "device": device}
    return _learn(
        recipe_of(recipe, task, changes),
        folder,
        GivenRows(rows, dev, columns or {}),
        device,
        stop,
        report,
        command or call("train", [model, rows, dev, folder], given | changes),
        source=model,
    )


def distil(
    teacher: Name,
    rows: Data,
    dev: Data | None,
    folder: Name,
    *,
    student: Name | None = None,
    recipe: Recipe | Name | None = None,
    columns: Mapping[str, str] | None = None,
    device: str = "cpu",
    stop: Callable[[], bool] = never,
    report: Callable[[Mapping[str, Any]], None] = ignore,
    command: str | None = None,
    **changes: Any,
) -> Result:
    """Train a student to answer as its teacher does, in the teacher's task.

    Args:
        teacher: A checkpoint with the head of the task; a BERT is folded.
        rows: See `train`.
        dev: See there.
        folder: See there.
        student: A checkpoint that the student begins with; None: layers of the teacher,
            which the recipe names.
        recipe: See `train`. Without weights for the teacher's answers, they and the
            labels weigh half each.
        columns: See there.
        device: See there.
        stop: See there.
        report: See there.
        command: See there.
        changes: See there.

    Raises:
        StartError: if teacher and student have different vocabularies, or the teacher
            has no head.
        Others: as `train`.
    """
    followed = recipe_of(recipe, task_of(teacher), {})
    if not followed.soft and not followed.cosine:
        # Half and half, as the authors did for SQuAD (Sanh et al. 2019, section 4.2).
        followed = followed.changed(soft=0.5, hard=0.5)
    if student is not None and changes.get("layers") is not None:
        raise StartError(
            "give a student or layers of the teacher, not both: either is what the "
            "student begins with"
        )
    given = {"student": student, "recipe": recipe, "columns": columns, "device": device}
    return _learn(
        followed.changed(**changes),
        folder,
        GivenRows(rows, dev, columns or {}),
        device,
        stop,
        report,
        command or call("distil", [teacher, rows, dev, folder], given | changes),
        source=student,
        teacher=teacher,
    )


def _learn(
    recipe: Recipe,
    folder: Name,
    rows: GivenRows,
    device: str,
    stop: Callable[[], bool],
    report: Callable[[Mapping[str, Any]], None],
    command: str,
    *,
    source: Name | None,
    teacher: Name | None = None,
) -> Result:
    check_terms(recipe, teacher)
    path = Path(folder)
    check_place(path)
    place = computing_device(own_device(device))
    kind = TASKS[recipe.task].kind
    named = source if source is not None else teacher
    assert named is not None
    tokenizer = tokenizer_of(named)
    devices = range(torch.cuda.device_count())
    with (
        joined(place) as processes,
        torch.random.fork_rng(devices),
        ExitStack() as held,
    ):
        guide = None if teacher is None else teacher_of(teacher, kind)
        if guide is not None and source is not None and teacher is not None:
            check_vocabularies(tokenizer_of(teacher), tokenizer)
        config = (
            guide.config
            if guide is not None and source is None
            else DistilBertConfig.from_pretrained(os.fspath(named))
        )
        if guide is not None and recipe.cosine:
            check_widths(guide.config, config)
        # Wrong layers are found before all rows are read.
        begun = None if guide is None or source else begun_from(guide, recipe)
        # A teacher's answers are in the order of its own labels.
        labels = None if guide is None else Labels.of(guide.config)
        task, dev = rows.read(recipe, tokenizer, config, labels, path, processes)
        metric = deciding(recipe, task, dev)
        settings = settings_of(recipe, task, dev, tokenizer, source, teacher)
        settings["teacher's weights"] = None if guide is None else digest(guide)
        processes.by_first(lambda: hold(path, held))
        done = processes.by_first(lambda: check_folder(path, settings))
        if done is not None:
            processes.by_first(lambda: remove(path, TOKENS.values()))
            return Result(path, **done, was_done=True)
        model = begun or start(named, kind, task.labels, recipe.seed)
        model = model.to(place).train()
        if recipe.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        learner, kept = _learner(recipe, model, task, guide, place)
        training = Training(
            learner, TaskLessons(task, recipe, kept), recipe, processes, place
        )
        run = Running(
            folder=path,
            training=training,
            model=model,
            dev=dev,
            metric=metric,
            settings=settings,
            processes=processes,
            write_beside=_say_nothing,
            stop=stop,
            report=report,
        )
        telling = Telling(
            command,
            (rows.train, task),
            None if dev is None or rows.dev is None else (rows.dev, dev),
            source,
            teacher,
            _taught(guide, teacher, dev, place, processes),
        )
        if processes.is_first:
            run.write_beside = telling.write
            path.mkdir(parents=True, exist_ok=True)
            _write_about(run, "running")
            tokenizer.save_pretrained(path)
            write_file(path / RECIPE, recipe.to_json().encode())
        state = run.go()
        processes.by_first(lambda: _close(run, state))
        return Result(
            path,
            state,
            (training.progress.step, training.lessons.steps),
            run.best.results,
            run.best.details,
        )


def _close(run: Running, state: str) -> None:
    run.write_beside(run, state)
    _write_about(run, state)
    if state != "interrupted":
        remove(run.folder, (*TOKENS.values(), STATE))


def _learner(
    recipe: Recipe,
    model: PreTrainedModel,
    task: Task,
    guide: PreTrainedModel | None,
    place: torch.device,
) -> tuple[Any, KeptAnswers | None]:
    if guide is not None:
        guide = guide.to(place).eval().requires_grad_(False)
    if recipe.task == "fill-mask":
        return MaskedLearner(model, recipe.temperature, guide), None  # type: ignore[arg-type]
    kept = None
    if guide is not None and recipe.soft:
        kept = KeptAnswers(guide, task, place)
    if recipe.task == "question-answering":
        return SpanLearner(model, recipe.temperature), kept
    problem = task.labels.problem_type
    return LabelLearner(model, problem, recipe.temperature), kept


def _write_about(run: Running, state: str) -> None:
    about = {
        "settings": run.settings,
        "finished": state not in ("running", "interrupted"),
        "state": state,
        "steps": [run.training.progress.step, run.training.lessons.steps],
        "results": as_json(run.best.results),
        "details": run.best.details,
    }
    write_file(run.folder / ABOUT, json.dumps(about, indent=2).encode() + b"\n")


def _taught(
    guide: PreTrainedModel | None,
    name: Name | None,
    dev: Task | None,
    place: torch.device,
    processes: Processes,
) -> dict[str, Any] | None:
    """What a teacher itself comes to, for the report."""
    if guide is None:
        return None
    found: dict[str, Any] = {
        "name": os.fspath(name or ""),
        "parameters": parameters(guide),
    }
    if dev is not None:
        found["results"] = measured(guide.to(place), dev, place, processes).results()
    return found


def _say_nothing(run: Running, state: str) -> None:
    """Of several processes, one writes."""
