"""A question and a context in, the part of the context that answers out.

The model scores each token as the first and as the last of the answer. A long context
is read in overlapping windows, each together with the question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat, zip_longest
from typing import Any, Generic, NamedTuple, overload

import torch
import torch.nn.functional as F
from torch import Tensor

from minidistil.engine.sequences import Ids, as_ids
from minidistil.heads import DistilBertForQuestionAnswering
from minidistil.messages import check_characters
from minidistil.pipelines.answers import Answer, QuestionAnswer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.long_texts import (
    SpecialTokens,
    TextTokens,
    tokens_of,
    windows,
)
from minidistil.pipelines.options import TaskOptions
from minidistil.pipelines.reading import (
    is_many,
    is_read_once,
    items_of,
    map_inputs,
    wrong_type,
)
from minidistil.pipelines.running import regroup

# What transformers 4 uses when no model is named, at its revision.
DEFAULT_MODEL = "distilbert/distilbert-base-cased-distilled-squad"
DEFAULT_REVISION = "564e9b582944a57a3e586bbb98fd6f0a4118db7f"

# The defaults of transformers 4, and of BERT's own training on SQuAD (Devlin et al.
# 2018, arXiv:1810.04805): tokens in a window, and tokens that two windows share.
WINDOW = 384
SHARED = 128
END = object()  # of the shorter of two lists
SHORTEST = 4  # one token of the context beside [CLS] and two [SEP]

Characters = tuple[int, int]  # of the context, from and to
Input = Mapping[str, Any]  # {"question": …, "context": …}


@dataclass(frozen=True)
class QuestionOptions(TaskOptions):
    """How a question is answered.

    Attributes:
        top_k: How many answers, the likeliest first. With 1 the answer stands alone,
            with more in a list, which is shorter where the context has no more.
        doc_stride: The tokens that two windows share; by default 128, or half of a
            window that is small.
        max_answer_len: The tokens that an answer may have.
        max_seq_len: The tokens of a window, with the question, [CLS] and two [SEP]; by
            default 384, and at most what the model can read.
        max_question_len: The tokens of a question that are read; by default all.
        handle_impossible_answer: Whether the answer may be that there is none, "".
        align_to_words: Whether an answer begins and ends with a whole word. (Of a word
            at the end of a window, it is the part that the window has.)
        batch_size: See `TaskOptions`.
        padding: Accepted and ignored: answers do not depend on it.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_answer_len: int = 15
    max_seq_len: int | None = None
    max_question_len: int | None = None
    handle_impossible_answer: bool = False
    align_to_words: bool = True
    padding: object = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take_integer("top_k", minimum=1)
        self._take_integer("max_answer_len", minimum=1)
        self._take_flag("handle_impossible_answer")
        self._take_flag("align_to_words")
        if self.doc_stride is not None:
            self._take_integer("doc_stride", minimum=0)
        if self.max_seq_len is not None:
            self._take_integer("max_seq_len", minimum=SHORTEST)
        if self.max_question_len is not None:
            self._take_integer("max_question_len", minimum=1)


class Asked(NamedTuple):
    """A question, and the context that answers it."""

    question: str
    context: str


class Window(NamedTuple):
    """What the model reads at once: the question, and a part of the context.

    The windows of a context share its tokens: many of them are little memory.
    """

    before: Ids  # [CLS] question [SEP]
    context: Ids
    start: int  # the part: tokens of the context, from and to
    end: int
    sep: Ids

    @property
    def ids(self) -> Ids:
        """The tokens."""
        return self.before + self.context[self.start : self.end] + self.sep

    @property
    def read(self) -> Ids:
        """The places of the tokens that count: [CLS], and those of the context."""
        length = self.end - self.start
        return as_ids([0, *range(len(self.before), len(self.before) + length)])


class Span(NamedTuple):
    """An answer as tokens: from the first to the last."""

    score: float
    first: int
    last: int


