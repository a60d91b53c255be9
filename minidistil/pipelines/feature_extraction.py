"""Texts in, the encoder's vectors of all their tokens out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minidistil.model import DistilBertModel
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.cutting import CutOptions, cut, framed
from minidistil.pipelines.pieces import ids_of
from minidistil.pipelines.reading import answer_many, as_text, is_many, made_of_each

# What transformers uses when no model is named, at its revision.
DEFAULT_MODEL = "distilbert/distilbert-base-cased"
DEFAULT_REVISION = "6ea8117"


@dataclass(frozen=True)
class FeatureOptions(CutOptions):
    """How vectors are given; to the pipeline or to a call, which goes before.

    Attributes:
        return_tensors: True (or "pt") for tensors, False for lists of lists of numbers.
        truncation: See `CutOptions`; not "window", where a token has several vectors.
        max_length: See there.
        batch_size: See there.
    """

    return_tensors: bool | str = False

    def __post_init__(self) -> None:
        super().__post_init__()
        # 0 and 1 are equal to False and True, and neither.
        if not isinstance(self.return_tensors, bool) and self.return_tensors != "pt":
            raise ValueError(
                f"return_tensors is {self.return_tensors!r}, expected True or False"
            )
        if self.truncation == "window":
            raise ValueError(
                "truncation is 'window', where the windows overlap and a token has "
                "several vectors; expected one of head, head+tail, error"
            )


class FeatureExtractionPipeline(Pipeline[FeatureOptions]):
    """Give the vector of every token, those of [CLS] and [SEP] included."""

    task = "feature-extraction"
    kind = DistilBertModel
    options_class = FeatureOptions
    default = (DEFAULT_MODEL, DEFAULT_REVISION)

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
        settings = self.settings(options)

        def answer(texts: list[str]) -> Iterator[Any]:
            limit = settings.limit(self.max_length)
            parts = made_of_each(
                lambda ids: cut(ids, limit - 2, settings.truncation),
                ids_of(self.tokenizer, texts),
            )
            # Without windows there is one part of each text.
            sequences = (framed(self.tokenizer, part) for (part,) in parts)
            return (
                vectors[None] if settings.return_tensors else [vectors.tolist()]
                for vectors in self.run_in_portions(sequences, settings.batch_size)
            )

        if is_many(inputs):
            return answer_many(inputs, as_text, answer)
        (vectors,) = answer([as_text("the text", inputs)])
        return vectors
