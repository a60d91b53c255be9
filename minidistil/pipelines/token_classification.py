"""Texts in, labelled parts of them out: names, places, or whatever the labels are.

Each token has scores for the labels. Labels such as B-PER and I-PER say that an entity
begins (B) or goes on (I) there; the aggregation makes whole entities of tokens.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean
from typing import Any, NamedTuple, TypeGuard

from torch import Tensor

from minidistil.heads import DistilBertForTokenClassification
from minidistil.messages import check_characters, check_flag, check_integer
from minidistil.pipelines.base import (
    Ids,
    Pipeline,
    TaskOptions,
)
from minidistil.pipelines.pieces import Pieces, pieces_of, windows
from minidistil.pipelines.reading import (
    answer_many,
    is_many,
)

Answer = dict[str, Any]
SHARED = 64  # tokens of two windows: what is suggested


def first(scores: Tensor) -> Tensor:
    """A word's scores (C,) are those of its first token; ``scores`` is (tokens, C)."""
    return scores[0]


def average(scores: Tensor) -> Tensor:
    """A word's scores (C,) are the mean over its tokens; ``scores`` is (tokens, C)."""
    return scores.mean(dim=0)


def surest(scores: Tensor) -> Tensor:
    """A word's scores (C,) are those of its surest token; ``scores`` is (tokens, C)."""
    return scores[scores.amax(dim=1).argmax()]


# What makes one label of the tokens of a word; without, each token has its own.
OF_WORDS: dict[str, Callable[[Tensor], Tensor]] = {
    "first": first,
    "average": average,
    "max": surest,
}
STRATEGIES = ("none", "simple", *OF_WORDS)


@dataclass(frozen=True)
class Options(TaskOptions):
    """How texts are labelled; given to a pipeline or to a call, which goes before.

    Attributes:
        aggregation_strategy: "none" gives each token its label. The others give
            entities, neighbours of one label: "simple" of tokens; "first", "average"
            and "max" of whole words, with the label of a word's first token, of the
            mean of its tokens' scores, or of its surest token.
        ignore_labels: What is left out of the answer: labels, or without "none" the
            names of entities.
        stride: Read a long text whole, in windows that share so many tokens; where
            two windows disagree, the longer entity stays, or the surer. By default
            only its beginning is read, with a warning.
        is_split_into_words: Whether a text is a list of words.
        delimiter: What stands between words, when characters are counted.
        batch_size: See `TaskOptions`.
    """

    aggregation_strategy: str = "none"
    ignore_labels: Collection[str] = ("O",)
    stride: int | None = None
    is_split_into_words: bool = False
    delimiter: str = " "

    def __post_init__(self) -> None:
        super().__post_init__()
        strategy = self.aggregation_strategy
        if not isinstance(strategy, str) or self.strategy not in STRATEGIES:
            raise ValueError(
                f"aggregation_strategy is {strategy!r}, expected one "
                f"of {', '.join(STRATEGIES)}"
            )
        # "O" alone would be taken for its letters.
        if not _is_collection(self.ignore_labels):
            raise TypeError(
                f"ignore_labels is {self.ignore_labels!r}, expected a list of labels"
            )
        if self.stride is not None:
            check_integer("stride", self.stride, minimum=0)
        check_flag("is_split_into_words", self.is_split_into_words)
        if not isinstance(self.delimiter, str):
            raise TypeError(f"delimiter is {self.delimiter!r}, expected a string")

    @property
    def strategy(self) -> str:
        """The aggregation strategy, in lower case."""
        return self.aggregation_strategy.lower()


class Text(NamedTuple):
    """A text, and the words that it came in, or none."""

    text: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Token:
    """A token: how it is written, its characters, its number (from 1).

    And whether it goes on with the word of the token before it.
    """

    word: str
    start: int
    end: int
    index: int
    continues: bool


@dataclass(frozen=True)
class Part:
    """A token, or a word, with its label."""

    label: str
    score: float
    word: str
    start: int
    end: int
    index: int

    @property
    def tag(self) -> str:
        """The label without B- or I-."""
        return self.label[2:] if self.label[:2] in ("B-", "I-") else self.label


