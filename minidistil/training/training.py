"""Fine-tune, distil, evaluate: what people call."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch

from minidistil.checkpoint.devices import usable_device
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.config import DistilBertConfig
from minidistil.files import write_file
from minidistil.messages import quote
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.evaluating import measured
from minidistil.training.learners import LabelLearner, MaskedLearner, SpanLearner
from minidistil.training.lessons import KeptAnswers, TaskLessons
from minidistil.training.loop import Training
from minidistil.training.measures import Measure
from minidistil.training.processes import Processes, joined, own_device
from minidistil.training.recipe import RECIPES, Recipe
from minidistil.training.rows import Data
from minidistil.training.running import ABOUT, STATE, Running, check_folder
from minidistil.training.starting import (
    Name,
    check_vocabularies,
    start,
    student_of,
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
    """

    folder: Path
    state: str
    steps: tuple[int, int]
    results: Mapping[str, float]


def never() -> bool:
    """The default of ``stop``."""
    return False


def train(
    model: Name,
    rows: Data,
    dev: Data | None,
    folder: Name,
    *,
    recipe: Recipe | str | None = None,
    columns: Mapping[str, str] | None = None,
    device: str = "cpu",
    stop: Callable[[], bool] = never,
    **changes: Any,
) -> Result:
    """Fine-tune a model.

    The same call on the same folder goes on where it was stopped, bit for bit.

    Args:
        model: A checkpoint: a folder, or a hub repository.
        rows: A file, folder or glob of tables, or a sequence of mappings.
        dev: The same, to measure with after each epoch; None: the last weights are
            kept.
        folder: Where the result goes; empty, or of this very training.
        recipe: A `Recipe`, or the name of one of `RECIPES`.
        columns: By role ("text", "label", …), the name of the column.
        device: Such as "cpu" or "cuda".
        stop: Asked after each step; True ends the training with its state saved.
        changes: Numbers of the recipe that are to be others.

    Raises:
        TrainingDataError: if a row is wrong; before the first step.
        RecipeError: for a number out of range.
        RunError: if the folder holds anything else.
        DivergedError: if the loss is not finite.
    """
    followed = recipe_of(recipe, changes)
    return _learn(
        followed,
        folder,
        _Rows(rows, dev, columns or {}),
        device,
        stop,
        source=model,
    )


def distil(
    teacher: Name,
    rows: Data,
    dev: Data | None,
    folder: Name,
    *,
    student: Name | None = None,
    recipe: Recipe | str | None = None,
    columns: Mapping[str, str] | None = None,
    device: str = "cpu",
    stop: Callable[[], bool] = never,
    **changes: Any,
) -> Result:
    """Train a student to answer as its teacher does.

    Args:
        teacher: A checkpoint with the head of the task; a BERT is folded.
        rows: See `train`.
        dev: See there.
        folder: See there.
        student: A checkpoint that the student begins with; None: layers of the teacher,
            which the recipe names.
        recipe: See `train`.
        columns: See there.
        device: See there.
        stop: See there.
        changes: See there.

    Raises:
        StartError: if teacher and student have different vocabularies.
        Others: as `train`.
    """
    followed = recipe_of(recipe, changes)
    if not followed.soft and not followed.cosine:
        # Half and half, as the authors did for SQuAD (Sanh et al. 2019, section 4.2).
        followed = followed.changed(soft=0.5, hard=0.5)
    return _learn(
        followed,
        folder,
        _Rows(rows, dev, columns or {}),
        device,
        stop,
        source=student,
        teacher=teacher,
    )


def evaluate(
    model: Name,
    rows: Data,
    *,
    columns: Mapping[str, str] | None = None,
    device: str = "cpu",
    task: str | None = None,
    **changes: Any,
) -> Measure:
    """Measure a trained model on rows with labels.

    Raises:
        TrainingDataError: if a row is wrong, or has a label that the model has not.
    """
    from minidistil.auto import identify
    from minidistil.training.labels import Labels

    found = identify(model)
    names = [name for name, each in TASKS.items() if each.kind is found.kind]
    recipe = Recipe(task=task or (names or ["text-classification"])[0]).changed(
        **changes
    )
    kind = TASKS[recipe.task]
    read = kind.read(  # type: ignore[attr-defined]
        rows,
        tokenizer=tokenizer_of(model),
        recipe=recipe,
        config=found.config,
        columns=columns,
        labels=Labels.of(found.config),
    )
    place = usable_device(device)
    loaded = kind.kind.from_pretrained(model, device=place)
    return measured(loaded, read, place)


