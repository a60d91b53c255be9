"""``minidistil answer``: the part of a text that answers a question."""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

import click

from minidistil.cli.common import (
    FETCHED,
    counted_from_one,
    engine_options,
    json_option,
    model_options,
    printable,
    say,
    told,
)
from minidistil.progress import counting_sequences


@click.command(short_help="Find answers to questions in a text.")
@click.argument("questions", nargs=-1, required=True)
@click.option("-c", "--context", help="The text in which the answers are.")
@click.option(
    "-f",
    "--file",
    "source",
    type=click.File("rb"),
    help="Read that text from a file, all of it; - is standard input.",
)
@model_options("DistilBERT distilled on SQuAD, cased, 261 MB", sources=FETCHED)
@click.option(
    "-k",
    "--top-k",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="How many answers, the likeliest first.",
)
@click.option(
    "--max-answer-len",
    type=click.IntRange(min=1),
    metavar="N",
    default=15,
    show_default=True,
    help="The tokens that an answer may have.",
)
@click.option(
    "--max-seq-len",
    type=click.IntRange(min=4),
    metavar="N",
    help="The tokens of a window, question included.  [default: 384]",
)
@click.option(
    "--max-question-len",
    type=click.IntRange(min=1),
    metavar="N",
    help="The tokens of a question, what is more is cut.  [default: all]",
)
@click.option(
    "--doc-stride",
    type=click.IntRange(min=0),
    metavar="N",
    help="The tokens that two windows share.  [default: 128, or half of a small "
    "window]",
)
@click.option(
    "--impossible",
    is_flag=True,
    help="Let the answer be that there is none, an empty one.",
)
@click.option(
    "--align/--no-align",
    default=True,
    show_default=True,
    help="Whether an answer begins and ends with a whole word.",
)
@engine_options
@json_option
def answer(
    questions: tuple[str, ...],
    context: str | None,
    source: BinaryIO | None,
    model: str | None,
    revision: str | None,
    top_k: int,
    max_answer_len: int,
    max_seq_len: int | None,
    max_question_len: int | None,
    doc_stride: int | None,
    impossible: bool,
    align: bool,
    precision: str,
    device: str,
    as_json: bool,
) -> None:
    """Answer each QUESTION from --context, from a file, or from standard input.

    A line is printed for each answer: its score, its characters, and the answer.
    """
    if context is not None and source is not None:
        raise click.UsageError("give --context or --file, not both")
    if context is None and source is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("give --context, --file, or a text to read from")
        source = sys.stdin.buffer
    # The bundled checkpoint, which `told` would name, has no head for questions.
    with told(model or "the default"):
        text = _read(source) if source else context
        from minidistil.pipelines import pipeline

        ask = pipeline(
            "question-answering",
            model,
            revision=revision,
            device=device,
            top_k=top_k,
            max_answer_len=max_answer_len,
            max_seq_len=max_seq_len,
            max_question_len=max_question_len,
            doc_stride=doc_stride,
            handle_impossible_answer=impossible,
            align_to_words=align,
            precision=precision,
        )
        with counting_sequences("reading"), counted_from_one("QUESTION", "question"):
            found = ask(question=questions, context=text)
            for question, some in zip(questions, found, strict=True):
                answers = some if isinstance(some, list) else [some]
                if as_json:
                    say(json.dumps({"question": question, "answers": answers}))
                else:
                    for each in answers:
                        say(_as_line(each))


def _read(source: BinaryIO) -> str:
    try:
        return source.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"the text is not UTF-8 ({error.reason}, byte {error.start + 1}); convert "
            f"it to UTF-8"
        ) from None


def _as_line(answer: dict[str, Any]) -> str:
    place = f"{answer['start']}-{answer['end']}"
    return printable(
        f"{answer['score']:.4f}  {place}  {' '.join(answer['answer'].split())}"
    )
