"""Entities in the labels of words, and how many of them were found.

Labels such as B-PER and I-PER say that an entity begins, or goes on. Which rows of
them are an entity depends on the scheme:

    IOB2    B I I       each entity begins with B
    IOBES   B I E, S    its last word has E; a single word has S
    BILOU   B I L, U    the same with L and U
    CoNLL   I I, B I    whatever stands together, as CoNLL 2003's evaluation reads it

The first three are strict: what does not follow the scheme is no entity. An I without B
is none in IOB2. In older data, such as CoNLL 2003 as it was published, most entities
have no B (IOB1): there strict would mean blind, and CoNLL's reading is used.

An entity is found if its first word, its last word and its type are right. All
readings are those of seqeval, the first three in its mode "strict".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from minidistil.training import metrics
from minidistil.training.measures import (
    Measure,
    confusion,
    label_tables,
    per_label,
)
from minidistil.training.metrics import Counts
from minidistil.training.objectives import IGNORED


class Tag(NamedTuple):
    """A label, such as B-PER.

    Attributes:
        prefix: One letter.
        kind: Of the entity; "_" where the label does not say.
    """

    prefix: str
    kind: str


class Entity(NamedTuple):
    """Some words, from the first up to ``end``, and what they are."""

    kind: str
    start: int
    end: int


class Scheme(NamedTuple):
    """What an entity is, strictly: ``first`` inside … ``last``, or ``single`` alone.

    Attributes:
        prefixes: All that labels may have, beside O.
        last: None if an entity may end anywhere.
        single: None if a single word is no special case.
    """

    prefixes: frozenset[str]
    last: str | None = None
    single: str | None = None


CONLL = "CoNLL"
STRICT = {
    "IOB2": Scheme(frozenset("BI")),
    "IOBES": Scheme(frozenset("BIES"), last="E", single="S"),
    "BILOU": Scheme(frozenset("BILU"), last="L", single="U"),
}
OUTSIDE = Tag("O", "_")


def tags_of(names: Sequence[str]) -> list[Tag] | None:
    """Labels as tags; None if they are not about entities: parts of speech, say."""
    tags = [_tag_of(name) for name in names]
    known = [tag for tag in tags if tag is not None]
    if len(known) < len(tags) or OUTSIDE not in tags or {*tags} == {OUTSIDE}:
        return None
    return known


def _tag_of(name: str) -> Tag | None:
    if name == "O":
        return OUTSIDE
    prefix, kind = name[:1], name[2:]
    if prefix in {*"BIESLU"} and name[1:2] in ("", "-"):
        return Tag(prefix, kind or "_")
    return None


def entities(tags: Sequence[Tag], scheme: str) -> set[Entity]:
    """The entities in the tags of a row's words; ``scheme``: see the top of the file.

    Raises:
        KeyError: for a scheme that there is not.
    """
    return {*(_together(tags) if scheme == CONLL else _strict(tags, STRICT[scheme]))}


def _strict(tags: Sequence[Tag], scheme: Scheme) -> Iterator[Entity]:
    place = 0

    def take(tag: Tag) -> bool:
        nonlocal place
        fits = place < len(tags) and tags[place] == tag
        place += fits
        return fits

    while place < len(tags):
        start, (prefix, kind) = place, tags[place]
        place += 1
        if prefix == scheme.single:
            yield Entity(kind, start, place)
        elif prefix == "B":
            while take(Tag("I", kind)):
                pass
            if scheme.last is None or take(Tag(scheme.last, kind)):
                yield Entity(kind, start, place)


def _together(tags: Sequence[Tag]) -> Iterator[Entity]:
    before, start = OUTSIDE, 0
    for place, tag in enumerate([*tags, OUTSIDE]):
        begins = tag.prefix in "OBSU" or before.prefix in "OESLU"
        if begins or tag.kind != before.kind:
            if before != OUTSIDE:
                yield Entity(before.kind, start, place)
            start = place
        before = tag


def scheme_of(rows: Sequence[Sequence[Tag]]) -> str:
    """The scheme that the labels of some rows were written in.

    The strict one that has their prefixes; but CoNLL's reading where by that most of
    what stands together would be no entity.
    """
    prefixes = {tag.prefix for row in rows for tag in row} - {"O"}
    for name, scheme in STRICT.items():
        if prefixes <= scheme.prefixes:
            strictly = sum(len(entities(row, name)) for row in rows)
            if 2 * strictly >= sum(len(entities(row, CONLL)) for row in rows):
                return name
    return CONLL


def compared(found: set[Entity], real: set[Entity]) -> dict[str, Counts]:
    """The counts of each kind of entity, of one row."""
    sets = found & real, found, real
    kinds = {entity.kind for entity in found | real}
    return {
        kind: Counts(*(sum(one.kind == kind for one in each) for each in sets))
        for kind in kinds
    }


class WordMeasure(Measure):
    """Of texts whose words have a label each; it is that of a word's first token.

    Metrics: of entities F1, precision and recall, and the accuracy of the words'
    labels; of labels that are not about entities, accuracy and macro F1.
    """

    def __init__(self, names: Sequence[str], labels: Tensor, starts: Tensor) -> None:
        """Begin with nothing.

        Args:
            names: Of the C labels.
            labels: Of all tokens of all rows, end to end, (tokens,); -100 for a token
                that has none.
            starts: Where the tokens of each row begin, and where the last one ends,
                (rows + 1,).
        """
        super().__init__(len(starts) - 1)
        self.names, self.labels, self.starts = [*names], labels, starts
        self.counts["words"] = confusion([], [], len(names))
        self.tags = tags_of(names)
        if self.tags is None:
            self.metrics = ("accuracy", "f1_macro", "loss")
            return
        self.metrics = ("f1", "precision", "recall", "accuracy", "loss")
        self.kinds = sorted({tag.kind for tag in self.tags if tag != OUTSIDE})
        self.counts["entities"] = torch.zeros(len(self.kinds), 3, dtype=torch.int64)
        real = (self._words(row)[1] for row in range(len(starts) - 1))
        self.scheme = scheme_of([*map(self._read, real)])

    def _words(self, row: int) -> tuple[Tensor, Tensor]:
        """The tokens of a row that have labels, and these labels, (words,) both."""
        start, end = self.starts[row : row + 2].tolist()
        labels = self.labels[start:end]
        places = (labels != IGNORED).nonzero().flatten()
        return places, labels[places]

    def _read(self, labels: Tensor) -> list[Tag]:
        assert self.tags is not None
        return [self.tags[label] for label in labels.tolist()]

    def _add(self, rows: Tensor, logits: Tensor) -> None:
        places, labels = zip(*map(self._words, rows.tolist()), strict=True)
        scores = [each[some] for each, some in zip(logits, places, strict=True)]
        sizes = [len(some) for some in labels]
        found = self._choose(
            rows.repeat_interleave(torch.tensor(sizes)),
            torch.cat(scores),
            torch.cat(labels),
            self.names.__getitem__,
            torch.cat(places),
        )
        self.counts["words"] += confusion(torch.cat(labels), found, len(self.names))
        if self.tags is None:
            return
        for guesses, right in zip(torch.split(found, sizes), labels, strict=True):
            self._count(
                entities(self._read(guesses), self.scheme),
                entities(self._read(right), self.scheme),
            )

    def _count(self, found: set[Entity], real: set[Entity]) -> None:
        for kind, counts in compared(found, real).items():
            self.counts["entities"][self.kinds.index(kind)] += torch.tensor(counts)

    def _entities(self) -> list[Counts]:
        return [Counts(*each) for each in self.counts["entities"].tolist()]

    def _figures(self) -> dict[str, float]:
        matrix = self.counts["words"]
        found = {"accuracy": metrics.accuracy(matrix)}
        if self.tags is None:
            counts = [each for each in metrics.counts_of(matrix) if each.occurs]
            return found | {"f1_macro": metrics.macro_f1(counts)}
        every = metrics.total(self._entities())
        return found | {
            "f1": every.f1,
            "precision": every.precision,
            "recall": every.recall,
        }

    def _tables(self) -> dict[str, Any]:
        tables = label_tables(self.names, self.counts["words"])
        if self.tags is None:
            return tables
        kinds = per_label(self.kinds, self._entities())
        return tables | {"per_label": kinds, "scheme": self.scheme}
