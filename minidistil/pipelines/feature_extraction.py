"""Texts in, the encoder's vectors of all their tokens out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, overload

from minidistil.messages import is_boolean
from minidistil.model import DistilBertModel
from minidistil.pipelines.answers import Answer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.options import TruncationOptions
from minidistil.pipelines.reading import Many

# What transformers uses when no model is named, at its revision.
DEFAULT_MODEL = "distilbert/distilbert-base-cased"
DEFAULT_REVISION = "6ea8117"


@dataclass(frozen=True)
class FeatureOptions(TruncationOptions):
    """How the vectors of tokens are given.

    Attributes:
        return_tensors: True (or "pt") for tensors, False for lists of lists of numbers.
        truncation: As in `TruncationOptions`; not "window", where a
            token has several vectors.
    """

    return_tensors: bool | str = False

    def __post_init__(self) -> None:
        super().__post_init__()
        # 0 and 1 are equal to False and True, but are not accepted for them.
        if not is_boolean(self.return_tensors) and self.return_tensors != "pt":
            raise ValueError(
                f"return_tensors is {self.return_tensors!r}, expected True or False"
            )
        if self.truncation == "window":
            raise ValueError(
                "truncation is 'window', where the windows overlap and a token has "
                "several vectors; expected one of head, head+tail, error"
            )


class FeatureExtractionPipeline(Pipeline[FeatureOptions], Generic[Answer]):
    """Give the vector of every token, those of [CLS] and [SEP] included."""

    task = "feature-extraction"
    kind = DistilBertModel
    options_class = FeatureOptions
    default = (DEFAULT_MODEL, DEFAULT_REVISION)

    @overload
    def __call__(
        self, inputs: Many[str], *, return_tensors: bool | str, **options: Any
    ) -> Any: ...
    @overload
    def __call__(self, inputs: str, **options: Any) -> Answer: ...
    @overload
    def __call__(self, inputs: list[str], **options: Any) -> list[Answer]: ...
    @overload
    def __call__(self, inputs: Iterator[str], **options: Any) -> Iterator[Answer]: ...
    @overload
    def __call__(self, inputs: Many[str], **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Encode one text or many.

        Args:
            inputs: A string; a list of such; or an iterator of them, which is read as
                the answers are taken.
            options: Any of `FeatureOptions`, for this call.

        Returns:
            For each text T vectors of D numbers, (1, T, D): nested lists, or a tensor;
            never any of padding. For a list of texts a list of that, for an iterator
            an iterator.

        Raises:
            TypeError: for a text that is no string, or an unknown option.
            ValueError: for a text too long under truncation="error", an option out of
                range, or a model in training mode.
        """
        return self._respond(inputs, options)

    def _answer(self, inputs: list[str], options: FeatureOptions) -> Iterator[Any]:
        # Without windows there is one part of each text.
        sequences = chain.from_iterable(self._encoded(inputs, options))
        found = self.run_each(sequences, options.batch_size)
        if options.return_tensors:
            # Copies: a view would keep the vectors of other texts in memory.
            return (vectors[None].clone() for vectors in found)
        return ([vectors.tolist()] for vectors in found)
