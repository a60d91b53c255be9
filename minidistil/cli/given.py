"""What a command is given to read, and where its answers go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from minidistil.cli.texts import Texts, stream, texts_or_lines

if TYPE_CHECKING:
    from minidistil.tables.sources import Source

STDOUT = "-"
# The options of `table_options` that say how a table is read and written.
OPTIONS = (
    *("column", "second_column", "context_column", "choices_column", "question_column"),
    *("prefix", "strict", "on_error", "restart"),
)


@dataclass(frozen=True)
class Reads:
    """What a command reads.

    Attributes:
        wanted: What is asked for where there is nothing to read.
        read: Makes of a line what the pipeline reads; see `Texts.answered`.
        json_lines: Whether lines are JSON, so that a file of it is no table unless
            something is said of columns, or written.
        columns: What a row is shown as, where it is more than a text: the keys, and the
            option that says which column each of them is.
        defaults: The columns that are read unless others are named.
        optional: The columns that are read, too, if the table has them.
    """

    wanted: str = "a TEXT"
    read: Callable[[str], Any] = str
    json_lines: bool = False
    columns: Mapping[str, str] | None = None
    defaults: Mapping[str, str] = field(default_factory=lambda: {"column": "text"})
    optional: Mapping[str, str] = field(default_factory=dict)


TEXTS = Reads()


@dataclass(frozen=True)
class Given:
    """What a command is given to read, and where its answers go.

    Attributes:
        reads: What it reads.
        texts: TEXTS.
        source: --file, as often as it was given.
        target: --output.
        asked: Those of `OPTIONS` that were given.
        quotes: Whether cells of CSV and TSV may stand in quotes.
    """

    reads: Reads
    texts: Sequence[str]
    source: Sequence[str]
    target: str | None
    asked: Mapping[str, Any]
    quotes: bool = True

    @classmethod
    def among(
        cls, options: Mapping[str, Any], reads: Reads = TEXTS
    ) -> tuple[Given, dict[str, Any]]:
        """Split a command's options: what is given, and what the pipeline takes.

        Raises:
            click.UsageError: for options that do not go together.
        """
        rest = dict(options)
        texts, as_json = rest.pop("texts", ()), rest.pop("as_json", False)
        source, target = rest.pop("source"), rest.pop("target")
        no_quotes = rest.pop("no_quotes", False)
        own = {name: rest.pop(name) for name in OPTIONS if name in rest}
        asked = {name: own[name] for name in own if own[name] not in (None, False)}
        given = cls(reads, texts, source, target, asked, not no_quotes)
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
        if no_quotes and not given.is_table:
            raise click.UsageError("--no-quotes goes with a table (--file)")
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
        if self.reads.json_lines and self.target is None and not self.asked:
            from minidistil.tables.formats import format_of

            if [format_of(each) for each in self.source] == [("jsonl", "")]:
                return not Path(self.source[0]).is_file()
        return is_table(self.source)

    def lines(self) -> Texts:
        """TEXTS, or the lines of a file or of standard input."""
        return texts_or_lines(self.texts, self.source, self.reads.wanted)

    def table(
        self, task: str, target: str | None = None
    ) -> tuple[Source, dict[str, Any]]:
        """All that is given as a table; lines of text are one with one column.

        Args:
            task: The task of the pipeline that is to answer.
            target: The file or folder that is to be written.

        Returns:
            The table, and how it is read and written, as `annotate` takes it.

        Raises:
            click.UsageError: for what cannot be opened.
            ImportError: where pyarrow is needed and not installed.
            ValueError: for a column that is not there, or a target that cannot be
                written; before a model is looked for.
        """
        from minidistil.tables.annotating import check

        table = self._opened()
        how = {**self.reads.defaults, **self._also(table), **self.asked}
        reading = {name: how[name] for name in how if name != "restart"}
        check(task, table, target, **reading)
        return table, how

    def _opened(self) -> Source:
        from minidistil.tables.sources import lines_of, open_source, texts_of

        if self.texts:
            return texts_of(self.texts)
        if self.source in ((), (STDOUT,)):
            wanted = f"{self.reads.wanted}, --file, or lines on standard input"
            return lines_of(stream(self.source, wanted), "standard input")
        try:
            # A pipe alone is read too.
            alone = len(self.source) == 1
            return open_source(
                self.source[0] if alone else self.source, quotes=self.quotes
            )
        except (OSError, ValueError) as error:
            place = "'-f' / '--file'"
            raise click.BadParameter(str(error), param_hint=place) from error

    def _also(self, table: Source) -> dict[str, str]:
        """The optional columns that a table has; of JSON, the first rows count."""
        if not self.reads.optional:
            return {}
        pieces = islice(table.rows(), 1) if table.names is None else ()
        names = table.names or [name for piece in pieces for name in piece.names()]
        optional = self.reads.optional.items()
        return {option: name for option, name in optional if name in names}


def is_table(source: Sequence[str]) -> bool:
    """Whether --file is a table: lines of text are none, unless they are several."""
    if len(source) != 1 or source == (STDOUT,):
        return len(source) > 1
    from minidistil.tables import sources

    return sources.is_table(source[0])
