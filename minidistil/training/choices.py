"""What a caller has chosen: does it go together, and what a run shares with its own."""

from __future__ import annotations

import dataclasses
import json
import os
from hashlib import blake2b
from typing import Any

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.metrics import check_metric
from minidistil.training.recipe import Recipe, RecipeError
from minidistil.training.starting import Name, StartError, student_of
from minidistil.training.tasks.base import Task


def check_terms(recipe: Recipe, teacher: Name | None) -> None:
    """Raise RecipeError for a term of the loss that there is nothing to learn from."""
    if teacher is None and (recipe.soft or recipe.cosine or recipe.layers):
        raise RecipeError(
            "the recipe is one to distil with: its soft, cosine and layers are about a "
            "teacher; use distil, or change them to 0, 0 and None"
        )
    if teacher is not None and not recipe.soft and not recipe.cosine:
        raise RecipeError(
            "soft and cosine are both 0, so that nothing is learnt from the teacher"
        )
    if recipe.cosine and recipe.task != "fill-mask":
        raise RecipeError(
            f"cosine is {recipe.cosine:g}, expected 0 for {recipe.task}: only of "
            f"fill-mask are vectors compared"
        )


def begun_from(guide: PreTrainedModel, recipe: Recipe) -> PreTrainedModel:
    """The student that a recipe makes of a teacher's layers.

    Raises:
        StartError: if it names none.
        ValueError: for layers that the teacher does not have.
    """
    if recipe.layers is None:
        raise StartError(
            "name the layers of the teacher that the student begins with, such as "
            "layers 0, 2, 4; or name a student"
        )
    return student_of(guide, recipe.layers)


def deciding(recipe: Recipe, task: Task, dev: Task | None) -> str:
    """What decides which weights are best.

    Raises:
        ValueError: for a metric that the task does not have, or without dev rows.
    """
    if dev is None:
        for name in ("metric", "patience"):
            if getattr(recipe, name) is not None:
                raise ValueError(f"{name} is given without dev rows to measure with")
    return check_metric(recipe.metric, (dev or task).metrics)


def settings_of(
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
