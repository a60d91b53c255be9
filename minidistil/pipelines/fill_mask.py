"""Texts with masks in, words for each mask out, by the softmax over the vocabulary."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.engine import Engine
from minidistil.heads import DistilBertForMaskedLM
from minidistil.messages import check_characters, check_integer
from minidistil.pipelines.base import Ids, Pipeline
from minidistil.pipelines.cutting import CUTS, CutOptions, framed, how_to_cut
from minidistil.pipelines.pieces import ids_of
from minidistil.pipelines.reading import (
    answer_many,
    as_text,
    is_many,
    made_of_each,
)
from minidistil.tokenizer import DistilBertTokenizer

# The masks whose logits are in memory at once: 31 MB of distilbert-base's vocabulary,
# and at most as much again for the text that goes beyond it.
MASKS = 256

# A model gives the logits of every token, where an engine gives those of the masks: as
# many numbers as are in memory at once, 268 MB in float32, but for one text at least.
NUMBERS = 2**26

Guess = dict[str, str | float | int]


@dataclass(frozen=True)
class FillMaskOptions(CutOptions):
    """How masks are filled; given to the pipeline or to a call, which goes before.

    Attributes:
        top_k: How many words for each mask, the best first.
        targets: The only words to score, a list or one alone; their scores remain
            those among all words. In place of one that is not in the vocabulary its
            first piece is scored, with a warning.
        truncation: What to do about a text that is too long: see `CutOptions`. A mask
            is never cut off: that is an error. "window" reads for each mask as much
            text as fits, the mask in the middle.
        max_length: See there.
        batch_size: See there; fewer where the texts are so long that a model's logits,
            which are of all tokens, would fill the memory.
    """

    top_k: int = 5
    targets: str | Collection[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("top_k", self.top_k, minimum=1)
        targets = () if self.targets is None else self.targets
        if not (isinstance(targets, Collection) and _are_strings(targets)):
            raise TypeError(
                f"targets is {self.targets!r:.60}, expected a string or a list of them"
            )
        if self.targets is not None and not len(self.targets):
            raise ValueError(
                "targets is empty, expected at least one word; leave it out to score "
                "the whole vocabulary"
            )
        for target in [targets] if isinstance(targets, str) else targets:
            check_characters("a target", target)


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
        model: PreTrainedModel | Engine,
        tokenizer: DistilBertTokenizer,
        **options: Any,
    ) -> None:
        """See `Pipeline`."""
        super().__init__(model, tokenizer, **options)
        self._words = frozenset(tokenizer.get_vocab().values())

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
                cut off; for targets of which none can be scored; for an option out of
                range, or a model in training mode.
        """
        settings = self.settings(options)
        targets = self._target_ids(settings.targets)

        def answer(texts: list[str]) -> list[Any]:
            return self._answer(texts, targets, settings)

        if not is_many(inputs):
            return answer([self._read("the text", inputs)])[0]
        answers = answer_many(inputs, self._read, answer)
        if isinstance(answers, list) and len(answers) == 1:
            return answers[0]
        return answers

    def _read(self, name: str, value: object) -> str:
        """Return what is a text with a mask."""
        text = as_text(name, value)
        if self.tokenizer.mask_token not in text:
            raise self._no_mask(name, text)
        return text

    def _no_mask(self, name: str, text: str) -> ValueError:
        return ValueError(
            f"{name} has no mask: {text!r:.60}; write {self.tokenizer.mask_token}, "
            f"exactly so, in the place of the word to guess"
        )

    def _answer(
        self,
        texts: list[str],
        targets: Tensor | None,
        options: FillMaskOptions,
    ) -> list[Any]:
        """Give each text the guesses for its masks."""
        views = made_of_each(
            lambda text, ids: self._views(text, ids, options),
            texts,
            ids_of(self.tokenizer, texts),
        )
        flat = [view for each in views for view in each]
        best = self._best(flat, targets, options)
        answers: list[Any] = []
        for each in views:
            alone = sum(len(view.masks) for view in each) == 1
            guesses = [
                self._guesses(view, place, *next(best), skip_specials=alone)
                for view in each
                for place in view.masks
            ]
            answers.append(guesses[0] if alone else guesses)
        return answers

    def _views(self, text: str, pieces: Ids, options: FillMaskOptions) -> list[View]:
        """What to read of a text, so that each of its masks is read once."""
        mask = self.tokenizer.mask_token_id
        masks = [place for place, id in enumerate(pieces) if id == mask]
        if not masks:  # it is part of another literal that the tokenizer knows
            raise self._no_mask("the text", text)
        room = options.limit(self.max_length) - 2
        if len(pieces) <= room:
            return [self._view(pieces)]
        how = how_to_cut(options.truncation)
        if how == "window":
            return self._windows(pieces, masks, room)
        (kept,) = CUTS[how](pieces, room)
        if kept.count(mask) < len(masks):
            raise ValueError(
                f"the text has {len(pieces)} tokens (and [CLS] and [SEP]), of which "
                f"{room} are read, and {len(masks) - kept.count(mask)} of its "
                f"{len(masks)} masks would be cut off; shorten it, or choose "
                f"truncation='window', which reads the text around each mask"
            )
        return [self._view(kept)]

    def _view(self, pieces: Ids) -> View:
        """A text, or what is left of it, that is read and shown whole."""
        ids, mask = framed(self.tokenizer, pieces), self.tokenizer.mask_token_id
        masks = [place for place, id in enumerate(ids) if id == mask]
        return View(ids, masks, ids)

    def _windows(self, pieces: Ids, masks: list[int], room: int) -> list[View]:
        """Each mask in the middle of a window, as far as the text's ends allow."""
        whole = framed(self.tokenizer, pieces)

        def start(place: int) -> int:
            return max(0, min(place - room // 2, len(pieces) - room))

        return [
            View(
                framed(self.tokenizer, pieces[first : first + room]),
                [place - first + 1 for place in places],
                whole,
                shift=first,
            )
            for first, places in groupby(masks, start)
        ]

    def _best(
        self, views: list[View], targets: Tensor | None, options: FillMaskOptions
    ) -> Iterator[tuple[list[float], list[int]]]:
        """The best scores of each mask, and the words that have them."""
        for portion in _portions(views):
            found = self.run(
                [view.ids for view in portion],
                min(options.batch_size, self._most_at_once(portion)),
                [view.masks for view in portion],
            )
            scores = torch.cat(found).softmax(dim=-1)  # (masks, V)
            if targets is not None:
                scores = scores[:, targets]
            best = scores.topk(min(options.top_k, scores.shape[1]))
            words = best.indices if targets is None else targets[best.indices]
            yield from zip(best.values.tolist(), words.tolist(), strict=True)

    def _most_at_once(self, views: list[View]) -> int:
        """The views whose logits are few enough, were all as long as the longest."""
        longest = max(len(view.ids) for view in views)
        return max(1, NUMBERS // (longest * self.model.config.vocab_size))

    def _guesses(
        self,
        view: View,
        place: int,
        scores: list[float],
        words: list[int],
        *,
        skip_specials: bool,
    ) -> list[Guess]:
        """Put each word in the place of a mask, and write out the text."""
        guesses: list[Guess] = []
        for score, word in zip(scores, words, strict=True):
            filled = list(view.whole)
            filled[place + view.shift] = word
            # As transformers does, also where [PAD] is the text's own, or the guess.
            shown = [id for id in filled if id != self.tokenizer.pad_token_id]
            guesses.append(
                {
                    "score": score,
                    "token": word,
                    "token_str": self._written([word]),
                    "sequence": self._written(shown, skip_specials),
                }
            )
        return guesses

    def _written(self, ids: Ids, skip_specials: bool = False) -> str:
        # A model may have more rows than there are words; they are written as nothing.
        words = [id for id in ids if id in self._words]
        return str(self.tokenizer.decode(words, skip_special_tokens=skip_specials))

    def _target_ids(self, targets: str | Collection[str] | None) -> Tensor | None:
        """The words to score, each once; None for all.

        Raises:
            ValueError: if there is nothing to score.
        """
        if targets is None:
            return None
        vocabulary = self.tokenizer.get_vocab()
        ids = {}
        for target in [targets] if isinstance(targets, str) else targets:
            id = vocabulary.get(target)
            if id is None:
                id = self._first_piece(target)
            if id is not None:
                ids[id] = target
        if not ids:
            raise ValueError(f"none of the targets {targets!r:.60} can be scored")
        return torch.tensor([*ids])

    def _first_piece(self, target: str) -> int | None:
        """What is scored for a word that is not in the vocabulary, and told."""
        (pieces,) = ids_of(self.tokenizer, [target])
        if not pieces:
            warnings.warn(
                f"the target {target!r} is left out: nothing is written in it",
                stacklevel=1,
            )
            return None
        piece = self.tokenizer.convert_ids_to_tokens(pieces[0])
        warnings.warn(
            f"the target {target!r} is not in the vocabulary: its first piece, "
            f"{piece!r}, is scored in its place",
            stacklevel=1,
        )
        return pieces[0]


def _are_strings(values: Collection[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _portions(views: list[View]) -> Iterator[list[View]]:
    """Cut a list where `MASKS` is reached."""
    portion: list[View] = []
    masks = 0
    for view in views:
        portion.append(view)
        masks += len(view.masks)
        if masks >= MASKS:
            yield portion
            portion, masks = [], 0
    if portion:
        yield portion
