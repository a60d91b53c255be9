"""A text and its possible continuations in, a score for each of them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from minidistil.heads import DistilBertForMultipleChoice
from minidistil.messages import check_characters
from minidistil.pipelines.base import Ids, Pipeline
from minidistil.pipelines.beside import Pair, fit_beside
from minidistil.pipelines.cutting import CutOptions, framed
from minidistil.pipelines.pieces import ids_of
from minidistil.pipelines.reading import (
    answer_many,
    is_many,
    made_of_each,
)

Answer = dict[str, str | int | float]


class Problem(NamedTuple):
    """A text, the choices, and what the model reads for each of them."""

    prompt: str
    choices: list[str]
    seconds: list[str]


class MultipleChoicePipeline(Pipeline[CutOptions]):
    """Choose: ``pipe({"prompt": "The sky is", "choices": ["blue.", "green."]})``.

    For each choice the model reads [CLS] prompt [SEP] choice [SEP]; with a question,
    [CLS] prompt [SEP] question choice [SEP], as models of SWAG and RACE are trained.
    """

    task = "multiple-choice"
    kind = DistilBertForMultipleChoice
    options_class = CutOptions

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Choose for one prompt or for many.

        Args:
            inputs: ``{"prompt": a string, "choices": a list of two strings or more}``,
                with a "question" if there is one; a list of such; or an iterator of
                them, which is read as the answers are taken.
            options: Any of `CutOptions`, for this call. It is the prompt that is cut
                if need be; ``max_length`` is that of prompt, question and choice
                together.

        Returns:
            For each prompt a list, the best choice first, of ``{"choice": its text,
            "index": its place among the choices, "score"}``; the scores add up to 1.
            For an iterator, an iterator.

        Raises:
            TypeError: for an input of another form, or an unknown option.
            ValueError: for fewer than two choices, a prompt too long under
                truncation="error", or a choice so long that no prompt fits beside it;
                for an option out of range, or a model in training mode.
        """
        settings = self.settings(options)

        def answer(problems: list[Problem]) -> list[Any]:
            return self._answer(problems, settings)

        if is_many(inputs):
            return answer_many(inputs, _as_problem, answer, noun="prompt")
        return answer([_as_problem("the prompt", inputs)])[0]

    def _answer(
        self, problems: list[Problem], options: CutOptions
    ) -> list[list[Answer]]:
        fitted = self._fit(problems, options)
        sequences = (
            framed(self.tokenizer, *pair)
            for one in fitted
            for pairs in one
            for pair in pairs
        )
        scores = self.run_in_portions(sequences, options.batch_size)  # of (1,)
        answers = []
        for problem, one in zip(problems, fitted, strict=True):
            logits = torch.stack(
                [torch.cat([next(scores) for _ in pairs]) for pairs in one]
            )  # (choices, parts of the prompt)
            shares = logits.softmax(dim=0).mean(dim=1)
            answers.append(_named(problem.choices, shares.tolist()))
        return answers

    def _fit(
        self, problems: list[Problem], options: CutOptions
    ) -> list[list[list[Pair]]]:
        """For each prompt and each of its choices, what to read."""
        firsts = ids_of(self.tokenizer, [problem.prompt for problem in problems])
        each = iter(
            ids_of(self.tokenizer, [text for one in problems for text in one.seconds])
        )
        seconds = [[next(each) for _ in problem.seconds] for problem in problems]
        limit = options.limit(self.max_length)

        def fit(first: Ids, beside: list[Ids]) -> list[list[Pair]]:
            return fit_beside(self.tokenizer, first, beside, limit, options.truncation)

        return made_of_each(fit, firsts, seconds)


def _named(choices: list[str], scores: list[float]) -> list[Answer]:
    """Put the choices to their scores, the best first."""
    answers: list[Answer] = [
        {"choice": choice, "index": i, "score": score}
        for i, (choice, score) in enumerate(zip(choices, scores, strict=True))
    ]
    return sorted(answers, key=lambda answer: answer["score"], reverse=True)


def _as_problem(name: str, value: object) -> Problem:
    """Return what a mapping asks, if it is one.

    Raises:
        TypeError, ValueError: otherwise.
    """
    if not isinstance(value, Mapping) or not (
        {"prompt", "choices"} <= value.keys() <= {"prompt", "question", "choices"}
    ):
        # A misspelt question would otherwise be passed over.
        raise TypeError(
            f'{name} is {value!r:.60}, expected {{"prompt": …, "choices": […]}}, '
            f'perhaps with a "question", and nothing else'
        )
    prompt, question, choices = value["prompt"], value.get("question"), value["choices"]
    if not isinstance(prompt, str) or not isinstance(question, str | None):
        raise TypeError(
            f"{name} has the prompt {prompt!r:.60} and the question {question!r:.60}, "
            f"expected strings"
        )
    # In order: an answer says which of them it is.
    listed = isinstance(choices, Sequence) and not isinstance(choices, str | bytes)
    if not listed or not all(isinstance(choice, str) for choice in choices):
        raise TypeError(
            f"{name} has the choices {choices!r:.60}, expected a list of strings"
        )
    if len(choices) < 2 or not all(choice.strip() for choice in choices):
        raise ValueError(
            f"{name} has the choices {choices!r:.60}, expected two or more, and none "
            f"of them empty"
        )
    seconds = [f"{question} {choice}" if question else choice for choice in choices]
    for text in (prompt, *seconds):
        check_characters(name, text)
    return Problem(prompt, [*choices], seconds)
