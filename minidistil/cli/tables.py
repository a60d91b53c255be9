"""What a pipeline answers to texts and to tables: printed, or written to a table."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from minidistil.cli.given import STDOUT, TEXTS, Given, Reads
from minidistil.cli.output import (
    StandardOutput,
    one_line,
    print_json,
    print_line,
    print_warning,
)
from minidistil.cli.texts import Texts
from minidistil.progress import counting_sequences

if TYPE_CHECKING:
    from minidistil.pipelines import Pipeline
    from minidistil.tables.annotating import Summary
    from minidistil.tables.rows import Rows
    from minidistil.tables.sources import Source


def print_answers(
    task: str,
    bar: str,
    *,
    record: Callable[[Any, Any], dict[str, Any]],
    lines: Callable[[Any, Any], Iterable[str]] = lambda *_: (),
    reads: Reads = TEXTS,
    as_json: bool,
    **options: Any,
) -> None:
    """Print what a pipeline answers to each text, or write it to a table.

    Of a text the answer is printed as soon as it is there.

    Args:
        task: The pipeline's task.
        bar: What the bar is called that counts what was read.
        record: From a text and its answer to the JSON object that is printed; of a row
            of a table that has no answer, this is None.
        lines: From both to the lines that are printed without --json.
        reads: What the command reads.
        as_json: --json.
        options: What the command was given; the pipeline takes those that are not of
            tables.
    """
    given, options = Given.among({**options, "as_json": as_json}, reads)
    if given.target is not None:
        _write_table(task, given, given.target, options)
        return
    answer = _answered_rows if given.is_table else _answered_lines
    with closing(answer(task, bar, given, options)) as answers:
        for text, found in answers:
            if as_json:
                print_json(record(text, found))
            elif found is None:
                print_line(f"null  {_shown(text)}".rstrip())
            else:
                for line in lines(text, found):
                    print_line(line)


def _answered_lines(
    task: str, bar: str, given: Given, options: Mapping[str, Any]
) -> Generator[tuple[Any, Any], None, None]:
    texts = given.lines()
    from minidistil.pipelines import pipeline

    ask = pipeline(cast(Any, task), **options)
    with counting_sequences(bar):
        yield from texts.answered(ask, given.reads.read)


def _answered_rows(
    task: str, _: str, given: Given, options: Mapping[str, Any]
) -> Generator[tuple[Any, Any], None, None]:
    """What each row of a table is shown as, and its answer; None if it has none."""
    table, how = given.table(task)
    from minidistil.pipelines import pipeline
    from minidistil.tables.annotating import Summary, answered

    ask = pipeline(cast(Any, task), **options)
    summary = Summary(0)
    for pieces, found in answered(ask, table, **how):
        texts = (_texts_of(piece, how, given.reads.columns) for piece in pieces)
        yield from zip(chain.from_iterable(texts), found.answers, strict=True)
        summary = summary.after(found)
    _tell_problems(summary)
    if counts := _counts(summary):
        print_warning(f"{summary.rows} rows{counts}")


def _texts_of(
    rows: Rows, how: Mapping[str, Any], columns: Mapping[str, str] | None
) -> Iterable[Any]:
    if columns is None:
        return rows.values(how["column"])
    read = {
        key: rows.values(how[option])
        for key, option in columns.items()
        if option in how
    }
    return (
        dict(zip(read, row, strict=True)) for row in zip(*read.values(), strict=True)
    )


def _shown(text: Any) -> str:
    """What is read of a row, on one line."""
    values = text.values() if isinstance(text, Mapping) else [text]
    return " / ".join(one_line(str(each)) for each in values if each is not None)


def _write_table(
    task: str, given: Given, target: str, options: Mapping[str, Any]
) -> None:
    """Write what is given as a table, with a pipeline's answers behind."""
    output = StandardOutput() if target == STDOUT else None
    table, how = given.table(task, None if output else target)
    from minidistil.pipelines import pipeline
    from minidistil.tables.annotating import annotate

    ask = pipeline(cast(Any, task), **options)
    if output is not None:
        _tell_problems(annotate(ask, table, cast(BinaryIO, output), **how))
        return
    with _telling_how_to_go_on(target) as report:
        summary = annotate(ask, table, target, report=report, **how)
    _tell_problems(summary)
    print_line(f"{target}: {summary.rows} rows{_counts(summary)}")


@contextmanager
def _telling_how_to_go_on(target: str) -> Iterator[Callable[[Summary], None]]:
    """If a run is stopped, say what is done, where it is, and what goes on with it.

    The block calls what it is given whenever something is done.
    """
    done: deque[Summary] = deque(maxlen=1)
    try:
        yield done.append
    except BaseException:
        if done:
            where = f"{Path(target)}.unfinished"
            print_warning(
                f"{done[0].rows} rows are done, in {where}; the same command goes on"
            )
        raise


def all_answers(
    ask: Pipeline[Any], opened: Texts | Source, how: Mapping[str, Any], bar: str
) -> list[Any]:
    """A pipeline's answers to all that is given, for a file with one for each text.

    Raises:
        TableError: for a row of a table without a text.
    """
    if isinstance(opened, Texts):
        with counting_sequences(bar):
            return opened.answers(ask)
    from minidistil.tables.annotating import answered

    parts = answered(ask, opened, **{**how, "strict": True})
    return [answer for _, found in parts for answer in found.answers]


def _counts(summary: Summary) -> str:
    """What a user should know of rows that are not as the others are."""
    counts = {
        "done before": summary.rows - summary.computed,
        "without a text": summary.empty,
        "failed": summary.failed,
    }
    return "".join(f", {count} {what}" for what, count in counts.items() if count)


def _tell_problems(summary: Summary) -> None:
    for each in summary.problems:
        print_warning(f"Warning: {each}")
