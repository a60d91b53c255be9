"""``minidistil classify``: a label and a score for each text."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import click

from minidistil.cli.common import (
    engine_options,
    json_option,
    length_options,
    model_options,
    printable,
    say,
    text_arguments,
    texts_or_lines,
    told,
)
from minidistil.progress import counting_sequences


class _Count(click.IntRange):
    """A number of labels; None for all."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        if value == "all":
            return None
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(f"{error.message.rstrip('.')}, nor is it 'all'.", param, ctx)


@click.command(short_help="Label texts, with scores.")
@text_arguments
@model_options("the Hugging Face course's SST-2 checkpoint, 268 MB")
@click.option(
    "-k",
    "--top-k",
    type=_Count(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="How many labels, the best first, or 'all'.",
)
@click.option(
    "--function",
    type=click.Choice(["softmax", "sigmoid", "none"]),
    help="What makes scores of logits.  [default: what the model's problem asks for]",
)
@click.option(
    "--pairs",
    is_flag=True,
    help="Each TEXT, or line, is a pair: two texts, with a tab between them.",
)
@length_options()
@engine_options
@json_option
def classify(
    texts: tuple[str, ...],
    source: BinaryIO | None,
    model: str | None,
    revision: str | None,
    top_k: int | None,
    function: str | None,
    pairs: bool,
    truncation: str | None,
    max_length: int | None,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Label each TEXT, or each line of a file or of standard input, with a score.

    Put -- before texts that begin with a dash.
    """
    given = texts_or_lines(texts, source)
    with told(model):
        from minidistil.pipelines import pipeline

        classifier = pipeline(
            "text-classification",
            model,
            revision=revision,
            device=device,
            top_k=top_k,
            function_to_apply=function,
            truncation=truncation,
            max_length=max_length,
            precision=precision,
        )
        read = _pair if pairs else _alone
        with counting_sequences("classifying"):
            for one, answers in given.answered(classifier, read):
                if as_json:
                    say(_as_json(one, answers, several=top_k != 1))
                else:
                    say(_as_line(one, answers))


def _alone(text: str) -> dict[str, str]:
    return {"text": text}


def _pair(text: str) -> dict[str, str]:
    first, _, second = text.partition("\t")
    # With nothing behind the tab the first text would be read alone.
    if not second or "\t" in second:
        raise ValueError(
            f"is {text!r:.60}, expected two texts with one tab between them, for "
            f"--pairs"
        )
    return {"text": first, "text_pair": second}


def _as_json(
    given: dict[str, str], answers: list[dict[str, Any]], *, several: bool
) -> str:
    best = answers[0]
    record = {**given, "label": best["label"], "score": best["score"]}
    if several:
        record["labels"] = answers
    # ASCII: one line for every reader, and no codes that would steer the terminal.
    return json.dumps(record)


def _as_line(given: dict[str, str], answers: list[dict[str, Any]]) -> str:
    scores = "  ".join(f"{each['label']}  {each['score']:.4f}" for each in answers)
    # A line for each text.
    texts = " / ".join(" ".join(text.split()) for text in given.values())
    return printable(f"{scores}  {texts}")
