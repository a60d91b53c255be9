"""What is timed: texts made by a seeded generator, and the batches made of them.

Nothing but the standard library and numpy is imported here until texts are made, so
that the process of a contestant holds what the contestant needs and no more.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

LONGEST = 512

# One word in so many is not in the vocabulary and is read in pieces.
RARE = 8

# Of so many lengths that are drawn, in order, the middle one is taken.
STRATUM = 21

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Sequences of like length.

    Attributes:
        places: Where in the workload each of the sequences stands.
        ids: Their ids, padded; int64 (B, T).
        mask: 1 for a token, 0 for padding; int64 (B, T).
    """

    places: list[int]
    ids: Integers
    mask: Integers


@dataclass(frozen=True)
class Workload:
    """Texts in the order in which they arrive, and their ids."""

    name: str
    texts: list[str]
    sequences: list[list[int]]
    _batches: dict[int, list[Batch]] = field(default_factory=dict, repr=False)

    @property
    def tokens(self) -> int:
        """The tokens of all texts, [CLS] and [SEP] included and padding not."""
        return sum(map(len, self.sequences))

    @cached_property
    def flat(self) -> tuple[NDArray[np.int32], Integers]:
        """All ids end to end, int32 (N,), and the length of each sequence, (S,)."""
        lengths = np.array([*map(len, self.sequences)], dtype=np.int64)
        return np.concatenate(self.sequences, dtype=np.int32, casting="unsafe"), lengths

    def batches(self, size: int) -> list[Batch]:
        """Sort the sequences by length and split them; made once for each size.

        Args:
            size: The positions of a batch, padding counted; a longer sequence is alone.
        """
        if size not in self._batches:
            groups: list[list[int]] = [[]]
            for place in self._by_length():
                # In this order the last sequence is the longest: all are padded to it.
                longest = len(self.sequences[place])
                if groups[-1] and (len(groups[-1]) + 1) * longest > size:
                    groups.append([])
                groups[-1].append(place)
            self._batches[size] = [pad(each, self.sequences) for each in groups]
        return self._batches[size]

    def part(self, count: int) -> Workload:
        """Take so many of the texts, spread over the lengths, in their order."""
        order = self._by_length()
        count = min(count, len(order))
        places = sorted(
            order[(2 * i + 1) * len(order) // (2 * count)] for i in range(count)
        )
        return Workload(
            self.name,
            [self.texts[place] for place in places],
            [self.sequences[place] for place in places],
        )

    def _by_length(self) -> list[int]:
        places = range(len(self.sequences))
        return sorted(places, key=lambda place: len(self.sequences[place]))


def pad(places: list[int], sequences: list[list[int]]) -> Batch:
    """Make one batch."""
    chosen = [sequences[place] for place in places]
    ids = np.zeros((len(chosen), max(map(len, chosen))), dtype=np.int64)  # [PAD] is 0
    mask = np.zeros_like(ids)
    for row, sequence in enumerate(chosen):
        ids[row, : len(sequence)] = sequence
        mask[row, : len(sequence)] = 1
    return Batch(places, ids, mask)


class Writer:
    """Writes texts that the bundled tokenizer reads as so many tokens.

    Words are drawn by Zipf's law from the vocabulary, whose order is roughly that of
    frequency; some are lengthened by the ending of another, and become two pieces or
    more, as names and rare words do.
    """

    def __init__(self, seed: int) -> None:
        from minidistil import DistilBertTokenizer

        self.random = random.Random(seed)
        self.tokenizer = DistilBertTokenizer.from_pretrained("tiny")
        vocabulary = self.tokenizer.get_vocab()
        # Accents would be read as something else, and split.
        pieces = sorted(filter(str.isascii, vocabulary), key=vocabulary.__getitem__)
        endings = [each[2:] for each in pieces if each[:2] == "##"]
        whole = [".", ",", *filter(str.isalpha, pieces)]
        self.words = [
            word + self.random.choice(endings) if place % RARE == RARE - 1 else word
            for place, word in enumerate(whole)
        ]
        self.weights = [*accumulate(1 / rank for rank in range(2, len(self.words) + 2))]
        encoded = self.tokenizer(self.words, add_special_tokens=False)["input_ids"]
        self.pieces = dict(zip(self.words, map(len, encoded), strict=True))

    def write(self, tokens: int) -> str:
        """Write a text of exactly so many tokens, [CLS] and [SEP] included."""
        words: list[str] = []
        room = tokens - 2
        while room > 0:
            (word,) = self.random.choices(self.words, cum_weights=self.weights)
            if self.pieces[word] <= room:
                words.append(word)
                room -= self.pieces[word]
        return " ".join(words)

    def sentences(self, count: int) -> Iterator[str]:
        """Write sentences as long as those of film critics: 27 tokens on average."""
        draw = partial(self.random.gammavariate, 4, 27.3 / 4)
        return map(self.write, self.lengths(count, draw, 4, 66))

    def reviews(self, count: int) -> Iterator[str]:
        """Write texts as long as film reviews: 249 tokens on average, at most 512."""
        draw = partial(self.random.lognormvariate, math.log(220), 0.65)
        return map(self.write, self.lengths(count, draw, 32, LONGEST))

    def lengths(
        self, count: int, draw: Callable[[], float], least: int, most: int
    ) -> list[int]:
        """Draw lengths that are spread as the distribution is, however few they are."""
        many = sorted(draw() for _ in range(count * STRATUM))
        chosen = many[STRATUM // 2 :: STRATUM]
        self.random.shuffle(chosen)
        return [min(max(round(each), least), most) for each in chosen]

    def single(self, tokens: int) -> Workload:
        """Write one text of so many tokens."""
        return self.read(f"{tokens} tokens", [self.write(tokens)])

    def read(self, name: str, texts: Iterable[str]) -> Workload:
        """Tokenize texts; what the model cannot read is left out, for every library."""
        texts = list(texts)
        encoded = self.tokenizer(texts, truncation=True, max_length=LONGEST)
        return Workload(name, texts, encoded["input_ids"])


Kind = Callable[[Writer, int], Iterator[str]]
KINDS: dict[str, Kind] = {"sentences": Writer.sentences, "reviews": Writer.reviews}
