"""What a command is given to read, where its answers go, and how they get there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from itertools import chain
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import click

from minidistil.cli.output import (
    naming_standard_output,
    one_line,
    print_json,
    print_line,
    print_warning,
)
from minidistil.cli.texts import Texts, stream, texts_or_lines
from minidistil.progress import clear_bar, counting_sequences

if TYPE_CHECKING:
    from minidistil.pipelines import Pipeline
    from minidistil.tables.annotating import Summary
    from minidistil.tables.rows import Rows
    from minidistil.tables.sources import Source

STDOUT = "-"
# The options of `table_options` that say how a table is read and written.
OPTIONS = (
    *("column", "second_column", "context_column", "choices_column", "question_column"),
    *("prefix", "strict", "on_error", "restart"),
)


@dataclass(frozen=True)
class Given:
    """What a command is given to read, and where its answers go.

    Attributes:
        texts: TEXTS.
        source: --file, as often as it was given.
        target: --output.
        asked: Those of `OPTIONS` that were given.
        wanted: What is asked for where there is nothing to read.
        defaults: Those of `OPTIONS` that hold unless others are given.
    """

    texts: Sequence[str]
    source: Sequence[str]
    target: str | None
    asked: Mapping[str, Any]
    wanted: str
    defaults: Mapping[str, Any]

    @classmethod
    def among(
        cls, options: Mapping[str, Any], wanted: str = "a TEXT", **defaults: Any
    ) -> tuple[Given, dict[str, Any]]:
        """Split a command's options: what is given, and what the pipeline takes.

        Raises:
            click.UsageError: for options that do not go together.
        """
        rest = dict(options)
        texts, as_json = rest.pop("texts", ()), rest.pop("as_json", False)
        source, target = rest.pop("source"), rest.pop("target")
        own = {name: rest.pop(name) for name in OPTIONS if name in rest}
        asked = {name: own[name] for name in own if own[name] not in (None, False)}
        given = cls(texts, source, target, asked, wanted, defaults)
        if texts and source:
            raise click.UsageError("give texts or --file, not both")
        if target is not None and as_json:
            raise click.UsageError(
                "give --output or --json, not both: '--output -' prints JSON lines"
            )
        if target in (None, STDOUT):
            given.refuse("restart", needs="a file (--output)")
        if target is None:
            given.refuse("prefix", needs="--output")
        if texts or (target is None and not given.is_table):
            columns = (name for name in OPTIONS if name.endswith("column"))
            given.refuse(*columns, needs="a table (--file)")
        if target is None and not given.is_table:
            given.refuse("strict", "on_error", needs="a table (--file), or --output")
        return given, rest

    def refuse(self, *names: str, needs: str) -> None:
        """Raise click.UsageError if one of some options was given."""
        for name in self.asked:
            if name in names:
                option = name.replace("_", "-")
                raise click.UsageError(f"--{option} goes with {needs}")

    @property
    def is_table(self) -> bool:
        """Whether --file is one."""
        return is_table(self.source)

    @property
    def reading(self) -> dict[str, Any]:
        """How a table is read and written, as `annotate` takes it."""
        return {**self.defaults, **self.asked}

    def lines(self) -> Texts:
        """TEXTS, or the lines of a file or of standard input."""
        return texts_or_lines(self.texts, self.source, self.wanted)

    def table(self) -> Source:
        """All that is given as a table; lines of text are one with one column.

        Raises:
            click.UsageError: for what cannot be opened.
            ImportError: where pyarrow is needed and not installed.
        """
        from minidistil.tables.sources import lines_of, open_source, texts_of

        if self.texts:
            return texts_of(self.texts)
        if self.source in ((), ("-",)):
            wanted = f"{self.wanted}, --file, or lines on standard input"
            return lines_of(stream(self.source, wanted), "standard input")
        try:
            # A pipe alone is read too.
            alone = len(self.source) == 1
            return open_source(self.source[0] if alone else self.source)
        except (OSError, ValueError) as error:
            place = "'-f' / '--file'"
            raise click.BadParameter(str(error), param_hint=place) from error


def is_table(source: Sequence[str]) -> bool:
    """Whether --file is a table: lines of text are none, unless they are several."""
    if len(source) != 1 or source == ("-",):
        return len(source) > 1
    from minidistil.tables import sources

    return sources.is_table(source[0])


def print_answers(
    task: str,
    bar: str,
    *,
    record: Callable[[Any, Any], dict[str, Any]],
    lines: Callable[[Any, Any], Iterable[str]] = lambda *_: (),
    read: Callable[[str], Any] = str,
    columns: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    wanted: str = "a TEXT",
    only_tables: bool = False,
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
        read: See `Texts.answered`.
        columns: What a row is shown as, where it is more than a text: the keys, and the
            option that says which column each of them is.
        defaults: See `Given`.
        wanted: See there.
        only_tables: Whether lines of text are nothing that can be read.
        as_json: --json.
        options: What the command was given; the pipeline takes those that are not of
            tables.
    """
    options["as_json"] = as_json
    given, options = Given.among(options, wanted, **(defaults or {"column": "text"}))
    if only_tables and not given.is_table:
        raise click.UsageError(f"give {wanted}")
    if given.target is not None:
        write_table(task, given, options)
        return
    if given.is_table:
        answers = _answered_rows(task, given, options, columns)
    else:
        answers = _answered_lines(task, bar, given, options, read)
    with closing(answers):
        for text, answer in answers:
            if as_json:
                print_json(record(text, answer))
            elif answer is None:
                print_line(f"null  {_shown(text)}".rstrip())
            else:
                for line in lines(text, answer):
                    print_line(line)