class TokenClassificationPipeline(Pipeline[Options]):
    """Label the tokens of texts: ``pipe("I am Ada", aggregation_strategy="max")``."""

    task = "token-classification"
    kind = DistilBertForTokenClassification
    options_class = Options

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Label one text or many.

        Args:
            inputs: A string; a list of them; or an iterator, which is read as the
                answers are taken. With ``is_split_into_words`` a list of words for
                each string.
            options: Any of `Options`, for this call.

        Returns:
            For one string a list of what was found, ``{"entity", "score", "index",
            "word", "start", "end"}``: the characters ``text[start:end]`` are the
            token with that number (from 1). With an aggregation strategy
            ``{"entity_group", "score", "word", "start", "end"}``. ``word`` is put
            together from tokens, lower-cased where they are. For a list of strings, or
            a text in words, a list of such lists; for an iterator, an iterator.

        Raises:
            TypeError: for a text that is no string, or an unknown option.
            ValueError: for an option out of range, or a model in training mode.
        """
        settings = self.settings(options)
        room = self.max_length - 2
        if settings.stride is not None and settings.stride >= room:
            raise ValueError(
                f"stride is {settings.stride}, expected less than {room}, the tokens "
                f"that the model can read at once without [CLS] and [SEP]"
            )

        def read(name: str, value: object) -> Text:
            return _as_text(name, value, settings)

        if settings.is_split_into_words and _is_one_in_words(inputs):
            inputs = [inputs]
        if is_many(inputs):
            return answer_many(
                inputs, read, lambda texts: self._answer(texts, settings)
            )
        (answer,) = self._answer([read("the text", inputs)], settings)
        return answer

    def _answer(self, texts: list[Text], options: Options) -> list[list[Answer]]:
        """Give each text what was found in it."""
        pieces = self._pieces(texts, options)
        cut = [self._windows(one.ids, options.stride) for one in pieces]
        cls, sep = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        sequences = [
            [cls, *one.ids[start:end], sep]
            for one, some in zip(pieces, cut, strict=True)
            for start, end in some
        ]
        logits = iter(self.run(sequences, options.batch_size))
        answers = []
        for text, one, some in zip(texts, pieces, cut, strict=True):
            found = [
                self._found(text.text, one, window, next(logits)[1:-1], options)
                for window in some
            ]
            together = [each for part in found for each in part]
            answers.append(together if len(some) == 1 else _settle(together))
        return answers

    def _pieces(self, texts: list[Text], options: Options) -> list[Pieces]:
        """Return the tokens of each text, with places in the text as a whole."""
        if not options.is_split_into_words:
            return pieces_of(self.tokenizer, [one.text for one in texts])
        in_words = [one.words for one in texts]
        pieces = pieces_of(self.tokenizer, in_words, is_split_into_words=True)
        for one, words in zip(pieces, in_words, strict=True):
            lengths = [len(word) + len(options.delimiter) for word in words]
            starts = [*accumulate(lengths, initial=0)]
            one.spans[:] = [
                (starts[word] + start, starts[word] + end)
                for word, (start, end) in zip(one.words, one.spans, strict=True)
            ]
        return pieces

    def _windows(self, ids: Ids, stride: int | None) -> list[tuple[int, int]]:
        """Return the windows over a text; without a stride only the first."""
        room = self.max_length - 2
        if stride is None and len(ids) > room:
            # Of one model always in these words: Python then shows it once.
            shared = min(SHARED, room // 2)
            warnings.warn(
                f"a text is longer than the model can read, and only its beginning is "
                f"labelled; stride={shared} labels all of it, in windows that share "
                f"{shared} tokens",
                stacklevel=1,
            )
            return [(0, room)]
        return windows(len(ids), room, stride or 0)

    def _found(
        self,
        text: str,
        pieces: Pieces,
        window: tuple[int, int],
        logits: Tensor,
        options: Options,
    ) -> list[Answer]:
        """What stands in a window, whose logits are (tokens, C)."""
        tokens = [self._token(text, pieces, number) for number in range(*window)]
        scores = logits.softmax(dim=-1)
        of_word = OF_WORDS.get(options.strategy)
        if of_word is None:
            parts = [
                self._part([token], token.word, row)
                for token, row in zip(tokens, scores, strict=True)
            ]
        else:
            parts = [
                self._part(tokens[i:j], self._join(tokens[i:j]), of_word(scores[i:j]))
                for i, j in _words(tokens)
            ]
        if options.strategy == "none":
            kept = [part for part in parts if part.label not in options.ignore_labels]
            return [_of_token(part) for part in kept]
        entities = [self._entity(some) for some in _neighbours(parts)]
        ignored = options.ignore_labels
        return [each for each in entities if each["entity_group"] not in ignored]

    def _token(self, text: str, pieces: Pieces, number: int) -> Token:
        start, end = pieces.spans[number]
        word = str(self.tokenizer.convert_ids_to_tokens(pieces.ids[number]))
        continues = word.startswith("##")
        if pieces.ids[number] == self.tokenizer.unk_token_id:
            word = text[start:end]  # "[UNK]" would tell a reader nothing
        return Token(word, start, end, number + 1, continues)

    def _part(self, tokens: list[Token], word: str, scores: Tensor) -> Part:
        """Give the surest label to some tokens; their scores are (C,)."""
        score, label = scores.max(dim=0)
        name = self.model.config.id2label[int(label)]
        start, end = tokens[0].start, tokens[-1].end
        return Part(name, float(score), word, start, end, tokens[0].index)

    def _entity(self, parts: list[Part]) -> Answer:
        """Make one answer of neighbours that belong together."""
        return {
            "entity_group": parts[0].label.split("-", 1)[-1],
            "score": fmean(part.score for part in parts),
            "word": self._join(parts),
            "start": parts[0].start,
            "end": parts[-1].end,
        }

    def _join(self, parts: Sequence[Token | Part]) -> str:
        return self.tokenizer.convert_tokens_to_string(part.word for part in parts)


def _words(tokens: list[Token]) -> list[tuple[int, int]]:
    """Return the words, from and to; the first may lack its beginning."""
    starts = [i for i, token in enumerate(tokens) if i == 0 or not token.continues]
    return [*pairwise([*starts, len(tokens)])]


def _neighbours(parts: list[Part]) -> list[list[Part]]:
    """Put neighbours of one tag together; a B- begins anew."""
    groups: list[list[Part]] = []
    for part in parts:
        begins = part.label.startswith("B-")
        if groups and not begins and part.tag == groups[-1][-1].tag:
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _of_token(part: Part) -> Answer:
    return {
        "entity": part.label,
        "score": part.score,
        "index": part.index,
        "word": part.word,
        "start": part.start,
        "end": part.end,
    }


def _settle(found: list[Answer]) -> list[Answer]:
    """Where two windows disagree keep the longer entity, or else the surer."""
    kept: list[Answer] = []
    for one in sorted(found, key=lambda answer: answer["start"]):
        if not kept or one["start"] >= kept[-1]["end"]:
            kept.append(one)
        elif _weight(one) > _weight(kept[-1]):
            kept[-1] = one
    return kept


def _weight(answer: Answer) -> tuple[int, float]:
    return answer["end"] - answer["start"], answer["score"]


def _is_one_in_words(inputs: object) -> bool:
    """Whether it is one text, as a list of words."""
    return _is_collection(inputs) and any(isinstance(one, str) for one in inputs)


def _is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it holds several things, and is no text, nor an iterator."""
    return isinstance(value, Collection) and is_many(value)


def _as_text(name: str, value: object, options: Options) -> Text:
    """Return a text, put together from its words if it comes in words."""
    if not options.is_split_into_words:
        if isinstance(value, str):
            check_characters(name, value)
            return Text(value)
        raise TypeError(
            f"{name} is {value!r:.60} ({type(value).__name__}), expected a string, or "
            f"a list of them; for words choose is_split_into_words=True"
        )
    words = tuple(value) if _is_collection(value) else None
    if words is None or not all(isinstance(word, str) for word in words):
        raise TypeError(
            f"{name} is {value!r:.60} ({type(value).__name__}), expected a list of "
            f"words, which are strings, for is_split_into_words is True"
        )
    text = Text(options.delimiter.join(words), words)
    check_characters(name, text.text)
    return text
