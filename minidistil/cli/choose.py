"""``minidistil choose``: scores of the possible continuations of a text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

import click

from minidistil.cli.options import file_option, option, pipeline_command
from minidistil.cli.output import one_line, print_json, print_line
from minidistil.cli.texts import print_answers

Problem = dict[str, Any]
Answers = list[dict[str, Any]]

TASK: Final = "multiple-choice"


@pipeline_command(
    "Choose how a text goes on.",
    inputs=(
        click.argument("prompt", required=False),
        click.argument("choices", nargs=-1),
        file_option("Read prompts from a file; - is standard input, the default."),
        option("-q --question", "What is asked, read before each choice."),
    ),
)
def choose(
    prompt: str | None,
    choices: tuple[str, ...],
    source: BinaryIO | None,
    question: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score each of the CHOICES as what follows the PROMPT, the best first.

    A file has a JSON object in each line: with a "prompt", a list of "choices", and
    perhaps a "question". Each prompt is then shown above its choices.
    """
    wanted = "a PROMPT and CHOICES"
    if prompt is None and question is None:
        print_answers(
            TASK,
            "choosing",
            source=source,
            as_json=as_json,
            read=_read,
            record=_record,
            lines=_lines_below_prompt,
            wanted=wanted,
            **options,
        )
        return
    if source:
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


def _record(problem: Problem, answers: Answers) -> dict[str, Any]:
    return {**problem, "choices": answers}


def _lines_below_prompt(problem: Problem, answers: Answers) -> Iterator[str]:
    texts = (problem["prompt"], problem.get("question") or "")
    yield " / ".join(one_line(text) for text in texts if text)
    for line in _lines(answers):
        yield f"  {line}"


def _lines(answers: Answers) -> Iterator[str]:
    for answer in answers:
        yield f"{answer['score']:.4f}  {one_line(answer['choice'])}"
