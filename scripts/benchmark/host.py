"""Part "host": what is left to the host's processor when the model costs nothing.

That is the tokenizer, from strings to ids, beside `encode_batch` of tokenizers and its
ids; and all of our pipeline, around an engine that answers at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from timing import take_turns, time_once
from workloads import Workload

if TYPE_CHECKING:
    from minidistil import DistilBertTokenizer

# So many texts are read one by one.
SINGLES = 500

OURS, THEIRS = "minidistil", "tokenizers"
EMPTY = f"{OURS}, from empty"
PIPELINE = f"{OURS} pipeline, but for its model"

Read = Callable[[list[str]], list[Any]]  # from texts to the ids of each


def measure(folder: Path, corpora: list[Workload], rounds: int) -> dict[str, Any]:
    """Check and time both; the seconds of each for a corpus, and for one text of it."""
    from minidistil import DistilBertTokenizer

    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    readers = {THEIRS: encode_batch(tokenizer), OURS: tokenizer.ids_of_texts}
    pipeline = without_model(folder, tokenizer)
    results = {}
    for work in corpora:
        click.echo(f"timing the host's path on {work.name}", err=True)
        tokens = check(work, readers)  # and fill our table
        turns = {
            name: partial(time_once, partial(read, work.texts))
            for name, read in readers.items()
        }
        turns[EMPTY] = partial(time_from_empty, folder, work)
        turns[PIPELINE] = partial(time_once, partial(pipeline, work.texts))
        singles = {
            name: partial(time_singles, read, work) for name, read in readers.items()
        }
        results[work.name] = {
            "tokens": tokens,
            "seconds": take_turns(turns, rounds),
            "one text": take_turns(singles, rounds),
        }
    return results


def encode_batch(tokenizer: DistilBertTokenizer) -> Read:
    """Read with tokenizers, in as many threads as it takes."""
    encode = tokenizer.backend_tokenizer.encode_batch

    def read(texts: list[str]) -> list[Any]:
        return [each.ids for each in encode(texts, add_special_tokens=False)]

    return read


def without_model(folder: Path, tokenizer: DistilBertTokenizer) -> Read:
    """Our pipeline with an engine that checks and sorts ids, and answers zeros.

    Of the engine's own share, batches and launches are missing.
    """
    import torch

    from minidistil import Engine, pipeline
    from minidistil.engine.reading import check_flat
    from minidistil.engine.sequences import Wanted, arranged

    class Instant(Engine):
        def start(self, sequences: Any, wanted: Any = None) -> Callable[[], Any]:
            check_flat(sequences, self.config)
            order = arranged(sequences, wanted or Wanted.first(sequences))
            return lambda: torch.zeros(len(order.origins), self.config.num_labels)

    return pipeline(
        "text-classification",
        model=Instant.from_pretrained(folder),
        tokenizer=tokenizer,
        truncation="head",
    )


def check(work: Workload, readers: dict[str, Read]) -> int:
    """Count the tokens of all texts, without [CLS] and [SEP].

    Raises:
        click.ClickException: if the ids are not the same.
    """
    right = readers[THEIRS](work.texts)
    for name, read in readers.items():
        if [*map(list, read(work.texts))] != right:
            raise click.ClickException(
                f"on {work.name} {name} has other ids than tokenizers has"
            )
    return sum(map(len, right))


def time_from_empty(folder: Path, work: Workload) -> float:
    """Time a tokenizer that has read nothing but one word before, in seconds."""
    from minidistil import DistilBertTokenizer

    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    tokenizer.ids_of_texts(["."])
    return time_once(partial(tokenizer.ids_of_texts, work.texts))


def time_singles(read: Read, work: Workload) -> float:
    """Time texts one by one; seconds for one of them, the mean."""
    texts = [[text] for text in work.texts[:SINGLES]]
    return time_once(lambda: [*map(read, texts)]) / len(texts)