class QuestionAnsweringPipeline(Pipeline[QuestionOptions], Generic[Answer]):
    """Find answers: ``pipe(question="Who?", context="Ada wrote it.")``."""

    task = "question-answering"
    kind = DistilBertForQuestionAnswering
    options_class = QuestionOptions
    default = (DEFAULT_MODEL, DEFAULT_REVISION)
    shortest = SHORTEST
    noun = "question"

    @overload
    def __call__(self, *inputs: Any, top_k: int, **options: Any) -> Any: ...
    @overload
    def __call__(self, question: str, context: str, **options: Any) -> Answer: ...
    @overload
    def __call__(self, inputs: Input, /, **options: Any) -> Answer: ...
    @overload
    def __call__(self, inputs: Sequence[Input], /, **options: Any) -> list[Answer]: ...
    @overload
    def __call__(
        self, inputs: Iterator[Input], /, **options: Any
    ) -> Iterator[Answer]: ...
    @overload
    def __call__(self, *inputs: Any, **options: Any) -> Any: ...
    def __call__(  # type: ignore[misc]  # mypy: the options could be named question
        self, *inputs: Any, question: Any = None, context: Any = None, **options: Any
    ) -> Any:
        """Answer one question or many.

        Args:
            inputs: ``{"question": …, "context": …}``; a list of such, or an iterator,
                which is read as the answers are taken; or a question and a context.
            question: In place of ``inputs``: a question, or a list of them.
            context: The context of it, of all of them, or a list with one for each.
            options: Any of `QuestionOptions`, for this call.

        Returns:
            For one question ``{"score", "start", "end", "answer"}``: the characters
            ``context[start:end]`` are the answer, the score is the product of the
            probabilities that it starts and ends there, added up where the same words
            are found in several places (so that it can exceed 1), of which the surest
            is given; of a place that two windows read, the better score counts. With
            ``top_k`` of more than 1 it is a list of them. For a list, a list; for an
            iterator, an iterator.

        Raises:
            TypeError: for what is no question with a context, or an unknown option.
            ValueError: for an empty question or context, a question that leaves no
                room for the context, an option out of range, or a model in training
                mode.
        """
        return self._respond(_one_argument(inputs, question, context), options)

    def _read(self, name: str, value: object, options: QuestionOptions) -> Asked:
        """Return a question and its context."""
        # A data set's rows have more, such as an id.
        if not isinstance(value, Mapping) or not value.keys() >= {*Asked._fields}:
            raise wrong_type(name, value, 'a mapping {"question": …, "context": …}')
        for part in Asked._fields:
            if not isinstance(value[part], str):
                raise wrong_type(f"{name}'s {part}", value[part], "a string")
            if not value[part]:
                raise ValueError(f"{name}'s {part} is empty, expected a text")
            check_characters(f"{name}'s {part}", value[part])
        # A context of blanks has no answer; a question of blanks asks nothing.
        if value["question"].isspace():
            raise ValueError(f"{name}'s question is blank, expected a text")
        return Asked(str(value["question"]), str(value["context"]))

    def _answer(self, inputs: list[Asked], options: QuestionOptions) -> list[Any]:
        """Give each question its answer, or a list of them."""
        # Often many questions have one context: it is tokenized once.
        texts = [*dict.fromkeys(chain(*inputs))]
        tokens = dict(zip(texts, tokens_of(self.tokenizer, texts), strict=True))
        read = map_inputs(
            lambda one: self._windows(
                tokens[one.question].ids, tokens[one.context].ids, options
            ),
            inputs,
        )
        logits = self.run_each(
            (window.ids for window in chain(*read)),
            options.batch_size,
            (window.read for window in chain(*read)),
        )
        return [
            _choose(one.context, tokens[one.context], each, found, options)
            for one, each, found in zip(
                inputs, read, regroup(logits, read), strict=True
            )
        ]

    def _windows(
        self, question: Ids, context: Ids, options: QuestionOptions
    ) -> list[Window]:
        """Split a context into windows, each with the question before it."""
        special = SpecialTokens.of(self.tokenizer)
        limit = min(options.max_seq_len or WINDOW, self.max_length)
        before = special.around(question[: options.max_question_len])
        room = limit - len(before) - 1
        if room < 1:
            raise ValueError(
                f"a question has {len(before) - 2} tokens, which leaves no room for "
                f"the context among {limit}: shorten it, or choose max_question_len"
                f"{'' if options.max_seq_len is None else ' or a larger max_seq_len'}"
            )
        shared = 0 if len(context) <= room else _shared(limit, room, options.doc_stride)
        return [
            Window(before, context, start, end, special.sep)
            for start, end in windows(len(context), room, shared)
        ]


