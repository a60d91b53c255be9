"""Texts in, labelled parts of them out: names, places, or whatever the labels are.

Each token has scores for the labels. Labels such as B-PER and I-PER say that an entity
begins (B) or goes on (I) there; the aggregation makes whole entities of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from statistics import fmean
from typing import Any, NamedTuple, TypeGuard, overload

from torch import Tensor

from minidistil.engine.sequences import Ids
from minidistil.heads import DistilBertForTokenClassification
from minidistil.messages import check_characters
from minidistil.pipelines.answers import EntityAnswer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.long_texts import (
    SpecialTokens,
    TextTokens,
    tokens_of,
    windows,
)
from minidistil.pipelines.options import TaskOptions
from minidistil.pipelines.reading import (
    Many,
    as_list,
    is_many,
    is_read_once,
    items_of,
    wrong_type,
)
from minidistil.pipelines.running import regroup

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
class TokenOptions(TaskOptions):
    """How the tokens of texts are labelled.

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
        # Of a Series, `in` would ask the index.
        self._take("ignore_labels", tuple(as_list(self.ignore_labels)))
        if self.stride is not None:
            self._take_integer("stride", minimum=0)
        self._take_flag("is_split_into_words")
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


class TokenClassificationPipeline(Pipeline[TokenOptions]):
    """Label the tokens of texts: ``pipe("I am Ada", aggregation_strategy="max")``."""

    task = "token-classification"
    kind = DistilBertForTokenClassification
    options_class = TokenOptions

    @overload
    def __call__(self, inputs: str, **options: Any) -> list[EntityAnswer]: ...
    @overload
    def __call__(
        self, inputs: list[str] | list[list[str]], **options: Any
    ) -> list[list[EntityAnswer]]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str | list[str]], **options: Any
    ) -> Iterator[list[EntityAnswer]]: ...
    @overload
    def __call__(self, inputs: Many[Any], **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Label one text or many.

        Args:
            inputs: A string; a list of them; or an iterator, which is read as the
                answers are taken. With ``is_split_into_words`` a list of words for
                each string.
            options: Any of `TokenOptions`, for this call.

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
        in_words = options.get("is_split_into_words", self.options.is_split_into_words)
        if in_words and _is_collection(inputs):
            listed = as_list(inputs)
            one = any(isinstance(item, str) for item in listed)
            inputs = [listed] if one else listed
        return self._respond(inputs, options)

    def settings(self, options: Mapping[str, Any]) -> TokenOptions:
        """See `Pipeline`; ValueError too for a stride that leaves no room."""
        settings = super().settings(options)
        room = self.max_length - 2
        if settings.stride is not None and settings.stride >= room:
            raise ValueError(
                f"stride is {settings.stride}, expected less than {room}, the tokens "
                f"that the model can read at once without [CLS] and [SEP]"
            )
        return settings

    def _read(self, name: str, value: object, options: TokenOptions) -> Text:
        """Return a text, put together from its words if it comes in words."""
        if not options.is_split_into_words:
            if not isinstance(value, str):
                expected = "a string, or a list of them; for words choose "
                raise wrong_type(name, value, f"{expected}is_split_into_words=True")
            text = Text(str(value))
        else:
            listed = as_list(value) if _is_collection(value) else [None]
            if not all(isinstance(word, str) for word in listed):
                expected = "a list of words, which are strings, for "
                raise wrong_type(name, value, f"{expected}is_split_into_words is True")
            words = tuple(map(str, listed))
            text = Text(options.delimiter.join(words), words)
        check_characters(name, text.text)
        return text

    def _answer(
        self, inputs: list[Text], options: TokenOptions
    ) -> list[list[EntityAnswer]]:
        """Give each text what was found in it."""
        tokens = self._tokens(inputs, options)
        read = [self._windows(each.ids, options) for each in tokens]
        special = SpecialTokens.of(self.tokenizer)
        sequences = (
            special.around(each.ids[start:end])
            for each, some in zip(tokens, read, strict=True)
            for start, end in some
        )
        logits = regroup(self.run_each(sequences, options.batch_size), read)
        answers = []
        for text, each, some in zip(inputs, tokens, read, strict=True):
            found = [
                self._found(text.text, each, window, rows[1:-1], options)
                for window, rows in zip(some, next(logits), strict=True)
            ]
            answers.append(
                drop_overlaps([*chain(*found)]) if len(some) > 1 else found[0]
            )
        return answers

    def _tokens(self, texts: list[Text], options: TokenOptions) -> list[TextTokens]:
        """Return the tokens of each text, with places in the text as a whole."""
        if not options.is_split_into_words:
            return tokens_of(self.tokenizer, [one.text for one in texts])
        in_words = [one.words for one in texts]
        tokens = tokens_of(self.tokenizer, in_words, is_split_into_words=True)
        for one, words in zip(tokens, in_words, strict=True):
            lengths = [len(word) + len(options.delimiter) for word in words]
            starts = [*accumulate(lengths, initial=0)]
            one.spans[:] = [
                (starts[word] + start, starts[word] + end)
                for word, (start, end) in zip(one.words, one.spans, strict=True)
            ]
        return tokens

    def _windows(self, ids: Ids, options: TokenOptions) -> list[tuple[int, int]]:
        """Split a text into windows; without a stride only the first is returned."""
        room = self.max_length - 2
        if options.stride is None and len(ids) > room:
            options.truncated.count += 1
            return [(0, room)]
        return windows(len(ids), room, options.stride or 0)

    def _instead_of_truncation(self) -> str:
        shared = min(SHARED, (self.max_length - 2) // 2)
        return (
            f"labelled; stride={shared} labels all of it, in windows that share "
            f"{shared} tokens"
        )

    def _found(
        self,
        text: str,
        tokens: TextTokens,
        window: tuple[int, int],
        logits: Tensor,
        options: TokenOptions,
    ) -> list[EntityAnswer]:
        """Return what a window contains; its logits are (tokens, C)."""
        start, end = window
        spans = tokens.spans[start:end]
        scores = logits.softmax(dim=-1)
        names = self.tokenizer.convert_ids_to_tokens(tokens.ids[start:end])
        unknown = self.tokenizer.unk_token_id
        # "[UNK]" would not say what stands there.
        written = [
            text[slice(*span)] if id == unknown else name
            for id, name, span in zip(tokens.ids[start:end], names, spans, strict=True)
        ]
        of_word = OF_WORDS.get(options.strategy)
        # Where each part begins: a token, or a word. The first may lack its beginning.
        starts = [
            i
            for i, name in enumerate(names)
            if i == 0 or of_word is None or not name.startswith("##")
        ]
        parts: list[EntityAnswer] = []
        for i, j in pairwise([*starts, len(names)]):
            score, label = (of_word or first)(scores[i:j]).max(dim=0)
            parts.append(
                {
                    "entity": self.config.id2label[int(label)],
                    "score": float(score),
                    "index": start + i + 1,
                    "word": self._join(written[i:j]) if of_word else written[i],
                    "start": spans[i][0],
                    "end": spans[j - 1][1],
                }
            )
        if options.strategy == "none":
            return [one for one in parts if one["entity"] not in options.ignore_labels]
        entities = [self._entity(some) for some in group_neighbours(parts)]
        return [
            one for one in entities if one["entity_group"] not in options.ignore_labels
        ]

    def _entity(self, parts: list[EntityAnswer]) -> EntityAnswer:
        """Make one answer of neighbours that belong together."""
        return {
            "entity_group": parts[0]["entity"].split("-", 1)[-1],
            "score": fmean(part["score"] for part in parts),
            "word": self._join(part["word"] for part in parts),
            "start": parts[0]["start"],
            "end": parts[-1]["end"],
        }

    def _join(self, words: Iterable[str]) -> str:
        return self.tokenizer.convert_tokens_to_string(words)


def group_neighbours(parts: list[EntityAnswer]) -> list[list[EntityAnswer]]:
    """Put neighbours together whose labels are the same without B- or I-.

    A label that begins with B- begins a new group.
    """
    groups: list[list[EntityAnswer]] = []
    for part in parts:
        label = part["entity"]
        begins = label.startswith("B-")
        if groups and not begins and _tag(label) == _tag(groups[-1][-1]["entity"]):
            groups[-1].append(part)
        else:
            groups.append([part])
    return groups


def _tag(label: str) -> str:
    return label[2:] if label[:2] in ("B-", "I-") else label


def drop_overlaps(found: list[EntityAnswer]) -> list[EntityAnswer]:
    """Where two windows disagree keep the longer entity, or else the surer."""
    kept: list[EntityAnswer] = []
    for one in sorted(found, key=lambda answer: answer["start"]):
        if not kept or one["start"] >= kept[-1]["end"]:
            kept.append(one)
        elif _weight(one) > _weight(kept[-1]):
            kept[-1] = one
    return kept


def _weight(answer: EntityAnswer) -> tuple[int, float]:
    return answer["end"] - answer["start"], answer["score"]


def _is_collection(value: object) -> TypeGuard[Collection[Any]]:
    """Whether it holds several things, and is no text, nor an iterator."""
    return is_many(value) and not is_read_once(items_of(value))
