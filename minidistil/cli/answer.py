"""``minidistil answer``: the part of a text that answers a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from minidistil.cli.given import Given, Reads, is_table
from minidistil.cli.options import (
    flag,
    number,
    option,
    pipeline_command,
    table_options,
)
from minidistil.cli.output import one_line, print_json, print_line
from minidistil.cli.tables import print_answers
from minidistil.cli.texts import numbered_from_one, stream
from minidistil.progress import counting_sequences

TASK: Final = "question-answering"
READS = Reads(
    columns={"question": "column"},
    defaults={"column": "question", "context_column": "context"},
)


@pipeline_command(
    "Find answers to questions in a text.",
    number(
        "-k --top-k", "How many answers, the likeliest first.", minimum=1, default=1
    ),
    number(
        "--max-answer-len",
        "The most tokens that an answer may have.",
        minimum=1,
        default=15,
    ),
    number(
        "--max-seq-len",
        "The tokens of a window, question included.  [default: 384]",
        minimum=4,
    ),
    number(
        "--max-question-len",
        "The most tokens of a question that are read.  [default: all]",
        minimum=1,
    ),
    number(
        "--doc-stride",
        "The tokens that two windows share.  [default: 128, or half of a small window]",
        minimum=0,
    ),
    flag(
        "--impossible handle_impossible_answer",
        "Allow an empty answer: that the text has none.",
    ),
    option(
        "--align/--no-align align_to_words",
        "Whether an answer begins and ends with a whole word.",
        default=True,
    ),
    inputs=(
        click.argument("questions", nargs=-1),
        option("-c --context", "The text in which the answers are."),
        *table_options(
            option(
                "--context-column",
                "The column with the texts in which the answers are.  "
                "[default: context]",
            ),
            column="question",
            file="that text, all of a file; or, without QUESTIONS, a table of them",
        ),
    ),
    default="DistilBERT distilled on SQuAD, cased, 261 MB",
    truncations=(),
)
def answer(questions: tuple[str, ...], context: str | None, **options: Any) -> None:
    """Answer each QUESTION from --context, from a file, or from standard input.

    A line is printed for each answer: its score, its characters, and the answer.
    Without QUESTIONS a table is read that has them, and a context for each.
    """
    if context is not None and options["source"]:
        raise click.UsageError("give --context or --file, not both")
    if not questions:
        if context is not None or not is_table(options["source"]):
            raise click.UsageError("give QUESTIONS, or a table of them (--file)")
        print_answers(
            TASK,
            "reading",
            record=_record,
            lines=lambda _, answers: _lines(answers),
            reads=READS,
            **options,
        )
        return
    as_json = options["as_json"]
    given, options = Given.among(options)
    if given.target or given.asked:
        raise click.UsageError("a table is read, and written, without QUESTIONS")
    if context is None:
        context = _read(given.source)
    from minidistil.pipelines import pipeline

    ask = pipeline(TASK, **options)
    with counting_sequences("reading"):
        with numbered_from_one("QUESTION"):
            found = ask(question=questions, context=context)
        for question, some in zip(questions, found, strict=True):
            if as_json:
                print_json(_record({"question": question}, some))
            else:
                for line in _lines(some):
                    print_line(line)


def _record(asked: dict[str, Any], some: Any) -> dict[str, Any]:
    return {**asked, "answers": None if some is None else _listed(some)}


def _lines(some: Any) -> Iterator[str]:
    for each in _listed(some):
        place = f"{each['start']}-{each['end']}"
        yield f"{each['score']:.4f}  {place}  {one_line(each['answer'])}"


def _listed(some: Any) -> list[dict[str, Any]]:
    """The answers to a question; a single one the pipeline gives alone."""
    return some if isinstance(some, list) else [some]


def _read(source: Sequence[str]) -> str:
    try:
        file = stream(source, "--context, --file, or a text to read from")
        return file.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the text is not UTF-8 ({error.reason}, byte {error.start + 1}); convert "
            f"it to UTF-8"
        ) from None
