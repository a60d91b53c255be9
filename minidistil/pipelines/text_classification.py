"""Texts in, labels and scores out: the softmax of the logits, or another function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, Literal, overload

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.engine.sequences import Ids, as_ids
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.messages import check_characters
from minidistil.pipelines.answers import Answer, ClassificationAnswer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.computing import settled_config
from minidistil.pipelines.long_texts import (
    SpecialTokens,
    fit_pairs,
    truncate,
)
from minidistil.pipelines.options import TruncationOptions
from minidistil.pipelines.reading import Many, map_inputs, wrong_type
from minidistil.pipelines.running import means_of_groups, regroup

# What the course and transformers use when no model is named, at their revision.
DEFAULT_MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
DEFAULT_REVISION = "714eb0fa89d2f80546fda750413ed43d93601a13"

Texts = tuple[str, ...]  # one text, or the two of a pair
Pair = Mapping[str, str | None]  # {"text": …, "text_pair": …}
Text = str | Pair
TopK = int | Literal["best"] | None


def softmax(logits: Tensor) -> Tensor:
    """Scores (…, C) that add up to 1: one label is right."""
    return logits.softmax(dim=-1)


def unchanged(logits: Tensor) -> Tensor:
    """The logits themselves, as a regression's answer."""
    return logits


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": softmax,
    "sigmoid": torch.sigmoid,
    "none": unchanged,
}


def function_for(config: DistilBertConfig) -> str:
    """Which of `FUNCTIONS` a classifier's logits ask for, by transformers' rule."""
    if config.problem_type == "regression":
        return "none"
    several = config.problem_type == "multi_label_classification"
    return "sigmoid" if several or config.num_labels == 1 else "softmax"


@dataclass(frozen=True)
class ClassificationOptions(TruncationOptions):
    """How texts are classified.

    Attributes:
        top_k: How many labels, best first; None for all. "best" is one label, without
            the list around it.
        function_to_apply: "softmax", "sigmoid" or "none" makes scores of logits; by
            default what the model's problem asks for.
        truncation: As in `TruncationOptions`. Of a pair "head"
            shortens both texts, the longer one first; the others truncate the first.
        padding: Accepted and ignored: answers do not depend on it.
    """

    top_k: TopK = "best"
    function_to_apply: str | None = None
    padding: object = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k not in (None, "best"):
            self._take_integer("top_k", minimum=1)
        function = self.function_to_apply
        if function is not None and str(function).lower() not in FUNCTIONS:
            raise ValueError(
                f"function_to_apply is {self.function_to_apply!r}, expected one of "
                f"{', '.join(FUNCTIONS)}"
            )


class TextClassificationPipeline(Pipeline[ClassificationOptions], Generic[Answer]):
    """Classify texts: ``pipe("I love it")`` is ``[{"label": …, "score": …}]``."""

    task = "text-classification"
    kind = DistilBertForSequenceClassification
    options_class = ClassificationOptions
    default = (DEFAULT_MODEL, DEFAULT_REVISION)

    @overload
    def __call__(
        self, inputs: Text, *, top_k: int | None, **options: Any
    ) -> list[ClassificationAnswer]: ...
    @overload
    def __call__(self, inputs: Many[Text], *, top_k: TopK, **options: Any) -> Any: ...
    @overload
    def __call__(self, inputs: Sequence[Text], **options: Any) -> list[Answer]: ...
    @overload
    def __call__(self, inputs: Pair, **options: Any) -> Answer: ...
    @overload
    def __call__(self, inputs: Iterator[Text], **options: Any) -> Iterator[Answer]: ...
    @overload
    def __call__(self, inputs: Many[Text], **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify one text or many.

        Args:
            inputs: A string, or a pair ``{"text": …, "text_pair": …}``; a list of
                such; or an iterator of them, which is read as the answers are taken.
            options: Any of `ClassificationOptions`, for this call.

        Returns:
            For a list, one answer for each text: ``{"label", "score"}``, or with
            ``top_k`` a list of them. For one string likewise, in a list if the call
            does not say ``top_k``. For an iterator, an iterator.

        Raises:
            TypeError: for a text that is no string, or an unknown option.
            ValueError: for a text too long under truncation="error", an option out of
                range, or a model in training mode.
        """
        answer = self._respond(inputs, options)
        is_bare = isinstance(inputs, str) and "top_k" not in options
        return [answer] if is_bare else answer

    def _read(self, name: str, value: object, options: ClassificationOptions) -> Texts:
        """Return (text,) or (text, text_pair)."""
        text, second = value, None
        if isinstance(value, Mapping) and value.keys() <= {"text", "text_pair"}:
            text, second = value.get("text"), value.get("text_pair")
        if not isinstance(text, str) or not isinstance(second, str | None):
            pair = 'a pair {"text": …, "text_pair": …} and nothing else'
            raise wrong_type(name, value, f"a string, {pair}, or a list of them")
        # An empty second text is none, as in transformers.
        texts = (str(text), str(second)) if second else (str(text),)
        for each in texts:
            check_characters(name, each)
        return texts

    def _answer(
        self, inputs: list[Texts], options: ClassificationOptions
    ) -> Iterator[Any]:
        def start(texts: list[Texts]) -> Callable[[], Iterable[Any]]:
            parts = self._parts(texts, options)
            wait = self.start([*chain(*parts)], options.batch_size)
            return lambda: self._answers(wait(), [*map(len, parts)], options)

        return self.answered(start, inputs)

    def _parts(
        self, inputs: list[Texts], options: ClassificationOptions
    ) -> list[list[Ids]]:
        """What is read of each text or pair: one sequence of ids, or several."""
        each = regroup(self.tokenizer.ids_of_texts([*chain(*inputs)]), inputs)
        limit = options.limit(self.max_length)
        special = SpecialTokens.of(self.tokenizer)

        def fit(texts: Texts, ids: list[Ids]) -> list[Ids]:
            whole = special.around(*ids)
            if len(whole) <= limit:
                return [whole]
            if len(texts) == 1:
                parts = truncate(ids[0], limit - 2, options.strategy)
                return [special.around(part) for part in parts]
            strategy = options.strategy()
            if strategy != "head":
                (pairs,) = fit_pairs(ids[0], ids[1:], limit, lambda: strategy)
                return [special.around(*pair) for pair in pairs]
            # Which of the two loses how much is the tokenizer's rule.
            encoded = self.tokenizer(*texts, truncation=True, max_length=limit)
            return [as_ids(encoded["input_ids"])]

        return map_inputs(fit, inputs, each)

    def _answers(
        self, logits: Tensor, parts: list[int], options: ClassificationOptions
    ) -> list[Any]:
        """Give each text the mean of the scores of its parts, the best label first.

        The logits are (all parts, C).
        """
        settled = settled_config(self.model)
        function = options.function_to_apply or function_for(settled)
        scores = means_of_groups(FUNCTIONS[function.lower()](logits), parts)
        found = scores.sort(dim=-1, descending=True, stable=True)
        count = 1 if options.top_k == "best" else options.top_k
        names = self.config.id2label
        answers: list[list[ClassificationAnswer]] = [
            [
                {"label": names[i], "score": score}
                for i, score in zip(*each, strict=True)
            ]
            for each in zip(
                found.indices[:, :count].tolist(),
                found.values[:, :count].tolist(),
                strict=True,
            )
        ]
        return [each for (each,) in answers] if options.top_k == "best" else answers
