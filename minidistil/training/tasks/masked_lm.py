"""Lines of a corpus, some words of which are hidden and have to be guessed.

As for DistilBERT: a line is a row, a long one several; words are hidden anew in every
step, over the whole of its batch; frequent words less often than rare ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.heads import DistilBertForMaskedLM
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.training.features import (
    Features,
    FeaturesError,
    Making,
    from_buffer,
    is_token,
    making,
    padded,
)
from minidistil.training.keys import generator
from minidistil.training.labels import Labels
from minidistil.training.loop import Inputs, Step
from minidistil.training.masking import IGNORED, Masking, chances, mask
from minidistil.training.measures import Measure
from minidistil.training.recipe import Recipe
from minidistil.training.rows import Column, Data, Table, identity_of, text_of
from minidistil.training.tasks.base import (
    EMPTY,
    Counts,
    Framing,
    Source,
    Task,
    Teacher,
)
from minidistil.training.text_measures import MaskedMeasure


class MaskedLM(Task):
    """A line for each row, or a part of a long one; target ``counts``, (V,).

    ``counts`` is how often each word of the vocabulary occurs in the corpus.
    """

    name = "fill-mask"
    kind = DistilBertForMaskedLM
    columns = (Column("text", ("text", "sentence")),)

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
        cache: Path | None = None,
    ) -> MaskedLM:
        """Tokenize lines.

        Args:
            data: The rows.
            tokenizer: The model's.
            recipe: How long a row may be, and which are left out.
            config: The model's.
            columns: By role ("text"), the name of the column.
            labels: There are none.
            cache: A file to write tokens to, and to map: a corpus need not fit into
                memory. If it holds those of the same data already, it is taken as it
                is. None keeps them in memory.

        Raises:
            TrainingDataError: if a row is wrong; it names the file and the row.
            OSError: if the system refuses to write the cache.
        """
        source = Source(tokenizer, recipe, config, labels)
        key = _key(data, source, columns or {}) if cache is not None else None
        features = _kept(cache, key)
        if features is None:
            table = Table(data, cls.columns, columns or {})
            with making(cache) as made:
                counts = _tokenize(table, source, made)
                if not made.lengths:
                    raise table.all_left_out(counts.skipped)
                made.about = {
                    "key": key,
                    "used": table.used,
                    "skipped": counts.skipped,
                    "shortened": counts.shortened,
                }
            features = made.features()
        about = features.about
        counts = Counts()
        counts.skipped.update(about["skipped"])
        counts.shortened.update(about["shortened"])
        return cls(source, features, Labels(), about["used"], counts)

    def __init__(self, source: Source, features: Features, *others: Any) -> None:
        """Take what `read` has found."""
        super().__init__(source, features, *others)
        self._chances = chances(
            features.targets["counts"],
            _is_special(source.tokenizer),
            source.recipe.smoothing,
        )

    def lesson(
        self,
        rows: Tensor,
        passes: Sequence[Tensor],
        draw: torch.Generator,
        teacher: Teacher | None = None,
    ) -> Step:
        """See `Task`: words are hidden in all rows at once, whatever the passes are."""
        places, lengths = self.features.places(rows)
        read, labels = self._hidden(places, draw)
        parts = torch.split(lengths, [*map(len, passes)])
        tokens = [int(part.sum()) for part in parts]
        together = zip(
            torch.split(read, tokens), torch.split(labels, tokens), parts, strict=True
        )
        hidden = int((labels != IGNORED).sum())
        return Step(
            [partial(self._part, *each) for each in together],
            {"hard": hidden, "soft": len(read), "cosine": len(read)},
        )

    def questions(self, rows: Tensor) -> tuple[Inputs, Tensor]:
        """What a model is measured with: rows in which words are hidden.

        Of a row it is always the same words, whatever the recipe's seed is, and
        whichever rows are asked for together: figures can be compared.

        Returns:
            What the model reads, (B, T), and what it has to guess, (B, T): a word, or
            `IGNORED`.
        """
        hidden = []
        for row in rows.tolist():
            places, _ = self.features.places(torch.tensor([row]))
            hidden.append(self._hidden(places, generator(0, "questions", row)))
        _, lengths = self.features.places(rows)
        read, labels = (torch.cat(each) for each in zip(*hidden, strict=True))
        return self._padded(read, lengths), padded(labels, lengths, IGNORED)

    def measure(self) -> Measure:
        """See `Task`."""
        return MaskedMeasure(len(self.features))

    def counts(self, rows: Tensor) -> dict[str, int]:
        """The tokens, of which the soft loss and the cosine are summed over."""
        _, lengths = self.features.places(rows)
        return {"soft": int(lengths.sum()), "cosine": int(lengths.sum())}

    def _hidden(self, places: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        """Hide some of the tokens at some places, (N,); see `mask`."""
        masking = Masking(share=self.recipe.masked, smoothing=self.recipe.smoothing)
        ids = self.features.ids[places].long()
        return mask(ids, self._chances, self.tokenizer.mask_token_id, masking, draw)

    def _part(self, read: Tensor, labels: Tensor, lengths: Tensor) -> Inputs:
        found = self._padded(read, lengths)
        wanted = padded(labels, lengths, IGNORED).flatten()
        # A teacher is asked about all tokens that are read, not the hidden ones alone.
        has_teacher = self.recipe.soft or self.recipe.cosine
        counted = is_token(lengths).flatten() if has_teacher else wanted != IGNORED
        places = counted.nonzero().flatten()
        return found | {"labels": wanted[places], "places": places}

    def _lesson_of(self, rows: Tensor, teacher: Teacher | None) -> Inputs:
        raise NotImplementedError("words are hidden in a whole batch: see lesson()")


def _tokenize(table: Table, source: Source, made: Making) -> Counts:
    """Make rows of lines."""
    tokenizer, recipe, counts = source.tokenizer, source.recipe, Counts()
    limit, unknown = source.limit(), tokenizer.unk_token_id
    special, around = _is_special(tokenizer), Framing(tokenizer, limit).special.around
    room = limit - 2
    short = f"fewer than {recipe.fewest_tokens} tokens"
    found = torch.zeros(len(special), dtype=torch.int64)
    never = frozenset(special.nonzero().flatten().tolist())
    for piece in table.pieces():
        rows = []
        texts = [text_of(where, "text", row["text"]) for where, row in piece]
        for ids in tokenizer.ids_of_texts(texts):
            if not ids:
                counts.skipped[EMPTY] += 1
            if len(ids) > room:
                counts.shortened[f"split into rows of at most {limit} tokens"] += 1
            for start in range(0, len(ids), room):
                row = around(ids[start : start + room])
                if len(row) < recipe.fewest_tokens:
                    counts.skipped[short] += 1
                elif row.count(unknown) >= recipe.most_unknown * len(row):
                    counts.skipped["too many unknown words"] += 1
                elif never.issuperset(row):
                    counts.skipped["no word that could be hidden"] += 1
                else:
                    rows.append(row)
        made.add(rows)
        ids_of_all = from_buffer(bytearray().join(rows), torch.int32)
        found += torch.bincount(ids_of_all, minlength=len(special))
    made.targets["counts"] = found.clamp(max=2**31 - 1).int()
    return counts


def _is_special(tokenizer: DistilBertTokenizer) -> Tensor:
    """Which ids are [CLS], [SEP], [UNK] …: of the whole vocabulary, (V,) booleans."""
    special = torch.zeros(max(tokenizer.get_vocab().values()) + 1, dtype=torch.bool)
    special[tokenizer.all_special_ids] = True
    return special


def _key(data: Data, source: Source, columns: Mapping[str, str]) -> str | None:
    """What decides the tokens of rows; None where nobody can say."""
    identity = identity_of(data)
    if identity is None:
        return None
    recipe, tokenizer = source.recipe, source.tokenizer
    decides = [
        identity,
        dict(columns),
        source.limit(),
        [recipe.fewest_tokens, recipe.most_unknown],
        tokenizer.get_vocab(),
        tokenizer.init_kwargs,
    ]
    text = json.dumps(decides, sort_keys=True, default=str)
    return blake2b(text.encode()).hexdigest()


def _kept(cache: Path | None, key: str | None) -> Features | None:
    """The features of a file, if they were made from the same."""
    if cache is None or key is None or not cache.exists():
        return None
    try:
        found = Features.load(cache)
    except FeaturesError:
        return None
    return found if found.about.get("key") == key else None
