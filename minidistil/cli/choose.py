"""``minidistil choose``: scores of the possible continuations of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

import click

from minidistil.cli.common import (
    FETCHED,
    engine_options,
    json_option,
    length_options,
    model_options,
    printable,
    say,
    texts_or_lines,
    told,
)
from minidistil.progress import counting_sequences

Answers = Sequence[Mapping[str, Any]]


@click.command(short_help="Choose how a text goes on.")
@click.argument("prompt", required=False)
@click.argument("choices", nargs=-1)
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File("rb"),
    help="Read prompts from a file; - is standard input, the default.",
)
@click.option("-q", "--question", help="What is asked, read before each choice.")
@model_options(None, sources=FETCHED)
@length_options()
@engine_options
@json_option
def choose(
    prompt: str | None,
    choices: tuple[str, ...],
    source: BinaryIO | None,
    question: str | None,
    model: str,
    revision: str | None,
    truncation: str | None,
    max_length: int | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Score each of the CHOICES as what follows the PROMPT, the best first.

    A file has a JSON object in each line: with a "prompt", a list of "choices", and
    perhaps a "question". Each prompt is then shown above its choices.
    """
    if source and (prompt is not None or question is not None):
        raise click.UsageError(
            "give PROMPT, CHOICES and --question or --file, not both: in a file each "
            "line has its own"
        )
    one = "a PROMPT and CHOICES"
    if not choices and (prompt is not None or question is not None):
        raise click.UsageError(f"give {one}, or --file")
    given = None if choices else texts_or_lines((), source, one)
    asked = {} if question is None else {"question": question}
    problem = {"prompt": prompt, **asked, "choices": choices}
    with told(model):
        from minidistil.pipelines import pipeline

        chooser = pipeline(
            "multiple-choice",
            model,
            revision=revision,
            device=device,
            truncation=truncation,
            max_length=max_length,
            precision=precision,
        )
        if given is None:
            answers = chooser(problem)
            for line in [_as_json(problem, answers)] if as_json else _lines(answers):
                say(line)
            return
        with counting_sequences("choosing"):
            for problem, answers in given.answered(chooser, _problem, noun="prompt"):
                if as_json:
                    say(_as_json(problem, answers))
                    continue
                say(_heading(problem))
                for line in _lines(answers):
                    say(f"  {line}")


def _problem(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(
            f"is {line!r:.60}, expected JSON such as "
            f'{{"prompt": "The sky is", "choices": ["blue.", "green."]}}'
        ) from None


def _as_json(problem: dict[str, Any], answers: Answers) -> str:
    return json.dumps({**problem, "choices": answers})


def _heading(problem: dict[str, Any]) -> str:
    texts = [problem["prompt"], problem.get("question") or ""]
    return printable(" / ".join(" ".join(text.split()) for text in texts if text))


def _lines(answers: Answers) -> list[str]:
    return [
        printable(f"{answer['score']:.4f}  {' '.join(answer['choice'].split())}")
        for answer in answers
    ]
