"""Texts in, labels and scores out: the softmax of the logits, or what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.messages import check_characters, check_integer
from minidistil.pipelines.base import Ids, Pipeline
from minidistil.pipelines.beside import fit_beside
from minidistil.pipelines.cutting import (
    CUTS,
    CutOptions,
    framed,
    how_to_cut,
)
from minidistil.pipelines.pieces import ids_of
from minidistil.pipelines.reading import (
    answer_many,
    is_many,
    made_of_each,
)

# What the course and transformers use when no model is named, at their revision.
DEFAULT_MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
DEFAULT_REVISION = "714eb0fa89d2f80546fda750413ed43d93601a13"

Texts = tuple[str, ...]  # one text, or the two of a pair
Answer = dict[str, str | float]


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
class Options(CutOptions):
    """How a pipeline answers; given to it or to a call, which goes before.

    Attributes:
        top_k: How many labels, best first; None for all. "best" is one label, without
            the list around it.
        function_to_apply: "softmax", "sigmoid" or "none" makes scores of logits; by
            default what the model's problem asks for.
        truncation: With the next two, see `CutOptions`. Of a pair "head" shortens both
            texts, the longer one first; else it is the first that is cut.
        max_length: See there.
        batch_size: See there.
        padding: Accepted and ignored: answers do not depend on it.
    """

    top_k: int | Literal["best"] | None = "best"
    function_to_apply: str | None = None
    padding: object = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.top_k not in (None, "best"):
            check_integer("top_k", self.top_k, minimum=1)
        function = self.function_to_apply
        if function is not None and str(function).lower() not in FUNCTIONS:
            raise ValueError(
                f"function_to_apply is {self.function_to_apply!r}, expected one of "
                f"{', '.join(FUNCTIONS)}"
            )


class TextClassificationPipeline(Pipeline[Options]):
    """Classify texts: ``pipe("I love it")`` is ``[{"label": …, "score": …}]``."""

    task = "text-classification"
    kind = DistilBertForSequenceClassification
    options_class = Options
    default = (DEFAULT_MODEL, DEFAULT_REVISION)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify one text or many.

        Args:
            inputs: A string, or a pair ``{"text": …, "text_pair": …}``; a list of
                such; or an iterator of them, which is read as the answers are taken.
            options: Any of `Options`, for this call.

        Returns:
            For a list, one answer for each text: ``{"label", "score"}``, or with
            ``top_k`` a list of them. For one string likewise, in a list if the call
            does not say ``top_k``. For an iterator, an iterator.

        Raises:
            TypeError: for a text that is no string, or an unknown option.
            ValueError: for a text too long under truncation="error", an option out of
                range, or a model in training mode.
        """
        settings = self.settings(options)
        if is_many(inputs):
            return answer_many(
                inputs, _as_texts, lambda texts: self._answer(texts, settings)
            )
        (answer,) = self._answer([_as_texts("the text", inputs)], settings)
        is_bare = isinstance(inputs, str) and "top_k" not in options
        return [answer] if is_bare else answer

    def _answer(self, texts: list[Texts], options: Options) -> list[Any]:
        """Give each text its answer: the mean of the scores of its parts."""
        parts = self._encode(texts, options)
        sequences = [ids for part in parts for ids in part]
        logits = torch.stack(self.run(sequences, options.batch_size))
        scores = FUNCTIONS[self._function(options)](logits)  # (parts, C)
        means = [each.mean(dim=0) for each in torch.split(scores, [*map(len, parts)])]
        return [self._name(mean.tolist(), options) for mean in means]

    def _encode(self, texts: list[Texts], options: Options) -> list[list[Ids]]:
        """Turn each text into lists of ids that fit the model, one for each part."""
        each = iter(ids_of(self.tokenizer, [one for both in texts for one in both]))
        pieces = [[next(each) for _ in both] for both in texts]
        limit = options.limit(self.max_length)

        def fit(both: Texts, pieces: list[Ids]) -> list[Ids]:
            return self._fit(both, pieces, limit, options.truncation)

        return made_of_each(fit, texts, pieces)

    def _fit(
        self, texts: Texts, pieces: list[Ids], limit: int, truncation: str | bool | None
    ) -> list[Ids]:
        """Put [CLS] and [SEP] around a text; cut it as the caller wants if need be."""
        whole = framed(self.tokenizer, *pieces)
        if len(whole) <= limit:
            return [whole]
        how = how_to_cut(truncation)
        if len(texts) == 1:
            parts = CUTS[how](pieces[0], limit - 2)
            return [framed(self.tokenizer, part) for part in parts]
        if how != "head":
            (pairs,) = fit_beside(self.tokenizer, pieces[0], pieces[1:], limit, how)
            return [framed(self.tokenizer, *pair) for pair in pairs]
        # Which of the two loses how much is the tokenizer's rule.
        cut = self.tokenizer(*texts, truncation=True, max_length=limit)
        return [cut["input_ids"]]

    def _function(self, options: Options) -> str:
        """What makes scores of logits: the caller's word, or the model's."""
        if options.function_to_apply is not None:
            return options.function_to_apply.lower()
        return function_for(self.model.config)

    def _name(self, scores: list[float], options: Options) -> Answer | list[Answer]:
        """Put the labels to the scores (C,), the best first."""
        names = self.model.config.id2label
        answers: list[Answer] = [
            {"label": names[i], "score": score} for i, score in enumerate(scores)
        ]
        answers.sort(key=lambda answer: answer["score"], reverse=True)
        return answers[0] if options.top_k == "best" else answers[: options.top_k]


def _as_texts(name: str, value: object) -> Texts:
    """Return (text,) or (text, text_pair)."""
    if isinstance(value, str):
        check_characters(name, value)
        return (value,)
    if isinstance(value, Mapping) and value.keys() in ({"text"}, {"text", "text_pair"}):
        text, second = value["text"], value.get("text_pair")
        if second is None:
            second = ""
        if isinstance(text, str) and isinstance(second, str):
            check_characters(name, text)
            check_characters(name, second)
            # An empty second text is none, as in transformers.
            return (text, second) if second else (text,)
    raise TypeError(
        f"{name} is {value!r:.60} ({type(value).__name__}), expected a string, a pair "
        f'{{"text": …, "text_pair": …}} and nothing else, or a list of them'
    )
