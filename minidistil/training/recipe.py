"""A recipe: all that decides what a training gives, beside its model and its data."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.files import is_file, read_json
from minidistil.messages import (
    MinidistilError,
    check_flag,
    check_integer,
    is_number,
    quote,
    unknown_keyword,
)

RECIPE = "recipe.json"  # its name beside a result
PRECISIONS = ("float32", "bfloat16", "float16")
TASKS = (
    "text-classification",
    "token-classification",
    "question-answering",
    "multiple-choice",
    "fill-mask",
)


class RecipeError(MinidistilError, ValueError):
    """A recipe that cannot be followed."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        task: The pipeline's task that it is trained for.
        epochs: How often each row is learnt from.
        batch_size: The rows of a step.
        pass_rows: The rows that are computed at once: a matter of memory alone. By
            default all of a step.
        learning_rate: The highest, after the warm-up; it then falls to 0, linearly.
        warm_up: The steps until it is reached; below 1, their share of all steps.
        weight_decay: Of matrices; biases and norms have none.
        betas: AdamW's two rates of forgetting.
        epsilon: AdamW's smallest divisor.
        largest_gradient: What the norm of all gradients is clipped to.
        precision: What products are computed in; weights are float32.
        max_length: The tokens of a row, [CLS] and [SEP] included; of question
            answering, of a window. By default what the task and the model allow.
        stride: The tokens that two windows of a context share.
        seed: What all random numbers come from.
        patience: After so many evaluations without gain training ends; None: never.
        metric: What says which weights are best; by default the task's first.
        gradient_checkpointing: Compute each block again on the way back, and do not
            remember it: less memory, a third more work.
        soft: The weight of the teacher's answers in the loss.
        hard: The weight of the labels; for fill-mask, of the hidden words.
        cosine: The weight of the direction of the teacher's last vectors.
        temperature: What logits are divided by before they are compared.
        masked: The share of tokens that have to be guessed (fill-mask).
        smoothing: How much more often rare words are hidden; see `masking.Masking`.
        fewest_tokens: Rows with fewer are left out (fill-mask).
        most_unknown: Rows with such a share of unknown tokens are left out (fill-mask).
        layers: Those of the teacher that a student starts from; None: from its own.
    """

    task: str = "text-classification"
    epochs: int = 3
    batch_size: int = 32
    pass_rows: int | None = None
    learning_rate: float = 5e-5
    warm_up: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    largest_gradient: float = 1.0
    precision: str = "float32"
    max_length: int | None = None
    stride: int = 128
    seed: int = 0
    patience: int | None = None
    metric: str | None = None
    gradient_checkpointing: bool = False
    soft: float = 0.0
    hard: float = 1.0
    cosine: float = 0.0
    temperature: float = 2.0
    masked: float = 0.15
    smoothing: float = 0.0
    fewest_tokens: int = 0
    most_unknown: float = 1.0
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        def take(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        self._check_one_of("task", TASKS)
        self._check_one_of("precision", PRECISIONS)
        for name, least in (("epochs", 1), ("batch_size", 1), ("stride", 0)):
            take(name, check_integer(name, getattr(self, name), minimum=least))
        for name in ("seed", "fewest_tokens"):
            take(name, check_integer(name, getattr(self, name), minimum=0))
        for name, least in (("pass_rows", 1), ("max_length", 4), ("patience", 1)):
            if getattr(self, name) is not None:
                take(name, check_integer(name, getattr(self, name), minimum=least))
        take(
            "gradient_checkpointing",
            check_flag("gradient_checkpointing", self.gradient_checkpointing),
        )
        for name in ("learning_rate", "epsilon", "temperature", "largest_gradient"):
            self._check_number(name, above=0.0)
        for name in ("warm_up", "weight_decay", "soft", "hard", "cosine", "smoothing"):
            self._check_number(name, least=0.0)
        for name in ("masked", "most_unknown"):
            self._check_number(name, above=0.0, most=1.0)
        take("betas", self._as_tuple("betas", "two numbers"))
        if len(self.betas) != 2 or not all(
            is_number(beta) and 0 <= float(beta) < 1 for beta in self.betas
        ):
            raise RecipeError(
                f"betas is {quote(self.betas)}, expected two numbers of at least 0 "
                f"and below 1"
            )
        if not self.soft + self.hard + self.cosine:
            raise RecipeError(
                "soft, hard and cosine are all 0, so that there is nothing to learn"
            )
        if self.layers is not None:
            take("layers", self._as_tuple("layers", "the numbers of layers"))

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step, from 0, of so many steps in all.

        It rises linearly, and falls linearly to what would be 0 at the step after the
        last one.
        """
        rising = self.warm_up if self.warm_up >= 1 else self.warm_up * steps
        if step < rising:
            return self.learning_rate * step / max(1.0, rising)
        return self.learning_rate * max(0.0, (steps - step) / max(1.0, steps - rising))

    def changed(self, **changes: Any) -> Recipe:
        """A copy with some numbers changed.

        Raises:
            TypeError: for a name that no recipe has.
            ValueError: for a number out of range.
        """
        known = [field.name for field in dataclasses.fields(self)]
        if unknown := [name for name in changes if name not in known]:
            raise unknown_keyword(unknown, known, "a recipe")
        return dataclasses.replace(self, **changes)

    def to_json(self) -> str:
        """The recipe as a JSON object, as `from_file` reads it."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], **defaults: Any) -> Recipe:
        """Read a recipe; what it does not name has its default, or one given here.

        Raises:
            RecipeError: if the file holds no recipe.
            OSError: if it cannot be read.
        """
        found = read_json(Path(path), dict, RecipeError)
        try:
            return cls().changed(**{**defaults, **found})
        except (TypeError, ValueError) as error:
            raise RecipeError(f"{path}: {error}") from error

    def _as_tuple(self, name: str, expected: str) -> tuple[Any, ...]:
        value = getattr(self, name)
        if not isinstance(value, Iterable):
            raise RecipeError(f"{name} is {quote(value)}, expected {expected}")
        return tuple(value)

    def _check_one_of(self, name: str, known: tuple[str, ...]) -> None:
        value = getattr(self, name)
        if value not in known:
            raise RecipeError(
                f"{name} is {quote(value)}, expected one of {', '.join(known)}"
            )

    def _check_number(
        self,
        name: str,
        *,
        least: float | None = None,
        above: float | None = None,
        most: float = float("inf"),
    ) -> None:
        value = getattr(self, name)
        low = above if least is None else least
        assert low is not None
        fits = is_number(value) and (low < float(value) or value == least)
        if not fits or not float(value) <= most or float(value) == float("inf"):
            bound = f"at least {low:g}" if above is None else f"above {low:g}"
            limit = "" if most == float("inf") else f" and at most {most:g}"
            raise RecipeError(
                f"{name} is {quote(value)}, expected a number {bound}{limit}"
            )
        object.__setattr__(self, name, float(value))


# Where the numbers come from: the checkpoint's card on the hub (sst2); the authors'
# command for SQuAD and their code for the distillation, whose three weights one of them
# gives in transformers' issue 2013 (Sanh et al. 2019, arXiv:1910.01108).
RECIPES: Mapping[str, Recipe] = {
    "sst2": Recipe(
        learning_rate=1e-5, batch_size=32, warm_up=600, epochs=3, max_length=128
    ),
    "squad": Recipe(
        task="question-answering",
        learning_rate=5e-5,
        batch_size=32,
        epochs=3,
        max_length=384,
        stride=128,
        soft=0.0,
        hard=1.0,
    ),
    "distilbert": Recipe(
        task="fill-mask",
        epochs=3,
        batch_size=4000,
        pass_rows=8,
        learning_rate=5e-4,
        warm_up=0.05,
        weight_decay=0.0,
        betas=(0.9, 0.98),
        epsilon=1e-6,
        largest_gradient=5.0,
        max_length=512,
        soft=5.0,
        hard=2.0,
        cosine=1.0,
        temperature=2.0,
        masked=0.15,
        smoothing=0.7,
        fewest_tokens=12,
        most_unknown=0.5,
        layers=(0, 2, 4, 7, 9, 11),
    ),
}


def recipe_of(
    recipe: Recipe | str | os.PathLike[str] | None,
    task: str | None,
    changes: Mapping[str, Any],
) -> Recipe:
    """A recipe as it is, by its name or from a file, with some numbers changed.

    Args:
        recipe: A `Recipe`, the name of one of `RECIPES`, a file of JSON, or None.
        task: What it is to be for; None: what it says.
        changes: The numbers that are to be others.

    Raises:
        RecipeError: for a name that no recipe has, a recipe for another task, or a
            number out of range.
        TypeError: for a number that no recipe has.
    """
    known: dict[str, Any] = {} if task is None else {"task": task}
    if recipe is None:
        return Recipe(**known).changed(**changes)
    if isinstance(recipe, Recipe):
        found, name = recipe, "it"
    elif isinstance(recipe, str) and recipe in RECIPES:
        found, name = RECIPES[recipe], recipe
    elif isinstance(recipe, str | os.PathLike) and is_file(Path(recipe)):
        found, name = Recipe.from_file(recipe, **known), f"{recipe}"
    else:
        raise RecipeError(
            f"recipe is {quote(recipe)}, expected one of {', '.join(RECIPES)}, a file "
            f"of JSON, or a Recipe"
        )
    if task not in (None, found.task):
        raise RecipeError(
            f"the recipe is for another task: {name} is for {found.task}, expected one "
            f"for {task}"
        )
    return found.changed(**changes)