def _answered_lines(
    task: str,
    bar: str,
    given: Given,
    options: Mapping[str, Any],
    read: Callable[[str], Any],
) -> Generator[tuple[Any, Any], None, None]:
    texts = given.lines()
    from minidistil.pipelines import pipeline

    ask = pipeline(cast(Any, task), **options)
    with counting_sequences(bar):
        yield from texts.answered(ask, read)


def _answered_rows(
    task: str,
    given: Given,
    options: Mapping[str, Any],
    columns: Mapping[str, str] | None,
) -> Generator[tuple[Any, Any], None, None]:
    """What each row of a table is shown as, and its answer; None if it has none."""
    table = given.table()
    from minidistil.pipelines import pipeline
    from minidistil.tables.annotating import Summary, answered

    ask = pipeline(cast(Any, task), **options)
    summary = Summary(0)
    for pieces, found in answered(ask, table, **given.reading):
        shown = (_texts_of(piece, given.reading, columns) for piece in pieces)
        yield from zip(chain.from_iterable(shown), found.answers, strict=True)
        summary = summary.after(found)
    _tell_problems(summary)
    if counts := _counts(summary):
        print_warning(f"{summary.rows} rows{counts}")


def _texts_of(
    rows: Rows, reading: Mapping[str, Any], columns: Mapping[str, str] | None
) -> Iterable[Any]:
    if columns is None:
        return rows.values(reading["column"])
    read = {
        key: rows.values(reading[option])
        for key, option in columns.items()
        if option in reading
    }
    return (
        dict(zip(read, row, strict=True)) for row in zip(*read.values(), strict=True)
    )


def _shown(text: Any) -> str:
    """What is read of a row, on one line."""
    values = text.values() if isinstance(text, Mapping) else [text]
    return " / ".join(one_line(str(each)) for each in values if each is not None)


def write_table(task: str, given: Given, options: Mapping[str, Any]) -> None:
    """Write what is given as a table, with a pipeline's answers behind."""
    table = given.table()
    from minidistil.pipelines import pipeline
    from minidistil.tables.annotating import annotate

    ask = pipeline(cast(Any, task), **options)
    target = cast(str, given.target)
    if target == STDOUT:
        stream = cast(BinaryIO, StandardOutput())
        _tell_problems(annotate(ask, table, stream, **given.reading))
        return
    with _telling_how_to_go_on(target):
        summary = annotate(ask, table, target, **given.reading)
    _tell_problems(summary)
    print_line(f"{target}: {summary.rows} rows{_counts(summary)}")


def all_answers(
    ask: Pipeline[Any], opened: Texts | Source, given: Given, bar: str
) -> list[Any]:
    """A pipeline's answers to all that is given, for a file with one for each text.

    Raises:
        TableError: for a row of a table without a text.
    """
    if isinstance(opened, Texts):
        with counting_sequences(bar):
            return opened.answers(ask)
    from minidistil.tables.annotating import answered

    strict = {**given.reading, "strict": True}
    parts = answered(ask, opened, **strict)
    return [answer for _, found in parts for answer in found.answers]


class StandardOutput(BufferedIOBase):
    """Standard output, for bytes; what is written stands where the bar stood."""

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, content: Any, /) -> int:
        """Write all of it at once, for a reader that waits."""
        clear_bar()
        with naming_standard_output():
            file = click.get_binary_stream("stdout")
            file.write(content)
            file.flush()
        return len(content)


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


@contextmanager
def _telling_how_to_go_on(target: str) -> Iterator[None]:
    """If a run is stopped, say what is done, where it is, and what goes on with it."""
    yield