def _shared(limit: int, room: int, wanted: int | None) -> int:
    """How many tokens two windows share."""
    if wanted is None:
        usual = min(limit // 2, SHARED)
        return usual if usual < room else room // 2
    if wanted >= room:
        raise ValueError(
            f"doc_stride is {wanted}, and windows have room for {room} tokens of the "
            f"context: choose a smaller doc_stride, or a larger max_seq_len"
        )
    return wanted


def _choose(
    context: str,
    tokens: TextTokens,
    read: list[Window],
    found: list[Tensor],
    options: QuestionOptions,
) -> QuestionAnswer | list[QuestionAnswer]:
    """Choose the best answers of all windows; each has logits (tokens read, 2).

    Answers of the same words are one, whose scores are added up, as transformers does;
    but a place that two windows read counts once, as the window has it that is surer.
    """
    places: dict[Characters, float] = {}
    surest: dict[Characters, float] = {}  # the best of a place's spans alone
    impossible = 1.0
    # Some of these will turn out to be the same words: this many transformers takes.
    count = 2 * options.top_k + 10 if options.align_to_words else options.top_k
    for window, logits in zip(read, found, strict=True):
        start, end = logits.softmax(dim=0).unbind(dim=1)
        # The first token is [CLS]: an answer from it to it means "no answer".
        impossible = min(impossible, float(start[0] * end[0]))
        here: dict[Characters, float] = {}
        for span in best_spans(start[1:], end[1:], options.max_answer_len, count):
            first, last = window.start + span.first, window.start + span.last
            if options.align_to_words:
                first, last = _whole_words(tokens.words, first, last, window)
            characters = tokens.spans[first][0], tokens.spans[last][1]
            # Widened to whole words, several spans of a window can be one place.
            here[characters] = here.get(characters, 0.0) + span.score
            surest[characters] = max(surest.get(characters, 0.0), span.score)
        for characters, score in here.items():
            places[characters] = max(places.get(characters, 0.0), score)
    answers: dict[str, QuestionAnswer] = {}
    # The surest first: where words are found in several places, it is the one shown.
    for characters in sorted(surest, key=surest.__getitem__, reverse=True):
        text = context[slice(*characters)]
        same = answers.setdefault(text.lower(), _as_answer(0.0, *characters, text))
        same["score"] += places[characters]
    ranked = [*answers.values()]
    if options.handle_impossible_answer:
        ranked.append(_as_answer(impossible, 0, 0, ""))
    ranked.sort(key=lambda answer: answer["score"], reverse=True)
    # There is nothing to find in a context of blanks.
    ranked = ranked or [_as_answer(0.0, 0, 0, "")]
    return ranked[0] if options.top_k == 1 else ranked[: options.top_k]


def best_spans(start: Tensor, end: Tensor, longest: int, count: int) -> list[Span]:
    """Return the likeliest spans, the best first.

    Args:
        start: (n,) The probability of each token to be the first.
        end: (n,) And to be the last.
        longest: The tokens that a span may have.
        count: How many to return, at most.
    """
    if len(start) == 0:
        return []
    width = min(longest, len(start))
    # In row i stand the ends that a span from token i can have: i, i + 1, …
    ends = F.pad(end, (0, width - 1), value=-1.0).unfold(0, width, 1)  # (n, width)
    scores = torch.where(ends < 0, -1.0, start[:, None] * ends).flatten()
    best = scores.sort(descending=True, stable=True)
    return [
        Span(score, place // width, place // width + place % width)
        for score, place in zip(
            best.values[:count].tolist(), best.indices[:count].tolist(), strict=True
        )
        if score >= 0
    ]


def _whole_words(
    words: list[int], first: int, last: int, window: Window
) -> tuple[int, int]:
    """Widen a span of tokens to whole words, within the window."""
    while first > window.start and words[first - 1] == words[first]:
        first -= 1
    while last + 1 < window.end and words[last + 1] == words[last]:
        last += 1
    return first, last


def _as_answer(score: float, start: int, end: int, text: str) -> QuestionAnswer:
    return {"score": score, "start": start, "end": end, "answer": text}


def _one_argument(inputs: tuple[Any, ...], question: Any, context: Any) -> Any:
    """What was asked, however it was given: one mapping, or many."""
    named = question is not None or context is not None
    if bool(inputs) == named:
        raise TypeError(
            'give {"question": …, "context": …}, a list of them, or question= and '
            "context=, one of the three"
        )
    if len(inputs) == 1:
        return inputs[0]
    if len(inputs) == 2 and all(isinstance(one, str) for one in inputs):
        question, context = inputs
    elif inputs:
        return [*inputs]
    if isinstance(question, str):
        return {"question": question, "context": context}
    if not is_many(question):
        raise wrong_type("question", question, "a string, or a list of strings")
    questions = items_of(question)
    if isinstance(context, str):
        pairs = _pairs(zip(questions, repeat(context)))
        return pairs if is_read_once(questions) else [*pairs]
    if not is_many(context):
        raise wrong_type("context", context, "a string, or a list of strings")
    contexts = items_of(context)
    pairs = _pairs(zip_longest(questions, contexts, fillvalue=END))
    once = is_read_once(questions) or is_read_once(contexts)
    return pairs if once else [*pairs]


def _pairs(both: Iterable[tuple[Any, Any]]) -> Iterator[Input]:
    """One mapping for each question and its context."""
    for place, (question, context) in enumerate(both):
        if question is END or context is END:
            few = "questions" if question is END else "contexts"
            many = "contexts" if question is END else "questions"
            raise ValueError(
                f"got {place} {few} and more {many}, expected one context, or one for "
                f"each question"
            )
        yield {"question": question, "context": context}
