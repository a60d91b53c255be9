"""What each head learns from: rows as tokens and labels, and the parts of a step."""

from __future__ import annotations

from collections.abc import Mapping

from minidistil.training.tasks.base import Task
from minidistil.training.tasks.text_classification import TextClassification

TASKS: Mapping[str, type[Task]] = {task.name: task for task in (TextClassification,)}
