"""Texts in, one vector for each out: near each other where the texts mean alike.

The mean of the vectors of a text's tokens, as in Sentence-BERT (Reimers & Gurevych
2019, arXiv:1908.10084), or that of [CLS] alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.messages import check_flag
from minidistil.model import DistilBertModel
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.cutting import CutOptions, cut, framed
from minidistil.pipelines.pieces import ids_of
from minidistil.pipelines.reading import answer_many, as_text, is_many, made_of_each
from minidistil.pipelines.sentence_settings import read_settings
from minidistil.tokenizer import DistilBertTokenizer

POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class EmbeddingOptions(CutOptions):
    """How vectors are made; for the pipeline or for a call, which goes before.

    Where the pipeline loads a checkpoint of sentence-transformers, its own pooling,
    normalising and length hold, each unless the pipeline is given another.

    Attributes:
        pooling: "mean" of all tokens, [CLS] and [SEP] included, or that of "cls".
        normalize: Whether each vector is scaled to length 1.
        truncation: See `CutOptions`. Of windows the mean of their vectors is taken,
            before normalising.
        max_length: See there.
        batch_size: See there.
    """

    pooling: str = "mean"
    normalize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling is {self.pooling!r}, expected {' or '.join(POOLINGS)}"
            )
        check_flag("normalize", self.normalize)


class SentenceEmbeddingsPipeline(Pipeline[EmbeddingOptions]):
    """Give texts a vector each: ``pipe(["I love it", "It is great"])``."""

    task = "sentence-embeddings"
    kind = DistilBertModel
    options_class = EmbeddingOptions

    @classmethod
    def checkpoint_options(
        cls, options: Mapping[str, Any], tokenizer: DistilBertTokenizer, **where: Any
    ) -> dict[str, Any]:
        """Read what a sentence-transformers checkpoint says of its own vectors.

        Raises:
            ConfigError: for what cannot be done here, such as max pooling.
        """
        # What is no tokenizer of ours is refused later, with all the others.
        lower_case = getattr(tokenizer, "do_lower_case", False)
        return read_settings(
            lower_case=lower_case, pooling=options.get("pooling"), **where
        )

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Encode one text or many.

        Args:
            inputs: A string; a list of such; or an iterator of them, which is read as
                the vectors are taken.
            options: Any of `EmbeddingOptions`, for this call.

        Returns:
            For a list of texts one tensor, (texts, D), float32, on the CPU. For one
            string its vector, (D,). For an iterator an iterator of such vectors.

        Raises:
            TypeError: for a text that is no string, or an unknown option.
            ValueError: for a text too long under truncation="error", an option out of
                range, or a model in training mode.
        """
        settings = self.settings(options)

        def answer(texts: list[str]) -> list[Tensor]:
            return self._answer(texts, settings)

        if not is_many(inputs):
            return answer([as_text("the text", inputs)])[0]
        vectors = answer_many(inputs, as_text, answer)
        if not isinstance(vectors, list):
            return vectors
        # Of no text too, the shape says how long the vectors are.
        none = torch.empty(0, self.model.config.dim)
        return torch.stack(vectors) if vectors else none

    def _answer(self, texts: list[str], options: EmbeddingOptions) -> list[Tensor]:
        """Give each text its vector: the mean of those of its parts."""
        room = options.limit(self.max_length) - 2
        parts = made_of_each(
            lambda ids: cut(ids, room, options.truncation),
            ids_of(self.tokenizer, texts),
        )
        sequences = (framed(self.tokenizer, part) for one in parts for part in one)
        # Of [CLS] alone, the last block is not computed for the other tokens.
        cls = repeat([0]) if options.pooling == "cls" else None
        found = self.run_in_portions(sequences, options.batch_size, cls)
        pooled = iter(vectors.mean(dim=0) for vectors in found)  # of (T, D) or (1, D)
        means = [torch.stack([next(pooled) for _ in one]).mean(dim=0) for one in parts]
        if options.normalize:
            return [F.normalize(mean, dim=0) for mean in means]
        return means
