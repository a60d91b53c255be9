"""The rows that a training is given: those to learn from, and those to measure with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.config import DistilBertConfig
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.labels import Labels
from minidistil.training.processes import Processes
from minidistil.training.recipe import Recipe
from minidistil.training.rows import Data, is_named, name_of, wrong
from minidistil.training.running import TOKENS
from minidistil.training.tasks import TASKS
from minidistil.training.tasks.base import Task
from minidistil.training.tasks.masked_lm import MaskedLM
from minidistil.training.tasks.text_classification import TextClassification


@dataclass(frozen=True)
class GivenRows:
    """Where rows come from.

    Attributes:
        train: What is learnt from.
        dev: What is measured with, if there is anything.
        columns: By role ("text", "label", …), the name of the column.
    """

    train: Data
    dev: Data | None
    columns: Mapping[str, str]

    def read(
        self,
        recipe: Recipe,
        tokenizer: DistilBertTokenizer,
        config: DistilBertConfig,
        labels: Labels | None,
        folder: Path,
        processes: Processes,
    ) -> tuple[Task, Task | None]:
        """Read both.

        Args:
            recipe: How long a row may be, and the task.
            tokenizer: The model's.
            config: The model's.
            labels: Those that there are, if a teacher has some.
            folder: Of the result: there the tokens of a corpus are kept meanwhile.
            processes: Those that take part; one of them writes these tokens.

        Raises:
            TrainingDataError: if a row is wrong, or one table has pairs of texts and
                the other has not.
        """

        def read(data: Data, role: str, labels: Labels | None) -> Task:
            kind: Any = TASKS[recipe.task]
            options: dict[str, Any] = {
                "tokenizer": tokenizer,
                "recipe": recipe,
                "config": config,
                "columns": self.columns,
                "labels": labels,
            }
            if kind is MaskedLM and is_named(data):
                folder.mkdir(parents=True, exist_ok=True)
                options["cache"] = folder / TOKENS[role]
                if processes.count > 1:  # one of them writes, and all map the file
                    processes.by_first(lambda: kind.read(data, **options) is None)
            if kind is TextClassification and role == "train":
                options["guided"] = recipe.soft > 0
            found: Task = kind.read(data, **options)
            return found

        task = read(self.train, "train", labels)
        if self.dev is None:
            return task, None
        dev = read(self.dev, "dev", task.labels)
        if ("second" in task.used) != ("second" in dev.used):
            kinds = {True: "pairs of texts", False: "single texts"}
            raise wrong(
                name_of(self.dev),
                kinds["second" in dev.used],
                f"{kinds['second' in task.used]}, as in {name_of(self.train)}; name "
                f"the column of the second text, or remove it",
            )
        return task, dev
