"""Texts with masks in, words for each mask out, by the softmax over the vocabulary."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import torch

from minidistil.engine.sequences import Ids, as_ids
from minidistil.heads import DistilBertForMaskedLM
from minidistil.messages import check_characters
from minidistil.pipelines.answers import MaskAnswer
from minidistil.pipelines.base import Pipeline
from minidistil.pipelines.computing import Computing
from minidistil.pipelines.long_texts import (
    SpecialTokens,
    truncate,
    windows_around,
)
from minidistil.pipelines.options import TruncationOptions
from minidistil.pipelines.reading import Many, as_list, as_text, map_inputs
from minidistil.pipelines.running import portions
from minidistil.tokenizer import DistilBertTokenizer

# The masks whose logits are in memory at once: 31 MB of distilbert-base's vocabulary,
# and at most as much again for the text that goes beyond it.
MASKS = 256

# A model gives the logits of every token, where an engine gives those of the masks: so
# many are in memory at once, 268 MB in float32, or those of one text if it has more.
NUMBERS = 2**26


@dataclass(frozen=True)
class FillMaskOptions(TruncationOptions):
    """How masks are filled.

    Attributes:
        top_k: How many words for each mask, the best first.
        targets: The only words to score, a list or one alone; their scores remain
            those among all words. In place of one that is not in the vocabulary its
            first piece is scored, with a warning.
        truncation: What to do about a text that is too long: see `TruncationOptions`. A
            mask is never truncated away: that is an error. "window" reads for each mask
            as much text as fits, the mask in the middle.
        max_length: See there.
        batch_size: See there; fewer where the texts are so long that a model's logits,
            which are of all tokens, would fill the memory.
    """

    top_k: int = 5
    targets: str | Collection[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take_integer("top_k", minimum=1)
        if self.targets is None:
            return
        targets = as_list(self.targets)
        if not all(isinstance(target, str) for target in targets):
            raise TypeError(
                f"targets is {self.targets!r:.60}, expected a string or a list of them"
            )
        if not targets or targets == [""]:
            raise ValueError(
                "targets is empty, expected at least one word; leave it out to score "
                "the whole vocabulary"
            )
        for target in targets:
            check_characters("a target", target)
        self._take("targets", [*map(str, targets)])

    @property
    def target_list(self) -> list[str]:
        """The targets; an empty list for the whole vocabulary."""
        return [*(self.targets or ())]


class View(NamedTuple):
    """What the model reads at once, to fill some of the masks of a text.

    Attributes:
        ids: Its tokens.
        masks: The places of those masks among them.
        whole: The tokens that an answer shows.
        shift: How much further on a mask's place is in ``whole``.
    """

    ids: Ids
    masks: list[int]
    whole: Ids
    shift: int = 0


class FillMaskPipeline(Pipeline[FillMaskOptions]):
    """Fill masks: ``pipe("Paris is the capital of [MASK].")[0]["token_str"]``."""

    task = "fill-mask"
    kind = DistilBertForMaskedLM
    options_class = FillMaskOptions

    def __init__(
        self,
        model: Computing,
        tokenizer: DistilBertTokenizer,
        **options: Any,
    ) -> None:
        """See `Pipeline`."""
        super().__init__(model, tokenizer, **options)
        self._words = frozenset(tokenizer.get_vocab().values())

    @overload
    def __call__(self, inputs: str | list[str], **options: Any) -> list[Any]: ...
    @overload
    def __call__(
        self, inputs: Iterator[str], **options: Any
    ) -> Iterator[list[Any]]: ...
    @overload
    def __call__(self, inputs: Many[str], **options: Any) -> Any: ...
    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Fill the masks of one text or of many, each as if it were the only one.

        Args:
            inputs: A string with one or more [MASK]; a list of such; or an iterator of
                them, which is read as the answers are taken.
            options: Any of `FillMaskOptions`, for this call.

        Returns:
            For a text with one mask, its best words: a list of ``{"score", "token",
            "token_str", "sequence"}``; with several masks, a list of such lists. For a
            list of texts a list of that, but for a list of one text that alone, as
            transformers has it. For an iterator, an iterator.

        Raises:
            TypeError: for a text that is no string, or an unknown option.
            ValueError: for a text without a mask, or one so long that a mask would be
                truncated away; for targets of which none can be scored; for an option
                out of range, or a model in training mode.
        """
        return self._respond(inputs, options)

    def settings(self, options: Mapping[str, Any]) -> FillMaskOptions:
        """See `Pipeline`; the targets become tokens of the vocabulary."""
        settings = super().settings(options)
        if settings.targets is None:
            return settings
        vocabulary = self.tokenizer.get_vocab()
        targets = [
            token
            for target in settings.target_list
            if (token := target if target in vocabulary else self._first_token(target))
        ]
        if not targets:
            raise ValueError(
                f"none of the targets {settings.targets!r:.60} can be scored"
            )
        rows = self.config.vocab_size
        for target in targets:
            if (id := vocabulary[target]) >= rows:
                raise IndexError(
                    f"the target {target!r} has the id {id}, expected 0 to {rows - 1}: "
                    "the model has no row for it; resize_token_embeddings gives it one"
                )
        return dataclasses.replace(settings, targets=targets)

    def _first_token(self, target: str) -> str | None:
        """What is scored in place of a word that is not in the vocabulary."""
        (ids,) = self.tokenizer.ids_of_texts([target])
        if not ids:
            warnings.warn(
                f"the target {target!r} is left out: it has no tokens", stacklevel=1
            )
            return None
        token = str(self.tokenizer.convert_ids_to_tokens(ids[0]))
        warnings.warn(
            f"the target {target!r} is not in the vocabulary: its first piece, "
            f"{token!r}, is scored in its place",
            stacklevel=1,
        )
        return token

    def _read(self, name: str, value: object, options: FillMaskOptions) -> str:
        text = as_text(name, value)
        if self.tokenizer.mask_token not in text:
            raise self._no_mask(name, text)
        return text

    def _no_mask(self, name: str, text: str) -> ValueError:
        return ValueError(
            f"{name} has no mask: {text!r:.60}; write {self.tokenizer.mask_token}, "
            f"exactly so, in the place of the word to guess"
        )

    def _answer(self, inputs: list[str], options: FillMaskOptions) -> list[Any]:
        """Give each text the answers for its masks."""
        views = map_inputs(
            lambda text, ids: self._views(text, ids, options),
            inputs,
            self.tokenizer.ids_of_texts(inputs),
        )
        best = self._best([view for each in views for view in each], options)
        answers: list[Any] = []
        for each in views:
            alone = sum(len(view.masks) for view in each) == 1
            filled = [
                self._fill(view, place, *next(best), alone)
                for view in each
                for place in view.masks
            ]
            answers.append(filled[0] if alone else filled)
        return answers

    def _gather(self, answers: list[Any]) -> Any:
        return answers[0] if len(answers) == 1 else answers

    def _views(self, text: str, ids: Ids, options: FillMaskOptions) -> list[View]:
        """What to read of a text, so that each of its masks is read once."""
        mask = self.tokenizer.mask_token_id
        masks = [place for place, id in enumerate(ids) if id == mask]
        if not masks:  # it is part of another literal that the tokenizer knows
            raise self._no_mask("the text", text)
        room = options.limit(self.max_length) - 2
        special = SpecialTokens.of(self.tokenizer)
        whole = special.around(ids)
        if len(ids) <= room:
            return [View(whole, [place + 1 for place in masks], whole)]
        strategy = options.strategy()
        if strategy == "window":
            return [
                View(
                    special.around(ids[start : start + room]),
                    [place - start + 1 for place in places],
                    whole,
                    shift=start,
                )
                for start, places in windows_around(masks, len(ids), room)
            ]
        (kept,) = truncate(ids, room, lambda: strategy)
        if kept.count(mask) < len(masks):
            raise ValueError(
                f"the text has {len(ids)} tokens (and [CLS] and [SEP]), of which "
                f"{room} are read, and {len(masks) - kept.count(mask)} of its "
                f"{len(masks)} masks would be truncated away; shorten it, or choose "
                f"truncation='window', which reads the text around each mask"
            )
        whole = special.around(kept)
        return [View(whole, [i for i, id in enumerate(whole) if id == mask], whole)]

    def _best(
        self, views: list[View], options: FillMaskOptions
    ) -> Iterator[tuple[list[float], list[int]]]:
        """Yield the best scores of each mask, and the ids of the words."""
        targets = None
        if words := [*dict.fromkeys(options.target_list)]:  # each once
            wanted = self.tokenizer.convert_tokens_to_ids(words)
            targets = torch.tensor(wanted, device="cpu")
        for portion in portions(views, lambda view: len(view.masks), MASKS):
            # Few enough logits, were all views as long as the longest.
            longest = max(len(view.ids) for view in portion)
            most = max(1, NUMBERS // (longest * self.config.vocab_size))
            logits = self.start(
                [view.ids for view in portion],
                min(options.batch_size, most),
                [as_ids(view.masks) for view in portion],
            )()
            scores = logits.softmax(dim=-1)  # (masks, V)
            if targets is not None:
                scores = scores[:, targets]
            best = scores.topk(min(options.top_k, scores.shape[1]))
            ids = best.indices if targets is None else targets[best.indices]
            yield from zip(best.values.tolist(), ids.tolist(), strict=True)

    def _fill(
        self,
        view: View,
        place: int,
        scores: list[float],
        words: list[int],
        skip_specials: bool,
    ) -> list[MaskAnswer]:
        """Put each word in the place of a mask, and write out the text."""
        answers: list[MaskAnswer] = []
        for score, word in zip(scores, words, strict=True):
            filled = list(view.whole)
            filled[place + view.shift] = word
            # As transformers does, also where [PAD] is the text's own, or the answer.
            shown = [id for id in filled if id != self.tokenizer.pad_token_id]
            answers.append(
                {
                    "score": score,
                    "token": word,
                    "token_str": self._written([word]),
                    "sequence": self._written(shown, skip_specials),
                }
            )
        return answers

    def _written(self, ids: Iterable[int], skip_specials: bool = False) -> str:
        # A model may have more rows than there are words; they are written as nothing.
        words = [id for id in ids if id in self._words]
        return str(self.tokenizer.decode(words, skip_special_tokens=skip_specials))
