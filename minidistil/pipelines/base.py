"""What every task stands on: options, one flow from inputs to answers, a model."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from typing import Any, ClassVar, Generic

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.config import DistilBertConfig
from minidistil.engine.forked import computed, has_lost_its_team
from minidistil.engine.sequences import Ids
from minidistil.messages import with_library
from minidistil.pipelines.computing import Computing, is_training, kind_of
from minidistil.pipelines.familiar import Familiar
from minidistil.pipelines.long_texts import (
    SpecialTokens,
    Truncated,
    fit_pairs,
    truncate,
)
from minidistil.pipelines.options import Options, TruncationOptions
from minidistil.pipelines.reading import (
    RefusedError,
    answer_many,
    as_text,
    counted_from,
    is_many,
    map_inputs,
)
from minidistil.pipelines.running import Running
from minidistil.tokenizer import DistilBertTokenizer

# So many words of a vocabulary may have no row in the model that it is still the
# model's own. Those of two official checkpoints differ by 522 words or more.
MOST_ROWLESS = 16


def max_tokens(config: DistilBertConfig, tokenizer: DistilBertTokenizer) -> int:
    """The tokens that a model can read at once, [CLS] and [SEP] included."""
    return int(min(tokenizer.model_max_length, config.max_position_embeddings))


def check_tokenizer(tokenizer: object, config: DistilBertConfig) -> None:
    """Check that a tokenizer can be of the same checkpoint as a model.

    A word or two without a row in the model (a blank line at the end of `vocab.txt`, a
    token that was added) do no harm until a text has one: the model then raises
    IndexError. A vocabulary of another size does, as its words mean other rows.

    Raises:
        TypeError: for a tokenizer of another class.
        ValueError: for one with many more words than the model, or whose special tokens
            have no row.
    """
    if not isinstance(tokenizer, DistilBertTokenizer):
        raise TypeError(
            f"the tokenizer is {with_library(tokenizer)}, expected a "
            f"DistilBertTokenizer of minidistil: write one of another library with "
            f"save_pretrained(FOLDER), and load FOLDER here"
        )
    if len(tokenizer) <= config.vocab_size:
        return
    rowless = {
        word for word, id in tokenizer.get_vocab().items() if id >= config.vocab_size
    }
    # Those that were added were meant for a model of this size, and are seldom few.
    words = [word for word in rowless - {*tokenizer.get_added_vocab()} if word]
    around = {tokenizer.cls_token, tokenizer.sep_token, tokenizer.pad_token}
    if len(words) > MOST_ROWLESS or rowless & {*around, tokenizer.unk_token}:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens and the model "
            f"{config.vocab_size}: they belong to two different checkpoints"
        )


_counted: ContextVar[Truncated | None] = ContextVar("counted", default=None)


@contextmanager
def counting_truncated() -> Iterator[Truncated]:
    """Count what calls within the block truncate: who makes many warns once of all."""
    counted = Truncated()
    outside = _counted.set(counted)
    try:
        yield counted
    finally:
        _counted.reset(outside)


class Pipeline(Running, Familiar, Generic[Options]):
    """What every task has. A call changes nothing in it, so threads can share it.

    A task is what it reads (`_read`) and how it answers (`_answer`); `_respond` makes
    a call of them, whose inputs are one or many.

    Attributes:
        task: The task's name.
        kind: The class of the model.
        options_class: The options of a call, a dataclass with a default for each.
        default: The model where none is named, and its revision; None if there is no
            such model.
        shortest: The tokens that a model must at least be able to read.
        noun: What an input is called in errors.
    """

    task: ClassVar[str]
    kind: ClassVar[type[PreTrainedModel]]
    options_class: type[Options]
    default: ClassVar[tuple[str, str] | None] = None
    shortest: ClassVar[int] = 3  # one token between [CLS] and [SEP]
    noun: ClassVar[str] = "text"

    __call__: Callable[..., Any]

    def __init__(
        self,
        model: Computing,
        tokenizer: DistilBertTokenizer,
        **options: Any,
    ) -> None:
        """Take a model and its tokenizer, and options that hold for every call.

        A model may be inside of what peft, torch.compile or a library for training has
        put around it: that is what is called.

        Raises:
            TypeError: for a model or a tokenizer of another kind, or an option that
                the task does not have.
            ValueError: for a tokenizer of another checkpoint, a model that can read
                nothing beside [CLS] and [SEP], or an option out of range.
        """
        kind = kind_of(model)
        if not issubclass(kind, self.kind):
            raise TypeError(
                f"got a {kind.__name__}, expected a {self.kind.__name__}, or an Engine "
                f"of one"
            )
        self.model = model
        check_tokenizer(tokenizer, self.config)
        self.tokenizer = tokenizer
        if self.max_length < self.shortest:
            raise ValueError(
                f"the tokenizer's model_max_length is {tokenizer.model_max_length}, "
                f"the model's max_position_embeddings "
                f"{self.config.max_position_embeddings}; expected at least "
                f"{self.shortest} of both for {self.task}"
            )
        self.options = self.options_class().changed(options)

    @property
    def config(self) -> DistilBertConfig:
        """The model's configuration, as it is now."""
        return self._described.config

    @property
    def max_length(self) -> int:
        """The tokens that the model can read at once, [CLS] and [SEP] included."""
        return max_tokens(self.config, self.tokenizer)

    @classmethod
    def checkpoint_options(
        cls, options: Mapping[str, Any], tokenizer: DistilBertTokenizer, **where: Any
    ) -> dict[str, Any]:
        """Return the options that a checkpoint's own files ask for, if any.

        Args:
            options: Those that the caller gives, which take precedence.
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
        # Tasks check here what depends on both: before the first input is read.
        settings = self.options.changed(options)
        if is_training(self.model):
            raise ValueError(
                "the model is in training mode, where dropout makes answers random: "
                "call model.eval() first"
            )
        return settings

    def _respond(self, inputs: Any, options: Mapping[str, Any]) -> Any:
        """Answer one input, or many: see `answer_many`; ``options`` are the call's."""
        settings = self.settings(options)
        if not is_many(inputs):
            one = self._read(f"the {self.noun}", inputs, settings)
            try:
                (answer,) = self._computed([one], settings)
            except RefusedError as refused:
                raise ValueError(str(refused)) from refused
            if settings.truncated.count:
                self.warn_of_truncation(f"the {self.noun}")
            return answer
        answers = answer_many(
            inputs,
            lambda name, value: self._read(name, value, settings),
            lambda some: self._answer_some(some, settings),
            self.noun,
            self.texts_together,
        )
        if not isinstance(answers, list):
            return self._warning_of_each(answers, settings)
        if count := settings.truncated.count:
            self.warn_of_truncation(f"{count} of {len(answers)} {self.noun}s", count)
        return self._gather(answers)

    def _answer_some(self, inputs: list[Any], settings: Options) -> Iterator[Any]:
        """Answer inputs, and count them."""
        before = settings.truncated.count
        settings.truncated.read += len(inputs)
        try:
            yield from self._computed(inputs, settings)
        except RefusedError:
            # Those before it are answered again.
            settings.truncated.count = before
            settings.truncated.read -= len(inputs)
            raise

    def _computed(self, inputs: list[Any], settings: Options) -> Iterable[Any]:
        """Answer inputs; what a task makes of results is computed by torch, too."""
        if has_lost_its_team():
            return computed(lambda: [*self._answer(inputs, settings)])
        return self._answer(inputs, settings)

    def _warning_of_each(
        self, answers: Iterator[Any], settings: Options
    ) -> Iterator[Any]:
        """Warn at the first input that is truncated, and say how many at the end."""
        truncated = settings.truncated
        warned = False
        try:
            for answer in answers:
                if truncated.count and not warned:
                    warned = True
                    # Always from this line and in these words: Python shows it once.
                    self.warn_of_truncation(f"a {self.noun}")
                yield answer
        finally:
            if truncated.count > 1:
                warnings.warn(
                    f"{truncated.count} of the {truncated.read} {self.noun}s that were "
                    f"read were too long, as warned of at the first",
                    stacklevel=1,
                )

    def warn_of_truncation(self, subject: str, count: int = 1) -> None:
        """Warn of ``count`` inputs that were truncated, though nobody asked for it.

        Within `counting_truncated` they are counted, and nobody is warned.
        """
        if (counted := _counted.get()) is not None:
            counted.count += count
            return
        are, their = ("is", "its") if count == 1 else ("are", "their")
        warnings.warn(
            f"{subject} {are} longer than the model can read, and only {their} "
            f"beginning is {self._instead_of_truncation()}",
            stacklevel=1,
        )

    def _instead_of_truncation(self) -> str:
        """What is done with the beginning of a long text, and what else can be done."""
        return (
            "read; truncation='head' says that this is meant, 'head+tail' and 'window' "
            "read more of it, 'error' refuses it"
        )

    def _read(self, name: str, value: object, options: Options) -> Any:
        """Check an input, which an error calls by ``name``, and return it.

        Raises:
            TypeError, ValueError: for what is no input of the task.
        """
        return as_text(name, value)

    @abstractmethod
    def _answer(self, inputs: list[Any], options: Options) -> Iterable[Any]:
        """Answer some inputs, as `_read` returned them.

        Raises:
            RefusedError: for one that cannot be answered.
        """

    def _gather(self, answers: list[Any]) -> Any:
        """What a call with a list returns."""
        return answers

    def _encoded(
        self, texts: list[str], options: TruncationOptions
    ) -> Iterator[list[Ids]]:
        """Tokenize texts: for each its parts, with [CLS] and [SEP]."""
        room = options.limit(self.max_length) - 2
        special = SpecialTokens.of(self.tokenizer)

        def parts(ids: Ids) -> list[Ids]:
            return [
                special.around(part) for part in truncate(ids, room, options.strategy)
            ]

        for before, some in self.slices(texts):
            with counted_from(before):
                found = map_inputs(parts, self.tokenizer.ids_of_texts(some))
            yield from found

    def run_pairs(
        self,
        firsts: list[Ids],
        seconds: list[list[Ids]],
        options: TruncationOptions,
    ) -> Iterator[Tensor]:
        """Run the model on each first text with each of its second texts.

        Yields:
            For each first text the results, (second texts, parts of the first text, C).

        Raises:
            RefusedError: for a first text that cannot be read with its second texts.
        """
        limit = options.limit(self.max_length)
        special = SpecialTokens.of(self.tokenizer)

        def fit(first: Ids, beside: list[Ids]) -> list[list[tuple[Ids, Ids]]]:
            return fit_pairs(first, beside, limit, options.strategy)

        fitted = map_inputs(fit, firsts, seconds)
        # One by one: many pairs share the ids of their texts.
        sequences = (
            special.around(*pair) for each in fitted for pairs in each for pair in pairs
        )
        results = self.run_each(sequences, options.batch_size)
        for each in fitted:
            rows = torch.cat([*islice(results, sum(map(len, each)))])
            yield rows.view(len(each), -1, rows.shape[-1])
