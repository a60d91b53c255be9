"""Texts and any labels in, scores out, by a model of natural language inference.

Each label makes a hypothesis, "This example is {label}.", and the model says whether
it follows from the text (Yin et al. 2019, arXiv:1909.00161).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, overload

from torch import Tensor

from minidistil.heads import DistilBertForSequenceClassification
from minidistil.messages import check_characters, quote
from minidistil.pipelines.answers import ZeroShotAnswer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.computing import Computing
from minidistil.pipelines.options import TruncationOptions
from minidistil.pipelines.reading import as_list
from minidistil.tokenizer import DistilBertTokenizer

Labels = str | Collection[str] | None


@dataclass(frozen=True)
class ZeroShotOptions(TruncationOptions):
    """How texts are labelled.

    Attributes:
        candidate_labels: The labels, a list or a string with commas between them.
        hypothesis_template: The sentence that a label makes, with {} in its place.
        multi_label: Whether each label is right or wrong by itself. Otherwise their
            scores add up to 1.
        truncation: What to do about a text that is too long, see `TruncationOptions`;
            the hypothesis is read whole.
        max_length: The tokens that text and hypothesis may have together.
        batch_size: See `TruncationOptions`.
    """

    candidate_labels: str | Collection[str] | None = None
    hypothesis_template: str = "This example is {}."
    multi_label: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidate_labels is not None:
            self._take("candidate_labels", as_labels(self.candidate_labels))
        check_template(self.hypothesis_template)
        self._take_flag("multi_label")


def as_labels(given: Any) -> list[str]:
    """The labels as a list, those of a string without the spaces around them.

    Raises:
        TypeError: for what holds no strings.
        ValueError: for an empty label, or none.
    """
    if isinstance(given, str):
        given = [label.strip() for label in given.split(",") if label.strip()]
    listed = as_list(given)
    if not all(isinstance(label, str) for label in listed):
        raise TypeError(
            f"candidate_labels is {given!r:.60}, expected a list of strings, or a "
            f"string with commas between the labels"
        )
    if not listed or not all(label.strip() for label in listed):
        raise ValueError(
            f"candidate_labels is {given!r:.60}, expected at least one label, and none "
            f"of them empty"
        )
    for label in listed:
        check_characters("a candidate label", label)
    return [*map(str, listed)]


def check_template(template: Any) -> None:
    """Raise ValueError unless the template takes a label."""
    try:
        takes_one = isinstance(template, str) and (
            template.format("one label") != template.format("another")
        )
    except (ValueError, LookupError, AttributeError):
        takes_one = False
    if not takes_one:
        raise ValueError(
            f"hypothesis_template is {template!r:.60}, expected a sentence with {{}} "
            f"where the label goes, and with no other braces"
        )
    check_characters("hypothesis_template", template)


class ZeroShotClassificationPipeline(Pipeline[ZeroShotOptions]):
    """Label texts with any labels: ``pipe("I love it", ["praise", "blame"])``."""

    task = "zero-shot-classification"
    kind = DistilBertForSequenceClassification
    options_class = ZeroShotOptions

    def __init__(
        self,
        model: Computing,
        tokenizer: DistilBertTokenizer,
        **options: Any,
    ) -> None:
        """See `Pipeline`.

        Raises:
            ValueError: if no label of the model says "entailment".
        """
        super().__init__(model, tokenizer, **options)
        _ = self.entailment_id

    @property
    def entailment_id(self) -> int:
        """The label that says that a hypothesis follows.

        Raises:
            ValueError: if there is none.
        """
        names = self.config.id2label
        entailment = _first(names, "entail")
        if entailment is None:
            raise ValueError(
                f"the model's labels are {quote([*names.values()])}, and none begins "
                f"with 'entail': zero-shot classification needs a model that was "
                f"trained on natural language inference (MNLI)"
            )
        return entailment

    @property
    def contradiction_id(self) -> int | None:
        """The label that says that the hypothesis is wrong, if one does.

        transformers takes the first label, or the last if the first is entailment.
        Where the labels are in another order, that is not the contradiction.
        """
        names = self.config.id2label
        if len(names) == 2:
            return 1 - self.entailment_id
        return _first(names, "contra")

    @overload
    def __call__(
        self, inputs: str, candidate_labels: Labels = None, **options: Any
    ) -> ZeroShotAnswer: ...
    @overload
    def __call__(
        self, inputs: list[str], candidate_labels: Labels = None, **options: Any
    ) -> list[ZeroShotAnswer]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], candidate_labels: Labels = None, **options: Any
    ) -> Iterator[ZeroShotAnswer]: ...
    @overload
    def __call__(
        self, inputs: Any = None, candidate_labels: Labels = None, **options: Any
    ) -> Any: ...
    def __call__(
        self,
        inputs: Any = None,
        candidate_labels: Labels = None,
        *,
        sequences: Any = None,
        **options: Any,
    ) -> Any:
        """Label one text or many.

        Args:
            inputs: A string; a list of such; or an iterator of them, which is read as
                the answers are taken.
            candidate_labels: The labels; by default those of the pipeline.
            sequences: Another name for ``inputs``, that of transformers.
            options: Any of `ZeroShotOptions`, for this call.

        Returns:
            ``{"sequence": the text, "labels": the labels, the best first, "scores":
            theirs}``, for a list a list of them, for an iterator an iterator.

        Raises:
            TypeError: for a text or a label that is no string, or an unknown option.
            ValueError: for no labels, a template without a place for one, a text too
                long under truncation="error", or a hypothesis so long that no text
                fits beside it; for an option out of range, or a model in training
                mode; for ``multi_label`` and for one label alone, if it is unknown
                which of the model's labels is the contradiction.
        """
        if (inputs is None) == (sequences is None):
            raise TypeError("give a text or texts, as inputs or as sequences=")
        if candidate_labels is not None:
            options["candidate_labels"] = candidate_labels
        return self._respond(sequences if inputs is None else inputs, options)

    def settings(self, options: Mapping[str, Any]) -> ZeroShotOptions:
        """See `Pipeline`; ValueError too for labels that the model cannot judge."""
        settings = super().settings(options)
        if settings.candidate_labels is None:
            raise ValueError("give candidate_labels=, the labels to choose from")
        if self._is_one_by_one(settings) and self.contradiction_id is None:
            raise ValueError(
                f"the model's labels are "
                f"{quote([*self.config.id2label.values()])}, and none begins "
                f"with 'contra': labels can be compared with each other, but not "
                f"judged one by one (multi_label, or a single label)"
            )
        return settings

    def _is_one_by_one(self, options: ZeroShotOptions) -> bool:
        """Whether each label is judged by itself: it has none to be compared with."""
        return options.multi_label or len(as_labels(options.candidate_labels)) == 1

    def _answer(
        self, inputs: list[str], options: ZeroShotOptions
    ) -> list[ZeroShotAnswer]:
        labels = as_labels(options.candidate_labels)
        score = self._each if self._is_one_by_one(options) else self._among
        hypotheses = [options.hypothesis_template.format(label) for label in labels]
        seconds = [self.tokenizer.ids_of_texts(hypotheses)] * len(inputs)
        firsts = self.tokenizer.ids_of_texts(inputs)
        logits = self.run_pairs(firsts, seconds, options)
        return [
            _ranked(text, labels, score(one).mean(dim=1).tolist())
            for text, one in zip(inputs, logits, strict=True)
        ]

    def _among(self, logits: Tensor) -> Tensor:
        """Scores (labels, parts) that add up to 1; logits are (labels, parts, C)."""
        return logits[..., self.entailment_id].softmax(dim=0)

    def _each(self, logits: Tensor) -> Tensor:
        """Scores (labels, parts), each of entailment against contradiction."""
        both = logits[..., [self.contradiction_id, self.entailment_id]]
        return both.softmax(dim=-1)[..., 1]


def _first(names: Mapping[int, str], beginning: str) -> int | None:
    """The id of the first label that begins so, in any case."""
    found = (id for id, name in names.items() if name.lower().startswith(beginning))
    return next(found, None)


def _ranked(text: str, names: list[str], scores: list[float]) -> ZeroShotAnswer:
    order = sorted(range(len(names)), key=lambda i: scores[i], reverse=True)
    return {
        "sequence": text,
        "labels": [names[i] for i in order],
        "scores": [scores[i] for i in order],
    }
