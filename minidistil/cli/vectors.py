"""What the commands share whose answers are vectors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import click

from minidistil.cli.given import OPTIONS, Given
from minidistil.cli.output import is_standard_output, print_line
from minidistil.cli.tables import all_answers, print_answers


def give_vectors(
    task: str,
    bar: str,
    *,
    name: str,
    vectors_of: Callable[[Any], Any],
    endings: tuple[str, ...],
    save: Callable[[Any, list[Any], Path], str],
    target: str | None = None,
    as_json: bool,
    **options: Any,
) -> None:
    """Write what a pipeline answers to a file of vectors, or to a table; or print it.

    Args:
        task: The pipeline's task.
        bar: See `print_answers`.
        name: What an answer is called in JSON.
        vectors_of: From an answer to the tensor that it is.
        endings: Those of files that hold vectors alone, one or some for each text.
        save: Writes such a file, of the pipeline and all tensors, and says what is in
            it.
        target: --output.
        as_json: --json.
        options: As of `print_answers`.
    """
    if as_json == (target is not None):
        raise click.UsageError("give --output or --json, one of them")
    options["target"] = target
    if target is None or not target.endswith(endings):

        def record(text: str, answer: Any) -> dict[str, Any]:
            found = None if answer is None else vectors_of(answer).tolist()
            return {"text": text, name: found}

        print_answers(task, bar, record=record, as_json=as_json, **options)
        return
    given, options = Given.among(options)
    given.refuse("prefix", "on_error", "restart", needs="a table (--output)")
    opened: Any
    how: dict[str, Any] = {}
    if given.is_table:
        opened, how = given.table(task)
    else:
        given.refuse(*OPTIONS, needs="a table (--file)")
        opened = given.lines()
    from minidistil.pipelines import pipeline

    ask = pipeline(cast(Any, task), **options)
    answers = all_answers(ask, opened, how, bar)
    path = Path(target)
    held = save(ask, [*map(vectors_of, answers)], path)
    if not is_standard_output(path):
        print_line(f"{path}: {held}")
