"""What each head learns from: rows as tokens and labels, and the parts of a step."""

from __future__ import annotations

from collections.abc import Mapping

from minidistil.training.tasks.base import Task as Task
from minidistil.training.tasks.masked_lm import MaskedLM
from minidistil.training.tasks.multiple_choice import MultipleChoice
from minidistil.training.tasks.question_answering import QuestionAnswering
from minidistil.training.tasks.text_classification import TextClassification
from minidistil.training.tasks.token_classification import TokenClassification

TASKS: Mapping[str, type[Task]] = {
    task.name: task
    for task in (
        TextClassification,
        TokenClassification,
        QuestionAnswering,
        MultipleChoice,
        MaskedLM,
    )
}
