"""`annotate`: all rows of a table through a pipeline, and on where it was stopped.

A part of the rows is answered at a time, and written before the next is read. Where a
part ends, and what is computed together, depends on the rows alone: a run that was
stopped gives the answers of one that was not, to the last bit.
"""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from minidistil.pipelines import Pipeline
from minidistil.pipelines.computing import described, kind_of
from minidistil.pipelines.long_texts import SpecialTokens
from minidistil.progress import counting_rows
from minidistil.tables.addresses import Address
from minidistil.tables.answering import SHOWN, Answered, Answering, Reading
from minidistil.tables.inputs import check_columns
from minidistil.tables.rows import Rows, TableError
from minidistil.tables.sources import Source, open_source
from minidistil.tables.unfinished import Unfinished, unfinished
from minidistil.tables.writing import Writer, write_lines, writer_for

# Where a part ends. So many texts keep a GPU busy, and so much text is a minute or two
# of two CPU cores with a model of base size: what is lost where a run is killed.
ROWS, CHARACTERS = 8_192, 2**20
# Of a task that gives a vector for each token: so much text is 50 MB of base size's.
OF_TOKENS = {"feature-extraction": 2**16}

# What a model computes for it tells it from another model (`_numbers_of`).
SENTENCE = "The quick brown fox jumps over the lazy dog, doesn't it?"
NUMBERS = 32


@dataclass(frozen=True)
class Summary:
    """What a run has done.

    Attributes:
        rows: The rows of the table.
        computed: Those of them that this run has answered; the others were done before.
        empty: How many of those had no text, and so got no answer.
        failed: How many could not be answered, with ``on_error="null"``.
        truncated: Of how many only the beginning was read, though nobody asked for it.
        problems: What was wrong with the first of them: file, row and reason.
    """

    rows: int
    computed: int = 0
    empty: int = 0
    failed: int = 0
    truncated: int = 0
    problems: tuple[str, ...] = ()

    def after(self, found: Answered) -> Summary:
        """The same with one part more."""
        return Summary(
            self.rows + len(found.answers),
            self.computed + len(found.answers),
            self.empty + found.empty,
            self.failed + found.failed,
            self.truncated + found.truncated,
            (*self.problems, *found.problems)[:SHOWN],
        )


def annotate(
    pipe: Pipeline[Any],
    source: Address | Sequence[Address] | Source,
    target: Address | BinaryIO,
    column: str = "text",
    *,
    restart: bool = False,
    report: Callable[[Summary], object] | None = None,
    **options: Any,
) -> Summary:
    """Answer every row of a table, and write the table with the answers behind.

    A run that was stopped, by whatever, goes on when it is called again in the same
    way: what it has done is in ``TARGET.unfinished``. The target itself is there when
    all of it is, and what was there before stays until then.

    Args:
        pipe: A pipeline.
        source: A file (``.txt``, ``.csv``, ``.tsv``, ``.jsonl``, also with ``.gz`` or
            ``.zst`` behind it, or ``.parquet``), a folder of such files, a glob, an
            address of fsspec, or a list of these; or what `open_source` gives.
        target: A file, whose ending says in which of these forms it is written; a
            folder, for parts in Parquet; or a binary stream, which gets a JSON object a
            line.
        column: The column with the texts: the questions, the prompts.
        restart: Begin anew where a run was stopped.
        report: Called with what is done, when some is: at the start, if a run goes on,
            and whenever a part has been written.
        options: Any of `Reading`, which says what the other columns are and what is
            done about rows that cannot be answered; and any option of the pipeline.

    Raises:
        TableError: for a table that cannot be read, a row that cannot be answered, or
            other options than those of the run that was stopped.
        ValueError: for a column that is not there, or one that is there already; for a
            name that ends otherwise; for an option out of range.
        TypeError: for an unknown option.
        OSError: if the system refuses.
        ImportError: where pyarrow is needed and not installed.
    """
    run = _Run(pipe, source, column, options)
    if isinstance(target, str | os.PathLike):
        return run.into_file(target, restart, report or (lambda _: None))
    return run.into_stream(target)


def answered(
    pipe: Pipeline[Any],
    source: Address | Sequence[Address] | Source,
    column: str = "text",
    **options: Any,
) -> Iterator[tuple[Sequence[Rows], Answered]]:
    """Answer a table part by part: the rows as they were read, and their answers.

    For arguments and errors see `annotate`. Those of the first rows are raised at once.
    """
    return _Run(pipe, source, column, options).parts()


