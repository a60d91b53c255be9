"""A text and its possible continuations in, a score for each of them out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import chain
from typing import Any, NamedTuple, overload

from minidistil.heads import DistilBertForMultipleChoice
from minidistil.messages import check_characters
from minidistil.pipelines.answers import ChoiceAnswer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.options import TruncationOptions
from minidistil.pipelines.reading import Many, as_list, is_many
from minidistil.pipelines.running import regroup

Input = Mapping[str, Any]  # {"prompt": …, "question": …, "choices": […]}


class Problem(NamedTuple):
    """A prompt, the choices, and the second text that is read for each of them."""

    prompt: str
    choices: list[str]
    seconds: list[str]


class MultipleChoicePipeline(Pipeline[TruncationOptions]):
    """Choose: ``pipe({"prompt": "The sky is", "choices": ["blue.", "green."]})``.

    For each choice the model reads [CLS] prompt [SEP] choice [SEP]; with a question,
    [CLS] prompt [SEP] question choice [SEP], as models of SWAG and RACE are trained.
    """

    task = "multiple-choice"
    kind = DistilBertForMultipleChoice
    options_class = TruncationOptions
    noun = "prompt"

    @overload
    def __call__(self, inputs: Input, **options: Any) -> list[ChoiceAnswer]: ...
    @overload
    def __call__(
        self, inputs: Sequence[Input], **options: Any
    ) -> list[list[ChoiceAnswer]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[Input], **options: Any
    ) -> Iterator[list[ChoiceAnswer]]: ...
    @overload
    def __call__(self, inputs: Many[Input], **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Choose for one prompt or for many.

        Args:
            inputs: ``{"prompt": a string, "choices": a list of two strings or more}``,
                with a "question" if there is one; a list of such; or an iterator of
                them, which is read as the answers are taken.
            options: Any of `TruncationOptions`, for this call. It is the prompt that is
                truncated; ``max_length`` is that of prompt, question and choice
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
        return self._respond(inputs, options)

    def _read(self, name: str, value: object, options: TruncationOptions) -> Problem:
        if not isinstance(value, Mapping) or not (
            {"prompt", "choices"} <= value.keys() <= {"prompt", "question", "choices"}
        ):
            # A misspelt question would otherwise be ignored.
            raise TypeError(
                f'{name} is {value!r:.60}, expected {{"prompt": …, "choices": […]}}, '
                f'perhaps with a "question", and nothing else'
            )
        prompt, choices = value["prompt"], value["choices"]
        question = value.get("question")
        if not isinstance(prompt, str) or not isinstance(question, str | None):
            raise TypeError(
                f"{name} has the prompt {prompt!r:.60} and the question "
                f"{question!r:.60}, expected strings"
            )
        # In order: an answer says which of them it is.
        in_order = is_many(choices) and not isinstance(choices, Set)
        listed = as_list(choices) if in_order else [choices]
        if not in_order or not all(isinstance(choice, str) for choice in listed):
            raise TypeError(
                f"{name} has the choices {choices!r:.60}, expected a list of strings"
            )
        prompt, choices = str(prompt), [*map(str, listed)]
        if len(choices) < 2 or not all(choice.strip() for choice in choices):
            raise ValueError(
                f"{name} has the choices {choices!r:.60}, expected two or more, and "
                f"none of them empty"
            )
        seconds = [f"{question} {choice}" if question else choice for choice in choices]
        for text in (prompt, *seconds):
            check_characters(name, text)
        return Problem(prompt, choices, seconds)

    def _answer(
        self, inputs: list[Problem], options: TruncationOptions
    ) -> list[list[ChoiceAnswer]]:
        ids_of = self.tokenizer.ids_of_texts
        firsts = ids_of([problem.prompt for problem in inputs])
        texts = [problem.seconds for problem in inputs]
        seconds = regroup(ids_of([*chain(*texts)]), texts)
        return [
            # The logits are (choices, parts of the prompt, 1).
            _ranked(problem.choices, logits[..., 0].softmax(dim=0).mean(dim=1).tolist())
            for problem, logits in zip(
                inputs, self.run_pairs(firsts, [*seconds], options), strict=True
            )
        ]


def _ranked(choices: list[str], scores: list[float]) -> list[ChoiceAnswer]:
    """Put the choices to their scores, the best first."""
    answers: list[ChoiceAnswer] = [
        {"choice": choice, "index": i, "score": score}
        for i, (choice, score) in enumerate(zip(choices, scores, strict=True))
    ]
    return sorted(answers, key=lambda answer: answer["score"], reverse=True)
