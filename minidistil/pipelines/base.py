"""A model and a tokenizer that fit each other: what every task stands on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import all_finite
from minidistil.engine import Engine
from minidistil.heads import DistilBertForMultipleChoice
from minidistil.messages import check_integer, unknown_keyword
from minidistil.outputs import BaseModelOutput, QuestionAnsweringOutput
from minidistil.tokenizer import DistilBertTokenizer

Ids = list[int]

# The tokens that are read at once, at least: 50 MB of distilbert-base's vectors.
TOKENS = 16384

# How transformers' tasks pass on what a tokenizer is told; here it has options.
TOKENIZERS_OWN = {"tokenizer_kwargs", "tokenize_kwargs"}
LENGTHS = ("truncation", "max_length", "max_seq_len", "doc_stride", "stride")


@dataclasses.dataclass(frozen=True)
class TaskOptions:
    """What every task's options have.

    Attributes:
        batch_size: The texts that go through a model together. An engine goes by
            tokens, and ignores it.
    """

    batch_size: int = 32

    def __post_init__(self) -> None:
        check_integer("batch_size", self.batch_size, minimum=1)

    @classmethod
    def check_names(cls, given: Iterable[str], *others: str) -> None:
        """Raise TypeError for what is no option, and none of ``others``."""
        known = [*(field.name for field in dataclasses.fields(cls)), *others]
        unknown = [name for name in given if name not in known]
        lengths = [f"{name}=" for name in LENGTHS if name in known]
        for name in TOKENIZERS_OWN.intersection(unknown):
            raise TypeError(
                f"the pipeline has no argument {name!r}: what is done about a long "
                f"text is told by {' and '.join(lengths)}"
            )
        if unknown:
            raise unknown_keyword(unknown, known, "the pipeline")

    def changed(self: Options, changes: Mapping[str, Any]) -> Options:
        """Return a copy with some options changed; TypeError for one unknown."""
        self.check_names(changes)
        return dataclasses.replace(self, **changes)


Options = TypeVar("Options", bound=TaskOptions)


class Pipeline(Generic[Options]):
    """What every task has. Nothing in it changes, so that threads can share it.

    Attributes:
        task: The task's name.
        kind: The class of the model.
        options_class: What a call may say, a dataclass with a default for each.
        default: The model where none is named, and its revision; None if there is no
            such model.
        shortest: The tokens that a model must be able to read for this.
    """

    task: ClassVar[str]
    kind: ClassVar[type[PreTrainedModel]]
    options_class: type[Options]
    default: ClassVar[tuple[str, str] | None] = None
    shortest: ClassVar[int] = 3  # one token between [CLS] and [SEP]

    __call__: Callable[..., Any]

    def __init__(
        self,
        model: PreTrainedModel | Engine,
        tokenizer: DistilBertTokenizer,
        **options: Any,
    ) -> None:
        """Take a model and its tokenizer, and options that hold for every call.

        Raises:
            TypeError: for a model or a tokenizer of another kind, or an option that
                the task does not have.
            ValueError: for a tokenizer of another checkpoint, a model that can read
                nothing beside [CLS] and [SEP], or an option out of range.
        """
        kind = model.kind if isinstance(model, Engine) else type(model)
        if not issubclass(kind, self.kind):
            raise TypeError(
                f"got a {kind.__name__}, expected a {self.kind.__name__}, or an Engine "
                f"of one"
            )
        if not isinstance(tokenizer, DistilBertTokenizer):
            raise TypeError(
                f"the tokenizer is a {type(tokenizer).__name__}, expected a "
                f"DistilBertTokenizer"
            )
        if len(tokenizer) > model.config.vocab_size:
            raise ValueError(
                f"the tokenizer knows {len(tokenizer)} tokens and the model "
                f"{model.config.vocab_size}: they are of two different checkpoints"
            )
        self.model = model
        self.tokenizer = tokenizer
        if self.max_length < self.shortest:
            raise ValueError(
                f"the tokenizer's model_max_length is {tokenizer.model_max_length}, "
                f"the model's max_position_embeddings "
                f"{model.config.max_position_embeddings}; expected at least "
                f"{self.shortest} of both for {self.task}"
            )
        self.options = self.options_class().changed(options)

    @property
    def max_length(self) -> int:
        """The tokens that the model can read at once, [CLS] and [SEP] included."""
        positions = self.model.config.max_position_embeddings
        return int(min(self.tokenizer.model_max_length, positions))

    @classmethod
    def checkpoint_options(
        cls, options: Mapping[str, Any], tokenizer: DistilBertTokenizer, **where: Any
    ) -> dict[str, Any]:
        """Return what a checkpoint's own files say of the options, if anything.

        Args:
            options: Those that the caller gives, which go before.
            tokenizer: The checkpoint's, or the caller's.
            where: Its ``source``, ``revision``, …: see `from_pretrained`.
        """
        return {}

    def settings(self, options: Mapping[str, Any]) -> Options:
        """Return the pipeline's options with those of a call.

        Raises:
            TypeError: for an unknown option.
            ValueError: for an option out of range, or a model in training mode.
        """
        settings = self.options.changed(options)
        if not isinstance(self.model, Engine) and self.model.training:
            raise ValueError(
                "the model is in training mode, where dropout makes answers random: "
                "call model.eval() first"
            )
        return settings

    def run(
        self,
        sequences: list[Ids],
        batch_size: int,
        positions: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]:
        """Run the model on sequences of any lengths.

        Args:
            sequences: The ids of each, [CLS] and [SEP] included, unpadded.
            batch_size: How many go through a model together.
            positions: For models that read every token: the tokens that are wanted.

        Returns:
            For each sequence what `minidistil.Engine` describes, in float32, on the
            CPU, of the model itself likewise.

        Raises:
            ValueError: if a result is not finite.
        """
        if isinstance(self.model, Engine):
            return self.model(sequences, positions)
        # Sequences of like length share a batch: little of it is padding.
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        results = [torch.empty(0)] * len(sequences)
        for start in range(0, len(order), batch_size):
            places = order[start : start + batch_size]
            rows = self._run_batch([sequences[i] for i in places])
            for place, row in zip(places, rows, strict=True):
                if row.ndim > 1:
                    row = row[: len(sequences[place])]  # without padding
                # A copy: a view of a few rows would keep the whole batch in memory. And
                # outside of inference mode: the caller may write into it.
                chosen = row.clone() if positions is None else row[[*positions[place]]]
                results[place] = chosen
        return results

    def run_in_portions(
        self,
        sequences: Iterable[Ids],
        batch_size: int,
        positions: Iterable[Sequence[int]] | None = None,
    ) -> Iterator[Tensor]:
        """`run`, whose sequences and results are not all in memory at once."""
        rest = iter(sequences)
        wanted = None if positions is None else iter(positions)
        while portion := _portion(rest):
            some = None if wanted is None else [*islice(wanted, len(portion))]
            yield from self.run(portion, batch_size, some)

    def _run_batch(self, sequences: list[Ids]) -> Tensor:
        """Run the model itself; (B, T, …) or, of a whole text, (B, C)."""
        # To the right: the rows of the tokens then come first, and so do positions.
        batch = self.tokenizer.pad(
            {"input_ids": sequences}, padding_side="right", return_tensors="pt"
        )
        ids = batch["input_ids"].to(self.model.device)  # (B, T)
        mask = batch["attention_mask"].to(self.model.device)
        if isinstance(self.model, DistilBertForMultipleChoice):
            ids, mask = ids[:, None], mask[:, None]  # one choice each: (B, 1, T)
        with torch.inference_mode():
            found = as_one_tensor(self.model(ids, mask)).float().cpu()
        if not all_finite(found):
            raise ValueError(
                "the model's results are NaN or infinite: its weights are damaged, or "
                "too large for their type"
            )
        return found


def _portion(sequences: Iterator[Ids]) -> list[Ids]:
    """Take as many as reach `TOKENS`, or what there is."""
    portion: list[Ids] = []
    tokens = 0
    for ids in sequences:
        portion.append(ids)
        tokens += len(ids)
        if tokens >= TOKENS:
            break
    return portion


def as_one_tensor(output: Any) -> Tensor:
    """What a forward pass found, in one tensor, as an engine gives it."""
    if isinstance(output, QuestionAnsweringOutput):
        return torch.stack((output.start_logits, output.end_logits), dim=-1)
    if isinstance(output, BaseModelOutput):
        return output.last_hidden_state
    logits: Tensor = output.logits
    return logits