def recipe_of(recipe: Recipe | str | None, changes: Mapping[str, Any]) -> Recipe:
    """A recipe by its name, or as it is, with some numbers changed.

    Raises:
        ValueError: for a name that no recipe has, or a number out of range.
        TypeError: for a number that no recipe has.
    """
    if isinstance(recipe, str):
        if recipe not in RECIPES:
            raise ValueError(
                f"recipe is {quote(recipe)}, expected one of {', '.join(RECIPES)}, or "
                f"a Recipe"
            )
        recipe = RECIPES[recipe]
    return (recipe or Recipe()).changed(**changes)


@dataclass(frozen=True)
class _Rows:
    """Where rows come from."""

    train: Data
    dev: Data | None
    columns: Mapping[str, str]

    def read(
        self, recipe: Recipe, tokenizer: DistilBertTokenizer, config: DistilBertConfig
    ) -> tuple[Task, Task | None]:
        kind: Any = TASKS[recipe.task]
        options = {
            "tokenizer": tokenizer,
            "recipe": recipe,
            "config": config,
            "columns": self.columns,
        }
        found = kind.read(self.train, **options)
        if self.dev is None:
            return found, None
        return found, kind.read(self.dev, **options, labels=found.labels)


def _learn(
    recipe: Recipe,
    folder: Name,
    rows: _Rows,
    device: str,
    stop: Callable[[], bool],
    *,
    source: Name | None,
    teacher: Name | None = None,
    command: str = "",
) -> Result:
    place = usable_device(own_device(device))
    kind = TASKS[recipe.task].kind
    named = source if source is not None else teacher
    assert named is not None
    tokenizer = tokenizer_of(named)
    devices = range(torch.cuda.device_count())
    with joined(place) as processes, torch.random.fork_rng(devices):
        guide = None if teacher is None else teacher_of(teacher, kind)
        if guide is not None and source is not None and teacher is not None:
            check_vocabularies(tokenizer_of(teacher), tokenizer)
        config = (
            guide.config
            if guide is not None and source is None
            else DistilBertConfig.from_pretrained(os.fspath(named))
        )
        task, dev = rows.read(recipe, tokenizer, config)
        settings = _settings(recipe, task, dev, tokenizer, source, teacher)
        path = Path(folder)
        done = processes.by_first(lambda: check_folder(path, settings))
        if done is not None:
            return Result(path, done["state"], tuple(done["steps"]), done["results"])
        if source is not None:
            model = start(source, kind, task.labels, recipe.seed)
        else:
            assert guide is not None
            if recipe.layers is None:
                raise ValueError(
                    "name the layers of the teacher that the student begins with, "
                    "such as layers=(0, 2, 4), or a student"
                )
            model = student_of(guide, recipe.layers)
        model = model.to(place).train()
        if recipe.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        learner, kept = _learner(recipe, model, task, guide, place)
        training = Training(
            learner, TaskLessons(task, recipe, kept), recipe, processes, place
        )
        metric = recipe.metric or task.metrics[0]
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
            write_file(path / "recipe.json", recipe.to_json().encode())
        state = run.go()
        if processes.is_first and state != "interrupted":
            run.write_beside(run, state)
            _write_about(run, state)
            (path / STATE).unlink(missing_ok=True)
        return Result(
            path,
            state,
            (training.progress.step, training.lessons.steps),
            run.best.results,
        )


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


def _settings(
    recipe: Recipe,
    task: Task,
    dev: Task | None,
    tokenizer: DistilBertTokenizer,
    source: Name | None,
    teacher: Name | None,
) -> dict[str, Any]:
    """What a run must share with the one that it goes on from, as JSON."""
    vocabulary = json.dumps(sorted(tokenizer.get_vocab().items())).encode()
    settings = {
        "recipe": dataclasses.asdict(recipe),
        "model": None if source is None else os.fspath(source),
        "teacher": None if teacher is None else os.fspath(teacher),
        "labels": [*task.labels.names],
        "vocabulary": blake2b(vocabulary, digest_size=16).hexdigest(),
        "training rows": task.features.digest(),
        "dev rows": None if dev is None else dev.features.digest(),
    }
    found: dict[str, Any] = json.loads(json.dumps(settings))
    return found


def _write_about(run: Running, state: str) -> None:
    about = {
        "settings": run.settings,
        "finished": state not in ("running", "interrupted"),
        "state": state,
        "steps": [run.training.progress.step, run.training.lessons.steps],
        "results": run.best.results,
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