class _Run:
    """A pipeline and a table, which fit each other."""

    def __init__(
        self,
        pipe: Pipeline[Any],
        source: Address | Sequence[Address] | Source,
        column: str,
        options: Mapping[str, Any],
    ) -> None:
        of_reading = {field.name for field in dataclasses.fields(Reading)}
        own = {name: options[name] for name in options if name in of_reading}
        rest = {name: options[name] for name in options if name not in of_reading}
        self.pipe = pipe
        self.reading = Reading(column, **own)
        self.answering = Answering(pipe, self.reading, rest)
        self.options = pipe.settings(rest)
        self.table = open_source(source)
        self._check_names()

    def _check_names(self) -> None:
        """Check the columns, where they are known before rows are read."""
        if self.table.names is not None:
            self.answering.check_names(self.table.names)

    def parts(self, done: int = 0) -> Iterator[tuple[Sequence[Rows], Answered]]:
        """Answer the rows behind those that are done, part by part."""
        check = self.table.names is None and not done
        truncated = 0
        with counting_rows(self.pipe.task, self.table.total, done) as count:
            most = OF_TOKENS.get(self.pipe.task, CHARACTERS)
            for part in parts(self.table.rows(done), self.answering, most):
                if check:
                    # Of JSON, each row has columns of its own; a few may lack some.
                    names = dict.fromkeys(
                        name for each in part for name in each.names()
                    )
                    self.answering.check_names([*names])
                    check = False
                found = self.answering.answer(part)
                if found.truncated and not truncated:
                    self.pipe.warn_of_truncation("a row")
                truncated += found.truncated
                yield part, found
                count(len(found.answers))
        if truncated > 1:
            warnings.warn(
                f"{truncated} of the rows that were read were too long, as warned of "
                f"at the first",
                stacklevel=1,
            )

    def into_stream(self, stream: BinaryIO) -> Summary:
        """Write answered rows as they come."""
        summary = Summary(0)
        for pieces, found in self.parts():
            write_lines(stream, pieces, found.new)
            summary = summary.after(found)
        return summary

    def into_file(
        self, target: Address, restart: bool, report: Callable[[Summary], object]
    ) -> Summary:
        """Write answered rows in parts, and then the whole."""
        _check_apart(self.table, target)
        writer = writer_for(target, self.table, self.answering.columns)
        self._check_names()  # which the writer may have had to find
        settings = self._settings(writer)
        with unfinished(Path(target), settings, restart=restart) as work:
            if work.finished:
                return Summary(sum(map(len, self.table.rows())))
            if work.done and not self.table.resumable:
                raise TableError(
                    "what is read can be read once only, so that the run that was "
                    f"stopped cannot go on ({work.done:,} rows of it are in "
                    f"{work.folder}): begin anew (restart=True, --restart)"
                )
            summary = Summary(work.done)
            if work.done:
                report(summary)
            for pieces, found in self.parts(work.done):
                summary = summary.after(found)
                write = partial(writer.part, pieces=pieces, new=found.new)
                work.keep(summary.rows, writer.suffix, write)
                report(summary)
            work.finish(None if writer.is_folder else writer.whole)
        return summary

    def _settings(self, writer: Writer) -> dict[str, Any]:
        """What a run must share with the one that it goes on from, as JSON."""
        reading = dataclasses.asdict(self.reading)
        options = dataclasses.asdict(self.options)
        settings = {
            "task": self.pipe.task,
            "written as": writer.suffix,
            **reading,
            "options": options,
            "model": self._model(),
            "input": self.table.identity(),
        }
        # What JSON does not have, such as a type of torch, is known by its name.
        found: dict[str, Any] = json.loads(json.dumps(settings, default=str))
        return found

    def _model(self) -> dict[str, Any]:
        """What tells a model, with its tokenizer, from another one.

        That is what it computes for a sentence: its weights may be anywhere, packed or
        inside of wrappers, and its name says nothing of whether it was trained again.
        """
        model, tokenizer = described(self.pipe.model), self.pipe.tokenizer
        ids = SpecialTokens.of(tokenizer).around(*tokenizer.ids_of_texts([SENTENCE]))
        ids = ids[: self.pipe.max_length]
        numbers = self.pipe.start([ids], 1)().flatten()
        some = numbers[:: max(1, len(numbers) // NUMBERS)]
        return {
            "class": kind_of(model).__name__,
            "labels": [*self.pipe.config.id2label.values()],
            "precision": str(getattr(model, "precision", model.dtype)),
            "tokens": ids.tolist(),
            "answers": some.tolist(),
        }


def check(
    task: str,
    source: Source,
    target: Address | None,
    column: str = "text",
    **reading: Any,
) -> None:
    """Check what can be checked before there is a pipeline: to load one takes a while.

    Args:
        task: The pipeline's task.
        source: What is to be read.
        target: The file or folder that is to be written, if one is.
        column: As of `annotate`.
        reading: Any of `Reading`.

    Raises:
        As `annotate`, for a column that is not there, and for a target that cannot be
        written.
    """
    read = Reading(column, **reading).columns(task)
    if source.names is not None:
        check_columns(read, source.names)
    if target is None:
        return
    _check_apart(source, target)
    Unfinished(Path(target)).check_place(replace=True)
    writer_for(target, source, [])
    if source.names is not None:  # the writer may have had to find them
        check_columns(read, source.names)


def _check_apart(source: Source, target: Address) -> None:
    """Raise ValueError for a target that is read, too."""
    place = os.path.realpath(target)
    for file in source.files:
        if file.system is None and os.path.realpath(file.path) == place:
            raise ValueError(
                f"{target} is read and cannot be written at the same time: name "
                f"another file"
            )


def parts(
    pieces: Iterable[Rows], answering: Answering, most: int
) -> Iterator[list[Rows]]:
    """Group rows; where a group ends depends on the rows alone, not on the pieces.

    A group has `ROWS` rows at most, and ends with the row that makes it ``most``
    characters long.
    """
    part: list[Rows] = []
    rows = characters = 0
    for piece in pieces:
        start = 0
        for place, size in enumerate(answering.size(piece), 1):
            rows += 1
            characters += size
            if rows == ROWS or characters >= most:
                yield [*part, piece.slice(start, place)]
                part, start, rows, characters = [], place, 0, 0
        if start < len(piece):
            part.append(piece.slice(start, len(piece)))
    if part:
        yield part
