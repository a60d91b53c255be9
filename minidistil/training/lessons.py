"""A task and a plan together: what each step learns from, for the loop."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.progress import counting_rows
from minidistil.training.evaluating import logits_of, of_like_length
from minidistil.training.keys import generator
from minidistil.training.loop import Step
from minidistil.training.plan import Plan
from minidistil.training.recipe import Recipe
from minidistil.training.tasks.base import Task


class TaskLessons:
    """The steps of a recipe, over the rows of a task.

    Attributes:
        weights: How much each term of the loss weighs; terms that weigh nothing are
            left out.
        plan: Which rows, and when.
        steps: How many steps there are.
    """

    def __init__(
        self, task: Task, recipe: Recipe, kept: KeptAnswers | None = None
    ) -> None:
        """Take a task, a recipe, and a teacher's answers if they are kept."""
        self.task, self.kept = task, kept
        weights = {"hard": recipe.hard, "soft": recipe.soft, "cosine": recipe.cosine}
        self.weights: Mapping[str, float] = {
            name: weight for name, weight in weights.items() if weight
        }
        self.plan = Plan(
            task.lengths,
            seed=recipe.seed,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            pass_rows=recipe.pass_rows or recipe.batch_size,
        )
        self.steps = self.plan.steps
        self._seed = recipe.seed

    def step(self, number: int) -> Step:
        """What a step learns from."""
        draw = generator(self._seed, "hidden words", number)
        batch, passes = self.plan.batch(number), self.plan.passes(number)
        return self.task.lesson(batch, passes, draw, self.kept)

    def tokens(self, number: int) -> int:
        """How many tokens a step reads."""
        return int(self.task.lengths[self.plan.batch(number)].sum())


class KeptAnswers:
    """What a teacher says of every row: it is asked once, not in every epoch."""

    def __init__(
        self, teacher: PreTrainedModel, task: Task, device: torch.device
    ) -> None:
        """Ask the teacher."""
        teacher.eval()
        lengths = task.lengths
        self._rows: list[Tensor] = [torch.empty(0)] * len(lengths)
        with counting_rows("asking the teacher", len(lengths)) as asked:
            for rows in of_like_length(lengths):
                logits = logits_of(teacher, task, rows, device)
                of_tokens = logits.ndim == 3
                for row, found in zip(rows.tolist(), logits, strict=True):
                    # Without padding, and no view of all that was computed together.
                    some = found[: lengths[row]] if of_tokens else found
                    self._rows[row] = some.clone()
                asked(len(rows))

    def __call__(self, rows: Tensor) -> Tensor:
        """The logits of some rows, padded with 0."""
        some = [self._rows[row] for row in rows.tolist()]
        return torch.nn.utils.rnn.pad_sequence(some, batch_first=True)
