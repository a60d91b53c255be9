"""Texts in, one vector for each out: near each other where the texts mean alike.

The mean of the vectors of a text's tokens, as in Sentence-BERT (Reimers & Gurevych
2019, arXiv:1908.10084), or that of [CLS] alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.engine.sequences import Ids, as_ids
from minidistil.model import DistilBertModel
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.options import TruncationOptions
from minidistil.pipelines.reading import Many
from minidistil.pipelines.running import means_of_groups
from minidistil.pipelines.sentence_settings import read_settings
from minidistil.tokenizer import DistilBertTokenizer

POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class EmbeddingOptions(TruncationOptions):
    """How a vector is made of a text.

    Where the pipeline loads a checkpoint of sentence-transformers, its own pooling,
    normalising and length hold, each unless the pipeline is given another.

    Attributes:
        pooling: "mean" of all tokens, [CLS] and [SEP] included, or that of "cls".
        normalize: Whether each vector is scaled to length 1.
        truncation: As in `TruncationOptions`. The vectors of windows are averaged,
            before normalising.
    """

    pooling: str = "mean"
    normalize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling is {self.pooling!r}, expected {' or '.join(POOLINGS)}"
            )
        self._take_flag("normalize")


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

    @overload
    def __call__(self, inputs: str | list[str], **options: Any) -> Tensor: ...
    @overload
    def __call__(self, inputs: Iterator[str], **options: Any) -> Iterator[Tensor]: ...
    @overload
    def __call__(self, inputs: Many[str], **options: Any) -> Any: ...
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
        return self._respond(inputs, options)

    def _answer(self, inputs: list[str], options: EmbeddingOptions) -> list[Tensor]:
        """Give each text its vector: the mean of those of its parts."""
        parts: list[int] = []  # of each text

        def sequences() -> Iterator[Ids]:
            for some in self._encoded(inputs, options):
                parts.append(len(some))
                yield from some

        # Of [CLS] alone, the last block is not computed for the other tokens.
        cls = repeat(as_ids([0])) if options.pooling == "cls" else None
        pooled = [
            means_of_groups(*rows)
            for rows in self.run_in_portions(sequences(), options.batch_size, cls)
        ]
        means = means_of_groups(torch.cat(pooled), parts)  # (texts, D)
        if options.normalize:
            means = F.normalize(means, dim=1)
        # Copies: a view would keep all vectors in memory, and travel with them.
        return [mean.clone() for mean in means]

    def _gather(self, answers: list[Tensor]) -> Tensor:
        # Of no text too, the shape says how long the vectors are.
        none = torch.empty(0, self.config.dim, dtype=torch.float32)
        return torch.stack(answers) if answers else none
