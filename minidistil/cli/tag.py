"""``minidistil tag``: names, places or other entities in each text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from minidistil.cli.given import TEXTS, Reads
from minidistil.cli.options import choice, flag, number, option, pipeline_command
from minidistil.cli.output import one_line
from minidistil.cli.tables import print_answers


@pipeline_command(
    "Find names, or other entities, in texts.",
    choice(
        "--aggregation aggregation_strategy",
        ("none", "simple", "first", "average", "max"),
        "How tokens become entities: 'none' shows each token, 'simple' joins them, the "
        "others join whole words.",
        default="simple",
    ),
    option(
        "--ignore ignore_labels",
        "Leave this label out; may be given several times.",
        multiple=True,
        default=["O"],
    ),
    number(
        "--stride",
        "Read long texts whole, in windows that share so many tokens.  [default: only "
        "the beginning, with a warning]",
        minimum=0,
    ),
    flag(
        "--words is_split_into_words",
        "Each TEXT, or line, is words, split already, with the delimiter between them.",
    ),
    option("--delimiter", "What stands between --words.  [default: a space]"),
    truncations=(),
)
def tag(is_split_into_words: bool, delimiter: str | None, **options: Any) -> None:
    """Find the entities in each TEXT, or in each line or row of a file.

    A line is printed for each: its label, its score, its characters, and itself. With
    --json a line is printed for each text.
    """
    if delimiter is not None and not (is_split_into_words and delimiter):
        raise click.UsageError("--delimiter goes with --words, and is not empty")
    between = delimiter or " "

    def split(text: str) -> list[str]:
        return text.split(between)

    def whole(given: Any) -> Any:
        """The text, of which an answer's characters are a part."""
        if is_split_into_words and isinstance(given, str):  # of a table
            from minidistil.tables.inputs import list_in

            given = list_in(given) or given
        return between.join(given) if isinstance(given, list) else given

    print_answers(
        "token-classification",
        "tagging",
        reads=Reads(read=split) if is_split_into_words else TEXTS,
        record=lambda given, found: {"text": whole(given), "entities": found},
        lines=lambda given, found: _lines(whole(given), found),
        is_split_into_words=is_split_into_words,
        delimiter=between,
        **options,
    )


def _lines(text: str, found: list[dict[str, Any]]) -> Iterator[str]:
    for entity in found:
        label = entity.get("entity_group") or entity["entity"]
        start, end = entity["start"], entity["end"]
        words = one_line(text[start:end])
        yield f"{label}  {entity['score']:.4f}  {start}-{end}  {words}"
