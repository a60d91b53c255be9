"""Words, and a tag for each of them: names, parts of speech, whatever the tags are."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from itertools import accumulate, chain, pairwise
from typing import Any

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.heads import DistilBertForTokenClassification
from minidistil.messages import quote
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.entities import WordMeasure
from minidistil.training.features import from_buffer, making, padded
from minidistil.training.labels import LabelColumn, Labels
from minidistil.training.loop import Inputs
from minidistil.training.masking import IGNORED
from minidistil.training.measures import Measure
from minidistil.training.recipe import Recipe
from minidistil.training.rows import (
    Column,
    Data,
    Table,
    TrainingDataError,
    is_empty,
    list_of,
    text_of,
    wrong,
)
from minidistil.training.tasks.base import (
    EMPTY,
    Counts,
    Framing,
    Source,
    Task,
    Teacher,
)


class TokenClassification(Task):
    """A text in words for each row; target ``labels``: of each token, (N,).

    The first token of a word has the word's tag; all others have `IGNORED`.
    """

    name = "token-classification"
    kind = DistilBertForTokenClassification
    columns = (
        Column("words", ("tokens", "words")),
        Column("tags", ("ner_tags", "tags", "labels")),
    )

    @classmethod
    def read(
        cls,
        data: Data,
        *,
        tokenizer: DistilBertTokenizer,
        recipe: Recipe,
        config: DistilBertConfig,
        columns: Mapping[str, str] | None = None,
        labels: Labels | None = None,
    ) -> TokenClassification:
        """Tokenize rows.

        Args:
            data: The rows: words and tags, in lists, in lists of JSON, or in a text
                with white space between them.
            tokenizer: The model's.
            recipe: How long a text may be.
            config: The model's.
            columns: By role ("words", "tags"), the name of the column.
            labels: Those of the training data, for data to measure with.

        Raises:
            TrainingDataError: if a row is wrong; it names the file and the row.
        """
        source = Source(tokenizer, recipe, config, labels)
        table = Table(data, cls.columns, columns or {})
        framing, counts = Framing(tokenizer, source.limit()), Counts()
        seen = LabelColumn("tag", source.own, labels, table.declared("tags"))
        codes = array("i")  # of all tokens; -1 is none
        beyond = f"words beyond {framing.limit} tokens"
        with making() as made:
            for piece in table.pieces():
                words = [_words(where, row["words"]) for where, row in piece]
                ids = iter(tokenizer.ids_of_texts([*chain(*words)]))
                for (where, row), some in zip(piece, words, strict=True):
                    pieces = [next(ids) for _ in some]
                    tags = _tags(where, row["tags"], len(some))
                    if not any(pieces):
                        counts.skipped[EMPTY] += 1
                        continue
                    counts.shortened["words without a token"] += sum(
                        not each for each in pieces
                    )
                    tokens, tagged = array("i"), array("i")
                    for each, tag in zip(pieces, tags, strict=True):
                        tokens += each
                        if each:
                            is_none = tag in (IGNORED, str(IGNORED))
                            code = -1 if is_none else seen.code(where, tag)
                            tagged.append(code)
                            tagged.extend([-1] * (len(each) - 1))
                    kept, _ = framing.kept(tokens)
                    made.add([framing.special.around(tokens[kept])])
                    counts.places.add(where)
                    codes.extend([-1, *tagged[kept], -1])
                    starts = [*accumulate(map(len, pieces), initial=0)]
                    counts.shortened[beyond] += sum(
                        start < end and not kept.start <= start < kept.stop
                        for start, end in pairwise(starts)
                    )
            if not made.lengths:
                raise table.all_left_out(counts.skipped)
            if not seen.places:
                raise TrainingDataError(
                    f"{table.name}: got no word with a tag, expected at least one"
                )
            found, numbers = seen.numbers(None)
            place = from_buffer(codes, torch.int32).long()
            # The place -1 is the last one.
            numbers = torch.cat([numbers, torch.tensor([IGNORED], dtype=torch.int32)])
            made.targets["labels"] = numbers[place]
        return cls(source, made.features(), found, table.used, counts)

    def measure(self) -> Measure:
        """See `Task`."""
        tags = self.features.targets["labels"].long()
        return WordMeasure(self.labels.names, tags, self.features.starts)

    def counts(self, rows: Tensor) -> dict[str, int]:
        """The words that have a tag, and are read."""
        places, _ = self.features.places(rows)
        words = int((self.features.targets["labels"][places] != IGNORED).sum())
        return {"hard": words, "soft": words}

    def tags(self, rows: Tensor) -> Tensor:
        """The label of each token that `inputs` gives, or `IGNORED`: (B, T)."""
        places, lengths = self.features.places(rows)
        return padded(self.features.targets["labels"][places], lengths, IGNORED)

    def _lesson_of(self, rows: Tensor, teacher: Teacher | None) -> Inputs:
        tags = self.tags(rows).flatten()
        places = (tags != IGNORED).nonzero().flatten()
        found = self.inputs(rows) | {"labels": tags[places], "places": places}
        if teacher is not None:
            found["teacher"] = teacher(rows).flatten(0, 1)[places]
        return found


def _words(where: str, value: Any) -> list[str]:
    """The words of a row."""
    listed = list_of(where, "words", value)
    if listed is None:
        return text_of(where, "words", value).split()
    return [
        text_of(where, f"word {number}", word) for number, word in enumerate(listed)
    ]


def _tags(where: str, value: Any, words: int) -> list[Any]:
    """The tags of a row, one for each word."""
    found = list_of(where, "tags", value)
    if found is None and (isinstance(value, str) or is_empty(value)):
        found = text_of(where, "tags", value).split()
    if found is None:
        raise wrong(where, f"the tags {quote(value)}", "a list, or a text")
    if len(found) != words:
        raise wrong(where, f"{len(found)} tags", f"{words}, one for each word")
    return found
