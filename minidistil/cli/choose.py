"""``minidistil choose``: scores of the possible continuations of a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import click

from minidistil.cli.given import Given, Reads, is_table
from minidistil.cli.options import option, pipeline_command, table_options
from minidistil.cli.output import one_line, print_json, print_line
from minidistil.cli.tables import print_answers

Problem = dict[str, Any]
Answers = list[dict[str, Any]]

TASK: Final = "multiple-choice"


@pipeline_command(
    "Choose how a text goes on.",
    inputs=(
        click.argument("prompt", required=False),
        click.argument("choices", nargs=-1),
        option("-q --question", "What is asked, read before each choice."),
        *table_options(
            option(
                "--choices-column",
                "The column with a list of choices in each row.  [default: choices]",
            ),
            option(
                "--question-column",
                "The column with what is asked.  [default: question, if there is one]",
            ),
            column="prompt",
            file="prompts, a JSON object a line, or a table",
        ),
    ),
)
def choose(
    prompt: str | None,
    choices: tuple[str, ...],
    question: str | None,
    **options: Any,
) -> None:
    """Score each of the CHOICES as what follows the PROMPT, the best first.

    A file has a JSON object in each line: with a "prompt", a list of "choices", and
    perhaps a "question". Each prompt is then shown above its choices.
    """
    wanted = "a PROMPT and CHOICES"
    if prompt is None and question is None:
        if options["target"] is not None and not is_table(options["source"]):
            raise click.UsageError("give a table (--file), for what is to be written")
        print_answers(
            TASK,
            "choosing",
            reads=Reads(
                wanted=wanted,
                read=_read,
                json_lines=True,
                columns={
                    "prompt": "column",
                    "choices": "choices_column",
                    "question": "question_column",
                },
                defaults={"column": "prompt", "choices_column": "choices"},
                optional={"question_column": "question"},
            ),
            record=_record,
            lines=_lines_below_prompt,
            **options,
        )
        return
    as_json = options["as_json"]
    given, options = Given.among(options)
    if given.source or given.target or given.asked:
        raise click.UsageError(
            "give PROMPT, CHOICES and --question or --file, not both: in a file each "
            "line has its own"
        )
    if not choices:
        raise click.UsageError(f"give {wanted}, or --file")
    from minidistil.pipelines import pipeline

    asked = {} if question is None else {"question": question}
    problem = {"prompt": prompt, **asked, "choices": choices}
    answers: Any = pipeline(TASK, **options)(problem)
    if as_json:
        print_json(_record(problem, answers))
    else:
        for line in _lines(answers):
            print_line(line)


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(
            f"is {line!r:.60}, expected JSON such as "
            f'{{"prompt": "The sky is", "choices": ["blue.", "green."]}}'
        ) from None


def _record(problem: Problem, answers: Answers | None) -> dict[str, Any]:
    return {**problem, "choices": answers}


def _lines_below_prompt(problem: Problem, answers: Answers) -> Iterator[str]:
    texts = (problem["prompt"], problem.get("question") or "")
    yield " / ".join(one_line(text) for text in texts if text)
    for line in _lines(answers):
        yield f"  {line}"


def _lines(answers: Answers) -> Iterator[str]:
    for answer in answers:
        yield f"{answer['score']:.4f}  {one_line(answer['choice'])}"
