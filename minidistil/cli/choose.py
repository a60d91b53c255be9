"""``minidistil choose``: scores of the possible continuations of a text."""

from __future__ import annotations

import json

import click

from minidistil.cli.common import (
    FETCHED,
    engine_options,
    json_option,
    model_options,
    printable,
    told,
    truncation_option,
)


@click.command(short_help="Choose how a text goes on.")
@click.argument("prompt")
@click.argument("choices", nargs=-1, required=True)
@click.option("-q", "--question", help="What is asked, read before each choice.")
@model_options(None, sources=FETCHED)
@truncation_option
@engine_options
@json_option
def choose(
    prompt: str,
    choices: tuple[str, ...],
    question: str | None,
    model: str,
    revision: str | None,
    truncation: str | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Score each of the CHOICES as what follows the PROMPT, the best first."""
    with told(model):
        from minidistil.pipelines import pipeline

        chooser = pipeline(
            "multiple-choice",
            model,
            revision=revision,
            device=device,
            truncation=truncation,
            precision=precision,
        )
        answers = chooser({"prompt": prompt, "question": question, "choices": choices})
        if as_json:
            click.echo(json.dumps({"prompt": prompt, "choices": answers}))
            return
        for answer in answers:
            choice = " ".join(answer["choice"].split())
            click.echo(printable(f"{answer['score']:.4f}  {choice}"))
